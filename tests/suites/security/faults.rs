//! Faults of the environment: each ends in an error that a keeper can act on, and
//! a lost race is told from a failure of ours.

use flash_liquidator::{FlashLiquidatorError, klend::offset};
use flash_liquidator_client::decode::{Cause, Decoded, Executed, Outcome, Witness, decode};
use flash_liquidator_tests::{Plan, Stage, plan::account::*, stage::LOAN};
use klend_fork::{ForkError, Position, Rehearsal};
use klend_model::constants::KLEND_PROGRAM_ID;
use solana_account::Account;
use solana_instruction::AccountMeta;
use solana_signer::Signer;
use spl_token_interface::state::AccountState;

use crate::attack::Sent;

/// How the client reads a failure.
fn decoded(sent: &Sent, witness: Option<Witness<'_>>) -> Decoded {
    let Err(ForkError::Failed(failure)) = sent else { panic!("expected a failure: {sent:?}") };
    let decoded = decode(
        &Executed { error: Some(&failure.error), logs: &failure.outcome.logs, programs: &[] },
        witness,
    );
    let words = cause(&decoded).explain();
    assert!(
        !words.title.is_empty() && !words.sentence.is_empty() && !words.hint.is_empty(),
        "{words:?}"
    );
    decoded
}

fn cause(decoded: &Decoded) -> &Cause {
    &decoded.outcome.failure().expect("a failure").cause
}

fn assert_klend(sent: &Sent, code: u32) {
    let decoded = decoded(sent, None);
    let Cause::Klend(error) = cause(&decoded) else { panic!("{decoded:?}") };
    assert_eq!(error.code(), code);
}

fn assert_ours(sent: &Sent, error: FlashLiquidatorError) {
    let decoded = decoded(sent, None);
    match cause(&decoded) {
        // The same error, with what the program logged of it.
        Cause::Unprofitable { .. } => assert_eq!(error, FlashLiquidatorError::ProfitBelowMinimum),
        other => assert_eq!(*other, Cause::Receiver(error)),
    }
}

fn assert_token(sent: &Sent, code: u32) {
    let decoded = decoded(sent, None);
    assert!(
        matches!(cause(&decoded), Cause::Token { code: actual, .. } if *actual == code),
        "{:?}",
        decoded.outcome
    );
}

fn assert_anchor(sent: &Sent, code: u32) {
    let decoded = decoded(sent, None);
    assert!(
        matches!(cause(&decoded), Cause::Anchor { code: actual, .. } if *actual == code),
        "{:?}",
        decoded.outcome
    );
}

#[test]
fn a_reserve_nobody_refreshed() {
    let mut stage = Stage::new();
    let mut plan = stage.sold();
    let refresh = plan.borrow_index() + 1;
    plan.instructions.remove(refresh);
    let sent = stage.send(&plan.renumber().instructions);
    assert_klend(&sent, 6009);
}

#[test]
fn an_obligation_nobody_refreshed() {
    let mut stage = Stage::new();
    let mut plan = stage.sold();
    let refresh = plan.liquidate_index() - 1;
    plan.instructions.remove(refresh);
    stage.world.warp_slots(1);
    let sent = stage.send(&plan.renumber().instructions);
    assert_klend(&sent, 6017);
}

#[test]
fn prices_too_old_for_a_liquidation() {
    let mut stage = Stage::new();
    let plan = stage.sold();
    stage.world.warp_seconds(3_600);
    let sent = stage.send(&plan.instructions);
    // The reserve is as new as the slot, but not its price.
    assert_klend(&sent, 6009);
}

#[test]
fn an_obligation_that_recovered() {
    let mut stage = Stage::new();
    let (sol, obligation) = (stage.sol, stage.obligation);
    let plan = stage.sold();
    let before = stage.world.obligation(&obligation).unwrap();
    let price = stage.world.price(&sol).unwrap().scaled(125, 100).unwrap();
    stage.world.set_price(&sol, price).unwrap();
    let sent = stage.send(&plan.instructions);
    let after = stage.world.obligation(&obligation).unwrap();
    let witness = Witness { before: &before, after: Some(&after) };
    let decoded = decoded(&sent, Some(witness));
    assert!(matches!(decoded.outcome, Outcome::HealthyAgain(_)), "{:?}", decoded.outcome);
}

#[test]
fn an_obligation_somebody_else_liquidated_first() {
    let mut stage = Stage::new();
    let obligation = stage.obligation;
    let plan = stage.sold();
    let before = stage.world.obligation(&obligation).unwrap();
    let mut liquidations = 0;
    while stage.send(&plan.instructions).is_ok() {
        liquidations += 1;
        assert!(liquidations < 50, "the obligation never recovers");
    }
    assert!(liquidations > 0, "nobody was first");
    let sent = stage.send(&plan.instructions);
    let after = stage.world.obligation(&obligation).unwrap();
    let witness = Witness { before: &before, after: Some(&after) };
    let decoded = decoded(&sent, Some(witness));
    assert!(matches!(decoded.outcome, Outcome::LostRace(_)), "{:?}", decoded.outcome);
}

#[test]
fn an_obsolete_reserve() {
    let mut stage = Stage::new();
    let usdc = stage.usdc;
    let plan = stage.sold();
    stage.world.edit_reserve(&usdc, |reserve| reserve.config.status = 1).unwrap();
    let sent = stage.send(&plan.instructions);
    assert_klend(&sent, 6082);
}

#[test]
fn a_market_in_emergency_mode() {
    let mut stage = Stage::new();
    let plan = stage.sold();
    let market = stage.world.market().unwrap();
    stage.world.edit_lending_market(&market, |market| market.emergency_mode = 1).unwrap();
    let sent = stage.send(&plan.instructions);
    assert_klend(&sent, 6042);
}

#[test]
fn a_reserve_that_lends_no_flash_loans() {
    let mut stage = Stage::new();
    set_flash_fee(&mut stage, u64::MAX);
    let plan = stage.sold();
    let sent = stage.send(&plan.instructions);
    assert_klend(&sent, 6036);
}

#[test]
fn a_fee_that_rose_after_the_quote() {
    let mut stage = Stage::new();
    let plan = stage.sold();
    // An eighth of the loan.
    set_flash_fee(&mut stage, 1 << 57);
    let sent = stage.send(&plan.instructions);
    assert_ours(&sent, FlashLiquidatorError::ProfitBelowMinimum);
}

#[test]
fn a_reserve_with_too_little_liquidity() {
    let mut stage = Stage::new();
    let mut rehearsal = stage.rehearsal();
    rehearsal.flash_amount = u64::MAX / 2;
    let plan = stage.plan(&rehearsal);
    let sent = stage.send(&plan.instructions);
    assert_klend(&sent, 6008);
}

#[test]
fn a_stake_that_was_never_opened() {
    let mut stage = Stage::new();
    let plan = stage.sold();
    let stake =
        plan.instructions[plan.liquidate_index()].accounts[COLLATERAL_FARM_USER_STATE].pubkey;
    assert_ne!(stake, KLEND_PROGRAM_ID, "the collateral has a farm");
    stage.put(&stake, Account::default());
    let sent = stage.send(&plan.instructions);
    let decoded = decoded(&sent, None);
    assert!(
        matches!(cause(&decoded), Cause::Anchor { code: 3007 | 3012, .. }),
        "{:?}",
        decoded.outcome
    );
}

#[test]
fn farm_accounts_left_out() {
    let mut stage = Stage::new();
    let mut plan = stage.sold();
    for position in [COLLATERAL_FARM_USER_STATE, COLLATERAL_FARM_STATE] {
        plan.liquidate().accounts[position] = AccountMeta::new_readonly(KLEND_PROGRAM_ID, false);
    }
    let sent = stage.send(&plan.instructions);
    assert_klend(&sent, 6120);
}

#[test]
fn a_market_that_wants_a_permissioner() {
    let mut stage = Stage::new();
    let plan = stage.sold();
    let market = stage.world.market().unwrap();
    let mut account = stage.account(&market);
    account.data[offset::MARKET_PERMISSIONED_OPS] = 4;
    account.data[offset::MARKET_PERMISSIONING_AUTHORITY] = 1;
    stage.put(&market, account);
    let sent = stage.send(&plan.instructions);
    assert_ours(&sent, FlashLiquidatorError::LiquidationPermissioned);
}

/// klend refuses token accounts that want a memo with every transfer.
#[test]
fn a_token_2022_extension_that_klend_refuses() {
    let mut stage = Stage::new();
    let (plan, debt) = token_2022_plan(&mut stage);
    let mut account = stage.account(&debt);
    account.data.resize(165, 0);
    // Account type 2, then extension 8 (MemoTransfer), one byte long, switched on.
    account.data.extend([2, 8, 0, 1, 0, 1]);
    stage.put(&debt, account);
    let sent = stage.send(&plan.instructions);
    assert_klend(&sent, 6108);
}

#[test]
fn token_2022_debt_without_such_an_extension() {
    let mut stage = Stage::new();
    let (plan, _) = token_2022_plan(&mut stage);
    stage.send(&plan.instructions).unwrap();
}

#[test]
fn a_frozen_debt_account() {
    let mut stage = Stage::new();
    let plan = stage.sold();
    let debt = stage.token_account(&stage.keeper.pubkey(), &stage.usdc);
    stage.edit_token_account(&debt, |account| account.state = AccountState::Frozen);
    let sent = stage.send(&plan.instructions);
    assert_token(&sent, 17);
}

#[test]
fn a_frozen_collateral_account() {
    let mut stage = Stage::new();
    let plan = stage.sold();
    let collateral = stage.token_account(&stage.keeper.pubkey(), &stage.sol);
    stage.edit_token_account(&collateral, |account| account.state = AccountState::Frozen);
    let sent = stage.send(&plan.instructions);
    assert_ours(&sent, FlashLiquidatorError::TokenAccountInvalid);
}

#[test]
fn a_closed_debt_account() {
    let mut stage = Stage::new();
    let plan = stage.sold();
    let debt = stage.token_account(&stage.keeper.pubkey(), &stage.usdc);
    stage.put(&debt, Account::default());
    let sent = stage.send(&plan.instructions);
    assert_anchor(&sent, 3012);
}

#[test]
fn a_closed_collateral_account() {
    let mut stage = Stage::new();
    let plan = stage.sold();
    let collateral = stage.token_account(&stage.keeper.pubkey(), &stage.sol);
    stage.put(&collateral, Account::default());
    let sent = stage.send(&plan.instructions);
    assert_ours(&sent, FlashLiquidatorError::TokenProgramMismatch);
}

/// Wrapped SOL is a token like any other: nothing is synchronised or closed, and
/// lamports beyond the balance stay where they are.
#[test]
fn wrapped_sol_with_lamports_that_are_not_synchronised() {
    let mut stage = Stage::new();
    let plan = stage.sold();
    let collateral = stage.token_account(&stage.keeper.pubkey(), &stage.sol);
    let mut account = stage.account(&collateral);
    account.lamports += 12_345;
    let lamports = account.lamports;
    stage.put(&collateral, account);
    stage.send(&plan.instructions).unwrap();
    assert_eq!(stage.account(&collateral).lamports, lamports);
}

#[test]
fn too_few_compute_units() {
    let mut stage = Stage::new();
    for units in [30_000, 60_000, 100_000] {
        let mut rehearsal = stage.rehearsal();
        rehearsal.compute_budget.unit_limit = Some(units);
        let plan = stage.plan(&rehearsal);
        let sent = stage.send(&plan.instructions);
        assert_eq!(*cause(&decoded(&sent, None)), Cause::OutOfComputeUnits, "{units} units");
    }
}

#[test]
fn one_account_for_two_roles() {
    for (role, other) in [
        (KEEPER_CTOKEN, KEEPER_COLLATERAL),
        (KEEPER_COLLATERAL, KEEPER_DEBT),
        (KEEPER_COLLATERAL, KEEPER_CTOKEN),
        (KEEPER_CTOKEN, FEE_VAULT),
    ] {
        let mut stage = Stage::new();
        let plan = stage.sold();
        let twice = plan.instructions[plan.liquidate_index()].accounts[other].pubkey;
        let sent = stage.send(&plan.account(role, &twice).instructions);
        assert_ours(&sent, FlashLiquidatorError::TokenAccountWrongMint);
    }
}

#[test]
fn a_debt_reserve_in_the_place_of_the_collateral_reserve() {
    let mut stage = Stage::new();
    let usdc = stage.usdc;
    let plan = stage.sold().account(WITHDRAW_RESERVE, &usdc);
    let sent = stage.send(&plan.instructions);
    assert_anchor(&sent, 2012);
}

// --- tools ------------------------------------------------------------------------

fn set_flash_fee(stage: &mut Stage, fee_sf: u64) {
    let usdc = stage.usdc;
    stage
        .world
        .edit_reserve(&usdc, |reserve| reserve.config.fees.flash_loan_fee_sf = fee_sf)
        .unwrap();
}

/// A liquidation of PYUSD debt, which is a Token-2022 token, and the keeper's
/// account of it. The keeper keeps the collateral.
fn token_2022_plan(stage: &mut Stage) -> (Plan, solana_address::Address) {
    let world = &mut stage.world;
    let (jitosol, pyusd) =
        (world.reserve_named("JITOSOL").unwrap(), world.reserve_named("PYUSD").unwrap());
    world.restamp_prices().unwrap();
    let borrower = world.actor("borrower of PYUSD");
    let obligation = world
        .open_position(
            &borrower,
            &Position::new(&[(jitosol, 1_000_000_000_000)], &[(pyusd, 70_000_000_000)]),
        )
        .unwrap();
    let price = world.price(&jitosol).unwrap().scaled(70, 100).unwrap();
    world.set_price(&jitosol, price).unwrap();
    let keeper = stage.keeper.pubkey();
    let mint = world.reserve_addresses(&pyusd).unwrap().liquidity_mint;
    let debt = world.give(&keeper, &mint, 2 * LOAN).unwrap();
    let mut rehearsal =
        Rehearsal::new(world, &keeper, &obligation, &pyusd, &jitosol, LOAN / 4).unwrap();
    rehearsal.terms.min_profit = i64::MIN;
    (Plan::new(rehearsal.instructions(&stage.world).unwrap()), debt)
}
