//! What is configured for all markets.

use bytemuck::{Pod, Zeroable};
use solana_program::pubkey::Pubkey;

use super::Layout;

/// The one account of its kind, PDA `["global_config"]`.
#[derive(Clone, Copy, Debug, Pod, Zeroable)]
#[repr(C)]
pub struct GlobalConfig {
    /// Who may change what is not left to a market's owner.
    pub global_admin: Pubkey,
    reserved_32: [u8; 992],
}

impl Layout for GlobalConfig {
    const DISCRIMINATOR: [u8; 8] = [149, 8, 156, 202, 160, 252, 176, 217];
    const OWNER: Pubkey = crate::ID;
}

const _: () = assert!(GlobalConfig::ACCOUNT_LEN == 1032);
