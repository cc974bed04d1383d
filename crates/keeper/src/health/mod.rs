//! Whether the keeper lives, and whether it could liquidate now: each check with its
//! reason. The loop stores times, [`probe`] asks the node beside it, readers add up.

use std::{
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use serde::{Deserialize, Serialize};

use crate::ledger::{
    Ledger,
    metrics::{CheckLabel, Metrics},
    now_ms,
};

pub mod board;
pub mod probe;
pub mod service;

/// What has to be well for a liquidation to succeed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Check {
    /// The market was read and valued.
    Market,
    /// Prices and obligations are not old.
    Feed,
    /// The node is not behind its cluster.
    Node,
    /// The key can pay.
    Key,
    /// The lookup tables can be used.
    Tables,
    /// The program is the one that the configuration says.
    Program,
    /// Attempts can be written down.
    Ledger,
}

impl Check {
    /// All of them, in the order they are shown.
    pub const ALL: [Self; 7] = [
        Self::Market,
        Self::Feed,
        Self::Node,
        Self::Key,
        Self::Tables,
        Self::Program,
        Self::Ledger,
    ];

    /// Its name in answers and metrics.
    #[must_use]
    pub const fn label(self) -> &'static str {
        match self {
            Self::Market => "market",
            Self::Feed => "feed",
            Self::Node => "node",
            Self::Key => "key",
            Self::Tables => "tables",
            Self::Program => "program",
            Self::Ledger => "ledger",
        }
    }
}

/// A check and what came of it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Checked {
    pub check: String,
    pub ok: bool,
    pub reason: String,
}

/// The answer of `/readyz`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Readiness {
    pub ready: bool,
    pub checks: Vec<Checked>,
}

/// The answer of `/healthz`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Liveness {
    pub alive: bool,
    /// Milliseconds since the loop turned; since the start, if it has not yet.
    pub turned_ms_ago: u64,
    /// So many are too many.
    pub stalled_ms: u64,
}

/// Within which limits all is well.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Limits {
    /// A loop that has not turned for so long has stalled.
    pub stalled: Duration,
    /// News of the market may be so old.
    pub feed_stale: Duration,
    /// Slots the node may be behind.
    pub node_behind: u64,
    /// Least balance of the key, lamports.
    pub low_balance: u64,
}

const NOT_YET: &str = "not looked at yet";

impl Default for Limits {
    fn default() -> Self {
        Self {
            stalled: Duration::from_secs(30),
            feed_stale: Duration::from_secs(60),
            node_behind: 32,
            low_balance: 50_000_000,
        }
    }
}

/// What is known of the keeper's condition.
pub struct Health {
    limits: Limits,
    begun: Instant,
    metrics: Arc<Metrics>,
    ledger: Option<Arc<Ledger>>,
    /// Whether updates are to come by a subscription.
    subscribes: bool,
    /// Milliseconds after `begun`; zero for never.
    turned: AtomicU64,
    news: AtomicU64,
    broke_off: AtomicU64,
    fed: AtomicBool,
    /// What the loop and the probe found, in the order of [`Check::ALL`].
    found: Mutex<[Result<String, String>; Check::ALL.len()]>,
}

impl Health {
    #[must_use]
    pub fn new(
        limits: Limits,
        subscribes: bool,
        metrics: Arc<Metrics>,
        ledger: Option<Arc<Ledger>>,
    ) -> Self {
        let not_yet = || Err(NOT_YET.to_owned());
        Self {
            limits,
            begun: Instant::now(),
            metrics,
            ledger,
            subscribes,
            turned: AtomicU64::new(0),
            news: AtomicU64::new(0),
            broke_off: AtomicU64::new(1),
            fed: AtomicBool::new(false),
            found: Mutex::new(std::array::from_fn(|_| not_yet())),
        }
    }

    /// The figures it sets.
    #[cfg(test)]
    pub fn metrics(&self) -> Arc<Metrics> {
        Arc::clone(&self.metrics)
    }

    #[must_use]
    pub fn limits(&self) -> &Limits {
        &self.limits
    }

    fn now(&self) -> u64 {
        u64::try_from(self.begun.elapsed().as_millis()).unwrap_or(u64::MAX).max(1)
    }

    /// How long ago a moment was, or the start for a moment that never was.
    fn since(&self, moment: &AtomicU64) -> Duration {
        Duration::from_millis(self.now().saturating_sub(moment.load(Ordering::Relaxed)))
    }

    /// The loop turned.
    pub fn turn(&self) {
        self.turned.store(self.now(), Ordering::Relaxed);
        self.metrics.turned.set(now_ms() as f64 / 1e3);
    }

    /// An update came, or a look or scan succeeded.
    pub fn news(&self) {
        self.news.store(self.now(), Ordering::Relaxed);
    }

    /// Whether there was any.
    #[must_use]
    pub fn has_news(&self) -> bool {
        self.news.load(Ordering::Relaxed) != 0
    }

    /// Updates flow, or do not any more.
    pub fn feed(&self, flows: bool) {
        if self.fed.swap(flows, Ordering::Relaxed) && !flows {
            self.broke_off.store(self.now(), Ordering::Relaxed);
        }
    }

    /// How long a subscription that is wanted has been missing.
    #[must_use]
    pub fn feed_lost(&self) -> Option<Duration> {
        let is_lost = self.subscribes && !self.fed.load(Ordering::Relaxed);
        is_lost.then(|| self.since(&self.broke_off))
    }

    fn found(&self) -> MutexGuard<'_, [Result<String, String>; Check::ALL.len()]> {
        // Results are replaced whole.
        self.found.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What came of a check: why it passes, or why not.
    pub fn set(&self, check: Check, result: Result<String, String>) {
        self.found()[check as usize] = result;
    }

    /// Whether the loop turns.
    #[must_use]
    pub fn liveness(&self) -> Liveness {
        let ago = self.since(&self.turned);
        let milliseconds = |time: Duration| u64::try_from(time.as_millis()).unwrap_or(u64::MAX);
        Liveness {
            alive: ago <= self.limits.stalled,
            turned_ms_ago: milliseconds(ago),
            stalled_ms: milliseconds(self.limits.stalled),
        }
    }

    fn feed_result(&self) -> Result<String, String> {
        let age = self.since(&self.news);
        let text = format!("news {} s ago", age.as_secs());
        if !self.has_news() {
            Err("no news yet".to_owned())
        } else if age > self.limits.feed_stale {
            Err(format!("{text}, {} s are allowed", self.limits.feed_stale.as_secs()))
        } else if self.feed_lost().is_some() {
            Ok(format!("{text}; the subscription is broken: polling"))
        } else {
            Ok(text)
        }
    }

    fn ledger_result(&self) -> Result<String, String> {
        match &self.ledger {
            None => Ok("none is configured".to_owned()),
            Some(ledger) => match ledger.trouble() {
                None => Ok(format!("{}", ledger.path().display())),
                Some(trouble) => Err(trouble),
            },
        }
    }

    /// Why a check does not pass, once it was looked at.
    #[must_use]
    pub fn wrong(&self, check: Check) -> Option<String> {
        match check {
            Check::Feed if !self.has_news() => None,
            Check::Feed => self.feed_result().err(),
            Check::Ledger => self.ledger_result().err(),
            _ => self.found()[check as usize].clone().err().filter(|why| why != NOT_YET),
        }
    }

    /// All checks. The figures of [`Metrics::checks`] become the same.
    #[must_use]
    pub fn readiness(&self) -> Readiness {
        let mut found = self.found().clone();
        found[Check::Feed as usize] = self.feed_result();
        found[Check::Ledger as usize] = self.ledger_result();
        let mut checks: Vec<Checked> = Vec::with_capacity(found.len());
        for (check, result) in Check::ALL.into_iter().zip(found) {
            let (ok, reason) = match result {
                Ok(reason) => (true, reason),
                Err(reason) => (false, reason),
            };
            let label = CheckLabel { check: check.label() };
            self.metrics.checks.get_or_create(&label).set(u64::from(ok));
            checks.push(Checked { check: check.label().to_owned(), ok, reason });
        }
        Readiness { ready: checks.iter().all(|checked| checked.ok), checks }
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    pub(crate) const LIMITS: Limits = Limits {
        stalled: Duration::from_millis(300),
        feed_stale: Duration::from_millis(300),
        node_behind: 10,
        low_balance: 1_000,
    };

    pub(crate) fn health(subscribes: bool) -> Health {
        Health::new(LIMITS, subscribes, Arc::new(Metrics::new()), None)
    }

    fn of(health: &Health, check: Check) -> (bool, String) {
        let readiness = health.readiness();
        let checked = &readiness.checks[check as usize];
        assert_eq!(checked.check, check.label());
        (checked.ok, checked.reason.clone())
    }

    #[test]
    fn a_stalled_loop_is_not_alive_until_it_turns_again() {
        let health = health(false);
        assert!(health.liveness().alive);
        std::thread::sleep(LIMITS.stalled + Duration::from_millis(50));
        assert!(!health.liveness().alive);
        health.turn();
        let liveness = health.liveness();
        assert!(liveness.alive && liveness.stalled_ms == 300, "{liveness:?}");
    }

    #[test]
    fn it_is_ready_when_every_check_passes_and_says_which_does_not() {
        let health = health(false);
        assert!(!health.readiness().ready);
        health.news();
        for check in [Check::Market, Check::Node, Check::Key, Check::Tables, Check::Program] {
            assert_eq!(of(&health, check), (false, "not looked at yet".to_owned()));
            health.set(check, Ok("fine".to_owned()));
        }
        assert!(health.readiness().ready, "{:?}", health.readiness());
        health.set(Check::Node, Err("40 slots behind".to_owned()));
        assert!(!health.readiness().ready);
        assert_eq!(of(&health, Check::Node), (false, "40 slots behind".to_owned()));
        let text = health.metrics.render();
        assert!(text.contains("keeper_check{check=\"node\"} 0"), "{text}");
        assert!(text.contains("keeper_check{check=\"market\"} 1"), "{text}");
    }

    #[test]
    fn news_age_and_a_lost_subscription_is_told() {
        let health = health(true);
        assert_eq!(of(&health, Check::Feed), (false, "no news yet".to_owned()));
        health.feed(true);
        health.news();
        assert_eq!(of(&health, Check::Feed), (true, "news 0 s ago".to_owned()));
        assert_eq!(health.feed_lost(), None);
        health.feed(false);
        assert!(of(&health, Check::Feed).1.ends_with("polling"));
        assert!(health.feed_lost().is_some_and(|lost| lost < LIMITS.feed_stale));
        std::thread::sleep(LIMITS.feed_stale + Duration::from_millis(50));
        assert!(!of(&health, Check::Feed).0);
        assert!(health.feed_lost().is_some_and(|lost| lost > LIMITS.feed_stale));
        health.feed(true);
        health.news();
        assert!(of(&health, Check::Feed).0 && health.feed_lost().is_none());
    }
}
