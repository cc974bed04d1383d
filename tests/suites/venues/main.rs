//! What venues' programs really pay, against what `liquidation-venues` says.
//!
//! The programs are not in this repository: each is given by its path
//! (`WHIRLPOOL_ELF=… cargo xtask test --test venues`). Pools are made by the programs' own
//! instructions, with random positions, fees and orders; random amounts are sold in
//! both directions while time passes. `LONG_TESTS=1` makes a hundred thousand of them.

mod amm;
mod chain;
mod clmm;
mod cpmm;
mod dlmm;
mod liquidation;
mod market;
mod whirlpool;

use std::{collections::BTreeMap, env, fs, path::Path};

use chain::{Chain, Dice, elf};
use liquidation::Scene;
use liquidation_venues::{meteora_dlmm, raydium_amm, raydium_clmm, raydium_cpmm};
use market::{Market, Tally};

/// Amounts that are sold for one pool.
const PER_POOL: u64 = 100;

/// A long run says how far it is after so many payments.
const TOLD_EVERY: u64 = 5_000;

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
    let mut told = 0;
    while tally.paid < wanted {
        if tally.paid / TOLD_EVERY > told {
            told = tally.paid / TOLD_EVERY;
            eprintln!("{name}: {} of {wanted} payments", tally.paid);
        }
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

/// Moves prices over edges of arrays until every way of selling has met every way of
/// moving this often.
const EDGES: u32 = 10;

/// That legs land although the price has crossed an edge since they were built, whichever
/// way they sell and whichever way it went.
fn hold_over_edges(
    name: &str,
    chain: &mut Chain,
    seed: u64,
    mut pool: impl FnMut(&mut Chain, &mut Dice, u64) -> Market,
) {
    /// Pools of which few have such an edge near by.
    const MOST: u64 = 4_000;
    let mut dice = Dice::new(seed);
    let mut landed = BTreeMap::new();
    for number in 1..=MOST {
        let market = pool(chain, &mut dice, number);
        for _ in 0..4 {
            if let Some(ways) = market.lands_over_an_edge(chain, &mut dice) {
                *landed.entry(ways).or_insert(0) += 1;
            }
        }
        if landed.len() == 4 && landed.values().all(|count| *count >= EDGES) {
            eprintln!("{name}: {number} pools, landed over an edge by [sold, moved]: {landed:?}");
            return;
        }
    }
    panic!("{name}: {landed:?} after {MOST} pools");
}

/// Pools so narrow that one leg does not reach far are gone into twice.
#[test]
fn two_legs_through_one_whirlpool_pay_what_is_quoted() {
    /// Sales by two legs that are compared.
    const SALES: u32 = 100;
    for (variable, program) in whirlpool::PROGRAMS {
        let Some(elf) = elf(variable) else { continue };
        for adaptive in [false, true] {
            let mut chain = Chain::new(program, &elf);
            whirlpool::start(&mut chain, program);
            let mut dice = Dice::new(10 + u64::from(adaptive));
            let (mut sales, mut number) = (0, 0);
            while sales < SALES {
                number += 1;
                assert!(number < 2_000, "{sales} sales in so many pools");
                let tick = dice.range(-60_000, 60_000) as i32;
                let shape =
                    whirlpool::Shape { adaptive, spacing: 1 + dice.next() as u16 % 2, tick };
                let market = whirlpool::pool(&mut chain, program, &mut dice, number, &shape);
                for _ in 0..4 {
                    sales += u32::from(market.goes_in_twice(&mut chain, &mut dice));
                    chain.wait(dice.range(1, 200));
                }
            }
            eprintln!("{variable}, adaptive {adaptive}: {sales} sales by two legs");
        }
    }
}

#[test]
fn legs_land_over_an_edge() {
    for (variable, program) in whirlpool::PROGRAMS {
        let Some(elf) = elf(variable) else { continue };
        for adaptive in [false, true] {
            let mut chain = Chain::new(program, &elf);
            whirlpool::start(&mut chain, program);
            hold_over_edges(&format!("{variable}, {adaptive}"), &mut chain, 7, |chain, dice, n| {
                let shape = whirlpool::Shape::random(dice, adaptive);
                whirlpool::pool(chain, program, dice, n, &shape)
            });
        }
    }
    if let Some(elf) = elf("RAYDIUM_CLMM_ELF") {
        let mut chain = Chain::new(raydium_clmm::PROGRAM_ID, &elf);
        clmm::start(&mut chain);
        hold_over_edges("raydium-clmm", &mut chain, 8, clmm::pool);
    }
    if let Some(elf) = elf("DLMM_ELF") {
        let mut chain = Chain::new(meteora_dlmm::PROGRAM_ID, &elf);
        hold_over_edges("meteora-dlmm", &mut chain, 9, dlmm::pool);
    }
}

/// In each venue both ways, and tokenised stocks on both sides.
#[test]
fn legs_sell_inside_liquidations() {
    let pairs = || [Scene::new("SOL", "USDC", 20_000), Scene::new("USDC", "SOL", 3)];
    if let Some(elf) = elf("WHIRLPOOL_ELF") {
        let program = liquidation_venues::whirlpool::PROGRAM_ID;
        for adaptive in [false, true] {
            for mut scene in pairs().into_iter().chain([Scene::of_stocks()]) {
                let start = |chain: &mut Chain| whirlpool::start(chain, program);
                scene.sells_inside("Whirlpool", (program, &elf), start, |chain, dice, n| {
                    let tick = dice.range(-60_000, 60_000) as i32;
                    let shape = whirlpool::Shape { adaptive, spacing: n as u16, tick };
                    whirlpool::pool(chain, program, dice, n, &shape)
                });
            }
        }
    }
    type Start = fn(&mut Chain);
    type Make = fn(&mut Chain, &mut Dice, u64) -> Market;
    let venues: [(&str, _, Start, Make); 4] = [
        ("RAYDIUM_AMM_ELF", raydium_amm::PROGRAM_ID, amm::start, amm::pool),
        ("RAYDIUM_CPMM_ELF", raydium_cpmm::PROGRAM_ID, cpmm::start, cpmm::pool),
        ("RAYDIUM_CLMM_ELF", raydium_clmm::PROGRAM_ID, clmm::start, clmm::pool),
        ("DLMM_ELF", meteora_dlmm::PROGRAM_ID, |_| {}, dlmm::pool),
    ];
    for (variable, program, start, make) in venues {
        let Some(elf) = elf(variable) else { continue };
        let mut scenes = Vec::from(pairs());
        // AMM v4 knows SPL Token alone.
        if program != raydium_amm::PROGRAM_ID {
            scenes.push(Scene::of_stocks());
        }
        for mut scene in scenes {
            scene.sells_inside(variable, (program, &elf), start, make);
        }
    }
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
    let market = cpmm::new_pool(&mut chain, &mut Dice::new(2), 0);
    market.is_not_open(&mut chain);
    hold("raydium-cpmm", &mut chain, 3, cpmm::pool);
}

#[test]
fn amm_pools_pay_what_is_quoted() {
    let Some(elf) = elf("RAYDIUM_AMM_ELF") else { return };
    let mut chain = Chain::new(raydium_amm::PROGRAM_ID, &elf);
    amm::start(&mut chain);
    hold("raydium-amm", &mut chain, 6, amm::pool);
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
