//! Raydium's constant-product pools with Token-2022 support (CPMM, "cp-swap").
//!
//! A leg is one `swap_base_input` (the program's IDL).

use solana_address::{Address, address};
use solana_instruction::AccountMeta;

use super::{PoolError, Trade};
use crate::receiver::SwapLeg;

/// Raydium's CPMM program.
pub const PROGRAM_ID: Address = address!("CPMMoo8L3F4NbTegBCKVNunggL7H1ZpdTHKxQB5qKP1C");

/// `account:PoolState`.
const POOL_DISCRIMINATOR: [u8; 8] = [247, 237, 227, 245, 215, 195, 222, 70];
/// `swap_base_input(amount_in, minimum_amount_out)`.
const SWAP_BASE_INPUT: [u8; 8] = [143, 190, 90, 218, 196, 30, 51, 222];
/// Where the data holds `amount_in`.
const AMOUNT_IN_OFFSET: u16 = 8;

/// Bytes of a pool's account that are read.
const POOL_LEN: usize = 330;

/// Set in a pool's status while swaps are switched off.
const SWAP_DISABLED: u8 = 1 << 2;

/// A pool, as its account states it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CpmmPool {
    /// The pool's account.
    pub pool: Address,
    /// Its fee configuration.
    pub config: Address,
    /// The two mints.
    pub mints: [Address; 2],
    /// The vaults, in the order of the mints.
    pub vaults: [Address; 2],
    /// Token programs of the mints.
    pub token_programs: [Address; 2],
    /// Where the program records prices.
    pub observation: Address,
}

/// The PDA that owns all vaults.
#[must_use]
pub fn authority() -> Address {
    Address::find_program_address(&[b"vault_and_lp_mint_auth_seed"], &PROGRAM_ID).0
}

impl CpmmPool {
    /// Reads a pool's account.
    ///
    /// # Errors
    /// [`PoolError::NotAPool`]; [`PoolError::Closed`] while the pool's owner has
    /// switched swaps off.
    pub fn read(pool: &Address, owner: &Address, data: &[u8]) -> Result<Self, PoolError> {
        if *owner != PROGRAM_ID || data.len() < POOL_LEN || !data.starts_with(&POOL_DISCRIMINATOR) {
            return Err(PoolError::NotAPool { pool: *pool, program: PROGRAM_ID });
        }
        let [status] = super::field(data, 329);
        if status & SWAP_DISABLED != 0 {
            return Err(PoolError::Closed { pool: *pool });
        }
        Ok(Self {
            pool: *pool,
            config: super::key(data, 8),
            vaults: [super::key(data, 72), super::key(data, 104)],
            mints: [super::key(data, 168), super::key(data, 200)],
            token_programs: [super::key(data, 232), super::key(data, 264)],
            observation: super::key(data, 296),
        })
    }

    /// Sells all of the input.
    ///
    /// # Errors
    /// [`PoolError::OtherTokens`].
    pub fn leg(&self, trade: &Trade) -> Result<SwapLeg, PoolError> {
        let sold = usize::from(!super::sells_first(&self.pool, &self.mints, trade)?);
        let bought = 1 - sold;
        let mut data = SWAP_BASE_INPUT.to_vec();
        data.extend(0u64.to_le_bytes());
        data.extend(trade.min_out.to_le_bytes());
        Ok(SwapLeg {
            program: PROGRAM_ID,
            accounts: vec![
                AccountMeta::new_readonly(trade.authority, true),
                AccountMeta::new_readonly(authority(), false),
                AccountMeta::new_readonly(self.config, false),
                AccountMeta::new(self.pool, false),
                AccountMeta::new(trade.input.account, false),
                AccountMeta::new(trade.output.account, false),
                AccountMeta::new(self.vaults[sold], false),
                AccountMeta::new(self.vaults[bought], false),
                AccountMeta::new_readonly(self.token_programs[sold], false),
                AccountMeta::new_readonly(self.token_programs[bought], false),
                AccountMeta::new_readonly(self.mints[sold], false),
                AccountMeta::new_readonly(self.mints[bought], false),
                AccountMeta::new(self.observation, false),
            ],
            input: trade.token,
            amount_in_offset: Some(AMOUNT_IN_OFFSET),
            data,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        swap::{
            recorded,
            tests::{SOL, USDC, pool_bytes, trade},
        },
        token::TOKEN_PROGRAM_ID,
    };

    /// A pool's address, vaults and observation account follow from what was
    /// read, so the offsets are right.
    #[test]
    fn a_recorded_pool_is_read() {
        let key = address!("FmNz8z2oN4CheHj4EUXVXC6doFN4RRmhGwxFQgrJVJFs");
        let data = recorded::account(recorded::CPMM_SOL_CLNS, 637);
        let pool = CpmmPool::read(&key, &PROGRAM_ID, &data).unwrap();
        let clns = address!("CLnsvL118rFABjjpGkR5jY8JeUib3SjEf4Eyu7ZVhbKu");
        assert_eq!(pool.mints, [SOL, clns]);
        assert_eq!(pool.token_programs, [TOKEN_PROGRAM_ID; 2]);
        let derived = |seeds: &[&[u8]]| Address::find_program_address(seeds, &PROGRAM_ID).0;
        assert_eq!(derived(&[b"pool", pool.config.as_ref(), SOL.as_ref(), clns.as_ref()]), key);
        for (mint, vault) in pool.mints.iter().zip(pool.vaults) {
            assert_eq!(derived(&[b"pool_vault", key.as_ref(), mint.as_ref()]), vault);
        }
        assert_eq!(derived(&[b"observation", key.as_ref()]), pool.observation);

        let mut closed = data;
        closed[329] = SWAP_DISABLED;
        let error = CpmmPool::read(&key, &PROGRAM_ID, &closed).unwrap_err();
        assert_eq!(error, PoolError::Closed { pool: key });
    }

    fn key(byte: u8) -> Address {
        Address::new_from_array([byte; 32])
    }

    fn pool() -> CpmmPool {
        let data = pool_bytes(
            637,
            &[
                (0, &POOL_DISCRIMINATOR),
                (8, key(1).as_ref()),
                (72, key(2).as_ref()),
                (104, key(3).as_ref()),
                (168, SOL.as_ref()),
                (200, USDC.as_ref()),
                (232, TOKEN_PROGRAM_ID.as_ref()),
                (264, key(4).as_ref()),
                (296, key(5).as_ref()),
            ],
        );
        CpmmPool::read(&key(9), &PROGRAM_ID, &data).unwrap()
    }

    #[test]
    fn the_authority_is_mainnets() {
        assert_eq!(authority(), address!("GpMZbSM2GgvTKHJirzeGfMFoaZ8UR2X7F4v8vHTvxFbL"));
    }

    #[test]
    fn a_leg_names_what_is_sold_before_what_is_bought() {
        let down = pool().leg(&trade(SOL, USDC)).unwrap();
        let up = pool().leg(&trade(USDC, SOL)).unwrap();
        let keys = |leg: &SwapLeg, range: std::ops::Range<usize>| -> Vec<Address> {
            leg.accounts[range].iter().map(|meta| meta.pubkey).collect()
        };
        assert_eq!(
            keys(&down, 6..13),
            [key(2), key(3), TOKEN_PROGRAM_ID, key(4), SOL, USDC, key(5)]
        );
        assert_eq!(keys(&up, 6..13), [key(3), key(2), key(4), TOKEN_PROGRAM_ID, USDC, SOL, key(5)]);
        assert_eq!(keys(&up, 2..4), [key(1), key(9)]);
        assert_eq!(up.accounts[4].pubkey, trade(USDC, SOL).input.account);
        assert_eq!(up.accounts.iter().filter(|meta| meta.is_signer).count(), 1);
        assert_eq!((up.data.len(), up.amount_in_offset), (24, Some(8)));
        assert_eq!(up.data[16..24], 77u64.to_le_bytes());
    }

    #[test]
    fn other_accounts_and_other_tokens_are_refused() {
        assert!(CpmmPool::read(&key(9), &key(9), &[0; 637]).is_err());
        assert!(CpmmPool::read(&key(9), &PROGRAM_ID, &[0; 637]).is_err());
        assert!(matches!(
            pool().leg(&trade(key(7), USDC)),
            Err(PoolError::OtherTokens { sold, .. }) if sold == key(7)
        ));
    }
}
