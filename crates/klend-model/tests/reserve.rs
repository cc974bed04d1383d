//! The questions a keeper asks a reserve, with round numbers.

mod support;

use klend_model::{
    accrual::compound_interest,
    errors::Code,
    fraction::Fraction,
    refresh,
    reserve::{FeeMode, ReserveState, Status, curve_rate},
    time::{Clock, Elapsed},
    version::KlendVersion,
};
use support::{KLEND, NOW, ONE, curve, market, market_key, reserve, reserve_key};

fn text(fraction: Fraction) -> String {
    format!("{:.6}", fraction.to_f64())
}

#[test]
fn supply_utilisation_and_exchange_rate() {
    let mut account = reserve(0, 3);
    account.collateral.mint_total_supply = 1_600_000_000_000;
    account.liquidity.accumulated_protocol_fees_sf = (100_000_000_000 * ONE).into();
    account.liquidity.pending_referrer_fees_sf = (100_000_000_000 * ONE).into();
    // 1,000,000 available + 1,000,000 lent − 200,000 of fees, 1,600,000 cTokens.
    let state = ReserveState::stored(KLEND, &reserve_key(0), &account).unwrap();
    assert_eq!(state.total_supply(), Ok(Fraction::from_int(1_800_000_000_000)));
    assert_eq!(text(state.utilization().unwrap()), "0.555556");
    assert_eq!((state.redeem(8), state.redeem(9), state.redeem_ceil(9)), (Ok(9), Ok(10), Ok(11)));
    assert_eq!((state.ctokens_of(9), state.ctokens_of(10)), (Ok(8), Ok(8)));
    assert_eq!(state.ctokens_of_ceil(10), Ok(9));
    assert_eq!(text(state.market_value(Fraction::from_int(2_500_000)).unwrap()), "7.500000");
    assert_eq!(state.redeemable_ctokens(), Ok(888_888_888_889));
    assert_eq!(state.redeem(888_888_888_889), Ok(1_000_000_000_000));
    account.withdraw_queue.queued_collateral_amount = 800_000_000_000;
    let state = ReserveState::stored(KLEND, &reserve_key(0), &account).unwrap();
    assert_eq!(state.freely_redeemable_ctokens(), Ok(88_888_888_889));
    assert_eq!(state.freely_available(), Ok(100_000_000_000));

    account.collateral.mint_total_supply = 0;
    let state = ReserveState::stored(KLEND, &reserve_key(0), &account).unwrap();
    assert_eq!((state.redeem(7), state.ctokens_of(7)), (Ok(7), Ok(7)), "one to one at first");
}

#[test]
fn the_curve_between_and_on_its_nodes() {
    let curve = curve(&[(0, 100), (8_000, 500), (10_000, 5_000)]);
    let rate = |bps| text(curve_rate(&curve, Fraction::from_bps(bps)).unwrap().unwrap());
    assert_eq!(rate(0), "0.010000");
    assert_eq!(rate(4_000), "0.030000");
    assert_eq!(rate(8_000), "0.050000");
    assert_eq!(rate(9_000), "0.275000");
    assert_eq!(rate(10_000), "0.500000");
    let beyond = Fraction::from_bps(10_001);
    assert_eq!(curve_rate(&curve, beyond), Ok(None));
}

#[test]
fn interest_over_slots_and_who_gets_it() {
    // Ten per cent a year for a year. The square of the rate of one slot is 2.9
    // units of 2⁻⁶⁰, of which klend keeps two: 1 + 0.1 + n²/2 · 2 / 2⁶⁰.
    let year = 63_072_000;
    let growth = |version, units| {
        let elapsed = Elapsed { units, units_per_year: year };
        text(compound_interest(version, Fraction::from_percent(10), elapsed).unwrap())
    };
    assert_eq!(growth(KlendVersion::V1_16, year), "1.103450");
    // Since 1.17 only the truncation of each term is lost: 1 + 0.1 + 0.005 + 0.1³/6.
    assert_eq!(growth(KLEND, year), "1.105167");
    assert_eq!(growth(KLEND, 0), "1.000000");

    // Half lent out at 2.5 % plus a host rate of 1 %, a take rate of 10 %, a
    // fifth of it for referrers.
    let mut account = reserve(0, 1);
    account.config.host_fixed_interest_rate_bps = 100;
    account.last_update.slot -= year;
    let mut market = market();
    market.referral_fee_bps = 2000;
    let refresh = |slot| {
        let clock = Clock { slot, ..NOW };
        refresh::reserve(KLEND, &market_key(), &market, &reserve_key(0), &account, clock, None)
    };
    let state = refresh(NOW.slot).unwrap();
    let million =
        |fraction: Fraction| text(Fraction::from_bits(fraction.to_bits() / 1_000_000_000_000));
    assert_eq!(million(state.borrowed), "1.035620");
    assert_eq!(text(state.cumulative_borrow_rate), "1.035620");
    // 1.005017 % fixed; of the other 2.556947 %, eight and two hundredths.
    assert_eq!(million(state.protocol_fees), "0.012096");
    assert_eq!(million(state.pending_referrer_fees), "0.000511");
    assert_eq!(text(state.absolute_referral_rate), "0.020000");
    assert_eq!((state.slot, state.stale), (NOW.slot, false));
    let error = refresh(NOW.slot - year - 1).unwrap_err().klend_error().unwrap();
    assert_eq!(error.lending_error(), Some(Code::MathOverflow));
    // People are shown what true compounding would give.
    let stored = ReserveState::stored(KLEND, &reserve_key(0), &account).unwrap();
    assert!((stored.borrow_apy(None).unwrap() - 0.03562).abs() < 1e-5);
    assert!((stored.supply_apy(None).unwrap() - 0.01131).abs() < 1e-5);
}

#[test]
fn limits_remember_when_they_were_crossed() {
    let mut account = reserve(0, 1);
    account.config.deposit_limit = 2_000_000_000_000;
    account.config.borrow_limit = 999_999_999_999;
    let refresh = |account: &_| {
        let state =
            refresh::reserve(KLEND, &market_key(), &market(), &reserve_key(0), account, NOW, None)
                .unwrap();
        (
            state.deposit_limit().unwrap().crossed,
            state.deposit_limit_crossed_at,
            state.borrow_limit().crossed,
            state.borrow_limit_crossed_at,
        )
    };
    assert_eq!(refresh(&account), (false, 0, true, NOW.unix_timestamp));
    account.liquidity.borrow_limit_crossed_timestamp = 5;
    account.liquidity.deposit_limit_crossed_timestamp = 6;
    assert_eq!(refresh(&account), (false, 0, true, 5));
}

#[test]
fn fees_on_top_and_out_of_an_amount() {
    let mut account = reserve(0, 1);
    account.config.fees.origination_fee_sf = (1 << 60) / 10;
    account.config.borrow_factor_pct = 0;
    account.config.status = 2;
    let state = ReserveState::stored(KLEND, &reserve_key(0), &account).unwrap();
    assert_eq!(state.origination_fee(1100, FeeMode::Exclusive), Ok(110));
    assert_eq!(state.origination_fee(1100, FeeMode::Inclusive), Ok(100));
    assert_eq!(state.origination_fee(2, FeeMode::Exclusive), Ok(1), "never less than one unit");
    let too_small = state.origination_fee(1, FeeMode::Exclusive).unwrap_err();
    assert_eq!(too_small.klend_error().unwrap().lending_error(), Some(Code::BorrowTooSmall));
    assert_eq!(state.flash_fee(0), Ok(0));
    assert_eq!(state.flash_fee(150_000), Ok(1));
    assert_eq!(state.flash_fee(1_000_000_000_000), Ok(10_000_000));
    assert_eq!((state.borrow_factor(), state.borrow_factor_pct()), (Fraction::ONE, 100));
    assert_eq!(state.status(), Status::Hidden);
    account.config.fees.flash_loan_fee_sf = u64::MAX;
    let state = ReserveState::stored(KLEND, &reserve_key(0), &account).unwrap();
    let disabled = state.flash_fee(5).unwrap_err().klend_error().unwrap();
    assert_eq!(disabled.lending_error(), Some(Code::FlashLoansDisabled));
}
