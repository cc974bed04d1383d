//! The part of `deny.toml` that needs no network: where dependencies come from, and
//! versions that must never be among them.

use std::fs;
use std::path::Path;

use anyhow::{Context, Result, bail};
use serde::Deserialize;
use serde::de::DeserializeOwned;

#[derive(Deserialize)]
struct Deny {
    bans: Bans,
    sources: Sources,
}

#[derive(Deserialize)]
struct Bans {
    deny: Vec<Banned>,
}

#[derive(Deserialize)]
struct Banned {
    name: String,
    /// `=` and the version; none bans all.
    version: Option<String>,
    reason: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "kebab-case")]
struct Sources {
    allow_registry: Vec<String>,
}

#[derive(Deserialize)]
struct Lock {
    package: Vec<Package>,
}

#[derive(Deserialize)]
struct Package {
    name: String,
    version: String,
    /// None for the workspace's own.
    source: Option<String>,
}

/// The workspace's lockfile, and those of packages outside of it.
const LOCKFILES: [&str; 2] = ["Cargo.lock", "tools/e2e-validator/Cargo.lock"];

/// Holds the lockfiles in `root` against the `deny.toml` there.
///
/// # Errors
/// Naming each dependency that must not be, and when a file cannot be read.
pub fn check(root: &Path) -> Result<()> {
    let deny = read(&root.join("deny.toml"))?;
    let mut complaints = Vec::new();
    for lockfile in LOCKFILES {
        complaints.extend(self::complaints(&read(&root.join(lockfile))?, &deny));
    }
    if !complaints.is_empty() {
        bail!("dependencies that deny.toml does not allow:\n  {}", complaints.join("\n  "));
    }
    Ok(())
}

fn read<T: DeserializeOwned>(path: &Path) -> Result<T> {
    let text =
        fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))?;
    toml::from_str(&text).with_context(|| path.display().to_string())
}

fn complaints(lock: &Lock, deny: &Deny) -> Vec<String> {
    let mut complaints = Vec::new();
    for Package { name, version, source } in &lock.package {
        let registry = source.as_deref().and_then(|source| source.strip_prefix("registry+"));
        let allowed = |registry: &str| deny.sources.allow_registry.iter().any(|a| a == registry);
        if let Some(source) = source
            && !registry.is_some_and(allowed)
        {
            complaints.push(format!("{name} {version} comes from {source}"));
        }
        let banned = deny.bans.deny.iter().find(|banned| {
            let versions = banned.version.as_deref();
            banned.name == *name && versions.is_none_or(|v| v.strip_prefix('=') == Some(version))
        });
        if let Some(banned) = banned {
            complaints.push(format!("{name} {version}: {}", banned.reason));
        }
    }
    complaints
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn banned_versions_and_foreign_sources_are_found() {
        let deny: Deny = toml::from_str(
            "[bans]\ndeny = [{ name = 'bad', version = '=1.0.1', reason = 'stolen' }, \
             { name = 'worse', reason = 'thief' }]\n\
             [sources]\nallow-registry = ['https://ours']",
        )
        .unwrap();
        let lock: Lock = toml::from_str(
            "[[package]]\nname = 'own'\nversion = '0.1.0'\n\
             [[package]]\nname = 'bad'\nversion = '1.0.0'\nsource = 'registry+https://ours'\n\
             [[package]]\nname = 'bad'\nversion = '1.0.1'\nsource = 'registry+https://ours'\n\
             [[package]]\nname = 'worse'\nversion = '3.0.0'\nsource = 'registry+https://ours'\n\
             [[package]]\nname = 'other'\nversion = '2.0.0'\nsource = 'git+https://ours'",
        )
        .unwrap();
        assert_eq!(
            complaints(&lock, &deny),
            ["bad 1.0.1: stolen", "worse 3.0.0: thief", "other 2.0.0 comes from git+https://ours"]
        );
    }

    #[test]
    fn the_files_of_this_repository_agree() {
        check(&Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")).unwrap();
    }
}
