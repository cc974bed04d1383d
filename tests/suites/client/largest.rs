//! The largest obligation there is, eight deposits and five debts with farms on
//! both sides, liquidated through the receiver with a swap leg, in both formats.

use flash_liquidator_client::{
    budget::Format,
    compute_budget::{ComputeBudget, MAX_COMPUTE_UNITS},
    flash_liquidation::Refresh,
    klend::FarmMode,
    order::Limits,
};
use klend_fork::{Pool, Position, World};
use solana_address::Address;
use solana_signer::Signer;

use crate::scene::{DEEP, Scene, assert_estimates_hold, event, order};

const DEPOSITS: usize = 8;
const BORROWS: usize = 5;

/// The obligation, its first deposit's reserve, its first debt's, and a pool of
/// the two.
fn largest() -> (Scene, Address, Address, Pool) {
    let mut world = World::builtin().unwrap();
    world.restamp_prices().unwrap();
    let (sol, usdc) = (world.reserve_named("SOL").unwrap(), world.reserve_named("USDC").unwrap());
    let both = [FarmMode::Collateral, FarmMode::Debt];
    let mut reserves = |template: &Address, kind: &str, count: usize| -> Vec<Address> {
        (0..count)
            .map(|n| world.add_reserve_like(template, &format!("{kind}{n}"), &both).unwrap())
            .collect()
    };
    let collaterals = reserves(&sol, "COLL", DEPOSITS);
    let debts = reserves(&usdc, "DEBT", BORROWS);

    // 100 SOL-like tokens each, 110,000 dollars of debt in five parts.
    let deposits: Vec<_> = collaterals.iter().map(|key| (*key, 125_000_000_000)).collect();
    let borrows: Vec<_> = debts.iter().map(|key| (*key, 22_000_000_000)).collect();
    let borrower = world.actor("borrower");
    let obligation = world.open_position(&borrower, &Position::new(&deposits, &borrows)).unwrap();
    let price = world.price(&sol).unwrap();
    world.set_price(&sol, price.scaled(80, 100).unwrap()).unwrap();
    world.refresh(&obligation).unwrap();
    let (withdraw, repay) = (collaterals[0], debts[0]);
    let pool = world.create_pool_at_oracle_price(&withdraw, &repay, DEEP, 30).unwrap();
    let keeper = world.actor("keeper");
    (Scene { world, keeper, obligation }, withdraw, repay, pool)
}

#[test]
fn it_is_liquidated_in_one_transaction_of_either_format() {
    let (opened, withdraw, repay, pool) = largest();
    for format in [Format::V0, Format::V1] {
        let mut scene =
            Scene { world: opened.world.clone(), keeper: opened.keeper.insecure_clone(), ..opened };
        let position = scene.position();
        assert_eq!(position.obligation.deposit_reserves.len(), DEPOSITS);
        assert_eq!(position.obligation.borrow_reserves.len(), BORROWS);
        let order = order(&scene, &repay, &withdraw, &Limits::default());
        let route = scene.route(&position, &order, &pool);
        let mut liquidation =
            order.liquidation(&position, &scene.keeper.pubkey(), Some(route)).unwrap();
        liquidation.compute_budget =
            ComputeBudget { unit_limit: Some(MAX_COMPUTE_UNITS), unit_price: 1_000 };
        // The keeper has done this before.
        for requirement in liquidation.requirements().unwrap() {
            let creation = requirement.create(&scene.keeper.pubkey()).unwrap();
            if scene.world.account(&requirement.address()).is_none() {
                scene.world.send(&[creation], &[&scene.keeper]).unwrap();
            }
        }
        let compiled = scene.compile(&mut liquidation, Some(format));
        let outcome = scene.send(&compiled).unwrap();
        let event = event(&outcome);
        assert!(event.profit > 0, "{event:?}");
        assert!(event.debt_repaid <= order.flash_amount);
        assert!(event.collateral_received >= order.terms.min_collateral_received);
        assert_eq!(outcome.bytes, compiled.budget.bytes);
        assert!(outcome.bytes <= format.max_bytes());
        assert!(compiled.budget.accounts <= 64);
        println!(
            "{format:?}: {} bytes, {} accounts, {} compute units",
            outcome.bytes, compiled.budget.accounts, outcome.units
        );
        assert!(outcome.units <= u64::from(MAX_COMPUTE_UNITS));
        assert_estimates_hold(&compiled, &outcome);
    }
}

#[test]
fn one_batch_is_smaller_than_thirteen_refreshes() {
    let (mut scene, withdraw, repay, pool) = largest();
    let position = scene.position();
    let order = order(&scene, &repay, &withdraw, &Limits::default());
    let route = scene.route(&position, &order, &pool);
    let mut liquidation =
        order.liquidation(&position, &scene.keeper.pubkey(), Some(route)).unwrap();
    liquidation.compute_budget.unit_limit = Some(MAX_COMPUTE_UNITS);
    let mut bytes = |refresh| {
        liquidation.refresh = refresh;
        scene.compile(&mut liquidation, None).budget.bytes
    };
    let (smallest, batch, each) =
        (bytes(Refresh::Smallest), bytes(Refresh::Batch), bytes(Refresh::Each));
    println!("batch {batch}, each {each}");
    assert_eq!(smallest, batch);
    // 17 bytes each, against 12 and 6 each.
    assert_eq!(each - batch, 13 * 17 - (12 + 13 * 6));
}
