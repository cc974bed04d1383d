//! One liquidation from its plan to its end: simulated here, simulated on the
//! node, sent, and read back.

use anyhow::{Result, bail};
use flash_liquidator_client::decode::{Decoded, Outcome, Witness};
use klend_model::accounts;
use solana_instruction::Instruction;
use solana_message::AddressLookupTableAccount;
use solana_signer::Signer;

use super::{
    deliver::{Delivered, Way, executed},
    report::Report,
};
use crate::{
    build::{
        plan::{Plan, Position},
        simulation::{simulate, tables_of},
    },
    cli::LiquidateArgs,
    feeds::source::{Rpc, Source},
    keys::Key,
};

/// Genesis hash of mainnet.
const MAINNET_GENESIS: &str = "5eykt4UsFv8P8NJdTREpY1vzqKqZKvdpKuc147dw2N9d";

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
