//! Checked views of klend's accounts: no copy, no guess.
//!
//! Each function checks, in this order, the owner, the length, the
//! discriminator, the alignment and the version, and then hands back a
//! reference into the given bytes. An account may be longer than its struct
//! (klend could grow it); it may not be shorter.

use bytemuck::Pod;
use klend_interface::state::{
    DISCRIMINATOR_SIZE, LendingMarket, Obligation, Reserve, SplDiscriminate,
};
use solana_address::Address;

use crate::constants::{KLEND_PROGRAM_ID, KLEND_STAGING_PROGRAM_ID, PROGRAM_VERSION};

/// Length of a Reserve account, discriminator included.
pub const RESERVE_LEN: usize = DISCRIMINATOR_SIZE + size_of::<Reserve>();
/// Length of an Obligation account, discriminator included.
pub const OBLIGATION_LEN: usize = DISCRIMINATOR_SIZE + size_of::<Obligation>();
/// Length of a LendingMarket account, discriminator included.
pub const LENDING_MARKET_LEN: usize = DISCRIMINATOR_SIZE + size_of::<LendingMarket>();

/// Why some bytes are not the klend account they were taken for.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum AccountError {
    /// The account belongs to neither klend deployment.
    #[error(
        "{kind} {key}: owned by {actual}, expected klend {expected} (or its staging deployment)"
    )]
    ForeignOwner {
        /// What the account was taken for.
        kind: &'static str,
        /// The account.
        key: Address,
        /// klend's program id.
        expected: Address,
        /// The owner it has.
        actual: Address,
    },
    /// Fewer bytes than the struct needs.
    #[error("{kind} {key}: {actual} bytes of data, expected at least {expected}")]
    TooShort {
        /// What the account was taken for.
        kind: &'static str,
        /// The account.
        key: Address,
        /// Bytes needed, discriminator included.
        expected: usize,
        /// Bytes there.
        actual: usize,
    },
    /// Another kind of account.
    #[error("{kind} {key}: discriminator {actual:?}, expected {expected:?}")]
    WrongDiscriminator {
        /// What the account was taken for.
        kind: &'static str,
        /// The account.
        key: Address,
        /// First eight bytes of this kind of account.
        expected: [u8; 8],
        /// First eight bytes there.
        actual: [u8; 8],
    },
    /// The bytes start at an address at which the struct cannot be viewed.
    #[error(
        "{kind} {key}: data starts {actual} bytes past a multiple of {expected}; copy it to the start of an allocation of its own"
    )]
    Misaligned {
        /// What the account was taken for.
        kind: &'static str,
        /// The account.
        key: Address,
        /// Alignment needed, in bytes.
        expected: usize,
        /// Distance from it, in bytes.
        actual: usize,
    },
    /// klend refuses an account of this version (its error 6073).
    #[error("{kind} {key}: version {actual}, expected {expected}")]
    WrongVersion {
        /// What the account was taken for.
        kind: &'static str,
        /// The account.
        key: Address,
        /// The version klend works with.
        expected: u64,
        /// The version written there.
        actual: u64,
    },
}

/// Views a Reserve account.
///
/// # Errors
/// [`AccountError`], with the key and both values.
pub fn reserve<'a>(
    key: &Address,
    owner: &Address,
    data: &'a [u8],
) -> Result<&'a Reserve, AccountError> {
    let reserve: &Reserve = view("reserve", key, owner, data)?;
    check_version("reserve", key, reserve.version)?;
    Ok(reserve)
}

/// Views an Obligation account (it has no version).
///
/// # Errors
/// [`AccountError`], with the key and both values.
pub fn obligation<'a>(
    key: &Address,
    owner: &Address,
    data: &'a [u8],
) -> Result<&'a Obligation, AccountError> {
    view("obligation", key, owner, data)
}

/// Views a LendingMarket account.
///
/// # Errors
/// [`AccountError`], with the key and both values.
pub fn lending_market<'a>(
    key: &Address,
    owner: &Address,
    data: &'a [u8],
) -> Result<&'a LendingMarket, AccountError> {
    let market: &LendingMarket = view("lending market", key, owner, data)?;
    check_version("lending market", key, market.version)?;
    Ok(market)
}

/// Views a Reserve account for writing.
///
/// # Errors
/// As [`reserve`].
pub fn reserve_mut<'a>(
    key: &Address,
    owner: &Address,
    data: &'a mut [u8],
) -> Result<&'a mut Reserve, AccountError> {
    reserve(key, owner, data)?;
    Ok(body_mut(data))
}

/// Views an Obligation account for writing.
///
/// # Errors
/// As [`obligation`].
pub fn obligation_mut<'a>(
    key: &Address,
    owner: &Address,
    data: &'a mut [u8],
) -> Result<&'a mut Obligation, AccountError> {
    obligation(key, owner, data)?;
    Ok(body_mut(data))
}

/// Views a LendingMarket account for writing.
///
/// # Errors
/// As [`lending_market`].
pub fn lending_market_mut<'a>(
    key: &Address,
    owner: &Address,
    data: &'a mut [u8],
) -> Result<&'a mut LendingMarket, AccountError> {
    lending_market(key, owner, data)?;
    Ok(body_mut(data))
}

/// Whether data of an account of klend is that of this kind of account: what it begins
/// with, and that nothing is missing. It may be longer.
#[must_use]
pub fn is<T: Pod + SplDiscriminate>(data: &[u8]) -> bool {
    data.len() >= DISCRIMINATOR_SIZE + size_of::<T>()
        && data.starts_with(T::SPL_DISCRIMINATOR_SLICE)
}

/// The account data of a klend struct: its discriminator and its bytes.
///
/// This is the inverse of the views above, for building forks and fixtures.
#[must_use]
pub fn account_data<T: Pod + SplDiscriminate>(state: &T) -> Vec<u8> {
    [T::SPL_DISCRIMINATOR_SLICE, bytemuck::bytes_of(state)].concat()
}

fn view<'a, T: Pod + SplDiscriminate>(
    kind: &'static str,
    key: &Address,
    owner: &Address,
    data: &'a [u8],
) -> Result<&'a T, AccountError> {
    if *owner != KLEND_PROGRAM_ID && *owner != KLEND_STAGING_PROGRAM_ID {
        return Err(AccountError::ForeignOwner {
            kind,
            key: *key,
            expected: KLEND_PROGRAM_ID,
            actual: *owner,
        });
    }
    let expected = DISCRIMINATOR_SIZE + size_of::<T>();
    let (Some((discriminator, _)), Some(body)) =
        (data.split_first_chunk::<DISCRIMINATOR_SIZE>(), data.get(DISCRIMINATOR_SIZE..expected))
    else {
        return Err(AccountError::TooShort { kind, key: *key, expected, actual: data.len() });
    };
    let wanted: [u8; 8] = T::SPL_DISCRIMINATOR.into();
    if *discriminator != wanted {
        return Err(AccountError::WrongDiscriminator {
            kind,
            key: *key,
            expected: wanted,
            actual: *discriminator,
        });
    }
    bytemuck::try_from_bytes(body).map_err(|_| AccountError::Misaligned {
        kind,
        key: *key,
        expected: align_of::<T>(),
        actual: body.as_ptr().addr() % align_of::<T>(),
    })
}

/// The struct behind a discriminator, once [`view`] has accepted the bytes.
fn body_mut<T: Pod>(data: &mut [u8]) -> &mut T {
    bytemuck::from_bytes_mut(&mut data[DISCRIMINATOR_SIZE..DISCRIMINATOR_SIZE + size_of::<T>()])
}

fn check_version(kind: &'static str, key: &Address, actual: u64) -> Result<(), AccountError> {
    if actual == PROGRAM_VERSION {
        Ok(())
    } else {
        Err(AccountError::WrongVersion { kind, key: *key, expected: PROGRAM_VERSION, actual })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use bytemuck::Zeroable;

    const KEY: Address = Address::new_from_array([7; 32]);

    fn reserve_bytes() -> Vec<u8> {
        account_data(&Reserve { version: 1, ..Reserve::zeroed() })
    }

    #[test]
    fn both_deployments_own_klend_accounts() {
        for owner in [KLEND_PROGRAM_ID, KLEND_STAGING_PROGRAM_ID] {
            assert_eq!(reserve(&KEY, &owner, &reserve_bytes()).unwrap().version, 1);
        }
    }

    #[test]
    fn a_foreign_owner_is_named() {
        let error = reserve(&KEY, &Address::new_from_array([9; 32]), &reserve_bytes()).unwrap_err();
        assert_eq!(
            error,
            AccountError::ForeignOwner {
                kind: "reserve",
                key: KEY,
                expected: KLEND_PROGRAM_ID,
                actual: Address::new_from_array([9; 32]),
            }
        );
        assert!(error.to_string().contains(&KEY.to_string()));
    }

    #[test]
    fn every_length_below_the_struct_is_too_short() {
        let data = reserve_bytes();
        for actual in [0, 7, 8, 100, RESERVE_LEN - 1] {
            assert_eq!(
                reserve(&KEY, &KLEND_PROGRAM_ID, &data[..actual]).unwrap_err(),
                AccountError::TooShort { kind: "reserve", key: KEY, expected: RESERVE_LEN, actual }
            );
        }
        assert_eq!((RESERVE_LEN, OBLIGATION_LEN, LENDING_MARKET_LEN), (8624, 3344, 4664));
    }

    #[test]
    fn a_longer_account_is_still_readable() {
        let mut data = reserve_bytes();
        data.extend_from_slice(&[0xAA; 64]);
        assert!(reserve(&KEY, &KLEND_PROGRAM_ID, &data).is_ok());
    }

    #[test]
    fn another_kind_of_account_is_refused() {
        let mut data = account_data(&Obligation::zeroed());
        data.resize(RESERVE_LEN, 0);
        let AccountError::WrongDiscriminator { expected, actual, .. } =
            reserve(&KEY, &KLEND_PROGRAM_ID, &data).unwrap_err()
        else {
            panic!("expected a discriminator error");
        };
        assert_eq!(expected, [43, 242, 204, 202, 26, 247, 59, 127]);
        assert_eq!(actual, [168, 206, 141, 106, 88, 76, 172, 167]);
    }

    #[test]
    fn another_version_is_refused_with_both_numbers() {
        for version in [0, 2, u64::MAX] {
            let data = account_data(&LendingMarket { version, ..LendingMarket::zeroed() });
            assert_eq!(
                lending_market(&KEY, &KLEND_PROGRAM_ID, &data).unwrap_err(),
                AccountError::WrongVersion {
                    kind: "lending market",
                    key: KEY,
                    expected: 1,
                    actual: version,
                }
            );
        }
    }

    #[test]
    fn misaligned_bytes_are_refused_not_copied() {
        let data = account_data(&Obligation::zeroed());
        let mut accepted = 0;
        for shift in 0..8 {
            let mut moved = vec![0; shift];
            moved.extend_from_slice(&data);
            let offset = moved[shift..].as_ptr().addr() % 8;
            let result = obligation(&KEY, &KLEND_PROGRAM_ID, &moved[shift..]);
            if offset == 0 {
                assert!(result.is_ok());
                accepted += 1;
            } else {
                assert_eq!(
                    result.unwrap_err(),
                    AccountError::Misaligned {
                        kind: "obligation",
                        key: KEY,
                        expected: 8,
                        actual: offset,
                    }
                );
            }
        }
        assert!(accepted < 8, "no misaligned slice was tried");
    }

    #[test]
    fn writing_through_the_mutable_view_reaches_the_bytes() {
        let mut data = reserve_bytes();
        reserve_mut(&KEY, &KLEND_PROGRAM_ID, &mut data).unwrap().liquidity.total_available_amount =
            42;
        assert_eq!(data[8 + 216..8 + 224], 42u64.to_le_bytes());
    }
}
