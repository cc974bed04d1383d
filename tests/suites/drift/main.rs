//! Liquidations on Drift under a klend flash loan, all at top level: borrow,
//! `open`, deposit, take over, close and settle or sell, withdraw, `settle`, repay.
//!
//! Drift is a stand-in, which says what differs; its program id, discriminators,
//! account orders and layouts are Drift's, and the instructions are those of the
//! client. Runs on the stand-in klend, and on the real one with `KLEND_ELF` and
//! `FARMS_ELF` set.

use drift_stand_in::{
    error::Error,
    margin::{Side, asset_for},
    state::{PerpMarket, SpotMarket, State, User},
};
use flash_liquidator::FlashLiquidatorError;
use flash_liquidator_client::{
    drift::{self, ClosePerp, Direction, Fill, Maker, PROGRAM_ID, Withdrawal, addresses},
    receiver,
    transaction::MAX_TRANSACTION_BYTES,
};
use klend_fork::TOKEN_2022_PROGRAM_ID;
use solana_address::Address;
use solana_instruction::{AccountMeta, Instruction};
use solana_signer::Signer;

mod scene;

use scene::*;

/// The victim was long 1,000 SOL at 150 with 10,000 USDC: 3,000 are left to back
/// what takes 7,150.
fn long() -> Scene {
    Scene::new(10_000 * USD, 0, 1_000 * SOL, -150_000 * USD)
}

/// The same the other way round: short 1,000 SOL at 136.
fn short() -> Scene {
    Scene::new(10_000 * USD, 0, -1_000 * SOL, 136_000 * USD)
}

/// The instructions of a perp liquidation, to be bent.
#[derive(Clone)]
struct Perp {
    deposit: Instruction,
    liquidate: Instruction,
    close: Instruction,
    settle_pnl: Instruction,
    withdraw: Instruction,
}

impl Perp {
    fn new(scene: &Scene, direction: Direction, makers: &[Maker]) -> Self {
        let (us, markets) = (scene.account, scene.markets());
        let base = 1_000 * SOL as u64;
        let order = ClosePerp {
            market: SOL_PERP,
            direction,
            base,
            limit_price: None,
            fill: Fill::Whole,
            makers,
        };
        let user = scene.user();
        Self {
            deposit: drift::deposit(us, &markets, USDC_MARKET, &scene.usdc, LOAN).unwrap(),
            liquidate: drift::liquidate_perp(us, &user, &markets, SOL_PERP, base, None).unwrap(),
            close: drift::close_perp(us, &markets, &order).unwrap(),
            settle_pnl: drift::settle_pnl(us, &markets, SOL_PERP).unwrap(),
            withdraw: withdraw(scene, USDC_MARKET, &scene.usdc, Withdrawal::All),
        }
    }

    fn body(self) -> Vec<Instruction> {
        vec![self.deposit, self.liquidate, self.close, self.settle_pnl, self.withdraw]
    }
}

fn withdraw(scene: &Scene, market: u16, to: &Address, amount: Withdrawal) -> Instruction {
    drift::withdraw(scene.account, &scene.markets(), market, to, amount).unwrap()
}

fn ours(error: FlashLiquidatorError) -> (Address, u32) {
    (receiver::PROGRAM_ID, error.into())
}

fn drifts(error: Error) -> (Address, u32) {
    (PROGRAM_ID, error as u32)
}

/// What the keeper has left on Drift.
fn left_over(scene: &Scene) -> User {
    scene.read(&scene.account.address())
}

#[test]
fn a_perp_position_is_taken_over_closed_and_settled() {
    for (mut scene, direction) in [(long(), Direction::Short), (short(), Direction::Long)] {
        let body = Perp::new(&scene, direction, &[]).body();
        let outcome = scene.send(body, 1_000 * USD).unwrap();
        let event = settled(&outcome);
        // One per cent of 143,000 dollars; then the market's spread, and its fee of
        // a thousandth on what is bought or sold.
        let discount = 1_430 * USD;
        let spread = 71_500_000;
        let traded = match direction {
            Direction::Short => 143_000 * USD - spread,
            Direction::Long => 143_000 * USD + spread,
        };
        let profit = discount - spread - traded / 1_000 - event.flash_fee as i64;
        // Drift rounds deposits down twice.
        assert!((profit - 2..=profit).contains(&event.profit), "{} of {profit}", event.profit);
        assert_eq!(scene.world.balance(&scene.usdc).unwrap() as i64, event.profit);
        assert_eq!(left_over(&scene).perp_positions().count(), 0, "the position is closed");
        assert_eq!(left_over(&scene).spot_positions().count(), 0, "everything is withdrawn");
        assert!(scene.user().perp_positions.iter().all(|position| position.base == 0));
        assert!(outcome.bytes <= MAX_TRANSACTION_BYTES, "{} bytes", outcome.bytes);
        println!("{direction:?}: {} bytes, {} CU", outcome.bytes, outcome.units);
    }
}

#[test]
fn makers_are_named_behind_the_markets() {
    let mut scene = long();
    let maker = Maker { user: scene.victim.address(), stats: scene.victim.stats() };
    let with_maker = Perp::new(&scene, Direction::Short, &[maker]);
    let mut alone = with_maker.clone();
    alone.close.accounts.pop();
    assert_eq!(refusal(scene.send(alone.body(), 1)), drifts(Error::UserStatsNotFound));
    assert!(settled(&scene.send(with_maker.body(), 1).unwrap()).profit > 0);
}

#[test]
fn a_borrow_is_taken_over_and_its_collateral_sold_at_top_level() {
    // 13,000 USDC owed, 100 SOL deposited: 12,870 of 14,300 dollars count.
    let mut scene = Scene::new(-13_000 * USD, 100 * SOL, 0, 0);
    let owed = 13_000 * USD as u128;
    let sol = Side { price: PRICE, decimals: 9, fee: 50_000 };
    let usdc = Side { price: USD, decimals: 6, fee: 0 };
    let collateral = u64::try_from(asset_for(owed, sol, usdc).unwrap()).unwrap();
    let (us, markets, user) = (scene.account, scene.markets(), scene.user());
    let body = |scene: &Scene| {
        vec![
            drift::deposit(us, &markets, USDC_MARKET, &scene.usdc, LOAN).unwrap(),
            drift::liquidate_spot(us, &user, &markets, SOL_MARKET, USDC_MARKET, owed, None)
                .unwrap(),
            withdraw(scene, SOL_MARKET, &scene.sol, Withdrawal::All),
            scene.sell(collateral),
            withdraw(scene, USDC_MARKET, &scene.usdc, Withdrawal::All),
        ]
    };
    let outcome = scene.send(body(&scene), 500 * USD).unwrap();
    let event = settled(&outcome);
    // Five per cent of 13,000, less the pool's fee and slippage.
    assert!((600 * USD..650 * USD).contains(&event.profit), "{}", event.profit);
    assert_eq!(scene.world.balance(&scene.sol).unwrap(), 0);
    assert_eq!(scene.world.balance(&scene.usdc).unwrap() as i64, event.profit);
    assert_eq!(left_over(&scene).spot_positions().count(), 0);
    println!("liquidate_spot: {} bytes, {} CU", outcome.bytes, outcome.units);

    // Without the sale the debt taken over is not covered.
    let mut scene = Scene::new(-13_000 * USD, 100 * SOL, 0, 0);
    let mut unsold = body(&scene);
    unsold.remove(3);
    let refused = ours(FlashLiquidatorError::ProfitBelowMinimum);
    assert_eq!(refusal(scene.send(unsold, 500 * USD)), refused);
    // SOL that the keeper had before is guarded.
    let given = scene.world.give(&us.authority, &scene.pool.mints[0], 7).unwrap();
    assert_eq!(given, scene.sol);
    let mut too_much = body(&scene);
    too_much[3] = scene.sell(collateral + 1);
    let refused = ours(FlashLiquidatorError::GuardedBalanceBelowFloor);
    assert_eq!(refusal(scene.send(too_much, 500 * USD)), refused);
}

#[test]
fn a_loss_is_taken_over_with_a_deposit() {
    // 13,000 dollars lost, 100 SOL deposited.
    let mut scene = Scene::new(0, 100 * SOL, 0, -13_000 * USD);
    let lost = 13_000 * USD as u128;
    let sol = Side { price: PRICE, decimals: 9, fee: 50_000 };
    let pnl = Side { price: USD, decimals: 6, fee: 10_000 };
    let collateral = u64::try_from(asset_for(lost, sol, pnl).unwrap()).unwrap();
    let (us, markets, user) = (scene.account, scene.markets(), scene.user());
    let body = vec![
        drift::deposit(us, &markets, USDC_MARKET, &scene.usdc, LOAN).unwrap(),
        drift::liquidate_perp_pnl_for_deposit(
            us, &user, &markets, SOL_PERP, SOL_MARKET, lost, None,
        )
        .unwrap(),
        // The loss comes out of the deposit.
        drift::settle_pnl(us, &markets, SOL_PERP).unwrap(),
        withdraw(&scene, SOL_MARKET, &scene.sol, Withdrawal::All),
        scene.sell(collateral),
        withdraw(&scene, USDC_MARKET, &scene.usdc, Withdrawal::All),
    ];
    let outcome = scene.send(body, 500 * USD).unwrap();
    let event = settled(&outcome);
    // Five per cent on the one side, one on the other.
    assert!((740 * USD..790 * USD).contains(&event.profit), "{}", event.profit);
    assert_eq!(left_over(&scene).spot_positions().count(), 0);
    assert_eq!(left_over(&scene).perp_positions().count(), 0);
    assert_eq!(scene.user().perp_positions, []);
    println!("liquidate_perp_pnl_for_deposit: {} bytes, {} CU", outcome.bytes, outcome.units);
}

/// What the market or klend takes away from the profit.
#[test]
fn the_guard_trips_when_the_position_is_worth_less_than_the_discount() {
    type Worsen = fn(&mut Scene);
    let worse: [(&str, Worsen); 4] = [
        ("the position closes two per cent below the oracle", |scene| {
            let key = addresses::perp_market(SOL_PERP);
            scene.edit::<PerpMarket>(&key, |market| market.spread = [20_000; 2]);
        }),
        ("Drift's fee is two per cent", |scene| {
            scene.edit::<State>(&addresses::state(), |state| state.taker_fee = (2, 100));
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
            let key = addresses::perp_market(SOL_PERP);
            scene.edit::<PerpMarket>(&key, |market| market.liquidator_fee = 0);
        }),
    ];
    for (what, worsen) in worse {
        let mut scene = long();
        // The keeper could repay out of its own pocket.
        let mint = scene.reserve.liquidity_mint;
        scene.world.give(&scene.keeper.pubkey(), &mint, LOAN).unwrap();
        worsen(&mut scene);
        let body = Perp::new(&scene, Direction::Short, &[]).body();
        let refused = ours(FlashLiquidatorError::ProfitBelowMinimum);
        assert_eq!(refusal(scene.send(body, 0)), refused, "{what}");
    }
}

/// What the keeper's own instructions leave elsewhere.
#[test]
fn the_guard_trips_when_the_money_does_not_come_back() {
    type Bend = fn(&Scene, Perp) -> Vec<Instruction>;
    let bent: [(&str, Bend); 3] = [
        ("withdrawn to somebody else", |scene, perp| {
            let (thief, mint) = (scene.thief.pubkey(), scene.reserve.liquidity_mint);
            let to = scene.world.token_account_address(&thief, &mint).unwrap();
            let withdraw = withdraw(scene, USDC_MARKET, &to, Withdrawal::All);
            Perp { withdraw, ..perp }.body()
        }),
        ("the profit stays on Drift", |scene, perp| {
            let amount = Withdrawal::Units(LOAN);
            let withdraw = withdraw(scene, USDC_MARKET, &scene.usdc, amount);
            Perp { withdraw, ..perp }.body()
        }),
        ("the position stays open, and most of the deposit with it", |_, perp| {
            vec![perp.deposit, perp.liquidate, perp.withdraw]
        }),
    ];
    for (what, bend) in bent {
        let mut scene = long();
        let mint = scene.reserve.liquidity_mint;
        scene.world.give(&scene.keeper.pubkey(), &mint, LOAN).unwrap();
        let body = bend(&scene, Perp::new(&scene, Direction::Short, &[]));
        let refused = ours(FlashLiquidatorError::ProfitBelowMinimum);
        assert_eq!(refusal(scene.send(body, 0)), refused, "{what}");
    }
}

/// Where Drift itself says no, everything is undone just as well.
#[test]
fn what_drift_refuses_undoes_everything() {
    let mut scene = long();
    let perp = Perp::new(&scene, Direction::Short, &[]);

    // Not unhealthy any more.
    scene.edit::<User>(&scene.victim.address(), |user| user.perp[3].quote = -140_000 * USD);
    assert_eq!(refusal(scene.send(perp.clone().body(), 0)), drifts(Error::SufficientCollateral));

    // The loan is too small to back the position.
    let mut scene = long();
    let mut small = perp.clone();
    let (us, markets) = (scene.account, scene.markets());
    small.deposit =
        drift::deposit(us, &markets, USDC_MARKET, &scene.usdc, 5_000 * USD as u64).unwrap();
    assert_eq!(refusal(scene.send(small.body(), 0)), drifts(Error::InsufficientCollateral));

    // Prices that the keeper does not accept.
    let (user, base) = (scene.user(), 1_000 * SOL as u64);
    let mut dear = perp.clone();
    let limit = Some(PRICE as u64 * 98 / 100);
    dear.liquidate = drift::liquidate_perp(us, &user, &markets, SOL_PERP, base, limit).unwrap();
    assert_eq!(
        refusal(scene.send(dear.body(), 0)),
        drifts(Error::LiquidationDoesntSatisfyLimitPrice)
    );
    let mut cheap = perp.clone();
    let order = ClosePerp {
        market: SOL_PERP,
        direction: Direction::Short,
        base,
        limit_price: Some(PRICE as u64),
        fill: Fill::Whole,
        makers: &[],
    };
    cheap.close = drift::close_perp(us, &markets, &order).unwrap();
    assert_eq!(
        refusal(scene.send(cheap.body(), 0)),
        drifts(Error::PlaceAndTakeOrderSuccessConditionFailed)
    );

    // The pool that profits are paid from is empty.
    let key = addresses::perp_market(SOL_PERP);
    scene.edit::<PerpMarket>(&key, |market| market.pnl_pool = 0);
    assert_eq!(refusal(scene.send(perp.body(), 0)), drifts(Error::PnlPoolCantSettleUser));
}

/// Drift finds a market or an oracle only in the lists behind an instruction's
/// accounts, in their order, and writes only to what is marked writable.
#[test]
fn the_lists_behind_the_accounts_matter() {
    let mut scene = long();
    let perp = Perp::new(&scene, Direction::Short, &[]);
    // Behind six accounts: two oracles, two spot markets, one perp market.
    const ORACLES: std::ops::Range<usize> = 6..8;
    const SPOT: usize = 8;
    const PERP: usize = 10;
    let listed = &perp.liquidate.accounts;
    assert_eq!(listed[SPOT].pubkey, addresses::spot_market(USDC_MARKET));
    assert_eq!(listed[PERP].pubkey, addresses::perp_market(SOL_PERP));
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
        let mut bent = perp.clone();
        bend(&mut bent.liquidate.accounts);
        // The deposit before it has its own list.
        assert_eq!(refusal(scene.send(bent.body(), 0)), drifts(error), "case {case}");
    }

    // Alone in a transaction, nothing else marks the market writable.
    let mut read_only = perp.deposit;
    let market = addresses::spot_market(USDC_MARKET);
    for meta in read_only.accounts.iter_mut().filter(|meta| meta.pubkey == market) {
        meta.is_writable = false;
    }
    let mint = scene.reserve.liquidity_mint;
    scene.world.give(&scene.keeper.pubkey(), &mint, LOAN).unwrap();
    let sent = scene.world.send(&[read_only], &[&scene.keeper]);
    assert_eq!(refusal(sent), drifts(Error::SpotMarketWrongMutability));
}

/// The mint stands behind the markets where the token program wants it.
#[test]
fn a_token_2022_market_takes_and_returns() {
    let mut scene = long();
    let reserve = scene.world.reserve_named("PYUSD").unwrap();
    let addresses_of = scene.world.reserve_addresses(&reserve).unwrap();
    let mint = addresses_of.liquidity_mint;
    assert_eq!(addresses_of.liquidity_token_program, TOKEN_2022_PROGRAM_ID);
    const PYUSD_MARKET: u16 = 22;
    let market = SpotMarket {
        address: addresses::spot_market(PYUSD_MARKET),
        mint,
        vault: addresses::spot_market_vault(PYUSD_MARKET),
        deposit_interest: 10_000_000_000,
        borrow_interest: 10_000_000_000,
        asset_weight: [10_000; 2],
        liability_weight: [10_000; 2],
        decimals: 6,
        index: PYUSD_MARKET,
        token_program_flag: 1,
        ..SpotMarket::default()
    };
    scene.open_vault(&market, 0);
    scene.write(&market.address, &market);
    let read = |key: Address| {
        let account = scene.world.account(&key).unwrap();
        drift::SpotMarket::read(&key, &account.owner, &account.data).unwrap()
    };
    let spot = [USDC_MARKET, PYUSD_MARKET].map(|index| read(addresses::spot_market(index)));
    let markets = drift::Markets::new(spot, []);
    let (us, authority) = (scene.account, scene.keeper.pubkey());
    let token_account = scene.world.give(&authority, &mint, 500).unwrap();
    let all = Withdrawal::All;
    let deposit = drift::deposit(us, &markets, PYUSD_MARKET, &token_account, 500).unwrap();
    let withdraw = drift::withdraw(us, &markets, PYUSD_MARKET, &token_account, all).unwrap();
    scene.world.send(&[deposit], &[&scene.keeper]).unwrap();
    assert_eq!(scene.world.balance(&token_account).unwrap(), 0);
    scene.world.send(&[withdraw], &[&scene.keeper]).unwrap();
    assert_eq!(scene.world.balance(&token_account).unwrap(), 500);
}

#[test]
fn only_the_wallet_disposes_of_its_account() {
    let mut scene = long();
    let (thief, mint) = (scene.thief.pubkey(), scene.reserve.liquidity_mint);
    scene.world.give(&scene.keeper.pubkey(), &mint, LOAN).unwrap();
    let perp = Perp::new(&scene, Direction::Short, &[]);
    scene.world.send(&[perp.deposit], &[&scene.keeper]).unwrap();
    let to = scene.world.token_account_address(&thief, &mint).unwrap();
    let mut theirs = withdraw(&scene, USDC_MARKET, &to, Withdrawal::All);
    theirs.accounts[3].pubkey = thief;
    let sent = scene.world.send(&[theirs], &[&scene.thief]);
    assert_eq!(refusal(sent), drifts(Error::ConstraintHasOne));
}
