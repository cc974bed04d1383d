//! Writes prices into a Scope price table for whoever asks. On a validator accounts
//! cannot be edited from outside: this moves prices there as Scope does, by
//! transactions. Never deployed. From scratch, from the facts of Scope 0.40.
//!
//! # Accounts
//! 0. price table, owned by this program (writable)
//!
//! # Data
//! Any number of [`Update`]s, one after the other. When all are written, every entry
//! that has a price is dated with the slot and time of the transaction.
//!
//! Data that begins as Scope's own `refresh_price_list` does what that does: [`refresh`].

pub mod refresh;

use solana_program::{
    account_info::AccountInfo, clock::Clock, entrypoint::ProgramResult,
    program_error::ProgramError, pubkey::Pubkey, sysvar::Sysvar,
};

// Scope's address on mainnet: klend reads price tables that belong to it.
solana_program::declare_id!("HFn8GnPADiny6XqUoWE8uRPPxb29ikn4yTuPa9MF2fWJ");

#[cfg(not(feature = "no-entrypoint"))]
solana_program::entrypoint!(process_instruction);

/// Discriminator and the address of the oracle mappings, before the entries.
const HEADER: usize = 8 + 32;
/// An entry: value, exponent, slot and time, a u64 each, then 24 bytes for Scope.
const ENTRY: usize = 56;
/// Where an entry has its slot.
const SLOT: usize = 16;
/// Where an entry has its time.
const UNIX_TIMESTAMP: usize = 24;

/// A new price, `value / 10^exp`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Update {
    /// Which entry.
    pub index: u16,
    /// Mantissa.
    pub value: u64,
    /// Number of decimals.
    pub exp: u64,
}

impl Update {
    const LEN: usize = 2 + 8 + 8;

    fn read(bytes: &[u8]) -> Option<Self> {
        Some(Self {
            index: u16::from_le_bytes(*bytes.first_chunk()?),
            value: u64_at(bytes, 2)?,
            exp: u64_at(bytes, 10)?,
        })
    }
}

/// Data of an instruction.
pub fn update_data(updates: &[Update]) -> Vec<u8> {
    let mut data = Vec::with_capacity(updates.len() * Update::LEN);
    for update in updates {
        data.extend(update.index.to_le_bytes());
        data.extend(update.value.to_le_bytes());
        data.extend(update.exp.to_le_bytes());
    }
    data
}

/// What makes the prices of one table those of another. Dates do not count.
pub fn difference(from: &[u8], to: &[u8]) -> Vec<Update> {
    let entries = |table: &[u8]| -> Vec<(Option<u64>, Option<u64>)> {
        let entries = table.get(HEADER..).unwrap_or_default().chunks_exact(ENTRY);
        entries.map(|entry| (u64_at(entry, 0), u64_at(entry, 8))).collect()
    };
    (0u16..)
        .zip(entries(from).into_iter().zip(entries(to)))
        .filter(|(_, (from, to))| from != to)
        .filter_map(|(index, (_, (value, exp)))| Some(Update { index, value: value?, exp: exp? }))
        .collect()
}

/// Entry point.
pub fn process_instruction(_: &Pubkey, accounts: &[AccountInfo], data: &[u8]) -> ProgramResult {
    if let Some(entries) = data.strip_prefix(&refresh::DISCRIMINATOR) {
        return refresh::refresh_price_list(accounts, entries);
    }
    let [table, ..] = accounts else { return Err(ProgramError::NotEnoughAccountKeys) };
    let clock = Clock::get()?;
    let mut table = table.try_borrow_mut_data()?;
    write(&mut table, data, clock.slot, clock.unix_timestamp.cast_unsigned())
}

fn write(table: &mut [u8], updates: &[u8], slot: u64, unix_timestamp: u64) -> ProgramResult {
    let entries = table.get_mut(HEADER..).ok_or(ProgramError::InvalidAccountData)?;
    if !updates.len().is_multiple_of(Update::LEN) {
        return Err(ProgramError::InvalidInstructionData);
    }
    for bytes in updates.chunks_exact(Update::LEN) {
        let update = Update::read(bytes).ok_or(ProgramError::InvalidInstructionData)?;
        let entry = entries
            .chunks_exact_mut(ENTRY)
            .nth(update.index.into())
            .ok_or(ProgramError::InvalidInstructionData)?;
        entry[..8].copy_from_slice(&update.value.to_le_bytes());
        entry[8..16].copy_from_slice(&update.exp.to_le_bytes());
    }
    for entry in entries.chunks_exact_mut(ENTRY) {
        if entry[..8] != [0; 8] {
            entry[SLOT..SLOT + 8].copy_from_slice(&slot.to_le_bytes());
            entry[UNIX_TIMESTAMP..UNIX_TIMESTAMP + 8]
                .copy_from_slice(&unix_timestamp.to_le_bytes());
        }
    }
    Ok(())
}

fn u64_at(bytes: &[u8], offset: usize) -> Option<u64> {
    Some(u64::from_le_bytes(*bytes.get(offset..)?.first_chunk()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_difference_of_two_tables_makes_one_the_other() {
        let mut table = vec![7; HEADER + 3 * ENTRY];
        table[HEADER..].fill(0);
        let mut wanted = table.clone();
        for (index, value) in [(0usize, 5u8), (2, 9)] {
            wanted[HEADER + index * ENTRY] = value;
            wanted[HEADER + index * ENTRY + 8] = 8;
        }
        let updates = difference(&table, &wanted);
        assert_eq!(
            updates,
            [Update { index: 0, value: 5, exp: 8 }, Update { index: 2, value: 9, exp: 8 }]
        );
        write(&mut table, &update_data(&updates), 100, 200).unwrap();
        assert_eq!(difference(&table, &wanted), []);
        assert_eq!(table[..HEADER], wanted[..HEADER]);
        let dates = |index: usize| {
            let entry = &table[HEADER + index * ENTRY..];
            (u64_at(entry, SLOT), u64_at(entry, UNIX_TIMESTAMP))
        };
        assert_eq!(dates(2), (Some(100), Some(200)));
        assert_eq!(dates(1), (Some(0), Some(0)), "an entry without a price stays empty");
    }

    #[test]
    fn entries_outside_the_table_are_refused() {
        let mut table = vec![0; HEADER + ENTRY];
        let update = update_data(&[Update { index: 1, value: 1, exp: 0 }]);
        assert_eq!(write(&mut table, &update, 1, 1), Err(ProgramError::InvalidInstructionData));
        assert_eq!(
            write(&mut table, &update[1..], 1, 1),
            Err(ProgramError::InvalidInstructionData)
        );
        assert_eq!(write(&mut [0; 10], &[], 1, 1), Err(ProgramError::InvalidAccountData));
    }
}
