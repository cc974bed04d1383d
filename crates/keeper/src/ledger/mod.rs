//! What happened: counted and kept, never on the way of what happens.
//!
//! [`record`] says what is told of an attempt, [`metrics`] counts it, [`store`] is the
//! file it is kept in, [`report`] adds up. [`Ledger`] writes on a thread of its own:
//! the loop hands an entry over and goes on. Before a transaction leaves, its sender asks
//! [`Ledger::is_durable`], so no attempt is ever sent that the disk does not know of,
//! nor one after another whose end is not written. What was left alone has a queue of its
//! own, is written once a second, and never stands in an attempt's way.

use std::{
    path::{Path, PathBuf},
    sync::{
        Arc, Condvar, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicI64, AtomicU64, Ordering},
        mpsc::{self, Receiver, RecvTimeoutError, SyncSender, TryRecvError, TrySendError},
    },
    thread::{self, JoinHandle},
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

use anyhow::{Result, bail};
use tracing::{debug, error, info, warn};

pub mod metrics;
pub mod record;
pub mod records;
pub mod report;
pub mod store;

use metrics::Metrics;
use record::{Begun, Declined, Ended, Run};
use store::{Entry, Store};

/// Entries that may wait to be written.
const CAPACITY: usize = 4_096;
/// Entries that become durable with one commit.
const BATCH: usize = 256;
/// What was left alone and may wait to be written; beyond, it is forgotten.
const DECLINED_CAPACITY: usize = 16_384;
/// Pause between two times that such rows are written.
const DECLINED_PAUSE: Duration = Duration::from_secs(1);
/// Such rows that one commit writes.
const DECLINED_BATCH: usize = 512;
/// Pause between two notes that the keeper still runs.
const ALIVE_PAUSE: Duration = Duration::from_secs(60);
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
    /// What was left alone and is not written yet, with its Unix time in milliseconds.
    declined: Mutex<Vec<(i64, Declined)>>,
}

impl Shared {
    fn progress(&self) -> MutexGuard<'_, Progress> {
        // Both fields are replaced whole.
        self.progress.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn declined(&self) -> MutexGuard<'_, Vec<(i64, Declined)>> {
        // Only pushed to and taken from.
        self.declined.lock().unwrap_or_else(PoisonError::into_inner)
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
        let shared = Arc::new(Shared {
            progress: Mutex::default(),
            moved: Condvar::new(),
            declined: Mutex::default(),
        });
        let written = Arc::new(AtomicU64::new(0));
        let writer = Writer {
            store,
            shared: Arc::clone(&shared),
            written: Arc::clone(&written),
            metrics,
            declined_fails: false,
        };
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

    /// A keeper begins to watch, at a Unix time in milliseconds.
    pub fn run(&self, run: Run, at_ms: i64) {
        self.hand_or_tell(Entry::Run { at_ms, run });
    }

    /// An obligation was left alone, at a Unix time in milliseconds. Written some time later;
    /// `false` where too much waits already, and it is forgotten.
    pub fn decline(&self, declined: Declined, at_ms: i64) -> bool {
        let mut waiting = self.shared.declined();
        let has_room = waiting.len() < DECLINED_CAPACITY;
        if has_room {
            waiting.push((at_ms, declined));
        }
        has_room
    }

    /// Whether so much waits to be written that it should be waited for.
    #[must_use]
    pub fn is_crowded(&self) -> bool {
        self.shared.declined().len() > DECLINED_CAPACITY / 2
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

    /// Waits until everything that was handed over is on the disk, what was left alone too.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn flush(&self) -> Result<()> {
        self.hand_or_tell(Entry::Settle);
        self.settle()
    }

    /// Waits until all attempts that were handed over are on the disk.
    ///
    /// # Errors
    /// When they cannot be written.
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
    /// The last try to write what was left alone failed: told once.
    declined_fails: bool,
}

impl Writer {
    fn run(mut self, entries: &Receiver<Entry>) {
        let mut batch = Vec::with_capacity(BATCH);
        let (mut declined_at, mut alive_at) = (Instant::now(), Instant::now());
        loop {
            let entry = match entries.recv_timeout(DECLINED_PAUSE) {
                Ok(entry) => Some(entry),
                Err(RecvTimeoutError::Timeout) => None,
                Err(RecvTimeoutError::Disconnected) => break,
            };
            batch.extend(entry);
            batch.extend(entries.try_iter().take(BATCH - batch.len()));
            let settles = batch.iter().any(|entry| matches!(entry, Entry::Settle));
            if !batch.is_empty() {
                let begun = Instant::now();
                if !self.write(&mut batch, entries) {
                    for entry in &batch {
                        error!(?entry, "not in the ledger");
                    }
                    return;
                }
                self.metrics.ledger_commit.observe(begun.elapsed().as_secs_f64());
            }
            // At most one commit a second that an attempt may have to wait for.
            if settles || declined_at.elapsed() >= DECLINED_PAUSE {
                self.write_declined(if settles { usize::MAX } else { DECLINED_BATCH });
                declined_at = Instant::now();
            }
            if settles || alive_at.elapsed() >= ALIVE_PAUSE {
                self.note_alive();
                alive_at = Instant::now();
            }
            if !batch.is_empty() {
                self.tell(batch.len());
                batch.clear();
            }
        }
        self.write_declined(usize::MAX);
        self.note_alive();
    }

    /// Writes what was left alone. What cannot be written now is written with the next, as
    /// long as there is room for it.
    fn write_declined(&mut self, most: usize) {
        let mut all = std::mem::take(&mut *self.shared.declined());
        let rest = all.split_off(all.len().min(most));
        if !all.is_empty()
            && let Err(reason) = self.store.write_declined(&all)
        {
            if !std::mem::replace(&mut self.declined_fails, true) {
                warn!(%reason, "the ledger does not keep why obligations were left alone");
            }
            all.extend(rest);
            self.put_back(all);
            return;
        }
        self.declined_fails = false;
        self.put_back(rest);
    }

    /// Rows that are older than those that came meanwhile.
    fn put_back(&self, mut older: Vec<(i64, Declined)>) {
        if !older.is_empty() {
            let mut waiting = self.shared.declined();
            older.append(&mut waiting);
            older.truncate(DECLINED_CAPACITY);
            *waiting = older;
        }
    }

    fn note_alive(&self) {
        // Only how far a run went hangs on it.
        if let Err(reason) = self.store.alive(now_ms()) {
            debug!(%reason, "the ledger does not keep that the keeper runs");
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
mod tests;
