use anyhow::Result;
use base64::{Engine as _, prelude::BASE64_STANDARD};
use flash_liquidator_client::{
    flash_liquidation::KeeperAccounts,
    klend::ReserveAddresses,
    receiver::{Intermediate, Route, SwapLeg},
    swap::jupiter::MOST_ACCOUNTS,
};
use klend_model::{liquidation::Reason, search::Best};
use serde_json::{Value, json};
use solana_address::Address;
use solana_signer::Signer;

use super::{
    Context,
    offers::{self, Asking},
    print_json,
    setup::{MintFacts, mint_facts},
    venues,
};
use crate::{
    cli::{AggregatorArgs, TermsArgs},
    format::{Section, bad, duration, good, percent, signed_tokens, tokens, usd_f64},
    judge::value_f64,
    keys::Key,
    route::{
        frozen::Frozen,
        position::{NoWay, Position},
        venue::{Sale, Venue, Ways, leg_tolerance},
    },
};

/// `keeper quote`.
pub fn run(
    context: &Context,
    key: &Address,
    keeper: Option<Address>,
    terms: &TermsArgs,
    aggregator: &AggregatorArgs,
) -> Result<()> {
    let keeper = keeper.unwrap_or_else(|| Key::simulated().pubkey());
    let mut frozen = Frozen::read(&*context.source, key, &terms.selling(), &keeper)?;
    let search = terms.search();
    let mut told = Vec::new();
    if let Some(jupiter) = aggregator.jupiter()? {
        let (source, slippage_bps) = (&*context.source, terms.slippage_bps);
        let asking = Asking {
            source,
            jupiter: &jupiter,
            keeper: &keeper,
            search: &search,
            slippage_bps,
            tables: &[],
            most: MOST_ACCOUNTS,
        };
        told = asking.ask(&mut frozen)?;
        if !context.json {
            told.iter().for_each(|told| println!("  {}", offers::words(told)));
        }
    }
    let view = frozen.view(None)?;
    let position = Position::new(&view, key, &frozen.obligation, &search)?;
    let notes = |mints: Vec<Address>| -> Result<Vec<String>> {
        let facts = mint_facts(&*context.source, mints.into_iter())?;
        Ok(facts.iter().filter_map(MintFacts::note).collect())
    };
    let best = match position.best(&search) {
        // What a mint has may be why.
        Err(reason) if reason.is::<NoWay>() => {
            let pairs = position.pairs();
            let notes = notes(pairs.iter().flat_map(|(from, to)| [*from, *to]).collect())?;
            return Err(if notes.is_empty() { reason } else { reason.context(notes.join("; ")) });
        }
        best => best?,
    };
    let reserves = [&best.request.repay_reserve, &best.request.withdraw_reserve];
    let mints = reserves.map(|reserve| Ok(view.reserve_addresses(reserve)?.liquidity_mint));
    let notes = notes(mints.into_iter().collect::<Result<_>>()?)?;
    if context.json {
        let route = route(&position, &best, &keeper, terms)?;
        let mut quote = as_json(&position, &best, route.as_ref().map(|route| (&keeper, route)));
        quote["notes"] = json!(notes);
        if aggregator.jupiter_url.is_some() {
            quote["jupiter"] = told.iter().map(offers::as_json).collect();
        }
        if terms.discover.discover {
            quote["pools"] = frozen.found().iter().map(venues::as_json).collect();
        }
        return print_json(&quote);
    }
    print(&position, &best, terms)?;
    frozen.found().iter().for_each(venues::print_short);
    notes.iter().for_each(|note| println!("  {}", bad(note)));
    Ok(())
}

/// klend's reason in words.
pub fn reason(reason: Reason) -> String {
    match reason {
        Reason::LtvExceeded => "its LTV is above the limit".to_owned(),
        Reason::IndividualDeleveraging => "the market deleverages this obligation".to_owned(),
        Reason::MarketWideDeleveraging => "a reserve is above its limit for too long".to_owned(),
        Reason::ReserveDebtMaturityReached => "the debt reserve has matured".to_owned(),
        Reason::DebtTermReached { seconds } => {
            format!("the debt's fixed term ended {} ago", duration(seconds))
        }
        Reason::Order { index } => format!("its owner's order {index} applies"),
    }
}

/// The quote as sections.
pub fn print(position: &Position<'_>, best: &Best, terms: &TermsArgs) -> Result<()> {
    let market = position.market;
    let quote = &best.quote;
    let (repay, withdraw) = (&best.request.repay_reserve, &best.request.withdraw_reserve);
    let (debt, collateral) = (market.symbol(repay), market.symbol(withdraw));
    let (debt_decimals, collateral_decimals) =
        (market.decimals(repay)?, market.decimals(withdraw)?);
    let in_debt = |raw: u64| format!("{} {debt}", tokens(raw, debt_decimals));
    let in_collateral = |raw: u64| format!("{} {collateral}", tokens(raw, collateral_decimals));

    let mut section = Section::new(format!("Liquidation of {}", position.key));
    section
        .row("source", format!("slot {}", market.clock.slot))
        .row("why", reason(quote.reason))
        .row("repay", in_debt(quote.repay))
        .row("klend allows up to", in_debt(quote.max_repay.ceil_u64().unwrap_or(u64::MAX)));
    if quote.must_repay_all {
        section.row("all or nothing", "the debt is small: klend insists on all of it");
    }
    section
        .row("bonus", percent(quote.bonus.to_f64()))
        .row("seize", format!("{} cTokens", tokens(quote.seized_ctokens, 6)))
        .row("redeemed for", in_collateral(quote.gross_received))
        .row("klend's fee", in_collateral(quote.protocol_fee))
        .row("receive", in_collateral(quote.received))
        .row("least accepted", format!("{} bps less", terms.slippage_bps));
    section.print();

    let mut section = Section::new("Money");
    if let Some(loan) = &best.loan {
        section
            .row("flash loan", format!("{} from {}", in_debt(loan.amount), loan.reserve))
            .row("flash fee", in_debt(loan.fee))
            .row(
                "why there",
                format!(
                    "the lowest fee among reserves of {debt} that hold enough ({} in its vault){}",
                    tokens(loan.available, debt_decimals),
                    if loan.market == market.key {
                        String::new()
                    } else {
                        format!("; of market {}", loan.market)
                    }
                ),
            );
    }
    let profit = format!(
        "{} {debt} ({})",
        signed_tokens(best.profit, debt_decimals),
        usd_f64(value_f64(best.profit_value))
    );
    section
        .row("swap", position.venue.describe())
        .row("swap brings", in_debt(best.swapped))
        .row("profit", if best.profit > 0 { good(&profit) } else { bad(&profit) });
    if terms.tip > 0 {
        section.row("tip", format!("{} SOL", tokens(terms.tip, 9)));
    }
    section.print();

    let after = &quote.after;
    let mut section = Section::new("Afterwards");
    section
        .row("debt left", in_debt(after.debt.ceil_u64().unwrap_or(u64::MAX)))
        .row("cTokens left", tokens(after.deposit, 6));
    section.print();
    Ok(())
}

/// The route that the quote counts with; `None` where nothing is sold, or where no pool is
/// known.
fn route(
    position: &Position<'_>,
    best: &Best,
    keeper: &Address,
    terms: &TermsArgs,
) -> Result<Option<Route>> {
    let reserve = |key: &Address| -> Result<ReserveAddresses> {
        Ok(ReserveAddresses::read(key, position.market.reserve(key)?))
    };
    if matches!(position.venue, Venue::Assumed { .. }) {
        return Ok(None);
    }
    let (repay, withdraw) =
        (reserve(&best.request.repay_reserve)?, reserve(&best.request.withdraw_reserve)?);
    let accounts = KeeperAccounts::associated(keeper, &repay, &withdraw);
    let route = position.venue.route(&Sale {
        keeper,
        withdraw: &withdraw,
        repay: &repay,
        keeper_debt: &accounts.debt,
        amount: best.quote.received,
        ways: Ways::ALL,
        tolerance_bps: leg_tolerance(terms.slippage_bps),
    })?;
    Ok(route.map(|sold| sold.route))
}

/// A route as the TypeScript client takes it.
fn route_json(keeper: &Address, route: &Route) -> Value {
    let leg = |leg: &SwapLeg| {
        let accounts: Vec<Value> = leg
            .accounts
            .iter()
            .map(|meta| {
                json!({
                    "address": meta.pubkey.to_string(),
                    "isWritable": meta.is_writable,
                    "isSigner": meta.is_signer,
                })
            })
            .collect();
        json!({
            "program": leg.program.to_string(),
            "accounts": accounts,
            "input": leg.input,
            "amountInOffset": leg.amount_in_offset,
            "data": BASE64_STANDARD.encode(&leg.data),
        })
    };
    let intermediate = |token: &Intermediate| {
        json!({
            "swapAccount": token.swap_account.to_string(),
            "keeperAccount": token.keeper_account.to_string(),
            "mint": token.mint.to_string(),
            "tokenProgram": token.token_program.to_string(),
        })
    };
    json!({
        "keeper": keeper.to_string(),
        "swapCollateral": route.swap_collateral.to_string(),
        "swapDebt": route.swap_debt.map(|account| account.to_string()),
        "intermediates": route.intermediates.iter().map(intermediate).collect::<Vec<_>>(),
        "legs": route.legs.iter().map(leg).collect::<Vec<_>>(),
    })
}

/// The quote as JSON, amounts in raw units; with whose route sells the collateral.
pub fn as_json(position: &Position<'_>, best: &Best, route: Option<(&Address, &Route)>) -> Value {
    let quote = &best.quote;
    json!({
        "route": route.map(|(keeper, route)| route_json(keeper, route)),
        "obligation": position.key.to_string(),
        "market": position.market.key.to_string(),
        "slot": position.market.clock.slot,
        "reason": reason(quote.reason),
        "repayReserve": best.request.repay_reserve.to_string(),
        "withdrawReserve": best.request.withdraw_reserve.to_string(),
        "repay": quote.repay.to_string(),
        "maxRepay": quote.max_repay.ceil().to_string(),
        "mustRepayAll": quote.must_repay_all,
        "bonus": quote.bonus.to_f64(),
        "seizedCtokens": quote.seized_ctokens.to_string(),
        "received": quote.received.to_string(),
        "protocolFee": quote.protocol_fee.to_string(),
        "flashReserve": best.loan.map(|loan| loan.reserve.to_string()),
        "flashAmount": best.loan.map(|loan| loan.amount.to_string()),
        "flashMarket": best.loan.map(|loan| loan.market.to_string()),
        "flashFee": best.loan.map(|loan| loan.fee.to_string()),
        "venue": position.venue.describe(),
        "swapped": best.swapped.to_string(),
        "profit": best.profit.to_string(),
        "profitValue": value_f64(best.profit_value),
        "debtLeft": quote.after.debt.to_f64(),
        "ctokensLeft": quote.after.deposit.to_string(),
    })
}
