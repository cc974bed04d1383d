//! What the node shows of a transaction that was executed.

use std::collections::BTreeMap;

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
    /// Lamports in accounts that it created.
    pub rent: u64,
    /// Compute units it used.
    pub units: Option<u64>,
    /// Whether the node has the logs, which events are in.
    pub has_logs: bool,
    /// Token accounts whose balance the transaction changed: what happened, when a leg
    /// filled the logs and the event is missing.
    pub token_changes: Vec<TokenChange>,
    pub decoded: Decoded,
}

/// A token account before and after a transaction, raw units; 0 where there was none.
pub struct TokenChange {
    pub account: String,
    pub mint: String,
    /// Empty where the node does not say.
    pub owner: String,
    pub before: u64,
    pub after: u64,
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
    #[serde(default)]
    pre_balances: Vec<u64>,
    #[serde(default)]
    post_balances: Vec<u64>,
    loaded_addresses: Option<WireLoaded>,
    pre_token_balances: Option<Vec<WireBalance>>,
    post_token_balances: Option<Vec<WireBalance>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct WireBalance {
    account_index: usize,
    mint: String,
    owner: Option<String>,
    ui_token_amount: WireAmount,
}

#[derive(Deserialize)]
struct WireAmount {
    amount: String,
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
        let token_changes = token_changes(
            &keys,
            meta.pre_token_balances.unwrap_or_default(),
            meta.post_token_balances.unwrap_or_default(),
        )?;
        let has_logs = meta.log_messages.is_some();
        let logs = meta.log_messages.unwrap_or_default();
        let executed = Executed { error: meta.err.as_ref(), logs: &logs, programs: &programs };
        Ok(Self {
            slot: wire.slot,
            signature: wire.transaction.signatures.into_iter().next(),
            fee: meta.fee,
            rent: meta
                .pre_balances
                .iter()
                .zip(&meta.post_balances)
                .filter_map(|(before, after)| (*before == 0).then_some(*after))
                .sum(),
            units: meta.compute_units_consumed,
            has_logs,
            token_changes,
            decoded: decode(&executed, None),
        })
    }
}

/// What differs between the balances before and after, in the order of the accounts.
fn token_changes(
    keys: &[String],
    before: Vec<WireBalance>,
    after: Vec<WireBalance>,
) -> Result<Vec<TokenChange>> {
    let mut changes = BTreeMap::new();
    let sides = before.into_iter().map(|balance| (balance, true));
    for (balance, is_before) in sides.chain(after.into_iter().map(|balance| (balance, false))) {
        let WireBalance { account_index, mint, owner, ui_token_amount } = balance;
        let account = keys.get(account_index).cloned();
        let account = account.context("a token balance is of no account of the transaction")?;
        let amount = ui_token_amount.amount;
        let units = amount.parse().with_context(|| format!("{amount:?} is no token amount"))?;
        let owner = owner.unwrap_or_default();
        let change = changes.entry(account_index).or_insert_with(|| TokenChange {
            account,
            mint,
            owner,
            before: 0,
            after: 0,
        });
        *(if is_before { &mut change.before } else { &mut change.after }) = units;
    }
    Ok(changes.into_values().filter(|change| change.before != change.after).collect())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn balances_tell_what_the_logs_do_not() {
        let balance = |index: usize, amount: &str| {
            json!({
                "accountIndex": index, "mint": "M", "owner": "O",
                "uiTokenAmount": { "amount": amount, "decimals": 6 },
            })
        };
        let answer = |before: Value| {
            json!({
                "slot": 1,
                "transaction": { "signatures": [], "message": {
                    "accountKeys": ["A", "B", "C"], "instructions": [],
                } },
                "meta": {
                    "err": null, "fee": 5_000, "logMessages": ["Log truncated"],
                    "loadedAddresses": { "writable": ["D"], "readonly": [] },
                    "preTokenBalances": before,
                    "postTokenBalances": [balance(1, "7"), balance(2, "9"), balance(3, "1")],
                },
            })
        };
        let report = Report::read(answer(json!([balance(1, "12"), balance(2, "9")]))).unwrap();
        let changes: Vec<_> = report
            .token_changes
            .iter()
            .map(|change| (&*change.account, change.before, change.after))
            .collect();
        assert_eq!(changes, [("B", 12, 7), ("D", 0, 1)]);
        assert!(report.decoded.events.is_empty());

        for broken in [balance(4, "1"), balance(1, "-1")] {
            Report::read(answer(json!([broken]))).err().expect("an error");
        }
    }
}
