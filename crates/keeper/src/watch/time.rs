//! The loop's time. It is read when a turn begins and when it takes in what it was told,
//! and stands still in between: so a turn that is replayed sees the same moments.

use std::time::{Duration, Instant};

use crate::ledger::now_ms;

/// A moment, by both clocks: one that never jumps, and the one that people read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Moment {
    /// Since the loop began, whole microseconds.
    pub since: Duration,
    /// Unix time, milliseconds.
    pub unix_ms: i64,
}

/// The moment that counts.
#[derive(Clone, Copy, Debug)]
pub struct Time {
    began: Instant,
    /// As it was last read or set.
    pub at: Moment,
}

impl Default for Time {
    fn default() -> Self {
        let at = Moment { since: Duration::ZERO, unix_ms: now_ms() };
        Self { began: Instant::now(), at }
    }
}

impl Time {
    /// Reads the clocks.
    pub fn read(&mut self) {
        let micros = u64::try_from(self.began.elapsed().as_micros()).unwrap_or(u64::MAX);
        self.at = Moment { since: Duration::from_micros(micros), unix_ms: now_ms() };
    }

    /// The moment on the clock that never jumps. Of a recording it lies in the future.
    #[must_use]
    pub fn now(&self) -> Instant {
        self.began + self.at.since
    }
}
