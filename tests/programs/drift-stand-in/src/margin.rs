//! What a user's positions are worth, and what they have to be backed by.

use crate::{
    error::{Error, Result, fits},
    markets::Markets,
    state::{SpotMarket, User, WEIGHT_PRECISION},
};

/// Which weights count.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// To take risk on, and to withdraw.
    Initial = 0,
    /// Not to be liquidated.
    Maintenance = 1,
}

/// Millionths of a dollar.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Margin {
    /// Deposits and profits, weighted; losses taken off.
    pub collateral: i128,
    /// What borrows and positions have to be backed by.
    pub requirement: i128,
    /// Losses and liabilities that count for more once a liquidation has begun.
    pub liabilities: Vec<i128>,
}

impl Margin {
    /// The margin of a user.
    ///
    /// # Errors
    /// 6087, 6078 and 6036 when a market of one of the positions, or its oracle,
    /// is not listed.
    pub fn of(user: &User, markets: &Markets, kind: Kind) -> Result<Self> {
        let mut margin = Self::default();
        for position in user.spot_positions() {
            let market = markets.spot(position.market)?;
            let units = market.tokens(position.scaled_balance.into(), position.is_borrow)?;
            let value = value(market, units, markets.price(&market.oracle)?)?;
            if position.is_borrow {
                margin.requirement += weigh(-value, market.liability_weight[kind as usize]);
                margin.liabilities.push(-value);
            } else {
                margin.collateral += weigh(value, market.asset_weight[kind as usize]);
            }
        }
        for position in user.perp_positions() {
            let market = markets.perp(position.market)?;
            let worth = base_value(position.base, markets.price(&market.oracle)?);
            let profit = i128::from(position.quote) + worth;
            margin.collateral +=
                if profit > 0 { weigh(profit, market.pnl_weight[kind as usize]) } else { profit };
            margin.requirement += weigh(worth.abs(), market.margin_ratio[kind as usize]);
            margin.liabilities.extend([worth.abs(), -profit.min(0)]);
        }
        Ok(margin)
    }

    /// Whether it is enough.
    pub fn is_met(&self) -> bool {
        self.collateral >= self.requirement
    }

    /// What is missing before a liquidation is over, with the exchange's buffer.
    pub fn shortage(&self, buffer: u32) -> i128 {
        let more: i128 = self.liabilities.iter().map(|value| weigh(*value, buffer)).sum();
        (self.requirement + more - self.collateral).max(0)
    }

    /// Units of a deposit that may be withdrawn without falling short, at most
    /// `held`.
    pub fn withdrawable(&self, market: &SpotMarket, price: i64, held: i128) -> Result<i128> {
        if self.requirement == 0 {
            return Ok(held);
        }
        let weight = i128::from(market.asset_weight[Kind::Initial as usize]);
        let free = (self.collateral - self.requirement - 1).max(0);
        let dollars = free
            .checked_mul(WEIGHT_PRECISION as i128)
            .and_then(|free| free.checked_div(weight))
            .ok_or(Error::MathError)?;
        Ok((dollars * 10i128.pow(market.decimals) / i128::from(price)).min(held))
    }
}

fn weigh(value: i128, weight: u32) -> i128 {
    value * i128::from(weight) / WEIGHT_PRECISION as i128
}

/// Value of units of a token, rounded down.
fn value(market: &SpotMarket, units: i128, price: i64) -> Result<i128> {
    let value = units.checked_mul(price.into()).ok_or(Error::MathError)?;
    Ok(value.div_euclid(10i128.pow(market.decimals)))
}

/// Value of a perp of this size.
pub fn base_value(base: i64, price: i64) -> i128 {
    i128::from(base) * i128::from(price) / 1_000_000_000
}

/// A share in millionths.
pub fn millionths(value: i128, share: u32) -> i128 {
    value * i128::from(share) / 1_000_000
}

/// What a liability is exchanged for when it is liquidated.
#[derive(Clone, Copy, Debug)]
pub struct Side {
    /// Price of a unit's token.
    pub price: i64,
    /// Decimals of the token.
    pub decimals: u32,
    /// Liquidator's discount, in millionths.
    pub fee: u32,
}

/// Units of the asset for units of a liability: as much as they are worth, and
/// both discounts on top.
pub fn asset_for(liability_units: u128, asset: Side, liability: Side) -> Result<u128> {
    let scale = |side: Side| 10u128.pow(side.decimals);
    let numerator = liability_units
        .checked_mul(fits(liability.price)?)
        .and_then(|value| value.checked_mul(scale(asset)))
        .and_then(|value| value.checked_mul((1_000_000 + asset.fee).into()))
        .ok_or(Error::MathError)?;
    let denominator = fits::<u128, _>(asset.price)?
        .checked_mul(scale(liability))
        .and_then(|value| value.checked_mul(1_000_000u32.saturating_sub(liability.fee).into()))
        .ok_or(Error::MathError)?;
    numerator.checked_div(denominator).ok_or_else(|| Error::MathError.into())
}

/// The most of a liability that an asset pays for: the inverse of [`asset_for`],
/// rounded down.
pub fn liability_for(asset_units: u128, asset: Side, liability: Side) -> Result<u128> {
    let scale = |side: Side| 10u128.pow(side.decimals);
    let numerator = asset_units
        .checked_mul(fits(asset.price)?)
        .and_then(|value| value.checked_mul(scale(liability)))
        .and_then(|value| value.checked_mul(1_000_000u32.saturating_sub(liability.fee).into()))
        .ok_or(Error::MathError)?;
    let denominator = fits::<u128, _>(liability.price)?
        .checked_mul(scale(asset))
        .and_then(|value| value.checked_mul((1_000_000 + asset.fee).into()))
        .ok_or(Error::MathError)?;
    numerator.checked_div(denominator).ok_or_else(|| Error::MathError.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    const SOL: Side = Side { price: 150_000_000, decimals: 9, fee: 50_000 };
    const USDC: Side = Side { price: 1_000_000, decimals: 6, fee: 0 };

    #[test]
    fn a_liability_is_exchanged_for_more_than_its_worth() {
        // 1,500 USDC are 10 SOL; 5 % on top.
        assert_eq!(asset_for(1_500_000_000, SOL, USDC), Ok(10_500_000_000));
        assert_eq!(liability_for(10_500_000_000, SOL, USDC), Ok(1_500_000_000));
    }

    #[test]
    fn a_short_position_is_worth_what_it_takes_to_close_it() {
        assert_eq!(base_value(-2_000_000_000, 150_000_000), -300_000_000);
        assert_eq!(millionths(300_000_000, 10_000), 3_000_000);
    }
}
