//! Integer arithmetic as the program does it: rounded towards zero, and an error
//! where a number does not fit.

use super::PerpError;

pub(super) type Result<T> = core::result::Result<T, PerpError>;

/// Weights and margin ratios are in ten-thousandths.
pub(super) const WEIGHT: u128 = 10_000;
/// Fees, prices and dollars are in millionths.
pub(super) const MILLION: u128 = 1_000_000;

/// Ten to the decimals that `more` has above `fewer`, or one.
pub(super) fn scale(more: u32, fewer: u32) -> u128 {
    10u128.pow(more.saturating_sub(fewer))
}

/// A share in ten-thousandths, rounded towards zero.
pub(super) fn weigh(value: i128, weight: u128) -> Result<i128> {
    let weighted = value.checked_mul(fits(weight)?).ok_or(PerpError::Overflow)?;
    Ok(weighted / WEIGHT as i128)
}

pub(super) fn mul_div(value: u128, numerator: u128, denominator: u128) -> Result<u128> {
    let product = value.checked_mul(numerator).ok_or(PerpError::Overflow)?;
    product.checked_div(denominator).ok_or(PerpError::Overflow)
}

pub(super) fn ceil_div(value: u128, denominator: u128) -> Result<u128> {
    if denominator == 0 {
        return Err(PerpError::Overflow);
    }
    Ok(value.div_ceil(denominator))
}

/// The next multiple of a step.
pub(super) fn ceil_to(value: u128, step: u128) -> Result<u128> {
    if step == 0 {
        return Err(PerpError::Overflow);
    }
    value.checked_next_multiple_of(step).ok_or(PerpError::Overflow)
}

pub(super) fn fits<T, N: TryInto<T>>(number: N) -> Result<T> {
    number.try_into().map_err(|_| PerpError::Overflow)
}
