//! How long slots take, measured.

use anyhow::Result;
use solana_sdk_ids::sysvar;

use super::Source;

/// Slots below which an average says nothing.
const LEAST_SLOTS: u64 = 1_000;

/// Average length of a slot in this epoch, seconds, from the clock and the epoch
/// schedule; `None` where the source does not have both, or the epoch has just
/// begun.
pub fn slot_seconds(source: &dyn Source) -> Result<Option<f64>> {
    let sysvars = source.accounts(&[sysvar::clock::ID, sysvar::epoch_schedule::ID])?;
    let [Some(clock), Some(schedule)] = &sysvars[..] else { return Ok(None) };
    Ok(measure(&clock.data, &schedule.data))
}

/// The same from the sysvars' data.
fn measure(clock: &[u8], schedule: &[u8]) -> Option<f64> {
    // slot, epoch_start_timestamp, epoch, leader_schedule_epoch, unix_timestamp
    let [slot, epoch_start, epoch, now] = [0, 8, 16, 32].map(|at| word(clock, at));
    // slots_per_epoch, leader_schedule_slot_offset, warmup (one byte),
    // first_normal_epoch, first_normal_slot
    let [per_epoch, first_epoch, first_slot] = [0, 17, 25].map(|at| word(schedule, at));
    let start = epoch?.checked_sub(first_epoch?)?.checked_mul(per_epoch?)?;
    let slots = slot?.checked_sub(start.checked_add(first_slot?)?)?;
    let seconds = now?.checked_sub(epoch_start.filter(|start| *start != 0)?)?;
    ((LEAST_SLOTS..per_epoch?).contains(&slots) && seconds != 0)
        .then(|| seconds as f64 / slots as f64)
}

fn word(data: &[u8], at: usize) -> Option<u64> {
    Some(u64::from_le_bytes(*data.get(at..)?.first_chunk()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sysvars(slot: u64, start: u64, epoch: u64, now: u64) -> (Vec<u8>, Vec<u8>) {
        let clock = [slot, start, epoch, epoch + 1, now].map(u64::to_le_bytes).concat();
        let mut schedule = [432_000u64, 432_000].map(u64::to_le_bytes).concat();
        schedule.push(0);
        schedule.extend([0u64, 0].map(u64::to_le_bytes).concat());
        (clock, schedule)
    }

    #[test]
    fn the_average_of_an_epoch() {
        let at = |slot, start, epoch, now| {
            let (clock, schedule) = sysvars(slot, start, epoch, now);
            measure(&clock, &schedule)
        };
        // 10,000 slots into epoch 900, 4,000 seconds after it began.
        let slot = 900 * 432_000 + 10_000;
        assert_eq!(at(slot, 1_000_000, 900, 1_004_000), Some(0.4));
        assert_eq!(at(slot, 0, 900, 1_004_000), None, "no start");
        assert_eq!(at(slot - 9_001, 1_000_000, 900, 1_004_000), None, "just begun");
        assert_eq!(at(slot, 1_000_000, 899, 1_004_000), None, "of a later epoch");
        assert_eq!(at(slot, 1_000_000, 901, 1_004_000), None, "not of this epoch");
        assert_eq!(at(slot, 1_005_000, 900, 1_004_000), None, "a clock that went back");
        let (clock, schedule) = sysvars(slot, 1_000_000, 900, 1_004_000);
        assert_eq!(measure(&clock[..39], &schedule), None);
        assert_eq!(measure(&clock, &schedule[..32]), None);
    }
}
