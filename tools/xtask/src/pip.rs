//! Packages of the Python registry, unpacked into a folder of this project.

use std::path::Path;
use std::process::Command;

use anyhow::Result;

use crate::process;

/// Installs what `arguments` name into `folder`, which need not be there; pip itself with
/// Debian's package manager where it is missing.
///
/// # Errors
/// When pip cannot be had, or does not succeed.
pub fn install(folder: &Path, arguments: &[&str]) -> Result<()> {
    if process::probe(Command::new("python3").args(["-m", "pip", "--version"])).is_err() {
        // As root, or where sudo asks for no password.
        let install = "sudo=; [ \"$(id -u)\" -eq 0 ] || sudo='sudo -n'; $sudo apt-get update -qq && \
                       $sudo apt-get install -y -qq --no-install-recommends python3-pip";
        process::run("installing python3-pip", Command::new("sh").args(["-c", install]))?;
    }
    let mut pip = Command::new("python3");
    pip.args(["-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--upgrade"])
        .args(["--root-user-action=ignore", "--target"])
        .arg(folder)
        .args(arguments);
    process::run("pip install", &mut pip)
}
