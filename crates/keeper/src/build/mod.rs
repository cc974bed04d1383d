//! From an obligation to a transaction, tried before it is signed.

pub mod fit;
pub mod perp;
pub mod plan;
mod pricing;
pub mod simulation;
