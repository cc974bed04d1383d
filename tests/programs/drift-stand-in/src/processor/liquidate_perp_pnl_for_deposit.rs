//! `liquidate_perp_pnl_for_deposit(perp_market_index: u16, spot_market_index: u16,
//! liquidator_max_pnl_transfer: u128, limit_price: Option<u64>)`.
//!
//! Accounts: see [`Liquidation::load`].

use solana_program::account_info::AccountInfo;

use super::{Args, Liquidation, asset, exchange};
use crate::{
    error::{Error, Result, fits, require},
    margin::{Kind, Margin, Side},
    markets::Markets,
};

/// Losses are in millionths of a dollar.
const PNL_DECIMALS: u32 = 6;

pub fn process(accounts: &[AccountInfo], args: &mut Args) -> Result<()> {
    let (perp_index, asset_index) = (args.u16()?, args.u16()?);
    let (max_pnl, limit_price) = (args.u128()?, args.option(Args::u64)?);
    let mut parties = Liquidation::load(accounts)?;
    let mut markets = Markets::load(&mut parties.rest, &[asset_index], &[perp_index])?;
    let perp = markets.perp(perp_index)?;
    let position = *parties
        .user
        .perp_positions()
        .find(|position| position.market == perp_index)
        .ok_or(Error::UserHasNoPositionInMarket)?;
    require(position.base == 0 && position.quote < 0, Error::InvalidPerpPositionToLiquidate)?;
    if !parties.begin(&markets)? {
        return parties.store();
    }

    let (asset_units, asset_side) = asset(&parties.user, &markets, asset_index)?;
    let lost = u128::from(position.quote.unsigned_abs());
    let quote_market = markets.spot(perp.quote_spot_market)?;
    let pnl_side = Side {
        price: markets.price(&quote_market.oracle)?,
        decimals: PNL_DECIMALS,
        fee: perp.liquidator_fee,
    };
    let (pnl, asset) = exchange(lost.min(max_pnl), asset_units, asset_side, pnl_side, limit_price)?;
    let (pnl, asset) = (fits::<i64, _>(pnl)?, fits::<i128, _>(asset)?);

    let market = markets.spot_mut(asset_index)?;
    market.add(parties.user.spot_mut(asset_index)?, -asset)?;
    market.add(parties.liquidator.spot_mut(asset_index)?, asset)?;
    for (user, pnl) in [(&mut parties.user, pnl), (&mut parties.liquidator, -pnl)] {
        let position = user.perp_mut(perp_index)?;
        position.quote = position.quote.checked_add(pnl).ok_or(Error::MathError)?;
    }
    let is_backed = Margin::of(&parties.liquidator, &markets, Kind::Initial)?.is_met();
    require(is_backed, Error::InsufficientCollateral)?;
    markets.store_spot(&[asset_index])?;
    parties.store()
}
