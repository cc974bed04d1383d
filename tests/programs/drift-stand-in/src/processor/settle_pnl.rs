//! `settle_pnl(market_index: u16)`.
//!
//! Accounts: 0 state, 1 user (writable), 2 authority (signer), 3 vault of the
//! quote market; markets.

use solana_program::account_info::AccountInfo;

use super::{Args, require_running, require_vault, split, state};
use crate::{
    QUOTE_SPOT_MARKET,
    error::{Error, Result, fits, require},
    margin::{Kind, Margin, base_value},
    markets::Markets,
    state::{Layout, User},
};

pub fn process(accounts: &[AccountInfo], args: &mut Args) -> Result<()> {
    let index = args.u16()?;
    let ([state_account, user_account, authority, vault], mut rest) = split::<4>(accounts)?;
    require_running(&state(state_account)?, 64)?;
    let mut user = User::load(user_account)?;
    // Anybody may settle for anybody.
    require(authority.is_signer, Error::AccountNotSigner)?;
    require_vault(state_account, vault, QUOTE_SPOT_MARKET)?;
    let mut markets = Markets::load(&mut rest, &[QUOTE_SPOT_MARKET], &[index])?;
    let market = markets.perp(index)?;
    let price = markets.price(&market.oracle)?;
    require(!market.average.forbids_settling(price), Error::PriceBandsBreached)?;
    let position = *user.perp(index)?;
    // A loss of an open position is settled as if it were closed at the oracle's price.
    let profit = i128::from(position.quote) + base_value(position.base, price);
    require(position.base == 0 || profit < 0, Error::NoUnsettledPnl)?;
    if profit < 0 {
        let margin = if position.is_isolated() {
            Margin::isolated(&user, &position, &markets, Kind::Maintenance)?
        } else {
            Margin::of(&user, &markets, Kind::Maintenance)?
        };
        require(margin.is_met(), Error::InsufficientCollateralForSettlingPNL)?;
    }

    let mut pool = markets.perp(index)?.pnl_pool;
    let quote_market = markets.spot_mut(QUOTE_SPOT_MARKET)?;
    let in_pool = quote_market.tokens(pool, false)?;
    let paid = profit.min(in_pool);
    require(paid != 0, Error::PnlPoolCantSettleUser)?;
    quote_market.add_to_pool(&mut pool, -paid)?;
    if position.is_isolated() {
        let position = user.perp_mut(index)?;
        let mut balance = position.isolated_balance.into();
        quote_market.add_to_pool(&mut balance, paid)?;
        position.isolated_balance = fits(balance)?;
    } else {
        quote_market.add(user.spot_mut(QUOTE_SPOT_MARKET)?, paid)?;
    }
    markets.perp_mut(index)?.pnl_pool = pool;
    user.perp_mut(index)?.quote -= fits::<i64, _>(paid)?;
    markets.store_spot(&[QUOTE_SPOT_MARKET])?;
    markets.store_perp(index)?;
    user.store(user_account)
}
