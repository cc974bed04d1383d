use flash_liquidator_client::swap::jupiter::Allowed;

use super::*;
use crate::{
    alerts::Format,
    build::plan::Fees,
    cli::MAIN_MARKET,
    land::funds::Rule,
    program::Authority,
    route::fees::{FeeRules, TipRule, UnitPrice},
};

const KEY: &str = "7u3HeHxYDLhnCoErrtycNokbQYbWGzLs6JSDqGAv5PfF";

fn parse(text: &str) -> Result<Config, Vec<String>> {
    match Config::read(text) {
        (Some(config), mistakes) if mistakes.is_empty() => Ok(config),
        (_, mistakes) => Err(mistakes),
    }
}

fn mistaken_keys(mistakes: &[String]) -> Vec<&str> {
    mistakes.iter().map(|mistake| mistake.split(':').next().unwrap()).collect()
}

fn rules(config: &Config) -> &FeeRules {
    let Fees::Rules(rules) = &config.wishes.fees else { panic!("fees by rules") };
    rules
}

#[test]
fn an_empty_file_only_simulates_on_the_main_market() {
    let config = parse("").unwrap();
    assert_eq!(config.markets, [MAIN_MARKET.parse().unwrap()]);
    assert!(!config.send && !config.mainnet && config.own_node);
    let (seeking, _) = config.discover.clone().unwrap();
    assert_eq!((seeking.per_pair, seeking.via.len()), (4, 2));
    assert_eq!((config.metrics, config.simulate), (None, Simulate::Local));
    assert_eq!(
        (rules(&config).tip.as_ref(), rules(&config).unit_price),
        (None, UnitPrice::Fixed(0))
    );
    assert_eq!((config.wishes.least, config.wishes.tolerance_bps), (Least::Usd(1.0), 2_500));
}

#[test]
fn every_mistake_is_reported_at_once() {
    let mistakes = parse(
        r#"
        market = "main"
        send = "yes"
        tables = ["x"]
        min_profit_usd = -1
        slippage_bps = 10001
        poll_ms = 0
        metrics = "9184"
        low_balance_sol = -1
        top_up_keep_sol = 1
        program_hash = "12"
        program_authority = "me"
        klend_version = "1.20"
        on_difference = "shrug"
        tip_lamports = 5
        feed = "rumours"
        websocket_url = "http://x/?api-key=SECRET"
        nodes = ["http://x/?api-key=SECRET", "x/SECRET"]
        workers = 0
        vault = "https://v"
        min_profitt = 3
        [alerts]
        webhook = "ftp://x/SECRET"
        format = "pigeon"
        failures = 0
        whom = "me"
        "#,
    )
    .unwrap_err();
    let mut keys = mistaken_keys(&mistakes);
    keys.sort_unstable();
    assert_eq!(
        keys,
        [
            "alerts.failures",
            "alerts.format",
            "alerts.webhook",
            "alerts.whom",
            "feed",
            "klend_version",
            "low_balance_sol",
            "market",
            "metrics",
            "min_profit_usd",
            "min_profitt",
            "nodes",
            "on_difference",
            "poll_ms",
            "program_authority",
            "program_hash",
            "send",
            "slippage_bps",
            "tables",
            "tip",
            "top_up_keep_sol",
            "vault",
            "websocket_url",
            "workers",
        ],
        "{mistakes:#?}"
    );
    assert!(!mistakes.concat().contains("SECRET"), "{mistakes:#?}");
}

#[test]
fn a_full_file_is_read() {
    let config = parse(&format!(
        r#"
        markets = ["DxXdAyU3kCjnyggvHmY5nAwg5cRbbmdyX3npfDMjjMek", "{KEY}"]
        lend_from = ["{KEY}"]
        send = true
        mainnet = true
        keypair = "id.json"
        tables = ["{KEY}"]
        min_debt_usd = 10
        min_profit_usd = 2.5
        profit_tolerance_bps = 100
        swap_cost_bps = 1
        slippage_bps = 2
        max_fee_bps = 3
        loan_margin_bps = 4
        max_repay_usd = 5000
        priority_fee = "recent"
        priority_fee_floor = 5
        priority_fee_cap = 6
        tip_share_bps = 1000
        tip_floor_lamports = 7
        tip_cap_lamports = 8
        tip_accounts = ["{KEY}"]
        tip_floor_url = "https://t"
        tip_percentile = 75
        max_fee_share_bps = 4000
        raise_percent = 20
        dont_front = "jitodontfront111111111111111111111111111111"
        sol_usd = 150
        pools = ["{KEY}"]
        discover_pools = 3
        discover_minutes = 5
        discover_via = ["{KEY}"]
        nodes = ["https://n", {{ url = "https://s", roles = ["scan", "stream"] }}]
        own_node = false
        block_engines = ["https://b/api/v1/bundles"]
        simulate = "local"
        refresh_prices = true
        near_health = 1.2
        deny_owners = ["{KEY}"]
        allow_mints = ["{KEY}"]
        feed = "websocket"
        websocket_url = "wss://w"
        workers = 3
        deadline_slots = 7
        poll_ms = 800
        rescan_seconds = 9
        cooldown_seconds = 10
        metrics = "127.0.0.1:9184"
        stalled_seconds = 11
        feed_stale_seconds = 12
        node_behind_slots = 13
        low_balance_sol = 0.5
        ledger = "keeper.db"
        top_up_below_sol = 0.25
        top_up_keep_sol = 3
        redeem_above_usd = 4.5
        program_hash = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
        program_authority = "none"
        klend_version = "1.16"
        verify = false
        on_difference = "stop"
        differences = "kept"
        [jupiter]
        url = "https://j"
        api_key = "SECRET"
        refresh_seconds = 4
        pause_ms = 200
        max_accounts = 40
        positive_slippage_bps = 6
        on_path = true
        [alerts]
        webhook = "https://h/botX/sendMessage"
        format = "telegram"
        telegram_chat = "-100"
        hold_seconds = 14
        repeat_seconds = 150
        failures = 16
        unsellable_debt_usd = 17
        digest_hour = 18
        "#
    ))
    .unwrap();
    let key: Address = KEY.parse().unwrap();
    assert_eq!((config.markets.len(), &config.lend_from[..]), (2, &[key][..]));
    assert!(config.send && config.mainnet && !config.own_node);
    assert_eq!((config.poll.as_millis(), config.rescan.as_secs()), (800, 9));
    assert_eq!((config.min_debt, config.min_profit, config.near), (10.0, 2.5, 1.2));
    let wishes = &config.wishes;
    assert_eq!((&wishes.tables[..], wishes.deadline_slots), (&[key][..], 7));
    assert_eq!((wishes.least, wishes.tolerance_bps), (Least::Usd(2.5), 100));
    assert_eq!((wishes.slippage_bps, wishes.search.swap_cost_bps), (2, 1));
    assert_eq!((wishes.search.max_fee_bps, wishes.search.loan_margin_bps), (3, 4));
    assert_eq!(wishes.search.max_repay_usd, Some(5_000));
    assert_eq!((wishes.sol_usd, wishes.dont_front.is_some()), (Some(150.0), true));
    let policy = &wishes.search.policy;
    assert!(policy.owners.deny.contains(&key) && policy.mints.allow.contains(&key));
    let rule = TipRule { share_bps: 1_000, floor: 7, cap: 8, accounts: vec![key] };
    let Limits { stalled, feed_stale, node_behind, low_balance } = config.limits;
    assert_eq!((stalled.as_secs(), feed_stale.as_secs(), node_behind), (11, 12, 13));
    assert_eq!((low_balance, config.ledger.as_deref()), (500_000_000, Some("keeper.db".as_ref())));
    let rule_of_fees = Rule { below: Some(250_000_000), keep: 3_000_000_000 };
    assert_eq!((config.top_up, config.redeem_above), (Some(rule_of_fees), Some(4.5)));
    assert_eq!(config.program.authority, Some(Authority::None));
    let found = (config.klend, config.verify, config.on_difference, &*config.differences);
    let told = (Some(KlendVersion::V1_16), false, OnDifference::Stop, "kept".as_ref());
    assert_eq!(found, told);
    assert!(config.program.hash.unwrap().to_string().starts_with("ba7816bf"));
    assert_eq!(
        *rules(&config),
        FeeRules {
            unit_price: UnitPrice::Recent { floor: 5, cap: 6 },
            tip: Some(rule),
            share_bps: 4_000,
            raise_percent: 20,
        }
    );
    assert_eq!(
        config.alerts,
        Some(alerts::Settings {
            webhook: "https://h/botX/sendMessage".to_owned(),
            format: Format::Telegram { chat: "-100".to_owned() },
            hold: Duration::from_secs(14),
            repeat: Duration::from_secs(150),
            failures: 16,
            unsellable: 17.0,
            digest_hour: Some(18),
        })
    );
    assert_eq!(config.tip_floor, Some(("https://t".to_owned(), Percentile::P75)));
    assert_eq!((config.pools.len(), config.workers), (1, 3));
    let asking = config.jupiter.unwrap();
    assert!(!format!("{asking:?}").contains("SECRET"));
    let allowed = Allowed { platform_fee_bps: 0, positive_slippage_bps: 6 };
    let settings =
        jupiter::Settings { url: "https://j".into(), key: Some("SECRET".into()), allowed };
    let (refresh, oldest) = (Duration::from_secs(4), Duration::from_secs(12));
    let pause = Duration::from_millis(200);
    let expected = Asking { settings, refresh, oldest, pause, max_accounts: 40, on_path: true };
    assert_eq!(asking, expected);
    let seeking = Seeking { per_pair: 3, via: vec![key] };
    assert_eq!(config.discover, Some((seeking, Duration::from_secs(300))));
    assert_eq!(
        (config.feed, config.websocket_url.as_deref(), config.simulate),
        (Feed::Websocket, Some("wss://w"), Simulate::Local)
    );
    assert_eq!(config.nodes[0].roles, [Role::Send]);
    assert_eq!(config.nodes[1].roles, [Role::Scan, Role::Stream]);
    assert_eq!(
        (&config.nodes[0].url[..], &config.block_engines[0][..]),
        ("https://n", "https://b/api/v1/bundles")
    );
}

#[test]
fn what_does_not_go_together_is_a_mistake() {
    for (text, keys) in [
        ("block_engines = [\"https://b\"]", &["block_engines"][..]),
        ("tip_lamports = 5\ntip_share_bps = 1\nblock_engines = [\"https://b\"]", &["tip_lamports"]),
        ("tip_share_bps = 1", &["tip"]),
        (&format!("tip_share_bps = 1\ntip_accounts = [\"{KEY}\"]"), &["tip"]),
        (&format!("tip_accounts = [\"{KEY}\"]"), &["tip_accounts"]),
        (
            "tip_share_bps = 1\ntip_floor_lamports = 9\ntip_cap_lamports = 8\n\
             block_engines = [\"https://b\"]",
            &["tip_cap_lamports"],
        ),
        ("tip_floor_url = \"https://t\"", &["tip_floor_url"]),
        ("tip_percentile = 50", &["tip_percentile"]),
        ("dont_front = \"jitodontfront111111111111111111111111111111\"", &["dont_front"]),
        (
            "priority_fee = \"recent\"\npriority_fee_floor = 3\npriority_fee_cap = 2",
            &["priority_fee_cap"],
        ),
        ("priority_fee_cap = 2", &["priority_fee"]),
        ("own_node = false", &["own_node"]),
        ("send = true", &["tables"]),
        (&format!("market = \"{KEY}\"\nmarkets = [\"{KEY}\"]"), &["market"]),
        (&format!("markets = [\"{KEY}\", \"{KEY}\"]"), &["markets"]),
        (&format!("allow_mints = [\"{KEY}\"]\ndeny_mints = [\"{KEY}\"]"), &["deny_mints"]),
        ("near_health = 0.9", &["near_health"]),
        ("simulate = \"none\"\nrefresh_prices = true", &["refresh_prices"]),
        ("discover = false\ndiscover_minutes = 5", &["discover_minutes"]),
        ("discover_pools = 0", &["discover_pools"]),
        ("discover = 3", &["discover"]),
        ("jupiter = true", &["jupiter"]),
        ("[jupiter]", &["jupiter.url"]),
        ("[jupiter]\nurl = \"ftp://x/SECRET\"", &["jupiter.url"]),
        (
            "[jupiter]\nurl = \"https://j\"\nrefresh_seconds = 9\noldest_seconds = 8\n\
             max_accounts = 65\nplatform_fee_bps = 10001\non_path = 1\nkey = \"k\"",
            &[
                "jupiter.oldest_seconds",
                "jupiter.max_accounts",
                "jupiter.platform_fee_bps",
                "jupiter.on_path",
                "jupiter.key",
            ],
        ),
        ("[alerts]", &["alerts.webhook"]),
        ("[alerts]\nwebhook = \"http://h\"\nformat = \"telegram\"", &["alerts.telegram_chat"]),
        ("[alerts]\nwebhook = \"http://h\"\ntelegram_chat = \"1\"", &["alerts.telegram_chat"]),
        ("vault_key = \"k\"", &["vault_key"]),
        (
            &format!(
                "keypair = \"k\"\nvault = \"https://v\"\nvault_key = \"k\"\n\
                 vault_pubkey = \"{KEY}\""
            ),
            &["keypair"],
        ),
        // Together.
        (
            "send = true\nown_node = false\npriority_fee_floor = 1",
            &["priority_fee", "own_node", "tables"],
        ),
    ] {
        let mistakes = parse(text).unwrap_err();
        assert_eq!(mistaken_keys(&mistakes), keys, "{text}: {mistakes:?}");
    }
    let mistakes = parse("feed = \"yellowstone\"").unwrap_err();
    assert!(mistakes[0].starts_with("feed"), "{mistakes:?}");
}

#[test]
fn what_is_not_toml_is_one_mistake() {
    let (config, mistakes) = Config::read("market = ");
    assert_eq!((config.is_some(), mistakes.len()), (false, 1));
}

/// What is code in a document: its blocks, and words between backticks.
fn code(document: &str) -> String {
    let parts: Vec<&str> = document.split("```").collect();
    let blocks = parts.iter().skip(1).step_by(2).copied();
    let spans = parts.iter().step_by(2).flat_map(|text| text.split('`').skip(1).step_by(2));
    blocks.chain(spans).collect::<Vec<_>>().join("\n")
}

/// Every setting stands in docs/keeper.md, and every one that stands there is one.
#[test]
fn settings_and_their_page_agree() {
    let document = include_str!("../../../../docs/keeper.md");
    let mut reader = Reader::new(toml::Table::new());
    Config::of(&mut reader);
    let known: Vec<&str> = reader.known.iter().map(|key| key.rsplit('.').next().unwrap()).collect();
    assert!(known.len() > 80 && reader.known.contains("alerts.webhook"), "{known:?}");
    let code = code(document);
    let words: std::collections::BTreeSet<&str> =
        code.split(|letter: char| !letter.is_ascii_alphanumeric() && letter != '_').collect();
    let missing: Vec<&&str> = known.iter().filter(|key| !words.contains(**key)).collect();
    assert!(missing.is_empty(), "not in docs/keeper.md: {missing:?}");

    let mut named = Vec::new();
    let mut is_setting = false;
    for line in document.lines() {
        is_setting = line.starts_with('|') && (is_setting || line.starts_with("| setting |"));
        if let Some(cell) = line.split('|').nth(1).filter(|_| is_setting) {
            named.extend(cell.split('`').skip(1).step_by(2));
        }
    }
    for block in document.split("```toml").skip(1) {
        let lines = block.split("```").next().unwrap().lines();
        let lines = lines.filter(|line| !line.starts_with(' '));
        named.extend(lines.filter_map(|line| Some(line.split_once(" = ")?.0)));
    }
    let is_known = |name: &&str| {
        let name = name.trim_start_matches("# ").trim_end_matches(" = [...]");
        known.contains(&name) || name.starts_with('[')
    };
    assert!(named.len() > 40, "{named:?}");
    let unknown: Vec<&&str> = named.iter().filter(|name| !is_known(name)).collect();
    assert!(unknown.is_empty(), "docs/keeper.md has no settings of the keeper: {unknown:?}");
}

#[test]
fn a_misspelled_setting_is_told_the_nearest() {
    let mistakes =
        parse("rescan_secs = 1\n[alerts]\nwebhook = \"http://h\"\nfailure = 1").unwrap_err();
    assert_eq!(
        mistakes,
        [
            "alerts.failure: there is no such setting; there is failures",
            "rescan_secs: there is no such setting; there is rescan_seconds",
        ]
    );
    let mistakes = parse("zzz = 1").unwrap_err();
    assert_eq!(mistakes, ["zzz: there is no such setting"]);
}
