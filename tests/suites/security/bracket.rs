//! Cheats on `open` and `settle`.

use anchor_lang::{AccountSerialize, Discriminator};
use flash_liquidator::{
    FlashLiquidatorError::*,
    OpenArgs,
    instruction::{Open, Settle},
    state::{Bracket, Guard},
    token::Nature,
};
use flash_liquidator_client::receiver;
use flash_liquidator_tests::{
    Plan, Stage,
    bank::CPI_FORWARDER,
    bracket::{self, account::*},
    stage::LOAN,
};
use klend_fork::{TOKEN_PROGRAM_ID, deploy_folder};
use solana_account::Account;
use solana_address::Address;
use solana_instruction::{AccountMeta, Instruction};
use solana_sdk_ids::system_program;
use solana_signer::Signer;
use solana_system_interface::instruction as system;
use spl_token_interface::instruction::{self as token, AuthorityType};

use crate::{
    adversarial::{raise_flash_fee, spoof_sysvar},
    attack::{Sent, Stop::*, attacks},
};

attacks! {
    // Where the two stand.
    open_without_settle: Ours(SettleNotFound),
    settle_after_the_repay: Ours(SettleNotFound),
    settle_by_cpi: Ours(SettleNotFound),
    settle_of_another_keeper: Ours(SettleNotFound),
    settle_with_other_guards: Ours(SettleNotFound),
    settle_with_guards_in_another_order: Ours(SettleNotFound),
    settle_with_a_guard_less: Ours(SettleNotFound),
    settle_with_a_guard_more: Ours(SettleNotFound),
    settle_elsewhere_than_announced: Ours(BracketNested),
    settle_with_data: Ours(BracketNested),
    settle_twice: Ours(BracketNested),
    nested_brackets: Ours(BracketNested),
    crossed_brackets: Ours(BracketNested),
    two_opens_and_one_settle: Ours(BracketNested),
    closed_by_somebody_else_in_between: Ours(BracketNested),
    brackets_one_after_the_other: Ours(BracketNested),
    open_by_cpi: Ours(NotTopLevel),
    open_before_the_loan: Ours(FlashBorrowNotBefore),
    open_with_something_between_it_and_the_loan: Ours(OpenNotAfterBorrow),
    open_after_the_deadline: Ours(DeadlinePassed),
    open_with_a_spoofed_sysvar: Ours(InstructionsSysvarMalformed),
    open_with_another_system_program: Code(3008),

    // Whose bracket it is.
    bracket_in_another_signers_wallet: Ours(BracketMismatch),
    bracket_in_the_keepers_wallet: Ours(BracketMismatch),
    bracket_of_another_keeper: Runtime("PrivilegeEscalation"),
    bracket_with_another_bump: Runtime("PrivilegeEscalation"),
    settle_without_open: Ours(BracketMismatch),
    forged_bracket: Ours(BracketMismatch),
    left_over_bracket_of_somebody_else: Ours(BracketMismatch),
    left_over_bracket_of_another_instruction: Ours(BracketMismatch),
    left_over_bracket_with_more_guards: Ours(GuardCountMismatch),

    // What is guarded.
    too_many_guards: Ours(TooManyGuards),
    more_losses_than_guards: Ours(GuardCountMismatch),
    guard_of_somebody_else: Ours(TokenAccountWrongOwner),
    guard_that_is_no_token_account: Ours(TokenProgramMismatch),
    guard_with_a_delegate: Ours(TokenAccountExposed),

    // What happens between.
    too_little_profit: Ours(ProfitBelowMinimum),
    profit_taken_out: Ours(ProfitBelowMinimum),
    fee_raised_in_a_bracket: Ours(ProfitBelowMinimum),
    guarded_tokens_taken: Ours(GuardedBalanceBelowFloor),
    more_guarded_tokens_taken_than_agreed: Ours(GuardedBalanceBelowFloor),
    guarded_account_given_away: Ours(TokenAccountWrongOwner),
    guarded_account_delegated: Ours(TokenAccountExposed),
    lamports_taken: Ours(LamportsBelowFloor),
    more_lamports_taken_than_agreed: Ours(LamportsBelowFloor),
    wallet_taken_over: Ours(SignerReassigned),
}

// --- where the two stand ----------------------------------------------------------

fn open_without_settle(stage: &mut Stage) -> Sent {
    let mut plan = bracketed(stage, &[]);
    let settle = plan.index_of(Settle::DISCRIMINATOR);
    plan.instructions.remove(settle);
    stage.send(&plan.renumber().instructions)
}

fn settle_after_the_repay(stage: &mut Stage) -> Sent {
    let plan = bracketed(stage, &[]);
    let settle = plan.index_of(Settle::DISCRIMINATOR);
    let repay = plan.repay_index();
    stage.send(&plan.move_instruction(settle, repay).instructions)
}

fn settle_by_cpi(stage: &mut Stage) -> Sent {
    deploy_forwarder(stage);
    let mut plan = bracketed(stage, &[]);
    let settle = plan.index_of(Settle::DISCRIMINATOR);
    forward(&mut plan.instructions[settle]);
    stage.send(&plan.instructions)
}

fn settle_of_another_keeper(stage: &mut Stage) -> Sent {
    let mut plan = bracketed(stage, &[]);
    let settle = plan.index_of(Settle::DISCRIMINATOR);
    plan.instructions[settle].accounts[KEEPER].pubkey = stage.thief.pubkey();
    stage.send(&plan.instructions)
}

fn settle_with_other_guards(stage: &mut Stage) -> Sent {
    let sol = stage.give(&stage.keeper.pubkey(), &stage.sol.clone(), 1_000);
    let mut plan = bracketed(stage, &[sol]);
    let settle = plan.index_of(Settle::DISCRIMINATOR);
    plan.instructions[settle].accounts[GUARDS].pubkey =
        stage.token_account(&stage.keeper.pubkey(), &stage.usdc);
    stage.send(&plan.instructions)
}

/// The floors would be held against the wrong accounts.
fn settle_with_guards_in_another_order(stage: &mut Stage) -> Sent {
    let guards = two_guards(stage);
    let mut plan = bracketed(stage, &guards);
    let settle = plan.index_of(Settle::DISCRIMINATOR);
    plan.instructions[settle].accounts.swap(GUARDS, GUARDS + 1);
    stage.send(&plan.instructions)
}

fn settle_with_a_guard_less(stage: &mut Stage) -> Sent {
    let guards = two_guards(stage);
    let mut plan = bracketed(stage, &guards);
    let settle = plan.index_of(Settle::DISCRIMINATOR);
    plan.instructions[settle].accounts.pop();
    stage.send(&plan.instructions)
}

fn settle_with_a_guard_more(stage: &mut Stage) -> Sent {
    let [first, second] = two_guards(stage);
    let mut plan = bracketed(stage, &[first]);
    let settle = plan.index_of(Settle::DISCRIMINATOR);
    plan.instructions[settle].accounts.push(AccountMeta::new_readonly(second, false));
    stage.send(&plan.instructions)
}

fn settle_elsewhere_than_announced(stage: &mut Stage) -> Sent {
    let plan = edit_open(bracketed(stage, &[]), |args| args.settle_index -= 1);
    stage.send(&plan.instructions)
}

fn settle_with_data(stage: &mut Stage) -> Sent {
    let mut plan = bracketed(stage, &[]);
    let settle = plan.index_of(Settle::DISCRIMINATOR);
    plan.instructions[settle].data.push(0);
    stage.send(&plan.instructions)
}

fn settle_twice(stage: &mut Stage) -> Sent {
    let plan = bracketed(stage, &[]);
    let settle = plan.index_of(Settle::DISCRIMINATOR);
    let again = plan.instructions[settle].clone();
    stage.send(&plan.insert(settle + 1, again).instructions)
}

fn nested_brackets(stage: &mut Stage) -> Sent {
    let plan = bracketed(stage, &[]);
    let (open, settle) = (plan.index_of(Open::DISCRIMINATOR), plan.index_of(Settle::DISCRIMINATOR));
    let inner = [open, settle].map(|index| other_bracket(&plan.instructions[index]));
    let [inner_open, inner_settle] = inner;
    let plan = plan.insert(settle, inner_settle).insert(open + 1, inner_open);
    stage.send(&plan.instructions)
}

fn crossed_brackets(stage: &mut Stage) -> Sent {
    let plan = bracketed(stage, &[]);
    let (open, settle) = (plan.index_of(Open::DISCRIMINATOR), plan.index_of(Settle::DISCRIMINATOR));
    let [second_open, second_settle] =
        [open, settle].map(|index| other_bracket(&plan.instructions[index]));
    let plan = plan.insert(settle + 1, second_settle).insert(open + 1, second_open);
    stage.send(&plan.instructions)
}

fn two_opens_and_one_settle(stage: &mut Stage) -> Sent {
    let plan = bracketed(stage, &[]);
    let open = plan.index_of(Open::DISCRIMINATOR);
    let again = plan.instructions[open].clone();
    stage.send(&plan.insert(open + 1, again).instructions)
}

/// The thief signs a `settle` of the keeper's bracket, before the keeper's own.
fn closed_by_somebody_else_in_between(stage: &mut Stage) -> Sent {
    let plan = bracketed(stage, &[]);
    let settle = plan.index_of(Settle::DISCRIMINATOR);
    let mut theirs = plan.instructions[settle].clone();
    theirs.accounts[KEEPER].pubkey = stage.thief.pubkey();
    let mut plan = plan.insert(settle, theirs);
    let open = plan.index_of(Open::DISCRIMINATOR);
    bracket::edit(&mut plan.instructions[open], |args| args.settle_index += 1);
    stage.send(&plan.instructions)
}

fn brackets_one_after_the_other(stage: &mut Stage) -> Sent {
    let plan = bracketed(stage, &[]);
    let (open, settle) = (plan.index_of(Open::DISCRIMINATOR), plan.index_of(Settle::DISCRIMINATOR));
    let again = [settle, open].map(|index| plan.instructions[index].clone());
    let mut plan = plan;
    for instruction in again {
        plan = plan.insert(settle + 1, instruction);
    }
    stage.send(&plan.instructions)
}

fn open_by_cpi(stage: &mut Stage) -> Sent {
    deploy_forwarder(stage);
    let mut plan = bracketed(stage, &[]);
    let open = plan.index_of(Open::DISCRIMINATOR);
    forward(&mut plan.instructions[open]);
    stage.send(&plan.instructions)
}

fn open_before_the_loan(stage: &mut Stage) -> Sent {
    let plan = bracketed(stage, &[]);
    let (open, borrow) = (plan.index_of(Open::DISCRIMINATOR), plan.borrow_index());
    stage.send(&plan.move_instruction(open, borrow).instructions)
}

/// It could spend of the loan what `open` would take for the balance to begin with.
fn open_with_something_between_it_and_the_loan(stage: &mut Stage) -> Sent {
    let (keeper, thief) = (stage.keeper.pubkey(), stage.thief.pubkey());
    let plan = bracketed(stage, &[]);
    let open = plan.index_of(Open::DISCRIMINATOR);
    stage.send(&plan.insert(open, system::transfer(&keeper, &thief, 1)).instructions)
}

fn open_after_the_deadline(stage: &mut Stage) -> Sent {
    let slot = stage.world.slot();
    let plan = edit_open(bracketed(stage, &[]), |args| args.deadline_slot = slot - 1);
    stage.send(&plan.instructions)
}

fn open_with_a_spoofed_sysvar(stage: &mut Stage) -> Sent {
    let fake = Address::new_unique();
    let plan = both(bracketed(stage, &[]), |ix| ix.accounts[SYSVAR].pubkey = fake);
    spoof_sysvar(stage, &fake, &plan.instructions, plan.index_of(Open::DISCRIMINATOR));
    stage.send(&plan.instructions)
}

fn open_with_another_system_program(stage: &mut Stage) -> Sent {
    let plan = both(bracketed(stage, &[]), |ix| ix.accounts[SYSTEM].pubkey = receiver::PROGRAM_ID);
    stage.send(&plan.instructions)
}

// --- whose bracket it is ----------------------------------------------------------

/// Another signer's wallet would become the bracket, and all its lamports the
/// keeper's when it is closed.
fn bracket_in_another_signers_wallet(stage: &mut Stage) -> Sent {
    let thief = stage.thief.pubkey();
    let plan =
        both(bracketed(stage, &[]), |ix| ix.accounts[BRACKET] = AccountMeta::new(thief, true));
    stage.send(&plan.instructions)
}

fn bracket_in_the_keepers_wallet(stage: &mut Stage) -> Sent {
    let keeper = stage.keeper.pubkey();
    let plan =
        both(bracketed(stage, &[]), |ix| ix.accounts[BRACKET] = AccountMeta::new(keeper, true));
    stage.send(&plan.instructions)
}

fn bracket_of_another_keeper(stage: &mut Stage) -> Sent {
    let (theirs, _) = bracket::bracket(&stage.thief.pubkey());
    let plan = both(bracketed(stage, &[]), |ix| ix.accounts[BRACKET].pubkey = theirs);
    stage.send(&plan.instructions)
}

fn bracket_with_another_bump(stage: &mut Stage) -> Sent {
    let keeper = stage.keeper.pubkey();
    let (_, canonical) = bracket::bracket(&keeper);
    let other = (0..canonical).rev().find(|bump| {
        let seeds: &[&[u8]] = &[flash_liquidator::state::BRACKET_SEED, keeper.as_ref(), &[*bump]];
        Address::create_program_address(seeds, &receiver::PROGRAM_ID).is_ok()
    });
    let other = other.expect("several bumps lead off the curve");
    let plan = edit_open(bracketed(stage, &[]), |args| args.bracket_bump = other);
    stage.send(&plan.instructions)
}

fn settle_without_open(stage: &mut Stage) -> Sent {
    let mut plan = bracketed(stage, &[]);
    let open = plan.index_of(Open::DISCRIMINATOR);
    plan.instructions.remove(open);
    stage.send(&plan.renumber().instructions)
}

fn forged_bracket(stage: &mut Stage) -> Sent {
    with_bracket(stage, &swap_stand_in::ID, |_| {})
}

// Brackets that cannot be: no `open` leaves one behind.

fn left_over_bracket_of_somebody_else(stage: &mut Stage) -> Sent {
    let thief = stage.thief.pubkey();
    with_bracket(stage, &receiver::PROGRAM_ID, |bracket| bracket.keeper = thief)
}

fn left_over_bracket_of_another_instruction(stage: &mut Stage) -> Sent {
    with_bracket(stage, &receiver::PROGRAM_ID, |bracket| bracket.settle_index -= 1)
}

fn left_over_bracket_with_more_guards(stage: &mut Stage) -> Sent {
    with_bracket(stage, &receiver::PROGRAM_ID, |bracket| {
        let nature = Nature::default();
        bracket.guards.push(Guard { mint: Address::new_unique(), min_balance: 1, nature });
    })
}

// --- what is guarded --------------------------------------------------------------

fn too_many_guards(stage: &mut Stage) -> Sent {
    let sol = stage.give(&stage.keeper.pubkey(), &stage.sol.clone(), 1_000);
    let plan = bracketed(stage, &[sol; flash_liquidator::state::MAX_GUARDS + 1]);
    stage.send(&plan.instructions)
}

fn more_losses_than_guards(stage: &mut Stage) -> Sent {
    let plan = edit_open(bracketed(stage, &[]), |args| args.max_losses.push(0));
    stage.send(&plan.instructions)
}

fn guard_of_somebody_else(stage: &mut Stage) -> Sent {
    let theirs = stage.give(&stage.thief.pubkey(), &stage.sol.clone(), 1_000);
    let plan = bracketed(stage, &[theirs]);
    stage.send(&plan.instructions)
}

fn guard_that_is_no_token_account(stage: &mut Stage) -> Sent {
    let reserve = stage.sol;
    let plan = bracketed(stage, &[reserve]);
    stage.send(&plan.instructions)
}

fn guard_with_a_delegate(stage: &mut Stage) -> Sent {
    let sol = stage.give(&stage.keeper.pubkey(), &stage.sol.clone(), 1_000);
    let thief = stage.thief.pubkey();
    stage.edit_token_account(&sol, |account| account.delegate = Some(thief).into());
    let plan = bracketed(stage, &[sol]);
    stage.send(&plan.instructions)
}

// --- what happens between ---------------------------------------------------------

fn too_little_profit(stage: &mut Stage) -> Sent {
    let plan = edit_open(bracketed(stage, &[]), |args| args.min_profit = i64::MAX);
    stage.send(&plan.instructions)
}

fn profit_taken_out(stage: &mut Stage) -> Sent {
    let (keeper, thief) = (stage.keeper.pubkey(), stage.thief.pubkey());
    stage.give(&keeper, &stage.usdc.clone(), LOAN);
    let plan = bracketed(stage, &[]);
    let debt = stage.token_account(&keeper, &stage.usdc);
    let theirs = stage.token_account(&thief, &stage.usdc);
    let steal = token::transfer(&TOKEN_PROGRAM_ID, &debt, &theirs, &keeper, &[], LOAN / 2)
        .expect("a transfer");
    stage.send(&plan.after_liquidate(steal).instructions)
}

/// By a top-level instruction that whoever configures klend signs.
fn fee_raised_in_a_bracket(stage: &mut Stage) -> Sent {
    stage.give(&stage.keeper.pubkey(), &stage.usdc.clone(), LOAN);
    let plan = bracketed(stage, &[]);
    let admin = stage.thief.pubkey();
    let raise = raise_flash_fee(stage, &admin);
    stage.send(&plan.after_liquidate(raise).instructions)
}

fn guarded_tokens_taken(stage: &mut Stage) -> Sent {
    let (keeper, thief) = (stage.keeper.pubkey(), stage.thief.pubkey());
    let sol = stage.give(&keeper, &stage.sol.clone(), 1_000);
    let plan = bracketed(stage, &[sol]);
    let theirs = stage.token_account(&thief, &stage.sol);
    let steal =
        token::transfer(&TOKEN_PROGRAM_ID, &sol, &theirs, &keeper, &[], 1).expect("a transfer");
    stage.send(&plan.after_liquidate(steal).instructions)
}

fn more_guarded_tokens_taken_than_agreed(stage: &mut Stage) -> Sent {
    let (keeper, thief) = (stage.keeper.pubkey(), stage.thief.pubkey());
    let sol = stage.give(&keeper, &stage.sol.clone(), 1_000);
    let plan = edit_open(bracketed(stage, &[sol]), |args| args.max_losses = vec![400]);
    let theirs = stage.token_account(&thief, &stage.sol);
    let steal =
        token::transfer(&TOKEN_PROGRAM_ID, &sol, &theirs, &keeper, &[], 401).expect("a transfer");
    stage.send(&plan.after_liquidate(steal).instructions)
}

fn guarded_account_given_away(stage: &mut Stage) -> Sent {
    let (keeper, thief) = (stage.keeper.pubkey(), stage.thief.pubkey());
    let jitosol = stage.world.reserve_named("JITOSOL").expect("a reserve");
    let guarded = stage.give(&keeper, &jitosol, 1_000);
    let plan = bracketed(stage, &[guarded]);
    let owner = AuthorityType::AccountOwner;
    let give = token::set_authority(&TOKEN_PROGRAM_ID, &guarded, Some(&thief), owner, &keeper, &[])
        .expect("a change of owner");
    stage.send(&plan.after_liquidate(give).instructions)
}

fn guarded_account_delegated(stage: &mut Stage) -> Sent {
    let (keeper, thief) = (stage.keeper.pubkey(), stage.thief.pubkey());
    let sol = stage.give(&keeper, &stage.sol.clone(), 1_000);
    let plan = bracketed(stage, &[sol]);
    let approve =
        token::approve(&TOKEN_PROGRAM_ID, &sol, &thief, &keeper, &[], 1).expect("an approval");
    stage.send(&plan.after_liquidate(approve).instructions)
}

fn lamports_taken(stage: &mut Stage) -> Sent {
    let (keeper, thief) = (stage.keeper.pubkey(), stage.thief.pubkey());
    let plan = bracketed(stage, &[]);
    stage.send(&plan.after_liquidate(system::transfer(&keeper, &thief, 1)).instructions)
}

fn more_lamports_taken_than_agreed(stage: &mut Stage) -> Sent {
    let (keeper, thief) = (stage.keeper.pubkey(), stage.thief.pubkey());
    let plan = edit_open(bracketed(stage, &[]), |args| args.max_lamports_spent = 5);
    stage.send(&plan.after_liquidate(system::transfer(&keeper, &thief, 6)).instructions)
}

/// As an account of the token program the wallet could become a multisig of the
/// thief's keys, and all the keeper's token accounts with it.
fn wallet_taken_over(stage: &mut Stage) -> Sent {
    let assign = system::assign(&stage.keeper.pubkey(), &TOKEN_PROGRAM_ID);
    let plan = bracketed(stage, &[]);
    stage.send(&plan.after_liquidate(assign).instructions)
}

// --- what must work all the same --------------------------------------------------

#[test]
fn an_honest_bracket_gets_through() {
    let mut stage = Stage::new();
    let sol = stage.give(&stage.keeper.pubkey(), &stage.sol.clone(), 1_000);
    let plan = bracketed(&mut stage, &[sol]);
    let outcome = stage.send(&plan.instructions).unwrap();
    assert_eq!(outcome.data_of(&receiver::PROGRAM_ID).count(), 2, "Liquidated and Settled");
    let (address, _) = bracket::bracket(&stage.keeper.pubkey());
    assert!(stage.world.account(&address).is_none(), "the bracket is gone");
}

#[test]
fn lamports_sent_to_the_bracket_beforehand_change_nothing() {
    for lamports in [1, 10_000_000_000] {
        let mut stage = Stage::new();
        send_lamports(&mut stage, lamports);
        let plan = bracketed(&mut stage, &[]);
        stage.send(&plan.instructions).unwrap();
    }
}

/// A nonce is advanced by the first instruction: whatever else stands there, the
/// indexes are those of the instructions, and the deadline holds.
#[test]
fn a_durable_nonce_shifts_nothing() {
    let mut stage = Stage::new();
    let keeper = stage.keeper.pubkey();
    let nonce = Address::new_unique();
    // Version 1, initialised, authority, an older nonce, fee.
    let mut data = [1u32.to_le_bytes(), 1u32.to_le_bytes()].concat();
    data.extend(keeper.as_ref());
    data.extend([7; 32]);
    data.extend(5_000u64.to_le_bytes());
    let owner = system_program::ID;
    stage.put(&nonce, Account { lamports: 10_000_000, owner, data, ..Account::default() });
    let advance = system::advance_nonce_account(&nonce, &keeper);
    let plan = bracketed(&mut stage, &[]).insert(0, advance);
    stage.send(&plan.instructions).unwrap();
}

#[test]
fn losses_within_the_agreed_bounds_are_allowed() {
    let mut stage = Stage::new();
    let (keeper, thief) = (stage.keeper.pubkey(), stage.thief.pubkey());
    let sol = stage.give(&keeper, &stage.sol.clone(), 1_000);
    let plan = edit_open(bracketed(&mut stage, &[sol]), |args| {
        args.max_losses = vec![400];
        args.max_lamports_spent = 5;
    });
    let theirs = stage.token_account(&thief, &stage.sol);
    let pay = token::transfer(&TOKEN_PROGRAM_ID, &sol, &theirs, &keeper, &[], 400).unwrap();
    let tip = system::transfer(&keeper, &thief, 5);
    let plan = plan.after_liquidate(pay).after_liquidate(tip);
    stage
        .send_allowing(&plan.instructions, |agreed| agreed.may_lose(&sol, 400).may_spend(5))
        .unwrap();
}

#[test]
fn open_and_settle_cost_little() {
    let mut stage = Stage::new();
    let plan = bracketed(&mut stage, &[]);
    let outcome = stage.send(&plan.instructions).unwrap();
    let units: u64 = [Open::DISCRIMINATOR, Settle::DISCRIMINATOR]
        .map(|discriminator| outcome.instructions[plan.index_of(discriminator)].units.unwrap())
        .iter()
        .sum();
    println!("open and settle: {units} CU");
    assert!(units <= 12_000, "open and settle: {units} CU");
}

// --- tools ------------------------------------------------------------------------

const SYSVAR: usize = 6;
const SYSTEM: usize = 7;

/// A liquidation that sells its collateral, in a bracket that allows no loss.
pub fn bracketed(stage: &mut Stage, guards: &[Address]) -> Plan {
    around(stage.sold(), guards)
}

/// Lamports at the bracket's address before there is a bracket.
pub fn send_lamports(stage: &mut Stage, lamports: u64) {
    let (address, _) = bracket::bracket(&stage.keeper.pubkey());
    let gift = Account { lamports, owner: system_program::ID, ..Account::default() };
    stage.put(&address, gift);
}

/// Two token accounts of the keeper, with something in them.
fn two_guards(stage: &mut Stage) -> [Address; 2] {
    let keeper = stage.keeper.pubkey();
    let jitosol = stage.world.reserve_named("JITOSOL").expect("a reserve");
    let sol = stage.sol;
    [sol, jitosol].map(|reserve| stage.give(&keeper, &reserve, 1_000))
}

/// `open` right after the borrow, `settle` right before the repay.
pub fn around(mut plan: Plan, guards: &[Address]) -> Plan {
    let borrow = plan.borrow().clone();
    let (open_at, settle_at) = (plan.borrow_index() + 1, plan.repay_index());
    plan.instructions.insert(settle_at, bracket::settle(&borrow, guards));
    plan.insert(open_at, bracket::open(&borrow, guards))
}

pub fn edit_open(mut plan: Plan, change: impl FnOnce(&mut OpenArgs)) -> Plan {
    let open = plan.index_of(Open::DISCRIMINATOR);
    bracket::edit(&mut plan.instructions[open], change);
    plan
}

/// Changes `open` and `settle` alike.
fn both(mut plan: Plan, change: impl Fn(&mut Instruction)) -> Plan {
    for discriminator in [Open::DISCRIMINATOR, Settle::DISCRIMINATOR] {
        let index = plan.index_of(discriminator);
        change(&mut plan.instructions[index]);
    }
    plan
}

/// The same instruction for a bracket at another address.
fn other_bracket(instruction: &Instruction) -> Instruction {
    let mut other = instruction.clone();
    other.accounts[BRACKET].pubkey = Address::new_unique();
    other
}

/// A `settle` alone, with a bracket in place that would be right for it but for
/// `change` and the program that owns it.
fn with_bracket(stage: &mut Stage, owner: &Address, change: impl FnOnce(&mut Bracket)) -> Sent {
    let mut plan = bracketed(stage, &[]);
    let open = plan.index_of(Open::DISCRIMINATOR);
    plan.instructions.remove(open);
    let plan = plan.renumber();
    let byte = |index: usize| u8::try_from(index).expect("few instructions");
    let mut state = Bracket {
        keeper: stage.keeper.pubkey(),
        settle_index: byte(plan.index_of(Settle::DISCRIMINATOR)),
        flash_borrow_index: byte(plan.borrow_index()),
        flash_repay_index: byte(plan.repay_index()),
        min_profit: i64::MIN,
        debt_balance: 0,
        // An account without rent reserve and extensions.
        debt_nature: Nature::default(),
        min_lamports: 0,
        guards: Vec::new(),
    };
    change(&mut state);
    let mut data = Vec::new();
    state.try_serialize(&mut data).expect("memory");
    let (address, _) = bracket::bracket(&stage.keeper.pubkey());
    stage
        .put(&address, Account { lamports: 10_000_000, owner: *owner, data, ..Account::default() });
    stage.send(&plan.instructions)
}

pub fn deploy_forwarder(stage: &mut Stage) {
    let elf = std::fs::read(deploy_folder().join("cpi_forwarder.so")).expect("cpi_forwarder.so");
    stage.world.deploy(&CPI_FORWARDER, &elf).expect("a program");
}

/// Has another program call this instruction.
pub fn forward(instruction: &mut Instruction) {
    instruction.accounts.push(AccountMeta::new_readonly(instruction.program_id, false));
    instruction.program_id = CPI_FORWARDER;
}
