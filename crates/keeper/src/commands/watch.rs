use std::{
    env, fs,
    io::IsTerminal,
    path::Path,
    sync::{Arc, atomic::AtomicBool},
};

use anyhow::{Context as _, Result, anyhow, bail};
use serde_json::json;
use signal_hook::{
    consts::{SIGINT, SIGTERM},
    flag,
};
use tracing::info;

use super::{Context, print_json};
use crate::{
    cli::WatchArgs,
    config::{Config, Feed},
    feeds::{
        feed::Connector,
        source::{Rpc, Source, TIMEOUT},
        websocket::NodeSocket,
    },
    keys::Key,
    land::attempt::require_consent,
    ledger::metrics::Metrics,
    watch::engine::{self, Parts},
};

/// Exit code after a second signal, as shells count SIGINT.
const EXIT_AT_ONCE: i32 = 130;

/// `keeper watch`.
pub fn run(context: &Context, args: &WatchArgs) -> Result<()> {
    let config = Arc::new(read_config(args.config.as_deref())?);
    let source = &context.source;
    if config.send && source.rpc().is_none() {
        bail!("send = true needs an RPC node; a fork is only simulated on");
    }
    let connector = connector(&config, &**source)?;
    if args.check {
        if context.json {
            return print_json(&json!({ "mistakes": [] }));
        }
        println!("the configuration is fine");
        return Ok(());
    }
    start_logging(context.json);
    let key = Key::load(&config.signer, config.send)?;
    if let Some(rpc) = source.rpc().filter(|_| config.send) {
        require_consent(rpc, config.mainnet, "mainnet = true in the configuration")?;
    }

    let stop = Arc::new(AtomicBool::new(false));
    for signal in [SIGINT, SIGTERM] {
        // In this order: the first signal finds the flag down and raises it.
        flag::register_conditional_shutdown(signal, EXIT_AT_ONCE, Arc::clone(&stop))?;
        flag::register(signal, Arc::clone(&stop))?;
    }
    let metrics = Arc::new(Metrics::new());
    if let Some(address) = config.metrics {
        let address = metrics.serve(address)?;
        info!(%address, "metrics are served");
    }
    info!(source = source.name(), market = %config.market, send = config.send, "watching");
    let parts = Parts {
        source: Arc::clone(source),
        key: Arc::new(key),
        block_engine: config.block_engine.as_deref().map(|url| Arc::new(Rpc::new(url, TIMEOUT))),
        metrics,
        connector,
        config,
    };
    let passes = engine::run(parts, &stop, args.passes)?;
    info!(passes, "stopped");
    Ok(())
}

fn read_config(path: Option<&Path>) -> Result<Config> {
    let text = match path {
        Some(path) => fs::read_to_string(path).with_context(|| format!("{}", path.display()))?,
        None => String::new(),
    };
    Config::parse(&text).map_err(|mistakes| {
        let name = path.map_or_else(String::new, |path| path.display().to_string());
        anyhow!("{name}: {} mistakes\n  {}", mistakes.len(), mistakes.join("\n  "))
    })
}

type MakeConnector = Box<dyn Fn() -> Box<dyn Connector>>;

/// How updates come; `None` if they have to be polled for.
fn connector(config: &Config, source: &dyn Source) -> Result<Option<MakeConnector>> {
    let websocket = |rpc: Option<&Rpc>| -> Result<Option<MakeConnector>> {
        let url = match (&config.websocket_url, rpc) {
            (Some(url), _) => url.clone(),
            (None, Some(rpc)) => rpc.websocket_url()?,
            (None, None) => bail!("feed = \"websocket\" needs an RPC node: a fork does not change"),
        };
        Ok(Some(Box::new(move || Box::new(NodeSocket::new(url.clone())))))
    };
    match (config.feed, source.rpc()) {
        (Feed::Poll, _) | (Feed::Auto, None) => Ok(None),
        (Feed::Auto | Feed::Websocket, rpc) => websocket(rpc),
        (Feed::Yellowstone, None) => {
            bail!("feed = \"yellowstone\" needs an RPC node too: it does not scan")
        }
        (Feed::Yellowstone, Some(_)) => yellowstone(config),
    }
}

#[cfg(feature = "yellowstone")]
fn yellowstone(config: &Config) -> Result<Option<MakeConnector>> {
    use crate::feeds::yellowstone::Geyser;
    /// Holds the token that the endpoint wants to see, if it wants one.
    const TOKEN_VARIABLE: &str = "KEEPER_YELLOWSTONE_TOKEN";
    let url = config.yellowstone_url.clone().context("yellowstone_url is not given")?;
    let token = env::var(TOKEN_VARIABLE).ok();
    Ok(Some(Box::new(move || Box::new(Geyser::new(url.clone(), token.clone())))))
}

#[cfg(not(feature = "yellowstone"))]
fn yellowstone(_config: &Config) -> Result<Option<MakeConnector>> {
    bail!("this keeper was built without Yellowstone: build it with --features yellowstone")
}

/// Logs go to standard error; `RUST_LOG` chooses, JSON with `--json`.
fn start_logging(json: bool) {
    let filter = tracing_subscriber::EnvFilter::try_from_default_env().unwrap_or_else(|_| {
        tracing_subscriber::EnvFilter::new("keeper=info,klend_flash_keeper=info")
    });
    let builder = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr);
    if json {
        builder.json().init();
    } else {
        let color = env::var_os("NO_COLOR").is_none() && std::io::stderr().is_terminal();
        builder.with_ansi(color).init();
    }
}
