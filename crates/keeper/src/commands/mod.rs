//! One module per command. Each prints for people, or JSON with `--json`.

use std::{fs, io::Write as _, path::Path, sync::Arc};

use anyhow::{Context as _, Result};
use klend_model::reserve::{ReserveState, Status};
use serde_json::Value;
use solana_address::Address;

use crate::feeds::source::Source;

pub mod explain;
pub mod fork;
pub mod liquidate;
pub mod market;
pub mod obligation;
pub mod quote;
pub mod reserve;
pub mod scan;
pub mod setup;
pub mod watch;

/// What every command gets.
pub struct Context {
    pub source: Arc<dyn Source>,
    pub json: bool,
}

/// Prints a report as JSON.
pub fn print_json(value: &Value) -> Result<()> {
    println!("{}", serde_json::to_string_pretty(value)?);
    Ok(())
}

/// Writes a file that appears only when it is complete.
pub fn write_whole(path: &Path, text: &str) -> Result<()> {
    let shown = || path.display().to_string();
    let name = path.file_name().with_context(|| format!("{} is no file name", shown()))?;
    let partial = path.with_file_name(format!(".{}.partial", name.display()));
    let written = fs::File::create(&partial)
        .and_then(|mut file| {
            file.write_all(text.as_bytes())?;
            file.sync_all()
        })
        .and_then(|()| fs::rename(&partial, path));
    if written.is_err() {
        // What went wrong first is what the user wants to hear about.
        let _ = fs::remove_file(&partial);
    }
    written.with_context(shown)
}

/// A reserve's status in one word.
pub fn status(state: &ReserveState<'_>) -> String {
    match state.status() {
        Status::Active => "active".to_owned(),
        Status::Obsolete => "obsolete".to_owned(),
        Status::Hidden => "hidden".to_owned(),
        Status::Unknown(value) => format!("unknown ({value})"),
    }
}

/// An address, or a dash.
pub fn or_dash(key: Option<Address>) -> String {
    key.map_or_else(|| "-".to_owned(), |key| key.to_string())
}
