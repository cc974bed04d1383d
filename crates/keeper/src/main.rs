//! `keeper`: finds, quotes, simulates and sends klend flash liquidations.

#![forbid(unsafe_code)]

use std::{io::IsTerminal, process::ExitCode};

use anyhow::Result;
use clap::Parser;
use klend_model::{errors::Code, refusal::Refusal};

mod cli;
mod commands;
mod config;
mod format;
mod keys;
mod market;
mod metrics;
mod plan;
mod plot;
mod source;
mod tracker;
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
        Command::Setup(args) => commands::setup::run(&open()?, args)?,
        Command::Watch { config, passes } => {
            start_logging(cli.json);
            commands::watch::run(&open()?, config.as_deref(), *passes)?;
        }
        Command::Fork { obligation, market, out } => {
            commands::fork::run(&open()?, obligation.as_ref(), market.as_ref(), out)?;
        }
    }
    Ok(Ending::Done)
}

/// Logs of `watch` go to standard error; `RUST_LOG` chooses, JSON with `--json`.
fn start_logging(json: bool) {
    let filter = tracing_subscriber::EnvFilter::try_from_default_env()
        .unwrap_or_else(|_| tracing_subscriber::EnvFilter::new("keeper=info"));
    let builder = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr);
    if json {
        builder.json().init();
    } else {
        let color = std::env::var_os("NO_COLOR").is_none() && std::io::stderr().is_terminal();
        builder.with_ansi(color).init();
    }
}
