//! Times of what runs off chain, as `crates/klend-model/benches/off_chain` and the
//! keeper's `scan.rs` and `path.rs` report them.

use std::{
    collections::BTreeMap,
    fmt::Write as _,
    fs,
    path::{Path, PathBuf},
};

use anyhow::{Context, Result};
use serde::{Deserialize, Serialize, de::DeserializeOwned};

use crate::{
    format::{bytes, count, table},
    machine::Machine,
};

/// Times of one run, with the machine they are of.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct OffChain {
    /// Where it ran.
    pub machine: Machine,
    /// What the model's benchmark reported.
    pub measured: Measured,
    /// What the keeper's of scans reported.
    pub scan: Option<Scan>,
    /// What the keeper's of the path reported, by how much is under watch.
    #[serde(default)]
    pub path: Vec<Route>,
}

/// What the off-chain benchmark reports.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Measured {
    /// Single operations.
    pub operations: Vec<Operation>,
    /// A change of prices over many obligations.
    pub updates: Vec<Update>,
    /// Resident memory.
    pub memory: Vec<Memory>,
}

/// One operation, nanoseconds.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Operation {
    /// What is done.
    pub name: String,
    /// This project's.
    pub ours: f64,
    /// The straightforward implementation's.
    pub peer: f64,
}

/// A change of prices, nanoseconds.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Update {
    /// What changed.
    pub name: String,
    /// Obligations under watch.
    pub obligations: u64,
    /// Of these, the tracker had to value so many.
    pub valued: u64,
    /// So many are unhealthy.
    pub unhealthy: u64,
    /// The tracker's.
    pub ours: f64,
    /// The straightforward implementation's, which values all of them.
    pub peer: f64,
}

/// Memory for each obligation under watch, bytes.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Memory {
    /// Obligations.
    pub obligations: u64,
    /// The tracker's.
    pub ours: f64,
    /// The straightforward implementation's.
    pub peer: f64,
}

/// `keeper scan` of a folder, as a process.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Scan {
    /// Obligations in the folder.
    pub obligations: u64,
    /// Fastest run, nanoseconds.
    pub best: f64,
    /// Median of the runs, nanoseconds.
    pub median: f64,
    /// Largest resident memory of any run, bytes.
    pub memory: f64,
}

/// From an update to signed bytes in the running loop.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Route {
    /// Obligations under watch.
    pub obligations: u64,
    /// Pools that are known beside those it sells in.
    pub pools: u64,
    /// Resident memory of everything that is known of them.
    pub book_kib: u64,
    /// By how a plan is tried before it is signed.
    pub simulate: BTreeMap<String, Rounds>,
}

/// Many rounds.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Rounds {
    /// From the update to signed bytes.
    pub microseconds: Spread,
    /// Processor time of all threads.
    pub processor_microseconds: Spread,
    /// Allocations of all threads.
    pub allocations: Spread,
}

/// Of many figures, three.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Spread {
    /// Half are no more.
    pub median: u64,
    /// 99 of 100 are no more.
    pub p99: u64,
    /// The largest.
    pub most: u64,
}

impl OffChain {
    /// Reads the reports of the model's benchmark and of the keeper's, made on this
    /// machine.
    ///
    /// # Errors
    /// When one cannot be read.
    pub fn read(measured: &Path, scan: Option<&Path>, path: &[PathBuf]) -> Result<Self> {
        Ok(Self {
            machine: Machine::this(),
            measured: read(measured)?,
            scan: scan.map(read).transpose()?,
            path: path.iter().map(|path| read(path)).collect::<Result<_>>()?,
        })
    }

    /// The section of the report.
    pub fn markdown(&self) -> String {
        let Machine { cpu, threads, system, rustc } = &self.machine;
        let mut text = format!(
            "\n## Off chain\n\n\
             One run on {cpu}, {threads} threads, {system}, {rustc}, one thread used. Times are\n\
             the fastest of at least eleven, which other work on the machine disturbs least. The peer\n\
             is a straightforward implementation of klend's rules on `klend-interface`'s types and\n\
             fractions (`crates/klend-model/benches/off_chain/peer.rs`); the run fails when it and\n\
             `klend-model` disagree.\n\n"
        );
        let mut operations =
            table(&["operation", "time", "a second", "peer", "a second", "times faster"]);
        for Operation { name, ours, peer } in &self.measured.operations {
            let rate = |nanos: f64| count((1e9 / nanos) as u64);
            operations.add_row([
                name.clone(),
                time(*ours),
                rate(*ours),
                time(*peer),
                rate(*peer),
                format!("{:.1}", peer / ours),
            ]);
        }
        let _ = writeln!(text, "{operations}\n");
        text.push_str(
            "What a change of prices costs over all obligations under watch: the reserves are made\n\
             ready at the new prices, and the keeper's tracker finds those above their limit, valuing\n\
             only the ones that the change can have brought there. The peer values all of them.\n\n",
        );
        let mut updates = table(&[
            "change",
            "obligations",
            "valued",
            "unhealthy",
            "time",
            "peer",
            "times faster",
        ]);
        for update in &self.measured.updates {
            updates.add_row([
                update.name.clone(),
                count(update.obligations),
                count(update.valued),
                count(update.unhealthy),
                time(update.ours),
                time(update.peer),
                format!("{:.0}", update.peer / update.ours),
            ]);
        }
        let _ = writeln!(text, "{updates}\n");
        for memory in &self.measured.memory {
            let _ = writeln!(
                text,
                "Resident memory for each of {} obligations under watch: {}, the peer's {}.",
                count(memory.obligations),
                bytes(memory.ours),
                bytes(memory.peer)
            );
        }
        if let Some(Scan { obligations, best, median, memory }) = &self.scan {
            let _ = writeln!(
                text,
                "\n`keeper scan` of a folder with {} obligations, from the start of the process to its\n\
                 end: {}, median {}, {} resident at most (`crates/keeper/benches/scan.rs`).",
                count(*obligations),
                time(*best),
                time(*median),
                bytes(*memory)
            );
        }
        text.push_str(&self.path());
        text
    }

    fn path(&self) -> String {
        let mut rows = table(&[
            "from an update to signed bytes",
            "obligations",
            "median",
            "99 of 100 within",
            "at most",
            "processor, median",
            "allocations, median",
        ]);
        let mut text = String::new();
        for Route { obligations, pools, book_kib, simulate } in &self.path {
            for (name, words) in [
                ("none", "signed as decided"),
                ("local", "after simulation in the local machine"),
                ("kept", "the same, with ledger and alerts"),
            ] {
                let Some(rounds) = simulate.get(name) else { continue };
                let micros = |micros: u64| time(micros as f64 * 1e3);
                let Spread { median, p99, most } = rounds.microseconds;
                rows.add_row([
                    words.to_owned(),
                    count(*obligations),
                    micros(median),
                    micros(p99),
                    micros(most),
                    micros(rounds.processor_microseconds.median),
                    count(rounds.allocations.median),
                ]);
            }
            let _ = writeln!(
                text,
                "Resident memory of the book for {} obligations and {} pools: {}.",
                count(*obligations),
                count(*pools),
                bytes(*book_kib as f64 * 1024.0)
            );
        }
        if self.path.is_empty() {
            return text;
        }
        format!(
            "\nIn the running loop of `keeper watch`, from when it hears of a price until the\n\
             transaction is signed, over two pools one after the other, beside further pools of the\n\
             same token (`crates/keeper/benches/path.rs`); nobody is asked anything.\n\n{rows}\n\n{text}"
        )
    }
}

fn read<T: DeserializeOwned>(path: &Path) -> Result<T> {
    let text = fs::read_to_string(path).with_context(|| path.display().to_string())?;
    serde_json::from_str(&text).with_context(|| path.display().to_string())
}

/// Three digits and a unit.
fn time(nanos: f64) -> String {
    let (value, unit) = match nanos {
        _ if nanos < 1e3 => (nanos, "ns"),
        _ if nanos < 1e6 => (nanos / 1e3, "µs"),
        _ if nanos < 1e9 => (nanos / 1e6, "ms"),
        _ => (nanos / 1e9, "s"),
    };
    let digits = if value < 10.0 { 2 } else { usize::from(value < 100.0) };
    format!("{value:.digits$} {unit}")
}

#[cfg(test)]
mod tests {
    use super::time;

    #[test]
    fn times_have_three_digits() {
        let texts = [7.0, 381.7, 18_668.0, 85_527_123.0, 1_313_732_000.0].map(time);
        assert_eq!(texts, ["7.00 ns", "382 ns", "18.7 µs", "85.5 ms", "1.31 s"]);
    }
}
