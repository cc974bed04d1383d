//! Pools that nobody named: found, ranked, named where they cannot be sold in, on a folder
//! and on a node that lists them, lists some, or refuses to.

use std::path::PathBuf;

use fault_proxy::proxy::{Fault, Proxy};
use flash_liquidator_client::token::TOKEN_PROGRAM_ID;
use klend_fork::{Snapshot, TOKEN_2022_PROGRAM_ID, World};
use liquidation_venues::{
    discovery::{LISTINGS, Listing},
    raydium_cpmm, stand_in,
};
use serde_json::{Value, json};
use solana_account::Account;
use solana_address::Address;

use crate::{
    SOL_RESERVE, folder, json_of, keeper,
    node::Node,
    obligations, text,
    watch::{Watch, messages, passes},
};

pub fn key(byte: u8) -> Address {
    Address::new_from_array([byte; 32])
}

pub fn account(owner: Address, data: Vec<u8>) -> Account {
    Account { lamports: 10_000_000, owner, data, ..Account::default() }
}

/// Mints of SOL and USDC, and SOL's price in whole dollars.
pub fn market() -> ([Address; 2], u64) {
    let world = World::from_folder(folder()).unwrap();
    let sol = SOL_RESERVE.parse().unwrap();
    let usdc = world.reserve_named("USDC").unwrap();
    let mints = [sol, usdc].map(|key| world.reserve_addresses(&key).unwrap().liquidity_mint);
    (mints, world.price(&sol).unwrap().to_f64() as u64)
}

fn usdc_reserve() -> String {
    World::from_folder(folder()).unwrap().reserve_named("USDC").unwrap().to_string()
}

/// What is wrong with a pool.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Flaw {
    None,
    Empty,
    Closed,
    NotOpenYet,
    FrozenVault,
}

fn cpmm() -> &'static Listing {
    LISTINGS.iter().find(|listing| listing.program == raydium_cpmm::PROGRAM_ID).unwrap()
}

/// Puts a CPMM pool with `sol` tokens and as much in dollars into accounts.
pub fn put(accounts: &mut Snapshot, number: u8, sol: u64, flaw: Flaw) -> Address {
    let (mints, price) = market();
    let (pool, config) = (key(number), key(200));
    let vaults = [key(number + 1), key(number + 2)];
    let listing = cpmm();
    let mut data = vec![0; listing.len];
    data[..8].copy_from_slice(&listing.discriminator.unwrap());
    data[8..40].copy_from_slice(config.as_ref());
    let keys =
        [(listing.vaults, vaults), (listing.mints, mints), ([232, 264], [TOKEN_PROGRAM_ID; 2])];
    for (offsets, keys) in keys {
        for (at, key) in offsets.into_iter().zip(keys) {
            data[at..at + 32].copy_from_slice(key.as_ref());
        }
    }
    if flaw == Flaw::Closed {
        data[329] = 1 << 2;
    }
    if flaw == Flaw::NotOpenYet {
        data[373..381].copy_from_slice(&4_000_000_000u64.to_le_bytes());
    }
    accounts.accounts.insert(pool, account(raydium_cpmm::PROGRAM_ID, data));
    // A quarter of a per cent.
    let mut fees = vec![0; 236];
    fees[..8].copy_from_slice(&[218, 244, 33, 104, 203, 203, 43, 111]);
    fees[12..20].copy_from_slice(&2_500u64.to_le_bytes());
    accounts.accounts.insert(config, account(raydium_cpmm::PROGRAM_ID, fees));
    let held = [sol * 1_000_000_000, sol * price * 1_000_000];
    for ((vault, mint), held) in vaults.iter().zip(mints).zip(held) {
        let mut data = vec![0; 165];
        data[..32].copy_from_slice(mint.as_ref());
        let held = if flaw == Flaw::Empty { 0 } else { held };
        data[64..72].copy_from_slice(&held.to_le_bytes());
        data[108] = if flaw == Flaw::FrozenVault { 2 } else { 1 };
        accounts.accounts.insert(*vault, account(TOKEN_PROGRAM_ID, data));
    }
    pool
}

/// The folder without its own pool, with these.
pub fn folder_with(pools: &[(u8, u64, Flaw)]) -> (tempfile::TempDir, PathBuf) {
    let mut snapshot = Snapshot::read(folder()).unwrap();
    snapshot.accounts.retain(|_, account| {
        account.owner != stand_in::PROGRAM_ID || account.data.len() != stand_in::POOL_LEN
    });
    for (number, sol, flaw) in pools {
        put(&mut snapshot, *number, *sol, *flaw);
    }
    let parent = tempfile::tempdir().unwrap();
    let path = parent.path().join("fork");
    snapshot.write(&path).unwrap();
    (parent, path)
}

const POOLS: [(u8, u64, Flaw); 6] = [
    (20, 2_000, Flaw::None),
    (30, 20_000, Flaw::None),
    (40, 9_000, Flaw::Closed),
    (50, 8_000, Flaw::NotOpenYet),
    (60, 7_000, Flaw::FrozenVault),
    (70, 6_000, Flaw::Empty),
];

/// Keys of the pools of an answer.
fn pools(found: &Value) -> Vec<&str> {
    found["pools"].as_array().unwrap().iter().map(|it| it["pool"].as_str().unwrap()).collect()
}

#[test]
fn pools_are_found_ranked_and_the_unusable_named() {
    let (_parent, path) = folder_with(&POOLS);
    let node = Node::serve(&path);
    let usdc = usdc_reserve();
    for source in [["--fork", path.to_str().unwrap()], ["--rpc", node.url()]] {
        let ask = ["venues", SOL_RESERVE, &usdc, "--usd", "50000"];
        let found = json_of(&[&source[..], &ask].concat());
        assert_eq!(pools(&found), [key(30).to_string(), key(20).to_string()], "{found}");
        let reason = |number: u8| {
            let unusable = found["unusable"].as_array().unwrap();
            let of = unusable.iter().find(|it| it["pool"] == key(number).to_string());
            of.unwrap_or_else(|| panic!("{number}: {found}"))["reason"].as_str().unwrap()
        };
        assert!(reason(40).contains("does not swap at present"), "{}", reason(40));
        assert!(reason(50).contains("not open yet"), "{}", reason(50));
        assert!(reason(60).contains("frozen"), "{}", reason(60));
        assert_eq!((&found["empty"], &found["notListed"]), (&json!(1), &json!([])));
        // Less than the oracles say, and the deep one nearer to it.
        let number = |value: &Value| value.as_str().unwrap().parse::<u64>().unwrap();
        let paid: Vec<u64> =
            found["pools"].as_array().unwrap().iter().map(|it| number(&it["pays"])).collect();
        assert!(paid[1] < paid[0] && paid[0] < number(&found["atOraclePrice"]), "{found}");
        let shown = text(&keeper(&[&source[..], &ask].concat()));
        assert!(shown.contains("Raydium CPMM pool") && shown.contains("frozen"), "{shown}");
        // Fewer are kept, and the rest counted.
        let one = json_of(&[&source[..], &ask, &["--limit", "1"]].concat());
        assert_eq!((pools(&one).len(), &one["lesser"]), (1, &json!(1)));
    }
    // Both orders of both mints, by every program, and nothing else.
    let (mints, _) = market();
    let asked: Vec<(Address, Vec<(u64, String)>)> = node
        .calls_since(0)
        .iter()
        .filter(|(method, _)| method == "getProgramAccounts")
        .filter_map(|(_, params)| {
            let program: Address = params[0].as_str().unwrap().parse().unwrap();
            let filters = params[1]["filters"].as_array().unwrap().iter().map(|filter| {
                let memcmp = &filter["memcmp"];
                let bytes = memcmp["bytes"].as_str().unwrap().to_owned();
                (memcmp["offset"].as_u64().unwrap(), bytes)
            });
            LISTINGS.iter().any(|it| it.program == program).then(|| (program, filters.collect()))
        })
        .collect();
    for listing in &LISTINGS {
        for order in [mints, [mints[1], mints[0]]] {
            let both = listing.mints.iter().zip(order);
            let both: Vec<(u64, String)> =
                both.map(|(at, mint)| (*at as u64, mint.to_string())).collect();
            let is_it = |(program, filters): &&(Address, Vec<(u64, String)>)| {
                *program == listing.program && both.iter().all(|one| filters.contains(one))
            };
            assert!(asked.iter().any(|ask| is_it(&ask)), "{} {order:?}", listing.name);
        }
    }

    // A quote sells in them without being told of any.
    let (at_risk, _) = obligations();
    let source = ["--fork", path.to_str().unwrap()];
    let quote = json_of(&[&source[..], &["quote", &at_risk, "--discover"]].concat());
    assert_eq!(quote["venue"], "Raydium CPMM pool", "{quote}");
    let (thin, deep) = (key(20).to_string(), key(30).to_string());
    let named = ["quote", &at_risk, "--pool", &thin, "--pool", &deep];
    let by_name = json_of(&[&source[..], &named].concat());
    for figure in ["repay", "received", "swapped", "profit", "route"] {
        assert_eq!(quote[figure], by_name[figure], "{figure}");
    }
    let direct = quote["pools"].as_array().unwrap();
    assert!(direct.iter().any(|found| pools(found).len() == 2), "{quote}");
    let scan = json_of(&[&source[..], &["scan", "--discover"]].concat());
    assert_eq!(scan["obligations"][0]["nothingSells"], false);
}

/// A pool of a token whose transfers cost a fee is found, and named with the fee.
#[test]
fn a_pool_of_a_token_with_a_transfer_fee_is_named() {
    let (_parent, path) = folder_with(&[]);
    let world = World::from_folder(&path).unwrap();
    let pyusd = world.reserve_named("PYUSD").unwrap();
    let mint = world.reserve_addresses(&pyusd).unwrap().liquidity_mint;
    let ([sol, usdc], _) = market();
    let mut snapshot = Snapshot::read(&path).unwrap();
    let pool = put(&mut snapshot, 20, 2_000, Flaw::None);
    // The same pool of PYUSD instead of USDC.
    let state = &mut snapshot.accounts.get_mut(&pool).unwrap().data;
    let token_2022 = TOKEN_2022_PROGRAM_ID.to_bytes();
    let at = cpmm().mints.into_iter().find(|at| state[*at..*at + 32] == usdc.to_bytes()).unwrap();
    state[at..at + 32].copy_from_slice(mint.as_ref());
    state[264..296].copy_from_slice(&token_2022);
    let vault = snapshot.accounts.get_mut(&key(22)).unwrap();
    vault.data[..32].copy_from_slice(mint.as_ref());
    vault.owner = TOKEN_2022_PROGRAM_ID;
    // Half a per cent of every transfer, from now on and before.
    let mut fees = [0; 108];
    for at in [72, 90] {
        fees[at + 8..at + 16].copy_from_slice(&u64::MAX.to_le_bytes());
        fees[at + 16..at + 18].copy_from_slice(&50u16.to_le_bytes());
    }
    let token = snapshot.accounts.get_mut(&mint).unwrap();
    token.data.truncate(82);
    token.data.resize(165, 0);
    token.data.extend([1, 1, 0, 108, 0]);
    token.data.extend(fees);
    let whole = path.with_file_name("whole");
    snapshot.write(&whole).unwrap();
    let found =
        json_of(&["--fork", whole.to_str().unwrap(), "venues", SOL_RESERVE, &pyusd.to_string()]);
    assert_eq!(pools(&found).len(), 0, "{found}");
    let unusable = &found["unusable"][0];
    assert_eq!(unusable["pool"], pool.to_string(), "{found} {sol}");
    let reason = unusable["reason"].as_str().unwrap();
    assert!(reason.contains("50 bps") && reason.contains(&mint.to_string()), "{reason}");
}

#[test]
fn a_node_that_does_not_list_pools_leaves_those_that_are_named() {
    let (_parent, path) = folder_with(&POOLS);
    let node = Node::serve(&path);
    let (at_risk, _) = obligations();
    let listed = json_of(&["--rpc", node.url(), "quote", &at_risk, "--discover"]);
    // Accounts of such programs are excluded from many providers' lists.
    node.list_only_klend(-32_010);
    let usdc = usdc_reserve();
    let found = json_of(&["--rpc", node.url(), "venues", SOL_RESERVE, &usdc]);
    assert_eq!(found["notListed"].as_array().unwrap().len(), LISTINGS.len(), "{found}");
    assert!(found["notListed"][0].as_str().unwrap().contains("-32010"), "{found}");
    assert_eq!(pools(&found).len(), 0);
    let pool = key(30).to_string();
    let quote = json_of(&["--rpc", node.url(), "quote", &at_risk, "--discover", "--pool", &pool]);
    assert_eq!(quote["venue"], listed["venue"]);
    // Nothing else is asked about a program that refused once.
    let shown = text(&keeper(&["--rpc", node.url(), "venues", SOL_RESERVE, &usdc]));
    assert!(shown.contains("not listed: "), "{shown}");
    let none = keeper(&["--rpc", node.url(), "quote", &at_risk, "--discover"]);
    assert!(text(&none).contains("nothing sells this"), "{}", text(&none));
    let scan = json_of(&["--rpc", node.url(), "scan", "--discover"]);
    // The careful one is not looked at; what nothing sells comes last.
    let last = &scan["obligations"][1];
    assert_eq!((&last["obligation"], &last["nothingSells"]), (&json!(at_risk), &json!(true)));

    // Broken answers are asked for again.
    let node = Node::serve(&path);
    let faults = [("getProgramAccounts", Fault::TruncatedJson); 3];
    let proxy = Proxy::to(node.url(), &faults);
    let quote = json_of(&["--rpc", proxy.url(), "quote", &at_risk, "--discover"]);
    assert_eq!((quote["venue"].clone(), proxy.faults_left()), (listed["venue"].clone(), 0));
}

#[test]
fn a_watch_finds_pools_beside_the_path() {
    let (at_risk, _) = obligations();
    let (_parent, path) = folder_with(&POOLS);
    let node = Node::serve(&path);
    let config = "feed = \"poll\"\npoll_ms = 50\ncooldown_seconds = 0\nsimulate = \"none\"";
    for source in [["--fork", path.to_str().unwrap()], ["--rpc", node.url()]] {
        let mut watch = Watch::start(config, &source);
        let found = loop {
            let line = watch.wait_for("pools looked for");
            if line["kept"].as_u64().unwrap() > 0 {
                break line;
            }
        };
        assert_eq!((&found["kept"], &found["empty"]), (&json!(2), &json!(1)), "{found}");
        assert_eq!(found["best"], json!(key(30).to_string()));
        // Without the program nothing is simulated, and without a table nothing fits: the
        // decision is what is looked at.
        let line = watch.wait_for("failed");
        assert_eq!(line["obligation"], json!(at_risk), "{line}");
        // The same again is no error any more, and not after every cooldown.
        let again = watch.wait_for("failed again");
        assert_eq!((&again["obligation"], &again["times"]), (&json!(at_risk), &json!(2)));
        let lines = watch.stop();
        assert_eq!(messages(&lines, "failed"), 1, "{lines:#?}");
        assert!(messages(&lines, "a pool that cannot be sold in") >= 3, "{lines:#?}");
    }

    // Where there is none, that is said once, and not after every cooldown.
    let (_parent, path) = folder_with(&[]);
    let node = Node::serve(&path);
    node.list_only_klend(410);
    for source in [["--fork", path.to_str().unwrap()], ["--rpc", node.url()]] {
        let (code, lines) = passes(config, &source, 30);
        assert_eq!(code, 0, "{lines:#?}");
        let said = lines.iter().filter(|line| {
            line["fields"]["reason"].as_str().is_some_and(|it| it.contains("nothing sells this"))
        });
        // Before the pools were looked for it may have been said, too.
        let said: Vec<&Value> = said.collect();
        assert!((1..=12).contains(&said.len()), "{} {lines:#?}", said.len());
        let last = lines.iter().rposition(|line| line == said[said.len() - 1]).unwrap();
        assert!(messages(&lines[last..], "evaluated") > 5, "{lines:#?}");
        assert!(!lines.iter().any(|line| line["level"] == "ERROR"), "{lines:#?}");
    }
    // With none looked for, it is as it was: the oracles' prices are assumed.
    let config = format!("{config}\ndiscover = false");
    let (_, lines) = passes(&config, &["--fork", path.to_str().unwrap()], 2);
    assert_eq!(messages(&lines, "pools looked for"), 0, "{lines:#?}");
}
