//! The one place the loop tells what it does: counted, and kept where there is a ledger.

use std::{
    collections::HashMap,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::Duration,
};

use anyhow::Result;
use solana_address::Address;
use tracing::warn;

use super::{
    Ledger, Ticket,
    metrics::Metrics,
    record::{Begun, Declined, Ended, Outcome, Run},
    store::GAP,
};
use crate::route::why::Reason;

/// How long a transaction may wait for its row.
const PATIENCE: Duration = Duration::from_secs(1);

/// Slots in which it is told once that an obligation is left alone for a reason: the fewest,
/// and the most, when it has been so for long.
const AGAIN: (u64, u64) = (20, GAP / 2);
/// Obligations and reasons that are remembered so as to be told seldom.
const REMEMBERED: usize = 32_768;

/// What was told of an obligation that is left alone.
struct Told {
    first: u64,
    last: u64,
}

/// Told of every attempt.
pub struct Records {
    pub metrics: Arc<Metrics>,
    ledger: Option<Arc<Ledger>>,
    /// The last attempt could not begin: told once.
    refused: AtomicBool,
    /// Failures since the last success, and the last of them.
    failures: AtomicU64,
    last: Mutex<String>,
    declined: Mutex<HashMap<(Address, Reason), Told>>,
    /// There was no room to keep the last that was left alone: told once.
    is_crowded: AtomicBool,
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
            declined: Mutex::default(),
            is_crowded: AtomicBool::new(false),
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

    /// A keeper begins to watch, at a Unix time in milliseconds.
    pub fn run(&self, run: Run, at_ms: i64) {
        if let Some(ledger) = &self.ledger {
            ledger.run(run, at_ms);
        }
    }

    /// An obligation is left alone at a slot, for a reason that is spelled out where it is
    /// kept: not each time, if that is often. `at_ms` is a Unix time in milliseconds.
    pub fn decline(
        &self,
        obligation: &Address,
        why: Reason,
        slot: u64,
        at_ms: i64,
        spelled: impl FnOnce() -> Declined,
    ) {
        if !self.is_news(obligation, why, slot) {
            return;
        }
        let outcome = match why {
            Reason::BelowFloor | Reason::TooSmall => Outcome::TooLittle,
            _ => Outcome::Refused,
        };
        self.metrics.ended(&Ended::early(outcome, why.code(), String::new()));
        let Some(ledger) = &self.ledger else { return };
        let has_room = ledger.decline(spelled(), at_ms);
        if !has_room && !self.is_crowded.swap(true, Ordering::Relaxed) {
            warn!("too many obligations are left alone at once for the ledger to keep all of them");
        } else if has_room {
            self.is_crowded.store(false, Ordering::Relaxed);
        }
    }

    fn is_news(&self, obligation: &Address, why: Reason, slot: u64) -> bool {
        let (fewest, most) = AGAIN;
        let mut all = self.declined.lock().unwrap_or_else(PoisonError::into_inner);
        if all.len() >= REMEMBERED {
            all.retain(|_, told| told.last.saturating_add(most) > slot);
            if all.len() >= REMEMBERED {
                all.clear();
            }
        }
        match all.get_mut(&(*obligation, why)) {
            Some(told) => {
                let since = slot.saturating_sub(told.last);
                if since > GAP {
                    told.first = slot;
                } else if since < (slot.saturating_sub(told.first) / 8).clamp(fewest, most) {
                    return false;
                }
                told.last = slot;
            }
            None => drop(all.insert((*obligation, why), Told { first: slot, last: slot })),
        }
        true
    }

    /// Whether so much waits to be written that it should be waited for.
    #[must_use]
    pub fn is_full(&self) -> bool {
        self.ledger.as_ref().is_some_and(|ledger| ledger.is_crowded())
    }

    /// Waits until everything that was told is on the disk, what was left alone too.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn flush(&self) -> Result<()> {
        self.ledger.as_ref().map_or(Ok(()), |ledger| ledger.flush())
    }

    /// Waits until all attempts that were told are on the disk.
    ///
    /// # Errors
    /// When they cannot be written.
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
