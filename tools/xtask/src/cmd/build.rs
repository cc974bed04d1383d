//! `cargo xtask build`: the Solana programs.

use std::fs;
use std::path::Path;

use anyhow::{Context, Result, bail};

use crate::toolchain::{Choice, Toolchain, Variant};
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
    let variant = Variant { features: args.features, ..Variant::default() };
    let toolchain = Toolchain::prepare(&workspace, args.toolchain.toolchain)?;
    compile_and_list(&workspace, &toolchain, &variant, &workspace.deploy_dir())
}

/// Compiles the programs of `workspace` into its deploy folder and lists them; returns
/// what they were compiled with.
///
/// # Errors
/// When no compiler can be prepared, or the compilation fails.
pub fn build(workspace: &Workspace, toolchain: ToolchainArgs) -> Result<Toolchain> {
    let toolchain = Toolchain::prepare(workspace, toolchain.toolchain)?;
    let as_deployed = Variant::default();
    compile_and_list(workspace, &toolchain, &as_deployed, &workspace.deploy_dir())?;
    Ok(toolchain)
}

/// As [`build`], and compiles the deployed programs twice more: with the feature `mutation`
/// into [`Workspace::mutation_dir`], for the tests that switch their checks off, and for
/// sBPF v3 into [`Workspace::v3_dir`].
///
/// # Errors
/// As [`build`].
pub fn build_for_tests(workspace: &Workspace, toolchain: ToolchainArgs) -> Result<()> {
    let toolchain = build(workspace, toolchain)?;
    let mutation = Variant::with_features(&["mutation"]);
    build_deployed(workspace, &toolchain, &mutation, &workspace.mutation_dir())?;
    build_deployed(workspace, &toolchain, &Variant::v3(), &workspace.v3_dir())
}

/// Compiles a variant of the deployed programs alone into the folder `out`.
///
/// # Errors
/// When the compilation fails.
pub fn build_deployed(
    workspace: &Workspace,
    toolchain: &Toolchain,
    variant: &Variant,
    out: &Path,
) -> Result<()> {
    let mut deployed = workspace.clone();
    deployed.programs.retain(|program| !program.is_test_program);
    compile_and_list(&deployed, toolchain, variant, out)
}

fn compile_and_list(
    workspace: &Workspace,
    toolchain: &Toolchain,
    variant: &Variant,
    out: &Path,
) -> Result<()> {
    fs::create_dir_all(out).with_context(|| format!("cannot create {}", out.display()))?;
    toolchain.compile(workspace, variant, out)?;
    for program in &workspace.programs {
        let path = out.join(&program.file_name);
        let size =
            fs::metadata(&path).with_context(|| format!("{} was not built", path.display()))?.len();
        let shown = path.strip_prefix(&workspace.root).unwrap_or(&path);
        eprintln!("{size:>12} bytes  {}", shown.display());
    }
    Ok(())
}
