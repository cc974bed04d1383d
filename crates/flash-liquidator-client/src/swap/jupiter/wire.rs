//! An answer of Jupiter as it is written.

use std::collections::BTreeMap;

use base64::{Engine, engine::general_purpose::STANDARD};
use serde::{Deserialize, Deserializer, de::Error as _};
use solana_address::Address;
use solana_instruction::AccountMeta;

/// What is read of an answer; the rest is passed over.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Answer {
    pub(super) error: Option<String>,
    pub(super) token_ledger_instruction: Option<WireInstruction>,
    #[serde(default)]
    pub(super) setup_instructions: Vec<WireInstruction>,
    pub(super) swap_instruction: Option<WireInstruction>,
    pub(super) cleanup_instruction: Option<WireInstruction>,
    #[serde(default)]
    pub(super) other_instructions: Vec<WireInstruction>,
    pub(super) tip_instruction: Option<WireInstruction>,
    #[serde(default)]
    pub(super) address_lookup_table_addresses: Vec<Key>,
    /// `/build` says what the tables hold, too.
    pub(super) addresses_by_lookup_table_address: Option<BTreeMap<Key, Vec<Key>>>,
    pub(super) input_mint: Option<Key>,
    pub(super) output_mint: Option<Key>,
    #[serde(default, deserialize_with = "amount")]
    pub(super) in_amount: Option<u64>,
    #[serde(default, deserialize_with = "amount")]
    pub(super) out_amount: Option<u64>,
    #[serde(default)]
    pub(super) route_plan: Vec<WireStep>,
    pub(super) context_slot: Option<u64>,
}

/// One hop of a route.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct WireStep {
    pub(super) swap_info: WireSwap,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct WireSwap {
    pub(super) input_mint: Key,
    pub(super) output_mint: Key,
}

/// An amount, which is written as text.
fn amount<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<u64>, D::Error> {
    let text: Option<String> = Option::deserialize(deserializer)?;
    text.map(|text| {
        text.parse().map_err(|_| D::Error::custom(format!("{text:?} is not an amount")))
    })
    .transpose()
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct WireInstruction {
    pub(super) program_id: Key,
    pub(super) accounts: Vec<WireMeta>,
    #[serde(deserialize_with = "base64_bytes")]
    pub(super) data: Vec<u8>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct WireMeta {
    pub(super) pubkey: Key,
    pub(super) is_signer: bool,
    pub(super) is_writable: bool,
}

#[derive(PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Key(pub(super) Address);

impl<'de> Deserialize<'de> for Key {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        text.parse().map(Self).map_err(|_| D::Error::custom(format!("{text:?} is not an address")))
    }
}

fn base64_bytes<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<u8>, D::Error> {
    STANDARD.decode(String::deserialize(deserializer)?).map_err(D::Error::custom)
}

impl WireInstruction {
    pub(super) fn metas(&self) -> Vec<AccountMeta> {
        self.accounts
            .iter()
            .map(|meta| AccountMeta {
                pubkey: meta.pubkey.0,
                is_signer: meta.is_signer,
                is_writable: meta.is_writable,
            })
            .collect()
    }
}
