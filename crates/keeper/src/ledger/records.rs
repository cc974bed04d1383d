//! The one place the loop tells what it does: counted, and kept where there is a ledger.

use std::{
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::Duration,
};

use anyhow::Result;
use tracing::warn;

use super::{
    Ledger, Ticket,
    metrics::Metrics,
    record::{Begun, Ended, Outcome},
};

/// How long a transaction may wait for its row.
const PATIENCE: Duration = Duration::from_secs(1);

/// Told of every attempt.
pub struct Records {
    pub metrics: Arc<Metrics>,
    ledger: Option<Arc<Ledger>>,
    /// The last attempt could not begin: told once.
    refused: AtomicBool,
    /// Failures since the last success, and the last of them.
    failures: AtomicU64,
    last: Mutex<String>,
}

impl Records {
    #[must_use]
    pub fn new(metrics: Arc<Metrics>, ledger: Option<Arc<Ledger>>) -> Self {
        Self {
            metrics,
            ledger,
            refused: AtomicBool::new(false),
            failures: AtomicU64::new(0),
            last: Mutex::default(),
        }
    }

    /// An attempt begins, at a Unix time in milliseconds; without a ledger there is no row.
    ///
    /// # Errors
    /// When it could not be kept: then it must not begin.
    pub fn begin(&self, begun: Begun, at_ms: i64) -> Result<Option<Ticket>> {
        let ticket = self.ledger.as_ref().map(|ledger| ledger.begin(begun, at_ms)).transpose();
        match &ticket {
            Ok(_) => {
                self.refused.store(false, Ordering::Relaxed);
                self.metrics.attempts.inc();
            }
            Err(reason) if !self.refused.swap(true, Ordering::Relaxed) => {
                warn!(reason = format!("{reason:#}"), "no attempt begins");
            }
            Err(_) => {}
        }
        ticket
    }

    /// A transaction of this signature is about to leave. Whether it may: its row, and
    /// the end of every attempt before, has to be on the disk.
    #[must_use]
    pub fn may_send(&self, ticket: Option<Ticket>, signature: &str) -> bool {
        let (Some(ledger), Some(ticket)) = (&self.ledger, ticket) else { return true };
        ledger.signed(ticket, signature);
        let is_durable = ledger.is_durable(ticket, PATIENCE);
        if !is_durable {
            let trouble = ledger.trouble().unwrap_or_else(|| "the disk is slow".to_owned());
            warn!(signature, reason = trouble, "not sent: its row is not in the ledger");
        }
        is_durable
    }

    /// Waits until everything that was told is on the disk.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn settle(&self) -> Result<()> {
        self.ledger.as_ref().map_or(Ok(()), |ledger| ledger.settle())
    }

    /// Failures since the last success.
    #[must_use]
    pub fn failures(&self) -> u64 {
        self.failures.load(Ordering::Relaxed)
    }

    /// Why the last of them failed.
    #[must_use]
    pub fn last(&self) -> String {
        self.last.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// An attempt ended.
    pub fn end(&self, ticket: Option<Ticket>, ended: Ended, at_ms: i64) {
        self.metrics.ended(&ended);
        let is_success = matches!(ended.outcome, Outcome::Liquidated | Outcome::Simulated);
        match ended.outcome {
            Outcome::Failed | Outcome::Unknown => {
                self.failures.fetch_add(1, Ordering::Relaxed);
                *self.last.lock().unwrap_or_else(PoisonError::into_inner) = ended.reason.clone();
            }
            _ if is_success => self.failures.store(0, Ordering::Relaxed),
            _ => {}
        }
        if is_success && ended.numbers.differs() {
            self.metrics.model_differences.inc();
        }
        if let (Some(ledger), Some(ticket)) = (&self.ledger, ticket) {
            ledger.end(ticket, Box::new(ended), at_ms);
        }
    }
}
