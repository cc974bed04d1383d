//! `cargo xtask e2e`: the keeper and a deployment against a local validator. Builds the
//! programs, the keeper and the validator, then hands over to `tools/e2e`.

use std::path::PathBuf;
use std::process::Command;

use anyhow::{Context, Result};

use super::build::{self, ToolchainArgs};
use crate::node;
use crate::process;
use crate::workspace::Workspace;

/// What the validator is built with, besides Rust and a C++ compiler.
const PACKAGES: &str = "libclang-dev protobuf-compiler libssl-dev pkg-config make";

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

pub fn run(args: Args) -> Result<()> {
    let workspace = Workspace::load()?;
    let wants_help = args.tool_args.iter().any(|arg| arg == "--help" || arg == "-h");
    let binary = |name: &str| workspace.target.join("debug").join(name);
    // Of the workspace: for a package alone, crates would be compiled once more, with
    // other features than the tests have them with.
    let mut binaries = process::cargo();
    binaries.current_dir(&workspace.root).args(["build", "--workspace"]);
    binaries.args(["--bin", "e2e", "--bin", "keeper"]);
    process::run("cargo build", &mut binaries)?;

    let mut tool = Command::new(binary("e2e"));
    if !wants_help {
        tool = node::Node::prepare(&workspace)?.before_others(tool);
        build::build(&workspace, args.toolchain)?;
        tool.env("E2E_VALIDATOR", validator(&workspace)?)
            .env("E2E_KEEPER", binary("keeper"))
            .env("E2E_MIGRATIONS", node::migrations(&workspace))
            .env("SBF_OUT_DIR", workspace.deploy_dir());
    }
    process::run("e2e", tool.args(&args.tool_args))
}

/// Builds the validator, in a target folder of its own: it shares no build with the
/// workspace.
fn validator(workspace: &Workspace) -> Result<PathBuf> {
    process::probe(Command::new("protoc").arg("--version"))
        .with_context(|| format!("no protoc: a validator needs Debian's {PACKAGES}"))?;
    let target = workspace.target.join("e2e-validator");
    let mut build = process::cargo();
    build
        .current_dir(&workspace.root)
        .args(["build", "--locked", "--manifest-path", "tools/e2e-validator/Cargo.toml"])
        .arg("--target-dir")
        .arg(&target)
        // Debian's OpenSSL saves compiling another.
        .env("OPENSSL_NO_VENDOR", "1");
    eprintln!("building the validator: minutes the first time; needs Debian's {PACKAGES}");
    process::run("cargo build of the validator", &mut build)?;
    Ok(target.join("debug/e2e-validator"))
}
