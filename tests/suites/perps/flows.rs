//! Whole liquidations beside the plain one: a borrow of the other token, an isolated
//! position, amounts by the quote, the pace of a liquidation, limit prices.

use super::*;

/// SOL is owed and dollars are deposited: the keeper buys SOL with its own loan, pays
/// it in and gets more dollars back than it paid.
#[test]
fn a_borrow_of_the_other_token_is_bought_and_paid_in() {
    for exchange in Exchange::ALL {
        // 100 SOL owed at 143: 15,730 dollars are required; 15,500 are there.
        let mut scene = Scene::new(exchange, 15_500 * USD, -100 * SOL, 0, 0);
        let owed = match exchange {
            Exchange::Drift => {
                let quote = scene.quoted(|view, state, slot| {
                    view.quote_spot(state, USDC_MARKET, SOL_MARKET, u128::MAX, slot)
                });
                quote.unwrap().unwrap().liability as u64
            }
            // Nothing is quoted: less than half of it.
            Exchange::Velocity => 45 * SOL as u64,
        };
        // Part of the loan stays outside, to buy with; a little more SOL is bought than
        // is owed, because prices of pools are not exact.
        let price = PRICE as u64 * 1_006 / 1_000;
        let spent = owed / 1_000 * price / 1_000_000;
        let bought = scene.bought(spent);
        let take_over = TakeOver::Spot {
            asset: USDC_MARKET,
            liability: SOL_MARKET,
            max_liability: owed.into(),
            limit_price: None,
            token_account: scene.sol,
            trade: vec![scene.buy(spent)],
            repay: bought,
        };
        assert!(bought >= owed, "{bought} bought of {owed}");
        let body = scene.body_with(LOAN - spent, take_over);
        let outcome = scene.send(body, 100 * USD).unwrap();
        let event = settled(&outcome);
        let worth = owed as i64 / 1_000 * (PRICE / 1_000) / 1_000;
        let share = event.profit * 1_000 / worth;
        // Five per cent for the borrow, less what the pool costs and what was bought
        // too much, which is left in SOL.
        assert!((38..=50).contains(&share), "{} of {worth}", event.profit);
        let left = scene.world.balance(&scene.sol).unwrap();
        assert!((1..owed / 100).contains(&left), "{left}");
        assert!(scene.empty().is_ok());
        println!(
            "{exchange} liquidate_spot, bought: {event:?}, {} bytes, {} CU",
            outcome.bytes, outcome.units
        );
    }
}

/// What is sold is what the quote says is handed over, without asking the program
/// first.
#[test]
fn quotes_say_how_much_to_sell() {
    for (what, share) in [("all at once", 10_000), ("at a fifth's pace", 2_000)] {
        let mut scene = Scene::new(Exchange::Drift, -13_000 * USD, 100 * SOL, 0, 0);
        set_pace(&mut scene, share);
        let quote = scene
            .quoted(|view, state, slot| {
                view.quote_spot(state, SOL_MARKET, USDC_MARKET, u128::MAX, slot)
            })
            .unwrap()
            .unwrap();
        let sold = quote.asset as u64;
        let body = scene.body(spot(&scene, SOL_MARKET, USDC_MARKET, sold));
        let profit = settled(&scene.send(body, 1).unwrap()).profit;
        assert_eq!(scene.world.balance(&scene.sol).unwrap(), 0, "{what}");
        println!("{what}: {} of 100 SOL, profit {profit}", sold as f64 / 1e9);

        let mut scene = Scene::new(Exchange::Drift, 0, 100 * SOL, 0, -13_000 * USD);
        set_pace(&mut scene, share);
        let quote = scene
            .quoted(|view, state, slot| {
                view.quote_pnl_for_deposit(state, SOL_PERP, SOL_MARKET, u128::MAX, slot)
            })
            .unwrap()
            .unwrap();
        let body = scene.body(pnl(&scene, quote.asset as u64));
        assert!(settled(&scene.send(body, 1).unwrap()).profit > 0);
        assert_eq!(scene.world.balance(&scene.sol).unwrap(), 0, "{what}");
    }
}

fn set_pace(scene: &mut Scene, share: u16) {
    let key = scene.exchange.state();
    scene.edit::<State>(&key, |state| state.initial_share = share);
}

/// 6156: a deposit is paid at its limit price, and at no better one.
#[test]
fn limit_prices_are_in_millionths_of_the_deposit() {
    let mut scene = Scene::new(Exchange::Drift, -13_000 * USD, 100 * SOL, 0, 0);
    let quote = scene
        .quoted(|view, state, slot| {
            view.quote_spot(state, SOL_MARKET, USDC_MARKET, u128::MAX, slot)
        })
        .unwrap()
        .unwrap();
    // 1.05 dollars in SOL of 143.
    assert_eq!(quote.price, 7_342);
    let (us, user, markets) = (scene.account, scene.user(), scene.markets());
    for (limit, is_met) in [(7_342, true), (7_343, false)] {
        let mut body = scene.body(spot(&scene, SOL_MARKET, USDC_MARKET, quote.asset as u64));
        let (most, limit) = (u128::MAX, Some(limit));
        body[LIQUIDATE] =
            perps::liquidate_spot(us, &user, &markets, SOL_MARKET, USDC_MARKET, most, limit)
                .unwrap();
        let sent = scene.clone_world().send(body.clone(), 1);
        assert_eq!(sent.is_ok(), is_met);
        if !is_met {
            let refused = theirs(&scene, Error::LiquidationDoesntSatisfyLimitPrice);
            assert_eq!(refusal(scene.send(body, 1)), refused);
        }
    }

    let mut scene = Scene::new(Exchange::Drift, 0, 100 * SOL, 0, -13_000 * USD);
    let quote = scene
        .quoted(|view, state, slot| {
            view.quote_pnl_for_deposit(state, SOL_PERP, SOL_MARKET, u128::MAX, slot)
        })
        .unwrap()
        .unwrap();
    let (us, user, markets) = (scene.account, scene.user(), scene.markets());
    for (more, is_met) in [(0, true), (1, false)] {
        let mut body = scene.body(pnl(&scene, quote.asset as u64));
        let limit = Some(quote.price as u64 + more);
        let most = u128::MAX;
        body[LIQUIDATE] = perps::liquidate_perp_pnl_for_deposit(
            us, &user, &markets, SOL_PERP, SOL_MARKET, most, limit,
        )
        .unwrap();
        if is_met {
            scene.clone_world().send(body, 1).unwrap();
        } else {
            let refused = theirs(&scene, Error::LiquidationDoesntSatisfyLimitPrice);
            assert_eq!(refusal(scene.send(body, 1)), refused);
        }
    }
}

/// An isolated position is backed by its own collateral alone, and goes at once,
/// whatever the pace of others.
#[test]
fn an_isolated_position_is_taken_over() {
    let mut scene = long(Exchange::Drift);
    set_pace(&mut scene, 2_000);
    scene.isolate();
    let health = scene.quoted(|view, _, _| view.isolated_health(SOL_PERP, 0)).unwrap();
    assert!(health.is_liquidatable(), "{health:?}");
    // 3,000 dollars and what rounding takes; 7,150 are required.
    let worth = 2_999_999_000..=3_000_000_000;
    assert!(worth.contains(&health.collateral) && health.requirement == 7_150_000_000);
    let account = scene.quoted(|view, _, _| view.health(0)).unwrap();
    assert!(!account.is_liquidatable(), "the account itself has nothing: {account:?}");
    let quote = scene
        .quoted(|view, state, slot| view.quote_perp(state, SOL_PERP, u64::MAX, slot))
        .unwrap()
        .unwrap();
    let before = scene.user().perp(SOL_PERP).unwrap().base;
    let body = scene.body(perp());
    let outcome = scene.send(body, 500 * USD).unwrap();
    let after = scene.user().perp(SOL_PERP).unwrap().base;
    assert_eq!(before.abs_diff(after), quote.base);
    assert!(!scene.user().is_being_liquidated);
    assert!(settled(&outcome).profit > 500 * USD);
    assert!(scene.empty().is_ok());
    println!("isolated: {} bytes, {} CU", outcome.bytes, outcome.units);

    // With enough of its own it is left alone.
    let mut scene = Scene::new(Exchange::Drift, 20_000 * USD, 0, 1_000 * SOL, -150_000 * USD);
    scene.isolate();
    let body = scene.body(perp());
    assert_eq!(refusal(scene.send(body, 0)), theirs(&scene, Error::SufficientCollateral));
}

/// A fifth may be freed at once. Waiting alone does not change that: the clock starts
/// with the first liquidation; thirty slots of 150 later it is a fifth more.
#[test]
fn the_pace_of_a_liquidation() {
    let mut scene = long(Exchange::Drift);
    let whole = quoted_base(&scene);
    set_pace(&mut scene, 2_000);
    let fifth = quoted_base(&scene);
    // Shares are in ten-thousandths, cut off.
    assert!((whole / 5).abs_diff(fifth) <= whole / 10_000, "{fifth} of {whole}");
    scene.world.warp_slots(30);
    assert_eq!(quoted_base(&scene), fifth);

    let mut handed_over = Vec::new();
    for _ in 0..2 {
        let posted = scene.world.slot();
        scene.edit::<drift_stand_in::state::Oracle>(&SOL_ORACLE, |oracle| {
            oracle.posted_slot = posted;
        });
        let quote = quoted_base(&scene);
        let before = scene.user().perp(SOL_PERP).unwrap().base;
        let body = scene.body(perp());
        scene.send(body, 1).unwrap();
        let after = scene.user().perp(SOL_PERP).unwrap().base;
        assert_eq!(before.abs_diff(after), quote);
        assert!(scene.user().is_being_liquidated, "it is not over");
        handed_over.push(quote);
        // In the same slot there is no more than what rounding left.
        let more = quoted_base(&scene);
        assert!(more < fifth / 200, "{more}");
        scene.world.warp_slots(30);
    }
    assert_eq!(handed_over[0], fifth);
    assert!(handed_over[1].abs_diff(fifth) <= fifth / 20, "{handed_over:?}");
    println!(
        "{whole} at once are {} % of the position, a fifth's pace {} %",
        whole as f64 / 1e10,
        fifth as f64 / 1e10
    );
}

fn quoted_base(scene: &Scene) -> u64 {
    let quote = scene.quoted(|view, state, slot| view.quote_perp(state, SOL_PERP, u64::MAX, slot));
    quote.unwrap().map_or(0, |quote| quote.base)
}

/// Accounts of another pool of markets: nothing is built for a keeper of pool 0, and
/// the program refuses what is built by hand (6302).
#[test]
fn accounts_of_another_pool_are_left_alone() {
    for exchange in Exchange::ALL {
        let mut scene = Scene::new(exchange, -13_000 * USD, 100 * SOL, 0, 0);
        let built = scene.body(spot(&scene, SOL_MARKET, USDC_MARKET, 1));
        let victim = scene.victim.address();
        scene.edit::<User>(&victim, |user| user.pool_id = 1);
        for index in [USDC_MARKET, SOL_MARKET] {
            let key = exchange.spot_market(index);
            scene.edit::<SpotMarket>(&key, |market| market.pool_id = 1);
        }
        let (user, markets) = (scene.user(), scene.markets());
        let liquidation = perps::PerpLiquidation {
            account: scene.empty().unwrap(),
            user: &user,
            markets: &markets,
            token_account: scene.usdc,
            loan: LOAN,
            take_over: spot(&scene, SOL_MARKET, USDC_MARKET, 1),
            leftover: perps::Leftover::Refuse,
        };
        let refused = PerpError::OtherPool { address: victim, found: 1, expected: 0 };
        assert_eq!(liquidation.body().unwrap_err(), refused);
        let sent = scene.world.send(&[built[LIQUIDATE].clone()], &[&scene.keeper]);
        assert_eq!(refusal(sent), theirs(&scene, Error::InvalidPoolId));
    }
}
