//! Everything that is known, at one moment, for deciding.

use anyhow::{Context as _, Result};
use flash_liquidator_client::klend::ReserveAddresses;
use klend_fork::NATIVE_MINT;
use klend_model::{flash::Lenders, reserve::ReserveState, table::ReserveTable};
use solana_address::Address;

use super::{
    accounts::Accounts,
    chain::Chain,
    market::Market,
    pools::{Pair, Pools},
    scope::Written,
};

/// Markets valued at their moment, and what else is known.
pub struct View<'a> {
    markets: Vec<(&'a Market, ReserveTable<'a>)>,
    /// Who lends, in any of the markets.
    pub lenders: Lenders,
    /// Single accounts.
    pub accounts: &'a Accounts,
    /// The chain.
    pub chain: &'a Chain,
    /// Where collateral may be sold.
    pub pools: &'a Pools,
    /// Prices that the transaction itself writes first: the markets are valued at them.
    pub written: Option<&'a Written>,
}

impl<'a> View<'a> {
    /// Values `markets`; all of them lend.
    ///
    /// # Errors
    /// An account of a market is not what it should be.
    pub fn new(
        markets: impl IntoIterator<Item = &'a Market>,
        accounts: &'a Accounts,
        chain: &'a Chain,
        pools: &'a Pools,
    ) -> Result<Self> {
        Self::behind(None, markets, accounts, chain, pools)
    }

    /// The same behind prices that the transaction writes first.
    ///
    /// # Errors
    /// As [`Self::new`].
    pub fn behind(
        written: Option<&'a Written>,
        markets: impl IntoIterator<Item = &'a Market>,
        accounts: &'a Accounts,
        chain: &'a Chain,
        pools: &'a Pools,
    ) -> Result<Self> {
        let table = written.map(|written| (&written.table, &written.account));
        let markets = markets
            .into_iter()
            .map(|market| Ok((market, market.table_with(table)?)))
            .collect::<Result<Vec<_>>>()?;
        let lenders = Lenders::new(markets.iter().map(|(_, table)| table));
        Ok(Self { markets, lenders, accounts, chain, pools, written })
    }

    /// One of the markets.
    pub fn market(&self, key: &Address) -> Result<(&'a Market, &ReserveTable<'a>)> {
        let market = self.markets.iter().find(|(market, _)| market.key == *key);
        let (market, table) = market.with_context(|| format!("market {key} is not read"))?;
        Ok((market, table))
    }

    /// A reserve of any of the markets, as it was refreshed.
    pub fn reserve(&self, key: &Address) -> Option<&ReserveState<'a>> {
        self.markets.iter().find_map(|(_, table)| table.reserve(key))
    }

    /// Addresses of a reserve of any of the markets.
    pub fn reserve_addresses(&self, key: &Address) -> Result<ReserveAddresses> {
        let known = self.markets.iter().find_map(|(market, _)| market.reserve(key).ok());
        let reserve = known.with_context(|| format!("reserve {key} is in no market read"))?;
        Ok(ReserveAddresses::read(key, reserve))
    }

    /// What is sold, and for what, where one reserve's collateral repays another's debt.
    pub fn pair(&self, withdraw: &Address, repay: &Address) -> Option<Pair> {
        let mint = |key| self.markets.iter().find_map(|(market, _)| market.mint_of(key));
        Some((mint(withdraw)?, mint(repay)?))
    }

    /// A reserve of SOL that has a price.
    pub fn sol(&self) -> Option<&ReserveState<'a>> {
        let reserves = self.markets.iter().flat_map(|(_, table)| table.reserves());
        reserves.into_iter().find(|state| *state.mint() == NATIVE_MINT)
    }

    /// An account that a market consists of.
    pub fn market_account(&self, key: &Address) -> Option<&'a solana_account::Account> {
        self.markets.iter().find_map(|(market, _)| market.account(key))
    }
}
