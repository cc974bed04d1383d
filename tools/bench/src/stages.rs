//! Where the compute units of an instruction go.
//!
//! A copy of the receiver logs the units left at the end of every stage
//! (`programs/flash-liquidator/src/stages.rs`). What the logging itself costs is
//! known from the same transaction without it, and subtracted from every stage
//! alike: the stages add up to what the instruction really takes.

use anyhow::{Context, Result, ensure};
use flash_liquidator_client::receiver;
use klend_fork::{Outcome, TOKEN_2022_PROGRAM_ID, TOKEN_PROGRAM_ID};
use klend_model::constants::KLEND_PROGRAM_ID;
use serde::{Deserialize, Serialize};

/// What logging one stage's end can cost: two calls of the runtime at 100 units
/// each, some instructions around them, and what they keep the compiler from.
const PLAUSIBLE_LOGGING: std::ops::RangeInclusive<u64> = 190..=300;

/// The last stage: from the last one that is logged to the end.
const EXIT: &str = "exit";

/// The stages of one instruction.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Profile {
    /// Instruction, or scenario.
    pub name: String,
    /// All units of the instruction.
    pub total: u64,
    /// Units that logging a stage was found to cost, which the stages are without.
    pub logging: u64,
    /// In order.
    pub stages: Vec<Stage>,
}

/// One stage.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Stage {
    /// Its name.
    pub name: String,
    /// Units of the receiver itself, the runtime's price of a call included.
    pub own: u64,
    /// Units of the programs it called.
    pub calls: Vec<Call>,
}

/// Calls of one program.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Call {
    /// Program.
    pub program: String,
    /// Units it used.
    pub units: u64,
}

impl Profile {
    /// Units of the receiver itself.
    pub fn own(&self) -> u64 {
        self.stages.iter().map(|stage| stage.own).sum()
    }
}

/// Names of the stages of several profiles, in an order that suits all of them.
pub fn names<'a>(profiles: &[&'a Profile]) -> Vec<&'a str> {
    let mut names: Vec<&str> = Vec::new();
    for profile in profiles {
        // New ones go right before what follows them here.
        let mut place = names.len();
        for stage in profile.stages.iter().rev() {
            match names.iter().position(|name| *name == stage.name) {
                Some(position) => place = position,
                None => names.insert(place, &stage.name),
            }
        }
    }
    names
}

/// What the log of one top-level instruction says.
#[derive(Debug, Default, PartialEq, Eq)]
struct Logged {
    /// Units left when it began.
    at_start: u64,
    used: u64,
    /// Ends of stages: name, units left, and the calls since the end before.
    ends: Vec<(String, u64, Vec<Call>)>,
    /// Calls after the last end.
    rest: Vec<Call>,
}

/// Stages of the receiver's `number`-th top-level instruction, from a run as it is
/// and one with the copy that logs.
///
/// # Errors
/// When the logs are not those of such runs.
pub fn profile(name: &str, number: usize, plain: &Outcome, logged: &Outcome) -> Result<Profile> {
    let of = |outcome: &Outcome| {
        read(&outcome.logs, number).with_context(|| format!("{name}: no instruction {number}"))
    };
    let (plain, logged) = (of(plain)?, of(logged)?);
    ensure!(plain.ends.is_empty(), "{name}: the program as built logs stages");
    ensure!(!logged.ends.is_empty(), "{name}: the copy of the program logs no stages");
    let added = logged.used.saturating_sub(plain.used);
    let count = logged.ends.len() as u64;
    let logging = added / count;
    ensure!(
        PLAUSIBLE_LOGGING.contains(&logging),
        "{name}: logging {count} stages added {added} units: it changed the program"
    );

    let mut stages = Vec::new();
    let mut left = logged.at_start;
    let end = (EXIT.to_owned(), logged.at_start - logged.used, logged.rest);
    let mut surplus = added % count;
    for (position, (stage, now, calls)) in (0u64..).zip(logged.ends.into_iter().chain([end])) {
        // Its own log line precedes the figure in it; the exit has none.
        let mut logging = if position < count { logging } else { 0 };
        if logging > 0 && surplus > 0 {
            (logging, surplus) = (logging + 1, surplus - 1);
        }
        let called: u64 = calls.iter().map(|call| call.units).sum();
        let own = (left - now).checked_sub(called + logging);
        let own = own.with_context(|| format!("{name}: stage {stage} takes less than nothing"))?;
        stages.push(Stage { name: stage, own, calls });
        left = now;
    }
    Ok(Profile { name: name.to_owned(), total: plain.used, logging, stages })
}

fn read(logs: &[String], number: usize) -> Option<Logged> {
    let receiver = receiver::PROGRAM_ID.to_string();
    let (mut depth, mut seen, mut inside) = (0, 0, false);
    let mut logged = Logged::default();
    let mut text = "";
    for line in logs {
        let Some(rest) = line.strip_prefix("Program ") else { continue };
        if let Some(message) = rest.strip_prefix("log: ") {
            if depth == 1 {
                text = message;
            }
            continue;
        }
        let words: Vec<&str> = rest.split(' ').collect();
        match words[..] {
            ["consumption:", left, "units", "remaining"] if inside && depth == 1 => {
                let calls = std::mem::take(&mut logged.rest);
                logged.ends.push((text.to_owned(), left.parse().ok()?, calls));
            }
            [program, "invoke", _] => {
                depth += 1;
                if depth == 1 && program == receiver {
                    inside = seen == number;
                    seen += 1;
                }
            }
            [program, "consumed", used, "of", at_start, ..] if inside => match depth {
                1 => {
                    (logged.used, logged.at_start) = (used.parse().ok()?, at_start.parse().ok()?);
                    return Some(logged);
                }
                2 => add(&mut logged.rest, label(program), used.parse().ok()?),
                _ => {}
            },
            [_, "success"] | [_, "failed:", ..] => depth -= 1,
            _ => {}
        }
    }
    None
}

fn add(calls: &mut Vec<Call>, program: &str, units: u64) {
    match calls.iter_mut().find(|call| call.program == program) {
        Some(call) => call.units += units,
        None => calls.push(Call { program: program.to_owned(), units }),
    }
}

fn label(program: &str) -> &str {
    if program == KLEND_PROGRAM_ID.to_string() {
        "klend"
    } else if program == swap_stand_in::ID.to_string() {
        "swap program"
    } else if [TOKEN_PROGRAM_ID, TOKEN_2022_PROGRAM_ID].iter().any(|id| program == id.to_string()) {
        "token program"
    } else {
        program
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn outcome(lines: &[&str]) -> Outcome {
        let receiver = receiver::PROGRAM_ID.to_string();
        let klend = KLEND_PROGRAM_ID.to_string();
        let name = |line: &&str| line.replace("RECEIVER", &receiver).replace("KLEND", &klend);
        Outcome {
            units: 0,
            instructions: vec![],
            logs: lines.iter().map(name).collect(),
            bytes: 0,
            data: vec![],
            return_data: None,
            fee: 0,
        }
    }

    #[test]
    fn stages_are_without_their_logging_and_add_up() {
        let plain = outcome(&[
            "Program RECEIVER invoke [1]",
            "Program KLEND invoke [2]",
            "Program KLEND consumed 500 of 9000 compute units",
            "Program KLEND success",
            "Program RECEIVER consumed 2000 of 10000 compute units",
            "Program RECEIVER success",
        ]);
        let logged = outcome(&[
            "Program KLEND invoke [1]",
            "Program log: not ours",
            "Program consumption: 77777 units remaining",
            "Program KLEND consumed 5 of 99 compute units",
            "Program KLEND success",
            "Program RECEIVER invoke [1]",
            "Program log: entry",
            "Program consumption: 9500 units remaining",
            "Program KLEND invoke [2]",
            "Program log: deeper",
            "Program consumption: 8600 units remaining",
            "Program KLEND consumed 500 of 9000 compute units",
            "Program KLEND success",
            "Program log: call",
            "Program consumption: 8000 units remaining",
            "Program RECEIVER consumed 2401 of 10000 compute units",
            "Program RECEIVER success",
        ]);
        let profile = profile("x", 0, &plain, &logged).unwrap();
        // Two stages were logged for 401 units.
        let own: Vec<_> = profile.stages.iter().map(|s| (s.name.as_str(), s.own)).collect();
        assert_eq!(own, [("entry", 500 - 201), ("call", 1500 - 500 - 200), ("exit", 401)]);
        assert_eq!(profile.stages[1].calls, [Call { program: "klend".to_owned(), units: 500 }]);
        assert_eq!(profile.own() + 500, profile.total);
    }

    #[test]
    fn names_of_several_instructions_keep_every_ones_order() {
        let profile = |names: &[&str]| Profile {
            name: String::new(),
            total: 0,
            logging: 0,
            stages: names
                .iter()
                .map(|name| Stage { name: (*name).to_owned(), own: 0, calls: vec![] })
                .collect(),
        };
        let profiles = [profile(&["a", "b", "e"]), profile(&["a", "c", "d", "e"])];
        assert_eq!(names(&profiles.iter().collect::<Vec<_>>()), ["a", "b", "c", "d", "e"]);
    }

    #[test]
    fn a_copy_that_does_something_else_is_refused() {
        let run = |used: u64| {
            outcome(&[
                "Program RECEIVER invoke [1]",
                "Program log: entry",
                "Program consumption: 9500 units remaining",
                &format!("Program RECEIVER consumed {used} of 10000 compute units"),
            ])
        };
        let plain = outcome(&[
            "Program RECEIVER invoke [1]",
            "Program RECEIVER consumed 2000 of 10000 compute units",
        ]);
        assert!(profile("x", 0, &plain, &run(2_210)).is_ok());
        assert!(profile("x", 0, &plain, &run(2_900)).is_err());
        assert!(profile("x", 0, &plain, &plain).is_err());
        assert!(profile("x", 0, &run(2_210), &run(2_210)).is_err());
        assert!(profile("x", 1, &plain, &run(2_210)).is_err());
    }
}
