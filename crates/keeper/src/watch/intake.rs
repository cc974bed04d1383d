//! What feeds and readers bring, taken into the book.

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

use super::engine::{Engine, Subscription};
use crate::{
    book::reader::{Found, Look, News, Order, Scan, Warm, Why},
    feeds::{
        feed::{Update, Version},
        source::read_clock,
    },
    judge::state::{Effect, State},
    route::discovery::{Found as Discovered, Unusable, Want},
};

/// Longest pause after a source failed again and again: within five seconds of being well
/// again, it is asked.
const LONGEST_PAUSE: Duration = Duration::from_secs(4);
/// Obligations that are looked at, one by one, to see whether they are still there or
/// have changed unseen.
const AUDITED: usize = 64;
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
                if is_market {
                    self.collect(&key, version, &account);
                }
                self.doubts.remove(&key);
                self.written(key, version, Some(account))?;
            }
            Update::Connected if is_market => {
                info!("updates flow");
                metrics.feed_up.set(1);
                self.parts.health.feed(true);
                self.market_feed.flows = true;
                self.doubts.clear();
                self.next_audit = self.time.now() + self.parts.config.audit;
                self.forget_told();
                // What was written before the subscription is not told.
                self.scan_wanted = self.markets().into_iter().collect();
            }
            Update::Connected if is_pool => {
                debug!("updates of pools flow");
                self.pool_feed.flows = true;
                let keys = self.followed().copied().collect();
                self.looker.order(Order::Look { keys, why: Why::Needed })?;
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
    /// That nothing is there where something was is asked again before it is believed: one
    /// answer may be wrong.
    pub(super) fn written(
        &mut self,
        key: Address,
        version: Version,
        account: Option<Account>,
    ) -> Result<bool> {
        let heard = self.time.now();
        let mut changed = false;
        if account.is_some() {
            self.vanished.remove(&key);
        } else if self.accounts.get(&key).is_some() && self.vanished.insert(key) {
            self.looker.order(Order::Look { keys: vec![key], why: Why::Needed })?;
            return Ok(false);
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
            self.missing(key, version)?;
            return Ok(changed);
        };
        if key == sysvar::clock::ID
            && let Ok(clock) = read_clock(&account.data)
        {
            self.chain.slots.heard(clock.slot, heard);
            self.shared.slot.fetch_max(clock.slot, Ordering::Relaxed);
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
        Ok(changed)
    }

    /// There is nothing at an address. An obligation that was there is asked for again
    /// before that is believed: one answer may be wrong.
    fn missing(&mut self, key: Address, version: Version) -> Result<()> {
        for state in self.states.values_mut() {
            match state.missing(&key, version) {
                Some(true) => {
                    return self.looker.order(Order::Look { keys: vec![key], why: Why::Needed });
                }
                Some(false) => {
                    info!(obligation = %key, slot = version.slot, "closed");
                    self.queue.remove(&key);
                }
                None => {}
            }
        }
        Ok(())
    }

    /// Looks at what should have been told of by updates.
    pub(super) fn audit(&mut self) -> Result<()> {
        let mut keys: Vec<Address> = self.followed().copied().collect();
        for state in self.states.values() {
            keys.extend(state.market.keys()?);
            let tracked = self.prepared.iter().filter(|key| state.tracker.get(key).is_some());
            keys.extend(tracked.take(AUDITED));
        }
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

    pub(super) fn found(&mut self, found: Found) -> Result<()> {
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
            Found::Scan(market, scan) => {
                self.scanning.remove(&market);
                match scan.and_then(|scan| self.merge(*scan)) {
                    Ok(()) => self.succeeded(),
                    Err(reason) => {
                        self.scan_wanted.insert(market);
                        self.failed(&reason);
                    }
                }
            }
            Found::Look(Ok(Look { slot, accounts, why })) => {
                self.succeeded();
                let (mut answered, now) = (false, self.time.now());
                for (key, account) in accounts {
                    let changed = self.written(key, Version::end_of(slot), account)?;
                    answered |= self.asked.remove(&key);
                    if changed && why == Why::Audit {
                        self.doubts.insert(key, now);
                    }
                }
                if why == Why::Audit {
                    self.auditing = false;
                    self.next_audit = now + self.parts.config.audit;
                }
                if why == Why::Polling {
                    (self.looking, self.evaluate_all) = (false, true);
                }
                if answered {
                    // Pools may name more, and what waited for it can go on.
                    self.prepared.retain(|key| self.states.contains_key(key));
                    self.scout()?;
                    self.evaluate_all = true;
                }
            }
            Found::Look(Err(reason)) => {
                (self.looking, self.auditing) = (false, false);
                self.asked.clear();
                self.prepared.clear();
                self.failed(&reason);
            }
            Found::Averages(found) => {
                self.averages_ordered = false;
                match found {
                    Ok(found) => self.averages_found(found)?,
                    Err(reason) => self.failed(&reason),
                }
            }
            Found::Chain(news) => self.chain_news(*news),
            Found::Pools(wanted, found) => self.pools_found(&wanted, found)?,
            Found::Machine(warm) => {
                self.machine_ordered = false;
                match warm {
                    Ok(warm) => self.warmed(*warm),
                    Err(reason) => self.failed(&reason),
                }
            }
        }
        Ok(())
    }

    fn chain_news(&mut self, news: News) {
        self.chain_ordered = false;
        for reason in &news.failures {
            self.parts.records.metrics.source_errors.inc();
            warn!(reason = format!("{reason:#}"), "the chain was not read");
        }
        // A node that is behind tells of an older one, which ends sooner.
        if let Some(new) = news.blockhash
            && self.chain.blockhash.is_none_or(|old| old.last_valid_height <= new.last_valid_height)
        {
            self.chain.blockhash = Some(new);
        }
        match news.rent {
            Some(account) => {
                if let Err(reason) = self.chain.read_rent(&account) {
                    warn!(reason = format!("{reason:#}"), "the rent was not read");
                }
            }
            None if !self.parts.on_chain => self.chain.take_machines_rent(),
            None => {}
        }
        // What was not told now was told before.
        let fees = &mut self.chain.fees;
        fees.unit_price = news.fees.unit_price.or(fees.unit_price);
        fees.tip = news.fees.tip.or(fees.tip);
        if !news.fees.tip_accounts.is_empty() {
            fees.tip_accounts = news.fees.tip_accounts;
        }
    }

    fn warmed(&mut self, warm: Warm) {
        for program in &warm.programs {
            if warm.machine.has_program(program) {
                self.loaded.insert(*program);
                continue;
            }
            // Said once: it goes on without.
            if self.refused.insert(*program) {
                let reason = warm.refused.iter().find(|(key, _)| key == program);
                let reason = reason.map_or("it is not there", |(_, reason)| reason);
                warn!(%program, reason, "not loaded: what calls it is sent without being simulated");
            }
        }
        self.machines += 1;
        if let Some(scope) = &mut self.scope {
            scope.take_machine(&warm.machine);
        }
        if let Ok(mut machine) = self.shared.machine.lock() {
            *machine = Some((self.machines, warm.machine));
        }
        // What waited for it can go on.
        self.evaluate_all = true;
    }

    fn merge(&mut self, scan: Scan) -> Result<()> {
        let (slot, key) = (scan.slot, scan.market.key);
        // A list alone says nothing against a pool: its account does.
        let mut stand_ins = scan.stand_ins.clone();
        let before = self.pools.stand_ins.iter().filter(|key| !scan.stand_ins.contains(key));
        let is_gone =
            |key: &Address| self.accounts.is_known(key) && self.accounts.get(key).is_none();
        stand_ins.extend(before.filter(|key| !is_gone(key)));
        if self.pools.stand_ins != stand_ins {
            self.pools.stand_ins = stand_ins;
            self.sells_anew();
        }
        match self.states.get_mut(&key) {
            Some(state) => {
                let (tracked, missing) = (state.tracker.len(), state.merge(scan)?);
                if missing.len() > AUDITED {
                    // The next scan is the second answer.
                    warn!(market = %key, tracked, missing = missing.len(), "a scan came short: again");
                    self.scan_wanted.insert(key);
                } else if !missing.is_empty() {
                    self.looker.order(Order::Look { keys: missing, why: Why::Needed })?;
                }
            }
            None => {
                let state = State::new(scan, self.parts.config.min_debt)?;
                self.states.insert(key, state);
                for (key, (version, account)) in self.early.clone() {
                    self.written(key, version, Some(account))?;
                }
                if self.states.len() == self.markets().len() {
                    self.early.clear();
                }
            }
        }
        self.scanned.insert(key, self.time.now());
        if self.scanned_fed.remove(&key) && self.parts.checker.is_some() {
            self.collectors.entry(key).or_default();
        }
        self.parts.records.metrics.scans.inc();
        self.subscribe();
        debug!(slot, "scan merged");
        // Everything else is read anew as well, programs too.
        self.prepared.clear();
        let keys: Vec<Address> = self.accounts.keys().copied().collect();
        if !keys.is_empty() {
            self.order_machine()?;
            self.looker.order(Order::Look { keys, why: Why::Needed })?;
        }
        self.next_scout = self.time.now();
        Ok(())
    }

    fn averages_found(&mut self, found: Vec<(Address, Option<Address>)>) -> Result<()> {
        self.succeeded();
        let Some(scope) = &mut self.scope else { return Ok(()) };
        for (table, averages) in found {
            if averages.is_none() {
                warn!(%table, "no averages of this price table: its prices are not written here");
            }
            scope.found(&table, averages);
        }
        self.scout()
    }

    /// Takes the pools of a pair into the book; what nothing sold is tried again.
    fn pools_found(&mut self, wanted: &Want, found: Result<Box<Discovered>>) -> Result<()> {
        let (sold, bought) = wanted.pair;
        if let Some(sought) = self.sought.get_mut(&wanted.pair) {
            (sought.ordered, sought.answered, sought.at) = (false, true, self.time.now());
        }
        let found = match found {
            Ok(found) => found,
            Err(reason) => {
                // Those that are known stay.
                self.parts.records.metrics.source_errors.inc();
                warn!(%sold, %bought, reason = format!("{reason:#}"), "pools were not looked for");
                return Ok(());
            }
        };
        for reason in &found.failures {
            warn!(%sold, %bought, reason, "pools were not listed");
        }
        for Unusable { pool, venue, reason } in &found.unusable {
            info!(%pool, venue, reason, "a pool that cannot be sold in");
        }
        let known = self.pools.found(&wanted.pair).len();
        if found.pools.is_empty() && found.failures.is_empty() && known > 0 {
            // Once is no news: one answer may be wrong.
            if let Some(sought) = self.sought.get_mut(&wanted.pair)
                && !std::mem::replace(&mut sought.doubted, true)
            {
                sought.answered = false;
                warn!(%sold, %bought, known, "no pool is left where some were: asked again");
                self.next_scout = self.time.now();
                return Ok(());
            }
        } else if let Some(sought) = self.sought.get_mut(&wanted.pair) {
            sought.doubted = false;
        }
        let best = found.pools.first();
        info!(
            %sold,
            %bought,
            amount = wanted.amount,
            kept = found.pools.len(),
            lesser = found.lesser,
            empty = found.empty,
            shallow = found.shallow,
            best = best.map(|ranked| ranked.pool.to_string()),
            pays = best.map(|ranked| ranked.pays),
            "pools looked for"
        );
        // A list that was refused says nothing against what was found before.
        let mut keys = found.keys();
        if !found.failures.is_empty() {
            let before = self.pools.found(&wanted.pair).iter().copied();
            let before: Vec<Address> = before.filter(|key| !keys.contains(key)).collect();
            keys.extend(before);
        }
        let before = self.pools.take_found(wanted.pair, keys.clone());
        if before != keys {
            // They are read before they are needed, those that left are not followed any
            // more, and what rests because nothing sold it does not rest any more.
            self.prepared.clear();
            self.live.clear();
            self.next_scout = self.time.now();
            self.sells_anew();
        }
        Ok(())
    }

    fn succeeded(&mut self) {
        self.parts.health.news();
        self.pause = self.parts.config.poll;
        self.failed_until = None;
        self.next_look = self.time.now() + self.parts.config.poll;
    }

    fn failed(&mut self, reason: &anyhow::Error) {
        self.parts.records.metrics.source_errors.inc();
        warn!(reason = format!("{reason:#}"), "the source failed");
        self.pause = (self.pause * 2).min(LONGEST_PAUSE);
        self.failed_until = Some(self.time.now() + self.pause);
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::{
        book::reader,
        config::Config,
        feeds::source::BuiltinFork,
        health::{Health, Limits},
        keys::Key,
        ledger::{metrics::Metrics, records::Records},
        watch::engine::Parts,
    };

    #[test]
    fn pools_that_left_the_ranking_are_not_followed() {
        let source = Arc::new(BuiltinFork::new().unwrap());
        let (config, mistakes) = Config::read("discover = true\nsimulate = \"none\"");
        assert!(mistakes.is_empty(), "{mistakes:?}");
        let config = Arc::new(config.unwrap());
        let (market, metrics) = (config.markets[0], Arc::new(Metrics::new()));
        let parts = Parts {
            source: Arc::clone(&source) as _,
            config,
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
        };
        let (mut engine, _jobs) = Engine::idle(parts, &Arc::default()).unwrap();
        let scan = reader::scan(&*source, &market, true).map(Box::new);
        engine.found(Found::Scan(market, scan)).unwrap();
        let key = |byte| Address::new_from_array([byte; 32]);
        let wanted = Want { pair: (key(1), key(2)), amount: 1 };
        let mut follows = |found: Vec<Address>| {
            let found = Discovered::of(wanted, found, false);
            engine.found(Found::Pools(wanted, Ok(Box::new(found)))).unwrap();
            engine.scout().unwrap();
            [key(3), key(4)].map(|pool| engine.live.contains(&pool))
        };
        assert_eq!(follows(vec![key(3), key(4)]), [true, true]);
        assert_eq!(follows(vec![key(4)]), [false, true]);
        assert_eq!(follows(Vec::new()), [false, false]);
    }
}
