//! Durable nonces: transactions that do not expire with a blockhash.
//!
//! A transaction with a nonce begins with [`DurableNonce::advance`] and carries
//! the nonce in the place of a recent blockhash. The runtime looks for it in the
//! very first instruction, in front of the compute budget's; it shifts every
//! other instruction by one, so the indexes of the flash loan have to be counted
//! with it in place. [`FlashLiquidation::nonce`] does both. Whoever holds such a
//! transaction can send it much later: it needs a `deadline_slot`.
//!
//! [`FlashLiquidation::nonce`]: crate::flash_liquidation::FlashLiquidation::nonce

use solana_address::Address;
use solana_hash::Hash;
use solana_instruction::Instruction;

/// Bytes of a nonce account.
pub const NONCE_ACCOUNT_LEN: usize = 80;

/// A nonce account's state.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Nonce {
    /// Who may use it.
    pub authority: Address,
    /// What stands in for a blockhash.
    pub value: Hash,
}

/// A nonce that a transaction is going to use up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DurableNonce {
    /// The nonce account.
    pub account: Address,
    /// Its state ([`read`]). The authority signs the transaction.
    pub state: Nonce,
}

impl DurableNonce {
    /// Uses the nonce up; has to be the transaction's first instruction.
    #[must_use]
    pub fn advance(&self) -> Instruction {
        let authority = &self.state.authority;
        solana_system_interface::instruction::advance_nonce_account(&self.account, authority)
    }
}

/// Reads a nonce account; `None` if it is none, or has not been initialised.
#[must_use]
pub fn read(owner: &Address, data: &[u8]) -> Option<Nonce> {
    // Version (current), state (initialised), authority, nonce, fee per signature.
    const INITIALISED: [u8; 8] = [1, 0, 0, 0, 1, 0, 0, 0];
    if *owner != solana_sdk_ids::system_program::ID || data.len() != NONCE_ACCOUNT_LEN {
        return None;
    }
    let fields = data.strip_prefix(&INITIALISED)?;
    let (authority, fields) = fields.split_first_chunk()?;
    let value = fields.first_chunk()?;
    Some(Nonce {
        authority: Address::new_from_array(*authority),
        value: Hash::new_from_array(*value),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_an_initialised_account_of_the_system_program_is_a_nonce() {
        let mut data = vec![1, 0, 0, 0, 1, 0, 0, 0];
        data.extend([7; 32]);
        data.extend([8; 32]);
        data.extend(5_000u64.to_le_bytes());
        let system = solana_sdk_ids::system_program::ID;
        let nonce = read(&system, &data).unwrap();
        assert_eq!(nonce.authority, Address::new_from_array([7; 32]));
        assert_eq!(nonce.value, Hash::new_from_array([8; 32]));
        assert_eq!(read(&nonce.authority, &data), None);
        assert_eq!(read(&system, &data[..79]), None);
        data[4] = 0;
        assert_eq!(read(&system, &data), None);
    }

    #[test]
    fn advancing_is_signed_by_the_authority_alone() {
        let key = |byte| Address::new_from_array([byte; 32]);
        let state = Nonce { authority: key(2), value: Hash::default() };
        let advance = DurableNonce { account: key(1), state }.advance();
        assert_eq!(advance.data, 4u32.to_le_bytes());
        let signers: Vec<_> =
            advance.accounts.iter().filter(|m| m.is_signer).map(|m| m.pubkey).collect();
        assert_eq!(signers, [key(2)]);
    }
}
