//! `cargo xtask lint`: what has to hold for all code of the workspace.

use anyhow::Result;

use crate::process;
use crate::workspace::Workspace;

#[derive(clap::Args)]
pub struct Args {
    /// Repair what can be repaired
    #[arg(long)]
    fix: bool,
}

pub fn run(args: Args) -> Result<()> {
    let workspace = Workspace::load()?;
    let mut format = process::cargo();
    format.current_dir(&workspace.root).args(["fmt", "--all"]);
    if !args.fix {
        format.arg("--check");
    }
    process::run("cargo fmt", &mut format)?;

    let mut clippy = process::cargo();
    clippy.current_dir(&workspace.root).args(["clippy", "--workspace", "--all-targets"]);
    if args.fix {
        clippy.args(["--fix", "--allow-dirty", "--allow-staged"]);
    }
    process::run("cargo clippy", clippy.args(["--", "--deny", "warnings"]))
}
