//! `cargo xtask package`: the keeper as a Debian package, made with dpkg's own tool.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};

use crate::process;
use crate::workspace::Workspace;

const NAME: &str = "klend-flash-keeper";
/// What is compiled for use: as `release`, but a panic ends no more than its thread's work.
const PROFILE: &str = "service";

#[derive(clap::Args)]
pub struct Args {
    /// Package this keeper instead of compiling one with all optimisations, which takes
    /// some 20 minutes
    #[arg(long, value_name = "FILE")]
    binary: Option<PathBuf>,
}

pub fn run(args: Args) -> Result<()> {
    let workspace = Workspace::load()?;
    let binary = match args.binary {
        Some(binary) => binary,
        None => {
            let mut build = process::cargo();
            build.current_dir(&workspace.root);
            build.args(["build", "--locked", "--profile", PROFILE, "-p", NAME, "--bin", "keeper"]);
            process::run("cargo build", &mut build)?;
            workspace.target.join(PROFILE).join("keeper")
        }
    };
    let folder = workspace.target.join("package");
    if folder.exists() {
        fs::remove_dir_all(&folder)
            .with_context(|| format!("cannot empty {}", folder.display()))?;
    }
    let version = lay_out(&workspace.root, &binary, &folder)?;
    let architecture = output(Command::new("dpkg").arg("--print-architecture"))?;
    let package = workspace.target.join(format!("{NAME}_{version}_{architecture}.deb"));
    fs::create_dir_all(folder.join("DEBIAN"))?;
    write(&folder.join("DEBIAN/control"), control(&version, &architecture).as_bytes(), 0o644)?;
    let mut build = Command::new("dpkg-deb");
    build.args(["--root-owner-group", "--build"]).arg(&folder).arg(&package);
    process::run("dpkg-deb", &mut build)?;
    println!("{}", package.display());
    Ok(())
}

/// Puts everything where Debian expects it; returns the keeper's version.
fn lay_out(root: &Path, binary: &Path, folder: &Path) -> Result<String> {
    let read = |path: &Path| fs::read(path).with_context(|| format!("{}", path.display()));
    let keeper = folder.join("usr/bin/keeper");
    write(&keeper, &read(binary)?, 0o755)?;
    let version = output(Command::new(&keeper).arg("--version"))?;
    let version = version.rsplit(' ').next().unwrap_or_default().to_owned();
    if version.is_empty() {
        bail!("{} does not say its version", binary.display());
    }
    write(
        &folder.join("usr/lib/systemd/system/keeper.service"),
        &read(&root.join("ops/systemd/keeper.service"))?,
        0o644,
    )?;
    let documents = folder.join("usr/share/doc").join(NAME);
    for (from, to) in [
        ("LICENSE", "copyright"),
        ("docs/operate.md", "operate.md"),
        ("docs/keeper.md", "keeper.md"),
        ("ops/prometheus/keeper.rules.yml", "keeper.rules.yml"),
        ("ops/grafana/keeper.json", "grafana.json"),
    ] {
        write(&documents.join(to), &read(&root.join(from))?, 0o644)?;
    }
    let pages = folder.join("usr/share/man/man1");
    fs::create_dir_all(&pages)?;
    output(Command::new(&keeper).arg("man").arg("--out").arg(&pages))?;
    for (shell, path) in [
        ("bash", "usr/share/bash-completion/completions/keeper"),
        ("zsh", "usr/share/zsh/vendor-completions/_keeper"),
        ("fish", "usr/share/fish/vendor_completions.d/keeper.fish"),
    ] {
        let text = output(Command::new(&keeper).args(["completions", shell]))?;
        write(&folder.join(path), text.as_bytes(), 0o644)?;
    }
    Ok(version)
}

fn write(path: &Path, bytes: &[u8], mode: u32) -> Result<()> {
    let shown = || format!("cannot write {}", path.display());
    if let Some(folder) = path.parent() {
        fs::create_dir_all(folder).with_context(shown)?;
    }
    fs::write(path, bytes).with_context(shown)?;
    fs::set_permissions(path, fs::Permissions::from_mode(mode)).with_context(shown)
}

/// What a command prints.
fn output(command: &mut Command) -> Result<String> {
    let output = command.output().with_context(|| format!("cannot start {command:?}"))?;
    if !output.status.success() {
        bail!("{command:?} failed: {}", String::from_utf8_lossy(&output.stderr));
    }
    Ok(String::from_utf8(output.stdout)?.trim_end().to_owned())
}

fn control(version: &str, architecture: &str) -> String {
    format!(
        "Package: {NAME}\nVersion: {version}\nArchitecture: {architecture}\nSection: net\n\
         Priority: optional\nDepends: libc6, ca-certificates\n\
         Maintainer: klend-flash-liquidator's maintainers <see SECURITY.md>\n\
         Description: keeper for klend flash liquidations\n \
         Watches Kamino Lend, liquidates unhealthy obligations with flash loans, and tells\n \
         what it earned. The service keeper.service has to be configured first, in\n \
         /etc/keeper/watch.toml, and is not started by the installation.\n"
    )
}
