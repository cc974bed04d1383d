//! The most profitable liquidation of an obligation.
//!
//! klend's rules leave some pairs of debt and collateral open. For each of
//! them [`best_liquidation`] looks for the repayment that leaves most after the
//! collateral is swapped into the debt's token and the flash loan is paid for.
//!
//! Prices of swaps get worse with size, so profit as a function of the amount
//! rises, then falls; the search relies on that shape and on nothing else about
//! the swap.

use solana_address::Address;

use crate::{
    constants::{MAX_BORROWS, MAX_DEPOSITS},
    errors::Code,
    flash::{Around, Lenders, MintLenders, Offer, Wish},
    fraction::Fraction,
    liquidation::{FlashLoan, Pair, Quote, Request},
    obligation::ObligationState,
    refusal::Refusal,
    reserve::ReserveState,
    table::ReserveTable,
};

/// Where the money for the repayment comes from.
#[derive(Debug, Clone, Copy)]
pub enum Funding<'a> {
    /// The keeper's own tokens, without cost.
    OwnTokens,
    /// The best flash loan (see [`crate::flash`]).
    Flash {
        /// Who may lend.
        lenders: &'a Lenders,
        /// [`Wish::margin_bps`].
        margin_bps: u64,
        /// [`Wish::max_fee_bps`].
        max_fee_bps: u64,
    },
}

/// Whether seized cTokens may be left unredeemed. They count nothing as profit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Leftovers {
    /// Only liquidations whose collateral the vault can pay out in full; a
    /// larger one is cut down to what it can.
    Reject,
    /// Any.
    Allow,
}

/// The best liquidation found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
pub struct Best {
    /// What to ask klend for; the amount is also the flash loan's.
    pub request: Request,
    /// What klend will do.
    pub quote: Quote,
    /// The flash loan.
    pub loan: Option<Offer>,
    /// Debt tokens the swap of the received collateral gives, raw units.
    pub swapped: u64,
    /// `swapped − repaid − flash fee`, raw units of the debt token.
    pub profit: i128,
    /// The same in the market's currency, in units of 2⁻⁶⁰.
    pub profit_value: i128,
}

/// Searches all pairs of debt and collateral that klend allows.
///
/// `swap(from, to, amount)` tells how many raw units of `to`'s token `amount`
/// of `from`'s token buys, or `None` where there is no way, or none for that much: less
/// is tried then. It is not asked where both tokens are the same. The best result may be a loss: the keeper
/// decides.
///
/// # Errors
/// klend's reason when it allows no pair at all. `Ok(None)` means that pairs are
/// allowed, but none can be swapped or funded.
pub fn best_liquidation(
    table: &ReserveTable<'_>,
    obligation: &ObligationState<'_>,
    funding: Funding<'_>,
    leftovers: Leftovers,
    swap: impl FnMut(&ReserveState<'_>, &ReserveState<'_>, u64) -> Option<u64>,
) -> Result<Option<Best>, Refusal> {
    best_liquidation_up_to(table, obligation, funding, leftovers, |_| u64::MAX, swap)
}

/// As [`best_liquidation`], among those that repay no more than `most` raw units of a
/// debt. A debt that klend wants repaid as a whole is left alone if it is larger.
///
/// # Errors
/// As [`best_liquidation`].
pub fn best_liquidation_up_to(
    table: &ReserveTable<'_>,
    obligation: &ObligationState<'_>,
    funding: Funding<'_>,
    leftovers: Leftovers,
    most: impl Fn(&ReserveState<'_>) -> u64,
    swap: impl FnMut(&ReserveState<'_>, &ReserveState<'_>, u64) -> Option<u64>,
) -> Result<Option<Best>, Refusal> {
    let mut search = Search::new(table, obligation, funding, leftovers, swap);
    let mut refusal: Option<Refusal> = None;
    let mut allowed = false;

    // The whole of each pair first. Where a little less is not better, less is
    // never better, and most pairs end here.
    let mut best: Option<Candidate> = None;
    let mut falling: [Option<Slope>; MAX_DEPOSITS * MAX_BORROWS] =
        [None; MAX_DEPOSITS * MAX_BORROWS];
    let mut count = 0;
    for borrow in obligation.borrows.iter().flatten() {
        for deposit in obligation.deposits.iter().flatten() {
            let pair =
                match Pair::open(table, obligation, borrow.reserve, deposit.reserve, u64::MAX) {
                    Ok(pair) => pair,
                    Err(error) => {
                        refusal = Some(more_telling(refusal, error));
                        continue;
                    }
                };
            allowed = true;
            let Some((whole, slope)) = search.whole(&pair, most(&pair.repay_reserve)) else {
                continue;
            };
            best = better(best, whole);
            if slope.is_some() {
                falling[count] = slope;
                count += 1;
            }
        }
    }
    // Then, roughly, the pairs where less is more, as long as they can still
    // win, and the best of them precisely.
    let mut summit = None;
    for slope in falling.iter().flatten() {
        if best.is_none_or(|best| slope.bound_value(table) > best.value) {
            let whole = &slope.whole;
            let pair = Pair::open(
                table,
                obligation,
                whole.repay_reserve,
                whole.withdraw_reserve,
                u64::MAX,
            )?;
            let least = best.map_or(i128::MIN, |best| best.value);
            let candidate = search.climb(&pair, whole, ROUGH, least);
            if let Some(candidate) = candidate.filter(|candidate| candidate.value > least) {
                summit = Some(*whole);
                best = Some(candidate);
            }
        }
    }
    if let Some(whole) = summit {
        let pair =
            Pair::open(table, obligation, whole.repay_reserve, whole.withdraw_reserve, u64::MAX)?;
        if let Some(candidate) = search.climb(&pair, &whole, PRECISE, i128::MIN) {
            best = better(best, candidate);
        }
    }
    if let Some(best) = best {
        return best.settle(&mut search);
    }
    match refusal {
        Some(refusal) if !allowed => Err(refusal),
        None if !allowed => {
            let nothing = if obligation.borrows.iter().flatten().next().is_none() {
                Code::ObligationBorrowsZero
            } else {
                Code::ObligationDepositsZero
            };
            Err(Refusal::klend(nothing, &obligation.key))
        }
        _ => Ok(None),
    }
}

/// Of two reasons why pairs are closed, the one that says more: priorities only
/// speak about the pair.
fn more_telling(known: Option<Refusal>, new: Refusal) -> Refusal {
    let about_the_pair = |refusal: &Refusal| {
        refusal.klend_error().is_some_and(|error| {
            matches!(
                error.lending_error(),
                Some(
                    Code::LiquidationBorrowFactorPriority
                        | Code::LiquidationLowestLiquidationLtvPriority
                        | Code::ObligationCollateralEmpty
                        | Code::ObligationLiquidityEmpty
                        | Code::CollateralNonLiquidatable
                )
            )
        })
    };
    match known {
        Some(known) if !about_the_pair(&known) => known,
        Some(known) if about_the_pair(&new) => known,
        _ => new,
    }
}

fn better(best: Option<Candidate>, new: Candidate) -> Option<Candidate> {
    match best {
        Some(best) if best.value >= new.value => Some(best),
        _ => Some(new),
    }
}

/// One evaluated liquidation.
#[derive(Debug, Clone, Copy)]
struct Candidate {
    repay_reserve: usize,
    withdraw_reserve: usize,
    repay: u64,
    profit: i128,
    value: i128,
}

/// How finely [`Search::climb`] looks for a summit, first and finally. Profit is
/// flat around it: a thousandth of the amount is a millionth of the profit.
const ROUGH: u64 = 12;
const PRECISE: u64 = 1000;

/// How small a part of a pair [`Search::sellable`] tries, in halvings, and how finely it
/// looks for the largest from there.
const HALVINGS: u32 = 16;
const BISECTIONS: u32 = 8;

/// A point of a pair's profit curve.
#[derive(Debug, Clone, Copy)]
struct Point {
    /// Repaid, raw units.
    at: u64,
    profit: i128,
}

/// The highest profit that a curve bent downwards through four points can reach
/// between the outer two: it stays below the lines through its neighbours.
///
/// Only decides whether a search goes on, so floating point will do.
fn summit_bound(low: Point, left: Point, right: Point, high: Point) -> i128 {
    let beyond = |from: Point, through: Point, to: Point| {
        let run = from.at.abs_diff(through.at).max(1) as f64;
        let rise = (through.profit - from.profit) as f64;
        let reach = through.at.abs_diff(to.at) as f64;
        through.profit as f64 + (rise * reach / run).max(0.0)
    };
    let bound = if left.profit >= right.profit {
        beyond(right, left, low).max(beyond(low, left, right))
    } else {
        beyond(left, right, high).max(beyond(high, right, left))
    };
    // Room for the roundings of quotes and of this bound.
    (bound + bound.abs() * 1e-9) as i128 + 2
}

impl Candidate {
    fn point(&self) -> Point {
        Point { at: self.repay, profit: self.profit }
    }

    /// The exact liquidation: with the loan that is really taken, whose amount
    /// is what klend is asked for.
    fn settle(self, search: &mut Search<'_, impl Swap>) -> Result<Option<Best>, Refusal> {
        let (table, obligation) = (search.table, search.obligation);
        let mut pair =
            Pair::open(table, obligation, self.repay_reserve, self.withdraw_reserve, self.repay)?;
        let amount = self.repay;
        let plan = pair.quote(amount, 0)?;
        let Some(loan) = search.loan(&pair, &plan, amount) else { return Ok(None) };
        let flash_loan = loan.map(|offer| FlashLoan { reserve: offer.reserve, amount });
        if let Some(loan) = &flash_loan {
            pair.lend(loan)?;
        }
        let quote = pair.quote(amount, 0)?;
        if !search.accepts(&quote) {
            return Ok(None);
        }
        let Some(swapped) = search.exchange(&pair, quote.received) else { return Ok(None) };
        let fee = loan.map_or(0, |offer| offer.fee);
        let profit = profit(swapped, quote.repay, fee);
        let request = Request {
            repay_reserve: pair.repay_reserve.key,
            withdraw_reserve: pair.withdraw_reserve.key,
            amount,
            min_received: 0,
            flash_loan,
        };
        let profit_value = value_of(&pair.repay_reserve, profit);
        Ok(Some(Best { request, quote, loan, swapped, profit, profit_value }))
    }
}

/// A pair of which a little less gains more.
#[derive(Debug, Clone, Copy)]
struct Slope {
    whole: Candidate,
    /// Profit lost over the last `step` units.
    fall: i128,
    step: u64,
}

impl Slope {
    /// No repayment of the pair can gain more: a profit curve that is bent
    /// downwards stays below its tangent.
    fn bound_value(&self, table: &ReserveTable<'_>) -> i128 {
        let steps = i128::from(self.whole.repay / self.step) + 1;
        let bound = self.whole.profit.saturating_add(self.fall.saturating_mul(steps));
        value_of(&table.reserves()[self.whole.repay_reserve], bound)
    }
}

/// `swap(from, to, amount)`.
trait Swap: FnMut(&ReserveState<'_>, &ReserveState<'_>, u64) -> Option<u64> {}

impl<T: FnMut(&ReserveState<'_>, &ReserveState<'_>, u64) -> Option<u64>> Swap for T {}

struct Search<'a, S> {
    table: &'a ReserveTable<'a>,
    obligation: &'a ObligationState<'a>,
    funding: Funding<'a>,
    leftovers: Leftovers,
    /// The obligation's reserves.
    used: [Address; MAX_DEPOSITS + MAX_BORROWS],
    used_count: usize,
    /// Who lends the token of the debt last asked for.
    lenders: Option<(&'a Address, MintLenders<'a>)>,
    swap: S,
}

impl<'a, S: Swap> Search<'a, S> {
    fn new(
        table: &'a ReserveTable<'_>,
        obligation: &'a ObligationState<'_>,
        funding: Funding<'a>,
        leftovers: Leftovers,
        swap: S,
    ) -> Self {
        let mut used = [Address::default(); MAX_DEPOSITS + MAX_BORROWS];
        let deposits = obligation.deposits.iter().flatten().map(|deposit| deposit.reserve);
        let borrows = obligation.borrows.iter().flatten().map(|borrow| borrow.reserve);
        let mut used_count = 0;
        for reserve in deposits.chain(borrows) {
            used[used_count] = table.reserves()[reserve].key;
            used_count += 1;
        }
        Self { table, obligation, funding, leftovers, used, used_count, lenders: None, swap }
    }

    /// The largest liquidation of a pair up to `most`, and its slope where less gains more.
    fn whole(&mut self, pair: &Pair<'a>, most: u64) -> Option<(Candidate, Option<Slope>)> {
        let mut quote = pair.quote(most, 0).ok()?;
        if quote.repay > most {
            return None;
        }
        if !self.accepts(&quote) {
            quote = self.cut_down(pair, &quote)?;
        }
        let whole = match self.candidate(pair, &quote) {
            Some(whole) => whole,
            None if pair.must_repay_all() => return None,
            None => self.sellable(pair, quote.repay)?,
        };
        if pair.must_repay_all() || whole.repay < 2 {
            return Some((whole, None));
        }
        let step = (whole.repay / 1024).max(1);
        let slope = self
            .evaluate(pair, whole.repay - step)
            .filter(|less| less.profit > whole.profit)
            .map(|less| Slope { whole, fall: less.profit - whole.profit, step });
        Some((whole, slope))
    }

    /// Roughly the largest liquidation below `whole` whose collateral can be sold and
    /// whose debt be funded: what a pool pays, or a lender lends, may end below it.
    fn sellable(&mut self, pair: &Pair<'a>, whole: u64) -> Option<Candidate> {
        let mut beyond = whole;
        let mut found = (1..=HALVINGS).find_map(|n| {
            let candidate = self.evaluate(pair, whole >> n);
            if candidate.is_none() {
                beyond = whole >> n;
            }
            candidate
        })?;
        for _ in 0..BISECTIONS {
            let between = found.repay.midpoint(beyond);
            match self.evaluate(pair, between) {
                Some(more) if more.repay > found.repay => found = more,
                _ => beyond = between,
            }
        }
        Some(found)
    }

    /// The largest liquidation whose collateral can be redeemed in full.
    fn cut_down(&self, pair: &Pair<'a>, whole: &Quote) -> Option<Quote> {
        if pair.must_repay_all() || whole.redeemed_ctokens == 0 {
            return None;
        }
        let mut amount = u128::from(whole.repay) * u128::from(whole.redeemed_ctokens)
            / u128::from(whole.seized_ctokens);
        // Collateral follows the repayment in proportion, but for roundings.
        for cut in [0, amount >> 40, amount >> 24, amount >> 12] {
            amount = amount.checked_sub(cut + u128::from(cut > 0))?;
            if let Ok(quote) = pair.quote(u64::try_from(amount).ok()?.max(1), 0)
                && self.accepts(&quote)
            {
                return Some(quote);
            }
        }
        None
    }

    /// Golden-section search below `whole`, down to a bracket of one `fineness`th
    /// of it; given up as soon as the summit cannot be worth more than `least`.
    fn climb(
        &mut self,
        pair: &Pair<'a>,
        whole: &Candidate,
        fineness: u64,
        least: i128,
    ) -> Option<Candidate> {
        let golden = |low: u64, high: u64| (u128::from(high - low) * 618 / 1000) as u64;
        let (mut low, mut high) = (Point { at: 0, profit: 0 }, whole.point());
        let top = high.at;
        let span = golden(0, top);
        let (mut left_at, mut right_at) = (top - span, span);
        let mut left = self.evaluate(pair, left_at)?;
        let mut right = self.evaluate(pair, right_at)?;
        while high.at - low.at > top / fineness + 2 {
            let summit = summit_bound(low, left.point(), right.point(), high);
            if value_of(&pair.repay_reserve, summit) <= least {
                return None;
            }
            if left.profit >= right.profit {
                high = Point { at: right_at, profit: right.profit };
                (right_at, right) = (left_at, left);
                left_at = high.at - golden(low.at, high.at);
                left = self.evaluate(pair, left_at)?;
            } else {
                low = Point { at: left_at, profit: left.profit };
                (left_at, left) = (right_at, right);
                right_at = low.at + golden(low.at, high.at);
                right = self.evaluate(pair, right_at)?;
            }
        }
        Some(if left.profit >= right.profit { left } else { right })
    }

    fn evaluate(&mut self, pair: &Pair<'a>, amount: u64) -> Option<Candidate> {
        let quote = pair.quote(amount, 0).ok().filter(|quote| self.accepts(quote))?;
        self.candidate(pair, &quote)
    }

    fn candidate(&mut self, pair: &Pair<'a>, quote: &Quote) -> Option<Candidate> {
        let swapped = self.exchange(pair, quote.received)?;
        let fee = self.loan(pair, quote, quote.repay)?.map_or(0, |offer| offer.fee);
        let profit = profit(swapped, quote.repay, fee);
        Some(Candidate {
            repay_reserve: pair.repay_index,
            withdraw_reserve: pair.withdraw_index,
            repay: quote.repay,
            profit,
            value: value_of(&pair.repay_reserve, profit),
        })
    }

    fn accepts(&self, quote: &Quote) -> bool {
        quote.leftover_ctokens == 0 || self.leftovers == Leftovers::Allow
    }

    fn exchange(&mut self, pair: &Pair<'a>, received: u64) -> Option<u64> {
        if pair.repay_reserve.mint() == pair.withdraw_reserve.mint() {
            Some(received)
        } else {
            // What is sold for nothing is not sold.
            (self.swap)(&pair.withdraw_reserve, &pair.repay_reserve, received)
                .filter(|bought| *bought > 0)
        }
    }

    /// The loan for a liquidation: `Some(None)` where none is needed, `None`
    /// where none can be had.
    fn loan(&mut self, pair: &Pair<'a>, quote: &Quote, amount: u64) -> Option<Option<Offer>> {
        match self.funding {
            Funding::OwnTokens => Some(None),
            Funding::Flash { lenders, margin_bps, max_fee_bps } => {
                let mint = pair.repay_reserve.mint();
                let lenders = match self.lenders {
                    Some((known, lenders)) if known == mint => lenders,
                    _ => self.lenders.insert((mint, lenders.of_mint(mint))).1,
                };
                lenders
                    .best(&Wish {
                        mint,
                        amount,
                        margin_bps,
                        max_fee_bps,
                        around: Some(Around {
                            repay_reserve: &pair.repay_reserve.key,
                            repay: quote.repay,
                            withdraw_reserve: &pair.withdraw_reserve.key,
                            redeemed: quote.gross_received,
                            obligation_reserves: &self.used[..self.used_count],
                        }),
                    })
                    .map(Some)
            }
        }
    }
}

fn profit(swapped: u64, repaid: u64, fee: u64) -> i128 {
    i128::from(swapped) - i128::from(repaid) - i128::from(fee)
}

/// Value of a profit in the market's currency, in units of 2⁻⁶⁰.
fn value_of(reserve: &ReserveState<'_>, profit: i128) -> i128 {
    let raw = u64::try_from(profit.unsigned_abs()).unwrap_or(u64::MAX);
    let value = reserve
        .market_value(Fraction::from_int(raw))
        .map_or(i128::MAX, |value| i128::try_from(value.to_bits()).unwrap_or(i128::MAX));
    if profit < 0 { -value } else { value }
}
