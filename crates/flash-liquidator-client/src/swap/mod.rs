//! Swap venues as legs of a liquidation.
//!
//! Every adapter ends in a [`SwapLeg`](crate::receiver::SwapLeg): program,
//! accounts, data, and where in the data the program writes the input that is
//! really there. The swap authority ([`crate::receiver::swap_authority`]) is the
//! only signer a leg can have, so it owns the accounts that a leg sells from.

use solana_address::Address;

pub mod jupiter;
pub mod stand_in;

/// One side of a swap.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Side {
    /// Token account: of the swap authority where it sells, of the swap
    /// authority or the keeper where the proceeds go.
    pub account: Address,
    /// Its mint.
    pub mint: Address,
    /// Token program of the mint.
    pub token_program: Address,
}

/// What one leg sells and buys.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Trade {
    /// The swap authority.
    pub authority: Address,
    /// What is sold.
    pub input: Side,
    /// What is bought.
    pub output: Side,
    /// Least raw units to receive, or the swap fails.
    pub min_out: u64,
    /// Which token the leg sells: 0 is the collateral, `n` the n-th intermediate.
    pub token: u8,
}
