//! Plans tried before they are sent, a few at a time.
//!
//! Workers wait for most of their time: for a transaction's fate. A virtual machine for
//! each would be memory that hardly ever works, and every thread that executes bytecode keeps
//! stacks and heaps of its own besides. So no more are executed at a time than there are
//! processors, on threads that do nothing else.

use std::{sync::Mutex, thread, time::Instant};

use anyhow::{Context as _, Result, anyhow};
use klend_fork::Machine;
use rayon::{ThreadPool, ThreadPoolBuilder};
use solana_message::AddressLookupTableAccount;
use tracing::debug;

use crate::build::{
    plan::Plan,
    simulation::{Simulation, Stage, simulate},
};

/// Threads that execute, and machines for them.
pub struct Trials {
    threads: ThreadPool,
    /// The machine that others are copied from, and its number.
    newest: Mutex<Option<(u64, Machine)>>,
    /// Copies that nobody uses just now, and the number of what they were copied from.
    idle: Mutex<Vec<(u64, Machine)>>,
}

impl Trials {
    /// For as many workers; there is no machine yet.
    ///
    /// # Errors
    /// The system gives no threads.
    pub fn new(workers: usize) -> Result<Self> {
        let processors = thread::available_parallelism().map_or(1, usize::from);
        let threads = ThreadPoolBuilder::new()
            .num_threads(workers.clamp(1, processors))
            .thread_name(|number| format!("trial-{number}"))
            .build()
            .context("no threads to simulate on")?;
        Ok(Self { threads, newest: Mutex::default(), idle: Mutex::default() })
    }

    /// What is tried from now on is tried in copies of this machine.
    pub fn take_machine(&self, number: u64, machine: Machine) -> Result<()> {
        *self.newest.lock().map_err(broken)? = Some((number, machine));
        self.idle.lock().map_err(broken)?.clear();
        Ok(())
    }

    /// Executes a plan, and waits for it.
    ///
    /// # Errors
    /// No machine was taken yet; those of [`simulate`].
    pub fn simulate(
        &self,
        plan: &Plan,
        stage: &Stage,
        tables: &[AddressLookupTableAccount],
    ) -> Result<Simulation> {
        self.threads.install(|| {
            let begun = Instant::now();
            let (number, mut machine) = self.machine()?;
            let simulation = simulate(&mut machine, plan, stage, tables)?;
            // One that failed or broke down on the way may hold what it was shown: it is
            // not used again.
            self.idle.lock().map_err(broken)?.push((number, machine));
            debug!(
                micros = u64::try_from(begun.elapsed().as_micros()).unwrap_or(u64::MAX),
                "simulated"
            );
            Ok(simulation)
        })
    }

    /// A copy of the newest machine.
    fn machine(&self) -> Result<(u64, Machine)> {
        let newest = self.newest.lock().map_err(broken)?;
        let (number, machine) = newest.as_ref().context("there is no virtual machine yet")?;
        let mut idle = self.idle.lock().map_err(broken)?;
        while let Some(copy) = idle.pop() {
            if copy.0 == *number {
                return Ok(copy);
            }
        }
        drop(idle);
        Ok((*number, machine.clone()))
    }
}

fn broken<T>(_: T) -> anyhow::Error {
    anyhow!("a thread that simulates broke down earlier")
}

#[cfg(test)]
mod tests {
    use flash_liquidator_client::decode::Outcome;
    use solana_address::Address;
    use solana_signer::Signer as _;

    use super::{super::worker::tests::planned, *};
    use crate::{
        build::simulation::NotLoaded,
        feeds::source::{BuiltinFork, Source as _},
        keys::Key,
    };

    #[test]
    fn all_workers_share_the_machines_of_a_few_threads() {
        const WORKERS: usize = 64;
        let fork = BuiltinFork::new().unwrap();
        let (plan, mut stage) = planned(&fork, &Key::simulated().pubkey()).unwrap();
        let machine = || Machine::new(fork.world(&stage.programs).unwrap());
        let (first, second) = (machine(), machine());
        let processors = thread::available_parallelism().unwrap().get();
        let trials = Trials::new(WORKERS).unwrap();
        assert_eq!(trials.threads.current_num_threads(), processors.min(WORKERS));
        let numbers = || -> Vec<u64> {
            trials.idle.lock().unwrap().iter().map(|(number, _)| *number).collect()
        };
        let tried = |stage: &Stage| trials.simulate(&plan, stage, &[]);
        let refused = |stage: &Stage| tried(stage).err().unwrap();
        assert!(refused(&stage).to_string().contains("no virtual machine yet"));

        trials.take_machine(1, first).unwrap();
        thread::scope(|scope| {
            for _ in 0..WORKERS / 4 {
                scope.spawn(|| {
                    assert_eq!(tried(&stage).unwrap().decoded.outcome, Outcome::Succeeded)
                });
            }
        });
        assert!((1..=processors).contains(&numbers().len()), "{:?}", numbers());

        // A newer one takes their place.
        trials.take_machine(2, second).unwrap();
        assert!(numbers().is_empty());
        tried(&stage).unwrap();
        assert_eq!(numbers(), [2]);

        // What failed leaves none behind, and the next is tried in a copy of its own.
        let unknown = Address::new_unique();
        stage.programs.push(unknown);
        assert_eq!(refused(&stage).downcast_ref(), Some(&NotLoaded(unknown)));
        assert!(numbers().is_empty());
        stage.programs.pop();
        assert_eq!(tried(&stage).unwrap().decoded.outcome, Outcome::Succeeded);
    }
}
