use anyhow::Result;
use flash_liquidator_client::{
    bracket::Settled,
    decode::{Decoded, Event, Outcome},
    perps::{SubAccount, User},
};
use klend_fork::Machine;
use serde_json::{Value, json};
use solana_signer::Signer;

use super::{
    Context,
    explain::{decoded_json, print_decoded, print_report, report_json},
    print_json,
};
use crate::{
    build::{
        perp::{Quoted, Scene, read_tables},
        simulation::{execute, mentioned, stand_in_wallet},
    },
    cli::PerpArgs,
    feeds::source::Source,
    format::{self, Section, bad, signed_tokens, tokens},
    keys::Key,
    land::{
        attempt::{Ending, require_consent},
        deliver::{Delivered, Late, Way, executed},
        roads::{Kind, Road},
    },
};

/// Decimals of dollars, and of a perp's size.
const USD: u64 = 6;
const BASE: u64 = 9;

/// `keeper perp`.
pub fn run(context: &Context, args: &PerpArgs) -> Result<Ending> {
    let source = &*context.source;
    let sends = source.rpc().filter(|_| !args.dry_run);
    let key = Key::load(&args.signer, sends.is_some())?;
    if let Some(rpc) = sends {
        require_consent(rpc, args.yes, "--yes")?;
        args.program.require(rpc)?;
    }
    let wishes = args.wishes();
    let scene = Scene::load(source, &wishes)?;
    let market = scene.market(&wishes)?;
    let quote = scene.quote(market, wishes.max_base)?;
    let mut report = as_json(&scene, market, &quote);
    if !context.json {
        print(&scene, market, &quote);
    }
    if matches!(quote, Quoted::Healthy) {
        if context.json {
            print_json(&report)?;
        }
        return Ok(Ending::NothingToDo);
    }
    let keeper = key.pubkey();
    let mut transaction = scene.transaction(source, &keeper, market, &quote, &wishes)?;
    let tables = read_tables(source, &args.tables)?;
    let built = transaction.instructions()?;
    let mut keys = mentioned(&built, &keeper);
    keys.extend(&args.tables);
    let mut machine = Machine::new(source.world(&keys)?);
    if key.is_simulated() && source.accounts(&[keeper])? == [None] {
        machine.set(&keeper, Some(&stand_in_wallet()))?;
    }
    let simulation = execute(&mut machine, &keeper, &built, &tables)?;
    report["simulation"] = decoded_json(&simulation.decoded);
    report["simulation"]["computeUnits"] = json!(simulation.units);
    report["simulation"]["bytes"] = json!(simulation.bytes);
    if !context.json {
        print_simulation(&simulation.decoded, simulation.units, simulation.bytes);
    }
    let mut outcome = simulation.decoded.outcome.clone();
    if let (Some(rpc), Outcome::Succeeded) = (sends, &outcome) {
        transaction.limit_units(simulation.units)?;
        let built = transaction.instructions()?;
        let roads = Road::all(Kind::Node, rpc);
        let way = Way { rpc, roads: &roads, slot: &|| rpc.newest() };
        match way.deliver(&key, &built, &tables, transaction.deadline_slot)? {
            Delivered::Landed(signature) => {
                let executed = executed(rpc, &signature)?;
                outcome = executed.decoded.outcome.clone();
                report["transaction"] = report_json(&executed);
                let left = LeftOver::read(source, transaction.account)?;
                report["leftOnExchange"] = left.as_json();
                if !context.json {
                    print_report(&executed);
                    left.print();
                }
            }
            Delivered::Rejected(decoded) => {
                outcome = decoded.outcome.clone();
                report["rejected"] = decoded_json(&decoded);
                if !context.json {
                    println!("{}", bad("The node's simulation failed, nothing was sent."));
                    print_decoded(&decoded);
                }
            }
            Delivered::HeldBack => return Err(Late(transaction.deadline_slot).into()),
        }
    }
    if context.json {
        print_json(&report)?;
    }
    Ending::of(&outcome)
}

fn print(scene: &Scene, market: u16, quote: &Quoted) {
    let mut section = Section::new(format!("Perp account on {}", scene.exchange));
    section.row(
        "wallet",
        format!("{}, sub-account {}", scene.user.account.authority, scene.user.account.id),
    );
    if let Ok(position) = scene.user.perp(market) {
        let side = if position.base < 0 { "short" } else { "long" };
        let size = tokens(position.base.unsigned_abs(), BASE);
        section.row(format!("perp market {market}"), format!("{side} {size}"));
    }
    if let Some(health) = scene.health(market) {
        section
            .row("collateral", format!("{} USD", signed_tokens(health.collateral, USD)))
            .row("maintenance margin", format!("{} USD", signed_tokens(health.requirement, USD)));
    }
    if scene.user.is_being_liquidated {
        section.row("liquidation", "has begun");
    }
    match quote {
        Quoted::Healthy => {
            section.row("liquidation", "not possible: the margin is met");
        }
        Quoted::Base(quote) => {
            section
                .row("handed over", tokens(quote.base, BASE))
                .row("at", format!("{} USD", tokens(quote.price, USD)))
                .row("discount", format!("{} USD", tokens(quote.discount, USD)));
        }
        Quoted::Unknown(why) => {
            section.row("quote", why.to_string());
        }
    }
    section.print();
}

fn as_json(scene: &Scene, market: u16, quote: &Quoted) -> Value {
    let health = scene.health(market).map(|health| {
        json!({
            "collateral": health.collateral.to_string(),
            "requirement": health.requirement.to_string(),
            "isLiquidatable": health.is_liquidatable(),
        })
    });
    let quote = match quote {
        Quoted::Healthy => json!({ "base": "0", "healthy": true }),
        Quoted::Base(quote) => json!({
            "base": quote.base.to_string(),
            "price": quote.price.to_string(),
            "discount": quote.discount.to_string(),
            "insuranceFee": quote.insurance_fee.to_string(),
        }),
        Quoted::Unknown(why) => json!({ "unknown": why.to_string() }),
    };
    json!({
        "exchange": scene.exchange.to_string(),
        "authority": scene.user.account.authority.to_string(),
        "subAccount": scene.user.account.id,
        "perpMarket": market,
        "health": health,
        "quote": quote,
    })
}

/// What the keeper has on the exchange after a liquidation.
struct LeftOver(User);

impl LeftOver {
    fn read(source: &dyn Source, account: SubAccount) -> Result<Self> {
        let key = account.address();
        let found = source.account("the keeper's account", &key)?;
        Ok(Self(User::read(&key, &found.owner, &found.data)?))
    }

    fn as_json(&self) -> Value {
        let Self(user) = self;
        json!({
            "deposits": user.spot_positions.len(),
            "unsettled": user
                .perp_positions
                .iter()
                .map(|position| json!({
                    "perpMarket": position.market,
                    "base": position.base.to_string(),
                    "quote": position.quote.to_string(),
                }))
                .collect::<Vec<_>>(),
        })
    }

    fn print(&self) {
        let Self(user) = self;
        if user.spot_positions.is_empty() && user.perp_positions.is_empty() {
            return;
        }
        let mut section = Section::new("\nLeft on the exchange, counted for nothing");
        section.row("deposits and borrows", user.spot_positions.len().to_string());
        for position in &user.perp_positions {
            section.row(
                format!("perp market {}", position.market),
                format!(
                    "{} of the base asset, {} USD unsettled",
                    signed_tokens(position.base.into(), BASE),
                    signed_tokens(position.quote.into(), USD)
                ),
            );
        }
        section.print();
    }
}

/// What `settle` reported.
fn settled(decoded: &Decoded) -> Option<&Settled> {
    decoded.events.iter().find_map(|event| match event {
        Event::Settled(event) => Some(&**event),
        Event::Liquidated(_) => None,
    })
}

fn print_simulation(decoded: &Decoded, units: u64, bytes: usize) {
    let Some(event) = settled(decoded) else {
        print_decoded(decoded);
        return;
    };
    Section::new("\nSimulated here")
        .row("profit", format!("{} raw units", signed_tokens(event.profit.into(), 0)))
        .row("flash fee", format!("{} raw units", tokens(event.flash_fee, 0)))
        .row("compute units", tokens(units, 0))
        .row("bytes", format::bytes(bytes))
        .print();
}
