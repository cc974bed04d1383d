//! What a transaction's calls mean to klend: which prices were read, who liquidated whom
//! at which bonus, what an oracle's refresh in front changed, where collateral was sold,
//! what was earned, and why it failed if it did.
//!
//! Amounts come from transfers, values from klend's log lines. Where a node kept no logs,
//! what only they tell is missing, and nothing else.

use std::collections::{BTreeMap, BTreeSet};

use flash_liquidator_client::decode::{Cause, Explanation, Failure};
use klend_fork::NATIVE_MINT;
use klend_model::{
    constants::{KLEND_PROGRAM_ID, SCOPE_PROGRAM_ID},
    errors::Code,
};
use solana_address::{Address, address};

mod lines;

use lines::{
    after, guards, liquidation, oracle_update, price_of, prices, refreshed, shows, thousands,
};

use super::{
    Call, Trace,
    names::{self, Kind},
    tokens::{Transfer, lamports, transfers},
};

/// klend's liquidations; the first sixteen accounts of both mean the same.
const LIQUIDATIONS: [&str; 2] = [
    "LiquidateObligationAndRedeemReserveCollateral",
    "LiquidateObligationAndRedeemReserveCollateralV2",
];
/// The dollar that most debts are in.
const USDC: Address = address!("EPjFWdd5AufqSSqeM2qN1xzybapC8G4wEGGkZwyTDt1v");

/// A token account as it was before and after.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Balance {
    pub account: Address,
    pub mint: Address,
    pub decimals: u8,
    pub owner: Option<Address>,
    pub before: u64,
    pub after: u64,
}

/// What is told of a transaction beside its calls.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Around {
    pub payer: Address,
    /// Lamports of the payer before and after.
    pub payer_lamports: (u64, u64),
    pub balances: Vec<Balance>,
}

/// A number that Scope wrote, or left as it was.
#[derive(Clone, Debug, PartialEq)]
pub struct OracleUpdate {
    /// Its place among Scope's prices.
    pub token: u16,
    pub kind: String,
    /// Mantissas; the number of decimals is not logged.
    pub before: u128,
    pub after: u128,
    /// Slot the number is of, and the slot it was written in.
    pub slots: (u64, u64),
    /// The token whose price in klend is this number.
    pub symbol: Option<String>,
}

impl OracleUpdate {
    /// What the number was in parts of what it is.
    pub fn ratio(&self) -> f64 {
        self.before as f64 / self.after as f64
    }
}

/// Seconds, and how many are allowed.
pub type Age = (u64, u64);

/// A price that klend took into a reserve.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Price {
    pub reserve: Option<Address>,
    pub symbol: String,
    pub usd: f64,
    /// It is too old.
    pub old: Option<Age>,
    /// Its average is.
    pub old_average: Option<Age>,
    /// It is too far from its average.
    pub apart: bool,
}

/// One of an obligation's tokens, as a refresh logged it.
#[derive(Clone, Debug, PartialEq)]
pub struct Holding {
    pub symbol: String,
    /// US dollars; of debts with their borrow factor.
    pub usd: f64,
}

/// An obligation as it was refreshed.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Refreshed {
    pub obligation: Address,
    pub reserves: Vec<Address>,
    pub deposits: Vec<Holding>,
    pub debts: Vec<Holding>,
}

/// A liquidation by klend.
#[derive(Clone, Debug, PartialEq)]
pub struct Liquidation {
    pub instruction: usize,
    pub liquidator: Address,
    pub obligation: Address,
    pub market: Address,
    pub repay_reserve: Address,
    pub debt_mint: Address,
    pub withdraw_reserve: Address,
    pub collateral_mint: Address,
    /// Debt offered, and the collateral it had to bring.
    pub offered: Option<(u64, u64)>,
    /// What moved, raw units; `None` where it failed, or the node does not tell.
    pub repaid: Option<u64>,
    pub received: Option<u64>,
    /// klend's own share of the collateral.
    pub fee: Option<u64>,
    /// klend's reason, and its bonus in bps.
    pub reason: Option<(String, u32)>,
    /// Debt and limit, US dollars: it may be liquidated from the limit on.
    pub values: Option<(f64, f64)>,
    /// The same with the prices before an oracle was refreshed in front.
    pub values_before: Option<(f64, f64)>,
}

/// A swap in a pool.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sale {
    pub venue: String,
    /// What went in and what came out; `None` where the node does not tell.
    pub moved: Option<(Transfer, Transfer)>,
}

/// A program of somebody's own around a liquidation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Guard {
    pub program: Address,
    /// It is called before the liquidation, and after it.
    pub before: bool,
    pub after: bool,
}

/// All of it.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Story {
    pub oracle: Vec<OracleUpdate>,
    pub prices: Vec<Price>,
    pub refreshed: Vec<Refreshed>,
    pub liquidations: Vec<Liquidation>,
    pub sales: Vec<Sale>,
    pub guards: Vec<Guard>,
    /// Lamports that the payer gave away in instructions of their own.
    pub tips: Vec<Transfer>,
    /// What the liquidator, or else the payer, has more of by mint, raw units.
    pub gains: BTreeMap<Address, i128>,
    /// Lamports that the payer has more of: fee, tips and rent are in it.
    pub lamports: i128,
    pub decimals: BTreeMap<Address, u8>,
    pub symbols: BTreeMap<Address, String>,
    /// US dollars of a token that klend logs no price of, by what a sale paid for it.
    pub by_sale: BTreeMap<Address, f64>,
}

impl Story {
    /// Reads it.
    pub fn new(trace: &Trace, around: &Around) -> Self {
        let mut story = Self::default();
        for (at, call) in trace.calls.iter().enumerate() {
            if call.program == SCOPE_PROGRAM_ID {
                story.oracle.extend(call.logs.iter().filter_map(|line| oracle_update(line)));
            } else if call.program == KLEND_PROGRAM_ID {
                story.of_klend(trace, at, call);
            }
            if names::kind(&call.program) == Kind::Venue {
                let below: Vec<Transfer> = trace.below(at).iter().flat_map(transfers).collect();
                let moved = match below[..] {
                    [first, .., last] => Some((first, last)),
                    _ => None,
                };
                story.sales.push(Sale { venue: names::program(&call.program), moved });
            }
        }
        story.tips = trace
            .instructions()
            .filter_map(lamports)
            .filter(|moved| moved.from == around.payer)
            .collect();
        story.name_tokens(around);
        story.look_before();
        story.price_by_sales(around);
        story.guards = guards(trace, &story.liquidations);
        let earner = story.liquidations.first().map_or(around.payer, |first| first.liquidator);
        for balance in around.balances.iter().filter(|of| of.owner == Some(earner)) {
            *story.gains.entry(balance.mint).or_default() +=
                i128::from(balance.after) - i128::from(balance.before);
        }
        story.gains.retain(|_, gain| *gain != 0);
        let (before, after) = around.payer_lamports;
        story.lamports = i128::from(after) - i128::from(before);
        story
    }

    fn of_klend(&mut self, trace: &Trace, at: usize, call: &Call) {
        match call.name.as_deref() {
            Some("RefreshReserve" | "RefreshReservesBatch") => self.prices.extend(prices(call)),
            Some("RefreshObligation") => self.refreshed.extend(refreshed(call)),
            Some(name) if LIQUIDATIONS.contains(&name) => {
                self.liquidations.extend(liquidation(call, trace.below(at)));
            }
            _ => {}
        }
    }

    /// Names of mints, their decimals, and which of an oracle's numbers is whose price.
    fn name_tokens(&mut self, around: &Around) {
        for balance in &around.balances {
            self.decimals.insert(balance.mint, balance.decimals);
        }
        for (mint, symbol) in [(NATIVE_MINT, "SOL"), (USDC, "USDC")] {
            self.symbols.insert(mint, symbol.to_owned());
        }
        for Liquidation { repay_reserve, debt_mint, withdraw_reserve, collateral_mint, .. } in
            &self.liquidations
        {
            for (reserve, mint) in [(repay_reserve, debt_mint), (withdraw_reserve, collateral_mint)]
            {
                if let Some(price) = price_of(&self.prices, reserve) {
                    self.symbols.insert(*mint, price.symbol.clone());
                }
            }
        }
        for update in &mut self.oracle {
            let mut fitting = self.prices.iter().filter(|price| shows(update.after, price.usd));
            let first = fitting.next();
            // One number may be two tokens': then nobody knows whose.
            if let Some(first) =
                first.filter(|first| fitting.all(|next| next.symbol == first.symbol))
            {
                update.symbol = Some(first.symbol.clone());
            }
        }
    }

    /// Prices of tokens that were sold for ones with a price, or bought with them.
    fn price_by_sales(&mut self, around: &Around) {
        let mint = |moved: &Transfer| {
            let of = |key: Address| {
                around.balances.iter().find(|it| it.account == key).map(|it| it.mint)
            };
            of(moved.from).or(of(moved.to))
        };
        let sales: Vec<[(Address, u64); 2]> = self
            .sales
            .iter()
            .filter_map(|sale| {
                let (sold, bought) = sale.moved?;
                Some([(mint(&sold)?, sold.amount), (mint(&bought)?, bought.amount)])
            })
            .collect();
        // Each way over several sales is as long as there are sales.
        for _ in 0..sales.len() {
            for [one, other] in &sales {
                for ((known, paid), (unknown, got)) in [(one, other), (other, one)] {
                    if self.usd(unknown, 1).is_some() {
                        continue;
                    }
                    if let (Some(usd), Some(decimals)) =
                        (self.usd(known, i128::from(*paid)), self.decimals.get(unknown))
                        && *got > 0
                    {
                        let whole = *got as f64 / 10f64.powi(i32::from(*decimals));
                        self.by_sale.insert(*unknown, usd / whole);
                    }
                }
            }
        }
    }

    /// What each liquidated obligation was worth with the prices before.
    fn look_before(&mut self) {
        let ratio = |symbol: &str| {
            let of_it = |update: &&OracleUpdate| update.symbol.as_deref() == Some(symbol);
            self.oracle.iter().find(of_it).map_or(1.0, OracleUpdate::ratio)
        };
        for liquidation in &mut self.liquidations {
            let (Some((_, limit)), Some(state)) = (
                liquidation.values,
                self.refreshed.iter().rfind(|state| state.obligation == liquidation.obligation),
            ) else {
                continue;
            };
            let all = state.deposits.iter().chain(&state.debts);
            if all.map(|of| ratio(&of.symbol)).all(|ratio| ratio == 1.0) {
                continue;
            }
            let debt = state.debts.iter().map(|of| of.usd * ratio(&of.symbol)).sum();
            // Thresholds are not logged: what one of several deposits adds to the limit is
            // not known.
            let mut ratios = state.deposits.iter().map(|of| ratio(&of.symbol));
            let first = ratios.next().unwrap_or(1.0);
            if ratios.all(|ratio| ratio == first) {
                liquidation.values_before = Some((debt, limit * first));
            }
        }
    }

    /// A reserve's price, as it was refreshed last.
    pub fn price_of(&self, reserve: &Address) -> Option<&Price> {
        price_of(&self.prices, reserve)
    }

    /// A mint's price, where a liquidation tells its reserve.
    pub fn price_of_mint(&self, mint: &Address) -> Option<f64> {
        let of = |liquidation: &Liquidation| {
            if liquidation.debt_mint == *mint {
                self.price_of(&liquidation.repay_reserve)
            } else if liquidation.collateral_mint == *mint {
                self.price_of(&liquidation.withdraw_reserve)
            } else {
                None
            }
        };
        let price = self.liquidations.iter().find_map(of).map(|price| price.usd);
        price.filter(|usd| !usd.is_nan())
    }

    /// An amount in US dollars, at klend's price, or else at that of a sale.
    pub fn usd(&self, mint: &Address, amount: i128) -> Option<f64> {
        let decimals = i32::from(*self.decimals.get(mint)?);
        let price = self.price_of_mint(mint).or_else(|| self.by_sale.get(mint).copied())?;
        Some(amount as f64 / 10f64.powi(decimals) * price)
    }

    /// The tokens gained in US dollars; `None` where a price is missing.
    pub fn gained_usd(&self) -> Option<f64> {
        self.gains.iter().map(|(mint, amount)| self.usd(mint, *amount)).sum()
    }

    /// The same less a fee in lamports and the tips; `None` where SOL has no price.
    pub fn net_usd(&self, fee: u64) -> Option<f64> {
        let tips: u64 = self.tips.iter().map(|tip| tip.amount).sum();
        let costs = i128::from(fee) + i128::from(tips);
        Some(self.gained_usd()? - self.usd(&NATIVE_MINT, costs)?)
    }

    /// Why klend refused, where more is known than its number says.
    pub fn cause(&self, failure: &Failure, trace: &Trace) -> Option<Explanation> {
        let Cause::Klend(error) = &failure.cause else { return None };
        let failed = trace.calls.iter().rfind(|call| {
            call.program == KLEND_PROGRAM_ID
                && failure.instruction.is_none_or(|at| call.instruction == usize::from(at))
        })?;
        let title = failure.cause.explain().title;
        match error.lending_error()? {
            Code::ObligationStale | Code::ReserveStale => self.stale(title),
            Code::InvalidAmount => {
                let said = failed.logs.iter().find(|line| line.contains("cannot be zero"));
                let amount = failed.logs.iter().find_map(|line| after(line, " amount "));
                let is_zero = said.is_some() || amount.is_some_and(|amount| amount == "0");
                is_zero.then(|| Explanation {
                    title,
                    sentence: format!(
                        "{} was asked for an amount of 0.",
                        failed.name.as_deref().unwrap_or("klend")
                    ),
                    hint:
                        "Ask for at least one unit: whoever built the transaction had nothing to \
                           move, or rounded it away."
                            .to_owned(),
                })
            }
            _ => None,
        }
    }

    /// Not refreshed, or refreshed with a price that does not count.
    fn stale(&self, title: String) -> Option<Explanation> {
        let old: Vec<String> = self
            .prices
            .iter()
            .filter_map(|price| {
                let (age, allowed) = price.old?;
                let (age, allowed) = (thousands(age), thousands(allowed));
                Some(format!("{} is {age} s old, {allowed} s are allowed", price.symbol))
            })
            .collect();
        let hint = "Refreshing again does not help: the oracle itself has nothing newer. Wait for \
                    it, and watch its market's hours.";
        if !old.is_empty() {
            let sentence =
                format!("Refreshed, but with a price that is too old: {}.", old.join("; "));
            return Some(Explanation { title, sentence, hint: hint.to_owned() });
        }
        let fresh: BTreeSet<&Address> =
            self.prices.iter().filter_map(|price| price.reserve.as_ref()).collect();
        let state = self.refreshed.last()?;
        let missing = state.reserves.iter().find(|reserve| !fresh.contains(*reserve));
        Some(match missing {
            Some(reserve) => Explanation {
                title,
                sentence: format!("Reserve {reserve} of the obligation was not refreshed."),
                hint: "Refresh every reserve of the obligation, then the obligation.".to_owned(),
            },
            None => Explanation {
                title,
                sentence: "Everything was refreshed in this transaction, so a price was not \
                           accepted: too old, or too far from its average."
                    .to_owned(),
                hint: "`keeper obligation` shows which reserve's price klend does not take; where \
                       it is too old, only the oracle can help."
                    .to_owned(),
            },
        })
    }
}

#[cfg(test)]
mod tests;
