//! `keeper`: see [`klend_flash_keeper`].

#![forbid(unsafe_code)]

use std::process::ExitCode;

use clap::Parser;
use klend_flash_keeper::cli::Cli;

fn main() -> ExitCode {
    klend_flash_keeper::run(&Cli::parse())
}
