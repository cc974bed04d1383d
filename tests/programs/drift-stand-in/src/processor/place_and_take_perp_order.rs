//! `place_and_take_perp_order(params: OrderParams, success_condition:
//! Option<u32>)`: here only orders that reduce a position. Velocity's `_v1` has the
//! order book's accounts besides.
//!
//! The exchange's own market maker fills at the oracle's price and its spread; where it
//! does not, orders that rest in the accounts of the makers listed (Drift only).
//!
//! Accounts: 0 state, 1 user (writable), 2 statistics (writable), 3 authority
//! (signer), in `_v1` 4 quoter slab, 5 book (writable), 6 its program, 7 whoever
//! attests the flow; markets; makers, each with its statistics (all writable).

use solana_program::{account_info::AccountInfo, clock::Clock, pubkey::Pubkey, sysvar::Sysvar};

use super::{Args, require_authority, require_running, split, state, user};
use crate::{
    Exchange,
    error::{Error, Result, fits, require},
    margin::{base_value, millionths},
    markets::{Markets, Rest},
    state::{self as layouts, BookSide, Layout, ORDERS, PerpPosition, User, UserStats},
};

/// `OrderParams`, as far as it is used.
struct Order {
    is_long: bool,
    base: u64,
    /// 0 for any.
    price: u64,
    market: u16,
    is_immediate_or_cancel: bool,
}

impl Order {
    fn read(exchange: Exchange, args: &mut Args) -> Result<Self> {
        const MARKET: u8 = 0;
        const LIMIT: u8 = 1;
        const PERP: u8 = 1;
        const IMMEDIATE_OR_CANCEL: u8 = 1;
        let (order_type, market_type, direction) = (args.u8()?, args.u8()?, args.u8()?);
        args.u8()?; // the user's own number for it
        let (base, price, market) = (args.u64()?, args.u64()?, args.u16()?);
        let (reduce_only, post_only, flags) = (args.bool()?, args.u8()?, args.u8()?);
        args.option(Args::u64)?; // expiry
        args.option(Args::u64)?; // trigger price
        args.u8()?; // trigger condition
        // Offset from the oracle's price.
        match exchange {
            Exchange::Drift => args.option(Args::u32)?.map(drop),
            Exchange::Velocity => args.option(Args::u64)?.map(drop),
        };
        args.option(Args::u8)?; // auction: duration, start and end price
        args.option(Args::u64)?;
        args.option(Args::u64)?;
        if exchange == Exchange::Velocity {
            args.option(Args::u8)?; // builder, and its fee
            args.option(Args::u16)?;
        }
        require([MARKET, LIMIT].contains(&order_type), Error::InvalidOrder)?;
        let is_supported = market_type == PERP && direction < 2 && reduce_only && post_only == 0;
        require(is_supported, Error::InvalidOrder)?;
        require((price == 0) == (order_type == MARKET), Error::InvalidOrder)?;
        // Prices are counted with in millionths of what they are compared with.
        let signed = i64::try_from(price).map_err(|_| Error::CastingFailure)?;
        signed.checked_mul(1_000_000).ok_or(Error::MathError)?;
        let is_immediate_or_cancel = flags == IMMEDIATE_OR_CANCEL;
        // Only an order with a price may be immediate or cancelled.
        require(!is_immediate_or_cancel || order_type == LIMIT, Error::InvalidOrderIOC)?;
        Ok(Self { is_long: direction == 0, base, price, market, is_immediate_or_cancel })
    }
}

pub fn process(
    exchange: Exchange,
    accounts: &[AccountInfo],
    args: &mut Args,
    has_order_book: bool,
) -> Result<()> {
    let order = Order::read(exchange, args)?;
    // The second byte is for auctions.
    let condition = args.option(Args::u32)?.map_or(0, |condition| condition & 0xff);
    let ([state_account, user_account, stats, authority], mut rest) = split::<4>(accounts)?;
    let state = state(state_account)?;
    require_running(&state, 8)?;
    let mut user = user(user_account, stats)?;
    require_authority(&user, authority)?;
    if has_order_book {
        let book = (&mut rest).take(4).collect::<Vec<_>>();
        let [_slab, market, ..] = book[..] else { return Err(Error::AccountNotEnoughKeys.into()) };
        require(market.is_writable, Error::ConstraintMut)?;
    }
    let mut markets = Markets::load(&mut rest, &[], &[order.market])?;
    let mut makers = makers(&mut rest)?;
    let referrer = UserStats::load(stats)?.referrer;
    let is_named = referrer == Pubkey::default()
        || makers.iter().any(|maker| maker.user.authority == referrer);
    require(is_named, Error::ReferrerStatsNotFound)?;

    markets.follow_perp(order.market)?;
    let market = markets.perp(order.market)?;
    let position = user.perp_mut(order.market)?;
    let reduces = position.base != 0 && (position.base < 0) == order.is_long;
    require(reduces, Error::ReduceOnlyOrderIncreasedRisk)?;
    let wanted = order.base - order.base.checked_rem(market.step_size).ok_or(Error::MathError)?;
    let wanted = wanted.min(position.base.unsigned_abs());

    let oracle_price = i128::from(markets.price(&market.oracle)?);
    let away = millionths(oracle_price, market.spread[usize::from(order.is_long)]);
    let price = if order.is_long { oracle_price + away } else { oracle_price - away };
    // At once only on a price of this very slot, unless the market allows more.
    let age = Clock::get()?.slot.saturating_sub(markets.posted_slot(&market.oracle)?);
    let is_fresh = age <= u64::try_from(market.oracle_delay).unwrap_or(0);
    let is_open = state.paused & 4 == 0 && !market.is_in_drawdown();
    let mut fills = Vec::new();
    if order.accepts(fits(price)?) && is_fresh && is_open {
        fills.push((wanted, fits(price)?));
    } else if exchange == Exchange::Drift {
        let mut left = wanted;
        for maker in &mut makers {
            maker.fill(&order, &mut left, &mut fills)?;
        }
    }
    let filled: u64 = fills.iter().map(|(base, _)| base).sum();
    // What an order asks beyond the position is cancelled, and counts as filled.
    let is_met = match condition {
        0 => true,
        1 => filled > 0,
        2 => filled == wanted && filled > 0,
        _ => false,
    };
    require(is_met, Error::PlaceAndTakeOrderSuccessConditionFailed)?;

    let (numerator, denominator) = state.taker_fee;
    for (base, price) in fills {
        let value = base_value(fits(base)?, price);
        let fee = (value * i128::from(numerator))
            .checked_div(denominator.into())
            .ok_or(Error::MathError)?;
        trade(position, order.is_long, base, value, fee)?;
    }
    if filled < wanted && !order.is_immediate_or_cancel {
        position.open_orders += 1;
        user.open_orders += 1;
    }
    markets.store_perp(order.market)?;
    makers.iter().try_for_each(|maker| maker.user.store(maker.account))?;
    user.store(user_account)
}

/// Buys or sells: size and quote of a position, and what it pays.
fn trade(
    position: &mut PerpPosition,
    is_long: bool,
    base: u64,
    value: i128,
    fee: i128,
) -> Result<()> {
    let base = fits::<i64, _>(base)?;
    let (base, quote) = if is_long { (base, -value - fee) } else { (-base, value - fee) };
    position.base = position.base.checked_add(base).ok_or(Error::MathError)?;
    position.quote = position.quote.checked_add(fits(quote)?).ok_or(Error::MathError)?;
    Ok(())
}

impl Order {
    fn accepts(&self, price: i64) -> bool {
        match (self.price, price.unsigned_abs()) {
            (0, _) => true,
            (limit, price) if self.is_long => price <= limit,
            (limit, price) => price >= limit,
        }
    }
}

/// A user in the list behind the markets.
struct Maker<'a, 'info> {
    account: &'a AccountInfo<'info>,
    user: User,
}

impl Maker<'_, '_> {
    /// Fills what is left of an order with those that rest here.
    fn fill(&mut self, order: &Order, left: &mut u64, fills: &mut Vec<(u64, i64)>) -> Result<()> {
        let side = if order.is_long { BookSide::Ask } else { BookSide::Bid };
        let data = &mut *self.account.try_borrow_mut_data()?;
        for slot in 0..ORDERS {
            let Some(mut resting) = layouts::Order::read(data, slot) else { continue };
            let price = fits(resting.price)?;
            let base = resting.left().min(*left);
            let matches = (resting.market, resting.side) == (order.market, side);
            if !matches || !order.accepts(price) || base == 0 {
                continue;
            }
            resting.filled += base;
            resting.write(data, slot);
            let position = self.user.perp_mut(order.market)?;
            trade(position, !order.is_long, base, base_value(fits(base)?, price), 0)?;
            if resting.left() == 0 {
                position.open_orders = position.open_orders.saturating_sub(1);
                self.user.open_orders = self.user.open_orders.saturating_sub(1);
            }
            *left -= base;
            fills.push((base, price));
        }
        Ok(())
    }
}

/// The users in the list, each with its statistics. 6236, 6233, 6229 and 6232.
fn makers<'a, 'info>(rest: &mut Rest<'a, 'info>) -> Result<Vec<Maker<'a, 'info>>> {
    let mut makers = Vec::new();
    while let Some(account) = rest.next() {
        let user = User::load(account)?;
        require(account.is_writable, Error::UserWrongMutability)?;
        let stats = rest.next().ok_or(Error::UserStatsNotFound)?;
        UserStats::load(stats).map_err(|_| Error::InvalidUserStatsAccount)?;
        require(stats.is_writable, Error::UserStatsWrongMutability)?;
        makers.push(Maker { account, user });
    }
    Ok(makers)
}
