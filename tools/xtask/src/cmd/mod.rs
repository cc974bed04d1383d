//! One module per command.

pub mod build;
pub mod demo;
pub mod lint;
pub mod test;
