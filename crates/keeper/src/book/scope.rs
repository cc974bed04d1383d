//! Prices about to be written.
//!
//! klend reads prices from tables of Scope's, and anybody may have entries of them written
//! anew, first in his own transaction ([`flash_liquidator_client::scope`]). What would be
//! written is no secret: Scope's own program says it, in a machine here, on the accounts
//! that the entries are written from. A [`Scope`] keeps which entries reserves read, what
//! would be written in them now, and makes the instruction that writes it.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::{Context as _, Result, anyhow, bail};
use flash_liquidator_client::scope::{Feed, Mappings, ScopeError, refresh_price_list};
use klend_fork::Machine;
use klend_interface::state::Reserve;
use klend_model::{constants::SCOPE_PROGRAM_ID, price, time::Clock};
use solana_account::Account;
use solana_address::Address;
use solana_instruction::Instruction;
use solana_sdk_ids::system_program;

use super::{accounts::Accounts, market::Market};
use crate::feeds::source::{Filter, Source};

/// Entries that the machine is asked about before what changed otherwise is looked at.
const RUNS: usize = 8;
/// Reads until what is named is known: accounts name further ones.
const ROUNDS: usize = 8;
/// Accounts of an instruction before those that entries are written from.
const FIXED_ACCOUNTS: usize = 4;
/// Compute units that a refresh may take here, as many as a transaction has.
const UNITS: u32 = 1_400_000;
/// Who pays in the machine.
const PAYER: Address = Address::new_from_array([9; 32]);

// A price table: header, then entries of value, exponent, slot, time, and spare bytes.
const HEADER: usize = 40;
const ENTRY: usize = 56;
const PRICE: usize = 16;

/// Entries of one table to be written first in a transaction. One transaction cannot
/// write those of two tables: nothing but the compute budget may stand in front.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Choice {
    /// The price table.
    pub table: Address,
    /// Entries that reserves read; those that they are computed from go without saying.
    pub entries: Vec<u16>,
}

/// A refresh, and what it makes of its table.
#[derive(Clone, Debug)]
pub struct Written {
    /// The price table.
    pub table: Address,
    /// Every entry that is written, in order.
    pub entries: Vec<u16>,
    /// What writes them.
    pub instruction: Instruction,
    /// The table afterwards.
    pub account: Account,
}

/// What is known of accounts.
#[derive(Clone, Copy)]
pub struct Known<'a> {
    /// Whose accounts are kept with them.
    pub markets: &'a [&'a Market],
    /// All others.
    pub accounts: &'a Accounts,
}

impl<'a> Known<'a> {
    fn get(&self, key: &Address) -> Option<&'a Account> {
        let of_market = self.markets.iter().find_map(|market| market.account(key));
        of_market.or_else(|| self.accounts.get(key))
    }

    fn need(&self, what: &str, key: &Address) -> Result<&'a Account> {
        self.get(key).with_context(|| format!("{what} {key} was not read"))
    }

    fn clock(&self) -> Clock {
        let clocks = self.markets.iter().map(|market| market.clock);
        clocks.fold(Clock { slot: 0, unix_timestamp: 0 }, |latest, clock| Clock {
            slot: latest.slot.max(clock.slot),
            unix_timestamp: latest.unix_timestamp.max(clock.unix_timestamp),
        })
    }
}

/// An entry that reserves read.
struct Unit {
    /// Those that it is computed from, then itself.
    order: Vec<u16>,
    /// What writes them.
    instruction: Instruction,
    /// The machine was not asked since something changed.
    is_stale: bool,
    /// What would be written, by entry; empty if nothing would be.
    written: Vec<(u16, [u8; ENTRY])>,
}

impl Unit {
    fn sources(&self) -> impl Iterator<Item = &Address> {
        self.instruction.accounts.iter().skip(FIXED_ACCOUNTS).map(|meta| &meta.pubkey)
    }

    /// Whether another price would be written than stands there.
    fn moves(&self, table: &[u8]) -> bool {
        self.written.iter().any(|(index, entry)| {
            Some(index) == self.order.last() && entry_of(table, *index) != Some(&entry[..PRICE])
        })
    }
}

/// The price of an entry: value and exponent.
fn entry_of(table: &[u8], index: u16) -> Option<&[u8]> {
    table.get(HEADER + usize::from(index) * ENTRY..)?.get(..PRICE)
}

#[derive(Default)]
struct Table {
    mappings: Address,
    /// Its averages; `None` before somebody looked, `Some(None)` if there are none.
    averages: Option<Option<Address>>,
    units: BTreeMap<u16, Unit>,
    /// Entries that cannot be written here.
    refused: BTreeSet<u16>,
}

/// Reserves, and why one of their prices cannot be written here: said once.
pub type Refusals = Vec<(Address, ScopeError)>;

/// Tables, their entries, and the machine that tells what would be written.
#[derive(Default)]
pub struct Scope {
    tables: BTreeMap<Address, Table>,
    machine: Option<Machine>,
    /// Accounts that entries are written from.
    sources: BTreeSet<Address>,
    refusals: Refusals,
    /// Something would be written otherwise than when it was last asked about.
    has_moved: bool,
}

impl Scope {
    /// Takes the machine, if it has Scope's program.
    pub fn take_machine(&mut self, machine: &Machine) {
        if machine.has_program(&SCOPE_PROGRAM_ID) {
            self.machine = Some(machine.clone());
            self.stale_all();
        }
    }

    fn stale_all(&mut self) {
        let units = self.tables.values_mut().flat_map(|table| table.units.values_mut());
        units.for_each(|unit| unit.is_stale = true);
    }

    /// Everything that telling takes, as far as is known; ask again when that is read.
    ///
    /// # Errors
    /// A reserve is none.
    pub fn needs(&mut self, known: &Known<'_>) -> Result<Vec<Address>> {
        let mut needs = vec![SCOPE_PROGRAM_ID];
        for market in known.markets {
            for (reserve, account) in market.reserves()? {
                let Some((key, chain)) = price::scope_chain(&account.config.token_info) else {
                    continue;
                };
                // What is no price table klend does not read either.
                let Some(mappings) = market
                    .account(&key)
                    .and_then(|table| Feed::mappings_of(&key, &table.owner, &table.data).ok())
                else {
                    continue;
                };
                let table = self.tables.entry(key).or_default();
                if table.mappings != mappings {
                    *table = Table { mappings, ..Table::default() };
                }
                needs.push(mappings);
                let Some(Some(twaps)) = table.averages else { continue };
                needs.push(twaps);
                let feed = Feed { prices: key, mappings, twaps };
                for index in chain {
                    if table.refused.contains(&index) {
                        continue;
                    }
                    match unit(&feed, index, known) {
                        Ok(Some(unit)) => {
                            needs.extend(unit.sources());
                            self.sources.extend(unit.sources());
                            let is_known = |old: &Unit| old.instruction == unit.instruction;
                            if !table.units.get(&index).is_some_and(is_known) {
                                table.units.insert(index, unit);
                            }
                        }
                        Ok(None) => {}
                        Err(ScopeError::Unread { account, .. }) => needs.push(account),
                        Err(refusal) => {
                            table.refused.insert(index);
                            self.refusals.push((reserve, refusal));
                        }
                    }
                }
            }
        }
        Ok(needs)
    }

    /// Reads everything that telling takes.
    ///
    /// # Errors
    /// The source cannot be asked; a reserve is none; mappings name accounts without end.
    pub fn read(
        &mut self,
        source: &dyn Source,
        markets: &[&Market],
        accounts: &mut Accounts,
    ) -> Result<()> {
        for _ in 0..=ROUNDS {
            let needs = self.needs(&Known { markets, accounts })?;
            let (unread, unfound) = (accounts.unread(needs), self.unfound());
            if unread.is_empty() && unfound.is_empty() {
                return Ok(());
            }
            accounts.read(source, &unread)?;
            for (table, averages) in averages(source, &unfound)? {
                self.found(&table, averages);
            }
        }
        bail!("Scope's mappings name accounts without end")
    }

    /// Accounts that refreshes of these reserves' prices name.
    pub fn mentioned<'a>(&self, reserves: impl Iterator<Item = &'a Reserve>) -> Vec<Address> {
        let mut mentioned = BTreeSet::new();
        for (table, chain) in reserves.filter_map(|it| price::scope_chain(&it.config.token_info)) {
            let units = self.tables.get(&table).map(|table| &table.units);
            let units =
                units.into_iter().flat_map(|of| chain.iter().filter_map(move |at| of.get(at)));
            let accounts = units.flat_map(|unit| &unit.instruction.accounts);
            mentioned.extend(accounts.map(|meta| meta.pubkey));
        }
        mentioned.into_iter().collect()
    }

    /// Tables whose averages nobody has looked for.
    pub fn unfound(&self) -> Vec<Address> {
        let unfound = self.tables.iter().filter(|(_, table)| table.averages.is_none());
        unfound.map(|(key, _)| *key).collect()
    }

    /// Looks for averages again that were not found: one answer may be wrong.
    pub fn look_again(&mut self) {
        for table in self.tables.values_mut() {
            table.averages = table.averages.flatten().map(Some);
        }
    }

    /// Where the averages of a table are.
    pub fn found(&mut self, table: &Address, averages: Option<Address>) {
        if let Some(table) = self.tables.get_mut(table) {
            table.averages = Some(averages);
        }
    }

    /// Why prices cannot be written here, each once.
    pub fn refusals(&mut self) -> Refusals {
        std::mem::take(&mut self.refusals)
    }

    /// The accounts that entries are written from.
    pub fn sources(&self) -> impl Iterator<Item = &Address> {
        self.sources.iter()
    }

    /// Whether entries are written from an account.
    pub fn is_source(&self, key: &Address) -> bool {
        self.sources.contains(key)
    }

    /// An account is another than it was; `true` if something may be written otherwise.
    pub fn changed(&mut self, key: &Address) -> bool {
        let mut concerns = false;
        for (at, table) in &mut self.tables {
            if *key == table.mappings {
                (table.units, table.refused) = (BTreeMap::new(), BTreeSet::new());
                concerns = true;
            }
            for unit in table.units.values_mut() {
                // What entries are computed from stands in the table itself.
                let is_computed = unit.sources().any(|source| *source == SCOPE_PROGRAM_ID);
                if unit.sources().any(|source| source == key) || at == key && is_computed {
                    (unit.is_stale, concerns) = (true, true);
                }
            }
            // Another price may stand there now.
            if at == key {
                (self.has_moved, concerns) = (true, true);
            }
        }
        concerns
    }

    /// Whether something is to be asked or looked at.
    pub fn is_pending(&self) -> bool {
        let mut units = self.tables.values().flat_map(|table| table.units.values());
        self.machine.is_some() && (self.has_moved || units.any(|unit| unit.is_stale))
    }

    /// Asks the machine about entries that may be written otherwise, a few at a time;
    /// `true` if something is.
    pub fn foresee(&mut self, known: &Known<'_>) -> bool {
        let Self { tables, machine, has_moved, .. } = self;
        let Some(machine) = machine else { return false };
        let units = tables
            .iter_mut()
            .flat_map(|(key, table)| table.units.values_mut().map(move |unit| (*key, unit)));
        let mut moved = std::mem::take(has_moved);
        for (table, unit) in units.filter(|(_, unit)| unit.is_stale).take(RUNS) {
            unit.is_stale = false;
            let after = run(machine, &table, &unit.instruction, known);
            // Scope says of one entry that its price is not valid: nothing is written.
            let written = after.map(|after| written(&after.data, &unit.order)).unwrap_or_default();
            moved |= written != unit.written;
            unit.written = written;
        }
        moved
    }

    /// What is worth writing for these reserves of a market: each entry whose price would
    /// move, the smallest first, then all of those; with `all`, every entry they read as
    /// well, which dates prices that are too old.
    pub fn choices<'a>(
        &self,
        market: &Market,
        reserves: impl IntoIterator<Item = &'a Reserve>,
        all: bool,
    ) -> Vec<Choice> {
        let mut read: BTreeMap<Address, BTreeSet<u16>> = BTreeMap::new();
        for reserve in reserves {
            if let Some((table, chain)) = price::scope_chain(&reserve.config.token_info) {
                read.entry(table).or_default().extend(chain);
            }
        }
        let mut choices: Vec<Choice> = Vec::new();
        for (key, entries) in read {
            let (Some(table), Some(account)) = (self.tables.get(&key), market.account(&key)) else {
                continue;
            };
            let units =
                || entries.iter().filter_map(|index| Some((*index, table.units.get(index)?)));
            let mut moving: Vec<(usize, u16)> = units()
                .filter(|(_, unit)| unit.moves(&account.data))
                .map(|(index, unit)| (unit.instruction.accounts.len(), index))
                .collect();
            moving.sort_unstable();
            let moving: Vec<u16> = moving.into_iter().map(|(_, index)| index).collect();
            let writable = units().filter(|(_, unit)| !unit.written.is_empty());
            let writable: Vec<u16> = writable.map(|(index, _)| index).collect();
            let mut wanted: Vec<Vec<u16>> = moving.iter().map(|index| vec![*index]).collect();
            wanted.push(moving);
            if all {
                wanted.push(writable);
            }
            for entries in wanted.into_iter().filter(|entries| !entries.is_empty()) {
                let choice = Choice { table: key, entries };
                if !choices.contains(&choice) {
                    choices.push(choice);
                }
            }
        }
        choices
    }

    /// A refresh, and what it is expected to make of the table: what the machine said of
    /// each entry by itself.
    ///
    /// # Errors
    /// An account was not read.
    pub fn expected(&self, choice: &Choice, known: &Known<'_>) -> Result<Written> {
        let (table, entries, instruction) = self.refresh(choice, known)?;
        let mut account = known.need("price table", &choice.table)?.clone();
        let units = choice.entries.iter().filter_map(|index| table.units.get(index));
        for (index, entry) in units.flat_map(|unit| &unit.written) {
            let at = HEADER + usize::from(*index) * ENTRY;
            if let Some(place) = account.data.get_mut(at..at + ENTRY) {
                place.copy_from_slice(entry);
            }
        }
        Ok(Written { table: choice.table, entries, instruction, account })
    }

    /// The refresh, and what the machine says it makes of the table.
    ///
    /// # Errors
    /// Scope refuses it; an account was not read.
    pub fn write(&mut self, choice: &Choice, known: &Known<'_>) -> Result<Written> {
        let (_, entries, instruction) = self.refresh(choice, known)?;
        let machine = self.machine.as_mut().context("there is no machine with Scope's program")?;
        let account = run(machine, &choice.table, &instruction, known)?;
        Ok(Written { table: choice.table, entries, instruction, account })
    }

    fn refresh(
        &self,
        choice: &Choice,
        known: &Known<'_>,
    ) -> Result<(&Table, Vec<u16>, Instruction)> {
        let table = self.tables.get(&choice.table);
        let table = table.with_context(|| format!("price table {} is not known", choice.table))?;
        let twaps = table.averages.flatten().context("the price table has no averages")?;
        let feed = Feed { prices: choice.table, mappings: table.mappings, twaps };
        let (entries, instruction) = refresh(&feed, &choice.entries, known)?
            .context("the mappings of the price table were not read")?;
        Ok((table, entries, instruction))
    }
}

/// Reads where the averages of price tables are.
///
/// # Errors
/// The source cannot be asked.
pub fn averages(
    source: &dyn Source,
    tables: &[Address],
) -> Result<Vec<(Address, Option<Address>)>> {
    tables
        .iter()
        .map(|table| {
            let found = source.program_accounts(&SCOPE_PROGRAM_ID, Filter::averages(table))?;
            Ok((*table, found.first().map(|(key, _)| *key)))
        })
        .collect()
}

fn unit(feed: &Feed, index: u16, known: &Known<'_>) -> Result<Option<Unit>, ScopeError> {
    let refresh = refresh(feed, &[index], known)?;
    Ok(refresh.map(|(order, instruction)| Unit {
        order,
        instruction,
        is_stale: true,
        written: Vec::new(),
    }))
}

/// The entries that are written for those wanted, and the instruction; `None` before the
/// mappings are read.
fn refresh(
    feed: &Feed,
    wanted: &[u16],
    known: &Known<'_>,
) -> Result<Option<(Vec<u16>, Instruction)>, ScopeError> {
    let Some(account) = known.get(&feed.mappings) else { return Ok(None) };
    let mappings = Mappings::read(&feed.mappings, &account.owner, &account.data)?;
    let entries = mappings.with_sources(wanted)?;
    let read = |key: &Address| known.get(key).map(|account| &account.data[..]);
    let instruction = refresh_price_list(feed, &mappings, &entries, read)?;
    Ok(Some((entries, instruction)))
}

/// The table after an instruction, by Scope's own program.
fn run(
    machine: &mut Machine,
    table: &Address,
    instruction: &Instruction,
    known: &Known<'_>,
) -> Result<Account> {
    let Clock { slot, unix_timestamp } = known.clock();
    machine.set_clock(slot, i64::try_from(unix_timestamp)?);
    for (at, meta) in instruction.accounts.iter().enumerate() {
        // The instructions sysvar is the machine's.
        if at == FIXED_ACCOUNTS - 1 || meta.pubkey == SCOPE_PROGRAM_ID {
            continue;
        }
        machine.set(&meta.pubkey, Some(known.need("account", &meta.pubkey)?))?;
    }
    let payer =
        Account { lamports: 1_000_000_000, owner: system_program::ID, ..Account::default() };
    machine.set(&PAYER, Some(&payer))?;
    let budget = flash_liquidator_client::compute_budget::ComputeBudget {
        unit_limit: Some(UNITS),
        unit_price: 0,
    };
    let mut instructions: Vec<Instruction> = budget.instructions();
    instructions.push(instruction.clone());
    machine
        .account_after(&PAYER, &instructions, table)
        .map_err(|error| anyhow!("Scope would not write it: {error}"))
}

/// Entries of a table.
fn written(table: &[u8], entries: &[u16]) -> Vec<(u16, [u8; ENTRY])> {
    let entry = |index: &u16| {
        let entry = table.get(HEADER + usize::from(*index) * ENTRY..)?.first_chunk()?;
        Some((*index, *entry))
    };
    entries.iter().filter_map(entry).collect()
}
