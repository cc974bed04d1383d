//! What is tried next, and how.

use std::{
    collections::HashMap,
    fmt::Display,
    hash::{DefaultHasher, Hash as _, Hasher as _},
    sync::atomic::Ordering,
    time::Duration,
};

use anyhow::{Context as _, Error, Result, anyhow};
use flash_liquidator_client::{klend::ObligationAddresses, token::NATIVE_MINT};
use klend_interface::state::Obligation;
use klend_model::{keys::to_address, refusal::Refusal, reserve::ReserveState};
use solana_address::Address;
use tracing::info;

use super::{engine::Engine, worker::Job};
use crate::{
    book::{
        market::Market,
        scope::{Choice, Known, Scope, Written},
        view::View,
    },
    build::{plan::Plan, simulation::Stage},
    config::{OnDifference, Simulate},
    judge::{state::State, value_f64},
    ledger::record::{self, Begun, Declined, Numbers},
    route::{
        discovery::Want,
        position::Position,
        terms::TooLittle,
        why::{Reason, Unread},
    },
};

/// Pause before it is seen whether the key can pay by now.
const STARVED: Duration = Duration::from_secs(2);

/// The key cannot pay for a transaction.
#[derive(Debug, thiserror::Error)]
#[error("the key has {lamports} lamports, and {needed} are needed")]
struct Starved {
    lamports: u64,
    needed: u64,
}

/// Model and chain differ, and the operator wants nothing done then.
#[derive(Debug, thiserror::Error)]
#[error(
    "model and chain differ about reserve {reserve} ({text}), and on_difference says not to go on"
)]
struct Differs {
    reserve: Address,
    text: String,
}

/// Letters of a reason that are kept.
const LONGEST_REASON: usize = 400;

impl Engine {
    /// Decides on the most profitable obligations, and hands them to workers that are
    /// free.
    pub(super) fn dispatch(&mut self) -> Result<()> {
        let mut unread = Vec::new();
        if let Some((why, reason)) = self.begins_nothing() {
            let mut waiting: Vec<(&Address, f64)> = self.queue.iter().collect();
            waiting.sort_unstable_by_key(|(key, _)| *key);
            for (key, profit) in waiting {
                self.decline(key, why, Some((profit, None)), &reason);
            }
            return Ok(());
        }
        while self.flights.has_room() {
            let Some((key, profit)) = self.queue.take() else { break };
            if self.consult(&key, profit)? {
                continue;
            }
            match self.decide(&key) {
                Ok(Some((mut job, begun, numbers))) => {
                    if self.flights.begin(&key) {
                        let Ok(ticket) = self.parts.records.begin(begun, self.time.at.unix_ms)
                        else {
                            self.flights.end(&key);
                            self.queue.put(&key, profit);
                            break;
                        };
                        if self.paused_until.take().is_some() {
                            self.parts.records.metrics.paused.set(0);
                            info!("the key can pay again");
                        }
                        job.ticket = ticket;
                        self.unsellable.remove(&key);
                        self.kept.insert(key, (ticket, numbers));
                        self.workers
                            .jobs
                            .send(job)
                            .map_err(|_| anyhow!("all workers broke down"))?;
                    }
                }
                Ok(None) => {}
                Err(reason) => match reason.downcast::<Unread>() {
                    // It comes back when they are read.
                    Ok(missing) => {
                        self.decline(&key, Reason::Unread, Some((profit, None)), &missing);
                        let Unread(missing) = missing;
                        let first = missing.first().map(ToString::to_string);
                        info!(obligation = %key, accounts = missing.len(), first, "waits for accounts");
                        unread.extend(missing);
                    }
                    Err(reason) => {
                        if let Some(Starved { lamports, needed }) = reason.downcast_ref() {
                            self.decline(&key, Reason::Starved, Some((profit, None)), &reason);
                            // Nothing is forgotten: it is tried again when there is some.
                            self.queue.put(&key, profit);
                            self.pause(&key, *lamports, *needed);
                            break;
                        }
                        self.cooldown.rest(&key, self.time.now());
                        self.refused(&key, profit, &reason);
                    }
                },
            }
        }
        // Updates that came to nothing are not counted towards a later one.
        self.heard = None;
        self.ask(unread);
        let metrics = &self.parts.records.metrics;
        metrics.queued.set(self.queue.len() as u64);
        metrics.in_flight.set(self.flights.len() as u64);
        Ok(())
    }

    /// Why nothing can be begun now, if so. What is queued waits for it.
    fn begins_nothing(&mut self) -> Option<(Reason, String)> {
        if self.paused_until.is_some_and(|until| self.time.now() < until) {
            let reason = "the keeper is paused: its key cannot pay";
            return Some((Reason::Starved, reason.to_owned()));
        }
        let slot = self.shared.slot.load(Ordering::Relaxed);
        let spent = self.chain.blockhash.filter(|it| self.parts.config.send && it.is_spent(slot));
        let was_spent = std::mem::replace(&mut self.blockhash_spent, spent.is_some());
        let blockhash = spent?;
        if !was_spent {
            tracing::warn!(
                slot,
                of = blockhash.slot,
                "nothing is signed: the blockhash is too old"
            );
        }
        let reason = format!("at slot {slot}, the newest blockhash is of {}", blockhash.slot);
        Some((Reason::Unread, reason))
    }

    /// Begins nothing for a while, and has the balance looked at.
    fn pause(&mut self, obligation: &Address, lamports: u64, needed: u64) {
        if self.paused_until.replace(self.time.now() + STARVED).is_none() {
            self.parts.records.metrics.paused.set(1);
            tracing::warn!(%obligation, lamports, needed, "paused: the key cannot pay for it");
        }
        self.needed.want([self.keeper]);
    }

    /// Says why an obligation that was worth a try by its quote is left alone.
    fn refused(&self, key: &Address, profit: f64, reason: &Error) {
        let text = format!("{reason:#}");
        let why = if reason.is::<Differs>() { Reason::Differs } else { Reason::of(reason) };
        // Both count in the debt's raw units: what one is worth, the quote tells.
        let short = reason.downcast_ref::<TooLittle>().filter(|it| it.quoted > 0).map(|it| {
            let wanted = i128::from(it.cost) + i128::from(it.floor);
            (wanted - it.quoted) as f64 / it.quoted as f64 * profit
        });
        self.decline(key, why, Some((profit, short)), reason);
        if why == Reason::BelowFloor {
            info!(obligation = %key, profit, reason = text, "too little profit");
        } else {
            info!(obligation = %key, reason = text, "not liquidated");
        }
    }

    /// Notes that an obligation is left alone: by which reason, its quoted profit and how much
    /// more that should have been, US dollars, as far as it came to that.
    pub(super) fn decline(
        &self,
        key: &Address,
        why: Reason,
        quoted: Option<(f64, Option<f64>)>,
        said: &dyn Display,
    ) {
        let Some((state, _)) = tracked(&self.states, key) else { return };
        let slot = state.market.clock.slot;
        self.parts.records.decline(key, why, slot, self.time.at.unix_ms, || Declined {
            market: state.market.key,
            obligation: *key,
            slot,
            why,
            reason: format!("{said:#}").chars().take(LONGEST_REASON).collect(),
            debt_usd: state.tracker.debt(key).into(),
            quoted_usd: quoted.map(|(profit, _)| profit),
            short_usd: quoted.and_then(|(_, short)| short),
            rests: self.cooldown.left(key, self.time.now()),
        });
    }

    /// Whether model and chain agree, as far as the configuration wants it.
    fn require_agreement(&self, key: &Address, obligation: &Obligation) -> Result<()> {
        let Some(checker) = &self.parts.checker else { return Ok(()) };
        let used = ObligationAddresses::read(key, obligation);
        let reserves = [used.deposit_reserves, used.borrow_reserves].concat();
        let found = match self.parts.config.on_difference {
            OnDifference::Ignore => None,
            OnDifference::Skip => checker.tally.difference(Some(&reserves)),
            OnDifference::Stop => checker.tally.difference(None),
        };
        match found {
            None => Ok(()),
            Some((reserve, text)) => Err(Differs { reserve, text }.into()),
        }
    }

    /// What the best liquidation of an obligation would sell, from what is known.
    pub(super) fn would_sell(&self, key: &Address) -> Option<Want> {
        let (_, obligation) = tracked(&self.states, key)?;
        let view = self.view().ok()?;
        let search = &self.parts.config.wishes.search;
        let best = Position::new(&view, key, obligation, search).ok()?.best(search).ok()?;
        let request = &best.request;
        let pair = view.pair(&request.withdraw_reserve, &request.repay_reserve)?;
        Some(Want { pair, amount: best.quote.received })
    }

    /// Everything that is known, valued.
    pub(super) fn view(&self) -> Result<View<'_>> {
        let markets = self.states.values().map(|state| &state.market);
        View::new(markets, &self.accounts, &self.chain, &self.pools)
    }

    /// A transaction for an obligation, from what is known; `None` if it is gone. Where
    /// klend lets nothing be done at the prices that stand, it begins with the smallest
    /// refresh that lets it.
    fn decide(&mut self, key: &Address) -> Result<Option<(Job, Begun, Box<Numbers>)>> {
        let mut decided = self.decide_behind(None, key);
        let is_refused = decided.as_ref().is_err_and(|reason| reason.is::<Refusal>());
        let Some(scope) = self.scope.as_ref().filter(|_| is_refused) else { return decided };
        let Some((state, obligation)) = tracked(&self.states, key) else { return Ok(None) };
        let choices = choices(scope, &state.market, key, obligation, true);
        for choice in choices {
            match self.write(&choice) {
                Ok(written) => decided = self.decide_behind(Some(&written), key),
                Err(reason) => {
                    let reason = format!("{reason:#}");
                    info!(obligation = %key, entries = ?choice.entries, reason, "not written");
                    continue;
                }
            }
            match &decided {
                Err(reason) if !reason.is::<Unread>() && !reason.is::<Starved>() => {}
                _ => break,
            }
        }
        decided
    }

    /// What a refresh of prices would write.
    fn write(&mut self, choice: &Choice) -> Result<Written> {
        let markets: Vec<&Market> = self.states.values().map(|state| &state.market).collect();
        let known = Known { markets: &markets, accounts: &self.accounts };
        self.scope.as_mut().context("prices are not written")?.write(choice, &known)
    }

    fn decide_behind(
        &mut self,
        written: Option<&Written>,
        key: &Address,
    ) -> Result<Option<(Job, Begun, Box<Numbers>)>> {
        let Some((_, obligation)) = tracked(&self.states, key) else { return Ok(None) };
        let config = &self.parts.config;
        self.require_agreement(key, obligation)?;
        let markets = self.states.values().map(|state| &state.market);
        let view = View::behind(written, markets, &self.accounts, &self.chain, &self.pools)?;
        // Just now it was quoted by what stands here.
        let quoted = self.quoted.remove(key).filter(|_| written.is_none());
        let position = match quoted {
            Some(quoted) => Position::again(&view, key, obligation, quoted)?,
            None => Position::new(&view, key, obligation, &config.wishes.search)?,
        };
        let tries = self.tries.get(key).copied().unwrap_or_default();
        // Another one with every slot, and the same when it is replayed.
        let mut chance = DefaultHasher::new();
        (self.parts.seed, key, position.market.clock.slot).hash(&mut chance);
        let random = chance.finish();
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
        if stage.is_none() {
            plan.check_unsimulated()?;
        }
        // What the key has to keep, or its account is gone.
        let needed = plan.costs.total().saturating_add(self.chain.rent(0).unwrap_or_default());
        let lamports = self.accounts.get(&self.keeper).map_or(0, |wallet| wallet.lamports);
        let pays = !self.parts.key.is_simulated() && self.accounts.is_known(&self.keeper);
        if pays && lamports < needed {
            return Err(Starved { lamports, needed }.into());
        }
        let begun = Begun {
            market: position.market.key,
            obligation: *key,
            slot: position.market.clock.slot,
            quoted_usd: value_f64(plan.best.profit_value),
            sends: config.send,
        };
        let numbers = numbers(&position, &plan)?;
        if let Some(written) = written {
            let (table, entries) = (&written.table, &written.entries);
            info!(obligation = %key, %table, ?entries, "prices are written first");
        }
        let job = Job {
            plan: Box::new(plan),
            tables,
            stage,
            blockhash: self.chain.blockhash,
            heard: self.heard.unwrap_or_else(|| self.time.now()),
            ticket: None,
        };
        Ok(Some((job, begun, Box::new(numbers))))
    }
}

pub(super) fn largest(debts: &HashMap<Address, f32>) -> f64 {
    debts.values().copied().fold(0.0, f32::max).into()
}

/// What is known of a plan before anything came of it.
fn numbers(position: &Position<'_>, plan: &Plan) -> Result<Numbers> {
    let table = position.table();
    let known = |key: &Address| table.reserve(key).context("a reserve is not known");
    let (repay, withdraw) =
        (known(&plan.order.repay_reserve)?, known(&plan.order.withdraw_reserve)?);
    let mint = |state: &ReserveState<'_>| to_address(&state.account.liquidity.mint_pubkey);
    let sol = table.reserves().iter().find(|state| mint(state) == NATIVE_MINT);
    let quote = &plan.best.quote;
    Ok(Numbers {
        road: "none",
        venue: record::venue(plan.route.as_ref()),
        slot: position.market.clock.slot,
        debt_mint: mint(repay),
        debt_decimals: u8::try_from(repay.account.liquidity.mint_decimals).unwrap_or(u8::MAX),
        debt_price: repay.market_price.to_f64(),
        collateral_mint: mint(withdraw),
        sol_price: sol.map(|state| state.market_price.to_f64()),
        loan: plan.order.flash_amount,
        flash_fee: plan.flash_fee,
        quoted: (quote.repay, quote.received, plan.profit()),
        ..Numbers::default()
    })
}

/// What is worth writing first for an obligation.
pub(super) fn choices(
    scope: &Scope,
    market: &Market,
    key: &Address,
    obligation: &Obligation,
    all: bool,
) -> Vec<Choice> {
    let addresses = ObligationAddresses::read(key, obligation);
    let reserves = addresses.distinct_reserves();
    scope.choices(market, reserves.iter().filter_map(|key| market.reserve(key).ok()), all)
}

/// A tracked obligation, and the state of its market.
pub(super) fn tracked<'a>(
    states: &'a std::collections::BTreeMap<Address, State>,
    key: &Address,
) -> Option<(&'a State, &'a Obligation)> {
    states.values().find_map(|state| Some((state, state.tracker.get(key)?)))
}

#[cfg(test)]
mod tests {
    use flash_liquidator_client::klend::ReserveAddresses;
    use klend_model::keys::some;

    use super::*;
    use crate::watch::rig::Rig;

    /// By each of the operator's lists an obligation is left alone or not: by its owner, by
    /// itself, and by the reserves and mints of its debts and of its collaterals.
    #[test]
    fn every_list_is_looked_at() {
        let tried = |settings: &str| {
            let mut rig = Rig::new(&format!("simulate = \"none\"\n{settings}"), |_| ());
            rig.settle();
            rig.jobs.try_recv().map(|job| job.plan)
        };
        let plan = tried("").unwrap();
        let reserves = plan.reserves();
        let one_of = |all: &[Address]| all[0].to_string();
        let named = |keys: &[Address], of: fn(&ReserveAddresses) -> Address| {
            let reserve = reserves.iter().find(|it| it.reserve == keys[0]).unwrap();
            of(reserve).to_string()
        };
        let before = &plan.before;
        let borrowed: Vec<Address> =
            before.borrows.iter().filter_map(|it| some(&it.borrow_reserve)).copied().collect();
        let deposited: Vec<Address> =
            before.deposits.iter().filter_map(|it| some(&it.deposit_reserve)).copied().collect();
        assert_eq!((borrowed.len(), deposited.len()), (1, 1));
        let mint = |it: &ReserveAddresses| it.liquidity_mint;
        let (debt, collateral) = (named(&borrowed, mint), named(&deposited, mint));
        let owner = to_address(&before.owner).to_string();
        let nobody = Address::new_from_array([9; 32]).to_string();
        for (list, wanted) in [
            ("owners", vec![owner]),
            ("obligations", vec![plan.obligation().to_string()]),
            ("reserves", vec![one_of(&borrowed), one_of(&deposited)]),
            ("mints", vec![debt, collateral]),
        ] {
            assert!(tried(&format!("allow_{list} = {wanted:?}")).is_ok(), "{list}");
            assert!(tried(&format!("allow_{list} = [{nobody:?}]")).is_err(), "{list}");
            assert!(tried(&format!("deny_{list} = [{nobody:?}]")).is_ok(), "{list}");
            for key in &wanted {
                assert!(tried(&format!("deny_{list} = [{key:?}]")).is_err(), "{list}");
                // Either side is enough, and one side is not.
                let alone = tried(&format!("allow_{list} = [{key:?}]")).is_ok();
                assert_eq!(alone, wanted.len() == 1, "{list}");
            }
        }
    }
}
