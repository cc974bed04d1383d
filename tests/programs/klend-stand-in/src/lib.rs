//! A from-scratch stand-in for klend (Kamino Lending), **for tests only and
//! never deployed**.
//!
//! Tests and the demo need a klend that runs in a local virtual machine. This
//! program was written from published facts about klend's interface and
//! arithmetic, without its source. It is loaded at klend's program id and
//! works on klend's account bytes, with klend's discriminators, account
//! orders, checks, rounding and error numbers, so that whatever is built on it
//! runs unchanged on the real program.
//!
//! # Layout
//! * [`state`]: account layouts, in place over the accounts' bytes.
//! * [`math`], [`interest`], [`pool`], [`price`], [`fees`], [`position`],
//!   [`liquidation`]: the arithmetic, without accounts or transfers.
//! * [`accounts`], [`introspection`], [`token`], [`vault`], [`farms`]: checks
//!   and effects that several instructions share.
//! * [`processor`]: one file per instruction.
//!
//! # What is here
//! Opening and holding a position: `init_user_metadata`, `init_obligation`,
//! `init_obligation_farms_for_reserve`, `init_referrer_token_state`, `request_elevation_group`,
//! `deposit_reserve_liquidity`, `deposit_obligation_collateral_v2`,
//! `deposit_reserve_liquidity_and_obligation_collateral_v2`,
//! `borrow_obligation_liquidity_v2`, `redeem_reserve_collateral`. Refreshes:
//! `refresh_reserve`, `refresh_reserves_batch`, `refresh_obligation`,
//! `refresh_obligation_farms_for_reserve`. Flash loans:
//! `flash_borrow_reserve_liquidity`, `flash_repay_reserve_liquidity`, and of
//! `update_reserve_config` what sets their fee.
//! Liquidations for all six reasons:
//! `liquidate_obligation_and_redeem_reserve_collateral` and its `_v2`.
//!
//! # How close it is
//! `tests/against_klend.rs` runs every case on both programs when `KLEND_ELF`
//! names the real one: the same outcome, down to the error number and to which
//! of two errors comes first, and the same bytes in every account. Where klend
//! panics, so does the stand-in. Compute units are not imitated.
//!
//! # What differs from klend
//! * Of the oracles only Scope is read; a reserve with Pyth or Switchboard is
//!   refused (6054, 6055) when its price is due.
//! * Referrers earn of interest, and not of flash loans: a referrer account given
//!   to one is refused (6074).
//! * Borrowing "everything" (`u64::MAX`) is refused (6003).
//! * An obligation changes its elevation group only while it has no debt
//!   (6071).
//! * No program is on the list of those that may call the first liquidation
//!   instruction by CPI.
//! * `execute_obligation_order` and the other instructions that are not listed
//!   above are missing.
//!
//! # Versions
//! klend 1.25 is imitated: interest by the reserve's own clock, rewards, prices of
//! zero, emergency mode of a reserve, permissioned operations. klend 1.26 differs
//! in what is here by one rule, users' orders do not liquidate, and in which fault
//! of a reserve a flash loan names first; a market asks for it with
//! [`state::Version`]. What nobody could read of 1.26 is taken to be as in
//! 1.25.

use solana_program::declare_id;

pub mod accounts;
pub mod discriminator;
pub mod error;
pub mod farms;
pub mod fees;
pub mod interest;
pub mod introspection;
pub mod liquidation;
pub mod math;
pub mod permissioner;
pub mod pool;
pub mod position;
pub mod price;
pub mod processor;
pub mod state;
pub mod token;
pub mod vault;

declare_id!("KLend2g3cP87fffoy8q1mQqGKjrxjC8boSyAYavgmjD");

#[cfg(not(feature = "no-entrypoint"))]
solana_program::entrypoint!(process);

#[cfg(not(feature = "no-entrypoint"))]
fn process(
    program_id: &solana_program::pubkey::Pubkey,
    accounts: &[solana_program::account_info::AccountInfo],
    data: &[u8],
) -> solana_program::entrypoint::ProgramResult {
    processor::process(program_id, accounts, data)
}
