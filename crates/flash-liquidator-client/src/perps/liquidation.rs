//! The instructions of a whole liquidation, to stand inside a bracket.

use solana_address::Address;
use solana_instruction::Instruction;

use super::{
    ClosePerp, Direction, EmptyAccount, Fill, Maker, Markets, OrderBook, PerpError,
    QUOTE_SPOT_MARKET, SubAccount, User, Withdrawal, close_perp, deposit, liquidate_perp,
    liquidate_perp_pnl_for_deposit, liquidate_spot, require_empty, settle_pnl, withdraw,
};

/// What is taken over.
#[derive(Clone, Debug)]
pub enum TakeOver<'a> {
    /// A perp position: taken over, closed at once, its profit settled.
    Perp {
        /// Perp market.
        market: u16,
        /// The most to take over.
        max_base: u64,
        /// See [`liquidate_perp`].
        limit_price: Option<u64>,
        /// Worst price to close at, in millionths of a dollar; `None` for any.
        close_limit: Option<u64>,
        /// See [`ClosePerp::makers`].
        makers: &'a [Maker],
        /// See [`ClosePerp::order_book`].
        order_book: Option<OrderBook>,
        /// Whose losses are settled before the profit, so that the market's pool can
        /// pay it: the liquidated user itself, or any loser of the market.
        settle_first: &'a [SubAccount],
    },
    /// A borrow, and a deposit with it.
    Spot {
        /// Market of the deposit.
        asset: u16,
        /// Market of the borrow.
        liability: u16,
        /// The most of the borrow to take over.
        max_liability: u128,
        /// See [`liquidate_spot`].
        limit_price: Option<u64>,
        /// Where the deposit goes, and the borrow comes from, when it is not the
        /// quote token: the keeper's token account of the other token.
        token_account: Address,
        /// What the keeper trades outside: sells what was withdrawn, or buys what
        /// has to be deposited.
        trade: Vec<Instruction>,
        /// Units that the trade brings of the borrowed token, to be deposited; 0
        /// when the borrow is of the quote token.
        repay: u64,
    },
    /// The loss of a closed perp position, and a deposit with it.
    PnlForDeposit {
        /// Perp market.
        perp: u16,
        /// Market of the deposit.
        asset: u16,
        /// The most of the loss to take over.
        max_pnl: u128,
        /// See [`liquidate_perp_pnl_for_deposit`].
        limit_price: Option<u64>,
        /// The keeper's token account of the deposit.
        token_account: Address,
        /// Sells what was withdrawn.
        trade: Vec<Instruction>,
    },
}

/// What may stay on the exchange.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Leftover {
    /// Nothing: anything else undoes the transaction.
    Refuse,
    /// A profit that the market's pool could pay only in part, to be settled later.
    /// [`User::read`] shows it; it does not count as profit.
    Allow,
}

/// A liquidation by a keeper whose account on the exchange is empty before, so that
/// what comes back is the loan and what the liquidation brought.
#[derive(Clone, Debug)]
pub struct PerpLiquidation<'a> {
    /// The keeper's account, read and found empty. The transaction holds it to that
    /// when it executes.
    pub account: EmptyAccount,
    /// Whom to liquidate.
    pub user: &'a User,
    /// Markets of its positions, and those that are taken over.
    pub markets: &'a Markets,
    /// The keeper's token account of the quote token, where the loan arrives and
    /// goes back from.
    pub token_account: Address,
    /// The loan, units of the quote token.
    pub loan: u64,
    /// What to take over.
    pub take_over: TakeOver<'a>,
    /// What may stay on the exchange.
    pub leftover: Leftover,
}

impl PerpLiquidation<'_> {
    /// The instructions for [`crate::bracket::GuardedFlash::body`]. Everything is
    /// withdrawn and nothing ever borrowed.
    ///
    /// # Errors
    /// [`PerpError`]; [`PerpError::OtherPool`] for a user of another pool of markets than
    /// the keeper's account, which is in pool 0.
    pub fn body(&self) -> Result<Vec<Instruction>, PerpError> {
        let (account, markets, user) = (self.account.account(), self.markets, self.user);
        if user.pool_id != 0 {
            let address = user.account.address();
            return Err(PerpError::OtherPool { address, found: user.pool_id, expected: 0 });
        }
        let quote =
            |amount| withdraw(account, markets, QUOTE_SPOT_MARKET, &self.token_account, amount);
        let paid_in = |market, from, units| deposit(account, markets, market, from, units);
        let mut body = vec![
            require_empty(account),
            paid_in(QUOTE_SPOT_MARKET, &self.token_account, self.loan)?,
        ];
        match &self.take_over {
            TakeOver::Perp {
                market,
                max_base,
                limit_price,
                close_limit,
                makers,
                order_book,
                settle_first,
            } => {
                let is_long = user.perp(*market)?.base > 0;
                let direction = if is_long { Direction::Short } else { Direction::Long };
                // Whatever was handed over.
                let order = ClosePerp {
                    market: *market,
                    direction,
                    base: u64::MAX,
                    limit_price: *close_limit,
                    fill: Fill::Whole,
                    makers,
                    order_book: *order_book,
                };
                body.push(liquidate_perp(
                    account,
                    user,
                    markets,
                    *market,
                    *max_base,
                    *limit_price,
                )?);
                body.push(close_perp(account, markets, &order)?);
                for loser in settle_first.iter().chain([&account]) {
                    body.push(settle_pnl(*loser, &account.authority, markets, *market)?);
                }
            }
            TakeOver::Spot {
                asset,
                liability,
                max_liability,
                limit_price,
                token_account,
                trade,
                repay,
            } => {
                body.push(liquidate_spot(
                    account,
                    user,
                    markets,
                    *asset,
                    *liability,
                    *max_liability,
                    *limit_price,
                )?);
                if *liability == QUOTE_SPOT_MARKET {
                    let all = Withdrawal::All;
                    body.push(withdraw(account, markets, *asset, token_account, all)?);
                    body.extend_from_slice(trade);
                } else {
                    // The keeper buys with its own quote tokens, before any come back.
                    body.extend_from_slice(trade);
                    body.push(paid_in(*liability, token_account, *repay)?);
                    let all = Withdrawal::All;
                    body.push(withdraw(account, markets, *liability, token_account, all)?);
                }
            }
            TakeOver::PnlForDeposit { perp, asset, max_pnl, limit_price, token_account, trade } => {
                body.push(liquidate_perp_pnl_for_deposit(
                    account,
                    user,
                    markets,
                    *perp,
                    *asset,
                    *max_pnl,
                    *limit_price,
                )?);
                // The loss comes out of the deposit.
                body.push(settle_pnl(account, &account.authority, markets, *perp)?);
                let all = Withdrawal::All;
                body.push(withdraw(account, markets, *asset, token_account, all)?);
                body.extend_from_slice(trade);
            }
        }
        body.push(quote(Withdrawal::All)?);
        if self.leftover == Leftover::Refuse {
            body.push(require_empty(account));
        }
        Ok(body)
    }
}
