//! The loop while its node, its feed or its roads lie, lag, starve or are silent.

use std::{fs::File, process::Command, sync::atomic::Ordering, thread, time::Duration};

use fault_proxy::{
    proxy::{Fault, Proxy},
    socket::{self, SocketProxy},
};
use flash_liquidator_client::{
    receiver::swap_authority,
    swap::stand_in,
    token::{TOKEN_2022_PROGRAM_ID, associated_token_account},
    token_2022,
};
use klend_fork::{Position, World};
use serde_json::{Value, json};
use solana_account::Account;
use solana_address::Address;
use solana_signer::Signer as _;

use crate::{
    folder, folder_arg, json_of, keeper,
    node::{Fate, Node, Options},
    obligations,
    sending::{Stage, key},
    text,
    watch::{Watch, messages, metric, passes, sol, trusted, until},
};

const SCAN: &str = "getProgramAccounts";

/// A stage, and the configuration to send on it.
fn sending(options: Options, more: &str) -> (Stage, String) {
    let stage = Stage::with(options);
    let config = format!(
        "{}keypair = {:?}\ntables = [{:?}]\nfeed = \"poll\"\npoll_ms = 50\n\
         cooldown_seconds = 600\n{more}",
        trusted(),
        stage.keypair,
        stage.table
    );
    (stage, config)
}

fn reason(line: &Value) -> String {
    line["reason"].as_str().unwrap_or_default().to_owned()
}

#[test]
fn a_socket_that_stands_and_tells_nothing_is_given_up() {
    let (at_risk, _) = obligations();
    let node = Node::serve(folder());
    node.scale_price(&sol(), 150);
    let config = format!(
        "websocket_url = {:?}\npoll_ms = 600000\nsilence_seconds = 1\naudit_seconds = 0\n\
         cooldown_seconds = 600",
        node.websocket()
    );
    let mut watch = Watch::start(&config, &["--rpc", node.url()]);
    watch.wait_for("updates flow");
    watch.wait_for("ready");
    // Pings are answered as before.
    node.silence(true);
    node.scale_price(&sol(), 66);
    let lost = watch.wait_for("updates broke off: polling");
    assert!(reason(&lost).contains("clock has not changed"), "{lost}");
    node.silence(false);
    watch.wait_for("updates flow");
    let line = watch.wait_for("liquidated");
    assert_eq!(line["obligation"], json!(at_risk));
    watch.stop();
}

/// The clock is told, and others' prices, as they were long ago; then the clock alone.
#[test]
fn a_stream_that_lags_is_given_up_and_one_dead_price_is_found_out() {
    const FOR_LONG: Duration = Duration::from_secs(600);
    let (at_risk, _) = obligations();
    let node = Node::serve(folder());
    node.scale_price(&sol(), 150);
    let address = node.websocket().strip_prefix("ws://").unwrap().parse().unwrap();
    let stream = SocketProxy::to(address).unwrap();
    let config = format!(
        "websocket_url = {:?}\npoll_ms = 600000\nsilence_seconds = 1\naudit_seconds = 1\n\
         cooldown_seconds = 600",
        stream.url()
    );
    let mut watch = Watch::start(&config, &["--rpc", node.url()]);
    watch.wait_for("updates flow");
    watch.wait_for("ready");
    stream.during(socket::Fault::OldSlots, FOR_LONG);
    let lost = watch.wait_for("updates broke off: polling");
    assert!(reason(&lost).contains("and older for 1000 ms"), "{lost}");
    stream.clear();
    watch.wait_for("updates flow");
    let met = stream.during(socket::Fault::DeadAccounts, FOR_LONG);
    // What was told before is one thing, what is told now another.
    thread::sleep(Duration::from_millis(500));
    node.scale_price(&sol(), 66);
    watch.wait_for("a change was not told of: subscribing anew");
    assert!(met.load(Ordering::Relaxed) > 0);
    if watch.count("liquidated") == 0 {
        watch.wait_for("liquidated");
    }
    let lines = watch.stop();
    let is_it = |line: &Value| {
        line["fields"]["message"] == "liquidated" && line["fields"]["obligation"] == json!(at_risk)
    };
    assert!(lines.iter().any(is_it), "{lines:#?}");
}

/// The clock goes on, and one subscription of several is lost by the server.
#[test]
fn a_subscription_that_died_alone_is_found_out() {
    let (_, careful) = obligations();
    let node = Node::serve(folder());
    let config = format!(
        "websocket_url = {:?}\npoll_ms = 600000\naudit_seconds = 1\nnear_health = 10\n\
         cooldown_seconds = 600",
        node.websocket()
    );
    let mut watch = Watch::start(&config, &["--rpc", node.url()]);
    watch.wait_for("updates flow");
    watch.wait_for("liquidated");
    node.lose_programs();
    let careful: Address = careful.parse().unwrap();
    {
        let mut world = node.world();
        world.warp_slots(1);
        world
            .edit_obligation(&careful, |obligation| {
                let debt: u128 = obligation.borrows[0].borrowed_amount_sf.into();
                obligation.borrows[0].borrowed_amount_sf = (debt * 5 / 2).into();
            })
            .unwrap();
    }
    node.tell(&careful);
    watch.wait_for("a change was not told of: subscribing anew");
    watch.wait_for("updates flow");
    let told = |line: &Value| line["fields"]["obligation"] == json!(careful.to_string());
    if watch.count("liquidated") < 2 {
        watch.wait_for("liquidated");
    }
    let lines = watch.stop();
    let is_liquidated = |line: &&Value| line["fields"]["message"] == "liquidated";
    assert!(lines.iter().filter(is_liquidated).any(told), "{lines:#?}");
}

/// The same of a pool, which is told of by a connection of its own.
#[test]
fn a_pool_that_is_not_told_of_is_found_out() {
    let node = Node::serve(folder());
    node.scale_price(&sol(), 150);
    let config = format!(
        "websocket_url = {:?}\npoll_ms = 600000\naudit_seconds = 1\nnear_health = 10\n\
         cooldown_seconds = 600",
        node.websocket()
    );
    let mut watch = Watch::start(&config, &["--rpc", node.url()]);
    watch.wait_for("ready");
    if watch.count("updates of pools flow") == 0 {
        watch.wait_for("updates of pools flow");
    }
    {
        let mut world = node.world();
        world.warp_slots(1);
        for (pool, mut account) in world.svm().get_program_accounts(&stand_in::PROGRAM_ID) {
            // Its fee: one basis point more.
            account.data[0] += 1;
            world.set_account(&pool, account).unwrap();
        }
    }
    watch.wait_for("a change of a pool was not told of: subscribing anew");
    watch.wait_for("updates of pools flow");
    watch.stop();
}

#[test]
fn other_messages_between_are_let_pass() {
    let (at_risk, _) = obligations();
    let node = Node::with(folder(), Options { dialect: true, ..Options::default() });
    node.scale_price(&sol(), 150);
    let config =
        format!("websocket_url = {:?}\npoll_ms = 600000\ncooldown_seconds = 600", node.websocket());
    let mut watch = Watch::start(&config, &["--rpc", node.url()]);
    watch.wait_for("updates flow");
    watch.wait_for("ready");
    node.scale_price(&sol(), 66);
    let line = watch.wait_for("liquidated");
    assert_eq!(line["obligation"], json!(at_risk));
    let lines = watch.stop();
    assert_eq!(messages(&lines, "updates broke off: polling"), 0, "{lines:#?}");
}

#[test]
fn a_list_that_lost_what_was_there_wipes_nothing() {
    let (at_risk, _) = obligations();
    let node = Node::serve(folder());
    node.scale_price(&sol(), 150);
    // A reserve is missing from the first list, and somebody uses it.
    let proxy = Proxy::to(node.url(), &[(SCAN, Fault::ShortList)]);
    let config = "feed = \"poll\"\npoll_ms = 100\nrescan_seconds = 1\ncooldown_seconds = 600\n\
                  metrics = \"127.0.0.1:0\"";
    let mut watch = Watch::start(config, &["--rpc", proxy.url()]);
    let metrics = watch.wait_for("metrics are served")["address"].as_str().unwrap().to_owned();
    watch.wait_for("reserves that the node did not list");
    watch.wait_for("ready");
    let tracked = || metric(&metrics, "keeper_obligations_tracked");
    until("both are tracked", || tracked() == 2);
    // Whole scans come back with nothing, however often they are asked for.
    proxy.add(SCAN, Fault::EmptyList, 9);
    until("they were empty", || {
        assert_eq!(tracked(), 2);
        proxy.faults_left() == 0
    });
    assert_eq!(tracked(), 2);
    // Nor are the pools forgotten, while it goes on.
    proxy.add(SCAN, Fault::EmptyList, 1_000);
    until("they are empty", || proxy.faults_left() < 990);
    node.scale_price(&sol(), 66);
    let line = watch.wait_for("liquidated");
    assert_eq!(line["obligation"], json!(at_risk));
    assert!(proxy.faults_left() > 0);
    proxy.clear();

    // One that is gone is forgotten when two answers say so.
    let at_risk: Address = at_risk.parse().unwrap();
    {
        let mut world = node.world();
        world.warp_slots(1);
        world.set_account(&at_risk, solana_account::Account::default()).unwrap();
    }
    let closed = watch.wait_for("closed");
    assert_eq!(closed["obligation"], json!(at_risk.to_string()));
    until("one is tracked", || tracked() == 1);
    watch.stop();
}

#[test]
fn a_road_that_is_sick_at_first_gets_it_again() {
    for code in [-32005, 429] {
        let options = Options {
            refuses: Some(code),
            refusals: 2,
            fate: Fate::Executed { after_polls: 0 },
            ..Options::default()
        };
        let (stage, config) = sending(options, "");
        let mut watch = Watch::start(&config, &["--rpc", stage.node.url()]);
        let refused = watch.wait_for("refused");
        assert_eq!(refused["code"], json!(code));
        watch.wait_for("liquidated");
        let lines = watch.stop();
        assert_eq!(stage.node.signatures(), 1, "{lines:#?}");
        assert_eq!(messages(&lines, "failed") + messages(&lines, "not landed"), 0, "{lines:#?}");
    }
}

/// It is in a block and not confirmed yet when its deadline passes: it may land still, so
/// nothing else is signed; and it is not sent again, for it can only fail.
#[test]
fn what_is_in_a_block_is_waited_for_beyond_its_deadline_and_sent_no_more() {
    let options = Options {
        fate: Fate::Executed { after_polls: 14 },
        shows_processed: true,
        ..Options::default()
    };
    let (stage, config) = sending(options, "deadline_slots = 5");
    let mut watch = Watch::start(&config, &["--rpc", stage.node.url()]);
    until("it is sent", || stage.node.sent() >= 1);
    stage.node.world().warp_slots(30);
    thread::sleep(Duration::from_millis(600));
    let sent = stage.node.sent();
    thread::sleep(Duration::from_millis(1_500));
    assert_eq!(stage.node.sent(), sent, "sent after its deadline");
    watch.wait_for("liquidated");
    let lines = watch.stop();
    assert_eq!((stage.node.signatures(), messages(&lines, "signed")), (1, 1), "{lines:#?}");
}

/// The log of a watch that sends one transaction, which lands; once it is sent and its
/// deadline has passed, these faults befall what is asked about it.
fn landed_in_spite_of(faults: &[Fault]) -> Vec<Value> {
    let (stage, config) = sending(
        Options { fate: Fate::Executed { after_polls: 5 }, ..Options::default() },
        "deadline_slots = 5",
    );
    let proxy = Proxy::to(stage.node.url(), &[]);
    let mut watch = Watch::start(&config, &["--rpc", proxy.url()]);
    until("it is sent", || stage.node.sent() >= 1);
    for fault in faults {
        proxy.add("getSignatureStatuses", *fault, 1);
    }
    stage.node.world().warp_slots(30);
    watch.wait_for("liquidated");
    let lines = watch.stop();
    assert_eq!((stage.node.signatures(), messages(&lines, "signed")), (1, 1), "{lines:#?}");
    lines
}

/// A second answer that is of an earlier slot than the first does not say that it is over.
#[test]
fn an_end_that_one_of_several_backends_tells_of_is_not_believed_of_another() {
    // The first answer is of now, the second of long ago, and so on.
    let lines = landed_in_spite_of(&[[Fault::None, Fault::StaleSlot]; 3].concat());
    assert!(messages(&lines, "not over yet by the second answer") >= 1, "{lines:#?}");
}

/// Answers that lack what was asked for do not say that it is nowhere.
#[test]
fn an_answer_without_a_word_on_it_is_no_end_of_it() {
    let lines = landed_in_spite_of(&[Fault::PartialAnswer; 6]);
    assert!(messages(&lines, "no news") >= 2, "{lines:#?}");
}

#[test]
fn without_sol_it_pauses_before_the_first_failure_and_goes_on_when_there_is_some() {
    let (stage, config) = sending(
        Options { fate: Fate::Executed { after_polls: 0 }, ..Options::default() },
        "metrics = \"127.0.0.1:0\"",
    );
    let lamports = |lamports| solana_account::Account {
        lamports,
        owner: solana_sdk_ids::system_program::ID,
        ..solana_account::Account::default()
    };
    let keeper = key().pubkey();
    stage.node.world().set_account(&keeper, lamports(10_000)).unwrap();
    let mut watch = Watch::start(&config, &["--rpc", stage.node.url()]);
    let metrics = watch.wait_for("metrics are served")["address"].as_str().unwrap().to_owned();
    let paused = watch.wait_for("paused: the key cannot pay for it");
    assert!(paused["needed"].as_u64().unwrap() > paused["lamports"].as_u64().unwrap(), "{paused}");
    until("it shows", || metric(&metrics, "keeper_paused") == 1);
    assert_eq!(stage.node.sent(), 0);
    {
        let mut world = stage.node.world();
        world.warp_slots(1);
        world.set_account(&keeper, lamports(5_000_000_000)).unwrap();
    }
    watch.wait_for("liquidated");
    assert_eq!(metric(&metrics, "keeper_paused"), 0);
    let lines = watch.stop();
    assert_eq!(messages(&lines, "failed"), 0, "{lines:#?}");
}

/// The scan node fails, then the other; each is left out, taken back, and nothing is lost.
#[test]
fn several_nodes_stand_in_for_each_other() {
    let (at_risk, _) = obligations();
    let (first, second) = (Node::serve(folder()), Node::serve(folder()));
    let proxy = Proxy::to(first.url(), &[("getMultipleAccounts", Fault::Code(502)); 2]);
    let config = format!(
        "feed = \"poll\"\npoll_ms = 50\ncooldown_seconds = 600\n\
         nodes = [{{ url = {:?}, roles = [\"scan\", \"simulate\"] }}]",
        second.url()
    );
    let (code, lines) = passes(&config, &["--rpc", proxy.url()], 3);
    assert_eq!(code, 0, "{lines:#?}");
    assert!(messages(&lines, "node taken out") >= 1, "{lines:#?}");
    assert_eq!(messages(&lines, "the source failed"), 0, "{lines:#?}");
    let liquidated = lines.iter().find(|line| line["fields"]["message"] == "liquidated");
    assert_eq!(liquidated.unwrap()["fields"]["obligation"], json!(at_risk));
    assert!(second.calls("getMultipleAccounts") > 0);

    let quote = json_of(&["--fork", folder_arg(), "quote", &at_risk]);
    assert!(!quote["repay"].is_null());
}

/// In each way that nodes are known to, the preferred one lags or refuses: it is taken out,
/// the other answers, and it is taken back when it is well.
#[test]
fn a_node_that_lags_or_refuses_is_taken_out_and_taken_back() {
    const FOR_LONG: Duration = Duration::from_secs(600);
    let node = Node::serve(folder());
    node.scale_price(&sol(), 150);
    let [first, second] = [(); 2].map(|()| Proxy::to(node.url(), &[]));
    let name = json!(first.url().trim_start_matches("http://"));
    let config = format!(
        "feed = \"poll\"\npoll_ms = 50\ncooldown_seconds = 600\nnodes = [{{ url = {:?} }}]",
        second.url()
    );
    let mut watch = Watch::start(&config, &["--rpc", first.url()]);
    watch.wait_for("ready");
    let accounts = Some("getMultipleAccounts");
    for fault in [
        Fault::Code(410),
        Fault::Code(502),
        Fault::Code(-32_010),
        Fault::NodeIsBehind,
        Fault::StaleSlot,
        Fault::FarFuture,
    ] {
        // Counts, and lets them pass.
        let stands_in = second.during(accounts, Fault::None, FOR_LONG);
        let met = first.during(accounts, fault, FOR_LONG);
        while watch.wait_for("node taken out")["node"] != name {}
        // It may still be out from before.
        until("it is met", || met.load(Ordering::Relaxed) > 0);
        until("the other answers", || stands_in.load(Ordering::Relaxed) > 2);
        second.clear();
        first.clear();
        while watch.wait_for("node taken back")["node"] != name {}
    }
    node.scale_price(&sol(), 66);
    watch.wait_for("liquidated");
    watch.stop();
}

/// Two streams at once: one is cut, and no update is missed.
#[test]
fn two_streams_lose_no_update_when_one_is_cut() {
    let (at_risk, _) = obligations();
    let (first, second) = (Node::serve(folder()), Node::serve(folder()));
    for node in [&first, &second] {
        node.scale_price(&sol(), 150);
    }
    let config = format!(
        "websocket_url = {:?}\npoll_ms = 600000\ncooldown_seconds = 600\naudit_seconds = 0\n\
         nodes = [{{ url = {:?}, roles = [\"stream\"], websocket_url = {:?} }}]",
        first.websocket(),
        second.url(),
        second.websocket()
    );
    let mut watch = Watch::start(&config, &["--rpc", first.url()]);
    watch.wait_for("ready");
    until("both are subscribed", || first.subscribers(5) == 1 && second.subscribers(5) == 1);
    thread::sleep(Duration::from_millis(300));
    first.cut(true);
    watch.wait_for("one of the streams broke off");
    second.scale_price(&sol(), 66);
    let line = watch.wait_for("liquidated");
    assert_eq!(line["obligation"], json!(at_risk));
    let lines = watch.stop();
    assert_eq!(messages(&lines, "updates broke off: polling"), 0, "{lines:#?}");
}

/// The same in the loop: the node that reads, and takes transactions first, dies once
/// something was signed.
#[test]
fn a_liquidation_in_flight_outlives_the_node_that_took_it() {
    let (stage, config) =
        sending(Options { fate: Fate::Executed { after_polls: 6 }, ..Options::default() }, "");
    let [first, second] = [(); 2].map(|()| Proxy::to(stage.node.url(), &[]));
    let config = format!(
        "{config}nodes = [{{ url = {:?}, roles = [\"scan\", \"simulate\"] }}, {:?}]",
        second.url(),
        second.url()
    );
    let mut watch = Watch::start(&config, &["--rpc", first.url()]);
    watch.wait_for("signed");
    let met = first.during(None, Fault::DroppedConnection, Duration::from_secs(600));
    watch.wait_for("liquidated");
    let lines = watch.stop();
    assert!(met.load(Ordering::Relaxed) > 0);
    assert!(messages(&lines, "node taken out") >= 1, "{lines:#?}");
    assert_eq!((stage.node.signatures(), messages(&lines, "signed")), (1, 1), "{lines:#?}");
    assert_eq!(messages(&lines, "failed") + messages(&lines, "not landed"), 0, "{lines:#?}");
}

/// A node whose slots are not to come is left out, and its word changes nothing.
#[test]
fn a_node_from_the_far_future_poisons_nothing() {
    let (stage, config) =
        sending(Options { fate: Fate::Executed { after_polls: 2 }, ..Options::default() }, "");
    let [first, second] = [(); 2].map(|()| Proxy::to(stage.node.url(), &[]));
    stage.node.scale_price(&sol(), 150);
    let config =
        format!("{config}nodes = [{{ url = {:?}, roles = [\"scan\", \"send\"] }}]", second.url());
    let mut watch = Watch::start(&config, &["--rpc", first.url()]);
    watch.wait_for("ready");
    let met = first.during(None, Fault::FarFuture, Duration::from_secs(600));
    until("it was asked", || met.load(Ordering::Relaxed) > 3);
    stage.node.scale_price(&sol(), 66);
    watch.wait_for("liquidated");
    let lines = watch.stop();
    let told = |line: &Value| reason(&line["fields"]).contains("9223372036854775808");
    assert!(lines.iter().any(told), "{lines:#?}");
    assert_eq!(messages(&lines, "failed") + messages(&lines, "not landed"), 0, "{lines:#?}");
}

/// A node tells of more blocks than there were slots, whoever asks: neither its blockhash
/// nor the end it tells of is believed, and nothing is signed beside what is under way.
#[test]
fn a_block_height_that_is_not_so_makes_no_second_transaction() {
    let (stage, config) =
        sending(Options { fate: Fate::Executed { after_polls: 8 }, ..Options::default() }, "");
    let heights = ("getLatestBlockhash", Fault::FarHeight);
    let proxy = Proxy::to(stage.node.url(), &[heights]);
    let met = proxy.during(Some("getEpochInfo"), Fault::FarHeight, Duration::from_secs(600));
    let mut watch = Watch::start(&config, &["--rpc", proxy.url()]);
    watch.wait_for("liquidated");
    let lines = watch.stop();
    assert!(met.load(Ordering::Relaxed) > 0);
    assert_eq!((stage.node.signatures(), messages(&lines, "signed")), (1, 1), "{lines:#?}");
    assert_eq!(messages(&lines, "failed") + messages(&lines, "not landed"), 0, "{lines:#?}");
    let told = |line: &Value| reason(&line["fields"]).contains("a blockhash that is valid up to");
    assert!(lines.iter().any(told), "{lines:#?}");
}

/// The node that is asked first shows nothing of what there is. Nothing is forgotten, and
/// what it does not show is read from the other.
#[test]
fn what_one_node_does_not_show_another_is_asked_for() {
    let (at_risk, _) = obligations();
    let node = Node::serve(folder());
    node.scale_price(&sol(), 150);
    let [first, second] = [(); 2].map(|()| Proxy::to(node.url(), &[]));
    let config = format!(
        "feed = \"poll\"\npoll_ms = 50\ncooldown_seconds = 600\nmetrics = \"127.0.0.1:0\"\n\
         near_health = 10\nnodes = [{{ url = {:?}, roles = [\"scan\"] }}]",
        second.url()
    );
    let mut watch = Watch::start(&config, &["--rpc", first.url()]);
    let metrics = watch.wait_for("metrics are served")["address"].as_str().unwrap().to_owned();
    watch.wait_for("ready");
    let accounts = Some("getMultipleAccounts");
    let met = first.during(accounts, Fault::Nothing, Duration::from_secs(600));
    until("it showed nothing", || met.load(Ordering::Relaxed) > 3);
    node.scale_price(&sol(), 66);
    let line = watch.wait_for("liquidated");
    assert_eq!(line["obligation"], json!(at_risk));
    assert_eq!(metric(&metrics, "keeper_obligations_tracked"), 2);
    let lines = watch.stop();
    assert_eq!(messages(&lines, "closed") + messages(&lines, "an account is gone"), 0);
}

/// A mint that has one extension of this type.
fn extended(world: &mut World, mint: &Address, kind: u8, extension: &[u8]) {
    const BASE: usize = 165;
    const MINT: u8 = 1;
    let mut account = world.account(mint).unwrap();
    account.data.resize(BASE, 0);
    account.data.extend([MINT, kind, 0, u8::try_from(extension.len()).unwrap(), 0]);
    account.data.extend(extension);
    account.lamports = account.lamports.max(10_000_000);
    world.set_account(mint, account).unwrap();
}

/// A mint with an extension by which its authority pauses it.
fn pausable(world: &mut World, mint: &Address, paused: bool) {
    extended(world, mint, 26, &[&[7; 32][..], &[u8::from(paused)]].concat());
}

/// A mint whose transfers cost half a per cent.
fn with_fee(world: &mut World, mint: &Address) {
    let mut fee = [0; 108];
    fee[106..].copy_from_slice(&50_u16.to_le_bytes());
    extended(world, mint, 1, &fee);
}

/// A mint whose transfers call a program, which has this address.
const HOOK: [u8; 32] = [9; 32];

fn with_hook(world: &mut World, mint: &Address) {
    extended(world, mint, 14, &[[7; 32], HOOK].concat());
}

/// Somebody who owes a token of Token-2022: the obligation, and the debt's mint. When SOL
/// falls by a quarter it can be liquidated.
fn owes_token_2022(world: &mut World) -> (Address, Address) {
    let debt = world.reserve_named("PYUSD").unwrap();
    let owner = world.actor("who owes a token that can be paused");
    // 10 SOL, and 58 per cent of their worth in a token of a dollar and six decimals.
    let owed = (world.price(&sol()).unwrap().to_f64() * 5.8e6) as u64;
    let (deposits, borrows) = ([(sol(), 10_000_000_000)], [(debt, owed)]);
    let position = Position::new(&deposits, &borrows);
    let obligation = world.open_position(&owner, &position).unwrap();
    world.create_pool_at_oracle_price(&sol(), &debt, 1_000_000, 5).unwrap();
    (obligation, world.reserve_addresses(&debt).unwrap().liquidity_mint)
}

/// What a mint of Token-2022 has is said by those who look, and no rent is paid for
/// accounts that cannot be used.
#[test]
fn what_a_mint_forbids_or_takes_is_said_before_rent_is_paid() {
    let stage = Stage::new(Fate::Executed { after_polls: 0 });
    let reserve = stage.node.world().reserve_named("PYUSD").unwrap();
    let (obligation, mint) = owes_token_2022(&mut stage.node.world());
    stage.node.scale_price(&sol(), 75);
    let (reserve, url) = (reserve.to_string(), stage.node.url());
    let obligation = obligation.to_string();
    let quote = ["--rpc", url, "quote", &obligation];
    assert_eq!(json_of(&quote)["notes"], json!([]));
    let setup = ["--rpc", url, "setup", "--keypair", &stage.keypair, "--reserve", &reserve];
    let hooked = format!("transfers call program {}", Address::new_from_array(HOOK));
    type Change = fn(&mut World, &Address);
    let kinds: [(Change, &str, bool); 4] = [
        (
            |it, mint| extended(it, mint, 6, &[2]),
            "its accounts are frozen when they are made",
            true,
        ),
        (|it, mint| pausable(it, mint, true), "it is paused", true),
        (with_fee, "transfers cost 50 bps", false),
        (with_hook, &hooked, false),
    ];
    for (change, says, forbids) in kinds {
        change(&mut stage.node.world(), &mint);
        let note = json!(format!("mint {mint}: {says}"));
        let notes = |said: &Value| said["notes"].as_array().unwrap().clone();
        let scanned = json_of(&["--rpc", url, "scan"]);
        assert!(notes(&scanned).contains(&note), "{scanned}");
        // A quote says it, and so does the reason for which there is none: nothing is sold for
        // a token whose transfers cost something or call a program, and what is paused does not
        // move.
        let quoted = keeper(&quote);
        let is_quoted = says.starts_with("its accounts are frozen");
        assert_eq!(quoted.status.success(), is_quoted, "{}", text(&quoted));
        let said = if is_quoted { json_of(&quote)["notes"].to_string() } else { text(&quoted) };
        assert!(said.contains(note.as_str().unwrap()), "{said}");
        let costs = json_of(&setup);
        assert!(notes(&costs).contains(&note), "{costs}");
        let left = format!("reserve {reserve} is left out: its mint is of no use");
        assert_eq!(notes(&costs).contains(&json!(left)), forbids, "{costs}");
        let accounts = if forbids { 0 } else { 3 };
        assert_eq!(costs["tokenAccounts"], accounts, "{costs}");
    }
}

/// Fees that others' transfers left in an account keep it open: they go to the mint, and it
/// closes.
#[test]
fn an_account_with_withheld_fees_is_closed_by_undo() {
    /// Where a mint's fee extension has what was withheld, behind base, kind and type.
    const WITHHELD: usize = 166 + 4 + 64;
    let stage = Stage::new(Fate::Executed { after_polls: 0 });
    let reserve = stage.node.world().reserve_named("PYUSD").unwrap();
    let mint = stage.node.world().reserve_addresses(&reserve).unwrap().liquidity_mint;
    with_fee(&mut stage.node.world(), &mint);
    let (url, reserve) = (stage.node.url(), reserve.to_string());
    let setup = ["--rpc", url, "setup", "--keypair", &stage.keypair, "--reserve", &reserve];
    json_of(&[&setup[..], &["--yes"]].concat());
    let owners = [key().pubkey(), swap_authority(&key().pubkey()).0];
    let accounts =
        owners.map(|owner| associated_token_account(&owner, &mint, &TOKEN_2022_PROGRAM_ID));
    for of in &accounts {
        let mut world = stage.node.world();
        let mut account = world.account(of).unwrap();
        // Its extensions, one behind the other: type, length, data.
        let mut at = 166;
        while account.data[at] != 2 {
            at += 4 + usize::from(account.data[at + 2]);
        }
        account.data[at + 4..at + 12].copy_from_slice(&7_u64.to_le_bytes());
        assert_eq!(token_2022::withheld(&account.owner, &account.data), 7);
        world.set_account(of, account).unwrap();
    }
    let program = ["--program-hash", &stage.hash, "--program-authority", &stage.authority];
    let undone = json_of(&[&setup[..], &["--undo", "--yes"], &program].concat());
    assert_eq!((&undone["done"], &undone["failed"]), (&json!(true), &json!([])), "{undone}");
    let world = stage.node.world();
    for of in &accounts {
        assert!(!undone["notes"].to_string().contains(&of.to_string()), "{undone}");
        assert!(world.account(of).is_none());
    }
    assert_eq!(world.account(&mint).unwrap().data[WITHHELD..][..8], 14_u64.to_le_bytes());
}

/// No file of the keeper can be written to for a while, as where a disk is full: nothing is
/// begun that would be in no ledger, nothing ends, and it goes on after.
#[test]
fn on_a_full_disk_nothing_is_sent_until_there_is_room() {
    let ledgers = tempfile::tempdir().unwrap();
    let ledger = ledgers.path().join("keeper.db");
    let options = Options { fate: Fate::Executed { after_polls: 0 }, ..Options::default() };
    let (stage, config) = sending(options, &format!("ledger = {ledger:?}"));
    stage.node.scale_price(&sol(), 150);
    let mut watch = Watch::start_limited(&config, &["--rpc", stage.node.url()]);
    watch.wait_for("ready");
    watch.limit("fsize", "0");
    stage.node.scale_price(&sol(), 66);
    watch.wait_for("the ledger cannot be written: nothing is begun meanwhile");
    watch.wait_for("not sent");
    assert_eq!(stage.node.sent(), 0);
    watch.limit("fsize", "unlimited");
    watch.wait_for("the ledger is written again");
    watch.wait_for("liquidated");
    watch.stop();
    assert_eq!(stage.node.signatures(), 1);
    let rows = keeper(&["report", "--ledger", ledger.to_str().unwrap(), "--export", "json"]);
    let rows = text(&rows);
    assert!(rows.contains(&stage.node.last_signature().unwrap()), "{rows}");
}

/// Its log goes to a disk that is full: that is no reason to end, nor to leave anything alone.
#[test]
fn a_log_that_cannot_be_written_ends_nothing() {
    let options = Options { fate: Fate::Executed { after_polls: 0 }, ..Options::default() };
    let (stage, config) = sending(options, "");
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("keeper.toml");
    std::fs::write(&path, config).unwrap();
    let full = || File::options().write(true).open("/dev/full").unwrap();
    let keeper = |args: &[&str]| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_keeper"));
        command.args(args).env_remove("KEEPER_RPC_URL").stderr(full());
        command
    };
    let watch = ["--rpc", stage.node.url(), "watch", "--config", path.to_str().unwrap()];
    let mut running = keeper(&watch).spawn().unwrap();
    until("it liquidates", || stage.node.signatures() == 1);
    let stop = ["-c", "kill \"$0\"", &running.id().to_string()];
    assert!(Command::new("sh").args(stop).status().unwrap().success());
    assert!(running.wait().unwrap().success());
    // Nor does a command end otherwise than with its own exit code.
    let nobody = Address::new_unique().to_string();
    let failed = keeper(&["--rpc", stage.node.url(), "obligation", &nobody]).status().unwrap();
    assert_eq!(failed.code(), Some(1));
}

/// Its authority gives a mint a fee, then a hook, then pauses it and lets it go again: each
/// is said, and what would have to move it while it is paused waits.
#[test]
fn a_mint_that_is_paused_while_it_is_watched_is_left_alone_until_it_is_not() {
    let node = Node::serve(folder());
    node.scale_price(&sol(), 150);
    let (obligation, mint) = {
        let mut world = node.world();
        let (obligation, mint) = owes_token_2022(&mut world);
        pausable(&mut world, &mint, false);
        (json!(obligation.to_string()), mint)
    };
    let config = "feed = \"poll\"\npoll_ms = 50\ncooldown_seconds = 1\nnear_health = 10";
    let mut watch = Watch::start(config, &["--rpc", node.url()]);
    watch.wait_for("ready");
    let mut wait_for = |message: &str| {
        loop {
            let line = watch.wait_for(message);
            if line["obligation"].is_null() || line["obligation"] == obligation {
                return line;
            }
        }
    };
    let changed = |becomes: &dyn Fn(&mut World, &Address)| {
        let mut world = node.world();
        world.warp_slots(1);
        becomes(&mut world, &mint);
    };
    let change = |paused| changed(&|world, mint| pausable(world, mint, paused));
    let mut is_told = |has: &str| {
        let told = wait_for("a mint has changed");
        assert_eq!((&told["mint"], &told["has"]), (&json!(mint.to_string()), &json!(has)));
    };
    changed(&with_fee);
    is_told("transfers cost 50 bps");
    changed(&with_hook);
    is_told(&format!("transfers call program {}", Address::new_from_array(HOOK)));
    change(false);
    is_told("nothing special");
    change(true);
    is_told("it is paused");
    node.scale_price(&sol(), 75);
    let left = wait_for("not liquidated");
    assert!(reason(&left).contains("it is paused"), "{left}");
    change(false);
    wait_for("liquidated");
    let lines = watch.stop();
    assert_eq!(messages(&lines, "failed"), 0, "{lines:#?}");
}

/// A node shows no pool for a while. What nothing sells then does not rest for a day, but
/// until the pool is seen again.
#[test]
fn a_pool_that_is_not_shown_for_a_while_is_missed_no_longer_than_that() {
    let (at_risk, _) = obligations();
    let node = Node::serve(folder());
    node.scale_price(&sol(), 150);
    let pools = node.world().svm().get_program_accounts(&stand_in::PROGRAM_ID);
    assert!(!pools.is_empty());
    let config = "feed = \"poll\"\npoll_ms = 50\ncooldown_seconds = 600\nnear_health = 10";
    let mut watch = Watch::start(config, &["--rpc", node.url()]);
    watch.wait_for("ready");
    let show = |shown: bool| {
        let mut world = node.world();
        world.warp_slots(1);
        for (pool, account) in &pools {
            let account = if shown { account.clone() } else { Account::default() };
            world.set_account(pool, account).unwrap();
        }
    };
    show(false);
    watch.wait_for("an account is gone");
    node.scale_price(&sol(), 66);
    let left = watch.wait_for("not liquidated");
    assert!(reason(&left).contains("nothing sells this"), "{left}");
    show(true);
    let liquidated = watch.wait_for("liquidated");
    assert_eq!(liquidated["obligation"], json!(at_risk));
    watch.stop();
}

/// No file and no socket can be opened for a while: nothing ends, and it goes on after.
#[test]
fn without_file_descriptors_it_waits_and_goes_on() {
    let (at_risk, _) = obligations();
    let node = Node::serve(folder());
    node.scale_price(&sol(), 150);
    let config = format!(
        "websocket_url = {:?}\npoll_ms = 100\nsilence_seconds = 1\nrescan_seconds = 1\n\
         cooldown_seconds = 600",
        node.websocket()
    );
    let mut watch = Watch::start(&config, &["--rpc", node.url()]);
    watch.wait_for("updates flow");
    watch.wait_for("ready");
    watch.limit("nofile", "3");
    // Whatever is open ends: it has to be opened again.
    node.cut(false);
    let lost = watch.wait_for("updates broke off: polling");
    let short = std::iter::repeat_with(|| watch.wait_for("updates broke off: polling"));
    let short =
        std::iter::once(lost).chain(short).find(|line| reason(line).contains("os error 24"));
    assert!(short.is_some());
    node.scale_price(&sol(), 66);
    watch.limit("nofile", "1024");
    let line = watch.wait_for("liquidated");
    assert_eq!(line["obligation"], json!(at_risk));
    watch.stop();
}
