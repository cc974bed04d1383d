//! Figures, their table, and the committed ones.

use std::{fs, path::Path};

use anyhow::{Context, Result, bail};
use comfy_table::{CellAlignment, Table, presets::ASCII_MARKDOWN};
use serde::{Deserialize, Serialize};

/// How much a figure may grow before the check fails, per cent.
const TOLERANCE_PERCENT: u64 = 1;

/// What a figure counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Unit {
    /// Compute units.
    ComputeUnits,
    /// Bytes.
    Bytes,
}

/// One figure.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Figure {
    /// What was measured.
    pub name: String,
    /// How much it was.
    pub value: u64,
    /// Of what.
    pub unit: Unit,
}

impl Figure {
    /// A figure.
    pub fn new(name: &str, value: u64, unit: Unit) -> Self {
        Self { name: name.to_owned(), value, unit }
    }
}

/// All figures of one run.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Figures {
    /// What played klend.
    pub klend: String,
    /// The figures, in order.
    pub figures: Vec<Figure>,
}

impl Figures {
    /// None yet.
    pub fn new(klend: &str) -> Self {
        Self { klend: klend.to_owned(), figures: Vec::new() }
    }

    /// Adds one.
    pub fn push(&mut self, figure: Figure) {
        self.figures.push(figure);
    }

    /// The figures as a Markdown table.
    pub fn table(&self) -> Table {
        let mut table = Table::new();
        table.load_preset(ASCII_MARKDOWN).set_header(["what", "figure", "unit"]);
        for figure in &self.figures {
            let unit = match figure.unit {
                Unit::ComputeUnits => "CU",
                Unit::Bytes => "bytes",
            };
            table.add_row([figure.name.clone(), figure.value.to_string(), unit.to_owned()]);
        }
        if let Some(column) = table.column_mut(1) {
            column.set_cell_alignment(CellAlignment::Right);
        }
        table
    }

    /// Writes `BENCHMARKS.md` and `benchmarks.json`.
    pub fn write(&self, folder: &Path) -> Result<()> {
        let text = format!(
            "# Benchmarks\n\n\
             What one flash liquidation costs: SOL collateral with a farm, USDC debt, on the\n\
             built-in fork with {}, programs compiled by `tools/sbf`. Regenerate with\n\
             `cargo xtask bench`; the gate fails when a figure grows by more than\n\
             {TOLERANCE_PERCENT} %. Off-chain figures: `cargo bench -p klend-model`.\n\n{}\n",
            self.klend,
            self.table()
        );
        write(&folder.join("BENCHMARKS.md"), &text)?;
        let json = serde_json::to_string_pretty(self)? + "\n";
        write(&folder.join("benchmarks.json"), &json)
    }

    /// Compares with the committed figures.
    ///
    /// # Errors
    /// A table of what grew by more than [`TOLERANCE_PERCENT`], or is new or gone.
    pub fn check(&self, folder: &Path) -> Result<()> {
        let path = folder.join("benchmarks.json");
        let text = fs::read_to_string(&path).with_context(|| path.display().to_string())?;
        let committed: Self = serde_json::from_str(&text).context("benchmarks.json")?;
        if committed.klend != self.klend {
            bail!("committed for {}, measured on {}", committed.klend, self.klend);
        }
        let mut grown = Table::new();
        grown.load_preset(ASCII_MARKDOWN).set_header(["what", "committed", "now"]);
        let names = |figures: &Self| -> Vec<String> {
            figures.figures.iter().map(|figure| figure.name.clone()).collect()
        };
        if names(&committed) != names(self) {
            bail!("the committed figures are of other things: run `cargo xtask bench`");
        }
        for (was, now) in committed.figures.iter().zip(&self.figures) {
            if now.value * 100 > was.value * (100 + TOLERANCE_PERCENT) {
                let row = [now.name.clone(), was.value.to_string(), now.value.to_string()];
                grown.add_row(row);
            }
        }
        if grown.row_count() > 0 {
            bail!(
                "these grew by more than {TOLERANCE_PERCENT} %; if they should, run `cargo xtask bench`\n{grown}"
            );
        }
        println!("no figure grew by more than {TOLERANCE_PERCENT} %");
        Ok(())
    }
}

fn write(path: &Path, text: &str) -> Result<()> {
    fs::write(path, text).with_context(|| path.display().to_string())
}
