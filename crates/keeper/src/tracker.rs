//! Obligations under watch, re-evaluated only where a price can matter.
//!
//! An obligation's health factor is a weighted sum of deposit values over a
//! weighted sum of debt values. When deposits fall at most to a share `d` of
//! what they were, and debts rise at most `u`-fold, it cannot fall below
//! `health · d / u`. So each obligation keeps the health it had when everything
//! was last valued, and is valued again only where that bound comes down to one.

use std::collections::BTreeMap;

use klend_interface::state::Obligation;
use klend_model::{
    constants::{MAX_BORROWS, MAX_DEPOSITS},
    fraction::Fraction,
    keys,
    reserve::ReserveState,
    table::ReserveTable,
};
use solana_address::Address;

/// Slack for the rounding of floating-point bounds.
const SLACK: f64 = 1e-9;

/// What a unit of deposit and a unit of debt in one reserve are worth.
#[derive(Clone, Copy, Debug)]
struct Worth {
    deposit: f64,
    debt: f64,
}

/// One obligation under watch.
struct Tracked {
    key: Address,
    account: Box<Obligation>,
    health: f64,
    /// Positions of its reserves in [`Tracker::reserves`]; `NONE` fills up.
    deposits: [u16; MAX_DEPOSITS],
    borrows: [u16; MAX_BORROWS],
}

const NONE: u16 = u16::MAX;

/// All obligations of a market that have debt.
#[derive(Default)]
pub struct Tracker {
    obligations: Vec<Tracked>,
    reserves: Vec<(Address, Worth)>,
}

impl Tracker {
    /// Starts over with these obligations, valued at `table`'s moment. Those
    /// that cannot be valued, or owe less than `min_debt`, are left out.
    pub fn new(
        table: &ReserveTable<'_>,
        obligations: impl IntoIterator<Item = (Address, Box<Obligation>)>,
        min_debt: f64,
    ) -> Self {
        let reserves: Vec<(Address, Worth)> =
            table.reserves().iter().map(|state| (state.key, worth(state))).collect();
        let position: BTreeMap<Address, u16> =
            reserves.iter().zip(0u16..NONE).map(|((key, _), at)| (*key, at)).collect();
        let mut tracked = Vec::new();
        for (key, account) in obligations {
            let Ok(health) = table.health(&key, &account) else { continue };
            let Some(factor) = health.health_factor() else { continue };
            if health.borrowed_value.to_f64() < min_debt {
                continue;
            }
            let at = |key: &_| position.get(keys::address(key)).copied().unwrap_or(NONE);
            tracked.push(Tracked {
                deposits: std::array::from_fn(|slot| at(&account.deposits[slot].deposit_reserve)),
                borrows: std::array::from_fn(|slot| at(&account.borrows[slot].borrow_reserve)),
                key,
                account,
                health: factor.to_f64(),
            });
        }
        Self { obligations: tracked, reserves }
    }

    /// How many are tracked.
    pub fn len(&self) -> usize {
        self.obligations.len()
    }

    /// The obligations above their LTV limit at `table`'s moment, and how many
    /// had to be valued to know.
    pub fn unhealthy(&self, table: &ReserveTable<'_>) -> (Vec<Address>, usize) {
        // A reserve that vanished from the table may hide anything: it counts as
        // worthless on the deposit side, so that its obligations are valued.
        let change: Vec<Worth> = self
            .reserves
            .iter()
            .map(|(key, before)| match table.reserve(key).map(worth) {
                Some(now) => Worth {
                    deposit: ratio(now.deposit, before.deposit),
                    debt: ratio(now.debt, before.debt),
                },
                None => Worth { deposit: 0.0, debt: 1.0 },
            })
            .collect();
        let mut valued = 0;
        let unhealthy = self
            .obligations
            .iter()
            .filter(|tracked| tracked.lowest_health(&change) <= 1.0 + SLACK)
            .filter(|tracked| {
                valued += 1;
                table
                    .health(&tracked.key, &tracked.account)
                    .is_ok_and(|health| health.is_unhealthy())
            })
            .map(|tracked| tracked.key)
            .collect();
        (unhealthy, valued)
    }
}

impl Tracked {
    /// A bound below the health factor after the change.
    fn lowest_health(&self, change: &[Worth]) -> f64 {
        let of = |at: &u16| change.get(usize::from(*at));
        let down = self.deposits.iter().filter_map(of).map(|c| c.deposit).fold(f64::MAX, f64::min);
        let up = self.borrows.iter().filter_map(of).map(|c| c.debt).fold(0.0, f64::max);
        if up == 0.0 { f64::NEG_INFINITY } else { self.health * down / up }
    }
}

fn worth(state: &ReserveState<'_>) -> Worth {
    const CTOKENS: u64 = 1 << 40;
    let price = state.market_price.to_f64();
    let rate = state.liquidity_of(CTOKENS).map_or(0.0, Fraction::to_f64) / CTOKENS as f64;
    Worth { deposit: price * rate, debt: price * state.cumulative_borrow_rate.to_f64() }
}

/// Change from `before` to `now`; from nothing, anything is possible.
fn ratio(now: f64, before: f64) -> f64 {
    if before > 0.0 { now / before } else { f64::NAN }
}

#[cfg(test)]
mod tests {
    use std::time::Instant;

    use bytemuck::Zeroable;

    use super::*;

    fn tracked(health: f64, deposits: &[u16], borrows: &[u16]) -> Tracked {
        let at = |list: &[u16], slot: usize| list.get(slot).copied().unwrap_or(NONE);
        Tracked {
            key: Address::default(),
            account: Box::new(Obligation::zeroed()),
            health,
            deposits: std::array::from_fn(|slot| at(deposits, slot)),
            borrows: std::array::from_fn(|slot| at(borrows, slot)),
        }
    }

    fn change(deposit: f64, debt: f64) -> Worth {
        Worth { deposit, debt }
    }

    #[test]
    fn the_bound_takes_the_worst_of_each_side() {
        let changes = [change(0.9, 0.9), change(1.1, 1.1), change(0.5, 2.0)];
        let bound = |t: &Tracked| t.lowest_health(&changes);
        assert!((bound(&tracked(1.5, &[0, 1], &[1])) - 1.5 * 0.9 / 1.1).abs() < 1e-12);
        assert!((bound(&tracked(1.5, &[1], &[0])) - 1.5 * 1.1 / 0.9).abs() < 1e-12);
        assert!((bound(&tracked(3.0, &[0, 1, 2], &[0, 2])) - 3.0 * 0.5 / 2.0).abs() < 1e-12);
        // Debt in a reserve that is not known is always valued.
        assert_eq!(bound(&tracked(9.0, &[0], &[])), f64::NEG_INFINITY);
    }

    /// No weights make an obligation less healthy than its bound.
    #[test]
    fn the_bound_holds_whatever_the_weights() {
        let mut seed = 1u64;
        let mut random = move || {
            seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            (seed >> 33) as f64 / f64::from(1u32 << 31)
        };
        for _ in 0..10_000 {
            let changes: Vec<Worth> =
                (0..4).map(|_| change(0.5 + random(), 0.5 + random())).collect();
            let deposits: Vec<f64> = (0..4).map(|_| random()).collect();
            let debts: Vec<f64> = (0..4).map(|_| random() + 1e-3).collect();
            let health = deposits.iter().sum::<f64>() / debts.iter().sum::<f64>();
            let after = deposits.iter().zip(&changes).map(|(v, c)| v * c.deposit).sum::<f64>()
                / debts.iter().zip(&changes).map(|(v, c)| v * c.debt).sum::<f64>();
            let bound = tracked(health, &[0, 1, 2, 3], &[0, 1, 2, 3]).lowest_health(&changes);
            assert!(after >= bound * (1.0 - 1e-12), "{after} < {bound}");
        }
    }

    #[test]
    fn a_hundred_thousand_bounds_take_milliseconds() {
        let obligations: Vec<Tracked> = (0..100_000u32)
            .map(|i| tracked(1.2, &[(i % 40) as u16, (i % 7) as u16], &[(i % 11) as u16]))
            .collect();
        let changes = vec![change(0.99, 1.01); 40];
        let started = Instant::now();
        let risky = obligations.iter().filter(|t| t.lowest_health(&changes) <= 1.0).count();
        let elapsed = started.elapsed();
        assert_eq!(risky, 0);
        println!("100,000 bounds: {elapsed:?}");
        // Far more than it takes, for slow machines and unoptimised builds.
        assert!(elapsed.as_millis() < 200, "{elapsed:?}");
    }
}
