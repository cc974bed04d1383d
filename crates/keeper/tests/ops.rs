//! What lies in `ops/`: every figure that the dashboard and the alert rules name exists,
//! every rule fires on a bad run and is silent on a good one, and the unit and the images
//! start what there is. What needs a tool that is not installed says so.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::{Path, PathBuf},
    process::Command,
    time::Duration,
};

use klend_flash_keeper::ledger::{
    metrics::{CheckLabel, Metrics, MintLabel},
    record::{Costs, Ended, Numbers, Outcome},
};
use serde_json::Value;

/// Minutes of a recorded run.
const MINUTES: usize = 120;
/// How the scraper calls what it scrapes.
const TARGET: &str = "instance=\"keeper:9184\",job=\"keeper\"";

fn ops() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../ops")
}

fn read(path: &str) -> String {
    let path = ops().join(path);
    fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// The keeper's figures that a text names.
fn figures(text: &str) -> BTreeSet<String> {
    text.split(|letter: char| !letter.is_ascii_alphanumeric() && letter != '_')
        .filter(|word| word.starts_with("keeper_"))
        .map(str::to_owned)
        .collect()
}

fn committed() -> BTreeSet<String> {
    let lines = read("metrics.txt");
    lines.lines().map(|line| line.split('{').next().unwrap().to_owned()).collect()
}

/// The path of a tool, or a word that it is missing; `cargo xtask test` says it again
/// at the end.
fn tool(name: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH")?;
    let found = std::env::split_paths(&path).map(|folder| folder.join(name)).find(|at| at.exists());
    if found.is_none() {
        eprintln!("skipped: {name} is not installed");
    }
    found
}

fn expressions() -> Vec<String> {
    let dashboard: Value = serde_json::from_str(&read("grafana/keeper.json")).unwrap();
    let panels = dashboard["panels"].as_array().unwrap();
    panels
        .iter()
        .flat_map(|panel| panel["targets"].as_array().unwrap())
        .map(|target| target["expr"].as_str().unwrap().to_owned())
        .collect()
}

#[test]
fn every_figure_that_is_named_exists() {
    let committed = committed();
    let rules = read("prometheus/keeper.rules.yml");
    let named = figures(&rules);
    assert!(named.len() > 8, "{named:?}");
    assert_eq!(named.difference(&committed).collect::<Vec<_>>(), Vec::<&String>::new());
    let named: BTreeSet<String> = expressions().iter().flat_map(|text| figures(text)).collect();
    assert!(named.len() > 15, "{named:?}");
    assert_eq!(named.difference(&committed).collect::<Vec<_>>(), Vec::<&String>::new());
}

/// One minute of a run.
fn live(metrics: &Metrics, minute: usize, is_bad: bool) {
    let ends = |outcome, profit| {
        let numbers = Numbers {
            road: "node",
            venue: "whirlpool".to_owned(),
            debt_decimals: 6,
            debt_price: 1.0,
            sol_price: Some(150.0),
            profit: Some(profit),
            costs: Costs { fee: 5_000, tip: 1_000_000, rent: 0 },
            landed_slot: Some(minute as u64),
            ..Numbers::default()
        };
        let (code, reason) = (String::new(), String::new());
        metrics.ended(&Ended { outcome, code, reason, signature: None, numbers });
    };
    let is_bad = is_bad && minute >= 30;
    let stalled = if is_bad { 30 } else { minute };
    metrics.turned.set(stalled as f64 * 60.0);
    metrics.feed_up.set(u64::from(!is_bad));
    metrics.node_slots_behind.set(if is_bad { 90 } else { 1 });
    metrics.unsellable_debt.set(if is_bad { 250_000.0 } else { 0.0 });
    metrics.ledger_backlog.set(if is_bad { 3 } else { 0 });
    metrics.sends.set(1);
    let sol = MintLabel { mint: "SOL".to_owned() };
    metrics.balance.get_or_create(&sol).set(if is_bad { 0.01 } else { 2.0 });
    for check in ["market", "node", "key"] {
        metrics.checks.get_or_create(&CheckLabel { check }).set(u64::from(!is_bad));
    }
    if is_bad {
        ends(Outcome::Failed, 0);
        metrics.failed.inc();
        metrics.model_differences.inc();
        metrics.alerts_undelivered.inc();
        if minute.is_multiple_of(20) {
            metrics.feed_losses.inc();
        }
    } else {
        ends(Outcome::Liquidated, 200_000);
    }
}

/// The same minute, with everything that a panel shows and no rule names.
fn live_whole(metrics: &Metrics, minute: usize) {
    live(metrics, minute, false);
    let numbers = Numbers {
        road: "node",
        venue: "whirlpool".to_owned(),
        debt_decimals: 6,
        debt_price: 1.0,
        sol_price: Some(150.0),
        profit: Some(-50_000),
        costs: Costs { fee: 5_000, tip: 1_000_000, rent: 2_039_280 },
        landed_slot: Some(minute as u64),
        update_to_bytes: Some(Duration::from_micros(1_500)),
        bytes_to_landed: Some(Duration::from_millis(700)),
        slots_behind: Some(2),
        ..Numbers::default()
    };
    let (code, reason) = (String::new(), String::new());
    let outcome = Outcome::Liquidated;
    metrics.ended(&Ended { outcome, code, reason, signature: None, numbers });
    metrics.evaluation.observe(0.002);
    metrics.ledger_commit.observe(0.004);
}

/// Scrapes a run every minute: what each series stood at.
fn record(
    named: &BTreeSet<String>,
    live: impl Fn(&Metrics, usize),
) -> BTreeMap<String, Vec<String>> {
    let metrics = Metrics::new();
    let mut series: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for minute in 0..=MINUTES {
        live(&metrics, minute);
        for line in metrics.render().lines().filter(|line| !line.starts_with('#')) {
            let (name, value) = line.rsplit_once(' ').unwrap();
            if !named.contains(name.split('{').next().unwrap()) {
                continue;
            }
            let name = match name.strip_suffix('}') {
                Some(labelled) => format!("{labelled},{TARGET}}}"),
                None => format!("{name}{{{TARGET}}}"),
            };
            let values = series.entry(name).or_default();
            // Not there before.
            values.resize(minute, "_".to_owned());
            values.push(value.to_owned());
        }
    }
    series
}

/// Values as promtool takes them, what repeats in short.
fn values(all: &[String]) -> String {
    let mut words: Vec<String> = Vec::new();
    for run in all.chunk_by(|a, b| a == b) {
        let again = run.len() - 1;
        words.push(if again == 0 { run[0].clone() } else { format!("{}x{again}", run[0]) });
    }
    words.join(" ")
}

fn test_file() -> String {
    let rules = read("prometheus/keeper.rules.yml");
    let alerts: Vec<&str> =
        rules.lines().filter_map(|line| line.trim().strip_prefix("- alert: ")).collect();
    assert!(alerts.len() > 8);
    let named = figures(&rules);
    let mut text =
        "# Recorded by crates/keeper/tests/ops.rs: promtool test rules keeper.test.yml\n\
                    rule_files: [keeper.rules.yml]\nevaluation_interval: 1m\ntests:\n"
            .to_owned();
    for is_bad in [false, true] {
        text += &format!("  - name: a {} run\n", if is_bad { "bad" } else { "good" });
        text += "    interval: 1m\n    input_series:\n";
        let mut series = record(&named, |metrics, minute| live(metrics, minute, is_bad));
        // At last a bad one does not answer any more.
        let up = [vec!["1"; MINUTES + 1], vec![if is_bad { "0" } else { "1" }; 5]].concat();
        let up = up.into_iter().map(str::to_owned).collect();
        series.insert(format!("up{{{TARGET}}}"), up);
        for (name, all) in &series {
            text += &format!("      - series: '{name}'\n        values: '{}'\n", values(all));
        }
        text += "    promql_expr_test:\n";
        let mut expect = |minute: usize, fires: &dyn Fn(&str) -> bool| {
            text += "      - expr: count by (alertname) (ALERTS{alertstate=\"firing\"})\n";
            text += &format!("        eval_time: {minute}m\n        exp_samples:\n");
            let at = text.len();
            for alert in alerts.iter().filter(|alert| fires(alert)) {
                let count = if *alert == "KeeperNotReady" { 3 } else { 1 };
                text += &format!(
                    "          - labels: '{{alertname=\"{alert}\"}}'\n            value: {count}\n"
                );
            }
            if text.len() == at {
                text.truncate(at - 1);
                text += " []\n";
            }
        };
        expect(29, &|_| false);
        expect(MINUTES, &|alert| is_bad && alert != "KeeperDown");
    }
    text += "      - expr: count by (alertname) (ALERTS{alertname=\"KeeperDown\",alertstate=\"firing\"})\n";
    text += &format!("        eval_time: {}m\n", MINUTES + 4);
    text += "        exp_samples:\n          - labels: '{alertname=\"KeeperDown\"}'\n            value: 1\n";
    text
}

/// After a change on purpose: `UPDATE_METRICS=1 cargo test --workspace --test ops`.
#[test]
fn every_rule_fires_on_a_bad_run_and_is_silent_on_a_good_one() {
    let path = ops().join("prometheus/keeper.test.yml");
    let text = test_file();
    if std::env::var_os("UPDATE_METRICS").is_some() {
        fs::write(&path, &text).unwrap();
    }
    assert!(read("prometheus/keeper.test.yml") == text, "{} is not as recorded", path.display());
    let Some(promtool) = tool("promtool") else { return };
    let output = Command::new(&promtool).args(["test", "rules"]).arg(&path).output().unwrap();
    let said = [output.stdout, output.stderr].concat();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&said));
}

/// What the dashboard asks, asked of Prometheus' own engine over a recorded run: every
/// query of every panel finds numbers.
#[test]
fn every_panel_of_the_dashboard_shows_something() {
    let Some(promtool) = tool("promtool") else { return };
    let queries = expressions();
    let named = queries.iter().flat_map(|text| figures(text)).collect::<BTreeSet<_>>();
    // A histogram is named by its parts.
    let parts = named.iter().filter_map(|name| name.strip_suffix("_bucket"));
    assert!(parts.count() >= 5, "{named:?}");
    let check = |series: &BTreeMap<String, Vec<String>>| {
        let mut text =
            "evaluation_interval: 1m\ntests:\n  - name: dashboard\n    interval: 1m\n    \
                        input_series:\n"
                .to_owned();
        for (name, all) in series {
            text += &format!("      - series: '{name}'\n        values: '{}'\n", values(all));
        }
        text += "    promql_expr_test:\n";
        for query in &queries {
            let query = query.replace("$__rate_interval", "5m").replace('\'', "''");
            // What is no number is not equal to itself.
            text += &format!(
                "      - expr: 'count(({query}) == ({query})) > bool 0'\n        eval_time: \
                 {MINUTES}m\n        exp_samples:\n          - labels: '{{}}'\n            value: 1\n"
            );
        }
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("dashboard.test.yml");
        fs::write(&path, text).unwrap();
        let output = Command::new(&promtool).args(["test", "rules"]).arg(&path).output().unwrap();
        let said = [output.stdout, output.stderr].concat();
        (output.status.success(), String::from_utf8_lossy(&said).into_owned())
    };
    let mut series = record(&named, live_whole);
    let (is_shown, said) = check(&series);
    assert!(is_shown, "{said}");
    // It would say which is empty.
    series.retain(|name, _| !name.starts_with("keeper_queue_length"));
    let (is_shown, said) = check(&series);
    assert!(!is_shown && said.contains("keeper_queue_length"), "{said}");
}

/// Lines of a file after a word at their beginning.
fn after<'a>(text: &'a str, word: &str) -> Vec<&'a str> {
    text.lines().filter_map(|line| line.trim().strip_prefix(word)).collect()
}

#[test]
fn the_unit_starts_what_there_is() {
    let unit = read("systemd/keeper.service");
    let keeper = env!("CARGO_BIN_EXE_keeper");
    let [start] = after(&unit, "ExecStart=")[..] else { panic!("one ExecStart") };
    let arguments: Vec<&str> = start.split(' ').skip(1).collect();
    assert_eq!(start.split(' ').next(), Some("/usr/bin/keeper"));
    assert!(understands(&arguments), "{start}");
    let Some(analyze) = tool("systemd-analyze") else { return };
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("keeper.service");
    fs::write(&path, unit.replace("/usr/bin/keeper", keeper)).unwrap();
    let output = Command::new(analyze).arg("verify").arg(&path).output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    let about_it: Vec<&str> = said.lines().filter(|line| line.contains("keeper.service")).collect();
    assert!(about_it.is_empty(), "{said}");
}

/// Whether the keeper takes a command line, by asking for its help.
fn understands(arguments: &[&str]) -> bool {
    let output =
        Command::new(env!("CARGO_BIN_EXE_keeper")).args(arguments).arg("--help").output().unwrap();
    output.status.success()
}

#[test]
fn the_images_start_what_there_is_where_it_listens() {
    let image = read("container/Containerfile");
    let list = |text: &str| serde_json::from_str::<Vec<String>>(text).unwrap();
    let [entry] = after(&image, "ENTRYPOINT ")[..] else { panic!("one ENTRYPOINT") };
    assert_eq!(list(entry), ["/usr/bin/keeper"]);
    let commands = after(&image, "CMD ");
    let [health, command] = commands[..] else { panic!("{commands:?}") };
    let (health, command) = (list(health), list(command));
    assert_eq!(health[0], "/usr/bin/keeper");
    for arguments in [&health[1..], &command[..]] {
        let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
        assert!(understands(&arguments), "{arguments:?}");
    }
    // Never root, and the port is the same everywhere.
    assert_eq!(after(&image, "USER "), ["10184:10184"]);
    assert_eq!(after(&image, "EXPOSE "), ["9184"]);
    assert!(health.contains(&"127.0.0.1:9184".to_owned()), "{health:?}");
    assert!(read("prometheus/prometheus.yml").contains("[\"keeper:9184\"]"));
    let compose = read("container/compose.yml");
    let published: Vec<&str> =
        compose.lines().map(str::trim).filter(|line| line.starts_with("- \"1")).collect();
    assert_eq!(
        published,
        ["- \"127.0.0.1:9184:9184\"", "- \"127.0.0.1:9090:9090\"", "- \"127.0.0.1:3000:3000\""]
    );
    // What is mounted is there; the user's own files are not.
    for line in compose.lines().map(str::trim).filter(|line| line.ends_with(":ro")) {
        let from = line.trim_start_matches("- ").split(':').next().unwrap();
        let there = ops().join("container").join(from).exists();
        assert!(there || from == "./keeper", "{from}");
    }
    // The compiler of the image is the one that the workspace asks for.
    let workspace = fs::read_to_string(ops().join("../Cargo.toml")).unwrap();
    // What runs for months is not built to end with the first panic.
    assert!(image.contains("--profile service") && image.contains("target/service/keeper"));
    let service = workspace.split("[profile.service]").nth(1).expect("the profile");
    let service = service.split("\n[").next().unwrap();
    assert!(service.contains("inherits = \"release\"") && service.contains("panic = \"unwind\""));
    let [version] = after(&workspace, "rust-version = ")[..] else { panic!("one rust-version") };
    assert!(image.contains(&format!("rust:{}-", version.trim_matches('"'))), "{version}");
}
