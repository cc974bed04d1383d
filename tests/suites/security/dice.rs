//! How long to play with random numbers, and with which.

use std::{
    env, thread,
    time::{Duration, Instant},
};

pub use flash_liquidator_fuzz::Dice;

/// The seed of this run: `FUZZ_SEED`, or always the same one.
pub fn seed() -> u64 {
    env::var("FUZZ_SEED").ok().and_then(|text| text.parse().ok()).unwrap_or(1)
}

/// Tells how to play a case again, if it fails.
struct Replay {
    seed: u64,
    case: u64,
}

impl Drop for Replay {
    fn drop(&mut self) {
        if thread::panicking() {
            eprintln!("to play it again: FUZZ_SEED={} FUZZ_CASE={}", self.seed, self.case);
        }
    }
}

/// How many times more cases a run with `FUZZ_MINUTES` plays at least.
const LONG: u64 = 14;

/// Plays `least` cases, or with `FUZZ_MINUTES` set [`LONG`] times as many and more
/// until the share `share` of those minutes is over; at least `FUZZ_CASES`. `FUZZ_CASE` names a single one
/// to play again. Returns how many were played.
pub fn play(what: &str, least: u64, share: f64, mut case: impl FnMut(u64, &mut Dice)) -> u64 {
    let number = |name: &str| env::var(name).ok().and_then(|text| text.parse::<f64>().ok());
    let seed = seed();
    let mut case = |number: u64| {
        let _replay = Replay { seed, case: number };
        case(number, &mut Dice::new(seed, number));
    };
    if let Some(only) = number("FUZZ_CASE") {
        case(only as u64);
        return 1;
    }
    let minutes = number("FUZZ_MINUTES").unwrap_or(0.0).clamp(0.0, 1e6);
    let least = if minutes > 0.0 { least * LONG } else { least };
    let least = number("FUZZ_CASES").map_or(least, |cases| least.max(cases as u64));
    let time = Duration::from_secs_f64(minutes * 60.0 * share);
    let start = Instant::now();
    let mut played = 0;
    while played < least || start.elapsed() < time {
        case(played);
        played += 1;
    }
    println!("{what}: {played} cases in {:.1} s, seed {seed}", start.elapsed().as_secs_f64());
    played
}
