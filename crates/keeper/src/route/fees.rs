//! What is offered to be included: priority fee and tip, each between a floor and a
//! cap, together never more than a share of the quoted profit.

use solana_address::Address;

use crate::book::chain::Inclusion;

/// Basis points in one.
const FULL_BPS: u128 = 10_000;
/// Micro-lamports in a lamport.
const MICRO: u128 = 1_000_000;

/// What the operator lets a compute unit cost, micro-lamports.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum UnitPrice {
    /// Always the same.
    Fixed(u64),
    /// What recent transactions paid that write the same accounts.
    Recent {
        /// At least.
        floor: u64,
        /// At most.
        cap: u64,
    },
}

/// What the operator lets a tip be.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TipRule {
    /// Share of the quoted profit, basis points.
    pub share_bps: u16,
    /// Least lamports.
    pub floor: u64,
    /// Most lamports.
    pub cap: u64,
    /// Who may get it; empty for those a block engine names.
    pub accounts: Vec<Address>,
}

/// The operator's rules.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FeeRules {
    /// For the price of a compute unit.
    pub unit_price: UnitPrice,
    /// For tips; `None` to pay none.
    pub tip: Option<TipRule>,
    /// Most of the quoted profit that both may take, basis points.
    pub share_bps: u16,
    /// How much more is offered with each try that did not land, per cent.
    pub raise_percent: u16,
}

/// What is offered.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Offer {
    /// Micro-lamports per compute unit.
    pub unit_price: u64,
    /// Lamports.
    pub tip: u64,
}

/// Why nothing is offered, lamports.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "fees and tip take at least {least} lamports, the share of the profit for them is {budget}"
)]
pub struct TooDear {
    /// The least that the rules allow to offer.
    pub least: u64,
    /// What the profit has room for.
    pub budget: u64,
}

impl FeeRules {
    /// What to offer for a transaction of `units` whose quoted profit is worth `profit`
    /// lamports, after `tries` that did not land.
    ///
    /// # Errors
    /// [`TooDear`] when the floors are above the share of the profit.
    pub fn offer(
        &self,
        market: &Inclusion,
        units: u32,
        profit: u64,
        tries: u32,
    ) -> Result<Offer, TooDear> {
        let budget = share(profit, self.share_bps);
        let (price_floor, price_cap) = match self.unit_price {
            UnitPrice::Fixed(price) => (price, price),
            UnitPrice::Recent { floor, cap } => (floor, cap),
        };
        let tip_floor = self.tip.as_ref().map_or(0, |tip| tip.floor);
        let least = priority_fee(price_floor, units).saturating_add(tip_floor);
        if least > budget {
            return Err(TooDear { least, budget });
        }
        let tip = self.tip.as_ref().map_or(0, |rule| {
            let wished = share(profit, rule.share_bps).max(market.tip.unwrap_or_default());
            let most = rule.cap.min(budget - priority_fee(price_floor, units));
            self.raised(wished.max(rule.floor), tries).min(most)
        });
        let wished = self.raised(market.unit_price.unwrap_or_default().max(price_floor), tries);
        let affordable = most_unit_price(budget - tip, units).max(price_floor);
        Ok(Offer { unit_price: wished.min(price_cap).min(affordable), tip })
    }

    /// An amount after tries that did not land, rounded up.
    fn raised(&self, amount: u64, tries: u32) -> u64 {
        let step = 100 + u128::from(self.raise_percent);
        let mut raised = u128::from(amount);
        for _ in 0..tries.min(64) {
            raised = (raised * step).div_ceil(100);
            if raised > u128::from(u64::MAX) {
                return u64::MAX;
            }
        }
        u64::try_from(raised).unwrap_or(u64::MAX)
    }
}

/// One of `accounts` by a number that nobody can foresee.
#[must_use]
pub fn pick(accounts: &[Address], random: u64) -> Option<&Address> {
    let count = u64::try_from(accounts.len()).ok().filter(|count| *count > 0)?;
    accounts.get(usize::try_from(random % count).ok()?)
}

fn share(amount: u64, bps: u16) -> u64 {
    u64::try_from(u128::from(amount) * u128::from(bps) / FULL_BPS).unwrap_or(u64::MAX)
}

/// Lamports that units at a price cost, rounded up as the runtime does.
#[must_use]
pub fn priority_fee(unit_price: u64, units: u32) -> u64 {
    let micro = u128::from(unit_price) * u128::from(units);
    u64::try_from(micro.div_ceil(MICRO)).unwrap_or(u64::MAX)
}

/// The highest price at which units cost no more than `lamports`.
#[must_use]
pub fn most_unit_price(lamports: u64, units: u32) -> u64 {
    let micro = u128::from(lamports) * MICRO;
    u64::try_from(micro / u128::from(units.max(1))).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn rules(unit_price: UnitPrice, tip: Option<TipRule>) -> FeeRules {
        FeeRules { unit_price, tip, share_bps: 5_000, raise_percent: 50 }
    }

    fn market(unit_price: u64, tip: u64) -> Inclusion {
        Inclusion { unit_price: Some(unit_price), tip: Some(tip), tip_accounts: Vec::new() }
    }

    #[test]
    fn they_follow_the_market_within_bounds() {
        let tip = TipRule { share_bps: 1_000, floor: 1_000, cap: 50_000, accounts: Vec::new() };
        let rules = rules(UnitPrice::Recent { floor: 10, cap: 20_000 }, Some(tip));
        let offer = |market: &Inclusion, profit, tries| {
            rules.offer(market, 300_000, profit, tries).unwrap()
        };
        // A tenth of the profit; more where bundles tip more; never above the cap.
        assert_eq!(offer(&market(5_000, 2_000), 200_000, 0).tip, 20_000);
        assert_eq!(offer(&market(5_000, 30_000), 200_000, 0).tip, 30_000);
        assert_eq!(offer(&market(5_000, 90_000), 200_000, 0).tip, 50_000);
        assert_eq!(offer(&market(5_000, 2_000), 200_000, 0).unit_price, 5_000);
        assert_eq!(offer(&market(0, 2_000), 200_000, 0).unit_price, 10);
        assert_eq!(offer(&market(90_000, 2_000), 200_000, 0).unit_price, 20_000);
        // What was not asked about is at its floor, and the next try offers more.
        assert_eq!(offer(&Inclusion::default(), 20_000, 0), Offer { unit_price: 10, tip: 2_000 });
        assert_eq!(offer(&Inclusion::default(), 20_000, 2), Offer { unit_price: 23, tip: 4_500 });
        // Half of a small profit is all there is.
        let offered = offer(&market(90_000, 90_000), 10_000, 5);
        assert_eq!(offered, Offer { unit_price: 10, tip: 4_997 });
        let refused = rules.offer(&market(0, 0), 300_000, 2_000, 0);
        assert_eq!(refused, Err(TooDear { least: 1_003, budget: 1_000 }));
    }

    #[test]
    fn what_is_fixed_stays() {
        let tip = TipRule { share_bps: 0, floor: 7, cap: 7, accounts: Vec::new() };
        let rules = rules(UnitPrice::Fixed(3), Some(tip));
        let offer = rules.offer(&market(1_000, 1_000), 1_000_000, 100, 3).unwrap();
        assert_eq!(offer, Offer { unit_price: 3, tip: 7 });
    }

    #[test]
    fn any_account_is_picked() {
        let key = |byte| Address::new_from_array([byte; 32]);
        let accounts = [key(1), key(2), key(3)];
        assert_eq!(pick(&accounts, 7), Some(&key(2)));
        assert_eq!(pick(&[], 7), None);
    }

    proptest! {
        #[test]
        fn never_above_the_share_and_never_outside_floor_and_cap(
            price in (0..1_000_000u64, 0..1_000_000u64),
            tip in proptest::option::of((0..10_000_000u64, 0..10_000_000u64, 0..=10_000u16)),
            told in (any::<Option<u64>>(), any::<Option<u64>>()),
            units in 0..=1_400_000u32,
            profit in 0..1_000_000_000u64,
            share_bps in 0..=10_000u16,
            raise_percent in 0..=500u16,
            tries in 0..10u32,
        ) {
            let (floor, cap) = (price.0.min(price.1), price.0.max(price.1));
            let rule = tip.map(|(a, b, share_bps)| TipRule {
                share_bps, floor: a.min(b), cap: a.max(b), accounts: Vec::new(),
            });
            let rules = FeeRules {
                unit_price: UnitPrice::Recent { floor, cap },
                tip: rule.clone(),
                share_bps,
                raise_percent,
            };
            let market =
                Inclusion { unit_price: told.0, tip: told.1, tip_accounts: Vec::new() };
            let budget = share(profit, share_bps);
            match rules.offer(&market, units, profit, tries) {
                Ok(offer) => {
                    let fee = priority_fee(offer.unit_price, units);
                    prop_assert!(fee + offer.tip <= budget, "{} + {}", fee, offer.tip);
                    prop_assert!((floor..=cap).contains(&offer.unit_price));
                    let (least, most) = rule.map_or((0, 0), |rule| (rule.floor, rule.cap));
                    prop_assert!((least..=most).contains(&offer.tip));
                }
                Err(TooDear { least, .. }) => prop_assert!(least > budget),
            }
        }
    }
}
