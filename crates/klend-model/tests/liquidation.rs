//! Liquidations small enough to check by hand, and every way to be refused.

mod support;

use bytemuck::Zeroable;
use klend_interface::state::{LendingMarket, Obligation, ObligationOrder, Reserve};
use klend_model::{
    errors::Code,
    fields,
    fraction::Fraction,
    keys,
    liquidation::{FlashLoan, Position, Quote, Reason, Request, quote_liquidation},
    outlook::LiquidationPrice,
    refusal::{Refusal, Unknowable},
    table::ReserveTable,
    version::KlendVersion,
};
use solana_address::Address;
use support::{
    KLEND, NOW, ONE, key, market, market_key, obligation, obligation_key, reserve, reserve_key,
};

/// Collateral at 10 a token in reserve 0, debt at 1 a token in reserve 1.
struct Case {
    market: Box<LendingMarket>,
    reserves: Vec<Box<Reserve>>,
    obligation: Box<Obligation>,
    request: Request,
}

const TOKEN: u64 = 1_000_000;

impl Case {
    /// 1000 collateral tokens (worth 10,000, limit 7,500) and a debt.
    fn new(debt: u64) -> Self {
        Self {
            market: market(),
            reserves: vec![reserve(0, 10), reserve(1, 1)],
            obligation: obligation(&[(0, 1000 * TOKEN)], &[(1, debt)]),
            request: Request {
                repay_reserve: reserve_key(1),
                withdraw_reserve: reserve_key(0),
                amount: u64::MAX,
                min_received: 0,
                flash_loan: None,
            },
        }
    }

    fn keyed(&self) -> Vec<(Address, &Reserve)> {
        self.reserves.iter().enumerate().map(|(i, reserve)| (reserve_key(i), &**reserve)).collect()
    }

    fn quote(&self) -> Result<Quote, Refusal> {
        self.quote_as(KLEND)
    }

    fn quote_as(&self, version: KlendVersion) -> Result<Quote, Refusal> {
        let position = Position {
            market: (market_key(), &self.market),
            reserves: &self.keyed(),
            obligation: (obligation_key(), &self.obligation),
        };
        quote_liquidation(version, &position, &self.request, NOW, None)
    }

    fn code(&self) -> Code {
        self.quote().unwrap_err().klend_error().unwrap().lending_error().unwrap()
    }
}

/// Six decimals, rounded: klend's own numbers are a hair below round ones.
fn text(fraction: Fraction) -> String {
    format!("{:.6}", fraction.to_f64())
}

/// Within one unit, which rounding in klend's favour may take.
fn about(actual: u64, expected: u64) -> bool {
    actual == expected || actual + 1 == expected
}

#[test]
fn a_fifth_of_the_debt_for_collateral_worth_a_bonus_more() {
    // LTV 0.78 against 0.75: the minimum bonus of 5 %. A fifth of 7,800 is
    // 1,560; with the bonus 1,638, which is 163.8 tokens at 10. Half of the
    // bonus, 3.9 tokens, is klend's.
    let quote = Case::new(7800 * TOKEN).quote().unwrap();
    assert_eq!(quote.reason, Reason::LtvExceeded);
    assert_eq!(quote.bonus, Fraction::from_bps(500));
    assert_eq!(quote.repay, 1560 * TOKEN);
    assert!(about(quote.seized_ctokens, 163_800_000), "{quote:?}");
    assert_eq!(quote.redeemed_ctokens, quote.seized_ctokens);
    assert_eq!(quote.leftover_ctokens, 0);
    assert!(about(quote.gross_received, 163_800_000));
    assert!(about(quote.protocol_fee, 3_900_001), "{quote:?}");
    assert_eq!(quote.received, quote.gross_received - quote.protocol_fee);
    assert_eq!(quote.after.deposit, 1000 * TOKEN - quote.seized_ctokens);
    assert_eq!(quote.after.repay_reserve.available, 1_000_000_000_000 + quote.repay);
    assert!(quote.after.has_debt);
}

#[test]
fn the_excess_ltv_is_the_bonus_between_the_bounds() {
    // LTV 0.83 against 0.75: 8 %, between 5 % and 10 %.
    let quote = Case::new(8300 * TOKEN).quote().unwrap();
    assert_eq!(text(quote.bonus), "0.080000");
    // LTV 0.89: 14 %, but at most 10 %.
    assert_eq!(Case::new(8900 * TOKEN).quote().unwrap().bonus, Fraction::from_bps(1000));
    // LTV 0.94: at most the six per cent that are left.
    let quote = Case::new(9400 * TOKEN).quote().unwrap();
    assert_eq!(text(quote.bonus), "0.060000");
}

#[test]
fn insolvent_debt_is_repaid_at_once_for_all_collateral() {
    // Debt of 20,000 against 10,000: the bad-debt bonus of 99 bps, and no more
    // debt settled than the collateral with its bonus is worth.
    let quote = Case::new(20_000 * TOKEN).quote().unwrap();
    assert_eq!(quote.bonus, Fraction::from_bps(99));
    assert_eq!(quote.seized_ctokens, 1000 * TOKEN);
    assert_eq!(quote.after.deposit, 0);
    assert!(about(quote.repay, 9_901_970_493), "{quote:?}");
    assert!(quote.after.has_debt);
}

#[test]
fn a_small_debt_goes_away_entirely_even_at_a_loss() {
    // Worth 1.5, collateral worth 1: below the threshold of 2.
    let mut case = Case::new(TOKEN * 3 / 2);
    case.obligation.deposits[0].deposited_amount = TOKEN / 10;
    let quote = case.quote().unwrap();
    assert!(quote.must_repay_all);
    assert_eq!((quote.repay, quote.seized_ctokens), (TOKEN * 3 / 2, TOKEN / 10));
    assert!(!quote.after.has_debt && quote.after.debt == Fraction::ZERO);
    case.request.amount = TOKEN;
    assert_eq!(case.code(), Code::RepayTooSmallForFullLiquidation);
}

#[test]
fn dust_is_seized_as_one_ctoken_or_not_at_all() {
    let mut case = Case::new(7800 * TOKEN);
    case.request.amount = 1;
    assert_eq!(case.code(), Code::LiquidationTooSmall);
    // One unit of debt against one cToken: seized, and all of it klend's fee.
    let mut case = Case::new(1);
    case.reserves[0].liquidity.market_price_sf = ONE.into();
    case.obligation.deposits[0].deposited_amount = 1;
    let quote = case.quote().unwrap();
    assert_eq!((quote.repay, quote.seized_ctokens), (1, 1));
    assert_eq!((quote.gross_received, quote.protocol_fee, quote.received), (1, 1, 0));
}

#[test]
fn an_empty_vault_leaves_ctokens() {
    let mut case = Case::new(7800 * TOKEN);
    case.reserves[0].liquidity.borrowed_amount_sf = (2_000_000_000_000 * ONE).into();
    case.reserves[0].liquidity.total_available_amount = 0;
    let quote = case.quote().unwrap();
    assert_eq!((quote.redeemed_ctokens, quote.received, quote.protocol_fee), (0, 0, 0));
    assert_eq!(quote.leftover_ctokens, quote.seized_ctokens);
    // Half of it in the vault: half redeemed.
    let half = quote.seized_ctokens / 2;
    case.reserves[0].liquidity.total_available_amount = half;
    case.reserves[0].liquidity.borrowed_amount_sf =
        ((2_000_000_000_000 - u128::from(half)) * ONE).into();
    let quote = case.quote().unwrap();
    assert_eq!((quote.redeemed_ctokens, quote.gross_received), (half, half));
    assert_eq!(quote.leftover_ctokens, quote.seized_ctokens - half);
}

#[test]
fn a_flash_loan_from_the_withdraw_reserve_starves_the_redemption() {
    let mut case = Case::new(7800 * TOKEN);
    let whole = case.quote().unwrap();
    let loan = |reserve, amount| Some(FlashLoan { reserve, amount });
    case.request.flash_loan = loan(reserve_key(0), 1_000_000_000_000 - 1000);
    assert_eq!(case.quote().unwrap().gross_received, 1000);
    case.request.flash_loan = loan(reserve_key(1), whole.repay);
    let lent = case.quote().unwrap();
    assert_eq!((lent.repay, lent.received), (whole.repay, whole.received));
    assert_eq!(lent.after.repay_reserve.available, 1_000_000_000_000);
    case.request.flash_loan = loan(reserve_key(0), 1_000_000_000_001);
    assert_eq!(case.code(), Code::InsufficientLiquidity);
    case.request.flash_loan = loan(key(77, 0), u64::MAX);
    assert_eq!(case.quote().unwrap().received, whole.received, "another market's reserve");
}

/// A debt of 6,000 is healthy; each switch makes it liquidatable for another
/// reason, and the earlier reason wins.
#[test]
fn the_six_reasons_in_klends_order() {
    let mut case = Case::new(6000 * TOKEN);
    assert_eq!(case.code(), Code::ObligationHealthy);

    case.market.obligation_order_execution_enabled = 1;
    case.obligation.obligation_orders[1] = ObligationOrder {
        condition_threshold_sf: (ONE / 2).into(),
        opportunity_parameter_sf: (1000 * ONE * u128::from(TOKEN)).into(),
        min_execution_bonus_bps: 100,
        max_execution_bonus_bps: 300,
        condition_type: 1,
        opportunity_type: 0,
        ..ObligationOrder::zeroed()
    };
    // LTV 0.6 is two fifths of the way from 0.5 to 0.75: 1 % + 0.4 · 2 %.
    let quote = case.quote().unwrap();
    assert_eq!(quote.reason, Reason::Order { index: 1 });
    assert_eq!(text(quote.bonus), "0.018000");
    assert_eq!(quote.repay, 1000 * TOKEN);

    case.market.obligation_borrow_debt_term_liquidation_enabled = 1;
    case.market.term_based_full_liquidation_duration_secs = 1000;
    case.reserves[1].config.debt_term_seconds = 86_400;
    case.obligation.borrows[0].last_borrowed_at_timestamp = NOW.unix_timestamp - 86_400 - 250;
    // A quarter of the time after the term's end: a quarter of the debt.
    let quote = case.quote().unwrap();
    assert_eq!(quote.reason, Reason::DebtTermReached { seconds: 250 });
    assert_eq!(quote.repay, 1500 * TOKEN);

    case.market.mature_reserve_debt_liquidation_enabled = 1;
    case.reserves[1].config.debt_maturity_timestamp = NOW.unix_timestamp - 86_400;
    case.reserves[1].config.min_deleveraging_bonus_bps = 20;
    case.reserves[1].config.deleveraging_bonus_increase_bps_per_day = 30;
    let quote = case.quote().unwrap();
    assert_eq!(quote.reason, Reason::ReserveDebtMaturityReached);
    let bonus = Fraction::from_bps(20).try_add(Fraction::from_bps(30)).unwrap();
    assert_eq!(quote.bonus, bonus);
    assert_eq!(quote.repay, 6000 * TOKEN);

    case.market.autodeleverage_enabled = 1;
    case.reserves[0].config.autodeleverage_enabled = 1;
    case.reserves[0].config.deposit_limit = 1;
    case.reserves[0].liquidity.deposit_limit_crossed_timestamp = NOW.unix_timestamp - 86_400;
    case.reserves[0].config.deleveraging_threshold_decrease_bps_per_day = 5000;
    let quote = case.quote().unwrap();
    assert_eq!(quote.reason, Reason::MarketWideDeleveraging);
    assert_eq!(quote.repay, 1200 * TOKEN);

    case.market.individual_autodeleverage_margin_call_period_secs = 60;
    case.obligation.autodeleverage_target_ltv_pct = 50;
    case.obligation.autodeleverage_margin_call_started_timestamp = NOW.unix_timestamp - 60;
    assert_eq!(case.quote().unwrap().reason, Reason::IndividualDeleveraging);

    case.obligation.borrows[0].borrowed_amount_sf = (7800 * u128::from(TOKEN) * ONE).into();
    assert_eq!(case.quote().unwrap().reason, Reason::LtvExceeded);
    case.market.price_triggered_liquidation_disabled = 1;
    assert_eq!(case.quote().unwrap().reason, Reason::IndividualDeleveraging);
}

#[test]
fn priorities_between_debts_and_collaterals() {
    let mut case = Case::new(7800 * TOKEN);
    case.obligation.deposits[1].deposit_reserve = keys::to_v2(&reserve_key(1));
    case.obligation.deposits[1].deposited_amount = 10 * TOKEN;
    case.reserves[1].config.liquidation_threshold_pct = 60;
    assert_eq!(case.code(), Code::LiquidationLowestLiquidationLtvPriority);
    // Not if the other deposit is too small to count.
    case.market.min_value_skip_liquidation_ltv_checks = 11;
    assert!(case.quote().is_ok());

    let mut case = Case::new(7800 * TOKEN);
    case.obligation.borrows[1] = case.obligation.borrows[0];
    case.obligation.borrows[1].borrow_reserve = keys::to_v2(&reserve_key(0));
    case.reserves[0].config.borrow_factor_pct = 150;
    assert_eq!(case.code(), Code::LiquidationBorrowFactorPriority);
}

#[test]
fn what_klend_refuses() {
    let with = |change: &dyn Fn(&mut Case)| {
        let mut case = Case::new(7800 * TOKEN);
        change(&mut case);
        case.code()
    };
    assert_eq!(with(&|case| case.request.amount = 0), Code::InvalidAmount);
    assert_eq!(with(&|case| case.market.emergency_mode = 1), Code::GlobalEmergencyMode);
    assert_eq!(with(&|case| case.reserves[0].version = 2), Code::ReserveDeprecated);
    assert_eq!(with(&|case| case.reserves[1].last_update.price_status &= !2), Code::ReserveStale,);
    assert_eq!(
        with(&|case| case.reserves[0].liquidity.market_price_last_updated_ts -= 180),
        Code::ReserveStale,
    );
    assert_eq!(
        with(&|case| case.reserves[0].config.liquidation_threshold_pct = 0),
        Code::CollateralNonLiquidatable,
    );
    assert_eq!(
        with(&|case| case.request.repay_reserve = reserve_key(0)),
        Code::InvalidObligationLiquidity
    );
    assert_eq!(
        with(&|case| case.request.withdraw_reserve = reserve_key(1)),
        Code::InvalidObligationCollateral
    );
    assert_eq!(
        with(&|case| case.request.min_received = 160_000_001),
        Code::LiquidationRewardTooSmall
    );
    assert_eq!(
        with(&|case| case.obligation.borrows[0].cumulative_borrow_rate_bsf = support::bsf(2 * ONE)),
        Code::NegativeInterestRate,
    );
    assert_eq!(with(&|case| case.obligation.elevation_group = 9), Code::InvalidElevationGroup);
    assert_eq!(
        with(&|case| {
            case.reserves[0].farm_collateral = keys::to_v2(&key(88, 0));
            case.reserves[0].config.status = 1;
        }),
        Code::ReserveObsolete,
    );
    // klend aborts where a token of so many decimals is valued, and names before what
    // comes before.
    let mut case = Case::new(7800 * TOKEN);
    case.reserves[1].liquidity.mint_decimals = 20;
    assert_eq!(case.quote(), Err(Refusal::Abort { account: obligation_key() }));
    case.obligation.borrows[0].cumulative_borrow_rate_bsf = support::bsf(2 * ONE);
    assert_eq!(case.code(), Code::NegativeInterestRate);
    // Three days later without anybody refreshing the reserve: too old.
    let case = Case::new(7800 * TOKEN);
    let mut past = NOW;
    past.slot -= 1;
    let table =
        ReserveTable::refresh(KLEND, &market_key(), &case.market, &case.keyed(), past, None);
    let codes: Vec<_> = table
        .refused()
        .iter()
        .filter_map(|(_, refusal)| refusal.klend_error())
        .map(|e| e.code())
        .collect();
    assert_eq!(codes, [6007, 6007], "a clock before the last refresh");
}

/// Half a token of debt is paid with a whole one, and half a token is more than the
/// reserve's sum can take: since its limits are looked at there, klend aborts.
#[test]
fn a_repayment_that_the_reserve_cannot_count_aborts() {
    let mut case = Case::new(8_000 * TOKEN);
    let liquidity = &mut case.reserves[1].liquidity;
    let available = u128::from(liquidity.total_available_amount) * ONE;
    liquidity.borrowed_amount_sf = (u128::MAX - available - ONE / 4).into();
    case.obligation.borrows[0].borrowed_amount_sf =
        (8_000 * u128::from(TOKEN) * ONE - ONE / 2).into();
    case.market.liquidation_max_debt_close_factor_pct = 100;
    let old = case.quote_as(KlendVersion::V1_16).unwrap();
    assert_eq!(Fraction::from_int(old.repay).saturating_sub(old.settled).to_bits(), ONE / 2);
    for version in [KlendVersion::V1_24, KlendVersion::V1_25] {
        assert_eq!(case.quote_as(version), Err(Refusal::Abort { account: reserve_key(1) }));
    }
}

#[test]
fn switches_of_a_market_and_its_reserves() {
    let answer = |version, change: &dyn Fn(&mut Case)| {
        let mut case = Case::new(7800 * TOKEN);
        change(&mut case);
        match case.quote_as(version) {
            Ok(quote) => Ok(quote.received),
            Err(Refusal::Klend(rejection)) => Err((rejection.error.code(), rejection.account)),
            Err(other) => panic!("{other}"),
        }
    };
    let gate = |case: &mut Case| case.market.permissioning_authority = keys::to_v2(&key(77, 0));
    let plain = answer(KLEND, &|_| ());
    assert!(plain.is_ok());
    // A permissioner is wanted only where the market has one.
    let gated = |case: &mut Case| case.market.permissioned_ops = 4;
    assert_eq!(answer(KLEND, &gated), plain);
    let both = |case: &mut Case| (gate(case), gated(case)).0;
    assert_eq!(answer(KLEND, &both), Err((6183, market_key())));
    for index in [0, 1] {
        let reserve = |case: &mut Case| {
            gate(case);
            case.reserves[index].config.permissioned_ops = 7;
        };
        assert_eq!(answer(KLEND, &reserve), Err((6183, reserve_key(index))));
        assert_eq!(answer(KlendVersion::V1_16, &reserve), plain, "no such field then");
    }
    let others = |case: &mut Case| {
        gate(case);
        case.market.permissioned_ops = 3;
    };
    assert_eq!(answer(KLEND, &others), plain, "deposits and borrows only");

    // An emergency comes before it, and the repaid reserve's before the other's.
    let emergency = |case: &mut Case, index: usize| case.reserves[index].config.emergency_mode = 1;
    let answer_to = |change: &dyn Fn(&mut Case)| answer(KLEND, change);
    assert_eq!(answer_to(&|case| (both(case), emergency(case, 0)).0), Err((6175, reserve_key(0))));
    assert_eq!(
        answer_to(&|case| {
            emergency(case, 0);
            emergency(case, 1);
            case.request.amount = 0;
        }),
        Err((6175, reserve_key(1)))
    );
    assert_eq!(answer(KlendVersion::V1_16, &|case| emergency(case, 0)), plain);
    // One that is no part of the pair leaves the whole obligation without prices.
    let third = |case: &mut Case| {
        let mut reserve = support::reserve(2, 1);
        reserve.config.emergency_mode = 1;
        case.reserves.push(reserve);
        case.obligation.deposits[5].deposit_reserve = keys::to_v2(&reserve_key(2));
        case.obligation.deposits[5].deposited_amount = 1;
    };
    assert_eq!(answer(KLEND, &third), Err((6017, obligation_key())));
    assert_eq!(answer(KlendVersion::V1_24, &third), Err((6017, obligation_key())));
    assert!(answer(KlendVersion::V1_16, &third).is_ok());

    // Neither of these concerns a liquidation.
    let quiet = |case: &mut Case| {
        case.obligation.ownership_transfer_state = 2;
        case.reserves[1].config.early_repay_remaining_interest_pct = 100;
        case.reserves[1].config.debt_term_seconds = u64::MAX;
        case.obligation.borrows[0].last_borrowed_at_timestamp = NOW.unix_timestamp;
    };
    assert_eq!(answer(KLEND, &quiet), plain);
}

#[test]
fn settings_no_known_klend_has_are_named() {
    let with = |version, change: &dyn Fn(&mut Case)| {
        let mut case = Case::new(7800 * TOKEN);
        change(&mut case);
        case.quote_as(version).map(|quote| quote.received)
    };
    let unknown = |account, reason| Err(Refusal::Unknowable { account, reason });
    let basis = |case: &mut Case| fields::set_interest_rate_basis(&mut case.reserves[0].config, 2);
    assert_eq!(with(KLEND, &basis), unknown(reserve_key(0), Unknowable::AccrualBasis(2)));
    assert!(with(KlendVersion::V1_24, &basis).is_ok(), "its refresh writes zero over it");

    let order = |condition: u8, kind: u8| {
        move |case: &mut Case| {
            *case = Case::new(3000 * TOKEN);
            case.market.obligation_order_execution_enabled = 1;
            let order = &mut case.obligation.obligation_orders[1];
            (order.condition_type, order.opportunity_type) = (condition, kind);
        }
    };
    assert_eq!(with(KLEND, &order(7, 0)), unknown(obligation_key(), Unknowable::OrderCondition(7)));
    assert_eq!(with(KLEND, &order(5, 2)), unknown(obligation_key(), Unknowable::OrderKind(2)));
    assert!(with(KLEND, &order(5, 1)).is_ok());
    // Since 1.26 orders are nobody's reason to liquidate, whatever they say.
    let healthy = |answer: Result<u64, Refusal>| answer.unwrap_err().klend_error().unwrap().code();
    for (condition, kind) in [(5, 1), (5, 0), (7, 0), (5, 9)] {
        assert_eq!(healthy(with(KlendVersion::V1_26, &order(condition, kind))), 6016);
    }
}

#[test]
fn an_order_is_what_its_version_says() {
    use klend_model::liquidation::order::{self, Condition, Kind};
    let mut slot = Case::new(1).obligation.obligation_orders[0];
    assert_eq!(order::read(KLEND, &slot), Ok(None));
    (slot.condition_type, slot.min_execution_bonus_bps) = (2, 7);
    slot.opportunity_parameter_sf = (3 * ONE).into();
    let kinds = |version| {
        [0, 1, 2, 3, 4].map(|kind| {
            let slot = klend_interface::state::ObligationOrder { opportunity_type: kind, ..slot };
            order::read(version, &slot).map(|order| order.unwrap().kind)
        })
    };
    let (three, unknown) = (Fraction::from_int(3), |kind| Err(Unknowable::OrderKind(kind)));
    assert_eq!(
        kinds(KlendVersion::V1_25),
        [Ok(Kind::RepayAmount(three)), Ok(Kind::RepayAll), unknown(2), unknown(3), unknown(4)]
    );
    assert_eq!(
        kinds(KlendVersion::V1_26),
        [
            Ok(Kind::RepayAmount(three)),
            Ok(Kind::LeverUpAmount(three)),
            Ok(Kind::RepayToLtv(three)),
            Ok(Kind::LeverUpToLtv(three)),
            unknown(4)
        ]
    );
    let read = order::read(KLEND, &slot).unwrap().unwrap();
    assert_eq!((read.condition, read.min_bonus_bps), (Condition::LtvBelow, 7));
}

#[test]
fn accounts_that_do_not_belong_together() {
    let mut case = Case::new(7800 * TOKEN);
    case.obligation.lending_market = keys::to_v2(&key(60, 0));
    assert_eq!(
        case.quote(),
        Err(Refusal::ForeignMarket {
            account: obligation_key(),
            expected: market_key(),
            actual: key(60, 0),
        })
    );
    let mut case = Case::new(7800 * TOKEN);
    case.obligation.deposits[3].deposit_reserve = keys::to_v2(&reserve_key(9));
    assert_eq!(
        case.quote(),
        Err(Refusal::MissingReserve { obligation: obligation_key(), reserve: reserve_key(9) })
    );
}

#[test]
fn health_of_a_position_by_hand() {
    let mut case = Case::new(6000 * TOKEN);
    case.reserves[1].config.borrow_factor_pct = 120;
    let keyed = case.keyed();
    let table = ReserveTable::refresh(KLEND, &market_key(), &case.market, &keyed, NOW, None);
    let state = table.obligation(&obligation_key(), &case.obligation).unwrap();
    let health = state.health;
    assert_eq!(health, table.health(&obligation_key(), &case.obligation).unwrap());
    assert_eq!(text(health.deposited_value), "10000.000000");
    assert_eq!(text(health.borrowed_value), "6000.000000");
    assert_eq!(text(health.adjusted_debt_value), "7200.000000");
    assert_eq!(text(health.ltv().unwrap()), "0.720000");
    assert_eq!(text(health.liquidation_ltv().unwrap()), "0.750000");
    assert_eq!(text(health.max_ltv().unwrap()), "0.700000");
    // 7,500 / 7,200, and 1 − 7,200 / 7,500.
    assert_eq!(text(health.health_factor().unwrap()), "1.041667");
    assert_eq!(text(health.distance_to_liquidation().unwrap()), "0.040000");
    assert_eq!(health.borrowing_capacity(), Fraction::ZERO);
    assert!(!health.is_unhealthy());
    // The collateral may fall to 9.6, the debt rise to 1.0416.
    let price = |reserve| match state.liquidation_price(&table, &reserve_key(reserve)).unwrap() {
        LiquidationPrice::At(price) => text(price),
        other => format!("{other:?}"),
    };
    assert_eq!(price(0), "9.600000");
    assert_eq!(price(1), "1.041667");
    assert_eq!(state.borrowing_capacity(&table, &reserve_key(1)), Ok(0));

    let case = Case::new(0);
    let keyed = case.keyed();
    let table = ReserveTable::refresh(KLEND, &market_key(), &case.market, &keyed, NOW, None);
    let state = table.obligation(&obligation_key(), &case.obligation).unwrap();
    assert_eq!(state.health.health_factor(), None);
    assert_eq!(state.health.distance_to_liquidation(), None);
    // 7,000 less the hair that 70 % is below seven tenths.
    assert_eq!(state.borrowing_capacity(&table, &reserve_key(1)), Ok(7000 * TOKEN - 1));
    let never = state.liquidation_price(&table, &reserve_key(1));
    assert_eq!(never, Ok(LiquidationPrice::Never));
}
