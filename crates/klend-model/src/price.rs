//! Prices out of oracle accounts, the way klend's `refresh_reserve` reads them.
//!
//! klend asks the oracles that a reserve names for a price, its time and a
//! time-weighted average, takes the newest and writes down in six status bits
//! which of its checks passed. A failed check clears a bit; it never fails the
//! refresh. What a price of zero means depends on the version ([`Zeros`]).
//!
//! * **Scope**: the product of up to four entries of one account; as old as its
//!   oldest entry.
//! * **Pyth** `PriceUpdateV2`, fully verified, confidence within 2 %; the
//!   average is Pyth's EMA.
//! * **Switchboard** On-Demand pull feeds, one for the price and one for the
//!   average; their time is that of their slot at 400 ms each.

use klend_interface::state::{PriceHeuristic, TokenInfo};
use solana_address::{Address, address};

use crate::{
    constants::{
        SCOPE_PRICES_DISCRIMINATOR, SLOT_DURATION_MS, SWITCHBOARD_ON_DEMAND_PROGRAM_ID,
        price_status,
    },
    errors::Code,
    fraction::{Fraction, Overflow},
    keys,
    refusal::{At, Refusal},
    time::Clock,
    version::KlendVersion,
};

/// An oracle account as fetched.
#[derive(Debug, Clone, Copy)]
pub struct OracleAccount<'a> {
    /// The program that owns it.
    pub owner: Address,
    /// Its bytes.
    pub data: &'a [u8],
}

/// Where oracle accounts come from.
pub trait Oracles {
    /// The account at `key`, if it is at hand.
    fn account(&self, key: &Address) -> Option<OracleAccount<'_>>;
}

impl<T: Oracles + ?Sized> Oracles for &T {
    fn account(&self, key: &Address) -> Option<OracleAccount<'_>> {
        (**self).account(key)
    }
}

/// Accounts in a slice, searched in order.
impl Oracles for [(Address, OracleAccount<'_>)] {
    fn account(&self, key: &Address) -> Option<OracleAccount<'_>> {
        self.iter().find(|(at, _)| at == key).map(|(_, account)| *account)
    }
}

/// What an oracle says at one time of day.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
pub struct Reading {
    /// Value of one whole token in the market's currency; `None` where the
    /// oracle was read but klend does not trust the number.
    pub price: Option<Fraction>,
    /// Unix time, seconds.
    pub timestamp: u64,
    /// The oracle's own number is zero, not only what is left of it here.
    pub is_zero: bool,
}

/// The price a reserve goes by, and its average.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
pub struct Feed {
    /// The price.
    pub price: Reading,
    /// The average, where the oracle has one.
    pub twap: Option<Reading>,
}

/// The key klend writes for "no oracle", besides the zero key.
const NULL_KEY: Address = address!("nu11111111111111111111111111111111111111111");

/// First eight bytes of a Pyth `PriceUpdateV2`.
const PYTH_DISCRIMINATOR: [u8; 8] = [34, 241, 35, 99, 157, 126, 244, 205];
/// Pyth's tag for a fully verified update.
const PYTH_FULL_VERIFICATION: u8 = 1;
/// klend wants Pyth's confidence interval to be at most 1/50 of the price.
const PYTH_CONFIDENCE_FACTOR: u64 = 50;

/// First eight bytes of a Switchboard On-Demand pull feed.
const SWITCHBOARD_DISCRIMINATOR: [u8; 8] = [196, 27, 108, 196, 10, 215, 219, 40];
/// Offset of the feed's current result, discriminator included.
const SWITCHBOARD_RESULT: usize = 8 + 2256;
/// Switchboard's values have this many decimals.
const SWITCHBOARD_DECIMALS: u64 = 18;
/// klend wants Switchboard's standard deviation below 1/50 of the price.
const SWITCHBOARD_CONFIDENCE_FACTOR: u128 = 50;

/// Offset of Scope's first entry, discriminator included.
const SCOPE_ENTRIES: usize = 8 + 32;
/// Bytes per entry: value, exponent, slot, unix time (u64 each), 24 spare.
const SCOPE_ENTRY: usize = 56;
/// Entries in a Scope account.
const SCOPE_ENTRY_COUNT: usize = 512;
/// The most decimals that klend divides a price by.
const MAX_DECIMALS: u64 = 36;
/// klend multiplies Scope entries exactly while their decimals stay within those,
/// and cuts the product and the next factor down to this many before it would go
/// beyond.
const SCOPE_CUT_DECIMALS: u64 = 18;
/// Marks the end of a chain of Scope entries.
const SCOPE_CHAIN_END: u16 = u16::MAX;

/// Whether klend would ask the oracles at `now`, given the saved price's time.
///
/// A market may save compute units by keeping a price until it reached a share
/// (`trigger_pct`) of its maximum age.
#[must_use]
pub fn is_due(info: &TokenInfo, saved_timestamp: u64, trigger_pct: u8, now: u64) -> bool {
    let trigger = u128::from(info.max_age_price_seconds) * u128::from(trigger_pct) / 100;
    u128::from(now.saturating_sub(saved_timestamp)) >= trigger
}

/// Reads the oracle that klend would take for a reserve: the one with the newest
/// price. Its number may still turn out not to be trusted, or, since klend 1.25,
/// all of them may be zero (`None`); klend then keeps the saved price.
///
/// # Errors
/// 6029 for an oracle configuration without prices, 6053 for one without the
/// averages it demands, 6054, 6055 or 6056 when a configured oracle's account is
/// not given, 6044 when none can be read; [`Refusal::Abort`] for a negative Pyth
/// price.
pub fn read(
    version: KlendVersion,
    reserve: &Address,
    info: &TokenInfo,
    oracles: &(impl Oracles + ?Sized),
    clock: Clock,
) -> Result<Option<Feed>, Refusal> {
    let zeros = Zeros::of(version);
    let pyth = enabled(keys::address(&info.pyth_configuration.price));
    let switchboard = &info.switchboard_configuration;
    let switchboard_price_key = enabled(keys::address(&switchboard.price_aggregator));
    let switchboard_twap_key = enabled(keys::address(&switchboard.twap_aggregator));
    let scope = &info.scope_configuration;
    let scope_key = enabled(keys::address(&scope.price_feed));
    let wants_twap = info.max_twap_divergence_bps != 0;
    check_configuration(reserve, info)?;

    let mut readable = false;
    let mut newest: Option<Feed> = None;
    let mut consider = |feed: Option<Feed>| {
        readable |= feed.is_some();
        if let Some(feed) = feed
            && !zeros.drop(&feed, wants_twap)
            && newest.is_none_or(|best| feed.price.timestamp > best.price.timestamp)
        {
            newest = Some(feed);
        }
    };
    if let Some(key) = pyth {
        let account = given(oracles, key, Code::InvalidPythPriceAccount)?;
        consider(pyth_feed(zeros, account.data).at(key)?);
    }
    if let Some(key) = switchboard_price_key {
        let account = given(oracles, key, Code::InvalidSwitchboardAccount)?;
        let price = switchboard_reading(zeros, &account, clock);
        let twap = match switchboard_twap_key.filter(|_| wants_twap) {
            Some(key) => {
                let account = given(oracles, key, Code::InvalidSwitchboardAccount)?;
                switchboard_reading(zeros, &account, clock).map(Some)
            }
            None => Some(None),
        };
        consider(price.zip(twap).map(|(price, twap)| Feed { price, twap }));
    }
    if let Some(key) = scope_key {
        let account = given(oracles, key, Code::InvalidScopePriceAccount)?;
        let reading = |chain| scope_reading(account.data, chain);
        let twap = if wants_twap { reading(&scope.twap_chain) } else { None };
        consider(reading(&scope.price_chain).map(|price| Feed { price, twap }));
    }
    if !readable {
        return Err(Refusal::klend(Code::PriceNotValid, reserve));
    }
    Ok(newest.map(|feed| zeros.blank(feed)))
}

/// What a price of zero means.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Zeros {
    /// Pyth and Switchboard are unreadable with one, Scope's is a price
    /// (klend before 1.25).
    Refused,
    /// An oracle that says zero is read and passed over; a number that becomes
    /// zero here is not trusted.
    PassedOver,
}

impl Zeros {
    /// What it means to a version.
    #[must_use]
    pub const fn of(version: KlendVersion) -> Self {
        if version.knows_zero_prices() { Self::PassedOver } else { Self::Refused }
    }

    /// Whether Pyth or Switchboard with this number cannot be read at all.
    fn refuse(self, is_zero: bool) -> bool {
        is_zero && self == Self::Refused
    }

    /// Whether another oracle is to be taken.
    fn drop(self, feed: &Feed, wants_twap: bool) -> bool {
        let twap_is_zero = || wants_twap && feed.twap.is_some_and(|twap| twap.is_zero);
        self == Self::PassedOver && (feed.price.is_zero || twap_is_zero())
    }

    /// The numbers that klend trusts.
    fn blank(self, feed: Feed) -> Feed {
        let trusted = |reading: Reading| Reading {
            price: reading.price.filter(|price| *price != Fraction::ZERO),
            ..reading
        };
        match self {
            Self::Refused => feed,
            Self::PassedOver => Feed { price: trusted(feed.price), twap: feed.twap.map(trusted) },
        }
    }
}

/// At least one oracle must be enabled; each must name a price, and an average
/// if one is demanded.
fn check_configuration(reserve: &Address, info: &TokenInfo) -> Result<(), Refusal> {
    let is_set = |key| enabled(keys::address(key)).is_some();
    let is_chain = |chain: &[u16; 4]| *chain != [SCOPE_CHAIN_END; 4] && *chain != [0; 4];
    let (scope, switchboard) = (&info.scope_configuration, &info.switchboard_configuration);
    let uses_scope = is_set(&scope.price_feed);
    let uses_any = uses_scope
        || is_set(&switchboard.price_aggregator)
        || is_set(&info.pyth_configuration.price);
    if !uses_any || uses_scope && !is_chain(&scope.price_chain) {
        return Err(Refusal::klend(Code::InvalidOracleConfig, reserve));
    }
    if info.max_twap_divergence_bps != 0 {
        let scope_lacks = uses_scope && !is_chain(&scope.twap_chain);
        let switchboard_lacks =
            is_set(&switchboard.price_aggregator) && !is_set(&switchboard.twap_aggregator);
        if scope_lacks || switchboard_lacks {
            return Err(Refusal::klend(Code::InvalidTwapConfig, reserve));
        }
    }
    Ok(())
}

/// klend's status bits for a price just read and trusted.
pub fn status(
    reserve: &Address,
    info: &TokenInfo,
    price: Fraction,
    feed: &Feed,
    now: u64,
) -> Result<u8, Refusal> {
    let mut bits = price_status::PRICE_LOADED;
    if now.saturating_sub(feed.price.timestamp) <= info.max_age_price_seconds {
        bits |= price_status::PRICE_AGE_CHECKED;
    }
    if info.max_twap_divergence_bps == 0 {
        bits |= price_status::TWAP_CHECKED | price_status::TWAP_AGE_CHECKED;
    } else if let Some(twap) = feed.twap {
        if now.saturating_sub(twap.timestamp) <= info.max_age_twap_seconds {
            bits |= price_status::TWAP_AGE_CHECKED;
        }
        if let Some(twap) = twap.price
            && within_divergence(price, twap, info.max_twap_divergence_bps).at(reserve)?
        {
            bits |= price_status::TWAP_CHECKED;
        }
    }
    if within_heuristic(price, &info.heuristic).at(reserve)? {
        bits |= price_status::HEURISTIC_CHECKED;
    }
    if info.block_price_usage == 0 {
        bits |= price_status::PRICE_USAGE_ALLOWED;
    }
    Ok(bits)
}

fn within_divergence(price: Fraction, twap: Fraction, bps: u64) -> Result<bool, Overflow> {
    let apart = if price >= twap { price.try_sub(twap)? } else { twap.try_sub(price)? };
    Ok(apart.try_mul_int(10_000)? < price.try_mul_int(u128::from(bps))?)
}

fn within_heuristic(price: Fraction, band: &PriceHeuristic) -> Result<bool, Overflow> {
    let bound = |limit: u64| {
        let mut bound = Limbs::ONE;
        bound.multiply(limit);
        bound.multiply(1 << Fraction::FRACTIONAL_BITS);
        bound.divide_decimals(band.exp);
        bound.fraction()
    };
    Ok((band.lower == 0 || price >= bound(band.lower)?)
        && (band.upper == 0 || price <= bound(band.upper)?))
}

/// The table of Scope's that a reserve reads, and the entries of it whose product is its
/// price, in order; `None` where it reads none.
#[must_use]
pub fn scope_chain(info: &TokenInfo) -> Option<(Address, Vec<u16>)> {
    let scope = &info.scope_configuration;
    let table = enabled(keys::address(&scope.price_feed))?;
    let entries = scope.price_chain.iter().copied();
    let entries = entries.take_while(|entry| usize::from(*entry) < SCOPE_ENTRY_COUNT);
    Some((*table, entries.collect()))
}

/// Price and time of a chain of Scope entries; `None` where klend cannot read
/// it.
#[must_use]
pub fn scope_reading(data: &[u8], chain: &[u16; 4]) -> Option<Reading> {
    if data.len() < SCOPE_ENTRIES + SCOPE_ENTRY * SCOPE_ENTRY_COUNT
        || data[..8] != SCOPE_PRICES_DISCRIMINATOR
        || chain[0] == SCOPE_CHAIN_END
    {
        return None;
    }
    let mut product = Limbs::ONE;
    let mut decimals = 0u64;
    let mut oldest = u64::MAX;
    let mut is_zero = false;
    for &entry in chain.iter().take_while(|entry| **entry != SCOPE_CHAIN_END) {
        let at = SCOPE_ENTRIES + SCOPE_ENTRY * usize::from(entry);
        let entry = data.get(at..at + SCOPE_ENTRY)?;
        let (mut value, mut exponent) = (u64_at(entry, 0)?, u64_at(entry, 8)?);
        is_zero |= value == 0;
        if decimals.checked_add(exponent)? > MAX_DECIMALS {
            if let Some(surplus) = decimals.checked_sub(SCOPE_CUT_DECIMALS) {
                product.divide_decimals(surplus);
                decimals = SCOPE_CUT_DECIMALS;
            }
            if let Some(surplus) = exponent.checked_sub(SCOPE_CUT_DECIMALS) {
                value = u32::try_from(surplus)
                    .ok()
                    .and_then(|surplus| 10u64.checked_pow(surplus))
                    .map_or(0, |divisor| value / divisor);
                exponent = SCOPE_CUT_DECIMALS;
            }
        }
        product.multiply(value);
        decimals += exponent;
        oldest = oldest.min(u64_at(entry, 24)?);
    }
    product.multiply(1 << Fraction::FRACTIONAL_BITS);
    product.divide_decimals(decimals);
    Some(Reading { price: Some(product.fraction().ok()?), timestamp: oldest, is_zero })
}

/// A number wide enough for the product of four 64-bit prices with sixty
/// fractional bits.
struct Limbs([u64; 5]);

impl Limbs {
    const ONE: Self = Self([1, 0, 0, 0, 0]);

    fn multiply(&mut self, factor: u64) {
        let mut carry = 0;
        for limb in &mut self.0 {
            (*limb, carry) = limb.carrying_mul(factor, carry);
        }
    }

    /// Divides by `10^decimals`, rounding down: once, for rounding down in steps
    /// comes to the same.
    fn divide_decimals(&mut self, mut decimals: u64) {
        while decimals > 0 && self.0 != [0; 5] {
            let step = decimals.min(19);
            let divisor = 10u128.pow(step as u32);
            let mut rest = 0;
            for limb in self.0.iter_mut().rev() {
                let part = rest << 64 | u128::from(*limb);
                *limb = (part / divisor) as u64;
                rest = part % divisor;
            }
            decimals -= step;
        }
    }

    fn fraction(&self) -> Result<Fraction, Overflow> {
        let [low, high, 0, 0, 0] = self.0 else { return Err(Overflow) };
        Ok(Fraction::from_bits(u128::from(high) << 64 | u128::from(low)))
    }
}

/// Price and EMA of a Pyth `PriceUpdateV2`; `None` where klend refuses it.
///
/// The exponent's sign is ignored, as klend ignores it: every real feed's is
/// negative.
///
/// # Errors
/// [`Overflow`] for a negative price or average and for a confidence interval
/// that fifty times is beyond 64 bits, on which klend aborts, and for an exponent
/// beyond its powers of ten, on which it aborts if it takes this oracle's price.
pub fn pyth_feed(zeros: Zeros, data: &[u8]) -> Result<Option<Feed>, Overflow> {
    let Some(message) = pyth_message(data) else { return Ok(None) };
    let positive = |value: i64| u64::try_from(value).map_err(|_| Overflow);
    let exponent = u64::from(message.exponent.unsigned_abs());
    let mut values = [0u64; 2];
    let pair = [(message.price, message.confidence), (message.ema, message.ema_confidence)];
    for (value, (price, confidence)) in values.iter_mut().zip(pair) {
        *value = positive(price)?;
        if zeros.refuse(*value == 0) {
            return Ok(None);
        }
        if *value != 0 && confidence.checked_mul(PYTH_CONFIDENCE_FACTOR).ok_or(Overflow)? > *value {
            return Ok(None);
        }
    }
    let timestamp = positive(message.publish_time)?;
    let [price, ema] = values.map(|value| {
        let price = Some(decimal(u128::from(value), exponent)?);
        Ok(Reading { price, timestamp, is_zero: value == 0 })
    });
    Ok(Some(Feed { price: price?, twap: Some(ema?) }))
}

struct PythMessage {
    price: i64,
    confidence: u64,
    exponent: i32,
    publish_time: i64,
    ema: i64,
    ema_confidence: u64,
}

fn pyth_message(data: &[u8]) -> Option<PythMessage> {
    let (discriminator, rest) = data.split_first_chunk::<8>()?;
    // Behind the write authority: the verification level, then the message,
    // which begins with the feed's id.
    let (&verification, message) = rest.get(32..)?.split_first()?;
    if *discriminator != PYTH_DISCRIMINATOR || verification != PYTH_FULL_VERIFICATION {
        return None;
    }
    Some(PythMessage {
        price: i64_at(message, 32)?,
        confidence: u64_at(message, 40)?,
        exponent: i32::from_le_bytes(*message.get(48..)?.first_chunk()?),
        publish_time: i64_at(message, 52)?,
        ema: i64_at(message, 68)?,
        ema_confidence: u64_at(message, 76)?,
    })
}

/// Price and time of a Switchboard On-Demand pull feed; `None` where klend
/// cannot read it.
#[must_use]
pub fn switchboard_reading(
    zeros: Zeros,
    account: &OracleAccount<'_>,
    clock: Clock,
) -> Option<Reading> {
    let data = account.data;
    if account.owner != SWITCHBOARD_ON_DEMAND_PROGRAM_ID
        || data.get(..8)? != SWITCHBOARD_DISCRIMINATOR
    {
        return None;
    }
    let result = data.get(SWITCHBOARD_RESULT..)?;
    let value = u128::try_from(i128_at(result, 0)?).ok()?;
    let deviation = u128::try_from(i128_at(result, 16)?).ok()?;
    if zeros.refuse(value == 0) {
        return None;
    }
    let slot = u64_at(result, 104)?;
    let age = clock.slot.saturating_sub(slot).checked_mul(SLOT_DURATION_MS)? / 1000;
    let trusted = value == 0
        || deviation
            .checked_mul(SWITCHBOARD_CONFIDENCE_FACTOR)
            .is_some_and(|deviation| deviation < value);
    Some(Reading {
        price: if trusted { decimal(value, SWITCHBOARD_DECIMALS).ok() } else { None },
        timestamp: clock.unix_timestamp.saturating_sub(age),
        is_zero: value == 0,
    })
}

/// `value / 10^decimals`, rounded down once.
fn decimal(value: u128, decimals: u64) -> Result<Fraction, Overflow> {
    if decimals > MAX_DECIMALS {
        return Err(Overflow);
    }
    let divisor = 10u128.pow(decimals as u32);
    Fraction::from_bits(value).mul_ratio(Fraction::ONE.to_bits(), divisor)
}

fn enabled(key: &Address) -> Option<&Address> {
    (key.to_bytes() != [0; 32] && *key != NULL_KEY).then_some(key)
}

fn given<'o>(
    oracles: &'o (impl Oracles + ?Sized),
    key: &Address,
    error: Code,
) -> Result<OracleAccount<'o>, Refusal> {
    oracles.account(key).ok_or_else(|| Refusal::klend(error, key))
}

fn u64_at(bytes: &[u8], offset: usize) -> Option<u64> {
    Some(u64::from_le_bytes(*bytes.get(offset..)?.first_chunk()?))
}

fn i64_at(bytes: &[u8], offset: usize) -> Option<i64> {
    Some(i64::from_le_bytes(*bytes.get(offset..)?.first_chunk()?))
}

fn i128_at(bytes: &[u8], offset: usize) -> Option<i128> {
    Some(i128::from_le_bytes(*bytes.get(offset..)?.first_chunk()?))
}
