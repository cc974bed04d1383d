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
    Address::find_program_address(&[POOL_AUTHORITY_SEED, pool.as_ref()], &PROGRAM_ID).0
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{swap::Side, token::TOKEN_PROGRAM_ID};

    #[test]
    fn quotes_are_the_pools() {
        for (amount_in, reserve_in, reserve_out, fee) in [
            (1_000, 1_000_000, 5_000_000, 30),
            (u64::MAX, u64::MAX, u64::MAX, 0),
            (0, 0, 0, 10_000),
            (1, 3, 7, 10_001),
        ] {
            assert_eq!(
                amount_out(amount_in, reserve_in, reserve_out, fee),
                swap_stand_in::amount_out(amount_in, reserve_in, reserve_out, fee),
            );
        }
        assert_eq!(fee_bps(&swap_stand_in::pool_data(25, 254)), Some(25));
        assert_eq!(POOL_LEN, swap_stand_in::POOL_LEN);
    }

    #[test]
    fn the_pool_understands_the_leg() {
        let key = |byte| Address::new_from_array([byte; 32]);
        let side = |byte| Side {
            account: key(byte),
            mint: key(byte + 1),
            token_program: TOKEN_PROGRAM_ID,
        };
        let trade =
            Trade { authority: key(1), input: side(10), output: side(20), min_out: 77, token: 2 };
        let pool = Pool { pool: key(2), vault_in: key(3), vault_out: key(4) };
        let leg = leg(&pool, &trade);
        assert_eq!(leg.program, swap_stand_in::ID);
        assert_eq!(leg.accounts.len(), 11);
        assert_eq!(leg.accounts[10].pubkey, swap_stand_in::pool_authority(&pool.pool).0);
        assert_eq!(leg.amount_in_offset, Some(swap_stand_in::AMOUNT_IN_OFFSET));
        assert_eq!(leg.input, 2);
        let spelled = swap_stand_in::swap_data(swap_stand_in::Variant::Honest, 0, 77, 0);
        assert_eq!(leg.data, spelled[..leg.data.len()]);
    }
}
