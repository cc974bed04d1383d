//! The loop by Yellowstone gRPC, from an endpoint that is well and one that is not.

use std::{
    collections::{HashMap, HashSet},
    sync::{Arc, Mutex},
    time::Duration,
};

use fault_proxy::geyser::{self, Reply};
use futures_util::{StreamExt as _, stream};
use klend_model::constants::KLEND_PROGRAM_ID;
use serde_json::{Value, json};
use solana_account::Account;
use solana_address::Address;
use solana_sdk_ids::sysvar;
use yellowstone_grpc_proto::prelude::{
    SubscribeRequest, subscribe_request_filter_accounts_filter::Filter,
    subscribe_request_filter_accounts_filter_memcmp::Data,
};

use crate::{
    folder,
    node::Node,
    obligations,
    watch::{Watch, messages, metric, sol, until},
};

/// What the endpoint does, and subscriptions that come while it does it.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Script {
    /// Tells of everything that is written, and of the clock.
    Well,
    /// Streams stand, and nothing is told.
    Silent,
    /// Nothing but the clock is told.
    OnlyClock,
    /// Subscriptions are not answered.
    Hangs,
    /// Everything is told as of so long ago.
    Old,
    /// Everything is told as of a slot that is not to come.
    FarFuture,
    /// This account is told of as closed, however it is.
    Closes(Address),
}

/// What was subscribed to, as it is now.
fn wanted(node: &Node, request: &SubscribeRequest) -> (u64, Vec<(Address, Account)>) {
    let mut world = node.world();
    let klends = world.svm().get_program_accounts(&KLEND_PROGRAM_ID);
    let mut all = Vec::new();
    for filter in request.accounts.values() {
        let singles = filter.account.iter().map(|key| key.parse().unwrap());
        all.extend(singles.filter_map(|key: Address| Some((key, world.account(&key)?))));
        if filter.owner.is_empty() {
            continue;
        }
        let passes = |data: &[u8]| {
            filter.filters.iter().all(|filter| match filter.filter.as_ref().unwrap() {
                Filter::Memcmp(compared) => {
                    let Some(Data::Bytes(bytes)) = &compared.data else { panic!("not asked for") };
                    let tail = data.get(usize::try_from(compared.offset).unwrap()..);
                    tail.is_some_and(|tail| tail.starts_with(bytes))
                }
                other => panic!("{other:?} is not asked for"),
            })
        };
        all.extend(klends.iter().filter(|(_, account)| passes(&account.data)).cloned());
    }
    (world.slot(), all)
}

/// Serves what is written on a node.
fn serve(node: &Arc<Node>, script: &Arc<Mutex<Script>>) -> String {
    const TICK: Duration = Duration::from_millis(50);
    let (node, script) = (Arc::clone(node), Arc::clone(script));
    geyser::serve(move |_, request| {
        if *script.lock().unwrap() == Script::Hangs {
            return Reply::Hangs { is_taken: false };
        }
        // What is there when it subscribes is not told.
        let known: HashMap<Address, Account> = wanted(&node, &request).1.into_iter().collect();
        let (node, script) = (Arc::clone(&node), Arc::clone(&script));
        let told = stream::unfold((known, 0), move |(mut known, mut write)| {
            let (node, script, request) = (Arc::clone(&node), Arc::clone(&script), request.clone());
            async move {
                tokio::time::sleep(TICK).await;
                let script = *script.lock().unwrap();
                let mut updates = Vec::new();
                let (slot, accounts) = wanted(&node, &request);
                let slot = match script {
                    Script::Silent | Script::Hangs => return Some((updates, (known, write))),
                    Script::Old => slot.saturating_sub(200),
                    Script::FarFuture => 1 << 63,
                    Script::Well | Script::OnlyClock | Script::Closes(_) => slot,
                };
                let there: HashSet<Address> = accounts.iter().map(|(key, _)| *key).collect();
                let gone = known.keys().filter(|key| !there.contains(*key)).copied();
                let gone: Vec<_> = gone.map(|key| (key, Account::default())).collect();
                for (key, account) in accounts.into_iter().chain(gone) {
                    if script == Script::OnlyClock && key != sysvar::clock::ID {
                        continue;
                    }
                    let is_closed = script == Script::Closes(key);
                    let account = if is_closed { Account::default() } else { account };
                    if key == sysvar::clock::ID || known.get(&key) != Some(&account) {
                        write += 1;
                        updates.push(geyser::written(slot, write, &key, &account));
                        known.insert(key, account);
                    }
                }
                Some((updates, (known, write)))
            }
        });
        Reply::Tells(Box::pin(told.flat_map(stream::iter)))
    })
}

fn reason(line: &Value) -> &str {
    line["reason"].as_str().unwrap_or_default()
}

#[test]
fn a_watch_by_grpc_outlives_an_endpoint_that_lies_lags_and_is_silent() {
    let (at_risk, _) = obligations();
    let node = Arc::new(Node::serve(folder()));
    node.scale_price(&sol(), 150);
    let script = Arc::new(Mutex::new(Script::Well));
    let does = |what: Script| *script.lock().unwrap() = what;
    let url = serve(&node, &script);
    let config = format!(
        "feed = \"yellowstone\"\nyellowstone_url = {url:?}\npoll_ms = 600000\n\
         rescan_seconds = 86400\nsilence_seconds = 1\naudit_seconds = 0\nnear_health = 10\n\
         cooldown_seconds = 1\nmetrics = \"127.0.0.1:0\""
    );
    let mut watch = Watch::start(&config, &["--rpc", node.url()]);
    let metrics = watch.wait_for("metrics are served")["address"].as_str().unwrap().to_owned();
    watch.wait_for("updates flow");
    watch.wait_for("ready");
    assert_eq!(metric(&metrics, "keeper_obligations_tracked"), 2);

    // Told of as closed, it is looked at before that is believed, and it is there.
    let closed: Address = at_risk.parse().unwrap();
    node.pass_slots(1);
    does(Script::Closes(closed));
    let doubted = watch.wait_for("not shown where something was: asked again");
    assert_eq!(doubted["first"], json!(at_risk));
    does(Script::Well);
    node.scale_price(&sol(), 66);
    assert_eq!(watch.wait_for("liquidated")["obligation"], json!(at_risk));
    assert_eq!(metric(&metrics, "keeper_obligations_tracked"), 2);
    node.scale_price(&sol(), 150);

    for (script, why) in [
        (Script::Silent, "the clock has not changed for 1000 ms"),
        (Script::Old, "and older for 1000 ms"),
        (Script::FarFuture, "no cluster has come"),
        (Script::Hangs, "has not subscribed after 10000 ms"),
    ] {
        does(script);
        loop {
            let lost = watch.wait_for("updates broke off: polling");
            if reason(&lost).contains(why) {
                break;
            }
        }
        does(Script::Well);
        watch.wait_for("updates flow");
    }

    // It is by updates that it hears of the next price, and of what is closed in truth.
    node.scale_price(&sol(), 66);
    assert_eq!(watch.wait_for("liquidated")["obligation"], json!(at_risk));
    {
        let mut world = node.world();
        world.warp_slots(1);
        world.set_account(&closed, Account::default()).unwrap();
    }
    assert_eq!(watch.wait_for("closed")["obligation"], json!(at_risk));
    until("one is tracked", || metric(&metrics, "keeper_obligations_tracked") == 1);
    let lines = watch.stop();
    assert_eq!(messages(&lines, "failed"), 0, "{lines:#?}");
}

/// The clock goes on, so the stream is no dead one; what else was subscribed to is.
#[test]
fn a_filter_that_died_alone_is_found_out_by_grpc_too() {
    let (at_risk, _) = obligations();
    let node = Arc::new(Node::serve(folder()));
    node.scale_price(&sol(), 150);
    let script = Arc::new(Mutex::new(Script::Well));
    let url = serve(&node, &script);
    let config = format!(
        "feed = \"yellowstone\"\nyellowstone_url = {url:?}\npoll_ms = 600000\n\
         rescan_seconds = 86400\naudit_seconds = 1\nnear_health = 10\ncooldown_seconds = 600"
    );
    let mut watch = Watch::start(&config, &["--rpc", node.url()]);
    watch.wait_for("updates flow");
    watch.wait_for("ready");
    *script.lock().unwrap() = Script::OnlyClock;
    // What is told already is told: a tick of the endpoint's later nothing more is.
    std::thread::sleep(Duration::from_millis(200));
    node.scale_price(&sol(), 66);
    watch.wait_for("a change was not told of: subscribing anew");
    *script.lock().unwrap() = Script::Well;
    watch.wait_for("updates flow");
    let lines = watch.stop();
    // By the audit that found it out.
    let is_it = |line: &Value| {
        line["fields"]["message"] == "liquidated" && line["fields"]["obligation"] == json!(at_risk)
    };
    assert!(lines.iter().any(is_it), "{lines:#?}");
}
