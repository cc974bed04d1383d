//! Many small things to do, several in one transaction.

use anyhow::Result;
use solana_instruction::Instruction;

use super::attempt::{Declined, send_instructions};
use crate::{feeds::source::Rpc, keys::Key};

/// Something to do, and its name.
pub struct Step {
    /// For people.
    pub what: String,
    /// How it is done.
    pub instructions: Vec<Instruction>,
}

/// Does steps, so many in one transaction; where the chain declines that, each alone, once.
/// Returns those that it declines then, and why.
///
/// # Errors
/// Something else than the chain stands in the way; what was done until then is done.
pub fn carry_out(rpc: &Rpc, key: &Key, steps: &[Step], at_once: usize) -> Result<Vec<String>> {
    let mut failed = Vec::new();
    for chunk in steps.chunks(at_once) {
        let send = |steps: &[Step]| {
            let all: Vec<Instruction> =
                steps.iter().flat_map(|step| step.instructions.clone()).collect();
            send_instructions(rpc, key, &all)
        };
        let Err(error) = send(chunk) else { continue };
        if !error.is::<Declined>() {
            return Err(error);
        }
        for step in chunk {
            let alone = if chunk.len() == 1 {
                format!("{error:#}")
            } else {
                match send(std::slice::from_ref(step)) {
                    Ok(_) => continue,
                    Err(error) if error.is::<Declined>() => format!("{error:#}"),
                    Err(error) => return Err(error),
                }
            };
            failed.push(format!("{}: {alone}", step.what));
        }
    }
    Ok(failed)
}
