//! Compilers for Solana programs: Solana's platform-tools, or the kit in `tools/sbf`.

use std::env;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};
use clap::ValueEnum;

use crate::process;
use crate::workspace::{Program, RustVersion, Workspace};

/// What the user asked for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum Choice {
    /// Solana's platform-tools when they are installed and recent enough, else the kit
    #[default]
    Auto,
    /// `cargo build-sbf`; downloads the platform-tools when they are not there
    PlatformTools,
    /// The kit in tools/sbf: Debian's rustc and LLVM
    Kit,
}

/// How programs are compiled, where it is not as they are deployed.
#[derive(Clone, Debug, Default)]
pub struct Variant {
    /// Features that are switched on.
    pub features: Vec<String>,
    /// Another `opt-level` than the profile's for the programs' own packages.
    pub opt_level: Option<String>,
    /// Another sBPF version than the compilers' own choice.
    pub arch: Option<&'static str>,
}

impl Variant {
    /// With these features.
    pub fn with_features(features: &[&str]) -> Self {
        let features = features.iter().map(ToString::to_string).collect();
        Self { features, ..Self::default() }
    }

    /// As deployed, but for a virtual machine of sBPF v3.
    pub fn v3() -> Self {
        Self { arch: Some("v3"), ..Self::default() }
    }

    /// For cargo: its `--features` and `--config`.
    fn arguments(&self, programs: &[&Program]) -> Vec<String> {
        let mut arguments = Vec::new();
        if !self.features.is_empty() {
            arguments.extend(["--features".to_owned(), self.features.join(",")]);
        }
        if let Some(level) = &self.opt_level {
            // cargo takes 0 to 3 as numbers and the rest as text.
            let level = if level.parse::<u8>().is_ok() { level } else { &format!("{level:?}") };
            for program in programs {
                let key = format!("profile.release.package.{}.opt-level", program.package);
                arguments.extend(["--config".to_owned(), format!("{key}={level}")]);
            }
        }
        arguments
    }
}

/// A compiler that is ready to be used.
pub enum Toolchain {
    PlatformTools,
    Kit { home: PathBuf },
}

impl Toolchain {
    /// Chooses, tells the user which and why, and sets the kit up where it is needed.
    ///
    /// # Errors
    /// When the kit cannot be set up.
    pub fn prepare(workspace: &Workspace, choice: Choice) -> Result<Self> {
        let kit_because = match choice {
            Choice::PlatformTools => {
                eprintln!("Compiling programs with cargo build-sbf");
                return Ok(Self::PlatformTools);
            }
            Choice::Kit => "as asked for".to_owned(),
            Choice::Auto => match installed_platform_tools(&workspace.programs) {
                Ok(version) => {
                    eprintln!("Compiling programs with cargo build-sbf ({version})");
                    return Ok(Self::PlatformTools);
                }
                Err(reason) => format!("{reason:#}"),
            },
        };
        eprintln!("Compiling programs with the kit in tools/sbf ({kit_because})");
        let printed = process::output(
            "tools/sbf/setup.sh",
            &mut Command::new(workspace.root.join("tools/sbf/setup.sh")),
        )?;
        Ok(Self::Kit { home: PathBuf::from(printed.trim()) })
    }

    /// Its name and version, for reports.
    pub fn describe(&self) -> String {
        match self {
            Self::PlatformTools => {
                let versions = process::probe(process::cargo().args(["build-sbf", "--version"]));
                let versions = versions.unwrap_or_default();
                let name = versions.lines().find(|line| line.starts_with("platform-tools "));
                name.unwrap_or("platform-tools").to_owned()
            }
            Self::Kit { home } => {
                let rustc = home.join("bin/rustc");
                let version = process::probe(Command::new(rustc).arg("--version"));
                format!("the kit in tools/sbf ({})", version.unwrap_or_default().trim())
            }
        }
    }

    /// Compiles the programs of `workspace` into the folder `out`.
    ///
    /// # Errors
    /// When the compilation fails, or its result cannot be copied.
    pub fn compile(&self, workspace: &Workspace, variant: &Variant, out: &Path) -> Result<()> {
        match self {
            Self::PlatformTools => compile_with_platform_tools(workspace, variant, out),
            Self::Kit { home } => compile_with_kit(home, workspace, variant, out),
        }
    }
}

/// The version of the installed platform-tools, or why they cannot be used.
fn installed_platform_tools(programs: &[Program]) -> Result<String> {
    // Prints one line for itself, one for the platform-tools and one for their rustc.
    let Ok(versions) = process::probe(process::cargo().args(["build-sbf", "--version"])) else {
        bail!("cargo-build-sbf is not installed");
    };
    let version = versions
        .lines()
        .find_map(|line| line.strip_prefix("platform-tools "))
        .context("cargo-build-sbf does not name its platform-tools")?;
    // They are downloaded by the first build; this is where to.
    let home = env::home_dir().context("no home directory")?;
    let rustc = home.join(format!(".cache/solana/{version}/platform-tools/rust/bin/rustc"));
    let Ok(printed) = process::probe(Command::new(&rustc).arg("--version")) else {
        bail!("platform-tools {version} are not installed");
    };
    let rustc: RustVersion = printed.split_whitespace().nth(1).unwrap_or_default().parse()?;
    for program in programs {
        if let Some(needed) = program.rust_version.filter(|needed| *needed > rustc) {
            bail!("platform-tools {version} have Rust {rustc}, {} needs {needed}", program.package);
        }
    }
    Ok(format!("platform-tools {version}, Rust {rustc}"))
}

fn compile_with_platform_tools(workspace: &Workspace, variant: &Variant, out: &Path) -> Result<()> {
    for program in &workspace.programs {
        let mut build = process::cargo();
        build.args(["build-sbf", "--manifest-path"]).arg(&program.manifest);
        build.arg("--sbf-out-dir").arg(out);
        if let Some(arch) = variant.arch {
            build.args(["--arch", arch]);
        }
        // Behind the dashes they are cargo's.
        build.arg("--").args(variant.arguments(&[program]));
        process::run(&format!("cargo build-sbf for {}", program.package), &mut build)?;
    }
    Ok(())
}

fn compile_with_kit(
    home: &Path,
    workspace: &Workspace,
    variant: &Variant,
    out: &Path,
) -> Result<()> {
    // Apart from the host's builds: another compiler. Apart for each set of features:
    // cargo keeps one cdylib per package and would compile it anew at every change. Of
    // another sBPF version it would not even know that there is anything to compile.
    let folder = variant
        .features
        .iter()
        .map(String::as_str)
        .chain(variant.opt_level.is_some().then_some("opt"))
        .chain(variant.arch);
    let plain = workspace.target.join("sbf");
    let target =
        workspace.target.join(folder.fold("sbf".to_owned(), |name, part| name + "-" + part));
    if !target.exists() && plain.exists() {
        begin_with(&plain, &target, &workspace.programs)?;
    }
    // Each deployed program alone: in one cargo call the features of all of them would be
    // united. The test programs do not matter that much and compile faster together.
    let (together, alone): (Vec<_>, Vec<_>) =
        workspace.programs.iter().partition(|program| program.is_test_program);
    let calls = alone.into_iter().map(|program| vec![program]);
    let calls = calls.chain((!together.is_empty()).then_some(together));
    for call in calls {
        let mut build = Command::new(home.join("bin/sbf-build"));
        build.arg("--lib").arg("--target-dir").arg(&target);
        build.arg("--manifest-path").arg(workspace.root.join("Cargo.toml"));
        for program in &call {
            build.args(["-p", &program.package]);
        }
        build.args(variant.arguments(&call));
        if let Some(arch) = variant.arch {
            build.env("SBF_ARCH", arch);
        }
        let names: Vec<_> = call.iter().map(|program| program.package.as_str()).collect();
        process::run(&format!("compiling {}", names.join(", ")), &mut build)?;
        for program in call {
            let built = target.join("bpfel-solana/release").join(&program.file_name);
            copy_if_different(&built, &out.join(&program.file_name))?;
        }
    }
    Ok(())
}

/// Fills a variant's folder with what it shares with the folder `plain`: the standard
/// library and every dependency. The programs themselves are compiled anew, because cargo
/// knows nothing of the linker's environment.
fn begin_with(plain: &Path, target: &Path, programs: &[Program]) -> Result<()> {
    // Under its name when it is complete.
    let partial = target.with_extension("partial");
    let _ = fs::remove_dir_all(&partial);
    let mut copy = Command::new("cp");
    process::run("cp", copy.args(["--archive", "--reflink=auto"]).arg(plain).arg(&partial))?;
    let fingerprints = partial.join("bpfel-solana/release/.fingerprint");
    for entry in fs::read_dir(&fingerprints).into_iter().flatten().flatten() {
        let name = entry.file_name();
        let package = name.to_string_lossy();
        let package = package.rsplit_once('-').map_or(&*package, |(package, _hash)| package);
        if programs.iter().any(|program| program.package == package) {
            fs::remove_dir_all(entry.path())
                .with_context(|| format!("cannot remove {}", entry.path().display()))?;
        }
    }
    fs::rename(&partial, target).with_context(|| format!("cannot make {}", target.display()))
}

/// Leaves an equal file alone, so that nothing that watches it starts over.
fn copy_if_different(from: &Path, to: &Path) -> Result<()> {
    let new = fs::read(from).with_context(|| format!("cannot read {}", from.display()))?;
    if fs::read(to).is_ok_and(|old| old == new) {
        return Ok(());
    }
    // Tests that run meanwhile see the old program or the new one, never a part.
    let partial = to.with_extension("so.partial");
    fs::write(&partial, new)
        .and_then(|()| fs::rename(&partial, to))
        .with_context(|| format!("cannot write {}", to.display()))
}
