//! Obligations that were tried lately.

use std::{
    collections::HashMap,
    time::{Duration, Instant},
};

use solana_address::Address;

const DAY: Duration = Duration::from_secs(60 * 60 * 24);

/// Keeps what was tried from being tried again too soon.
#[derive(Debug)]
pub struct Cooldown {
    length: Duration,
    until: HashMap<Address, Instant>,
}

impl Cooldown {
    /// Lets each obligation rest for `length`.
    #[must_use]
    pub fn new(length: Duration) -> Self {
        Self { length, until: HashMap::new() }
    }

    /// Lets an obligation rest from `now` on.
    pub fn rest(&mut self, key: &Address, now: Instant) {
        self.rest_for(key, now, self.length);
    }

    /// Lets an obligation rest for a day: nothing that moves by the minute will make it
    /// worth a try.
    pub fn rest_a_day(&mut self, key: &Address, now: Instant) {
        self.rest_for(key, now, self.length.max(DAY));
    }

    fn rest_for(&mut self, key: &Address, now: Instant, length: Duration) {
        // A length beyond all time is forever.
        let forever = now + DAY * 365;
        self.until.insert(*key, now.checked_add(length).unwrap_or(forever));
    }

    /// Whether it still rests.
    #[must_use]
    pub fn is_resting(&self, key: &Address, now: Instant) -> bool {
        self.until.get(key).is_some_and(|until| now < *until)
    }

    /// Forgets those that have rested, so that the list does not grow.
    pub fn sweep(&mut self, now: Instant) {
        self.until.retain(|_, until| now < *until);
    }

    /// How many rest.
    #[must_use]
    pub fn len(&self) -> usize {
        self.until.len()
    }

    /// Whether none rests.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.until.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_nothing_sells_rests_for_a_day() {
        let (now, key) = (Instant::now(), Address::new_unique());
        let mut cooldown = Cooldown::new(Duration::from_secs(600));
        cooldown.rest_a_day(&key, now);
        assert!(cooldown.is_resting(&key, now + Duration::from_secs(86_399)));
        assert!(!cooldown.is_resting(&key, now + Duration::from_secs(86_400)));
        // A longer cooldown of the operator's stays.
        let mut cooldown = Cooldown::new(DAY * 2);
        cooldown.rest_a_day(&key, now);
        assert!(cooldown.is_resting(&key, now + DAY));
    }

    #[test]
    fn an_obligation_rests_for_the_whole_length_and_no_longer() {
        let (key, other) = (Address::new_from_array([1; 32]), Address::new_from_array([2; 32]));
        let (second, start) = (Duration::from_secs(1), Instant::now());
        let mut cooldown = Cooldown::new(2 * second);
        cooldown.rest(&key, start);
        assert!(cooldown.is_resting(&key, start + second));
        assert!(!cooldown.is_resting(&key, start + 2 * second));
        assert!(!cooldown.is_resting(&other, start));
        // Tried again, it rests again.
        cooldown.rest(&key, start + second);
        assert!(cooldown.is_resting(&key, start + 2 * second));
        cooldown.sweep(start + 2 * second);
        assert_eq!(cooldown.len(), 1);
        cooldown.sweep(start + 3 * second);
        assert!(cooldown.is_empty());
    }

    #[test]
    fn no_length_is_no_rest() {
        let key = Address::new_from_array([1; 32]);
        let mut cooldown = Cooldown::new(Duration::ZERO);
        let now = Instant::now();
        cooldown.rest(&key, now);
        assert!(!cooldown.is_resting(&key, now));
    }
}
