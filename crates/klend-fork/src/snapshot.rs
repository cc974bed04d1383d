//! Accounts at one moment, and the folder form they are kept in.

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
};

use base64::{Engine, engine::general_purpose::STANDARD};
use klend_model::version::{KlendVersion, UnknownVersion};
use serde::{Deserialize, Serialize, de::DeserializeOwned};
use solana_account::Account;
use solana_address::Address;

use crate::{error::ForkError, lenient};

/// Accounts as they were at one slot.
///
/// On disk it is a folder:
///
/// ```text
/// manifest.json              slot, unix_timestamp, klend's version, what is in the folder
/// accounts/<address>.json    as `solana account <address> --output json` writes it
/// ```
///
/// Programs are either accounts like any other (an upgradeable program with its
/// program data account), or ELF files that the manifest names.
#[derive(Clone, Debug, Default)]
pub struct Snapshot {
    /// Slot the accounts were read at.
    pub slot: u64,
    /// Time of that slot, seconds since 1970.
    pub unix_timestamp: i64,
    /// The klend that worked on them, where that is known.
    pub klend: Option<KlendVersion>,
    /// The accounts.
    pub accounts: BTreeMap<Address, Account>,
    /// ELFs of programs that are not among the accounts, by program id.
    pub programs: BTreeMap<Address, Vec<u8>>,
}

#[derive(Serialize, Deserialize)]
struct Manifest {
    slot: u64,
    unix_timestamp: i64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    klend: Option<String>,
    #[serde(default)]
    accounts: Vec<ManifestAccount>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    programs: Vec<ManifestProgram>,
}

#[derive(Serialize, Deserialize)]
struct ManifestAccount {
    pubkey: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    space: Option<usize>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    owner: Option<String>,
}

#[derive(Serialize, Deserialize)]
struct ManifestProgram {
    pubkey: String,
    /// Path of the ELF, relative to the folder.
    elf: PathBuf,
}

#[derive(Serialize, Deserialize)]
struct AccountFile {
    pubkey: String,
    account: AccountJson,
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct AccountJson {
    #[serde(deserialize_with = "lenient::number")]
    lamports: u64,
    /// The data and how it is encoded.
    data: (String, String),
    owner: String,
    executable: bool,
    #[serde(default = "lenient::exempt", deserialize_with = "lenient::number")]
    rent_epoch: u64,
    #[serde(default)]
    space: Option<usize>,
}

impl Snapshot {
    /// Reads a folder.
    ///
    /// # Errors
    /// [`ForkError::File`] with the file and the reason: not there, not JSON, a
    /// bad address, data that is not base64 or not as long as the manifest says,
    /// an account that the manifest lists and the folder does not have, a klend whose
    /// rules are not known.
    pub fn read(folder: &Path) -> Result<Self, ForkError> {
        let manifest_path = folder.join("manifest.json");
        let manifest: Manifest = read_json(&manifest_path)?;

        let mut accounts = BTreeMap::new();
        let accounts_folder = folder.join("accounts");
        let entries = fs::read_dir(&accounts_folder)
            .map_err(|error| ForkError::file(&accounts_folder, error))?;
        for entry in entries {
            let path = entry.map_err(|error| ForkError::file(&accounts_folder, error))?.path();
            if path.extension().is_some_and(|extension| extension == "json") {
                let (key, account) = read_account(&path)?;
                if accounts.insert(key, account).is_some() {
                    return Err(ForkError::file(path, format!("account {key} is there twice")));
                }
            }
        }
        for listed in &manifest.accounts {
            let key = parse_address(&manifest_path, &listed.pubkey)?;
            let complain = |reason| Err(ForkError::file(&manifest_path, reason));
            let Some(account) = accounts.get(&key) else {
                return complain(format!(
                    "account {key} is listed but accounts/{key}.json is missing"
                ));
            };
            if let Some(space) = listed.space.filter(|space| *space != account.data.len()) {
                return complain(format!(
                    "account {key}: listed with {space} bytes, its file has {}",
                    account.data.len()
                ));
            }
            if let Some(owner) = &listed.owner
                && parse_address(&manifest_path, owner)? != account.owner
            {
                return complain(format!(
                    "account {key}: listed with owner {owner}, its file says {}",
                    account.owner
                ));
            }
        }

        let mut programs = BTreeMap::new();
        for listed in &manifest.programs {
            let path = folder.join(&listed.elf);
            let elf = fs::read(&path).map_err(|error| ForkError::file(&path, error))?;
            programs.insert(parse_address(&manifest_path, &listed.pubkey)?, elf);
        }
        Ok(Self {
            slot: manifest.slot,
            unix_timestamp: manifest.unix_timestamp,
            klend: manifest
                .klend
                .map(|named| named.parse())
                .transpose()
                .map_err(|error: UnknownVersion| ForkError::file(&manifest_path, error))?,
            accounts,
            programs,
        })
    }

    /// Writes the folder that [`read`](Self::read) reads. `folder` must not
    /// exist; it appears only when everything in it is written.
    ///
    /// # Errors
    /// [`ForkError::File`].
    pub fn write(&self, folder: &Path) -> Result<(), ForkError> {
        if folder.exists() {
            return Err(ForkError::file(folder, "is there already"));
        }
        let name = folder.file_name().ok_or_else(|| ForkError::file(folder, "has no name"))?;
        let partial = folder.with_file_name(format!(".{}.partial", name.display()));
        let result = self.write_into(&partial).and_then(|()| {
            fs::rename(&partial, folder).map_err(|error| ForkError::file(folder, error))
        });
        if result.is_err() {
            // Whatever went wrong is what the caller wants to hear about.
            let _ = fs::remove_dir_all(&partial);
        }
        result
    }

    fn write_into(&self, folder: &Path) -> Result<(), ForkError> {
        let accounts_folder = folder.join("accounts");
        create_folder(&accounts_folder)?;
        for (key, account) in &self.accounts {
            let file = AccountFile {
                pubkey: key.to_string(),
                account: AccountJson {
                    lamports: account.lamports,
                    data: (STANDARD.encode(&account.data), "base64".to_owned()),
                    owner: account.owner.to_string(),
                    executable: account.executable,
                    rent_epoch: account.rent_epoch,
                    space: Some(account.data.len()),
                },
            };
            write_json(&accounts_folder.join(format!("{key}.json")), &file)?;
        }
        let mut programs = Vec::new();
        for (key, elf) in &self.programs {
            create_folder(&folder.join("programs"))?;
            let relative = Path::new("programs").join(format!("{key}.so"));
            let path = folder.join(&relative);
            fs::write(&path, elf).map_err(|error| ForkError::file(path, error))?;
            programs.push(ManifestProgram { pubkey: key.to_string(), elf: relative });
        }
        let manifest = Manifest {
            slot: self.slot,
            unix_timestamp: self.unix_timestamp,
            klend: self.klend.map(|version| version.to_string()),
            accounts: self
                .accounts
                .iter()
                .map(|(key, account)| ManifestAccount {
                    pubkey: key.to_string(),
                    space: Some(account.data.len()),
                    owner: Some(account.owner.to_string()),
                })
                .collect(),
            programs,
        };
        write_json(&folder.join("manifest.json"), &manifest)
    }
}

fn read_account(path: &Path) -> Result<(Address, Account), ForkError> {
    let file: AccountFile = read_json(path)?;
    let key = parse_address(path, &file.pubkey)?;
    let (encoded, encoding) = &file.account.data;
    if encoding != "base64" {
        return Err(ForkError::file(
            path,
            format!("data is encoded as {encoding}, only base64 is understood"),
        ));
    }
    let data = STANDARD
        .decode(encoded)
        .map_err(|error| ForkError::file(path, format!("data is not base64: {error}")))?;
    if let Some(space) = file.account.space.filter(|space| *space != data.len()) {
        return Err(ForkError::file(
            path,
            format!("space is {space} bytes, the data has {}", data.len()),
        ));
    }
    Ok((
        key,
        Account {
            lamports: file.account.lamports,
            data,
            owner: parse_address(path, &file.account.owner)?,
            executable: file.account.executable,
            rent_epoch: file.account.rent_epoch,
        },
    ))
}

fn parse_address(path: &Path, text: &str) -> Result<Address, ForkError> {
    text.parse().map_err(|_| ForkError::file(path, format!("{text:?} is not an address")))
}

fn read_json<T: DeserializeOwned>(path: &Path) -> Result<T, ForkError> {
    let text = fs::read(path).map_err(|error| ForkError::file(path, error))?;
    serde_json::from_slice(&text).map_err(|error| ForkError::file(path, error))
}

fn write_json(path: &Path, value: &impl Serialize) -> Result<(), ForkError> {
    let mut text =
        serde_json::to_vec_pretty(value).map_err(|error| ForkError::file(path, error))?;
    text.push(b'\n');
    fs::write(path, text).map_err(|error| ForkError::file(path, error))
}

fn create_folder(path: &Path) -> Result<(), ForkError> {
    fs::create_dir_all(path).map_err(|error| ForkError::file(path, error))
}
