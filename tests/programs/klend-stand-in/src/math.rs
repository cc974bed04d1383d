//! Fixed-point arithmetic with klend's rounding.
//!
//! klend computes in unsigned binary fixed point with 60 fractional bits:
//! 128 bits wide for amounts, values and rates ([`Fraction`], `U68F60`), and
//! 256 bits wide where an intermediate or a cumulative rate needs the room
//! ([`BigFraction`]). Every product and quotient of two numbers truncates.
//! The order of operations therefore decides the last bits, and the callers
//! keep the order that is stated with each formula.
//!
//! Operators panic on overflow and on division by zero, as they do in klend:
//! there a panic ends the transaction, and that is what it does here.

use core::ops::{Add, Div, Mul, Sub};

pub use wide::U256;

mod wide {
    #![allow(clippy::all)]
    uint::construct_uint! {
        /// 256-bit unsigned integer.
        pub struct U256(4);
    }
}

/// Number of fractional bits of [`Fraction`] and [`BigFraction`].
pub const FRACTION_BITS: u32 = 60;

/// Basis points in one.
pub const FULL_BPS: u64 = 10_000;

/// Unsigned fixed-point number, 68 integer and 60 fractional bits.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Fraction(u128);

impl Fraction {
    pub const ZERO: Self = Self(0);
    pub const ONE: Self = Self(1 << FRACTION_BITS);
    pub const MAX: Self = Self(u128::MAX);

    /// From raw bits: the value is `bits / 2^60`.
    pub const fn from_bits(bits: u128) -> Self {
        Self(bits)
    }

    /// Raw bits: `value * 2^60`.
    pub const fn to_bits(self) -> u128 {
        self.0
    }

    /// An integer; every `u64` fits.
    pub const fn from_int(value: u64) -> Self {
        Self((value as u128) << FRACTION_BITS)
    }

    /// `percent / 100`, rounded down.
    pub fn from_percent(percent: u64) -> Self {
        Self::from_int(percent).div_int(100)
    }

    /// `bps / 10000`, rounded down.
    pub fn from_bps(bps: u64) -> Self {
        Self::from_int(bps).div_int(u128::from(FULL_BPS))
    }

    /// Integer part. Panics when it exceeds `u64::MAX`.
    pub fn floor(self) -> u64 {
        to_u64(self.0 >> FRACTION_BITS)
    }

    /// Smallest integer not below the value. Panics above `u64::MAX`.
    pub fn ceil(self) -> u64 {
        let whole = self.0 >> FRACTION_BITS;
        let fractional = self.0 & (Self::ONE.0 - 1);
        to_u64(whole + u128::from(fractional != 0))
    }

    /// Nearest integer, ties up. Panics above `u64::MAX`.
    pub fn round(self) -> u64 {
        let whole = self.0 >> FRACTION_BITS;
        let half = self.0 & (1 << (FRACTION_BITS - 1));
        to_u64(whole + u128::from(half != 0))
    }

    /// Product with an integer, exact.
    pub fn mul_int(self, factor: u128) -> Self {
        Self(self.0.checked_mul(factor).expect("fraction overflow"))
    }

    /// Quotient by an integer, rounded down.
    pub fn div_int(self, divisor: u128) -> Self {
        Self(self.0 / divisor)
    }

    /// `self * numerator / denominator` with one rounding, down.
    pub fn mul_ratio(self, numerator: U256, denominator: U256) -> Self {
        let product = U256::from(self.0).checked_mul(numerator).expect("fraction overflow");
        Self(to_u128(product / denominator))
    }

    pub const fn saturating_sub(self, other: Self) -> Self {
        Self(self.0.saturating_sub(other.0))
    }
}

impl Add for Fraction {
    type Output = Self;
    fn add(self, other: Self) -> Self {
        Self(self.0.checked_add(other.0).expect("fraction overflow"))
    }
}

impl Sub for Fraction {
    type Output = Self;
    fn sub(self, other: Self) -> Self {
        Self(self.0.checked_sub(other.0).expect("fraction underflow"))
    }
}

impl Mul for Fraction {
    type Output = Self;

    /// `(a.bits * b.bits) >> 60` on the full 256-bit product.
    fn mul(self, other: Self) -> Self {
        const LOW: u128 = u64::MAX as u128;
        let (a_high, a_low) = (self.0 >> 64, self.0 & LOW);
        let (b_high, b_low) = (other.0 >> 64, other.0 & LOW);
        // Schoolbook on 64-bit digits; no sum below can overflow 128 bits.
        let low = a_low * b_low;
        let cross_a = a_high * b_low + (low >> 64);
        let cross_b = a_low * b_high + (cross_a & LOW);
        let high = a_high * b_high + (cross_a >> 64) + (cross_b >> 64);
        let low = (cross_b << 64) | (low & LOW);
        assert!(high >> FRACTION_BITS == 0, "fraction overflow");
        Self((high << (128 - FRACTION_BITS)) | (low >> FRACTION_BITS))
    }
}

impl Div for Fraction {
    type Output = Self;

    /// `(a.bits << 60) / b.bits`, rounded down.
    fn div(self, other: Self) -> Self {
        if self.0 >> (128 - FRACTION_BITS) == 0 {
            Self((self.0 << FRACTION_BITS) / other.0)
        } else {
            let scaled = U256::from(self.0) << FRACTION_BITS;
            Self(to_u128(scaled / U256::from(other.0)))
        }
    }
}

/// Fixed-point number in 256 bits, 60 of them fractional.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct BigFraction(U256);

impl BigFraction {
    /// From four little-endian limbs, as accounts store it.
    pub const fn from_limbs(limbs: [u64; 4]) -> Self {
        Self(U256(limbs))
    }

    /// The four little-endian limbs.
    pub const fn to_limbs(self) -> [u64; 4] {
        self.0.0
    }

    /// Raw bits: `value * 2^60`.
    pub const fn to_bits(self) -> U256 {
        self.0
    }
}

impl Mul for BigFraction {
    type Output = Self;
    // The product of two scaled numbers carries the scale twice.
    #[allow(clippy::suspicious_arithmetic_impl)]
    fn mul(self, other: Self) -> Self {
        let product = self.0.checked_mul(other.0).expect("fraction overflow");
        Self(product >> FRACTION_BITS)
    }
}

impl From<Fraction> for BigFraction {
    fn from(value: Fraction) -> Self {
        Self(U256::from(value.0))
    }
}

/// Narrows, panicking when the value does not fit.
pub fn to_u128(value: U256) -> u128 {
    assert!(value.bits() <= 128, "fraction overflow");
    value.low_u128()
}

/// `ceil(numerator / denominator)`.
pub fn div_ceil(numerator: U256, denominator: U256) -> U256 {
    let (quotient, remainder) = numerator.div_mod(denominator);
    if remainder.is_zero() { quotient } else { quotient + U256::one() }
}

fn to_u64(value: u128) -> u64 {
    u64::try_from(value).expect("fraction does not fit an integer")
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn wide_mul(a: u128, b: u128) -> U256 {
        U256::from(a) * U256::from(b)
    }

    proptest! {
        #[test]
        fn product_truncates_the_wide_product(a: u128, b in 0..=1u128 << 60) {
            let expected = wide_mul(a, b) >> FRACTION_BITS;
            prop_assert_eq!(
                U256::from((Fraction::from_bits(a) * Fraction::from_bits(b)).to_bits()),
                expected
            );
        }

        #[test]
        fn quotient_truncates_the_wide_quotient(a: u128, b in 1u128 << 60..) {
            let expected = (U256::from(a) << FRACTION_BITS) / U256::from(b);
            prop_assert_eq!(
                U256::from((Fraction::from_bits(a) / Fraction::from_bits(b)).to_bits()),
                expected
            );
        }

        #[test]
        fn integer_parts_bracket_the_value(bits in 0..u128::from(u64::MAX) << 60) {
            let value = Fraction::from_bits(bits);
            prop_assert!(Fraction::from_int(value.floor()) <= value);
            prop_assert!(Fraction::from_int(value.ceil()) >= value);
            prop_assert!(value.ceil() - value.floor() <= 1);
            let up = bits & ((1 << 60) - 1) >= 1 << 59;
            prop_assert_eq!(value.round(), value.floor() + u64::from(up));
        }
    }

    #[test]
    fn percentages_round_down() {
        assert_eq!(Fraction::from_percent(100), Fraction::ONE);
        assert_eq!(Fraction::from_bps(10_000), Fraction::ONE);
        // 5 % has no finite binary expansion: the stored rate is a hair low.
        assert_eq!(Fraction::from_percent(5).to_bits(), (1u128 << 60) / 20);
        assert_eq!(Fraction::from_bps(500), Fraction::from_percent(5));
    }

    #[test]
    #[should_panic(expected = "fraction overflow")]
    fn overflowing_product_panics() {
        let _ = Fraction::MAX * Fraction::from_int(2);
    }

    #[test]
    #[should_panic(expected = "fraction underflow")]
    fn negative_difference_panics() {
        let _ = Fraction::ZERO - Fraction::ONE;
    }
}
