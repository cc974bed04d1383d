use std::{
    path::Path,
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, bail};
use flash_liquidator_client::{
    budget::check_v0,
    decode::{Decoded, Event, Executed, Outcome, Witness, decode},
    lookup_table,
    receiver::Liquidated,
    transaction::{compile_v0, wire_bytes},
};
use klend_fork::World;
use klend_model::accounts;
use serde_json::{Value, json};
use solana_account::Account;
use solana_address::Address;
use solana_instruction::Instruction;
use solana_keypair::Keypair;
use solana_message::AddressLookupTableAccount;
use solana_signer::Signer;
use solana_transaction::versioned::VersionedTransaction;

use super::{
    Context,
    explain::{Report, decoded_json, print_decoded},
    print_json, quote,
};
use crate::{
    cli::LiquidateArgs,
    format::{Section, bad, good, table, tokens},
    keys,
    plan::{Plan, Position},
    source::{Rpc, Source},
};

/// Genesis hash of mainnet.
const MAINNET_GENESIS: &str = "5eykt4UsFv8P8NJdTREpY1vzqKqZKvdpKuc147dw2N9d";

/// Lamports of the keeper that stands in where none is given: 100 SOL.
const SIMULATED_LAMPORTS: u64 = 100_000_000_000;

/// Pause between two looks at a transaction that was sent.
const POLL: Duration = Duration::from_millis(500);
/// Pause between two times the same bytes are sent.
const RESEND: Duration = Duration::from_secs(2);

/// How a command ended that found nothing wrong with itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ending {
    /// It did what it was asked.
    Done,
    /// Somebody was faster, or the position recovered.
    NothingToDo,
}

/// `keeper liquidate`.
pub fn run(context: &Context, args: &LiquidateArgs) -> Result<Ending> {
    let source = &*context.source;
    let sends = source.rpc().filter(|_| !args.dry_run);
    let keypair = load_keypair(args.keypair.as_deref(), sends.is_some())?;
    if let Some(rpc) = sends {
        require_consent(rpc, args.yes, "--yes")?;
    }
    let position = Position::load(source, &args.obligation, &args.terms)?;
    let mut plan = Plan::new(source, &position, &keypair.pubkey(), args)?;
    let simulation = simulate(source, &plan, &keypair, &args.tables)?;
    let mut report = json!({
        "quote": quote::as_json(&position, &plan.best),
        "simulation": simulation.as_json(),
    });
    if !context.json {
        quote::print(&position, &plan.best, &args.terms)?;
        simulation.print(&plan)?;
    }
    let mut outcome = simulation.decoded.outcome.clone();
    if let (Some(rpc), Outcome::Succeeded) = (sends, &outcome) {
        plan.limit_units(simulation.units);
        let sent = send(rpc, &plan, &keypair, &args.tables)?;
        outcome = outcome_of(rpc, &position, &sent.decoded)?;
        report["transaction"] = sent.as_json();
        if !context.json {
            sent.print()?;
        }
    }
    if context.json {
        print_json(&report)?;
    }
    match outcome {
        Outcome::Succeeded => Ok(Ending::Done),
        Outcome::LostRace(_) | Outcome::HealthyAgain(_) => Ok(Ending::NothingToDo),
        Outcome::Failed(failure) => bail!("{}", failure.cause.explain()),
    }
}

/// What came of one liquidation.
pub struct Attempt {
    /// What was executed, or simulated where nothing was sent.
    pub decoded: Decoded,
    /// Signature of the transaction that was sent.
    pub signature: Option<String>,
}

/// Plans, simulates and, unless `args` say otherwise, sends one liquidation
/// without printing anything.
pub fn attempt(
    source: &dyn Source,
    position: &Position,
    keypair: &Keypair,
    args: &LiquidateArgs,
) -> Result<Attempt> {
    let mut plan = Plan::new(source, position, &keypair.pubkey(), args)?;
    let simulation = simulate(source, &plan, keypair, &args.tables)?;
    let mut decoded = simulation.decoded;
    let Some(rpc) = source.rpc().filter(|_| !args.dry_run) else {
        return Ok(Attempt { decoded, signature: None });
    };
    if decoded.outcome != Outcome::Succeeded {
        return Ok(Attempt { decoded, signature: None });
    }
    plan.limit_units(simulation.units);
    let sent = send(rpc, &plan, keypair, &args.tables)?;
    decoded.outcome = outcome_of(rpc, position, &sent.decoded)?;
    decoded.events.clone_from(&sent.decoded.events);
    Ok(Attempt { decoded, signature: sent.signature })
}

/// The key that signs: a real one where something is sent or a file is named,
/// otherwise one that only signs simulations.
pub fn load_keypair(path: Option<&Path>, sends: bool) -> Result<Keypair> {
    if path.is_none() && !sends { Ok(keys::simulated()) } else { keys::load(path) }
}

/// Fails on mainnet unless sending there was asked for.
pub fn require_consent(rpc: &Rpc, consent: bool, how: &str) -> Result<()> {
    if !consent && rpc.genesis_hash()? == MAINNET_GENESIS {
        bail!(
            "this is mainnet: to send, say so with {how}; without sending, everything is simulated"
        );
    }
    Ok(())
}

/// How a transaction ended, with a second look at the obligation after a
/// failure, to tell a lost race from a recovery.
fn outcome_of(rpc: &Rpc, position: &Position, decoded: &Decoded) -> Result<Outcome> {
    let Some(failure) = decoded.outcome.failure() else { return Ok(Outcome::Succeeded) };
    let account = rpc.accounts(&[position.key])?.pop().flatten();
    let after = match &account {
        Some(account) => Some(accounts::obligation(&position.key, &account.owner, &account.data)?),
        None => None,
    };
    let witness = Witness { before: position.obligation()?, after };
    Ok(Outcome::of(failure.clone(), Some(witness)))
}

/// A liquidation in a local virtual machine.
struct Simulation {
    decoded: Decoded,
    units: u64,
    bytes: usize,
    made_table: bool,
}

fn simulate(
    source: &dyn Source,
    plan: &Plan<'_>,
    keypair: &Keypair,
    tables: &[Address],
) -> Result<Simulation> {
    let instructions = plan.instructions()?;
    let mut keys = mentioned(&instructions);
    keys.push(keypair.pubkey());
    let mut world: World = source.world(&keys)?;
    if world.account(&keypair.pubkey()).is_none() {
        let wallet = Account {
            lamports: SIMULATED_LAMPORTS,
            owner: solana_sdk_ids::system_program::ID,
            ..Account::default()
        };
        world.set_account(&keypair.pubkey(), wallet)?;
    }
    let mut loaded = lookup_tables(source, &[tables, &plan.route_tables].concat())?;
    for table in &loaded {
        let account = source.account("lookup table", &table.key)?;
        world.set_account(&table.key, account)?;
    }
    let made_table = loaded.is_empty();
    if made_table {
        loaded.push(world.table_for(&instructions, &keypair.pubkey())?);
    }
    let programs: Vec<Address> = instructions.iter().map(|ix| ix.program_id).collect();
    let (error, outcome) = match world.send_v0(&instructions, &[keypair], &loaded) {
        Ok(outcome) => (None, outcome),
        Err(error) => match error.failure() {
            Some(failure) => (Some(failure.error.clone()), failure.outcome.clone()),
            None => return Err(error.into()),
        },
    };
    let executed = Executed { error: error.as_ref(), logs: &outcome.logs, programs: &programs };
    Ok(Simulation {
        decoded: decode(&executed, None),
        units: outcome.units,
        bytes: outcome.bytes,
        made_table,
    })
}

impl Simulation {
    fn event(&self) -> Option<&Liquidated> {
        self.decoded.events.iter().find_map(|event| match event {
            Event::Liquidated(event) => Some(&**event),
            Event::Settled(_) => None,
        })
    }

    /// Quote and simulation side by side.
    fn print(&self, plan: &Plan<'_>) -> Result<()> {
        let Some(event) = self.event() else {
            print_decoded(&self.decoded);
            return Ok(());
        };
        let best = &plan.best;
        let rows = [
            ("debt repaid", i128::from(best.quote.repay), i128::from(event.debt_repaid)),
            (
                "collateral received",
                i128::from(best.quote.received),
                i128::from(event.collateral_received),
            ),
            ("klend's fee", i128::from(best.quote.protocol_fee), i128::from(event.protocol_fee)),
            ("flash fee", i128::from(plan.flash_fee), i128::from(event.flash_fee)),
            ("swap proceeds", i128::from(best.swapped), i128::from(event.swap_proceeds)),
            ("profit", plan.profit(), i128::from(event.profit)),
        ];
        let rows = rows.iter().map(|(what, quoted, simulated)| {
            let difference = simulated - quoted;
            vec![
                (*what).to_owned(),
                quoted.to_string(),
                simulated.to_string(),
                if difference == 0 { good("0") } else { bad(&format!("{difference:+}")) },
            ]
        });
        println!(
            "{}",
            table(&["raw units", "quote", "simulation", "difference"], 1, rows.collect())
        );
        let mut section = Section::new("\nTransaction");
        section
            .row(
                "flash loan",
                format!("{} raw units, the margin included", tokens(plan.flash_amount, 0)),
            )
            .row("compute units", tokens(self.units, 0))
            .row("bytes", format!("{} of 1,232", tokens(self.bytes as u64, 0)))
            .row(
                "lookup table",
                if self.made_table {
                    "made for the simulation; to send, give one with --table"
                } else {
                    "given"
                },
            );
        section.print();
        Ok(())
    }

    fn as_json(&self) -> Value {
        let mut value = decoded_json(&self.decoded);
        value["computeUnits"] = json!(self.units);
        value["bytes"] = json!(self.bytes);
        value["lookupTableMade"] = json!(self.made_table);
        value
    }
}

/// Every account the instructions name, programs included, each once.
fn mentioned(instructions: &[Instruction]) -> Vec<Address> {
    let mut keys: Vec<Address> = instructions
        .iter()
        .flat_map(|ix| ix.accounts.iter().map(|meta| meta.pubkey).chain([ix.program_id]))
        .collect();
    keys.sort_unstable();
    keys.dedup();
    keys
}

fn lookup_tables(source: &dyn Source, keys: &[Address]) -> Result<Vec<AddressLookupTableAccount>> {
    keys.iter()
        .map(|key| {
            let account = source.account("lookup table", key)?;
            lookup_table::read(key, &account.owner, &account.data)
                .with_context(|| format!("account {key} is not a lookup table"))
        })
        .collect()
}

/// Sends a plan and reads what happened.
fn send(rpc: &Rpc, plan: &Plan<'_>, keypair: &Keypair, tables: &[Address]) -> Result<Report> {
    let tables = lookup_tables(rpc, &[tables, &plan.route_tables].concat())?;
    let signature = deliver(rpc, keypair, &plan.instructions()?, &tables)?;
    let answer = rpc
        .transaction(&signature)?
        .with_context(|| format!("{signature} is confirmed, but the node does not show it yet"))?;
    Report::read(answer)
}

/// Sends instructions and fails unless they succeed.
pub fn send_instructions(rpc: &Rpc, keypair: &Keypair, instructions: &[Instruction]) -> Result<()> {
    deliver(rpc, keypair, instructions, &[]).map(|_| ())
}

/// Signs, simulates on the node, and sends until it is confirmed or cannot be
/// any more; returns the signature. The same bytes are sent each time, and a
/// signature is executed at most once.
fn deliver(
    rpc: &Rpc,
    keypair: &Keypair,
    instructions: &[Instruction],
    tables: &[AddressLookupTableAccount],
) -> Result<String> {
    let (blockhash, last_valid_height) = rpc.latest_blockhash()?;
    check_v0(&keypair.pubkey(), instructions, tables, None)?;
    let message = compile_v0(&keypair.pubkey(), instructions, tables, blockhash)?;
    let transaction = VersionedTransaction::try_new(message, &[keypair])
        .context("the transaction cannot be signed")?;
    let signature =
        transaction.signatures.first().context("the transaction has no signature")?.to_string();
    let signatures: Vec<[u8; 64]> =
        transaction.signatures.iter().map(|signature| (*signature).into()).collect();
    let bytes = wire_bytes(&signatures, &transaction.message);

    let programs: Vec<Address> = instructions.iter().map(|ix| ix.program_id).collect();
    let (error, logs, _) = rpc.simulate(&bytes)?;
    if error.is_some() {
        let executed = Executed { error: error.as_ref(), logs: &logs, programs: &programs };
        let decoded = decode(&executed, None);
        let reason = decoded.outcome.failure().map(|failure| failure.cause.explain().to_string());
        bail!(
            "the node's simulation failed, nothing was sent: {}",
            reason.unwrap_or_else(|| "it gave no reason".to_owned())
        );
    }

    rpc.send(&bytes)?;
    let mut sent = Instant::now();
    loop {
        thread::sleep(POLL);
        if rpc.is_confirmed(&signature)? {
            return Ok(signature);
        }
        if rpc.block_height()? > last_valid_height {
            // It may have landed in the last block it was valid in.
            if rpc.is_confirmed(&signature)? {
                return Ok(signature);
            }
            bail!("{signature} expired without landing: quote again");
        }
        if sent.elapsed() >= RESEND {
            rpc.send(&bytes)?;
            sent = Instant::now();
        }
    }
}
