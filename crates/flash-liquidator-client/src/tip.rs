//! Tips to whoever builds the block, paid in the transaction itself: a failed
//! liquidation pays none.

use solana_address::Address;
use solana_instruction::Instruction;

/// A tip.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Tip {
    /// Who gets it. A bundle endpoint tells its accounts (Jito's
    /// `getTipAccounts`); lists change. It must be spelled out in the message:
    /// keep it out of lookup tables.
    pub account: Address,
    /// How much.
    pub lamports: u64,
}

impl Tip {
    /// Pays it. Put it after the flash repay: in front it would shift the indexes
    /// the loan is found by.
    #[must_use]
    pub fn instruction(&self, payer: &Address) -> Instruction {
        solana_system_interface::instruction::transfer(payer, &self.account, self.lamports)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tip_is_a_transfer_that_the_payer_signs() {
        let key = |byte| Address::new_from_array([byte; 32]);
        let tip = Tip { account: key(2), lamports: 1_000 }.instruction(&key(1));
        assert_eq!(tip.program_id, solana_sdk_ids::system_program::ID);
        assert_eq!(tip.data, [&[2, 0, 0, 0][..], &1_000u64.to_le_bytes()].concat());
        let accounts: Vec<_> =
            tip.accounts.iter().map(|m| (m.pubkey, m.is_signer, m.is_writable)).collect();
        assert_eq!(accounts, [(key(1), true, true), (key(2), false, true)]);
    }
}
