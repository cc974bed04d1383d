//! Which pools trade a pair, and what each would pay.
//!
//! A node is asked for the pools of two mints by what their accounts hold, venue by venue
//! and in both orders; pools that are known beforehand and those that the operator named
//! are looked at, too. What answers with a refusal is said, and the rest goes on. Of what
//! is found, those with most to pay out are read with all that their price depends on, and
//! ranked by what they pay for the amount that matters.

use std::{
    cmp::Reverse,
    collections::{BTreeMap, BTreeSet},
    fmt::Display,
};

use anyhow::Result;
use klend_interface::state::Obligation;
use klend_model::{reserve::ReserveState, table::ReserveTable};
use liquidation_venues::{
    Now, Pool, VenueError,
    discovery::{KNOWN_POOLS, LISTINGS, listing},
};
use solana_account::Account;
use solana_address::Address;

use super::{
    terms::units_of_usd,
    venue::{Pair, balance},
};
use crate::{
    book::accounts::{Accounts, of_venues},
    feeds::{
        feed::Version,
        source::{Cure, Filter, Refused, Source},
    },
};

/// Rounds of reading until what prices depend on is complete.
const ROUNDS: usize = 8;
/// Pools of a pair that are read whole: those with most to pay out.
const LOOKED_AT: usize = 24;
/// What more than klend lets be repaid now counts as the amount that matters: per cent.
const MORE: u64 = 110;

/// Accounts that an aggregator's route may name at most, from the most on, until what it
/// answers fits a transaction.
pub const SHRINKING: [u8; 7] = [64, 52, 42, 34, 26, 20, 14];

/// How pools are looked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Seeking {
    /// Pools of a pair that are kept.
    pub per_pair: usize,
    /// Tokens that may stand between collateral and debt.
    pub via: Vec<Address>,
}

/// A pair, and how much of its first token is to be sold, raw units.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Want {
    pub pair: Pair,
    pub amount: u64,
}

/// A pool that pays.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ranked {
    pub pool: Address,
    pub venue: &'static str,
    /// What it pays for what it takes, raw units.
    pub pays: u64,
    /// What it takes: the amount, or as much of it as it can.
    pub takes: u64,
}

/// A pool that cannot be sold in, and why.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unusable {
    pub pool: Address,
    pub venue: &'static str,
    pub reason: String,
}

/// What was found for a pair.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Found {
    pub wanted: Want,
    /// The best first; no more than are kept.
    pub pools: Vec<Ranked>,
    /// Those that pay less.
    pub lesser: usize,
    pub unusable: Vec<Unusable>,
    /// Pools with nothing to pay out.
    pub empty: usize,
    /// Pools that hold so little that they were not looked at.
    pub shallow: usize,
    /// Lists that could not be had, and why.
    pub failures: Vec<String>,
    /// Something failed that may not fail again: a list that nobody refused for good.
    pub is_partial: bool,
}

/// What is to be looked for so that an obligation's collateral can be sold: its pairs,
/// and those by way of a third token that the market has a price of.
pub fn wanted(
    table: &ReserveTable<'_>,
    key: &Address,
    obligation: &Obligation,
    via: &[Address],
) -> Vec<Want> {
    let Ok(state) = table.obligation(key, obligation) else { return Vec::new() };
    let market = table.market();
    let share = u64::from(market.liquidation_max_debt_close_factor_pct);
    let small = market.min_full_liquidation_value_threshold as f64;
    let mut wanted = Vec::new();
    for borrow in state.borrows.iter().flatten() {
        let debt = borrow.market_value.to_f64();
        let share = if state.health.borrowed_value.to_f64() < small { 100 } else { share };
        let repaid = debt * share as f64 / 100.0 * MORE as f64 / 100.0;
        for deposit in state.deposits.iter().flatten() {
            let (Some(from), Some(to)) =
                (table.reserves().get(deposit.reserve), table.reserves().get(borrow.reserve))
            else {
                continue;
            };
            let sold = repaid.min(deposit.market_value.to_f64());
            let mut want = |from: &ReserveState<'_>, to: &Address| {
                let amount = units_of_usd(from, sold).unwrap_or(0).max(1);
                wanted.push(Want { pair: (*from.mint(), *to), amount });
            };
            if from.mint() == to.mint() {
                continue;
            }
            want(from, to.mint());
            for between in via.iter().filter(|via| *via != from.mint() && *via != to.mint()) {
                want(from, between);
                let priced = table.reserves().iter().find(|state| state.mint() == between);
                if let Some(between) = priced {
                    want(between, to.mint());
                }
            }
        }
    }
    merged(wanted.into_iter())
}

/// Each pair once, with the largest of its amounts.
pub fn merged(wanted: impl Iterator<Item = Want>) -> Vec<Want> {
    let mut pairs: BTreeMap<Pair, u64> = BTreeMap::new();
    for Want { pair, amount } in wanted {
        let most = pairs.entry(pair).or_default();
        *most = amount.max(*most);
    }
    pairs.into_iter().map(|(pair, amount)| Want { pair, amount }).collect()
}

/// Looks for the pools of a pair; `named` are the operator's, and those that are known.
///
/// # Errors
/// Accounts cannot be read. A list that is refused is none: it is in [`Found::failures`].
pub fn discover(
    source: &dyn Source,
    wanted: &Want,
    named: &[Address],
    per_pair: usize,
) -> Result<Found> {
    let (from, to) = wanted.pair;
    let clock = source.clock()?;
    let now = Now { unix_timestamp: i64::try_from(clock.unix_timestamp)?, slot: clock.slot };
    let mut found = Found::none(*wanted);
    let mut accounts: BTreeMap<Address, Account> = BTreeMap::new();
    for listing in &LISTINGS {
        for mints in [[from, to], [to, from]] {
            match source.program_accounts(&listing.program, Filter::pools(listing, mints)) {
                Ok(listed) => accounts.extend(listed),
                Err(reason) => {
                    let refused = reason.chain().find_map(|it| it.downcast_ref::<Refused>());
                    let cure = refused.map(Refused::cure);
                    found.is_partial |= !matches!(cure, Some(Cure::Elsewhere | Cure::Never));
                    found
                        .failures
                        .push(format!("{} {}: {reason:#}", listing.name, listing.program));
                    break;
                }
            }
        }
    }
    let of_pair = |mints: &[Address; 2]| mints.contains(&from) && mints.contains(&to);
    let known = KNOWN_POOLS.iter().filter(|known| of_pair(&known.mints)).map(|known| known.pool);
    let unlisted: BTreeSet<Address> =
        known.chain(named.iter().copied()).filter(|key| !accounts.contains_key(key)).collect();
    let unlisted: Vec<Address> = unlisted.into_iter().collect();
    // A list that lacks one that is known is one answer, this is the second.
    let (_, read) = source.accounts_elsewhere(&unlisted)?;
    accounts.extend(unlisted.into_iter().zip(read).filter_map(|(key, it)| Some((key, it?))));

    let mut pools: Vec<Box<dyn Pool>> = Vec::new();
    let mut vaults = BTreeMap::new();
    for (key, account) in &accounts {
        let venue = listing(&account.owner).map_or("", |listing| listing.name);
        match liquidation_venues::read(key, of_venues(account)) {
            Ok(pool) if of_pair(&pool.mints()) => {
                let at = usize::from(pool.mints()[1] == to);
                let of = listing(&account.owner).and_then(|it| it.vaults_of(&account.data));
                vaults.extend(of.map(|vaults| (*key, vaults[at])));
                pools.push(pool);
            }
            // The operator's, of another pair.
            Ok(_) => {}
            Err(reason) => found.refuse(key, venue, &reason),
        }
    }
    let keys: Vec<Address> = vaults.values().copied().collect();
    let read: Vec<Option<Account>> = source.accounts(&keys)?;
    for ((pool, vault), read) in vaults.iter().zip(&read) {
        if read.is_none() {
            found.is_partial = true;
            found.failures.push(format!("pool {pool}: its vault {vault} is not shown"));
        }
    }
    let held: BTreeMap<Address, u64> = vaults
        .keys()
        .zip(read)
        .map(|(pool, vault)| (*pool, vault.and_then(|it| balance(&it.data)).unwrap_or(0)))
        .collect();
    let held = |pool: &dyn Pool| held.get(pool.address()).copied().unwrap_or(0);
    let all = pools.len();
    pools.retain(|pool| held(&**pool) > 0);
    found.empty = all - pools.len();
    pools.sort_by_key(|pool| Reverse(held(&**pool)));
    found.shallow = pools.len().saturating_sub(LOOKED_AT);
    pools.truncate(LOOKED_AT);

    let depends = complete(source, &pools)?;
    for pool in pools {
        match pays(&*pool, wanted, &depends, &now) {
            Ok((takes, pays)) => {
                let (pool, venue) = (*pool.address(), pool.name());
                found.pools.push(Ranked { pool, venue, pays, takes });
            }
            Err(reason) => found.refuse(pool.address(), pool.name(), &reason),
        }
    }
    found.pools.sort_by_key(|ranked| (Reverse(ranked.pays), ranked.pool));
    found.lesser = found.pools.len().saturating_sub(per_pair);
    found.pools.truncate(per_pair);
    Ok(found)
}

impl Found {
    fn none(wanted: Want) -> Self {
        Self {
            wanted,
            pools: Vec::new(),
            lesser: 0,
            unusable: Vec::new(),
            empty: 0,
            shallow: 0,
            failures: Vec::new(),
            is_partial: false,
        }
    }

    /// What is recorded of a search: which pools are kept, and whether it is partial.
    pub fn of(wanted: Want, keys: Vec<Address>, is_partial: bool) -> Self {
        let ranked = |pool| Ranked { pool, venue: "", pays: 0, takes: 0 };
        let pools = keys.into_iter().map(ranked).collect();
        Self { pools, is_partial, ..Self::none(wanted) }
    }

    fn refuse(&mut self, pool: &Address, venue: &'static str, reason: &dyn Display) {
        let reason = reason.to_string();
        self.unusable.push(Unusable { pool: *pool, venue, reason });
    }

    /// The pools that are kept.
    pub fn keys(&self) -> Vec<Address> {
        self.pools.iter().map(|ranked| ranked.pool).collect()
    }
}

/// Reads what the pools' prices depend on.
fn complete(source: &dyn Source, pools: &[Box<dyn Pool>]) -> Result<Accounts> {
    let mut accounts = Accounts::default();
    for _ in 0..ROUNDS {
        let needs = pools.iter().flat_map(|pool| pool.accounts(&accounts));
        let unread = accounts.unread(needs);
        if unread.is_empty() {
            break;
        }
        let (slot, read) = source.accounts_at(&unread)?;
        for (key, account) in unread.iter().zip(read) {
            accounts.put(key, Version::end_of(slot), account);
        }
    }
    Ok(accounts)
}

/// What a pool takes of an amount, and pays for it.
fn pays(pool: &dyn Pool, wanted: &Want, accounts: &Accounts, now: &Now) -> Result<(u64, u64)> {
    let curve = pool.curve(&wanted.pair.0, accounts, now)?;
    let amount = wanted.amount;
    match curve.quote(amount) {
        Ok(quote) => Ok((amount, quote.amount_out)),
        Err(VenueError::TooMuch { most, .. } | VenueError::Beyond { most, .. }) if most > 0 => {
            Ok((most, curve.quote(most)?.amount_out))
        }
        Err(refused) => Err(refused.into()),
    }
}
