//! Opens a position on a forked klend, makes it unhealthy, and flash-liquidates
//! it through the receiver in one transaction. Every figure shown is read from
//! accounts, from the transaction's outcome or from the receiver's event.

#![forbid(unsafe_code)]

mod report;
mod scenario;

use std::{path::PathBuf, process::ExitCode};

use clap::Parser;

/// Flash-liquidate a position on a forked klend and show what happened.
#[derive(Debug, Parser)]
#[command(name = "demo", bin_name = "cargo xtask demo", version)]
pub struct Args {
    /// Fork folder to run on, instead of the built-in main-market figures
    #[arg(long, value_name = "DIR")]
    fork: Option<PathBuf>,
    /// Symbol of the reserve that the position deposits into
    #[arg(long, default_value = "SOL")]
    collateral: String,
    /// Symbol of the reserve that the position borrows from
    #[arg(long, default_value = "USDC")]
    debt: String,
    /// How far the collateral's price falls, percent
    #[arg(long, default_value_t = 20, value_parser = clap::value_parser!(u8).range(0..100))]
    drop: u8,
    /// Size of the position, collateral tokens; may have a fraction
    #[arg(long, default_value_t = 1_000.0, value_parser = size, allow_negative_numbers = true)]
    size: f64,
    /// Worth of each side of the pool that the collateral is sold in, USD
    #[arg(long, default_value_t = 50_000_000, value_name = "USD")]
    pool_depth: u64,
    /// Fee of that pool, bps
    #[arg(long, default_value_t = 10, value_parser = clap::value_parser!(u16).range(0..=10_000))]
    pool_fee_bps: u16,
    /// Least profit to accept, raw units of the debt token
    #[arg(long, default_value_t = 0, allow_negative_numbers = true)]
    min_profit: i64,
    /// Print one JSON object instead of tables
    #[arg(long)]
    json: bool,
}

fn size(text: &str) -> Result<f64, String> {
    match text.parse::<f64>() {
        Ok(size) if size.is_finite() && size > 0.0 => Ok(size),
        _ => Err(format!("{text} is not a number of tokens above 0")),
    }
}

fn main() -> ExitCode {
    let args = Args::parse();
    match scenario::run(&args) {
        Ok(report) if args.json => match serde_json::to_string_pretty(&report) {
            Ok(json) => {
                println!("{json}");
                ExitCode::SUCCESS
            }
            Err(error) => fail(&error.into(), true),
        },
        Ok(report) => {
            print!("{report}");
            ExitCode::SUCCESS
        }
        Err(error) => fail(&error, args.json),
    }
}

fn fail(error: &anyhow::Error, json: bool) -> ExitCode {
    if json {
        println!("{}", serde_json::json!({ "error": format!("{error:#}") }));
    } else {
        eprintln!("not liquidated: {error:#}");
    }
    ExitCode::FAILURE
}
