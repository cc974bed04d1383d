//! The loop over a recording: the same decisions at the same moments, without a node,
//! without threads and without a clock, and nothing is sent.
//!
//! What readers and feeds brought is taken from the recording. What workers do is done
//! again, at once, and told to the loop when the recording says that they were done; so
//! nothing hangs on how fast this machine is, and two replays write the same ledger. They
//! write the one of the recorded run, too, if that sent nothing and was configured alike.
//! Where a transaction was sent, the replay has what would have come of it by what was
//! known when it was decided on.

use std::{
    collections::BTreeMap,
    sync::{Arc, atomic::AtomicBool},
    time::Duration,
};

use anyhow::{Context as _, Result};
use klend_fork::Machine;
use solana_address::Address;

use super::{
    engine::Engine,
    event::Event,
    parts::Parts,
    time::Moment,
    worker::{Ended, Worker},
};
use crate::{
    build::plan::Plan,
    reader::Found,
    recording::{
        Recording,
        told::{By, Code, Told, Turn},
    },
    route::discovery::Found as Kept,
};

/// How long an end is kept that the recording does not tell of: that run decided
/// otherwise.
const PATIENCE: Duration = Duration::from_secs(60);
/// Turns between two times that the ledger is waited for, so that it never has no room.
const SETTLED: u64 = 64;

/// What was replayed.
#[derive(Clone, Copy, Debug, Default)]
pub struct Replayed {
    pub turns: u64,
    /// What the loop was told, updates of accounts among it.
    pub told: u64,
    pub updates: u64,
    /// Attempts that the recorded run ended and this one did not begin.
    pub unmet: u64,
    /// Attempts of which the recorded run does not tell an end.
    pub others: u64,
}

/// A recording's player.
struct Player {
    engine: Engine,
    worker: Worker,
    /// What was tried, since when, and how it ended, until the loop is told.
    ended: BTreeMap<Address, (Duration, Box<Plan>, Ended)>,
    /// The machine that was made last, and of what.
    machine: Option<(Code, Machine)>,
    replayed: Replayed,
}

/// Runs the loop over a recording. `parts` must send nothing.
///
/// # Errors
/// When the recording cannot be read on, or the ledger not be written.
pub fn replay(parts: Parts, recording: &mut Recording) -> Result<Replayed> {
    let (engine, jobs) = Engine::idle(parts, &Arc::new(AtomicBool::new(false)))?;
    let worker = Worker::new(Arc::clone(&engine.shared));
    let mut player = Player {
        engine,
        worker,
        ended: BTreeMap::new(),
        machine: None,
        replayed: Replayed::default(),
    };
    let mut is_stopping = false;
    for turn in recording {
        let turn = turn?;
        is_stopping |= turn.told.iter().any(|told| matches!(told, Told::Stopping));
        if is_stopping {
            player.stop(turn)?;
            continue;
        }
        player.turn(turn)?;
        for job in jobs.try_iter() {
            let (plan, ended) = player.worker.take(job);
            let since = player.engine.time.at.since;
            player.ended.insert(*plan.obligation(), (since, plan, ended));
        }
        let records = &player.engine.parts.records;
        if records.is_full() {
            records.flush()?;
        } else if player.replayed.turns.is_multiple_of(SETTLED) {
            records.settle()?;
        }
    }
    while let Some((_, (_, plan, ended))) = player.ended.pop_first() {
        player.replayed.others += 1;
        player.engine.done(&plan, ended)?;
    }
    player.engine.parts.records.flush()?;
    Ok(player.replayed)
}

impl Player {
    fn turn(&mut self, turn: Turn) -> Result<()> {
        let Turn { begun, heard, told } = turn;
        self.replayed.turns += 1;
        self.at(begun);
        self.engine.begin()?;
        self.at(heard);
        for key in self.forgotten(heard.since) {
            self.replayed.others += 1;
            self.done(&key)?;
        }
        for told in told {
            self.replayed.told += 1;
            if let Some(event) = self.event(told)? {
                self.engine.handle(event)?;
            }
        }
        self.engine.end()
    }

    /// Nothing more begins.
    fn stop(&mut self, turn: Turn) -> Result<()> {
        self.at(turn.heard);
        for told in turn.told {
            if let Told::Done(key) = told {
                self.done(&key)?;
            }
        }
        Ok(())
    }

    fn at(&mut self, moment: Moment) {
        self.engine.time.at = moment;
    }

    /// Obligations whose end the recording does not tell.
    fn forgotten(&self, now: Duration) -> Vec<Address> {
        let is_due = |since: &Duration| now.saturating_sub(*since) >= PATIENCE;
        let ended = self.ended.iter().filter(|(_, (since, ..))| is_due(since));
        ended.map(|(key, _)| *key).collect()
    }

    fn done(&mut self, key: &Address) -> Result<()> {
        match self.ended.remove(key) {
            Some((_, plan, ended)) => self.engine.done(&plan, ended),
            None => {
                self.replayed.unmet += 1;
                Ok(())
            }
        }
    }

    /// What the loop was told, as it is told.
    fn event(&mut self, told: Told) -> Result<Option<Event>> {
        let found = match told {
            Told::Fed(by, update) => {
                self.replayed.updates += 1;
                let number = match by {
                    By::Markets => self.engine.market_feed.number,
                    By::Pools => self.engine.pool_feed.number,
                    By::Former => u64::MAX,
                };
                return Ok(Some(Event::Fed(number, update)));
            }
            Told::Done(key) => {
                self.done(&key)?;
                return Ok(None);
            }
            Told::Stopping => return Ok(None),
            Told::Keys(keys) => Found::Keys(keys.map_err(anyhow::Error::msg)),
            Told::Scan(market, scan) => Found::Scan(market, scan.map_err(anyhow::Error::msg)),
            Told::Look(why, look) => Found::Look(why, look.map_err(anyhow::Error::msg)),
            Told::Chain(fees, chain) => Found::Chain(Box::new(chain.news(fees))),
            Told::Blockhash(found) => Found::Blockhash(found.map_err(anyhow::Error::msg)),
            Told::Averages(found) => Found::Averages(found.map_err(anyhow::Error::msg)),
            Told::Pools(want, kept) => {
                let found = kept.map(|(keys, refused)| Box::new(Kept::of(want, keys, refused)));
                Found::Pools(want, found.map_err(anyhow::Error::msg))
            }
            Told::Machine(Err(reason)) => Found::Machine(Err(anyhow::Error::msg(reason))),
            Told::Machine(Ok(code)) => {
                let machine = self.machine(&code)?;
                Found::Machine(Ok(Box::new(code.warm(machine))))
            }
        };
        Ok(Some(Event::Found(found, None)))
    }

    /// A machine with this code: the one at hand, if it has the same.
    fn machine(&mut self, code: &Code) -> Result<Machine> {
        if let Some((known, machine)) = &self.machine
            && known.is_like(code)
        {
            return Ok(machine.clone());
        }
        let machine = code.machine().context("the recorded programs")?;
        self.machine = Some((code.clone(), machine.clone()));
        Ok(machine)
    }
}
