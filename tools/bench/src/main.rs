//! Measures what the receiver costs and holds the deterministic figures against
//! the committed ones.
//!
//! `cargo xtask bench` writes `BENCHMARKS.md` and `benchmarks.json`;
//! `cargo xtask bench --check` compares and fails when a figure grew by more than
//! one per cent.

#![forbid(unsafe_code)]

mod cost;
mod figures;

use std::{path::PathBuf, process::ExitCode};

use clap::Parser;

/// Measure compute units, transaction bytes and program size.
#[derive(Debug, Parser)]
#[command(name = "cargo xtask bench", version)]
struct Args {
    /// Compare with the committed figures instead of writing them
    #[arg(long)]
    check: bool,
    /// Folder of BENCHMARKS.md and benchmarks.json
    #[arg(long, default_value = ".", value_name = "DIR")]
    dir: PathBuf,
}

fn main() -> ExitCode {
    match run(&Args::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("bench: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(args: &Args) -> anyhow::Result<()> {
    let figures = cost::measure()?;
    println!("{}", figures.table());
    if args.check { figures.check(&args.dir) } else { figures.write(&args.dir) }
}
