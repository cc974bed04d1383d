//! Programs that had a Token-2022 account in hand leave it other than it was: here it
//! wants a memo with every transfer from then on, and klend refuses such accounts.

use flash_liquidator::FlashLiquidatorError::*;
use flash_liquidator_tests::{Plan, Stage, plan::account::*};
use klend_fork::{Position, Rehearsal, TOKEN_2022_PROGRAM_ID};
use solana_address::Address;
use solana_instruction::Instruction;
use solana_signer::Signer;
use solana_system_interface::instruction as system;
use spl_token_2022_interface::{
    extension::{
        BaseStateWithExtensions, ExtensionType, StateWithExtensions,
        memo_transfer::{MemoTransfer, instruction::enable_required_transfer_memos},
        transfer_fee::TransferFeeAmount,
    },
    instruction::reallocate,
    state::Account as TokenAccount,
};

use crate::{
    adversarial::with_forward_leg,
    attack::{Sent, Stop::*, attacks},
    bracket::bracketed,
};

attacks! {
    swap_switches_memos_on: Ours(TokenAccountChanged),
    swap_makes_room_for_an_extension: Ours(TokenAccountChanged),
    bracket_switches_memos_on: Ours(TokenAccountChanged),
    bracket_makes_room_for_an_extension: Ours(TokenAccountChanged),
    bracket_switches_memos_on_where_the_loan_arrived: Ours(TokenAccountChanged),
}

/// A liquidation of PYUSD debt, a Token-2022 token, whose collateral a pool buys; it
/// pays the swap authority.
pub fn pyusd_plan(stage: &mut Stage) -> Plan {
    let world = &mut stage.world;
    let [jitosol, pyusd] =
        ["JITOSOL", "PYUSD"].map(|name| world.reserve_named(name).expect("a reserve"));
    world.restamp_prices().expect("Scope prices");
    let borrower = world.actor("borrower of PYUSD");
    let (deposits, debts) = ([(jitosol, 1_000_000_000_000)], [(pyusd, 70_000_000_000)]);
    let position = Position::new(&deposits, &debts);
    let obligation = world.open_position(&borrower, &position).expect("a position");
    let price = world.price(&jitosol).expect("a price").scaled(70, 100).expect("a price");
    world.set_price(&jitosol, price).expect("a Scope price");
    let pool =
        world.create_pool_at_oracle_price(&jitosol, &pyusd, 100_000_000, 30).expect("two prices");
    let keeper = stage.keeper.pubkey();
    let rehearsal = Rehearsal::new(world, &keeper, &obligation, &pyusd, &jitosol, 5_000_000_000)
        .and_then(|rehearsal| rehearsal.sell_through(world, &[pool]))
        .and_then(|rehearsal| rehearsal.pay_swap_authority(world))
        .expect("the pool trades collateral for debt");
    Plan::new(rehearsal.instructions(&stage.world).expect("everything is there"))
}

/// The account that `position` of `liquidate` names.
fn named(plan: &Plan, position: usize) -> Address {
    plan.instructions[plan.liquidate_index()].accounts[position].pubkey
}

/// Room for the extension, switched off: its type, its length, its value.
fn make_room(stage: &mut Stage, key: &Address) {
    let mut account = stage.account(key);
    account.data.extend([8, 0, 1, 0, 0]);
    account.lamports += 1_000_000;
    stage.put(key, account);
}

fn switch_on(account: &Address, owner: &Address) -> Instruction {
    enable_required_transfer_memos(&TOKEN_2022_PROGRAM_ID, account, owner, &[])
        .expect("an instruction")
}

fn grow(account: &Address, owner: &Address) -> Instruction {
    let extension = [ExtensionType::MemoTransfer];
    reallocate(&TOKEN_2022_PROGRAM_ID, account, owner, owner, &[], &extension)
        .expect("an instruction")
}

fn swap_switches_memos_on(stage: &mut Stage) -> Sent {
    let plan = pyusd_plan(stage);
    let swap_debt = named(&plan, SWAP_DEBT);
    make_room(stage, &swap_debt);
    let plan = with_forward_leg(plan, &switch_on(&swap_debt, &stage.swap_authority()), &[]);
    stage.send(&plan.instructions)
}

fn swap_makes_room_for_an_extension(stage: &mut Stage) -> Sent {
    let plan = pyusd_plan(stage);
    let authority = stage.swap_authority();
    let growth = grow(&named(&plan, SWAP_DEBT), &authority);
    let rent = system::transfer(&stage.thief.pubkey(), &authority, 10_000_000);
    let plan = with_forward_leg(plan, &growth, &[]).insert(0, rent);
    stage.send(&plan.instructions)
}

/// A bracket around a liquidation of USDC, with PYUSD of the keeper guarded.
fn guarding_pyusd(stage: &mut Stage) -> (Plan, Address) {
    let pyusd = stage.world.reserve_named("PYUSD").expect("a reserve");
    let guarded = stage.give(&stage.keeper.pubkey(), &pyusd, 1_000);
    (bracketed(stage, &[guarded]), guarded)
}

fn bracket_switches_memos_on(stage: &mut Stage) -> Sent {
    let (plan, guarded) = guarding_pyusd(stage);
    make_room(stage, &guarded);
    let switch = switch_on(&guarded, &stage.keeper.pubkey());
    stage.send(&plan.after_liquidate(switch).instructions)
}

fn bracket_makes_room_for_an_extension(stage: &mut Stage) -> Sent {
    let (plan, guarded) = guarding_pyusd(stage);
    let growth = grow(&guarded, &stage.keeper.pubkey());
    // Whoever pays the rent: lamports have a floor of their own.
    let rent = system::transfer(&stage.thief.pubkey(), &stage.keeper.pubkey(), 10_000_000);
    stage.send(&plan.after_liquidate(growth).after_liquidate(rent).instructions)
}

fn bracket_switches_memos_on_where_the_loan_arrived(stage: &mut Stage) -> Sent {
    let plan = pyusd_plan(stage);
    let switch = grow(&named(&plan, KEEPER_DEBT), &stage.keeper.pubkey());
    let rent = system::transfer(&stage.thief.pubkey(), &stage.keeper.pubkey(), 10_000_000);
    let plan = crate::bracket::around(plan, &[]);
    stage.send(&plan.after_liquidate(switch).after_liquidate(rent).instructions)
}

// --- what must work all the same --------------------------------------------------

#[test]
fn accounts_with_extensions_get_through() {
    let mut stage = Stage::new();
    let plan = pyusd_plan(&mut stage);
    let swap_debt = stage.account(&named(&plan, SWAP_DEBT)).data;
    let state = StateWithExtensions::<TokenAccount>::unpack(&swap_debt).unwrap();
    state.get_extension::<TransferFeeAmount>().expect("PYUSD may have a fee one day");
    stage.send(&crate::bracket::around(plan, &[]).instructions).unwrap();
}

/// Memos that the keeper's swap authority wanted before are nobody's doing now; the
/// extension alone is in no one's way where nobody pays in with a bare transfer.
#[test]
fn an_extension_that_was_there_before_may_stay() {
    let mut stage = Stage::new();
    let plan = pyusd_plan(&mut stage);
    let swap_debt = named(&plan, SWAP_DEBT);
    make_room(&mut stage, &swap_debt);
    stage.send(&plan.instructions).unwrap();
    let data = stage.account(&swap_debt).data;
    let state = StateWithExtensions::<TokenAccount>::unpack(&data).unwrap();
    assert!(state.get_extension::<MemoTransfer>().is_ok());
}
