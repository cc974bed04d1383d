//! Liquidations on perp exchanges under a klend flash loan: on Drift (v2) as it
//! was, and on Velocity, its successor.
//!
//! Their liquidators take positions over instead of being paid: they need
//! collateral in an account of their own for as long as they hold them. A flash
//! loan can be that collateral when everything happens in one transaction:
//!
//! ```text
//! klend flash borrow      USDC arrives in the keeper's token account
//! receiver open           its balance is noted
//!   require empty         nothing lies in the keeper's account on the exchange
//!   deposit               the loan becomes its collateral
//!   liquidate_…           the position or deposit is taken over, at a discount
//!   close, settle         a perp position is closed, its profit settled
//!   withdraw, any router  a deposit that was taken over is sold
//!   withdraw              everything comes back
//! receiver settle         fee and minimum profit are there, or nothing happened
//! klend flash repay
//! ```
//!
//! [`PerpLiquidation`] makes what stands inside, [`crate::bracket::GuardedFlash`]
//! the transaction around it. `docs/perps.md` says which versions of which program
//! it was run on, and what each refusal means.
//!
//! * [`Exchange`], [`SubAccount`]: the two programs and their derived addresses.
//! * [`User`], [`SpotMarket`], [`PerpMarket`], [`State`]: accounts, each exchange's
//!   by its own [`layout`].
//! * [`View`]: a user's margin, and how much a liquidation hands over.
//! * [`instruction`]: the instructions one by one.

mod addresses;
mod arithmetic;
mod error;
pub mod instruction;
pub mod layout;
mod liquidation;
mod margin;
mod market;
mod markets;
mod prices;
mod quote;
mod read;
mod user;

pub use addresses::{Exchange, SubAccount};
pub use error::PerpError;
pub use instruction::{
    ClosePerp, Direction, Fill, Maker, OrderBook, Withdrawal, close_perp, deposit, initialize_user,
    initialize_user_stats, liquidate_perp, liquidate_perp_pnl_for_deposit, liquidate_spot,
    require_empty, settle_pnl, withdraw,
};
pub use liquidation::{Leftover, PerpLiquidation, TakeOver};
pub use margin::{Health, View};
pub use market::{PerpMarket, PerpRisk, SpotMarket, SpotRisk, State};
pub use markets::Markets;
pub use prices::Prices;
pub use quote::{ExchangeQuote, PerpQuote};
pub use user::{EmptyAccount, PerpPosition, SpotPosition, User};

/// Index of the spot market that perps are settled in: USDC on Drift.
pub const QUOTE_SPOT_MARKET: u16 = 0;
