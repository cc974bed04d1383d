//! Liquidates unhealthy Kamino Lend (klend) obligations inside a klend flash
//! loan: one transaction, none of the keeper's own money, all or nothing.
//!
//! ```text
//! klend flash_borrow            loan arrives in the keeper's debt account
//! klend refresh …               reserves, then the obligation
//! this program: liquidate       repay debt, seize collateral, sell it, check the profit
//! klend flash_repay             principal + fee leave the keeper's debt account
//! ```
//!
//! The program keeps no state and holds no funds: there is nothing to
//! administer, to upgrade by configuration or to steal. Everything a keeper
//! wants limited is an argument the keeper signs.
//!
//! Where to read what: `entrypoint` and `account_list` are where execution begins,
//! `introspection` proves the flash loan from the
//! instructions sysvar, `klend` holds every klend number, `token` reads token
//! accounts, `swap` isolates swap programs, `instructions` ties them together.

#![cfg_attr(
    not(test),
    warn(
        clippy::arithmetic_side_effects,
        clippy::cast_lossless,
        clippy::cast_possible_truncation,
        clippy::cast_possible_wrap,
        clippy::cast_sign_loss,
        clippy::expect_used,
        clippy::indexing_slicing,
        clippy::panic,
        clippy::unreachable,
        clippy::unwrap_used,
    )
)]

use anchor_lang::prelude::*;

pub mod account_list;
pub mod checks;
pub mod entrypoint;
pub mod errors;
pub mod events;
pub mod instructions;
pub mod introspection;
pub mod klend;
pub mod reader;
pub mod stages;
pub mod state;
pub mod swap;
pub mod token;

pub use errors::FlashLiquidatorError;
pub use events::*;
pub use instructions::*;

declare_id!("FLi74WSjHMbPZNCKyWcesWKNYajvD2vRZKbBX1tB9Vjx");

/// Whom to tell about a vulnerability: `security.txt`, which explorers look for in
/// the deployed ELF.
const SECURITY_TXT: &str = concat!(
    "=======BEGIN SECURITY.TXT V1=======\0",
    "name\0klend-flash-liquidator\0",
    "project_url\0https://github.com/klend-flash-liquidator/klend-flash-liquidator\0",
    "contacts\0link:https://github.com/klend-flash-liquidator/klend-flash-liquidator/security/advisories/new\0",
    "policy\0https://github.com/klend-flash-liquidator/klend-flash-liquidator/blob/main/SECURITY.md\0",
    "preferred_languages\0en\0",
    "source_code\0https://github.com/klend-flash-liquidator/klend-flash-liquidator\0",
    "=======END SECURITY.TXT V1=======\0"
);

/// What Anchor's dispatcher would end in: the instructions below are declared for it,
/// and `entrypoint` carries them out.
#[cfg(any(not(target_os = "solana"), feature = "no-entrypoint"))]
fn only_declared() -> anchor_lang::error::Error {
    checks::fail_interface(errors::InterfaceError::InstructionFallbackNotFound, None).into()
}

// As Anchor knows them, for clients and the IDL. On chain `entrypoint` takes the place
// of Anchor's dispatcher.
/// Entry points.
#[cfg(any(not(target_os = "solana"), feature = "no-entrypoint"))]
#[program]
pub mod flash_liquidator {
    use super::*;

    /// Liquidates one obligation with the flash loan this instruction stands in,
    /// sells the collateral, and fails unless the keeper's debt account covers
    /// fee and minimum profit on top of what it held before.
    ///
    /// # Accounts
    /// [`Liquidate`]. Signer: `keeper`, who also signs the flash loan. Before
    /// it, in the same transaction and slot, klend must have refreshed the
    /// obligation and its reserves.
    ///
    /// # Fails if
    /// * it is not a top-level instruction between a klend flash borrow and its
    ///   repay, of the same keeper, reserve, mint and token account;
    /// * the deadline has passed, or the cap is zero or more than the loan;
    /// * a token account is not the keeper's, or not of the right mint;
    /// * klend wants a permissioner for it, who does not sign;
    /// * klend refuses the liquidation (klend's error number, 6000..6194);
    /// * cTokens are left over and the keeper did not allow it;
    /// * less collateral arrives than `min_collateral_received`;
    /// * a swap program leaves the swap authority or an account of it other than it was,
    ///   takes more than it was given, or touches the keeper's debt account though
    ///   `swap_debt` receives the proceeds;
    /// * the profit is below `min_profit`.
    ///
    /// # Emits
    /// [`Liquidated`].
    pub fn liquidate<'info>(
        ctx: Context<'info, Liquidate<'info>>,
        args: LiquidateArgs,
    ) -> Result<()> {
        let _ = (ctx, args);
        Err(only_declared())
    }

    /// Opens a bracket around top-level instructions: notes the balances of the
    /// keeper's accounts, for the `settle` that must follow to compare with.
    ///
    /// # Accounts
    /// [`BracketAccounts`]. Signer: `keeper`, who also signs the flash loan.
    ///
    /// # Fails if
    /// * it is not a top-level instruction between a klend flash borrow and its
    ///   repay, of the same keeper, reserve, mint and token account;
    /// * it is not the instruction right after the borrow;
    /// * no `settle` with the same accounts stands at `settle_index` before the
    ///   repay, or another instruction of this program does that is no `liquidate`;
    /// * the keeper is no plain wallet;
    /// * the deadline has passed;
    /// * a guarded account is not the keeper's, or has a delegate or close authority.
    pub fn open<'info>(ctx: Context<'info, BracketAccounts<'info>>, args: OpenArgs) -> Result<()> {
        let _ = (ctx, args);
        Err(only_declared())
    }

    /// Ends a bracket: fails unless the debt account covers fee and minimum
    /// profit on top of what it held, no guarded account lost more than agreed, and
    /// these accounts and the keeper's wallet are what they were. Closes the bracket to
    /// the keeper.
    ///
    /// # Accounts
    /// [`BracketAccounts`]: those of the `open`, in the same order. Signer: `keeper`.
    ///
    /// # Emits
    /// [`Settled`].
    pub fn settle<'info>(ctx: Context<'info, BracketAccounts<'info>>) -> Result<()> {
        let _ = ctx;
        Err(only_declared())
    }

    /// Empties token accounts of the keeper's swap authority into the keeper's own and
    /// closes them to the keeper: what somebody sent there, and the rent. One that the
    /// token program would not close (a fee is withheld in it, or somebody else is to
    /// close it) is emptied and stays.
    ///
    /// # Accounts
    /// [`Sweep`]. Signer: `keeper`.
    ///
    /// # Fails if
    /// * it is not a top-level instruction;
    /// * there is no account to sweep, or the remaining accounts are no groups of four;
    /// * an account is not the swap authority's, or not the keeper's, or not of the mint.
    pub fn sweep<'info>(ctx: Context<'info, Sweep<'info>>, swap_authority_bump: u8) -> Result<()> {
        let _ = (ctx, swap_authority_bump);
        Err(only_declared())
    }
}
