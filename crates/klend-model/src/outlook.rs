//! What an obligation's owner may still do, and what the market has to do, until
//! it is liquidated.

use solana_address::Address;

use crate::{
    fraction::{Fraction, Overflow, mul_div, ten_pow},
    obligation::ObligationState,
    refusal::{At, Refusal},
    table::ReserveTable,
};

/// A price at which an obligation becomes liquidatable.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
pub enum LiquidationPrice {
    /// At this price of one whole token or beyond.
    At(Fraction),
    /// Whatever the price.
    Always,
    /// At no price.
    Never,
}

impl ObligationState<'_> {
    /// How much of a reserve's token (raw units) the owner could still borrow by
    /// value alone: limits, utilisation and liquidity of the reserve are its own
    /// questions.
    ///
    /// # Errors
    /// [`Refusal::MissingReserve`], [`Refusal::Abort`].
    pub fn borrowing_capacity(
        &self,
        table: &ReserveTable<'_>,
        reserve: &Address,
    ) -> Result<u64, Refusal> {
        let state = table
            .reserve(reserve)
            .ok_or(Refusal::MissingReserve { obligation: self.key, reserve: *reserve })?;
        let factor =
            if self.account.elevation_group == 0 { state.borrow_factor() } else { Fraction::ONE };
        let amount = || -> Result<u64, Overflow> {
            let value = self.health.borrowing_capacity().try_div(factor)?;
            let unit = ten_pow(state.account.liquidity.mint_decimals)?;
            let units = mul_div(value.to_bits(), u128::from(unit), state.market_price.to_bits())?;
            Ok(u64::try_from(units).unwrap_or(u64::MAX))
        };
        amount().at(reserve)
    }

    /// The price of one reserve's token, all others staying, at which the
    /// obligation becomes unhealthy: at or below it for collateral, at or above
    /// it for debt. A reserve on both sides counts with its larger side.
    ///
    /// Accurate to the rounding of klend's values, which at the exact price may
    /// still fall on either side.
    ///
    /// # Errors
    /// [`Refusal::MissingReserve`], [`Refusal::Abort`].
    pub fn liquidation_price(
        &self,
        table: &ReserveTable<'_>,
        reserve: &Address,
    ) -> Result<LiquidationPrice, Refusal> {
        let index = table
            .find(reserve)
            .ok_or(Refusal::MissingReserve { obligation: self.key, reserve: *reserve })?;
        let price = table.reserves()[index].market_price;
        let solve = || -> Result<LiquidationPrice, Overflow> {
            // Weighted value of this asset on both sides, and of all others.
            let backing = match self.deposit(index) {
                Some((_, deposit)) => {
                    deposit.market_value.try_mul(deposit.liquidation_threshold)?
                }
                None => Fraction::ZERO,
            };
            let debt = self.borrow(index).map_or(Fraction::ZERO, |(_, b)| b.adjusted_value);
            let other_backing = self.health.unhealthy_borrow_value.saturating_sub(backing);
            let other_debt = self.health.adjusted_debt_value.saturating_sub(debt);
            // Unhealthy where debt·x + other_debt ≥ backing·x + other_backing,
            // x being the price relative to today's.
            let (slope, gap, falls_below) = if backing > debt {
                (backing.try_sub(debt)?, other_debt.try_sub(other_backing), true)
            } else {
                (debt.try_sub(backing)?, other_backing.try_sub(other_debt), false)
            };
            let Ok(gap) = gap else {
                // The others alone decide.
                return Ok(if falls_below {
                    LiquidationPrice::Never
                } else {
                    LiquidationPrice::Always
                });
            };
            if slope == Fraction::ZERO {
                let unhealthy = gap == Fraction::ZERO && self.health.is_unhealthy();
                return Ok(if unhealthy {
                    LiquidationPrice::Always
                } else {
                    LiquidationPrice::Never
                });
            }
            Ok(LiquidationPrice::At(price.mul_ratio(gap.to_bits(), slope.to_bits())?))
        };
        solve().at(reserve)
    }
}
