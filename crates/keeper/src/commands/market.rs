use anyhow::Result;
use klend_model::{constants::FLASH_LOANS_DISABLED, fraction::Fraction, keys};
use serde_json::json;
use solana_address::Address;

use super::{
    Context, klend, permissioner, print_json, status, status::ask_running, verify::print_summary,
};
use crate::{
    book::market::{Market, printable, symbol},
    format::{Section, bad, percent, table, tokens, usd, usd_f64},
    verify::tally::Summary,
};

/// `keeper market`.
pub fn run(context: &Context, key: &Address, at: Option<&str>) -> Result<()> {
    let model: Option<Summary> = at.map(|at| ask_running(at, "model")).transpose()?;
    let market = Market::load(&*context.source, key)?;
    let account = market.lending_market()?;
    let states = market.table()?;
    let name = printable(&account.name).trim_end_matches('?').to_owned();

    let mut reserves: Vec<_> = states
        .reserves()
        .iter()
        .map(|state| {
            let supply = state.market_value(state.total_supply()?)?;
            let borrowed = state.market_value(state.borrowed)?;
            Ok((state, supply, borrowed))
        })
        .collect::<Result<_>>()?;
    reserves.sort_by_key(|(_, supply, _)| std::cmp::Reverse(*supply));
    let total = |pick: fn(&(_, Fraction, Fraction)) -> Fraction| -> f64 {
        reserves.iter().map(|reserve| pick(reserve).to_f64()).sum()
    };
    let (supplied, borrowed) = (total(|reserve| reserve.1), total(|reserve| reserve.2));

    if context.json {
        let reserves: Vec<_> = reserves
            .iter()
            .map(|(state, supply, borrowed)| {
                json!({
                    "reserve": state.key.to_string(),
                    "symbol": symbol(state.account),
                    "status": status(state),
                    "price": state.market_price.to_f64(),
                    "suppliedValue": supply.to_f64(),
                    "borrowedValue": borrowed.to_f64(),
                    "available": state.available.to_string(),
                    "liquidationThresholdPct": state.account.config.liquidation_threshold_pct,
                    "accrualBasis": state.basis.to_string(),
                    "emergencyMode": state.emergency,
                })
            })
            .collect();
        let refused: Vec<_> = states
            .refused()
            .iter()
            .map(|(key, refusal)| {
                json!({ "reserve": key.to_string(), "reason": refusal.to_string() })
            })
            .collect();
        return print_json(&json!({
            "market": key.to_string(),
            "name": name,
            "slot": market.clock.slot,
            "klend": market.klend.name(),
            "permissioner": keys::some(&account.permissioning_authority).map(ToString::to_string),
            "permissionedOps": account.permissioned_ops,
            "rewardsMaxAprBps": account.reserve_rewards_max_apr_bps,
            "emergencyMode": account.emergency_mode != 0,
            "suppliedValue": supplied,
            "borrowedValue": borrowed,
            "reserves": reserves,
            "refused": refused,
            "model": model,
        }));
    }

    let mut section = Section::new(format!("Market {key}"));
    if !name.is_empty() {
        section.row("name", name);
    }
    section
        .row("source", format!("{}, slot {}", context.source.name(), market.clock.slot))
        .row("klend", klend(market.klend))
        .row("supplied", usd_f64(supplied))
        .row("borrowed", usd_f64(borrowed))
        .row("reserves", (reserves.len() + states.refused().len()).to_string())
        .row(
            "close factor",
            format!(
                "{} % of the debt, at most {}",
                account.liquidation_max_debt_close_factor_pct,
                usd_f64(account.max_liquidatable_debt_market_value_at_once as f64)
            ),
        )
        .row("liquidated whole below", usd_f64(account.min_full_liquidation_value_threshold as f64))
        .row("referral fee", percent(f64::from(account.referral_fee_bps) / 1e4));
    if account.emergency_mode != 0 {
        section.row("emergency mode", bad("on"));
    }
    if let Some(text) = permissioner(account, account.permissioned_ops) {
        section.row("permissioner", text);
    }
    if account.reserve_rewards_max_apr_bps != 0 {
        let most = f64::from(account.reserve_rewards_max_apr_bps) / 1e4;
        section.row("reserve rewards", format!("at most {} a year", percent(most)));
    }
    section.print();

    let rows = reserves
        .iter()
        .map(|(state, supply, borrowed)| {
            let config = &state.account.config;
            let decimals = state.account.liquidity.mint_decimals;
            let flash = match config.fees.flash_loan_fee_sf {
                FLASH_LOANS_DISABLED => "off".to_owned(),
                rate => format!("{:.4} %", Fraction::from_bits(u128::from(rate)).to_f64() * 100.0),
            };
            vec![
                symbol(state.account),
                state.key.to_string(),
                usd(state.market_price),
                usd(*supply),
                usd(*borrowed),
                tokens(state.available, decimals),
                format!("{} %", config.liquidation_threshold_pct),
                flash,
                if state.emergency { bad("emergency") } else { state.basis.to_string() },
            ]
        })
        .collect();
    let header = [
        "",
        "reserve",
        "price",
        "supplied",
        "borrowed",
        "available",
        "threshold",
        "flash fee",
        "counts",
    ];
    println!("{}", table(&header, 2, rows));
    for (key, refusal) in states.refused() {
        println!("  {} {}", market.symbol(key), bad(&refusal.to_string()));
    }
    if let Some(summary) = &model {
        print_summary(summary);
    }
    Ok(())
}
