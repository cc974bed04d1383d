use std::{collections::BTreeMap, fs, path::Path};

use anyhow::{Context as _, Result, bail};
use flash_liquidator_client::decode::Outcome;
use rusqlite::Connection;
use serde_json::{Value, json};
use solana_address::Address;

use super::{Context, print_json};
use crate::{
    cli::RacesArgs,
    feeds::source::{Rpc, Source as _},
    format::{heading, table, tokens, usd_f64},
    land::report::Report,
    ledger::{
        report::{LeftAlone, Tried, Watching, left_alone, monday, tried, watching},
        store::open_to_read,
    },
    route::why::Reason,
    trace::{names, story::Liquidation},
};

/// Slots around a liquidation in which an attempt was about the same, and before it in which
/// a reason to leave it alone was still the one.
const AROUND: u64 = 300;

/// What the ledger knows of a liquidation that somebody made.
struct Known {
    tried: Option<Tried>,
    left: Option<LeftAlone>,
    watching: Watching,
}

impl Known {
    fn read(ledger: &Connection, report: &Report, of: &Liquidation) -> Result<Self> {
        let slot = report.slot;
        let (from, to) = (slot.saturating_sub(AROUND), slot.saturating_add(AROUND));
        let at_ms = report.time.map(|time| time.saturating_mul(1_000));
        Ok(Self {
            tried: tried(ledger, &of.obligation, from, to)?,
            left: left_alone(ledger, &of.obligation, slot, AROUND, at_ms)?,
            watching: match at_ms {
                Some(at_ms) => watching(ledger, &of.market, at_ms)?,
                None => Watching::Unknown,
            },
        })
    }

    /// Slot of the state in which it was seen that it could be liquidated.
    fn seen(&self, slot: u64) -> Option<u64> {
        let left = self.left.as_ref().map(|left| left.slots.0.min(slot));
        self.tried.as_ref().map(|tried| tried.slot).into_iter().chain(left).min()
    }

    fn quoted(&self) -> Option<f64> {
        let left = self.left.as_ref();
        self.tried.as_ref().map(|tried| tried.quoted_usd).or(left.and_then(|left| left.quoted_usd))
    }
}

/// A liquidation that somebody made, and what this keeper knew of it.
struct Race {
    signature: Option<String>,
    slot: u64,
    time: Option<i64>,
    of: Liquidation,
    /// Lamports.
    fee: u64,
    tip: u64,
    units: Option<u64>,
    /// What the winner has more of, US dollars, without lamports.
    gained: Option<f64>,
    /// The same less fee and tip.
    net: Option<f64>,
    /// An oracle was refreshed in the same transaction, and without that it could not have
    /// been liquidated.
    refreshed: bool,
    made_possible: bool,
    route: Vec<String>,
    /// With a ledger.
    known: Option<Known>,
}

impl Race {
    fn tried(&self) -> Option<&Tried> {
        self.known.as_ref()?.tried.as_ref()
    }

    fn is_won(&self) -> bool {
        let ours = self.tried().and_then(|tried| tried.signature.as_ref());
        ours.is_some() && ours == self.signature.as_ref()
    }

    /// What it was lost to, as far as the ledger tells.
    fn lost_to(&self) -> Option<String> {
        let known = self.known.as_ref()?;
        if self.is_won() {
            return Some("won".to_owned());
        }
        let words = |text: &str| text.replace('_', " ");
        if let Some(tried) = &known.tried {
            return Some(match (tried.landed_slot, tried.outcome.as_deref()) {
                (Some(slot), _) if slot > self.slot => "slots".to_owned(),
                (Some(_), _) => "their place in the block".to_owned(),
                // It was known to be gone before anything was sent, or never came into a block.
                (None, Some("lost_race" | "healthy_again")) => "seen too late".to_owned(),
                (None, Some("simulated" | "ready")) => "nothing is sent: send = false".to_owned(),
                (None, Some(outcome)) => match &tried.code {
                    Some(code) => format!("{}: {}", words(outcome), words(code)),
                    None => words(outcome),
                },
                (None, None) => "still under way".to_owned(),
            });
        }
        let left = known.left.as_ref();
        // Before a refresh of theirs it was left alone for what it was then.
        let is_of_then = |left: &&LeftAlone| left.slots.1.saturating_add(AROUND) < self.slot;
        if let Some(left) = left.filter(|left| !self.made_possible || !is_of_then(left)) {
            let why = Reason::words_of(&left.code).map_or_else(|| words(&left.code), str::to_owned);
            return Some(format!("declined: {why}"));
        }
        if self.made_possible && known.watching != Watching::Not {
            return Some("a price refresh of their own".to_owned());
        }
        Some(match (known.watching, self.of.values) {
            (Watching::Not, _) => "not watching".to_owned(),
            (Watching::From(least), Some((debt, _))) if debt < least => {
                "below min_debt_usd".to_owned()
            }
            _ => "not seen".to_owned(),
        })
    }

    /// What this keeper saw of it and did.
    fn told(&self) -> Option<String> {
        let known = self.known.as_ref()?;
        let mut told = Vec::new();
        if let Some(seen) = known.seen(self.slot) {
            told.push(match seen {
                seen if seen <= self.slot => {
                    format!("seen at slot {seen}, {} before", self.slot - seen)
                }
                seen => format!("seen at slot {seen}, {} too late", seen - self.slot),
            });
        }
        let lost_to = self.lost_to()?;
        match (&known.tried, &known.left) {
            (Some(tried), _) => {
                if let Some(slot) = tried.landed_slot {
                    told.push(format!("sent, and landed in slot {slot}"));
                }
                told.push(lost_to);
            }
            (None, Some(left)) if lost_to.starts_with("declined") => {
                told.push(format!("{lost_to} ({})", left.reason));
            }
            _ => told.push(lost_to),
        }
        let left = known.left.as_ref().filter(|_| known.tried.is_none());
        if let Some(quoted) = known.quoted().filter(|_| !self.is_won()) {
            told.push(match left.and_then(|left| left.short_usd) {
                Some(short) => format!(
                    "would have earned {} before costs, {} too little",
                    usd_f64(quoted),
                    usd_f64(short)
                ),
                None => format!("would have earned {} before costs", usd_f64(quoted)),
            });
        }
        Some(told.join("; "))
    }
}

/// `keeper races`.
pub fn run(context: Option<&Context>, args: &RacesArgs, json: bool) -> Result<()> {
    let (reports, failed) = match &args.folder {
        Some(folder) => of_folder(folder)?,
        None => {
            let rpc = context.and_then(|context| context.source.rpc());
            of_node(rpc.context("give --rpc, or --folder with transactions")?, args)?
        }
    };
    let ledger = args.ledger.as_deref().map(open_to_read).transpose()?;
    let mut weeks: BTreeMap<(String, String), Sums> = BTreeMap::new();
    let mut races = Vec::new();
    for report in &reports {
        for of in &report.story.liquidations {
            let known = ledger.as_ref().map(|ledger| Known::read(ledger, report, of));
            races.push(race(report, of, known.transpose()?));
        }
    }
    if let Some(ledger) = &ledger {
        for race in &races {
            let week = race.time.map_or(Ok("-".to_owned()), |time| monday(ledger, time))?;
            let lost_to = race.lost_to().unwrap_or_default();
            weeks.entry((week, lost_to)).or_default().add(race);
        }
    }
    races.sort_by_key(|race| race.slot);
    if json {
        let all = races.iter().map(as_json);
        let weeks = weeks.into_iter().map(|((week, to), sums)| {
            json!({
                "week": week, "lostTo": to, "liquidations": sums.count,
                "gainedUsd": sums.gained, "quotedUsd": sums.quoted,
            })
        });
        return print_json(&json!({
            "transactions": reports.len(),
            "failed": failed,
            "races": all.collect::<Value>(),
            "weeks": ledger.is_some().then(|| weeks.collect::<Value>()),
        }));
    }
    print(&races, ledger.is_some());
    if ledger.is_some() {
        print_weeks(weeks);
    }
    println!("  {} transactions read; {failed} failed and are left out", reports.len() + failed);
    Ok(())
}

/// Every `.json` of a folder, each an answer of `getTransaction`: those that succeeded, and
/// how many failed.
fn of_folder(folder: &Path) -> Result<(Vec<Report>, usize)> {
    let files = fs::read_dir(folder).with_context(|| format!("{}", folder.display()))?;
    let mut reports = Vec::new();
    for file in files {
        let path = file?.path();
        if path.extension().is_some_and(|extension| extension == "json") {
            let shown = || format!("{}", path.display());
            let value = serde_json::from_slice(&fs::read(&path).with_context(shown)?);
            reports.push(Report::read(value.with_context(shown)?).with_context(shown)?);
        }
    }
    if reports.is_empty() {
        bail!("{}: no transaction is in there", folder.display());
    }
    let all = reports.len();
    reports.retain(|report| report.decoded.outcome == Outcome::Succeeded);
    let failed = all - reports.len();
    Ok((reports, failed))
}

/// The market's transactions of the last slots that succeeded, and how many failed.
fn of_node(rpc: &Rpc, args: &RacesArgs) -> Result<(Vec<Report>, usize)> {
    let first = rpc.clock()?.slot.saturating_sub(args.slots);
    let (mut reports, mut failed) = (Vec::new(), 0);
    let mut before: Option<String> = None;
    'pages: loop {
        let page = rpc.signatures_of(&args.market, before.as_deref())?;
        for listed in &page {
            if listed.slot < first {
                break 'pages;
            }
            if listed.failed {
                failed += 1;
                continue;
            }
            if reports.len() == args.most {
                bail!(
                    "more than {} transactions in {} slots: ask for fewer slots, or for more with \
                     --most",
                    args.most,
                    args.slots
                );
            }
            // Listed, but not kept any more: nothing is known of it.
            if let Some(value) = rpc.transaction(&listed.signature)? {
                let shown = || format!("transaction {}", listed.signature);
                reports.push(Report::read(value).with_context(shown)?);
            }
        }
        match page.last() {
            Some(last) => before = Some(last.signature.clone()),
            None => break,
        }
    }
    Ok((reports, failed))
}

fn race(report: &Report, of: &Liquidation, known: Option<Known>) -> Race {
    let story = &report.story;
    let mut route: Vec<String> = story.sales.iter().map(|sale| sale.venue.clone()).collect();
    route.dedup();
    Race {
        signature: report.signature.clone(),
        slot: report.slot,
        time: report.time,
        of: of.clone(),
        fee: report.fee,
        tip: story.tips.iter().map(|tip| tip.amount).sum(),
        units: report.units,
        gained: story.gained_usd(),
        net: story.net_usd(report.fee),
        refreshed: !story.oracle.is_empty(),
        made_possible: of.values_before.is_some_and(|(debt, limit)| debt < limit),
        route,
        known,
    }
}

fn as_json(race: &Race) -> Value {
    let tried = race.tried().map(|tried| {
        json!({
            "slot": tried.slot,
            "begunMs": tried.begun_ms,
            "quotedUsd": tried.quoted_usd,
            "outcome": tried.outcome,
            "code": tried.code,
            "signature": tried.signature,
            "landedSlot": tried.landed_slot,
        })
    });
    let left = race.known.as_ref().and_then(|known| known.left.as_ref()).map(|left| {
        json!({
            "firstSlot": left.slots.0,
            "lastSlot": left.slots.1,
            "reason": left.code,
            "text": left.reason,
            "debtUsd": left.debt_usd,
            "quotedUsd": left.quoted_usd,
            "shortUsd": left.short_usd,
            "untilMs": left.until_ms,
        })
    });
    json!({
        "signature": race.signature,
        "slot": race.slot,
        "obligation": race.of.obligation.to_string(),
        "liquidator": race.of.liquidator.to_string(),
        "repaid": race.of.repaid.map(|raw| raw.to_string()),
        "received": race.of.received.map(|raw| raw.to_string()),
        "debtMint": race.of.debt_mint.to_string(),
        "collateralMint": race.of.collateral_mint.to_string(),
        "bonusBps": race.of.reason.as_ref().map(|(_, bonus)| bonus),
        "fee": race.fee,
        "tip": race.tip,
        "computeUnits": race.units,
        "oracleRefreshed": race.refreshed,
        "refreshMadeItPossible": race.made_possible,
        "route": race.route,
        "gainedUsd": race.gained,
        "netUsd": race.net,
        "seenAtSlot": race.known.as_ref().and_then(|known| known.seen(race.slot)),
        "tried": tried,
        "declined": left,
        "lostTo": race.lost_to(),
    })
}

/// Sums of a week.
#[derive(Default)]
struct Sums {
    count: usize,
    gained: f64,
    quoted: f64,
}

impl Sums {
    fn add(&mut self, race: &Race) {
        self.count += 1;
        self.gained += race.gained.unwrap_or_default();
        self.quoted += race.known.as_ref().and_then(Known::quoted).unwrap_or_default();
    }
}

fn short(key: &Address) -> String {
    let text = key.to_string();
    format!("{}…", text.get(..6).unwrap_or(&text))
}

fn print(races: &[Race], with_ledger: bool) {
    let or_dash = |text: Option<String>| text.unwrap_or_else(|| "-".to_owned());
    let mut header = vec![
        "slot",
        "obligation",
        "winner",
        "route",
        "gained",
        "net",
        "tip SOL",
        "fee SOL",
        "units",
        "refresh",
    ];
    if with_ledger {
        header.extend(["seen at", "quoted", "sent in", "lost to"]);
    }
    let rows = races.iter().map(|race| {
        let refresh = match (race.refreshed, race.made_possible) {
            (true, true) => "made it possible",
            (true, false) => "yes",
            (false, _) => "-",
        };
        let mut row = vec![
            race.slot.to_string(),
            short(&race.of.obligation),
            names::known(&race.of.liquidator)
                .map_or_else(|| short(&race.of.liquidator), str::to_owned),
            if race.route.is_empty() { "-".to_owned() } else { race.route.join(", ") },
            or_dash(race.gained.map(usd_f64)),
            or_dash(race.net.map(usd_f64)),
            tokens(race.tip, 9),
            tokens(race.fee, 9),
            or_dash(race.units.map(|units| tokens(units, 0))),
            refresh.to_owned(),
        ];
        if with_ledger {
            let known = race.known.as_ref();
            let sent = race.tried().and_then(|tried| tried.landed_slot);
            row.extend([
                or_dash(known.and_then(|known| Some(known.seen(race.slot)?.to_string()))),
                or_dash(known.and_then(Known::quoted).map(usd_f64)),
                or_dash(sent.map(|slot| slot.to_string())),
                or_dash(race.lost_to()),
            ]);
        }
        row
    });
    println!("{}", heading("Races"));
    println!("{}", table(&header, 4, rows.collect()));
    for race in races {
        if let Some(told) = race.told() {
            println!("  slot {}, obligation {}: {told}", race.slot, race.of.obligation);
        }
    }
}

fn print_weeks(weeks: BTreeMap<(String, String), Sums>) {
    let rows = weeks.into_iter().map(|((week, to), sums)| {
        vec![week, to, sums.count.to_string(), usd_f64(sums.gained), usd_f64(sums.quoted)]
    });
    println!("{}", heading("Lost to what, by week"));
    let header = ["week from", "lost to", "liquidations", "winners gained", "quoted here"];
    println!("{}", table(&header, 2, rows.collect()));
}
