//! What a sending keeper does between liquidations, by the configuration's rules: it tops
//! its fee balance up from wrapped SOL, and redeems cTokens that klend's vault can pay
//! out again. On a thread of its own; the loop knows nothing of it.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread,
    time::Duration,
};

use anyhow::Result;
use solana_signer::Signer as _;
use tracing::{info, warn};

use crate::{
    book::market::{Market, symbol},
    config::Config,
    feeds::{
        source::{Rpc, Source},
        told,
    },
    health::Health,
    keys::Key,
    land::{
        attempt::send_instructions,
        funds::{Left, Wrapped},
    },
    ledger::metrics::Metrics,
};

/// Pause between two rounds.
const PERIOD: Duration = Duration::from_secs(15);
/// Pause before it is seen whether it is time.
const NAP: Duration = Duration::from_millis(100);
/// Rounds between two looks for cTokens, which read whole markets.
const REDEMPTIONS_EVERY: u32 = 20;

/// What it works with.
pub struct Chores {
    pub source: Arc<dyn Source>,
    pub key: Arc<Key>,
    pub config: Arc<Config>,
    pub metrics: Arc<Metrics>,
    pub health: Arc<Health>,
    pub stop: Arc<AtomicBool>,
}

impl Chores {
    /// Begins once the market was read, where there are rules and anything is sent; the
    /// thread ends with the process.
    pub fn start(self) {
        let has_rules = self.config.top_up.is_some() || self.config.redeem_above.is_some();
        if !self.config.send || !has_rules {
            return;
        }
        let spawned = thread::Builder::new().name("chores".to_owned()).spawn(move || {
            while !self.health.has_news() {
                thread::sleep(NAP);
            }
            for round in 0u32.. {
                if self.stop.load(Ordering::Relaxed) {
                    return;
                }
                let look = || {
                    self.look(round);
                    Ok(())
                };
                if let Err(reason) = told("the thread that does chores", look) {
                    warn!(%reason, "not done");
                }
                thread::sleep(PERIOD);
            }
        });
        if let Err(reason) = spawned {
            warn!(%reason, "no chores are done");
        }
    }

    fn look(&self, round: u32) {
        let Some(rpc) = self.source.rpc() else { return };
        // A liquidation has its own use for the key and its accounts.
        if self.metrics.in_flight.get() > 0 {
            return;
        }
        let tell = |what, result: Result<()>| {
            if let Err(reason) = result {
                warn!(reason = format!("{reason:#}"), what, "not done");
            }
        };
        tell("top up", self.top_up(rpc));
        if round.is_multiple_of(REDEMPTIONS_EVERY) {
            tell("redeem", self.redeem(rpc));
        }
    }

    fn top_up(&self, rpc: &Rpc) -> Result<()> {
        let Some(rule) = self.config.top_up else { return Ok(()) };
        let wrapped = Wrapped::read(rpc, &self.key.pubkey(), rule)?;
        let Some(lamports) = wrapped.unwraps else { return Ok(()) };
        let signature = send_instructions(rpc, &self.key, &wrapped.instructions())?;
        info!(lamports, signature, "unwrapped for fees");
        Ok(())
    }

    fn redeem(&self, rpc: &Rpc) -> Result<()> {
        let Some(least) = self.config.redeem_above else { return Ok(()) };
        let keeper = self.key.pubkey();
        for market in &self.config.markets {
            let market = Market::load(rpc, market)?;
            let states = market.table()?;
            for left in Left::find(rpc, &market, &states, &keeper)? {
                if !left.is_worth(least) {
                    continue;
                }
                let signature = send_instructions(rpc, &self.key, &left.instructions(&keeper))?;
                let reserve = symbol(left.state.account);
                let (ctokens, liquidity) = (left.redeemable, left.liquidity);
                info!(reserve, ctokens, liquidity, signature, "cTokens redeemed");
            }
        }
        Ok(())
    }
}
