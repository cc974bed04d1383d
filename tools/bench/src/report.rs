//! All figures, as they are committed: `benchmarks.json` for machines,
//! `BENCHMARKS.md` and a chart for readers.

use std::{collections::BTreeMap, fmt::Write as _, fs, path::Path};

use anyhow::{Context, Result, bail};
use comfy_table::Table;
use flash_liquidator_client::budget::{Format, MAX_ACCOUNT_LOCKS};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::{
    chart::{self, Bar},
    format::{count, table},
    off_chain::OffChain,
    pays::{self, Pays},
    scenarios::{Measured, Scenario},
    shapes::{Bytes, DEBTS, DEPOSITS, Shapes},
    sizes::Size,
    stages::{self, Profile},
};

const JSON: &str = "benchmarks.json";
const MARKDOWN: &str = "BENCHMARKS.md";
const CHART: &str = "docs/compute-units.svg";
const README: &str = "README.md";
const ECONOMICS: &str = "docs/economics.md";

/// By how much a gated figure may grow before the gate fails, per cent.
pub const TOLERANCE_PERCENT: u64 = 1;

/// Lines of a document between which its figures stand.
const FIGURES_BEGIN: &str = "<!-- figures by `cargo xtask bench` -->\n";
const FIGURES_END: &str = "<!-- end of figures -->\n";

/// Everything that is committed.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Benchmarks {
    /// What the programs were compiled with.
    pub toolchain: String,
    /// Versions of the packages that matter.
    pub packages: String,
    /// The receiver that was measured.
    pub program: Elf,
    /// With the stand-in klend.
    pub stand_in: Measured,
    /// With the real klend, where somebody had it.
    pub real: Option<Real>,
    /// Stages of instructions, with the stand-in klend.
    pub stages: Option<Of<Vec<Profile>>>,
    /// The smallest debts that pay, with the stand-in klend.
    #[serde(default)]
    pub pays: Vec<Pays>,
    /// Bytes by shape.
    pub shapes: Vec<Shapes>,
    /// The program at other optimisation levels.
    pub sizes: Option<Of<Vec<Size>>>,
    /// Times of what runs off chain.
    pub off_chain: Option<OffChain>,
}

/// A compiled receiver.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Elf {
    /// Its size.
    pub bytes: u64,
    /// Lamports that keep it on chain.
    pub rent: u64,
    /// First half of its SHA-256.
    pub sha256: String,
}

/// Figures kept from an earlier run may be of an earlier build of the receiver.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Of<T> {
    /// Which one: [`Elf::sha256`].
    pub program: String,
    /// The figures.
    pub figures: T,
}

/// What was measured with the real klend.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Real {
    /// Which klend.
    pub klend: String,
    /// With which build of the receiver.
    pub measured: Of<Measured>,
}

impl Benchmarks {
    /// Reads the committed figures of `folder`.
    ///
    /// # Errors
    /// When they cannot be read.
    pub fn read(folder: &Path) -> Result<Self> {
        let path = folder.join(JSON);
        let text = fs::read_to_string(&path).with_context(|| path.display().to_string())?;
        serde_json::from_str(&text).with_context(|| path.display().to_string())
    }

    /// Writes the figures, their tables and their chart into `folder`, and those that
    /// other documents have between marks into them, where they are there.
    ///
    /// # Errors
    /// When a file cannot be written, or a document does not say where.
    pub fn write(&self, folder: &Path) -> Result<()> {
        put(&folder.join(JSON), &(indented(&serde_json::to_value(self)?, 0) + "\n"))?;
        if let Some(stages) = &self.stages {
            put(&folder.join(CHART), &stages_chart(&stages.figures))?;
        }
        put(&folder.join(MARKDOWN), &self.markdown())?;
        for (name, figures) in
            [(README, self.summary()?), (ECONOMICS, format!("\n{}\n", pays::markdown(&self.pays)))]
        {
            let path = folder.join(name);
            if path.exists() {
                let text = fs::read_to_string(&path).with_context(|| path.display().to_string())?;
                let text = between_marks(&text, &figures)
                    .with_context(|| format!("{name} has no marks for figures"))?;
                put(&path, &text)?;
            }
        }
        Ok(())
    }

    /// The figures that the README names.
    fn summary(&self) -> Result<String> {
        let [kept, one_leg, ..] = &self.stand_in.scenarios[..] else {
            bail!("no scenarios were measured");
        };
        let bracket = self.stand_in.brackets.first().context("no bracket was measured")?;
        let mut units = table(&["on the built-in fork", "compute units"]);
        for (what, figure) in [
            (
                format!(
                    "`liquidate` without a swap leg, on top of klend's own {}",
                    count(kept.direct)
                ),
                kept.overhead(),
            ),
            (
                "a program that only forwards klend's instruction, for comparison".to_owned(),
                kept.floor(),
            ),
            (
                "one swap leg, without the swap program".to_owned(),
                one_leg.overhead().saturating_sub(kept.overhead()),
            ),
            ("`open` and `settle` together".to_owned(), bracket.open + bracket.settle),
        ] {
            units.add_row([what, count(figure)]);
        }
        Ok(format!(
            "\n{units}\n\n\
             A liquidation with one leg takes {} of the {} bytes of a v0 transaction when its accounts\n\
             are in a lookup table; the program is {} bytes.\n\n",
            one_leg.bytes,
            count(Format::V0.max_bytes() as u64),
            count(self.program.bytes)
        ))
    }

    fn markdown(&self) -> String {
        let mut text = format!(
            "# Benchmarks\n\n\
             Written by `cargo xtask bench`; do not edit. Compute units, bytes and sizes are the\n\
             same on every machine with the same compiler, and `cargo xtask bench --check`, a step\n\
             of the gate, fails when one of them grows by more than {TOLERANCE_PERCENT} %. Times are of one machine\n\
             and held by nothing.\n\n\
             | to | run |\n|----|-----|\n\
             | measure all but the sizes below | `cargo xtask bench` |\n\
             | the same without stages and times, in seconds | `cargo xtask bench --quick` |\n\
             | compare the program at other optimisation levels | `cargo xtask bench --sizes` |\n\
             | fill the columns of the real klend | `KLEND_ELF=… KLEND_VERSION=… FARMS_ELF=… KLEND_NAME=\"klend …\" cargo xtask bench` |\n\
             | accept larger figures | any of these, and commit what they wrote |\n\n\
             Programs: compiled with {}; {}.\n",
            self.toolchain, self.packages
        );
        let real = self.real.as_ref();
        let _ = match real {
            Some(real) => {
                writeln!(text, "Real klend: {}{}.", real.klend, self.age(&real.measured.program))
            }
            None => writeln!(text, "Real klend: not measured."),
        };
        text.push_str(&self.units());
        text.push_str(&self.stages());
        text.push_str(&self.pays());
        text.push_str(&self.bytes());
        text.push_str(&self.program_sizes());
        if let Some(off_chain) = &self.off_chain {
            text.push_str(&off_chain.markdown());
        }
        text
    }

    /// Whether figures are of this receiver.
    fn age(&self, program: &str) -> &'static str {
        if program == self.program.sha256 {
            ""
        } else {
            ", measured with an earlier build of the program"
        }
    }

    fn pays(&self) -> String {
        format!(
            "\n## The smallest debt that pays\n\n\
             What is repaid of the smallest debt, USDC, that the keeper signs for with no floor on\n\
             the profit, on the built-in fork with SOL at 144 USD; the priority fee is {}\n\
             micro-lamports for a compute unit. It is decided by the units that a simulation used, which\n\
             are what is asked for, as is the default; by the estimate alone (`simulate = \"none\"`) more\n\
             has to be owed. For comparison, a winner on mainnet (slot 434,724,141) repaid 20 USDC for a\n\
             tip of 1,000,000 lamports and 9,513 of fees, and was left with 0.44 USDC. What it means:\n\
             [docs/economics.md](docs/economics.md).\n\n{}",
            count(pays::UNIT_PRICE),
            pays::markdown(&self.pays)
        )
    }

    fn units(&self) -> String {
        let none = Measured::default();
        let real = self.real.as_ref().map_or(&none, |real| &real.measured.figures);
        let real_by_name: BTreeMap<&str, &Scenario> =
            real.scenarios.iter().map(|scenario| (scenario.name.as_str(), scenario)).collect();
        let mut added = table(&[
            "compute units added to klend's instruction",
            "forwarder",
            "real",
            "receiver",
            "real",
            "ratio",
            "real",
            "of the transaction",
            "real",
        ]);
        let mut whole = table(&[
            "compute units in all",
            "klend alone",
            "real",
            "`liquidate`",
            "real",
            "of it swaps",
            "transaction",
            "real",
            "bytes",
        ]);
        for scenario in &self.stand_in.scenarios {
            let real = real_by_name.get(scenario.name.as_str()).copied();
            let both = |figure: fn(&Scenario) -> u64| {
                [count(figure(scenario)), real.map(figure).map_or_else(String::new, count)]
            };
            let ratio = |scenario: &Scenario| {
                format!("{:.2}", scenario.overhead() as f64 / scenario.floor().max(1) as f64)
            };
            let mut row = vec![scenario.name.clone()];
            row.extend(both(Scenario::floor));
            row.extend(both(Scenario::overhead));
            row.extend([ratio(scenario), real.map_or_else(String::new, ratio)]);
            let share = |scenario: &Scenario| {
                let rest = scenario.transaction.saturating_sub(scenario.overhead()).max(1);
                format!("{:.1} %", 100.0 * scenario.overhead() as f64 / rest as f64)
            };
            row.extend([share(scenario), real.map_or_else(String::new, share)]);
            added.add_row(row);
            let mut row = vec![scenario.name.clone()];
            row.extend(both(|scenario| scenario.direct));
            row.extend(both(|scenario| scenario.liquidate));
            row.push(count(scenario.swaps));
            row.extend(both(|scenario| scenario.transaction));
            row.push(count(scenario.bytes));
            whole.add_row(row);
        }
        let mut brackets = table(&[
            "compute units of a bracket",
            "`open`",
            "real",
            "`settle`",
            "real",
            "both",
            "real",
        ]);
        for bracket in &self.stand_in.brackets {
            let real = real.brackets.iter().find(|real| real.guards == bracket.guards);
            let or_none = |value: Option<u64>| value.map_or_else(String::new, count);
            brackets.add_row([
                format!("{} guarded accounts besides the debt account", bracket.guards),
                count(bracket.open),
                or_none(real.map(|real| real.open)),
                count(bracket.settle),
                or_none(real.map(|real| real.settle)),
                count(bracket.open + bracket.settle),
                or_none(real.map(|real| real.open + real.settle)),
            ]);
        }
        format!(
            "\n## Compute units\n\n\
             The scenarios are those of `tests/suites/liquidations.rs`, on the built-in fork; SOL has a\n\
             collateral farm, PYUSD a debt farm. Columns named *real* repeat the one before with the\n\
             real program named above, the others are the stand-ins'.\n\n\
             What the receiver adds to klend's own instruction (liquidate v2, at top level), swap\n\
             programs apart. The forwarder is a program on pinocchio that passes its accounts on to klend\n\
             and does nothing else (`tests/programs/cpi-forwarder`): nothing is checked, measured or\n\
             logged, so a receiver that does any of this adds more. *Of the transaction* is what the\n\
             receiver adds to the same transaction without it.\n\n\
             {added}\n\n\
             Whole instructions and transactions. Bytes are those of a v0 transaction with a lookup\n\
             table.\n\n{whole}\n\n\
             `open` and `settle`, around instructions that stay at top level.\n\n{brackets}\n"
        )
    }

    fn stages(&self) -> String {
        let Some(stages) = &self.stages else { return String::new() };
        let mut text = format!(
            "\n## Where the units go\n\n\
             ![Compute units by stage]({CHART})\n\n\
             Measured with a copy of the program that logs the units left at the end of every stage\n\
             (feature `stages`); what the logging costs is known from the same transaction without it\n\
             and subtracted, so stages add up to what the instruction really takes{}. SOL sold\n\
             for USDC; in brackets: what the called programs used.\n",
            self.age(&stages.program)
        );
        let (liquidations, brackets): (Vec<_>, Vec<_>) =
            stages.figures.iter().partition(|profile| profile.name.contains("leg"));
        for profiles in [liquidations, brackets] {
            let _ = write!(text, "\n{}\n", stages_table(&profiles));
        }
        text
    }

    fn bytes(&self) -> String {
        let [v0, v1] = [Format::V0, Format::V1].map(|it| count(it.max_bytes() as u64));
        let mut text = format!(
            "\n## Transaction bytes\n\n\
             By the shape of the obligation: its deposits and debts, each in a reserve of its own. *v0*\n\
             looks up what it can in a table ({v0} bytes), *v1* spells everything out ({v1} bytes);\n\
             both refresh all reserves in one batch. *naive* is a legacy transaction with a\n\
             `refresh_reserve` for each, where {v0} bytes fit. A transaction may lock {MAX_ACCOUNT_LOCKS} accounts.\n"
        );
        let mut fits = table(&[
            "deposits that fit beside",
            "format",
            "1 debt",
            "2",
            "3",
            "4",
            "5",
            "1 × 1",
            "8 × 5",
        ]);
        for shapes in &self.shapes {
            for (name, format, bytes) in [
                ("v0", Format::V0, &shapes.v0),
                ("v1", Format::V1, &shapes.v1),
                ("naive", Format::V0, &shapes.naive),
            ] {
                let most = shapes.most_deposits(bytes, format);
                let mut row = vec![shapes.name(), name.to_owned()];
                row.extend(
                    most.map(|most| if most == 0 { "-".to_owned() } else { most.to_string() }),
                );
                row.extend([bytes[0][0], bytes[DEPOSITS - 1][DEBTS - 1]].map(count));
                fits.add_row(row);
            }
        }
        let _ = write!(
            text,
            "\nThe largest shapes that fit, and the bytes of the smallest and the largest:\n\n{fits}\n"
        );
        if let Some(largest) = self.shapes.last() {
            let _ = write!(
                text,
                "\nAll shapes with the longest of these routes ({}), as v0 / v1 / naive; the others\n\
                 are in `{JSON}`:\n\n{}\n",
                largest.name(),
                bytes_table(largest)
            );
        }
        text
    }

    fn program_sizes(&self) -> String {
        let mut text = format!(
            "\n## Program size\n\n\
             `flash_liquidator.so`: {} bytes, {} of rent at the price of a byte in the virtual\n\
             machine; a cluster has its own ([docs/mainnet.md](docs/mainnet.md)).\n",
            count(self.program.bytes),
            sol(self.program.rent)
        );
        let Some(sizes) = &self.sizes else { return text };
        let mut table = table(&[
            "`opt-level` of the program",
            "bytes",
            "rent",
            "adds without a leg",
            "with one",
        ]);
        for size in &sizes.figures {
            table.add_row([
                size.level.clone(),
                count(size.elf),
                sol(size.rent),
                count(size.no_leg),
                count(size.one_leg),
            ]);
        }
        let _ = write!(
            text,
            "\nWith other optimisation levels of the program's own package, its dependencies as in\n\
             `Cargo.toml`, and the units it then adds to klend's instruction{}:\n\n{table}\n",
            self.age(&sizes.program)
        );
        text
    }
}

fn sol(lamports: u64) -> String {
    format!("{:.4} SOL", lamports as f64 / 1e9)
}

fn stages_table(profiles: &[&Profile]) -> Table {
    let mut header = vec!["stage"];
    header.extend(profiles.iter().map(|profile| profile.name.as_str()));
    let mut table = table(&header);
    for name in stages::names(profiles) {
        let mut row = vec![name.to_owned()];
        row.extend(profiles.iter().map(|profile| {
            let Some(stage) = profile.stages.iter().find(|stage| stage.name == name) else {
                return String::new();
            };
            let calls: Vec<String> = stage
                .calls
                .iter()
                .map(|call| format!("{} {}", call.program, count(call.units)))
                .collect();
            if calls.is_empty() {
                count(stage.own)
            } else {
                format!("{} ({})", count(stage.own), calls.join(", "))
            }
        }));
        table.add_row(row);
    }
    let sum = |name: &str, figure: fn(&Profile) -> u64| {
        let mut row = vec![name.to_owned()];
        row.extend(profiles.iter().map(|profile| count(figure(profile))));
        row
    };
    table.add_row(sum("**all of the receiver's own**", Profile::own));
    table.add_row(sum("**with what it calls**", |profile| profile.total));
    table
}

fn stages_chart(profiles: &[Profile]) -> String {
    let bars: Vec<Bar> = profiles
        .iter()
        .map(|profile| Bar {
            label: profile.name.clone(),
            parts: profile.stages.iter().map(|stage| (stage.name.clone(), stage.own)).collect(),
        })
        .collect();
    let names = stages::names(&profiles.iter().collect::<Vec<_>>());
    chart::stacked_bars("The receiver's own compute units by stage", "CU", &names, &bars)
}

fn bytes_table(shapes: &Shapes) -> Table {
    let mut table = table(&["deposits", "1 debt", "2 debts", "3 debts", "4 debts", "5 debts"]);
    let at = |bytes: &Bytes, deposits: usize, debts: usize| count(bytes[deposits][debts]);
    for deposits in 0..DEPOSITS {
        let mut row = vec![(deposits + 1).to_string()];
        row.extend((0..DEBTS).map(|debts| {
            [&shapes.v0, &shapes.v1, &shapes.naive]
                .map(|bytes| at(bytes, deposits, debts))
                .join(" / ")
        }));
        table.add_row(row);
    }
    table
}

/// JSON with one line for each element of a list: readable, and with differences that
/// say what changed.
fn indented(value: &Value, depth: usize) -> String {
    const OUTER: usize = 3;
    let pad = |depth| "  ".repeat(depth);
    let lines: Vec<String> = match value {
        Value::Object(map) if depth < OUTER && map.values().any(|value| !is_plain(value)) => map
            .iter()
            .map(|(key, value)| {
                format!(
                    "{}{}: {}",
                    pad(depth + 1),
                    Value::from(key.as_str()),
                    indented(value, depth + 1)
                )
            })
            .collect(),
        Value::Array(list) if list.iter().any(|value| !is_plain(value)) => list
            .iter()
            .map(|value| pad(depth + 1) + &indented(value, depth.max(OUTER) + 1))
            .collect(),
        _ => return value.to_string(),
    };
    let (open, close) = if value.is_object() { ('{', '}') } else { ('[', ']') };
    format!("{open}\n{}\n{}{close}", lines.join(",\n"), pad(depth))
}

/// `text` with something else between its marks; `None` without marks.
fn between_marks(text: &str, figures: &str) -> Option<String> {
    let (before, rest) = text.split_once(FIGURES_BEGIN)?;
    let (_, after) = rest.split_once(FIGURES_END)?;
    Some([before, FIGURES_BEGIN, figures, FIGURES_END, after].concat())
}

fn is_plain(value: &Value) -> bool {
    !value.is_object() && !value.is_array()
}

/// A file that is there is replaced whole or not at all.
fn put(path: &Path, text: &str) -> Result<()> {
    let partial = path.with_extension("partial");
    fs::write(&partial, text)
        .and_then(|()| fs::rename(&partial, path))
        .with_context(|| format!("cannot write {}", path.display()))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn the_readme_changes_between_its_marks_only() {
        let text = format!("a\n{FIGURES_BEGIN}old\n{FIGURES_END}b\n");
        let new = between_marks(&text, "new\n").expect("both marks");
        assert_eq!(new, format!("a\n{FIGURES_BEGIN}new\n{FIGURES_END}b\n"));
        assert_eq!(between_marks("a\n", "new\n"), None);
    }

    #[test]
    fn json_has_a_line_for_each_element_and_reads_back() {
        let value =
            json!({ "a": { "list": [{ "x": [[1, 2]], "y": 1 }, { "x": [], "y": 2 }] }, "b": null });
        let text = indented(&value, 0);
        assert_eq!(serde_json::from_str::<Value>(&text).expect("JSON"), value);
        let lines: Vec<&str> = text.lines().map(str::trim).collect();
        assert!(lines.contains(&r#"{"x":[[1,2]],"y":1},"#), "{text}");
        assert!(lines.contains(&r#"{"x":[],"y":2}"#), "{text}");
    }
}
