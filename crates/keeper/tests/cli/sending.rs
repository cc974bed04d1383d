//! Keys, sending, confirming, setting up.

use std::{
    path::Path,
    sync::{
        OnceLock,
        atomic::{AtomicBool, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

use fault_proxy::proxy::{Fault, Proxy};
use flash_liquidator_client::{
    receiver::swap_authority,
    token::{TOKEN_PROGRAM_ID, associated_token_account},
};
use serde_json::{Value, json};
use solana_address::Address;
use solana_keypair::Keypair;
use solana_signer::Signer;

use crate::{
    MARKET, SOL_RESERVE, folder, folder_arg, json_of, keeper,
    node::{Fate, Node, Options},
    obligations, refused, text,
};

pub const TIP_ACCOUNT: &str = "Cdah2U5ak3JjX9UjTPhRZEuMtkDdWbwympS5HqZ7uXkV";

/// The key that signs in these tests: nobody's.
pub fn key() -> Keypair {
    Keypair::new_from_array([1; 32])
}

/// Its file.
pub fn keypair_file(folder: &Path) -> String {
    let path = folder.join("id.json");
    let bytes = key().to_bytes().to_vec();
    std::fs::write(&path, serde_json::to_string(&bytes).unwrap()).unwrap();
    path.to_str().unwrap().to_owned()
}

/// Hash and authority of the fork's program.
fn program() -> &'static [String; 2] {
    static PROGRAM: OnceLock<[String; 2]> = OnceLock::new();
    PROGRAM.get_or_init(|| {
        let program = json_of(&["--fork", folder_arg(), "program"]);
        ["hash", "authority"].map(|what| program[what].as_str().unwrap().to_owned())
    })
}

/// A node that knows the key, the key's file, and a lookup table of all accounts
/// of the fork.
pub struct Stage {
    pub node: Node,
    pub keypair: String,
    pub table: String,
    /// Of the program.
    pub hash: String,
    pub authority: String,
    _folder: tempfile::TempDir,
}

impl Stage {
    pub fn new(fate: Fate) -> Self {
        Self::with(Options { fate, ..Options::default() })
    }

    /// The same with more settings of the node.
    pub fn with(options: Options) -> Self {
        Self::of(folder(), options)
    }

    /// The same on another folder.
    pub fn of(folder: &Path, options: Options) -> Self {
        let folder_of_key = tempfile::tempdir().unwrap();
        let keypair = keypair_file(folder_of_key.path());
        let node = Node::with(folder, options);
        node.fund(&key().pubkey());
        let addresses: Vec<Address> = folder
            .join("accounts")
            .read_dir()
            .unwrap()
            .map(|file| {
                file.unwrap().path().file_stem().unwrap().to_str().unwrap().parse().unwrap()
            })
            .collect();
        let table = node.world().create_lookup_table(&addresses).unwrap().key.to_string();
        let [hash, authority] = program().clone();
        Self { node, keypair, table, hash, authority, _folder: folder_of_key }
    }

    /// Arguments of `liquidate` through `url`.
    pub fn liquidate<'a>(&'a self, url: &'a str, obligation: &'a str) -> Vec<&'a str> {
        let (key, table) = (&self.keypair, &self.table);
        let program = ["--program-hash", &self.hash, "--program-authority", &self.authority];
        let liquidate = ["--rpc", url, "liquidate", obligation, "--keypair", key, "--table", table];
        [&liquidate[..], &program].concat()
    }
}

#[test]
fn nothing_is_sent_on_mainnet_unasked() {
    let (at_risk, _) = obligations();
    let stage = Stage::new(Fate::Executed { after_polls: 0 });
    let said = refused(&stage.liquidate(stage.node.url(), &at_risk), 1);
    assert!(said.contains("--yes"), "{said}");

    let config = format!("send = true\nkeypair = {:?}", stage.keypair);
    let (code, _) = crate::watch::passes(&config, &["--rpc", stage.node.url()], 1);
    assert_eq!(code, 1);

    let costs = json_of(&["--rpc", stage.node.url(), "setup", "--keypair", &stage.keypair]);
    assert_eq!(costs["done"], false);
    assert!(costs["tokenAccountRent"].as_u64().unwrap() > 0);
    assert_eq!(stage.node.sent(), 0);
}

#[test]
fn another_cluster_needs_no_consent() {
    let (at_risk, _) = obligations();
    let folder_of_key = tempfile::tempdir().unwrap();
    let keypair = keypair_file(folder_of_key.path());
    let node = Node::with(folder(), Options { genesis: "elsewhere", ..Options::default() });
    node.fund(&key().pubkey());
    // Without a table it does not fit, and nothing is sent.
    let said = refused(&["--rpc", node.url(), "liquidate", &at_risk, "--keypair", &keypair], 1);
    assert!(said.contains("1232") || said.contains("1,232"), "{said}");
    assert_eq!(node.sent(), 0);
}

#[test]
fn a_dry_run_shows_both_simulations_against_the_quote() {
    let (at_risk, _) = obligations();
    let stage = Stage::new(Fate::Executed { after_polls: 0 });
    let args = [&stage.liquidate(stage.node.url(), &at_risk)[..], &["--dry-run"]].concat();
    let report = json_of(&args);
    for simulation in ["simulation", "nodeSimulation"] {
        assert_eq!(report[simulation]["outcome"], "succeeded", "{report}");
        let differences = report[simulation]["difference"].as_object().unwrap();
        assert_eq!(differences.len(), 6);
        assert!(differences.values().all(|difference| difference == "0"), "{report}");
    }
    assert_eq!(stage.node.signatures(), 0);
    let shown = text(&keeper(&args));
    assert!(shown.contains("simulated here") && shown.contains("on the node"), "{shown}");

    // The node sees something else: a later price.
    let sol: Address = SOL_RESERVE.parse().unwrap();
    stage.node.scale_price(&sol, 150);
    refused(&args, 3);
}

#[test]
fn a_liquidation_is_sent_until_it_lands_and_only_once() {
    let (at_risk, _) = obligations();
    // It takes its time: the same transaction is sent again, and no other.
    let stage = Stage::new(Fate::Executed { after_polls: 6 });
    let url = stage.node.url();
    // Whose program it signs for has to be said, and to be so.
    let (file, table) = (&*stage.keypair, &*stage.table);
    let unsaid =
        ["--rpc", url, "liquidate", &at_risk, "--keypair", file, "--table", table, "--yes"];
    let said = refused(&unsaid, 1);
    assert!(said.contains("command line has to say") && said.contains(&stage.hash), "{said}");
    let (zeros, authority) = ("00".repeat(32), ["--program-authority", &stage.authority]);
    let wrong = [&unsaid[..], &["--program-hash", &zeros], &authority].concat();
    assert!(refused(&wrong, 1).contains(&format!("program_hash says {zeros}")));
    let other = ["--program-hash", &stage.hash, "--program-authority", MARKET];
    let said = refused(&[&unsaid[..], &other].concat(), 1);
    assert!(said.contains(&format!("program_authority says {MARKET}")), "{said}");
    assert_eq!(stage.node.sent(), 0);
    let report = json_of(&[&stage.liquidate(url, &at_risk)[..], &["--yes"]].concat());
    assert_eq!(report["transaction"]["outcome"], "succeeded", "{report}");
    let event = &report["transaction"]["events"][0];
    assert_eq!(event["obligation"], json!(at_risk));
    assert_eq!(event["debtRepaid"], report["quote"]["repay"]);
    assert!(stage.node.sent() >= 2, "sent {} times", stage.node.sent());
    assert_eq!(stage.node.signatures(), 1);
    // It really happened.
    let profit: u64 = event["profit"].as_str().unwrap().parse().unwrap();
    let mint: Address = event["debtMint"].as_str().unwrap().parse().unwrap();
    assert_eq!(stage.node.world().balance_of(&key().pubkey(), &mint).unwrap(), profit);

    // What was sent can be explained.
    let signature = report["transaction"]["signature"].as_str().unwrap();
    let explained = json_of(&["--rpc", url, "explain", signature]);
    assert_eq!(explained["events"], report["transaction"]["events"]);
    assert!(text(&keeper(&["--rpc", url, "explain", signature])).contains("It succeeded."));
    refused(&["--rpc", url, "explain", MARKET], 1);
}

#[test]
fn somebody_elses_luck_is_no_error() {
    let (at_risk, _) = obligations();
    let stage = Stage::new(Fate::Fails(6016));
    let output = keeper(&[&stage.liquidate(stage.node.url(), &at_risk)[..], &["--yes"]].concat());
    assert_eq!(output.status.code(), Some(3), "{}", text(&output));
}

#[test]
fn what_never_lands_expires() {
    let (at_risk, _) = obligations();
    let stage = Stage::new(Fate::Vanishes);
    let more = ["--yes", "--deadline-slots", "5"];
    let args = [&stage.liquidate(stage.node.url(), &at_risk)[..], &more].concat();
    let said = refused(&args, 1);
    assert!(said.contains("expired without landing"), "{said}");
    assert_eq!(stage.node.signatures(), 1);
}

#[test]
fn a_lost_answer_never_makes_a_second_transaction() {
    let (at_risk, _) = obligations();
    let stage = Stage::new(Fate::Executed { after_polls: 1 });
    let faults = [
        // Of a simulation that shows what was, twice.
        ("simulateTransaction", Fault::StaleSlot),
        ("simulateTransaction", Fault::StaleSlot),
        ("sendTransaction", Fault::LostAnswer),
        ("getSignatureStatuses", Fault::DroppedConnection),
        ("getSignatureStatuses", Fault::InternalError),
        ("getEpochInfo", Fault::TruncatedJson),
        ("getTransaction", Fault::DroppedConnection),
    ];
    let proxy = Proxy::to(stage.node.url(), &faults);
    let report = json_of(&[&stage.liquidate(proxy.url(), &at_risk)[..], &["--yes"]].concat());
    assert_eq!(report["transaction"]["outcome"], "succeeded", "{report}");
    assert_eq!((stage.node.signatures(), proxy.faults_left()), (1, 0));
}

#[test]
fn a_bundle_goes_to_the_block_engine_and_not_to_the_node() {
    let (at_risk, _) = obligations();
    let stage = Stage::new(Fate::Executed { after_polls: 1 });
    let url = stage.node.url();
    let bundle = ["--yes", "--block-engine", url];
    let args = [&stage.liquidate(url, &at_risk)[..], &bundle].concat();
    let said = refused(&args, 1);
    assert!(said.contains("--tip"), "{said}");
    let tip = ["--tip", "5000", "--tip-account", TIP_ACCOUNT];
    let tip_account: Address = TIP_ACCOUNT.parse().unwrap();
    stage.node.fund(&tip_account);
    let before = stage.node.world().account(&tip_account).unwrap().lamports;
    let report = json_of(&[&args[..], &tip].concat());
    assert_eq!(report["transaction"]["outcome"], "succeeded", "{report}");
    assert!(stage.node.bundles() >= 1);
    assert_eq!((stage.node.sent(), stage.node.signatures()), (0, 1));
    let after = stage.node.world().account(&tip_account).unwrap().lamports;
    assert_eq!(after - before, 5_000);
}

#[test]
fn setup_creates_accounts_and_a_table_and_undoes_them() {
    let stage = Stage::new(Fate::Executed { after_polls: 0 });
    let (url, keypair) = (stage.node.url(), &*stage.keypair);
    let setup = ["--rpc", url, "setup", "--keypair", keypair, "--reserve", SOL_RESERVE];
    let costs = json_of(&setup);
    // Token, cToken and the swap authority's token.
    assert_eq!((&costs["tokenAccounts"], &costs["done"]), (&json!(3), &json!(false)));
    assert_eq!(costs["tokenAccountRent"], 3 * 2_039_280);
    assert_eq!(stage.node.sent(), 0);

    let before = stage.node.world().account(&key().pubkey()).unwrap().lamports;
    let done = json_of(&[&setup[..], &["--yes"]].concat());
    assert_eq!(done["done"], true);
    // Before that, leaders drop what uses the table.
    assert_eq!((&done["finalized"], stage.node.told_finality()), (&json!(true), true));
    let table = done["tables"][0].as_str().unwrap().to_owned();
    let spent = before - stage.node.world().account(&key().pubkey()).unwrap().lamports;
    let rent = costs["tokenAccountRent"].as_u64().unwrap() + costs["tableRent"].as_u64().unwrap();
    let fees = spent - rent;
    assert!(fees <= 5_000 * stage.node.signatures() as u64, "{spent} spent, {rent} announced");
    let account = stage.node.world().account(&table.parse().unwrap()).unwrap();
    assert_eq!(account.data.len() as u64, 56 + 32 * costs["tableAddresses"].as_u64().unwrap());

    // Again, nothing is missing.
    let again = json_of(&setup);
    let missing = ["tokenAccounts", "tableCount", "tableAddresses", "tableRent"];
    assert!(missing.iter().all(|what| again[what] == 0), "{again}");

    // Undone: closed and retired first, the table's rent back some minutes later.
    let undo = [&setup[..], &["--undo", "--table", &table]].concat();
    let said = refused(&[&undo[..], &["--yes"]].concat(), 1);
    assert!(said.contains("--program-hash"), "{said}");
    let program = ["--program-hash", &stage.hash, "--program-authority", &stage.authority];
    let undo = [&undo[..], &program].concat();
    let announced = json_of(&undo);
    assert_eq!((&announced["instructions"], &announced["done"]), (&json!(3), &json!(false)));
    assert_eq!(announced["swept"], 1);
    assert!(announced["notes"][0].as_str().unwrap().contains("retired now"), "{announced}");
    json_of(&[&undo[..], &["--yes"]].concat());
    let waiting = json_of(&undo);
    assert_eq!((&waiting["instructions"], &waiting["swept"]), (&json!(0), &json!(0)), "{waiting}");
    let note = waiting["notes"][0].as_str().unwrap();
    assert!(note.contains("can be closed from slot"), "{note}");
    // Where slots were skipped, its own is a recent one for longer.
    let retired = note.split("retired at slot ").nth(1).and_then(|rest| rest.split(';').next());
    stage.node.keep_recent(&[retired.unwrap().parse().unwrap()]);
    stage.node.world().warp_slots(600);
    let waiting = json_of(&undo);
    assert_eq!(waiting["instructions"], 0, "{waiting}");
    assert!(waiting["notes"][0].as_str().unwrap().contains("later where slots are skipped"));
    stage.node.keep_recent(&[]);
    json_of(&[&undo[..], &["--yes"]].concat());
    assert!(stage.node.world().account(&table.parse().unwrap()).is_none());

    let said = refused(&["--fork", folder_arg(), "setup", "--keypair", keypair], 1);
    assert!(said.contains("needs an RPC node"), "{said}");
}

/// It ends between two transactions, with a table that holds a part of what it should; run
/// again, it fills the same one.
#[test]
fn setup_goes_on_where_it_was_interrupted_and_names_what_it_cannot_pay() {
    let stage = Stage::new(Fate::Executed { after_polls: 0 });
    let (url, keypair) = (stage.node.url(), &*stage.keypair);
    let setup = ["--rpc", url, "setup", "--keypair", keypair];
    // Too poor: said before the first transaction, with both amounts.
    let wallet = stage.node.world().account(&key().pubkey()).unwrap();
    let poor = solana_account::Account { lamports: 5_000_000, ..wallet.clone() };
    stage.node.world().set_account(&key().pubkey(), poor).unwrap();
    let said = refused(&[&setup[..], &["--yes"]].concat(), 1);
    assert!(said.contains("0.005 SOL") && said.contains("nothing was sent"), "{said}");
    assert_eq!(stage.node.sent(), 0);
    stage.node.world().set_account(&key().pubkey(), wallet).unwrap();

    // The table's second transaction meets a node that has gone for good.
    let proxy = Proxy::to(url, &[]);
    let costs = json_of(&setup);
    let creations = costs["tokenAccounts"].as_u64().unwrap().div_ceil(6) as usize;
    for _ in 0..creations + 1 {
        proxy.add("simulateTransaction", Fault::None, 1);
    }
    proxy.add("simulateTransaction", Fault::Code(-32601), 64);
    let args = ["--rpc", proxy.url(), "setup", "--keypair", keypair, "--yes"];
    let said = refused(&args, 1);
    assert!(said.contains("is half made"), "{said}");
    let sent = stage.node.signatures();
    assert_eq!(sent, creations + 1);

    let left = json_of(&setup);
    assert_eq!((&left["tokenAccounts"], &left["tableCount"]), (&json!(0), &json!(0)), "{left}");
    let missing = left["tableAddresses"].as_u64().unwrap();
    assert!(missing > 0 && missing < costs["tableAddresses"].as_u64().unwrap(), "{left}");
    let done = json_of(&[&setup[..], &["--yes"]].concat());
    assert_eq!((&done["done"], done["tables"].as_array().unwrap().len()), (&json!(true), 1));
    assert_eq!(stage.node.signatures(), sent + missing.div_ceil(26) as usize);
    // Not named, it is left, and said.
    let undo = json_of(&[&setup[..], &["--undo"]].concat());
    let table = done["tables"][0].as_str().unwrap();
    let notes = undo["notes"].to_string();
    assert!(notes.contains(&format!("table {table} is left")), "{undo}");
}

/// A node that shows no tables once, a table that was made for another reserve, a node that
/// goes away: nothing is paid for twice, and what is left is named.
#[test]
fn a_table_is_found_again_whatever_it_was_made_for_and_what_is_left_is_named() {
    let stage = Stage::new(Fate::Executed { after_polls: 0 });
    let (url, keypair) = (stage.node.url(), &*stage.keypair);
    let proxy = Proxy::to(url, &[]);
    let usdc = stage.node.world().reserve_named("USDC").unwrap().to_string();
    let usdc = &*usdc;
    let setup =
        |reserve| ["--rpc", proxy.url(), "setup", "--keypair", keypair, "--reserve", reserve];
    let done = json_of(&[&setup(SOL_RESERVE)[..], &["--yes"]].concat());
    let [table] = &done["tables"].as_array().unwrap()[..] else { panic!("{done}") };
    let table = table.as_str().unwrap();

    // The reserves are listed first.
    for fault in [Fault::None, Fault::EmptyList] {
        proxy.add("getProgramAccounts", fault, 1);
    }
    let again = json_of(&setup(SOL_RESERVE));
    assert_eq!((&again["tableCount"], &again["tableAddresses"]), (&json!(0), &json!(0)), "{again}");
    assert_eq!(proxy.faults_left(), 0);
    let other = json_of(&[&setup(usdc)[..], &["--yes"]].concat());
    assert_eq!(other["tables"], json!([table]), "{other}");
    assert!(other["tableAddresses"].as_u64().unwrap() > 0, "{other}");

    // A node that does not simulate any more.
    let program = ["--program-hash", &stage.hash, "--program-authority", &stage.authority];
    proxy.add("simulateTransaction", Fault::Code(-32601), 64);
    let undo = [&setup(usdc)[..], &["--undo", "--yes", "--json"], &program].concat();
    let output = keeper(&undo);
    assert_eq!(output.status.code(), Some(1), "{}", text(&output));
    let left: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(left["done"], false);
    let failed = left["failed"].as_array().unwrap().len() as u64;
    let steps = left["instructions"].as_u64().unwrap() + left["swept"].as_u64().unwrap();
    assert!(failed == steps && failed >= 3, "{left}");
    assert!(left["notes"].to_string().contains(&format!("table {table} is left")), "{left}");
}

/// The slot that a table is made with turns out to have no block; a mint is gone, which
/// keeps its own accounts from being made and no others.
#[test]
fn setup_goes_on_where_the_chain_declines_a_part() {
    let stage = Stage::new(Fate::Executed { after_polls: 0 });
    let usdc = stage.node.world().reserve_named("USDC").unwrap();
    let (gone, kept) = {
        let mut world = stage.node.world();
        let gone = world.reserve_addresses(&usdc).unwrap().liquidity_mint;
        let kept = world.reserve_addresses(&SOL_RESERVE.parse().unwrap()).unwrap();
        world.set_account(&gone, solana_account::Account::default()).unwrap();
        (gone, kept.liquidity_mint)
    };
    let proxy = Proxy::to(stage.node.url(), &[]);
    let slow = Fault::Slow(Duration::from_millis(600));
    proxy.during(Some("getMultipleAccounts"), slow, Duration::from_secs(600));
    let usdc = usdc.to_string();
    let reserves = ["--reserve", SOL_RESERVE, "--reserve", &usdc, "--yes", "--json"];
    let setup = ["--rpc", proxy.url(), "setup", "--keypair", &stage.keypair];
    let hashes = solana_sdk_ids::sysvar::slot_hashes::ID;
    let output = thread::scope(|scope| {
        let node = &stage.node;
        // While the recent slots are on their way, the chain goes on: once.
        scope.spawn(move || {
            for _ in 0..60_000 {
                if node.reads_of(&hashes) > 0 {
                    thread::sleep(Duration::from_millis(200));
                    node.world().warp_slots(1);
                    return;
                }
                thread::sleep(Duration::from_millis(2));
            }
        });
        keeper(&[&setup[..], &reserves].concat())
    });
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{said}");
    assert!(said.contains("again with another"), "{said}");
    let done: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(done["tables"].as_array().unwrap().len(), 1, "{done}");
    // The keeper's account of the mint and the swap authority's.
    assert_eq!(done["failed"].as_array().unwrap().len(), 2, "{done}");
    let (authority, _) = swap_authority(&key().pubkey());
    for (mint, is_there) in [(gone, false), (kept, true)] {
        for owner in [key().pubkey(), authority] {
            let account = associated_token_account(&owner, &mint, &TOKEN_PROGRAM_ID);
            let account = stage.node.world().account(&account);
            assert_eq!(account.is_some(), is_there, "{owner} {mint}");
        }
    }
}

#[test]
fn sweep_fetches_what_lies_in_the_swap_authoritys_accounts() {
    let stage = Stage::new(Fate::Executed { after_polls: 0 });
    let keeper_key = key().pubkey();
    let (authority, _) = swap_authority(&keeper_key);
    // More than one transaction sweeps; for most of them the keeper has no account yet.
    let mut mints: Vec<Address> = Vec::new();
    {
        let mut world = stage.node.world();
        for reserve in world.reserves().unwrap().into_keys() {
            let reserve = world.reserve_addresses(&reserve).unwrap();
            for mint in [reserve.liquidity_mint, reserve.ctoken_mint] {
                if !mints.contains(&mint) {
                    world.give(&authority, &mint, 7).unwrap();
                    mints.push(mint);
                }
            }
        }
        assert!(mints.len() > 4, "{} mints", mints.len());
        world.give(&keeper_key, &mints[0], 5).unwrap();
    }
    let sweep = ["--rpc", stage.node.url(), "sweep", "--keypair", &stage.keypair];
    let announced = json_of(&sweep);
    assert_eq!(announced["done"], false);
    assert_eq!(announced["accounts"].as_array().unwrap().len(), mints.len());
    assert_eq!(stage.node.sent(), 0);

    let said = refused(&[&sweep[..], &["--yes"]].concat(), 1);
    assert!(said.contains(&format!("--program-hash {}", stage.hash)), "{said}");
    assert_eq!(stage.node.sent(), 0);
    let program = ["--program-hash", &stage.hash, "--program-authority", &stage.authority];
    let done = json_of(&[&sweep[..], &["--yes"], &program].concat());
    assert_eq!(done["done"], true);
    assert_eq!(stage.node.signatures(), mints.len().div_ceil(4));
    {
        let world = stage.node.world();
        for (position, mint) in mints.iter().enumerate() {
            let had = if position == 0 { 5 } else { 0 };
            assert_eq!(world.balance_of(&keeper_key, mint).unwrap(), had + 7, "{mint}");
            assert_eq!(world.balance_of(&authority, mint).unwrap(), 0, "{mint}");
        }
    }
    assert_eq!(json_of(&sweep)["accounts"], json!([]));
}

/// One that the chain declines does not keep the others: each is tried alone, once.
#[test]
fn a_sweep_that_is_declined_leaves_only_what_cannot_be_swept() {
    let stage = Stage::new(Fate::Executed { after_polls: 0 });
    let keeper_key = key().pubkey();
    let (authority, _) = swap_authority(&keeper_key);
    let mints: Vec<Address> = {
        let mut world = stage.node.world();
        let reserves: Vec<Address> = world.reserves().unwrap().into_keys().take(3).collect();
        let mint = |key: &Address| world.reserve_addresses(key).unwrap().ctoken_mint;
        let mints: Vec<Address> = reserves.iter().map(mint).collect();
        for mint in &mints {
            world.give(&authority, mint, 7).unwrap();
            world.give(&keeper_key, mint, 1).unwrap();
        }
        // Somebody froze the keeper's account of the second.
        let frozen = associated_token_account(&keeper_key, &mints[1], &TOKEN_PROGRAM_ID);
        let mut account = world.account(&frozen).unwrap();
        const STATE: usize = 108;
        const FROZEN: u8 = 2;
        account.data[STATE] = FROZEN;
        world.set_account(&frozen, account).unwrap();
        mints
    };
    let sweep = ["--rpc", stage.node.url(), "sweep", "--keypair", &stage.keypair, "--yes"];
    let whose = ["--program-hash", &stage.hash, "--program-authority", "none"];
    let said = refused(&[&sweep[..], &whose].concat(), 1);
    assert!(said.contains("1 are left") && said.contains("swap authority"), "{said}");
    // Two alone; what was simulated to a failure was not sent.
    assert_eq!(stage.node.signatures(), 2);
    let world = stage.node.world();
    let left: Vec<u64> =
        mints.iter().map(|mint| world.balance_of(&authority, mint).unwrap()).collect();
    assert_eq!(left, [0, 7, 0]);
}

/// Everything that is read before takes longer than the deadline allows: its time begins
/// when nothing more has to be read.
#[test]
fn a_deadline_begins_after_the_last_download() {
    let (at_risk, _) = obligations();
    let stage = Stage::new(Fate::Executed { after_polls: 0 });
    let node = &stage.node;
    const READS: &str = "getMultipleAccounts";
    // Longer than the deadline, and not so many at once that they are not believed.
    const MOST: u64 = 24;
    let ended = AtomicBool::new(false);
    let (report, passed) = thread::scope(|scope| {
        let passing = scope.spawn(|| {
            let (mut seen, mut passed) = (0, 0);
            while !ended.load(Ordering::Relaxed) {
                let calls = node.calls(READS);
                if calls > seen && passed < MOST {
                    seen = calls;
                    passed += 4;
                    node.world().warp_slots(4);
                }
                thread::sleep(Duration::from_millis(1));
            }
            passed
        });
        let args = stage.liquidate(node.url(), &at_risk);
        let output = keeper(&[&args[..], &["--yes", "--deadline-slots", "8", "--json"]].concat());
        // Before anything is held against it: the other thread would never end.
        ended.store(true, Ordering::Relaxed);
        (output, passing.join().unwrap())
    });
    assert!(report.status.success(), "{}", text(&report));
    let report: Value = serde_json::from_slice(&report.stdout).unwrap();
    assert!(passed > 12, "only {passed} slots passed: nothing is shown");
    assert_eq!(report["transaction"]["outcome"], "succeeded", "{report}");
}

/// Two nodes; the first dies in the middle of a liquidation. What it was asked to simulate
/// and to send goes by the second, as one transaction.
#[test]
fn a_node_that_dies_under_way_is_stood_in_for() {
    let (at_risk, _) = obligations();
    let gone = |proxy: &Proxy, method| {
        proxy.during(Some(method), Fault::DroppedConnection, Duration::from_secs(600))
    };
    for dies_at in ["simulateTransaction", "sendTransaction", "getSignatureStatuses"] {
        let stage = Stage::new(Fate::Executed { after_polls: 2 });
        let node = &stage.node;
        let [first, second] = [(); 2].map(|()| Proxy::to(node.url(), &[]));
        // What comes later in its life, it does not see either.
        let order =
            ["simulateTransaction", "sendTransaction", "getSignatureStatuses", "getTransaction"];
        let from = order.iter().position(|method| *method == dies_at).unwrap();
        let met: Vec<_> = order[from..].iter().map(|method| gone(&first, method)).collect();
        let urls = format!("{},{}", first.url(), second.url());
        let args = stage.liquidate(&urls, &at_risk);
        let report = json_of(&[&args[..], &["--yes"]].concat());
        assert_eq!(report["transaction"]["outcome"], "succeeded", "{dies_at}: {report}");
        assert_eq!(node.signatures(), 1, "{dies_at}");
        assert!(met[0].load(Ordering::Relaxed) > 0, "{dies_at}: it was not asked");
    }
}

/// It takes everything and answers nothing, not even that it is gone. What is sent goes on
/// being sent by the other road, and the other node tells that it landed, long before an
/// answer of the first could be too late.
#[test]
fn a_node_that_hangs_neither_stops_the_sending_nor_hides_a_landing() {
    let (at_risk, _) = obligations();
    let stage = Stage::new(Fate::Executed { after_polls: 2 });
    let first = Proxy::to(stage.node.url(), &[]);
    let met = ["sendTransaction", "getSignatureStatuses", "getEpochInfo", "getTransaction"]
        .map(|method| first.during(Some(method), Fault::BlackHole, Duration::from_secs(600)));
    let urls = format!("{},{}", first.url(), stage.node.url());
    // With the time that a node has where nothing else is said: half a minute, which the
    // first would take each time that it is asked.
    let begun = Instant::now();
    let report = json_of(&[&stage.liquidate(&urls, &at_risk)[..], &["--yes"]].concat());
    let took = begun.elapsed();
    assert!(took < Duration::from_secs(60), "it took {} s", took.as_secs());
    assert_eq!(report["transaction"]["outcome"], "succeeded", "{report}");
    assert_eq!(stage.node.signatures(), 1);
    // By the other road: once, and again while the first node was silent about it.
    assert!(stage.node.sent() >= 2, "sent {} times", stage.node.sent());
    assert!(met[..2].iter().all(|met| met.load(Ordering::Relaxed) > 0), "it was not asked");
}

#[test]
fn wrapped_sol_tops_the_key_up_by_rule() {
    let stage = Stage::new(Fate::Executed { after_polls: 0 });
    let wallet = key().pubkey();
    let mint = flash_liquidator_client::token::NATIVE_MINT;
    const SOL: u64 = 1_000_000_000;
    stage.node.world().give(&wallet, &mint, 3 * SOL).unwrap();
    let lamports = || stage.node.world().account(&wallet).unwrap().lamports;
    let wrapped = || stage.node.world().balance_of(&wallet, &mint).unwrap();
    let unwrap = ["--rpc", stage.node.url(), "unwrap", "--keypair", &stage.keypair];
    let before = lamports();
    // By rule: there is enough in the key.
    let args = [&unwrap[..], &["--below", "0.001", "--yes", "--json"]].concat();
    assert_eq!(keeper(&args).status.code(), Some(3));
    let announced = json_of(&unwrap);
    assert_eq!((&announced["unwrapped"], &announced["done"]), (&json!(3 * SOL), &json!(false)));
    assert_eq!(stage.node.sent(), 0);
    let args = [&unwrap[..], &["--below", "1000000", "--keep", "0.5", "--yes"]].concat();
    let done = json_of(&args);
    assert_eq!((&done["kept"], &done["done"]), (&json!(SOL / 2), &json!(true)));
    assert_eq!(wrapped(), SOL / 2);
    // But for the fee, what was unwrapped is in the key.
    let came = lamports() - before;
    assert!((5 * SOL / 2 - 20_000..=5 * SOL / 2).contains(&came), "{came}");
    assert!(refused(&[&unwrap[..], &["--keep=-1"]].concat(), 2).contains("--keep"));
}

#[test]
fn ctokens_are_redeemed_as_far_as_the_vault_can_pay() {
    let stage = Stage::new(Fate::Executed { after_polls: 0 });
    let wallet = key().pubkey();
    let sol: Address = SOL_RESERVE.parse().unwrap();
    let redeem = ["--rpc", stage.node.url(), "redeem", "--keypair", &stage.keypair];
    assert_eq!(keeper(&redeem).status.code(), Some(3));
    let (ctoken, mint) = {
        let mut world = stage.node.world();
        let reserve = world.reserve_addresses(&sol).unwrap();
        // Those that others have deposited.
        world.give(&wallet, &reserve.ctoken_mint, 1_000_000).unwrap();
        (reserve.ctoken_mint, reserve.liquidity_mint)
    };
    let announced = json_of(&redeem);
    let [left] = &announced["accounts"].as_array().unwrap()[..] else { panic!("{announced}") };
    assert_eq!((&left["ctokens"], &left["redeemable"]), (&json!("1000000"), &json!("1000000")));
    assert_eq!(stage.node.sent(), 0);
    let done = json_of(&[&redeem[..], &["--yes"]].concat());
    assert_eq!(done["done"], true);
    let world = stage.node.world();
    assert_eq!(world.balance_of(&wallet, &ctoken).unwrap(), 0);
    let expected: u64 = left["liquidity"].as_str().unwrap().parse().unwrap();
    let came = world.balance_of(&wallet, &mint).unwrap();
    assert!(came.abs_diff(expected) <= 1 && expected > 1_000_000, "{came} {expected}");
}

/// The same two by rule, while it watches.
#[test]
fn a_watch_tops_the_key_up_and_redeems() {
    let stage = Stage::new(Fate::Executed { after_polls: 0 });
    let wallet = key().pubkey();
    let native = flash_liquidator_client::token::NATIVE_MINT;
    const SOL: u64 = 1_000_000_000;
    // Nothing is to be liquidated.
    let sol: Address = SOL_RESERVE.parse().unwrap();
    stage.node.scale_price(&sol, 150);
    let ctoken = {
        let mut world = stage.node.world();
        let reserve = world.reserve_addresses(&sol).unwrap();
        world.give(&wallet, &native, 3 * SOL).unwrap();
        world.give(&wallet, &reserve.ctoken_mint, 1_000_000_000).unwrap();
        reserve.ctoken_mint
    };
    let config = |rules: &str| {
        format!(
            "{}keypair = {:?}\ntables = [{:?}]\nfeed = \"poll\"\npoll_ms = 50\n{rules}",
            crate::watch::trusted(),
            stage.keypair,
            stage.table
        )
    };
    // Without rules, and with rules that do not apply, nothing is done.
    let none = "top_up_below_sol = 0.001\nredeem_above_usd = 1000000\n";
    for rules in ["", none] {
        let (code, _) = crate::watch::passes(&config(rules), &["--rpc", stage.node.url()], 8);
        assert_eq!((code, stage.node.sent()), (0, 0));
    }
    let rules = "top_up_below_sol = 1000000\ntop_up_keep_sol = 0.5\nredeem_above_usd = 1\n";
    let mut watch = crate::watch::Watch::start(&config(rules), &["--rpc", stage.node.url()]);
    assert_eq!(watch.wait_for("unwrapped for fees")["lamports"], 5 * SOL / 2);
    assert_eq!(watch.wait_for("cTokens redeemed")["ctokens"], 1_000_000_000);
    watch.stop();
    let world = stage.node.world();
    // What was redeemed is wrapped, and waits for the next round.
    assert!(world.balance_of(&wallet, &native).unwrap() > SOL / 2 + 1_000_000_000);
    assert_eq!(world.balance_of(&wallet, &ctoken).unwrap(), 0);
    assert_eq!(stage.node.signatures(), 2);
}

#[test]
fn a_key_is_never_shown() {
    let (at_risk, _) = obligations();
    let stage = Stage::new(Fate::Executed { after_polls: 0 });
    let secret: Value = serde_json::from_slice(&std::fs::read(&stage.keypair).unwrap()).unwrap();
    let base58 = key().to_base58_string();
    let args = [&stage.liquidate(stage.node.url(), &at_risk)[..], &["--yes"]].concat();
    for args in [&args[..], &[&args[..], &["--json"]].concat(), &["--help"]] {
        let output = std::process::Command::new(env!("CARGO_BIN_EXE_keeper"))
            .args(args)
            .env("RUST_LOG", "trace")
            .output()
            .unwrap();
        let shown = text(&output);
        assert!(!shown.contains(&base58) && !shown.contains(&secret.to_string()), "{shown}");
    }
}
