//! What the loop works with.

use std::sync::Arc;

use crate::{
    config::Config,
    feeds::{feed::Connect, inclusion::TipService, source::Source},
    health::{Health, board::Board},
    keys::Key,
    land::roads::Road,
    ledger::records::Records,
    recording::Recorder,
    verify::checker::Checker,
};

/// What the loop works with.
pub struct Parts {
    pub source: Arc<dyn Source>,
    pub config: Arc<Config>,
    pub key: Arc<Key>,
    pub roads: Vec<Road>,
    /// Who tells what tips are at.
    pub tips: Option<Arc<TipService>>,
    /// Told of every attempt.
    pub records: Arc<Records>,
    pub health: Arc<Health>,
    /// What people are shown.
    pub board: Arc<Board>,
    /// Compares the model with what klend does.
    pub checker: Option<Checker>,
    /// Makes the way updates come, if they do not have to be polled for.
    pub connector: Option<Connect>,
    /// Accounts are a cluster's: without a blockhash nothing can be sent.
    pub on_chain: bool,
    /// What is left to chance hangs on it.
    pub seed: u64,
    /// Keeps what the loop is told.
    pub recorder: Option<Recorder>,
}
