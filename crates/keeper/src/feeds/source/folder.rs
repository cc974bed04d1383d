use std::{
    fs,
    io::Read as _,
    path::{Path, PathBuf},
    sync::{
        OnceLock,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
};

use anyhow::{Context, Result, anyhow, bail};
use base64::{Engine, engine::general_purpose::STANDARD};
use klend_fork::{Programs, Snapshot, World, lenient};
use klend_model::{constants::KLEND_PROGRAM_ID, time::Clock, version::KlendVersion};
use serde::Deserialize;
use solana_account::Account;
use solana_address::Address;

use super::{Filter, Progress, Source, Visitor, world_of};

/// Accounts between two reports of progress.
const PROGRESS_STEP: usize = 1_000;
/// Bytes asked for first: more than an obligation's file has.
const FIRST_READ: usize = 8_192;

/// A fork folder (see `klend_fork::Snapshot`). Accounts are read when they are
/// asked for: a scan of a hundred thousand obligations never holds more than one
/// of them per thread.
pub struct Folder {
    path: PathBuf,
    clock: Clock,
    /// The klend it is taken for, and the one its manifest names.
    told: OnceLock<KlendVersion>,
    named: Option<KlendVersion>,
    index: Vec<Entry>,
}

/// What the manifest says about an account.
struct Entry {
    key: Address,
    owner: Address,
    len: usize,
}

#[derive(Deserialize)]
struct Manifest {
    slot: u64,
    unix_timestamp: u64,
    klend: Option<String>,
    #[serde(default)]
    accounts: Vec<Listed>,
}

#[derive(Deserialize)]
struct Listed {
    pubkey: String,
    space: Option<usize>,
    owner: Option<String>,
}

/// An account's file, borrowed from its text.
#[derive(Deserialize)]
struct File<'a> {
    #[serde(borrow)]
    account: FileAccount<'a>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct FileAccount<'a> {
    #[serde(deserialize_with = "lenient::number")]
    lamports: u64,
    #[serde(borrow)]
    data: (&'a str, &'a str),
    owner: &'a str,
    executable: bool,
    #[serde(default = "lenient::exempt", deserialize_with = "lenient::number")]
    rent_epoch: u64,
}

impl Folder {
    pub fn open(path: &Path) -> Result<Self> {
        let manifest = path.join("manifest.json");
        let text = fs::read(&manifest).with_context(|| format!("{}", manifest.display()))?;
        let parsed: Manifest =
            serde_json::from_slice(&text).with_context(|| format!("{}", manifest.display()))?;
        let named = parsed.klend.map(|named| named.parse()).transpose();
        let named = named.with_context(|| format!("{}", manifest.display()))?;
        let mut folder = Self {
            path: path.to_owned(),
            told: OnceLock::new(),
            named,
            clock: Clock { slot: parsed.slot, unix_timestamp: parsed.unix_timestamp },
            index: Vec::with_capacity(parsed.accounts.len()),
        };
        for listed in &parsed.accounts {
            let entry = folder.entry(listed).with_context(|| format!("{}", manifest.display()))?;
            folder.index.push(entry);
        }
        if folder.index.is_empty() {
            folder.index = folder.list()?;
        }
        folder.index.sort_by_key(|entry| entry.key);
        Ok(folder)
    }

    fn entry(&self, listed: &Listed) -> Result<Entry> {
        let key = parse_address(&listed.pubkey)?;
        match (&listed.owner, listed.space) {
            (Some(owner), Some(len)) => Ok(Entry { key, owner: parse_address(owner)?, len }),
            _ => self.entry_of_file(key),
        }
    }

    fn entry_of_file(&self, key: Address) -> Result<Entry> {
        let account =
            self.read(&key)?.with_context(|| format!("account {key} is listed but not there"))?;
        Ok(Entry { key, owner: account.owner, len: account.data.len() })
    }

    /// Reads the folder itself where the manifest lists nothing.
    fn list(&self) -> Result<Vec<Entry>> {
        let folder = self.path.join("accounts");
        let files = fs::read_dir(&folder).with_context(|| format!("{}", folder.display()))?;
        let mut entries = Vec::new();
        for file in files {
            let path = file?.path();
            if path.extension().is_some_and(|extension| extension == "json")
                && let Some(stem) = path.file_stem().and_then(|stem| stem.to_str())
            {
                entries.push(self.entry_of_file(parse_address(stem)?)?);
            }
        }
        Ok(entries)
    }

    fn read(&self, key: &Address) -> Result<Option<Account>> {
        self.read_with(key, &mut Vec::new())
    }

    /// Reads an account's file into `buffer`, which is there to be used again.
    fn read_with(&self, key: &Address, buffer: &mut Vec<u8>) -> Result<Option<Account>> {
        let path = self.path.join("accounts").join(format!("{key}.json"));
        match read_file(&path, buffer) {
            Ok(()) => {
                parse_account(buffer).map(Some).with_context(|| format!("{}", path.display()))
            }
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error).with_context(|| format!("{}", path.display())),
        }
    }

    /// Accounts of a program that may pass the filter, as far as the index tells.
    fn candidates(&self, program: &Address, filter: &Filter) -> Vec<Address> {
        self.index
            .iter()
            .filter(|entry| entry.owner == *program && entry.len >= filter.min_len)
            .map(|entry| entry.key)
            .collect()
    }

    fn wanted(&self, key: &Address, buffer: &mut Vec<u8>) -> Result<Account> {
        self.read_with(key, buffer)?
            .with_context(|| format!("account {key} is listed but its file is missing"))
    }
}

/// Replaces what is in `buffer` by a file's content. Unlike [`fs::read`], it does
/// not ask for the file's size first, nor for memory each time.
fn read_file(path: &Path, buffer: &mut Vec<u8>) -> std::io::Result<()> {
    let mut file = fs::File::open(path)?;
    let mut filled = 0;
    if buffer.len() < FIRST_READ {
        buffer.resize(FIRST_READ, 0);
    }
    loop {
        if filled == buffer.len() {
            buffer.resize(2 * filled, 0);
        }
        match file.read(&mut buffer[filled..]) {
            Ok(0) => break,
            Ok(read) => filled += read,
            Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    buffer.truncate(filled);
    Ok(())
}

fn parse_address(text: &str) -> Result<Address> {
    text.parse().map_err(|_| anyhow!("{text:?} is not an address"))
}

fn parse_account(text: &[u8]) -> Result<Account> {
    let File { account } = serde_json::from_slice(text)?;
    let (data, encoding) = account.data;
    if encoding != "base64" {
        bail!("data is encoded as {encoding}, only base64 is understood");
    }
    Ok(Account {
        lamports: account.lamports,
        data: STANDARD.decode(data)?,
        owner: parse_address(account.owner)?,
        executable: account.executable,
        rent_epoch: account.rent_epoch,
    })
}

impl Source for Folder {
    fn name(&self) -> String {
        format!("fork folder {}", self.path.display())
    }

    fn take_for(&self, klend: KlendVersion) {
        let _ = self.told.set(klend);
    }

    /// Where nothing tells, a folder without klend's program runs with the one that
    /// worlds get.
    fn klend(&self) -> Result<KlendVersion> {
        if let Some(klend) = self.told.get().copied().or(self.named) {
            return Ok(klend);
        }
        let brings_klend = self.index.iter().any(|entry| entry.key == KLEND_PROGRAM_ID);
        if brings_klend { Ok(KlendVersion::default()) } else { Ok(Programs::klend_version()?) }
    }

    fn clock(&self) -> Result<Clock> {
        Ok(self.clock)
    }

    fn accounts_at(&self, keys: &[Address]) -> Result<(u64, Vec<Option<Account>>)> {
        let accounts = keys.iter().map(|key| self.read(key)).collect::<Result<_>>()?;
        Ok((self.clock.slot, accounts))
    }

    fn program_accounts(
        &self,
        program: &Address,
        filter: Filter,
    ) -> Result<Vec<(Address, Account)>> {
        let (mut accounts, mut buffer) = (Vec::new(), Vec::new());
        for key in self.candidates(program, &filter) {
            let account = self.wanted(&key, &mut buffer)?;
            if filter.accepts(&account.data) {
                accounts.push((key, account));
            }
        }
        Ok(accounts)
    }

    fn visit_obligations(
        &self,
        market: &Address,
        progress: Progress,
        visit: Visitor,
    ) -> Result<()> {
        let filter = Filter::indebted(market);
        let keys = self.candidates(&KLEND_PROGRAM_ID, &filter);
        let (next, failed) = (AtomicUsize::new(0), AtomicBool::new(false));
        let work = |report: bool| -> Result<()> {
            let mut buffer = Vec::new();
            loop {
                let at = next.fetch_add(1, Ordering::Relaxed);
                let Some(key) = keys.get(at).filter(|_| !failed.load(Ordering::Relaxed)) else {
                    return Ok(());
                };
                let account = self.wanted(key, &mut buffer).inspect_err(|_| {
                    failed.store(true, Ordering::Relaxed);
                })?;
                if filter.accepts(&account.data) {
                    visit(self.clock.slot, key, &account);
                }
                if report && at.is_multiple_of(PROGRESS_STEP) {
                    progress(at, keys.len());
                }
            }
        };
        let threads = std::thread::available_parallelism().map_or(1, usize::from);
        std::thread::scope(|scope| {
            let others: Vec<_> = (1..threads).map(|_| scope.spawn(|| work(false))).collect();
            let mut result = work(true);
            for other in others {
                let other = other.join().map_err(|_| anyhow!("a reading thread broke down"));
                result = result.and(other.and_then(|result| result));
            }
            result
        })?;
        progress(keys.len(), keys.len());
        Ok(())
    }

    fn world(&self, _keys: &[Address]) -> Result<World> {
        world_of(Snapshot::read(&self.path)?)
    }
}
