//! What goes wrong between the keeper and its node costs time and nothing else.

use crate::{
    MARKET, folder, folder_arg, json_of,
    node::Node,
    obligations,
    proxy::{Fault, Proxy},
    refused,
};

const READ: &str = "getMultipleAccounts";
const SCAN: &str = "getProgramAccounts";

#[test]
fn a_faulty_node_costs_time_and_nothing_else() {
    let (at_risk, _) = obligations();
    let expected = json_of(&["--fork", folder_arg(), "quote", &at_risk]);
    let node = Node::serve(folder());
    for fault in [
        Fault::TooManyRequests,
        Fault::TruncatedJson,
        Fault::PartialAnswer,
        Fault::DroppedConnection,
        Fault::LostAnswer,
        Fault::NodeIsBehind,
        Fault::InternalError,
        Fault::Timeout,
    ] {
        let proxy = Proxy::to(node.url(), &[(READ, fault), (READ, fault)]);
        let args = ["--rpc", proxy.url(), "--rpc-timeout", "1", "quote", &at_risk];
        assert_eq!(json_of(&args), expected, "{fault:?}");
        assert_eq!(proxy.faults_left(), 0, "{fault:?} did not happen");
    }
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
    let (expected, plain) = reads(&[]);
    // The first answer says which slot it is; the second one lies.
    let (quoted, with_stale) = reads(&[(READ, Fault::None), (READ, Fault::StaleSlot)]);
    assert_eq!((quoted, with_stale), (expected, plain + 1));
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
