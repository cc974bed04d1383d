//! klend's instructions, with every address read from accounts.
//!
//! The instructions come from the low-level builders of `klend-interface`,
//! which klend's own developers publish. Its `helpers` are not used: they
//! *derive* a reserve's vaults, and reserves made before klend 1.12.6 (USDC, SOL
//! and JitoSOL of the main market among them) hold theirs at other addresses.

mod addresses;
mod convert;
mod flash;
mod liquidate;
mod pda;
mod position;
mod refresh;

pub use addresses::{
    NO_ORACLE, ObligationAddresses, Oracles, PositionAddresses, ReferrerState, ReserveAddresses,
};
pub use flash::{FlashLoan, Referrer, flash_borrow, flash_repay};
pub use liquidate::{LiquidateAccounts, ObligationFarms, liquidate_v2, redeem_reserve_collateral};
pub use pda::{
    farm_user_state, lending_market_authority, obligation, referrer_token_state, user_metadata,
};
pub use position::{
    FarmMode, ObligationKind, borrow, deposit, init_obligation, init_obligation_farm,
    init_referrer_token_state, init_user_metadata, refresh_obligation_farm,
    request_elevation_group,
};
pub use refresh::{refresh_obligation, refresh_reserve, refresh_reserves_batch};

/// The klend deployment that all instructions go to: mainnet's, or staging's
/// when the `staging` feature of `flash-liquidator` is on.
pub use flash_liquidator::klend::{FARMS_PROGRAM_ID, PROGRAM_ID};
