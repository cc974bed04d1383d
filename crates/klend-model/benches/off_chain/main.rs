//! What a keeper does every slot, side by side with a straightforward
//! implementation ([`peer`]): value every obligation, find the unhealthy ones
//! after a change of prices, quote, search.
//!
//! `cargo bench --profile measure -p klend-model` prints times; with `-- --json` they go to
//! standard output, for `cargo xtask bench`. Fails when the two disagree.

mod peer;
#[path = "../../tests/support/mod.rs"]
mod support;
// The keeper's own, compiled alone: all of the keeper would take minutes.
#[path = "../../../keeper/src/judge/shares.rs"]
mod shares;
#[allow(dead_code, unused_imports, reason = "the keeper and its tests use more of it")]
#[path = "../../../keeper/src/judge/tracker.rs"]
mod tracker;

use std::{
    collections::{BTreeSet, HashMap},
    fs,
    hint::black_box,
    time::{Duration, Instant},
};

use klend_interface::state::{Obligation, Reserve, from_account_data};
use klend_model::{
    accounts,
    constants::KLEND_PROGRAM_ID,
    flash::Lenders,
    fraction::Fraction,
    keys::to_v2,
    liquidation::{Request, quote},
    reserve::ReserveState,
    search::{Funding, Leftovers, best_liquidation},
    table::ReserveTable,
};
use serde_json::{Value, json};
use solana_address::Address;
use support::{
    KLEND, NOW, bsf, key, market, market_key, obligation, obligation_key, reserve, reserve_key,
};
use tracker::{Evaluation, Tracker};

const RESERVES: usize = 60;
/// Obligations that are valued one after the other: more than the caches hold.
const VALUED: usize = 100_000;
/// Quotes that are timed together.
const QUOTES: usize = 1_000;
/// Obligations under watch.
const WATCHED: [usize; 4] = [1_000, 10_000, 100_000, 1_000_000];
/// Obligations whose memory is measured.
const REMEMBERED: usize = 100_000;

/// How long one thing is measured, and how often at least.
const MEASURING: Duration = Duration::from_secs(1);
const LEAST_RUNS: usize = 11;

fn main() {
    let to_stdout = std::env::args().any(|argument| argument == "--json");
    // First, while nothing has been freed that could be used again.
    let memory = memory();
    let operations = [
        health(),
        one_quote(),
        search("deep pools", 20_000_000_000_000),
        search("shallow pools", 2_000_000_000),
    ];
    let mut updates = Vec::new();
    for count in WATCHED {
        updates.extend(price_updates(count));
    }
    if to_stdout {
        println!("{}", json!({ "operations": operations, "updates": updates, "memory": memory }));
    }
}

/// Time of the fastest run, nanoseconds: the one that other work on the machine
/// disturbed least.
fn fastest(mut run: impl FnMut()) -> f64 {
    let (started, mut runs, mut fastest) = (Instant::now(), 0, Duration::MAX);
    while runs < LEAST_RUNS || started.elapsed() < MEASURING {
        let run_started = Instant::now();
        run();
        fastest = fastest.min(run_started.elapsed());
        runs += 1;
    }
    fastest.as_nanos() as f64
}

/// Prints two times and reports them, each for one of `each` operations.
fn operation(name: &str, each: usize, ours: f64, peer: f64) -> Value {
    let (ours, peer) = (ours / each as f64, peer / each as f64);
    eprintln!("{name}: {ours:.1} ns, the peer {peer:.1} ns");
    json!({ "name": name, "ours": ours, "peer": peer })
}

/// Reserves with interest, awkward exchange rates and prices.
fn reserves() -> Vec<Box<Reserve>> {
    (0..RESERVES)
        .map(|index| {
            let mut account = reserve(index, 1 + index as u64 * 7);
            account.collateral.mint_total_supply -= 1_234_567_891 * (index as u64 + 1);
            account.liquidity.cumulative_borrow_rate_bsf =
                bsf((1 << 60) + (index as u128 + 1) * 987_654_321_987);
            account
        })
        .collect()
}

fn keyed(reserves: &[Box<Reserve>]) -> Vec<(Address, &Reserve)> {
    reserves.iter().enumerate().map(|(index, account)| (reserve_key(index), &**account)).collect()
}

fn peers_market(reserves: &[Box<Reserve>]) -> peer::Market {
    let reserves = keyed(reserves).into_iter().map(|(key, reserve)| (to_v2(&key), *reserve));
    peer::Market { market: market(), reserves: reserves.collect() }
}

/// Numbers that look random and are the same in every run.
struct Dice(u64);

impl Dice {
    /// Below `sides`.
    fn roll(&mut self, sides: usize) -> usize {
        (self.unit() * sides as f64) as usize
    }

    /// From 0 to 1.
    fn unit(&mut self) -> f64 {
        self.0 =
            self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 11) as f64 / (1u64 << 53) as f64
    }
}

/// The `number`-th obligation of a population. One in three has a single deposit
/// and debt, the others up to five deposits and three debts. Half of all first
/// deposits are in reserve 0 and half of all first debts in reserve 1. Health
/// factors lie between 1.002 and 3, the more the closer to 1: of three in a
/// hundred it is within a per cent of it.
fn watched(table: &ReserveTable<'_>, number: usize) -> (Address, Box<Obligation>) {
    let mut dice = Dice(number as u64 ^ 0x9e37_79b9_7f4a_7c15);
    dice.unit();
    let (deposits, debts) = match number % 3 {
        0 => (1, 1),
        1 => (1 + dice.roll(5), 1 + dice.roll(2)),
        _ => (1 + dice.roll(2), 1 + dice.roll(3)),
    };
    let mut used = BTreeSet::new();
    let mut pick = |dice: &mut Dice, favourite: usize, first: bool| {
        if first && dice.roll(2) == 0 && used.insert(favourite) {
            return favourite;
        }
        loop {
            let reserve = dice.roll(RESERVES);
            if used.insert(reserve) {
                return reserve;
            }
        }
    };
    let mut amounts = |count: usize, favourite: usize| -> Vec<(usize, u64)> {
        (0..count)
            .map(|slot| {
                let reserve = pick(&mut dice, favourite, slot == 0);
                let price = 1 + reserve as u64 * 7;
                (reserve, 1_000_000_000 * (1 + dice.roll(100) as u64) / price)
            })
            .collect()
    };
    let (deposits, mut debts) = (amounts(deposits, 0), amounts(debts, 1));
    let target = 1.002 + 2.0 * dice.unit().powf(1.5);
    let key = watched_key(number);
    let factor = table
        .health(&key, &obligation(&deposits, &debts))
        .ok()
        .and_then(|health| health.health_factor())
        .map_or(1.0, Fraction::to_f64);
    for (_, amount) in &mut debts {
        *amount = (*amount as f64 * factor / target) as u64;
    }
    (key, obligation(&deposits, &debts))
}

fn watched_key(number: usize) -> Address {
    let mut bytes = *key(5, number).as_array();
    bytes[16..24].copy_from_slice(&number.to_le_bytes());
    Address::new_from_array(bytes)
}

/// Account bytes one after the other, as a keeper holds them.
fn health() -> Value {
    let (market, reserves) = (market(), reserves());
    let keyed = keyed(&reserves);
    let table = ReserveTable::refresh(KLEND, &market_key(), &market, &keyed, NOW, None);
    assert!(table.refused().is_empty());
    let peer = peers_market(&reserves);
    let mut bytes = Vec::with_capacity(VALUED * accounts::OBLIGATION_LEN);
    for number in 0..VALUED {
        let (_, account) = watched(&table, number);
        bytes.extend_from_slice(&accounts::account_data(&*account));
    }
    let key = obligation_key();
    let ours = || {
        bytes
            .chunks_exact(accounts::OBLIGATION_LEN)
            .filter(|data| {
                let account = accounts::obligation(&key, &KLEND_PROGRAM_ID, data).unwrap();
                table.health(&key, account).unwrap().is_unhealthy()
            })
            .count()
    };
    let peers = || {
        bytes
            .chunks_exact(accounts::OBLIGATION_LEN)
            .filter(|data| {
                let account: &Obligation = from_account_data(data).unwrap();
                peer.health(account).unwrap().is_unhealthy()
            })
            .count()
    };
    assert_eq!(ours(), peers());
    let times = [fastest(|| _ = black_box(ours())), fastest(|| _ = black_box(peers()))];
    operation("health of an obligation, from its account's bytes", VALUED, times[0], times[1])
}

/// Eight deposits and five debts, 1.5 % over the limit.
fn unhealthy() -> Box<Obligation> {
    let deposits: [_; 8] = core::array::from_fn(|i| (i, 1_000_000_000 / (1 + i as u64 * 7)));
    let borrows: [_; 5] =
        core::array::from_fn(|i| (i + 20, 1_000_000_000 * 76 / 62 / (1 + (i as u64 + 20) * 7)));
    obligation(&deposits, &borrows)
}

fn one_quote() -> Value {
    let (market, reserves) = (market(), reserves());
    let keyed = keyed(&reserves);
    let table = ReserveTable::refresh(KLEND, &market_key(), &market, &keyed, NOW, None);
    let peer = peers_market(&reserves);
    let account = unhealthy();
    let key = obligation_key();
    let (repay_reserve, withdraw_reserve) = (reserve_key(22), reserve_key(3));
    let request = Request {
        repay_reserve,
        withdraw_reserve,
        amount: u64::MAX,
        min_received: 0,
        flash_loan: None,
    };
    let ours = || quote(&table, &table.obligation(&key, &account).unwrap(), &request).unwrap();
    let (repay, withdraw) = (to_v2(&repay_reserve), to_v2(&withdraw_reserve));
    let peers = || {
        let health = peer.health(&account).unwrap();
        peer.quote(&account, &health, (&repay, &withdraw), u64::MAX).unwrap()
    };
    let (exact, close) = (ours(), peers());
    assert!(exact.repay.abs_diff(close.repay) <= 1, "{} {}", exact.repay, close.repay);
    assert!(exact.received.abs_diff(close.received) <= 2, "{} {}", exact.received, close.received);
    // Many at once: the clock itself takes tens of nanoseconds.
    let times = [
        fastest(|| (0..QUOTES).for_each(|_| _ = black_box(ours()))),
        fastest(|| (0..QUOTES).for_each(|_| _ = black_box(peers()))),
    ];
    operation("quote of one pair, 8 deposits and 5 debts", QUOTES, times[0], times[1])
}

/// All 8 × 5 pairs, each with a flash loan and a constant-product pool with so many
/// raw units of value on either side.
fn search(pools: &str, depth: u128) -> Value {
    let (market, reserves) = (market(), reserves());
    let keyed = keyed(&reserves);
    let table = ReserveTable::refresh(KLEND, &market_key(), &market, &keyed, NOW, None);
    let lenders = Lenders::new([&table]);
    let peer = peers_market(&reserves);
    let account = unhealthy();
    let key = obligation_key();
    let bought = |from: u128, to: u128, amount: u64| {
        let (x, y) = (depth / from.max(1), depth / to.max(1));
        u64::try_from(y * u128::from(amount) / (x + u128::from(amount))).unwrap_or(u64::MAX)
    };
    let funding = Funding::Flash { lenders: &lenders, margin_bps: 100, max_fee_bps: 30 };
    let swap = |from: &ReserveState<'_>, to: &ReserveState<'_>, amount| {
        Some(bought(from.market_price.floor(), to.market_price.floor(), amount))
    };
    let ours = || {
        let state = table.obligation(&key, &account).unwrap();
        best_liquidation(&table, &state, funding, Leftovers::Reject, swap).unwrap().unwrap()
    };
    let price = |reserve: &Reserve| u128::from(reserve.liquidity.market_price_sf) >> 60;
    let peers =
        || peer.best(&account, |from, to, amount| bought(price(from), price(to), amount)).unwrap();
    let (exact, close) = (ours(), peers());
    let found = exact.profit_value as f64 / 2f64.powi(60);
    // A search never finds less than a hundred tries of each pair do, and never much more.
    assert!(
        found >= close.profit_value * (1.0 - 1e-6) && found <= close.profit_value * 1.1,
        "{found} {}",
        close.profit_value
    );
    let times = [fastest(|| _ = black_box(ours())), fastest(|| _ = black_box(peers()))];
    operation(&format!("best liquidation of 8 × 5 pairs, {pools}"), 1, times[0], times[1])
}

/// Changes of prices over `count` obligations under watch.
fn price_updates(count: usize) -> Vec<Value> {
    let (market, before) = (market(), reserves());
    let keyed_before = keyed(&before);
    let table = ReserveTable::refresh(KLEND, &market_key(), &market, &keyed_before, NOW, None);
    let repriced = |change: &dyn Fn(usize) -> f64| -> Vec<Box<Reserve>> {
        let mut reserves = reserves();
        for (index, reserve) in reserves.iter_mut().enumerate() {
            let bits = u128::from(reserve.liquidity.market_price_sf) as f64 * change(index);
            reserve.liquidity.market_price_sf = (bits as u128).into();
        }
        reserves
    };
    let only_first = |factor: f64| move |index: usize| if index == 0 { factor } else { 1.0 };
    let changes = [
        ("the commonest collateral falls by 1 %", repriced(&only_first(0.99))),
        (
            "all prices move, by up to 0.5 %",
            repriced(&|index| 0.995 + 0.01 * Dice(index as u64).unit()),
        ),
        ("the commonest collateral falls by 10 %", repriced(&only_first(0.9))),
    ];

    // One after the other: a million obligations take gigabytes in either form.
    let mut tracker = Tracker::new(0.0);
    tracker.put(&table, (0..count).map(|number| watched(&table, number)));
    assert_eq!(tracker.len(), count);
    let mut found = Vec::new();
    for (_, after) in &changes {
        let keyed = keyed(after);
        let mut update = || {
            let table = ReserveTable::refresh(KLEND, &market_key(), &market, &keyed, NOW, None);
            tracker.evaluate(&table)
        };
        let Evaluation { unhealthy, valued, .. } = update();
        found.push((fastest(|| _ = black_box(update())), unhealthy, valued));
    }
    drop(tracker);

    let held: Vec<(Address, Obligation)> = (0..count)
        .map(|number| watched(&table, number))
        .map(|(key, account)| (key, *account))
        .collect();
    let mut reports = Vec::new();
    for ((name, after), (ours, unhealthy, valued)) in changes.iter().zip(found) {
        let mut peer = peers_market(&before);
        let prices: HashMap<_, _> = keyed(after)
            .into_iter()
            .map(|(key, r)| (to_v2(&key), r.liquidity.market_price_sf))
            .collect();
        let mut update = || {
            for (key, reserve) in &mut peer.reserves {
                reserve.liquidity.market_price_sf = prices[key];
            }
            held.iter()
                .filter(|(_, account)| {
                    peer.health(account).is_some_and(|health| health.is_unhealthy())
                })
                .map(|(key, _)| *key)
                .collect::<BTreeSet<_>>()
        };
        assert_eq!(update(), unhealthy.iter().copied().collect(), "{name}");
        let peers = fastest(|| _ = black_box(update()));
        eprintln!(
            "{count} obligations, {name}: {:.3} ms, the peer {:.3} ms; {valued} valued, {} unhealthy",
            ours / 1e6,
            peers / 1e6,
            unhealthy.len()
        );
        reports.push(json!({
            "name": name,
            "obligations": count,
            "valued": valued,
            "unhealthy": unhealthy.len(),
            "ours": ours,
            "peer": peers,
        }));
    }
    reports
}

/// Resident memory for each obligation under watch, where the system tells.
fn memory() -> Vec<Value> {
    let (market, reserves) = (market(), reserves());
    let keyed = keyed(&reserves);
    let table = ReserveTable::refresh(KLEND, &market_key(), &market, &keyed, NOW, None);
    let population = || (0..REMEMBERED).map(|number| watched(&table, number));
    let Some(start) = resident() else { return Vec::new() };
    let mut tracker = Tracker::new(0.0);
    tracker.put(&table, population());
    let with_tracker = resident().unwrap_or(start);
    let mut held = HashMap::with_capacity(REMEMBERED);
    held.extend(population().map(|(key, account)| (to_v2(&key), *account)));
    let with_both = resident().unwrap_or(with_tracker);
    assert_eq!((tracker.len(), held.len()), (REMEMBERED, REMEMBERED));
    let each = |from: u64, to: u64| to.saturating_sub(from) as f64 / REMEMBERED as f64;
    let (ours, peer) = (each(start, with_tracker), each(with_tracker, with_both));
    eprintln!("memory for each obligation: {ours:.0} bytes, the peer {peer:.0} bytes");
    vec![json!({ "obligations": REMEMBERED, "ours": ours, "peer": peer })]
}

/// Bytes of this process that are in memory.
fn resident() -> Option<u64> {
    let status = fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    line.trim().strip_suffix(" kB")?.parse::<u64>().ok().map(|kib| kib * 1024)
}
