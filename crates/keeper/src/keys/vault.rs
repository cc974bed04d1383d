//! A key that never leaves a HashiCorp Vault: its transit engine signs.

use std::{env, time::Duration};

use anyhow::{Context, Result, bail};
use solana_address::Address;
use solana_keychain::{
    VaultSigner,
    traits::SolanaSigner,
    vault::reqwest::{ClientBuilder, Url},
};
use solana_signature::Signature;
use solana_signer::SignerError;
use tokio::runtime::{Builder, Runtime};

/// Holds the token that Vault wants to see.
const TOKEN_VARIABLE: &str = "VAULT_TOKEN";

/// Longest that Vault may take to sign. A blockhash is good for a minute.
const TIMEOUT: Duration = Duration::from_secs(10);

pub struct Vault {
    signer: VaultSigner,
    address: Address,
    runtime: Runtime,
}

impl Vault {
    /// The transit key `name` in the vault at `url`, which has to be the Ed25519
    /// key of `address`.
    pub fn open(url: &str, name: &str, address: &Address) -> Result<Self> {
        let parsed = Url::parse(url).context("--vault is no URL")?;
        let is_local = matches!(parsed.host_str(), Some("127.0.0.1" | "[::1]" | "localhost"));
        if parsed.scheme() != "https" && !is_local {
            bail!("--vault: a vault on another machine is spoken to by https only");
        }
        let token = env::var(TOKEN_VARIABLE)
            .with_context(|| format!("{TOKEN_VARIABLE} has to hold the vault's token"))?;
        let signer = VaultSigner::with_client_builder(
            ClientBuilder::new().timeout(TIMEOUT),
            url.to_owned(),
            token,
            name.to_owned(),
            address.to_string(),
        )
        .map_err(|error| anyhow::anyhow!("vault: {error}"))?;
        let runtime = Builder::new_current_thread().enable_all().build()?;
        let vault = Self { signer, address: *address, runtime };
        if !vault.runtime.block_on(vault.signer.is_available()) {
            bail!(
                "the vault does not answer, refuses the token, or its key {name} is not {address}"
            );
        }
        Ok(vault)
    }

    pub fn address(&self) -> Address {
        self.address
    }

    /// The signature, which the client has verified.
    pub fn sign(&self, message: &[u8]) -> Result<Signature, SignerError> {
        self.runtime
            .block_on(self.signer.sign_message(message))
            .map(|signature| Signature::from(<[u8; 64]>::from(signature)))
            .map_err(|error| SignerError::Custom(format!("vault: {error}")))
    }
}
