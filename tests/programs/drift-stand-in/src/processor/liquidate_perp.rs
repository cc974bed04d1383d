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
    if !parties.begin(&markets)? {
        return parties.store();
    }

    let position = parties
        .user
        .perp_positions()
        .find(|position| position.market == index)
        .ok_or(Error::UserHasNoPositionInMarket)?;
    require(position.base != 0, Error::PositionDoesntHaveOpenPositionOrOrders)?;
    let is_long = position.base > 0;
    let size = i128::from(position.base.abs());
    let max_base = max_base - max_base.checked_rem(market.step_size).ok_or(Error::MathError)?;
    require(max_base > 0, Error::InvalidBaseAssetAmountForLiquidatePerp)?;

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

    // A dollar handed over frees its margin, less the discount.
    let margin = Margin::of(&parties.user, &markets, Kind::Maintenance)?;
    let shortage = margin.shortage(parties.state.margin_buffer);
    let ratio = market.margin_ratio[Kind::Maintenance as usize] + parties.state.margin_buffer;
    let step = i128::from(market.step_size);
    let round_up = |base: i128| (base + step - 1) / step * step;
    let freed = millionths(price.into(), (ratio * 100).saturating_sub(market.liquidator_fee));
    let lacking = match (shortage * 1_000_000_000).checked_div(freed) {
        Some(base) => round_up(base),
        None => size,
    };
    let allowed = lacking * parties.share(shortage)? / 10_000;
    let is_small = base_value(fits(size)?, price) <= 50_000_000;
    let allowed = if is_small { allowed.max(size) } else { allowed };
    let base = fits::<i64, _>(round_up(size.min(max_base.into()).min(allowed)))?;
    if base == 0 {
        return parties.store();
    }

    let value = base_value(base, price);
    let fee = fits::<i64, _>(millionths(value, market.liquidator_fee))?;
    let is_over = i128::from(base) >= lacking;
    let (base, value) = if is_long { (base, fits(value)?) } else { (-base, fits(-value)?) };
    take(&mut parties.user, index, -base, value, -fee)?;
    take(&mut parties.liquidator, index, base, -value, fee)?;
    parties.end(&markets, shortage, is_over)?;

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
