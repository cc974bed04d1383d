use std::path::Path;

use anyhow::{Context as _, Result, anyhow};
use klend_model::{
    accounts,
    fraction::Fraction,
    keys,
    keys::to_address,
    liquidation::order::{self, Condition, Kind},
    obligation::ObligationState,
    outlook::LiquidationPrice,
    table::ReserveTable,
    version::KlendVersion,
};
use serde_json::{Value, json};
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
    let mut market = Market::load(&*context.source, &to_address(&obligation.lending_market))?;
    market.keep_up(&obligation.last_update);
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
    if state.account.ownership_transfer_state != 0 {
        section.row("ownership", "being transferred, which stops no liquidation");
    }
    for (label, text) in orders(states, state) {
        section.row(label, text);
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

/// The owner's orders, as what they are to the klend at hand.
fn orders(states: &ReserveTable<'_>, state: &ObligationState<'_>) -> Vec<(String, String)> {
    let effect = if order::liquidate(states.version()) {
        "a reason to liquidate"
    } else {
        "executed by an instruction of its own, no reason to liquidate"
    };
    let slots = (1..).zip(&state.account.obligation_orders);
    slots
        .filter_map(|(number, slot)| {
            let text = match order::read(states.version(), slot) {
                Ok(None) => return None,
                Ok(Some(order)) => format!("{}; {effect}", in_words(states, state, &order)),
                Err(unknown) => bad(&unknown.to_string()),
            };
            Some((format!("order {number}"), text))
        })
        .collect()
}

fn in_words(
    states: &ReserveTable<'_>,
    state: &ObligationState<'_>,
    order: &order::Order,
) -> String {
    let at = order.threshold;
    let condition = match order.condition {
        Condition::LtvAbove => format!("when the LTV is above {}", percent(at.to_f64())),
        Condition::LtvBelow => format!("when the LTV is below {}", percent(at.to_f64())),
        Condition::PriceRatioAbove => {
            format!("when one debt token is worth more than {at:.6} of the collateral's")
        }
        Condition::PriceRatioBelow => {
            format!("when one debt token is worth less than {at:.6} of the collateral's")
        }
        Condition::Always => "at any time".to_owned(),
        Condition::CloserToLiquidationThan => {
            format!("when the LTV is less than {} from liquidation", percent(at.to_f64()))
        }
    };
    // Amounts are of the only debt token, where there is one.
    let mut debts = state.borrows.iter().flatten();
    let only = debts.next().filter(|_| debts.next().is_none());
    let amount = |amount: Fraction| match only.map(|debt| &states.reserves()[debt.reserve]) {
        Some(reserve) => {
            let raw = u64::try_from(amount.floor()).unwrap_or(u64::MAX);
            let decimals = reserve.account.liquidity.mint_decimals;
            format!("{} {}", tokens(raw, decimals), symbol(reserve.account))
        }
        None => format!("{} raw units of debt", amount.floor()),
    };
    let kind = match order.kind {
        Kind::RepayAmount(most) => format!("repay up to {}", amount(most)),
        Kind::RepayAll => "repay all debt".to_owned(),
        Kind::LeverUpAmount(most) => format!("borrow up to {} more", amount(most)),
        Kind::RepayToLtv(ltv) => format!("repay until the LTV is {}", percent(ltv.to_f64())),
        Kind::LeverUpToLtv(ltv) => format!("borrow until the LTV is {}", percent(ltv.to_f64())),
    };
    let bonus = |bps: u16| percent(f64::from(bps) / 1e4);
    format!(
        "{condition}, {kind}, bonus {} to {}",
        bonus(order.min_bonus_bps),
        bonus(order.max_bonus_bps)
    )
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
        beside: None,
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
        "klend": market.klend.name(),
        "ownershipTransferState": state.account.ownership_transfer_state,
        "ordersLiquidate": order::liquidate(states.version()),
        "orders": orders_json(states.version(), state),
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

/// The owner's orders; numbers as klend has them.
fn orders_json(version: KlendVersion, state: &ObligationState<'_>) -> Vec<Value> {
    let slots = (1..).zip(&state.account.obligation_orders);
    slots
        .filter_map(|(number, slot)| match order::read(version, slot) {
            Ok(None) => None,
            Ok(Some(order)) => {
                let (kind, parameter) = match order.kind {
                    Kind::RepayAmount(amount) => ("repayAmount", Some(amount)),
                    Kind::RepayAll => ("repayAll", None),
                    Kind::LeverUpAmount(amount) => ("leverUpAmount", Some(amount)),
                    Kind::RepayToLtv(ltv) => ("repayToLtv", Some(ltv)),
                    Kind::LeverUpToLtv(ltv) => ("leverUpToLtv", Some(ltv)),
                };
                Some(json!({
                    "number": number,
                    "condition": format!("{:?}", order.condition),
                    "threshold": order.threshold.to_f64(),
                    "kind": kind,
                    "parameter": parameter.map(Fraction::to_f64),
                    "minBonusBps": order.min_bonus_bps,
                    "maxBonusBps": order.max_bonus_bps,
                }))
            }
            Err(unknown) => Some(json!({ "number": number, "unknown": unknown.to_string() })),
        })
        .collect()
}
