//! What feeds and readers are asked for, and when: subscriptions, scans, accounts, and pools
//! that could sell what obligations hold.

use std::sync::Arc;

use anyhow::Result;
use solana_address::Address;
use tracing::{debug, info, warn};

use super::{
    engine::{Engine, Sought, Subscription},
    event::Event,
};
use crate::{
    book::{market::Market, pools::Pair, scope::Known},
    build::plan::Fees,
    config::Simulate,
    feeds::feed::{self, Wanted},
    reader::{CHAIN_PAUSE, Order, Why},
    route::{
        discovery::{Want, merged},
        fees::UnitPrice,
    },
};

/// Accounts whose recent fees are asked about: klend's own calls name few more.
const FEE_ACCOUNTS: usize = 32;

impl Engine {
    /// Orders reads that are due; whether any were.
    pub(super) fn keep_time(&mut self) -> Result<bool> {
        let now = self.time.now();
        let mut was_due = false;
        if self.failed_until.is_some_and(|until| now < until) {
            return Ok(false);
        }
        let rescan = self.parts.config.rescan;
        for market in self.markets() {
            let is_old = self
                .scanned
                .get(&market)
                .is_some_and(|at| now.saturating_duration_since(*at) >= rescan);
            if (self.scan_wanted.contains(&market) || is_old) && self.scanning.insert(market) {
                was_due = true;
                self.scan_wanted.remove(&market);
                if self.market_feed.flows {
                    self.scanned_fed.insert(market);
                }
                let obligations = self.parts.config.markets.contains(&market);
                self.scanner.order(Order::Scan { market, obligations })?;
            }
        }
        let is_due = self.parts.on_chain && now >= self.next_blockhash;
        if is_due && !self.blockhash_ordered && !self.states.is_empty() {
            was_due = true;
            (self.blockhash_ordered, self.next_blockhash) = (true, now + CHAIN_PAUSE);
            self.hasher.order(Order::Blockhash)?;
        }
        if !self.chain_ordered && now >= self.next_chain && !self.states.is_empty() {
            was_due = true;
            (self.chain_ordered, self.next_chain) = (true, now + CHAIN_PAUSE);
            let tips = self.parts.tips.clone();
            self.asker.order(Order::Chain { writes: self.writes(), tips })?;
        }
        was_due |= self.scout()?;
        self.keep_offers(now)?;
        // Without a feed, prices have to be looked at.
        let is_blind =
            !self.market_feed.flows || (!self.pool_feed.flows && self.followed().next().is_some());
        let audits = self.ready && !is_blind && !self.parts.config.audit.is_zero();
        if audits && !self.auditing && now >= self.next_audit {
            was_due = true;
            self.audit()?;
        }
        if audits {
            was_due |= self.doubt();
        }
        if is_blind && !self.looking && now >= self.next_look {
            if self.states.len() == self.markets().len() {
                (was_due, self.looking) = (true, true);
                let mut keys: Vec<Address> = self.followed().copied().collect();
                if !self.market_feed.flows {
                    for state in self.states.values() {
                        keys.extend(state.market.keys()?);
                    }
                }
                keys.sort_unstable();
                keys.dedup();
                self.looker.order(Order::Look { keys, why: Why::Polling })?;
            } else if self.parts.connector.is_some()
                && self.market_feed.feed.is_none()
                && self.scanning.is_empty()
            {
                (was_due, self.looking) = (true, true);
                self.scanner.order(Order::Keys(self.markets()))?;
            }
        }
        for (looks, why) in [(&mut self.confirmed, Why::Confirm), (&mut self.needed, Why::Needed)] {
            if let Some(keys) = looks.due() {
                was_due = true;
                if why == Why::Confirm {
                    let (accounts, first) = (keys.len(), keys.first().map(ToString::to_string));
                    // Much of what is looked at for the first time is not there yet.
                    if keys.iter().all(|key| self.asked.contains(key)) {
                        debug!(accounts, first, "nothing there by one answer: asked again");
                    } else {
                        warn!(accounts, first, "not shown where something was: asked again");
                    }
                }
                self.looker.order(Order::Look { keys, why })?;
            }
        }
        Ok(was_due)
    }

    /// Subscribes to what the markets consist of, if that is not what is subscribed to
    /// already.
    pub(super) fn subscribe(&mut self) {
        if self.states.len() < self.markets().len() {
            return;
        }
        let mut keys = Vec::new();
        for state in self.states.values() {
            match state.market.single_keys() {
                Ok(of_market) => keys.extend(of_market),
                Err(reason) => warn!(reason = format!("{reason:#}"), "no subscription"),
            }
        }
        keys.sort_unstable();
        keys.dedup();
        self.subscribe_to(keys);
    }

    pub(super) fn subscribe_to(&mut self, accounts: Vec<Address>) {
        let number = self.market_feed.number;
        let config = &self.parts.config;
        let lenders = config.lend_from.iter().filter(|key| !config.markets.contains(key));
        let wanted = Wanted {
            markets: config.markets.clone(),
            lenders: lenders.copied().collect(),
            accounts,
        };
        let market_feed = std::mem::take(&mut self.market_feed);
        self.market_feed = self.renewed(market_feed, wanted);
        if self.market_feed.number != number {
            self.forget_told();
        }
    }

    pub(super) fn subscribe_to_pools(&mut self) {
        let accounts: Vec<Address> = self.followed().copied().collect();
        if accounts.is_empty() {
            return;
        }
        let pool_feed = std::mem::take(&mut self.pool_feed);
        self.pool_feed = self.renewed(pool_feed, Wanted { accounts, ..Wanted::default() });
    }

    /// A subscription to what is wanted: the same one, if that is what it is to.
    fn renewed(&mut self, known: Subscription, wanted: Wanted) -> Subscription {
        let Some(connector) = &self.parts.connector else { return known };
        if known.feed.as_ref().is_some_and(|(_, current)| *current == wanted) {
            return known;
        }
        self.feeds_started += 1;
        let (number, events) = (self.feeds_started, self.events.clone());
        let take = move |update| events.try_send(Event::Fed(number, update)).is_ok();
        let horizon = self.parts.source.rpc().map(|rpc| Arc::clone(rpc.horizon()));
        let horizon = horizon.unwrap_or_default();
        let feed = feed::start(connector(), wanted.clone(), horizon, take);
        Subscription { feed: Some((feed, wanted)), number, flows: false }
    }

    /// Orders a machine with every program that is known.
    pub(super) fn order_machine(&mut self) -> Result<()> {
        if self.parts.config.simulate == Simulate::Local && !self.machine_ordered {
            self.machine_ordered = true;
            self.scanner.order(Order::Machine(self.accounts.programs()))?;
        }
        Ok(())
    }

    /// What telling prices about to be written takes; says what cannot be written.
    pub(super) fn scope_needs(&mut self) -> Result<Vec<Address>> {
        let Some(scope) = &mut self.scope else { return Ok(Vec::new()) };
        let markets: Vec<&Market> = self.states.values().map(|state| &state.market).collect();
        let needs = scope.needs(&Known { markets: &markets, accounts: &self.accounts })?;
        for (reserve, refusal) in scope.refusals() {
            info!(%reserve, reason = %refusal, "a price that is not written here");
        }
        let unfound = scope.unfound();
        if !unfound.is_empty() && !self.averages_ordered {
            self.averages_ordered = true;
            self.looker.order(Order::Averages(unfound))?;
        }
        Ok(needs)
    }

    /// Orders that the pools of pairs are looked for which were not, or too long ago, or for
    /// much less.
    pub(super) fn seek(&mut self, wanted: Vec<Want>) -> Result<()> {
        /// How much more than before makes another ranking.
        const MUCH_MORE: u64 = 4;
        let Some((seeking, pause)) = &self.parts.config.discover else { return Ok(()) };
        let now = self.time.now();
        let is_old =
            |sought: &Sought| now.saturating_duration_since(sought.at) >= sought.pause(*pause);
        let again = self.sought.values().filter(|sought| is_old(sought));
        let again: Vec<Want> = again.map(|sought| sought.wanted).collect();
        for wanted in merged(wanted.into_iter().chain(again)) {
            let sought = self.sought.entry(wanted.pair).or_insert(Sought {
                at: now.checked_sub(*pause).unwrap_or(now),
                wanted,
                answered: false,
                ordered: false,
                failed: 0,
            });
            let is_much = wanted.amount / MUCH_MORE > sought.wanted.amount;
            if sought.ordered || !(is_old(sought) || is_much) {
                continue;
            }
            sought.wanted.amount = sought.wanted.amount.max(wanted.amount);
            (sought.ordered, sought.at) = (true, now);
            // Those that are known are looked at whether a list has them or not.
            let mut named = self.parts.config.pools.clone();
            named.extend(self.pools.found(&wanted.pair));
            let order = Order::Pools { wanted: sought.wanted, named, per_pair: seeking.per_pair };
            self.finder.order(order)?;
        }
        Ok(())
    }

    /// Whether the pools of a pair were looked for, or are not to be.
    pub(super) fn is_sought(&self, pair: &Pair) -> bool {
        self.parts.config.discover.is_none()
            || self.sought.get(pair).is_some_and(|sought| sought.answered)
    }

    /// Orders a look at accounts that were never read, unless it is ordered already.
    pub(super) fn ask(&mut self, keys: Vec<Address>) {
        let mut unread = self.accounts.unread(keys);
        unread.retain(|key| self.asked.insert(*key));
        self.needed.want(unread);
    }

    /// Accounts that may get a tip.
    pub(super) fn tip_accounts(&self) -> Vec<Address> {
        let stated = match &self.parts.config.wishes.fees {
            Fees::Rules(rules) => {
                rules.tip.iter().flat_map(|tip| tip.accounts.clone()).collect::<Vec<_>>()
            }
            Fees::Stated { .. } => Vec::new(),
        };
        if stated.is_empty() { self.chain.fees.tip_accounts.clone() } else { stated }
    }

    /// Accounts that liquidations write, for asking what others pay to write them.
    pub(super) fn writes(&self) -> Vec<Address> {
        let Fees::Rules(rules) = &self.parts.config.wishes.fees else { return Vec::new() };
        if !matches!(rules.unit_price, UnitPrice::Recent { .. }) {
            return Vec::new();
        }
        let reserves = self.states.values().flat_map(|state| state.market.reserve_keys());
        self.live.iter().chain(reserves).take(FEE_ACCOUNTS).copied().collect()
    }
}
