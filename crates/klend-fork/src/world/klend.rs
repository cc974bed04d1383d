//! Reading and changing klend's accounts.

use std::collections::BTreeMap;

use flash_liquidator_client::klend::{ObligationAddresses, ReserveAddresses};
use klend_interface::state::{LendingMarket, Obligation, Reserve};
use klend_model::{
    accounts,
    constants::{KLEND_PROGRAM_ID, KLEND_STAGING_PROGRAM_ID},
    keys::to_address,
};
use solana_address::Address;

use super::World;
use crate::{error::ForkError, rebuild};

impl World {
    /// The market with most reserves; the one at the lowest address among equals.
    ///
    /// # Errors
    /// [`ForkError::Missing`] when there is no reserve at all.
    pub fn market(&self) -> Result<Address, ForkError> {
        let mut counts = BTreeMap::<Address, usize>::new();
        for (_, reserve) in self.reserves()? {
            *counts.entry(to_address(&reserve.lending_market)).or_default() += 1;
        }
        counts
            .into_iter()
            .rev()
            .max_by_key(|(_, count)| *count)
            .map(|(market, _)| market)
            .ok_or(ForkError::Missing { what: "lending market", key: Address::default() })
    }

    /// All reserves, by address.
    ///
    /// # Errors
    /// [`ForkError::Klend`] when an account is no reserve klend would accept.
    pub fn reserves(&self) -> Result<BTreeMap<Address, Reserve>, ForkError> {
        let mut reserves = BTreeMap::new();
        for program in [KLEND_PROGRAM_ID, KLEND_STAGING_PROGRAM_ID] {
            for (key, account) in self.svm.get_program_accounts(&program) {
                if accounts::is::<Reserve>(&account.data) {
                    reserves.insert(key, *accounts::reserve(&key, &account.owner, &account.data)?);
                }
            }
        }
        Ok(reserves)
    }

    /// All obligations, by address.
    ///
    /// # Errors
    /// [`ForkError::Klend`] when an account is no obligation klend would accept.
    pub fn obligations(&self) -> Result<BTreeMap<Address, Obligation>, ForkError> {
        let mut obligations = BTreeMap::new();
        for program in [KLEND_PROGRAM_ID, KLEND_STAGING_PROGRAM_ID] {
            for (key, account) in self.svm.get_program_accounts(&program) {
                if accounts::is::<Obligation>(&account.data) {
                    let obligation = accounts::obligation(&key, &account.owner, &account.data)?;
                    obligations.insert(key, *obligation);
                }
            }
        }
        Ok(obligations)
    }

    /// The reserve of that name (`"SOL"`, in any case) in [`market`](Self::market).
    ///
    /// # Errors
    /// [`ForkError::UnknownReserve`], with the names there are.
    pub fn reserve_named(&self, symbol: &str) -> Result<Address, ForkError> {
        self.reserve_in(&self.market()?, symbol)
    }

    /// The reserve of that name in `market`; the one at the lowest address among
    /// several.
    ///
    /// # Errors
    /// [`ForkError::UnknownReserve`], with the names there are.
    pub fn reserve_in(&self, market: &Address, symbol: &str) -> Result<Address, ForkError> {
        let named: Vec<_> = self
            .reserves()?
            .into_iter()
            .filter(|(_, reserve)| to_address(&reserve.lending_market) == *market)
            .map(|(key, reserve)| (rebuild::symbol(&reserve), key))
            .collect();
        named
            .iter()
            .find(|(name, _)| name.eq_ignore_ascii_case(symbol))
            .map(|(_, key)| *key)
            .ok_or_else(|| ForkError::UnknownReserve {
                symbol: symbol.to_owned(),
                known: named.iter().map(|(name, _)| name.as_str()).collect::<Vec<_>>().join(", "),
            })
    }

    /// The name of a reserve.
    ///
    /// # Errors
    /// As [`reserve`](Self::reserve).
    pub fn symbol(&self, reserve: &Address) -> Result<String, ForkError> {
        Ok(rebuild::symbol(&self.reserve(reserve)?))
    }

    /// A reserve.
    ///
    /// # Errors
    /// [`ForkError::Missing`] or [`ForkError::Klend`].
    pub fn reserve(&self, key: &Address) -> Result<Reserve, ForkError> {
        let account = self.wanted("reserve", key)?;
        Ok(*accounts::reserve(key, &account.owner, &account.data)?)
    }

    /// The addresses that go with a reserve.
    ///
    /// # Errors
    /// As [`reserve`](Self::reserve).
    pub fn reserve_addresses(&self, key: &Address) -> Result<ReserveAddresses, ForkError> {
        Ok(ReserveAddresses::read(key, &self.reserve(key)?))
    }

    /// An obligation.
    ///
    /// # Errors
    /// [`ForkError::Missing`] or [`ForkError::Klend`].
    pub fn obligation(&self, key: &Address) -> Result<Obligation, ForkError> {
        let account = self.wanted("obligation", key)?;
        Ok(*accounts::obligation(key, &account.owner, &account.data)?)
    }

    /// The addresses that go with an obligation.
    ///
    /// # Errors
    /// As [`obligation`](Self::obligation).
    pub fn obligation_addresses(&self, key: &Address) -> Result<ObligationAddresses, ForkError> {
        Ok(ObligationAddresses::read(key, &self.obligation(key)?))
    }

    /// A lending market.
    ///
    /// # Errors
    /// [`ForkError::Missing`] or [`ForkError::Klend`].
    pub fn lending_market(&self, key: &Address) -> Result<LendingMarket, ForkError> {
        let account = self.wanted("lending market", key)?;
        Ok(*accounts::lending_market(key, &account.owner, &account.data)?)
    }

    /// Changes a reserve, as klend's owner could.
    ///
    /// # Errors
    /// As [`reserve`](Self::reserve).
    pub fn edit_reserve(
        &mut self,
        key: &Address,
        edit: impl FnOnce(&mut Reserve),
    ) -> Result<(), ForkError> {
        let mut account = self.wanted("reserve", key)?;
        edit(accounts::reserve_mut(key, &account.owner, &mut account.data)?);
        self.set_account(key, account)
    }

    /// Changes an obligation.
    ///
    /// # Errors
    /// As [`obligation`](Self::obligation).
    pub fn edit_obligation(
        &mut self,
        key: &Address,
        edit: impl FnOnce(&mut Obligation),
    ) -> Result<(), ForkError> {
        let mut account = self.wanted("obligation", key)?;
        edit(accounts::obligation_mut(key, &account.owner, &mut account.data)?);
        self.set_account(key, account)
    }

    /// Changes a lending market, as its owner could.
    ///
    /// # Errors
    /// As [`lending_market`](Self::lending_market).
    pub fn edit_lending_market(
        &mut self,
        key: &Address,
        edit: impl FnOnce(&mut LendingMarket),
    ) -> Result<(), ForkError> {
        let mut account = self.wanted("lending market", key)?;
        edit(accounts::lending_market_mut(key, &account.owner, &mut account.data)?);
        self.set_account(key, account)
    }
}
