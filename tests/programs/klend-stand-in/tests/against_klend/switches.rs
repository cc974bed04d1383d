//! What stops a liquidation.

use super::*;

#[test]
fn staleness_and_switches_stop_a_liquidation() {
    let Some(mut twins) = Twins::underwater() else {
        return;
    };
    let run = |bed: &Bed| liquidate(bed, 1_000 * USDC_UNITS);
    for (what, key, offset, value, expected) in [
        ("market stopped", &MARKET, market::EMERGENCY, 1u8, Custom(0, 6042)),
        ("borrowing off", &MARKET, market::BORROW_DISABLED, 1, Done),
        ("debt obsolete", USDC, reserve::STATUS, 1, Done),
        ("collateral obsolete, with a farm", SOL, reserve::STATUS, 1, Custom(3, 6082)),
        ("debt hidden", USDC, reserve::STATUS, 2, Done),
        ("debt of an old version", USDC, reserve::VERSION, 0, Custom(1, 6073)),
        ("debt's price blocked", USDC, reserve::BLOCK_PRICE_USAGE, 1, Custom(3, 6009)),
        ("collateral's price blocked", SOL, reserve::BLOCK_PRICE_USAGE, 1, Custom(3, 6009)),
        ("cTokens blocked", SOL, reserve::BLOCK_CTOKENS, 1, Done),
        ("threshold zero", SOL, reserve::THRESHOLD_PCT, 0, Custom(3, 6087)),
        ("LTV zero", SOL, reserve::LTV_PCT, 0, Done),
        ("no average admitted", SOL, reserve::MAX_TWAP_AGE, 0, Custom(0, 6053)),
    ] {
        twins.case(what, expected, |bed| bed.patch(key, offset, &[value]), run);
    }
    twins.case("outdated price", Custom(3, 6009), |bed| bed.wait(1_000), run);
    twins.case(
        "outdated price of the debt",
        Custom(3, 6009),
        |bed| {
            bed.wait(10);
            patch_u64(bed, USDC, reserve::MAX_AGE, 9);
        },
        run,
    );
    twins.case("divergent price", Done, |bed| bed.scale_prices(&[52], 2, 1), run);
    twins.case("nothing offered", Custom(3, 6003), |_| (), |bed| liquidate(bed, 0));
    twins.case(
        "no refreshes",
        Custom(0, 6009),
        |bed| bed.warp(1),
        |bed| vec![bed.liquidate(USDC, SOL, USDC_UNITS, 0)],
    );
    twins.case(
        "obligation not refreshed",
        Custom(2, 6017),
        |bed| bed.warp(1),
        |bed| {
            let all = bed.refresh_all(&[]);
            vec![all[0].clone(), all[1].clone(), bed.liquidate(USDC, SOL, USDC_UNITS, 0)]
        },
    );
    twins.case(
        "stale after a flash loan",
        Custom(4, 6009),
        |bed| bed.warp(1),
        |bed| {
            let mut all = bed.refresh_all(&[]);
            all.insert(3, bed.flash_borrow(USDC, USDC_UNITS));
            all.push(bed.liquidate(USDC, SOL, USDC_UNITS, 0));
            all.push(bed.flash_repay(USDC, USDC_UNITS, 3));
            all
        },
    );
    twins.case(
        "twice without a refresh",
        Custom(4, 6009),
        |_| (),
        |bed| {
            let mut all = liquidate(bed, USDC_UNITS);
            all.push(bed.liquidate(USDC, SOL, USDC_UNITS, 0));
            all
        },
    );
    twins.case(
        "twice with refreshes",
        Done,
        |_| (),
        |bed| {
            let mut all = liquidate(bed, USDC_UNITS);
            all.extend(liquidate(bed, USDC_UNITS));
            all
        },
    );
    twins.case(
        "debt that is not there",
        Custom(4, 6025),
        |bed| bed.equip_liquidator(JITOSOL, SOL, LAMPORTS),
        |bed| {
            let mut all = bed.refresh_all(&[*JITOSOL]);
            all.push(bed.liquidate(JITOSOL, SOL, USDC_UNITS, 0));
            all
        },
    );
    twins.case(
        "collateral that is not there",
        Custom(4, 6024),
        |bed| bed.equip_liquidator(USDC, JITOSOL, LAMPORTS),
        |bed| {
            let mut all = bed.refresh_all(&[*JITOSOL]);
            all.push(bed.liquidate(USDC, JITOSOL, USDC_UNITS, 0));
            all
        },
    );
    twins.case("worthless collateral", Custom(3, 6022), worthless_collateral, run);
    twins.case("worthless debt", Custom(3, 6023), worthless_debt, run);
    twins.case(
        "liquidator too poor",
        Custom(3, 1),
        |bed| {
            let liquidator = bed.liquidator_key();
            let mint = bed.reserve(USDC).liquidity.mint_pubkey;
            bed.fund(&liquidator, &mint, 10);
        },
        run,
    );
    twins.case(
        "farm accounts missing",
        Custom(3, 6120),
        |_| (),
        |bed| {
            let mut all = run(bed);
            all[3].accounts[20].pubkey = klend_interface::KLEND_PROGRAM_ID;
            all[3].accounts[21].pubkey = klend_interface::KLEND_PROGRAM_ID;
            all
        },
    );
    twins.case(
        "stake account missing",
        Custom(3, 3007),
        |bed| {
            let user = bed.farm_user(&SOL_FARM).unwrap();
            bed.svm.set_account(address(&user), Default::default()).unwrap();
        },
        run,
    );
    twins.case(
        "debt farm without stake account",
        Custom(3, 3007),
        |bed| {
            bed.patch(USDC, 88, SOL_FARM.as_ref());
        },
        |bed| {
            let mut all = run(bed);
            all[3].accounts[22].pubkey = Pubkey::new_from_array([9; 32]);
            all
        },
    );
    for (account, vault) in [(13, 6), (13, 11), (14, 10), (15, 11), (15, 6)] {
        let expected = if (account, vault) == (15, 6) { Custom(3, 3) } else { Custom(3, 6006) };
        twins.case(
            &format!("account {account} is vault {vault}"),
            expected,
            |_| (),
            |bed| {
                let mut all = run(bed);
                all[3].accounts[account].pubkey = all[3].accounts[vault].pubkey;
                all
            },
        );
    }
    twins.case(
        "one account for both mints",
        Custom(3, 3),
        |_| (),
        |bed| {
            let mut all = run(bed);
            all[3].accounts[15].pubkey = all[3].accounts[13].pubkey;
            all
        },
    );
    twins.finish();
}
