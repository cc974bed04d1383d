//! What the node shows of a transaction that was executed.

use anyhow::{Context as _, Result, anyhow, bail};
use flash_liquidator_client::decode::{Decoded, Executed, decode};
use serde::Deserialize;
use serde_json::Value;
use solana_address::Address;
use solana_transaction_error::TransactionError;

/// A transaction as `getTransaction` reports it.
pub struct Report {
    /// Slot of its block.
    pub slot: u64,
    pub signature: Option<String>,
    /// Lamports.
    pub fee: u64,
    /// Compute units it used.
    pub units: Option<u64>,
    /// Whether the node has the logs, which events are in.
    pub has_logs: bool,
    pub decoded: Decoded,
}

#[derive(Deserialize)]
struct Wire {
    slot: u64,
    transaction: WireTransaction,
    meta: Option<WireMeta>,
}

#[derive(Deserialize)]
struct WireTransaction {
    #[serde(default)]
    signatures: Vec<String>,
    message: WireMessage,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct WireMessage {
    account_keys: Vec<WireKey>,
    instructions: Vec<WireInstruction>,
}

/// `json` encoding has keys alone, `jsonParsed` objects.
#[derive(Deserialize)]
#[serde(untagged)]
enum WireKey {
    Plain(String),
    Parsed { pubkey: String },
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct WireInstruction {
    program_id_index: Option<usize>,
    program_id: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct WireMeta {
    err: Option<TransactionError>,
    fee: u64,
    log_messages: Option<Vec<String>>,
    compute_units_consumed: Option<u64>,
    loaded_addresses: Option<WireLoaded>,
}

#[derive(Default, Deserialize)]
struct WireLoaded {
    #[serde(default)]
    writable: Vec<String>,
    #[serde(default)]
    readonly: Vec<String>,
}

impl Report {
    /// Reads an answer of `getTransaction`, with or without its envelope.
    pub fn read(mut value: Value) -> Result<Self> {
        if let Some(error) = value.get("error") {
            bail!("the node answered with an error: {error}");
        }
        if let Some(result) = value.get_mut("result") {
            value = result.take();
        }
        if value.is_null() {
            bail!("the node knows no such transaction");
        }
        let wire: Wire = serde_json::from_value(value)
            .context("not an answer of getTransaction with encoding json or jsonParsed")?;
        let meta = wire.meta.context("the answer has no meta: the node kept no record of it")?;
        let mut keys: Vec<String> = wire
            .transaction
            .message
            .account_keys
            .into_iter()
            .map(|key| match key {
                WireKey::Plain(key) | WireKey::Parsed { pubkey: key } => key,
            })
            .collect();
        // `jsonParsed` lists looked-up keys already; there its indexes are unused.
        let loaded = meta.loaded_addresses.unwrap_or_default();
        keys.extend(loaded.writable.into_iter().chain(loaded.readonly));
        let programs = wire
            .transaction
            .message
            .instructions
            .iter()
            .map(|instruction| {
                let index = instruction.program_id_index;
                let key = instruction.program_id.as_ref().or_else(|| keys.get(index?));
                let key = key.ok_or_else(|| anyhow!("an instruction names no program"))?;
                key.parse::<Address>().with_context(|| format!("{key:?} is not an address"))
            })
            .collect::<Result<Vec<_>>>()?;
        let has_logs = meta.log_messages.is_some();
        let logs = meta.log_messages.unwrap_or_default();
        let executed = Executed { error: meta.err.as_ref(), logs: &logs, programs: &programs };
        Ok(Self {
            slot: wire.slot,
            signature: wire.transaction.signatures.into_iter().next(),
            fee: meta.fee,
            units: meta.compute_units_consumed,
            has_logs,
            decoded: decode(&executed, None),
        })
    }
}
