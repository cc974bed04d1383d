use std::{collections::BTreeMap, sync::Mutex};

use anyhow::{Result, anyhow};
use klend_fork::Machine;
use klend_interface::state::Obligation;
use klend_model::accounts;
use serde_json::json;
use solana_account::Account;
use solana_address::Address;
use solana_signer::Signer as _;

use super::{Context, print_json, write_whole};
use crate::{
    build::plan::{Fees, Least, Wishes},
    cli::DrillArgs,
    drill::{Drill, Drilled, Ended, Verdict, dated_now},
    format::{bad, good, heading, percent, table, tokens, usd_f64},
    keys::Key,
    plot::{Beside, Plot},
    route::{fees::Offer, frozen::Ground},
};

/// Rounds of reading what routes name that nobody could foresee.
const ROUNDS: usize = 4;
/// The least profit that is signed for: a drill wants to know of losses too.
const WHATEVER: i64 = i64::MIN / 2;

/// `keeper drill`.
pub fn run(context: &Context, args: &DrillArgs) -> Result<()> {
    let source = &*context.source;
    let read: Mutex<BTreeMap<Address, Box<Obligation>>> = Mutex::default();
    let refused: Mutex<Vec<(Address, String)>> = Mutex::default();
    let visit = |_, key: &Address, account: &Account| match accounts::obligation(
        key,
        &account.owner,
        &account.data,
    ) {
        Ok(obligation) => {
            if let Ok(mut read) = read.lock() {
                read.insert(*key, Box::new(*obligation));
            }
        }
        Err(reason) => {
            if let Ok(mut refused) = refused.lock() {
                refused.push((*key, reason.to_string()));
            }
        }
    };
    source.visit_obligations(&args.market, &|_, _| {}, &visit)?;
    let broke_down = || anyhow!("a reading thread broke down");
    let read = read.into_inner().map_err(|_| broke_down())?;
    let refused = refused.into_inner().map_err(|_| broke_down())?;
    let mut waiting: Vec<(Address, &Obligation)> =
        read.iter().map(|(key, obligation)| (*key, &**obligation)).collect();

    let keeper = Key::simulated().pubkey();
    let terms = &args.terms;
    let mut ground = Ground::read(source, &args.market, &terms.selling(), &keeper, &waiting)?;
    ground.read_more(source, &args.tables)?;
    ground.markets.iter_mut().try_for_each(dated_now)?;
    let wishes = wishes(args);
    let machine = Machine::new(source.world(&ground.accounts.programs())?);
    let mut all: Vec<Drilled> = Vec::new();
    for round in 0..=ROUNDS {
        let drill = Drill { ground: &ground, wishes: &wishes, keeper, min_profit: args.min_profit };
        let ended: Vec<Ended> = drill.all(&machine, &waiting)?;
        let (mut again, mut missing) = (Vec::new(), Vec::new());
        for (one, ended) in waiting.iter().zip(ended) {
            match ended {
                Ok(drilled) => all.push(*drilled),
                Err(accounts) => {
                    again.push(*one);
                    missing.extend(accounts);
                }
            }
        }
        if again.is_empty() {
            break;
        }
        if round == ROUNDS {
            return Err(anyhow!("{} obligations name accounts without end", again.len()));
        }
        ground.read_more(source, &missing)?;
        waiting = again;
    }
    all.retain(|drilled| drilled.debt_usd >= args.min_debt || drilled.debt_usd == 0.0);
    all.sort_by(|a, b| {
        let fall = |of: &Drilled| of.fall.unwrap_or(f64::INFINITY);
        fall(a).total_cmp(&fall(b)).then_with(|| a.obligation.cmp(&b.obligation))
    });
    if let Some(path) = &args.svg {
        write_whole(path, &svg(&all))?;
    }
    let slot = ground.markets.first().map_or(0, |market| market.clock.slot);
    if context.json {
        let refused = refused.iter().map(|(key, why)| json!([key.to_string(), why]));
        return print_json(&json!({
            "market": args.market.to_string(),
            "slot": slot,
            "verdicts": sums(&all).map(|(verdict, count, debt, money)| json!({
                "verdict": verdict, "obligations": count, "debtUsd": debt, "usd": money,
            })).collect::<Vec<_>>(),
            "obligations": all,
            "unreadable": refused.collect::<Vec<_>>(),
        }));
    }
    print(&args.market, slot, &all, args.limit);
    for (key, why) in refused {
        println!("  {key}: {why}");
    }
    Ok(())
}

fn wishes(args: &DrillArgs) -> Wishes {
    let terms = &args.terms;
    Wishes {
        search: terms.search(),
        slippage_bps: terms.slippage_bps,
        tolerance_bps: 10_000,
        least: Least::Raw(WHATEVER),
        fees: Fees::Stated {
            offer: Offer { unit_price: terms.priority_fee, tip: terms.tip },
            tip_account: terms.tip_account,
        },
        deadline_slots: 0,
        sol_usd: args.sol_usd,
        dont_front: None,
        jupiter: None,
        tables: args.tables.clone(),
        simulates: true,
    }
}

/// What counts of an obligation: its profit where it was liquidated, otherwise the bonus
/// that nobody gets.
fn money(drilled: &Drilled) -> f64 {
    let of =
        if drilled.verdict == Verdict::Liquidated { drilled.profit_usd } else { drilled.bonus_usd };
    of.unwrap_or_default()
}

/// For each verdict that there is: how many, how much debt, and [`money`].
fn sums(all: &[Drilled]) -> impl Iterator<Item = (Verdict, usize, f64, f64)> {
    Verdict::ALL.into_iter().filter_map(|verdict| {
        let of: Vec<&Drilled> = all.iter().filter(|drilled| drilled.verdict == verdict).collect();
        let debt = of.iter().map(|drilled| drilled.debt_usd).sum();
        (!of.is_empty()).then(|| (verdict, of.len(), debt, of.iter().copied().map(money).sum()))
    })
}

fn print(market: &Address, slot: u64, all: &[Drilled], limit: usize) {
    let or_dash = |text: Option<String>| text.unwrap_or_else(|| "-".to_owned());
    println!("{}", heading(&format!("Drill of market {market}, slot {slot}")));
    let rows = all.iter().take(limit).map(|drilled| {
        let moves = match drilled.rise {
            Some(rise) => format!("debt x{rise}"),
            None => or_dash(drilled.fall.map(percent)),
        };
        let verdict = match drilled.verdict {
            Verdict::Liquidated => good(Verdict::Liquidated.label()),
            other => bad(other.label()),
        };
        vec![
            drilled.obligation.clone(),
            moves,
            or_dash(
                drilled.pair.as_ref().map(|(debt, collateral)| format!("{collateral} -> {debt}")),
            ),
            usd_f64(drilled.debt_usd),
            or_dash(drilled.repaid_usd.map(usd_f64)),
            or_dash(drilled.profit_usd.map(usd_f64)),
            or_dash(drilled.units.map(|units| tokens(units, 0))),
            or_dash(drilled.bytes.map(|bytes| tokens(bytes as u64, 0))),
            verdict,
        ]
    });
    let header = [
        "obligation",
        "prices fall",
        "sold",
        "debt",
        "repaid",
        "profit",
        "units",
        "bytes",
        "verdict",
    ];
    println!("{}", table(&header, 1, rows.collect()));
    if all.len() > limit {
        println!("  {} more: --limit, or --json for all", all.len() - limit);
    }
    let rows = sums(all).map(|(verdict, count, debt, money)| {
        let what = if verdict == Verdict::Liquidated { "profit" } else { "bonus nobody gets" };
        vec![
            verdict.label().to_owned(),
            count.to_string(),
            usd_f64(debt),
            format!("{} {what}", usd_f64(money)),
        ]
    });
    println!("\n{}", heading("In all"));
    println!("{}", table(&["verdict", "obligations", "debt", "US dollars"], 1, rows.collect()));
    // One example of each reason.
    let mut told: BTreeMap<Verdict, &Drilled> = BTreeMap::new();
    for drilled in all.iter().filter(|drilled| !drilled.why.is_empty()) {
        told.entry(drilled.verdict).or_insert(drilled);
    }
    for (verdict, drilled) in told {
        println!("  {}, {}: {}", verdict.label(), drilled.obligation, drilled.why);
    }
}

/// Profit against price fall: what sells, and the bonus of what does not.
fn svg(all: &[Drilled]) -> String {
    let reached = all.iter().filter(|drilled| drilled.rise.is_none() && drilled.fall.is_some());
    let (sells, rest): (Vec<&Drilled>, Vec<&Drilled>) =
        reached.partition(|drilled| drilled.verdict == Verdict::Liquidated);
    let sum = |of: &[&Drilled], fall: f64| {
        let below = of.iter().filter(|drilled| drilled.fall.is_some_and(|at| at <= fall));
        below.map(|drilled| money(drilled)).sum::<f64>()
    };
    let curve = |fall: f64| Some(sum(&sells, fall));
    let other = |fall: f64| Some(sum(&rest, fall));
    Plot {
        title: "Profit of liquidations against price fall",
        x: "fall of collateral prices",
        y: "US dollars, all that a fall reaches",
        range: (0.0, 1.0),
        today: 0.0,
        limit: None,
        beside: Some(Beside {
            first: "profit of what sells",
            name: "bonus of what does not",
            curve: &other,
        }),
        curve: &curve,
        label_x: percent,
        label_y: usd_f64,
    }
    .svg()
}
