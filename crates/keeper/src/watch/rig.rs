//! The loop without threads, for tests: what it orders is read at once, from the built-in
//! fork.

use std::sync::{
    Arc,
    mpsc::{self, Receiver},
};

use solana_account::Account;
use solana_address::Address;

use super::{engine::Engine, parts::Parts, worker::Job};
use crate::{
    config::Config,
    feeds::{
        feed::Version,
        source::{BuiltinFork, Source},
    },
    health::{Health, Limits},
    keys::Key,
    ledger::{metrics::Metrics, records::Records},
    reader::{self, Found, Look, Order, Reader, Why},
};

pub struct Rig {
    pub engine: Engine,
    /// What is to be tried.
    pub jobs: Receiver<Job>,
    /// What is to be read.
    pub orders: Receiver<Order>,
    pub source: Arc<BuiltinFork>,
    pub market: Address,
}

/// The configuration that these settings make.
pub fn config(settings: &str) -> Config {
    let (config, mistakes) = Config::read(settings);
    assert!(mistakes.is_empty(), "{mistakes:?}");
    config.unwrap()
}

/// What a loop without a node and without a ledger is made of.
pub fn parts(source: Arc<dyn Source>, config: Config) -> Parts {
    let metrics = Arc::new(Metrics::new());
    Parts {
        source,
        config: Arc::new(config),
        key: Arc::new(Key::simulated()),
        roads: Vec::new(),
        tips: None,
        records: Arc::new(Records::new(Arc::clone(&metrics), None)),
        health: Arc::new(Health::new(Limits::default(), false, metrics, None)),
        board: Arc::default(),
        checker: None,
        connector: None,
        on_chain: false,
        seed: 7,
        recorder: None,
    }
}

impl Rig {
    /// The loop as these settings want it, and as `change` makes them.
    pub fn new(settings: &str, change: impl FnOnce(&mut Config)) -> Self {
        let source = Arc::new(BuiltinFork::new().unwrap());
        let mut config = config(settings);
        change(&mut config);
        let market = config.markets[0];
        let parts = parts(Arc::clone(&source) as _, config);
        let (mut engine, jobs) = Engine::idle(parts, &Arc::default()).unwrap();
        let (sender, orders) = mpsc::channel();
        let Engine { scanner, looker, hasher, asker, finder, .. } = &mut engine;
        for reader in [scanner, looker, hasher, asker, finder] {
            *reader = Reader::to(sender.clone());
        }
        Self { engine, jobs, orders, source, market }
    }

    /// Lets it turn, with everything read that it orders, until it orders nothing more.
    pub fn settle(&mut self) {
        for _ in 0..9 {
            self.engine.begin().unwrap();
            while let Ok(order) = self.orders.try_recv() {
                self.engine.found(reader::read(&*self.source, order)).unwrap();
            }
            self.engine.end().unwrap();
        }
    }

    /// The accounts that it orders looked at now for a reason.
    pub fn looks(&mut self, wanted: Why) -> Vec<Address> {
        self.engine.failed_until = None;
        self.engine.begin().unwrap();
        let of = |order| match order {
            Order::Look { keys, why } if why == wanted => keys,
            _ => Vec::new(),
        };
        self.orders.try_iter().flat_map(of).collect()
    }

    /// A look at an account ends with what was found.
    pub fn looked(&mut self, why: Why, key: &Address, slot: u64, account: Option<Account>) {
        let look = Look { slot, accounts: vec![(*key, account)] };
        self.engine.found(Found::Look(why, Ok(look))).unwrap();
    }

    /// The slot of the fork.
    pub fn slot(&self) -> u64 {
        self.source.clock().unwrap().slot
    }

    /// Tells it what is at an address from a slot on.
    pub fn tell(&mut self, key: &Address, slot: u64, account: Option<Account>) {
        self.engine.written(*key, Version { slot, write: 0 }, account, false);
    }
}
