//! What must hold for any account bytes and any amounts.

mod support;

use klend_interface::state::{LendingMarket, Obligation, Reserve};
use klend_model::{
    accounts,
    accrual::compound_interest,
    constants::KLEND_PROGRAM_ID,
    flash::{Lenders, Wish},
    fraction::Fraction,
    liquidation::{Request, quote},
    price::{OracleAccount, Oracles, Zeros, pyth_feed, scope_reading, switchboard_reading},
    reserve::{FeeMode, ReserveState},
    search::{Funding, Leftovers, best_liquidation},
    table::ReserveTable,
    time::{Basis, Clock, Elapsed},
};
use proptest::{collection::vec, prelude::*};
use solana_address::Address;
use support::{
    KLEND, NOW, ONE, market, market_key, mint_key, obligation, obligation_key, reserve, reserve_key,
};

/// Account data with some bytes overwritten.
fn disturbed(mut data: Vec<u8>, changes: &[(usize, u8)]) -> Vec<u8> {
    for (at, byte) in changes {
        let at = 8 + at % (data.len() - 8);
        data[at] = *byte;
    }
    data
}

/// An amount of every magnitude.
fn amount() -> impl Strategy<Value = u64> {
    (any::<u64>(), 0..64u32).prop_map(|(bits, shift)| bits >> shift)
}

/// A reserve in which anything klend computes with may be odd.
fn any_reserve(index: usize) -> impl Strategy<Value = Box<Reserve>> {
    let amounts = (amount(), amount(), amount(), any::<u128>(), 0..128u32, 0..25u64);
    (amounts, amount(), any::<[u8; 8]>()).prop_map(
        move |((available, supply, borrowed, price, shift, decimals), queued, config)| {
            let mut account = reserve(index, 1);
            account.liquidity.total_available_amount = available;
            account.collateral.mint_total_supply = supply;
            account.liquidity.borrowed_amount_sf = (u128::from(borrowed) << 60).into();
            account.liquidity.market_price_sf = (price >> shift).into();
            account.liquidity.mint_decimals = decimals;
            account.withdraw_queue.queued_collateral_amount = queued;
            account.config.protocol_liquidation_fee_pct = config[0];
            account.config.liquidation_threshold_pct = config[1];
            account.config.max_liquidation_bonus_bps = u16::from_le_bytes([config[2], config[3]]);
            account.config.bad_debt_liquidation_bonus_bps = u16::from(config[4]);
            account.config.borrow_factor_pct = u64::from(config[5]);
            account.last_update.slot -= u64::from(config[6]);
            account
        },
    )
}

struct Junk(Vec<u8>);

impl Oracles for Junk {
    fn account(&self, _: &Address) -> Option<OracleAccount<'_>> {
        Some(OracleAccount { owner: KLEND_PROGRAM_ID, data: &self.0 })
    }
}

/// Asks everything there is to ask.
fn ask_everything(
    market: &LendingMarket,
    reserves: &[(Address, &Reserve)],
    account: &Obligation,
    clock: Clock,
    oracles: Option<&dyn Oracles>,
) {
    for (key, account) in reserves {
        let Ok(state) = ReserveState::stored(KLEND, key, account) else { continue };
        let _ = (state.utilization(), state.borrow_apy(None), state.supply_apy(None));
        let _ = (state.deposit_limit(), state.borrow_limit(), state.status());
        let _ = (state.redeem_ceil(u64::MAX), state.ctokens_of_ceil(u64::MAX));
        let _ = (state.freely_available(), state.redeemable_ctokens());
        let _ = (state.flash_fee(u64::MAX), state.origination_fee(7, FeeMode::Inclusive));
    }
    let table = ReserveTable::refresh(KLEND, &market_key(), market, reserves, clock, oracles);
    let lenders = Lenders::new([&table]);
    let Ok(state) = table.obligation(&obligation_key(), account) else { return };
    let health = state.health;
    let _ = (health.is_unhealthy(), health.health_factor(), health.distance_to_liquidation());
    for (repay, _) in reserves {
        let _ = state.liquidation_price(&table, repay);
        let _ = state.borrowing_capacity(&table, repay);
        for (withdraw, _) in reserves {
            for amount in [1, 1_000_000, u64::MAX] {
                let request = Request {
                    repay_reserve: *repay,
                    withdraw_reserve: *withdraw,
                    amount,
                    min_received: 0,
                    flash_loan: None,
                };
                let _ = quote(&table, &state, &request).map_err(|refusal| refusal.to_string());
            }
        }
    }
    let funding = Funding::Flash { lenders: &lenders, margin_bps: 10, max_fee_bps: 100 };
    for leftovers in [Leftovers::Reject, Leftovers::Allow] {
        let _ = best_liquidation(&table, &state, funding, leftovers, |_, _, amount| Some(amount));
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    #[test]
    fn no_bytes_make_the_views_panic(data in vec(any::<u8>(), 0..9000), owner in any::<[u8; 32]>()) {
        let (key, owner) = (reserve_key(0), Address::new_from_array(owner));
        for owner in [owner, KLEND_PROGRAM_ID] {
            let _ = accounts::reserve(&key, &owner, &data).map_err(|error| error.to_string());
            let _ = accounts::obligation(&key, &owner, &data).map_err(|error| error.to_string());
            let _ = accounts::lending_market(&key, &owner, &data).map_err(|error| error.to_string());
        }
        let _ = pyth_feed(Zeros::of(KLEND), &data);
        let _ = scope_reading(&data, &[0, 1, 511, u16::MAX]);
        let account = OracleAccount { owner, data: &data };
        let _ = switchboard_reading(Zeros::of(KLEND), &account, NOW);
    }

    #[test]
    fn no_disturbed_account_makes_the_model_panic(
        market_bytes in vec((any::<usize>(), any::<u8>()), 0..12),
        reserve_bytes in vec((any::<usize>(), any::<u8>()), 0..40),
        obligation_bytes in vec((any::<usize>(), any::<u8>()), 0..20),
        (slot, time) in (amount(), amount()),
        junk in vec(any::<u8>(), 0..200),
    ) {
        let market_data = disturbed(accounts::account_data(&*market()), &market_bytes);
        let first = disturbed(accounts::account_data(&*reserve(0, 10)), &reserve_bytes);
        let second = disturbed(accounts::account_data(&*reserve(1, 1)), &obligation_bytes);
        let account = obligation(&[(0, 1_000_000_000)], &[(1, 8_000_000_000)]);
        let account = disturbed(accounts::account_data(&*account), &obligation_bytes);
        let owner = &KLEND_PROGRAM_ID;
        if let (Ok(market), Ok(first), Ok(second), Ok(account)) = (
            accounts::lending_market(&market_key(), owner, &market_data),
            accounts::reserve(&reserve_key(0), owner, &first),
            accounts::reserve(&reserve_key(1), owner, &second),
            accounts::obligation(&obligation_key(), owner, &account),
        ) {
            let reserves = [(reserve_key(0), first), (reserve_key(1), second)];
            let anywhen = Clock { slot, unix_timestamp: time };
            ask_everything(market, &reserves, account, anywhen, None);
            ask_everything(market, &reserves, account, NOW, Some(&Junk(junk)));
        }
    }

    #[test]
    fn absurd_numbers_do_not_make_the_model_panic(
        first in any_reserve(0),
        second in any_reserve(1),
        (ctokens, debt, extra) in (amount(), amount(), any::<u64>()),
        group in 0..40u8,
    ) {
        let mut account = obligation(&[(0, ctokens), (1, debt / 2)], &[(1, debt)]);
        account.borrows[0].borrowed_amount_sf = ((u128::from(debt) << 64) + u128::from(extra)).into();
        account.elevation_group = if group < 32 { 0 } else { group };
        let reserves = [(reserve_key(0), &*first), (reserve_key(1), &*second)];
        ask_everything(&market(), &reserves, &account, NOW, None);
    }

    #[test]
    fn exchanging_never_gains(account in any_reserve(0), (a, b) in (amount(), amount())) {
        let state = ReserveState::stored(KLEND, &reserve_key(0), &account).unwrap();
        let (less, more) = (a.min(b), a.max(b));
        if let (Ok(less), Ok(more)) = (state.redeem(less), state.redeem(more)) {
            prop_assert!(less <= more);
        }
        if let (Ok(floor), Ok(ceil)) = (state.redeem(a), state.redeem_ceil(a)) {
            prop_assert!(floor <= ceil && ceil - floor <= 1);
        }
        if let (Ok(floor), Ok(ceil)) = (state.ctokens_of(a), state.ctokens_of_ceil(a)) {
            prop_assert!(floor <= ceil && ceil - floor <= 1);
        }
        if let Ok(back) = state.ctokens_of(a).and_then(|ctokens| state.redeem(ctokens)) {
            prop_assert!(back <= a);
        }
        if let Ok(paid) = state.redeemable_ctokens().and_then(|ctokens| state.redeem(ctokens)) {
            prop_assert!(paid <= state.available);
        }
        if let Ok(freely) = state.freely_available() {
            prop_assert!(freely <= state.available);
        }
    }

    #[test]
    fn fees_grow_with_the_loan(rate in 1..ONE as u64 / 2, (a, b) in (amount(), amount())) {
        let mut account = reserve(0, 1);
        account.config.fees.flash_loan_fee_sf = rate;
        account.config.fees.origination_fee_sf = rate;
        let state = ReserveState::stored(KLEND, &reserve_key(0), &account).unwrap();
        let (less, more) = (a.min(b).max(2), a.max(b).max(2));
        if let (Ok(less), Ok(more)) = (state.flash_fee(less), state.flash_fee(more)) {
            prop_assert!(1 <= less && less <= more);
        }
        let modes = [FeeMode::Inclusive, FeeMode::Exclusive];
        if let [Ok(inclusive), Ok(exclusive)] = modes.map(|mode| state.origination_fee(a, mode)) {
            prop_assert!(inclusive <= exclusive);
        }
        let lender = ReserveTable::refresh(
            KLEND, &market_key(), &market(), &[(reserve_key(0), &account)], NOW, None,
        ).reserves().len();
        prop_assert_eq!(lender, 1);
    }

    #[test]
    fn interest_grows_with_time_and_rate((slots, more) in (0..200_000_000u64, 0..1000u64), (bps, extra) in (0..50_000u64, 0..100u64)) {
        let growth = |bps, units| {
            let elapsed = Elapsed { units, units_per_year: Basis::Slots.units_per_year() };
            compound_interest(KLEND, Fraction::from_bps(bps), elapsed).unwrap()
        };
        prop_assert!(growth(bps, slots) >= Fraction::ONE);
        prop_assert!(growth(bps + extra, slots) >= growth(bps, slots));
        // Between the exact powers and the series one unit of rounding each.
        let later = growth(bps, slots + more).try_add(Fraction::from_bits(8)).unwrap();
        prop_assert!(later >= growth(bps, slots));
    }

    #[test]
    fn more_collateral_is_never_less_healthy(
        (deposit, more, debt) in (1_000..1_000_000_000_000u64, 0..1_000_000_000u64, 1..100_000_000_000u64),
    ) {
        let (market, accounts) = (market(), [reserve(0, 10), reserve(1, 1)]);
        let reserves = [(reserve_key(0), &*accounts[0]), (reserve_key(1), &*accounts[1])];
        let table = ReserveTable::refresh(KLEND, &market_key(), &market, &reserves, NOW, None);
        let health = |deposit| {
            table.health(&obligation_key(), &obligation(&[(0, deposit)], &[(1, debt)])).unwrap()
        };
        let (poor, rich) = (health(deposit), health(deposit + more));
        prop_assert!(rich.ltv().unwrap() <= poor.ltv().unwrap());
        prop_assert!(rich.health_factor() >= poor.health_factor());
        prop_assert!(!rich.is_unhealthy() || poor.is_unhealthy());
        let exact = |health: klend_model::obligation::Health| {
            health.ltv().unwrap() >= health.liquidation_ltv().unwrap()
        };
        prop_assert_eq!(exact(poor), poor.is_unhealthy());
        prop_assert_eq!(exact(rich), rich.is_unhealthy());
    }

    #[test]
    fn a_quote_never_pays_more_for_less(
        (deposit, ltv) in (1_000_000..1_000_000_000_000u64, 76..130u64),
        (a, b) in (amount(), amount()),
        fee in 0..=100u8,
    ) {
        let (market, mut accounts) = (market(), [reserve(0, 10), reserve(1, 1)]);
        accounts[0].config.protocol_liquidation_fee_pct = fee;
        let reserves = [(reserve_key(0), &*accounts[0]), (reserve_key(1), &*accounts[1])];
        let table = ReserveTable::refresh(KLEND, &market_key(), &market, &reserves, NOW, None);
        let account = obligation(&[(0, deposit)], &[(1, deposit / 10 * ltv)]);
        let state = table.obligation(&obligation_key(), &account).unwrap();
        let ask = |amount| quote(&table, &state, &Request {
            repay_reserve: reserve_key(1),
            withdraw_reserve: reserve_key(0),
            amount,
            min_received: 0,
            flash_loan: None,
        });
        if let (Ok(less), Ok(more)) = (ask(a.min(b).max(1)), ask(a.max(b).max(1))) {
            prop_assert!(less.repay <= more.repay && less.seized_ctokens <= more.seized_ctokens);
            prop_assert!(less.gross_received <= more.gross_received);
            for quote in [less, more] {
                prop_assert!(quote.repay <= quote.settled.ceil() as u64);
                prop_assert!(quote.settled <= quote.max_repay);
                prop_assert!(quote.seized_ctokens + quote.after.deposit == deposit);
                prop_assert!(quote.redeemed_ctokens + quote.leftover_ctokens == quote.seized_ctokens);
                prop_assert!(quote.received + quote.protocol_fee == quote.gross_received);
            }
        }
    }

    #[test]
    fn no_amount_beats_the_best(
        (deposit, ltv) in (1_000_000_000..100_000_000_000u64, 76..99u64),
        (depth, share) in (1_000_000_000..100_000_000_000_000u64, 1..1000u64),
    ) {
        let (market, accounts) = (market(), [reserve(0, 10), reserve(1, 1)]);
        let reserves = [(reserve_key(0), &*accounts[0]), (reserve_key(1), &*accounts[1])];
        let table = ReserveTable::refresh(KLEND, &market_key(), &market, &reserves, NOW, None);
        let account = obligation(&[(0, deposit)], &[(1, deposit / 10 * ltv)]);
        let state = table.obligation(&obligation_key(), &account).unwrap();
        let lenders = Lenders::new([&table]);
        let funding = Funding::Flash { lenders: &lenders, margin_bps: 0, max_fee_bps: 10_000 };
        let pool = |amount: u64| {
            let (x, y) = (u128::from(depth), u128::from(depth) * 10);
            u64::try_from(y * u128::from(amount) / (x + u128::from(amount))).ok()
        };
        let best = best_liquidation(&table, &state, funding, Leftovers::Reject, |_, _, amount| pool(amount));
        let Some(best) = best.unwrap() else { return Ok(()) };
        prop_assert_eq!(best.request.amount, best.loan.unwrap().amount);
        prop_assert!(best.quote.repay <= best.request.amount);
        // Any other amount, funded the same way.
        let top = best.quote.max_repay.ceil() as u64;
        let other = (u128::from(top) * u128::from(share) / 1000).max(1) as u64;
        let request = Request { amount: other, flash_loan: None, ..best.request };
        if let Ok(quote) = quote(&table, &state, &request) {
            let offer = lenders.best(&Wish {
                mint: &mint_key(1),
                amount: quote.repay,
                margin_bps: 0,
                max_fee_bps: 10_000,
                around: None,
            });
            if let Some(offer) = offer {
                let swapped = i128::from(pool(quote.received).unwrap());
                let profit = swapped - i128::from(quote.repay) - i128::from(offer.fee);
                // The search stops within a thousandth of the summit's place.
                let slack = best.profit.abs() / 1000 + 3;
                prop_assert!(profit <= best.profit + slack, "{} gains {}, best {:?}", other, profit, best);
            }
        }
    }
}
