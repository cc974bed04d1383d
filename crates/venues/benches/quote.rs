//! What a quote costs: `cargo bench -p liquidation-venues`.
//!
//! Pools of constant product (CPMM, AMM v4), a Whirlpool with liquidity at every tick and a
//! DLMM pool with some in every bin, as their accounts would be; the best route over fifty of
//! them. Making a curve is what a change of the pool costs,
//! a quote what the search for a size asks for.

use std::{collections::BTreeMap, hint::black_box, time::Instant};

use liquidation_venues::{
    Account, Curve, Now, Pool, meteora_dlmm, mint::TOKEN_PROGRAM_ID, raydium_amm, raydium_cpmm,
    read, route, whirlpool,
};
use solana_address::Address;

type Known = BTreeMap<Address, Option<(Address, Vec<u8>)>>;

const NOW: Now = Now { unix_timestamp: 1_800_000_000, slot: 1 };
const RUNS: u32 = 20;
const BATCHES: u32 = 500;
const POOLS: u8 = 50;

fn key(byte: u8) -> Address {
    Address::new_from_array([byte; 32])
}

/// A key of its own for each kind and number.
fn nth(kind: u8, number: u8) -> Address {
    let mut bytes = [kind; 32];
    bytes[31] = number;
    Address::new_from_array(bytes)
}

fn vaults(known: &mut Known, kind: u8, pool: u8) -> [Address; 2] {
    let vaults = [nth(kind, pool), nth(kind + 1, pool)];
    for (n, vault) in vaults.iter().enumerate() {
        let amount = (1_000_000_000_000 + u64::from(pool) * 1_000_000).to_le_bytes();
        let data = bytes(165, &[(0, key(10 + n as u8).as_ref()), (64, &amount), (108, &[1])]);
        known.insert(*vault, Some((TOKEN_PROGRAM_ID, data)));
    }
    vaults
}

/// Without a fee of its owner's in the vaults.
fn amm(known: &mut Known, address: Address, pool: u8) {
    let [first, second] = vaults(known, 120, pool);
    let data = bytes(
        752,
        &[
            (0, &6u64.to_le_bytes()),
            (8, &254u64.to_le_bytes()),
            (176, &25u64.to_le_bytes()),
            (184, &10_000u64.to_le_bytes()),
            (336, first.as_ref()),
            (368, second.as_ref()),
            (400, key(10).as_ref()),
            (432, key(11).as_ref()),
        ],
    );
    known.insert(address, Some((raydium_amm::PROGRAM_ID, data)));
}

/// At bin zero, with as much of either token in every bin.
fn dlmm(known: &mut Known, address: Address) {
    const AROUND: i64 = 3;
    let mut data = bytes(
        904,
        &[
            (0, &[33, 11, 49, 98, 181, 101, 177, 13]),
            (80, &10u16.to_le_bytes()),
            (88, key(10).as_ref()),
            (120, key(11).as_ref()),
        ],
    );
    for number in -AROUND..AROUND {
        let bit = (number + 512) as usize;
        data[584 + bit / 8] |= 1 << (bit % 8);
        let first = [92, 142, 92, 220, 5, 148, 70, 181];
        let index = number.to_le_bytes();
        let mut bins = bytes(10_136, &[(0, &first), (8, &index), (24, address.as_ref())]);
        for bin in 0..70 {
            for side in 0..2 {
                let at = 56 + bin * 144 + side * 8;
                bins[at..at + 8].copy_from_slice(&10_000_000u64.to_le_bytes());
            }
        }
        let seeds: &[&[u8]] = &[b"bin_array", address.as_ref(), &index];
        let (array, _) = Address::find_program_address(seeds, &meteora_dlmm::PROGRAM_ID);
        known.insert(array, Some((meteora_dlmm::PROGRAM_ID, bins)));
    }
    known.insert(address, Some((meteora_dlmm::PROGRAM_ID, data)));
    let (extension, _) =
        Address::find_program_address(&[b"bitmap", address.as_ref()], &meteora_dlmm::PROGRAM_ID);
    known.insert(extension, None);
}

fn bytes(len: usize, fields: &[(usize, &[u8])]) -> Vec<u8> {
    let mut data = vec![0; len];
    for (at, field) in fields {
        data[*at..*at + field.len()].copy_from_slice(field);
    }
    data
}

fn cpmm(known: &mut Known, address: Address, pool: u8) {
    let (config, vaults) = (key(2), vaults(known, 100, pool));
    let data = bytes(
        637,
        &[
            (0, &[247, 237, 227, 245, 215, 195, 222, 70]),
            (8, config.as_ref()),
            (72, vaults[0].as_ref()),
            (104, vaults[1].as_ref()),
            (168, key(10).as_ref()),
            (200, key(11).as_ref()),
            (232, TOKEN_PROGRAM_ID.as_ref()),
            (264, TOKEN_PROGRAM_ID.as_ref()),
        ],
    );
    known.insert(address, Some((raydium_cpmm::PROGRAM_ID, data)));
    let fees =
        bytes(236, &[(0, &[218, 244, 33, 104, 203, 203, 43, 111]), (12, &2_500u64.to_le_bytes())]);
    known.insert(config, Some((raydium_cpmm::PROGRAM_ID, fees)));
}

/// At tick zero, with liquidity that grows and shrinks at every tick.
fn whirlpool(known: &mut Known, address: Address) {
    let data = bytes(
        653,
        &[
            (0, &[63, 149, 209, 12, 225, 128, 99, 9]),
            (41, &[1, 0, 1, 0]),
            (45, &400u16.to_le_bytes()),
            (49, &1_000_000_000_000u128.to_le_bytes()),
            (65, &(1u128 << 64).to_le_bytes()),
            (101, key(10).as_ref()),
            (181, key(11).as_ref()),
        ],
    );
    known.insert(address, Some((whirlpool::PROGRAM_ID, data)));
    for start in (-88 * 4..88 * 4).step_by(88) {
        let mut data = bytes(
            9988,
            &[
                (0, &[69, 97, 189, 190, 110, 7, 66, 187]),
                (8, &i32::to_le_bytes(start)),
                (9956, address.as_ref()),
            ],
        );
        for tick in 0..88 {
            let net = if tick % 2 == 0 { 1_000_000i128 } else { -1_000_000 };
            data[12 + tick * 113] = 1;
            data[13 + tick * 113..29 + tick * 113].copy_from_slice(&net.to_le_bytes());
        }
        let start = start.to_string();
        let seeds: &[&[u8]] = &[b"tick_array", address.as_ref(), start.as_bytes()];
        let (array, _) = Address::find_program_address(seeds, &whirlpool::PROGRAM_ID);
        known.insert(array, Some((whirlpool::PROGRAM_ID, data)));
    }
}

fn pool(known: &Known, address: Address) -> Box<dyn Pool> {
    let (owner, data) = known[&address].as_ref().expect("an account");
    read(&address, Account { owner, data }).expect("a pool")
}

/// The fastest of several batches: what else the machine does only adds to them.
fn measure<T>(what: &str, mut run: impl FnMut() -> T) {
    let mut best = f64::INFINITY;
    for _ in 0..BATCHES {
        let start = Instant::now();
        for _ in 0..RUNS {
            black_box(run());
        }
        best = best.min(start.elapsed().as_secs_f64() * 1e6 / f64::from(RUNS));
    }
    println!("{what}: {best:.3} µs");
}

fn main() {
    let mut known = Known::new();
    for mint in [10, 11] {
        known.insert(key(mint), Some((TOKEN_PROGRAM_ID, vec![0; 82])));
    }
    let mut addresses = Vec::new();
    for n in 0..POOLS {
        let address = nth(50 + n % 4, n);
        match n % 4 {
            0 => cpmm(&mut known, address, n),
            1 => amm(&mut known, address, n),
            2 => whirlpool(&mut known, address),
            _ => dlmm(&mut known, address),
        }
        addresses.push(address);
    }
    let curve = |pool: &dyn Pool| pool.curve(&key(10), &known, &NOW).expect("a curve");
    for (what, address) in [("CPMM", addresses[0]), ("AMM v4", addresses[1])] {
        let pool = pool(&known, address);
        measure(&format!("{what}, curve"), || curve(&*pool));
        let one = curve(&*pool);
        let quote = || one.quote(black_box(1_234_567)).expect("a quote");
        measure(&format!("{what}, quote"), quote);
    }
    for (what, address) in [("Whirlpool", addresses[2]), ("DLMM", addresses[3])] {
        let pool = pool(&known, address);
        measure(&format!("{what}, curve with all arrays"), || curve(&*pool));
        let one = curve(&*pool);
        let crosses = |n: u64| one.quote(n).expect("a quote").crossed;
        let far = (1..).map(|n| n * 10_000_000).find(|n| crosses(*n) >= 60).expect("an amount");
        let quote = || one.quote(black_box(far)).expect("a quote");
        measure(&format!("{what}, quote over {} ticks or bins", crosses(far)), quote);
    }

    let pools: Vec<Box<dyn Curve>> =
        addresses.iter().map(|key| curve(&*pool(&known, *key))).collect();
    let curves: Vec<&dyn Curve> = pools.iter().map(|curve| &**curve).collect();
    measure("best route over 50 pools", || {
        route::best(&curves, &key(10), &key(11), black_box(50_000_000), 2, |_| true)
    });
}
