//! How an attempt ended: what is kept of it, counted, and read again.

use anyhow::Result;
use flash_liquidator_client::decode::{Cause, Decoded, Outcome, Witness};
use solana_address::Address;
use solana_instruction::error::InstructionError;
use tracing::{error, info, warn};

use super::{decide::tracked, engine::Engine, worker::Ended};
use crate::{
    book::reader::{Order, Why},
    build::{plan::Plan, simulation::liquidated},
    judge::value_f64,
    land::{
        deliver::{Expired, Unknown},
        roads::Kind,
    },
    ledger::{
        metrics::Metrics,
        record::{self, Numbers},
    },
    route::why::Reason,
};

impl Engine {
    pub(super) fn done(&mut self, plan: &Plan, mut ended: Ended) -> Result<()> {
        let key = plan.obligation();
        self.flights.end(key);
        // What failed here on what was known then may be somebody else's luck by what is
        // known now.
        if let Ended::Attempted { decoded, signature: None, .. } = &mut ended
            && let Some(failure) = decoded.outcome.failure()
        {
            let after = tracked(&self.states, key).map(|(_, obligation)| obligation);
            let witness = Witness { before: &plan.before, after };
            decoded.outcome = Outcome::of(failure.clone(), Some(witness));
        }
        let ended = &ended;
        if let Ended::Attempted { decoded, .. } = ended
            && let Outcome::Failed(failure) = &decoded.outcome
        {
            let is_too_deep = matches!(
                failure.cause,
                Cause::Instruction { error: InstructionError::CallDepth, .. }
            );
            self.offer_failed(plan, is_too_deep);
        }
        if let Some((ticket, numbers)) = self.kept.remove(key) {
            let ended = self.record(plan, ended, *numbers);
            self.parts.records.end(ticket, ended, self.time.at.unix_ms);
        }
        let quoted = value_f64(plan.best.profit_value);
        let alike = self.failed_alike(key, ended);
        let metrics = &self.parts.records.metrics;
        let mut rests = true;
        match ended {
            Ended::Attempted { decoded, signature, .. } => {
                if signature.is_some() {
                    self.tries.remove(key);
                }
                report(metrics, key, decoded, signature.as_deref(), quoted, alike);
            }
            Ended::Ready { bytes } => {
                info!(obligation = %key, bytes, quoted, "ready to be sent: send = false");
            }
            Ended::HeldBack => info!(obligation = %key, "stopping: not sent"),
            Ended::Failed(reason) if Reason::of(reason) == Reason::BelowFloor => {
                // By what the simulation says that it costs.
                let reason = format!("{reason:#}");
                info!(obligation = %key, profit = quoted, reason, "too little profit");
            }
            Ended::Failed(reason) => {
                metrics.failed.inc();
                if reason.is::<Expired>() {
                    // The next one offers more, and at once.
                    let tries = self.tries.entry(*key).or_default();
                    *tries += 1;
                    rests = false;
                    let reason = format!("{reason:#}");
                    warn!(obligation = %key, reason, tries, "not landed");
                } else {
                    failed(key, None, &format!("{reason:#}"), alike);
                }
            }
        }
        if rests {
            self.cooldown.rest_longer(key, self.time.now(), alike);
        }
        // What it moved, or what was not as it was known.
        let is_kept = |key: &Address| key == plan.obligation() || self.accounts.is_known(key);
        let keys: Vec<Address> = plan.mentioned()?.into_iter().filter(is_kept).collect();
        self.looker.order(Order::Look { keys, why: Why::Needed })
    }

    /// How often in a row an obligation failed as it did now; 0 if it did not.
    fn failed_alike(&mut self, key: &Address, ended: &Ended) -> u32 {
        let why = match ended {
            Ended::Attempted { decoded, .. } => match &decoded.outcome {
                Outcome::Failed(failure) => Some(failure.cause.explain().title),
                _ => None,
            },
            Ended::Failed(reason)
                if !reason.is::<Expired>() && Reason::of(reason) != Reason::BelowFloor =>
            {
                Some(format!("{reason:#}"))
            }
            _ => None,
        };
        let Some(why) = why else {
            self.failures.remove(key);
            return 0;
        };
        let (last, times) = self.failures.entry(*key).or_default();
        *times = if *last == why { times.saturating_add(1) } else { 1 };
        *last = why;
        *times
    }

    /// What is counted and kept of an attempt.
    fn record(&self, plan: &Plan, ended: &Ended, mut numbers: Numbers) -> record::Ended {
        use record::Outcome as To;
        let early = |outcome, code: &str, reason: String, numbers| record::Ended {
            outcome,
            code: code.to_owned(),
            reason,
            signature: None,
            numbers,
        };
        let (decoded, signature, landing) = match ended {
            Ended::Attempted { decoded, signature, landing } => (decoded, signature, landing),
            Ended::Ready { .. } => return early(To::Ready, "", String::new(), numbers),
            Ended::HeldBack => return early(To::HeldBack, "held_back", String::new(), numbers),
            Ended::Failed(reason) => {
                let (outcome, code) = if reason.is::<Expired>() {
                    (To::Expired, "expired")
                } else if reason.is::<Unknown>() {
                    (To::Unknown, "no_news")
                } else if Reason::of(reason) == Reason::DoesNotFit {
                    (To::Failed, Reason::DoesNotFit.code())
                } else if Reason::of(reason) == Reason::BelowFloor {
                    (To::TooLittle, Reason::BelowFloor.code())
                } else {
                    (To::Failed, "not_delivered")
                };
                return early(outcome, code, format!("{reason:#}"), numbers);
            }
        };
        numbers.came(decoded);
        if let Some(landing) = landing {
            numbers.road = self.road();
            // A tip is part of the transaction: it is paid if that succeeds.
            let is_paid = decoded.outcome == Outcome::Succeeded;
            let tip = if is_paid { plan.tip_lamports() } else { 0 };
            numbers.costs = record::Costs { fee: landing.fee, tip, rent: landing.rent };
            numbers.units = landing.units;
            numbers.landed_slot = Some(landing.slot);
            numbers.slots_behind = Some(landing.slot.saturating_sub(numbers.slot));
            numbers.update_to_bytes = Some(landing.update_to_bytes);
            numbers.bytes_to_landed = Some(landing.bytes_to_landed);
        }
        let outcome = match &decoded.outcome {
            Outcome::Succeeded if landing.is_some() => To::Liquidated,
            Outcome::Succeeded => To::Simulated,
            Outcome::LostRace(_) => To::LostRace,
            Outcome::HealthyAgain(_) => To::HealthyAgain,
            Outcome::Failed(_) => To::Failed,
        };
        let explained = decoded.outcome.failure().map(|failure| failure.cause.explain());
        record::Ended {
            outcome,
            code: explained.as_ref().map(|explained| explained.title.clone()).unwrap_or_default(),
            reason: explained.map(|explained| explained.to_string()).unwrap_or_default(),
            signature: signature.clone(),
            numbers,
        }
    }

    /// What the roads that transactions are sent by take.
    fn road(&self) -> &'static str {
        let has = |kind| self.parts.roads.iter().any(|road| road.kind == kind);
        match (has(Kind::Node), has(Kind::Engine)) {
            (true, true) => "node+engine",
            (true, false) => "node",
            (false, true) => "engine",
            (false, false) => "none",
        }
    }
}

/// Says that an attempt failed: an error the first time, news after that.
fn failed(obligation: &Address, signature: Option<&str>, reason: &str, alike: u32) {
    if alike > 1 {
        info!(%obligation, signature, reason, times = alike, "failed again");
    } else {
        error!(%obligation, signature, reason, "failed");
    }
}

/// Counts and logs how an attempt ended.
fn report(
    metrics: &Metrics,
    obligation: &Address,
    decoded: &Decoded,
    signature: Option<&str>,
    quoted: f64,
    alike: u32,
) {
    let signature = signature.unwrap_or("simulated");
    match &decoded.outcome {
        Outcome::Succeeded => {
            metrics.liquidated.inc();
            match liquidated(decoded) {
                Some(event) => info!(
                    %obligation,
                    signature,
                    repaid = event.debt_repaid,
                    received = event.collateral_received,
                    profit = event.profit,
                    quoted,
                    "liquidated"
                ),
                None => info!(
                    %obligation,
                    signature,
                    quoted,
                    reason = "the node keeps no logs, and so shows no event",
                    "liquidated"
                ),
            }
        }
        Outcome::LostRace(_) => {
            metrics.lost_races.inc();
            info!(%obligation, signature, "lost the race");
        }
        Outcome::HealthyAgain(_) => {
            metrics.healthy_again.inc();
            info!(%obligation, signature, "healthy again");
        }
        Outcome::Failed(failure) => {
            metrics.failed.inc();
            failed(obligation, Some(signature), &failure.cause.explain().to_string(), alike);
        }
    }
}
