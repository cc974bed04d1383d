//! The keeper as a service: health, ledger, and whose program it signs for.

use std::time::Duration;

use clap::CommandFactory as _;
use flash_liquidator_client::receiver;
use klend_flash_keeper::cli::Cli;
use serde_json::{Value, json};

use crate::{
    MARKET, SOL_RESERVE, folder_arg, json_of, keeper,
    node::{Fate, Options},
    obligations, refused,
    sending::Stage,
    text,
    watch::{Watch, metric, passes, trusted, until},
};

fn write(folder: &tempfile::TempDir, config: &str) -> String {
    let path = folder.path().join("keeper.toml");
    std::fs::write(&path, config).unwrap();
    path.display().to_string()
}

#[test]
fn on_a_public_cluster_the_program_has_to_be_named() {
    let stage = Stage::new(Fate::Executed { after_polls: 0 });
    let folder = tempfile::tempdir().unwrap();
    let sends = format!(
        "send = true\nmainnet = true\nkeypair = {:?}\ntables = [{:?}]\nfeed = \"poll\"\n",
        stage.keypair, stage.table
    );
    let path = write(&folder, &sends);
    let args = ["--rpc", stage.node.url(), "watch", "--config", &path, "--passes", "1"];
    let said = refused(&args, 1);
    let asked = said.split("then add:\n").nth(1).unwrap_or_else(|| panic!("{said}"));
    assert_eq!(stage.node.sent(), 0);

    // One of both is not enough, another one is refused.
    let lines: Vec<&str> = asked.lines().map(str::trim).filter(|line| !line.is_empty()).collect();
    let path = write(&folder, &format!("{sends}{}\n", lines[0]));
    assert!(refused(&args, 1).contains("program_authority = "));
    let other = "7u3HeHxYDLhnCoErrtycNokbQYbWGzLs6JSDqGAv5PfF";
    write(&folder, &format!("{sends}{}\nprogram_authority = {other:?}\n", lines[0]));
    assert!(refused(&args, 1).contains(&format!("program_authority says {other}")));
    let hash = "00".repeat(32);
    write(&folder, &format!("{sends}program_hash = {hash:?}\n{}\n", lines[1]));
    assert!(refused(&args, 1).contains(&format!("program_hash says {hash}")));
    assert_eq!(stage.node.sent(), 0);

    // As it is asked for, it sends.
    write(&folder, &format!("{sends}{}\n{}\n", lines[0], lines[1]));
    let output = keeper(&args);
    assert_eq!(output.status.code(), Some(0), "{path}: {}", text(&output));
    assert_eq!(stage.node.signatures(), 1);
    let shown = json_of(&["--rpc", stage.node.url(), "program"]);
    assert_eq!(lines[0], format!("program_hash = {}", shown["hash"]));
    assert_eq!(shown["program"], receiver::PROGRAM_ID.to_string());
}

/// Every command that takes a key, and how it is asked to send something to the receiver;
/// `None` where it never does.
fn signing<'a>(
    stage: &'a Stage,
    config: &'a str,
    at_risk: &'a str,
) -> Vec<(&'a str, Option<Vec<&'a str>>)> {
    let (key, table) = (["--keypair", &*stage.keypair], ["--table", &*stage.table]);
    let sol = ["--reserve", SOL_RESERVE];
    let undo = ["--undo", "--yes"];
    vec![
        ("liquidate", Some([&[at_risk][..], &key, &table, &["--yes"]].concat())),
        ("perp", Some([&[at_risk][..], &key, &["--yes"]].concat())),
        ("sweep", Some([&key[..], &["--yes"]].concat())),
        ("setup", Some([&key[..], &sol, &undo].concat())),
        ("watch", Some(vec!["--config", config, "--passes", "1"])),
        // They talk to klend and to the token programs.
        ("unwrap", None),
        ("redeem", None),
    ]
}

/// Whatever signs for the receiver refuses on a public cluster while hash or authority are
/// not given, or are others; nothing is sent.
#[test]
fn nothing_signs_for_a_program_that_is_not_named() {
    let takes_a_key = |command: &&clap::Command| {
        command.get_arguments().any(|it| ["keypair", "config"].contains(&it.get_id().as_str()))
    };
    let command = Cli::command();
    let mut signing_ones: Vec<&str> = command
        .get_subcommands()
        .filter(takes_a_key)
        .map(clap::Command::get_name)
        // It sends nothing: no node is named.
        .filter(|name| *name != "replay")
        .collect();
    signing_ones.sort_unstable();

    let (at_risk, _) = obligations();
    let stage = Stage::new(Fate::Executed { after_polls: 0 });
    let url = stage.node.url();
    // Something to sweep: accounts of the swap authority.
    let setup = ["setup", "--keypair", &stage.keypair, "--reserve", SOL_RESERVE, "--yes"];
    json_of(&[&["--rpc", url][..], &setup].concat());
    let sent = stage.node.sent();
    let folder = tempfile::tempdir().unwrap();
    let sends = format!(
        "send = true\nmainnet = true\nkeypair = {:?}\ntables = [{:?}]\nfeed = \"poll\"\n",
        stage.keypair, stage.table
    );
    let config = write(&folder, &sends);
    let all = signing(&stage, &config, &at_risk);
    let mut named: Vec<&str> = all.iter().map(|(name, _)| *name).collect();
    named.sort_unstable();
    assert_eq!(named, signing_ones, "a command that signs is not in this test, or is gone");

    let zeros = "00".repeat(32);
    let (hash, authority) = (&*stage.hash, &*stage.authority);
    let known = [("program_hash", hash), ("program_authority", authority)];
    let cases = [
        (vec![], "has to say"),
        (known[..1].to_vec(), "has to say"),
        (known[1..].to_vec(), "has to say"),
        (vec![("program_hash", &*zeros), known[1]], "program_hash says"),
        (vec![known[0], ("program_authority", MARKET)], "program_authority says"),
    ];
    for (name, arguments) in all {
        let Some(arguments) = arguments else { continue };
        for (given, says) in &cases {
            let flags: Vec<String> = given
                .iter()
                .flat_map(|(key, value)| {
                    [format!("--{}", key.replace('_', "-")), (*value).to_owned()]
                })
                .collect();
            let lines: String =
                given.iter().map(|(key, value)| format!("{key} = {value:?}\n")).collect();
            let mut args = [&["--rpc", url, name][..], &arguments].concat();
            if name == "watch" {
                write(&folder, &format!("{sends}{lines}"));
            } else {
                args.extend(flags.iter().map(String::as_str));
            }
            let said = refused(&args, 1);
            assert!(said.contains(says), "{name} {given:?}: {said}");
        }
    }
    assert_eq!(stage.node.sent(), sent);
}

#[test]
fn a_program_that_changes_hands_stops_it() {
    let stage = Stage::with(Options::default());
    let config = format!(
        "{}keypair = {:?}\ntables = [{:?}]\nfeed = \"poll\"\nmetrics = \"127.0.0.1:0\"\n\
         poll_ms = 50\ncooldown_seconds = 600",
        trusted(),
        stage.keypair,
        stage.table
    );
    let mut watch = Watch::start(&config, &["--rpc", stage.node.url()]);
    watch.wait_for("liquidated");
    {
        let mut world = stage.node.world();
        let program = world.account(&receiver::PROGRAM_ID).unwrap();
        let data = <[u8; 32]>::try_from(&program.data[4..36]).unwrap().into();
        let mut account = world.account(&data).unwrap();
        // An authority where there was another, or none.
        account.data[12] = 1;
        account.data[13..45].fill(9);
        world.set_account(&data, account).unwrap();
    }
    let why = watch.wait_for("stopping: nothing more is sent")["why"].to_string();
    assert!(why.contains("changed") && why.contains("authority"), "{why}");
    watch.ended(1);
}

#[test]
fn a_running_watch_is_well_and_its_ledger_outlives_being_killed() {
    let folder = tempfile::tempdir().unwrap();
    let ledger = folder.path().join("keeper.db");
    let config = format!(
        "metrics = \"127.0.0.1:0\"\nledger = {ledger:?}\npoll_ms = 50\ncooldown_seconds = 0\n"
    );
    let mut watch = Watch::start(&config, &["--fork", folder_arg()]);
    let address = watch.wait_for("metrics are served")["address"].as_str().unwrap().to_owned();
    for _ in 0..5 {
        watch.wait_for("liquidated");
    }
    let status = json_of(&["status", "--at", &address]);
    assert_eq!(status["health"]["alive"], true, "{status}");
    assert_eq!(status["readiness"]["ready"], true, "{status}");
    // The keeper's own words, for a person.
    let output = keeper(&["status", "--at", &address]);
    assert!(output.status.success() && text(&output).contains("program"), "{}", text(&output));
    until("five were counted", || metric(&address, "keeper_attempts_total") >= 5);
    watch.signal("-KILL");
    std::thread::sleep(Duration::from_millis(200));

    let ledger = ledger.to_str().unwrap();
    let report = json_of(&["report", "--ledger", ledger, "--by", "market"]);
    let all = &report["all"];
    // The fifth was told before its row was on the disk.
    assert!(all["simulated"].as_u64().unwrap() >= 4, "{report}");
    let open = all["attempts"].as_u64().unwrap() - all["simulated"].as_u64().unwrap();
    assert!(open <= 1, "{report}");
    assert_eq!(all["liquidated"], 0);
    assert_eq!(report["groups"].as_array().unwrap().len(), 1);
    let rows = keeper(&["report", "--ledger", ledger, "--export", "json"]);
    let rows: Value = serde_json::from_slice(&rows.stdout).unwrap();
    assert_eq!(rows.as_array().unwrap().len() as u64, all["attempts"].as_u64().unwrap());
    assert_eq!((&rows[0]["id"], &rows[0]["venue"]), (&json!(1), &json!("stand_in")));
    let svg = folder.path().join("profit.svg");
    let drawn = ["report", "--ledger", ledger, "--since", "1d", "--svg", svg.to_str().unwrap()];
    assert!(keeper(&drawn).status.success());
    assert!(std::fs::read_to_string(svg).unwrap().starts_with("<svg"));
    assert!(refused(&["status", "--at", &address], 1).contains("no keeper answers"));
}

#[test]
fn races_are_won_or_lost_to_something() {
    let (at_risk, _) = obligations();
    let stage = Stage::new(Fate::Executed { after_polls: 0 });
    let folder = tempfile::tempdir().unwrap();
    let ledger = folder.path().join("keeper.db");
    let config = format!(
        "{}keypair = {:?}\ntables = [{:?}]\nfeed = \"poll\"\nledger = {ledger:?}\n\
         poll_ms = 50\ncooldown_seconds = 600",
        trusted(),
        stage.keypair,
        stage.table
    );
    let mut watch = Watch::start(&config, &["--rpc", stage.node.url()]);
    let line = watch.wait_for("liquidated");
    watch.stop();
    // Somebody else takes another part of it.
    let args = [&stage.liquidate(stage.node.url(), &at_risk)[..], &["--yes"]].concat();
    let said = keeper(&args);
    let by_hand = said.status.code() == Some(0);

    let ledger = ledger.to_str().unwrap();
    let races = ["--rpc", stage.node.url(), "races", "--ledger", ledger];
    let report = json_of(&races);
    let all = report["races"].as_array().unwrap();
    assert_eq!(all.len(), 1 + usize::from(by_hand), "{report:#}");
    let first = &all[0];
    assert_eq!((&first["obligation"], &first["signature"]), (&json!(at_risk), &line["signature"]));
    assert_eq!(
        (&first["lostTo"], &first["tried"]["outcome"]),
        (&json!("won"), &json!("liquidated"))
    );
    assert_eq!(first["route"], json!(["swap stand-in"]));
    if by_hand {
        // This keeper was there a slot earlier.
        assert_eq!(all[1]["lostTo"], "their place in the block", "{report:#}");
    }
    let weeks = report["weeks"].as_array().unwrap();
    assert!(weeks.iter().all(|week| week["week"] == "2026-11-23"), "{report:#}");
    let said = text(&keeper(&races));
    assert!(said.contains("Lost to what, by week") && said.contains("won"), "{said}");

    // A folder of the same transactions, without a ledger.
    let signature = line["signature"].as_str().unwrap();
    let shown = stage.node.shown(signature);
    std::fs::write(folder.path().join("a.json"), shown.to_string()).unwrap();
    let races = json_of(&["races", "--folder", folder.path().to_str().unwrap()]);
    assert_eq!((&races["races"][0]["lostTo"], &races["weeks"]), (&json!(null), &json!(null)));
    // Who failed has won nothing.
    let mut failed = shown;
    failed["meta"]["err"] = json!({ "InstructionError": [0, { "Custom": 6016 }] });
    let path = folder.path().join("failed.json");
    std::fs::write(&path, failed.to_string()).unwrap();
    let races = json_of(&["races", "--folder", folder.path().to_str().unwrap()]);
    assert_eq!((&races["failed"], races["races"].as_array().unwrap().len()), (&json!(1), 1));
    std::fs::write(folder.path().join("b.json"), "{}").unwrap();
    let said = refused(&["races", "--folder", folder.path().to_str().unwrap()], 1);
    assert!(said.contains("b.json"), "{said}");
    assert!(refused(&["races"], 1).contains("no source"));
}

/// Seen, and left alone for two reasons in turn: then somebody else takes it.
#[test]
fn races_say_why_nothing_was_tried() {
    let (at_risk, _) = obligations();
    let stage = Stage::new(Fate::Executed { after_polls: 0 });
    let folder = tempfile::tempdir().unwrap();
    let ledger = folder.path().join("keeper.db");
    let node = ["--rpc", stage.node.url()];
    let ledger_path = ledger.to_str().unwrap();
    let races = [&node[..], &["races", "--ledger", ledger_path]].concat();
    let common =
        format!("feed = \"poll\"\nledger = {ledger:?}\nmetrics = \"127.0.0.1:0\"\npoll_ms = 50\n");
    for (settings, code, outcome) in [
        ("min_profit_usd = 1000000", "too_little_profit", "too_little"),
        (&format!("deny_obligations = [{at_risk:?}]"), "denied", "refused"),
    ] {
        let mut watch = Watch::start(&format!("{common}{settings}"), &node);
        let address = watch.wait_for("metrics are served")["address"].as_str().unwrap().to_owned();
        watch.wait_for("ready");
        let counted = format!(
            "keeper_outcomes_total{{outcome=\"{outcome}\",reason=\"{code}\",road=\"none\",venue=\"\"}}"
        );
        until("it was declined", || {
            let shown = crate::watch::exposition(&address);
            shown.lines().any(|line| line.starts_with(&counted))
        });
        watch.stop();
    }
    let report = json_of(&["report", "--ledger", ledger_path, "--declined"]);
    let mut reasons: Vec<&str> = report["declined"]
        .as_array()
        .unwrap()
        .iter()
        .map(|line| line["reason"].as_str().unwrap())
        .collect();
    reasons.retain(|reason| *reason != "not_read_yet");
    reasons.sort_unstable();
    assert_eq!(reasons, ["denied", "too_little_profit"], "{report:#}");
    let shown = text(&keeper(&["report", "--ledger", ledger_path, "--declined"]));
    assert!(shown.contains("below floor") && shown.contains("deny list"), "{shown}");
    let csv = text(&keeper(&["report", "--ledger", ledger_path, "--declined", "--export", "csv"]));
    let figures = csv.lines().find(|line| line.contains("too_little_profit")).unwrap();
    let quoted: f64 = figures.trim().rsplit(',').nth(1).unwrap().parse().unwrap();
    assert!(quoted > 0.0, "{csv}");

    // The deny list was the last word.
    let args = [&stage.liquidate(stage.node.url(), &at_risk)[..], &["--yes"]].concat();
    assert!(keeper(&args).status.success());
    let report = json_of(&races);
    let race = &report["races"][0];
    assert_eq!(race["lostTo"], "declined: deny list", "{report:#}");
    assert_eq!((&race["tried"], &race["declined"]["reason"]), (&json!(null), &json!("denied")));
    assert!(race["seenAtSlot"].as_u64().unwrap() <= race["slot"].as_u64().unwrap(), "{race:#}");
    assert_eq!(report["weeks"][0]["lostTo"], "declined: deny list");
    let said = text(&keeper(&races));
    assert!(said.contains("seen at slot") && said.contains("the operator's lists"), "{said}");

    // Without it, it is known how much was missing.
    let edited = rusqlite::Connection::open(&ledger).unwrap();
    edited.execute("DELETE FROM declined WHERE code = 'denied'", []).unwrap();
    drop(edited);
    let report = json_of(&races);
    let race = &report["races"][0];
    assert_eq!(race["lostTo"], "declined: below floor", "{report:#}");
    let figure = |name: &str| race["declined"][name].as_f64().unwrap();
    assert!((figure("quotedUsd") + figure("shortUsd") - 1e6).abs() < 1e-3, "{race:#}");
    assert_eq!(report["weeks"][0]["quotedUsd"].as_f64(), Some(figure("quotedUsd")));
    let said = text(&keeper(&races));
    assert!(said.contains("would have earned $") && said.contains("too little"), "{said}");
}

/// The estimate of its compute units leaves it open whether it pays, those that the local
/// simulation used do not: it is tried there, and left alone after that.
#[test]
fn what_only_the_simulation_shows_to_pay_too_little_is_left_alone_after_it() {
    let (at_risk, _) = obligations();
    let source = ["--fork", folder_arg()];
    let plain = json_of(&[&source[..], &["liquidate", &at_risk]].concat());
    let sol = json_of(&[&source[..], &["reserve", SOL_RESERVE]].concat());
    let profit = plain["quote"]["profitValue"].as_f64().unwrap();
    // What is asked for: a tenth more than was used, and a tick.
    let limit = plain["simulation"]["computeUnits"].as_f64().unwrap() * 1.1 + 8_300.0;
    // At this price they take half of the profit.
    let micro_lamports = profit / 2.0 / sol["price"].as_f64().unwrap() * 1e15 / limit;
    let fee = profit / 2.0;
    let folder = tempfile::tempdir().unwrap();
    for (name, share, expected) in
        [("little", 0.97, ("too_little", "too_little_profit")), ("enough", 1.03, ("simulated", ""))]
    {
        let ledger = folder.path().join(name);
        let floor = profit - fee * share;
        let config = format!(
            "poll_ms = 50\ncooldown_seconds = 600\nmax_fee_share_bps = 10000\n\
             priority_fee = {micro_lamports:.0}\nmin_profit_usd = {floor:.6}\nledger = {ledger:?}"
        );
        let (_, lines) = passes(&config, &source, 40);
        let said = |message| lines.iter().filter(move |line| line["fields"]["message"] == message);
        let (liquidated, left) = (said("liquidated").count(), said("too little profit").count());
        assert_eq!(
            (liquidated, left),
            if name == "little" { (0, 1) } else { (1, 0) },
            "{lines:#?}"
        );
        let kept = rusqlite::Connection::open(&ledger).unwrap();
        let attempts: Vec<(String, String)> = kept
            .prepare("SELECT outcome, code FROM attempts WHERE obligation = ?1")
            .unwrap()
            .query_map([&at_risk], |row| Ok((row.get(0)?, row.get(1)?)))
            .unwrap()
            .map(Result::unwrap)
            .collect();
        assert_eq!(attempts, [(expected.0.to_owned(), expected.1.to_owned())], "{name}");
        // It was not declined before.
        let declined = "SELECT count(*) FROM declined WHERE code = 'too_little_profit'";
        let before: i64 = kept.query_row(declined, [], |row| row.get(0)).unwrap();
        assert_eq!(before, 0, "{name}");
    }
}

#[test]
fn every_command_has_a_man_page_and_completions() {
    let folder = tempfile::tempdir().unwrap();
    assert!(keeper(&["man", "--out", folder.path().to_str().unwrap()]).status.success());
    for page in ["keeper.1", "keeper-watch.1", "keeper-report.1"] {
        let text = std::fs::read_to_string(folder.path().join(page)).unwrap();
        assert!(text.contains(".SH NAME"), "{page}");
    }
    for shell in ["bash", "zsh", "fish"] {
        assert!(text(&keeper(&["completions", shell])).contains("liquidate"), "{shell}");
    }
}
