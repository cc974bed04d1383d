//! The keeper and a deployment against a validator: the keeper's commands over
//! RPC, as a user runs them, on a local cluster with klend's accounts and the programs;
//! then what a deployer does. Checks what the chain says afterwards, prints a table, and
//! fails when a step does. `cargo xtask e2e` builds what is needed and runs it.

#![forbid(unsafe_code)]

mod chain;
mod deployment;
mod keeper;
mod liquidations;
mod oracle;
mod processes;
mod report;
mod scene;
mod server;

use std::{path::PathBuf, process::ExitCode, time::Duration};

use anyhow::{Context, Result};
use clap::Parser;

use crate::{report::Report, scene::Scene, server::Server};

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
    /// Length of a slot, ticks of 6.25 ms. Shorter ones shorten the wait for a lookup
    /// table's retirement
    #[arg(long, default_value_t = 32, value_parser = clap::value_parser!(u64).range(1..=64))]
    ticks_per_slot: u64,
    /// Stop everything and fail after so many minutes
    #[arg(long, default_value_t = 15)]
    minutes: u64,
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
    processes::stop_on_signals_and_after(Duration::from_secs(args.minutes * 60))?;
    let mut folder = tempfile::Builder::new().prefix("klend-e2e-").tempdir()?;
    folder.disable_cleanup(args.keep);
    if args.keep {
        eprintln!("e2e: everything is kept in {}", folder.path().display());
    }

    let mut report = Report::default();
    let mut scene = Scene::new(folder.path()).context("the cluster's first accounts")?;
    let server = report.step("start a validator", || {
        let server = Server::start(&args.validator, &scene, args.ticks_per_slot)?;
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
    liquidations::run(&mut report, &mut scene, &server, &args.keeper);
    deployment::run(&mut report, &scene, &server, &args.migrations);
    report.step("stop the validator", || Ok(((), server.stop()?)));
    Ok(report)
}
