use anyhow::Result;
use rusqlite::Connection;
use serde_json::json;

use super::{print_all, print_json, write_whole};
use crate::{
    cli::{ExportFormat, ReportArgs},
    format::{duration, heading, table, usd_f64},
    ledger::{
        now_ms,
        record::sol,
        report::{By, Line, declined_rows, earned, left_lines, lines, moment, rows},
        store::open_to_read,
    },
    plot::Plot,
    route::why::Reason,
};

/// `keeper report`.
pub fn run(args: &ReportArgs, json: bool) -> Result<()> {
    let ledger = open_to_read(&args.ledger)?;
    let now = now_ms();
    let since = args.since.as_deref().map(|text| moment(&ledger, text, now)).transpose()?;
    let since = since.unwrap_or(0);
    if let Some(path) = &args.svg {
        write_whole(path, &svg(&earned(&ledger, since)?))?;
    }
    if args.declined {
        return declined(&ledger, since, args.export, json);
    }
    match args.export {
        Some(ExportFormat::Csv) => print_all(&rows(&ledger, since, None)?.as_csv())?,
        Some(ExportFormat::Json) => return print_json(&rows(&ledger, since, None)?.as_json()),
        None => {
            let by = args.by.unwrap_or(By::Day);
            let (groups, all) = lines(&ledger, since, by)?;
            if json {
                return print_json(&json!({ "by": by.to_string(), "groups": groups, "all": all }));
            }
            print(by, &groups, &all);
        }
    }
    Ok(())
}

/// What was not tried.
fn declined(
    ledger: &Connection,
    since: i64,
    export: Option<ExportFormat>,
    json: bool,
) -> Result<()> {
    match export {
        Some(ExportFormat::Csv) => print_all(&declined_rows(ledger, since)?.as_csv()),
        Some(ExportFormat::Json) => print_json(&declined_rows(ledger, since)?.as_json()),
        None => {
            let lines = left_lines(ledger, since)?;
            if json {
                return print_json(&json!({ "declined": lines }));
            }
            let rows = lines.into_iter().map(|line| {
                let words = Reason::words_of(&line.reason).map(str::to_owned);
                vec![
                    words.unwrap_or(line.reason),
                    line.obligations.to_string(),
                    usd_f64(line.debt_usd),
                    usd_f64(line.quoted_usd),
                ]
            });
            println!("{}", heading("Not tried"));
            let header = ["reason", "obligations", "their debt", "quoted"];
            println!("{}", table(&header, 1, rows.collect()));
            Ok(())
        }
    }
}

fn print(by: By, groups: &[Line], all: &Line) {
    let names = ["tried", "won", "lost", "healthy", "failed", "unknown", "not sent", "simulated"];
    let money = ["profit", "fee SOL", "tip SOL", "rent SOL", "net"];
    let by = by.to_string();
    let mut rows = Vec::with_capacity(groups.len() + 1);
    for line in groups.iter().chain([all]) {
        let counts = [
            line.attempts,
            line.liquidated,
            line.lost_races,
            line.healthy_again,
            line.failed,
            line.unknown,
            line.not_sent,
            line.simulated,
        ];
        let lamports = [line.fee_lamports, line.tip_lamports, line.rent_lamports];
        let mut cells = vec![line.group.clone()];
        cells.extend(counts.iter().map(ToString::to_string));
        cells.push(usd_f64(line.profit_usd));
        cells.extend(lamports.iter().map(|lamports| format!("{:.6}", sol(*lamports))));
        cells.push(usd_f64(line.net_usd));
        rows.push(cells);
    }
    println!("{}", heading("Ledger"));
    println!("{}", table(&[&[by.as_str()], &names[..], &money[..]].concat(), 1, rows));
    if all.simulated > 0 {
        println!("{} simulated: {} nobody earned", all.simulated, usd_f64(all.simulated_usd));
    }
    if all.unpriced > 0 {
        println!("{} executed without a price of SOL: their costs are not in net", all.unpriced);
    }
    if all.unknown > 0 {
        println!("{} unknown: look their signatures up with `keeper explain`", all.unknown);
    }
}

/// Profit over time, as SVG.
pub fn svg(points: &[(f64, f64)]) -> String {
    let from = points.first().map_or(0.0, |first| first.0);
    let to = points.last().map_or(1.0, |last| last.0).max(from + 1.0);
    // What was earned up to then.
    let curve = |at: f64| {
        let seen = points.partition_point(|(time, _)| *time <= from + at + 1e-3);
        Some(if seen == 0 { 0.0 } else { points[seen - 1].1 })
    };
    Plot {
        title: "Profit after every cost",
        x: "time since the first transaction",
        y: "US dollars",
        range: (0.0, to - from),
        today: to - from,
        limit: None,
        beside: None,
        curve: &curve,
        label_x: |seconds| duration(seconds as u64),
        label_y: usd_f64,
    }
    .svg()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_curve_steps_where_something_was_earned() {
        let drawn = svg(&[(100.0, 1.0), (200.0, -2.0), (300.0, 4.0)]);
        assert!(drawn.contains("<polyline") && drawn.contains("$4.00"), "{drawn}");
        // The loss is drawn below zero.
        assert!(drawn.contains("-$2.00"), "{drawn}");
        assert!(svg(&[]).contains("</svg>"));
    }
}
