//! A keeper, and the two nodes that it believes it has.

use std::{
    fs::{self, File},
    io::{Read, Seek, SeekFrom},
    net::{Ipv4Addr, SocketAddr},
    path::{Path, PathBuf},
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, bail, ensure};
use fault_proxy::{
    geyser,
    http::{self, Answer},
    proxy::Proxy,
    socket::SocketProxy,
};
use serde_json::{Value, json};
use solana_address::Address;
use solana_keypair::Keypair;
use solana_signer::Signer;

use super::own;
use crate::{
    keeper::{Keeper, Logging, at, text},
    processes::Process,
    scene::{Scene, write_key},
    server::Server,
};

/// What it pays a block engine, lamports: the least that one takes.
const TIP: u64 = 1_000;
/// How long it may take to be ready, and to end.
const PATIENCE: Duration = Duration::from_secs(400);

/// How updates come from the preferred node. From the other they come by websocket.
#[derive(Clone, Copy)]
enum Feed {
    Websocket,
    /// By gRPC, which tells what the node's websocket tells: what goes wrong there goes
    /// wrong in it.
    Yellowstone,
}

/// A node as the keeper sees it.
pub struct Node {
    /// Calls.
    pub calls: Proxy,
    /// Subscriptions.
    pub socket: SocketProxy,
    /// Where the keeper subscribes: there, or where gRPC tells what is told there.
    pub stream: String,
}

impl Node {
    fn to(server: &Server, feed: Feed) -> Result<Self> {
        let address: SocketAddr = server.url.trim_start_matches("http://").parse()?;
        // The websocket's port is the next one, as everywhere.
        let socket = SocketAddr::from((Ipv4Addr::LOCALHOST, address.port() + 1));
        let socket = SocketProxy::to(socket)?;
        let stream = match feed {
            Feed::Websocket => socket.url().to_owned(),
            Feed::Yellowstone => geyser::relay(socket.url().trim_start_matches("ws://").parse()?),
        };
        Ok(Self { calls: Proxy::to(&server.url, &[]), socket, stream })
    }
}

/// A block engine before the node: it takes bundles of one transaction, and hands that on.
fn engine(node: &str, tipped: Address) -> Result<Proxy> {
    let node: SocketAddr = node.trim_start_matches("http://").parse()?;
    let engine = http::serve(move |request| {
        let id = &request["id"];
        let answer = |result: Value| json!({ "jsonrpc": "2.0", "id": id, "result": result });
        let result = match request["method"].as_str()? {
            "getTipAccounts" => json!([tipped.to_string()]),
            "sendBundle" => {
                let config = json!({ "encoding": "base64", "skipPreflight": true });
                let params = json!([request["params"][0][0], config]);
                let sent = json!({
                    "jsonrpc": "2.0", "id": id, "method": "sendTransaction", "params": params,
                });
                let told: Value = serde_json::from_str(&http::post(node, &sent)?).ok()?;
                if told["result"].is_null() {
                    return Some(Answer::ok(told));
                }
                // A bundle has a name of its own.
                json!(format!("bundle of {}", told["result"]))
            }
            other => return Some(Answer::error(id, -32_601, other)),
        };
        Some(Answer::ok(answer(result)))
    });
    Ok(Proxy::to(&format!("http://{engine}"), &[]))
}

/// A line of a keeper's log.
#[derive(Clone, Debug)]
pub struct Line {
    /// When it was read, since the beginning.
    pub at: Duration,
    /// What it says.
    pub message: String,
    /// And more of it.
    pub fields: Value,
}

impl Line {
    /// One of its fields, as text.
    pub fn text(&self, name: &str) -> &str {
        self.fields[name].as_str().unwrap_or_default()
    }
}

/// A running keeper.
pub struct Racer {
    process: Process,
    log: PathBuf,
    logging: Option<Logging>,
    key: Keypair,
    holder: Keypair,
    mint: Address,
    url: String,
    /// Its block engine.
    pub engine: Proxy,
    /// The nodes it has, the preferred one first.
    pub nodes: [Node; 2],
    begun: Instant,
    offset: u64,
    /// The beginning of a line whose end is not written yet.
    rest: String,
    lines: Vec<Line>,
}

impl Racer {
    /// Starts both, and waits until they are ready.
    pub fn start_both(scene: &Scene, server: &Server, binary: &Path) -> Result<[Self; 2]> {
        let [one, two] = &scene.racers;
        thread::scope(|scope| {
            let start = |key, name, feed| Self::start(scene, server, binary, key, name, feed);
            let one = scope.spawn(move || start(one, "racer-1", Feed::Websocket));
            let two = scope.spawn(move || start(two, "racer-2", Feed::Yellowstone));
            let of = |ended: thread::Result<Result<Self>>| {
                ended.unwrap_or_else(|_| bail!("its thread broke down"))
            };
            Ok([of(one.join()).context("keeper 1")?, of(two.join()).context("keeper 2")?])
        })
    }

    fn start(
        scene: &Scene,
        server: &Server,
        binary: &Path,
        key: &Keypair,
        name: &str,
        feed: Feed,
    ) -> Result<Self> {
        let folder = scene.folder.join(name);
        fs::create_dir(&folder)?;
        let (signer, key) = (key, write_key(&folder.join("keypair.json"), key)?);
        let direct = Keeper::new(binary, "--rpc", &server.url, &folder);
        let path = key.display().to_string();
        let done = direct.json(&["setup", "--keypair", &path, "--yes"])?;
        let tables = at(&done, "/tables")?.to_string();

        let nodes = [Node::to(server, feed)?, Node::to(server, Feed::Websocket)?];
        // Whose account it is does not matter.
        let tipped = scene.stranger.pubkey();
        let engine = engine(&server.url, tipped)?;
        let by = match feed {
            Feed::Websocket => "websocket",
            Feed::Yellowstone => "yellowstone",
        };
        let stream = format!("feed = {by:?}\n{by}_url = {:?}", nodes[0].stream);
        let config = folder.join("keeper.toml");
        let differences = folder.join("differences");
        let ledger = folder.join("ledger.sqlite");
        fs::write(
            &config,
            format!(
                "send = true\nkeypair = {key:?}\ntables = {tables}\n{stream}\n\
                 nodes = [{{ url = {:?}, websocket_url = {:?} }}]\n\
                 deadline_slots = 40\nworkers = 40\nmin_profit_usd = 0.5\ncooldown_seconds = 1\n\
                 rescan_seconds = 5\naudit_seconds = 1\nsilence_seconds = 4\npoll_ms = 400\n\
                 near_health = 1.3\ndifferences = {differences:?}\nledger = {ledger:?}\n\
                 block_engines = [{:?}]\ntip_lamports = {TIP}\ntip_accounts = [\"{tipped}\"]\n",
                nodes[1].calls.url(),
                nodes[1].stream,
                engine.url(),
            ),
        )?;
        let keeper = Keeper::new(binary, "--rpc", nodes[0].calls.url(), &folder);
        let config = config.display().to_string();
        let args = ["--rpc-timeout", "2", "--json", "watch", "--config", &config];
        let (process, log, logging) = keeper.start_limited("watch", &args)?;
        let begun = Instant::now();
        let mut racer = Self {
            process,
            log,
            logging: Some(logging),
            key: signer.insecure_clone(),
            holder: scene.arbitrageur.insecure_clone(),
            mint: scene.pyusd.liquidity_mint,
            url: server.url.clone(),
            engine,
            nodes,
            begun,
            offset: 0,
            rest: String::new(),
            lines: Vec::new(),
        };
        while !racer.lines.iter().any(|line| line.message == "ready") {
            racer.read()?;
            if begun.elapsed() >= PATIENCE {
                bail!("it is not ready after {} s: {:?}", PATIENCE.as_secs(), racer.lines.last());
            }
            thread::sleep(Duration::from_millis(50));
        }
        Ok(racer)
    }

    /// Counts time from `begun` on.
    pub fn begin(&mut self, begun: Instant) {
        self.begun = begun;
    }

    /// Takes in what it has written meanwhile, and makes sure that it is alive.
    pub fn read(&mut self) -> Result<()> {
        if let Some(status) = self.process.child().try_wait()? {
            bail!("a keeper ended by itself with {status}: {:?}", self.lines.last());
        }
        self.take()
    }

    fn take(&mut self) -> Result<()> {
        let mut file = File::open(&self.log)?;
        file.seek(SeekFrom::Start(self.offset))?;
        let mut bytes = Vec::new();
        self.offset += file.read_to_end(&mut bytes)? as u64;
        self.rest.push_str(&String::from_utf8_lossy(&bytes));
        let at = self.begun.elapsed();
        let end = self.rest.rfind('\n').map_or(0, |at| at + 1);
        let whole: String = self.rest.drain(..end).collect();
        for line in whole.lines() {
            let Ok(Value::Object(mut line)) = serde_json::from_str(line) else {
                bail!("the keeper wrote what is no line of its log: {line}");
            };
            let fields = line.remove("fields").unwrap_or_default();
            let message = text(&fields, "/message")?.to_owned();
            self.lines.push(Line { at, message, fields });
        }
        Ok(())
    }

    /// Resident memory, and the part of it that is no file's, KiB.
    pub fn memory(&self) -> Result<[u64; 2]> {
        let status = fs::read_to_string(format!("/proc/{}/status", self.process.child().id()))?;
        let of = |name: &str| -> Result<u64> {
            let line = status.lines().find_map(|line| line.strip_prefix(name));
            let kib = line.with_context(|| format!("no {name}"))?.trim().trim_end_matches(" kB");
            Ok(kib.parse()?)
        };
        Ok([of("VmRSS:")?, of("RssAnon:")?])
    }

    /// Lets nothing more go wrong.
    pub fn clear(&self) {
        for node in &self.nodes {
            node.calls.clear();
            node.socket.clear();
        }
        self.engine.clear();
    }

    /// It, for who lets something happen to it itself.
    pub fn itself(&self) -> own::Keeper {
        own::Keeper {
            process: self.process.child().id(),
            key: self.key.insecure_clone(),
            holder: self.holder.insecure_clone(),
            mint: self.mint,
            url: self.url.clone(),
        }
    }

    /// Asks it to end; returns its log.
    pub fn stop(mut self) -> Result<Vec<Line>> {
        self.process.terminate()?;
        let status = self.process.wait(PATIENCE)?;
        if let Some(Ok(written)) = self.logging.take().map(thread::JoinHandle::join) {
            written.context("its log was not written down")?;
        }
        self.take()?;
        ensure!(status.success(), "it ended with {status}: {:?}", self.lines.last());
        Ok(self.lines)
    }
}

#[cfg(test)]
mod tests {
    use fault_proxy::proxy::Fault;

    use super::*;

    #[test]
    fn a_block_engine_hands_bundles_on_and_names_who_is_tipped() {
        let node = http::serve(|request| {
            let params = request["params"].to_string();
            let is_it = request["method"] == "sendTransaction" && params.contains("skipPreflight");
            let signature = json!({ "result": format!("signature of {}", request["params"][0]) });
            is_it.then(|| Answer::ok(signature))
        });
        let engine = engine(&format!("http://{node}"), Address::default()).unwrap();
        let address = engine.url().trim_start_matches("http://").parse().unwrap();
        let ask = |method: &str, params: Value| -> Value {
            let request = json!({ "id": 1, "method": method, "params": params });
            serde_json::from_str(&http::post(address, &request).unwrap()).unwrap()
        };
        let accounts = ask("getTipAccounts", json!([]));
        assert_eq!(accounts["result"], json!([Address::default().to_string()]));
        let bundle = || ask("sendBundle", json!([["bytes"], { "encoding": "base64" }]));
        let name = bundle()["result"].take();
        assert!(name.as_str().unwrap().starts_with("bundle of"), "{name}");
        engine.during(None, Fault::Swallowed, Duration::from_secs(600));
        assert_eq!(bundle()["result"], "swallowed");
        engine.clear();
        assert!(ask("sendTransaction", json!([]))["error"].is_object());
    }
}
