//! How far away the node is does not matter between an update and the first byte: nobody is
//! asked anything there. Two keepers see the same prices, one of them through a proxy that
//! adds 100 ms to every request; both sign what they would send, and send nothing.

use std::{
    fs,
    net::{Ipv4Addr, SocketAddr},
    path::{Path, PathBuf},
    sync::atomic::Ordering,
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, bail, ensure};
use fault_proxy::proxy::{Fault, Proxy};
use serde_json::Value;

use crate::{
    keeper::{Keeper, WATCH, amount, message, wait_for},
    oracle::Oracle,
    processes::Process,
    report::Report,
    scene::Scene,
    server::Server,
};

/// What every request to the far node takes longer.
const DELAY: Duration = Duration::from_millis(100);
/// Longer than all of this takes.
const ALWAYS: Duration = Duration::from_secs(3_600);
/// Most that the two may differ by: whoever asked one question would differ by twice that.
const DIFFERENCE: Duration = Duration::from_millis(50);
/// SOL's price each time, per cent of the one before: down until a position can be
/// liquidated, up and down where it can be, and at last to where it was.
const MOVES: [u64; 5] = [88, 99, 101, 99, 101];
const BACK: u64 = 114;

/// A keeper that only signs.
struct Watcher {
    process: Process,
    log: PathBuf,
}

impl Watcher {
    fn start(keeper: &Keeper, name: &str, config: &str, folder: &Path) -> Result<Self> {
        let path = folder.join(format!("{name}.toml"));
        fs::write(&path, config)?;
        let path = path.display().to_string();
        let (process, log) = keeper.start(name, &["watch", "--config", &path, "--json"])?;
        Ok(Self { process, log })
    }

    /// From an update to signed bytes, each time.
    fn times(&self) -> Result<Vec<Duration>> {
        let text = fs::read_to_string(&self.log)?;
        let lines = text.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
        let signed = lines.filter(|line| message(line) == Some("signed"));
        signed
            .map(|line| Ok(Duration::from_micros(amount(&line, "/fields/micros")?.try_into()?)))
            .collect()
    }

    fn wait_for_more_than(&self, known: usize) -> Result<()> {
        let started = Instant::now();
        while self.times()?.len() <= known {
            if started.elapsed() > WATCH {
                let text = fs::read_to_string(&self.log)?;
                bail!("no {} transactions were signed:\n{text}", known + 1);
            }
            thread::sleep(Duration::from_millis(20));
        }
        Ok(())
    }

    fn stop(self) -> Result<Vec<Duration>> {
        self.process.terminate()?;
        let status = self.process.wait(WATCH)?;
        ensure!(status.success(), "it ended with {status}");
        self.times()
    }
}

impl Watcher {
    /// The fastest and the median.
    fn figures(times: &mut [Duration]) -> Result<(Duration, Duration)> {
        times.sort_unstable();
        let fastest = times.first().context("nothing was signed")?;
        Ok((*fastest, times[times.len() / 2]))
    }
}

/// Does it; the price is about what it was afterwards.
pub fn run(
    report: &mut Report,
    scene: &mut Scene,
    server: &Server,
    near: &Keeper,
    oracle: &Oracle,
    table: &str,
) {
    report.step("watch: a node 100 ms away", || {
        let address: SocketAddr = server.url.trim_start_matches("http://").parse()?;
        let socket = SocketAddr::from((Ipv4Addr::LOCALHOST, address.port() + 1));
        let config = format!(
            "keypair = {:?}\ntables = [{table:?}]\nfeed = \"websocket\"\n\
             websocket_url = \"ws://{socket}\"\ncooldown_seconds = 0\n",
            scene.keeper_file
        );
        let proxy = Proxy::to(&server.url, &[]);
        let delayed = proxy.during(None, Fault::Slow(DELAY), ALWAYS);
        let far = near.on("--rpc", proxy.url());
        let watchers = [("near", near), ("far", &far)];
        let watchers = watchers.map(|(name, keeper)| {
            Watcher::start(keeper, name, &config, &scene.folder).context(name)
        });
        let [near, far] = watchers;
        let watchers = [near?, far?];
        for watcher in &watchers {
            wait_for(&watcher.log, |line| message(line) == Some("updates flow"))?;
            wait_for(&watcher.log, |line| message(line) == Some("ready"))?;
        }
        for percent in MOVES {
            let known = [watchers[0].times()?.len(), watchers[1].times()?.len()];
            oracle.move_sol(scene, &server.chain, percent)?;
            for (watcher, known) in watchers.iter().zip(known) {
                watcher.wait_for_more_than(known)?;
            }
        }
        let [near, far] = watchers;
        let (mut near, mut far) = (near.stop()?, far.stop()?);
        oracle.move_sol(scene, &server.chain, BACK)?;
        let requests = delayed.load(Ordering::Relaxed);
        ensure!(requests > 10, "only {requests} requests went to the far node");
        let (near_best, near_median) = Watcher::figures(&mut near)?;
        let (far_best, far_median) = Watcher::figures(&mut far)?;
        let seen = format!(
            "update to signed bytes, fastest and median: near {near_best:.1?} and \
             {near_median:.1?}, far {far_best:.1?} and {far_median:.1?}; {} and {} signed, \
             {requests} requests delayed",
            near.len(),
            far.len(),
        );
        // One question on the path would make every one of them slower than that.
        ensure!(far_best < DELAY, "{seen}");
        ensure!(far_best.abs_diff(near_best) < DIFFERENCE, "{seen}");
        Ok(((), seen))
    });
}
