//! From an update to signed bytes, in the running loop of `keeper watch`, over 100,000
//! obligations: without local simulation, with it, and with it while a ledger and alerts
//! are kept.
//!
//! `cargo bench --profile measure -p klend-flash-keeper --bench path` prints median,
//! 99th percentile and maximum, processor time and allocations, and the memory that the book
//! takes; `-- --obligations N` takes another number, `--pools N` has so many further pools
//! named, `--json` prints JSON. The collateral is sold over two pools. A price update makes one obligation unhealthy, the time is taken from
//! when the loop hears of it until the transaction is signed, and another update makes
//! it healthy again. It needs the programs to be built (`cargo xtask build`).

#[path = "support/counting.rs"]
mod counting;
mod support;

use std::{
    fs,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering},
        mpsc::{self, Receiver, Sender},
    },
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, anyhow, bail};
use klend_flash_keeper::{
    alerts::{self, Format, Settings, Watched},
    config::Config,
    feeds::feed::{Connector, Outlet, Update, Version, Wanted},
    health::{Health, Limits},
    keys::Key,
    ledger::{Ledger, metrics::Metrics, records::Records},
    watch::{engine, parts::Parts},
};
use klend_fork::{Position, World};
use klend_interface::state::{DISCRIMINATOR_SIZE, Obligation};
use klend_model::time::Clock;
use serde_json::{Value, json};
use solana_account::Account;
use solana_address::Address;
use support::Memory;

#[global_allocator]
static ALLOCATOR: counting::Counting = counting::Counting;

const OBLIGATIONS: u32 = 100_000;
const POOLS: u32 = 1_000;
const ROUNDS: usize = 300;
/// Times that `/metrics` is rendered.
const RENDERED: u32 = 100;
/// Rounds before those that count.
const WARM_UP: usize = 20;
/// As long as this nothing is read any more when it begins.
const SETTLING: Duration = Duration::from_secs(3);
/// Pause after each.
const REST: Duration = Duration::from_millis(10);
/// Longest that anything may take here.
const PATIENCE: Duration = Duration::from_secs(120);

fn main() -> Result<()> {
    // `cargo test --benches` only wants to know that it starts.
    let arguments: Vec<String> = std::env::args().collect();
    if !arguments.iter().any(|argument| argument == "--bench") {
        return Ok(());
    }
    let stated = |name: &'static str, default: u32| -> Result<u32> {
        match arguments.iter().position(|argument| argument == name) {
            Some(at) => Ok(arguments.get(at + 1).context(name)?.parse()?),
            None => Ok(default),
        }
    };
    let obligations = stated("--obligations", OBLIGATIONS)?;
    let pools = stated("--pools", POOLS)?;
    let (lines, log) = mpsc::channel();
    let lines = Mutex::new(Log(lines));
    tracing_subscriber::fmt().json().with_writer(lines).init();
    let (mut results, mut book) = (serde_json::Map::new(), None);
    for (name, simulate, keeps) in
        [("none", "none", false), ("local", "local", false), ("kept", "local", true)]
    {
        let (rounds, grown) = measure(simulate, keeps, (obligations, pools), &log)?;
        // Later ones take what the first has given back.
        book.get_or_insert(grown);
        let [times, processor, allocations] = [
            Spread::of(rounds.iter().map(|round| round.micros)),
            Spread::of(rounds.iter().map(|round| round.processor_micros)),
            Spread::of(rounds.iter().map(|round| round.allocations)),
        ];
        eprintln!(
            "update to signed bytes, {obligations} obligations, {pools} further pools, simulate = \
             {simulate:?}{}: {times} us; processor time of all threads {processor} us; \
             allocations {allocations}",
            if keeps { ", with ledger and alerts" } else { "" }
        );
        let result = json!({
            "microseconds": times.json(),
            "processor_microseconds": processor.json(),
            "allocations": allocations.json(),
        });
        results.insert(name.to_owned(), result);
    }
    eprintln!("the book: {:.0} MiB resident", book.unwrap_or_default() as f64 / 1024.0);
    if arguments.iter().any(|argument| argument == "--json") {
        let report = json!({
            "obligations": obligations,
            "pools": pools,
            "book_kib": book,
            "simulate": results,
        });
        println!("{report}");
    }
    Ok(())
}

/// What one round took.
struct Round {
    micros: u64,
    /// Of all threads, the benchmark's own among them.
    processor_micros: u64,
    allocations: u64,
}

/// Median, 99th percentile and maximum.
struct Spread {
    median: u64,
    p99: u64,
    most: u64,
}

impl Spread {
    fn of(values: impl Iterator<Item = u64>) -> Self {
        let mut values: Vec<u64> = values.collect();
        values.sort_unstable();
        let at = |percent: usize| {
            let position = (values.len() * percent / 100).min(values.len().saturating_sub(1));
            values.get(position).copied().unwrap_or_default()
        };
        Self { median: at(50), p99: at(99), most: at(100) }
    }

    fn json(&self) -> Value {
        json!({ "median": self.median, "p99": self.p99, "most": self.most })
    }
}

impl std::fmt::Display for Spread {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { median, p99, most } = self;
        write!(f, "median {median}, 99 % within {p99}, at most {most}")
    }
}

/// Processor time of all threads of this process, microseconds.
fn processor_micros() -> Result<u64> {
    let mut nanos = 0;
    for task in fs::read_dir("/proc/self/task")? {
        // A thread may have ended in between.
        let Ok(line) = fs::read_to_string(task?.path().join("schedstat")) else { continue };
        nanos += line.split(' ').next().context("schedstat")?.parse::<u64>()?;
    }
    Ok(nanos / 1_000)
}

/// Resident memory, KiB.
fn memory() -> Result<u64> {
    let status = fs::read_to_string("/proc/self/status")?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    Ok(line.context("VmRSS")?.trim().trim_end_matches(" kB").parse()?)
}

/// Updates from this program.
struct Told(Arc<Mutex<Receiver<Update>>>);

impl Connector for Told {
    fn name(&self) -> String {
        "what is told here".to_owned()
    }

    fn silence(&self) -> Duration {
        Duration::MAX
    }

    fn run(&mut self, wanted: &Wanted, outlet: &Outlet<'_>, stop: &AtomicBool) -> Result<()> {
        outlet.tell(Update::Connected)?;
        while !stop.load(Ordering::Relaxed) {
            if wanted.markets.is_empty() {
                thread::sleep(Duration::from_millis(20));
                continue;
            }
            let updates = self.0.lock().map_err(|_| anyhow!("it broke down"))?;
            if let Ok(update) = updates.recv_timeout(Duration::from_millis(20)) {
                outlet.tell(update)?;
            }
        }
        Ok(())
    }
}

/// Lines of the loop's log, JSON: read by who waits for them, not by who writes them.
#[derive(Clone)]
struct Log(Sender<Vec<u8>>);

impl std::io::Write for Log {
    fn write(&mut self, line: &[u8]) -> std::io::Result<usize> {
        // Nobody listens any more when it ends.
        let _ = self.0.send(line.to_vec());
        Ok(line.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

/// Waits for the next line with one of these messages.
fn wait_for(log: &Receiver<Vec<u8>>, messages: &[&str]) -> Result<Value> {
    let until = Instant::now() + PATIENCE;
    loop {
        let left = until.saturating_duration_since(Instant::now());
        let line = log.recv_timeout(left).with_context(|| format!("no {messages:?}"))?;
        let line: Value = serde_json::from_slice(&line)?;
        let fields = &line["fields"];
        if fields["message"].as_str().is_some_and(|message| messages.contains(&message)) {
            return Ok(fields.clone());
        }
        if fields["message"] == "failed" || fields["message"] == "not liquidated" {
            bail!("{fields}");
        }
    }
}

/// What each round took, and how much resident memory grew, KiB, until all were done.
fn measure(
    simulate: &str,
    keeps: bool,
    (count, further_pools): (u32, u32),
    log: &Receiver<Vec<u8>>,
) -> Result<(Vec<Round>, u64)> {
    let Market { source, table, oracle, healthy, unhealthy, pools } = market(count, further_pools)?;
    // Written again and again in one slot: more than a few in a second are not believed.
    let (slot, mut write) = (source.clock.slot + 1, 0);
    let config = format!(
        "poll_ms = 600000\nrescan_seconds = 86400\ncooldown_seconds = 0\nworkers = 1\n\
         near_health = 1.6\ntables = [\"{table}\"]\nsimulate = \"{simulate}\"\npools = {pools:?}"
    );
    let (config, mistakes) = Config::read(&config);
    if !mistakes.is_empty() {
        bail!("{mistakes:?}");
    }
    let (told, updates) = mpsc::channel();
    let updates = Arc::new(Mutex::new(updates));
    let metrics = Arc::new(Metrics::new());
    let folder = tempfile::tempdir()?;
    let ledger =
        keeps.then(|| Ledger::open(&folder.path().join("keeper.db"), Arc::clone(&metrics)));
    let ledger = ledger.transpose()?.map(Arc::new);
    let (health, board) = (
        Arc::new(Health::new(Limits::default(), true, Arc::clone(&metrics), ledger.clone())),
        Arc::default(),
    );
    let records = Arc::new(Records::new(Arc::clone(&metrics), ledger));
    if keeps {
        let settings = Settings {
            // Nobody listens there.
            webhook: "http://127.0.0.1:9/".to_owned(),
            format: Format::Json,
            hold: Duration::ZERO,
            repeat: Duration::from_secs(1),
            failures: 1,
            unsellable: 1.0,
            digest_hour: None,
        };
        let watched = Watched {
            health: Arc::clone(&health),
            records: Arc::clone(&records),
            board: Arc::clone(&board),
            klend_replaced: Arc::default(),
        };
        alerts::start(watched, settings)?;
    }
    let parts = Parts {
        source: Arc::new(source),
        config: Arc::new(config.context("a configuration")?),
        key: Arc::new(Key::simulated()),
        roads: Vec::new(),
        tips: None,
        records,
        health,
        board,
        checker: None,
        connector: Some(Box::new(move || vec![Box::new(Told(Arc::clone(&updates)))])),
        on_chain: false,
        seed: 0,
        recorder: None,
    };
    let before = memory()?;
    let stop = Arc::new(AtomicBool::new(false));
    let running = {
        let stop = Arc::clone(&stop);
        thread::spawn(move || engine::run(parts, &stop, None))
    };
    wait_for(log, &["ready"])?;
    // What it subscribes to brings further scans: they are no part of it.
    let mut scans = 0;
    while scans < metrics.scans.get() {
        scans = metrics.scans.get();
        thread::sleep(SETTLING);
    }
    let mut tell = |account: &Account| -> Result<()> {
        write += 1;
        let version = Version { slot, write };
        Ok(told.send(Update::Account { key: oracle, version, account: account.clone() })?)
    };
    let mut rounds = Vec::new();
    for round in 0..ROUNDS + WARM_UP {
        let before = (processor_micros()?, counting::allocations());
        tell(&unhealthy)?;
        let micros = wait_for(log, &["signed"])?["micros"].as_u64().context("micros")?;
        let allocations = counting::allocations() - before.1;
        let processor_micros = processor_micros()?.saturating_sub(before.0);
        if round >= WARM_UP {
            rounds.push(Round { micros, processor_micros, allocations });
        }
        wait_for(log, &["liquidated", "ready to be sent: send = false"])?;
        tell(&healthy)?;
        thread::sleep(REST);
    }
    let grown = memory()?.saturating_sub(before);
    stop.store(true, Ordering::Relaxed);
    running.join().map_err(|_| anyhow!("the loop broke down"))??;
    if keeps {
        let begun = Instant::now();
        let bytes = (0..RENDERED).map(|_| metrics.render().len()).max().unwrap_or_default();
        let micros = begun.elapsed().as_micros() / u128::from(RENDERED);
        eprintln!("/metrics: {bytes} bytes in {micros} us");
    }
    Ok((rounds, grown))
}

/// A market with its obligations, and two prices of SOL.
struct Market {
    source: Memory,
    table: Address,
    oracle: Address,
    /// At this price all are healthy.
    healthy: Account,
    /// At this one, one is not.
    unhealthy: Account,
    /// Addresses of further pools.
    pools: Vec<String>,
}

/// The built-in market with many obligations, no two alike, of which one is closer to
/// its limit than the rest.
fn market(count: u32, further_pools: u32) -> Result<Market> {
    let mut world = World::builtin()?;
    let (sol, usdc) = (world.reserve_named("SOL")?, world.reserve_named("USDC")?);
    let owner = world.actor("borrower");
    let price = world.price(&sol)?;
    let debt = (1_000.0 * price.to_f64() * 0.62 * 1e6) as u64;
    let (deposits, borrows) = ([(sol, 1_000_000_000_000)], [(usdc, debt)]);
    let opened = world.open_position(&owner, &Position::new(&deposits, &borrows))?;
    for _ in 0..2 {
        world.create_pool_at_oracle_price(&sol, &usdc, 5_000_000, 5)?;
    }
    let template = world.account(&opened).context("the position was opened")?;
    let oracle = world.reserve_addresses(&sol)?.oracles.scope.context("SOL has an oracle")?;
    let healthy = world.account(&oracle).context("the oracle is there")?;
    let fallen = price.scaled(80, 100).context("a fifth less is still a price")?;
    world.set_price(&sol, fallen)?;
    let unhealthy = world.account(&oracle).context("the oracle is there")?;
    world.set_account(&oracle, healthy.clone())?;
    let market = world.reserve_addresses(&sol)?.lending_market;
    let keys: Vec<Address> = world.snapshot().accounts.into_keys().collect();
    let table = world.create_lookup_table(&keys[..keys.len().min(256)])?.key;

    let mut obligations = vec![(opened, template.clone())];
    for number in 1..count {
        let mut account = template.clone();
        let body = account.data.get_mut(DISCRIMINATOR_SIZE..).context("an obligation has data")?;
        let obligation: &mut Obligation = bytemuck::from_bytes_mut(body);
        // From one and a half times to three times as much collateral.
        let deposit = &mut obligation.deposits[0].deposited_amount;
        *deposit += *deposit / 2 + *deposit / u64::from(count) * u64::from(number) * 3 / 2;
        let mut key = [7; 32];
        key[..4].copy_from_slice(&number.to_be_bytes());
        obligations.push((Address::new_from_array(key), account));
    }
    // Pools of SOL and of something that nobody wants.
    let mint = world.reserve_addresses(&sol)?.liquidity_mint;
    let mut pools = Vec::new();
    for number in 0..further_pools {
        let [pool, other] = [9, 10].map(|first| {
            let mut key = [first; 32];
            key[..4].copy_from_slice(&number.to_be_bytes());
            Address::new_from_array(key)
        });
        world.set_account(&pool, klend_fork::scope::whirlpool([&mint, &other], 0.18))?;
        pools.push(pool.to_string());
    }
    let clock =
        Clock { slot: world.slot(), unix_timestamp: u64::try_from(world.unix_timestamp())? };
    let obligations = obligations.into_iter().collect();
    let source = Memory { world: Mutex::new(world), clock, obligations, market };
    Ok(Market { source, table, oracle, healthy, unhealthy, pools })
}
