//! Compute-unit limit and price of a transaction.
//!
//! The receiver finds the flash loan by the indexes it is given, so these
//! instructions may stand anywhere; they are put first by custom.

use solana_compute_budget_interface::ComputeBudgetInstruction;
use solana_instruction::Instruction;

/// Most compute units a transaction may ask for.
pub const MAX_COMPUTE_UNITS: u32 = 1_400_000;

/// Most bytes of account data a transaction may load; what v0 transactions get
/// unless they ask for less.
pub const MAX_LOADED_BYTES: u32 = 64 * 1024 * 1024;

/// What a transaction asks of the scheduler.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ComputeBudget {
    /// Compute units the transaction may use; `None` leaves the runtime's
    /// default of 200,000 per instruction (3,000 for builtin programs).
    pub unit_limit: Option<u32>,
    /// Priority fee in micro-lamports per compute unit; 0 for none.
    pub unit_price: u64,
}

impl ComputeBudget {
    /// The instructions that say so: none, one or two.
    #[must_use]
    pub fn instructions(&self) -> Vec<Instruction> {
        let limit = self.unit_limit.map(ComputeBudgetInstruction::set_compute_unit_limit);
        let price = (self.unit_price > 0)
            .then(|| ComputeBudgetInstruction::set_compute_unit_price(self.unit_price));
        limit.into_iter().chain(price).collect()
    }

    /// The priority fee in lamports, rounded up as the runtime does: the price
    /// is paid for the limit, not for what is used.
    #[must_use]
    pub fn priority_fee(&self) -> Option<u64> {
        let limit = u128::from(self.unit_limit?.min(MAX_COMPUTE_UNITS));
        u64::try_from((limit * u128::from(self.unit_price)).div_ceil(1_000_000)).ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_asked_for_takes_an_instruction() {
        assert!(ComputeBudget::default().instructions().is_empty());
        let budget = ComputeBudget { unit_limit: Some(300_000), unit_price: 5 };
        let [limit, price] = &budget.instructions()[..] else { panic!("two instructions") };
        assert_eq!(limit.data, [&[2][..], &300_000u32.to_le_bytes()].concat());
        assert_eq!(price.data, [&[3][..], &5u64.to_le_bytes()].concat());
    }

    #[test]
    fn the_priority_fee_is_rounded_up() {
        let fee = |unit_limit, unit_price| ComputeBudget { unit_limit, unit_price }.priority_fee();
        assert_eq!(fee(Some(200_000), 10_000), Some(2_000));
        assert_eq!(fee(Some(1), 1), Some(1));
        assert_eq!(fee(Some(u32::MAX), 1_000_000), Some(1_400_000));
        assert_eq!(fee(None, 1), None);
    }
}
