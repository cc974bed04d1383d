use std::path::Path;

use anyhow::{Result, anyhow};
use flash_liquidator_client::klend::ReserveAddresses;
use klend_model::{
    accounts,
    constants::{FLASH_LOANS_DISABLED, price_status},
    fraction::Fraction,
    keys::to_address,
    reserve::{ReserveState, curve_rate},
};
use serde_json::{Value, json};
use solana_address::Address;

use super::{Context, or_dash, print_json, status, write_whole};
use crate::{
    book::market::{Market, symbol},
    format::{Section, bad, duration, good, percent, tokens, usd},
    plot::Plot,
};

/// `keeper reserve`.
pub fn run(context: &Context, key: &Address, svg: Option<&Path>) -> Result<()> {
    let account = context.source.account("reserve", key)?;
    let reserve = accounts::reserve(key, &account.owner, &account.data)?;
    let market = Market::load(&*context.source, &to_address(&reserve.lending_market))?;
    let table = market.table()?;
    let state = table.reserve(key).ok_or_else(|| {
        let refused = table.refused().iter().find(|(at, _)| at == key);
        refused.map_or_else(
            || anyhow!("reserve {key} is not among those of its market {}", market.key),
            |(_, refusal)| anyhow!("reserve {key} cannot be refreshed: {refusal}"),
        )
    })?;
    if let Some(path) = svg {
        with_plot(state, |plot| write_whole(path, &plot.svg()))??;
    }
    if context.json {
        return print_json(&as_json(&market, state)?);
    }
    print(&market, state)?;
    print!("{}", with_plot(state, |plot| plot.ascii())?);
    Ok(())
}

/// The borrow curve with today's point.
fn with_plot<T>(state: &ReserveState<'_>, draw: impl FnOnce(&Plot<'_>) -> T) -> Result<T> {
    let points = &state.account.config.borrow_rate_curve;
    let rate = |utilization: f64| {
        let bps = Fraction::from_bps((utilization * 1e4).round() as u64);
        Some(curve_rate(points, bps).ok()??.to_f64())
    };
    Ok(draw(&Plot {
        title: &format!("Borrow curve of {}", symbol(state.account)),
        x: "utilisation",
        y: "borrow rate per year",
        range: (0.0, 1.0),
        today: state.utilization()?.to_f64().min(1.0),
        limit: None,
        curve: &rate,
        label_x: percent,
        label_y: percent,
    }))
}

fn amount(state: &ReserveState<'_>, amount: Fraction) -> String {
    let raw = u64::try_from(amount.floor()).unwrap_or(u64::MAX);
    tokens(raw, state.account.liquidity.mint_decimals)
}

fn print(market: &Market, state: &ReserveState<'_>) -> Result<()> {
    let (account, config) = (state.account, &state.account.config);
    let decimals = account.liquidity.mint_decimals;
    let addresses = ReserveAddresses::read(&state.key, account);
    let name = symbol(account);
    let supply = state.total_supply()?;

    let mut section = Section::new(format!("{name} reserve {}", state.key));
    section
        .row("market", market.key.to_string())
        .row("source", format!("slot {}", market.clock.slot))
        .row("status", status(state))
        .row("price", format!("{} ({} old)", usd(state.market_price), age(market, state)))
        .row("price checks", price_checks(state.price_status));
    if config.emergency_mode != 0 {
        section.row("emergency mode", bad("on"));
    }
    if config.permissioned_ops != 0 {
        section.row("permissioned operations", format!("{:#b}", config.permissioned_ops));
    }
    section.print();

    let mut section = Section::new("Liquidity");
    section
        .row("available", amount(state, Fraction::from_int(state.available)))
        .row("borrowed", amount(state, state.borrowed))
        .row(
            "total supply",
            format!("{} ({})", amount(state, supply), usd(state.market_value(supply)?)),
        )
        .row("utilisation", percent(state.utilization()?.to_f64()))
        .row("borrow APY", percent(state.borrow_apy()?))
        .row("supply APY", percent(state.supply_apy()?))
        .row("one cToken is worth", ctoken_rate(state)?)
        .row("cTokens queued for withdrawal", tokens(state.queued_ctokens(), 6))
        .row("deposit limit", tokens(config.deposit_limit, decimals))
        .row("borrow limit", tokens(config.borrow_limit, decimals));
    section.print();

    let mut section = Section::new("Risk");
    section
        .row("loan to value", format!("{} %", config.loan_to_value_pct))
        .row("liquidation threshold", format!("{} %", config.liquidation_threshold_pct))
        .row("borrow factor", format!("{} %", state.borrow_factor_pct()))
        .row(
            "liquidation bonus",
            format!(
                "{} to {} (bad debt {})",
                percent(f64::from(config.min_liquidation_bonus_bps) / 1e4),
                percent(f64::from(config.max_liquidation_bonus_bps) / 1e4),
                percent(f64::from(config.bad_debt_liquidation_bonus_bps) / 1e4),
            ),
        )
        .row("protocol share of the bonus", format!("{} %", config.protocol_liquidation_fee_pct))
        .row("elevation groups", groups(state));
    section.print();

    let mut section = Section::new("Flash loans");
    section
        .row("fee", flash_fee(config.fees.flash_loan_fee_sf))
        .row("in the vault", amount(state, Fraction::from_int(state.available)));
    section.print();

    let mut section = Section::new("Addresses");
    section
        .row("mint", addresses.liquidity_mint.to_string())
        .row("token program", addresses.liquidity_token_program.to_string())
        .row("liquidity vault", addresses.liquidity_supply_vault.to_string())
        .row("fee vault", addresses.fee_vault.to_string())
        .row("cToken mint", addresses.ctoken_mint.to_string())
        .row("collateral vault", addresses.collateral_supply_vault.to_string())
        .row("collateral farm", or_dash(addresses.collateral_farm))
        .row("debt farm", or_dash(addresses.debt_farm))
        .row("Scope", or_dash(addresses.oracles.scope))
        .row("Pyth", or_dash(addresses.oracles.pyth))
        .row("Switchboard", or_dash(addresses.oracles.switchboard_price))
        .row("Switchboard TWAP", or_dash(addresses.oracles.switchboard_twap));
    section.print();

    Ok(())
}

fn age(market: &Market, state: &ReserveState<'_>) -> String {
    duration(market.clock.unix_timestamp.saturating_sub(state.price_timestamp))
}

/// Which of klend's checks the price passed.
fn price_checks(bits: u8) -> String {
    const NAMES: [(u8, &str); 6] = [
        (price_status::PRICE_LOADED, "loaded"),
        (price_status::PRICE_AGE_CHECKED, "age"),
        (price_status::TWAP_CHECKED, "TWAP"),
        (price_status::TWAP_AGE_CHECKED, "TWAP age"),
        (price_status::HEURISTIC_CHECKED, "bounds"),
        (price_status::PRICE_USAGE_ALLOWED, "allowed"),
    ];
    if bits & price_status::ALL_CHECKS == price_status::ALL_CHECKS {
        return good("all passed");
    }
    let failed: Vec<&str> =
        NAMES.iter().filter(|(bit, _)| bits & bit == 0).map(|(_, name)| *name).collect();
    bad(&format!("failed: {}", failed.join(", ")))
}

fn ctoken_rate(state: &ReserveState<'_>) -> Result<String> {
    let million = state.liquidity_of(1_000_000)?.to_f64() / 1e6;
    Ok(format!("{million:.9}"))
}

fn groups(state: &ReserveState<'_>) -> String {
    let groups: Vec<String> = state
        .account
        .config
        .elevation_groups
        .iter()
        .filter(|group| **group != 0)
        .map(ToString::to_string)
        .collect();
    if groups.is_empty() { "-".to_owned() } else { groups.join(", ") }
}

fn flash_fee(rate: u64) -> String {
    if rate == FLASH_LOANS_DISABLED {
        return bad("flash loans are disabled");
    }
    format!("{:.4} %", Fraction::from_bits(u128::from(rate)).to_f64() * 100.0)
}

fn as_json(market: &Market, state: &ReserveState<'_>) -> Result<Value> {
    let (account, config) = (state.account, &state.account.config);
    let addresses = ReserveAddresses::read(&state.key, account);
    Ok(json!({
        "reserve": state.key.to_string(),
        "symbol": symbol(account),
        "market": market.key.to_string(),
        "slot": market.clock.slot,
        "status": status(state),
        "price": state.market_price.to_f64(),
        "priceTimestamp": state.price_timestamp,
        "priceStatus": state.price_status,
        "decimals": account.liquidity.mint_decimals,
        "available": state.available.to_string(),
        "borrowed": state.borrowed.floor().to_string(),
        "totalSupply": state.total_supply()?.floor().to_string(),
        "ctokenSupply": state.ctoken_supply.to_string(),
        "utilization": state.utilization()?.to_f64(),
        "borrowApy": state.borrow_apy()?,
        "supplyApy": state.supply_apy()?,
        "loanToValuePct": config.loan_to_value_pct,
        "liquidationThresholdPct": config.liquidation_threshold_pct,
        "borrowFactorPct": state.borrow_factor_pct(),
        "minLiquidationBonusBps": config.min_liquidation_bonus_bps,
        "maxLiquidationBonusBps": config.max_liquidation_bonus_bps,
        "badDebtLiquidationBonusBps": config.bad_debt_liquidation_bonus_bps,
        "protocolLiquidationFeePct": config.protocol_liquidation_fee_pct,
        "flashLoanFee": (config.fees.flash_loan_fee_sf != FLASH_LOANS_DISABLED)
            .then(|| Fraction::from_bits(u128::from(config.fees.flash_loan_fee_sf)).to_f64()),
        "depositLimit": config.deposit_limit.to_string(),
        "borrowLimit": config.borrow_limit.to_string(),
        "emergencyMode": config.emergency_mode != 0,
        "permissionedOps": config.permissioned_ops,
        "mint": addresses.liquidity_mint.to_string(),
        "liquidityVault": addresses.liquidity_supply_vault.to_string(),
        "feeVault": addresses.fee_vault.to_string(),
        "ctokenMint": addresses.ctoken_mint.to_string(),
        "collateralVault": addresses.collateral_supply_vault.to_string(),
        "collateralFarm": addresses.collateral_farm.map(|key| key.to_string()),
        "debtFarm": addresses.debt_farm.map(|key| key.to_string()),
    }))
}
