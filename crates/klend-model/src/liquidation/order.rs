//! Owners' orders: what they wait for, what they ask for, when they apply.
//!
//! Before klend 1.26 an order that applies is the last reason to liquidate.
//! Since 1.26 orders are executed by an instruction of their own and never make
//! an obligation liquidatable; their kinds have other numbers there, so that an
//! order for all debt would read as one to borrow more.

use klend_interface::state::ObligationOrder;

use super::case::Case;
use crate::{
    fraction::{Fraction, Overflow},
    refusal::{At, Refusal, Unknowable},
    version::KlendVersion,
};

/// An order as its owner placed it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
pub struct Order {
    /// What it waits for.
    pub condition: Condition,
    /// The condition's number; meaningless for [`Condition::Always`].
    pub threshold: Fraction,
    /// What it asks for.
    pub kind: Kind,
    /// Bonus at the threshold, basis points.
    pub min_bonus_bps: u16,
    /// Bonus at the end of the way, basis points.
    pub max_bonus_bps: u16,
}

/// `condition_type` of an order.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
pub enum Condition {
    /// The LTV is above the threshold.
    LtvAbove,
    /// The LTV is below the threshold.
    LtvBelow,
    /// The debt's price in units of the collateral is above the threshold.
    PriceRatioAbove,
    /// The same is below the threshold.
    PriceRatioBelow,
    /// Nothing.
    Always,
    /// The LTV is closer to liquidation than the threshold.
    CloserToLiquidationThan,
}

/// `opportunity_type` of an order, with its parameter.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
pub enum Kind {
    /// Repay up to this much debt, raw units.
    RepayAmount(Fraction),
    /// Repay all debt (klend before 1.26).
    RepayAll,
    /// Borrow up to this much more debt, raw units (klend since 1.26).
    LeverUpAmount(Fraction),
    /// Repay until the LTV is this (klend since 1.26).
    RepayToLtv(Fraction),
    /// Borrow until the LTV is this (klend since 1.26).
    LeverUpToLtv(Fraction),
}

/// What a slot for an order holds; `None` for an empty one.
///
/// # Errors
/// The condition or kind that is not known.
pub fn read(version: KlendVersion, order: &ObligationOrder) -> Result<Option<Order>, Unknowable> {
    let Some(condition) = Condition::of(order)? else { return Ok(None) };
    Ok(Some(Order {
        condition,
        threshold: order.condition_threshold_sf.into(),
        kind: Kind::of(version, order)?,
        min_bonus_bps: order.min_execution_bonus_bps,
        max_bonus_bps: order.max_execution_bonus_bps,
    }))
}

/// Whether an order is a reason to liquidate.
#[must_use]
pub const fn liquidate(version: KlendVersion) -> bool {
    version.orders_liquidate()
}

impl Condition {
    /// `None` for an empty order.
    fn of(order: &ObligationOrder) -> Result<Option<Self>, Unknowable> {
        Ok(Some(match order.condition_type {
            0 => return Ok(None),
            1 => Self::LtvAbove,
            2 => Self::LtvBelow,
            3 => Self::PriceRatioAbove,
            4 => Self::PriceRatioBelow,
            5 => Self::Always,
            6 => Self::CloserToLiquidationThan,
            unknown => return Err(Unknowable::OrderCondition(unknown)),
        }))
    }

    fn is_price_triggered(self) -> bool {
        self != Self::Always
    }
}

impl Kind {
    fn of(version: KlendVersion, order: &ObligationOrder) -> Result<Self, Unknowable> {
        let parameter = order.opportunity_parameter_sf.into();
        Ok(match (order.opportunity_type, version.orders_liquidate()) {
            (0, _) => Self::RepayAmount(parameter),
            (1, true) => Self::RepayAll,
            (1, false) => Self::LeverUpAmount(parameter),
            (2, false) => Self::RepayToLtv(parameter),
            (3, false) => Self::LeverUpToLtv(parameter),
            (unknown, _) => return Err(Unknowable::OrderKind(unknown)),
        })
    }
}

/// The first of the owner's orders that applies, with its bonus.
pub(super) fn applicable(
    case: &Case<'_>,
    ltv: Fraction,
    no_bf_ltv: Fraction,
    limit: Fraction,
) -> Result<Option<(u8, Fraction)>, Refusal> {
    let market = case.table.market();
    if market.obligation_order_execution_enabled == 0 || !liquidate(case.table.version()) {
        return Ok(None);
    }
    let key = &case.obligation.key;
    let price_triggered_allowed = market.price_triggered_liquidation_disabled == 0;
    for (index, order) in (0u8..).zip(&case.obligation.account.obligation_orders) {
        let Some(condition) = Condition::of(order).at(key)? else { continue };
        if condition.is_price_triggered() && !price_triggered_allowed {
            continue;
        }
        let bonus = || -> Result<Option<Fraction>, Overflow> {
            let Some(distance) = distance(case, condition, order, ltv, limit)? else {
                return Ok(None);
            };
            let least = Fraction::from_bps(u64::from(order.min_execution_bonus_bps));
            let most = Fraction::from_bps(u64::from(order.max_execution_bonus_bps));
            let bonus = distance.try_mul(most.try_sub(least)?)?.try_add(least)?;
            Ok(Some(bonus.min(Fraction::ONE.saturating_sub(no_bf_ltv))))
        };
        if let Some(bonus) = bonus().at(key)? {
            return Ok(Some((index, bonus)));
        }
    }
    Ok(None)
}

/// The most debt that an order has repaid, raw units.
pub(super) fn cap(case: &Case<'_>, index: u8) -> Result<Fraction, Unknowable> {
    let order = &case.obligation.account.obligation_orders[usize::from(index)];
    Ok(match Kind::of(case.table.version(), order)? {
        Kind::RepayAmount(amount) => amount,
        _ => Fraction::MAX,
    })
}

/// How far past its threshold an order's condition is, of the way to
/// liquidation; `None` where it does not hold.
fn distance(
    case: &Case<'_>,
    condition: Condition,
    order: &ObligationOrder,
    ltv: Fraction,
    limit: Fraction,
) -> Result<Option<Fraction>, Overflow> {
    let parameter = Fraction::from(order.condition_threshold_sf);
    let stop_loss = |current: Fraction, threshold: Fraction, liquidation: Fraction| {
        if current <= threshold {
            return Ok(None);
        }
        if threshold >= liquidation {
            return Ok(Some(Fraction::ONE));
        }
        let way = liquidation.try_sub(threshold)?;
        current.try_sub(threshold)?.try_div(way).map(Some)
    };
    let take_profit = |current: Fraction| {
        if current >= parameter {
            return Ok(None);
        }
        parameter.try_sub(current)?.try_div(parameter).map(Some)
    };
    match condition {
        Condition::LtvAbove => stop_loss(ltv, parameter, limit),
        Condition::LtvBelow => take_profit(ltv),
        Condition::PriceRatioAbove => {
            let ratio = price_ratio(case)?;
            let liquidation = ratio.try_mul(limit)?.try_div(ltv)?;
            stop_loss(ratio, parameter, liquidation)
        }
        Condition::PriceRatioBelow => take_profit(price_ratio(case)?),
        // klend aborts on an unconditional order with a range of bonuses,
        // which it never lets an owner place.
        Condition::Always if order.min_execution_bonus_bps != order.max_execution_bonus_bps => {
            Err(Overflow)
        }
        Condition::Always => Ok(Some(Fraction::ZERO)),
        Condition::CloserToLiquidationThan => {
            stop_loss(ltv, limit.saturating_sub(parameter), limit)
        }
    }
}

/// Price of the debt in units of the collateral.
fn price_ratio(case: &Case<'_>) -> Result<Fraction, Overflow> {
    case.repay_reserve.market_price.try_div(case.withdraw_reserve.market_price)
}
