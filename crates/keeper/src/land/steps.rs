//! Many small things to do, several in one transaction.

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
/// Returns those that are not known to be done, and why. Where something else than the
/// chain stands in the way, nothing more is tried.
pub fn carry_out(rpc: &Rpc, key: &Key, steps: &[Step], at_once: usize) -> Vec<String> {
    let mut failed: Vec<String> = Vec::new();
    let mut in_the_way = None;
    for chunk in steps.chunks(at_once) {
        if let Some(why) = &in_the_way {
            failed.extend(chunk.iter().map(|step| format!("{}: not tried: {why}", step.what)));
            continue;
        }
        let send = |steps: &[Step]| {
            let all: Vec<Instruction> =
                steps.iter().flat_map(|step| step.instructions.clone()).collect();
            send_instructions(rpc, key, &all)
        };
        let Err(error) = send(chunk) else { continue };
        if !error.is::<Declined>() {
            in_the_way = Some(format!("{error:#}"));
        }
        for step in chunk {
            let alone = match &in_the_way {
                None if chunk.len() > 1 => match send(std::slice::from_ref(step)) {
                    Ok(_) => continue,
                    Err(alone) => {
                        if !alone.is::<Declined>() {
                            in_the_way = Some(format!("{alone:#}"));
                        }
                        format!("{alone:#}")
                    }
                },
                None => format!("{error:#}"),
                Some(why) => why.clone(),
            };
            failed.push(format!("{}: {alone}", step.what));
        }
    }
    failed
}
