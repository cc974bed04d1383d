//! Addresses that programs derive from seeds, each derived once.

use std::{
    collections::HashMap,
    sync::{LazyLock, PoisonError, RwLock},
};

use solana_address::Address;

/// Addresses that are remembered; then it begins anew. Some ten megabytes.
const MOST: usize = 1 << 16;

/// Addresses and their bumps, by all that they are hashed from.
type Known = HashMap<Vec<u8>, (Address, u8)>;

static KNOWN: LazyLock<RwLock<Known>> = LazyLock::new(RwLock::default);

/// The address that `program` derives from `seeds`, and its bump. The first time takes
/// some ten microseconds.
///
/// # Panics
/// If a seed has more than 32 bytes, or there are more than 15.
#[must_use]
pub fn find(seeds: &[&[u8]], program: &Address) -> (Address, u8) {
    let mut hashed = seeds.concat();
    hashed.extend_from_slice(program.as_ref());
    let known = KNOWN.read().unwrap_or_else(PoisonError::into_inner).get(&hashed).copied();
    known.unwrap_or_else(|| {
        let derived = Address::find_program_address(seeds, program);
        let mut known = KNOWN.write().unwrap_or_else(PoisonError::into_inner);
        if known.len() >= MOST {
            known.clear();
        }
        known.insert(hashed, derived);
        derived
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_the_same_the_second_time_and_when_much_else_was_derived() {
        let [program, other] = [1, 2].map(|byte| Address::new_from_array([byte; 32]));
        let seeds: &[&[u8]] = &[b"tick_array", &[7; 32]];
        let expected = Address::find_program_address(seeds, &program);
        assert_ne!(expected, Address::find_program_address(seeds, &other));
        for _ in 0..2 {
            assert_eq!(find(seeds, &program), expected);
            assert_eq!(find(seeds, &other), Address::find_program_address(seeds, &other));
        }
        let filler = (0..MOST as u32).map(|n| (n.to_le_bytes().to_vec(), expected));
        KNOWN.write().unwrap().extend(filler);
        let fresh: &[&[u8]] = &[b"fresh"];
        assert_eq!(find(fresh, &program), Address::find_program_address(fresh, &program));
        assert!(KNOWN.read().unwrap().len() < MOST);
        assert_eq!(find(seeds, &program), expected);
    }
}
