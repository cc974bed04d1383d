//! Interest and rewards against a second computation in plain integers, which
//! shares nothing with the model: 256-bit products by hand, one line per step of
//! klend's order.

mod support;

use klend_interface::state::{LendingMarket, Reserve};
use klend_model::{
    fields, refresh, refusal::Refusal, reserve::ReserveState, time::Clock, version::KlendVersion,
};
use proptest::prelude::*;
use support::{NOW, ONE, bsf, curve, key, market, market_key, reserve, reserve_key};

/// `⌊a · b / 2⁶⁰⌋` by schoolbook multiplication of 64-bit halves.
fn mul(a: u128, b: u128) -> u128 {
    let half = |x: u128| (x >> 64, x & u128::from(u64::MAX));
    let ((a1, a0), (b1, b0)) = (half(a), half(b));
    let mut low = a0 * b0;
    let mut high = a1 * b1;
    for cross in [a1 * b0, a0 * b1] {
        let (sum, carry) = low.overflowing_add(cross << 64);
        low = sum;
        high += (cross >> 64) + u128::from(carry);
    }
    assert!(high < 1 << 60, "a test's number does not fit");
    high << 68 | low >> 60
}

/// The reserve's numbers after `n` units of a year of `year` units, in klend's
/// order: debt, cumulative rate, protocol fees, pending fees, available, pot.
fn expected(account: &Reserve, market: &LendingMarket, n: u128, year: u128) -> [u128; 6] {
    let bits = |pod| u128::from_le_bytes(bytemuck::cast(pod));
    let liquidity = &account.liquidity;
    let config = &account.config;
    let debt = bits(liquidity.borrowed_amount_sf);
    let [low, high, ..] = liquidity.cumulative_borrow_rate_bsf.value;
    let cumulative = u128::from(high) << 64 | u128::from(low);
    let fees = bits(liquidity.accumulated_protocol_fees_sf);
    let pending = bits(liquidity.pending_referrer_fees_sf);
    let (available, pot) = (liquidity.total_available_amount, liquidity.rewards_amount_available);
    let unchanged = [debt, cumulative, fees, pending, available.into(), pot.into()];
    if n == 0 {
        return unchanged;
    }
    // A flat curve: the rate is its first point's.
    let curve_rate = u128::from(config.borrow_rate_curve.points[0].borrow_rate_bps) * ONE / 10_000;
    let host = u128::from(config.host_fixed_interest_rate_bps) * ONE / 10_000;
    let growth = |rate: u128| {
        let b = rate / year;
        let base = ONE + b;
        match n {
            1 => base,
            2 => mul(base, base),
            3 => mul(mul(base, base), base),
            4 => mul(mul(base, base), mul(base, base)),
            _ => {
                let t1 = b * n;
                let t2 = mul(t1, b) * (n - 1) / 2;
                let t3 = mul(t2, b) * (n - 2) / 3;
                ONE + t1 + t2 + t3
            }
        }
    };
    let (all, fixed) = (growth(curve_rate + host), growth(host));
    let new_debt = mul(debt, all);
    let fixed_fee = mul(debt, fixed) - debt;
    let variable = new_debt - debt - fixed_fee;
    let take = u128::from(config.protocol_take_rate_pct) * ONE / 100;
    let referral = u128::from(market.referral_fee_bps) * ONE / 10_000;
    let shared = mul(variable, mul(take, referral));
    let fees = fees + fixed_fee + mul(variable, take) - shared;
    let pending = pending + shared;
    // Of the supply after this interest, whole units.
    let supply = (u128::from(available) * ONE + new_debt - fees - pending) >> 60;
    let by_rate = u128::from(config.rewards_amount_per_slot).saturating_mul(n);
    let cap = u128::from(market.reserve_rewards_max_apr_bps);
    let by_share = supply.saturating_mul(cap).saturating_mul(n) / (10_000 * year);
    let none = account.collateral.mint_total_supply == 0;
    let given = if none { 0 } else { by_rate.min(by_share).min(pot.into()) };
    [
        new_debt,
        mul(cumulative, all),
        fees,
        pending,
        u128::from(available) + given,
        u128::from(pot) - given,
    ]
}

fn numbers(state: &ReserveState<'_>) -> [u128; 6] {
    [
        state.borrowed.to_bits(),
        state.cumulative_borrow_rate.to_bits(),
        state.protocol_fees.to_bits(),
        state.pending_referrer_fees.to_bits(),
        state.available.into(),
        state.rewards_pot.into(),
    ]
}

/// 1,000,000 tokens lent out at a flat rate, host fee 1 %, take 10 %, rewards.
fn lender(rate_bps: u32, per_unit: u64, pot: u64) -> Box<Reserve> {
    let mut account = reserve(0, 1);
    account.config.borrow_rate_curve = curve(&[(0, rate_bps), (10_000, rate_bps)]);
    account.config.host_fixed_interest_rate_bps = 100;
    account.config.rewards_amount_per_slot = per_unit;
    account.liquidity.rewards_amount_available = pot;
    account.liquidity.cumulative_borrow_rate_bsf = bsf(ONE * 123_456_789 / 100_000_000);
    account
}

fn payer() -> Box<LendingMarket> {
    let mut market = market();
    market.referral_fee_bps = 2_000;
    market.reserve_rewards_max_apr_bps = 1_500;
    market
}

fn after<'a>(
    version: KlendVersion,
    account: &'a Reserve,
    market: &LendingMarket,
    now: Clock,
) -> Result<ReserveState<'a>, Refusal> {
    refresh::reserve(version, &market_key(), market, &reserve_key(0), account, now, None)
}

const SECONDS: u8 = 1;
const NEWER: [KlendVersion; 2] = [KlendVersion::V1_25, KlendVersion::V1_26];

proptest! {
    #![proptest_config(ProptestConfig::with_cases(5_000))]

    #[test]
    fn both_bases_agree_with_plain_integers(
        slots in prop_oneof![0..12u64, 0..50_000_000u64],
        seconds in prop_oneof![0..12u64, 0..50_000_000u64],
        rate in 0..40_000u32,
        per_unit in prop_oneof![Just(0u64), 0..1_000_000u64, any::<u64>()],
        pot in prop_oneof![Just(0u64), 0..1_000_000_000u64, 0..u64::MAX / 2],
        cap in prop_oneof![Just(0u16), 0..3_000u16, any::<u16>()],
        ctokens in prop_oneof![3 => Just(2_000_000_000_000u64), 1 => Just(0)],
        debt in 1u128..4_000_000_000_000,
    ) {
        let mut account = lender(rate, per_unit, pot);
        account.liquidity.borrowed_amount_sf = (debt * ONE + 987_654_321).into();
        account.collateral.mint_total_supply = ctokens;
        let mut market = payer();
        market.reserve_rewards_max_apr_bps = cap;
        let now = Clock {
            slot: NOW.slot + slots,
            unix_timestamp: NOW.unix_timestamp + seconds,
        };
        for version in NEWER {
            for basis in [0, SECONDS] {
                fields::set_interest_rate_basis(&mut account.config, basis);
                let (n, year) =
                    if basis == SECONDS { (seconds, 31_536_000) } else { (slots, 63_072_000) };
                let state = after(version, &account, &market, now).unwrap();
                prop_assert_eq!(numbers(&state), expected(&account, &market, n.into(), year));
                prop_assert_eq!((state.slot, u64::from(state.timestamp)), (now.slot, now.unix_timestamp));
            }
        }
        // 1.24 counts slots whatever the byte says, and writes no time.
        let state = after(KlendVersion::V1_24, &account, &market, now).unwrap();
        prop_assert_eq!(numbers(&state), expected(&account, &market, slots.into(), 63_072_000));
        prop_assert_eq!(u64::from(state.timestamp), NOW.unix_timestamp);
    }
}

/// Numbers that anybody can follow: 10 % a year of 1,000,000 tokens.
#[test]
fn one_unit_of_interest_by_hand() {
    let mut account = lender(1_000, 0, 0);
    account.config.host_fixed_interest_rate_bps = 0;
    let market = payer();
    let later = Clock { slot: NOW.slot + 2, unix_timestamp: NOW.unix_timestamp + 1 };
    let tenth = ONE * 1_000 / 10_000;
    fields::set_interest_rate_basis(&mut account.config, SECONDS);
    let state = after(KlendVersion::V1_25, &account, &market, later).unwrap();
    let debt = 1_000_000_000_000u128;
    assert_eq!(state.borrowed.to_bits(), debt * (ONE + tenth / 31_536_000));
    assert_eq!(state.borrowed.floor() - debt, 3_170, "of 100,000,000,000 a year");
    // Two slots are klend's second, compounded once more.
    fields::set_interest_rate_basis(&mut account.config, 0);
    let state = after(KlendVersion::V1_25, &account, &market, later).unwrap();
    let slot = ONE + tenth / 63_072_000;
    assert_eq!(state.borrowed.to_bits(), debt * ONE / ONE * mul(slot, slot));
}

/// The order of multiplications since 1.17 keeps digits that 1.16 lost.
#[test]
fn compounding_differs_by_version_only_in_its_last_digits() {
    let mut account = lender(1_000, 0, 0);
    account.config.host_fixed_interest_rate_bps = 0;
    let (market, rate) = (payer(), ONE / 10 / 63_072_000);
    // What 1.16 computes: the powers of the rate first.
    let before = |n: u128| {
        let (square, cube) = (mul(rate, rate), mul(mul(rate, rate), rate));
        let series = rate * n + square * n * (n - 1) / 2 + cube * n * (n - 1) * (n - 2) / 6;
        1_000_000_000_000 * (ONE + series)
    };
    for slots in [5, 8_000, 40_000_000] {
        let now = Clock { slot: NOW.slot + slots, ..NOW };
        let debts = KlendVersion::ALL
            .map(|version| after(version, &account, &market, now).unwrap().borrowed.to_bits());
        assert_eq!(debts[0], before(slots.into()));
        assert_eq!(debts[1..], [debts[1]; 3]);
        assert!(debts[1] > debts[0], "{slots}");
    }
}

#[test]
fn seconds_have_edges() {
    let market = payer();
    let mut account = lender(1_000, 7, 1_000);
    fields::set_interest_rate_basis(&mut account.config, SECONDS);
    let untouched = expected(&account, &market, 0, 1);
    let at = |account: &Reserve, slot: i64, seconds: i64| {
        let now = Clock {
            slot: NOW.slot.saturating_add_signed(slot),
            unix_timestamp: NOW.unix_timestamp.saturating_add_signed(seconds),
        };
        after(KlendVersion::V1_25, account, &market, now)
            .map(|state| (numbers(&state), state.slot, state.timestamp))
    };
    let time = NOW.unix_timestamp as u32;
    // However many slots: no second, nothing.
    assert_eq!(at(&account, 500, 0), Ok((untouched, NOW.slot + 500, time)));
    // A clock that went back: nothing, and the time goes back with it.
    assert_eq!(at(&account, 1, -30), Ok((untouched, NOW.slot + 1, time - 30)));
    // So does a slot.
    assert_eq!(at(&account, -1, 0), Ok((untouched, NOW.slot - 1, time)));
    // An update by an older klend had no time: nothing accrues, the time is set.
    fields::set_timestamp(&mut account.last_update, 0);
    assert_eq!(at(&account, 1000, 1000), Ok((untouched, NOW.slot + 1000, time + 1000)));
    // The last second that fits.
    fields::set_timestamp(&mut account.last_update, u32::MAX - 1);
    let last = Clock { unix_timestamp: u64::from(u32::MAX), ..NOW };
    assert!(after(KlendVersion::V1_25, &account, &market, last).is_ok());
    let beyond = Clock { unix_timestamp: last.unix_timestamp + 1, ..last };
    for version in NEWER {
        let refused = after(version, &account, &market, beyond).unwrap_err();
        assert_eq!(refused, Refusal::Abort { account: reserve_key(0) });
    }
    assert!(after(KlendVersion::V1_24, &account, &market, beyond).is_ok());
    // Slots do not go back.
    fields::set_interest_rate_basis(&mut account.config, 0);
    let refused = at(&account, -1, 0).unwrap_err();
    assert_eq!(refused.klend_error().unwrap().code(), 6007);
}

#[test]
fn rewards_are_limited_by_rate_pot_and_share() {
    let mut market = payer();
    let now = Clock { slot: NOW.slot + 10, unix_timestamp: NOW.unix_timestamp + 5 };
    let given = |per_unit, pot, cap, basis| {
        let mut account = lender(0, per_unit, pot);
        account.config.host_fixed_interest_rate_bps = 0;
        fields::set_interest_rate_basis(&mut account.config, basis);
        market.reserve_rewards_max_apr_bps = cap;
        let state = after(KlendVersion::V1_25, &account, &market, now).unwrap();
        let left = state.rewards_pot;
        assert_eq!(state.available - 1_000_000_000_000, pot - left, "what leaves the pot arrives");
        pot - left
    };
    let mut given = given;
    // Seven a slot for ten slots, or a second for five seconds.
    assert_eq!((given(7, 1_000, u16::MAX, 0), given(7, 1_000, u16::MAX, SECONDS)), (70, 35));
    // What is left in the pot.
    assert_eq!((given(7, 69, u16::MAX, 0), given(7, 34, u16::MAX, SECONDS)), (69, 34));
    // 15 % a year of two million tokens: ⌊2·10¹² · 1500 · n / (10,000 · year)⌋.
    assert_eq!(
        (given(10_000, 1 << 40, 1_500, 0), given(10_000, 1 << 40, 1_500, SECONDS)),
        (47_564, 47_564)
    );
    assert_eq!(given(u64::MAX, u64::MAX / 2, 1, 0), 31, "⌊31.7⌋, and no overflow");
    for nothing in [(0, 1_000, 1_500), (7, 0, 1_500), (7, 1_000, 0)] {
        assert_eq!(given(nothing.0, nothing.1, nothing.2, 0), 0, "{nothing:?}");
    }
    // They raise what a cToken is worth, not the debt.
    let account = lender(0, 7, 1_000);
    market.reserve_rewards_max_apr_bps = u16::MAX;
    let state = after(KlendVersion::V1_25, &account, &market, now).unwrap();
    let one = |state: &ReserveState<'_>| state.liquidity_of(1_000_000_000_000).unwrap();
    assert!(
        one(&state)
            > one(&ReserveState::stored(KlendVersion::V1_25, &reserve_key(0), &account).unwrap())
    );
    let before = after(KlendVersion::V1_16, &account, &market, now).unwrap();
    assert_eq!(
        (before.rewards_pot, before.available),
        (1_000, 1_000_000_000_000),
        "not known then"
    );
}

/// The clock of an obligation's debt is that of the debt's reserve.
#[test]
fn an_obligation_of_a_later_slot_is_refused_where_slots_count() {
    let mut account = lender(0, 0, 0);
    let market = payer();
    let mut obligation = support::obligation(&[], &[(0, 1_000_000)]);
    obligation.borrows[0].cumulative_borrow_rate_bsf = account.liquidity.cumulative_borrow_rate_bsf;
    obligation.last_update.slot = NOW.slot + 1;
    let mut health = |basis| {
        fields::set_interest_rate_basis(&mut account.config, basis);
        let reserves = [(reserve_key(0), &*account)];
        klend_model::table::ReserveTable::refresh(
            KlendVersion::V1_25,
            &market_key(),
            &market,
            &reserves,
            NOW,
            None,
        )
        .health(&key(2, 0), &obligation)
        .map_err(|refusal| refusal.klend_error().unwrap().code())
    };
    assert_eq!(health(0).map(|_| ()), Err(6007));
    assert!(health(SECONDS).is_ok());
}
