//! A bit-exact model of Kamino Lend.

#![forbid(unsafe_code)]

pub mod accounts;
pub mod constants;
pub mod errors;
pub mod flash;
pub mod fraction;
pub mod keys;
pub mod liquidation;
pub mod obligation;
pub mod price;
pub mod refresh;
pub mod refusal;
pub mod reserve;
pub mod search;
pub mod table;
