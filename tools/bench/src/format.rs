//! How figures are written.

use comfy_table::{CellAlignment, Table, presets::ASCII_MARKDOWN};
use indicatif::{HumanBytes, HumanCount};

/// A Markdown table whose columns but the first are numbers.
pub fn table(header: &[&str]) -> Table {
    let mut table = Table::new();
    table.load_preset(ASCII_MARKDOWN).set_header(header);
    for column in table.column_iter_mut().skip(1) {
        column.set_cell_alignment(CellAlignment::Right);
    }
    table
}

/// `1,234`.
pub fn count(value: u64) -> String {
    HumanCount(value).to_string()
}

/// `3.28 KiB`.
pub fn bytes(value: f64) -> String {
    HumanBytes(value as u64).to_string()
}
