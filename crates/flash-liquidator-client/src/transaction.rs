//! Version 0 messages and their size.
//!
//! Signing is the caller's: this crate holds no keys.

use solana_address::Address;
use solana_hash::Hash;
use solana_instruction::Instruction;
use solana_message::{AddressLookupTableAccount, CompileError, VersionedMessage, v0};

/// Most bytes of a legacy or v0 transaction, signatures included.
pub const MAX_TRANSACTION_BYTES: usize = 1_232;

/// Bytes of one signature.
const SIGNATURE_BYTES: usize = 64;

/// Why instructions do not make a transaction.
#[derive(Debug, thiserror::Error)]
pub enum AssembleError {
    /// The transaction would be dropped by every node.
    #[error(
        "the transaction takes {bytes} bytes, {limit} fit: {static_keys} of its {keys} accounts \
         are spelled out ({key_bytes} bytes) and instruction data takes {data_bytes} bytes; put \
         more accounts into a lookup table or shorten the route"
    )]
    TooLarge {
        /// Bytes it takes.
        bytes: usize,
        /// Bytes that fit.
        limit: usize,
        /// Accounts in the message itself.
        static_keys: usize,
        /// All accounts, those from lookup tables included.
        keys: usize,
        /// Bytes taken by the accounts in the message itself.
        key_bytes: usize,
        /// Bytes taken by the data of the instructions.
        data_bytes: usize,
    },
    /// More accounts than a message can number.
    #[error("the message cannot be compiled: {0}")]
    Compile(#[from] CompileError),
}

/// Compiles a v0 message that looks up whatever it can in `tables`.
///
/// # Errors
/// [`AssembleError`]: more accounts than a message can number, or more bytes
/// than fit.
pub fn compile_v0(
    payer: &Address,
    instructions: &[Instruction],
    tables: &[AddressLookupTableAccount],
    blockhash: Hash,
) -> Result<VersionedMessage, AssembleError> {
    let message =
        VersionedMessage::V0(v0::Message::try_compile(payer, instructions, tables, blockhash)?);
    let bytes = transaction_bytes(&message);
    if bytes > MAX_TRANSACTION_BYTES {
        let static_keys = message.static_account_keys().len();
        let looked_up: usize = message
            .address_table_lookups()
            .unwrap_or_default()
            .iter()
            .map(|lookup| lookup.writable_indexes.len() + lookup.readonly_indexes.len())
            .sum();
        return Err(AssembleError::TooLarge {
            bytes,
            limit: MAX_TRANSACTION_BYTES,
            static_keys,
            keys: static_keys + looked_up,
            key_bytes: size_of_val(message.static_account_keys()),
            data_bytes: message.instructions().iter().map(|ix| ix.data.len()).sum(),
        });
    }
    Ok(message)
}

/// Bytes of the transaction on the wire once it is signed.
#[must_use]
pub fn transaction_bytes(message: &VersionedMessage) -> usize {
    // The count of signatures is a compact-u16: one byte up to 127.
    let signatures = usize::from(message.header().num_required_signatures);
    let count_bytes = if signatures < 0x80 { 1 } else { 2 };
    count_bytes + signatures * SIGNATURE_BYTES + message.serialize().len()
}

/// The bytes that go over the wire: signatures, then the message, as legacy and
/// v0 transactions have them.
#[must_use]
pub fn wire_bytes(signatures: &[[u8; SIGNATURE_BYTES]], message: &VersionedMessage) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(transaction_bytes(message));
    // A compact-u16; a message cannot name more signers than a byte counts.
    match u8::try_from(signatures.len()) {
        Ok(count) if count < 0x80 => bytes.push(count),
        _ => bytes.extend([signatures.len() as u8 | 0x80, (signatures.len() >> 7) as u8]),
    }
    signatures.iter().for_each(|signature| bytes.extend(signature));
    bytes.extend(message.serialize());
    bytes
}

#[cfg(test)]
mod tests {
    use solana_instruction::AccountMeta;

    use super::*;

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
    fn too_many_bytes_are_refused_with_the_reason() {
        let payer = Address::new_from_array([2; 32]);
        let error = compile_v0(&payer, &[instruction(40)], &[], Hash::default()).unwrap_err();
        let AssembleError::TooLarge { bytes, static_keys, keys, data_bytes, .. } = error else {
            panic!("{error}");
        };
        assert_eq!((static_keys, keys, data_bytes), (42, 42, 20));
        assert!(bytes > MAX_TRANSACTION_BYTES, "{bytes}");
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
