//! What `liquidate_obligation_and_redeem_reserve_collateral_v2` would do.
//!
//! [`quote`] follows klend's steps in klend's order: entry checks, the first
//! reason that applies, its bonus, the most that may be repaid, what is seized,
//! what of it the vault can redeem, klend's fee. The result is what the chain
//! will show, to the last unit, or klend's own error.

use klend_interface::state::{ObligationOrder, Reserve};
use solana_address::Address;

use crate::{
    constants::{
        BAD_DEBT_LTV_PCT, SECONDS_PER_DAY, permissioned_ops, price_status, reserve_status,
    },
    errors::Code,
    fraction::{Fraction, Overflow},
    keys,
    obligation::{BorrowState, DepositState, ObligationState},
    price::Oracles,
    refusal::{At, Caveats, Refusal, Unknowable},
    reserve::{Clock, ReserveState},
    table::ReserveTable,
};

/// What a keeper asks klend for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
pub struct Request {
    /// Reserve whose debt is repaid.
    pub repay_reserve: Address,
    /// Reserve whose collateral is seized.
    pub withdraw_reserve: Address,
    /// Cap on the debt repaid, raw units; `u64::MAX` for all that klend allows.
    pub amount: u64,
    /// Least liquidity to receive, raw units, as passed to klend.
    pub min_received: u64,
    /// The flash loan that is out while klend liquidates.
    pub flash_loan: Option<FlashLoan>,
}

/// A flash loan that surrounds the liquidation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
pub struct FlashLoan {
    /// The lending reserve. One that is not in the table (another market's)
    /// changes nothing here.
    pub reserve: Address,
    /// Principal, raw units.
    pub amount: u64,
}

/// Why klend lets an obligation be liquidated.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
pub enum Reason {
    /// Its LTV is at or above the liquidation LTV.
    LtvExceeded,
    /// The market marked this obligation for deleveraging and the margin-call
    /// period is over.
    IndividualDeleveraging,
    /// A reserve is above its limit for longer than its margin-call period.
    MarketWideDeleveraging,
    /// The debt reserve's maturity has passed.
    ReserveDebtMaturityReached,
    /// This debt's fixed term has ended.
    DebtTermReached {
        /// Seconds since its end.
        seconds: u64,
    },
    /// The owner's own order applies.
    Order {
        /// Its position in the obligation.
        index: u8,
    },
}

/// A liquidation to the last unit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
pub struct Quote {
    /// Why klend allows it.
    pub reason: Reason,
    /// Bonus on the repaid value (0.05 = 5 %).
    pub bonus: Fraction,
    /// Most debt this liquidation may repay whatever the amount asked for, raw
    /// units.
    pub max_repay: Fraction,
    /// The debt is so small that klend insists on all of it.
    pub must_repay_all: bool,
    /// Tokens the liquidator pays, raw units: `settled`, rounded up.
    pub repay: u64,
    /// Debt taken off the obligation, raw units.
    pub settled: Fraction,
    /// cTokens seized, raw units.
    pub seized_ctokens: u64,
    /// Of these, redeemed for liquidity.
    pub redeemed_ctokens: u64,
    /// Of these, left with the liquidator as cTokens.
    pub leftover_ctokens: u64,
    /// Liquidity redeemed before klend's fee, raw units.
    pub gross_received: u64,
    /// klend's fee, raw units.
    pub protocol_fee: u64,
    /// Liquidity the liquidator keeps, raw units.
    pub received: u64,
    /// The accounts afterwards.
    pub after: After,
    /// What the quote leaves out.
    pub caveats: Caveats,
}

/// The changed numbers of the accounts after a liquidation, before the flash
/// loan is repaid.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
pub struct After {
    /// The repay reserve.
    pub repay_reserve: ReserveAfter,
    /// The withdraw reserve; equal to `repay_reserve` when both are one.
    pub withdraw_reserve: ReserveAfter,
    /// What the obligation still owes in the repay reserve, raw units; zero
    /// frees the slot.
    pub debt: Fraction,
    /// cTokens the obligation still has in the withdraw reserve; zero frees the
    /// slot.
    pub deposit: u64,
    /// Whether the obligation has any debt left. Without debt its orders are
    /// removed.
    pub has_debt: bool,
}

/// A reserve's changed numbers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
pub struct ReserveAfter {
    /// Liquidity in the vault, raw units.
    pub available: u64,
    /// Debt owed to the reserve, raw units.
    pub borrowed: Fraction,
    /// cTokens in existence.
    pub ctoken_supply: u64,
}

/// The accounts of one liquidation, for a one-off quote.
#[derive(Debug, Clone, Copy)]
pub struct Position<'a> {
    /// The market and its address.
    pub market: (Address, &'a klend_interface::state::LendingMarket),
    /// At least every reserve the obligation uses.
    pub reserves: &'a [(Address, &'a Reserve)],
    /// The obligation and its address.
    pub obligation: (Address, &'a klend_interface::state::Obligation),
}

/// Refreshes the accounts to `clock` and quotes.
///
/// For many quotes of one slot, build a [`ReserveTable`] once and use [`quote`].
///
/// # Errors
/// As [`quote`] and [`ReserveTable::obligation`].
pub fn quote_liquidation(
    position: &Position<'_>,
    request: &Request,
    clock: Clock,
    oracles: Option<&dyn Oracles>,
) -> Result<Quote, Refusal> {
    let (market_key, market) = position.market;
    let table = ReserveTable::refresh(&market_key, market, position.reserves, clock, oracles);
    let (key, account) = position.obligation;
    quote(&table, &table.obligation(&key, account)?, request)
}

/// Quotes one liquidation of a refreshed obligation.
///
/// Taken for granted, because klend's three accounts do not tell: the keeper
/// holds the tokens, the farm accounts of both reserves are passed where they
/// have farms (6120 otherwise), and the mints have no Token-2022 extension that
/// klend refuses (6108).
///
/// # Errors
/// klend's own error, an abort of its program, or what cannot be known; see
/// [`Refusal`].
pub fn quote(
    table: &ReserveTable<'_>,
    obligation: &ObligationState<'_>,
    request: &Request,
) -> Result<Quote, Refusal> {
    let index = |key: &Address| {
        table.find(key).ok_or(Refusal::MissingReserve { obligation: obligation.key, reserve: *key })
    };
    let (repay, withdraw) = (index(&request.repay_reserve)?, index(&request.withdraw_reserve)?);
    check_market(table)?;
    check_liquidatable(table, obligation, &table.reserves()[withdraw])?;
    if request.amount == 0 {
        return Err(Refusal::klend(Code::InvalidAmount, &obligation.key));
    }
    let mut pair = Pair::open(table, obligation, repay, withdraw)?;
    if let Some(loan) = request.flash_loan {
        pair.lend(&loan)?;
    }
    pair.quote(request.amount, request.min_received)
}

/// Why klend lets an obligation be liquidated: the reason of the first pair of debt
/// and collateral that it allows; `None` when it allows no pair.
#[must_use]
pub fn reason(table: &ReserveTable<'_>, obligation: &ObligationState<'_>) -> Option<Reason> {
    obligation.borrows.iter().flatten().find_map(|borrow| {
        obligation.deposits.iter().flatten().find_map(|deposit| {
            let pair = Pair::open(table, obligation, borrow.reserve, deposit.reserve).ok()?;
            Some(pair.reason)
        })
    })
}

/// One debt and one collateral of an obligation, with everything settled that
/// does not depend on the amount.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Pair<'t> {
    table: &'t ReserveTable<'t>,
    obligation: &'t ObligationState<'t>,
    pub(crate) repay_reserve: ReserveState<'t>,
    pub(crate) withdraw_reserve: ReserveState<'t>,
    /// Positions in the table.
    pub(crate) repay_index: usize,
    pub(crate) withdraw_index: usize,
    debt: BorrowState,
    deposit: DepositState,
    reason: Reason,
    bonus: Fraction,
    /// `bonus + 1`.
    gross: Fraction,
    /// All or nothing, by the debt's small value.
    small: bool,
    max_repay: Fraction,
    other_debt: bool,
    /// cTokens of the withdraw reserve that its vault can redeem.
    redeemable: u64,
}

impl<'t> Pair<'t> {
    /// Checks that klend would liquidate this pair at all, and why.
    pub(crate) fn open<'a: 't>(
        table: &'t ReserveTable<'a>,
        obligation: &'t ObligationState<'_>,
        repay: usize,
        withdraw: usize,
    ) -> Result<Self, Refusal> {
        let repay_reserve = table.reserves()[repay];
        let withdraw_reserve = table.reserves()[withdraw];
        check_market(table)?;
        check_liquidatable(table, obligation, &withdraw_reserve)?;
        check_entry(obligation, &repay_reserve, &withdraw_reserve)?;
        let health = &obligation.health;
        let key = &obligation.key;
        if health.deposited_value == Fraction::ZERO {
            return Err(Refusal::klend(Code::ObligationDepositsZero, key));
        }
        if health.adjusted_debt_value == Fraction::ZERO {
            return Err(Refusal::klend(Code::ObligationBorrowsZero, key));
        }
        let deposit = match obligation.deposit(withdraw) {
            Some((_, deposit)) => *deposit,
            None if obligation.deposits.iter().all(Option::is_none) => {
                return Err(Refusal::klend(Code::ObligationDepositsEmpty, key));
            }
            None => {
                return Err(Refusal::klend(
                    Code::InvalidObligationCollateral,
                    &withdraw_reserve.key,
                ));
            }
        };
        let debt = match obligation.borrow(repay) {
            Some((_, borrow)) => *borrow,
            None if obligation.borrows.iter().all(Option::is_none) => {
                return Err(Refusal::klend(Code::ObligationBorrowsEmpty, key));
            }
            None => {
                return Err(Refusal::klend(Code::InvalidObligationLiquidity, &repay_reserve.key));
            }
        };
        if debt.adjusted_value == Fraction::ZERO {
            return Err(Refusal::klend(Code::ObligationLiquidityEmpty, &repay_reserve.key));
        }
        if deposit.market_value == Fraction::ZERO {
            return Err(Refusal::klend(Code::ObligationCollateralEmpty, &withdraw_reserve.key));
        }

        let case = Case { table, obligation, repay_reserve, withdraw_reserve, debt, deposit };
        let ltv = health.ltv().at(key)?;
        let no_bf_ltv = health.no_borrow_factor_ltv().at(key)?;
        let limit = health.liquidation_ltv().at(key)?;
        let (reason, bonus) = case.reason(ltv, no_bf_ltv, limit)?;
        case.check_priorities(reason)?;
        let threshold = Fraction::from_int(table.market().min_full_liquidation_value_threshold);
        let small = !matches!(reason, Reason::Order { .. }) && debt.market_value < threshold;
        let max_repay = if small { debt.borrowed } else { case.max_repay(reason, ltv).at(key)? };
        Ok(Self {
            table,
            obligation,
            repay_reserve,
            withdraw_reserve,
            repay_index: repay,
            withdraw_index: withdraw,
            debt,
            deposit,
            reason,
            bonus,
            gross: bonus.try_add(Fraction::ONE).at(key)?,
            small,
            max_repay,
            redeemable: redeemable(&withdraw_reserve, reason)?,
            other_debt: obligation.borrows.iter().flatten().any(|other| other.reserve != repay),
        })
    }

    /// Puts a flash loan out. (That the loan may carry the reserve over its
    /// borrow limit changes nothing here: a limit just crossed deleverages
    /// nobody.)
    pub(crate) fn lend(&mut self, loan: &FlashLoan) -> Result<(), Refusal> {
        if loan.reserve == self.repay_reserve.key {
            self.repay_reserve.lend(loan.amount)?;
        }
        if loan.reserve == self.withdraw_reserve.key {
            self.withdraw_reserve.lend(loan.amount)?;
        }
        self.redeemable = redeemable(&self.withdraw_reserve, self.reason)?;
        Ok(())
    }

    fn is_one_reserve(&self) -> bool {
        self.repay_index == self.withdraw_index
    }

    /// The debt is so small that klend insists on all of it.
    pub(crate) fn must_repay_all(&self) -> bool {
        self.small
    }

    /// Quotes an amount, which must not be zero.
    pub(crate) fn quote(&self, amount: u64, min_received: u64) -> Result<Quote, Refusal> {
        let (settled, repay, seized) = self.amounts(amount)?;
        if repay == 0 || seized == 0 {
            return Err(Refusal::integers(
                Code::LiquidationTooSmall,
                &self.obligation.key,
                repay,
                seized,
            ));
        }

        let mut repay_reserve = self.repay_reserve;
        repay_reserve.available = repay_reserve
            .available
            .checked_add(repay)
            .ok_or(Refusal::Abort { account: repay_reserve.key })?;
        repay_reserve.borrowed = repay_reserve.borrowed.saturating_sub(settled);
        let mut withdraw_reserve =
            if self.is_one_reserve() { repay_reserve } else { self.withdraw_reserve };
        let redemption = self.redeem(&mut withdraw_reserve, seized, min_received)?;
        if self.is_one_reserve() {
            repay_reserve = withdraw_reserve;
        }

        let debt = self.debt.borrowed.saturating_sub(settled);
        let after = |reserve: &ReserveState<'_>| ReserveAfter {
            available: reserve.available,
            borrowed: reserve.borrowed,
            ctoken_supply: reserve.ctoken_supply,
        };
        Ok(Quote {
            reason: self.reason,
            bonus: self.bonus,
            max_repay: self.max_repay,
            must_repay_all: self.small,
            repay,
            settled,
            seized_ctokens: seized,
            redeemed_ctokens: redemption.ctokens,
            leftover_ctokens: seized - redemption.ctokens,
            gross_received: redemption.gross,
            protocol_fee: redemption.fee,
            received: redemption.gross - redemption.fee,
            after: After {
                repay_reserve: after(&repay_reserve),
                withdraw_reserve: after(&withdraw_reserve),
                debt,
                deposit: self.deposit.ctokens - seized,
                has_debt: self.other_debt || debt != Fraction::ZERO,
            },
            caveats: self.caveats(),
        })
    }

    /// Debt settled, tokens paid and cTokens seized.
    fn amounts(&self, amount: u64) -> Result<(Fraction, u64, u64), Refusal> {
        let key = &self.obligation.key;
        let borrowed = self.debt.borrowed;
        let requested = Fraction::from_int(amount).min(borrowed);
        if self.small && requested < borrowed {
            return Err(Refusal::fractions(
                Code::RepayTooSmallForFullLiquidation,
                key,
                requested,
                borrowed,
            ));
        }
        let amount = requested.min(self.max_repay);
        let collateral = self.deposit.market_value;
        let compute = || -> Result<(Fraction, u64, u64), Overflow> {
            let wanted =
                self.debt.market_value.try_mul(amount.try_div(borrowed)?)?.try_mul(self.gross)?;
            let (settled, seized) = if wanted < collateral {
                let share = wanted.try_div(collateral)?;
                let ctokens =
                    Fraction::from_int(self.deposit.ctokens).try_mul(share)?.floor_u64()?;
                // A debt that must go away entirely is never given up for
                // rounding to nothing.
                (amount, if self.small { ctokens.max(1) } else { ctokens })
            } else if wanted == collateral || self.small {
                (amount, self.deposit.ctokens)
            } else {
                (amount.try_mul(collateral.try_div(wanted)?)?, self.deposit.ctokens)
            };
            Ok((settled, settled.ceil_u64()?, seized))
        };
        compute().at(key)
    }

    /// Redeems seized cTokens out of the withdraw reserve as far as its vault
    /// can pay, and takes klend's fee.
    fn redeem(
        &self,
        reserve: &mut ReserveState<'_>,
        seized: u64,
        min_received: u64,
    ) -> Result<Redemption, Refusal> {
        let key = reserve.key;
        let by_order = matches!(self.reason, Reason::Order { .. });
        let redeemable = if self.is_one_reserve() {
            // The repayment is in the vault already.
            redeemable(reserve, self.reason)?
        } else {
            self.redeemable
        };
        let ctokens = seized.min(redeemable);
        if ctokens == 0 {
            // klend holds the theoretical worth of the cTokens against the
            // minimum, without its fee.
            let worth = reserve.redeem(seized).at(&key)?;
            check_received(&key, worth, min_received)?;
            return Ok(Redemption { ctokens: 0, gross: 0, fee: 0 });
        }
        let gross = reserve.redeem(ctokens).at(&key)?;
        if by_order {
            reserve.check_withdrawal_cap(gross, self.table.clock().unix_timestamp)?;
        }
        if gross > reserve.available {
            return Err(Refusal::integers(
                Code::InsufficientLiquidity,
                &key,
                reserve.available,
                gross,
            ));
        }
        reserve.available -= gross;
        reserve.ctoken_supply =
            reserve.ctoken_supply.checked_sub(ctokens).ok_or(Refusal::Abort { account: key })?;
        let config = &reserve.account.config;
        let fee_pct = if by_order {
            config.protocol_order_execution_fee_pct
        } else {
            config.protocol_liquidation_fee_pct
        };
        let fee = || -> Result<u64, Overflow> {
            let whole = Fraction::from_int(gross);
            let bonus = whole.try_sub(whole.try_div(self.gross)?)?;
            Ok(bonus.try_mul(Fraction::from_percent(u64::from(fee_pct)))?.ceil_u64()?.max(1))
        };
        let fee = fee().at(&key)?;
        let received = gross.checked_sub(fee).ok_or(Refusal::Abort { account: key })?;
        check_received(&key, received, min_received)?;
        Ok(Redemption { ctokens, gross, fee })
    }

    fn caveats(&self) -> Caveats {
        let caveats = self.obligation.health.caveats;
        let config = &self.repay_reserve.account.config;
        if config.early_repay_remaining_interest_pct != 0 && config.debt_term_seconds != 0 {
            caveats.and(Caveats::EARLY_REPAY_PENALTY)
        } else {
            caveats
        }
    }
}

/// cTokens that the vault can redeem for a liquidator. Orders stand in line
/// behind the withdraw queue, everything else before it.
fn redeemable(reserve: &ReserveState<'_>, reason: Reason) -> Result<u64, Refusal> {
    if matches!(reason, Reason::Order { .. }) {
        reserve.freely_redeemable_ctokens()
    } else {
        reserve.redeemable_ctokens()
    }
    .at(&reserve.key)
}

struct Redemption {
    ctokens: u64,
    gross: u64,
    fee: u64,
}

fn check_received(reserve: &Address, received: u64, least: u64) -> Result<(), Refusal> {
    if received < least {
        return Err(Refusal::integers(Code::LiquidationRewardTooSmall, reserve, received, least));
    }
    Ok(())
}

/// Whether the market lets anybody liquidate.
fn check_market(table: &ReserveTable<'_>) -> Result<(), Refusal> {
    let market = table.market();
    if market.emergency_mode != 0 {
        return Err(Refusal::klend(Code::GlobalEmergencyMode, table.market_key()));
    }
    if market.permissioned_ops & permissioned_ops::LIQUIDATE != 0 {
        return Err(Refusal::Unknowable {
            account: *table.market_key(),
            reason: Unknowable::Permissioned,
        });
    }
    Ok(())
}

/// Whether collateral of a reserve can be seized from an obligation at all.
fn check_liquidatable(
    table: &ReserveTable<'_>,
    obligation: &ObligationState<'_>,
    withdraw: &ReserveState<'_>,
) -> Result<(), Refusal> {
    let group = usize::from(obligation.account.elevation_group).checked_sub(1);
    let threshold = group
        .and_then(|index| table.market().elevation_groups.get(index))
        .map_or(withdraw.account.config.liquidation_threshold_pct, |group| {
            group.liquidation_threshold_pct
        });
    if threshold == 0 {
        return Err(Refusal::klend(Code::CollateralNonLiquidatable, &withdraw.key));
    }
    Ok(())
}

/// The checks klend makes on the three accounts before it looks at the
/// position.
fn check_entry(
    obligation: &ObligationState<'_>,
    repay: &ReserveState<'_>,
    withdraw: &ReserveState<'_>,
) -> Result<(), Refusal> {
    for reserve in [repay, withdraw] {
        reserve.unknowable()?;
        check_price(Code::ReserveStale, &reserve.key, reserve.price_status)?;
    }
    check_price(Code::ObligationStale, &obligation.key, obligation.health.price_status)?;
    // klend refreshes the farms at the end, which an obsolete reserve refuses.
    for (reserve, farm) in
        [(withdraw, &withdraw.account.farm_collateral), (repay, &repay.account.farm_debt)]
    {
        if keys::is_set(farm) && reserve.account.config.status == reserve_status::OBSOLETE {
            return Err(Refusal::klend(Code::ReserveObsolete, &reserve.key));
        }
    }
    Ok(())
}

fn check_price(error: Code, key: &Address, status: u8) -> Result<(), Refusal> {
    let wanted = price_status::LIQUIDATION_CHECKS;
    if status & wanted == wanted {
        Ok(())
    } else {
        Err(Refusal::integers(error, key, u64::from(status), u64::from(wanted)))
    }
}

/// Everything the choice of a reason looks at.
struct Case<'t> {
    table: &'t ReserveTable<'t>,
    obligation: &'t ObligationState<'t>,
    repay_reserve: ReserveState<'t>,
    withdraw_reserve: ReserveState<'t>,
    debt: BorrowState,
    deposit: DepositState,
}

impl Case<'_> {
    /// The first of klend's six reasons that applies, with its bonus.
    fn reason(
        &self,
        ltv: Fraction,
        no_bf_ltv: Fraction,
        limit: Fraction,
    ) -> Result<(Reason, Fraction), Refusal> {
        let key = &self.obligation.key;
        if ltv >= limit && self.table.market().price_triggered_liquidation_disabled == 0 {
            return Ok((Reason::LtvExceeded, self.ltv_bonus(ltv, no_bf_ltv, limit).at(key)?));
        }
        if let Some(bonus) = self.individual_deleveraging(ltv, no_bf_ltv).at(key)? {
            return Ok((Reason::IndividualDeleveraging, bonus));
        }
        if let Some(bonus) = self.market_wide_deleveraging(ltv, no_bf_ltv).at(key)? {
            return Ok((Reason::MarketWideDeleveraging, bonus));
        }
        if let Some(bonus) = self.maturity(no_bf_ltv).at(key)? {
            return Ok((Reason::ReserveDebtMaturityReached, bonus));
        }
        if let Some((seconds, bonus)) = self.debt_term(no_bf_ltv).at(key)? {
            return Ok((Reason::DebtTermReached { seconds }, bonus));
        }
        if let Some((index, bonus)) = self.order(ltv, no_bf_ltv, limit).at(key)? {
            return Ok((Reason::Order { index }, bonus));
        }
        Err(Refusal::fractions(Code::ObligationHealthy, key, ltv, limit))
    }

    fn now(&self) -> u64 {
        self.table.clock().unix_timestamp
    }

    /// Bonus for an LTV above the limit; the bad-debt bonus near insolvency.
    fn ltv_bonus(
        &self,
        ltv: Fraction,
        no_bf_ltv: Fraction,
        limit: Fraction,
    ) -> Result<Fraction, Overflow> {
        let collateral = &self.withdraw_reserve.account.config;
        let debt = &self.repay_reserve.account.config;
        let headroom = Fraction::ONE.saturating_sub(no_bf_ltv);
        if no_bf_ltv >= Fraction::from_percent(BAD_DEBT_LTV_PCT) {
            let bonus = Fraction::from_bps(u64::from(
                collateral.bad_debt_liquidation_bonus_bps.min(debt.bad_debt_liquidation_bonus_bps),
            ));
            return Ok(bonus.max(headroom));
        }
        let least = collateral.min_liquidation_bonus_bps.max(debt.min_liquidation_bonus_bps);
        let most = collateral
            .max_liquidation_bonus_bps
            .max(debt.max_liquidation_bonus_bps)
            .min(self.group_bonus_cap());
        Ok(Fraction::from_bps(u64::from(least))
            .max(ltv.try_sub(limit)?)
            .min(Fraction::from_bps(u64::from(most)))
            .min(headroom))
    }

    /// The elevation group's cap on bonuses, where it has one for this pair.
    fn group_bonus_cap(&self) -> u16 {
        let id = self.obligation.account.elevation_group;
        let pair = [&self.withdraw_reserve, &self.repay_reserve];
        let Some(group) = usize::from(id)
            .checked_sub(1)
            .and_then(|index| self.table.market().elevation_groups.get(index))
            .filter(|_| pair.iter().all(|reserve| reserve.in_elevation_group(id)))
        else {
            return u16::MAX;
        };
        let cap = group.max_liquidation_bonus_bps;
        let below_both =
            pair.iter().all(|reserve| cap <= reserve.account.config.max_liquidation_bonus_bps);
        if cap != 0 && below_both { cap } else { u16::MAX }
    }

    fn individual_deleveraging(
        &self,
        ltv: Fraction,
        no_bf_ltv: Fraction,
    ) -> Result<Option<Fraction>, Overflow> {
        let market = self.table.market();
        let account = self.obligation.account;
        let started = account.autodeleverage_margin_call_started_timestamp;
        let period = market.individual_autodeleverage_margin_call_period_secs;
        let target = Fraction::from_percent(u64::from(account.autodeleverage_target_ltv_pct));
        if started == 0 || market.autodeleverage_enabled == 0 || period == 0 || ltv <= target {
            return Ok(None);
        }
        let elapsed = self.now().saturating_sub(started);
        let Some(seconds) = elapsed.checked_sub(period) else { return Ok(None) };
        self.growing_bonus(self.stronger_config(), seconds, self.group_bonus_cap(), no_bf_ltv)
            .map(Some)
    }

    /// The reserve whose bonus rules pay more; the debt's where they are equal.
    fn stronger_config(&self) -> &Reserve {
        let rank = |reserve: &Reserve| {
            (
                reserve.config.max_liquidation_bonus_bps,
                reserve.config.deleveraging_bonus_increase_bps_per_day,
                reserve.config.min_deleveraging_bonus_bps,
            )
        };
        let (collateral, debt) = (self.withdraw_reserve.account, self.repay_reserve.account);
        if rank(collateral) > rank(debt) { collateral } else { debt }
    }

    fn market_wide_deleveraging(
        &self,
        ltv: Fraction,
        no_bf_ltv: Fraction,
    ) -> Result<Option<Fraction>, Overflow> {
        if self.table.market().autodeleverage_enabled == 0 {
            return Ok(None);
        }
        let collateral_limit = self.withdraw_reserve.deposit_limit()?;
        let debt_limit = self.repay_reserve.borrow_limit();
        for (reserve, limit) in [
            (self.withdraw_reserve.account, collateral_limit),
            (self.repay_reserve.account, debt_limit),
        ] {
            let config = &reserve.config;
            if config.autodeleverage_enabled == 0 || !limit.crossed || limit.crossed_at == 0 {
                continue;
            }
            let elapsed = self.now().saturating_sub(limit.crossed_at);
            let Some(seconds) = elapsed.checked_sub(config.deleveraging_margin_call_period_secs)
            else {
                continue;
            };
            let decrease = Fraction::from_bps(config.deleveraging_threshold_decrease_bps_per_day)
                .try_mul(days(seconds)?)?;
            if ltv < Fraction::ONE.saturating_sub(decrease) {
                return Ok(None);
            }
            return self.growing_bonus(reserve, seconds, u16::MAX, no_bf_ltv).map(Some);
        }
        Ok(None)
    }

    fn maturity(&self, no_bf_ltv: Fraction) -> Result<Option<Fraction>, Overflow> {
        let reserve = self.repay_reserve.account;
        let maturity = reserve.config.debt_maturity_timestamp;
        if maturity == 0
            || maturity > self.now()
            || self.table.market().mature_reserve_debt_liquidation_enabled == 0
        {
            return Ok(None);
        }
        self.growing_bonus(reserve, self.now() - maturity, u16::MAX, no_bf_ltv).map(Some)
    }

    fn debt_term(&self, no_bf_ltv: Fraction) -> Result<Option<(u64, Fraction)>, Overflow> {
        let Some(seconds) = self.debt.term_end.and_then(|end| self.now().checked_sub(end)) else {
            return Ok(None);
        };
        if self.table.market().obligation_borrow_debt_term_liquidation_enabled == 0 {
            return Ok(None);
        }
        let bonus =
            self.growing_bonus(self.stronger_config(), seconds, self.group_bonus_cap(), no_bf_ltv)?;
        Ok(Some((seconds, bonus)))
    }

    /// Bonus that grows with the days passed, capped.
    fn growing_bonus(
        &self,
        reserve: &Reserve,
        seconds: u64,
        group_cap: u16,
        no_bf_ltv: Fraction,
    ) -> Result<Fraction, Overflow> {
        let config = &reserve.config;
        let growth = Fraction::from_bps(config.deleveraging_bonus_increase_bps_per_day)
            .try_mul(days(seconds)?)?;
        let bonus =
            Fraction::from_bps(u64::from(config.min_deleveraging_bonus_bps)).try_add(growth)?;
        let cap = Fraction::from_bps(u64::from(config.max_liquidation_bonus_bps.min(group_cap)));
        Ok(bonus.min(cap).min(Fraction::ONE.saturating_sub(no_bf_ltv)))
    }

    /// The first of the owner's orders that applies.
    fn order(
        &self,
        ltv: Fraction,
        no_bf_ltv: Fraction,
        limit: Fraction,
    ) -> Result<Option<(u8, Fraction)>, Overflow> {
        let market = self.table.market();
        if market.obligation_order_execution_enabled == 0 {
            return Ok(None);
        }
        let price_triggered_allowed = market.price_triggered_liquidation_disabled == 0;
        for (index, order) in (0u8..).zip(&self.obligation.account.obligation_orders) {
            let Some(condition) = Condition::of(order) else { continue };
            if condition.is_price_triggered() && !price_triggered_allowed {
                continue;
            }
            let Some(distance) = self.order_distance(condition, order, ltv, limit)? else {
                continue;
            };
            let least = Fraction::from_bps(u64::from(order.min_execution_bonus_bps));
            let most = Fraction::from_bps(u64::from(order.max_execution_bonus_bps));
            let bonus = distance.try_mul(most.try_sub(least)?)?.try_add(least)?;
            return Ok(Some((index, bonus.min(Fraction::ONE.saturating_sub(no_bf_ltv)))));
        }
        Ok(None)
    }

    /// How far past its threshold an order's condition is, of the way to
    /// liquidation; `None` where it does not hold.
    fn order_distance(
        &self,
        condition: Condition,
        order: &ObligationOrder,
        ltv: Fraction,
        limit: Fraction,
    ) -> Result<Option<Fraction>, Overflow> {
        let parameter = Fraction::from(order.condition_threshold_sf);
        let stop_loss = |current: Fraction, threshold: Fraction, liquidation: Fraction| {
            if current <= threshold {
                return Ok(None);
            }
            if threshold >= liquidation {
                return Ok(Some(Fraction::ONE));
            }
            let way = liquidation.try_sub(threshold)?;
            current.try_sub(threshold)?.try_div(way).map(Some)
        };
        let take_profit = |current: Fraction| {
            if current >= parameter {
                return Ok(None);
            }
            parameter.try_sub(current)?.try_div(parameter).map(Some)
        };
        match condition {
            Condition::LtvAbove => stop_loss(ltv, parameter, limit),
            Condition::LtvBelow => take_profit(ltv),
            Condition::PriceRatioAbove => {
                let ratio = self.price_ratio()?;
                let liquidation = ratio.try_mul(limit)?.try_div(ltv)?;
                stop_loss(ratio, parameter, liquidation)
            }
            Condition::PriceRatioBelow => take_profit(self.price_ratio()?),
            // klend aborts on an unconditional order with a range of bonuses,
            // which it never lets an owner place.
            Condition::Always if order.min_execution_bonus_bps != order.max_execution_bonus_bps => {
                Err(Overflow)
            }
            Condition::Always => Ok(Some(Fraction::ZERO)),
            Condition::CloserToLiquidationThan => {
                stop_loss(ltv, limit.saturating_sub(parameter), limit)
            }
        }
    }

    /// Price of the debt in units of the collateral.
    fn price_ratio(&self) -> Result<Fraction, Overflow> {
        self.repay_reserve.market_price.try_div(self.withdraw_reserve.market_price)
    }

    /// klend's order of debts and collaterals, which deleveraging is free of.
    fn check_priorities(&self, reason: Reason) -> Result<(), Refusal> {
        let health = &self.obligation.health;
        if reason == Reason::LtvExceeded {
            let factor = if self.obligation.account.elevation_group == 0 {
                self.repay_reserve.borrow_factor_pct()
            } else {
                100
            };
            if factor < health.highest_borrow_factor_pct {
                return Err(Refusal::integers(
                    Code::LiquidationBorrowFactorPriority,
                    &self.repay_reserve.key,
                    factor,
                    health.highest_borrow_factor_pct,
                ));
            }
        }
        let any_collateral =
            matches!(reason, Reason::IndividualDeleveraging | Reason::MarketWideDeleveraging);
        let threshold = self.deposit.liquidation_threshold_pct;
        if !any_collateral && threshold > health.lowest_liquidation_threshold_pct {
            return Err(Refusal::integers(
                Code::LiquidationLowestLiquidationLtvPriority,
                &self.withdraw_reserve.key,
                u64::from(threshold),
                u64::from(health.lowest_liquidation_threshold_pct),
            ));
        }
        Ok(())
    }

    /// The most debt that may be repaid now, raw units.
    fn max_repay(&self, reason: Reason, ltv: Fraction) -> Result<Fraction, Overflow> {
        let market = self.table.market();
        let borrowed = self.debt.borrowed;
        match reason {
            Reason::LtvExceeded
            | Reason::IndividualDeleveraging
            | Reason::MarketWideDeleveraging => {
                let insolvent =
                    Fraction::from_percent(u64::from(market.insolvency_risk_unhealthy_ltv_pct));
                let close_factor = if ltv > insolvent {
                    Fraction::ONE
                } else {
                    Fraction::from_percent(u64::from(market.liquidation_max_debt_close_factor_pct))
                };
                let value = self
                    .obligation
                    .health
                    .borrowed_value
                    .try_mul(close_factor)?
                    .min(self.debt.market_value)
                    .min(Fraction::from_int(market.max_liquidatable_debt_market_value_at_once));
                borrowed.try_mul(value.try_div(self.debt.market_value)?)
            }
            Reason::ReserveDebtMaturityReached => Ok(borrowed),
            Reason::DebtTermReached { seconds } => {
                let duration = market.term_based_full_liquidation_duration_secs;
                if duration == 0 {
                    return Ok(borrowed);
                }
                let held_back = Fraction::from_int(self.debt.amount_at_expiration).mul_ratio(
                    u128::from(duration.saturating_sub(seconds)),
                    u128::from(duration),
                )?;
                Ok(borrowed.saturating_sub(held_back))
            }
            Reason::Order { index } => {
                let order = &self.obligation.account.obligation_orders[usize::from(index)];
                let cap = if order.opportunity_type == OPPORTUNITY_SINGLE_DEBT_AMOUNT {
                    Fraction::from(order.opportunity_parameter_sf)
                } else {
                    Fraction::MAX
                };
                Ok(cap.min(borrowed))
            }
        }
    }
}

/// `opportunity_type` of an order for an amount of its single debt; the other
/// known one is for all debt.
const OPPORTUNITY_SINGLE_DEBT_AMOUNT: u8 = 0;

/// `condition_type` of an order.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Condition {
    LtvAbove,
    LtvBelow,
    PriceRatioAbove,
    PriceRatioBelow,
    Always,
    CloserToLiquidationThan,
}

impl Condition {
    /// `None` for an empty order and for kinds the public source does not know.
    fn of(order: &ObligationOrder) -> Option<Self> {
        Some(match order.condition_type {
            1 => Self::LtvAbove,
            2 => Self::LtvBelow,
            3 => Self::PriceRatioAbove,
            4 => Self::PriceRatioBelow,
            5 => Self::Always,
            6 => Self::CloserToLiquidationThan,
            _ => return None,
        })
    }

    fn is_price_triggered(self) -> bool {
        self != Self::Always
    }
}

/// Seconds as a fraction of days.
fn days(seconds: u64) -> Result<Fraction, Overflow> {
    Fraction::from_int(seconds).try_div_int(u128::from(SECONDS_PER_DAY))
}
