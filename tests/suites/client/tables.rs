//! The life of a lookup table, by the lookup table program.

use flash_liquidator_client::{
    budget::Format,
    decode::{Cause, Executed, Outcome, decode},
    lookup_table,
    order::Limits,
};
use klend_fork::ForkError;
use solana_signer::Signer;

use crate::scene::{DEEP, Scene, event, order};

#[test]
fn a_table_is_made_used_retired_and_closed() {
    let (mut scene, sol, usdc) = Scene::fallen();
    let key = scene.keeper.pubkey();

    // The lasting table of a keeper: all reserves of the market.
    let position = scene.position();
    let market: Vec<_> = position
        .reserves
        .iter()
        .filter(|reserve| reserve.lending_market == position.obligation.lending_market)
        .copied()
        .collect();
    let addresses = lookup_table::for_reserves(&key, &market);
    let slot = scene.world.slot();
    scene.world.svm().set_sysvar(&solana_slot_hashes::SlotHashes::new(&[(
        slot - 1,
        solana_hash::Hash::new_from_array([1; 32]),
    )]));
    let (transactions, table) = lookup_table::create_and_extend(&key, &key, slot - 1, &addresses);
    assert!(transactions.len() > 1);
    for instructions in &transactions {
        scene.world.send(instructions, &[&scene.keeper]).unwrap();
    }
    let read = |scene: &Scene| {
        let account = scene.world.account(&table).unwrap();
        lookup_table::read(&table, &account.owner, &account.data)
    };
    let held = read(&scene).unwrap();
    assert_eq!(held.addresses, addresses);

    // A whole liquidation fits with it, though it knows nothing of the pool and
    // the obligation. Its addresses count from the next slot on.
    scene.world.warp_slots(1);
    let pool = scene.world.create_pool_at_oracle_price(&sol, &usdc, DEEP, 30).unwrap();
    let order = order(&scene, &usdc, &sol, &Limits::default());
    let route = scene.route(&position, &order, &pool);
    let mut liquidation = order.liquidation(&position, &key, Some(route)).unwrap();
    liquidation.compute_budget.unit_limit = Some(600_000);
    let wanted = liquidation.lookup_candidates().unwrap();
    let missing = lookup_table::missing(&wanted, std::slice::from_ref(&held));
    // Obligation, stake, scratch of the pool: nothing of the market.
    assert!(missing.len() <= 8, "{missing:?}");
    let world = &scene.world;
    liquidation.create_missing(|key| world.account(key).is_some()).unwrap();
    let compiled = scene.compile_with(&liquidation, Some(Format::V0), &[held]);
    println!("{} bytes with the lasting table", compiled.budget.bytes);
    let outcome = scene.send(&compiled).unwrap_or_else(|error| panic!("{error}"));
    assert!(event(&outcome).profit > 0);

    // Retired, it cannot be relied on; closed at once it cannot be.
    scene.world.send(&[lookup_table::deactivate(&table, &key)], &[&scene.keeper]).unwrap();
    assert_eq!(read(&scene), None);
    let account = scene.world.account(&table).unwrap();
    let retired = lookup_table::retired_since(&account.owner, &account.data).unwrap().unwrap();
    let close = lookup_table::close(&table, &key, &key);
    let Err(ForkError::Failed(failure)) =
        scene.world.send(std::slice::from_ref(&close), &[&scene.keeper])
    else {
        panic!("a table just retired was closed");
    };
    let executed =
        Executed { error: Some(&failure.error), logs: &failure.outcome.logs, programs: &[] };
    let Outcome::Failed(failed) = decode(&executed, None).outcome else { panic!("not closed") };
    assert!(matches!(failed.cause, Cause::Instruction { .. }), "{failed:?}");

    let slot = scene.world.slot();
    assert_eq!(retired, slot);
    scene.world.warp_slots(600);
    scene.world.svm().set_sysvar(&solana_slot_hashes::SlotHashes::new(&[(
        slot + 599,
        solana_hash::Hash::new_from_array([2; 32]),
    )]));
    let before = scene.world.account(&key).unwrap().lamports;
    scene.world.send(&[close], &[&scene.keeper]).unwrap();
    assert!(scene.world.account(&table).is_none_or(|account| account.lamports == 0));
    assert!(scene.world.account(&key).unwrap().lamports > before, "the rent came back");
}
