//! klend's account layouts, laid over the accounts' bytes in place.
//!
//! Every layout is `repr(C)` made of 8-byte-aligned parts: 128-bit numbers are
//! kept as bytes ([`PodU128`]), because a native `u128` is aligned to 8 bytes
//! by one compiler and to 16 by another. Offsets in comments count from the
//! end of the 8-byte discriminator. Regions whose meaning the stand-in does
//! not need are kept as opaque bytes and never touched.

mod farms;
mod global_config;
mod market;
mod obligation;
mod reserve;
mod scope;
mod user_metadata;

use core::cell::{Ref, RefMut};

use bytemuck::{Pod, Zeroable};
use solana_program::{account_info::AccountInfo, clock::Clock, pubkey::Pubkey};

pub use self::{
    farms::{FARM_STAKE_SCALE, FARMS_PROGRAM_ID, FarmUserState},
    global_config::GlobalConfig,
    market::{ElevationGroup, LendingMarket, PermissionedOp, Version},
    obligation::{
        BorrowOrder, MAX_BORROWS, MAX_DEPOSITS, Obligation, ObligationCollateral,
        ObligationLiquidity, ObligationOrder,
    },
    reserve::{
        AccrualBasis, CurvePoint, RESERVE_VERSION, Reserve, ReserveCollateral, ReserveConfig,
        ReserveLiquidity, ReserveStatus, ScopeConfiguration, TokenInfo, WithdrawalCaps,
    },
    scope::{CHAIN_END, DatedPrice, OraclePrices},
    user_metadata::{ReferrerTokenState, UserMetadata},
};
use crate::{
    error::{AnchorError, KlendError, Result, require},
    math::Fraction,
};

/// Length of the discriminator in front of every account.
pub const DISCRIMINATOR_LEN: usize = 8;

/// A layout with its discriminator and owning program.
pub trait Layout: Pod {
    const DISCRIMINATOR: [u8; DISCRIMINATOR_LEN];
    const OWNER: Pubkey;
    /// Bytes of the whole account.
    const ACCOUNT_LEN: usize = DISCRIMINATOR_LEN + size_of::<Self>();
}

/// Checks the owner and the discriminator, in that order (3007, 3001, 3002),
/// and that the body is there (3003).
pub fn check_layout<T: Layout>(account: &AccountInfo) -> Result<()> {
    require(*account.owner == T::OWNER, AnchorError::AccountOwnedByWrongProgram)?;
    let data = account.try_borrow_data()?;
    let discriminator =
        data.get(..DISCRIMINATOR_LEN).ok_or(AnchorError::AccountDiscriminatorNotFound)?;
    require(discriminator == T::DISCRIMINATOR, AnchorError::AccountDiscriminatorMismatch)?;
    require(data.len() >= T::ACCOUNT_LEN, AnchorError::AccountDidNotDeserialize)
}

/// The account's body, for reading.
pub fn load<'a, T: Layout>(account: &'a AccountInfo) -> Result<Ref<'a, T>> {
    check_layout::<T>(account)?;
    Ref::filter_map(account.try_borrow_data()?, |data| {
        bytemuck::try_from_bytes(&data[DISCRIMINATOR_LEN..T::ACCOUNT_LEN]).ok()
    })
    .map_err(|_| AnchorError::AccountDidNotDeserialize.into())
}

/// The account's body, for writing. The account must be writable (3006).
pub fn load_mut<'a, T: Layout>(account: &'a AccountInfo) -> Result<RefMut<'a, T>> {
    check_layout::<T>(account)?;
    require(account.is_writable, AnchorError::AccountNotMutable)?;
    RefMut::filter_map(account.try_borrow_mut_data()?, |data| {
        bytemuck::try_from_bytes_mut(&mut data[DISCRIMINATOR_LEN..T::ACCOUNT_LEN]).ok()
    })
    .map_err(|_| AnchorError::AccountDidNotDeserialize.into())
}

/// A little-endian `u128` without alignment.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Pod, Zeroable)]
#[repr(transparent)]
pub struct PodU128([u8; 16]);

impl PodU128 {
    pub const fn get(self) -> u128 {
        u128::from_le_bytes(self.0)
    }

    pub fn set(&mut self, value: u128) {
        self.0 = value.to_le_bytes();
    }

    pub const fn fraction(self) -> Fraction {
        Fraction::from_bits(self.get())
    }

    pub fn set_fraction(&mut self, value: Fraction) {
        self.set(value.to_bits());
    }
}

/// When a reserve or an obligation was last brought up to date.
#[derive(Clone, Copy, Debug, Pod, Zeroable)]
#[repr(C)]
pub struct LastUpdate {
    pub slot: u64,
    /// 1 after any operation that changed the account since its refresh.
    pub stale: u8,
    /// Bits of [`PriceStatus`].
    pub price_status: u8,
    placeholder: [u8; 2],
    /// Unix time of the same moment as `slot`, seconds; 0 before klend 1.25.
    pub timestamp: u32,
}

impl LastUpdate {
    pub fn mark_stale(&mut self) {
        self.stale = 1;
    }

    /// Refreshed at this very moment. Panics at a time outside 32 bits.
    pub fn update(&mut self, clock: &Clock, price_status: PriceStatus) {
        self.slot = clock.slot;
        self.timestamp = u32::try_from(clock.unix_timestamp).expect("a time within 32 bits");
        self.stale = 0;
        self.price_status = price_status.0;
    }

    /// Slots since the last update. 6007 when that lies in the future.
    pub fn slots_since(&self, slot: u64) -> Result<u64> {
        slot.checked_sub(self.slot).ok_or_else(|| KlendError::MathOverflow.into())
    }

    /// Seconds since the last update: none when its time is not known, and
    /// none when the clock has gone back.
    pub fn seconds_since(&self, now: u64) -> u64 {
        if self.timestamp == 0 { 0 } else { now.saturating_sub(self.timestamp.into()) }
    }

    /// Untouched since a refresh in this slot, with at least these price
    /// checks passed.
    ///
    /// # Errors
    /// 6007 when the last update lies in the future.
    pub fn is_fresh(&self, slot: u64, required: PriceStatus) -> Result<bool> {
        Ok(self.stale == 0
            && self.slots_since(slot)? == 0
            && PriceStatus(self.price_status).contains(required))
    }
}

/// Which checks the price behind a value has passed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PriceStatus(pub u8);

impl PriceStatus {
    pub const NONE: Self = Self(0);
    pub const LOADED: Self = Self(1);
    pub const AGE_CHECKED: Self = Self(2);
    pub const TWAP_CHECKED: Self = Self(4);
    pub const TWAP_AGE_CHECKED: Self = Self(8);
    pub const HEURISTIC_CHECKED: Self = Self(16);
    pub const USAGE_ALLOWED: Self = Self(32);

    /// Everything: what borrowing needs.
    pub const ALL: Self = Self(0x3f);
    /// What a liquidation needs.
    pub const LIQUIDATION: Self =
        Self(Self::LOADED.0 | Self::AGE_CHECKED.0 | Self::USAGE_ALLOWED.0);

    pub const fn contains(self, other: Self) -> bool {
        self.0 & other.0 == other.0
    }

    pub fn insert(&mut self, other: Self) {
        self.0 |= other.0;
    }

    /// The checks that both have passed.
    pub const fn and(self, other: Self) -> Self {
        Self(self.0 & other.0)
    }
}

/// A 256-bit fraction as accounts store it: four little-endian limbs and
/// padding.
#[derive(Clone, Copy, Debug, Pod, Zeroable)]
#[repr(C)]
pub struct BigFractionBytes {
    pub limbs: [u64; 4],
    padding: [u64; 2],
}
