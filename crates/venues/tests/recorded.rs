//! What the real programs paid, as runs of `tests/suites/venues` wrote it down
//! (`VENUE_RECORD=crates/venues/tests/recorded`): pools made there by the programs' own
//! instructions, their accounts, and amounts with what arrived.

use std::{collections::BTreeMap, fs, path::Path};

use liquidation_venues::{Account, Now, read};
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

#[test]
fn recorded_payments_are_quoted_to_the_unit() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/recorded");
    let mut held: BTreeMap<&str, usize> = BTreeMap::new();
    for file in fs::read_dir(folder).expect("a folder") {
        let path = file.expect("a file").path();
        let text = fs::read_to_string(&path).expect("text");
        let (mut known, mut key) = (Known::new(), Address::default());
        let mut now = Now { unix_timestamp: 0, slot: 0 };
        for line in text.lines() {
            let mut words = line.split(' ');
            let mut word = || words.next().unwrap_or_else(|| panic!("{line}"));
            let address = |word: &str| word.parse::<Address>().expect("an address");
            match word() {
                "pool" => {
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
                    let (owner, data) = known[&key].as_ref().expect("a pool");
                    let pool = read(&key, Account { owner, data }).expect("a pool");
                    let curve = pool.curve(&sold, &known, &now).expect("a curve");
                    // Nothing arrived where the program refused.
                    let quoted = curve.quote(amount).map_or(0, |quote| quote.amount_out);
                    assert_eq!(quoted, paid, "{amount} of {sold} in {key}");
                    *held.entry(curve.name()).or_default() += 1;
                }
                other => panic!("{}: {other}", path.display()),
            }
        }
    }
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
