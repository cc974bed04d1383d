//! The newest of every account of a market.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap, HashSet},
    ops::Range,
    vec,
};

use anyhow::Result;
use klend_interface::state::Obligation;
use klend_model::{accounts, constants::KLEND_PROGRAM_ID, table::ReserveTable};
use solana_account::Account;
use solana_address::Address;
use solana_sdk_ids::sysvar;

use super::tracker::{Evaluation, Tracker};
use crate::{
    book::{
        market::{Market, symbol},
        missing::{Missing, Verdict},
        scan::Scan,
    },
    feeds::{feed::Version, source::Filter},
};

/// An obligation near its limit.
#[derive(Clone, Debug, PartialEq)]
pub struct Near {
    pub obligation: Address,
    /// Health factor: at 1 it may be liquidated.
    pub health: f32,
    /// US dollars, when it was last valued.
    pub debt: f32,
}

/// One market, as people are shown it.
#[derive(Clone, Debug, PartialEq)]
pub struct Seen {
    pub market: Address,
    pub slot: u64,
    pub tracked: usize,
    /// Symbols and US dollars.
    pub prices: Vec<(String, f64)>,
    /// The nearest first.
    pub nearest: Vec<Near>,
}

/// What an update did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Effect {
    /// It was older than what is known.
    Stale,
    /// It said what is known.
    Nothing,
    /// An obligation changed.
    Obligation,
    /// The market, a reserve, an oracle or the clock changed.
    Market,
}

/// A scan that is being taken, a few obligations at a time: there may be a hundred thousand,
/// and updates do not wait for all of them.
pub struct Merging {
    /// Everything from before then is in it.
    begun: Version,
    left: vec::IntoIter<(u64, Address, Box<Obligation>)>,
    /// Obligations that were taken.
    seen: HashSet<Address>,
    /// Accounts of it that were known, and are not any more what they were; whoever takes
    /// a note of them takes them out.
    pub changed: Vec<Address>,
}

/// A market and its obligations.
pub struct State {
    pub market: Market,
    pub tracker: Tracker,
    versions: HashMap<Address, Version>,
    /// Of every account that has no version: anything older was in a scan, or is over.
    floor: Version,
    /// Obligations that changed and are not in the tracker yet.
    changed: BTreeMap<Address, Box<Obligation>>,
    /// Obligations that changed and were not evaluated.
    touched: BTreeSet<Address>,
    /// Something changed that all obligations hang on.
    market_changed: bool,
    /// How often all of them were evaluated.
    pub passes: u64,
}

/// Writes accounts of klend that are an obligation as such.
fn as_obligation<'a>(
    market: &Address,
    key: &Address,
    account: &'a Account,
) -> Result<Option<&'a Obligation>> {
    if account.owner != KLEND_PROGRAM_ID || !accounts::is::<Obligation>(&account.data) {
        return Ok(None);
    }
    let obligation = accounts::obligation(key, &account.owner, &account.data)?;
    Ok((klend_model::keys::to_address(&obligation.lending_market) == *market).then_some(obligation))
}

/// Whether two states of an obligation are not the same.
fn differ(one: &Obligation, other: &Obligation) -> bool {
    bytemuck::bytes_of(one) != bytemuck::bytes_of(other)
}

impl State {
    /// A market as it was scanned; debts worth less than `min_debt` US dollars are
    /// not tracked.
    pub fn new(scan: Scan, min_debt: f64) -> Result<Self> {
        let mut state = Self {
            market: scan.market.clone(),
            tracker: Tracker::new(min_debt),
            versions: HashMap::new(),
            floor: Version { slot: 0, write: 0 },
            changed: BTreeMap::new(),
            touched: BTreeSet::new(),
            market_changed: true,
            passes: 0,
        };
        state.merge(scan, &mut Missing::default())?;
        Ok(state)
    }

    /// Takes a later scan at once, as [`Self::begin_merge`], [`Self::merge_some`] and
    /// [`Self::end_merge`] do in pieces.
    fn merge(&mut self, scan: Scan, missing: &mut Missing) -> Result<Vec<Address>> {
        let mut merging = self.begin_merge(scan)?;
        self.merge_some(&mut merging, usize::MAX)?;
        self.end_merge(merging, missing)
    }

    /// Takes a later scan's market; its obligations are to be taken after it. Where something
    /// newer is known, that stays.
    pub fn begin_merge(&mut self, scan: Scan) -> Result<Merging> {
        let (read, mut changed) = (Version::end_of(scan.slot), Vec::new());
        for key in scan.market.keys()? {
            if let Some(account) = scan.market.account(&key)
                && self.apply(&key, read, account.clone())? == Effect::Market
            {
                changed.push(key);
            }
        }
        self.advance(&scan.market);
        let oldest = scan.obligations.iter().map(|(slot, ..)| *slot).min();
        Ok(Merging {
            begun: Version::end_of(oldest.map_or(scan.slot, |oldest| oldest.min(scan.slot))),
            seen: HashSet::with_capacity(scan.obligations.len()),
            left: scan.obligations.into_iter(),
            changed,
        })
    }

    /// Takes so many of a scan's obligations; whether there are more.
    pub fn merge_some(&mut self, merging: &mut Merging, most: usize) -> Result<bool> {
        let mut alike = Vec::new();
        for (slot, key, obligation) in merging.left.by_ref().take(most) {
            merging.seen.insert(key);
            self.market.keep_up(&obligation.last_update);
            let read = Version::end_of(slot);
            if self.version(&key) > read {
                continue;
            }
            self.versions.insert(key, read);
            let differs = self.known(&key).map(|known| differ(known, &obligation));
            if differs == Some(false) {
                alike.push((key, obligation));
            } else {
                merging.changed.extend(differs.map(|_| key));
                self.changed.insert(key, obligation);
            }
        }
        if !alike.is_empty() {
            // Their debts are counted anew: prices have changed.
            let table = self.market.table()?;
            self.tracker.put(&table, alike);
        }
        Ok(merging.left.len() > 0)
    }

    /// Ends with a scan whose obligations were all taken. Those that only this answer does
    /// not have are returned, for somebody to ask again; those that another one had not
    /// either are forgotten.
    pub fn end_merge(&mut self, merging: Merging, missing: &mut Missing) -> Result<Vec<Address>> {
        // What was written after the scan began may not be in it.
        let Merging { begun, seen, .. } = merging;
        missing.all_seen(&seen);
        let is_older = |key: &Address| self.versions.get(key).is_none_or(|known| *known <= begun);
        let lacking = self.tracker.keys().filter(|key| !seen.contains(*key) && is_older(key));
        let mut doubted = Vec::new();
        for key in lacking.copied().collect::<Vec<_>>() {
            // One scan ends before the next begins.
            match missing.nothing(&key, begun, true) {
                Verdict::AskAgain | Verdict::Waiting => doubted.push(key),
                Verdict::Gone => {
                    self.tracker.remove(&key);
                    self.versions.remove(&key);
                }
            }
        }
        // Obligations without debt come and go: only what is in use is remembered.
        let market: HashSet<Address> = self.market.keys()?.into_iter().collect();
        let Self { tracker, changed, versions, .. } = self;
        versions.retain(|key, version| {
            *version > begun
                || tracker.get(key).is_some()
                || changed.contains_key(key)
                || market.contains(key)
        });
        self.floor = self.floor.max(begun);
        self.market_changed = true;
        Ok(doubted)
    }

    /// Whether an obligation is there, and nothing newer than `version` is known of it.
    pub fn holds(&self, key: &Address, version: Version) -> bool {
        self.known(key).is_some() && self.version(key) <= version
    }

    /// Forgets an obligation that is gone since `version`.
    pub fn forget(&mut self, key: &Address, version: Version) {
        self.changed.remove(key);
        self.tracker.remove(key);
        self.versions.insert(*key, version);
    }

    /// Whether a state of an account is older than what is known.
    pub fn is_older(&self, key: &Address, version: Version) -> bool {
        self.version(key) > version
    }

    /// The slot that an account is known to be of.
    pub fn slot(&self, key: &Address) -> u64 {
        self.version(key).slot
    }

    /// An account as an obligation of this market, if it is one.
    pub fn obligation<'a>(&self, key: &Address, account: &'a Account) -> Option<&'a Obligation> {
        as_obligation(&self.market.key, key, account).ok().flatten()
    }

    /// An obligation as it is known.
    pub fn known(&self, key: &Address) -> Option<&Obligation> {
        self.changed.get(key).map(|known| &**known).or(self.tracker.get(key))
    }

    /// The version of an account from before which nothing is believed.
    fn version(&self, key: &Address) -> Version {
        self.versions.get(key).copied().unwrap_or(self.floor)
    }

    /// Whether an account is the market's, as far as its key and its bytes say.
    pub fn concerns(&self, key: &Address, account: &Account) -> bool {
        *key == sysvar::clock::ID
            || self.market.account(key).is_some()
            || account.owner == KLEND_PROGRAM_ID
                && [Filter::obligations, Filter::reserves]
                    .iter()
                    .any(|filter| filter(&self.market.key).accepts(&account.data))
    }

    /// Takes an account that was written.
    ///
    /// # Errors
    /// When it is not what it should be; what is known stays.
    pub fn apply(&mut self, key: &Address, version: Version, account: Account) -> Result<Effect> {
        if self.is_older(key, version) {
            return Ok(Effect::Stale);
        }
        // klend refuses to look at what was written after its clock.
        self.market.clock.slot = self.market.clock.slot.max(version.slot);
        if let Some(obligation) = as_obligation(&self.market.key, key, &account)? {
            self.market.check_update(&obligation.last_update)?;
            self.market.keep_up(&obligation.last_update);
            self.versions.insert(*key, version);
            if self.known(key).is_some_and(|known| !differ(known, obligation)) {
                return Ok(Effect::Nothing);
            }
            self.changed.insert(*key, Box::new(*obligation));
            return Ok(Effect::Obligation);
        }
        if let Ok(reserve) = accounts::reserve(key, &account.owner, &account.data) {
            self.market.check_update(&reserve.last_update)?;
        }
        let changed = self.market.replace(key, account)?;
        self.versions.insert(*key, version);
        self.market_changed |= changed;
        Ok(if changed { Effect::Market } else { Effect::Nothing })
    }

    /// Takes the time of another state of the market, if it is later.
    pub fn advance(&mut self, market: &Market) {
        if market.clock.slot > self.market.clock.slot {
            self.market.clock = market.clock;
            self.market_changed = true;
        }
    }

    /// Obligations whose health factor is below `health`, as far as it is known
    /// without valuing them: what may be liquidated soon. Of all that are tracked, those at
    /// `places` are looked at.
    pub fn near(&mut self, health: f32, places: Range<usize>) -> Result<Vec<Address>> {
        let Self { market, tracker, changed, touched, .. } = self;
        let table = market.table()?;
        touched.extend(changed.keys().copied());
        tracker.put(&table, std::mem::take(changed));
        Ok(tracker.near(&table, health, places))
    }

    /// What people are shown of it: prices, and the `most` obligations that are nearest
    /// to being liquidated, as far as that is known without valuing them.
    pub fn seen(&mut self, most: usize) -> Result<Seen> {
        let Self { market, tracker, .. } = self;
        let table = market.table()?;
        let nearest = tracker.nearest(&table, most);
        let nearest = nearest.into_iter().map(|(key, health)| Near {
            debt: tracker.debt(&key),
            obligation: key,
            health,
        });
        Ok(Seen {
            market: market.key,
            slot: market.clock.slot,
            tracked: tracker.len(),
            nearest: nearest.collect(),
            prices: table
                .reserves()
                .iter()
                .map(|state| (symbol(state.account), state.market_price.to_f64()))
                .collect(),
        })
    }

    /// Obligations that may be liquidated with one of these accounts in the place of an
    /// oracle's.
    pub fn foreseen(&self, later: &[(Address, Account)]) -> Result<Vec<Address>> {
        let table = self.market.table()?;
        let later = later
            .iter()
            .map(|(key, account)| self.market.table_with(Some((key, account))))
            .collect::<Result<Vec<_>>>()?;
        Ok(self.tracker.foreseen(&table, &later))
    }

    /// Whether anything changed that was not evaluated.
    pub fn is_pending(&self) -> bool {
        self.market_changed || !self.changed.is_empty() || !self.touched.is_empty()
    }

    /// Finds obligations that may be liquidated now: among all of them if something
    /// changed that all hang on, or if `all` asks for it; otherwise among those
    /// that changed.
    pub fn evaluate(&mut self, all: bool) -> Result<Evaluated> {
        let Self { market, tracker, changed, touched, market_changed, .. } = self;
        let table: ReserveTable<'_> = market.table()?;
        touched.extend(changed.keys().copied());
        let touched: Vec<Address> = std::mem::take(touched).into_iter().collect();
        tracker.put(&table, std::mem::take(changed));
        if std::mem::take(market_changed) || all {
            self.passes += 1;
            let Evaluation { unhealthy, otherwise, valued } = tracker.evaluate(&table);
            return Ok(Evaluated { unhealthy, otherwise, valued, only: None });
        }
        let (mut unhealthy, mut otherwise) = (Vec::new(), Vec::new());
        for key in &touched {
            if tracker.is_unhealthy(&table, key) {
                unhealthy.push(*key);
            } else if tracker.is_liquidatable(&table, key) {
                otherwise.push(*key);
            }
        }
        Ok(Evaluated { unhealthy, otherwise, valued: touched.len(), only: Some(touched) })
    }
}

/// What [`State::evaluate`] found.
pub struct Evaluated {
    /// Obligations above their LTV limit.
    pub unhealthy: Vec<Address>,
    /// Others that klend lets be liquidated.
    pub otherwise: Vec<Address>,
    /// How many had to be valued to know.
    pub valued: usize,
    /// The only ones that were looked at; `None` for all.
    pub only: Option<Vec<Address>>,
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use klend_interface::state::LendingMarket;

    use super::*;
    use crate::feeds::source::{BuiltinFork, Filter, Source};

    /// The built-in market as scanned at a slot, with the obligations `keep` wants.
    fn scan(source: &dyn Source, slot: u64, keep: impl Fn(&Address) -> bool + Sync) -> Scan {
        let market = source
            .program_accounts(&KLEND_PROGRAM_ID, Filter::at_least(accounts::LENDING_MARKET_LEN))
            .unwrap()
            .into_iter()
            .find(|(_, account)| accounts::is::<LendingMarket>(&account.data))
            .unwrap();
        let market = Market::load(source, &market.0).unwrap();
        let obligations = Mutex::new(Vec::new());
        let visit = |_, key: &Address, account: &Account| {
            if keep(key) {
                let obligation = accounts::obligation(key, &account.owner, &account.data).unwrap();
                obligations.lock().unwrap().push((slot, *key, Box::new(*obligation)));
            }
        };
        source.visit_obligations(&market.key, &|_, _| (), &visit).unwrap();
        Scan { market, slot, obligations: obligations.into_inner().unwrap(), stand_ins: Vec::new() }
    }

    #[test]
    fn what_is_over_is_forgotten_and_does_not_come_back() {
        let source = BuiltinFork::new().unwrap();
        let first = scan(&source, 100, |_| true);
        let mut keys: Vec<Address> = first.obligations.iter().map(|(_, key, _)| *key).collect();
        keys.sort_unstable();
        let gone = keys[0];
        let account = source.account("obligation", &gone).unwrap();
        let mut state = State::new(first, 0.0).unwrap();
        state.evaluate(true).unwrap();
        let tracked = state.tracker.len();
        assert_eq!((tracked, state.version(&gone)), (keys.len(), Version::end_of(100)));

        // Others that never had debt are told of, again and again.
        let mut idle = account.clone();
        idle.data[8 + std::mem::offset_of!(Obligation, has_debt)] = 0;
        for number in 0..50 {
            let key = Address::new_from_array([number; 32]);
            let version = Version { slot: 150, write: 0 };
            assert_eq!(state.apply(&key, version, idle.clone()).unwrap(), Effect::Obligation);
        }
        state.evaluate(false).unwrap();
        assert_eq!(state.tracker.len(), tracked);
        let remembered = state.versions.len();
        // A scan that lost it is one answer, and may be wrong.
        let mut missing = Missing::default();
        let mut without = |state: &mut State, slot| {
            state.merge(scan(&source, slot, |key| *key != gone), &mut missing).unwrap()
        };
        assert_eq!(without(&mut state, 190), [gone]);
        state.evaluate(false).unwrap();
        assert_eq!(state.tracker.len(), tracked);
        assert!(without(&mut state, 200).is_empty());
        state.evaluate(false).unwrap();
        assert_eq!(state.tracker.len(), tracked - 1);
        assert_eq!(state.versions.len(), remembered - 50 - 1);

        // An update from before that scan comes late, then one from after it.
        let late = Version { slot: 199, write: 0 };
        assert_eq!(state.apply(&gone, late, account.clone()).unwrap(), Effect::Stale);
        let new = Version { slot: 201, write: 0 };
        assert_eq!(state.apply(&gone, new, account).unwrap(), Effect::Obligation);
        state.evaluate(false).unwrap();
        assert_eq!(state.tracker.len(), tracked);
        // The next scan is of a node that lags behind: what is newer stays.
        without(&mut state, 190);
        state.evaluate(false).unwrap();
        assert_eq!(state.tracker.len(), tracked);

        // Looked at: an answer from before says nothing.
        assert!(!state.holds(&gone, Version::end_of(200)));
        assert!(state.holds(&gone, Version::end_of(201)));
        state.forget(&gone, Version::end_of(203));
        assert!(!state.holds(&gone, Version::end_of(204)));
        assert_eq!(state.tracker.len(), tracked - 1);
    }

    /// Updates come in between, and everything is as if it had been taken at once.
    #[test]
    fn a_scan_may_be_taken_in_pieces() {
        let source = BuiltinFork::new().unwrap();
        let mut keys: Vec<Address> =
            scan(&source, 1, |_| true).obligations.iter().map(|(_, key, _)| *key).collect();
        keys.sort_unstable();
        let (gone, told) = (keys[0], keys[1]);
        let mut account = source.account("obligation", &told).unwrap();
        account.data[8 + std::mem::offset_of!(Obligation, has_debt)] = 0;
        for most in [1, 2, usize::MAX] {
            let mut state = State::new(scan(&source, 100, |_| true), 0.0).unwrap();
            state.evaluate(true).unwrap();
            let tracked = state.tracker.len();
            let mut merging = state.begin_merge(scan(&source, 200, |key| *key != gone)).unwrap();
            let newer = Version { slot: 201, write: 0 };
            assert_eq!(state.apply(&told, newer, account.clone()).unwrap(), Effect::Obligation);
            let mut pieces = 1;
            while state.merge_some(&mut merging, most).unwrap() {
                pieces += 1;
                state.evaluate(false).unwrap();
            }
            assert_eq!(pieces, (keys.len() - 1).div_ceil(most));
            assert_eq!(state.end_merge(merging, &mut Missing::default()).unwrap(), [gone]);
            assert!(state.is_pending(), "prices may have changed");
            state.evaluate(false).unwrap();
            assert_eq!(state.version(&told), newer);
            assert_eq!(state.tracker.len(), tracked - 1, "what is told is newer");
            for key in keys.iter().skip(2) {
                assert_eq!(state.version(key), Version::end_of(200));
            }
            // What is as it was is nothing new.
            let again = scan(&source, 300, |key| ![gone, told].contains(key));
            let mut merging = state.begin_merge(again).unwrap();
            while state.merge_some(&mut merging, most).unwrap() {}
            assert!(state.changed.is_empty());
        }
    }

    #[test]
    fn an_empty_scan_is_not_believed() {
        let source = BuiltinFork::new().unwrap();
        let mut state = State::new(scan(&source, 100, |_| true), 0.0).unwrap();
        state.evaluate(true).unwrap();
        let tracked = state.tracker.len();
        let mut missing = Missing::default();
        let mut merge = |slot, has: bool| {
            state.merge(scan(&source, slot, |_| has), &mut missing).unwrap().len()
        };
        assert_eq!(merge(200, false), tracked);
        assert_eq!(merge(300, true), 0);
        // Forgotten only after two in a row.
        assert_eq!(merge(400, false), tracked);
        state.evaluate(true).unwrap();
        assert_eq!(state.tracker.len(), tracked);
    }
}
