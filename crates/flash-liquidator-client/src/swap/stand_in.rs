//! The constant-product pool that tests, demo and local forks swap in. Not a
//! venue on any cluster.

use solana_address::{Address, address};
use solana_instruction::AccountMeta;

use super::Trade;
use crate::receiver::SwapLeg;

/// The pool's program.
pub const PROGRAM_ID: Address = address!("SwapStandin11111111111111111111111111111111");

/// Seed of a pool's authority: `["pool", pool]`.
const POOL_AUTHORITY_SEED: &[u8] = b"pool";

/// The instruction that swaps honestly.
const HONEST: u8 = 0;

/// Where the data holds the input.
const AMOUNT_IN_OFFSET: u16 = 1;

/// Bytes of a pool account: fee in bps, then the authority's bump.
pub const POOL_LEN: usize = 3;

/// A pool account's data.
#[must_use]
pub fn pool_data(fee_bps: u16, authority_bump: u8) -> [u8; POOL_LEN] {
    let [low, high] = fee_bps.to_le_bytes();
    [low, high, authority_bump]
}

/// A pool's fee on the input, from its account's data.
#[must_use]
pub fn fee_bps(data: &[u8]) -> Option<u16> {
    data.first_chunk().copied().map(u16::from_le_bytes)
}

/// What a pool with these balances pays for `amount_in`, raw units.
#[must_use]
pub fn amount_out(amount_in: u64, reserve_in: u64, reserve_out: u64, fee_bps: u16) -> Option<u64> {
    let kept = u128::from(10_000u16.checked_sub(fee_bps)?);
    let amount_in = u128::from(amount_in) * kept / 10_000;
    let out = amount_in * u128::from(reserve_out) / (u128::from(reserve_in) + amount_in).max(1);
    u64::try_from(out).ok()
}

/// A pool, seen from the side that sells into it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pool {
    /// The pool account.
    pub pool: Address,
    /// Its vault of what is sold.
    pub vault_in: Address,
    /// Its vault of what is bought.
    pub vault_out: Address,
}

/// The PDA that owns a pool's vaults.
#[must_use]
pub fn pool_authority(pool: &Address) -> Address {
    pool_authority_and_bump(pool).0
}

/// The PDA that owns a pool's vaults, and its bump.
#[must_use]
pub fn pool_authority_and_bump(pool: &Address) -> (Address, u8) {
    Address::find_program_address(&[POOL_AUTHORITY_SEED, pool.as_ref()], &PROGRAM_ID)
}

/// Sells all of the input into `pool`.
#[must_use]
pub fn leg(pool: &Pool, trade: &Trade) -> SwapLeg {
    let (input, output) = (&trade.input, &trade.output);
    let mut data = vec![HONEST];
    data.extend(0u64.to_le_bytes());
    data.extend(trade.min_out.to_le_bytes());
    SwapLeg {
        program: PROGRAM_ID,
        accounts: vec![
            AccountMeta::new_readonly(trade.authority, true),
            AccountMeta::new_readonly(pool.pool, false),
            AccountMeta::new(input.account, false),
            AccountMeta::new(output.account, false),
            AccountMeta::new(pool.vault_in, false),
            AccountMeta::new(pool.vault_out, false),
            AccountMeta::new_readonly(input.mint, false),
            AccountMeta::new_readonly(output.mint, false),
            AccountMeta::new_readonly(input.token_program, false),
            AccountMeta::new_readonly(output.token_program, false),
            AccountMeta::new_readonly(pool_authority(&pool.pool), false),
        ],
        input: trade.token,
        amount_in_offset: Some(AMOUNT_IN_OFFSET),
        data,
    }
}
