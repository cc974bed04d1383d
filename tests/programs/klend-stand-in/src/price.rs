//! Prices: reading Scope, and the checks that decide what a price may be used
//! for. A failed check never fails the refresh, it only clears its bit.

use solana_program::{pubkey, pubkey::Pubkey};

use crate::{
    error::{KlendError, Result, require},
    math::{FRACTION_BITS, FULL_BPS, Fraction, U256, to_u128},
    state::{CHAIN_END, DatedPrice, OraclePrices, PriceStatus, TokenInfo},
};

/// A price with the age of its oldest part.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DatedFraction {
    pub price: Fraction,
    pub timestamp: u64,
}

/// A price with the checks that it has passed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CheckedPrice {
    pub price: Fraction,
    pub timestamp: u64,
    pub status: PriceStatus,
}

/// Decimals that a product of prices may have before its factors are cut.
const MAX_DECIMALS: u64 = 36;
/// Decimals that are left of a factor that is cut.
const CUT_DECIMALS: u64 = 18;

/// A decimal number, `value / 10^decimals`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Decimal {
    value: U256,
    decimals: u64,
}

impl Decimal {
    fn of(entry: &DatedPrice) -> Self {
        Self { value: U256::from(entry.value), decimals: entry.exp }
    }

    /// Exact up to 36 decimals together; above that both factors are first cut
    /// down to 18.
    fn multiply(self, other: Self) -> Self {
        let (a, b) = if self.decimals + other.decimals > MAX_DECIMALS {
            (self.cut(), other.cut())
        } else {
            (self, other)
        };
        Self {
            value: a.value.checked_mul(b.value).expect("price overflow"),
            decimals: a.decimals + b.decimals,
        }
    }

    fn cut(self) -> Self {
        let Some(surplus) = self.decimals.checked_sub(CUT_DECIMALS) else {
            return self;
        };
        let divisor = U256::from(10u64).checked_pow(U256::from(surplus));
        Self {
            // A divisor beyond the number range leaves nothing.
            value: divisor.map_or(U256::zero(), |divisor| self.value / divisor),
            decimals: CUT_DECIMALS,
        }
    }

    /// Rounded down. Panics above 36 decimals and outside the number range.
    fn fraction(self) -> Fraction {
        assert!(self.decimals <= MAX_DECIMALS, "too many decimals");
        let scale = U256::from(10u64).pow(U256::from(self.decimals));
        let scaled = self.value.checked_mul(U256::one() << FRACTION_BITS);
        Fraction::from_bits(to_u128(scaled.expect("price overflow") / scale))
    }
}

/// What a chain of a feed says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reading {
    /// There is no entry.
    Unreadable,
    /// An entry is zero: the feed is there but says nothing.
    Zero,
    Price(Chained),
}

/// A product that nobody has looked at yet: it is cut, and found to be out of
/// range, only when it is used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Chained {
    product: Decimal,
    timestamp: u64,
}

impl Chained {
    /// Panics above 36 decimals and outside the number range.
    pub fn evaluate(self) -> DatedFraction {
        DatedFraction { price: self.product.fraction(), timestamp: self.timestamp }
    }
}

/// Product of a chain's entries, up to the first that is outside the feed,
/// dated by the oldest of them.
pub fn read_chain(prices: &OraclePrices, chain: &[u16; 4]) -> Reading {
    let mut product: Option<Decimal> = None;
    let mut timestamp = u64::MAX;
    let mut has_zero = false;
    for entry in chain.iter().map_while(|&index| prices.prices.get(usize::from(index))) {
        has_zero |= entry.value == 0;
        let factor = Decimal::of(entry);
        product = Some(product.map_or(factor, |product| product.multiply(factor)));
        timestamp = timestamp.min(entry.unix_timestamp);
    }
    match product {
        None => Reading::Unreadable,
        Some(_) if has_zero => Reading::Zero,
        Some(product) => Reading::Price(Chained { product, timestamp }),
    }
}

/// Whether the reserve compares its price with an average.
pub fn twap_enabled(info: &TokenInfo) -> bool {
    info.max_twap_divergence_bps != 0
}

/// Reads the reserve's price and checks it; `None` when the feed is there but
/// price or, if it counts, average is zero.
///
/// # Errors
/// 6044 when the feed cannot be read.
pub fn read(prices: &OraclePrices, info: &TokenInfo, now: u64) -> Result<Option<CheckedPrice>> {
    let spot = match read_chain(prices, &info.scope.price_chain) {
        Reading::Unreadable => return Err(KlendError::PriceNotValid.into()),
        Reading::Zero => return Ok(None),
        Reading::Price(spot) => spot,
    };
    let twap = if twap_enabled(info) {
        match read_chain(prices, &info.scope.twap_chain) {
            Reading::Unreadable => None,
            Reading::Zero => return Ok(None),
            Reading::Price(twap) => Some(twap),
        }
    } else {
        None
    };
    let spot = spot.evaluate();
    if spot.price == Fraction::ZERO {
        // So small that nothing is left of it.
        return Ok(None);
    }
    let twap = twap.map(Chained::evaluate);
    Ok(Some(CheckedPrice {
        price: spot.price,
        timestamp: spot.timestamp,
        status: check(spot, twap, info, now),
    }))
}

/// The checks that a price passes at the time `now`.
pub fn check(
    spot: DatedFraction,
    twap: Option<DatedFraction>,
    info: &TokenInfo,
    now: u64,
) -> PriceStatus {
    let mut status = PriceStatus::LOADED;
    if now.saturating_sub(spot.timestamp) <= info.max_age_price_seconds {
        status.insert(PriceStatus::AGE_CHECKED);
    }
    if !twap_enabled(info) {
        status.insert(PriceStatus::TWAP_CHECKED);
        status.insert(PriceStatus::TWAP_AGE_CHECKED);
    } else if let Some(twap) = twap {
        if now.saturating_sub(twap.timestamp) <= info.max_age_twap_seconds {
            status.insert(PriceStatus::TWAP_AGE_CHECKED);
        }
        // An average of which nothing is left cannot be compared with.
        if twap.price != Fraction::ZERO
            && is_within(spot.price, twap.price, info.max_twap_divergence_bps)
        {
            status.insert(PriceStatus::TWAP_CHECKED);
        }
    }
    if within_heuristic(spot.price, info) {
        status.insert(PriceStatus::HEURISTIC_CHECKED);
    }
    if info.block_price_usage == 0 {
        status.insert(PriceStatus::USAGE_ALLOWED);
    }
    status
}

/// `|price - average| * 10000 < price * tolerance_bps`. Panics on overflow.
fn is_within(price: Fraction, average: Fraction, tolerance_bps: u64) -> bool {
    let difference = Fraction::from_bits(price.to_bits().abs_diff(average.to_bits()));
    difference.mul_int(FULL_BPS.into()) < price.mul_int(tolerance_bps.into())
}

/// Whether the price lies between the configured bounds, both included.
fn within_heuristic(price: Fraction, info: &TokenInfo) -> bool {
    let bound = |value: u64| -> Option<Fraction> {
        let scale = 10u128.checked_pow(u32::try_from(info.heuristic_exp).ok()?)?;
        Some(Fraction::from_int(value).div_int(scale))
    };
    let above = info.heuristic_lower == 0
        || bound(info.heuristic_lower).is_some_and(|lower| price >= lower);
    let below = info.heuristic_upper == 0
        || bound(info.heuristic_upper).is_some_and(|upper| price <= upper);
    above && below
}

/// Whether a saved price is old enough to be replaced: it has reached the
/// given percentage of the maximum age.
pub fn refresh_is_due(info: &TokenInfo, trigger_pct: u8, saved_at: u64, now: u64) -> bool {
    let trigger = u128::from(info.max_age_price_seconds) * u128::from(trigger_pct) / 100;
    u128::from(now.saturating_sub(saved_at)) >= trigger
}

/// Whether a saved price may still be used.
pub fn saved_price_is_young(info: &TokenInfo, saved_at: u64, now: u64) -> bool {
    now.saturating_sub(saved_at) < info.max_age_price_seconds
}

/// An address that stands for "none" in a configuration, besides the default.
const NULL_ADDRESS: Pubkey = pubkey!("nu11111111111111111111111111111111111111111");

/// Whether a configured oracle address names one.
pub fn is_configured(address: &Pubkey) -> bool {
    *address != Pubkey::default() && *address != NULL_ADDRESS
}

/// Requires a configuration that can give a price, and an average if one is
/// demanded.
///
/// # Errors
/// 6029 without any oracle or without a chain of prices, 6053 without a chain
/// of averages or with averages of no age.
pub fn require_usable_configuration(info: &TokenInfo) -> Result<()> {
    let is_chain = |chain: &[u16; 4]| *chain != [CHAIN_END; 4] && *chain != [0; 4];
    let uses_scope = is_configured(&info.scope.price_feed);
    let uses_any =
        uses_scope || is_configured(&info.switchboard_price) || is_configured(&info.pyth_price);
    require(
        uses_any && (!uses_scope || is_chain(&info.scope.price_chain)),
        KlendError::InvalidOracleConfig,
    )?;
    let scope_has_twap = !uses_scope || is_chain(&info.scope.twap_chain);
    require(
        !twap_enabled(info) || (scope_has_twap && info.max_age_twap_seconds != 0),
        KlendError::InvalidTwapConfig,
    )
}

#[cfg(test)]
mod tests {
    use bytemuck::Zeroable;

    use super::*;

    fn feed(entries: &[(u64, u64, u64)]) -> Box<OraclePrices> {
        let mut feed = Box::new(OraclePrices::zeroed());
        for (slot, &(value, exp, unix_timestamp)) in feed.prices.iter_mut().zip(entries) {
            slot.value = value;
            slot.exp = exp;
            slot.unix_timestamp = unix_timestamp;
        }
        feed
    }

    fn info() -> TokenInfo {
        let mut info = TokenInfo::zeroed();
        info.max_twap_divergence_bps = 300;
        info.max_age_price_seconds = 120;
        info.max_age_twap_seconds = 240;
        info
    }

    #[test]
    fn a_chain_is_the_product_dated_by_its_oldest_entry() {
        let feed = feed(&[(17_858, 2, 50), (1_150, 3, 40)]);
        let chained = evaluate(&feed, &[1, 0, CHAIN_END, CHAIN_END]);
        assert_eq!(chained.timestamp, 40);
        assert_eq!(chained.price, Fraction::from_int(17_858 * 1_150).div_int(100_000));
    }

    /// Recorded from klend, in raw bits.
    #[test]
    fn products_are_cut_where_klend_cuts_them() {
        const A: (u64, u64) = (333_333_333_333_333_333, 18);
        const B: (u64, u64) = (777_777_777_777_777_777, 18);
        const C: (u64, u64) = (123_456_789_123_456_789, 18);
        const BILLION: (u64, u64) = (1_000_000_000, 0);
        for (entries, bits) in [
            (&[A][..], 384_307_168_202_282_324),
            (&[A, BILLION], 384_307_168_202_282_324_949_026_165),
            (&[A, B, BILLION], 298_905_575_268_441_807_994_781_442),
            (&[A, B, C, BILLION], 36_901_922_573_741_561_079_795_819),
            (&[B, C, A], 36_901_922_573_741_560),
            (&[BILLION, (B.0, 36)], 896_716_725),
            (&[BILLION, (B.0, 37)], 0),
            (&[(B.0, 20), (B.0, 20)], 69_744_634_229_303),
        ] {
            let feed =
                feed(&entries.iter().map(|&(value, exp)| (value, exp, 1)).collect::<Vec<_>>());
            let mut chain = [CHAIN_END; 4];
            for (index, slot) in chain.iter_mut().take(entries.len()).enumerate() {
                *slot = u16::try_from(index).unwrap();
            }
            let price = evaluate(&feed, &chain).price;
            assert_eq!(price.to_bits(), bits, "{entries:?}");
        }
    }

    #[test]
    fn unusable_chains_have_no_price() {
        let feed = feed(&[]);
        for chain in [[CHAIN_END; 4], [512, CHAIN_END, CHAIN_END, CHAIN_END]] {
            assert_eq!(read_chain(&feed, &chain), Reading::Unreadable, "{chain:?}");
        }
    }

    #[test]
    fn a_chain_ends_at_its_first_entry_outside_the_feed() {
        let feed = feed(&[(5, 0, 1), (7, 0, 1)]);
        for end in [CHAIN_END, 512] {
            assert_eq!(evaluate(&feed, &[0, end, 1, 1]).price, Fraction::from_int(5));
        }
    }

    #[test]
    fn a_zero_in_a_chain_is_no_price_and_an_average_of_zero_neither() {
        let feed = feed(&[(5, 0, 1), (0, 0, 1), (1, 36, 1)]);
        let mut info = info();
        let mut read = |spot: u16, twap: u16, divergence| {
            info.max_twap_divergence_bps = divergence;
            info.scope.price_chain = [0, spot, CHAIN_END, CHAIN_END];
            info.scope.twap_chain = [twap, CHAIN_END, CHAIN_END, CHAIN_END];
            super::read(&feed, &info, 1).map(|price| price.map(|price| price.status))
        };
        assert_eq!(read(0, 0, 0), Ok(Some(PriceStatus::ALL)));
        assert_eq!(read(1, 0, 0), Ok(None));
        assert_eq!(read(0, 1, 0), Ok(Some(PriceStatus::ALL)));
        assert_eq!(read(0, 1, 300), Ok(None));
        // Nothing is left of one in 10^36.
        assert_eq!(read(2, 0, 0), Ok(None));
        let without_twap = PriceStatus(PriceStatus::ALL.0 & !PriceStatus::TWAP_CHECKED.0);
        assert_eq!(read(0, 2, 300), Ok(Some(without_twap)));
    }

    fn evaluate(feed: &OraclePrices, chain: &[u16; 4]) -> DatedFraction {
        match read_chain(feed, chain) {
            Reading::Price(chained) => chained.evaluate(),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    #[should_panic(expected = "too many decimals")]
    fn more_than_36_decimals_panic() {
        let _ = evaluate(&feed(&[(1, 37, 1)]), &[0, CHAIN_END, CHAIN_END, CHAIN_END]);
    }

    #[test]
    fn every_check_has_its_bit() {
        let spot = DatedFraction { price: Fraction::from_int(100), timestamp: 1_000 };
        let twap =
            |price| Some(DatedFraction { price: Fraction::from_int(price), timestamp: 1_000 });
        assert_eq!(check(spot, twap(100), &info(), 1_120), PriceStatus::ALL);

        let without =
            |bit: PriceStatus, status: PriceStatus| status.0 == PriceStatus::ALL.0 & !bit.0;
        assert!(without(PriceStatus::AGE_CHECKED, check(spot, twap(100), &info(), 1_121)));
        let divergent = check(spot, twap(97), &info(), 1_000);
        assert!(without(PriceStatus::TWAP_CHECKED, divergent), "{divergent:?}");
        let old_twap = check(spot, twap(100), &info(), 1_241).0;
        assert_eq!(old_twap & PriceStatus::TWAP_AGE_CHECKED.0, 0);
        let mut blocked = info();
        blocked.block_price_usage = 1;
        assert!(without(PriceStatus::USAGE_ALLOWED, check(spot, twap(100), &blocked, 1_000)));
        let mut bounded = info();
        bounded.heuristic_upper = 999;
        bounded.heuristic_exp = 1;
        assert!(without(PriceStatus::HEURISTIC_CHECKED, check(spot, twap(100), &bounded, 1_000)));
        let mut no_twap = info();
        no_twap.max_twap_divergence_bps = 0;
        assert_eq!(check(spot, None, &no_twap, 1_000), PriceStatus::ALL);
    }

    #[test]
    fn a_saved_price_is_kept_until_the_trigger() {
        assert!(refresh_is_due(&info(), 0, 1_000, 1_000));
        assert!(!refresh_is_due(&info(), 50, 1_000, 1_059));
        assert!(refresh_is_due(&info(), 50, 1_000, 1_060));
        assert!(saved_price_is_young(&info(), 1_000, 1_119));
        assert!(!saved_price_is_young(&info(), 1_000, 1_120));
    }
}
