//! Obligations that were tried lately.

use std::{
    collections::HashMap,
    time::{Duration, Instant},
};

use solana_address::Address;

const SECOND: Duration = Duration::from_secs(1);
const HOUR: Duration = Duration::from_secs(60 * 60);
const DAY: Duration = Duration::from_secs(60 * 60 * 24);

/// Keeps what was tried from being tried again too soon.
#[derive(Debug)]
pub struct Cooldown {
    length: Duration,
    /// Until when, and whether only for want of somebody who buys.
    until: HashMap<Address, (Instant, bool)>,
}

impl Cooldown {
    /// Lets each obligation rest for `length`.
    #[must_use]
    pub fn new(length: Duration) -> Self {
        Self { length, until: HashMap::new() }
    }

    /// Lets an obligation rest from `now` on.
    pub fn rest(&mut self, key: &Address, now: Instant) {
        self.rest_for(key, now, self.length, false);
    }

    /// Lets an obligation rest that failed alike so many times in a row: twice as long with
    /// each, up to an hour.
    pub fn rest_longer(&mut self, key: &Address, now: Instant, times: u32) {
        let doublings = times.saturating_sub(1).min(16);
        let least = if doublings == 0 { self.length } else { self.length.max(SECOND) };
        let longest = self.length.max(HOUR);
        self.rest_for(key, now, least.saturating_mul(1 << doublings).min(longest), false);
    }

    /// Lets an obligation rest that nothing sells; for a day, where everything was looked at
    /// that could: prices will not make it worth a try.
    pub fn rest_unsold(&mut self, key: &Address, now: Instant, is_final: bool) {
        let length = if is_final { self.length.max(DAY) } else { self.length };
        self.rest_for(key, now, length, true);
    }

    fn rest_for(&mut self, key: &Address, now: Instant, length: Duration, unsold: bool) {
        // A length beyond all time is forever.
        let forever = now + DAY * 365;
        self.until.insert(*key, (now.checked_add(length).unwrap_or(forever), unsold));
    }

    /// Lets those rest no longer that nothing sold.
    pub fn wake_unsold(&mut self) {
        self.until.retain(|_, (_, unsold)| !*unsold);
    }

    /// Whether it still rests.
    #[must_use]
    pub fn is_resting(&self, key: &Address, now: Instant) -> bool {
        self.until.get(key).is_some_and(|(until, _)| now < *until)
    }

    /// How long it still rests.
    #[must_use]
    pub fn left(&self, key: &Address, now: Instant) -> Duration {
        self.until
            .get(key)
            .map_or(Duration::ZERO, |(until, _)| until.saturating_duration_since(now))
    }

    /// Forgets those that have rested, so that the list does not grow.
    pub fn sweep(&mut self, now: Instant) {
        self.until.retain(|_, (until, _)| now < *until);
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
        cooldown.rest_unsold(&key, now, true);
        assert!(cooldown.is_resting(&key, now + Duration::from_secs(86_399)));
        assert!(!cooldown.is_resting(&key, now + Duration::from_secs(86_400)));
        let failed = Address::new_unique();
        cooldown.rest(&failed, now);
        cooldown.wake_unsold();
        assert!(!cooldown.is_resting(&key, now) && cooldown.is_resting(&failed, now));
        // A longer cooldown of the operator's stays.
        let mut cooldown = Cooldown::new(DAY * 2);
        cooldown.rest_unsold(&key, now, true);
        assert!(cooldown.is_resting(&key, now + DAY));
    }

    #[test]
    fn what_fails_alike_rests_longer_each_time() {
        let (now, key) = (Instant::now(), Address::new_unique());
        let mut cooldown = Cooldown::new(30 * SECOND);
        for (times, seconds) in [(1, 30), (2, 60), (3, 120), (8, 3_600), (u32::MAX, 3_600)] {
            cooldown.rest_longer(&key, now, times);
            assert!(cooldown.is_resting(&key, now + (seconds - 1) * SECOND), "{times}");
            assert!(!cooldown.is_resting(&key, now + seconds * SECOND), "{times}");
        }
        let mut cooldown = Cooldown::new(Duration::ZERO);
        cooldown.rest_longer(&key, now, 1);
        assert!(!cooldown.is_resting(&key, now));
        cooldown.rest_longer(&key, now, 2);
        assert!(cooldown.is_resting(&key, now + SECOND));
    }

    #[test]
    fn an_obligation_rests_for_the_whole_length_and_no_longer() {
        let (key, other) = (Address::new_from_array([1; 32]), Address::new_from_array([2; 32]));
        let (second, start) = (Duration::from_secs(1), Instant::now());
        let mut cooldown = Cooldown::new(2 * second);
        cooldown.rest(&key, start);
        assert!(cooldown.is_resting(&key, start + second));
        assert_eq!(cooldown.left(&key, start + second / 2), second * 3 / 2);
        assert_eq!(cooldown.left(&key, start + 9 * second), Duration::ZERO);
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
