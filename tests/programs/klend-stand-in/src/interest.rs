//! Interest and rewards: the curve, time, compounding, and what depositors are
//! given.

use crate::{
    error::Result,
    math::{BigFraction, FRACTION_BITS, FULL_BPS, Fraction},
    state::{AccrualBasis, CurvePoint, LastUpdate, ReserveLiquidity},
};

/// A year in slots, two to the second.
pub const SLOTS_PER_YEAR: u64 = 63_072_000;
/// A year in seconds: 365 days.
pub const SECONDS_PER_YEAR: u64 = 31_536_000;

/// A time in the units in which a reserve counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Duration {
    pub units: u64,
    pub units_per_year: u64,
}

impl Duration {
    /// From the last update to this moment, in the units of a basis. Panics on
    /// a basis that klend does not have.
    ///
    /// # Errors
    /// 6007 when slots count and the last update lies in the future.
    pub fn since(basis: u8, last: &LastUpdate, slot: u64, now: u64) -> Result<Self> {
        Ok(match basis {
            AccrualBasis::LEGACY => {
                Self { units: last.slots_since(slot)?, units_per_year: SLOTS_PER_YEAR }
            }
            AccrualBasis::TRUE_APR => {
                Self { units: last.seconds_since(now), units_per_year: SECONDS_PER_YEAR }
            }
            other => panic!("no interest rate basis {other}"),
        })
    }
}

/// Yearly borrow rate at a utilisation in `[0, 1]`.
///
/// The first segment of the curve whose bounds enclose the utilisation,
/// rounded to basis points, decides; inside it the rate is interpolated
/// linearly: `(u - u0) * (r1 - r0) / (u1 - u0) + r0`, left to right.
///
/// Panics when no segment encloses the utilisation.
pub fn borrow_rate(curve: &[CurvePoint], utilization: Fraction) -> Fraction {
    let utilization_bps = utilization.mul_int(10_000).round();
    for segment in curve.windows(2) {
        let (start, end) = (segment[0], segment[1]);
        let enclosed = u64::from(start.utilization_rate_bps)..=u64::from(end.utilization_rate_bps);
        if !enclosed.contains(&utilization_bps) {
            continue;
        }
        if utilization_bps == *enclosed.start() {
            return Fraction::from_bps(start.borrow_rate_bps.into());
        }
        if utilization_bps == *enclosed.end() {
            return Fraction::from_bps(end.borrow_rate_bps.into());
        }
        let rise = u128::from(end.borrow_rate_bps.saturating_sub(start.borrow_rate_bps));
        let run = u128::from(end.utilization_rate_bps - start.utilization_rate_bps);
        let into_segment = utilization - Fraction::from_bps(start.utilization_rate_bps.into());
        return into_segment.mul_int(rise).div_int(run)
            + Fraction::from_bps(start.borrow_rate_bps.into());
    }
    panic!("the curve does not cover the utilisation")
}

/// `(1 + rate / units per year) ^ units`: exact up to four units, beyond that
/// the first four terms of the binomial expansion. Each term is made of the
/// one before, cut to a fraction at every step.
pub fn compound(yearly_rate: Fraction, time: Duration) -> Fraction {
    let base = yearly_rate.div_int(time.units_per_year.into());
    let growth = Fraction::ONE + base;
    match time.units {
        0 => Fraction::ONE,
        1 => growth,
        2 => growth * growth,
        3 => growth * growth * growth,
        4 => {
            let squared = growth * growth;
            squared * squared
        }
        _ => {
            let n = u128::from(time.units);
            let first = base.mul_int(n);
            let second = (first * base).mul_int(n - 1).div_int(2);
            let third = (second * base).mul_int(n - 2).div_int(3);
            Fraction::ONE + first + second + third
        }
    }
}

/// The terms under which a reserve accrues interest.
pub struct InterestTerms<'a> {
    pub curve: &'a [CurvePoint],
    /// Yearly rate that goes to the protocol on top of the curve's.
    pub host_fixed_rate_bps: u16,
    /// Protocol's part of the interest of the curve.
    pub take_rate_pct: u8,
    /// Referrers' part of the protocol's part.
    pub referral_fee_bps: u16,
}

/// Adds the interest of a time to a reserve's debt and distributes the fees.
pub fn accrue(liquidity: &mut ReserveLiquidity, terms: &InterestTerms, time: Duration) {
    let curve_rate = borrow_rate(terms.curve, liquidity.utilization());
    let fixed_rate = Fraction::from_bps(terms.host_fixed_rate_bps.into());
    let growth = compound(curve_rate + fixed_rate, time);
    let fixed_growth = compound(fixed_rate, time);

    let cumulative = BigFraction::from_limbs(liquidity.cumulative_borrow_rate_bsf.limbs);
    liquidity.cumulative_borrow_rate_bsf.limbs = (cumulative * growth.into()).to_limbs();

    let old_debt = liquidity.borrowed_amount_sf.fraction();
    let new_debt = old_debt * growth;
    let fixed_fee = old_debt * fixed_growth - old_debt;
    let variable_interest = new_debt - old_debt - fixed_fee;

    let take_rate = Fraction::from_percent(terms.take_rate_pct.into());
    let referral_rate = take_rate * Fraction::from_bps(terms.referral_fee_bps.into());
    let take = variable_interest * take_rate;
    let referral = variable_interest * referral_rate;

    let protocol_fees = liquidity.accumulated_protocol_fees_sf.fraction() + fixed_fee + take;
    liquidity.accumulated_protocol_fees_sf.set_fraction(protocol_fees - referral);
    let pending = liquidity.pending_referrer_fees_sf.fraction() + referral;
    liquidity.pending_referrer_fees_sf.set_fraction(pending);
    liquidity.absolute_referral_rate_sf.set_fraction(referral_rate);
    liquidity.borrowed_amount_sf.set_fraction(new_debt);
}

/// Gives depositors their rewards of a time: `per_unit` for each unit, within
/// a yearly share of the supply and what the pot holds. Without cTokens there
/// is nobody to give to.
pub fn reward(
    liquidity: &mut ReserveLiquidity,
    ctoken_supply: u64,
    per_unit: u64,
    max_apr_bps: u16,
    time: Duration,
) {
    let pot = liquidity.rewards_amount_available;
    if ctoken_supply == 0 || per_unit == 0 || max_apr_bps == 0 || pot == 0 {
        return;
    }
    let units = u128::from(time.units);
    let by_rate = units.saturating_mul(per_unit.into());
    // Whole units, of which there may be more than 64 bits hold.
    let supply = liquidity.total_supply().to_bits() >> FRACTION_BITS;
    let by_cap = supply.saturating_mul(max_apr_bps.into()).saturating_mul(units)
        / (u128::from(FULL_BPS) * u128::from(time.units_per_year));
    let given = by_rate.min(by_cap).min(pot.into());
    let given = u64::try_from(given).expect("no more than the pot");
    liquidity.rewards_amount_available = pot - given;
    liquidity.total_available_amount += given;
}

#[cfg(test)]
mod tests {
    use bytemuck::Zeroable;

    use super::*;

    fn slots(units: u64) -> Duration {
        Duration { units, units_per_year: SLOTS_PER_YEAR }
    }

    const CURVE: [CurvePoint; 4] = [
        CurvePoint { utilization_rate_bps: 0, borrow_rate_bps: 100 },
        CurvePoint { utilization_rate_bps: 8_000, borrow_rate_bps: 500 },
        CurvePoint { utilization_rate_bps: 10_000, borrow_rate_bps: 10_500 },
        CurvePoint { utilization_rate_bps: 10_000, borrow_rate_bps: 10_500 },
    ];

    #[test]
    fn nodes_are_exact_and_segments_linear() {
        let rate = |percent| borrow_rate(&CURVE, Fraction::from_percent(percent));
        assert_eq!(rate(0), Fraction::from_bps(100));
        assert_eq!(rate(80), Fraction::from_bps(500));
        assert_eq!(rate(100), Fraction::from_bps(10_500));
        assert_eq!((rate(40).mul_int(10_000)).round(), 300);
        assert_eq!((rate(90).mul_int(10_000)).round(), 5_500);
    }

    #[test]
    #[should_panic(expected = "the curve does not cover the utilisation")]
    fn a_curve_that_ends_early_has_no_rate() {
        let _ = borrow_rate(&CURVE[..2], Fraction::from_percent(81));
    }

    #[test]
    fn long_spans_follow_the_binomial_expansion() {
        // 1000 % a year over a tenth of a year, x = 1: 1 + x + x^2/2 + x^3/6. Each term
        // is made of the one before it, so that the cube is not lost to truncation.
        let grown = compound(Fraction::from_int(10), slots(SLOTS_PER_YEAR / 10));
        let value = grown.to_bits() as f64 / Fraction::ONE.to_bits() as f64;
        assert!((2.6666..2.6667).contains(&value), "{value}");
    }

    #[test]
    fn short_spans_are_exact_powers() {
        let rate = Fraction::from_percent(30);
        let slot = compound(rate, slots(1));
        assert_eq!(compound(rate, slots(3)), slot * slot * slot);
        assert_eq!(compound(rate, slots(4)), slot * slot * (slot * slot));
    }

    #[test]
    fn no_slots_no_interest() {
        assert_eq!(compound(Fraction::from_percent(50), slots(0)), Fraction::ONE);
    }

    #[test]
    fn a_second_is_two_slots_of_the_year_but_compounds_once() {
        let second = Duration { units: 1, units_per_year: SECONDS_PER_YEAR };
        let rate = Fraction::from_percent(30);
        assert_eq!(compound(rate, second), Fraction::ONE + rate.div_int(31_536_000));
        assert!(compound(rate, slots(2)) > compound(rate, second));
    }

    #[test]
    fn time_is_counted_from_what_is_known() {
        let mut last = LastUpdate::zeroed();
        (last.slot, last.timestamp) = (100, 1_000);
        let units = |basis, last: &LastUpdate, slot, now| {
            Duration::since(basis, last, slot, now).map(|time| time.units)
        };
        assert_eq!(units(AccrualBasis::LEGACY, &last, 107, 5_000), Ok(7));
        assert_eq!(units(AccrualBasis::TRUE_APR, &last, 99, 1_003), Ok(3));
        assert_eq!(units(AccrualBasis::TRUE_APR, &last, 107, 999), Ok(0));
        assert!(units(AccrualBasis::LEGACY, &last, 99, 1_003).is_err());
        last.timestamp = 0;
        assert_eq!(units(AccrualBasis::TRUE_APR, &last, 107, 1_003), Ok(0));
    }

    #[test]
    #[should_panic(expected = "no interest rate basis 2")]
    fn an_unknown_basis_panics() {
        let _ = Duration::since(2, &LastUpdate::zeroed(), 1, 1);
    }

    #[test]
    fn rewards_are_limited_by_rate_cap_and_pot() {
        let given = |pot, per_unit, max_apr_bps, ctokens| {
            let mut liquidity = ReserveLiquidity::zeroed();
            liquidity.total_available_amount = 63_072_000;
            liquidity.rewards_amount_available = pot;
            reward(&mut liquidity, ctokens, per_unit, max_apr_bps, slots(100));
            let given = liquidity.total_available_amount - 63_072_000;
            assert_eq!(liquidity.rewards_amount_available, pot - given);
            given
        };
        // A tenth of the supply a year is a tenth of a unit a slot.
        assert_eq!(given(1_000, 1, 10_000, 1), 100);
        assert_eq!(given(1_000, 1, 1_000, 1), 10);
        assert_eq!(given(7, 1, 1_000, 1), 7);
        assert_eq!(given(7, 0, 1_000, 1), 0);
        assert_eq!(given(7, 1, 0, 1), 0);
        assert_eq!(given(7, 1, 1_000, 0), 0);
    }
}
