use anyhow::{Context as _, Result, bail};
use flash_liquidator_client::{
    receiver::{Swept, swap_authority, sweep},
    token::{self, associated_token_account, create_associated_token_account},
    token_2022,
};
use serde_json::json;
use solana_address::Address;
use solana_signer::Signer;

use super::{Context, print_json};
use crate::{
    cli::SweepArgs,
    feeds::source::{Rpc, Source},
    format::tokens,
    keys::Key,
    land::steps::{self, Step},
    route::venue::balance,
};

/// Token accounts that one transaction empties: each names four accounts, and creates the
/// keeper's own where there is none.
const SWEPT_PER_TRANSACTION: usize = 4;

/// A token account of the swap authority, and what comes of it.
pub struct Found {
    /// What `sweep` is told.
    pub swept: Swept,
    /// Raw units in it.
    pub units: u64,
    /// Raw units of fees that others' transfers left in it: they are the mint's, and keep it
    /// open.
    pub withheld: u64,
    /// Its lamports.
    pub lamports: u64,
}

/// `keeper sweep`.
pub fn run(context: &Context, args: &SweepArgs) -> Result<()> {
    let source = &*context.source;
    let rpc = source.rpc().context("sweep needs an RPC node: a fork has nothing to keep")?;
    let key = Key::load(&args.signer, true)?;
    let found = find(rpc, &key.pubkey())?;
    let mut failed = Vec::new();
    if args.yes && !found.is_empty() {
        args.program.require(rpc)?;
        failed = carry_out(rpc, &key, &found)?;
    }
    let lamports: u64 = found.iter().map(|found| found.lamports).sum();
    if context.json {
        let accounts: Vec<_> = found
            .iter()
            .map(|found| {
                json!({
                    "account": found.swept.swap_account.to_string(),
                    "mint": found.swept.mint.to_string(),
                    "units": found.units,
                    "lamports": found.lamports,
                })
            })
            .collect();
        print_json(&json!({
            "keeper": key.pubkey().to_string(),
            "accounts": accounts,
            "lamports": lamports,
            "failed": failed,
            "done": args.yes && failed.is_empty(),
        }))?;
    } else {
        for found in &found {
            println!(
                "{} raw units of {} in {}",
                found.units, found.swept.mint, found.swept.swap_account
            );
        }
        println!(
            "{} token accounts of the swap authority; they hold {} SOL, rent included",
            found.len(),
            tokens(lamports, 9)
        );
        if !args.yes {
            println!("Nothing was done; --yes does it.");
        }
    }
    if !failed.is_empty() {
        bail!("{} are left:\n  {}", failed.len(), failed.join("\n  "));
    }
    Ok(())
}

/// Every token account of the keeper's swap authority, whoever made it.
pub fn find(rpc: &Rpc, keeper: &Address) -> Result<Vec<Found>> {
    let (authority, _) = swap_authority(keeper);
    let mut found = Vec::new();
    for program in [token::TOKEN_PROGRAM_ID, token::TOKEN_2022_PROGRAM_ID] {
        for (key, account) in rpc.token_accounts(&authority, &program)? {
            let mint = account.data.first_chunk().copied().map(Address::new_from_array);
            let (mint, units) = mint
                .zip(balance(&account.data))
                .with_context(|| format!("account {key} is no token account"))?;
            let keeper_account = associated_token_account(keeper, &mint, &program);
            let swept = Swept { swap_account: key, keeper_account, mint, token_program: program };
            let withheld = token_2022::withheld(&program, &account.data);
            found.push(Found { swept, units, withheld, lamports: account.lamports });
        }
    }
    Ok(found)
}

/// Sweeps them, several in one transaction; the keeper's own accounts are created where
/// they are missing, and withheld fees go to their mints. Returns those that are left, and why.
pub fn carry_out(rpc: &Rpc, key: &Key, found: &[Found]) -> Result<Vec<String>> {
    let keeper = key.pubkey();
    let keys: Vec<Address> = found.iter().map(|found| found.swept.keeper_account).collect();
    let there = rpc.accounts(&keys)?;
    let steps: Vec<Step> = found
        .iter()
        .zip(there)
        .map(|(Found { swept, withheld, .. }, account)| {
            let Swept { swap_account, mint, token_program, .. } = swept;
            let mut instructions = Vec::new();
            if account.is_none() {
                let creation =
                    create_associated_token_account(&keeper, &keeper, mint, token_program);
                instructions.push(creation);
            }
            if *withheld > 0 {
                instructions.push(token_2022::harvest_withheld(mint, swap_account));
            }
            instructions.push(sweep(&keeper, &[*swept]));
            Step { what: format!("account {swap_account} of the swap authority"), instructions }
        })
        .collect();
    Ok(steps::carry_out(rpc, key, &steps, SWEPT_PER_TRANSACTION))
}
