//! The model against the chain: what an update left in a reserve, and what the
//! model makes of the account before it.
//!
//! A refresh is part of almost every instruction of klend, so what else changed
//! with it decides what can be compared: the cumulative rate always, the rest
//! only where nothing but a refresh happened. What cannot be compared is left
//! out, never counted as agreement.

use core::fmt;

use klend_interface::state::{LendingMarket, Reserve};
use solana_address::Address;

use crate::{
    accrual::Basis,
    fields,
    fraction::Fraction,
    refresh,
    refusal::Refusal,
    reserve::{Clock, ReserveState},
    version::KlendVersion,
};

/// A rule that a number follows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
pub enum Rule {
    /// Growth of debt: the cumulative borrow rate.
    Interest,
    /// Debt after interest.
    Debt,
    /// Fees of the protocol and of referrers.
    Fees,
    /// Rewards out of the pot.
    Rewards,
    /// Which limits are crossed.
    Limits,
}

impl Rule {
    /// All of them.
    pub const ALL: [Self; 5] =
        [Self::Interest, Self::Debt, Self::Fees, Self::Rewards, Self::Limits];

    /// Its name, as metrics have it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Interest => "interest",
            Self::Debt => "debt",
            Self::Fees => "fees",
            Self::Rewards => "rewards",
            Self::Limits => "limits",
        }
    }
}

impl fmt::Display for Rule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

/// One number on both sides.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
pub struct Compared {
    /// The rule it follows.
    pub rule: Rule,
    /// Which number.
    pub what: &'static str,
    /// On the chain; bits of a [`Fraction`] or raw units.
    pub chain: u128,
    /// In the model.
    pub model: u128,
}

impl Compared {
    /// Whether both are the same, to the last bit.
    #[must_use]
    pub fn agrees(&self) -> bool {
        self.chain == self.model
    }
}

impl fmt::Display for Compared {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}, {}: chain {}, model {}", self.rule, self.what, self.chain, self.model)
    }
}

/// Why two states of a reserve say nothing about the model.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
pub enum Silent {
    /// The later state is not of a later moment: nothing was refreshed.
    #[error("nothing was refreshed between the two states")]
    NoRefresh,
    /// The configuration changed, which refreshes by the old one first.
    #[error("the reserve's configuration changed")]
    OtherConfiguration,
    /// Seconds count, and the update wrote no time: an older klend made it.
    #[error("the update wrote no time, as klend before 1.25 does not")]
    NoTime,
    /// The model refuses the reserve as it was.
    #[error("{0}")]
    Refused(Refusal),
}

/// Compares what a refresh made of a reserve with what the model makes of it.
///
/// `before` and `after` are two states of one account with no other between
/// them. `clock` is the moment of `after`; since klend 1.25 the account says it
/// itself ([`moment`]).
///
/// # Errors
/// [`Silent`], where there is nothing to compare.
pub fn reserve(
    version: KlendVersion,
    market_key: &Address,
    market: &LendingMarket,
    key: &Address,
    before: &Reserve,
    after: &Reserve,
    clock: Clock,
) -> Result<Vec<Compared>, Silent> {
    if (after.last_update.slot, fields::timestamp(&after.last_update))
        == (before.last_update.slot, fields::timestamp(&before.last_update))
    {
        return Err(Silent::NoRefresh);
    }
    if !same_configuration(before, after) {
        return Err(Silent::OtherConfiguration);
    }
    let model = refresh::reserve(version, market_key, market, key, before, clock, None)
        .map_err(Silent::Refused)?;
    let chain = ReserveState::stored(version, key, after).map_err(Silent::Refused)?;
    if model.basis == Basis::Seconds && chain.timestamp == 0 {
        return Err(Silent::NoTime);
    }
    let mut compared = Vec::with_capacity(8);
    let mut compare = |rule, what, chain: u128, model: u128| {
        compared.push(Compared { rule, what, chain, model });
    };
    let bits = Fraction::to_bits;
    compare(
        Rule::Interest,
        "cumulative borrow rate",
        bits(chain.cumulative_borrow_rate),
        bits(model.cumulative_borrow_rate),
    );
    // Tokens that came or went: more than a refresh happened.
    let held =
        |state: &ReserveState<'_>| u128::from(state.available) + u128::from(state.rewards_pot);
    let moved = chain.ctoken_supply != model.ctoken_supply || held(&chain) != held(&model);
    if moved {
        return Ok(compared);
    }
    compare(Rule::Debt, "borrowed", bits(chain.borrowed), bits(model.borrowed));
    compare(Rule::Rewards, "pot", chain.rewards_pot.into(), model.rewards_pot.into());
    // Referrers' part is taken out of the pending fees when obligations are
    // refreshed, which leaves no other trace here.
    if model.absolute_referral_rate == Fraction::ZERO {
        compare(Rule::Fees, "protocol", bits(chain.protocol_fees), bits(model.protocol_fees));
        compare(
            Rule::Fees,
            "pending for referrers",
            bits(chain.pending_referrer_fees),
            bits(model.pending_referrer_fees),
        );
    }
    compare(
        Rule::Limits,
        "deposit limit crossed at",
        chain.deposit_limit_crossed_at.into(),
        model.deposit_limit_crossed_at.into(),
    );
    compare(
        Rule::Limits,
        "borrow limit crossed at",
        chain.borrow_limit_crossed_at.into(),
        model.borrow_limit_crossed_at.into(),
    );
    Ok(compared)
}

/// The moment of a reserve's last refresh, where its account says it (klend
/// since 1.25).
#[must_use]
pub fn moment(reserve: &Reserve) -> Option<Clock> {
    let timestamp = fields::timestamp(&reserve.last_update);
    (timestamp != 0)
        .then(|| Clock { slot: reserve.last_update.slot, unix_timestamp: u64::from(timestamp) })
}

/// Whether two states go by the same configuration. Withdrawal caps are counted
/// in it and may differ.
fn same_configuration(before: &Reserve, after: &Reserve) -> bool {
    let mut config = after.config;
    config.deposit_withdrawal_cap = before.config.deposit_withdrawal_cap;
    config.debt_withdrawal_cap = before.config.debt_withdrawal_cap;
    bytemuck::bytes_of(&config) == bytemuck::bytes_of(&before.config)
}
