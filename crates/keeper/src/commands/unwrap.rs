use anyhow::{Context as _, Result};
use flash_liquidator_client::token::{
    NATIVE_MINT, TOKEN_PROGRAM_ID, associated_token_account, close_account,
    create_associated_token_account, sync_native,
};
use serde_json::json;
use solana_address::Address;
use solana_instruction::Instruction;
use solana_signer::Signer as _;

use super::{Context, print_json};
use crate::{
    cli::UnwrapArgs,
    feeds::source::Source as _,
    format::tokens,
    keys::Key,
    land::attempt::{Ending, send_instructions},
    route::venue::balance,
};

/// Decimals of SOL.
const SOL_DECIMALS: u64 = 9;

/// What an unwrapping does, in lamports.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Decided {
    /// Comes out of the token account.
    unwrapped: u64,
    /// Stays in it.
    kept: u64,
}

/// `keeper unwrap`.
pub fn run(context: &Context, args: &UnwrapArgs) -> Result<Ending> {
    let source = &*context.source;
    let rpc = source.rpc().context("unwrap needs an RPC node: a fork has nothing to keep")?;
    let key = Key::load(&args.signer, true)?;
    let keeper = key.pubkey();
    let account = associated_token_account(&keeper, &NATIVE_MINT, &TOKEN_PROGRAM_ID);
    let found = rpc.accounts(&[keeper, account])?;
    let balance_of_key = found[0].as_ref().map_or(0, |account| account.lamports);
    let wrapped = match &found[1] {
        Some(found) => {
            balance(&found.data).with_context(|| format!("{account} is no token account"))?
        }
        None => 0,
    };
    let lamports = |sol: f64| (sol * 1e9).round() as u64;
    let decided =
        decide(balance_of_key, wrapped, args.below.map(lamports), args.keep.map(lamports));
    let done = args.yes && decided.is_some();
    if let Some(decided) = decided.filter(|_| done) {
        send_instructions(rpc, &key, &instructions(&keeper, &account, decided))?;
    }
    if context.json {
        print_json(&json!({
            "keeper": keeper.to_string(),
            "account": account.to_string(),
            "balance": balance_of_key,
            "wrapped": wrapped,
            "unwrapped": decided.map(|decided| decided.unwrapped),
            "kept": decided.map(|decided| decided.kept),
            "done": done,
        }))?;
        return Ok(ending(decided));
    }
    let sol = |lamports| tokens(lamports, SOL_DECIMALS);
    println!(
        "{} SOL in key {keeper}, {} SOL wrapped in {account}",
        sol(balance_of_key),
        sol(wrapped)
    );
    match decided {
        None => println!("Nothing to do."),
        Some(Decided { unwrapped, kept }) => {
            let verb = if done { "unwrapped" } else { "would be unwrapped" };
            println!("{} SOL {verb}, {} SOL stay wrapped", sol(unwrapped), sol(kept));
            if !done {
                println!("Nothing was done; --yes does it.");
            }
        }
    }
    Ok(ending(decided))
}

fn ending(decided: Option<Decided>) -> Ending {
    if decided.is_some() { Ending::Done } else { Ending::NothingToDo }
}

/// How much to unwrap: nothing while the key has at least `below`; all but `keep`
/// otherwise.
fn decide(balance: u64, wrapped: u64, below: Option<u64>, keep: Option<u64>) -> Option<Decided> {
    let keep = keep.unwrap_or(0);
    let is_wanted = below.is_none_or(|below| balance < below);
    let unwrapped = wrapped.checked_sub(keep).filter(|rest| *rest > 0 && is_wanted)?;
    Some(Decided { unwrapped, kept: keep })
}

/// Closing the account turns everything in it into lamports, in one transaction with
/// opening it again: liquidations need it. Its rent goes out and in.
fn instructions(keeper: &Address, account: &Address, decided: Decided) -> Vec<Instruction> {
    let mut all = vec![
        close_account(account, keeper, &TOKEN_PROGRAM_ID),
        create_associated_token_account(keeper, keeper, &NATIVE_MINT, &TOKEN_PROGRAM_ID),
    ];
    if decided.kept > 0 {
        all.push(solana_system_interface::instruction::transfer(keeper, account, decided.kept));
        all.push(sync_native(account));
    }
    all
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_rule_says_when_and_how_much() {
        let decided = |unwrapped, kept| Some(Decided { unwrapped, kept });
        assert_eq!(decide(5, 100, None, None), decided(100, 0));
        assert_eq!(decide(5, 100, Some(6), Some(30)), decided(70, 30));
        // Enough in the key, nothing beyond what stays, nothing at all.
        assert_eq!(decide(6, 100, Some(6), None), None);
        assert_eq!(decide(5, 30, None, Some(30)), None);
        assert_eq!(decide(5, 0, None, None), None);
    }
}
