//! Which programs a world runs, and where their ELFs come from.

use std::{env, fs, path::PathBuf};

use flash_liquidator_client::{receiver, swap::stand_in};
use klend_model::{
    constants::{FARMS_PROGRAM_ID, KLEND_PROGRAM_ID},
    version::KlendVersion,
};
use solana_address::Address;

use crate::error::ForkError;

/// Names another klend than the stand-in.
pub const KLEND_ELF: &str = "KLEND_ELF";
/// Names the version of the klend that [`KLEND_ELF`] names, such as `1.25`.
pub const KLEND_VERSION: &str = "KLEND_VERSION";
/// The version that the stand-in for klend follows in a market that says nothing
/// else.
pub const STAND_IN_VERSION: KlendVersion = KlendVersion::V1_25;
/// Names another farms program than the stand-in.
pub const FARMS_ELF: &str = "FARMS_ELF";
/// Names another build of the receiver than `flash_liquidator.so`.
pub const RECEIVER_ELF: &str = "RECEIVER_ELF";
/// Names another folder with built programs than `target/deploy`.
pub const SBF_OUT_DIR: &str = "SBF_OUT_DIR";

/// An ELF and the address it is deployed at.
#[derive(Clone, Debug)]
pub struct Program {
    /// Its address.
    pub id: Address,
    /// Its code.
    pub elf: Vec<u8>,
    /// Whether it replaces a program that a snapshot brings along.
    pub replaces: bool,
}

/// The programs that are deployed beside those LiteSVM has by itself (SPL Token,
/// Token-2022, associated token accounts, memo, lookup tables).
#[derive(Clone, Debug, Default)]
pub struct Programs(pub Vec<Program>);

impl Programs {
    /// The receiver and the stand-ins for klend, farms and a swap, as built;
    /// klend, farms and the receiver from the files that `KLEND_ELF`, `FARMS_ELF` and
    /// `RECEIVER_ELF` name, if set.
    ///
    /// # Errors
    /// [`ForkError::ProgramNotBuilt`] or [`ForkError::File`].
    pub fn from_environment() -> Result<Self, ForkError> {
        Self::with_klend_and_farms(Some(KLEND_ELF), Some(FARMS_ELF))
    }

    /// The same with the stand-ins, whatever the environment names.
    ///
    /// # Errors
    /// As [`from_environment`](Self::from_environment).
    pub fn stand_ins() -> Result<Self, ForkError> {
        Self::with_klend_and_farms(None, None)
    }

    fn with_klend_and_farms(
        klend: Option<&'static str>,
        farms: Option<&'static str>,
    ) -> Result<Self, ForkError> {
        Ok(Self(vec![
            load("klend_stand_in", KLEND_PROGRAM_ID, klend)?,
            load("farms_stand_in", FARMS_PROGRAM_ID, farms)?,
            load("swap_stand_in", stand_in::PROGRAM_ID, None)?,
            load("flash_liquidator", receiver::PROGRAM_ID, Some(RECEIVER_ELF))?,
        ]))
    }

    /// Whether klend is the stand-in rather than a program named by `KLEND_ELF`.
    #[must_use]
    pub fn klend_is_stand_in() -> bool {
        named_by(KLEND_ELF).is_none()
    }

    /// The version of klend: the stand-in's, or the one that `KLEND_VERSION` gives
    /// for the program that `KLEND_ELF` names.
    ///
    /// # Errors
    /// [`ForkError::KlendVersion`] when it gives none, or one that is not known.
    pub fn klend_version() -> Result<KlendVersion, ForkError> {
        if Self::klend_is_stand_in() {
            return Ok(STAND_IN_VERSION);
        }
        let named = env::var(KLEND_VERSION).unwrap_or_default();
        named.parse().map_err(ForkError::KlendVersion)
    }

    /// Whether farms is the stand-in rather than a program named by `FARMS_ELF`.
    #[must_use]
    pub fn farms_is_stand_in() -> bool {
        named_by(FARMS_ELF).is_none()
    }
}

/// Folder in which built programs are looked for.
#[must_use]
pub fn deploy_folder() -> PathBuf {
    if let Some(folder) = named_by(SBF_OUT_DIR) {
        return folder;
    }
    let target = named_by("CARGO_TARGET_DIR").unwrap_or_else(|| {
        let workspace = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../..");
        workspace.canonicalize().unwrap_or(workspace).join("target")
    });
    target.join("deploy")
}

fn load(
    name: &'static str,
    id: Address,
    variable: Option<&'static str>,
) -> Result<Program, ForkError> {
    let named = variable.and_then(named_by);
    let replaces = named.is_some();
    let path = named.unwrap_or_else(|| deploy_folder().join(name).with_extension("so"));
    match fs::read(&path) {
        Ok(elf) => Ok(Program { id, elf, replaces }),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            Err(ForkError::ProgramNotBuilt { name, path, variable })
        }
        Err(error) => Err(ForkError::file(path, error)),
    }
}

/// The path in an environment variable; an empty one counts as unset.
fn named_by(variable: &str) -> Option<PathBuf> {
    env::var_os(variable).filter(|value| !value.is_empty()).map(PathBuf::from)
}
