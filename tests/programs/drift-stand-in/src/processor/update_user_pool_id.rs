//! `update_user_pool_id(sub_account_id: u16, pool_id: u8)`.
//!
//! Accounts: 0 user (writable), 1 authority (signer), on Velocity 2 state; markets.

use solana_program::account_info::AccountInfo;

use super::{Args, require_authority, require_derived, split};
use crate::{
    Exchange,
    error::{Error, Result, require},
    margin::{Kind, Margin},
    markets::Markets,
    state::{Layout, User},
};

pub fn process(accounts: &[AccountInfo], args: &mut Args) -> Result<()> {
    let (sub_account_id, pool_id) = (args.u16()?, args.u8()?);
    let ([user_account, authority], mut rest) = split::<2>(accounts)?;
    require(user_account.is_writable, Error::ConstraintMut)?;
    let exchange = Exchange::of(user_account.owner).ok_or(Error::AccountOwnedByWrongProgram)?;
    let id = sub_account_id.to_le_bytes();
    require_derived(user_account, exchange, &[b"user", authority.key.as_ref(), &id])?;
    let mut user = User::load(user_account)?;
    require_authority(&user, authority)?;
    if exchange == Exchange::Velocity {
        super::state(rest.next().ok_or(Error::AccountNotEnoughKeys)?)?;
    }
    let markets = Markets::load(&mut rest, &[], &[])?;
    user.pool_id = pool_id;
    // Fails where a position's market is not listed; its verdict is not asked for.
    Margin::of(&user, &markets, Kind::Initial)?;
    user.store(user_account)
}
