//! What came of a transaction.

use std::fmt;

use base64::{Engine, engine::general_purpose::STANDARD};
use litesvm::types::TransactionMetadata;
use solana_address::Address;
use solana_instruction::error::InstructionError;
use solana_transaction_error::TransactionError;

/// A top-level instruction and what it cost.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InstructionCost {
    /// Program that was called.
    pub program: Address,
    /// Compute units it used, its own calls included. `None` for programs built
    /// into the runtime, for which no figure is logged.
    pub units: Option<u64>,
    /// The instruction's name, when its program logs it as Anchor programs do.
    pub name: Option<String>,
}

/// Data that a program wrote with `sol_log_data`, which is how events are emitted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProgramData {
    /// Program that wrote it.
    pub program: Address,
    /// What it wrote.
    pub data: Vec<u8>,
}

/// A transaction that was executed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Outcome {
    /// Compute units of the whole transaction.
    pub units: u64,
    /// Compute units by top-level instruction, in order. A failed transaction
    /// has those up to the one that failed.
    pub instructions: Vec<InstructionCost>,
    /// Log lines.
    pub logs: Vec<String>,
    /// Bytes of the signed transaction.
    pub bytes: usize,
    /// Data that programs logged.
    pub data: Vec<ProgramData>,
    /// What the last program to do so returned, and which that was.
    pub return_data: Option<(Address, Vec<u8>)>,
    /// Fee in lamports.
    pub fee: u64,
}

/// A transaction that failed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub struct Failure {
    /// Why.
    pub error: TransactionError,
    /// How far it came.
    pub outcome: Outcome,
}

impl Failure {
    /// Index of the instruction that failed.
    #[must_use]
    pub fn instruction_index(&self) -> Option<usize> {
        match self.error {
            TransactionError::InstructionError(index, _) => Some(usize::from(index)),
            _ => None,
        }
    }

    /// Number of the program's own error: 6016 for klend's `ObligationHealthy`.
    #[must_use]
    pub fn custom_code(&self) -> Option<u32> {
        match self.error {
            TransactionError::InstructionError(_, InstructionError::Custom(code)) => Some(code),
            _ => None,
        }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the transaction failed: {}", self.error)?;
        for line in &self.outcome.logs {
            write!(f, "\n  {line}")?;
        }
        Ok(())
    }
}

impl Outcome {
    pub(crate) fn new(meta: TransactionMetadata, bytes: usize) -> Self {
        let Parsed { instructions, data } = parse(&meta.logs);
        let returned = meta.return_data;
        Self {
            units: meta.compute_units_consumed,
            instructions,
            bytes,
            data,
            return_data: (returned.program_id != Address::default())
                .then_some((returned.program_id, returned.data)),
            fee: meta.fee,
            logs: meta.logs,
        }
    }

    /// Data that `program` logged, in order.
    pub fn data_of(&self, program: &Address) -> impl Iterator<Item = &[u8]> {
        self.data.iter().filter(move |entry| entry.program == *program).map(|entry| &entry.data[..])
    }
}

struct Parsed {
    instructions: Vec<InstructionCost>,
    data: Vec<ProgramData>,
}

/// Reads what the runtime logs about calls. Lines that programs write begin
/// with `Program log: ` and cannot be mistaken for the runtime's.
fn parse(logs: &[String]) -> Parsed {
    let mut parsed = Parsed { instructions: Vec::new(), data: Vec::new() };
    let mut stack: Vec<Address> = Vec::new();
    for line in logs {
        let Some(rest) = line.strip_prefix("Program ") else { continue };
        if let Some(text) = rest.strip_prefix("log: ") {
            if let ([_], Some(name)) = (&stack[..], text.strip_prefix("Instruction: "))
                && let Some(instruction) = parsed.instructions.last_mut()
            {
                instruction.name.get_or_insert_with(|| name.to_owned());
            }
            continue;
        }
        if let Some(encoded) = rest.strip_prefix("data: ") {
            if let Some(program) = stack.last() {
                let data =
                    encoded.split(' ').filter_map(|part| STANDARD.decode(part).ok()).flatten();
                parsed.data.push(ProgramData { program: *program, data: data.collect() });
            }
            continue;
        }
        let mut words = rest.split(' ');
        let Some(program) = words.next().and_then(|word| word.parse::<Address>().ok()) else {
            continue;
        };
        match words.next() {
            Some("invoke") => {
                if stack.is_empty() {
                    parsed.instructions.push(InstructionCost { program, units: None, name: None });
                }
                stack.push(program);
            }
            Some("consumed") if stack.len() == 1 => {
                if let Some(instruction) = parsed.instructions.last_mut() {
                    instruction.units = words.next().and_then(|word| word.parse().ok());
                }
            }
            Some("success" | "failed:") => {
                stack.pop();
            }
            _ => {}
        }
    }
    parsed
}

#[cfg(test)]
mod tests {
    use solana_address::address;

    use super::*;

    const OUTER: Address = address!("FLi74WSjHMbPZNCKyWcesWKNYajvD2vRZKbBX1tB9Vjx");
    const INNER: Address = address!("TokenkegQfeZyiNwAJbNbGKPFXCWuBvf9Ss623VQ5DA");

    #[test]
    fn calls_are_told_apart_by_depth_and_from_what_programs_write() {
        let logs: Vec<String> = [
            "Program ComputeBudget111111111111111111111111111111 invoke [1]",
            "Program ComputeBudget111111111111111111111111111111 success",
            &format!("Program {OUTER} invoke [1]"),
            "Program log: Instruction: Liquidate",
            &format!("Program {INNER} invoke [2]"),
            "Program log: Instruction: TransferChecked",
            &format!("Program log: Program {INNER} success"),
            "Program data: AQI=",
            &format!("Program {INNER} consumed 6 of 100 compute units"),
            &format!("Program {INNER} success"),
            "Program data: AwQ= BQ==",
            &format!("Program {OUTER} consumed 50 of 200 compute units"),
            &format!("Program {OUTER} success"),
            &format!("Program {OUTER} invoke [1]"),
            &format!("Program {OUTER} consumed 7 of 150 compute units"),
            &format!("Program {OUTER} failed: custom program error: 0x1"),
        ]
        .map(str::to_owned)
        .to_vec();
        let parsed = parse(&logs);
        let costs: Vec<_> =
            parsed.instructions.iter().map(|cost| (cost.units, cost.name.as_deref())).collect();
        assert_eq!(costs, [(None, None), (Some(50), Some("Liquidate")), (Some(7), None)]);
        assert_eq!(
            parsed.data,
            [
                ProgramData { program: INNER, data: vec![1, 2] },
                ProgramData { program: OUTER, data: vec![3, 4, 5] },
            ]
        );
    }
}
