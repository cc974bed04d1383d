use std::{
    fs,
    path::{Path, PathBuf},
    sync::Arc,
    time::Instant,
};

use anyhow::{Context as _, Result, bail};
use klend_fork::World;
use klend_model::time::Clock;
use serde_json::json;
use sha2::{Digest as _, Sha256};
use solana_account::Account;
use solana_address::Address;

use super::{print_json, watch::start_logging};
use crate::{
    cli::ReplayArgs,
    config::{Config, OnDifference},
    feeds::source::{Filter, Progress, Source, Visitor},
    format::{Section, duration, usd_f64},
    health::{Health, Limits},
    keys::Key,
    ledger::{
        Ledger,
        metrics::Metrics,
        records::Records,
        report::{By, declined_rows, lines, rows},
        store::open_to_read,
    },
    recording::Recording,
    verify::{
        checker::{Checker, Comparer},
        tally::Tally,
    },
    watch::{parts::Parts, replay::replay},
};

/// `keeper replay`.
pub fn run(args: &ReplayArgs, json: bool) -> Result<()> {
    let mut recording = Recording::open(&args.recording)?;
    let config = Arc::new(read_config(args.config.as_deref(), &recording)?);
    start_logging(json, "warn");
    let path = Kept::new(args.ledger.as_deref())?;
    let metrics = Arc::new(Metrics::new());
    let ledger = Arc::new(Ledger::open(&path.path, Arc::clone(&metrics))?);
    let begun = Instant::now();
    let parts = parts(&recording, &config, &metrics, &ledger)?;
    let replayed = replay(parts, &mut recording)?;
    let seconds = begun.elapsed().as_secs_f64();
    // Whatever was handed over is written before it is read.
    drop(ledger);
    let ledger = open_to_read(&path.path)?;
    let content = [rows(&ledger, 0, None)?.as_csv(), declined_rows(&ledger, 0)?.as_csv()];
    let digest: String =
        Sha256::digest(content.concat()).iter().map(|byte| format!("{byte:02x}")).collect();
    let (_, all) = lines(&ledger, 0, By::Day)?;

    let span = recording.span();
    let header = &recording.header;
    if let Some(bytes) = recording.torn {
        eprintln!(
            "warning: recording {} was cut off: it has no end, and {bytes} bytes behind its last \
             whole frame were left out",
            args.recording.display()
        );
    }
    if json {
        return print_json(&json!({
            "recording": {
                "header": header,
                "seconds": span.as_secs_f64(),
                "end": recording.ended.map(|end| end.describe()),
                "torn": recording.torn,
            },
            "turns": replayed.turns,
            "told": replayed.told,
            "updates": replayed.updates,
            "unmet": replayed.unmet,
            "others": replayed.others,
            "seconds": seconds,
            "ledger": args.ledger,
            "ledgerDigest": digest,
            "all": all,
        }));
    }
    let mut facts = Section::new(format!("Replay of {}", args.recording.display()));
    facts
        .row("recorded", format!("{} by keeper {}", duration(span.as_secs()), header.version))
        .row("ended because", recording.ended.map_or("it was cut off", |end| end.describe()))
        .row("markets", header.markets.join(" "))
        .row("klend", &header.klend)
        .row("turns", replayed.turns.to_string())
        .row("updates", replayed.updates.to_string())
        .row("took", format!("{seconds:.1} s"))
        .row("attempts", all.attempts.to_string())
        .row("simulated", format!("{}, {}", all.simulated, usd_f64(all.simulated_usd)))
        .row("lost, healthy again", format!("{}, {}", all.lost_races, all.healthy_again))
        .row("failed", all.failed.to_string());
    if replayed.unmet + replayed.others > 0 {
        let (unmet, others) = (replayed.unmet, replayed.others);
        facts.row("decided otherwise", format!("{unmet} not begun, {others} not in the recording"));
    }
    if let Some(ledger) = &args.ledger {
        facts.row("ledger", ledger.display().to_string());
    }
    facts.row("its content", digest);
    facts.print();
    Ok(())
}

/// The configuration, held against what was recorded.
fn read_config(path: Option<&Path>, recording: &Recording) -> Result<Config> {
    let text = match path {
        Some(path) => fs::read_to_string(path).with_context(|| format!("{}", path.display()))?,
        None => String::new(),
    };
    let name = path.map_or_else(|| "no configuration".to_owned(), |at| at.display().to_string());
    let (config, mistakes) = Config::read(&text);
    let mut config = match config {
        Some(config) if mistakes.is_empty() => config,
        _ => bail!("{name}: {} mistakes\n  {}", mistakes.len(), mistakes.join("\n  ")),
    };
    let header = &recording.header;
    for (what, asked, recorded) in [
        ("markets", &config.markets, &header.markets),
        ("lend_from", &config.lend_from, &header.lend_from),
    ] {
        let asked: Vec<String> = asked.iter().map(ToString::to_string).collect();
        if asked != *recorded {
            bail!("{name}: {what} = {asked:?}, and {recorded:?} were recorded");
        }
    }
    config.send = false;
    Ok(config)
}

fn parts(
    recording: &Recording,
    config: &Arc<Config>,
    metrics: &Arc<Metrics>,
    ledger: &Arc<Ledger>,
) -> Result<Parts> {
    let header = &recording.header;
    let keeper = header.keeper.parse().with_context(|| format!("keeper {:?}", header.keeper))?;
    let compares = config.verify && config.on_difference != OnDifference::Ignore;
    let comparer = || {
        let tally = Arc::new(Tally::new(header.klend.clone()));
        Comparer::new(None, tally, Some(Arc::clone(metrics)), None, false)
    };
    Ok(Parts {
        source: Arc::new(Nothing),
        config: Arc::clone(config),
        key: Arc::new(Key::absent(keeper, header.stands_in)),
        roads: Vec::new(),
        tips: None,
        records: Arc::new(Records::new(Arc::clone(metrics), Some(Arc::clone(ledger)))),
        health: Arc::new(Health::new(
            Limits::default(),
            header.subscribes,
            Arc::clone(metrics),
            Some(Arc::clone(ledger)),
        )),
        board: Arc::default(),
        checker: compares.then(|| Checker::here(comparer())),
        connector: header.subscribes.then(|| Box::new(Vec::new) as _),
        on_chain: header.on_chain,
        seed: header.seed,
        recorder: None,
    })
}

/// Where a ledger is kept, and whether only until it was read.
struct Kept {
    path: PathBuf,
    is_temporary: bool,
}

impl Kept {
    fn new(path: Option<&Path>) -> Result<Self> {
        match path {
            Some(path) if path.exists() => {
                bail!("ledger {}: it is there already; a replay begins one", path.display())
            }
            Some(path) => Ok(Self { path: path.to_owned(), is_temporary: false }),
            None => {
                let name = format!("keeper-replay-{}.db", std::process::id());
                Ok(Self { path: std::env::temp_dir().join(name), is_temporary: true })
            }
        }
    }
}

impl Drop for Kept {
    fn drop(&mut self) {
        if self.is_temporary {
            for suffix in ["", "-wal", "-shm", ".lock"] {
                let mut path = self.path.clone().into_os_string();
                path.push(suffix);
                // The last two are gone where the ledger was closed well.
                let _ = fs::remove_file(path);
            }
        }
    }
}

/// No source: everything that was read is in the recording.
struct Nothing;

impl Nothing {
    fn refuse<T>() -> Result<T> {
        bail!("a replay reads nothing but its recording")
    }
}

impl Source for Nothing {
    fn name(&self) -> String {
        "a recording".to_owned()
    }

    fn clock(&self) -> Result<Clock> {
        Self::refuse()
    }

    fn accounts_at(&self, _: &[Address]) -> Result<(u64, Vec<Option<Account>>)> {
        Self::refuse()
    }

    fn program_accounts(&self, _: &Address, _: Filter) -> Result<Vec<(Address, Account)>> {
        Self::refuse()
    }

    fn visit_obligations(&self, _: &Address, _: Progress<'_>, _: Visitor<'_>) -> Result<()> {
        Self::refuse()
    }

    fn world(&self, _: &[Address]) -> Result<World> {
        Self::refuse()
    }
}
