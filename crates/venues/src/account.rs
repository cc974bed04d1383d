//! Accounts as they were read, and what is not known about them.

use std::collections::{BTreeMap, HashMap};

use solana_address::Address;

use crate::error::VenueError;

/// An account's owner and bytes.
#[derive(Clone, Copy, Debug)]
pub struct Account<'a> {
    /// The program it belongs to.
    pub owner: &'a Address,
    /// Its bytes.
    pub data: &'a [u8],
}

/// What is known of an address.
#[derive(Clone, Copy, Debug)]
pub enum Known<'a> {
    /// Nobody has looked.
    Unread,
    /// There is no account.
    Absent,
    /// The account.
    Present(Account<'a>),
}

/// Accounts that were read.
pub trait Accounts {
    /// What is known of an address.
    fn known(&self, key: &Address) -> Known<'_>;
}

/// By address: owner and bytes, or that there is no account.
impl Accounts for BTreeMap<Address, Option<(Address, Vec<u8>)>> {
    fn known(&self, key: &Address) -> Known<'_> {
        known(self.get(key))
    }
}

/// By address: owner and bytes, or that there is no account.
impl Accounts for HashMap<Address, Option<(Address, Vec<u8>)>> {
    fn known(&self, key: &Address) -> Known<'_> {
        known(self.get(key))
    }
}

fn known(entry: Option<&Option<(Address, Vec<u8>)>>) -> Known<'_> {
    match entry {
        None => Known::Unread,
        Some(None) => Known::Absent,
        Some(Some((owner, data))) => Known::Present(Account { owner, data }),
    }
}

/// The kind of an account: who owns it, how it begins, how long it is.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Kind {
    /// What it is, for errors.
    pub what: &'static str,
    pub program: Address,
    /// Its first eight bytes, where its program marks accounts by them.
    pub discriminator: Option<[u8; 8]>,
    /// Bytes it must have at least.
    pub len: usize,
}

impl Kind {
    /// A kind whose accounts begin with `first`.
    pub const fn marked(what: &'static str, program: Address, first: [u8; 8], len: usize) -> Self {
        Self { what, program, discriminator: Some(first), len }
    }

    /// The bytes of an account of this kind.
    pub fn read<'a>(&self, key: &Address, account: Account<'a>) -> Result<Bytes<'a>, VenueError> {
        let what = self.what;
        if *account.owner != self.program {
            let (owner, expected) = (*account.owner, self.program);
            return Err(VenueError::OtherProgram { account: *key, what, owner, expected });
        }
        if account.data.len() < self.len {
            let (len, expected) = (account.data.len(), self.len);
            return Err(VenueError::Truncated { account: *key, what, len, expected });
        }
        if self.discriminator.is_some_and(|first| !account.data.starts_with(&first)) {
            return Err(VenueError::OtherKind { account: *key, what });
        }
        Ok(Bytes(account.data))
    }

    /// The bytes of an account of this kind that `pool` needs.
    pub fn of_pool<'a>(
        &self,
        pool: &Address,
        key: &Address,
        accounts: &'a dyn Accounts,
    ) -> Result<Bytes<'a>, VenueError> {
        match accounts.known(key) {
            Known::Present(account) => self.read(key, account),
            Known::Unread => {
                Err(VenueError::Unread { pool: *pool, account: *key, what: self.what })
            }
            Known::Absent => {
                Err(VenueError::Absent { pool: *pool, account: *key, what: self.what })
            }
        }
    }
}

/// Bytes of an account whose length has been checked.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Bytes<'a>(pub &'a [u8]);

impl Bytes<'_> {
    pub fn array<const N: usize>(self, at: usize) -> [u8; N] {
        self.0.get(at..).and_then(|tail| tail.first_chunk()).copied().unwrap_or([0; N])
    }

    pub fn key(self, at: usize) -> Address {
        Address::new_from_array(self.array(at))
    }

    pub fn u8(self, at: usize) -> u8 {
        self.array::<1>(at)[0]
    }

    pub fn u16(self, at: usize) -> u16 {
        u16::from_le_bytes(self.array(at))
    }

    pub fn u32(self, at: usize) -> u32 {
        u32::from_le_bytes(self.array(at))
    }

    pub fn i32(self, at: usize) -> i32 {
        i32::from_le_bytes(self.array(at))
    }

    pub fn u64(self, at: usize) -> u64 {
        u64::from_le_bytes(self.array(at))
    }

    pub fn u128(self, at: usize) -> u128 {
        u128::from_le_bytes(self.array(at))
    }

    pub fn i64(self, at: usize) -> i64 {
        i64::from_le_bytes(self.array(at))
    }

    pub fn i128(self, at: usize) -> i128 {
        i128::from_le_bytes(self.array(at))
    }
}
