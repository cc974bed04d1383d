//! What a plan costs and the least profit that is signed for it, by the compute units that
//! it asks for.
//!
//! How many those are is estimated first and known after a simulation. An estimate has room
//! for twice what most liquidations use, and one that pays only at what it really costs would
//! be left alone by it: where a simulation follows, it is tried, and decided on after that.

use anyhow::{Context as _, Result};
use flash_liquidator_client::units::Estimate;
use solana_address::Address;

use super::plan::{Fees, Least, NO_PRICE};
use crate::{
    book::chain::Inclusion,
    route::{
        fees::{Offer, TooDear, priority_fee},
        terms::{Costs, SIGNATURE_FEE, TooLittle, least_profit, least_profit_by_hand},
    },
};

/// What costs and the least profit are counted from, beside the compute units.
#[derive(Clone)]
pub(super) struct Pricing {
    pub fees: Fees,
    pub market: Inclusion,
    /// The quoted profit, lamports; of no use where fees are stated.
    pub worth: u64,
    /// Tries before that did not land.
    pub tries: u32,
    pub tip_account: Option<Address>,
    /// Rent that stays, lamports.
    pub rent: u64,
    /// The quoted profit, raw units of the debt.
    pub quoted: i128,
    pub least: Least,
    /// What has to be left after all costs, raw units of the debt; of no use where the least
    /// profit is stated.
    pub floor: u64,
    pub tolerance_bps: u16,
}

/// A price, at some number of compute units.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Priced {
    /// Micro-lamports per unit.
    pub unit_price: u64,
    /// When it lands, lamports.
    pub costs: Costs,
    /// The same in raw units of the debt, where SOL has a price.
    pub cost: Option<u64>,
    pub min_profit: i64,
}

impl Pricing {
    /// The price at `units`, never offering more than `most`; `cost_of` counts lamports in raw
    /// units of the debt.
    ///
    /// # Errors
    /// [`TooLittle`] and [`TooDear`] when it does not pay; SOL has no price.
    pub fn at(
        &self,
        units: u32,
        most: Offer,
        cost_of: &dyn Fn(u64) -> Option<u64>,
    ) -> Result<Priced> {
        let offer = match &self.fees {
            Fees::Stated { offer, .. } => *offer,
            Fees::Rules(rules) => rules.offer(&self.market, units, self.worth, self.tries)?,
        };
        let (unit_price, tip) = (offer.unit_price.min(most.unit_price), offer.tip.min(most.tip));
        let costs = Costs {
            signatures: SIGNATURE_FEE,
            priority_fee: priority_fee(unit_price, units),
            tip,
            rent: self.rent,
        };
        let cost = cost_of(costs.total());
        let min_profit = match self.least {
            Least::Raw(stated) => least_profit_by_hand(self.quoted, stated, self.tolerance_bps),
            Least::Usd(_) => {
                let cost = cost.context(NO_PRICE)?;
                least_profit(self.quoted, cost, self.floor, self.tolerance_bps)?
            }
        };
        Ok(Priced { unit_price, costs, cost, min_profit })
    }

    /// The price before a simulation: at the limit to be asked for; or, if that does not pay
    /// and one follows, with the least profit that is signed if as few units are used as can
    /// be. Its costs are those of the limit either way.
    ///
    /// # Errors
    /// As [`Self::at`].
    pub fn before_simulation(
        &self,
        units: &Estimate,
        simulates: bool,
        cost_of: &dyn Fn(u64) -> Option<u64>,
    ) -> Result<Priced> {
        let unlimited = Offer { unit_price: u64::MAX, tip: u64::MAX };
        let refusal = match self.at(units.limit(), unlimited, cost_of) {
            Err(refusal) if simulates && (refusal.is::<TooLittle>() || refusal.is::<TooDear>()) => {
                refusal
            }
            decided => return decided,
        };
        let Ok(mut priced) = self.at(units.at_least, unlimited, cost_of) else {
            return Err(refusal);
        };
        priced.costs.priority_fee = priority_fee(priced.unit_price, units.limit());
        priced.cost = cost_of(priced.costs.total());
        Ok(priced)
    }
}

/// Counts lamports in the debt's units as some were counted, rounded up.
pub(super) fn as_counted(lamports: u64, counted: u64, cost: u64) -> Option<u64> {
    let scaled = u128::from(lamports) * u128::from(cost);
    u64::try_from(scaled.div_ceil(u128::from(counted.max(1)))).ok()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::route::fees::{FeeRules, TipRule, UnitPrice, most_unit_price};

    /// Raw units of the debt that a thousand lamports are worth.
    const RATE: u64 = 150;
    const UNLIMITED: Offer = Offer { unit_price: u64::MAX, tip: u64::MAX };

    #[expect(clippy::unnecessary_wraps, reason = "some debts have no price")]
    fn cost_of(lamports: u64) -> Option<u64> {
        Some(lamports * RATE / 1_000 + 1)
    }

    fn pricing(fees: Fees, quoted: u64, floor: u64) -> Pricing {
        Pricing {
            fees,
            market: Inclusion { unit_price: Some(5_000), ..Inclusion::default() },
            worth: quoted * 1_000 / RATE,
            tries: 0,
            tip_account: Some(Address::new_from_array([1; 32])),
            rent: 0,
            quoted: quoted.into(),
            least: Least::Usd(0.0),
            floor,
            tolerance_bps: 10_000,
        }
    }

    proptest! {
        /// Whatever a simulation says, what is signed covers what it costs and the floor, and
        /// costs no more than was counted; and what covers it is neither left alone before the
        /// simulation nor after it.
        #[test]
        fn what_pays_at_what_is_signed_is_signed(
            unit_price in 0..10_000_000u64,
            tip in 0..100_000u64,
            by_rules in any::<bool>(),
            quoted in 0..3_000_000u64,
            floor in 0..1_000_000u64,
            at_least in 50_000..200_000u32,
            more in 0..600_000u32,
            used in 0..=100u32,
        ) {
            let fees = if by_rules {
                Fees::Rules(FeeRules {
                    unit_price: UnitPrice::Recent { floor: unit_price / 2, cap: unit_price },
                    tip: Some(TipRule { share_bps: 1_000, floor: tip, cap: 2 * tip, ..TipRule::default() }),
                    share_bps: 5_000,
                    raise_percent: 50,
                })
            } else {
                Fees::Stated { offer: Offer { unit_price, tip }, tip_account: None }
            };
            let pricing = pricing(fees, quoted, floor);
            let estimate = Estimate { at_least, at_most: at_least + more };
            let limit = at_least + more / 100 * used;
            let before = pricing.before_simulation(&estimate, true, &cost_of);
            let signed = before.as_ref().ok().and_then(|before| {
                let (counted, cost) = (before.costs.total(), before.cost.unwrap());
                let most = Offer {
                    unit_price: most_unit_price(before.costs.priority_fee, limit),
                    tip: before.costs.tip,
                };
                let cost_of = |lamports| as_counted(lamports, counted, cost);
                pricing.at(limit, most, &cost_of).ok()
            });
            if let (Some(signed), Ok(before)) = (signed, &before) {
                let cost = signed.cost.unwrap();
                prop_assert!(cost + 1 >= cost_of(signed.costs.total()).unwrap());
                prop_assert!(signed.min_profit >= i64::try_from(cost + floor).unwrap());
                prop_assert!(signed.costs.total() <= before.costs.total());
            }
            let pays = pricing.at(limit, UNLIMITED, &cost_of);
            if let (false, Ok(pays)) = (by_rules, pays) {
                prop_assert_eq!(signed.map(|signed| signed.costs), Some(pays.costs));
            }
            // Without a simulation what is asked for is what is signed for.
            let alone = pricing.before_simulation(&estimate, false, &cost_of).ok();
            prop_assert_eq!(alone, pricing.at(estimate.limit(), UNLIMITED, &cost_of).ok());
        }
    }
}
