//! `cargo xtask demo` and `bench`: build what is missing, then hand over to the
//! package of that name under `tools`.

use anyhow::Result;

use super::build::{self, ToolchainArgs};
use crate::process;
use crate::workspace::Workspace;

// `--help` is the tool's own.
#[derive(clap::Args)]
#[command(disable_help_flag = true)]
pub struct Args {
    #[command(flatten)]
    toolchain: ToolchainArgs,
    /// For the tool itself, which explains them with `--help`
    #[arg(trailing_var_arg = true, allow_hyphen_values = true, value_name = "ARGS")]
    tool_args: Vec<String>,
}

pub fn run(package: &str, args: Args) -> Result<()> {
    let workspace = Workspace::load()?;
    let wants_help = args.tool_args.iter().any(|arg| arg == "--help" || arg == "-h");
    if !wants_help {
        build::build(&workspace, args.toolchain, &[])?;
    }
    let mut tool = process::cargo();
    // The caller's folder stays the current one: arguments may hold relative paths.
    tool.args(["run", "--package", package, "--manifest-path"])
        .arg(workspace.root.join("Cargo.toml"))
        .arg("--")
        .args(args.tool_args)
        .env("SBF_OUT_DIR", workspace.deploy_dir());
    process::run(package, &mut tool)
}
