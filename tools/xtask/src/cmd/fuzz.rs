//! `cargo xtask fuzz`: the random tests of the suite `security`, for as long as asked.

use anyhow::Result;

use super::build::{self, ToolchainArgs};
use super::test;
use crate::process;
use crate::workspace::Workspace;

#[derive(clap::Args)]
pub struct Args {
    #[command(flatten)]
    toolchain: ToolchainArgs,
    /// How long to play; at least a million parser cases and 20,000 transactions are
    /// played even if that takes longer
    #[arg(long, default_value_t = 10.0)]
    minutes: f64,
    /// Another seed plays other cases
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Play a single case again, by the number that a failure printed
    #[arg(long)]
    case: Option<u64>,
}

pub fn run(args: Args) -> Result<()> {
    let workspace = Workspace::load()?;
    build::build_for_tests(&workspace, args.toolchain)?;
    let options = ["--package", "flash-liquidator-tests", "--test", "security"].map(String::from);
    let mut fuzz = test::cargo_test(&workspace, &options)?;
    fuzz.args(options).args(["--", "fuzz::", "parser::", "--nocapture", "--test-threads=1"]);
    fuzz.env("FUZZ_MINUTES", args.minutes.to_string()).env("FUZZ_SEED", args.seed.to_string());
    if let Some(case) = args.case {
        fuzz.env("FUZZ_CASE", case.to_string());
    }
    process::run("cargo test", &mut fuzz)
}
