//! `cargo xtask typescript`: the tests of the TypeScript client, on the programs just
//! built, and of `migrations/deploy.ts`.

use std::fs;

use anyhow::{Context, Result};

use super::build::{self, ToolchainArgs};
use super::{errors, fork};
use crate::node::{self, Node};
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
    // Before the long part: its absence is better known early.
    Node::prepare(&workspace)?;
    build::build(&workspace, args.toolchain)?;
    test(&workspace)
}

/// Writes what the tests read, a fork folder and the instructions that the Rust client
/// builds, and runs them. The programs must have been built.
///
/// # Errors
/// When Node.js is not there, something cannot be written, or a test fails.
pub fn test(workspace: &Workspace) -> Result<()> {
    let node = Node::prepare(workspace)?;
    fork::write(workspace)?;
    let folder = workspace.target.join("typescript");
    fs::create_dir_all(&folder).with_context(|| format!("cannot create {}", folder.display()))?;
    let vectors = folder.join("vectors.json");
    fs::write(&vectors, errors::reference(workspace, "vectors")?)
        .with_context(|| format!("cannot write {}", vectors.display()))?;

    for folder in [node::migrations(workspace), node::client(workspace)] {
        let mut npm = node.command("npm");
        npm.args(["run", "--silent", "test"]).current_dir(&folder);
        npm.env("SBF_OUT_DIR", workspace.deploy_dir());
        npm.env("FORK_DIR", workspace.target.join("fork")).env("VECTORS", &vectors);
        real_programs::pass_to(&mut npm)?;
        process::run(&format!("npm test in {}", folder.display()), &mut npm)?;
    }
    Ok(())
}
