//! What the exchange refuses when prices move fast, and what a keeper can do. With
//! `DRIFT_ELF` each answer is the real program's.

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
        let mut scene = long(exchange);
        let mut body = scene.body(perp());
        // Order type Market, price 0.
        body[CLOSE].data[8] = 0;
        body[CLOSE].data[20..28].fill(0);
        assert_refused(&mut scene, body, Error::InvalidOrderIOC);
    }
}

/// An order only reduces: asking for more than there is closes what there is, and
/// counts as filled whole.
#[test]
fn whole_of_too_much_is_filled() {
    for exchange in Exchange::ALL {
        for fill in [Fill::Any, Fill::Part, Fill::Whole] {
            for base in [u64::MAX, 2_000 * SOL as u64] {
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

/// 6023: the oracle is more than a tenth from its five minutes' average.
#[test]
fn settling_after_a_fast_move() {
    for (average, is_refused) in [(128, true), (132, false)] {
        let mut scene = long(Exchange::Drift);
        let key = scene.exchange.perp_market(SOL_PERP);
        scene.edit::<PerpMarket>(&key, |market| market.twap_5min = average * USD);
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
        scene.edit::<SpotMarket>(&key, |market| market.max_deposits = 115_000 * USD as u64);
        let body = scene.body(perp());
        assert_refused(&mut scene, body, Error::MaxDeposit);
    }
}

/// 6289: the exchange's own market maker fills at once only on a price of this very
/// slot, unless the market allows an older one, and not while it is paused.
#[test]
fn closing_on_an_old_price() {
    for exchange in Exchange::ALL {
        for (age, allowed, is_filled) in
            [(0, -1, true), (1, -1, false), (3, 5, true), (6, 5, false)]
        {
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
        if is_real(exchange) {
            // The rest of the victim's position is settled with it.
            let losers = [scene.victim];
            let body = scene.body(perp_after(&losers));
            let profit = settled(&scene.send(body, 0).unwrap()).profit;
            assert!(profit > 600 * USD, "{profit}");
        }
    }
    // The stand-in settles closed positions only: a loser without one.
    if !is_real(Exchange::Drift) {
        for exchange in Exchange::ALL {
            let mut scene = long(exchange);
            let loser = scene.open_loser(5_000 * USD);
            set_pool(&mut scene, 0);
            let losers = [loser];
            let body = scene.body(perp_after(&losers));
            assert!(settled(&scene.send(body, 0).unwrap()).profit > 600 * USD);
        }
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
    let slot = scene.world.slot();
    let user = scene.user();
    let (markets, prices) = (scene.markets(), scene.prices());
    let view = perps::View { user: &user, markets: &markets, prices: &prices };
    assert_eq!(view.quote_perp(&scene.state(), SOL_PERP, u64::MAX, slot), Ok(None));
    let body = scene.body(perp());
    let refused = refusal(scene.send(body, 0));
    let possible =
        [Error::PlaceAndTakeOrderSuccessConditionFailed, Error::ReduceOnlyOrderIncreasedRisk];
    assert!(possible.map(|error| theirs(&scene, error)).contains(&refused), "{refused:?}");
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
