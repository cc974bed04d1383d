//! What readers found, taken into the book.

use std::{collections::BTreeMap, sync::atomic::Ordering, time::Duration};

use anyhow::Result;
use solana_address::Address;
use tracing::{debug, info, warn};

use super::{engine::Engine, intake::AUDITED};
use crate::{
    book::scan::Scan,
    feeds::{blockhash::Blockhash, feed::Version},
    judge::state::State,
    reader::{Found, Look, News, Warm, Why},
    route::discovery::{Found as Discovered, Unusable, Want},
};

/// Longest pause after a source failed again and again: within five seconds of being well
/// again, it is asked.
const LONGEST_PAUSE: Duration = Duration::from_secs(4);
/// Obligations that may be closed at once without a second look at all.
const CLOSED: usize = 3;

impl Engine {
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
                    Ok(warm) => self.warmed(*warm)?,
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

    fn warmed(&mut self, warm: Warm) -> Result<()> {
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
        self.shared.trials.take_machine(self.machines, warm.machine)?;
        // What waited for it can go on.
        self.evaluate_all = true;
        Ok(())
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
