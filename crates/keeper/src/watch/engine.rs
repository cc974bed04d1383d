//! The loop: updates in, liquidations out.
//!
//! One thread owns all state and never waits for a node. A reading thread scans
//! and polls, a feed brings updates, workers liquidate; all of them answer through
//! one channel. An obligation is in flight from the moment a worker gets it until
//! that worker says how it ended, so nothing is ever sent twice.

use std::{
    collections::{HashMap, HashSet},
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering},
        mpsc::{self, Receiver, SyncSender},
    },
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, anyhow};
use flash_liquidator_client::decode::Outcome;
use klend_interface::state::Obligation;
use klend_model::{
    flash::Lenders,
    search::{Funding, Leftovers, best_liquidation},
};
use solana_account::Account;
use solana_address::Address;
use tracing::{debug, error, info, warn};

use crate::{
    book::{
        market::Market,
        reader::{Found, Look, Order, Reader, Scan},
    },
    build::{plan::Position, simulation::liquidated},
    config::Config,
    feeds::{
        feed::{self, Connector, Feed, NAP, Update, Version, Wanted},
        source::{Rpc, Source},
        told,
    },
    judge::{
        cooldown::Cooldown,
        flights::Flights,
        queue::Queue,
        state::{Effect, Evaluated, State},
        value_f64,
    },
    keys::Key,
    land::attempt::{Attempt, Sender},
    ledger::metrics::Metrics,
    route::venue::at_oracle_price,
};

/// Updates that may wait to be handled.
const CAPACITY: usize = 16_384;
/// Updates that are taken in before what they changed is evaluated.
const BATCH: usize = 1_024;
/// Obligations that are quoted before the best of them are handed out. In a crash
/// thousands become unhealthy at once, and the first must not wait for the last.
const QUOTES: usize = 256;
/// Longest pause after a source failed again and again.
const LONGEST_PAUSE: Duration = Duration::from_secs(30);

/// What the loop works with.
pub struct Parts {
    pub source: Arc<dyn Source>,
    pub config: Arc<Config>,
    pub key: Arc<Key>,
    pub block_engine: Option<Arc<Rpc>>,
    pub metrics: Arc<Metrics>,
    /// Makes the way updates come, if they do not have to be polled for.
    pub connector: Option<Box<dyn Fn() -> Box<dyn Connector>>>,
}

/// What the loop waits for.
enum Event {
    /// From the feed of this number.
    Fed(u64, Update),
    Found(Found),
    Done(Address, f64, Ended),
}

/// A liquidation to try.
struct Job {
    key: Address,
    obligation: Box<Obligation>,
    market: Arc<Market>,
    /// Profit as the loop quoted it, US dollars.
    profit: f64,
}

/// How a job ended.
enum Ended {
    Attempted(Box<Attempt>),
    /// The exact quote, US dollars, was not enough.
    TooLittle(f64),
    /// There is no liquidation to try.
    Refused(anyhow::Error),
    Failed(anyhow::Error),
}

/// Watches until `stop` is set, or the market was evaluated `passes` times; what
/// is in flight then ends first.
///
/// # Errors
/// When a thread of the loop breaks down.
pub fn run(parts: Parts, stop: &Arc<AtomicBool>, passes: Option<u64>) -> Result<u64> {
    let (sender, events) = mpsc::sync_channel(CAPACITY);
    let (jobs, workers) = start_workers(&parts, &sender, stop);
    let found = sender.clone();
    let reader = Reader::start(Arc::clone(&parts.source), parts.config.market, move |what| {
        // The loop is gone only when the process ends.
        let _ = found.send(Event::Found(what));
    });
    let mut engine = Engine::new(parts, sender, reader, jobs)?;
    while !stop.load(Ordering::Relaxed) && passes.is_none_or(|passes| engine.passes < passes) {
        engine.turn(&events)?;
    }
    let passes = engine.finish(&events)?;
    for worker in workers {
        worker.join().map_err(|_| anyhow!("a worker broke down"))?;
    }
    Ok(passes)
}

fn start_workers(
    parts: &Parts,
    events: &SyncSender<Event>,
    stop: &Arc<AtomicBool>,
) -> (mpsc::Sender<Job>, Vec<JoinHandle<()>>) {
    let (jobs, received) = mpsc::channel::<Job>();
    let received = Arc::new(Mutex::new(received));
    let workers = (0..parts.config.workers)
        .map(|_| {
            let received = Arc::clone(&received);
            let events = events.clone();
            let worker = Worker {
                source: Arc::clone(&parts.source),
                config: Arc::clone(&parts.config),
                key: Arc::clone(&parts.key),
                block_engine: parts.block_engine.clone(),
                stop: Arc::clone(stop),
            };
            thread::spawn(move || {
                loop {
                    let job = match received.lock() {
                        Ok(received) => received.recv(),
                        Err(_) => return,
                    };
                    let Ok(job) = job else { return };
                    let (key, profit) = (job.key, job.profit);
                    let ended = told("the worker", || Ok(worker.work(job)));
                    let ended = ended.unwrap_or_else(Ended::Failed);
                    if events.send(Event::Done(key, profit, ended)).is_err() {
                        return;
                    }
                }
            })
        })
        .collect();
    (jobs, workers)
}

/// Liquidates one obligation after the other.
struct Worker {
    source: Arc<dyn Source>,
    config: Arc<Config>,
    key: Arc<Key>,
    block_engine: Option<Arc<Rpc>>,
    stop: Arc<AtomicBool>,
}

impl Worker {
    fn work(&self, job: Job) -> Ended {
        let mut args = self.config.liquidate_args(&job.key);
        let market = Market::clone(&job.market);
        let quoted = Position::new(&*self.source, &job.key, job.obligation, market, &args.terms)
            .and_then(|position| {
                let best = position.best(&args.terms)?;
                Ok((position, best))
            });
        let (position, best) = match quoted {
            Ok(quoted) => quoted,
            Err(reason) => return Ended::Refused(reason),
        };
        let profit = value_f64(best.profit_value);
        if profit < self.config.min_profit {
            return Ended::TooLittle(profit);
        }
        args.min_profit = least_profit(best.profit, profit, self.config.min_profit);
        let sender = Sender {
            source: &*self.source,
            key: &self.key,
            block_engine: self.block_engine.as_deref(),
            may_send: &|| !self.stop.load(Ordering::Relaxed),
        };
        match sender.attempt(&position, &args) {
            Ok(attempt) => Ended::Attempted(Box::new(attempt)),
            Err(reason) => Ended::Failed(reason),
        }
    }
}

/// `least` US dollars in raw units of a debt of which `profit` units are worth
/// `value` US dollars, rounded down.
fn least_profit(profit: i128, value: f64, least: f64) -> i64 {
    if value <= 0.0 {
        return 0;
    }
    // Never more than was quoted; a float above all integers becomes the largest.
    (profit as f64 * (least / value)).floor().clamp(0.0, i64::MAX as f64) as i64
}

struct Engine {
    parts: Parts,
    events: SyncSender<Event>,
    reader: Reader,
    jobs: mpsc::Sender<Job>,
    state: Option<State>,
    /// Updates from before the first scan, the newest of each account.
    early: HashMap<Address, (Version, Account)>,
    queue: Queue,
    cooldown: Cooldown,
    flights: Flights,
    feed: Option<(Feed, Wanted)>,
    feed_number: u64,
    fed: bool,
    scanning: bool,
    scan_wanted: bool,
    scanned: Option<Instant>,
    looking: bool,
    next_look: Instant,
    /// Pause after the source failed.
    pause: Duration,
    failed_until: Option<Instant>,
    /// All obligations are to be evaluated, whether or not anything changed.
    evaluate_all: bool,
    /// Obligations of the last evaluation that were not quoted yet.
    unquoted: usize,
    passes: u64,
}

impl Engine {
    fn new(
        parts: Parts,
        events: SyncSender<Event>,
        reader: Reader,
        jobs: mpsc::Sender<Job>,
    ) -> Result<Self> {
        let config = &parts.config;
        let mut engine = Self {
            queue: Queue::default(),
            cooldown: Cooldown::new(config.cooldown),
            flights: Flights::new(config.workers),
            pause: config.poll,
            state: None,
            early: HashMap::new(),
            feed: None,
            feed_number: 0,
            fed: false,
            scanning: false,
            scan_wanted: false,
            scanned: None,
            looking: false,
            next_look: Instant::now(),
            failed_until: None,
            evaluate_all: false,
            unquoted: 0,
            passes: 0,
            parts,
            events,
            reader,
            jobs,
        };
        if engine.parts.connector.is_some() {
            // Subscriptions first: what changes during the scan is then told.
            engine.looking = true;
            engine.reader.order(Order::Keys)?;
        } else {
            engine.scan_wanted = true;
        }
        Ok(engine)
    }

    /// Takes in what has come, evaluates what it changed, and hands out work.
    fn turn(&mut self, events: &Receiver<Event>) -> Result<()> {
        self.keep_time()?;
        // What is left over is not waited with.
        let patience = if self.unquoted == 0 { NAP } else { Duration::ZERO };
        match events.recv_timeout(patience) {
            Ok(event) => self.handle(event)?,
            Err(mpsc::RecvTimeoutError::Timeout) => {}
            Err(mpsc::RecvTimeoutError::Disconnected) => {
                return Err(anyhow!("all threads of the loop broke down"));
            }
        }
        for event in events.try_iter().take(BATCH) {
            self.handle(event)?;
        }
        let is_due = self.evaluate_all || self.unquoted > 0;
        if self.state.as_ref().is_some_and(|state| state.is_pending() || is_due) {
            self.evaluate()?;
        }
        self.dispatch()
    }

    /// Orders scans and looks that are due.
    fn keep_time(&mut self) -> Result<()> {
        let now = Instant::now();
        if self.failed_until.is_some_and(|until| now < until) {
            return Ok(());
        }
        let config = &self.parts.config;
        let is_old = self.scanned.is_some_and(|at| at.elapsed() >= config.rescan);
        if (self.scan_wanted || is_old) && !self.scanning {
            (self.scanning, self.scan_wanted) = (true, false);
            self.reader.order(Order::Scan)?;
        }
        // Without a feed, prices have to be looked at.
        if !self.fed && !self.looking && !self.scanning && now >= self.next_look {
            if let Some(state) = &self.state {
                self.looking = true;
                self.reader.order(Order::Look(state.market.keys()?))?;
            } else if self.parts.connector.is_some() && self.feed.is_none() {
                self.looking = true;
                self.reader.order(Order::Keys)?;
            }
        }
        Ok(())
    }

    fn handle(&mut self, event: Event) -> Result<()> {
        match event {
            Event::Fed(number, update) if number == self.feed_number => self.fed(update),
            // Of a feed that was replaced: accounts are as good as any.
            Event::Fed(_, update @ Update::Account { .. }) => self.fed(update),
            Event::Fed(..) => {}
            Event::Found(found) => self.found(found)?,
            Event::Done(key, profit, ended) => self.done(&key, profit, &ended),
        }
        Ok(())
    }

    fn fed(&mut self, update: Update) {
        let metrics = &self.parts.metrics;
        match update {
            Update::Connected => {
                info!("updates flow");
                metrics.feed_up.set(1);
                self.fed = true;
                // What was written before the subscription is not told.
                self.scan_wanted = true;
            }
            Update::Lost { reason, pause } => {
                warn!(reason, pause_ms = pause.as_millis(), "updates broke off: polling");
                metrics.feed_up.set(0);
                metrics.feed_losses.increment();
                self.fed = false;
                if self.state.is_none() {
                    self.scan_wanted = true;
                }
            }
            Update::Account { key, version, account } => {
                metrics.updates.increment();
                self.written(key, version, account);
            }
        }
    }

    fn written(&mut self, key: Address, version: Version, account: Account) {
        let metrics = &self.parts.metrics;
        let Some(state) = &mut self.state else {
            let newest = self.early.get(&key).is_none_or(|(known, _)| *known <= version);
            if newest {
                self.early.insert(key, (version, account));
            }
            return;
        };
        match state.apply(&key, version, account) {
            Ok(Effect::Stale) => metrics.stale_updates.increment(),
            Ok(Effect::Nothing | Effect::Obligation) => {}
            Ok(Effect::Market) => {
                if state.market.is_reserve(&key) {
                    self.subscribe();
                }
            }
            Err(reason) => {
                metrics.source_errors.increment();
                warn!(%key, reason = format!("{reason:#}"), "an update was not understood");
            }
        }
    }

    /// Subscribes to what the market consists of, if that is not what is
    /// subscribed to already.
    fn subscribe(&mut self) {
        let keys = self.state.as_ref().map(|state| state.market.single_keys());
        match keys {
            Some(Ok(keys)) => self.subscribe_to(keys),
            Some(Err(reason)) => warn!(reason = format!("{reason:#}"), "no subscription"),
            None => {}
        }
    }

    fn subscribe_to(&mut self, accounts: Vec<Address>) {
        let Some(connector) = &self.parts.connector else { return };
        let wanted = Wanted { market: self.parts.config.market, accounts };
        if self.feed.as_ref().is_some_and(|(_, current)| *current == wanted) {
            return;
        }
        self.feed_number += 1;
        self.fed = false;
        let (number, events) = (self.feed_number, self.events.clone());
        let take = move |update| events.try_send(Event::Fed(number, update)).is_ok();
        let feed = feed::start(connector(), wanted.clone(), take);
        self.feed = Some((feed, wanted));
    }

    fn found(&mut self, found: Found) -> Result<()> {
        match found {
            Found::Keys(keys) => {
                self.looking = false;
                match keys {
                    Ok(keys) => {
                        self.succeeded();
                        self.subscribe_to(keys);
                    }
                    Err(reason) => self.failed(&reason),
                }
            }
            Found::Scan(scan) => {
                self.scanning = false;
                match scan.and_then(|scan| self.merge(*scan)) {
                    Ok(()) => self.succeeded(),
                    Err(reason) => {
                        self.scan_wanted = true;
                        self.failed(&reason);
                    }
                }
            }
            Found::Look(look) => {
                self.looking = false;
                match look {
                    Ok(Look { slot, accounts }) => {
                        self.succeeded();
                        for (key, account) in accounts {
                            self.written(key, Version::end_of(slot), account);
                        }
                        self.evaluate_all = true;
                    }
                    Err(reason) => self.failed(&reason),
                }
            }
        }
        Ok(())
    }

    fn merge(&mut self, scan: Scan) -> Result<()> {
        let slot = scan.slot;
        match &mut self.state {
            Some(state) => state.merge(scan)?,
            None => {
                self.state = Some(State::new(scan, self.parts.config.min_debt)?);
                for (key, (version, account)) in std::mem::take(&mut self.early) {
                    self.written(key, version, account);
                }
            }
        }
        self.scanned = Some(Instant::now());
        self.parts.metrics.scans.increment();
        self.subscribe();
        debug!(slot, "scan merged");
        Ok(())
    }

    fn succeeded(&mut self) {
        self.pause = self.parts.config.poll;
        self.failed_until = None;
        self.next_look = Instant::now() + self.parts.config.poll;
    }

    fn failed(&mut self, reason: &anyhow::Error) {
        self.parts.metrics.source_errors.increment();
        warn!(reason = format!("{reason:#}"), "the source failed");
        self.pause = (self.pause * 2).min(LONGEST_PAUSE);
        self.failed_until = Some(Instant::now() + self.pause);
    }

    fn evaluate(&mut self) -> Result<()> {
        let Some(state) = &mut self.state else { return Ok(()) };
        let metrics = &self.parts.metrics;
        let scanned = state.tracker.is_empty();
        let started = Instant::now();
        let all = std::mem::take(&mut self.evaluate_all) || self.unquoted > 0;
        let Evaluated { unhealthy, otherwise, valued, only } = match state.evaluate(all) {
            Ok(evaluated) => evaluated,
            Err(reason) => {
                metrics.source_errors.increment();
                warn!(reason = format!("{reason:#}"), "the market cannot be valued");
                return Ok(());
            }
        };
        let micros = u64::try_from(started.elapsed().as_micros()).unwrap_or(u64::MAX);
        let slot = state.market.clock.slot;
        metrics.slot.set(slot);
        metrics.tracked.set(state.tracker.len() as u64);
        if scanned && !state.tracker.is_empty() {
            info!(slot, tracked = state.tracker.len(), "scanned");
        }
        let liquidatable: Vec<Address> = unhealthy.iter().chain(&otherwise).copied().collect();
        let is_liquidatable: HashSet<&Address> = liquidatable.iter().collect();
        match &only {
            None => {
                self.passes += 1;
                metrics.evaluation_micros.set(micros);
                metrics.candidates.set(unhealthy.len() as u64);
                self.queue.retain(|key| is_liquidatable.contains(key));
            }
            Some(touched) => {
                for key in touched.iter().filter(|key| !is_liquidatable.contains(key)) {
                    self.queue.remove(key);
                }
            }
        }
        self.enqueue(&liquidatable)?;
        if !liquidatable.is_empty() {
            info!(
                slot,
                unhealthy = unhealthy.len(),
                otherwise = otherwise.len(),
                valued,
                micros,
                queued = self.queue.len(),
                unquoted = self.unquoted,
                in_flight = self.flights.len(),
                "evaluated"
            );
        }
        Ok(())
    }

    /// Queues what is worth trying and is neither resting nor in flight; the largest
    /// debts first, and no more than [`QUOTES`] at once.
    fn enqueue(&mut self, liquidatable: &[Address]) -> Result<()> {
        self.unquoted = 0;
        let Some(state) = &self.state else { return Ok(()) };
        let config = &self.parts.config;
        let now = Instant::now();
        self.cooldown.sweep(now);
        let mut fresh: Vec<&Address> = liquidatable
            .iter()
            .filter(|key| {
                !self.cooldown.is_resting(key, now)
                    && !self.flights.contains(key)
                    && !self.queue.contains(key)
            })
            .collect();
        if fresh.is_empty() {
            return Ok(());
        }
        if fresh.len() > QUOTES {
            let debt = |key: &&Address| state.tracker.debt(key);
            fresh.sort_by(|a, b| debt(b).total_cmp(&debt(a)));
            self.unquoted = fresh.len() - QUOTES;
            fresh.truncate(QUOTES);
        }
        let table = state.market.table()?;
        let lenders = Lenders::new([&table]);
        let funding = Funding::Flash {
            lenders: &lenders,
            margin_bps: u64::from(config.loan_margin_bps),
            max_fee_bps: u64::from(config.max_fee_bps),
        };
        for key in fresh {
            let Some(obligation) = state.tracker.get(key) else { continue };
            let best = table.obligation(key, obligation).and_then(|valued| {
                best_liquidation(&table, &valued, funding, Leftovers::Reject, |from, to, amount| {
                    at_oracle_price(from, to, amount, config.swap_cost_bps)
                })
            });
            match best {
                Ok(Some(best)) => {
                    let profit = value_f64(best.profit_value);
                    if profit >= config.min_profit {
                        self.queue.put(key, profit);
                    } else {
                        info!(obligation = %key, profit, "too little profit");
                        self.cooldown.rest(key, now);
                    }
                }
                Ok(None) => {
                    info!(obligation = %key, reason = "nobody lends enough", "not liquidated");
                    self.cooldown.rest(key, now);
                }
                Err(refusal) => {
                    info!(obligation = %key, reason = %refusal, "not liquidated");
                    self.cooldown.rest(key, now);
                }
            }
        }
        Ok(())
    }

    /// Hands the most profitable obligations to workers that are free.
    fn dispatch(&mut self) -> Result<()> {
        let metrics = &self.parts.metrics;
        if let Some(state) = &self.state {
            let mut market: Option<Arc<Market>> = None;
            while self.flights.has_room() {
                let Some((key, profit)) = self.queue.take() else { break };
                let Some(obligation) = state.tracker.get(&key) else { continue };
                if !self.flights.begin(&key) {
                    continue;
                }
                let market = market.get_or_insert_with(|| Arc::new(state.market.clone())).clone();
                let job = Job { key, obligation: Box::new(*obligation), market, profit };
                metrics.attempts.increment();
                self.jobs.send(job).map_err(|_| anyhow!("all workers broke down"))?;
            }
        }
        metrics.queued.set(self.queue.len() as u64);
        metrics.in_flight.set(self.flights.len() as u64);
        Ok(())
    }

    fn done(&mut self, key: &Address, quoted: f64, ended: &Ended) {
        self.flights.end(key);
        self.cooldown.rest(key, Instant::now());
        let metrics = &self.parts.metrics;
        match ended {
            Ended::Attempted(attempt) => report(metrics, key, attempt, quoted),
            Ended::TooLittle(profit) => {
                info!(obligation = %key, profit, "too little profit");
            }
            Ended::Refused(reason) => {
                info!(obligation = %key, reason = format!("{reason:#}"), "not liquidated");
            }
            Ended::Failed(reason) => {
                metrics.failed.increment();
                error!(obligation = %key, reason = format!("{reason:#}"), "failed");
            }
        }
    }

    /// Begins nothing more, and waits for what is in flight.
    fn finish(mut self, events: &Receiver<Event>) -> Result<u64> {
        self.feed = None;
        if !self.flights.is_empty() {
            info!(in_flight = self.flights.len(), "stopping: what is in flight ends first");
        }
        while !self.flights.is_empty() {
            let event = events.recv().context("a worker broke down")?;
            if let Event::Done(key, profit, ended) = event {
                self.done(&key, profit, &ended);
            }
        }
        self.parts.metrics.in_flight.set(0);
        Ok(self.passes)
    }
}

/// Counts and logs how an attempt ended.
fn report(metrics: &Metrics, obligation: &Address, attempt: &Attempt, quoted: f64) {
    let Attempt { decoded, signature, held_back } = attempt;
    if *held_back {
        info!(%obligation, "stopping: not sent");
        return;
    }
    let signature = signature.as_deref().unwrap_or("simulated");
    match &decoded.outcome {
        Outcome::Succeeded => {
            metrics.liquidated.increment();
            match liquidated(decoded) {
                Some(event) => info!(
                    %obligation,
                    signature,
                    repaid = event.debt_repaid,
                    received = event.collateral_received,
                    profit = event.profit,
                    quoted,
                    "liquidated"
                ),
                None => info!(
                    %obligation,
                    signature,
                    quoted,
                    reason = "the node keeps no logs, and so shows no event",
                    "liquidated"
                ),
            }
        }
        Outcome::LostRace(_) => {
            metrics.lost_races.increment();
            info!(%obligation, signature, "lost the race");
        }
        Outcome::HealthyAgain(_) => {
            metrics.healthy_again.increment();
            info!(%obligation, signature, "healthy again");
        }
        Outcome::Failed(failure) => {
            metrics.failed.increment();
            error!(%obligation, signature, reason = %failure.cause.explain(), "failed");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_least_profit_is_a_share_of_the_quoted_one() {
        // 4,000,000 units are worth 4 dollars: one dollar is a million units.
        assert_eq!(least_profit(4_000_000, 4.0, 1.0), 1_000_000);
        assert_eq!(least_profit(4_000_000, 4.0, 0.0), 0);
        assert_eq!(least_profit(-5, -1.0, 0.0), 0);
        assert_eq!(least_profit(i128::MAX, 1.0, 1.0), i64::MAX);
    }
}
