//! What is known of the chain itself: time, blockhash, rent, what it costs to be
//! included.

use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};
use solana_account::Account;
use solana_address::Address;

use crate::feeds::blockhash::Blockhash;

/// Bytes that the runtime counts beside an account's data.
const ACCOUNT_OVERHEAD: u64 = 128;

/// Lamports for a byte in LiteSVM; a cluster's are read from it (docs/mainnet.md).
const MACHINES_RENT: u64 = 6_960;

/// What it costs to be included, as the node and a tip service tell it. `None` where
/// it was not asked, or not told.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Inclusion {
    /// Micro-lamports per compute unit that recent transactions paid which write the
    /// same accounts.
    pub unit_price: Option<u64>,
    /// Lamports that recent bundles tipped.
    pub tip: Option<u64>,
    /// Accounts that take tips.
    pub tip_accounts: Vec<Address>,
}

/// The chain as it is known.
#[derive(Clone, Debug, Default)]
pub struct Chain {
    /// The blockhash to use. On a fork there is none, and none is needed.
    pub blockhash: Option<Blockhash>,
    /// Lamports for a byte of rent-exempt account.
    lamports_per_byte: Option<u64>,
    /// What inclusion costs.
    pub fees: Inclusion,
    /// Time between slots.
    pub slots: SlotTime,
}

impl Chain {
    /// Reads the rent sysvar.
    ///
    /// # Errors
    /// Its data is not that of the sysvar.
    pub fn read_rent(&mut self, account: &Account) -> Result<()> {
        self.lamports_per_byte = Some(lamports_per_byte(&account.data)?);
        Ok(())
    }

    /// Takes the rent of the virtual machine: what executes on a fork whose folder does
    /// not have the sysvar.
    pub fn take_machines_rent(&mut self) {
        self.lamports_per_byte = Some(MACHINES_RENT);
    }

    /// Lamports that keep an account of `len` bytes; `None` before the rent is known.
    #[must_use]
    pub fn rent(&self, len: u64) -> Option<u64> {
        self.lamports_per_byte?.checked_mul(ACCOUNT_OVERHEAD.checked_add(len)?)
    }
}

/// Lamports for a byte: the sysvar's figure for a year, times the years that exempt.
/// The first is an integer and the second a float.
pub fn lamports_per_byte(data: &[u8]) -> Result<u64> {
    let part = |at: usize| data.get(at..).and_then(|tail| tail.first_chunk::<8>()).copied();
    let (Some(yearly), Some(years)) = (part(0), part(8)) else {
        anyhow::bail!("the rent sysvar has {} bytes, 17 are needed", data.len());
    };
    let (yearly, years) = (u64::from_le_bytes(yearly), f64::from_le_bytes(years));
    let exempt = yearly as f64 * years;
    (exempt.is_finite() && (0.0..1e12).contains(&exempt))
        .then_some(exempt as u64)
        .with_context(|| format!("the rent sysvar says {yearly} lamports and {years} years"))
}

/// Time between slots, measured from when their clocks arrived.
#[derive(Clone, Copy, Debug, Default)]
pub struct SlotTime {
    last: Option<(u64, Instant)>,
    average: Option<Duration>,
}

/// Share of a new measurement in the average.
const NEW: f64 = 0.1;
/// A gap of so many slots tells more of the connection than of the chain.
const LONGEST_GAP: u64 = 50;

impl SlotTime {
    /// A slot was heard of.
    pub fn heard(&mut self, slot: u64, at: Instant) {
        let Some((last, then)) = self.last else {
            self.last = Some((slot, at));
            return;
        };
        let slots = slot.saturating_sub(last);
        if slots == 0 {
            return;
        }
        self.last = Some((slot, at));
        if slots > LONGEST_GAP {
            return;
        }
        let measured = at.saturating_duration_since(then) / u32::try_from(slots).unwrap_or(1);
        self.average = Some(match self.average {
            Some(average) => average.mul_f64(1.0 - NEW) + measured.mul_f64(NEW),
            None => measured,
        });
    }

    /// The average; `None` before two slots were heard of.
    #[must_use]
    pub fn average(&self) -> Option<Duration> {
        self.average
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rent_is_read_and_not_known() {
        let sysvar = |yearly: u64, years: f64| {
            [&yearly.to_le_bytes()[..], &years.to_le_bytes(), &[50]].concat()
        };
        // The sysvar of the test validator, and mainnet's of late 2026.
        assert_eq!(lamports_per_byte(&sysvar(3_480, 2.0)).unwrap(), 6_960);
        let mut chain = Chain::default();
        assert_eq!(chain.rent(165), None);
        let data = sysvar(2_540, 2.0);
        chain.read_rent(&Account { data, ..Account::default() }).unwrap();
        assert_eq!(chain.rent(165), Some(5_080 * 293));
        assert_eq!(chain.rent(u64::MAX), None);
        for bad in [vec![0; 15], sysvar(1, f64::NAN), sysvar(u64::MAX, 2.0), sysvar(1, -1.0)] {
            assert!(lamports_per_byte(&bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn slot_time_is_measured_over_what_arrives() {
        let (start, slot) = (Instant::now(), Duration::from_millis(200));
        let mut time = SlotTime::default();
        time.heard(100, start);
        assert_eq!(time.average(), None);
        // Every other slot arrives, and one twice.
        time.heard(102, start + 2 * slot);
        time.heard(102, start + 3 * slot);
        assert_eq!(time.average(), Some(slot));
        // After a gap it begins anew.
        time.heard(1_000, start + 4 * slot);
        assert_eq!(time.average(), Some(slot));
        time.heard(1_001, start + 4 * slot + 2 * slot);
        assert_eq!(time.average(), Some(Duration::from_millis(220)));
    }
}
