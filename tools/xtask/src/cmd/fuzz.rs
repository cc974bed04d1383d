//! `cargo xtask fuzz`: whatever reads bytes from outside, given any bytes, and
//! transactions bent at random, for as long as asked.
//!
//! Bytes are libFuzzer's to choose, guided by the coverage of the workspace's own code:
//! the targets in `fuzz/`. cargo-fuzz is not needed, nor another compiler: coverage is an
//! option of any rustc, given to the workspace's packages alone, and without `unsafe` there
//! is little for sanitizers to find. Transactions are the random tests of the suite
//! `security`.

use std::fs;
use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result, bail};

use super::build::{self, ToolchainArgs};
use super::test;
use crate::process;
use crate::workspace::Workspace;

#[derive(clap::Args)]
pub struct Args {
    #[command(flatten)]
    toolchain: ToolchainArgs,
    /// How long to play, half of it with transactions; some thousand of these are played
    /// even if that takes longer
    #[arg(long, default_value_t = 10.0)]
    minutes: f64,
    /// Only this: `transactions`, or a target in fuzz/fuzz_targets
    #[arg(long, value_name = "TARGET")]
    only: Option<String>,
    /// Play at least so many cases of each random test, transactions among them
    #[arg(long)]
    cases: Option<u64>,
    /// Another seed plays other cases
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Play a single transaction again, by the number that a failure printed
    #[arg(long)]
    case: Option<u64>,
}

/// What is not a target of libFuzzer.
const TRANSACTIONS: &str = "transactions";
/// Longest input, bytes: a target's inputs are small, or say where a large account changes.
const MAX_LEN: usize = 4_096;
/// Seconds in which an input must be done.
const TIMEOUT: usize = 10;

pub fn run(args: Args) -> Result<()> {
    let workspace = Workspace::load()?;
    let mut targets = targets(&workspace.root)?;
    let mut transactions = true;
    if let Some(only) = args.only.as_deref().or(args.case.map(|_| TRANSACTIONS)) {
        transactions = only == TRANSACTIONS;
        if !transactions && !targets.iter().any(|target| target == only) {
            bail!("there is no target {only}; there are: {TRANSACTIONS}, {}", targets.join(", "));
        }
        targets.retain(|target| target == only);
    }
    let parts = if transactions && !targets.is_empty() { 2.0 } else { 1.0 };
    if !targets.is_empty() {
        let seconds = args.minutes * 60.0 / parts / targets.len() as f64;
        bytes(&workspace, &targets, seconds.ceil() as u64, args.seed)?;
    }
    if transactions {
        bent_transactions(&workspace, &args, args.minutes / parts)?;
    }
    Ok(())
}

/// Names of libFuzzer's targets.
fn targets(root: &Path) -> Result<Vec<String>> {
    let folder = root.join("fuzz/fuzz_targets");
    let mut targets = Vec::new();
    for entry in fs::read_dir(&folder).with_context(|| folder.display().to_string())? {
        let path = entry?.path();
        targets.extend(path.file_stem().map(|name| name.to_string_lossy().into_owned()));
    }
    targets.sort();
    Ok(targets)
}

/// Compiles the targets, in the folder and with the features of the tests, so that only
/// the workspace's packages are compiled anew; then runs one after the other.
fn bytes(workspace: &Workspace, targets: &[String], seconds: u64, seed: u64) -> Result<()> {
    let mut compile = process::cargo();
    compile.current_dir(&workspace.root).args(["build", "--workspace"]);
    compile.args(["--features", "flash-liquidator-fuzz/libfuzzer"]);
    compile.env("RUSTC_WORKSPACE_WRAPPER", workspace.root.join("fuzz/rustc-coverage"));
    for target in targets {
        compile.args(["--bin", &format!("fuzz-{target}")]);
    }
    process::run("compiling the targets", &mut compile)?;

    for target in targets {
        let found = workspace.target.join("fuzz").join(target);
        let findings = workspace.target.join("fuzz/findings");
        for folder in [&found, &findings] {
            fs::create_dir_all(folder).with_context(|| folder.display().to_string())?;
        }
        let binary = workspace.target.join("debug").join(format!("fuzz-{target}"));
        let mut fuzz = Command::new(&binary);
        // What is new goes into the first folder, the seeds are in the second.
        fuzz.arg(&found).arg(workspace.root.join("fuzz/corpus").join(target));
        fuzz.args([
            format!("-max_total_time={seconds}"),
            format!("-max_len={MAX_LEN}"),
            format!("-timeout={TIMEOUT}"),
            format!("-seed={seed}"),
            format!("-artifact_prefix={}/{target}-", findings.display()),
            "-print_final_stats=1".to_owned(),
        ]);
        process::run(&format!("fuzz-{target}"), &mut fuzz).with_context(|| {
            format!(
                "what was found is in {}; `cargo run --bin fuzz-{target} FILE` plays it again",
                findings.display()
            )
        })?;
    }
    Ok(())
}

fn bent_transactions(workspace: &Workspace, args: &Args, minutes: f64) -> Result<()> {
    build::build(workspace, args.toolchain)?;
    let mut fuzz = test::cargo_test(workspace, &[])?;
    fuzz.args(["--test", "security", "--", "fuzz::", "parser::"]);
    fuzz.args(["--nocapture", "--test-threads=1"]);
    fuzz.env("FUZZ_MINUTES", minutes.to_string()).env("FUZZ_SEED", args.seed.to_string());
    for (name, number) in [("FUZZ_CASE", args.case), ("FUZZ_CASES", args.cases)] {
        if let Some(number) = number {
            fuzz.env(name, number.to_string());
        }
    }
    process::run("cargo test", &mut fuzz)
}
