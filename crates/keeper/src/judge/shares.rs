//! What of an obligation's health each reserve has, and how reserves change.

use klend_interface::state::{LendingMarket, Obligation};
use klend_model::{
    constants::{MAX_BORROWS, MAX_DEPOSITS},
    fraction::Fraction,
    keys,
    reserve::ReserveState,
};
use solana_address::Address;

/// How close to one a health factor from shares is not trusted. They are kept as
/// `f32`, whose error over thirteen positions is a tenth of this.
pub(super) const SLACK: f32 = 1e-5;

/// What a unit of deposit and a unit of debt in one reserve are worth.
#[derive(Clone, Copy, Debug)]
pub(super) struct Worth {
    pub(super) deposit: f64,
    pub(super) debt: f64,
}

/// How both changed; not a number where that is not known.
#[derive(Clone, Copy, Debug)]
pub(super) struct Change {
    pub(super) deposit: f32,
    pub(super) debt: f32,
}

/// What else of a reserve an obligation's health hangs on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Parameters {
    pub(super) liquidation_threshold_pct: u8,
    pub(super) borrow_factor_pct: u64,
    pub(super) elevation_groups: [u8; 20],
    pub(super) debt_term_seconds: u64,
}

/// Which of an obligation's own reasons the market knows.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Switches {
    pub(super) orders: bool,
    pub(super) debt_terms: bool,
    /// Seconds from a margin call to deleveraging, where that is switched on.
    pub(super) margin_call: Option<u64>,
}

/// A reserve and what it was worth when shares were measured.
pub(super) struct Known {
    pub(super) key: Address,
    pub(super) base: Worth,
    pub(super) parameters: Parameters,
}

/// An elevation group's id, threshold and debt reserve.
pub(super) type Groups = Vec<(u8, u8, Address)>;

/// An obligation's shares: deposits first, then debts.
#[derive(Clone, Copy, Debug)]
pub(super) struct Shares {
    pub(super) deposits: u8,
    pub(super) positions: u8,
    /// Positions of reserves in [`Tracker::reserves`].
    pub(super) reserves: [u16; MAX_DEPOSITS + MAX_BORROWS],
    pub(super) weights: [f32; MAX_DEPOSITS + MAX_BORROWS],
}

/// What shares say of an obligation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    Healthy,
    Unhealthy,
    /// Nothing that could be relied on.
    Doubtful,
}

impl Known {
    pub(super) fn change(&self, now: &Worth) -> Change {
        Change {
            deposit: (now.deposit / self.base.deposit) as f32,
            debt: (now.debt / self.base.debt) as f32,
        }
    }
}

impl Change {
    pub(super) const UNKNOWN: Self = Self { deposit: f32::NAN, debt: f32::NAN };

    /// From nothing, anything is possible.
    pub(super) fn is_known(&self) -> bool {
        self.deposit.is_finite() && self.debt.is_finite() && self.deposit > 0.0 && self.debt > 0.0
    }
}

impl Shares {
    /// Of an obligation that has to be valued to know anything: nothing over
    /// nothing is not a number.
    pub(super) const UNKNOWN: Self = Self {
        deposits: 0,
        positions: 0,
        reserves: [0; MAX_DEPOSITS + MAX_BORROWS],
        weights: [0.0; MAX_DEPOSITS + MAX_BORROWS],
    };

    pub(super) fn push(&mut self, reserve: u16, weight: f64) {
        let at = usize::from(self.positions);
        self.reserves[at] = reserve;
        self.weights[at] = weight as f32;
        self.positions += 1;
    }

    /// The health factor after the change; not a number if it cannot be told.
    #[inline]
    pub(super) fn health(&self, change: &[Change]) -> f32 {
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

    /// What can be said without valuing it. Where nothing counts as collateral,
    /// klend's answer hangs on more than the health factor.
    #[inline]
    pub(super) fn verdict(&self, change: &[Change]) -> Verdict {
        let health = self.health(change);
        if health > 1.0 + SLACK {
            Verdict::Healthy
        } else if health > 0.0 && health < 1.0 - SLACK {
            Verdict::Unhealthy
        } else {
            Verdict::Doubtful
        }
    }

    /// Positions of the reserves it is made of, in [`Tracker::reserves`].
    pub(super) fn reserves(&self) -> &[u16] {
        &self.reserves[..usize::from(self.positions)]
    }
}

impl Switches {
    /// Unix time from which a reason of the obligation's own can apply; `term` is
    /// the end of the first of its debts' terms.
    pub(super) fn due(&self, account: &Obligation, term: Option<u64>) -> u64 {
        let has_order = account.obligation_orders.iter().any(|order| order.condition_type != 0);
        let order = (self.orders && has_order).then_some(0);
        let called = account.autodeleverage_margin_call_started_timestamp;
        let margin_call = self.margin_call.filter(|_| called != 0);
        let margin_call = margin_call.map(|period| called.saturating_add(period));
        let term = term.filter(|_| self.debt_terms);
        [order, margin_call, term].into_iter().flatten().min().unwrap_or(u64::MAX)
    }
}

/// Whether a health factor is above a limit, however it was rounded; what is not a number
/// is not.
pub(super) fn above(limit: f32) -> impl Fn(f32) -> bool {
    let limit = limit * (1.0 + 2.0 * SLACK);
    move |health| health > limit
}

pub(super) fn worth(state: &ReserveState<'_>) -> Worth {
    const CTOKENS: u64 = 1 << 40;
    let price = state.market_price.to_f64();
    let rate = state.liquidity_of(CTOKENS).map_or(f64::NAN, Fraction::to_f64) / CTOKENS as f64;
    Worth { deposit: price * rate, debt: price * state.cumulative_borrow_rate.to_f64() }
}

pub(super) fn parameters(state: &ReserveState<'_>) -> Parameters {
    let config = &state.account.config;
    Parameters {
        liquidation_threshold_pct: config.liquidation_threshold_pct,
        borrow_factor_pct: config.borrow_factor_pct,
        elevation_groups: config.elevation_groups,
        debt_term_seconds: config.debt_term_seconds,
    }
}

pub(super) fn switches(market: &LendingMarket) -> Switches {
    let period = market.individual_autodeleverage_margin_call_period_secs;
    let deleverages = market.autodeleverage_enabled != 0 && period != 0;
    Switches {
        orders: market.obligation_order_execution_enabled != 0,
        debt_terms: market.obligation_borrow_debt_term_liquidation_enabled != 0,
        margin_call: deleverages.then_some(period),
    }
}

pub(super) fn groups(market: &LendingMarket) -> Groups {
    market
        .elevation_groups
        .iter()
        .filter(|group| group.id != 0)
        .map(|group| {
            (group.id, group.liquidation_threshold_pct, keys::to_address(&group.debt_reserve))
        })
        .collect()
}
