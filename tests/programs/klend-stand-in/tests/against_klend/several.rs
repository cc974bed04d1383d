//! Several collaterals and debts, and elevation groups.

use super::*;

/// SOL and JitoSOL as collateral, USDC and a little JitoSOL as debt.
#[test]
fn several_collaterals_and_debts() {
    let Some(mut twins) = Twins::with_position() else {
        return;
    };
    twins.deposit(JITOSOL, 100 * LAMPORTS);
    twins.both(|bed| {
        let owner = bed.owner_key();
        let mint = bed.reserve(SOL).liquidity.mint_pubkey;
        bed.fund(&owner, &mint, 0);
        bed.patch(SOL, reserve::UTILIZATION_LIMIT, &[0]);
    });
    twins.send("second borrow", Done, |bed| borrow(bed, SOL, 20 * LAMPORTS));
    for (debt, collateral) in [(USDC, SOL), (USDC, JITOSOL), (SOL, SOL), (SOL, JITOSOL)] {
        for (what, thresholds, factor, skip) in [
            ("equal", (75u8, 75u8), 100u64, 0u64),
            ("SOL first", (70, 75), 100, 0),
            ("JitoSOL first", (75, 70), 100, 0),
            ("JitoSOL first, but small", (75, 70), 100, 1_000_000),
            ("USDC first", (75, 75), 110, 0),
            ("USDC first, but small", (75, 75), 110, 1_000_000),
        ] {
            let expected = match (what, *debt == SOL_RESERVE, *collateral == SOL_RESERVE) {
                ("USDC first", true, _) => Custom(4, 6099),
                ("SOL first", _, false) | ("JitoSOL first", _, true) => Custom(4, 6100),
                _ => Done,
            };
            let expected = match expected {
                // Two reserves are refreshed less where they are the same.
                Custom(_, number) => Custom(4, number),
                other => other,
            };
            twins.case(
                &format!("{debt} for {collateral}, {what}"),
                expected,
                |bed| {
                    bed.equip_liquidator(debt, collateral, 1_000_000 * LAMPORTS);
                    bed.scale_prices(&[0, 52], 68, 100);
                    bed.patch(SOL, reserve::THRESHOLD_PCT, &[thresholds.0]);
                    bed.patch(JITOSOL, reserve::THRESHOLD_PCT, &[thresholds.1]);
                    patch_u64(bed, SOL, reserve::BORROW_FACTOR_PCT, 100);
                    patch_u64(bed, USDC, reserve::BORROW_FACTOR_PCT, factor);
                    patch_u64(bed, &MARKET, market::SKIP_LTV_CHECKS, skip);
                    patch_u64(bed, &MARKET, market::SKIP_BF_CHECKS, skip);
                },
                |bed| liquidate_pair(bed, debt, collateral, u64::MAX),
            );
        }
    }
    // The same mint on both sides, one account for both.
    twins.case(
        "same mint, one account",
        Done,
        |bed| {
            bed.equip_liquidator(SOL, SOL, 1_000 * LAMPORTS);
            bed.scale_prices(&[0, 52], 68, 100);
            bed.patch(SOL, reserve::THRESHOLD_PCT, &[50]);
        },
        |bed| liquidate_pair(bed, SOL, SOL, 5 * LAMPORTS),
    );
    twins.finish();
}

#[test]
fn elevation_groups() {
    let Some(mut twins) = Twins::new() else {
        return;
    };
    const GROUP: u8 = 5;
    let configure = |bed: &mut Bed| {
        let group = market::GROUPS + market::GROUP_LEN * usize::from(GROUP - 1);
        // Bonus 200 bps, LTV 85, threshold 90, new loans, two collaterals.
        bed.patch(&MARKET, group, &[200, 0, GROUP, 85, 90, 1, 2, 0]);
        bed.patch(&MARKET, group + 8, USDC.as_ref());
        for reserve in [USDC, SOL, JITOSOL] {
            bed.patch(reserve, reserve::GROUPS + 10, &[GROUP]);
            let limit = reserve::LIMITS_IN_GROUPS + 8 * usize::from(GROUP - 1);
            patch_u64(bed, reserve, limit, u64::MAX);
        }
    };
    twins.both(configure);
    twins.open(SOL, 1_000 * LAMPORTS);
    let request = |group: u8| {
        move |bed: &Bed| {
            let mut all = bed.refresh_all(&[]);
            all.push(bed.request_group(group));
            all
        }
    };
    twins.case("group that does not exist", Custom(2, 6069), |_| (), request(31));
    twins.case("group zero while in none", Custom(2, 6083), |_| (), request(0));
    twins.case(
        "reserve outside the group",
        Custom(2, 6068),
        |bed| bed.patch(SOL, reserve::GROUPS, &[0; 20]),
        request(GROUP),
    );
    twins.send("enter the group", Done, request(GROUP));
    twins.case("already in it", Custom(2, 6083), |_| (), request(GROUP));
    twins.case("leave it again", Done, |_| (), request(0));
    // Collateral that comes after the debt.
    let mut late = twins.clone();
    late.borrow(USDC, 100_000 * USDC_UNITS);
    late.both(|bed| {
        bed.warp(77);
        bed.restamp_prices();
    });
    late.deposit(JITOSOL, 100 * LAMPORTS);
    late.send("interest after a late collateral", Done, |bed| bed.refresh_all(&[]));
    twins.failures.append(&mut late.failures);

    twins.deposit(JITOSOL, 100 * LAMPORTS);
    twins.both(|bed| {
        let owner = bed.owner_key();
        let mint = bed.reserve(SOL).liquidity.mint_pubkey;
        bed.fund(&owner, &mint, LAMPORTS);
    });
    twins.case(
        "another debt than the group's",
        Custom(3, 6104),
        |bed| bed.patch(SOL, reserve::UTILIZATION_LIMIT, &[0]),
        |bed| borrow(bed, SOL, LAMPORTS),
    );
    twins.case(
        "above the group's limit",
        Custom(4, 6101),
        |bed| {
            let owner = bed.owner_key();
            let mint = bed.reserve(USDC).liquidity.mint_pubkey;
            bed.fund(&owner, &mint, 0);
            let limit = reserve::LIMITS_IN_GROUPS + 8 * usize::from(GROUP - 1);
            patch_u64(bed, JITOSOL, limit, 1_000);
        },
        |bed| borrow(bed, USDC, 120_000 * USDC_UNITS),
    );
    twins.case(
        "no new loans",
        Custom(4, 6072),
        |bed| {
            let owner = bed.owner_key();
            let mint = bed.reserve(USDC).liquidity.mint_pubkey;
            bed.fund(&owner, &mint, 0);
            let group = market::GROUPS + market::GROUP_LEN * usize::from(GROUP - 1);
            bed.patch(&MARKET, group + 5, &[0]);
        },
        |bed| borrow(bed, USDC, 120_000 * USDC_UNITS),
    );
    twins.borrow(USDC, 150_000 * USDC_UNITS);
    twins.both(|bed| {
        bed.warp(1_000);
        bed.restamp_prices();
    });
    twins.send("interest in the group", Done, |bed| bed.refresh_all(&[]));
    twins.both(|bed| bed.warp(33));
    twins.send("more interest in the group", Done, |bed| bed.refresh_all(&[]));
    twins.case("more debt", Done, |_| (), |bed| borrow(bed, USDC, 1_000 * USDC_UNITS));
    twins.case("more of a collateral", Done, |_| (), |bed| deposit(bed, SOL, LAMPORTS));
    twins.both(|bed| {
        bed.restamp_prices();
        bed.scale_prices(&[0, 52], 82, 100);
    });
    for collateral in [SOL, JITOSOL] {
        twins.both(|bed| bed.equip_liquidator(USDC, collateral, 200_000 * USDC_UNITS));
        for cap in [7, 1_000_003, u64::MAX] {
            twins.case(
                &format!("{cap} for {collateral}"),
                Done,
                |_| (),
                |bed| liquidate_pair(bed, USDC, collateral, cap),
            );
        }
    }
    twins.case(
        "no reserves at the end",
        Custom(4, 6006),
        |_| (),
        |bed| {
            let mut all = liquidate_pair(bed, USDC, SOL, USDC_UNITS);
            all[4].accounts.truncate(25);
            all
        },
    );
    twins.case(
        "reserves at the end swapped",
        Custom(4, 2502),
        |_| (),
        |bed| {
            let mut all = liquidate_pair(bed, USDC, SOL, USDC_UNITS);
            all[4].accounts.swap(25, 26);
            all
        },
    );
    twins.case(
        "one reserve more at the end",
        Done,
        |_| (),
        |bed| {
            let mut all = liquidate_pair(bed, USDC, SOL, USDC_UNITS);
            all[4].accounts.push(writable(*USDC));
            all
        },
    );
    for (what, bonus) in [("bonus above the reserves'", 2_000u16), ("bonus zero", 0)] {
        twins.case(
            what,
            Done,
            |bed| {
                let group = market::GROUPS + market::GROUP_LEN * usize::from(GROUP - 1);
                bed.patch(&MARKET, group, &bonus.to_le_bytes());
            },
            |bed| liquidate_pair(bed, USDC, SOL, u64::MAX),
        );
    }
    twins.case(
        "debt reserve replaced",
        Custom(3, 6104),
        |bed| {
            let group = market::GROUPS + market::GROUP_LEN * usize::from(GROUP - 1);
            bed.patch(&MARKET, group + 8, &[8; 32]);
        },
        |bed| liquidate_pair(bed, USDC, SOL, u64::MAX),
    );
    twins.both(|bed| bed.equip_liquidator(USDC, SOL, 200_000 * USDC_UNITS));
    let mut ageing = twins.clone();
    for slots in [0, 5, 0, 3, 1_000] {
        ageing.both(|bed| {
            bed.warp(slots);
            bed.restamp_prices();
        });
        ageing.agree("liquidated again and again", |bed| {
            liquidate_pair(bed, USDC, SOL, 1_234_567_891)
        });
    }
    twins.failures.append(&mut ageing.failures);
    twins.case(
        "collateral emptied",
        Done,
        |bed| bed.scale_prices(&[0, 52], 40, 100),
        |bed| liquidate_pair(bed, USDC, JITOSOL, u64::MAX),
    );
    twins.finish();
}
