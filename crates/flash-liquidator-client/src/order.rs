//! From a quote to the liquidation that takes it.
//!
//! [`klend_model`] says what klend will do with the accounts as they are; an
//! [`Order`] adds what a keeper concedes to the time until the transaction lands:
//! interest accrues, prices move, somebody else borrows from the same vault.

use klend_model::{
    liquidation::{Quote, Request},
    search::Best,
};
use solana_address::Address;

use crate::{
    compute_budget::ComputeBudget,
    flash_liquidation::{FlashLiquidation, KeeperAccounts, Refresh},
    klend::PositionAddresses,
    receiver::{BuildError, Redemption, Route, Terms},
};

/// Basis points in one.
const FULL_BPS: u16 = 10_000;

/// What a keeper insists on, and what it concedes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Least profit after loan and fee, raw units of the debt's token; negative
    /// consents to a loss.
    pub min_profit: i64,
    /// How much less collateral than quoted may arrive, in basis points.
    pub slippage_bps: u16,
    /// How much more than the quoted repayment is borrowed where klend decides how
    /// much it takes, in basis points: the debt grows until the transaction lands.
    pub loan_margin_bps: u16,
    /// Last slot in which it may execute; 0 for none.
    pub deadline_slot: u64,
    /// Whether cTokens that klend cannot redeem are acceptable.
    pub redemption: Redemption,
}

impl Default for Limits {
    /// No loss, half a per cent of slippage, a tenth of a per cent more loan, full
    /// redemption, no deadline.
    fn default() -> Self {
        Self {
            min_profit: 0,
            slippage_bps: 50,
            loan_margin_bps: 10,
            deadline_slot: 0,
            redemption: Redemption::RequireFull,
        }
    }
}

/// What to liquidate, with whose loan, on what terms.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Order {
    /// Reserve of the debt.
    pub repay_reserve: Address,
    /// Reserve of the collateral.
    pub withdraw_reserve: Address,
    /// Reserve that lends.
    pub flash_reserve: Address,
    /// Principal of the loan, raw units.
    pub flash_amount: u64,
    /// What the keeper signs for.
    pub terms: Terms,
}

impl Order {
    /// An order for a quoted liquidation with a loan of `lender`.
    ///
    /// A quote that takes all klend allows is ordered as "all", so that interest
    /// accrued until then is covered; a smaller one keeps its amount.
    #[must_use]
    pub fn new(request: &Request, quote: &Quote, lender: &Address, limits: &Limits) -> Self {
        let whole = quote.max_repay.ceil_u64().unwrap_or(u64::MAX);
        let takes_all = quote.must_repay_all || quote.repay >= whole;
        let (repay_amount, flash_amount) = if takes_all {
            (u64::MAX, more(quote.repay, limits.loan_margin_bps))
        } else {
            (quote.repay, quote.repay)
        };
        Self {
            repay_reserve: request.repay_reserve,
            withdraw_reserve: request.withdraw_reserve,
            flash_reserve: *lender,
            flash_amount,
            terms: Terms {
                repay_amount,
                min_collateral_received: less(quote.received, limits.slippage_bps),
                min_profit: limits.min_profit,
                deadline_slot: limits.deadline_slot,
                redemption: limits.redemption,
            },
        }
    }

    /// An order for the best liquidation found; `None` if it was looked for
    /// without a flash loan.
    #[must_use]
    pub fn of(best: &Best, limits: &Limits) -> Option<Self> {
        let loan = best.loan?;
        Some(Self::new(&best.request, &best.quote, &loan.reserve, limits))
    }

    /// The liquidation, on the keeper's associated token accounts. `route` is
    /// `None` when the collateral is kept, or is the debt's token itself. Compute
    /// budget, nonce and tip are the caller's to add.
    ///
    /// # Errors
    /// [`BuildError`]: a reserve was not given to [`PositionAddresses::read`].
    pub fn liquidation<'a>(
        &self,
        position: &'a PositionAddresses,
        keeper: &Address,
        route: Option<Route>,
    ) -> Result<FlashLiquidation<'a>, BuildError> {
        let reserve = |key: &Address| {
            position.reserve(key).ok_or(BuildError::ReserveMissing {
                obligation: position.obligation.obligation,
                reserve: *key,
            })
        };
        let (repay, withdraw) = (reserve(&self.repay_reserve)?, reserve(&self.withdraw_reserve)?);
        Ok(FlashLiquidation {
            keeper: *keeper,
            keeper_accounts: KeeperAccounts::associated(keeper, repay, withdraw),
            obligation: &position.obligation,
            reserves: &position.reserves,
            referrer_token_states: &position.referrer_token_states,
            repay_reserve: self.repay_reserve,
            withdraw_reserve: self.withdraw_reserve,
            flash_reserve: position
                .reserve(&self.flash_reserve)
                .ok_or(BuildError::LenderMissing { reserve: self.flash_reserve })?,
            flash_amount: self.flash_amount,
            permissioner: None,
            terms: self.terms,
            route,
            compute_budget: ComputeBudget::default(),
            price_refresh: None,
            setup: Vec::new(),
            refresh: Refresh::default(),
            nonce: None,
            tip: None,
        })
    }
}

/// `amount` and `bps` of it, rounded up.
fn more(amount: u64, bps: u16) -> u64 {
    let extra = (u128::from(amount) * u128::from(bps)).div_ceil(u128::from(FULL_BPS));
    amount.saturating_add(u64::try_from(extra).unwrap_or(u64::MAX))
}

/// `amount` less `bps` of it, rounded down.
fn less(amount: u64, bps: u16) -> u64 {
    let kept = u128::from(FULL_BPS.saturating_sub(bps));
    u64::try_from(u128::from(amount) * kept / u128::from(FULL_BPS)).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn margins_round_away_from_the_edge() {
        assert_eq!(more(10_000, 5), 10_005);
        assert_eq!(more(1, 5), 2);
        assert_eq!(more(u64::MAX, 5), u64::MAX);
        assert_eq!(less(10_000, 50), 9_950);
        assert_eq!(less(1, 50), 0);
        assert_eq!(less(u64::MAX, 0), u64::MAX);
        assert_eq!(less(7, 10_001), 0);
    }
}
