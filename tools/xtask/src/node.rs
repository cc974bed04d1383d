//! Node.js for what is written in TypeScript: the client and `migrations`.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};

use crate::process;
use crate::workspace::Workspace;

/// What `@solana/kit` and `litesvm` need, as `engines` of clients/ts says.
const OLDEST: (u32, u32) = (20, 18);

/// The client's folder.
pub fn client(workspace: &Workspace) -> PathBuf {
    workspace.root.join("clients/ts")
}

/// The folder of `deploy.ts`.
pub fn migrations(workspace: &Workspace) -> PathBuf {
    workspace.root.join("migrations")
}

/// Checks that Node.js is recent enough and installs the packages that the lockfiles
/// name, unless they are there.
///
/// # Errors
/// When Node.js or npm is not there or too old, or the installation fails.
pub fn prepare(workspace: &Workspace) -> Result<()> {
    let wanted = format!("what is in TypeScript needs Node.js {}.{} or newer", OLDEST.0, OLDEST.1);
    let Ok(printed) = process::probe(Command::new("node").arg("--version")) else {
        bail!("{wanted}, and there is no node on the PATH: install it from https://nodejs.org");
    };
    match version(&printed) {
        Some(found) if found >= OLDEST => {}
        _ => bail!("{wanted}, the one on the PATH is {}", printed.trim()),
    }
    if process::probe(Command::new("npm").arg("--version")).is_err() {
        bail!("{wanted} with npm, and there is no npm on the PATH");
    }

    install(&client(workspace))?;
    install(&migrations(workspace))
}

fn install(folder: &Path) -> Result<()> {
    let lockfile = folder.join("package-lock.json");
    let lockfile = fs::read_to_string(&lockfile)
        .with_context(|| format!("cannot read {}", lockfile.display()))?;
    let installed = folder.join("node_modules/.installed-lockfile.json");
    if fs::read_to_string(&installed).is_ok_and(|installed| installed == lockfile) {
        return Ok(());
    }
    eprintln!("Installing the packages of {}", folder.display());
    let mut npm = Command::new("npm");
    npm.args(["ci", "--no-progress", "--loglevel=error"]).current_dir(folder);
    process::run("npm ci", &mut npm)?;
    fs::write(&installed, lockfile).with_context(|| format!("cannot write {}", installed.display()))
}

/// `v20.18.1` as `(20, 18)`.
fn version(printed: &str) -> Option<(u32, u32)> {
    let mut parts = printed.trim().strip_prefix('v')?.split('.').map(str::parse);
    Some((parts.next()?.ok()?, parts.next()?.ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_compared_by_number() {
        assert_eq!(version("v20.18.1\n"), Some((20, 18)));
        assert!(version("v18.20.4") < Some(OLDEST));
        assert!(version("v100.0.0") > Some(OLDEST));
        assert_eq!(version("20"), None);
    }
}
