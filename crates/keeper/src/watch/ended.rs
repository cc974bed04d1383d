//! How an attempt ended: what is kept of it, counted, and read again.

use anyhow::Result;
use flash_liquidator_client::decode::{Cause, Decoded, Outcome, Witness};
use solana_address::Address;
use solana_instruction::error::InstructionError;
use tracing::{error, info, warn};

use super::{decide::tracked, engine::Engine, worker::Ended};
use crate::{
    build::{plan::Plan, simulation::liquidated},
    judge::{state::State, value_f64},
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
            // It is to stop; or the ledger cannot be written, and begins nothing until it can.
            Ended::HeldBack => {
                info!(obligation = %key, "not sent");
                self.queue.put(key, quoted);
                rests = false;
            }
            Ended::Failed(reason) if Reason::of(reason) == Reason::BelowFloor => {
                // By what the simulation says that it costs.
                let reason = format!("{reason:#}");
                info!(obligation = %key, profit = quoted, reason, "too little profit");
            }
            Ended::Failed(reason) => {
                metrics.failed.inc();
                if let Some(Expired { signature, .. }) = reason.downcast_ref() {
                    // The next one offers more, and at once.
                    let tries = self.tries.entry(*key).or_default();
                    *tries += 1;
                    rests = false;
                    let reason = format!("{reason:#}");
                    warn!(obligation = %key, signature, reason, tries, "not landed");
                } else {
                    let signature = reason.downcast_ref::<Unknown>().map(|it| &*it.signature);
                    failed(key, signature, &format!("{reason:#}"), alike);
                }
            }
        }
        let now = self.time.now();
        let is_undelivered = matches!(ended, Ended::Failed(reason)
            if !reason.is::<Unknown>() && Reason::of(reason) == Reason::Failed);
        if rests && (is_undelivered || alike <= 1 && self.has_changed(plan)) {
            self.cooldown.rest_shortly(key, now);
        } else if rests {
            let was_sent = !matches!(ended, Ended::Attempted { signature: None, .. });
            self.cooldown.rest_longer(key, now, alike, was_sent);
        }
        // What it moved, or what was not as it was known.
        let is_kept = |key: &Address| key == plan.obligation() || self.accounts.is_known(key);
        self.needed.want(plan.mentioned()?.into_iter().filter(is_kept).collect::<Vec<_>>());
        Ok(())
    }

    /// Whether the obligation is known to be another than it was planned for.
    fn has_changed(&self, plan: &Plan) -> bool {
        let known = |state: &State| state.known(plan.obligation()).copied();
        let known = self.states.values().find_map(known);
        known.is_some_and(|it| bytemuck::bytes_of(&it) != bytemuck::bytes_of(&*plan.before))
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

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use anyhow::anyhow;
    use flash_liquidator_client::decode::{Executed, decode};
    use klend_interface::state::{DISCRIMINATOR_SIZE, Obligation};
    use solana_transaction_error::TransactionError;

    use super::*;
    use crate::{
        feeds::source::{KLEND, Source as _},
        watch::rig::Rig,
    };

    /// klend refuses what was tried here, and no transaction was sent: with 6015, which is
    /// what somebody who was faster leaves, or a fault of one's own.
    fn refused(plan: &Plan) -> Ended {
        let instructions = plan.instructions().unwrap();
        let programs: Vec<Address> = instructions.iter().map(|ix| ix.program_id).collect();
        let of_klend = programs.iter().position(|program| *program == KLEND).unwrap();
        let error = InstructionError::Custom(6015);
        let error = TransactionError::InstructionError(u8::try_from(of_klend).unwrap(), error);
        let executed = Executed { error: Some(&error), logs: &[], programs: &programs };
        let decoded = Box::new(decode(&executed, None));
        Ended::Attempted { decoded, signature: None, landing: None }
    }

    /// What the loop knows when the worker is done says whether somebody was faster; and the
    /// rest after a try ends when there is another obligation to try.
    #[test]
    fn a_race_that_only_the_simulation_lost_is_no_failure_and_ends_no_chance() {
        let mut rig = Rig::new("simulate = \"none\"", |_| ());
        rig.settle();
        let plan = rig.jobs.try_recv().unwrap().plan;
        let key = *plan.obligation();
        let rests = |rig: &Rig| rig.engine.cooldown.left(&key, rig.engine.time.now()).as_secs();
        let counted = |rig: &Rig| {
            let metrics = &rig.engine.parts.records.metrics;
            (metrics.failed.get(), metrics.lost_races.get())
        };
        rig.engine.done(&plan, refused(&plan)).unwrap();
        assert_eq!(counted(&rig), (1, 0), "nobody was there");
        rig.settle();
        assert!(rests(&rig) == 30 && rig.jobs.try_recv().is_err());

        // Somebody took half of it, and it is still not healthy.
        let mut account = rig.source.account("obligation", &key).unwrap();
        let obligation: &mut Obligation =
            bytemuck::from_bytes_mut(&mut account.data[DISCRIMINATOR_SIZE..]);
        obligation.deposits[0].deposited_amount /= 2;
        let debt: u128 = obligation.borrows[0].borrowed_amount_sf.into();
        obligation.borrows[0].borrowed_amount_sf = (debt / 2).into();
        let slot = rig.slot();
        rig.tell(&key, slot + 1, Some(account));
        assert_eq!(rests(&rig), 4);
        rig.engine.time.at.since += Duration::from_secs(4);
        rig.settle();
        let again = rig.jobs.try_recv().unwrap().plan;
        assert!(
            again.before.deposits[0].deposited_amount < plan.before.deposits[0].deposited_amount
        );

        // Told of before the worker of the first try is done: it was a lost race, and little
        // to rest for.
        rig.engine.done(&plan, refused(&plan)).unwrap();
        assert_eq!((counted(&rig), rests(&rig)), ((1, 1), 4));
        // Of what it is now nobody took anything.
        rig.engine.done(&again, refused(&again)).unwrap();
        assert_eq!((counted(&rig), rests(&rig)), ((2, 1), 30));
    }

    #[test]
    fn what_nobody_took_is_tried_again_soon() {
        let mut rig = Rig::new("simulate = \"none\"\ncooldown_seconds = 600", |_| ());
        rig.settle();
        let plan = rig.jobs.try_recv().unwrap().plan;
        for _ in 0..5 {
            let reason = anyhow!("nothing was sent: refused by every road");
            rig.engine.done(&plan, Ended::Failed(reason)).unwrap();
            let left = rig.engine.cooldown.left(plan.obligation(), rig.engine.time.now());
            assert_eq!(left, Duration::from_secs(4));
        }
    }
}
