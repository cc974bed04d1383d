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
        Reserve, ReserveConfig, Version,
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
    // Since 1.26 orders have an instruction of their own.
    let liquidates = case.market.version() == Version::V1_25;
    if !liquidates || case.market.obligation_order_execution_enabled == 0 {
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

#[cfg(test)]
mod tests {
    use bytemuck::Zeroable;

    use super::*;

    /// Ten units of debt per unit of value, a hundred cTokens per unit of
    /// deposit value: a deposit of 1000 against a debt of 770 at a limit of
    /// 75 %.
    struct Scene {
        market: LendingMarket,
        obligation: Obligation,
        debt_reserve: Reserve,
        collateral_reserve: Reserve,
        now: u64,
    }

    impl Scene {
        fn new() -> Box<Self> {
            let mut scene = Box::new(Self {
                market: Zeroable::zeroed(),
                obligation: Zeroable::zeroed(),
                debt_reserve: Zeroable::zeroed(),
                collateral_reserve: Zeroable::zeroed(),
                now: 1_000_000,
            });
            scene.market.liquidation_max_debt_close_factor_pct = 20;
            scene.market.insolvency_risk_unhealthy_ltv_pct = 95;
            scene.market.max_liquidatable_debt_market_value_at_once = 500;
            scene.obligation.lowest_reserve_deposit_liquidation_ltv = 75;
            scene.obligation.highest_borrow_factor_pct = 100;
            for (reserve, min, max) in
                [(&mut scene.debt_reserve, 200, 1_000), (&mut scene.collateral_reserve, 100, 800)]
            {
                reserve.config.liquidation_threshold_pct = 75;
                reserve.config.min_liquidation_bonus_bps = min;
                reserve.config.max_liquidation_bonus_bps = max;
                reserve.config.bad_debt_liquidation_bonus_bps = 99;
            }
            scene.set_values(1_000, 770);
            scene
        }

        fn set_values(&mut self, deposit: u64, debt: u64) {
            let set = |field: &mut crate::state::PodU128, value| {
                field.set_fraction(Fraction::from_int(value));
            };
            let obligation = &mut self.obligation;
            set(&mut obligation.deposited_value_sf, deposit);
            set(&mut obligation.borrow_factor_adjusted_debt_value_sf, debt);
            set(&mut obligation.borrowed_assets_market_value_sf, debt);
            let limit = Fraction::from_int(deposit) * Fraction::from_percent(75);
            obligation.unhealthy_borrow_value_sf.set_fraction(limit);
            obligation.deposits[0].deposited_amount = 100_000;
            set(&mut obligation.deposits[0].market_value_sf, deposit);
            set(&mut obligation.borrows[0].borrowed_amount_sf, debt * 10);
            set(&mut obligation.borrows[0].market_value_sf, debt);
        }

        fn case(&self) -> Case<'_> {
            Case {
                market: &self.market,
                obligation: &self.obligation,
                debt_reserve: &self.debt_reserve,
                collateral_reserve: &self.collateral_reserve,
                borrow: &self.obligation.borrows[0],
                deposit: &self.obligation.deposits[0],
                now: self.now,
            }
        }

        fn terms(&self) -> Result<Terms> {
            terms(&self.case())
        }

        fn amounts(&self, offered: u64) -> Result<Amounts> {
            amounts(&self.case(), &self.terms()?, offered)
        }
    }

    fn bps(bonus: Fraction) -> u64 {
        // Rates are truncated, so a basis point may be a hair short.
        (bonus.mul_int(10_000) + Fraction::from_bps(1)).floor()
    }

    #[test]
    fn the_bonus_follows_the_ltv_between_its_bounds() {
        let mut scene = Scene::new();
        for (debt, expected) in [
            (750, 200),   // at the limit: the higher of both minima
            (770, 200),   // exactly the minimum above it
            (800, 500),   // five points above it
            (900, 1_000), // the higher of both maxima
            (950, 500),   // never more than the collateral can pay
            (990, 100),   // near insolvency: what is left
            (995, 99),    // then the bad-debt bonus
            (1_500, 99),
        ] {
            scene.set_values(1_000, debt);
            let terms = scene.terms().unwrap();
            assert_eq!(terms.reason, Reason::LtvExceeded);
            assert_eq!(bps(terms.bonus), expected, "debt {debt}");
        }
    }

    #[test]
    fn a_healthy_obligation_is_left_alone() {
        let mut scene = Scene::new();
        scene.set_values(1_000, 749);
        assert_eq!(scene.terms(), Err(KlendError::ObligationHealthy.into()));
        scene.set_values(1_000, 770);
        scene.market.price_triggered_liquidation_disabled = 1;
        assert_eq!(scene.terms(), Err(KlendError::ObligationHealthy.into()));
    }

    #[test]
    fn the_riskiest_debt_and_collateral_go_first() {
        let mut scene = Scene::new();
        scene.obligation.highest_borrow_factor_pct = 125;
        assert_eq!(scene.terms(), Err(KlendError::LiquidationBorrowFactorPriority.into()));
        scene.debt_reserve.config.borrow_factor_pct = 125;
        scene.obligation.lowest_reserve_deposit_liquidation_ltv = 74;
        assert_eq!(scene.terms(), Err(KlendError::LiquidationLowestLiquidationLtvPriority.into()));
    }

    #[test]
    fn the_close_factor_bounds_one_liquidation() {
        let scene = Scene::new();
        // A fifth of 7700 units, and 154 * 1.02 of 1000 in 100,000 cTokens; the
        // rates' truncated bits cost one unit of each.
        let all = scene.amounts(u64::MAX).unwrap();
        assert_eq!((all.repay, all.withdraw), (1_540, 15_707));
        let some = scene.amounts(100).unwrap();
        assert_eq!((some.repay, some.withdraw), (100, 1_019));
        assert_eq!(scene.amounts(0), Err(KlendError::LiquidationTooSmall.into()));
    }

    #[test]
    fn insolvency_lifts_the_close_factor_up_to_the_amount_at_once() {
        let mut scene = Scene::new();
        scene.set_values(1_000, 960);
        assert_eq!(scene.amounts(u64::MAX).unwrap().repay, 5_000);
        scene.market.max_liquidatable_debt_market_value_at_once = u64::MAX >> 1;
        let all = scene.amounts(u64::MAX).unwrap();
        // A bonus of the four points that are left: 960 * 1.04.
        assert_eq!((all.repay, all.withdraw), (9_600, 99_840));
    }

    #[test]
    fn collateral_worth_less_settles_less() {
        let mut scene = Scene::new();
        scene.market.max_liquidatable_debt_market_value_at_once = u64::MAX >> 1;
        scene.set_values(1_000, 2_000);
        let all = scene.amounts(u64::MAX).unwrap();
        // 1000 of collateral pay for 1000 / 1.0099 of debt.
        assert_eq!((all.repay, all.withdraw), (9_902, 100_000));
    }

    #[test]
    fn a_small_debt_is_repaid_in_full() {
        let mut scene = Scene::new();
        scene.market.min_full_liquidation_value_threshold = 771;
        assert_eq!(scene.amounts(7_699), Err(KlendError::RepayTooSmallForFullLiquidation.into()));
        assert_eq!(scene.amounts(7_700).unwrap().repay, 7_700);
        // Even for collateral that is worth less.
        scene.market.min_full_liquidation_value_threshold = 5_000;
        scene.set_values(1_000, 2_000);
        let all = scene.amounts(u64::MAX).unwrap();
        assert_eq!((all.repay, all.withdraw), (20_000, 100_000));
    }

    #[test]
    fn a_marked_obligation_is_deleveraged_to_its_target() {
        let mut scene = Scene::new();
        scene.set_values(1_000, 700);
        scene.market.autodeleverage_enabled = 1;
        scene.market.individual_autodeleverage_margin_call_period_secs = 86_400;
        scene.obligation.autodeleverage_target_ltv_pct = 60;
        scene.obligation.autodeleverage_margin_call_started_timestamp = scene.now - 3 * 86_400;
        scene.debt_reserve.config.min_deleveraging_bonus_bps = 50;
        scene.debt_reserve.config.deleveraging_bonus_increase_bps_per_day = 10;
        let terms = scene.terms().unwrap();
        assert_eq!(terms.reason, Reason::IndividualDeleveraging);
        // The debt's reserve has the higher maximum; two days over.
        assert_eq!(bps(terms.bonus), 70);
        scene.obligation.autodeleverage_target_ltv_pct = 70;
        assert_eq!(scene.terms(), Err(KlendError::ObligationHealthy.into()));
    }

    #[test]
    fn a_matured_reserve_is_repaid_in_full_and_a_term_over_time() {
        let mut scene = Scene::new();
        scene.set_values(1_000, 500);
        scene.market.mature_reserve_debt_liquidation_enabled = 1;
        scene.debt_reserve.config.debt_maturity_timestamp = scene.now;
        assert_eq!(scene.terms().unwrap().reason, Reason::ReserveDebtMaturityReached);
        assert_eq!(scene.amounts(u64::MAX).unwrap().repay, 5_000);

        scene.debt_reserve.config.debt_maturity_timestamp = 0;
        scene.market.obligation_borrow_debt_term_liquidation_enabled = 1;
        scene.market.term_based_full_liquidation_duration_secs = 1_000;
        scene.debt_reserve.config.debt_term_seconds = 100;
        scene.obligation.borrows[0].last_borrowed_at_timestamp = scene.now - 100 - 250;
        scene.obligation.borrows[0].borrowed_amount_at_expiration = 4_000;
        let reason = Reason::ObligationBorrowDebtTermReached { seconds_ago: 250 };
        assert_eq!(scene.terms().unwrap().reason, reason);
        // 5000 less three quarters of 4000.
        assert_eq!(scene.amounts(u64::MAX).unwrap().repay, 2_000);
    }

    #[test]
    fn an_order_repays_up_to_its_amount_and_is_used_up() {
        let mut scene = Scene::new();
        scene.set_values(1_000, 500);
        scene.market.obligation_order_execution_enabled = 1;
        let order = &mut scene.obligation.obligation_orders[1];
        order.condition_type = order_condition::USER_LTV_ABOVE;
        order.condition_threshold_sf.set_fraction(Fraction::from_percent(45));
        order.opportunity_parameter_sf.set_fraction(Fraction::from_int(900));
        order.min_execution_bonus_bps = 100;
        order.max_execution_bonus_bps = 700;
        let terms = scene.terms().unwrap();
        assert_eq!(terms.reason, Reason::ObligationOrder { index: 1 });
        // 5 of the 30 points from 45 % to the limit: a sixth of 600 bps more.
        assert_eq!(bps(terms.bonus), 200);
        assert_eq!(scene.amounts(u64::MAX).unwrap().repay, 900);

        let order = &mut scene.obligation.obligation_orders[1];
        order.record_execution(899);
        assert_eq!(order.opportunity_parameter_sf.fraction(), Fraction::ONE);
        order.record_execution(1);
        assert_eq!(order.condition_type, 0);
    }

    #[test]
    fn an_order_is_no_reason_in_1_26() {
        let mut scene = Scene::new();
        scene.set_values(1_000, 500);
        scene.market.obligation_order_execution_enabled = 1;
        scene.obligation.obligation_orders[0].condition_type = order_condition::ALWAYS;
        assert!(scene.terms().is_ok());
        scene.market.stand_in_version = 126;
        assert_eq!(scene.terms(), Err(KlendError::ObligationHealthy.into()));
    }

    #[test]
    fn the_protocol_takes_its_part_of_the_bonus_and_at_least_one_unit() {
        let bonus = Fraction::from_bps(500);
        assert_eq!(protocol_fee(105_000, bonus, 50), 2_500);
        assert_eq!(protocol_fee(105_000, bonus, 0), 1);
        assert_eq!(protocol_fee(1, bonus, 50), 1);
        // As recorded from klend: 146,979,614,884 lamports at 500 bps.
        assert_eq!(protocol_fee(146_979_614_884, bonus, 50), 3_499_514_641);
    }
}
