//! Signed bytes, until their fate is known.

pub(crate) mod attempt;
pub(crate) mod deliver;
pub(crate) mod report;
pub(crate) mod roads;
