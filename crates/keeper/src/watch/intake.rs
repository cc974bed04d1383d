//! What feeds tell and looks show, taken into the book account by account.

use std::{
    sync::atomic::Ordering,
    time::{Duration, Instant},
};

use anyhow::Result;
use flash_liquidator_client::{token::TOKEN_2022_PROGRAM_ID, token_2022};
use solana_account::Account;
use solana_address::Address;
use solana_sdk_ids::sysvar;
use tracing::{debug, info, warn};

use super::{
    decide::tracked,
    engine::{Engine, Subscription},
    scouting::following,
};
use crate::{
    book::missing::Verdict,
    feeds::{
        feed::{Update, Version},
        horizon::AHEAD,
        source::read_clock,
    },
    judge::state::{Effect, State},
    reader::{Order, Why},
};

/// Obligations that are looked at, one by one, to see whether they are still there or
/// have changed unseen.
pub(super) const AUDITED: usize = 64;
/// How long an update may take to tell of what a look has shown already.
const TELLING: Duration = Duration::from_secs(3);

/// Says what a mint's authority has changed.
fn tell_traits(mint: &Address, before: Option<&Account>, after: Option<&Account>) {
    let traits = |account: &Account| token_2022::traits(&account.owner, &account.data);
    let (Some(before), Some(after)) = (before.map(traits), after.map(traits)) else { return };
    if before != after {
        let words: Vec<String> = after.iter().map(ToString::to_string).collect();
        let has = if words.is_empty() { "nothing special".to_owned() } else { words.join(", ") };
        warn!(%mint, has, "a mint has changed");
    }
}

impl Engine {
    pub(super) fn fed(&mut self, number: u64, update: Update) -> Result<()> {
        let is_market = number == self.market_feed.number;
        let is_pool = number == self.pool_feed.number;
        let metrics = &self.parts.records.metrics;
        match update {
            Update::Account { key, version, account } => {
                // Of a feed that was replaced, too: accounts are as good as any.
                metrics.updates.inc();
                self.parts.health.news();
                if is_market && account.lamports > 0 {
                    self.collect(&key, version, &account);
                }
                self.doubts.remove(&key);
                self.written(key, version, Some(account), false);
            }
            Update::Connected if is_market => {
                info!("updates flow");
                metrics.feed_up.set(1);
                self.parts.health.feed(true);
                self.market_feed.flows = true;
                self.cooldown.wake_all();
                self.doubts.clear();
                self.next_audit = self.time.now() + self.parts.config.audit;
                self.forget_told();
                // What was written before the subscription is not told.
                self.scan_wanted = self.markets().into_iter().collect();
            }
            Update::Connected if is_pool => {
                debug!("updates of pools flow");
                self.pool_feed.flows = true;
                self.needed.want(self.followed().copied().collect::<Vec<_>>());
            }
            Update::Lost { reason, pause } if is_market => {
                warn!(reason, pause_ms = pause.as_millis(), "updates broke off: polling");
                metrics.feed_up.set(0);
                self.parts.health.feed(false);
                metrics.feed_losses.inc();
                self.market_feed.flows = false;
                self.forget_told();
                let unscanned =
                    self.markets().into_iter().filter(|key| !self.states.contains_key(key));
                let unscanned: Vec<Address> = unscanned.collect();
                self.scan_wanted.extend(unscanned);
            }
            Update::Lost { reason, pause } if is_pool => {
                let pause_ms = pause.as_millis();
                warn!(reason, pause_ms, "updates of pools broke off: polling for them");
                metrics.feed_losses.inc();
                self.pool_feed.flows = false;
            }
            Update::Connected | Update::Lost { .. } => {}
        }
        Ok(())
    }

    /// Puts together what the feed tells, before the book takes it.
    fn collect(&mut self, key: &Address, version: Version, account: &Account) {
        for (market, collector) in &mut self.collectors {
            if let Some(state) = self.states.get(market).filter(|it| it.concerns(key, account)) {
                collector.hear(state, key, version, account);
            }
        }
    }

    /// What was told before a gap and what is told after it do not go together.
    pub(super) fn forget_told(&mut self) {
        self.collectors.clear();
        self.scanned_fed.clear();
    }

    /// Hands over what can be compared with the model.
    pub(super) fn compare(&mut self) {
        let Some(checker) = &self.parts.checker else { return };
        for (market, collector) in &mut self.collectors {
            let Some(state) = self.states.get(market) else { continue };
            match collector.due(state) {
                Ok(cases) => checker.take(cases),
                Err(reason) => {
                    warn!(%market, reason = format!("{reason:#}"), "nothing to compare");
                }
            }
        }
    }

    /// What nothing sold before may be sold now.
    pub(super) fn sells_anew(&mut self) {
        self.cooldown.wake_unsold();
        self.evaluate_all = true;
    }

    /// Takes what is at an address now; returns whether that is another than was known.
    /// That nothing is there where something was is believed of an answer that `confirms`
    /// an earlier one.
    pub(super) fn written(
        &mut self,
        key: Address,
        version: Version,
        account: Option<Account>,
        confirms: bool,
    ) -> bool {
        let heard = self.time.now();
        let mut changed = false;
        self.shared.slot.fetch_max(version.slot, Ordering::Relaxed);
        // However it is told: what has no lamports is not there.
        let account = account.filter(|account| account.lamports > 0);
        let holds =
            |state: &State| state.holds(&key, version) || state.market.account(&key).is_some();
        if account.is_some() {
            self.missing.seen(&key);
        } else if self.is_first_look(&key)
            || self.accounts.holds(&key, version)
            || self.states.values().any(holds)
        {
            match self.missing.nothing(&key, version, confirms) {
                Verdict::AskAgain => {
                    self.confirmed.want([key]);
                    return false;
                }
                Verdict::Waiting => return false,
                Verdict::Gone => {}
            }
        }
        let is_source = self.scope.as_ref().is_some_and(|scope| scope.is_source(&key));
        let is_live = is_source || self.live.contains(&key);
        if self.accounts.is_known(&key) || self.asked.contains(&key) || is_live {
            let known = self.accounts.get(&key);
            let differs = known.map(|known| &known.data) != account.as_ref().map(|new| &new.data);
            let kind = |account: &Account| (account.owner, account.data.len());
            let is_another = known.map(kind) != account.as_ref().map(kind);
            let before = known.filter(|known| known.owner == TOKEN_2022_PROGRAM_ID).cloned();
            if !self.accounts.put(&key, version, account.clone()) {
                self.parts.records.metrics.stale_updates.inc();
            } else if differs {
                changed = true;
                // What a pool pays, or what a mint allows, has changed.
                self.pools_moved |= self.live.contains(&key);
                if is_another && self.live.contains(&key) {
                    if account.is_none() {
                        warn!(%key, slot = version.slot, "an account is gone");
                    }
                    self.sells_anew();
                }
                if let Some(scope) = &mut self.scope
                    && scope.changed(&key)
                {
                    self.heard.get_or_insert(heard);
                }
                tell_traits(&key, before.as_ref(), account.as_ref());
            }
        }
        let Some(account) = account else {
            for state in self.states.values_mut().filter(|state| state.holds(&key, version)) {
                state.forget(&key, version);
                info!(obligation = %key, slot = version.slot, "closed");
                self.queue.remove(&key);
            }
            return changed;
        };
        if key == sysvar::clock::ID
            && let Ok(clock) = read_clock(&account.data)
        {
            if clock.slot > version.slot.saturating_add(AHEAD) {
                warn!(clock = clock.slot, slot = version.slot, "a clock that is ahead of its slot");
                return changed;
            }
            self.chain.slots.heard(clock.slot, heard);
        }
        if self.states.len() < self.markets().len() {
            let newest = self.early.get(&key).is_none_or(|(known, _)| *known <= version);
            if newest {
                self.early.insert(key, (version, account.clone()));
            }
        }
        let mut reserves_changed = false;
        for state in self.states.values_mut() {
            if !state.concerns(&key, &account) {
                continue;
            }
            match state.apply(&key, version, account.clone()) {
                Ok(Effect::Stale) => {
                    self.parts.records.metrics.stale_updates.inc();
                }
                Ok(Effect::Nothing) => {}
                Ok(Effect::Obligation) => {
                    self.heard.get_or_insert(heard);
                    self.cooldown.wake(&key);
                    changed = true;
                }
                Ok(Effect::Market) => {
                    self.heard.get_or_insert(heard);
                    changed = true;
                    reserves_changed |= state.market.is_reserve(&key);
                    if let Some(scope) = &mut self.scope {
                        scope.changed(&key);
                    }
                }
                Err(reason) => {
                    self.parts.records.metrics.source_errors.inc();
                    warn!(%key, reason = format!("{reason:#}"), "an update was not understood");
                }
            }
        }
        if reserves_changed {
            self.subscribe();
        }
        changed
    }

    /// Whether an account is waited for that was never seen. What it is by the first answer
    /// decides for long: that it is not there is no better known of it than of others.
    fn is_first_look(&self, key: &Address) -> bool {
        self.asked.contains(key) && !self.accounts.is_known(key)
    }

    /// Looks at what should have been told of by updates.
    pub(super) fn audit(&mut self) -> Result<()> {
        let mut keys: Vec<Address> = self.followed().copied().collect();
        for state in self.states.values() {
            keys.extend(state.market.keys()?);
        }
        // One after the other, and then from the first again.
        let is_tracked = |key: &&Address| tracked(&self.states, key).is_some();
        let obligations = following(&self.scouting.near, &self.audited).filter(is_tracked);
        let obligations: Vec<Address> = obligations.take(AUDITED).copied().collect();
        self.audited = obligations.last().copied().unwrap_or_default();
        keys.extend(obligations);
        keys.sort_unstable();
        keys.dedup();
        self.auditing = true;
        self.looker.order(Order::Look { keys, why: Why::Audit })
    }

    /// Gives up feeds that did not tell of what changed long enough ago: the connection
    /// stands, and a subscription in it is dead. Whether there were any.
    pub(super) fn doubt(&mut self) -> bool {
        let now = self.time.now();
        let is_due = |since: &Instant| now.saturating_duration_since(*since) >= TELLING;
        let Some(key) = self.doubts.iter().find(|(_, since)| is_due(since)).map(|(key, _)| *key)
        else {
            return false;
        };
        self.doubts.clear();
        self.parts.records.metrics.feed_losses.inc();
        if self.followed().any(|live| *live == key) {
            warn!(%key, "a change of a pool was not told of: subscribing anew");
            self.pool_feed = Subscription::default();
            self.subscribe_to_pools();
        } else {
            warn!(%key, "a change was not told of: subscribing anew");
            self.parts.records.metrics.feed_up.set(0);
            self.parts.health.feed(false);
            self.market_feed = Subscription::default();
            self.subscribe();
        }
        true
    }
}

#[cfg(test)]
mod tests;
