//! The part of `deny.toml` that needs no network: where dependencies come from, versions
//! that must never be among them, and under which licences they may be.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use anyhow::{Context, Result, bail};
use serde::Deserialize;
use serde::de::DeserializeOwned;

use crate::process;

#[derive(Deserialize)]
struct Deny {
    bans: Bans,
    graph: Graph,
    licenses: Licenses,
    sources: Sources,
}

#[derive(Deserialize)]
struct Graph {
    targets: Vec<String>,
}

#[derive(Deserialize)]
struct Licenses {
    allow: Vec<String>,
    exceptions: Vec<Exception>,
}

/// Licences that one package may have.
#[derive(Deserialize)]
struct Exception {
    name: String,
    /// `=` and the version; none takes all.
    version: Option<String>,
    allow: Vec<String>,
}

/// What `cargo metadata` says.
#[derive(Deserialize)]
struct Metadata {
    packages: Vec<Licensed>,
    resolve: Resolve,
}

#[derive(Deserialize)]
struct Resolve {
    nodes: Vec<Node>,
}

#[derive(Deserialize)]
struct Node {
    id: String,
}

#[derive(Deserialize)]
struct Licensed {
    id: String,
    name: String,
    version: String,
    /// An SPDX expression, or an older form of one; none where only a file says.
    license: Option<String>,
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

/// Holds the lockfiles in `root`, and the licences of the workspace's dependencies, against
/// the `deny.toml` there.
///
/// # Errors
/// Naming each dependency that must not be, and when a file cannot be read.
pub fn check(root: &Path) -> Result<()> {
    let deny = read(&root.join("deny.toml"))?;
    let mut complaints = Vec::new();
    for lockfile in LOCKFILES {
        complaints.extend(self::complaints(&read(&root.join(lockfile))?, &deny));
    }
    let mut metadata = process::cargo();
    metadata.current_dir(root).args(["metadata", "--format-version", "1"]);
    for target in &deny.graph.targets {
        metadata.args(["--filter-platform", target]);
    }
    let metadata = serde_json::from_str(&process::output("cargo metadata", &mut metadata)?)
        .context("cargo metadata")?;
    complaints.extend(unlicensed(&metadata, &deny.licenses));
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

/// Packages of the graph whose licence is not allowed.
fn unlicensed(metadata: &Metadata, licenses: &Licenses) -> Vec<String> {
    let used: BTreeSet<&str> = metadata.resolve.nodes.iter().map(|node| &*node.id).collect();
    let mut complaints = Vec::new();
    for package in metadata.packages.iter().filter(|package| used.contains(&*package.id)) {
        let Licensed { name, version, license, .. } = package;
        let excepted = licenses.exceptions.iter().filter(|exception| {
            let versions = exception.version.as_deref();
            exception.name == *name && versions.is_none_or(|v| v.strip_prefix('=') == Some(version))
        });
        let allowed: Vec<&str> = licenses
            .allow
            .iter()
            .chain(excepted.flat_map(|exception| &exception.allow))
            .map(String::as_str)
            .collect();
        // A licence of a package's own goes by its name.
        let stated = license.clone().unwrap_or_else(|| format!("LicenseRef-{name}"));
        if !satisfied(&stated, &allowed) {
            complaints.push(format!("{name} {version}: its licence is {stated}"));
        }
    }
    complaints
}

/// Whether an SPDX expression can be met with the licences that are allowed. `/` is an
/// older form of OR.
fn satisfied(expression: &str, allowed: &[&str]) -> bool {
    let expression = expression.replace('/', " OR ").replace('(', " ( ").replace(')', " ) ");
    let words: Vec<&str> = expression.split_whitespace().collect();
    let (met, rest) = any_of(&words, allowed);
    met && rest.is_empty()
}

/// Alternatives, and what follows them.
fn any_of<'a>(words: &'a [&'a str], allowed: &[&str]) -> (bool, &'a [&'a str]) {
    let (mut met, mut rest) = all_of(words, allowed);
    while let Some(("OR", words)) = rest.split_first().map(|(word, words)| (*word, words)) {
        let (next, behind) = all_of(words, allowed);
        (met, rest) = (met | next, behind);
    }
    (met, rest)
}

fn all_of<'a>(words: &'a [&'a str], allowed: &[&str]) -> (bool, &'a [&'a str]) {
    let (mut met, mut rest) = one(words, allowed);
    while let Some(("AND", words)) = rest.split_first().map(|(word, words)| (*word, words)) {
        let (next, behind) = one(words, allowed);
        (met, rest) = (met & next, behind);
    }
    (met, rest)
}

/// One licence, with its exception if it has one, or an expression in brackets.
fn one<'a>(words: &'a [&'a str], allowed: &[&str]) -> (bool, &'a [&'a str]) {
    match words {
        ["(", inner @ ..] => {
            let (met, rest) = any_of(inner, allowed);
            (met, rest.strip_prefix(&[")"]).unwrap_or(rest))
        }
        [license, "WITH", exception, rest @ ..] => {
            (allowed.contains(&&*format!("{license} WITH {exception}")), rest)
        }
        [license, rest @ ..] => (allowed.contains(license), rest),
        [] => (false, words),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn expressions_are_met_or_not() {
        let allowed = ["MIT", "Apache-2.0", "ISC", "Apache-2.0 WITH LLVM-exception"];
        for (expression, met) in [
            ("MIT", true),
            ("GPL-3.0-only", false),
            ("MIT OR GPL-3.0-only", true),
            ("GPL-3.0-only/MIT", true),
            ("Apache-2.0 AND ISC", true),
            ("Apache-2.0 AND Unicode-3.0", false),
            ("(MIT OR Apache-2.0) AND Unicode-3.0", false),
            ("(MIT OR GPL-3.0-only) AND ISC", true),
            ("GPL-2.0-only OR MIT AND ISC", true),
            ("Apache-2.0 WITH LLVM-exception", true),
            ("Apache-2.0 WITH Bison-exception-2.2", false),
            ("LicenseRef-somebody", false),
            ("", false),
            ("MIT MIT", false),
        ] {
            assert_eq!(satisfied(expression, &allowed), met, "{expression}");
        }
    }

    #[test]
    fn only_what_is_used_needs_a_licence() {
        let licenses: Licenses = toml::from_str(
            "allow = ['MIT']\n\
             exceptions = [{ name = 'own', version = '=1.0.0', allow = ['LicenseRef-own'] }]",
        )
        .unwrap();
        let package = |name: &str, version: &str, license: Option<&str>| Licensed {
            id: format!("{name} {version}"),
            name: name.to_owned(),
            version: version.to_owned(),
            license: license.map(str::to_owned),
        };
        let packages = vec![
            package("fine", "1.0.0", Some("MIT")),
            package("own", "1.0.0", None),
            package("own", "2.0.0", None),
            package("other", "1.0.0", Some("GPL-3.0-only")),
            package("unused", "1.0.0", Some("GPL-3.0-only")),
        ];
        let nodes = packages[..4].iter().map(|p| Node { id: p.id.clone() }).collect();
        let metadata = Metadata { packages, resolve: Resolve { nodes } };
        assert_eq!(
            unlicensed(&metadata, &licenses),
            [
                "own 2.0.0: its licence is LicenseRef-own",
                "other 1.0.0: its licence is GPL-3.0-only"
            ]
        );
    }

    #[test]
    fn banned_versions_and_foreign_sources_are_found() {
        let deny: Deny = toml::from_str(
            "[bans]\ndeny = [{ name = 'bad', version = '=1.0.1', reason = 'stolen' }, \
             { name = 'worse', reason = 'thief' }]\n\
             [graph]\ntargets = []\n[licenses]\nallow = []\nexceptions = []\n\
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
