//! `cargo xtask test`: every test of the workspace.

use std::process::Command;

use anyhow::{Context, Result};

use super::build::{self, ToolchainArgs};
use super::{python, typescript};
use crate::node::Node;
use crate::process;
use crate::real_programs;
use crate::workspace::Workspace;

/// Names another build of the receiver for the tests.
const RECEIVER_ELF: &str = "RECEIVER_ELF";

/// Where tests find accounts of mainnet, which this repository does not hold.
const BESIDE: &str = "../shared/fork";

/// Files with tests that pass without looking where those accounts are not there.
const READ_BESIDE: [&str; 4] = [
    "crates/klend-fork/tests/folder.rs",
    "crates/klend-model/tests/fork.rs",
    "tests/programs/klend-stand-in/tests/common/mod.rs",
    "tests/suites/liquidations.rs",
];

#[derive(clap::Args)]
pub struct Args {
    #[command(flatten)]
    toolchain: ToolchainArgs,
    /// Also run what takes long: tests marked `#[ignore]`, and more random cases
    /// (LONG_TESTS=1 is set for the tests)
    #[arg(long)]
    long: bool,
    /// Leave out the TypeScript client's tests, which need Node.js, and the example in
    /// Python. They are also left out when arguments for `cargo test` select some tests
    #[arg(long)]
    no_typescript: bool,
    /// For `cargo test`, for example `-p klend-model`, a part of a test's name, or
    /// `-- --nocapture`
    #[arg(trailing_var_arg = true, allow_hyphen_values = true, value_name = "ARGS")]
    cargo_args: Vec<String>,
}

pub fn run(args: Args) -> Result<()> {
    let workspace = Workspace::load()?;
    let with_typescript = !args.no_typescript && args.cargo_args.is_empty();
    if with_typescript {
        // Before the long part: its absence is better known early.
        Node::prepare(&workspace).context("`--no-typescript` leaves these tests out")?;
    }
    // Beside each other: setting up the kit waits for downloads and linkers, and its
    // programs are compiled one after the other.
    let compiling = compile_tests(&workspace, &args)?;
    build::build_for_tests(&workspace, args.toolchain)?;
    compiling.map_or(Ok(()), process::Beside::finish)?;
    let rust = cargo_tests(&workspace, &args);
    say_what_is_missing();
    let rust = if args.cargo_args.is_empty() { rust.and(v3_tests(&workspace)) } else { rust };
    let result = if with_typescript {
        // Whatever the first says: a developer wants to know of all.
        let typescript = typescript::test(&workspace);
        python::test(&workspace).and(typescript).and(rust)
    } else {
        eprintln!("TypeScript tests and the example in Python: left out");
        rust
    };
    if !workspace.root.join(BESIDE).is_dir() {
        eprintln!(
            "NOT RUN: there are no accounts of mainnet in {BESIDE}, so tests in these files passed \
             without having looked:\n  {}",
            READ_BESIDE.join("\n  ")
        );
    }
    result
}

/// Starts compiling what [`cargo_tests`] runs; examples in documentation compile as they run.
fn compile_tests(workspace: &Workspace, args: &Args) -> Result<Option<process::Beside>> {
    let (options, _) = split_at_dashes(&args.cargo_args);
    if options.iter().any(|option| option == "--doc") {
        return Ok(None);
    }
    let mut tests = cargo_test(workspace, options)?;
    process::start("compiling the tests", tests.args(options).arg("--no-run")).map(Some)
}

/// Says which tests had to be left out because what they need is not installed.
fn say_what_is_missing() {
    let path = std::env::var_os("PATH").unwrap_or_default();
    for (tool, left_out) in [
        ("promtool", "the alert rules were read, not run"),
        ("systemd-analyze", "the unit was not verified"),
        ("chromium", "the keeper's page was not opened in a browser"),
    ] {
        if !std::env::split_paths(&path).any(|folder| folder.join(tool).exists()) {
            eprintln!("{tool} is not installed: {left_out}");
        }
    }
}

fn cargo_tests(workspace: &Workspace, args: &Args) -> Result<()> {
    if !args.long {
        let mut tests = cargo_test(workspace, &args.cargo_args)?;
        return process::run("cargo test", tests.args(&args.cargo_args));
    }
    // Two runs: an ignored documentation test is an example that is not meant to run.
    let (options, harness_options) = split_at_dashes(&args.cargo_args);
    let targets = ["--lib", "--bins", "--tests", "--examples"];
    let mut tests = cargo_test(workspace, &args.cargo_args)?;
    tests
        .env("LONG_TESTS", "1")
        .args(targets)
        .args(options)
        .args(["--", "--include-ignored"])
        .args(harness_options);
    process::run("cargo test", &mut tests)?;
    let mut examples = cargo_test(workspace, &args.cargo_args)?;
    examples.env("LONG_TESTS", "1").arg("--doc").args(&args.cargo_args);
    process::run("cargo test --doc", &mut examples)
}

/// The attacks and the random transactions once more, on the program as sBPF v3.
fn v3_tests(workspace: &Workspace) -> Result<()> {
    let mut tests = cargo_test(workspace, &[])?;
    tests.env(RECEIVER_ELF, workspace.v3_dir().join("flash_liquidator.so"));
    // The mutations are another build, of v0.
    tests.args(["--test", "security", "--test", "top_level", "--", "--skip", "mutations::"]);
    process::run("cargo test, sBPF v3", &mut tests)
}

/// `cargo test` for all packages unless `cargo_args`, which are for the caller to
/// add, select some.
///
/// # Errors
/// When a variable names a program that is not there.
pub fn cargo_test(workspace: &Workspace, cargo_args: &[String]) -> Result<Command> {
    let mut command = process::cargo();
    command.current_dir(&workspace.root);
    command.args(["test", "--no-fail-fast"]);
    let selects_packages = |arg: &String| {
        arg.starts_with("-p") || arg.starts_with("--package") || arg.starts_with("--manifest-path")
    };
    if !split_at_dashes(cargo_args).0.iter().any(selects_packages) {
        command.arg("--workspace");
    }
    command.env("SBF_OUT_DIR", workspace.deploy_dir());
    real_programs::pass_to(&mut command)?;
    Ok(command)
}

/// Cargo's own arguments, and those of the test programs behind `--`.
fn split_at_dashes(args: &[String]) -> (&[String], &[String]) {
    match args.iter().position(|arg| arg == "--") {
        Some(dashes) => (&args[..dashes], &args[dashes + 1..]),
        None => (args, &[]),
    }
}

#[cfg(test)]
mod tests {
    use std::{fs, path::Path};

    use super::{BESIDE, READ_BESIDE, split_at_dashes};
    use crate::workspace::Workspace;

    /// Adds the Rust files below `folder` that name [`BESIDE`].
    fn collect(root: &Path, folder: &Path, found: &mut Vec<String>) {
        let wanted = BESIDE.trim_start_matches("../");
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() && path.file_name() != Some("target".as_ref()) {
                collect(root, &path, found);
            } else if path.extension() == Some("rs".as_ref())
                && fs::read_to_string(&path).unwrap().contains(wanted)
            {
                found.push(path.strip_prefix(root).unwrap().to_str().unwrap().to_owned());
            }
        }
    }

    #[test]
    fn tests_that_need_what_is_not_here_are_known() {
        let root = Workspace::load().unwrap().root;
        let mut found = Vec::new();
        for folder in ["crates", "programs", "tests", "fuzz"] {
            collect(&root, &root.join(folder), &mut found);
        }
        found.sort();
        assert_eq!(found, READ_BESIDE);
    }

    fn strings(args: &[&str]) -> Vec<String> {
        args.iter().map(ToString::to_string).collect()
    }

    #[test]
    fn arguments_behind_the_dashes_belong_to_the_tests() {
        let args = strings(&["-p", "klend-model", "--", "--nocapture", "--", "x"]);
        let (cargo, tests) = split_at_dashes(&args);
        assert_eq!(cargo, strings(&["-p", "klend-model"]));
        assert_eq!(tests, strings(&["--nocapture", "--", "x"]));
    }

    #[test]
    fn without_dashes_all_arguments_are_cargos() {
        let args = strings(&["health"]);
        assert_eq!(split_at_dashes(&args), (args.as_slice(), [].as_slice()));
    }
}
