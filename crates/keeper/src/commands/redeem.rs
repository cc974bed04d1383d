use anyhow::{Context as _, Result};
use serde_json::json;
use solana_signer::Signer as _;

use super::{Context, print_json};
use crate::{
    book::market::{Market, symbol},
    cli::RedeemArgs,
    format::{heading, table, tokens, usd},
    keys::Key,
    land::{
        attempt::{Ending, send_instructions},
        funds::Left,
    },
};

/// `keeper redeem`.
pub fn run(context: &Context, args: &RedeemArgs) -> Result<Ending> {
    let source = &*context.source;
    let rpc = source.rpc().context("redeem needs an RPC node: a fork has nothing to keep")?;
    let key = Key::load(&args.signer, true)?;
    let keeper = key.pubkey();
    let market = Market::load(rpc, &args.market)?;
    let states = market.table()?;
    let left = Left::find(rpc, &market, &states, &keeper)?;
    let redeemable: Vec<&Left<'_>> = left.iter().filter(|left| left.liquidity > 0).collect();
    let done = args.yes && !redeemable.is_empty();
    if done {
        for left in &redeemable {
            send_instructions(rpc, &key, &left.instructions(&keeper))?;
        }
    }
    if context.json {
        let all = left.iter().map(|left| {
            json!({
                "reserve": left.state.key.to_string(),
                "symbol": symbol(left.state.account),
                "account": left.account.to_string(),
                "ctokens": left.ctokens.to_string(),
                "redeemable": left.redeemable.to_string(),
                "liquidity": left.liquidity.to_string(),
            })
        });
        print_json(&json!({
            "keeper": keeper.to_string(),
            "accounts": all.collect::<Vec<_>>(),
            "done": done,
        }))?;
    } else {
        print(&left, done)?;
    }
    Ok(if redeemable.is_empty() { Ending::NothingToDo } else { Ending::Done })
}

fn print(left: &[Left<'_>], done: bool) -> Result<()> {
    println!("{}", heading("cTokens of the keeper"));
    let rows = left.iter().map(|left| {
        let decimals = left.state.account.liquidity.mint_decimals;
        Ok(vec![
            symbol(left.state.account),
            left.ctokens.to_string(),
            left.redeemable.to_string(),
            tokens(left.liquidity, decimals),
            usd(left.worth()?),
        ])
    });
    let rows = rows.collect::<Result<Vec<_>>>()?;
    println!("{}", table(&["reserve", "cTokens", "redeemable now", "for", "worth"], 1, rows));
    if left.iter().all(|left| left.liquidity == 0) {
        println!("Nothing to do.");
    } else if !done {
        println!("Nothing was done; --yes does it.");
    }
    Ok(())
}
