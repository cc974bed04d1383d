use anchor_lang::prelude::*;

/// Seed of a keeper's bracket: `["bracket", keeper]`.
pub const BRACKET_SEED: &[u8] = b"bracket";

/// Most token accounts a bracket guards besides the debt account.
pub const MAX_GUARDS: usize = 8;

/// What `open` saw, for `settle` to compare with. Lives inside one transaction:
/// `open` creates it only where a `settle` that closes it follows.
#[account]
#[derive(Debug, PartialEq, Eq)]
pub struct Bracket {
    /// Signer that opened and alone can settle; gets the rent back.
    pub keeper: Pubkey,
    /// Index of the `settle` instruction in the transaction.
    pub settle_index: u8,
    /// Index of klend's flash borrow.
    pub flash_borrow_index: u8,
    /// Index of klend's flash repay.
    pub flash_repay_index: u8,
    /// Least change of the debt account beyond the flash fee, debt units.
    pub min_profit: i64,
    /// Balance of the debt account, loan included, debt units.
    pub debt_balance: u64,
    /// Least lamports the keeper must have when the bracket is settled.
    pub min_lamports: u64,
    /// The other guarded token accounts, in the order of the remaining accounts.
    pub guards: Vec<Guard>,
}

/// A token account a bracket watches.
#[derive(AnchorSerialize, AnchorDeserialize, Clone, Debug, PartialEq, Eq)]
pub struct Guard {
    /// Mint of the account.
    pub mint: Pubkey,
    /// Balance when the bracket was opened, raw units.
    pub balance: u64,
    /// Least balance when it is settled, raw units.
    pub min_balance: u64,
}

impl Bracket {
    /// Bytes of an account that guards `guards` token accounts.
    pub const fn space(guards: usize) -> usize {
        8 + 32 + 3 + 8 + 8 + 8 + 4 + guards * (32 + 8 + 8)
    }
}
