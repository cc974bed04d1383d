use std::{
    env, fs,
    hash::{BuildHasher as _, RandomState},
    io::IsTerminal,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError, atomic::AtomicBool},
};

use anyhow::{Context as _, Result, anyhow, bail};
use flash_liquidator_client::receiver;
use klend_model::version::KlendVersion;
use serde_json::json;
use signal_hook::{
    consts::{SIGINT, SIGTERM},
    flag,
};
use solana_address::Address;
use solana_signer::Signer as _;
use tracing::{info, warn};

use super::{Context, print_json};
use crate::{
    alerts::{self, Watched},
    cli::WatchArgs,
    config::{Config, Feed},
    feeds::{
        feed::{Connect, Connector},
        inclusion::TipService,
        source::{
            KLEND, Rpc, Source, TIMEOUT,
            nodes::{Node, Role},
        },
        websocket::NodeSocket,
    },
    health::{Health, board::Board, probe::Probe, service},
    keys::Key,
    klend::Identity,
    land::{
        attempt::require_consent,
        roads::{Kind, Road},
    },
    ledger::{Ledger, metrics::Metrics, now_ms, record::Run, records::Records},
    program,
    recording::{Header, Recorder},
    serve::{self, Shown},
    verify::{
        checker::{Checker, Comparer},
        tally::Tally,
    },
    watch::{chores::Chores, engine, parts::Parts},
};

/// Exit code after a second signal, as shells count SIGINT.
const EXIT_AT_ONCE: i32 = 130;

/// `keeper watch`.
pub fn run(context: &Context, args: &WatchArgs) -> Result<()> {
    let source = &context.source;
    let (config, connector) = read_config(args.config.as_deref(), &**source)?;
    let config = Arc::new(config);
    let source = &with_nodes(source, &config);
    if args.check {
        if context.json {
            return print_json(&json!({ "mistakes": [] }));
        }
        println!("the configuration is fine");
        return Ok(());
    }
    start_logging(context.json, "info");
    let klend = identify(&**source, context.klend.or(config.klend));
    let key = Arc::new(Key::load(&config.signer, config.send)?);
    let mut programs = None;
    if let Some(rpc) = source.rpc().filter(|_| config.send) {
        require_consent(rpc, config.mainnet, "mainnet = true in the configuration")?;
        // Looked at before it is compared: what changes in between is seen too.
        let mut watch = program::Watch::new(rpc, &[receiver::PROGRAM_ID, KLEND])?;
        watch.look(rpc)?;
        let deployed = program::require(rpc, &config.program, program::Said::Configuration)?;
        info!(hash = %deployed.hash, authority = %deployed.authority, "signing for the program");
        programs = Some(watch);
    }

    let stop = Arc::new(AtomicBool::new(false));
    for signal in [SIGINT, SIGTERM] {
        // In this order: the first signal finds the flag down and raises it.
        flag::register_conditional_shutdown(signal, EXIT_AT_ONCE, Arc::clone(&stop))?;
        flag::register(signal, Arc::clone(&stop))?;
    }
    let metrics = Arc::new(Metrics::new());
    metrics.sends.set(u64::from(config.send));
    let ledger = config.ledger.as_deref().map(|path| Ledger::open(path, Arc::clone(&metrics)));
    let ledger = ledger.transpose()?.map(Arc::new);
    let subscribes = connector.is_some();
    let health = Health::new(
        config.limits,
        subscribes,
        Arc::clone(&metrics),
        ledger.as_ref().map(Arc::clone),
    );
    let health = Arc::new(health);
    service::start(Arc::clone(&health));
    let board = Arc::new(Board::default());
    let why = Arc::new(Mutex::new(None));
    let klend_replaced = Arc::new(AtomicBool::new(false));
    let probe = Probe {
        source: Arc::clone(source),
        health: Arc::clone(&health),
        metrics: Arc::clone(&metrics),
        key: key.pubkey(),
        sends: config.send,
        tables: config.wishes.tables.clone(),
        expected: config.program,
        stop: Arc::clone(&stop),
        why: Arc::clone(&why),
        klend_replaced: Arc::clone(&klend_replaced),
    };
    probe.start(programs);
    let checker = config
        .verify
        .then(|| {
            Checker::start(Comparer::new(
                Some(Arc::clone(source)),
                Arc::new(Tally::new(klend.clone())),
                Some(Arc::clone(&metrics)),
                Some(config.differences.clone()),
                false,
            ))
        })
        .transpose()?;
    if let Some(address) = config.metrics {
        let shown = Shown {
            metrics: Arc::clone(&metrics),
            health: Arc::clone(&health),
            board: Arc::clone(&board),
            ledger: config.ledger.clone(),
            model: checker.as_ref().map(|checker| Arc::clone(&checker.tally)),
        };
        let address = serve::start(address, shown)?;
        info!(%address, "metrics are served");
    }
    if cfg!(panic = "abort") {
        warn!("built to end with the first panic: build with --profile service");
    }
    let markets: Vec<String> = config.markets.iter().map(ToString::to_string).collect();
    info!(source = source.name(), markets = markets.join(" "), send = config.send, "watching");
    if config.wishes.tables.is_empty() && source.rpc().is_some() {
        warn!("no lookup tables are given: without them nothing fits that could be sent");
    }
    let engine_url = config.block_engines.first().map(|url| &**url);
    let floor = config.tip_floor.as_ref().map(|(url, percentile)| (&**url, *percentile));
    let tips =
        (floor.is_some() || engine_url.is_some()).then(|| TipService::new(floor, engine_url));
    let records = Arc::new(Records::new(Arc::clone(&metrics), ledger));
    let run =
        Run { markets: config.markets.clone(), min_debt_usd: config.min_debt, sends: config.send };
    records.run(run, now_ms());
    if let Some(settings) = &config.alerts {
        let watched = Watched {
            health: Arc::clone(&health),
            records: Arc::clone(&records),
            board: Arc::clone(&board),
            klend_replaced,
        };
        alerts::start(watched, settings.clone())?;
    }
    let seed = RandomState::new().hash_one(key.pubkey());
    let on_chain = source.rpc().is_some();
    let record = |path: &PathBuf| {
        let names = |keys: &[Address]| keys.iter().map(ToString::to_string).collect();
        let header = Header {
            version: env!("CARGO_PKG_VERSION").to_owned(),
            keeper: key.pubkey().to_string(),
            stands_in: key.is_simulated(),
            markets: names(&config.markets),
            lend_from: names(&config.lend_from),
            sends: config.send,
            on_chain,
            subscribes,
            klend,
            seed,
            began_ms: now_ms(),
        };
        Recorder::start(path, &header, args.record_limit.saturating_mul(1 << 20))
    };
    if args.record.is_some() && config.jupiter.is_some() {
        bail!("--record: what an aggregator offers is not recorded: leave [jupiter] out");
    }
    let recorder = args.record.as_ref().map(record).transpose()?;
    let chores = Chores {
        source: Arc::clone(source),
        key: Arc::clone(&key),
        config: Arc::clone(&config),
        metrics,
        health: Arc::clone(&health),
        stop: Arc::clone(&stop),
    };
    chores.start();
    let parts = Parts {
        source: Arc::clone(source),
        key,
        roads: roads(&config, &*context.source),
        tips: tips.transpose()?.map(Arc::new),
        records,
        health,
        board,
        checker,
        connector,
        config,
        on_chain,
        seed,
        recorder,
    };
    let passes = engine::run(parts, &stop, args.passes);
    service::stopping();
    let passes = passes?;
    info!(passes, "stopped");
    let why = why.lock().unwrap_or_else(PoisonError::into_inner).take();
    why.map_or(Ok(()), |why| Err(anyhow!(why)))
}

/// Finds out which klend is talked to, says it, and has its rules apply; `said` is what
/// the operator says.
fn identify(source: &dyn Source, said: Option<KlendVersion>) -> String {
    let identity = Identity::read(source);
    let taken = match (&identity, source.rpc()) {
        (Ok(identity), Some(_)) => Some(identity.version(said)),
        // A fork says itself what it is taken for.
        _ => said,
    };
    if let Some(version) = taken {
        source.take_for(version);
    }
    let version = source.klend().unwrap_or_default();
    let klend = match &identity {
        Ok(identity) => identity.describe(version),
        Err(reason) => format!("klend whose code cannot be read ({reason:#}), taken for {version}"),
    };
    let is_known = identity.is_ok_and(|identity| identity.build.is_some());
    if is_known || source.rpc().is_none() {
        info!(klend, "talks to klend");
    } else {
        warn!(klend, "talks to a klend that is not known: its rules may be others");
    }
    klend
}

/// Everywhere that transactions are sent, all at once: the nodes that the command line
/// names, those of the settings, block engines.
fn roads(config: &Config, source: &dyn Source) -> Vec<Road> {
    let own = source.rpc().filter(|_| config.own_node).map(|rpc| Road::all(Kind::Node, rpc));
    let nodes: Vec<&String> = config.with(Role::Send).map(|node| &node.url).collect();
    let nodes = Road::all(Kind::Node, &Rpc::all(&nodes, TIMEOUT));
    let engines = Road::all(Kind::Engine, &Rpc::all(&config.block_engines, TIMEOUT));
    own.into_iter().flatten().chain(nodes).chain(engines).collect()
}

/// The source, with the nodes that stand in for it.
fn with_nodes(source: &Arc<dyn Source>, config: &Config) -> Arc<dyn Source> {
    let is_asked = |role: &Role| [Role::Scan, Role::Simulate].contains(role);
    let others: Vec<Node> = config
        .nodes
        .iter()
        .filter(|node| node.roles.iter().any(is_asked))
        .map(|node| Node::new(&node.url, node.roles.clone()))
        .collect();
    match source.rpc() {
        Some(rpc) if !others.is_empty() => Arc::new(rpc.with(others)),
        _ => Arc::clone(source),
    }
}

/// Reads the configuration, and what follows from it and the source.
///
/// # Errors
/// Everything that is wrong with either, at once.
fn read_config(path: Option<&Path>, source: &dyn Source) -> Result<(Config, Option<Connect>)> {
    let text = match path {
        Some(path) => fs::read_to_string(path).with_context(|| format!("{}", path.display()))?,
        None => String::new(),
    };
    let (config, mut mistakes) = Config::read(&text);
    let mut made = None;
    if let Some(config) = &config {
        if config.send && source.rpc().is_none() {
            mistakes.push("send: needs an RPC node; a fork is only simulated on".to_owned());
        }
        match connector(config, source) {
            Ok(connector) => made = connector,
            Err(mistake) => {
                // Said by the settings already, or said now.
                let mistake = format!("feed: {mistake:#}");
                if !mistakes.iter().any(|known| known.starts_with("feed:")) {
                    mistakes.push(mistake);
                }
            }
        }
    }
    match config {
        Some(config) if mistakes.is_empty() => Ok((config, made)),
        _ => {
            let name = path.map_or_else(String::new, |path| path.display().to_string());
            bail!("{name}: {} mistakes\n  {}", mistakes.len(), mistakes.join("\n  "))
        }
    }
}

/// How updates come; `None` if they have to be polled for.
fn connector(config: &Config, source: &dyn Source) -> Result<Option<Connect>> {
    let silence = config.silence;
    let others = config.with(Role::Stream).map(|node| match &node.websocket_url {
        Some(url) => Ok(url.clone()),
        None => Rpc::new(&node.url, TIMEOUT).websocket_url(),
    });
    let others = others.collect::<Result<Vec<String>>>()?;
    let sockets = move |urls: &[String]| -> Vec<Box<dyn Connector>> {
        let socket = |url: &String| Box::new(NodeSocket::new(url.clone(), silence)) as _;
        urls.iter().map(socket).collect()
    };
    let websocket = |rpc: Option<&Rpc>| -> Result<Option<Connect>> {
        let mut urls = match (&config.websocket_url, rpc) {
            (Some(url), _) => vec![url.clone()],
            (None, Some(rpc)) => {
                let each = rpc.each(Role::Stream, TIMEOUT);
                each.iter().map(Rpc::websocket_url).collect::<Result<_>>()?
            }
            (None, None) => bail!("feed = \"websocket\" needs an RPC node: a fork does not change"),
        };
        urls.extend_from_slice(&others);
        Ok(Some(Box::new(move || sockets(&urls))))
    };
    match (config.feed, source.rpc()) {
        (Feed::Poll, _) | (Feed::Auto, None) => Ok(None),
        (Feed::Auto | Feed::Websocket, rpc) => websocket(rpc),
        (Feed::Yellowstone, None) => {
            bail!("feed = \"yellowstone\" needs an RPC node too: it does not scan")
        }
        (Feed::Yellowstone, Some(_)) => yellowstone(config).map(|first| {
            let all = move || first().into_iter().chain(sockets(&others)).collect();
            Some(Box::new(all) as Connect)
        }),
    }
}

#[cfg(feature = "yellowstone")]
fn yellowstone(config: &Config) -> Result<Connect> {
    use crate::feeds::yellowstone::Geyser;
    /// Holds the token that the endpoint wants to see, if it wants one.
    const TOKEN_VARIABLE: &str = "KEEPER_YELLOWSTONE_TOKEN";
    let url = config.yellowstone_url.clone().context("yellowstone_url is not given")?;
    let token = env::var(TOKEN_VARIABLE).ok();
    let silence = config.silence;
    Ok(Box::new(move || vec![Box::new(Geyser::new(url.clone(), token.clone(), silence))]))
}

#[cfg(not(feature = "yellowstone"))]
fn yellowstone(_config: &Config) -> Result<Connect> {
    bail!("this keeper was built without Yellowstone: build it with --features yellowstone")
}

/// Logs go to standard error; `RUST_LOG` chooses, JSON with `--json`.
pub fn start_logging(json: bool, level: &str) {
    let filter = tracing_subscriber::EnvFilter::try_from_default_env().unwrap_or_else(|_| {
        let levels = format!("keeper={level},klend_flash_keeper={level}");
        tracing_subscriber::EnvFilter::new(levels)
    });
    // Where that cannot be written to, a disk being full or its reader gone, the subscriber
    // would say so there, which panics.
    let builder = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .log_internal_errors(false);
    if json {
        builder.json().init();
    } else {
        let color = env::var_os("NO_COLOR").is_none() && std::io::stderr().is_terminal();
        builder.with_ansi(color).init();
    }
}
