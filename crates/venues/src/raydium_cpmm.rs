//! Raydium's constant-product pools with Token-2022 support (CPMM, "cp-swap").
//!
//! A leg is one `swap_base_input` (the program's IDL). Fees go off the input, rounded up:
//! a trade fee, and a creator's fee that some pools take off the output instead.
//! Arithmetic: the program's published sources (Apache licence).

use solana_address::{Address, address};
use solana_instruction::AccountMeta;

use crate::{
    Curve, Direction, Id, Now, Pool, Quote,
    account::{Account, Accounts, Bytes, Kind},
    error::VenueError,
    leg::{SwapLeg, Trade},
    listing::Listing,
    mint,
};

/// Raydium's CPMM program.
pub const PROGRAM_ID: Address = address!("CPMMoo8L3F4NbTegBCKVNunggL7H1ZpdTHKxQB5qKP1C");
/// The PDA that owns all vaults, `["vault_and_lp_mint_auth_seed"]`.
pub const AUTHORITY: Address = address!("GpMZbSM2GgvTKHJirzeGfMFoaZ8UR2X7F4v8vHTvxFbL");

/// `swap_base_input(amount_in, minimum_amount_out)`.
const SWAP_BASE_INPUT: [u8; 8] = [143, 190, 90, 218, 196, 30, 51, 222];

// `account:PoolState`.
const POOL: Kind =
    Kind::marked("Raydium CPMM pool", PROGRAM_ID, [247, 237, 227, 245, 215, 195, 222, 70], 637);
/// Where a pool states its mints and vaults.
pub(crate) const LISTING: Listing = Listing::of(POOL, [168, 200], [72, 104]);
// `account:AmmConfig`.
const CONFIG: Kind =
    Kind::marked("fee configuration", PROGRAM_ID, [218, 244, 33, 104, 203, 203, 43, 111], 236);

/// Set in a pool's status while swaps are switched off.
const SWAP_DISABLED: u8 = 1 << 2;
/// A fee's whole.
const MILLION: u128 = 1_000_000;

/// Compute units of a swap: the upper end of what the deployed program takes.
const UNITS: u32 = 42_000;

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
    /// When swaps begin, seconds since 1970.
    pub open_time: u64,
    closed: bool,
    /// Fees that lie in the vaults and are not the pool's, in the order of the mints.
    owed: [u128; 2],
    creator: CreatorFee,
}

/// Which token a pool's creator takes a fee in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum CreatorFee {
    None,
    Input,
    First,
    Second,
}

impl CpmmPool {
    /// Reads a pool's account.
    ///
    /// # Errors
    /// [`VenueError`]: it is none, or states what the program never writes.
    pub fn read(key: &Address, account: Account<'_>) -> Result<Self, VenueError> {
        let data = POOL.read(key, account)?;
        let owed = |at: [usize; 3]| at.map(|at| u128::from(data.u64(at))).iter().sum();
        Ok(Self {
            pool: *key,
            config: data.key(8),
            vaults: LISTING.vaults.map(|at| data.key(at)),
            mints: LISTING.mints.map(|at| data.key(at)),
            token_programs: [data.key(232), data.key(264)],
            observation: data.key(296),
            open_time: data.u64(373),
            closed: data.u8(329) & SWAP_DISABLED != 0,
            owed: [owed([341, 357, 397]), owed([349, 365, 405])],
            creator: creator_fee(key, data)?,
        })
    }

    /// What of a vault's balance is the pool's.
    fn reserve(&self, n: usize, accounts: &dyn Accounts) -> Result<u64, VenueError> {
        let Self { pool, vaults, mints, token_programs, .. } = self;
        let vault = &vaults[n];
        let balance = mint::vault_amount(pool, vault, &mints[n], &token_programs[n], accounts)?;
        u128::from(balance)
            .checked_sub(self.owed[n])
            .and_then(|reserve| u64::try_from(reserve).ok())
            .ok_or(VenueError::OutOfRange {
                pool: *pool,
                field: "fees in the vault",
                actual: self.owed[n].try_into().unwrap_or(i128::MAX),
                low: 0,
                high: balance.into(),
            })
    }
}

fn creator_fee(pool: &Address, data: Bytes<'_>) -> Result<CreatorFee, VenueError> {
    if data.u8(390) == 0 {
        return Ok(CreatorFee::None);
    }
    match data.u8(389) {
        0 => Ok(CreatorFee::Input),
        1 => Ok(CreatorFee::First),
        2 => Ok(CreatorFee::Second),
        actual => Err(VenueError::OutOfRange {
            pool: *pool,
            field: "creator_fee_on",
            actual: actual.into(),
            low: 0,
            high: 2,
        }),
    }
}

impl Pool for CpmmPool {
    fn id(&self) -> Id<'_> {
        Id {
            address: &self.pool,
            program: &PROGRAM_ID,
            name: "Raydium CPMM pool",
            mints: &self.mints,
        }
    }

    fn accounts(&self, _: &dyn Accounts) -> Vec<Address> {
        [&self.mints[..], &self.vaults, &[self.config]].concat()
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
        now.check_open(pool, self.open_time)?;
        for mint in &self.mints {
            mint::token_program(&pool, mint, known)?;
        }
        let config = CONFIG.of_pool(&pool, &self.config, known)?;
        let (trade, creator) = (config.u64(12), config.u64(108));
        let creator = if self.creator == CreatorFee::None { 0 } else { creator };
        if u128::from(trade) + u128::from(creator) >= MILLION {
            let (field, actual) = ("trade_fee_rate", i128::from(trade) + i128::from(creator));
            return Err(VenueError::OutOfRange { pool, field, actual, low: 0, high: 999_999 });
        }
        let first_is_input = match self.creator {
            CreatorFee::None | CreatorFee::Input => true,
            CreatorFee::First => sells_first,
            CreatorFee::Second => !sells_first,
        };
        let (input, output) = if first_is_input { (trade + creator, 0) } else { (trade, creator) };
        let (reserve_in, reserve_out) = (
            self.reserve(usize::from(!sells_first), known)?,
            self.reserve(usize::from(sells_first), known)?,
        );
        if reserve_in == 0 || reserve_out == 0 {
            return Err(VenueError::NoLiquidity { pool, sold: *sold });
        }
        Ok(Box::new(CpmmCurve {
            pool: *self,
            sells_first,
            reserve_in: reserve_in.into(),
            reserve_out: reserve_out.into(),
            fee_on_input: input.into(),
            fee_on_output: output.into(),
        }))
    }
}

/// What a CPMM pool pays in one direction.
#[derive(Clone, Debug)]
struct CpmmCurve {
    pool: CpmmPool,
    sells_first: bool,
    reserve_in: u128,
    reserve_out: u128,
    /// In millionths.
    fee_on_input: u128,
    fee_on_output: u128,
}

/// A fee within an amount, rounded up.
fn fee(amount: u128, rate: u128) -> u128 {
    (amount * rate).div_ceil(MILLION)
}

impl Curve for CpmmCurve {
    fn direction(&self) -> Direction<'_> {
        let (pool, mints) = (&self.pool.pool, &self.pool.mints);
        Direction { pool, name: self.pool.name(), mints, sells_first: self.sells_first }
    }

    fn quote(&self, amount_in: u64) -> Result<Quote, VenueError> {
        let gross = u128::from(amount_in);
        let net = gross - fee(gross, self.fee_on_input);
        let swapped = net * self.reserve_out / (self.reserve_in + net);
        let paid = swapped - fee(swapped, self.fee_on_output);
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
        let (sold, bought) = (usize::from(!self.sells_first), usize::from(self.sells_first));
        let accounts = vec![
            AccountMeta::new_readonly(trade.authority, true),
            AccountMeta::new_readonly(AUTHORITY, false),
            AccountMeta::new_readonly(pool.config, false),
            AccountMeta::new(pool.pool, false),
            AccountMeta::new(trade.input.account, false),
            AccountMeta::new(trade.output.account, false),
            AccountMeta::new(pool.vaults[sold], false),
            AccountMeta::new(pool.vaults[bought], false),
            AccountMeta::new_readonly(pool.token_programs[sold], false),
            AccountMeta::new_readonly(pool.token_programs[bought], false),
            AccountMeta::new_readonly(pool.mints[sold], false),
            AccountMeta::new_readonly(pool.mints[bought], false),
            AccountMeta::new(pool.observation, false),
        ];
        Ok(trade.leg(PROGRAM_ID, accounts, &SWAP_BASE_INPUT))
    }
}
