//! Orca Whirlpools: concentrated liquidity.
//!
//! A leg is one `swap_v2` (the Whirlpool program's IDL), for SPL Token and
//! Token-2022 mints alike. Liquidity lies in arrays of 88 ticks; a swap names
//! three of them, from the one at the current price on in the direction it
//! pushes the price, and no swap reaches further. Arrays on either side of those are
//! named as supplemental ones: the swap lands, too, if the price has crossed into
//! another array meanwhile. What lies behind the third array takes a second leg
//! through the same pool, which begins where the first ends ([`Curve::after`]).
//!
//! Fees are static, or follow volatility with a state that the pool's oracle account
//! holds (adaptive fees). Arithmetic: the program's last sources under the Apache
//! licence (2025-02-25) for all but adaptive fees, the published description for
//! those; both held against the deployed programs by this project's tests.

mod arrays;
mod price;

use std::{collections::BTreeMap, sync::Arc};

use solana_address::{Address, address};
use solana_instruction::AccountMeta;

use self::arrays::Tick;
use crate::{
    Curve, Direction, Id, Now, Pool, Quote,
    account::{Account, Accounts, Kind},
    concentrated::{Fee, Flat, MAX_TICK, MIN_SQRT_PRICE, Range, Volatility, Walk},
    error::VenueError,
    ladder::{End, Ladder},
    leg::{MEMO_PROGRAM_ID, SwapLeg, Trade},
    listing::Listing,
    mint, pda,
};

/// The Whirlpool program.
pub const PROGRAM_ID: Address = address!("whirLbMiicVdio4qvUfM5KAg6Ct8VwpYzGff3uctyCc");
/// The same program once more, deployed so that nobody can change it.
pub const IMMUTABLE_PROGRAM_ID: Address = address!("iwhrLHdsgrvmnwU8GF2FSmyabSMjfHwFGJAX2ufJ3ZN");

/// `swap_v2(amount, other_amount_threshold, sqrt_price_limit, amount_specified_is_input, a_to_b, remaining_accounts_info)`.
const SWAP_V2: [u8; 8] = [43, 4, 237, 11, 26, 201, 30, 98];
/// In `remaining_accounts_info`: supplemental tick arrays.
const SUPPLEMENTAL: u8 = 6;

/// Ticks in one array.
const TICKS_PER_ARRAY: i32 = 88;
/// Arrays a swap reaches.
const SWAP_ARRAYS: i32 = 3;
/// Arrays that two legs through one pool reach.
const TWO_LEGS_ARRAYS: i32 = 2 * SWAP_ARRAYS - 1;
/// Arrays that [`Pool::accounts`] asks for on either side of the current one; and where
/// three of them are a few per cent of the price.
const READ_ARRAYS: i32 = SWAP_ARRAYS;
const READ_NARROW_ARRAYS: i32 = TWO_LEGS_ARRAYS;
const NARROW: u16 = 2;

pub(crate) const MAX_SQRT_PRICE: u128 = 79_226_673_515_401_279_992_447_579_055;
/// The highest fee, in millionths.
const MAX_FEE: u32 = 100_000;
/// Seconds after which volatility is forgotten whatever happened since.
const MAX_REFERENCE_AGE: u64 = 3_600;
const REDUCTION: u64 = 10_000;

// `account:Whirlpool`.
const POOL: Kind = Kind::marked("Whirlpool", PROGRAM_ID, [63, 149, 209, 12, 225, 128, 99, 9], 653);
/// Where a pool states its mints and vaults.
pub(crate) const LISTING: Listing = Listing::of(POOL, [101, 181], [133, 213]);
// `account:TickArray`.
const FIXED_ARRAY: Kind =
    Kind::marked("tick array", PROGRAM_ID, [69, 97, 189, 190, 110, 7, 66, 187], 9988);
// `account:DynamicTickArray`.
const DYNAMIC_ARRAY: Kind =
    Kind::marked("tick array", PROGRAM_ID, [17, 216, 246, 142, 225, 199, 218, 56], 148);
// `account:Oracle`.
const ORACLE: Kind =
    Kind::marked("oracle", PROGRAM_ID, [139, 194, 131, 179, 140, 179, 229, 244], 254);

/// Compute units of a swap, of each tick that it crosses, and of each step: upper ends of what the
/// deployed programs take.
const UNITS: u32 = 74_000;
const UNITS_PER_TICK: u32 = 3_000;
const UNITS_PER_STEP: u32 = 11_600;

/// A pool, as its account states it.
#[derive(Clone, Debug)]
pub struct Whirlpool {
    /// The pool's account.
    pub pool: Address,
    /// The deployment that it belongs to.
    pub program: Address,
    /// Ticks between two that can hold liquidity.
    pub tick_spacing: u16,
    /// Fee on the input, in hundredths of a basis point; of adaptive ones the part
    /// that does not change.
    pub fee_rate: u16,
    /// Whether the fee follows volatility.
    pub adaptive: bool,
    /// Tick of the current price.
    pub tick: i32,
    /// The two mints.
    pub mints: [Address; 2],
    /// The vaults, in the order of the mints.
    pub vaults: [Address; 2],
    sqrt_price: u128,
    liquidity: u128,
    oracle: Address,
}

impl Whirlpool {
    /// Reads a pool's account.
    ///
    /// # Errors
    /// [`VenueError`]: it is none, or states what the program never writes.
    pub fn read(key: &Address, account: Account<'_>) -> Result<Self, VenueError> {
        let program =
            if *account.owner == IMMUTABLE_PROGRAM_ID { IMMUTABLE_PROGRAM_ID } else { PROGRAM_ID };
        let data = Kind { program, ..POOL }.read(key, account)?;
        let (oracle, _) = pda::find(&[b"oracle", key.as_ref()], &program);
        let pool = *key;
        let within = |field, actual: i128, low: i128, high: i128| {
            if (low..=high).contains(&actual) {
                Ok(())
            } else {
                Err(VenueError::OutOfRange { pool, field, actual, low, high })
            }
        };
        let (tick_spacing, fee_rate) = (data.u16(41), data.u16(45));
        let (sqrt_price, tick) = (data.u128(65), data.i32(81));
        let (lowest, highest) = (MIN_SQRT_PRICE as i128, MAX_SQRT_PRICE as i128);
        within("tick_spacing", tick_spacing.into(), 1, u16::MAX.into())?;
        within("fee_rate", fee_rate.into(), 0, MAX_FEE.into())?;
        within("sqrt_price", sqrt_price.try_into().unwrap_or(i128::MAX), lowest, highest)?;
        within("tick_current_index", tick.into(), (-MAX_TICK - 1).into(), MAX_TICK.into())?;
        Ok(Self {
            pool,
            program,
            tick_spacing,
            fee_rate,
            // The fee tier is named by the spacing, and by another number where it
            // is an adaptive one.
            adaptive: data.u16(43) != tick_spacing,
            tick,
            mints: LISTING.mints.map(|at| data.key(at)),
            vaults: LISTING.vaults.map(|at| data.key(at)),
            sqrt_price,
            liquidity: data.u128(49),
            oracle,
        })
    }

    /// Ticks from the beginning of one array to that of the next.
    fn width(&self) -> i32 {
        i32::from(self.tick_spacing) * TICKS_PER_ARRAY
    }

    /// Where the array begins that a swap starts in.
    fn first_array(&self, a_to_b: bool) -> i32 {
        // Upwards the current tick is crossed already: the program looks for
        // the next one above it.
        let spacing = i32::from(self.tick_spacing);
        let tick = if a_to_b { self.tick } else { self.tick.saturating_add(spacing) };
        tick.div_euclid(self.width()).saturating_mul(self.width())
    }

    /// Whether the scale reaches into the array that begins at `start`.
    fn is_array(&self, start: i32) -> bool {
        start <= MAX_TICK && start.saturating_add(self.width()) > -MAX_TICK
    }

    /// The array `n` places ahead of the first one in the direction of a swap.
    fn array_ahead(&self, a_to_b: bool, n: i32) -> Option<i32> {
        let step = if a_to_b { -self.width() } else { self.width() };
        let start = self.first_array(a_to_b).saturating_add(step.saturating_mul(n));
        self.is_array(start).then_some(start)
    }

    /// The array that begins at `start`.
    fn tick_array(&self, start: i32) -> Address {
        let start = start.to_string();
        pda::find(&[b"tick_array", self.pool.as_ref(), start.as_bytes()], &self.program).0
    }

    /// The pool's oracle, which adaptive-fee pools keep their state in.
    #[must_use]
    pub const fn oracle(&self) -> Address {
        self.oracle
    }

    fn fee(&self, accounts: &dyn Accounts, now: &Now) -> Result<Fee, VenueError> {
        if !self.adaptive {
            return Ok(Fee::Static(self.fee_rate.into()));
        }
        let kind = Kind { program: self.program, ..ORACLE };
        let data = kind.of_pool(&self.pool, &self.oracle, accounts)?;
        let of = data.key(8);
        if of != self.pool {
            let (account, what) = (self.oracle, ORACLE.what);
            return Err(VenueError::OtherPool { pool: self.pool, account, what, actual: of });
        }
        now.check_open(self.pool, data.u64(40))?;
        let now = now.seconds();
        let (filter, decay, reduction) = (data.u16(48), data.u16(50), data.u16(52));
        let (control, cap, group) = (data.u32(54), data.u32(58), i32::from(data.u16(62)));
        let (referred, swapped) = (data.u64(82), data.u64(90));
        let (mut reference, mut origin) = (data.u32(98), data.i32(102));
        let accumulated = data.u32(106);
        if group == 0 || i32::from(self.tick_spacing) % group != 0 {
            let (field, high) = ("tick_group_size", i128::from(self.tick_spacing));
            let actual = i128::from(group);
            return Err(VenueError::OutOfRange { pool: self.pool, field, actual, low: 1, high });
        }
        let here = self.tick.div_euclid(group);
        let since = now.saturating_sub(referred.max(swapped));
        if now.saturating_sub(referred) > MAX_REFERENCE_AGE || since >= u64::from(decay) {
            (reference, origin) = (0, here);
        } else if since >= u64::from(filter) {
            origin = here;
            reference = (u64::from(accumulated) * u64::from(reduction) / REDUCTION) as u32;
        }
        let base = self.fee_rate.into();
        let (most, flat) = (MAX_FEE, Flat::BehindCap);
        let volatility = Volatility { base, control, group, cap, reference, origin, most, flat };
        Ok(Fee::Volatile(volatility, here))
    }

    /// The ladder in one direction, and the array behind its end if that was not read.
    fn ladder(
        &self,
        a_to_b: bool,
        fee: Fee,
        arrays: &Arrays,
    ) -> Result<(Ladder<Range>, Option<Address>), VenueError> {
        let mut walk = Walk::<Range> {
            ladder: Ladder::default(),
            down: a_to_b,
            price: self.sqrt_price,
            liquidity: self.liquidity,
            fee,
            fee_on_input: true,
            sqrt_price: price::sqrt_price,
        };
        let limit = if a_to_b { MIN_SQRT_PRICE } else { MAX_SQRT_PRICE };
        let mut last = None;
        for n in 0..SWAP_ARRAYS {
            let Some(start) = self.array_ahead(a_to_b, n) else { break };
            let Some(ticks) = arrays.get(&start) else {
                let unread = self.tick_array(start);
                let Some(edge) = last else {
                    let (pool, what) = (self.pool, FIXED_ARRAY.what);
                    return Err(VenueError::Unread { pool, account: unread, what });
                };
                walk.advance(edge, limit);
                return Ok((walk.ladder, Some(unread)));
            };
            walk.ladder.enter(n as u32);
            let ahead = |index: i32| if a_to_b { index <= self.tick } else { index > self.tick };
            for n in 0..ticks.len() {
                let tick = ticks[if a_to_b { ticks.len() - 1 - n } else { n }];
                if !ahead(tick.index) {
                    continue;
                }
                walk.advance(tick.index, limit);
                if !walk.cross(tick.net) {
                    return Err(VenueError::Overflow { pool: self.pool, what: "liquidity" });
                }
                if walk.ladder.is_full() {
                    return Ok((walk.ladder, None));
                }
            }
            // Where the last array ends, the program stops once more.
            let edge = if a_to_b { start } else { start.saturating_add(self.width() - 1) };
            last = Some(edge.clamp(-MAX_TICK, MAX_TICK));
        }
        if let Some(edge) = last {
            walk.advance(edge, limit);
        }
        Ok((walk.ladder, None))
    }
}

impl Pool for Whirlpool {
    fn id(&self) -> Id<'_> {
        Id {
            address: &self.pool,
            program: &self.program,
            name: "Orca Whirlpool",
            mints: &self.mints,
        }
    }

    fn accounts(&self, _: &dyn Accounts) -> Vec<Address> {
        let mut needed = self.mints.to_vec();
        if self.adaptive {
            needed.push(self.oracle);
        }
        let middle = self.first_array(true);
        let reach = if self.tick_spacing <= NARROW { READ_NARROW_ARRAYS } else { READ_ARRAYS };
        let starts = (-reach..=reach)
            .map(|n| middle.saturating_add(n.saturating_mul(self.width())))
            .filter(|start| self.is_array(*start));
        needed.extend(starts.map(|start| self.tick_array(start)));
        needed
    }

    fn curve(
        &self,
        sold: &Address,
        known: &dyn Accounts,
        now: &Now,
    ) -> Result<Box<dyn Curve>, VenueError> {
        let a_to_b = crate::sells_first(&self.pool, &self.mints, sold)?;
        for mint in &self.mints {
            mint::token_program(&self.pool, mint, known)?;
        }
        let fee = self.fee(known, now)?;
        let mut arrays = Arrays::new();
        for n in 0..TWO_LEGS_ARRAYS {
            let Some(start) = self.array_ahead(a_to_b, n) else { break };
            let Some(ticks) = arrays::ticks(self, start, known)? else { break };
            arrays.insert(start, ticks);
        }
        Ok(Box::new(WhirlpoolCurve::new(self.clone(), a_to_b, fee, Arc::new(arrays))?))
    }
}

/// Ticks with liquidity, lowest first, by the beginnings of their arrays.
type Arrays = BTreeMap<i32, Vec<Tick>>;

/// What a Whirlpool pays in one direction.
#[derive(Clone, Debug)]
struct WhirlpoolCurve {
    pool: Whirlpool,
    a_to_b: bool,
    fee: Fee,
    arrays: Arc<Arrays>,
    ladder: Ladder<Range>,
    /// The array behind the ladder's end, if it has not been read.
    unread: Option<Address>,
}

impl WhirlpoolCurve {
    fn new(
        pool: Whirlpool,
        a_to_b: bool,
        fee: Fee,
        arrays: Arc<Arrays>,
    ) -> Result<Self, VenueError> {
        let (ladder, unread) = pool.ladder(a_to_b, fee, &arrays)?;
        Ok(Self { pool, a_to_b, fee, arrays, ladder, unread })
    }

    fn sell(&self, amount: u64) -> Result<End, VenueError> {
        let pool = self.pool.pool;
        if amount == 0 {
            return Err(VenueError::TooLittle { pool, amount });
        }
        let unread = self.unread.map(|account| (account, FIXED_ARRAY.what));
        self.ladder.sell(amount).map_err(|error| error.of(pool, amount, unread))
    }
}

impl Curve for WhirlpoolCurve {
    fn direction(&self) -> Direction<'_> {
        let (pool, mints) = (&self.pool.pool, &self.pool.mints);
        Direction { pool, name: self.pool.name(), mints, sells_first: self.a_to_b }
    }

    fn quote(&self, amount_in: u64) -> Result<Quote, VenueError> {
        let end = self.sell(amount_in)?;
        let End { paid, crossed, steps, .. } = end;
        let units = UNITS + UNITS_PER_TICK * crossed + UNITS_PER_STEP * steps;
        Ok(Quote { amount_out: paid, crossed, steps, units })
    }

    fn after(&self, sold: u64) -> Result<Box<dyn Curve>, VenueError> {
        // Where it ends at a tick, what the program has crossed by then is its own affair.
        let within = self.ladder.within(sold);
        let end = within.and_then(|(range, left)| Some((range, range.price_within(left)?)));
        let (range, sqrt_price) = end.ok_or(VenueError::OneLeg { pool: self.pool.pool })?;
        let (liquidity, tick) = (range.liquidity, price::tick(sqrt_price));
        let pool = Whirlpool { sqrt_price, liquidity, tick, ..self.pool.clone() };
        let fee = match self.fee {
            // No time passes between two legs, so volatility is counted from where it was.
            Fee::Volatile(volatility, _) => {
                Fee::Volatile(volatility, tick.div_euclid(volatility.group))
            }
            fee => fee,
        };
        Ok(Box::new(Self::new(pool, self.a_to_b, fee, self.arrays.clone())?))
    }

    fn leg(&self, trade: &Trade) -> Result<SwapLeg, VenueError> {
        let (pool, a_to_b) = (&self.pool, self.a_to_b);
        crate::check_trade(&pool.pool, (self.sold(), self.bought()), trade)?;
        let needed = self.sell(trade.amount.expected())?.array as i32 + 1;
        let (a, b) =
            if a_to_b { (&trade.input, &trade.output) } else { (&trade.output, &trade.input) };
        let mut accounts = vec![
            AccountMeta::new_readonly(a.token_program, false),
            AccountMeta::new_readonly(b.token_program, false),
            AccountMeta::new_readonly(MEMO_PROGRAM_ID, false),
            AccountMeta::new_readonly(trade.authority, true),
            AccountMeta::new(pool.pool, false),
            AccountMeta::new_readonly(a.mint, false),
            AccountMeta::new_readonly(b.mint, false),
            AccountMeta::new(a.account, false),
            AccountMeta::new(pool.vaults[0], false),
            AccountMeta::new(b.account, false),
            AccountMeta::new(pool.vaults[1], false),
        ];
        // Where the scale ends earlier, the last array is named again.
        let ahead = |n| pool.array_ahead(a_to_b, n);
        let mut last = pool.first_array(a_to_b);
        for n in 0..SWAP_ARRAYS {
            last = ahead(n).unwrap_or(last);
            accounts.push(AccountMeta::new(pool.tick_array(last), false));
        }
        accounts.push(AccountMeta::new(pool.oracle, false));
        // The array behind; and the next one where the amount needs the last of these.
        let next = ahead(needed).filter(|_| needed == SWAP_ARRAYS);
        let more: Vec<i32> = ahead(-1).into_iter().chain(next).collect();
        accounts.extend(more.iter().map(|n| AccountMeta::new(pool.tick_array(*n), false)));

        let mut leg = trade.leg(pool.program, accounts, &SWAP_V2);
        // No price limit: the program takes zero for the end of the scale.
        leg.data.extend(0u128.to_le_bytes());
        // The amount is the input; the direction; which further accounts there are.
        leg.data.extend([1, u8::from(a_to_b)]);
        if more.is_empty() {
            leg.data.push(0);
        } else {
            leg.data.extend([1, 1, 0, 0, 0, SUPPLEMENTAL, more.len() as u8]);
        }
        Ok(leg)
    }
}
