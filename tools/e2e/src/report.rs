//! What was done and what was seen.

use std::{
    fmt::{self, Display, Formatter},
    time::{Duration, Instant},
};

use anyhow::Result;
use comfy_table::{Cell, CellAlignment, ContentArrangement, Row, Table, presets};

/// The steps so far.
#[derive(Debug, Default)]
pub struct Report {
    steps: Vec<Step>,
}

#[derive(Debug)]
struct Step {
    name: String,
    /// What was seen, or why it failed.
    seen: Result<String, String>,
    took: Duration,
}

impl Report {
    /// Does a step and remembers what it says it saw, or its error; `None` after an
    /// error. Later steps that do not need what it returns go on.
    pub fn step<T>(
        &mut self,
        name: impl Into<String>,
        work: impl FnOnce() -> Result<(T, String)>,
    ) -> Option<T> {
        let name = name.into();
        eprintln!("e2e: {name}");
        let started = Instant::now();
        let (value, seen) = match work() {
            Ok((value, seen)) => (Some(value), Ok(seen)),
            Err(error) => {
                eprintln!("e2e: {name}: {error:#}");
                (None, Err(format!("{error:#}")))
            }
        };
        self.steps.push(Step { name, seen, took: started.elapsed() });
        value
    }

    /// Whether there was a step and none failed.
    pub fn passed(&self) -> bool {
        !self.steps.is_empty() && self.failed() == 0
    }

    fn failed(&self) -> usize {
        self.steps.iter().filter(|step| step.seen.is_err()).count()
    }
}

impl Display for Report {
    fn fmt(&self, f: &mut Formatter) -> fmt::Result {
        let mut table = Table::new();
        table
            .load_preset(presets::UTF8_FULL_CONDENSED)
            .set_content_arrangement(ContentArrangement::Dynamic)
            .set_header(["step", "", "seen", "s"]);
        if table.width().is_none() {
            table.set_width(140);
        }
        for step in &self.steps {
            let (mark, seen) = match &step.seen {
                Ok(seen) => ("ok", seen.clone()),
                // The whole reason was printed when it happened.
                Err(error) => ("FAILED", error.lines().next().unwrap_or_default().to_owned()),
            };
            let took = format!("{:.1}", step.took.as_secs_f64());
            table.add_row(Row::from(vec![
                Cell::new(&step.name),
                Cell::new(mark),
                Cell::new(seen),
                Cell::new(took).set_alignment(CellAlignment::Right),
            ]));
        }
        writeln!(f, "{table}")?;
        write!(f, "{} passed, {} failed", self.steps.len() - self.failed(), self.failed())
    }
}
