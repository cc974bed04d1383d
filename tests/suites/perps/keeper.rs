//! `keeper perp` as a user runs it: on a folder, and on a node that executes what is sent.

use std::process::ExitCode;

use clap::Parser;
use drift_stand_in::state::BookSide;
use klend_flash_keeper::{cli::Cli, run};

use super::*;
use crate::node::{Fate, Node, Options};

const DONE: u8 = 0;
const FAILED: u8 = 1;
const NOTHING_TO_DO: u8 = 3;

/// A folder of all that a scene has, and the file of its keeper's key.
struct Files {
    folder: tempfile::TempDir,
    key: String,
}

impl Files {
    fn of(scene: &mut Scene) -> Self {
        let mut snapshot = scene.world.snapshot();
        let program = scene.exchange.program_id();
        snapshot.accounts.extend(scene.world.svm().get_program_accounts(&program));
        for key in scene.markets().oracles().into_keys().chain([scene.keeper.pubkey()]) {
            snapshot.accounts.insert(key, scene.world.account(&key).unwrap());
        }
        snapshot.programs.insert(program, scene::program_of(scene.exchange));
        let folder = tempfile::tempdir().unwrap();
        snapshot.write(&folder.path().join("fork")).unwrap();
        let key = folder.path().join("id.json");
        let bytes = scene.keeper.to_bytes().to_vec();
        std::fs::write(&key, serde_json::to_string(&bytes).unwrap()).unwrap();
        Self { key: key.to_str().unwrap().to_owned(), folder }
    }

    fn fork(&self) -> String {
        self.folder.path().join("fork").to_str().unwrap().to_owned()
    }

    /// A node that serves the folder, and a lookup table there.
    fn node(&self) -> (Node, String) {
        let options = Options {
            fate: Fate::Executed { after_polls: 0 },
            genesis: "elsewhere",
            ..Options::default()
        };
        let fork = self.folder.path().join("fork");
        let node = Node::with(&fork, options);
        let keys: Vec<Address> =
            klend_fork::Snapshot::read(&fork).unwrap().accounts.into_keys().collect();
        let table = node.world().create_lookup_table(&keys).unwrap().key.to_string();
        (node, table)
    }
}

fn keeper(args: &[&str]) -> ExitCode {
    run(&Cli::try_parse_from([&["keeper"], args].concat()).unwrap())
}

fn assert_ends(args: &[&str], code: u8) {
    assert_eq!(keeper(args), ExitCode::from(code), "{args:?}");
}

#[test]
fn a_folder_is_simulated() {
    for mut scene in
        Exchange::ALL.into_iter().flat_map(|exchange| [long(exchange), short(exchange)])
    {
        let files = Files::of(&mut scene);
        let (fork, victim) = (files.fork(), scene.victim.address().to_string());
        // Velocity is not quoted: a loan has to be named.
        let loan = LOAN.to_string();
        let perp = ["--fork", &fork, "perp", &victim, "--loan", &loan];
        // Without a key somebody stands in, whose account is opened in the transaction.
        assert_ends(&perp, DONE);
        assert_ends(&[&perp[..], &["--json", "--keypair", &files.key]].concat(), DONE);
        assert_ends(&[&perp[..], &["--min-profit", "10000000000"]].concat(), FAILED);
        let quoted = if scene.exchange == Exchange::Drift { DONE } else { FAILED };
        assert_ends(&perp[..4], quoted);

        // A key whose account there is not empty.
        scene.world.give(&scene.keeper.pubkey(), &scene.reserve.liquidity_mint, 7).unwrap();
        let deposit =
            perps::deposit(scene.account, &scene.markets(), USDC_MARKET, &scene.usdc, 7).unwrap();
        scene.world.send(&[deposit], &[&scene.keeper]).unwrap();
        let files = Files::of(&mut scene);
        let fork = files.fork();
        let perp = ["--fork", &fork, "perp", &victim, "--loan", &loan, "--keypair", &files.key];
        assert_ends(&perp, FAILED);
        assert_ends(&[&perp[..], &["--sub-account", "1"]].concat(), DONE);
    }
}

#[test]
fn whoever_is_healthy_is_left_alone() {
    let mut scene = Scene::new(Exchange::Drift, 20_000 * USD, 0, 1_000 * SOL, -150_000 * USD);
    let files = Files::of(&mut scene);
    let (fork, victim) = (files.fork(), scene.victim.address().to_string());
    assert_ends(&["--fork", &fork, "perp", &victim], NOTHING_TO_DO);
    assert_ends(&["--fork", &fork, "--json", "perp", &victim], NOTHING_TO_DO);
    // No perp account; one without a position there.
    let state = scene.exchange.state().to_string();
    assert_ends(&["--fork", &fork, "perp", &state], FAILED);
    assert_ends(&["--fork", &fork, "perp", &victim, "--perp-market", "7"], FAILED);
}

#[test]
fn a_node_executes_what_was_simulated() {
    for exchange in Exchange::ALL {
        let mut scene = long(exchange);
        let before = scene.user().perp(SOL_PERP).unwrap().base;
        let files = Files::of(&mut scene);
        let (node, table) = files.node();
        let (victim, loan) = (scene.victim.address().to_string(), LOAN.to_string());
        let perp = [
            "--rpc",
            node.url(),
            "perp",
            &victim,
            "--loan",
            &loan,
            "--keypair",
            &files.key,
            "--table",
            &table,
        ];
        assert_ends(&[&perp[..], &["--dry-run"]].concat(), DONE);
        assert_eq!(node.sent(), 0);
        assert_ends(&perp, DONE);
        assert_eq!(node.signatures(), 1);
        assert!(node.world().balance(&scene.usdc).unwrap() > 500 * USD as u64);
        let account = node.world().account(&scene.victim.address()).unwrap();
        let user = perps::User::read(&scene.victim.address(), &account.owner, &account.data);
        assert!(user.unwrap().perp(SOL_PERP).unwrap().base < before);
    }
}

/// Who stands in the way is named on the command line: a referrer, makers, and losers
/// that fill an empty pool.
#[test]
fn refusals_are_answered_with_names() {
    let run = |scene: &mut Scene, option: &str, named: Address| {
        let files = Files::of(scene);
        let (node, table) = files.node();
        let victim = scene.victim.address().to_string();
        let rpc = ["--rpc", node.url(), "perp", &victim, "--keypair", &files.key];
        let perp = [&rpc[..], &["--table", &table]].concat();
        assert_ends(&perp, FAILED);
        assert_eq!(node.sent(), 0);
        assert_ends(&[&perp[..], &[option, &named.to_string()]].concat(), DONE);
        assert!(node.world().balance(&scene.usdc).unwrap() > 500 * USD as u64);
    };

    let mut scene = long(Exchange::Drift);
    let (stats, referrer) = (scene.account.stats(), scene.victim);
    scene.edit::<UserStats>(&stats, |stats| stats.referrer = referrer.authority);
    run(&mut scene, "--maker", referrer.address());

    let mut scene = long(Exchange::Drift);
    let maker = scene.open_maker(BookSide::Bid, PRICE - USD / 10, 1_000 * SOL);
    scene.world.warp_slots(3);
    run(&mut scene, "--maker", maker.user);

    let mut scene = long(Exchange::Drift);
    refusals::set_pool(&mut scene, 0);
    let victim = scene.victim.address();
    run(&mut scene, "--settle-first", victim);

    // An isolated position is quoted and taken over like any other.
    let mut scene = long(Exchange::Drift);
    scene.isolate();
    let files = Files::of(&mut scene);
    let (fork, victim) = (files.fork(), victim.to_string());
    assert_ends(&["--fork", &fork, "perp", &victim, "--min-profit", "500000000"], DONE);
}

/// What a pool cannot pay stays on the exchange, if the keeper allows it.
#[test]
fn a_leftover_has_to_be_allowed() {
    let mut scene = long(Exchange::Drift);
    refusals::set_pool(&mut scene, 90 * USD);
    let files = Files::of(&mut scene);
    let (node, table) = files.node();
    let victim = scene.victim.address().to_string();
    let perp = ["--rpc", node.url(), "perp", &victim, "--keypair", &files.key, "--table", &table];
    assert_ends(&perp, FAILED);
    assert_eq!(node.sent(), 0);
    assert_ends(&[&perp[..], &["--allow-leftover"]].concat(), DONE);
    let key = scene.account.address();
    let account = node.world().account(&key).unwrap();
    let left = perps::User::read(&key, &account.owner, &account.data).unwrap();
    assert!(left.perp(SOL_PERP).unwrap().quote > 0, "{left:?}");
}
