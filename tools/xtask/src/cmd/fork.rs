//! `cargo xtask fork`: the built-in fork as a folder, for whoever is not written in Rust.

use std::fs;
use std::path::PathBuf;

use anyhow::{Context, Result};

use super::build::{self, ToolchainArgs};
use crate::process;
use crate::workspace::Workspace;

/// klend's main market.
const MARKET: &str = "7u3HeHxYDLhnCoErrtycNokbQYbWGzLs6JSDqGAv5PfF";

#[derive(clap::Args)]
pub struct Args {
    #[command(flatten)]
    toolchain: ToolchainArgs,
}

pub fn run(args: Args) -> Result<()> {
    let workspace = Workspace::load()?;
    build::build(&workspace, args.toolchain)?;
    let folder = write(&workspace)?;
    let shown = folder.strip_prefix(&workspace.root).unwrap_or(&folder);
    eprintln!("{}: a market with a risky position, a healthy one and a pool", shown.display());
    Ok(())
}

/// Writes `target/fork` anew with `keeper fork`. The programs must have been built.
///
/// # Errors
/// When the old folder cannot be removed, or the keeper fails.
pub fn write(workspace: &Workspace) -> Result<PathBuf> {
    let folder = workspace.target.join("fork");
    if folder.exists() {
        fs::remove_dir_all(&folder)
            .with_context(|| format!("cannot remove {}", folder.display()))?;
    }
    let mut keeper = process::cargo();
    keeper.current_dir(&workspace.root).env("SBF_OUT_DIR", workspace.deploy_dir());
    // Without --package: with the features of the whole workspace, as the tests have them.
    keeper.args(["run", "--quiet", "--bin", "keeper", "--", "--fork", "builtin"]);
    keeper.args(["fork", "--market", MARKET, "--out"]).arg(&folder);
    process::output("keeper fork", &mut keeper)?;
    Ok(folder)
}
