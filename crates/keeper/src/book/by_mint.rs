//! Pools by what they trade.

use std::collections::BTreeMap;

use solana_address::Address;

/// Mints sold and bought.
pub type Pair = (Address, Address);

/// Pools by the mints that they trade: few of many lead anywhere.
#[derive(Debug, Default)]
pub struct ByMint {
    /// By a mint, then by the other one, in either order.
    pools: BTreeMap<Address, BTreeMap<Address, Vec<Address>>>,
}

impl ByMint {
    /// Takes a pool of these mints.
    pub fn put(&mut self, pool: &Address, [first, second]: [Address; 2]) {
        for (mint, other) in sides(first, second) {
            let pools = self.pools.entry(mint).or_default().entry(other).or_default();
            if !pools.contains(pool) {
                pools.push(*pool);
            }
        }
    }

    /// Forgets a pool of these mints.
    pub fn remove(&mut self, pool: &Address, [first, second]: [Address; 2]) {
        for (mint, other) in sides(first, second) {
            let Some(others) = self.pools.get_mut(&mint) else { continue };
            if let Some(pools) = others.get_mut(&other) {
                pools.retain(|known| known != pool);
                if pools.is_empty() {
                    others.remove(&other);
                }
            }
            if others.is_empty() {
                self.pools.remove(&mint);
            }
        }
    }

    /// Pools of two mints, in whatever order.
    pub fn of(&self, one: &Address, other: &Address) -> &[Address] {
        self.pools.get(one).and_then(|of| of.get(other)).map_or(&[], Vec::as_slice)
    }

    /// How many mints one is traded for.
    pub fn count(&self, mint: &Address) -> usize {
        self.pools.get(mint).map_or(0, BTreeMap::len)
    }

    /// The mints that one is traded for.
    pub fn others(&self, mint: &Address) -> impl Iterator<Item = &Address> {
        self.pools.get(mint).into_iter().flat_map(BTreeMap::keys)
    }
}

/// Both directions, one where the two are one.
fn sides(first: Address, second: Address) -> impl Iterator<Item = Pair> {
    [(first, second), (second, first)].into_iter().take(if first == second { 1 } else { 2 })
}
