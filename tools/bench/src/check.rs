//! The gate: deterministic figures against the committed ones.

use std::collections::BTreeMap;

use comfy_table::{CellAlignment, Table, presets::ASCII_MARKDOWN};
use indicatif::HumanCount;

use crate::report::{Benchmarks, TOLERANCE_PERCENT};

/// A figure that is the same on every machine.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Figure {
    /// What it is of.
    pub name: String,
    /// How much it is.
    pub value: u64,
}

/// The figures that are held: what the receiver adds, what a transaction takes, the
/// smallest debt that pays, and how large the program is, all with the stand-in klend.
pub fn gated(benchmarks: &Benchmarks) -> Vec<Figure> {
    let mut figures = Vec::new();
    let mut push = |name: String, value| figures.push(Figure { name, value });
    for scenario in &benchmarks.stand_in.scenarios {
        let name = &scenario.name;
        push(format!("{name}: units the receiver adds"), scenario.overhead());
        push(format!("{name}: units of the transaction"), scenario.transaction);
        push(format!("{name}: bytes"), scenario.bytes);
    }
    for bracket in &benchmarks.stand_in.brackets {
        let guards = bracket.guards;
        push(format!("open with {guards} guards: units"), bracket.open);
        push(format!("settle with {guards} guards: units"), bracket.settle);
    }
    for pays in &benchmarks.pays {
        let (route, price, tip) = (&pays.route, pays.unit_price, pays.tip);
        let offer = format!("{route}, {price} micro-lamports a unit, tip {tip}");
        push(format!("{offer}: smallest debt that pays"), pays.debt);
        push(format!("{offer}: lamports"), pays.lamports[1]);
    }
    for shapes in &benchmarks.shapes {
        for (format, bytes) in [("v0", &shapes.v0), ("v1", &shapes.v1)] {
            for (deposits, row) in bytes.iter().enumerate() {
                for (debts, bytes) in row.iter().enumerate() {
                    let shape = format!("{} x {}", deposits + 1, debts + 1);
                    push(format!("{}, {shape}, {format}: bytes", shapes.name()), *bytes);
                }
            }
        }
    }
    push("the program: bytes".to_owned(), benchmarks.program.bytes);
    figures
}

/// Committed figures beside new ones.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Comparison {
    rows: Vec<Row>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Row {
    name: String,
    committed: Option<u64>,
    now: Option<u64>,
}

impl Row {
    fn grew(&self) -> bool {
        match (self.committed, self.now) {
            (Some(committed), Some(now)) => {
                u128::from(now) * 100 > u128::from(committed) * u128::from(100 + TOLERANCE_PERCENT)
            }
            // New or gone: the committed figures are of another program or benchmark.
            _ => true,
        }
    }

    fn shrank(&self) -> bool {
        matches!((self.committed, self.now), (Some(committed), Some(now)) if now < committed)
    }

    fn change(&self) -> String {
        match (self.committed, self.now) {
            (Some(0), Some(_)) => "from nothing".to_owned(),
            (Some(committed), Some(now)) => {
                format!("{:+.1} %", (now as f64 / committed as f64 - 1.0) * 100.0)
            }
            (None, _) => "new".to_owned(),
            (_, None) => "gone".to_owned(),
        }
    }
}

impl Comparison {
    /// Pairs figures by their name.
    pub fn of(committed: &[Figure], now: &[Figure]) -> Self {
        let mut left: BTreeMap<&str, u64> =
            now.iter().map(|figure| (figure.name.as_str(), figure.value)).collect();
        let mut rows: Vec<Row> = committed
            .iter()
            .map(|figure| Row {
                name: figure.name.clone(),
                committed: Some(figure.value),
                now: left.remove(figure.name.as_str()),
            })
            .collect();
        let new = now.iter().filter(|figure| left.contains_key(figure.name.as_str()));
        rows.extend(new.map(|figure| Row {
            name: figure.name.clone(),
            committed: None,
            now: Some(figure.value),
        }));
        Self { rows }
    }

    /// A table of what grew by more than [`TOLERANCE_PERCENT`], is new, or is gone;
    /// `None` when nothing is.
    pub fn complaints(&self) -> Option<Table> {
        let grown: Vec<&Row> = self.rows.iter().filter(|row| row.grew()).collect();
        if grown.is_empty() {
            return None;
        }
        let mut table = Table::new();
        table.load_preset(ASCII_MARKDOWN).set_header(["what", "committed", "now", "change"]);
        let number =
            |value: Option<u64>| value.map_or_else(String::new, |v| HumanCount(v).to_string());
        for row in grown {
            let cells = [row.name.clone(), number(row.committed), number(row.now), row.change()];
            table.add_row(cells);
        }
        for column in 1..4 {
            if let Some(column) = table.column_mut(column) {
                column.set_cell_alignment(CellAlignment::Right);
            }
        }
        Some(table)
    }

    /// How many figures are held.
    pub fn len(&self) -> usize {
        self.rows.len()
    }

    /// How many shrank: the committed ones may follow.
    pub fn shrunk(&self) -> usize {
        self.rows.iter().filter(|row| row.shrank()).count()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn figures(list: &[(&str, u64)]) -> Vec<Figure> {
        list.iter()
            .map(|(name, value)| Figure { name: (*name).to_owned(), value: *value })
            .collect()
    }

    #[test]
    fn only_what_grew_by_more_than_a_per_cent_is_complained_about() {
        let committed =
            figures(&[("same", 7), ("a little", 1_000), ("too much", 1_000), ("less", 9)]);
        let now = figures(&[("same", 7), ("a little", 1_010), ("too much", 1_011), ("less", 5)]);
        let comparison = Comparison::of(&committed, &now);
        let table = comparison.complaints().expect("one grew").to_string();
        assert!(table.contains("| too much |     1,000 | 1,011 | +1.1 % |"), "{table}");
        assert_eq!(table.lines().count(), 3, "{table}");
        assert_eq!((comparison.len(), comparison.shrunk()), (4, 1));
        assert_eq!(
            Comparison::of(&committed, &committed).complaints().map(|t| t.to_string()),
            None
        );
    }

    #[test]
    fn new_and_missing_figures_are_complained_about() {
        let comparison =
            Comparison::of(&figures(&[("a", 1), ("b", 2)]), &figures(&[("c", 3), ("a", 1)]));
        let table = comparison.complaints().expect("two differ").to_string();
        assert!(table.contains("| b    |         2 |     |   gone |"), "{table}");
        assert!(table.contains("| c    |           |   3 |    new |"), "{table}");
        assert!(!table.contains("| a "), "{table}");
    }

    #[test]
    fn from_nothing_and_huge_figures_grow_too() {
        let grows = |committed, now| {
            Comparison::of(&figures(&[("x", committed)]), &figures(&[("x", now)]))
                .complaints()
                .is_some()
        };
        assert!(grows(0, 1) && !grows(0, 0));
        assert!(!grows(u64::MAX, u64::MAX) && grows(u64::MAX / 2, u64::MAX));
    }
}
