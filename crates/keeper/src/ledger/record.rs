//! What is told of an attempt, when it begins and how it ended, and of what is not tried.

use std::time::Duration;

use flash_liquidator_client::{
    decode::Decoded,
    receiver::{Route, SwapLeg},
    swap::{jupiter, meteora_dlmm, raydium_amm, raydium_clmm, raydium_cpmm, stand_in, whirlpool},
};
use solana_address::Address;

use crate::{build::simulation::liquidated, route::why::Reason};

const LAMPORTS_PER_SOL: f64 = 1e9;

/// Lamports as SOL.
#[must_use]
pub fn sol(lamports: u64) -> f64 {
    lamports as f64 / LAMPORTS_PER_SOL
}

/// A liquidation that is about to be tried.
#[derive(Clone, Debug, PartialEq)]
pub struct Begun {
    pub market: Address,
    pub obligation: Address,
    /// Slot of the state it was found in.
    pub slot: u64,
    /// Profit as the loop quoted it, US dollars.
    pub quoted_usd: f64,
    /// Whether it is to be sent; otherwise it is only simulated.
    pub sends: bool,
}

/// An obligation that could be liquidated, and was left alone.
#[derive(Clone, Debug, PartialEq)]
pub struct Declined {
    pub market: Address,
    pub obligation: Address,
    /// Slot of the state it was found in.
    pub slot: u64,
    pub why: Reason,
    /// Reason, in words and figures.
    pub reason: String,
    /// What it owes, US dollars.
    pub debt_usd: f64,
    /// Profit as it was quoted, US dollars; `None` where it did not come to a quote.
    pub quoted_usd: Option<f64>,
    /// How much more it should have been, US dollars.
    pub short_usd: Option<f64>,
    /// How long it is left alone whatever happens.
    pub rests: Duration,
}

/// A keeper that watches: what it was told to look for.
#[derive(Clone, Debug, PartialEq)]
pub struct Run {
    pub markets: Vec<Address>,
    /// Debts below are not looked at, US dollars.
    pub min_debt_usd: f64,
    pub sends: bool,
}

/// How an attempt ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// Executed on chain, with the profit that was asked for.
    Liquidated,
    /// Would have been executed: nothing is sent.
    Simulated,
    /// Could have been sent, and was neither simulated nor sent.
    Ready,
    LostRace,
    HealthyAgain,
    /// The exact quote was not enough.
    TooLittle,
    /// There was no liquidation to try.
    Refused,
    /// Executed or simulated, and failed.
    Failed,
    /// It would have been sent, but might not be any more.
    HeldBack,
    /// Sent, did not land, and cannot do anything any more.
    Expired,
    /// Sent, and whether it was executed is not known.
    Unknown,
}

impl Outcome {
    /// Its name in metrics, the ledger and reports.
    #[must_use]
    pub const fn label(self) -> &'static str {
        match self {
            Self::Liquidated => "liquidated",
            Self::Simulated => "simulated",
            Self::Ready => "ready",
            Self::LostRace => "lost_race",
            Self::HealthyAgain => "healthy_again",
            Self::TooLittle => "too_little",
            Self::Refused => "refused",
            Self::Failed => "failed",
            Self::HeldBack => "held_back",
            Self::Expired => "expired",
            Self::Unknown => "unknown",
        }
    }
}

/// Names the venues that a route goes through, `none` where nothing is sold.
pub fn venue(route: Option<&Route>) -> String {
    let name = |leg: &SwapLeg| match leg.program {
        jupiter::PROGRAM_ID => "jupiter".to_owned(),
        meteora_dlmm::PROGRAM_ID => "meteora_dlmm".to_owned(),
        raydium_amm::PROGRAM_ID => "raydium_amm".to_owned(),
        raydium_clmm::PROGRAM_ID => "raydium_clmm".to_owned(),
        raydium_cpmm::PROGRAM_ID => "raydium_cpmm".to_owned(),
        stand_in::PROGRAM_ID => "stand_in".to_owned(),
        whirlpool::PROGRAM_ID | whirlpool::IMMUTABLE_PROGRAM_ID => "whirlpool".to_owned(),
        other => other.to_string(),
    };
    let names: Vec<String> = route.iter().flat_map(|route| &route.legs).map(name).collect();
    if names.is_empty() { "none".to_owned() } else { names.join("+") }
}

/// What was paid beside the flash fee, lamports.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Costs {
    /// To the cluster, priority fee included; of failed transactions too.
    pub fee: u64,
    pub tip: u64,
    /// Of token accounts that were created; comes back when they are closed.
    pub rent: u64,
}

/// The figures of an attempt, as far as it came.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Numbers {
    /// Ways the transaction went: `node`, `engine`, `node+engine`, or `none` where nothing
    /// landed.
    pub road: &'static str,
    /// Where the collateral was to be sold; empty while it was not decided.
    pub venue: String,
    /// Slot of the state it was decided on.
    pub slot: u64,
    pub debt_mint: Address,
    pub debt_decimals: u8,
    /// US dollars a whole token of the debt was worth.
    pub debt_price: f64,
    pub collateral_mint: Address,
    /// US dollars a SOL was worth; not known in every market.
    pub sol_price: Option<f64>,
    /// Raw units of the debt's token.
    pub loan: u64,
    pub flash_fee: u64,
    /// What the model quoted: debt repaid, collateral received, profit.
    pub quoted: (u64, u64, i128),
    /// What came of it.
    pub repaid: Option<u64>,
    pub received: Option<u64>,
    pub profit: Option<i64>,
    pub costs: Costs,
    pub units: Option<u64>,
    pub landed_slot: Option<u64>,
    pub update_to_bytes: Option<Duration>,
    pub bytes_to_landed: Option<Duration>,
    pub slots_behind: Option<u64>,
}

impl Numbers {
    /// Takes over what a transaction's event says.
    pub fn came(&mut self, decoded: &Decoded) {
        if let Some(event) = liquidated(decoded) {
            self.repaid = Some(event.debt_repaid);
            self.received = Some(event.collateral_received);
            self.profit = Some(event.profit);
        }
    }

    /// Whether what came of it is not what the model quoted.
    #[must_use]
    pub fn differs(&self) -> bool {
        let (repay, received, _) = self.quoted;
        self.repaid.is_some_and(|repaid| repaid != repay)
            || self.received.is_some_and(|came| came != received)
    }

    /// Profit in whole tokens of the debt.
    #[must_use]
    pub fn profit_tokens(&self) -> Option<f64> {
        Some(self.profit? as f64 / 10f64.powi(i32::from(self.debt_decimals)))
    }

    /// Profit before fees, tips and rent, US dollars.
    #[must_use]
    pub fn profit_usd(&self) -> Option<f64> {
        Some(self.profit_tokens()? * self.debt_price)
    }

    /// Lamports in US dollars.
    #[must_use]
    pub fn usd(&self, lamports: u64) -> Option<f64> {
        Some(sol(lamports) * self.sol_price?)
    }
}

/// How an attempt ended, with its figures.
#[derive(Clone, Debug, PartialEq)]
pub struct Ended {
    pub outcome: Outcome,
    /// Name of the error or reason, of a small set; empty when all is well.
    pub code: String,
    /// Reason, in words.
    pub reason: String,
    /// Of the transaction that was sent.
    pub signature: Option<String>,
    pub numbers: Numbers,
}

impl Ended {
    /// Without figures: it did not come that far.
    #[must_use]
    pub fn early(outcome: Outcome, code: &str, reason: String) -> Self {
        let numbers = Numbers { road: "none", ..Numbers::default() };
        Self { outcome, code: code.to_owned(), reason, signature: None, numbers }
    }

    /// Whether it moved money: fees were paid, profit or not.
    #[must_use]
    pub fn is_real(&self) -> bool {
        self.numbers.landed_slot.is_some()
    }
}
