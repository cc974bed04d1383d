//! The project's own commands, run as `cargo xtask COMMAND`.
//!
//! One module in [`cmd`] per command, with an `Args` struct and a `run` function; adding a
//! command is such a module and one arm in [`Command`]. What commands share:
//! [`workspace`] knows the packages, [`toolchain`] the compilers for Solana programs,
//! [`process`] how to run things,
//! [`generated`] how to keep committed files true to the code, [`node`] Node.js, [`pip`]
//! Python's packages.

mod cmd;
mod dependencies;
mod generated;
mod markdown;
mod node;
mod pip;
mod process;
mod real_programs;
mod toolchain;
mod workspace;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

#[derive(Parser)]
#[command(name = "cargo xtask", bin_name = "cargo xtask", about)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Compile the Solana programs into target/deploy
    Build(cmd::build::Args),
    /// Build the programs, then run every test of the workspace
    Test(cmd::test::Args),
    /// Flash-liquidate a position on a forked klend and show what happened
    Demo(cmd::tool::Args),
    /// Measure what the receiver costs, or hold it against the committed figures
    Bench(cmd::bench::Args),
    /// Run the keeper and a deployment against a local validator
    E2e(cmd::tool::Args),
    /// Let two keepers race each other on a local validator through faults, for long
    Soak(cmd::e2e::SoakArgs),
    /// Bend transactions and the bytes the program parses, at random, for long
    Fuzz(cmd::fuzz::Args),
    /// Compile the last commit in two other folders and compare the programs
    Reproduce(cmd::reproduce::Args),
    /// Make a Debian package of the keeper
    Package(cmd::package::Args),
    /// Write the built-in fork as a folder, target/fork
    Fork(cmd::fork::Args),
    /// Test the TypeScript client on the programs, in LiteSVM, and migrations/deploy.ts
    Typescript(cmd::typescript::Args),
    /// Run the keeper written in Python on the programs, in LiteSVM
    Python(cmd::python::Args),
    /// Generate idl/flash_liquidator.json from the program
    Idl(cmd::idl::Args),
    /// Generate docs/errors.md from the code
    Errors(cmd::errors::Args),
    /// Generate what is generated of clients/ts, from the IDL and the Rust code
    Clients(cmd::clients::Args),
    /// Check formatting, clippy's lints, where dependencies come from, and what is published
    Lint(cmd::lint::Args),
    /// Check the documents' links and run their commands
    Docs(cmd::docs::Args),
}

fn main() -> ExitCode {
    let result = match Cli::parse().command {
        Command::Build(args) => cmd::build::run(args),
        Command::Test(args) => cmd::test::run(args),
        Command::Demo(args) => cmd::tool::demo(args),
        Command::Bench(args) => cmd::bench::run(args),
        Command::E2e(args) => cmd::e2e::run(args),
        Command::Soak(args) => cmd::e2e::soak(args),
        Command::Fuzz(args) => cmd::fuzz::run(args),
        Command::Reproduce(args) => cmd::reproduce::run(args),
        Command::Package(args) => cmd::package::run(args),
        Command::Fork(args) => cmd::fork::run(args),
        Command::Typescript(args) => cmd::typescript::run(args),
        Command::Python(args) => cmd::python::run(args),
        Command::Idl(args) => cmd::idl::run(args),
        Command::Errors(args) => cmd::errors::run(args),
        Command::Clients(args) => cmd::clients::run(args),
        Command::Lint(args) => cmd::lint::run(args),
        Command::Docs(args) => cmd::docs::run(args),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            // A child that failed has explained itself; only its exit code is passed on.
            if let Some(failure) = error.downcast_ref::<process::ChildFailed>() {
                eprintln!("xtask: {failure}");
                return ExitCode::from(failure.exit_code());
            }
            eprintln!("xtask: error: {error:#}");
            ExitCode::FAILURE
        }
    }
}
