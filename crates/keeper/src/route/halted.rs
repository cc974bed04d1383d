//! Mints whose authority has stopped what a liquidation does with them.

use flash_liquidator_client::token_2022::{self, Trait};
use solana_address::Address;

use crate::book::accounts::Accounts;

/// A liquidation that a mint's authority does not let through.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("mint {mint}: {why}")]
pub struct Halted {
    /// The mint.
    pub mint: Address,
    /// What it has.
    pub why: Trait,
}

impl Halted {
    /// Whether tokens of a mint cannot be moved now, as far as it is known.
    pub fn now(accounts: &Accounts, mint: &Address) -> Option<Self> {
        let stops = |one: &Trait| matches!(one, Trait::Paused | Trait::NonTransferable);
        Self::by(accounts, mint, stops)
    }

    /// Whether a new account of a mint could not be used, as far as it is known.
    pub fn anew(accounts: &Accounts, mint: &Address) -> Option<Self> {
        Self::by(accounts, mint, |one| one.forbids())
    }

    fn by(accounts: &Accounts, mint: &Address, stops: impl Fn(&Trait) -> bool) -> Option<Self> {
        let account = accounts.get(mint)?;
        let traits = token_2022::traits(&account.owner, &account.data);
        traits.into_iter().find(stops).map(|why| Self { mint: *mint, why })
    }
}
