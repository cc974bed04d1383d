//! Constant-product pools of the swap stand-in.

use flash_liquidator_client::{
    receiver::{self, SwapLeg},
    swap::{
        Amount, Side, Trade,
        stand_in::{self, StandInPool},
    },
};
use solana_address::Address;

use crate::{error::ForkError, names::named_address, tokens, world::World};

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
    /// A leg of the receiver's route through this pool: all of the `token`
    /// ([`SwapLeg::input`]) that is there, for at least `min_out` units. `user_in`
    /// belongs to the keeper's swap authority.
    ///
    /// # Errors
    /// [`ForkError::Unexpected`] when the pool does not trade `input_mint`.
    pub fn leg(
        &self,
        keeper: &Address,
        token: u8,
        input_mint: &Address,
        user_in: &Address,
        user_out: &Address,
        min_out: u64,
    ) -> Result<SwapLeg, ForkError> {
        let sold = self.mints.iter().position(|mint| mint == input_mint).ok_or_else(|| {
            ForkError::Unexpected {
                what: "pool",
                key: self.pool,
                reason: format!("trades {} and {}, not {input_mint}", self.mints[0], self.mints[1]),
            }
        })?;
        let bought = 1 - sold;
        let side = |account: &Address, side: usize| Side {
            account: *account,
            mint: self.mints[side],
            token_program: self.token_programs[side],
        };
        let (authority, _) = receiver::swap_authority(keeper);
        let (input, output) = (side(user_in, sold), side(user_out, bought));
        let trade = Trade { authority, input, output, amount: Amount::All(0), min_out, token };
        let sides = [0, 1].map(|n| (self.mints[n], self.token_programs[n]));
        StandInPool::new(&self.pool, 0, sides).leg(&trade).map_err(|error| ForkError::Unexpected {
            what: "pool",
            key: self.pool,
            reason: error.to_string(),
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
        let (authority, bump) = stand_in::pool_authority_and_bump(&pool);
        let data = stand_in::pool_data(fee_bps, bump).to_vec();
        self.set_account(&pool, tokens::account(stand_in::PROGRAM_ID, data))?;
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
