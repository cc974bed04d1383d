use std::path::Path;

use anyhow::{Result, anyhow};
use flash_liquidator_client::klend::ReserveAddresses;
use klend_interface::state::LendingMarket;
use klend_model::{
    accounts,
    constants::{FLASH_LOANS_DISABLED, price_status},
    fraction::Fraction,
    keys,
    keys::to_address,
    reserve::{ReserveState, curve_rate},
    time::{Basis, Clock},
    version::KlendVersion,
};
use serde_json::{Value, json};
use solana_address::Address;

use super::{Context, klend, or_dash, permissioner, print_json, status, write_whole};
use crate::{
    book::market::{Market, symbol},
    feeds::source::slot_seconds,
    format::{Section, bad, duration, good, percent, tokens, usd},
    plot::Plot,
};

/// A reserve and what is known around it.
struct View<'a> {
    state: &'a ReserveState<'a>,
    market_key: Address,
    /// The market, where the source has it. Without, nothing can be refreshed:
    /// the numbers are those the account has.
    market: Option<&'a LendingMarket>,
    klend: KlendVersion,
    clock: Clock,
    /// What a slot takes, as measured.
    slot_seconds: Option<f64>,
}

/// `keeper reserve`.
pub fn run(context: &Context, key: &Address, svg: Option<&Path>) -> Result<()> {
    let source = &*context.source;
    let account = source.account("reserve", key)?;
    let reserve = accounts::reserve(key, &account.owner, &account.data)?;
    let market_key = to_address(&reserve.lending_market);
    let slot_seconds = slot_seconds(source)?;
    if source.accounts(&[market_key])?[0].is_none() {
        let (klend, clock) = (source.klend()?, source.clock()?);
        let state = ReserveState::stored(klend, key, reserve)?;
        let view = View { state: &state, market_key, market: None, klend, clock, slot_seconds };
        return show(context, &view, svg);
    }
    let market = Market::load(source, &market_key)?;
    let table = market.table()?;
    let state = table.reserve(key).ok_or_else(|| {
        let refused = table.refused().iter().find(|(at, _)| at == key);
        refused.map_or_else(
            || anyhow!("reserve {key} is not among those of its market {}", market.key),
            |(_, refusal)| anyhow!("reserve {key} cannot be refreshed: {refusal}"),
        )
    })?;
    let (klend, clock) = (market.klend, market.clock);
    let lending_market = Some(market.lending_market()?);
    show(
        context,
        &View { state, market_key, market: lending_market, klend, clock, slot_seconds },
        svg,
    )
}

fn show(context: &Context, view: &View<'_>, svg: Option<&Path>) -> Result<()> {
    if let Some(path) = svg {
        with_plot(view.state, |plot| write_whole(path, &plot.svg()))??;
    }
    if context.json {
        return print_json(&as_json(view)?);
    }
    print(view)?;
    print!("{}", with_plot(view.state, |plot| plot.ascii())?);
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
        beside: None,
        curve: &rate,
        label_x: percent,
        label_y: percent,
    }))
}

fn amount(state: &ReserveState<'_>, amount: Fraction) -> String {
    let raw = u64::try_from(amount.floor()).unwrap_or(u64::MAX);
    tokens(raw, state.account.liquidity.mint_decimals)
}

fn print(view: &View<'_>) -> Result<()> {
    let state = view.state;
    let (account, config) = (state.account, &state.account.config);
    let decimals = account.liquidity.mint_decimals;
    let addresses = ReserveAddresses::read(&state.key, account);
    let name = symbol(account);
    let supply = state.total_supply()?;

    let mut section = Section::new(format!("{name} reserve {}", state.key));
    section
        .row("market", market_row(view))
        .row("source", format!("slot {}", view.clock.slot))
        .row("klend", klend(view.klend))
        .row("status", status(state))
        .row("price", format!("{} ({})", usd(state.market_price), age(view)))
        .row("price checks", price_checks(state.price_status));
    if state.emergency {
        section.row(
            "emergency mode",
            bad("on: no loans, redemptions nor liquidations, and none of what uses it"),
        );
    }
    if let Some(market) = view.market {
        let ops = market.permissioned_ops | config.permissioned_ops;
        section.row("permissioner", permissioner(market, ops).unwrap_or_else(|| "-".to_owned()));
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
        .row("interest counts", interest_counts(view))
        .row("borrow APY", percent(state.borrow_apy(view.slot_seconds)?))
        .row("supply APY", percent(state.supply_apy(view.slot_seconds)?))
        .row("one cToken is worth", ctoken_rate(state)?)
        .row("cTokens queued for withdrawal", tokens(state.queued_ctokens(), 6))
        .row("deposit limit", tokens(config.deposit_limit, decimals))
        .row("borrow limit", tokens(config.borrow_limit, decimals));
    rewards(&mut section, view);
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

fn market_row(view: &View<'_>) -> String {
    let name = view.market_key.to_string();
    match view.market {
        Some(_) => name,
        None => format!(
            "{name}, not in this source: nothing is refreshed, these are the numbers of slot {}",
            view.state.slot
        ),
    }
}

fn age(view: &View<'_>) -> String {
    match view.state.price_timestamp {
        0 => "forgotten".to_owned(),
        time => format!("{} old", duration(view.clock.unix_timestamp.saturating_sub(time))),
    }
}

/// The basis, and what a slot really takes where slots are counted.
fn interest_counts(view: &View<'_>) -> String {
    match (view.state.basis, view.slot_seconds) {
        (Basis::Seconds, _) => "seconds".to_owned(),
        (Basis::Slots, Some(seconds)) => format!(
            "slots, two of which klend takes for a second; they take {seconds:.3} s in this epoch"
        ),
        (Basis::Slots, None) => {
            "slots, two of which klend takes for a second; what they take is not known here"
                .to_owned()
        }
    }
}

/// What depositors get beside interest.
fn rewards(section: &mut Section, view: &View<'_>) {
    let (state, config) = (view.state, &view.state.account.config);
    if state.rewards_pot == 0 && config.rewards_amount_per_slot == 0 {
        return;
    }
    let decimals = state.account.liquidity.mint_decimals;
    let unit = match state.basis {
        Basis::Slots => "slot",
        Basis::Seconds => "second",
    };
    section
        .row("rewards left", tokens(state.rewards_pot, decimals))
        .row("rewards", format!("{} a {unit}", tokens(config.rewards_amount_per_slot, decimals)));
    if let Some(market) = view.market {
        let most = f64::from(market.reserve_rewards_max_apr_bps) / 1e4;
        let apr = state.rewards_apr(market, view.slot_seconds);
        let apr = apr.map_or_else(|| "none".to_owned(), percent);
        section.row("rewards APR", format!("{apr}, at most {} of klend's year", percent(most)));
    }
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

fn as_json(view: &View<'_>) -> Result<Value> {
    let state = view.state;
    let (account, config) = (state.account, &state.account.config);
    let addresses = ReserveAddresses::read(&state.key, account);
    Ok(json!({
        "reserve": state.key.to_string(),
        "symbol": symbol(account),
        "market": view.market_key.to_string(),
        "slot": view.clock.slot,
        "klend": view.klend.name(),
        "refreshed": view.market.is_some(),
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
        "accrualBasis": state.basis.to_string(),
        "slotSeconds": view.slot_seconds,
        "borrowApy": state.borrow_apy(view.slot_seconds)?,
        "supplyApy": state.supply_apy(view.slot_seconds)?,
        "rewards": rewards_json(view),
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
        "emergencyMode": state.emergency,
        "permissionedOps": config.permissioned_ops,
        "permissioner": view.market.and_then(|market| {
            let ops = market.permissioned_ops | config.permissioned_ops;
            keys::some(&market.permissioning_authority).filter(|_| ops != 0).map(ToString::to_string)
        }),
        "mint": addresses.liquidity_mint.to_string(),
        "liquidityVault": addresses.liquidity_supply_vault.to_string(),
        "feeVault": addresses.fee_vault.to_string(),
        "ctokenMint": addresses.ctoken_mint.to_string(),
        "collateralVault": addresses.collateral_supply_vault.to_string(),
        "collateralFarm": addresses.collateral_farm.map(|key| key.to_string()),
        "debtFarm": addresses.debt_farm.map(|key| key.to_string()),
    }))
}

fn rewards_json(view: &View<'_>) -> Value {
    let state = view.state;
    json!({
        "left": state.rewards_pot.to_string(),
        "perUnit": state.account.config.rewards_amount_per_slot.to_string(),
        "apr": view.market.and_then(|market| state.rewards_apr(market, view.slot_seconds)),
    })
}
