//! Programs that had a signer in hand leave its account other than a plain wallet.

use flash_liquidator::FlashLiquidatorError::*;
use flash_liquidator_tests::{Plan, Stage};
use solana_account::Account;
use solana_address::Address;
use solana_instruction::Instruction;
use solana_sdk_ids::system_program;
use solana_signer::Signer;
use solana_system_interface::instruction as system;

use crate::{
    adversarial::with_forward_leg,
    attack::{Sent, Stop::*, attacks},
    bracket::{bracketed, deploy_forwarder, forward},
};

attacks! {
    // The keeper, in a bracket.
    wallet_becomes_a_nonce_account: Ours(SignerReassigned),
    wallet_becomes_a_nonce_account_by_cpi: Ours(SignerReassigned),
    wallet_gets_a_byte: Ours(SignerReassigned),
    wallet_gets_a_byte_by_cpi: Ours(SignerReassigned),
    wallet_is_a_nonce_account_already: Ours(SignerReassigned),

    // The swap authority, in a leg.
    swap_authority_becomes_a_nonce_account: Ours(SignerReassigned),
    swap_authority_gets_a_byte: Ours(SignerReassigned),
}

/// Bytes of a nonce account.
const NONCE_LEN: u64 = 80;

/// Makes a nonce account of `wallet` that the thief alone withdraws from afterwards.
/// The second instruction wants no signature.
fn becomes_a_nonce_account(stage: &Stage, wallet: &Address) -> [Instruction; 2] {
    let thief = stage.thief.pubkey();
    let made = system::create_nonce_account(&thief, wallet, &thief, 0);
    let [_, initialize] = made.try_into().expect("creation and initialisation");
    [system::allocate(wallet, NONCE_LEN), initialize]
}

/// In a bracket, before `settle`.
fn in_a_bracket(
    stage: &mut Stage,
    by_cpi: bool,
    instructions: impl IntoIterator<Item = Instruction>,
) -> Sent {
    let mut plan = bracketed(stage, &[]);
    if by_cpi {
        deploy_forwarder(stage);
    }
    let behind = plan.liquidate_index() + 1;
    for (at, mut instruction) in (behind..).zip(instructions) {
        if by_cpi {
            forward(&mut instruction);
        }
        plan = plan.insert(at, instruction);
    }
    stage.send(&plan.instructions)
}

fn wallet_becomes_a_nonce_account(stage: &mut Stage) -> Sent {
    let instructions = becomes_a_nonce_account(stage, &stage.keeper.pubkey());
    in_a_bracket(stage, false, instructions)
}

fn wallet_becomes_a_nonce_account_by_cpi(stage: &mut Stage) -> Sent {
    let instructions = becomes_a_nonce_account(stage, &stage.keeper.pubkey());
    in_a_bracket(stage, true, instructions)
}

/// It could never pay again.
fn wallet_gets_a_byte(stage: &mut Stage) -> Sent {
    let allocate = system::allocate(&stage.keeper.pubkey(), 1);
    in_a_bracket(stage, false, [allocate])
}

fn wallet_gets_a_byte_by_cpi(stage: &mut Stage) -> Sent {
    let allocate = system::allocate(&stage.keeper.pubkey(), 1);
    in_a_bracket(stage, true, [allocate])
}

/// The keeper's own, which may pay for transactions: it cannot lend the rent.
fn wallet_is_a_nonce_account_already(stage: &mut Stage) -> Sent {
    let keeper = stage.keeper.pubkey();
    // Version 1, initialised, authority, nonce, fee.
    let mut data = [1u32.to_le_bytes(), 1u32.to_le_bytes()].concat();
    data.extend(keeper.as_ref());
    data.extend([7; 32]);
    data.extend(5_000u64.to_le_bytes());
    let plan = bracketed(stage, &[]);
    let account = stage.account(&keeper);
    stage.put(&keeper, Account { owner: system_program::ID, data, ..account });
    stage.send(&plan.instructions)
}

/// In legs behind the sale; the thief lends the authority the rent of its account.
fn in_legs(stage: &mut Stage, instructions: impl IntoIterator<Item = Instruction>) -> Sent {
    let (thief, authority) = (stage.thief.pubkey(), stage.swap_authority());
    let rent = system::transfer(&thief, &authority, 10_000_000);
    let plan = instructions
        .into_iter()
        .fold(stage.sold(), |plan: Plan, instruction| with_forward_leg(plan, &instruction, &[]));
    stage.send(&plan.insert(0, rent).instructions)
}

fn swap_authority_becomes_a_nonce_account(stage: &mut Stage) -> Sent {
    let instructions = becomes_a_nonce_account(stage, &stage.swap_authority());
    in_legs(stage, instructions)
}

/// No program would pay out of it again.
fn swap_authority_gets_a_byte(stage: &mut Stage) -> Sent {
    let allocate = system::allocate(&stage.swap_authority(), 1);
    in_legs(stage, [allocate])
}
