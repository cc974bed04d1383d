//! What a keeper does every slot: value every obligation, search the few that
//! are unhealthy.

#[path = "../tests/support/mod.rs"]
mod support;

use std::hint::black_box;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use klend_interface::state::Reserve;
use klend_model::{
    accounts,
    constants::KLEND_PROGRAM_ID,
    flash::Lenders,
    reserve::ReserveState,
    search::{Funding, Leftovers, best_liquidation},
    table::ReserveTable,
};
use solana_address::Address;
use support::{NOW, bsf, market, market_key, obligation, obligation_key, reserve, reserve_key};

const OBLIGATIONS: usize = 100_000;
const RESERVES: usize = 60;

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

/// Account bytes as a keeper holds them, one after the other. One position in
/// three has a single deposit and debt, the others up to 5 deposits and 3
/// debts.
fn obligations() -> Vec<u8> {
    let mut bytes = Vec::with_capacity(OBLIGATIONS * accounts::OBLIGATION_LEN);
    for i in 0..OBLIGATIONS {
        let (deposits, borrows) = match i % 3 {
            0 => (1, 1),
            1 => (1 + i % 5, 1 + i % 2),
            _ => (1 + i % 2, 1 + i % 3),
        };
        let at = |offset: usize| (i * 13 + offset * 7) % RESERVES;
        let deposits: Vec<_> =
            (0..deposits).map(|d| (at(d), 1_000_000_000 + (i as u64) * 977)).collect();
        let borrows: Vec<_> =
            (0..borrows).map(|b| (at(b + 20), 100_000_000 + (i as u64) * 31)).collect();
        bytes.extend_from_slice(&accounts::account_data(&*obligation(&deposits, &borrows)));
    }
    bytes
}

fn health(criterion: &mut Criterion) {
    let (market, reserves, bytes) = (market(), reserves(), obligations());
    let reserves = keyed(&reserves);
    let table = ReserveTable::refresh(&market_key(), &market, &reserves, NOW, None);
    assert!(table.refused().is_empty());
    let key = obligation_key();

    let mut group = criterion.benchmark_group("health");
    group.throughput(Throughput::Elements(OBLIGATIONS as u64)).sample_size(30);
    group.bench_function("100,000 obligations from account bytes", |bencher| {
        bencher.iter(|| {
            let mut unhealthy = 0;
            for data in bytes.chunks_exact(accounts::OBLIGATION_LEN) {
                let account = accounts::obligation(&key, &KLEND_PROGRAM_ID, data).unwrap();
                let health = table.health(&key, account).unwrap();
                unhealthy += usize::from(health.is_unhealthy());
            }
            unhealthy
        });
    });
    group.finish();
}

/// A constant-product pool of twenty million in value on either side.
fn pool(from: &ReserveState<'_>, to: &ReserveState<'_>, amount: u64) -> Option<u64> {
    let depth =
        |reserve: &ReserveState<'_>| 20_000_000_000_000 / reserve.market_price.floor().max(1);
    let (x, y) = (depth(from), depth(to));
    u64::try_from(y * u128::from(amount) / (x + u128::from(amount))).ok()
}

/// Eight deposits, five debts, every pair open, a flash loan for each.
fn search(criterion: &mut Criterion) {
    let (market, reserves) = (market(), reserves());
    let reserves = keyed(&reserves);
    let table = ReserveTable::refresh(&market_key(), &market, &reserves, NOW, None);
    let lenders = Lenders::new([&table]);
    let deposits: [_; 8] = core::array::from_fn(|i| (i, 1_000_000_000 / (1 + i as u64 * 7)));
    let borrows: [_; 5] =
        core::array::from_fn(|i| (i + 20, 1_000_000_000 * 76 / 62 / (1 + (i as u64 + 20) * 7)));
    let account = obligation(&deposits, &borrows);
    let key = obligation_key();
    let funding = Funding::Flash { lenders: &lenders, margin_bps: 100, max_fee_bps: 30 };
    let best = || {
        let state = table.obligation(&key, &account).unwrap();
        best_liquidation(&table, &state, funding, Leftovers::Reject, pool).unwrap().unwrap()
    };
    assert!(best().profit > 0, "{:?}", best());

    criterion.bench_function("best liquidation, 8 deposits × 5 debts", |bencher| {
        bencher.iter(|| black_box(best()));
    });

    // A pool so shallow that every pair has its best amount below the largest.
    let shallow = |from: &ReserveState<'_>, to: &ReserveState<'_>, amount: u64| {
        let depth =
            |reserve: &ReserveState<'_>| 2_000_000_000 / reserve.market_price.floor().max(1);
        let (x, y) = (depth(from), depth(to));
        u64::try_from(y * u128::from(amount) / (x + u128::from(amount))).ok()
    };
    criterion.bench_function("best liquidation, 8 × 5, shallow pools", |bencher| {
        bencher.iter(|| {
            let state = table.obligation(&key, &account).unwrap();
            black_box(best_liquidation(&table, &state, funding, Leftovers::Reject, shallow))
        });
    });
}

fn refresh(criterion: &mut Criterion) {
    let (market, mut reserves) = (market(), reserves());
    for reserve in &mut reserves {
        reserve.last_update.slot -= 100;
    }
    let reserves = keyed(&reserves);
    criterion.bench_function("refresh of 60 reserves", |bencher| {
        bencher.iter(|| {
            black_box(ReserveTable::refresh(&market_key(), &market, &reserves, NOW, None))
        });
    });
}

criterion_group!(benches, health, search, refresh);
criterion_main!(benches);
