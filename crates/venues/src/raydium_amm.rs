//! Raydium's first pools (AMM v4), for SPL Token's mints alone.
//!
//! A leg is one `swap_base_in_v2` of eight accounts, which leaves the order book out: such
//! pools once placed orders there, and their program no longer does. A fee goes off the
//! input, rounded up; what the program's owner may take out of the vaults is not the
//! pool's. Arithmetic and layout: the program's published sources (Apache licence, version
//! 0.3.1 of 2026-07-23). Its predecessor wants an order book's accounts for pools that
//! may place orders (status 1): there a leg fails, and takes nothing.

use solana_address::{Address, address};
use solana_instruction::AccountMeta;

use crate::{
    Curve, Direction, Id, Now, Pool, Quote,
    account::{Account, Accounts, Kind},
    error::VenueError,
    leg::{SwapLeg, Trade},
    listing::Listing,
    mint::{self, TOKEN_PROGRAM_ID},
};

/// Raydium's AMM program.
pub const PROGRAM_ID: Address = address!("675kPX9MHTjS2zt1qfr1NYHuzeLXfQM9H24wFSUt1Mp8");

/// `swap_base_in_v2(amount_in, minimum_amount_out)`.
const SWAP_BASE_IN_V2: u8 = 16;
/// Seed of the PDA that owns the vaults, followed by the pool's nonce.
const AUTHORITY_SEED: &[u8] = b"amm authority";

/// Bytes of a pool: nothing but its owner and its length tells it from other accounts.
const POOL_LEN: usize = 752;
const POOL: Kind =
    Kind { what: "Raydium AMM pool", program: PROGRAM_ID, discriminator: None, len: POOL_LEN };
/// Where a pool states its mints and vaults.
pub(crate) const LISTING: Listing = Listing::of(POOL, [400, 432], [336, 368]);

/// States in which a pool swaps: with an order book once, without, and without from
/// `pool_open_time` on.
const SWAPS: [u64; 2] = [1, 6];
const WAITS: u64 = 7;

/// Compute units of a swap: twice what a build of the sources with this project's kit
/// takes, as mainnet's builds may.
const UNITS: u32 = 46_000;

/// A pool, as its account states it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AmmPool {
    /// The pool's account.
    pub pool: Address,
    /// The two mints, coin and pc.
    pub mints: [Address; 2],
    /// The vaults, in the order of the mints.
    pub vaults: [Address; 2],
    /// Owns the vaults.
    pub authority: Address,
    /// When swaps begin, seconds since 1970, for a pool that waits for that.
    pub open_time: Option<u64>,
    closed: bool,
    /// What lies in the vaults and is not the pool's, in the order of the mints.
    owed: [u64; 2],
    /// The fee, as a fraction.
    fee: (u64, u64),
}

impl AmmPool {
    /// Reads a pool's account.
    ///
    /// # Errors
    /// [`VenueError`]: it is none, or states what the program never writes.
    pub fn read(key: &Address, account: Account<'_>) -> Result<Self, VenueError> {
        let data = POOL.read(key, account)?;
        if account.data.len() != POOL_LEN {
            return Err(VenueError::OtherKind { account: *key, what: POOL.what });
        }
        let pool = *key;
        let out_of_range = |field, actual: u64, low: i128, high: i128| {
            let actual = actual.into();
            VenueError::OutOfRange { pool, field, actual, low, high }
        };
        let status = data.u64(0);
        if !(1..=7).contains(&status) {
            return Err(out_of_range("status", status, 1, 7));
        }
        let nonce = u8::try_from(data.u64(8))
            .map_err(|_| out_of_range("nonce", data.u64(8), 0, u8::MAX.into()))?;
        let authority = Address::create_program_address(&[AUTHORITY_SEED, &[nonce]], &PROGRAM_ID)
            .map_err(|_| out_of_range("nonce", nonce.into(), 0, u8::MAX.into()))?;
        let fee = (data.u64(176), data.u64(184));
        if fee.1 == 0 {
            return Err(out_of_range("swap_fee_denominator", 0, 1, u64::MAX.into()));
        }
        if fee.0 >= fee.1 {
            let highest = i128::from(fee.1) - 1;
            return Err(out_of_range("swap_fee_numerator", fee.0, 0, highest));
        }
        Ok(Self {
            pool,
            vaults: LISTING.vaults.map(|at| data.key(at)),
            mints: LISTING.mints.map(|at| data.key(at)),
            authority,
            open_time: (status == WAITS).then(|| data.u64(224)),
            closed: status != WAITS && !SWAPS.contains(&status),
            owed: [data.u64(192), data.u64(200)],
            fee,
        })
    }

    /// What of a vault's balance is the pool's.
    fn reserve(&self, n: usize, accounts: &dyn Accounts) -> Result<u64, VenueError> {
        let Self { pool, vaults, mints, owed, .. } = self;
        let balance = mint::vault_amount(pool, &vaults[n], &mints[n], &TOKEN_PROGRAM_ID, accounts)?;
        balance.checked_sub(owed[n]).ok_or(VenueError::OutOfRange {
            pool: *pool,
            field: "need_take_pnl",
            actual: owed[n].into(),
            low: 0,
            high: balance.into(),
        })
    }
}

impl Pool for AmmPool {
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
        now: &Now,
    ) -> Result<Box<dyn Curve>, VenueError> {
        let pool = self.pool;
        let sells_first = crate::sells_first(&pool, &self.mints, sold)?;
        if self.closed {
            return Err(VenueError::Closed { pool });
        }
        if let Some(opens) = self.open_time {
            now.check_open(pool, opens)?;
        }
        for mint in &self.mints {
            let owner = mint::token_program(&pool, mint, known)?;
            if owner != TOKEN_PROGRAM_ID {
                let (account, what, expected) = (*mint, "mint", TOKEN_PROGRAM_ID);
                return Err(VenueError::OtherProgram { account, what, owner, expected });
            }
        }
        let (reserve_in, reserve_out) = (
            self.reserve(usize::from(!sells_first), known)?,
            self.reserve(usize::from(sells_first), known)?,
        );
        if reserve_in == 0 || reserve_out == 0 {
            return Err(VenueError::NoLiquidity { pool, sold: *sold });
        }
        Ok(Box::new(AmmCurve { pool: *self, sells_first, reserve_in, reserve_out }))
    }
}

/// What an AMM pool pays in one direction.
#[derive(Clone, Debug)]
struct AmmCurve {
    pool: AmmPool,
    sells_first: bool,
    reserve_in: u64,
    reserve_out: u64,
}

impl Curve for AmmCurve {
    fn direction(&self) -> Direction<'_> {
        let (pool, mints) = (&self.pool.pool, &self.pool.mints);
        Direction { pool, name: POOL.what, mints, sells_first: self.sells_first }
    }

    fn quote(&self, amount_in: u64) -> Result<Quote, VenueError> {
        let (numerator, denominator) = self.pool.fee;
        let gross = u128::from(amount_in);
        let fee = (gross * u128::from(numerator)).div_ceil(u128::from(denominator));
        let net = gross - fee;
        let paid = net * u128::from(self.reserve_out) / (u128::from(self.reserve_in) + net);
        match u64::try_from(paid) {
            Ok(amount_out) if amount_out > 0 => {
                Ok(Quote { amount_out, crossed: 0, steps: 1, units: UNITS })
            }
            _ => Err(VenueError::TooLittle { pool: self.pool.pool, amount: amount_in }),
        }
    }

    fn leg(&self, trade: &Trade) -> Result<SwapLeg, VenueError> {
        let pool = &self.pool;
        crate::check_trade(&pool.pool, (self.sold(), self.bought()), trade)?;
        let accounts = vec![
            AccountMeta::new_readonly(TOKEN_PROGRAM_ID, false),
            AccountMeta::new(pool.pool, false),
            AccountMeta::new_readonly(pool.authority, false),
            AccountMeta::new(pool.vaults[0], false),
            AccountMeta::new(pool.vaults[1], false),
            AccountMeta::new(trade.input.account, false),
            AccountMeta::new(trade.output.account, false),
            AccountMeta::new_readonly(trade.authority, true),
        ];
        Ok(trade.leg(PROGRAM_ID, accounts, &[SWAP_BASE_IN_V2]))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_authority_is_mainnets() {
        let (authority, nonce) = Address::find_program_address(&[AUTHORITY_SEED], &PROGRAM_ID);
        assert_eq!(authority, address!("5Q544fKrFoe6tsEbD7S8EmxGTJYAKtTVhAW5Q5pge4j1"));
        assert_eq!(nonce, 254);
    }

    /// A pool with another key in every place, so that what is read is what stands there.
    fn bytes() -> Vec<u8> {
        let mut data = vec![0; POOL_LEN];
        for (at, value) in
            [(0, 6), (8, 254), (176, 25), (184, 10_000), (192, 3), (200, 4), (224, 5)]
        {
            data[at..at + 8].copy_from_slice(&u64::to_le_bytes(value));
        }
        for (n, at) in [336, 368, 400, 432].into_iter().enumerate() {
            data[at..at + 32].copy_from_slice(&[n as u8 + 1; 32]);
        }
        data
    }

    fn read(data: &[u8]) -> Result<AmmPool, VenueError> {
        let key = Address::new_from_array([9; 32]);
        AmmPool::read(&key, Account { owner: &PROGRAM_ID, data })
    }

    #[test]
    fn fields_stand_where_the_published_layout_has_them() {
        let key = |byte| Address::new_from_array([byte; 32]);
        let pool = read(&bytes()).unwrap();
        assert_eq!((pool.vaults, pool.mints), ([key(1), key(2)], [key(3), key(4)]));
        assert_eq!((pool.owed, pool.fee, pool.open_time), ([3, 4], (25, 10_000), None));
        // Sixteen words; eight of fees; the state: four words, opening time, two of padding,
        // one more, then five sums of trades and fees.
        let (fees, state) = (16 * 8, 16 * 8 + 8 * 8);
        assert_eq!(
            (fees + 6 * 8, state + 4 * 8, state + 8 * 8 + 2 * (2 * 16 + 8)),
            (176, 224, 336)
        );
        // Nine keys, eight words, a key, four words.
        assert_eq!(POOL_LEN, 336 + 9 * 32 + 8 * 8 + 32 + 4 * 8);
    }

    #[test]
    fn what_the_program_never_writes_is_refused() {
        let with = |at: usize, value: u64| {
            let mut data = bytes();
            data[at..at + 8].copy_from_slice(&value.to_le_bytes());
            read(&data)
        };
        for (at, value, field) in [
            (0, 0, "status"),
            (0, 8, "status"),
            (8, 256, "nonce"),
            (176, 10_000, "swap_fee_numerator"),
            (184, 0, "swap_fee_denominator"),
        ] {
            match with(at, value) {
                Err(VenueError::OutOfRange { field: named, .. }) => assert_eq!(named, field),
                other => panic!("{field}: {other:?}"),
            }
        }
        assert!(matches!(read(&bytes()[1..]), Err(VenueError::Truncated { .. })));
        let longer = [&bytes()[..], &[0]].concat();
        assert!(matches!(read(&longer), Err(VenueError::OtherKind { .. })));
        assert_eq!(with(0, 7).unwrap().open_time, Some(5));
        for status in 1..=7 {
            assert_eq!(with(0, status).unwrap().closed, [2, 3, 4, 5].contains(&status));
        }
    }
}
