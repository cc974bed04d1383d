//! The thread that compares, beside the path: what it cannot keep up with is dropped, and
//! counted. Where nobody waits, it is compared at once.

use std::{
    path::{Path, PathBuf},
    sync::{
        Arc, Mutex, PoisonError,
        mpsc::{self, SyncSender},
    },
    thread,
};

use anyhow::Result;
use tracing::{debug, info, warn};

use super::{
    Outcome,
    case::Case,
    judge,
    tally::{Taken, Tally},
    witness::Witness,
};
use crate::{
    feeds::{
        source::{Rpc, Source},
        told,
    },
    ledger::metrics::{Metrics, RuleLabels},
};

/// Cases that may wait.
const CAPACITY: usize = 1_024;
/// Folders that one process writes.
const FOLDERS: usize = 16;

/// Where cases go.
pub struct Checker {
    way: Way,
    pub tally: Arc<Tally>,
}

enum Way {
    Thread(SyncSender<Case>),
    Here(Mutex<Box<Comparer>>),
}

/// Compares cases and tells of differences.
pub struct Comparer {
    source: Option<Arc<dyn Source>>,
    tally: Arc<Tally>,
    metrics: Option<Arc<Metrics>>,
    /// Where cases are written: the first that differ, or all of them.
    folder: Option<PathBuf>,
    all: bool,
    written: usize,
}

impl Checker {
    /// Starts the thread, which ends with the process or when this is dropped.
    ///
    /// # Errors
    /// No thread could be started.
    pub fn start(mut comparer: Comparer) -> Result<Self> {
        let tally = Arc::clone(&comparer.tally);
        let (cases, received) = mpsc::sync_channel(CAPACITY);
        thread::Builder::new().name("verify".to_owned()).spawn(move || {
            for case in received {
                if told("the comparison", || Ok(comparer.take(&case))).is_err() {
                    comparer.tally.drop_one();
                }
            }
        })?;
        Ok(Self { way: Way::Thread(cases), tally })
    }

    /// Compares as soon as it is handed something, and drops nothing.
    #[must_use]
    pub fn here(comparer: Comparer) -> Self {
        let tally = Arc::clone(&comparer.tally);
        Self { way: Way::Here(Mutex::new(Box::new(comparer))), tally }
    }

    /// Hands cases over.
    pub fn take(&self, cases: Vec<Case>) {
        for case in cases {
            match &self.way {
                Way::Thread(cases) => {
                    if cases.try_send(case).is_err() {
                        self.tally.drop_one();
                    }
                }
                Way::Here(comparer) => {
                    comparer.lock().unwrap_or_else(PoisonError::into_inner).take(&case);
                }
            }
        }
    }
}

impl Comparer {
    /// Differences are written into `folder`, with `all` every case.
    pub fn new(
        source: Option<Arc<dyn Source>>,
        tally: Arc<Tally>,
        metrics: Option<Arc<Metrics>>,
        folder: Option<PathBuf>,
        all: bool,
    ) -> Self {
        Self { source, tally, metrics, folder, all, written: 0 }
    }

    /// Compares one case.
    pub fn take(&mut self, case: &Case) -> Outcome {
        let witness = self.rpc().map(|rpc| rpc as &dyn Witness);
        let outcome = judge(case, witness);
        let Taken { agreed, differed, first } = self.tally.take(case, &outcome);
        if let Some(metrics) = &self.metrics {
            for (rules, outcome) in [(&agreed, "agreed"), (&differed, "differed")] {
                for rule in rules {
                    let labels = RuleLabels { rule: rule.name(), outcome };
                    metrics.model_comparisons.get_or_create(&labels).inc();
                }
            }
            if matches!(outcome, Outcome::LeftOut(_)) {
                metrics.model_left_out.inc();
            }
        }
        match &outcome {
            Outcome::LeftOut(reason) => {
                debug!(key = %case.key, reason, "not compared");
                if self.all {
                    self.keep(case, reason, "");
                }
            }
            Outcome::Compared(compared) => {
                let lines = |only: bool| -> String {
                    let shown = compared.iter().filter(|one| !only || !one.agrees());
                    shown.map(|one| format!("{one}\n")).collect()
                };
                let differing = lines(true);
                if !differing.is_empty() {
                    let slot = case.moment().map(|moment| moment.slot);
                    let text = differing.trim_end().replace('\n', "; ");
                    warn!(key = %case.key, slot, differing = text, "the model and klend differ");
                }
                if self.all || !first.is_empty() {
                    self.keep(
                        case,
                        &lines(false),
                        if first.is_empty() { "" } else { "difference-" },
                    );
                }
            }
        }
        outcome
    }

    fn rpc(&self) -> Option<&Rpc> {
        self.source.as_ref().and_then(|source| source.rpc())
    }

    fn keep(&mut self, case: &Case, text: &str, what: &str) {
        let Some(folder) = &self.folder else { return };
        if !self.all && self.written >= FOLDERS {
            return;
        }
        let slot = case.moment().map_or(0, |moment| moment.slot);
        let path: &Path = &folder.join(format!("{what}{slot}-{}", case.key));
        let about = format!("klend {}, {}\n{text}\n", case.klend, case.key);
        let transaction = self
            .rpc()
            .filter(|_| case.is_liquidation())
            .and_then(|rpc| Witness::transaction(rpc, case).ok());
        match case.write(path, &about, transaction.as_ref()) {
            Ok(()) => {
                self.written += 1;
                info!(folder = %path.display(), "written: keeper verify reads it");
            }
            Err(reason) => {
                let reason = format!("{reason:#}");
                warn!(folder = %path.display(), reason, "the case cannot be written");
            }
        }
    }
}
