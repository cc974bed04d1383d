//! Prices out of oracle accounts, the way klend's `refresh_reserve` reads them.
//!
//! klend asks the oracles that a reserve names for a price, its time and a
//! time-weighted average, takes the newest and writes down in six status bits
//! which of its checks passed. A failed check clears a bit; it never fails the
//! refresh.
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
    constants::{SLOT_DURATION_MS, price_status},
    errors::Code,
    fraction::{Fraction, Overflow, ten_pow},
    keys,
    refusal::{At, Refusal},
    reserve::Clock,
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

/// A price with its time of day and its average.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
pub struct Price {
    /// Value of one whole token in the market's currency.
    pub price: Fraction,
    /// Unix time of the price, seconds.
    pub timestamp: u64,
    /// The average and its unix time, where the oracle has one.
    pub twap: Option<(Fraction, u64)>,
}

/// The key klend writes for "no oracle", besides the zero key.
const NULL_KEY: Address = address!("nu11111111111111111111111111111111111111111");

/// First eight bytes of a Pyth `PriceUpdateV2`.
const PYTH_DISCRIMINATOR: [u8; 8] = [34, 241, 35, 99, 157, 126, 244, 205];
/// Pyth's tag for a fully verified update.
const PYTH_FULL_VERIFICATION: u8 = 1;
/// klend wants Pyth's confidence interval to be at most 1/50 of the price.
const PYTH_CONFIDENCE_FACTOR: u128 = 50;

/// First eight bytes of a Switchboard On-Demand pull feed.
const SWITCHBOARD_DISCRIMINATOR: [u8; 8] = [196, 27, 108, 196, 10, 215, 219, 40];
/// Offset of the feed's current result, discriminator included.
const SWITCHBOARD_RESULT: usize = 8 + 2256;
/// Switchboard's values have this many decimals.
const SWITCHBOARD_DECIMALS: u64 = 18;
/// klend wants Switchboard's standard deviation below 1/50 of the price.
const SWITCHBOARD_CONFIDENCE_FACTOR: u128 = 50;

/// First eight bytes of Scope's `OraclePrices`.
const SCOPE_DISCRIMINATOR: [u8; 8] = [89, 128, 118, 221, 6, 72, 180, 146];
/// Offset of Scope's first entry, discriminator included.
const SCOPE_ENTRIES: usize = 8 + 32;
/// Bytes per entry: value, exponent, slot, unix time (u64 each), 24 spare.
const SCOPE_ENTRY: usize = 56;
/// Entries in a Scope account.
const SCOPE_ENTRY_COUNT: usize = 512;
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

/// Reads the price that klend would take for a reserve.
///
/// # Errors
/// 6054, 6055 or 6056 when a configured oracle's account is not given, 6044 when
/// none of them gives a usable price.
pub fn read(
    reserve: &Address,
    info: &TokenInfo,
    oracles: &(impl Oracles + ?Sized),
    clock: Clock,
) -> Result<Price, Refusal> {
    let pyth = enabled(keys::address(&info.pyth_configuration.price));
    let switchboard = enabled(keys::address(&info.switchboard_configuration.price_aggregator));
    let scope = enabled(keys::address(&info.scope_configuration.price_feed))
        .filter(|_| has_chain(&info.scope_configuration.price_chain));
    let wants_twap = info.max_twap_divergence_bps != 0;

    let mut newest: Option<Price> = None;
    let mut consider = |price: Option<Price>| {
        if let Some(price) = price
            && newest.is_none_or(|best| price.timestamp > best.timestamp)
        {
            newest = Some(price);
        }
    };
    if let Some(key) = pyth {
        let account = given(oracles, key, Code::InvalidPythPriceAccount)?;
        consider(pyth_price(account.data));
    }
    if let Some(key) = switchboard {
        let account = given(oracles, key, Code::InvalidSwitchboardAccount)?;
        let twap = enabled(keys::address(&info.switchboard_configuration.twap_aggregator))
            .filter(|_| wants_twap)
            .map(|key| given(oracles, key, Code::InvalidSwitchboardAccount))
            .transpose()?;
        consider(switchboard_price(account.data, clock).map(|(price, timestamp)| Price {
            price,
            timestamp,
            twap: twap.and_then(|account| switchboard_price(account.data, clock)),
        }));
    }
    if let Some(key) = scope {
        let account = given(oracles, key, Code::InvalidScopePriceAccount)?;
        let configuration = &info.scope_configuration;
        consider(scope_price(account.data, &configuration.price_chain).map(
            |(price, timestamp)| Price {
                price,
                timestamp,
                twap: scope_price(account.data, &configuration.twap_chain).filter(|_| wants_twap),
            },
        ));
    }
    newest.ok_or_else(|| Refusal::klend(Code::PriceNotValid, reserve))
}

/// klend's status bits for a price just read.
pub fn status(reserve: &Address, info: &TokenInfo, price: &Price, now: u64) -> Result<u8, Refusal> {
    let mut bits = price_status::PRICE_LOADED;
    if now.saturating_sub(price.timestamp) <= info.max_age_price_seconds {
        bits |= price_status::PRICE_AGE_CHECKED;
    }
    if info.max_twap_divergence_bps == 0 {
        bits |= price_status::TWAP_CHECKED | price_status::TWAP_AGE_CHECKED;
    } else if let Some((twap, timestamp)) = price.twap {
        if now.saturating_sub(timestamp) <= info.max_age_twap_seconds {
            bits |= price_status::TWAP_AGE_CHECKED;
        }
        if within_divergence(price.price, twap, info.max_twap_divergence_bps).at(reserve)? {
            bits |= price_status::TWAP_CHECKED;
        }
    }
    if within_heuristic(price.price, &info.heuristic).at(reserve)? {
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
    let unit = ten_pow(band.exp)?;
    let bound = |limit: u64| Fraction::from_int(limit).try_div_int(unit);
    Ok((band.lower == 0 || price >= bound(band.lower)?)
        && (band.upper == 0 || price <= bound(band.upper)?))
}

/// Price and time of a chain of Scope entries; `None` where klend cannot read
/// it.
#[must_use]
pub fn scope_price(data: &[u8], chain: &[u16; 4]) -> Option<(Fraction, u64)> {
    if data.len() < SCOPE_ENTRIES + SCOPE_ENTRY * SCOPE_ENTRY_COUNT
        || data[..8] != SCOPE_DISCRIMINATOR
        || !has_chain(chain)
    {
        return None;
    }
    let mut product = 1u128;
    let mut decimals = 0u64;
    let mut oldest = u64::MAX;
    for &entry in chain.iter().take_while(|entry| **entry != SCOPE_CHAIN_END) {
        let at = SCOPE_ENTRIES + SCOPE_ENTRY * usize::from(entry);
        let entry = data.get(at..at + SCOPE_ENTRY)?;
        let (value, exponent) = (u64_at(entry, 0)?, u64_at(entry, 8)?);
        product = product.checked_mul(u128::from(value))?;
        decimals = decimals.checked_add(exponent)?;
        oldest = oldest.min(u64_at(entry, 24)?);
    }
    Some((decimal(product, decimals).ok()?, oldest))
}

/// Price and EMA of a Pyth `PriceUpdateV2`; `None` where klend refuses it.
#[must_use]
pub fn pyth_price(data: &[u8]) -> Option<Price> {
    let (discriminator, rest) = data.split_first_chunk::<8>()?;
    // Behind the write authority: the verification level, then the message.
    let (&verification, message) = rest.get(32..)?.split_first()?;
    if *discriminator != PYTH_DISCRIMINATOR || verification != PYTH_FULL_VERIFICATION {
        return None;
    }
    let price = u64::try_from(i64_at(message, 32)?).ok()?;
    let confidence = u64_at(message, 40)?;
    let exponent = i32::from_le_bytes(*message.get(48..)?.first_chunk()?);
    let publish_time = u64::try_from(i64_at(message, 52)?).ok()?;
    let ema = u64::try_from(i64_at(message, 68)?).ok();
    u64_at(message, 84)?;
    if price == 0 || u128::from(confidence) * PYTH_CONFIDENCE_FACTOR > u128::from(price) {
        return None;
    }
    let scale = |value: u64| -> Option<Fraction> {
        if exponent <= 0 {
            decimal(u128::from(value), u64::from(exponent.unsigned_abs())).ok()
        } else {
            Fraction::from_int(value).try_mul_int(ten_pow(exponent as u64).ok()?).ok()
        }
    };
    Some(Price {
        price: scale(price)?,
        timestamp: publish_time,
        twap: ema.and_then(scale).map(|ema| (ema, publish_time)),
    })
}

/// Price and time of a Switchboard On-Demand pull feed; `None` where klend
/// refuses it.
#[must_use]
pub fn switchboard_price(data: &[u8], clock: Clock) -> Option<(Fraction, u64)> {
    if data.get(..8)? != SWITCHBOARD_DISCRIMINATOR {
        return None;
    }
    let result = data.get(SWITCHBOARD_RESULT..)?;
    let value = u128::try_from(i128_at(result, 0)?).ok()?;
    let deviation = u128::try_from(i128_at(result, 16)?).ok()?;
    let slot = u64_at(result, 104)?;
    if value == 0 || deviation.checked_mul(SWITCHBOARD_CONFIDENCE_FACTOR)? >= value {
        return None;
    }
    let age = clock.slot.saturating_sub(slot).checked_mul(SLOT_DURATION_MS)? / 1000;
    Some((decimal(value, SWITCHBOARD_DECIMALS).ok()?, clock.unix_timestamp.saturating_sub(age)))
}

/// `value / 10^decimals`, rounded down once.
fn decimal(value: u128, decimals: u64) -> Result<Fraction, Overflow> {
    Fraction::from_bits(value).mul_ratio(Fraction::ONE.to_bits(), ten_pow(decimals)?)
}

fn has_chain(chain: &[u16; 4]) -> bool {
    *chain != [0; 4] && chain[0] != SCOPE_CHAIN_END
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
