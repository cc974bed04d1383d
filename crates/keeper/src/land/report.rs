//! What the node shows of a transaction that was executed.

use std::collections::BTreeMap;

use anyhow::{Context as _, Result, bail};
use flash_liquidator_client::decode::{Decoded, Executed, decode};
use klend_fork::lenient;
use serde::Deserialize;
use serde_json::Value;
use solana_address::Address;
use solana_transaction_error::TransactionError;

use crate::trace::{
    Call, Trace,
    story::{Around, Balance, Story},
};

/// A transaction as `getTransaction` reports it.
pub struct Report {
    /// Slot of its block.
    pub slot: u64,
    /// Unix time of its block, where the node tells.
    pub time: Option<i64>,
    pub signature: Option<String>,
    /// Lamports.
    pub fee: u64,
    /// Lamports in accounts that it created.
    pub rent: u64,
    /// Compute units it used.
    pub units: Option<u64>,
    /// Whether the node has the logs, which events are in.
    pub has_logs: bool,
    /// Who paid the fee.
    pub payer: Address,
    /// Signatures, each of which costs its share of the fee.
    pub signatures: usize,
    /// Token accounts as they were before and after, raw units; 0 where there was none.
    pub balances: Vec<Balance>,
    pub decoded: Decoded,
    /// Its instructions and their calls.
    pub trace: Trace,
    /// What that means to klend.
    pub story: Story,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Wire {
    #[serde(deserialize_with = "lenient::number")]
    slot: u64,
    #[serde(default, deserialize_with = "lenient::perhaps")]
    block_time: Option<u64>,
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
    /// Indexes in `json` encoding, keys in `jsonParsed`; not there where that understands
    /// the program.
    #[serde(default)]
    accounts: Vec<Value>,
    /// Base 58.
    #[serde(default)]
    data: String,
    stack_height: Option<usize>,
}

/// The calls of one instruction.
#[derive(Deserialize)]
struct WireInner {
    index: usize,
    instructions: Vec<WireInstruction>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct WireMeta {
    err: Option<TransactionError>,
    #[serde(deserialize_with = "lenient::number")]
    fee: u64,
    log_messages: Option<Vec<String>>,
    #[serde(default, deserialize_with = "lenient::perhaps")]
    compute_units_consumed: Option<u64>,
    #[serde(default)]
    pre_balances: Vec<u64>,
    #[serde(default)]
    post_balances: Vec<u64>,
    loaded_addresses: Option<WireLoaded>,
    pre_token_balances: Option<Vec<WireBalance>>,
    post_token_balances: Option<Vec<WireBalance>>,
    inner_instructions: Option<Vec<WireInner>>,
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
    decimals: u8,
}

#[derive(Default, Deserialize)]
struct WireLoaded {
    #[serde(default)]
    writable: Vec<String>,
    #[serde(default)]
    readonly: Vec<String>,
}

impl Report {
    /// The mint of a token account in it.
    pub fn mint(&self, account: &Address) -> Option<Address> {
        self.balances.iter().find(|of| of.account == *account).map(|of| of.mint)
    }

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
        let loaded = meta.loaded_addresses.unwrap_or_default();
        let WireMessage { account_keys, instructions } = wire.transaction.message;
        let named = account_keys.into_iter().map(|key| match key {
            WireKey::Plain(key) | WireKey::Parsed { pubkey: key } => key,
        });
        // `jsonParsed` lists looked-up keys already; there its indexes are unused.
        let keys = named
            .chain(loaded.writable)
            .chain(loaded.readonly)
            .map(|key| address(&key))
            .collect::<Result<Vec<_>>>()?;
        let mut inner = BTreeMap::new();
        for WireInner { index, instructions } in meta.inner_instructions.unwrap_or_default() {
            inner.entry(index).or_insert_with(Vec::new).extend(instructions);
        }
        let (mut programs, mut calls) = (Vec::new(), Vec::new());
        for (at, wire) in instructions.into_iter().enumerate() {
            let instruction = call(&keys, wire, at, 1)?;
            programs.push(instruction.program);
            calls.push(instruction);
            for wire in inner.remove(&at).unwrap_or_default() {
                let depth = wire.stack_height.unwrap_or(2);
                calls.push(call(&keys, wire, at, depth)?);
            }
        }
        let balances = balances(
            &keys,
            meta.pre_token_balances.unwrap_or_default(),
            meta.post_token_balances.unwrap_or_default(),
        )?;
        let has_logs = meta.log_messages.is_some();
        let logs = meta.log_messages.unwrap_or_default();
        let trace = Trace::new(calls, &logs);
        let first = |lamports: &[u64]| lamports.first().copied().unwrap_or_default();
        let around = Around {
            payer: keys.first().copied().unwrap_or_default(),
            payer_lamports: (first(&meta.pre_balances), first(&meta.post_balances)),
            balances,
        };
        let executed = Executed { error: meta.err.as_ref(), logs: &logs, programs: &programs };
        Ok(Self {
            slot: wire.slot,
            time: wire.block_time.and_then(|time| i64::try_from(time).ok()),
            signature: wire.transaction.signatures.first().cloned(),
            fee: meta.fee,
            rent: meta
                .pre_balances
                .iter()
                .zip(&meta.post_balances)
                .filter_map(|(before, after)| (*before == 0).then_some(*after))
                .sum(),
            units: meta.compute_units_consumed,
            has_logs,
            payer: around.payer,
            signatures: wire.transaction.signatures.len(),
            decoded: decode(&executed, None),
            story: Story::new(&trace, &around),
            balances: around.balances,
            trace,
        })
    }
}

fn address(key: &str) -> Result<Address> {
    key.parse().with_context(|| format!("{key:?} is not an address"))
}

fn call(keys: &[Address], wire: WireInstruction, instruction: usize, depth: usize) -> Result<Call> {
    let at = |index: usize| {
        keys.get(index).copied().with_context(|| format!("account {index} of {} keys", keys.len()))
    };
    let program = match (&wire.program_id, wire.program_id_index) {
        (Some(key), _) => address(key)?,
        (None, Some(index)) => at(index)?,
        (None, None) => bail!("instruction {instruction} names no program"),
    };
    let accounts = wire.accounts.iter().map(|account| match account {
        Value::String(key) => address(key),
        other => {
            at(other.as_u64().and_then(|index| usize::try_from(index).ok()).context("an index")?)
        }
    });
    let data = bs58::decode(&wire.data).into_vec();
    Ok(Call {
        instruction,
        depth,
        program,
        accounts: accounts.collect::<Result<_>>()?,
        data: data.with_context(|| format!("instruction {instruction} has no base-58 data"))?,
        ..Call::default()
    })
}

/// Token accounts before and after, in the order of the accounts.
fn balances(
    keys: &[Address],
    before: Vec<WireBalance>,
    after: Vec<WireBalance>,
) -> Result<Vec<Balance>> {
    let mut balances = BTreeMap::new();
    let sides = before.into_iter().map(|balance| (balance, true));
    for (balance, is_before) in sides.chain(after.into_iter().map(|balance| (balance, false))) {
        let WireBalance { account_index, mint, owner, ui_token_amount } = balance;
        let account = keys.get(account_index).copied();
        let account = account.context("a token balance is of no account of the transaction")?;
        let WireAmount { amount, decimals } = ui_token_amount;
        let units = amount.parse().with_context(|| format!("{amount:?} is no token amount"))?;
        let (mint, owner) = (address(&mint)?, owner.as_deref().map(address).transpose()?);
        let known = balances.entry(account_index).or_insert(Balance {
            account,
            mint,
            decimals,
            owner,
            before: 0,
            after: 0,
        });
        *(if is_before { &mut known.before } else { &mut known.after }) = units;
    }
    Ok(balances.into_values().collect())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn balances_tell_what_the_logs_do_not() {
        let key = |byte| Address::new_from_array([byte; 32]);
        let names: Vec<String> = (1..=4).map(|byte| key(byte).to_string()).collect();
        let balance = |index: usize, amount: &str| {
            json!({
                "accountIndex": index, "mint": key(8).to_string(), "owner": key(9).to_string(),
                "uiTokenAmount": { "amount": amount, "decimals": 6 },
            })
        };
        let answer = |before: Value| {
            json!({
                "slot": 1,
                "transaction": { "signatures": [], "message": {
                    "accountKeys": names[..3], "instructions": [],
                } },
                "meta": {
                    "err": null, "fee": 5_000, "logMessages": ["Log truncated"],
                    "loadedAddresses": { "writable": [names[3]], "readonly": [] },
                    "preTokenBalances": before,
                    "postTokenBalances": [balance(1, "7"), balance(2, "9"), balance(3, "1")],
                },
            })
        };
        let report = Report::read(answer(json!([balance(1, "12"), balance(2, "9")]))).unwrap();
        let changes: Vec<_> =
            report.balances.iter().map(|of| (of.account, of.before, of.after)).collect();
        assert_eq!(changes, [(key(2), 12, 7), (key(3), 9, 9), (key(4), 0, 1)]);
        assert!(report.decoded.events.is_empty());

        for broken in [balance(4, "1"), balance(1, "-1")] {
            Report::read(answer(json!([broken]))).err().expect("an error");
        }
    }

    #[test]
    fn both_encodings_are_read_and_what_is_broken_is_said() {
        let key = |byte| Address::new_from_array([byte; 32]).to_string();
        let answer = |instruction: Value| {
            json!({
                "slot": 1,
                "transaction": { "signatures": ["s"], "message": {
                    "accountKeys": [key(1), key(2)], "instructions": [instruction],
                } },
                "meta": { "err": null, "fee": 5_000, "logMessages": null, "innerInstructions": [
                    { "index": 0, "instructions": [
                        { "programIdIndex": 0, "accounts": [1], "data": "", "stackHeight": 3 },
                    ] },
                ] },
            })
        };
        let plain = json!({ "programIdIndex": 1, "accounts": [0], "data": "2g" });
        let parsed = json!({ "programId": key(2), "accounts": [key(1)], "data": "2g" });
        for instruction in [plain, parsed] {
            let report = Report::read(answer(instruction)).unwrap();
            let [call, below] = &report.trace.calls[..] else { panic!("{:?}", report.trace) };
            assert_eq!((call.program.to_string(), call.accounts[0].to_string()), (key(2), key(1)));
            assert_eq!((&call.data[..], below.depth, below.instruction), (&b"a"[..], 3, 0));
        }
        for broken in [
            json!({ "programIdIndex": 2, "accounts": [], "data": "" }),
            json!({ "programIdIndex": 1, "accounts": [2], "data": "" }),
            json!({ "programIdIndex": 1, "accounts": [0], "data": "0" }),
            json!({ "accounts": [], "data": "" }),
        ] {
            Report::read(answer(broken)).err().expect("an error");
        }
    }
}
