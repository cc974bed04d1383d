use flash_liquidator_client::{
    decode::{Executed, decode},
    token::TOKEN_PROGRAM_ID,
};
use liquidation_venues::raydium_clmm;
use serde_json::json;
use solana_sdk_ids::system_program;

use super::*;
use crate::land::report::Report;

fn key(byte: u8) -> Address {
    Address::new_from_array([byte; 32])
}

const PAYER: u8 = 1;
const OBLIGATION: u8 = 2;
const DEBT: u8 = 10;
const COLLATERAL: u8 = 20;
const DEBT_MINT: u8 = 11;
const COLLATERAL_MINT: u8 = 21;
/// The liquidator's accounts of both tokens, and what klend has.
const OWN: [u8; 2] = [12, 22];
const VAULT: [u8; 2] = [13, 23];
const FEES: u8 = 24;

fn call(instruction: usize, depth: usize, program: Address, name: &str) -> Call {
    Call { instruction, depth, program, name: Some(name.to_owned()), ..Call::default() }
}

fn moves(instruction: usize, depth: usize, from: u8, to: u8, amount: u64) -> Call {
    let data = [&[3][..], &amount.to_le_bytes()].concat();
    let accounts = vec![key(from), key(to), key(PAYER)];
    Call { accounts, data, ..call(instruction, depth, TOKEN_PROGRAM_ID, "Transfer") }
}

fn says(call: Call, lines: &[&str]) -> Call {
    Call { logs: lines.iter().map(|line| (*line).to_owned()).collect(), ..call }
}

/// A liquidation of 100 DEBT for 1.05 COLL at 96 dollars, whose price the first
/// instruction lowered from 120.
fn liquidated() -> (Trace, Around) {
    let reserves = [DEBT, COLLATERAL].map(|reserve| [reserve, 3, 0, 0, 0, 4]).concat();
    let batch = Call {
        accounts: reserves.into_iter().map(key).collect(),
        data: vec![0; 9],
        ..call(2, 1, KLEND_PROGRAM_ID, "RefreshReservesBatch")
    };
    let refresh = Call {
        accounts: [3, OBLIGATION, COLLATERAL, DEBT].map(key).to_vec(),
        ..call(3, 1, KLEND_PROGRAM_ID, "RefreshObligation")
    };
    let accounts = [
        PAYER,
        OBLIGATION,
        3,
        5,
        DEBT,
        DEBT_MINT,
        VAULT[0],
        COLLATERAL,
        COLLATERAL_MINT,
        25,
        26,
        VAULT[1],
        FEES,
        OWN[0],
        27,
        OWN[1],
    ];
    let liquidate = Call {
        accounts: accounts.map(key).to_vec(),
        data: [vec![0; 8], 100_000_000u64.to_le_bytes().to_vec(), vec![0; 16]].concat(),
        ..call(4, 1, KLEND_PROGRAM_ID, LIQUIDATIONS[1])
    };
    let tip = Call {
        accounts: vec![key(PAYER), key(60)],
        data: [&[2, 0, 0, 0][..], &7_000u64.to_le_bytes()].concat(),
        ..call(6, 1, system_program::ID, "Transfer")
    };
    let calls = vec![
        says(
            call(0, 1, SCOPE_PROGRAM_ID, "RefreshPriceList"),
            &[
                "tk 7, CappedFloored: 12000000000 to 9600000000 | prev_slot: 90, new_slot: 95, crt_slot: 100",
                "Price skipped as validation failed (token 8, type ScopeTwap1h)",
            ],
        ),
        call(1, 1, key(50), "Check"),
        says(batch, &["Token: DEBT Price: 1.0000", "Token: COLL Price: 96.0000"]),
        says(
            refresh,
            &[
                "Borrow: DEBT amount: 500000000.0 value: 500.0 value_bf: 500.0",
                "Deposit: COLL amount: 10.0 value: 1000.0",
            ],
        ),
        says(
            liquidate,
            &[
                "Obligation is eligible for liquidation, borrowed value (scaled): 500.0, unhealthy borrow value (scaled): 450.0, LTV: 50%/45%",
                "Obligation is eligible for liquidation because of LtvExceeded with liquidation bonus: 1000bps",
            ],
        ),
        moves(4, 2, OWN[0], VAULT[0], 100_000_000),
        moves(4, 2, VAULT[1], OWN[1], 110_000_000),
        moves(4, 2, OWN[1], FEES, 5_000_000),
        call(5, 1, key(50), "Sell"),
        call(5, 2, raydium_clmm::PROGRAM_ID, "SwapV2"),
        moves(5, 3, OWN[1], 70, 105_000_000),
        moves(5, 3, 71, OWN[0], 104_000_000),
        tip,
    ];
    let balance = |account: u8, mint: u8, decimals, before, after| Balance {
        account: key(account),
        mint: key(mint),
        decimals,
        owner: [OWN[0], OWN[1]].contains(&account).then(|| key(PAYER)),
        before,
        after,
    };
    let balances = vec![
        balance(OWN[0], DEBT_MINT, 6, 500_000_000, 504_000_000),
        balance(OWN[1], COLLATERAL_MINT, 8, 3, 3),
        balance(VAULT[0], DEBT_MINT, 6, 0, 100_000_000),
    ];
    let payer_lamports = (50_000, 38_000);
    (Trace { calls }, Around { payer: key(PAYER), payer_lamports, balances })
}

#[test]
fn a_liquidation_is_told_with_prices_bonus_guard_sale_tip_and_what_was_earned() {
    let (trace, around) = liquidated();
    let story = Story::new(&trace, &around);
    let [of] = &story.liquidations[..] else { panic!("{story:?}") };
    assert_eq!((of.liquidator, of.obligation, of.instruction), (key(PAYER), key(2), 4));
    // What klend takes for itself was not received.
    let raw = (of.repaid, of.received, of.fee);
    assert_eq!(raw, (Some(100_000_000), Some(105_000_000), Some(5_000_000)));
    assert_eq!(of.offered, Some((100_000_000, 0)));
    assert_eq!(of.reason, Some(("LtvExceeded".to_owned(), 1_000)));
    // At 120 dollars the limit was a quarter higher: the refresh made it possible.
    assert_eq!((of.values, of.values_before), (Some((500.0, 450.0)), Some((500.0, 562.5))));
    let [update] = &story.oracle[..] else { panic!("{story:?}") };
    assert_eq!(
        (update.token, update.symbol.as_deref(), update.slots),
        (7, Some("COLL"), (95, 100))
    );
    assert_eq!(story.guards, [Guard { program: key(50), before: true, after: true }]);
    let [sale] = &story.sales[..] else { panic!("{story:?}") };
    let (sold, bought) = sale.moved.unwrap();
    assert_eq!(
        (&*sale.venue, sold.amount, bought.amount),
        ("Raydium CLMM", 105_000_000, 104_000_000)
    );
    assert_eq!(story.tips, [Transfer { from: key(PAYER), to: key(60), amount: 7_000 }]);
    assert_eq!(story.gains, BTreeMap::from([(key(DEBT_MINT), 4_000_000)]));
    assert_eq!((story.gained_usd(), story.lamports), (Some(4.0), -12_000));
    let worth = story.usd(&key(COLLATERAL_MINT), 105_000_000).unwrap();
    assert!((worth - 100.8).abs() < 1e-9, "{worth}");
}

/// It sells for SOL, which klend logs no price of, by way of a third token.
#[test]
fn what_klend_logs_no_price_of_is_worth_what_a_sale_paid_for_it() {
    let (mut trace, mut around) = liquidated();
    let sale =
        trace.calls.iter().position(|call| call.program == raydium_clmm::PROGRAM_ID).unwrap();
    trace.calls.truncate(sale);
    // 1 COLL, at 96, for 96.5 of a third token, and that for 1.2 SOL; read from behind.
    for (from, to, sold, bought) in
        [(80, 81, 96_500_000, 1_200_000_000), (22, 80, 100_000_000, 96_500_000)]
    {
        trace.calls.push(call(5, 2, raydium_clmm::PROGRAM_ID, "SwapV2"));
        trace.calls.push(moves(5, 3, from, 70, sold));
        trace.calls.push(moves(5, 3, 71, to, bought));
    }
    let balance = |account: u8, mint: Address, decimals, after| Balance {
        account: key(account),
        mint,
        decimals,
        owner: Some(key(PAYER)),
        before: 0,
        after,
    };
    around.balances.push(balance(80, key(79), 6, 0));
    around.balances.push(balance(81, NATIVE_MINT, 9, 1_200_000_000));
    let story = Story::new(&trace, &around);
    let is = |amount: Option<f64>, wanted: f64| amount.is_some_and(|it| (it - wanted).abs() < 1e-9);
    assert!(is(story.by_sale.get(&NATIVE_MINT).copied(), 80.0), "{:?}", story.by_sale);
    // klend's own prices stay.
    assert_eq!(story.by_sale.len(), 2, "{:?}", story.by_sale);
    assert!(is(story.gained_usd(), 4.0 + 96.0), "{:?}", story.gains);
    assert!(is(story.net_usd(12_500_000), 4.0 + 96.0 - 1.0), "{:?}", story.net_usd(12_500_000));
}

#[test]
fn a_number_that_could_be_two_tokens_is_nobodys() {
    let (mut trace, around) = liquidated();
    trace.calls[2].logs[0] = "Token: DEBT Price: 9.6000".to_owned();
    let story = Story::new(&trace, &around);
    assert_eq!(story.oracle[0].symbol, None);
    assert_eq!(story.liquidations[0].values_before, None);
}

#[test]
fn without_logs_amounts_are_still_known() {
    let (mut trace, around) = liquidated();
    trace.calls.iter_mut().for_each(|call| call.logs.clear());
    let story = Story::new(&trace, &around);
    let of = &story.liquidations[0];
    assert_eq!((of.repaid, of.received), (Some(100_000_000), Some(105_000_000)));
    assert_eq!((of.reason.as_ref(), of.values, of.values_before), (None, None, None));
    assert_eq!((story.gains.len(), story.gained_usd()), (1, None));
}

/// What is said of a failure of klend's in the last of `calls`.
fn cause(calls: Vec<Call>, code: u32) -> Option<Explanation> {
    let at = calls.len() - 1;
    let trace = Trace { calls };
    let error = serde_json::from_value(json!({ "InstructionError": [at, { "Custom": code }] }));
    let programs = vec![KLEND_PROGRAM_ID; at + 1];
    let executed = Executed { error: Some(&error.unwrap()), logs: &[], programs: &programs };
    let decoded = decode(&executed, None);
    Story::new(&trace, &Around::default()).cause(decoded.outcome.failure().unwrap(), &trace)
}

#[test]
fn a_price_that_is_too_old_is_not_a_missing_refresh() {
    let reserve = |lines: &[&str]| {
        let accounts = [DEBT, 3, 0, 0, 0, 4].map(key).to_vec();
        says(Call { accounts, ..call(0, 1, KLEND_PROGRAM_ID, "RefreshReserve") }, lines)
    };
    let refresh = Call {
        accounts: [3, OBLIGATION, DEBT].map(key).to_vec(),
        ..call(1, 1, KLEND_PROGRAM_ID, "RefreshObligation")
    };
    let last = call(2, 1, KLEND_PROGRAM_ID, "WithdrawObligationCollateral");
    let old = [
        "Price is too old age=3607 max_age=300",
        "Price is too old token=[QQQ], AnchorError(..)",
        "Price is too old age=3627 max_age=500",
        "Price twap is too old token=[QQQ], AnchorError(..)",
        "Token: QQQ Price: 723.5764",
    ];
    let said = cause(vec![reserve(&old), refresh.clone(), last.clone()], 6017).unwrap();
    assert_eq!(
        said.sentence,
        "Refreshed, but with a price that is too old: QQQ is 3,607 s old, 300 s are allowed."
    );
    assert!(said.title.contains("6017") && said.hint.contains("oracle"), "{said}");
    // Without logs: all was refreshed, so it was a price; or something was not.
    let said = cause(vec![reserve(&[]), refresh.clone(), last.clone()], 6017).unwrap();
    assert!(said.sentence.contains("a price was not accepted"), "{said}");
    let said = cause(vec![call(0, 1, key(9), "x"), refresh, last.clone()], 6017).unwrap();
    assert!(said.sentence.contains(&format!("Reserve {} of", key(DEBT))), "{said}");
    assert_eq!(cause(vec![last], 6016), None);
}

#[test]
fn an_amount_of_zero_is_named() {
    let deposit = |amount: &str| {
        says(
            call(0, 1, KLEND_PROGRAM_ID, "DepositReserveLiquidity"),
            &[&format!("DepositReserveLiquidity Reserve R amount {amount}")],
        )
    };
    let said = cause(vec![deposit("0")], 6003).unwrap();
    assert_eq!(said.sentence, "DepositReserveLiquidity was asked for an amount of 0.");
    assert_eq!(cause(vec![deposit("5")], 6003), None);
}

/// Real transactions, which are not part of this project: `KLEND_TRANSACTIONS` names
/// a folder of `getTransaction`'s answers.
#[test]
fn real_ones_are_read() {
    let Some(folder) = std::env::var_os("KLEND_TRANSACTIONS") else {
        eprintln!("skipped: KLEND_TRANSACTIONS names no folder of transactions");
        return;
    };
    let mut known = 0;
    for file in std::fs::read_dir(folder).unwrap() {
        let path = file.unwrap().path();
        if path.extension().is_none_or(|extension| extension != "json") {
            continue;
        }
        let text = std::fs::read(&path).unwrap();
        let report = Report::read(serde_json::from_slice(&text).unwrap()).unwrap();
        let story = &report.story;
        let cause = report
            .decoded
            .outcome
            .failure()
            .map(|failure| story.cause(failure, &report.trace).expect("a cause").sentence);
        known += 1;
        match (report.slot, &story.liquidations[..], cause.as_deref()) {
            (436_365_632, [of], None) => {
                let raw = (of.repaid, of.received, of.fee);
                assert_eq!(raw, (Some(20_257_283), Some(24_266_579), Some(591_868)));
                assert_eq!(of.values, Some((101.2728, 100.9258)));
                let (_, limit) = of.values_before.unwrap();
                assert!((limit - 102.1881).abs() < 1e-3, "{limit}");
                assert_eq!((story.guards.len(), story.tips[0].amount), (1, 1_000_000));
                assert_eq!(story.gains.values().collect::<Vec<_>>(), [&511_564]);
            }
            (434_724_141, [of], None) => {
                let raw = (of.repaid, of.received, of.fee);
                assert_eq!(raw, (Some(481_468), Some(3_796_614), Some(92_601)));
                assert_eq!(of.offered, Some((481_468, 3_740_507)));
                let venues: Vec<&str> = story.sales.iter().map(|sale| &*sale.venue).collect();
                assert_eq!(venues, ["SolFi v2", "Orca Whirlpool"]);
            }
            (448_488_640, [], Some(said)) => {
                assert!(said.contains("QQQx is 3,607 s old, 300 s are allowed"), "{said}");
            }
            (449_981_931, [], Some(said)) => {
                assert!(said.contains("amount of 0"), "{said}");
                assert_eq!(story.prices.iter().filter(|price| price.old.is_some()).count(), 4);
            }
            _ => known -= 1,
        }
    }
    assert!(known > 0, "none of the transactions that are known");
}
