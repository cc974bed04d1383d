use std::{
    collections::BTreeMap,
    fs,
    path::Path,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, anyhow, bail};
use flash_liquidator_client::decode::{Decoded, Event, Outcome};
use klend_model::accounts;
use solana_account::Account;
use solana_address::Address;
use solana_keypair::Keypair;
use tracing::{error, info, warn};

use super::{
    Context,
    liquidate::{Attempt, attempt, load_keypair, require_consent},
    scan::value_f64,
};
use crate::{
    config::Config, market::Market, metrics::Metrics, plan::Position, source::Source,
    tracker::Tracker,
};

/// Longest pause after a source failed again and again.
const MAX_BACKOFF: Duration = Duration::from_secs(30);
/// How quickly a shutdown is noticed.
const NAP: Duration = Duration::from_millis(50);

/// `keeper watch`.
pub fn run(context: &Context, config: Option<&Path>, passes: Option<u64>) -> Result<()> {
    let config = read_config(config)?;
    let source = &*context.source;
    let sends = source.rpc().filter(|_| config.send);
    if config.send && sends.is_none() {
        bail!("send = true needs an RPC node; a fork is only simulated on");
    }
    let keypair = load_keypair(config.keypair.as_deref(), sends.is_some())?;
    if let Some(rpc) = sends {
        require_consent(rpc, config.mainnet, "mainnet = true in the configuration")?;
    }

    let stop = Arc::new(AtomicBool::new(false));
    for signal in [signal_hook::consts::SIGINT, signal_hook::consts::SIGTERM] {
        signal_hook::flag::register(signal, Arc::clone(&stop))?;
    }
    let metrics = Arc::new(Metrics::new());
    if let Some(address) = config.metrics {
        let address = metrics.serve(address)?;
        info!(%address, "metrics are served");
    }
    let mut watch = Watch {
        source,
        config: &config,
        keypair,
        metrics: &metrics,
        tracker: Tracker::default(),
        scanned: None,
        resting: BTreeMap::new(),
    };
    info!(source = source.name(), market = %config.market, send = config.send, "watching");

    let mut backoff = config.poll;
    let mut done = 0;
    while !stop.load(Ordering::Relaxed) && passes.is_none_or(|passes| done < passes) {
        done += 1;
        let pause = match watch.pass(&stop) {
            Ok(()) => {
                backoff = config.poll;
                config.poll
            }
            Err(reason) => {
                metrics.source_errors.increment();
                warn!(reason = format!("{reason:#}"), "the source failed");
                backoff = (backoff * 2).min(MAX_BACKOFF);
                backoff
            }
        };
        let until = Instant::now() + pause;
        while Instant::now() < until && !stop.load(Ordering::Relaxed) {
            thread::sleep(NAP.min(until.saturating_duration_since(Instant::now())));
        }
    }
    info!(passes = done, "stopped");
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

struct Watch<'a> {
    source: &'a dyn Source,
    config: &'a Config,
    keypair: Keypair,
    metrics: &'a Metrics,
    tracker: Tracker,
    scanned: Option<Instant>,
    /// Obligations that were tried, and when they may be again.
    resting: BTreeMap<Address, Instant>,
}

impl Watch<'_> {
    /// One look at prices: scan if it is time, find who is unhealthy, liquidate
    /// the most profitable first. Every obligation is tried alone and to its
    /// end, so nothing is ever in flight twice.
    fn pass(&mut self, stop: &AtomicBool) -> Result<()> {
        let market = Market::load(self.source, &self.config.market)?;
        let table = market.table()?;
        self.metrics.slot.set(market.clock.slot);
        if self.scanned.is_none_or(|at| at.elapsed() >= self.config.rescan) {
            let found = Mutex::new(Vec::new());
            let visit = |key: &Address, account: &Account| {
                if let (Ok(obligation), Ok(mut found)) =
                    (accounts::obligation(key, &account.owner, &account.data), found.lock())
                {
                    found.push((*key, Box::new(*obligation)));
                }
            };
            self.source.visit_obligations(&market.key, &|_, _| (), &visit)?;
            let found = found.into_inner().map_err(|_| anyhow!("a reading thread broke down"))?;
            self.tracker = Tracker::new(&table, found, self.config.min_debt);
            self.scanned = Some(Instant::now());
            self.metrics.scans.increment();
            self.metrics.tracked.set(self.tracker.len() as u64);
            info!(slot = market.clock.slot, tracked = self.tracker.len(), "scanned");
        }

        let started = Instant::now();
        let (unhealthy, valued) = self.tracker.unhealthy(&table);
        let micros = started.elapsed().as_micros();
        self.metrics.evaluation_micros.set(u64::try_from(micros).unwrap_or(u64::MAX));
        self.metrics.candidates.set(unhealthy.len() as u64);
        let now = Instant::now();
        self.resting.retain(|_, until| *until > now);
        let mut queue: Vec<(f64, Position)> = Vec::new();
        for key in &unhealthy {
            if !self.resting.contains_key(key) {
                queue.extend(self.candidate(key));
            }
        }
        queue.sort_by(|(a, _), (b, _)| b.total_cmp(a));
        if !unhealthy.is_empty() {
            info!(
                slot = market.clock.slot,
                unhealthy = unhealthy.len(),
                valued,
                micros,
                queued = queue.len(),
                "evaluated"
            );
        }
        for (profit, position) in queue {
            if stop.load(Ordering::Relaxed) {
                return Ok(());
            }
            self.resting.insert(position.key, Instant::now() + self.config.cooldown);
            self.try_one(&position, profit);
        }
        Ok(())
    }

    /// The obligation with its best profit in US dollars, if that is enough.
    fn candidate(&mut self, key: &Address) -> Option<(f64, Position)> {
        let terms = self.config.liquidate_args(key).terms;
        let quoted = Position::load(self.source, key, &terms).and_then(|position| {
            let best = position.best(&terms)?;
            Ok((value_f64(best.profit_value), position))
        });
        match quoted {
            Ok((profit, position)) if profit >= self.config.min_profit => Some((profit, position)),
            Ok((profit, _)) => {
                info!(obligation = %key, profit, "too little profit");
                self.rest(key);
                None
            }
            Err(reason) => {
                info!(obligation = %key, reason = format!("{reason:#}"), "not liquidated");
                self.rest(key);
                None
            }
        }
    }

    fn rest(&mut self, key: &Address) {
        self.resting.insert(*key, Instant::now() + self.config.cooldown);
    }

    fn try_one(&self, position: &Position, profit: f64) {
        let obligation = position.key;
        let args = self.config.liquidate_args(&obligation);
        self.metrics.attempts.increment();
        match attempt(self.source, position, &self.keypair, &args) {
            Ok(Attempt { decoded, signature }) => {
                self.report(&obligation, &decoded, signature.as_deref(), profit);
            }
            Err(reason) => {
                self.metrics.failed.increment();
                error!(%obligation, reason = format!("{reason:#}"), "failed");
            }
        }
    }

    fn report(
        &self,
        obligation: &Address,
        decoded: &Decoded,
        signature: Option<&str>,
        quoted: f64,
    ) {
        let signature = signature.unwrap_or("simulated");
        match &decoded.outcome {
            Outcome::Succeeded => {
                self.metrics.liquidated.increment();
                for event in &decoded.events {
                    if let Event::Liquidated(event) = event {
                        info!(
                            %obligation,
                            signature,
                            repaid = event.debt_repaid,
                            received = event.collateral_received,
                            profit = event.profit,
                            quoted,
                            "liquidated"
                        );
                    }
                }
            }
            Outcome::LostRace(_) => {
                self.metrics.lost_races.increment();
                info!(%obligation, signature, "lost the race");
            }
            Outcome::HealthyAgain(_) => {
                self.metrics.healthy_again.increment();
                info!(%obligation, signature, "healthy again");
            }
            Outcome::Failed(failure) => {
                self.metrics.failed.increment();
                error!(%obligation, signature, reason = %failure.cause.explain(), "failed");
            }
        }
    }
}
