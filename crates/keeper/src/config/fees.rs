//! What a liquidation is decided by: limits, fees and tips.

use solana_address::Address;

use super::reader::Reader;
use crate::{
    build::plan::{Fees, Least, Wishes},
    feeds::inclusion::Percentile,
    judge::policy::{List, Policy},
    route::{
        fees::{FeeRules, TipRule, UnitPrice},
        position::Search,
    },
};

/// Highest price of a compute unit unless told otherwise, micro-lamports.
const HIGHEST_UNIT_PRICE: u64 = 1_000_000;
/// Least tip unless told otherwise, lamports: what block engines look at.
const LEAST_TIP: u64 = 1_000;
/// Highest tip unless told otherwise, lamports.
const HIGHEST_TIP: u64 = 100_000_000;

impl Reader {
    pub(super) fn wishes(&mut self) -> Wishes {
        let search = Search {
            swap_cost_bps: self.bps("swap_cost_bps", 30),
            max_fee_bps: self.bps("max_fee_bps", 10),
            loan_margin_bps: self.bps("loan_margin_bps", 5),
            max_repay_usd: self.integer("max_repay_usd", 1, i64::MAX),
            policy: Policy {
                owners: self.list("owners"),
                obligations: self.list("obligations"),
                mints: self.list("mints"),
                reserves: self.list("reserves"),
            },
        };
        Wishes {
            search,
            slippage_bps: self.bps("slippage_bps", 50),
            tolerance_bps: self.bps("profit_tolerance_bps", 2_500),
            least: Least::Usd(self.amount("min_profit_usd").unwrap_or(1.0)),
            fees: Fees::Rules(self.fee_rules()),
            deadline_slots: self.integer("deadline_slots", 0, 1_000_000).unwrap_or(32),
            sol_usd: self.amount("sol_usd").filter(|usd| *usd > 0.0),
            dont_front: self.dont_front(),
            jupiter: None,
            tables: self.addresses("tables"),
            simulates: false,
        }
    }

    fn fee_rules(&mut self) -> FeeRules {
        FeeRules {
            unit_price: self.unit_price(),
            tip: self.tip(),
            share_bps: self.bps("max_fee_share_bps", 5_000),
            raise_percent: self
                .integer("raise_percent", 0, 1_000)
                .and_then(|percent| u16::try_from(percent).ok())
                .unwrap_or(50),
        }
    }

    fn unit_price(&mut self) -> UnitPrice {
        const EXPECTED: &str = "micro-lamports per compute unit, or \"recent\"";
        let floor = self.integer("priority_fee_floor", 0, i64::MAX);
        let cap = self.integer("priority_fee_cap", 0, i64::MAX);
        let stated = self.take("priority_fee", EXPECTED, |value| match value.as_str() {
            Some("recent") => Some(None),
            Some(_) => None,
            None => u64::try_from(value.as_integer()?).ok().map(Some),
        });
        let Some(None) = stated else {
            if floor.or(cap).is_some() {
                let how = "floor and cap are for priority_fee = \"recent\"";
                self.mistake("priority_fee", how.to_owned());
            }
            return UnitPrice::Fixed(stated.flatten().unwrap_or(0));
        };
        let (floor, cap) = (floor.unwrap_or(0), cap.unwrap_or(HIGHEST_UNIT_PRICE));
        if cap < floor {
            self.mistake("priority_fee_cap", format!("{cap} is below the floor of {floor}"));
        }
        UnitPrice::Recent { floor, cap: cap.max(floor) }
    }

    fn tip(&mut self) -> Option<TipRule> {
        let accounts = self.addresses("tip_accounts");
        let fixed = self.integer("tip_lamports", 0, i64::MAX);
        let share_bps = self.bps("tip_share_bps", 0);
        let floor = self.integer("tip_floor_lamports", 0, i64::MAX);
        let cap = self.integer("tip_cap_lamports", 0, i64::MAX);
        if let Some(lamports) = fixed {
            if share_bps > 0 || floor.or(cap).is_some() {
                let how = "it is fixed: share, floor and cap say otherwise";
                self.mistake("tip_lamports", how.to_owned());
            }
            let fixed = TipRule { share_bps: 0, floor: lamports, cap: lamports, accounts };
            return (lamports > 0).then_some(fixed);
        }
        if share_bps == 0 && floor.or(cap).is_none() {
            if !accounts.is_empty() {
                self.mistake("tip_accounts", "no tip is paid: give tip_share_bps".to_owned());
            }
            return None;
        }
        let floor = floor.unwrap_or(LEAST_TIP);
        let cap = cap.unwrap_or(HIGHEST_TIP);
        if cap < floor {
            self.mistake("tip_cap_lamports", format!("{cap} is below the floor of {floor}"));
        }
        Some(TipRule { share_bps, floor, cap: cap.max(floor), accounts })
    }

    pub(super) fn tip_floor(&mut self) -> Option<(String, Percentile)> {
        let percentile = self.take("tip_percentile", "25, 50, 75, 95 or 99", |value| {
            Percentile::from_number(u64::try_from(value.as_integer()?).ok()?)
        });
        let url = self.url("tip_floor_url", &["http", "https"]);
        if url.is_none() && percentile.is_some() {
            self.mistake("tip_percentile", "there is no tip_floor_url given".to_owned());
        }
        Some((url?, percentile.unwrap_or(Percentile::P50)))
    }

    fn dont_front(&mut self) -> Option<Address> {
        self.take("dont_front", "an address that begins with jitodontfront", |value| {
            let text = value.as_str().filter(|text| text.starts_with("jitodontfront"))?;
            text.parse().ok()
        })
    }

    fn list(&mut self, what: &str) -> List {
        let mut keys = |verb: &str| self.addresses(&format!("{verb}_{what}")).into_iter().collect();
        List { allow: keys("allow"), deny: keys("deny") }
    }
}
