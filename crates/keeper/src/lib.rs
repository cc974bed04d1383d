//! The keeper: finds, quotes, simulates and sends klend flash liquidations.
//!
//! The binary `keeper` is [`cli::Cli`] handed to [`run`]. The library exists so
//! that its parts can be measured and tested.
//!
//! One layer hands to the next:
//!
//! ```text
//! feeds ──► book ──► judge ──► route ──► build ──► land ──► ledger
//! ```
//!
//! [`feeds`] bring updates and reads, `book` keeps the newest of everything,
//! [`judge`] finds who can be liquidated, `route` where the collateral is sold,
//! `build` makes the transaction, `land` sends it until its fate is known, and
//! `ledger` counts. `watch` is the loop over all of them, for which [`reader`] reads on
//! threads of its own; every command is one thin file over the same parts.

#![forbid(unsafe_code)]

use std::{io::Write as _, process::ExitCode, time::Duration};

use anyhow::Result;
use klend_model::{errors::Code, refusal::Refusal};

pub mod alerts;
pub mod book;
pub mod build;
pub mod cli;
mod commands;
pub mod config;
pub mod drill;
pub mod feeds;
mod format;
pub mod health;
pub mod judge;
pub mod keys;
pub mod klend;
pub mod land;
pub mod ledger;
mod plot;
pub mod program;
pub mod reader;
pub mod recording;
pub mod route;
mod serve;
pub mod trace;
pub mod verify;
pub mod watch;

use cli::{Cli, Command, SourceArgs};
use commands::Context;
use land::{attempt::Ending, deliver::Unknown};

/// The liquidation was not needed any more: no error, but nothing done either.
const EXIT_NOTHING_TO_DO: u8 = 3;
/// A transaction was sent, and whether it was executed is not known.
const EXIT_UNKNOWN: u8 = 4;

/// Runs a command and says how it ended; see the exit codes in `keeper --help`.
#[must_use]
pub fn run(cli: &Cli) -> ExitCode {
    match dispatch(cli) {
        Ok(Ending::Done) => ExitCode::SUCCESS,
        Ok(Ending::NothingToDo) => ExitCode::from(EXIT_NOTHING_TO_DO),
        Err(error) => {
            // Who cannot be told still gets the exit code.
            let _ = writeln!(std::io::stderr(), "error: {error:#}");
            let healthy = error
                .downcast_ref::<Refusal>()
                .and_then(Refusal::klend_error)
                .is_some_and(|error| error.lending_error() == Some(Code::ObligationHealthy));
            if healthy {
                ExitCode::from(EXIT_NOTHING_TO_DO)
            } else if error.is::<Unknown>() {
                ExitCode::from(EXIT_UNKNOWN)
            } else {
                ExitCode::FAILURE
            }
        }
    }
}

fn dispatch(cli: &Cli) -> Result<Ending> {
    let open = || -> Result<Context> {
        let SourceArgs { rpc, fork, klend, rpc_timeout } = &cli.source;
        let timeout = Duration::from_secs(*rpc_timeout);
        let source = feeds::source::open(rpc, fork.as_deref(), timeout, *klend)?;
        Ok(Context { source, klend: *klend, json: cli.json })
    };
    match &cli.command {
        Command::Explain { transaction } => {
            // A file needs no source.
            let context = if !cli.source.rpc.is_empty() { Some(open()?) } else { None };
            commands::explain::run(context.as_ref(), transaction, cli.json)?;
        }
        Command::Races(args) => {
            let context = if args.folder.is_none() { Some(open()?) } else { None };
            commands::races::run(context.as_ref(), args, cli.json)?;
        }
        Command::Reserve { reserve, svg } => {
            commands::reserve::run(&open()?, reserve, svg.as_deref())?;
        }
        Command::Market { market, at } => {
            commands::market::run(&open()?, market, at.as_deref())?;
        }
        Command::Obligation { obligation, svg } => {
            commands::obligation::run(&open()?, obligation, svg.as_deref())?;
        }
        Command::Scan(args) => commands::scan::run(&open()?, &args.market, args)?,
        Command::Drill(args) => commands::drill::run(&open()?, args)?,
        Command::Quote { obligation, keeper, terms, aggregator } => {
            commands::quote::run(&open()?, obligation, *keeper, terms, aggregator)?;
        }
        Command::Venues(args) => commands::venues::run(&open()?, args)?,
        Command::Liquidate(args) => return commands::liquidate::run(&open()?, args),
        Command::Perp(args) => return commands::perp::run(&open()?, args),
        Command::Setup(args) => commands::setup::run(&open()?, args)?,
        Command::Sweep(args) => commands::sweep::run(&open()?, args)?,
        Command::Unwrap(args) => return commands::unwrap::run(&open()?, args),
        Command::Redeem(args) => return commands::redeem::run(&open()?, args),
        Command::Watch(args) => commands::watch::run(&open()?, args)?,
        // A recording needs no source.
        Command::Replay(args) => commands::replay::run(args, cli.json)?,
        Command::Status { at } => commands::status::run(at, cli.json)?,
        Command::Report(args) => commands::report::run(args, cli.json)?,
        Command::Program { program } => commands::program::run(&open()?, program.as_ref())?,
        Command::Completions { shell } => commands::shell::completions(*shell)?,
        Command::Man { out } => commands::shell::man(out.as_deref())?,
        Command::Verify(args) => {
            // A folder needs no source.
            let context = if args.blocks.is_some() { Some(open()?) } else { None };
            commands::verify::run(context.as_ref(), args, &cli.source, cli.json)?;
        }
        Command::Fork { obligation, market, out } => {
            commands::fork::run(&open()?, obligation.as_ref(), market.as_ref(), out)?;
        }
    }
    Ok(Ending::Done)
}
