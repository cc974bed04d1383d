//! Bundles: transactions that a Jito block engine executes one after the other,
//! all of them or none.
//!
//! A flash liquidation is one transaction and needs no bundle to be atomic. A
//! bundle keeps it out of the public queue and pays for its place by a tip; and it
//! carries along what has to happen just before, such as an oracle's update or the
//! creation of accounts that do not fit in.

use base64::{Engine, engine::general_purpose::STANDARD};
use serde_json::{Value, json};
use solana_address::Address;
use solana_message::VersionedMessage;

use crate::{tip::Tip, transaction::wire_bytes};

/// Most transactions of a bundle.
pub const MAX_TRANSACTIONS: usize = 5;
/// Least lamports that a block engine looks at.
pub const MIN_TIP: u64 = 1_000;

/// Why transactions are no bundle.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BundleError {
    /// None, or too many.
    #[error("a bundle has 1 to {MAX_TRANSACTIONS} transactions, not {count}")]
    Count {
        /// How many there are.
        count: usize,
    },
    /// A transaction without all its signatures.
    #[error("transaction {index} has {actual} signatures, its message wants {expected}")]
    NotSigned {
        /// Its position.
        index: usize,
        /// Signatures there.
        actual: usize,
        /// Signatures wanted.
        expected: usize,
    },
    /// The same transaction twice: the second one would fail, and the bundle with
    /// it.
    #[error("transaction {index} is in the bundle already")]
    Twice {
        /// Position of the second one.
        index: usize,
    },
    /// No transaction of it pays the tip.
    #[error("no transaction transfers {lamports} lamports to {account}")]
    TipMissing {
        /// The tip's account.
        account: Address,
        /// The tip.
        lamports: u64,
    },
    /// The tip's account comes from a lookup table, where nobody looks for it.
    #[error("the tip's account {account} has to be spelled out, not looked up in a table")]
    TipLookedUp {
        /// The account.
        account: Address,
    },
    /// The tip is too small.
    #[error("a tip of {lamports} lamports is ignored, at least {MIN_TIP} are needed")]
    TipTooSmall {
        /// The tip.
        lamports: u64,
    },
}

/// A signed transaction.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Signed {
    /// Its signatures, in the order of the message's signers.
    pub signatures: Vec<[u8; 64]>,
    /// Its message.
    pub message: VersionedMessage,
}

/// Serialised transactions, in order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Bundle {
    wire: Vec<Vec<u8>>,
}

impl Bundle {
    /// A bundle of signed transactions of which one pays `tip`.
    ///
    /// # Errors
    /// [`BundleError`]: the block engine would refuse or ignore it.
    pub fn new(transactions: &[Signed], tip: &Tip) -> Result<Self, BundleError> {
        let count = transactions.len();
        if count == 0 || count > MAX_TRANSACTIONS {
            return Err(BundleError::Count { count });
        }
        if tip.lamports < MIN_TIP {
            return Err(BundleError::TipTooSmall { lamports: tip.lamports });
        }
        let mut wire = Vec::with_capacity(count);
        for (index, transaction) in transactions.iter().enumerate() {
            let expected = usize::from(transaction.message.header().num_required_signatures);
            let actual = transaction.signatures.len();
            if actual != expected {
                return Err(BundleError::NotSigned { index, actual, expected });
            }
            let bytes = wire_bytes(&transaction.signatures, &transaction.message);
            if wire.contains(&bytes) {
                return Err(BundleError::Twice { index });
            }
            wire.push(bytes);
        }
        let mut looked_up = false;
        for transaction in transactions {
            match pays(&transaction.message, tip) {
                Payment::SpelledOut => return Ok(Self { wire }),
                Payment::LookedUp => looked_up = true,
                Payment::None => {}
            }
        }
        Err(if looked_up {
            BundleError::TipLookedUp { account: tip.account }
        } else {
            BundleError::TipMissing { account: tip.account, lamports: tip.lamports }
        })
    }

    /// The transactions' bytes, in order.
    #[must_use]
    pub fn wire(&self) -> &[Vec<u8>] {
        &self.wire
    }

    /// The parameters of a block engine's `sendBundle`.
    #[must_use]
    pub fn params(&self) -> Value {
        let encoded: Vec<String> = self.wire.iter().map(|bytes| STANDARD.encode(bytes)).collect();
        json!([encoded, { "encoding": "base64" }])
    }
}

enum Payment {
    SpelledOut,
    LookedUp,
    None,
}

/// Whether an instruction of the message is the tip's transfer.
fn pays(message: &VersionedMessage, tip: &Tip) -> Payment {
    let keys = message.static_account_keys();
    let expected = tip.instruction(&Address::default());
    let mut payment = Payment::None;
    for instruction in message.instructions() {
        let is_transfer = keys.get(usize::from(instruction.program_id_index))
            == Some(&expected.program_id)
            && instruction.data == expected.data;
        let receiver = instruction.accounts.get(1).map(|index| keys.get(usize::from(*index)));
        match receiver {
            Some(Some(key)) if is_transfer && *key == tip.account => return Payment::SpelledOut,
            Some(None) if is_transfer => payment = Payment::LookedUp,
            _ => {}
        }
    }
    payment
}

#[cfg(test)]
mod tests {
    use solana_hash::Hash;
    use solana_instruction::Instruction;
    use solana_message::AddressLookupTableAccount;

    use super::*;
    use crate::budget::compile_v0;

    fn key(byte: u8) -> Address {
        Address::new_from_array([byte; 32])
    }

    const TIP: Tip = Tip { account: Address::new_from_array([2; 32]), lamports: 5_000 };

    fn signed(instructions: &[Instruction], tables: &[AddressLookupTableAccount]) -> Signed {
        let message = compile_v0(&key(1), instructions, tables, Hash::default()).unwrap();
        Signed { signatures: vec![[9; 64]], message }
    }

    fn memo(text: &str) -> Signed {
        let program_id = key(3);
        signed(&[Instruction { program_id, accounts: vec![], data: text.into() }], &[])
    }

    #[test]
    fn a_bundle_is_its_transactions_in_order() {
        let tipped = signed(&[TIP.instruction(&key(1))], &[]);
        let bundle = Bundle::new(&[memo("first"), tipped.clone()], &TIP).unwrap();
        assert_eq!(bundle.wire()[1], wire_bytes(&tipped.signatures, &tipped.message));
        let params = bundle.params();
        let decoded = STANDARD.decode(params[0][0].as_str().unwrap()).unwrap();
        assert_eq!(decoded, bundle.wire()[0]);
        assert_eq!(params[1]["encoding"], "base64");
        assert_eq!(params.as_array().unwrap().len(), 2);
    }

    #[test]
    fn what_a_block_engine_would_drop_is_refused() {
        let tipped = signed(&[TIP.instruction(&key(1))], &[]);
        let refused =
            |transactions: &[Signed], tip: &Tip| Bundle::new(transactions, tip).unwrap_err();
        assert_eq!(refused(&[], &TIP), BundleError::Count { count: 0 });
        let six: Vec<_> = (0..6).map(|n| memo(&n.to_string())).collect();
        assert_eq!(refused(&six, &TIP), BundleError::Count { count: 6 });
        let small = Tip { lamports: 999, ..TIP };
        assert_eq!(
            refused(std::slice::from_ref(&tipped), &small),
            BundleError::TipTooSmall { lamports: 999 }
        );
        let twice = refused(&[tipped.clone(), tipped.clone()], &TIP);
        assert_eq!(twice, BundleError::Twice { index: 1 });
        let unsigned = Signed { signatures: vec![], ..tipped.clone() };
        let expected = BundleError::NotSigned { index: 0, actual: 0, expected: 1 };
        assert_eq!(refused(&[unsigned], &TIP), expected);
        let missing = BundleError::TipMissing { account: TIP.account, lamports: 5_000 };
        assert_eq!(refused(&[memo("a")], &TIP), missing);
        // Another amount or receiver is another transfer.
        let other = Tip { lamports: 5_001, ..TIP };
        assert!(matches!(refused(&[tipped], &other), BundleError::TipMissing { .. }));

        let table = AddressLookupTableAccount { key: key(9), addresses: vec![TIP.account] };
        let looked_up = signed(&[TIP.instruction(&key(1))], &[table]);
        let error = refused(&[looked_up], &TIP);
        assert_eq!(error, BundleError::TipLookedUp { account: TIP.account });
    }
}
