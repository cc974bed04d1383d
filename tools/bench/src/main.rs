//! Measures what the receiver costs and holds the deterministic figures against
//! the committed ones.
//!
//! `cargo xtask bench` compiles what is to be measured and runs this;
//! `cargo xtask bench --check` compares and fails when a figure grew by more than
//! one per cent.

#![forbid(unsafe_code)]

mod chart;
mod check;
mod format;
mod machine;
mod off_chain;
mod pays;
mod report;
mod scenarios;
mod shapes;
mod sizes;
mod stages;

use std::{env, fs, path::PathBuf, process::ExitCode, time::Duration};

use anyhow::{Context, Result, bail};
use clap::Parser;
use indicatif::{ProgressBar, ProgressStyle};
use klend_fork::{KLEND_ELF, Programs, deploy_folder};
use sha2::{Digest, Sha256};

use check::{Comparison, gated};
use off_chain::OffChain;
use report::{Benchmarks, Elf, Of, Real, TOLERANCE_PERCENT};

/// Measure compute units, transaction bytes and program size.
#[derive(Debug, Parser)]
#[command(name = "bench", version, about)]
struct Args {
    /// Compare with the committed figures instead of writing them
    #[arg(long)]
    check: bool,
    /// Folder of BENCHMARKS.md and benchmarks.json
    #[arg(long, default_value = ".", value_name = "DIR")]
    dir: PathBuf,
    /// What the programs were compiled with
    #[arg(long, default_value = "an unknown compiler", value_name = "TEXT")]
    toolchain: String,
    /// What the klend of KLEND_ELF is called in the tables
    #[arg(long, value_name = "TEXT")]
    klend_name: Option<String>,
    /// Folder of a receiver with the feature `stages`
    #[arg(long, value_name = "DIR")]
    stages: Option<PathBuf>,
    /// Folder with a subfolder for each optimisation level of the receiver
    #[arg(long, value_name = "DIR")]
    sizes: Option<PathBuf>,
    /// Report of the off-chain benchmark
    #[arg(long, value_name = "FILE")]
    off_chain: Option<PathBuf>,
    /// Report of the keeper's benchmark of scans
    #[arg(long, value_name = "FILE", requires = "off_chain")]
    scan: Option<PathBuf>,
    /// Reports of the keeper's benchmark from an update to signed bytes
    #[arg(long, value_name = "FILE", requires = "off_chain")]
    path: Vec<PathBuf>,
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

fn run(args: &Args) -> Result<()> {
    let committed = Benchmarks::read(&args.dir);
    let stand_ins = Programs::stand_ins()?;
    let progress = progress_bar()?;
    let program = elf()?;
    let mut now = Benchmarks {
        toolchain: args.toolchain.clone(),
        packages: machine::packages(),
        stand_in: scenarios::measure(&stand_ins, &progress)?,
        pays: pays::measure(&stand_ins, &progress)?,
        shapes: shapes::measure()?,
        program,
        real: None,
        stages: None,
        sizes: None,
        off_chain: None,
    };
    if args.check {
        progress.finish_and_clear();
        return check(&committed?, &now);
    }

    if !Programs::klend_is_stand_in() {
        let measured = scenarios::measure(&Programs::from_environment()?, &progress)?;
        let klend = args.klend_name.clone().map_or_else(klend_by_digest, Ok)?;
        now.real = Some(Real { klend, measured: of(&now, measured) });
    }
    progress.set_message("stages and sizes");
    if let Some(folder) = &args.stages {
        let path = folder.join(sizes::RECEIVER);
        let logging = fs::read(&path).with_context(|| path.display().to_string())?;
        now.stages = Some(of(&now, scenarios::profile(&stand_ins, &logging)?));
    }
    if let Some(folder) = &args.sizes {
        now.sizes = Some(of(&now, sizes::measure(folder, &stand_ins)?));
    }
    if let Some(path) = &args.off_chain {
        now.off_chain = Some(OffChain::read(path, args.scan.as_deref(), &args.path)?);
    }
    progress.finish_and_clear();

    // What was not measured this time stays as it was.
    match committed {
        Ok(committed) => {
            now.real = now.real.or(committed.real);
            now.stages = now.stages.or(committed.stages);
            now.sizes = now.sizes.or(committed.sizes);
            now.off_chain = now.off_chain.or(committed.off_chain);
        }
        Err(error) => eprintln!("bench: starting over: {error:#}"),
    }
    now.write(&args.dir)?;
    println!("wrote {}", args.dir.join("BENCHMARKS.md").display());
    Ok(())
}

fn check(committed: &Benchmarks, now: &Benchmarks) -> Result<()> {
    let comparison = Comparison::of(&gated(committed), &gated(now));
    if let Some(table) = comparison.complaints() {
        let compilers = if committed.toolchain == now.toolchain {
            String::new()
        } else {
            format!("\ncommitted with {}, now {}", committed.toolchain, now.toolchain)
        };
        bail!(
            "these figures grew by more than {TOLERANCE_PERCENT} %, are new, or are gone; if they \
             should be, run `cargo xtask bench`\n\n{table}{compilers}"
        );
    }
    println!("{} figures, none grew by more than {TOLERANCE_PERCENT} %", comparison.len());
    if comparison.shrunk() > 0 {
        println!("{} shrank: `cargo xtask bench` commits to that", comparison.shrunk());
    }
    Ok(())
}

fn of<T>(benchmarks: &Benchmarks, figures: T) -> Of<T> {
    Of { program: benchmarks.program.sha256.clone(), figures }
}

/// The receiver as it was built.
fn elf() -> Result<Elf> {
    let path = deploy_folder().join(sizes::RECEIVER);
    let code = fs::read(&path).with_context(|| path.display().to_string())?;
    let bytes = code.len() as u64;
    Ok(Elf { bytes, rent: sizes::rent(bytes)?, sha256: digest(&code) })
}

fn klend_by_digest() -> Result<String> {
    let path = env::var_os(KLEND_ELF).map(PathBuf::from).unwrap_or_default();
    let code = fs::read(&path).with_context(|| path.display().to_string())?;
    Ok(format!("an ELF of {} bytes, SHA-256 {}…", format::count(code.len() as u64), digest(&code)))
}

fn digest(bytes: &[u8]) -> String {
    Sha256::digest(bytes).iter().take(16).map(|byte| format!("{byte:02x}")).collect()
}

fn progress_bar() -> Result<ProgressBar> {
    let style = ProgressStyle::with_template("{spinner} {pos}/{len} {wide_msg} {elapsed}")?;
    let progress = ProgressBar::new(0).with_style(style);
    progress.enable_steady_tick(Duration::from_millis(200));
    Ok(progress)
}
