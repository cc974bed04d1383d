//! What is known of an aggregator's offers: which pairs are asked about, and who waits.

use std::{
    collections::{BTreeMap, HashMap, HashSet},
    sync::{Arc, mpsc::SyncSender},
    time::Instant,
};

use anyhow::Result;
use solana_address::Address;

use super::event::Event;
use crate::{
    book::pools::{Offered, Pair},
    config::Asking,
    feeds::jupiter::{Asker, Jupiter},
};

/// A pair that is asked about.
pub(super) struct Asked {
    /// The largest amount that may have to be sold.
    pub amount: u64,
    /// When somebody near had it last.
    pub seen: Instant,
    /// When it was asked about last.
    pub at: Option<Instant>,
    pub answered: bool,
    pub max_accounts: u8,
    /// The trouble that was told last, so that it is told once.
    pub told: String,
}

/// See the module.
pub(super) struct Offering {
    pub asker: Option<Asker>,
    pub pairs: BTreeMap<Pair, Asked>,
    /// A question is open.
    pub asking: bool,
    pub next: Instant,
    /// Offers that were not held against a transaction's limits yet.
    pub unchecked: Vec<Arc<Offered>>,
    /// Obligations whose sale is asked for exactly, and since when.
    pub consulting: HashMap<Address, (Pair, Instant, f64)>,
    pub consulted: HashSet<Address>,
}

impl Offering {
    pub fn new(asking: Option<&Asking>, events: &SyncSender<Event>) -> Result<Self> {
        let start = |asking: &Asking| {
            let answered = events.clone();
            anyhow::Ok(Asker::start(Jupiter::new(&asking.settings)?, move |ask, answer| {
                // The loop is gone only when the process ends.
                let _ = answered.send(Event::Offered(Box::new((ask, answer))));
            }))
        };
        Ok(Self {
            asker: asking.map(start).transpose()?,
            pairs: BTreeMap::new(),
            asking: false,
            next: Instant::now(),
            unchecked: Vec::new(),
            consulting: HashMap::new(),
            consulted: HashSet::new(),
        })
    }
}
