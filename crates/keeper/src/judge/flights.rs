//! Obligations that are being liquidated at this moment.

use std::collections::HashSet;

use solana_address::Address;

/// Keeps an obligation from being tried while it is being tried, and counts.
#[derive(Debug)]
pub struct Flights {
    most: usize,
    keys: HashSet<Address>,
}

impl Flights {
    /// Allows `most` at the same time.
    #[must_use]
    pub fn new(most: usize) -> Self {
        Self { most, keys: HashSet::new() }
    }

    /// Begins one; `false` if it has begun already or there is no room.
    pub fn begin(&mut self, key: &Address) -> bool {
        self.has_room() && self.keys.insert(*key)
    }

    /// Ends one; `false` if it had not begun.
    pub fn end(&mut self, key: &Address) -> bool {
        self.keys.remove(key)
    }

    /// Whether one more may begin.
    #[must_use]
    pub fn has_room(&self) -> bool {
        self.keys.len() < self.most
    }

    /// Whether this one has begun and not ended.
    #[must_use]
    pub fn contains(&self, key: &Address) -> bool {
        self.keys.contains(key)
    }

    /// How many there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.keys.len()
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.keys.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_flies_twice_and_no_more_than_allowed() {
        let key = |byte| Address::new_from_array([byte; 32]);
        let mut flights = Flights::new(2);
        assert!(flights.begin(&key(1)));
        assert!(!flights.begin(&key(1)));
        assert!(flights.begin(&key(2)) && !flights.has_room());
        assert!(!flights.begin(&key(3)));
        assert!(flights.end(&key(1)) && !flights.end(&key(1)));
        assert!(flights.begin(&key(3)));
        assert!(flights.contains(&key(3)) && !flights.contains(&key(1)));
        assert_eq!((flights.len(), flights.is_empty()), (2, false));
    }
}
