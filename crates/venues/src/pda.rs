//! Derived addresses, each derived once.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, PoisonError},
};

use solana_address::Address;

/// A pool's arrays by number. Deriving an address takes some ten microseconds, so
/// what has been derived stays with the pool and with its copies.
#[derive(Clone, Debug, Default)]
pub(crate) struct Derived(Arc<Mutex<BTreeMap<i64, Address>>>);

impl Derived {
    /// The address of array `number`.
    pub fn get(&self, number: i64, derive: impl FnOnce() -> Address) -> Address {
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        *known.entry(number).or_insert_with(derive)
    }
}
