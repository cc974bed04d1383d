//! One liquidation from its plan to its end: simulated here, simulated on the
//! node, sent, and read back.

use anyhow::{Context as _, Result, bail};
use flash_liquidator_client::{
    decode::{Decoded, Event, Executed, Outcome, Witness, decode},
    lookup_table,
    receiver::Liquidated,
    transaction::{MAX_TRANSACTION_BYTES, compile_v0, transaction_bytes, wire_bytes},
};
use klend_fork::World;
use klend_model::accounts;
use solana_account::Account;
use solana_address::Address;
use solana_hash::Hash;
use solana_instruction::Instruction;
use solana_message::AddressLookupTableAccount;
use solana_signer::Signer;

use crate::{
    cli::LiquidateArgs,
    commands::explain::Report,
    deliver::{Delivered, Way, executed},
    keys::Key,
    plan::{Plan, Position},
    source::{Rpc, Source},
};

/// Genesis hash of mainnet.
const MAINNET_GENESIS: &str = "5eykt4UsFv8P8NJdTREpY1vzqKqZKvdpKuc147dw2N9d";

/// Lamports of the keeper that stands in where none is given: 100 SOL.
const SIMULATED_LAMPORTS: u64 = 100_000_000_000;

/// How a command ended that found nothing wrong with itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ending {
    /// It did what it was asked.
    Done,
    /// Somebody was faster, or the position recovered.
    NothingToDo,
}

impl Ending {
    /// How a command ends whose transaction ended like this.
    pub fn of(outcome: &Outcome) -> Result<Self> {
        match outcome {
            Outcome::Succeeded => Ok(Self::Done),
            Outcome::LostRace(_) | Outcome::HealthyAgain(_) => Ok(Self::NothingToDo),
            Outcome::Failed(failure) => bail!("{}", failure.cause.explain()),
        }
    }
}

/// What came of one liquidation.
pub struct Attempt {
    /// What was executed, or simulated where nothing was sent.
    pub decoded: Decoded,
    /// Signature of the transaction that was sent.
    pub signature: Option<String>,
    /// It would have been sent, but it was too late to begin.
    pub held_back: bool,
}

/// Who signs, and where it is sent to.
pub struct Sender<'a> {
    /// Where accounts come from.
    pub source: &'a dyn Source,
    /// Signs and pays.
    pub key: &'a Key,
    /// Block engine to send to in place of the node.
    pub block_engine: Option<&'a Rpc>,
    /// Whether it may still be sent: asked right before.
    pub may_send: &'a dyn Fn() -> bool,
}

impl Sender<'_> {
    /// Plans, simulates and, unless `args` say otherwise, sends one liquidation
    /// without printing anything.
    pub fn attempt(&self, position: &Position, args: &LiquidateArgs) -> Result<Attempt> {
        let mut plan = Plan::new(self.source, position, &self.key.pubkey(), args)?;
        let tables = tables_of(self.source, &plan, &args.tables)?;
        let simulation = simulate(self.source, &plan, self.key, &tables)?;
        let unsent = |decoded, held_back| Ok(Attempt { decoded, signature: None, held_back });
        let Some(rpc) = self.source.rpc().filter(|_| !args.dry_run) else {
            return unsent(simulation.decoded, false);
        };
        if simulation.decoded.outcome != Outcome::Succeeded {
            return unsent(simulation.decoded, false);
        }
        if !(self.may_send)() {
            return unsent(simulation.decoded, true);
        }
        plan.limit_units(simulation.units);
        match self.send(rpc, &plan, &tables)? {
            Sent::Executed(report) => {
                let mut decoded = report.decoded;
                decoded.outcome = outcome_of(rpc, position, &decoded)?;
                Ok(Attempt { decoded, signature: report.signature, held_back: false })
            }
            Sent::Rejected(mut decoded) => {
                decoded.outcome = outcome_of(rpc, position, &decoded)?;
                unsent(*decoded, false)
            }
            Sent::HeldBack => unsent(simulation.decoded, true),
        }
    }

    /// Sends a plan and reads what happened.
    pub fn send(
        &self,
        rpc: &Rpc,
        plan: &Plan<'_>,
        tables: &[AddressLookupTableAccount],
    ) -> Result<Sent> {
        let way = Way { rpc, block_engine: self.block_engine };
        match way.deliver(self.key, &plan.instructions()?, tables, self.may_send)? {
            Delivered::Landed(signature) => {
                Ok(Sent::Executed(Box::new(Report::read(executed(rpc, &signature)?)?)))
            }
            Delivered::Rejected(decoded) => Ok(Sent::Rejected(decoded)),
            Delivered::HeldBack => Ok(Sent::HeldBack),
        }
    }
}

/// What came of sending a plan.
pub enum Sent {
    /// It was executed, well or not.
    Executed(Box<Report>),
    /// The node's simulation failed and nothing was sent.
    Rejected(Box<Decoded>),
    /// It was too late to begin, and nothing was sent.
    HeldBack,
}

/// Sends instructions of `setup` and fails unless they succeed; returns the signature.
pub fn send_instructions(rpc: &Rpc, key: &Key, instructions: &[Instruction]) -> Result<String> {
    let way = Way { rpc, block_engine: None };
    let (signature, decoded) = match way.deliver(key, instructions, &[], &|| true)? {
        Delivered::Landed(signature) => {
            let report = Report::read(executed(rpc, &signature)?)?;
            (signature, report.decoded)
        }
        Delivered::Rejected(decoded) => (String::new(), *decoded),
        Delivered::HeldBack => bail!("nothing was sent"),
    };
    match decoded.outcome.failure() {
        None => Ok(signature),
        Some(failure) => bail!("{}", failure.cause.explain()),
    }
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
pub fn outcome_of(rpc: &Rpc, position: &Position, decoded: &Decoded) -> Result<Outcome> {
    let Some(failure) = decoded.outcome.failure() else { return Ok(Outcome::Succeeded) };
    // Without an answer the failure itself has to tell.
    let Ok(mut account) = rpc.accounts(&[position.key]) else { return Ok(decoded.outcome.clone()) };
    let account = account.pop().flatten();
    let after = match &account {
        Some(account) => Some(accounts::obligation(&position.key, &account.owner, &account.data)?),
        None => None,
    };
    let witness = Witness { before: &position.obligation, after };
    Ok(Outcome::of(failure.clone(), Some(witness)))
}

/// A liquidation in a local virtual machine.
pub struct Simulation {
    pub decoded: Decoded,
    pub units: u64,
    pub bytes: usize,
    /// No lookup table was given; one was made for the occasion.
    pub made_table: bool,
}

/// Executes a plan in a local virtual machine, on accounts and programs as they
/// are now.
pub fn simulate(
    source: &dyn Source,
    plan: &Plan<'_>,
    key: &Key,
    tables: &[AddressLookupTableAccount],
) -> Result<Simulation> {
    let instructions = plan.instructions()?;
    let mut keys = mentioned(&instructions);
    keys.push(key.pubkey());
    let mut world: World = source.world(&keys)?;
    if world.account(&key.pubkey()).is_none() {
        let wallet = Account {
            lamports: SIMULATED_LAMPORTS,
            owner: solana_sdk_ids::system_program::ID,
            ..Account::default()
        };
        world.set_account(&key.pubkey(), wallet)?;
    }
    for table in tables {
        let account = source.account("lookup table", &table.key)?;
        world.set_account(&table.key, account)?;
    }
    let made_table = tables.is_empty();
    let mut tables = tables.to_vec();
    if made_table {
        tables.push(world.table_for(&instructions, &key.pubkey())?);
    }
    let programs: Vec<Address> = instructions.iter().map(|ix| ix.program_id).collect();
    let (error, outcome) = match world.send_v0(&instructions, &[key], &tables) {
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

/// What the node says to a plan.
pub enum NodeSimulation {
    /// It simulated it.
    Done {
        /// What would happen.
        decoded: Box<Decoded>,
        /// Compute units it would use.
        units: u64,
    },
    /// It could not be asked, and why.
    NotAsked(String),
}

/// Has the node simulate a plan, unsigned.
pub fn simulate_on_node(
    rpc: &Rpc,
    plan: &Plan<'_>,
    key: &Key,
    tables: &[AddressLookupTableAccount],
) -> Result<NodeSimulation> {
    let not_asked = |reason: String| Ok(NodeSimulation::NotAsked(reason));
    if key.is_simulated() {
        return not_asked("no key was given, and the node does not know the stand-in".to_owned());
    }
    let instructions = plan.instructions()?;
    let message = match compile_v0(&key.pubkey(), &instructions, tables, Hash::default()) {
        Ok(message) => message,
        Err(error) => return not_asked(error.to_string()),
    };
    if transaction_bytes(&message) > MAX_TRANSACTION_BYTES {
        return not_asked(format!("{} bytes", transaction_bytes(&message)));
    }
    let unsigned = vec![[0; 64]; usize::from(message.header().num_required_signatures)];
    let simulated = rpc.simulate(&wire_bytes(&unsigned, &message))?;
    let programs: Vec<Address> = instructions.iter().map(|ix| ix.program_id).collect();
    let executed =
        Executed { error: simulated.error.as_ref(), logs: &simulated.logs, programs: &programs };
    Ok(NodeSimulation::Done { decoded: Box::new(decode(&executed, None)), units: simulated.units })
}

/// The liquidation among a transaction's events.
pub fn liquidated(decoded: &Decoded) -> Option<&Liquidated> {
    decoded.events.iter().find_map(|event| match event {
        Event::Liquidated(event) => Some(&**event),
        Event::Settled(_) => None,
    })
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

/// The lookup tables that `keys` name and those a plan's route brings along.
pub fn tables_of(
    source: &dyn Source,
    plan: &Plan<'_>,
    keys: &[Address],
) -> Result<Vec<AddressLookupTableAccount>> {
    keys.iter()
        .chain(&plan.route_tables)
        .map(|key| {
            let account = source.account("lookup table", key)?;
            lookup_table::read(key, &account.owner, &account.data)
                .with_context(|| format!("account {key} is not a lookup table"))
        })
        .collect()
}
