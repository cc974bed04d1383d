//! Obligations under watch, valued again only where a change can matter.
//!
//! An obligation's health factor is a sum of weighted deposit values over a sum
//! of weighted debt values. While its account and its reserves' parameters stay,
//! each value moves in proportion to what a unit in its reserve is worth. So each
//! obligation keeps the share that every reserve has in either sum, and an update
//! of prices or interest costs a few multiplications per obligation: what comes
//! out is the health factor but for rounding. Only obligations so close to one that
//! rounding could decide are valued as klend does it. Where the shares are not
//! known, or a reserve's parameters changed, obligations are valued too.
//!
//! Even that is not done for all: none has become worse than by the reserve that lost
//! most as collateral and the one that gained most as a debt. Of each obligation the
//! health factor of some earlier moment is kept, and where that stays above the limit
//! even after so much, nothing else of it is looked at.
//!
//! klend has five more reasons than a low health factor. Three are an obligation's
//! own: an order of its owner, a margin call, the end of a debt's term. The other
//! two are a reserve's: a limit that was crossed, a maturity. So each obligation
//! keeps the time from which its own ones can apply, and those whose time has come,
//! or that use such a reserve, are asked about with every update.

use std::{collections::HashMap, ops::Range};

use klend_interface::state::Obligation;
use klend_model::{liquidation, table::ReserveTable};
use solana_address::Address;

use super::shares::{
    Change, Groups, Known, Shares, Switches, Verdict, above, groups, parameters, switches, worth,
};

/// The obligation that the shares of the same position belong to.
struct Tracked {
    key: Address,
    account: Box<Obligation>,
    /// US dollars, when it was last valued.
    debt: f32,
}

/// What valuing an obligation tells for later.
struct Measured {
    shares: Shares,
    /// See [`Tracker::due`].
    due: u64,
    /// US dollars.
    debt: f64,
}

/// What [`Tracker::evaluate`] found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Evaluation {
    /// Obligations above their LTV limit.
    pub unhealthy: Vec<Address>,
    /// Others that klend lets be liquidated, each for one of its other reasons.
    pub otherwise: Vec<Address>,
    /// How many had to be valued to know.
    pub valued: usize,
}

/// The obligations of a market that have debt.
pub struct Tracker {
    /// Debts worth less, US dollars, are not tracked.
    min_debt: f64,
    reserves: Vec<Known>,
    groups: Groups,
    switches: Switches,
    /// Unix time from which a reason of the obligation's own can apply, at the
    /// positions of `shares`.
    due: Vec<u64>,
    /// Beside `obligations`, because they alone are read for every update.
    shares: Vec<Shares>,
    /// Health factors when reserves had changed by `since`, at the positions of `shares`;
    /// not a number where shares tell nothing.
    health: Vec<f32>,
    /// At the positions of `reserves`.
    since: Vec<Change>,
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
            switches: Switches::default(),
            due: Vec::new(),
            shares: Vec::new(),
            health: Vec::new(),
            since: Vec::new(),
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

    /// What a tracked obligation owes, US dollars, when it was last valued; zero if
    /// it could not be.
    #[must_use]
    pub fn debt(&self, key: &Address) -> f32 {
        self.positions.get(key).map_or(0.0, |at| self.obligations[*at].debt)
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
            let measured = self.measure(table, &change, &key, &account);
            let is_small = measured.as_ref().is_some_and(|known| known.debt < self.min_debt);
            if account.has_debt == 0 || is_small {
                self.remove(&key);
                continue;
            }
            let at = *self.positions.entry(key).or_insert(self.obligations.len());
            let tracked = Tracked { key, account, debt: 0.0 };
            if at == self.obligations.len() {
                self.due.push(u64::MAX);
                self.shares.push(Shares::UNKNOWN);
                self.health.push(f32::NAN);
                self.obligations.push(tracked);
            } else {
                self.obligations[at] = tracked;
            }
            self.learn(at, measured);
        }
    }

    /// Forgets an obligation.
    pub fn remove(&mut self, key: &Address) {
        if let Some(at) = self.positions.remove(key) {
            self.due.swap_remove(at);
            self.shares.swap_remove(at);
            self.health.swap_remove(at);
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

    /// Whether klend lets one obligation be liquidated at `table`'s moment, for
    /// whatever reason.
    #[must_use]
    pub fn is_liquidatable(&self, table: &ReserveTable<'_>, key: &Address) -> bool {
        self.get(key).is_some_and(|account| {
            table
                .obligation(key, account)
                .is_ok_and(|state| liquidation::reason(table, &state).is_some())
        })
    }

    /// The `most` obligations with the lowest health factors, by their shares, and these;
    /// the lowest first. Those whose shares are not known are left out.
    pub fn nearest(&mut self, table: &ReserveTable<'_>, most: usize) -> Vec<(Address, f32)> {
        let change = self.meet(table);
        let mut all: Vec<(usize, f32)> = self
            .shares
            .iter()
            .enumerate()
            .map(|(at, shares)| (at, shares.health(&change)))
            .filter(|(_, health)| !health.is_nan())
            .collect();
        if most < all.len() {
            all.select_nth_unstable_by(most, |(_, a), (_, b)| a.total_cmp(b));
            all.truncate(most);
        }
        all.sort_by(|(_, a), (_, b)| a.total_cmp(b));
        all.into_iter().map(|(at, health)| (self.obligations[at].key, health)).collect()
    }

    /// The obligations that may be liquidated at `table`'s moment.
    pub fn evaluate(&mut self, table: &ReserveTable<'_>) -> Evaluation {
        let change = self.meet(table);
        let pressed = self.pressed(table);
        let (mut unhealthy, mut doubtful, mut otherwise) = (Vec::new(), Vec::new(), Vec::new());
        for at in self.suspects(table, &change, &pressed) {
            match self.shares[at].verdict(&change) {
                Verdict::Healthy if self.may_otherwise(table, &pressed, at) => otherwise.push(at),
                Verdict::Healthy => {}
                Verdict::Unhealthy => unhealthy.push(self.obligations[at].key),
                Verdict::Doubtful => doubtful.push(at),
            }
        }
        let mut valued = doubtful.len();
        for at in doubtful {
            // Shares that were measured hold until the account changes.
            if self.shares[at].health(&change).is_nan() {
                let Tracked { key, account, .. } = &self.obligations[at];
                let measured = self.measure(table, &change, key, account);
                self.learn(at, measured);
            }
            let key = self.obligations[at].key;
            if self.is_unhealthy(table, &key) {
                unhealthy.push(key);
            } else if self.may_otherwise(table, &pressed, at) {
                otherwise.push(at);
            }
        }
        valued += otherwise.len();
        let otherwise = otherwise
            .into_iter()
            .map(|at| self.obligations[at].key)
            .filter(|key| self.is_liquidatable(table, key))
            .collect();
        Evaluation { unhealthy, otherwise, valued }
    }

    /// Of the obligations at these places, those whose health factor is below `health` at
    /// `table`'s moment; those of which shares tell nothing are left out. Where one is
    /// forgotten, the last one takes its place.
    pub fn near(
        &mut self,
        table: &ReserveTable<'_>,
        health: f32,
        places: Range<usize>,
    ) -> Vec<Address> {
        let change = self.meet(table);
        let places = places.start..places.end.min(self.len());
        let near = places.filter(|at| self.shares[*at].health(&change) < health);
        near.map(|at| self.obligations[at].key).collect()
    }

    /// Positions of those that may be liquidated after a change, and of some more, in
    /// order.
    fn suspects(
        &mut self,
        table: &ReserveTable<'_>,
        change: &[Change],
        pressed: &[bool],
    ) -> Vec<usize> {
        if !pressed.is_empty() {
            return (0..self.len()).collect();
        }
        let now = table.clock().unix_timestamp;
        let mut suspects = self.below(change, 1.0);
        let sick = suspects.len();
        suspects.extend((0..self.len()).filter(|at| self.due[*at] <= now));
        if suspects.len() > sick {
            suspects.sort_unstable();
            suspects.dedup();
        }
        suspects
    }

    /// Positions of those whose health factor is below a limit after a change or cannot be
    /// told, and of some more, in order.
    fn below(&mut self, change: &[Change], limit: f32) -> Vec<usize> {
        // Where the earlier moment tells of no more than these, a later one may.
        let few = self.len() / 4;
        let is_above = above(limit);
        if let Some(loss) = self.loss(change) {
            let at_most = (0..self.len()).filter(|at| !is_above(self.health[*at] * loss));
            let found: Vec<usize> = at_most.take(few + 1).collect();
            if found.len() <= few {
                return found;
            }
        }
        self.since = change.to_vec();
        for (health, shares) in self.health.iter_mut().zip(&self.shares) {
            *health = shares.health(change);
        }
        (0..self.len()).filter(|at| !is_above(self.health[*at])).collect()
    }

    /// What is left of any health factor of `self.health` after a change, at least; `None`
    /// where that is not known.
    fn loss(&self, change: &[Change]) -> Option<f32> {
        let (mut deposit, mut debt) = (1.0f32, 1.0f32);
        for (since, now) in self.since.iter().zip(change) {
            // Who has such a reserve has no health factor either.
            if !since.is_known() {
                continue;
            }
            if !now.is_known() {
                return None;
            }
            deposit = deposit.min(now.deposit / since.deposit);
            debt = debt.max(now.debt / since.debt);
        }
        Some(deposit / debt)
    }

    /// The obligations that may be liquidated at the prices of one of `later`, where
    /// nothing but prices differs from `table`; those that may be now are among them.
    #[must_use]
    pub fn foreseen(&self, table: &ReserveTable<'_>, later: &[ReserveTable<'_>]) -> Vec<Address> {
        let later: Vec<(&ReserveTable<'_>, Vec<Change>)> =
            later.iter().map(|table| (table, self.changes(table))).collect();
        // No better than all of them together are for their collateral and their debts.
        let mut worst = self.changes(table);
        for (_, changes) in &later {
            for (worst, change) in worst.iter_mut().zip(changes) {
                worst.deposit = worst.deposit.min(change.deposit);
                worst.debt = worst.debt.max(change.debt);
            }
        }
        let now = table.clock().unix_timestamp;
        let (loss, is_above) = (self.loss(&worst).unwrap_or(f32::NAN), above(1.0));
        let mut found = Vec::new();
        for (at, shares) in self.shares.iter().enumerate() {
            let is_due = self.due[at] <= now;
            let is_healthy =
                || is_above(self.health[at] * loss) || shares.verdict(&worst) == Verdict::Healthy;
            if !is_due && is_healthy() {
                continue;
            }
            let key = self.obligations[at].key;
            let may_be = |(table, changes): &(&ReserveTable<'_>, Vec<Change>)| match shares
                .verdict(changes)
            {
                Verdict::Unhealthy => true,
                Verdict::Doubtful if self.is_unhealthy(table, &key) => true,
                _ => is_due && self.is_liquidatable(table, &key),
            };
            if later.iter().any(may_be) {
                found.push(key);
            }
        }
        found
    }

    /// How each known reserve differs from when shares were measured.
    fn changes(&self, table: &ReserveTable<'_>) -> Vec<Change> {
        let change = |known: &Known| {
            table.reserve(&known.key).map_or(Change::UNKNOWN, |state| known.change(&worth(state)))
        };
        self.reserves.iter().map(change).collect()
    }

    /// The known reserves whose users klend may let be liquidated because of the
    /// reserve; empty if there are none.
    fn pressed(&self, table: &ReserveTable<'_>) -> Vec<bool> {
        let market = table.market();
        let now = table.clock().unix_timestamp;
        let is_pressed = |known: &Known| {
            table.reserve(&known.key).is_some_and(|state| {
                let config = &state.account.config;
                let maturity = config.debt_maturity_timestamp;
                let is_mature = market.mature_reserve_debt_liquidation_enabled != 0
                    && maturity != 0
                    && maturity <= now;
                let deleverages =
                    market.autodeleverage_enabled != 0 && config.autodeleverage_enabled != 0;
                is_mature
                    || deleverages
                        && (state.borrow_limit().crossed
                            || state.deposit_limit().is_ok_and(|limit| limit.crossed))
            })
        };
        let pressed: Vec<bool> = self.reserves.iter().map(is_pressed).collect();
        if pressed.contains(&true) { pressed } else { Vec::new() }
    }

    /// Whether a reason other than the LTV can apply.
    #[inline]
    fn may_otherwise(&self, table: &ReserveTable<'_>, pressed: &[bool], at: usize) -> bool {
        self.due[at] <= table.clock().unix_timestamp
            || !pressed.is_empty()
                && self.shares[at].reserves().iter().any(|reserve| pressed[usize::from(*reserve)])
    }

    /// Learns of new reserves and parameters, and says how each reserve changed
    /// since shares were measured. Shares that do not hold any more are dropped.
    fn meet(&mut self, table: &ReserveTable<'_>) -> Vec<Change> {
        let (groups, switches) = (groups(table.market()), switches(table.market()));
        let is_other_market = groups != self.groups || switches != self.switches;
        let mut dropped = vec![is_other_market; self.reserves.len()];
        (self.groups, self.switches) = (groups, switches);
        for state in table.reserves() {
            if !self.reserves.iter().any(|known| known.key == state.key) {
                let (base, parameters) = (worth(state), parameters(state));
                self.reserves.push(Known { key: state.key, base, parameters });
                self.since.push(Change::UNKNOWN);
                dropped.push(false);
            }
        }
        let mut changes = Vec::with_capacity(self.reserves.len());
        let since = self.since.iter_mut();
        for ((known, since), dropped) in self.reserves.iter_mut().zip(since).zip(&mut dropped) {
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
            if *dropped || !since.is_known() {
                *since = known.change(&now);
            }
            changes.push(known.change(&now));
        }
        if dropped.contains(&true) {
            for (shares, health) in self.shares.iter_mut().zip(&mut self.health) {
                if shares.reserves().iter().any(|reserve| dropped[usize::from(*reserve)]) {
                    (*shares, *health) = (Shares::UNKNOWN, f32::NAN);
                }
            }
        }
        changes
    }

    /// Keeps what valuing the obligation at a position told.
    fn learn(&mut self, at: usize, measured: Option<Measured>) {
        let unknown = Measured { shares: Shares::UNKNOWN, due: u64::MAX, debt: 0.0 };
        let Measured { shares, due, debt } = measured.unwrap_or(unknown);
        self.health[at] = shares.health(&self.since);
        (self.shares[at], self.due[at]) = (shares, due);
        self.obligations[at].debt = debt as f32;
    }

    /// Values an obligation; its shares are referred to what reserves were worth
    /// first. `None` if it cannot be valued.
    fn measure(
        &self,
        table: &ReserveTable<'_>,
        change: &[Change],
        key: &Address,
        account: &Obligation,
    ) -> Option<Measured> {
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
        let term = state.borrows.iter().flatten().filter_map(|borrow| borrow.term_end).min();
        Some(Measured {
            shares,
            due: self.switches.due(account, term),
            debt: state.health.borrowed_value.to_f64(),
        })
    }
}
