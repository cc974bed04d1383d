//! What the loop last saw, for people who look: prices, slots, and the obligations that are
//! nearest to being liquidated. The loop writes it when it has nothing else to do.

use std::{
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use crate::judge::state::Seen;

/// Pause between two times it is written while somebody looks.
const LOOKED_AT: Duration = Duration::from_secs(1);
/// The same while nobody does.
const ALONE: Duration = Duration::from_secs(60);
/// How long one look counts.
const LOOK: Duration = Duration::from_secs(10);

/// The markets as they were last seen.
#[derive(Debug)]
pub struct Board {
    begun: Instant,
    /// Milliseconds after `begun`; zero for never.
    written: AtomicU64,
    looked: AtomicU64,
    markets: Mutex<Vec<Seen>>,
}

impl Default for Board {
    fn default() -> Self {
        Self {
            begun: Instant::now(),
            written: AtomicU64::new(0),
            looked: AtomicU64::new(0),
            markets: Mutex::default(),
        }
    }
}

impl Board {
    fn now(&self) -> u64 {
        u64::try_from(self.begun.elapsed().as_millis()).unwrap_or(u64::MAX).max(1)
    }

    fn is_past(&self, moment: &AtomicU64, pause: Duration) -> bool {
        let moment = moment.load(Ordering::Relaxed);
        let age = Duration::from_millis(self.now().saturating_sub(moment));
        moment == 0 || age >= pause
    }

    /// Whether it should be written again.
    #[must_use]
    pub fn is_due(&self) -> bool {
        let pause = if self.is_past(&self.looked, LOOK) { ALONE } else { LOOKED_AT };
        self.is_past(&self.written, pause)
    }

    /// What the loop sees.
    pub fn write(&self, markets: Vec<Seen>) {
        self.written.store(self.now(), Ordering::Relaxed);
        *self.markets.lock().unwrap_or_else(PoisonError::into_inner) = markets;
    }

    /// What it saw last.
    #[must_use]
    pub fn look(&self) -> Vec<Seen> {
        self.looked.store(self.now(), Ordering::Relaxed);
        self.markets.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_written_more_often_while_somebody_looks() {
        let board = Board::default();
        assert!(board.is_due(), "never written");
        board.write(Vec::new());
        assert!(!board.is_due());
        std::thread::sleep(LOOKED_AT + Duration::from_millis(50));
        assert!(!board.is_due(), "nobody looks");
        assert!(board.look().is_empty());
        assert!(board.is_due());
    }
}
