//! One module per command. Each prints for people, or JSON with `--json`.

use std::{fs, io::Write as _, path::Path, sync::Arc};

use anyhow::{Context as _, Result};
use klend_interface::state::LendingMarket;
use klend_model::{
    constants::permissioned_ops,
    keys,
    reserve::{ReserveState, Status},
    version::KlendVersion,
};
use serde_json::Value;
use solana_address::Address;

use crate::feeds::source::Source;

pub mod drill;
pub mod explain;
pub mod fork;
pub mod liquidate;
pub mod market;
pub mod obligation;
pub mod offers;
pub mod perp;
pub mod program;
pub mod quote;
pub mod races;
pub mod redeem;
pub mod replay;
pub mod report;
pub mod reserve;
pub mod scan;
pub mod setup;
pub mod shell;
pub mod status;
pub mod story;
pub mod sweep;
pub mod unwrap;
pub mod venues;
pub mod verify;
pub mod watch;

/// What every command gets.
pub struct Context {
    pub source: Arc<dyn Source>,
    /// The klend it is taken for, where the operator says so.
    pub klend: Option<KlendVersion>,
    pub json: bool,
}

/// Prints a report as JSON.
pub fn print_json(value: &Value) -> Result<()> {
    print_all(&format!("{}\n", serde_json::to_string_pretty(value)?))
}

/// Prints what somebody may stop reading in the middle: an error then, and no panic.
pub fn print_all(text: &str) -> Result<()> {
    std::io::stdout().write_all(text.as_bytes()).context("standard output")
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

/// Which klend, and how sure that is.
pub fn klend(version: KlendVersion) -> String {
    match version.caveat() {
        Some(caveat) => format!("{version}: {caveat}"),
        None => version.to_string(),
    }
}

/// Who has to sign what, where a market has a permissioner; `None` where nothing
/// needs it.
pub fn permissioner(market: &LendingMarket, ops: u64) -> Option<String> {
    const NAMES: [(u64, &str); 3] = [
        (permissioned_ops::DEPOSIT, "deposits"),
        (permissioned_ops::BORROW, "borrows"),
        (permissioned_ops::LIQUIDATE, "liquidations"),
    ];
    let authority = keys::some(&market.permissioning_authority)?;
    let gated: Vec<&str> =
        NAMES.iter().filter(|(bit, _)| ops & bit != 0).map(|(_, name)| *name).collect();
    let unknown = ops & !NAMES.iter().fold(0, |known, (bit, _)| known | bit);
    let mut text = gated.join(", ");
    if unknown != 0 {
        text.push_str(&format!(" and unknown bits {unknown:#b}"));
    }
    (ops != 0).then(|| format!("{authority} must sign {}", text.trim_start_matches(" and ")))
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
