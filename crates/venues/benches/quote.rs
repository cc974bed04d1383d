//! What a quote costs: `cargo bench -p liquidation-venues`.
//!
//! A CPMM pool and a Whirlpool with liquidity at every tick, as their accounts would be;
//! the best route over fifty of them. Making a curve is what a change of the pool costs,
//! a quote what the search for a size asks for.

use std::{collections::BTreeMap, hint::black_box, time::Instant};

use liquidation_venues::{
    Account, Curve, Now, Pool, mint::TOKEN_PROGRAM_ID, raydium_cpmm, read, route, whirlpool,
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

fn bytes(len: usize, fields: &[(usize, &[u8])]) -> Vec<u8> {
    let mut data = vec![0; len];
    for (at, field) in fields {
        data[*at..*at + field.len()].copy_from_slice(field);
    }
    data
}

fn cpmm(known: &mut Known, pool: u8) {
    let (config, vaults) = (key(2), [key(100 + pool), key(150 + pool)]);
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
    known.insert(key(50 + pool), Some((raydium_cpmm::PROGRAM_ID, data)));
    let fees =
        bytes(236, &[(0, &[218, 244, 33, 104, 203, 203, 43, 111]), (12, &2_500u64.to_le_bytes())]);
    known.insert(config, Some((raydium_cpmm::PROGRAM_ID, fees)));
    for (n, vault) in vaults.iter().enumerate() {
        let amount = (1_000_000_000_000 + u64::from(pool) * 1_000_000).to_le_bytes();
        let data = bytes(165, &[(0, key(10 + n as u8).as_ref()), (64, &amount), (108, &[1])]);
        known.insert(*vault, Some((TOKEN_PROGRAM_ID, data)));
    }
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
    for n in 0..POOLS / 2 {
        cpmm(&mut known, n);
        whirlpool(&mut known, key(200 + n));
    }
    let curve = |pool: &dyn Pool| pool.curve(&key(10), &known, &NOW).expect("a curve");
    let product = pool(&known, key(50));
    let ticks = pool(&known, key(200));
    measure("CPMM, curve", || curve(&*product));
    let one = curve(&*product);
    measure("CPMM, quote", || one.quote(black_box(1_234_567)).expect("a quote"));
    measure("Whirlpool, curve over 3 arrays of 88 ticks each", || curve(&*ticks));
    let one = curve(&*ticks);
    let far = (1..).map(|n| n * 10_000_000).find(|n| one.quote(*n).expect("a quote").crossed >= 60);
    let far = far.expect("an amount");
    println!("Whirlpool, {far} crosses {:?}", one.quote(far).map(|quote| quote.crossed));
    measure("Whirlpool, quote over 60 ticks", || one.quote(black_box(far)).expect("a quote"));

    let addresses = (0..POOLS / 2).flat_map(|n| [key(50 + n), key(200 + n)]);
    let pools: Vec<Box<dyn Curve>> = addresses.map(|key| curve(&*pool(&known, key))).collect();
    let curves: Vec<&dyn Curve> = pools.iter().map(|curve| &**curve).collect();
    measure("best route over 50 pools", || {
        route::best(&curves, &key(10), &key(11), black_box(50_000_000), 2, |_| true)
    });
}
