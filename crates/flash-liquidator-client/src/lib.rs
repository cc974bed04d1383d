//! Builds the transactions around Kamino Lend (klend) flash liquidations.
//!
//! Nothing here talks to an RPC node or a terminal, signs, or holds a key: the
//! crate turns addresses *read from accounts* into instructions and messages.
//!
//! | module | what it is for |
//! |---|---|
//! | [`klend`] | addresses of a reserve and of an obligation, klend's instructions |
//! | [`receiver`] | this project's `liquidate`, its accounts and swap legs |
//! | [`flash_liquidation`] | the whole sequence from flash borrow to flash repay, in order |
//! | [`bracket`] | `open` and `settle` around instructions that stay at top level |
//! | [`drift`] | liquidations on Drift, to stand inside a bracket |
//! | [`token`] | associated token accounts |
//! | [`compute_budget`] | compute-unit limit and price |
//! | [`lookup_table`] | which addresses belong in a lookup table, and managing one |
//! | [`transaction`] | v0 messages, and how many bytes they take |
//! | [`swap`] | swap venues as legs |
//! | [`tip`] | tips to block builders |
//! | [`nonce`] | durable nonces |
//! | [`budget`] | bytes, accounts and compute units before signing; v1 messages |
//! | [`decode`] | what became of a transaction: events, costs, why it failed |

#![forbid(unsafe_code)]

pub mod bracket;
pub mod budget;
pub mod compute_budget;
pub mod decode;
pub mod drift;
pub mod flash_liquidation;
pub mod klend;
pub mod lookup_table;
pub mod nonce;
pub mod receiver;
pub mod swap;
pub mod tip;
pub mod token;
pub mod transaction;
