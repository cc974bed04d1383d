//! Why the model gives no number: klend's own error, an abort of klend's
//! program, missing or unrelated accounts, or a setting no known klend has.

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

/// A setting that the versions of klend known here do not have.
///
/// A newer klend may know it; these abort on it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
pub enum Unknowable {
    /// The reserve counts interest in a way that is not known.
    #[error("interest rate basis {0} is not known: 0 counts slots, 1 counts seconds")]
    AccrualBasis(u8),
    /// An order waits for something that is not known.
    #[error("order condition {0} is not known: 0 to 6 are")]
    OrderCondition(u8),
    /// An order asks for something that is not known.
    #[error("order kind {0} is not known in a klend whose orders liquidate: 0 and 1 are")]
    OrderKind(u8),
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
    /// The answer depends on a setting whose meaning is not known.
    #[error("{account}: {reason}")]
    Unknowable {
        /// The account that says so.
        account: Address,
        /// The setting.
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

/// Says on which account it happened.
pub(crate) trait At<T> {
    fn at(self, account: &Address) -> Result<T, Refusal>;
}

impl<T> At<T> for Result<T, Unknowable> {
    #[inline]
    fn at(self, account: &Address) -> Result<T, Refusal> {
        self.map_err(|reason| Refusal::Unknowable { account: *account, reason })
    }
}

impl<T> At<T> for Result<T, Overflow> {
    #[inline]
    fn at(self, account: &Address) -> Result<T, Refusal> {
        self.map_err(|Overflow| Refusal::Abort { account: *account })
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
}
