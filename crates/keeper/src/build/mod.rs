//! From an obligation to a transaction, tried before it is signed.

pub(crate) mod plan;
pub(crate) mod simulation;
