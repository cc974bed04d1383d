//! `liquidate_spot(asset_market_index: u16, liability_market_index: u16,
//! liquidator_max_liability_transfer: u128, limit_price: Option<u64>)`.
//!
//! Accounts: see [`Liquidation::load`]; Velocity does without the user's statistics.

use solana_program::account_info::AccountInfo;

use super::{
    Args, Liquidation,
    liquidation::{Allowed, SMALL, side},
};
use crate::{
    Exchange as Played,
    error::{Error, Result, fits, require},
    exchange::Exchange,
    margin::Market,
    markets::Markets,
};

pub fn process(played: Played, accounts: &[AccountInfo], args: &mut Args) -> Result<()> {
    let (asset_index, liability_index) = (args.u16()?, args.u16()?);
    let (max_liability, limit_price) = (args.u128()?, args.option(Args::u64)?);
    let mut parties = match played {
        Played::Drift => Liquidation::load(accounts)?,
        Played::Velocity => Liquidation::load_without_user_stats(accounts)?,
    };
    let changed = [asset_index, liability_index];
    let mut markets = Markets::load(&mut parties.rest, &changed, &[])?;
    changed.into_iter().try_for_each(|index| markets.follow_spot(index))?;
    let asset = *parties.user.deposit(asset_index)?;
    let liability = *parties.user.borrow(liability_index)?;
    let mut exchange = Exchange {
        asset: side(&markets, &asset, &parties.liquidator, 0)?,
        liability: side(&markets, &liability, &parties.liquidator, parties.state.margin_buffer)?,
        insurance: 0,
    };
    let Some(shortage) = parties.begin(&markets, None)? else { return parties.store() };
    let part = shortage.margin.part(Market::Spot(liability_index), shortage.amount);
    let most = markets.spot(liability_index)?.insurance_fee;
    exchange.insurance = exchange.insurance(part.unsigned_abs(), most)?;
    let Some(allowed) = Allowed::of(&exchange, &parties, &shortage)? else {
        return parties.store();
    };

    let owed = exchange.liability;
    let is_small = owed.units * owed.price / 10u128.pow(owed.decimals) <= SMALL;
    let (taken, paid) = exchange.units(max_liability, allowed.now, is_small, limit_price)?;
    for index in changed {
        let market = markets.spot(index)?;
        let is_far = market.average.is_far_from(markets.price(&market.oracle)?);
        require(!is_far, Error::PriceBandsBreached)?;
    }
    let fee = fits::<i128, _>(taken * exchange.insurance / 1_000_000)?;
    let is_over = taken >= allowed.covering;
    let (taken, paid) = (fits::<i128, _>(taken)?, fits::<i128, _>(paid)?);
    let moved = [(liability_index, taken - fee, taken), (asset_index, -paid, -paid)];
    for (index, to_user, from_liquidator) in moved {
        let market = markets.spot_mut(index)?;
        market.add(parties.user.spot_mut(index)?, to_user)?;
        market.add(parties.liquidator.spot_mut(index)?, -from_liquidator)?;
    }
    parties.end(&markets, &shortage, is_over)?;
    markets.store_spot(&changed)?;
    parties.store()
}
