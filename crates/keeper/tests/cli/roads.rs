//! Roads and services that do not do what they say, and what is reported where nothing is
//! sent.

use std::{thread, time::Duration};

use fault_proxy::http::{self, Answer};
use serde_json::{Value, json};

use crate::{
    json_of,
    node::{Fate, Options},
    obligations, refused,
    sending::{Stage, TIP_ACCOUNT},
    watch::{Watch, messages, trusted},
};

/// Longer than any test waits.
const NEVER: Duration = Duration::from_secs(120);
/// Late, and in time.
const LATE: Duration = Duration::from_millis(1_500);
/// A signature of nothing that was sent.
const ANOTHER: &str =
    "5VERv8NMvzbJMEkV8xnrLkEaWRtSz9CosKDYjCJjBRnbJLgp8uirBgmQpjKhoR4tjF3ZpRzrFmBV6UjKdiSZkQUW";

#[test]
fn a_road_that_lies_and_one_that_answers_late_change_nothing() {
    let stage = Stage::new(Fate::Executed { after_polls: 1 });
    let lies = http::serve(|request| {
        Some(Answer::ok(json!({ "jsonrpc": "2.0", "id": request["id"], "result": ANOTHER })))
    });
    // What it says is true, and nobody hears it in time.
    let late = http::serve(|request| {
        thread::sleep(NEVER);
        Some(Answer::ok(json!({ "jsonrpc": "2.0", "id": request["id"], "result": ANOTHER })))
    });
    // A block engine that claims to know the transaction already.
    let claims = http::serve(|request| {
        let message = "This transaction has already been processed";
        Some(Answer::error(&request["id"], -32_002, message))
    });
    let config = format!(
        "{}keypair = {:?}\ntables = [{:?}]\nfeed = \"poll\"\npoll_ms = 50\ncooldown_seconds = 600\n\
         nodes = [\"http://{lies}\", \"http://{late}\"]\nblock_engines = [\"http://{claims}\"]\n\
         tip_lamports = 5000\ntip_accounts = [{TIP_ACCOUNT:?}]",
        trusted(),
        stage.keypair,
        stage.table,
    );
    stage.node.fund(&TIP_ACCOUNT.parse().unwrap());
    let mut watch = Watch::start(&config, &["--rpc", stage.node.url()]);
    let line = watch.wait_for("liquidated");
    let lines = watch.stop();
    // What counts is what was signed, and the chain.
    assert_eq!(line["signature"].as_str(), stage.node.last_signature().as_deref());
    assert_eq!((stage.node.signatures(), messages(&lines, "failed")), (1, 0), "{lines:#?}");
    let answer = |address: std::net::SocketAddr| {
        let is_it = |line: &&Value| {
            let road = line["fields"]["road"].as_str();
            road.is_some_and(|road| road.ends_with(&address.to_string()))
        };
        let told = lines.iter().rfind(is_it).unwrap_or_else(|| panic!("{address}: {lines:#?}"));
        told["fields"]["answer"].as_str().unwrap().to_owned()
    };
    assert_eq!((&*answer(lies), &*answer(claims)), ("accepted", "refused"));
    // As long as it is waited for, and after that.
    assert!(["silent", "failed"].contains(&&*answer(late)));
}

/// A tip floor service, and what it makes of the costs.
enum Service {
    Hangs,
    HangsUp,
    Answers(Value),
    /// It takes its time, and is still heard.
    AnswersLate(Value),
}

#[test]
fn a_tip_service_that_hangs_or_lies_moves_nothing_beyond_floor_and_cap() {
    let told = |sol: f64| {
        let percentiles = ["25th", "50th", "75th", "95th", "99th"];
        let fields = percentiles.map(|of| (format!("landed_tips_{of}_percentile"), json!(sol)));
        json!([serde_json::Map::from_iter(fields)])
    };
    let floors = |sol: f64| Service::Answers(told(sol));
    // What is paid beside the floor of the tip: nothing where nothing is told, and never
    // more than up to the cap.
    let mut least = None;
    for (service, beside) in [
        (Service::HangsUp, 0),
        (Service::Hangs, 0),
        (Service::Answers(json!([])), 0),
        (floors(-1.0), 0),
        (floors(0.000_012), 2_000),
        (Service::AnswersLate(told(0.000_012)), 2_000),
        (floors(900.0), 10_000),
    ] {
        let stage = Stage::new(Fate::Executed { after_polls: 0 });
        let url = http::serve(move |_| match &service {
            Service::Hangs => {
                thread::sleep(NEVER);
                None
            }
            Service::HangsUp => None,
            Service::Answers(body) => Some(Answer::ok(body.clone())),
            Service::AnswersLate(body) => {
                thread::sleep(LATE);
                Some(Answer::ok(body.clone()))
            }
        });
        stage.node.fund(&TIP_ACCOUNT.parse().unwrap());
        let config = format!(
            "keypair = {:?}\ntables = [{:?}]\nfeed = \"poll\"\npoll_ms = 50\ncooldown_seconds = 0\n\
             nodes = [{:?}]\ntip_share_bps = 0\ntip_floor_lamports = 10000\n\
             tip_cap_lamports = 20000\ntip_accounts = [{TIP_ACCOUNT:?}]\n\
             tip_floor_url = \"http://{url}/\"",
            stage.keypair,
            stage.table,
            stage.node.url(),
        );
        let mut watch = Watch::start(&config, &["--rpc", stage.node.url()]);
        // The first may be signed before the service has answered.
        let lamports = |signed: &Value| signed["lamports"].as_u64().unwrap();
        let mut signed = watch.wait_for("signed");
        let expected = *least.get_or_insert(lamports(&signed)) + beside;
        for _ in 0..20 {
            if lamports(&signed) == expected {
                break;
            }
            signed = watch.wait_for("signed");
        }
        assert_eq!(lamports(&signed), expected, "{signed}");
        watch.stop();
    }
}

/// The node at `url`, but for answers to one method: those are what `lie` makes of them.
fn liar(
    url: &str,
    method: &'static str,
    lie: impl Fn(&mut Value) + Send + Sync + 'static,
) -> String {
    let node = url.strip_prefix("http://").unwrap().parse().unwrap();
    let address = http::serve(move |request| {
        let body = http::post(node, request)?;
        if request["method"] != method {
            return Some(Answer { status: "200 OK", body });
        }
        let mut answer: Value = serde_json::from_str(&body).unwrap();
        lie(&mut answer["result"]);
        Some(Answer::ok(answer))
    });
    format!("http://{address}")
}

/// What landed, and how, is what the transaction itself shows.
#[test]
fn what_a_node_says_of_confirmation_is_not_believed() {
    let (at_risk, _) = obligations();
    let says = |error: Value| {
        move |result: &mut Value| {
            let slot = result["context"]["slot"].clone();
            result["value"] = json!([{
                "slot": slot, "confirmations": 0, "err": error, "status": null,
                "confirmationStatus": "confirmed",
            }]);
        }
    };
    // It was executed, and the node says that it failed.
    let stage = Stage::new(Fate::Executed { after_polls: 0 });
    let failed = json!({ "InstructionError": [3, { "Custom": 6016 }] });
    let lies = liar(stage.node.url(), "getSignatureStatuses", says(failed));
    let report = json_of(&[&stage.liquidate(&lies, &at_risk)[..], &["--yes"]].concat());
    assert_eq!(report["transaction"]["outcome"], "succeeded", "{report}");
    assert_eq!(stage.node.signatures(), 1);
    // It never landed, and the node says that it is confirmed: nobody earned anything.
    let stage = Stage::new(Fate::Vanishes);
    let lies = liar(stage.node.url(), "getSignatureStatuses", says(Value::Null));
    let said = refused(&[&stage.liquidate(&lies, &at_risk)[..], &["--yes"]].concat(), 4);
    assert!(said.contains("does not show it"), "{said}");
    assert_eq!(stage.node.signatures(), 1);
}

/// What others are said to have paid moves the fee between floor and cap, and no further.
#[test]
fn what_a_node_says_of_fees_moves_nothing_beyond_floor_and_cap() {
    const CAP: u64 = 50_000;
    let lamports = |told: Value| {
        let stage = Stage::new(Fate::Executed { after_polls: 0 });
        let lies = liar(stage.node.url(), "getRecentPrioritizationFees", move |result| {
            *result = told.clone();
        });
        let config = format!(
            "keypair = {:?}\ntables = [{:?}]\nfeed = \"poll\"\npoll_ms = 50\ncooldown_seconds = 600\n\
             priority_fee = \"recent\"\npriority_fee_floor = 1000\npriority_fee_cap = {CAP}\n",
            stage.keypair, stage.table,
        );
        let mut watch = Watch::start(&config, &["--rpc", &lies]);
        let signed = watch.wait_for("signed");
        watch.stop();
        signed["lamports"].as_u64().unwrap()
    };
    let paid = |fee: Value| json!([{ "slot": 1, "prioritizationFee": fee }]);
    let (floor, cap) = (lamports(json!([])), lamports(paid(json!(CAP))));
    assert!(cap > floor, "{cap} {floor}");
    assert_eq!(lamports(paid(json!(u64::MAX))), cap);
    // Numbers as others write them are numbers.
    assert_eq!(lamports(paid(json!("90000"))), cap);
    for nonsense in [paid(json!(-5)), json!("a lot"), paid(json!("many"))] {
        assert_eq!(lamports(nonsense.clone()), floor, "{nonsense}");
    }
}

#[test]
fn what_is_not_sent_is_what_would_have_been() {
    let run = |send: &str, lamports: Option<u64>| {
        let stage = Stage::with(Options::default());
        if let Some(lamports) = lamports {
            let key = solana_signer::Signer::pubkey(&crate::sending::key());
            let mut wallet = stage.node.world().account(&key).unwrap();
            wallet.lamports = lamports;
            stage.node.world().set_account(&key, wallet).unwrap();
        }
        let config = format!(
            "{send}keypair = {:?}\ntables = [{:?}]\nfeed = \"poll\"\npoll_ms = 50\n\
             cooldown_seconds = 600\npriority_fee = 20000",
            stage.keypair, stage.table
        );
        let mut watch = Watch::start(&config, &["--rpc", stage.node.url()]);
        let line = match lamports {
            Some(_) => watch.wait_for("paused: the key cannot pay for it"),
            None => watch.wait_for("signed"),
        };
        if lamports.is_none() {
            watch.wait_for("liquidated");
        }
        watch.stop();
        (line, stage.node.signatures())
    };
    // The same decision, the same terms, the same bytes.
    let ((dry, unsent), (sent, landed)) = (run("", None), run(&trusted(), None));
    assert_eq!((unsent, landed), (0, 1));
    for field in ["obligation", "bytes", "units", "least_profit", "lamports"] {
        assert!(!dry[field].is_null(), "{dry}");
        assert_eq!(dry[field], sent[field], "{field}");
    }
    // The same reason not to.
    let ((dry, _), (sent, _)) = (run("", Some(1_000_000)), run(&trusted(), Some(1_000_000)));
    for field in ["obligation", "lamports", "needed"] {
        assert!(!dry[field].is_null(), "{dry}");
        assert_eq!(dry[field], sent[field], "{field}");
    }
}
