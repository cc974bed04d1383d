//! `cargo xtask python`: the keeper in `examples/python`, on the programs just built.

use std::fs;
use std::process::Command;

use anyhow::{Context, Result};

use super::build::{self, ToolchainArgs};
use super::fork;
use crate::pip;
use crate::process;
use crate::real_programs;
use crate::workspace::Workspace;

#[derive(clap::Args)]
pub struct Args {
    #[command(flatten)]
    toolchain: ToolchainArgs,
}

pub fn run(args: Args) -> Result<()> {
    let workspace = Workspace::load()?;
    build::build(&workspace, args.toolchain)?;
    test(&workspace)
}

/// Writes the fork folder that the example reads, and runs it. The programs must have
/// been built.
///
/// # Errors
/// When its packages cannot be installed, or it fails.
pub fn test(workspace: &Workspace) -> Result<()> {
    let folder = workspace.root.join("examples/python");
    let requirements = folder.join("requirements.txt");
    let wanted = fs::read_to_string(&requirements)
        .with_context(|| format!("cannot read {}", requirements.display()))?;
    let packages = workspace.target.join("python");
    let installed = packages.join("installed.txt");
    if !fs::read_to_string(&installed).is_ok_and(|installed| installed == wanted) {
        eprintln!("Installing the packages of {}", folder.display());
        pip::install(&packages, &["--requirement", &requirements.to_string_lossy()])?;
        fs::write(&installed, wanted)
            .with_context(|| format!("cannot write {}", installed.display()))?;
    }
    let mut example = Command::new("python3");
    example.arg(folder.join("example.py")).env("PYTHONPATH", &packages);
    example.env("PYTHONDONTWRITEBYTECODE", "1").env("SBF_OUT_DIR", workspace.deploy_dir());
    example.env("FORK_DIR", fork::write(workspace)?);
    real_programs::pass_to(&mut example)?;
    process::run("examples/python/example.py", &mut example)?;
    println!("examples/python: 1 passed, 0 failed");
    Ok(())
}
