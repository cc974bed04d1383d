//! Prices on the cluster: dated again and again, and moved when the story wants it.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

use anyhow::{Context, Result, anyhow};
use klend_fork::{Price, World};
use scope_stand_in::{Update, difference, update_data};
use solana_address::Address;
use solana_instruction::{AccountMeta, Instruction};
use solana_keypair::Keypair;

use crate::{chain::Chain, scene::Scene};

/// klend takes prices of the last three minutes.
const RESTAMP: Duration = Duration::from_secs(30);
/// How soon the end is noticed.
const NAP: Duration = Duration::from_millis(100);

/// Who publishes prices. Ends when dropped.
pub struct Oracle {
    table: Address,
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Oracle {
    /// Begins to date the prices.
    ///
    /// # Errors
    /// When the first time fails.
    pub fn start(scene: &Scene, url: &str) -> Result<Self> {
        let table = scene.sol.oracles.scope.context("SOL's reserve does not read Scope")?;
        let publisher = scene.publisher.insecure_clone();
        let chain = Chain::new(url);
        publish(&chain, &publisher, table, &[])?;
        let stop = Arc::new(AtomicBool::new(false));
        let stopped = Arc::clone(&stop);
        let thread = thread::spawn(move || {
            let mut published = Instant::now();
            while !stopped.load(Ordering::Relaxed) {
                thread::sleep(NAP);
                if published.elapsed() >= RESTAMP {
                    // A step that needs the price will say what is wrong.
                    if let Err(error) = publish(&chain, &publisher, table, &[]) {
                        eprintln!("e2e: the prices were not dated: {error:#}");
                    }
                    published = Instant::now();
                }
            }
        });
        Ok(Self { table, stop, thread: Some(thread) })
    }

    /// Moves SOL to a percentage of the price it has in the scene, which follows.
    /// Returns the new price in US dollars.
    pub fn move_sol(&self, scene: &mut Scene, chain: &Chain, percent: u64) -> Result<f64> {
        let price = scene.world.price(&scene.sol.reserve)?;
        let price = price.scaled(percent, 100).context("a price of zero")?;
        self.set_sol(&mut scene.world, &scene.sol.reserve, chain, price, &[], &[&scene.publisher])?;
        Ok(price.to_f64())
    }

    /// Gives SOL a price, in the world too; what `before` does happens in the same
    /// transaction. The first of `signers` pays.
    pub fn set_sol(
        &self,
        world: &mut World,
        sol: &Address,
        chain: &Chain,
        price: Price,
        before: &[Instruction],
        signers: &[&Keypair],
    ) -> Result<()> {
        let table = |world: &World| {
            world.account(&self.table).map(|account| account.data).context("no price table")
        };
        let old = table(world)?;
        world.set_price(sol, price)?;
        let updates = difference(&old, &table(world)?);
        if updates.is_empty() {
            return Err(anyhow!("the price stays as it is"));
        }
        let mut instructions = before.to_vec();
        instructions.push(update(self.table, &updates));
        chain.send(&instructions, signers).map(|_| ())
    }
}

impl Drop for Oracle {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            // It only fails if it panicked, and said so.
            let _ = thread.join();
        }
    }
}

fn publish(chain: &Chain, publisher: &Keypair, table: Address, updates: &[Update]) -> Result<()> {
    chain.send(&[update(table, updates)], &[publisher]).map(|_| ())
}

fn update(table: Address, updates: &[Update]) -> Instruction {
    Instruction {
        program_id: scope_stand_in::ID,
        accounts: vec![AccountMeta::new(table, false)],
        data: update_data(updates),
    }
}
