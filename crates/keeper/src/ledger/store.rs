//! The ledger's file, in SQLite: one row for every attempt, for every span of slots in which
//! an obligation was left alone for one reason, and for every run of a keeper.
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

use super::record::{Begun, Declined, Ended, Run};

/// `PRAGMA application_id` of a ledger: "klfL".
const APPLICATION: i64 = 0x6b6c_664c;
/// `PRAGMA user_version` of the tables below. The first had attempts alone.
const VERSION: i64 = 2;
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

const TABLES_SINCE_2: &str = "
CREATE TABLE declined (
    id INTEGER PRIMARY KEY,
    -- When it was first left alone, when last, and until when at least; Unix time, milliseconds.
    begun_ms INTEGER NOT NULL,
    last_ms INTEGER NOT NULL,
    until_ms INTEGER NOT NULL,
    market TEXT NOT NULL,
    obligation TEXT NOT NULL,
    slot INTEGER NOT NULL,
    last_slot INTEGER NOT NULL,
    code TEXT NOT NULL,
    -- As they were last.
    reason TEXT NOT NULL,
    debt_usd REAL NOT NULL,
    quoted_usd REAL,
    short_usd REAL
) STRICT;
CREATE INDEX declined_obligation ON declined (obligation, code, last_slot);
CREATE INDEX declined_last ON declined (last_ms);
CREATE TABLE runs (
    id INTEGER PRIMARY KEY,
    begun_ms INTEGER NOT NULL,
    -- When it was last seen alive.
    last_ms INTEGER NOT NULL,
    markets TEXT NOT NULL,
    min_debt_usd REAL NOT NULL,
    sends INTEGER NOT NULL
) STRICT;
";

/// Slots after which an obligation that is left alone for the same reason is so anew.
pub const GAP: u64 = 600;
/// How long it is remembered what was left alone, milliseconds, and how many rows of it.
const REMEMBERED_MS: i64 = 30 * 24 * 60 * 60 * 1_000;
const REMEMBERED: i64 = 200_000;

/// Something to write.
#[derive(Debug)]
pub enum Entry {
    Begun {
        id: i64,
        at_ms: i64,
        begun: Begun,
    },
    Signed {
        id: i64,
        signature: String,
    },
    Ended {
        id: i64,
        at_ms: i64,
        ended: Box<Ended>,
    },
    /// A keeper begins to watch.
    Run {
        at_ms: i64,
        run: Run,
    },
    /// Nothing: what was left alone is written before this counts as written.
    Settle,
}

/// The file, to be written by one process at a time.
pub struct Store {
    connection: Connection,
    /// The row of this process' run.
    run: Option<i64>,
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
        let mut store = Self { connection, run: None, _lock: lock };
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
        }
        if tables == 0 || check(&transaction)? < 2 {
            transaction.execute_batch(TABLES_SINCE_2)?;
            transaction.pragma_update(None, "user_version", VERSION)?;
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
        let mut begun_run = None;
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
                Entry::Run { at_ms, run } => {
                    let markets: Vec<String> =
                        run.markets.iter().map(ToString::to_string).collect();
                    transaction
                        .prepare_cached(
                            "INSERT INTO runs (begun_ms, last_ms, markets, min_debt_usd, sends)
                             VALUES (?1, ?1, ?2, ?3, ?4)",
                        )?
                        .execute(params![at_ms, markets.join(" "), run.min_debt_usd, run.sends])?;
                    begun_run = Some(transaction.last_insert_rowid());
                }
                Entry::Settle => {}
            }
        }
        transaction.commit()?;
        self.run = begun_run.or(self.run);
        Ok(())
    }

    /// Writes what was left alone: a span goes on while one comes within [`GAP`] slots, or
    /// before the rest that the last began is over. What is too old to be remembered goes.
    ///
    /// # Errors
    /// When nothing of it was written.
    pub fn write_declined(&mut self, all: &[(i64, Declined)]) -> rusqlite::Result<()> {
        let transaction = self.connection.transaction()?;
        let mut newest = 0;
        for (at_ms, of) in all {
            let rests = i64::try_from(of.rests.as_millis()).unwrap_or(i64::MAX);
            let until = at_ms.saturating_add(rests);
            let (obligation, code) = (of.obligation.to_string(), of.why.code());
            let (slot, since) = (integer(of.slot), integer(of.slot.saturating_sub(GAP)));
            newest = newest.max(*at_ms);
            let goes_on = transaction
                .prepare_cached(
                    "UPDATE declined SET last_ms = ?4, until_ms = ?5, last_slot = ?6,
                        reason = ?7, debt_usd = ?8, quoted_usd = ?9, short_usd = ?10
                     WHERE id = (SELECT id FROM declined WHERE obligation = ?1 AND code = ?2
                         AND (last_slot >= ?3 OR until_ms >= ?4)
                         ORDER BY last_slot DESC, id DESC LIMIT 1)",
                )?
                .execute(params![
                    obligation,
                    code,
                    since,
                    at_ms,
                    until,
                    slot,
                    of.reason,
                    of.debt_usd,
                    of.quoted_usd,
                    of.short_usd,
                ])?;
            if goes_on == 0 {
                transaction
                    .prepare_cached(
                        "INSERT INTO declined (begun_ms, last_ms, until_ms, market, obligation,
                            slot, last_slot, code, reason, debt_usd, quoted_usd, short_usd)
                         VALUES (?1, ?1, ?2, ?3, ?4, ?5, ?5, ?6, ?7, ?8, ?9, ?10)",
                    )?
                    .execute(params![
                        at_ms,
                        until,
                        of.market.to_string(),
                        obligation,
                        slot,
                        code,
                        of.reason,
                        of.debt_usd,
                        of.quoted_usd,
                        of.short_usd,
                    ])?;
            }
        }
        transaction
            .prepare_cached("DELETE FROM declined WHERE last_ms < ?1")?
            .execute([newest.saturating_sub(REMEMBERED_MS)])?;
        transaction
            .prepare_cached("DELETE FROM declined WHERE id <= (SELECT max(id) FROM declined) - ?1")?
            .execute([REMEMBERED])?;
        transaction.commit()
    }

    /// Notes that the keeper still runs.
    pub fn alive(&self, now_ms: i64) -> rusqlite::Result<()> {
        let Some(run) = self.run else { return Ok(()) };
        self.connection
            .prepare_cached("UPDATE runs SET last_ms = ?2 WHERE id = ?1")?
            .execute([run, now_ms])?;
        Ok(())
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

/// The version of a ledger that can be read.
fn check(connection: &Connection) -> Result<i64> {
    let pragma = |name: &str| connection.pragma_query_value(None, name, |row| row.get::<_, i64>(0));
    let (application, version) = (pragma("application_id")?, pragma("user_version")?);
    if application != APPLICATION {
        bail!("it is no keeper's ledger: application id {application:#x}, not {APPLICATION:#x}");
    }
    if !(1..=VERSION).contains(&version) {
        bail!("it has version {version}, this keeper writes and reads {VERSION}");
    }
    Ok(version)
}

/// Whether a ledger has what was left alone: those of the first version have not.
pub fn has_declined(connection: &Connection) -> Result<bool> {
    Ok(check(connection)? >= 2)
}
