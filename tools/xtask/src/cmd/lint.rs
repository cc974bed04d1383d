//! `cargo xtask lint`: what has to hold for all code of the workspace.

use anyhow::Result;

use crate::dependencies;
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

    dependencies::check(&workspace.root)?;
    if process::probe(process::cargo().args(["deny", "--version"])).is_ok() {
        let mut deny = process::cargo();
        deny.current_dir(&workspace.root).args(["deny", "check", "advisories", "bans", "sources"]);
        process::run("cargo deny", &mut deny)?;
    }

    let mut clippy = process::cargo();
    clippy.current_dir(&workspace.root).args(["clippy", "--workspace", "--all-targets"]);
    if args.fix {
        clippy.args(["--fix", "--allow-dirty", "--allow-staged"]);
    }
    process::run("cargo clippy", clippy.args(["--", "--deny", "warnings"]))
}
