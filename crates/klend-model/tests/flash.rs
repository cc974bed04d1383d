//! Choosing a lender, and the best liquidation around its loan.

mod support;

use klend_interface::state::Reserve;
use klend_model::{
    constants::FLASH_LOANS_DISABLED,
    errors::Code,
    flash::{Around, Lenders, NoLoan, Offer, Wish},
    keys,
    reserve::ReserveState,
    search::{Funding, Leftovers, best_liquidation, best_liquidation_up_to},
    table::ReserveTable,
};
use solana_address::Address;
use support::{
    KLEND, NOW, market, market_key, mint_key, obligation, obligation_key, reserve, reserve_key,
};

/// Six reserves of one mint: what each answers to a loan of a tenth of a vault.
#[test]
fn every_refusal_has_its_reason() {
    let market = market();
    let accounts: Vec<Box<Reserve>> = (0..6)
        .map(|index| {
            let mut account = reserve(index, 1);
            account.liquidity.mint_pubkey = keys::to_v2(&mint_key(0));
            match index {
                0 => account.config.fees.flash_loan_fee_sf = FLASH_LOANS_DISABLED,
                1 => account.config.status = 1,
                2 => account.config.emergency_mode = 1,
                3 => account.liquidity.total_available_amount = 100_500_000,
                4 => account.config.fees.flash_loan_fee_sf = (1 << 60) / 1000,
                _ => {}
            }
            account
        })
        .collect();
    let keyed: Vec<(Address, &Reserve)> = accounts
        .iter()
        .enumerate()
        .map(|(index, account)| (reserve_key(index), &**account))
        .collect();
    let table = ReserveTable::refresh(KLEND, &market_key(), &market, &keyed, NOW, None);
    let lenders = Lenders::new([&table]);
    let mint = mint_key(0);
    let wish = |amount| Wish { mint: &mint, amount, margin_bps: 100, max_fee_bps: 5, around: None };

    let answers = |amount| -> Vec<_> {
        let mut answers = lenders.explain(&wish(amount));
        answers.sort_by_key(|(key, _)| (0..6).find(|index| reserve_key(*index) == *key));
        answers.into_iter().map(|(_, answer)| answer).collect()
    };
    let offer = Offer {
        reserve: reserve_key(5),
        market: market_key(),
        amount: 100_000_000,
        fee: 1000,
        available: 1_000_000_000_000,
        refresh_again: false,
    };
    assert_eq!(
        answers(100_000_000),
        [
            Err(NoLoan::Disabled),
            Err(NoLoan::Obsolete),
            Err(NoLoan::Emergency),
            Err(NoLoan::Margin { available: 100_500_000, with_margin: 101_000_000 }),
            Err(NoLoan::TooDear { fee: 100_000, most: 50_000 }),
            Ok(offer),
        ]
    );
    assert_eq!(lenders.best(&wish(100_000_000)), Some(offer));
    let enough = NoLoan::NotEnough { available: 100_500_000, amount: 100_500_001 };
    assert_eq!(answers(100_500_001)[3], Err(enough));
    assert_eq!(answers(1)[5], Err(NoLoan::TooSmall { amount: 1 }));
    assert_eq!(lenders.best(&wish(2_000_000_000_000)), None);
    assert!(enough.to_string().contains("100500000"), "both numbers are named");
}

/// Equal fees: first one outside the obligation, then the fuller vault; and
/// never the vault that must redeem.
#[test]
fn the_best_of_equally_cheap_lenders() {
    let market = market();
    let accounts: Vec<Box<Reserve>> = (0..3)
        .map(|index| {
            let mut account = reserve(index, 1);
            account.liquidity.mint_pubkey = keys::to_v2(&mint_key(0));
            account.liquidity.total_available_amount = (3 - index as u64) * 1_000_000_000;
            account
        })
        .collect();
    let keyed: Vec<(Address, &Reserve)> = accounts
        .iter()
        .enumerate()
        .map(|(index, account)| (reserve_key(index), &**account))
        .collect();
    let table = ReserveTable::refresh(KLEND, &market_key(), &market, &keyed, NOW, None);
    let lenders = Lenders::new([&table]);
    let mint = mint_key(0);
    let (repay, withdraw) = (reserve_key(0), reserve_key(1));
    let used = [repay, withdraw];
    let around = |redeemed| Around {
        repay_reserve: &repay,
        repay: 500_000_000,
        withdraw_reserve: &withdraw,
        redeemed,
        obligation_reserves: &used,
    };
    let wish = |amount, redeemed| Wish {
        mint: &mint,
        amount,
        margin_bps: 0,
        max_fee_bps: 10_000,
        around: Some(around(redeemed)),
    };
    let best = |amount, redeemed| lenders.best(&wish(amount, redeemed)).map(|offer| offer.reserve);
    assert_eq!(best(500_000_000, 1), Some(reserve_key(2)), "no extra refresh");
    assert_eq!(best(1_500_000_000, 1), Some(repay), "the fuller of the obligation's own");
    let starved = lenders
        .explain(&wish(1_500_000_000, 500_000_001))
        .into_iter()
        .find(|(key, _)| *key == withdraw)
        .map(|(_, answer)| answer);
    assert_eq!(starved, Some(Err(NoLoan::Starves { left: 500_000_000, needed: 500_000_001 })));
}

/// Two reserves of one mint in each of three markets, the fees dealt out in every order: the
/// cheapest lends, whichever market it is of, and when it cannot, the next one does.
#[test]
fn the_cheapest_reserve_of_any_market_lends() {
    const BPS: u64 = (1 << 60) / 10_000;
    let market = market();
    let markets = [1, 2, 3].map(|byte| Address::new_from_array([byte; 32]));
    for (shift, step) in (0..6).flat_map(|shift| [(shift, 1), (shift, 5)]) {
        let fee_bps = |index: usize| ((index * step + shift) % 6) as u64 + 1;
        let accounts: Vec<Box<Reserve>> = (0..6)
            .map(|index| {
                let mut account = reserve(index, 1);
                account.liquidity.mint_pubkey = keys::to_v2(&mint_key(0));
                account.config.fees.flash_loan_fee_sf = fee_bps(index) * BPS;
                account.lending_market = keys::to_v2(&markets[index / 2]);
                // The cheaper, the less it has.
                account.liquidity.total_available_amount = fee_bps(index) * 1_000_000_000;
                account
            })
            .collect();
        let tables = [0, 1, 2].map(|number| {
            let keyed: Vec<(Address, &Reserve)> = [2 * number, 2 * number + 1]
                .map(|index| (reserve_key(index), &*accounts[index]))
                .to_vec();
            ReserveTable::refresh(KLEND, &markets[number], &market, &keyed, NOW, None)
        });
        let mint = mint_key(0);
        for order in [[0, 1, 2], [2, 1, 0], [1, 2, 0]] {
            let lenders = Lenders::new(order.map(|number| &tables[number]));
            let best = |amount| {
                let wish =
                    Wish { mint: &mint, amount, margin_bps: 0, max_fee_bps: 10, around: None };
                lenders.best(&wish)
            };
            for wanted in 1..=6 {
                let amount = wanted * 1_000_000_000;
                let offer = best(amount).unwrap();
                let index = (0..6).find(|index| fee_bps(*index) == wanted).unwrap();
                assert_eq!(offer.reserve, reserve_key(index), "{shift} {step} {wanted}");
                assert_eq!(offer.market, markets[index / 2], "{shift} {step} {wanted}");
                assert_eq!(offer.fee, amount / 10_000 * wanted, "{shift} {step} {wanted}");
            }
            assert_eq!(best(6_000_000_001), None);
        }
    }
}

fn fair(from: &ReserveState<'_>, to: &ReserveState<'_>, amount: u64) -> Option<u64> {
    let value = u128::from(amount) * from.market_price.floor();
    u64::try_from(value / to.market_price.floor()).ok()
}

/// With fair swaps the largest liquidation is the best, and of two collaterals
/// the one with the larger bonus.
#[test]
fn the_best_pair_at_fair_prices() {
    let market = market();
    let mut accounts = [reserve(0, 10), reserve(1, 20), reserve(2, 1)];
    accounts[1].config.min_liquidation_bonus_bps = 700;
    let keyed: Vec<(Address, &Reserve)> = accounts
        .iter()
        .enumerate()
        .map(|(index, account)| (reserve_key(index), &**account))
        .collect();
    let table = ReserveTable::refresh(KLEND, &market_key(), &market, &keyed, NOW, None);
    let account = obligation(&[(0, 500_000_000), (1, 250_000_000)], &[(2, 7_800_000_000)]);
    let state = table.obligation(&obligation_key(), &account).unwrap();
    let lenders = Lenders::new([&table]);
    let funding = Funding::Flash { lenders: &lenders, margin_bps: 0, max_fee_bps: 10 };

    let best = best_liquidation(&table, &state, funding, Leftovers::Reject, fair).unwrap().unwrap();
    assert_eq!(best.request.withdraw_reserve, reserve_key(1));
    assert_eq!(best.quote.repay, 1_560_000_000);
    assert_eq!(best.loan.unwrap().fee, 15_600);
    // 7 % of 1,560, half of it klend's: 54.6 less the fee.
    assert!((54_584_360..=54_584_400).contains(&best.profit), "{best:?}");
    assert_eq!(best.profit, i128::from(best.swapped) - 1_560_000_000 - 15_600);

    let own = best_liquidation(&table, &state, Funding::OwnTokens, Leftovers::Reject, fair);
    assert_eq!(own.unwrap().unwrap().profit, best.profit + 15_600);
    let none = best_liquidation(&table, &state, funding, Leftovers::Reject, |_, _, _| None);
    assert_eq!(none, Ok(None), "no way to swap");
    let broke = Lenders::new([]);
    let funding = Funding::Flash { lenders: &broke, margin_bps: 0, max_fee_bps: 10 };
    let none = best_liquidation(&table, &state, funding, Leftovers::Reject, fair);
    assert_eq!(none, Ok(None), "nobody lends");
}

/// Whether a pool says no to the whole of a pair, or pays nothing for it: the largest
/// part that it takes is found, and the best below that.
#[test]
fn what_cannot_be_sold_as_a_whole_is_sold_in_part() {
    let market = market();
    let accounts = [reserve(0, 10), reserve(1, 1)];
    let keyed = [(reserve_key(0), &*accounts[0]), (reserve_key(1), &*accounts[1])];
    let table = ReserveTable::refresh(KLEND, &market_key(), &market, &keyed, NOW, None);
    let account = obligation(&[(0, 1_000_000_000)], &[(1, 7_800_000_000)]);
    let state = table.obligation(&obligation_key(), &account).unwrap();
    let find = |pool: &dyn Fn(u64) -> Option<u64>| {
        let swap = |_: &ReserveState<'_>, _: &ReserveState<'_>, amount| pool(amount);
        best_liquidation(&table, &state, Funding::OwnTokens, Leftovers::Reject, swap).unwrap()
    };
    let whole = find(&|amount| Some(amount * 10)).unwrap();
    let sold = whole.quote.received;
    for share in [2, 3, 10, 1000, 60_000] {
        let most = sold / share;
        for beyond in [None, Some(0)] {
            let best = find(&|amount| if amount <= most { Some(amount * 10) } else { beyond });
            let best = best.unwrap_or_else(|| panic!("1/{share}, {beyond:?}"));
            let reached = best.quote.received;
            assert!(
                (most - most / 100..=most).contains(&reached),
                "1/{share}: {reached} of {most}"
            );
            assert!(best.profit > 0);
        }
    }
    // A pool that takes a little at a good price, more at a bad one, and no more at all.
    let thin = |amount: u64| {
        let paid = amount.min(sold / 10) * 10 + amount.saturating_sub(sold / 10) * 8;
        (amount <= sold / 2).then_some(paid)
    };
    let best = find(&thin).unwrap();
    assert!(best.quote.received.abs_diff(sold / 10) < sold / 500, "{best:?}");
    assert_eq!(find(&|_| Some(0)), None);
}

#[test]
fn no_more_is_repaid_than_the_keeper_lets() {
    let market = market();
    let accounts = [reserve(0, 10), reserve(1, 1)];
    let keyed = [(reserve_key(0), &*accounts[0]), (reserve_key(1), &*accounts[1])];
    let table = ReserveTable::refresh(KLEND, &market_key(), &market, &keyed, NOW, None);
    let account = obligation(&[(0, 1_000_000_000)], &[(1, 7_800_000_000)]);
    let state = table.obligation(&obligation_key(), &account).unwrap();
    let find = |most: u64| {
        let swap = |_: &ReserveState<'_>, _: &ReserveState<'_>, amount: u64| {
            Some(amount.saturating_mul(10))
        };
        let own = Funding::OwnTokens;
        best_liquidation_up_to(&table, &state, own, Leftovers::Reject, |_| most, swap).unwrap()
    };
    let whole = find(u64::MAX).unwrap();
    assert_eq!(find(whole.quote.repay), Some(whole));
    for most in [whole.quote.repay - 1, whole.quote.repay / 2, 1_000_000] {
        let best = find(most).unwrap();
        assert!((most - 1..=most).contains(&best.quote.repay), "{most}: {best:?}");
        assert!(best.profit > 0);
    }
    assert_eq!(find(0), None);
}

#[test]
fn a_vault_that_cannot_pay_limits_the_best() {
    let market = market();
    let mut accounts = [reserve(0, 10), reserve(1, 1)];
    accounts[0].liquidity.total_available_amount = 50_000_000;
    accounts[0].liquidity.borrowed_amount_sf = (1_999_950_000_000 * support::ONE).into();
    let keyed = [(reserve_key(0), &*accounts[0]), (reserve_key(1), &*accounts[1])];
    let table = ReserveTable::refresh(KLEND, &market_key(), &market, &keyed, NOW, None);
    let account = obligation(&[(0, 1_000_000_000)], &[(1, 7_800_000_000)]);
    let state = table.obligation(&obligation_key(), &account).unwrap();
    let find = |leftovers| {
        best_liquidation(&table, &state, Funding::OwnTokens, leftovers, fair).unwrap().unwrap()
    };
    let cut = find(Leftovers::Reject);
    assert_eq!(cut.quote.leftover_ctokens, 0);
    assert!(cut.quote.gross_received > 49_990_000, "{cut:?}");
    assert!(cut.profit > 0);
    // Leftovers count nothing, and so a larger liquidation is not better.
    assert!(find(Leftovers::Allow).profit <= cut.profit + cut.profit / 500);
}

#[test]
fn klends_reason_when_nothing_is_allowed() {
    let market = market();
    let accounts = [reserve(0, 10), reserve(1, 1)];
    let keyed = [(reserve_key(0), &*accounts[0]), (reserve_key(1), &*accounts[1])];
    let table = ReserveTable::refresh(KLEND, &market_key(), &market, &keyed, NOW, None);
    let code = |deposits: &[(usize, u64)], debts: &[(usize, u64)]| {
        let account = obligation(deposits, debts);
        let state = table.obligation(&obligation_key(), &account).unwrap();
        best_liquidation(&table, &state, Funding::OwnTokens, Leftovers::Reject, fair)
            .unwrap_err()
            .klend_error()
            .unwrap()
            .lending_error()
            .unwrap()
    };
    assert_eq!(code(&[(0, 1_000_000_000)], &[(1, 1_000_000)]), Code::ObligationHealthy);
    assert_eq!(code(&[(0, 1_000_000_000)], &[]), Code::ObligationBorrowsZero);
    assert_eq!(code(&[], &[(1, 1_000_000)]), Code::ObligationDepositsZero);
}
