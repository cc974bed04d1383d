//! Liquidations on Drift (v2) under a klend flash loan.
//!
//! Drift's liquidator takes positions over instead of being paid: it needs
//! collateral in a Drift account of its own for as long as it holds them. A
//! flash loan can be that collateral when everything happens in one
//! transaction:
//!
//! ```text
//! klend flash borrow      USDC arrives in the keeper's token account
//! receiver open           its balance is noted
//!   drift deposit         the loan becomes collateral of the keeper's Drift account
//!   drift liquidate_…     the position or deposit is taken over, at a discount
//!   drift close           a perp position is closed, its profit settled
//!   drift withdraw        everything comes back
//!   any router            a deposit that was taken over is sold
//! receiver settle         fee and minimum profit are there, or nothing happened
//! klend flash repay
//! ```
//!
//! [`crate::bracket::GuardedFlash`] makes that transaction; this module builds
//! what stands inside. `docs/drift.md` says which version of Drift it was checked
//! against and what has not been run on the real program.
//!
//! * [`addresses`]: the program's derived addresses.
//! * [`accounts`]: what the instructions need from a user's and a market's
//!   account.
//! * [`instruction`]: the instructions.

use solana_address::{Address, address};

pub mod accounts;
pub mod addresses;
pub mod instruction;

pub use accounts::{DriftError, Markets, PerpMarket, PerpPosition, SpotMarket, SpotPosition, User};
pub use addresses::SubAccount;
pub use instruction::{
    ClosePerp, Direction, Fill, Maker, Withdrawal, close_perp, deposit, initialize_user,
    initialize_user_stats, liquidate_perp, liquidate_perp_pnl_for_deposit, liquidate_spot,
    settle_pnl, withdraw,
};

/// Drift's program.
pub const PROGRAM_ID: Address = address!("dRiftyHA39MWEi3m9aunc5MzRF1JYuBsbn6VPcn33UH");

/// Index of the spot market that perps are settled in: USDC.
pub const QUOTE_SPOT_MARKET: u16 = 0;
