//! `liquidate_spot(asset_market_index: u16, liability_market_index: u16,
//! liquidator_max_liability_transfer: u128, limit_price: Option<u64>)`.
//!
//! Accounts: see [`Liquidation::load`]; Velocity does without the user's statistics.

use solana_program::account_info::AccountInfo;

use super::{Args, Liquidation, asset, exchange};
use crate::{
    Exchange,
    error::{Error, Result, fits, require},
    margin::{Kind, Margin, Side},
    markets::Markets,
};

pub fn process(played: Exchange, accounts: &[AccountInfo], args: &mut Args) -> Result<()> {
    let (asset_index, liability_index) = (args.u16()?, args.u16()?);
    let (max_liability, limit_price) = (args.u128()?, args.option(Args::u64)?);
    let mut parties = match played {
        Exchange::Drift => Liquidation::load(accounts)?,
        Exchange::Velocity => Liquidation::load_without_user_stats(accounts)?,
    };
    let changed = [asset_index, liability_index];
    let mut markets = Markets::load(&mut parties.rest, &changed, &[])?;
    if !parties.begin(&markets)? {
        return parties.store();
    }

    let (asset_units, asset_side) = asset(&parties.user, &markets, asset_index)?;
    let market = markets.spot(liability_index)?;
    let position = parties
        .user
        .spot_positions()
        .find(|position| position.market == liability_index)
        .ok_or(Error::CouldNotFindSpotPosition)?;
    require(position.is_borrow, Error::WrongSpotBalanceType)?;
    let owed = market.tokens(position.scaled_balance.into(), true)?.unsigned_abs();
    let liability_side = Side {
        price: markets.price(&market.oracle)?,
        decimals: market.decimals,
        fee: market.liquidator_fee,
    };
    let (liability, asset) =
        exchange(owed.min(max_liability), asset_units, asset_side, liability_side, limit_price)?;
    let (liability, asset) = (fits::<i128, _>(liability)?, fits::<i128, _>(asset)?);

    for (index, units) in [(liability_index, liability), (asset_index, -asset)] {
        let market = markets.spot_mut(index)?;
        market.add(parties.user.spot_mut(index)?, units)?;
        market.add(parties.liquidator.spot_mut(index)?, -units)?;
    }
    let is_backed = Margin::of(&parties.liquidator, &markets, Kind::Initial)?.is_met();
    require(is_backed, Error::InsufficientCollateral)?;
    markets.store_spot(&changed)?;
    parties.store()
}
