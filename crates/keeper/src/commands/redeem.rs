use anyhow::{Context as _, Result};
use flash_liquidator_client::{
    klend::{ReserveAddresses, redeem_reserve_collateral, refresh_reserve},
    token::{TOKEN_PROGRAM_ID, associated_token_account, create_associated_token_account},
};
use klend_model::{reserve::ReserveState, table::ReserveTable};
use serde_json::json;
use solana_address::Address;
use solana_instruction::Instruction;
use solana_signer::Signer as _;

use super::{Context, print_json};
use crate::{
    book::market::{Market, symbol},
    cli::RedeemArgs,
    feeds::source::{Rpc, Source as _},
    format::{heading, table, tokens, usd},
    keys::Key,
    land::attempt::{Ending, send_instructions},
    route::venue::balance,
};

/// cTokens that came of a redemption that klend's vault could not pay out in full.
struct Left<'a> {
    state: &'a ReserveState<'a>,
    addresses: ReserveAddresses,
    account: Address,
    ctokens: u64,
    /// As many as the vault can pay out now, and what they bring.
    redeemable: u64,
    liquidity: u64,
}

/// `keeper redeem`.
pub fn run(context: &Context, args: &RedeemArgs) -> Result<Ending> {
    let source = &*context.source;
    let rpc = source.rpc().context("redeem needs an RPC node: a fork has nothing to keep")?;
    let key = Key::load(&args.signer, true)?;
    let keeper = key.pubkey();
    let market = Market::load(rpc, &args.market)?;
    let states = market.table()?;
    let left = find(rpc, &market, &states, &keeper)?;
    let redeemable: Vec<&Left<'_>> = left.iter().filter(|left| left.liquidity > 0).collect();
    let done = args.yes && !redeemable.is_empty();
    if done {
        for left in &redeemable {
            send_instructions(rpc, &key, &instructions(&keeper, left))?;
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

/// The keeper's cTokens of a market's reserves.
fn find<'a>(
    rpc: &Rpc,
    market: &Market,
    states: &'a ReserveTable<'a>,
    keeper: &Address,
) -> Result<Vec<Left<'a>>> {
    let mut all = Vec::new();
    for state in states.reserves() {
        let addresses = ReserveAddresses::read(&state.key, market.reserve(&state.key)?);
        let account = associated_token_account(keeper, &addresses.ctoken_mint, &TOKEN_PROGRAM_ID);
        all.push((state, addresses, account));
    }
    let keys: Vec<Address> = all.iter().map(|(.., account)| *account).collect();
    let mut left = Vec::new();
    for ((state, addresses, account), found) in all.into_iter().zip(rpc.accounts(&keys)?) {
        let Some(ctokens) = found.and_then(|found| balance(&found.data)).filter(|of| *of > 0)
        else {
            continue;
        };
        // What the vault has, in cTokens, rounded down: klend refuses what it cannot pay.
        let payable = state.ctokens_of(state.available)?;
        let redeemable = ctokens.min(payable);
        let liquidity = state.liquidity_of(redeemable)?.floor_u64()?.min(state.available);
        left.push(Left { state, addresses, account, ctokens, redeemable, liquidity });
    }
    Ok(left)
}

fn instructions(keeper: &Address, left: &Left<'_>) -> Vec<Instruction> {
    let reserve = &left.addresses;
    let (mint, program) = (&reserve.liquidity_mint, &reserve.liquidity_token_program);
    let liquidity = associated_token_account(keeper, mint, program);
    vec![
        create_associated_token_account(keeper, keeper, mint, program),
        refresh_reserve(reserve),
        redeem_reserve_collateral(reserve, keeper, &left.account, &liquidity, left.redeemable),
    ]
}

fn print(left: &[Left<'_>], done: bool) -> Result<()> {
    println!("{}", heading("cTokens of the keeper"));
    let rows = left.iter().map(|left| {
        let decimals = left.state.account.liquidity.mint_decimals;
        let value =
            left.state.market_value(klend_model::fraction::Fraction::from_int(left.liquidity));
        Ok(vec![
            symbol(left.state.account),
            left.ctokens.to_string(),
            left.redeemable.to_string(),
            tokens(left.liquidity, decimals),
            usd(value?),
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
