use std::{
    cmp::Ordering,
    io::IsTerminal,
    sync::{
        Mutex,
        atomic::{AtomicUsize, Ordering::Relaxed},
    },
    time::Instant,
};

use anyhow::{Result, anyhow};
use flash_liquidator_client::{
    receiver::swap_authority,
    swap::jupiter::{Ask, MOST_ACCOUNTS},
};
use indicatif::{ProgressBar, ProgressStyle};
use klend_model::{
    accounts,
    flash::Lenders,
    fraction::Fraction,
    keys::to_address,
    obligation::Health,
    reserve::ReserveState,
    search::{Funding, Leftovers, best_liquidation},
    table::ReserveTable,
};
use serde_json::json;
use solana_account::Account;
use solana_address::Address;
use solana_signer::Signer as _;

use super::{
    Context, print_json,
    setup::{MintFacts, mint_facts},
    venues,
};
use crate::{
    book::{accounts::of_venues, market::Market},
    cli::{PER_PAIR, ScanArgs, Sort},
    feeds::{jupiter::Trouble, source::Source},
    format::{bad, heading, percent, table, usd_f64},
    judge::value_f64,
    keys::Key,
    route::{
        discovery::{Found, Want, discover, merged, wanted},
        venue::{Pair, at_oracle_price, leads},
    },
};

/// What is kept of an obligation.
struct Row {
    key: Address,
    deposits: f64,
    debt: f64,
    ltv: f64,
    limit: f64,
    health: f64,
    unhealthy: bool,
    /// Profit of the best liquidation at oracle prices less the swap's cost, US
    /// dollars; only for unhealthy obligations.
    profit: Option<f64>,
    /// Whether the pools given lead from one of its collaterals to one of its debts.
    sells: bool,
    /// Its mints of collateral and debt, and what pools are looked for; only where it is
    /// near its limit, and they are.
    pairs: Vec<Pair>,
    wanted: Vec<Want>,
}

/// Health factor below which pools are looked for.
const NEAR: f64 = 1.05;
/// Pairs that pools are looked for at most.
const MOST_PAIRS: usize = 40;

/// `keeper scan`.
pub fn run(context: &Context, key: &Address, args: &ScanArgs) -> Result<()> {
    let started = Instant::now();
    let market = Market::load(&*context.source, key)?;
    let states = market.table()?;
    let lenders = Lenders::new([&states]);
    let pairs = traded(&*context.source, &args.pools)?;

    let rows = Mutex::new(Vec::new());
    let (seen, refused) = (AtomicUsize::new(0), AtomicUsize::new(0));
    let visit = |_, key: &Address, account: &Account| {
        seen.fetch_add(1, Relaxed);
        match evaluate(&states, &lenders, pairs.as_deref(), key, account, args) {
            Ok(Some(row)) => {
                if let Ok(mut rows) = rows.lock() {
                    rows.push(row);
                }
            }
            Ok(None) => {}
            Err(_) => {
                refused.fetch_add(1, Relaxed);
            }
        }
    };
    let bar = progress_bar(context.json)?;
    let progress = |done: usize, total: usize| {
        bar.set_length(total as u64);
        bar.set_position(done as u64);
    };
    context.source.visit_obligations(key, &progress, &visit)?;
    bar.finish_and_clear();

    let mut rows = rows.into_inner().map_err(|_| anyhow!("a reading thread broke down"))?;
    rows.sort_by(|a, b| order(a, b, args.sort).then_with(|| a.key.cmp(&b.key)));
    let (matching, unhealthy) = (rows.len(), rows.iter().filter(|row| row.unhealthy).count());
    rows.truncate(args.limit);
    let (found, unsought) = seek(&*context.source, args, pairs.as_deref(), &mut rows)?;
    let (seen, refused) = (seen.into_inner(), refused.into_inner());
    let millis = started.elapsed().as_millis();
    let mints = market.reserves()?.into_iter().map(|(_, it)| to_address(&it.liquidity.mint_pubkey));
    let notes = mint_facts(&*context.source, mints)?;
    let notes: Vec<String> = notes.iter().filter_map(MintFacts::note).collect();

    if context.json {
        let rows: Vec<_> = rows
            .iter()
            .map(|row| {
                json!({
                    "obligation": row.key.to_string(),
                    "depositedValue": row.deposits,
                    "borrowedValue": row.debt,
                    "ltv": row.ltv,
                    "liquidationLtv": row.limit,
                    "healthFactor": row.health,
                    "unhealthy": row.unhealthy,
                    "profitValue": row.profit,
                    "nothingSells": !row.sells,
                })
            })
            .collect();
        return print_json(&json!({
            "market": key.to_string(),
            "slot": market.clock.slot,
            "read": seen,
            "refused": refused,
            "matching": matching,
            "unhealthy": unhealthy,
            "milliseconds": millis,
            "notes": notes,
            "pools": found.iter().map(venues::as_json).collect::<Vec<_>>(),
            "pairsNotLookedFor": unsought,
            "obligations": rows,
        }));
    }

    println!("{}", heading(&format!("Obligations of market {key}, slot {}", market.clock.slot)));
    let cells = rows.iter().map(|row| {
        let health = format!("{:.4}", row.health);
        vec![
            row.key.to_string(),
            usd_f64(row.deposits),
            usd_f64(row.debt),
            percent(row.ltv),
            percent(row.limit),
            if row.unhealthy { bad(&health) } else { health },
            match row.profit {
                _ if !row.sells => "nothing sells this".to_owned(),
                Some(profit) => usd_f64(profit),
                None => "-".to_owned(),
            },
        ]
    });
    let header =
        ["obligation", "deposits", "debt", "LTV", "liquidated from", "health", "best profit"];
    println!("{}", table(&header, 1, cells.collect()));
    println!(
        "\n  {} of {matching} shown, {unhealthy} can be liquidated; {seen} read in {:.2} s",
        rows.len(),
        millis as f64 / 1e3
    );
    notes.iter().for_each(|note| println!("  {note}"));
    found.iter().for_each(venues::print_short);
    if unsought > 0 {
        println!("  {unsought} pairs more were not looked for: choose with --limit or --below");
    }
    if refused > 0 {
        println!(
            "  {refused} could not be valued: their reserves have no usable price or are unknown"
        );
    }
    for (key, refusal) in states.refused() {
        println!("  {} {}", market.symbol(key), bad(&refusal.to_string()));
    }
    Ok(())
}

/// Values one obligation; `None` if the filters leave it out.
fn evaluate(
    states: &ReserveTable<'_>,
    lenders: &Lenders,
    pairs: Option<&[Pair]>,
    key: &Address,
    account: &Account,
    args: &ScanArgs,
) -> Result<Option<Row>> {
    let mut obligation = *accounts::obligation(key, &account.owner, &account.data)?;
    // It was read after the market: refreshed since, it is no less of the market's moment.
    obligation.last_update.slot = obligation.last_update.slot.min(states.clock().slot);
    let obligation = &obligation;
    let health: Health = states.health(key, obligation)?;
    let Some(factor) = health.health_factor().map(Fraction::to_f64) else { return Ok(None) };
    let debt = health.borrowed_value.to_f64();
    let deposits_in = |reserve: Address| {
        obligation.deposits.iter().any(|slot| to_address(&slot.deposit_reserve) == reserve)
    };
    let borrows_in = |reserve: Address| {
        obligation.borrows.iter().any(|slot| to_address(&slot.borrow_reserve) == reserve)
    };
    if debt < args.min_debt
        || args.below.is_some_and(|below| factor >= below)
        || args.deposit.is_some_and(|reserve| !deposits_in(reserve))
        || args.borrow.is_some_and(|reserve| !borrows_in(reserve))
    {
        return Ok(None);
    }
    let sells = |from: &Address, to: &Address| pairs.is_none_or(|pairs| leads(pairs, from, to));
    let mint = |key| states.reserve(&to_address(key)).map(ReserveState::mint);
    let mints: (Vec<&Address>, Vec<&Address>) = (
        obligation.deposits.iter().filter_map(|slot| mint(&slot.deposit_reserve)).collect(),
        obligation.borrows.iter().filter_map(|slot| mint(&slot.borrow_reserve)).collect(),
    );
    let is_sold = mints.0.iter().any(|from| mints.1.iter().any(|to| sells(from, to)));
    let unhealthy = health.is_unhealthy();
    let profit = if unhealthy {
        let state = states.obligation(key, obligation)?;
        let funding =
            Funding::Flash { lenders, margin_bps: 0, max_fee_bps: u64::from(args.max_fee_bps) };
        // klend may still refuse what looks unhealthy; the table then shows no profit.
        best_liquidation(states, &state, funding, Leftovers::Reject, |from, to, amount| {
            if !sells(from.mint(), to.mint()) {
                return None;
            }
            at_oracle_price(from, to, amount, args.swap_cost_bps)
        })
        .ok()
        .flatten()
        .map(|best| value_f64(best.profit_value))
    } else {
        None
    };
    if args.min_profit.is_some_and(|least| profit.is_none_or(|profit| profit < least)) {
        return Ok(None);
    }
    let ratio = |value: Result<Fraction, _>| value.map_or(f64::INFINITY, Fraction::to_f64);
    let mut row = Row {
        key: *key,
        deposits: health.deposited_value.to_f64(),
        debt,
        ltv: ratio(health.ltv()),
        limit: ratio(health.liquidation_ltv()),
        health: factor,
        unhealthy,
        profit,
        sells: is_sold,
        pairs: Vec::new(),
        wanted: Vec::new(),
    };
    if is_sought(args) && (unhealthy || factor < NEAR) {
        let via = args.discover.seeking().map(|seeking| seeking.via).unwrap_or_default();
        row.pairs =
            mints.0.iter().flat_map(|from| mints.1.iter().map(move |to| (**from, **to))).collect();
        row.wanted = wanted(states, key, obligation, &via);
    }
    Ok(Some(row))
}

/// Whether what sells is looked for.
fn is_sought(args: &ScanArgs) -> bool {
    args.discover.discover || args.aggregator.jupiter_url.is_some()
}

/// Looks for the pools of what is shown, and marks anew what nothing sells; returns what
/// was found, and how many pairs were left out.
fn seek(
    source: &dyn Source,
    args: &ScanArgs,
    given: Option<&[Pair]>,
    rows: &mut [Row],
) -> Result<(Vec<Found>, usize)> {
    if !is_sought(args) {
        return Ok((Vec::new(), 0));
    }
    let seeking = args.discover.seeking();
    let mut sought = match &seeking {
        Some(_) => merged(rows.iter().flat_map(|row| row.wanted.iter().copied())),
        None => Vec::new(),
    };
    let unsought = sought.len().saturating_sub(MOST_PAIRS);
    sought.truncate(MOST_PAIRS);
    let mut pairs: Vec<Pair> = given.unwrap_or_default().to_vec();
    let mut found = Vec::new();
    for wanted in sought {
        let of_pair = discover(source, &wanted, &args.pools, PER_PAIR)?;
        if !of_pair.pools.is_empty() {
            pairs.push(wanted.pair);
        }
        found.push(of_pair);
    }
    // Where no pool sells, somebody else may.
    if let Some(jupiter) = args.aggregator.jupiter()? {
        let keeper = Key::simulated().pubkey();
        let unsold = rows.iter().filter(|row| {
            !row.pairs.is_empty() && !row.pairs.iter().any(|(from, to)| leads(&pairs, from, to))
        });
        let unsold: Vec<Want> = unsold
            .flat_map(|row| row.wanted.iter().filter(|want| row.pairs.contains(&want.pair)))
            .copied()
            .collect();
        for Want { pair: (sold, bought), amount } in
            merged(unsold.into_iter()).into_iter().take(MOST_PAIRS)
        {
            let ask = Ask {
                sold,
                bought,
                amount,
                authority: swap_authority(&keeper).0,
                payer: keeper,
                slippage_bps: args.swap_cost_bps,
                max_accounts: MOST_ACCOUNTS,
            };
            match jupiter.ask(&ask) {
                Ok(_) => pairs.push((sold, bought)),
                Err(Trouble::NoRoute(_)) => {}
                Err(trouble) => eprintln!("warning: {sold} for {bought}: {trouble}"),
            }
        }
    }
    for row in rows.iter_mut().filter(|row| !row.pairs.is_empty()) {
        row.sells = unsought > 0 || row.pairs.iter().any(|(from, to)| leads(&pairs, from, to));
    }
    rows.sort_by(|a, b| order(a, b, args.sort).then_with(|| a.key.cmp(&b.key)));
    Ok((found, unsought))
}

/// The mints that the pools given trade for each other, both ways; `None` without pools.
fn traded(source: &dyn Source, pools: &[Address]) -> Result<Option<Vec<Pair>>> {
    if pools.is_empty() {
        return Ok(None);
    }
    let mut pairs = Vec::new();
    for key in pools {
        let account = source.account("pool", key)?;
        let [first, second] = liquidation_venues::read(key, of_venues(&account))?.mints();
        pairs.extend([(first, second), (second, first)]);
    }
    Ok(Some(pairs))
}

/// What nothing sells comes last.
fn order(a: &Row, b: &Row, sort: Sort) -> Ordering {
    b.sells.cmp(&a.sells).then_with(|| match sort {
        Sort::Distance => a.health.total_cmp(&b.health),
        Sort::Debt => b.debt.total_cmp(&a.debt),
        Sort::Profit => {
            let profit = |row: &Row| row.profit.unwrap_or(f64::NEG_INFINITY);
            profit(b).total_cmp(&profit(a)).then_with(|| a.health.total_cmp(&b.health))
        }
    })
}

fn progress_bar(json: bool) -> Result<ProgressBar> {
    if json || !std::io::stderr().is_terminal() {
        return Ok(ProgressBar::hidden());
    }
    let style =
        ProgressStyle::with_template("  {bar:40} {human_pos} of {human_len} obligations, {eta}")?;
    Ok(ProgressBar::new(0).with_style(style))
}
