//! `deposit(market_index: u16, amount: u64, reduce_only: bool)`.
//!
//! Accounts: 0 state, 1 user (writable), 2 statistics (writable), 3 authority
//! (signer), 4 vault (writable), 5 token account (writable), 6 token program;
//! markets; the mint, for Token-2022.

use solana_program::account_info::AccountInfo;

use super::{Args, Transfer, require_running, require_vault, split, state, user};
use crate::{
    error::{Error, Result, require},
    markets::Markets,
    state::Layout,
};

pub fn process(accounts: &[AccountInfo], args: &mut Args) -> Result<()> {
    let (index, amount, reduce_only) = (args.u16()?, args.u64()?, args.bool()?);
    let ([state_account, user_account, stats, authority, vault, token_account, program], mut rest) =
        split::<7>(accounts)?;
    require_running(&state(state_account)?, 1)?;
    let mut user = user(user_account, stats)?;
    // Whoever pays may deposit for anybody.
    require(authority.is_signer, Error::AccountNotSigner)?;
    require_vault(state_account, vault, index)?;
    let mut markets = Markets::load(&mut rest, &[index], &[])?;
    require(amount > 0, Error::InsufficientDeposit)?;

    let market = markets.spot_mut(index)?;
    require(market.pool_id == user.pool_id, Error::InvalidPoolId)?;
    let position = user.spot_mut(index)?;
    let mut amount = amount;
    if reduce_only && position.is_borrow {
        let owed = market.tokens(position.scaled_balance.into(), true)?.unsigned_abs();
        amount = u64::try_from(owed).unwrap_or(u64::MAX).min(amount);
    }
    market.add(position, amount.into())?;
    let deposits = market.tokens(market.deposit_balance, false)?;
    let is_within = market.max_deposits == 0 || deposits <= market.max_deposits.into();
    require(is_within, Error::MaxDeposit)?;
    Transfer { program, from: token_account, to: vault, authority, amount }.invoke(
        market,
        &mut rest,
        &[],
    )?;
    markets.store_spot(&[index])?;
    user.store(user_account)
}
