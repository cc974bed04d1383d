//! `cargo xtask demo`: builds what is missing, then hands over to `tools/demo`.

use anyhow::Result;

use super::build::{self, ToolchainArgs};
use crate::process;
use crate::workspace::Workspace;

// `--help` is the demo's own.
#[derive(clap::Args)]
#[command(disable_help_flag = true)]
pub struct Args {
    #[command(flatten)]
    toolchain: ToolchainArgs,
    /// For the demo; see `cargo xtask demo --help`
    #[arg(trailing_var_arg = true, allow_hyphen_values = true, value_name = "ARGS")]
    demo_args: Vec<String>,
}

pub fn run(args: Args) -> Result<()> {
    let workspace = Workspace::load()?;
    let wants_help = args.demo_args.iter().any(|arg| arg == "--help" || arg == "-h");
    if !wants_help {
        build::build(&workspace, args.toolchain, &[])?;
    }
    let mut demo = process::cargo();
    // The caller's folder stays the current one: arguments may hold relative paths.
    demo.args(["run", "--package", "demo", "--manifest-path"])
        .arg(workspace.root.join("Cargo.toml"))
        .arg("--")
        .args(args.demo_args)
        .env("SBF_OUT_DIR", workspace.deploy_dir());
    process::run("the demo", &mut demo)
}
