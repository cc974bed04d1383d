//! Markets that reserve liquidations for a permissioner (klend 1.24 and later).

use flash_liquidator::{FlashLiquidatorError::*, klend::offset};
use flash_liquidator_tests::{Plan, Stage, plan::account::*};
use klend_model::keys::to_v2;
use solana_address::Address;
use solana_instruction::AccountMeta;
use solana_signer::Signer;

use crate::{
    adversarial::{funded_unsold, poke},
    attack::{Sent, Stop::*, attacks},
};

attacks! {
    market_wants_a_permissioner: Ours(LiquidationPermissioned),
    debt_reserve_wants_a_permissioner: Ours(LiquidationPermissioned),
    collateral_reserve_wants_a_permissioner: Ours(LiquidationPermissioned),
    permissioner_of_another_market: Ours(LiquidationPermissioned),
    permissioner_who_does_not_sign: Code(3010),
    permissioner_announced_and_not_given: Ours(RemainingAccountsMissing),
}

/// What liquidations are reserved by.
#[derive(Clone, Copy)]
enum Reserved {
    Market,
    Debt,
    Collateral,
}

/// A liquidation in a market whose permissioning authority is `authority`, where `by`
/// reserves liquidations.
fn reserved(stage: &mut Stage, by: Reserved, authority: &Address) -> Plan {
    let plan = funded_unsold(stage);
    let market = plan.instructions[plan.liquidate_index()].accounts[LENDING_MARKET].pubkey;
    stage
        .world
        .edit_lending_market(&market, |market| market.permissioning_authority = to_v2(authority))
        .expect("a market");
    let (sol, usdc) = (stage.sol, stage.usdc);
    match by {
        Reserved::Market => poke(stage, &market, offset::MARKET_PERMISSIONED_OPS, 4),
        Reserved::Debt => poke(stage, &usdc, offset::RESERVE_PERMISSIONED_OPS, 5),
        Reserved::Collateral => poke(stage, &sol, offset::RESERVE_PERMISSIONED_OPS, 7),
    }
    plan
}

/// With `account` in the permissioner's place.
fn with_permissioner(plan: Plan, account: AccountMeta) -> Plan {
    plan.remaining([account]).args(|args| args.has_permissioner = true)
}

fn nobody_signs(stage: &mut Stage, by: Reserved) -> Sent {
    let thief = stage.thief.pubkey();
    let plan = reserved(stage, by, &thief);
    stage.send(&plan.instructions)
}

fn market_wants_a_permissioner(stage: &mut Stage) -> Sent {
    nobody_signs(stage, Reserved::Market)
}

fn debt_reserve_wants_a_permissioner(stage: &mut Stage) -> Sent {
    nobody_signs(stage, Reserved::Debt)
}

fn collateral_reserve_wants_a_permissioner(stage: &mut Stage) -> Sent {
    nobody_signs(stage, Reserved::Collateral)
}

/// Whoever else signs, klend is not handed that signature.
fn permissioner_of_another_market(stage: &mut Stage) -> Sent {
    let thief = stage.thief.pubkey();
    let plan = reserved(stage, Reserved::Market, &Address::new_unique());
    let plan = with_permissioner(plan, AccountMeta::new_readonly(thief, true));
    stage.send(&plan.instructions)
}

fn permissioner_who_does_not_sign(stage: &mut Stage) -> Sent {
    let thief = stage.thief.pubkey();
    let plan = reserved(stage, Reserved::Debt, &thief);
    let plan = with_permissioner(plan, AccountMeta::new_readonly(thief, false));
    stage.send(&plan.instructions)
}

fn permissioner_announced_and_not_given(stage: &mut Stage) -> Sent {
    let plan = funded_unsold(stage).args(|args| args.has_permissioner = true);
    stage.send(&plan.instructions)
}

// --- what must work all the same --------------------------------------------------

/// A client may name one before it is needed, or when it no longer is.
#[test]
fn a_permissioner_where_none_is_wanted_is_passed_over() {
    let mut stage = Stage::new();
    let thief = stage.thief.pubkey();
    let plan = funded_unsold(&mut stage);
    let plan = with_permissioner(plan, AccountMeta::new(thief, true));
    stage.send(&plan.instructions).unwrap();
}

#[test]
fn a_permissioner_who_signs_lets_the_keeper_liquidate() {
    for by in [Reserved::Market, Reserved::Debt, Reserved::Collateral] {
        let mut stage = Stage::new();
        let permissioner = stage.thief.pubkey();
        let plan = reserved(&mut stage, by, &permissioner);
        let plan = with_permissioner(plan, AccountMeta::new_readonly(permissioner, true));
        let outcome = stage.send(&plan.instructions).unwrap();
        assert_eq!(outcome.fee, 10_000, "the permissioner signed");
    }
}

/// Bits alone reserve nothing, as klend sees it; neither do those of other operations.
#[test]
fn nothing_is_reserved_without_an_authority_or_for_other_operations() {
    let mut stage = Stage::new();
    let plan = reserved(&mut stage, Reserved::Market, &Address::default());
    stage.send(&plan.instructions).unwrap();

    let mut stage = Stage::new();
    let authority = stage.thief.pubkey();
    let plan = reserved(&mut stage, Reserved::Debt, &authority);
    let usdc = stage.usdc;
    poke(&mut stage, &usdc, offset::RESERVE_PERMISSIONED_OPS, 3);
    stage.send(&plan.instructions).unwrap();
}
