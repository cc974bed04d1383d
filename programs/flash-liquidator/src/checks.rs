//! The checks of this program in one form. A failing one logs its error out of line,
//! without formatting: Anchor's macros would inline that at every call, and the
//! machinery behind them would double the program.
//!
//! The feature `mutation` lets the tests switch one check off, to prove that some
//! attack then gets through. Nothing of it is in any other build.

use anchor_lang::{
    prelude::*,
    solana_program::{log::sol_log, system_program},
};

use crate::errors::{ErrorText, FlashLiquidatorError, InterfaceError, Result};

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
/// `flash_fee`, in its raw units; as much as an i64 holds where it is more.
///
/// # Errors
/// `ProfitBelowMinimum`, logging both numbers, when it is below `min_profit`.
#[cfg_attr(feature = "mutation", track_caller)]
#[expect(clippy::arithmetic_side_effects, reason = "three 64-bit numbers fit an i128")]
pub fn require_profit(before: u64, after: u64, flash_fee: u64, min_profit: i64) -> Result<i64> {
    let profit = i128::from(after) - i128::from(before) - i128::from(flash_fee);
    // A loss that does not fit stays below every minimum, `i64::MIN` excepted, which
    // consents to any.
    let profit =
        i64::try_from(profit).unwrap_or(if profit.is_negative() { i64::MIN } else { i64::MAX });
    if profit >= min_profit || switched_off() {
        Ok(profit)
    } else {
        Err(fail_unprofitable(profit, min_profit))
    }
}

/// Fails unless `account` signs the transaction; `name` is for the log.
#[inline(always)]
#[cfg_attr(feature = "mutation", track_caller)]
pub fn require_signer(account: &AccountInfo, name: &str) -> Result<()> {
    if account.is_signer || switched_off() {
        Ok(())
    } else {
        Err(fail_interface(InterfaceError::AccountNotSigner, Some(name)))
    }
}

/// Fails unless `account` is writable; `name` is for the log.
#[inline(always)]
#[cfg_attr(feature = "mutation", track_caller)]
pub fn require_writable(account: &AccountInfo, name: &str) -> Result<()> {
    if account.is_writable || switched_off() {
        Ok(())
    } else {
        Err(fail_interface(InterfaceError::ConstraintMut, Some(name)))
    }
}

/// Fails unless `account` is the program `expected`; `name` is for the log.
#[inline(always)]
#[cfg_attr(feature = "mutation", track_caller)]
pub fn require_program(account: &AccountInfo, expected: &Pubkey, name: &str) -> Result<()> {
    if account.key == expected || switched_off() {
        Ok(())
    } else {
        Err(fail_interface(InterfaceError::InvalidProgramId, Some(name)))
    }
}

/// Fails unless `account` is a plain wallet: the system program's, and without data.
///
/// For every signer whose signature others had in hand. As an account of another
/// program it would sign for whoever set it up (a token multisig); with data in it the
/// system program takes lamports out of it on another's word (a nonce account), or not
/// at all.
#[cfg_attr(feature = "mutation", track_caller)]
pub fn require_plain_wallet(account: &AccountInfo) -> Result<()> {
    let is_plain = *account.owner == system_program::ID && account.data_is_empty();
    require(is_plain, FlashLiquidatorError::SignerReassigned)
}

/// Logs the error and gives its number to return, for `ok_or_else` and `map_err`.
#[cold]
#[inline(never)]
pub fn fail(error: FlashLiquidatorError) -> ProgramError {
    // Linkers leave out what no code refers to.
    // SAFETY: reads the first byte of a string that has one.
    #[allow(unsafe_code)]
    let _ = unsafe { core::ptr::read_volatile(crate::SECURITY_TXT.as_ptr()) };
    log_error(error.text(), error.into(), None)
}

/// As [`fail`], for what Anchor would refuse; `account` is the name of the one at fault.
#[cold]
#[inline(never)]
pub fn fail_interface(error: InterfaceError, account: Option<&str>) -> ProgramError {
    log_error(error.text(), error as u32, account)
}

#[cold]
#[inline(never)]
fn fail_with_numbers(actual: u64, bound: u64, error: FlashLiquidatorError) -> ProgramError {
    let error = fail(error);
    log(&["Left: ", &actual.to_string()]);
    log(&["Right: ", &bound.to_string()]);
    error
}

#[cold]
#[inline(never)]
fn fail_with_keys(actual: &Pubkey, expected: &Pubkey, error: FlashLiquidatorError) -> ProgramError {
    let error = fail(error);
    log(&["Left:"]);
    log_key(actual);
    log(&["Right:"]);
    log_key(expected);
    error
}

#[cold]
#[inline(never)]
fn fail_unprofitable(profit: i64, min_profit: i64) -> ProgramError {
    let error = fail(FlashLiquidatorError::ProfitBelowMinimum);
    log(&["Left: ", &profit.to_string()]);
    log(&["Right: ", &min_profit.to_string()]);
    error
}

/// Logs an error in Anchor's form, which explorers and clients know.
fn log_error(text: ErrorText, number: u32, account: Option<&str>) -> ProgramError {
    let (origin, account) = match account {
        Some(account) => ("caused by account: ", account),
        None => ("occurred", ""),
    };
    let ErrorText { name, message } = text;
    log(&[
        "AnchorError ",
        origin,
        account,
        ". Error Code: ",
        name,
        ". Error Number: ",
        &number.to_string(),
        ". Error Message: ",
        message,
        ".",
    ]);
    ProgramError::Custom(number)
}

/// Logs a line made of `parts`. Not on the host, where tests make errors by the million.
fn log(parts: &[&str]) {
    if cfg!(target_os = "solana") {
        sol_log(&parts.concat());
    }
}

/// Logs a key in base58.
fn log_key(key: &Pubkey) {
    if cfg!(target_os = "solana") {
        key.log();
    }
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
