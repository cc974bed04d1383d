//! The keeper's key. It is in a file or in a vault, signs, and is never shown.

use std::{
    env, fs,
    path::{Path, PathBuf},
};

use anyhow::{Context, Result, anyhow, bail};
use solana_address::Address;
use solana_keypair::Keypair;
use solana_signature::Signature;
use solana_signer::{Signer, SignerError};

use crate::cli::SignerArgs;

#[cfg(feature = "vault")]
mod vault;

/// Seed of the key that signs in simulations when none is given. Everybody knows
/// it: it signs nothing but transactions of a local virtual machine.
const SIMULATED_KEEPER_SEED: [u8; 32] = *b"signs local simulations and only";

/// A key that signs.
pub struct Key {
    kind: Kind,
    simulated: bool,
}

enum Kind {
    /// Nobody's: what it signs is signed by zeros.
    Absent(Address),
    File(Box<Keypair>),
    #[cfg(feature = "vault")]
    Vault(Box<vault::Vault>),
}

impl Key {
    /// The key that signs in simulations when none is given.
    pub fn simulated() -> Self {
        let keypair = Keypair::new_from_array(SIMULATED_KEEPER_SEED);
        Self { kind: Kind::File(Box::new(keypair)), simulated: true }
    }

    /// A key that is not here: its address, and whether it is nobody's. Nothing that it
    /// signs can be sent.
    pub fn absent(address: Address, simulated: bool) -> Self {
        Self { kind: Kind::Absent(address), simulated }
    }

    /// The key that `args` name, or the one that the solana CLI is configured
    /// with. Where nothing is `sent` and none is named, one that only signs
    /// simulations.
    pub fn load(args: &SignerArgs, sends: bool) -> Result<Self> {
        if let Some(url) = &args.vault {
            return Self::in_vault(url, args);
        }
        let path = match &args.keypair {
            Some(path) => path.clone(),
            None if sends => configured().context("no --keypair given")?,
            None => return Ok(Self::simulated()),
        };
        Ok(Self { kind: Kind::File(Box::new(read(&path)?)), simulated: false })
    }

    /// Whether this is nobody's key, and the cluster does not know it.
    pub fn is_simulated(&self) -> bool {
        self.simulated
    }

    #[cfg(feature = "vault")]
    fn in_vault(url: &str, args: &SignerArgs) -> Result<Self> {
        let (Some(name), Some(address)) = (&args.vault_key, args.vault_pubkey) else {
            bail!("--vault needs --vault-key and --vault-pubkey");
        };
        let vault = vault::Vault::open(url, name, &address)?;
        Ok(Self { kind: Kind::Vault(Box::new(vault)), simulated: false })
    }

    #[cfg(not(feature = "vault"))]
    fn in_vault(_url: &str, _args: &SignerArgs) -> Result<Self> {
        bail!("this keeper was built without vaults: build it with --features vault")
    }
}

impl Signer for Key {
    fn try_pubkey(&self) -> Result<Address, SignerError> {
        match &self.kind {
            Kind::Absent(address) => Ok(*address),
            Kind::File(keypair) => keypair.try_pubkey(),
            #[cfg(feature = "vault")]
            Kind::Vault(vault) => Ok(vault.address()),
        }
    }

    fn try_sign_message(&self, message: &[u8]) -> Result<Signature, SignerError> {
        match &self.kind {
            Kind::Absent(_) => Ok(Signature::default()),
            Kind::File(keypair) => keypair.try_sign_message(message),
            #[cfg(feature = "vault")]
            Kind::Vault(vault) => vault.sign(message),
        }
    }

    fn is_interactive(&self) -> bool {
        false
    }
}

/// Reads a keypair file as `solana-keygen` writes it. Errors name the file and
/// never quote it.
fn read(path: &Path) -> Result<Keypair> {
    let text = fs::read(path).with_context(|| format!("keypair file {}", path.display()))?;
    let malformed = || anyhow!("keypair file {} does not hold 64 numbers", path.display());
    let bytes: Vec<u8> = serde_json::from_slice(&text).map_err(|_| malformed())?;
    if bytes.len() != 64 {
        return Err(malformed());
    }
    Keypair::try_from(&bytes[..]).map_err(|_| {
        anyhow!("keypair file {}: secret and public key do not belong together", path.display())
    })
}

/// `keypair_path` of the solana CLI's configuration file.
fn configured() -> Result<PathBuf> {
    let home = env::var_os("HOME").context("HOME is not set")?;
    let config = PathBuf::from(&home).join(".config/solana/cli/config.yml");
    let text = fs::read_to_string(&config)
        .with_context(|| format!("solana CLI configuration {}", config.display()))?;
    let path = keypair_path(&text)
        .with_context(|| format!("{} names no keypair_path", config.display()))?;
    Ok(path
        .strip_prefix("~/")
        .map_or_else(|| PathBuf::from(path), |rest| PathBuf::from(&home).join(rest)))
}

fn keypair_path(config: &str) -> Option<&str> {
    let value = config.lines().find_map(|line| line.strip_prefix("keypair_path:"))?;
    let value = value.trim().trim_matches(['"', '\'']);
    (!value.is_empty()).then_some(value)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(path: &Path) -> SignerArgs {
        SignerArgs { keypair: Some(path.to_owned()), ..SignerArgs::default() }
    }

    #[test]
    fn a_keypair_file_is_read() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("id.json");
        let key = Keypair::new_from_array([3; 32]);
        fs::write(&path, serde_json::to_string(&key.to_bytes().to_vec()).unwrap()).unwrap();
        let read = Key::load(&file(&path), true).unwrap();
        assert_eq!((read.pubkey(), read.is_simulated()), (key.pubkey(), false));
        assert_eq!(read.sign_message(b"a"), key.sign_message(b"a"));
        assert!(Key::load(&SignerArgs::default(), false).unwrap().is_simulated());
    }

    #[test]
    fn errors_never_quote_the_file() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("id.json");
        let mut bytes = Keypair::new_from_array(SIMULATED_KEEPER_SEED).to_bytes().to_vec();
        bytes[40] ^= 1;
        for text in
            ["[1,2,222]".to_owned(), "222 x".to_owned(), serde_json::to_string(&bytes).unwrap()]
        {
            fs::write(&path, &text).unwrap();
            let error = Key::load(&file(&path), true).err().map(|error| format!("{error:?}"));
            let error = error.unwrap();
            assert!(error.contains("id.json"), "{error}");
            assert!(!error.contains("222") && !error.contains(&bytes[0].to_string()), "{error}");
        }
    }

    #[test]
    fn the_cli_configuration_names_a_key() {
        let config = "---\njson_rpc_url: http://localhost:8899\nkeypair_path: \"/k/id.json\"\n";
        assert_eq!(keypair_path(config), Some("/k/id.json"));
        assert_eq!(keypair_path("keypair_path: ''\n"), None);
        assert_eq!(keypair_path(""), None);
    }

    #[cfg(not(feature = "vault"))]
    #[test]
    fn a_vault_needs_the_feature() {
        let args = SignerArgs { vault: Some("https://v".to_owned()), ..SignerArgs::default() };
        let error = Key::load(&args, true).err().map(|error| error.to_string());
        assert!(error.unwrap().contains("--features vault"));
    }
}
