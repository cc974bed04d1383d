//! Obligations under watch: what is unhealthy is found, and little else valued.

#[path = "../../klend-model/tests/support/mod.rs"]
mod support;

use std::collections::BTreeSet;

use klend_flash_keeper::tracker::{Evaluation, Tracker};
use klend_interface::state::{LendingMarket, Obligation, Reserve};
use klend_model::{reserve::Clock, table::ReserveTable};
use solana_address::Address;
use support::{NOW, ONE, bsf, market, market_key, obligation, reserve, reserve_key};

/// A generator of numbers that are the same every time.
struct Numbers(u64);

impl Numbers {
    fn below(&mut self, end: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        (self.0 >> 33) % end
    }
}

fn key(index: usize) -> Address {
    support::key(9, index)
}

fn table<'a>(
    market: &'a LendingMarket,
    reserves: &'a [Box<Reserve>],
    clock: Clock,
) -> ReserveTable<'a> {
    let keyed: Vec<(Address, &Reserve)> = reserves
        .iter()
        .enumerate()
        .map(|(index, account)| (reserve_key(index), &**account))
        .collect();
    ReserveTable::refresh(&market_key(), market, &keyed, clock, None)
}

/// Everything valued, as klend would.
fn truth(table: &ReserveTable<'_>, obligations: &[Box<Obligation>]) -> BTreeSet<Address> {
    obligations
        .iter()
        .enumerate()
        .filter(|(index, account)| {
            table.health(&key(*index), account).is_ok_and(|health| health.is_unhealthy())
        })
        .map(|(index, _)| key(index))
        .collect()
}

fn portfolio(numbers: &mut Numbers, reserves: u64) -> Box<Obligation> {
    let list = |numbers: &mut Numbers, most: u64, least: u64| -> Vec<(usize, u64)> {
        let first = numbers.below(reserves);
        (0..1 + numbers.below(most))
            .map(|i| ((first + i) as usize % reserves as usize, least + numbers.below(least)))
            .collect()
    };
    obligation(&list(numbers, 5, 1_000_000_000), &list(numbers, 3, 500_000_000))
}

/// Whatever happens to prices, interest, parameters and accounts, what is
/// unhealthy is found, and not much else valued.
#[test]
fn nothing_that_is_unhealthy_is_missed() {
    const RESERVES: u64 = 8;
    let mut numbers = Numbers(7);
    let mut market = market();
    let mut reserves: Vec<_> =
        (0..RESERVES).map(|index| reserve(index as usize, 10 + index)).collect();
    let mut obligations: Vec<_> = (0..400).map(|_| portfolio(&mut numbers, RESERVES)).collect();
    let mut tracker = Tracker::new(0.0);
    let all = obligations.iter().enumerate().map(|(index, account)| (key(index), account.clone()));
    tracker.put(&table(&market, &reserves, NOW), all);
    assert_eq!(tracker.len(), obligations.len());

    let (mut clock, mut unhealthy, mut spared) = (NOW, 0, 0);
    for round in 0..300u64 {
        clock.slot += numbers.below(3);
        let which = numbers.below(RESERVES) as usize;
        let state = &mut reserves[which];
        match round % 10 {
            0..6 => {
                let price = 9_000 + numbers.below(9_000) + which as u64 * 1_000;
                state.liquidity.market_price_sf = (u128::from(price) * ONE / 1_000).into();
            }
            6 => {
                let rate = ONE + u128::from(round) * (ONE / 10_000);
                state.liquidity.cumulative_borrow_rate_bsf = bsf(rate);
            }
            7 => state.config.liquidation_threshold_pct = 60 + numbers.below(20) as u8,
            8 => state.config.borrow_factor_pct = 100 + numbers.below(50),
            _ => {
                let index = numbers.below(obligations.len() as u64) as usize;
                obligations[index] = portfolio(&mut numbers, RESERVES);
                let account = obligations[index].clone();
                tracker.put(&table(&market, &reserves, clock), [(key(index), account)]);
            }
        }
        if round == 150 {
            market.elevation_groups[0].id = 1;
            market.elevation_groups[0].liquidation_threshold_pct = 90;
        }
        let table = table(&market, &reserves, clock);
        let expected = truth(&table, &obligations);
        let found = tracker.evaluate(&table);
        assert_eq!(found.unhealthy.iter().copied().collect::<BTreeSet<_>>(), expected);
        assert!(expected.iter().all(|key| tracker.is_unhealthy(&table, key)));
        unhealthy += expected.len();
        spared += obligations.len() - found.valued;
    }
    assert!(unhealthy > 1_000 && spared > 10_000, "{unhealthy} unhealthy, {spared} spared");
}

#[test]
fn a_move_that_matters_to_nobody_values_nobody() {
    let (market, mut reserves) = (market(), vec![reserve(0, 10), reserve(1, 1)]);
    let mut tracker = Tracker::new(0.0);
    // 10,000 of deposits at 75 % over 6,000 of debt.
    let account = obligation(&[(0, 1_000_000_000)], &[(1, 6_000_000_000)]);
    tracker.put(&table(&market, &reserves, NOW), [(key(0), account)]);
    let mut price = |reserves: &mut Vec<Box<Reserve>>, cents: u128| {
        reserves[0].liquidity.market_price_sf = (cents * ONE / 100).into();
        tracker.evaluate(&table(&market, reserves, NOW))
    };
    assert_eq!(price(&mut reserves, 801), Evaluation::default());
    let found = price(&mut reserves, 799);
    assert_eq!(found, Evaluation { unhealthy: vec![key(0)], valued: 1 });
    assert_eq!(price(&mut reserves, 801), Evaluation::default());
}

#[test]
fn what_cannot_be_valued_is_tried_again() {
    let (market, mut reserves) = (market(), vec![reserve(0, 10), reserve(1, 1)]);
    let account = obligation(&[(0, 1_000_000_000)], &[(1, 9_000_000_000)]);
    let mut tracker = Tracker::new(0.0);
    // The second reserve is not there at first, then refused, then there.
    let healthy = reserves[1].version;
    tracker.put(&table(&market, &reserves[..1], NOW), [(key(0), account)]);
    assert_eq!(tracker.evaluate(&table(&market, &reserves[..1], NOW)).valued, 1);
    reserves[1].version = 0;
    let found = tracker.evaluate(&table(&market, &reserves, NOW));
    assert_eq!((found.unhealthy.len(), found.valued), (0, 1));
    reserves[1].version = healthy;
    let found = tracker.evaluate(&table(&market, &reserves, NOW));
    assert_eq!(found.unhealthy, [key(0)]);
}

#[test]
fn what_has_no_debt_worth_tracking_is_forgotten() {
    let (market, reserves) = (market(), vec![reserve(0, 10), reserve(1, 1)]);
    let table = table(&market, &reserves, NOW);
    let mut tracker = Tracker::new(2.0);
    let with_debt = |micros: u64| obligation(&[(0, 1_000_000_000)], &[(1, micros)]);
    tracker.put(&table, (0..3).map(|index| (key(index), with_debt(3_000_000))));
    tracker.put(&table, [(key(0), with_debt(1_000_000))]);
    assert_eq!(tracker.len(), 2);
    tracker.put(&table, [(key(1), obligation(&[(0, 1_000_000_000)], &[]))]);
    assert_eq!((tracker.len(), tracker.get(&key(1)).is_none()), (1, true));
    assert_eq!(tracker.get(&key(2)).map(|account| account.has_debt), Some(1));
    tracker.remove(&key(2));
    assert!(tracker.is_empty());
}
