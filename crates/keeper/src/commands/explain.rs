use std::{fs, path::Path};

use anyhow::{Context as _, Result};
use flash_liquidator_client::{
    decode::{Decoded, Event, Explanation, Outcome},
    receiver::Liquidated,
};
use serde_json::{Value, json};

use super::{Context, print_json, story};
use crate::{
    format::{Section, bad, good, heading, table, tokens},
    land::report::Report,
    route::terms::SIGNATURE_FEE,
    trace::names,
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
        .row("fee payer", report.payer.to_string())
        .row("fee", fee(report))
        .row(
            "compute units",
            report.units.map_or_else(|| "-".to_owned(), |units| tokens(units, 0)),
        );
    section.print();
    print_outcome(&report.decoded, cause(report).as_ref());
    print_events(&report.decoded);
    story::print(report);
    println!("{}", heading("Instructions"));
    let rows = report.trace.calls.iter().filter(|call| {
        // What token programs do below is told as amounts.
        call.depth == 1 || names::kind(&call.program) != names::Kind::Token
    });
    let rows = rows.map(|call| {
        let index = if call.depth == 1 { call.instruction.to_string() } else { String::new() };
        let indent = "  ".repeat(call.depth - 1);
        vec![
            index,
            format!("{indent}{}", names::program(&call.program)),
            call.name.clone().unwrap_or_default(),
            call.units.map_or_else(|| "-".to_owned(), |units| tokens(units, 0)),
        ]
    });
    println!("{}", table(&["", "program", "instruction", "units"], 3, rows.collect()));
    if !report.has_logs {
        println!("  the node kept no logs of it: what only they tell is missing, events among it");
    } else if report.decoded.logs.truncated {
        println!("  the logs are truncated: events may be missing");
    }
}

/// The fee, and what of it bought priority.
fn fee(report: &Report) -> String {
    let base = SIGNATURE_FEE.saturating_mul(report.signatures as u64);
    let priority = tokens(report.fee.saturating_sub(base), 9);
    format!("{} SOL, of which {priority} for priority", tokens(report.fee, 9))
}

/// Why it failed, as far as more is known than the number says.
fn cause(report: &Report) -> Option<Explanation> {
    report.story.cause(report.decoded.outcome.failure()?, &report.trace)
}

/// The same as JSON.
pub fn report_json(report: &Report) -> Value {
    let mut value = decoded_json(&report.decoded);
    if let Some(words) = cause(report) {
        for (name, text) in
            [("title", words.title), ("sentence", words.sentence), ("hint", words.hint)]
        {
            value["failure"][name] = json!(text);
        }
    }
    value["signature"] = json!(report.signature);
    value["slot"] = json!(report.slot);
    value["feePayer"] = json!(report.payer.to_string());
    value["fee"] = json!(report.fee);
    value["computeUnits"] = json!(report.units);
    value["hasLogs"] = json!(report.has_logs);
    let changed = report.balances.iter().filter(|balance| balance.before != balance.after);
    value["tokenChanges"] = changed
        .map(|change| {
            json!({
                "account": change.account.to_string(),
                "mint": change.mint.to_string(),
                "owner": change.owner.map(|owner| owner.to_string()),
                "before": change.before,
                "after": change.after,
            })
        })
        .collect();
    value["instructions"] = report
        .trace
        .calls
        .iter()
        .map(|call| {
            json!({
                "instruction": call.instruction,
                "depth": call.depth,
                "program": call.program.to_string(),
                "programName": names::known(&call.program),
                "name": call.name,
                "units": call.units,
            })
        })
        .collect();
    value["story"] = story::as_json(report);
    value
}

/// What happened, in words.
pub fn print_decoded(decoded: &Decoded) {
    print_outcome(decoded, None);
    print_events(decoded);
    if !decoded.logs.calls.is_empty() {
        println!("{}", heading("Instructions"));
        let rows = decoded.logs.calls.iter().enumerate().map(|(index, call)| {
            vec![
                index.to_string(),
                names::program(&call.program),
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

/// How it ended, and why if it failed: `cause` where that is known better.
fn print_outcome(decoded: &Decoded, cause: Option<&Explanation>) {
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
        let words = cause.cloned().unwrap_or_else(|| failure.cause.explain());
        if let Some(index) = failure.instruction {
            println!("  instruction {index}");
        }
        println!("  {}", words.title);
        println!("  {}", words.sentence);
        println!("  {}", words.hint);
    }
    println!();
}

fn print_events(decoded: &Decoded) {
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
