//! Size of the program and what its rent costs.

use std::{fs, path::Path};

use anyhow::{Context, Result};
use klend_fork::{Programs, World};
use serde::{Deserialize, Serialize};

use crate::scenarios;

/// File name of the compiled receiver.
pub const RECEIVER: &str = "flash_liquidator.so";

/// Account data of an upgradeable program besides the ELF: the program account and
/// the header of its data account.
const PROGRAM_ACCOUNT_LEN: usize = 36;
const PROGRAM_DATA_HEADER: usize = 45;

/// One build of the receiver.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Size {
    /// `opt-level` of the receiver's own package.
    pub level: String,
    /// Bytes of the ELF.
    pub elf: u64,
    /// Lamports that keep it on chain.
    pub rent: u64,
    /// What `liquidate` adds to klend's instruction without a leg.
    pub no_leg: u64,
    /// The same with one leg.
    pub one_leg: u64,
}

/// Measures the builds in the subfolders of `folder`, which are named after their
/// level.
///
/// # Errors
/// When one cannot be read or does not work.
pub fn measure(folder: &Path, programs: &Programs) -> Result<Vec<Size>> {
    let mut sizes = Vec::new();
    let mut levels: Vec<_> = fs::read_dir(folder)
        .and_then(Iterator::collect::<Result<Vec<_>, _>>)
        .with_context(|| folder.display().to_string())?;
    levels.sort_by_key(fs::DirEntry::file_name);
    for level in levels {
        let path = level.path().join(RECEIVER);
        let elf = fs::read(&path).with_context(|| path.display().to_string())?;
        let [no_leg, one_leg] = scenarios::overheads(programs, &elf)?;
        sizes.push(Size {
            level: level.file_name().to_string_lossy().into_owned(),
            rent: rent(elf.len() as u64)?,
            elf: elf.len() as u64,
            no_leg,
            one_leg,
        });
    }
    Ok(sizes)
}

/// Lamports that keep a program with an ELF of that size on chain.
///
/// # Errors
/// When no virtual machine can be started.
pub fn rent(elf: u64) -> Result<u64> {
    let mut world = World::from_snapshot(klend_fork::Snapshot::default(), &Programs::default())?;
    let data = PROGRAM_DATA_HEADER + usize::try_from(elf)?;
    let svm = world.svm();
    Ok(svm.minimum_balance_for_rent_exemption(data)
        + svm.minimum_balance_for_rent_exemption(PROGRAM_ACCOUNT_LEN))
}
