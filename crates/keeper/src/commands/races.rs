use std::{collections::BTreeMap, fs, path::Path};

use anyhow::{Context as _, Result, bail};
use serde_json::{Value, json};
use solana_address::Address;

use super::{Context, print_json};
use crate::{
    cli::RacesArgs,
    feeds::source::{Rpc, Source as _},
    format::{heading, table, tokens, usd_f64},
    land::report::Report,
    ledger::{
        report::{Tried, monday, tried},
        store::open_to_read,
    },
    trace::{names, story::Liquidation},
};

/// Slots around a liquidation in which an attempt was about the same.
const AROUND: u64 = 300;

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
    /// An oracle was refreshed in the same transaction, and without that it could not have
    /// been liquidated.
    refreshed: bool,
    made_possible: bool,
    route: Vec<String>,
    tried: Option<Tried>,
}

impl Race {
    fn is_won(&self) -> bool {
        let ours = self.tried.as_ref().and_then(|tried| tried.signature.as_ref());
        ours.is_some() && ours == self.signature.as_ref()
    }

    /// What it was lost to.
    fn lost_to(&self) -> String {
        let Some(tried) = &self.tried else {
            return if self.made_possible {
                "a price refresh of their own".to_owned()
            } else {
                "not tried".to_owned()
            };
        };
        if self.is_won() {
            return "won".to_owned();
        }
        match tried.landed_slot {
            Some(slot) if slot > self.slot => "slots".to_owned(),
            Some(_) => "their place in the block".to_owned(),
            None => match tried.outcome.as_deref() {
                // It was known to be gone before anything was sent, or never came into a block.
                Some("lost_race" | "healthy_again") => "seen too late".to_owned(),
                Some(outcome) => outcome.replace('_', " "),
                None => "still under way".to_owned(),
            },
        }
    }
}

/// `keeper races`.
pub fn run(context: Option<&Context>, args: &RacesArgs, json: bool) -> Result<()> {
    let (reports, failed) = match &args.folder {
        Some(folder) => (of_folder(folder)?, 0),
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
            let (from, to) = (report.slot.saturating_sub(AROUND), report.slot + AROUND);
            let tried = ledger.as_ref().map(|ledger| tried(ledger, &of.obligation, from, to));
            races.push(race(report, of, tried.transpose()?.flatten()));
        }
    }
    if let Some(ledger) = &ledger {
        for race in &races {
            let week = race.time.map_or(Ok("-".to_owned()), |time| monday(ledger, time))?;
            weeks.entry((week, race.lost_to())).or_default().add(race);
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
    println!("  {} transactions read, {failed} that failed left out", reports.len());
    Ok(())
}

/// Every `.json` of a folder, each an answer of `getTransaction`.
fn of_folder(folder: &Path) -> Result<Vec<Report>> {
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
    Ok(reports)
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

fn race(report: &Report, of: &Liquidation, tried: Option<Tried>) -> Race {
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
        refreshed: !story.oracle.is_empty(),
        made_possible: of.values_before.is_some_and(|(debt, limit)| debt < limit),
        route,
        tried,
    }
}

fn as_json(race: &Race) -> Value {
    let tried = race.tried.as_ref().map(|tried| {
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
        "tried": tried,
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
        self.quoted += race.tried.as_ref().map_or(0.0, |tried| tried.quoted_usd);
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
        "tip SOL",
        "fee SOL",
        "units",
        "refresh",
    ];
    if with_ledger {
        header.extend(["quoted", "sent in", "lost to"]);
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
            tokens(race.tip, 9),
            tokens(race.fee, 9),
            or_dash(race.units.map(|units| tokens(units, 0))),
            refresh.to_owned(),
        ];
        if with_ledger {
            let tried = race.tried.as_ref();
            row.extend([
                or_dash(tried.map(|tried| usd_f64(tried.quoted_usd))),
                or_dash(tried.and_then(|tried| Some(tried.landed_slot?.to_string()))),
                race.lost_to(),
            ]);
        }
        row
    });
    println!("{}", heading("Races"));
    println!("{}", table(&header, 4, rows.collect()));
}

fn print_weeks(weeks: BTreeMap<(String, String), Sums>) {
    let rows = weeks.into_iter().map(|((week, to), sums)| {
        vec![week, to, sums.count.to_string(), usd_f64(sums.gained), usd_f64(sums.quoted)]
    });
    println!("{}", heading("Lost to what, by week"));
    let header = ["week from", "lost to", "liquidations", "winners gained", "quoted here"];
    println!("{}", table(&header, 2, rows.collect()));
}
