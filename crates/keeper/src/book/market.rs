//! A market with everything that valuing its obligations takes.

use std::collections::BTreeMap;

use anyhow::{Context, Result, ensure};
use flash_liquidator_client::klend::ReserveAddresses;
use klend_interface::state::{LastUpdate, LendingMarket, Reserve};
use klend_model::{
    accounts, fields,
    keys::to_address,
    price::{OracleAccount, Oracles},
    table::ReserveTable,
    time::Clock,
    version::KlendVersion,
};
use solana_account::Account;
use solana_address::Address;
use solana_sdk_ids::sysvar;

use crate::feeds::{
    horizon::AHEAD,
    source::{Filter, KLEND, Source, read_clock},
};

/// How much later than its clock a market's accounts may have been read, and refreshed:
/// folders take their time. A slot takes 200 ms at least.
const LATER_SECONDS: u64 = 3_600;
const LATER_SLOTS: u64 = LATER_SECONDS * 5;

/// A market's accounts at one moment.
#[derive(Clone)]
pub struct Market {
    pub key: Address,
    pub clock: Clock,
    /// The klend that works on it.
    pub klend: KlendVersion,
    account: Account,
    reserves: Vec<(Address, Account)>,
    oracles: BTreeMap<Address, Account>,
}

/// Everything that a [`Market`] consists of.
pub struct Whole<'a> {
    pub key: &'a Address,
    pub clock: Clock,
    pub klend: KlendVersion,
    pub account: &'a Account,
    pub reserves: &'a [(Address, Account)],
    pub oracles: &'a BTreeMap<Address, Account>,
}

impl Market {
    /// A market of these accounts.
    pub fn of(whole: Whole<'_>) -> Self {
        let Whole { key, clock, klend, account, reserves, oracles } = whole;
        let (account, reserves, oracles) = (account.clone(), reserves.to_vec(), oracles.clone());
        Self { key: *key, clock, klend, account, reserves, oracles }
    }

    /// What it consists of.
    pub fn whole(&self) -> Whole<'_> {
        let Self { key, clock, klend, account, reserves, oracles } = self;
        Whole { key, clock: *clock, klend: *klend, account, reserves, oracles }
    }

    /// Reads a market, its reserves and their oracles.
    pub fn load(source: &dyn Source, key: &Address) -> Result<Self> {
        let account = source.account("lending market", key)?;
        accounts::lending_market(key, &account.owner, &account.data)?;
        let reserves = source.program_accounts(&KLEND, Filter::reserves(key))?;
        let (clock, klend) = (source.clock()?, source.klend()?);
        let oracles = BTreeMap::new();
        let mut market = Self { key: *key, clock, klend, account, reserves, oracles };
        let wanted = market.oracle_keys()?;
        for (key, account) in wanted.iter().zip(source.accounts(&wanted)?) {
            market.oracles.extend(account.map(|account| (*key, account)));
        }
        for (key, account) in &market.reserves {
            let reserve = accounts::reserve(key, &account.owner, &account.data)?;
            keep_up(&mut market.clock, &reserve.last_update);
        }
        Ok(market)
    }

    /// Lets it be no earlier than when one of its accounts was last refreshed: a clock
    /// that was read before the account, or of a node that is behind, is not the time.
    /// klend knows no account from the future. One that says it is of a time that cannot have
    /// come since the clock was read changes nothing: it would be the time from then on.
    pub fn keep_up(&mut self, updated: &LastUpdate) {
        keep_up(&mut self.clock, updated);
    }

    /// Whether one of its accounts can have been refreshed when it says, as far as the newest
    /// slot that is known: klend writes no account that is not of its time.
    ///
    /// # Errors
    /// Why not, with both slots.
    pub fn check_update(&self, updated: &LastUpdate) -> Result<()> {
        let (slot, now) = (updated.slot, self.clock.slot);
        ensure!(slot <= now.saturating_add(AHEAD), "refreshed at slot {slot}, and it is {now}");
        Ok(())
    }

    /// Every account it consists of: the market, reserves, their oracles, and the
    /// clock.
    pub fn keys(&self) -> Result<Vec<Address>> {
        let mut keys = self.single_keys()?;
        keys.extend(self.reserves.iter().map(|(key, _)| *key));
        Ok(keys)
    }

    /// The same without the reserves, which klend's accounts can be searched for.
    pub fn single_keys(&self) -> Result<Vec<Address>> {
        let mut keys = vec![sysvar::clock::ID, self.key];
        keys.extend(self.oracle_keys()?);
        Ok(keys)
    }

    /// Its reserves' addresses.
    pub fn reserve_keys(&self) -> impl Iterator<Item = &Address> {
        self.reserves.iter().map(|(key, _)| key)
    }

    /// Whether this is one of its reserves.
    pub fn is_reserve(&self, key: &Address) -> bool {
        self.reserves.iter().any(|(at, _)| at == key)
    }

    /// One of the accounts it consists of, if it is here; the clock is not kept as
    /// an account.
    pub fn account(&self, key: &Address) -> Option<&Account> {
        if *key == self.key {
            return Some(&self.account);
        }
        let reserve = self.reserves.iter().find(|(at, _)| at == key).map(|(_, account)| account);
        reserve.or_else(|| self.oracles.get(key))
    }

    /// Takes a newer state of one of its accounts, or a reserve it did not know.
    /// `false` if that is what it had, or not this market's.
    ///
    /// # Errors
    /// When the account is not what one at that address should be; the old state
    /// is kept.
    pub fn replace(&mut self, key: &Address, account: Account) -> Result<bool> {
        if *key == sysvar::clock::ID {
            let told = read_clock(&account.data)?;
            let clock = Clock {
                slot: told.slot.max(self.clock.slot),
                unix_timestamp: told.unix_timestamp.max(self.clock.unix_timestamp),
            };
            let is_new = clock != self.clock;
            self.clock = clock;
            return Ok(is_new);
        }
        if *key == self.key {
            accounts::lending_market(key, &account.owner, &account.data)?;
            return Ok(put(&mut self.account, account));
        }
        if let Some((_, known)) = self.reserves.iter_mut().find(|(at, _)| at == key) {
            let reserve = accounts::reserve(key, &account.owner, &account.data)?;
            keep_up(&mut self.clock, &reserve.last_update);
            return Ok(put(known, account));
        }
        if let Some(known) = self.oracles.get_mut(key) {
            return Ok(put(known, account));
        }
        if self.oracle_keys()?.contains(key) {
            self.oracles.insert(*key, account);
            return Ok(true);
        }
        if Filter::reserves(&self.key).accepts(&account.data) {
            let reserve = accounts::reserve(key, &account.owner, &account.data)?;
            keep_up(&mut self.clock, &reserve.last_update);
            let at = self.reserves.partition_point(|(at, _)| at < key);
            self.reserves.insert(at, (*key, account));
            return Ok(true);
        }
        Ok(false)
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

    /// The mint that one of the market's reserves lends.
    pub fn mint_of(&self, reserve: &Address) -> Option<Address> {
        self.reserve(reserve).ok().map(|account| to_address(&account.liquidity.mint_pubkey))
    }

    /// The reserves, refreshed to the market's moment.
    pub fn table(&self) -> Result<ReserveTable<'_>> {
        self.table_with(None)
    }

    /// The same where an oracle's account will be another by then.
    pub fn table_with(&self, written: Option<(&Address, &Account)>) -> Result<ReserveTable<'_>> {
        let (market, reserves) = (self.lending_market()?, self.reserves()?);
        let oracles = Foreseen { market: self, written };
        let clock = self.clock;
        Ok(ReserveTable::refresh(self.klend, &self.key, market, &reserves, clock, Some(&oracles)))
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

/// A market's oracles, one of them perhaps as it will be.
struct Foreseen<'a> {
    market: &'a Market,
    written: Option<(&'a Address, &'a Account)>,
}

impl Oracles for Foreseen<'_> {
    fn account(&self, key: &Address) -> Option<OracleAccount<'_>> {
        let written = self.written.filter(|(at, _)| *at == key).map(|(_, account)| account);
        let account = written.or_else(|| self.market.oracles.get(key))?;
        Some(OracleAccount { owner: account.owner, data: &account.data })
    }
}

fn keep_up(clock: &mut Clock, updated: &LastUpdate) {
    let timestamp = fields::timestamp(updated).into();
    let is_to_come = updated.slot > clock.slot.saturating_add(LATER_SLOTS)
        || timestamp > clock.unix_timestamp.saturating_add(LATER_SECONDS);
    if !is_to_come {
        clock.slot = clock.slot.max(updated.slot);
        clock.unix_timestamp = clock.unix_timestamp.max(timestamp);
    }
}

/// Puts `new` in the place of `old`; `false` if there is no difference.
fn put(old: &mut Account, new: Account) -> bool {
    let differs = *old != new;
    *old = new;
    differs
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
