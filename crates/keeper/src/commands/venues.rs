use anyhow::{Context as _, Result, bail};
use klend_model::{accounts, keys::to_address};
use serde_json::{Value, json};

use super::{Context, print_json};
use crate::{
    book::market::Market,
    cli::VenuesArgs,
    format::{bad, heading, table, tokens},
    route::{
        discovery::{Found, Want, discover},
        terms::units_of_usd,
        venue::at_oracle_price,
    },
};

/// `keeper venues`.
pub fn run(context: &Context, args: &VenuesArgs) -> Result<()> {
    let source = &*context.source;
    let account = source.account("reserve", &args.sold)?;
    let market =
        to_address(&accounts::reserve(&args.sold, &account.owner, &account.data)?.lending_market);
    let market = Market::load(source, &market)?;
    let states = market.table()?;
    let state = |key| {
        states.reserve(key).with_context(|| {
            format!("reserve {key} is not in market {} or has no price", market.key)
        })
    };
    let (from, to) = (state(&args.sold)?, state(&args.bought)?);
    if from.mint() == to.mint() {
        bail!("both reserves are of mint {}: nothing has to be sold", from.mint());
    }
    let amount = units_of_usd(from, args.usd as f64).context("the token sold has no price")?;
    let wanted = Want { pair: (*from.mint(), *to.mint()), amount };
    let found = discover(source, &wanted, &args.pools, args.limit)?;
    let fair = at_oracle_price(from, to, amount, 0);
    if context.json {
        let mut shown = as_json(&found);
        shown["atOraclePrice"] = json!(fair.map(|fair| fair.to_string()));
        return print_json(&shown);
    }
    let (decimals, bought) = (market.decimals(&args.sold)?, market.decimals(&args.bought)?);
    let (from, to) = (market.symbol(&args.sold), market.symbol(&args.bought));
    println!("{}", heading(&format!("{} {from} for {to}", tokens(amount, decimals))));
    if let Some(fair) = fair {
        println!("  at the oracles' prices: {} {to}", tokens(fair, bought));
    }
    let rows = found.pools.iter().map(|ranked| {
        vec![
            ranked.pool.to_string(),
            ranked.venue.to_owned(),
            tokens(ranked.takes, decimals),
            tokens(ranked.pays, bought),
        ]
    });
    println!("{}", table(&["pool", "venue", "takes", "pays"], 2, rows.collect()));
    print_rest(&found);
    Ok(())
}

/// What was found beside the pools that are kept.
fn print_rest(found: &Found) {
    for unusable in &found.unusable {
        println!("  {} {}: {}", unusable.venue, unusable.pool, bad(&unusable.reason));
    }
    println!(
        "  {} that pay less; {} with nothing to pay out; {} with too little to be looked at",
        found.lesser, found.empty, found.shallow
    );
    for failure in &found.failures {
        println!("  {}", bad(&format!("not listed: {failure}")));
    }
}

/// What was found, in few lines.
pub fn print_short(found: &Found) {
    let (from, to) = found.wanted.pair;
    println!("\n{}", heading(&format!("Pools that sell {from} for {to}")));
    for ranked in &found.pools {
        println!("  {} {}: pays {} for {}", ranked.venue, ranked.pool, ranked.pays, ranked.takes);
    }
    print_rest(found);
}

/// What was found, as JSON.
pub fn as_json(found: &Found) -> Value {
    let (from, to) = found.wanted.pair;
    let pools: Vec<Value> = found
        .pools
        .iter()
        .map(|ranked| {
            json!({
                "pool": ranked.pool.to_string(),
                "venue": ranked.venue,
                "takes": ranked.takes.to_string(),
                "pays": ranked.pays.to_string(),
            })
        })
        .collect();
    let unusable: Vec<Value> = found
        .unusable
        .iter()
        .map(|it| json!({ "pool": it.pool.to_string(), "venue": it.venue, "reason": it.reason }))
        .collect();
    json!({
        "sold": from.to_string(),
        "bought": to.to_string(),
        "amount": found.wanted.amount.to_string(),
        "pools": pools,
        "lesser": found.lesser,
        "unusable": unusable,
        "empty": found.empty,
        "shallow": found.shallow,
        "notListed": found.failures,
    })
}
