//! Where execution begins, in the virtual machine: however many accounts there are and
//! whatever they hold, the program ends by itself, and what it reads is what is there.

use anchor_lang::AnchorDeserialize;
use flash_liquidator::{
    Liquidated,
    entrypoint::{LIQUIDATE, OPEN, SETTLE},
    errors::InterfaceError,
};
use flash_liquidator_client::receiver;
use flash_liquidator_tests::{
    Plan, Stage,
    plan::account::{REMAINING, SWAP_COLLATERAL},
    stage::Runtime,
};
use klend_fork::Outcome;
use solana_account::Account;
use solana_address::Address;
use solana_instruction::{AccountMeta, Instruction, error::InstructionError};
use solana_sdk_ids::system_program;
use solana_signer::Signer;
use solana_transaction_error::TransactionError;
use swap_stand_in::Variant;

use crate::{
    adversarial,
    attack::{Sent, ending},
    bracket,
};

/// Most accounts of an instruction.
const MOST: usize = 255;
/// Most bytes that a program may add to an account within an instruction.
const MOST_GROWTH: u64 = 10_240;

/// The program's own error number.
fn code(sent: &Sent) -> u32 {
    let failure = sent.as_ref().err().and_then(|error| error.failure());
    match failure.map(|failure| &failure.error) {
        Some(TransactionError::InstructionError(_, InstructionError::Custom(code))) => *code,
        _ => panic!("the program did not end by itself: {}", ending(sent)),
    }
}

fn call(stage: &mut Stage, accounts: Vec<AccountMeta>, data: Vec<u8>) -> Sent {
    stage.send(&[Instruction { program_id: receiver::PROGRAM_ID, accounts, data }])
}

/// Data of every instruction that there is, complete, and of none.
fn data() -> Vec<Vec<u8>> {
    let stage = &mut Stage::new();
    let liquidate = stage.sold().liquidate().data.clone();
    let plan = bracket::bracketed(stage, &[]);
    let open = plan.instructions[plan.index_of(&OPEN)].data.clone();
    let known = [liquidate, open, SETTLE.to_vec(), LIQUIDATE.to_vec()];
    known.into_iter().chain([Vec::new(), vec![0], vec![255; 64]]).collect()
}

#[test]
fn any_number_of_accounts_ends_in_an_error_of_the_program() {
    for data in data() {
        for count in [0, 1, 29, 30, 31, 64, 128, MOST] {
            let mut stage = Stage::new();
            let keeper = stage.keeper.pubkey();
            // All of them duplicates of one.
            let same = vec![AccountMeta::new(keeper, true); count];
            let duplicates = code(&call(&mut stage, same, data.clone()));
            // As many different ones as a transaction locks, again and again.
            let several = (0..count).map(|number| {
                let key = Address::new_from_array([(number % 60) as u8; 32]);
                AccountMeta::new_readonly(if number == 0 { keeper } else { key }, number == 0)
            });
            let different = code(&call(&mut stage, several.collect(), data.clone()));
            if count == 0 && data.len() > LIQUIDATE.len() && data[..8] != [255; 8] {
                let missing = InterfaceError::AccountNotEnoughKeys as u32;
                assert_eq!((duplicates, different), (missing, missing));
            }
        }
    }
}

#[test]
fn an_account_without_data_is_refused_in_every_place() {
    let (mut liquidation, mut between) = (Stage::new(), Stage::new());
    let sold = liquidation.sold();
    let bracketed = bracket::bracketed(&mut between, &[]);
    let (liquidate, open) = (sold.liquidate_index(), bracketed.index_of(&OPEN));
    for (stage, plan, index) in [(liquidation, sold, liquidate), (between, bracketed, open)] {
        for position in 0..plan.instructions[index].accounts.len().min(REMAINING) {
            let mut stage = stage.clone();
            let empty = Address::new_unique();
            let mut plan: Plan = plan.clone();
            let meta = &mut plan.instructions[index].accounts[position];
            // The keeper must sign, and programs be there to be called.
            let there = stage.world.account(&meta.pubkey);
            if meta.is_signer || there.is_some_and(|account| account.executable) {
                continue;
            }
            let wallet =
                Account { lamports: 10_000_000, owner: system_program::ID, ..Account::default() };
            stage.put(&empty, wallet);
            meta.pubkey = empty;
            match stage.send(&plan.instructions) {
                // Nothing is read of an account whose address alone counts.
                Ok(_) => panic!("an account without data gets through at {position}"),
                Err(error) => {
                    let failure = error.failure().expect("a transaction that was executed");
                    let ended = format!("{:?}", failure.error);
                    assert!(!ended.contains("ProgramFailedToComplete"), "{position}: {failure}");
                }
            }
        }
    }
}

/// A liquidation's event with a leg like this.
fn event(outcome: &Outcome) -> Liquidated {
    let data = outcome.data_of(&receiver::PROGRAM_ID).next().expect("an event");
    Liquidated::try_from_slice(&data[8..]).expect("a Liquidated event")
}

#[test]
fn an_instruction_may_have_255_accounts() {
    let mut stage = Stage::new();
    let mint = stage.mint(&stage.usdc);
    let mut plan = stage.sold();
    let more = MOST - plan.liquidate().accounts.len();
    let again = std::iter::repeat_n(AccountMeta::new_readonly(mint, false), more);
    let expected = event(&stage.clone().send(&plan.instructions).unwrap());
    let mut plan = plan
        .remaining(again)
        .args(|args| args.legs[0].account_count += u8::try_from(more).unwrap());
    assert_eq!(plan.liquidate().accounts.len(), MOST);
    assert_eq!(event(&stage.send(&plan.instructions).unwrap()), expected);
}

/// What stands behind the account in memory is read where it is.
#[test]
fn an_account_may_grow_by_10_kilobytes_inside_a_leg() {
    let mut stage = Stage::new();
    let pool = stage.pool.pool;
    let mut rich = stage.account(&pool);
    rich.lamports = 1_000_000_000;
    stage.put(&pool, rich);
    let len = stage.account(&pool).data.len();
    let grow = |stage: &mut Stage, bytes| {
        let data = swap_stand_in::swap_data(Variant::Grow, 0, 0, bytes);
        let mut plan = stage.sold_through_authority().args(|args| args.legs[0].data = data);
        let leg = &mut plan.liquidate().accounts[REMAINING..];
        leg.iter_mut().find(|meta| meta.pubkey == pool).expect("the pool").is_writable = true;
        stage.send(&plan.instructions)
    };
    let plan = stage.sold_through_authority();
    let expected = event(&stage.clone().send(&plan.instructions).unwrap());

    let too_much = grow(&mut stage, MOST_GROWTH + 1);
    assert!(ending(&too_much).contains("InvalidRealloc"), "{}", ending(&too_much));
    let outcome = grow(&mut stage, MOST_GROWTH).unwrap();
    assert_eq!(event(&outcome), expected);
    assert_eq!(stage.account(&pool).data.len(), len + MOST_GROWTH as usize);
    let swap_collateral =
        plan.instructions[plan.liquidate_index()].accounts[SWAP_COLLATERAL].pubkey;
    assert_eq!(stage.balance(&swap_collateral), 0);
}

#[test]
fn transactions_of_format_v1_get_through_and_stop_the_same_attacks() {
    let stage = || {
        let mut stage = Stage::new();
        stage.runtime = Runtime::LiteSvmV1;
        stage
    };
    let mut honest = stage();
    let plan = honest.sold();
    honest.send(&plan.instructions).unwrap();
    let mut honest = stage();
    let plan = bracket::bracketed(&mut honest, &[]);
    honest.send(&plan.instructions).unwrap();
    for attack in adversarial::ATTACKS.iter().chain(bracket::ATTACKS) {
        let sent = (attack.run)(&mut stage());
        assert!(attack.stop.stopped(&sent), "{}: {}", attack.name, ending(&sent));
    }
}
