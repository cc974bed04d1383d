//! A transaction's [`Story`], for people and as JSON.

use serde_json::{Value, json};
use solana_address::Address;

use crate::{
    format::{Section, bad, percent, signed_tokens, tokens, usd_f64},
    land::report::Report,
    trace::{
        names,
        story::{Age, Guard, Liquidation, OracleUpdate, Price, Sale, Story},
        tokens::Transfer,
    },
};

/// Decimals of SOL.
const SOL_DECIMALS: u64 = 9;

/// Prints all of it.
pub fn print(report: &Report) {
    let story = &report.story;
    if !story.oracle.is_empty() {
        let mut section = Section::new("Oracle refreshed (Scope)");
        for update in story.oracle.iter() {
            section.row(format!("token {}", update.token), oracle(story, update));
        }
        section.print();
    }
    let known: Vec<&Price> = story.prices.iter().filter(|price| !price.usd.is_nan()).collect();
    if !known.is_empty() {
        let mut section = Section::new("Prices");
        for price in known {
            section.row(price.symbol.clone(), price_words(price));
        }
        section.print();
    }
    for liquidation in &story.liquidations {
        print_liquidation(story, liquidation);
    }
    let mut section = Section::new("Beside it");
    for Guard { program, before, after } in &story.guards {
        let when = match (before, after) {
            (true, true) => "before and after the liquidation",
            (true, false) => "before the liquidation",
            (false, true) => "after the liquidation",
            (false, false) => "around the liquidation",
        };
        section.row("guard", format!("{}, called {when}", names::program(program)));
    }
    for Sale { venue, moved } in &story.sales {
        let moved = moved.map_or_else(
            || "amounts are not known".to_owned(),
            |(sold, bought)| {
                let of = |moved: &Transfer| {
                    let mint = report.mint(&moved.from).or_else(|| report.mint(&moved.to));
                    amount(story, mint, i128::from(moved.amount))
                };
                format!("{} for {}", of(&sold), of(&bought))
            },
        );
        section.row("swap", format!("{venue}: {moved}"));
    }
    for tip in &story.tips {
        section.row("tip", format!("{} SOL to {}", tokens(tip.amount, SOL_DECIMALS), tip.to));
    }
    if report.rent > 0 {
        section.row("rent of new accounts", format!("{} SOL", tokens(report.rent, SOL_DECIMALS)));
    }
    for (mint, gain) in &story.gains {
        section.row("gained", amount(story, Some(*mint), *gain));
    }
    if !story.liquidations.is_empty()
        && let Some(gained) = story.gained_usd()
    {
        let is_by_sale = story.gains.keys().any(|mint| story.price_of_mint(mint).is_none());
        let how = if is_by_sale { ", partly at the price of its own sales" } else { "" };
        section.row("worth", format!("{}, without the lamports{how}", usd_f64(gained)));
        if let Some(net) = story.net_usd(report.fee) {
            section.row("after fee and tip", format!("{}; rent is not counted", usd_f64(net)));
        }
    }
    section.row("lamports", format!("{} SOL", signed_tokens(story.lamports, SOL_DECIMALS)));
    section.print();
}

fn oracle(story: &Story, update: &OracleUpdate) -> String {
    let (of, now) = update.slots;
    let age = format!("of {} slots before", now.saturating_sub(of));
    let price = update
        .symbol
        .as_ref()
        .and_then(|symbol| story.prices.iter().find(|price| price.symbol == *symbol));
    match price {
        Some(Price { symbol, usd, .. }) if update.before != update.after => format!(
            "{symbol} {} -> {} ({}), {age}",
            usd_f64(usd * update.ratio()),
            usd_f64(*usd),
            percent(1.0 / update.ratio() - 1.0)
        ),
        Some(Price { symbol, usd, .. }) => format!("{symbol} stays {}, {age}", usd_f64(*usd)),
        None if update.before == update.after => {
            format!("{} stays {}, {age}", update.kind, update.after)
        }
        None => format!("{} {} -> {}, {age}", update.kind, update.before, update.after),
    }
}

fn age_words(age: Option<Age>, what: &str) -> Option<String> {
    let (age, allowed) = age?;
    Some(format!("{what}{} s old, {} s are allowed", tokens(age, 0), tokens(allowed, 0)))
}

fn price_words(price: &Price) -> String {
    let doubts = [
        age_words(price.old, ""),
        age_words(price.old_average, "its average is "),
        price.apart.then(|| "too far from its average".to_owned()),
    ];
    let doubts: Vec<String> = doubts.into_iter().flatten().collect();
    let shown = usd_f64(price.usd);
    if doubts.is_empty() { shown } else { format!("{shown}  {}", bad(&doubts.join("; "))) }
}

/// Tokens with their name, and what they are worth where that is known.
fn amount(story: &Story, mint: Option<Address>, raw: i128) -> String {
    let Some(mint) = mint else { return format!("{raw} raw units") };
    let name = story.symbols.get(&mint).cloned().unwrap_or_else(|| mint.to_string());
    let shown = match story.decimals.get(&mint) {
        Some(decimals) => format!("{} {name}", signed_tokens(raw, u64::from(*decimals))),
        None => format!("{raw} raw units of {name}"),
    };
    match story.usd(&mint, raw) {
        Some(usd) => format!("{shown} ({})", usd_f64(usd)),
        None => shown,
    }
}

fn print_liquidation(story: &Story, of: &Liquidation) {
    let moved = |mint: &Address, raw: Option<u64>| {
        raw.map_or_else(|| "-".to_owned(), |raw| amount(story, Some(*mint), i128::from(raw)))
    };
    let mut section = Section::new(format!("Liquidation in instruction {}", of.instruction));
    section
        .row("liquidator", of.liquidator.to_string())
        .row("obligation", of.obligation.to_string())
        .row("market", of.market.to_string())
        .row("repaid", moved(&of.debt_mint, of.repaid))
        .row("received", moved(&of.collateral_mint, of.received))
        .row("klend's share", moved(&of.collateral_mint, of.fee));
    if let Some((offered, least)) = of.offered {
        section.row("offered", moved(&of.debt_mint, Some(offered)));
        let guard = match least {
            0 => "none".to_owned(),
            least => moved(&of.collateral_mint, Some(least)),
        };
        section.row("klend's own minimum", guard);
    }
    if let Some((reason, bonus)) = &of.reason {
        section.row("bonus", format!("{} ({reason})", percent(f64::from(*bonus) / 1e4)));
    }
    if let Some(kept) = kept(story, of) {
        section.row("kept of it", percent(kept));
    }
    if let Some((debt, limit)) = of.values {
        section.row("debt, limit", format!("{}, {}", usd_f64(debt), usd_f64(limit)));
    }
    if let Some((debt, limit)) = of.values_before {
        let verdict = if debt < limit { ": nobody could have liquidated it" } else { "" };
        let both = format!("{}, {}", usd_f64(debt), usd_f64(limit));
        section.row("before the oracle was refreshed", format!("{both}{verdict}"));
    }
    section.print();
}

/// What was received beyond what was repaid, at klend's prices.
fn kept(story: &Story, of: &Liquidation) -> Option<f64> {
    let repaid = story.usd(&of.debt_mint, of.repaid?.into())?;
    let received = story.usd(&of.collateral_mint, of.received?.into())?;
    (repaid > 0.0).then(|| received / repaid - 1.0)
}

/// All of it as JSON; amounts in raw units.
pub fn as_json(report: &Report) -> Value {
    let story = &report.story;
    let text = |raw: Option<u64>| raw.map(|raw| raw.to_string());
    let age = |age: &Option<Age>| age.map(|(age, most)| json!({ "seconds": age, "allowed": most }));
    let values = |values: &Option<(f64, f64)>| {
        values.map(|(debt, limit)| json!({ "debt": debt, "limit": limit }))
    };
    let transfer = |moved: &Transfer| {
        json!({
            "from": moved.from.to_string(),
            "to": moved.to.to_string(),
            "amount": moved.amount.to_string(),
        })
    };
    let oracle = story.oracle.iter().map(|update| {
        json!({
            "token": update.token,
            "kind": update.kind,
            "symbol": update.symbol,
            "before": update.before.to_string(),
            "after": update.after.to_string(),
            "slot": update.slots.0,
            "writtenIn": update.slots.1,
        })
    });
    let prices = story.prices.iter().map(|price| {
        json!({
            "reserve": price.reserve.map(|key| key.to_string()),
            "symbol": price.symbol,
            "usd": price.usd,
            "tooOld": age(&price.old),
            "averageTooOld": age(&price.old_average),
            "farFromAverage": price.apart,
        })
    });
    let liquidations = story.liquidations.iter().map(|of| {
        json!({
            "instruction": of.instruction,
            "liquidator": of.liquidator.to_string(),
            "obligation": of.obligation.to_string(),
            "market": of.market.to_string(),
            "repayReserve": of.repay_reserve.to_string(),
            "debtMint": of.debt_mint.to_string(),
            "withdrawReserve": of.withdraw_reserve.to_string(),
            "collateralMint": of.collateral_mint.to_string(),
            "offered": text(of.offered.map(|(offered, _)| offered)),
            "leastCollateral": text(of.offered.map(|(_, least)| least)),
            "repaid": text(of.repaid),
            "received": text(of.received),
            "protocolFee": text(of.fee),
            "reason": of.reason.as_ref().map(|(reason, _)| reason),
            "bonusBps": of.reason.as_ref().map(|(_, bonus)| bonus),
            "values": values(&of.values),
            "valuesBeforeOracleRefresh": values(&of.values_before),
        })
    });
    let guards = story.guards.iter().map(|guard| {
        json!({
            "program": guard.program.to_string(),
            "before": guard.before,
            "after": guard.after,
        })
    });
    let sales = story.sales.iter().map(|sale| {
        json!({
            "venue": sale.venue,
            "sold": sale.moved.as_ref().map(|(sold, _)| transfer(sold)),
            "bought": sale.moved.as_ref().map(|(_, bought)| transfer(bought)),
        })
    });
    let gains = story.gains.iter().map(|(mint, gain)| {
        json!({
            "mint": mint.to_string(),
            "symbol": story.symbols.get(mint),
            "amount": gain.to_string(),
            "usd": story.usd(mint, *gain),
        })
    });
    json!({
        "oracle": oracle.collect::<Value>(),
        "prices": prices.collect::<Value>(),
        "liquidations": liquidations.collect::<Value>(),
        "guards": guards.collect::<Value>(),
        "swaps": sales.collect::<Value>(),
        "tips": story.tips.iter().map(transfer).collect::<Value>(),
        "gains": gains.collect::<Value>(),
        "gainedUsd": story.gained_usd(),
        "netUsd": story.net_usd(report.fee),
        "lamports": story.lamports.to_string(),
    })
}
