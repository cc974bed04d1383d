//! One instruction a file: accounts, arguments, handler.

use std::io::{ErrorKind, Read};

use anchor_lang::prelude::*;

use crate::{
    checks::require_at_least,
    errors::{FlashLiquidatorError, Result},
    reader::Reader,
};

pub mod liquidate;
pub mod open;
mod settle;
mod sweep;

pub use liquidate::*;
pub use open::*;
pub use sweep::*;

/// For `AnchorDeserialize`, which clients and tests use: all of `reader`, decoded by
/// `read` as the program does.
fn deserialize_with<R: Read, T>(
    reader: &mut R,
    read: impl FnOnce(&mut Reader) -> Option<T>,
) -> std::io::Result<T> {
    let mut bytes = Vec::new();
    reader.read_to_end(&mut bytes)?;
    Reader::read_all(&bytes, read).ok_or_else(|| ErrorKind::InvalidData.into())
}

/// Fails when the current slot is after `deadline_slot`; 0 means no deadline.
fn require_before_deadline(deadline_slot: u64) -> Result<()> {
    if deadline_slot != 0 {
        require_at_least(deadline_slot, Clock::get()?.slot, FlashLiquidatorError::DeadlinePassed)?;
    }
    Ok(())
}
