//! Where account updates come from.
//!
//! A [`Connector`] speaks one protocol: it connects, subscribes, and passes
//! updates on until something breaks. [`start`] runs one on a thread, connects
//! again after a pause that grows, and tells of both.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

use anyhow::{Result, anyhow};
use solana_account::Account;
use solana_address::Address;

use super::source::Filter;

/// Pause before the first try to connect again; it doubles with each.
const FIRST_PAUSE: Duration = Duration::from_millis(250);
/// Longest pause.
const LONGEST_PAUSE: Duration = Duration::from_secs(30);
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
}

/// What a feed tells.
#[derive(Debug)]
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

/// Takes updates; an error ends the connection.
pub type Emit<'a> = &'a dyn Fn(Update) -> Result<()>;

/// One protocol.
pub trait Connector: Send {
    /// Connects, subscribes, emits [`Update::Connected`] and then updates until
    /// `stop` is set or something breaks.
    ///
    /// # Errors
    /// What broke.
    fn run(&mut self, wanted: &Wanted, emit: Emit<'_>, stop: &AtomicBool) -> Result<()>;
}

/// A running feed. Dropping it stops it.
pub struct Feed {
    stop: Arc<AtomicBool>,
}

impl Drop for Feed {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
    }
}

/// Runs `connector` on a thread of its own. `take` gets the updates; when it
/// returns `false`, there were more than can be handled, and the connection is
/// given up, because what is missing has to be read again anyway.
pub fn start(
    mut connector: Box<dyn Connector>,
    wanted: Wanted,
    take: impl Fn(Update) -> bool + Send + 'static,
) -> Feed {
    let stop = Arc::new(AtomicBool::new(false));
    let feed = Feed { stop: Arc::clone(&stop) };
    thread::spawn(move || {
        let emit = |update: Update| {
            if take(update) {
                Ok(())
            } else {
                Err(anyhow!("updates come faster than they can be handled"))
            }
        };
        let mut pause = FIRST_PAUSE;
        while !stop.load(Ordering::Relaxed) {
            let started = Instant::now();
            let ended = super::told("the feed", || connector.run(&wanted, &emit, &stop));
            if stop.load(Ordering::Relaxed) {
                return;
            }
            if started.elapsed() >= GOOD {
                pause = FIRST_PAUSE;
            }
            let reason = match ended {
                Ok(()) => "it ended".to_owned(),
                Err(error) => format!("{error:#}"),
            };
            let mut lost = Update::Lost { reason, pause };
            // This one has to arrive: without it nobody would know of the gap.
            while !take(lost) && !stop.load(Ordering::Relaxed) {
                thread::sleep(NAP);
                lost = Update::Lost {
                    reason: "updates come faster than they can be handled".to_owned(),
                    pause,
                };
            }
            rest(pause, &stop);
            pause = (pause * 2).min(LONGEST_PAUSE);
        }
    });
    feed
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
        fn run(&mut self, _: &Wanted, emit: Emit<'_>, stop: &AtomicBool) -> Result<()> {
            if self.breaks > 0 {
                self.breaks -= 1;
                return Err(anyhow!("broken"));
            }
            emit(Update::Connected)?;
            while !stop.load(Ordering::Relaxed) {
                thread::sleep(Duration::from_millis(1));
            }
            Ok(())
        }
    }

    /// Is broken itself.
    struct Faulty;

    impl Connector for Faulty {
        fn run(&mut self, _: &Wanted, _: Emit<'_>, _: &AtomicBool) -> Result<()> {
            panic!("a test's")
        }
    }

    #[test]
    fn a_feed_that_panics_is_a_lost_connection() {
        let (sender, updates) = mpsc::channel();
        let take = move |update| sender.send(update).is_ok();
        let _feed = start(Box::new(Faulty), wanted(), take);
        for _ in 0..2 {
            let Update::Lost { reason, .. } = updates.recv().unwrap() else { panic!() };
            assert_eq!(reason, "the feed broke down");
        }
    }

    fn wanted() -> Wanted {
        Wanted::default()
    }

    #[test]
    fn it_connects_again_after_pauses_that_grow() {
        let (sender, updates) = mpsc::channel();
        let take = move |update| sender.send(update).is_ok();
        let feed = start(Box::new(Flaky { breaks: 2 }), wanted(), take);
        let pauses: Vec<Duration> = std::iter::from_fn(|| match updates.recv().unwrap() {
            Update::Lost { reason, pause } => {
                assert_eq!(reason, "broken");
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

    #[test]
    fn a_full_channel_is_a_lost_connection() {
        let (sender, updates) = mpsc::sync_channel(1);
        sender.send(Update::Connected).unwrap();
        let take = move |update| sender.try_send(update).is_ok();
        let _feed = start(Box::new(Flaky { breaks: 0 }), wanted(), take);
        thread::sleep(Duration::from_millis(20));
        assert!(matches!(updates.recv().unwrap(), Update::Connected));
        let Update::Lost { reason, .. } = updates.recv().unwrap() else { panic!() };
        assert!(reason.contains("faster"), "{reason}");
    }

    #[test]
    fn versions_are_ordered_by_slot_then_write() {
        let version = |slot, write| Version { slot, write };
        assert!(version(2, 0) > version(1, 9));
        assert!(version(1, 2) > version(1, 1));
        assert!(Version::end_of(1) > version(1, 2) && Version::end_of(1) < version(2, 0));
    }
}
