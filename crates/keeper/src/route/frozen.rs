//! Everything that one obligation's liquidation needs, read once: what the commands
//! have in place of the loop's book.

use anyhow::{Context as _, Result, bail};
use flash_liquidator_client::klend::ObligationAddresses;
use klend_interface::state::Obligation;
use klend_model::{accounts, keys::to_address};
use solana_address::Address;
use solana_sdk_ids::sysvar;

use super::needs;
use crate::{
    book::{accounts::Accounts, chain::Chain, market::Market, pools::Pools, reader, view::View},
    feeds::{feed::Version, source::Source},
};

/// Rounds of reading until a route's accounts are complete: pools first, then what
/// they name.
const ROUNDS: usize = 8;

/// An obligation, its market and others that may lend, and what else was read.
pub struct Frozen {
    pub key: Address,
    pub obligation: Box<Obligation>,
    markets: Vec<Market>,
    pub accounts: Accounts,
    pub chain: Chain,
    pub pools: Pools,
}

impl Frozen {
    /// Reads an obligation with its market; `lenders` are markets whose reserves may
    /// lend as well, `keeper` the one who liquidates.
    pub fn read(
        source: &dyn Source,
        key: &Address,
        lenders: &[Address],
        pools: &[Address],
        keeper: &Address,
    ) -> Result<Self> {
        let account = source.account("obligation", key)?;
        let obligation = accounts::obligation(key, &account.owner, &account.data)?;
        let own = to_address(&obligation.lending_market);
        let others = lenders.iter().filter(|lender| **lender != own);
        let mut markets = [own]
            .iter()
            .chain(others)
            .map(|market| Market::load(source, market))
            .collect::<Result<Vec<_>>>()?;
        if let Some(market) = markets.first_mut() {
            market.keep_up(&obligation.last_update);
        }
        let stand_ins = if pools.is_empty() { reader::stand_ins(source)? } else { Vec::new() };
        let mut frozen = Self {
            key: *key,
            obligation: Box::new(*obligation),
            markets,
            accounts: Accounts::default(),
            chain: Chain::default(),
            pools: Pools { named: pools.to_vec(), stand_ins },
        };
        frozen.read_more(source, &[sysvar::rent::ID])?;
        match frozen.accounts.get(&sysvar::rent::ID) {
            Some(rent) => frozen.chain.read_rent(rent)?,
            None => frozen.chain.take_machines_rent(),
        }
        frozen.complete(source, keeper)?;
        Ok(frozen)
    }

    fn complete(&mut self, source: &dyn Source, keeper: &Address) -> Result<()> {
        for _ in 0..ROUNDS {
            let mut wanted = Vec::new();
            for market in &self.markets {
                wanted.extend(needs::of_market(market, keeper)?);
            }
            let addresses = ObligationAddresses::read(&self.key, &self.obligation);
            let own = self.markets.first().context("no market was read")?;
            wanted.extend(needs::of_obligation(
                own,
                &addresses,
                &self.accounts,
                &self.pools,
                keeper,
            )?);
            let unread = self.accounts.unread(wanted);
            if unread.is_empty() {
                return Ok(());
            }
            self.read_more(source, &unread)?;
        }
        bail!("the pools name accounts without end")
    }

    /// Reads accounts that are needed besides.
    pub fn read_more(&mut self, source: &dyn Source, keys: &[Address]) -> Result<()> {
        let (slot, read) = source.accounts_at(keys)?;
        for (key, account) in keys.iter().zip(read) {
            self.accounts.put(key, Version::end_of(slot), account);
        }
        Ok(())
    }

    /// It all, valued.
    pub fn view(&self) -> Result<View<'_>> {
        View::new(&self.markets, &self.accounts, &self.chain, &self.pools)
    }
}
