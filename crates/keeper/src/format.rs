//! Numbers and tables for people.

use comfy_table::{CellAlignment, Table, presets};
use flash_liquidator_client::budget::Format;
use klend_model::fraction::Fraction;
use owo_colors::{OwoColorize, Stream};

/// Raw token units with the mint's decimals, thousands separated: `1,234.5`.
pub fn tokens(raw: u64, decimals: u64) -> String {
    signed_tokens(i128::from(raw), decimals)
}

/// The same for a profit or loss.
pub fn signed_tokens(raw: i128, decimals: u64) -> String {
    let decimals = usize::try_from(decimals).unwrap_or(usize::MAX).min(38);
    let sign = if raw < 0 { "-" } else { "" };
    let digits = format!("{:0>width$}", raw.unsigned_abs(), width = decimals + 1);
    let (whole, part) = digits.split_at(digits.len() - decimals);
    let part = part.trim_end_matches('0');
    let dot = if part.is_empty() { "" } else { "." };
    format!("{sign}{}{dot}{part}", thousands(whole))
}

/// How many bytes fit into a transaction.
pub fn most_bytes() -> String {
    tokens(Format::V0.max_bytes() as u64, 0)
}

/// What a transaction takes of the bytes that fit.
pub fn bytes(taken: usize) -> String {
    format!("{} of {}", tokens(taken as u64, 0), most_bytes())
}

/// A value in the market's currency: `$1,234.57`.
pub fn usd(value: Fraction) -> String {
    usd_f64(value.to_f64())
}

/// The same from a float; a loss has its sign in front.
pub fn usd_f64(value: f64) -> String {
    let sign = if value < 0.0 { "-" } else { "" };
    let digits = if value != 0.0 && value.abs() < 1.0 { 6 } else { 2 };
    let text = format!("{:.digits$}", value.abs());
    let (whole, part) = text.split_once('.').unwrap_or((&text, "00"));
    format!("{sign}${}.{part}", thousands(whole))
}

/// A ratio as per cent: `83.42 %`.
pub fn percent(ratio: f64) -> String {
    format!("{:.2} %", ratio * 100.0)
}

/// Seconds in words: `2 d 3 h`, `45 s`.
pub fn duration(seconds: u64) -> String {
    match seconds {
        0..60 => format!("{seconds} s"),
        60..3_600 => format!("{} min {} s", seconds / 60, seconds % 60),
        3_600..86_400 => format!("{} h {} min", seconds / 3_600, seconds % 3_600 / 60),
        _ => format!("{} d {} h", seconds / 86_400, seconds % 86_400 / 3_600),
    }
}

fn thousands(digits: &str) -> String {
    let mut text = String::with_capacity(digits.len() * 4 / 3);
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// A heading.
pub fn heading(text: &str) -> String {
    text.if_supports_color(Stream::Stdout, |text| text.bold()).to_string()
}

/// Something to be glad about.
pub fn good(text: &str) -> String {
    text.if_supports_color(Stream::Stdout, |text| text.green()).to_string()
}

/// Something to look at.
pub fn bad(text: &str) -> String {
    text.if_supports_color(Stream::Stdout, |text| text.red()).to_string()
}

/// Labels and values under a heading, aligned.
pub struct Section {
    title: String,
    rows: Vec<(String, String)>,
}

impl Section {
    pub fn new(title: impl Into<String>) -> Self {
        Self { title: title.into(), rows: Vec::new() }
    }

    pub fn row(&mut self, label: impl Into<String>, value: impl Into<String>) -> &mut Self {
        self.rows.push((label.into(), value.into()));
        self
    }

    pub fn print(&self) {
        println!("{}", heading(&self.title));
        let width = self.rows.iter().map(|(label, _)| label.chars().count()).max().unwrap_or(0);
        for (label, value) in &self.rows {
            println!("  {label:<width$}  {value}");
        }
        println!();
    }
}

/// A table whose first `left` columns are text and the others numbers.
pub fn table(header: &[&str], left: usize, rows: Vec<Vec<String>>) -> Table {
    let mut table = Table::new();
    table.load_preset(presets::NOTHING).set_header(header).add_rows(rows);
    for (at, column) in table.column_iter_mut().enumerate() {
        column.set_padding((if at == 0 { 2 } else { 0 }, 2));
        column.set_cell_alignment(if at < left {
            CellAlignment::Left
        } else {
            CellAlignment::Right
        });
    }
    table
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn amounts_keep_every_digit() {
        assert_eq!(tokens(1_234_567_891, 6), "1,234.567891");
        assert_eq!(tokens(1_500_000, 6), "1.5");
        assert_eq!(tokens(7, 9), "0.000000007");
        assert_eq!(tokens(u64::MAX, 0), "18,446,744,073,709,551,615");
        assert_eq!(signed_tokens(-1_050_000, 6), "-1.05");
        assert_eq!(tokens(0, 6), "0");
    }

    #[test]
    fn money_has_cents_and_small_change_more() {
        assert_eq!(usd(Fraction::from_int(1_234_567)), "$1,234,567.00");
        assert_eq!(usd_f64(0.0123), "$0.012300");
        assert_eq!(usd_f64(-1_000.5), "-$1,000.50");
        assert_eq!(usd_f64(0.0), "$0.00");
    }

    #[test]
    fn durations_are_read_at_a_glance() {
        assert_eq!(duration(59), "59 s");
        assert_eq!(duration(61), "1 min 1 s");
        assert_eq!(duration(3_720), "1 h 2 min");
        assert_eq!(duration(90_000), "1 d 1 h");
    }
}
