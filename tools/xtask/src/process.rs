//! Running other programs.

use std::fmt;
use std::process::{Child, Command, ExitStatus, Stdio};

use anyhow::{Context, Result, bail};

/// A child ended with a failure after reporting it to the user itself.
#[derive(Debug)]
pub struct ChildFailed {
    what: String,
    status: ExitStatus,
}

impl ChildFailed {
    /// The child's exit code; 1 when a signal ended it.
    pub fn exit_code(&self) -> u8 {
        self.status.code().and_then(|code| u8::try_from(code).ok()).unwrap_or(1)
    }
}

impl fmt::Display for ChildFailed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} failed ({})", self.what, self.status)
    }
}

impl std::error::Error for ChildFailed {}

/// The cargo that runs this program, or the one on the PATH, with the environment of a
/// cargo started by hand: build scripts look at variables that `cargo run` sets for this
/// program, and would run anew, with all that stands on them, after each change of hands.
pub fn cargo() -> Command {
    let mut cargo = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    for (name, _) in std::env::vars_os() {
        let of_this_package = name.to_str().is_some_and(|name| {
            name.starts_with("CARGO_PKG_") || name.starts_with("CARGO_MANIFEST_")
        });
        if of_this_package {
            cargo.env_remove(name);
        }
    }
    cargo
}

/// Runs `command` with the terminal's input and output.
///
/// # Errors
/// [`ChildFailed`] when it does not succeed, another error when it cannot be started.
pub fn run(what: &str, command: &mut Command) -> Result<()> {
    let status = command.status().with_context(|| format!("cannot start {what}: {command:?}"))?;
    if !status.success() {
        return Err(ChildFailed { what: what.to_owned(), status }.into());
    }
    Ok(())
}

/// A command that runs beside what this program does; killed when it is not waited for.
pub struct Beside {
    what: String,
    child: Child,
}

/// Starts `command` with the terminal's output, behind whatever is waited for meanwhile.
///
/// # Errors
/// When it cannot be started.
pub fn start(what: &str, command: &mut Command) -> Result<Beside> {
    let child = command
        .stdin(Stdio::null())
        .spawn()
        .with_context(|| format!("cannot start {what}: {command:?}"))?;
    // Where there is no such program, the two share the machine evenly.
    let _ = probe(Command::new("renice").args(["-n", "10", "-p", &child.id().to_string()]));
    Ok(Beside { what: what.to_owned(), child })
}

impl Beside {
    /// Waits for its end.
    ///
    /// # Errors
    /// [`ChildFailed`] when it does not succeed.
    pub fn finish(mut self) -> Result<()> {
        let status = self.child.wait().with_context(|| format!("waiting for {}", self.what))?;
        if !status.success() {
            return Err(ChildFailed { what: self.what.clone(), status }.into());
        }
        Ok(())
    }
}

impl Drop for Beside {
    fn drop(&mut self) {
        // Both fail when it has ended, which is what is wanted.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Runs `command` and returns its standard output; standard error goes to the terminal.
///
/// # Errors
/// As [`run`], and when the output is not UTF-8.
pub fn output(what: &str, command: &mut Command) -> Result<String> {
    let output = command
        .stderr(Stdio::inherit())
        .output()
        .with_context(|| format!("cannot start {what}: {command:?}"))?;
    if !output.status.success() {
        return Err(ChildFailed { what: what.to_owned(), status: output.status }.into());
    }
    String::from_utf8(output.stdout).with_context(|| format!("the output of {what}"))
}

/// Runs `command` for its standard output, all silently; used to probe for tools.
///
/// # Errors
/// When the program is not there or does not succeed.
pub fn probe(command: &mut Command) -> Result<String> {
    let output = command.stdin(Stdio::null()).output()?;
    if !output.status.success() {
        bail!("{}", String::from_utf8_lossy(&output.stderr).trim());
    }
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}
