//! `initialize_user_stats()`.
//!
//! Accounts: 0 statistics (writable), 1 state (writable), 2 authority, 3 payer
//! (signer, writable), 4 rent sysvar, 5 system program.

use solana_program::account_info::AccountInfo;

use super::{create, split, state};
use crate::{
    Exchange,
    error::{Error, Result, require},
    state::UserStats,
};

pub fn process(exchange: Exchange, accounts: &[AccountInfo]) -> Result<()> {
    let ([stats, state_account, authority, payer, _rent, _system_program], _) =
        split::<6>(accounts)?;
    state(state_account)?;
    require(state_account.is_writable, Error::ConstraintMut)?;
    require(payer.is_signer, Error::AccountNotSigner)?;
    let value = UserStats { authority: *authority.key, ..UserStats::default() };
    create(&value, exchange, stats, payer, &[b"user_stats", authority.key.as_ref()])
}
