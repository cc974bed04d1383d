//! Random numbers that a seed reproduces, and how long to play.

use std::{
    env,
    ops::Range,
    time::{Duration, Instant},
};

/// SplitMix64.
pub struct Dice(u64);

impl Dice {
    /// Dice for one case of a run.
    pub fn new(seed: u64, case: u64) -> Self {
        let mut dice = Self(seed);
        Self(dice.next() ^ case.wrapping_mul(0x9e37_79b9_7f4a_7c15))
    }

    pub fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// A number in a range that is not empty.
    pub fn in_range(&mut self, range: Range<usize>) -> usize {
        range.start + (self.next() % (range.end - range.start) as u64) as usize
    }

    /// True once in `n` throws.
    pub fn one_in(&mut self, n: usize) -> bool {
        self.in_range(0..n) == 0
    }

    pub fn byte(&mut self) -> u8 {
        self.next() as u8
    }

    pub fn bytes(&mut self, len: usize) -> Vec<u8> {
        (0..len).map(|_| self.byte()).collect()
    }

    pub fn pick<'a, T>(&mut self, from: &'a [T]) -> &'a T {
        &from[self.in_range(0..from.len())]
    }
}

/// The seed of this run: `FUZZ_SEED`, or always the same one.
pub fn seed() -> u64 {
    env::var("FUZZ_SEED").ok().and_then(|text| text.parse().ok()).unwrap_or(1)
}

/// How many times more cases a run with `FUZZ_MINUTES` plays at least.
const LONG: u64 = 14;

/// Plays `least` cases, or with `FUZZ_MINUTES` set [`LONG`] times as many and more
/// until the share `share` of those minutes is over. `FUZZ_CASE` names a single one
/// to play again. Returns how many were played.
pub fn play(what: &str, least: u64, share: f64, mut case: impl FnMut(u64, &mut Dice)) -> u64 {
    let number = |name: &str| env::var(name).ok().and_then(|text| text.parse::<f64>().ok());
    let seed = seed();
    if let Some(only) = number("FUZZ_CASE") {
        case(only as u64, &mut Dice::new(seed, only as u64));
        return 1;
    }
    let minutes = number("FUZZ_MINUTES").unwrap_or(0.0).clamp(0.0, 1e6);
    let least = if minutes > 0.0 { least * LONG } else { least };
    let time = Duration::from_secs_f64(minutes * 60.0 * share);
    let start = Instant::now();
    let mut played = 0;
    while played < least || start.elapsed() < time {
        case(played, &mut Dice::new(seed, played));
        played += 1;
    }
    println!("{what}: {played} cases in {:.1} s, seed {seed}", start.elapsed().as_secs_f64());
    played
}
