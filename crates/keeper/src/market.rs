//! A market with everything that valuing its obligations takes.

use std::collections::BTreeMap;

use anyhow::{Context, Result};
use flash_liquidator_client::klend::ReserveAddresses;
use klend_interface::state::{LendingMarket, Reserve};
use klend_model::{
    accounts,
    price::{OracleAccount, Oracles},
    reserve::Clock,
    table::ReserveTable,
};
use solana_account::Account;
use solana_address::Address;

use crate::source::{Filter, KLEND, Source};

/// A market's accounts at one moment.
pub struct Market {
    pub key: Address,
    pub clock: Clock,
    account: Account,
    reserves: Vec<(Address, Account)>,
    oracles: BTreeMap<Address, Account>,
}

impl Market {
    /// Reads a market, its reserves and their oracles.
    pub fn load(source: &dyn Source, key: &Address) -> Result<Self> {
        let account = source.account("lending market", key)?;
        accounts::lending_market(key, &account.owner, &account.data)?;
        let reserves = source.program_accounts(&KLEND, Filter::reserves(key))?;
        let mut market =
            Self { key: *key, clock: source.clock()?, account, reserves, oracles: BTreeMap::new() };
        let wanted = market.oracle_keys()?;
        for (key, account) in wanted.iter().zip(source.accounts(&wanted)?) {
            market.oracles.extend(account.map(|account| (*key, account)));
        }
        Ok(market)
    }

    /// Oracle accounts of all reserves, each once.
    pub fn oracle_keys(&self) -> Result<Vec<Address>> {
        let mut keys: Vec<Address> = Vec::new();
        for (key, reserve) in self.reserves()? {
            let oracles = ReserveAddresses::read(&key, reserve).oracles;
            let named =
                [oracles.pyth, oracles.switchboard_price, oracles.switchboard_twap, oracles.scope];
            keys.extend(named.into_iter().flatten());
        }
        keys.sort_unstable();
        keys.dedup();
        Ok(keys)
    }

    pub fn lending_market(&self) -> Result<&LendingMarket> {
        Ok(accounts::lending_market(&self.key, &self.account.owner, &self.account.data)?)
    }

    pub fn reserves(&self) -> Result<Vec<(Address, &Reserve)>> {
        self.reserves
            .iter()
            .map(|(key, account)| {
                Ok((*key, accounts::reserve(key, &account.owner, &account.data)?))
            })
            .collect()
    }

    /// One of the market's reserves.
    pub fn reserve(&self, key: &Address) -> Result<&Reserve> {
        let (_, account) = self
            .reserves
            .iter()
            .find(|(at, _)| at == key)
            .with_context(|| format!("reserve {key} is not in market {}", self.key))?;
        Ok(accounts::reserve(key, &account.owner, &account.data)?)
    }

    /// The reserves, refreshed to the market's moment.
    pub fn table(&self) -> Result<ReserveTable<'_>> {
        let (market, reserves) = (self.lending_market()?, self.reserves()?);
        Ok(ReserveTable::refresh(&self.key, market, &reserves, self.clock, Some(self)))
    }

    /// A reserve's name, or its address when it is not here.
    pub fn symbol(&self, key: &Address) -> String {
        self.reserve(key).map_or_else(|_| key.to_string(), symbol)
    }

    /// Decimals of a reserve's token.
    pub fn decimals(&self, key: &Address) -> Result<u64> {
        Ok(self.reserve(key)?.liquidity.mint_decimals)
    }
}

impl Oracles for Market {
    fn account(&self, key: &Address) -> Option<OracleAccount<'_>> {
        self.oracles
            .get(key)
            .map(|account| OracleAccount { owner: account.owner, data: &account.data })
    }
}

/// The name in a reserve's configuration.
pub fn symbol(reserve: &Reserve) -> String {
    let name = &reserve.config.token_info.name;
    let len = name.iter().position(|byte| *byte == 0).unwrap_or(name.len());
    printable(&name[..len])
}

/// Text out of an account, which anybody may have written: control characters
/// could play tricks on a terminal.
pub fn printable(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes)
        .chars()
        .map(|letter| if letter.is_control() { '?' } else { letter })
        .collect()
}
