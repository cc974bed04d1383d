//! How far it is known which obligations are near their limit, and what they need.

use std::{
    collections::{BTreeMap, BTreeSet},
    ops::Bound,
};

use solana_address::Address;

use crate::route::discovery::Want;

/// Obligations whose needs one turn finds out.
pub(super) const SCOUTED: usize = 32;

/// How far it has come.
#[derive(Default)]
pub(super) struct Scouting {
    /// Obligations near their limit, as far as they were listed.
    pub near: BTreeSet<Address>,
    /// Those of them whose needs were never found out.
    pub fresh: BTreeSet<Address>,
    /// How many of them, from behind `at` on and then from the first, are looked at again:
    /// what is known now may name more.
    pub again: usize,
    pub at: Address,
    /// Markets of which obligations are still to be listed, and from which place on.
    pub unlisted: BTreeMap<Address, usize>,
    /// Markets whose own needs were asked for.
    pub markets: BTreeSet<Address>,
    /// The pools themselves were asked for in this round.
    pub pools_asked: bool,
    /// Accounts found that are kept as they change; instead of those known if `anew`.
    pub live: BTreeSet<Address>,
    pub anew: bool,
    /// What is to be looked for, and what may be sold, when all were looked at.
    pub sought: Vec<Want>,
    pub sold: Vec<Want>,
    /// There is something to do.
    pub is_open: bool,
}

impl Scouting {
    /// Everything is looked at again: more may be known now.
    pub fn again(&mut self) {
        self.again = self.near.len();
        (self.pools_asked, self.is_open) = (false, true);
    }

    /// Everything is listed and looked at from the beginning.
    pub fn forget(&mut self) {
        self.near.clear();
        self.fresh.clear();
        self.unlisted.clear();
        self.markets.clear();
        self.again();
    }

    /// Whether nothing is left to be done.
    pub fn is_done(&self) -> bool {
        !self.is_open
    }

    /// Whether all that are near were looked at.
    pub fn is_through(&self) -> bool {
        self.unlisted.is_empty() && self.fresh.is_empty() && self.again == 0
    }

    /// The next obligations to look at: those first that never were.
    pub fn next(&mut self) -> Vec<Address> {
        let mut next = Vec::new();
        while next.len() < SCOUTED
            && let Some(key) = self.fresh.pop_first()
        {
            next.push(key);
        }
        let more = self.again.min(SCOUTED - next.len());
        let known = next.len();
        next.extend(following(&self.near, &self.at).take(more));
        if next.len() > known {
            self.again -= more;
            self.at = next.last().copied().unwrap_or_default();
        } else if more > 0 {
            self.again = 0;
        }
        next
    }
}

/// Keys one after the other behind the last one, and then from the first again.
pub(super) fn following<'a>(
    keys: &'a BTreeSet<Address>,
    last: &Address,
) -> impl Iterator<Item = &'a Address> + use<'a> {
    let behind = keys.range((Bound::Excluded(*last), Bound::Unbounded));
    behind.chain(keys.range(..=*last))
}
