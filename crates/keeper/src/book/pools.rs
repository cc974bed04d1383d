//! Which pools are known.

use std::{collections::BTreeMap, sync::Arc, time::Instant};

use flash_liquidator_client::swap::jupiter::JupiterRoute;
use solana_address::Address;

/// Mints sold and bought.
pub type Pair = (Address, Address);

/// Where collateral may be sold.
#[derive(Clone, Debug, Default)]
pub struct Pools {
    /// Pools that the operator named.
    pub named: Vec<Address>,
    /// Pools that were found, those of each pair that pay most.
    pub found: BTreeMap<Pair, Vec<Address>>,
    /// Whether pools are looked for: what none that is known sells, is not sold.
    pub seeks: bool,
    /// Pools of the stand-in program.
    pub stand_ins: Vec<Address>,
    /// Routes of Jupiter's for a pair, each for an amount.
    pub offers: BTreeMap<Pair, Vec<Arc<Offered>>>,
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
    /// Those of real venues, some perhaps more than once.
    pub fn real(&self) -> impl Iterator<Item = &Address> {
        self.named.iter().chain(self.found.values().flatten())
    }
}
