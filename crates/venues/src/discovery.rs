//! What to ask a node for, to learn which pools of two tokens there are; and pools that
//! are known beforehand.
//!
//! A node lists a program's accounts that hold given bytes at given offsets. Every pool
//! states its two mints at two offsets ([`Listing`]), so that a pair is asked for with two
//! comparisons, in both orders: not every program sorts its mints.

use solana_address::{Address, address};

pub use crate::listing::Listing;
use crate::{meteora_dlmm, raydium_amm, raydium_clmm, raydium_cpmm, whirlpool};

/// Every program whose pools can be read, its deployments apart.
pub static LISTINGS: [Listing; 6] = [
    whirlpool::LISTING,
    Listing { program: whirlpool::IMMUTABLE_PROGRAM_ID, ..whirlpool::LISTING },
    raydium_clmm::LISTING,
    raydium_cpmm::LISTING,
    raydium_amm::LISTING,
    meteora_dlmm::LISTING,
];

/// The listing of a program.
#[must_use]
pub fn listing(program: &Address) -> Option<&'static Listing> {
    LISTINGS.iter().find(|listing| listing.program == *program)
}

const SOL: Address = address!("So11111111111111111111111111111111111111112");
const USDC: Address = address!("EPjFWdd5AufqSSqeM2qN1xzybapC8G4wEGGkZwyTDt1v");
const JITOSOL: Address = address!("J1toso1uCk3RLmjorhTtrVwY9HJ7X8V9yYac6Y7kGCPn");
const JLP: Address = address!("27G8MtK7VtTcCHkpASjSDdkWWYfoqT6ggEuKidVJidD4");
const CBBTC: Address = address!("cbbtcf3aa214zXHbiAZQwf4122FBYbraNdFqgw4iMij");

/// A pool that is known beforehand.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct KnownPool {
    /// Its account.
    pub pool: Address,
    /// The tokens it trades, in any order.
    pub mints: [Address; 2],
}

/// Pools of mainnet for what is liquidated most, for nodes that list no accounts.
///
/// Seen in public repositories on 2026-11-26 as the pools of these tokens; that each
/// is the pool of its tokens follows from its address,
/// which its program derives from them (see the tests). Whether one still has liquidity is
/// seen when it is read.
pub const KNOWN_POOLS: [KnownPool; 10] = {
    const fn known(pool: Address, mints: [Address; 2]) -> KnownPool {
        KnownPool { pool, mints }
    }
    [
        // Whirlpools, tick spacings 4, 64, 1, 8, 16, 4, 2, 4.
        known(address!("Czfq3xZZDmsdGdUyrNLtRhGc47cXcZtLG4crryfu44zE"), [SOL, USDC]),
        known(address!("HJPjoWUrhoZzkNfRpHuieeFk9WcZWjwy6PBjZ81ngndJ"), [SOL, USDC]),
        known(address!("Hp53XEtt4S8SvPCXarsLSdGfZBuUr5mMmZmX2DRNXQKp"), [SOL, JITOSOL]),
        known(address!("5hWJUNTtEtKmKgDXpthJXXRRmJrz5vJ7uJzrUNVdrwLg"), [USDC, JITOSOL]),
        known(address!("CeaZcxBNLpJWtxzt58qQmfMBtJY8pQLvursXTJYGQpbN"), [SOL, CBBTC]),
        known(address!("HxA6SKW5qA4o12fjVgTpXdq2YnZ5Zv1s7SB4FFomsyLM"), [USDC, CBBTC]),
        known(address!("6NUiVmsNjsi4AfsMsEiaezsaV9N4N1ZrD4jEnuWNRvyb"), [USDC, JLP]),
        known(address!("6a3m2EgFFKfsFuQtP4LJJXPcAe3TQYXNyHUjjZpUxYgd"), [SOL, JLP]),
        // Raydium CLMM, fee configuration 8; Meteora DLMM, bin step 4.
        known(address!("3ucNos4NbumPLZNWztqGHNFFgkHeRMBQAVemeeomsUxv"), [SOL, USDC]),
        known(address!("5rCf1DM8LjKTw4YqhnoLcngyZYeNnQqztScTogYHAS6"), [SOL, USDC]),
    ]
};

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Account;

    /// Two addresses as programs sort them.
    fn sorted(mints: [Address; 2]) -> [Address; 2] {
        let [a, b] = mints;
        if a.as_ref() < b.as_ref() { [a, b] } else { [b, a] }
    }

    fn derived(seeds: &[&[u8]], program: &Address) -> Address {
        Address::find_program_address(seeds, program).0
    }

    /// The programs' own derivations: `whirlpool`, configuration, mints, tick spacing;
    /// `pool`, fee configuration, mints; mints, bin step.
    #[test]
    fn a_known_pool_is_the_pool_of_its_tokens() {
        const ORCA: Address = address!("2LecshUwdy9xi7meFgHtFJQNSKk4KdTrcpvaB56dP2NQ");
        let spacings: [u16; 8] = [4, 64, 1, 8, 16, 4, 2, 4];
        for (known, spacing) in KNOWN_POOLS.iter().zip(spacings) {
            let [a, b] = sorted(known.mints);
            let spacing = spacing.to_le_bytes();
            let seeds: [&[u8]; 5] = [b"whirlpool", ORCA.as_ref(), a.as_ref(), b.as_ref(), &spacing];
            assert_eq!(derived(&seeds, &whirlpool::PROGRAM_ID), known.pool);
        }
        let [clmm, dlmm] = [KNOWN_POOLS[8], KNOWN_POOLS[9]];
        let [a, b] = sorted(clmm.mints);
        let config = derived(&[b"amm_config", &8u16.to_be_bytes()], &raydium_clmm::PROGRAM_ID);
        let seeds: [&[u8]; 4] = [b"pool", config.as_ref(), a.as_ref(), b.as_ref()];
        assert_eq!(derived(&seeds, &raydium_clmm::PROGRAM_ID), clmm.pool);
        let [a, b] = sorted(dlmm.mints);
        let seeds: [&[u8]; 3] = [a.as_ref(), b.as_ref(), &4u16.to_le_bytes()];
        assert_eq!(derived(&seeds, &meteora_dlmm::PROGRAM_ID), dlmm.pool);
    }

    /// Every listing is of a venue that [`crate::read`] reads, and the mints are where it
    /// says.
    #[test]
    fn what_is_listed_is_read() {
        for listing in &LISTINGS {
            let mut data = vec![0; listing.len];
            if let Some(discriminator) = listing.discriminator {
                data[..8].copy_from_slice(&discriminator);
            }
            for (n, at) in [listing.mints, listing.vaults].into_iter().flatten().enumerate() {
                data[at..at + 32].copy_from_slice(&[n as u8 + 1; 32]);
            }
            let key = |byte| Address::new_from_array([byte; 32]);
            assert_eq!(listing.vaults_of(&data), Some([key(3), key(4)]));
            assert_eq!(listing.vaults_of(&data[..listing.vaults[0]]), None);
            let account = Account { owner: &listing.program, data: &data };
            // An empty pool states what its program never writes, or is one.
            match crate::read(&key(9), account) {
                Ok(pool) => assert_eq!(pool.mints(), [key(1), key(2)], "{}", listing.name),
                Err(crate::VenueError::OutOfRange { .. } | crate::VenueError::Unknown { .. }) => {}
                Err(other) => panic!("{}: {other}", listing.name),
            }
            assert_eq!(super::listing(&listing.program), Some(listing));
        }
        assert_eq!(super::listing(&Address::default()), None);
    }
}
