//! What is worth trying, how, and how it ended.

use std::{
    collections::HashSet,
    hash::{BuildHasher as _, RandomState},
    time::Instant,
};

use anyhow::{Error, Result, anyhow};
use flash_liquidator_client::decode::{Decoded, Outcome};
use klend_interface::state::Obligation;
use solana_address::Address;
use tracing::{error, info};

use super::{
    engine::Engine,
    worker::{Ended, Job},
};
use crate::{
    book::{
        reader::{Order, Why},
        view::View,
    },
    build::{
        plan::{Plan, Unread},
        simulation::{Stage, liquidated},
    },
    config::Simulate,
    judge::{
        state::{Evaluated, State},
        value_f64,
    },
    land::deliver::Expired,
    ledger::metrics::Metrics,
    route::{fees::TooDear, position::Position, terms::TooLittle},
};

/// Obligations that are quoted before the best of them are handed out. In a crash
/// thousands become unhealthy at once, and the first must not wait for the last.
const QUOTES: usize = 256;

impl Engine {
    pub(super) fn evaluate(&mut self) -> Result<()> {
        let all = std::mem::take(&mut self.evaluate_all) || self.unquoted > 0;
        let watched = self.parts.config.markets.clone();
        let mut liquidatable = Vec::new();
        let (mut candidates, mut is_whole) = (0, true);
        for key in &watched {
            let Some(state) = self.states.get_mut(key) else { continue };
            if !all && !state.is_pending() {
                is_whole = false;
                continue;
            }
            let started = Instant::now();
            let first = state.passes == 0;
            let Evaluated { unhealthy, otherwise, valued, only } = match state.evaluate(all) {
                Ok(evaluated) => evaluated,
                Err(reason) => {
                    self.parts.metrics.source_errors.increment();
                    let reason = format!("{reason:#}");
                    tracing::warn!(reason, market = %key, "the market cannot be valued");
                    continue;
                }
            };
            let metrics = &self.parts.metrics;
            let micros = u64::try_from(started.elapsed().as_micros()).unwrap_or(u64::MAX);
            let slot = state.market.clock.slot;
            metrics.slot.set(slot);
            if first {
                info!(slot, market = %key, tracked = state.tracker.len(), "scanned");
            }
            let found: Vec<Address> = unhealthy.iter().chain(&otherwise).copied().collect();
            let is_liquidatable: HashSet<&Address> = found.iter().collect();
            match &only {
                None => {
                    metrics.evaluation_micros.set(micros);
                    candidates += unhealthy.len() as u64;
                    self.queue.retain(|key| {
                        is_liquidatable.contains(key) || state.tracker.get(key).is_none()
                    });
                }
                Some(touched) => {
                    is_whole = false;
                    for key in touched.iter().filter(|key| !is_liquidatable.contains(key)) {
                        self.queue.remove(key);
                    }
                }
            }
            if !found.is_empty() {
                info!(
                    slot,
                    market = %key,
                    unhealthy = unhealthy.len(),
                    otherwise = otherwise.len(),
                    valued,
                    micros,
                    in_flight = self.flights.len(),
                    "evaluated"
                );
            }
            liquidatable.extend(found);
        }
        let metrics = &self.parts.metrics;
        if is_whole {
            metrics.candidates.set(candidates);
        }
        let tracked: usize = self.states.values().map(|state| state.tracker.len()).sum();
        metrics.tracked.set(tracked as u64);
        let passes =
            watched.iter().filter_map(|key| self.states.get(key)).map(|state| state.passes);
        self.passes = passes.min().unwrap_or_default();
        self.enqueue(&liquidatable)
    }

    /// Queues what is worth trying and is neither resting nor in flight; the largest
    /// debts first, and no more than [`QUOTES`] at once.
    fn enqueue(&mut self, liquidatable: &[Address]) -> Result<()> {
        self.unquoted = 0;
        let now = Instant::now();
        self.cooldown.sweep(now);
        let policy = &self.parts.config.wishes.search.policy;
        let mut fresh: Vec<(&Address, f32)> = liquidatable
            .iter()
            .filter(|key| {
                !self.cooldown.is_resting(key, now)
                    && !self.flights.contains(key)
                    && !self.queue.contains(key)
            })
            .filter_map(|key| {
                let (state, obligation) = tracked(&self.states, key)?;
                policy.permits(key, obligation).then(|| (key, state.tracker.debt(key)))
            })
            .collect();
        if fresh.is_empty() {
            return Ok(());
        }
        if fresh.len() > QUOTES {
            fresh.sort_by(|(_, a), (_, b)| b.total_cmp(a));
            self.unquoted = fresh.len() - QUOTES;
            fresh.truncate(QUOTES);
        }
        let config = &self.parts.config;
        let markets = self.states.values().map(|state| &state.market);
        let view = View::new(markets, &self.accounts, &self.chain, &self.pools)?;
        let search = &config.wishes.search;
        let mut unread = Vec::new();
        for (key, _) in fresh {
            let Some((_, obligation)) = tracked(&self.states, key) else { continue };
            // Before the pools are read, their prices are not known.
            let position = Position::new(&view, key, obligation, search);
            let missing = position.as_ref().map(Position::unread).unwrap_or_default();
            if !missing.is_empty() {
                unread.extend(missing);
                continue;
            }
            match position.and_then(|position| position.best(search)) {
                Ok(best) => {
                    let profit = value_f64(best.profit_value);
                    if profit >= config.min_profit {
                        self.queue.put(key, profit);
                    } else {
                        info!(obligation = %key, profit, "too little profit");
                        self.cooldown.rest(key, now);
                    }
                }
                Err(refusal) => {
                    let reason = format!("{refusal:#}");
                    info!(obligation = %key, reason, "not liquidated");
                    self.cooldown.rest(key, now);
                }
            }
        }
        self.ask(unread)
    }

    /// Decides on the most profitable obligations, and hands them to workers that are
    /// free.
    pub(super) fn dispatch(&mut self) -> Result<()> {
        let mut unread = Vec::new();
        while self.flights.has_room() {
            let Some((key, profit)) = self.queue.take() else { break };
            match self.decide(&key) {
                Ok(Some(job)) => {
                    if self.flights.begin(&key) {
                        self.parts.metrics.attempts.increment();
                        self.workers
                            .jobs
                            .send(job)
                            .map_err(|_| anyhow!("all workers broke down"))?;
                    }
                }
                Ok(None) => {}
                Err(reason) => match reason.downcast::<Unread>() {
                    // It comes back when they are read.
                    Ok(Unread(missing)) => {
                        let first = missing.first().map(ToString::to_string);
                        info!(obligation = %key, accounts = missing.len(), first, "waits for accounts");
                        unread.extend(missing);
                    }
                    Err(reason) => {
                        self.refused(&key, profit, &reason);
                        self.cooldown.rest(&key, Instant::now());
                    }
                },
            }
        }
        // Updates that came to nothing are not counted towards a later one.
        self.heard = None;
        self.ask(unread)?;
        let metrics = &self.parts.metrics;
        metrics.queued.set(self.queue.len() as u64);
        metrics.in_flight.set(self.flights.len() as u64);
        Ok(())
    }

    /// Says why an obligation is left alone.
    fn refused(&self, key: &Address, profit: f64, reason: &Error) {
        let text = format!("{reason:#}");
        if reason.is::<TooLittle>() || reason.is::<TooDear>() {
            info!(obligation = %key, profit, reason = text, "too little profit");
        } else {
            info!(obligation = %key, reason = text, "not liquidated");
        }
    }

    /// A transaction for an obligation, from what is known; `None` if it is gone.
    fn decide(&mut self, key: &Address) -> Result<Option<Job>> {
        let Some((_, obligation)) = tracked(&self.states, key) else { return Ok(None) };
        let config = &self.parts.config;
        let markets = self.states.values().map(|state| &state.market);
        let view = View::new(markets, &self.accounts, &self.chain, &self.pools)?;
        let position = Position::new(&view, key, obligation, &config.wishes.search)?;
        let tries = self.tries.get(key).copied().unwrap_or_default();
        let random = RandomState::new().hash_one(key);
        let plan = Plan::new(&position, &self.keeper, &config.wishes, tries, random)?;
        let tables = plan.tables(&view)?;
        let stage = match config.simulate {
            Simulate::None => None,
            Simulate::Local => {
                let stage = Stage::new(&view, &plan, self.parts.key.is_simulated())?;
                let is_new =
                    |key: &&Address| !self.loaded.contains(*key) && !self.refused.contains(*key);
                if stage.programs.iter().any(|program| is_new(&program)) {
                    self.order_machine()?;
                    return Ok(None);
                }
                // What it cannot load it was told of.
                let whole = stage.programs.iter().all(|program| self.loaded.contains(program));
                whole.then_some(stage)
            }
        };
        Ok(Some(Job {
            plan: Box::new(plan),
            tables,
            stage,
            blockhash: self.chain.blockhash,
            heard: self.heard.unwrap_or_else(Instant::now),
        }))
    }

    pub(super) fn done(&mut self, plan: &Plan, ended: &Ended) -> Result<()> {
        let key = plan.obligation();
        self.flights.end(key);
        let quoted = value_f64(plan.best.profit_value);
        let metrics = &self.parts.metrics;
        let mut rests = true;
        match ended {
            Ended::Attempted { decoded, signature } => {
                if signature.is_some() {
                    self.tries.remove(key);
                }
                report(metrics, key, decoded, signature.as_deref(), quoted);
            }
            Ended::Ready { bytes } => {
                info!(obligation = %key, bytes, quoted, "ready to be sent: send = false");
            }
            Ended::HeldBack => info!(obligation = %key, "stopping: not sent"),
            Ended::Failed(reason) => {
                metrics.failed.increment();
                if reason.is::<Expired>() {
                    // The next one offers more, and at once.
                    let tries = self.tries.entry(*key).or_default();
                    *tries += 1;
                    rests = false;
                    let reason = format!("{reason:#}");
                    tracing::warn!(obligation = %key, reason, tries, "not landed");
                } else {
                    error!(obligation = %key, reason = format!("{reason:#}"), "failed");
                }
            }
        }
        if rests {
            self.cooldown.rest(key, Instant::now());
        }
        // What it moved, or what was not as it was known.
        let keys: Vec<Address> =
            plan.mentioned()?.into_iter().filter(|key| self.accounts.is_known(key)).collect();
        self.looker.order(Order::Look { keys, why: Why::Needed })
    }
}

/// A tracked obligation, and the state of its market.
fn tracked<'a>(
    states: &'a std::collections::BTreeMap<Address, State>,
    key: &Address,
) -> Option<(&'a State, &'a Obligation)> {
    states.values().find_map(|state| Some((state, state.tracker.get(key)?)))
}

/// Counts and logs how an attempt ended.
fn report(
    metrics: &Metrics,
    obligation: &Address,
    decoded: &Decoded,
    signature: Option<&str>,
    quoted: f64,
) {
    let signature = signature.unwrap_or("simulated");
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
