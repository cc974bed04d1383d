//! One module per command. Each prints for people, or JSON with `--json`.

use anyhow::Result;
use klend_model::reserve::{ReserveState, Status};
use serde_json::Value;
use solana_address::Address;

use crate::source::Source;

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
    pub source: Box<dyn Source>,
    pub json: bool,
}

/// Prints a report as JSON.
pub fn print_json(value: &Value) -> Result<()> {
    println!("{}", serde_json::to_string_pretty(value)?);
    Ok(())
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
