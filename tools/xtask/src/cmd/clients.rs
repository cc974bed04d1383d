//! `cargo xtask clients`: the generated parts of the TypeScript client, from the IDL
//! and from the Rust code.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;

use anyhow::{Context, Result, bail};

use super::errors::reference;
use crate::generated::{self, Mode};
use crate::node::{self, Node};
use crate::process;
use crate::workspace::Workspace;

const COMMAND: &str = "cargo xtask clients";

#[derive(clap::Args)]
pub struct Args {
    #[command(flatten)]
    mode: Mode,
}

pub fn run(args: Args) -> Result<()> {
    let workspace = Workspace::load()?;
    let node = Node::prepare(&workspace)?;
    let facts: BTreeMap<String, String> =
        serde_json::from_str(&reference(&workspace, "typescript")?)
            .context("the output of tools/reference")?;
    put_folder(&workspace, "clients/ts/src/facts", &facts, args.mode)?;

    // Elsewhere first: the generator empties the folder it writes to.
    let out = workspace.target.join("typescript/generated");
    let mut generator = node.command("node");
    generator.arg("scripts/generate.mjs").arg(&out).current_dir(node::client(&workspace));
    process::run("Codama", &mut generator)?;
    put_folder(&workspace, "clients/ts/src/generated", &files(&out)?, args.mode)?;
    eprintln!("clients/ts is what the IDL and the code generate");
    Ok(())
}

/// [`generated::put`] for each file of a folder that holds nothing else.
fn put_folder(
    workspace: &Workspace,
    folder: &str,
    contents: &BTreeMap<String, String>,
    mode: Mode,
) -> Result<()> {
    for (name, text) in contents {
        generated::put(&workspace.root, &format!("{folder}/{name}"), text, mode, COMMAND)?;
    }
    let path = workspace.root.join(folder);
    let there: BTreeSet<String> = files(&path)?.into_keys().collect();
    for stale in there.into_iter().filter(|name| !contents.contains_key(name)) {
        if mode.check {
            bail!("{folder}/{stale} is no longer generated: run `{COMMAND}` and commit the result");
        }
        fs::remove_file(path.join(&stale))
            .with_context(|| format!("cannot remove {folder}/{stale}"))?;
        eprintln!("{folder}/{stale}: removed");
    }
    Ok(())
}

/// Texts of a folder by path inside it.
fn files(folder: &Path) -> Result<BTreeMap<String, String>> {
    fn visit(folder: &Path, prefix: &str, found: &mut BTreeMap<String, String>) -> Result<()> {
        let entries =
            fs::read_dir(folder).with_context(|| format!("cannot read {}", folder.display()))?;
        for entry in entries {
            let path = entry.context("an entry of a folder")?.path();
            let name = path.file_name().unwrap_or_default().to_string_lossy();
            let name = format!("{prefix}{name}");
            if path.is_dir() {
                visit(&path, &format!("{name}/"), found)?;
            } else {
                let text = fs::read_to_string(&path)
                    .with_context(|| format!("cannot read {}", path.display()))?;
                found.insert(name, text);
            }
        }
        Ok(())
    }
    let mut found = BTreeMap::new();
    visit(folder, "", &mut found)?;
    Ok(found)
}
