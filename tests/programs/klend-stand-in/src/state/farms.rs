//! The part of the farms program's user account that klend reads.

use bytemuck::{Pod, Zeroable};
use solana_program::{pubkey, pubkey::Pubkey};

use super::{Layout, PodU128};

/// The farms program.
pub const FARMS_PROGRAM_ID: Pubkey = pubkey!("FarmsPZpWu9i7Kky8tPN37rs2TpmMrAZrC7S7vJa91Hr");

/// Stakes are kept in fixed point with 18 decimals.
pub const FARM_STAKE_SCALE: u128 = 1_000_000_000_000_000_000;

/// An obligation's stake in one farm, PDA `["user", farm, obligation]` of the
/// farms program.
#[derive(Clone, Copy, Debug, Pod, Zeroable)]
#[repr(C)]
pub struct FarmUserState {
    pub user_id: u64,
    pub farm_state: Pubkey,
    pub owner: Pubkey,
    reserved_72: [u8; 328],
    /// Stake in raw units times [`FARM_STAKE_SCALE`].
    pub active_stake_scaled: PodU128,
    reserved_416: [u8; 56],
    /// The obligation that the stake mirrors.
    pub delegatee: Pubkey,
    reserved_504: [u8; 408],
}

impl Layout for FarmUserState {
    const DISCRIMINATOR: [u8; 8] = [72, 177, 85, 249, 76, 167, 186, 126];
    const OWNER: Pubkey = FARMS_PROGRAM_ID;
}

const _: () = {
    assert!(FarmUserState::ACCOUNT_LEN == 920);
    assert!(core::mem::offset_of!(FarmUserState, active_stake_scaled) == 400);
    assert!(core::mem::offset_of!(FarmUserState, delegatee) == 472);
};
