//! The Scope oracle's price account.

use bytemuck::{Pod, Zeroable};
use solana_program::{pubkey, pubkey::Pubkey};

use super::Layout;

/// Marks the unused tail of a price chain.
pub const CHAIN_END: u16 = u16::MAX;

/// All prices of one Scope feed; a reserve names the entries it uses.
#[derive(Clone, Copy, Debug, Pod, Zeroable)]
#[repr(C)]
pub struct OraclePrices {
    pub oracle_mappings: Pubkey,
    pub prices: [DatedPrice; 512],
}

impl Layout for OraclePrices {
    const DISCRIMINATOR: [u8; 8] = [89, 128, 118, 221, 6, 72, 180, 146];
    const OWNER: Pubkey = pubkey!("HFn8GnPADiny6XqUoWE8uRPPxb29ikn4yTuPa9MF2fWJ");
}

/// One entry: the price is `value / 10^exp`.
#[derive(Clone, Copy, Debug, Pod, Zeroable)]
#[repr(C)]
pub struct DatedPrice {
    pub value: u64,
    pub exp: u64,
    pub last_updated_slot: u64,
    pub unix_timestamp: u64,
    generic_data: [u8; 24],
}

const _: () = assert!(OraclePrices::ACCOUNT_LEN == 28712);
