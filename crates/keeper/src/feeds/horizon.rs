//! Which slots may be: the newest that is known, and how far beyond it one may be.
//!
//! Every answer and every update says of which slot it is, and the newest overrules the
//! older. One that names a slot which is not to come would overrule all others from then
//! on: it is not believed, and who says it is treated as any other that is sick.

use std::{
    sync::{Mutex, PoisonError},
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

/// Slots that a node may be beyond the newest known without time having passed.
const AHEAD: u64 = 150;
/// Slots that pass in a second at most, far above what any cluster does.
const PER_SECOND: u64 = 20;
/// Slots that nodes may be behind the newest known, and are still believed.
const BEHIND: u64 = 32;
/// 2020-03-16, when mainnet began: no cluster counts slots from before.
const BEGINNING: u64 = 1_584_316_800;
/// How long something beyond has to be said, by nothing but answers that agree, until it
/// is believed after all: this process slept, and the chain went on.
const INSISTENCE: Duration = Duration::from_secs(10);
/// How many of them there have to be.
const WITNESSES: u32 = 3;

/// The newest slot that is believed.
#[derive(Debug, Default)]
pub struct Horizon(Mutex<Known>);

#[derive(Debug, Default)]
struct Known {
    newest: Option<(u64, Instant)>,
    doubted: Option<Doubted>,
}

/// Something beyond that was said, and nothing believable since.
#[derive(Debug)]
struct Doubted {
    slot: u64,
    since: Instant,
    times: u32,
}

/// The last slot that may be `passed` after `slot`.
fn furthest(slot: u64, passed: Duration) -> u64 {
    slot.saturating_add(AHEAD).saturating_add(passed.as_secs().saturating_mul(PER_SECOND))
}

impl Horizon {
    /// The newest slot; 0 before there is one.
    pub fn newest(&self) -> u64 {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).newest.map_or(0, |(slot, _)| slot)
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
        let ceiling = furthest(0, today.saturating_sub(Duration::from_secs(BEGINNING)));
        self.take_at(slot, ceiling, Instant::now())
    }

    fn take_at(&self, slot: u64, ceiling: u64, now: Instant) -> Result<(), String> {
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if slot > ceiling {
            return Err(format!("slot {slot}: no cluster has come to {ceiling} yet"));
        }
        let Some((newest, heard)) = known.newest else {
            known.newest = Some((slot, now));
            return Ok(());
        };
        if slot > furthest(newest, now.saturating_duration_since(heard)) {
            let fresh = Doubted { slot, since: now, times: 0 };
            let doubted = known.doubted.take().filter(|it| {
                slot.abs_diff(it.slot) <= furthest(0, now.saturating_duration_since(it.since))
            });
            let mut doubted = doubted.unwrap_or(fresh);
            doubted.times += 1;
            let insisted = now.saturating_duration_since(doubted.since) >= INSISTENCE;
            if !(insisted && doubted.times >= WITNESSES) {
                known.doubted = Some(doubted);
                return Err(format!("slot {slot} is not to come: the newest known is {newest}"));
            }
        } else if slot.saturating_add(AHEAD) >= newest {
            known.doubted = None;
        }
        if slot > newest {
            known.newest = Some((slot, now));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const CEILING: u64 = 1_000_000_000;

    #[test]
    fn what_is_not_to_come_is_not_believed() {
        let (horizon, begun) = (Horizon::default(), Instant::now());
        let after = |seconds| begun + Duration::from_secs(seconds);
        let take = |slot, at| horizon.take_at(slot, CEILING, at);
        for far in [1 << 63, u64::MAX, CEILING + 1] {
            assert!(take(far, begun).is_err(), "{far}");
        }
        assert_eq!(horizon.newest(), 0);
        take(500_000, begun).unwrap();
        // Older ones are, and change nothing.
        take(3, begun).unwrap();
        take(500_100, begun).unwrap();
        assert_eq!(horizon.newest(), 500_100);
        let refused = take(501_000, begun).unwrap_err();
        assert!(refused.contains("501000") && refused.contains("500100"), "{refused}");
        // A minute later it may be.
        take(501_000, after(60)).unwrap();
        assert_eq!(horizon.newest(), 501_000);
    }

    #[test]
    fn a_liar_among_others_never_convinces_and_a_chain_that_went_on_does() {
        let (horizon, begun) = (Horizon::default(), Instant::now());
        let after = |seconds| begun + Duration::from_secs(seconds);
        let take = |slot, at| horizon.take_at(slot, CEILING, at);
        for second in 0..60 {
            take(1_000 + second * 2, after(second)).unwrap();
            assert!(take(900_000, after(second)).is_err(), "second {second}");
        }
        // Nobody says anything else any more.
        for second in 60..69 {
            assert!(take(900_000 + second * 2, after(second)).is_err(), "second {second}");
        }
        take(900_138, after(69)).unwrap();
        assert_eq!(horizon.newest(), 900_138);
        // Lies that do not agree with each other.
        let horizon = Horizon::default();
        horizon.take_at(1_000, CEILING, begun).unwrap();
        for second in 0..60 {
            assert!(
                horizon.take_at(700_000_000 + second * 900_000, CEILING, after(second)).is_err()
            );
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
