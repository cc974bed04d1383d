//! From a quote and a route to an executed transaction.

use flash_liquidator_client::{
    budget::{BudgetError, Format},
    bundle::{Bundle, Signed},
    compute_budget::ComputeBudget,
    flash_liquidation::{LiquidationError, Refresh},
    klend::FarmMode,
    nonce::{self, DurableNonce, NONCE_ACCOUNT_LEN},
    order::{Limits, Order},
    receiver::BuildError,
    tip::Tip,
    transaction::wire_bytes,
};
use klend_fork::{Position, World};
use klend_interface::state::Obligation;
use klend_model::{constants::SCOPE_PROGRAM_ID, keys::to_v2};
use solana_account::Account;
use solana_address::Address;
use solana_hash::Hash;
use solana_instruction::Instruction;
use solana_sdk_ids::system_program;
use solana_signer::Signer;

use crate::scene::{DEEP, Scene, assert_estimates_hold, event, order};

/// One deposit against one debt, whole tokens; the price of the deposit falls by a
/// quarter. The keeper has no token accounts.
fn scene(deposit: (&str, u64), borrow: (&str, u64), group: u8) -> Scene {
    let mut scene = healthy_scene(deposit, borrow, group);
    let deposit = reserve(&scene, deposit.0);
    let price = scene.world.price(&deposit).unwrap();
    scene.world.set_price(&deposit, price.scaled(75, 100).unwrap()).unwrap();
    scene.world.refresh(&scene.obligation).unwrap();
    scene
}

/// The same before the price falls.
fn healthy_scene(deposit: (&str, u64), borrow: (&str, u64), group: u8) -> Scene {
    let mut world = World::builtin().unwrap();
    world.restamp_prices().unwrap();
    let units = |world: &World, (symbol, tokens): (&str, u64)| {
        let reserve = world.reserve_named(symbol).unwrap();
        let mint = world.reserve_addresses(&reserve).unwrap().liquidity_mint;
        (reserve, tokens * 10u64.pow(world.decimals(&mint).unwrap().into()))
    };
    let (deposit, borrow) = (units(&world, deposit), units(&world, borrow));
    let borrower = world.actor("borrower");
    let position = Position::new(std::slice::from_ref(&deposit), std::slice::from_ref(&borrow));
    let obligation = world.open_position(&borrower, &position.in_group(group)).unwrap();
    let keeper = world.actor("keeper");
    Scene { world, keeper, obligation }
}

fn reserve(scene: &Scene, symbol: &str) -> Address {
    scene.world.reserve_named(symbol).unwrap()
}

/// The best liquidation's order, its pool, and what it is expected to leave.
fn best(scene: &mut Scene, collateral: &str, debt: &str) -> (Order, klend_fork::Pool, i128) {
    let (collateral, debt) = (reserve(scene, collateral), reserve(scene, debt));
    let pool = scene.world.create_pool_at_oracle_price(&collateral, &debt, DEEP, 30).unwrap();
    let best = scene.best(&[pool]);
    let order = Order::of(&best, &Limits::default()).unwrap();
    (order, pool, best.profit)
}

/// Creates the token accounts, liquidates, pays the quoted profit to the unit but
/// for the loan's margin, and every instruction uses what was estimated.
#[test]
fn a_quote_becomes_a_transaction_that_does_what_it_said() {
    for (deposit, borrow, group) in [
        (("SOL", 1_000), ("USDC", 110_000), 0),
        // A Token-2022 debt with a farm.
        (("SOL", 1_000), ("PYUSD", 110_000), 0),
        (("JITOSOL", 1_000), ("USDC", 95_000), 0),
        // An elevation group: the deposits are named again.
        (("SOL", 1_000), ("PYUSD", 125_000), 4),
    ] {
        for format in [Format::V0, Format::V1] {
            let mut scene = scene(deposit, borrow, group);
            let (order, pool, expected) = best(&mut scene, deposit.0, borrow.0);
            let position = scene.position();
            let route = scene.route(&position, &order, &pool);
            let mut liquidation =
                order.liquidation(&position, &scene.keeper.pubkey(), Some(route)).unwrap();
            liquidation.compute_budget.unit_limit = Some(1_000_000);
            let compiled = scene.compile(&mut liquidation, Some(format));
            // The keeper's three accounts and the swap authority's one.
            assert_eq!(liquidation.setup.len(), 4);
            assert_eq!(position.obligation.liquidation_tail().len(), usize::from(group != 0));
            let outcome = scene.send(&compiled).unwrap_or_else(|error| panic!("{error}"));
            let event = event(&outcome);
            let margin = i128::from(order.flash_amount);
            let slack = margin / 1_000_000 + 2;
            assert!(
                (i128::from(event.profit) - expected).abs() <= slack,
                "{deposit:?} {borrow:?}: {} instead of {expected}",
                event.profit
            );
            assert_estimates_hold(&compiled, &outcome);
            // Nothing is missing any more.
            let world = &scene.world;
            let mut again = order.liquidation(&position, &scene.keeper.pubkey(), None).unwrap();
            again.create_missing(|key| world.account(key).is_some()).unwrap();
            assert_eq!(again.setup, []);
        }
    }
}

/// A farm that the reserve got after the position was opened.
#[test]
fn a_stake_that_is_missing_is_created() {
    let mut scene = scene(("SOL", 1_000), ("PYUSD", 110_000), 0);
    let (order, pool, _) = best(&mut scene, "SOL", "PYUSD");
    let position = scene.position();
    let route = scene.route(&position, &order, &pool);
    let mut liquidation =
        order.liquidation(&position, &scene.keeper.pubkey(), Some(route)).unwrap();
    let stakes: Vec<Address> = liquidation
        .requirements()
        .unwrap()
        .iter()
        .filter(|wanted| wanted.create(&scene.keeper.pubkey()).is_some())
        .map(|wanted| wanted.address())
        .collect();
    assert_eq!(stakes.len(), 6, "four token accounts, two stakes");
    let stake = flash_liquidator_client::klend::farm_user_state(
        &position.reserve(&order.repay_reserve).unwrap().debt_farm.unwrap(),
        &scene.obligation,
    );
    assert_eq!(stakes[5], stake);
    let rent = scene.world.account(&stake).unwrap().lamports;
    scene.world.set_account(&stake, Account::default()).unwrap();
    liquidation.compute_budget.unit_limit = Some(1_000_000);
    let compiled = scene.compile(&mut liquidation, None);
    assert_eq!(liquidation.setup.len(), 5);
    let sent = scene.send_spending(&compiled, rent);
    let outcome = sent.unwrap_or_else(|error| panic!("{error}"));
    assert!(event(&outcome).profit > 0);
    assert!(scene.world.account(&stake).is_some());
}

/// Referrers who are paid since the debt was made.
#[test]
fn a_referrers_state_that_is_missing_is_created() {
    let mut scene = scene(("SOL", 1_000), ("USDC", 110_000), 0);
    let referrer = Address::new_from_array([5; 32]);
    let (order, pool, _) = best(&mut scene, "SOL", "USDC");
    let debt = order.repay_reserve;
    let market = scene.world.reserve_addresses(&debt).unwrap().lending_market;
    let edited = scene
        .world
        .edit_lending_market(&market, |market| market.referral_fee_bps = 2_000)
        .and_then(|()| {
            scene.world.edit_reserve(&debt, |reserve| reserve.config.protocol_take_rate_pct = 10)
        })
        .and_then(|()| {
            let named = |obligation: &mut Obligation| obligation.referrer = to_v2(&referrer);
            scene.world.edit_obligation(&scene.obligation, named)
        });
    edited.unwrap();
    // The reserve's next refresh sets something aside for him.
    scene.world.warp_slots(5);
    let position = scene.position();
    let route = scene.route(&position, &order, &pool);
    let mut liquidation =
        order.liquidation(&position, &scene.keeper.pubkey(), Some(route)).unwrap();
    let state = flash_liquidator_client::klend::referrer_token_state(&referrer, &debt);
    let wanted = liquidation.requirements().unwrap();
    assert_eq!(wanted.last().unwrap().address(), state);
    let wanted = wanted.iter().filter(|wanted| scene.world.account(&wanted.address()).is_none());
    let wanted = wanted.count();
    liquidation.compute_budget.unit_limit = Some(1_000_000);
    // Without it klend's program breaks off.
    liquidation.create_missing(|key| scene.world.account(key).is_some()).unwrap();
    let creation = liquidation.setup.pop().unwrap();
    let table = scene.world.create_lookup_table(&liquidation.lookup_candidates().unwrap()).unwrap();
    let compiled = scene.compile_with(&liquidation, None, &[table]);
    assert!(scene.send_spending(&compiled, 0).is_err());
    liquidation.setup.push(creation);

    let compiled = scene.compile(&mut liquidation, None);
    assert_eq!(liquidation.setup.len(), wanted);
    let rent = (360 + 128) * 6_960;
    let outcome = scene.send_spending(&compiled, rent).unwrap_or_else(|error| panic!("{error}"));
    assert!(event(&outcome).profit > 0);
    let paid = scene.world.account(&state).unwrap();
    assert_eq!((paid.data.len(), &paid.data[8..40]), (360, referrer.as_ref()));
    assert_eq!(paid.lamports, rent);
    // What he has earned: the interest since the obligation was refreshed, a fiftieth of it.
    let earned = u128::from_le_bytes(paid.data[72..88].try_into().unwrap());
    let kept = scene.world.reserve(&debt).unwrap().liquidity.accumulated_referrer_fees_sf;
    assert_eq!(earned, u128::from(kept));
}

#[test]
fn any_reserve_of_the_mint_may_lend() {
    let mut scene = scene(("SOL", 1_000), ("USDC", 110_000), 0);
    let (order, pool, _) = best(&mut scene, "SOL", "USDC");
    let other = *scene
        .world
        .reserves()
        .unwrap()
        .iter()
        .find(|(key, state)| {
            **key != order.repay_reserve
                && state.liquidity.mint_pubkey
                    == scene.world.reserve(&order.repay_reserve).unwrap().liquidity.mint_pubkey
        })
        .unwrap()
        .0;
    let order = Order { flash_reserve: other, ..order };
    let position = scene.position();
    let route = scene.route(&position, &order, &pool);
    let mut liquidation =
        order.liquidation(&position, &scene.keeper.pubkey(), Some(route)).unwrap();
    liquidation.compute_budget.unit_limit = Some(1_000_000);
    let compiled = scene.compile(&mut liquidation, None);
    let outcome = scene.send(&compiled).unwrap_or_else(|error| panic!("{error}"));
    assert_eq!(event(&outcome).flash_reserve, other);

    let unknown = Order { flash_reserve: Address::default(), ..order };
    let error = unknown.liquidation(&position, &scene.keeper.pubkey(), None).unwrap_err();
    assert_eq!(error, BuildError::LenderMissing { reserve: Address::default() });
}

/// One reserve on both sides: it is refreshed once, by itself.
#[test]
fn one_reserve_is_refreshed_by_itself() {
    let mut scene = healthy_scene(("USDC", 100_000), ("USDC", 75_000), 0);
    let usdc = reserve(&scene, "USDC");
    // Nothing but a lower threshold makes a position in one token unhealthy.
    scene
        .world
        .edit_reserve(&usdc, |reserve| {
            reserve.config.liquidation_threshold_pct = 70;
            reserve.config.loan_to_value_pct = 60;
        })
        .unwrap();
    scene.world.refresh(&scene.obligation).unwrap();
    let order = order(&scene, &usdc, &usdc, &Limits::default());
    let position = scene.position();
    let mut liquidation = order.liquidation(&position, &scene.keeper.pubkey(), None).unwrap();
    liquidation.compute_budget.unit_limit = Some(1_000_000);
    let compiled = scene.compile(&mut liquidation, None);
    let batched = {
        let mut batched = liquidation.clone();
        batched.refresh = Refresh::Batch;
        scene.compile(&mut batched, None)
    };
    assert_eq!(compiled.budget.bytes + 1, batched.budget.bytes);
    let outcome = scene.send(&compiled).unwrap_or_else(|error| panic!("{error}"));
    assert!(event(&outcome).profit >= 0);
}

#[test]
fn priority_fee_and_tip_are_paid_and_the_tip_is_spelled_out() {
    let tip = Tip { account: Address::new_from_array([77; 32]), lamports: 5_000_000 };
    let mut scene = scene(("SOL", 1_000), ("USDC", 110_000), 0);
    let (order, pool, _) = best(&mut scene, "SOL", "USDC");
    let position = scene.position();
    let route = scene.route(&position, &order, &pool);
    let mut liquidation =
        order.liquidation(&position, &scene.keeper.pubkey(), Some(route)).unwrap();
    liquidation.compute_budget = ComputeBudget { unit_limit: Some(600_000), unit_price: 2_000_000 };
    liquidation.tip = Some(tip);
    let compiled = scene.compile(&mut liquidation, Some(Format::V0));
    assert!(compiled.message.static_account_keys().contains(&tip.account));
    let signature = scene.keeper.sign_message(&compiled.message.serialize());
    let signed = Signed { signatures: vec![signature.into()], message: compiled.message.clone() };
    let bundle = Bundle::new(std::slice::from_ref(&signed), &tip).unwrap();
    assert_eq!(bundle.wire(), [wire_bytes(&signed.signatures, &signed.message)]);
    let sent = scene.send_spending(&compiled, tip.lamports);
    let outcome = sent.unwrap_or_else(|error| panic!("{error}"));
    // 5,000 for the signature, 600,000 units at 2 lamports.
    assert_eq!(outcome.fee, 5_000 + 1_200_000);
    assert_eq!(scene.world.account(&tip.account).unwrap().lamports, tip.lamports);
}

/// The account of a durable nonce, as the system program keeps it.
fn nonce_account(authority: &Address, value: Hash) -> Account {
    let mut data = vec![1, 0, 0, 0, 1, 0, 0, 0];
    data.extend(authority.as_ref());
    data.extend(value.as_ref());
    data.extend(5_000u64.to_le_bytes());
    assert_eq!(data.len(), NONCE_ACCOUNT_LEN);
    Account { lamports: 10_000_000, data, owner: system_program::ID, ..Account::default() }
}

#[test]
fn a_durable_nonce_stands_in_for_a_blockhash() {
    let mut scene = scene(("SOL", 1_000), ("USDC", 110_000), 0);
    let (mut order, pool, _) = best(&mut scene, "SOL", "USDC");
    let position = scene.position();
    let keeper = scene.keeper.pubkey();
    let account = Address::new_from_array([78; 32]);
    let stored = nonce_account(&keeper, Hash::new_from_array([5; 32]));
    let state = nonce::read(&stored.owner, &stored.data).unwrap();
    scene.world.set_account(&account, stored).unwrap();
    let durable = DurableNonce { account, state };

    let route = scene.route(&position, &order, &pool);
    let mut endless = order.liquidation(&position, &keeper, Some(route.clone())).unwrap();
    endless.nonce = Some(durable);
    let error = endless.compile(&[], Hash::default(), None).unwrap_err();
    assert!(
        matches!(error, LiquidationError::Build(BuildError::NonceWithoutDeadline { .. })),
        "{error}"
    );
    endless.terms.deadline_slot = scene.world.slot() + 100;
    endless.price_refresh =
        Some(Instruction { program_id: SCOPE_PROGRAM_ID, accounts: Vec::new(), data: Vec::new() });
    let error = endless.compile(&[], Hash::default(), None).unwrap_err();
    assert!(
        matches!(error, LiquidationError::Build(BuildError::NonceWithPriceRefresh { .. })),
        "{error}"
    );

    order.terms.deadline_slot = scene.world.slot() + 100;
    for format in [Format::V0, Format::V1] {
        let mut world = scene.world.clone();
        std::mem::swap(&mut world, &mut scene.world);
        let mut liquidation = order.liquidation(&position, &keeper, Some(route.clone())).unwrap();
        liquidation.compute_budget = ComputeBudget { unit_limit: Some(900_000), unit_price: 1 };
        liquidation.nonce = Some(durable);
        let compiled = scene.compile(&mut liquidation, Some(format));
        // The runtime looks for the nonce in the first instruction.
        assert_eq!(compiled.instructions[0], durable.advance());
        assert_eq!(*compiled.message.recent_blockhash(), state.value);
        // No blockhash is consulted; a transaction without the nonce is not so lucky.
        let outcome = scene.send(&compiled).unwrap_or_else(|error| panic!("{error}"));
        assert!(event(&outcome).profit > 0);
        let after = scene.world.account(&account).unwrap();
        assert_ne!(nonce::read(&after.owner, &after.data).unwrap().value, state.value);
        scene.world = world;
    }
}

#[test]
fn a_transaction_that_is_too_large_takes_the_other_format_or_says_why_not() {
    let mut scene = scene(("SOL", 1_000), ("USDC", 110_000), 0);
    let (order, pool, _) = best(&mut scene, "SOL", "USDC");
    let position = scene.position();
    let route = scene.route(&position, &order, &pool);
    let keeper = scene.keeper.pubkey();
    let mut liquidation = order.liquidation(&position, &keeper, Some(route)).unwrap();
    liquidation.compute_budget.unit_limit = Some(500_000);
    // Without a table the accounts do not fit v0.
    let compiled = scene.compile_with(&liquidation, None, &[]);
    assert_eq!(compiled.budget.format, Format::V1);
    let error = liquidation.compile(&[], Hash::default(), Some(Format::V0)).unwrap_err();
    assert!(error.to_string().contains("spelled out for it"), "{error}");

    // Fifty more accounts are more than a transaction may lock.
    let leg = &mut liquidation.route.as_mut().unwrap().legs[0];
    leg.accounts.extend((0..50).map(|n| {
        solana_instruction::AccountMeta::new_readonly(Address::new_from_array([100 + n; 32]), false)
    }));
    let error = liquidation.compile(&[], Hash::default(), None).unwrap_err();
    assert!(matches!(error, LiquidationError::Neither { .. }), "{error}");
    assert!(error.to_string().contains("accounts, 64 are allowed; instruction "), "{error}");

    // And too few compute units are refused before they cost a fee.
    liquidation.route = None;
    liquidation.compute_budget.unit_limit = Some(60_000);
    let addresses = liquidation.lookup_candidates().unwrap();
    let table = scene.world.create_lookup_table(&addresses).unwrap();
    let error = liquidation.compile(&[table], Hash::default(), Some(Format::V0)).unwrap_err();
    assert!(
        matches!(error, LiquidationError::Budget(BudgetError::Units { units: 60_000, .. })),
        "{error}"
    );
}

/// Farms are the reserves'; a reserve without one needs no stake.
#[test]
fn only_reserves_with_farms_want_stakes() {
    let scene = scene(("JITOSOL", 1_000), ("USDC", 95_000), 0);
    let (jitosol, usdc) = (reserve(&scene, "JITOSOL"), reserve(&scene, "USDC"));
    let position = scene.position();
    let order = order(&scene, &usdc, &jitosol, &Limits::default());
    let liquidation = order.liquidation(&position, &scene.keeper.pubkey(), None).unwrap();
    assert_eq!(liquidation.requirements().unwrap().len(), 3);
    for mode in [FarmMode::Collateral, FarmMode::Debt] {
        assert_eq!(mode.farm(position.reserve(&jitosol).unwrap()), None);
    }
    let sol = position.reserve(&reserve(&scene, "SOL")).unwrap();
    assert!(FarmMode::Collateral.farm(sol).is_some());
    // The reserve's own statement counts, not an address that could be derived.
    let mut state = scene.world.reserve(&sol.reserve).unwrap();
    state.farm_collateral = to_v2(&Address::new_from_array([6; 32]));
    let read = flash_liquidator_client::klend::ReserveAddresses::read(&sol.reserve, &state);
    assert_eq!(read.collateral_farm, Some(Address::new_from_array([6; 32])));
}
