//! Whether a user can be liquidated: the margin arithmetic of Drift 2.161, from
//! accounts.
//!
//! The figures are the program's to the unit, given the same accounts, prices and
//! slot. What it does in between is not foreseen: orders of the user that are
//! cancelled first (a quote is refused where they would count), and the interest
//! that `liquidate_spot` and `liquidate_perp_pnl_for_deposit` accrue before they
//! look.

use solana_address::Address;

use super::{
    Markets, PerpError, PerpMarket, PerpPosition, PerpRisk, Prices, SpotMarket, SpotPosition, User,
    arithmetic::{MILLION, Result, WEIGHT, ceil_div, fits, mul_div, scale, weigh},
};

/// Sizes of perps are in billionths.
pub(super) const BASE: i128 = 1_000_000_000;
/// Cumulative funding is in billionths of a dollar.
const FUNDING: u128 = 1_000_000_000;
/// What every order on the book takes of the margin: a cent.
const OPEN_ORDER: u128 = 10_000;
/// Market in ordinary operation, on both exchanges.
const ACTIVE: u8 = 1;

/// What an account is worth for its maintenance margin, in millionths of a dollar.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Health {
    /// Deposits and profits, weighted; losses taken off.
    pub collateral: i128,
    /// What borrows and positions have to be backed by.
    pub requirement: i128,
    /// What losses and liabilities count for more once a liquidation has begun.
    pub buffer: i128,
    /// The part of [`Self::requirement`] of the market that was asked for.
    pub(super) tracked: i128,
}

impl Health {
    /// Whether a liquidation may begin.
    #[must_use]
    pub fn is_liquidatable(&self) -> bool {
        self.collateral < self.requirement
    }

    /// What is missing before a liquidation is over.
    #[must_use]
    pub fn shortage(&self) -> u128 {
        (self.requirement + self.buffer - self.collateral).max(0).unsigned_abs()
    }
}

/// The market whose part of the requirement is tracked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Tracked {
    Spot(u16),
    Perp(u16),
}

/// A user, the markets of its positions and what they are worth at one moment.
#[derive(Clone, Copy, Debug)]
pub struct View<'a> {
    /// The user.
    pub user: &'a User,
    /// Markets of its positions, and the quote market.
    pub markets: &'a Markets,
    /// Prices of their oracles.
    pub prices: &'a Prices,
}

impl View<'_> {
    /// Maintenance margin of the account, its isolated positions left out.
    /// `margin_buffer` is `State::margin_buffer`, or 0.
    ///
    /// # Errors
    /// [`PerpError::MarketMissing`]; [`PerpError::PriceMissing`];
    /// [`PerpError::NoQuote`] for what is not modelled; [`PerpError::Overflow`].
    pub fn health(&self, margin_buffer: u32) -> Result<Health> {
        self.cross(margin_buffer, None)
    }

    /// Maintenance margin of the isolated position in a market.
    ///
    /// # Errors
    /// As [`Self::health`]; [`PerpError::NoPosition`].
    pub fn isolated_health(&self, market: u16, margin_buffer: u32) -> Result<Health> {
        let position = self.user.perp(market)?;
        let Some(balance) = position.isolated_balance else {
            let what = "isolated position";
            return Err(PerpError::NoPosition { what, kind: "perp", index: market });
        };
        let mut health = self.perp(position, margin_buffer, true)?;
        let quote_market = self.markets.spot(self.markets.perp(market)?.quote_spot_market)?;
        let held = tokens(quote_market, balance.into(), false)?;
        health.collateral += self.value(quote_market, held)?;
        Ok(health)
    }

    pub(super) fn cross(&self, margin_buffer: u32, tracked: Option<Tracked>) -> Result<Health> {
        self.markets.cover(self.user)?;
        let mut health = Health::default();
        for position in &self.user.spot_positions {
            let part = self.spot(position, margin_buffer)?;
            health.add(part, tracked == Some(Tracked::Spot(position.market)));
        }
        for position in &self.user.perp_positions {
            if position.isolated_balance.is_none() {
                let part = self.perp(position, margin_buffer, false)?;
                health.add(part, tracked == Some(Tracked::Perp(position.market)));
            }
        }
        Ok(health)
    }

    fn spot(&self, position: &SpotPosition, margin_buffer: u32) -> Result<Health> {
        if position.open_orders != 0 {
            return Err(PerpError::NoQuote { what: "the user has orders on a spot market" });
        }
        let market = self.markets.spot(position.market)?;
        self.same_pool(market.address, market.pool_id)?;
        let units = tokens(market, position.scaled_balance.into(), position.is_borrow)?;
        let value = self.value(market, units)?;
        let risk = &market.risk;
        // Weights are of other tokens than the quote.
        let is_quote = market.index == super::QUOTE_SPOT_MARKET;
        let mut health = Health::default();
        if position.is_borrow {
            let size = in_billionths(units.unsigned_abs(), risk.decimals)?;
            let weight = if is_quote {
                WEIGHT
            } else {
                size_premium(size, risk.imf_factor, risk.liability_weight.into())?
            };
            // Rounded towards zero, as the program's division is.
            health.requirement = weigh(-value, weight)?;
            health.buffer = weigh(-value, margin_buffer.into())?;
        } else {
            let size = in_billionths(units.unsigned_abs(), risk.decimals)?;
            let weight = if is_quote {
                WEIGHT
            } else {
                size_discount(size, risk.imf_factor, risk.asset_weight.into())?
            };
            health.collateral = weigh(value, weight)?;
        }
        Ok(health)
    }

    fn perp(&self, position: &PerpPosition, margin_buffer: u32, isolated: bool) -> Result<Health> {
        let market = self.markets.perp(position.market)?;
        self.same_pool(market.address, market.pool_id)?;
        let risk = &market.risk;
        if risk.status != ACTIVE || risk.contract_type != 0 {
            return Err(PerpError::NoQuote { what: "a perp market is not in ordinary operation" });
        }
        let price = self.prices.get(market.oracle)?;
        let quote_market = self.markets.spot(market.quote_spot_market)?;
        let quote_price = self.prices.get(quote_market.oracle)?;

        // The larger side if the orders were filled.
        let sides = [position.open_asks, position.open_bids]
            .map(|orders| i128::from(position.base) + i128::from(orders));
        let liability = |base: i128| mul_div(base.unsigned_abs(), price.unsigned_abs(), BASE as _);
        let [asks, bids] = [liability(sides[0])?, liability(sides[1])?];
        let (base, value) = if asks >= bids { (sides[0], asks) } else { (sides[1], bids) };
        let value = mul_div(value, quote_price.unsigned_abs(), MILLION)?;
        let ratio = margin_ratio(risk, base.unsigned_abs(), self.user.high_leverage)?;
        let requirement =
            mul_div(value, ratio, WEIGHT)? + u128::from(position.open_orders) * OPEN_ORDER;

        let mut profit = i128::from(position.quote) + funding(position, market)?;
        if position.base != 0 {
            profit +=
                i128::from(position.base).checked_mul(price).ok_or(PerpError::Overflow)? / BASE;
        }
        if profit > 0 {
            profit = weigh(profit, risk.pnl_weight.into())?;
        }
        let profit = profit.checked_mul(quote_price).ok_or(PerpError::Overflow)? / MILLION as i128;

        let more = |number: i128| weigh(number, margin_buffer.into());
        let requirement: i128 = fits(requirement)?;
        let buffer = more(fits(value)?)? + if profit < 0 { more(-profit)? } else { 0 };
        let tracked = if isolated { requirement } else { 0 };
        Ok(Health { collateral: profit, requirement, buffer, tracked })
    }

    fn same_pool(&self, address: Address, pool_id: u8) -> Result<()> {
        let expected = self.user.pool_id;
        if pool_id == expected {
            return Ok(());
        }
        Err(PerpError::OtherPool { address, found: pool_id, expected })
    }

    /// Value of units of a token, rounded down.
    fn value(&self, market: &SpotMarket, units: i128) -> Result<i128> {
        let value =
            units.checked_mul(self.prices.get(market.oracle)?).ok_or(PerpError::Overflow)?;
        Ok(value.div_euclid(10i128.pow(market.risk.decimals)))
    }
}

impl Health {
    fn add(&mut self, part: Self, is_tracked: bool) {
        self.collateral += part.collateral;
        self.requirement += part.requirement;
        self.buffer += part.buffer;
        if is_tracked {
            self.tracked += part.requirement;
        }
    }
}

/// Units of a scaled balance, negative for a borrow: deposits are rounded down,
/// borrows up. Scaled balances have 9 decimals and interest 10.
pub(super) fn tokens(market: &SpotMarket, scaled_balance: u128, is_borrow: bool) -> Result<i128> {
    let risk = &market.risk;
    let precision = 10u128.pow(19 - risk.decimals);
    let grown = |interest| scaled_balance.checked_mul(interest).ok_or(PerpError::Overflow);
    if is_borrow {
        fits::<i128, _>(ceil_div(grown(risk.borrow_interest)?, precision)?).map(|units| -units)
    } else {
        fits(grown(risk.deposit_interest)? / precision)
    }
}

/// Funding that has accrued since it was last settled: negative when it is owed.
fn funding(position: &PerpPosition, market: &PerpMarket) -> Result<i128> {
    let is_long = position.base > 0;
    let risk = &market.risk;
    let rate = if is_long { risk.funding_rate_long } else { risk.funding_rate_short };
    let delta = rate.checked_sub(position.funding_rate.into()).ok_or(PerpError::Overflow)?;
    let size = u128::from(position.base.unsigned_abs());
    // In billionths of a dollar, cut off, and then in millionths, cut off again.
    let paid = mul_div(delta.unsigned_abs(), size, FUNDING)? / 1_000;
    let paid: i128 = fits(paid)?;
    Ok(if is_long == (delta > 0) { -paid } else { paid })
}

/// Margin that a position of this size takes before a liquidation, of 10^4.
pub(super) fn margin_ratio(risk: &PerpRisk, size: u128, is_high_leverage: bool) -> Result<u128> {
    let ratio =
        risk.high_leverage_margin_ratio.filter(|_| is_high_leverage).unwrap_or(risk.margin_ratio);
    size_premium(size, risk.imf_factor, ratio.into())
}

/// A liability's weight, which grows with the root of its size in billionths.
fn size_premium(size: u128, imf_factor: u32, weight: u128) -> Result<u128> {
    if imf_factor == 0 {
        return Ok(weight);
    }
    let premium = mul_div(size_root(size)?, imf_factor.into(), 10_000_000)?;
    Ok(weight.max(weight - weight / 5 + premium))
}

/// An asset's weight, which falls with the root of its size in billionths.
fn size_discount(size: u128, imf_factor: u32, weight: u128) -> Result<u128> {
    if imf_factor == 0 {
        return Ok(weight);
    }
    let discount = mul_div(size_root(size)?, imf_factor.into(), 100_000)?;
    Ok(weight.min(1_100_000 * WEIGHT / (MILLION + discount)))
}

fn size_root(size: u128) -> Result<u128> {
    let size = size.checked_mul(10).and_then(|size| size.checked_add(1));
    size.map(u128::isqrt).ok_or(PerpError::Overflow)
}

/// Units of a token with these decimals, in billionths.
fn in_billionths(units: u128, decimals: u32) -> Result<u128> {
    let units = units.checked_mul(scale(9, decimals)).ok_or(PerpError::Overflow)?;
    Ok(units / scale(decimals, 9))
}
