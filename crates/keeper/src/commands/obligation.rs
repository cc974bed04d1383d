use std::path::Path;

use anyhow::{Context as _, Result, anyhow};
use klend_model::{
    accounts,
    fraction::Fraction,
    keys,
    keys::to_address,
    obligation::{LiquidationPrice, ObligationState},
    table::ReserveTable,
};
use serde_json::json;
use solana_address::Address;

use super::{Context, or_dash, print_json, write_whole};
use crate::{
    book::market::{Market, symbol},
    format::{Section, bad, good, percent, table, tokens, usd, usd_f64},
    plot::Plot,
};

/// `keeper obligation`.
pub fn run(context: &Context, key: &Address, svg: Option<&Path>) -> Result<()> {
    let account = context.source.account("obligation", key)?;
    let obligation = accounts::obligation(key, &account.owner, &account.data)?;
    let market = Market::load(&*context.source, &to_address(&obligation.lending_market))?;
    let states = market.table()?;
    let state = states
        .obligation(key, obligation)
        .map_err(|refusal| anyhow!("obligation {key} cannot be refreshed: {refusal}"))?;
    if let Some(path) = svg {
        with_plot(&states, &state, |plot| write_whole(path, &plot.svg())).with_context(
            || format!("obligation {key} has no debt, or nothing with a price: there is no plot"),
        )??;
    }
    if context.json { as_json(&market, &states, &state) } else { print(&market, &states, &state) }
}

fn ratio(value: Result<Fraction, klend_model::fraction::Overflow>) -> Option<f64> {
    value.ok().map(Fraction::to_f64)
}

fn print(market: &Market, states: &ReserveTable<'_>, state: &ObligationState<'_>) -> Result<()> {
    let health = &state.health;
    let shown = |value: Option<f64>| value.map_or_else(|| "-".to_owned(), percent);
    let verdict = match health.health_factor() {
        None => "no debt".to_owned(),
        Some(_) if health.is_unhealthy() => bad("can be liquidated"),
        Some(_) => good("healthy"),
    };

    let mut section = Section::new(format!("Obligation {}", state.key));
    section
        .row("owner", keys::to_address(&state.account.owner).to_string())
        .row("market", market.key.to_string())
        .row("source", format!("slot {}", market.clock.slot))
        .row("referrer", or_dash(keys::some(&state.account.referrer).copied()))
        .row(
            "elevation group",
            match state.account.elevation_group {
                0 => "-".to_owned(),
                group => group.to_string(),
            },
        )
        .row("state", verdict)
        .row("deposits", usd(health.deposited_value))
        .row("debt", usd(health.borrowed_value))
        .row("debt with borrow factors", usd(health.adjusted_debt_value))
        .row("LTV", shown(ratio(health.ltv())))
        .row("LTV, liquidation from", shown(ratio(health.liquidation_ltv())))
        .row("LTV, borrowing up to", shown(ratio(health.max_ltv())))
        .row(
            "health factor",
            health.health_factor().map_or_else(|| "-".to_owned(), |factor| format!("{factor:.4}")),
        )
        .row("deposits may fall by", shown(health.distance_to_liquidation().map(Fraction::to_f64)));
    if !health.caveats.is_none() {
        section.row("not counted", health.caveats.to_string());
    }
    section.print();

    let reserves = states.reserves();
    let price_of = |key: &Address| -> Result<String> {
        Ok(match state.liquidation_price(states, key)? {
            LiquidationPrice::At(price) => usd(price),
            LiquidationPrice::Always => "any".to_owned(),
            LiquidationPrice::Never => "-".to_owned(),
        })
    };
    let mut rows = Vec::new();
    for deposit in state.deposits.iter().flatten() {
        let reserve = &reserves[deposit.reserve];
        let liquidity = reserve.liquidity_of(deposit.ctokens)?.floor_u64()?;
        rows.push(vec![
            "deposit".to_owned(),
            symbol(reserve.account),
            tokens(liquidity, reserve.account.liquidity.mint_decimals),
            usd(reserve.market_price),
            usd(deposit.market_value),
            format!("{} %", deposit.liquidation_threshold_pct),
            price_of(&reserve.key)?,
        ]);
    }
    for borrow in state.borrows.iter().flatten() {
        let reserve = &reserves[borrow.reserve];
        rows.push(vec![
            "debt".to_owned(),
            symbol(reserve.account),
            tokens(borrow.borrowed.ceil_u64()?, reserve.account.liquidity.mint_decimals),
            usd(reserve.market_price),
            usd(borrow.market_value),
            format!("x {:.2}", borrow.borrow_factor),
            price_of(&reserve.key)?,
        ]);
    }
    let header = ["", "token", "amount", "price", "value", "weight", "liquidated at"];
    println!("{}", table(&header, 2, rows));
    if let Some(plot) = with_plot(states, state, |plot| plot.ascii()) {
        print!("\n{plot}");
    }
    Ok(())
}

/// LTV against the price of the largest deposit, all other prices staying; `None`
/// without debt or without a price.
fn with_plot<T>(
    states: &ReserveTable<'_>,
    state: &ObligationState<'_>,
    draw: impl FnOnce(&Plot<'_>) -> T,
) -> Option<T> {
    let health = &state.health;
    let largest = state.deposits.iter().flatten().max_by_key(|deposit| deposit.market_value)?;
    let reserve = &states.reserves()[largest.reserve];
    let price = reserve.market_price.to_f64();
    let (deposits, debt) = (health.deposited_value.to_f64(), health.adjusted_debt_value.to_f64());
    if debt <= 0.0 || price <= 0.0 {
        return None;
    }
    let on_deposit = largest.market_value.to_f64();
    let on_debt =
        state.borrow(largest.reserve).map_or(0.0, |(_, borrow)| borrow.adjusted_value.to_f64());
    let limit = health.liquidation_ltv().ok()?.to_f64();
    let name = symbol(reserve.account);
    let ltv = |at: f64| {
        let shift = at / price - 1.0;
        Some((debt + on_debt * shift) / (deposits + on_deposit * shift))
    };
    Some(draw(&Plot {
        title: &format!("LTV of {} against the price of {name}", state.key),
        x: &name,
        y: "LTV",
        range: (price * 0.5, price * 1.5),
        today: price,
        limit: Some((limit, "liquidation from")),
        curve: &ltv,
        label_x: usd_f64,
        label_y: percent,
    }))
}

fn as_json(market: &Market, states: &ReserveTable<'_>, state: &ObligationState<'_>) -> Result<()> {
    let health = &state.health;
    let reserves = states.reserves();
    let price_of = |key: &Address| match state.liquidation_price(states, key) {
        Ok(LiquidationPrice::At(price)) => Some(price.to_f64()),
        _ => None,
    };
    let deposits = state
        .deposits
        .iter()
        .flatten()
        .map(|deposit| {
            let reserve = &reserves[deposit.reserve];
            Ok(json!({
                "reserve": reserve.key.to_string(),
                "symbol": symbol(reserve.account),
                "ctokens": deposit.ctokens.to_string(),
                "amount": reserve.liquidity_of(deposit.ctokens)?.floor().to_string(),
                "value": deposit.market_value.to_f64(),
                "liquidationThresholdPct": deposit.liquidation_threshold_pct,
                "liquidationPrice": price_of(&reserve.key),
            }))
        })
        .collect::<Result<Vec<_>>>()?;
    let borrows: Vec<_> = state
        .borrows
        .iter()
        .flatten()
        .map(|borrow| {
            let reserve = &reserves[borrow.reserve];
            json!({
                "reserve": reserve.key.to_string(),
                "symbol": symbol(reserve.account),
                "amount": borrow.borrowed.ceil().to_string(),
                "value": borrow.market_value.to_f64(),
                "borrowFactor": borrow.borrow_factor.to_f64(),
                "liquidationPrice": price_of(&reserve.key),
            })
        })
        .collect();
    print_json(&json!({
        "obligation": state.key.to_string(),
        "owner": keys::to_address(&state.account.owner).to_string(),
        "market": market.key.to_string(),
        "slot": market.clock.slot,
        "elevationGroup": state.account.elevation_group,
        "unhealthy": health.is_unhealthy(),
        "healthFactor": health.health_factor().map(Fraction::to_f64),
        "ltv": ratio(health.ltv()),
        "liquidationLtv": ratio(health.liquidation_ltv()),
        "maxLtv": ratio(health.max_ltv()),
        "depositedValue": health.deposited_value.to_f64(),
        "borrowedValue": health.borrowed_value.to_f64(),
        "adjustedDebtValue": health.adjusted_debt_value.to_f64(),
        "deposits": deposits,
        "borrows": borrows,
    }))
}
