//! A plan executed before it is sent: in a local virtual machine, and on the node.

use anyhow::{Context as _, Result};
use flash_liquidator_client::{
    decode::{Decoded, Event, Executed, decode},
    lookup_table,
    receiver::Liquidated,
    transaction::{MAX_TRANSACTION_BYTES, compile_v0, transaction_bytes, wire_bytes},
};
use klend_fork::World;
use solana_account::Account;
use solana_address::Address;
use solana_hash::Hash;
use solana_instruction::Instruction;
use solana_message::AddressLookupTableAccount;
use solana_signer::Signer;

use super::plan::Plan;
use crate::{
    feeds::source::{Rpc, Source},
    keys::Key,
};

/// Lamports of the keeper that stands in where none is given: 100 SOL.
const SIMULATED_LAMPORTS: u64 = 100_000_000_000;

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
