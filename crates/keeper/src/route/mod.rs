//! Where seized collateral is sold, and what it brings.

pub(crate) mod venue;
