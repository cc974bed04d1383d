//! The keeper as a user runs it: on the built-in fork, on a folder written from
//! it, and on an RPC node (a loopback server that answers from that folder, with
//! faults where a test wants them).

mod node;

use std::{
    path::{Path, PathBuf},
    process::{Command, Output},
    sync::OnceLock,
};

use node::{Fate, Fault, Node, TABLE};
use serde_json::{Value, json};

const MARKET: &str = "7u3HeHxYDLhnCoErrtycNokbQYbWGzLs6JSDqGAv5PfF";
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
    ] {
        let said = refused(args, code);
        assert!(said.contains(expected), "{args:?}: {said}");
    }
}

#[test]
fn a_pool_has_to_be_one() {
    let (at_risk, _) = obligations();
    let said = refused(&["--fork", folder_arg(), "quote", &at_risk, "--pool", SOL_RESERVE], 1);
    assert!(said.contains("neither a Whirlpool nor a Raydium CPMM pool"), "{said}");
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
    let node = Node::serve(folder(), &[]);
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
}

#[test]
fn a_fork_of_a_node_is_the_folder_it_serves() {
    let node = Node::serve(folder(), &[]);
    let parent = tempfile::tempdir().unwrap();
    let out = parent.path().join("fetched");
    let out = out.to_str().unwrap();
    json_of(&["--rpc", node.url(), "fork", "--market", MARKET, "--out", out]);
    let (at_risk, _) = obligations();
    let quote = |source: &str| json_of(&["--fork", source, "quote", &at_risk]);
    assert_eq!(quote(out), quote(folder_arg()));
}

#[test]
fn a_faulty_node_costs_time_and_nothing_else() {
    let (at_risk, _) = obligations();
    let expected = json_of(&["--fork", folder_arg(), "quote", &at_risk]);
    for fault in [
        Fault::TooManyRequests,
        Fault::TruncatedJson,
        Fault::PartialAnswer,
        Fault::DroppedConnection,
        Fault::NodeIsBehind,
    ] {
        let node = Node::serve(folder(), &[fault, fault]);
        let quote = json_of(&["--rpc", node.url(), "quote", &at_risk]);
        assert_eq!(quote, expected, "{fault:?}");
        assert_eq!(node.faults_left(), 0, "{fault:?} did not happen");
    }
}

#[test]
fn a_node_that_stays_broken_is_given_up_on() {
    let node = Node::serve(folder(), &[Fault::TruncatedJson; 64]);
    let said = refused(&["--rpc", node.url(), "market"], 1);
    assert!(said.contains("failed 5 times"), "{said}");
}

#[test]
fn an_rpc_url_is_never_shown_whole() {
    let node = Node::serve(folder(), &[]);
    let url = format!("{}/?api-key=SECRET", node.url());
    let shown = text(&keeper(&["--rpc", &url, "market"]));
    assert!(shown.contains("RPC node 127.0.0.1"), "{shown}");
    let said = refused(&["--rpc", &url, "obligation", "11111111111111111111111111111112"], 1);
    assert!(!shown.contains("SECRET") && !said.contains("SECRET"), "{said}");
}

/// A keypair file with the secret key of the seed [1; 32]: nobody's.
fn keypair_file(folder: &Path) -> String {
    let path = folder.join("id.json");
    let key = solana_keypair::Keypair::new_from_array([1; 32]).to_bytes().to_vec();
    std::fs::write(&path, serde_json::to_string(&key).unwrap()).unwrap();
    path.to_str().unwrap().to_owned()
}

#[test]
fn nothing_is_sent_on_mainnet_unasked() {
    let (at_risk, _) = obligations();
    let parent = tempfile::tempdir().unwrap();
    let key = keypair_file(parent.path());
    let node = Node::serve(folder(), &[]);
    let said = refused(&["--rpc", node.url(), "liquidate", &at_risk, "--keypair", &key], 1);
    assert!(said.contains("--yes"), "{said}");

    let config = format!("send = true\nkeypair = {key:?}");
    let (code, _) = watch(&config, &["--rpc", node.url()], 1);
    assert_eq!(code, 1);

    let costs = json_of(&["--rpc", node.url(), "setup", "--keypair", &key]);
    assert_eq!(costs["done"], false);
    assert!(costs["tokenAccountRent"].as_u64().unwrap() > 0);
    assert_eq!(node.sent(), 0);
}

#[test]
fn a_liquidation_is_sent_until_it_lands_and_only_once() {
    let (at_risk, _) = obligations();
    let parent = tempfile::tempdir().unwrap();
    let key = keypair_file(parent.path());
    let lands =
        |after_polls, error| Node::with_fate(folder(), &[], Fate::Lands { after_polls, error });
    let args = |node: &Node| -> Vec<String> {
        ["--rpc", node.url(), "liquidate", &at_risk, "--keypair", &key, "--yes", "--table", TABLE]
            .map(str::to_owned)
            .to_vec()
    };
    let run = |node: &Node| {
        let args = args(node);
        keeper(&args.iter().map(String::as_str).collect::<Vec<_>>())
    };

    // It takes its time: the same transaction is sent again, and no other.
    let node = lands(6, Value::Null);
    let output = run(&node);
    assert_eq!(output.status.code(), Some(0), "{}", text(&output));
    assert!(text(&output).contains("It succeeded."), "{}", text(&output));
    assert!(node.sent() >= 2, "sent {} times", node.sent());
    assert_eq!(node.signatures(), 1);

    // Somebody else's repayment or a price: not our fault, and no error.
    let healthy = json!({ "InstructionError": [0, { "Custom": 6016 }] });
    let output = run(&lands(0, healthy));
    assert_eq!(output.status.code(), Some(3), "{}", text(&output));

    // It never lands.
    let node = Node::serve(folder(), &[]);
    let output = run(&node);
    assert_eq!(output.status.code(), Some(1));
    assert!(text(&output).contains("expired without landing"), "{}", text(&output));
    assert_eq!(node.signatures(), 1);
}

#[test]
fn setup_creates_accounts_and_a_table() {
    let parent = tempfile::tempdir().unwrap();
    let key = keypair_file(parent.path());
    let node = Node::with_fate(folder(), &[], Fate::Lands { after_polls: 0, error: Value::Null });
    let setup = ["--rpc", node.url(), "setup", "--keypair", &key, "--reserve", SOL_RESERVE];
    let costs = json_of(&setup);
    // Token, cToken and the swap authority's token.
    assert_eq!((&costs["tokenAccounts"], &costs["done"]), (&json!(3), &json!(false)));
    assert_eq!(costs["tokenAccountRent"], 3 * 2_039_280);
    assert_eq!(node.sent(), 0);
    let done = json_of(&[&setup[..], &["--yes"]].concat());
    assert_eq!(done["done"], true);
    assert!(done["table"].as_str().is_some(), "{done}");
    assert_eq!(node.signatures(), 2, "accounts, then the table with its addresses");

    let undo = [&setup[..5], &["--undo", "--table", TABLE]].concat();
    let undone = json_of(&undo);
    assert_eq!((&undone["instructions"], &undone["done"]), (&json!(1), &json!(false)), "{undone}");
    assert!(undone["notes"][0].as_str().unwrap().contains("retired now"), "{undone}");
    let said = refused(&["--fork", folder_arg(), "setup", "--keypair", &key], 1);
    assert!(said.contains("needs an RPC node"), "{said}");
}

/// Looks at prices `passes` times; returns exit code and log lines.
fn watch(config: &str, source: &[&str], passes: u64) -> (i32, Vec<Value>) {
    let parent = tempfile::tempdir().unwrap();
    let path = parent.path().join("keeper.toml");
    std::fs::write(&path, config).unwrap();
    let passes = passes.to_string();
    let config = ["--json", "watch", "--config", path.to_str().unwrap(), "--passes", &passes];
    let output = keeper(&[source, &config].concat());
    let lines = String::from_utf8_lossy(&output.stderr)
        .lines()
        .filter_map(|line| serde_json::from_str(line).ok())
        .collect();
    (output.status.code().unwrap(), lines)
}

fn messages(lines: &[Value], message: &str) -> usize {
    lines.iter().filter(|line| line["fields"]["message"] == message).count()
}

#[test]
fn a_watch_tries_each_obligation_once_per_cooldown() {
    let (at_risk, _) = obligations();
    let node = Node::serve(folder(), &[]);
    let config = "poll_ms = 50\ncooldown_seconds = 600";
    for source in [["--fork", folder_arg()], ["--rpc", node.url()]] {
        let (code, lines) = watch(config, &source, 3);
        assert_eq!(code, 0, "{lines:?}");
        assert_eq!(messages(&lines, "evaluated"), 3, "{lines:?}");
        assert_eq!(messages(&lines, "liquidated"), 1, "{lines:?}");
        let line = lines.iter().find(|line| line["fields"]["message"] == "liquidated").unwrap();
        assert_eq!(line["fields"]["obligation"], json!(at_risk));
        assert_eq!(line["fields"]["signature"], "simulated");
        assert!(line["fields"]["profit"].as_i64().unwrap() > 0);
    }
    assert_eq!(node.sent(), 0);

    // Without a cooldown it is tried again with every look.
    let (_, lines) = watch("poll_ms = 50\ncooldown_seconds = 0", &["--fork", folder_arg()], 2);
    assert_eq!(messages(&lines, "liquidated"), 2, "{lines:?}");
    // What gains too little is left alone.
    let (_, lines) = watch("poll_ms = 50\nmin_profit_usd = 1e6", &["--fork", folder_arg()], 2);
    assert_eq!((messages(&lines, "liquidated"), messages(&lines, "too little profit")), (0, 1));
}

#[test]
fn a_watch_outlives_a_faulty_node() {
    let faults = [Fault::TruncatedJson; 7];
    let node = Node::serve(folder(), &faults);
    let (code, lines) = watch("poll_ms = 50", &["--rpc", node.url()], 3);
    assert_eq!(code, 0, "{lines:?}");
    assert_eq!(messages(&lines, "the source failed"), 1, "{lines:?}");
    assert_eq!(messages(&lines, "liquidated"), 1, "{lines:?}");
}

#[test]
fn a_watch_reports_all_mistakes_and_never_sends_on_a_fork() {
    let parent = tempfile::tempdir().unwrap();
    let path = parent.path().join("keeper.toml");
    std::fs::write(&path, "poll_ms = 0\nslippage = 3\nmarket = 5\n").unwrap();
    let args = ["--fork", folder_arg(), "watch", "--config", path.to_str().unwrap()];
    let said = refused(&args, 1);
    for key in ["poll_ms", "slippage", "market", "3 mistakes"] {
        assert!(said.contains(key), "{key}: {said}");
    }
    std::fs::write(&path, "send = true\n").unwrap();
    assert!(refused(&args, 1).contains("needs an RPC node"));
}

#[test]
fn a_watch_stops_when_asked_to() {
    let mut child = Command::new(env!("CARGO_BIN_EXE_keeper"))
        .args(["--fork", folder_arg(), "watch"])
        .stderr(std::process::Stdio::piped())
        .spawn()
        .unwrap();
    let mut log = std::io::BufReader::new(child.stderr.take().unwrap());
    let mut seen = String::new();
    while !seen.contains("liquidated") {
        assert_ne!(std::io::BufRead::read_line(&mut log, &mut seen).unwrap(), 0, "{seen}");
    }
    let kill = Command::new("kill").args(["-TERM", &child.id().to_string()]).status().unwrap();
    assert!(kill.success());
    std::io::Read::read_to_string(&mut log, &mut seen).unwrap();
    assert!(child.wait().unwrap().success(), "{seen}");
    assert!(seen.contains("stopped"), "{seen}");
}
