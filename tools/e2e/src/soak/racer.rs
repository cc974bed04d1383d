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
use fault_proxy::{proxy::Proxy, socket::SocketProxy};
use serde_json::Value;
use solana_keypair::Keypair;

use crate::{
    keeper::{Keeper, at, text},
    processes::Process,
    scene::{Scene, write_key},
    server::Server,
};

/// How long it may take to be ready, and to end.
const PATIENCE: Duration = Duration::from_secs(400);

/// A node as the keeper sees it.
pub struct Node {
    /// Calls.
    pub calls: Proxy,
    /// Subscriptions.
    pub socket: SocketProxy,
}

impl Node {
    fn to(server: &Server) -> Result<Self> {
        let address: SocketAddr = server.url.trim_start_matches("http://").parse()?;
        // The websocket's port is the next one, as everywhere.
        let socket = SocketAddr::from((Ipv4Addr::LOCALHOST, address.port() + 1));
        Ok(Self { calls: Proxy::to(&server.url, &[]), socket: SocketProxy::to(socket)? })
    }
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
            let one = scope.spawn(|| Self::start(scene, server, binary, one, "racer-1"));
            let two = scope.spawn(|| Self::start(scene, server, binary, two, "racer-2"));
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
    ) -> Result<Self> {
        let folder = scene.folder.join(name);
        fs::create_dir(&folder)?;
        let key = write_key(&folder.join("keypair.json"), key)?;
        let direct = Keeper::new(binary, "--rpc", &server.url, &folder);
        let path = key.display().to_string();
        let done = direct.json(&["setup", "--keypair", &path, "--yes"])?;
        let tables = at(&done, "/tables")?.to_string();

        let nodes = [Node::to(server)?, Node::to(server)?];
        let config = folder.join("keeper.toml");
        let differences = folder.join("differences");
        let ledger = folder.join("ledger.sqlite");
        fs::write(
            &config,
            format!(
                "send = true\nkeypair = {key:?}\ntables = {tables}\nfeed = \"websocket\"\n\
                 websocket_url = {:?}\nnodes = [{{ url = {:?}, websocket_url = {:?} }}]\n\
                 deadline_slots = 40\nworkers = 40\nmin_profit_usd = 0.5\ncooldown_seconds = 1\n\
                 rescan_seconds = 5\naudit_seconds = 1\nsilence_seconds = 4\npoll_ms = 400\n\
                 near_health = 1.3\ndifferences = {differences:?}\nledger = {ledger:?}\n",
                nodes[0].socket.url(),
                nodes[1].calls.url(),
                nodes[1].socket.url(),
            ),
        )?;
        let keeper = Keeper::new(binary, "--rpc", nodes[0].calls.url(), &folder);
        let config = config.display().to_string();
        let args = ["--rpc-timeout", "2", "--json", "watch", "--config", &config];
        let (process, log) = keeper.start("watch", &args)?;
        let begun = Instant::now();
        let (rest, lines) = (String::new(), Vec::new());
        let mut racer = Self { process, log, nodes, begun, offset: 0, rest, lines };
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
    }

    /// Asks it to end; returns its log.
    pub fn stop(mut self) -> Result<Vec<Line>> {
        self.process.terminate()?;
        let status = self.process.wait(PATIENCE)?;
        self.take()?;
        ensure!(status.success(), "it ended with {status}: {:?}", self.lines.last());
        Ok(self.lines)
    }
}
