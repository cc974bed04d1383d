//! A from-scratch stand-in for Drift (v2) and for Velocity, **for tests only and
//! never deployed**.
//!
//! Tests need something that behaves like these exchanges towards a liquidator:
//! takes a deposit, hands over a position at a discount, lets it be closed, settles
//! the profit and gives everything back. This program was written for that from
//! facts about their interfaces (ids, discriminators, account orders, layouts, error
//! numbers) and from what the real Drift 2.161 answered; it contains none of their
//! code. It is loaded at either program's id and plays the one whose id it has, on
//! accounts of that one's layout, so that the instructions that run on it are those
//! that would be sent to the exchange.
//!
//! # What is here
//! `initialize_user_stats`, `initialize_user`, `update_user_pool_id`, `deposit`,
//! `withdraw`, `liquidate_perp`, `liquidate_spot`, `liquidate_perp_pnl_for_deposit`,
//! `place_and_take_perp_order` (and Velocity's `_v1`), `settle_pnl`: one file in
//! `processor` each, margin in [`margin`], balances in [`state`], the lists of
//! oracles and markets behind an instruction's accounts in [`markets`].
//!
//! # What differs from the real programs
//! It is a double, not an imitation to the last unit:
//!
//! * An order is filled by the market itself, at the oracle's price and the market's
//!   spread, whole; where it does not fill, by orders that rest in the accounts of the
//!   makers listed, in their order. There are no auctions and fee tiers, and a
//!   liquidation finds no orders to cancel.
//! * Of positions that are open only a loss is settled. There is no funding and no
//!   interest, no high leverage and no tier of a contract; what the insurance fund
//!   takes is gone.
//! * Oracles are of the kinds that the exchange owns itself (Pyth Lazer, markets before
//!   their launch).
//! * No delegates and events. The loss of an isolated position is not taken over with a
//!   deposit.
//! * Played as Velocity, everything is handed over at once, the market has no spread
//!   and takes no fee, nothing is ever paused, and the order book's accounts are
//!   not looked at: the fields for these lie in accounts that nobody here reads.

use solana_program::{account_info::AccountInfo, entrypoint::ProgramResult, pubkey::Pubkey};

pub mod error;
pub mod exchange;
pub mod margin;
pub mod markets;
mod processor;
pub mod state;

/// Which exchange is played.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Exchange {
    /// Drift 2.161.
    Drift = 0,
    /// Velocity.
    Velocity = 1,
}

impl Exchange {
    const PROGRAMS: [Pubkey; 2] = [
        solana_program::pubkey!("dRiftyHA39MWEi3m9aunc5MzRF1JYuBsbn6VPcn33UH"),
        solana_program::pubkey!("vELoC1audYbSYVRXn1vPaV8Axoa9oU6BYmNGZZBDZ1P"),
    ];

    /// The exchange with this program.
    pub fn of(program: &Pubkey) -> Option<Self> {
        [Self::Drift, Self::Velocity].into_iter().find(|exchange| exchange.program() == *program)
    }

    /// Its program.
    pub const fn program(self) -> Pubkey {
        Self::PROGRAMS[self as usize]
    }

    /// Seed of its state, a PDA.
    pub const fn state_seed(self) -> &'static [u8] {
        match self {
            Self::Drift => b"drift_state",
            Self::Velocity => b"velocity_state",
        }
    }

    /// Seed of the owner of all vaults, a PDA.
    pub const fn signer_seed(self) -> &'static [u8] {
        match self {
            Self::Drift => b"drift_signer",
            Self::Velocity => b"velocity_signer",
        }
    }
}

#[cfg(not(feature = "no-entrypoint"))]
solana_program::entrypoint!(process_instruction);

/// Seed of a vault, PDA `["spot_market_vault", index]`.
pub const VAULT_SEED: &[u8] = b"spot_market_vault";

/// Spot market that perps are settled in.
pub const QUOTE_SPOT_MARKET: u16 = 0;

/// Entry point.
pub fn process_instruction(
    program: &Pubkey,
    accounts: &[AccountInfo],
    data: &[u8],
) -> ProgramResult {
    processor::process(program, accounts, data)
}
