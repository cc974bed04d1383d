//! A market liquidated on paper: for each obligation, prices move in the local machine
//! until klend lets it be liquidated; it is liquidated by the whole path that `watch`
//! takes (sale, plan, simulation), nothing of it is kept, and the next one is tried.
//!
//! What falls are the prices of what the obligation has deposited, all by one share; its
//! debts keep theirs. Where no fall suffices, the debts rise instead. All prices are as of
//! now: how old an oracle may be is another question. Pools do not move with the oracles;
//! what a sale brings is counted as if they had.

use std::{
    collections::BTreeMap,
    sync::atomic::{AtomicUsize, Ordering},
    thread,
};

use anyhow::{Context as _, Error, Result, anyhow};
use flash_liquidator_client::{
    decode::{Cause, Outcome},
    klend::{ObligationAddresses, ReserveAddresses},
    token::TOKEN_2022_PROGRAM_ID,
    transaction::MAX_TRANSACTION_BYTES,
};
use klend_fork::{Machine, scope};
use klend_interface::state::Obligation;
use klend_model::{
    liquidation,
    reserve::ReserveState,
    search::{Funding, Leftovers, best_liquidation},
    table::ReserveTable,
};
use serde::Serialize;
use solana_address::Address;
use solana_transaction_error::TransactionError;

use crate::{
    book::{
        market::{Market, symbol},
        view::View,
    },
    build::{
        plan::{Plan, Wishes},
        simulation::{Stage, liquidated, simulate},
    },
    judge::value_f64,
    route::{
        frozen::Ground,
        position::Position,
        venue::{Venue, at_oracle_price},
        why::{Reason, Unread},
    },
};

/// What is tried beyond the fall that should suffice: klend rounds.
const BEYOND: [f64; 5] = [0.0, 1e-6, 1e-4, 1e-3, 1e-2];
/// The furthest that prices fall: something has to be left of them.
const FURTHEST: f64 = 0.999;
/// By how much debts rise where no fall suffices.
const RISES: [f64; 4] = [2.0, 5.0, 20.0, 100.0];
/// Parts that prices are moved in.
const PARTS: u64 = 1_000_000_000;

/// How prices move.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Shock {
    /// Share that deposits' prices fall by.
    pub fall: f64,
    /// What debts' prices are multiplied with.
    pub rise: f64,
}

impl Shock {
    const NONE: Self = Self { fall: 0.0, rise: 1.0 };
}

/// What came of an obligation.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    /// It was liquidated, at a profit.
    Liquidated,
    /// It was liquidated, but costs more than it brings, or klend finds it too small.
    TooSmall,
    /// Nothing sells its collateral for its debt.
    NoVenue,
    /// No reserve lends enough within the fee limit.
    NoLender,
    /// The transaction has too many bytes or accounts.
    DoesNotFit,
    /// klend or a token program refuses an extension of its token.
    #[serde(rename = "token_2022")]
    Token2022,
    /// Only the market's permissioner may.
    Permissioned,
    /// At no price that was tried it could be liquidated.
    NotReached,
    /// klend refuses for another reason, or nothing is known of a price.
    Refused,
    /// The simulation failed.
    Failed,
}

impl Verdict {
    /// All of them, the best first.
    pub const ALL: [Self; 10] = [
        Self::Liquidated,
        Self::TooSmall,
        Self::NoVenue,
        Self::NoLender,
        Self::DoesNotFit,
        Self::Token2022,
        Self::Permissioned,
        Self::NotReached,
        Self::Refused,
        Self::Failed,
    ];

    /// In words.
    pub const fn label(self) -> &'static str {
        match self {
            Self::Liquidated => "liquidated",
            Self::TooSmall => "too small",
            Self::NoVenue => "no venue",
            Self::NoLender => "no lender",
            Self::DoesNotFit => "does not fit",
            Self::Token2022 => "Token-2022",
            Self::Permissioned => "permissioned",
            Self::NotReached => "not reached",
            Self::Refused => "refused",
            Self::Failed => "failed",
        }
    }
}

/// One obligation after its drill. Money is in US dollars at the moved prices.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Drilled {
    pub obligation: String,
    pub debt_usd: f64,
    pub verdict: Verdict,
    /// Why not; empty where it was liquidated.
    pub why: String,
    /// Share that deposits' prices had to fall by; `None` where it was not reached.
    pub fall: Option<f64>,
    /// What debts' prices were multiplied with, where falling did not suffice.
    pub rise: Option<f64>,
    /// Symbols of the debt repaid and the collateral seized.
    pub pair: Option<(String, String)>,
    pub repaid_usd: Option<f64>,
    /// What klend's bonus is worth if the collateral sold at the oracles' prices.
    pub bonus_usd: Option<f64>,
    /// What is left after the sale, the loan's fee and all costs.
    pub profit_usd: Option<f64>,
    pub costs_usd: Option<f64>,
    pub units: Option<u64>,
    pub bytes: Option<usize>,
    /// Where it is sold.
    pub venue: Option<String>,
    /// One of its tokens is Token-2022's.
    pub token_2022: bool,
}

/// What a drill is done on.
pub struct Drill<'a> {
    /// The market comes first.
    pub ground: &'a Ground,
    pub wishes: &'a Wishes,
    pub keeper: Address,
    /// Least profit after all costs, US dollars.
    pub min_profit: f64,
}

/// An obligation with its drill, or the accounts that it turned out to need.
pub type Ended = Result<Box<Drilled>, Vec<Address>>;

impl Drill<'_> {
    /// Drills all of them, on every core.
    ///
    /// # Errors
    /// A thread broke down.
    pub fn all(
        &self,
        machine: &Machine,
        obligations: &[(Address, &Obligation)],
    ) -> Result<Vec<Ended>> {
        let threads = thread::available_parallelism().map_or(1, usize::from);
        let next = AtomicUsize::new(0);
        let work = || {
            let mut machine = machine.clone();
            let mut done = Vec::new();
            loop {
                let at = next.fetch_add(1, Ordering::Relaxed);
                let Some((key, obligation)) = obligations.get(at) else { return done };
                done.push((at, self.one(&mut machine, key, obligation)));
            }
        };
        let mut all = thread::scope(|scope| {
            let others: Vec<_> = (1..threads).map(|_| scope.spawn(work)).collect();
            let mut all = work();
            for other in others {
                all.extend(other.join().map_err(|_| anyhow!("a drilling thread broke down"))?);
            }
            Ok::<_, Error>(all)
        })?;
        all.sort_by_key(|(at, _)| *at);
        Ok(all.into_iter().map(|(_, ended)| ended).collect())
    }

    fn one(&self, machine: &mut Machine, key: &Address, obligation: &Obligation) -> Ended {
        let mut drilled = Drilled {
            obligation: key.to_string(),
            debt_usd: 0.0,
            verdict: Verdict::NotReached,
            why: String::new(),
            fall: None,
            rise: None,
            pair: None,
            repaid_usd: None,
            bonus_usd: None,
            profit_usd: None,
            costs_usd: None,
            units: None,
            bytes: None,
            venue: None,
            token_2022: false,
        };
        let result = self.reach(key, obligation, &mut drilled).and_then(|market| match market {
            Some(market) => self.liquidate(machine, key, obligation, &market, &mut drilled),
            None => {
                drilled.why =
                    "no fall of its deposits and no rise of its debts that was tried lets \
                               it be liquidated"
                        .to_owned();
                Ok(())
            }
        });
        if let Err(error) = result {
            match error.downcast::<Unread>() {
                Ok(Unread(missing)) => return Err(missing),
                Err(error) => {
                    drilled.verdict = verdict(Reason::of(&error));
                    drilled.why = format!("{error:#}");
                }
            }
        }
        Ok(Box::new(drilled))
    }

    fn market(&self) -> Result<&Market> {
        self.ground.markets.first().context("no market was read")
    }

    /// The market with prices at which klend lets the obligation be liquidated.
    fn reach(
        &self,
        key: &Address,
        obligation: &Obligation,
        drilled: &mut Drilled,
    ) -> Result<Option<Market>> {
        let market = self.market()?;
        let table = market.table()?;
        let state = table
            .obligation(key, obligation)
            .map_err(|refusal| Error::new(refusal).context("it cannot be refreshed"))?;
        drilled.debt_usd = state.health.borrowed_value.to_f64();
        let addresses = ObligationAddresses::read(key, obligation);
        for reserve in addresses.distinct_reserves() {
            let reserve = ReserveAddresses::read(&reserve, market.reserve(&reserve)?);
            drilled.token_2022 |= reserve.liquidity_token_program == TOKEN_2022_PROGRAM_ID;
        }
        if is_liquidatable(&table, key, obligation) {
            drilled.fall = Some(0.0);
            return Ok(Some(market.clone()));
        }
        let distance = state.health.distance_to_liquidation().map(|fall| fall.to_f64());
        let falls = distance.into_iter().flat_map(|fall| BEYOND.map(|more| fall + more));
        let falls = falls.filter(|fall| *fall <= FURTHEST).chain([FURTHEST]);
        let rises = RISES.map(|rise| Shock { fall: 0.0, rise });
        for shock in falls.map(|fall| Shock { fall, ..Shock::NONE }).chain(rises) {
            let moved = moved(market, &addresses, shock)?;
            if is_liquidatable(&moved.table()?, key, obligation) {
                drilled.fall = Some(shock.fall);
                drilled.rise = (shock.rise != 1.0).then_some(shock.rise);
                return Ok(Some(moved));
            }
        }
        Ok(None)
    }

    fn liquidate(
        &self,
        machine: &mut Machine,
        key: &Address,
        obligation: &Obligation,
        market: &Market,
        drilled: &mut Drilled,
    ) -> Result<()> {
        let Ground { markets, accounts, chain, pools, .. } = self.ground;
        let others = markets.iter().skip(1);
        let view = View::new([market].into_iter().chain(others), accounts, chain, pools)?;
        let (_, table) = view.market(&market.key)?;
        drilled.bonus_usd = bonus(table, key, obligation);
        let position = Position::new(&view, key, obligation, &self.wishes.search)?;
        let best = position.best(&self.wishes.search)?;
        let reserve = |key: &Address| view.reserve(key).context("a reserve is not in the table");
        let debt = reserve(&best.request.repay_reserve)?;
        let collateral = reserve(&best.request.withdraw_reserve)?;
        drilled.pair = Some((symbol(debt.account), symbol(collateral.account)));
        drilled.repaid_usd = Some(usd(debt, best.quote.repay.into()));
        drilled.venue = Some(position.venue.describe());
        if matches!(position.venue, Venue::Assumed { .. }) && debt.mint() != collateral.mint() {
            drilled.verdict = Verdict::NoVenue;
            drilled.profit_usd = Some(value_f64(best.profit_value));
            drilled.why = "no pool is known: its profit is what an assumed sale would leave; name \
                           pools with --pool"
                .to_owned();
            return Ok(());
        }
        let plan = Plan::new(&position, &self.keeper, self.wishes, 0, 0)?;
        let tables = plan.tables(&view)?;
        let stage = Stage::new(&view, &plan, true)?;
        let simulation = simulate(machine, &plan, &stage, &tables)?;
        drilled.units = Some(simulation.units);
        drilled.bytes = Some(simulation.bytes);
        let costs = plan.cost.map(|cost| usd(debt, cost.into()));
        drilled.costs_usd = costs;
        if simulation.decoded.outcome != Outcome::Succeeded {
            let failure =
                simulation.decoded.outcome.failure().context("it failed without a reason")?;
            drilled.verdict = verdict_of(&failure.cause);
            drilled.why = failure.cause.explain().to_string();
            return Ok(());
        }
        let event = liquidated(&simulation.decoded).context("the simulation told no event")?;
        // Pools keep their price in the machine; the market's would have followed.
        let followed = (1.0 - drilled.fall.unwrap_or(0.0)) / drilled.rise.unwrap_or(1.0);
        let too_much = usd(debt, event.swap_proceeds.into()) * (1.0 - followed);
        let profit = usd(debt, event.profit.into()) - too_much - costs.unwrap_or_default();
        drilled.profit_usd = Some(profit);
        (drilled.verdict, drilled.why) = if simulation.bytes > MAX_TRANSACTION_BYTES {
            let bytes = format!("{} bytes of {MAX_TRANSACTION_BYTES}", simulation.bytes);
            (Verdict::DoesNotFit, bytes)
        } else if profit < self.min_profit {
            let why = format!(
                "${profit:.6} are left after all costs, ${:.6} are wanted",
                self.min_profit
            );
            (Verdict::TooSmall, why)
        } else {
            (Verdict::Liquidated, String::new())
        };
        Ok(())
    }
}

/// Raw units of a reserve's token in US dollars.
fn usd(of: &ReserveState<'_>, raw: i128) -> f64 {
    let decimals = i32::try_from(of.account.liquidity.mint_decimals).unwrap_or(i32::MAX);
    raw as f64 / 10f64.powi(decimals) * of.market_price.to_f64()
}

/// Whether it could be liquidated at a table's prices, whoever may do it.
fn is_liquidatable(table: &ReserveTable<'_>, key: &Address, obligation: &Obligation) -> bool {
    table.obligation(key, obligation).is_ok_and(|state| {
        state.health.is_unhealthy() || liquidation::reason(table, &state).is_some()
    })
}

/// What is left, US dollars, if money costs nothing and collateral sells at the oracles'
/// prices.
fn bonus(table: &ReserveTable<'_>, key: &Address, obligation: &Obligation) -> Option<f64> {
    let state = table.obligation(key, obligation).ok()?;
    let sale = |from: &ReserveState<'_>, to: &ReserveState<'_>, amount| {
        at_oracle_price(from, to, amount, 0)
    };
    let best = best_liquidation(table, &state, Funding::OwnTokens, Leftovers::Reject, sale);
    Some(value_f64(best.ok()??.profit_value))
}

/// A market with moved prices, each as of now.
fn moved(market: &Market, of: &ObligationAddresses, shock: Shock) -> Result<Market> {
    let mut moved = market.clone();
    let clock = market.clock;
    let mut tables: BTreeMap<Address, solana_account::Account> = BTreeMap::new();
    // Prices that others are made of come first: a chain's own factor is then set against
    // what they became.
    let mut wanted: Vec<(usize, Address, f64)> = Vec::new();
    let debts = of.borrow_reserves.iter().filter(|key| !of.deposit_reserves.contains(key));
    let factors = of
        .deposit_reserves
        .iter()
        .map(|key| (key, 1.0 - shock.fall))
        .chain(debts.map(|key| (key, shock.rise)));
    for (key, factor) in factors {
        wanted.push((scope::chain_len(market.reserve(key)?), *key, factor));
    }
    wanted.sort_by_key(|(links, key, _)| (*links, *key));
    wanted.dedup_by_key(|(_, key, _)| *key);
    for (_, key, factor) in wanted {
        let reserve = market.reserve(&key)?;
        let oracle = ReserveAddresses::read(&key, reserve).oracles.scope;
        let oracle = oracle
            .with_context(|| format!("the price of reserve {key} is not Scope's: it stays"))?;
        let original = market.account(&oracle).with_context(|| format!("no oracle {oracle}"))?;
        let explain = |reason: String| anyhow!("the price of reserve {key}: {reason}");
        let price = scope::price_in(original, reserve).map_err(explain)?;
        let parts = (factor * PARTS as f64).round() as u64;
        let price = price
            .scaled(parts, PARTS)
            .with_context(|| format!("reserve {key}: no price is left"))?;
        let table = tables.entry(oracle).or_insert_with(|| original.clone());
        scope::reprice(table, reserve, price, clock.slot, clock.unix_timestamp).map_err(explain)?;
    }
    for (key, account) in tables {
        moved.replace(&key, account)?;
    }
    Ok(moved)
}

/// All prices of a market as of now, unchanged.
///
/// # Errors
/// An oracle's account is not what it should be.
pub fn dated_now(market: &mut Market) -> Result<()> {
    let clock = market.clock;
    for key in market.oracle_keys()? {
        let Some(mut account) = market.account(&key).cloned() else { continue };
        if scope::restamp(&mut account, clock.slot, clock.unix_timestamp) {
            market.replace(&key, account)?;
        }
    }
    Ok(())
}

/// What a reason means.
const fn verdict(why: Reason) -> Verdict {
    match why {
        Reason::BelowFloor | Reason::TooSmall => Verdict::TooSmall,
        Reason::NothingSells => Verdict::NoVenue,
        Reason::NoLender => Verdict::NoLender,
        Reason::DoesNotFit => Verdict::DoesNotFit,
        Reason::Token2022 => Verdict::Token2022,
        Reason::Permissioned => Verdict::Permissioned,
        _ => Verdict::Refused,
    }
}

fn verdict_of(cause: &Cause) -> Verdict {
    match cause {
        Cause::Klend(error) => match verdict(Reason::of_klend(*error)) {
            Verdict::Refused => Verdict::Failed,
            other => other,
        },
        Cause::Token { name: "Token2022Extension", .. } => Verdict::Token2022,
        Cause::Transaction(TransactionError::TooManyAccountLocks) => Verdict::DoesNotFit,
        _ => Verdict::Failed,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reasons_are_told_apart() {
        let klend = |code| {
            let error = klend_model::errors::KlendError::from_code(code).unwrap();
            (verdict_of(&Cause::Klend(error)), verdict(Reason::of_klend(error)))
        };
        assert_eq!(klend(6183), (Verdict::Permissioned, Verdict::Permissioned));
        assert_eq!(klend(6108), (Verdict::Token2022, Verdict::Token2022));
        assert_eq!(klend(6016), (Verdict::Failed, Verdict::Refused));
        assert_eq!(verdict(Reason::NoLender), Verdict::NoLender);
        assert_eq!(verdict(Reason::MintStopped), Verdict::Refused);
        let mut labels = Verdict::ALL.map(Verdict::label).to_vec();
        labels.sort_unstable();
        labels.dedup();
        assert_eq!(labels.len(), Verdict::ALL.len());
    }
}
