//! Looks at everything a liquidation needs and the loop does not: the node, the key,
//! the lookup tables, the program. On a thread of its own, every few seconds.

use std::{
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    thread,
    time::Duration,
};

use anyhow::{Result, bail};
use flash_liquidator_client::{
    lookup_table, receiver,
    token::{TOKEN_2022_PROGRAM_ID, TOKEN_PROGRAM_ID},
};
use solana_address::Address;
use tracing::error;

use super::{Check, Health};
use crate::{
    feeds::{
        source::{KLEND, Rpc, Source},
        told,
    },
    format::signed_tokens,
    ledger::metrics::{Metrics, MintLabel},
    program::{Deployed, Expected, Watch},
};

/// Pause between two rounds.
const PERIOD: Duration = Duration::from_secs(10);
/// Pause before it is seen whether the market was read.
const FIRST: Duration = Duration::from_millis(100);
/// Rounds between two looks at the balances of tokens.
const TOKENS_EVERY: u32 = 6;
/// Bytes of an account that tell enough: what stands before a table's addresses.
const HEAD: usize = 56;
/// Decimals of SOL.
const SOL_DECIMALS: u64 = 9;

/// What it finds out.
const PROBED: [Check; 4] = [Check::Node, Check::Key, Check::Tables, Check::Program];

/// What the probe looks at.
pub struct Probe {
    pub source: Arc<dyn Source>,
    pub health: Arc<Health>,
    pub metrics: Arc<Metrics>,
    pub key: Address,
    pub sends: bool,
    pub tables: Vec<Address>,
    pub expected: Expected,
    /// Raised when the program is not what it was any more: nothing is sent then.
    pub stop: Arc<AtomicBool>,
    /// Why it was raised.
    pub why: Arc<Mutex<Option<String>>>,
    /// Whether klend was replaced since the start.
    pub klend_replaced: Arc<AtomicBool>,
}

impl Probe {
    /// Looks once the market was read, and then again and again, on a thread that ends with the process.
    /// `watch` saw the programs before they were compared with the configuration.
    pub fn start(self, mut watch: Option<Watch>) {
        let spawned = thread::Builder::new().name("probe".to_owned()).spawn(move || {
            // The market comes first.
            while !self.health.has_news() {
                thread::sleep(FIRST);
            }
            for round in 0u32.. {
                self.round(round, &mut watch);
                thread::sleep(PERIOD);
            }
        });
        if let Err(reason) = spawned {
            error!(%reason, "nothing is probed");
        }
    }

    /// Looks; what it does not get to because it breaks down is not well.
    fn round(&self, round: u32, watch: &mut Option<Watch>) {
        let look = || {
            self.look(round, watch);
            Ok(())
        };
        if let Err(reason) = told("the probe", look) {
            for check in PROBED {
                self.health.set(check, Err(format!("{reason:#}")));
            }
        }
    }

    fn look(&self, round: u32, watch: &mut Option<Watch>) {
        let Some(rpc) = self.source.rpc() else {
            let name = self.source.name();
            for check in PROBED {
                self.health.set(check, Ok(format!("{name} is no node: only simulates")));
            }
            return;
        };
        let health = &self.health;
        let tell = |check, result: Result<String>| {
            health.set(check, result.map_err(|reason| format!("{reason:#}")));
        };
        tell(Check::Node, self.node(rpc));
        tell(Check::Key, self.key(rpc));
        tell(Check::Tables, self.tables(rpc));
        tell(Check::Program, self.program(rpc, watch));
        if round.is_multiple_of(TOKENS_EVERY) {
            // Figures for the dashboard: without them nothing stops.
            for program in [&TOKEN_PROGRAM_ID, &TOKEN_2022_PROGRAM_ID] {
                for (mint, balance) in rpc.token_balances(&self.key, program).unwrap_or_default() {
                    self.metrics.balance.get_or_create(&MintLabel { mint }).set(balance);
                }
            }
        }
    }

    fn node(&self, rpc: &Rpc) -> Result<String> {
        let behind = rpc.slots_behind()?;
        self.metrics.node_slots_behind.set(behind);
        let most = self.health.limits().node_behind;
        if behind == u64::MAX {
            bail!("the node says that it is behind, but not how far");
        } else if behind > most {
            bail!("the node is {behind} slots behind, {most} are allowed");
        }
        Ok(format!("{behind} slots behind"))
    }

    fn key(&self, rpc: &Rpc) -> Result<String> {
        let account = rpc.heads(&[self.key], HEAD)?.pop().flatten();
        let lamports = account.map_or(0, |account| account.lamports);
        let sol = |lamports| signed_tokens(i128::from(lamports), SOL_DECIMALS);
        let label = MintLabel { mint: "SOL".to_owned() };
        self.metrics.balance.get_or_create(&label).set(crate::ledger::record::sol(lamports));
        let least = self.health.limits().low_balance;
        if self.sends && lamports < least {
            bail!("{} has {} SOL, less than {}", self.key, sol(lamports), sol(least));
        }
        Ok(format!("{} SOL", sol(lamports)))
    }

    fn tables(&self, rpc: &Rpc) -> Result<String> {
        let accounts = rpc.heads(&self.tables, HEAD)?;
        for (key, account) in self.tables.iter().zip(accounts) {
            let Some(account) = account else { bail!("lookup table {key} is gone") };
            match lookup_table::retired_since(&account.owner, &account.data) {
                Some(None) => {}
                Some(Some(slot)) => bail!("lookup table {key} was retired in slot {slot}"),
                None => bail!("account {key} is not a lookup table"),
            }
        }
        Ok(format!("{} tables", self.tables.len()))
    }

    fn program(&self, rpc: &Rpc, watch: &mut Option<Watch>) -> Result<String> {
        let watch = match watch {
            Some(watch) => watch,
            None => watch.insert(Watch::new(rpc, &[receiver::PROGRAM_ID, KLEND])?),
        };
        let changed = watch.look(rpc)?;
        if changed.get(1) == Some(&true) {
            self.klend_replaced.store(true, Ordering::Relaxed);
        }
        if changed.first() == Some(&true) {
            let now = Deployed::read(rpc, &receiver::PROGRAM_ID);
            let now = now.map_or_else(
                |reason| format!("{reason:#}"),
                |now| format!("hash {}, authority {}", now.hash, now.authority),
            );
            return Err(self.halt(format!("program {} changed: {now}", receiver::PROGRAM_ID)));
        }
        if self.expected == Expected::default() {
            return Ok("unchanged since the start; the configuration expects nothing".to_owned());
        }
        if self.sends {
            // Compared before the first transaction, and unchanged since.
            return Ok("as the configuration says".to_owned());
        }
        Deployed::read(rpc, &receiver::PROGRAM_ID)?.verify(&self.expected)?;
        Ok("as the configuration says".to_owned())
    }

    fn halt(&self, why: String) -> anyhow::Error {
        if self.sends {
            let mut told = self.why.lock().unwrap_or_else(PoisonError::into_inner);
            if told.is_none() {
                error!(why, "stopping: nothing more is sent");
                *told = Some(why.clone());
            }
            drop(told);
            self.stop.store(true, Ordering::Relaxed);
        }
        anyhow::Error::msg(why)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{health::tests::LIMITS, watch::worker::tests::Rotten};

    #[test]
    fn what_a_probe_breaks_down_at_is_not_well() {
        let metrics = Arc::new(Metrics::new());
        let health = Arc::new(Health::new(LIMITS, false, Arc::clone(&metrics), None));
        let probe = Probe {
            source: Arc::new(Rotten::new()),
            health: Arc::clone(&health),
            metrics,
            key: Address::default(),
            sends: true,
            tables: Vec::new(),
            expected: Expected::default(),
            stop: Arc::default(),
            why: Arc::default(),
            klend_replaced: Arc::default(),
        };
        let wrong = || PROBED.map(|check| health.wrong(check));
        probe.round(0, &mut None);
        assert_eq!(wrong(), [(); 4].map(|()| Some("the probe broke down".to_owned())));
        // And goes on.
        probe.round(1, &mut None);
        assert_eq!(wrong(), [(); 4].map(|()| None));
    }
}
