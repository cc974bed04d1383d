//! Where account updates come from.
//!
//! A [`Connector`] speaks one protocol: it connects, subscribes, and passes
//! updates on until something breaks. [`start`] runs one on a thread, connects
//! again after a pause that grows, and tells of both.

use std::{
    cell::Cell,
    collections::BTreeMap,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

use anyhow::{Error, Result, anyhow, bail};
use solana_account::Account;
use solana_address::Address;
use solana_sdk_ids::sysvar;
use tracing::warn;

use super::{horizon::Horizon, source::Filter};

/// Pause before the first try to connect again; it doubles with each.
const FIRST_PAUSE: Duration = Duration::from_millis(250);
/// Longest pause: within five seconds of being well again, a node is heard.
const LONGEST_PAUSE: Duration = Duration::from_secs(4);
/// A connection that held so long was a good one: the pause starts over.
const GOOD: Duration = Duration::from_secs(60);
/// How quickly a stop is noticed.
pub const NAP: Duration = Duration::from_millis(50);

/// When an account was written. Later is greater.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Version {
    /// Slot.
    pub slot: u64,
    /// Which write within the slot, where the source tells; otherwise the same for
    /// all of them.
    pub write: u64,
}

impl Version {
    /// The last write of a slot.
    #[must_use]
    pub fn end_of(slot: u64) -> Self {
        Self { slot, write: u64::MAX }
    }
}

/// What to subscribe to.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Wanted {
    /// Markets whose obligations and reserves are wanted.
    pub markets: Vec<Address>,
    /// Markets of which only the reserves are.
    pub lenders: Vec<Address>,
    /// Single accounts: the markets, oracles, the clock; or pools.
    pub accounts: Vec<Address>,
}

impl Wanted {
    /// klend's accounts in it.
    pub(crate) fn filters(&self) -> impl Iterator<Item = Filter> {
        let of_market = |market| [Filter::obligations(market), Filter::reserves(market)];
        let watched = self.markets.iter().flat_map(of_market);
        watched.chain(self.lenders.iter().map(Filter::reserves))
    }

    /// Single accounts, the clock always among them: it changes with every slot, and so
    /// tells whether updates flow.
    pub(crate) fn singles(&self) -> Vec<Address> {
        let mut accounts = self.accounts.clone();
        if !accounts.contains(&sysvar::clock::ID) {
            accounts.push(sysvar::clock::ID);
        }
        accounts
    }
}

/// What a feed tells.
#[derive(Clone, Debug)]
pub enum Update {
    /// Subscriptions stand. What was written before is not told.
    Connected,
    /// An account was written.
    Account {
        /// Its address.
        key: Address,
        /// When.
        version: Version,
        /// What it is now.
        account: Account,
    },
    /// The connection broke. Updates may be missing.
    Lost {
        /// Why.
        reason: String,
        /// Pause before the next try.
        pause: Duration,
    },
}

/// Where a connection's updates go, and whether any flow, as their data says: a connection
/// that answers and tells nothing, or nothing but of long ago, is as bad as none.
pub struct Outlet<'a> {
    take: &'a dyn Fn(Update) -> Result<()>,
    horizon: &'a Horizon,
    /// How long no clock may come that is anything new.
    silence: Duration,
    /// When one came last.
    beat: Cell<Instant>,
    /// The slot of the last one that came and was old, since then.
    behind: Cell<Option<u64>>,
}

impl<'a> Outlet<'a> {
    /// To `take`, whose error ends the connection.
    pub fn new(
        take: &'a dyn Fn(Update) -> Result<()>,
        horizon: &'a Horizon,
        silence: Duration,
    ) -> Self {
        Self { take, horizon, silence, beat: Cell::new(Instant::now()), behind: Cell::new(None) }
    }

    /// Passes an update on.
    ///
    /// # Errors
    /// It is of a slot that is not believed, or nobody takes it: the connection ends.
    pub fn tell(&self, update: Update) -> Result<()> {
        let is_beat = match &update {
            Update::Connected => true,
            Update::Account { key, version, .. } => {
                self.horizon.take(version.slot).map_err(Error::msg)?;
                let is_new = version.slot >= self.horizon.oldest();
                if *key == sysvar::clock::ID && !is_new {
                    self.behind.set(Some(version.slot));
                }
                *key == sysvar::clock::ID && is_new
            }
            Update::Lost { .. } => false,
        };
        if is_beat {
            self.beat.set(Instant::now());
            self.behind.set(None);
        }
        (self.take)(update)
    }

    /// Asked by a connection that stands, again and again.
    ///
    /// # Errors
    /// It tells nothing new, and should be made anew.
    pub fn check(&self) -> Result<()> {
        if self.beat.get().elapsed() < self.silence {
            return Ok(());
        }
        let silence = self.silence.as_millis();
        match self.behind.get() {
            None => {
                bail!("the connection stands, and the clock has not changed for {silence} ms")
            }
            Some(slot) => bail!(
                "the connection has told of slot {slot} and older for {silence} ms, the newest \
                 known is {}",
                self.horizon.newest()
            ),
        }
    }
}

/// One protocol.
pub trait Connector: Send {
    /// Where it leads, for people.
    fn name(&self) -> String;

    /// How long the clock may be silent before a connection is given up.
    fn silence(&self) -> Duration;

    /// Connects, subscribes, tells [`Update::Connected`] and then updates until
    /// `stop` is set or something breaks, which includes what [`Outlet::check`] finds.
    ///
    /// # Errors
    /// What broke.
    fn run(&mut self, wanted: &Wanted, outlet: &Outlet<'_>, stop: &AtomicBool) -> Result<()>;
}

/// Makes the connections of a feed.
pub type Connect = Box<dyn Fn() -> Vec<Box<dyn Connector>> + Send>;

/// A running feed. Dropping it stops it.
pub struct Feed {
    stop: Arc<AtomicBool>,
}

impl Drop for Feed {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
    }
}

/// Runs each of `connectors` on a thread of its own. `take` gets the updates of all of
/// them; when it returns `false`, there were more than can be handled, and the connection
/// is given up, because what is missing has to be read again anyway. While one of them
/// stands nothing is missed, so they are connected with the first and lost with the last; and
/// lost and connected at once, where one was silent while the others did not stand.
/// One that tells of slots beyond the `horizon` is given up.
pub fn start(
    connectors: Vec<Box<dyn Connector>>,
    wanted: Wanted,
    horizon: Arc<Horizon>,
    take: impl Fn(Update) -> bool + Send + Sync + 'static,
) -> Feed {
    let stop = Arc::new(AtomicBool::new(false));
    let feed = Feed { stop: Arc::clone(&stop) };
    let sink = Arc::new(Sink { take, horizon, standing: Mutex::default() });
    let wanted = Arc::new(wanted);
    for (number, connector) in connectors.into_iter().enumerate() {
        let (sink, wanted, stop) = (Arc::clone(&sink), Arc::clone(&wanted), Arc::clone(&stop));
        thread::spawn(move || keep(number, connector, &wanted, &sink, &stop));
    }
    feed
}

/// Where all connections of a feed lead, and which of them stand.
struct Sink<T> {
    take: T,
    horizon: Arc<Horizon>,
    /// Their numbers, and since when.
    standing: Mutex<BTreeMap<usize, Instant>>,
}

impl<T: Fn(Update) -> bool> Sink<T> {
    /// A connection stands; `false` if that could not be told.
    fn connected(&self, number: usize) -> bool {
        let mut standing = self.standing.lock().unwrap_or_else(PoisonError::into_inner);
        let is_told = !standing.is_empty() || (self.take)(Update::Connected);
        if is_told {
            standing.insert(number, Instant::now());
        }
        is_told
    }

    /// A connection broke, which was last known to tell what is new at `beat`. `None` if that
    /// could not be told.
    fn lost(&self, number: usize, beat: Instant, reason: &str, pause: Duration) -> Option<()> {
        let mut standing = self.standing.lock().unwrap_or_else(PoisonError::into_inner);
        let stood = standing.contains_key(&number);
        let others = || standing.iter().filter(|(other, _)| **other != number);
        let left = others().count();
        if left > 0 {
            warn!(reason, left, pause_ms = pause.as_millis(), "one of the streams broke off");
        }
        // While it was silent nobody else may have told all there was.
        let is_gap = left == 0 || stood && others().all(|(_, since)| *since > beat);
        if is_gap {
            let lost = Update::Lost { reason: reason.to_owned(), pause };
            let is_told = (self.take)(lost) && (left == 0 || (self.take)(Update::Connected));
            is_told.then_some(())?;
        }
        standing.remove(&number);
        Some(())
    }
}

/// Connects again and again.
fn keep<T: Fn(Update) -> bool>(
    number: usize,
    mut connector: Box<dyn Connector>,
    wanted: &Wanted,
    sink: &Sink<T>,
    stop: &AtomicBool,
) {
    const FLOOD: &str = "updates come faster than they can be handled";
    let mut pause = FIRST_PAUSE;
    while !stop.load(Ordering::Relaxed) {
        let started = Instant::now();
        let take = |update: Update| {
            let is_taken = match update {
                Update::Connected => sink.connected(number),
                update => (sink.take)(update),
            };
            if is_taken { Ok(()) } else { Err(anyhow!(FLOOD)) }
        };
        let outlet = Outlet::new(&take, &sink.horizon, connector.silence());
        let ended = super::told("the feed", || connector.run(wanted, &outlet, stop));
        if stop.load(Ordering::Relaxed) {
            return;
        }
        if started.elapsed() >= GOOD {
            pause = FIRST_PAUSE;
        }
        let mut reason = match ended {
            Ok(()) => "it ended".to_owned(),
            Err(error) => format!("{}: {error:#}", connector.name()),
        };
        // This one has to arrive: without it nobody would know of the gap.
        let beat = outlet.beat.get();
        while sink.lost(number, beat, &reason, pause).is_none() && !stop.load(Ordering::Relaxed) {
            thread::sleep(NAP);
            FLOOD.clone_into(&mut reason);
        }
        rest(pause, stop);
        pause = (pause * 2).min(LONGEST_PAUSE);
    }
}

/// Sleeps, unless it is time to stop.
pub fn rest(pause: Duration, stop: &AtomicBool) {
    let until = Instant::now() + pause;
    while !stop.load(Ordering::Relaxed) {
        let left = until.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return;
        }
        thread::sleep(NAP.min(left));
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;

    use super::*;

    /// Breaks a few times, then waits to be stopped.
    struct Flaky {
        breaks: usize,
    }

    impl Connector for Flaky {
        fn name(&self) -> String {
            "Flaky".to_owned()
        }

        fn silence(&self) -> Duration {
            GOOD
        }

        fn run(&mut self, _: &Wanted, outlet: &Outlet<'_>, stop: &AtomicBool) -> Result<()> {
            if self.breaks > 0 {
                self.breaks -= 1;
                return Err(anyhow!("broken"));
            }
            outlet.tell(Update::Connected)?;
            while !stop.load(Ordering::Relaxed) {
                thread::sleep(Duration::from_millis(1));
            }
            Ok(())
        }
    }

    /// Is broken itself.
    struct Faulty;

    impl Connector for Faulty {
        fn name(&self) -> String {
            "Faulty".to_owned()
        }

        fn silence(&self) -> Duration {
            GOOD
        }

        fn run(&mut self, _: &Wanted, _: &Outlet<'_>, _: &AtomicBool) -> Result<()> {
            panic!("a test's")
        }
    }

    #[test]
    fn a_feed_that_panics_is_a_lost_connection() {
        let (sender, updates) = mpsc::channel();
        let take = move |update| sender.send(update).is_ok();
        let _feed = start(vec![Box::new(Faulty)], wanted(), Arc::default(), take);
        for _ in 0..2 {
            let Update::Lost { reason, .. } = updates.recv().unwrap() else { panic!() };
            assert_eq!(reason, "Faulty: the feed broke down");
        }
    }

    fn wanted() -> Wanted {
        Wanted::default()
    }

    #[test]
    fn it_connects_again_after_pauses_that_grow() {
        let (sender, updates) = mpsc::channel();
        let take = move |update| sender.send(update).is_ok();
        let feed = start(vec![Box::new(Flaky { breaks: 2 })], wanted(), Arc::default(), take);
        let pauses: Vec<Duration> = std::iter::from_fn(|| match updates.recv().unwrap() {
            Update::Lost { reason, pause } => {
                assert_eq!(reason, "Flaky: broken");
                Some(pause)
            }
            _ => None,
        })
        .collect();
        assert_eq!(pauses, [FIRST_PAUSE, FIRST_PAUSE * 2]);
        // Stopped, it ends without another word.
        drop(feed);
        assert!(updates.recv().is_err());
    }

    /// Stands until it is told to break, and tells of the clock, or of nothing.
    struct Steady {
        cut: Arc<AtomicBool>,
        ticks: bool,
    }

    impl Connector for Steady {
        fn name(&self) -> String {
            "Steady".to_owned()
        }

        fn silence(&self) -> Duration {
            GOOD
        }

        fn run(&mut self, _: &Wanted, outlet: &Outlet<'_>, stop: &AtomicBool) -> Result<()> {
            outlet.tell(Update::Connected)?;
            while !stop.load(Ordering::Relaxed) {
                if self.cut.swap(false, Ordering::Relaxed) {
                    return Err(anyhow!("cut"));
                }
                if self.ticks {
                    outlet.tell(Update::Account {
                        key: sysvar::clock::ID,
                        version: Version { slot: 10, write: 0 },
                        account: Account::default(),
                    })?;
                }
                thread::sleep(Duration::from_millis(1));
            }
            Ok(())
        }
    }

    /// Two of these; what cuts each, and all that is told but of accounts.
    fn two(ticks: [bool; 2]) -> (Feed, [Arc<AtomicBool>; 2], mpsc::Receiver<Update>) {
        let (sender, updates) = mpsc::channel();
        let take =
            move |update| matches!(update, Update::Account { .. }) || sender.send(update).is_ok();
        let cut = [(); 2].map(|()| Arc::new(AtomicBool::new(false)));
        let all = cut.iter().zip(ticks).map(|(cut, ticks)| {
            Box::new(Steady { cut: Arc::clone(cut), ticks }) as Box<dyn Connector>
        });
        let feed = start(all.collect(), wanted(), Arc::default(), take);
        assert!(matches!(updates.recv().unwrap(), Update::Connected));
        (feed, cut, updates)
    }

    #[test]
    fn several_connections_are_lost_with_the_last() {
        let (_feed, cut, updates) = two([true, true]);
        let wait = Duration::from_millis(150);
        thread::sleep(wait);
        // One is cut, and nobody has to know.
        cut[0].store(true, Ordering::Relaxed);
        assert!(updates.recv_timeout(wait).is_err());
        // The other, before the first is back.
        cut[1].store(true, Ordering::Relaxed);
        let Update::Lost { reason, .. } = updates.recv().unwrap() else { panic!() };
        assert_eq!(reason, "Steady: cut");
        assert!(matches!(updates.recv().unwrap(), Update::Connected));
    }

    /// One stands and is dead, the other is cut and comes back: what was written in between
    /// nobody told.
    #[test]
    fn what_a_silent_connection_did_not_tell_while_the_others_were_cut_is_a_gap() {
        let (_feed, cut, updates) = two([false, true]);
        thread::sleep(Duration::from_millis(150));
        cut[1].store(true, Ordering::Relaxed);
        // Until it is back: nothing is known to be missing yet.
        assert!(updates.recv_timeout(FIRST_PAUSE * 3).is_err());
        cut[0].store(true, Ordering::Relaxed);
        assert!(matches!(updates.recv().unwrap(), Update::Lost { .. }));
        assert!(matches!(updates.recv().unwrap(), Update::Connected));
        // It was told, and is no gap a second time.
        thread::sleep(FIRST_PAUSE * 3);
        cut[0].store(true, Ordering::Relaxed);
        assert!(updates.recv_timeout(FIRST_PAUSE).is_err());
    }

    #[test]
    fn a_full_channel_is_a_lost_connection() {
        let (sender, updates) = mpsc::sync_channel(1);
        sender.send(Update::Connected).unwrap();
        let take = move |update| sender.try_send(update).is_ok();
        let _feed = start(vec![Box::new(Flaky { breaks: 0 })], wanted(), Arc::default(), take);
        thread::sleep(Duration::from_millis(20));
        assert!(matches!(updates.recv().unwrap(), Update::Connected));
        let Update::Lost { reason, .. } = updates.recv().unwrap() else { panic!() };
        assert!(reason.contains("faster"), "{reason}");
    }

    #[test]
    fn a_stream_is_alive_while_its_clock_is_new() {
        const SILENCE: Duration = Duration::from_millis(60);
        let (horizon, heard) = (Horizon::default(), Cell::new(0));
        let take = |_: Update| {
            heard.set(heard.get() + 1);
            Ok(())
        };
        let told = |key, slot| Update::Account {
            key,
            version: Version::end_of(slot),
            account: Account::default(),
        };
        let clock = |slot| told(sysvar::clock::ID, slot);
        // What is said by `says` until the silence is over, and the verdict then.
        let verdict = |says: &dyn Fn(&Outlet<'_>)| {
            let outlet = Outlet::new(&take, &horizon, SILENCE);
            outlet.tell(Update::Connected).unwrap();
            outlet.check().unwrap();
            let begun = Instant::now();
            while begun.elapsed() < SILENCE * 2 {
                says(&outlet);
                thread::sleep(Duration::from_millis(5));
            }
            outlet.check().map_err(|reason| reason.to_string())
        };
        horizon.take(10_000).unwrap();
        let not_changed = verdict(&|_| ()).unwrap_err();
        assert!(not_changed.contains("clock has not changed for 60 ms"), "{not_changed}");
        // Accounts that others write are no sign that the rest is told.
        assert!(verdict(&|outlet| outlet.tell(told(Address::default(), 10_000)).unwrap()).is_err());
        verdict(&|outlet| outlet.tell(clock(10_000)).unwrap()).unwrap();
        verdict(&|outlet| outlet.tell(clock(9_980)).unwrap()).unwrap();
        // A stream that is stuck while others go on, or lags.
        for slot in [9_900, 1] {
            let before = heard.get();
            let behind = verdict(&|outlet| outlet.tell(clock(slot)).unwrap()).unwrap_err();
            let numbers = behind.contains(&format!("slot {slot}")) && behind.contains("10000");
            assert!(numbers, "{behind}");
            // What it says is passed on all the same: whoever takes it knows what is newer.
            assert!(heard.get() > before + 1);
        }
        // One that tells of what is not to come ends at once.
        let outlet = Outlet::new(&take, &horizon, SILENCE);
        let refused = outlet.tell(clock(1 << 63)).unwrap_err().to_string();
        assert!(refused.contains("no cluster has come"), "{refused}");
    }

    #[test]
    fn versions_are_ordered_by_slot_then_write() {
        let version = |slot, write| Version { slot, write };
        assert!(version(2, 0) > version(1, 9));
        assert!(version(1, 2) > version(1, 1));
        assert!(Version::end_of(1) > version(1, 2) && Version::end_of(1) < version(2, 0));
    }
}
