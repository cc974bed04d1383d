//! `keeper setup`: token accounts and lookup tables, made once, and undone.
//!
//! The chain is the record of what was done: run again after whatever interrupted it, it
//! makes what is missing, and fills tables of the keeper's own that were left half made.

use std::collections::BTreeSet;

use anyhow::{Context as _, Result, bail};
use flash_liquidator_client::{
    klend::ReserveAddresses,
    lookup_table::{self, MAX_ADDRESSES, MAX_ADDRESSES_PER_EXTEND},
    receiver::swap_authority,
    token::{TOKEN_PROGRAM_ID, close_account, create_associated_token_account},
    token_2022::{self, Trait},
};
use serde_json::json;
use solana_account::Account;
use solana_address::Address;
use solana_instruction::Instruction;
use solana_message::AddressLookupTableAccount;
use solana_sdk_ids::sysvar;
use solana_signer::Signer;

use super::{Context, print_json, sweep};
use crate::{
    book::{accounts::Accounts, chain::Chain, market::Market, scope::Scope},
    cli::SetupArgs,
    feeds::source::{Rpc, Source},
    format::{Section, tokens},
    keys::Key,
    land::{
        attempt::{Declined, require_consent, send_instructions},
        deliver::wait_for_finality,
        steps::{Step, carry_out},
    },
    route::venue::balance,
};

/// Bytes of a lookup table before its addresses.
const TABLE_HEADER: u64 = 56;
/// Token accounts that fit one transaction.
const CREATIONS_PER_TRANSACTION: usize = 6;
/// Slots until a retired table may be closed, with some to spare, if none is skipped.
const TABLE_RETIREMENT_SLOTS: u64 = 520;
/// Times a table is begun anew whose slot turned out to have no block.
const TABLE_TRIES: usize = 3;
/// Lamports for a signature.
const SIGNATURE_FEE: u64 = 5_000;

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

/// A mint, what is worth knowing of it, and how long its token accounts are.
pub struct MintFacts {
    pub mint: Address,
    pub traits: Vec<Trait>,
    account_len: u64,
}

impl MintFacts {
    /// Its traits in words; `None` if it has none.
    pub fn note(&self) -> Option<String> {
        let words: Vec<String> = self.traits.iter().map(ToString::to_string).collect();
        (!words.is_empty()).then(|| format!("mint {}: {}", self.mint, words.join(", ")))
    }
}

/// The mints of these addresses, each once.
pub fn mint_facts(
    source: &dyn Source,
    mints: impl Iterator<Item = Address>,
) -> Result<Vec<MintFacts>> {
    let mints: Vec<Address> = mints.collect::<BTreeSet<Address>>().into_iter().collect();
    let accounts = source.accounts(&mints)?;
    let facts = mints.into_iter().zip(accounts).filter_map(|(mint, account)| {
        let Account { owner, data, .. } = account?;
        let traits = token_2022::traits(&owner, &data);
        Some(MintFacts { mint, traits, account_len: token_2022::account_len(&owner, &data) })
    });
    Ok(facts.collect())
}

/// Creations of the token accounts that liquidations of these reserves use: the
/// keeper's of token and cToken, and the swap authority's of the token; each with how long
/// the account is.
fn creations(
    keeper: &Address,
    reserves: &[ReserveAddresses],
    facts: &[MintFacts],
) -> Vec<(Instruction, u64)> {
    let (authority, _) = swap_authority(keeper);
    let mut creations: Vec<(Instruction, u64)> = Vec::new();
    for reserve in reserves {
        let ctoken_len = token_2022::account_len(&TOKEN_PROGRAM_ID, &[]);
        let of_mint = facts.iter().find(|facts| facts.mint == reserve.liquidity_mint);
        let len = of_mint.map_or(ctoken_len, |facts| facts.account_len);
        for (owner, mint, program, len) in [
            (keeper, &reserve.liquidity_mint, &reserve.liquidity_token_program, len),
            (keeper, &reserve.ctoken_mint, &TOKEN_PROGRAM_ID, ctoken_len),
            (&authority, &reserve.liquidity_mint, &reserve.liquidity_token_program, len),
        ] {
            let creation = create_associated_token_account(keeper, owner, mint, program);
            if creations.iter().all(|(known, _)| *known != creation) {
                creations.push((creation, len));
            }
        }
    }
    creations
}

/// What belongs into lookup tables: what liquidations between these reserves name, and, where
/// that is wanted, refreshes of their prices.
fn wanted(
    rpc: &Rpc,
    keeper: &Address,
    market: &Market,
    reserves: &[ReserveAddresses],
    args: &SetupArgs,
    notes: &mut Vec<String>,
) -> Result<Vec<Address>> {
    let mut addresses = lookup_table::for_reserves(keeper, reserves);
    if args.refresh_prices {
        let mut scope = Scope::default();
        scope.read(rpc, &[market], &mut Accounts::default())?;
        let chosen = reserves.iter().filter_map(|it| market.reserve(&it.reserve).ok());
        let more = scope.mentioned(chosen);
        let new: Vec<Address> = more.into_iter().filter(|key| !addresses.contains(key)).collect();
        addresses.extend(new);
        let is_chosen = |key: &Address| reserves.iter().any(|it| it.reserve == *key);
        let refusals = scope.refusals().into_iter().filter(|(reserve, _)| is_chosen(reserve));
        notes.extend(refusals.map(|(reserve, why)| format!("price of reserve {reserve}: {why}")));
    }
    Ok(addresses)
}

/// Addresses that go into a table: one that is there, or a new one.
struct Filling {
    table: Option<Address>,
    addresses: Vec<Address>,
}

/// Where `wanted` go that no table of `known` has: first into those that have room.
fn fillings(wanted: &[Address], known: &[AddressLookupTableAccount]) -> Vec<Filling> {
    let mut missing = lookup_table::missing(wanted, known);
    let mut fillings = Vec::new();
    for table in known {
        let room = MAX_ADDRESSES.saturating_sub(table.addresses.len()).min(missing.len());
        if room > 0 {
            let addresses = missing.drain(..room).collect();
            fillings.push(Filling { table: Some(table.key), addresses });
        }
    }
    let new = missing.chunks(MAX_ADDRESSES);
    fillings.extend(new.map(|chunk| Filling { table: None, addresses: chunk.to_vec() }));
    fillings
}

/// Tables in use by the keeper's authority that an earlier run made, or had begun: they
/// hold the swap authority, which no others would, or nothing but `wanted` addresses.
/// `named` are looked at whatever the node lists.
fn own_tables(
    rpc: &Rpc,
    keeper: &Address,
    wanted: &[Address],
    named: &[Address],
    notes: &mut Vec<String>,
) -> Result<Vec<AddressLookupTableAccount>> {
    let mut accounts: Vec<(Address, Account)> = match rpc.lookup_tables(keeper) {
        Ok(accounts) => accounts,
        Err(reason) => {
            notes.push(unlisted(&reason));
            Vec::new()
        }
    };
    let unlisted: Vec<Address> =
        named.iter().filter(|key| accounts.iter().all(|(at, _)| at != *key)).copied().collect();
    for (key, account) in unlisted.iter().zip(rpc.accounts(&unlisted)?) {
        accounts.extend(account.map(|account| (*key, account)));
    }
    let wanted: BTreeSet<&Address> = wanted.iter().collect();
    let (authority, _) = swap_authority(keeper);
    let tables = accounts.iter().filter_map(|(key, account)| {
        let table = lookup_table::read(key, &account.owner, &account.data)?;
        let is_own = table.addresses.contains(&authority)
            || table.addresses.iter().all(|address| wanted.contains(address));
        is_own.then_some(table)
    });
    Ok(tables.collect())
}

fn unlisted(reason: &anyhow::Error) -> String {
    format!(
        "the node does not list lookup tables ({reason:#}): name those of an earlier run with --table"
    )
}

fn make(context: &Context, rpc: &Rpc, keeper_key: &Key, args: &SetupArgs) -> Result<()> {
    let keeper = keeper_key.pubkey();
    let market = Market::load(rpc, &args.market)?;
    let mut reserves = reserves(&market, &args.reserves)?;
    let facts = mint_facts(rpc, reserves.iter().map(|reserve| reserve.liquidity_mint))?;
    let mut notes: Vec<String> = facts.iter().filter_map(MintFacts::note).collect();
    // Rent for accounts that cannot be used is not paid.
    let is_usable = |mint: &Address| {
        let known = facts.iter().find(|facts| facts.mint == *mint);
        known.is_none_or(|facts| facts.traits.iter().all(|one| !one.forbids()))
    };
    reserves.retain(|reserve| {
        let usable = is_usable(&reserve.liquidity_mint);
        if !usable {
            notes.push(format!("reserve {} is left out: its mint is of no use", reserve.reserve));
        }
        usable
    });
    let creations = creations(&keeper, &reserves, &facts);
    let addresses = wanted(rpc, &keeper, &market, &reserves, args, &mut notes)?;
    let known = own_tables(rpc, &keeper, &addresses, &args.tables, &mut notes)?;
    let fillings = fillings(&addresses, &known);
    let keys: Vec<Address> =
        creations.iter().map(|(creation, _)| creation.accounts[1].pubkey).collect();
    let there = rpc.accounts(&keys)?;
    let missing: Vec<(Instruction, u64)> = creations
        .into_iter()
        .zip(there)
        .filter_map(|(creation, account)| account.is_none().then_some(creation))
        .collect();

    let mut chain = Chain::default();
    chain.read_rent(&rpc.account("rent sysvar", &sysvar::rent::ID)?)?;
    let rent = |len: u64| chain.rent(len).context("the rent is beyond all bounds");
    let account_rent = missing.iter().map(|(_, len)| rent(*len)).sum::<Result<u64>>()?;
    let bytes = |filling: &Filling| 32 * filling.addresses.len() as u64;
    let of_table = |filling: &Filling| match filling.table {
        Some(_) => Ok(rent(bytes(filling))? - rent(0)?),
        None => rent(TABLE_HEADER + bytes(filling)),
    };
    let table_rent = fillings.iter().map(of_table).sum::<Result<u64>>()?;
    let transactions = missing.len().div_ceil(CREATIONS_PER_TRANSACTION)
        + fillings
            .iter()
            .map(|filling| 1 + filling.addresses.len() / MAX_ADDRESSES_PER_EXTEND)
            .sum::<usize>();
    let needed = account_rent + table_rent + SIGNATURE_FEE * transactions as u64 + rent(0)?;
    let lamports = rpc.accounts(&[keeper])?.pop().flatten().map_or(0, |wallet| wallet.lamports);

    let new = fillings.iter().filter(|filling| filling.table.is_none()).count();
    let unfilled: usize = fillings.iter().map(|filling| filling.addresses.len()).sum();
    let sol = |lamports: u64| format!("{} SOL", tokens(lamports, 9));
    if !context.json {
        let mut section = Section::new(format!("Setup of keeper {keeper}"));
        section
            .row("reserves", reserves.len().to_string())
            .row("token accounts missing", missing.len().to_string())
            .row("their rent", sol(account_rent))
            .row(
                "lookup tables",
                format!("{} there, {new} new, {unfilled} addresses missing", known.len()),
            )
            .row("their rent", sol(table_rent))
            .row("together", format!("{} and fees", sol(account_rent + table_rent)))
            .row("the key has", sol(lamports))
            .row(
                "refunded by --undo",
                "all of it; what lies in the swap authority's accounts is swept",
            );
        section.print();
        notes.iter().for_each(|note| println!("  {note}"));
    }
    if !args.yes {
        if context.json {
            print_json(&json!({
                "keeper": keeper.to_string(),
                "tokenAccounts": missing.len(),
                "tokenAccountRent": account_rent,
                "tableCount": new,
                "tableAddresses": unfilled,
                "tableRent": table_rent,
                "needed": needed,
                "lamports": lamports,
                "notes": notes,
                "done": false,
            }))?;
        } else {
            println!("Nothing was done; --yes does it.");
        }
        return Ok(());
    }
    require_consent(rpc, args.yes, "--yes")?;
    if lamports < needed {
        bail!(
            "{keeper} has {}, and {} are needed with fees: nothing was sent",
            sol(lamports),
            sol(needed)
        );
    }
    let steps: Vec<Step> = missing
        .iter()
        .map(|(creation, _)| Step {
            what: format!("token account {}", creation.accounts[1].pubkey),
            instructions: vec![creation.clone()],
        })
        .collect();
    let failed = carry_out(rpc, keeper_key, &steps, CREATIONS_PER_TRANSACTION);
    let (mut tables, mut last) = (Vec::new(), None);
    for table in &known {
        tables.push(table.key);
    }
    for filling in &fillings {
        let (table, signature) = fill(rpc, keeper_key, filling)?;
        if filling.table.is_none() {
            tables.push(table);
        }
        last = Some(signature);
    }
    // Leaders look tables up in the newest block that is finalized: until the table is in
    // it, they drop every transaction that uses it without a word.
    let finalized = match last {
        Some(signature) => {
            if !context.json {
                println!("Waiting until the lookup tables are finalized ...");
            }
            wait_for_finality(rpc, &signature)
        }
        None => true,
    };
    if context.json {
        print_json(&json!({
            "keeper": keeper.to_string(),
            "tokenAccounts": missing.len() - failed.len(),
            "tables": tables.iter().map(ToString::to_string).collect::<Vec<_>>(),
            "tableAddresses": unfilled,
            "finalized": finalized,
            "notes": notes,
            "failed": failed,
            "done": failed.is_empty(),
        }))?;
    } else {
        println!("Pass these with --table, or in `tables` of the configuration:");
        for table in tables {
            println!("  lookup table {table}");
        }
        if !finalized {
            println!(
                "They are not finalized yet: transactions that use them may be dropped until then."
            );
        }
    }
    if !failed.is_empty() {
        bail!("{} could not be made:\n  {}", failed.len(), failed.join("\n  "));
    }
    Ok(())
}

/// The newest slot that had a block, as tables are made with.
fn recent_slot(rpc: &Rpc) -> Result<u64> {
    let hashes = rpc.account("slot hashes", &sysvar::slot_hashes::ID)?;
    // How many, then slot and hash of each, the newest first.
    let slot = hashes.data.get(8..).and_then(|rest| rest.first_chunk().copied());
    slot.map(u64::from_le_bytes)
        .filter(|slot| *slot > 0)
        .context("no slot is known to have a block")
}

/// Slots of which it is known that they had a block, the newest 512.
fn recent_slots(rpc: &Rpc) -> Result<BTreeSet<u64>> {
    let hashes = rpc.account("slot hashes", &sysvar::slot_hashes::ID)?;
    let entries = hashes.data.get(8..).unwrap_or_default().chunks_exact(40);
    Ok(entries.filter_map(|entry| entry.first_chunk().copied().map(u64::from_le_bytes)).collect())
}

/// Puts addresses into a table, in as many transactions as it takes; returns its key and
/// the signature of the last of them.
fn fill(rpc: &Rpc, key: &Key, filling: &Filling) -> Result<(Address, String)> {
    let keeper = key.pubkey();
    let mut signature = String::new();
    if let Some(table) = filling.table {
        for chunk in filling.addresses.chunks(MAX_ADDRESSES_PER_EXTEND) {
            let extension = lookup_table::extend(&table, &keeper, &keeper, chunk);
            signature = send_instructions(rpc, key, &[extension])?;
        }
        return Ok((table, signature));
    }
    for attempt in 1.. {
        let slot = recent_slot(rpc)?;
        let (transactions, table) =
            lookup_table::create_and_extend(&keeper, &keeper, slot, &filling.addresses);
        let mut transactions = transactions.iter();
        let Some(first) = transactions.next() else { break };
        match send_instructions(rpc, key, first) {
            Ok(sent) => signature = sent,
            // Another fork won, or too much time passed.
            Err(error) if error.is::<Declined>() && attempt < TABLE_TRIES => {
                eprintln!("lookup table with slot {slot}: {error:#}; again with another");
                continue;
            }
            Err(error) => return Err(error),
        }
        for instructions in transactions {
            let sent = send_instructions(rpc, key, instructions);
            signature = sent.with_context(|| {
                format!("lookup table {table} is half made: run setup again, which goes on with it")
            })?;
        }
        return Ok((table, signature));
    }
    bail!("no lookup table was made")
}

/// Sweeps the swap authority's token accounts, closes the keeper's empty ones, and
/// retires, then closes, tables. Names what is left, and why.
fn undo(context: &Context, rpc: &Rpc, keeper_key: &Key, args: &SetupArgs) -> Result<()> {
    let keeper = keeper_key.pubkey();
    let market = Market::load(rpc, &args.market)?;
    let reserves = reserves(&market, &args.reserves)?;
    let (mut steps, mut notes) = (Vec::new(), Vec::new());
    let mut refund = 0;
    let mut seen = BTreeSet::new();
    for reserve in &reserves {
        for (mint, program) in [
            (&reserve.liquidity_mint, &reserve.liquidity_token_program),
            (&reserve.ctoken_mint, &TOKEN_PROGRAM_ID),
        ] {
            let creation = create_associated_token_account(&keeper, &keeper, mint, program);
            let key = creation.accounts[1].pubkey;
            if !seen.insert(key) {
                continue;
            }
            let Some(account) = rpc.accounts(&[key])?.pop().flatten() else { continue };
            match balance(&account.data) {
                Some(0) => {}
                Some(units) => {
                    notes.push(format!("{key} is left: it holds {units} raw units of mint {mint}"));
                    continue;
                }
                None => {
                    notes.push(format!("{key} is left: it is no token account"));
                    continue;
                }
            }
            let mut instructions = Vec::new();
            // Fees that others' transfers left in it are the mint's, and keep it open.
            if token_2022::withheld(&account.owner, &account.data) > 0 {
                instructions.push(token_2022::harvest_withheld(mint, &key));
            }
            instructions.push(close_account(&key, &keeper, program));
            refund += account.lamports;
            steps.push(Step { what: format!("token account {key}"), instructions });
        }
    }
    // Those of the swap authority are closed by what empties them.
    let swept = sweep::find(rpc, &keeper)?;
    refund += swept.iter().map(|found| found.lamports).sum::<u64>();
    let now = rpc.clock()?.slot;
    // A table that was retired can be closed once its slot is not among the recent ones,
    // and that takes longer where slots were skipped.
    let recent = if args.tables.is_empty() { BTreeSet::new() } else { recent_slots(rpc)? };
    for (key, account) in args.tables.iter().zip(rpc.accounts(&args.tables)?) {
        let Some(account) = account else {
            notes.push(format!("table {key} is gone already"));
            continue;
        };
        let what = format!("lookup table {key}");
        match lookup_table::retired_since(&account.owner, &account.data) {
            None => notes.push(format!("account {key} is not a lookup table")),
            Some(None) => {
                let instructions = vec![lookup_table::deactivate(key, &keeper)];
                steps.push(Step { what, instructions });
                notes.push(format!(
                    "table {key} is retired now; run this again in some {TABLE_RETIREMENT_SLOTS} slots to close it"
                ));
            }
            Some(Some(slot)) => {
                let from = slot.saturating_add(TABLE_RETIREMENT_SLOTS);
                if from <= now && !recent.contains(&slot) {
                    refund += account.lamports;
                    let instructions = vec![lookup_table::close(key, &keeper, &keeper)];
                    steps.push(Step { what, instructions });
                } else {
                    notes.push(format!(
                        "table {key} was retired at slot {slot}; it can be closed from slot {from} on, later where slots are skipped"
                    ));
                }
            }
        }
    }
    // Whatever they were made for: their rent is the keeper's.
    match rpc.lookup_tables(&keeper) {
        Ok(tables) => {
            for (table, account) in tables {
                let does = match lookup_table::retired_since(&account.owner, &account.data) {
                    _ if args.tables.contains(&table) => continue,
                    Some(Some(_)) => "closes",
                    _ => "retires",
                };
                notes.push(format!("table {table} is left: --table {table} {does} it"));
            }
        }
        Err(reason) => notes.push(unlisted(&reason)),
    }
    let mut failed = Vec::new();
    if args.yes {
        if !swept.is_empty() {
            args.program.require(rpc)?;
        }
        match sweep::carry_out(rpc, keeper_key, &swept) {
            Ok(left) => failed.extend(left),
            Err(why) => failed.push(format!("accounts of the swap authority: {why:#}")),
        }
        failed.extend(carry_out(rpc, keeper_key, &steps, CREATIONS_PER_TRANSACTION));
    }
    if context.json {
        print_json(&json!({
            "keeper": keeper.to_string(),
            "instructions": steps.iter().map(|step| step.instructions.len()).sum::<usize>(),
            "swept": swept.len(),
            "refund": refund,
            "notes": notes,
            "failed": failed,
            "done": args.yes && failed.is_empty(),
        }))?;
    } else {
        println!(
            "{} accounts to close or retire; {} SOL come back, less fees",
            steps.len() + swept.len(),
            tokens(refund, 9)
        );
        for note in notes {
            println!("  {note}");
        }
        if !args.yes {
            println!("Nothing was done; --yes does it.");
        }
    }
    if !failed.is_empty() {
        bail!("{} are left:\n  {}", failed.len(), failed.join("\n  "));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn keys(from: u32, to: u32) -> Vec<Address> {
        let key = |number: u32| {
            let mut bytes = [1; 32];
            bytes[..4].copy_from_slice(&number.to_le_bytes());
            Address::new_from_array(bytes)
        };
        (from..to).map(key).collect()
    }

    #[test]
    fn a_table_that_was_left_half_made_is_filled_before_another_is_made() {
        let wanted = keys(0, 300);
        let table = |number, addresses| AddressLookupTableAccount {
            key: Address::new_from_array([number; 32]),
            addresses,
        };
        let shape = |known: &[AddressLookupTableAccount]| -> Vec<(bool, usize)> {
            let fillings = fillings(&wanted, known);
            fillings.iter().map(|it| (it.table.is_some(), it.addresses.len())).collect()
        };
        assert_eq!(shape(&[]), [(false, 256), (false, 44)]);
        assert_eq!(shape(&[table(9, keys(0, 25))]), [(true, 231), (false, 44)]);
        let full = table(8, keys(0, 256));
        assert_eq!(shape(std::slice::from_ref(&full)), [(false, 44)]);
        assert_eq!(shape(&[full.clone(), table(9, Vec::new())]), [(true, 44)]);
        assert!(shape(&[full, table(9, keys(256, 300))]).is_empty());
    }
}
