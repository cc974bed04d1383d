//! Arguments of commands that run the loop.

use std::path::PathBuf;

use clap::Args;

#[derive(Debug, Args)]
pub struct WatchArgs {
    /// Configuration file (TOML); without one, defaults and no sending.
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// Stop after the market was valued so many times.
    #[arg(long, value_name = "N")]
    pub passes: Option<u64>,
    /// Only read the configuration and say what is wrong with it.
    #[arg(long)]
    pub check: bool,
    /// Record what the loop is told in this new file, for `keeper replay`.
    #[arg(long, value_name = "FILE")]
    pub record: Option<PathBuf>,
    /// End the recording when the file is so large, MiB.
    #[arg(long, value_name = "MIB", requires = "record", default_value_t = 4_096)]
    pub record_limit: u64,
}

#[derive(Debug, Args)]
pub struct ReplayArgs {
    /// The recording.
    pub recording: PathBuf,
    /// Configuration of the run that recorded, or another one for the same markets; only
    /// what it says of the markets and of liquidating them counts.
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// Keep the ledger in this new file.
    #[arg(long, value_name = "FILE")]
    pub ledger: Option<PathBuf>,
}
