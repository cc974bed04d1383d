//! The keeper's key. It is read from a file, signs, and is never shown.

use std::{
    env, fs,
    path::{Path, PathBuf},
};

use anyhow::{Context, Result, anyhow};
use solana_keypair::Keypair;

/// Seed of the key that signs in simulations when none is given. Everybody knows
/// it: it signs nothing but transactions of a local virtual machine.
const SIMULATED_KEEPER_SEED: [u8; 32] = *b"signs local simulations and only";

/// The key that signs in simulations when none is given.
pub fn simulated() -> Keypair {
    Keypair::new_from_array(SIMULATED_KEEPER_SEED)
}

/// The key in `path`, or the one that the solana CLI is configured with.
pub fn load(path: Option<&Path>) -> Result<Keypair> {
    let path = match path {
        Some(path) => path.to_owned(),
        None => configured().context("no --keypair given")?,
    };
    read(&path)
}

/// Reads a keypair file as `solana-keygen` writes it. Errors name the file and
/// never quote it.
fn read(path: &Path) -> Result<Keypair> {
    let text = fs::read(path).with_context(|| format!("keypair file {}", path.display()))?;
    let malformed = || anyhow!("keypair file {} does not hold 64 numbers", path.display());
    let bytes: Vec<u8> = serde_json::from_slice(&text).map_err(|_| malformed())?;
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
    use solana_signer::Signer;

    use super::*;

    #[test]
    fn a_keypair_file_is_read() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("id.json");
        let key = simulated();
        fs::write(&path, serde_json::to_string(&key.to_bytes().to_vec()).unwrap()).unwrap();
        assert_eq!(load(Some(&path)).unwrap().pubkey(), key.pubkey());
    }

    #[test]
    fn errors_never_quote_the_file() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("id.json");
        let mut bytes = simulated().to_bytes().to_vec();
        bytes[40] ^= 1;
        for text in
            ["[1,2,222]".to_owned(), "222 x".to_owned(), serde_json::to_string(&bytes).unwrap()]
        {
            fs::write(&path, &text).unwrap();
            let error = format!("{:?}", load(Some(&path)).unwrap_err());
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
}
