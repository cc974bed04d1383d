//! `cargo xtask build`: the Solana programs.

use std::fs;
use std::path::Path;

use anyhow::{Context, Result, bail};

use crate::toolchain::{Choice, Toolchain};
use crate::workspace::Workspace;

#[derive(clap::Args)]
pub struct Args {
    #[command(flatten)]
    toolchain: ToolchainArgs,
    /// Only this program (may be repeated)
    #[arg(short, long = "package", value_name = "PROGRAM")]
    packages: Vec<String>,
    /// Features to switch on, for example `staging` of flash-liquidator
    #[arg(long, value_delimiter = ',', requires = "packages")]
    features: Vec<String>,
}

/// For every command that compiles programs.
#[derive(clap::Args, Clone, Copy)]
pub struct ToolchainArgs {
    /// Which compiler to use for Solana programs
    #[arg(long, value_enum, env = "SBF_TOOLCHAIN", default_value_t = Choice::Auto)]
    pub toolchain: Choice,
}

pub fn run(args: Args) -> Result<()> {
    let mut workspace = Workspace::load()?;
    if !args.packages.is_empty() {
        let known: Vec<_> = workspace.programs.iter().map(|p| p.package.clone()).collect();
        if let Some(unknown) = args.packages.iter().find(|name| !known.contains(name)) {
            bail!("there is no program {unknown}; there are: {}", known.join(", "));
        }
        workspace.programs.retain(|program| args.packages.contains(&program.package));
    }
    build(&workspace, args.toolchain, &args.features)
}

/// Compiles the programs of `workspace` into its deploy folder and lists them.
///
/// # Errors
/// When no compiler can be prepared, or the compilation fails.
pub fn build(workspace: &Workspace, toolchain: ToolchainArgs, features: &[String]) -> Result<()> {
    let toolchain = Toolchain::prepare(workspace, toolchain.toolchain)?;
    compile_and_list(workspace, &toolchain, features, &workspace.deploy_dir())
}

/// As [`build`], and compiles the deployed programs a second time with the feature
/// `mutation` into [`Workspace::mutation_dir`], for the tests that switch their checks off.
///
/// # Errors
/// As [`build`].
pub fn build_for_tests(workspace: &Workspace, toolchain: ToolchainArgs) -> Result<()> {
    let toolchain = Toolchain::prepare(workspace, toolchain.toolchain)?;
    compile_and_list(workspace, &toolchain, &[], &workspace.deploy_dir())?;
    let mut deployed = workspace.clone();
    deployed.programs.retain(|program| !program.is_test_program);
    let features = ["mutation".to_owned()];
    compile_and_list(&deployed, &toolchain, &features, &workspace.mutation_dir())
}

fn compile_and_list(
    workspace: &Workspace,
    toolchain: &Toolchain,
    features: &[String],
    out: &Path,
) -> Result<()> {
    fs::create_dir_all(out).with_context(|| format!("cannot create {}", out.display()))?;
    toolchain.compile(workspace, features, out)?;
    for program in &workspace.programs {
        let path = out.join(&program.file_name);
        let size =
            fs::metadata(&path).with_context(|| format!("{} was not built", path.display()))?.len();
        let shown = path.strip_prefix(&workspace.root).unwrap_or(&path);
        eprintln!("{size:>12} bytes  {}", shown.display());
    }
    Ok(())
}
