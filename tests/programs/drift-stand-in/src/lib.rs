//! A from-scratch stand-in for Drift (v2), **for tests only and never
//! deployed**.
//!
//! Tests need something that behaves like Drift towards a liquidator: takes a
//! deposit, hands over a position at a discount, lets it be closed, settles the
//! profit and gives everything back. This program was written for that from
//! facts about Drift's interface (program 2.162.0: ids, discriminators, account
//! orders, layouts, error numbers) and from what its documentation says about
//! liquidations; it contains none of Drift's code. It is loaded at Drift's
//! program id and works on accounts of Drift's layout, so that the instructions
//! that run on it are those that would be sent to Drift.
//!
//! # What is here
//! `initialize_user_stats`, `initialize_user`, `deposit`, `withdraw`,
//! `liquidate_perp`, `liquidate_spot`, `liquidate_perp_pnl_for_deposit`,
//! `place_and_take_perp_order`, `settle_pnl`: one file in `processor` each,
//! margin in [`margin`], balances in [`state`], the lists of oracles and markets
//! behind an instruction's accounts in [`markets`].
//!
//! # What differs from Drift
//! It is a double, not an imitation to the last unit:
//!
//! * A liquidator may take over as much as it asks for. Drift hands over what the
//!   user's margin lacks, and at first only a part of that; nothing goes to the
//!   insurance fund here.
//! * An order is filled by the market itself, at the oracle's price and the
//!   market's spread, whole or not at all. Makers in the list are checked and not
//!   traded with, and there are no auctions, fee tiers or referrers.
//! * Profits are settled only once the position is closed. There is no funding,
//!   no interest and no limit on withdrawals.
//! * Oracles are of the kind that Drift owns itself (Pyth Lazer). Prices do not
//!   age.
//! * No isolated positions, pools of markets, delegates, pauses, orders that rest,
//!   or events.

use solana_program::{account_info::AccountInfo, entrypoint::ProgramResult, pubkey::Pubkey};

pub mod error;
pub mod margin;
pub mod markets;
mod processor;
pub mod state;

solana_program::declare_id!("dRiftyHA39MWEi3m9aunc5MzRF1JYuBsbn6VPcn33UH");

#[cfg(not(feature = "no-entrypoint"))]
solana_program::entrypoint!(process_instruction);

/// Seed of the exchange's state, PDA `["drift_state"]`.
pub const STATE_SEED: &[u8] = b"drift_state";
/// Seed of the owner of all vaults, PDA `["drift_signer"]`.
pub const SIGNER_SEED: &[u8] = b"drift_signer";
/// Seed of a vault, PDA `["spot_market_vault", index]`.
pub const VAULT_SEED: &[u8] = b"spot_market_vault";

/// Spot market that perps are settled in.
pub const QUOTE_SPOT_MARKET: u16 = 0;

/// Entry point.
pub fn process_instruction(_: &Pubkey, accounts: &[AccountInfo], data: &[u8]) -> ProgramResult {
    processor::process(accounts, data)
}
