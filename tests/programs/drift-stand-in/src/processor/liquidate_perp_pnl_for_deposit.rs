//! `liquidate_perp_pnl_for_deposit(perp_market_index: u16, spot_market_index: u16,
//! liquidator_max_pnl_transfer: u128, limit_price: Option<u64>)`.
//!
//! Accounts: see [`Liquidation::load`].

use solana_program::account_info::AccountInfo;

use super::{
    Args, Liquidation,
    liquidation::{Allowed, SMALL, side},
};
use crate::{
    error::{Error, Result, fits, require},
    exchange::{Exchange, Side},
    markets::Markets,
    state::WEIGHT_PRECISION,
};

/// Losses are in millionths of a dollar.
const PNL_DECIMALS: u32 = 6;

pub fn process(accounts: &[AccountInfo], args: &mut Args) -> Result<()> {
    let (perp_index, asset_index) = (args.u16()?, args.u16()?);
    let (max_pnl, limit_price) = (args.u128()?, args.option(Args::u64)?);
    let mut parties = Liquidation::load(accounts)?;
    let mut markets = Markets::load(&mut parties.rest, &[asset_index], &[perp_index])?;
    require(parties.liquidator.pool_id == 0, Error::InvalidPoolId)?;
    let position = *parties.user.perp(perp_index)?;
    require(!position.is_isolated(), Error::CouldNotFindSpotPosition)?;
    let asset = *parties.user.deposit(asset_index)?;
    markets.follow_spot(asset_index)?;
    require(position.base == 0 && position.quote < 0, Error::InvalidPerpPositionToLiquidate)?;
    let perp = markets.perp(perp_index)?;
    let quote_market = markets.spot(perp.quote_spot_market)?;
    let lost = u128::from(position.quote.unsigned_abs());
    let exchange = Exchange {
        asset: side(&markets, &asset, &parties.liquidator, 0)?,
        liability: Side {
            units: lost,
            price: fits(markets.price(&quote_market.oracle)?)?,
            decimals: PNL_DECIMALS,
            weight: WEIGHT_PRECISION + u128::from(parties.state.margin_buffer),
            fee: perp.liquidator_fee,
        },
        insurance: 0,
    };
    let Some(shortage) = parties.begin(&markets, Some(perp_index))? else {
        return parties.store();
    };
    let Some(allowed) = Allowed::of(&exchange, &parties, &shortage)? else {
        return parties.store();
    };

    let (pnl, paid) = exchange.units(max_pnl, allowed.now, lost <= SMALL, limit_price)?;
    let is_over = pnl >= allowed.covering;
    let (pnl, paid) = (fits::<i64, _>(pnl)?, fits::<i128, _>(paid)?);
    let market = markets.spot_mut(asset_index)?;
    market.add(parties.user.spot_mut(asset_index)?, -paid)?;
    market.add(parties.liquidator.spot_mut(asset_index)?, paid)?;
    for (user, pnl) in [(&mut parties.user, pnl), (&mut parties.liquidator, -pnl)] {
        let position = user.perp_mut(perp_index)?;
        position.quote = position.quote.checked_add(pnl).ok_or(Error::MathError)?;
    }
    parties.end(&markets, &shortage, is_over)?;
    markets.store_spot(&[asset_index])?;
    parties.store()
}
