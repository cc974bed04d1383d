//! `liquidate_perp(market_index: u16, liquidator_max_base_asset_amount: u64,
//! limit_price: Option<u64>)`.
//!
//! Accounts: see [`Liquidation::load`].

use solana_program::account_info::AccountInfo;

use super::{Args, Liquidation};
use crate::{
    error::{Error, Result, fits, require},
    margin::{Kind, Margin, base_value, millionths},
    markets::Markets,
};

pub fn process(accounts: &[AccountInfo], args: &mut Args) -> Result<()> {
    let (index, max_base) = (args.u16()?, args.u64()?);
    let limit_price = args.option(Args::u64)?;
    let mut parties = Liquidation::load(accounts)?;
    let markets = Markets::load(&mut parties.rest, &[], &[index])?;
    let market = markets.perp(index)?;
    let is_healthy = Margin::of(&parties.user, &markets, Kind::Maintenance)?.is_met();
    require(!is_healthy, Error::SufficientCollateral)?;

    let position = parties
        .user
        .perp_positions()
        .find(|position| position.market == index)
        .ok_or(Error::UserHasNoPositionInMarket)?;
    require(position.base != 0, Error::PositionDoesntHaveOpenPositionOrOrders)?;
    let is_long = position.base > 0;
    let max_base = max_base - max_base.checked_rem(market.step_size).ok_or(Error::MathError)?;
    require(max_base > 0, Error::InvalidBaseAssetAmountForLiquidatePerp)?;
    let base = fits::<i64, _>(position.base.unsigned_abs().min(max_base))?;

    let price = markets.price(&market.oracle)?;
    if let Some(limit_price) = limit_price {
        let discount = millionths(price.into(), market.liquidator_fee);
        let limit_price = i128::from(limit_price);
        let is_met = if is_long {
            i128::from(price) - discount <= limit_price
        } else {
            i128::from(price) + discount >= limit_price
        };
        require(is_met, Error::LiquidationDoesntSatisfyLimitPrice)?;
    }
    let value = base_value(base, price);
    let fee = fits::<i64, _>(millionths(value, market.liquidator_fee))?;
    let (base, value) = if is_long { (base, fits(value)?) } else { (-base, fits(-value)?) };
    take(&mut parties.user, index, -base, value, -fee)?;
    take(&mut parties.liquidator, index, base, -value, fee)?;

    let is_backed = Margin::of(&parties.liquidator, &markets, Kind::Initial)?.is_met();
    require(is_backed, Error::InsufficientCollateral)?;
    parties.store()
}

fn take(user: &mut crate::state::User, market: u16, base: i64, quote: i64, fee: i64) -> Result<()> {
    let position = user.perp_mut(market)?;
    position.base = position.base.checked_add(base).ok_or(Error::MathError)?;
    let quote = quote.checked_add(fee).and_then(|quote| quote.checked_add(position.quote));
    position.quote = quote.ok_or(Error::MathError)?;
    Ok(())
}
