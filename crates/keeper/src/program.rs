//! Whose program is that? A keeper signs for a program id; who may replace what lies
//! there may change what the signature means. So before the first transaction is sent,
//! code and authority are compared with what the configuration says, and again all the
//! time after that.

use std::fmt;

use anyhow::{Context as _, Result, bail};
use flash_liquidator_client::receiver;
use sha2::{Digest, Sha256};
use solana_account::Account;
use solana_address::Address;
use solana_sdk_ids::{bpf_loader, bpf_loader_deprecated, bpf_loader_upgradeable};

use crate::feeds::source::{Rpc, Source, program_data_address};

/// Bytes before the executable in a program data account: a tag (4), the slot it was
/// deployed in (8), whether there is an authority (1), and which (32).
pub const PROGRAM_DATA_LEN: usize = 45;
const SLOT: usize = 4;
const HAS_AUTHORITY: usize = 12;
const AUTHORITY: usize = 13;
/// Tag of a program data account.
const PROGRAM_DATA: [u8; 4] = [3, 0, 0, 0];

/// SHA-256 of an executable without the zeros behind it, as `solana-verify
/// get-program-hash` prints it.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Hash([u8; 32]);

impl Hash {
    fn of(executable: &[u8]) -> Self {
        let end = executable.iter().rposition(|byte| *byte != 0).map_or(0, |last| last + 1);
        Self(Sha256::digest(&executable[..end]).into())
    }
}

impl fmt::Display for Hash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for Hash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl std::str::FromStr for Hash {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        let mut hash = [0; 32];
        if text.len() != 64 || !text.is_ascii() {
            return Err(());
        }
        for (at, byte) in hash.iter_mut().enumerate() {
            *byte = u8::from_str_radix(&text[2 * at..2 * at + 2], 16).map_err(|_| ())?;
        }
        Ok(Self(hash))
    }
}

/// Who may replace a program.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Authority {
    /// Nobody: it is immutable.
    None,
    Key(Address),
}

impl fmt::Display for Authority {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::None => f.write_str("none"),
            Self::Key(key) => key.fmt(f),
        }
    }
}

impl std::str::FromStr for Authority {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        if text == "none" { Ok(Self::None) } else { text.parse().map(Self::Key).map_err(|_| ()) }
    }
}

/// What a configuration expects.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Expected {
    pub hash: Option<Hash>,
    pub authority: Option<Authority>,
}

/// A program as it is deployed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Deployed {
    pub program: Address,
    /// Bytes of the executable, with what zeros are behind it.
    pub bytes: usize,
    pub hash: Hash,
    pub authority: Authority,
    /// Slot of the last deployment; `None` where a loader does not tell.
    pub slot: Option<u64>,
}

/// Slot and authority in the head of a program data account.
fn head(key: &Address, data: &[u8]) -> Result<(u64, Authority)> {
    let short = || format!("{key} is no program data account: {} bytes", data.len());
    let head: &[u8; PROGRAM_DATA_LEN] = data.first_chunk().with_context(short)?;
    if head[..SLOT] != PROGRAM_DATA {
        bail!("{key} is no program data account: its tag is {:?}", &head[..SLOT]);
    }
    let mut slot = [0; 8];
    slot.copy_from_slice(&head[SLOT..HAS_AUTHORITY]);
    let mut authority = [0; 32];
    authority.copy_from_slice(&head[AUTHORITY..]);
    let authority = match head[HAS_AUTHORITY] {
        0 => Authority::None,
        1 => Authority::Key(Address::new_from_array(authority)),
        other => bail!("{key}: {other} where 0 or 1 says whether there is an authority"),
    };
    Ok((u64::from_le_bytes(slot), authority))
}

impl Deployed {
    /// Reads a program and its executable.
    ///
    /// # Errors
    /// When there is none, or a loader that is not known has it.
    pub fn read(source: &dyn Source, program: &Address) -> Result<Self> {
        let account = source.account("program", program)?;
        if !account.executable {
            bail!("account {program} is no program");
        }
        let owner = account.owner;
        if owner == bpf_loader::ID || owner == bpf_loader_deprecated::ID {
            let (bytes, hash) = (account.data.len(), Hash::of(&account.data));
            let authority = Authority::None;
            return Ok(Self { program: *program, bytes, hash, authority, slot: None });
        }
        if owner != bpf_loader_upgradeable::ID {
            bail!("program {program} is of loader {owner}, which is not known here");
        }
        let key = program_data_address(&account)
            .with_context(|| format!("program {program} does not say where its code is"))?;
        let data = source.account("program data", &key)?.data;
        let (slot, authority) = head(&key, &data)?;
        let executable = data.get(PROGRAM_DATA_LEN..).unwrap_or_default();
        Ok(Self {
            program: *program,
            bytes: executable.len(),
            hash: Hash::of(executable),
            authority,
            slot: Some(slot),
        })
    }

    /// Compares it with what is expected.
    ///
    /// # Errors
    /// What differs, with both values.
    pub fn verify(&self, expected: &Expected) -> Result<()> {
        let Self { program, hash, authority, .. } = self;
        if let Some(expected) = expected.hash.filter(|expected| expected != hash) {
            bail!("program {program} has hash {hash}, program_hash says {expected}");
        }
        if let Some(expected) = expected.authority.filter(|expected| expected != authority) {
            bail!(
                "program {program} may be replaced by {authority}, program_authority says {expected}"
            );
        }
        Ok(())
    }
}

/// Where an operator says whose program it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Said {
    /// In the configuration of `watch`.
    Configuration,
    /// On the command line.
    Flags,
}

impl Said {
    /// How hash and authority are given there.
    fn line(self, name: &str, value: impl fmt::Display) -> String {
        match self {
            Self::Configuration => format!("\n  {name} = \"{value}\""),
            Self::Flags => format!("\n  --{} {value}", name.replace('_', "-")),
        }
    }
}

/// Compares this project's program with what the operator says before anything is sent
/// that it executes.
///
/// # Errors
/// When it differs, or is a public cluster's and the operator says nothing.
pub fn require(rpc: &Rpc, expected: &Expected, said: Said) -> Result<Deployed> {
    let deployed = Deployed::read(rpc, &receiver::PROGRAM_ID)?;
    deployed.verify(expected)?;
    if (expected.hash.is_none() || expected.authority.is_none()) && is_public(&rpc.genesis_hash()?)
    {
        let mut missing = String::new();
        if expected.hash.is_none() {
            missing += &said.line("program_hash", deployed.hash);
        }
        if expected.authority.is_none() {
            missing += &said.line("program_authority", deployed.authority);
        }
        bail!(
            "this is a public cluster: to send, {} has to say whose program {} \
             is. Compare what is deployed with a build of your own (docs/deploy.md), then \
             add:{missing}",
            match said {
                Said::Configuration => "the configuration",
                Said::Flags => "the command line",
            },
            deployed.program
        );
    }
    Ok(deployed)
}

/// Genesis hashes of mainnet, devnet and testnet.
const PUBLIC: [&str; 3] = [
    crate::land::attempt::MAINNET_GENESIS,
    "EtWTRABZaYq6iMfeYKouRu166VU2xqa1wcaWoxPkrZBG",
    "4uhcVJyU9pJkvQyS88uRDiswHXSGkY3zQawwpjk2NsNY",
];

fn is_public(genesis: &str) -> bool {
    PUBLIC.contains(&genesis)
}

/// Sees programs being replaced, by the heads of their program data accounts.
pub struct Watch {
    programs: Vec<Address>,
    /// Program data accounts, by the place of their programs, of those that can be replaced.
    keys: Vec<Option<Address>>,
    /// How they began when they were first looked at.
    heads: Vec<Option<Vec<u8>>>,
}

impl Watch {
    /// Watches those of `programs` that can be replaced.
    pub fn new(rpc: &Rpc, programs: &[Address]) -> Result<Self> {
        let (keys, heads) = (vec![None; programs.len()], vec![None; programs.len()]);
        let mut watch = Self { programs: programs.to_vec(), keys, heads };
        watch.find(rpc)?;
        Ok(watch)
    }

    /// Finds out where their code is: of those, too, that an earlier answer did not show.
    fn find(&mut self, rpc: &Rpc) -> Result<()> {
        if self.keys.iter().any(Option::is_none) {
            let accounts = rpc.heads(&self.programs, PROGRAM_DATA_LEN)?;
            for (key, account) in self.keys.iter_mut().zip(&accounts) {
                *key = key.or_else(|| program_data_address(account.as_ref()?));
            }
        }
        Ok(())
    }

    /// Which of the programs, by their place, changed since they were first looked at.
    ///
    /// # Errors
    /// None of them, and the node does not show all: that is no change. What is closed does
    /// not run.
    pub fn look(&mut self, rpc: &Rpc) -> Result<Vec<bool>> {
        self.find(rpc)?;
        let there: Vec<Address> = self.keys.iter().flatten().copied().collect();
        let mut found = rpc.heads(&there, PROGRAM_DATA_LEN)?.into_iter();
        let (mut changed, mut unseen) = (Vec::new(), None);
        for (key, known) in self.keys.iter().zip(&mut self.heads) {
            let now = key.and_then(|_| found.next()?).map(|account: Account| account.data);
            if now.is_none() {
                unseen = unseen.or(*key);
            }
            changed.push(now.is_some_and(|now| *known.get_or_insert_with(|| now.clone()) != now));
        }
        match unseen.filter(|_| !changed.contains(&true)) {
            Some(key) => bail!("program data account {key} is not shown"),
            None => Ok(changed),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A program data account as the loader writes it.
    fn program_data(slot: u64, authority: Option<[u8; 32]>, executable: &[u8]) -> Vec<u8> {
        use solana_loader_v3_interface::state::UpgradeableLoaderState;
        let state = UpgradeableLoaderState::ProgramData {
            slot,
            upgrade_authority_address: authority.map(Address::new_from_array),
        };
        let mut data = bincode::serialize(&state).unwrap();
        data.resize(UpgradeableLoaderState::size_of_programdata_metadata(), 0);
        data.extend(executable);
        data
    }

    #[test]
    fn a_head_is_read_as_the_loader_writes_it() {
        let key = Address::default();
        let authority = Authority::Key(Address::new_from_array([7; 32]));
        assert_eq!(head(&key, &program_data(9, Some([7; 32]), b"")).unwrap(), (9, authority));
        assert_eq!(head(&key, &program_data(8, None, b"")).unwrap(), (8, Authority::None));
        let mut data = program_data(8, None, b"");
        assert_eq!(data.len(), PROGRAM_DATA_LEN);
        data[HAS_AUTHORITY] = 2;
        assert!(head(&key, &data).unwrap_err().to_string().contains("2 where 0 or 1"));
        data[0] = 2;
        assert!(head(&key, &data).unwrap_err().to_string().contains("tag"));
        assert!(head(&key, &data[..44]).unwrap_err().to_string().contains("44 bytes"));
    }

    /// One answer without it is no other program; and one that was not shown is watched
    /// from when it is.
    #[test]
    fn what_a_node_does_not_show_has_not_changed() {
        use std::{sync::Mutex, time::Duration};

        use base64::{Engine as _, engine::general_purpose::STANDARD};
        use fault_proxy::http::{Answer, serve};
        use serde_json::{Value, json};

        let account = |executable, data: &[u8]| {
            json!({
                "lamports": 1, "data": [STANDARD.encode(data), "base64"], "rentEpoch": 0,
                "owner": bpf_loader_upgradeable::ID.to_string(), "executable": executable,
            })
        };
        let program = |byte| account(true, &[&[2, 0, 0, 0], &[byte; 32][..]].concat());
        let code = |slot| account(false, &program_data(slot, None, b""));
        let answers = [
            json!([null, program(2)]),
            json!([program(1), program(2)]),
            json!([code(1), code(1)]),
            json!([null, code(1)]),
            json!([null, code(2)]),
            json!([code(1), code(1)]),
        ];
        let answers = Mutex::new(answers.into_iter());
        let node = serve(move |_| {
            let value: Value = answers.lock().unwrap().next()?;
            Some(Answer::ok(json!({ "result": { "context": { "slot": 5 }, "value": value } })))
        });
        let rpc = Rpc::new(&format!("http://{node}"), Duration::from_secs(20));
        let key = |byte| Address::new_from_array([byte; 32]);
        let mut watch = Watch::new(&rpc, &[key(11), key(12)]).unwrap();
        assert_eq!(watch.look(&rpc).unwrap(), [false, false]);
        let unseen = watch.look(&rpc).unwrap_err().to_string();
        assert!(unseen.contains(&key(1).to_string()), "{unseen}");
        assert_eq!(watch.look(&rpc).unwrap(), [false, true]);
        assert_eq!(watch.look(&rpc).unwrap(), [false, false]);
    }

    #[test]
    fn zeros_behind_an_executable_do_not_count() {
        // SHA-256 of "abc", from FIPS 180-2.
        let abc = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
        assert_eq!(Hash::of(b"abc\0\0\0").to_string(), abc);
        assert_eq!(abc.parse(), Ok(Hash::of(b"abc")));
        assert_eq!("abc".parse::<Hash>(), Err(()));
        assert_eq!("zz".repeat(32).parse::<Hash>(), Err(()));
        assert_eq!(Hash::of(b"\0\0"), Hash::of(b""));
    }

    #[test]
    fn what_differs_is_named_with_both_values() {
        let key = Authority::Key(Address::new_from_array([7; 32]));
        let deployed = Deployed {
            program: Address::default(),
            bytes: 3,
            hash: Hash::of(b"abc"),
            authority: key,
            slot: Some(1),
        };
        let verify = |hash: &[u8], authority| {
            let expected = Expected { hash: Some(Hash::of(hash)), authority: Some(authority) };
            deployed.verify(&expected).map_err(|error| error.to_string())
        };
        assert_eq!(verify(b"abc", key), Ok(()));
        assert_eq!(deployed.verify(&Expected::default()).ok(), Some(()));
        let said = verify(b"abd", key).unwrap_err();
        assert!(said.contains(&Hash::of(b"abc").to_string()), "{said}");
        assert!(said.contains(&Hash::of(b"abd").to_string()), "{said}");
        let said = verify(b"abc", Authority::None).unwrap_err();
        assert!(said.contains(&key.to_string()) && said.contains("says none"), "{said}");
        assert!(is_public("5eykt4UsFv8P8NJdTREpY1vzqKqZKvdpKuc147dw2N9d") && !is_public("x"));
    }
}
