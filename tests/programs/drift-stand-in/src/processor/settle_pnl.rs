//! `settle_pnl(market_index: u16)`.
//!
//! Accounts: 0 state, 1 user (writable), 2 authority (signer), 3 vault of the
//! quote market; markets.

use solana_program::account_info::AccountInfo;

use super::{Args, require_running, require_vault, split, state};
use crate::{
    QUOTE_SPOT_MARKET,
    error::{Error, Result, fits, require},
    margin::{Kind, Margin},
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
    let away = price.abs_diff(market.twap_5min);
    let is_calm = market.twap_5min == 0 || away <= market.twap_5min.unsigned_abs() / 10;
    require(is_calm, Error::PriceBandsBreached)?;
    let position = *user
        .perp_positions()
        .find(|position| position.market == index)
        .ok_or(Error::UserHasNoPositionInMarket)?;
    require(position.base == 0, Error::NoUnsettledPnl)?;
    if position.quote < 0 {
        let is_healthy = Margin::of(&user, &markets, Kind::Maintenance)?.is_met();
        require(is_healthy, Error::InsufficientCollateralForSettlingPNL)?;
    }

    let mut pool = markets.perp(index)?.pnl_pool;
    let quote_market = markets.spot_mut(QUOTE_SPOT_MARKET)?;
    let in_pool = quote_market.tokens(pool, false)?;
    let paid = i128::from(position.quote).min(in_pool);
    require(paid != 0, Error::PnlPoolCantSettleUser)?;
    quote_market.add_to_pool(&mut pool, -paid)?;
    quote_market.add(user.spot_mut(QUOTE_SPOT_MARKET)?, paid)?;
    markets.perp_mut(index)?.pnl_pool = pool;
    user.perp_mut(index)?.quote -= fits::<i64, _>(paid)?;
    markets.store_spot(&[QUOTE_SPOT_MARKET])?;
    markets.store_perp(index)?;
    user.store(user_account)
}
