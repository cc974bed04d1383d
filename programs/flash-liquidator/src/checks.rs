//! The checks of this program in one form. A failing one builds its error out of
//! line: Anchor's macros would inline that at every call and double the program.
//!
//! The feature `mutation` lets the tests switch one check off, to prove that some
//! attack then gets through. Nothing of it is in any other build.

use anchor_lang::prelude::*;

use crate::errors::FlashLiquidatorError;

/// Fails with `error` unless `condition` holds.
#[inline(always)]
#[cfg_attr(feature = "mutation", track_caller)]
pub fn require(condition: bool, error: FlashLiquidatorError) -> Result<()> {
    if condition || switched_off() { Ok(()) } else { Err(fail(error)) }
}

/// Fails with `error`, logging both numbers, unless `actual` is at least `least`.
#[inline(always)]
#[cfg_attr(feature = "mutation", track_caller)]
pub fn require_at_least(actual: u64, least: u64, error: FlashLiquidatorError) -> Result<()> {
    if actual >= least || switched_off() {
        Ok(())
    } else {
        Err(fail_with_numbers(actual, least, error))
    }
}

/// Fails with `error`, logging both numbers, unless they are equal.
#[inline(always)]
#[cfg_attr(feature = "mutation", track_caller)]
pub fn require_equal(actual: u64, expected: u64, error: FlashLiquidatorError) -> Result<()> {
    if actual == expected || switched_off() {
        Ok(())
    } else {
        Err(fail_with_numbers(actual, expected, error))
    }
}

/// Fails with `error`, logging both keys, unless they are equal.
#[inline(always)]
#[cfg_attr(feature = "mutation", track_caller)]
pub fn require_key(actual: &Pubkey, expected: &Pubkey, error: FlashLiquidatorError) -> Result<()> {
    if actual == expected || switched_off() {
        Ok(())
    } else {
        Err(fail_with_keys(actual, expected, error))
    }
}

/// Profit of an account that went from `before` to `after` and still owes
/// `flash_fee`, in its raw units.
///
/// # Errors
/// `ProfitBelowMinimum`, logging both numbers, when it is below `min_profit`;
/// `MathOverflow` when it does not fit an i64.
#[cfg_attr(feature = "mutation", track_caller)]
#[expect(clippy::arithmetic_side_effects, reason = "three 64-bit numbers fit an i128")]
pub fn require_profit(before: u64, after: u64, flash_fee: u64, min_profit: i64) -> Result<i64> {
    let profit = i128::from(after) - i128::from(before) - i128::from(flash_fee);
    let profit = i64::try_from(profit).map_err(|_| fail(FlashLiquidatorError::MathOverflow))?;
    if profit >= min_profit || switched_off() {
        Ok(profit)
    } else {
        Err(fail_unprofitable(profit, min_profit))
    }
}

/// The error itself, for `ok_or_else` and `map_err`.
#[cold]
#[inline(never)]
pub fn fail(error: FlashLiquidatorError) -> Error {
    // Linkers leave out what no code refers to.
    // SAFETY: reads the first byte of a string that has one.
    #[allow(unsafe_code)]
    let _ = unsafe { core::ptr::read_volatile(crate::SECURITY_TXT.as_ptr()) };
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

/// Whether the check that asks is switched off: never, unless built for the
/// mutation tests.
#[inline(always)]
#[cfg_attr(feature = "mutation", track_caller)]
fn switched_off() -> bool {
    #[cfg(feature = "mutation")]
    return mutation::is_selected(core::panic::Location::caller());
    #[cfg(not(feature = "mutation"))]
    false
}

#[cfg(all(
    feature = "mutation",
    any(feature = "staging", feature = "no-entrypoint", feature = "idl-build")
))]
compile_error!("`mutation` switches checks off: it is for the tests' own build and no other");

#[cfg(feature = "mutation")]
mod mutation {
    use core::panic::Location;

    const MARKER: [u8; 16] = *b"SWITCHED-OFF-AT:";

    /// The marker, the line (u32, little-endian) of the check that is off, and the
    /// end of its file's path, padded with zeros. The tests find the marker in the
    /// ELF and write the rest; as built no check is on line 0.
    static SELECTED: [u8; 64] = {
        let mut selected = [0; 64];
        let mut position = 0;
        while position < MARKER.len() {
            selected[position] = MARKER[position];
            position += 1;
        }
        selected
    };

    /// Whether the check at `location` is the one that is off.
    pub fn is_selected(location: &Location) -> bool {
        // SAFETY: reads an initialised static through a reference to it. Volatile,
        // for the compiler must not take the value it has as built for granted.
        #[allow(unsafe_code)]
        let selected = unsafe { core::ptr::read_volatile(&SELECTED) };
        let (line, path) = selected[MARKER.len()..].split_at(4);
        let end = path.iter().position(|byte| *byte == 0).unwrap_or(path.len());
        line == location.line().to_le_bytes() && location.file().as_bytes().ends_with(&path[..end])
    }
}
