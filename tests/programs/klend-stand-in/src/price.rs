//! Prices: reading Scope, and the checks that decide what a price may be used
//! for. A failed check never fails the refresh, it only clears its bit.

use crate::{
    error::{KlendError, Result, require},
    math::{FRACTION_BITS, FULL_BPS, Fraction, U256, to_u128},
    state::{CHAIN_END, OraclePrices, PriceStatus, TokenInfo},
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

/// Product of a chain's entries, dated by the oldest of them: the values are
/// multiplied as integers and divided once by the power of ten of all their
/// exponents.
///
/// Returns `None` for a chain without entries, with an entry outside the
/// feed, with a zero price, or whose product leaves the number range.
pub fn chain_price(prices: &OraclePrices, chain: &[u16; 4]) -> Option<DatedFraction> {
    let mut product = U256::one();
    let mut exponent = 0u64;
    let mut timestamp = u64::MAX;
    for &index in chain.iter().take_while(|&&index| index != CHAIN_END) {
        let entry = prices.prices.get(usize::from(index))?;
        product = product.checked_mul(U256::from(entry.value))?;
        exponent = exponent.checked_add(entry.exp)?;
        timestamp = timestamp.min(entry.unix_timestamp);
    }
    if timestamp == u64::MAX || product.is_zero() || product.bits() + FRACTION_BITS as usize > 256 {
        return None;
    }
    let scale = U256::from(10u64).checked_pow(U256::from(exponent))?;
    let bits = (product << FRACTION_BITS) / scale;
    (bits.bits() <= 128)
        .then(|| DatedFraction { price: Fraction::from_bits(to_u128(bits)), timestamp })
}

/// Whether the reserve compares its price with an average.
pub fn twap_enabled(info: &TokenInfo) -> bool {
    info.max_twap_divergence_bps != 0
}

/// Reads the reserve's price and checks it.
///
/// # Errors
/// 6044 when there is no usable price.
pub fn read(prices: &OraclePrices, info: &TokenInfo, now: u64) -> Result<CheckedPrice> {
    let spot = chain_price(prices, &info.scope.price_chain).ok_or(KlendError::PriceNotValid)?;
    let twap = twap_enabled(info).then(|| chain_price(prices, &info.scope.twap_chain)).flatten();
    Ok(CheckedPrice {
        price: spot.price,
        timestamp: spot.timestamp,
        status: check(spot, twap, info, now),
    })
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
        if is_within(spot.price, twap.price, info.max_twap_divergence_bps) {
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

/// `|price - average| * 10000 < price * tolerance_bps`.
fn is_within(price: Fraction, average: Fraction, tolerance_bps: u64) -> bool {
    let difference = U256::from(price.to_bits().abs_diff(average.to_bits()));
    difference * U256::from(FULL_BPS) < U256::from(price.to_bits()) * U256::from(tolerance_bps)
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

/// Which oracles a reserve is configured to read.
pub fn require_supported_oracles(info: &TokenInfo) -> Result<()> {
    require(scope_enabled(info), KlendError::InvalidOracleConfig)?;
    let twap_is_there = info.scope.twap_chain[0] != CHAIN_END;
    require(!twap_enabled(info) || twap_is_there, KlendError::InvalidTwapConfig)
}

/// Whether Scope is one of the reserve's oracles.
pub fn scope_enabled(info: &TokenInfo) -> bool {
    info.scope.price_feed != Default::default() && info.scope.price_chain[0] != CHAIN_END
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
        let chained = chain_price(&feed, &[1, 0, CHAIN_END, CHAIN_END]).unwrap();
        assert_eq!(chained.timestamp, 40);
        assert_eq!(chained.price, Fraction::from_int(17_858 * 1_150).div_int(100_000));
    }

    #[test]
    fn unusable_chains_have_no_price() {
        let feed = feed(&[(0, 0, 50), (u64::MAX, 0, 50)]);
        for chain in [
            [CHAIN_END; 4],
            [0, CHAIN_END, CHAIN_END, CHAIN_END],
            [512, CHAIN_END, CHAIN_END, CHAIN_END],
            [1, 1, 1, 1],
        ] {
            assert_eq!(chain_price(&feed, &chain), None, "{chain:?}");
        }
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
