//! The model against the chain: what klend left in its accounts, and what the
//! model makes of the accounts before.
//!
//! [`reserve`] is about the refresh that is part of almost every instruction of
//! klend, [`Liquidated`] about a liquidation. What cannot be compared is left out,
//! never counted as agreement.

use core::fmt;

use klend_interface::state::Reserve;
use solana_address::Address;

use crate::{
    fields,
    refusal::{At, Refusal},
    time::Basis,
    time::Clock,
    version::KlendVersion,
};

mod liquidation;
mod reserve;

pub use liquidation::{Liquidated, pair};
pub use reserve::reserve;

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
    /// An obligation's values when it was liquidated.
    Health,
    /// Whether klend liquidates at all.
    Reason,
    /// Debt that a liquidation takes off.
    Repayment,
    /// Collateral that it takes.
    Seizure,
    /// What of it the vault pays out.
    Redemption,
}

impl Rule {
    /// All of them.
    pub const ALL: [Self; 10] = [
        Self::Interest,
        Self::Debt,
        Self::Fees,
        Self::Rewards,
        Self::Limits,
        Self::Health,
        Self::Reason,
        Self::Repayment,
        Self::Seizure,
        Self::Redemption,
    ];

    /// Its name, as metrics have it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Interest => "interest",
            Self::Debt => "debt",
            Self::Fees => "fees",
            Self::Rewards => "rewards",
            Self::Limits => "limits",
            Self::Health => "health",
            Self::Reason => "reason",
            Self::Repayment => "repayment",
            Self::Seizure => "seizure",
            Self::Redemption => "redemption",
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
    /// On the chain; bits of a [`Fraction`](crate::fraction::Fraction) or raw units.
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

/// An account in two states with no other between them.
#[derive(Debug, Clone, Copy)]
pub struct Change<'a, T> {
    /// Its address.
    pub key: Address,
    /// As it was.
    pub before: &'a T,
    /// As it is.
    pub after: &'a T,
}

/// Why two states say nothing about the model.
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
    /// The model refuses an account as it was.
    #[error("{0}")]
    Refused(Refusal),
    /// The obligation uses a reserve whose states before and at the liquidation are
    /// not there.
    #[error("reserve {0} is not there as it was before the liquidation and after it")]
    Unseen(Address),
}

/// The moment of a reserve's last refresh, where its account says it (klend
/// since 1.25).
#[must_use]
pub fn moment(reserve: &Reserve) -> Option<Clock> {
    let timestamp = fields::timestamp(&reserve.last_update);
    (timestamp != 0)
        .then(|| Clock { slot: reserve.last_update.slot, unix_timestamp: u64::from(timestamp) })
}

/// Whether what made `change` can be the model's klend, as it left it.
fn check_comparable(version: KlendVersion, change: &Change<'_, Reserve>) -> Result<(), Silent> {
    let Change { key, before, after } = change;
    let basis = |reserve: &Reserve| Basis::of(version, &reserve.config).at(key);
    let after_basis = basis(after).map_err(Silent::Refused)?;
    let basis = basis(before).map_err(Silent::Refused)?;
    if basis != after_basis || !same_configuration(version, before, after) {
        return Err(Silent::OtherConfiguration);
    }
    if basis == Basis::Seconds && fields::timestamp(&after.last_update) == 0 {
        return Err(Silent::NoTime);
    }
    Ok(())
}

/// Whether two states go by the same configuration. Withdrawal caps are counted in it and
/// may differ; so may bytes without a meaning in klend's `version`, which a refresh clears.
fn same_configuration(version: KlendVersion, before: &Reserve, after: &Reserve) -> bool {
    let mut config = after.config;
    config.reserved_1 = before.config.reserved_1;
    if !version.has_reserve_switches() {
        config.early_repay_remaining_interest_pct =
            before.config.early_repay_remaining_interest_pct;
        config.emergency_mode = before.config.emergency_mode;
    }
    config.deposit_withdrawal_cap = before.config.deposit_withdrawal_cap;
    config.debt_withdrawal_cap = before.config.debt_withdrawal_cap;
    bytemuck::bytes_of(&config) == bytemuck::bytes_of(&before.config)
}
