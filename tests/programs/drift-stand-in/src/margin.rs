//! What a user's positions are worth, and what they have to be backed by.

use crate::{
    QUOTE_SPOT_MARKET,
    error::{Error, Result, require},
    markets::Markets,
    state::{PerpMarket, PerpPosition, SpotMarket, User, WEIGHT_PRECISION},
};

/// Which weights count.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// To take risk on, and to withdraw.
    Initial = 0,
    /// Not to be liquidated.
    Maintenance = 1,
}

/// A market that a part of the requirement is of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Market {
    /// A token's.
    Spot(u16),
    /// A perp's.
    Perp(u16),
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
    /// The requirement of each market.
    parts: Vec<(Market, i128)>,
}

impl Margin {
    /// The margin of a user, isolated positions left out.
    ///
    /// # Errors
    /// 6087, 6078 and 6036 when a market of one of the positions, or its oracle,
    /// is not listed. 6302 when it is in another pool than the user.
    pub fn of(user: &User, markets: &Markets, kind: Kind) -> Result<Self> {
        let mut margin = Self::default();
        for position in user.spot_positions() {
            let market = markets.spot(position.market)?;
            require(market.pool_id == user.pool_id, Error::InvalidPoolId)?;
            let units = market.tokens(position.scaled_balance.into(), position.is_borrow)?;
            let value = value(market, units, markets.price(&market.oracle)?)?;
            let size = billionths(units.unsigned_abs(), market.decimals);
            // Dollars count the same however many there are.
            let imf_factor =
                if position.market == QUOTE_SPOT_MARKET { 0 } else { market.imf_factor };
            if position.is_borrow {
                let weight = market.liability_weight[kind as usize];
                let weight = dearer(weight, size, imf_factor);
                margin.require(Market::Spot(position.market), weigh(-value, weight));
                margin.liabilities.push(-value);
            } else {
                let weight = market.asset_weight[kind as usize];
                margin.collateral += weigh(value, cheaper(weight, size, imf_factor));
            }
        }
        let cross = user.perp_positions().filter(|position| !position.is_isolated());
        for position in cross {
            margin.add_perp(user, position, markets, kind)?;
        }
        Ok(margin)
    }

    /// The margin of an isolated position: its own collateral, and no other.
    pub fn isolated(
        user: &User,
        position: &PerpPosition,
        markets: &Markets,
        kind: Kind,
    ) -> Result<Self> {
        let mut margin = Self::default();
        margin.add_perp(user, position, markets, kind)?;
        let quote = markets.spot(markets.perp(position.market)?.quote_spot_market)?;
        let units = quote.tokens(position.isolated_balance.into(), false)?;
        margin.collateral += value(quote, units, markets.price(&quote.oracle)?)?;
        Ok(margin)
    }

    fn add_perp(
        &mut self,
        user: &User,
        position: &PerpPosition,
        markets: &Markets,
        kind: Kind,
    ) -> Result<()> {
        let market = markets.perp(position.market)?;
        require(market.pool_id == user.pool_id, Error::InvalidPoolId)?;
        let worth = base_value(position.base, markets.price(&market.oracle)?);
        let profit = i128::from(position.quote) + worth;
        self.collateral +=
            if profit > 0 { weigh(profit, market.pnl_weight[kind as usize]) } else { profit };
        let ratio = margin_ratio(market, position.base, kind);
        self.require(Market::Perp(position.market), weigh(worth.abs(), ratio));
        self.liabilities.extend([worth.abs(), -profit.min(0)]);
        Ok(())
    }

    fn require(&mut self, market: Market, requirement: i128) {
        self.requirement += requirement;
        self.parts.push((market, requirement));
    }

    /// The part of a shortage that is a market's, by its part of the requirement.
    pub fn part(&self, market: Market, shortage: i128) -> i128 {
        let part = self.parts.iter().find(|(of, _)| *of == market).map_or(0, |(_, part)| *part);
        (shortage * part).checked_div(self.requirement).unwrap_or(0)
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

/// Margin that a position of this size takes.
pub fn margin_ratio(market: &PerpMarket, base: i64, kind: Kind) -> u32 {
    dearer(market.margin_ratio[kind as usize], base.unsigned_abs().into(), market.imf_factor)
}

/// A liability's weight: it grows with the root of its size in billionths, from four
/// fifths of itself.
fn dearer(weight: u32, size: u128, imf_factor: u32) -> u32 {
    if imf_factor == 0 {
        return weight;
    }
    let premium = root(size) * u128::from(imf_factor) / 10_000_000;
    weight.max(weight - weight / 5 + premium as u32)
}

/// An asset's weight: it falls with the root of its size in billionths.
fn cheaper(weight: u32, size: u128, imf_factor: u32) -> u32 {
    if imf_factor == 0 {
        return weight;
    }
    let most = 11_000_000_000 / (1_000_000 + root(size) * u128::from(imf_factor) / 100_000);
    weight.min(most as u32)
}

/// Root of ten times the size, so that a token has a hundred thousand.
fn root(size: u128) -> u128 {
    (size * 10 + 1).isqrt()
}

/// Units of a token in billionths.
fn billionths(units: u128, decimals: u32) -> u128 {
    match decimals {
        0..=9 => units * 10u128.pow(9 - decimals),
        more => units / 10u128.pow(more - 9),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_short_position_is_worth_what_it_takes_to_close_it() {
        assert_eq!(base_value(-2_000_000_000, 150_000_000), -300_000_000);
        assert_eq!(millionths(300_000_000, 10_000), 3_000_000);
    }

    #[test]
    fn weights_worsen_with_size() {
        // A million tokens: the root of ten times as many billionths is 10^8.
        let size = 1_000_000_000_000_000;
        assert_eq!(root(size), 100_000_000);
        assert_eq!(dearer(10_000, size, 500), 13_000);
        assert_eq!(dearer(10_000, 1, 500), 10_000);
        assert_eq!(cheaper(9_000, size, 500), 7_333);
        assert_eq!(cheaper(9_000, 1, 500), 9_000);
        assert_eq!([dearer(7, size, 0), cheaper(7, size, 0)], [7, 7]);
    }
}
