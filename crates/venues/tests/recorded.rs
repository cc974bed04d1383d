//! What the real programs paid, as runs of `tests/suites/venues` wrote it down
//! (`VENUE_RECORD=crates/venues/tests/recorded`): pools made there by the programs' own
//! instructions, their accounts, and amounts with what arrived.

use std::{collections::BTreeMap, fs, path::Path};

use liquidation_venues::{Account, Amount, Now, Side, Trade, VenueError, read};
use solana_address::Address;

type Known = BTreeMap<Address, Option<(Address, Vec<u8>)>>;

/// Bytes from their length and those that are not zero.
fn data<'a>(len: &str, parts: impl Iterator<Item = &'a str>) -> Vec<u8> {
    let mut data = vec![0; len.parse().expect("a length")];
    for part in parts {
        let (at, hex) = part.split_once(':').expect("a place");
        let at: usize = at.parse().expect("a place");
        for (n, byte) in hex.as_bytes().chunks(2).enumerate() {
            let byte = std::str::from_utf8(byte).expect("ASCII");
            data[at + n] = u8::from_str_radix(byte, 16).expect("a byte");
        }
    }
    data
}

/// Numbers that are the same in every run.
struct Dice(u64);

impl Dice {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963);
        self.0 >> 16
    }

    fn below(&mut self, end: usize) -> usize {
        (self.next() % end as u64) as usize
    }
}

/// Another owner, fewer bytes, or other bytes in one of a pool's accounts, its own among them.
fn bend(known: &mut Known, dice: &mut Dice) {
    let at = dice.below(known.len());
    let Some(account) = known.values_mut().nth(at) else { return };
    let Some((owner, data)) = account else { return };
    match dice.below(8) {
        0 => *owner = Address::new_from_array([9; 32]),
        1 => data.truncate(dice.below(data.len().max(1))),
        2 => *account = None,
        _ => {
            for _ in 0..=dice.below(4) {
                // Most of what is stated lies at the beginning.
                let end = if dice.below(2) == 0 { data.len().min(700) } else { data.len() };
                if end == 0 {
                    return;
                }
                let (at, len) = (dice.below(end), dice.below(16));
                let byte = [0, 1, 0x7f, 0x80, 0xff, dice.next() as u8][dice.below(6)];
                let end = (at + len).min(data.len());
                data[at..end].fill(byte);
            }
        }
    }
}

/// Quotes and a leg, whatever the accounts say: a number or an error, never a panic.
fn look(key: &Address, known: &Known, now: &Now, dice: &mut Dice) -> Option<VenueError> {
    let (owner, data) = known[key].as_ref()?;
    let pool = match read(key, Account { owner, data }) {
        Ok(pool) => pool,
        Err(error) => return Some(error),
    };
    drop(pool.accounts(known));
    let [first, second] = pool.mints();
    let mut refused = None;
    for (sold, bought) in [(first, second), (second, first)] {
        let curve = match pool.curve(&sold, known, now) {
            Ok(curve) => curve,
            Err(error) => {
                refused = Some(error);
                continue;
            }
        };
        let amount = dice.next() >> dice.below(48);
        refused = curve.quote(amount).err().or(refused);
        let side = |mint, number| Side {
            account: Address::new_from_array([number; 32]),
            mint,
            token_program: Address::new_from_array([4; 32]),
        };
        let leg = curve.leg(&Trade {
            authority: Address::new_from_array([5; 32]),
            input: side(sold, 2),
            output: side(bought, 3),
            amount: Amount::All(amount),
            min_out: 1,
            token: 0,
        });
        drop(leg);
        if let Ok(after) = curve.after(amount) {
            refused = after.quote(amount).err().or(refused);
        }
    }
    refused
}

/// What a node may answer that lies, or what a program may write one day.
#[test]
fn recorded_pools_that_are_bent_are_numbers_or_errors() {
    const BENT: usize = 200;
    let mut dice = Dice(1);
    let mut refusals: BTreeMap<String, usize> = BTreeMap::new();
    each_recorded(|key, known, now, _| {
        for _ in 0..BENT {
            let mut bent = known.clone();
            for _ in 0..=dice.below(2) {
                bend(&mut bent, &mut dice);
            }
            if let Some(error) = look(key, &bent, now, &mut dice) {
                let name = format!("{error:?}");
                let name = name.split(' ').next().unwrap_or_default().to_owned();
                *refusals.entry(name).or_default() += 1;
            }
        }
    });
    // As accounts are bent they are met.
    for kind in ["NoVenue", "OtherProgram", "Truncated", "OtherKind", "OutOfRange", "Absent"] {
        assert!(refusals.contains_key(kind), "{kind}: {refusals:?}");
    }
}

#[test]
fn recorded_payments_are_quoted_to_the_unit() {
    let mut held: BTreeMap<&str, usize> = BTreeMap::new();
    each_recorded(|key, known, now, payments| {
        for Payment { sold, amount, paid } in payments {
            let (owner, data) = known[key].as_ref().expect("a pool");
            let pool = read(key, Account { owner, data }).expect("a pool");
            let curve = pool.curve(sold, known, now).expect("a curve");
            // Nothing arrived where the program refused.
            let quoted = curve.quote(*amount).map_or(0, |quote| quote.amount_out);
            assert_eq!(quoted, *paid, "{amount} of {sold} in {key}");
            *held.entry(curve.name()).or_default() += 1;
        }
    });
    for venue in [
        "Orca Whirlpool",
        "Raydium AMM pool",
        "Raydium CLMM pool",
        "Raydium CPMM pool",
        "Meteora DLMM pool",
    ] {
        assert!(held.get(venue).is_some_and(|count| *count >= 30), "{held:?}");
    }
}

/// What was sold into a pool, and what arrived.
struct Payment {
    sold: Address,
    amount: u64,
    paid: u64,
}

/// Shows every pool that was written down, with its accounts, the time, and its payments.
fn each_recorded(mut show: impl FnMut(&Address, &Known, &Now, &[Payment])) {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/recorded");
    for file in fs::read_dir(folder).expect("a folder") {
        let path = file.expect("a file").path();
        let text = fs::read_to_string(&path).expect("text");
        let (mut known, mut key) = (Known::new(), Address::default());
        let mut now = Now { unix_timestamp: 0, slot: 0 };
        let mut payments = Vec::new();
        for line in text.lines() {
            let mut words = line.split(' ');
            let mut word = || words.next().unwrap_or_else(|| panic!("{line}"));
            let address = |word: &str| word.parse::<Address>().expect("an address");
            match word() {
                "pool" => {
                    if !payments.is_empty() {
                        show(&key, &known, &now, &payments);
                    }
                    payments.clear();
                    known.clear();
                    key = address(word());
                    now.unix_timestamp = word().parse().expect("a time");
                    now.slot = word().parse().expect("a slot");
                }
                "absent" => drop(known.insert(address(word()), None)),
                "account" => {
                    let (account, owner, len) = (address(word()), address(word()), word());
                    known.insert(account, Some((owner, data(len, words))));
                }
                "sells" => {
                    let sold = address(word());
                    let amount: u64 = word().parse().expect("an amount");
                    let paid: u64 = word().parse().expect("an amount");
                    payments.push(Payment { sold, amount, paid });
                }
                other => panic!("{}: {other}", path.display()),
            }
        }
        show(&key, &known, &now, &payments);
    }
}
