//! The workspace as cargo describes it.

use std::fmt;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use anyhow::{Context, Result, bail};
use serde::Deserialize;

use crate::process;

/// A version of Rust, `major.minor`. What comes after does not matter here.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct RustVersion {
    major: u32,
    minor: u32,
}

impl FromStr for RustVersion {
    type Err = anyhow::Error;

    fn from_str(text: &str) -> Result<Self> {
        let mut parts = text.split('.').map(str::parse);
        match (parts.next(), parts.next()) {
            (Some(Ok(major)), Some(Ok(minor))) => Ok(Self { major, minor }),
            _ => bail!("{text:?} is not a version of Rust"),
        }
    }
}

impl fmt::Display for RustVersion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.major, self.minor)
    }
}

/// A Solana program of this workspace.
#[derive(Clone, Debug)]
pub struct Program {
    /// Package name, as for `cargo -p`.
    pub package: String,
    /// File name of the compiled program.
    pub file_name: String,
    pub manifest: PathBuf,
    pub rust_version: Option<RustVersion>,
    /// Lives under `tests/`: never deployed.
    pub is_test_program: bool,
}

/// Paths and programs.
#[derive(Clone, Debug)]
pub struct Workspace {
    pub root: PathBuf,
    pub target: PathBuf,
    /// By package name.
    pub programs: Vec<Program>,
    /// Packages that may be published, as for `cargo -p`.
    pub publishable: Vec<String>,
}

#[derive(Deserialize)]
struct Metadata {
    workspace_root: PathBuf,
    target_directory: PathBuf,
    packages: Vec<Package>,
}

#[derive(Deserialize)]
struct Package {
    name: String,
    manifest_path: PathBuf,
    rust_version: Option<String>,
    /// Registries it may go to; none at all when `publish = false`.
    publish: Option<Vec<String>>,
    targets: Vec<Target>,
}

#[derive(Deserialize)]
struct Target {
    name: String,
    crate_types: Vec<String>,
}

impl Workspace {
    /// Asks cargo.
    ///
    /// # Errors
    /// When cargo cannot read the workspace.
    pub fn load() -> Result<Self> {
        // This package is <root>/tools/xtask; the caller may be anywhere.
        Self::at(&Path::new(env!("CARGO_MANIFEST_DIR")).join("../.."))
    }

    /// The workspace in another folder.
    ///
    /// # Errors
    /// As [`load`](Self::load).
    pub fn at(root: &Path) -> Result<Self> {
        let json = process::output(
            "cargo metadata",
            process::cargo()
                .args(["metadata", "--no-deps", "--format-version=1", "--manifest-path"])
                .arg(root.join("Cargo.toml")),
        )?;
        let metadata: Metadata =
            serde_json::from_str(&json).context("the output of cargo metadata")?;
        let mut programs = metadata
            .packages
            .iter()
            .filter_map(|package| program(package, &metadata.workspace_root).transpose())
            .collect::<Result<Vec<_>>>()?;
        programs.sort_by(|a, b| a.package.cmp(&b.package));
        let publishable = metadata
            .packages
            .iter()
            .filter(|package| package.publish.is_none())
            .map(|package| package.name.clone())
            .collect();
        Ok(Self {
            root: metadata.workspace_root,
            target: metadata.target_directory,
            programs,
            publishable,
        })
    }

    /// Where compiled programs are put, as by `anchor build`.
    pub fn deploy_dir(&self) -> PathBuf {
        self.target.join("deploy")
    }

    /// Where programs are put whose checks the tests can switch off. Apart, so that
    /// nobody deploys one by mistake.
    pub fn mutation_dir(&self) -> PathBuf {
        self.target.join("mutation")
    }

    /// Where the deployed programs are put as sBPF v3.
    pub fn v3_dir(&self) -> PathBuf {
        self.target.join("v3")
    }
}

/// The package as a program, when it is one.
fn program(package: &Package, root: &Path) -> Result<Option<Program>> {
    let is_test_program = package.manifest_path.starts_with(root.join("tests/programs"));
    if !is_test_program && !package.manifest_path.starts_with(root.join("programs")) {
        return Ok(None);
    }
    let library = package
        .targets
        .iter()
        .find(|target| target.crate_types.iter().any(|kind| kind == "cdylib"))
        .with_context(|| format!("{} has no cdylib target", package.name))?;
    Ok(Some(Program {
        package: package.name.clone(),
        file_name: format!("{}.so", library.name.replace('-', "_")),
        manifest: package.manifest_path.clone(),
        rust_version: package.rust_version.as_deref().map(str::parse).transpose()?,
        is_test_program,
    }))
}
