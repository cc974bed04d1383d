//! Addresses that programs derive, remembered.
//!
//! A derivation hashes until the result lies off a curve, which takes some ten to a hundred
//! microseconds; a keeper asks for the same few with every quote and every leg.

use std::{cell::RefCell, collections::HashMap};

use solana_address::Address;

/// Seeds that an address has at most, and bytes of each.
const SEEDS: usize = 16;
const SEED_LEN: usize = 32;
/// Addresses that a thread remembers: some megabytes.
const MOST: usize = 16_384;

thread_local! {
    /// By what is hashed: all seeds, one after the other, and the program.
    static KNOWN: RefCell<HashMap<Vec<u8>, (Address, u8)>> = RefCell::default();
}

/// [`Address::find_program_address`], from memory where this thread derived it before.
#[must_use]
pub fn find_program_address(seeds: &[&[u8]], program: &Address) -> (Address, u8) {
    let mut hashed = [0; (SEEDS + 1) * SEED_LEN];
    let mut len = 0;
    for part in seeds.iter().copied().chain([program.as_ref()]) {
        let Some(place) = hashed.get_mut(len..len + part.len()) else {
            // More than an address may have: refused there.
            return Address::find_program_address(seeds, program);
        };
        place.copy_from_slice(part);
        len += part.len();
    }
    KNOWN.with_borrow_mut(|known| {
        if let Some(found) = known.get(&hashed[..len]) {
            return *found;
        }
        let found = Address::find_program_address(seeds, program);
        if known.len() >= MOST {
            known.clear();
        }
        known.insert(hashed[..len].to_vec(), found);
        found
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_remembered_is_what_is_derived() {
        let program = Address::new_from_array([7; 32]);
        for number in 0..50u8 {
            let owner = [number; 32];
            let seeds: [&[u8]; 3] = [b"stake", &owner, &[number]];
            let derived = Address::find_program_address(&seeds, &program);
            assert_eq!(find_program_address(&seeds, &program), derived);
            assert_eq!(find_program_address(&seeds, &program), derived, "from memory");
            let other = Address::new_from_array([8; 32]);
            let derived = Address::find_program_address(&seeds, &other);
            assert_eq!(find_program_address(&seeds, &other), derived);
        }
    }

    #[test]
    fn memory_has_an_end() {
        let program = Address::new_from_array([7; 32]);
        let key = |number: u32| number.to_le_bytes();
        KNOWN.with_borrow_mut(|known| {
            for number in 0..MOST as u32 {
                known.insert(key(number).to_vec(), (program, 0));
            }
        });
        let seeds: [&[u8]; 1] = [b"one more"];
        let derived = Address::find_program_address(&seeds, &program);
        assert_eq!(find_program_address(&seeds, &program), derived);
        KNOWN.with_borrow(|known| assert_eq!(known.len(), 1));
    }
}
