//! Constant-product pools of `tests/programs/swap-stand-in`.

use flash_liquidator_client::receiver::{self, SwapLeg};
use solana_address::Address;
use solana_instruction::AccountMeta;
use swap_stand_in::{AMOUNT_IN_OFFSET, Variant};

use crate::{
    error::ForkError,
    tokens,
    world::{World, named_address},
};

/// A pool of two tokens.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pool {
    /// The pool.
    pub pool: Address,
    /// PDA that owns the vaults.
    pub authority: Address,
    /// The two mints.
    pub mints: [Address; 2],
    /// The vaults, in the order of the mints.
    pub vaults: [Address; 2],
    /// Token programs of the mints.
    pub token_programs: [Address; 2],
}

impl Pool {
    /// Accounts of a swap that sells `input_mint` from `user_in` into `user_out`,
    /// without the swap program itself. `authority` signs and owns `user_in`.
    ///
    /// # Errors
    /// [`ForkError::Unexpected`] when the pool does not trade `input_mint`.
    pub fn swap_accounts(
        &self,
        authority: &Address,
        input_mint: &Address,
        user_in: &Address,
        user_out: &Address,
    ) -> Result<Vec<AccountMeta>, ForkError> {
        let side = self.side(input_mint)?;
        let other = 1 - side;
        Ok(vec![
            AccountMeta::new_readonly(*authority, true),
            AccountMeta::new(self.pool, false),
            AccountMeta::new(*user_in, false),
            AccountMeta::new(*user_out, false),
            AccountMeta::new(self.vaults[side], false),
            AccountMeta::new(self.vaults[other], false),
            AccountMeta::new_readonly(self.mints[side], false),
            AccountMeta::new_readonly(self.mints[other], false),
            AccountMeta::new_readonly(self.token_programs[side], false),
            AccountMeta::new_readonly(self.token_programs[other], false),
            AccountMeta::new_readonly(self.authority, false),
        ])
    }

    /// A leg of the receiver's route through this pool: all of the `input`
    /// ([`SwapLeg::input`]) that is there, for at least `min_out` units.
    ///
    /// # Errors
    /// [`ForkError::Unexpected`] when the pool does not trade `input_mint`.
    pub fn leg(
        &self,
        keeper: &Address,
        input: u8,
        input_mint: &Address,
        user_in: &Address,
        user_out: &Address,
        min_out: u64,
    ) -> Result<SwapLeg, ForkError> {
        let (authority, _) = receiver::swap_authority(keeper);
        Ok(SwapLeg {
            program: swap_stand_in::ID,
            accounts: self.swap_accounts(&authority, input_mint, user_in, user_out)?,
            input,
            amount_in_offset: Some(AMOUNT_IN_OFFSET),
            data: swap_stand_in::swap_data(Variant::Honest, 0, min_out, 0),
        })
    }

    fn side(&self, mint: &Address) -> Result<usize, ForkError> {
        self.mints.iter().position(|side| side == mint).ok_or_else(|| ForkError::Unexpected {
            what: "pool",
            key: self.pool,
            reason: format!("trades {} and {}, not {mint}", self.mints[0], self.mints[1]),
        })
    }
}

impl World {
    /// Makes a pool that holds these amounts of the two mints.
    ///
    /// # Errors
    /// [`ForkError`] when a mint is not there.
    pub fn create_pool(
        &mut self,
        mint_a: &Address,
        mint_b: &Address,
        reserve_a: u64,
        reserve_b: u64,
        fee_bps: u16,
    ) -> Result<Pool, ForkError> {
        let pool = (0u32..)
            .map(|number| named_address(&format!("pool {mint_a} {mint_b} {number}")))
            .find(|key| self.account(key).is_none())
            .ok_or(ForkError::Missing { what: "pool", key: *mint_a })?;
        let (authority, bump) = swap_stand_in::pool_authority(&pool);
        let data = swap_stand_in::pool_data(fee_bps, bump).to_vec();
        self.set_account(&pool, tokens::account(swap_stand_in::ID, data))?;
        let mints = [*mint_a, *mint_b];
        let token_programs =
            [self.wanted("mint", mint_a)?.owner, self.wanted("mint", mint_b)?.owner];
        let vaults =
            [self.give(&authority, mint_a, reserve_a)?, self.give(&authority, mint_b, reserve_b)?];
        Ok(Pool { pool, authority, mints, vaults, token_programs })
    }

    /// Makes a pool of the tokens of two reserves at the oracle's price, with
    /// `depth_usd` worth of tokens on each side.
    ///
    /// # Errors
    /// [`ForkError`] when a reserve has no price or an amount does not fit.
    pub fn create_pool_at_oracle_price(
        &mut self,
        reserve_a: &Address,
        reserve_b: &Address,
        depth_usd: u64,
        fee_bps: u16,
    ) -> Result<Pool, ForkError> {
        let side = |reserve: &Address| {
            let price = self.price(reserve)?;
            let mint = self.reserve_addresses(reserve)?.liquidity_mint;
            let decimals = u32::from(self.decimals(&mint)?);
            let units = 10u128
                .checked_pow(decimals + price.exp)
                .and_then(|scale| scale.checked_mul(depth_usd.into()))
                .and_then(|units| units.checked_div(price.value.into()))
                .and_then(|units| u64::try_from(units).ok())
                .ok_or_else(|| ForkError::Price {
                    reserve: *reserve,
                    reason: format!("{depth_usd} USD of it do not fit a token amount"),
                })?;
            Ok::<_, ForkError>((mint, units))
        };
        let ((mint_a, units_a), (mint_b, units_b)) = (side(reserve_a)?, side(reserve_b)?);
        self.create_pool(&mint_a, &mint_b, units_a, units_b, fee_bps)
    }
}
