//! The loop: by polling, and by the websocket of a node.

use std::{
    io::{BufRead, BufReader, Read, Write},
    net::TcpStream,
    process::{Child, ChildStderr, Command, Stdio},
    time::{Duration, Instant},
};

use fault_proxy::proxy::{Fault, Proxy};
use serde_json::{Value, json};
use solana_address::Address;

use crate::{
    SOL_RESERVE, folder, folder_arg, json_of, keeper,
    node::{Fate, Node, Options},
    obligations, refused,
    sending::Stage,
    text,
};

/// Longest a test waits for a line of the log.
const PATIENCE: Duration = Duration::from_secs(60);

/// A keeper that watches.
pub struct Watch {
    child: Child,
    log: BufReader<ChildStderr>,
    lines: Vec<Value>,
    _folder: tempfile::TempDir,
}

impl Watch {
    pub fn start(config: &str, source: &[&str]) -> Self {
        Self::start_with(config, source, &[])
    }

    pub fn start_with(config: &str, source: &[&str], more: &[&str]) -> Self {
        Self::spawn(Command::new(env!("CARGO_BIN_EXE_keeper")), config, source, more)
    }

    /// The same for one whose files may not grow for a while: what is refused then is an
    /// error to it, as on a full disk, and not its end.
    pub fn start_limited(config: &str, source: &[&str]) -> Self {
        let mut command = Command::new("sh");
        command.args(["-c", "trap '' XFSZ; exec \"$0\" \"$@\"", env!("CARGO_BIN_EXE_keeper")]);
        Self::spawn(command, config, source, &[])
    }

    fn spawn(mut command: Command, config: &str, source: &[&str], more: &[&str]) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("keeper.toml");
        std::fs::write(&path, config).unwrap();
        let mut child = command
            .args(source)
            .args(["--json", "watch", "--config", path.to_str().unwrap()])
            .args(more)
            .env_remove("KEEPER_RPC_URL")
            .env("RUST_LOG", "debug,hyper=info")
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let log = BufReader::new(child.stderr.take().unwrap());
        Self { child, log, lines: Vec::new(), _folder: folder }
    }

    /// Reads the log up to the next line with this message.
    pub fn wait_for(&mut self, message: &str) -> Value {
        let begun = Instant::now();
        loop {
            let mut line = String::new();
            let read = self.log.read_line(&mut line).unwrap();
            assert_ne!(read, 0, "ended before {message:?}: {:#?}", self.lines);
            assert!(begun.elapsed() < PATIENCE, "no {message:?}: {:#?}", self.lines);
            let Ok(line) = serde_json::from_str::<Value>(&line) else { continue };
            let is_it = line["fields"]["message"] == message;
            self.lines.push(line.clone());
            if is_it {
                return line["fields"].clone();
            }
        }
    }

    /// Sets a limit of its process: its name to `prlimit`, and a number or "unlimited".
    pub fn limit(&self, what: &str, limit: &str) {
        let args = [format!("--pid={}", self.child.id()), format!("--{what}={limit}:")];
        assert!(Command::new("prlimit").args(args).status().unwrap().success());
    }

    pub fn count(&self, message: &str) -> usize {
        messages(&self.lines, message)
    }

    pub fn signal(&self, signal: &str) {
        let id = self.child.id().to_string();
        // The shell's own: a bare Debian has no program of this name.
        let kill = ["-c", "kill \"$0\" \"$1\"", signal, &id];
        assert!(Command::new("sh").args(kill).status().unwrap().success());
    }

    /// Asks it to stop, and reads the rest of the log.
    pub fn stop(mut self) -> Vec<Value> {
        self.signal("-TERM");
        self.ended(0)
    }

    pub fn ended(&mut self, code: i32) -> Vec<Value> {
        let mut rest = String::new();
        self.log.read_to_string(&mut rest).unwrap();
        self.lines.extend(rest.lines().filter_map(|line| serde_json::from_str(line).ok()));
        let status = self.child.wait().unwrap();
        assert_eq!(status.code(), Some(code), "{:#?}", self.lines);
        std::mem::take(&mut self.lines)
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        // Of a test that failed; otherwise it has ended.
        let _ = self.child.kill();
    }
}

/// Sends on what says that it is mainnet, and says whose program that is.
pub fn trusted() -> String {
    let program = json_of(&["--fork", folder_arg(), "program"]);
    format!(
        "send = true\nmainnet = true\nprogram_hash = {}\nprogram_authority = {}\n",
        program["hash"], program["authority"]
    )
}

/// Lets the market be valued `passes` times; returns exit code and log lines.
pub fn passes(config: &str, source: &[&str], passes: u64) -> (i32, Vec<Value>) {
    let parent = tempfile::tempdir().unwrap();
    let path = parent.path().join("keeper.toml");
    std::fs::write(&path, config).unwrap();
    let passes = passes.to_string();
    let config = ["--json", "watch", "--config", path.to_str().unwrap(), "--passes", &passes];
    let output = keeper(&[source, &config].concat());
    let lines = String::from_utf8_lossy(&output.stderr)
        .lines()
        .filter_map(|line| serde_json::from_str(line).ok())
        .collect();
    (output.status.code().unwrap(), lines)
}

pub fn messages(lines: &[Value], message: &str) -> usize {
    lines.iter().filter(|line| line["fields"]["message"] == message).count()
}

/// What is served to Prometheus.
pub fn exposition(address: &str) -> String {
    let mut stream = TcpStream::connect(address).unwrap();
    write!(stream, "GET /metrics HTTP/1.1\r\n\r\n").unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    answer
}

pub fn metric(address: &str, name: &str) -> u64 {
    let answer = exposition(address);
    let line = answer.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
    line.unwrap_or_else(|| panic!("{name}: {answer}")).parse().unwrap()
}

/// Waits until something becomes true.
pub fn until(what: &str, is_true: impl Fn() -> bool) {
    let begun = Instant::now();
    while !is_true() {
        assert!(begun.elapsed() < PATIENCE, "{what}");
        std::thread::sleep(Duration::from_millis(10));
    }
}

pub fn sol() -> Address {
    SOL_RESERVE.parse().unwrap()
}

/// Subscriptions of the built-in market: klend's accounts twice, the market, the
/// clock, and at least one oracle.
const SUBSCRIPTIONS: usize = 5;

#[test]
fn a_watch_tries_each_obligation_once_per_cooldown() {
    let (at_risk, _) = obligations();
    let node = Node::serve(folder());
    let config = "feed = \"poll\"\npoll_ms = 50\ncooldown_seconds = 600";
    for source in [["--fork", folder_arg()], ["--rpc", node.url()], ["--fork", "builtin"]] {
        let (code, lines) = passes(config, &source, 3);
        assert_eq!(code, 0, "{lines:?}");
        assert_eq!(messages(&lines, "evaluated"), 3, "{lines:?}");
        assert_eq!(messages(&lines, "liquidated"), 1, "{lines:?}");
        let line = lines.iter().find(|line| line["fields"]["message"] == "liquidated").unwrap();
        assert_eq!(line["fields"]["obligation"], json!(at_risk));
        assert_eq!(line["fields"]["signature"], "simulated");
        assert!(line["fields"]["profit"].as_i64().unwrap() > 0);
    }
    assert_eq!(node.sent(), 0);

    // Without a cooldown it is tried again and again, but never twice at a time.
    let config = "poll_ms = 50\ncooldown_seconds = 0\nworkers = 4";
    let mut watch = Watch::start(config, &["--fork", folder_arg()]);
    watch.wait_for("liquidated");
    watch.wait_for("liquidated");
    let lines = watch.stop();
    let in_flight = |line: &Value| line["fields"]["in_flight"].as_u64().unwrap_or_default();
    assert!(lines.iter().all(|line| in_flight(line) <= 1), "{lines:#?}");
    // What gains too little is left alone.
    let config = "poll_ms = 50\nmin_profit_usd = 1e6";
    let (_, lines) = passes(config, &["--fork", folder_arg()], 2);
    assert_eq!((messages(&lines, "liquidated"), messages(&lines, "too little profit")), (0, 1));
}

#[test]
fn a_watch_outlives_a_faulty_node() {
    let node = Node::serve(folder());
    // A call is tried five times. Which klend it is stays open, the first scan fails, the
    // second goes on after two.
    let faults = [("getMultipleAccounts", Fault::TruncatedJson); 12];
    let proxy = Proxy::to(node.url(), &faults);
    let (code, lines) = passes("feed = \"poll\"\npoll_ms = 50", &["--rpc", proxy.url()], 3);
    assert_eq!(code, 0, "{lines:?}");
    assert_eq!(messages(&lines, "the source failed"), 1, "{lines:?}");
    assert_eq!(messages(&lines, "liquidated"), 1, "{lines:?}");
    assert_eq!(proxy.faults_left(), 0);
}

#[test]
fn a_watch_reports_all_mistakes_and_never_sends_on_a_fork() {
    let parent = tempfile::tempdir().unwrap();
    let path = parent.path().join("keeper.toml");
    std::fs::write(&path, "poll_ms = 0\nslippage = 3\nmarket = 5\n").unwrap();
    let args = ["--fork", folder_arg(), "watch", "--config", path.to_str().unwrap(), "--check"];
    let said = refused(&args, 1);
    for key in ["poll_ms", "slippage", "market", "3 mistakes"] {
        assert!(said.contains(key), "{key}: {said}");
    }
    std::fs::write(&path, "send = true\n").unwrap();
    assert!(refused(&args, 1).contains("needs an RPC node"));
    std::fs::write(&path, "feed = \"websocket\"\n").unwrap();
    assert!(refused(&args, 1).contains("a fork does not change"));
    std::fs::write(&path, "min_profit_usd = 5\n").unwrap();
    assert!(keeper(&args).status.success());
}

#[test]
fn a_price_told_by_websocket_is_acted_on() {
    let (at_risk, careful) = obligations();
    let stage = Stage::new(Fate::Executed { after_polls: 0 });
    let node = &stage.node;
    // All is well at first.
    node.scale_price(&sol(), 150);
    let config = format!(
        "{}keypair = {:?}\ntables = [{:?}]\nwebsocket_url = {:?}\n\
         metrics = \"127.0.0.1:0\"\ncooldown_seconds = 600",
        trusted(),
        stage.keypair,
        stage.table,
        node.websocket()
    );
    let mut watch = Watch::start(&config, &["--rpc", node.url()]);
    let metrics = watch.wait_for("metrics are served")["address"].as_str().unwrap().to_owned();
    watch.wait_for("updates flow");
    watch.wait_for("ready");
    assert_eq!(node.subscribers(SUBSCRIPTIONS), 1);

    // An old price that comes late is not believed.
    let (key, old) = {
        let world = node.world();
        let key = world.reserve_addresses(&sol()).unwrap().oracles.scope.unwrap();
        (key, world.account(&key).unwrap())
    };
    let reads = node.reads_of(&key);
    node.scale_price(&sol(), 101);
    let slot = node.world().slot();
    until("the new price is seen", || metric(&metrics, "keeper_slot") == slot);
    node.tell_as(&key, &old, slot - 10);
    until("the old price is seen", || metric(&metrics, "keeper_stale_updates_total") == 1);
    // What is told twice is the same.
    node.tell_oracle(&sol());
    node.tell_oracle(&sol());
    until("both are seen", || metric(&metrics, "keeper_updates_total") >= 4);
    assert_eq!(metric(&metrics, "keeper_obligations_unhealthy"), 0);
    assert_eq!(node.reads_of(&key), reads, "nothing was polled for");

    // SOL falls.
    node.scale_price(&sol(), 66);
    let line = watch.wait_for("liquidated");
    assert_eq!(line["obligation"], json!(at_risk));
    assert_ne!(line["signature"], "simulated");
    assert_eq!((node.signatures(), metric(&metrics, "keeper_liquidated_total")), (1, 1));
    assert_eq!(metric(&metrics, "keeper_feed_up"), 1);
    assert_eq!(metric(&metrics, "keeper_obligations_tracked"), 2);

    // The careful one becomes careless: told by its own account.
    let careful: Address = careful.parse().unwrap();
    node.world()
        .edit_obligation(&careful, |obligation| {
            let debt: u128 = obligation.borrows[0].borrowed_amount_sf.into();
            obligation.borrows[0].borrowed_amount_sf = (debt * 5 / 2).into();
        })
        .unwrap();
    node.tell(&careful);
    let line = watch.wait_for("liquidated");
    assert_eq!(line["obligation"], json!(careful.to_string()));
    let lines = watch.stop();
    assert_eq!(messages(&lines, "failed"), 0, "{lines:#?}");
    assert_eq!(node.signatures(), 2);
}

#[test]
fn nothing_is_lost_when_the_websocket_is() {
    let (at_risk, _) = obligations();
    let stage = Stage::new(Fate::Executed { after_polls: 0 });
    let node = &stage.node;
    node.scale_price(&sol(), 150);
    // Polling is too rare to help: what helps is reading all after connecting.
    let config = format!(
        "websocket_url = {:?}\npoll_ms = 600000\nmetrics = \"127.0.0.1:0\"\ncooldown_seconds = 600",
        node.websocket()
    );
    let mut watch = Watch::start(&config, &["--rpc", node.url()]);
    let metrics = watch.wait_for("metrics are served")["address"].as_str().unwrap().to_owned();
    watch.wait_for("updates flow");
    watch.wait_for("scan merged");
    node.cut(true);
    watch.wait_for("updates broke off: polling");
    // It fell while nobody told.
    node.scale_price(&sol(), 66);
    watch.wait_for("updates broke off: polling");
    assert_eq!(metric(&metrics, "keeper_feed_up"), 0);
    node.accept();
    watch.wait_for("updates flow");
    let line = watch.wait_for("liquidated");
    assert_eq!(line["obligation"], json!(at_risk));
    until("it is connected", || metric(&metrics, "keeper_feed_up") == 1);
    assert!(metric(&metrics, "keeper_feed_losses_total") >= 2);
    assert_eq!(node.subscribers(SUBSCRIPTIONS), 1);
    // Cut again, it comes back again.
    node.cut(false);
    watch.wait_for("updates flow");
    let lines = watch.stop();
    assert_eq!(messages(&lines, "liquidated"), 1, "{lines:#?}");
}

#[test]
fn without_a_websocket_it_polls() {
    let (at_risk, _) = obligations();
    let stage = Stage::new(Fate::Executed { after_polls: 0 });
    let node = &stage.node;
    node.scale_price(&sol(), 150);
    node.cut(true);
    let config = format!("websocket_url = {:?}\npoll_ms = 50", node.websocket());
    let mut watch = Watch::start(&config, &["--rpc", node.url()]);
    watch.wait_for("updates broke off: polling");
    watch.wait_for("scan merged");
    node.scale_price(&sol(), 66);
    let line = watch.wait_for("liquidated");
    assert_eq!(line["obligation"], json!(at_risk));
    watch.stop();
}

#[test]
fn losing_a_race_costs_a_line_of_log() {
    let stage = Stage::new(Fate::Fails(6016));
    let config = format!(
        "{}keypair = {:?}\ntables = [{:?}]\nfeed = \"poll\"\n\
         poll_ms = 50\ncooldown_seconds = 600",
        trusted(),
        stage.keypair,
        stage.table
    );
    let mut watch = Watch::start(&config, &["--rpc", stage.node.url()]);
    watch.wait_for("healthy again");
    let lines = watch.stop();
    assert_eq!(messages(&lines, "failed"), 0, "{lines:#?}");
    assert!(!lines.iter().any(|line| line["level"] == "ERROR"), "{lines:#?}");
    assert_eq!(stage.node.signatures(), 1);
}

#[test]
fn a_liquidation_is_told_of_by_a_node_without_logs_too() {
    let stage = Stage::with(Options { keeps_logs: false, ..Options::default() });
    let config = format!(
        "{}keypair = {:?}\ntables = [{:?}]\nfeed = \"poll\"\n\
         poll_ms = 50\ncooldown_seconds = 600",
        trusted(),
        stage.keypair,
        stage.table
    );
    let mut watch = Watch::start(&config, &["--rpc", stage.node.url()]);
    let line = watch.wait_for("liquidated");
    assert!(line["reason"].as_str().unwrap().contains("no logs"), "{line}");
    assert!(line["profit"].is_null(), "{line}");
    watch.stop();

    let signature = line["signature"].as_str().unwrap();
    let explained = json_of(&["--rpc", stage.node.url(), "explain", signature]);
    assert_eq!(
        (&explained["outcome"], &explained["hasLogs"]),
        (&json!("succeeded"), &json!(false))
    );
    // Instructions and amounts are known all the same.
    let [of] = &explained["story"]["liquidations"].as_array().unwrap()[..] else {
        panic!("{explained}")
    };
    assert_eq!(of["obligation"], line["obligation"]);
    let raw = |name: &str| of[name].as_str().map_or(0, |raw| raw.parse::<u64>().unwrap());
    assert!(raw("repaid") > 0 && raw("received") > 0, "{of}");
    assert_eq!(explained["story"]["swaps"].as_array().unwrap().len(), 1);
    let said = keeper(&["--rpc", stage.node.url(), "explain", signature]);
    let said = text(&said);
    assert!(
        said.contains("kept no logs") && said.contains("FlashBorrowReserveLiquidity"),
        "{said}"
    );
}

#[test]
fn a_watch_ends_what_it_began_and_begins_nothing_more() {
    // It takes some seconds to be confirmed.
    let stage = Stage::new(Fate::Executed { after_polls: 4 });
    let config = format!(
        "{}keypair = {:?}\ntables = [{:?}]\nfeed = \"poll\"\n\
         poll_ms = 50\ncooldown_seconds = 0",
        trusted(),
        stage.keypair,
        stage.table
    );
    let watch = Watch::start(&config, &["--rpc", stage.node.url()]);
    until("it is sent", || stage.node.sent() >= 1);
    let lines = watch.stop();
    assert_eq!(messages(&lines, "liquidated"), 1, "{lines:#?}");
    assert_eq!(messages(&lines, "stopped"), 1, "{lines:#?}");
    assert_eq!(stage.node.signatures(), 1);

    // A second signal does not wait.
    let stage = Stage::new(Fate::Executed { after_polls: 1_000 });
    let config = format!(
        "{}keypair = {:?}\ntables = [{:?}]\nfeed = \"poll\"",
        trusted(),
        stage.keypair,
        stage.table
    );
    let mut watch = Watch::start(&config, &["--rpc", stage.node.url()]);
    until("it is sent", || stage.node.sent() >= 1);
    watch.signal("-INT");
    watch.wait_for("stopping: what is in flight ends first");
    watch.signal("-INT");
    watch.ended(130);
}

#[test]
fn a_watch_sends_once_whatever_its_node_does() {
    let stage = Stage::new(Fate::Executed { after_polls: 1 });
    let proxy = Proxy::to(
        stage.node.url(),
        &[
            ("getMultipleAccounts", Fault::PartialAnswer),
            ("getProgramAccounts", Fault::TruncatedJson),
            ("sendTransaction", Fault::LostAnswer),
            ("getSignatureStatuses", Fault::InternalError),
            ("getSignatureStatuses", Fault::DroppedConnection),
        ],
    );
    let config = format!(
        "{}keypair = {:?}\ntables = [{:?}]\nfeed = \"poll\"\n\
         poll_ms = 50\ncooldown_seconds = 600\nworkers = 4",
        trusted(),
        stage.keypair,
        stage.table
    );
    let mut watch = Watch::start(&config, &["--rpc", proxy.url()]);
    watch.wait_for("liquidated");
    let before = watch.count("evaluated");
    watch.wait_for("evaluated");
    let lines = watch.stop();
    assert!(messages(&lines, "evaluated") > before);
    assert_eq!((stage.node.signatures(), proxy.faults_left()), (1, 0), "{lines:#?}");
}

/// Methods that are called beside the path, whatever happens.
fn is_background(method: &str, params: &Value) -> bool {
    let rent = json!([solana_sdk_ids::sysvar::rent::ID.to_string()]);
    // The probe looks at the heads of accounts, and nothing on the path does.
    let is_probe = [45, 56].iter().any(|length| params[1]["dataSlice"]["length"] == *length)
        || ["getHealth", "getTokenAccountsByOwner"].contains(&method);
    method == "getLatestBlockhash" || params[0] == rent || is_probe
}

#[test]
fn from_an_update_to_the_first_send_nobody_is_asked_anything() {
    let (at_risk, _) = obligations();
    for simulate in ["local", "none"] {
        let stage = Stage::new(Fate::Executed { after_polls: 0 });
        let node = &stage.node;
        node.scale_price(&sol(), 150);
        let config = format!(
            "{}keypair = {:?}\ntables = [{:?}]\nwebsocket_url = {:?}\n\
             cooldown_seconds = 600\nnear_health = 10\nsimulate = {simulate:?}",
            trusted(),
            stage.keypair,
            stage.table,
            node.websocket()
        );
        let mut watch = Watch::start(&config, &["--rpc", node.url()]);
        watch.wait_for("updates flow");
        watch.wait_for("ready");
        if watch.count("updates of pools flow") == 0 {
            watch.wait_for("updates of pools flow");
        }
        // What was ordered before is answered, however busy the machine is; then the node
        // says nothing any more.
        let mut called = 0;
        while node.calls_since(called).iter().any(|(method, of)| !is_background(method, of)) {
            called = node.calls_since(0).len();
            std::thread::sleep(Duration::from_millis(500));
        }
        node.mute(true);
        let called = node.calls_since(0).len();
        node.scale_price(&sol(), 66);
        until("it is sent", || node.sent() >= 1);
        let calls = node.calls_since(called);
        let sent = calls.iter().position(|(method, _)| method == "sendTransaction").unwrap();
        let asked: Vec<_> = calls[..sent]
            .iter()
            .filter(|(method, params)| !is_background(method, params))
            .collect();
        assert!(asked.is_empty(), "{asked:#?}");
        assert_eq!(node.calls("simulateTransaction"), 0);
        let signed = watch.wait_for("signed");
        assert!(signed["micros"].as_u64().unwrap() > 0, "{signed}");
        node.mute(false);
        let line = watch.wait_for("liquidated");
        assert_eq!(line["obligation"], json!(at_risk));
        watch.stop();
        assert_eq!(node.signatures(), 1);
    }
}

#[test]
fn every_road_gets_the_same_bytes_and_tells_its_own_fate() {
    let stage = Stage::new(Fate::Executed { after_polls: 2 });
    let with =
        |fate, refuses| Node::with(folder(), Options { fate, refuses, ..Options::default() });
    // One takes it and drops it, one refuses, one never answers.
    let drops = with(Fate::Vanishes, None);
    let refuses = with(Fate::Vanishes, Some(-32_003));
    let hangs = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let hanging = format!("http://{}", hangs.local_addr().unwrap());
    let config = format!(
        "{}keypair = {:?}\ntables = [{:?}]\nfeed = \"poll\"\n\
         poll_ms = 50\ncooldown_seconds = 600\nnodes = [{:?}, {:?}]\nblock_engines = [{:?}]\n\
         tip_lamports = 5000\ntip_accounts = [{:?}]",
        trusted(),
        stage.keypair,
        stage.table,
        refuses.url(),
        hanging,
        drops.url(),
        crate::sending::TIP_ACCOUNT,
    );
    stage.node.fund(&crate::sending::TIP_ACCOUNT.parse().unwrap());
    let mut watch = Watch::start(&config, &["--rpc", stage.node.url()]);
    watch.wait_for("liquidated");
    let lines = watch.stop();
    let roads: Vec<(String, &Value, &Value)> = lines
        .iter()
        .map(|line| &line["fields"])
        .filter(|fields| fields["message"] == "road")
        .map(|fields| {
            (fields["road"].as_str().unwrap().to_owned(), &fields["answer"], &fields["code"])
        })
        .collect();
    let of = |node: &str| {
        let host = node.strip_prefix("http://").unwrap();
        let road = roads.iter().find(|(road, ..)| road.ends_with(host));
        let (road, answer, code) = road.unwrap_or_else(|| panic!("{host}: {roads:?}"));
        (road.split(' ').next().unwrap(), answer.as_str().unwrap(), code.as_i64())
    };
    assert_eq!(roads.len(), 4, "{roads:?}");
    assert_eq!(of(stage.node.url()), ("RPC", "accepted", None));
    assert_eq!(of(refuses.url()), ("RPC", "refused", Some(-32_003)));
    assert_eq!(of(&hanging), ("RPC", "silent", None));
    assert_eq!(of(drops.url()), ("block", "accepted", None));
    assert_eq!((stage.node.signatures(), drops.signatures(), drops.bundles() >= 1), (1, 1, true));
    assert_eq!(stage.node.last_signature(), drops.last_signature());
}

#[test]
fn what_every_road_refuses_is_not_waited_for() {
    let stage = Stage::with(Options { refuses: Some(-32_002), ..Options::default() });
    let config = format!(
        "{}keypair = {:?}\ntables = [{:?}]\nfeed = \"poll\"\n\
         poll_ms = 50\ncooldown_seconds = 600",
        trusted(),
        stage.keypair,
        stage.table
    );
    let mut watch = Watch::start(&config, &["--rpc", stage.node.url()]);
    let line = watch.wait_for("failed");
    let reason = line["reason"].as_str().unwrap();
    assert!(reason.contains("refused by every road") && reason.contains("-32002"), "{line}");
    watch.stop();
}

#[test]
fn what_vanished_frees_its_worker_at_the_deadline_and_the_next_try_offers_more() {
    // The engine accepts, and nothing ever lands.
    let stage = Stage::new(Fate::Vanishes);
    stage.node.fund(&crate::sending::TIP_ACCOUNT.parse().unwrap());
    let config = format!(
        "{}keypair = {:?}\ntables = [{:?}]\nfeed = \"poll\"\n\
         poll_ms = 50\ncooldown_seconds = 600\nworkers = 1\nown_node = false\ndeadline_slots = 5\n\
         block_engines = [{:?}]\ntip_share_bps = 1\ntip_floor_lamports = 10000\n\
         raise_percent = 100\npriority_fee = \"recent\"",
        trusted(),
        stage.keypair,
        stage.table,
        stage.node.url(),
    );
    let mut watch = Watch::start(&config, &["--rpc", stage.node.url()]);
    let lamports = |line: &Value| line["lamports"].as_u64().unwrap();
    let first = watch.wait_for("signed");
    until("it is sent", || stage.node.bundles() >= 1);
    stage.node.world().warp_slots(20);
    let line = watch.wait_for("not landed");
    assert!(line["reason"].as_str().unwrap().contains("its deadline was"), "{line}");
    // Prices are of an earlier slot now, but not too old.
    let second = watch.wait_for("signed");
    assert!(lamports(&second) > lamports(&first), "{first} {second}");
    assert_ne!(first["signature"], second["signature"]);
    assert_eq!(stage.node.sent(), 0);
    watch.stop();
}
