//! Addresses that Drift's program derives.

use solana_address::Address;

use super::PROGRAM_ID;

fn derive(seeds: &[&[u8]]) -> Address {
    Address::find_program_address(seeds, &PROGRAM_ID).0
}

/// The exchange's state, PDA `["drift_state"]`.
#[must_use]
pub fn state() -> Address {
    derive(&[b"drift_state"])
}

/// Owner of all vaults, PDA `["drift_signer"]`.
#[must_use]
pub fn signer() -> Address {
    derive(&[b"drift_signer"])
}

/// A spot market, PDA `["spot_market", index]`.
#[must_use]
pub fn spot_market(index: u16) -> Address {
    derive(&[b"spot_market", &index.to_le_bytes()])
}

/// The vault of a spot market, PDA `["spot_market_vault", index]`.
#[must_use]
pub fn spot_market_vault(index: u16) -> Address {
    derive(&[b"spot_market_vault", &index.to_le_bytes()])
}

/// A perp market, PDA `["perp_market", index]`.
#[must_use]
pub fn perp_market(index: u16) -> Address {
    derive(&[b"perp_market", &index.to_le_bytes()])
}

/// What all sub-accounts of a wallet share, PDA `["user_stats", authority]`.
#[must_use]
pub fn user_stats(authority: &Address) -> Address {
    derive(&[b"user_stats", authority.as_ref()])
}

/// One of a wallet's Drift accounts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SubAccount {
    /// The wallet, which signs.
    pub authority: Address,
    /// Number of the account; the first is 0.
    pub id: u16,
}

impl SubAccount {
    /// Its address, PDA `["user", authority, id]`.
    #[must_use]
    pub fn address(&self) -> Address {
        derive(&[b"user", self.authority.as_ref(), &self.id.to_le_bytes()])
    }

    /// Address of the wallet's statistics.
    #[must_use]
    pub fn stats(&self) -> Address {
        user_stats(&self.authority)
    }
}

#[cfg(test)]
mod tests {
    use solana_address::address;

    use super::*;

    /// Addresses that the protocol's own software names for mainnet.
    #[test]
    fn the_addresses_are_mainnets() {
        assert_eq!(state(), address!("5zpq7DvB6UdFFvpmBPspGPNfUGoBRRCE2HHg5u3gxcsN"));
        assert_eq!(signer(), address!("JCNCMFXo5M5qwUPg2Utu1u6YWp3MbygxqBsBeXXJfrw"));
        assert_eq!(spot_market(0), address!("6gMq3mRCKf8aP3ttTyYhuijVZ2LGi14oDsBbkgubfLB3"));
        assert_eq!(spot_market(1), address!("3x85u7SWkmmr7YQGYhtjARgxwegTLJgkSLRprfXod6rh"));
        assert_eq!(perp_market(0), address!("8UJgxaiQx5nTrdDgph5FiahMmzduuLTLf5WmsPegYA6W"));
        assert_eq!(spot_market_vault(0), address!("GXWqPpjQpdz7KZw9p7f5PX2eGxHAhvpNXiviFkAB8zXg"));
    }
}
