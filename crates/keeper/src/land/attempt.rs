//! One liquidation from its plan to its end: sent, and read back.

use anyhow::{Result, bail};
use flash_liquidator_client::decode::{Decoded, Outcome, Witness};
use klend_model::accounts;
use solana_instruction::Instruction;
use solana_message::AddressLookupTableAccount;

use super::{
    deliver::{Delivered, NEWS, Signed, Way, executed},
    report::Report,
    roads::{Kind, Road},
};
use crate::{
    build::plan::Plan,
    feeds::source::{Rpc, Source as _},
    keys::Key,
};

/// Genesis hash of mainnet.
pub const MAINNET_GENESIS: &str = "5eykt4UsFv8P8NJdTREpY1vzqKqZKvdpKuc147dw2N9d";

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

/// What came of sending a plan.
pub enum Sent {
    /// It was executed, well or not.
    Executed(Box<Report>),
    /// The node's simulation failed and nothing was sent.
    Rejected(Box<Decoded>),
    /// It was too late to begin, and nothing was sent.
    HeldBack,
}

impl Sent {
    fn read(rpc: &Rpc, plan: &Plan, delivered: Delivered) -> Result<Self> {
        Ok(match delivered {
            Delivered::Landed(signature) => {
                let mut report = executed(rpc, &signature)?;
                report.decoded.outcome = outcome_of(rpc, plan, &report.decoded)?;
                Self::Executed(Box::new(report))
            }
            Delivered::Rejected(mut decoded) => {
                decoded.outcome = outcome_of(rpc, plan, &decoded)?;
                Self::Rejected(decoded)
            }
            Delivered::HeldBack => Self::HeldBack,
        })
    }
}

/// Sends what is signed already, and reads what happened. `may_send` is asked last of
/// all.
///
/// # Errors
/// As [`Way::send`].
pub fn send_signed(
    way: &Way<'_>,
    plan: &Plan,
    signed: Signed,
    may_send: &dyn Fn() -> bool,
) -> Result<Sent> {
    Sent::read(way.rpc, plan, way.send(signed, may_send)?)
}

/// Signs a plan, has the node simulate it, sends it, and reads what happened.
///
/// # Errors
/// As [`Way::deliver`].
pub fn send_by_hand(
    way: &Way<'_>,
    key: &Key,
    plan: &Plan,
    tables: &[AddressLookupTableAccount],
) -> Result<Sent> {
    let deadline = plan.terms().deadline_slot;
    Sent::read(way.rpc, plan, way.deliver(key, &plan.instructions()?, tables, deadline)?)
}

/// Sends instructions of `setup` and fails unless they succeed; returns the signature.
pub fn send_instructions(rpc: &Rpc, key: &Key, instructions: &[Instruction]) -> Result<String> {
    let roads = Road::all(Kind::Node, rpc);
    let way = Way { rpc, roads: &roads, slot: &|| rpc.newest() };
    let (signature, decoded) = match way.deliver(key, instructions, &[], 0)? {
        Delivered::Landed(signature) => {
            let report = executed(rpc, &signature)?;
            (signature, report.decoded)
        }
        Delivered::Rejected(decoded) => (String::new(), *decoded),
        Delivered::HeldBack => bail!("nothing was sent"),
    };
    match decoded.outcome.failure() {
        None => Ok(signature),
        Some(failure) => Err(Declined(failure.cause.explain().to_string()).into()),
    }
}

/// The chain executes, or would execute, instructions to a failure: nothing came of them.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct Declined(String);

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
pub fn outcome_of(rpc: &Rpc, plan: &Plan, decoded: &Decoded) -> Result<Outcome> {
    let Some(failure) = decoded.outcome.failure() else { return Ok(Outcome::Succeeded) };
    // Without an answer the failure itself has to tell.
    let Ok(mut account) = rpc.within(NEWS).accounts(&[*plan.obligation()]) else {
        return Ok(decoded.outcome.clone());
    };
    let account = account.pop().flatten();
    let after = match &account {
        Some(account) => {
            Some(accounts::obligation(plan.obligation(), &account.owner, &account.data)?)
        }
        None => None,
    };
    let witness = Witness { before: &plan.before, after };
    Ok(Outcome::of(failure.clone(), Some(witness)))
}
