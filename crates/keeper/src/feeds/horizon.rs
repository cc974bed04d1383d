//! Which slots may be: the newest that is known, and how far beyond it one may be.
//!
//! Every answer and every update says of which slot it is, and the newest overrules the
//! older. One that names a slot which is not to come would overrule all others from then
//! on: it is not believed, and who says it is treated as any other that is sick.

use std::{
    sync::{Mutex, PoisonError},
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

/// Slots that a node may be beyond the newest known without time having passed: no more
/// than others may be behind it, so that nobody who runs ahead makes all others too old.
pub const AHEAD: u64 = 32;
/// Slots that pass in a second at most. Slots of 200 ms are five; whoever counts faster
/// than this is soon out of reach, not everybody else.
const PER_SECOND: u64 = 6;
/// Slots that nodes may be behind the newest known, and are still believed: as many as that
/// may have been ahead.
const BEHIND: u64 = AHEAD;
/// 2020-03-16, when mainnet began: no cluster counts slots from before.
const BEGINNING: u64 = 1_584_316_800;
/// 2026-01-01. A machine whose clock says that it is earlier has the wrong time.
const WRITTEN: u64 = 1_767_225_600;
/// How long something beyond has to be said, by answers that agree, until it is believed
/// after all: this process slept, and the chain went on.
const INSISTENCE: Duration = Duration::from_secs(10);
/// How many of them there have to be.
const WITNESSES: u32 = 3;
/// Slots that such answers may differ by beside the time between them.
const JITTER: u64 = 8;
/// Half an hour of slots. A node may be so far behind, and if it was asked first it is the
/// others who are beyond: so far, others who contradict do not count.
const FAR_BEHIND: u64 = 9_000;

/// The newest slot that is believed.
#[derive(Debug, Default)]
pub struct Horizon(Mutex<Known>);

#[derive(Debug, Default)]
struct Known {
    newest: u64,
    /// From where what may be is counted: the slowest of those who are not behind. Somebody
    /// who runs ahead does not carry it along.
    anchor: Option<(u64, Instant)>,
    doubted: Option<Doubted>,
}

/// Something beyond that was said, and nothing that counts against it since.
#[derive(Debug)]
struct Doubted {
    slot: u64,
    since: Instant,
    times: u32,
}

/// Slots that may have passed in a time.
fn in_time(passed: Duration) -> u64 {
    let slots = passed.as_millis().saturating_mul(PER_SECOND.into()) / 1_000;
    u64::try_from(slots).unwrap_or(u64::MAX)
}

impl Horizon {
    /// The newest slot; 0 before there is one.
    pub fn newest(&self) -> u64 {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).newest
    }

    /// The oldest slot that is as good as now.
    pub fn oldest(&self) -> u64 {
        self.newest().saturating_sub(BEHIND)
    }

    /// Takes a slot that somebody names.
    ///
    /// # Errors
    /// Why it is not believed, with both numbers.
    pub fn take(&self, slot: u64) -> Result<(), String> {
        let today = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        self.take_at(slot, today, Instant::now())
    }

    /// As [`Self::take`], for an answer that has to be of `oldest` or later.
    ///
    /// # Errors
    /// Why it is not believed, with both numbers.
    pub fn take_since(&self, slot: u64, oldest: u64) -> Result<(), String> {
        self.take(slot)?;
        if slot < oldest { Err(format!("slot {slot}, wanted {oldest} or later")) } else { Ok(()) }
    }

    /// `today` is since 1970.
    fn take_at(&self, slot: u64, today: Duration, now: Instant) -> Result<(), String> {
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let ceiling = in_time(today.saturating_sub(Duration::from_secs(BEGINNING)));
        if slot > ceiling {
            let early = WRITTEN.saturating_sub(today.as_secs());
            let clock = match early / 86_400 {
                0 => String::new(),
                days => format!(
                    ", by this machine's clock, which is wrong: it says {days} days before 2026"
                ),
            };
            return Err(format!("slot {slot}: no cluster has come to {ceiling} yet{clock}"));
        }
        let newest = known.newest;
        let (from, since) = known.anchor.unwrap_or((slot, now));
        let line = from.saturating_add(in_time(now.saturating_duration_since(since)));
        if slot > line.saturating_add(AHEAD) {
            let fresh = Doubted { slot, since: now, times: 0 };
            let doubted = known.doubted.take().filter(|it| {
                let passed = now.saturating_duration_since(it.since);
                slot.abs_diff(it.slot) <= JITTER + in_time(passed)
            });
            let mut doubted = doubted.unwrap_or(fresh);
            doubted.times += 1;
            let insisted = now.saturating_duration_since(doubted.since) >= INSISTENCE;
            if !(insisted && doubted.times >= WITNESSES) {
                known.doubted = Some(doubted);
                return Err(format!("slot {slot} is not to come: the newest known is {newest}"));
            }
            known.anchor = Some((slot, now));
        } else if slot.saturating_add(AHEAD) >= newest {
            known.doubted.take_if(|it| it.slot > slot.saturating_add(FAR_BEHIND));
            if slot <= line {
                known.anchor = Some((slot, now));
            }
        }
        known.newest = newest.max(slot);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// By then a cluster may have come to some billion slots.
    const TODAY: Duration = Duration::from_secs(WRITTEN);

    #[test]
    fn what_is_not_to_come_is_not_believed() {
        let (horizon, begun) = (Horizon::default(), Instant::now());
        let after = |seconds| begun + Duration::from_secs(seconds);
        let take = |slot, at| horizon.take_at(slot, TODAY, at);
        for far in [1 << 63, u64::MAX, 2_000_000_000] {
            assert!(take(far, begun).is_err(), "{far}");
        }
        assert_eq!(horizon.newest(), 0);
        take(500_000, begun).unwrap();
        // Older ones are, and change nothing.
        take(3, begun).unwrap();
        take(500_030, begun).unwrap();
        assert_eq!(horizon.newest(), 500_030);
        let refused = take(500_100, begun).unwrap_err();
        assert!(refused.contains("500100") && refused.contains("500030"), "{refused}");
        // Half a minute later it may be.
        take(500_100, after(30)).unwrap();
        assert_eq!(horizon.newest(), 500_100);
    }

    #[test]
    fn a_clock_that_is_wrong_is_named() {
        let horizon = Horizon::default();
        let at =
            |seconds| horizon.take_at(400_000_000, Duration::from_secs(seconds), Instant::now());
        for (seconds, days) in [(900, 20_453), (BEGINNING + 86_400, 2_116)] {
            let refused = at(seconds).unwrap_err();
            let clock = format!("clock, which is wrong: it says {days} days before 2026");
            assert!(refused.contains(&clock), "{refused}");
        }
        at(WRITTEN).unwrap();
        let refused = horizon.take_at(1 << 63, TODAY, Instant::now()).unwrap_err();
        assert!(!refused.contains("clock"), "{refused}");
    }

    /// Slots of 200 ms, told of late and in bursts, and somebody who counts three times as
    /// fast.
    #[test]
    fn who_runs_ahead_makes_nobody_else_too_old() {
        for rate in [8, 10, 15, 30] {
            let (horizon, begun) = (Horizon::default(), Instant::now());
            let take = |slot, at| horizon.take_at(slot, TODAY, at);
            for second in 0..600 {
                let now = begun + Duration::from_secs(second);
                let honest = 1_000 + second / 3 * 3 * 5;
                take(honest, now).unwrap();
                let _ = take(1_000 + second * rate, now);
                let ahead = horizon.newest().saturating_sub(honest);
                // What was told of late is late by 10 slots, and those are made up for.
                assert!(ahead <= AHEAD + 10, "{rate}, second {second}: {ahead} slots ahead");
            }
        }
    }

    #[test]
    fn a_node_that_is_behind_and_was_asked_first_does_not_hide_the_others() {
        let (horizon, begun) = (Horizon::default(), Instant::now());
        let take = |slot, second| horizon.take_at(slot, TODAY, begun + Duration::from_secs(second));
        for second in 0..10 {
            take(1_000 + second * 2, second).unwrap();
            assert!(take(1_300 + second * 2, second).is_err(), "second {second}");
        }
        take(1_320, 10).unwrap();
        assert_eq!(horizon.newest(), 1_320);
    }

    #[test]
    fn a_liar_among_others_never_convinces_and_a_chain_that_went_on_does() {
        let (horizon, begun) = (Horizon::default(), Instant::now());
        let after = |seconds| begun + Duration::from_secs(seconds);
        let take = |slot, at| horizon.take_at(slot, TODAY, at);
        for second in 0..60 {
            take(1_000 + second * 2, after(second)).unwrap();
            assert!(take(900_000, after(second)).is_err(), "second {second}");
        }
        // Nobody says anything else any more.
        for second in 60..70 {
            assert!(take(900_000 + second * 2, after(second)).is_err(), "second {second}");
        }
        take(900_140, after(70)).unwrap();
        assert_eq!(horizon.newest(), 900_140);
        // Lies that do not agree with each other.
        let horizon = Horizon::default();
        horizon.take_at(1_000, TODAY, begun).unwrap();
        for second in 0..60 {
            assert!(horizon.take_at(700_000_000 + second * 900_000, TODAY, after(second)).is_err());
        }
        assert_eq!(horizon.newest(), 1_000);
    }

    #[test]
    fn mainnet_of_today_is_believed() {
        let horizon = Horizon::default();
        horizon.take(460_000_000).unwrap();
        assert!(horizon.take(1 << 63).is_err());
    }
}
