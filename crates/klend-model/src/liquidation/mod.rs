//! What `liquidate_obligation_and_redeem_reserve_collateral_v2` would do.
//!
//! [`quote`] follows klend's steps in klend's order: entry checks, the first
//! reason that applies, its bonus, the most that may be repaid, what is seized,
//! what of it the vault can redeem, klend's fee. The result is what the chain
//! will show, to the last unit, or klend's own error.
//!
//! | file | what |
//! |---|---|
//! | `entry` | what klend asks of the accounts first |
//! | `reason` | which reason applies, its bonus, the most it repays |
//! | [`order`] | owners' orders |
//! | `pair` | the amounts |

use klend_interface::state::Reserve;
use solana_address::Address;

use crate::{
    fraction::Fraction, obligation::ObligationState, price::Oracles, refusal::Refusal,
    table::ReserveTable, time::Clock, version::KlendVersion,
};

mod case;
mod entry;
pub mod order;
mod pair;
mod reason;

pub(crate) use pair::Pair;

/// What a keeper asks klend for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
pub struct Request {
    /// Reserve whose debt is repaid.
    pub repay_reserve: Address,
    /// Reserve whose collateral is seized.
    pub withdraw_reserve: Address,
    /// Cap on the debt repaid, raw units; `u64::MAX` for all that klend allows.
    pub amount: u64,
    /// Least liquidity to receive, raw units, as passed to klend.
    pub min_received: u64,
    /// The flash loan that is out while klend liquidates.
    pub flash_loan: Option<FlashLoan>,
}

/// A flash loan that surrounds the liquidation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
pub struct FlashLoan {
    /// The lending reserve. One that is not in the table (another market's)
    /// changes nothing here.
    pub reserve: Address,
    /// Principal, raw units.
    pub amount: u64,
}

/// Why klend lets an obligation be liquidated.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
pub enum Reason {
    /// Its LTV is at or above the liquidation LTV.
    LtvExceeded,
    /// The market marked this obligation for deleveraging and the margin-call
    /// period is over.
    IndividualDeleveraging,
    /// A reserve is above its limit for longer than its margin-call period.
    MarketWideDeleveraging,
    /// The debt reserve's maturity has passed.
    ReserveDebtMaturityReached,
    /// This debt's fixed term has ended.
    DebtTermReached {
        /// Seconds since its end.
        seconds: u64,
    },
    /// The owner's own order applies (klend before 1.26).
    Order {
        /// Its position in the obligation.
        index: u8,
    },
}

/// A liquidation to the last unit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
pub struct Quote {
    /// Why klend allows it.
    pub reason: Reason,
    /// Bonus on the repaid value (0.05 = 5 %).
    pub bonus: Fraction,
    /// Most debt this liquidation may repay whatever the amount asked for, raw
    /// units.
    pub max_repay: Fraction,
    /// The debt is so small that klend insists on all of it.
    pub must_repay_all: bool,
    /// Tokens the liquidator pays, raw units: `settled`, rounded up.
    pub repay: u64,
    /// Debt taken off the obligation, raw units.
    pub settled: Fraction,
    /// cTokens seized, raw units.
    pub seized_ctokens: u64,
    /// Of these, redeemed for liquidity.
    pub redeemed_ctokens: u64,
    /// Of these, left with the liquidator as cTokens.
    pub leftover_ctokens: u64,
    /// Liquidity redeemed before klend's fee, raw units.
    pub gross_received: u64,
    /// klend's fee, raw units.
    pub protocol_fee: u64,
    /// Liquidity the liquidator keeps, raw units.
    pub received: u64,
    /// The accounts afterwards.
    pub after: After,
}

/// The changed numbers of the accounts after a liquidation, before the flash
/// loan is repaid.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
pub struct After {
    /// The repay reserve.
    pub repay_reserve: ReserveAfter,
    /// The withdraw reserve; equal to `repay_reserve` when both are one.
    pub withdraw_reserve: ReserveAfter,
    /// What the obligation still owes in the repay reserve, raw units; zero
    /// frees the slot.
    pub debt: Fraction,
    /// cTokens the obligation still has in the withdraw reserve; zero frees the
    /// slot.
    pub deposit: u64,
    /// Whether the obligation has any debt left. Without debt its orders are
    /// removed.
    pub has_debt: bool,
}

/// A reserve's changed numbers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
pub struct ReserveAfter {
    /// Liquidity in the vault, raw units.
    pub available: u64,
    /// Debt owed to the reserve, raw units.
    pub borrowed: Fraction,
    /// cTokens in existence.
    pub ctoken_supply: u64,
}

/// The accounts of one liquidation, for a one-off quote.
#[derive(Debug, Clone, Copy)]
pub struct Position<'a> {
    /// The market and its address.
    pub market: (Address, &'a klend_interface::state::LendingMarket),
    /// At least every reserve the obligation uses.
    pub reserves: &'a [(Address, &'a Reserve)],
    /// The obligation and its address.
    pub obligation: (Address, &'a klend_interface::state::Obligation),
}

/// Refreshes the accounts to `clock` and quotes.
///
/// For many quotes of one slot, build a [`ReserveTable`] once and use [`quote`].
///
/// # Errors
/// As [`quote`] and [`ReserveTable::obligation`].
pub fn quote_liquidation(
    version: KlendVersion,
    position: &Position<'_>,
    request: &Request,
    clock: Clock,
    oracles: Option<&dyn Oracles>,
) -> Result<Quote, Refusal> {
    let (market_key, market) = position.market;
    let table =
        ReserveTable::refresh(version, &market_key, market, position.reserves, clock, oracles);
    let (key, account) = position.obligation;
    quote(&table, &table.obligation(&key, account)?, request)
}

/// Quotes one liquidation of a refreshed obligation.
///
/// Taken for granted, because klend's three accounts do not tell: the keeper
/// holds the tokens, the farm accounts of both reserves are passed where they
/// have farms (6120 otherwise), and the mints have no Token-2022 extension that
/// klend refuses (6108). The transaction carries no permissioner's signature:
/// where one is wanted, the answer is 6183.
///
/// A liquidation pays no penalty for early repayment, and an ownership transfer
/// under way does not stop it.
///
/// # Errors
/// klend's own error, an abort of its program, or what cannot be known; see
/// [`Refusal`].
pub fn quote(
    table: &ReserveTable<'_>,
    obligation: &ObligationState<'_>,
    request: &Request,
) -> Result<Quote, Refusal> {
    let index = |key: &Address| {
        table.find(key).ok_or(Refusal::MissingReserve { obligation: obligation.key, reserve: *key })
    };
    let (repay, withdraw) = (index(&request.repay_reserve)?, index(&request.withdraw_reserve)?);
    let mut pair = Pair::open(table, obligation, repay, withdraw, request.amount)?;
    if let Some(loan) = request.flash_loan {
        pair.lend(&loan)?;
    }
    pair.quote(request.amount, request.min_received)
}

/// Why klend lets an obligation be liquidated: the reason of the first pair of debt
/// and collateral that it allows; `None` when it allows no pair.
#[must_use]
pub fn reason(table: &ReserveTable<'_>, obligation: &ObligationState<'_>) -> Option<Reason> {
    obligation.borrows.iter().flatten().find_map(|borrow| {
        obligation.deposits.iter().flatten().find_map(|deposit| {
            Pair::open(table, obligation, borrow.reserve, deposit.reserve, u64::MAX)
                .ok()
                .map(|pair| pair.reason())
        })
    })
}
