//! What an aggregator offers for the pairs of obligations that are near their limit: asked
//! beside the path, one question at a time, and read like everything else before it is
//! needed.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use anyhow::Result;
use flash_liquidator_client::{
    receiver::swap_authority,
    swap::jupiter::{Ask, JupiterRoute, MOST_ACCOUNTS},
};
use solana_address::Address;
use tracing::{info, warn};

use super::{engine::Engine, offering::Asked};
use crate::{
    book::pools::{Offered, Pair},
    build::{
        fit::{Fit, fit},
        plan::Plan,
    },
    config::Asking,
    feeds::jupiter::Trouble,
    route::{
        discovery::{SHRINKING, Want},
        position::Position,
    },
};

/// How long a decision waits for an answer that the operator wants waited for.
const PATIENCE: Duration = Duration::from_secs(1);
/// Rescans after which a pair is not asked about any more that nobody near has.
const FORGOTTEN: u32 = 3;

impl Engine {
    /// Notes what may have to be sold.
    pub(super) fn may_sell(&mut self, wanted: &[Want]) {
        let Some(asking) = &self.parts.config.jupiter else { return };
        let seen = self.time.now();
        for Want { pair, amount } in wanted {
            let asked = self.offering.pairs.entry(*pair).or_insert_with(|| Asked {
                amount: 0,
                seen,
                at: None,
                answered: false,
                max_accounts: asking.max_accounts,
                told: String::new(),
            });
            (asked.amount, asked.seen) = (asked.amount.max(*amount), seen);
        }
    }

    /// Whether the aggregator was asked about a pair, or is not to be.
    pub(super) fn is_asked(&self, pair: &Pair) -> bool {
        self.offering.asker.is_none()
            || self.offering.pairs.get(pair).is_some_and(|asked| asked.answered)
    }

    /// Forgets what is too old, takes what fits, and asks what is due.
    pub(super) fn keep_offers(&mut self, now: Instant) -> Result<()> {
        let Some(asking) = self.parts.config.jupiter.clone() else { return Ok(()) };
        for offers in self.pools.offers.values_mut() {
            offers.retain(|offer| now.saturating_duration_since(offer.at) < asking.oldest);
        }
        self.check_offers(&asking, now)?;
        let late: Vec<Address> = self
            .offering
            .consulting
            .iter()
            .filter(|(_, (_, since, _))| now.saturating_duration_since(*since) >= PATIENCE)
            .map(|(key, _)| *key)
            .collect();
        late.iter().for_each(|key| self.go_on(key));
        if self.offering.asking || now < self.offering.next {
            return Ok(());
        }
        let forgotten = self.parts.config.rescan * FORGOTTEN;
        self.offering
            .pairs
            .retain(|_, asked| now.saturating_duration_since(asked.seen) < forgotten);
        let is_due = |asked: &Asked| {
            asked.at.is_none_or(|at| now.saturating_duration_since(at) >= asking.refresh)
        };
        let due = self.offering.pairs.iter().filter(|(_, asked)| is_due(asked));
        let Some((pair, amount)) =
            due.min_by_key(|(_, asked)| asked.at).map(|(pair, asked)| (*pair, asked.amount))
        else {
            return Ok(());
        };
        self.ask_aggregator(pair, amount)
    }

    fn ask_aggregator(&mut self, pair: Pair, amount: u64) -> Result<()> {
        let (sold, bought) = pair;
        let Some(asked) = self.offering.pairs.get_mut(&pair) else { return Ok(()) };
        let Some(asker) = &self.offering.asker else { return Ok(()) };
        asked.at = Some(self.time.now());
        self.offering.asking = true;
        asker.ask(Ask {
            sold,
            bought,
            amount,
            authority: swap_authority(&self.keeper).0,
            payer: self.keeper,
            slippage_bps: self.parts.config.wishes.slippage_bps,
            max_accounts: asked.max_accounts,
        })
    }

    /// Takes an answer.
    pub(super) fn offered(
        &mut self,
        ask: &Ask,
        answer: Result<JupiterRoute, Trouble>,
    ) -> Result<()> {
        let (pair, now) = ((ask.sold, ask.bought), self.time.now());
        let Some(asking) = self.parts.config.jupiter.clone() else { return Ok(()) };
        self.offering.asking = false;
        self.offering.next = now + asking.pause;
        let Some(asked) = self.offering.pairs.get_mut(&pair) else { return Ok(()) };
        asked.answered |= matches!(answer, Ok(_) | Err(Trouble::NoRoute(_)));
        match answer {
            Ok(route) => {
                let at = asked.at.unwrap_or(now);
                let offer = Offered { pair, route, at };
                // Read anew, too: it is what the local machine tries it on.
                let keys = offer.accounts();
                self.asked.extend(keys.iter().filter(|key| !self.accounts.is_known(key)));
                self.needed.want(keys);
                self.offering.unchecked.push(Arc::new(offer));
            }
            Err(trouble) => {
                if let Trouble::Limited(wait) = trouble {
                    self.offering.next = now + wait;
                }
                let text = trouble.to_string();
                if text != asked.told {
                    let (sold, bought) = pair;
                    match trouble {
                        Trouble::NoRoute(_) => info!(%sold, %bought, reason = text, "no offer"),
                        _ => warn!(%sold, %bought, reason = text, "no offer"),
                    }
                    asked.told = text;
                }
                self.consulted_about(&pair);
            }
        }
        Ok(())
    }

    /// Holds offers whose accounts are known against a transaction's limits.
    fn check_offers(&mut self, asking: &Asking, now: Instant) -> Result<()> {
        let (known, waiting): (Vec<_>, Vec<_>) = std::mem::take(&mut self.offering.unchecked)
            .into_iter()
            .partition(|offer| self.accounts.unread(offer.accounts()).is_empty());
        self.offering.unchecked = waiting;
        let is_fresh = |at: Instant| now.saturating_duration_since(at) < asking.oldest;
        self.offering.unchecked.retain(|offer| is_fresh(offer.at));
        for offer in known {
            let (sold, bought) = offer.pair;
            let stated = offer.route.stated;
            let fits = self.fits(&offer);
            let Some(asked) = self.offering.pairs.get_mut(&offer.pair) else { continue };
            match fits {
                Ok(Fit::Fits) => {
                    info!(
                        %sold,
                        %bought,
                        amount = stated.amount_in,
                        pays = stated.amount_out,
                        platform_fee_bps = stated.platform_fee_bps,
                        positive_slippage_bps = stated.positive_slippage_bps,
                        accounts = offer.route.leg.accounts.len(),
                        "offered"
                    );
                    asked.told.clear();
                    let pair = offer.pair;
                    let is_first = self.pools.offers.get(&pair).is_none_or(Vec::is_empty);
                    // The newest for an amount, and one for another.
                    let offers = self.pools.offers.entry(pair).or_default();
                    offers.retain(|old| old.route.stated.amount_in != stated.amount_in);
                    offers.push(offer);
                    if is_first {
                        self.sells_anew();
                    }
                    self.consulted_about(&pair);
                }
                Ok(Fit::TooLarge(reason)) => {
                    self.ask_for_less(&offer.pair, &reason);
                }
                Err(reason) => {
                    warn!(%sold, %bought, reason = format!("{reason:#}"), "an offer is not used");
                }
            }
        }
        Ok(())
    }

    /// Asks for a route with fewer accounts next, and soon.
    fn ask_for_less(&mut self, pair: &Pair, reason: &str) {
        let Some(asked) = self.offering.pairs.get_mut(pair) else { return };
        let (sold, bought) = pair;
        match SHRINKING.into_iter().find(|less| *less < asked.max_accounts) {
            Some(less) => {
                info!(%sold, %bought, reason, max_accounts = less, "an offer does not fit");
                (asked.max_accounts, asked.at) = (less, None);
            }
            None => {
                warn!(%sold, %bought, reason, "no offer is small enough");
                // What is offered later may be.
                asked.max_accounts = MOST_ACCOUNTS;
            }
        }
        self.consulted_about(pair);
    }

    fn fits(&self, offer: &Offered) -> Result<Fit> {
        let config = &self.parts.config;
        let view = self.view()?;
        for state in self.states.values() {
            for key in &self.scouting.near {
                let Some(obligation) = state.tracker.get(key) else { continue };
                let position = Position::new(&view, key, obligation, &config.wishes.search)?;
                let own = &config.wishes.tables;
                if let Some(fit) = fit(&position, &self.keeper, offer, own)? {
                    return Ok(fit);
                }
            }
        }
        // Nobody near has the pair any more.
        Ok(Fit::Fits)
    }

    /// Whether a decision has to wait until what it would sell was asked for exactly. Then
    /// it is asked for.
    pub(super) fn consult(&mut self, key: &Address, profit: f64) -> Result<bool> {
        let is_wanted = self.parts.config.jupiter.as_ref().is_some_and(|asking| asking.on_path);
        if !is_wanted || self.offering.asker.is_none() || self.offering.asking {
            return Ok(false);
        }
        let Some(Want { pair, amount }) = self.would_sell(key) else { return Ok(false) };
        if self.offering.consulted.remove(key) {
            return Ok(false);
        }
        let (sold, bought) = pair;
        if sold == bought || self.time.now() < self.offering.next {
            return Ok(false);
        }
        self.may_sell(&[Want { pair, amount }]);
        self.ask_aggregator(pair, amount)?;
        self.offering.consulting.insert(*key, (pair, self.time.now(), profit));
        Ok(true)
    }

    /// What waited for an answer about a pair goes on.
    fn consulted_about(&mut self, pair: &Pair) {
        let waiting = self.offering.consulting.iter();
        let waiting = waiting.filter(|(_, (of, ..))| of == pair).map(|(key, _)| *key);
        let waiting: Vec<Address> = waiting.collect();
        waiting.iter().for_each(|key| self.go_on(key));
    }

    fn go_on(&mut self, key: &Address) {
        if let Some((.., profit)) = self.offering.consulting.remove(key) {
            self.offering.consulted.insert(*key);
            self.queue.put(key, profit);
        }
    }

    /// Gives up offers of the pair that a plan sold by: it failed with them. What calls too
    /// deep is asked for with fewer accounts.
    pub(super) fn offer_failed(&mut self, plan: &Plan, is_too_deep: bool) {
        if plan.offered.is_none() {
            return;
        }
        let mint = |reserve: &Address| {
            plan.reserves().iter().find(|it| it.reserve == *reserve).map(|it| it.liquidity_mint)
        };
        let order = &plan.order;
        let (Some(sold), Some(bought)) =
            (mint(&order.withdraw_reserve), mint(&order.repay_reserve))
        else {
            return;
        };
        let pair = (sold, bought);
        self.pools.offers.remove(&pair);
        if is_too_deep {
            self.ask_for_less(&pair, "its calls are too deep");
        } else if let Some(asked) = self.offering.pairs.get_mut(&pair) {
            asked.at = None;
        }
    }
}
