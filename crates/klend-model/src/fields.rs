//! Fields of klend 1.25 that `klend-interface` 0.6 still calls padding.
//!
//! The one place that knows their offsets; before 1.25 klend keeps these bytes
//! at zero.

use klend_interface::state::{LastUpdate, ReserveConfig};

/// Where in [`LastUpdate::placeholder`] the time lies: four bytes, little endian.
const TIMESTAMP: core::ops::Range<usize> = 2..6;

/// Where in [`ReserveConfig::reserved_1`] the basis lies.
const BASIS: usize = 0;

/// Unix time of an update; 0 where klend before 1.25 made it.
#[inline]
#[must_use]
pub fn timestamp(last_update: &LastUpdate) -> u32 {
    let [_, _, a, b, c, d] = last_update.placeholder;
    u32::from_le_bytes([a, b, c, d])
}

/// Writes [`timestamp`], for forks and fixtures.
pub fn set_timestamp(last_update: &mut LastUpdate, timestamp: u32) {
    last_update.placeholder[TIMESTAMP].copy_from_slice(&timestamp.to_le_bytes());
}

/// klend's byte for how a reserve counts time ([`crate::time::Basis`]).
#[inline]
#[must_use]
pub fn interest_rate_basis(config: &ReserveConfig) -> u8 {
    config.reserved_1[BASIS]
}

/// Writes [`interest_rate_basis`], for forks and fixtures.
pub fn set_interest_rate_basis(config: &mut ReserveConfig, basis: u8) {
    config.reserved_1[BASIS] = basis;
}

#[cfg(test)]
mod tests {
    use bytemuck::{Zeroable, bytes_of};
    use klend_interface::state::{Obligation, Reserve};

    use super::*;

    /// Offsets as read in klend 1.25's own structs, behind the discriminator.
    #[test]
    fn the_fields_lie_where_klend_1_25_has_them() {
        let mut reserve = Reserve::zeroed();
        set_timestamp(&mut reserve.last_update, 0x0403_0201);
        set_interest_rate_basis(&mut reserve.config, 0xBB);
        let bytes = bytes_of(&reserve);
        assert_eq!((&bytes[20..24], bytes[4857]), (&[1, 2, 3, 4][..], 0xBB));
        assert_eq!(bytes.iter().filter(|byte| **byte != 0).count(), 5);
        assert_eq!(timestamp(&reserve.last_update), 0x0403_0201);
        assert_eq!(interest_rate_basis(&reserve.config), 0xBB);

        let mut obligation = Obligation::zeroed();
        set_timestamp(&mut obligation.last_update, u32::MAX);
        assert_eq!(bytes_of(&obligation)[20..24], [0xFF; 4]);
    }

    /// The newer fields that `klend-interface` does name, against the same source.
    #[test]
    fn named_fields_lie_there_too() {
        use core::mem::offset_of;
        use klend_interface::state::LendingMarket;
        assert_eq!(
            [
                offset_of!(Reserve, liquidity.rewards_amount_available),
                offset_of!(Reserve, config.early_repay_remaining_interest_pct),
                offset_of!(Reserve, config.emergency_mode),
                offset_of!(Reserve, config.rewards_amount_per_slot),
                offset_of!(Reserve, config.permissioned_ops),
                offset_of!(LendingMarket, reserve_rewards_max_apr_bps),
                offset_of!(LendingMarket, permissioning_authority),
                offset_of!(LendingMarket, permissioned_ops),
                offset_of!(Obligation, ownership_transfer_state),
                offset_of!(Obligation, obligation_orders),
            ],
            [432, 4855, 4856, 5784, 5792, 3350, 3392, 3424, 2316, 2336]
        );
    }
}
