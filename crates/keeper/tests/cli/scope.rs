//! Prices written first: on a folder, and told by a node's websocket. Scope is its stand-in, or
//! the program that `SCOPE_ELF` names.

use std::{env, fs, path::PathBuf};

use flash_liquidator_client::lookup_table;
use klend_fork::{
    Snapshot, World, deploy_folder,
    scope::{Mapped, averages, mappings, whirlpool},
};
use klend_model::constants::SCOPE_PROGRAM_ID;
use serde_json::{Value, json};
use solana_account::Account;
use solana_address::Address;

use crate::{
    SOL_RESERVE, folder, json_of, keeper,
    node::{Fate, Options},
    obligations, refused,
    replay::Files,
    sending::Stage,
    text,
    watch::{Watch, messages, passes, trusted},
};

/// Entry that the built-in fork's SOL is priced by.
const SOL: u16 = 0;
/// Scope's numbers of types.
const WHIRLPOOL_A_TO_B: u8 = 13;
const CHAINLINK: u8 = 26;

fn mapped_account() -> Address {
    Address::new_from_array([77; 32])
}

fn pool() -> Address {
    Address::new_from_array([79; 32])
}

/// A Whirlpool at this price of SOL, in USDC.
fn at_price(world: &World, price: f64) -> Account {
    let mint = |name| {
        let reserve = world.reserve_named(name).unwrap();
        world.reserve_addresses(&reserve).unwrap().liquidity_mint
    };
    whirlpool([&mint("SOL"), &mint("USDC")], price / 1e3)
}

/// The fork with SOL at one and a half times its price, at which nothing can be
/// liquidated, written from a Whirlpool by an entry of this type that stands at its old
/// price less `below` per cent.
struct Fork {
    _parent: tempfile::TempDir,
    path: PathBuf,
    /// The old price.
    price: f64,
}

impl Fork {
    fn new(kind: u8, pool_per_cent: f64) -> Self {
        let named = env::var_os("SCOPE_ELF").filter(|path| !path.is_empty());
        let elf = named.map_or_else(|| deploy_folder().join("scope_stand_in.so"), PathBuf::from);
        let elf = fs::read(&elf).unwrap_or_else(|error| panic!("{}: {error}", elf.display()));

        let mut snapshot = Snapshot::read(folder()).unwrap();
        let mut world = World::from_folder(folder()).unwrap();
        let sol: Address = SOL_RESERVE.parse().unwrap();
        let price = world.price(&sol).unwrap();
        world.set_price(&sol, price.scaled(150, 100).unwrap()).unwrap();
        let table = world.reserve_addresses(&sol).unwrap().oracles.scope.unwrap();
        let mut prices = world.account(&table).unwrap();
        prices.data[8..40].copy_from_slice(mapped_account().as_ref());
        let entry = Mapped { index: SOL, account: pool(), kind, figures: &[] };
        let price = price.to_f64();
        snapshot.accounts.extend([
            (table, prices),
            (mapped_account(), mappings(&[entry])),
            (Address::new_from_array([78; 32]), averages(&table, &mapped_account())),
            (pool(), at_price(&world, price * pool_per_cent / 100.0)),
        ]);
        snapshot.programs.insert(SCOPE_PROGRAM_ID, elf);
        let parent = tempfile::tempdir().unwrap();
        let path = parent.path().join("fork");
        snapshot.write(&path).unwrap();
        Self { _parent: parent, path, price }
    }

    fn arg(&self) -> &str {
        self.path.to_str().unwrap()
    }
}

#[test]
fn a_liquidation_by_hand_is_quoted_at_the_price_it_writes() {
    let (at_risk, _) = obligations();
    let fork = Fork::new(WHIRLPOOL_A_TO_B, 100.0);
    let args = ["--fork", fork.arg(), "liquidate", &at_risk];
    let said = refused(&args, 3);
    assert!(said.contains("6016") || said.contains("healthy"), "{said}");

    let report = json_of(&[&args[..], &["--refresh-prices"]].concat());
    assert_eq!(report["priceRefresh"]["entries"], json!([SOL]), "{report}");
    let simulation = &report["simulation"];
    assert_eq!(simulation["outcome"], "succeeded", "{report}");
    let instructions = simulation["instructions"].as_array().unwrap();
    let programs: Vec<&Value> = instructions.iter().map(|ix| &ix["program"]).collect();
    let first = programs
        .iter()
        .position(|program| **program != json!(solana_sdk_ids::compute_budget::ID.to_string()));
    assert_eq!(programs[first.unwrap()], &json!(SCOPE_PROGRAM_ID.to_string()), "{report}");
    // The quote is of the price that is written: no figure differs from the execution.
    let differences = simulation["difference"].as_object().unwrap();
    assert!(differences.values().all(|difference| difference == "0"), "{report}");

    // Where nothing has to be written, nothing is.
    let plain =
        json_of(&["--fork", folder().to_str().unwrap(), "liquidate", &at_risk, "--refresh-prices"]);
    assert_eq!(plain["priceRefresh"], Value::Null, "{plain}");
    let units = |report: &Value| report["simulation"]["computeUnits"].as_u64().unwrap();
    assert!(units(&report) > units(&plain), "the refresh costs something");
}

#[test]
fn what_only_a_signed_report_writes_is_named() {
    let (at_risk, _) = obligations();
    let fork = Fork::new(CHAINLINK, 100.0);
    let args = ["--fork", fork.arg(), "liquidate", &at_risk, "--refresh-prices"];
    let said = refused(&args, 3);
    assert!(said.contains("Chainlink (26)") && said.contains("signed report"), "{said}");
    let config = "refresh_prices = true\npoll_ms = 50";
    let (_, lines) = passes(config, &["--fork", fork.arg()], 40);
    let named = lines.iter().filter(|line| {
        line["fields"]["message"] == "a price that is not written here"
            && line["fields"]["reason"].as_str().is_some_and(|why| why.contains("Chainlink (26)"))
    });
    assert_eq!(named.count(), 1, "once: {lines:#?}");
    assert_eq!(messages(&lines, "liquidated"), 0);
}

#[test]
fn a_watch_liquidates_at_prices_about_to_be_written() {
    let (at_risk, _) = obligations();
    let fork = Fork::new(WHIRLPOOL_A_TO_B, 100.0);
    let config = "poll_ms = 50\ncooldown_seconds = 600";
    let (_, lines) = passes(config, &["--fork", fork.arg()], 20);
    assert_eq!(messages(&lines, "liquidated"), 0, "not unless it is asked for: {lines:#?}");

    let config = format!("{config}\nrefresh_prices = true");
    let (code, lines) = passes(&config, &["--fork", fork.arg()], 60);
    assert_eq!(code, 0);
    let line = |message: &str| {
        let line = lines.iter().find(|line| line["fields"]["message"] == message);
        line.unwrap_or_else(|| panic!("{message}: {lines:#?}"))["fields"].clone()
    };
    assert_eq!(line("liquidated")["obligation"], json!(at_risk));
    assert_eq!(line("prices are written first")["entries"], json!("[0]"));
}

/// What the machine says would be written is the same when it is asked again.
#[test]
fn a_watch_that_writes_prices_first_is_replayed_to_the_same_ledger() {
    let fork = Fork::new(WHIRLPOOL_A_TO_B, 100.0);
    let files = Files::new();
    let config = format!(
        "ledger = {:?}\npoll_ms = 50\ncooldown_seconds = 600\nrefresh_prices = true\n",
        files.at("live.db")
    );
    let config = files.write("keeper.toml", &config);
    let recording = files.at("recording");
    let source = ["--fork", fork.arg(), "watch", "--config", &config, "--passes", "60"];
    let output = keeper(&[&source[..], &["--record", &recording]].concat());
    assert!(output.status.success(), "{}", text(&output));

    let first = files.replay("recording", &config, "first.db");
    let second = files.replay("recording", &config, "second.db");
    assert_eq!((&first["unmet"], &first["others"]), (&json!(0), &json!(0)), "{first}");
    assert_eq!(first["ledgerDigest"], second["ledgerDigest"]);
    let rows = files.rows("first.db");
    assert_eq!(rows.matches(",simulated,").count(), 1, "{rows}");
    assert_eq!(rows, files.rows("live.db"));
    // Without it nothing would have been possible.
    let without = files.write("without.toml", "poll_ms = 50\ncooldown_seconds = 600\n");
    let without = files.replay("recording", &without, "without.db");
    assert_eq!((&without["all"]["simulated"], &without["unmet"]), (&json!(0), &json!(1)));
}

#[test]
fn setup_puts_what_a_refresh_names_into_the_tables() {
    let fork = Fork::new(WHIRLPOOL_A_TO_B, 100.0);
    let fate = Fate::Executed { after_polls: 0 };
    let stage = Stage::of(&fork.path, Options { fate, ..Options::default() });
    let (url, keypair) = (stage.node.url(), &*stage.keypair);
    let setup = ["--rpc", url, "setup", "--keypair", keypair, "--reserve", SOL_RESERVE];
    let addresses = |args: &[&str]| json_of(args)["tableAddresses"].as_u64().unwrap();
    let with = [&setup[..], &["--refresh-prices"]].concat();
    let more = addresses(&with) - addresses(&setup);
    assert!(more >= 3, "{more}");
    let done = json_of(&[&with[..], &["--yes"]].concat());
    let table: Address = done["tables"][0].as_str().unwrap().parse().unwrap();
    let account = stage.node.world().account(&table).unwrap();
    let table = lookup_table::read(&table, &account.owner, &account.data).unwrap();
    for named in [mapped_account(), Address::new_from_array([78; 32]), pool()] {
        assert!(table.addresses.contains(&named), "{named}: {:?}", table.addresses);
    }
    // Nothing of it is missing any more.
    assert_eq!(addresses(&with), 0);
}

#[test]
fn a_pool_that_moves_makes_a_candidate_before_any_price_is_written() {
    let (at_risk, _) = obligations();
    let fork = Fork::new(WHIRLPOOL_A_TO_B, 150.0);
    let stage = Stage::of(
        &fork.path,
        Options { fate: Fate::Executed { after_polls: 0 }, ..Options::default() },
    );
    let node = &stage.node;
    let config = format!(
        "{}keypair = {:?}\ntables = [{:?}]\nwebsocket_url = {:?}\ncooldown_seconds = 600\n\
         refresh_prices = true",
        trusted(),
        stage.keypair,
        stage.table,
        node.websocket()
    );
    let mut watch = Watch::start(&config, &["--rpc", node.url()]);
    watch.wait_for("ready");
    if watch.count("updates of pools flow") == 0 {
        watch.wait_for("updates of pools flow");
    }
    assert_eq!(node.sent(), 0);

    // Nothing of klend's or Scope's changes; somebody sells SOL.
    let account = at_price(&node.world(), fork.price);
    node.world().set_account(&pool(), account).unwrap();
    node.tell(&pool());
    let line = watch.wait_for("liquidated");
    assert_eq!(line["obligation"], json!(at_risk));
    let shown = node.shown(line["signature"].as_str().unwrap());
    let logs = shown["meta"]["logMessages"].as_array().unwrap();
    let of_scope = json!(format!("Program {SCOPE_PROGRAM_ID} success"));
    assert!(logs.contains(&of_scope), "{logs:#?}");
    let lines = watch.stop();
    assert_eq!((messages(&lines, "failed"), node.signatures()), (0, 1), "{lines:#?}");
    // The price is the pool's now.
    let now = node.world().price(&SOL_RESERVE.parse().unwrap()).unwrap().to_f64();
    assert!((now - fork.price).abs() < fork.price / 1e6, "{now} {}", fork.price);
}
