//! What the path needs beside a market's own accounts: read before an obligation can
//! be liquidated, not when it is.

use std::collections::BTreeSet;

use anyhow::Result;
use flash_liquidator_client::{
    klend::{self, ObligationAddresses, ObligationFarms, ReserveAddresses},
    receiver::{self, swap_authority},
    token::{
        ASSOCIATED_TOKEN_PROGRAM_ID, TOKEN_2022_PROGRAM_ID, TOKEN_PROGRAM_ID,
        associated_token_account,
    },
};
use solana_address::Address;

use super::{traded::traded, venue::Venue};
use crate::book::{accounts::Accounts, market::Market, pools::Pools};

/// Accounts that any liquidation in a market may name: mints, vaults, farms, and the
/// token accounts of the keeper and its swap authority.
pub fn of_market(market: &Market, keeper: &Address) -> Result<Vec<Address>> {
    let (authority, _) = swap_authority(keeper);
    let mut needs = vec![
        *keeper,
        klend::PROGRAM_ID,
        klend::FARMS_PROGRAM_ID,
        receiver::PROGRAM_ID,
        TOKEN_PROGRAM_ID,
        TOKEN_2022_PROGRAM_ID,
        ASSOCIATED_TOKEN_PROGRAM_ID,
    ];
    for (key, reserve) in market.reserves()? {
        let reserve = ReserveAddresses::read(&key, reserve);
        let (mint, program) = (&reserve.liquidity_mint, &reserve.liquidity_token_program);
        needs.extend([
            reserve.lending_market_authority,
            reserve.liquidity_mint,
            reserve.liquidity_supply_vault,
            reserve.fee_vault,
            reserve.ctoken_mint,
            reserve.collateral_supply_vault,
            associated_token_account(keeper, mint, program),
            associated_token_account(keeper, &reserve.ctoken_mint, &TOKEN_PROGRAM_ID),
            associated_token_account(&authority, mint, program),
        ]);
        needs.extend(reserve.collateral_farm.into_iter().chain(reserve.debt_farm));
    }
    needs.push(authority);
    Ok(needs)
}

/// Mints of a market whose authority may change what can be done with them.
pub fn mutable_mints(market: &Market) -> Result<Vec<Address>> {
    let reserves = market.reserves()?.into_iter();
    let reserves = reserves.map(|(key, reserve)| ReserveAddresses::read(&key, reserve));
    let mutable = reserves.filter(|it| it.liquidity_token_program == TOKEN_2022_PROGRAM_ID);
    Ok(mutable.map(|reserve| reserve.liquidity_mint).collect())
}

/// Accounts that liquidations of one obligation may name besides: its stakes in farms, and
/// its referrer's states.
pub fn of_obligation(market: &Market, obligation: &ObligationAddresses) -> Result<Vec<Address>> {
    let mut needs = Vec::new();
    for reserve in read(market, &obligation.distinct_reserves())? {
        let reserve = &reserve;
        let farms = ObligationFarms::read(&obligation.obligation, reserve, reserve);
        let stakes = farms.collateral.into_iter().chain(farms.debt);
        needs.extend(stakes.map(|(stake, _)| stake));
    }
    let borrowed = obligation
        .borrow_reserves
        .iter()
        .map(|key| market.reserve(key))
        .collect::<Result<Vec<_>>>()?;
    let states = obligation.referrer_token_states(market.lending_market()?, borrowed);
    needs.extend(states.iter().map(|state| state.address));
    Ok(needs)
}

/// What selling the collaterals of some reserves for the debts of others takes.
pub struct OfSwaps {
    /// Accounts that what the pools pay depends on: they move with the price.
    pub around: Vec<Address>,
    /// They, and all that swaps name.
    pub named: Vec<Address>,
}

/// What swaps for an obligation take, as far as `accounts` can tell, beside [`Pools::real`];
/// ask again when those are read, and every pool. It is the same for all that are in the
/// same reserves.
pub fn of_swaps(
    market: &Market,
    obligation: &ObligationAddresses,
    accounts: &Accounts,
    pools: &Pools,
    keeper: &Address,
) -> Result<OfSwaps> {
    let (sold, bought) =
        (read(market, &obligation.deposit_reserves)?, read(market, &obligation.borrow_reserves)?);
    let traded = traded(accounts, &sold, &bought, pools);
    let around = Venue::needs(accounts, &traded, pools);
    let mut named = around.clone();
    // A pool that is none is said when it is asked about.
    let venue = Venue::of(&traded, accounts, (&sold, &bought), pools, market.clock, 0);
    if let Ok(venue) = venue {
        named.extend(venue.mentions(keeper));
    }
    let pairs = sold
        .iter()
        .flat_map(|from| bought.iter().map(move |to| (from.liquidity_mint, to.liquidity_mint)));
    for offer in pairs.filter_map(|pair| pools.offers.get(&pair)).flatten() {
        named.extend(offer.accounts());
    }
    // The programs of the pools, for the local machine.
    let owners = named.iter().filter_map(|key| Some(accounts.get(key)?.owner));
    let owners: BTreeSet<Address> = owners.collect();
    named.extend(owners);
    Ok(OfSwaps { around, named })
}

fn read(market: &Market, keys: &[Address]) -> Result<Vec<ReserveAddresses>> {
    keys.iter().map(|key| Ok(ReserveAddresses::read(key, market.reserve(key)?))).collect()
}
