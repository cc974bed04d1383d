//! `cargo xtask reproduce`: whether a build depends on where it is made.

use std::fs;
use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result, bail};
use sha2::{Digest, Sha256};

use super::build::{self, ToolchainArgs};
use crate::process;
use crate::toolchain::{Toolchain, Variant};
use crate::workspace::Workspace;

/// Folders of different depth, so that a path in an ELF would show.
const FOLDERS: [&str; 2] = ["one", "another/folder/deeper"];

#[derive(clap::Args)]
pub struct Args {
    #[command(flatten)]
    toolchain: ToolchainArgs,
}

pub fn run(args: Args) -> Result<()> {
    let here = Workspace::load()?;
    let toolchain = Toolchain::prepare(&here, args.toolchain.toolchain)?;
    let scratch = here.target.join("reproduce");
    if scratch.exists() {
        fs::remove_dir_all(&scratch)
            .with_context(|| format!("cannot empty {}", scratch.display()))?;
    }
    let mut hashes = Vec::new();
    for folder in FOLDERS {
        let clone = scratch.join(folder);
        let mut git = Command::new("git");
        git.args(["clone", "--quiet", "--shared"]).arg(&here.root).arg(&clone);
        process::run("git clone", &mut git)?;
        let mut workspace = Workspace::at(&clone)?;
        workspace.target = clone.join("target");
        let out = workspace.deploy_dir();
        build::build_deployed(&workspace, &toolchain, &Variant::default(), &out)?;
        hashes.push(hash_programs(&out)?);
    }
    for (name, hash) in &hashes[0] {
        println!("{hash}  {name}");
    }
    if hashes[0] != hashes[1] {
        for (name, hash) in &hashes[1] {
            println!("{hash}  {name}, in {}", FOLDERS[1]);
        }
        bail!("the same commit gives different programs in {}", scratch.display());
    }
    println!("the last commit gives the same bytes in two folders");
    fs::remove_dir_all(&scratch).with_context(|| format!("cannot remove {}", scratch.display()))
}

/// Name and SHA-256 of each program in a folder.
fn hash_programs(folder: &Path) -> Result<Vec<(String, String)>> {
    let mut hashes = Vec::new();
    for entry in
        fs::read_dir(folder).with_context(|| format!("cannot read {}", folder.display()))?
    {
        let path = entry.context("an entry of a folder")?.path();
        if path.extension().is_some_and(|extension| extension == "so") {
            let elf = fs::read(&path).with_context(|| format!("cannot read {}", path.display()))?;
            let hash: String =
                Sha256::digest(&elf).iter().map(|byte| format!("{byte:02x}")).collect();
            let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
            hashes.push((name, hash));
        }
    }
    hashes.sort();
    Ok(hashes)
}
