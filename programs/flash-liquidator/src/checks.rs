//! The checks of this program in one form. A failing one builds its error out of
//! line: Anchor's macros would inline that at every call and double the program.

use anchor_lang::prelude::*;

use crate::errors::FlashLiquidatorError;

/// Fails with `error` unless `condition` holds.
#[inline(always)]
pub fn require(condition: bool, error: FlashLiquidatorError) -> Result<()> {
    if condition { Ok(()) } else { Err(fail(error)) }
}

/// Fails with `error`, logging both numbers, unless `actual` is at least `least`.
#[inline(always)]
pub fn require_at_least(actual: u64, least: u64, error: FlashLiquidatorError) -> Result<()> {
    if actual >= least { Ok(()) } else { Err(fail_with_numbers(actual, least, error)) }
}

/// Fails with `error`, logging both numbers, unless they are equal.
#[inline(always)]
pub fn require_equal(actual: u64, expected: u64, error: FlashLiquidatorError) -> Result<()> {
    if actual == expected { Ok(()) } else { Err(fail_with_numbers(actual, expected, error)) }
}

/// Fails with `error`, logging both keys, unless they are equal.
#[inline(always)]
pub fn require_key(actual: &Pubkey, expected: &Pubkey, error: FlashLiquidatorError) -> Result<()> {
    if actual == expected { Ok(()) } else { Err(fail_with_keys(actual, expected, error)) }
}

/// Profit of an account that went from `before` to `after` and still owes
/// `flash_fee`, in its raw units.
///
/// # Errors
/// `ProfitBelowMinimum`, logging both numbers, when it is below `min_profit`;
/// `MathOverflow` when it does not fit an i64.
pub fn require_profit(before: u64, after: u64, flash_fee: u64, min_profit: i64) -> Result<i64> {
    let profit = i128::from(after) - i128::from(before) - i128::from(flash_fee);
    let profit = i64::try_from(profit).map_err(|_| fail(FlashLiquidatorError::MathOverflow))?;
    if profit >= min_profit { Ok(profit) } else { Err(fail_unprofitable(profit, min_profit)) }
}

/// The error itself, for `ok_or_else` and `map_err`.
#[cold]
#[inline(never)]
pub fn fail(error: FlashLiquidatorError) -> Error {
    error.into()
}

#[cold]
#[inline(never)]
fn fail_with_numbers(actual: u64, bound: u64, error: FlashLiquidatorError) -> Error {
    fail(error).with_values((actual, bound))
}

#[cold]
#[inline(never)]
fn fail_with_keys(actual: &Pubkey, expected: &Pubkey, error: FlashLiquidatorError) -> Error {
    fail(error).with_pubkeys((*actual, *expected))
}

#[cold]
#[inline(never)]
fn fail_unprofitable(profit: i64, min_profit: i64) -> Error {
    fail(FlashLiquidatorError::ProfitBelowMinimum).with_values((profit, min_profit))
}
