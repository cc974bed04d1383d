//! What the runtime's log lines say about calls, costs, data and failures.

use base64::{Engine, engine::general_purpose::STANDARD};
use solana_address::Address;

/// The runtime's last line when it stops recording.
const TRUNCATED: &str = "Log truncated";

/// A top-level instruction as the logs show it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Call {
    /// Program that was called.
    pub program: Address,
    /// The instruction's name, when its program logs it as Anchor programs do.
    pub name: Option<String>,
    /// Compute units it used, its own calls included; `None` for programs built
    /// into the runtime, for which no figure is logged.
    pub units: Option<u64>,
}

/// An error that an Anchor program described before it failed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AnchorLog {
    /// `Error Code`, the variant's name.
    pub name: String,
    /// `Error Number`.
    pub number: u32,
    /// `Error Message`.
    pub message: String,
    /// The two numbers that it compared, `Left` and `Right`, where it is about numbers.
    pub compared: Option<(i64, i64)>,
}

/// The logs of one transaction, read.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Logs {
    /// Top-level instructions, in order.
    pub calls: Vec<Call>,
    /// Data that programs logged (`sol_log_data`), with the program that did.
    pub data: Vec<(Address, Vec<u8>)>,
    /// The innermost program that failed: the failure's origin, however many
    /// callers it passed through.
    pub failed_program: Option<Address>,
    /// What that program, if an Anchor one, said about it.
    pub anchor_error: Option<AnchorLog>,
    /// The program ran out of compute units rather than failing by itself.
    pub out_of_units: bool,
    /// Lines are missing at the end; data and failures may be among them.
    pub truncated: bool,
    /// The first of two numbers that are compared, until the second is read.
    left: Option<i64>,
}

impl Logs {
    /// Reads log lines. What programs print begins with `Program log: ` and is
    /// never mistaken for the runtime's own lines.
    #[must_use]
    pub fn read<S: AsRef<str>>(lines: &[S]) -> Self {
        let mut logs = Self::default();
        let mut stack: Vec<Address> = Vec::new();
        for line in lines.iter().map(AsRef::as_ref) {
            if line == TRUNCATED {
                logs.truncated = true;
            }
            let Some(rest) = line.strip_prefix("Program ") else { continue };
            if let Some(text) = rest.strip_prefix("log: ") {
                logs.program_log(stack.len(), text);
            } else if let Some(encoded) = rest.strip_prefix("data: ") {
                if let Some(program) = stack.last() {
                    let fields = encoded.split(' ').filter_map(|field| STANDARD.decode(field).ok());
                    logs.data.push((*program, fields.flatten().collect()));
                }
            } else {
                logs.runtime_line(&mut stack, rest);
            }
        }
        logs
    }

    fn program_log(&mut self, depth: usize, text: &str) {
        if let (1, Some(name)) = (depth, text.strip_prefix("Instruction: "))
            && let Some(call) = self.calls.last_mut()
        {
            call.name.get_or_insert_with(|| name.to_owned());
        }
        // Only the first failure matters; callers repeat it.
        if self.failed_program.is_none()
            && let Some(error) = anchor_log(text)
        {
            (self.anchor_error, self.left) = (Some(error), None);
        }
        let number = |prefix| text.strip_prefix(prefix)?.trim().parse::<i64>().ok();
        if let (Some(error), None) = (&mut self.anchor_error, self.failed_program) {
            if let Some(left) = number("Left: ") {
                self.left = Some(left);
            } else if let (Some(left), Some(right)) = (self.left.take(), number("Right: ")) {
                error.compared = Some((left, right));
            }
        }
    }

    /// `<id> invoke [n]`, `<id> consumed n of m compute units`, `<id> success`,
    /// `<id> failed: …`.
    fn runtime_line(&mut self, stack: &mut Vec<Address>, line: &str) {
        let mut words = line.split(' ');
        let Some(program) = words.next().and_then(|word| word.parse::<Address>().ok()) else {
            return;
        };
        match words.next() {
            Some("invoke") => {
                if stack.is_empty() {
                    self.calls.push(Call { program, name: None, units: None });
                }
                // An error that a callee described and its caller survived is none.
                stack.push(program);
            }
            Some("consumed") if stack.len() == 1 => {
                if let Some(call) = self.calls.last_mut() {
                    call.units = words.next().and_then(|word| word.parse().ok());
                }
            }
            Some("success") => {
                stack.pop();
                self.anchor_error = None;
            }
            Some("failed:") => {
                stack.pop();
                if self.failed_program.is_none() {
                    self.failed_program = Some(program);
                    self.out_of_units = line.contains("exceeded CUs meter")
                        || line.contains("Computational budget exceeded");
                }
            }
            _ => {}
        }
    }
}

/// `AnchorError … Error Code: <name>. Error Number: <n>. Error Message: <text>.`
fn anchor_log(text: &str) -> Option<AnchorLog> {
    if !text.starts_with("AnchorError ") {
        return None;
    }
    let (_, rest) = text.split_once("Error Code: ")?;
    let (name, rest) = rest.split_once(". Error Number: ")?;
    let (number, message) = rest.split_once(". Error Message: ")?;
    Some(AnchorLog {
        name: name.to_owned(),
        number: number.parse().ok()?,
        message: message.trim_end_matches('.').to_owned(),
        compared: None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const OUTER: &str = "FLi74WSjHMbPZNCKyWcesWKNYajvD2vRZKbBX1tB9Vjx";
    const INNER: &str = "KLend2g3cP87fffoy8q1mQqGKjrxjC8boSyAYavgmjD";

    fn key(text: &str) -> Address {
        text.parse().unwrap()
    }

    #[test]
    fn the_innermost_failure_is_the_origin() {
        let logs = Logs::read(&[
            format!("Program {OUTER} invoke [1]"),
            "Program log: Instruction: Liquidate".to_owned(),
            format!("Program {INNER} invoke [2]"),
            "Program log: Instruction: Inner".to_owned(),
            "Program log: AnchorError occurred. Error Code: ObligationHealthy. Error Number: 6016. Error Message: Cannot liquidate healthy obligations.".to_owned(),
            format!("Program {INNER} consumed 5 of 90 compute units"),
            format!("Program {INNER} failed: custom program error: 0x1780"),
            format!("Program {OUTER} consumed 50 of 100 compute units"),
            format!("Program {OUTER} failed: custom program error: 0x1780"),
        ]);
        assert_eq!(logs.failed_program, Some(key(INNER)));
        let error = logs.anchor_error.unwrap();
        assert_eq!((error.name.as_str(), error.number), ("ObligationHealthy", 6016));
        assert_eq!(error.message, "Cannot liquidate healthy obligations");
        assert_eq!(
            logs.calls,
            [Call { program: key(OUTER), name: Some("Liquidate".to_owned()), units: Some(50) }]
        );
        assert!(!logs.truncated && !logs.out_of_units);
    }

    #[test]
    fn a_program_cannot_forge_the_runtime_or_another_program() {
        let logs = Logs::read(&[
            format!("Program {OUTER} invoke [1]"),
            format!("Program log: Program {INNER} invoke [2]"),
            "Program log: Program data: AQI=".to_owned(),
            "Program data: AwQ= BQ==".to_owned(),
            format!("Program log: Program {INNER} failed: custom program error: 0x1"),
            format!("Program {OUTER} success"),
        ]);
        assert_eq!(logs.data, [(key(OUTER), vec![3, 4, 5])]);
        assert_eq!(logs.failed_program, None);
    }

    #[test]
    fn missing_lines_and_exhausted_units_are_noticed() {
        let logs = Logs::read(&[
            format!("Program {OUTER} invoke [1]"),
            format!("Program {OUTER} failed: exceeded CUs meter at BPF instruction"),
            "Log truncated".to_owned(),
        ]);
        assert!(logs.truncated && logs.out_of_units);
    }
}
