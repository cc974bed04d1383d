//! What goes wrong between the keeper and its node costs time and nothing else.

use std::{
    sync::atomic::{AtomicUsize, Ordering},
    thread,
    time::Duration,
};

use fault_proxy::proxy::{Fault, Proxy};

use crate::{
    MARKET, SOL_RESERVE, folder, folder_arg, json_of,
    node::{Fate, Node, Options},
    obligations, refused,
    sending::Stage,
};

const READ: &str = "getMultipleAccounts";
const SCAN: &str = "getProgramAccounts";

#[test]
fn a_faulty_node_costs_time_and_nothing_else() {
    let (at_risk, _) = obligations();
    let expected = json_of(&["--fork", folder_arg(), "quote", &at_risk]);
    let node = Node::serve(folder());
    let mut faults = vec![
        Fault::TooManyRequests,
        Fault::TruncatedJson,
        Fault::PartialAnswer,
        Fault::DroppedConnection,
        Fault::LostAnswer,
        Fault::NodeIsBehind,
        Fault::InternalError,
        Fault::Timeout,
        Fault::AskedLater(1),
        // What else it says is not the reason.
        Fault::Busy(-32600),
    ];
    // Rate limits, sick and lagging nodes, pages: by all the names they go by.
    faults.extend(
        [429, 502, 503, 200, -32603, -32429, -32007, -32097, -32005, -32004, -32000]
            .map(Fault::Code),
    );
    let (next, count) = (AtomicUsize::new(0), faults.len());
    thread::scope(|scope| {
        let work = || {
            while let Some(fault) = faults.get(next.fetch_add(1, Ordering::SeqCst)) {
                // Twice, but for what takes all the time that a node has.
                let times = if *fault == Fault::Timeout { 1 } else { 2 };
                let proxy = Proxy::to(node.url(), &[(READ, *fault); 2][..times]);
                let args = ["--rpc", proxy.url(), "--rpc-timeout", "2", "quote", &at_risk];
                assert_eq!(json_of(&args), expected, "{fault:?}");
                assert_eq!(proxy.faults_left(), 0, "{fault:?} did not happen");
            }
        };
        // Most of it is waiting.
        (0..6).for_each(|_| drop(scope.spawn(work)));
    });
    assert!(next.into_inner() >= count);
}

#[test]
fn what_nothing_helps_against_is_said_at_once() {
    let node = Node::serve(folder());
    for code in [-32601, -32010, 410, -32600] {
        let proxy = Proxy::to(node.url(), &[(READ, Fault::Code(code)); 3]);
        let said = refused(&["--rpc", proxy.url(), "market", MARKET], 1);
        assert!(said.contains(&format!("({code})")), "{said}");
        assert_eq!(proxy.faults_left(), 2, "{code}");
    }
    // An hour's pause is not slept through, and said.
    let proxy = Proxy::to(node.url(), &[(READ, Fault::AskedLater(60))]);
    let said = refused(&["--rpc", proxy.url(), "--rpc-timeout", "2", "market", MARKET], 1);
    assert!(said.contains("asked again in 60000 ms") && said.contains("429"), "{said}");
}

/// Providers allow a hundred accounts a call, or 75, or five, or so many bytes.
#[test]
fn what_is_too_much_for_a_provider_is_asked_for_in_pieces() {
    let (at_risk, _) = obligations();
    let node = Node::serve(folder());
    let expected = json_of(&["--rpc", node.url(), "quote", &at_risk]);
    for (most, code) in [(5, -32602), (7, 413), (1, 413)] {
        node.limit(most, code);
        assert_eq!(json_of(&["--rpc", node.url(), "quote", &at_risk]), expected, "{most}");
    }
    node.limit(usize::MAX, 0);
    // What programs' code is asked for by, too: a machine is made of it.
    let stage = Stage::new(Fate::Executed { after_polls: 0 });
    stage.node.limit(1, 413);
    let args = [&stage.liquidate(stage.node.url(), &at_risk)[..], &["--dry-run"]].concat();
    assert_eq!(json_of(&args)["simulation"]["outcome"], "succeeded");
    assert!(stage.node.calls_since(0).iter().any(|(_, params)| !params[1]["dataSlice"].is_null()));
    // Reserves that are too many bytes for one answer, too.
    let proxy = Proxy::to(node.url(), &[(SCAN, Fault::Code(413))]);
    assert_eq!(json_of(&["--rpc", proxy.url(), "quote", &at_risk]), expected);
    assert_eq!(proxy.faults_left(), 0);
}

#[test]
fn an_empty_list_is_asked_for_again() {
    let (at_risk, _) = obligations();
    let node = Node::serve(folder());
    let scan = |url: &str| {
        let mut scan = json_of(&["--rpc", url, "scan"]);
        scan["milliseconds"] = serde_json::Value::Null;
        scan
    };
    let expected = scan(node.url());
    // The reserves, then the obligations.
    let faults = [Fault::EmptyList, Fault::None, Fault::EmptyList].map(|fault| (SCAN, fault));
    let proxy = Proxy::to(node.url(), &faults);
    assert_eq!((scan(proxy.url()), proxy.faults_left()), (expected, 0));
    let quote = |url: &str| json_of(&["--rpc", url, "quote", &at_risk]);
    let proxy = Proxy::to(node.url(), &[(SCAN, Fault::EmptyList)]);
    assert_eq!(quote(proxy.url()), quote(node.url()));
}

/// Those who pass answers on by JavaScript round the epoch of rent; ids may be text, or
/// null; there may be more in an answer than there was.
#[test]
fn an_answer_in_dialect_is_the_same_answer() {
    let (at_risk, _) = obligations();
    let plain = json_of(&["--fork", folder_arg(), "quote", &at_risk]);
    let node = Node::with(folder(), Options { dialect: true, ..Options::default() });
    assert_eq!(json_of(&["--rpc", node.url(), "quote", &at_risk]), plain);

    // Accounts may be longer than today's.
    let proxy = Proxy::to(node.url(), &[]);
    let met = proxy.during(Some(SCAN), Fault::Grown, Duration::from_secs(600));
    assert_eq!(json_of(&["--rpc", proxy.url(), "quote", &at_risk]), plain);
    assert!(met.load(Ordering::Relaxed) > 0);

    for epoch in ["18446744073709552000", "1.8446744073709552e19", "\"18446744073709551615\""] {
        let copy = copied(|text| {
            let at = text.find("\"rentEpoch\": ").unwrap() + 13;
            let end = at + text[at..].find([',', '\n']).unwrap();
            format!("{}{epoch}{}", &text[..at], &text[end..])
        });
        let source = copy.path().to_str().unwrap();
        assert_eq!(json_of(&["--fork", source, "quote", &at_risk]), plain, "{epoch}");
        let done = json_of(&["--fork", source, "liquidate", &at_risk]);
        assert_eq!(done["simulation"]["outcome"], "succeeded", "{epoch}: {done}");
    }
}

/// A copy of the folder with every account's file as `edit` makes it.
fn copied(edit: impl Fn(&str) -> String) -> tempfile::TempDir {
    let parent = tempfile::tempdir().unwrap();
    let accounts = parent.path().join("accounts");
    std::fs::create_dir(&accounts).unwrap();
    for file in folder().join("accounts").read_dir().unwrap() {
        let path = file.unwrap().path();
        let text = std::fs::read_to_string(&path).unwrap();
        std::fs::write(accounts.join(path.file_name().unwrap()), edit(&text)).unwrap();
    }
    let manifest = std::fs::read(folder().join("manifest.json")).unwrap();
    std::fs::write(parent.path().join("manifest.json"), manifest).unwrap();
    parent
}

/// Accounts are read one after the other, and a refresh may come in between: klend knows
/// none from the future, and the keeper no clock that is behind its accounts.
#[test]
fn a_reserve_refreshed_after_the_clock_was_read_is_no_reason_to_leave_it() {
    let (at_risk, _) = obligations();
    let mut snapshot = klend_fork::Snapshot::read(folder()).unwrap();
    let slot = snapshot.slot + 3;
    let reserve = snapshot.accounts.get_mut(&SOL_RESERVE.parse().unwrap()).unwrap();
    // Discriminator and version stand before it.
    reserve.data[16..24].copy_from_slice(&slot.to_le_bytes());
    let parent = tempfile::tempdir().unwrap();
    let path = parent.path().join("fork");
    snapshot.write(&path).unwrap();
    let source = path.to_str().unwrap();
    let quote = json_of(&["--fork", source, "quote", &at_risk]);
    assert!(quote["repay"].as_str().unwrap().parse::<u64>().unwrap() > 0, "{quote}");
    let done = json_of(&["--fork", source, "liquidate", &at_risk]);
    assert_eq!(done["simulation"]["outcome"], "succeeded", "{done}");
    let (_, lines) = crate::watch::passes("poll_ms = 50", &["--fork", source], 3);
    assert!(lines.iter().any(|line| line["fields"]["message"] == "liquidated"), "{lines:#?}");
    // The same of an obligation, and one that is longer than today's.
    let mut snapshot = klend_fork::Snapshot::read(folder()).unwrap();
    let obligation = snapshot.accounts.get_mut(&at_risk.parse().unwrap()).unwrap();
    obligation.data[16..24].copy_from_slice(&slot.to_le_bytes());
    obligation.data.push(0);
    let path = parent.path().join("longer");
    snapshot.write(&path).unwrap();
    let source = path.to_str().unwrap();
    assert_eq!(json_of(&["--fork", source, "scan"])["unhealthy"], 1);
    let quote = json_of(&["--fork", source, "quote", &at_risk]);
    assert!(quote["repay"].as_str().unwrap().parse::<u64>().unwrap() > 0, "{quote}");
}

#[test]
fn a_scan_survives_what_goes_wrong() {
    let scan = |source: &[&str]| {
        let mut scan = json_of(&[source, &["scan"]].concat());
        scan["milliseconds"] = serde_json::Value::Null;
        scan
    };
    let expected = scan(&["--fork", folder_arg()]);
    let node = Node::serve(folder());
    for fault in [
        Fault::TooManyRequests,
        Fault::TruncatedJson,
        Fault::DroppedConnection,
        Fault::InternalError,
    ] {
        let proxy = Proxy::to(node.url(), &[(SCAN, fault), (SCAN, fault), (READ, fault)]);
        assert_eq!(scan(&["--rpc", proxy.url()]), expected, "{fault:?}");
        assert_eq!(proxy.faults_left(), 0, "{fault:?} did not happen");
    }
}

/// A node behind the same address that is far behind would show old prices.
#[test]
fn an_answer_from_the_past_is_asked_for_again() {
    let (at_risk, _) = obligations();
    let node = Node::serve(folder());
    let reads = |faults: &[(&'static str, Fault)]| {
        let before = node.calls(READ);
        let proxy = Proxy::to(node.url(), faults);
        let quoted = json_of(&["--rpc", proxy.url(), "quote", &at_risk]);
        assert_eq!(proxy.faults_left(), 0);
        (quoted, node.calls(READ) - before)
    };
    let lists = node.calls(SCAN);
    let (expected, plain) = reads(&[]);
    let plain_lists = node.calls(SCAN) - lists;
    // The first answer says which slot it is; the second one lies.
    let (quoted, with_stale) = reads(&[(READ, Fault::None), (READ, Fault::StaleSlot)]);
    assert_eq!((quoted, with_stale), (expected.clone(), plain + 1));
    // The same of a list.
    let lists = node.calls(SCAN);
    let (quoted, _) = reads(&[(SCAN, Fault::StaleSlot)]);
    assert_eq!((quoted, node.calls(SCAN) - lists), (expected, plain_lists + 1));
}

#[test]
fn a_node_that_stays_broken_is_given_up_on() {
    let node = Node::serve(folder());
    let proxy = Proxy::to(node.url(), &[(READ, Fault::TruncatedJson); 64]);
    let said = refused(&["--rpc", proxy.url(), "market", MARKET], 1);
    assert!(said.contains("failed 5 times"), "{said}");
    let proxy = Proxy::to(node.url(), &[(READ, Fault::PartialAnswer); 64]);
    let said = refused(&["--rpc", proxy.url(), "market", MARKET], 1);
    assert!(said.contains("of") && said.contains("accounts at slot"), "{said}");
}

#[test]
fn a_fork_of_a_faulty_node_is_complete_or_absent() {
    let node = Node::serve(folder());
    let parent = tempfile::tempdir().unwrap();
    let out = parent.path().join("fork");
    let fork = |proxy: &Proxy| {
        ["--rpc", proxy.url(), "fork", "--market", MARKET, "--out", out.to_str().unwrap()]
            .map(str::to_owned)
    };
    let broken = Proxy::to(node.url(), &[(READ, Fault::None), (READ, Fault::None)]);
    broken.add(READ, Fault::TruncatedJson, 64);
    let args = fork(&broken);
    refused(&args.each_ref().map(String::as_str), 1);
    assert_eq!(parent.path().read_dir().unwrap().count(), 0);

    let faulty =
        Proxy::to(node.url(), &[(READ, Fault::PartialAnswer), (SCAN, Fault::TruncatedJson)]);
    let args = fork(&faulty);
    json_of(&args.each_ref().map(String::as_str));
    let (at_risk, _) = obligations();
    let quote = |source: &str| json_of(&["--fork", source, "quote", &at_risk]);
    assert_eq!(quote(out.to_str().unwrap()), quote(folder_arg()));
}
