//! Moments, and the time between them as klend counts it.

use core::fmt;

use klend_interface::state::{LastUpdate, ReserveConfig};

use crate::{
    constants::{SECONDS_PER_YEAR, SLOTS_PER_YEAR},
    fields,
    fraction::Overflow,
    refusal::Unknowable,
    version::KlendVersion,
};

/// The moment a question is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct Clock {
    /// Slot.
    pub slot: u64,
    /// Unix time in seconds.
    pub unix_timestamp: u64,
}

/// What a reserve's interest counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
pub enum Basis {
    /// Slots, two of which klend takes for a second ("legacy").
    Slots,
    /// Seconds ("true APR"): what every reserve created since klend 1.25 counts.
    Seconds,
}

/// Time that passed, in a basis' units.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Elapsed {
    /// Slots or seconds.
    pub units: u64,
    /// How many of them klend's year has.
    pub units_per_year: u64,
}

impl Basis {
    /// The basis of a reserve.
    ///
    /// # Errors
    /// [`Unknowable::AccrualBasis`] for a byte that is neither.
    #[inline]
    pub fn of(version: KlendVersion, config: &ReserveConfig) -> Result<Self, Unknowable> {
        if !version.has_accrual_basis() {
            return Ok(Self::Slots);
        }
        match fields::interest_rate_basis(config) {
            0 => Ok(Self::Slots),
            1 => Ok(Self::Seconds),
            other => Err(Unknowable::AccrualBasis(other)),
        }
    }

    /// Units in klend's year of 365 days.
    #[must_use]
    pub const fn units_per_year(self) -> u64 {
        match self {
            Self::Slots => SLOTS_PER_YEAR,
            Self::Seconds => SECONDS_PER_YEAR,
        }
    }

    /// Time between an update and `now`.
    ///
    /// Seconds are none where the update has no time yet, nor where the clock
    /// went back.
    ///
    /// # Errors
    /// With the two slots where slots are counted and the update is in the
    /// future: klend's error 6007.
    #[inline]
    pub fn since(self, last: &LastUpdate, now: Clock) -> Result<Elapsed, (u64, u64)> {
        let units = match self {
            Self::Slots => now.slot.checked_sub(last.slot).ok_or((now.slot, last.slot))?,
            Self::Seconds => match fields::timestamp(last) {
                0 => 0,
                saved => now.unix_timestamp.saturating_sub(u64::from(saved)),
            },
        };
        Ok(Elapsed { units, units_per_year: self.units_per_year() })
    }
}

impl fmt::Display for Basis {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Slots => "slots",
            Self::Seconds => "seconds",
        })
    }
}

/// The time that an update writes beside its slot: none before klend 1.25.
///
/// # Errors
/// [`Overflow`] for a time beyond the year 2106, on which klend aborts.
pub(crate) fn stamp(version: KlendVersion, saved: u32, now: Clock) -> Result<u32, Overflow> {
    if version.has_accrual_basis() {
        u32::try_from(now.unix_timestamp).map_err(|_| Overflow)
    } else {
        Ok(saved)
    }
}
