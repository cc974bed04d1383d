//! A local cluster of one Agave validator, for `cargo xtask e2e`.
//!
//! Reads one line of JSON from standard input ([`Genesis`]), starts, writes one line of
//! JSON to standard output ([`Address`]), and runs until standard input ends: it cannot
//! outlive the program that started it. Its log goes to standard error; `RUST_LOG`
//! chooses.

use std::{
    io::{BufRead, Write},
    net::{IpAddr, Ipv4Addr},
    path::PathBuf,
    process, thread,
    time::Duration,
};

use anyhow::{Context, Result, anyhow};
use serde::{Deserialize, Serialize};
use solana_keypair::Keypair;
use solana_pubkey::Pubkey;
use solana_rpc::rpc::JsonRpcConfig;
use solana_sdk_ids::bpf_loader_upgradeable;
use solana_signer::Signer;
use solana_test_validator::{TestValidatorGenesis, UpgradeableProgramInfo};

/// A bound for a validator that does not come to an end by itself.
const SHUTDOWN: Duration = Duration::from_secs(15);

/// What the cluster begins with.
#[derive(Deserialize)]
struct Genesis {
    /// Folder for the ledger; must be empty.
    ledger: PathBuf,
    /// Folder of accounts, `ADDRESS.json` each.
    accounts: PathBuf,
    programs: Vec<Program>,
    /// At 6.25 ms each.
    ticks_per_slot: u64,
}

#[derive(Deserialize)]
struct Program {
    id: String,
    elf: PathBuf,
    upgrade_authority: String,
}

/// Where the validator listens.
#[derive(Serialize)]
struct Address {
    /// URL of the RPC interface; the websocket's port is the next one, as everywhere.
    rpc: String,
}

fn main() -> Result<()> {
    agave_logger::setup_with_default("error");
    let mut input = std::io::stdin().lock();
    let mut line = String::new();
    input.read_line(&mut line)?;
    let genesis: Genesis = serde_json::from_str(&line).context("the line on standard input")?;

    let programs = genesis
        .programs
        .iter()
        .map(|program| {
            Ok(UpgradeableProgramInfo {
                program_id: key(&program.id)?,
                loader: bpf_loader_upgradeable::ID,
                upgrade_authority: key(&program.upgrade_authority)?,
                program_path: program.elf.clone(),
            })
        })
        .collect::<Result<Vec<_>>>()?;

    let mut config = TestValidatorGenesis::default();
    config.max_genesis_archive_unpacked_size = Some(1 << 30);
    config.max_ledger_shreds = Some(20_000_000);
    config
        .ledger_path(&genesis.ledger)
        .bind_ip_addr(IpAddr::V4(Ipv4Addr::LOCALHOST))
        // Any free one.
        .gossip_port(0)
        .ticks_per_slot(genesis.ticks_per_slot)
        .rpc_config(JsonRpcConfig {
            enable_rpc_transaction_history: true,
            // Logs, which events are in.
            enable_extended_tx_metadata_storage: true,
            ..JsonRpcConfig::default_for_test()
        })
        // A test validator begins with all features, and with this one nothing can be
        // deployed that was built for an sBPF version below 3.
        .deactivate_features(&[agave_feature_set::disable_sbpf_v0_v1_v2_deployment::id()])
        .add_upgradeable_programs_with_path(&programs);
    config
        .add_accounts_from_directories([genesis.accounts.display().to_string()])
        .map_err(|reason| anyhow!("{}: {reason}", genesis.accounts.display()))?;

    // The supply goes to a key that is forgotten: all wallets are among the accounts.
    let validator = config
        .start_with_mint_address(
            Keypair::new().pubkey(),
            solana_net_utils::SocketAddrSpace::new(true),
        )
        .map_err(|reason| anyhow!("the validator did not start: {reason}"))?;
    let address = Address { rpc: validator.rpc_url() };
    let mut output = std::io::stdout().lock();
    writeln!(output, "{}", serde_json::to_string(&address)?)?;
    output.flush()?;

    // Until the end of standard input.
    std::io::copy(&mut input, &mut std::io::sink())?;
    thread::spawn(|| {
        thread::sleep(SHUTDOWN);
        process::exit(0);
    });
    drop(validator);
    Ok(())
}

fn key(text: &str) -> Result<Pubkey> {
    text.parse().map_err(|_| anyhow!("{text:?} is not an address"))
}
