//! The first liquidation instruction, calls from programs, Token-2022.

use super::*;

#[test]
fn the_first_liquidation_instruction() {
    let Some(mut twins) = Twins::underwater() else {
        return;
    };
    fn complete(bed: &Bed) -> Vec<Instruction> {
        vec![
            bed.refresh_reserve(SOL),
            bed.refresh_reserve(USDC),
            bed.refresh_obligation(),
            bed.refresh_farm(SOL, 0),
            bed.liquidate_v1(USDC, SOL, USDC_UNITS),
            bed.refresh_farm(SOL, 0),
        ]
    }
    let build = |build: fn(&Bed) -> Vec<Instruction>| build;
    for (what, expected, build) in [
        ("complete", Done, build(complete)),
        (
            "reserves swapped",
            Custom(4, 2502),
            build(|bed| {
                let mut all = complete(bed);
                all.swap(0, 1);
                all
            }),
        ),
        (
            "no farm refresh after",
            Custom(4, 6051),
            build(|bed| {
                let mut all = complete(bed);
                all.pop();
                all
            }),
        ),
        (
            "no farm refresh before",
            Custom(3, 6051),
            build(|bed| {
                let mut all = complete(bed);
                all.remove(3);
                all
            }),
        ),
        (
            "no obligation refresh",
            Custom(3, 6051),
            build(|bed| {
                let mut all = complete(bed);
                all.remove(2);
                all
            }),
        ),
        (
            "alone",
            Failed(0, InstructionError::ProgramFailedToComplete),
            build(|bed| vec![bed.liquidate_v1(USDC, SOL, USDC_UNITS)]),
        ),
        (
            "another mode",
            Custom(5, 6050),
            build(|bed| {
                let mut all = complete(bed);
                all[5].data[8] = 1;
                all
            }),
        ),
        (
            "another program between",
            Custom(5, 2502),
            build(|bed| {
                let mut all = complete(bed);
                let mut foreign = bed.refresh_obligation();
                foreign.program_id = klend_interface::SYSTEM_PROGRAM_ID;
                foreign.accounts.clear();
                foreign.data = [&[2u8, 0, 0, 0][..], &[0; 8]].concat();
                foreign.accounts = vec![
                    solana_instruction_v2::AccountMeta::new(bed.payer_key(), true),
                    writable(bed.owner_key()),
                ];
                all.insert(4, foreign);
                all
            }),
        ),
    ] {
        twins.case(what, expected, |_| (), build);
    }
    twins.finish();
}

/// Only the instructions that klend closes to other programs refuse them.
#[test]
fn calls_from_another_program() {
    let Some(mut twins) = Twins::underwater() else {
        return;
    };
    let liquidation = |bed: &Bed| {
        let mut all = bed.refresh_all(&[]);
        all.push(through_another_program(bed.liquidate(USDC, SOL, 1_000 * USDC_UNITS, 0)));
        all
    };
    twins.case("liquidate v2", Done, |_| (), liquidation);
    let refreshes = |bed: &Bed| {
        let mut all: Vec<_> =
            bed.refresh_all(&[]).into_iter().map(through_another_program).collect();
        all.push(bed.liquidate(USDC, SOL, 1_000 * USDC_UNITS, 0));
        all
    };
    twins.case("refreshes", Done, |bed| bed.warp(1), refreshes);
    let first_version = |bed: &Bed| {
        vec![
            bed.refresh_reserve(SOL),
            bed.refresh_reserve(USDC),
            bed.refresh_obligation(),
            bed.refresh_farm(SOL, 0),
            through_another_program(bed.liquidate_v1(USDC, SOL, USDC_UNITS)),
            bed.refresh_farm(SOL, 0),
        ]
    };
    twins.case("liquidate v1", Custom(4, 6080), |_| (), first_version);
    for (what, borrow_by_cpi, repay_by_cpi, expected) in [
        ("flash borrow", true, false, Custom(0, 6031)),
        ("flash repay", false, true, Custom(0, 6032)),
        ("both halves", true, true, Custom(0, 6031)),
    ] {
        twins.case(
            what,
            expected,
            |_| (),
            |bed| {
                let wrap = |instruction, wrap| match wrap {
                    true => through_another_program(instruction),
                    false => instruction,
                };
                vec![
                    wrap(bed.flash_borrow(USDC, USDC_UNITS), borrow_by_cpi),
                    wrap(bed.flash_repay(USDC, USDC_UNITS, 0), repay_by_cpi),
                ]
            },
        );
    }
    twins.case(
        "flash repay alone",
        Custom(0, 6034),
        |_| (),
        |bed| vec![through_another_program(bed.flash_repay(USDC, USDC_UNITS, 0))],
    );
    twins.finish();
}

/// Token-2022 extensions of the mint and of the borrower's account.
#[test]
fn token_2022() {
    let Some(mut twins) = Twins::new() else {
        return;
    };
    const LOAN: u64 = 3 * LAMPORTS;
    let prepare = |bed: &mut Bed, mint: &[(u16, Vec<u8>)], account: &[(u16, Vec<u8>)]| {
        bed.make_token_2022(JITOSOL, mint);
        let liquidator = bed.liquidator_key();
        let mint = bed.reserve(JITOSOL).liquidity.mint_pubkey;
        let at = bed.fund(&liquidator, &mint, LAMPORTS);
        bed.add_extensions(&at, 2, account);
    };
    let pair = |bed: &Bed| vec![bed.flash_borrow(JITOSOL, LOAN), bed.flash_repay(JITOSOL, LOAN, 0)];
    let refused = || Custom(0, 6108);
    let fee_config = |older: u16, newer: u16| {
        let mut data = vec![0; 108];
        data[88..90].copy_from_slice(&older.to_le_bytes());
        data[106..108].copy_from_slice(&newer.to_le_bytes());
        data
    };
    let hook = |program: u8| [vec![0; 32], vec![program; 32]].concat();
    let auto_approve = |value: u8| [vec![0; 32], vec![value], vec![0; 32]].concat();
    let fee_amount = (2, vec![0; 8]);
    let hook_account = (15, vec![0]);
    let pausable_account = (27, vec![]);
    for (what, expected, mint, account) in [
        ("plain", Done, vec![], vec![]),
        ("no fee", Done, vec![(1, fee_config(0, 0))], vec![fee_amount.clone()]),
        ("older fee", refused(), vec![(1, fee_config(1, 0))], vec![fee_amount.clone()]),
        ("newer fee", refused(), vec![(1, fee_config(0, 1))], vec![fee_amount]),
        ("close authority", Done, vec![(3, vec![5; 32])], vec![]),
        ("confidential", Done, vec![(4, auto_approve(0))], vec![]),
        ("confidential, automatic", refused(), vec![(4, auto_approve(1))], vec![]),
        ("default state initialised", Done, vec![(6, vec![1])], vec![]),
        ("default state frozen", Done, vec![(6, vec![2])], vec![]),
        ("non-transferable", refused(), vec![(9, vec![])], vec![]),
        ("interest-bearing", refused(), vec![(10, vec![0; 52])], vec![]),
        ("permanent delegate", Done, vec![(12, vec![5; 32])], vec![]),
        ("hook unset", Done, vec![(14, hook(0))], vec![hook_account.clone()]),
        ("hook set", refused(), vec![(14, hook(5))], vec![hook_account]),
        ("metadata pointer", Done, vec![(18, vec![0; 64])], vec![]),
        ("group pointer", refused(), vec![(20, vec![0; 64])], vec![]),
        ("member pointer", refused(), vec![(22, vec![0; 64])], vec![]),
        ("scaled amount", Done, vec![(25, scaled_amount())], vec![]),
        ("pausable", Done, vec![(26, vec![0; 33])], vec![pausable_account.clone()]),
        ("paused", refused(), vec![(26, [vec![0; 32], vec![1]].concat())], vec![pausable_account]),
        (
            "unknown",
            Failed(0, InstructionError::InvalidAccountData),
            vec![(99, vec![0; 4])],
            vec![],
        ),
        ("account: immutable owner", Done, vec![], vec![(7, vec![])]),
        ("account: memo", refused(), vec![], vec![(8, vec![0])]),
        ("account: guard", refused(), vec![], vec![(11, vec![0])]),
    ] {
        twins.case(what, expected, |bed| prepare(bed, &mint, &account), pair);
    }
    twins.case(
        "another token program than the mint's",
        Custom(0, 2022),
        |bed| prepare(bed, &[], &[]),
        |bed| {
            let mut pair = pair(bed);
            for half in &mut pair {
                half.accounts[11].pubkey = klend_interface::TOKEN_PROGRAM_ID;
            }
            pair
        },
    );
    // A whole position with Token-2022 debt.
    twins.both(|bed| {
        bed.patch(JITOSOL, reserve::UTILIZATION_LIMIT, &[0]);
        patch_u64(bed, JITOSOL, reserve::BORROW_FACTOR_PCT, 100);
    });
    twins.both(|bed| bed.make_token_2022(JITOSOL, &[(12, vec![5; 32])]));
    twins.open(SOL, 1_000 * LAMPORTS);
    twins.borrow(JITOSOL, 350 * LAMPORTS);
    twins.both(|bed| {
        bed.patch(SOL, reserve::THRESHOLD_PCT, &[40]);
        bed.equip_liquidator(JITOSOL, SOL, 1_000 * LAMPORTS);
    });
    for cap in [1, 50 * LAMPORTS, u64::MAX] {
        twins.case(
            &format!("Token-2022 debt, cap {cap}"),
            Done,
            |_| (),
            |bed| liquidate_pair(bed, JITOSOL, SOL, cap),
        );
    }
    twins.case(
        "guarded source of the repayment",
        Custom(3, 6108),
        |bed| {
            let mint = bed.reserve(JITOSOL).liquidity.mint_pubkey;
            let at = bed.wallet_account(&bed.liquidator_key(), &mint);
            bed.add_extensions(&at, 2, &[(11, vec![0])]);
        },
        |bed| liquidate_pair(bed, JITOSOL, SOL, LAMPORTS),
    );
    twins.finish();
}

/// A multiplier of one.
fn scaled_amount() -> Vec<u8> {
    [vec![0; 32], 1f64.to_le_bytes().to_vec(), vec![0; 8], 1f64.to_le_bytes().to_vec()].concat()
}
