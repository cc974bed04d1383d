//! Every instruction by itself: its accounts are all that it needs, and each that is
//! writable has to be.

use drift_stand_in::state::Prelaunch;
use flash_liquidator_client::perps::layout::oracle_source;

use super::*;

/// A body without the instructions of other programs.
fn of_the_exchange(scene: &Scene, body: Vec<Instruction>) -> Vec<Instruction> {
    let program = scene.exchange.program_id();
    body.into_iter().filter(|instruction| instruction.program_id == program).collect()
}

/// Sends each in a transaction of its own, and before that once more for every account
/// that is writable, with that one read-only.
fn each_needs_what_it_marks(scene: &mut Scene, what: &str, body: Vec<Instruction>) {
    let mint = scene.reserve.liquidity_mint;
    scene.world.give(&scene.keeper.pubkey(), &mint, LOAN).unwrap();
    for (number, instruction) in body.into_iter().enumerate() {
        let marked = instruction.accounts.iter().enumerate();
        let marked: Vec<_> = marked
            .filter(|(_, meta)| meta.is_writable && !meta.is_signer)
            .map(|(index, _)| index)
            .collect();
        for index in marked {
            let mut bent = instruction.clone();
            // An account that is listed twice is writable if it is so once.
            let key = bent.accounts[index].pubkey;
            for meta in bent.accounts.iter_mut().filter(|meta| meta.pubkey == key) {
                meta.is_writable = false;
            }
            let sent = scene.clone_world().world.send(&[bent], &[&scene.keeper]);
            assert!(
                matches!(sent, Err(ForkError::Failed(_))),
                "{what}, instruction {number}, account {index}: {sent:?}"
            );
        }
        let sent = scene.world.send(&[instruction], &[&scene.keeper]);
        sent.unwrap_or_else(|error| panic!("{what}, instruction {number}: {error}"));
    }
    assert!(scene.empty().is_ok(), "{what}");
}

#[test]
fn every_account_that_is_writable_has_to_be() {
    for exchange in Exchange::ALL {
        let mut scene = long(exchange);
        let body = scene.body(perp());
        each_needs_what_it_marks(&mut scene, &format!("{exchange}, perp"), body);

        // The deposit that is taken over is kept instead of being sold: the debt comes
        // out of the keeper's own dollars.
        let mut scene = Scene::new(exchange, -13_000 * USD, 100 * SOL, 0, 0);
        let body = scene.body(spot(&scene, SOL_MARKET, USDC_MARKET, 1));
        let body = of_the_exchange(&scene, body);
        each_needs_what_it_marks(&mut scene, &format!("{exchange}, spot"), body);

        let mut scene = Scene::new(exchange, 0, 100 * SOL, 0, -13_000 * USD);
        let body = scene.body(pnl(&scene, 1));
        let body = of_the_exchange(&scene, body);
        each_needs_what_it_marks(&mut scene, &format!("{exchange}, loss"), body);
    }
}

/// The same for what opens a sub-account, and what it costs.
#[test]
fn a_second_sub_account_is_opened_and_used() {
    for exchange in Exchange::ALL {
        let mut scene = long(exchange);
        let account = perps::SubAccount { id: 1, ..scene.account };
        let second = perps::initialize_user(account, [b' '; 32]);
        for index in 0..3 {
            let mut bent = second.clone();
            bent.accounts[index].is_writable = false;
            let sent = scene.clone_world().world.send(&[bent], &[&scene.keeper]);
            assert!(matches!(sent, Err(ForkError::Failed(_))), "{exchange}, account {index}");
        }
        // Not before its predecessor.
        let third = perps::SubAccount { id: 2, ..scene.account };
        let third = perps::initialize_user(third, [b' '; 32]);
        let sent = scene.world.send(&[third], &[&scene.keeper]);
        assert_eq!(refusal(sent), theirs(&scene, Error::InvalidUserSubAccountId));
        scene.world.send(&[second], &[&scene.keeper]).unwrap();

        scene.account = account;
        let lamports = |key: &Address| scene.world.account(key).unwrap().lamports;
        let rent = lamports(&account.address()) + lamports(&account.stats());
        let lengths = match exchange {
            Exchange::Drift => 4_376 + 240,
            Exchange::Velocity => 4_496 + 240,
        };
        // Two years' rent of a byte, and 128 bytes more for each account.
        assert_eq!(rent, (lengths + 2 * 128) * 6_960, "{exchange}");
        assert!(exchange != Exchange::Drift || rent == 33_909_120);
        let body = scene.body(perp());
        assert!(settled(&scene.send(body, 500 * USD).unwrap()).profit > 500 * USD);
        assert!(scene.empty().is_ok());
    }
}

/// Statistics are the account's own.
#[test]
fn statistics_of_somebody_else_are_refused() {
    let mut scene = long(Exchange::Drift);
    let (own, others) = (scene.account.stats(), scene.victim.stats());
    let body = scene.body(perp());
    for (number, wrong) in [(DEPOSIT, others), (LIQUIDATE, others), (CLOSE, others)] {
        let mut bent = body.clone();
        let listed = bent[number].accounts.iter_mut();
        for meta in listed.filter(|meta| meta.pubkey == own) {
            meta.pubkey = wrong;
        }
        assert_eq!(refusal(scene.send(bent, 0)), theirs(&scene, Error::ConstraintRaw), "{number}");
    }
    let mut bent = body;
    for meta in bent[LIQUIDATE].accounts.iter_mut().filter(|meta| meta.pubkey == others) {
        meta.pubkey = own;
    }
    assert_eq!(refusal(scene.send(bent, 0)), theirs(&scene, Error::ConstraintRaw));
}

/// In which order the oracles and the spot markets stand among themselves is all the
/// same.
#[test]
fn a_list_is_in_any_order() {
    for exchange in Exchange::ALL {
        let mut scene = long(exchange);
        let mut body = scene.body(perp());
        let own = |instruction: &Instruction| {
            instruction.accounts.iter().position(|meta| meta.pubkey == SOL_ORACLE).unwrap()
        };
        for number in [DEPOSIT, LIQUIDATE, CLOSE, SETTLE_PNL, WITHDRAW] {
            let first = own(&body[number]);
            body[number].accounts.swap(first, first + 1);
            body[number].accounts.swap(first + 2, first + 3);
        }
        assert!(settled(&scene.send(body, 500 * USD).unwrap()).profit > 500 * USD);
    }
}

/// The market of a token before its launch has an oracle that the exchange itself
/// writes: it is listed as writable where that happens, and has to be.
#[test]
fn an_oracle_that_the_exchange_writes_is_writable() {
    const ORACLE: Address = Address::new_from_array([203; 32]);
    for exchange in Exchange::ALL {
        let mut scene = long(exchange);
        let oracle =
            Prelaunch { price: PRICE, max_price: 2 * PRICE, updated_slot: scene.world.slot() };
        scene.write(&ORACLE, &oracle);
        scene.edit::<PerpMarket>(&exchange.perp_market(SOL_PERP), |market| {
            (market.oracle, market.oracle_source) = (ORACLE, oracle_source::PRELAUNCH);
        });
        scene.world.warp_slots(1);
        let body = scene.body(perp());
        let mut bent = body.clone();
        for instruction in &mut bent {
            for meta in instruction.accounts.iter_mut().filter(|meta| meta.pubkey == ORACLE) {
                meta.is_writable = false;
            }
        }
        let Err(ForkError::Failed(failure)) = scene.send(bent, 1) else { panic!("{exchange}") };
        let text = failure.to_string();
        assert!(text.contains("read-only account") || text.contains("Readonly"), "{text}");
        assert_eq!(failure.custom_code(), None, "{text}");
        assert!(settled(&scene.send(body, 500 * USD).unwrap()).profit > 500 * USD);
    }
}

/// Velocity appends fields to its accounts and lets old ones grow.
#[test]
fn velocitys_accounts_may_grow() {
    let mut scene = long(Exchange::Velocity);
    let grown = [
        scene.exchange.spot_market(USDC_MARKET),
        scene.exchange.spot_market(SOL_MARKET),
        scene.exchange.perp_market(SOL_PERP),
        scene.victim.address(),
        scene.account.address(),
    ];
    for key in grown {
        let mut account = scene.world.account(&key).unwrap();
        account.data.extend([0xaa; 256]);
        scene.world.set_account(&key, account).unwrap();
    }
    let body = scene.body(perp());
    assert!(settled(&scene.send(body, 500 * USD).unwrap()).profit > 500 * USD);
    assert!(scene.empty().is_ok());
}

/// Deposits are rounded down: a unit may not come back.
#[test]
fn a_unit_may_be_lost_to_rounding() {
    let scene = long(Exchange::Drift);
    let mint = scene.reserve.liquidity_mint;
    let (us, markets) = (scene.account, scene.markets());
    let mut lost = Vec::new();
    for units in [1_000_000, 1_000_003, 7_777_777, 20_000_000_001] {
        let mut probe = scene.clone_world();
        probe.world.give(&probe.keeper.pubkey(), &mint, units).unwrap();
        let deposit = perps::deposit(us, &markets, USDC_MARKET, &probe.usdc, units).unwrap();
        let back = withdraw(&probe, USDC_MARKET, &probe.usdc, Withdrawal::All);
        probe.world.send(&[deposit, back], &[&probe.keeper]).unwrap();
        lost.push(units - probe.world.balance(&probe.usdc).unwrap());
        assert!(probe.empty().is_ok());
    }
    assert!(lost.iter().all(|units| *units <= 1) && lost.contains(&1), "{lost:?}");
}
