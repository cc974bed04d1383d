//! `cargo xtask errors`: the error reference, `docs/errors.md`.

use anyhow::Result;

use crate::generated::{self, Mode};
use crate::process;
use crate::workspace::Workspace;

/// Where it is committed.
const PATH: &str = "docs/errors.md";

#[derive(clap::Args)]
pub struct Args {
    #[command(flatten)]
    mode: Mode,
}

pub fn run(args: Args) -> Result<()> {
    let workspace = Workspace::load()?;
    let text = reference(&workspace, "errors")?;
    generated::put(&workspace.root, PATH, &text, args.mode, "cargo xtask errors")?;
    eprintln!("{PATH} is what the code generates");
    Ok(())
}

/// What `tools/reference` prints.
///
/// # Errors
/// When it cannot be compiled or fails.
pub fn reference(workspace: &Workspace, command: &str) -> Result<String> {
    let mut tool = process::cargo();
    tool.current_dir(&workspace.root);
    // Without --package: with the features of the whole workspace, as the tests have them,
    // so that nothing is compiled a second time.
    tool.args(["run", "--quiet", "--bin", "reference", "--", command]);
    tool.env("SBF_OUT_DIR", workspace.deploy_dir());
    process::output("reference", &mut tool)
}
