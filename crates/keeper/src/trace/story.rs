//! What a transaction's calls mean to klend: which prices were read, who liquidated whom
//! at which bonus, what an oracle's refresh in front changed, where collateral was sold,
//! what was earned, and why it failed if it did.
//!
//! Amounts come from transfers, values from klend's log lines. Where a node kept no logs,
//! what only they tell is missing, and nothing else.

use std::collections::{BTreeMap, BTreeSet};

use flash_liquidator_client::{
    decode::{Cause, Explanation, Failure},
    receiver,
};
use klend_fork::NATIVE_MINT;
use klend_model::{
    constants::{KLEND_PROGRAM_ID, SCOPE_PROGRAM_ID},
    errors::Code,
};
use solana_address::{Address, address};

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
/// How far a price in klend's log, of four decimals, may be from the oracle's number.
const SHOWN: f64 = 1e-4;
/// Most decimals that an oracle's number has.
const MOST_DECIMALS: i32 = 24;

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

    /// An amount in US dollars.
    pub fn usd(&self, mint: &Address, amount: i128) -> Option<f64> {
        let decimals = i32::from(*self.decimals.get(mint)?);
        Some(amount as f64 / 10f64.powi(decimals) * self.price_of_mint(mint)?)
    }

    /// The tokens gained in US dollars; `None` where a price is missing.
    pub fn gained_usd(&self) -> Option<f64> {
        self.gains.iter().map(|(mint, amount)| self.usd(mint, *amount)).sum()
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

fn thousands(number: u64) -> String {
    crate::format::tokens(number, 0)
}

fn price_of<'a>(prices: &'a [Price], reserve: &Address) -> Option<&'a Price> {
    prices.iter().rfind(|price| price.reserve.as_ref() == Some(reserve))
}

/// Whether a mantissa with some number of decimals is what klend logged.
fn shows(mantissa: u128, usd: f64) -> bool {
    (0..=MOST_DECIMALS).any(|decimals| {
        let value = mantissa as f64 / 10f64.powi(decimals);
        // At least two digits have to agree.
        value > 10.0 * SHOWN && (value - usd).abs() <= SHOWN
    })
}

/// The text between `word` and the next space or comma.
fn after<'a>(line: &'a str, word: &str) -> Option<&'a str> {
    let (_, rest) = line.split_once(word)?;
    rest.split([' ', ',', ']']).next().filter(|found| !found.is_empty())
}

fn number<T: std::str::FromStr>(line: &str, word: &str) -> Option<T> {
    after(line, word)?.parse().ok()
}

/// `tk 320, CappedFloored: 86 to 85 | prev_slot: 1, new_slot: 2, crt_slot: 3`
fn oracle_update(line: &str) -> Option<OracleUpdate> {
    let rest = line.strip_prefix("tk ")?;
    let (token, rest) = rest.split_once(", ")?;
    let (kind, rest) = rest.split_once(": ")?;
    let (before, rest) = rest.split_once(" to ")?;
    Some(OracleUpdate {
        token: token.parse().ok()?,
        kind: kind.to_owned(),
        before: before.parse().ok()?,
        after: rest.split(' ').next()?.parse().ok().filter(|after| *after > 0)?,
        slots: (number(rest, "new_slot: ")?, number(rest, "crt_slot: ")?),
        symbol: None,
    })
}

/// The reserves that a refresh is about, in the order it logs them.
fn reserves(call: &Call) -> Vec<Address> {
    // Of several, each brings its market, and its four oracles unless prices stay.
    let skips = call.data.get(8) == Some(&1);
    let each = match call.name.as_deref() {
        Some("RefreshReservesBatch") if skips => 2,
        _ => 6,
    };
    call.accounts.iter().step_by(each).copied().collect()
}

fn prices(call: &Call) -> Vec<Price> {
    let reserves = reserves(call);
    let mut prices = Vec::new();
    let (mut price, mut age) = (Price::default(), None);
    for line in &call.logs {
        if let Some(seconds) = number(line, "too old age=") {
            age = Some((seconds, number(line, "max_age=").unwrap_or_default()));
        } else if line.starts_with("Price twap is too old") {
            price.old_average = age.take();
        } else if line.starts_with("Price is too old token=") {
            price.old = age.take();
        } else if line.starts_with("Price is too far from TWAP") {
            price.apart = true;
        } else if let Some(symbol) = line.strip_prefix("Token: ") {
            let Some((symbol, usd)) = symbol.split_once(" Price: ") else { continue };
            let Ok(usd) = usd.trim().parse() else { continue };
            let reserve = reserves.get(prices.len()).copied();
            prices.push(Price {
                reserve,
                symbol: symbol.to_owned(),
                usd,
                ..std::mem::take(&mut price)
            });
        }
    }
    // Without lines, at least which reserves they were.
    if prices.is_empty() {
        let silent = |reserve| Price { reserve: Some(reserve), usd: f64::NAN, ..Price::default() };
        prices = reserves.into_iter().map(silent).collect();
    }
    prices
}

/// `Borrow: USDC amount: 1.0 value: 2.0 value_bf: 3.0`, `Deposit: …` the same without
/// the last.
fn holding(line: &str, kind: &str, value: &str) -> Option<Holding> {
    let rest = line.strip_prefix(kind)?;
    let (symbol, rest) = rest.split_once(" amount: ")?;
    Some(Holding { symbol: symbol.to_owned(), usd: number(rest, value)? })
}

fn refreshed(call: &Call) -> Option<Refreshed> {
    let [_, obligation, reserves @ ..] = &call.accounts[..] else { return None };
    let of = |kind: &str, value: &str| -> Vec<Holding> {
        call.logs.iter().filter_map(|line| holding(line, kind, value)).collect()
    };
    Some(Refreshed {
        obligation: *obligation,
        reserves: reserves.to_vec(),
        deposits: of("Deposit: ", " value: "),
        debts: of("Borrow: ", " value_bf: "),
    })
}

fn liquidation(call: &Call, below: &[Call]) -> Option<Liquidation> {
    let accounts: &[Address; 16] = call.accounts.first_chunk()?;
    let moved: Vec<Transfer> = below.iter().flat_map(transfers).collect();
    let amount = |from: usize, to: usize| {
        let is_it = |moved: &&Transfer| (moved.from, moved.to) == (accounts[from], accounts[to]);
        moved.iter().find(is_it).map(|moved| moved.amount)
    };
    let word = |at: usize| {
        let bytes = call.data.get(at..)?.first_chunk()?;
        Some(u64::from_le_bytes(*bytes))
    };
    let eligible = call.logs.iter().find(|line| line.contains("is eligible for liquidation, "));
    let because = call.logs.iter().find_map(|line| {
        let bonus = number::<String>(line, "liquidation bonus: ")?;
        let reason = after(line, "because of ")?;
        Some((reason.to_owned(), bonus.trim_end_matches("bps").parse().ok()?))
    });
    // klend pays out the whole first, and takes its own share back.
    let (whole, share) = (amount(11, 15), amount(15, 12));
    Some(Liquidation {
        instruction: call.instruction,
        liquidator: accounts[0],
        obligation: accounts[1],
        market: accounts[2],
        repay_reserve: accounts[4],
        debt_mint: accounts[5],
        withdraw_reserve: accounts[7],
        collateral_mint: accounts[8],
        offered: word(8).zip(word(16)),
        repaid: amount(13, 6),
        received: whole.map(|whole| whole.saturating_sub(share.unwrap_or_default())),
        fee: share.or_else(|| whole.map(|_| 0)),
        reason: because,
        values: eligible.and_then(|line| {
            let debt = number(line, " borrowed value (scaled): ")?;
            Some((debt, number(line, "unhealthy borrow value (scaled): ")?))
        }),
        values_before: None,
    })
}

/// Unknown programs that the transaction itself calls around its liquidations.
fn guards(trace: &Trace, liquidations: &[Liquidation]) -> Vec<Guard> {
    let (Some(first), Some(last)) = (liquidations.first(), liquidations.last()) else {
        return Vec::new();
    };
    let mut guards: Vec<Guard> = Vec::new();
    for call in trace.instructions().filter(|call| {
        names::known(&call.program).is_none() || call.program == receiver::PROGRAM_ID
    }) {
        let at = guards.iter().position(|guard| guard.program == call.program);
        let at = at.unwrap_or_else(|| {
            guards.push(Guard { program: call.program, before: false, after: false });
            guards.len() - 1
        });
        guards[at].before |= call.instruction < first.instruction;
        guards[at].after |= call.instruction > last.instruction;
    }
    guards
}

#[cfg(test)]
mod tests {
    use flash_liquidator_client::{
        decode::{Executed, decode},
        token::TOKEN_PROGRAM_ID,
    };
    use liquidation_venues::raydium_clmm;
    use serde_json::json;
    use solana_sdk_ids::system_program;

    use super::*;
    use crate::land::report::Report;

    fn key(byte: u8) -> Address {
        Address::new_from_array([byte; 32])
    }

    const PAYER: u8 = 1;
    const OBLIGATION: u8 = 2;
    const DEBT: u8 = 10;
    const COLLATERAL: u8 = 20;
    const DEBT_MINT: u8 = 11;
    const COLLATERAL_MINT: u8 = 21;
    /// The liquidator's accounts of both tokens, and what klend has.
    const OWN: [u8; 2] = [12, 22];
    const VAULT: [u8; 2] = [13, 23];
    const FEES: u8 = 24;

    fn call(instruction: usize, depth: usize, program: Address, name: &str) -> Call {
        Call { instruction, depth, program, name: Some(name.to_owned()), ..Call::default() }
    }

    fn moves(instruction: usize, depth: usize, from: u8, to: u8, amount: u64) -> Call {
        let data = [&[3][..], &amount.to_le_bytes()].concat();
        let accounts = vec![key(from), key(to), key(PAYER)];
        Call { accounts, data, ..call(instruction, depth, TOKEN_PROGRAM_ID, "Transfer") }
    }

    fn says(call: Call, lines: &[&str]) -> Call {
        Call { logs: lines.iter().map(|line| (*line).to_owned()).collect(), ..call }
    }

    /// A liquidation of 100 DEBT for 1.05 COLL at 96 dollars, whose price the first
    /// instruction lowered from 120.
    fn liquidated() -> (Trace, Around) {
        let reserves = [DEBT, COLLATERAL].map(|reserve| [reserve, 3, 0, 0, 0, 4]).concat();
        let batch = Call {
            accounts: reserves.into_iter().map(key).collect(),
            data: vec![0; 9],
            ..call(2, 1, KLEND_PROGRAM_ID, "RefreshReservesBatch")
        };
        let refresh = Call {
            accounts: [3, OBLIGATION, COLLATERAL, DEBT].map(key).to_vec(),
            ..call(3, 1, KLEND_PROGRAM_ID, "RefreshObligation")
        };
        let accounts = [
            PAYER,
            OBLIGATION,
            3,
            5,
            DEBT,
            DEBT_MINT,
            VAULT[0],
            COLLATERAL,
            COLLATERAL_MINT,
            25,
            26,
            VAULT[1],
            FEES,
            OWN[0],
            27,
            OWN[1],
        ];
        let liquidate = Call {
            accounts: accounts.map(key).to_vec(),
            data: [vec![0; 8], 100_000_000u64.to_le_bytes().to_vec(), vec![0; 16]].concat(),
            ..call(4, 1, KLEND_PROGRAM_ID, LIQUIDATIONS[1])
        };
        let tip = Call {
            accounts: vec![key(PAYER), key(60)],
            data: [&[2, 0, 0, 0][..], &7_000u64.to_le_bytes()].concat(),
            ..call(6, 1, system_program::ID, "Transfer")
        };
        let calls = vec![
            says(
                call(0, 1, SCOPE_PROGRAM_ID, "RefreshPriceList"),
                &[
                    "tk 7, CappedFloored: 12000000000 to 9600000000 | prev_slot: 90, new_slot: 95, crt_slot: 100",
                    "Price skipped as validation failed (token 8, type ScopeTwap1h)",
                ],
            ),
            call(1, 1, key(50), "Check"),
            says(batch, &["Token: DEBT Price: 1.0000", "Token: COLL Price: 96.0000"]),
            says(
                refresh,
                &[
                    "Borrow: DEBT amount: 500000000.0 value: 500.0 value_bf: 500.0",
                    "Deposit: COLL amount: 10.0 value: 1000.0",
                ],
            ),
            says(
                liquidate,
                &[
                    "Obligation is eligible for liquidation, borrowed value (scaled): 500.0, unhealthy borrow value (scaled): 450.0, LTV: 50%/45%",
                    "Obligation is eligible for liquidation because of LtvExceeded with liquidation bonus: 1000bps",
                ],
            ),
            moves(4, 2, OWN[0], VAULT[0], 100_000_000),
            moves(4, 2, VAULT[1], OWN[1], 110_000_000),
            moves(4, 2, OWN[1], FEES, 5_000_000),
            call(5, 1, key(50), "Sell"),
            call(5, 2, raydium_clmm::PROGRAM_ID, "SwapV2"),
            moves(5, 3, OWN[1], 70, 105_000_000),
            moves(5, 3, 71, OWN[0], 104_000_000),
            tip,
        ];
        let balance = |account: u8, mint: u8, decimals, before, after| Balance {
            account: key(account),
            mint: key(mint),
            decimals,
            owner: [OWN[0], OWN[1]].contains(&account).then(|| key(PAYER)),
            before,
            after,
        };
        let balances = vec![
            balance(OWN[0], DEBT_MINT, 6, 500_000_000, 504_000_000),
            balance(OWN[1], COLLATERAL_MINT, 8, 3, 3),
            balance(VAULT[0], DEBT_MINT, 6, 0, 100_000_000),
        ];
        let payer_lamports = (50_000, 38_000);
        (Trace { calls }, Around { payer: key(PAYER), payer_lamports, balances })
    }

    #[test]
    fn a_liquidation_is_told_with_prices_bonus_guard_sale_tip_and_what_was_earned() {
        let (trace, around) = liquidated();
        let story = Story::new(&trace, &around);
        let [of] = &story.liquidations[..] else { panic!("{story:?}") };
        assert_eq!((of.liquidator, of.obligation, of.instruction), (key(PAYER), key(2), 4));
        // What klend takes for itself was not received.
        let raw = (of.repaid, of.received, of.fee);
        assert_eq!(raw, (Some(100_000_000), Some(105_000_000), Some(5_000_000)));
        assert_eq!(of.offered, Some((100_000_000, 0)));
        assert_eq!(of.reason, Some(("LtvExceeded".to_owned(), 1_000)));
        // At 120 dollars the limit was a quarter higher: the refresh made it possible.
        assert_eq!((of.values, of.values_before), (Some((500.0, 450.0)), Some((500.0, 562.5))));
        let [update] = &story.oracle[..] else { panic!("{story:?}") };
        assert_eq!(
            (update.token, update.symbol.as_deref(), update.slots),
            (7, Some("COLL"), (95, 100))
        );
        assert_eq!(story.guards, [Guard { program: key(50), before: true, after: true }]);
        let [sale] = &story.sales[..] else { panic!("{story:?}") };
        let (sold, bought) = sale.moved.unwrap();
        assert_eq!(
            (&*sale.venue, sold.amount, bought.amount),
            ("Raydium CLMM", 105_000_000, 104_000_000)
        );
        assert_eq!(story.tips, [Transfer { from: key(PAYER), to: key(60), amount: 7_000 }]);
        assert_eq!(story.gains, BTreeMap::from([(key(DEBT_MINT), 4_000_000)]));
        assert_eq!((story.gained_usd(), story.lamports), (Some(4.0), -12_000));
        let worth = story.usd(&key(COLLATERAL_MINT), 105_000_000).unwrap();
        assert!((worth - 100.8).abs() < 1e-9, "{worth}");
    }

    #[test]
    fn a_number_that_could_be_two_tokens_is_nobodys() {
        let (mut trace, around) = liquidated();
        trace.calls[2].logs[0] = "Token: DEBT Price: 9.6000".to_owned();
        let story = Story::new(&trace, &around);
        assert_eq!(story.oracle[0].symbol, None);
        assert_eq!(story.liquidations[0].values_before, None);
    }

    #[test]
    fn without_logs_amounts_are_still_known() {
        let (mut trace, around) = liquidated();
        trace.calls.iter_mut().for_each(|call| call.logs.clear());
        let story = Story::new(&trace, &around);
        let of = &story.liquidations[0];
        assert_eq!((of.repaid, of.received), (Some(100_000_000), Some(105_000_000)));
        assert_eq!((of.reason.as_ref(), of.values, of.values_before), (None, None, None));
        assert_eq!((story.gains.len(), story.gained_usd()), (1, None));
    }

    /// What is said of a failure of klend's in the last of `calls`.
    fn cause(calls: Vec<Call>, code: u32) -> Option<Explanation> {
        let at = calls.len() - 1;
        let trace = Trace { calls };
        let error = serde_json::from_value(json!({ "InstructionError": [at, { "Custom": code }] }));
        let programs = vec![KLEND_PROGRAM_ID; at + 1];
        let executed = Executed { error: Some(&error.unwrap()), logs: &[], programs: &programs };
        let decoded = decode(&executed, None);
        Story::new(&trace, &Around::default()).cause(decoded.outcome.failure().unwrap(), &trace)
    }

    #[test]
    fn a_price_that_is_too_old_is_not_a_missing_refresh() {
        let reserve = |lines: &[&str]| {
            let accounts = [DEBT, 3, 0, 0, 0, 4].map(key).to_vec();
            says(Call { accounts, ..call(0, 1, KLEND_PROGRAM_ID, "RefreshReserve") }, lines)
        };
        let refresh = Call {
            accounts: [3, OBLIGATION, DEBT].map(key).to_vec(),
            ..call(1, 1, KLEND_PROGRAM_ID, "RefreshObligation")
        };
        let last = call(2, 1, KLEND_PROGRAM_ID, "WithdrawObligationCollateral");
        let old = [
            "Price is too old age=3607 max_age=300",
            "Price is too old token=[QQQ], AnchorError(..)",
            "Price is too old age=3627 max_age=500",
            "Price twap is too old token=[QQQ], AnchorError(..)",
            "Token: QQQ Price: 723.5764",
        ];
        let said = cause(vec![reserve(&old), refresh.clone(), last.clone()], 6017).unwrap();
        assert_eq!(
            said.sentence,
            "Refreshed, but with a price that is too old: QQQ is 3,607 s old, 300 s are allowed."
        );
        assert!(said.title.contains("6017") && said.hint.contains("oracle"), "{said}");
        // Without logs: all was refreshed, so it was a price; or something was not.
        let said = cause(vec![reserve(&[]), refresh.clone(), last.clone()], 6017).unwrap();
        assert!(said.sentence.contains("a price was not accepted"), "{said}");
        let said = cause(vec![call(0, 1, key(9), "x"), refresh, last.clone()], 6017).unwrap();
        assert!(said.sentence.contains(&format!("Reserve {} of", key(DEBT))), "{said}");
        assert_eq!(cause(vec![last], 6016), None);
    }

    #[test]
    fn an_amount_of_zero_is_named() {
        let deposit = |amount: &str| {
            says(
                call(0, 1, KLEND_PROGRAM_ID, "DepositReserveLiquidity"),
                &[&format!("DepositReserveLiquidity Reserve R amount {amount}")],
            )
        };
        let said = cause(vec![deposit("0")], 6003).unwrap();
        assert_eq!(said.sentence, "DepositReserveLiquidity was asked for an amount of 0.");
        assert_eq!(cause(vec![deposit("5")], 6003), None);
    }

    /// Real transactions, which are not part of this project: `KLEND_TRANSACTIONS` names
    /// a folder of `getTransaction`'s answers.
    #[test]
    fn real_ones_are_read() {
        let Some(folder) = std::env::var_os("KLEND_TRANSACTIONS") else {
            eprintln!("skipped: KLEND_TRANSACTIONS names no folder of transactions");
            return;
        };
        let mut known = 0;
        for file in std::fs::read_dir(folder).unwrap() {
            let path = file.unwrap().path();
            if path.extension().is_none_or(|extension| extension != "json") {
                continue;
            }
            let text = std::fs::read(&path).unwrap();
            let report = Report::read(serde_json::from_slice(&text).unwrap()).unwrap();
            let story = &report.story;
            let cause = report
                .decoded
                .outcome
                .failure()
                .map(|failure| story.cause(failure, &report.trace).expect("a cause").sentence);
            known += 1;
            match (report.slot, &story.liquidations[..], cause.as_deref()) {
                (436_365_632, [of], None) => {
                    let raw = (of.repaid, of.received, of.fee);
                    assert_eq!(raw, (Some(20_257_283), Some(24_266_579), Some(591_868)));
                    assert_eq!(of.values, Some((101.2728, 100.9258)));
                    let (_, limit) = of.values_before.unwrap();
                    assert!((limit - 102.1881).abs() < 1e-3, "{limit}");
                    assert_eq!((story.guards.len(), story.tips[0].amount), (1, 1_000_000));
                    assert_eq!(story.gains.values().collect::<Vec<_>>(), [&511_564]);
                }
                (434_724_141, [of], None) => {
                    let raw = (of.repaid, of.received, of.fee);
                    assert_eq!(raw, (Some(481_468), Some(3_796_614), Some(92_601)));
                    assert_eq!(of.offered, Some((481_468, 3_740_507)));
                    let venues: Vec<&str> = story.sales.iter().map(|sale| &*sale.venue).collect();
                    assert_eq!(venues, ["SolFi v2", "Orca Whirlpool"]);
                }
                (448_488_640, [], Some(said)) => {
                    assert!(said.contains("QQQx is 3,607 s old, 300 s are allowed"), "{said}");
                }
                (449_981_931, [], Some(said)) => {
                    assert!(said.contains("amount of 0"), "{said}");
                    assert_eq!(story.prices.iter().filter(|price| price.old.is_some()).count(), 4);
                }
                _ => known -= 1,
            }
        }
        assert!(known > 0, "none of the transactions that are known");
    }
}
