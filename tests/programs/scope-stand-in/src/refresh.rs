//! Scope's `refresh_price_list`: anybody has entries written anew, at top level and with
//! nothing but the compute budget in front.
//!
//! Three types are played: a fixed price, the most recent of other entries, and the price
//! of a Whirlpool. Averages are not kept.

use solana_program::{
    account_info::AccountInfo,
    clock::Clock,
    entrypoint::ProgramResult,
    instruction::{TRANSACTION_LEVEL_STACK_HEIGHT, get_stack_height},
    msg,
    program_error::ProgramError,
    pubkey::Pubkey,
    sysvar::{
        Sysvar,
        instructions::{self, load_current_index_checked, load_instruction_at_checked},
    },
};

use crate::{ENTRY, HEADER, SLOT, UNIX_TIMESTAMP, u64_at};

/// First bytes of the instruction's data; then a `Vec<u16>` of entries.
pub const DISCRIMINATOR: [u8; 8] = [83, 186, 207, 131, 203, 254, 198, 130];

const COMPUTE_BUDGET: Pubkey =
    solana_program::pubkey!("ComputeBudget111111111111111111111111111111");
const ENTRIES: usize = 512;

// Offsets in the mappings account.
const ACCOUNTS: usize = 8;
const TYPES: usize = ACCOUNTS + ENTRIES * 32;
const GENERIC: usize = TYPES + ENTRIES * (1 + 2 + 1 + 2);
const GENERIC_LEN: usize = 20;

const WHIRLPOOL_A_TO_B: u8 = 13;
const FIXED: u8 = 23;
const MOST_RECENT_OF: u8 = 28;

/// The first error of the stand-in's own; no number of Scope's.
const OWN: u32 = 9_000;

/// Refusals, as custom errors from 9,000 on.
#[derive(Clone, Copy)]
enum Refusal {
    /// Called by a program.
    InCpi,
    /// Something other than the compute budget in front.
    BehindOthers,
    /// Table, mappings and averages do not belong together.
    NotOneFeed,
    /// No entry asked for, or fewer accounts than entries.
    Entries,
    /// Another account than the mapped one.
    OtherAccount,
    /// No price comes of it.
    NoPrice,
}

impl From<Refusal> for ProgramError {
    fn from(refusal: Refusal) -> Self {
        Self::Custom(OWN + refusal as u32)
    }
}

/// A price and its date.
struct Dated {
    value: u64,
    exp: u64,
    slot: u64,
    unix_timestamp: u64,
}

/// # Accounts
/// 0. price table (writable)
/// 1. mappings
/// 2. averages (writable)
/// 3. instructions sysvar
/// 4. and on: for each entry the mapped account, and what its type needs besides
///
/// # Errors
/// [`Refusal`]; of one entry also when no price comes of it, of several such ones are
/// skipped.
pub fn refresh_price_list(accounts: &[AccountInfo], data: &[u8]) -> ProgramResult {
    let [prices, mappings, averages, sysvar, rest @ ..] = accounts else {
        return Err(ProgramError::NotEnoughAccountKeys);
    };
    first_and_at_top_level(sysvar)?;
    let names = |account: &AccountInfo, offset: usize, key: &Pubkey| {
        account.owner == &crate::ID
            && account.data.borrow().get(offset..offset + 32) == Some(key.as_ref())
    };
    if !names(prices, 8, mappings.key)
        || !names(averages, 8, prices.key)
        || !names(averages, 40, mappings.key)
        || mappings.owner != &crate::ID
    {
        return Err(Refusal::NotOneFeed.into());
    }
    let (count, entries) = data.split_first_chunk().ok_or(ProgramError::InvalidInstructionData)?;
    let count = u32::from_le_bytes(*count) as usize;
    if count == 0 || count > rest.len() || entries.len() != count * 2 {
        return Err(Refusal::Entries.into());
    }
    let clock = Clock::get()?;
    let mut rest = rest.iter();
    for entry in entries.chunks_exact(2) {
        let index = usize::from(u16::from_le_bytes([entry[0], entry[1]]));
        let given = rest.next().ok_or(Refusal::Entries)?;
        let (mapped, kind, generic) = mapping(&mappings.data.borrow(), index)?;
        if mapped != *given.key {
            return Err(Refusal::OtherAccount.into());
        }
        let price = match kind {
            WHIRLPOOL_A_TO_B => {
                let mints = [rest.next(), rest.next()];
                whirlpool(given, mints, &clock)
            }
            FIXED => Some(Dated {
                value: u64_at(&generic, 0).unwrap_or_default(),
                exp: u64_at(&generic, 8).unwrap_or_default(),
                slot: clock.slot,
                unix_timestamp: clock.unix_timestamp.cast_unsigned(),
            }),
            MOST_RECENT_OF => most_recent(&prices.data.borrow(), &generic),
            _ => None,
        };
        match price {
            Some(price) => write(&mut prices.data.borrow_mut(), index, &price)?,
            None if count == 1 => return Err(Refusal::NoPrice.into()),
            None => msg!("entry {} skipped", index),
        }
    }
    Ok(())
}

fn first_and_at_top_level(sysvar: &AccountInfo) -> ProgramResult {
    if sysvar.key != &instructions::ID {
        return Err(ProgramError::InvalidArgument);
    }
    let current = load_current_index_checked(sysvar)?;
    if get_stack_height() > TRANSACTION_LEVEL_STACK_HEIGHT {
        return Err(Refusal::InCpi.into());
    }
    for index in 0..current {
        let before = load_instruction_at_checked(usize::from(index), sysvar)?;
        if before.program_id != COMPUTE_BUDGET {
            return Err(Refusal::BehindOthers.into());
        }
    }
    Ok(())
}

/// Account, type and figures of an entry.
fn mapping(data: &[u8], index: usize) -> Result<(Pubkey, u8, [u8; GENERIC_LEN]), ProgramError> {
    let bytes = |offset: usize| data.get(offset..).ok_or(ProgramError::InvalidAccountData);
    if index >= ENTRIES {
        return Err(Refusal::Entries.into());
    }
    let account = bytes(ACCOUNTS + index * 32)?.first_chunk();
    let generic = bytes(GENERIC + index * GENERIC_LEN)?.first_chunk();
    let kind = bytes(TYPES + index)?.first();
    match (account, kind, generic) {
        (Some(account), Some(kind), Some(generic)) => {
            Ok((Pubkey::new_from_array(*account), *kind, *generic))
        }
        _ => Err(ProgramError::InvalidAccountData),
    }
}

/// Tokens B for one token A, from the root of the price in 64.64 bits.
fn whirlpool(pool: &AccountInfo, mints: [Option<&AccountInfo>; 2], clock: &Clock) -> Option<Dated> {
    const SQRT_PRICE: usize = 65;
    const MINTS: [usize; 2] = [101, 181];
    const DECIMALS: usize = 44;
    let pool = pool.data.borrow();
    let mut decimals = [0; 2];
    for side in 0..2 {
        let mint = mints[side]?;
        if pool.get(MINTS[side]..MINTS[side] + 32)? != mint.key.as_ref() {
            return None;
        }
        decimals[side] = u32::from(*mint.data.borrow().get(DECIMALS)?);
    }
    let root = u128::from_le_bytes(*pool.get(SQRT_PRICE..)?.first_chunk()?);
    let mut price = root.checked_mul(root)? >> 64;
    let shift = |price: u128, digits: u32| price.checked_mul(10u128.checked_pow(digits)?);
    price = if decimals[0] >= decimals[1] {
        shift(price, decimals[0] - decimals[1])?
    } else {
        price / 10u128.checked_pow(decimals[1] - decimals[0])?
    };
    // As many decimals as eighteen digits leave.
    let digits = (price >> 64).checked_ilog10().map_or(0, |log| log + 1);
    let exp = 18u32.checked_sub(digits)?;
    let value = u64::try_from(shift(price, exp)? >> 64).ok()?;
    (value > 0).then(|| Dated {
        value,
        exp: u64::from(exp),
        slot: clock.slot,
        unix_timestamp: clock.unix_timestamp.cast_unsigned(),
    })
}

/// The newest of up to four other entries; their tolerances are not looked at.
fn most_recent(prices: &[u8], generic: &[u8]) -> Option<Dated> {
    let sources = generic.get(..8)?.chunks_exact(2);
    sources
        .map(|source| usize::from(u16::from_le_bytes([source[0], source[1]])))
        .filter(|source| *source < ENTRIES)
        .filter_map(|source| {
            let entry = prices.get(HEADER + source * ENTRY..)?;
            Some(Dated {
                value: u64_at(entry, 0).filter(|value| *value > 0)?,
                exp: u64_at(entry, 8)?,
                slot: u64_at(entry, SLOT)?,
                unix_timestamp: u64_at(entry, UNIX_TIMESTAMP)?,
            })
        })
        .max_by_key(|price| price.unix_timestamp)
}

fn write(prices: &mut [u8], index: usize, price: &Dated) -> ProgramResult {
    let at = HEADER + index * ENTRY;
    let entry = prices.get_mut(at..at + ENTRY).ok_or(ProgramError::InvalidAccountData)?;
    for (offset, figure) in [
        (0, price.value),
        (8, price.exp),
        (SLOT, price.slot),
        (UNIX_TIMESTAMP, price.unix_timestamp),
    ] {
        entry[offset..offset + 8].copy_from_slice(&figure.to_le_bytes());
    }
    Ok(())
}
