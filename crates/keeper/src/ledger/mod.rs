//! What happened: counted and kept, never on the way of what happens.
//!
//! [`record`] says what is told of an attempt, [`metrics`] counts it, [`store`] is the
//! file it is kept in, [`report`] adds up. [`Ledger`] writes on a thread of its own:
//! the loop hands an entry over and goes on. Before a transaction leaves, its sender asks
//! [`Ledger::is_durable`], so no attempt is ever sent that the disk does not know of,
//! nor one after another whose end is not written.

use std::{
    path::{Path, PathBuf},
    sync::{
        Arc, Condvar, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicI64, AtomicU64, Ordering},
        mpsc::{self, Receiver, SyncSender, TryRecvError, TrySendError},
    },
    thread::{self, JoinHandle},
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

use anyhow::{Result, bail};
use tracing::{error, info, warn};

pub mod metrics;
pub mod record;
pub mod records;
pub mod report;
pub mod store;

use metrics::Metrics;
use record::{Begun, Ended};
use store::{Entry, Store};

/// Entries that may wait to be written.
const CAPACITY: usize = 4_096;
/// Entries that become durable with one commit.
const BATCH: usize = 256;
/// Pause before a write that failed is repeated.
const PAUSE: Duration = Duration::from_millis(250);
/// How long a write is repeated once the keeper wants to end.
const LAST_TRIES: Duration = Duration::from_secs(5);

/// Unix time, milliseconds.
#[must_use]
pub fn now_ms() -> i64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(now.as_millis()).unwrap_or(i64::MAX)
}

/// What the writing thread tells.
#[derive(Default)]
struct Progress {
    /// Entries written.
    durable: u64,
    /// Why writing fails at this moment.
    trouble: Option<String>,
}

struct Shared {
    progress: Mutex<Progress>,
    moved: Condvar,
}

impl Shared {
    fn progress(&self) -> MutexGuard<'_, Progress> {
        // Both fields are replaced whole.
        self.progress.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A row, and the entry after which it is durable.
#[derive(Clone, Copy, Debug)]
pub struct Ticket {
    id: i64,
    entry: u64,
}

/// The ledger of this process.
pub struct Ledger {
    path: PathBuf,
    entries: Option<SyncSender<Entry>>,
    next: AtomicI64,
    handed: Mutex<u64>,
    written: Arc<AtomicU64>,
    shared: Arc<Shared>,
    writer: Option<JoinHandle<()>>,
}

impl Ledger {
    /// Opens `path` and writes to it until this is dropped.
    ///
    /// # Errors
    /// See [`Store::open`].
    pub fn open(path: &Path, metrics: Arc<Metrics>) -> Result<Self> {
        Self::start(path, Store::open(path)?, metrics)
    }

    fn start(path: &Path, store: Store, metrics: Arc<Metrics>) -> Result<Self> {
        let next = store.next_id()?;
        let (entries, received) = mpsc::sync_channel(CAPACITY);
        let shared = Arc::new(Shared { progress: Mutex::default(), moved: Condvar::new() });
        let written = Arc::new(AtomicU64::new(0));
        let writer =
            Writer { store, shared: Arc::clone(&shared), written: Arc::clone(&written), metrics };
        let writer = thread::Builder::new()
            .name("ledger".to_owned())
            .spawn(move || writer.run(&received))?;
        Ok(Self {
            path: path.to_owned(),
            entries: Some(entries),
            next: AtomicI64::new(next),
            handed: Mutex::new(0),
            written,
            shared,
            writer: Some(writer),
        })
    }

    /// Where it is.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Hands an entry over and returns its number, or the entry where there is no room.
    fn hand(&self, entry: Entry) -> Result<u64, Entry> {
        let Some(entries) = &self.entries else { return Err(entry) };
        // Numbers are in the order of the channel.
        let mut handed = self.handed.lock().unwrap_or_else(PoisonError::into_inner);
        match entries.try_send(entry) {
            Ok(()) => {
                *handed += 1;
                Ok(*handed)
            }
            Err(TrySendError::Full(entry) | TrySendError::Disconnected(entry)) => Err(entry),
        }
    }

    /// An attempt begins, at a Unix time in milliseconds.
    ///
    /// # Errors
    /// When it could not be kept: then it must not begin.
    pub fn begin(&self, begun: Begun, at_ms: i64) -> Result<Ticket> {
        if let Some(trouble) = self.trouble() {
            bail!("the ledger cannot be written: {trouble}");
        }
        let id = self.next.fetch_add(1, Ordering::Relaxed);
        match self.hand(Entry::Begun { id, at_ms, begun }) {
            Ok(entry) => Ok(Ticket { id, entry }),
            Err(_) => bail!("{CAPACITY} entries wait to be written to the ledger"),
        }
    }

    /// Its transaction has a signature and is about to be sent. Not waited for.
    pub fn signed(&self, ticket: Ticket, signature: &str) {
        self.hand_or_tell(Entry::Signed { id: ticket.id, signature: signature.to_owned() });
    }

    /// An attempt ended.
    pub fn end(&self, ticket: Ticket, ended: Box<Ended>, at_ms: i64) {
        self.hand_or_tell(Entry::Ended { id: ticket.id, at_ms, ended });
    }

    /// Of attempts that begun there are few, so there is room. If not, the log keeps it.
    fn hand_or_tell(&self, entry: Entry) {
        if let Err(entry) = self.hand(entry) {
            error!(?entry, "there is no room in the ledger");
        }
    }

    /// Waits up to `patience` until the row of `ticket`, and with it the end of every
    /// attempt before, is on the disk. Mostly it is already.
    #[must_use]
    pub fn is_durable(&self, ticket: Ticket, patience: Duration) -> bool {
        if self.written.load(Ordering::Acquire) >= ticket.entry {
            return true;
        }
        let progress = self.shared.progress();
        let waited = self
            .shared
            .moved
            .wait_timeout_while(progress, patience, |progress| progress.durable < ticket.entry);
        waited.unwrap_or_else(PoisonError::into_inner).0.durable >= ticket.entry
    }

    /// Waits until everything that was handed over is on the disk.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn settle(&self) -> Result<()> {
        let handed = *self.handed.lock().unwrap_or_else(PoisonError::into_inner);
        let is_open =
            |progress: &mut Progress| progress.durable < handed && progress.trouble.is_none();
        let progress = self.shared.moved.wait_while(self.shared.progress(), is_open);
        let progress = progress.unwrap_or_else(PoisonError::into_inner);
        match &progress.trouble {
            Some(trouble) if progress.durable < handed => {
                bail!("the ledger cannot be written: {trouble}")
            }
            _ => Ok(()),
        }
    }

    /// Why it cannot be written at this moment, if so.
    #[must_use]
    pub fn trouble(&self) -> Option<String> {
        self.shared.progress().trouble.clone()
    }
}

impl Drop for Ledger {
    /// What was handed over is written first.
    fn drop(&mut self) {
        self.entries = None;
        if let Some(writer) = self.writer.take() {
            let _ = writer.join();
        }
    }
}

struct Writer {
    store: Store,
    shared: Arc<Shared>,
    written: Arc<AtomicU64>,
    metrics: Arc<Metrics>,
}

impl Writer {
    fn run(mut self, entries: &Receiver<Entry>) {
        let mut batch = Vec::with_capacity(BATCH);
        while let Ok(entry) = entries.recv() {
            batch.push(entry);
            batch.extend(entries.try_iter().take(BATCH - 1));
            let begun = Instant::now();
            if !self.write(&mut batch, entries) {
                for entry in &batch {
                    error!(?entry, "not in the ledger");
                }
                return;
            }
            self.metrics.ledger_commit.observe(begun.elapsed().as_secs_f64());
            self.tell(batch.len());
            batch.clear();
        }
    }

    /// Writes a batch, again and again until it succeeds; what comes meanwhile becomes
    /// part of it. `false` if the keeper wants to end and it still fails.
    fn write(&mut self, batch: &mut Vec<Entry>, entries: &Receiver<Entry>) -> bool {
        let mut ending: Option<Instant> = None;
        while let Err(reason) = self.store.write(batch) {
            if self.shared.progress().trouble.replace(reason.to_string()).is_none() {
                self.shared.moved.notify_all();
                warn!(%reason, "the ledger cannot be written: nothing is begun meanwhile");
            }
            self.metrics.ledger_backlog.set(batch.len() as u64);
            if ending.is_some_and(|since| since.elapsed() >= LAST_TRIES) {
                return false;
            }
            thread::sleep(PAUSE);
            loop {
                match entries.try_recv() {
                    Ok(entry) => batch.push(entry),
                    Err(TryRecvError::Empty) => break,
                    Err(TryRecvError::Disconnected) => {
                        ending.get_or_insert_with(Instant::now);
                        break;
                    }
                }
            }
        }
        true
    }

    fn tell(&self, entries: usize) {
        let mut progress = self.shared.progress();
        progress.durable += entries as u64;
        if progress.trouble.take().is_some() {
            info!("the ledger is written again");
        }
        self.written.store(progress.durable, Ordering::Release);
        drop(progress);
        self.metrics.ledger_backlog.set(0);
        self.shared.moved.notify_all();
    }
}

#[cfg(test)]
mod tests {
    use solana_address::Address;

    use super::{
        record::{Costs, Numbers, Outcome},
        report::{By, earned, lines, moment, monday, rows, tried},
        store::open_to_read,
        *,
    };

    const PATIENCE: Duration = Duration::from_secs(20);

    fn begun(byte: u8) -> Begun {
        Begun {
            market: Address::new_from_array([1; 32]),
            obligation: Address::new_from_array([byte; 32]),
            slot: 7,
            quoted_usd: 2.5,
            sends: true,
        }
    }

    /// Executed with so much profit, raw units of 6 decimals at 2 dollars.
    fn executed(outcome: Outcome, profit: i64) -> Box<Ended> {
        let numbers = Numbers {
            road: "node",
            venue: "whirlpool".to_owned(),
            debt_mint: Address::new_from_array([9; 32]),
            debt_decimals: 6,
            debt_price: 2.0,
            sol_price: Some(100.0),
            profit: Some(profit),
            loan: u64::MAX,
            costs: Costs { fee: 5_000, tip: 10_000_000, rent: 2_000_000 },
            landed_slot: Some(9),
            ..Numbers::default()
        };
        let (code, reason) = (String::new(), "a \"quoted\", text".to_owned());
        Box::new(Ended { outcome, code, reason, signature: Some("sig".to_owned()), numbers })
    }

    fn ledger(path: &Path) -> Ledger {
        Ledger::open(path, Arc::new(Metrics::new())).unwrap()
    }

    #[test]
    fn what_was_earned_is_added_up_after_every_cost() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("keeper.db");
        let ledger = ledger(&path);
        for profit in [3_000_000, 1_000_000] {
            let ticket = ledger.begin(begun(1), now_ms()).unwrap();
            ledger.end(ticket, executed(Outcome::Liquidated, profit), now_ms());
        }
        let ticket = ledger.begin(begun(2), now_ms()).unwrap();
        let early = Ended::early(Outcome::TooLittle, "too_little_profit", String::new());
        ledger.end(ticket, Box::new(early), now_ms());
        let open = ledger.begin(begun(3), now_ms()).unwrap();
        assert!(ledger.is_durable(open, PATIENCE));

        // Read while it is being written.
        let reader = open_to_read(&path).unwrap();
        let of = |obligation: u8, from, to| {
            let key = Address::new_from_array([obligation; 32]);
            tried(&reader, &key, from, to).unwrap()
        };
        let first = of(1, 0, 7).unwrap();
        assert_eq!((first.landed_slot, first.signature.as_deref()), (Some(9), Some("sig")));
        assert_eq!(of(2, 7, 7).unwrap().outcome.as_deref(), Some("too_little"));
        assert_eq!((of(3, 7, 9).unwrap().outcome, of(1, 8, 9), of(9, 0, 9)), (None, None, None));
        // A Wednesday, and the Monday of its week itself.
        for seconds in [1_795_564_800, 1_795_564_800 - 2 * 86_400] {
            assert_eq!(monday(&reader, seconds).unwrap(), "2026-11-23");
        }
        let (groups, all) = lines(&reader, 0, By::Venue).unwrap();
        assert_eq!((all.attempts, all.liquidated, all.not_sent), (4, 2, 1));
        assert!((all.profit_usd - 8.0).abs() < 1e-9, "{all:?}");
        assert!((all.costs_usd - 2.0 * 1.2005).abs() < 1e-9, "{all:?}");
        assert!((all.net_usd - (8.0 - 2.401)).abs() < 1e-9, "{all:?}");
        let names: Vec<&str> = groups.iter().map(|line| line.group.as_str()).collect();
        assert_eq!(names, ["-", "whirlpool"]);
        for by in [By::Day, By::Market, By::Mint, By::Road] {
            let (groups, again) = lines(&reader, 0, by).unwrap();
            assert_eq!(groups.iter().map(|line| line.attempts).sum::<u64>(), 4, "{by}");
            assert_eq!(again, all, "{by}");
        }
        assert_eq!(lines(&reader, now_ms() + 1_000, By::Day).unwrap().1.attempts, 0);
        let sums: Vec<f64> = earned(&reader, 0).unwrap().iter().map(|point| point.1).collect();
        assert!((sums[1] - all.net_usd).abs() < 1e-9 && sums[0] < sums[1], "{sums:?}");

        // An amount beyond SQLite's integers, and a text that has to be quoted.
        let table = rows(&reader, 0, None).unwrap();
        let json = table.as_json();
        assert_eq!(json[0]["loan"], u64::MAX.to_string());
        assert_eq!(json[3]["outcome"], serde_json::Value::Null);
        let csv = table.as_csv();
        assert!(csv.contains(",\"a \"\"quoted\"\", text\","), "{csv}");
        assert_eq!(csv.matches("\r\n").count(), 5);
        assert_eq!(rows(&reader, 0, Some(1)).unwrap().as_json()[0]["id"], 4);
    }

    /// What the loop pays for ledger and metrics, per attempt: handing over, not writing.
    #[test]
    fn telling_takes_less_than_a_tenth_of_a_millisecond() {
        let folder = tempfile::tempdir().unwrap();
        let metrics = Arc::new(Metrics::new());
        let path = folder.path().join("keeper.db");
        let ledger = Ledger::open(&path, Arc::clone(&metrics)).unwrap();
        let records = records::Records::new(metrics, Some(Arc::new(ledger)));
        let ended = executed(Outcome::Liquidated, 1);
        // The best of many: other tests run beside it.
        let best = (0..200)
            .map(|_| {
                let ended = (*ended).clone();
                let started = Instant::now();
                let ticket = records.begin(begun(1), now_ms()).unwrap();
                records.end(ticket, ended, now_ms());
                started.elapsed()
            })
            .min();
        assert!(best < Some(Duration::from_micros(100)), "{best:?}");
    }

    #[test]
    fn moments_are_spans_and_dates() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("keeper.db");
        drop(ledger(&path));
        let reader = open_to_read(&path).unwrap();
        let at = |text: &str| moment(&reader, text, 1_000_000_000_000).ok();
        assert_eq!(at("24h"), Some(1_000_000_000_000 - 86_400_000));
        assert_eq!(at("7d"), Some(1_000_000_000_000 - 7 * 86_400_000));
        assert_eq!(at("2w"), at("14d"));
        assert_eq!(at("1970-01-02"), Some(86_400_000));
        assert_eq!(at("1970-01-01 00:01"), Some(60_000));
        for text in ["", "yesterday", "-1d", "12", "99999999999999d", "now"] {
            assert_eq!(at(text), None, "{text}");
        }
    }

    #[test]
    fn what_was_under_way_when_it_ended_is_unknown() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("keeper.db");
        let first = ledger(&path);
        let ticket = first.begin(begun(1), now_ms()).unwrap();
        first.signed(ticket, "the signature");
        let refused = Ledger::open(&path, Arc::new(Metrics::new())).map(|_| ()).unwrap_err();
        assert!(format!("{refused:#}").contains("another keeper writes it"), "{refused:#}");
        drop(first);
        let second = ledger(&path);
        let next = second.begin(begun(2), now_ms()).unwrap();
        assert!(second.is_durable(next, PATIENCE));
        let json = rows(&open_to_read(&path).unwrap(), 0, None).unwrap().as_json();
        assert_eq!(
            (&json[0]["outcome"], &json[0]["signature"]),
            (&"unknown".into(), &"the signature".into())
        );
        assert_eq!((&json[1]["id"], &json[1]["outcome"]), (&2.into(), &serde_json::Value::Null));
    }

    #[test]
    fn what_is_no_ledger_is_left_alone() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("other.db");
        let other = rusqlite::Connection::open(&path).unwrap();
        other.execute_batch("CREATE TABLE theirs (x)").unwrap();
        drop(other);
        for said in [
            Ledger::open(&path, Arc::new(Metrics::new())).map(|_| ()).unwrap_err(),
            open_to_read(&path).map(|_| ()).unwrap_err(),
        ] {
            assert!(format!("{said:#}").contains("no keeper's ledger"), "{said:#}");
        }
        assert!(open_to_read(&folder.path().join("none.db")).is_err());
    }

    /// A full disk: nothing begins, nothing is lost, nothing is there twice.
    #[test]
    fn a_full_disk_loses_and_invents_no_row() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("keeper.db");
        let store = Store::open(&path).unwrap();
        store.limit_pages(12);
        let ledger = Ledger::start(&path, store, Arc::new(Metrics::new())).unwrap();
        let (mut tickets, mut refused) = (Vec::new(), None);
        for _ in 0..10_000 {
            match ledger.begin(begun(1), now_ms()) {
                Ok(ticket) => {
                    ledger.end(ticket, executed(Outcome::Liquidated, 1), now_ms());
                    tickets.push(ticket);
                    if !ledger.is_durable(ticket, Duration::from_millis(500)) {
                        continue;
                    }
                }
                Err(reason) => {
                    refused = Some(reason.to_string());
                    break;
                }
            }
        }
        let refused = refused.expect("the disk fills up");
        assert!(refused.contains("full"), "{refused}");
        let durable: Vec<i64> = tickets
            .iter()
            .filter(|ticket| ledger.is_durable(**ticket, Duration::ZERO))
            .map(|ticket| ticket.id)
            .collect();
        let ids = |path: &Path| -> Vec<i64> {
            let json = rows(&open_to_read(path).unwrap(), 0, None).unwrap().as_json();
            json.as_array().unwrap().iter().map(|row| row["id"].as_i64().unwrap()).collect()
        };
        assert!(!durable.is_empty() && durable.len() < tickets.len());
        assert_eq!(ids(&path), durable);
        // It ends while the disk is still full: what could not be written is in the log,
        // what was is there.
        drop(ledger);
        assert_eq!(ids(&path), durable);
    }

    /// Set for the process that is killed: where its ledger is.
    const KILLED: &str = "KEEPER_TEST_LEDGER_TO_KILL";

    /// Killed at any moment, every row that was told to be on the disk is there, whole.
    #[test]
    fn a_killed_process_loses_and_invents_no_row() {
        use std::{
            io::{BufRead as _, BufReader},
            process::{Command, Stdio},
        };
        const NAME: &str = "ledger::tests::a_killed_process_loses_and_invents_no_row";
        if let Some(path) = std::env::var_os(KILLED) {
            let ledger = ledger(path.as_ref());
            loop {
                let ticket = ledger.begin(begun(1), now_ms()).unwrap();
                ledger.end(ticket, executed(Outcome::Liquidated, ticket.id), now_ms());
                // Its end is before this one's beginning.
                let next = ledger.begin(begun(2), now_ms()).unwrap();
                assert!(ledger.is_durable(next, PATIENCE));
                eprintln!("durable {}", ticket.id);
            }
        }
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("keeper.db");
        let mut last = 0;
        for lines_wanted in [1, 3, 20] {
            let mut child = Command::new(std::env::current_exe().unwrap())
                .args([NAME, "--exact", "--nocapture"])
                .env(KILLED, &path)
                .stdout(Stdio::null())
                .stderr(Stdio::piped())
                .spawn()
                .unwrap();
            let stderr = BufReader::new(child.stderr.take().unwrap());
            let mut durable = stderr.lines().filter_map(|line| {
                line.unwrap().strip_prefix("durable ").map(|id| id.parse::<i64>().unwrap())
            });
            for _ in 1..lines_wanted {
                durable.next().unwrap();
            }
            last = durable.next().unwrap();
            // SIGKILL.
            child.kill().unwrap();
            child.wait().unwrap();
            let json = rows(&open_to_read(&path).unwrap(), 0, None).unwrap().as_json();
            let json = json.as_array().unwrap();
            for (at, row) in json.iter().enumerate() {
                // No gap, none twice, and what is told to have ended is whole.
                assert_eq!(row["id"], at as i64 + 1);
                let profit = row["profit"].as_str().map(|profit| profit.parse().unwrap());
                let is_whole = row["outcome"] == "liquidated" && profit == row["id"].as_i64();
                assert!(is_whole || row["profit"].is_null(), "{row}");
            }
            assert!(json.len() as i64 > last, "{} rows, {last} told", json.len());
            assert_eq!(json[last as usize - 1]["outcome"], "liquidated");
        }
        assert!(last > 20);
    }
}
