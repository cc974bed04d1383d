//! `withdraw(market_index: u16, amount: u64, reduce_only: bool)`.
//!
//! Accounts: 0 state, 1 user (writable), 2 statistics (writable), 3 authority
//! (signer), 4 vault (writable), 5 owner of the vaults, 6 token account
//! (writable), 7 token program; markets; the mint, for Token-2022.

use solana_program::account_info::AccountInfo;

use super::{
    Args, Transfer, require_authority, require_running, require_vault, split, state, user,
};
use crate::{
    Exchange,
    error::{Error, Result, fits, require},
    margin::{Kind, Margin},
    markets::Markets,
    state::Layout,
};

pub fn process(accounts: &[AccountInfo], args: &mut Args) -> Result<()> {
    let (index, amount, reduce_only) = (args.u16()?, args.u64()?, args.bool()?);
    let (
        [state_account, user_account, stats, authority, vault, signer, token_account, program],
        mut rest,
    ) = split::<8>(accounts)?;
    let state = state(state_account)?;
    require_running(&state, 2)?;
    let mut user = user(user_account, stats)?;
    require_authority(&user, authority)?;
    require_vault(state_account, vault, index)?;
    require(*signer.key == state.signer, Error::ConstraintRaw)?;
    let exchange = Exchange::of(state_account.owner).ok_or(Error::AccountOwnedByWrongProgram)?;
    let mut markets = Markets::load(&mut rest, &[index], &[])?;

    let mut amount = amount;
    if reduce_only {
        let market = markets.spot(index)?;
        let position = *user.spot_mut(index)?;
        require(!position.is_borrow, Error::ReduceOnlyWithdrawIncreasedRisk)?;
        let held = market.tokens(position.scaled_balance.into(), false)?;
        let margin = Margin::of(&user, &markets, Kind::Initial)?;
        let most = margin.withdrawable(market, markets.price(&market.oracle)?, held)?;
        amount = amount.min(fits(most)?);
    }
    let market = markets.spot_mut(index)?;
    market.add(user.spot_mut(index)?, -i128::from(amount))?;
    // A quarter of the day's average may leave, or what is below the guard.
    let twap = i128::from(market.deposit_twap);
    let least = twap - (twap / 4).max(i128::from(market.withdraw_guard).min(twap));
    let left = market.tokens(market.deposit_balance, false)?;
    require(left >= least, Error::DailyWithdrawLimit)?;
    let is_backed = Margin::of(&user, &markets, Kind::Initial)?.is_met();
    require(is_backed, Error::InsufficientCollateral)?;

    Transfer { program, from: vault, to: token_account, authority: signer, amount }.invoke(
        markets.spot(index)?,
        &mut rest,
        &[&[exchange.signer_seed(), &[state.signer_nonce]]],
    )?;
    markets.store_spot(&[index])?;
    user.store(user_account)
}
