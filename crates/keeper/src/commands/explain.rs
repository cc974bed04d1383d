use std::{fs, path::Path};

use anyhow::{Context as _, Result, anyhow, bail};
use flash_liquidator_client::{
    decode::{Decoded, Event, Executed, Outcome, decode},
    receiver::Liquidated,
};
use klend_model::constants::{FARMS_PROGRAM_ID, KLEND_PROGRAM_ID};
use serde::Deserialize;
use serde_json::{Value, json};
use solana_address::Address;
use solana_transaction_error::TransactionError;

use super::{Context, print_json};
use crate::format::{Section, bad, good, heading, table, tokens};

/// `keeper explain`.
pub fn run(context: Option<&Context>, transaction: &str, json: bool) -> Result<()> {
    let path = Path::new(transaction);
    let value = if path.exists() {
        let text = fs::read(path).with_context(|| transaction.to_owned())?;
        serde_json::from_slice(&text).with_context(|| format!("{transaction} is not JSON"))?
    } else {
        let rpc = context.and_then(|context| context.source.rpc()).with_context(|| {
            format!("{transaction} is no file; to look a signature up, give --rpc")
        })?;
        rpc.transaction(transaction)?
            .with_context(|| format!("the node knows no transaction {transaction}"))?
    };
    let report = Report::read(value)?;
    if json { print_json(&report.as_json()) } else { report.print() }
}

/// A transaction as `getTransaction` reports it.
pub struct Report {
    slot: u64,
    pub signature: Option<String>,
    fee: u64,
    units: Option<u64>,
    /// Whether the node has the logs, which events are in.
    has_logs: bool,
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

    pub fn print(&self) -> Result<()> {
        let mut section = Section::new("Transaction");
        if let Some(signature) = &self.signature {
            section.row("signature", signature);
        }
        section
            .row("slot", self.slot.to_string())
            .row("fee", format!("{} SOL", tokens(self.fee, 9)))
            .row(
                "compute units",
                self.units.map_or_else(|| "-".to_owned(), |units| tokens(units, 0)),
            );
        section.print();
        print_decoded(&self.decoded);
        if !self.has_logs {
            println!("  the node kept no logs of it: events and instructions are not known");
        }
        Ok(())
    }

    pub fn as_json(&self) -> Value {
        let mut value = decoded_json(&self.decoded);
        value["signature"] = json!(self.signature);
        value["slot"] = json!(self.slot);
        value["fee"] = json!(self.fee);
        value["computeUnits"] = json!(self.units);
        value["hasLogs"] = json!(self.has_logs);
        value
    }
}

/// A program's name where it is known.
fn program_name(program: &Address) -> String {
    let known = [
        (KLEND_PROGRAM_ID, "klend"),
        (FARMS_PROGRAM_ID, "Kamino farms"),
        (flash_liquidator_client::receiver::PROGRAM_ID, "flash-liquidator"),
        (flash_liquidator_client::token::TOKEN_PROGRAM_ID, "SPL Token"),
        (solana_sdk_ids::system_program::ID, "system program"),
        (solana_sdk_ids::compute_budget::ID, "compute budget"),
    ];
    known
        .iter()
        .find(|(id, _)| id == program)
        .map_or_else(|| program.to_string(), |(_, name)| (*name).to_owned())
}

/// What happened, in words.
pub fn print_decoded(decoded: &Decoded) {
    match &decoded.outcome {
        Outcome::Succeeded => println!("{}", good("It succeeded.")),
        Outcome::LostRace(_) => {
            println!("{}", bad("It lost the race: somebody else liquidated first."));
        }
        Outcome::HealthyAgain(_) => {
            println!("{}", bad("The position is healthy again: there was nothing to liquidate."));
        }
        Outcome::Failed(_) => println!("{}", bad("It failed.")),
    }
    if let Some(failure) = decoded.outcome.failure() {
        let words = failure.cause.explain();
        if let Some(index) = failure.instruction {
            println!("  instruction {index}");
        }
        println!("  {}", words.title);
        println!("  {}", words.sentence);
        println!("  {}", words.hint);
    }
    println!();
    for event in &decoded.events {
        match event {
            Event::Liquidated(event) => print_liquidated(event),
            Event::Settled(event) => {
                let mut section = Section::new("Bracket settled (raw units)");
                section
                    .row("keeper", event.keeper.to_string())
                    .row("flash loan", event.flash_loan.to_string())
                    .row("flash fee", event.flash_fee.to_string())
                    .row("debt account before", event.debt_before.to_string())
                    .row("debt account after", event.debt_after.to_string())
                    .row("profit", event.profit.to_string());
                section.print();
            }
        }
    }
    if !decoded.logs.calls.is_empty() {
        println!("{}", heading("Instructions"));
        let rows = decoded.logs.calls.iter().enumerate().map(|(index, call)| {
            vec![
                index.to_string(),
                program_name(&call.program),
                call.name.clone().unwrap_or_default(),
                call.units.map_or_else(|| "-".to_owned(), |units| tokens(units, 0)),
            ]
        });
        println!("{}", table(&["", "program", "instruction", "units"], 3, rows.collect()));
    }
    if decoded.logs.truncated {
        println!("  the logs are truncated: events may be missing");
    }
}

fn print_liquidated(event: &Liquidated) {
    let mut section = Section::new("Liquidated (raw units)");
    section
        .row("keeper", event.keeper.to_string())
        .row("obligation", event.obligation.to_string())
        .row("market", event.lending_market.to_string())
        .row("repay reserve", event.repay_reserve.to_string())
        .row("withdraw reserve", event.withdraw_reserve.to_string())
        .row("flash reserve", event.flash_reserve.to_string())
        .row("flash loan", event.flash_loan.to_string())
        .row("flash fee", event.flash_fee.to_string())
        .row("debt repaid", event.debt_repaid.to_string())
        .row("collateral received", event.collateral_received.to_string())
        .row("klend's fee", event.protocol_fee.to_string())
        .row("cTokens received", event.ctokens_received.to_string())
        .row("collateral sold", event.collateral_sold.to_string())
        .row("swap proceeds", event.swap_proceeds.to_string())
        .row("profit", event.profit.to_string())
        .row("least profit accepted", event.min_profit.to_string());
    section.print();
}

/// The same as JSON.
pub fn decoded_json(decoded: &Decoded) -> Value {
    let outcome = match &decoded.outcome {
        Outcome::Succeeded => "succeeded",
        Outcome::LostRace(_) => "lostRace",
        Outcome::HealthyAgain(_) => "healthyAgain",
        Outcome::Failed(_) => "failed",
    };
    let failure = decoded.outcome.failure().map(|failure| {
        let words = failure.cause.explain();
        json!({
            "instruction": failure.instruction,
            "code": failure.cause.code(),
            "title": words.title,
            "sentence": words.sentence,
            "hint": words.hint,
        })
    });
    let events: Vec<Value> = decoded
        .events
        .iter()
        .map(|event| match event {
            Event::Liquidated(event) => liquidated_json(event),
            Event::Settled(event) => json!({
                "event": "Settled",
                "keeper": event.keeper.to_string(),
                "flashReserve": event.flash_reserve.to_string(),
                "debtMint": event.debt_mint.to_string(),
                "flashLoan": event.flash_loan.to_string(),
                "flashFee": event.flash_fee.to_string(),
                "debtBefore": event.debt_before.to_string(),
                "debtAfter": event.debt_after.to_string(),
                "profit": event.profit.to_string(),
                "minProfit": event.min_profit.to_string(),
            }),
        })
        .collect();
    let instructions: Vec<Value> = decoded
        .logs
        .calls
        .iter()
        .map(|call| {
            json!({
                "program": call.program.to_string(),
                "name": call.name,
                "units": call.units,
            })
        })
        .collect();
    json!({
        "outcome": outcome,
        "failure": failure,
        "events": events,
        "instructions": instructions,
        "logsTruncated": decoded.logs.truncated,
    })
}

fn liquidated_json(event: &Liquidated) -> Value {
    json!({
        "event": "Liquidated",
        "keeper": event.keeper.to_string(),
        "obligation": event.obligation.to_string(),
        "market": event.lending_market.to_string(),
        "repayReserve": event.repay_reserve.to_string(),
        "withdrawReserve": event.withdraw_reserve.to_string(),
        "flashReserve": event.flash_reserve.to_string(),
        "debtMint": event.debt_mint.to_string(),
        "collateralMint": event.collateral_mint.to_string(),
        "flashLoan": event.flash_loan.to_string(),
        "flashFee": event.flash_fee.to_string(),
        "debtRepaid": event.debt_repaid.to_string(),
        "collateralReceived": event.collateral_received.to_string(),
        "protocolFee": event.protocol_fee.to_string(),
        "ctokensReceived": event.ctokens_received.to_string(),
        "collateralSold": event.collateral_sold.to_string(),
        "swapProceeds": event.swap_proceeds.to_string(),
        "profit": event.profit.to_string(),
        "minProfit": event.min_profit.to_string(),
    })
}
