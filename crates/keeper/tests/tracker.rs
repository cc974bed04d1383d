//! Obligations under watch: what is unhealthy is found, and little else valued.

#[path = "../../klend-model/tests/support/mod.rs"]
mod support;

use std::collections::{BTreeSet, HashSet};

use klend_flash_keeper::judge::tracker::{Evaluation, Tracker};
use klend_interface::state::{LendingMarket, Obligation, Reserve};
use klend_model::{
    liquidation::{self, Reason},
    table::ReserveTable,
    time::Clock,
    version::KlendVersion,
};
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
    ReserveTable::refresh(KlendVersion::default(), &market_key(), market, &keyed, clock, None)
}

/// Everything valued, as klend would: what is unhealthy, and what else it lets be
/// liquidated.
fn truth(
    table: &ReserveTable<'_>,
    obligations: &[Box<Obligation>],
) -> (BTreeSet<Address>, BTreeSet<Address>) {
    let (mut unhealthy, mut otherwise) = (BTreeSet::new(), BTreeSet::new());
    for (index, account) in obligations.iter().enumerate() {
        let Ok(state) = table.obligation(&key(index), account) else { continue };
        if state.health.is_unhealthy() {
            unhealthy.insert(key(index));
        } else if liquidation::reason(table, &state).is_some() {
            otherwise.insert(key(index));
        }
    }
    (unhealthy, otherwise)
}

/// klend's reasons for these obligations.
fn reasons(table: &ReserveTable<'_>, keys: &BTreeSet<Address>, tracker: &Tracker) -> Vec<Reason> {
    let reason = |key| liquidation::reason(table, &table.obligation(key, tracker.get(key)?).ok()?);
    keys.iter().filter_map(reason).collect()
}

/// The same as sets.
fn sets(found: &Evaluation) -> (BTreeSet<Address>, BTreeSet<Address>) {
    let set = |keys: &[Address]| keys.iter().copied().collect();
    (set(&found.unhealthy), set(&found.otherwise))
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

/// One in three has an order, a margin call or debts whose term is about to end.
fn with_reasons(numbers: &mut Numbers, reserves: u64) -> Box<Obligation> {
    let mut account = portfolio(numbers, reserves);
    let soon = NOW.unix_timestamp + numbers.below(600);
    match numbers.below(9) {
        0 => {
            let order = &mut account.obligation_orders[numbers.below(2) as usize];
            order.condition_type = 1 + numbers.below(6) as u8;
            order.condition_threshold_sf = (u128::from(numbers.below(150)) * ONE / 100).into();
            (order.min_execution_bonus_bps, order.max_execution_bonus_bps) = (10, 10);
            order.opportunity_type = 1;
        }
        1 => {
            account.autodeleverage_target_ltv_pct = numbers.below(60) as u8;
            account.autodeleverage_margin_call_started_timestamp = soon - 200;
        }
        2 => {
            for borrow in &mut account.borrows {
                borrow.last_borrowed_at_timestamp = soon - 86_400;
            }
        }
        _ => {}
    }
    account
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
    let mut obligations: Vec<_> = (0..400).map(|_| with_reasons(&mut numbers, RESERVES)).collect();
    let mut tracker = Tracker::new(0.0);
    let all = obligations.iter().enumerate().map(|(index, account)| (key(index), account.clone()));
    tracker.put(&table(&market, &reserves, NOW), all);
    assert_eq!(tracker.len(), obligations.len());

    let (mut clock, mut unhealthy, mut otherwise, mut spared) = (NOW, 0, 0, 0);
    let mut seen = HashSet::new();
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
                obligations[index] = with_reasons(&mut numbers, RESERVES);
                let account = obligations[index].clone();
                tracker.put(&table(&market, &reserves, clock), [(key(index), account)]);
            }
        }
        // One after the other, what klend's other reasons hang on is switched on and
        // off again.
        clock.unix_timestamp += numbers.below(5);
        let config = &mut reserves[which].config;
        match round {
            30..60 => market.obligation_order_execution_enabled = 1,
            60..90 => market.obligation_borrow_debt_term_liquidation_enabled = 1,
            90..120 => {
                market.individual_autodeleverage_margin_call_period_secs = 200;
                market.autodeleverage_enabled = (round % 7 != 0).into();
            }
            120..150 => {
                market.autodeleverage_enabled = 1;
                config.autodeleverage_enabled = 1;
                config.borrow_limit = if round % 3 == 0 { u64::MAX } else { 1 };
                config.deleveraging_threshold_decrease_bps_per_day = 10_000;
                reserves[which].liquidity.borrow_limit_crossed_timestamp =
                    clock.unix_timestamp - 86_400;
            }
            150..180 => {
                market.mature_reserve_debt_liquidation_enabled = 1;
                config.borrow_limit = u64::MAX;
                config.debt_maturity_timestamp = clock.unix_timestamp + numbers.below(20);
            }
            180 => {
                market.mature_reserve_debt_liquidation_enabled = 0;
                market.price_triggered_liquidation_disabled = 1;
            }
            240 => market.obligation_order_execution_enabled = 0,
            _ => {}
        }
        for reserve in &mut reserves {
            reserve.config.debt_term_seconds = if round < 75 { 86_500 } else { 86_400 };
            // Prices stay young enough to liquidate on.
            reserve.liquidity.market_price_last_updated_ts = clock.unix_timestamp;
            reserve.last_update.slot = clock.slot;
        }
        if round == 150 {
            market.elevation_groups[0].id = 1;
            market.elevation_groups[0].liquidation_threshold_pct = 90;
        }
        let table = table(&market, &reserves, clock);
        let expected = truth(&table, &obligations);
        let found = tracker.evaluate(&table);
        assert_eq!(sets(&found), expected, "round {round}");
        assert!(expected.0.iter().all(|key| tracker.is_unhealthy(&table, key)));
        assert!(expected.1.iter().all(|key| tracker.is_liquidatable(&table, key)));
        unhealthy += expected.0.len();
        otherwise += expected.1.len();
        for reason in reasons(&table, &expected.1, &tracker) {
            seen.insert(std::mem::discriminant(&reason));
        }
        spared += obligations.len().saturating_sub(found.valued);
    }
    assert!(
        unhealthy > 1_000 && otherwise > 1_000 && spared > 10_000,
        "{unhealthy} unhealthy, {otherwise} otherwise, {spared} spared"
    );
    // All but the LTV.
    assert_eq!(seen.len(), 5);
}

/// Where few are near their limit, most are not looked at, and nothing is missed either:
/// prices wander, reserves cannot be refreshed for a while, obligations come, change and go.
#[test]
fn of_many_that_are_well_the_few_that_are_not_are_found() {
    const RESERVES: u64 = 4;
    const LIMITS: [f32; 3] = [0.99, 1.05, 1.6];
    let mut numbers = Numbers(3);
    let market = market();
    let mut reserves: Vec<_> = (0..RESERVES).map(|index| reserve(index as usize, 10)).collect();
    let well = |numbers: &mut Numbers| {
        let (from, to) = (numbers.below(RESERVES) as usize, numbers.below(RESERVES) as usize);
        // One in sixteen at about its limit, of 75 %; the others at half of it, and less.
        let share = if numbers.below(16) == 0 { 700 + numbers.below(100) } else { 375 };
        obligation(&[(from, 1_000_000_000)], &[(to, share * 1_000_000 - numbers.below(100))])
    };
    let mut obligations: Vec<_> = (0..400).map(|_| well(&mut numbers)).collect();
    let mut tracker = Tracker::new(0.0);
    let all = obligations.iter().enumerate().map(|(index, account)| (key(index), account.clone()));
    tracker.put(&table(&market, &reserves, NOW), all);
    let (mut unhealthy, mut few) = (0, 0);
    for round in 0..400u64 {
        for state in &mut reserves {
            let price = 9_900 + numbers.below(200) + round;
            state.liquidity.market_price_sf = (u128::from(price) * ONE / 1_000).into();
        }
        let index = numbers.below(obligations.len() as u64) as usize;
        obligations[index] = well(&mut numbers);
        let known = if round % 40 < 3 { &reserves[1..] } else { &reserves[..] };
        let first = reserves.len() - known.len();
        let keyed: Vec<(Address, &Reserve)> = known
            .iter()
            .enumerate()
            .map(|(at, account)| (reserve_key(first + at), &**account))
            .collect();
        let table = ReserveTable::refresh(
            KlendVersion::default(),
            &market_key(),
            &market,
            &keyed,
            NOW,
            None,
        );
        match round % 3 {
            0 => tracker.remove(&key(index)),
            _ => tracker.put(&table, [(key(index), obligations[index].clone())]),
        }
        let tracked = |keys: BTreeSet<Address>| -> BTreeSet<Address> {
            keys.into_iter().filter(|key| tracker.get(key).is_some()).collect()
        };
        let (expected, otherwise) = truth(&table, &obligations);
        let expected = (tracked(expected), tracked(otherwise));
        assert_eq!(sets(&tracker.evaluate(&table)), expected, "round {round}");
        unhealthy += expected.0.len();
        let all = tracker.nearest(&table, usize::MAX);
        let limit = LIMITS[round as usize % LIMITS.len()];
        let below = |health: f32| -> BTreeSet<Address> {
            all.iter().filter(|(_, of)| *of < health).map(|(key, _)| *key).collect()
        };
        // In whatever pieces it is asked.
        let piece = round as usize % 7 + 1;
        let places = (0..obligations.len()).step_by(piece).map(|at| at..at + piece);
        let near = places.flat_map(|places| tracker.near(&table, limit, places));
        assert_eq!(near.collect::<BTreeSet<_>>(), below(limit), "round {round}");
        few += usize::from(below(1.01).len() < obligations.len() / 8);
        if round % 3 == 0 {
            tracker.put(&table, [(key(index), obligations[index].clone())]);
        }
    }
    assert!(unhealthy > 1_000 && few > 300, "{unhealthy} unhealthy, {few} with few at their limit");
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
    assert_eq!(found, Evaluation { unhealthy: vec![key(0)], ..Evaluation::default() });
    // At the limit itself shares are not believed.
    let found = price(&mut reserves, 800);
    assert_eq!((found.unhealthy, found.valued), (vec![key(0)], 1));
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
