//! Writes what other languages and readers need to know of this code, so that nobody
//! types it a second time: the error reference, klend's layouts for the TypeScript
//! client, and instructions that this code builds for the TypeScript client to be held
//! against. Run by `cargo xtask errors`, `clients` and `test`.

#![forbid(unsafe_code)]

mod errors;
mod klend;
mod typescript;
mod vectors;

use anyhow::Result;
use clap::{Parser, Subcommand};

#[derive(Parser)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Print docs/errors.md
    Errors,
    /// Print the TypeScript client's generated facts: a JSON object of contents by path
    Typescript,
    /// Print flash liquidations as the Rust client builds them, as JSON
    Vectors,
}

fn main() -> Result<()> {
    match Cli::parse().command {
        Command::Errors => print!("{}", errors::markdown()),
        Command::Typescript => println!("{}", serde_json::to_string(&typescript::files()?)?),
        Command::Vectors => println!("{}", vectors::vectors()?),
    }
    Ok(())
}
