//! Liquidations on perp exchanges under a klend flash loan, all at top level:
//! borrow, `open`, require empty, deposit, take over, close and settle or sell,
//! withdraw, `settle`, repay.
//!
//! The exchange is a stand-in that plays Drift or Velocity and says what differs;
//! ids, discriminators, account orders and layouts are the exchanges', and the
//! instructions are those of the client. With `DRIFT_ELF` set, Drift is the real
//! program; klend is the stand-in, or the real one with `KLEND_ELF` and `FARMS_ELF`.

use drift_stand_in::{
    error::Error,
    state::{PerpMarket, SpotMarket, State, User, UserStats},
};
use flash_liquidator::FlashLiquidatorError;
use flash_liquidator_client::{
    perps::{self, ClosePerp, Direction, Exchange, Fill, Maker, PerpError, TakeOver, Withdrawal},
    receiver,
    transaction::MAX_TRANSACTION_BYTES,
};
use klend_fork::{ForkError, Outcome, TOKEN_2022_PROGRAM_ID};
use solana_address::Address;
use solana_instruction::{AccountMeta, Instruction};
use solana_signer::Signer;

mod alone;
mod complete;
mod flows;
mod keeper;
#[path = "../../../crates/keeper/tests/cli/node.rs"]
#[allow(dead_code)]
mod node;
mod quotes;
mod refusals;
mod scene;

use scene::*;

/// What [`node`] tells of tips, which nobody pays here.
mod sending {
    pub const TIP_ACCOUNT: &str = "Cdah2U5ak3JjX9UjTPhRZEuMtkDdWbwympS5HqZ7uXkV";
}

/// The victim was long 1,000 SOL at 150 with 10,000 USDC: 3,000 are left to back
/// what takes 7,150.
fn long(exchange: Exchange) -> Scene {
    Scene::new(exchange, 10_000 * USD, 0, 1_000 * SOL, -150_000 * USD)
}

/// The same the other way round: short 1,000 SOL at 136.
fn short(exchange: Exchange) -> Scene {
    Scene::new(exchange, 10_000 * USD, 0, -1_000 * SOL, 136_000 * USD)
}

/// Everything of the perp position that Drift hands over, at any price.
fn perp<'a>() -> TakeOver<'a> {
    TakeOver::Perp {
        market: SOL_PERP,
        max_base: u64::MAX,
        limit_price: None,
        close_limit: None,
        makers: &[],
        order_book: None,
        settle_first: &[],
    }
}

/// Where the instructions of a perp liquidation stand in its body.
const REQUIRE_EMPTY: usize = 0;
const DEPOSIT: usize = 1;
const LIQUIDATE: usize = 2;
const CLOSE: usize = 3;
const SETTLE_PNL: usize = 4;
const WITHDRAW: usize = 5;

fn withdraw(scene: &Scene, market: u16, to: &Address, amount: Withdrawal) -> Instruction {
    perps::withdraw(scene.account, &scene.markets(), market, to, amount).unwrap()
}

fn ours(error: FlashLiquidatorError) -> (Address, u32) {
    (receiver::PROGRAM_ID, error.into())
}

fn theirs(scene: &Scene, error: Error) -> (Address, u32) {
    (scene.exchange.program_id(), error as u32)
}

/// What the keeper has left on the exchange.
fn left_over(scene: &Scene) -> User {
    scene.read(&scene.account.address())
}

#[test]
fn a_perp_position_is_taken_over_closed_and_settled() {
    for exchange in Exchange::ALL {
        for mut scene in [long(exchange), short(exchange)] {
            let before = scene.user().perp(SOL_PERP).unwrap().base;
            let quote = |view: perps::View, state: &perps::State, slot| {
                view.quote_perp(state, SOL_PERP, u64::MAX, slot)
            };
            let expected = match exchange {
                Exchange::Drift => scene.quoted(quote).unwrap().unwrap().base,
                // What Drift would hand over at this pace: the stand-in knows no other.
                Exchange::Velocity => 833_340_000_000,
            };
            let body = scene.body(perp());
            let outcome = scene.send(body, 600 * USD).unwrap();
            let event = settled(&outcome);
            let after = scene.user().perp(SOL_PERP).unwrap().base;
            assert_eq!(before.abs_diff(after), expected, "{exchange}");
            // One per cent of what was handed over; less the market's spread and fee, and
            // on a real curve the way of its price.
            let discount =
                (i128::from(expected) * i128::from(PRICE) / i128::from(SOL) / 100) as i64;
            let least =
                if exchange == Exchange::Drift { discount * 3 / 4 } else { discount * 99 / 100 };
            let least = if is_real(exchange) { discount * 6 / 10 } else { least };
            assert!((least..=discount).contains(&event.profit), "{} of {discount}", event.profit);
            assert_eq!(scene.world.balance(&scene.usdc).unwrap() as i64, event.profit);
            assert_eq!(left_over(&scene).perp_positions().count(), 0, "the position is closed");
            assert_eq!(left_over(&scene).spot_positions().count(), 0, "everything is withdrawn");
            assert!(scene.empty().is_ok(), "and it can be used again");
            assert!(outcome.bytes <= MAX_TRANSACTION_BYTES, "{} bytes", outcome.bytes);
            println!(
                "{exchange}, {before}: {expected} handed over, {event:?}, {} bytes, {} CU",
                outcome.bytes, outcome.units
            );
            for instruction in &outcome.instructions {
                println!("  {:?} {:?}", instruction.name, instruction.units);
            }
        }
    }
}

#[test]
fn velocitys_order_book_is_named_behind_the_wallet() {
    let mut scene = long(Exchange::Velocity);
    let key = |byte| Address::new_from_array([byte; 32]);
    let order_book = Some(perps::OrderBook { quoter_slab: key(210), clob_market: key(211) });
    let TakeOver::Perp { market, max_base, limit_price, close_limit, makers, settle_first, .. } =
        perp()
    else {
        unreachable!()
    };
    let take_over = TakeOver::Perp {
        market,
        max_base,
        limit_price,
        close_limit,
        makers,
        order_book,
        settle_first,
    };
    let body = scene.body(take_over);
    assert!(settled(&scene.send(body, 1).unwrap()).profit > 0);
}

#[test]
fn makers_are_named_behind_the_markets() {
    for exchange in Exchange::ALL {
        let mut scene = long(exchange);
        let maker = Maker { user: scene.victim.address(), stats: scene.victim.stats() };
        let makers = [maker];
        let order = ClosePerp {
            market: SOL_PERP,
            direction: Direction::Short,
            base: u64::MAX,
            limit_price: None,
            fill: Fill::Whole,
            makers: &makers,
            order_book: None,
        };
        let mut body = scene.body(perp());
        body[CLOSE] = perps::close_perp(scene.account, &scene.markets(), &order).unwrap();
        let mut alone = body.clone();
        alone[CLOSE].accounts.pop();
        assert_eq!(refusal(scene.send(alone, 1)), theirs(&scene, Error::UserStatsNotFound));
        assert!(settled(&scene.send(body, 1).unwrap()).profit > 0);
    }
}

/// Sells units of SOL that a liquidation is expected to bring.
fn spot(scene: &Scene, asset: u16, liability: u16, sold: u64) -> TakeOver<'static> {
    TakeOver::Spot {
        asset,
        liability,
        max_liability: u128::MAX,
        limit_price: None,
        token_account: scene.sol,
        trade: vec![scene.sell(sold)],
        repay: 0,
    }
}

/// What a liquidation of 13,000 USDC owed against 100 SOL brings: asked of the
/// program by sending it without the sale.
fn collateral(scene: &Scene) -> u64 {
    let mut probe = scene.clone_world();
    let mint = scene.reserve.liquidity_mint;
    probe.world.give(&probe.keeper.pubkey(), &mint, LOAN).unwrap();
    let mut body = probe.body(spot(&probe, SOL_MARKET, USDC_MARKET, 1));
    body.truncate(LIQUIDATE + 2);
    probe.world.send(&body, &[&probe.keeper]).unwrap();
    probe.world.balance(&probe.sol).unwrap()
}

#[test]
fn a_borrow_is_taken_over_and_its_collateral_sold_at_top_level() {
    for exchange in Exchange::ALL {
        // 13,000 USDC owed, 100 SOL deposited: 12,870 of 14,300 dollars count.
        let open = || Scene::new(exchange, -13_000 * USD, 100 * SOL, 0, 0);
        let mut scene = open();
        let collateral = collateral(&scene);
        let body = scene.body(spot(&scene, SOL_MARKET, USDC_MARKET, collateral));
        let outcome = scene.send(body, 100 * USD).unwrap();
        let event = settled(&outcome);
        // Five per cent of what was taken over, less the pool's fee and slippage.
        let worth = collateral as i64 / 1_000 * (PRICE / 1_000) / 1_000;
        let share = event.profit * 1_000 / worth;
        assert!((44..=48).contains(&share), "{} of {worth}", event.profit);
        assert_eq!(scene.world.balance(&scene.sol).unwrap(), 0);
        assert_eq!(scene.world.balance(&scene.usdc).unwrap() as i64, event.profit);
        assert!(scene.empty().is_ok());
        println!("{exchange} liquidate_spot: {} bytes, {} CU", outcome.bytes, outcome.units);

        // Without the sale the debt taken over is not covered.
        let mut scene = open();
        let mut unsold = scene.body(spot(&scene, SOL_MARKET, USDC_MARKET, collateral));
        unsold.remove(4);
        let refused = ours(FlashLiquidatorError::ProfitBelowMinimum);
        assert_eq!(refusal(scene.send(unsold, 100 * USD)), refused);
        // SOL that the keeper had before is guarded.
        let given = scene.world.give(&scene.account.authority, &scene.pool.mints[0], 7).unwrap();
        assert_eq!(given, scene.sol);
        let too_much = scene.body(spot(&scene, SOL_MARKET, USDC_MARKET, collateral + 1));
        let refused = ours(FlashLiquidatorError::GuardedBalanceBelowFloor);
        assert_eq!(refusal(scene.send(too_much, 100 * USD)), refused);
    }
}

/// Takes over a loss and sells units of SOL that are expected with it.
fn pnl(scene: &Scene, sold: u64) -> TakeOver<'static> {
    TakeOver::PnlForDeposit {
        perp: SOL_PERP,
        asset: SOL_MARKET,
        max_pnl: u128::MAX,
        limit_price: None,
        token_account: scene.sol,
        trade: vec![scene.sell(sold)],
    }
}

#[test]
fn a_loss_is_taken_over_with_a_deposit() {
    for exchange in Exchange::ALL {
        // 13,000 dollars lost, 100 SOL deposited.
        let mut scene = Scene::new(exchange, 0, 100 * SOL, 0, -13_000 * USD);
        let mut probe = scene.clone_world();
        let mint = scene.reserve.liquidity_mint;
        probe.world.give(&probe.keeper.pubkey(), &mint, LOAN).unwrap();
        // Up to the sale.
        let mut body = probe.body(pnl(&probe, 1));
        body.truncate(CLOSE + 2);
        probe.world.send(&body, &[&probe.keeper]).unwrap();
        let collateral = probe.world.balance(&probe.sol).unwrap();

        let body = scene.body(pnl(&scene, collateral));
        let outcome = scene.send(body, 100 * USD).unwrap();
        let event = settled(&outcome);
        // Five per cent on the one side, one on the other.
        let worth = collateral as i64 / 1_000 * (PRICE / 1_000) / 1_000;
        let share = event.profit * 1_000 / worth;
        assert!((52..=58).contains(&share), "{} of {worth}", event.profit);
        assert!(scene.empty().is_ok());
        println!("{exchange} pnl_for_deposit: {} bytes, {} CU", outcome.bytes, outcome.units);
    }
}

/// What the market or klend takes away from the profit.
#[test]
fn the_guard_trips_when_the_position_is_worth_less_than_the_discount() {
    type Worsen = fn(&mut Scene);
    let worse: [(&str, Worsen); 3] = [
        ("Drift's fee is two per cent", |scene| {
            let key = scene.exchange.state();
            scene.edit::<State>(&key, |state| state.taker_fee = (2, 100));
        }),
        ("klend's fee is a tenth", |scene| {
            let reserve = scene.reserve.reserve;
            let fee = (1u64 << 60) / 10;
            scene
                .world
                .edit_reserve(&reserve, |reserve| reserve.config.fees.flash_loan_fee_sf = fee)
                .unwrap();
        }),
        ("the liquidator's discount is gone", |scene| {
            let key = scene.exchange.perp_market(SOL_PERP);
            scene.edit::<PerpMarket>(&key, |market| market.liquidator_fee = 0);
        }),
    ];
    for (what, worsen) in worse {
        let mut scene = long(Exchange::Drift);
        // The keeper could repay out of its own pocket.
        let mint = scene.reserve.liquidity_mint;
        scene.world.give(&scene.keeper.pubkey(), &mint, LOAN).unwrap();
        worsen(&mut scene);
        let body = scene.body(perp());
        let refused = ours(FlashLiquidatorError::ProfitBelowMinimum);
        assert_eq!(refusal(scene.send(body, 0)), refused, "{what}");
    }
}

/// What the keeper's own instructions leave elsewhere.
#[test]
fn the_guard_trips_when_the_money_does_not_come_back() {
    type Bend = fn(&Scene, Vec<Instruction>) -> Vec<Instruction>;
    let bent: [(&str, Bend); 4] = [
        ("half of the position stays open", |scene, mut body| {
            let order = ClosePerp {
                market: SOL_PERP,
                direction: Direction::Short,
                base: 400 * SOL as u64,
                limit_price: None,
                fill: Fill::Whole,
                makers: &[],
                order_book: None,
            };
            body[CLOSE] = perps::close_perp(scene.account, &scene.markets(), &order).unwrap();
            body.truncate(WITHDRAW + 1);
            body.remove(SETTLE_PNL);
            body
        }),
        ("withdrawn to somebody else", |scene, mut body| {
            let (thief, mint) = (scene.thief.pubkey(), scene.reserve.liquidity_mint);
            let to = scene.world.token_account_address(&thief, &mint).unwrap();
            body[WITHDRAW] = withdraw(scene, USDC_MARKET, &to, Withdrawal::All);
            body
        }),
        ("the profit stays on the exchange", |scene, mut body| {
            body[WITHDRAW] = withdraw(scene, USDC_MARKET, &scene.usdc, Withdrawal::Units(LOAN));
            body.truncate(WITHDRAW + 1);
            body
        }),
        ("the position stays open, and most of the deposit with it", |_, mut body| {
            body.drain(CLOSE..WITHDRAW);
            body.truncate(CLOSE + 1);
            body
        }),
    ];
    for exchange in Exchange::ALL {
        for (what, bend) in bent {
            let mut scene = long(exchange);
            let mint = scene.reserve.liquidity_mint;
            scene.world.give(&scene.keeper.pubkey(), &mint, LOAN).unwrap();
            let body = bend(&scene, scene.body(perp()));
            let refused = ours(FlashLiquidatorError::ProfitBelowMinimum);
            assert_eq!(refusal(scene.send(body, 0)), refused, "{exchange}: {what}");
        }
        let mut scene = long(exchange);
        let body = scene.body(perp());
        let refused = ours(FlashLiquidatorError::ProfitBelowMinimum);
        assert_eq!(refusal(scene.send(body, 2_000 * USD)), refused, "more than it brings");
    }
}

/// Money that lay on the exchange would come back with the rest and look like
/// profit. Nothing is built for such an account, and what was built before the money
/// came does not execute.
#[test]
fn what_lay_on_the_exchange_is_no_profit() {
    for exchange in Exchange::ALL {
        let mut scene = long(exchange);
        let built = scene.body(perp());
        let (mint, own) = (scene.reserve.liquidity_mint, 5_000 * USD as u64);
        scene.world.give(&scene.keeper.pubkey(), &mint, own).unwrap();
        let (us, markets) = (scene.account, scene.markets());
        let deposit = perps::deposit(us, &markets, USDC_MARKET, &scene.usdc, own).unwrap();
        scene.world.send(&[deposit], &[&scene.keeper]).unwrap();
        let refused =
            PerpError::NotEmpty { address: us.address(), deposits: 1, positions: 0, orders: 0 };
        assert_eq!(scene.empty(), Err(refused));
        let refused = theirs(&scene, Error::SpotMarketNotFound);
        assert_eq!(refusal(scene.send(built.clone(), 0)), refused, "{exchange}");
        // Without the guard it lands, and the bracket takes the deposit for profit.
        let mut unguarded = built;
        unguarded.remove(REQUIRE_EMPTY);
        let deposited_before = settled(&scene.send(unguarded, 4_999 * USD).unwrap()).profit;
        assert!(deposited_before > 5_000 * USD, "{deposited_before}");
    }
}

/// Money borrowed on the exchange against the keeper's own deposit would pass as profit
/// too, and a deposit would hide that a liquidation lost.
#[test]
fn what_is_borrowed_there_is_no_profit() {
    for exchange in Exchange::ALL {
        let mut scene = long(exchange);
        let built = scene.body(perp());
        let own = 1_000 * SOL as u64;
        let sol = scene.pool.mints[0];
        scene.world.give(&scene.keeper.pubkey(), &sol, own).unwrap();
        let (us, markets) = (scene.account, scene.markets());
        let deposit = perps::deposit(us, &markets, SOL_MARKET, &scene.sol, own).unwrap();
        scene.world.send(&[deposit], &[&scene.keeper]).unwrap();
        assert!(matches!(scene.empty(), Err(PerpError::NotEmpty { deposits: 1, .. })));
        let refused = theirs(&scene, Error::SpotMarketNotFound);
        assert_eq!(refusal(scene.send(built.clone(), 0)), refused, "{exchange}");
        // Without the guards: nothing is liquidated, and 10,000 dollars are owed there.
        let quote = exchange.spot_market(USDC_MARKET);
        let average = 500_000 * USD as u64;
        scene.edit::<SpotMarket>(&quote, |market| market.deposit_twap = average);
        let amount = Withdrawal::Units(LOAN + 10_000 * USD as u64);
        let borrowed =
            vec![built[DEPOSIT].clone(), withdraw(&scene, USDC_MARKET, &scene.usdc, amount)];
        let profit = settled(&scene.send(borrowed, 9_999 * USD).unwrap()).profit;
        assert!(profit >= 9_999 * USD, "{profit}");
        let debt = left_over(&scene).spot_positions().any(|position| position.is_borrow);
        assert!(debt, "{exchange}");
    }
}

/// What is left on the exchange counts for nothing, whatever it is.
#[test]
fn what_stays_on_the_exchange_is_not_counted() {
    for exchange in Exchange::ALL {
        let mut scene = long(exchange);
        let mint = scene.reserve.liquidity_mint;
        scene.world.give(&scene.keeper.pubkey(), &mint, USD as u64).unwrap();
        let mut body = scene.body(perp());
        body[WITHDRAW] = withdraw(&scene, USDC_MARKET, &scene.usdc, Withdrawal::Units(LOAN));
        body.truncate(WITHDRAW + 1);
        let event = settled(&scene.send(body, -3_000 * USD).unwrap());
        assert_eq!(event.profit, -(event.flash_fee as i64), "{exchange}");
        let left = left_over(&scene);
        let market: SpotMarket = scene.read(&exchange.spot_market(USDC_MARKET));
        let units = market.tokens(left.spot[0].scaled_balance.into(), false).unwrap();
        assert!(units > i128::from(500 * USD), "{units}");
    }
}

/// The guard against an account that holds a position instead.
#[test]
fn a_position_of_the_keepers_own_trips_the_guard() {
    for exchange in Exchange::ALL {
        let mut scene = long(exchange);
        let mut body = scene.body(perp());
        body.insert(CLOSE, perps::require_empty(scene.account));
        assert_eq!(refusal(scene.send(body, 0)), theirs(&scene, Error::SpotMarketNotFound));
        let mint = scene.reserve.liquidity_mint;
        scene.world.give(&scene.keeper.pubkey(), &mint, LOAN).unwrap();
        let body = scene.body(perp());
        // A deposit that is not enough to hide the position behind.
        let first = [body[DEPOSIT].clone(), body[LIQUIDATE].clone()];
        scene.world.send(&first, &[&scene.keeper]).unwrap();
        assert!(matches!(scene.empty(), Err(PerpError::NotEmpty { positions: 1, .. })));
    }
}

#[test]
fn a_token_2022_market_takes_and_returns() {
    for exchange in Exchange::ALL {
        let mut scene = long(exchange);
        let reserve = scene.world.reserve_named("PYUSD").unwrap();
        let addresses_of = scene.world.reserve_addresses(&reserve).unwrap();
        let mint = addresses_of.liquidity_mint;
        assert_eq!(addresses_of.liquidity_token_program, TOKEN_2022_PROGRAM_ID);
        let mut market: SpotMarket = scene.read(&exchange.spot_market(USDC_MARKET));
        // The mint of market 1 is another now, and nobody has deposits there.
        market.address = exchange.spot_market(SOL_MARKET);
        market.vault = exchange.spot_market_vault(SOL_MARKET);
        (market.mint, market.index, market.token_program_flag) = (mint, SOL_MARKET, 1);
        (market.deposit_balance, market.deposit_interest) = (0, 10_000_000_000);
        scene.open_vault(&market, 0);
        scene.write(&market.address.clone(), &market);
        let markets = scene.markets();
        let (us, authority) = (scene.account, scene.keeper.pubkey());
        let token_account = scene.world.give(&authority, &mint, 500).unwrap();
        let all = Withdrawal::All;
        let deposit = perps::deposit(us, &markets, SOL_MARKET, &token_account, 500).unwrap();
        let withdraw = perps::withdraw(us, &markets, SOL_MARKET, &token_account, all).unwrap();
        scene.world.send(&[deposit], &[&scene.keeper]).unwrap();
        assert_eq!(scene.world.balance(&token_account).unwrap(), 0);
        scene.world.send(&[withdraw], &[&scene.keeper]).unwrap();
        assert_eq!(scene.world.balance(&token_account).unwrap(), 500);
    }
}

/// The exchange finds a market or an oracle only in the lists behind an
/// instruction's accounts, in their order, and writes only to what is marked
/// writable.
#[test]
fn the_lists_behind_the_accounts_matter() {
    let mut scene = long(Exchange::Drift);
    let body = scene.body(perp());
    // Behind six accounts: two oracles, two spot markets, one perp market.
    const ORACLES: std::ops::Range<usize> = 6..8;
    const SPOT: usize = 8;
    const PERP: usize = 10;
    let listed = &body[LIQUIDATE].accounts;
    assert_eq!(listed[SPOT].pubkey, scene.exchange.spot_market(USDC_MARKET));
    assert_eq!(listed[PERP].pubkey, scene.exchange.perp_market(SOL_PERP));
    assert_eq!(listed.len(), 11);
    type Bend = fn(&mut Vec<AccountMeta>);
    let without_oracles: Bend = |list| {
        list.drain(ORACLES);
    };
    let without_spot: Bend = |list| {
        list.remove(SPOT);
    };
    let without_perp: Bend = |list| {
        list.remove(PERP);
    };
    let bent: [(Bend, Error); 5] = [
        (without_oracles, Error::OracleNotFound),
        (without_spot, Error::SpotMarketNotFound),
        (without_perp, Error::PerpMarketNotFound),
        // What stands behind the next kind is not found.
        (|list| list[ORACLES.start..].rotate_left(ORACLES.len()), Error::OracleNotFound),
        (|list| list.swap(SPOT, PERP), Error::SpotMarketNotFound),
    ];
    for (case, (bend, error)) in bent.into_iter().enumerate() {
        let mut bent = body.clone();
        bend(&mut bent[LIQUIDATE].accounts);
        let refused = refusal(scene.send(bent, 0));
        // The real program looks for the perp market before the spot market.
        let alternatives = [error, Error::PerpMarketNotFound];
        let is_refused = alternatives.map(|error| theirs(&scene, error)).contains(&refused);
        assert!(is_refused, "case {case}: {refused:?}");
        assert!(is_real(scene.exchange) || refused == theirs(&scene, error), "case {case}");
    }

    // Alone in a transaction, nothing else marks the market writable.
    let mut read_only = body[DEPOSIT].clone();
    let market = scene.exchange.spot_market(USDC_MARKET);
    for meta in read_only.accounts.iter_mut().filter(|meta| meta.pubkey == market) {
        meta.is_writable = false;
    }
    let mint = scene.reserve.liquidity_mint;
    scene.world.give(&scene.keeper.pubkey(), &mint, LOAN).unwrap();
    let sent = scene.world.send(&[read_only], &[&scene.keeper]);
    assert_eq!(refusal(sent), theirs(&scene, Error::SpotMarketWrongMutability));
}

#[test]
fn only_the_wallet_disposes_of_its_account() {
    for exchange in Exchange::ALL {
        let mut scene = long(exchange);
        let (thief, mint) = (scene.thief.pubkey(), scene.reserve.liquidity_mint);
        scene.world.give(&scene.keeper.pubkey(), &mint, LOAN).unwrap();
        let deposit = scene.body(perp()).remove(DEPOSIT);
        scene.world.send(&[deposit], &[&scene.keeper]).unwrap();
        let to = scene.world.token_account_address(&thief, &mint).unwrap();
        let mut stolen = withdraw(&scene, USDC_MARKET, &to, Withdrawal::All);
        stolen.accounts[3].pubkey = thief;
        let refused = theirs(&scene, Error::ConstraintHasOne);
        assert_eq!(refusal(scene.world.send(&[stolen], &[&scene.thief])), refused);
    }
}

/// An instruction of one exchange with an account of the other.
#[test]
fn the_exchanges_are_not_mixed() {
    let [drift, velocity] = Exchange::ALL.map(long);
    let (markets, user) = (drift.markets(), velocity.user());
    let refused = perps::liquidate_perp(drift.account, &user, &markets, SOL_PERP, 1, None);
    let expected = PerpError::OtherExchange {
        what: "the user",
        found: Exchange::Velocity,
        expected: Exchange::Drift,
    };
    assert_eq!(refused.unwrap_err(), expected);
    let key = velocity.account.address();
    let account = velocity.world.account(&key).unwrap();
    let taken = perps::User::read(&key, &Exchange::Drift.program_id(), &account.data);
    assert_eq!(taken, Err(PerpError::NotA { what: "user", address: key }));
}

type Sent = Result<Outcome, ForkError>;
