//! The keeper as a service: health, ledger, and whose program it signs for.

use std::time::Duration;

use flash_liquidator_client::receiver;
use serde_json::{Value, json};

use crate::{
    folder_arg, json_of, keeper,
    node::{Fate, Options},
    obligations, refused,
    sending::Stage,
    text,
    watch::{Watch, metric, trusted, until},
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
    assert_eq!(
        (&races["races"][0]["lostTo"], &races["weeks"]),
        (&json!("not tried"), &json!(null))
    );
    std::fs::write(folder.path().join("b.json"), "{}").unwrap();
    let said = refused(&["races", "--folder", folder.path().to_str().unwrap()], 1);
    assert!(said.contains("b.json"), "{said}");
    assert!(refused(&["races"], 1).contains("no source"));
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
