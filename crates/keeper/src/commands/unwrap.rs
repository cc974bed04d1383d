use anyhow::{Context as _, Result};
use serde_json::json;
use solana_signer::Signer as _;

use super::{Context, print_json};
use crate::{
    cli::UnwrapArgs,
    format::tokens,
    keys::Key,
    land::{
        attempt::{Ending, send_instructions},
        funds::{Rule, Wrapped},
    },
};

/// Decimals of SOL.
const SOL_DECIMALS: u64 = 9;

/// `keeper unwrap`.
pub fn run(context: &Context, args: &UnwrapArgs) -> Result<Ending> {
    let source = &*context.source;
    let rpc = source.rpc().context("unwrap needs an RPC node: a fork has nothing to keep")?;
    let key = Key::load(&args.signer, true)?;
    let lamports = |sol: f64| (sol * 1e9).round() as u64;
    let rule = Rule { below: args.below.map(lamports), keep: args.keep.map_or(0, lamports) };
    let found = Wrapped::read(rpc, &key.pubkey(), rule)?;
    let done = args.yes && found.unwraps.is_some();
    if done {
        send_instructions(rpc, &key, &found.instructions())?;
    }
    let ending = if found.unwraps.is_some() { Ending::Done } else { Ending::NothingToDo };
    let Wrapped { keeper, account, balance, wrapped, unwraps } = found;
    if context.json {
        print_json(&json!({
            "keeper": keeper.to_string(),
            "account": account.to_string(),
            "balance": balance,
            "wrapped": wrapped,
            "unwrapped": unwraps,
            "kept": unwraps.map(|_| found.kept()),
            "done": done,
        }))?;
        return Ok(ending);
    }
    let sol = |lamports| tokens(lamports, SOL_DECIMALS);
    println!("{} SOL in key {keeper}, {} SOL wrapped in {account}", sol(balance), sol(wrapped));
    match unwraps {
        None => println!("Nothing to do."),
        Some(unwraps) => {
            let verb = if done { "unwrapped" } else { "would be unwrapped" };
            println!("{} SOL {verb}, {} SOL stay wrapped", sol(unwraps), sol(found.kept()));
            if !done {
                println!("Nothing was done; --yes does it.");
            }
        }
    }
    Ok(ending)
}
