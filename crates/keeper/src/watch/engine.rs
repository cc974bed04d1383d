//! The loop: updates in, liquidations out.
//!
//! One thread owns all that is known and never waits for a node. Reading threads scan, look,
//! read blockhashes, ask what inclusion costs and look for pools, feeds bring updates, workers
//! liquidate; all of them answer through one channel. An obligation is in flight from the moment
//! a worker gets it until that worker says how it ended, so nothing is ever sent twice.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap, HashSet},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
        mpsc::{self, Receiver, SyncSender},
    },
    time::{Duration, Instant},
};

use anyhow::{Result, anyhow, bail};
use solana_account::Account;
use solana_address::Address;
use solana_signer::Signer;
use tracing::info;

use super::{
    event::Event,
    offering::Offering,
    parts::Parts,
    scouting::Scouting,
    time::Time,
    worker::{Job, Shared, Workers},
};
use crate::{
    book::{
        accounts::Accounts,
        chain::Chain,
        missing::Missing,
        pools::{Pair, Pools},
        scope::Scope,
    },
    config::Simulate,
    feeds::feed::{Feed, NAP, Version, Wanted},
    judge::{
        cooldown::Cooldown,
        flights::Flights,
        queue::Queue,
        state::{Merging, State},
    },
    ledger::{Ticket, record::Numbers},
    reader::{Looks, Order, Reader},
    recording::told::{By, Told, Turn},
    route::{discovery::Want, position::Quoted},
    verify::collector::Collector,
};

/// Obligations of a market that people are shown.
const NEAREST: usize = 20;
/// Updates that may wait to be handled.
const CAPACITY: usize = 16_384;
/// Updates that are taken in before what they changed is evaluated.
const BATCH: usize = 1_024;
/// Obligations of a scan that one turn takes.
const MERGED: usize = 1_024;

/// A feed, what it is subscribed to, and whether updates flow.
#[derive(Default)]
pub(super) struct Subscription {
    pub feed: Option<(Feed, Wanted)>,
    pub number: u64,
    pub flows: bool,
}

/// When a pair's pools were looked for, and for what.
pub(super) struct Sought {
    /// When that was ordered, or answered.
    pub at: Instant,
    /// The largest amount that they were to be sold for.
    pub wanted: Want,
    /// It was answered in full, or failed so often that more is not to be had.
    pub answered: bool,
    /// An answer is waited for.
    pub ordered: bool,
    /// How often in a row it failed, or was answered only in part.
    pub failed: u32,
}

impl Sought {
    /// How long after a search the next one is due, where a full answer is good for
    /// `pause`: soon where it failed, and later with each time.
    pub fn pause(&self, pause: Duration) -> Duration {
        match self.failed {
            0 if self.answered => pause,
            0 => Duration::ZERO,
            failed => AGAIN.saturating_mul(1 << (failed - 1).min(16)).min(pause),
        }
    }
}

/// Pause after a search for pools that failed; it doubles with each time.
const AGAIN: Duration = Duration::from_secs(2);

pub(super) struct Engine {
    pub parts: Parts,
    pub time: Time,
    pub keeper: Address,
    pub events: SyncSender<Event>,
    /// Reads what takes long.
    pub scanner: Reader,
    /// Reads what is waited for.
    pub looker: Reader,
    /// Reads blockhashes, which end while others are waited for.
    pub hasher: Reader,
    /// Asks what rent and inclusion are at: of services that nobody waits for.
    pub asker: Reader,
    /// Looks for pools.
    pub finder: Reader,
    pub workers: Workers,
    pub shared: Arc<Shared>,
    /// Markets that were scanned, lenders among them.
    pub states: BTreeMap<Address, State>,
    pub accounts: Accounts,
    pub chain: Chain,
    pub pools: Pools,
    /// Updates from before all markets were scanned, the newest of each account.
    pub early: BTreeMap<Address, (Version, Account)>,
    /// The markets' own accounts.
    pub market_feed: Subscription,
    /// Pools.
    pub pool_feed: Subscription,
    pub feeds_started: u64,
    /// Accounts of pools, kept as they change.
    pub live: BTreeSet<Address>,
    /// What their prices depend on may be other accounts now.
    pub pools_moved: bool,
    /// Prices that may be written first, where that is wanted.
    pub scope: Option<Scope>,
    /// Price tables that are looked for.
    pub averages_ordered: bool,
    /// Pairs whose pools were looked for, or are.
    pub sought: BTreeMap<Pair, Sought>,
    /// What the aggregator is asked, and what of it waits.
    pub offering: Offering,
    /// Obligations near their limit, and what they need.
    pub scouting: Scouting,
    /// Later scans of markets that are being taken.
    pub merging: BTreeMap<Address, Merging>,
    /// Accounts that a look was ordered for.
    pub asked: HashSet<Address>,
    /// Programs that the machine has, and those that it does not take.
    pub loaded: BTreeSet<Address>,
    pub refused: BTreeSet<Address>,
    pub machines: u64,
    pub machine_ordered: bool,
    pub queue: Queue,
    pub cooldown: Cooldown,
    pub flights: Flights,
    /// Why an obligation failed last, and how often in a row it did so.
    pub failures: HashMap<Address, (String, u32)>,
    /// Tries in a row that did not land.
    pub tries: HashMap<Address, u32>,
    /// Markets whose scan was ordered, is wanted, and when it was last merged.
    pub scanning: BTreeSet<Address>,
    pub scan_wanted: BTreeSet<Address>,
    pub scanned: BTreeMap<Address, Instant>,
    pub looking: bool,
    pub next_look: Instant,
    pub chain_ordered: bool,
    pub next_chain: Instant,
    pub blockhash_ordered: bool,
    pub next_blockhash: Instant,
    /// The newest blockhash is too old to sign with, and that was said.
    pub blockhash_spent: bool,
    pub next_scout: Instant,
    /// When it is next seen whether updates tell of every change.
    pub next_audit: Instant,
    pub auditing: bool,
    /// The last obligation that was looked at for it.
    pub audited: Address,
    /// Accounts that changed without an update, and since when that is known.
    pub doubts: BTreeMap<Address, Instant>,
    /// Nothing is begun before then: the key could not pay.
    pub paused_until: Option<Instant>,
    /// Pause after the source failed.
    pub pause: Duration,
    pub failed_until: Option<Instant>,
    /// All obligations are to be evaluated, whether or not anything changed.
    pub evaluate_all: bool,
    /// Obligations of the last evaluation that were not quoted yet.
    pub unquoted: usize,
    /// What this turn has quoted: it holds until the loop is told something else.
    pub quoted: HashMap<Address, Quoted>,
    /// When the oldest update came that was not evaluated yet.
    pub heard: Option<Instant>,
    /// Rows and figures of what is in flight.
    pub kept: HashMap<Address, (Option<Ticket>, Box<Numbers>)>,
    /// Debts, US dollars, that could be liquidated but found no lender or venue.
    pub unsellable: HashMap<Address, f32>,
    /// What was there and by one answer is no more, and the second looks at it.
    pub missing: Missing,
    pub confirmed: Looks,
    /// What the path needs, or may have changed unseen.
    pub needed: Looks,
    /// What feeds told of markets that were scanned since updates flow.
    pub collectors: BTreeMap<Address, Collector>,
    /// Markets whose scan was ordered since updates flow.
    pub scanned_fed: BTreeSet<Address>,
    /// Everything that the path needs is there.
    pub ready: bool,
    pub passes: u64,
}

/// Watches until `stop` is set, or the markets were evaluated `passes` times; what
/// is in flight then ends first.
///
/// # Errors
/// When a thread of the loop breaks down.
pub fn run(parts: Parts, stop: &Arc<AtomicBool>, passes: Option<u64>) -> Result<u64> {
    let (sender, events) = mpsc::sync_channel(CAPACITY);
    let mut engine = Engine::live(parts, sender, stop)?;
    while !stop.load(Ordering::Relaxed) && passes.is_none_or(|passes| engine.passes < passes) {
        engine.turn(&events)?;
    }
    engine.finish(&events)
}

impl Engine {
    /// With threads that read and work.
    fn live(parts: Parts, events: SyncSender<Event>, stop: &Arc<AtomicBool>) -> Result<Self> {
        let shared = Shared::new(&parts, stop)?;
        let done = events.clone();
        let workers = Workers::start(parts.config.workers, &shared, move |plan, ended| {
            // The loop is gone only when the process ends.
            let _ = done.send(Event::Done(plan, ended));
        });
        let records = parts.recorder.is_some();
        let reader = || {
            let found = events.clone();
            Reader::start(Arc::clone(&parts.source), move |what| {
                // Copied here, because the loop has no time.
                let copy = records.then(|| Box::new(Told::of(&what)));
                let _ = found.send(Event::Found(what, copy));
            })
        };
        let readers = [(); 5].map(|()| reader());
        let offering = Offering::new(parts.config.jupiter.as_ref(), &events)?;
        Self::new(parts, events, shared, readers, workers, offering)
    }

    /// Without threads: what was found and how it ended is handed in, and what is to be
    /// tried comes out.
    pub(super) fn idle(parts: Parts, stop: &Arc<AtomicBool>) -> Result<(Self, Receiver<Job>)> {
        // Nobody listens: feeds that are started here have no connections.
        let (events, _) = mpsc::sync_channel(1);
        let shared = Shared::new(&parts, stop)?;
        let (workers, jobs) = Workers::none();
        let readers = [(); 5].map(|()| Reader::idle());
        let offering = Offering::new(None, &events)?;
        Ok((Self::new(parts, events, shared, readers, workers, offering)?, jobs))
    }

    fn new(
        parts: Parts,
        events: SyncSender<Event>,
        shared: Arc<Shared>,
        [scanner, looker, hasher, asker, finder]: [Reader; 5],
        workers: Workers,
        offering: Offering,
    ) -> Result<Self> {
        let config = &parts.config;
        let mut pools = Pools::of(config.pools.clone());
        pools.seeks = config.discover.is_some();
        let time = Time::default();
        let now = time.now();
        let mut engine = Self {
            time,
            keeper: parts.key.pubkey(),
            scanner,
            looker,
            hasher,
            asker,
            finder,
            workers,
            shared,
            states: BTreeMap::new(),
            accounts: Accounts::default(),
            chain: Chain::default(),
            pools,
            early: BTreeMap::new(),
            market_feed: Subscription::default(),
            pool_feed: Subscription::default(),
            feeds_started: 0,
            live: BTreeSet::new(),
            pools_moved: false,
            scope: config.refresh_prices.then(Scope::default),
            averages_ordered: false,
            sought: BTreeMap::new(),
            offering,
            scouting: Scouting::default(),
            merging: BTreeMap::new(),
            asked: HashSet::new(),
            loaded: BTreeSet::new(),
            refused: BTreeSet::new(),
            machines: 0,
            machine_ordered: false,
            queue: Queue::default(),
            cooldown: Cooldown::new(config.cooldown),
            flights: Flights::new(config.workers),
            failures: HashMap::new(),
            tries: HashMap::new(),
            scanning: BTreeSet::new(),
            scan_wanted: BTreeSet::new(),
            scanned: BTreeMap::new(),
            looking: false,
            next_look: now,
            chain_ordered: false,
            next_chain: now,
            blockhash_ordered: false,
            next_blockhash: now,
            blockhash_spent: false,
            next_scout: now,
            next_audit: now,
            auditing: false,
            audited: Address::default(),
            doubts: BTreeMap::new(),
            paused_until: None,
            pause: config.poll,
            failed_until: None,
            evaluate_all: false,
            unquoted: 0,
            quoted: HashMap::new(),
            heard: None,
            kept: HashMap::new(),
            unsellable: HashMap::new(),
            missing: Missing::default(),
            confirmed: Looks::default(),
            needed: Looks::default(),
            collectors: BTreeMap::new(),
            scanned_fed: BTreeSet::new(),
            ready: false,
            passes: 0,
            parts,
            events,
        };
        if engine.parts.connector.is_some() {
            // Subscriptions first: what changes during the scan is then told.
            engine.looking = true;
            engine.scanner.order(Order::Keys(engine.markets()))?;
        } else {
            engine.scan_wanted = engine.markets().into_iter().collect();
        }
        Ok(engine)
    }

    /// The markets that are watched, then those that only lend.
    pub fn markets(&self) -> Vec<Address> {
        let config = &self.parts.config;
        let lenders = config.lend_from.iter().filter(|key| !config.markets.contains(key));
        config.markets.iter().chain(lenders).copied().collect()
    }

    /// Accounts of pools, and those that prices are written from: kept as they change.
    pub fn followed(&self) -> impl Iterator<Item = &Address> {
        let sources = self.scope.iter().flat_map(Scope::sources);
        self.live.iter().chain(sources.filter(|key| !self.live.contains(*key)))
    }

    /// Takes in what has come, evaluates what it changed, and hands out work.
    fn turn(&mut self, events: &Receiver<Event>) -> Result<()> {
        self.time.read();
        let begun = self.time.at;
        let was_due = self.begin()?;
        // What is left over is not waited with.
        let asks = self.ready && self.scope.as_ref().is_some_and(Scope::is_pending);
        let waits = self.unquoted == 0 && !asks && !was_due;
        let patience = if waits { NAP } else { Duration::ZERO };
        let first = match events.recv_timeout(patience) {
            Ok(event) => Some(event),
            Err(mpsc::RecvTimeoutError::Timeout) => None,
            Err(mpsc::RecvTimeoutError::Disconnected) => {
                return Err(anyhow!("all threads of the loop broke down"));
            }
        };
        self.time.read();
        let mut told = Vec::new();
        for mut event in first.into_iter().chain(events.try_iter().take(BATCH)) {
            if self.parts.recorder.is_some() {
                told.extend(self.told(&mut event));
            }
            self.handle(event)?;
        }
        let acts =
            was_due || self.unquoted > 0 || !self.queue.is_empty() || !told.is_empty() || asks;
        if let Some(recorder) = self.parts.recorder.as_mut().filter(|_| acts) {
            recorder.take(Turn { begun, heard: self.time.at, told });
        }
        self.end()?;
        if self.ready && self.queue.is_empty() {
            // Time for people.
            self.show();
        }
        Ok(())
    }

    /// Begins a turn: gives orders that are due and takes up a piece of what takes long;
    /// says whether there was anything.
    pub(super) fn begin(&mut self) -> Result<bool> {
        self.parts.health.turn();
        let merged = self.merge_some(MERGED)?;
        Ok(self.keep_time()? || merged)
    }

    /// Ends a turn: decides on what it was told.
    pub(super) fn end(&mut self) -> Result<()> {
        self.compare();
        if !self.is_ready() {
            return Ok(());
        }
        self.quoted.clear();
        self.pools.look(&self.accounts);
        let is_due = self.evaluate_all || self.unquoted > 0;
        let is_evaluated = is_due || self.states.values().any(State::is_pending);
        if is_evaluated {
            self.evaluate()?;
        }
        self.dispatch()?;
        // What is possible at the prices that stand comes first.
        if self.scope.is_some() && self.foresee(is_evaluated)? {
            self.dispatch()?;
        }
        Ok(())
    }

    /// An event as it is recorded.
    fn told(&self, event: &mut Event) -> Option<Told> {
        Some(match event {
            Event::Fed(number, update) => {
                let by = if *number == self.market_feed.number {
                    By::Markets
                } else if *number == self.pool_feed.number {
                    By::Pools
                } else {
                    By::Former
                };
                Told::Fed(by, update.clone())
            }
            Event::Found(found, copy) => copy.take().map_or_else(|| Told::of(found), |copy| *copy),
            Event::Done(plan, _) => Told::Done(*plan.obligation()),
            // Nobody is asked while it is recorded.
            Event::Offered(_) => return None,
        })
    }

    /// Whether everything is there that the path needs; noted when it first is.
    fn is_ready(&mut self) -> bool {
        if self.ready {
            return true;
        }
        let config = &self.parts.config;
        let machine = config.simulate == Simulate::None || self.machines > 0;
        let blockhash = !self.parts.on_chain || self.chain.blockhash.is_some();
        self.ready = self.states.len() == self.markets().len()
            && self.scouting.is_done()
            && self.asked.is_empty()
            && machine
            && blockhash
            && self.chain.rent(0).is_some();
        if self.ready {
            let tracked: usize = self.states.values().map(|state| state.tracker.len()).sum();
            info!(tracked, accounts = self.accounts.len(), "ready");
            // Accounts may have changed while they were read.
            self.evaluate_all = true;
        }
        self.ready
    }

    /// Writes down what people are shown, where that is due.
    fn show(&mut self) {
        if !self.parts.board.is_due() {
            return;
        }
        let markets = &self.parts.config.markets;
        let states = self.states.iter_mut().filter(|(key, _)| markets.contains(*key));
        self.parts.board.write(states.filter_map(|(_, state)| state.seen(NEAREST).ok()).collect());
    }

    pub(super) fn handle(&mut self, event: Event) -> Result<()> {
        match event {
            Event::Fed(number, update) => self.fed(number, update),
            Event::Found(found, _) => self.found(found),
            Event::Offered(answered) => {
                let (ask, answer) = *answered;
                self.offered(&ask, answer)
            }
            Event::Done(plan, ended) => self.done(&plan, ended),
        }
    }

    /// Begins nothing more, and waits for what is in flight.
    fn finish(mut self, events: &Receiver<Event>) -> Result<u64> {
        (self.market_feed, self.pool_feed) = (Subscription::default(), Subscription::default());
        if !self.flights.is_empty() {
            info!(in_flight = self.flights.len(), "stopping: what is in flight ends first");
        }
        self.note(Told::Stopping);
        while !self.flights.is_empty() {
            self.parts.health.turn();
            match events.recv_timeout(NAP) {
                Ok(Event::Done(plan, ended)) => {
                    self.note(Told::Done(*plan.obligation()));
                    self.done(&plan, ended)?;
                }
                Ok(_) | Err(mpsc::RecvTimeoutError::Timeout) => {}
                Err(mpsc::RecvTimeoutError::Disconnected) => bail!("the workers broke down"),
            }
        }
        self.parts.records.metrics.in_flight.set(0);
        self.workers.join()?;
        // Who else holds the ledger ends with the process, and writes nothing more.
        self.parts.records.flush()?;
        Ok(self.passes)
    }

    /// Records a moment that is no turn's.
    fn note(&mut self, told: Told) {
        self.time.read();
        let at = self.time.at;
        if let Some(recorder) = &mut self.parts.recorder {
            recorder.take(Turn { begun: at, heard: at, told: vec![told] });
        }
    }
}
