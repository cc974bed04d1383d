//! Real programs that a user names by path, in place of the stand-ins.

use std::env;
use std::ffi::OsString;
use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result};

/// Programs that replace the stand-ins when these variables name their ELF files.
const REAL_PROGRAMS: [&str; 12] = [
    "KLEND_ELF",
    "FARMS_ELF",
    "DRIFT_ELF",
    "WHIRLPOOL_ELF",
    "WHIRLPOOL_IMMUTABLE_ELF",
    "RAYDIUM_AMM_ELF",
    "RAYDIUM_CPMM_ELF",
    "RAYDIUM_CLMM_ELF",
    "DLMM_ELF",
    "SCOPE_ELF",
    "JUPITER_ELF",
    "TOKEN_2022_ELF",
];

/// Tells `command` where the programs are that replace the stand-ins, if any.
///
/// # Errors
/// When a variable names a program that is not there.
pub fn pass_to(command: &mut Command) -> Result<()> {
    for name in REAL_PROGRAMS {
        if let Some(path) = env::var_os(name).filter(|path| !path.is_empty()) {
            command.env(name, absolute(name, &path)?);
        }
    }
    Ok(())
}

/// Tests run in their package's folder: a relative path means something else there.
fn absolute(variable: &str, path: &OsString) -> Result<OsString> {
    let absolute =
        Path::new(path).canonicalize().with_context(|| format!("{variable}={}", path.display()))?;
    eprintln!("{variable}: {}", absolute.display());
    Ok(absolute.into_os_string())
}
