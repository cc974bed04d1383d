//! Whether a user can be liquidated, and how much a liquidation hands over: the
//! margin arithmetic of Drift 2.161, from accounts.
//!
//! The figures are the program's to the unit, given the same accounts, prices and
//! slot. What it does in between is not foreseen: orders of the user that are
//! cancelled first (a quote is refused where they would count), and the interest
//! that `liquidate_spot` and `liquidate_perp_pnl_for_deposit` accrue before they
//! look.

use std::collections::BTreeMap;

use solana_address::Address;

use super::{
    Exchange, Markets, PerpError, PerpMarket, PerpPosition, SpotMarket, SpotPosition, State, User,
    accounts::{VELOCITY_PACE, same_exchange},
    layout::{discriminator, oracle_source},
};
use crate::swap::field;

type Result<T> = core::result::Result<T, PerpError>;

/// Weights and margin ratios are in ten-thousandths.
const WEIGHT: u128 = 10_000;
/// Fees, prices and dollars are in millionths.
const MILLION: u128 = 1_000_000;
/// Sizes of perps are in billionths.
const BASE: i128 = 1_000_000_000;
/// Cumulative funding is in billionths of a dollar.
const FUNDING: u128 = 1_000_000_000;
/// What every order on the book takes of the margin: a cent.
const OPEN_ORDER: u128 = 10_000;
/// Market in ordinary operation, on both exchanges.
const ACTIVE: u8 = 1;

/// Prices in millionths of a dollar, by oracle.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Prices(BTreeMap<Address, i64>);

impl Prices {
    /// These prices.
    #[must_use]
    pub fn new(prices: impl IntoIterator<Item = (Address, i64)>) -> Self {
        Self(prices.into_iter().collect())
    }

    /// Reads an oracle of one of the kinds that the exchanges own themselves (Pyth
    /// Lazer, markets before their launch). `kind` is the market's `oracle_source`.
    ///
    /// # Errors
    /// [`PerpError::OracleKind`] for any other kind: [`Self::set`] its price;
    /// [`PerpError::NotA`]; [`PerpError::Overflow`].
    pub fn read(&mut self, oracle: &Address, kind: u8, owner: &Address, data: &[u8]) -> Result<()> {
        let refused = PerpError::NotA { what: "oracle", address: *oracle };
        let price = |at| i64::from_le_bytes(field(data, at));
        let is = |discriminator: &[u8; 8], len| {
            Exchange::of(owner).is_some() && data.starts_with(discriminator) && data.len() == len
        };
        let price = match kind {
            oracle_source::PRELAUNCH if is(&discriminator::PRELAUNCH_ORACLE, 120) => price(8),
            oracle_source::PYTH_LAZER..=oracle_source::PYTH_LAZER_STABLE_COIN
                if is(&discriminator::PYTH_LAZER_ORACLE, 48) =>
            {
                let exponent = i32::from_le_bytes(field(data, 32));
                let confidence = u64::from_le_bytes(field(data, 40));
                lazer_price(kind, price(8), exponent, confidence)?
            }
            oracle_source::PRELAUNCH
            | oracle_source::PYTH_LAZER..=oracle_source::PYTH_LAZER_STABLE_COIN => {
                return Err(refused);
            }
            kind => return Err(PerpError::OracleKind { oracle: *oracle, kind }),
        };
        self.set(*oracle, price);
        Ok(())
    }

    /// Sets a price, in millionths of a dollar.
    pub fn set(&mut self, oracle: Address, price: i64) {
        self.0.insert(oracle, price);
    }

    /// One dollar where there is no oracle.
    fn get(&self, oracle: Option<Address>) -> Result<i128> {
        let Some(oracle) = oracle else { return Ok(MILLION as i128) };
        let price = self.0.get(&oracle).ok_or(PerpError::PriceMissing { oracle })?;
        fits(u64::try_from(*price).map_err(|_| PerpError::Overflow)?)
    }
}

/// A price that is posted as a whole number and an exponent.
fn lazer_price(kind: u8, price: i64, exponent: i32, confidence: u64) -> Result<i64> {
    let multiple = match kind {
        oracle_source::PYTH_LAZER_1K => 1_000,
        oracle_source::PYTH_LAZER_1M => MILLION,
        _ => 1,
    };
    let precision =
        10u128.checked_pow(exponent.unsigned_abs()).ok_or(PerpError::Overflow)? / multiple;
    let scaled = |number: i128| {
        if precision > MILLION {
            Some(number / (precision / MILLION) as i128)
        } else {
            number.checked_mul(MILLION.checked_div(precision)? as i128)
        }
    };
    let price: i64 = fits(scaled(price.into()).ok_or(PerpError::Overflow)?)?;
    let confidence: i64 = fits(scaled(confidence.into()).ok_or(PerpError::Overflow)?)?;
    let is_stable = kind == oracle_source::PYTH_LAZER_STABLE_COIN
        && (i128::from(price) - MILLION as i128).abs() <= i128::from(confidence.min(500));
    Ok(if is_stable { MILLION as i64 } else { price })
}

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
    tracked: i128,
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
enum Tracked {
    Spot(u16),
    Perp(u16),
}

/// What `liquidate_perp` hands over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PerpQuote {
    /// Size that changes hands, in billionths; 0 when the program answers Ok and
    /// hands over nothing.
    pub base: u64,
    /// Whether the user is long.
    pub is_long: bool,
    /// Oracle's price.
    pub oracle_price: u64,
    /// Price at which it is handed over: the least `limit_price` for a long
    /// position, the highest for a short one.
    pub price: u64,
    /// What the liquidator earns at the oracle's price, in millionths of a dollar.
    pub discount: u64,
    /// What the insurance fund takes from the user.
    pub insurance_fee: u64,
}

/// What `liquidate_spot` or `liquidate_perp_pnl_for_deposit` hands over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ExchangeQuote {
    /// Units of the borrow, or millionths of a dollar of the loss; 0 when the
    /// program answers Ok and hands over nothing.
    pub liability: u128,
    /// Units of the deposit that is handed over with it.
    pub asset: u128,
    /// Asset for one of the liability, in millionths of the asset's unit, cut off:
    /// the highest `limit_price` that passes.
    pub price: u128,
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
    /// `margin_buffer` is [`State::margin_buffer`], or 0.
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

    /// What `liquidate_perp` hands over in this slot, at most `max_base`. `None`
    /// when the user cannot be liquidated.
    ///
    /// # Errors
    /// As [`Self::health`]; [`PerpError::NoPosition`].
    pub fn quote_perp(
        &self,
        state: &State,
        market: u16,
        max_base: u64,
        slot: u64,
    ) -> Result<Option<PerpQuote>> {
        let position = self.user.perp(market)?;
        let terms = &self.markets.perp(market)?.risk;
        if position.base == 0 {
            return Err(PerpError::NoPosition { what: "size", kind: "perp", index: market });
        }
        let (health, is_open, isolated) = self.begin(state, market, Tracked::Perp(market))?;
        let Some(shortage) = shortage(&health, is_open) else { return Ok(None) };
        let price = self.prices.get(self.markets.perp(market)?.oracle)?;
        let quote_market = self.markets.perp(market)?.quote_spot_market;
        let quote_price = self.prices.get(self.markets.spot(quote_market)?.oracle)?.unsigned_abs();
        let price = price.unsigned_abs();
        let size = position.base.unsigned_abs();
        let is_high = self.user.high_leverage;
        let ratio = margin_ratio(terms, size.into(), is_high)? + u128::from(state.margin_buffer);
        let fee = self.liquidator_fee(terms, is_open, slot)?;
        let ratio = ratio * (MILLION / WEIGHT);

        // The insurance fund takes what the margin ratio leaves, up to its own fee.
        let tracked = match u128::try_from(health.requirement) {
            Ok(0) => 0,
            Ok(requirement) => mul_div(shortage, health.tracked.unsigned_abs(), requirement)?,
            Err(_) => return Err(PerpError::Overflow),
        };
        let quoted = mul_div(price, quote_price, MILLION)?;
        let insurance = if quoted == 0 || ratio <= fee {
            0
        } else {
            let implied = mul_div(tracked, BASE as u128, size.into())?;
            let implied = mul_div(implied, MILLION, quoted)?.min(u32::MAX.into());
            let left = (ratio - fee).saturating_sub(implied) * 19 / 20;
            left.min(terms.insurance_fee.into())
        };

        // What covers the shortage, and the part of it that may be freed by now.
        let step = u128::from(terms.step_size);
        let covering = if price == 0 || ratio <= fee {
            u64::MAX.into()
        } else {
            let worth = mul_div(quoted, ratio - fee, MILLION)?;
            let freed = worth.checked_sub(mul_div(price, insurance, MILLION)?);
            let freed = freed.ok_or(PerpError::Overflow)?;
            ceil_to(mul_div(shortage, BASE as u128, freed)?, step)?
        };
        let share = if isolated { WEIGHT } else { self.share(state, shortage, is_open, slot)? };
        let allowed = covering.saturating_mul(share) / WEIGHT;
        let side = |base: u128| {
            let value = mul_div(base, price, BASE as u128)?;
            let discount = mul_div(price, fee, MILLION)?;
            let is_long = position.base > 0;
            let at = if is_long { price.saturating_sub(discount) } else { price + discount };
            Ok(PerpQuote {
                base: fits(base)?,
                is_long,
                oracle_price: fits(price)?,
                price: fits(at)?,
                discount: fits(mul_div(value, fee, MILLION)?)?,
                insurance_fee: fits(mul_div(value, insurance, MILLION)?)?,
            })
        };
        if allowed == 0 {
            return side(0).map(Some);
        }
        // Fifty dollars or less go whole.
        let is_small = mul_div(size.into(), price, BASE as u128)? <= 50 * MILLION;
        let least = if is_small { size.into() } else { 0 };
        let asked = u128::from(max_base).checked_rem(step).ok_or(PerpError::Overflow)?;
        let asked = u128::from(max_base) - asked;
        let base = u128::from(size).min(asked).min(allowed.max(least));
        side(ceil_to(base, step)?).map(Some)
    }

    /// What `liquidate_spot` hands over in this slot, at most `max_liability`.
    /// `None` when the user cannot be liquidated.
    ///
    /// # Errors
    /// As [`Self::health`]; [`PerpError::NoPosition`].
    pub fn quote_spot(
        &self,
        state: &State,
        asset: u16,
        liability: u16,
        max_liability: u128,
        slot: u64,
    ) -> Result<Option<ExchangeQuote>> {
        let owed = self.user.spot(liability, true)?;
        let liability_market = self.markets.spot(liability)?;
        let owed = tokens(liability_market, owed.scaled_balance.into(), true)?.unsigned_abs();
        same_exchange("the state", state.exchange, self.markets.exchange())?;
        let health = self.cross(state.margin_buffer, Some(Tracked::Spot(liability)))?;
        let is_open = self.user.is_being_liquidated;
        let Some(shortage) = shortage(&health, is_open) else { return Ok(None) };
        let terms = &liability_market.risk;
        let side = Side {
            price: self.prices.get(liability_market.oracle)?.unsigned_abs(),
            decimals: terms.decimals,
            multiplier: MILLION.saturating_sub(terms.liquidator_fee.into()),
        };
        let weight = u128::from(terms.liability_weight) + u128::from(state.margin_buffer);
        let asset = self.asset(asset)?;

        let tracked = mul_div(
            shortage,
            health.tracked.unsigned_abs(),
            health.requirement.unsigned_abs().max(1),
        )?;
        let insurance = if asset.weight >= weight || side.price == 0 || owed == 0 {
            0
        } else {
            let scale = MILLION / WEIGHT;
            let weighted = mul_div(asset.weight * scale, asset.side.multiplier, side.multiplier)?;
            let implied = mul_div(tracked, MILLION * 10u128.pow(side.decimals), owed)? / side.price;
            let left = (weight * scale).saturating_sub(weighted).saturating_sub(implied);
            mul_div(left, MILLION, weight * scale)?.min(terms.insurance_fee.into())
        };
        let covering = covering(shortage, &asset, weight, &side, insurance)?;
        let share = self.share(state, shortage, is_open, slot)?;
        self.exchange(owed.min(max_liability), owed, covering, share, &asset, &side).map(Some)
    }

    /// What `liquidate_perp_pnl_for_deposit` hands over in this slot, at most
    /// `max_pnl`. `None` when the user cannot be liquidated.
    ///
    /// # Errors
    /// As [`Self::health`]; [`PerpError::NoPosition`].
    pub fn quote_pnl_for_deposit(
        &self,
        state: &State,
        perp: u16,
        asset: u16,
        max_pnl: u128,
        slot: u64,
    ) -> Result<Option<ExchangeQuote>> {
        let position = self.user.perp(perp)?;
        if position.base != 0 || position.quote >= 0 {
            return Err(PerpError::NoPosition { what: "loss", kind: "perp", index: perp });
        }
        let lost = u128::from(position.quote.unsigned_abs());
        let (health, is_open, isolated) = self.begin(state, perp, Tracked::Perp(perp))?;
        if isolated {
            return Err(PerpError::NoQuote { what: "the loss of an isolated position" });
        }
        let Some(shortage) = shortage(&health, is_open) else { return Ok(None) };
        let perp_market = self.markets.perp(perp)?;
        let quote_market = self.markets.spot(perp_market.quote_spot_market)?;
        let side = Side {
            price: self.prices.get(quote_market.oracle)?.unsigned_abs(),
            decimals: 6,
            multiplier: MILLION.saturating_sub(perp_market.risk.liquidator_fee.into()),
        };
        let weight = WEIGHT + u128::from(state.margin_buffer);
        let asset = self.asset(asset)?;
        let covering = covering(shortage, &asset, weight, &side, 0)?;
        let share = self.share(state, shortage, is_open, slot)?;
        self.exchange(lost.min(max_pnl), lost, covering, share, &asset, &side).map(Some)
    }

    /// Health before a liquidation in a perp market, whether one has begun already,
    /// and whether it is of an isolated position.
    fn begin(&self, state: &State, market: u16, tracked: Tracked) -> Result<(Health, bool, bool)> {
        if self.markets.exchange() == Exchange::Velocity {
            return Err(PerpError::NoQuote { what: VELOCITY_PACE });
        }
        same_exchange("the state", state.exchange, self.markets.exchange())?;
        let position = self.user.perp(market)?;
        if position.isolated_balance.is_some() {
            let health = self.isolated_health(market, state.margin_buffer)?;
            return Ok((health, position.is_being_liquidated, true));
        }
        let health = self.cross(state.margin_buffer, Some(tracked))?;
        Ok((health, self.user.is_being_liquidated, false))
    }

    fn cross(&self, margin_buffer: u32, tracked: Option<Tracked>) -> Result<Health> {
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

    fn asset(&self, index: u16) -> Result<Asset> {
        let position = self.user.spot(index, false)?;
        let market = self.markets.spot(index)?;
        Ok(Asset {
            units: tokens(market, position.scaled_balance.into(), false)?.unsigned_abs(),
            weight: market.risk.asset_weight.into(),
            side: Side {
                price: self.prices.get(market.oracle)?.unsigned_abs(),
                decimals: market.risk.decimals,
                multiplier: MILLION + u128::from(market.risk.liquidator_fee),
            },
        })
    }

    /// Liquidator's discount: it grows while a liquidation that has begun is left
    /// alone.
    fn liquidator_fee(&self, terms: &super::PerpRisk, is_open: bool, slot: u64) -> Result<u128> {
        const GRACE_SLOTS: u64 = 1_500;
        let base = match terms.high_leverage_margin_ratio.filter(|_| self.user.high_leverage) {
            Some(ratio) => {
                let ratio = ratio.saturating_mul(100);
                terms.liquidator_fee.min(ratio - ratio / 5)
            }
            None => terms.liquidator_fee,
        };
        let waited = if is_open { slot.saturating_sub(self.user.last_active_slot) } else { 0 };
        if waited < GRACE_SLOTS {
            return Ok(base.into());
        }
        let most = terms.liquidator_fee.checked_mul(3).ok_or(PerpError::Overflow)?;
        let most = most.min(terms.margin_ratio.saturating_mul(100));
        let grown = u128::from(base) + u128::from(waited);
        Ok(grown.min(most.into()))
    }

    /// Share of what is missing that may be freed by now, of 10^4.
    fn share(&self, state: &State, shortage: u128, is_open: bool, slot: u64) -> Result<u128> {
        if shortage < 50 * MILLION {
            return Ok(WEIGHT);
        }
        let (freed, since) = if is_open {
            (self.user.liquidation_margin_freed.into(), self.user.last_active_slot)
        } else {
            (0, slot)
        };
        let elapsed = u128::from(slot.saturating_sub(since));
        let by_time = (elapsed * WEIGHT).checked_div(state.duration_slots.into()).unwrap_or(WEIGHT);
        let share = (by_time + u128::from(state.initial_share)).min(WEIGHT);
        let most = mul_div(shortage + freed, share, WEIGHT)?;
        mul_div(most.saturating_sub(freed), WEIGHT, shortage)
    }

    /// How much of a liability changes hands, and the asset for it.
    fn exchange(
        &self,
        asked: u128,
        liability: u128,
        covering: u128,
        share: u128,
        asset: &Asset,
        side: &Side,
    ) -> Result<ExchangeQuote> {
        let allowed = covering.saturating_mul(share) / WEIGHT;
        if allowed == 0 {
            return Ok(ExchangeQuote { liability: 0, asset: 0, price: 0 });
        }
        // What all of the asset pays for.
        let worth = asset.units.checked_mul(asset.side.price);
        let numerator = worth
            .and_then(|worth| worth.checked_mul(side.multiplier))
            .and_then(|worth| worth.checked_mul(scale(side.decimals, asset.side.decimals)))
            .ok_or(PerpError::Overflow)?;
        let denominator =
            side.price.checked_mul(asset.side.multiplier).ok_or(PerpError::Overflow)?;
        let implied = ceil_div(numerator, denominator)?;
        let implied = ceil_div(implied, scale(asset.side.decimals, side.decimals))?;
        // Ten dollars or less go whole.
        let is_small = mul_div(liability, side.price, 10u128.pow(side.decimals))? <= 10 * MILLION;
        let least = if is_small { liability } else { 0 };
        let taken = asked.min(allowed.max(least)).min(implied);
        let numerator = taken
            .checked_mul(scale(asset.side.decimals, side.decimals))
            .and_then(|units| units.checked_mul(side.price))
            .and_then(|units| units.checked_mul(asset.side.multiplier))
            .ok_or(PerpError::Overflow)?;
        let denominator =
            asset.side.price.checked_mul(side.multiplier).ok_or(PerpError::Overflow)?;
        let units = numerator.checked_div(denominator).ok_or(PerpError::Overflow)?;
        let mut units = (units / scale(side.decimals, asset.side.decimals)).max(1);
        // Less than a dollar is not left behind.
        let left = units.abs_diff(asset.units);
        let left = left.checked_mul(asset.side.price).ok_or(PerpError::Overflow)? / MILLION;
        let left = left.checked_mul(scale(asset.side.decimals, 6)).ok_or(PerpError::Overflow)?;
        if left / scale(6, asset.side.decimals) < MILLION {
            units = asset.units;
        }
        let price = mul_div(units * 10u128.pow(side.decimals), MILLION, taken.max(1))?;
        let price = price / 10u128.pow(asset.side.decimals);
        Ok(ExchangeQuote { liability: taken, asset: units, price })
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

/// Price, decimals and the discount of one side of an exchange, of 10^6.
struct Side {
    price: u128,
    decimals: u32,
    multiplier: u128,
}

struct Asset {
    units: u128,
    weight: u128,
    side: Side,
}

/// What is missing, unless there is nothing to do. A liquidation begins below the
/// requirement and ends above it by the buffer.
fn shortage(health: &Health, is_open: bool) -> Option<u128> {
    let shortage = health.shortage();
    let begins = if is_open { shortage > 0 } else { health.is_liquidatable() };
    begins.then_some(shortage)
}

/// Units of a liability that cover a shortage, when an asset pays for them.
fn covering(
    shortage: u128,
    asset: &Asset,
    weight: u128,
    side: &Side,
    insurance: u128,
) -> Result<u128> {
    let weighted = mul_div(asset.weight * 10, asset.side.multiplier, side.multiplier)?;
    if asset.weight >= weight || weighted >= weight * 10 {
        return Ok(u128::MAX);
    }
    let numerator = shortage
        .checked_mul(scale(side.decimals, 6))
        .and_then(|shortage| shortage.checked_mul(MILLION * WEIGHT * 10))
        .ok_or(PerpError::Overflow)?;
    let fee = mul_div(side.price, insurance, MILLION)? * weight * 10;
    let denominator = (side.price * (weight * 10 - weighted)).checked_sub(fee);
    let units = denominator.and_then(|denominator| numerator.checked_div(denominator));
    Ok((units.ok_or(PerpError::Overflow)? / scale(6, side.decimals)).max(1))
}

/// Units of a scaled balance, negative for a borrow: deposits are rounded down,
/// borrows up. Scaled balances have 9 decimals and interest 10.
fn tokens(market: &SpotMarket, scaled_balance: u128, is_borrow: bool) -> Result<i128> {
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
fn margin_ratio(risk: &super::PerpRisk, size: u128, is_high_leverage: bool) -> Result<u128> {
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

/// Ten to the decimals that `more` has above `fewer`, or one.
fn scale(more: u32, fewer: u32) -> u128 {
    10u128.pow(more.saturating_sub(fewer))
}

/// A share in ten-thousandths, rounded towards zero.
fn weigh(value: i128, weight: u128) -> Result<i128> {
    let weighted = value.checked_mul(fits(weight)?).ok_or(PerpError::Overflow)?;
    Ok(weighted / WEIGHT as i128)
}

fn mul_div(value: u128, numerator: u128, denominator: u128) -> Result<u128> {
    let product = value.checked_mul(numerator).ok_or(PerpError::Overflow)?;
    product.checked_div(denominator).ok_or(PerpError::Overflow)
}

fn ceil_div(value: u128, denominator: u128) -> Result<u128> {
    if denominator == 0 {
        return Err(PerpError::Overflow);
    }
    Ok(value.div_ceil(denominator))
}

/// The next multiple of a step.
fn ceil_to(value: u128, step: u128) -> Result<u128> {
    if step == 0 {
        return Err(PerpError::Overflow);
    }
    value.checked_next_multiple_of(step).ok_or(PerpError::Overflow)
}

fn fits<T, N: TryInto<T>>(number: N) -> Result<T> {
    number.try_into().map_err(|_| PerpError::Overflow)
}
