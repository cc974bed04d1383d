use anyhow::Result;
use flash_liquidator_client::receiver;
use serde_json::json;
use solana_address::Address;

use super::{Context, print_json};
use crate::{feeds::source::KLEND, format::Section, klend::known, program::Deployed};

/// `keeper program`.
pub fn run(context: &Context, program: Option<&Address>) -> Result<()> {
    let program = program.unwrap_or(&receiver::PROGRAM_ID);
    let Deployed { program, bytes, hash, authority, slot } =
        Deployed::read(&*context.source, program)?;
    let build = (program == KLEND).then(|| known(&hash));
    let build = build.map(|known| known.map_or("not known", |(name, _)| name));
    if context.json {
        return print_json(&json!({
            "program": program.to_string(),
            "bytes": bytes,
            "hash": hash.to_string(),
            "authority": authority.to_string(),
            "slot": slot,
            "klendBuild": build,
        }));
    }
    let mut section = Section::new(format!("Program {program}"));
    section.row("executable", format!("{bytes} bytes"));
    section.row("program_hash", hash.to_string());
    if let Some(build) = build {
        section.row("klend build", build);
    }
    section.row("program_authority", authority.to_string());
    section.row("deployed", slot.map_or("-".to_owned(), |slot| format!("slot {slot}")));
    section.print();
    Ok(())
}
