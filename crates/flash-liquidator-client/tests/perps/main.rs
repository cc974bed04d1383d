//! The perp builders and readers against facts about the exchanges' interfaces.

use std::collections::BTreeMap;

use flash_liquidator_client::{
    perps::{
        self, ClosePerp, Direction, EmptyAccount, Exchange, Fill, Maker, Markets, OrderBook,
        PerpError, PerpMarket, PerpPosition, PerpRisk, Prices, SpotMarket, SpotPosition, SpotRisk,
        State, SubAccount, User, Withdrawal, instruction,
        layout::{self, discriminator, oracle_source},
    },
    token::{TOKEN_2022_PROGRAM_ID, TOKEN_PROGRAM_ID},
};
use sha2::{Digest, Sha256};
use solana_address::Address;
use solana_instruction::{AccountMeta, Instruction};
use solana_sdk_ids::{system_program, sysvar};

mod interface;

const DISCRIMINATOR_LEN: usize = 8;

fn key(byte: u8) -> Address {
    Address::new_from_array([byte; 32])
}

const TOKEN_ACCOUNT: Address = Address::new_from_array([50; 32]);

fn liquidator(exchange: Exchange) -> SubAccount {
    SubAccount { exchange, authority: key(1), id: 2 }
}

fn spot(exchange: Exchange, index: u16) -> SpotMarket {
    SpotMarket {
        exchange,
        address: exchange.spot_market(index),
        index,
        oracle: Some(key(100 + index as u8)),
        oracle_source: oracle_source::PYTH_LAZER,
        mint: key(110 + index as u8),
        vault: exchange.spot_market_vault(index),
        token_program: TOKEN_PROGRAM_ID,
        has_transfer_hook: false,
        pool_id: 0,
        risk: SpotRisk::default(),
    }
}

fn perp(exchange: Exchange, index: u16) -> PerpMarket {
    PerpMarket {
        exchange,
        address: exchange.perp_market(index),
        index,
        oracle: Some(key(120 + index as u8)),
        oracle_source: oracle_source::PYTH_LAZER,
        quote_spot_market: 0,
        pool_id: 0,
        risk: PerpRisk::default(),
    }
}

fn markets(exchange: Exchange) -> Markets {
    let spot = [0, 1, 5].map(|index| spot(exchange, index));
    Markets::new(exchange, spot, [0, 3].map(|index| perp(exchange, index))).unwrap()
}

fn user(exchange: Exchange) -> User {
    let position = |market, is_borrow| SpotPosition {
        market,
        scaled_balance: 9,
        is_borrow,
        ..SpotPosition::default()
    };
    User {
        account: SubAccount { exchange, authority: key(3), id: 4 },
        spot_positions: vec![position(1, false), position(5, true)],
        perp_positions: vec![PerpPosition {
            market: 3,
            base: -1,
            quote: 2,
            ..PerpPosition::default()
        }],
        pool_id: 0,
        open_orders: 0,
        is_being_liquidated: false,
        is_bankrupt: false,
        liquidation_margin_freed: 0,
        last_active_slot: 0,
        high_leverage: false,
    }
}

/// Name of an instruction, what a builder made of it, the key for each account
/// that the exchange names, and the arguments as they should read.
type Built = (&'static str, Instruction, Vec<(&'static str, Address)>, String);

fn order(fill: Fill, direction: Direction, limit_price: Option<u64>) -> ClosePerp<'static> {
    ClosePerp {
        market: if limit_price.is_some() { 3 } else { 0 },
        direction,
        base: 88,
        limit_price,
        fill,
        makers: &[],
        order_book: None,
    }
}

/// How an order reads. 25602 is 2 for "everything", and 100 % of the auction times
/// 256.
fn order_reads(exchange: Exchange, side: &str, price: &str, market: u16, fill: &str) -> String {
    let builder = match exchange {
        Exchange::Drift => "",
        Exchange::Velocity => " builder_idx=none builder_fee_tenth_bps=none",
    };
    format!(
        "params=order_type=Limit market_type=Perp direction={side} user_order_id=0 \
         base_asset_amount=88 price={price} market_index={market} reduce_only=true post_only=None \
         bit_flags=1 max_ts=none trigger_price=none trigger_condition=Above \
         oracle_price_offset=none auction_duration=none auction_start_price=none \
         auction_end_price=none{builder} success_condition={fill}"
    )
}

/// Every builder once.
fn built(exchange: Exchange) -> Vec<Built> {
    let (us, them, markets) = (liquidator(exchange), user(exchange), markets(exchange));
    let common = vec![
        ("state", exchange.state()),
        ("authority", us.authority),
        ("payer", us.authority),
        ("rent", sysvar::rent::ID),
        ("system_program", system_program::ID),
        ("user", us.address()),
        ("user_stats", us.stats()),
        ("signer", exchange.signer()),
        ("user_token_account", TOKEN_ACCOUNT),
        ("token_program", TOKEN_PROGRAM_ID),
        ("spot_market_vault", exchange.spot_market_vault(5)),
        ("quoter_slab", key(70)),
        ("clob_market", key(71)),
        ("clob_program", instruction::CLOB_PROGRAM_ID),
        // Nobody: the program's own address.
        ("flow_authority", exchange.program_id()),
    ];
    let mut settlement = common.clone();
    settlement.push(("spot_market_vault", exchange.spot_market_vault(0)));
    settlement.push(("authority", key(80)));
    let mut liquidation = common.clone();
    liquidation.extend([
        ("liquidator", us.address()),
        ("liquidator_stats", us.stats()),
        ("user", them.account.address()),
        ("user_stats", them.account.stats()),
    ]);
    let mut name = [0; 32];
    name[..7].copy_from_slice(b"account");
    let close = |order: &ClosePerp| perps::close_perp(us, &markets, order).unwrap();
    let moved = "market_index=5 amount=77 reduce_only=false".to_owned();
    let mut built = vec![
        (
            "initialize_user_stats",
            perps::initialize_user_stats(exchange, &us.authority),
            common.clone(),
            String::new(),
        ),
        (
            "initialize_user",
            perps::initialize_user(us, name),
            common.clone(),
            "sub_account_id=2 name=account".to_owned(),
        ),
        (
            "deposit",
            perps::deposit(us, &markets, 5, &TOKEN_ACCOUNT, 77).unwrap(),
            common.clone(),
            moved.clone(),
        ),
        (
            "withdraw",
            perps::withdraw(us, &markets, 5, &TOKEN_ACCOUNT, Withdrawal::Units(77)).unwrap(),
            common.clone(),
            moved,
        ),
        (
            "withdraw",
            perps::withdraw(us, &markets, 5, &TOKEN_ACCOUNT, Withdrawal::All).unwrap(),
            common.clone(),
            "market_index=5 amount=18446744073709551615 reduce_only=true".to_owned(),
        ),
        (
            "liquidate_perp",
            perps::liquidate_perp(us, &them, &markets, 3, 88, Some(99)).unwrap(),
            liquidation.clone(),
            "market_index=3 liquidator_max_base_asset_amount=88 limit_price=99".to_owned(),
        ),
        (
            "liquidate_spot",
            perps::liquidate_spot(us, &them, &markets, 1, 5, 1 << 70, None).unwrap(),
            liquidation.clone(),
            "asset_market_index=1 liability_market_index=5 \
             liquidator_max_liability_transfer=1180591620717411303424 limit_price=none"
                .to_owned(),
        ),
        (
            "liquidate_perp_pnl_for_deposit",
            perps::liquidate_perp_pnl_for_deposit(us, &them, &markets, 3, 1, 88, Some(9)).unwrap(),
            liquidation,
            "perp_market_index=3 spot_market_index=1 liquidator_max_pnl_transfer=88 limit_price=9"
                .to_owned(),
        ),
        (
            "settle_pnl",
            perps::settle_pnl(us, &key(80), &markets, 3).unwrap(),
            settlement,
            "market_index=3".to_owned(),
        ),
        (
            "update_user_pool_id",
            perps::require_empty(us),
            common.clone(),
            "sub_account_id=2 pool_id=0".to_owned(),
        ),
        (
            "place_and_take_perp_order",
            close(&order(Fill::Whole, Direction::Long, Some(99))),
            common.clone(),
            order_reads(exchange, "Long", "99", 3, "25602"),
        ),
        // At any price, the order has one that no market reaches.
        (
            "place_and_take_perp_order",
            close(&order(Fill::Any, Direction::Short, None)),
            common.clone(),
            order_reads(exchange, "Short", "1", 0, "none"),
        ),
        (
            "place_and_take_perp_order",
            close(&order(Fill::Part, Direction::Long, None)),
            common.clone(),
            order_reads(exchange, "Long", "1000000000000", 0, "25601"),
        ),
    ];
    if exchange == Exchange::Velocity {
        let book = OrderBook { quoter_slab: key(70), clob_market: key(71) };
        let order =
            ClosePerp { order_book: Some(book), ..order(Fill::Whole, Direction::Long, Some(99)) };
        let reads = order_reads(exchange, "Long", "99", 3, "25602");
        built.push(("place_and_take_perp_order_v1", close(&order), common, reads));
    }
    built
}

fn hash(text: &str) -> [u8; 8] {
    Sha256::digest(text).first_chunk().copied().unwrap()
}

#[test]
fn discriminators_are_hashes_of_names() {
    for exchange in Exchange::ALL {
        for (name, instruction, ..) in built(exchange) {
            assert_eq!(instruction.program_id, exchange.program_id());
            assert_eq!(instruction.data[..8], hash(&format!("global:{name}")), "{name}");
        }
    }
    for (name, discriminator) in [
        ("State", discriminator::STATE),
        ("User", discriminator::USER),
        ("SpotMarket", discriminator::SPOT_MARKET),
        ("PerpMarket", discriminator::PERP_MARKET),
        ("PythLazerOracle", discriminator::PYTH_LAZER_ORACLE),
        ("PrelaunchOracle", discriminator::PRELAUNCH_ORACLE),
    ] {
        assert_eq!(discriminator, hash(&format!("account:{name}")), "{name}");
    }
}

#[test]
fn accounts_are_in_the_exchanges_order_with_its_flags() {
    for interface in interface::all() {
        for (name, instruction, keys, _) in built(interface.exchange) {
            let Some(facts) = interface.instructions.get(name) else {
                assert_eq!(name, "place_and_take_perp_order_v1", "{}", interface.source);
                continue;
            };
            // What is named later counts.
            let keys: BTreeMap<_, _> = keys.into_iter().collect();
            for (position, fact) in facts.accounts.iter().enumerate() {
                let meta = &instruction.accounts[position];
                let at = format!("{}: {name}, account {position}", interface.source);
                assert_eq!(meta.pubkey, keys[fact.name.as_str()], "{at} {}", fact.name);
                assert_eq!(meta.is_writable, fact.is_writable, "{at} {}", fact.name);
                // The wallet also signs where an account is opened for it.
                let may_sign = fact.is_signer || fact.name == "authority";
                // Nobody stands for the signer that is left out.
                let is_nobody = fact.name == "flow_authority";
                assert!(meta.is_signer >= fact.is_signer || is_nobody, "{at} {}", fact.name);
                assert!(may_sign || !meta.is_signer, "{at} {}", fact.name);
            }
            let rest = &instruction.accounts[facts.accounts.len()..];
            assert!(rest.iter().all(|meta| !meta.is_signer), "{name}");
        }
    }
}

#[test]
fn arguments_read_as_the_exchange_reads_them() {
    for interface in interface::all() {
        for (name, instruction, _, expected) in built(interface.exchange) {
            let Some(facts) = interface.instructions.get(name) else { continue };
            let mut rest = &instruction.data[DISCRIMINATOR_LEN..];
            let mut values = Vec::new();
            for (arg, kind) in &facts.args {
                let value;
                (value, rest) = interface::decode(kind, rest, &interface.types);
                values.push(format!("{arg}={value}"));
            }
            assert_eq!(values.join(" "), expected, "{}: {name}", interface.source);
            assert!(rest.is_empty(), "{}: {name}: {rest:?} is left over", interface.source);
        }
    }
}

/// Remaining accounts: oracles, spot markets, perp markets, in this order; then
/// what the instruction wants besides.
#[test]
fn markets_are_listed_behind_their_oracles() {
    let read = |key| AccountMeta::new_readonly(key, false);
    let write = |key| AccountMeta::new(key, false);
    for interface in &interface::all()[..2] {
        let exchange = interface.exchange;
        let behind = |name: &str, instruction: &Instruction| {
            let facts = &interface.instructions[name];
            instruction.accounts[facts.accounts.len()..].to_vec()
        };
        let oracles = [100, 101, 105, 120, 123].map(|byte| read(key(byte)));
        let (spots, perps) = ([0, 1, 5], [0, 3]);
        let list = |changed_spots: &[u16], changed_perps: &[u16]| -> Vec<AccountMeta> {
            let meta = |key, is_changed| if is_changed { write(key) } else { read(key) };
            let spots = spots.map(|i| meta(exchange.spot_market(i), changed_spots.contains(&i)));
            let perps = perps.map(|i| meta(exchange.perp_market(i), changed_perps.contains(&i)));
            oracles.iter().cloned().chain(spots).chain(perps).collect()
        };
        for (name, instruction, ..) in built(exchange) {
            // What each instruction changes is what the exchange demands to be writable.
            let expected = match name {
                "initialize_user_stats" | "initialize_user" | "update_user_pool_id" => vec![],
                "deposit" | "withdraw" => list(&[5], &[]),
                "liquidate_perp" => list(&[], &[3]),
                "liquidate_spot" => list(&[1, 5], &[]),
                "liquidate_perp_pnl_for_deposit" => list(&[1], &[3]),
                "settle_pnl" => list(&[0], &[3]),
                // The price of the order that has one.
                _ if instruction.data[20..28] == 99u64.to_le_bytes() => list(&[], &[3]),
                _ => list(&[], &[0]),
            };
            assert_eq!(behind(name, &instruction), expected, "{exchange}: {name}");
        }

        // Makers stand behind the markets, the user before its statistics.
        let makers =
            [Maker { user: key(60), stats: key(61) }, Maker { user: key(62), stats: key(63) }];
        let order = ClosePerp { makers: &makers, ..order(Fill::Part, Direction::Short, None) };
        let instruction =
            perps::close_perp(liquidator(exchange), &markets(exchange), &order).unwrap();
        let expected: Vec<_> = list(&[], &[0])
            .into_iter()
            .chain([60, 61, 62, 63].map(|byte| write(key(byte))))
            .collect();
        assert_eq!(behind("place_and_take_perp_order", &instruction), expected);

        // The mint of a Token-2022 market stands there too.
        let token_2022 = SpotMarket { token_program: TOKEN_2022_PROGRAM_ID, ..spot(exchange, 5) };
        let markets = Markets::new(exchange, [spot(exchange, 0), token_2022], []).unwrap();
        let expected = [
            read(key(100)),
            read(key(105)),
            read(exchange.spot_market(0)),
            write(exchange.spot_market(5)),
            read(key(115)),
        ];
        let us = liquidator(exchange);
        let deposit = perps::deposit(us, &markets, 5, &TOKEN_ACCOUNT, 1).unwrap();
        assert_eq!(behind("deposit", &deposit), expected);
        assert_eq!(deposit.accounts[6], read(TOKEN_2022_PROGRAM_ID));
        let all = Withdrawal::All;
        let withdraw = perps::withdraw(us, &markets, 5, &TOKEN_ACCOUNT, all).unwrap();
        assert_eq!(behind("withdraw", &withdraw), expected);
    }
}

#[test]
fn oracles_are_listed_once_and_written_only_when_they_are_the_exchanges() {
    let exchange = Exchange::Drift;
    let shared = Some(key(120));
    let spots = [
        SpotMarket { oracle: None, ..spot(exchange, 0) },
        SpotMarket { oracle: shared, ..spot(exchange, 1) },
    ];
    let perps = [
        PerpMarket { oracle: shared, ..perp(exchange, 0) },
        PerpMarket { oracle_source: oracle_source::PRELAUNCH, ..perp(exchange, 3) },
    ];
    let markets = Markets::new(exchange, spots, perps).unwrap();
    for (market, is_written) in [(0, false), (3, true)] {
        let instruction =
            perps::settle_pnl(liquidator(exchange), &key(1), &markets, market).unwrap();
        let oracles = &instruction.accounts[4..6];
        let written = AccountMeta { is_writable: is_written, ..AccountMeta::new(key(123), false) };
        assert_eq!(oracles, [AccountMeta::new_readonly(key(120), false), written], "{market}");
        assert_eq!(instruction.accounts[6].pubkey, exchange.spot_market(0));
    }
}

#[test]
fn markets_that_are_missing_and_hooks_are_refused() {
    let exchange = Exchange::Drift;
    let missing = |kind, index| PerpError::MarketMissing { kind, index };
    let (us, them) = (liquidator(exchange), user(exchange));
    let with = |spots: &[u16], perps: &[PerpMarket]| {
        let spots = spots.iter().map(|index| spot(exchange, *index));
        Markets::new(exchange, spots, perps.iter().copied()).unwrap()
    };
    let without_borrow = with(&[0, 1], &[perp(exchange, 3)]);
    let error = perps::liquidate_perp(us, &them, &without_borrow, 3, 1, None).unwrap_err();
    assert_eq!(error, missing("spot", 5));
    let without_perp = with(&[0, 1, 5], &[]);
    let error = perps::liquidate_spot(us, &them, &without_perp, 1, 5, 1, None).unwrap_err();
    assert_eq!(error, missing("perp", 3));
    let error = perps::settle_pnl(us, &key(1), &without_perp, 7).unwrap_err();
    assert_eq!(error, missing("perp", 7));
    let error = perps::deposit(us, &with(&[1], &[]), 1, &TOKEN_ACCOUNT, 1).unwrap_err();
    assert_eq!(error, missing("spot", 0));
    let another_quote = PerpMarket { quote_spot_market: 9, ..perp(exchange, 3) };
    let markets = with(&[0], &[another_quote]);
    assert_eq!(perps::settle_pnl(us, &key(1), &markets, 3).unwrap_err(), missing("spot", 9));

    let hooked = SpotMarket { has_transfer_hook: true, ..spot(exchange, 1) };
    let markets = Markets::new(exchange, [spot(exchange, 0), hooked], []).unwrap();
    let error = perps::deposit(us, &markets, 1, &TOKEN_ACCOUNT, 1).unwrap_err();
    assert_eq!(error, PerpError::TransferHook { index: 1 });
    assert!(error.to_string().contains("spot market 1"));
}

/// Accounts, markets and books of the other exchange.
#[test]
fn the_exchanges_are_not_mixed() {
    let [ours, other] = Exchange::ALL;
    let refused = |what, found, expected| PerpError::OtherExchange { what, found, expected };
    let us = liquidator(ours);
    let error = Markets::new(ours, [spot(other, 0)], []).unwrap_err();
    assert_eq!(error, refused("a spot market", other, ours));
    let error = Markets::new(other, [], [perp(ours, 0)]).unwrap_err();
    assert_eq!(error, refused("a perp market", ours, other));
    let error = perps::deposit(us, &markets(other), 1, &TOKEN_ACCOUNT, 1).unwrap_err();
    assert_eq!(error, refused("the list of markets", other, ours));
    let error = perps::liquidate_perp(us, &user(other), &markets(ours), 3, 1, None).unwrap_err();
    assert_eq!(error, refused("the user", other, ours));
    let book = OrderBook { quoter_slab: key(70), clob_market: key(71) };
    let order = ClosePerp { order_book: Some(book), ..order(Fill::Any, Direction::Long, None) };
    let error = perps::close_perp(us, &markets(ours), &order).unwrap_err();
    assert_eq!(error, refused("the order book", other, ours));
}

/// The client's offsets, by the exchange's names.
fn layout_rows(exchange: Exchange) -> Vec<(&'static str, usize)> {
    let all = exchange.layout();
    let (user, position) = (all.user, all.user.perp_position);
    let (spot, perp) = (all.spot_market, all.perp_market);
    let mut rows = vec![
        ("User", user.len),
        ("User.authority", user.authority),
        ("User.spot_positions", user.spot_positions),
        ("User.perp_positions", user.perp_positions),
        ("User.liquidation_margin_freed", user.liquidation_margin_freed),
        ("User.last_active_slot", user.last_active_slot),
        ("User.sub_account_id", user.sub_account_id),
        ("User.status", user.status),
        ("User.open_orders", user.open_orders),
        ("User.pool_id", user.pool_id),
        ("PerpPosition", position.len),
        ("PerpPosition.last_cumulative_funding_rate", position.last_cumulative_funding_rate),
        ("PerpPosition.base_asset_amount", position.base),
        ("PerpPosition.quote_asset_amount", position.quote),
        ("PerpPosition.open_bids", position.open_bids),
        ("PerpPosition.open_asks", position.open_asks),
        ("PerpPosition.isolated_position_scaled_balance", position.isolated_balance),
        ("PerpPosition.market_index", position.market_index),
        ("PerpPosition.open_orders", position.open_orders),
        ("PerpPosition.position_flag", position.flag),
        ("SpotPosition", layout::spot_position::LEN),
        ("SpotPosition.scaled_balance", layout::spot_position::SCALED_BALANCE),
        ("SpotPosition.market_index", layout::spot_position::MARKET_INDEX),
        ("SpotPosition.balance_type", layout::spot_position::BALANCE_TYPE),
        ("SpotPosition.open_orders", layout::spot_position::OPEN_ORDERS),
        ("SpotMarket", spot.len),
        ("SpotMarket.oracle", spot.oracle),
        ("SpotMarket.mint", spot.mint),
        ("SpotMarket.vault", spot.vault),
        ("SpotMarket.cumulative_deposit_interest", spot.cumulative_deposit_interest),
        ("SpotMarket.cumulative_borrow_interest", spot.cumulative_borrow_interest),
        ("SpotMarket.maintenance_asset_weight", spot.maintenance_asset_weight),
        ("SpotMarket.maintenance_liability_weight", spot.maintenance_liability_weight),
        ("SpotMarket.imf_factor", spot.imf_factor),
        ("SpotMarket.liquidator_fee", spot.liquidator_fee),
        ("SpotMarket.if_liquidation_fee", spot.if_liquidation_fee),
        ("SpotMarket.decimals", spot.decimals),
        ("SpotMarket.market_index", spot.market_index),
        ("SpotMarket.oracle_source", spot.oracle_source),
        ("SpotMarket.token_program_flag", spot.token_program_flag),
        ("SpotMarket.pool_id", spot.pool_id),
        ("PerpMarket", perp.len),
        ("PerpMarket.amm.oracle", perp.oracle),
        ("PerpMarket.amm.oracle_source", perp.oracle_source),
        ("PerpMarket.amm.cumulative_funding_rate_long", perp.cumulative_funding_rate_long),
        ("PerpMarket.amm.cumulative_funding_rate_short", perp.cumulative_funding_rate_short),
        ("PerpMarket.amm.order_step_size", perp.order_step_size),
        ("PerpMarket.imf_factor", perp.imf_factor),
        ("PerpMarket.liquidator_fee", perp.liquidator_fee),
        ("PerpMarket.if_liquidation_fee", perp.if_liquidation_fee),
        ("PerpMarket.margin_ratio_maintenance", perp.margin_ratio_maintenance),
        (
            "PerpMarket.unrealized_pnl_maintenance_asset_weight",
            perp.unrealized_pnl_maintenance_asset_weight,
        ),
        ("PerpMarket.market_index", perp.market_index),
        ("PerpMarket.status", perp.status),
        ("PerpMarket.contract_type", perp.contract_type),
        ("PerpMarket.quote_spot_market_index", perp.quote_spot_market_index),
        ("PerpMarket.pool_id", perp.pool_id),
    ];
    if let Some([initial, maintenance]) = perp.high_leverage_margin_ratios {
        rows.push(("PerpMarket.high_leverage_margin_ratio_initial", initial));
        rows.push(("PerpMarket.high_leverage_margin_ratio_maintenance", maintenance));
    }
    rows.extend(user.margin_mode.map(|at| ("User.margin_mode", at)));
    if exchange == Exchange::Drift {
        let state = layout::DRIFT_STATE;
        rows.push(("State.liquidation_margin_buffer_ratio", state.liquidation_margin_buffer_ratio));
        rows.push(("State.exchange_status", state.exchange_status));
        rows.push(("State.liquidation_duration", state.liquidation_duration));
        rows.push(("State.initial_pct_to_liquidate", state.initial_pct_to_liquidate));
    }
    rows
}

#[test]
fn layouts_are_the_exchanges() {
    for interface in interface::all() {
        for (name, ours) in layout_rows(interface.exchange) {
            let theirs = interface.layout.get(name);
            let theirs = theirs.unwrap_or_else(|| panic!("{}: no {name}", interface.source));
            // An account's discriminator is not counted there; positions have none.
            let has_discriminator = !name.starts_with("PerpPosition") && !name.starts_with("SpotP");
            let before = if has_discriminator { DISCRIMINATOR_LEN } else { 0 };
            assert_eq!(ours, before + theirs, "{}: {name}", interface.source);
        }
    }
}

/// The program that the integration tests run writes to the same places.
#[test]
fn the_stand_ins_accounts_are_laid_out_as_the_exchanges() {
    use drift_stand_in::state::{self, Layout};

    let state = state::State {
        signer: key(1),
        taker_fee: (2, 3),
        signer_nonce: 4,
        margin_buffer: 5,
        paused: 6,
        duration_slots: 7,
        initial_share: 8,
    };
    let stats = state::UserStats {
        authority: key(1),
        referrer: key(2),
        sub_accounts: 3,
        sub_accounts_created: 4,
    };
    let spot = state::SpotMarket {
        address: key(1),
        oracle: key(2),
        mint: key(3),
        vault: key(4),
        deposit_balance: 5,
        borrow_balance: 6,
        deposit_interest: 7,
        borrow_interest: 8,
        asset_weight: [9, 10],
        liability_weight: [11, 12],
        liquidator_fee: 13,
        decimals: 14,
        index: 15,
        token_program_flag: 16,
        oracle_source: 17,
        status: 18,
        withdraw_guard: 19,
        max_deposits: 20,
        deposit_twap: 21,
        pool_id: 22,
        imf_factor: 23,
        insurance_fee: 24,
        average: state::Average { price: 25, since: 26 },
    };
    let perp = state::PerpMarket {
        address: key(1),
        oracle: key(2),
        step_size: 3,
        spread: [4, 5],
        pnl_pool: 6,
        liquidator_fee: 7,
        margin_ratio: [8, 9],
        pnl_weight: [10, 11],
        index: 12,
        quote_spot_market: 13,
        oracle_source: 14,
        status: 15,
        average: state::Average { price: 16, since: 18 },
        oracle_delay: 17,
        imf_factor: 19,
        insurance_fee: 20,
        pool_id: 21,
        recent_revenue: 22,
        fees_kept: 23,
    };
    let oracle = state::Oracle { price: 1, exponent: 2, posted_slot: 3 };
    for interface in &interface::all()[..2] {
        let played = match interface.exchange {
            Exchange::Drift => drift_stand_in::Exchange::Drift,
            Exchange::Velocity => drift_stand_in::Exchange::Velocity,
        };
        let check = |data: &[u8], name: &str, fields: &[(&str, u8)]| {
            if let Some(len) = interface.layout.get(name) {
                assert_eq!(data.len(), DISCRIMINATOR_LEN + len, "{name}");
            }
            assert_eq!(data[..8], hash(&format!("account:{name}")));
            for (field, value) in fields {
                // Not everything has a place with Velocity.
                let Some(at) = interface.layout.get(&format!("{name}.{field}")) else {
                    assert_eq!(interface.exchange, Exchange::Velocity, "{name}.{field}");
                    continue;
                };
                let byte = data[DISCRIMINATOR_LEN + at];
                assert_eq!(byte, *value, "{}: {name}.{field}", interface.source);
            }
        };
        check(
            &state.to_bytes(played),
            "State",
            &[
                ("signer", 1),
                ("perp_fee_structure", 2),
                ("signer_nonce", 4),
                ("liquidation_margin_buffer_ratio", 5),
                ("exchange_status", 6),
                ("liquidation_duration", 7),
                ("initial_pct_to_liquidate", 8),
            ],
        );
        check(
            &stats.to_bytes(played),
            "UserStats",
            &[
                ("authority", 1),
                ("referrer", 2),
                ("number_of_sub_accounts", 3),
                ("number_of_sub_accounts_created", 4),
            ],
        );
        check(
            &spot.to_bytes(played),
            "SpotMarket",
            &[
                ("pubkey", 1),
                ("oracle", 2),
                ("mint", 3),
                ("vault", 4),
                ("deposit_balance", 5),
                ("borrow_balance", 6),
                ("cumulative_deposit_interest", 7),
                ("cumulative_borrow_interest", 8),
                ("initial_asset_weight", 9),
                ("maintenance_asset_weight", 10),
                ("initial_liability_weight", 11),
                ("maintenance_liability_weight", 12),
                ("liquidator_fee", 13),
                ("decimals", 14),
                ("market_index", 15),
                ("token_program_flag", 16),
                ("oracle_source", 17),
                ("status", 18),
                ("withdraw_guard_threshold", 19),
                ("max_token_deposits", 20),
                ("deposit_token_twap", 21),
                ("pool_id", 22),
                ("imf_factor", 23),
                ("if_liquidation_fee", 24),
            ],
        );
        check(
            &perp.to_bytes(played),
            "PerpMarket",
            &[
                ("pubkey", 1),
                ("amm.oracle", 2),
                ("amm.order_step_size", 3),
                ("amm.short_spread", 4),
                ("amm.long_spread", 5),
                ("pnl_pool", 6),
                ("liquidator_fee", 7),
                ("margin_ratio_initial", 8),
                ("margin_ratio_maintenance", 9),
                ("unrealized_pnl_initial_asset_weight", 10),
                ("unrealized_pnl_maintenance_asset_weight", 11),
                ("market_index", 12),
                ("quote_spot_market_index", 13),
                ("amm.oracle_source", 14),
                ("status", 15),
                ("amm.oracle_slot_delay_override", 17),
                ("imf_factor", 19),
                ("if_liquidation_fee", 20),
                ("pool_id", 21),
                ("amm.net_revenue_since_last_funding", 22),
                ("amm.total_fee_minus_distributions", 23),
            ],
        );
        if interface.exchange == Exchange::Drift {
            let at = |name: &str| interface.layout[name];
            for (data, history, average) in [
                (spot.to_bytes(played), "SpotMarket.historical_oracle_data", [25, 26]),
                (perp.to_bytes(played), "PerpMarket.amm.historical_oracle_data", [16, 18]),
            ] {
                let fields = ["last_oracle_price_twap5min", "last_oracle_price_twap_ts"];
                let read = fields.map(|field| {
                    let in_history = at(&format!("HistoricalOracleData.{field}"));
                    data[DISCRIMINATOR_LEN + at(history) + in_history]
                });
                assert_eq!(read, average, "{history}");
            }
            let order = state::Order {
                slot: 1,
                price: 2,
                base: 3,
                filled: 1,
                market: 5,
                side: state::BookSide::Ask,
            };
            let mut data = vec![0; DISCRIMINATOR_LEN + at("User")];
            order.write(&mut data, 31);
            assert_eq!(state::Order::read(&data, 31), Some(order));
            let orders = DISCRIMINATOR_LEN + at("User.orders") + 31 * at("Order");
            let field = |name: &str| data[orders + at(&format!("Order.{name}"))];
            let numbers = ["slot", "price", "base_asset_amount", "base_asset_amount_filled"];
            assert_eq!(numbers.map(field), [1, 2, 3, 1]);
            // Open, limit, perp, short.
            let words = ["status", "order_type", "market_type", "direction", "post_only"];
            assert_eq!(words.map(field), [1, 1, 1, 1, 1]);
            assert_eq!(field("market_index"), 5);
        }
        check(
            &oracle.to_bytes(played),
            "PythLazerOracle",
            &[("price", 1), ("exponent", 2), ("posted_slot", 3)],
        );

        // Users: what the stand-in writes is what the client reads.
        let mut user = state::User {
            authority: key(5),
            sub_account_id: 6,
            status: state::BEING_LIQUIDATED,
            open_orders: 7,
            margin_freed: 8,
            last_active_slot: 9,
            ..Default::default()
        };
        user.spot[7] = state::SpotPosition { scaled_balance: 1, market: 2, is_borrow: true };
        user.perp[6] = state::PerpPosition {
            base: -3,
            quote: 4,
            market: 5,
            open_orders: 6,
            isolated_balance: 7,
            flag: state::ISOLATED | state::POSITION_BEING_LIQUIDATED,
        };
        let program = interface.exchange.program_id();
        let read = User::read(&key(6), &program, &user.to_bytes(played)).unwrap();
        let exchange = interface.exchange;
        let expected = User {
            account: SubAccount { exchange, authority: key(5), id: 6 },
            spot_positions: vec![SpotPosition {
                market: 2,
                scaled_balance: 1,
                is_borrow: true,
                open_orders: 0,
            }],
            perp_positions: vec![PerpPosition {
                market: 5,
                base: -3,
                quote: 4,
                open_orders: 6,
                isolated_balance: Some(7),
                is_being_liquidated: true,
                ..PerpPosition::default()
            }],
            pool_id: 0,
            open_orders: 7,
            is_being_liquidated: true,
            is_bankrupt: false,
            liquidation_margin_freed: 8,
            last_active_slot: 9,
            high_leverage: false,
        };
        assert_eq!(read, expected);
        // The other exchange's layout does not fit.
        for other in Exchange::ALL.into_iter().filter(|other| *other != exchange) {
            let refused = PerpError::NotA { what: "user", address: key(6) };
            let read = User::read(&key(6), &other.program_id(), &user.to_bytes(played));
            assert_eq!(read, Err(refused));
        }
        let markets = (
            SpotMarket::read(
                &key(1),
                &program,
                &state::SpotMarket { decimals: 6, ..spot.clone() }.to_bytes(played),
            )
            .unwrap(),
            PerpMarket::read(&key(1), &program, &perp.to_bytes(played)).unwrap(),
        );
        assert_eq!(
            (markets.0.index, markets.0.oracle, markets.0.vault),
            (15, Some(key(2)), key(4))
        );
        let risk = markets.0.risk;
        assert_eq!((risk.asset_weight, risk.liability_weight, risk.decimals), (10, 12, 6));
        assert_eq!((markets.1.index, markets.1.quote_spot_market), (12, 13));
        let risk = markets.1.risk;
        assert_eq!((risk.step_size, risk.margin_ratio, risk.pnl_weight), (3, 9, 11));
    }
}

fn empty_user(exchange: Exchange) -> Vec<u8> {
    let mut data = vec![0; exchange.layout().user.len];
    data[..8].copy_from_slice(&discriminator::USER);
    data
}

#[test]
fn only_an_empty_account_takes_over() {
    for exchange in Exchange::ALL {
        let at = exchange.layout().user;
        let read = |data: &[u8]| EmptyAccount::read(&key(6), &exchange.program_id(), data);
        let with = |offset: usize, byte: u8| {
            let mut data = empty_user(exchange);
            data[offset] = byte;
            read(&data)
        };
        assert!(read(&empty_user(exchange)).is_ok());
        let refused = |deposits, positions, orders| {
            Err(PerpError::NotEmpty { address: key(6), deposits, positions, orders })
        };
        assert_eq!(with(at.spot_positions + 40, 1), refused(1, 0, 0));
        assert_eq!(with(at.perp_positions + at.perp_position.quote, 1), refused(0, 1, 0));
        assert_eq!(
            with(at.perp_positions + at.perp_position.isolated_balance, 1),
            refused(0, 1, 0)
        );
        assert_eq!(with(at.open_orders, 2), refused(0, 0, 2));
        assert!(matches!(
            with(at.status, 1),
            Err(PerpError::Status { what: "being liquidated", .. })
        ));
        assert!(matches!(with(at.status, 2), Err(PerpError::Status { what: "bankrupt", .. })));
        let error = with(at.pool_id, 1).unwrap_err();
        assert_eq!(error, PerpError::OtherPool { address: key(6), found: 1, expected: 0 });
        assert!(error.to_string().contains("is in pool 1"));
    }
}

#[test]
fn other_accounts_are_refused() {
    let refused = |what| PerpError::NotA { what, address: key(6) };
    for exchange in Exchange::ALL {
        let program = exchange.program_id();
        let user = empty_user(exchange);
        let short = &user[..user.len() - 1];
        assert_eq!(User::read(&key(6), &key(7), &user), Err(refused("user")));
        assert_eq!(User::read(&key(6), &program, short), Err(refused("user")));
        assert_eq!(User::read(&key(6), &program, &[]), Err(refused("user")));
        // Velocity lets accounts grow, and what is behind is not looked at.
        let mut grown = user.clone();
        grown.extend([1; 256]);
        let read = User::read(&key(6), &program, &grown);
        match exchange {
            Exchange::Drift => assert_eq!(read, Err(refused("user"))),
            Exchange::Velocity => assert_eq!(read, User::read(&key(6), &program, &user)),
        }
        assert_eq!(SpotMarket::read(&key(6), &program, &user), Err(refused("spot market")));
        assert_eq!(PerpMarket::read(&key(6), &program, &user), Err(refused("perp market")));
        let error = State::read(&key(6), &program, &user).unwrap_err();
        let is_refused = error == refused("state") || matches!(error, PerpError::NoQuote { .. });
        assert!(is_refused, "{error}");
    }
}

#[test]
fn prices_are_read_from_the_exchanges_own_oracles() {
    let lazer = |price: i64, exponent: i32, confidence: u64| {
        let mut data = vec![0; 48];
        data[..8].copy_from_slice(&discriminator::PYTH_LAZER_ORACLE);
        data[8..16].copy_from_slice(&price.to_le_bytes());
        data[32..36].copy_from_slice(&exponent.to_le_bytes());
        data[40..48].copy_from_slice(&confidence.to_le_bytes());
        data
    };
    let program = Exchange::Drift.program_id();
    let read = |kind, data: &[u8]| {
        let mut prices = Prices::default();
        prices.read(&key(6), kind, &program, data).map(|()| prices)
    };
    let is = |price| Ok(Prices::new([(key(6), price)]));
    use oracle_source::*;
    assert_eq!(read(PYTH_LAZER, &lazer(14_312_345_678, -8, 0)), is(143_123_456));
    assert_eq!(read(PYTH_LAZER, &lazer(143, 0, 0)), is(143_000_000));
    assert_eq!(read(PYTH_LAZER_1K, &lazer(2_512_345, -8, 0)), is(25_123_450));
    assert_eq!(read(PYTH_LAZER_1M, &lazer(1_234_567, -11, 0)), is(12_345_670));
    // Taken for a dollar within five hundredths of a per cent and its confidence.
    assert_eq!(read(PYTH_LAZER_STABLE_COIN, &lazer(100_030_000, -8, 40_000)), is(1_000_000));
    assert_eq!(read(PYTH_LAZER_STABLE_COIN, &lazer(100_030_000, -8, 20_000)), is(1_000_300));
    assert_eq!(read(PYTH_LAZER_STABLE_COIN, &lazer(100_060_000, -8, 90_000)), is(1_000_600));
    assert_eq!(read(7, &lazer(1, 0, 0)), Err(PerpError::OracleKind { oracle: key(6), kind: 7 }));
    let refused = Err(PerpError::NotA { what: "oracle", address: key(6) });
    assert_eq!(read(PYTH_LAZER, &[0; 48]), refused);
    assert_eq!(read(PRELAUNCH, &lazer(1, 0, 0)), refused);
    assert_eq!(read(PYTH_LAZER, &lazer(1, -60, 0)), Err(PerpError::Overflow));
}

#[test]
fn the_instructions_module_names_every_discriminator() {
    use instruction::discriminator::*;
    let named = [
        INITIALIZE_USER_STATS,
        INITIALIZE_USER,
        DEPOSIT,
        WITHDRAW,
        LIQUIDATE_PERP,
        LIQUIDATE_SPOT,
        LIQUIDATE_PERP_PNL_FOR_DEPOSIT,
        SETTLE_PNL,
        PLACE_AND_TAKE_PERP_ORDER,
        PLACE_AND_TAKE_PERP_ORDER_V1,
        UPDATE_USER_POOL_ID,
    ];
    let facts = &interface::all()[1].instructions;
    assert_eq!(named.len(), facts.len());
    for name in facts.keys() {
        assert!(named.contains(&hash(&format!("global:{name}"))), "{name}");
    }
}
