//! One module per command.

pub mod bench;
pub mod build;
pub mod docs;
pub mod fuzz;
pub mod idl;
pub mod lint;
pub mod test;
pub mod tool;
