//! An aggregator beside the pools: a server of ours that answers as Jupiter's `/build`
//! does, and as it must not.
//!
//! With `JUPITER_ELF` and `RAYDIUM_CPMM_ELF` naming the real programs, its routes are
//! carried out, inside liquidations.

use std::{
    collections::BTreeMap,
    env, fs,
    path::PathBuf,
    sync::{Arc, Mutex},
    time::{Duration, Instant},
};

use base64::{Engine as _, prelude::BASE64_STANDARD};
use fault_proxy::http;
use flash_liquidator_client::{
    receiver::swap_authority,
    swap::jupiter,
    token::{ASSOCIATED_TOKEN_PROGRAM_ID, TOKEN_PROGRAM_ID, associated_token_account},
};
use klend_fork::{NATIVE_MINT, Snapshot};
use liquidation_venues::{discovery::listing, raydium_cpmm, stand_in};
use serde_json::{Value, json};
use solana_account::Account;
use solana_address::{Address, address};

use crate::{
    discovery::{Flaw, account, folder_with, key, market, put},
    folder_arg, json_of, keeper,
    node::Options,
    obligations, refused,
    sending::Stage,
    text,
    watch::{Watch, messages, trusted},
};

const EVENT_AUTHORITY: Address = address!("D8cy77BBepLMngZx6ZukaTff5hCt1HrWyKk3Hnd9oitf");
/// `route_v2`.
const ROUTE_V2: [u8; 8] = [187, 100, 250, 204, 49, 196, 175, 20];
/// A Raydium CPMM pool among the venues of Jupiter's routes.
const RAYDIUM_CP: u8 = 46;

/// How the server answers.
#[derive(Clone, Copy, PartialEq, Debug)]
enum Manner {
    Honest,
    /// Names as many accounts as it may.
    Lavish,
    /// Lies about what a field says.
    Says(&'static str, &'static str),
    OtherProgram,
    ForeignOwner,
    PlatformFee,
    PositiveSlippage,
    NoMinimum,
    OtherAmount,
    /// Everything else has this status and body.
    Page(&'static str, &'static str),
    Huge,
    HangsUp,
    /// Routes through a pool of a stand-in for Jupiter itself.
    StandIn,
    /// The same, by calls that are too deep where a route may name many accounts.
    TooDeep,
}

/// Most accounts of a route of [`Manner::TooDeep`] whose calls are not too deep, and the step
/// with which the stand-in's are.
const FLAT: u8 = 34;
const TOO_DEEP: u8 = 255;

/// What was asked, and by which key.
type Asked = Arc<Mutex<Vec<BTreeMap<String, String>>>>;

/// What SOL is sold for, raw units of USDC a lamport, millionths.
const PRICE: u64 = 142_000;

/// A server that answers in a manner; a route sells in the pool of that number.
fn serve(manner: Manner, pool: u8) -> (String, Asked) {
    let asked = Asked::default();
    let seen = Arc::clone(&asked);
    let (mints, _) = market();
    let address = http::serve(move |request| {
        let (path, key) = request
            .as_str()
            .unwrap()
            .split_once(' ')
            .unwrap_or_else(|| (request.as_str().unwrap(), ""));
        let (path, query) = path.split_once('?').unwrap();
        assert_eq!(path, "/swap/v2/build");
        let mut ask: BTreeMap<String, String> = query
            .split('&')
            .map(|pair| pair.split_once('=').unwrap())
            .map(|(name, value)| (name.to_owned(), value.to_owned()))
            .collect();
        ask.insert("key".to_owned(), key.to_owned());
        seen.lock().unwrap().push(ask.clone());
        match manner {
            Manner::Page(status, body) => Some(http::Answer { status, body: body.to_owned() }),
            Manner::HangsUp => None,
            Manner::Huge => Some(http::Answer {
                status: "200 OK",
                body: format!("{{\"inAmount\": \"{}\"}}", "1".repeat(3 << 20)),
            }),
            _ => Some(http::Answer::ok(route(manner, &ask, mints, pool))),
        }
    });
    (format!("http://{address}"), asked)
}

/// A `route_v2` over one pool.
fn route(manner: Manner, ask: &BTreeMap<String, String>, mints: [Address; 2], pool: u8) -> Value {
    let of = |name: &str| -> Address { ask[name].parse().unwrap() };
    let (taker, sold, bought) = (of("taker"), of("inputMint"), of("outputMint"));
    assert_eq!(ask["wrapAndUnwrapSol"], "false");
    let mut amount: u64 = ask["amount"].parse().unwrap();
    let mut pays = amount / 1_000_000 * PRICE;
    let ata = |mint: &Address| associated_token_account(&taker, mint, &TOKEN_PROGRAM_ID);
    let meta = |key: Address, is_writable: bool| json!({ "pubkey": key.to_string(), "isSigner": key == taker, "isWritable": is_writable });
    let n = usize::from(sold != mints[0]);
    let vaults = [key(pool + 1), key(pool + 2)];
    let (authority, _) =
        Address::find_program_address(&[b"vault_and_lp_mint_auth_seed"], &raydium_cpmm::PROGRAM_ID);
    let mut accounts = vec![
        meta(taker, false),
        meta(ata(&sold), true),
        meta(ata(&bought), true),
        meta(sold, false),
        meta(bought, false),
        meta(TOKEN_PROGRAM_ID, false),
        meta(TOKEN_PROGRAM_ID, false),
        meta(jupiter::PROGRAM_ID, false),
        meta(EVENT_AUTHORITY, false),
        meta(jupiter::PROGRAM_ID, false),
        // The venue's.
        meta(raydium_cpmm::PROGRAM_ID, false),
        meta(taker, false),
        meta(authority, false),
        meta(key(200), false),
        meta(key(pool), true),
        meta(ata(&sold), true),
        meta(ata(&bought), true),
        meta(vaults[n], true),
        meta(vaults[1 - n], true),
        meta(TOKEN_PROGRAM_ID, false),
        meta(TOKEN_PROGRAM_ID, false),
        meta(sold, false),
        meta(bought, false),
        meta(key(pool + 3), true),
    ];
    let mut step = RAYDIUM_CP;
    if [Manner::StandIn, Manner::TooDeep].contains(&manner) {
        let (authority, _) = stand_in_authority(&key(pool));
        let vault = |mint: &Address| associated_token_account(&authority, mint, &TOKEN_PROGRAM_ID);
        accounts.truncate(10);
        accounts.extend([
            meta(taker, false),
            meta(key(pool), true),
            meta(ata(&sold), true),
            meta(ata(&bought), true),
            meta(vault(&sold), true),
            meta(vault(&bought), true),
            meta(sold, false),
            meta(bought, false),
            meta(TOKEN_PROGRAM_ID, false),
            meta(TOKEN_PROGRAM_ID, false),
            meta(authority, false),
        ]);
        if manner == Manner::TooDeep && ask["maxAccounts"].parse::<u8>().unwrap() > FLAT {
            step = TOO_DEEP;
        }
    }
    if manner == Manner::Lavish {
        let most: usize = ask["maxAccounts"].parse().unwrap();
        accounts.extend((accounts.len()..most).map(|n| meta(key(100 + n as u8), true)));
    }
    let (mut platform, mut positive, mut slippage) = (0u16, 0u16, 50u16);
    match manner {
        Manner::PlatformFee => platform = 20,
        Manner::PositiveSlippage => positive = 10_000,
        Manner::NoMinimum => slippage = 10_000,
        Manner::OtherAmount => amount -= 1,
        _ => {}
    }
    if manner == Manner::NoMinimum {
        pays = 0;
    }
    let mut data = ROUTE_V2.to_vec();
    data.extend(amount.to_le_bytes());
    data.extend(pays.to_le_bytes());
    [slippage, platform, positive].iter().for_each(|bps| data.extend(bps.to_le_bytes()));
    data.extend(1u32.to_le_bytes());
    // All of it, from the first token to the second.
    data.extend([step, 0x10, 0x27, 0, 1]);
    let program = match manner {
        Manner::OtherProgram => key(9),
        _ => jupiter::PROGRAM_ID,
    };
    let owner = if manner == Manner::ForeignOwner { key(8) } else { taker };
    let created = associated_token_account(&owner, &bought, &TOKEN_PROGRAM_ID);
    let setup = json!([{
        "programId": ASSOCIATED_TOKEN_PROGRAM_ID.to_string(),
        "accounts": [
            meta(of("payer"), true), meta(created, true), meta(owner, false),
            meta(bought, false), meta(Address::default(), false), meta(TOKEN_PROGRAM_ID, false),
        ],
        // `Create`, which may be spelled like that.
        "data": "",
    }]);
    let mut answer = json!({
        "inputMint": sold.to_string(),
        "outputMint": bought.to_string(),
        "inAmount": amount.to_string(),
        "outAmount": pays.to_string(),
        "slippageBps": slippage,
        "routePlan": [{
            "swapInfo": {
                "ammKey": key(pool).to_string(), "label": "Raydium CP",
                "inputMint": sold.to_string(), "outputMint": bought.to_string(),
            },
            "percent": 100, "bps": 10_000,
        }],
        "computeBudgetInstructions": [],
        "setupInstructions": setup,
        "swapInstruction": {
            "programId": program.to_string(),
            "accounts": accounts,
            "data": BASE64_STANDARD.encode(data),
        },
        "cleanupInstruction": null,
        "otherInstructions": [],
        "tipInstruction": null,
        "addressesByLookupTableAddress": null,
        "somethingNew": { "that": "nobody knows" },
    });
    if let Manner::Says(field, value) = manner {
        answer[field] = serde_json::from_str(value).unwrap();
    }
    answer
}

/// A folder with a thin pool, in which less can be sold.
fn thin() -> (tempfile::TempDir, PathBuf) {
    folder_with(&[(20, 200, Flaw::None)])
}

#[test]
fn it_sells_where_nothing_else_does_or_where_it_pays_more() {
    let (at_risk, _) = obligations();
    let (url, asked) = serve(Manner::Honest, 20);
    // Nothing else.
    let (_parent, path) = folder_with(&[]);
    let source = ["--fork", path.to_str().unwrap(), "quote", &at_risk, "--jupiter-url", &url];
    let quote = json_of(&[&source[..], &["--discover"]].concat());
    let program = |quote: &Value| quote["route"]["legs"][0]["program"].as_str().unwrap().to_owned();
    assert_eq!(program(&quote), jupiter::PROGRAM_ID.to_string(), "{quote}");
    // What is sold is what its data says, and the quote no more than what it pays.
    let number = |value: &Value| value.as_str().unwrap().parse::<u64>().unwrap();
    let data = BASE64_STANDARD.decode(quote["route"]["legs"][0]["data"].as_str().unwrap()).unwrap();
    let at = |at: usize| u64::from_le_bytes(data[at..at + 8].try_into().unwrap());
    assert_eq!((at(8), at(16)), (number(&quote["received"]), number(&quote["swapped"])));
    assert_eq!(quote["route"]["legs"][0]["amountInOffset"], 8);
    let told = &quote["jupiter"][0];
    assert_eq!((&told["platformFeeBps"], &told["positiveSlippageBps"]), (&json!(0), &json!(0)));
    let first = asked.lock().unwrap()[0].clone();
    let (mints, _) = market();
    let authority = swap_authority(&first["payer"].parse().unwrap()).0.to_string();
    assert_eq!(
        [&first["inputMint"], &first["outputMint"], &first["taker"], &first["maxAccounts"]],
        [&mints[0].to_string(), &mints[1].to_string(), &authority, "64"]
    );
    assert_eq!((&first["slippageBps"][..], &first["key"][..]), ("50", ""));
    // A thin pool pays less, the deep one of the folder more.
    let (_parent, path) = thin();
    let pool = key(20).to_string();
    let of = |fork: &str, more: &[&str]| {
        json_of(&[&["--fork", fork, "quote", &at_risk, "--jupiter-url", &url], more].concat())
    };
    let quote = of(path.to_str().unwrap(), &["--pool", &pool]);
    assert_eq!(program(&quote), jupiter::PROGRAM_ID.to_string(), "{quote}");
    let deep = of(folder_arg(), &[]);
    assert_ne!(program(&deep), jupiter::PROGRAM_ID.to_string(), "{deep}");
    // `scan` says what sells; the key goes into a header, and nowhere else.
    let scan = json_of(&["--fork", path.to_str().unwrap(), "scan", "--jupiter-url", &url]);
    assert_eq!(scan["obligations"][0]["nothingSells"], false, "{scan}");
    let output = std::process::Command::new(env!("CARGO_BIN_EXE_keeper"))
        .args(["--fork", path.to_str().unwrap(), "quote", &at_risk, "--jupiter-url", &url])
        .env("KEEPER_JUPITER_KEY", "SECRET")
        .output()
        .unwrap();
    assert!(!text(&output).contains("SECRET"), "{}", text(&output));
    assert_eq!(asked.lock().unwrap().last().unwrap()["key"], "SECRET");
}

#[test]
fn lies_limits_and_changes_are_refused_and_the_pools_are_used() {
    let (at_risk, _) = obligations();
    let (_parent, path) = thin();
    let pool = key(20).to_string();
    let with = |url: &str, more: &[&str]| {
        let ask = ["quote", &at_risk, "--pool", &pool, "--jupiter-url", url];
        json_of(&[&["--fork", path.to_str().unwrap()], &ask[..], more].concat())
    };
    const LIMITED: &str = "429 Too Many Requests\r\nRetry-After: 7";
    for (manner, said) in [
        (Manner::OtherProgram, "calls"),
        (Manner::ForeignOwner, "only the swap authority"),
        (Manner::PlatformFee, "platform fee of 20 bps"),
        (Manner::PositiveSlippage, "keeps 10000 bps"),
        (Manner::NoMinimum, "may bring nothing"),
        (Manner::OtherAmount, "the quote was for"),
        (Manner::Says("outAmount", "\"999999999999\""), "the answer says output"),
        (Manner::Says("outputMint", "\"11111111111111111111111111111111\""), "output mint"),
        (Manner::Says("swapInstruction", "{}"), "not an answer of /build"),
        (Manner::Says("swapInstruction", "null"), "missing swap instruction"),
        (Manner::Says("inAmount", "7"), "not an answer of /build"),
        (Manner::Says("error", "\"out of order\""), "out of order"),
        (Manner::Page("200 OK", "<html>busy</html>"), "not an answer of /build"),
        (Manner::Page("400 Bad Request", "{\"error\": \"No routes found\"}"), "knows no route"),
        (Manner::Page("401 Unauthorized", "{\"error\": \"no key\"}"), "HTTP 401): no key"),
        (Manner::Page("301 Moved\r\nLocation: http://127.0.0.1:1/", ""), "HTTP 301"),
        (Manner::Page("502 Bad Gateway", "<html>"), "HTTP 502"),
        (Manner::Page(LIMITED, "slow"), "asked too often; again in 7 s"),
        (Manner::Huge, "not an answer of /build"),
        (Manner::HangsUp, "did not answer"),
    ] {
        let (url, _) = serve(manner, 20);
        let quote = with(&url, &[]);
        let told = quote["jupiter"].as_array().unwrap();
        let is_refused =
            |told: &Value| told["refused"].as_str().is_some_and(|reason| reason.contains(said));
        assert!(!told.is_empty() && told.iter().all(is_refused), "{manner:?}: {told:#?}");
        assert_eq!(quote["venue"], "Raydium CPMM pool", "{manner:?}");
    }
    // What is allowed is said.
    let (url, _) = serve(Manner::PositiveSlippage, 20);
    let quote = with(&url, &["--jupiter-positive-slippage-bps", "10000"]);
    assert_eq!(quote["jupiter"][0]["positiveSlippageBps"], 10_000, "{quote}");
    let (url, _) = serve(Manner::PlatformFee, 20);
    let quote = with(&url, &["--jupiter-platform-fee-bps", "20"]);
    assert_eq!(quote["jupiter"][0]["platformFeeBps"], 20, "{quote}");
    let fork = ["--fork", path.to_str().unwrap(), "quote", &at_risk];
    let wrong = refused(&[&fork[..], &["--jupiter-url", "ftp://x"]].concat(), 1);
    assert!(wrong.contains("http://"), "{wrong}");
    let alone = keeper(&[&fork[..], &["--jupiter-platform-fee-bps", "1"]].concat());
    assert_eq!(alone.status.code(), Some(2));
}

#[test]
fn its_routes_shrink_until_they_fit() {
    let (at_risk, _) = obligations();
    let (_parent, path) = thin();
    let (url, asked) = serve(Manner::Lavish, 20);
    let ask = ["--fork", path.to_str().unwrap(), "quote", &at_risk, "--jupiter-url", &url];
    let quote = json_of(&ask);
    let told = quote["jupiter"].as_array().unwrap();
    assert!(told.len() >= 2, "{quote}");
    let fits = told.iter().position(|told| told["refused"].is_null()).unwrap();
    for (n, told) in told[..fits].iter().enumerate() {
        let reason = told["refused"].as_str().unwrap();
        assert!(reason.contains("does not fit") && reason.contains("accounts"), "{reason}");
        let most = |n: usize| asked.lock().unwrap()[n]["maxAccounts"].parse::<u8>().unwrap();
        assert!(most(n + 1) < most(n));
    }
    assert_eq!(quote["route"]["legs"][0]["program"], jupiter::PROGRAM_ID.to_string());
}

#[test]
fn a_watch_asks_beside_the_path_and_no_more_than_it_may() {
    let (at_risk, _) = obligations();
    let (_parent, path) = folder_with(&[]);
    let source = ["--fork", path.to_str().unwrap()];
    let config = |url: &str, more: &str| {
        format!(
            "feed = \"poll\"\npoll_ms = 50\ncooldown_seconds = 1\nsimulate = \"none\"\n\
             [jupiter]\nurl = {url:?}\npause_ms = 100\nrefresh_seconds = 1\n{more}"
        )
    };
    let (url, asked) = serve(Manner::Honest, 20);
    let mut watch = Watch::start(&config(&url, ""), &source);
    let begun = Instant::now();
    let offered = watch.wait_for("offered");
    assert!(offered["pays"].as_u64().unwrap() > 0, "{offered}");
    // It is decided on; without tables nothing fits that could be signed.
    let line = watch.wait_for("failed");
    assert_eq!(line["obligation"], json!(at_risk));
    watch.wait_for("offered");
    watch.wait_for("offered");
    let most = 2 + begun.elapsed().as_secs() as usize;
    assert!(asked.lock().unwrap().len() <= most, "{} in {most} s", asked.lock().unwrap().len());
    watch.stop();

    // On the path, where the operator says so: for just what is sold.
    // While another question is open it decides at once, and rests ever longer: on a busy
    // machine it may take a new start.
    let is_asked = || {
        let (url, asked) = serve(Manner::Honest, 20);
        let config = config(&url, "on_path = true\noldest_seconds = 60");
        let mut watch = Watch::start(&config, &source);
        watch.wait_for("offered");
        let begun = Instant::now();
        let is_just_what_is_sold = || {
            let asked = asked.lock().unwrap();
            asked.iter().any(|ask| ask["amount"] != asked[0]["amount"])
        };
        while !is_just_what_is_sold() && begun.elapsed() < Duration::from_secs(20) {
            std::thread::sleep(Duration::from_millis(10));
        }
        watch.stop();
        is_just_what_is_sold()
    };
    assert!((0..3).any(|_| is_asked()), "it is asked for just what is sold");

    // A limit is kept, said once, and nothing is sold by it; it is tried first before that
    // nothing sells is final.
    let (url, asked) = serve(Manner::Page("429 Too Many Requests\r\nRetry-After: 30", ""), 20);
    let mut watch = Watch::start(&config(&url, ""), &source);
    let line = watch.wait_for("no offer");
    assert!(line["reason"].as_str().unwrap().contains("again in 30 s"), "{line}");
    for _ in 0..3 {
        watch.wait_for("evaluated");
    }
    let lines = watch.stop();
    assert_eq!((messages(&lines, "no offer"), asked.lock().unwrap().len()), (1, 1), "{lines:#?}");
    let (url, _) = serve(Manner::Page("400 Bad Request", "{\"error\": \"No routes found\"}"), 20);
    let mut watch = Watch::start(&config(&url, ""), &source);
    watch.wait_for("no offer");
    let line = loop {
        let line = watch.wait_for("not liquidated");
        if line["reason"].as_str().unwrap().contains("nothing sells this") {
            break line;
        }
    };
    assert_eq!(line["obligation"], json!(at_risk));
    watch.stop();
}

/// Who owns the vaults of a pool of the stand-in at Jupiter's address.
fn stand_in_authority(pool: &Address) -> (Address, u8) {
    Address::find_program_address(&[b"pool", pool.as_ref()], &jupiter::PROGRAM_ID)
}

/// A folder in which nothing but a stand-in for Jupiter sells SOL, in a pool of its own.
fn with_stand_in() -> (tempfile::TempDir, PathBuf) {
    const SOL: u64 = 200_000;
    let (parent, path) = folder_with(&[]);
    let mut snapshot = Snapshot::read(&path).unwrap();
    let elf = fs::read(klend_fork::deploy_folder().join("swap_stand_in.so")).unwrap();
    deploy(&mut snapshot, jupiter::PROGRAM_ID, elf);
    let (mints, price) = market();
    let (authority, bump) = stand_in_authority(&key(20));
    let pool = account(jupiter::PROGRAM_ID, stand_in::pool_data(0, bump).to_vec());
    snapshot.accounts.insert(key(20), pool);
    for (mint, held) in mints.iter().zip([SOL * 1_000_000_000, SOL * price * 1_000_000]) {
        let mut data = vec![0; 165];
        data[..32].copy_from_slice(mint.as_ref());
        data[32..64].copy_from_slice(authority.as_ref());
        data[64..72].copy_from_slice(&held.to_le_bytes());
        data[108] = 1;
        // Wrapped SOL is what lies there in lamports.
        let mut vault = account(TOKEN_PROGRAM_ID, data);
        if *mint == NATIVE_MINT {
            vault.data[109..113].copy_from_slice(&1u32.to_le_bytes());
            vault.data[113..121].copy_from_slice(&vault.lamports.to_le_bytes());
            vault.lamports += held;
        }
        let vault_key = associated_token_account(&authority, mint, &TOKEN_PROGRAM_ID);
        snapshot.accounts.insert(vault_key, vault);
    }
    let whole = path.with_file_name("whole");
    snapshot.write(&whole).unwrap();
    (parent, whole)
}

/// What calls too deep is asked for anew with fewer accounts, by a command and by the loop,
/// and what is offered then lands on a node.
#[test]
fn a_route_that_calls_too_deep_is_asked_for_with_fewer_accounts_and_lands() {
    let (at_risk, _) = obligations();
    let (_parent, path) = with_stand_in();
    let (url, asked) = serve(Manner::TooDeep, 20);
    let ask = ["--fork", path.to_str().unwrap(), "liquidate", &at_risk, "--jupiter-url", &url];
    let result = json_of(&ask);
    assert_eq!(result["simulation"]["outcome"], "succeeded", "{result}");
    assert_eq!(result["quote"]["venue"], "Jupiter", "{result}");
    let mosts = |asked: &Asked| {
        let asked = asked.lock().unwrap();
        let mut mosts: Vec<u8> =
            asked.iter().map(|ask| ask["maxAccounts"].parse().unwrap()).collect();
        mosts.dedup();
        mosts
    };
    assert_eq!(mosts(&asked), [64, 52, 42, FLAT]);

    for manner in [Manner::StandIn, Manner::TooDeep] {
        let stage = Stage::of(&path, Options::default());
        let (url, asked) = serve(manner, 20);
        let config = format!(
            "{}keypair = {:?}\ntables = [{:?}]\nfeed = \"poll\"\npoll_ms = 50\n\
             cooldown_seconds = 1\ndiscover = false\n\
             [jupiter]\nurl = {url:?}\npause_ms = 100\nrefresh_seconds = 1",
            trusted(),
            stage.keypair,
            stage.table,
        );
        let mut watch = Watch::start(&config, &["--rpc", stage.node.url()]);
        let line = watch.wait_for("liquidated");
        assert_eq!(line["obligation"], json!(at_risk), "{line}");
        assert_ne!(line["signature"], "simulated");
        let shrunk = watch.count("an offer does not fit");
        watch.stop();
        assert_eq!(stage.node.signatures(), 1);
        match manner {
            Manner::TooDeep => assert!(shrunk >= 3 && mosts(&asked).contains(&FLAT), "{shrunk}"),
            _ => assert_eq!(shrunk, 0),
        }
    }
}

/// A program as accounts have it.
fn deploy(snapshot: &mut Snapshot, key: Address, elf: Vec<u8>) {
    let program = Account { executable: true, ..account(solana_sdk_ids::bpf_loader::ID, elf) };
    snapshot.accounts.insert(key, program);
}

/// A program that a variable names.
fn program(snapshot: &mut Snapshot, key: Address, variable: &str) -> bool {
    let Some(path) = env::var(variable).ok().filter(|path| !path.is_empty()) else {
        eprintln!("SKIPPED: {variable} names no program");
        return false;
    };
    let elf = fs::read(&path).unwrap_or_else(|error| panic!("{path}: {error}"));
    deploy(snapshot, key, elf);
    true
}

/// The real Jupiter, and the real Raydium CPMM beneath it, inside a liquidation.
#[test]
fn the_real_program_carries_its_routes_out() {
    let (at_risk, _) = obligations();
    let (_parent, path) = folder_with(&[]);
    let mut snapshot = Snapshot::read(&path).unwrap();
    let pool = put(&mut snapshot, 20, 20_000, Flaw::None);
    if !program(&mut snapshot, jupiter::PROGRAM_ID, "JUPITER_ELF")
        || !program(&mut snapshot, raydium_cpmm::PROGRAM_ID, "RAYDIUM_CPMM_ELF")
    {
        return;
    }
    // What the real program reads beside: prices seen before, who owns the vaults, and
    // accounts of programs.
    let mut seen = vec![0; 4_075];
    seen[..8].copy_from_slice(&[122, 174, 197, 53, 129, 9, 165, 132]);
    seen[11..43].copy_from_slice(pool.as_ref());
    snapshot.accounts.insert(key(23), account(raydium_cpmm::PROGRAM_ID, seen));
    let (authority, bump) =
        Address::find_program_address(&[b"vault_and_lp_mint_auth_seed"], &raydium_cpmm::PROGRAM_ID);
    let state = snapshot.accounts.get_mut(&pool).unwrap();
    state.data[296..328].copy_from_slice(key(23).as_ref());
    state.data[328] = bump;
    let vaults = listing(&raydium_cpmm::PROGRAM_ID).unwrap().vaults_of(&state.data).unwrap();
    for vault in vaults {
        let vault = snapshot.accounts.get_mut(&vault).unwrap();
        vault.data[32..64].copy_from_slice(authority.as_ref());
    }
    let whole = path.with_file_name("whole");
    snapshot.write(&whole).unwrap();
    let (url, _) = serve(Manner::Honest, 20);
    let source = ["--fork", whole.to_str().unwrap()];
    let liquidate = ["liquidate", &at_risk, "--jupiter-url", &url];
    let result = json_of(&[&source[..], &liquidate].concat());
    assert_eq!(result["simulation"]["outcome"], "succeeded", "{result}");
    assert_eq!(result["quote"]["venue"], "Jupiter", "{result}");
    let number = |value: &Value| value.as_str().unwrap().parse::<u64>().unwrap();
    let event = &result["simulation"]["events"][0];
    // It pays what the pool pays, and at least what was quoted.
    assert!(number(&event["swapProceeds"]) >= number(&result["quote"]["swapped"]), "{result}");
    let by_pool =
        json_of(&[&source[..], &["liquidate", &at_risk, "--pool", &pool.to_string()]].concat());
    assert_eq!(by_pool["simulation"]["outcome"], "succeeded", "{by_pool}");
    println!(
        "by Jupiter {} for {}, by the pool itself {} for {}; {} and {} compute units",
        event["swapProceeds"],
        event["collateralReceived"],
        by_pool["simulation"]["events"][0]["swapProceeds"],
        by_pool["simulation"]["events"][0]["collateralReceived"],
        result["simulation"]["computeUnits"],
        by_pool["simulation"]["computeUnits"],
    );
    // The loop does the same.
    let config = format!(
        "feed = \"poll\"\npoll_ms = 50\ncooldown_seconds = 600\ndiscover = false\n\
         [jupiter]\nurl = {url:?}\npause_ms = 100"
    );
    let mut watch = Watch::start(&config, &source);
    watch.wait_for("offered");
    let line = watch.wait_for("liquidated");
    assert_eq!(line["obligation"], json!(at_risk), "{line}");
    watch.stop();
}
