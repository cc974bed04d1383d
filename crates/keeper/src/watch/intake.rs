//! What feeds and readers bring, taken into the book.

use std::{
    collections::BTreeMap,
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
    scout::following,
};
use crate::{
    book::{
        chain::Blockhash,
        missing::Verdict,
        reader::{Found, Look, News, Order, Scan, Warm, Why},
    },
    feeds::{
        feed::{Update, Version},
        horizon::AHEAD,
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
/// Obligations that may be closed at once without a second look at all.
const CLOSED: usize = 3;
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
            Found::Scan(market, scan) => match scan.and_then(|scan| self.merge(*scan)) {
                Ok(()) => self.succeeded(),
                Err(reason) => self.not_scanned(market, &reason),
            },
            Found::Look(why, Ok(Look { slot, accounts })) => {
                self.succeeded();
                self.looked(why, true);
                let (mut answered, now) = (false, self.time.now());
                let count = |states: &BTreeMap<Address, State>| {
                    states.values().map(|state| state.tracker.len()).sum::<usize>()
                };
                let before = count(&self.states);
                for (key, account) in accounts {
                    let confirms = why == Why::Confirm;
                    let changed = self.written(key, Version::end_of(slot), account, confirms);
                    answered |= self.accounts.is_known(&key) && self.asked.remove(&key);
                    if changed && why == Why::Audit {
                        self.doubts.insert(key, now);
                    }
                }
                let closed = before.saturating_sub(count(&self.states));
                if closed > CLOSED {
                    // Twice the same node, perhaps: nobody closes so many at once.
                    warn!(closed, "many obligations are gone: the markets are scanned");
                    self.scan_wanted.extend(self.markets());
                }
                if why == Why::Audit {
                    self.next_audit = now + self.parts.config.audit;
                }
                self.evaluate_all |= why == Why::Polling;
                if answered {
                    // Pools may name more, and what waited for it can go on.
                    self.scout_again();
                    self.evaluate_all = true;
                }
            }
            Found::Look(why, Err(reason)) => {
                self.looked(why, false);
                self.failed(&reason);
            }
            Found::Averages(found) => {
                self.averages_ordered = false;
                match found {
                    Ok(found) => self.averages_found(found),
                    Err(reason) => self.failed(&reason),
                }
            }
            Found::Chain(news) => self.chain_news(*news),
            Found::Blockhash(found) => self.blockhash_read(found),
            Found::Pools(wanted, found) => self.pools_found(&wanted, found),
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

    /// A look is over, well or not.
    fn looked(&mut self, why: Why, came: bool) {
        match why {
            Why::Polling => self.looking = false,
            Why::Audit => self.auditing = false,
            Why::Needed => self.needed.answered(came),
            Why::Confirm => self.confirmed.answered(came),
        }
    }

    /// Takes a blockhash, if it is the newest.
    fn blockhash_read(&mut self, found: Result<Blockhash>) {
        self.blockhash_ordered = false;
        match found {
            Ok(new) => {
                if self.chain.blockhash.is_none_or(|old| old.slot <= new.slot) {
                    self.chain.blockhash = Some(new);
                }
            }
            Err(reason) => {
                self.parts.records.metrics.source_errors.inc();
                warn!(reason = format!("{reason:#}"), "no blockhash was read");
            }
        }
    }

    fn chain_news(&mut self, news: News) {
        self.chain_ordered = false;
        for reason in &news.failures {
            self.parts.records.metrics.source_errors.inc();
            warn!(reason = format!("{reason:#}"), "the chain was not read");
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
        self.shared.slot.fetch_max(slot, Ordering::Relaxed);
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
                let mut merging = state.begin_merge(scan)?;
                let changed = std::mem::take(&mut merging.changed);
                self.merging.insert(key, merging);
                self.untold(&key, changed);
                Ok(())
            }
            None => {
                let state = State::new(scan, self.parts.config.min_debt)?;
                self.states.insert(key, state);
                for (key, (version, account)) in self.early.clone() {
                    self.written(key, version, Some(account), false);
                }
                if self.states.len() == self.markets().len() {
                    self.early.clear();
                }
                self.merged(key)
            }
        }
    }

    /// Takes so many obligations of a scan that is being taken; whether there is one.
    pub(super) fn merge_some(&mut self, most: usize) -> Result<bool> {
        let Some(mut merging) = self.merging.first_entry() else { return Ok(false) };
        let key = *merging.key();
        let Some(state) = self.states.get_mut(&key) else { return Ok(false) };
        let tracked = state.tracker.len();
        let more = state.merge_some(merging.get_mut(), most);
        let changed = std::mem::take(&mut merging.get_mut().changed);
        let ended = match more {
            Ok(true) => {
                self.untold(&key, changed);
                return Ok(true);
            }
            Ok(false) => state.end_merge(merging.remove(), &mut self.missing),
            Err(reason) => {
                merging.remove();
                Err(reason)
            }
        };
        self.untold(&key, changed);
        match ended {
            Ok(missing) => {
                if missing.len() > AUDITED {
                    warn!(market = %key, tracked, missing = missing.len(), "a scan came short: again");
                }
                self.confirmed.want(missing);
                self.merged(key)?;
            }
            Err(reason) => self.not_scanned(key, &reason),
        }
        Ok(true)
    }

    /// A scan that was ordered since updates flow has other accounts than were known: updates
    /// have to tell of them, where somebody looks after that.
    fn untold(&mut self, market: &Address, changed: Vec<Address>) {
        if self.scanned_fed.contains(market) && !self.parts.config.audit.is_zero() {
            let now = self.time.now();
            self.doubts.extend(changed.into_iter().map(|key| (key, now)));
        }
    }

    /// A market is scanned again, because it could not be, or not be taken.
    fn not_scanned(&mut self, market: Address, reason: &anyhow::Error) {
        self.scanning.remove(&market);
        self.scan_wanted.insert(market);
        self.failed(reason);
    }

    /// A market's scan was taken as a whole.
    fn merged(&mut self, key: Address) -> Result<()> {
        self.scanning.remove(&key);
        if let Some(scope) = &mut self.scope {
            scope.look_again();
        }
        self.scanned.insert(key, self.time.now());
        if self.scanned_fed.remove(&key) && self.parts.checker.is_some() {
            self.collectors.entry(key).or_default();
        }
        self.parts.records.metrics.scans.inc();
        self.subscribe();
        debug!(market = %key, "scan merged");
        // Everything else is read anew as well, programs too.
        self.scout_anew();
        let keys: Vec<Address> = self.accounts.keys().copied().collect();
        if !keys.is_empty() {
            self.order_machine()?;
            self.needed.want(keys);
        }
        Ok(())
    }

    fn averages_found(&mut self, found: Vec<(Address, Option<Address>)>) {
        self.succeeded();
        let Some(scope) = &mut self.scope else { return };
        for (table, averages) in found {
            if averages.is_none() {
                warn!(%table, "no averages of this price table: its prices are not written here");
            }
            scope.found(&table, averages);
        }
        self.scout_again();
    }

    /// Takes the pools of a pair into the book; what nothing sold is tried again.
    fn pools_found(&mut self, wanted: &Want, found: Result<Box<Discovered>>) {
        let (sold, bought) = wanted.pair;
        let pause = self.parts.config.discover.as_ref().map_or(Duration::MAX, |(_, pause)| *pause);
        if let Some(sought) = self.sought.get_mut(&wanted.pair) {
            (sought.ordered, sought.at) = (false, self.time.now());
            let is_whole = found.as_ref().is_ok_and(|found| !found.is_partial);
            sought.failed = if is_whole { 0 } else { sought.failed.saturating_add(1) };
            sought.answered = is_whole || sought.pause(pause) >= pause;
        }
        let found = match found {
            Ok(found) => found,
            Err(reason) => {
                // Those that are known stay.
                self.parts.records.metrics.source_errors.inc();
                warn!(%sold, %bought, reason = format!("{reason:#}"), "pools were not looked for");
                return;
            }
        };
        for reason in &found.failures {
            warn!(%sold, %bought, reason, "pools were not listed");
        }
        for Unusable { pool, venue, reason } in &found.unusable {
            info!(%pool, venue, reason, "a pool that cannot be sold in");
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
        // A search that is partial says nothing against what was found before.
        let mut keys = found.keys();
        if found.is_partial {
            let before = self.pools.found(&wanted.pair).iter().copied();
            let before: Vec<Address> = before.filter(|key| !keys.contains(key)).collect();
            keys.extend(before);
        }
        let before = self.pools.take_found(wanted.pair, keys.clone());
        if before != keys {
            // They are read before they are needed, those that left are not followed any
            // more, and what rests because nothing sold it does not rest any more.
            self.follow_anew();
            self.sells_anew();
        }
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
    use flash_liquidator_client::swap::stand_in;
    use klend_fork::Machine;
    use klend_interface::state::DISCRIMINATOR_SIZE;

    use super::*;
    use crate::{book::reader, feeds::source::Source as _, watch::rig::Rig};

    #[test]
    fn pools_that_left_the_ranking_are_not_followed() {
        let mut rig = Rig::new("discover = true\nsimulate = \"none\"", |_| ());
        let scan = reader::scan(&*rig.source, &rig.market, true).map(Box::new);
        let engine = &mut rig.engine;
        engine.found(Found::Scan(rig.market, scan)).unwrap();
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

    /// Bytecode that is newer than the machine, say: it is told of once, and what calls it is
    /// decided on without a simulation.
    #[test]
    fn what_the_machine_does_not_load_is_not_waited_for() {
        let mut rig = Rig::new("", |_| ());
        let swaps = stand_in::PROGRAM_ID;
        for _ in 0..9 {
            rig.engine.begin().unwrap();
            while let Ok(order) = rig.orders.try_recv() {
                let found = if let Order::Machine(programs) = order {
                    let mut world = rig.source.world(&programs).unwrap();
                    world
                        .set_account(&swaps, Account { lamports: 1, ..Account::default() })
                        .unwrap();
                    let refused = vec![(swaps, "an instruction that is not known".to_owned())];
                    let machine = Machine::new(world);
                    Found::Machine(Ok(Box::new(Warm { machine, programs, refused })))
                } else {
                    reader::read(&*rig.source, order)
                };
                rig.engine.found(found).unwrap();
            }
            rig.engine.end().unwrap();
        }
        let Engine { loaded, refused, .. } = &rig.engine;
        assert!(refused.iter().eq([&swaps]) && loaded.len() > 3, "{refused:?} {loaded:?}");
        let job = rig.jobs.try_recv().unwrap();
        assert!(job.stage.is_none() && job.plan.route.is_some());
        job.plan.check_unsimulated().unwrap();
    }

    /// A search that failed, or of which a list failed, is none: it is made again soon, and
    /// what nothing sells meanwhile is not given up for a day.
    #[test]
    fn a_search_that_failed_is_made_again_and_answers_nothing() {
        let mut rig = Rig::new("discover = true\nsimulate = \"none\"", |_| ());
        rig.settle();
        let pair = *rig.engine.sought.keys().next().unwrap();
        let wanted = rig.engine.sought[&pair].wanted;
        assert!(rig.engine.is_sought(&pair));
        let key = Address::new_from_array([3; 32]);
        let whole = Discovered::of(wanted, vec![key], false);
        rig.engine.found(Found::Pools(wanted, Ok(Box::new(whole)))).unwrap();
        let short = || Box::new(Discovered::of(wanted, Vec::new(), true));
        let fails = [Err(anyhow::anyhow!("sick")), Ok(short()), Ok(short())];
        let mut pauses = Vec::new();
        for found in fails {
            rig.engine.found(Found::Pools(wanted, found)).unwrap();
            assert!(!rig.engine.is_sought(&pair));
            assert_eq!(rig.engine.pools.found(&pair), [key], "what is known stays");
            pauses.push(rig.engine.sought[&pair].pause(Duration::from_secs(3_600)).as_secs());
            let searches = |rig: &mut Rig| {
                rig.engine.seek(Vec::new()).unwrap();
                let of = |order| match order {
                    Order::Pools { wanted: it, named, .. } => it.pair == pair && named == [key],
                    _ => false,
                };
                rig.orders.try_iter().filter_map(|order| of(order).then_some(())).count()
            };
            assert_eq!(searches(&mut rig), 0);
            rig.engine.time.at.since += Duration::from_secs(4);
            // By the address that is known, too.
            assert_eq!(searches(&mut rig), usize::from(pauses.len() < 3));
        }
        assert_eq!(pauses, [2, 4, 8]);
        // Who never lists is believed in the end.
        for _ in 0..16 {
            rig.engine.found(Found::Pools(wanted, Ok(short()))).unwrap();
        }
        assert!(rig.engine.is_sought(&pair));
    }

    /// However it is told that nothing is there any more: a node answers with nothing, a
    /// websocket tells of null, gRPC of an account without lamports.
    #[test]
    fn what_is_gone_by_one_word_is_looked_at_elsewhere_before_it_is_forgotten() {
        let mut rig = Rig::new("simulate = \"none\"\nnear_health = 10", |_| ());
        rig.settle();
        let slot = rig.slot();
        let mut known: Vec<Address> = rig.engine.pools.stand_ins.clone();
        known.extend(rig.engine.states.values().flat_map(|state| state.tracker.keys()).copied());
        assert!(known.len() > 2, "{known:?}");
        let is_there = |rig: &Rig, key: &Address| {
            let is_known = |state: &State| state.known(key).is_some();
            rig.engine.accounts.get(key).is_some() || rig.engine.states.values().any(is_known)
        };
        for key in known {
            let account = rig.source.account("account", &key).unwrap();
            for word in [Some(Account::default()), None, Some(Account::default())] {
                rig.tell(&key, slot + 1, word);
                assert!(is_there(&rig, &key), "{key}");
            }
            // One question, until there is an answer.
            assert_eq!(rig.looks(Why::Confirm), [key]);
            assert!(rig.looks(Why::Confirm).is_empty());
            rig.looked(Why::Polling, &key, slot + 2, None);
            rig.engine.found(Found::Look(Why::Confirm, Err(anyhow::anyhow!("sick")))).unwrap();
            assert_eq!(rig.looks(Why::Confirm), [key]);
            assert!(is_there(&rig, &key), "{key}");
            // It is there.
            rig.looked(Why::Confirm, &key, slot + 3, Some(account));
            rig.tell(&key, slot + 4, None);
            assert!(is_there(&rig, &key), "{key}");
            assert_eq!(rig.looks(Why::Confirm), [key]);
            // Of a node that has not come so far.
            rig.looked(Why::Confirm, &key, slot + 3, None);
            assert!(is_there(&rig, &key), "{key}");
            assert_eq!(rig.looks(Why::Confirm), [key]);
            rig.looked(Why::Confirm, &key, slot + 4, None);
            assert!(!is_there(&rig, &key), "{key}");
        }
    }

    /// A node that shows nothing of what is looked at for the first time is one answer, too.
    #[test]
    fn a_first_answer_of_nothing_is_asked_for_again() {
        let mut rig = Rig::new("simulate = \"none\"\nnear_health = 10", |_| ());
        let (mut hidden, mut absent) = (Vec::new(), Vec::new());
        for _ in 0..20 {
            rig.engine.begin().unwrap();
            while let Ok(order) = rig.orders.try_recv() {
                let mut found = reader::read(&*rig.source, order);
                let mut shown = Vec::new();
                if let Found::Look(Why::Needed, Ok(look)) = &mut found {
                    for (key, account) in &mut look.accounts {
                        if rig.engine.is_first_look(key) {
                            shown.push(*key);
                            let all = if account.is_some() { &mut hidden } else { &mut absent };
                            all.push(*key);
                            *account = None;
                        }
                    }
                }
                rig.engine.found(found).unwrap();
                for key in shown {
                    assert!(!rig.engine.accounts.is_known(&key), "{key}");
                    assert!(rig.engine.asked.contains(&key), "{key} is waited for");
                }
            }
            rig.engine.end().unwrap();
        }
        assert!(hidden.len() > 5 && !absent.is_empty(), "{hidden:?} {absent:?}");
        let engine = &rig.engine;
        assert!(hidden.iter().all(|key| engine.accounts.get(key).is_some()));
        // What two answers lack is known not to be there.
        let is_none =
            |key: &Address| engine.accounts.is_known(key) && engine.accounts.get(key).is_none();
        assert!(absent.iter().all(is_none) && engine.asked.is_empty() && engine.ready);
    }

    /// Updates tell of every change, or else they are not what they seem.
    #[test]
    fn a_scan_that_finds_what_nobody_told_of_raises_a_doubt() {
        let mut rig = Rig::new("simulate = \"none\"", |_| ());
        rig.settle();
        let (market, slot) = (rig.market, rig.slot());
        let scanned = |rig: &mut Rig, later: u64, is_fed: bool| {
            let mut scan = reader::scan(&*rig.source, &market, true).unwrap();
            scan.slot += later;
            let (read, key, obligation) = &mut scan.obligations[0];
            *read += later;
            obligation.deposits[0].deposited_amount += later;
            let (key, obligation) = (*key, obligation.clone());
            if is_fed {
                rig.engine.scanned_fed.insert(market);
            }
            rig.engine.found(Found::Scan(market, Ok(Box::new(scan)))).unwrap();
            while rig.engine.merge_some(usize::MAX).unwrap() {}
            (key, obligation, rig.engine.doubts.contains_key(&key))
        };
        let is_doubted = |found: (Address, Box<klend_interface::state::Obligation>, bool)| found.2;
        assert!(!is_doubted(scanned(&mut rig, 0, true)), "as it was");
        assert!(!is_doubted(scanned(&mut rig, 1, false)), "from before updates flow");
        let (key, obligation, is_doubted_now) = scanned(&mut rig, 2, true);
        assert!(is_doubted_now);
        // It was on its way.
        let mut account = rig.source.account("obligation", &key).unwrap();
        account.data[DISCRIMINATOR_SIZE..].copy_from_slice(bytemuck::bytes_of(&*obligation));
        let version = Version::end_of(slot + 2);
        rig.engine.fed(0, Update::Account { key, version, account }).unwrap();
        assert!(rig.engine.doubts.is_empty() && !rig.engine.doubt());
        assert!(is_doubted(scanned(&mut rig, 3, true)));
        assert!(!rig.engine.doubt());
        rig.engine.time.at.since += TELLING;
        assert!(rig.engine.doubt(), "subscribed anew");
    }

    /// An oracle that a feed tells nothing of stays as it was.
    #[test]
    fn a_price_is_not_overwritten_with_nothing() {
        let mut rig = Rig::new("simulate = \"none\"", |_| ());
        rig.settle();
        let state = rig.engine.states.values().next().unwrap();
        let keys = state.market.single_keys().unwrap();
        let before: Vec<Account> =
            keys.iter().filter_map(|key| state.market.account(key).cloned()).collect();
        assert!(before.len() > 1);
        let slot = rig.slot();
        keys.iter().for_each(|key| rig.tell(key, slot + 1, Some(Account::default())));
        // Somebody else is asked what they are.
        let mut asked = rig.looks(Why::Confirm);
        asked.retain(|key| keys.contains(key));
        assert!(asked.len() >= before.len(), "{asked:?}");
        let state = rig.engine.states.values().next().unwrap();
        let after = keys.iter().filter_map(|key| state.market.account(key).cloned());
        assert_eq!(after.collect::<Vec<_>>(), before);
    }

    #[test]
    fn nothing_is_signed_with_a_blockhash_that_is_too_old() {
        let mut rig = Rig::new("simulate = \"none\"", |config| config.send = true);
        let now = rig.slot();
        let read = |rig: &mut Rig, slot, last_valid_height| {
            let hash = Blockhash { slot, last_valid_height, ..Blockhash::default() };
            rig.engine.found(Found::Blockhash(Ok(hash))).unwrap();
            rig.engine.chain.blockhash.map(|it| it.slot)
        };
        assert_eq!(read(&mut rig, now - 125, u64::MAX), Some(now - 125));
        // The newest is of the latest slot, whatever it says of its life.
        assert_eq!(read(&mut rig, now - 121, 9), Some(now - 121));
        assert_eq!(read(&mut rig, now - 122, u64::MAX), Some(now - 121));
        rig.settle();
        assert!(rig.jobs.try_recv().is_err());
        assert_eq!((rig.engine.queue.len(), rig.engine.flights.len()), (1, 0));
        read(&mut rig, now - 100, 9);
        rig.settle();
        let job = rig.jobs.try_recv().unwrap();
        assert_eq!(job.blockhash.map(|it| it.slot), Some(now - 100));
    }
}
