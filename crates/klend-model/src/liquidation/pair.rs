//! One debt and one collateral: what is paid, seized, redeemed and left.

use solana_address::Address;

use super::{After, FlashLoan, Quote, Reason, ReserveAfter, case::Case, entry};
use crate::{
    errors::Code,
    fraction::{Fraction, Overflow},
    obligation::{BorrowState, DepositState, ObligationState},
    refusal::{At, Refusal},
    reserve::ReserveState,
    table::ReserveTable,
};

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
    /// Checks that klend would liquidate this pair at all, and why. Of the amount
    /// only whether it is zero matters here.
    pub(crate) fn open<'a: 't>(
        table: &'t ReserveTable<'a>,
        obligation: &'t ObligationState<'_>,
        repay: usize,
        withdraw: usize,
        amount: u64,
    ) -> Result<Self, Refusal> {
        let repay_reserve = table.reserves()[repay];
        let withdraw_reserve = table.reserves()[withdraw];
        entry::check(table, obligation, &repay_reserve, &withdraw_reserve, amount)?;
        let health = &obligation.health;
        let key = &obligation.key;
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
        let max_repay = if small { debt.borrowed } else { case.max_repay(reason, ltv)? };
        entry::check_farms(&repay_reserve, &withdraw_reserve)?;
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

    /// Why klend lets it be liquidated.
    pub(super) fn reason(&self) -> Reason {
        self.reason
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
        if self.table.version().checks_limits_after_repayment() {
            // Whole tokens are paid for a fraction of debt: the sum may be too large now.
            repay_reserve.total_supply().at(&repay_reserve.key)?;
        }
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
