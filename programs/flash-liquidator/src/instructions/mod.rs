//! One instruction a file: accounts, arguments, handler.

pub mod liquidate;

pub use liquidate::*;
