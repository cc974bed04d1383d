//! Time and prices.

use flash_liquidator_client::klend::ReserveAddresses;
use klend_model::constants::SCOPE_PROGRAM_ID;
use solana_account::Account;
use solana_address::Address;
use solana_clock::Clock;

use super::World;
use crate::{
    error::ForkError,
    scope::{self, Chains, Price, Table},
};

/// Time between slots in a fork: what klend itself takes a slot for where it turns one into
/// a time of day (`klend_model::constants::SLOT_DURATION_MS`). A cluster's are others.
const SLOT_MILLIS: u64 = 400;

const SLOTS_PER_EPOCH: u64 = 432_000;

impl World {
    /// The slot transactions are executed in.
    #[must_use]
    pub fn slot(&self) -> u64 {
        self.svm.get_sysvar::<Clock>().slot
    }

    /// The time transactions are executed at, seconds since 1970.
    #[must_use]
    pub fn unix_timestamp(&self) -> i64 {
        self.svm.get_sysvar::<Clock>().unix_timestamp
    }

    /// Sets slot and time.
    pub fn set_clock(&mut self, slot: u64, unix_timestamp: i64) {
        self.svm.set_sysvar(&clock(slot, unix_timestamp));
    }

    /// Lets `slots` pass, at 400 ms each. Prices age; see
    /// [`restamp_prices`](Self::restamp_prices).
    pub fn warp_slots(&mut self, slots: u64) {
        let seconds = slots.saturating_mul(SLOT_MILLIS) / 1_000;
        self.warp(slots, seconds);
    }

    /// Lets `seconds` pass, with a slot every 400 ms.
    pub fn warp_seconds(&mut self, seconds: u64) {
        self.warp(seconds.saturating_mul(1_000) / SLOT_MILLIS, seconds);
    }

    /// Lets `slots` and `seconds` pass.
    pub fn warp(&mut self, slots: u64, seconds: u64) {
        let seconds = i64::try_from(seconds).unwrap_or(i64::MAX);
        self.set_clock(
            self.slot().saturating_add(slots),
            self.unix_timestamp().saturating_add(seconds),
        );
    }

    /// Price of a reserve's token in US dollars, as its Scope chain has it.
    ///
    /// # Errors
    /// [`ForkError::Price`] when the reserve has no Scope chain.
    pub fn price(&self, reserve: &Address) -> Result<Price, ForkError> {
        let (_, mut account, chains) = self.oracle(reserve)?;
        Table(&mut account)
            .price(&chains.price)
            .map_err(|reason| ForkError::Price { reserve: *reserve, reason })
    }

    /// Sets the price of a reserve's token in US dollars, and the average that
    /// klend compares it with, both dated now.
    ///
    /// Only the entries that belong to this reserve change: the price of JitoSOL,
    /// which is JitoSOL/SOL × SOL/USD, changes its first factor. A later change of
    /// SOL's price moves it along.
    ///
    /// # Errors
    /// [`ForkError::Price`] when the reserve has no Scope chain or the chain
    /// cannot amount to that price.
    pub fn set_price(&mut self, reserve: &Address, price: Price) -> Result<(), ForkError> {
        let (key, mut account, chains) = self.oracle(reserve)?;
        let (slot, now) = self.stamp();
        Table(&mut account)
            .set_price(&chains, price, slot, now)
            .map_err(|reason| ForkError::Price { reserve: *reserve, reason })?;
        self.set_account(&key, account)
    }

    /// [`set_price`](Self::set_price) with a floating-point number.
    ///
    /// # Errors
    /// As there, and for a number that is no price.
    pub fn set_price_usd(&mut self, reserve: &Address, price: f64) -> Result<(), ForkError> {
        let price = Price::from_f64(price).ok_or_else(|| ForkError::Price {
            reserve: *reserve,
            reason: format!("{price} is no price"),
        })?;
        self.set_price(reserve, price)
    }

    /// Dates all prices of all Scope tables now, without changing them.
    ///
    /// # Errors
    /// [`ForkError::Refused`] when a table cannot be written back.
    pub fn restamp_prices(&mut self) -> Result<(), ForkError> {
        let (slot, now) = self.stamp();
        for (key, mut account) in self.svm.get_program_accounts(&SCOPE_PROGRAM_ID) {
            if scope::restamp(&mut account, slot, now) {
                self.set_account(&key, account)?;
            }
        }
        Ok(())
    }

    fn stamp(&self) -> (u64, u64) {
        (self.slot(), u64::try_from(self.unix_timestamp()).unwrap_or_default())
    }

    fn oracle(&self, reserve: &Address) -> Result<(Address, Account, Chains), ForkError> {
        let explain = |reason: String| ForkError::Price { reserve: *reserve, reason };
        let state = self.reserve(reserve)?;
        let key = ReserveAddresses::read(reserve, &state)
            .oracles
            .scope
            .ok_or_else(|| explain("it does not read Scope".to_owned()))?;
        let account = self.wanted("Scope price account", &key)?;
        if !scope::is_price_table(&account) {
            return Err(explain(format!("account {key} is not a Scope price table")));
        }
        let chains = Chains::of(&state).map_err(explain)?;
        Ok((key, account, chains))
    }
}

pub(super) fn clock(slot: u64, unix_timestamp: i64) -> Clock {
    let epoch = slot / SLOTS_PER_EPOCH;
    let into_epoch = (slot % SLOTS_PER_EPOCH * SLOT_MILLIS / 1_000).cast_signed();
    Clock {
        slot,
        epoch_start_timestamp: unix_timestamp.saturating_sub(into_epoch),
        epoch,
        leader_schedule_epoch: epoch + 1,
        unix_timestamp,
    }
}
