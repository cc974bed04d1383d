//! `cargo xtask bench`: what the receiver costs, by `tools/bench` and the off-chain
//! benchmarks of `klend-model` and the keeper.

use std::fs;
use std::path::PathBuf;

use anyhow::{Context, Result};

use super::build::{self, ToolchainArgs};
use super::tool;
use crate::process;
use crate::real_programs;
use crate::toolchain::Variant;
use crate::workspace::Workspace;

/// Optimisation levels that `--sizes` compares.
const LEVELS: [&str; 3] = ["3", "s", "z"];

/// Benchmarks of times: package, name, the option that takes its report, and what else it
/// is told.
const TIMES: [(&str, &str, &str, &[&str]); 4] = [
    ("klend-model", "off_chain", "--off-chain", &[]),
    ("klend-flash-keeper", "scan", "--scan", &[]),
    ("klend-flash-keeper", "path", "--path", &[]),
    ("klend-flash-keeper", "path", "--path", &["--obligations", "1000000"]),
];

#[derive(clap::Args)]
pub struct Args {
    #[command(flatten)]
    toolchain: ToolchainArgs,
    /// Compare with the committed figures instead of writing them; fails when one grew by
    /// more than a per cent
    #[arg(long, conflicts_with_all = ["sizes", "quick"])]
    check: bool,
    /// Compile the program once for each optimisation level, too, and compare
    #[arg(long)]
    sizes: bool,
    /// Leave out what takes long and keep its committed figures: stages and off-chain times
    #[arg(long)]
    quick: bool,
    /// Leave out off-chain times and keep the committed ones
    #[arg(long, conflicts_with = "check")]
    no_times: bool,
    /// Names the klend of KLEND_ELF in the tables, for example "klend 1.16, compiled locally"
    #[arg(long, env = "KLEND_NAME", value_name = "TEXT")]
    klend_name: Option<String>,
    /// Folder of BENCHMARKS.md and benchmarks.json; the repository's unless told
    #[arg(long, value_name = "DIR")]
    dir: Option<PathBuf>,
}

pub fn run(args: Args) -> Result<()> {
    let workspace = Workspace::load()?;
    let toolchain = build::build(&workspace, args.toolchain)?;
    let scratch = workspace.target.join("bench");
    let mut bench = tool::command(&workspace, "bench")?;
    bench.arg("--dir").arg(args.dir.as_ref().unwrap_or(&workspace.root));
    bench.arg("--toolchain").arg(toolchain.describe());
    if args.check {
        return process::run("bench", bench.arg("--check"));
    }
    real_programs::pass_to(&mut bench)?;
    if let Some(name) = &args.klend_name {
        bench.arg("--klend-name").arg(name);
    }

    if !args.quick {
        let stages = scratch.join("stages");
        let variant = Variant::with_features(&["stages"]);
        build::build_deployed(&workspace, &toolchain, &variant, &stages)?;
        bench.arg("--stages").arg(stages);
    }
    if args.sizes {
        let sizes = scratch.join("sizes");
        for level in LEVELS {
            let variant = Variant { opt_level: Some(level.to_owned()), ..Variant::default() };
            build::build_deployed(&workspace, &toolchain, &variant, &sizes.join(level))?;
        }
        bench.arg("--sizes").arg(sizes);
    }
    if !args.quick && !args.no_times {
        fs::create_dir_all(&scratch)
            .with_context(|| format!("cannot make {}", scratch.display()))?;
        for (package, name, option, further) in TIMES {
            let report = scratch.join([name, further.concat().as_str()].concat());
            let mut benchmark = process::cargo();
            benchmark.current_dir(&workspace.root).env("SBF_OUT_DIR", workspace.deploy_dir());
            benchmark.args(["bench", "--profile", "measure", "--package", package]);
            benchmark.args(["--bench", name, "--", "--json"]).args(further);
            let json = process::output(&format!("the benchmark {name}"), &mut benchmark)?;
            fs::write(&report, json)
                .with_context(|| format!("cannot write {}", report.display()))?;
            bench.arg(option).arg(report);
        }
    }
    process::run("bench", &mut bench)
}
