//! Everything that one obligation's liquidation needs, read once: what the commands
//! have in place of the loop's book.

use std::{collections::BTreeSet, sync::Arc};

use anyhow::{Context as _, Result, bail};
use flash_liquidator_client::klend::ObligationAddresses;
use klend_fork::Machine;
use klend_interface::state::Obligation;
use klend_model::{accounts, constants::SCOPE_PROGRAM_ID, keys::to_address};
use solana_address::Address;
use solana_sdk_ids::sysvar;

use super::{
    discovery::{self, Found, Seeking},
    needs,
};
use crate::{
    book::{
        accounts::Accounts,
        chain::Chain,
        market::Market,
        pools::{Offered, Pools},
        scan,
        scope::{Choice, Known, Refusals, Scope, Written},
        view::View,
    },
    feeds::source::Source,
};

/// Rounds of reading until a route's accounts are complete: pools first, then what
/// they name.
const ROUNDS: usize = 8;

/// Who lends, and where collateral may be sold.
#[derive(Clone, Debug, Default)]
pub struct Selling {
    /// Markets whose reserves may lend as well.
    pub lenders: Vec<Address>,
    /// Pools that the operator names.
    pub pools: Vec<Address>,
    /// How pools are looked for, if they are.
    pub seeking: Option<Seeking>,
}

/// Markets and what else was read for liquidations in the first of them.
pub struct Ground {
    /// The market, then others that lend.
    pub markets: Vec<Market>,
    pub accounts: Accounts,
    pub chain: Chain,
    pub pools: Pools,
    /// What looking for pools has found.
    pub found: Vec<Found>,
}

impl Ground {
    /// Reads a market, where `keeper` liquidates. What `obligations` need is read too.
    pub fn read(
        source: &dyn Source,
        market: &Address,
        selling: &Selling,
        keeper: &Address,
        obligations: &[(Address, &Obligation)],
    ) -> Result<Self> {
        let Selling { lenders, pools, seeking } = selling;
        let others = lenders.iter().filter(|lender| *lender != market);
        let mut markets = [market]
            .into_iter()
            .chain(others)
            .map(|market| Market::load(source, market))
            .collect::<Result<Vec<_>>>()?;
        if let Some(market) = markets.first_mut() {
            obligations.iter().for_each(|(_, of)| market.keep_up(&of.last_update));
        }
        let stand_ins = if pools.is_empty() { scan::stand_ins(source)? } else { Vec::new() };
        let mut pools = Pools::of(pools.clone());
        pools.stand_ins = stand_ins;
        let mut ground = Self {
            markets,
            accounts: Accounts::default(),
            chain: Chain::default(),
            pools,
            found: Vec::new(),
        };
        if let Some(seeking) = seeking {
            ground.seek(source, seeking, obligations)?;
        }
        ground.read_more(source, &[sysvar::rent::ID])?;
        match ground.accounts.get(&sysvar::rent::ID) {
            Some(rent) => ground.chain.read_rent(rent)?,
            None => ground.chain.take_machines_rent(),
        }
        ground.complete(source, keeper, obligations)?;
        Ok(ground)
    }

    /// Looks for pools for the obligations' pairs.
    fn seek(
        &mut self,
        source: &dyn Source,
        seeking: &Seeking,
        obligations: &[(Address, &Obligation)],
    ) -> Result<()> {
        let market = self.markets.first().context("no market was read")?;
        let table = market.table()?;
        let wanted = obligations
            .iter()
            .map(|(key, obligation)| discovery::wanted(&table, key, obligation, &seeking.via));
        for wanted in discovery::merged(wanted.flatten()) {
            let found = discovery::discover(source, &wanted, self.pools.named(), seeking.per_pair)?;
            self.pools.take_found(wanted.pair, found.keys());
            self.found.push(found);
        }
        self.pools.seeks = true;
        Ok(())
    }

    fn complete(
        &mut self,
        source: &dyn Source,
        keeper: &Address,
        obligations: &[(Address, &Obligation)],
    ) -> Result<()> {
        for _ in 0..ROUNDS {
            let mut wanted: BTreeSet<Address> = self.pools.real().copied().collect();
            for market in &self.markets {
                wanted.extend(needs::of_market(market, keeper)?);
            }
            let own = self.markets.first().context("no market was read")?;
            for (key, obligation) in obligations {
                let addresses = ObligationAddresses::read(key, obligation);
                let (accounts, pools) = (&self.accounts, &self.pools);
                wanted.extend(needs::of_obligation(own, &addresses)?);
                let swaps = needs::of_swaps(own, &addresses, accounts, pools, keeper)?;
                wanted.extend(swaps.named);
            }
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
        self.accounts.read(source, keys)
    }

    /// It all, valued.
    pub fn view(&self) -> Result<View<'_>> {
        View::new(&self.markets, &self.accounts, &self.chain, &self.pools)
    }
}

/// An obligation, its market and others that may lend, and what else was read.
pub struct Frozen {
    pub key: Address,
    pub obligation: Box<Obligation>,
    ground: Ground,
    scope: Scope,
}

impl Frozen {
    /// Reads an obligation with its market; `keeper` is the one who liquidates.
    pub fn read(
        source: &dyn Source,
        key: &Address,
        selling: &Selling,
        keeper: &Address,
    ) -> Result<Self> {
        let account = source.account("obligation", key)?;
        let obligation = accounts::obligation(key, &account.owner, &account.data)?;
        let market = to_address(&obligation.lending_market);
        let obligations = [(*key, obligation)];
        let ground = Ground::read(source, &market, selling, keeper, &obligations)?;
        let scope = Scope::default();
        Ok(Self { key: *key, obligation: Box::new(*obligation), ground, scope })
    }

    /// Reads what prices may be written from, and has the machine say what would be
    /// written. Returns what is worth writing first, the smallest first, and why other
    /// prices cannot be written, by reserve.
    pub fn foresee(&mut self, source: &dyn Source) -> Result<(Vec<Choice>, Refusals)> {
        let Ground { markets, accounts, .. } = &mut self.ground;
        let markets: Vec<&Market> = markets.iter().collect();
        self.scope.read(source, &markets, accounts)?;
        self.scope.take_machine(&Machine::new(source.world(&[SCOPE_PROGRAM_ID])?));
        while self.scope.is_pending() {
            self.with_scope(|scope, known| scope.foresee(known));
        }
        let addresses = ObligationAddresses::read(&self.key, &self.obligation);
        let market = self.ground.markets.first().context("no market was read")?;
        let reserves = addresses.distinct_reserves();
        let reserves = reserves.iter().filter_map(|key| market.reserve(key).ok());
        Ok((self.scope.choices(market, reserves, true), self.scope.refusals()))
    }

    /// What a refresh of prices would write.
    ///
    /// # Errors
    /// Scope refuses it.
    pub fn write(&mut self, choice: &Choice) -> Result<Written> {
        self.with_scope(|scope, known| scope.write(choice, known))
    }

    fn with_scope<T>(&mut self, act: impl FnOnce(&mut Scope, &Known<'_>) -> T) -> T {
        let markets: Vec<&Market> = self.ground.markets.iter().collect();
        act(&mut self.scope, &Known { markets: &markets, accounts: &self.ground.accounts })
    }

    /// Reads accounts that are needed besides.
    pub fn read_more(&mut self, source: &dyn Source, keys: &[Address]) -> Result<()> {
        self.ground.read_more(source, keys)
    }

    /// Takes what an aggregator offers beside the pools.
    pub fn offer(&mut self, offer: Offered) {
        self.ground.pools.offers.entry(offer.pair).or_default().push(Arc::new(offer));
    }

    /// Forgets what an aggregator offered.
    pub fn forget_offers(&mut self) {
        self.ground.pools.offers.clear();
    }

    /// What looking for pools has found.
    pub fn found(&self) -> &[Found] {
        &self.ground.found
    }

    /// It all, valued, behind prices that are written first if there are any.
    pub fn view<'a>(&'a self, written: Option<&'a Written>) -> Result<View<'a>> {
        let Ground { markets, accounts, chain, pools, .. } = &self.ground;
        View::behind(written, markets, accounts, chain, pools)
    }
}
