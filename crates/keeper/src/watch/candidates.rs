//! Which obligations are worth trying.

use std::{collections::HashSet, time::Instant};

use anyhow::Result;
use klend_interface::state::Obligation;
use klend_model::refusal::Refusal;
use solana_account::Account;
use solana_address::Address;
use tracing::{info, warn};

use super::{
    decide::{choices, largest, tracked},
    engine::Engine,
};
use crate::{
    book::{
        market::Market,
        scope::{Known, Scope},
        view::View,
    },
    health::Check,
    judge::{policy::Denied, state::Evaluated, value_f64},
    route::{
        position::Position,
        venue::NothingSells,
        why::{Reason, Unread},
    },
};

/// Obligations that are quoted before the best of them are handed out. In a crash
/// thousands become unhealthy at once, and the first must not wait for the last.
const QUOTES: usize = 256;

/// The same of those that only prices about to be written let be liquidated: each takes
/// a valuation of its own.
const FORESEEN_QUOTES: usize = 32;

impl Engine {
    pub(super) fn evaluate(&mut self) -> Result<()> {
        let all = std::mem::take(&mut self.evaluate_all) || self.unquoted > 0;
        self.unquoted = 0;
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
                    self.parts.records.metrics.source_errors.inc();
                    let reason = format!("{reason:#}");
                    warn!(reason, market = %key, "the market cannot be valued");
                    self.parts.health.set(Check::Market, Err(reason));
                    continue;
                }
            };
            let metrics = &self.parts.records.metrics;
            let took = started.elapsed();
            let micros = u64::try_from(took.as_micros()).unwrap_or(u64::MAX);
            let slot = state.market.clock.slot;
            metrics.slot.set(slot);
            let valued_at = format!("valued at slot {slot}");
            self.parts.health.set(Check::Market, Ok(valued_at));
            if first {
                info!(slot, market = %key, tracked = state.tracker.len(), "scanned");
            }
            let found: Vec<Address> = unhealthy.iter().chain(&otherwise).copied().collect();
            let is_liquidatable: HashSet<&Address> = found.iter().collect();
            match &only {
                None => {
                    metrics.evaluation.observe(took.as_secs_f64());
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
        let metrics = &self.parts.records.metrics;
        if is_whole {
            let found: HashSet<&Address> = liquidatable.iter().collect();
            self.unsellable.retain(|key, _| found.contains(key));
            metrics.unsellable_debt.set(largest(&self.unsellable));
            metrics.candidates.set(candidates);
        }
        let tracked: usize = self.states.values().map(|state| state.tracker.len()).sum();
        metrics.tracked.set(tracked as u64);
        let passes =
            watched.iter().filter_map(|key| self.states.get(key)).map(|state| state.passes);
        self.passes = passes.min().unwrap_or_default();
        self.enqueue(&liquidatable, QUOTES)
    }

    /// Judges obligations by prices that are about to be written, if such may be others
    /// than before, or `anew`; whether any may be liquidated at them.
    pub(super) fn foresee(&mut self, anew: bool) -> Result<bool> {
        let Some(scope) = &mut self.scope else { return Ok(false) };
        let markets: Vec<&Market> = self.states.values().map(|state| &state.market).collect();
        let known = Known { markets: &markets, accounts: &self.accounts };
        if !scope.foresee(&known) && !anew {
            return Ok(false);
        }
        let mut found = Vec::new();
        for key in &self.parts.config.markets {
            let Some(state) = self.states.get(key) else { continue };
            // A market that cannot be valued was told of.
            let Ok(reserves) = state.market.reserves() else { continue };
            let reserves = reserves.into_iter().map(|(_, reserve)| reserve);
            let choices = scope.choices(&state.market, reserves, false);
            let later: Vec<(Address, Account)> = choices
                .iter()
                .filter_map(|choice| scope.expected(choice, &known).ok())
                .map(|written| (written.table, written.account))
                .collect();
            if later.is_empty() {
                continue;
            }
            let foreseen = state.foreseen(&later)?;
            if !foreseen.is_empty() {
                let (choices, slot) = (choices.len(), state.market.clock.slot);
                info!(slot, market = %key, foreseen = foreseen.len(), choices, "foreseen");
            }
            found.extend(foreseen);
        }
        self.enqueue(&found, FORESEEN_QUOTES)?;
        Ok(!found.is_empty())
    }

    /// Queues what is worth trying and is neither resting nor in flight; the largest
    /// debts first, and no more than `most` at once.
    fn enqueue(&mut self, liquidatable: &[Address], most: usize) -> Result<()> {
        let now = self.time.now();
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
                if !policy.permits(key, obligation) {
                    self.decline(key, Reason::Denied, None, &Denied(*key));
                    return None;
                }
                Some((key, state.tracker.debt(key)))
            })
            .collect();
        if fresh.is_empty() {
            return Ok(());
        }
        if fresh.len() > most {
            fresh.sort_by(|(x, a), (y, b)| b.total_cmp(a).then_with(|| x.cmp(y)));
            self.unquoted += fresh.len() - most;
            fresh.truncate(most);
        }
        let config = &self.parts.config;
        let markets: Vec<&Market> = self.states.values().map(|state| &state.market).collect();
        let known = Known { markets: &markets, accounts: &self.accounts };
        let view = View::new(markets.iter().copied(), &self.accounts, &self.chain, &self.pools)?;
        let search = &config.wishes.search;
        // The first refresh of prices that lets it be liquidated.
        let behind = |market: &Market, key: &Address, obligation: &Obligation, scope: &Scope| {
            let choices = choices(scope, market, key, obligation, false);
            choices.iter().find_map(|choice| {
                let written = scope.expected(choice, &known).ok()?;
                let markets = markets.iter().copied();
                let (accounts, chain) = (&self.accounts, &self.chain);
                let view =
                    View::behind(Some(&written), markets, accounts, chain, &self.pools).ok()?;
                Position::new(&view, key, obligation, search).ok()?.best(search).ok()
            })
        };
        let mut unread = Vec::new();
        for (key, debt) in fresh {
            let Some((state, obligation)) = tracked(&self.states, key) else { continue };
            // Before the pools are read, their prices are not known.
            let position = Position::new(&view, key, obligation, search);
            let pairs = position.as_ref().map(Position::pairs).unwrap_or_default();
            let missing = position.as_ref().map(Position::unread).unwrap_or_default();
            if !missing.is_empty() {
                let missing = Unread(missing);
                self.decline(key, Reason::Unread, None, &missing);
                unread.extend(missing.0);
                continue;
            }
            let quoted = position.and_then(|position| {
                let best = position.best(search)?;
                Ok((best, Some(position.quoted(best))))
            });
            let quoted = quoted.or_else(|refusal| {
                let scope = self.scope.as_ref().filter(|_| refusal.is::<Refusal>());
                let best = scope.and_then(|scope| behind(&state.market, key, obligation, scope));
                best.map(|best| (best, None)).ok_or(refusal)
            });
            match quoted {
                Ok((best, quoted)) => {
                    let profit = value_f64(best.profit_value);
                    if profit >= config.min_profit {
                        self.queue.put(key, profit);
                        self.quoted.extend(quoted.map(|quoted| (*key, quoted)));
                    } else {
                        info!(obligation = %key, profit, "too little profit");
                        self.cooldown.rest(key, now);
                        let short = config.min_profit - profit;
                        self.decline(
                            key,
                            Reason::BelowFloor,
                            Some((profit, Some(short))),
                            &format_args!("before costs ${short:.6} less than the floor"),
                        );
                    }
                }
                Err(refusal) => {
                    let reason = format!("{refusal:#}");
                    info!(obligation = %key, reason, "not liquidated");
                    self.unsellable.insert(*key, debt);
                    if refusal.is::<NothingSells>() {
                        let is_final =
                            pairs.iter().all(|pair| self.is_sought(pair) && self.is_asked(pair));
                        self.cooldown.rest_unsold(key, now, is_final);
                    } else {
                        self.cooldown.rest(key, now);
                    }
                    self.decline(key, Reason::of(&refusal), None, &refusal);
                }
            }
        }
        self.parts.records.metrics.unsellable_debt.set(largest(&self.unsellable));
        self.ask(unread);
        Ok(())
    }
}
