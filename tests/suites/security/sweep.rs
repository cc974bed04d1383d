//! `sweep`: what lies in a swap authority's accounts goes to its keeper, and to nobody else.

use flash_liquidator::FlashLiquidatorError::*;
use flash_liquidator_client::receiver::{self, Swept};
use flash_liquidator_tests::{Stage, epilogue::assert_nothing_can_be_taken};
use klend_fork::{Outcome, TOKEN_2022_PROGRAM_ID, TOKEN_PROGRAM_ID};
use solana_address::Address;
use solana_instruction::{AccountMeta, Instruction};
use solana_signer::Signer;
use spl_token_interface::state::AccountState;

use crate::{
    attack::{Sent, Stop::*, attacks},
    bracket::{bracketed, deploy_forwarder, forward},
};

attacks! {
    sweep_of_another_keepers_accounts: Ours(SwapAuthorityMismatch),
    sweep_with_another_bump: Ours(SwapAuthorityMismatch),
    sweep_without_the_keepers_signature: Code(3010),
    sweep_of_a_keeper_who_cannot_be_paid: Code(2000),
    sweep_to_a_thief: Ours(TokenAccountWrongOwner),
    sweep_of_the_keepers_own_account: Ours(TokenAccountWrongOwner),
    sweep_into_an_account_of_another_mint: Ours(TokenAccountWrongMint),
    sweep_with_another_token_program: Ours(TokenProgramMismatch),
    sweep_of_a_frozen_account: Ours(TokenAccountInvalid),
    sweep_of_nothing: Ours(RemainingAccountsMissing),
    sweep_of_half_a_group: Ours(RemainingAccountsMissing),
    sweep_by_cpi: Ours(NotTopLevel),
    sweep_in_a_bracket: Ours(BracketNested),
}

/// Positions among the accounts of `sweep`.
const KEEPER: usize = 0;
const SWAP_ACCOUNT: usize = 2;
const KEEPER_ACCOUNT: usize = 3;
const TOKEN_PROGRAM: usize = 5;

/// What the swap authority has of a reserve's tokens, and the group that sweeps it.
fn left_behind(stage: &mut Stage, reserve: &Address, amount: u64) -> Swept {
    let (keeper, authority, mint) =
        (stage.keeper.pubkey(), stage.swap_authority(), stage.mint(reserve));
    stage.give(&authority, reserve, amount);
    stage.give(&keeper, reserve, 0);
    let program = stage.account(&mint).owner;
    Swept::associated(&keeper, &mint, &program)
}

/// A sweep of USDC that lies in the swap authority's account.
fn sweep(stage: &mut Stage) -> Instruction {
    let usdc = stage.usdc;
    let swept = left_behind(stage, &usdc, 1_000);
    receiver::sweep(&stage.keeper.pubkey(), &[swept])
}

/// With `change` made to it.
fn bent(stage: &mut Stage, change: impl FnOnce(&mut Stage, &mut Instruction)) -> Sent {
    let mut instruction = sweep(stage);
    change(stage, &mut instruction);
    stage.send(&[instruction])
}

fn sweep_of_another_keepers_accounts(stage: &mut Stage) -> Sent {
    bent(stage, |stage, sweep| {
        sweep.accounts[KEEPER] = AccountMeta::new(stage.thief.pubkey(), true);
        let theirs = stage.give(&stage.thief.pubkey(), &stage.usdc.clone(), 0);
        sweep.accounts[KEEPER_ACCOUNT].pubkey = theirs;
    })
}

fn sweep_with_another_bump(stage: &mut Stage) -> Sent {
    bent(stage, |_, sweep| *sweep.data.last_mut().expect("the bump") -= 1)
}

fn sweep_without_the_keepers_signature(stage: &mut Stage) -> Sent {
    let thief = stage.thief.pubkey();
    let usdc = stage.usdc;
    let mint = stage.mint(&usdc);
    let authority = receiver::swap_authority(&thief).0;
    stage.give(&authority, &usdc, 1_000);
    stage.give(&thief, &usdc, 0);
    let mut sweep = receiver::sweep(&thief, &[Swept::associated(&thief, &mint, &TOKEN_PROGRAM_ID)]);
    sweep.accounts[KEEPER].is_signer = false;
    stage.send(&[sweep])
}

fn sweep_of_a_keeper_who_cannot_be_paid(stage: &mut Stage) -> Sent {
    // The payer of a transaction is always writable: the thief has a swap authority too.
    let thief = stage.thief.pubkey();
    let usdc = stage.usdc;
    let mint = stage.mint(&usdc);
    stage.give(&receiver::swap_authority(&thief).0, &usdc, 1_000);
    stage.give(&thief, &usdc, 0);
    let mut sweep = receiver::sweep(&thief, &[Swept::associated(&thief, &mint, &TOKEN_PROGRAM_ID)]);
    sweep.accounts[KEEPER].is_writable = false;
    stage.send(&[sweep])
}

fn sweep_to_a_thief(stage: &mut Stage) -> Sent {
    bent(stage, |stage, sweep| {
        let theirs = stage.give(&stage.thief.pubkey(), &stage.usdc.clone(), 0);
        sweep.accounts[KEEPER_ACCOUNT].pubkey = theirs;
    })
}

fn sweep_of_the_keepers_own_account(stage: &mut Stage) -> Sent {
    bent(stage, |_, sweep| {
        sweep.accounts[SWAP_ACCOUNT].pubkey = sweep.accounts[KEEPER_ACCOUNT].pubkey;
    })
}

fn sweep_into_an_account_of_another_mint(stage: &mut Stage) -> Sent {
    bent(stage, |stage, sweep| {
        let other = stage.give(&stage.keeper.pubkey(), &stage.sol.clone(), 0);
        sweep.accounts[KEEPER_ACCOUNT].pubkey = other;
    })
}

fn sweep_with_another_token_program(stage: &mut Stage) -> Sent {
    bent(stage, |_, sweep| sweep.accounts[TOKEN_PROGRAM].pubkey = TOKEN_2022_PROGRAM_ID)
}

fn sweep_of_a_frozen_account(stage: &mut Stage) -> Sent {
    bent(stage, |stage, sweep| {
        let swept = sweep.accounts[SWAP_ACCOUNT].pubkey;
        stage.edit_token_account(&swept, |account| account.state = AccountState::Frozen);
    })
}

fn sweep_of_nothing(stage: &mut Stage) -> Sent {
    bent(stage, |_, sweep| sweep.accounts.truncate(SWAP_ACCOUNT))
}

fn sweep_of_half_a_group(stage: &mut Stage) -> Sent {
    bent(stage, |_, sweep| {
        let again = sweep.accounts[SWAP_ACCOUNT..=KEEPER_ACCOUNT].to_vec();
        sweep.accounts.extend(again);
    })
}

/// Inside a bracket, a program that holds the keeper's signature would make profit of
/// what was the keeper's before.
fn sweep_by_cpi(stage: &mut Stage) -> Sent {
    deploy_forwarder(stage);
    let mut sweep = sweep(stage);
    forward(&mut sweep);
    let plan = bracketed(stage, &[]).after_liquidate(sweep);
    stage.send(&plan.instructions)
}

fn sweep_in_a_bracket(stage: &mut Stage) -> Sent {
    let sweep = sweep(stage);
    let plan = bracketed(stage, &[]).after_liquidate(sweep);
    stage.send(&plan.instructions)
}

// --- what must work all the same --------------------------------------------------

/// Sweeps these accounts, and looks whether anybody can take anything afterwards. The
/// other invariants are those of transactions that leave the swap authority alone.
fn send(stage: &mut Stage, swept: &[Swept]) -> Outcome {
    let before = stage.world.clone();
    let victims = [stage.keeper.pubkey(), stage.swap_authority()];
    let sweep = receiver::sweep(&stage.keeper.pubkey(), swept);
    let outcome = stage.world.send(&[sweep], &[&stage.keeper]).expect("a sweep");
    assert_nothing_can_be_taken(&before, &stage.world, &victims, &[stage.thief.pubkey()]);
    outcome
}

/// Tokens and rent are the keeper's, wrapped SOL and Token-2022 included; what lies
/// there unsynchronised goes to its wallet.
#[test]
fn everything_goes_to_the_keeper() {
    let mut stage = Stage::new();
    let pyusd = stage.world.reserve_named("PYUSD").unwrap();
    let (sol, usdc) = (stage.sol, stage.usdc);
    let keeper = stage.keeper.pubkey();
    let amounts = [(sol, 5_000_000), (usdc, 7), (pyusd, 0)];
    let swept = amounts.map(|(reserve, amount)| left_behind(&mut stage, &reserve, amount));
    let mut native = stage.account(&swept[0].swap_account);
    native.lamports += 12_345;
    stage.put(&swept[0].swap_account, native);
    let had = swept.map(|swept| stage.balance(&swept.keeper_account));
    let lamports = stage.account(&keeper).lamports;
    let rents: u64 = swept.iter().map(|swept| stage.account(&swept.swap_account).lamports).sum();

    let outcome = send(&mut stage, &swept);
    for ((swept, had), (_, amount)) in swept.iter().zip(had).zip(amounts) {
        assert_eq!(stage.balance(&swept.keeper_account), had + amount);
        assert!(stage.world.account(&swept.swap_account).is_none(), "{}", swept.mint);
    }
    // The lamports of wrapped SOL went with its tokens, but for what was not among them.
    let gained = stage.account(&keeper).lamports + outcome.fee - lamports;
    assert_eq!(gained, rents - amounts[0].1);
}

/// What the token program would not close is emptied and stays.
#[test]
fn what_cannot_be_closed_is_emptied() {
    let mut stage = Stage::new();
    let (usdc, thief) = (stage.usdc, stage.thief.pubkey());
    let foreign = left_behind(&mut stage, &usdc, 7);
    stage.edit_token_account(&foreign.swap_account, |account| {
        account.close_authority = Some(thief).into();
    });
    let pyusd = stage.world.reserve_named("PYUSD").unwrap();
    let withheld = left_behind(&mut stage, &pyusd, 9);
    let mut account = stage.account(&withheld.swap_account);
    // Type 2, eight bytes: the fee that is withheld in it.
    let header = account.data.windows(4).position(|bytes| bytes == [2, 0, 8, 0]).unwrap();
    account.data[header + 4] = 1;
    stage.put(&withheld.swap_account, account);
    let sol = stage.sol;
    let closable = left_behind(&mut stage, &sol, 11);

    let all = [foreign, withheld, closable];
    let had = all.map(|swept| stage.balance(&swept.keeper_account));
    send(&mut stage, &all);
    for ((swept, had), amount) in all.iter().zip(had).zip([7, 9, 11]) {
        assert_eq!(stage.balance(&swept.keeper_account), had + amount);
    }
    assert_eq!(stage.balance(&foreign.swap_account), 0);
    assert_eq!(stage.balance(&withheld.swap_account), 0);
    assert!(stage.world.account(&closable.swap_account).is_none());
}

/// Compute units that an account takes, without those of the token program.
#[test]
fn sweeping_costs_little() {
    let mut stage = Stage::new();
    let (sol, usdc) = (stage.sol, stage.usdc);
    let jitosol = stage.world.reserve_named("JITOSOL").unwrap();
    let swept = [sol, usdc, jitosol].map(|reserve| left_behind(&mut stage, &reserve, 1_000));
    let units = |count: usize| {
        let mut stage = stage.clone();
        let outcome = send(&mut stage, &swept[..count]);
        let consumed = |line: &String| {
            let line = line.strip_prefix(&format!("Program {TOKEN_PROGRAM_ID} consumed "))?;
            line.split(' ').next()?.parse::<u64>().ok()
        };
        outcome.instructions[0].units.unwrap()
            - outcome.logs.iter().filter_map(consumed).sum::<u64>()
    };
    let (one, three) = (units(1), units(3));
    let each = (three - one) / 2;
    println!("sweep: {one} CU for one account, {each} CU for each further one");
    assert!(each <= 4_000 && one <= 4_500, "{one} CU for one account, {each} CU for each more");
}
