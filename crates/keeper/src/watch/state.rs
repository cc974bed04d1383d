//! The newest of every account of a market.

use std::collections::{HashMap, HashSet};

use anyhow::Result;
use klend_interface::state::Obligation;
use klend_model::{accounts, constants::KLEND_PROGRAM_ID, table::ReserveTable};
use solana_account::Account;
use solana_address::Address;

use super::{feed::Version, reader::Scan};
use crate::{
    market::Market,
    tracker::{Evaluation, Tracker},
};

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

/// A market and its obligations.
pub struct State {
    pub market: Market,
    pub tracker: Tracker,
    versions: HashMap<Address, Version>,
    /// Obligations that changed and are not in the tracker yet.
    changed: HashMap<Address, Box<Obligation>>,
    /// Something changed that all obligations hang on.
    market_changed: bool,
}

/// Writes accounts of klend that are an obligation as such.
fn as_obligation<'a>(
    market: &Address,
    key: &Address,
    account: &'a Account,
) -> Result<Option<&'a Obligation>> {
    if account.owner != KLEND_PROGRAM_ID || account.data.len() != accounts::OBLIGATION_LEN {
        return Ok(None);
    }
    let obligation = accounts::obligation(key, &account.owner, &account.data)?;
    Ok((klend_model::keys::to_address(&obligation.lending_market) == *market).then_some(obligation))
}

impl State {
    /// A market as it was scanned; debts worth less than `min_debt` US dollars are
    /// not tracked.
    pub fn new(scan: Scan, min_debt: f64) -> Result<Self> {
        let mut state = Self {
            market: scan.market.clone(),
            tracker: Tracker::new(min_debt),
            versions: HashMap::new(),
            changed: HashMap::new(),
            market_changed: true,
        };
        state.merge(scan)?;
        Ok(state)
    }

    /// Takes a later scan. Where something newer is known, that stays; obligations
    /// that the scan does not have are forgotten.
    pub fn merge(&mut self, scan: Scan) -> Result<()> {
        let read = Version::end_of(scan.slot);
        for key in scan.market.keys()? {
            if let Some(account) = scan.market.account(&key) {
                self.apply(&key, read, account.clone())?;
            }
        }
        self.advance(&scan.market);
        let mut seen: HashSet<Address> = HashSet::with_capacity(scan.obligations.len());
        let mut oldest = u64::MAX;
        for (slot, key, obligation) in scan.obligations {
            oldest = oldest.min(slot);
            seen.insert(key);
            let read = Version::end_of(slot);
            if self.versions.get(&key).is_none_or(|known| *known <= read) {
                self.versions.insert(key, read);
                self.changed.insert(key, obligation);
            }
        }
        // What was written after the scan began may not be in it.
        let begun = Version::end_of(oldest.min(scan.slot));
        let gone: Vec<Address> = self
            .tracker
            .keys()
            .filter(|key| {
                !seen.contains(key) && self.versions.get(key).is_none_or(|known| *known <= begun)
            })
            .copied()
            .collect();
        for key in gone {
            self.tracker.remove(&key);
            self.versions.remove(&key);
        }
        self.market_changed = true;
        Ok(())
    }

    /// Takes an account that was written.
    ///
    /// # Errors
    /// When it is not what it should be; what is known stays.
    pub fn apply(&mut self, key: &Address, version: Version, account: Account) -> Result<Effect> {
        if self.versions.get(key).is_some_and(|known| *known > version) {
            return Ok(Effect::Stale);
        }
        // klend refuses to look at what was written after its clock.
        self.market.clock.slot = self.market.clock.slot.max(version.slot);
        if let Some(obligation) = as_obligation(&self.market.key, key, &account)? {
            self.versions.insert(*key, version);
            let known = self.changed.get(key).map(|known| &**known).or(self.tracker.get(key));
            if known
                .is_some_and(|known| bytemuck::bytes_of(known) == bytemuck::bytes_of(obligation))
            {
                return Ok(Effect::Nothing);
            }
            self.changed.insert(*key, Box::new(*obligation));
            return Ok(Effect::Obligation);
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

    /// Whether anything changed that was not evaluated.
    pub fn is_pending(&self) -> bool {
        self.market_changed || !self.changed.is_empty()
    }

    /// Finds obligations that may be liquidated now: among all of them if something
    /// changed that all hang on, or if `all` asks for it; otherwise among those
    /// that changed.
    pub fn evaluate(&mut self, all: bool) -> Result<Evaluated> {
        let Self { market, tracker, changed, market_changed, .. } = self;
        let table: ReserveTable<'_> = market.table()?;
        let touched: Vec<Address> = changed.keys().copied().collect();
        tracker.put(&table, changed.drain());
        if std::mem::take(market_changed) || all {
            let Evaluation { unhealthy, valued } = tracker.evaluate(&table);
            return Ok(Evaluated { unhealthy, valued, only: None });
        }
        let unhealthy =
            touched.iter().filter(|key| tracker.is_unhealthy(&table, key)).copied().collect();
        Ok(Evaluated { unhealthy, valued: touched.len(), only: Some(touched) })
    }
}

/// What [`State::evaluate`] found.
pub struct Evaluated {
    /// Obligations above their LTV limit.
    pub unhealthy: Vec<Address>,
    /// How many had to be valued to know.
    pub valued: usize,
    /// The only ones that were looked at; `None` for all.
    pub only: Option<Vec<Address>>,
}
