use std::{fs, path::Path};

use anyhow::{Context as _, Result};
use flash_liquidator_client::{
    decode::{Decoded, Event, Outcome},
    receiver::Liquidated,
};
use klend_model::constants::{FARMS_PROGRAM_ID, KLEND_PROGRAM_ID};
use serde_json::{Value, json};
use solana_address::Address;

use super::{Context, print_json};
use crate::{
    format::{Section, bad, good, heading, table, tokens},
    land::report::{Report, TokenChange},
};

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
    if json {
        return print_json(&report_json(&report));
    }
    print_report(&report);
    Ok(())
}

/// A transaction in words.
pub fn print_report(report: &Report) {
    let mut section = Section::new("Transaction");
    if let Some(signature) = &report.signature {
        section.row("signature", signature);
    }
    section
        .row("slot", report.slot.to_string())
        .row("fee", format!("{} SOL", tokens(report.fee, 9)))
        .row(
            "compute units",
            report.units.map_or_else(|| "-".to_owned(), |units| tokens(units, 0)),
        );
    section.print();
    print_decoded(&report.decoded);
    if !report.has_logs {
        println!("  the node kept no logs of it: events and instructions are not known");
    }
    // With the event, these are in it.
    if report.decoded.events.is_empty() && !report.token_changes.is_empty() {
        let mut section = Section::new("Token accounts (raw units)");
        for TokenChange { account, owner, before, after, .. } in &report.token_changes {
            let change = i128::from(*after) - i128::from(*before);
            section.row(account, format!("{before} -> {after} ({change:+}), owner {owner}"));
        }
        section.print();
    }
}

/// The same as JSON.
pub fn report_json(report: &Report) -> Value {
    let mut value = decoded_json(&report.decoded);
    value["signature"] = json!(report.signature);
    value["slot"] = json!(report.slot);
    value["fee"] = json!(report.fee);
    value["computeUnits"] = json!(report.units);
    value["hasLogs"] = json!(report.has_logs);
    value["tokenChanges"] = report
        .token_changes
        .iter()
        .map(|change| {
            json!({
                "account": change.account,
                "mint": change.mint,
                "owner": change.owner,
                "before": change.before,
                "after": change.after,
            })
        })
        .collect();
    value
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
