//! What single calls say, in their accounts, transfers and log lines.

use flash_liquidator_client::receiver;
use solana_address::Address;

use super::{Guard, Holding, Liquidation, OracleUpdate, Price, Refreshed};
use crate::trace::{
    Call, Trace, names,
    tokens::{Transfer, transfers},
};

/// How far a price in klend's log, of four decimals, may be from the oracle's number.
const SHOWN: f64 = 1e-4;
/// Most decimals that an oracle's number has.
const MOST_DECIMALS: i32 = 24;

pub(super) fn thousands(number: u64) -> String {
    crate::format::tokens(number, 0)
}

pub(super) fn price_of<'a>(prices: &'a [Price], reserve: &Address) -> Option<&'a Price> {
    prices.iter().rfind(|price| price.reserve.as_ref() == Some(reserve))
}

/// Whether a mantissa with some number of decimals is what klend logged.
pub(super) fn shows(mantissa: u128, usd: f64) -> bool {
    (0..=MOST_DECIMALS).any(|decimals| {
        let value = mantissa as f64 / 10f64.powi(decimals);
        // At least two digits have to agree.
        value > 10.0 * SHOWN && (value - usd).abs() <= SHOWN
    })
}

/// The text between `word` and the next space or comma.
pub(super) fn after<'a>(line: &'a str, word: &str) -> Option<&'a str> {
    let (_, rest) = line.split_once(word)?;
    rest.split([' ', ',', ']']).next().filter(|found| !found.is_empty())
}

fn number<T: std::str::FromStr>(line: &str, word: &str) -> Option<T> {
    after(line, word)?.parse().ok()
}

/// `tk 320, CappedFloored: 86 to 85 | prev_slot: 1, new_slot: 2, crt_slot: 3`
pub(super) fn oracle_update(line: &str) -> Option<OracleUpdate> {
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

pub(super) fn prices(call: &Call) -> Vec<Price> {
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

pub(super) fn refreshed(call: &Call) -> Option<Refreshed> {
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

pub(super) fn liquidation(call: &Call, below: &[Call]) -> Option<Liquidation> {
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
pub(super) fn guards(trace: &Trace, liquidations: &[Liquidation]) -> Vec<Guard> {
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
