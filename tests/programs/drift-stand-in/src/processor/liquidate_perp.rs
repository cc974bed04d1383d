//! `liquidate_perp(market_index: u16, liquidator_max_base_asset_amount: u64,
//! limit_price: Option<u64>)`.
//!
//! Accounts: see [`Liquidation::load`].

use solana_program::account_info::AccountInfo;

use super::{Args, Liquidation};
use crate::{
    error::{Error, Result, fits, require},
    margin::{Kind, Market, base_value, margin_ratio, millionths},
    markets::Markets,
    state::User,
};

pub fn process(accounts: &[AccountInfo], args: &mut Args) -> Result<()> {
    let (index, max_base) = (args.u16()?, args.u64()?);
    let limit_price = args.option(Args::u64)?;
    let mut parties = Liquidation::load(accounts)?;
    let mut markets = Markets::load(&mut parties.rest, &[], &[index])?;
    require(parties.liquidator.pool_id == 0, Error::InvalidPoolId)?;
    let Some(shortage) = parties.begin(&markets, Some(index))? else { return parties.store() };
    let position = *parties.user.perp(index)?;
    require(position.base != 0, Error::PositionDoesntHaveOpenPositionOrOrders)?;
    markets.follow_perp(index)?;
    let market = markets.perp(index)?;
    let is_long = position.base > 0;
    let size = i128::from(position.base.abs());
    let max_base = max_base - max_base.checked_rem(market.step_size).ok_or(Error::MathError)?;
    require(max_base > 0, Error::InvalidBaseAssetAmountForLiquidatePerp)?;
    let price = markets.price(&market.oracle)?;
    require(!market.average.is_far_from(price), Error::PriceBandsBreached)?;

    // A dollar handed over frees its margin, less the discount and what the insurance
    // fund takes: what the market's part of the shortage leaves of it, less a twentieth.
    let fee =
        parties.perp_fee(market.liquidator_fee, market.margin_ratio[Kind::Maintenance as usize])?;
    let ratio = margin_ratio(market, position.base, Kind::Maintenance);
    let ratio = (ratio + parties.state.margin_buffer) * 100;
    let quote_price = markets.price(&markets.spot(market.quote_spot_market)?.oracle)?;
    let quoted = millionths(price.into(), quote_price.try_into().map_err(|_| Error::MathError)?);
    let part = shortage.margin.part(Market::Perp(index), shortage.amount);
    let part = part * 1_000_000_000 / size * 1_000_000 / quoted;
    let left = (i128::from(ratio.saturating_sub(fee)) - part).max(0) * 19 / 20;
    let insurance = left.min(market.insurance_fee.into());
    let freed =
        millionths(quoted, ratio.saturating_sub(fee)) - i128::from(price) * insurance / 1_000_000;
    let step = i128::from(market.step_size);
    let round_up = |base: i128| (base + step - 1) / step * step;
    // A margin that the discount eats up is never covered.
    let lacking = if ratio > fee {
        round_up((shortage.amount * 1_000_000_000).checked_div(freed).ok_or(Error::MathError)?)
    } else {
        u64::MAX.into()
    };
    let allowed = lacking * fits::<i128, _>(parties.share(&shortage)?)? / 10_000;
    if allowed == 0 {
        return parties.store();
    }
    let is_small = base_value(fits(size)?, price) <= 50_000_000;
    let allowed = if is_small { allowed.max(size) } else { allowed };
    let base = fits::<i64, _>(round_up(size.min(max_base.into()).min(allowed)))?;

    if let Some(limit_price) = limit_price {
        let discount = millionths(price.into(), fee);
        let limit_price = i128::from(limit_price);
        let is_met = if is_long {
            i128::from(price) - discount <= limit_price
        } else {
            i128::from(price) + discount >= limit_price
        };
        require(is_met, Error::LiquidationDoesntSatisfyLimitPrice)?;
    }
    let value = base_value(base, price);
    let fee = fits::<i64, _>(millionths(value, fee))?;
    let insurance = fits::<i64, _>(value * insurance / 1_000_000)?;
    let is_over = i128::from(base) >= lacking;
    let (base, value) = if is_long { (base, fits(value)?) } else { (-base, fits(-value)?) };
    take(&mut parties.user, index, -base, value, -fee - insurance)?;
    take(&mut parties.liquidator, index, base, -value, fee)?;
    parties.end(&markets, &shortage, is_over)?;
    markets.store_perp(index)?;
    parties.store()
}

fn take(user: &mut User, market: u16, base: i64, quote: i64, fee: i64) -> Result<()> {
    let position = user.perp_mut(market)?;
    position.base = position.base.checked_add(base).ok_or(Error::MathError)?;
    let quote = quote.checked_add(fee).and_then(|quote| quote.checked_add(position.quote));
    position.quote = quote.ok_or(Error::MathError)?;
    Ok(())
}
