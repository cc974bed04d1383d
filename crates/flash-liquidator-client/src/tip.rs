//! Tips to whoever builds the block, paid in the transaction itself: a failed
//! liquidation pays none.

use solana_address::Address;
use solana_instruction::Instruction;

/// Pays `lamports` to a tip account. Put it after the flash repay: in front it
/// would shift the indexes the loan is found by.
///
/// The account comes from the caller. A bundle endpoint tells its own (Jito's
/// `getTipAccounts`); lists change.
#[must_use]
pub fn tip(payer: &Address, account: &Address, lamports: u64) -> Instruction {
    solana_system_interface::instruction::transfer(payer, account, lamports)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tip_is_a_transfer_that_the_payer_signs() {
        let key = |byte| Address::new_from_array([byte; 32]);
        let tip = tip(&key(1), &key(2), 1_000);
        assert_eq!(tip.program_id, solana_sdk_ids::system_program::ID);
        assert_eq!(tip.data, [&[2, 0, 0, 0][..], &1_000u64.to_le_bytes()].concat());
        let accounts: Vec<_> =
            tip.accounts.iter().map(|m| (m.pubkey, m.is_signer, m.is_writable)).collect();
        assert_eq!(accounts, [(key(1), true, true), (key(2), false, true)]);
    }
}
