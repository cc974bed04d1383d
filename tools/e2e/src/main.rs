//! The keeper and a deployment against a validator: the keeper's commands over
//! RPC, as a user runs them, on a local cluster with klend's accounts and the programs;
//! then what a deployer does. Checks what the chain says afterwards, prints a table, and
//! fails when a step does. `cargo xtask e2e` builds what is needed and runs it.

#![forbid(unsafe_code)]

mod chain;
mod deployment;
mod distance;
mod keeper;
mod liquidations;
mod oracle;
mod positions;
mod processes;
mod report;
mod scene;
mod server;
mod soak;

use std::{path::PathBuf, process::ExitCode, time::Duration};

use anyhow::{Context, Result};
use clap::Parser;

use crate::{report::Report, scene::Scene, server::Server};

/// Faults at random in a run that does everything.
const SHORT_SOAK: Duration = Duration::from_secs(30);

/// Run the keeper and a deployment against a local validator
#[derive(Debug, Parser)]
#[command(name = "e2e", bin_name = "cargo xtask e2e", version)]
struct Args {
    /// The validator that tools/e2e-validator builds
    #[arg(long, env = "E2E_VALIDATOR")]
    validator: PathBuf,
    /// The keeper
    #[arg(long, env = "E2E_KEEPER")]
    keeper: PathBuf,
    /// The folder of deploy.ts, with its packages installed
    #[arg(long, env = "E2E_MIGRATIONS")]
    migrations: PathBuf,
    /// Length of a slot, ticks of 6.25 ms: 32, and 64 for a soak, which leaves two cores
    /// some time for two keepers
    #[arg(long, value_parser = clap::value_parser!(u64).range(1..=64))]
    ticks_per_slot: Option<u64>,
    /// Stop everything and fail after so many minutes; a soak's come on top
    #[arg(long, default_value_t = 15)]
    minutes: u64,
    /// Nothing but the soak, with so many minutes of faults at random
    #[arg(long, value_name = "MINUTES", conflicts_with = "serve")]
    soak: Option<u64>,
    /// Write the soak's log to this file
    #[arg(long, value_name = "FILE")]
    log: Option<PathBuf>,
    /// Obligations in the soak: 24, and 120 where nothing else is done
    #[arg(long)]
    crowd: Option<usize>,
    /// Kinds of faults that happen by themselves in the soak: 2, and all where nothing else
    /// is done
    #[arg(long, value_name = "KINDS")]
    alone: Option<usize>,
    /// Chooses the soak's faults and prices
    #[arg(long, default_value_t = 18)]
    seed: u64,
    /// Keep the folder with the ledger and the validator's log
    #[arg(long)]
    keep: bool,
    /// Test nothing: publish prices and wait, for whoever wants a cluster with klend on
    /// it, until interrupted or out of time
    #[arg(long)]
    serve: bool,
}

fn main() -> ExitCode {
    let args = Args::parse();
    match run(&args) {
        Ok(report) => {
            println!("\n{report}");
            if report.passed() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
        }
        Err(error) => {
            eprintln!("e2e: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(args: &Args) -> Result<Report> {
    let minutes = args.minutes + args.soak.unwrap_or(0);
    processes::stop_on_signals_and_after(Duration::from_secs(minutes * 60))?;
    let is_soak = args.soak.is_some();
    let ticks_per_slot = args.ticks_per_slot.unwrap_or(if is_soak { 64 } else { 32 });
    let crowd = args.crowd.unwrap_or(if is_soak { 120 } else { 24 });
    let mut folder = tempfile::Builder::new().prefix("klend-e2e-").tempdir()?;
    folder.disable_cleanup(args.keep);
    if args.keep {
        eprintln!("e2e: everything is kept in {}", folder.path().display());
    }

    let mut report = Report::default();
    let mut scene = Scene::new(folder.path(), crowd).context("the cluster's first accounts")?;
    let server = report.step("start a validator", || {
        let server = Server::start(&args.validator, &scene, ticks_per_slot)?;
        let seen = format!("{}, slot {}", server.chain.version()?, server.chain.slot()?);
        Ok((server, seen))
    });
    let Some(server) = server else { return Ok(report) };
    if args.serve {
        let _oracle = oracle::Oracle::start(&scene, &server.url)?;
        println!("RPC node  {}", server.url);
        println!("keeper    {}", scene.keeper_file.display());
        println!("deployer  {}", scene.deployer_file.display());
        loop {
            std::thread::park();
        }
    }
    let plan = soak::Plan {
        length: args.soak.map_or(SHORT_SOAK, |minutes| Duration::from_secs(minutes * 60)),
        alone: args.alone.unwrap_or(if is_soak { usize::MAX } else { 2 }),
        seed: args.seed,
        ticks_per_slot,
        log: args.log.clone(),
    };
    if !is_soak {
        liquidations::run(&mut report, &mut scene, &server, &args.keeper);
    }
    soak::run(&mut report, &scene, &server, &args.keeper, &plan);
    if !is_soak {
        deployment::run(&mut report, &scene, &server, &args.migrations);
    }
    report.step("stop the validator", || Ok(((), server.stop()?)));
    Ok(report)
}
