use std::path::PathBuf;

use flash_liquidator_client::{budget::BudgetError, receiver::BuildError};
use klend_model::{accounts::AccountError, version::UnknownVersion};
use solana_address::Address;

use crate::send::Failure;

/// Why a world could not be made, or something in it could not be done.
#[derive(Debug, thiserror::Error)]
pub enum ForkError {
    /// A file of a fork folder, or a program's ELF, cannot be used.
    #[error("{}: {reason}", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// A program has not been built.
    #[error(
        "program {name}: no file {}; build the programs with `cargo xtask build`{}",
        path.display(),
        variable.map(|variable| format!(", or name an ELF in {variable}")).unwrap_or_default()
    )]
    ProgramNotBuilt {
        /// Name of the program.
        name: &'static str,
        /// Where its ELF was looked for.
        path: PathBuf,
        /// Environment variable that names another ELF, if the program has one.
        variable: Option<&'static str>,
    },
    /// `KLEND_ELF` names a program, and `KLEND_VERSION` not which klend it is.
    #[error("KLEND_ELF names a klend, and KLEND_VERSION has to say which: {0}")]
    KlendVersion(UnknownVersion),
    /// The virtual machine refuses an account or a program.
    #[error("account {key}: {reason}")]
    Refused {
        /// The account.
        key: Address,
        /// The virtual machine's reason.
        reason: String,
    },
    /// There is no such account.
    #[error("{what} {key}: there is no such account in this world")]
    Missing {
        /// What it was wanted as.
        what: &'static str,
        /// Its address.
        key: Address,
    },
    /// An account is not what it was taken for.
    #[error("{what} {key}: {reason}")]
    Unexpected {
        /// What it was taken for.
        what: &'static str,
        /// Its address.
        key: Address,
        /// What is wrong with it.
        reason: String,
    },
    /// An account is not the klend account it was taken for.
    #[error(transparent)]
    Klend(#[from] AccountError),
    /// No reserve of that name.
    #[error("no reserve named {symbol:?}; this world has {known}")]
    UnknownReserve {
        /// The name asked for.
        symbol: String,
        /// The names there are.
        known: String,
    },
    /// The price of a reserve cannot be set or read.
    #[error("price of reserve {reserve}: {reason}")]
    Price {
        /// The reserve.
        reserve: Address,
        /// Why.
        reason: String,
    },
    /// An instruction cannot be built.
    #[error(transparent)]
    Build(#[from] BuildError),
    /// Instructions do not make a transaction.
    #[error(transparent)]
    Assemble(#[from] BudgetError),
    /// A transaction cannot be signed.
    #[error("the transaction cannot be signed: {0}")]
    Sign(String),
    /// A transaction failed.
    #[error(transparent)]
    Failed(#[from] Box<Failure>),
}

impl ForkError {
    /// The failed transaction, if that is what happened.
    #[must_use]
    pub fn failure(&self) -> Option<&Failure> {
        match self {
            Self::Failed(failure) => Some(failure),
            _ => None,
        }
    }

    pub(crate) fn file(path: impl Into<PathBuf>, reason: impl ToString) -> Self {
        Self::File { path: path.into(), reason: reason.to_string() }
    }
}
