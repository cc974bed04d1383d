//! Which klend: the versions whose rules are known, and where they differ.
//!
//! klend's source was read at 1.16, 1.24, 1.25 and, in part, at 1.26. What no
//! number here depends on is the same in all of them. Every rule that differs is
//! one method below, and is asked at one place of this crate; nothing else looks
//! at the version.

use core::{fmt, str::FromStr};

/// A version of klend's program.
///
/// The default is the newest one that mainnet was seen to run and whose
/// liquidations were read in full.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize), serde(into = "&str"))]
pub enum KlendVersion {
    /// 1.16, the newest whose whole source is in the public repository's main
    /// branch, and so the one that is compiled most easily.
    V1_16,
    /// 1.24: reserve rewards, emergency mode, permissioners.
    V1_24,
    /// 1.25: interest by the second, prices of zero.
    #[default]
    V1_25,
    /// 1.26: orders no longer liquidate. Its arithmetic of liquidations was not
    /// read ([`KlendVersion::caveat`]).
    V1_26,
}

/// A version that is not among those known.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("klend {0:?} is not a version whose rules are known: 1.16, 1.24, 1.25 and 1.26 are")]
pub struct UnknownVersion(pub String);

impl KlendVersion {
    /// All of them, oldest first.
    pub const ALL: [Self; 4] = [Self::V1_16, Self::V1_24, Self::V1_25, Self::V1_26];

    /// `"1.25"`.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::V1_16 => "1.16",
            Self::V1_24 => "1.24",
            Self::V1_25 => "1.25",
            Self::V1_26 => "1.26",
        }
    }

    /// What is taken for granted about this version because it was not read.
    #[must_use]
    pub const fn caveat(self) -> Option<&'static str> {
        match self {
            Self::V1_26 => Some(
                "klend 1.26's interest, bonuses and amounts were not read; they are taken to be 1.25's",
            ),
            _ => None,
        }
    }

    /// The number of its last error.
    #[must_use]
    pub const fn last_error(self) -> u32 {
        match self {
            Self::V1_16 => 6169,
            Self::V1_24 | Self::V1_25 => 6185,
            Self::V1_26 => 6194,
        }
    }

    /// A reserve says whether its interest counts slots or seconds, and
    /// `last_update` holds a time beside its slot. Before, slots were counted.
    /// (1.25)
    pub(crate) const fn has_accrual_basis(self) -> bool {
        matches!(self, Self::V1_25 | Self::V1_26)
    }

    /// The terms of compound interest are multiplied by their numbers of units
    /// before the next power of the rate, which keeps digits that were lost
    /// before. (1.17)
    pub(crate) const fn compounds_term_by_term(self) -> bool {
        !matches!(self, Self::V1_16)
    }

    /// Reserves may have rewards, an emergency mode and a permissioner. Before,
    /// those bytes had no meaning. (between 1.17 and 1.24)
    pub(crate) const fn has_reserve_switches(self) -> bool {
        !matches!(self, Self::V1_16)
    }

    /// What a reserve holds is compared with its limits after a liquidation's
    /// repayment, and so has to be countable then. Before, only where it was
    /// refreshed. (between 1.17 and 1.24)
    pub(crate) const fn checks_limits_after_repayment(self) -> bool {
        !matches!(self, Self::V1_16)
    }

    /// A price of zero is recognised and never used. Before, it made Pyth's and
    /// Switchboard's feeds unreadable and was accepted from Scope. (1.25)
    pub(crate) const fn knows_zero_prices(self) -> bool {
        matches!(self, Self::V1_25 | Self::V1_26)
    }

    /// An owner's order is a reason to liquidate. Since 1.26 orders have an
    /// instruction of their own, and their kinds other numbers.
    pub(crate) const fn orders_liquidate(self) -> bool {
        !matches!(self, Self::V1_26)
    }
}

impl fmt::Display for KlendVersion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

impl From<KlendVersion> for &'static str {
    fn from(version: KlendVersion) -> Self {
        version.name()
    }
}

/// `"1.25"` or, with the patch that was read, `"1.25.0"`.
impl FromStr for KlendVersion {
    type Err = UnknownVersion;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let minor = text.strip_suffix(".0").unwrap_or(text);
        Self::ALL
            .into_iter()
            .find(|version| version.name() == minor)
            .ok_or_else(|| UnknownVersion(text.to_owned()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_version_is_read_or_named() {
        for version in KlendVersion::ALL {
            assert_eq!(version.name().parse(), Ok(version));
            assert_eq!(format!("{version}.0").parse(), Ok(version));
        }
        for unknown in ["1.20", "1.25.1", "1.2", "", "v1.25", "2.0"] {
            let error = unknown.parse::<KlendVersion>().unwrap_err();
            assert_eq!(error, UnknownVersion(unknown.to_owned()));
            assert!(error.to_string().contains(&format!("{unknown:?}")), "{error}");
        }
        assert_eq!(KlendVersion::default().name(), "1.25");
    }

    #[test]
    fn rules_change_once_and_in_their_version() {
        type Rule = fn(KlendVersion) -> bool;
        let rules: [(Rule, [bool; 4]); 5] = [
            (KlendVersion::has_accrual_basis, [false, false, true, true]),
            (KlendVersion::compounds_term_by_term, [false, true, true, true]),
            (KlendVersion::has_reserve_switches, [false, true, true, true]),
            (KlendVersion::knows_zero_prices, [false, false, true, true]),
            (KlendVersion::orders_liquidate, [true, true, true, false]),
        ];
        for (rule, expected) in rules {
            assert_eq!(KlendVersion::ALL.map(rule), expected);
        }
    }
}
