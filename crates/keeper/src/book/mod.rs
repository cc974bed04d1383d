//! What is known, each with the slot it is of, and the reading beside the loop that
//! keeps it complete.

pub(crate) mod market;
pub(crate) mod reader;
