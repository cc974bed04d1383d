//! The keeper as a user runs it: on the built-in fork, on a folder written from
//! it, and on an RPC node (a virtual machine with that folder behind JSON-RPC on
//! loopback, through a proxy where a test wants something to go wrong).

mod discovery;
mod display;
mod docs;
mod drill;
mod faults;
mod jupiter;
mod node;
mod page;
mod replay;
mod roads;
mod scope;
mod sending;
mod service;
mod shallow;
#[cfg(feature = "vault")]
mod vault;
mod verify;
mod watch;
mod watch_faults;
#[cfg(feature = "yellowstone")]
mod yellowstone;

use std::{
    path::{Path, PathBuf},
    process::{Command, Output},
    sync::OnceLock,
};

use klend_fork::Snapshot;
use klend_model::constants::KLEND_PROGRAM_ID;
use node::Node;
use serde_json::{Value, json};

const MARKET: &str = "7u3HeHxYDLhnCoErrtycNokbQYbWGzLs6JSDqGAv5PfF";
const JLP_MARKET: &str = "DxXdAyU3kCjnyggvHmY5nAwg5cRbbmdyX3npfDMjjMek";
const SOL_RESERVE: &str = "d4A2prbA2whesmvHaL88BH6Ewn5N4bTSU2Ze8P6Bc4Q";

fn keeper(args: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_keeper"))
        .args(args)
        .env_remove("KEEPER_RPC_URL")
        .env("NO_COLOR", "1")
        .output()
        .expect("the keeper starts")
}

fn text(output: &Output) -> String {
    format!(
        "{}{}",
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    )
}

fn json_of(args: &[&str]) -> Value {
    let output = keeper(&[args, &["--json"]].concat());
    assert_eq!(output.status.code(), Some(0), "{args:?}: {}", text(&output));
    serde_json::from_slice(&output.stdout).unwrap_or_else(|error| panic!("{args:?}: {error}"))
}

/// Runs the keeper and expects it to fail; returns what it said.
fn refused(args: &[&str], code: i32) -> String {
    let output = keeper(args);
    assert_eq!(output.status.code(), Some(code), "{args:?}: {}", text(&output));
    assert!(output.status.code() != Some(0) && !output.stderr.is_empty(), "{args:?}");
    String::from_utf8_lossy(&output.stderr).into_owned()
}

/// A folder of the built-in fork's main market, written once.
fn folder() -> &'static Path {
    static FOLDER: OnceLock<(tempfile::TempDir, PathBuf)> = OnceLock::new();
    let (_, path) = FOLDER.get_or_init(|| {
        let parent = tempfile::tempdir().unwrap();
        let path = parent.path().join("fork");
        let written = json_of(&[
            "--fork",
            "builtin",
            "fork",
            "--market",
            MARKET,
            "--out",
            path.to_str().unwrap(),
        ]);
        assert_eq!(written["obligations"], 2);
        (parent, path)
    });
    path
}

fn folder_arg() -> &'static str {
    folder().to_str().unwrap()
}

/// The obligation that can be liquidated, and the one that cannot.
fn obligations() -> (String, String) {
    let scan = json_of(&["--fork", folder_arg(), "scan"]);
    let key = |index: usize| scan["obligations"][index]["obligation"].as_str().unwrap().to_owned();
    (key(0), key(1))
}

#[test]
fn a_scan_sorts_by_health_and_finds_the_one_to_liquidate() {
    let scan = json_of(&["--fork", "builtin", "scan"]);
    let rows = scan["obligations"].as_array().unwrap();
    assert_eq!((&scan["read"], &scan["unhealthy"]), (&json!(2), &json!(1)));
    let health = |row: &Value| row["healthFactor"].as_f64().unwrap();
    assert!(health(&rows[0]) < 1.0 && health(&rows[1]) > 1.0);
    assert_eq!((&rows[0]["unhealthy"], &rows[1]["unhealthy"]), (&json!(true), &json!(false)));
    assert!(rows[0]["profitValue"].as_f64().unwrap() > 0.0);

    let below = json_of(&["--fork", "builtin", "scan", "--below", "1"]);
    assert_eq!(below["obligations"].as_array().unwrap().len(), 1);
    let large = json_of(&["--fork", "builtin", "scan", "--min-debt", "1e9"]);
    assert_eq!(large["matching"], 0);
    let rich = json_of(&["--fork", "builtin", "scan", "--min-profit", "0.01"]);
    assert_eq!(rich["matching"], 1);
    let by_profit = json_of(&["--fork", "builtin", "scan", "--sort", "profit"]);
    assert_eq!(by_profit["obligations"], scan["obligations"]);
    for (flag, matching) in [("--deposit", 2), ("--borrow", 0)] {
        let chosen = json_of(&["--fork", "builtin", "scan", flag, SOL_RESERVE]);
        assert_eq!(chosen["matching"], matching, "{flag}");
    }
    let by_debt = json_of(&["--fork", "builtin", "scan", "--sort", "debt", "--limit", "1"]);
    assert_eq!(by_debt["obligations"][0], rows[0]);
}

#[test]
fn a_written_fork_answers_as_its_source_did() {
    let (at_risk, _) = obligations();
    for command in [
        &["market"][..],
        &["reserve", SOL_RESERVE],
        &["obligation", &at_risk],
        &["quote", &at_risk],
    ] {
        let of = |source: &str| json_of(&[&["--fork", source], command].concat());
        assert_eq!(of("builtin"), of(folder_arg()), "{command:?}");
    }
}

#[test]
fn a_reserve_without_its_market_is_shown_as_it_is() {
    let parent = tempfile::tempdir().unwrap();
    let accounts = parent.path().join("accounts");
    std::fs::create_dir(&accounts).unwrap();
    let file = format!("accounts/{SOL_RESERVE}.json");
    std::fs::copy(folder().join(&file), parent.path().join(&file)).unwrap();
    let manifest = json!({ "slot": 436_000_050, "unix_timestamp": 1_785_542_500 });
    std::fs::write(parent.path().join("manifest.json"), manifest.to_string()).unwrap();
    let alone = parent.path().to_str().unwrap();

    let shown = text(&keeper(&["--fork", alone, "reserve", SOL_RESERVE]));
    for part in ["not in this source", "interest counts", "borrow APY", "liquidation threshold"] {
        assert!(shown.contains(part), "{part}: {shown}");
    }
    let of = |fork: &str| json_of(&["--fork", fork, "reserve", SOL_RESERVE]);
    let (alone, whole) = (of(alone), of(folder_arg()));
    assert_eq!((&alone["refreshed"], &whole["refreshed"]), (&json!(false), &json!(true)));
    for same in ["symbol", "market", "ctokenSupply", "accrualBasis", "liquidityVault"] {
        assert_eq!(alone[same], whole[same], "{same}");
    }
}

#[test]
fn a_fork_appears_whole_or_not_at_all() {
    let parent = tempfile::tempdir().unwrap();
    let out = parent.path().join("one");
    let out = out.to_str().unwrap();
    let (at_risk, _) = obligations();
    let from = folder_arg();
    let written = json_of(&["--fork", from, "fork", "--obligation", &at_risk, "--out", out]);
    assert_eq!(written["obligations"], 1);
    let again = refused(&["--fork", from, "fork", "--obligation", &at_risk, "--out", out], 1);
    assert!(again.contains("is there already"), "{again}");

    let never = parent.path().join("never");
    let missing = ["--fork", from, "fork", "--market", SOL_RESERVE, "--out"];
    refused(&[&missing[..], &[never.to_str().unwrap()]].concat(), 1);
    assert!(!never.exists());
    assert_eq!(parent.path().read_dir().unwrap().count(), 1, "nothing half-written is left");
}

#[test]
fn a_liquidation_does_what_was_quoted_to_the_last_unit() {
    let (at_risk, _) = obligations();
    for source in ["builtin", folder_arg()] {
        let result = json_of(&["--fork", source, "liquidate", &at_risk]);
        let (quote, simulation) = (&result["quote"], &result["simulation"]);
        assert_eq!(simulation["outcome"], "succeeded", "{result}");
        let event = &simulation["events"][0];
        assert_eq!(event["event"], "Liquidated");
        assert_eq!(event["obligation"], json!(at_risk));
        for (quoted, happened) in [
            ("repay", "debtRepaid"),
            ("received", "collateralReceived"),
            ("protocolFee", "protocolFee"),
            ("swapped", "swapProceeds"),
        ] {
            assert_eq!(quote[quoted], event[happened], "{quoted}: {result}");
        }
        let number = |value: &Value| value.as_str().unwrap().parse::<i128>().unwrap();
        let profit = number(&event["swapProceeds"])
            - number(&event["debtRepaid"])
            - number(&event["flashFee"]);
        assert_eq!(number(&event["profit"]), profit);
        assert!(profit > 0);
    }
    let shown = text(&keeper(&["--fork", folder_arg(), "liquidate", &at_risk, "--dry-run"]));
    for expected in ["debt repaid", "flash fee", "compute units"] {
        assert!(shown.contains(expected), "{expected}: {shown}");
    }
    assert!(!shown.contains('\u{1b}'), "NO_COLOR is honoured");
}

#[test]
fn a_profit_that_is_not_there_is_refused_with_number_and_hint() {
    let (at_risk, careful) = obligations();
    let said = refused(
        &["--fork", folder_arg(), "liquidate", &at_risk, "--min-profit", "999999999999"],
        1,
    );
    assert!(said.contains("7037 ProfitBelowMinimum") && said.contains("Quote again"), "{said}");
    // Nothing to do is an ending of its own.
    let said = refused(&["--fork", folder_arg(), "liquidate", &careful], 3);
    assert!(said.contains("6016 ObligationHealthy"), "{said}");
}

#[test]
fn a_tip_and_a_priority_fee_are_paid() {
    let (at_risk, _) = obligations();
    let tip = ["--tip", "5000", "--tip-account", "Cdah2U5ak3JjX9UjTPhRZEuMtkDdWbwympS5HqZ7uXkV"];
    let source = ["--fork", "builtin", "liquidate", &at_risk, "--priority-fee", "1000"];
    let result = json_of(&[&source[..], &tip].concat());
    let programs: Vec<&str> = result["simulation"]["instructions"]
        .as_array()
        .unwrap()
        .iter()
        .map(|instruction| instruction["program"].as_str().unwrap())
        .collect();
    assert_eq!(programs.last(), Some(&"11111111111111111111111111111111"));
    assert_eq!(programs.iter().filter(|program| program.starts_with("ComputeBudget")).count(), 2);
    let said = refused(&[&source[..], &["--tip", "5000"]].concat(), 1);
    assert!(said.contains("--tip-account"), "{said}");
}

#[test]
fn a_loan_comes_from_whichever_market_lends_cheapest() {
    let (at_risk, _) = obligations();
    // The same fee, and nothing of the obligation's has to be refreshed once more.
    let source = ["--fork", "builtin"];
    let own = json_of(&[&source[..], &["quote", &at_risk]].concat());
    let lend = ["--lend-from", JLP_MARKET];
    let quote = json_of(&[&source[..], &["quote", &at_risk], &lend].concat());
    assert_eq!((&own["flashMarket"], &quote["flashMarket"]), (&json!(MARKET), &json!(JLP_MARKET)));
    assert_ne!(own["flashReserve"], quote["flashReserve"]);
    let shown = text(&keeper(&[&source[..], &["quote", &at_risk], &lend].concat()));
    assert!(shown.contains(&format!("of market {JLP_MARKET}")), "{shown}");
    let result = json_of(&[&source[..], &["liquidate", &at_risk], &lend].concat());
    let event = &result["simulation"]["events"][0];
    assert_eq!(
        (&event["flashReserve"], &event["market"]),
        (&quote["flashReserve"], &json!(MARKET))
    );

    // The loop knows both markets.
    for markets in
        [format!("lend_from = [{JLP_MARKET:?}]"), format!("markets = [{MARKET:?}, {JLP_MARKET:?}]")]
    {
        let config = format!("poll_ms = 50\ncooldown_seconds = 600\n{markets}");
        let (code, lines) = watch::passes(&config, &source, 2);
        assert_eq!(code, 0, "{lines:?}");
        let liquidated = lines.iter().find(|line| line["fields"]["message"] == "liquidated");
        let fields = &liquidated.unwrap_or_else(|| panic!("{markets}: {lines:#?}"))["fields"];
        assert_eq!(fields["obligation"], json!(at_risk));
    }
}

/// A copy of the folder without one of its accounts.
fn folder_without(account: &str) -> tempfile::TempDir {
    let parent = folder_copy();
    std::fs::remove_file(parent.path().join(format!("accounts/{account}.json"))).unwrap();
    list_accounts(parent.path(), |listed| {
        let before = listed.len();
        listed.retain(|listed| listed["pubkey"] != account);
        assert_eq!(listed.len(), before - 1, "{account}");
    });
    parent
}

fn folder_copy() -> tempfile::TempDir {
    let parent = tempfile::tempdir().unwrap();
    let accounts = parent.path().join("accounts");
    std::fs::create_dir(&accounts).unwrap();
    for file in folder().join("accounts").read_dir().unwrap() {
        let path = file.unwrap().path();
        std::fs::copy(&path, accounts.join(path.file_name().unwrap())).unwrap();
    }
    std::fs::copy(folder().join("manifest.json"), parent.path().join("manifest.json")).unwrap();
    parent
}

/// Changes the list of accounts in a folder's manifest.
fn list_accounts(folder: &Path, change: impl FnOnce(&mut Vec<Value>)) {
    let path = folder.join("manifest.json");
    let mut manifest: Value = serde_json::from_slice(&std::fs::read(&path).unwrap()).unwrap();
    change(manifest["accounts"].as_array_mut().unwrap());
    std::fs::write(path, manifest.to_string()).unwrap();
}

/// A copy of the folder with two pools in place of its one, each with so small a part of
/// its tokens.
fn folder_with_thin_pools(part: u64) -> tempfile::TempDir {
    use base64::{Engine as _, prelude::BASE64_STANDARD};
    use flash_liquidator_client::token::{TOKEN_PROGRAM_ID, associated_token_account};
    use liquidation_venues::stand_in::{PROGRAM_ID, pool_authority_and_bump, pool_data};
    use solana_address::Address;

    let parent = folder_copy();
    let file = |key: &Address| parent.path().join(format!("accounts/{key}.json"));
    let read = |key: &Address| -> Value {
        serde_json::from_slice(&std::fs::read(file(key)).unwrap()).unwrap()
    };
    let world = klend_fork::World::from_folder(folder()).unwrap();
    let mints = [SOL_RESERVE.parse().unwrap(), world.reserve_named("USDC").unwrap()]
        .map(|reserve| world.reserve_addresses(&reserve).unwrap().liquidity_mint);
    let vaults = |pool: &Address| {
        let (authority, _) = pool_authority_and_bump(pool);
        mints.map(|mint| associated_token_account(&authority, &mint, &TOKEN_PROGRAM_ID))
    };
    let old = folder().join("accounts").read_dir().unwrap().find_map(|file| {
        let path = file.unwrap().path();
        let account: Value = serde_json::from_slice(&std::fs::read(&path).unwrap()).unwrap();
        let key: Address = path.file_stem().unwrap().to_str().unwrap().parse().unwrap();
        let is_pool = account["account"]["owner"] == PROGRAM_ID.to_string();
        (is_pool && vaults(&key).iter().all(|vault| file_exists(&parent, vault))).then_some(key)
    });
    let old = old.expect("a pool of SOL and USDC");
    let new = Address::new_from_array([77; 32]);
    let mut added = Vec::new();
    let mut write = |from: &Address, to: &Address, data: Vec<u8>| {
        let mut account = read(from);
        account["pubkey"] = json!(to.to_string());
        account["account"]["data"][0] = json!(BASE64_STANDARD.encode(data));
        std::fs::write(file(to), account.to_string()).unwrap();
        if from != to {
            added.push((*from, *to));
        }
    };
    write(&old, &new, pool_data(30, pool_authority_and_bump(&new).1).to_vec());
    for (from, to) in vaults(&old).iter().zip(vaults(&new)) {
        let encoded = read(from)["account"]["data"][0].as_str().unwrap().to_owned();
        let mut data = BASE64_STANDARD.decode(encoded).unwrap();
        let amount = u64::from_le_bytes(data[64..72].try_into().unwrap()) / part;
        data[64..72].copy_from_slice(&amount.to_le_bytes());
        write(from, from, data.clone());
        data[32..64].copy_from_slice(pool_authority_and_bump(&new).0.as_ref());
        write(from, &to, data);
    }
    list_accounts(parent.path(), |listed| {
        for (from, to) in added {
            let mut entry =
                listed.iter().find(|entry| entry["pubkey"] == from.to_string()).unwrap().clone();
            entry["pubkey"] = json!(to.to_string());
            listed.push(entry);
        }
    });
    parent
}

fn file_exists(parent: &tempfile::TempDir, key: &impl std::fmt::Display) -> bool {
    parent.path().join(format!("accounts/{key}.json")).exists()
}

#[test]
fn thin_pools_share_what_is_seized_to_the_unit() {
    let (at_risk, _) = obligations();
    let number = |value: &Value| value.as_str().unwrap().parse::<u64>().unwrap();
    let thin = folder_with_thin_pools(400);
    let source = thin.path().to_str().unwrap();
    let quote = json_of(&["--fork", source, "quote", &at_risk, "--keeper", MARKET]);
    let route = &quote["route"];
    let legs = route["legs"].as_array().unwrap();
    assert_eq!((legs.len(), &route["keeper"]), (2, &json!(MARKET)), "{quote}");
    // The first sells a part, the second the rest of what is there then.
    assert_eq!((&legs[0]["amountInOffset"], &legs[1]["amountInOffset"]), (&json!(null), &json!(1)));
    for leg in legs {
        assert!(leg["accounts"].as_array().unwrap().len() > 8 && leg["input"] == 0, "{leg}");
    }

    let result = json_of(&["--fork", source, "liquidate", &at_risk]);
    let event = &result["simulation"]["events"][0];
    assert_eq!(result["simulation"]["outcome"], "succeeded", "{result}");
    assert_eq!(event["swapProceeds"], result["quote"]["swapped"], "{result}");
    // Two thin pools take less than the deep one, and it pays.
    let deep = json_of(&["--fork", folder_arg(), "quote", &at_risk]);
    assert!(number(&quote["repay"]) < number(&deep["repay"]), "{quote}");
    assert!(number(&event["profit"]) > 0);

    let capped = json_of(&["--fork", folder_arg(), "quote", &at_risk, "--max-repay", "1000"]);
    let repaid = number(&capped["repay"]);
    assert!((990_000_000..=1_010_000_000).contains(&repaid), "{capped}");
    assert!(number(&deep["repay"]) > repaid);
}

#[test]
fn a_farm_stake_that_is_missing_is_made_in_front_and_paid_for() {
    let (at_risk, _) = obligations();
    let fields = |result: &Value| -> (usize, u64) {
        let simulation = &result["simulation"];
        assert_eq!(simulation["outcome"], "succeeded", "{result}");
        let klend = json!(klend_model::constants::KLEND_PROGRAM_ID.to_string());
        let instructions = simulation["instructions"].as_array().unwrap();
        let of_klend = instructions.iter().filter(|ix| ix["program"] == klend).count();
        (of_klend, simulation["costLamports"].as_str().unwrap().parse().unwrap())
    };
    let whole = json_of(&["--fork", folder_arg(), "liquidate", &at_risk]);
    let (of_klend, cost) = fields(&whole);

    // The reserve got its farm after the position was opened.
    let world = klend_fork::World::from_folder(folder()).unwrap();
    let reserve = world.reserve_addresses(&SOL_RESERVE.parse().unwrap()).unwrap();
    let stake = flash_liquidator_client::klend::farm_user_state(
        &reserve.collateral_farm.unwrap(),
        &at_risk.parse().unwrap(),
    );
    let without = folder_without(&stake.to_string());
    let source = without.path().to_str().unwrap();
    let (more_of_klend, dearer) = fields(&json_of(&["--fork", source, "liquidate", &at_risk]));
    assert_eq!(more_of_klend, of_klend + 1);
    // The stake's rent stays.
    assert_eq!(dearer - cost, (920 + 128) * 6_960);

    let config = "poll_ms = 50\ncooldown_seconds = 600";
    let (_, lines) = watch::passes(config, &["--fork", source], 40);
    assert!(lines.iter().any(|line| line["fields"]["message"] == "liquidated"), "{lines:#?}");
}

#[test]
fn a_referrers_state_that_is_missing_is_made_in_front_and_paid_for() {
    let (at_risk, _) = obligations();
    let cost = |report: &Value| -> u64 {
        assert_eq!(report["simulation"]["outcome"], "succeeded", "{report}");
        report["simulation"]["costLamports"].as_str().unwrap().parse().unwrap()
    };
    let plain = json_of(&["--fork", folder_arg(), "liquidate", &at_risk]);

    // The market pays referrers since the debt was made.
    let mut world = klend_fork::World::from_folder(folder()).unwrap();
    let obligation: solana_address::Address = at_risk.parse().unwrap();
    let market = MARKET.parse().unwrap();
    world.edit_lending_market(&market, |market| market.referral_fee_bps = 2_000).unwrap();
    let referrer = klend_model::keys::to_v2(&solana_address::Address::new_from_array([5; 32]));
    world.edit_obligation(&obligation, |obligation| obligation.referrer = referrer).unwrap();
    let mut snapshot = Snapshot::read(folder()).unwrap();
    for key in [market, obligation] {
        snapshot.accounts.insert(key, world.account(&key).unwrap());
    }
    let parent = tempfile::tempdir().unwrap();
    let path = parent.path().join("fork");
    snapshot.write(&path).unwrap();
    let source = path.to_str().unwrap();
    let referred = json_of(&["--fork", source, "liquidate", &at_risk]);
    // Its rent stays.
    assert_eq!(cost(&referred) - cost(&plain), (360 + 128) * 6_960);

    let config = "poll_ms = 50\ncooldown_seconds = 600";
    let (_, lines) = watch::passes(config, &["--fork", source], 40);
    assert!(lines.iter().any(|line| line["fields"]["message"] == "liquidated"), "{lines:#?}");
}

#[test]
fn plots_are_drawn_in_letters_and_as_svg() {
    let (at_risk, _) = obligations();
    let parent = tempfile::tempdir().unwrap();
    for (command, key, title) in [
        ("reserve", SOL_RESERVE, "Borrow curve of SOL"),
        ("obligation", &*at_risk, "against the price of SOL"),
    ] {
        let path = parent.path().join(format!("{command}.svg"));
        let args = ["--fork", folder_arg(), command, key, "--svg", path.to_str().unwrap()];
        let shown = text(&keeper(&args));
        assert!(shown.contains("o = today"), "{shown}");
        let svg = std::fs::read_to_string(&path).unwrap();
        assert!(svg.starts_with("<svg ") && svg.ends_with("</svg>\n"), "{svg}");
        for part in [title, "<polyline", "today: "] {
            assert!(svg.contains(part), "{part}: {svg}");
        }
    }
    let files = parent.path().read_dir().unwrap().count();
    assert_eq!(files, 2, "nothing half-written is left");
    let nowhere = parent.path().join("missing/plot.svg");
    let args = ["--fork", folder_arg(), "reserve", SOL_RESERVE, "--svg"];
    let said = refused(&[&args[..], &[nowhere.to_str().unwrap()]].concat(), 1);
    assert!(said.contains("missing/plot.svg"), "{said}");
}

#[test]
fn help_says_what_everything_is() {
    let help = text(&keeper(&["--help"]));
    for part in ["Exit codes:", "NO_COLOR", "--rpc-timeout", "scan", "setup"] {
        assert!(help.contains(part), "{part}: {help}");
    }
}

#[test]
fn mistakes_are_named() {
    for (args, code, expected) in [
        (&["market"][..], 1, "no source"),
        (&["--fork", "builtin", "--rpc", "http://127.0.0.1:1", "market"], 1, "exclude each other"),
        (&["--fork", "builtin", "obligation", MARKET], 1, "discriminator"),
        (
            &["--fork", "builtin", "reserve", "11111111111111111111111111111112"],
            1,
            "no such account",
        ),
        (&["--fork", "/nowhere", "market"], 1, "/nowhere/manifest.json"),
        (&["--fork", "builtin", "reserve", "not-an-address"], 2, "not-an-address"),
        (&["explain", "/nowhere"], 1, "give --rpc"),
        (&["--fork", "builtin", "quote", MARKET, "--tip-account", MARKET], 2, "--tip"),
        (&["--fork", "builtin", "liquidate", MARKET, "--vault", "https://v"], 2, "--vault-key"),
        (&["--fork", "builtin", "liquidate", MARKET, "--jupiter", "x"], 2, "--jupiter-amount"),
    ] {
        let said = refused(args, code);
        assert!(said.contains(expected), "{args:?}: {said}");
    }
}

#[test]
fn a_pool_has_to_be_one() {
    let (at_risk, _) = obligations();
    let said = refused(&["--fork", folder_arg(), "quote", &at_risk, "--pool", SOL_RESERVE], 1);
    assert!(said.contains("no venue that is known"), "{said}");
}

#[test]
fn a_damaged_folder_is_named_with_its_file() {
    let parent = tempfile::tempdir().unwrap();
    let copy = parent.path().join("fork");
    std::fs::create_dir_all(copy.join("accounts")).unwrap();
    std::fs::copy(folder().join("manifest.json"), copy.join("manifest.json")).unwrap();
    let market = format!("accounts/{MARKET}.json");
    std::fs::write(copy.join(&market), "{").unwrap();
    let said = refused(&["--fork", copy.to_str().unwrap(), "market"], 1);
    assert!(said.contains(&market), "{said}");
}

/// What `getTransaction` answers about a transaction with these logs.
fn answer(error: Value, logs: &[String]) -> Value {
    json!({ "jsonrpc": "2.0", "id": 1, "result": {
        "slot": 5,
        "transaction": {
            "signatures": ["5sig"],
            "message": {
                "accountKeys": ["11111111111111111111111111111111"],
                "instructions": [{ "programIdIndex": 1, "accounts": [], "data": "" }],
            },
        },
        "meta": {
            "err": error,
            "fee": 5000,
            "logMessages": logs,
            "computeUnitsConsumed": 1234,
            "loadedAddresses": {
                "writable": ["FLi74WSjHMbPZNCKyWcesWKNYajvD2vRZKbBX1tB9Vjx"], "readonly": []
            },
        },
    }})
}

#[test]
fn a_transaction_is_explained_from_a_file() {
    let parent = tempfile::tempdir().unwrap();
    let path = parent.path().join("transaction.json");
    let program = "FLi74WSjHMbPZNCKyWcesWKNYajvD2vRZKbBX1tB9Vjx";
    let custom = |code: u32| json!({ "InstructionError": [0, { "Custom": code }] });
    let explain = |answer: &Value| {
        std::fs::write(&path, answer.to_string()).unwrap();
        json_of(&["explain", path.to_str().unwrap()])
    };

    let explained = explain(&answer(custom(6016), &[]));
    assert_eq!(
        (&explained["outcome"], &explained["failure"]["code"]),
        (&json!("healthyAgain"), &json!(6016))
    );
    let explained = explain(&answer(custom(6025), &[]));
    assert_eq!(explained["outcome"], "lostRace");
    let explained = explain(&answer(custom(7010), &[]));
    assert_eq!(explained["outcome"], "failed");
    assert_eq!(explained["failure"]["hint"], "Quote again and send a fresh transaction.");
    let explained = explain(&answer(json!("BlockhashNotFound"), &[]));
    assert_eq!(explained["failure"]["instruction"], Value::Null);

    let logs = [format!("Program {program} invoke [1]"), format!("Program {program} success")];
    let explained = explain(&answer(Value::Null, &logs));
    assert_eq!(
        (&explained["outcome"], &explained["computeUnits"]),
        (&json!("succeeded"), &json!(1234))
    );

    std::fs::write(&path, r#"{"result":null}"#).unwrap();
    refused(&["explain", path.to_str().unwrap()], 1);
}

#[test]
fn an_rpc_node_answers_as_the_folder_it_serves() {
    let (at_risk, _) = obligations();
    let node = Node::serve(folder());
    for command in [
        &["market"][..],
        &["reserve", SOL_RESERVE],
        &["obligation", &at_risk],
        &["quote", &at_risk],
    ] {
        let from_folder = json_of(&[&["--fork", folder_arg()], command].concat());
        let from_node = json_of(&[&["--rpc", node.url()], command].concat());
        assert_eq!(from_folder, from_node, "{command:?}");
    }
    let scan = |source: &[&str]| {
        let mut scan = json_of(&[source, &["scan"]].concat());
        scan["milliseconds"] = Value::Null;
        scan
    };
    assert_eq!(scan(&["--fork", folder_arg()]), scan(&["--rpc", node.url()]));

    // Simulated locally, on accounts and programs fetched from the node.
    let dry = ["--rpc", node.url(), "liquidate", &at_risk, "--dry-run"];
    let result = json_of(&dry);
    assert_eq!(result["simulation"]["outcome"], "succeeded", "{result}");
    assert_eq!(result["quote"]["repay"], result["simulation"]["events"][0]["debtRepaid"]);
    // The stand-in keeper is nobody the node knows.
    assert!(result["nodeSimulation"]["notAsked"].as_str().unwrap().contains("no key"), "{result}");
    assert_eq!(node.calls("simulateTransaction"), 0);
}

/// klend appends to its accounts; everything is where it was.
#[test]
fn accounts_of_klend_may_be_longer_than_they_are_known() {
    let (at_risk, _) = obligations();
    let parent = tempfile::tempdir().unwrap();
    let answers = |source: &[&str]| {
        let mut scan = json_of(&[source, &["scan"]].concat());
        scan["milliseconds"] = Value::Null;
        let [market, quote] = [&["market"][..], &["quote", &at_risk]]
            .map(|command| json_of(&[source, command].concat()));
        (scan, market, quote)
    };
    let expected = answers(&["--fork", folder_arg()]);
    for more in [1, 1_000] {
        let mut snapshot = Snapshot::read(folder()).unwrap();
        let of_klend =
            snapshot.accounts.values_mut().filter(|account| account.owner == KLEND_PROGRAM_ID);
        for account in of_klend {
            account.data.resize(account.data.len() + more, 0xaa);
        }
        let grown = parent.path().join(more.to_string());
        snapshot.write(&grown).unwrap();
        let node = Node::serve(&grown);
        assert_eq!(answers(&["--fork", grown.to_str().unwrap()]), expected, "{more}");
        assert_eq!(answers(&["--rpc", node.url()]), expected, "{more}");
        let dry = json_of(&["--rpc", node.url(), "liquidate", &at_risk, "--dry-run"]);
        assert_eq!(dry["simulation"]["outcome"], "succeeded", "{more}: {dry}");
    }
}

#[test]
fn a_fork_of_a_node_is_the_folder_it_serves() {
    let node = Node::serve(folder());
    let parent = tempfile::tempdir().unwrap();
    let out = parent.path().join("fetched");
    let out = out.to_str().unwrap();
    json_of(&["--rpc", node.url(), "fork", "--market", MARKET, "--out", out]);
    let (at_risk, _) = obligations();
    let quote = |source: &str| json_of(&["--fork", source, "quote", &at_risk]);
    assert_eq!(quote(out), quote(folder_arg()));
}

#[test]
fn an_rpc_url_is_never_shown_whole() {
    let node = Node::serve(folder());
    let url = format!("{}/?api-key=SECRET", node.url());
    let shown = text(&keeper(&["--rpc", &url, "market"]));
    assert!(shown.contains("RPC node 127.0.0.1"), "{shown}");
    let said = refused(&["--rpc", &url, "obligation", "11111111111111111111111111111112"], 1);
    assert!(!shown.contains("SECRET") && !said.contains("SECRET"), "{said}");
    // Nor by what goes wrong below.
    let said = refused(&["--rpc", "http://127.0.0.1:1/SECRET?key=SECRET", "market"], 1);
    assert!(said.contains("127.0.0.1:1") && !said.contains("SECRET"), "{said}");
}
