//! The Drift builders against facts about Drift's interface.

use std::collections::BTreeMap;

use flash_liquidator_client::{
    drift::{
        self, ClosePerp, Direction, DriftError, Fill, Maker, Markets, PROGRAM_ID, PerpMarket,
        PerpPosition, SpotMarket, SpotPosition, SubAccount, User, Withdrawal,
        accounts::{self, layout},
        addresses, instruction,
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

fn liquidator() -> SubAccount {
    SubAccount { authority: key(1), id: 2 }
}

fn spot(index: u16) -> SpotMarket {
    SpotMarket {
        address: addresses::spot_market(index),
        index,
        oracle: Some(key(100 + index as u8)),
        mint: key(110 + index as u8),
        vault: addresses::spot_market_vault(index),
        token_program: TOKEN_PROGRAM_ID,
        has_transfer_hook: false,
    }
}

fn perp(index: u16) -> PerpMarket {
    PerpMarket {
        address: addresses::perp_market(index),
        index,
        oracle: Some(key(120 + index as u8)),
        oracle_is_drifts: false,
        quote_spot_market: 0,
    }
}

fn markets() -> Markets {
    Markets::new([spot(0), spot(1), spot(5)], [perp(0), perp(3)])
}

fn user() -> User {
    User {
        account: SubAccount { authority: key(3), id: 4 },
        spot_positions: vec![
            SpotPosition { market: 1, scaled_balance: 9, is_borrow: false },
            SpotPosition { market: 5, scaled_balance: 9, is_borrow: true },
        ],
        perp_positions: vec![PerpPosition { market: 3, base: -1, quote: 2 }],
    }
}

/// Name of an instruction, what a builder made of it, the key for each account
/// that Drift names, and the arguments as they should read.
type Built = (&'static str, Instruction, Vec<(&'static str, Address)>, &'static str);

/// Every builder once.
fn built() -> Vec<Built> {
    let (us, them, markets) = (liquidator(), user(), markets());
    let common = vec![
        ("state", addresses::state()),
        ("authority", us.authority),
        ("payer", us.authority),
        ("rent", sysvar::rent::ID),
        ("system_program", system_program::ID),
        ("user", us.address()),
        ("user_stats", us.stats()),
        ("drift_signer", addresses::signer()),
        ("user_token_account", TOKEN_ACCOUNT),
        ("token_program", TOKEN_PROGRAM_ID),
        ("spot_market_vault", addresses::spot_market_vault(5)),
    ];
    let mut settlement = common.clone();
    settlement.push(("spot_market_vault", addresses::spot_market_vault(0)));
    let mut liquidation = common.clone();
    liquidation.extend([
        ("liquidator", us.address()),
        ("liquidator_stats", us.stats()),
        ("user", them.account.address()),
        ("user_stats", them.account.stats()),
    ]);
    let mut name = [0; 32];
    name[..7].copy_from_slice(b"account");
    vec![
        ("initialize_user_stats", drift::initialize_user_stats(&us.authority), common.clone(), ""),
        (
            "initialize_user",
            drift::initialize_user(us, name),
            common.clone(),
            "sub_account_id=2 name=account",
        ),
        (
            "deposit",
            drift::deposit(us, &markets, 5, &TOKEN_ACCOUNT, 77).unwrap(),
            common.clone(),
            "market_index=5 amount=77 reduce_only=false",
        ),
        (
            "withdraw",
            drift::withdraw(us, &markets, 5, &TOKEN_ACCOUNT, Withdrawal::Units(77)).unwrap(),
            common.clone(),
            "market_index=5 amount=77 reduce_only=false",
        ),
        (
            "withdraw",
            drift::withdraw(us, &markets, 5, &TOKEN_ACCOUNT, Withdrawal::All).unwrap(),
            common.clone(),
            "market_index=5 amount=18446744073709551615 reduce_only=true",
        ),
        (
            "liquidate_perp",
            drift::liquidate_perp(us, &them, &markets, 3, 88, Some(99)).unwrap(),
            liquidation.clone(),
            "market_index=3 liquidator_max_base_asset_amount=88 limit_price=99",
        ),
        (
            "liquidate_spot",
            drift::liquidate_spot(us, &them, &markets, 1, 5, 1 << 70, None).unwrap(),
            liquidation.clone(),
            "asset_market_index=1 liability_market_index=5 \
             liquidator_max_liability_transfer=1180591620717411303424 limit_price=none",
        ),
        (
            "liquidate_perp_pnl_for_deposit",
            drift::liquidate_perp_pnl_for_deposit(us, &them, &markets, 3, 1, 88, Some(9)).unwrap(),
            liquidation,
            "perp_market_index=3 spot_market_index=1 liquidator_max_pnl_transfer=88 limit_price=9",
        ),
        ("settle_pnl", drift::settle_pnl(us, &markets, 3).unwrap(), settlement, "market_index=3"),
        (
            "place_and_take_perp_order",
            drift::close_perp(
                us,
                &markets,
                &ClosePerp {
                    market: 3,
                    direction: Direction::Long,
                    base: 88,
                    limit_price: Some(99),
                    fill: Fill::Whole,
                    makers: &[],
                },
            )
            .unwrap(),
            common.clone(),
            // 25602 is 2 for "everything", and 100 % of the auction times 256.
            "params=order_type=Limit market_type=Perp direction=Long user_order_id=0 \
             base_asset_amount=88 price=99 market_index=3 reduce_only=true post_only=None \
             bit_flags=1 max_ts=none trigger_price=none trigger_condition=Above \
             oracle_price_offset=none auction_duration=none auction_start_price=none \
             auction_end_price=none success_condition=25602",
        ),
        (
            "place_and_take_perp_order",
            drift::close_perp(
                us,
                &markets,
                &ClosePerp {
                    market: 0,
                    direction: Direction::Short,
                    base: 88,
                    limit_price: None,
                    fill: Fill::Any,
                    makers: &[],
                },
            )
            .unwrap(),
            common,
            "params=order_type=Market market_type=Perp direction=Short user_order_id=0 \
             base_asset_amount=88 price=0 market_index=0 reduce_only=true post_only=None \
             bit_flags=1 max_ts=none trigger_price=none trigger_condition=Above \
             oracle_price_offset=none auction_duration=none auction_start_price=none \
             auction_end_price=none success_condition=none",
        ),
    ]
}

fn hash(text: &str) -> [u8; 8] {
    Sha256::digest(text).first_chunk().copied().unwrap()
}

#[test]
fn discriminators_are_hashes_of_names() {
    for (name, instruction, ..) in built() {
        assert_eq!(instruction.program_id, PROGRAM_ID);
        assert_eq!(instruction.data[..8], hash(&format!("global:{name}")), "{name}");
    }
    for (name, discriminator) in [
        ("User", accounts::discriminator::USER),
        ("SpotMarket", accounts::discriminator::SPOT_MARKET),
        ("PerpMarket", accounts::discriminator::PERP_MARKET),
    ] {
        assert_eq!(discriminator, hash(&format!("account:{name}")), "{name}");
    }
}

#[test]
fn accounts_are_in_drifts_order_with_drifts_flags() {
    for interface in interface::all() {
        for (name, instruction, keys, _) in built() {
            let facts = &interface.instructions[name];
            // What is named later counts.
            let keys: BTreeMap<_, _> = keys.into_iter().collect();
            for (position, fact) in facts.accounts.iter().enumerate() {
                let meta = &instruction.accounts[position];
                let at = format!("{}: {name}, account {position}", interface.source);
                assert_eq!(meta.pubkey, keys[fact.name.as_str()], "{at} {}", fact.name);
                assert_eq!(meta.is_writable, fact.is_writable, "{at} {}", fact.name);
                // Older versions do not ask for the wallet's signature where newer do.
                let may_sign = fact.is_signer || fact.name == "authority";
                assert!(meta.is_signer >= fact.is_signer, "{at} {}", fact.name);
                assert!(may_sign || !meta.is_signer, "{at} {}", fact.name);
            }
            let rest = &instruction.accounts[facts.accounts.len()..];
            assert!(rest.iter().all(|meta| !meta.is_signer), "{name}");
        }
    }
}

#[test]
fn arguments_read_as_drift_reads_them() {
    for interface in interface::all() {
        for (name, instruction, _, expected) in built() {
            let mut rest = &instruction.data[DISCRIMINATOR_LEN..];
            let mut values = Vec::new();
            for (arg, kind) in &interface.instructions[name].args {
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
    let behind = |name: &str, instruction: &Instruction| {
        let facts = &interface::all()[0].instructions[name];
        instruction.accounts[facts.accounts.len()..].to_vec()
    };
    let oracles = [100, 101, 105, 120, 123].map(|byte| read(key(byte)));
    let (spots, perps) = ([0, 1, 5], [0, 3]);
    let list = |changed_spots: &[u16], changed_perps: &[u16]| -> Vec<AccountMeta> {
        let meta = |key, is_changed| if is_changed { write(key) } else { read(key) };
        let spots = spots.map(|i| meta(addresses::spot_market(i), changed_spots.contains(&i)));
        let perps = perps.map(|i| meta(addresses::perp_market(i), changed_perps.contains(&i)));
        oracles.iter().cloned().chain(spots).chain(perps).collect()
    };
    for (name, instruction, ..) in built() {
        // What each instruction changes is what Drift demands to be writable.
        let expected = match name {
            "initialize_user_stats" | "initialize_user" => vec![],
            "deposit" | "withdraw" => list(&[5], &[]),
            "liquidate_perp" => list(&[], &[3]),
            "liquidate_spot" => list(&[1, 5], &[]),
            "liquidate_perp_pnl_for_deposit" => list(&[1], &[3]),
            "settle_pnl" => list(&[0], &[3]),
            "place_and_take_perp_order" if instruction.data.contains(&99) => list(&[], &[3]),
            "place_and_take_perp_order" => list(&[], &[0]),
            other => panic!("{other}"),
        };
        assert_eq!(behind(name, &instruction), expected, "{name}");
    }

    // Makers stand behind the markets, the user before its statistics.
    let makers = [Maker { user: key(60), stats: key(61) }, Maker { user: key(62), stats: key(63) }];
    let order = ClosePerp {
        market: 0,
        direction: Direction::Short,
        base: 1,
        limit_price: None,
        fill: Fill::Part,
        makers: &makers,
    };
    let instruction = drift::close_perp(liquidator(), &markets(), &order).unwrap();
    let expected: Vec<_> =
        list(&[], &[0]).into_iter().chain([60, 61, 62, 63].map(|byte| write(key(byte)))).collect();
    assert_eq!(behind("place_and_take_perp_order", &instruction), expected);

    // The mint of a Token-2022 market stands there too.
    let token_2022 = SpotMarket { token_program: TOKEN_2022_PROGRAM_ID, ..spot(5) };
    let markets = Markets::new([spot(0), token_2022], []);
    let expected = [
        read(key(100)),
        read(key(105)),
        read(addresses::spot_market(0)),
        write(addresses::spot_market(5)),
        read(key(115)),
    ];
    let deposit = drift::deposit(liquidator(), &markets, 5, &TOKEN_ACCOUNT, 1).unwrap();
    assert_eq!(behind("deposit", &deposit), expected);
    assert_eq!(deposit.accounts[6], read(TOKEN_2022_PROGRAM_ID));
    let amount = Withdrawal::All;
    let withdraw = drift::withdraw(liquidator(), &markets, 5, &TOKEN_ACCOUNT, amount).unwrap();
    assert_eq!(behind("withdraw", &withdraw), expected);
}

#[test]
fn oracles_are_listed_once_and_written_only_when_they_are_drifts() {
    let shared = Some(key(120));
    let spots = [SpotMarket { oracle: None, ..spot(0) }, SpotMarket { oracle: shared, ..spot(1) }];
    let perps = [
        PerpMarket { oracle: shared, ..perp(0) },
        PerpMarket { oracle_is_drifts: true, ..perp(3) },
    ];
    let markets = Markets::new(spots, perps);
    for (market, is_written) in [(0, false), (3, true)] {
        let instruction = drift::settle_pnl(liquidator(), &markets, market).unwrap();
        let oracles = &instruction.accounts[4..6];
        let written = AccountMeta { is_writable: is_written, ..AccountMeta::new(key(123), false) };
        assert_eq!(oracles, [AccountMeta::new_readonly(key(120), false), written], "{market}");
        assert_eq!(instruction.accounts[6].pubkey, addresses::spot_market(0));
    }
}

#[test]
fn markets_that_are_missing_and_hooks_are_refused() {
    let missing = |kind, index| DriftError::MarketMissing { kind, index };
    let (us, them) = (liquidator(), user());
    let without_borrow = Markets::new([spot(0), spot(1)], [perp(3)]);
    let error = drift::liquidate_perp(us, &them, &without_borrow, 3, 1, None).unwrap_err();
    assert_eq!(error, missing("spot", 5));
    let without_perp = Markets::new([spot(0), spot(1), spot(5)], []);
    let error = drift::liquidate_spot(us, &them, &without_perp, 1, 5, 1, None).unwrap_err();
    assert_eq!(error, missing("perp", 3));
    let error = drift::settle_pnl(us, &without_perp, 7).unwrap_err();
    assert_eq!(error, missing("perp", 7));
    let without_quote = Markets::new([spot(1)], []);
    let error = drift::deposit(us, &without_quote, 1, &TOKEN_ACCOUNT, 1).unwrap_err();
    assert_eq!(error, missing("spot", 0));
    let another_quote = PerpMarket { quote_spot_market: 9, ..perp(3) };
    let markets = Markets::new([spot(0)], [another_quote]);
    assert_eq!(drift::settle_pnl(us, &markets, 3).unwrap_err(), missing("spot", 9));

    let hooked = SpotMarket { has_transfer_hook: true, ..spot(1) };
    let markets = Markets::new([spot(0), hooked], []);
    let error = drift::deposit(us, &markets, 1, &TOKEN_ACCOUNT, 1).unwrap_err();
    assert_eq!(error, DriftError::TransferHook { index: 1 });
    assert!(error.to_string().contains("spot market 1"));
}

#[test]
fn layouts_are_drifts() {
    for interface in interface::all() {
        let at = |name: &str| {
            let offset = interface.layout.get(name);
            *offset.unwrap_or_else(|| panic!("{} does not describe {name}", interface.source))
        };
        let in_account = |name: &str| DISCRIMINATOR_LEN + at(name);
        for (ours, drifts) in [
            (layout::USER_LEN, in_account("User")),
            (layout::USER_AUTHORITY, in_account("User.authority")),
            (layout::USER_SPOT_POSITIONS, in_account("User.spot_positions")),
            (layout::USER_PERP_POSITIONS, in_account("User.perp_positions")),
            (layout::USER_SUB_ACCOUNT_ID, in_account("User.sub_account_id")),
            (layout::SPOT_POSITION_LEN, at("SpotPosition")),
            (layout::SPOT_POSITION_SCALED_BALANCE, at("SpotPosition.scaled_balance")),
            (layout::SPOT_POSITION_MARKET_INDEX, at("SpotPosition.market_index")),
            (layout::SPOT_POSITION_BALANCE_TYPE, at("SpotPosition.balance_type")),
            (layout::SPOT_POSITION_OPEN_ORDERS, at("SpotPosition.open_orders")),
            (layout::PERP_POSITION_LEN, at("PerpPosition")),
            (layout::PERP_POSITION_BASE, at("PerpPosition.base_asset_amount")),
            (layout::PERP_POSITION_QUOTE, at("PerpPosition.quote_asset_amount")),
            (layout::PERP_POSITION_OPEN_BIDS, at("PerpPosition.open_bids")),
            (layout::PERP_POSITION_OPEN_ASKS, at("PerpPosition.open_asks")),
            (
                layout::PERP_POSITION_ISOLATED_BALANCE,
                at("PerpPosition.isolated_position_scaled_balance"),
            ),
            (layout::PERP_POSITION_MARKET_INDEX, at("PerpPosition.market_index")),
            (layout::PERP_POSITION_OPEN_ORDERS, at("PerpPosition.open_orders")),
            (layout::PERP_POSITION_FLAG, at("PerpPosition.position_flag")),
            (layout::SPOT_MARKET_ORACLE, in_account("SpotMarket.oracle")),
            (layout::SPOT_MARKET_MINT, in_account("SpotMarket.mint")),
            (layout::SPOT_MARKET_VAULT, in_account("SpotMarket.vault")),
            (layout::PERP_MARKET_ORACLE, in_account("PerpMarket.amm") + at("AMM.oracle")),
            (
                layout::USER_PERP_POSITIONS - layout::USER_SPOT_POSITIONS,
                layout::POSITIONS * layout::SPOT_POSITION_LEN,
            ),
        ] {
            assert_eq!(ours, drifts, "{}", interface.source);
        }
        let spot_market = layout::SpotMarketLayout {
            len: in_account("SpotMarket"),
            index: in_account("SpotMarket.market_index"),
            token_program_flag: in_account("SpotMarket.token_program_flag"),
        };
        assert!(layout::SPOT_MARKETS.contains(&spot_market), "{}", interface.source);
        let perp_market = layout::PerpMarketLayout {
            len: in_account("PerpMarket"),
            index: in_account("PerpMarket.market_index"),
            quote_spot_market: in_account("PerpMarket.quote_spot_market_index"),
            oracle_source: in_account("PerpMarket.amm") + at("AMM.oracle_source"),
        };
        assert!(layout::PERP_MARKETS.contains(&perp_market), "{}", interface.source);
    }
}

/// The program that the integration tests run writes to the same places.
#[test]
fn the_stand_ins_accounts_are_laid_out_as_drifts() {
    use drift_stand_in::state::{self, Layout};

    let state = state::State { signer: key(1), taker_fee: (2, 3), signer_nonce: 4 };
    let stats = state::UserStats { authority: key(1), sub_accounts: 2, sub_accounts_created: 3 };
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
    };
    let oracle = state::Oracle { price: 1, exponent: 2 };
    let is_imitated = |interface: &interface::Interface| {
        interface.layout["SpotMarket"] == state::len::SPOT_MARKET - DISCRIMINATOR_LEN
    };
    for interface in interface::all().iter().filter(|interface| is_imitated(interface)) {
        let check = |data: &[u8], name: &str, len: usize, fields: &[(&str, u8)]| {
            assert_eq!(data.len(), len);
            assert_eq!(data[..8], hash(&format!("account:{name}")));
            for (field, value) in fields {
                let at = match field.strip_prefix("amm.") {
                    Some(field) => {
                        interface.layout["PerpMarket.amm"]
                            + interface.layout[&format!("AMM.{field}")]
                    }
                    None => interface.layout[&format!("{name}.{field}")],
                };
                let byte = data[DISCRIMINATOR_LEN + at];
                assert_eq!(byte, *value, "{}: {name}.{field}", interface.source);
            }
        };
        check(
            &state.to_bytes(),
            "State",
            state::len::STATE,
            &[("signer", 1), ("perp_fee_structure", 2), ("signer_nonce", 4)],
        );
        check(
            &stats.to_bytes(),
            "UserStats",
            DISCRIMINATOR_LEN + interface.layout["UserStats"],
            &[
                ("authority", 1),
                ("number_of_sub_accounts", 2),
                ("number_of_sub_accounts_created", 3),
            ],
        );
        check(
            &spot.to_bytes(),
            "SpotMarket",
            state::len::SPOT_MARKET,
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
            ],
        );
        check(
            &perp.to_bytes(),
            "PerpMarket",
            DISCRIMINATOR_LEN + interface.layout["PerpMarket"],
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
            ],
        );
        check(
            &oracle.to_bytes(),
            "PythLazerOracle",
            state::len::PYTH_LAZER_ORACLE,
            &[("price", 1), ("exponent", 2)],
        );
    }

    // Positions: what the stand-in writes is what the client reads.
    let mut user = state::User { authority: key(5), sub_account_id: 6, ..Default::default() };
    user.spot[7] = state::SpotPosition { scaled_balance: 1, market: 2, is_borrow: true };
    user.perp[6] = state::PerpPosition { base: -3, quote: 4, market: 5 };
    let read = User::read(&key(6), &PROGRAM_ID, &user.to_bytes()).unwrap();
    let spot = SpotPosition { market: 2, scaled_balance: 1, is_borrow: true };
    let perp = PerpPosition { market: 5, base: -3, quote: 4 };
    assert_eq!((read.spot_positions, read.perp_positions), (vec![spot], vec![perp]));
    assert_eq!(read.account, SubAccount { authority: key(5), id: 6 });
}

/// Bytes of an account with these fields.
fn account(discriminator: [u8; 8], len: usize, fields: &[(usize, Vec<u8>)]) -> Vec<u8> {
    let mut data = vec![0; len];
    data[..8].copy_from_slice(&discriminator);
    for (at, bytes) in fields {
        data[*at..*at + bytes.len()].copy_from_slice(bytes);
    }
    data
}

#[test]
fn accounts_of_every_version_are_read() {
    for layout in layout::SPOT_MARKETS {
        let read = |flag: u8, oracle: Address| {
            let fields = [
                (layout::SPOT_MARKET_ORACLE, oracle.as_ref().to_vec()),
                (layout::SPOT_MARKET_MINT, vec![8; 32]),
                (layout::SPOT_MARKET_VAULT, vec![9; 32]),
                (layout.index, vec![2, 1]),
                (layout.token_program_flag, vec![flag]),
            ];
            let data = account(accounts::discriminator::SPOT_MARKET, layout.len, &fields);
            SpotMarket::read(&key(6), &PROGRAM_ID, &data).unwrap()
        };
        let market = read(0, key(7));
        assert_eq!(
            market,
            SpotMarket {
                address: key(6),
                index: 258,
                oracle: Some(key(7)),
                mint: key(8),
                vault: key(9),
                token_program: TOKEN_PROGRAM_ID,
                has_transfer_hook: false,
            }
        );
        let market = read(3, Address::default());
        assert_eq!(market.oracle, None);
        assert_eq!(market.token_program, TOKEN_2022_PROGRAM_ID);
        assert!(market.has_transfer_hook);
    }
    for layout in layout::PERP_MARKETS {
        for (source, oracle_is_drifts) in [(layout::ORACLE_SOURCE_PRELAUNCH, true), (12, false)] {
            let fields = [
                (layout::PERP_MARKET_ORACLE, vec![7; 32]),
                (layout.index, vec![3, 0]),
                (layout.quote_spot_market, vec![4, 0]),
                (layout.oracle_source, vec![source]),
            ];
            let data = account(accounts::discriminator::PERP_MARKET, layout.len, &fields);
            let expected = PerpMarket {
                address: key(6),
                index: 3,
                oracle: Some(key(7)),
                oracle_is_drifts,
                quote_spot_market: 4,
            };
            assert_eq!(PerpMarket::read(&key(6), &PROGRAM_ID, &data), Ok(expected));
        }
    }
}

#[test]
fn positions_in_use_are_found_wherever_they_are() {
    let spot = |slot: usize, field: usize| {
        layout::USER_SPOT_POSITIONS + slot * layout::SPOT_POSITION_LEN + field
    };
    let perp = |slot: usize, field: usize| {
        layout::USER_PERP_POSITIONS + slot * layout::PERP_POSITION_LEN + field
    };
    let fields = [
        (layout::USER_AUTHORITY, vec![5; 32]),
        (layout::USER_SUB_ACCOUNT_ID, vec![1, 0]),
        // A borrow; a deposit that only has an order; a slot that was used once.
        (spot(0, layout::SPOT_POSITION_SCALED_BALANCE), vec![7]),
        (spot(0, layout::SPOT_POSITION_MARKET_INDEX), vec![2, 0]),
        (spot(0, layout::SPOT_POSITION_BALANCE_TYPE), vec![1]),
        (spot(7, layout::SPOT_POSITION_MARKET_INDEX), vec![4, 1]),
        (spot(7, layout::SPOT_POSITION_OPEN_ORDERS), vec![1]),
        (spot(3, layout::SPOT_POSITION_MARKET_INDEX), vec![9, 0]),
        // A short position; a profit to be settled; a slot that was used once.
        (perp(1, layout::PERP_POSITION_BASE), (-5i64).to_le_bytes().to_vec()),
        (perp(1, layout::PERP_POSITION_QUOTE), vec![6]),
        (perp(1, layout::PERP_POSITION_MARKET_INDEX), vec![3, 0]),
        (perp(7, layout::PERP_POSITION_QUOTE), vec![8]),
        (perp(7, layout::PERP_POSITION_MARKET_INDEX), vec![6, 0]),
        (perp(2, layout::PERP_POSITION_MARKET_INDEX), vec![9, 0]),
    ];
    let data = account(accounts::discriminator::USER, layout::USER_LEN, &fields);
    let user = User::read(&key(6), &PROGRAM_ID, &data).unwrap();
    assert_eq!(
        user,
        User {
            account: SubAccount { authority: key(5), id: 1 },
            spot_positions: vec![
                SpotPosition { market: 2, scaled_balance: 7, is_borrow: true },
                SpotPosition { market: 260, scaled_balance: 0, is_borrow: false },
            ],
            perp_positions: vec![
                PerpPosition { market: 3, base: -5, quote: 6 },
                PerpPosition { market: 6, base: 0, quote: 8 },
            ],
        }
    );
    assert_eq!(user.spot_markets(), [2, 260].into());
    assert_eq!(user.perp_markets(), [3, 6].into());
}

#[test]
fn other_accounts_are_refused() {
    let refused = |what| DriftError::NotA { what, address: key(6) };
    let user = account(accounts::discriminator::USER, layout::USER_LEN, &[]);
    assert_eq!(User::read(&key(6), &key(7), &user), Err(refused("user")));
    assert_eq!(User::read(&key(6), &PROGRAM_ID, &user[..4_375]), Err(refused("user")));
    assert_eq!(User::read(&key(6), &PROGRAM_ID, &[]), Err(refused("user")));
    assert_eq!(SpotMarket::read(&key(6), &PROGRAM_ID, &user), Err(refused("spot market")));
    assert_eq!(PerpMarket::read(&key(6), &PROGRAM_ID, &user), Err(refused("perp market")));
    // A version that is not known yet.
    let spot = account(accounts::discriminator::SPOT_MARKET, 816, &[]);
    assert_eq!(SpotMarket::read(&key(6), &PROGRAM_ID, &spot), Err(refused("spot market")));
    let perp = account(accounts::discriminator::PERP_MARKET, 1_248, &[]);
    let error = PerpMarket::read(&key(6), &PROGRAM_ID, &perp).unwrap_err();
    assert!(error.to_string().contains("of a version of Drift that is not known"), "{error}");
}

#[test]
fn the_instructions_module_names_every_discriminator() {
    let named = [
        instruction::discriminator::INITIALIZE_USER_STATS,
        instruction::discriminator::INITIALIZE_USER,
        instruction::discriminator::DEPOSIT,
        instruction::discriminator::WITHDRAW,
        instruction::discriminator::LIQUIDATE_PERP,
        instruction::discriminator::LIQUIDATE_SPOT,
        instruction::discriminator::LIQUIDATE_PERP_PNL_FOR_DEPOSIT,
        instruction::discriminator::SETTLE_PNL,
        instruction::discriminator::PLACE_AND_TAKE_PERP_ORDER,
    ];
    let facts = &interface::all()[0].instructions;
    assert_eq!(named.len(), facts.len());
    for name in facts.keys() {
        assert!(named.contains(&hash(&format!("global:{name}"))), "{name}");
    }
}
