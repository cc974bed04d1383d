//! A bit-exact model of Kamino Lend.

#![forbid(unsafe_code)]

pub mod accounts;
pub mod constants;
pub mod keys;
