//! `cargo xtask e2e`: the keeper and a deployment against a local validator, and
//! `cargo xtask soak`: two keepers that race each other on one through faults, for as long
//! as is asked. Builds the programs, the keeper and the validator, then hands over to
//! `tools/e2e`.

use std::path::PathBuf;
use std::process::Command;

use anyhow::{Context, Result};

use super::build::{self, ToolchainArgs};
use super::tool::{self, Args};
use crate::node::{self, Node};
use crate::process;
use crate::workspace::Workspace;

/// Minutes that a soak may take besides its faults at random: every kind of them alone.
const ALONE_MINUTES: &str = "60";
/// What the validator is built with, besides Rust and a C++ compiler.
const PACKAGES: &str = "libclang-dev protobuf-compiler libssl-dev pkg-config make";

#[derive(clap::Args)]
pub struct SoakArgs {
    #[command(flatten)]
    toolchain: ToolchainArgs,
    /// How long faults happen at random
    #[arg(long, default_value_t = 60, value_parser = clap::value_parser!(u64).range(1..=1_440))]
    minutes: u64,
    /// Write what happened to this file
    #[arg(long)]
    log: Option<PathBuf>,
    /// Chooses faults and prices
    #[arg(long, default_value_t = 18)]
    seed: u64,
}

pub fn run(args: Args) -> Result<()> {
    let workspace = Workspace::load()?;
    let mut tool = tool::command(&workspace, "e2e")?;
    if !args.want_help() {
        tool = Node::prepare(&workspace)?.before_others(tool);
        let profiles = Profiles { keeper: "dev", validator: "dev" };
        prepare(&workspace, args.toolchain, profiles, &mut tool)?;
    }
    process::run("e2e", tool.args(&args.tool_args))
}

pub fn soak(args: SoakArgs) -> Result<()> {
    let workspace = Workspace::load()?;
    let mut tool = tool::command(&workspace, "e2e")?;
    let profiles = Profiles { keeper: "measure", validator: "soak" };
    prepare(&workspace, args.toolchain, profiles, &mut tool)?;
    tool.arg("--soak").arg(args.minutes.to_string()).arg("--seed").arg(args.seed.to_string());
    tool.args(["--minutes", ALONE_MINUTES]);
    if let Some(log) = &args.log {
        tool.arg("--log").arg(log);
    }
    process::run("soak", &mut tool)
}

/// Cargo's profiles by which what the tool runs is compiled, each of its own workspace.
struct Profiles {
    keeper: &'static str,
    validator: &'static str,
}

/// Builds what the tool runs, and tells it where that is.
fn prepare(
    workspace: &Workspace,
    toolchain: ToolchainArgs,
    profiles: Profiles,
    tool: &mut Command,
) -> Result<()> {
    build::build(workspace, toolchain)?;
    tool.env("E2E_VALIDATOR", validator(workspace, profiles.validator)?)
        .env("E2E_KEEPER", tool::built(workspace, "keeper", profiles.keeper)?)
        .env("E2E_MIGRATIONS", node::migrations(workspace));
    Ok(())
}

/// Builds the validator, in a target folder of its own: it shares no build with the
/// workspace.
fn validator(workspace: &Workspace, profile: &str) -> Result<PathBuf> {
    process::probe(Command::new("protoc").arg("--version"))
        .with_context(|| format!("no protoc: a validator needs Debian's {PACKAGES}"))?;
    let target = workspace.target.join("e2e-validator");
    let mut build = process::cargo();
    build
        .current_dir(&workspace.root)
        .args(["build", "--locked", "--manifest-path", "tools/e2e-validator/Cargo.toml"])
        .args(["--profile", profile])
        .arg("--target-dir")
        .arg(&target)
        // Debian's OpenSSL saves compiling another.
        .env("OPENSSL_NO_VENDOR", "1");
    eprintln!("building the validator: minutes the first time; needs Debian's {PACKAGES}");
    process::run("cargo build of the validator", &mut build)?;
    Ok(target.join(tool::profile_folder(profile)).join("e2e-validator"))
}
