//! The stand-in's answers against those that the real klend gave on the same
//! snapshot.

mod common;

use common::*;

/// 1000 SOL against 110,000 USDC, SOL ten slots later 20 % cheaper.
fn underwater() -> Option<Bed> {
    let mut bed = Bed::new(&stand_ins())?;
    bed.open(&SOL_RESERVE, 1_000_000_000_000);
    bed.add_borrow(&USDC_RESERVE, 110_000_000_000);
    bed.warp(10);
    bed.restamp_prices();
    bed.scale_prices(&[0, 52], 80, 100);
    bed.equip_liquidator(&USDC_RESERVE, &SOL_RESERVE, 0);
    Some(bed)
}

/// Liquidates inside a flash loan; returns what the liquidator and the
/// protocol got, in lamports, and the flash fee.
fn liquidate(bed: &mut Bed, cap: u64) -> (u64, u64, u64) {
    let loan = 20_000_000_000;
    let usdc = bed.reserve(&USDC_RESERVE).liquidity;
    let sol = bed.reserve(&SOL_RESERVE).liquidity;
    let liquidator = bed.liquidator_key();
    // What the collateral would be swapped for.
    let wallet = bed.fund(&liquidator, &usdc.mint_pubkey, 25_000_000_000);
    let fees = (bed.balance(&sol.fee_vault), bed.balance(&usdc.fee_vault));
    let mut all = vec![bed.flash_borrow(&USDC_RESERVE, loan)];
    all.extend(bed.refresh_all(&[]));
    all.push(bed.liquidate(&USDC_RESERVE, &SOL_RESERVE, cap, 0));
    all.push(bed.flash_repay(&USDC_RESERVE, loan, 0));
    bed.run(&all);
    assert_eq!(bed.balance(&wallet) + cap, 25_000_000_000 - 200_000);
    (
        bed.balance(&bed.wallet_account(&liquidator, &sol.mint_pubkey)),
        bed.balance(&sol.fee_vault) - fees.0,
        bed.balance(&usdc.fee_vault) - fees.1,
    )
}

#[test]
fn the_recorded_liquidation_gives_the_recorded_amounts() {
    let Some(mut bed) = underwater() else { return };
    assert_eq!(liquidate(&mut bed, 20_000_000_000), (143_480_100_243, 3_499_514_641, 200_000));
}

#[test]
fn the_recorded_partial_liquidation_gives_the_recorded_amounts() {
    let Some(mut bed) = underwater() else { return };
    assert_eq!(liquidate(&mut bed, 5_000_000_000), (35_870_025_060, 874_878_661, 200_000));
}
