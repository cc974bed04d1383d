//! A recent blockhash, and how long it is good for.

use solana_hash::Hash;

/// Blocks that a blockhash is valid for.
pub const VALIDITY: u64 = 150;

/// Slots after which nothing more is signed with a blockhash: what is left is to land in.
const SPENT: u64 = VALIDITY - 30;

/// A recent blockhash.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Blockhash {
    /// The hash.
    pub hash: Hash,
    /// The last block height it is valid in.
    pub last_valid_height: u64,
    /// The slot it was read at.
    pub slot: u64,
}

impl Blockhash {
    /// Whether it is too old at a slot for anything to be signed with it.
    #[must_use]
    pub fn is_spent(&self, slot: u64) -> bool {
        slot > self.slot.saturating_add(SPENT)
    }

    /// Whether nothing with it can land any more, by an answer of this slot and block
    /// height, and `margin` more. There are no more blocks than slots, so a height alone
    /// that says so is wrong.
    #[must_use]
    pub fn is_over(&self, slot: u64, height: u64, margin: u64) -> bool {
        height > self.last_valid_height.saturating_add(margin)
            && slot > self.slot.saturating_add(VALIDITY).saturating_add(margin)
    }
}
