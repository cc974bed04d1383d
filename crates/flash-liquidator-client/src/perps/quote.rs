//! How much a liquidation hands over, and at what price: Drift 2.161's arithmetic.

use super::{
    Exchange, PerpError, PerpRisk, State, View,
    arithmetic::{MILLION, Result, WEIGHT, ceil_div, ceil_to, fits, mul_div, scale},
    margin::{BASE, Health, Tracked, margin_ratio, tokens},
    market::VELOCITY_PACE,
    markets::same_exchange,
};

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

impl View<'_> {
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
    fn liquidator_fee(&self, terms: &PerpRisk, is_open: bool, slot: u64) -> Result<u128> {
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
