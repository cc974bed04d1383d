//! A farm of the farms program, in which klend stakes an obligation's deposits.

use solana_account::Account;
use solana_address::Address;

use klend_model::constants::FARMS_PROGRAM_ID;

use crate::{names::named_address, tokens};

/// Discriminator of the farms program's `FarmState` account.
const DISCRIMINATOR: [u8; 8] = [198, 102, 216, 74, 63, 66, 163, 190];
/// Length of a `FarmState` account.
const LEN: usize = 8_336;

// Offsets in account data, from the program's published interface.
const FARM_ADMIN: usize = 8;
const GLOBAL_CONFIG: usize = 40;
const NUM_USERS: usize = 7_240;
const TOTAL_STAKED_AMOUNT: usize = 7_248;
const DELEGATE_AUTHORITY: usize = 7_328;
const IS_FARM_DELEGATED: usize = 7_362;
const TOTAL_ACTIVE_STAKE: usize = 7_408;
const SCOPE_ORACLE_PRICE_ID: usize = 7_568;

/// A farm without rewards whose stakes only `delegate_authority` sets: for a
/// reserve's farm, the authority of its market.
pub(crate) fn delegated(delegate_authority: &Address, staked: u64, users: u64) -> Account {
    let mut data = vec![0; LEN];
    let mut put = |offset: usize, bytes: &[u8]| {
        data[offset..offset + bytes.len()].copy_from_slice(bytes);
    };
    put(0, &DISCRIMINATOR);
    put(FARM_ADMIN, named_address("farm admin").as_ref());
    put(GLOBAL_CONFIG, named_address("farms global config").as_ref());
    put(NUM_USERS, &users.to_le_bytes());
    put(TOTAL_STAKED_AMOUNT, &staked.to_le_bytes());
    put(DELEGATE_AUTHORITY, delegate_authority.as_ref());
    put(IS_FARM_DELEGATED, &[1]);
    // Despite its name: a delegated farm on mainnet keeps whole units here.
    put(TOTAL_ACTIVE_STAKE, &u128::from(staked).to_le_bytes());
    // No oracle.
    put(SCOPE_ORACLE_PRICE_ID, &u64::MAX.to_le_bytes());
    tokens::account(FARMS_PROGRAM_ID, data)
}
