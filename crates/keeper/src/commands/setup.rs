use anyhow::{Context as _, Result, bail};
use flash_liquidator_client::{
    klend::ReserveAddresses,
    lookup_table::{self, MAX_ADDRESSES},
    receiver::swap_authority,
    token::{TOKEN_PROGRAM_ID, create_associated_token_account},
};
use serde_json::json;
use solana_address::Address;
use solana_instruction::Instruction;
use solana_signer::Signer;

use super::{Context, print_json, sweep};
use crate::{
    book::market::Market,
    cli::SetupArgs,
    feeds::source::{Rpc, Source},
    format::{Section, tokens},
    keys::Key,
    land::{
        attempt::{require_consent, send_instructions},
        deliver::wait_for_finality,
    },
    route::venue::balance,
};

/// Lamports that keep a token account rent exempt.
const TOKEN_ACCOUNT_RENT: u64 = 2_039_280;
/// Lamports that keep an account of `len` bytes rent exempt.
const fn rent(len: u64) -> u64 {
    (len + 128) * 6_960
}
/// Bytes of a lookup table before its addresses.
const TABLE_HEADER: u64 = 56;
/// Token accounts that fit one transaction.
const CREATIONS_PER_TRANSACTION: usize = 6;
/// Slots until a retired table may be closed, with some to spare.
const TABLE_RETIREMENT_SLOTS: u64 = 520;

/// `keeper setup`.
pub fn run(context: &Context, args: &SetupArgs) -> Result<()> {
    let source = &*context.source;
    let rpc = source.rpc().context("setup needs an RPC node: a fork has nothing to keep")?;
    let key = Key::load(&args.signer, true)?;
    if args.undo { undo(context, rpc, &key, args) } else { make(context, rpc, &key, args) }
}

/// The reserves chosen, or all of the market's.
fn reserves(market: &Market, chosen: &[Address]) -> Result<Vec<ReserveAddresses>> {
    let all = market.reserves()?;
    if let Some(unknown) = chosen.iter().find(|key| all.iter().all(|(at, _)| at != *key)) {
        bail!("reserve {unknown} is not in market {}", market.key);
    }
    Ok(all
        .iter()
        .filter(|(key, _)| chosen.is_empty() || chosen.contains(key))
        .map(|(key, reserve)| ReserveAddresses::read(key, reserve))
        .collect())
}

/// Creations of the token accounts that liquidations of these reserves use: the
/// keeper's of token and cToken, and the swap authority's of the token.
fn creations(keeper: &Address, reserves: &[ReserveAddresses]) -> Vec<Instruction> {
    let (authority, _) = swap_authority(keeper);
    let mut creations: Vec<Instruction> = Vec::new();
    for reserve in reserves {
        for (owner, mint, program) in [
            (keeper, &reserve.liquidity_mint, &reserve.liquidity_token_program),
            (keeper, &reserve.ctoken_mint, &TOKEN_PROGRAM_ID),
            (&authority, &reserve.liquidity_mint, &reserve.liquidity_token_program),
        ] {
            let creation = create_associated_token_account(keeper, owner, mint, program);
            if !creations.contains(&creation) {
                creations.push(creation);
            }
        }
    }
    creations
}

fn make(context: &Context, rpc: &Rpc, keeper_key: &Key, args: &SetupArgs) -> Result<()> {
    let keeper = keeper_key.pubkey();
    let market = Market::load(rpc, &args.market)?;
    let reserves = reserves(&market, &args.reserves)?;
    let creations = creations(&keeper, &reserves);
    let addresses = lookup_table::for_reserves(&keeper, &reserves);
    let tables: Vec<&[Address]> = addresses.chunks(MAX_ADDRESSES).collect();
    let keys: Vec<Address> = creations.iter().map(|creation| creation.accounts[1].pubkey).collect();
    let there = rpc.accounts(&keys)?;
    let missing: Vec<Instruction> = creations
        .into_iter()
        .zip(there)
        .filter_map(|(creation, account)| account.is_none().then_some(creation))
        .collect();

    let account_rent = TOKEN_ACCOUNT_RENT * missing.len() as u64;
    let table_rent: u64 =
        tables.iter().map(|table| rent(TABLE_HEADER + 32 * table.len() as u64)).sum();
    let sol = |lamports: u64| format!("{} SOL", tokens(lamports, 9));
    if !context.json {
        let mut section = Section::new(format!("Setup of keeper {keeper}"));
        section
            .row("reserves", reserves.len().to_string())
            .row("token accounts missing", missing.len().to_string())
            .row("their rent", sol(account_rent))
            .row("lookup tables", format!("{} with {} addresses", tables.len(), addresses.len()))
            .row("their rent", sol(table_rent))
            .row("together", format!("{} and fees", sol(account_rent + table_rent)))
            .row(
                "refunded by --undo",
                "all of it; what lies in the swap authority's accounts is swept",
            );
        section.print();
    }
    if !args.yes {
        if context.json {
            print_json(&json!({
                "keeper": keeper.to_string(),
                "tokenAccounts": missing.len(),
                "tokenAccountRent": account_rent,
                "tableCount": tables.len(),
                "tableAddresses": addresses.len(),
                "tableRent": table_rent,
                "done": false,
            }))?;
        } else {
            println!("Nothing was done; --yes does it.");
        }
        return Ok(());
    }
    require_consent(rpc, args.yes, "--yes")?;
    for chunk in missing.chunks(CREATIONS_PER_TRANSACTION) {
        send_instructions(rpc, keeper_key, chunk)?;
    }
    let mut made = Vec::new();
    for addresses in tables {
        made.push(create_table(rpc, keeper_key, addresses)?);
    }
    // Leaders look tables up in the newest block that is finalized: until the table is in
    // it, they drop every transaction that uses it without a word.
    let finalized = match made.last() {
        Some((_, signature)) => {
            if !context.json {
                println!("Waiting until the lookup tables are finalized ...");
            }
            wait_for_finality(rpc, signature)
        }
        None => true,
    };
    let tables: Vec<Address> = made.into_iter().map(|(table, _)| table).collect();
    if context.json {
        return print_json(&json!({
            "keeper": keeper.to_string(),
            "tokenAccounts": missing.len(),
            "tables": tables.iter().map(ToString::to_string).collect::<Vec<_>>(),
            "tableAddresses": addresses.len(),
            "finalized": finalized,
            "done": true,
        }));
    }
    println!("Pass these with --table, or in `tables` of the configuration:");
    for table in tables {
        println!("  lookup table {table}");
    }
    if !finalized {
        println!(
            "They are not finalized yet: transactions that use them may be dropped until then."
        );
    }
    Ok(())
}

/// Makes a lookup table of these addresses, in as many transactions as it takes; returns
/// its key and the signature of the last of them.
fn create_table(rpc: &Rpc, key: &Key, addresses: &[Address]) -> Result<(Address, String)> {
    let keeper = key.pubkey();
    // The newest slot may not be in the recent ones yet.
    let slot = rpc.clock()?.slot.saturating_sub(1);
    let (transactions, table) = lookup_table::create_and_extend(&keeper, &keeper, slot, addresses);
    let mut signature = String::new();
    for instructions in transactions {
        signature = send_instructions(rpc, key, &instructions)?;
    }
    Ok((table, signature))
}

/// Sweeps the swap authority's token accounts, closes the keeper's empty ones, and
/// retires, then closes, tables.
fn undo(context: &Context, rpc: &Rpc, keeper_key: &Key, args: &SetupArgs) -> Result<()> {
    let keeper = keeper_key.pubkey();
    let market = Market::load(rpc, &args.market)?;
    let reserves = reserves(&market, &args.reserves)?;
    let mut closings = Vec::new();
    let mut refund = 0;
    for reserve in &reserves {
        for (mint, program) in [
            (&reserve.liquidity_mint, &reserve.liquidity_token_program),
            (&reserve.ctoken_mint, &TOKEN_PROGRAM_ID),
        ] {
            let creation = create_associated_token_account(&keeper, &keeper, mint, program);
            let key = creation.accounts[1].pubkey;
            let account = rpc.accounts(&[key])?.pop().flatten();
            let Some(account) = account.filter(|account| balance(&account.data) == Some(0)) else {
                continue;
            };
            let closing = flash_liquidator_client::token::close_account(&key, &keeper, program);
            if !closings.contains(&closing) {
                refund += account.lamports;
                closings.push(closing);
            }
        }
    }
    // Those of the swap authority are closed by what empties them.
    let swept = sweep::find(rpc, &keeper)?;
    refund += swept.iter().map(|found| found.lamports).sum::<u64>();
    let now = rpc.clock()?.slot;
    let mut notes = Vec::new();
    for key in &args.tables {
        let account = rpc.account("lookup table", key)?;
        let retired = lookup_table::retired_since(&account.owner, &account.data)
            .with_context(|| format!("account {key} is not a lookup table"))?;
        match retired {
            None => {
                closings.push(lookup_table::deactivate(key, &keeper));
                notes.push(format!(
                    "table {key} is retired now; run this again in some {TABLE_RETIREMENT_SLOTS} slots to close it"
                ));
            }
            Some(slot) if slot.saturating_add(TABLE_RETIREMENT_SLOTS) <= now => {
                refund += account.lamports;
                closings.push(lookup_table::close(key, &keeper, &keeper));
            }
            Some(slot) => notes.push(format!(
                "table {key} was retired at slot {slot}; it can be closed from slot {} on",
                slot.saturating_add(TABLE_RETIREMENT_SLOTS)
            )),
        }
    }
    if args.yes {
        for instructions in sweep::transactions(rpc, &keeper, &swept)? {
            send_instructions(rpc, keeper_key, &instructions)?;
        }
        for chunk in closings.chunks(CREATIONS_PER_TRANSACTION) {
            send_instructions(rpc, keeper_key, chunk)?;
        }
    }
    if context.json {
        return print_json(&json!({
            "keeper": keeper.to_string(),
            "instructions": closings.len(),
            "swept": swept.len(),
            "refund": refund,
            "notes": notes,
            "done": args.yes,
        }));
    }
    println!(
        "{} accounts to close or retire; {} SOL come back, less fees",
        closings.len() + swept.len(),
        tokens(refund, 9)
    );
    for note in notes {
        println!("  {note}");
    }
    if !args.yes {
        println!("Nothing was done; --yes does it.");
    }
    Ok(())
}
