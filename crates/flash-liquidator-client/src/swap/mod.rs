//! Swap venues as legs of a liquidation.
//!
//! Every adapter ends in a [`SwapLeg`](crate::receiver::SwapLeg): program,
//! accounts, data, and where in the data the program writes the input that is
//! really there. The swap authority ([`crate::receiver::swap_authority`]) is the
//! only signer a leg can have, so it owns the accounts that a leg sells from.

use solana_address::{Address, address};

use crate::klend::ReserveAddresses;

pub mod jupiter;
pub mod raydium_clmm;
pub mod raydium_cpmm;
#[cfg(test)]
mod recorded;
pub mod stand_in;
pub mod whirlpool;

/// The memo program, which swaps use for accounts that demand memos.
const MEMO_PROGRAM_ID: Address = address!("MemoSq4gqABAXKb96qnH8TysNcWxMyWCqXgDLGmfcHr");

/// Meteora's DLMM program.
pub const METEORA_DLMM: Address = address!("LBUZKhRxPF3XUpBCjp4YzTKgLccjZhTSDM9YuVaPwxo");

/// Programs whose pools pay what they are asked for and call nobody else's code but the
/// token programs': a route over these alone may pay the keeper's debt account itself
/// ([`Route::pay_directly`](crate::receiver::Route::pay_directly)). Whoever may upgrade them
/// is trusted with that, and no more. An aggregator is none of them: it calls others.
const WELL_KNOWN: [Address; 5] = [
    METEORA_DLMM,
    whirlpool::PROGRAM_ID,
    raydium_clmm::PROGRAM_ID,
    raydium_cpmm::PROGRAM_ID,
    stand_in::PROGRAM_ID,
];

/// Whether `program` may pay the keeper's debt account itself.
#[must_use]
pub fn is_well_known(program: &Address) -> bool {
    WELL_KNOWN.contains(program)
}

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

impl Side {
    /// The liquidity of a reserve, in this token account.
    #[must_use]
    pub const fn of(reserve: &ReserveAddresses, account: Address) -> Self {
        Self {
            account,
            mint: reserve.liquidity_mint,
            token_program: reserve.liquidity_token_program,
        }
    }
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

/// Why a leg cannot be built.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PoolError {
    /// The account is not a pool of that program.
    #[error("account {pool} is not a pool of {program}")]
    NotAPool {
        /// The account.
        pool: Address,
        /// The program whose pool it was taken for.
        program: Address,
    },
    /// The pool trades other tokens.
    #[error("pool {pool} does not trade {sold} for {bought}")]
    OtherTokens {
        /// The pool.
        pool: Address,
        /// Mint to be sold.
        sold: Address,
        /// Mint to be bought.
        bought: Address,
    },
    /// The pool exists, but swaps are switched off.
    #[error("pool {pool} does not swap at present")]
    Closed {
        /// The pool.
        pool: Address,
    },
    /// No liquidity in the direction of the swap.
    #[error("pool {pool} has no liquidity that {sold} could be sold into")]
    NoLiquidity {
        /// The pool.
        pool: Address,
        /// Mint to be sold.
        sold: Address,
    },
}

/// Whether `trade` sells the first of a pool's mints, or the second.
fn sells_first(pool: &Address, mints: &[Address; 2], trade: &Trade) -> Result<bool, PoolError> {
    let (sold, bought) = (trade.input.mint, trade.output.mint);
    match [sold, bought] {
        pair if pair == *mints => Ok(true),
        [sold, bought] if [bought, sold] == *mints => Ok(false),
        _ => Err(PoolError::OtherTokens { pool: *pool, sold, bought }),
    }
}

/// Bytes at an offset of an account whose length has been checked.
pub(crate) fn field<const N: usize>(data: &[u8], at: usize) -> [u8; N] {
    data.get(at..).and_then(|tail| tail.first_chunk()).copied().unwrap_or([0; N])
}

/// A key at an offset of an account whose length has been checked.
pub(crate) fn key(data: &[u8], at: usize) -> Address {
    Address::new_from_array(field(data, at))
}

#[cfg(test)]
pub(crate) mod tests {
    use solana_address::address;

    use super::*;
    use crate::token::TOKEN_PROGRAM_ID;

    pub(crate) const SOL: Address = address!("So11111111111111111111111111111111111111112");
    pub(crate) const USDC: Address = address!("EPjFWdd5AufqSSqeM2qN1xzybapC8G4wEGGkZwyTDt1v");

    /// Sells `sold` for at least 77 units of `bought`.
    pub(crate) fn trade(sold: Address, bought: Address) -> Trade {
        let side = |byte, mint| Side {
            account: Address::new_from_array([byte; 32]),
            mint,
            token_program: TOKEN_PROGRAM_ID,
        };
        Trade {
            authority: Address::new_from_array([30; 32]),
            input: side(31, sold),
            output: side(32, bought),
            min_out: 77,
            token: 0,
        }
    }

    /// An account with these bytes at these offsets.
    pub(crate) fn pool_bytes(len: usize, fields: &[(usize, &[u8])]) -> Vec<u8> {
        let mut data = vec![0; len];
        for (at, bytes) in fields {
            data[*at..*at + bytes.len()].copy_from_slice(bytes);
        }
        data
    }
}
