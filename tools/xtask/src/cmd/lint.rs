//! `cargo xtask lint`: what has to hold for all code of the workspace, and for what
//! is published of it.

use anyhow::Result;

use crate::dependencies;
use crate::process;
use crate::workspace::Workspace;

#[derive(clap::Args)]
pub struct Args {
    /// Repair what can be repaired
    #[arg(long)]
    fix: bool,
}

pub fn run(args: Args) -> Result<()> {
    let workspace = Workspace::load()?;
    for manifest in ["Cargo.toml", "tools/e2e-validator/Cargo.toml"] {
        let mut format = process::cargo();
        format.current_dir(&workspace.root).args(["fmt", "--all", "--manifest-path", manifest]);
        if !args.fix {
            format.arg("--check");
        }
        process::run("cargo fmt", &mut format)?;
    }

    dependencies::check(&workspace.root)?;
    if process::probe(process::cargo().args(["deny", "--version"])).is_ok() {
        let mut deny = process::cargo();
        deny.current_dir(&workspace.root).args(["deny", "check", "advisories", "bans", "sources"]);
        process::run("cargo deny", &mut deny)?;
    }

    let mut clippy = process::cargo();
    clippy.current_dir(&workspace.root).args(["clippy", "--workspace", "--all-targets"]);
    if args.fix {
        clippy.args(["--fix", "--allow-dirty", "--allow-staged"]);
    }
    process::run("cargo clippy", clippy.args(["--", "--deny", "warnings"]))?;
    document(&workspace)?;
    package(&workspace)
}

/// Documentation of all libraries: nothing missing, no broken link. Of the whole
/// workspace, so that clippy has checked the dependencies with the same features.
fn document(workspace: &Workspace) -> Result<()> {
    let mut doc = process::cargo();
    // A link to something private is no more than text in a published page.
    let flags = "--deny warnings --allow rustdoc::private_intra_doc_links";
    doc.current_dir(&workspace.root).env("RUSTDOCFLAGS", flags);
    doc.args(["doc", "--workspace", "--lib", "--no-deps", "--quiet"]);
    process::run("cargo doc", &mut doc)
}

/// What would go to the registry can be packaged: versions, metadata and files are
/// complete. Nothing is compiled again.
fn package(workspace: &Workspace) -> Result<()> {
    let mut package = process::cargo();
    package.current_dir(&workspace.root);
    package.args(["package", "--no-verify", "--offline", "--allow-dirty", "--quiet"]);
    for name in &workspace.publishable {
        package.args(["-p", name]);
    }
    process::run("cargo package", &mut package)
}
