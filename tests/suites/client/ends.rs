//! How transactions end, told from what the runtime reports.

use flash_liquidator_client::{
    decode::{Cause, Executed, Outcome, Witness, decode},
    flash_liquidation::Compiled,
    order::Limits,
};
use klend_fork::{ForkError, World};
use solana_account::Account;
use solana_address::Address;
use solana_hash::Hash;
use solana_signer::Signer;
use solana_transaction_error::TransactionError;

use crate::scene::{DEEP, Scene, order};

/// An unhealthy obligation and the transaction that liquidates it.
fn scene() -> (Scene, Compiled) {
    let (mut scene, sol, usdc) = Scene::fallen();
    let pool = scene.world.create_pool_at_oracle_price(&sol, &usdc, DEEP, 30).unwrap();
    let position = scene.position();
    let order = order(&scene, &usdc, &sol, &Limits::default());
    let route = scene.route(&position, &order, &pool);
    let mut liquidation =
        order.liquidation(&position, &scene.keeper.pubkey(), Some(route)).unwrap();
    liquidation.compute_budget.unit_limit = Some(600_000);
    let compiled = scene.compile(&mut liquidation, None);
    (scene, compiled)
}

/// Sends and reads what came of it, with the obligation before and after.
fn outcome(scene: &mut Scene, compiled: &Compiled, before: &World) -> Outcome {
    let Err(ForkError::Failed(failure)) = scene.send(compiled) else { panic!("it succeeded") };
    let programs: Vec<Address> = compiled.instructions.iter().map(|ix| ix.program_id).collect();
    let executed =
        Executed { error: Some(&failure.error), logs: &failure.outcome.logs, programs: &programs };
    let then = before.obligation(&scene.obligation).unwrap();
    let now = scene.world.obligation(&scene.obligation).ok();
    let witness = Witness { before: &then, after: now.as_ref() };
    let decoded = decode(&executed, Some(witness)).outcome;
    let failure = decoded.failure().unwrap();
    let words = failure.cause.explain();
    assert!(words.sentence.len() > 10 && words.hint.len() > 10, "{words}");
    decoded
}

#[test]
fn a_price_that_comes_back_is_healthy_again() {
    let (mut scene, compiled) = scene();
    let before = scene.world.clone();
    let sol = scene.world.reserve_named("SOL").unwrap();
    let price = scene.world.price(&sol).unwrap();
    scene.world.set_price(&sol, price.scaled(130, 100).unwrap()).unwrap();
    let outcome = outcome(&mut scene, &compiled, &before);
    assert!(matches!(outcome, Outcome::HealthyAgain(_)), "{outcome:?}");
}

#[test]
fn another_keeper_first_is_a_lost_race() {
    let (mut scene, compiled) = scene();
    let before = scene.world.clone();
    // The other one takes the position below the line, again and again.
    for round in 0.. {
        assert!(round < 60, "the obligation never recovers");
        scene.world.svm().expire_blockhash();
        let sol = scene.world.reserve_named("SOL").unwrap();
        let usdc = scene.world.reserve_named("USDC").unwrap();
        let obligation = scene.world.obligation(&scene.obligation).unwrap();
        if !obligation.is_liquidatable() {
            break;
        }
        let rival = scene.world.actor("rival");
        let position = scene.position();
        let order =
            order(&scene, &usdc, &sol, &Limits { min_profit: i64::MIN, ..Limits::default() });
        let mine = std::mem::replace(&mut scene.keeper, rival);
        let mut liquidation = order.liquidation(&position, &scene.keeper.pubkey(), None).unwrap();
        liquidation.compute_budget.unit_limit = Some(600_000);
        // It repays out of its own pocket and keeps the collateral.
        let usdc_mint = position.reserve(&usdc).unwrap().liquidity_mint;
        let key = scene.keeper.pubkey();
        scene.world.give(&key, &usdc_mint, order.flash_amount * 2).unwrap();
        let theirs = scene.compile(&mut liquidation, None);
        scene.send(&theirs).unwrap_or_else(|error| panic!("{error}"));
        scene.keeper = mine;
        scene.world.refresh(&scene.obligation).unwrap();
    }
    // The transaction was made on a blockhash that has passed in the meantime.
    let message = with_blockhash(&compiled, scene.world.svm().latest_blockhash());
    let outcome = outcome(&mut scene, &message, &before);
    assert!(matches!(outcome, Outcome::LostRace(_)), "{outcome:?}");
}

fn with_blockhash(compiled: &Compiled, blockhash: Hash) -> Compiled {
    let mut compiled = compiled.clone();
    compiled.message.set_recent_blockhash(blockhash);
    compiled
}

/// An account without a deposit and without a debt is closed.
#[test]
fn an_obligation_that_is_gone_is_a_lost_race() {
    let (mut scene, compiled) = scene();
    let before = scene.world.clone();
    scene.world.set_account(&scene.obligation, Account::default()).unwrap();
    let outcome = outcome(&mut scene, &compiled, &before);
    assert!(matches!(outcome, Outcome::LostRace(_)), "{outcome:?}");
}

#[test]
fn exhausted_units_and_old_blockhashes_are_told_apart() {
    let (mut scene, _) = scene();
    let before = scene.world.clone();
    let position = scene.position();
    let (sol, usdc) =
        (scene.world.reserve_named("SOL").unwrap(), scene.world.reserve_named("USDC").unwrap());
    let order = order(&scene, &usdc, &sol, &Limits::default());
    let mut liquidation = order.liquidation(&position, &scene.keeper.pubkey(), None).unwrap();
    let estimate =
        flash_liquidator_client::units::estimate_all(&liquidation.instructions().unwrap());
    // Just what is not refused beforehand.
    liquidation.compute_budget.unit_limit = Some(estimate.at_least + 15_000);
    let compiled = scene.compile(&mut liquidation, None);
    let failed = outcome(&mut scene, &compiled, &before);
    let Outcome::Failed(failure) = failed else { panic!("{failed:?}") };
    assert_eq!(failure.cause, Cause::OutOfComputeUnits);

    let old = with_blockhash(&compiled, Hash::new_from_array([3; 32]));
    let failed = outcome(&mut scene, &old, &before);
    let Outcome::Failed(failure) = failed else { panic!("{failed:?}") };
    assert_eq!(failure.cause, Cause::Transaction(TransactionError::BlockhashNotFound));
    assert!(failure.cause.explain().hint.contains("fresh"));
}
