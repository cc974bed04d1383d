//! Signed bytes, until their fate is known.

pub mod attempt;
pub mod deliver;
pub mod report;
pub mod roads;
