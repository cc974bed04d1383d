//! Where a program's pools state what a list of them is made by.

use solana_address::Address;

use crate::account::Kind;

/// Where the pools of a program state what a list of them is made by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Listing {
    /// The venue in words.
    pub name: &'static str,
    /// The program.
    pub program: Address,
    /// What a pool's data begins with, where the program marks accounts.
    pub discriminator: Option<[u8; 8]>,
    /// Bytes a pool has at least.
    pub len: usize,
    /// Offsets of the two mints.
    pub mints: [usize; 2],
    /// Offsets of the two vaults, in the order of the mints.
    pub vaults: [usize; 2],
}

impl Listing {
    pub(crate) const fn of(kind: Kind, mints: [usize; 2], vaults: [usize; 2]) -> Self {
        let Kind { what: name, program, discriminator, len } = kind;
        Self { name, program, discriminator, len, mints, vaults }
    }

    /// The vaults that a pool's account states, in the order of its mints; `None` if it is
    /// too short for them.
    #[must_use]
    pub fn vaults_of(&self, data: &[u8]) -> Option<[Address; 2]> {
        let key = |at: usize| data.get(at..)?.first_chunk().copied().map(Address::new_from_array);
        Some([key(self.vaults[0])?, key(self.vaults[1])?])
    }
}
