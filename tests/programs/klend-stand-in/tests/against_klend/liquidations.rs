//! Liquidations: amounts, bonuses, redemptions, reasons.

use super::*;

#[test]
fn the_main_job() {
    let Some(mut twins) = Twins::underwater() else {
        return;
    };
    twins.send("liquidate in a flash loan", Done, |bed| {
        let mut all = vec![bed.flash_borrow(USDC, 20_000 * USDC_UNITS)];
        all.extend(bed.refresh_all(&[]));
        all.push(bed.liquidate(USDC, SOL, 20_000 * USDC_UNITS, 0));
        all.push(bed.flash_repay(USDC, 20_000 * USDC_UNITS, 0));
        all
    });
    twins.both(|bed| {
        bed.warp(500);
        bed.restamp_prices();
        bed.scale_prices(&[0, 52], 97, 100);
    });
    for cap in [1, 5_000 * USDC_UNITS, u64::MAX] {
        twins.send("liquidate more", Done, |bed| liquidate(bed, cap));
    }
    for slots in [1, 3, 77] {
        twins.both(|bed| {
            bed.warp(slots);
            bed.restamp_prices();
            bed.scale_prices(&[0, 52], 85, 100);
        });
        twins.send("refresh", Done, |bed| bed.refresh_all(&[]));
        twins.send("liquidate a little", Done, |bed| liquidate(bed, 1_000_003));
    }
    twins.finish();
}

#[test]
fn liquidation_amounts_and_bonuses() {
    let Some(mut twins) = Twins::with_position() else {
        return;
    };
    // From healthy through every bonus range to bad debt.
    for percent in [100, 83, 82, 81, 80, 75, 70, 65, 64, 63, 62, 61, 60, 50, 30, 1] {
        for cap in [1, 7, 1_000_003, 20_000 * USDC_UNITS, u64::MAX] {
            let expected = if percent >= 83 { Custom(3, 6016) } else { Done };
            twins.case(
                &format!("SOL at {percent} %, cap {cap}"),
                expected,
                |bed| {
                    bed.warp(7);
                    bed.restamp_prices();
                    bed.scale_prices(&[0, 52], percent, 100);
                },
                |bed| liquidate(bed, cap),
            );
        }
    }
    // The market's limits.
    for (what, offset, bytes) in [
        ("close factor 10", market::CLOSE_FACTOR_PCT, vec![10]),
        ("close factor 100", market::CLOSE_FACTOR_PCT, vec![100]),
        ("insolvency at 70", market::INSOLVENCY_PCT, vec![70]),
        ("at most 1000 at once", market::MAX_AT_ONCE, 1_000u64.to_le_bytes().to_vec()),
        ("small below 200000", market::MIN_FULL, 200_000u64.to_le_bytes().to_vec()),
    ] {
        for percent in [80, 50] {
            twins.case(
                &format!("{what}, SOL at {percent} %"),
                Done,
                |bed| {
                    bed.scale_prices(&[0, 52], percent, 100);
                    bed.patch(&MARKET, offset, &bytes);
                },
                |bed| liquidate(bed, u64::MAX),
            );
        }
    }
    twins.case(
        "small debt, too little offered",
        Custom(3, 6121),
        |bed| {
            bed.scale_prices(&[0, 52], 80, 100);
            patch_u64(bed, &MARKET, market::MIN_FULL, 200_000);
        },
        |bed| liquidate(bed, 20_000 * USDC_UNITS),
    );
    for (what, key, offset, bytes) in [
        ("no protocol fee", SOL, reserve::LIQUIDATION_FEE_PCT, vec![0]),
        ("protocol fee 100", SOL, reserve::LIQUIDATION_FEE_PCT, vec![100]),
        ("bad debt bonus 99", SOL, reserve::BAD_DEBT_BONUS, vec![99, 0]),
    ] {
        for percent in [80, 62, 30] {
            twins.case(
                &format!("{what}, SOL at {percent} %"),
                Done,
                |bed| {
                    bed.scale_prices(&[0, 52], percent, 100);
                    bed.patch(key, offset, &bytes);
                },
                |bed| liquidate(bed, u64::MAX),
            );
        }
    }
    twins.finish();
}

#[test]
fn redemption_is_limited_by_liquidity() {
    let Some(mut twins) = Twins::underwater() else {
        return;
    };
    // The vault is lowered with the books; the rest counts as lent.
    let drain = |bed: &mut Bed, left: u64| {
        let sol = bed.reserve(SOL).liquidity;
        let taken = sol.total_available_amount - left;
        patch_u64(bed, SOL, reserve::AVAILABLE, left);
        let borrowed = sol.borrowed_amount_sf;
        let borrowed = u128::from(borrowed) + (u128::from(taken) << 60);
        bed.patch(SOL, 224, &borrowed.to_le_bytes());
        let mut vault = bed.account(&sol.supply_vault);
        let balance = bed.balance(&sol.supply_vault) - taken;
        vault.data[64..72].copy_from_slice(&balance.to_le_bytes());
        vault.lamports -= taken;
        bed.svm.set_account(address(&sol.supply_vault), vault).unwrap();
    };
    for left in [0, 1, 2, 1_000, LAMPORTS, 100 * LAMPORTS, 160 * LAMPORTS] {
        twins.case(
            &format!("{left} lamports left"),
            Done,
            |bed| drain(bed, left),
            |bed| liquidate(bed, u64::MAX),
        );
    }
    for minimum in [100 * LAMPORTS, 160 * LAMPORTS] {
        for left in [0, 120 * LAMPORTS, 1_000 * LAMPORTS] {
            let refused = left != 0 && minimum == 160 * LAMPORTS;
            twins.case(
                &format!("{left} left, {minimum} demanded"),
                if refused { Custom(3, 6066) } else { Done },
                |bed| drain(bed, left),
                |bed| {
                    let mut all = bed.refresh_all(&[]);
                    all.push(bed.liquidate(USDC, SOL, u64::MAX, minimum));
                    all
                },
            );
        }
    }
    twins.case(
        "queued cTokens do not matter",
        Done,
        |bed| {
            drain(bed, 120 * LAMPORTS);
            patch_u64(bed, SOL, reserve::QUEUED, 50 * LAMPORTS);
        },
        |bed| liquidate(bed, u64::MAX),
    );
    twins.finish();
}

#[test]
fn other_reasons_than_the_ltv() {
    let Some(mut twins) = Twins::with_position() else {
        return;
    };
    const DAY: u64 = 86_400;
    let run = |bed: &Bed| liquidate(bed, u64::MAX);
    let mark = |bed: &mut Bed, ago: u64| {
        bed.patch(&MARKET, market::AUTODELEVERAGE, &[1]);
        patch_u64(bed, &MARKET, market::INDIVIDUAL_PERIOD, 3 * DAY);
        let obligation = bed.obligation_key();
        bed.patch(&obligation, obligation::TARGET_LTV_PCT, &[50]);
        let started = now(bed) - ago;
        patch_u64(bed, &obligation, obligation::MARGIN_CALL, started);
        bed.patch(SOL, reserve::MIN_DELEVERAGING_BONUS, &50u16.to_le_bytes());
        patch_u64(bed, SOL, reserve::BONUS_INCREASE, 20);
        bed.patch(USDC, reserve::MIN_DELEVERAGING_BONUS, &70u16.to_le_bytes());
        patch_u64(bed, USDC, reserve::BONUS_INCREASE, 10);
    };
    for (ago, expected) in [
        (3 * DAY - 1, Custom(3, 6016)),
        (3 * DAY, Done),
        (4 * DAY + 5_000, Done),
        (100 * DAY, Done),
    ] {
        twins.case(&format!("marked {ago} s ago"), expected, |bed| mark(bed, ago), run);
    }
    twins.case(
        "marked, already at the target",
        Custom(3, 6016),
        |bed| {
            mark(bed, 4 * DAY);
            let obligation = bed.obligation_key();
            bed.patch(&obligation, obligation::TARGET_LTV_PCT, &[70]);
        },
        run,
    );
    let over_limit = |bed: &mut Bed, key: &Pubkey, ago: u64| {
        bed.patch(&MARKET, market::AUTODELEVERAGE, &[1]);
        bed.patch(key, reserve::AUTODELEVERAGE, &[1]);
        patch_u64(bed, key, reserve::MARGIN_CALL_PERIOD, DAY);
        patch_u64(bed, key, reserve::THRESHOLD_DECREASE, 1_000);
        patch_u64(bed, key, reserve::BONUS_INCREASE, 30);
        bed.patch(key, reserve::MIN_DELEVERAGING_BONUS, &40u16.to_le_bytes());
        let crossed = now(bed) - ago;
        if *key == SOL_RESERVE {
            patch_u64(bed, key, reserve::DEPOSIT_LIMIT, 1);
            patch_u64(bed, key, reserve::DEPOSIT_CROSSED, crossed);
        } else {
            patch_u64(bed, key, reserve::BORROW_LIMIT, 1);
            patch_u64(bed, key, reserve::BORROW_CROSSED, crossed);
        }
    };
    for key in [SOL, USDC] {
        for (ago, expected) in [
            (DAY - 1, Custom(3, 6016)),
            (DAY, Custom(3, 6016)),
            (3 * DAY, Custom(3, 6016)),
            (5 * DAY, Done),
            (20 * DAY, Done),
        ] {
            twins.case(
                &format!("{key} over its limit for {ago} s"),
                expected,
                |bed| over_limit(bed, key, ago),
                run,
            );
        }
    }
    for (collateral_ago, debt_ago) in
        [(2 * DAY, 10 * DAY), (10 * DAY, 12 * DAY), (DAY - 1, 10 * DAY)]
    {
        twins.case(
            &format!("both over their limits for {collateral_ago} and {debt_ago} s"),
            Done,
            |bed| {
                over_limit(bed, SOL, collateral_ago);
                over_limit(bed, USDC, debt_ago);
            },
            run,
        );
    }
    let bonuses = |bed: &mut Bed| {
        bed.patch(USDC, reserve::MIN_DELEVERAGING_BONUS, &70u16.to_le_bytes());
        patch_u64(bed, USDC, reserve::BONUS_INCREASE, 10);
        bed.patch(SOL, reserve::MIN_DELEVERAGING_BONUS, &50u16.to_le_bytes());
        patch_u64(bed, SOL, reserve::BONUS_INCREASE, 20);
    };
    for (ago, enabled, expected) in
        [(0, 1, Done), (2 * DAY + 77, 1, Done), (200 * DAY, 1, Done), (1, 0, Custom(3, 6016))]
    {
        twins.case(
            &format!("matured {ago} s ago, switch {enabled}"),
            expected.clone(),
            |bed| {
                bonuses(bed);
                bed.patch(&MARKET, market::MATURITY, &[enabled]);
                let at = now(bed) - ago;
                patch_u64(bed, USDC, reserve::MATURITY, at);
            },
            run,
        );
    }
    twins.case(
        "not yet matured",
        Custom(3, 6016),
        |bed| {
            bed.patch(&MARKET, market::MATURITY, &[1]);
            let at = now(bed) + 1;
            patch_u64(bed, USDC, reserve::MATURITY, at);
        },
        run,
    );
    for (ago, duration, expected) in [
        (0, 0, Done),
        (0, DAY, Custom(3, 6015)),
        (1, DAY, Done),
        (DAY / 3, DAY, Done),
        (2 * DAY, DAY, Done),
        (2 * DAY + 77, 0, Done),
    ] {
        twins.case(
            &format!("term over for {ago} s, released over {duration} s"),
            expected,
            |bed| {
                bonuses(bed);
                bed.patch(&MARKET, market::TERM, &[1]);
                patch_u64(bed, &MARKET, market::TERM_DURATION, duration);
                patch_u64(bed, USDC, reserve::TERM, 1_000);
                let obligation = bed.obligation_key();
                let at = now(bed) - 1_000 - ago;
                patch_u64(bed, &obligation, obligation::LAST_BORROWED, at);
            },
            run,
        );
    }
    // LTV of the position: 110,000 / 178,581 = 61.6 %; price ratio 1 / 178.58.
    for (condition, threshold, param, expected) in [
        (0u8, 0.5, 0.0, Custom(3, 6016)),
        (1, 0.60, 0.0, Done),
        (1, 0.62, 0.0, Custom(3, 6016)),
        (1, 0.80, 0.0, Custom(3, 6016)),
        (2, 0.62, 0.0, Done),
        (2, 0.60, 0.0, Custom(3, 6016)),
        (3, 0.005, 0.0, Done),
        (3, 0.006, 0.0, Custom(3, 6016)),
        (4, 0.006, 0.0, Done),
        (4, 0.005, 0.0, Custom(3, 6016)),
        (5, 0.0, 0.0, Done),
        (6, 0.20, 0.0, Done),
        (6, 0.10, 0.0, Custom(3, 6016)),
        (6, 0.90, 0.0, Done),
        (5, 0.0, 1_000_000.0, Done),
        (5, 0.0, 200_000_000_000.0, Done),
        (1, 0.60, 5_000_000_000.0, Done),
    ] {
        for second in [false, true] {
            let place = |bed: &mut Bed| {
                bed.patch(&MARKET, market::ORDERS, &[1]);
                bed.patch(SOL, reserve::ORDER_FEE_PCT, &[10]);
                let obligation = bed.obligation_key();
                let at = obligation::ORDERS + if second { 128 } else { 0 };
                bed.patch(&obligation, at, &bits(threshold));
                let opportunity = u8::from(param == 0.0);
                bed.patch(&obligation, at + 16, &((param as u128) << 60).to_le_bytes());
                let least: u16 = if condition == 5 { 900 } else { 100 };
                bed.patch(&obligation, at + 32, &least.to_le_bytes());
                bed.patch(&obligation, at + 34, &900u16.to_le_bytes());
                bed.patch(&obligation, at + 36, &[condition, opportunity]);
            };
            twins.case(
                &format!("order {condition} at {threshold} for {param}, second {second}"),
                expected.clone(),
                place,
                run,
            );
            twins.case(
                &format!("order {condition} at {threshold} for {param}, prices do not count"),
                if condition == 5 { Done } else { Custom(3, 6016) },
                |bed| {
                    place(bed);
                    bed.patch(&MARKET, market::PRICE_TRIGGERED_DISABLED, &[1]);
                },
                run,
            );
        }
    }
    twins.case(
        "order against a full queue",
        Done,
        |bed| {
            bed.patch(&MARKET, market::ORDERS, &[1]);
            let obligation = bed.obligation_key();
            bed.patch(&obligation, obligation::ORDERS + 36, &[5, 1]);
            let queued = bed.reserve(SOL).collateral.mint_total_supply;
            patch_u64(bed, SOL, reserve::QUEUED, queued);
        },
        run,
    );
    for capacity in [10 * LAMPORTS, 1_000_000 * LAMPORTS] {
        twins.case(
            &format!("order within an outflow cap of {capacity}"),
            if capacity == 10 * LAMPORTS { Custom(3, 6064) } else { Done },
            |bed| {
                bed.patch(&MARKET, market::ORDERS, &[1]);
                let obligation = bed.obligation_key();
                bed.patch(&obligation, obligation::ORDERS + 36, &[5, 1]);
                let cap = [capacity, 0, now(bed) - 10, DAY].map(u64::to_le_bytes).concat();
                bed.patch(SOL, reserve::DEPOSIT_CAP, &cap);
            },
            run,
        );
    }
    twins.case(
        "the LTV does not count",
        Custom(3, 6016),
        |bed| {
            bed.scale_prices(&[0, 52], 80, 100);
            bed.patch(&MARKET, market::PRICE_TRIGGERED_DISABLED, &[1]);
        },
        run,
    );
    twins.finish();
}
