//! Addresses and keys that come from a name: the same in every world.

use sha2::{Digest, Sha256};
use solana_address::Address;
use solana_keypair::Keypair;

/// An address that nobody has the key of, the same for the same name.
pub(crate) fn named_address(name: &str) -> Address {
    Address::new_from_array(Sha256::digest(["klend-fork ", name].concat()).into())
}

/// A key pair, the same for the same name.
pub(crate) fn named_keypair(name: &str) -> Keypair {
    Keypair::new_from_array(Sha256::digest(["klend-fork actor ", name].concat()).into())
}
