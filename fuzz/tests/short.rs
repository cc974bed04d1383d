//! The short run: every seed, and what comes of changing and joining seeds.

use std::{fs, panic};

use flash_liquidator_fuzz::{Dice, TARGETS, seeds};

/// Changed inputs for each target.
const CHANGED: u64 = 20_000;
const LONGEST: usize = 4_096;

fn read(target: &str) -> Vec<Vec<u8>> {
    let folder = seeds(target);
    let mut files: Vec<_> = fs::read_dir(&folder)
        .unwrap_or_else(|error| panic!("{}: {error}", folder.display()))
        .map(|entry| entry.expect("an entry").path())
        .collect();
    files.sort();
    assert!(files.len() >= 3, "{target} has {} seeds", files.len());
    files.iter().map(|path| fs::read(path).expect("a seed")).collect()
}

fn change(bytes: &mut Vec<u8>, seeds: &[Vec<u8>], dice: &mut Dice) {
    let at = dice.in_range(0..bytes.len() + 1);
    match (dice.in_range(0..7), bytes.get_mut(at)) {
        (0, Some(byte)) => *byte ^= 1 << dice.in_range(0..8),
        (1, Some(byte)) => *byte = dice.byte(),
        (2, Some(byte)) => *byte = *dice.pick(&[0, 1, 127, 128, 255]),
        (3, _) => bytes.truncate(at),
        (4, _) => bytes.insert(at, dice.byte()),
        (5, _) => {
            // The beginning of this one, the end of another.
            let other = dice.pick(seeds);
            bytes.truncate(at);
            bytes.extend_from_slice(&other[dice.in_range(0..other.len() + 1)..]);
        }
        _ => {
            let end = (at + dice.in_range(0..16)).min(bytes.len());
            let again = bytes[at..end].to_vec();
            bytes.splice(at..at, again);
        }
    }
    bytes.truncate(LONGEST);
}

#[test]
fn seeds_and_what_comes_of_changing_them() {
    for (name, run) in TARGETS {
        let seeds = read(name);
        let changed = (0..CHANGED).map(|case| {
            let mut dice = Dice::new(1, case);
            let mut bytes = dice.pick(&seeds).clone();
            for _ in 0..dice.in_range(1..7) {
                change(&mut bytes, &seeds, &mut dice);
            }
            bytes
        });
        for bytes in seeds.clone().into_iter().chain(changed) {
            if let Err(panic) = panic::catch_unwind(|| run(&bytes)) {
                let path = std::env::temp_dir().join(format!("finding-{name}"));
                fs::write(&path, &bytes).expect("room for a finding");
                eprintln!("fuzz-{name} {} plays it again", path.display());
                panic::resume_unwind(panic);
            }
        }
    }
}
