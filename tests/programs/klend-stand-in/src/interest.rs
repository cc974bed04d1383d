//! Interest: the curve, and compounding over slots.

use crate::{
    math::{BigFraction, Fraction},
    state::{CurvePoint, ReserveLiquidity},
};

/// klend's year: two slots a second for 365 days.
pub const SLOTS_PER_YEAR: u64 = 63_072_000;

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

/// `(1 + rate / SLOTS_PER_YEAR) ^ slots`: exact up to four slots, beyond that
/// the first four terms of the binomial expansion.
pub fn compound(yearly_rate: Fraction, slots: u64) -> Fraction {
    let base = yearly_rate.div_int(SLOTS_PER_YEAR.into());
    let growth = Fraction::ONE + base;
    match slots {
        0 => Fraction::ONE,
        1 => growth,
        2 => growth * growth,
        3 => growth * growth * growth,
        4 => {
            let squared = growth * growth;
            squared * squared
        }
        _ => {
            let n = u128::from(slots);
            let base_squared = base * base;
            let base_cubed = base_squared * base;
            let first = base.mul_int(n);
            let second = base_squared.mul_int(n * (n - 1)).div_int(2);
            let third = base_cubed.mul_int(n * (n - 1) * (n - 2)).div_int(6);
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

/// Adds the interest of `slots` slots to a reserve's debt and distributes the
/// fees.
pub fn accrue(liquidity: &mut ReserveLiquidity, terms: &InterestTerms, slots: u64) {
    let curve_rate = borrow_rate(terms.curve, liquidity.utilization());
    let fixed_rate = Fraction::from_bps(terms.host_fixed_rate_bps.into());
    let growth = compound(curve_rate + fixed_rate, slots);
    let fixed_growth = compound(fixed_rate, slots);

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

#[cfg(test)]
mod tests {
    use super::*;

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
        // 1000 % a year over a tenth of a year, x = 1: 1 + x + x^2/2. The cube
        // of so small a rate per slot truncates to nothing.
        let grown = compound(Fraction::from_int(10), SLOTS_PER_YEAR / 10);
        let value = grown.to_bits() as f64 / Fraction::ONE.to_bits() as f64;
        assert!((2.4999..2.5).contains(&value), "{value}");
    }

    #[test]
    fn short_spans_are_exact_powers() {
        let rate = Fraction::from_percent(30);
        let slot = compound(rate, 1);
        assert_eq!(compound(rate, 3), slot * slot * slot);
        assert_eq!(compound(rate, 4), slot * slot * (slot * slot));
    }

    #[test]
    fn no_slots_no_interest() {
        assert_eq!(compound(Fraction::from_percent(50), 0), Fraction::ONE);
    }
}
