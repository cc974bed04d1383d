//! The client's reader of Jupiter's answers.

use flash_liquidator_client::swap::jupiter::{self, Allowed};
use solana_address::Address;

/// The user of the seeds' answers.
const AUTHORITY: Address = Address::new_from_array([7; 32]);

/// What the seeds' quotes sell.
const IN_AMOUNT: u64 = 10_000_000;

/// An answer's body.
pub fn run(bytes: &[u8]) {
    let Ok(text) = core::str::from_utf8(bytes) else { return };
    if let Ok(route) = jupiter::read(text, &AUTHORITY, IN_AMOUNT, 0, &Allowed::default()) {
        // A leg that is taken signs for nobody but the swap authority, and its amount is
        // where the program will write it.
        let leg = &route.leg;
        let signers = leg.accounts.iter().filter(|meta| meta.is_signer);
        assert!(signers.map(|meta| meta.pubkey).all(|key| key == AUTHORITY));
        let offset = usize::from(leg.amount_in_offset.expect("an amount"));
        assert_eq!(leg.data[offset..offset + 8], IN_AMOUNT.to_le_bytes());
    }
}
