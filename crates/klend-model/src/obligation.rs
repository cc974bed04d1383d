//! An obligation's value and how close it is to liquidation.
//!
//! All values are in the market's currency (US dollars on Kamino's markets) as
//! [`Fraction`]s, bit for bit what `refresh_obligation` writes.

use klend_interface::state::Obligation;
use solana_address::Address;

use crate::{
    constants::{MAX_BORROWS, MAX_DEPOSITS, price_status},
    fraction::{Fraction, Overflow},
};

/// The sums of an obligation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
pub struct Health {
    /// Value of all deposits.
    pub deposited_value: Fraction,
    /// Value of all debts.
    pub borrowed_value: Fraction,
    /// Value of all debts, each weighted with its borrow factor.
    pub adjusted_debt_value: Fraction,
    /// Weighted debt value up to which the owner may borrow.
    pub allowed_borrow_value: Fraction,
    /// Weighted debt value from which the obligation is unhealthy.
    pub unhealthy_borrow_value: Fraction,
    /// Lowest non-zero liquidation threshold among deposits worth counting, per
    /// cent; 255 if there is none. klend has it seized first.
    pub lowest_liquidation_threshold_pct: u8,
    /// Highest borrow factor among debts worth counting, per cent, at least
    /// 100. klend has it repaid first.
    pub highest_borrow_factor_pct: u64,
    /// Status bits that all its reserves' prices have in common.
    pub price_status: u8,
}

/// One deposit, valued.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DepositState {
    /// Position of its reserve in [`crate::table::ReserveTable::reserves`].
    pub reserve: usize,
    /// cTokens, raw units.
    pub ctokens: u64,
    /// Value.
    pub market_value: Fraction,
    /// Liquidation threshold that applies (the group's in an elevation group).
    pub liquidation_threshold_pct: u8,
    /// The same as klend multiplies with it.
    pub liquidation_threshold: Fraction,
    /// Loan-to-value that applies.
    pub loan_to_value: Fraction,
}

/// One debt, with interest, valued.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BorrowState {
    /// Position of its reserve in [`crate::table::ReserveTable::reserves`].
    pub reserve: usize,
    /// Debt, raw units.
    pub borrowed: Fraction,
    /// Value.
    pub market_value: Fraction,
    /// Value weighted with the borrow factor.
    pub adjusted_value: Fraction,
    /// The borrow factor that applies (one in an elevation group).
    pub borrow_factor: Fraction,
    /// Unix time at which a fixed term ends.
    pub term_end: Option<u64>,
    /// Debt at the first refresh after the term's end; 0 before.
    pub amount_at_expiration: u64,
}

/// An obligation at the moment of a [`crate::table::ReserveTable`].
#[derive(Debug, Clone, Copy)]
pub struct ObligationState<'o> {
    /// The obligation's address.
    pub key: Address,
    /// The account.
    pub account: &'o Obligation,
    /// Deposits in their slots.
    pub deposits: [Option<DepositState>; MAX_DEPOSITS],
    /// Debts in their slots.
    pub borrows: [Option<BorrowState>; MAX_BORROWS],
    /// The sums.
    pub health: Health,
}

impl Health {
    pub(crate) const EMPTY: Self = Self {
        deposited_value: Fraction::ZERO,
        borrowed_value: Fraction::ZERO,
        adjusted_debt_value: Fraction::ZERO,
        allowed_borrow_value: Fraction::ZERO,
        unhealthy_borrow_value: Fraction::ZERO,
        lowest_liquidation_threshold_pct: u8::MAX,
        highest_borrow_factor_pct: 100,
        price_status: price_status::ALL_CHECKS,
    };

    /// Weighted debt over deposits: klend's user LTV. An overflow when there are
    /// no deposits.
    pub fn ltv(&self) -> Result<Fraction, Overflow> {
        self.adjusted_debt_value.try_div(self.deposited_value)
    }

    /// Plain debt over deposits.
    pub fn no_borrow_factor_ltv(&self) -> Result<Fraction, Overflow> {
        self.borrowed_value.try_div(self.deposited_value)
    }

    /// The LTV from which the obligation is unhealthy.
    pub fn liquidation_ltv(&self) -> Result<Fraction, Overflow> {
        self.unhealthy_borrow_value.try_div(self.deposited_value)
    }

    /// The LTV up to which the owner may borrow.
    pub fn max_ltv(&self) -> Result<Fraction, Overflow> {
        self.allowed_borrow_value.try_div(self.deposited_value)
    }

    /// Whether the LTV is at or above the liquidation LTV, compared as klend
    /// compares them; false without deposits or debt.
    #[must_use]
    pub fn is_unhealthy(&self) -> bool {
        let (debt, limit) = (self.adjusted_debt_value, self.unhealthy_borrow_value);
        if debt == Fraction::ZERO || self.deposited_value == Fraction::ZERO {
            return false;
        }
        if debt >= limit {
            return true;
        }
        // The two LTVs can only round to the same number when their values
        // differ by less than a unit of the quotient.
        let apart = limit.saturating_sub(debt);
        if apart.to_bits() > self.deposited_value.floor() {
            return false;
        }
        matches!((self.ltv(), self.liquidation_ltv()), (Ok(ltv), Ok(limit)) if ltv >= limit)
    }

    /// Unhealthy borrow value over weighted debt: below one is liquidatable.
    /// `None` without debt.
    #[must_use]
    pub fn health_factor(&self) -> Option<Fraction> {
        self.unhealthy_borrow_value.try_div(self.adjusted_debt_value).ok()
    }

    /// By what share all deposits may lose value before the obligation is
    /// unhealthy: 0 when it is, `None` without debt.
    #[must_use]
    pub fn distance_to_liquidation(&self) -> Option<Fraction> {
        if self.adjusted_debt_value == Fraction::ZERO {
            return None;
        }
        let used = self.adjusted_debt_value.try_div(self.unhealthy_borrow_value);
        Some(used.map_or(Fraction::ZERO, |used| Fraction::ONE.saturating_sub(used)))
    }

    /// Weighted debt value the owner could still add.
    #[must_use]
    pub fn borrowing_capacity(&self) -> Fraction {
        self.allowed_borrow_value.saturating_sub(self.adjusted_debt_value)
    }
}

impl ObligationState<'_> {
    /// The deposit in a reserve, with its slot.
    #[must_use]
    pub fn deposit(&self, reserve: usize) -> Option<(usize, &DepositState)> {
        self.deposits.iter().enumerate().find_map(|(slot, deposit)| {
            deposit.as_ref().filter(|deposit| deposit.reserve == reserve).map(|d| (slot, d))
        })
    }

    /// The debt in a reserve, with its slot.
    #[must_use]
    pub fn borrow(&self, reserve: usize) -> Option<(usize, &BorrowState)> {
        self.borrows.iter().enumerate().find_map(|(slot, borrow)| {
            borrow.as_ref().filter(|borrow| borrow.reserve == reserve).map(|b| (slot, b))
        })
    }
}
