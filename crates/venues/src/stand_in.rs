//! The constant-product pool that tests, demo and local forks swap in. Not a
//! venue on any cluster.
//!
//! A pool's account holds its fee; its vaults are the associated token accounts of its
//! authority, so one pool may trade any number of pairs.

use solana_address::{Address, address};
use solana_instruction::AccountMeta;

use crate::{
    Curve, Direction, Id, Now, Pool, Quote,
    account::{Account, Accounts, Kind},
    error::VenueError,
    leg::{SwapLeg, Trade},
    mint, pda,
};

/// The pool's program.
pub const PROGRAM_ID: Address = address!("SwapStandin11111111111111111111111111111111");
/// Creates and names associated token accounts.
const ASSOCIATED_TOKEN_PROGRAM_ID: Address =
    address!("ATokenGPvbdGVxr1b2hvZbsiqW5xWH25efTNsLJA8knL");

/// Seed of a pool's authority: `["pool", pool]`.
const POOL_AUTHORITY_SEED: &[u8] = b"pool";
/// The instruction that swaps honestly.
const HONEST: u8 = 0;
const FULL_BPS: u16 = 10_000;

/// Compute units of a swap.
const UNITS: u32 = 15_000;

/// Bytes of a pool account: fee in bps, then the authority's bump.
pub const POOL_LEN: usize = 3;

const POOL: Kind =
    Kind { what: "stand-in pool", program: PROGRAM_ID, discriminator: None, len: POOL_LEN };

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

/// The PDA that owns a pool's vaults.
#[must_use]
pub fn pool_authority(pool: &Address) -> Address {
    pool_authority_and_bump(pool).0
}

/// The PDA that owns a pool's vaults, and its bump.
#[must_use]
pub fn pool_authority_and_bump(pool: &Address) -> (Address, u8) {
    pda::find(&[POOL_AUTHORITY_SEED, pool.as_ref()], &PROGRAM_ID)
}

/// What a pool with these balances pays for `amount_in`, raw units; `None` for a fee of
/// more than all.
#[must_use]
pub fn amount_out(amount_in: u64, reserve_in: u64, reserve_out: u64, fee_bps: u16) -> Option<u64> {
    let kept = u128::from(FULL_BPS.checked_sub(fee_bps)?);
    let amount_in = u128::from(amount_in) * kept / u128::from(FULL_BPS);
    let out = amount_in * u128::from(reserve_out) / (u128::from(reserve_in) + amount_in).max(1);
    u64::try_from(out).ok()
}

/// A pool, as it trades one pair.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StandInPool {
    /// The pool's account.
    pub pool: Address,
    /// The two mints.
    pub mints: [Address; 2],
    /// Token programs of the mints.
    pub token_programs: [Address; 2],
    /// The vaults, in the order of the mints.
    pub vaults: [Address; 2],
    authority: Address,
    fee_bps: u16,
}

impl StandInPool {
    /// A pool for one pair of mints, each with its token program.
    ///
    /// # Errors
    /// [`VenueError`]: the account is none.
    pub fn read(
        key: &Address,
        account: Account<'_>,
        sides: [(Address, Address); 2],
    ) -> Result<Self, VenueError> {
        let fee_bps = POOL.read(key, account)?.u16(0);
        if fee_bps > FULL_BPS {
            let (field, actual, high) = ("fee", fee_bps.into(), FULL_BPS.into());
            return Err(VenueError::OutOfRange { pool: *key, field, actual, low: 0, high });
        }
        Ok(Self::new(key, fee_bps, sides))
    }

    /// As [`StandInPool::read`], with a fee that is known already.
    #[must_use]
    pub fn new(key: &Address, fee_bps: u16, sides: [(Address, Address); 2]) -> Self {
        let authority = pool_authority(key);
        let vault = |(mint, program): (Address, Address)| {
            let seeds: &[&[u8]] = &[authority.as_ref(), program.as_ref(), mint.as_ref()];
            pda::find(seeds, &ASSOCIATED_TOKEN_PROGRAM_ID).0
        };
        Self {
            pool: *key,
            mints: sides.map(|(mint, _)| mint),
            token_programs: sides.map(|(_, program)| program),
            vaults: sides.map(vault),
            authority,
            fee_bps,
        }
    }

    /// The leg that sells into it, whatever it pays.
    ///
    /// # Errors
    /// [`VenueError::OtherTokens`].
    pub fn leg(&self, trade: &Trade) -> Result<SwapLeg, VenueError> {
        let (input, output) = (&trade.input, &trade.output);
        let tokens = (&self.mints[0], &self.mints[1]);
        let sells_first = input.mint == self.mints[0];
        let pair = if sells_first { tokens } else { (tokens.1, tokens.0) };
        crate::check_trade(&self.pool, pair, trade)?;
        let (sold, bought) = (usize::from(!sells_first), usize::from(sells_first));
        let accounts = vec![
            AccountMeta::new_readonly(trade.authority, true),
            AccountMeta::new_readonly(self.pool, false),
            AccountMeta::new(input.account, false),
            AccountMeta::new(output.account, false),
            AccountMeta::new(self.vaults[sold], false),
            AccountMeta::new(self.vaults[bought], false),
            AccountMeta::new_readonly(input.mint, false),
            AccountMeta::new_readonly(output.mint, false),
            AccountMeta::new_readonly(input.token_program, false),
            AccountMeta::new_readonly(output.token_program, false),
            AccountMeta::new_readonly(self.authority, false),
        ];
        Ok(trade.leg(PROGRAM_ID, accounts, &[HONEST]))
    }
}

impl Pool for StandInPool {
    fn id(&self) -> Id<'_> {
        Id { address: &self.pool, program: &PROGRAM_ID, name: POOL.what, mints: &self.mints }
    }

    fn accounts(&self, _: &dyn Accounts) -> Vec<Address> {
        [&self.mints[..], &self.vaults].concat()
    }

    fn curve(
        &self,
        sold: &Address,
        known: &dyn Accounts,
        _: &Now,
    ) -> Result<Box<dyn Curve>, VenueError> {
        let Self { pool, mints, token_programs, vaults, .. } = self;
        let sells_first = crate::sells_first(pool, mints, sold)?;
        for mint in mints {
            mint::token_program(pool, mint, known)?;
        }
        let reserve =
            |n: usize| mint::vault_amount(pool, &vaults[n], &mints[n], &token_programs[n], known);
        let (reserve_in, reserve_out) =
            (reserve(usize::from(!sells_first))?, reserve(usize::from(sells_first))?);
        Ok(Box::new(StandInCurve { pool: *self, sells_first, reserve_in, reserve_out }))
    }
}

/// What a stand-in pool pays in one direction.
#[derive(Clone, Debug)]
struct StandInCurve {
    pool: StandInPool,
    sells_first: bool,
    reserve_in: u64,
    reserve_out: u64,
}

impl Curve for StandInCurve {
    fn direction(&self) -> Direction<'_> {
        let (pool, mints) = (&self.pool.pool, &self.pool.mints);
        Direction { pool, name: POOL.what, mints, sells_first: self.sells_first }
    }

    fn quote(&self, amount_in: u64) -> Result<Quote, VenueError> {
        let paid = amount_out(amount_in, self.reserve_in, self.reserve_out, self.pool.fee_bps);
        match paid {
            Some(amount_out) => Ok(Quote { amount_out, crossed: 0, steps: 1, units: UNITS }),
            None => Err(VenueError::Overflow { pool: self.pool.pool, what: "the amount" }),
        }
    }

    fn leg(&self, trade: &Trade) -> Result<SwapLeg, VenueError> {
        crate::check_trade(&self.pool.pool, (self.sold(), self.bought()), trade)?;
        self.pool.leg(trade)
    }
}
