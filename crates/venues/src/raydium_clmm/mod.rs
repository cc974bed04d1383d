//! Raydium's concentrated-liquidity pools (CLMM).
//!
//! A leg is one `swap_v2` (the program's IDL), for SPL Token and Token-2022
//! mints alike. Liquidity lies in arrays of 60 ticks, and a swap names those it
//! may reach, in the order in which it reaches them, from the one at the current price
//! on. Only arrays with something in them exist: bitmaps say which those are. The pool's
//! account holds the bitmap of the 1,024 arrays around tick zero, an extension
//! that of the rest; the extension is named where it exists and may be looked into.
//! The array behind is named first: the program passes over arrays until it
//! finds the one it begins in, so the swap lands, too, if the price has moved back.
//!
//! Fees are static or follow volatility, on the input or always on one of the tokens; a
//! tick may hold limit orders, which are filled before it is crossed. Arithmetic:
//! the program's published sources (Apache licence, 2026-07-16).

mod arrays;
mod price;

use solana_address::{Address, address};
use solana_instruction::AccountMeta;

use self::arrays::{ARRAY, ClmmStep, Orders};
use crate::{
    Curve, Direction, Id, Now, Pool, Quote,
    account::{Account, Accounts, Bytes, Kind},
    bitmap::{self, Beyond, Bitmap},
    concentrated::{Fee, Flat, MAX_TICK, MIN_SQRT_PRICE, Volatility, Walk},
    error::VenueError,
    ladder::{End, Ladder},
    leg::{MEMO_PROGRAM_ID, SwapLeg, Trade},
    listing::Listing,
    mint::{self, TOKEN_2022_PROGRAM_ID, TOKEN_PROGRAM_ID},
    pda,
    stretch::Stretch,
};

/// Raydium's CLMM program.
pub const PROGRAM_ID: Address = address!("CAMMCzo5YL8w4VFF8KVHrK22GGUsp5VTaW7grrKgrWqK");

/// `swap_v2(amount, other_amount_threshold, sqrt_price_limit_x64, is_base_input)`.
const SWAP_V2: [u8; 8] = [43, 4, 237, 11, 26, 201, 30, 98];

/// Ticks in one array.
const TICKS_PER_ARRAY: i32 = 60;
/// Arrays with something in them that [`Pool::accounts`] asks for on either side.
const READ_ARRAYS: usize = 10;
/// From this spacing on the pool's own bitmap reaches over the whole scale.
const NO_EXTENSION: u16 = 15;

pub(crate) const MAX_SQRT_PRICE: u128 = 79_226_673_521_066_979_257_578_248_091;
/// The highest fee that volatility makes, in millionths.
const MAX_FEE: u32 = 100_000;
const REDUCTION: u64 = 10_000;

// `account:PoolState`, as the CPMM program's.
const POOL: Kind =
    Kind::marked("Raydium CLMM pool", PROGRAM_ID, [247, 237, 227, 245, 215, 195, 222, 70], 1544);
/// Where a pool states its mints and vaults.
pub(crate) const LISTING: Listing = Listing::of(POOL, [73, 105], [137, 169]);
// `account:AmmConfig`.
const CONFIG: Kind =
    Kind::marked("fee configuration", PROGRAM_ID, [218, 244, 33, 104, 203, 203, 43, 111], 117);

// `account:TickArrayBitmapExtension`.
const EXTENSION: bitmap::Extension =
    bitmap::Extension::of(PROGRAM_ID, [60, 150, 36, 219, 97, 128, 139, 153], 14, false);

/// Where a pool's bitmap begins: two rows, the arrays below zero first.
const POOL_BITMAP: usize = 904;
/// Where a pool's dynamic fee is, and its bytes.
const DYNAMIC_FEE: usize = 1096;
const DYNAMIC_FEE_LEN: usize = 80;
/// Set in a pool's status while swaps are switched off.
const SWAP_DISABLED: u8 = 1 << 4;

/// Compute units of a swap, of each tick that it crosses, and of each step: upper ends of what the
/// program takes.
const UNITS: u32 = 40_000;
const UNITS_PER_TICK: u32 = 1_500;
const UNITS_PER_STEP: u32 = 6_500;

/// A pool, as its account states it.
#[derive(Clone, Debug)]
pub struct ClmmPool {
    /// The pool's account.
    pub pool: Address,
    /// Its fee configuration.
    pub config: Address,
    /// The two mints.
    pub mints: [Address; 2],
    /// The vaults, in the order of the mints.
    pub vaults: [Address; 2],
    /// Where the program records prices.
    pub observation: Address,
    /// Ticks between two that can hold liquidity.
    pub tick_spacing: u16,
    /// Tick of the current price.
    pub tick: i32,
    /// When swaps begin, seconds since 1970.
    pub open_time: u64,
    closed: bool,
    sqrt_price: u128,
    liquidity: u128,
    fee_on: FeeOn,
    volatility: Option<DynamicFee>,
    bitmap: Bitmap,
    extension: Address,
}

/// Which token fees are taken in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum FeeOn {
    Input,
    First,
    Second,
}

/// A pool's volatility and what it costs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct DynamicFee {
    filter: u16,
    decay: u16,
    reduction: u16,
    control: u32,
    cap: u32,
    origin: i32,
    reference: u32,
    accumulated: u32,
    updated: u64,
}

impl DynamicFee {
    /// All zeros where the pool has none.
    fn read(data: Bytes<'_>) -> Option<Self> {
        let at = DYNAMIC_FEE;
        data.array::<DYNAMIC_FEE_LEN>(at).iter().any(|byte| *byte != 0).then(|| Self {
            filter: data.u16(at),
            decay: data.u16(at + 2),
            reduction: data.u16(at + 4),
            control: data.u32(at + 6),
            cap: data.u32(at + 10),
            origin: data.i32(at + 14),
            reference: data.u32(at + 18),
            accumulated: data.u32(at + 22),
            updated: data.u64(at + 26),
        })
    }

    /// As a swap at `now` begins with it, at the group `here`.
    fn begin(&self, base: u32, group: u16, here: i32, now: u64) -> Volatility {
        let since = now.saturating_sub(self.updated);
        let (reference, origin) = if since < u64::from(self.filter) {
            (self.reference, self.origin)
        } else if since < u64::from(self.decay) {
            let kept = u64::from(self.accumulated) * u64::from(self.reduction) / REDUCTION;
            (kept as u32, here)
        } else {
            (0, here)
        };
        let (control, cap, group) = (self.control, self.cap, i32::from(group));
        let (most, flat) = (MAX_FEE, Flat::AtCap);
        Volatility { base, control, group, cap, reference, origin, most, flat }
    }
}

/// Where a pool's bitmap extension is.
fn bitmap_extension(pool: &Address) -> Address {
    pda::find(&[b"pool_tick_array_bitmap_extension", pool.as_ref()], &PROGRAM_ID).0
}

impl ClmmPool {
    /// Reads a pool's account.
    ///
    /// # Errors
    /// [`VenueError`]: it is none, or states what the program never writes.
    pub fn read(key: &Address, account: Account<'_>) -> Result<Self, VenueError> {
        let data = POOL.read(key, account)?;
        let pool = *key;
        let within = |field, actual: i128, low: i128, high: i128| {
            if (low..=high).contains(&actual) {
                Ok(())
            } else {
                Err(VenueError::OutOfRange { pool, field, actual, low, high })
            }
        };
        let (tick_spacing, tick) = (data.u16(235), data.i32(269));
        let sqrt_price = data.u128(253);
        let (lowest, highest) = (MIN_SQRT_PRICE as i128, MAX_SQRT_PRICE as i128);
        within("tick_spacing", tick_spacing.into(), 1, 1_000)?;
        within("sqrt_price_x64", sqrt_price.try_into().unwrap_or(i128::MAX), lowest, highest)?;
        within("tick_current", tick.into(), (-MAX_TICK - 1).into(), MAX_TICK.into())?;
        within("fee_on", data.u8(390).into(), 0, 2)?;
        Ok(Self {
            pool,
            config: data.key(9),
            mints: LISTING.mints.map(|at| data.key(at)),
            vaults: LISTING.vaults.map(|at| data.key(at)),
            observation: data.key(201),
            tick_spacing,
            tick,
            open_time: data.u64(1080),
            closed: data.u8(389) & SWAP_DISABLED != 0,
            sqrt_price,
            liquidity: data.u128(237),
            fee_on: [FeeOn::Input, FeeOn::First, FeeOn::Second][usize::from(data.u8(390))],
            volatility: DynamicFee::read(data),
            bitmap: Bitmap::of_pool(data, POOL_BITMAP, EXTENSION.rows),
            extension: bitmap_extension(key),
        })
    }

    fn width(&self) -> i32 {
        i32::from(self.tick_spacing) * TICKS_PER_ARRAY
    }

    /// The array `number` places from tick zero.
    fn tick_array(&self, number: i32) -> Address {
        let start = number.saturating_mul(self.width()).to_be_bytes();
        pda::find(&[b"tick_array", self.pool.as_ref(), &start], &PROGRAM_ID).0
    }

    /// All arrays with something in them, and whether that is all that is known.
    fn arrays(&self, accounts: &dyn Accounts) -> Result<(Bitmap, Beyond), VenueError> {
        if self.tick_spacing >= NO_EXTENSION {
            return Ok((self.bitmap.clone(), Beyond::None));
        }
        self.bitmap.with_extension(&EXTENSION, &self.pool, &self.extension, accounts)
    }

    fn fee(&self, trade_fee: u32, now: &Now) -> Fee {
        match &self.volatility {
            None => Fee::Static(trade_fee),
            Some(fee) => {
                let here = self.tick.div_euclid(self.tick_spacing.into());
                Fee::Volatile(fee.begin(trade_fee, self.tick_spacing, here, now.seconds()), here)
            }
        }
    }
}

impl Pool for ClmmPool {
    fn id(&self) -> Id<'_> {
        Id {
            address: &self.pool,
            program: &PROGRAM_ID,
            name: "Raydium CLMM pool",
            mints: &self.mints,
        }
    }

    fn accounts(&self, known: &dyn Accounts) -> Vec<Address> {
        let mut needed = [&self.mints[..], &[self.config]].concat();
        if self.tick_spacing < NO_EXTENSION {
            needed.push(self.extension);
        }
        let Ok((bitmap, _)) = self.arrays(known) else { return needed };
        let here = self.tick.div_euclid(self.width());
        needed.extend(bitmap.around(here, READ_ARRAYS).into_iter().map(|n| self.tick_array(n)));
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
        if self.closed {
            return Err(VenueError::Closed { pool });
        }
        let (opens, seconds) = (self.open_time, now.seconds());
        if seconds <= opens {
            let unit = "seconds since 1970";
            return Err(VenueError::NotOpenYet { pool, opens, now: seconds, unit });
        }
        for mint in &self.mints {
            mint::token_program(&pool, mint, known)?;
        }
        let trade_fee = CONFIG.of_pool(&pool, &self.config, known)?.u32(47);
        if trade_fee >= crate::concentrated::MILLION {
            let (field, actual) = ("trade_fee_rate", i128::from(trade_fee));
            return Err(VenueError::OutOfRange { pool, field, actual, low: 0, high: 999_999 });
        }
        let (bitmap, extension) = self.arrays(known)?;
        let fee_on_input = match self.fee_on {
            FeeOn::Input => true,
            FeeOn::First => down,
            FeeOn::Second => !down,
        };
        let mut walk = Walk::<ClmmStep> {
            ladder: Ladder::default(),
            down,
            price: self.sqrt_price,
            liquidity: self.liquidity,
            fee: self.fee(trade_fee, now),
            fee_on_input,
            sqrt_price: price::sqrt_price,
        };
        let here = self.tick.div_euclid(self.width());
        let after = |number: i32| if down { number - 1 } else { number + 1 };
        let (mut stretch, mut next) = Stretch::begin(pool, here, down, (&bitmap, extension));
        let limit = if down { MIN_SQRT_PRICE + 1 } else { MAX_SQRT_PRICE - 1 };
        while let Some(number) = next {
            let Some(mut ticks) = arrays::ticks(self, number, known)? else {
                stretch.end = Some((self.tick_array(number), ARRAY.what));
                break;
            };
            walk.ladder.enter(stretch.arrays.len() as u32);
            stretch.arrays.push(number);
            if down {
                ticks.reverse();
            }
            let ahead = |index: i32| if down { index <= self.tick } else { index > self.tick };
            for tick in ticks.iter().filter(|tick| ahead(tick.index)) {
                let overflow = VenueError::Overflow { pool, what: "liquidity" };
                let fee = walk.advance(tick.index, limit);
                let reached = walk.price == price::sqrt_price(tick.index);
                if tick.orders > 0 && reached {
                    let orders = Orders::new(tick.orders, walk.price, down, fee, fee_on_input);
                    let orders = orders.ok_or(overflow)?;
                    walk.ladder.push(ClmmStep::Orders(orders), orders.whole());
                }
                if !walk.cross(tick.net.unwrap_or(0)) {
                    return Err(overflow);
                }
                if walk.ladder.is_full() {
                    break;
                }
            }
            if walk.ladder.is_full() {
                break;
            }
            next = bitmap.nearest(after(number), down);
        }
        stretch.ladder = walk.ladder;
        let extension = (self.extension, EXTENSION.kind.what);
        let stretch = stretch.whole(sold, next.is_none(), extension)?;
        Ok(Box::new(ClmmCurve { pool: self.clone(), down, stretch }))
    }
}

/// What a CLMM pool pays in one direction.
#[derive(Clone, Debug)]
struct ClmmCurve {
    pool: ClmmPool,
    down: bool,
    stretch: Stretch<ClmmStep>,
}

impl Curve for ClmmCurve {
    fn direction(&self) -> Direction<'_> {
        let (pool, mints) = (&self.pool.pool, &self.pool.mints);
        Direction { pool, name: self.pool.name(), mints, sells_first: self.down }
    }

    fn quote(&self, amount_in: u64) -> Result<Quote, VenueError> {
        let End { paid, crossed, steps, .. } = self.stretch.pays(amount_in)?;
        let units = UNITS + UNITS_PER_TICK * crossed + UNITS_PER_STEP * steps;
        Ok(Quote { amount_out: paid, crossed, steps, units })
    }

    fn leg(&self, trade: &Trade) -> Result<SwapLeg, VenueError> {
        let pool = &self.pool;
        crate::check_trade(&pool.pool, (self.sold(), self.bought()), trade)?;
        let (arrays, is_extension_needed) = self.stretch.named(trade.amount.expected())?;
        let (sold, bought) = (usize::from(!self.down), usize::from(self.down));
        let mut accounts = vec![
            AccountMeta::new_readonly(trade.authority, true),
            AccountMeta::new_readonly(pool.config, false),
            AccountMeta::new(pool.pool, false),
            AccountMeta::new(trade.input.account, false),
            AccountMeta::new(trade.output.account, false),
            AccountMeta::new(pool.vaults[sold], false),
            AccountMeta::new(pool.vaults[bought], false),
            AccountMeta::new(pool.observation, false),
            AccountMeta::new_readonly(TOKEN_PROGRAM_ID, false),
            AccountMeta::new_readonly(TOKEN_2022_PROGRAM_ID, false),
            AccountMeta::new_readonly(MEMO_PROGRAM_ID, false),
            AccountMeta::new_readonly(pool.mints[sold], false),
            AccountMeta::new_readonly(pool.mints[bought], false),
        ];
        if is_extension_needed {
            accounts.push(AccountMeta::new(pool.extension, false));
        }
        accounts.extend(arrays.iter().map(|n| AccountMeta::new(pool.tick_array(*n), false)));

        let mut leg = trade.leg(PROGRAM_ID, accounts, &SWAP_V2);
        // No price limit: the program takes zero for the end of the scale.
        leg.data.extend(0u128.to_le_bytes());
        // The amount is the input.
        leg.data.push(1);
        Ok(leg)
    }
}
