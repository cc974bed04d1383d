//! What happened: counted and kept, never on the way of what happens.

pub mod metrics;
