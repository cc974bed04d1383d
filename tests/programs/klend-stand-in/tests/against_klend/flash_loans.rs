//! Flash loans.

use klend_interface::{KLEND_PROGRAM_ID, SYSVAR_INSTRUCTIONS_ID, pda};

use super::*;

/// Replaces the flash pair's reserve, amount and index, then everything else.
#[test]
fn flash_loans() {
    let Some(mut twins) = Twins::new() else {
        return;
    };
    const LOAN: u64 = 1_000 * USDC_UNITS;
    twins.both(|bed| {
        let liquidator = bed.liquidator_key();
        for key in [USDC, SOL] {
            let mint = bed.reserve(key).liquidity.mint_pubkey;
            bed.fund(&liquidator, &mint, 10 * USDC_UNITS);
        }
    });
    let pair = |amount: u64| {
        move |bed: &Bed| vec![bed.flash_borrow(USDC, amount), bed.flash_repay(USDC, amount, 0)]
    };
    for (amount, expected) in [
        (0, Done),
        (1, Custom(1, 6012)),
        (2, Done),
        (99_999, Done),
        (149_999, Done),
        (150_000, Done),
        (1_000_003, Done),
        (LOAN, Done),
        (10_143_494_878_569, Custom(1, 1)),
        (10_143_494_878_570, Custom(0, 6008)),
        (u64::MAX, Custom(0, 6008)),
    ] {
        twins.case(&format!("loan of {amount}"), expected, |bed| bed.warp(9), pair(amount));
    }
    for (fee, amount, expected) in [
        (0u64, 1, Done),
        (0, LOAN, Done),
        (1, LOAN, Done),
        (1 << 59, 3, Done),
        (1 << 60, 3, Custom(1, 6012)),
        (u64::MAX, LOAN, Custom(0, 6036)),
        (u64::MAX - 1, LOAN, Custom(1, 6012)),
    ] {
        twins.case(
            &format!("fee {fee} on {amount}"),
            expected,
            |bed| patch_u64(bed, USDC, reserve::FLASH_FEE_SF, fee),
            pair(amount),
        );
    }
    for (what, key, offset, value, expected) in [
        ("market stopped", &MARKET, market::EMERGENCY, 1u8, Custom(0, 6042)),
        ("borrowing off", &MARKET, market::BORROW_DISABLED, 1, Done),
        ("old version", USDC, reserve::VERSION, 0, Custom(0, 6073)),
        ("obsolete", USDC, reserve::STATUS, 1, Custom(0, 6082)),
        ("hidden", USDC, reserve::STATUS, 2, Done),
        ("price blocked", USDC, reserve::BLOCK_PRICE_USAGE, 1, Done),
    ] {
        twins.case(what, expected, |bed| bed.patch(key, offset, &[value]), pair(LOAN));
    }
    let discarded = |bed: &mut Bed| {
        bed.patch(USDC, reserve::VERSION, &[0]);
        bed.patch(USDC, reserve::STATUS, &[1]);
    };
    twins.case("old version and obsolete", Custom(0, 6073), discarded, pair(LOAN));
    // The switch is the stand-in's own.
    let real = twins.real.take();
    twins.case(
        "old version and obsolete, 1.26",
        Custom(0, 6082),
        |bed| {
            discarded(bed);
            bed.patch(&MARKET, market::STAND_IN_VERSION, &[126]);
        },
        pair(LOAN),
    );
    twins.real = real;
    twins.case("price outdated", Done, |bed| bed.wait(1_000), pair(LOAN));
    twins.case(
        "vault short of the books",
        Done,
        |bed| patch_u64(bed, USDC, reserve::AVAILABLE, 9_000_000 * USDC_UNITS),
        pair(LOAN),
    );
    twins.case(
        "limit crossed during the loan",
        Done,
        |bed| {
            let borrowed = bed.reserve(USDC).liquidity.borrowed_amount_sf;
            let limit = (u128::from(borrowed) >> 60) as u64 + 1_000;
            patch_u64(bed, USDC, reserve::BORROW_LIMIT, limit);
        },
        |bed| {
            vec![
                bed.flash_borrow(USDC, LOAN),
                bed.refresh_reserve(USDC),
                bed.flash_repay(USDC, LOAN, 0),
            ]
        },
    );

    let build = |build: fn(&Bed) -> Vec<Instruction>| build;
    for (what, expected, build) in [
        ("no repayment", Custom(0, 6032), build(|bed| vec![bed.flash_borrow(USDC, LOAN)])),
        ("repayment alone", Custom(0, 6033), build(|bed| vec![bed.flash_repay(USDC, LOAN, 0)])),
        (
            "repayment first",
            Custom(0, 6033),
            build(|bed| vec![bed.flash_repay(USDC, LOAN, 1), bed.flash_borrow(USDC, LOAN)]),
        ),
        (
            "another amount repaid",
            Custom(0, 6033),
            build(|bed| vec![bed.flash_borrow(USDC, LOAN), bed.flash_repay(USDC, LOAN + 1, 0)]),
        ),
        (
            "another index",
            Custom(0, 6033),
            build(|bed| vec![bed.flash_borrow(USDC, LOAN), bed.flash_repay(USDC, LOAN, 1)]),
        ),
        (
            "an index behind the end",
            Custom(0, 6033),
            build(|bed| vec![bed.flash_repay(USDC, LOAN, 7)]),
        ),
        (
            "two borrows",
            Custom(0, 6035),
            build(|bed| {
                vec![
                    bed.flash_borrow(USDC, LOAN),
                    bed.flash_borrow(SOL, LOAN),
                    bed.flash_repay(USDC, LOAN, 0),
                    bed.flash_repay(SOL, LOAN, 1),
                ]
            }),
        ),
        (
            "two repayments",
            Custom(0, 6035),
            build(|bed| {
                vec![
                    bed.flash_borrow(USDC, LOAN),
                    bed.flash_repay(USDC, LOAN, 0),
                    bed.flash_repay(USDC, LOAN, 0),
                ]
            }),
        ),
        (
            "two pairs",
            Custom(0, 6035),
            build(|bed| {
                vec![
                    bed.flash_borrow(USDC, LOAN),
                    bed.flash_repay(USDC, LOAN, 0),
                    bed.flash_borrow(USDC, LOAN),
                    bed.flash_repay(USDC, LOAN, 2),
                ]
            }),
        ),
        (
            "another reserve repaid",
            Custom(0, 6033),
            build(|bed| vec![bed.flash_borrow(USDC, LOAN), bed.flash_repay(SOL, LOAN, 0)]),
        ),
        (
            "one account more at the repayment",
            Custom(0, 6033),
            build(|bed| {
                let mut repay = bed.flash_repay(USDC, LOAN, 0);
                repay.accounts.push(writable(*USDC));
                vec![bed.flash_borrow(USDC, LOAN), repay]
            }),
        ),
        (
            "one account more at both",
            Done,
            build(|bed| {
                let mut pair = vec![bed.flash_borrow(USDC, LOAN), bed.flash_repay(USDC, LOAN, 0)];
                for half in &mut pair {
                    half.accounts.push(writable(*USDC));
                }
                pair
            }),
        ),
        (
            "trailing data at the repayment",
            Failed(0, InstructionError::BorshIoError),
            build(|bed| {
                let mut repay = bed.flash_repay(USDC, LOAN, 0);
                repay.data.push(0);
                vec![bed.flash_borrow(USDC, LOAN), repay]
            }),
        ),
        (
            "trailing data at the borrow",
            Done,
            build(|bed| {
                let mut borrow = bed.flash_borrow(USDC, LOAN);
                borrow.data.push(0);
                vec![borrow, bed.flash_repay(USDC, LOAN, 0)]
            }),
        ),
        (
            "referrer's accounts of the wrong kind",
            Custom(0, 3007),
            build(|bed| {
                let mut pair = vec![bed.flash_borrow(USDC, LOAN), bed.flash_repay(USDC, LOAN, 0)];
                for half in &mut pair {
                    half.accounts[8].pubkey = bed.owner_key();
                    half.accounts[9].pubkey = bed.owner_key();
                }
                pair
            }),
        ),
        (
            "the vault as the borrower's account",
            Custom(0, 6006),
            build(|bed| {
                let mut pair = vec![bed.flash_borrow(USDC, LOAN), bed.flash_repay(USDC, LOAN, 0)];
                for half in &mut pair {
                    half.accounts[6].pubkey = half.accounts[5].pubkey;
                }
                pair
            }),
        ),
    ] {
        twins.case(what, expected, |_| (), build);
    }
    twins.finish();
}

/// `update_reserve_config` for the fee of flash loans, signed by the liquidator.
fn set_fee(bed: &Bed, fee: u64) -> Instruction {
    let mut data = klend_stand_in::discriminator::UPDATE_RESERVE_CONFIG.to_vec();
    data.push(6);
    data.extend(8_u32.to_le_bytes());
    data.extend(fee.to_le_bytes());
    data.push(0);
    let readonly = solana_instruction_v2::AccountMeta::new_readonly;
    Instruction {
        program_id: KLEND_PROGRAM_ID,
        accounts: vec![
            readonly(bed.liquidator_key(), true),
            readonly(pda::global_config(&KLEND_PROGRAM_ID).0, false),
            readonly(MARKET, false),
            writable(*USDC),
            readonly(SYSVAR_INSTRUCTIONS_ID, false),
        ],
        data,
    }
}

/// Makes `admin` the global administrator.
fn administer(bed: &mut Bed, admin: &Pubkey) {
    use klend_interface::state::{GlobalConfig, SplDiscriminate as _};

    let mut data = vec![0; BODY + size_of::<GlobalConfig>()];
    data[..BODY].copy_from_slice(GlobalConfig::SPL_DISCRIMINATOR_SLICE);
    data[BODY..BODY + 32].copy_from_slice(&admin.to_bytes());
    let key = pda::global_config(&KLEND_PROGRAM_ID).0;
    let owner = address(&KLEND_PROGRAM_ID);
    let account =
        solana_account::Account { lamports: 10_000_000, data, owner, ..Default::default() };
    bed.svm.set_account(address(&key), account).expect("an account");
}

/// The administrator sets the fee of flash loans; what counts is what it is at the repay.
#[test]
fn the_fee_may_change_during_a_loan() {
    let Some(mut twins) = Twins::new() else {
        return;
    };
    const LOAN: u64 = 1_000 * USDC_UNITS;
    twins.both(|bed| {
        let liquidator = bed.liquidator_key();
        let mint = bed.reserve(USDC).liquidity.mint_pubkey;
        bed.fund(&liquidator, &mint, 2 * LOAN);
        administer(bed, &liquidator);
    });
    for (fee, expected) in [
        (0, Done),
        (1 << 57, Done),
        (1 << 60, Custom(2, 6012)),
        ((1 << 60) + 1, Custom(1, 6004)),
        (u64::MAX, Custom(2, 6012)),
    ] {
        twins.case(
            &format!("fee {fee} set between"),
            expected,
            |_| (),
            |bed| {
                let repay = bed.flash_repay(USDC, LOAN, 0);
                vec![bed.flash_borrow(USDC, LOAN), set_fee(bed, fee), repay]
            },
        );
    }
    twins.case(
        "somebody else is the administrator",
        Custom(0, 6005),
        |bed| {
            let owner = bed.owner_key();
            administer(bed, &owner);
        },
        |bed| vec![set_fee(bed, 0)],
    );
    let build = |build: fn(&mut Instruction)| build;
    for (what, expected, change) in [
        ("who does not sign", 3010, build(|ix| ix.accounts[0].is_signer = false)),
        ("another configuration", 3007, build(|ix| ix.accounts[1].pubkey = SCOPE_FEED)),
        ("reserve as the market", 3002, build(|ix| ix.accounts[2].pubkey = *SOL)),
        ("market as the reserve", 3002, build(|ix| ix.accounts[3].pubkey = MARKET)),
        ("reserve read-only", 2000, build(|ix| ix.accounts[3].is_writable = false)),
        ("two accounts less", 3005, build(|ix| ix.accounts.truncate(3))),
        ("value cut short", 102, build(|ix| ix.data.truncate(12))),
        ("validation skipped in use", 6004, build(|ix| ix.data[21] = 1)),
    ] {
        twins.case(
            what,
            Custom(0, expected),
            |_| (),
            |bed| {
                let mut instruction = set_fee(bed, 0);
                change(&mut instruction);
                vec![instruction]
            },
        );
    }
    for (what, expected, change) in [
        ("without the sysvar", 3005, build(|ix| ix.accounts.truncate(4))),
        ("another sysvar", 2012, build(|ix| ix.accounts[4].pubkey = SCOPE_FEED)),
    ] {
        twins.newer_case(
            what,
            Custom(0, expected),
            |_| (),
            |bed| {
                let mut instruction = set_fee(bed, 0);
                change(&mut instruction);
                vec![instruction]
            },
        );
    }
    twins.finish();
}
