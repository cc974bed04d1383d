//! Arguments of commands that look, and sign nothing.

use std::path::PathBuf;

use clap::{Args, ValueEnum};
use solana_address::Address;

use super::{AggregatorArgs, DiscoverArgs, MAIN_MARKET, TermsArgs};
use crate::ledger::report::By;

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Sort {
    /// Lowest health factor first.
    Distance,
    /// Highest profit first.
    Profit,
    /// Largest debt first.
    Debt,
}

#[derive(Debug, Args)]
pub struct ScanArgs {
    /// The market's address.
    #[arg(default_value = MAIN_MARKET)]
    pub market: Address,
    /// Order of the table.
    #[arg(long, value_enum, default_value_t = Sort::Distance)]
    pub sort: Sort,
    /// Rows to print.
    #[arg(long, default_value_t = 50)]
    pub limit: usize,
    /// Leave out debts worth less, US dollars.
    #[arg(long, value_name = "USD", default_value_t = 0.0)]
    pub min_debt: f64,
    /// Leave out health factors of this and more (1 = about to be liquidated).
    #[arg(long, value_name = "HEALTH")]
    pub below: Option<f64>,
    /// Leave out profits below this, US dollars; only what can be liquidated has
    /// one.
    #[arg(long, value_name = "USD")]
    pub min_profit: Option<f64>,
    /// Only obligations with a deposit in this reserve.
    #[arg(long, value_name = "RESERVE")]
    pub deposit: Option<Address>,
    /// Only obligations with a debt in this reserve.
    #[arg(long, value_name = "RESERVE")]
    pub borrow: Option<Address>,
    /// What selling the collateral is assumed to cost, bps of the oracle price.
    #[arg(long, value_name = "BPS", default_value_t = 30)]
    pub swap_cost_bps: u16,
    /// Highest flash-loan fee, bps.
    #[arg(long, value_name = "BPS", default_value_t = 10)]
    pub max_fee_bps: u16,
    /// A pool that collateral may be sold in; may be given several times. Obligations whose
    /// collateral none of them leads away from are marked and come last.
    #[arg(long = "pool", value_name = "POOL")]
    pub pools: Vec<Address>,
    #[command(flatten)]
    pub discover: DiscoverArgs,
    #[command(flatten)]
    pub aggregator: AggregatorArgs,
}

#[derive(Clone, Debug, Args)]
pub struct VenuesArgs {
    /// Reserve whose token is sold.
    #[arg(value_name = "COLLATERAL_RESERVE")]
    pub sold: Address,
    /// Reserve whose token is bought.
    #[arg(value_name = "DEBT_RESERVE")]
    pub bought: Address,
    /// What is sold, US dollars at the oracle's price.
    #[arg(long, value_name = "USD", default_value_t = 1_000)]
    pub usd: u64,
    /// Also look at this pool; may be given several times.
    #[arg(long = "pool", value_name = "POOL")]
    pub pools: Vec<Address>,
    /// Pools to print.
    #[arg(long, default_value_t = 20)]
    pub limit: usize,
}

#[derive(Debug, Args)]
pub struct DrillArgs {
    /// The market's address.
    #[arg(default_value = MAIN_MARKET)]
    pub market: Address,
    #[command(flatten)]
    pub terms: TermsArgs,
    /// Leave out debts worth less, US dollars.
    #[arg(long, value_name = "USD", default_value_t = 1.0)]
    pub min_debt: f64,
    /// What has to be left after all costs, US dollars; with less, it is too small.
    #[arg(long, value_name = "USD", default_value_t = 0.0)]
    pub min_profit: f64,
    /// Price of SOL in US dollars, where the market has none.
    #[arg(long, value_name = "USD")]
    pub sol_usd: Option<f64>,
    /// Lookup table of the keeper; may be given several times. Without one, one is made for
    /// each transaction.
    #[arg(long = "table", value_name = "TABLE")]
    pub tables: Vec<Address>,
    /// Rows to print; JSON has them all.
    #[arg(long, default_value_t = 50)]
    pub limit: usize,
    /// Also draw profit against price fall, what sells and what does not, to this file, as
    /// SVG.
    #[arg(long, value_name = "FILE")]
    pub svg: Option<PathBuf>,
}

#[derive(Debug, Args)]
pub struct RacesArgs {
    /// The market's address.
    #[arg(default_value = MAIN_MARKET)]
    pub market: Address,
    /// Look at the market's transactions of so many slots up to now.
    #[arg(long, value_name = "N", default_value_t = 1_000)]
    pub slots: u64,
    /// Transactions read at most.
    #[arg(long, value_name = "N", default_value_t = 2_000)]
    pub most: usize,
    /// Read transactions from a folder instead: JSON files, each an answer of
    /// `getTransaction`, of whatever market.
    #[arg(long, value_name = "DIR", conflicts_with_all = ["slots", "most"])]
    pub folder: Option<PathBuf>,
    /// The ledger of `watch`: adds what was tried here, and a table of what was lost to
    /// what by week.
    #[arg(long, value_name = "FILE")]
    pub ledger: Option<PathBuf>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum ExportFormat {
    Csv,
    Json,
}

#[derive(Debug, Args)]
pub struct ReportArgs {
    /// The ledger: what `ledger` names in the configuration of `watch`.
    #[arg(long, value_name = "FILE")]
    pub ledger: PathBuf,
    /// Only attempts since then: 24h, 7d, 2w, 2026-11-26 or "2026-11-26 08:00" (UTC).
    #[arg(long, value_name = "WHEN")]
    pub since: Option<String>,
    /// What attempts are put together by; by day, unless told otherwise.
    #[arg(long, value_enum)]
    pub by: Option<By>,
    /// Print every attempt with all its figures in place of the sums.
    #[arg(long, value_enum, value_name = "FORMAT", conflicts_with = "by")]
    pub export: Option<ExportFormat>,
    /// What could have been liquidated and was not tried, by reason, in place of attempts.
    #[arg(long, conflicts_with_all = ["by", "svg"])]
    pub declined: bool,
    /// Also draw profit after every cost over time to this file, as SVG.
    #[arg(long, value_name = "FILE")]
    pub svg: Option<PathBuf>,
}

#[derive(Debug, Args)]
#[command(group(clap::ArgGroup::new("what").required(true).args(["folder", "blocks"])))]
pub struct VerifyArgs {
    /// A recorded case, or a folder of them.
    #[arg(value_name = "FOLDER")]
    pub folder: Option<PathBuf>,
    /// Follow the market for so many slots; needs --rpc.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    pub blocks: Option<u64>,
    /// The market to follow.
    #[arg(long, default_value = MAIN_MARKET, conflicts_with = "folder")]
    pub market: Address,
    /// Record every case in this folder.
    #[arg(long, value_name = "DIR", requires = "blocks")]
    pub out: Option<PathBuf>,
}
