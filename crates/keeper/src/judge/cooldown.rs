//! Obligations that were tried lately.
//!
//! A rest is over when its time is, or [soon](SOON), when what it rests for has changed.

use std::{
    collections::HashMap,
    time::{Duration, Instant},
};

use solana_address::Address;

const SECOND: Duration = Duration::from_secs(1);
const MINUTE: Duration = Duration::from_secs(60);
const HOUR: Duration = Duration::from_secs(60 * 60);
const DAY: Duration = Duration::from_secs(60 * 60 * 24);

/// Longest rest of what has changed since it was tried, and of what was not the
/// obligation's fault: a transaction that nobody took. What changes all the time is not
/// tried all the time.
const SOON: Duration = Duration::from_secs(4);

/// Keeps what was tried from being tried again too soon.
#[derive(Debug)]
pub struct Cooldown {
    length: Duration,
    /// Until when; when at the earliest, if it changes; and why.
    until: HashMap<Address, (Instant, Instant, Rest)>,
}

/// What a rest is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Rest {
    /// It was tried, or not worth a try: another state of it is another matter.
    Tried,
    /// It failed alike again, whatever its state.
    Alike,
    /// Nobody is there who buys.
    Unsold,
}

impl Cooldown {
    /// Lets each obligation rest for `length`.
    #[must_use]
    pub fn new(length: Duration) -> Self {
        Self { length, until: HashMap::new() }
    }

    /// Lets an obligation rest from `now` on.
    pub fn rest(&mut self, key: &Address, now: Instant) {
        self.rest_for(key, now, self.length, Rest::Tried);
    }

    /// Lets an obligation rest that failed alike so many times in a row: twice as long with
    /// each, up to an hour if it cost a fee, else a minute.
    pub fn rest_longer(&mut self, key: &Address, now: Instant, times: u32, was_sent: bool) {
        let doublings = times.saturating_sub(1).min(16);
        let least = if doublings == 0 { self.length } else { self.length.max(SECOND) };
        let longest = self.length.max(if was_sent { HOUR } else { MINUTE });
        let why = if doublings == 0 { Rest::Tried } else { Rest::Alike };
        self.rest_for(key, now, least.saturating_mul(1 << doublings).min(longest), why);
    }

    /// Lets an obligation rest whose transaction nobody took, or that has changed since it
    /// was tried.
    pub fn rest_shortly(&mut self, key: &Address, now: Instant) {
        self.rest_for(key, now, self.length.min(SOON), Rest::Tried);
    }

    /// Lets an obligation rest that nothing sells; for a day, where everything was looked at
    /// that could: prices will not make it worth a try.
    pub fn rest_unsold(&mut self, key: &Address, now: Instant, is_final: bool) {
        let length = if is_final { self.length.max(DAY) } else { self.length };
        self.rest_for(key, now, length, Rest::Unsold);
    }

    fn rest_for(&mut self, key: &Address, now: Instant, length: Duration, why: Rest) {
        // A length beyond all time is forever.
        let forever = now + DAY * 365;
        let until = now.checked_add(length).unwrap_or(forever);
        self.until.insert(*key, (until, until.min(now + SOON), why));
    }

    /// Lets those rest no longer that nothing sold.
    pub fn wake_unsold(&mut self) {
        self.until.retain(|_, (.., why)| *why != Rest::Unsold);
    }

    /// Lets an obligation rest no longer than shortly that has changed, unless it failed
    /// alike again and again: those change, too.
    pub fn wake(&mut self, key: &Address) {
        if let Some((until, soon, why)) = self.until.get_mut(key)
            && *why != Rest::Alike
        {
            *until = *soon;
        }
    }

    /// Lets those rest no longer that failed while updates did not flow: what they were
    /// judged by was old.
    pub fn wake_all(&mut self) {
        self.until.retain(|_, (.., why)| *why == Rest::Unsold);
    }

    /// Whether it still rests.
    #[must_use]
    pub fn is_resting(&self, key: &Address, now: Instant) -> bool {
        self.until.get(key).is_some_and(|(until, ..)| now < *until)
    }

    /// How long it still rests.
    #[must_use]
    pub fn left(&self, key: &Address, now: Instant) -> Duration {
        self.until
            .get(key)
            .map_or(Duration::ZERO, |(until, ..)| until.saturating_duration_since(now))
    }

    /// Forgets those that have rested, so that the list does not grow.
    pub fn sweep(&mut self, now: Instant) {
        self.until.retain(|_, (until, ..)| now < *until);
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
            cooldown.rest_longer(&key, now, times, true);
            assert!(cooldown.is_resting(&key, now + (seconds - 1) * SECOND), "{times}");
            assert!(!cooldown.is_resting(&key, now + seconds * SECOND), "{times}");
            // Without a fee, no longer than a minute.
            cooldown.rest_longer(&key, now, times, false);
            assert_eq!(cooldown.left(&key, now), seconds.min(60) * SECOND, "{times}");
        }
        // Nor is one that changes all the time woken by that.
        cooldown.wake(&key);
        assert!(cooldown.is_resting(&key, now));
        cooldown.wake_all();
        assert!(!cooldown.is_resting(&key, now));
        let mut cooldown = Cooldown::new(Duration::ZERO);
        cooldown.rest_longer(&key, now, 1, true);
        assert!(!cooldown.is_resting(&key, now));
        cooldown.rest_longer(&key, now, 2, true);
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
    fn a_rest_ends_with_what_it_is_for() {
        let (now, key) = (Instant::now(), Address::new_unique());
        let mut cooldown = Cooldown::new(600 * SECOND);
        cooldown.rest(&key, now);
        // However often it changes.
        (0..9).for_each(|_| cooldown.wake(&key));
        assert_eq!(cooldown.left(&key, now), SOON);
        cooldown.rest_longer(&key, now, 1, true);
        assert_eq!(cooldown.left(&key, now), 600 * SECOND);
        cooldown.wake(&key);
        assert_eq!(cooldown.left(&key, now), SOON);
        cooldown.rest_unsold(&key, now, true);
        cooldown.wake_all();
        assert_eq!(cooldown.left(&key, now), DAY);
        cooldown.wake(&key);
        assert_eq!(cooldown.left(&key, now), SOON);
        cooldown.rest_shortly(&key, now);
        assert_eq!(cooldown.left(&key, now), SOON);
        let mut cooldown = Cooldown::new(SECOND);
        cooldown.rest(&key, now);
        cooldown.wake(&key);
        assert_eq!(cooldown.left(&key, now), SECOND);
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
