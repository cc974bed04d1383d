//! A market as a whole: what is known first, and again from time to time.

use std::{collections::BTreeSet, sync::Mutex};

use anyhow::{Context as _, Result};
use flash_liquidator_client::swap::stand_in;
use klend_interface::state::Obligation;
use klend_model::{accounts, keys::some};
use solana_account::Account;
use solana_address::Address;
use tracing::warn;

use super::market::Market;
use crate::feeds::source::{Filter, Source};

/// A market at one moment.
#[derive(Clone)]
pub struct Scan {
    pub market: Market,
    /// Slot of the market's accounts.
    pub slot: u64,
    /// Obligations with debt, each with the slot it was read at.
    pub obligations: Vec<(u64, Address, Box<Obligation>)>,
    /// Stand-in pools, of which only local clusters and forks have any.
    pub stand_ins: Vec<Address>,
}

/// Reads a market, with its obligations where they are wanted.
pub fn scan(source: &dyn Source, key: &Address, with_obligations: bool) -> Result<Scan> {
    let mut market = Market::load(source, key)?;
    let found = Mutex::new(Vec::new());
    let visit = |slot: u64, key: &Address, account: &Account| {
        if let (Ok(obligation), Ok(mut found)) =
            (accounts::obligation(key, &account.owner, &account.data), found.lock())
        {
            found.push((slot, *key, Box::new(*obligation)));
        }
    };
    if with_obligations {
        source.visit_obligations(key, &|_, _| (), &visit)?;
    }
    let obligations = found.into_inner().ok().context("a reading thread broke down")?;
    // A list may come short. Reserves that somebody uses are there.
    let unlisted = unlisted(&market, obligations.iter().map(|(_, _, obligation)| &**obligation));
    if !unlisted.is_empty() {
        warn!(market = %key, reserves = unlisted.len(), "reserves that the node did not list");
        replace(source, &mut market, unlisted)?;
    }
    // Once more, and this time the slot is known.
    let keys = market.keys()?;
    let slot = replace(source, &mut market, keys)?;
    Ok(Scan { market, slot, obligations, stand_ins: stand_ins(source)? })
}

/// Reads accounts of a market again; returns the slot they are of.
fn replace(source: &dyn Source, market: &mut Market, keys: Vec<Address>) -> Result<u64> {
    let (slot, accounts) = source.accounts_at(&keys)?;
    for (key, account) in keys.into_iter().zip(accounts) {
        if let Some(account) = account {
            market.replace(&key, account)?;
        }
    }
    Ok(slot)
}

/// Reserves of obligations that are not among a market's.
fn unlisted<'a>(
    market: &Market,
    obligations: impl Iterator<Item = &'a Obligation>,
) -> Vec<Address> {
    let mut named = BTreeSet::new();
    for obligation in obligations {
        let deposits = obligation.deposits.iter().map(|deposit| &deposit.deposit_reserve);
        let borrows = obligation.borrows.iter().map(|borrow| &borrow.borrow_reserve);
        named.extend(deposits.chain(borrows).filter_map(some));
    }
    named.into_iter().copied().filter(|key| !market.is_reserve(key)).collect()
}

/// Pools of the stand-in for a venue.
pub fn stand_ins(source: &dyn Source) -> Result<Vec<Address>> {
    let filter = Filter::at_least(stand_in::POOL_LEN);
    let pools = source.program_accounts(&stand_in::PROGRAM_ID, filter)?;
    Ok(pools.into_iter().map(|(key, _)| key).collect())
}
