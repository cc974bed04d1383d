//! `cargo xtask demo` and other tools: build what is missing, then hand over to the
//! package of that name under `tools`.

use std::path::PathBuf;
use std::process::Command;

use anyhow::Result;

use super::build::{self, ToolchainArgs};
use crate::process;
use crate::workspace::Workspace;

// `--help` is the tool's own.
#[derive(clap::Args)]
#[command(disable_help_flag = true)]
pub struct Args {
    #[command(flatten)]
    pub toolchain: ToolchainArgs,
    /// For the tool itself, which explains them with `--help`
    #[arg(trailing_var_arg = true, allow_hyphen_values = true, value_name = "ARGS")]
    pub tool_args: Vec<String>,
}

impl Args {
    /// Whether nothing but the tool's help is wanted.
    pub fn want_help(&self) -> bool {
        self.tool_args.iter().any(|arg| arg == "--help" || arg == "-h")
    }
}

/// The programs that the demo runs.
const DEMO_PROGRAMS: [&str; 4] =
    ["farms-stand-in", "flash-liquidator", "klend-stand-in", "swap-stand-in"];

/// `cargo xtask demo`.
///
/// # Errors
/// When something cannot be built, or the demo fails.
pub fn demo(args: Args) -> Result<()> {
    let mut workspace = Workspace::load()?;
    if !args.want_help() {
        workspace.programs.retain(|program| DEMO_PROGRAMS.contains(&program.package.as_str()));
        // Beside each other: setting up the kit waits for downloads and linkers, and the
        // kit's programs are compiled one after the other.
        let tool = process::start("compiling demo", &mut compile(&workspace, "demo", "dev"))?;
        build::build(&workspace, args.toolchain)?;
        tool.finish()?;
    }
    process::run("demo", command(&workspace, "demo")?.args(args.tool_args))
}

fn compile(workspace: &Workspace, package: &str, profile: &str) -> Command {
    let mut build = process::cargo();
    // With the features of the whole workspace: what its tests have compiled serves
    // this, too. `cargo run` would compile half of it again.
    build.current_dir(&workspace.root).args(["build", "--workspace", "--bin", package]);
    build.args(["--profile", profile]);
    build
}

/// The binary of that name, of a package under `tools` or the keeper, to run on the programs
/// in the deploy folder; its arguments are for the caller to add.
///
/// # Errors
/// When it cannot be compiled.
pub fn command(workspace: &Workspace, package: &str) -> Result<Command> {
    // The caller's folder stays the current one: arguments may hold relative paths.
    let mut tool = Command::new(built(workspace, package, "dev")?);
    tool.env("SBF_OUT_DIR", workspace.deploy_dir());
    Ok(tool)
}

/// The binary of that name, compiled by that profile.
///
/// # Errors
/// When it cannot be compiled.
pub fn built(workspace: &Workspace, package: &str, profile: &str) -> Result<PathBuf> {
    process::run(&format!("compiling {package}"), &mut compile(workspace, package, profile))?;
    let executable = format!("{package}{}", std::env::consts::EXE_SUFFIX);
    Ok(workspace.target.join(profile_folder(profile)).join(executable))
}

/// Where cargo puts what it compiled by a profile, below its target folder.
pub fn profile_folder(profile: &str) -> &str {
    if profile == "dev" { "debug" } else { profile }
}
