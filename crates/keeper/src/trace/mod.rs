//! What a transaction did, whoever sent it.
//!
//! [`Trace`] puts together what a node tells in three places: instructions, the calls
//! they made, and the lines that were logged on the way. [`tokens`] are the transfers in
//! it, [`story`] what it all means to klend.

use solana_address::Address;

pub mod names;
pub mod story;
pub mod tokens;

/// An instruction, or a call that it made.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Call {
    /// Number of the transaction's instruction that it is or belongs to.
    pub instruction: usize,
    /// 1 for an instruction of the transaction.
    pub depth: usize,
    pub program: Address,
    /// Empty where the node does not tell.
    pub accounts: Vec<Address>,
    pub data: Vec<u8>,
    /// By its data, or as its program logs it.
    pub name: Option<String>,
    /// Compute units, its own calls included.
    pub units: Option<u64>,
    /// What it logged itself.
    pub logs: Vec<String>,
}

impl Call {
    /// Whether it is this instruction of this program.
    pub fn is(&self, program: &Address, name: &str) -> bool {
        self.program == *program && self.name.as_deref() == Some(name)
    }
}

/// A transaction's instructions and calls, in the order they were executed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Trace {
    pub calls: Vec<Call>,
}

impl Trace {
    /// Joins calls with log lines. Calls that only the logs tell of are added, without
    /// accounts and data.
    pub fn new(calls: Vec<Call>, logs: &[String]) -> Self {
        let mut trace = Self { calls };
        trace.listen(logs);
        for call in &mut trace.calls {
            let logged = || call.logs.iter().find_map(|line| line.strip_prefix("Instruction: "));
            call.name = names::instruction(&call.program, &call.data)
                .filter(|_| !call.data.is_empty() || !call.accounts.is_empty())
                .or_else(|| logged().map(str::to_owned))
                .or_else(|| call.name.take());
        }
        trace
    }

    /// The calls below one, in order.
    pub fn below(&self, at: usize) -> &[Call] {
        let depth = self.calls[at].depth;
        let below = &self.calls[at + 1..];
        let end = below.iter().position(|call| call.depth <= depth).unwrap_or(below.len());
        &below[..end]
    }

    /// The instructions of the transaction itself.
    pub fn instructions(&self) -> impl Iterator<Item = &Call> {
        self.calls.iter().filter(|call| call.depth == 1)
    }

    /// Hands each log line to the call that was under way. What programs print begins
    /// with `Program log: ` and is never mistaken for the runtime's own lines.
    fn listen(&mut self, lines: &[String]) {
        let mut stack: Vec<Option<usize>> = Vec::new();
        let mut next = 0;
        for line in lines {
            let Some(rest) = line.strip_prefix("Program ") else { continue };
            if let Some(text) = rest.strip_prefix("log: ") {
                if let Some(Some(at)) = stack.last() {
                    self.calls[*at].logs.push(text.to_owned());
                }
                continue;
            }
            let mut words = rest.split(' ');
            let Some(program) = words.next().and_then(|word| word.parse().ok()) else { continue };
            match words.next() {
                Some("invoke") => {
                    let at = self.invoked(&program, stack.len() + 1, next);
                    next = at.map_or(next, |at| at + 1);
                    stack.push(at);
                }
                Some("consumed") => {
                    if let Some(Some(at)) = stack.last() {
                        self.calls[*at].units = words.next().and_then(|word| word.parse().ok());
                    }
                }
                Some("success" | "failed:") => drop(stack.pop()),
                _ => {}
            }
        }
    }

    /// The call that an `invoke` line is about, at `next` or behind it: in between are
    /// only precompiles, which log nothing, and calls that were not logged any more.
    fn invoked(&mut self, program: &Address, depth: usize, next: usize) -> Option<usize> {
        let rest = &self.calls[next..];
        // Calls of one instruction end where the next one begins.
        let end = rest.iter().position(|call| call.depth < depth).unwrap_or(rest.len());
        let found =
            rest[..end].iter().position(|call| call.depth == depth && call.program == *program);
        if let Some(at) = found {
            return Some(next + at);
        }
        let parent = self.calls.get(next.checked_sub(1)?)?;
        let call =
            Call { instruction: parent.instruction, depth, program: *program, ..Call::default() };
        (depth > 1).then(|| {
            self.calls.insert(next, call);
            next
        })
    }
}

#[cfg(test)]
mod tests {
    use flash_liquidator_client::token::TOKEN_PROGRAM_ID;
    use klend_model::constants::KLEND_PROGRAM_ID;
    use solana_sdk_ids::{ed25519_program, system_program};

    use super::*;

    fn call(instruction: usize, depth: usize, program: Address) -> Call {
        Call { instruction, depth, program, ..Call::default() }
    }

    fn logs(program: Address, depth: usize, said: &str, units: u64) -> Vec<String> {
        vec![
            format!("Program {program} invoke [{depth}]"),
            format!("Program log: {said}"),
            format!("Program {program} consumed {units} of 9 compute units"),
            format!("Program {program} success"),
        ]
    }

    #[test]
    fn behind_a_precompile_lines_still_find_their_instruction() {
        let calls = vec![
            call(0, 1, ed25519_program::ID),
            call(1, 1, KLEND_PROGRAM_ID),
            call(2, 1, system_program::ID),
        ];
        let lines = [
            logs(KLEND_PROGRAM_ID, 1, "Instruction: RefreshReserve", 5),
            logs(system_program::ID, 1, "x", 1),
        ];
        let trace = Trace::new(calls, &lines.concat());
        let names: Vec<_> =
            trace.calls.iter().map(|call| (call.name.as_deref(), call.units)).collect();
        assert_eq!(names, [(None, None), (Some("RefreshReserve"), Some(5)), (None, Some(1))]);
    }

    #[test]
    fn calls_that_only_logs_tell_of_stand_below_their_instruction() {
        let calls = vec![call(0, 1, KLEND_PROGRAM_ID), call(1, 1, KLEND_PROGRAM_ID)];
        let mut lines = vec![format!("Program {KLEND_PROGRAM_ID} invoke [1]")];
        lines.extend(logs(TOKEN_PROGRAM_ID, 2, "Instruction: Transfer", 3));
        lines.push("Program log: after".to_owned());
        lines.push(format!("Program log: Program {TOKEN_PROGRAM_ID} invoke [2]"));
        lines.push(format!("Program {KLEND_PROGRAM_ID} failed: custom program error: 0x1"));
        lines.extend(logs(KLEND_PROGRAM_ID, 1, "second", 4));
        let trace = Trace::new(calls, &lines);
        let shape: Vec<_> = trace
            .calls
            .iter()
            .map(|call| (call.instruction, call.depth, call.program, call.logs.len()))
            .collect();
        assert_eq!(
            shape,
            [(0, 1, KLEND_PROGRAM_ID, 2), (0, 2, TOKEN_PROGRAM_ID, 1), (1, 1, KLEND_PROGRAM_ID, 1)]
        );
        assert_eq!(trace.below(0).len(), 1);
        assert_eq!(trace.instructions().count(), 2);
    }
}
