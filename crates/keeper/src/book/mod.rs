//! What is known, each with the slot it is of.
//!
//! * [`missing`]: what was there, and by one answer is no more.
//! * [`market`]: a market's own accounts; its obligations are kept by
//!   [`judge`](crate::judge), which values them.
//! * [`accounts`]: every other account that the path needs: pools, token accounts,
//!   vaults, mints, farms, lookup tables.
//! * [`chain`]: blockhash, rent, time between slots, what inclusion costs.
//! * [`pools`]: where collateral may be sold; [`by_mint`]: what pools trade.
//! * [`scope`]: prices that anybody may have written now.
//! * [`scan`]: a market as a whole, with its obligations.
//! * [`view`]: all of it at one moment, for deciding.

pub mod accounts;
pub mod by_mint;
pub mod chain;
pub mod market;
pub mod missing;
pub mod pools;
pub mod scan;
pub mod scope;
pub mod view;
