//! Two faults at once: which error comes first.

use super::*;

/// Something that is wrong with an instruction or its accounts.
struct Fault {
    name: &'static str,
    prepare: fn(&mut Bed),
    change: fn(&Bed, &mut Vec<Instruction>),
}

fn state_fault(name: &'static str, prepare: fn(&mut Bed)) -> Fault {
    Fault { name, prepare, change: |_, _| () }
}

fn call_fault(name: &'static str, change: fn(&Bed, &mut Vec<Instruction>)) -> Fault {
    Fault { name, prepare: |_| (), change }
}

/// Every pair of faults at once: which one is reported must be klend's choice,
/// so this needs the real program.
fn two_faults(twins: &mut Twins, faults: &[Fault], build: fn(&Bed) -> Vec<Instruction>) {
    if twins.real.is_none() {
        return;
    }
    for (index, first) in faults.iter().enumerate() {
        for second in &faults[index..] {
            let mut branch = twins.clone();
            branch.failures.clear();
            branch.both(first.prepare);
            branch.both(second.prepare);
            branch.agree(&format!("{} and {}", first.name, second.name), |bed| {
                let mut all = build(bed);
                (first.change)(bed, &mut all);
                (second.change)(bed, &mut all);
                all
            });
            twins.failures.append(&mut branch.failures);
        }
    }
}

fn last(all: &mut [Instruction]) -> &mut Instruction {
    all.last_mut().expect("an instruction")
}

#[test]
fn two_faults_of_a_liquidation() {
    let Some(mut twins) = Twins::underwater() else {
        return;
    };
    let faults = [
        state_fault("market stopped", |bed| bed.patch(&MARKET, market::EMERGENCY, &[1])),
        state_fault("old version", |bed| bed.patch(USDC, reserve::VERSION, &[0])),
        state_fault("obsolete", |bed| bed.patch(SOL, reserve::STATUS, &[1])),
        state_fault("threshold zero", |bed| bed.patch(SOL, reserve::THRESHOLD_PCT, &[0])),
        state_fault("debt's price blocked", |bed| {
            bed.patch(USDC, reserve::BLOCK_PRICE_USAGE, &[1]);
        }),
        state_fault("healthy", |bed| bed.scale_prices(&[0, 52], 2, 1)),
        state_fault("worthless collateral", worthless_collateral),
        state_fault("worthless debt", worthless_debt),
        state_fault("small debt", |bed| patch_u64(bed, &MARKET, market::MIN_FULL, 1_000_000)),
        state_fault("poor liquidator", |bed| {
            let liquidator = bed.liquidator_key();
            let mint = bed.reserve(USDC).liquidity.mint_pubkey;
            bed.fund(&liquidator, &mint, 0);
        }),
        state_fault("collateral behind another", |bed| {
            let obligation = bed.obligation_key();
            patch_u64(bed, &obligation, 1176, 10);
            patch_u64(bed, &MARKET, market::SKIP_LTV_CHECKS, u64::MAX >> 8);
        }),
        call_fault("nothing offered", |_, all| last(all).data[8..16].fill(0)),
        call_fault("too much demanded", |_, all| last(all).data[16..24].fill(255)),
        call_fault("obligation stale", |_, all| {
            if all.len() == 4 {
                all.remove(2);
            }
        }),
        call_fault("not refreshed", |_, all| {
            let keep = all.pop().expect("an instruction");
            all.clear();
            all.push(keep);
        }),
        call_fault("farm accounts missing", |_, all| {
            last(all).accounts[20].pubkey = klend_interface::KLEND_PROGRAM_ID;
        }),
        call_fault("vault as source", |_, all| {
            last(all).accounts[13].pubkey = last(all).accounts[6].pubkey;
        }),
        call_fault("collateral as debt", |_, all| {
            for (to, from) in [(4, 7), (5, 8), (6, 11)] {
                last(all).accounts[to].pubkey = last(all).accounts[from].pubkey;
            }
        }),
        call_fault("debt as collateral", |bed, all| {
            let usdc = bed.reserve(USDC);
            let keys = [
                *USDC,
                usdc.liquidity.mint_pubkey,
                usdc.collateral.mint_pubkey,
                usdc.collateral.supply_vault,
                usdc.liquidity.supply_vault,
                usdc.liquidity.fee_vault,
            ];
            for (index, key) in keys.into_iter().enumerate() {
                last(all).accounts[7 + index].pubkey = key;
            }
        }),
    ];
    twins.both(|bed| {
        let owner = bed.owner_key();
        let mint = bed.reserve(SOL).liquidity.mint_pubkey;
        bed.fund(&owner, &mint, LAMPORTS);
    });
    twins.both(|bed| {
        bed.warp(2);
        bed.restamp_prices();
    });
    two_faults(&mut twins, &faults, |bed| liquidate(bed, 1_000 * USDC_UNITS));
    twins.finish();
}

#[test]
fn two_faults_of_a_borrow_or_a_deposit() {
    let Some(mut twins) = Twins::with_position() else {
        return;
    };
    twins.both(|bed| {
        let owner = bed.owner_key();
        let mint = bed.reserve(SOL).liquidity.mint_pubkey;
        bed.fund(&owner, &mint, 10 * LAMPORTS);
    });
    let amount: fn(&Bed, &mut Vec<Instruction>) = |_, all| last(all).data[8..16].fill(0);
    let huge: fn(&Bed, &mut Vec<Instruction>) = |_, all| last(all).data[8..15].fill(255);
    let stale: fn(&Bed, &mut Vec<Instruction>) = |_, all| drop(all.remove(1));
    let unrefreshed: fn(&Bed, &mut Vec<Instruction>) = |_, all| drop(all.remove(2));
    let stranger: fn(&Bed, &mut Vec<Instruction>) = |bed, all| {
        last(all).accounts[0].pubkey = bed.payer_key();
    };
    let borrow_faults = [
        state_fault("borrowing off", |bed| bed.patch(&MARKET, market::BORROW_DISABLED, &[1])),
        state_fault("old version", |bed| bed.patch(USDC, reserve::VERSION, &[0])),
        state_fault("obsolete", |bed| bed.patch(USDC, reserve::STATUS, &[1])),
        state_fault("price blocked", |bed| bed.patch(USDC, reserve::BLOCK_PRICE_USAGE, &[1])),
        state_fault("collateral's price blocked", |bed| {
            bed.patch(SOL, reserve::BLOCK_PRICE_USAGE, &[1]);
        }),
        state_fault("limit", |bed| patch_u64(bed, USDC, reserve::BORROW_LIMIT, 1)),
        state_fault("limit outside groups", |bed| {
            patch_u64(bed, USDC, reserve::LIMIT_OUTSIDE_GROUPS, 1);
        }),
        state_fault("utilisation", |bed| bed.patch(USDC, reserve::UTILIZATION_LIMIT, &[1])),
        state_fault("matured", |bed| patch_u64(bed, USDC, reserve::MATURITY, 1)),
        state_fault("term over", |bed| {
            patch_u64(bed, USDC, reserve::TERM, 10);
            let obligation = bed.obligation_key();
            patch_u64(bed, &obligation, obligation::LAST_BORROWED, 100);
        }),
        state_fault("cap", |bed| {
            let cap = [1i64, 0, now(bed) as i64, 1_000].map(i64::to_le_bytes).concat();
            bed.patch(USDC, reserve::DEBT_CAP, &cap);
        }),
        state_fault("queue", |bed| {
            let all = bed.reserve(USDC).collateral.mint_total_supply;
            patch_u64(bed, USDC, reserve::QUEUED, all);
        }),
        state_fault("global limit", |bed| patch_u64(bed, &MARKET, market::GLOBAL_ALLOWED, 1)),
        state_fault("worthless collateral", worthless_collateral),
        call_fault("nothing", amount),
        call_fault("too much", huge),
        call_fault("reserve stale", stale),
        call_fault("obligation stale", unrefreshed),
        call_fault("stranger", stranger),
    ];
    twins.both(|bed| {
        bed.warp(1);
        bed.restamp_prices();
    });
    two_faults(&mut twins, &borrow_faults, |bed| borrow(bed, USDC, USDC_UNITS));
    let deposit_faults = [
        state_fault("old version", |bed| bed.patch(SOL, reserve::VERSION, &[0])),
        state_fault("obsolete", |bed| bed.patch(SOL, reserve::STATUS, &[1])),
        state_fault("limit", |bed| patch_u64(bed, SOL, reserve::DEPOSIT_LIMIT, 1)),
        state_fault("cap", |bed| {
            let cap = [1i64, 0, now(bed) as i64 + 5, 1_000].map(i64::to_le_bytes).concat();
            bed.patch(SOL, reserve::DEPOSIT_CAP, &cap);
        }),
        state_fault("only in groups", |bed| {
            bed.patch(SOL, reserve::NO_COLLATERAL_OUTSIDE_GROUP, &[1]);
        }),
        call_fault("nothing", amount),
        call_fault("too much", huge),
        call_fault("reserve stale", |_, all| drop(all.remove(0))),
        call_fault("reserve stale, too", stale),
        call_fault("obligation stale", unrefreshed),
        call_fault("stranger", stranger),
        call_fault("no farm", |_, all| {
            last(all).accounts[14].pubkey = klend_interface::KLEND_PROGRAM_ID;
        }),
    ];
    two_faults(&mut twins, &deposit_faults, |bed| deposit(bed, SOL, LAMPORTS));
    twins.finish();
}

#[test]
fn two_faults_of_a_flash_loan() {
    let Some(mut twins) = Twins::new() else {
        return;
    };
    twins.both(|bed| {
        let liquidator = bed.liquidator_key();
        let mint = bed.reserve(USDC).liquidity.mint_pubkey;
        bed.fund(&liquidator, &mint, 10 * USDC_UNITS);
    });
    let faults = [
        state_fault("market stopped", |bed| bed.patch(&MARKET, market::EMERGENCY, &[1])),
        state_fault("old version", |bed| bed.patch(USDC, reserve::VERSION, &[0])),
        state_fault("obsolete", |bed| bed.patch(USDC, reserve::STATUS, &[1])),
        state_fault("disabled", |bed| patch_u64(bed, USDC, reserve::FLASH_FEE_SF, u64::MAX)),
        state_fault("guarded account", |bed| {
            bed.make_token_2022(USDC, &[(9, vec![])]);
            let liquidator = bed.liquidator_key();
            let mint = bed.reserve(USDC).liquidity.mint_pubkey;
            bed.fund(&liquidator, &mint, 10 * USDC_UNITS);
        }),
        state_fault("empty", |bed| patch_u64(bed, USDC, reserve::AVAILABLE, 0)),
        state_fault("poor borrower", |bed| {
            let liquidator = bed.liquidator_key();
            let mint = bed.reserve(USDC).liquidity.mint_pubkey;
            bed.fund(&liquidator, &mint, 0);
        }),
        call_fault("no repayment", |_, all| drop(all.pop())),
        call_fault("called by another program", |_, all| {
            all[0] = through_another_program(all[0].clone());
        }),
        call_fault("vault as destination", |_, all| {
            for half in all.iter_mut() {
                half.accounts[6].pubkey = half.accounts[5].pubkey;
            }
        }),
        call_fault("another amount", |_, all| last(all).data[8] ^= 1),
        call_fault("another index", |_, all| {
            if let Some(index) = last(all).data.get_mut(16) {
                *index += 1;
            }
        }),
        call_fault("no signature", |_, all| last(all).accounts[0].is_signer = false),
        call_fault("wrong authority", |bed, all| {
            for half in all.iter_mut() {
                half.accounts[1].pubkey = bed.payer_key();
            }
        }),
    ];
    two_faults(&mut twins, &faults, |bed| {
        vec![bed.flash_borrow(USDC, 2_000_000), bed.flash_repay(USDC, 2_000_000, 0)]
    });
    twins.finish();
}
