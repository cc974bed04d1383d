//! A run of `watch` recorded and run again; and a day of updates, made up.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
    time::Duration,
};

use flash_liquidator_client::swap::stand_in;
use klend_flash_keeper::{
    feeds::feed::{Update, Version},
    reader::{Look, Why},
    recording::{
        End, Header, Recording, Writer,
        told::{By, Told, Turn},
    },
    watch::time::Moment,
};
use klend_fork::{Position, World};
use serde_json::{Value, json};
use solana_account::Account;
use solana_address::Address;
use solana_sdk_ids::sysvar;

use crate::{
    folder, folder_arg, json_of, keeper,
    node::Fate,
    refused,
    sending::Stage,
    text,
    watch::{Watch, messages, sol},
};

/// Files of one test.
pub struct Files(tempfile::TempDir);

impl Files {
    pub fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    pub fn at(&self, name: &str) -> String {
        self.path(name).display().to_string()
    }

    pub fn write(&self, name: &str, text: &str) -> String {
        std::fs::write(self.path(name), text).unwrap();
        self.at(name)
    }

    /// Replays with a configuration and keeps the ledger.
    pub fn replay(&self, recording: &str, config: &str, ledger: &str) -> Value {
        let (recording, ledger) = (self.at(recording), self.at(ledger));
        json_of(&["replay", &recording, "--config", config, "--ledger", &ledger])
    }

    /// Every row of a ledger.
    pub fn rows(&self, ledger: &str) -> String {
        let output = keeper(&["report", "--ledger", &self.at(ledger), "--export", "csv"]);
        assert!(output.status.success(), "{}", text(&output));
        String::from_utf8(output.stdout).unwrap()
    }
}

#[test]
fn a_recorded_run_is_replayed_to_the_same_ledger() {
    let files = Files::new();
    let ledger =
        format!("ledger = {:?}\npoll_ms = 50\ncooldown_seconds = 0\n", files.at("live.db"));
    let config = files.write("keeper.toml", &ledger);
    let recording = files.at("recording");
    let args = ["--fork", folder_arg(), "watch", "--config", &config, "--passes", "6", "--record"];
    let output = keeper(&[&args[..], &[&recording]].concat());
    assert!(output.status.success(), "{}", text(&output));
    // It is never written over.
    assert!(refused(&[&args[..], &[&recording]].concat(), 1).contains("recording"));

    let first = files.replay("recording", &config, "first.db");
    assert_eq!((&first["unmet"], &first["others"]), (&json!(0), &json!(0)), "{first}");
    assert_eq!(
        (&first["recording"]["torn"], &first["recording"]["header"]["onChain"]),
        (&Value::Null, &json!(false))
    );
    let rows = files.rows("first.db");
    assert!(rows.matches(",simulated,").count() >= 2, "{rows}");
    assert_eq!(rows, files.rows("live.db"));
    // Another configuration decides otherwise.
    let other = files.write("other.toml", "poll_ms = 50\nmin_profit_usd = 1e6\n");
    let third = files.replay("recording", &other, "third.db");
    assert_eq!(third["all"]["attempts"], 0, "{third}");
    assert!(third["unmet"].as_u64().unwrap() > 0, "{third}");
    let said = text(&keeper(&["replay", &recording, "--config", &config]));
    assert!(said.contains(first["ledgerDigest"].as_str().unwrap()), "{said}");

    for (config, wrong) in [
        ("markets = [\"DxXdAyU3kCjnyggvHmY5nAwg5cRbbmdyX3npfDMjjMek\"]", "were recorded"),
        ("slippage = 3", "1 mistakes"),
    ] {
        let config = files.write("wrong.toml", config);
        let said = refused(&["replay", &recording, "--config", &config], 1);
        assert!(said.contains(wrong), "{said}");
    }
    let there = refused(&["replay", &recording, "--ledger", &files.at("first.db")], 1);
    assert!(there.contains("there already"), "{there}");
    let foreign = refused(&["replay", &files.at("live.db")], 1);
    assert!(foreign.contains("no recording of a keeper"), "{foreign}");
}

/// With a node: a feed, a blockhash, a key, lookup tables.
#[test]
fn what_a_feed_told_is_replayed() {
    let files = Files::new();
    let stage = Stage::new(Fate::Executed { after_polls: 0 });
    let node = &stage.node;
    node.scale_price(&sol(), 150);
    let config = format!(
        "keypair = {:?}\ntables = [{:?}]\nwebsocket_url = {:?}\nledger = {:?}\n\
         cooldown_seconds = 1\n",
        stage.keypair,
        stage.table,
        node.websocket(),
        files.at("live.db")
    );
    let recording = files.at("recording");
    let mut watch = Watch::start_with(&config, &["--rpc", node.url()], &["--record", &recording]);
    watch.wait_for("updates flow");
    watch.wait_for("ready");
    node.scale_price(&sol(), 66);
    watch.wait_for("liquidated");
    std::thread::sleep(Duration::from_millis(1_100));
    node.tell_oracle(&sol());
    node.scale_price(&sol(), 99);
    watch.wait_for("liquidated");
    let lines = watch.stop();
    assert_eq!(messages(&lines, "recorded"), 1);
    assert_eq!(node.signatures(), 0);

    let config = files.write("keeper.toml", &config);
    let replayed = files.replay("recording", &config, "first.db");
    assert_eq!((&replayed["unmet"], &replayed["others"]), (&json!(0), &json!(0)), "{replayed}");
    assert!(replayed["updates"].as_u64().unwrap() >= 2, "{replayed}");
    let rows = files.rows("first.db");
    assert_eq!(rows.matches(",simulated,").count(), messages(&lines, "liquidated"), "{rows}");
    assert_eq!(rows, files.rows("live.db"));
}

/// Numbers that look like chance and are the same every time.
struct Dice(u64);

impl Dice {
    /// Less than `sides`.
    fn roll(&mut self, sides: u64) -> u64 {
        self.0 =
            self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % sides
    }
}

const POSITIONS: u64 = 48;
/// Seconds between two updates of prices, and how many there are in a day.
const STEP: u64 = 30;
const STEPS: u64 = 24 * 60 * 60 / STEP;

/// The built-in market with some dozens of obligations, from bold to careful, and a pool.
fn market(path: &Path) -> World {
    let mut world = World::from_folder(folder()).unwrap();
    let (sol, usdc) = (sol(), world.reserve_named("USDC").unwrap());
    let price = world.price(&sol).unwrap().to_f64();
    for number in 0..POSITIONS {
        let borrower = world.actor(&format!("borrower {number}"));
        let deposit = 20 + 5 * number;
        let ltv = 0.35 + 0.27 * number as f64 / POSITIONS as f64;
        let debt = (deposit as f64 * price * ltv * 1e6) as u64;
        let (deposits, borrows) = ([(sol, deposit * 1_000_000_000)], [(usdc, debt)]);
        world.open_position(&borrower, &Position::new(&deposits, &borrows)).unwrap();
    }
    let mut snapshot = world.snapshot();
    let pools = world.svm().get_program_accounts(&stand_in::PROGRAM_ID);
    snapshot.accounts.extend(pools);
    snapshot.write(path).unwrap();
    world
}

/// What a short run over the market was told: scan, machine, and what it asked for.
struct Read {
    header: Header,
    scan: Told,
    machine: Told,
    chain: Told,
    asked: BTreeMap<Address, Option<Account>>,
}

fn read(path: &Path) -> Read {
    let mut recording = Recording::open(path).unwrap();
    let told: Vec<Told> = recording.by_ref().flat_map(|turn| turn.unwrap().told).collect();
    assert_eq!(recording.ended, Some(End::Stopped));
    // The last, which knows the most.
    let last = |wanted: fn(&Told) -> bool| told.iter().rfind(|told| wanted(told)).unwrap().clone();
    let looks = told.iter().filter_map(|told| match told {
        Told::Look(_, Ok(look)) => Some(look.accounts.clone()),
        _ => None,
    });
    Read {
        header: recording.header,
        scan: last(|told| matches!(told, Told::Scan(_, Ok(_)))),
        machine: last(|told| matches!(told, Told::Machine(Ok(_)))),
        chain: last(|told| matches!(told, Told::Chain(..))),
        asked: looks.flatten().collect(),
    }
}

/// A day of a feed: the clock and every price twice a minute, each on a walk of its own,
/// everything else by the hour.
fn day(path: &Path, mut world: World, known: Read) {
    let header = Header { subscribes: true, ..known.header };
    let mut writer = Writer::create(path, &header, u64::MAX).unwrap();
    let reserves: Vec<(Address, Address)> = [sol(), world.reserve_named("USDC").unwrap()]
        .into_iter()
        .map(|key| (key, world.reserve_addresses(&key).unwrap().oracles.scope.unwrap()))
        .collect();
    let mut everything = known.asked;
    for (key, account) in world.snapshot().accounts {
        everything.insert(key, Some(account));
    }
    let (mut dice, mut slot) = (Dice(19), world.slot());
    let mut seconds = 0;
    let tell = |writer: &mut Writer, seconds: u64, told: Vec<Told>| {
        let since = Duration::from_secs(seconds);
        let unix_ms = header.began_ms + since.as_millis() as i64;
        let at = Moment { since, unix_ms };
        writer.turn(&Turn { begun: at, heard: at, told });
        writer.frame().unwrap();
    };
    tell(&mut writer, 0, vec![Told::Keys(Ok(vec![sysvar::clock::ID, reserves[0].1]))]);
    tell(&mut writer, 1, vec![Told::Fed(By::Markets, Update::Connected)]);
    for step in 0..=STEPS {
        if step % 120 == 0 {
            // Programs, and what was not there, stay as they were.
            let account = |(key, known): (&Address, &Option<Account>)| match known {
                Some(account) if !account.executable => (*key, world.account(key)),
                known => (*key, known.clone()),
            };
            let accounts: Vec<_> = everything.iter().map(account).collect();
            // What is not there is looked at twice.
            let absent = accounts.iter().filter(|(_, account)| account.is_none()).cloned();
            let absent = Look { slot, accounts: absent.collect() };
            let look = Look { slot, accounts };
            tell(&mut writer, seconds + 2, vec![known.scan.clone(), known.chain.clone()]);
            tell(
                &mut writer,
                seconds + 4,
                vec![Told::Look(Why::Needed, Ok(look)), known.machine.clone()],
            );
            let confirmed = Told::Look(Why::Confirm, Ok(absent));
            let connected = Told::Fed(By::Pools, Update::Connected);
            tell(&mut writer, seconds + 6, vec![confirmed, connected]);
        }
        seconds += STEP;
        world.warp(75, STEP);
        world.restamp_prices().unwrap();
        for (reserve, _) in &reserves {
            // Half a per cent at most; SOL drifts down, then up.
            let drift = if step < STEPS / 2 { 9_995 } else { 10_005 };
            let scale =
                if *reserve == sol() { drift - 40 + dice.roll(81) } else { 9_999 + dice.roll(3) };
            let price = world.price(reserve).unwrap().scaled(scale, 10_000).unwrap();
            world.set_price(reserve, price).unwrap();
        }
        slot = world.slot();
        let account = |key: &Address| world.account(key).unwrap();
        let mut told: Vec<(Address, Account)> =
            reserves.iter().map(|(_, oracle)| (*oracle, account(oracle))).collect();
        told.push((sysvar::clock::ID, account(&sysvar::clock::ID)));
        let version = Version { slot, write: step };
        let updates = told.into_iter().map(|(key, account)| {
            Told::Fed(By::Markets, Update::Account { key, version, account })
        });
        tell(&mut writer, seconds, updates.collect());
    }
    tell(&mut writer, seconds, vec![Told::Stopping]);
    writer.end(End::Stopped).unwrap();
}

#[test]
fn a_day_of_updates_replayed_twice_writes_one_ledger() {
    let files = Files::new();
    let fork = files.path("fork");
    let world = market(&fork);
    // Quotes are looked at every two hours.
    let config = files.write(
        "keeper.toml",
        "cooldown_seconds = 7200\nrescan_seconds = 3600\nnear_health = 9\npoll_ms = 50\n",
    );
    let short = files.at("short");
    let args = ["--fork", fork.to_str().unwrap(), "watch", "--config", &config, "--passes", "8"];
    let output = keeper(&[&args[..], &["--record", &short]].concat());
    assert!(output.status.success(), "{}", text(&output));
    day(&files.path("day"), world, read(short.as_ref()));

    let [first, second] = ["a.db", "b.db"].map(|ledger| files.replay("day", &config, ledger));
    let (hours, day) = (first["recording"]["seconds"].as_f64().unwrap() / 3_600.0, 24.0);
    assert!((day..day + 0.1).contains(&hours), "{first}");
    assert_eq!(first["updates"], 3 * (STEPS + 1) + 26, "{first}");
    let attempts = first["all"]["attempts"].as_u64().unwrap();
    let simulated = first["all"]["simulated"].as_u64().unwrap();
    assert!(attempts >= POSITIONS && simulated >= POSITIONS / 2, "{first:#}");
    assert_eq!(first["ledgerDigest"], second["ledgerDigest"], "{first:#} {second:#}");
    assert_eq!(files.rows("a.db"), files.rows("b.db"));
    assert_eq!(files.rows("a.db").lines().count() as u64, attempts + 1);
    // Minutes are promised; a loaded machine needs seconds.
    assert!(first["seconds"].as_f64().unwrap() < 120.0, "{first}");
    eprintln!("{hours} h in {} s, {attempts} attempts", first["seconds"]);

    // Cut off by a crash: what is whole of it, and that it is said.
    let whole = std::fs::read(files.path("day")).unwrap();
    eprintln!("{} bytes", whole.len());
    std::fs::write(files.path("torn"), &whole[..whole.len() * 2 / 3]).unwrap();
    let torn = files.at("torn");
    let output = keeper(&["replay", &torn, "--config", &config]);
    assert!(output.status.success() && text(&output).contains("was cut off"), "{}", text(&output));
    // Changed in the middle: nothing of it is worth anything.
    let mut bent = whole;
    let middle = bent.len() / 2;
    bent[middle] ^= 1;
    std::fs::write(files.path("bent"), bent).unwrap();
    let said = refused(&["replay", &files.at("bent"), "--config", &config], 1);
    assert!(said.contains("checksum") || said.contains("cut off"), "{said}");
}
