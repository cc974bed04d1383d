//! Transactions bent at random: each ends in an error that says what is wrong, or
//! in a success in which all invariants hold.

use anchor_lang::Discriminator;
use flash_liquidator::instruction::{Liquidate, Open, Settle};
use flash_liquidator_client::{
    decode::{Cause, Executed, decode},
    receiver,
};
use flash_liquidator_tests::{Invariants, Plan, Stage, bracket, stage::LOAN};
use klend_fork::{ForkError, TOKEN_PROGRAM_ID};
use solana_address::Address;
use solana_instruction::{AccountMeta, Instruction, error::InstructionError};
use solana_signer::Signer;

use crate::dice::{Dice, play};

/// What is bent: liquidations of each kind, and a bracket.
fn plans(stage: &mut Stage) -> Vec<Plan> {
    let sold = stage.sold();
    let through_authority = stage.sold_through_authority();
    let unsold = stage.unsold();
    let guard = stage.token_account(&stage.keeper.pubkey(), &stage.sol);
    let mut bracketed = sold.clone();
    let borrow = bracketed.borrow().clone();
    let (open_at, settle_at) = (bracketed.borrow_index() + 1, bracketed.repay_index());
    bracketed.instructions.insert(settle_at, bracket::settle(&borrow, &[guard]));
    let bracketed = bracketed.insert(open_at, bracket::open(&borrow, &[guard]));
    vec![sold, through_authority, unsold, bracketed]
}

/// Bends one thing.
fn bend(instructions: &mut Vec<Instruction>, keys: &[Address], dice: &mut Dice) {
    // Ours and the loan, more often than refreshes and the budget.
    let favourite = |ix: &Instruction| {
        ix.program_id == receiver::PROGRAM_ID || ix.accounts.len() == 12 && ix.data.len() <= 17
    };
    let favourites: Vec<_> =
        (0..instructions.len()).filter(|index| favourite(&instructions[*index])).collect();
    let index = if favourites.is_empty() || dice.one_in(5) {
        dice.in_range(0..instructions.len())
    } else {
        *dice.pick(&favourites)
    };
    let what = dice.in_range(0..16);
    if what == 0 && instructions.len() > 1 {
        instructions.remove(index);
        return;
    }
    if what == 1 {
        let copy = instructions[index].clone();
        instructions.insert(dice.in_range(0..instructions.len() + 1), copy);
        return;
    }
    if what == 2 {
        let moved = instructions.remove(index);
        instructions.insert(dice.in_range(0..instructions.len() + 1), moved);
        return;
    }
    let instruction = &mut instructions[index];
    let (accounts, data) = (&mut instruction.accounts, &mut instruction.data);
    match what {
        3 | 4 if !data.is_empty() => {
            let position = dice.in_range(0..data.len());
            data[position] ^= 1 << dice.in_range(0..8);
        }
        5 | 6 if !data.is_empty() => {
            let position = dice.in_range(0..data.len());
            data[position] = *dice.pick(&[0, 1, 2, 127, 128, 255]);
        }
        7 if data.len() >= 16 => {
            let position = dice.in_range(8..data.len() - 7);
            let number = *dice.pick(&[0, 1, u64::MAX, i64::MAX as u64, 1 << 63, LOAN]);
            data[position..position + 8].copy_from_slice(&number.to_le_bytes());
        }
        8 => {
            let len = dice.in_range(0..data.len() + 4);
            data.resize(len, 0);
        }
        9..=11 if !accounts.is_empty() => {
            let position = dice.in_range(0..accounts.len());
            accounts[position].pubkey = *dice.pick(keys);
        }
        12 if !accounts.is_empty() => {
            let (a, b) = (dice.in_range(0..accounts.len()), dice.in_range(0..accounts.len()));
            accounts.swap(a, b);
        }
        13 if !accounts.is_empty() => {
            let position = dice.in_range(0..accounts.len());
            if dice.one_in(2) {
                accounts.remove(position);
            } else {
                accounts.insert(position, AccountMeta::new(*dice.pick(keys), false));
            }
        }
        14 if !accounts.is_empty() => {
            let position = dice.in_range(0..accounts.len());
            let meta = &mut accounts[position];
            if dice.one_in(2) {
                meta.is_writable = !meta.is_writable;
            } else {
                meta.is_signer = !meta.is_signer;
            }
        }
        15 => instruction.program_id = *dice.pick(keys),
        _ => {}
    }
}

/// The keeper signed to pay this much for a loan, whether it is used or not.
const MOST_FLASH_FEE: u64 = LOAN / 10_000;

#[test]
fn bent_transactions_fail_with_a_reason_or_keep_every_invariant() {
    let mut stage = Stage::new();
    let keeper = stage.keeper.pubkey();
    stage.give(&keeper, &stage.usdc.clone(), 3 * LOAN);
    stage.give(&keeper, &stage.sol.clone(), 50_000_000_000);
    stage.give(&stage.thief.pubkey(), &stage.usdc.clone(), LOAN);
    let plans = plans(&mut stage);
    let mut keys: Vec<Address> = plans
        .iter()
        .flat_map(|plan| &plan.instructions)
        .flat_map(|ix| ix.accounts.iter().map(|meta| meta.pubkey).chain([ix.program_id]))
        .collect();
    keys.sort_unstable();
    keys.dedup();
    let thief = stage.thief.pubkey();
    keys.extend([
        thief,
        stage.token_account(&thief, &stage.sol),
        stage.token_account(&thief, &stage.usdc),
        TOKEN_PROGRAM_ID,
        Address::default(),
        Address::new_from_array([77; 32]),
    ]);
    // One table for all cases.
    let everything = Instruction {
        program_id: receiver::PROGRAM_ID,
        accounts: keys.iter().map(|key| AccountMeta::new(*key, false)).collect(),
        data: Vec::new(),
    };
    let table = stage.world.table_for(&[everything], &keeper).unwrap();
    let debt = stage.token_account(&keeper, &stage.usdc);

    let (mut succeeded, mut refused_by_us, mut refused_by_others, mut unsendable) = (0, 0, 0, 0);
    play("transactions", 1_500, 0.6, |_, dice| {
        let mut instructions = dice.pick(&plans).instructions.clone();
        for _ in 0..dice.in_range(1..4) {
            if !instructions.is_empty() {
                bend(&mut instructions, &keys, dice);
            }
        }
        let mut stage = stage.clone();
        let signers = [&stage.keeper, &stage.thief];
        let Ok(transaction) =
            stage.world.sign_v0(&instructions, &signers, std::slice::from_ref(&table))
        else {
            unsendable += 1;
            return;
        };
        let agreed = |invariants: Invariants| invariants.may_lose(&debt, MOST_FLASH_FEE);
        match stage.send_transaction(transaction, agreed) {
            Ok(_) => succeeded += 1,
            Err(ForkError::Failed(failure)) => {
                let decoded = decode(
                    &Executed {
                        error: Some(&failure.error),
                        logs: &failure.outcome.logs,
                        programs: &[],
                    },
                    None,
                );
                let cause = decoded.outcome.failure().expect("a failure").cause.clone();
                assert!(!cause.explain().sentence.is_empty(), "{cause:?}");
                match cause {
                    Cause::Receiver(_) | Cause::Unprofitable { .. } => refused_by_us += 1,
                    Cause::Instruction {
                        program: Some(program),
                        error: InstructionError::ProgramFailedToComplete,
                    } if program == receiver::PROGRAM_ID => assert!(
                        failure.outcome.logs.iter().any(|line| is_bad_bump(line)),
                        "the program did not end by itself: {failure}"
                    ),
                    _ => refused_by_others += 1,
                }
            }
            Err(error) => panic!("{error}"),
        }
    });
    println!(
        "{succeeded} succeeded, {refused_by_us} refused by the program, {refused_by_others} by \
         others, {unsendable} could not be signed"
    );
    assert!(refused_by_us > 0 && refused_by_others > 0);
}

/// The runtime's words for seeds and a bump that give no address.
fn is_bad_bump(line: &str) -> bool {
    line.contains("Could not create program address")
}

#[test]
fn bending_reaches_every_kind_of_instruction() {
    let mut stage = Stage::new();
    let plans = plans(&mut stage);
    for discriminator in [Liquidate::DISCRIMINATOR, Open::DISCRIMINATOR, Settle::DISCRIMINATOR] {
        let all = plans.iter().flat_map(|plan| &plan.instructions);
        assert!(all.into_iter().any(|ix| ix.data.starts_with(discriminator)));
    }
}
