//! The one place where keys cross between the two generations of Solana types.
//!
//! `klend-interface` speaks solana 2.x (`Pubkey`); everything else here speaks
//! the current interface crates ([`Address`]). Both are 32 plain bytes with an
//! alignment of one, so a reference can be recast without copying.

use solana_address::Address;
use solana_pubkey_v2::Pubkey;

/// Views a key read out of a klend account as an [`Address`].
#[inline]
#[must_use]
pub fn address(key: &Pubkey) -> &Address {
    bytemuck::cast_ref(key)
}

/// Views an [`Address`] as the key type of klend's structs.
#[inline]
#[must_use]
pub fn v2(address: &Address) -> &Pubkey {
    bytemuck::cast_ref(address)
}

/// An owned key in the type of klend's structs, for writing into them and for
/// calling `klend-interface`'s builders.
#[inline]
#[must_use]
pub fn to_v2(address: &Address) -> Pubkey {
    *v2(address)
}

/// An owned [`Address`] from a key of klend's structs.
#[inline]
#[must_use]
pub fn to_address(key: &Pubkey) -> Address {
    *address(key)
}

/// Whether a key read out of a klend account is set: klend writes the default
/// (all-zero) key where it has none.
#[inline]
#[must_use]
pub fn is_set(key: &Pubkey) -> bool {
    *key != Pubkey::new_from_array([0; 32])
}

/// The same as [`is_set`], as an option.
#[inline]
#[must_use]
pub fn some(key: &Pubkey) -> Option<&Address> {
    is_set(key).then(|| address(key))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_survives_the_round_trip_byte_for_byte() {
        let bytes: [u8; 32] = core::array::from_fn(|i| i as u8);
        let key = Pubkey::new_from_array(bytes);
        assert_eq!(address(&key).to_bytes(), bytes);
        assert_eq!(to_v2(address(&key)), key);
        assert_eq!(to_address(v2(&Address::new_from_array(bytes))).to_bytes(), bytes);
    }

    #[test]
    fn only_the_zero_key_is_unset() {
        assert!(!is_set(&Pubkey::default()));
        assert_eq!(some(&Pubkey::default()), None);
        let mut bytes = [0; 32];
        bytes[31] = 1;
        let key = Pubkey::new_from_array(bytes);
        assert_eq!(some(&key), Some(address(&key)));
    }
}
