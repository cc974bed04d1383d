//! `keeper`: finds, quotes, simulates and sends klend flash liquidations.

#![forbid(unsafe_code)]

use std::process::ExitCode;

use anyhow::Result;
use clap::Parser;
use klend_model::{errors::Code, refusal::Refusal};

mod cli;
mod commands;
mod format;
mod keys;
mod market;
mod plan;
mod plot;
mod source;
mod venue;

use cli::{Cli, Command};
use commands::{Context, liquidate::Ending};

/// The liquidation was not needed any more: no error, but nothing done either.
const EXIT_NOTHING_TO_DO: u8 = 3;

fn main() -> ExitCode {
    match run(Cli::parse()) {
        Ok(Ending::Done) => ExitCode::SUCCESS,
        Ok(Ending::NothingToDo) => ExitCode::from(EXIT_NOTHING_TO_DO),
        Err(error) => {
            eprintln!("error: {error:#}");
            let healthy = error
                .downcast_ref::<Refusal>()
                .and_then(Refusal::klend_error)
                .is_some_and(|error| matches!(error.lending_error(), Code::ObligationHealthy));
            if healthy { ExitCode::from(EXIT_NOTHING_TO_DO) } else { ExitCode::FAILURE }
        }
    }
}

fn run(cli: Cli) -> Result<Ending> {
    let open = || -> Result<Context> {
        let source = source::open(cli.source.rpc.as_deref(), cli.source.fork.as_deref())?;
        Ok(Context { source, json: cli.json })
    };
    match &cli.command {
        Command::Explain { transaction } => {
            // A file needs no source.
            let context = if cli.source.rpc.is_some() { Some(open()?) } else { None };
            commands::explain::run(context.as_ref(), transaction, cli.json)?;
        }
        Command::Reserve { reserve } => commands::reserve::run(&open()?, reserve)?,
        Command::Market { market } => commands::market::run(&open()?, market)?,
        Command::Obligation { obligation } => commands::obligation::run(&open()?, obligation)?,
        Command::Scan(args) => commands::scan::run(&open()?, &args.market, args)?,
        Command::Quote { obligation, terms } => {
            commands::quote::run(&open()?, obligation, terms)?;
        }
        Command::Liquidate(args) => return commands::liquidate::run(&open()?, args),
        Command::Fork { obligation, market, out } => {
            commands::fork::run(&open()?, obligation.as_ref(), market.as_ref(), out)?;
        }
    }
    Ok(Ending::Done)
}
