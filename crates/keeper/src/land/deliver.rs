//! Getting a signed transaction executed, once.
//!
//! One transaction is signed and the same bytes are sent again and again: the
//! cluster executes a signature at most once. Nothing that goes wrong on the way
//! makes a second transaction, and the first one is not given up on before the
//! blockhash it carries is too old, because until then it may still be executed.

use std::{
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, bail};
use base64::{Engine, engine::general_purpose::STANDARD};
use flash_liquidator_client::{
    budget::check_v0,
    decode::{Decoded, Executed, decode},
    transaction::{compile_v0, wire_bytes},
};
use serde_json::json;
use solana_address::Address;
use solana_instruction::Instruction;
use solana_message::AddressLookupTableAccount;
use solana_signer::Signer;
use solana_transaction::versioned::VersionedTransaction;
use tracing::{debug, warn};

use crate::{
    feeds::source::{Refused, Rpc},
    keys::Key,
};

/// Pause between two looks at a transaction that was sent.
const POLL: Duration = Duration::from_millis(500);
/// Pause between two times the same bytes are sent.
const RESEND: Duration = Duration::from_secs(2);
/// Blocks beyond the last one a transaction is valid in until it counts as
/// expired: nodes behind one address may differ in how far they are.
const EXPIRY_MARGIN: u64 = 8;
/// How long a node may be silent about a transaction that was sent.
const SILENCE: Duration = Duration::from_secs(120);

/// A transaction was sent, and whether it was executed is not known.
#[derive(Debug, thiserror::Error)]
#[error(
    "{signature} was sent and may have been executed: {reason}; look it up with `keeper explain {signature}`"
)]
pub struct Unknown {
    signature: String,
    reason: String,
}

/// Where transactions go.
pub struct Way<'a> {
    /// Tells the blockhash, simulates, and shows what was executed.
    pub rpc: &'a Rpc,
    /// Block engine that takes the transaction as a bundle of one, in place of
    /// the node.
    pub block_engine: Option<&'a Rpc>,
}

/// What became of instructions.
pub enum Delivered {
    /// They were executed, well or not, in the transaction of this signature.
    Landed(String),
    /// The node's simulation failed and nothing was sent.
    Rejected(Box<Decoded>),
    /// It was too late to begin.
    HeldBack,
}

impl Way<'_> {
    /// Hands the transaction over, once.
    fn send(&self, bytes: &[u8]) -> Result<()> {
        match self.block_engine {
            None => self.rpc.send(bytes).map(|_| ()),
            Some(engine) => {
                let params = json!([[STANDARD.encode(bytes)], { "encoding": "base64" }]);
                let bundle: String = engine.call_once("sendBundle", &params)?;
                debug!(bundle, "bundle taken");
                Ok(())
            }
        }
    }

    /// Signs, simulates on the node, and sends until the transaction is confirmed
    /// or cannot be any more. `may_send` is asked last of all before it is sent
    /// for the first time.
    ///
    /// # Errors
    /// [`Unknown`] when it was sent and its fate could not be learned; otherwise
    /// nothing was executed.
    pub fn deliver(
        &self,
        key: &Key,
        instructions: &[Instruction],
        tables: &[AddressLookupTableAccount],
        may_send: &dyn Fn() -> bool,
    ) -> Result<Delivered> {
        let (blockhash, last_valid_height) = self.rpc.latest_blockhash()?;
        check_v0(&key.pubkey(), instructions, tables, None)?;
        let message = compile_v0(&key.pubkey(), instructions, tables, blockhash)?;
        let transaction = VersionedTransaction::try_new(message, &[key])
            .context("the transaction cannot be signed")?;
        let signature =
            transaction.signatures.first().context("the transaction has no signature")?.to_string();
        let signatures: Vec<[u8; 64]> =
            transaction.signatures.iter().map(|signature| (*signature).into()).collect();
        let bytes = wire_bytes(&signatures, &transaction.message);

        let simulated = self.rpc.simulate(&bytes)?;
        if simulated.error.is_some() {
            let programs: Vec<Address> = instructions.iter().map(|ix| ix.program_id).collect();
            let executed = Executed {
                error: simulated.error.as_ref(),
                logs: &simulated.logs,
                programs: &programs,
            };
            return Ok(Delivered::Rejected(Box::new(decode(&executed, None))));
        }
        if !may_send() {
            return Ok(Delivered::HeldBack);
        }
        match self.send(&bytes) {
            Ok(()) => {}
            Err(error) if error.chain().any(|cause| cause.is::<Refused>()) => {
                return Err(error.context("nothing was sent"));
            }
            // It may have arrived all the same.
            Err(error) => warn!(signature, reason = format!("{error:#}"), "sending failed"),
        }
        self.follow(&signature, &bytes, last_valid_height)
    }

    /// Waits until a transaction that was sent is confirmed or expired.
    fn follow(&self, signature: &str, bytes: &[u8], last_valid_height: u64) -> Result<Delivered> {
        let mut sent = Instant::now();
        let mut heard = Instant::now();
        loop {
            thread::sleep(POLL);
            let height = match self.rpc.is_confirmed(signature) {
                Ok(true) => return Ok(Delivered::Landed(signature.to_owned())),
                Ok(false) => self.rpc.block_height(),
                Err(error) => Err(error),
            };
            match height {
                Ok(height) if height > last_valid_height.saturating_add(EXPIRY_MARGIN) => {
                    // It may have been confirmed between the two answers.
                    match self.rpc.is_confirmed(signature) {
                        Ok(true) => return Ok(Delivered::Landed(signature.to_owned())),
                        Ok(false) => bail!(
                            "{signature} expired without landing: block {height}, valid up to {last_valid_height}; quote again"
                        ),
                        Err(error) => warn!(signature, reason = format!("{error:#}"), "no news"),
                    }
                }
                Ok(_) => heard = Instant::now(),
                Err(error) => {
                    warn!(signature, reason = format!("{error:#}"), "no news");
                    if heard.elapsed() >= SILENCE {
                        let reason = format!("{error:#}");
                        return Err(Unknown { signature: signature.to_owned(), reason }.into());
                    }
                }
            }
            if sent.elapsed() >= RESEND {
                if let Err(error) = self.send(bytes) {
                    debug!(signature, reason = format!("{error:#}"), "sending again failed");
                }
                sent = Instant::now();
            }
        }
    }
}

/// Waits until a confirmed transaction is finalized; `false` when it took too long or
/// the node could not tell, which makes it no less confirmed.
pub fn wait_for_finality(rpc: &Rpc, signature: &str) -> bool {
    let begun = Instant::now();
    loop {
        match rpc.is_finalized(signature) {
            Ok(true) => return true,
            Ok(false) => {}
            Err(error) => warn!(signature, reason = format!("{error:#}"), "no news"),
        }
        if begun.elapsed() >= SILENCE {
            return false;
        }
        thread::sleep(POLL);
    }
}

/// The answer of `getTransaction` to a signature that is confirmed.
///
/// # Errors
/// [`Unknown`] when the node does not show it.
pub fn executed(rpc: &Rpc, signature: &str) -> Result<serde_json::Value> {
    const TRIES: u32 = 20;
    let mut reason = "it is confirmed, but the node does not show it".to_owned();
    for _ in 0..TRIES {
        match rpc.transaction(signature) {
            Ok(Some(answer)) => return Ok(answer),
            Ok(None) => {}
            Err(error) => reason = format!("{error:#}"),
        }
        thread::sleep(POLL);
    }
    Err(Unknown { signature: signature.to_owned(), reason }.into())
}
