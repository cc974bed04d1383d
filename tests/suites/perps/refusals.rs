//! What the exchange refuses when prices move fast, and what a keeper can do. With
//! `DRIFT_ELF` each answer is the real program's.

use drift_stand_in::state::BookSide;

use super::*;

/// A perp liquidation of the long victim, with the close bent.
fn with_close<'a>(scene: &Scene, close: impl FnOnce(&mut ClosePerp<'a>)) -> Vec<Instruction> {
    let mut order = ClosePerp {
        market: SOL_PERP,
        direction: Direction::Short,
        base: u64::MAX,
        limit_price: None,
        fill: Fill::Whole,
        makers: &[],
        order_book: None,
    };
    close(&mut order);
    let mut body = scene.body(perp());
    body[CLOSE] = perps::close_perp(scene.account, &scene.markets(), &order).unwrap();
    body
}

fn assert_refused(scene: &mut Scene, body: Vec<Instruction>, error: Error) {
    let sent: Sent = scene.send(body, 0);
    assert_eq!(refusal(sent), theirs(scene, error));
}

/// The flag belongs to an order with a price; a market order with it is refused.
#[test]
fn a_market_order_cannot_be_immediate_or_cancelled() {
    for exchange in Exchange::ALL {
        for fill in [Fill::Any, Fill::Part, Fill::Whole] {
            let mut scene = long(exchange);
            let mut body = with_close(&scene, |order| order.fill = fill);
            body[CLOSE].data[ORDER_TYPE] = 0;
            body[CLOSE].data[PRICE_BYTES].fill(0);
            assert_refused(&mut scene, body, Error::InvalidOrderIOC);
        }
    }
}

/// Where an order's type, price and flags stand in the instruction's data.
const ORDER_TYPE: usize = 8;
const PRICE_BYTES: std::ops::Range<usize> = 20..28;
const FLAGS: usize = 32;

/// 6041, 6019: a price that the program cannot count with is not "any price".
#[test]
fn prices_that_do_not_fit() {
    for exchange in Exchange::ALL {
        for (price, error) in
            [(u64::MAX, Error::CastingFailure), (i64::MAX as u64, Error::MathError)]
        {
            let mut scene = short(exchange);
            let mut body = scene.body(perp());
            body[CLOSE].data[PRICE_BYTES].copy_from_slice(&price.to_le_bytes());
            assert_refused(&mut scene, body, error);
        }
    }
}

/// What is not filled is dropped with the flag, and without it stays on the book.
#[test]
fn without_the_flag_an_order_rests() {
    for exchange in Exchange::ALL {
        for (flags, resting) in [(1, 0), (0, 1)] {
            let mut scene = long(exchange);
            let mint = scene.reserve.liquidity_mint;
            scene.world.give(&scene.keeper.pubkey(), &mint, LOAN).unwrap();
            let mut body = with_close(&scene, |order| {
                order.limit_price = Some(PRICE as u64);
                order.fill = Fill::Any;
            });
            body[CLOSE].data[FLAGS] = flags;
            // The market maker does not fill on a price of another slot.
            scene.world.warp_slots(1);
            scene.world.send(&body[DEPOSIT..=CLOSE], &[&scene.keeper]).unwrap();
            let left = left_over(&scene);
            assert_eq!(left.open_orders, resting, "{exchange}");
            let position = left.perp_positions().next().unwrap();
            assert_eq!(position.open_orders, resting, "{exchange}");
            assert!(position.base > 0, "nothing is filled");
        }
    }
}

/// An order only reduces: asking for more than there is closes what there is, and
/// counts as filled whole.
#[test]
fn whole_of_too_much_is_filled() {
    for exchange in Exchange::ALL {
        for fill in [Fill::Any, Fill::Part, Fill::Whole] {
            // All there is: far more than is handed over, and a step more than that.
            for base in [u64::MAX, 2_000 * SOL as u64, 833_350_000_000] {
                let mut scene = long(exchange);
                let body = with_close(&scene, |order| (order.base, order.fill) = (base, fill));
                assert!(settled(&scene.send(body, 0).unwrap()).profit > 0);
                assert!(scene.empty().is_ok(), "no order rests");
            }
        }
    }
}

/// 6004: not unhealthy (any more). 6003: the loan is too small.
#[test]
fn health_of_both_sides() {
    for exchange in Exchange::ALL {
        let mut scene = Scene::new(exchange, 20_000 * USD, 0, 1_000 * SOL, -150_000 * USD);
        let body = scene.body(perp());
        assert_refused(&mut scene, body, Error::SufficientCollateral);

        let mut scene = long(exchange);
        let mut body = scene.body(perp());
        let (us, markets) = (scene.account, scene.markets());
        let small = 5_000 * USD as u64;
        body[DEPOSIT] = perps::deposit(us, &markets, USDC_MARKET, &scene.usdc, small).unwrap();
        assert_refused(&mut scene, body, Error::InsufficientCollateral);
    }
}

/// 6156: a position is taken over at its limit price, and at no worse one. 6289: the
/// market does not pay what the keeper wants.
#[test]
fn prices_that_the_keeper_does_not_accept() {
    for exchange in Exchange::ALL {
        let mut scene = long(exchange);
        let (us, user, markets) = (scene.account, scene.user(), scene.markets());
        let price = PRICE as u64 * 99 / 100;
        for (limit, is_met) in [(price, true), (price - 1, false)] {
            let mut body = scene.body(perp());
            let limit = Some(limit);
            body[LIQUIDATE] =
                perps::liquidate_perp(us, &user, &markets, SOL_PERP, u64::MAX, limit).unwrap();
            if is_met {
                let mut probe = scene.clone_world();
                probe.send(body, 0).unwrap();
            } else {
                assert_refused(&mut scene, body, Error::LiquidationDoesntSatisfyLimitPrice);
            }
        }
        let body = with_close(&scene, |order| order.limit_price = Some(PRICE as u64 + 1_000_000));
        assert_refused(&mut scene, body, Error::PlaceAndTakeOrderSuccessConditionFailed);
    }
}

/// A price that is met.
#[test]
fn closing_at_a_limit() {
    for exchange in Exchange::ALL {
        // A hundredth below the oracle: the market maker's spread and curve are within.
        let mut scene = long(exchange);
        let limit = Some(PRICE as u64 * 99 / 100);
        let body = with_close(&scene, |order| order.limit_price = limit);
        assert!(settled(&scene.send(body, 1).unwrap()).profit > 0);
    }
}

/// 6023: settling is refused when the oracle is more than a tenth of itself away from
/// its average of five minutes, which a minute moves by a fifth of the way, and never by
/// a price that is more than a tenth away. Liquidating and closing go on.
#[test]
fn a_fast_move() {
    // Per cent that the price falls in a minute, and dollars behind the position.
    for (fall, dollars, is_refused) in
        [(13, 22_000, true), (11, 21_000, true), (10, 20_000, false), (8, 16_000, false)]
    {
        let mut scene = Scene::new(Exchange::Drift, dollars * USD, 0, 1_000 * SOL, -1_000 * PRICE);
        scene.let_the_curve_follow();
        scene.world.warp_seconds(60);
        scene.set_price(PRICE * (100 - fall) / 100);
        let body = scene.body(perp());
        if is_refused {
            let mint = scene.reserve.liquidity_mint;
            let mut probe = scene.clone_world();
            probe.world.give(&probe.keeper.pubkey(), &mint, LOAN).unwrap();
            probe.world.send(&body[DEPOSIT..=CLOSE], &[&probe.keeper]).unwrap();
            assert_eq!(left_over(&probe).perp_positions().next().unwrap().base, 0);
            assert_refused(&mut scene, body, Error::PriceBandsBreached);
            // Minutes later the average has followed.
            let key = scene.exchange.perp_market(SOL_PERP);
            let price = PRICE * (100 - fall) / 100;
            scene.edit::<PerpMarket>(&key, |market| market.average.price = price);
            let body = scene.body(perp());
            scene.send(body, 0).unwrap();
        } else {
            scene.send(body, 0).unwrap();
        }
    }
}

/// 6023: nothing is liquidated at a price that is half of the average away from it.
#[test]
fn a_price_that_is_far_from_its_average() {
    let mut scene = long(Exchange::Drift);
    let key = scene.exchange.perp_market(SOL_PERP);
    for (average, is_refused) in [(95, true), (96, false)] {
        scene.edit::<PerpMarket>(&key, |market| market.average.price = average * USD);
        let (us, user, markets) = (scene.account, scene.user(), scene.markets());
        let mint = scene.reserve.liquidity_mint;
        let mut probe = scene.clone_world();
        probe.world.give(&probe.keeper.pubkey(), &mint, LOAN).unwrap();
        let deposit = perps::deposit(us, &markets, USDC_MARKET, &probe.usdc, LOAN).unwrap();
        let liquidate =
            perps::liquidate_perp(us, &user, &markets, SOL_PERP, u64::MAX, None).unwrap();
        let sent = probe.world.send(&[deposit, liquidate], &[&probe.keeper]);
        if is_refused {
            assert_eq!(refusal(sent), theirs(&scene, Error::PriceBandsBreached));
        } else {
            sent.unwrap();
        }
    }
}

/// 6023 at the limit: the oracle against its five minutes' average.
#[test]
fn settling_after_a_fast_move() {
    for (average, is_refused) in [(128, true), (132, false)] {
        let mut scene = long(Exchange::Drift);
        let key = scene.exchange.perp_market(SOL_PERP);
        scene.edit::<PerpMarket>(&key, |market| market.average.price = average * USD);
        let body = scene.body(perp());
        if is_refused {
            assert_refused(&mut scene, body, Error::PriceBandsBreached);
        } else {
            scene.send(body, 0).unwrap();
        }
    }
}

/// 6128: what may leave the market today has left it, and the loan would be more.
/// 6038: the loan does not fit into the market.
#[test]
fn limits_of_the_quote_market() {
    for exchange in Exchange::ALL {
        let mut scene = long(exchange);
        let key = scene.exchange.spot_market(USDC_MARKET);
        scene.edit::<SpotMarket>(&key, |market| market.deposit_twap = 100_000_000 * USD as u64);
        let body = scene.body(perp());
        assert_refused(&mut scene, body, Error::DailyWithdrawLimit);

        let mut scene = long(exchange);
        scene.edit::<SpotMarket>(&key, |market| market.max_deposits = 615_000 * USD as u64);
        let body = scene.body(perp());
        assert_refused(&mut scene, body, Error::MaxDeposit);

        // The same for a deposit that was taken over, of a market that is thin.
        let mut scene = Scene::new(exchange, -13_000 * USD, 100 * SOL, 0, 0);
        let key = scene.exchange.spot_market(SOL_MARKET);
        scene.edit::<SpotMarket>(&key, |market| market.deposit_twap = 10_000 * SOL as u64);
        let body = scene.body(spot(&scene, SOL_MARKET, USDC_MARKET, 1));
        assert_refused(&mut scene, body, Error::DailyWithdrawLimit);
    }
}

/// 6289: the exchange's own market maker fills at once only on a price of this very
/// slot, unless the market allows an older one, and not while it is paused.
#[test]
fn closing_on_an_old_price() {
    for exchange in Exchange::ALL {
        for (age, allowed, is_filled) in [
            (0, -1, true),
            (1, -1, false),
            (5, -1, false),
            (11, -1, false),
            (3, 5, true),
            (6, 5, false),
        ] {
            let mut scene = long(exchange);
            let key = scene.exchange.perp_market(SOL_PERP);
            scene.edit::<PerpMarket>(&key, |market| market.oracle_delay = allowed);
            let body = scene.body(perp());
            scene.world.warp_slots(age);
            if is_filled {
                scene.send(body, 0).unwrap();
            } else {
                assert_refused(&mut scene, body, Error::PlaceAndTakeOrderSuccessConditionFailed);
            }
        }
    }
}

/// 6289: it fills nothing either while it has lost much lately.
#[test]
fn closing_in_a_drawdown() {
    let key = Exchange::Drift.perp_market(SOL_PERP);
    // Of ten millions that it has kept, two hundredths.
    for (lost, is_filled) in [(199_000, true), (201_000, false)] {
        let mut scene = long(Exchange::Drift);
        scene.edit::<PerpMarket>(&key, |market| market.recent_revenue = -lost * USD);
        let body = scene.body(perp());
        if is_filled {
            scene.send(body, 0).unwrap();
        } else {
            assert_refused(&mut scene, body, Error::PlaceAndTakeOrderSuccessConditionFailed);
        }
    }
}

/// On an old price, orders of the makers that are named fill instead.
#[test]
fn a_makers_resting_order_closes_on_an_old_price() {
    for is_long in [true, false] {
        let mut scene = if is_long { long(Exchange::Drift) } else { short(Exchange::Drift) };
        // A little worse than the oracle.
        let (side, price) = if is_long {
            (BookSide::Bid, PRICE - USD / 10)
        } else {
            (BookSide::Ask, PRICE + USD / 10)
        };
        let maker = scene.open_maker(side, price, 1_000 * SOL);
        let makers = [maker];
        let direction = if is_long { Direction::Short } else { Direction::Long };
        let close = |order: &mut ClosePerp| order.direction = direction;
        let without = with_close(&scene, close);
        let body = with_close(&scene, |order| {
            close(order);
            order.makers = &makers;
        });
        scene.world.warp_slots(5);
        assert_refused(&mut scene, without, Error::PlaceAndTakeOrderSuccessConditionFailed);
        let outcome = scene.send(body, 500 * USD).unwrap();
        assert!(settled(&outcome).profit > 500 * USD);
        assert!(scene.empty().is_ok());
        let traded: User = scene.read(&maker.user);
        let traded = traded.perp_positions().next().unwrap().base;
        // The real market maker takes a quarter: it makes along with others.
        assert!(if is_long { traded > 600 * SOL } else { traded < -600 * SOL }, "{traded}");
        println!("with a maker: {} bytes, {} CU", outcome.bytes, outcome.units);
    }
}

/// 6024: deposits, withdrawals, fills, liquidations or settling are paused. 6289 for
/// the market maker.
#[test]
fn pauses() {
    for (bit, error) in [
        (1, Error::ExchangePaused),
        (2, Error::ExchangePaused),
        (4, Error::PlaceAndTakeOrderSuccessConditionFailed),
        (8, Error::ExchangePaused),
        (16, Error::ExchangePaused),
        (64, Error::ExchangePaused),
    ] {
        let mut scene = long(Exchange::Drift);
        let key = scene.exchange.state();
        scene.edit::<State>(&key, |state| state.paused = bit);
        let body = scene.body(perp());
        assert_refused(&mut scene, body, error);
    }
}

/// 6030: a keeper that somebody referred has to name its referrer.
#[test]
fn a_referrer_is_named_among_the_makers() {
    let mut scene = long(Exchange::Drift);
    let referrer = scene.victim.authority;
    let stats = scene.account.stats();
    scene.edit::<UserStats>(&stats, |stats| stats.referrer = referrer);
    let body = scene.body(perp());
    assert_refused(&mut scene, body, Error::ReferrerStatsNotFound);
    let maker = Maker { user: scene.victim.address(), stats: scene.victim.stats() };
    let body = with_close(&scene, |order| order.makers = std::slice::from_ref(&maker));
    assert!(settled(&scene.send(body, 0).unwrap()).profit > 0);
}

pub fn set_pool(scene: &mut Scene, units: i64) {
    let (perp, quote) = (scene.exchange.perp_market(SOL_PERP), scene.exchange.spot_market(0));
    let mut market: SpotMarket = scene.read(&quote);
    let mut pool = scene.read::<PerpMarket>(&perp).pnl_pool;
    let held = market.tokens(pool, false).unwrap();
    market.add_to_pool(&mut pool, i128::from(units) - held).unwrap();
    scene.write(&quote, &market);
    scene.edit::<PerpMarket>(&perp, |market| market.pnl_pool = pool);
}

/// 6260: the pool that profits are paid from is empty. Settling the loss of the user
/// that was just liquidated fills it; anybody may sign for that.
#[test]
fn an_empty_pool_pays_once_a_loss_is_settled() {
    for exchange in Exchange::ALL {
        let mut scene = long(exchange);
        set_pool(&mut scene, 0);
        let body = scene.body(perp());
        assert_refused(&mut scene, body, Error::PnlPoolCantSettleUser);
        // The rest of the victim's position is settled with it.
        let losers = [scene.victim];
        let body = scene.body(perp_after(&losers));
        let profit = settled(&scene.clone_world().send(body, 0).unwrap()).profit;
        assert!(profit > 600 * USD, "{profit}");
        // Somebody else's loss does it as well.
        let losers = [scene.open_loser(5_000 * USD)];
        set_pool(&mut scene, 0);
        let body = scene.body(perp_after(&losers));
        let profit = settled(&scene.send(body, 0).unwrap()).profit;
        assert!(profit > 600 * USD, "{profit}");
    }
}

fn perp_after(settle_first: &[perps::SubAccount]) -> TakeOver<'_> {
    TakeOver::Perp {
        market: SOL_PERP,
        max_base: u64::MAX,
        limit_price: None,
        close_limit: None,
        makers: &[],
        order_book: None,
        settle_first,
    }
}

/// A pool that has only a part pays it; the rest stays, is shown, and counts for
/// nothing. With `Leftover::Refuse` it undoes the transaction instead.
#[test]
fn a_pool_with_a_part_pays_the_part() {
    for exchange in Exchange::ALL {
        let mut scene = long(exchange);
        set_pool(&mut scene, 90 * USD);
        let mut body = scene.body(perp());
        let refused = refusal(scene.send(body.clone(), 0));
        assert_eq!(refused, theirs(&scene, Error::PerpMarketNotFound));
        // As `Leftover::Allow` builds it.
        body.pop();
        let refused = ours(FlashLiquidatorError::ProfitBelowMinimum);
        assert_eq!(refusal(scene.send(body.clone(), 200 * USD)), refused);
        let profit = settled(&scene.send(body, 1).unwrap()).profit;
        // The real program takes the market's fees out of the pool first.
        let least = if is_real(exchange) { 1 } else { 80 * USD };
        assert!((least..=90 * USD).contains(&profit), "{profit}");
        let key = scene.account.address();
        let account = scene.world.account(&key).unwrap();
        let left = perps::User::read(&key, &account.owner, &account.data).unwrap();
        let unsettled = left.perp(SOL_PERP).unwrap();
        assert_eq!(unsettled.base, 0);
        assert!(unsettled.quote > 500 * USD, "{unsettled:?}");
    }
}

/// When the user can leave its liquidation by itself, the program says Ok and hands
/// nothing over; then there is nothing to close.
#[test]
fn a_liquidation_that_is_over_hands_nothing_over() {
    let mut scene = Scene::new(Exchange::Drift, 30_000 * USD, 0, 1_000 * SOL, -150_000 * USD);
    let key = scene.victim.address();
    scene.edit::<User>(&key, |user| user.status = drift_stand_in::state::BEING_LIQUIDATED);
    let quote = scene.quoted(|view, state, slot| view.quote_perp(state, SOL_PERP, u64::MAX, slot));
    assert_eq!(quote, Ok(None));
    let body = scene.body(perp());
    let refused = refusal(scene.send(body, 0));
    let possible =
        [Error::PlaceAndTakeOrderSuccessConditionFailed, Error::ReduceOnlyOrderIncreasedRisk];
    assert!(possible.map(|error| theirs(&scene, error)).contains(&refused), "{refused:?}");
    // Without the close there is nothing to settle.
    let mut body = scene.body(perp());
    body.remove(CLOSE);
    assert_refused(&mut scene, body, Error::UserHasNoPositionInMarket);

    // The other two.
    for mut scene in [
        Scene::new(Exchange::Drift, -10_000 * USD, 100 * SOL, 0, 0),
        Scene::new(Exchange::Drift, 0, 100 * SOL, 0, -10_000 * USD),
    ] {
        let key = scene.victim.address();
        scene.edit::<User>(&key, |user| user.status = drift_stand_in::state::BEING_LIQUIDATED);
        let is_loss = scene.user().perp(SOL_PERP).is_ok();
        let mut body = if is_loss {
            scene.body(pnl(&scene, 1))
        } else {
            scene.body(spot(&scene, SOL_MARKET, USDC_MARKET, 1))
        };
        let before = scene.read::<User>(&key);
        let mint = scene.reserve.liquidity_mint;
        let mut probe = scene.clone_world();
        probe.world.give(&probe.keeper.pubkey(), &mint, LOAN).unwrap();
        probe.world.send(&body[DEPOSIT..=LIQUIDATE], &[&probe.keeper]).unwrap();
        let after = probe.read::<User>(&key);
        assert_eq!((after.spot, after.perp), (before.spot, before.perp));
        assert_eq!(after.status, 0, "its liquidation is over");
        // The keeper is left with nothing to sell: its loan comes back, and no profit.
        body.retain(|instruction| instruction.program_id == scene.exchange.program_id());
        let refused = refusal(scene.send(body, 0));
        let possible = [
            theirs(&scene, Error::UserHasNoPositionInMarket),
            theirs(&scene, Error::InsufficientDeposit),
            ours(FlashLiquidatorError::ProfitBelowMinimum),
        ];
        assert!(possible.contains(&refused), "{refused:?}");
    }
}

/// 6120, 6010.
#[test]
fn oneself_and_twice() {
    for exchange in Exchange::ALL {
        let mut scene = long(exchange);
        let mut body = scene.body(perp());
        let (us, stats) = (scene.account.address(), scene.account.stats());
        (body[LIQUIDATE].accounts[4].pubkey, body[LIQUIDATE].accounts[5].pubkey) = (us, stats);
        assert_refused(&mut scene, body, Error::UserCantLiquidateThemself);
        let mut body = scene.body(perp());
        body.insert(SETTLE_PNL, body[SETTLE_PNL].clone());
        assert_refused(&mut scene, body, Error::UserHasNoPositionInMarket);
    }
}
