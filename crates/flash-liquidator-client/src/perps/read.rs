//! Fields of the exchanges' accounts.

use solana_address::Address;

use super::{Exchange, PerpError, layout};
use crate::swap::{field, key};

/// The exchange that an account is of, and its layout there, once owner,
/// discriminator and length fit.
pub(super) fn check<T>(
    what: &'static str,
    address: &Address,
    owner: &Address,
    data: &[u8],
    discriminator: &[u8; 8],
    layout: impl FnOnce(&layout::Layout) -> T,
    len: impl FnOnce(&T) -> usize,
) -> Result<(Exchange, T), PerpError> {
    let refused = PerpError::NotA { what, address: *address };
    let exchange = Exchange::of(owner).ok_or(refused)?;
    let layout = layout(exchange.layout());
    if !is(exchange, data, discriminator, len(&layout)) {
        return Err(refused);
    }
    Ok((exchange, layout))
}

/// Whether these are the data of such an account. Velocity appends fields to its
/// accounts and has an instruction that lets old ones grow; of Drift, a length that is
/// not known is a layout that is not known.
pub(super) fn is(exchange: Exchange, data: &[u8], discriminator: &[u8; 8], len: usize) -> bool {
    let has_len = match exchange {
        Exchange::Drift => data.len() == len,
        Exchange::Velocity => data.len() >= len,
    };
    has_len && data.starts_with(discriminator)
}

pub(super) fn u16_at(data: &[u8], at: usize) -> u16 {
    u16::from_le_bytes(field(data, at))
}

pub(super) fn u32_at(data: &[u8], at: usize) -> u32 {
    u32::from_le_bytes(field(data, at))
}

pub(super) fn u64_at(data: &[u8], at: usize) -> u64 {
    u64::from_le_bytes(field(data, at))
}

pub(super) fn u128_at(data: &[u8], at: usize) -> u128 {
    u128::from_le_bytes(field(data, at))
}

/// Zeros stand where a price is one dollar by definition.
pub(super) fn oracle(data: &[u8], at: usize) -> Option<Address> {
    Some(key(data, at)).filter(|oracle| *oracle != Address::default())
}
