//! The ledger's file: one row for every attempt, in SQLite.
//!
//! Rows are written as they begin, and completed as they end. Every statement says the
//! same when it is said twice, so a write that failed half way is simply repeated.
//! Amounts in raw units are text: they do not all fit SQLite's integers.

use std::{
    fs::{File, OpenOptions, TryLockError},
    path::Path,
    time::Duration,
};

use anyhow::{Context as _, Result, bail};
use rusqlite::{Connection, OpenFlags, params};

use super::record::{Begun, Ended};

/// `PRAGMA application_id` of a ledger: "klfL".
const APPLICATION: i64 = 0x6b6c_664c;
/// `PRAGMA user_version` of the tables below.
const VERSION: i64 = 1;
/// How long a reader may hold the file up.
const BUSY: Duration = Duration::from_secs(5);

const TABLES: &str = "
CREATE TABLE attempts (
    id INTEGER PRIMARY KEY,
    -- Unix time, milliseconds.
    begun_ms INTEGER NOT NULL,
    market TEXT NOT NULL,
    obligation TEXT NOT NULL,
    slot INTEGER NOT NULL,
    quoted_usd REAL NOT NULL,
    sends INTEGER NOT NULL,
    signature TEXT,
    ended_ms INTEGER,
    outcome TEXT,
    code TEXT,
    reason TEXT,
    road TEXT,
    venue TEXT,
    debt_mint TEXT,
    debt_decimals INTEGER,
    debt_price REAL,
    collateral_mint TEXT,
    sol_price REAL,
    loan TEXT,
    flash_fee TEXT,
    quoted_repaid TEXT,
    quoted_received TEXT,
    quoted_profit TEXT,
    repaid TEXT,
    received TEXT,
    profit TEXT,
    profit_usd REAL,
    fee_lamports INTEGER,
    tip_lamports INTEGER,
    rent_lamports INTEGER,
    costs_usd REAL,
    units INTEGER,
    landed_slot INTEGER,
    update_to_bytes_us INTEGER,
    bytes_to_landed_ms INTEGER,
    slots_behind INTEGER
) STRICT;
CREATE INDEX attempts_begun ON attempts (begun_ms);
";

/// Something to write.
#[derive(Debug)]
pub enum Entry {
    Begun { id: i64, at_ms: i64, begun: Begun },
    Signed { id: i64, signature: String },
    Ended { id: i64, at_ms: i64, ended: Box<Ended> },
}

/// The file, to be written by one process at a time.
pub struct Store {
    connection: Connection,
    /// Held as long as the file is written.
    _lock: File,
}

/// An integer as SQLite has them; nothing here comes near their end.
fn integer(value: u64) -> i64 {
    i64::try_from(value).unwrap_or(i64::MAX)
}

impl Store {
    /// Opens the ledger, or begins one. Attempts that were under way when the last
    /// process ended become `unknown`.
    ///
    /// # Errors
    /// When it is no ledger, of a later version, or another process writes it.
    pub fn open(path: &Path) -> Result<Self> {
        let shown = || format!("ledger {}", path.display());
        let mut beside = path.as_os_str().to_owned();
        beside.push(".lock");
        let lock = OpenOptions::new().create(true).truncate(false).write(true).open(&beside);
        let lock = lock.with_context(shown)?;
        match lock.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => bail!("{}: another keeper writes it", shown()),
            Err(TryLockError::Error(error)) => return Err(error).with_context(shown),
        }
        let connection = Connection::open(path).with_context(shown)?;
        let mut store = Self { connection, _lock: lock };
        store.prepare().with_context(shown)?;
        Ok(store)
    }

    fn prepare(&mut self) -> Result<()> {
        self.connection.busy_timeout(BUSY)?;
        // A commit is on the disk before it returns; readers are never in the way.
        self.connection.pragma_update(None, "journal_mode", "WAL")?;
        self.connection.pragma_update(None, "synchronous", "FULL")?;
        let transaction = self.connection.transaction()?;
        let tables: i64 =
            transaction.query_one("SELECT count(*) FROM sqlite_schema", [], |row| row.get(0))?;
        if tables == 0 {
            transaction.execute_batch(TABLES)?;
            transaction.pragma_update(None, "application_id", APPLICATION)?;
            transaction.pragma_update(None, "user_version", VERSION)?;
        } else {
            check(&transaction)?;
        }
        transaction.execute(
            "UPDATE attempts SET outcome = 'unknown', code = 'process_ended',
                reason = 'the keeper ended before it was known' WHERE outcome IS NULL",
            [],
        )?;
        transaction.commit()?;
        Ok(())
    }

    /// The id that no row has yet.
    pub fn next_id(&self) -> Result<i64> {
        let next = "SELECT coalesce(max(id), 0) + 1 FROM attempts";
        Ok(self.connection.query_one(next, [], |row| row.get(0))?)
    }

    /// Writes all of `entries`, durably, or none.
    pub fn write(&mut self, entries: &[Entry]) -> rusqlite::Result<()> {
        let transaction = self.connection.transaction()?;
        for entry in entries {
            match entry {
                Entry::Begun { id, at_ms, begun } => {
                    transaction
                        .prepare_cached(
                            "INSERT INTO attempts
                                (id, begun_ms, market, obligation, slot, quoted_usd, sends)
                             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7) ON CONFLICT (id) DO NOTHING",
                        )?
                        .execute(params![
                            id,
                            at_ms,
                            begun.market.to_string(),
                            begun.obligation.to_string(),
                            integer(begun.slot),
                            begun.quoted_usd,
                            begun.sends,
                        ])?;
                }
                Entry::Signed { id, signature } => {
                    transaction
                        .prepare_cached("UPDATE attempts SET signature = ?2 WHERE id = ?1")?
                        .execute(params![id, signature])?;
                }
                Entry::Ended { id, at_ms, ended } => end(&transaction, *id, *at_ms, ended)?,
            }
        }
        transaction.commit()
    }

    /// Lets the file grow to so many pages and no further: a full disk.
    #[cfg(test)]
    pub fn limit_pages(&self, pages: i64) {
        self.connection.pragma_update(None, "max_page_count", pages).unwrap();
    }
}

fn end(connection: &Connection, id: i64, at_ms: i64, ended: &Ended) -> rusqlite::Result<()> {
    let numbers = &ended.numbers;
    let costs = numbers.costs;
    // Figures of what never got to a quote are not there, rather than zero.
    let quoted = (numbers.debt_mint != Default::default()).then_some(numbers);
    let text = |of: &dyn Fn(&super::record::Numbers) -> String| quoted.map(of);
    connection
        .prepare_cached(
            "UPDATE attempts SET ended_ms = ?2, outcome = ?3, code = ?4, reason = ?5,
                signature = coalesce(?6, signature), road = ?7, venue = ?8, debt_mint = ?9,
                debt_decimals = ?10, debt_price = ?11, collateral_mint = ?12, sol_price = ?13,
                loan = ?14, flash_fee = ?15, quoted_repaid = ?16, quoted_received = ?17,
                quoted_profit = ?18, repaid = ?19, received = ?20, profit = ?21,
                profit_usd = ?22, fee_lamports = ?23, tip_lamports = ?24, rent_lamports = ?25,
                costs_usd = ?26, units = ?27, landed_slot = ?28, update_to_bytes_us = ?29,
                bytes_to_landed_ms = ?30, slots_behind = ?31
             WHERE id = ?1",
        )?
        .execute(params![
            id,
            at_ms,
            ended.outcome.label(),
            ended.code,
            ended.reason,
            ended.signature,
            numbers.road,
            numbers.venue,
            text(&|of| of.debt_mint.to_string()),
            quoted.map(|of| of.debt_decimals),
            quoted.map(|of| of.debt_price),
            text(&|of| of.collateral_mint.to_string()),
            numbers.sol_price,
            text(&|of| of.loan.to_string()),
            text(&|of| of.flash_fee.to_string()),
            text(&|of| of.quoted.0.to_string()),
            text(&|of| of.quoted.1.to_string()),
            text(&|of| of.quoted.2.to_string()),
            numbers.repaid.map(|amount| amount.to_string()),
            numbers.received.map(|amount| amount.to_string()),
            numbers.profit.map(|amount| amount.to_string()),
            numbers.profit_usd(),
            integer(costs.fee),
            integer(costs.tip),
            integer(costs.rent),
            numbers.usd(costs.fee + costs.tip + costs.rent),
            numbers.units.map(integer),
            numbers.landed_slot.map(integer),
            numbers.update_to_bytes.map(|time| integer(time.as_micros() as u64)),
            numbers.bytes_to_landed.map(|time| integer(time.as_millis() as u64)),
            numbers.slots_behind.map(integer),
        ])?;
    Ok(())
}

/// Opens a ledger to read it; a keeper may be writing it.
///
/// # Errors
/// When there is none, or it is of a later version.
pub fn open_to_read(path: &Path) -> Result<Connection> {
    let shown = || format!("ledger {}", path.display());
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = Connection::open_with_flags(path, flags).with_context(shown)?;
    connection.busy_timeout(BUSY)?;
    check(&connection).with_context(shown)?;
    Ok(connection)
}

fn check(connection: &Connection) -> Result<()> {
    let pragma = |name: &str| connection.pragma_query_value(None, name, |row| row.get::<_, i64>(0));
    let (application, version) = (pragma("application_id")?, pragma("user_version")?);
    if application != APPLICATION {
        bail!("it is no keeper's ledger: application id {application:#x}, not {APPLICATION:#x}");
    }
    if version != VERSION {
        bail!("it has version {version}, this keeper writes and reads {VERSION}");
    }
    Ok(())
}
