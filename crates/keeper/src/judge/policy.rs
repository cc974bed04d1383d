//! Whom the operator wants liquidated, and in which tokens.

use std::collections::BTreeSet;

use flash_liquidator_client::klend::ReserveAddresses;
use klend_interface::state::Obligation;
use klend_model::keys::to_address;
use solana_address::Address;

/// Addresses that are wanted, and addresses that are not. A list of wanted ones that
/// is empty wants all.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct List {
    /// Wanted.
    pub allow: BTreeSet<Address>,
    /// Not wanted, whatever else is said.
    pub deny: BTreeSet<Address>,
}

impl List {
    /// Whether an address is wanted.
    #[must_use]
    pub fn permits(&self, key: &Address) -> bool {
        (self.allow.is_empty() || self.allow.contains(key)) && !self.deny.contains(key)
    }
}

/// The operator's lists do not want an obligation, or any pair of its tokens.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the operator's lists do not want {0}")]
pub struct Denied(pub Address);

/// The operator's lists.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Policy {
    /// Owners of obligations.
    pub owners: List,
    /// Obligations.
    pub obligations: List,
    /// Tokens, as debt or as collateral.
    pub mints: List,
    /// Reserves, of debts or of collaterals.
    pub reserves: List,
}

impl Policy {
    /// Whether an obligation may be liquidated.
    #[must_use]
    pub fn permits(&self, key: &Address, obligation: &Obligation) -> bool {
        self.obligations.permits(key) && self.owners.permits(&to_address(&obligation.owner))
    }

    /// Whether debt or collateral may be in this reserve.
    #[must_use]
    pub fn permits_reserve(&self, reserve: &ReserveAddresses) -> bool {
        self.permits_in(&reserve.reserve, &reserve.liquidity_mint)
    }

    /// The same by its address and its token's.
    #[must_use]
    pub fn permits_in(&self, reserve: &Address, mint: &Address) -> bool {
        self.reserves.permits(reserve) && self.mints.permits(mint)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_is_everything_and_denial_wins() {
        let key = |byte| Address::new_from_array([byte; 32]);
        let mut list = List::default();
        assert!(list.permits(&key(1)));
        list.allow.extend([key(1), key(2)]);
        assert!(list.permits(&key(1)) && !list.permits(&key(3)));
        list.deny.insert(key(1));
        assert!(!list.permits(&key(1)) && list.permits(&key(2)));

        let mut policy = Policy { mints: list, ..Policy::default() };
        assert!(policy.permits_in(&key(9), &key(2)) && !policy.permits_in(&key(9), &key(3)));
        policy.reserves.deny.insert(key(9));
        assert!(!policy.permits_in(&key(9), &key(2)));
    }
}
