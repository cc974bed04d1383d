//! `initialize_user(sub_account_id: u16, name: [u8; 32])`.
//!
//! Accounts: 0 user (writable), 1 statistics (writable), 2 state (writable),
//! 3 authority, 4 payer (signer, writable), 5 rent sysvar, 6 system program.

use solana_program::account_info::AccountInfo;

use super::{Args, create, split, state};
use crate::{
    Exchange,
    error::{Error, Result, require},
    state::{Layout, User, UserStats},
};

pub fn process(exchange: Exchange, accounts: &[AccountInfo], args: &mut Args) -> Result<()> {
    let sub_account_id = args.u16()?;
    args.bytes::<32>()?;
    let ([user, stats_account, state_account, authority, payer, _rent, _system_program], _) =
        split::<7>(accounts)?;
    state(state_account)?;
    require(state_account.is_writable, Error::ConstraintMut)?;
    require(payer.is_signer, Error::AccountNotSigner)?;
    let mut stats = UserStats::load(stats_account)?;
    require(stats.authority == *authority.key, Error::ConstraintHasOne)?;
    require(sub_account_id == stats.sub_accounts_created, Error::InvalidUserSubAccountId)?;
    stats.sub_accounts += 1;
    stats.sub_accounts_created += 1;
    stats.store(stats_account)?;
    let value = User { authority: *authority.key, sub_account_id, ..User::default() };
    let seeds: [&[u8]; 3] = [b"user", authority.key.as_ref(), &sub_account_id.to_le_bytes()];
    create(&value, exchange, user, payer, &seeds)
}
