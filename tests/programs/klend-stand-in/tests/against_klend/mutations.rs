//! Instructions with one account or byte changed.

use super::*;

/// Every account of an instruction in turn replaced by something else, made
/// read-only, not signing, or left out; and the data cut short. The outcome,
/// whatever it is, must be klend's, so this needs the real program.
fn mutate(twins: &mut Twins, what: &str, at: usize, build: impl Fn(&Bed) -> Vec<Instruction>) {
    if twins.real.is_none() {
        return;
    }
    let original = build(&twins.stand_in);
    let payer = twins.stand_in.payer_key();
    let replacements = [
        klend_interface::KLEND_PROGRAM_ID,
        klend_interface::TOKEN_PROGRAM_ID,
        klend_interface::SYSVAR_RENT_ID,
        Pubkey::new_from_array([77; 32]),
        payer,
        MARKET,
        *USDC,
        *SOL,
        twins.stand_in.obligation_key(),
        twins.stand_in.reserve(USDC).liquidity.mint_pubkey,
        twins.stand_in.reserve(USDC).liquidity.supply_vault,
        twins.stand_in.reserve(SOL).liquidity.fee_vault,
        twins.stand_in.reserve(SOL).collateral.mint_pubkey,
        SOL_FARM,
    ];
    let mut variants: Vec<(String, Vec<Instruction>)> = Vec::new();
    let mut push = |name: String, change: &dyn Fn(&mut Instruction)| {
        let mut all = original.clone();
        change(&mut all[at]);
        variants.push((format!("{what}: {name}"), all));
    };
    for index in 0..original[at].accounts.len() {
        for replacement in replacements {
            push(format!("account {index} is {replacement}"), &|ix| {
                ix.accounts[index].pubkey = replacement;
                ix.accounts[index].is_signer &= replacement == payer;
            });
        }
        push(format!("account {index} read-only"), &|ix| {
            ix.accounts[index].is_writable = false;
        });
        push(format!("account {index} not signing"), &|ix| {
            ix.accounts[index].is_signer = false;
        });
        push(format!("only {index} accounts"), &|ix| ix.accounts.truncate(index));
    }
    for length in 0..original[at].data.len() {
        push(format!("{length} bytes of data"), &|ix| ix.data.truncate(length));
    }
    for (name, all) in variants {
        let mut branch = twins.clone();
        branch.failures.clear();
        branch.agree(&name, |_| all.clone());
        twins.failures.append(&mut branch.failures);
    }
}

#[test]
fn mutated_flash_loans() {
    let Some(mut twins) = Twins::new() else {
        return;
    };
    twins.both(|bed| {
        let liquidator = bed.liquidator_key();
        let mint = bed.reserve(USDC).liquidity.mint_pubkey;
        bed.fund(&liquidator, &mint, 10 * USDC_UNITS);
    });
    let pair =
        |bed: &Bed| vec![bed.flash_borrow(USDC, USDC_UNITS), bed.flash_repay(USDC, USDC_UNITS, 0)];
    mutate(&mut twins, "flash borrow", 0, pair);
    mutate(&mut twins, "flash repay", 1, pair);
    twins.finish();
}

#[test]
fn mutated_refreshes() {
    let Some(mut twins) = Twins::with_position() else {
        return;
    };
    twins.both(|bed| {
        bed.warp(4);
        bed.restamp_prices();
    });
    mutate(&mut twins, "refresh reserve", 0, |bed| vec![bed.refresh_reserve(USDC)]);
    mutate(&mut twins, "refresh obligation", 2, |bed| bed.refresh_all(&[]));
    mutate(&mut twins, "refresh obligation again", 3, |bed| {
        let mut all = bed.refresh_all(&[]);
        all.push(bed.refresh_obligation());
        all
    });
    mutate(&mut twins, "refresh batch", 0, |bed| {
        let accounts = bed.refresh_reserve(USDC).accounts;
        vec![klend_interface::instructions::refresh::refresh_reserves_batch(false, accounts)]
    });
    mutate(&mut twins, "refresh farm", 0, |bed| vec![bed.refresh_farm(SOL, 0)]);
    twins.finish();
}

#[test]
fn mutated_liquidations() {
    let Some(mut twins) = Twins::underwater() else {
        return;
    };
    mutate(&mut twins, "liquidate", 3, |bed| liquidate(bed, 1_000_003));
    twins.finish();
}

#[test]
fn mutated_deposits_and_borrows() {
    let Some(mut twins) = Twins::with_position() else {
        return;
    };
    twins.both(|bed| {
        let owner = bed.owner_key();
        let mint = bed.reserve(SOL).liquidity.mint_pubkey;
        bed.fund(&owner, &mint, LAMPORTS);
    });
    mutate(&mut twins, "deposit", 3, |bed| deposit(bed, SOL, LAMPORTS));
    mutate(&mut twins, "borrow", 3, |bed| borrow(bed, USDC, USDC_UNITS));
    twins.finish();
}

#[test]
fn mutated_beginnings() {
    let Some(mut twins) = Twins::new() else {
        return;
    };
    mutate(&mut twins, "init user metadata", 0, |bed| bed.init_obligation()[..1].to_vec());
    mutate(&mut twins, "init obligation", 1, |bed| bed.init_obligation());
    twins.send("init obligation", Done, |bed| bed.init_obligation());
    mutate(&mut twins, "init farm", 0, |bed| vec![bed.init_farm(SOL, 0)]);
    twins.finish();
}

#[test]
fn mutated_ctoken_operations() {
    let Some(mut twins) = Twins::with_ctokens() else {
        return;
    };
    mutate(&mut twins, "deposit liquidity", 1, |bed| {
        vec![bed.refresh_reserve(SOL), bed.deposit_reserve_liquidity(SOL, LAMPORTS)]
    });
    mutate(&mut twins, "deposit collateral", 3, |bed| {
        let mut all = bed.refresh_all(&[*SOL]);
        all.push(bed.deposit_obligation_collateral(SOL, LAMPORTS));
        all
    });
    mutate(&mut twins, "redeem", 1, |bed| {
        vec![bed.refresh_reserve(SOL), bed.redeem(SOL, LAMPORTS)]
    });
    twins.finish();
}
