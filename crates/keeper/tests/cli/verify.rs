//! The model against what klend does, while others liquidate.

use std::{
    fs,
    path::{Path, PathBuf},
    thread,
    time::{Duration, Instant},
};

use klend_fork::Programs;
use klend_model::version::KlendVersion;
use serde_json::{Value, json};

use crate::{
    MARKET, SOL_RESERVE, json_of, keeper, node::Fate, obligations, refused, sending::Stage, text,
    watch::Watch,
};

/// Longest something may take to be told, compared and shown.
const PATIENCE: Duration = Duration::from_secs(60);

/// Whether klend writes down when it does something; before 1.25 nothing can be compared.
fn klend_tells_the_time() -> bool {
    let version = Programs::klend_version().unwrap();
    let tells = version >= KlendVersion::V1_25;
    if !tells {
        println!("skipped: klend {version} writes no time into its accounts");
    }
    tells
}

/// What a running watch found.
fn model(at: &str) -> Value {
    json_of(&["--fork", "builtin", "market", MARKET, "--at", at])["model"].clone()
}

fn count(model: &Value, rule: &str, what: &str) -> u64 {
    let rules = model["rules"].as_array().unwrap();
    rules.iter().find(|shown| shown["rule"] == rule).unwrap()[what].as_u64().unwrap()
}

/// A watch that only looks, and where it serves what it found.
fn looker(stage: &Stage, klend: &str, differences: &Path) -> (Watch, String) {
    let config = format!(
        "market = {MARKET:?}\nkeypair = {:?}\nmetrics = \"127.0.0.1:0\"\n\
         cooldown_seconds = 1\nwebsocket_url = {:?}\nklend_version = {klend:?}\ndifferences = {:?}\n",
        stage.keypair,
        stage.node.websocket(),
        differences.to_str().unwrap(),
    );
    let mut watch = Watch::start(&config, &["--rpc", stage.node.url()]);
    let at = watch.wait_for("metrics are served")["address"].as_str().unwrap().to_owned();
    watch.wait_for("ready");
    (watch, at)
}

/// Somebody else liquidates, five seconds later, and the slot ends.
fn somebody_liquidates(stage: &Stage) {
    liquidated_by_somebody(stage);
    stage.node.pass_slots(5);
}

/// The same in a slot that goes on.
fn liquidated_by_somebody(stage: &Stage) {
    let (at_risk, _) = obligations();
    stage.node.pass_slots(25);
    let url = stage.node.url();
    let report = json_of(&[&stage.liquidate(url, &at_risk)[..], &["--yes"]].concat());
    assert_eq!(report["transaction"]["outcome"], "succeeded", "{report}");
}

/// The folders that were written.
fn written(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).into_iter().flatten();
    entries.map(|entry| entry.unwrap().path()).collect()
}

#[test]
fn what_others_do_is_recomputed_to_the_unit() {
    if !klend_tells_the_time() {
        return;
    }
    let stage = Stage::new(Fate::Executed { after_polls: 0 });
    let folder = tempfile::tempdir().unwrap();
    let differences = folder.path().join("kept");
    let (watch, at) = looker(&stage, "auto", &differences);
    somebody_liquidates(&stage);
    let begun = Instant::now();
    let found = loop {
        let found = model(&at);
        if count(&found, "seizure", "agreed") > 0 || begun.elapsed() > PATIENCE {
            break found;
        }
        thread::sleep(Duration::from_millis(100));
    };
    for rule in ["interest", "health", "reason", "repayment", "seizure", "redemption"] {
        assert!(count(&found, rule, "agreed") > 0, "{rule}: {found}");
    }
    for rule in found["rules"].as_array().unwrap() {
        assert_eq!(rule["differed"], 0, "{found}");
    }
    assert!(found["klend"].as_str().unwrap().contains("not known (hash "), "{found}");
    assert!(written(&differences).is_empty());
    let shown = text(&keeper(&["--fork", "builtin", "market", MARKET, "--at", &at]));
    assert!(shown.contains("Model against chain") && shown.contains("agreed"), "{shown}");
    watch.stop();
}

#[test]
fn a_difference_is_told_kept_and_keeps_the_keeper_from_its_reserve() {
    if !klend_tells_the_time() {
        return;
    }
    let stage = Stage::new(Fate::Executed { after_polls: 0 });
    let folder = tempfile::tempdir().unwrap();
    let differences = folder.path().join("kept");
    let usdc = stage.node.world().reserve_named("USDC").unwrap();
    let (mut watch, at) = looker(&stage, "auto", &differences);
    liquidated_by_somebody(&stage);
    // As if klend had counted one unit of interest more than the model does: in the slot
    // of the liquidation, whose last state counts.
    let (slot, account) = {
        let mut world = stage.node.world();
        world
            .edit_reserve(&usdc, |reserve| {
                reserve.liquidity.cumulative_borrow_rate_bsf.value[0] += 1;
            })
            .unwrap();
        (world.reserve(&usdc).unwrap().last_update.slot, world.account(&usdc).unwrap())
    };
    stage.node.tell_as(&usdc, &account, slot);
    stage.node.pass_slots(5);
    let told = watch.wait_for("the model and klend differ");
    assert!(
        told["differing"].as_str().unwrap().contains("cumulative borrow rate: chain"),
        "{told}"
    );
    watch.wait_for("written: keeper verify reads it");
    let found = model(&at);
    let reserve = found["differing"][0]["reserve"].as_str().unwrap().to_owned();
    assert_eq!(told["key"], json!(reserve), "{found}");

    // What is left of the debt could still be liquidated, and is left alone.
    // Once the rest after the last try is over.
    thread::sleep(Duration::from_millis(1_500));
    stage.node.scale_price(&SOL_RESERVE.parse().unwrap(), 95);
    let is_it = |line: &Value| line["reason"].as_str().unwrap().contains("on_difference");
    let left = std::iter::repeat_with(|| watch.wait_for("not liquidated")).find(is_it).unwrap();
    assert!(left["reason"].as_str().unwrap().contains(&reserve), "{left}");
    watch.stop();

    // What was kept shows the difference again, and which klend it is not.
    let kept = written(&differences);
    let kept = kept.iter().find(|path| path.display().to_string().contains(&reserve)).unwrap();
    let kept = kept.to_str().unwrap();
    assert!(kept.contains("difference-"), "{kept}");
    let said = refused(&["verify", kept], 1);
    assert!(said.contains("the model and klend differ: 1 times"), "{said}");
    // Both states are fork folders that say which klend they are of.
    for state in ["before", "after"] {
        let manifest = fs::read_to_string(format!("{kept}/{state}/manifest.json")).unwrap();
        let manifest: Value = serde_json::from_str(&manifest).unwrap();
        assert_eq!(manifest["klend"], "1.25", "{manifest}");
    }
}

#[test]
fn what_cannot_be_verified_is_said() {
    let folder = tempfile::tempdir().unwrap();
    let said = refused(&["verify", folder.path().to_str().unwrap()], 1);
    assert!(said.contains("neither a recorded case"), "{said}");
    let said = refused(&["verify", "/nowhere"], 1);
    assert!(said.contains("/nowhere"), "{said}");
    let said = refused(&["--fork", "builtin", "verify", "--blocks", "1"], 1);
    assert!(said.contains("nothing happens in a fork"), "{said}");
    refused(&["verify"], 2);
    refused(&["verify", "folder", "--blocks", "1"], 2);
    let said = refused(&["--klend", "1.20", "verify", "folder"], 2);
    assert!(said.contains("1.20") && said.contains("1.25"), "{said}");
}
