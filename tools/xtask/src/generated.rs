//! Files in the repository that commands generate from its code.

use std::fs;
use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result, bail};

/// What to do with what was generated.
#[derive(clap::Args, Clone, Copy)]
pub struct Mode {
    /// Change nothing: fail, and show the difference, when a committed file is not
    /// what the code generates
    #[arg(long)]
    pub check: bool,
}

/// Writes `contents` to `path`, or in check mode holds what is there against it.
/// `command` is what a reader of the failure should run.
///
/// # Errors
/// In check mode when they differ, after printing how; else when it cannot be written.
pub fn put(root: &Path, path: &str, contents: &str, mode: Mode, command: &str) -> Result<()> {
    let target = root.join(path);
    let committed = fs::read_to_string(&target).unwrap_or_default();
    if committed == contents {
        return Ok(());
    }
    if !mode.check {
        if let Some(folder) = target.parent() {
            fs::create_dir_all(folder)
                .with_context(|| format!("cannot create {}", folder.display()))?;
        }
        fs::write(&target, contents).with_context(|| format!("cannot write {path}"))?;
        eprintln!("{path}: written");
        return Ok(());
    }
    show_difference(&committed, contents)?;
    bail!(
        "{path} is not what the code generates (above: - committed, + generated); run `{command}` and commit the result"
    );
}

/// Prints a unified diff to standard error.
fn show_difference(committed: &str, generated: &str) -> Result<()> {
    let folder = std::env::temp_dir().join(format!("xtask-{}", std::process::id()));
    fs::create_dir_all(&folder).context("a temporary folder")?;
    let (old, new) = (folder.join("committed"), folder.join("generated"));
    let result =
        fs::write(&old, committed).and_then(|()| fs::write(&new, generated)).and_then(|()| {
            let names = ["--label", "committed", "--label", "generated"];
            Command::new("diff").arg("-u").args(names).arg(&old).arg(&new).output()
        });
    fs::remove_dir_all(&folder).context("a temporary folder")?;
    eprint!("{}", String::from_utf8_lossy(&result.context("cannot run diff")?.stdout));
    Ok(())
}
