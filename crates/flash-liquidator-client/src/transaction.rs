//! What goes over the wire, in either format: [`budget`](crate::budget) compiles messages.
//!
//! Signing is the caller's: this crate holds no keys.

use solana_message::VersionedMessage;

/// Most bytes of a legacy or v0 transaction, signatures included.
pub const MAX_TRANSACTION_BYTES: usize = 1_232;

/// Bytes of one signature.
const SIGNATURE_BYTES: usize = 64;

/// Bytes of the transaction on the wire once it is signed.
#[must_use]
pub fn transaction_bytes(message: &VersionedMessage) -> usize {
    let signatures = usize::from(message.header().num_required_signatures);
    count_of_signatures(message).len() + signatures * SIGNATURE_BYTES + message.serialize().len()
}

/// The bytes that go over the wire. Legacy and v0 transactions are signatures,
/// their count in front, then the message; a v1 transaction is the message, whose
/// header counts the signatures, then those.
#[must_use]
pub fn wire_bytes(signatures: &[[u8; SIGNATURE_BYTES]], message: &VersionedMessage) -> Vec<u8> {
    let message_bytes = message.serialize();
    let signature_bytes = signatures.concat();
    if matches!(message, VersionedMessage::V1(_)) {
        [message_bytes, signature_bytes].concat()
    } else {
        [count_of_signatures(message), signature_bytes, message_bytes].concat()
    }
}

/// The signatures' count as a compact-u16: two bytes from 128 on.
fn count_of_signatures(message: &VersionedMessage) -> Vec<u8> {
    let count = message.header().num_required_signatures;
    match message {
        VersionedMessage::V1(_) => Vec::new(),
        _ if count < 0x80 => vec![count],
        _ => vec![count, 1],
    }
}

#[cfg(test)]
mod tests {
    use solana_address::Address;
    use solana_hash::Hash;
    use solana_instruction::{AccountMeta, Instruction};
    use solana_message::AddressLookupTableAccount;

    use super::*;
    use crate::budget::compile_v0;

    fn instruction(accounts: usize) -> Instruction {
        Instruction {
            program_id: Address::new_from_array([1; 32]),
            accounts: (0..accounts)
                .map(|i| AccountMeta::new(Address::new_from_array([i as u8 + 10; 32]), false))
                .collect(),
            data: vec![7; 20],
        }
    }

    #[test]
    fn a_lookup_table_makes_it_fit() {
        let payer = Address::new_from_array([2; 32]);
        let instruction = instruction(40);
        let table = AddressLookupTableAccount {
            key: Address::new_from_array([3; 32]),
            addresses: crate::lookup_table::candidates(std::slice::from_ref(&instruction), &payer),
        };
        let message = compile_v0(&payer, &[instruction], &[table], Hash::default()).unwrap();
        // 1 signature; version, header, payer and program, blockhash; one
        // instruction of 40 account indexes and 20 bytes; one lookup of 40.
        let expected =
            1 + 64 + (1 + 3 + 1 + 2 * 32 + 32) + 1 + (1 + 1 + 40 + 1 + 20) + 1 + (32 + 1 + 40 + 1);
        assert_eq!(transaction_bytes(&message), expected);
        let wire = wire_bytes(&[[9; 64]], &message);
        assert_eq!(wire.len(), expected);
        // One signature, then the message with its version byte.
        assert_eq!((wire[0], wire[1], wire[64], wire[65]), (1, 9, 9, 0x80));
    }
}
