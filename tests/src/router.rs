//! Swaps as top-level instructions, signed by the keeper itself.

use klend_fork::Pool;
use solana_address::Address;
use solana_instruction::{AccountMeta, Instruction};
use swap_stand_in::{Variant, swap_data};

/// What is sold, out of which account, and where the proceeds go.
#[derive(Clone, Copy, Debug)]
pub struct Swap {
    /// The keeper, who signs.
    pub keeper: Address,
    /// Mint of what is sold.
    pub sold: Address,
    /// The keeper's account of it.
    pub from: Address,
    /// Token account for what is bought.
    pub to: Address,
    /// Units to sell.
    pub amount: u64,
}

impl Swap {
    /// The swap in `pool`, which is honest or not.
    ///
    /// # Panics
    /// When the pool does not trade what is sold.
    #[must_use]
    pub fn through(&self, pool: &Pool, variant: Variant, parameter: u64) -> Instruction {
        let leg = pool
            .leg(&self.keeper, 0, &self.sold, &self.from, &self.to, 0)
            .expect("the pool trades what is sold");
        let mut accounts = leg.accounts;
        // In a leg the swap authority pays.
        accounts[0] = AccountMeta::new_readonly(self.keeper, true);
        let data = swap_data(variant, self.amount, 0, parameter);
        Instruction { program_id: leg.program, accounts, data }
    }
}
