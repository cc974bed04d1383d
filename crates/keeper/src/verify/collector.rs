//! Cases out of what a feed tells: the last state of every slot counts, and the slot has
//! to be over.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap, VecDeque},
    sync::Arc,
};

use anyhow::Result;
use klend_interface::state::Obligation;
use klend_model::{keys, verify};
use solana_account::Account;
use solana_address::Address;

use super::case::{Case, Pair, What};
use crate::{feeds::feed::Version, judge::state::State};

/// Slots after which everything of a slot was told.
const SETTLED: u64 = 2;
/// States of a reserve that are kept.
const KEPT: usize = 8;

/// An account's states, each the last of its slot.
type States = VecDeque<(u64, Arc<Account>)>;

/// What a feed told of one market, from a moment on without a gap.
#[derive(Default)]
pub struct Collector {
    reserves: HashMap<Address, States>,
    /// Reserves that were written, and the slot.
    refreshed: BTreeSet<(u64, Address)>,
    /// Obligations that may have been liquidated.
    liquidated: BTreeMap<(u64, Address), [Box<Obligation>; 2]>,
    newest: u64,
}

impl Collector {
    /// Takes a state that was written, before `state` does.
    pub fn hear(&mut self, state: &State, key: &Address, version: Version, account: &Account) {
        self.newest = self.newest.max(version.slot);
        if state.is_older(key, version) {
            return;
        }
        if *key == state.market.key {
            // Which settings klend went by is not known for what waits.
            self.refreshed.clear();
            self.liquidated.clear();
        } else if state.market.is_reserve(key) {
            self.reserve(state, key, version.slot, account);
        } else if let Some(after) = state.obligation(key, account)
            && let Some(before) = state.known(key)
        {
            let at = (version.slot, *key);
            if let Some([_, known]) = self.liquidated.get_mut(&at) {
                **known = *after;
            } else if verify::pair(before, after).is_some() {
                self.liquidated.insert(at, [Box::new(*before), Box::new(*after)]);
            }
        }
    }

    fn reserve(&mut self, state: &State, key: &Address, slot: u64, account: &Account) {
        let states = self.reserves.entry(*key).or_default();
        // A scan may have seen a state that the feed has yet to tell.
        let known_at = state.slot(key);
        if states.back().is_none_or(|(last, _)| *last < known_at)
            && let Some(known) = state.market.account(key)
        {
            states.push_back((known_at, Arc::new(known.clone())));
        }
        match states.back_mut() {
            Some((known, _)) if *known > slot => return,
            Some((known, last)) if *known == slot => *last = Arc::new(account.clone()),
            _ => states.push_back((slot, Arc::new(account.clone()))),
        }
        if states.len() > KEPT {
            states.pop_front();
        }
        self.refreshed.insert((slot, *key));
    }

    /// The reserve before a slot and at its end.
    fn around(&self, key: &Address, slot: u64) -> Option<Pair> {
        let states = self.reserves.get(key)?;
        let at = states.iter().position(|(of, _)| *of == slot)?;
        let (_, before) = states.get(at.checked_sub(1)?)?;
        Some((*key, Arc::clone(before), Arc::clone(&states[at].1)))
    }

    /// Cases of slots that are over.
    ///
    /// # Errors
    /// An account is not what it should be.
    pub fn due(&mut self, state: &State) -> Result<Vec<Case>> {
        let Some(over) = self.newest.checked_sub(SETTLED) else { return Ok(Vec::new()) };
        let mut cases = Vec::new();
        let key = state.market.key;
        let market = |known: &mut Option<Arc<Account>>| {
            let found = known.take().or_else(|| state.market.account(&key).cloned().map(Arc::new));
            known.clone_from(&found);
            found.map(|account| (key, account))
        };
        let (klend, mut known) = (state.market.klend, None);
        while let Some((slot, reserve)) = self.refreshed.first().copied().filter(|at| at.0 <= over)
        {
            self.refreshed.pop_first();
            if let (Some(pair), Some(market)) = (self.around(&reserve, slot), market(&mut known)) {
                cases.push(Case::new(klend, reserve, market, vec![pair], What::Refresh)?);
            }
        }
        while let Some(entry) = self.liquidated.first_entry().filter(|at| at.key().0 <= over) {
            let ((slot, obligation), [before, after]) = entry.remove_entry();
            let deposits = before.deposits.iter().map(|slot| &slot.deposit_reserve);
            let used = deposits.chain(before.borrows.iter().map(|slot| &slot.borrow_reserve));
            let used: BTreeSet<Address> = used.filter_map(keys::some).copied().collect();
            let reserves = used.iter().filter_map(|key| self.around(key, slot)).collect();
            if let Some(market) = market(&mut known) {
                let what = What::Liquidation { before, after };
                cases.push(Case::new(klend, obligation, market, reserves, what)?);
            }
        }
        Ok(cases)
    }
}

#[cfg(test)]
mod tests {
    use klend_model::{accounts, constants::KLEND_PROGRAM_ID};

    use super::*;
    use crate::{
        book::{market::Market, scan::scan},
        feeds::source::{BuiltinFork, Filter, Source},
    };

    fn state(source: &dyn Source, slot: u64) -> State {
        let markets = Filter::at_least(accounts::LENDING_MARKET_LEN);
        let found = source.program_accounts(&KLEND_PROGRAM_ID, markets).unwrap();
        let is_market = |(key, account): &&(Address, Account)| {
            accounts::lending_market(key, &account.owner, &account.data).is_ok()
        };
        let market = found.iter().find(is_market).unwrap().0;
        let mut scan = scan(source, &market, true).unwrap();
        scan.slot = slot;
        scan.obligations.iter_mut().for_each(|(read, ..)| *read = slot);
        State::new(scan, 0.0).unwrap()
    }

    /// The reserve as it would be after a refresh in a slot.
    fn refreshed(market: &Market, key: &Address, slot: u64) -> Account {
        let mut account = market.account(key).unwrap().clone();
        let owner = account.owner;
        accounts::reserve_mut(key, &owner, &mut account.data).unwrap().last_update.slot = slot;
        account
    }

    fn version(slot: u64) -> Version {
        Version { slot, write: 0 }
    }

    #[test]
    fn a_case_goes_from_the_last_state_that_anybody_saw_to_the_end_of_its_slot() {
        let source = BuiltinFork::new().unwrap();
        let mut state = state(&source, 100);
        let key = *state.market.reserve_keys().next().unwrap();
        let saved = state.market.reserve(&key).unwrap().last_update.slot;
        let mut collector = Collector::default();
        let hear = |state: &mut State, collector: &mut Collector, at, slot| {
            let account = refreshed(&state.market, &key, slot);
            collector.hear(state, &key, version(at), &account);
            state.apply(&key, version(at), account).unwrap();
        };
        // An older state, which the scan has overtaken, and two writes of one slot.
        hear(&mut state, &mut collector, 99, 99);
        hear(&mut state, &mut collector, 101, 100);
        hear(&mut state, &mut collector, 101, 101);
        // A scan sees what the feed has not told yet.
        let seen = refreshed(&state.market, &key, 105);
        state.apply(&key, Version::end_of(105), seen).unwrap();
        hear(&mut state, &mut collector, 104, 104);
        hear(&mut state, &mut collector, 106, 106);
        let spans = |collector: &mut Collector, state: &State| -> Vec<_> {
            collector.due(state).unwrap().iter().flat_map(Case::spans).collect()
        };
        // The newest slot may not be over.
        assert_eq!(spans(&mut collector, &state), [(key, saved, 101)]);
        hear(&mut state, &mut collector, 108, 108);
        assert_eq!(spans(&mut collector, &state), [(key, 105, 106)]);
        assert!(collector.due(&state).unwrap().is_empty(), "each once");
        // Other settings: what waits says nothing.
        let market = state.market.key;
        let account = state.market.account(&market).unwrap().clone();
        collector.hear(&state, &market, version(120), &account);
        assert!(collector.due(&state).unwrap().is_empty());
    }

    #[test]
    fn who_lost_debt_and_collateral_may_have_been_liquidated() {
        let source = BuiltinFork::new().unwrap();
        let mut state = state(&source, 100);
        state.evaluate(true).unwrap();
        let key = *state.tracker.keys().next().unwrap();
        let mut account = source.account("obligation", &key).unwrap();
        let owner = account.owner;
        let left = accounts::obligation_mut(&key, &owner, &mut account.data).unwrap();
        left.deposits[0].deposited_amount -= 1;
        let mut collector = Collector::default();
        collector.hear(&state, &key, version(101), &account);
        collector.hear(&state, &key, version(110), &account);
        assert!(collector.due(&state).unwrap().is_empty(), "it only withdrew");

        let left = accounts::obligation_mut(&key, &owner, &mut account.data).unwrap();
        left.borrows[0].borrowed_amount_sf = 1u128.into();
        collector.hear(&state, &key, version(111), &account);
        // More of the same slot, and the slot is over.
        let left = accounts::obligation_mut(&key, &owner, &mut account.data).unwrap();
        left.has_debt = 7;
        collector.hear(&state, &key, version(111), &account);
        collector.hear(&state, &key, version(120), &account);
        let cases = collector.due(&state).unwrap();
        let [Case { what: What::Liquidation { after, .. }, .. }] = &cases[..] else { panic!() };
        assert_eq!((cases[0].key, after.has_debt), (key, 7));
        // Its reserves were not told of.
        assert!(cases[0].spans().is_empty());
    }
}
