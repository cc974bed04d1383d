//! The page at `/`: health, prices, the nearest obligations, what was tried, and what it
//! earned. Rendered here, and again every two seconds for who keeps it open. It loads
//! nothing from elsewhere and shows nothing that may not be seen.

use std::{fmt::Write as _, path::Path};

use anyhow::Result;
use solana_address::Address;

use super::Shown;
use crate::{
    commands::report::svg,
    format::{duration, signed_tokens, usd_f64},
    judge::state::{Near, Seen},
    ledger::{
        now_ms,
        report::{By, Line, earned, left_lines, lines, rows},
        store::open_to_read,
    },
    plot::escape,
    route::why::Reason,
};

/// What a browser may do with it: read what comes from here, and nothing else.
pub const POLICY: &str = "default-src 'none'; style-src 'self'; script-src 'self'; \
                          connect-src 'self'; base-uri 'none'; form-action 'none'; \
                          frame-ancestors 'none'";
pub const STYLE: &str = include_str!("page.css");
pub const SCRIPT: &str = include_str!("page.js");

/// Attempts that are shown.
const ATTEMPTS: u64 = 20;
const DAY_MS: i64 = 86_400_000;
/// Days of the profit by day, and of its curve.
const DAYS: i64 = 30;

/// The whole document.
pub fn document(shown: &Shown) -> String {
    format!(
        "<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n\
         <meta name=\"color-scheme\" content=\"light dark\">\n<title>klend flash keeper</title>\n\
         <link rel=\"stylesheet\" href=\"/page.css\">\n<script src=\"/page.js\" defer></script>\n\
         </head>\n<body>\n<main id=\"page\">{}</main>\n</body>\n</html>\n",
        main(shown)
    )
}

/// What changes.
pub fn main(shown: &Shown) -> String {
    let mut page = String::with_capacity(16_384);
    head(&mut page, shown);
    for market in &shown.board.look() {
        nearest(&mut page, market);
    }
    match &shown.ledger {
        None => {
            page.push_str("<section><h2>Attempts</h2><p>No ledger is configured.</p></section>")
        }
        Some(path) => {
            if let Err(reason) = ledger(&mut page, path) {
                let text = escape(&format!("The ledger cannot be read: {reason:#}"));
                page.push_str(&format!(
                    "<section><h2>Attempts</h2><p class=\"bad\">{text}</p></section>"
                ));
            }
        }
    }
    page
}

/// A table; cells are HTML already.
fn table(page: &mut String, head: &[&str], rows: impl Iterator<Item = Vec<String>>) {
    page.push_str("<div class=\"wide\"><table><thead><tr>");
    for cell in head {
        let _ = write!(page, "<th>{cell}</th>");
    }
    page.push_str("</tr></thead><tbody>");
    let mut any = false;
    for row in rows {
        any = true;
        page.push_str("<tr>");
        for cell in row {
            let _ = write!(page, "<td>{cell}</td>");
        }
        page.push_str("</tr>");
    }
    if !any {
        let _ = write!(page, "<tr><td colspan=\"{}\">none</td></tr>", head.len());
    }
    page.push_str("</tbody></table></div>");
}

fn head(page: &mut String, shown: &Shown) {
    let Shown { metrics, health, .. } = shown;
    let (liveness, readiness) = (health.liveness(), health.readiness());
    let does = if metrics.sends.get() == 1 { "sends" } else { "only simulates" };
    let (class, verdict) =
        if liveness.alive && readiness.ready { ("good", "ready") } else { ("bad", "not ready") };
    let _ = write!(
        page,
        "<header><h1>klend flash keeper</h1><p><strong class=\"{class}\">{verdict}</strong>, {does}; \
         version {}</p></header>",
        env!("CARGO_PKG_VERSION")
    );
    page.push_str("<section><h2>Health</h2>");
    let turned = format!("turned {:.1} s ago", liveness.turned_ms_ago as f64 / 1e3);
    let first = std::iter::once(("loop".to_owned(), liveness.alive, turned));
    let checks = readiness.checks.into_iter().map(|of| (of.check, of.ok, of.reason));
    let rows = first.chain(checks).map(|(name, ok, reason)| {
        let (class, word) = if ok { ("good", "ok") } else { ("bad", "BAD") };
        vec![escape(&name), format!("<span class=\"{class}\">{word}</span>"), escape(&reason)]
    });
    table(page, &["check", "", "why"], rows);
    page.push_str("</section><section><h2>Now</h2><dl>");
    for (name, figure) in [
        ("obligations tracked", metrics.tracked.get()),
        ("unhealthy", metrics.candidates.get()),
        ("waiting", metrics.queued.get()),
        ("in flight", metrics.in_flight.get()),
        ("tried since the start", metrics.attempts.get()),
        ("liquidated", metrics.liquidated.get()),
        ("lost races", metrics.lost_races.get()),
        ("failed", metrics.failed.get()),
        ("differs from the model", metrics.model_differences.get()),
    ] {
        let _ = write!(page, "<div><dt>{name}</dt><dd>{figure}</dd></div>");
    }
    page.push_str("</dl></section>");
}

/// An address with its beginning shown.
fn short(text: &str) -> String {
    let beginning = text.get(..8).unwrap_or(text);
    format!("<code title=\"{}\">{}</code>", escape(text), escape(beginning))
}

fn key(key: &Address) -> String {
    short(&key.to_string())
}

fn nearest(page: &mut String, market: &Seen) {
    let Seen { market, slot, tracked, prices, nearest } = market;
    let _ = write!(
        page,
        "<section><h2>Market {}</h2><p>slot {slot}, {tracked} obligations with debt</p><dl>",
        key(market)
    );
    for (symbol, price) in prices {
        let _ = write!(page, "<div><dt>{}</dt><dd>{}</dd></div>", escape(symbol), usd_f64(*price));
    }
    page.push_str("</dl><h3>Nearest to liquidation</h3>");
    let rows = nearest.iter().map(|Near { obligation, health, debt }| {
        let class = if *health < 1.0 { "bad" } else { "" };
        vec![
            key(obligation),
            format!("<span class=\"{class}\">{health:.4}</span>"),
            usd_f64(f64::from(*debt)),
        ]
    });
    table(page, &["obligation", "health", "debt"], rows);
    page.push_str("</section>");
}

fn ledger(page: &mut String, path: &Path) -> Result<()> {
    let ledger = open_to_read(path)?;
    let now = now_ms();
    page.push_str("<section><h2>Attempts</h2>");
    let table_of = rows(&ledger, 0, Some(ATTEMPTS))?;
    let at = |name: &str| table_of.columns.iter().position(|column| column == name);
    let text = |row: &[serde_json::Value], name: &str| {
        at(name).and_then(|at| row.get(at)?.as_str().map(str::to_owned)).unwrap_or_default()
    };
    let number =
        |row: &[serde_json::Value], name: &str| at(name).and_then(|at| row.get(at)?.as_f64());
    let attempts = table_of.rows.iter().rev().map(|row| {
        let ago = now.saturating_sub(number(row, "begun_ms").unwrap_or_default() as i64).max(0);
        let money = |name: &str| number(row, name).map_or_else(|| "-".to_owned(), usd_f64);
        let outcome = text(row, "outcome");
        let outcome =
            if outcome.is_empty() { "under way".to_owned() } else { outcome.replace('_', " ") };
        vec![
            format!("{} ago", duration(u64::try_from(ago / 1_000).unwrap_or_default())),
            short(&text(row, "obligation")),
            escape(&outcome),
            escape(&text(row, "code")),
            money("quoted_usd"),
            money("profit_usd"),
            money("costs_usd"),
            escape(&text(row, "road")),
            escape(&text(row, "venue")),
            short(&text(row, "signature")),
        ]
    });
    let columns = [
        "when",
        "obligation",
        "outcome",
        "why",
        "quoted",
        "profit",
        "costs",
        "road",
        "venue",
        "signature",
    ];
    table(page, &columns, attempts);
    page.push_str("</section>");

    let left = left_lines(&ledger, now - DAY_MS)?;
    if !left.is_empty() {
        page.push_str("<section><h2>Not tried in the last day</h2>");
        let rows = left.into_iter().map(|line| {
            let words = Reason::words_of(&line.reason).unwrap_or(&line.reason);
            vec![
                escape(words),
                line.obligations.to_string(),
                usd_f64(line.debt_usd),
                usd_f64(line.quoted_usd),
            ]
        });
        table(page, &["why", "obligations", "their debt", "quoted"], rows);
        page.push_str("</section>");
    }

    let since = now - DAYS * DAY_MS;
    page.push_str("<section><h2>Profit by day</h2>");
    let points = earned(&ledger, since)?;
    if !points.is_empty() {
        let _ = write!(page, "<figure>{}</figure>", svg(&points));
    }
    sums(page, "day", lines(&ledger, since, By::Day)?.0.into_iter().rev());
    page.push_str("</section><section><h2>Roads and venues</h2>");
    sums(page, "road", lines(&ledger, since, By::Road)?.0.into_iter());
    sums(page, "venue", lines(&ledger, since, By::Venue)?.0.into_iter());
    page.push_str("</section>");
    Ok(())
}

fn sums(page: &mut String, by: &str, lines: impl Iterator<Item = Line>) {
    let sol = |lamports: u64| signed_tokens(i128::from(lamports), 9);
    let rows = lines.map(|line| {
        let class = if line.net_usd < 0.0 { "bad" } else { "" };
        vec![
            escape(&line.group),
            line.attempts.to_string(),
            line.liquidated.to_string(),
            (line.lost_races + line.healthy_again).to_string(),
            (line.failed + line.unknown).to_string(),
            usd_f64(line.profit_usd),
            sol(line.fee_lamports + line.tip_lamports + line.rent_lamports),
            format!("<span class=\"{class}\">{}</span>", usd_f64(line.net_usd)),
        ]
    });
    let head = [by, "tried", "won", "lost", "failed", "profit", "costs SOL", "net"];
    table(page, &head, rows);
}
