//! Arrays of ticks: fixed ones, dynamic ones, and ones that do not exist.

use solana_address::Address;

use super::{DYNAMIC_ARRAY, FIXED_ARRAY, TICKS_PER_ARRAY, Whirlpool};
use crate::{
    account::{Accounts, Bytes, Known},
    error::VenueError,
};

/// Bytes of a tick in a fixed array.
const TICK_LEN: usize = 113;
/// Where a fixed array's ticks are.
const FIXED_TICKS: usize = 12;
/// Where a dynamic array's ticks are: one byte for an empty tick, else all bytes.
const DYNAMIC_TICKS: usize = 60;

/// A tick with liquidity.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Tick {
    pub index: i32,
    /// Liquidity that is added where the price crosses it upwards.
    pub net: i128,
}

/// The ticks with liquidity of the array that begins at `start`, lowest first; `None`
/// if nobody has read it. An array that does not exist has none.
pub(super) fn ticks(
    pool: &Whirlpool,
    start: i32,
    accounts: &dyn Accounts,
) -> Result<Option<Vec<Tick>>, VenueError> {
    let key = pool.tick_array(start);
    let account = match accounts.known(&key) {
        Known::Unread => return Ok(None),
        Known::Absent => return Ok(Some(Vec::new())),
        // An address that was given lamports before anybody made an array there.
        Known::Present(account) if account.data.is_empty() => return Ok(Some(Vec::new())),
        Known::Present(account) => account,
    };
    let dynamic = DYNAMIC_ARRAY.discriminator.is_some_and(|first| account.data.starts_with(&first));
    let kind = if dynamic { DYNAMIC_ARRAY } else { FIXED_ARRAY };
    let kind = crate::account::Kind { program: pool.program, ..kind };
    let data = kind.read(&key, account)?;
    let of = data.key(if dynamic { 12 } else { FIXED_TICKS + TICKS_PER_ARRAY as usize * TICK_LEN });
    if of != pool.pool {
        return Err(other_pool(pool, key, of));
    }
    let actual = data.i32(8);
    if actual != start {
        let (low, high) = (i128::from(start), i128::from(start));
        let (field, actual) = ("start_tick_index", i128::from(actual));
        return Err(VenueError::OutOfRange { pool: pool.pool, field, actual, low, high });
    }
    let index = |n: i32| start + n * i32::from(pool.tick_spacing);
    let mut found = Vec::new();
    if dynamic {
        let mut at = DYNAMIC_TICKS;
        for n in 0..TICKS_PER_ARRAY {
            let set = has(data, at, key)? != 0;
            if set {
                found.push(Tick { index: index(n), net: data.i128(at + 1) });
            }
            at += if set { TICK_LEN } else { 1 };
        }
        // The last tick's bytes are there, too.
        has(data, at - 1, key)?;
    } else {
        for n in 0..TICKS_PER_ARRAY {
            let at = FIXED_TICKS + n as usize * TICK_LEN;
            if data.u8(at) != 0 {
                found.push(Tick { index: index(n), net: data.i128(at + 1) });
            }
        }
    }
    Ok(Some(found))
}

/// The byte at `at` of a dynamic array, whose length depends on what it holds.
fn has(data: Bytes<'_>, at: usize, key: Address) -> Result<u8, VenueError> {
    let len = data.0.len();
    data.0.get(at).copied().ok_or(VenueError::Truncated {
        account: key,
        what: DYNAMIC_ARRAY.what,
        len,
        expected: at + 1,
    })
}

fn other_pool(pool: &Whirlpool, account: Address, actual: Address) -> VenueError {
    VenueError::OtherPool { pool: pool.pool, account, what: FIXED_ARRAY.what, actual }
}
