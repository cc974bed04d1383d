use std::{collections::BTreeSet, path::Path, sync::Mutex};

use anyhow::{Result, anyhow};
use flash_liquidator_client::{
    klend::{ObligationAddresses, ObligationFarms, ReserveAddresses},
    receiver, token,
};
use klend_fork::Snapshot;
use klend_model::{
    accounts,
    constants::{FARMS_PROGRAM_ID, KLEND_PROGRAM_ID},
    keys::to_address,
};
use serde_json::json;
use solana_account::Account;
use solana_address::Address;

use super::{Context, print_json};
use crate::{
    book::market::Market,
    feeds::source::{Filter, program_data_address},
};

/// `keeper fork`.
pub fn run(
    context: &Context,
    obligation: Option<&Address>,
    market: Option<&Address>,
    out: &Path,
) -> Result<()> {
    let source = &*context.source;
    if out.exists() {
        return Err(anyhow!("{} is there already", out.display()));
    }
    let mut wanted = BTreeSet::new();
    let mut obligations = Vec::new();
    let market_key = match (obligation, market) {
        (Some(key), _) => {
            let account = source.account("obligation", key)?;
            let market = to_address(
                &accounts::obligation(key, &account.owner, &account.data)?.lending_market,
            );
            obligations.push((*key, account));
            market
        }
        (None, Some(market)) => *market,
        (None, None) => return Err(anyhow!("give --obligation or --market")),
    };
    let market = Market::load(source, &market_key)?;
    if obligation.is_none() {
        let found = Mutex::new(Vec::new());
        let visit = |_, key: &Address, account: &Account| {
            if let Ok(mut found) = found.lock() {
                found.push((*key, account.clone()));
            }
        };
        source.visit_obligations(&market_key, &|_, _| (), &visit)?;
        obligations = found.into_inner().map_err(|_| anyhow!("a reading thread broke down"))?;
    }

    wanted.insert(market_key);
    wanted.extend(market.oracle_keys()?);
    let mut reserves = Vec::new();
    for (key, reserve) in market.reserves()? {
        let addresses = ReserveAddresses::read(&key, reserve);
        wanted.extend([
            key,
            addresses.liquidity_mint,
            addresses.liquidity_supply_vault,
            addresses.fee_vault,
            addresses.ctoken_mint,
            addresses.collateral_supply_vault,
        ]);
        wanted.extend(addresses.collateral_farm.into_iter().chain(addresses.debt_farm));
        reserves.push(addresses);
    }
    for (key, account) in &obligations {
        let obligation = accounts::obligation(key, &account.owner, &account.data)?;
        let used = ObligationAddresses::read(key, obligation);
        let borrowed = used
            .borrow_reserves
            .iter()
            .map(|key| market.reserve(key))
            .collect::<Result<Vec<_>>>()?;
        let states = used.referrer_token_states(market.lending_market()?, borrowed);
        wanted.extend(states.iter().map(|state| state.address));
        for addresses in &reserves {
            let is = |list: &[Address]| list.contains(&addresses.reserve);
            let farms = ObligationFarms::read(key, addresses, addresses);
            let collateral = farms.collateral.filter(|_| is(&used.deposit_reserves));
            let debt = farms.debt.filter(|_| is(&used.borrow_reserves));
            wanted.extend(collateral.into_iter().chain(debt).map(|(stake, _)| stake));
        }
    }
    wanted.extend(stand_in_pools(source, &reserves)?);
    wanted.extend([
        KLEND_PROGRAM_ID,
        FARMS_PROGRAM_ID,
        receiver::PROGRAM_ID,
        flash_liquidator_client::swap::stand_in::PROGRAM_ID,
    ]);

    let clock = source.clock()?;
    let mut snapshot = Snapshot {
        slot: clock.slot,
        unix_timestamp: i64::try_from(clock.unix_timestamp)?,
        klend: Some(market.klend),
        ..Snapshot::default()
    };
    let keys: Vec<Address> = wanted.into_iter().collect();
    let mut code = Vec::new();
    let mut absent = Vec::new();
    for (key, account) in keys.iter().zip(source.accounts(&keys)?) {
        let Some(account) = account else {
            absent.push(*key);
            continue;
        };
        code.extend(program_data_address(&account));
        snapshot.accounts.insert(*key, account);
    }
    for (key, account) in code.iter().zip(source.accounts(&code)?) {
        snapshot.accounts.extend(account.map(|account| (*key, account)));
    }
    let count = obligations.len();
    snapshot.accounts.extend(obligations);
    snapshot.write(out)?;

    if context.json {
        return print_json(&json!({
            "folder": out.display().to_string(),
            "market": market_key.to_string(),
            "slot": clock.slot,
            "accounts": snapshot.accounts.len(),
            "obligations": count,
            "absent": absent.iter().map(ToString::to_string).collect::<Vec<_>>(),
        }));
    }
    println!(
        "{}: {} accounts of market {market_key}, {count} obligations among them, slot {}",
        out.display(),
        snapshot.accounts.len(),
        clock.slot
    );
    for key in absent {
        println!("  not there: {key}");
    }
    Ok(())
}

/// Pools that a fork's collateral is sold in, with their vaults.
fn stand_in_pools(
    source: &dyn crate::feeds::source::Source,
    reserves: &[ReserveAddresses],
) -> Result<Vec<Address>> {
    use flash_liquidator_client::swap::stand_in;
    let filter = Filter::at_least(stand_in::POOL_LEN);
    let mut keys = Vec::new();
    for (pool, _) in source.program_accounts(&stand_in::PROGRAM_ID, filter)? {
        let authority = stand_in::pool_authority(&pool);
        let vaults: Vec<Address> = reserves
            .iter()
            .map(|reserve| {
                token::associated_token_account(
                    &authority,
                    &reserve.liquidity_mint,
                    &reserve.liquidity_token_program,
                )
            })
            .collect();
        for (vault, account) in vaults.iter().zip(source.accounts(&vaults)?) {
            keys.extend(account.map(|_| *vault));
        }
        keys.push(pool);
    }
    Ok(keys)
}
