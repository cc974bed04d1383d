//! One instruction a file: accounts, arguments, handler.

use std::io::{Error, ErrorKind, Read};

use anchor_lang::prelude::*;

use crate::{checks::require_at_least, errors::FlashLiquidatorError};

pub mod liquidate;
pub mod open;
mod settle;

pub use liquidate::*;
pub use open::*;

/// Reads arguments with `read` and fails when bytes are left over.
fn deserialize_exactly<R: Read, T>(
    reader: &mut R,
    read: impl FnOnce(&mut R) -> std::io::Result<T>,
) -> std::io::Result<T> {
    let args = read(reader)?;
    match reader.read(&mut [0])? {
        0 => Ok(args),
        _ => Err(Error::new(ErrorKind::InvalidData, "bytes after the arguments")),
    }
}

/// Fails when the current slot is after `deadline_slot`; 0 means no deadline.
fn require_before_deadline(deadline_slot: u64) -> Result<()> {
    if deadline_slot != 0 {
        require_at_least(deadline_slot, Clock::get()?.slot, FlashLiquidatorError::DeadlinePassed)?;
    }
    Ok(())
}
