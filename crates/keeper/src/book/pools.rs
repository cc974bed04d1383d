//! Which pools are known, and what they trade.

use std::{
    borrow::Cow,
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    time::Instant,
};

use flash_liquidator_client::swap::jupiter::JupiterRoute;
use solana_address::Address;

use super::accounts::Accounts;
pub use super::by_mint::Pair;

/// Where collateral may be sold.
#[derive(Clone, Debug, Default)]
pub struct Pools {
    named: Vec<Address>,
    found: BTreeMap<Pair, Vec<Address>>,
    /// Those of both, each once.
    real: BTreeSet<Address>,
    /// Whether pools are looked for: what none that is known sells, is not sold.
    pub seeks: bool,
    /// Pools of the stand-in program.
    pub stand_ins: Vec<Address>,
    /// Routes of Jupiter's for a pair, each for an amount.
    pub offers: BTreeMap<Pair, Vec<Arc<Offered>>>,
    /// What [`Self::look`] found.
    seen: Option<Seen>,
}

/// What was seen of all pools, and in which state of the accounts: see
/// [`Accounts::changes`].
#[derive(Clone, Debug)]
struct Seen {
    changes: u64,
    unread: Vec<Address>,
    unfit: Vec<Address>,
}

/// A route that an aggregator offers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Offered {
    /// Mints sold and bought.
    pub pair: Pair,
    pub route: JupiterRoute,
    /// When it was asked for.
    pub at: Instant,
}

impl Offered {
    /// Accounts that selling by it names.
    pub fn accounts(&self) -> Vec<Address> {
        let JupiterRoute { leg, lookup_tables, token_accounts, .. } = &self.route;
        let mut keys: Vec<Address> = leg.accounts.iter().map(|meta| meta.pubkey).collect();
        keys.push(leg.program);
        keys.extend(lookup_tables);
        keys.extend(token_accounts.iter().map(|wanted| wanted.address()));
        keys.sort_unstable();
        keys.dedup();
        keys
    }
}

impl Pools {
    /// Those that the operator named.
    #[must_use]
    pub fn of(named: Vec<Address>) -> Self {
        let real = named.iter().copied().collect();
        Self { named, real, ..Self::default() }
    }

    /// Pools that the operator named.
    pub fn named(&self) -> &[Address] {
        &self.named
    }

    /// Pools that were found for a pair, those that pay most.
    pub fn found(&self, pair: &Pair) -> &[Address] {
        self.found.get(pair).map_or(&[], Vec::as_slice)
    }

    /// Takes what was found for a pair; what was found for it before.
    pub fn take_found(&mut self, pair: Pair, found: Vec<Address>) -> Vec<Address> {
        let before = self.found.insert(pair, found).unwrap_or_default();
        let Self { named, found, real, seen, .. } = self;
        *real = named.iter().chain(found.values().flatten()).copied().collect();
        *seen = None;
        before
    }

    /// Looks through all of them for [`Self::unread`] and [`Self::unfit`], if what they say may
    /// have changed: there may be a thousand, and every decision asks for both.
    pub fn look(&mut self, accounts: &Accounts) {
        if self.seen.as_ref().is_none_or(|seen| seen.changes != accounts.changes()) {
            self.seen = Some(self.see(accounts));
        }
    }

    fn see(&self, accounts: &Accounts) -> Seen {
        Seen {
            changes: accounts.changes(),
            unread: accounts.unread(self.real.iter().copied()),
            unfit: self.named.iter().filter(|key| accounts.pool(key).is_none()).copied().collect(),
        }
    }

    /// What [`Self::look`] found in these accounts, if it still holds.
    fn seen(&self, accounts: &Accounts) -> Cow<'_, Seen> {
        match self.seen.as_ref().filter(|seen| seen.changes == accounts.changes()) {
            Some(seen) => Cow::Borrowed(seen),
            None => Cow::Owned(self.see(accounts)),
        }
    }

    /// Those of real venues that were never read.
    pub fn unread(&self, accounts: &Accounts) -> Cow<'_, [Address]> {
        match self.seen(accounts) {
            Cow::Borrowed(seen) => Cow::Borrowed(&seen.unread),
            Cow::Owned(seen) => Cow::Owned(seen.unread),
        }
    }

    /// Those that were named and are no pools of a venue that is known.
    pub fn unfit(&self, accounts: &Accounts) -> Cow<'_, [Address]> {
        match self.seen(accounts) {
            Cow::Borrowed(seen) => Cow::Borrowed(&seen.unfit),
            Cow::Owned(seen) => Cow::Owned(seen.unfit),
        }
    }

    /// Those of real venues, each once.
    pub fn real(&self) -> impl Iterator<Item = &Address> {
        self.real.iter()
    }

    /// Whether this is one of them.
    pub fn is_real(&self, key: &Address) -> bool {
        self.real.contains(key)
    }
}
