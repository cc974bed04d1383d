//! The ledger added up.

use std::fmt;

use anyhow::{Context as _, Result, bail};
use clap::ValueEnum;
use rusqlite::{Connection, Row, Statement, ToSql, params, types::ValueRef};
use serde::Serialize;
use serde_json::{Map, Value};
use solana_address::Address;

use super::store::has_declined;

/// What rows are put together by.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum By {
    /// Day, UTC.
    Day,
    Market,
    /// Token of the debt.
    Mint,
    Venue,
    /// Ways the transaction went: node, engine, both, or none.
    Road,
}

impl By {
    /// The SQL expression that names a row's group.
    const fn expression(self) -> &'static str {
        match self {
            Self::Day => "date(begun_ms / 1000, 'unixepoch')",
            Self::Market => "market",
            Self::Mint => "coalesce(debt_mint, '-')",
            Self::Venue => "coalesce(nullif(venue, ''), '-')",
            Self::Road => "coalesce(road, '-')",
        }
    }
}

impl fmt::Display for By {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Day => "day",
            Self::Market => "market",
            Self::Mint => "mint",
            Self::Venue => "venue",
            Self::Road => "road",
        })
    }
}

/// Sums over a group of attempts. Money is of transactions that were executed on chain;
/// `simulated_usd` is what nobody earned.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Line {
    pub group: String,
    pub attempts: u64,
    pub liquidated: u64,
    pub simulated: u64,
    pub lost_races: u64,
    pub healthy_again: u64,
    pub failed: u64,
    pub unknown: u64,
    /// Too little profit, refused, or held back: nothing was sent.
    pub not_sent: u64,
    /// Profit after loan and flash fee.
    pub profit_usd: f64,
    pub fee_lamports: u64,
    pub tip_lamports: u64,
    pub rent_lamports: u64,
    /// Fees, tips and rent, where the price of SOL was known.
    pub costs_usd: f64,
    /// Executed attempts whose costs are in lamports only.
    pub unpriced: u64,
    /// What is left after every cost.
    pub net_usd: f64,
    pub simulated_usd: f64,
}

const SUMS: &str = "
    count(*),
    count(*) FILTER (WHERE outcome = 'liquidated'),
    count(*) FILTER (WHERE outcome = 'simulated'),
    count(*) FILTER (WHERE outcome = 'lost_race'),
    count(*) FILTER (WHERE outcome = 'healthy_again'),
    count(*) FILTER (WHERE outcome IN ('failed', 'expired')),
    count(*) FILTER (WHERE outcome = 'unknown'),
    count(*) FILTER (WHERE outcome IN ('too_little', 'refused', 'held_back', 'ready')),
    coalesce(sum(profit_usd) FILTER (WHERE landed_slot IS NOT NULL), 0.0),
    coalesce(sum(fee_lamports) FILTER (WHERE landed_slot IS NOT NULL), 0),
    coalesce(sum(tip_lamports) FILTER (WHERE landed_slot IS NOT NULL), 0),
    coalesce(sum(rent_lamports) FILTER (WHERE landed_slot IS NOT NULL), 0),
    coalesce(sum(costs_usd) FILTER (WHERE landed_slot IS NOT NULL), 0.0),
    count(*) FILTER (WHERE landed_slot IS NOT NULL AND costs_usd IS NULL),
    coalesce(sum(profit_usd) FILTER (WHERE outcome = 'simulated'), 0.0)";

fn line(row: &Row<'_>) -> rusqlite::Result<Line> {
    let count = |at: usize| row.get::<_, i64>(at).map(i64::unsigned_abs);
    let (profit_usd, costs_usd) = (row.get(9)?, row.get(13)?);
    Ok(Line {
        group: row.get(0)?,
        attempts: count(1)?,
        liquidated: count(2)?,
        simulated: count(3)?,
        lost_races: count(4)?,
        healthy_again: count(5)?,
        failed: count(6)?,
        unknown: count(7)?,
        not_sent: count(8)?,
        profit_usd,
        fee_lamports: count(10)?,
        tip_lamports: count(11)?,
        rent_lamports: count(12)?,
        costs_usd,
        unpriced: count(14)?,
        net_usd: profit_usd - costs_usd,
        simulated_usd: row.get(15)?,
    })
}

/// One line per group of the attempts that began at `since_ms` and later, and one over
/// all of them, named `all`.
pub fn lines(ledger: &Connection, since_ms: i64, by: By) -> Result<(Vec<Line>, Line)> {
    let query = |group: &str| format!("SELECT {group}, {SUMS} FROM attempts WHERE begun_ms >= ?1");
    let groups = format!("{} GROUP BY 1 ORDER BY 1", query(by.expression()));
    let mut statement = ledger.prepare(&groups)?;
    let lines = statement.query_map([since_ms], line)?.collect::<rusqlite::Result<_>>()?;
    Ok((lines, ledger.query_row(&query("'all'"), [since_ms], line)?))
}

/// Profit after every cost, US dollars, of each executed transaction in turn: when it
/// ended, Unix time in seconds, and the sum up to then.
pub fn earned(ledger: &Connection, since_ms: i64) -> Result<Vec<(f64, f64)>> {
    let mut statement = ledger.prepare(
        "SELECT ended_ms, coalesce(profit_usd, 0.0) - coalesce(costs_usd, 0.0) FROM attempts
         WHERE begun_ms >= ?1 AND landed_slot IS NOT NULL ORDER BY ended_ms, id",
    )?;
    let mut sum = 0.0;
    let points = statement.query_map([since_ms], |row| {
        sum += row.get::<_, f64>(1)?;
        Ok((row.get::<_, i64>(0)? as f64 / 1e3, sum))
    })?;
    Ok(points.collect::<rusqlite::Result<_>>()?)
}

/// An attempt as a race is compared with it.
#[derive(Clone, Debug, PartialEq)]
pub struct Tried {
    /// Slot of the prices it was decided on.
    pub slot: u64,
    /// Unix time, milliseconds.
    pub begun_ms: i64,
    pub quoted_usd: f64,
    /// `None` while it is under way.
    pub outcome: Option<String>,
    pub code: Option<String>,
    pub signature: Option<String>,
    pub landed_slot: Option<u64>,
}

/// The attempt on an obligation between two slots that came furthest: one that was sent,
/// or else the first.
pub fn tried(
    ledger: &Connection,
    obligation: &Address,
    from: u64,
    to: u64,
) -> Result<Option<Tried>> {
    let mut statement = ledger.prepare_cached(
        "SELECT slot, begun_ms, quoted_usd, outcome, code, signature, landed_slot FROM attempts
         WHERE obligation = ?1 AND slot BETWEEN ?2 AND ?3
         ORDER BY landed_slot IS NULL, signature IS NULL, id LIMIT 1",
    )?;
    let bounds = [from, to].map(|slot| i64::try_from(slot).unwrap_or(i64::MAX));
    let found =
        statement.query_map(params![obligation.to_string(), bounds[0], bounds[1]], |row| {
            let slot =
                |at: usize| row.get::<_, Option<i64>>(at).map(|slot| slot.map(i64::unsigned_abs));
            Ok(Tried {
                slot: slot(0)?.unwrap_or_default(),
                begun_ms: row.get(1)?,
                quoted_usd: row.get(2)?,
                outcome: row.get(3)?,
                code: row.get::<_, Option<String>>(4)?.filter(|code| !code.is_empty()),
                signature: row.get(5)?,
                landed_slot: slot(6)?,
            })
        })?;
    Ok(found.collect::<rusqlite::Result<Vec<_>>>()?.pop())
}

/// What is known of an obligation that was left alone.
#[derive(Clone, Debug, PartialEq)]
pub struct LeftAlone {
    /// Slots in which it was seen so, the first and the last.
    pub slots: (u64, u64),
    pub code: String,
    /// In words and figures, as it was last.
    pub reason: String,
    pub debt_usd: f64,
    pub quoted_usd: Option<f64>,
    pub short_usd: Option<f64>,
    /// Until when nobody looked at it again, Unix time, milliseconds.
    pub until_ms: i64,
}

/// Why an obligation was left alone at a slot: as it was seen last, at most `around` slots
/// before, or, at `at_ms`, while it rested.
pub fn left_alone(
    ledger: &Connection,
    obligation: &Address,
    slot: u64,
    around: u64,
    at_ms: Option<i64>,
) -> Result<Option<LeftAlone>> {
    if !has_declined(ledger)? {
        return Ok(None);
    }
    let mut statement = ledger.prepare_cached(
        "SELECT slot, last_slot, code, reason, debt_usd, quoted_usd, short_usd, until_ms
         FROM declined
         WHERE obligation = ?1 AND slot <= ?2 AND (last_slot >= ?3 OR until_ms >= ?4)
         ORDER BY min(last_slot, ?2) DESC, id DESC LIMIT 1",
    )?;
    let bounds =
        [slot, slot.saturating_sub(around)].map(|slot| i64::try_from(slot).unwrap_or(i64::MAX));
    let at_ms = at_ms.unwrap_or(i64::MAX);
    let found = statement.query_map(
        params![obligation.to_string(), bounds[0], bounds[1], at_ms],
        |row| {
            let slot = |at: usize| row.get::<_, i64>(at).map(i64::unsigned_abs);
            Ok(LeftAlone {
                slots: (slot(0)?, slot(1)?),
                code: row.get(2)?,
                reason: row.get(3)?,
                debt_usd: row.get(4)?,
                quoted_usd: row.get(5)?,
                short_usd: row.get(6)?,
                until_ms: row.get(7)?,
            })
        },
    )?;
    Ok(found.collect::<rusqlite::Result<Vec<_>>>()?.pop())
}

/// What keepers that wrote the ledger looked for at a moment.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Watching {
    /// The ledger does not tell: it is of an earlier version.
    Unknown,
    /// None ran, or it watched other markets.
    Not,
    /// Debts of at least so many US dollars.
    From(f64),
}

/// Whether a market was watched at a Unix time in milliseconds. A run that ended without a
/// word may have gone on for a minute longer than is known.
pub fn watching(ledger: &Connection, market: &Address, at_ms: i64) -> Result<Watching> {
    const UNKNOWN_END: i64 = 60_000;
    if !has_declined(ledger)? {
        return Ok(Watching::Unknown);
    }
    let mut statement = ledger.prepare_cached(
        "SELECT min_debt_usd FROM runs
         WHERE begun_ms <= ?1 AND last_ms + ?2 >= ?1 AND instr(markets, ?3) > 0
         ORDER BY id DESC LIMIT 1",
    )?;
    let found =
        statement.query_map(params![at_ms, UNKNOWN_END, market.to_string()], |row| row.get(0))?;
    let found: Vec<f64> = found.collect::<rusqlite::Result<_>>()?;
    Ok(found.first().map_or(Watching::Not, |debt| Watching::From(*debt)))
}

/// What was left alone for one reason.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct LeftLine {
    pub reason: String,
    pub obligations: u64,
    /// The sum of their debts, as they were last.
    pub debt_usd: f64,
    /// What they were quoted then, added up, where it came to a quote.
    pub quoted_usd: f64,
}

/// What was left alone since then, the largest debts first.
pub fn left_lines(ledger: &Connection, since_ms: i64) -> Result<Vec<LeftLine>> {
    if !has_declined(ledger)? {
        return Ok(Vec::new());
    }
    // One obligation may have been left alone several times: the last counts.
    let mut statement = ledger.prepare(
        "SELECT code, count(*), total(debt), total(quoted) FROM (
             SELECT code, debt_usd AS debt, max(quoted_usd, 0.0) AS quoted, max(id)
             FROM declined WHERE last_ms >= ?1 GROUP BY code, obligation)
         GROUP BY code ORDER BY 3 DESC, 1",
    )?;
    let lines = statement.query_map([since_ms], |row| {
        Ok(LeftLine {
            reason: row.get(0)?,
            obligations: row.get::<_, i64>(1)?.unsigned_abs(),
            debt_usd: row.get(2)?,
            quoted_usd: row.get(3)?,
        })
    })?;
    Ok(lines.collect::<rusqlite::Result<_>>()?)
}

/// The Monday, UTC, of the week of a Unix time in seconds.
pub fn monday(ledger: &Connection, seconds: i64) -> Result<String> {
    let query = "SELECT date(?1, 'unixepoch', '-6 days', 'weekday 1')";
    Ok(ledger.query_one(query, [seconds], |row| row.get(0))?)
}

/// Every attempt since then, a column at a time, the newest last.
pub fn rows(ledger: &Connection, since_ms: i64, most: Option<u64>) -> Result<Table> {
    // The newest `most`, in the order they began.
    let most = most.and_then(|most| i64::try_from(most).ok()).unwrap_or(-1);
    let statement = ledger.prepare(
        "SELECT * FROM (SELECT * FROM attempts WHERE begun_ms >= ?1 ORDER BY id DESC LIMIT ?2)
         ORDER BY id",
    )?;
    as_table(statement, params![since_ms, most])
}

/// Everything that was left alone since then, a column at a time, the newest last; nothing
/// of a ledger that does not have it.
pub fn declined_rows(ledger: &Connection, since_ms: i64) -> Result<Table> {
    if !has_declined(ledger)? {
        return Ok(Table { columns: Vec::new(), rows: Vec::new() });
    }
    let statement = ledger.prepare("SELECT * FROM declined WHERE last_ms >= ?1 ORDER BY id")?;
    as_table(statement, params![since_ms])
}

fn as_table(mut statement: Statement<'_>, bounds: &[&dyn ToSql]) -> Result<Table> {
    let columns: Vec<String> = statement.column_names().map(str::to_owned).collect();
    let cells = columns.len();
    let rows = statement
        .query_map(bounds, |row| (0..cells).map(|at| Ok(value(row.get_ref(at)?))).collect())?;
    Ok(Table { columns, rows: rows.collect::<rusqlite::Result<_>>()? })
}

fn value(cell: ValueRef<'_>) -> Value {
    match cell {
        ValueRef::Null | ValueRef::Blob(_) => Value::Null,
        ValueRef::Integer(integer) => integer.into(),
        ValueRef::Real(real) => real.into(),
        ValueRef::Text(text) => String::from_utf8_lossy(text).into(),
    }
}

/// Rows of the ledger.
pub struct Table {
    pub columns: Vec<String>,
    pub rows: Vec<Vec<Value>>,
}

impl Table {
    /// One object per row.
    #[must_use]
    pub fn as_json(&self) -> Value {
        let object = |row: &Vec<Value>| -> Value {
            self.columns.iter().cloned().zip(row.iter().cloned()).collect::<Map<_, _>>().into()
        };
        self.rows.iter().map(object).collect()
    }

    /// As RFC 4180 lays it down.
    #[must_use]
    pub fn as_csv(&self) -> String {
        let mut text = csv_line(self.columns.iter().cloned());
        for row in &self.rows {
            text.push_str(&csv_line(row.iter().map(|cell| match cell {
                Value::Null => String::new(),
                Value::String(text) => text.clone(),
                other => other.to_string(),
            })));
        }
        text
    }
}

/// Cells of one line; those that would be read otherwise are quoted.
pub fn csv_line(cells: impl IntoIterator<Item = String>) -> String {
    let cells: Vec<String> = cells
        .into_iter()
        .map(|cell| {
            if cell.contains(['"', ',', '\n', '\r']) {
                format!("\"{}\"", cell.replace('"', "\"\""))
            } else {
                cell
            }
        })
        .collect();
    format!("{}\r\n", cells.join(","))
}

/// Reads a moment: `24h`, `7d`, `2w` before `now_ms`, or a date or time as SQLite knows
/// them (`2026-11-26`, `2026-11-26 08:00`, UTC). In Unix milliseconds.
///
/// # Errors
/// When it is neither.
pub fn moment(ledger: &Connection, text: &str, now_ms: i64) -> Result<i64> {
    const MINUTE: i64 = 60_000;
    let unit = match text.chars().last() {
        Some('m') => MINUTE,
        Some('h') => 60 * MINUTE,
        Some('d') => 24 * 60 * MINUTE,
        Some('w') => 7 * 24 * 60 * MINUTE,
        _ => 0,
    };
    if unit > 0 {
        let count = text.get(..text.len() - 1).and_then(|count| count.parse::<i64>().ok());
        let count = count.filter(|count| *count >= 0).and_then(|count| count.checked_mul(unit));
        return count
            .and_then(|span| now_ms.checked_sub(span))
            .with_context(|| format!("{text:?} is no span of time, like 30m, 24h, 7d or 2w"));
    }
    let has_date = text.len() >= 10 && text.as_bytes().get(4) == Some(&b'-');
    let seconds: Option<i64> =
        ledger.query_row("SELECT unixepoch(?1)", [text], |row| row.get(0))?;
    match seconds.filter(|_| has_date).and_then(|seconds| seconds.checked_mul(1_000)) {
        Some(at) => Ok(at),
        None => bail!("{text:?} is no moment: give 24h, 7d, 2026-11-26 or \"2026-11-26 08:00\""),
    }
}
