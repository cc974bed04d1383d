//! What klend keeps about wallets.

use bytemuck::{Pod, Zeroable};
use solana_program::pubkey::Pubkey;

use super::{Layout, PodU128};

/// A wallet's metadata, PDA `["user_meta", owner]`.
#[derive(Clone, Copy, Debug, Pod, Zeroable)]
#[repr(C)]
pub struct UserMetadata {
    /// Who brought the wallet here; the default key when nobody did.
    pub referrer: Pubkey,
    pub bump: u64,
    pub user_lookup_table: Pubkey,
    pub owner: Pubkey,
    reserved_104: [u8; 920],
}

impl Layout for UserMetadata {
    const DISCRIMINATOR: [u8; 8] = [157, 214, 220, 235, 98, 135, 171, 28];
    const OWNER: Pubkey = crate::ID;
}

/// What a referrer has earned in one reserve, PDA `["referrer_acc", referrer, reserve]`.
#[derive(Clone, Copy, Debug, Pod, Zeroable)]
#[repr(C)]
pub struct ReferrerTokenState {
    pub referrer: Pubkey,
    pub mint: Pubkey,
    pub amount_unclaimed_sf: PodU128,
    pub amount_cumulative_sf: PodU128,
    pub bump: u64,
    reserved_104: [u8; 248],
}

impl Layout for ReferrerTokenState {
    const DISCRIMINATOR: [u8; 8] = [39, 15, 208, 77, 32, 195, 105, 56];
    const OWNER: Pubkey = crate::ID;
}

const _: () = assert!(ReferrerTokenState::ACCOUNT_LEN == 360);
const _: () = assert!(UserMetadata::ACCOUNT_LEN == 1032);
