//! Obligations under watch, valued again only where a change can matter.
//!
//! An obligation's health factor is a sum of weighted deposit values over a sum
//! of weighted debt values. While its account and its reserves' parameters stay,
//! each value moves in proportion to what a unit in its reserve is worth. So each
//! obligation keeps the share that every reserve has in either sum, and an update
//! of prices or interest costs a few multiplications per obligation: what comes
//! out is the health factor but for rounding. Only obligations that come close to
//! one are valued as klend does it. Where the shares are not known, or a reserve's
//! parameters changed, obligations are valued too.

use std::collections::HashMap;

use klend_interface::state::{LendingMarket, Obligation};
use klend_model::{
    constants::{MAX_BORROWS, MAX_DEPOSITS},
    fraction::Fraction,
    keys,
    reserve::ReserveState,
    table::ReserveTable,
};
use solana_address::Address;

/// How close to one a health factor from shares is not trusted. They are kept as
/// `f32`, whose error over thirteen positions is a tenth of this.
const SLACK: f32 = 1e-5;

/// What a unit of deposit and a unit of debt in one reserve are worth.
#[derive(Clone, Copy, Debug)]
struct Worth {
    deposit: f64,
    debt: f64,
}

/// How both changed; not a number where that is not known.
#[derive(Clone, Copy, Debug)]
struct Change {
    deposit: f32,
    debt: f32,
}

/// What else of a reserve an obligation's health hangs on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Parameters {
    liquidation_threshold_pct: u8,
    borrow_factor_pct: u64,
    elevation_groups: [u8; 20],
}

/// A reserve and what it was worth when shares were measured.
struct Known {
    key: Address,
    base: Worth,
    parameters: Parameters,
}

/// An elevation group's id, threshold and debt reserve.
type Groups = Vec<(u8, u8, Address)>;

/// An obligation's shares: deposits first, then debts.
#[derive(Clone, Copy, Debug)]
struct Shares {
    deposits: u8,
    positions: u8,
    /// Positions of reserves in [`Tracker::reserves`].
    reserves: [u16; MAX_DEPOSITS + MAX_BORROWS],
    weights: [f32; MAX_DEPOSITS + MAX_BORROWS],
}

/// The obligation that the shares of the same position belong to.
struct Tracked {
    key: Address,
    account: Box<Obligation>,
}

/// What [`Tracker::evaluate`] found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Evaluation {
    /// Obligations above their LTV limit.
    pub unhealthy: Vec<Address>,
    /// How many had to be valued to know.
    pub valued: usize,
}

/// The obligations of a market that have debt.
pub struct Tracker {
    /// Debts worth less, US dollars, are not tracked.
    min_debt: f64,
    reserves: Vec<Known>,
    groups: Groups,
    /// Beside `obligations`, because they alone are read for every update.
    shares: Vec<Shares>,
    obligations: Vec<Tracked>,
    positions: HashMap<Address, usize>,
}

impl Tracker {
    /// Tracks nothing yet, and never debts worth less than `min_debt` US dollars.
    #[must_use]
    pub fn new(min_debt: f64) -> Self {
        Self {
            min_debt,
            reserves: Vec::new(),
            groups: Vec::new(),
            shares: Vec::new(),
            obligations: Vec::new(),
            positions: HashMap::new(),
        }
    }

    /// How many are tracked.
    #[must_use]
    pub fn len(&self) -> usize {
        self.obligations.len()
    }

    /// Whether none is tracked.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.obligations.is_empty()
    }

    /// A tracked obligation.
    #[must_use]
    pub fn get(&self, key: &Address) -> Option<&Obligation> {
        self.positions.get(key).map(|at| &*self.obligations[*at].account)
    }

    /// The obligations tracked, in no order.
    pub fn keys(&self) -> impl Iterator<Item = &Address> {
        self.obligations.iter().map(|tracked| &tracked.key)
    }

    /// Tracks obligations, each in the place of what was known of it. Those
    /// without debt, or with less than is worth tracking, are forgotten instead;
    /// those that cannot be valued now are kept, and tried again with every
    /// update.
    pub fn put(
        &mut self,
        table: &ReserveTable<'_>,
        obligations: impl IntoIterator<Item = (Address, Box<Obligation>)>,
    ) {
        let change = self.meet(table);
        for (key, account) in obligations {
            let (shares, debt) =
                self.measure(table, &change, &key, &account).unwrap_or((Shares::UNKNOWN, f64::MAX));
            if account.has_debt == 0 || debt < self.min_debt {
                self.remove(&key);
                continue;
            }
            let tracked = Tracked { key, account };
            if let Some(at) = self.positions.get(&key) {
                self.shares[*at] = shares;
                self.obligations[*at] = tracked;
            } else {
                self.positions.insert(key, self.obligations.len());
                self.shares.push(shares);
                self.obligations.push(tracked);
            }
        }
    }

    /// Forgets an obligation.
    pub fn remove(&mut self, key: &Address) {
        if let Some(at) = self.positions.remove(key) {
            self.shares.swap_remove(at);
            self.obligations.swap_remove(at);
            if let Some(moved) = self.obligations.get(at) {
                self.positions.insert(moved.key, at);
            }
        }
    }

    /// Whether one obligation is above its LTV limit at `table`'s moment.
    #[must_use]
    pub fn is_unhealthy(&self, table: &ReserveTable<'_>, key: &Address) -> bool {
        self.get(key).is_some_and(|account| {
            table.health(key, account).is_ok_and(|health| health.is_unhealthy())
        })
    }

    /// The obligations above their LTV limit at `table`'s moment.
    pub fn evaluate(&mut self, table: &ReserveTable<'_>) -> Evaluation {
        let change = self.meet(table);
        let doubtful: Vec<usize> = self
            .shares
            .iter()
            .enumerate()
            .filter(|(_, shares)| shares.is_doubtful(&change))
            .map(|(at, _)| at)
            .collect();
        let mut found = Evaluation { unhealthy: Vec::new(), valued: doubtful.len() };
        for at in doubtful {
            let Tracked { key, account } = &self.obligations[at];
            if table.health(key, account).is_ok_and(|health| health.is_unhealthy()) {
                found.unhealthy.push(*key);
            }
            // Shares that were measured hold until the account changes.
            if self.shares[at].health(&change).is_nan() {
                self.shares[at] = self
                    .measure(table, &change, key, account)
                    .map_or(Shares::UNKNOWN, |(shares, _)| shares);
            }
        }
        found
    }

    /// Learns of new reserves and parameters, and says how each reserve changed
    /// since shares were measured. Shares that do not hold any more are dropped.
    fn meet(&mut self, table: &ReserveTable<'_>) -> Vec<Change> {
        let groups = groups(table.market());
        let mut dropped = vec![groups != self.groups; self.reserves.len()];
        self.groups = groups;
        for state in table.reserves() {
            if !self.reserves.iter().any(|known| known.key == state.key) {
                let (base, parameters) = (worth(state), parameters(state));
                self.reserves.push(Known { key: state.key, base, parameters });
                dropped.push(false);
            }
        }
        let mut changes = Vec::with_capacity(self.reserves.len());
        for (known, dropped) in self.reserves.iter_mut().zip(&mut dropped) {
            let Some(state) = table.reserve(&known.key) else {
                // Only while it cannot be refreshed.
                changes.push(Change::UNKNOWN);
                continue;
            };
            let (now, parameters) = (worth(state), parameters(state));
            *dropped |= parameters != known.parameters || !known.change(&now).is_known();
            if *dropped {
                (known.base, known.parameters) = (now, parameters);
            }
            changes.push(known.change(&now));
        }
        if dropped.contains(&true) {
            for shares in &mut self.shares {
                let used = &shares.reserves[..usize::from(shares.positions)];
                if used.iter().any(|reserve| dropped[usize::from(*reserve)]) {
                    *shares = Shares::UNKNOWN;
                }
            }
        }
        changes
    }

    /// An obligation's shares, referred to what reserves were worth first, and the
    /// value of its debt; `None` if it cannot be valued.
    fn measure(
        &self,
        table: &ReserveTable<'_>,
        change: &[Change],
        key: &Address,
        account: &Obligation,
    ) -> Option<(Shares, f64)> {
        let state = table.obligation(key, account).ok()?;
        let total = state.health.adjusted_debt_value.to_f64();
        let mut shares = Shares::UNKNOWN;
        let position = |reserve: usize| -> Option<u16> {
            let key = &table.reserves().get(reserve)?.key;
            let at = self.reserves.iter().position(|known| known.key == *key)?;
            u16::try_from(at).ok()
        };
        for deposit in state.deposits.iter().flatten() {
            let at = position(deposit.reserve)?;
            let value = deposit.market_value.to_f64() * deposit.liquidation_threshold.to_f64();
            shares.push(at, value / total / f64::from(change.get(usize::from(at))?.deposit));
            shares.deposits = shares.positions;
        }
        for borrow in state.borrows.iter().flatten() {
            let at = position(borrow.reserve)?;
            let value = borrow.adjusted_value.to_f64();
            shares.push(at, value / total / f64::from(change.get(usize::from(at))?.debt));
        }
        Some((shares, state.health.borrowed_value.to_f64()))
    }
}

impl Known {
    fn change(&self, now: &Worth) -> Change {
        Change {
            deposit: (now.deposit / self.base.deposit) as f32,
            debt: (now.debt / self.base.debt) as f32,
        }
    }
}

impl Change {
    const UNKNOWN: Self = Self { deposit: f32::NAN, debt: f32::NAN };

    /// From nothing, anything is possible.
    fn is_known(&self) -> bool {
        self.deposit.is_finite() && self.debt.is_finite() && self.deposit > 0.0 && self.debt > 0.0
    }
}

impl Shares {
    /// Of an obligation that has to be valued to know anything: nothing over
    /// nothing is not a number.
    const UNKNOWN: Self = Self {
        deposits: 0,
        positions: 0,
        reserves: [0; MAX_DEPOSITS + MAX_BORROWS],
        weights: [0.0; MAX_DEPOSITS + MAX_BORROWS],
    };

    fn push(&mut self, reserve: u16, weight: f64) {
        let at = usize::from(self.positions);
        self.reserves[at] = reserve;
        self.weights[at] = weight as f32;
        self.positions += 1;
    }

    /// The health factor after the change; not a number if it cannot be told.
    #[inline]
    fn health(&self, change: &[Change]) -> f32 {
        let (mut deposits, mut debts) = (0.0, 0.0);
        let (split, end) = (usize::from(self.deposits), usize::from(self.positions));
        for at in 0..split {
            deposits += self.weights[at] * change[usize::from(self.reserves[at])].deposit;
        }
        for at in split..end {
            debts += self.weights[at] * change[usize::from(self.reserves[at])].debt;
        }
        deposits / debts
    }

    /// Whether it has to be valued: not clearly healthy.
    #[inline]
    fn is_doubtful(&self, change: &[Change]) -> bool {
        let health = self.health(change);
        health.is_nan() || health <= 1.0 + SLACK
    }
}

fn worth(state: &ReserveState<'_>) -> Worth {
    const CTOKENS: u64 = 1 << 40;
    let price = state.market_price.to_f64();
    let rate = state.liquidity_of(CTOKENS).map_or(f64::NAN, Fraction::to_f64) / CTOKENS as f64;
    Worth { deposit: price * rate, debt: price * state.cumulative_borrow_rate.to_f64() }
}

fn parameters(state: &ReserveState<'_>) -> Parameters {
    let config = &state.account.config;
    Parameters {
        liquidation_threshold_pct: config.liquidation_threshold_pct,
        borrow_factor_pct: config.borrow_factor_pct,
        elevation_groups: config.elevation_groups,
    }
}

fn groups(market: &LendingMarket) -> Groups {
    market
        .elevation_groups
        .iter()
        .filter(|group| group.id != 0)
        .map(|group| {
            (group.id, group.liquidation_threshold_pct, keys::to_address(&group.debt_reserve))
        })
        .collect()
}
