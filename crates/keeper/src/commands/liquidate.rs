use anyhow::{Result, bail};
use flash_liquidator_client::{
    decode::{Cause, Decoded, Outcome},
    swap::jupiter::MOST_ACCOUNTS,
};
use klend_fork::Machine;
use klend_model::refusal::Refusal;
use serde_json::{Value, json};
use solana_address::Address;
use solana_instruction::error::InstructionError;
use solana_message::AddressLookupTableAccount;
use solana_signer::Signer;

use super::{
    Context,
    explain::{decoded_json, print_decoded, print_report, report_json},
    offers::{self, Asking},
    print_json, quote,
};
use crate::{
    book::scope::Written,
    build::{
        plan::{Plan, Wishes},
        simulation::{NodeSimulation, Simulation, Stage, liquidated, simulate, simulate_on_node},
    },
    cli::LiquidateArgs,
    feeds::source::{Rpc, Source, TIMEOUT},
    format::{Section, bad, bytes, good, signed_tokens, table, tokens},
    keys::Key,
    land::{
        attempt::{Ending, Sent, require_consent, send_by_hand},
        deliver::{Late, Way},
        roads::{Kind, Road},
    },
    route::{discovery::SHRINKING, frozen::Frozen, position::Position, terms::Costs, why::Unread},
};

/// `keeper liquidate`.
pub fn run(context: &Context, args: &LiquidateArgs) -> Result<Ending> {
    let source = &*context.source;
    let sends = source.rpc().filter(|_| !args.dry_run);
    let key = Key::load(&args.signer, sends.is_some())?;
    if let Some(rpc) = sends {
        require_consent(rpc, args.yes, "--yes")?;
        args.program.require(rpc)?;
    }
    let block_engine = args.block_engine.as_deref().map(|url| Rpc::new(url, TIMEOUT));
    if block_engine.is_some() && args.terms.tip == 0 {
        bail!("--block-engine needs --tip: a bundle without one is never taken");
    }
    if args.terms.tip > 0 && args.terms.tip_account.is_none() {
        bail!("--tip needs --tip-account");
    }
    let keeper = key.pubkey();
    let selling = args.terms.selling();
    let mut frozen = Frozen::read(source, &args.obligation, &selling, &keeper)?;
    frozen.read_more(source, &args.tables)?;
    let wishes = args.wishes();
    let jupiter = args.aggregator.jupiter()?;
    let mut told = Vec::new();
    let mut most = jupiter.as_ref().map(|_| MOST_ACCOUNTS);
    let (mut plan, tables, simulation, written) = loop {
        if let (Some(jupiter), Some(most)) = (&jupiter, most) {
            frozen.forget_offers();
            let asking = Asking {
                source,
                jupiter,
                keeper: &keeper,
                search: &wishes.search,
                slippage_bps: wishes.slippage_bps,
                tables: &args.tables,
                most,
            };
            told.extend(asking.ask(&mut frozen)?);
        }
        let mut written = None;
        let mut decided = decide(source, &mut frozen, None, &keeper, &wishes, key.is_simulated());
        let is_refused = decided.as_ref().is_err_and(|error| error.is::<Refusal>());
        if args.refresh_prices && is_refused {
            let (choices, refusals) = frozen.foresee(source)?;
            for (reserve, refusal) in refusals {
                eprintln!("reserve {reserve}: {refusal}");
            }
            for choice in choices {
                written = Some(frozen.write(&choice)?);
                let behind = written.as_ref();
                decided = decide(source, &mut frozen, behind, &keeper, &wishes, key.is_simulated());
                if decided.is_ok() {
                    break;
                }
            }
        }
        let (plan, tables, stage) = decided?;
        let mut machine = Machine::new(source.world(&stage.programs)?);
        let simulation = simulate(&mut machine, &plan, &stage, &tables)?;
        // Calls too deep: with fewer accounts it goes by simpler venues, or not at all.
        let asked = told.last().map_or(0, |told| told.max_accounts);
        let is_too_deep = plan.offered.is_some() && is_too_deep(&simulation.decoded);
        most = if is_too_deep { SHRINKING.into_iter().find(|less| *less < asked) } else { None };
        if most.is_none() {
            break (plan, tables, simulation, written);
        }
        frozen.forget_offers();
    };
    let view = frozen.view(written.as_ref())?;
    let position = Position::new(&view, &args.obligation, &frozen.obligation, &wishes.search)?;
    let on_node = match source.rpc() {
        Some(rpc) if args.dry_run => Some(simulate_on_node(rpc, &plan, &key, &tables)?),
        _ => None,
    };
    let mut report = json!({
        "quote": quote::as_json(&position, &plan.best, plan.route.as_ref().map(|route| (&keeper, route))),
        "simulation": simulation_json(&plan, &simulation),
        "nodeSimulation": on_node.as_ref().map(|on_node| node_json(&plan, on_node)),
    });
    if let Some(written) = &written {
        report["priceRefresh"] = json!({
            "table": written.table.to_string(),
            "entries": written.entries,
        });
    }
    if jupiter.is_some() {
        report["quote"]["jupiter"] = told.iter().map(offers::as_json).collect();
    }
    if !context.json {
        told.iter().for_each(|told| println!("  {}", offers::words(told)));
        quote::print(&position, &plan.best, &args.terms)?;
        if let Some(Written { table, entries, .. }) = &written {
            println!("Prices are written first, and quoted: entries {entries:?} of {table}.\n");
        }
        print_simulation(&plan, &simulation, on_node.as_ref());
    }
    let mut outcome = simulation.decoded.outcome.clone();
    if let (Outcome::Succeeded, Some(NodeSimulation::Done { decoded, .. })) = (&outcome, &on_node) {
        outcome = decoded.outcome.clone();
    }
    if let (Some(rpc), Outcome::Succeeded) = (sends, &outcome) {
        plan.limit_units(simulation.units)?;
        // Programs and accounts may have been slow to come: its time begins now.
        plan.begin_at(rpc.clock()?.slot, wishes.deadline_slots);
        let roads = match &block_engine {
            Some(engine) => Road::all(Kind::Engine, engine),
            None => Road::all(Kind::Node, rpc),
        };
        let way = Way { rpc, roads: &roads, slot: &|| rpc.newest() };
        match send_by_hand(&way, &key, &plan, &tables)? {
            Sent::Executed(executed) => {
                outcome = executed.decoded.outcome.clone();
                report["transaction"] = report_json(&executed);
                if !context.json {
                    print_report(&executed);
                }
            }
            Sent::Rejected(decoded) => {
                outcome = decoded.outcome.clone();
                report["rejected"] = decoded_json(&decoded);
                if !context.json {
                    println!("{}", bad("The node's simulation failed, nothing was sent."));
                    print_decoded(&decoded);
                }
            }
            Sent::HeldBack => return Err(Late(plan.terms().deadline_slot).into()),
        }
    }
    if context.json {
        print_json(&report)?;
    }
    Ending::of(&outcome)
}

/// Whether a call was too deep below the transaction's own.
fn is_too_deep(decoded: &Decoded) -> bool {
    let failure = decoded.outcome.failure();
    failure.is_some_and(|failure| {
        matches!(failure.cause, Cause::Instruction { error: InstructionError::CallDepth, .. })
    })
}

type Decided = (Plan, Vec<AddressLookupTableAccount>, Stage);

/// A plan, with its lookup tables and accounts to try it on. What it takes besides is read.
fn decide(
    source: &dyn Source,
    frozen: &mut Frozen,
    written: Option<&Written>,
    keeper: &Address,
    wishes: &Wishes,
    stands_in: bool,
) -> Result<Decided> {
    loop {
        match plan(frozen, written, keeper, wishes, stands_in) {
            // A route names what nobody could foresee.
            Err(error) => match error.downcast::<Unread>() {
                Ok(Unread(missing)) => frozen.read_more(source, &missing)?,
                Err(error) => return Err(error),
            },
            decided => return decided,
        }
    }
}

fn plan(
    frozen: &Frozen,
    written: Option<&Written>,
    keeper: &Address,
    wishes: &Wishes,
    stands_in: bool,
) -> Result<Decided> {
    let view = frozen.view(written)?;
    let position = Position::new(&view, &frozen.key, &frozen.obligation, &wishes.search)?;
    let plan = Plan::new(&position, keeper, wishes, 0, 0)?;
    let tables = plan.tables(&view)?;
    let stage = Stage::new(&view, &plan, stands_in)?;
    Ok((plan, tables, stage))
}

/// What was quoted, and what the event of a simulation says about the same.
fn compared(plan: &Plan, decoded: &Decoded) -> Option<[(&'static str, i128, i128); 6]> {
    let event = liquidated(decoded)?;
    let best = &plan.best;
    Some([
        ("debtRepaid", i128::from(best.quote.repay), i128::from(event.debt_repaid)),
        (
            "collateralReceived",
            i128::from(best.quote.received),
            i128::from(event.collateral_received),
        ),
        ("protocolFee", i128::from(best.quote.protocol_fee), i128::from(event.protocol_fee)),
        ("flashFee", i128::from(plan.flash_fee), i128::from(event.flash_fee)),
        ("swapProceeds", i128::from(best.swapped), i128::from(event.swap_proceeds)),
        ("profit", plan.profit(), i128::from(event.profit)),
    ])
}

/// A figure's name for people.
fn label(figure: &str) -> &str {
    match figure {
        "debtRepaid" => "debt repaid",
        "collateralReceived" => "collateral received",
        "protocolFee" => "klend's fee",
        "flashFee" => "flash fee",
        "swapProceeds" => "swap proceeds",
        other => other,
    }
}

/// Quote and simulations side by side.
fn print_simulation(plan: &Plan, simulation: &Simulation, on_node: Option<&NodeSimulation>) {
    let Some(here) = compared(plan, &simulation.decoded) else {
        print_decoded(&simulation.decoded);
        return;
    };
    let there = match on_node {
        Some(NodeSimulation::Done { decoded, .. }) => compared(plan, decoded),
        _ => None,
    };
    let difference = |quoted: i128, simulated: i128| match simulated - quoted {
        0 => good("0"),
        difference => bad(&format!("{difference:+}")),
    };
    let rows = here.iter().enumerate().map(|(at, (figure, quoted, simulated))| {
        let mut row = vec![
            label(figure).to_owned(),
            quoted.to_string(),
            simulated.to_string(),
            difference(*quoted, *simulated),
        ];
        if let Some((_, quoted, simulated)) = there.as_ref().map(|there| there[at]) {
            row.extend([simulated.to_string(), difference(quoted, simulated)]);
        }
        row
    });
    let mut header = vec!["raw units", "quote", "simulated here", "difference"];
    if there.is_some() {
        header.extend(["on the node", "difference"]);
    }
    println!("{}", table(&header, 1, rows.collect()));

    let mut section = Section::new("\nTransaction");
    section
        .row(
            "flash loan",
            format!("{} raw units, the margin included", tokens(plan.order.flash_amount, 0)),
        )
        .row("compute units", tokens(simulation.units, 0))
        .row("bytes", bytes(simulation.bytes))
        .row(
            "least profit signed",
            format!("{} raw units", signed_tokens(plan.terms().min_profit.into(), 0)),
        )
        .row("costs beside", costs(plan))
        .row(
            "lookup table",
            if simulation.made_table {
                "made for the simulation; to send, give one with --table"
            } else {
                "given"
            },
        );
    match on_node {
        Some(NodeSimulation::Done { units, .. }) => {
            section.row("compute units on the node", tokens(*units, 0));
        }
        Some(NodeSimulation::NotAsked(why)) => {
            section.row("on the node", format!("not simulated: {why}"));
        }
        None => {}
    }
    section.print();
    if let Some(NodeSimulation::Done { decoded, .. }) = on_node
        && decoded.outcome != Outcome::Succeeded
    {
        println!("{}", bad("The node's simulation failed."));
        print_decoded(decoded);
    }
}

/// What it costs beside loan and flash fee.
fn costs(plan: &Plan) -> String {
    let Costs { signatures, priority_fee, tip, rent } = plan.costs;
    let in_debt = plan
        .cost
        .map_or_else(String::new, |cost| format!(", {} raw units of the debt", tokens(cost, 0)));
    format!(
        "{} SOL{in_debt} (signature {signatures} lamports, priority fee up to {priority_fee}, \
         tip {tip}, rent that stays {rent})",
        tokens(plan.costs.total(), 9)
    )
}

/// Simulated less quoted, by figure.
fn differences(plan: &Plan, decoded: &Decoded) -> Value {
    let Some(compared) = compared(plan, decoded) else { return Value::Null };
    let differences = compared.iter().map(|(figure, quoted, simulated)| {
        ((*figure).to_owned(), json!((simulated - quoted).to_string()))
    });
    Value::Object(differences.collect())
}

fn simulation_json(plan: &Plan, simulation: &Simulation) -> Value {
    let mut value = decoded_json(&simulation.decoded);
    value["computeUnits"] = json!(simulation.units);
    value["bytes"] = json!(simulation.bytes);
    value["minProfit"] = json!(plan.terms().min_profit.to_string());
    value["costLamports"] = json!(plan.costs.total().to_string());
    value["cost"] = json!(plan.cost.map(|cost| cost.to_string()));
    value["lookupTableMade"] = json!(simulation.made_table);
    value["difference"] = differences(plan, &simulation.decoded);
    value
}

fn node_json(plan: &Plan, on_node: &NodeSimulation) -> Value {
    match on_node {
        NodeSimulation::Done { decoded, units } => {
            let mut value = decoded_json(decoded);
            value["computeUnits"] = json!(units);
            value["difference"] = differences(plan, decoded);
            value
        }
        NodeSimulation::NotAsked(why) => json!({ "notAsked": why }),
    }
}
