//! Why the model gives no number: klend's own error, an abort of klend's
//! program, missing or unrelated accounts, or something nobody can know from
//! accounts.

use core::fmt;

use solana_address::Address;

use crate::{
    errors::{Code, KlendError},
    fraction::{Fraction, Overflow},
};

/// A pair of numbers that were compared and found wanting.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
pub enum Compared {
    /// Nothing was compared.
    Nothing,
    /// Integers: raw token units, slots, seconds, per cent.
    Integers {
        /// What is there.
        actual: u64,
        /// What it was held against.
        bound: u64,
    },
    /// Ratios or values in the market's currency.
    Fractions {
        /// What is there.
        actual: Fraction,
        /// What it was held against.
        bound: Fraction,
    },
}

/// klend would answer with this error.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
pub struct Rejection {
    /// klend's error.
    pub error: KlendError,
    /// The account it is about.
    pub account: Address,
    /// The numbers behind it.
    pub compared: Compared,
}

impl fmt::Display for Rejection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} [{}", self.error, self.account)?;
        match self.compared {
            Compared::Nothing => {}
            Compared::Integers { actual, bound } => write!(f, ": {actual} against {bound}")?,
            Compared::Fractions { actual, bound } => write!(f, ": {actual} against {bound}")?,
        }
        write!(f, "]")
    }
}

/// Something newer than klend's public source that decides the outcome.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
pub enum Unknowable {
    /// `permissioned_ops` of the account has the liquidation bit.
    #[error("liquidations are permissioned here, and how the permissioner signs is not public")]
    Permissioned,
    /// `config.emergency_mode` of the reserve is set.
    #[error("the reserve is in emergency mode, and which instructions that stops is not public")]
    ReserveEmergency,
}

/// Why there is no number.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
pub enum Refusal {
    /// klend returns one of its errors.
    #[error("{0}")]
    Klend(Rejection),
    /// klend's program aborts: a number under- or overflows, or an account holds
    /// a setting that klend would not have accepted.
    #[error(
        "klend's program aborts on {account}: a number does not fit, or a setting is one klend forbids"
    )]
    Abort {
        /// The account being worked on.
        account: Address,
    },
    /// The obligation uses a reserve that was not given.
    #[error("obligation {obligation} uses reserve {reserve}, which was not given")]
    MissingReserve {
        /// The obligation.
        obligation: Address,
        /// The reserve it names.
        reserve: Address,
    },
    /// An account of another market.
    #[error("{account} belongs to market {actual}, not to {expected}")]
    ForeignMarket {
        /// The reserve or obligation.
        account: Address,
        /// The market at hand.
        expected: Address,
        /// The market it names.
        actual: Address,
    },
    /// The answer depends on something that accounts do not tell.
    #[error("{account}: {reason}")]
    Unknowable {
        /// The account that says so.
        account: Address,
        /// What cannot be known.
        reason: Unknowable,
    },
}

impl Refusal {
    pub(crate) fn klend(error: Code, account: &Address) -> Self {
        Self::Klend(Rejection {
            error: error.into(),
            account: *account,
            compared: Compared::Nothing,
        })
    }

    pub(crate) fn integers(error: Code, account: &Address, actual: u64, bound: u64) -> Self {
        Self::Klend(Rejection {
            error: error.into(),
            account: *account,
            compared: Compared::Integers { actual, bound },
        })
    }

    pub(crate) fn fractions(
        error: Code,
        account: &Address,
        actual: Fraction,
        bound: Fraction,
    ) -> Self {
        Self::Klend(Rejection {
            error: error.into(),
            account: *account,
            compared: Compared::Fractions { actual, bound },
        })
    }

    /// klend's error number, where klend answers with one.
    #[must_use]
    pub fn klend_error(&self) -> Option<KlendError> {
        match self {
            Self::Klend(rejection) => Some(rejection.error),
            _ => None,
        }
    }
}

/// Says on which account an overflow happened.
pub(crate) trait At<T> {
    fn at(self, account: &Address) -> Result<T, Refusal>;
}

impl<T> At<T> for Result<T, Overflow> {
    #[inline]
    fn at(self, account: &Address) -> Result<T, Refusal> {
        self.map_err(|Overflow| Refusal::Abort { account: *account })
    }
}

/// What a number leaves out because it is newer than klend's public source.
///
/// A set of flags: a quote that carries one is right except for what the flag
/// names.
#[derive(Clone, Copy, Default, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
pub struct Caveats(u8);

impl Caveats {
    /// Nothing is left out.
    pub const NONE: Self = Self(0);
    /// A reserve drips reward tokens to depositors: after the slots that
    /// passed, a cToken is worth slightly more than the model says.
    pub const RESERVE_REWARDS: Self = Self(1);
    /// The repay reserve charges for early repayment of a fixed term; whether
    /// a liquidation pays it is not public.
    pub const EARLY_REPAY_PENALTY: Self = Self(1 << 1);
    /// The obligation is changing hands; whether that stops a liquidation is
    /// not public.
    pub const OWNERSHIP_TRANSFER: Self = Self(1 << 2);

    const SENTENCES: [(Self, &'static str); 3] = [
        (Self::RESERVE_REWARDS, "reserve rewards since the last refresh are not counted"),
        (Self::EARLY_REPAY_PENALTY, "an early-repay penalty is configured and not counted"),
        (
            Self::OWNERSHIP_TRANSFER,
            "an ownership transfer is under way and may block the liquidation",
        ),
    ];

    /// Whether nothing is left out.
    #[must_use]
    pub const fn is_none(self) -> bool {
        self.0 == 0
    }

    /// Whether all of `other`'s flags are set.
    #[must_use]
    pub const fn contains(self, other: Self) -> bool {
        self.0 & other.0 == other.0
    }

    /// Both sets together.
    #[must_use]
    pub const fn and(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    /// The flags that are set, in words.
    pub fn sentences(self) -> impl Iterator<Item = &'static str> {
        Self::SENTENCES.into_iter().filter(move |(flag, _)| self.contains(*flag)).map(|(_, s)| s)
    }
}

impl fmt::Display for Caveats {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (i, sentence) in self.sentences().enumerate() {
            if i > 0 {
                f.write_str("; ")?;
            }
            f.write_str(sentence)?;
        }
        Ok(())
    }
}

impl fmt::Debug for Caveats {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Caveats({self})")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rejection_shows_key_and_both_numbers() {
        let key = Address::new_from_array([3; 32]);
        let text = Refusal::integers(Code::ReserveStale, &key, 10, 12).to_string();
        assert!(text.contains("6009 ReserveStale"), "{text}");
        assert!(text.contains(&key.to_string()) && text.contains("10 against 12"), "{text}");
    }

    #[test]
    fn caveats_speak() {
        let both = Caveats::RESERVE_REWARDS.and(Caveats::OWNERSHIP_TRANSFER);
        assert!(both.contains(Caveats::RESERVE_REWARDS) && !both.is_none());
        assert!(!both.contains(Caveats::EARLY_REPAY_PENALTY));
        assert_eq!(both.sentences().count(), 2);
        assert_eq!(Caveats::NONE.to_string(), "");
    }
}
