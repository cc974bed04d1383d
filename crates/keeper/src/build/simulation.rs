//! A plan executed before it is sent: in a local virtual machine, and on the node.

use std::collections::BTreeMap;

use anyhow::{Context as _, Result};
use flash_liquidator_client::{
    budget::compile_v0,
    decode::{Decoded, Event, Executed, decode},
    receiver::Liquidated,
    transaction::{MAX_TRANSACTION_BYTES, transaction_bytes, wire_bytes},
};
use klend_fork::Machine;
use klend_interface::state::Obligation;
use klend_model::{accounts, constants::KLEND_PROGRAM_ID, keys::to_address};
use solana_account::Account;
use solana_address::Address;
use solana_hash::Hash;
use solana_instruction::Instruction;
use solana_message::AddressLookupTableAccount;
use solana_sdk_ids::{native_loader, system_program};
use solana_signer::Signer;

use super::plan::Plan;
use crate::{book::view::View, feeds::source::Rpc, keys::Key, route::why::Unread};

/// Lamports of the keeper that stands in where none is given: 100 SOL.
const SIMULATED_LAMPORTS: u64 = 100_000_000_000;
/// Lamports of an obligation's account, whose own are not kept: enough to be exempt
/// from rent.
const OBLIGATION_LAMPORTS: u64 = 100_000_000;
/// Where a token account and a mint hold their amounts.
const TOKEN_AMOUNT_OFFSET: usize = 64;
const MINT_SUPPLY_OFFSET: usize = 36;

/// Accounts as a plan's transaction will find them.
pub struct Stage {
    accounts: BTreeMap<Address, Option<Account>>,
    /// Programs, which the machine has to have.
    pub programs: Vec<Address>,
    slot: u64,
    unix_timestamp: i64,
}

impl Stage {
    /// Every account that `plan` names, as it is known. Programs are the machine's.
    ///
    /// # Errors
    /// [`Unread`].
    pub fn new(view: &View<'_>, plan: &Plan, stands_in: bool) -> Result<Self> {
        let mut accounts = BTreeMap::new();
        let (mut programs, mut unread) = (Vec::new(), Vec::new());
        let own = plan.obligation();
        for key in plan.mentioned()?.into_iter().chain(plan.table_keys.iter().copied()) {
            if is_fixed(&key) {
                continue;
            }
            let account = if key == *own {
                Some(obligation_account(&plan.before))
            } else if let Some(account) = view.market_account(&key) {
                Some(account.clone())
            } else if view.accounts.is_known(&key) {
                view.accounts.get(&key).cloned()
            } else {
                unread.push(key);
                continue;
            };
            match account {
                Some(program) if program.executable => programs.push(key),
                account => drop(accounts.insert(key, account)),
            }
        }
        if !unread.is_empty() {
            return Err(Unread(unread).into());
        }
        let wallet = accounts.entry(plan.keeper).or_default();
        if stands_in && wallet.is_none() {
            *wallet = Some(stand_in_wallet());
        }
        let (market, _) = view.market(&to_address(&plan.before.lending_market))?;
        let clock = market.clock;
        let mut stage = Self {
            accounts,
            programs,
            slot: clock.slot,
            unix_timestamp: i64::try_from(clock.unix_timestamp)?,
        };
        stage.agree(view, plan);
        Ok(stage)
    }

    /// Lets vaults and cToken mints hold what their reserves say: reserves are told of
    /// every change, vaults are read now and then.
    fn agree(&mut self, view: &View<'_>, plan: &Plan) {
        for addresses in plan.reserves() {
            let Some(reserve) = view.reserve(&addresses.reserve) else { continue };
            let available = reserve.account.liquidity.total_available_amount;
            let ctokens = reserve.account.collateral.mint_total_supply;
            for (key, offset, amount) in [
                (addresses.liquidity_supply_vault, TOKEN_AMOUNT_OFFSET, available),
                (addresses.collateral_supply_vault, TOKEN_AMOUNT_OFFSET, ctokens),
                (addresses.ctoken_mint, MINT_SUPPLY_OFFSET, ctokens),
            ] {
                let account = self.accounts.get_mut(&key).and_then(Option::as_mut);
                let place = account.and_then(|account| account.data.get_mut(offset..offset + 8));
                if let Some(place) = place {
                    place.copy_from_slice(&amount.to_le_bytes());
                }
            }
        }
    }
}

/// The wallet of a keeper that stands in where none is given.
pub fn stand_in_wallet() -> Account {
    Account { lamports: SIMULATED_LAMPORTS, owner: system_program::ID, ..Account::default() }
}

/// Every account that instructions name, programs included, each once, and the keeper's
/// own.
pub fn mentioned(instructions: &[Instruction], keeper: &Address) -> Vec<Address> {
    let mut keys: Vec<Address> = instructions
        .iter()
        .flat_map(|ix| ix.accounts.iter().map(|meta| meta.pubkey).chain([ix.program_id]))
        .chain([*keeper])
        .collect();
    keys.sort_unstable();
    keys.dedup();
    keys
}

/// Whether a machine has this account by itself: sysvars and builtin programs.
fn is_fixed(key: &Address) -> bool {
    [
        solana_sdk_ids::sysvar::instructions::ID,
        solana_sdk_ids::sysvar::rent::ID,
        solana_sdk_ids::sysvar::clock::ID,
        solana_sdk_ids::compute_budget::ID,
        system_program::ID,
        native_loader::ID,
    ]
    .contains(key)
}

/// An obligation as the account it was read from.
fn obligation_account(obligation: &Obligation) -> Account {
    Account {
        lamports: OBLIGATION_LAMPORTS,
        data: accounts::account_data(obligation),
        owner: KLEND_PROGRAM_ID,
        ..Account::default()
    }
}

/// A liquidation in a local virtual machine.
pub struct Simulation {
    pub decoded: Decoded,
    pub units: u64,
    pub bytes: usize,
    /// No lookup table was given; one was made for the occasion.
    pub made_table: bool,
}

/// A program that a machine does not have.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("program {0} is not loaded")]
pub struct NotLoaded(pub Address);

/// Executes a plan in a machine on the accounts of `stage`, of which it keeps none.
///
/// # Errors
/// [`NotLoaded`]; the machine does not take an account; there is no transaction to
/// execute.
pub fn simulate(
    machine: &mut Machine,
    plan: &Plan,
    stage: &Stage,
    tables: &[AddressLookupTableAccount],
) -> Result<Simulation> {
    if let Some(program) = stage.programs.iter().find(|program| !machine.has_program(program)) {
        return Err(NotLoaded(*program).into());
    }
    machine.set_clock(stage.slot, stage.unix_timestamp);
    for (key, account) in &stage.accounts {
        machine.set(key, account.as_ref())?;
    }
    let simulation = execute(machine, &plan.keeper, &plan.instructions()?, tables);
    // A machine that kept what it is shown would grow by every obligation it ever saw.
    for key in stage.accounts.keys() {
        machine.set(key, None)?;
    }
    simulation
}

/// Executes instructions in a machine as it stands.
///
/// # Errors
/// There is no transaction to execute.
pub fn execute(
    machine: &mut Machine,
    keeper: &Address,
    instructions: &[Instruction],
    tables: &[AddressLookupTableAccount],
) -> Result<Simulation> {
    let made_table = tables.is_empty();
    let mut tables = tables.to_vec();
    if made_table {
        tables.push(machine.table_for(instructions, keeper)?);
    }
    let programs: Vec<Address> = instructions.iter().map(|ix| ix.program_id).collect();
    let simulated = machine.simulate(keeper, instructions, &tables);
    if made_table {
        machine.set(&tables[0].key, None)?;
    }
    let (error, outcome) = match simulated {
        Ok(outcome) => (None, outcome),
        Err(error) => match error.failure() {
            Some(failure) => (Some(failure.error.clone()), failure.outcome.clone()),
            None => return Err(error).context("no simulation here"),
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
    plan: &Plan,
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
