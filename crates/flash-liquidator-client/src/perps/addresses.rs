//! The exchanges, and the addresses that their programs derive.

use core::fmt;

use liquidation_venues::pda;
use solana_address::{Address, address};

/// A perp exchange: Drift, or the program that took its place.
///
/// Velocity is a fork of Drift: names, discriminators and most account orders are
/// the same, addresses and layouts are not. Nothing of one exchange is taken for
/// something of the other: every account names its exchange by its owner, and the
/// builders refuse to mix them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Exchange {
    /// Drift (v2), version 2.161.0.
    Drift,
    /// Velocity (v1).
    Velocity,
}

impl Exchange {
    /// Both.
    pub const ALL: [Self; 2] = [Self::Drift, Self::Velocity];

    /// The exchange's program.
    #[must_use]
    pub const fn program_id(self) -> Address {
        match self {
            Self::Drift => address!("dRiftyHA39MWEi3m9aunc5MzRF1JYuBsbn6VPcn33UH"),
            Self::Velocity => address!("vELoC1audYbSYVRXn1vPaV8Axoa9oU6BYmNGZZBDZ1P"),
        }
    }

    /// The exchange that an account's owner, or an instruction's program, is.
    #[must_use]
    pub fn of(program: &Address) -> Option<Self> {
        Self::ALL.into_iter().find(|exchange| exchange.program_id() == *program)
    }

    fn derive(self, seeds: &[&[u8]]) -> Address {
        pda::find(seeds, &self.program_id()).0
    }

    /// The exchange's state, PDA `["drift_state"]` or `["velocity_state"]`.
    #[must_use]
    pub fn state(self) -> Address {
        match self {
            Self::Drift => self.derive(&[b"drift_state"]),
            Self::Velocity => self.derive(&[b"velocity_state"]),
        }
    }

    /// Owner of all vaults, PDA `["drift_signer"]` or `["velocity_signer"]`.
    #[must_use]
    pub fn signer(self) -> Address {
        match self {
            Self::Drift => self.derive(&[b"drift_signer"]),
            Self::Velocity => self.derive(&[b"velocity_signer"]),
        }
    }

    /// A spot market, PDA `["spot_market", index]`.
    #[must_use]
    pub fn spot_market(self, index: u16) -> Address {
        self.derive(&[b"spot_market", &index.to_le_bytes()])
    }

    /// The vault of a spot market, PDA `["spot_market_vault", index]`.
    #[must_use]
    pub fn spot_market_vault(self, index: u16) -> Address {
        self.derive(&[b"spot_market_vault", &index.to_le_bytes()])
    }

    /// A perp market, PDA `["perp_market", index]`.
    #[must_use]
    pub fn perp_market(self, index: u16) -> Address {
        self.derive(&[b"perp_market", &index.to_le_bytes()])
    }

    /// What all sub-accounts of a wallet share, PDA `["user_stats", authority]`.
    #[must_use]
    pub fn user_stats(self, authority: &Address) -> Address {
        self.derive(&[b"user_stats", authority.as_ref()])
    }
}

impl fmt::Display for Exchange {
    fn fmt(&self, formatter: &mut fmt::Formatter) -> fmt::Result {
        formatter.write_str(match self {
            Self::Drift => "Drift",
            Self::Velocity => "Velocity",
        })
    }
}

/// One of a wallet's accounts on an exchange.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SubAccount {
    /// Where it is.
    pub exchange: Exchange,
    /// The wallet, which signs.
    pub authority: Address,
    /// Number of the account; the first is 0.
    pub id: u16,
}

impl SubAccount {
    /// Its address, PDA `["user", authority, id]`.
    #[must_use]
    pub fn address(&self) -> Address {
        self.exchange.derive(&[b"user", self.authority.as_ref(), &self.id.to_le_bytes()])
    }

    /// Address of the wallet's statistics.
    #[must_use]
    pub fn stats(&self) -> Address {
        self.exchange.user_stats(&self.authority)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Addresses that the protocol's own software names for mainnet.
    #[test]
    fn drifts_addresses_are_mainnets() {
        let drift = Exchange::Drift;
        assert_eq!(drift.state(), address!("5zpq7DvB6UdFFvpmBPspGPNfUGoBRRCE2HHg5u3gxcsN"));
        assert_eq!(drift.signer(), address!("JCNCMFXo5M5qwUPg2Utu1u6YWp3MbygxqBsBeXXJfrw"));
        let [usdc, sol] = [0, 1].map(|index| drift.spot_market(index));
        assert_eq!(usdc, address!("6gMq3mRCKf8aP3ttTyYhuijVZ2LGi14oDsBbkgubfLB3"));
        assert_eq!(sol, address!("3x85u7SWkmmr7YQGYhtjARgxwegTLJgkSLRprfXod6rh"));
        assert_eq!(drift.perp_market(0), address!("8UJgxaiQx5nTrdDgph5FiahMmzduuLTLf5WmsPegYA6W"));
        let vault = address!("GXWqPpjQpdz7KZw9p7f5PX2eGxHAhvpNXiviFkAB8zXg");
        assert_eq!(drift.spot_market_vault(0), vault);
    }

    #[test]
    fn every_address_differs_between_the_exchanges() {
        let [drift, velocity] = Exchange::ALL.map(|exchange| {
            let account =
                SubAccount { exchange, authority: Address::new_from_array([7; 32]), id: 1 };
            [
                exchange.program_id(),
                exchange.state(),
                exchange.signer(),
                exchange.spot_market(1),
                exchange.spot_market_vault(1),
                exchange.perp_market(1),
                account.address(),
                account.stats(),
            ]
        });
        assert!(drift.iter().all(|key| !velocity.contains(key)));
        assert_eq!(Exchange::of(&drift[0]), Some(Exchange::Drift));
        assert_eq!(Exchange::of(&velocity[0]), Some(Exchange::Velocity));
        assert_eq!(Exchange::of(&drift[1]), None);
    }
}
