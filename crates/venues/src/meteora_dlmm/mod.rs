//! Meteora's dynamic liquidity market maker (DLMM).
//!
//! A leg is one `swap2` (the program's IDL), for SPL Token and Token-2022 mints alike.
//! Liquidity lies in bins, each with one price, in arrays of 70; within a bin the pool's
//! own liquidity is sold first, then what limit orders there ask for, those that are
//! partly filled before the others. A swap names the arrays it may reach; it goes from one to
//! the next that has something in it, as bitmaps say: the pool's account holds the bits
//! of the 1,024 arrays around bin zero, an extension those of the rest.
//!
//! The fee has a base and a part that grows with the square of volatility: the bins between
//! the one in which the price rested and the one that trades. It is taken from the
//! input, or in some pools always from the second token. Layouts are the published IDL's
//! (version 0.12.0); the arithmetic is written from the public documentation and from what the
//! deployed program pays, and held against that by this project's tests.

mod bins;

use solana_address::{Address, address};
use solana_instruction::AccountMeta;

use self::bins::{ARRAY, BinStep};
use crate::{
    Curve, Direction, Id, Now, Pool, Quote,
    account::{Account, Accounts, Bytes, Kind},
    bitmap::{self, Beyond, Bitmap},
    error::VenueError,
    ladder::End,
    leg::{MEMO_PROGRAM_ID, SwapLeg, Trade},
    listing::Listing,
    mint, pda,
    stretch::Stretch,
};

/// Meteora's DLMM program.
pub const PROGRAM_ID: Address = address!("LBUZKhRxPF3XUpBCjp4YzTKgLccjZhTSDM9YuVaPwxo");
/// Signs the program's events, `["__event_authority"]`.
pub const EVENT_AUTHORITY: Address = address!("D1ZN9Wj1fRSUQfCjhvnu1hqDMT7hzjzBBpi12nVniYD6");

/// `swap2(amount_in, min_amount_out, remaining_accounts_info)`.
const SWAP2: [u8; 8] = [65, 75, 63, 76, 235, 91, 91, 136];

/// Bins in one array.
const BINS_PER_ARRAY: i32 = 70;
/// Arrays with something in them that [`Pool::accounts`] asks for on either side.
const READ_ARRAYS: usize = 5;
/// The end of the scale of bins on either side.
const MAX_BIN: i32 = 443_636;

/// A fee's whole.
const BILLION: u64 = 1_000_000_000;
/// The highest fee, in billionths.
const MAX_FEE: u128 = 100_000_000;
/// A reduction's whole, and what a bin of distance adds to volatility.
const FULL_BPS: u64 = 10_000;

// `account:LbPair`.
const POOL: Kind =
    Kind::marked("Meteora DLMM pool", PROGRAM_ID, [33, 11, 49, 98, 181, 101, 177, 13], 904);
/// Where a pool states its mints and vaults.
pub(crate) const LISTING: Listing = Listing::of(POOL, [88, 120], [152, 184]);
// `account:BinArrayBitmapExtension`.
const EXTENSION: bitmap::Extension =
    bitmap::Extension::of(PROGRAM_ID, [80, 111, 124, 113, 55, 237, 18, 5], 12, true);

/// Where a pool's bitmap begins: two rows, the arrays below zero first.
const POOL_BITMAP: usize = 584;
/// Where a pool's two rewards begin, with the mint each; and their length.
const REWARDS: usize = 264;
const REWARD_LEN: usize = 144;

/// Compute units of a swap, of each bin that trades, of each that it passes besides, and of
/// each array: upper ends of what the deployed program takes.
const UNITS: u32 = 45_000;
const UNITS_PER_TRADE: u32 = 7_500;
const UNITS_PER_BIN: u32 = 700;
const UNITS_PER_ARRAY: u32 = 5_000;

/// A pool, as its account states it.
#[derive(Clone, Debug)]
pub struct DlmmPool {
    /// The pool's account.
    pub pool: Address,
    /// The two mints.
    pub mints: [Address; 2],
    /// The vaults, in the order of the mints.
    pub vaults: [Address; 2],
    /// Where the program records prices.
    pub oracle: Address,
    /// Basis points between the prices of neighbouring bins.
    pub bin_step: u16,
    /// The bin of the current price.
    pub active_bin: i32,
    closed: bool,
    opens: Option<Opens>,
    fees: Fees,
    only_second: bool,
    limit_orders: bool,
    bitmap: Bitmap,
    extension: Address,
}

/// When swaps begin.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Opens {
    Slot(u64),
    Time(u64),
}

/// A pool's fee and its volatility.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Fees {
    /// In billionths.
    base: u128,
    bin_step: u16,
    filter: u16,
    decay: u16,
    reduction: u16,
    control: u32,
    cap: u32,
    accumulated: u32,
    reference: u32,
    origin: i32,
    updated: i64,
}

impl Fees {
    fn read(data: Bytes<'_>) -> Self {
        let bin_step = data.u16(80);
        let power = 10u128.saturating_pow(data.u8(34).into());
        let base = u128::from(data.u16(8)) * u128::from(bin_step) * 10;
        Self {
            base: base.saturating_mul(power),
            bin_step,
            filter: data.u16(10),
            decay: data.u16(12),
            reduction: data.u16(14),
            control: data.u32(16),
            cap: data.u32(20),
            accumulated: data.u32(40),
            reference: data.u32(44),
            origin: data.i32(48),
            updated: data.i64(56),
        }
    }

    /// As a swap at `now` begins with them, at the bin `here`.
    fn begin(mut self, here: i32, now: i64) -> Self {
        let since = now.saturating_sub(self.updated);
        if since >= i64::from(self.filter) {
            self.origin = here;
            self.reference = if since < i64::from(self.decay) {
                let kept = u64::from(self.accumulated) * u64::from(self.reduction) / FULL_BPS;
                u32::try_from(kept).unwrap_or(u32::MAX)
            } else {
                0
            };
        }
        self
    }

    /// In a bin, in billionths.
    fn at(&self, bin: i32) -> u64 {
        let distance = u64::from(self.origin.abs_diff(bin));
        let sum = u64::from(self.reference) + distance * FULL_BPS;
        let volatility = u128::from(sum.min(self.cap.into()));
        let moved = volatility * u128::from(self.bin_step);
        // The factors have 32 and twice 48 bits.
        let added = (u128::from(self.control) * moved * moved).div_ceil(100_000_000_000);
        let fee = self.base.saturating_add(added).min(MAX_FEE);
        u64::try_from(fee).unwrap_or(BILLION)
    }
}

impl DlmmPool {
    /// Reads a pool's account.
    ///
    /// # Errors
    /// [`VenueError`]: it is none, or states what the program never writes.
    pub fn read(key: &Address, account: Account<'_>) -> Result<Self, VenueError> {
        let data = POOL.read(key, account)?;
        let (extension, _) = pda::find(&[b"bitmap", key.as_ref()], &PROGRAM_ID);
        let pool = *key;
        let within = |field, actual: i128, low: i128, high: i128| {
            if (low..=high).contains(&actual) {
                Ok(())
            } else {
                Err(VenueError::OutOfRange { pool, field, actual, low, high })
            }
        };
        let known = |field, actual: u8, most: u8| {
            if actual <= most {
                Ok(actual)
            } else {
                Err(VenueError::Unknown { pool, field, actual: actual.into() })
            }
        };
        let (active_bin, bin_step) = (data.i32(76), data.u16(80));
        within("active_id", active_bin.into(), (-MAX_BIN).into(), MAX_BIN.into())?;
        within("bin_step", bin_step.into(), 1, FULL_BPS.into())?;
        within("base_fee_power_factor", data.u8(34).into(), 0, 9)?;
        // Two of the four kinds of pairs say from when on they trade.
        let opens = match (known("pair_type", data.u8(75), 3)?, data.u8(86)) {
            (0 | 3, _) => None,
            (_, 0) => Some(Opens::Slot(data.u64(816))),
            (_, 1) => Some(Opens::Time(data.u64(816))),
            (_, by) => {
                let (field, actual) = ("activation_type", by.into());
                return Err(VenueError::Unknown { pool, field, actual });
            }
        };
        let has_rewards =
            [0, 1].iter().any(|n| data.key(REWARDS + n * REWARD_LEN) != Address::default());
        Ok(Self {
            pool,
            mints: LISTING.mints.map(|at| data.key(at)),
            vaults: LISTING.vaults.map(|at| data.key(at)),
            oracle: data.key(552),
            bin_step,
            active_bin,
            closed: known("status", data.u8(82), 1)? == 1,
            opens,
            fees: Fees::read(data),
            only_second: known("collect_fee_mode", data.u8(36), 1)? == 1,
            limit_orders: match known("function_type", data.u8(35), 2)? {
                0 => !has_rewards,
                kind => kind == 2,
            },
            bitmap: Bitmap::of_pool(data, POOL_BITMAP, EXTENSION.rows),
            extension,
        })
    }

    /// The array `number` places from bin zero.
    fn bin_array(&self, number: i32) -> Address {
        let number = i64::from(number).to_le_bytes();
        pda::find(&[b"bin_array", self.pool.as_ref(), &number], &PROGRAM_ID).0
    }

    /// All arrays with something in them, and what is known of the extension.
    fn arrays(&self, accounts: &dyn Accounts) -> Result<(Bitmap, Beyond), VenueError> {
        self.bitmap.with_extension(&EXTENSION, &self.pool, &self.extension, accounts)
    }

    fn check_open(&self, now: &Now) -> Result<(), VenueError> {
        let pool = self.pool;
        if self.closed {
            return Err(VenueError::Closed { pool });
        }
        match self.opens {
            Some(Opens::Time(opens)) => now.check_open(pool, opens),
            Some(Opens::Slot(opens)) if now.slot < opens => {
                Err(VenueError::NotOpenYet { pool, opens, now: now.slot, unit: "slots" })
            }
            Some(Opens::Slot(_)) | None => Ok(()),
        }
    }
}

/// The array that holds a bin.
const fn array_of(bin: i32) -> i32 {
    bin.div_euclid(BINS_PER_ARRAY)
}

impl Pool for DlmmPool {
    fn id(&self) -> Id<'_> {
        Id { address: &self.pool, program: &PROGRAM_ID, name: POOL.what, mints: &self.mints }
    }

    fn accounts(&self, known: &dyn Accounts) -> Vec<Address> {
        let mut needed = [&self.mints[..], &[self.extension]].concat();
        let Ok((bitmap, _)) = self.arrays(known) else { return needed };
        let arrays = bitmap.around(array_of(self.active_bin), READ_ARRAYS);
        needed.extend(arrays.into_iter().map(|number| self.bin_array(number)));
        needed
    }

    fn curve(
        &self,
        sold: &Address,
        known: &dyn Accounts,
        now: &Now,
    ) -> Result<Box<dyn Curve>, VenueError> {
        let pool = self.pool;
        let down = crate::sells_first(&pool, &self.mints, sold)?;
        self.check_open(now)?;
        let mut token_programs = [Address::default(); 2];
        for (program, mint) in token_programs.iter_mut().zip(&self.mints) {
            *program = mint::token_program(&pool, mint, known)?;
        }
        let (bitmap, extension) = self.arrays(known)?;
        let fees = self.fees.begin(self.active_bin, now.unix_timestamp);
        let fee_on_input = !(self.only_second && down);
        let here = array_of(self.active_bin);
        let after = |number: i32| if down { number - 1 } else { number + 1 };
        let (mut stretch, mut next) = Stretch::begin(pool, here, down, (&bitmap, extension));
        while let Some(number) = next {
            let Some(bins) = bins::bins(self, number, down, known)? else {
                stretch.end = Some((self.bin_array(number), ARRAY.what));
                break;
            };
            let ladder = &mut stretch.ladder;
            ladder.enter(stretch.arrays.len() as u32);
            stretch.arrays.push(number);
            for bin in bins {
                let is_ahead =
                    if down { bin.id <= self.active_bin } else { bin.id >= self.active_bin };
                if !is_ahead {
                    continue;
                }
                if bin.layers != [0; 3] {
                    let (price, fee) = (bin.price, fees.at(bin.id));
                    let step = BinStep { layers: bin.layers, price, down, fee, fee_on_input };
                    let whole = step.whole();
                    ladder.push(step, whole);
                }
                ladder.cross();
                if ladder.is_full() {
                    break;
                }
            }
            if ladder.is_full() {
                break;
            }
            next = bitmap.nearest(after(number), down);
        }
        let extension = (self.extension, EXTENSION.kind.what);
        let stretch = stretch.whole(sold, next.is_none(), extension)?;
        Ok(Box::new(DlmmCurve { pool: self.clone(), token_programs, down, stretch }))
    }
}

/// What a DLMM pool pays in one direction.
#[derive(Clone, Debug)]
struct DlmmCurve {
    pool: DlmmPool,
    token_programs: [Address; 2],
    down: bool,
    stretch: Stretch<BinStep>,
}

impl Curve for DlmmCurve {
    fn direction(&self) -> Direction<'_> {
        let (pool, mints) = (&self.pool.pool, &self.pool.mints);
        Direction { pool, name: POOL.what, mints, sells_first: self.down }
    }

    fn quote(&self, amount_in: u64) -> Result<Quote, VenueError> {
        let End { paid, crossed, steps, array } = self.stretch.pays(amount_in)?;
        let units = UNITS
            + UNITS_PER_TRADE * steps
            + UNITS_PER_BIN * (crossed + 1).saturating_sub(steps)
            + UNITS_PER_ARRAY * (array + 1);
        Ok(Quote { amount_out: paid, crossed, steps, units })
    }

    fn leg(&self, trade: &Trade) -> Result<SwapLeg, VenueError> {
        let pool = &self.pool;
        crate::check_trade(&pool.pool, (self.sold(), self.bought()), trade)?;
        let (arrays, is_needed) = self.stretch.named(trade.amount.expected())?;
        // An optional account that is left out is the program's own.
        let absent = AccountMeta::new_readonly(PROGRAM_ID, false);
        let extension =
            if is_needed { AccountMeta::new(pool.extension, false) } else { absent.clone() };
        let mut accounts = vec![
            AccountMeta::new(pool.pool, false),
            extension,
            AccountMeta::new(pool.vaults[0], false),
            AccountMeta::new(pool.vaults[1], false),
            AccountMeta::new(trade.input.account, false),
            AccountMeta::new(trade.output.account, false),
            AccountMeta::new_readonly(pool.mints[0], false),
            AccountMeta::new_readonly(pool.mints[1], false),
            AccountMeta::new(pool.oracle, false),
            // Nobody who referred the swap is paid.
            absent.clone(),
            AccountMeta::new_readonly(trade.authority, true),
            AccountMeta::new_readonly(self.token_programs[0], false),
            AccountMeta::new_readonly(self.token_programs[1], false),
            AccountMeta::new_readonly(MEMO_PROGRAM_ID, false),
            AccountMeta::new_readonly(EVENT_AUTHORITY, false),
            absent,
        ];
        accounts.extend(arrays.iter().map(|n| AccountMeta::new(pool.bin_array(*n), false)));
        let mut leg = trade.leg(PROGRAM_ID, accounts, &SWAP2);
        // No accounts for transfer hooks.
        leg.data.extend(0u32.to_le_bytes());
        Ok(leg)
    }
}

#[cfg(test)]
mod tests {
    use super::{bins::price, *};

    #[test]
    fn names_and_addresses_are_the_published_ones() {
        let authority = Address::find_program_address(&[b"__event_authority"], &PROGRAM_ID).0;
        assert_eq!(EVENT_AUTHORITY, authority);
        for (name, first) in [
            ("account:LbPair", POOL.discriminator.unwrap()),
            ("account:BinArray", ARRAY.discriminator.unwrap()),
            ("account:BinArrayBitmapExtension", EXTENSION.kind.discriminator.unwrap()),
            ("global:swap2", SWAP2),
        ] {
            let hash = solana_sha256_hasher::hash(name.as_bytes()).to_bytes();
            assert!(hash.starts_with(&first), "{name}");
        }
    }

    /// Prices of bins a thousand apart at the steps that pools have.
    #[test]
    fn prices_grow_by_the_step() {
        for bin_step in [1u16, 10, 100, 400] {
            let far = 300_000 / i32::from(bin_step);
            for id in (-far..far).step_by(97) {
                let ratio =
                    price(id + 1, bin_step).unwrap() as f64 / price(id, bin_step).unwrap() as f64;
                let step = 1.0 + f64::from(bin_step) / 10_000.0;
                assert!((ratio / step - 1.0).abs() < 1e-4, "{bin_step} {id}: {ratio}");
            }
        }
        assert_eq!(price(0, 10), Some(1 << 64));
        assert_eq!(price(MAX_BIN, 400), None);
    }
}
