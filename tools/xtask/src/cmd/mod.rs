//! One module per command.

pub mod bench;
pub mod build;
pub mod clients;
pub mod docs;
pub mod e2e;
pub mod errors;
pub mod fork;
pub mod fuzz;
pub mod idl;
pub mod lint;
pub mod package;
pub mod python;
pub mod reproduce;
pub mod test;
pub mod tool;
pub mod typescript;
