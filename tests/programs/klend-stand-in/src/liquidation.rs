//! The mathematics of a liquidation, free of accounts and transfers.
//!
//! [`terms`] decides whether and why an obligation may be liquidated and with
//! which bonus, [`amounts`] how much debt is repaid for how many cTokens, and
//! [`protocol_fee`] what the protocol keeps of the redeemed collateral.

use crate::{
    error::{KlendError, Result, require},
    math::{Fraction, U256},
    state::{
        LendingMarket, Obligation, ObligationCollateral, ObligationLiquidity, ObligationOrder,
        Reserve, ReserveConfig,
    },
};

const SECONDS_PER_DAY: u128 = 86_400;

/// From this share of debt in collateral on, bonuses are those of bad debt.
const BAD_DEBT_LTV_PCT: u64 = 99;

/// Why an obligation may be liquidated, in the order in which klend looks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reason {
    LtvExceeded,
    IndividualDeleveraging,
    MarketWideDeleveraging,
    ReserveDebtMaturityReached,
    ObligationBorrowDebtTermReached { seconds_ago: u64 },
    ObligationOrder { index: usize },
}

/// Reason and bonus of a liquidation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Terms {
    pub reason: Reason,
    /// Extra collateral per unit of repaid value.
    pub bonus: Fraction,
    pub ltvs: Ltvs,
}

/// The three ratios of a refreshed obligation to its deposits' value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ltvs {
    /// Debt weighted by borrow factors.
    pub user: Fraction,
    /// Debt as it is.
    pub unweighted: Fraction,
    /// Debt at which the obligation becomes liquidatable.
    pub unhealthy: Fraction,
}

impl Ltvs {
    /// The deposits must have a value (checked by the caller, 6022).
    pub fn of(obligation: &Obligation) -> Self {
        let debt = obligation.borrow_factor_adjusted_debt_value_sf.fraction();
        let unweighted = obligation.borrowed_assets_market_value_sf.fraction();
        let unhealthy = obligation.unhealthy_borrow_value_sf.fraction();
        Self {
            user: obligation.ratio_to_deposits(debt),
            unweighted: obligation.ratio_to_deposits(unweighted),
            unhealthy: obligation.ratio_to_deposits(unhealthy),
        }
    }

    /// What is left of the deposits' value above the debt.
    fn headroom(&self) -> Fraction {
        Fraction::ONE.saturating_sub(self.unweighted)
    }
}

/// Everything that the decision depends on.
#[derive(Clone, Copy)]
pub struct Case<'a> {
    pub market: &'a LendingMarket,
    pub obligation: &'a Obligation,
    pub debt_reserve: &'a Reserve,
    pub collateral_reserve: &'a Reserve,
    pub borrow: &'a ObligationLiquidity,
    pub deposit: &'a ObligationCollateral,
    /// Unix time, seconds.
    pub now: u64,
}

/// The first reason that applies, its bonus, and the rules about which debt
/// and which collateral must go first.
///
/// # Errors
/// 6016 when no reason applies, 6099 and 6100 when another debt or another
/// collateral has to be taken.
pub fn terms(case: &Case) -> Result<Terms> {
    let ltvs = Ltvs::of(case.obligation);
    let (reason, bonus) = ltv_exceeded(case, &ltvs)
        .or_else(|| individual_deleveraging(case, &ltvs))
        .or_else(|| market_wide_deleveraging(case, &ltvs))
        .or_else(|| debt_maturity(case, &ltvs))
        .or_else(|| debt_term(case, &ltvs))
        .or_else(|| order(case, &ltvs))
        .ok_or(KlendError::ObligationHealthy)?;

    if reason == Reason::LtvExceeded {
        require(
            case.debt_reserve.config.borrow_factor_pct()
                >= case.obligation.highest_borrow_factor_pct,
            KlendError::LiquidationBorrowFactorPriority,
        )?;
    }
    let is_deleveraging =
        matches!(reason, Reason::IndividualDeleveraging | Reason::MarketWideDeleveraging);
    if !is_deleveraging {
        let threshold =
            liquidation_threshold_pct(case.market, case.obligation, case.collateral_reserve)?;
        require(
            u64::from(threshold) <= case.obligation.lowest_reserve_deposit_liquidation_ltv,
            KlendError::LiquidationLowestLiquidationLtvPriority,
        )?;
    }
    Ok(Terms { reason, bonus, ltvs })
}

/// Liquidation threshold of the collateral: the elevation group's when the
/// obligation is in one, otherwise the reserve's. 6069 for a group that the
/// market does not have.
pub fn liquidation_threshold_pct(
    market: &LendingMarket,
    obligation: &Obligation,
    collateral_reserve: &Reserve,
) -> Result<u8> {
    match obligation.elevation_group {
        0 => Ok(collateral_reserve.config.liquidation_threshold_pct),
        group => market
            .elevation_group(group)
            .map(|group| group.liquidation_threshold_pct)
            .ok_or_else(|| KlendError::InvalidElevationGroup.into()),
    }
}

fn ltv_exceeded(case: &Case, ltvs: &Ltvs) -> Option<(Reason, Fraction)> {
    let applies =
        ltvs.user >= ltvs.unhealthy && case.market.price_triggered_liquidation_disabled == 0;
    applies.then(|| (Reason::LtvExceeded, ltv_bonus(case, ltvs)))
}

/// Bonus of a liquidation for its LTV: how far the LTV is above the limit,
/// within the reserves' bounds and never more than the collateral can pay.
/// Near and beyond insolvency the bad-debt bonus applies instead.
fn ltv_bonus(case: &Case, ltvs: &Ltvs) -> Fraction {
    let collateral = &case.collateral_reserve.config;
    let debt = &case.debt_reserve.config;
    if ltvs.unweighted >= Fraction::from_percent(BAD_DEBT_LTV_PCT) {
        let bad_debt_bps =
            (collateral.bad_debt_liquidation_bonus_bps).min(debt.bad_debt_liquidation_bonus_bps);
        return Fraction::from_bps(bad_debt_bps.into()).max(ltvs.headroom());
    }
    let max_bps = (collateral.max_liquidation_bonus_bps)
        .max(debt.max_liquidation_bonus_bps)
        .min(elevation_group_bonus_cap_bps(case));
    let min_bps = (collateral.min_liquidation_bonus_bps).max(debt.min_liquidation_bonus_bps);
    Fraction::from_bps(min_bps.into())
        .max(ltvs.user - ltvs.unhealthy)
        .min(Fraction::from_bps(max_bps.into()))
        .min(ltvs.headroom())
}

/// The elevation group's bonus limit; no limit when the obligation is outside
/// a group, when one of the reserves is, or when the group's figure is zero or
/// more generous than a reserve's own.
fn elevation_group_bonus_cap_bps(case: &Case) -> u16 {
    let id = case.obligation.elevation_group;
    let configs = [&case.collateral_reserve.config, &case.debt_reserve.config];
    case.market
        .elevation_group(id)
        .filter(|_| configs.iter().all(|config| config.is_in_elevation_group(id)))
        .map(|group| group.max_liquidation_bonus_bps)
        .filter(|&cap| {
            let within = |config: &&ReserveConfig| cap <= config.max_liquidation_bonus_bps;
            cap != 0 && configs.iter().all(within)
        })
        .unwrap_or(u16::MAX)
}

fn individual_deleveraging(case: &Case, ltvs: &Ltvs) -> Option<(Reason, Fraction)> {
    let started = case.obligation.autodeleverage_margin_call_started_timestamp;
    let period = case.market.individual_autodeleverage_margin_call_period_secs;
    let target = Fraction::from_percent(case.obligation.autodeleverage_target_ltv_pct.into());
    let marked = started != 0 && case.market.autodeleverage_enabled != 0 && period != 0;
    if !marked || ltvs.user <= target {
        return None;
    }
    let seconds = case.now.checked_sub(started)?.checked_sub(period)?;
    Some((
        Reason::IndividualDeleveraging,
        time_bonus(stricter_config(case), seconds, elevation_group_bonus_cap_bps(case), ltvs),
    ))
}

fn market_wide_deleveraging(case: &Case, ltvs: &Ltvs) -> Option<(Reason, Fraction)> {
    if case.market.autodeleverage_enabled == 0 {
        return None;
    }
    let collateral = case.collateral_reserve;
    let supply = collateral.liquidity.total_supply();
    let debt = case.debt_reserve;
    let borrowed = debt.liquidity.borrowed_amount_sf.fraction();
    let bonus = over_limit_bonus(
        case,
        ltvs,
        &collateral.config,
        supply > Fraction::from_int(collateral.config.deposit_limit),
        collateral.liquidity.deposit_limit_crossed_timestamp,
    )
    .or_else(|| {
        over_limit_bonus(
            case,
            ltvs,
            &debt.config,
            borrowed > Fraction::from_int(debt.config.borrow_limit),
            debt.liquidity.borrow_limit_crossed_timestamp,
        )
    })?;
    Some((Reason::MarketWideDeleveraging, bonus))
}

/// Bonus for shrinking a reserve that is over its limit for longer than its
/// margin-call period; `None` while that does not apply, or while the
/// obligation's LTV is below a threshold that sinks every day.
fn over_limit_bonus(
    case: &Case,
    ltvs: &Ltvs,
    config: &ReserveConfig,
    is_over_limit: bool,
    crossed_at: u64,
) -> Option<Fraction> {
    if config.autodeleverage_enabled == 0 || !is_over_limit || crossed_at == 0 {
        return None;
    }
    let seconds = case
        .now
        .checked_sub(crossed_at)?
        .checked_sub(config.deleveraging_margin_call_period_secs)?;
    let decrease_per_day = Fraction::from_bps(config.deleveraging_threshold_decrease_bps_per_day);
    let threshold = Fraction::ONE.saturating_sub(decrease_per_day * days(seconds));
    (ltvs.user >= threshold).then(|| time_bonus(config, seconds, u16::MAX, ltvs))
}

fn debt_maturity(case: &Case, ltvs: &Ltvs) -> Option<(Reason, Fraction)> {
    let config = &case.debt_reserve.config;
    let maturity = config.debt_maturity_timestamp;
    if maturity == 0 || case.market.mature_reserve_debt_liquidation_enabled == 0 {
        return None;
    }
    let seconds = case.now.checked_sub(maturity)?;
    Some((Reason::ReserveDebtMaturityReached, time_bonus(config, seconds, u16::MAX, ltvs)))
}

fn debt_term(case: &Case, ltvs: &Ltvs) -> Option<(Reason, Fraction)> {
    if case.market.obligation_borrow_debt_term_liquidation_enabled == 0 {
        return None;
    }
    let seconds_ago = seconds_past_term(case.debt_reserve, case.borrow, case.now)?;
    Some((
        Reason::ObligationBorrowDebtTermReached { seconds_ago },
        time_bonus(stricter_config(case), seconds_ago, elevation_group_bonus_cap_bps(case), ltvs),
    ))
}

/// Seconds since the term of a borrow ended; `None` while it runs or when the
/// reserve lends without a term.
pub fn seconds_past_term(reserve: &Reserve, borrow: &ObligationLiquidity, now: u64) -> Option<u64> {
    let term = reserve.config.debt_term_seconds;
    let started = borrow.last_borrowed_at_timestamp;
    if term == 0 || started == 0 {
        return None;
    }
    now.checked_sub(started.checked_add(term)?)
}

/// The configuration with the higher time-dependent bonus terms; the debt's
/// when they are equal.
fn stricter_config<'a>(case: &Case<'a>) -> &'a ReserveConfig {
    let rank = |config: &ReserveConfig| {
        (
            config.max_liquidation_bonus_bps,
            config.deleveraging_bonus_increase_bps_per_day,
            config.min_deleveraging_bonus_bps,
        )
    };
    let collateral = &case.collateral_reserve.config;
    let debt = &case.debt_reserve.config;
    if rank(collateral) > rank(debt) { collateral } else { debt }
}

/// Bonus that grows with the days that a liquidation is overdue.
fn time_bonus(config: &ReserveConfig, seconds: u64, cap_bps: u16, ltvs: &Ltvs) -> Fraction {
    let growth = Fraction::from_bps(config.deleveraging_bonus_increase_bps_per_day) * days(seconds);
    let bonus = Fraction::from_bps(config.min_deleveraging_bonus_bps.into()) + growth;
    let cap = Fraction::from_bps(config.max_liquidation_bonus_bps.min(cap_bps).into());
    bonus.min(cap.min(ltvs.headroom()))
}

fn days(seconds: u64) -> Fraction {
    Fraction::from_int(seconds).div_int(SECONDS_PER_DAY)
}

mod order_condition {
    pub const USER_LTV_ABOVE: u8 = 1;
    pub const USER_LTV_BELOW: u8 = 2;
    pub const DEBT_COLL_PRICE_RATIO_ABOVE: u8 = 3;
    pub const DEBT_COLL_PRICE_RATIO_BELOW: u8 = 4;
    pub const ALWAYS: u8 = 5;
    pub const LIQUIDATION_LTV_CLOSER_THAN: u8 = 6;
}

/// An order's opportunity to repay a fixed amount of its single debt.
const DELEVERAGE_SINGLE_DEBT_AMOUNT: u8 = 0;

fn order(case: &Case, ltvs: &Ltvs) -> Option<(Reason, Fraction)> {
    if case.market.obligation_order_execution_enabled == 0 {
        return None;
    }
    let hit = |(index, order): (usize, &ObligationOrder)| {
        let distance = order_distance(case, ltvs, order)?;
        let min = Fraction::from_bps(order.min_execution_bonus_bps.into());
        let max = Fraction::from_bps(order.max_execution_bonus_bps.into());
        let bonus = min + distance * (max - min);
        Some((Reason::ObligationOrder { index }, bonus.min(ltvs.headroom())))
    };
    (case.obligation.obligation_orders.iter().enumerate()).find_map(hit)
}

/// How far past its threshold an order is, as a share of the way to
/// liquidation (stop loss) or to zero (take profit); `None` when its condition
/// is not met.
fn order_distance(case: &Case, ltvs: &Ltvs, order: &ObligationOrder) -> Option<Fraction> {
    let threshold = order.condition_threshold_sf.fraction();
    let is_price_triggered = !matches!(order.condition_type, order_condition::ALWAYS);
    if is_price_triggered && case.market.price_triggered_liquidation_disabled != 0 {
        return None;
    }
    let stop_loss = |current: Fraction, threshold: Fraction, liquidation: Fraction| {
        (current > threshold).then(|| {
            if threshold >= liquidation {
                Fraction::ONE
            } else {
                (current - threshold) / (liquidation - threshold)
            }
        })
    };
    let take_profit = |current: Fraction, threshold: Fraction| {
        (current < threshold).then(|| (threshold - current) / threshold)
    };
    match order.condition_type {
        order_condition::USER_LTV_ABOVE => stop_loss(ltvs.user, threshold, ltvs.unhealthy),
        order_condition::USER_LTV_BELOW => take_profit(ltvs.user, threshold),
        order_condition::DEBT_COLL_PRICE_RATIO_ABOVE => {
            let ratio = price_ratio(case);
            let liquidation = ratio * ltvs.unhealthy / ltvs.user;
            stop_loss(ratio, threshold, liquidation)
        }
        order_condition::DEBT_COLL_PRICE_RATIO_BELOW => take_profit(price_ratio(case), threshold),
        order_condition::ALWAYS => {
            // klend lets nobody place any other and panics on it.
            assert_eq!(
                order.min_execution_bonus_bps, order.max_execution_bonus_bps,
                "an unconditional order has one bonus"
            );
            Some(Fraction::ZERO)
        }
        order_condition::LIQUIDATION_LTV_CLOSER_THAN => {
            stop_loss(ltvs.user, ltvs.unhealthy.saturating_sub(threshold), ltvs.unhealthy)
        }
        _ => None,
    }
}

/// Price of the debt token in collateral tokens.
fn price_ratio(case: &Case) -> Fraction {
    let debt = case.debt_reserve.liquidity.market_price_sf.fraction();
    let collateral = case.collateral_reserve.liquidity.market_price_sf.fraction();
    debt / collateral
}

/// What a liquidation moves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Amounts {
    /// Debt that is written off, with its fraction.
    pub settle: Fraction,
    /// Units that the liquidator pays: `settle` rounded up.
    pub repay: u64,
    /// cTokens that the liquidator gets.
    pub withdraw: u64,
}

/// Debt repaid and collateral taken for a liquidator who offers at most
/// `liquidity_amount` units.
///
/// # Errors
/// 6121 when a small debt must be repaid in full and less is offered; 6015
/// when nothing would be repaid or taken.
pub fn amounts(case: &Case, terms: &Terms, liquidity_amount: u64) -> Result<Amounts> {
    let debt = case.borrow.borrowed_amount_sf.fraction();
    let debt_value = case.borrow.market_value_sf.fraction();
    let deposit_value = case.deposit.market_value_sf.fraction();
    let deposited = case.deposit.deposited_amount;

    let offered = Fraction::from_int(liquidity_amount).min(debt);
    let threshold = Fraction::from_int(case.market.min_full_liquidation_value_threshold);
    let is_order = matches!(terms.reason, Reason::ObligationOrder { .. });
    let is_small = !is_order && debt_value < threshold;
    let amount = if is_small {
        require(offered >= debt, KlendError::RepayTooSmallForFullLiquidation)?;
        debt
    } else {
        max_liquidatable(case, terms).min(offered)
    };

    let share = amount / debt;
    let total_value = debt_value * share * (terms.bonus + Fraction::ONE);
    let (settle, withdraw) = if total_value < deposit_value {
        let withdraw = (Fraction::from_int(deposited) * (total_value / deposit_value)).floor();
        let withdraw = if is_small { withdraw.max(1) } else { withdraw };
        (amount, withdraw)
    } else if total_value == deposit_value || is_small {
        // A small debt is always repaid in full, even for less collateral.
        (amount, deposited)
    } else {
        (amount * (deposit_value / total_value), deposited)
    };
    let repay = settle.ceil();
    require(repay != 0 && withdraw != 0, KlendError::LiquidationTooSmall)?;
    Ok(Amounts { settle, repay, withdraw })
}

/// Most debt that one liquidation may repay for the given reason.
fn max_liquidatable(case: &Case, terms: &Terms) -> Fraction {
    let debt = case.borrow.borrowed_amount_sf.fraction();
    let debt_value = case.borrow.market_value_sf.fraction();
    let market = case.market;
    match terms.reason {
        Reason::LtvExceeded | Reason::IndividualDeleveraging | Reason::MarketWideDeleveraging => {
            let insolvency =
                Fraction::from_percent(market.insolvency_risk_unhealthy_ltv_pct.into());
            let close_factor = if terms.ltvs.user > insolvency {
                Fraction::ONE
            } else {
                Fraction::from_percent(market.liquidation_max_debt_close_factor_pct.into())
            };
            let at_once = Fraction::from_int(market.max_liquidatable_debt_market_value_at_once);
            // The close factor applies to the obligation's whole debt.
            let total_debt_value = case.obligation.borrowed_assets_market_value_sf.fraction();
            let value = (total_debt_value * close_factor).min(debt_value).min(at_once);
            debt * (value / debt_value)
        }
        Reason::ReserveDebtMaturityReached => debt,
        Reason::ObligationBorrowDebtTermReached { seconds_ago } => {
            let duration = market.term_based_full_liquidation_duration_secs;
            if duration == 0 {
                return debt;
            }
            // Released linearly over the duration after the end of the term.
            let at_expiration = Fraction::from_int(case.borrow.borrowed_amount_at_expiration);
            let still_locked = at_expiration
                .mul_ratio(U256::from(duration.saturating_sub(seconds_ago)), U256::from(duration));
            debt.saturating_sub(still_locked)
        }
        Reason::ObligationOrder { index } => {
            let order = &case.obligation.obligation_orders[index];
            if order.opportunity_type == DELEVERAGE_SINGLE_DEBT_AMOUNT {
                debt.min(order.opportunity_parameter_sf.fraction())
            } else {
                debt
            }
        }
    }
}

impl ObligationOrder {
    /// Counts a repayment against the order's amount and removes the order
    /// once it is used up.
    pub fn record_execution(&mut self, repaid: u64) {
        if self.opportunity_type != DELEVERAGE_SINGLE_DEBT_AMOUNT {
            return;
        }
        let left =
            self.opportunity_parameter_sf.fraction().saturating_sub(Fraction::from_int(repaid));
        if left == Fraction::ZERO {
            *self = bytemuck::Zeroable::zeroed();
        } else {
            self.opportunity_parameter_sf.set_fraction(left);
        }
    }
}

/// The protocol's part of the bonus in `liquidity` redeemed units, rounded up
/// and at least one unit.
pub fn protocol_fee(liquidity: u64, bonus: Fraction, fee_pct: u8) -> u64 {
    let liquidity = Fraction::from_int(liquidity);
    let bonus_part = liquidity - liquidity / (bonus + Fraction::ONE);
    (bonus_part * Fraction::from_percent(fee_pct.into())).ceil().max(1)
}
