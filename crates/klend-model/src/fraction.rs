//! klend's fixed-point arithmetic, to the last bit.
//!
//! A [`Fraction`] is klend's `U68F60`: an unsigned 128-bit integer counting
//! units of 2⁻⁶⁰. Products and quotients are computed exactly in 256 bits and
//! then rounded down. klend aborts the transaction when a result does not fit;
//! here every such operation returns [`Overflow`] instead, so that no input can
//! make the model panic.
//!
//! klend's `BigFraction` (256 bits, same 60 fractional bits) appears in account
//! data only as cumulative borrow rates. A rate that does not fit 128 bits
//! would mean debt grown 2⁶⁸-fold; such an account is refused, so 128 bits with
//! 256-bit intermediates are enough everywhere.

use core::fmt;

use klend_interface::state::PodU128;

/// A result that does not fit, or a division by zero: klend aborts here.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("fixed-point overflow or division by zero; klend's program aborts on it")]
pub struct Overflow;

/// An unsigned fixed-point number with 60 fractional bits.
#[derive(Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[repr(transparent)]
pub struct Fraction(u128);

impl Fraction {
    /// Number of fractional bits.
    pub const FRACTIONAL_BITS: u32 = 60;
    /// 0.
    pub const ZERO: Self = Self(0);
    /// 1.
    pub const ONE: Self = Self(1 << Self::FRACTIONAL_BITS);
    /// The largest value.
    pub const MAX: Self = Self(u128::MAX);

    /// From the raw bits of an `_sf` field.
    #[inline]
    #[must_use]
    pub const fn from_bits(bits: u128) -> Self {
        Self(bits)
    }

    /// The raw bits, as klend stores them.
    #[inline]
    #[must_use]
    pub const fn to_bits(self) -> u128 {
        self.0
    }

    /// An integer.
    #[inline]
    #[must_use]
    pub const fn from_int(int: u64) -> Self {
        Self((int as u128) << Self::FRACTIONAL_BITS)
    }

    /// `percent` / 100, rounded down: 100 is exactly [`Self::ONE`], 5 is a hair
    /// below a twentieth.
    #[inline]
    #[must_use]
    pub const fn from_percent(percent: u64) -> Self {
        Self(Self::from_int(percent).0 / 100)
    }

    /// `bps` / 10 000, rounded down.
    #[inline]
    #[must_use]
    pub const fn from_bps(bps: u64) -> Self {
        Self(Self::from_int(bps).0 / 10_000)
    }

    /// Sum.
    #[inline]
    pub const fn try_add(self, other: Self) -> Result<Self, Overflow> {
        match self.0.checked_add(other.0) {
            Some(bits) => Ok(Self(bits)),
            None => Err(Overflow),
        }
    }

    /// Difference; a negative one is an [`Overflow`].
    #[inline]
    pub const fn try_sub(self, other: Self) -> Result<Self, Overflow> {
        match self.0.checked_sub(other.0) {
            Some(bits) => Ok(Self(bits)),
            None => Err(Overflow),
        }
    }

    /// Difference, zero where it would be negative.
    #[inline]
    #[must_use]
    pub const fn saturating_sub(self, other: Self) -> Self {
        Self(self.0.saturating_sub(other.0))
    }

    /// Product, rounded down.
    #[inline]
    pub fn try_mul(self, other: Self) -> Result<Self, Overflow> {
        let (lo, hi) = self.0.carrying_mul(other.0, 0);
        if hi >> Self::FRACTIONAL_BITS != 0 {
            return Err(Overflow);
        }
        Ok(Self(hi << (128 - Self::FRACTIONAL_BITS) | lo >> Self::FRACTIONAL_BITS))
    }

    /// Quotient, rounded down.
    #[inline]
    pub fn try_div(self, other: Self) -> Result<Self, Overflow> {
        self.mul_ratio(Self::ONE.0, other.0)
    }

    /// Product with a plain integer.
    #[inline]
    pub const fn try_mul_int(self, int: u128) -> Result<Self, Overflow> {
        match self.0.checked_mul(int) {
            Some(bits) => Ok(Self(bits)),
            None => Err(Overflow),
        }
    }

    /// Quotient by a plain integer, rounded down.
    #[inline]
    pub const fn try_div_int(self, int: u128) -> Result<Self, Overflow> {
        match self.0.checked_div(int) {
            Some(bits) => Ok(Self(bits)),
            None => Err(Overflow),
        }
    }

    /// `self · numerator / denominator` with one rounding, down.
    #[inline]
    pub fn mul_ratio(self, numerator: u128, denominator: u128) -> Result<Self, Overflow> {
        mul_div(self.0, numerator, denominator).map(Self)
    }

    /// The integer part; it always fits 68 bits.
    #[inline]
    #[must_use]
    pub const fn floor(self) -> u128 {
        self.0 >> Self::FRACTIONAL_BITS
    }

    /// The smallest integer not below.
    #[inline]
    #[must_use]
    pub const fn ceil(self) -> u128 {
        self.floor() + (self.0 & (Self::ONE.0 - 1) != 0) as u128
    }

    /// The nearest integer, halves up.
    #[inline]
    #[must_use]
    pub const fn round(self) -> u128 {
        self.floor() + (self.0 >> (Self::FRACTIONAL_BITS - 1) & 1)
    }

    /// [`Self::floor`] as raw token units.
    #[inline]
    pub const fn floor_u64(self) -> Result<u64, Overflow> {
        narrow(self.floor())
    }

    /// [`Self::ceil`] as raw token units.
    #[inline]
    pub const fn ceil_u64(self) -> Result<u64, Overflow> {
        narrow(self.ceil())
    }

    /// [`Self::round`] as raw token units.
    #[inline]
    pub const fn round_u64(self) -> Result<u64, Overflow> {
        narrow(self.round())
    }

    /// The nearest double: for people's eyes, never for a decision.
    #[must_use]
    pub fn to_f64(self) -> f64 {
        self.0 as f64 / Self::ONE.0 as f64
    }
}

impl From<PodU128> for Fraction {
    #[inline]
    fn from(bits: PodU128) -> Self {
        Self(u128::from_le_bytes(bits.0))
    }
}

impl From<Fraction> for PodU128 {
    #[inline]
    fn from(fraction: Fraction) -> Self {
        Self(fraction.0.to_le_bytes())
    }
}

/// Decimal notation, 18 digits after the point (rounded down) unless the
/// format asks for fewer.
impl fmt::Display for Fraction {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let digits = f.precision().unwrap_or(18).min(18);
        let mut rest = self.0 & (Self::ONE.0 - 1);
        let mut text = [b'0'; 18];
        for digit in &mut text {
            rest *= 10;
            *digit += (rest >> Self::FRACTIONAL_BITS) as u8;
            rest &= Self::ONE.0 - 1;
        }
        write!(f, "{}", self.floor())?;
        if digits > 0 {
            let text = core::str::from_utf8(&text[..digits]).map_err(|_| fmt::Error)?;
            write!(f, ".{text}")?;
        }
        Ok(())
    }
}

impl fmt::Debug for Fraction {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self} ({} bits)", self.0)
    }
}

/// Ten to the `exponent`; klend aborts above its table's last entry, 10¹⁹.
#[inline]
pub const fn ten_pow(exponent: u64) -> Result<u64, Overflow> {
    if exponent > 19 {
        return Err(Overflow);
    }
    Ok(10u64.pow(exponent as u32))
}

/// `a · b / c`, exact in 256 bits, rounded down.
#[inline]
pub fn mul_div(a: u128, b: u128, c: u128) -> Result<u128, Overflow> {
    let (lo, hi) = a.carrying_mul(b, 0);
    div_wide(hi, lo, c).map(|(quotient, _)| quotient).ok_or(Overflow)
}

/// `a · b / c`, exact in 256 bits, rounded up.
#[inline]
pub fn mul_div_ceil(a: u128, b: u128, c: u128) -> Result<u128, Overflow> {
    let (lo, hi) = a.carrying_mul(b, 0);
    let (quotient, remainder) = div_wide(hi, lo, c).ok_or(Overflow)?;
    quotient.checked_add(u128::from(remainder != 0)).ok_or(Overflow)
}

#[inline]
const fn narrow(int: u128) -> Result<u64, Overflow> {
    if int <= u64::MAX as u128 { Ok(int as u64) } else { Err(Overflow) }
}

/// `(hi·2¹²⁸ + lo) / divisor`: quotient and remainder, or `None` when the
/// divisor is zero or the quotient does not fit.
#[inline]
const fn div_wide(hi: u128, lo: u128, divisor: u128) -> Option<(u128, u128)> {
    if hi >= divisor {
        return None;
    }
    if hi == 0 {
        return Some(divide(lo, divisor));
    }
    if divisor <= u64::MAX as u128 {
        // Schoolbook division by one 64-bit digit; `hi` is such a digit here.
        let (upper, rest) = divide(hi << 64 | lo >> 64, divisor);
        let (lower, rest) = divide(rest << 64 | lo & u64::MAX as u128, divisor);
        return Some((upper << 64 | lower, rest));
    }
    // Knuth's algorithm D with two 64-bit digits in the divisor, which is
    // shifted so that its top bit is set.
    let shift = divisor.leading_zeros();
    let divisor = divisor << shift;
    let high = if shift == 0 { hi } else { hi << shift | lo >> (128 - shift) };
    let low = lo << shift;
    let (first, rest) = div_digit(high, low >> 64, divisor);
    let (second, rest) = div_digit(rest, low & u64::MAX as u128, divisor);
    Some((first << 64 | second, rest >> shift))
}

/// Quotient and remainder with one division: the compiler would make two calls
/// of it.
#[inline]
const fn divide(dividend: u128, divisor: u128) -> (u128, u128) {
    let quotient = dividend / divisor;
    (quotient, dividend - quotient * divisor)
}

/// One digit of [`div_wide`]: `(rest·2⁶⁴ + digit) / divisor` where the divisor's
/// top bit is set, `rest < divisor` and `digit < 2⁶⁴`.
#[inline]
const fn div_digit(rest: u128, digit: u128, divisor: u128) -> (u128, u128) {
    let (top, bottom) = (divisor >> 64, divisor & u64::MAX as u128);
    let (mut quotient, mut partial) = divide(rest, top);
    // The estimate from the divisor's top half is at most two too high.
    while quotient > u64::MAX as u128 || quotient * bottom > (partial << 64 | digit) {
        quotient -= 1;
        partial += top;
        if partial > u64::MAX as u128 {
            break;
        }
    }
    let remainder = (rest << 64 | digit).wrapping_sub(quotient.wrapping_mul(divisor));
    (quotient, remainder)
}

/// A 64-bit divisor prepared for many divisions of wide numbers.
///
/// Division by a reciprocal after Möller and Granlund, "Improved division by
/// invariant integers" (2011): one multiplication per digit instead of one
/// hardware division.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Reciprocal {
    /// The divisor, shifted so that its top bit is set.
    divisor: u64,
    /// `⌊(2¹²⁸ − 1) / divisor⌋ − 2⁶⁴`.
    inverse: u64,
    shift: u32,
}

impl Reciprocal {
    /// Of a divisor that cannot be had: every division overflows.
    pub(crate) const NEVER: Self = Self { divisor: 0, inverse: 0, shift: 0 };

    /// `None` for zero.
    pub(crate) const fn new(divisor: u64) -> Option<Self> {
        if divisor == 0 {
            return None;
        }
        let shift = divisor.leading_zeros();
        let divisor = divisor << shift;
        Some(Self { divisor, inverse: (u128::MAX / divisor as u128) as u64, shift })
    }

    /// `(hi·2¹²⁸ + lo) / divisor`, rounded down.
    #[inline]
    pub(crate) const fn divide(self, hi: u128, lo: u128) -> Result<u128, Overflow> {
        // The quotient fits 128 bits exactly when `hi` is below the divisor.
        if hi >= (self.divisor >> self.shift) as u128 {
            return Err(Overflow);
        }
        // Shift the dividend as the divisor was shifted; `hi` has room for it.
        let (top, rest) = if self.shift == 0 {
            (hi as u64, lo)
        } else {
            ((hi << self.shift | lo >> (128 - self.shift)) as u64, lo << self.shift)
        };
        let (upper, remainder) = self.digit(top, (rest >> 64) as u64);
        let (lower, _) = self.digit(remainder, rest as u64);
        Ok((upper as u128) << 64 | lower as u128)
    }

    #[inline]
    const fn digit(self, high: u64, low: u64) -> (u64, u64) {
        let estimate =
            (self.inverse as u128 * high as u128).wrapping_add((high as u128) << 64 | low as u128);
        let mut quotient = ((estimate >> 64) as u64).wrapping_add(1);
        let mut remainder = low.wrapping_sub(quotient.wrapping_mul(self.divisor));
        if remainder > estimate as u64 {
            quotient = quotient.wrapping_sub(1);
            remainder = remainder.wrapping_add(self.divisor);
        }
        if remainder >= self.divisor {
            quotient = quotient.wrapping_add(1);
            remainder -= self.divisor;
        }
        (quotient, remainder)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// Numbers of every magnitude, not only large ones.
    fn any_size() -> impl Strategy<Value = u128> {
        (any::<u128>(), 0..128u32).prop_map(|(bits, shift)| bits >> shift)
    }

    /// Binary long division: slow, obviously right, and sharing no code with
    /// what it checks.
    fn long_division(hi: u128, lo: u128, divisor: u128) -> Option<(u128, u128)> {
        if divisor == 0 || hi >= divisor {
            return None;
        }
        let (mut quotient, mut rest) = (0u128, hi);
        for bit in (0..128).rev() {
            let carry = rest >> 127;
            rest = rest << 1 | (lo >> bit & 1);
            quotient <<= 1;
            if carry == 1 || rest >= divisor {
                rest = rest.wrapping_sub(divisor);
                quotient |= 1;
            }
        }
        Some((quotient, rest))
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(20_000))]

        #[test]
        fn wide_division_agrees_with_long_division(
            hi in any_size(), lo in any_size(), divisor in any_size()
        ) {
            prop_assert_eq!(div_wide(hi, lo, divisor), long_division(hi, lo, divisor));
            let below = hi.checked_rem(divisor).unwrap_or(0);
            prop_assert_eq!(div_wide(below, lo, divisor), long_division(below, lo, divisor));
        }

        #[test]
        fn reciprocal_division_agrees_with_wide_division(
            hi in any_size(), lo in any_size(), divisor in any_size()
        ) {
            let divisor = divisor as u64;
            if let Some(reciprocal) = Reciprocal::new(divisor) {
                for hi in [hi, hi % divisor as u128] {
                    prop_assert_eq!(
                        reciprocal.divide(hi, lo).ok(),
                        div_wide(hi, lo, divisor as u128).map(|(quotient, _)| quotient)
                    );
                }
            } else {
                prop_assert_eq!(divisor, 0);
            }
        }

        /// The crate klend itself computes with is the judge of the operators.
        #[test]
        fn operators_agree_with_the_fixed_crate(a in any_size(), b in any_size()) {
            use klend_interface::Fraction as Fixed;
            let (fa, fb) = (Fixed::from_bits(a), Fixed::from_bits(b));
            let (ma, mb) = (Fraction(a), Fraction(b));
            prop_assert_eq!(ma.try_mul(mb).ok().map(Fraction::to_bits), fa.checked_mul(fb).map(Fixed::to_bits));
            prop_assert_eq!(ma.try_div(mb).ok().map(Fraction::to_bits), fa.checked_div(fb).map(Fixed::to_bits));
            prop_assert_eq!(ma.try_add(mb).ok().map(Fraction::to_bits), fa.checked_add(fb).map(Fixed::to_bits));
            prop_assert_eq!(ma.try_sub(mb).ok().map(Fraction::to_bits), fa.checked_sub(fb).map(Fixed::to_bits));
            prop_assert_eq!(ma.floor(), fa.to_num::<u128>());
            prop_assert_eq!(Some(ma.ceil()), fa.checked_ceil().map(Fixed::to_num::<u128>).or(Some(ma.floor() + 1)));
            prop_assert_eq!(Some(ma.round()), fa.checked_round().map(Fixed::to_num::<u128>).or(Some(ma.floor() + 1)));
        }
    }

    #[test]
    fn percentages_round_down() {
        assert_eq!(Fraction::from_percent(100), Fraction::ONE);
        assert_eq!(Fraction::from_bps(10_000), Fraction::ONE);
        assert_eq!(Fraction::from_percent(5).to_bits(), (1u128 << 60) / 20);
        assert!(Fraction::from_percent(5).try_mul_int(20).unwrap() < Fraction::ONE);
    }

    #[test]
    fn rounding_to_integers() {
        let half = Fraction::from_bits(3 << 59);
        assert_eq!((half.floor(), half.ceil(), half.round()), (1, 2, 2));
        let below = Fraction::from_bits((3 << 59) - 1);
        assert_eq!((below.floor(), below.ceil(), below.round()), (1, 2, 1));
        assert_eq!(Fraction::MAX.floor_u64(), Err(Overflow));
        assert_eq!(Fraction::from_int(u64::MAX).ceil_u64(), Ok(u64::MAX));
    }

    #[test]
    fn display_is_decimal() {
        assert_eq!(Fraction::from_percent(250).to_string(), "2.500000000000000000");
        assert_eq!(format!("{:.3}", Fraction::from_bps(12_345)), "1.234");
        assert_eq!(format!("{:.0}", Fraction::ONE), "1");
    }

    #[test]
    fn rounding_up_a_quotient() {
        assert_eq!(mul_div_ceil(7, 1, 2), Ok(4));
        assert_eq!(mul_div_ceil(8, 1, 2), Ok(4));
        assert_eq!(mul_div_ceil(u128::MAX, u128::MAX, u128::MAX), Ok(u128::MAX));
        assert_eq!(mul_div(1, 1, 0), Err(Overflow));
    }
}
