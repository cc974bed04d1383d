//! Why an obligation that could be liquidated is not tried, by name.

use anyhow::Error;
use flash_liquidator_client::budget::BudgetError;
use klend_fork::ForkError;
use klend_model::{
    errors::{Code, KlendError},
    refusal::Refusal,
};
use solana_address::Address;

use super::{
    fees::TooDear, halted::Halted, position::NoWay, terms::TooLittle, venue::NothingSells,
};
use crate::judge::policy::Denied;

/// Accounts that the path needs and that were not read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{} accounts it needs were not read yet, {} among them", .0.len(), .0.first().copied().unwrap_or_default())]
pub struct Unread(pub Vec<Address>);

/// A reason. Its name is an interface: metrics, the ledger and `races` have it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Reason {
    /// Less is left than the floor, or fees and tip have no room in it.
    BelowFloor,
    /// No pool that is known sells the collateral for the debt.
    NothingSells,
    /// No reserve lends enough within the fee limit, or no pool takes as much.
    NoLender,
    /// The transaction has too many bytes, accounts or units.
    DoesNotFit,
    /// klend or a token program refuses an extension of its token.
    Token2022,
    /// Only the market's permissioner may.
    Permissioned,
    /// klend finds it too small.
    TooSmall,
    /// The operator's lists.
    Denied,
    /// A mint's authority has stopped its token.
    MintStopped,
    /// Accounts that it needs were not read yet, or no blockhash that is young enough.
    Unread,
    /// The key cannot pay for the transaction.
    Starved,
    /// Model and chain differ about one of its reserves.
    Differs,
    /// klend refuses for another reason.
    Refused,
    /// Something else failed on the way.
    Failed,
}

impl Reason {
    /// All of them.
    pub const ALL: [Self; 14] = [
        Self::BelowFloor,
        Self::NothingSells,
        Self::NoLender,
        Self::DoesNotFit,
        Self::Token2022,
        Self::Permissioned,
        Self::TooSmall,
        Self::Denied,
        Self::MintStopped,
        Self::Unread,
        Self::Starved,
        Self::Differs,
        Self::Refused,
        Self::Failed,
    ];

    /// What an error on the way to a transaction means.
    #[must_use]
    pub fn of(error: &Error) -> Self {
        if error.is::<TooLittle>() || error.is::<TooDear>() {
            Self::BelowFloor
        } else if error.is::<NothingSells>() {
            Self::NothingSells
        } else if error.is::<NoWay>() {
            Self::NoLender
        } else if error.is::<BudgetError>()
            || matches!(error.downcast_ref(), Some(ForkError::Assemble(_)))
        {
            Self::DoesNotFit
        } else if error.is::<Denied>() {
            Self::Denied
        } else if error.is::<Halted>() {
            Self::MintStopped
        } else if error.is::<Unread>() {
            Self::Unread
        } else if let Some(refusal) = error.downcast_ref::<Refusal>() {
            refusal.klend_error().map_or(Self::Refused, Self::of_klend)
        } else {
            Self::Failed
        }
    }

    /// What one of klend's errors means.
    #[must_use]
    pub fn of_klend(error: KlendError) -> Self {
        match error.lending_error() {
            Some(Code::MissingPermissioner) => Self::Permissioned,
            Some(Code::UnsupportedTokenExtension) => Self::Token2022,
            Some(Code::LiquidationTooSmall) => Self::TooSmall,
            _ => Self::Refused,
        }
    }

    /// Its name in metrics and the ledger.
    #[must_use]
    pub const fn code(self) -> &'static str {
        match self {
            Self::BelowFloor => "too_little_profit",
            Self::NothingSells => "nothing_sells",
            Self::NoLender => "no_lender",
            Self::DoesNotFit => "does_not_fit",
            Self::Token2022 => "token_2022",
            Self::Permissioned => "permissioned",
            Self::TooSmall => "too_small",
            Self::Denied => "denied",
            Self::MintStopped => "mint_stopped",
            Self::Unread => "not_read_yet",
            Self::Starved => "key_cannot_pay",
            Self::Differs => "model_differs",
            Self::Refused => "refused",
            Self::Failed => "not_decided",
        }
    }

    /// In words.
    #[must_use]
    pub const fn words(self) -> &'static str {
        match self {
            Self::BelowFloor => "below floor",
            Self::NothingSells => "nothing sells this",
            Self::NoLender => "no lender",
            Self::DoesNotFit => "does not fit",
            Self::Token2022 => "Token-2022",
            Self::Permissioned => "permissioned",
            Self::TooSmall => "too small",
            Self::Denied => "deny list",
            Self::MintStopped => "mint stopped",
            Self::Unread => "accounts not read yet",
            Self::Starved => "key cannot pay",
            Self::Differs => "model differs from the chain",
            Self::Refused => "refused by klend",
            Self::Failed => "could not be decided",
        }
    }

    /// The words for a name.
    #[must_use]
    pub fn words_of(code: &str) -> Option<&'static str> {
        Self::ALL.into_iter().find(|why| why.code() == code).map(Self::words)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn errors_have_the_reason_that_they_are_of() {
        let key = Address::default();
        let of = |error: Error| Reason::of(&error.context("in vain"));
        let too_little = TooLittle { quoted: 1, cost: 2, floor: 3 };
        assert_eq!(of(too_little.into()), Reason::BelowFloor);
        assert_eq!(of(TooDear { least: 2, budget: 1 }.into()), Reason::BelowFloor);
        assert_eq!(of(NothingSells { from: key, to: key }.into()), Reason::NothingSells);
        assert_eq!(of(NoWay { obligation: key, max_repay_usd: None }.into()), Reason::NoLender);
        assert_eq!(of(BudgetError::UnitLimit { units: 2_000_000 }.into()), Reason::DoesNotFit);
        assert_eq!(of(Denied(key).into()), Reason::Denied);
        assert_eq!(of(Unread(vec![key]).into()), Reason::Unread);
        assert_eq!(of(anyhow::anyhow!("else")), Reason::Failed);
        let klend = |code| Reason::of_klend(KlendError::from_code(code).unwrap());
        assert_eq!(klend(6183), Reason::Permissioned);
        assert_eq!(klend(6108), Reason::Token2022);
        assert_eq!(klend(6016), Reason::Refused);
    }

    #[test]
    fn no_two_reasons_have_one_name() {
        for name in [Reason::code, Reason::words] {
            assert_eq!(Reason::ALL.map(name).into_iter().collect::<BTreeSet<_>>().len(), 14);
        }
        assert_eq!(Reason::words_of("denied"), Some("deny list"));
        assert_eq!(Reason::words_of("?"), None);
    }
}
