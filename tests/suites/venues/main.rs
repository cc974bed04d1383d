//! What venues' programs really pay, against what `liquidation-venues` says.
//!
//! The programs are not in this repository: each is given by its path
//! (`WHIRLPOOL_ELF=… cargo xtask test --test venues`). Pools are made by the programs' own
//! instructions, with random positions, fees and orders; random amounts are sold in
//! both directions while time passes. `LONG_TESTS=1` makes a hundred thousand of them.

mod chain;
mod clmm;
mod cpmm;
mod dlmm;
mod market;
mod whirlpool;

use std::{env, fs, path::Path};

use chain::{Chain, Dice, elf};
use liquidation_venues::{meteora_dlmm, raydium_clmm, raydium_cpmm};
use market::{Market, Tally};

/// Amounts that are sold for one pool.
const PER_POOL: u64 = 100;

/// Pools that are written down, after this many swaps each.
const RECORDED: u64 = 6;
const BEFORE_RECORDING: u64 = 20;

/// Sells random amounts into random pools. With `VENUE_RECORD=FOLDER` it writes down some
/// of their states instead, and what is paid there.
fn hold(
    name: &str,
    chain: &mut Chain,
    seed: u64,
    mut pool: impl FnMut(&mut Chain, &mut Dice, u64) -> Market,
) {
    let wanted: u64 = env::var("VENUE_SAMPLES").ok().map_or_else(
        || if env::var_os("LONG_TESTS").is_some() { 100_000 } else { 2_000 },
        |count| count.parse().expect("a number"),
    );
    let mut dice = Dice::new(seed);
    let mut tally = Tally::default();
    let mut number = 0;
    if let Some(folder) = env::var_os("VENUE_RECORD") {
        let mut out = String::new();
        for number in 1..=RECORDED {
            let market = pool(chain, &mut dice, number);
            for _ in 0..BEFORE_RECORDING {
                market.compare(chain, &mut dice, &mut tally);
                chain.wait(dice.range(0, 100));
            }
            market.record(chain, &mut dice, &mut out);
        }
        fs::write(Path::new(&folder).join(format!("{name}.txt")), out).expect("a file");
        return;
    }
    while tally.paid < wanted {
        number += 1;
        let market = pool(chain, &mut dice, number);
        for _ in 0..PER_POOL {
            market.compare(chain, &mut dice, &mut tally);
            if dice.chance(3) {
                chain.wait(dice.range(1, 200));
            }
        }
    }
    eprintln!("{name}: {number} pools, {tally:?}");
}

#[test]
fn whirlpools_pay_what_is_quoted() {
    for (variable, program) in whirlpool::PROGRAMS {
        let Some(elf) = elf(variable) else { continue };
        for adaptive in [false, true] {
            let mut chain = Chain::new(program, &elf);
            whirlpool::start(&mut chain, program);
            let kind = if adaptive { "adaptive" } else { "static" };
            let name = format!("whirlpool-{kind}-{program}");
            hold(&name, &mut chain, u64::from(adaptive), |chain, dice, number| {
                let shape = whirlpool::Shape::random(dice, adaptive);
                whirlpool::pool(chain, program, dice, number, &shape)
            });
        }
    }
}

#[test]
fn cpmm_pools_pay_what_is_quoted() {
    let Some(elf) = elf("RAYDIUM_CPMM_ELF") else { return };
    let mut chain = Chain::new(raydium_cpmm::PROGRAM_ID, &elf);
    cpmm::start(&mut chain);
    hold("raydium-cpmm", &mut chain, 3, cpmm::pool);
}

#[test]
fn clmm_pools_pay_what_is_quoted() {
    let Some(elf) = elf("RAYDIUM_CLMM_ELF") else { return };
    let mut chain = Chain::new(raydium_clmm::PROGRAM_ID, &elf);
    clmm::start(&mut chain);
    hold("raydium-clmm", &mut chain, 4, clmm::pool);
}

#[test]
fn dlmm_pools_pay_what_is_quoted() {
    let Some(elf) = elf("DLMM_ELF") else { return };
    let mut chain = Chain::new(meteora_dlmm::PROGRAM_ID, &elf);
    hold("meteora-dlmm", &mut chain, 5, dlmm::pool);
}
