//! Signed bytes, until their fate is known.

pub mod attempt;
pub mod deliver;
pub mod funds;
pub mod report;
pub mod roads;
pub mod steps;
