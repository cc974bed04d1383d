//! `place_and_take_perp_order(params: OrderParams, success_condition:
//! Option<u32>)`: here only orders that reduce a position. Velocity's `_v1` has the
//! order book's accounts besides.
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
    state::{Layout, User, UserStats},
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
    let markets = Markets::load(&mut rest, &[], &[order.market])?;
    let makers = makers(&mut rest)?;
    let referrer = UserStats::load(stats)?.referrer;
    let is_named = referrer == Pubkey::default() || makers.contains(&referrer);
    require(is_named, Error::ReferrerStatsNotFound)?;

    let market = markets.perp(order.market)?;
    let position = user.perp_mut(order.market)?;
    let reduces = position.base != 0 && (position.base < 0) == order.is_long;
    require(reduces, Error::ReduceOnlyOrderIncreasedRisk)?;
    let wanted = order.base - order.base.checked_rem(market.step_size).ok_or(Error::MathError)?;
    let most = fits::<i64, _>(wanted.min(position.base.unsigned_abs()))?;

    let oracle_price = i128::from(markets.price(&market.oracle)?);
    let away = millionths(oracle_price, market.spread[usize::from(order.is_long)]);
    let price = if order.is_long { oracle_price + away } else { oracle_price - away };
    let crosses = match i128::from(order.price) {
        0 => true,
        limit if order.is_long => price <= limit,
        limit => price >= limit,
    };
    // At once only on a price of this very slot, unless the market allows more.
    let age = Clock::get()?.slot.saturating_sub(markets.posted_slot(&market.oracle)?);
    let is_fresh = age <= u64::try_from(market.oracle_delay).unwrap_or(0);
    let is_open = state.paused & 4 == 0;
    let filled = if crosses && is_fresh && is_open { most } else { 0 };
    // What an order asks beyond the position is cancelled, and counts as filled.
    let is_met = match condition {
        0 => true,
        1 | 2 => filled > 0,
        _ => false,
    };
    require(is_met, Error::PlaceAndTakeOrderSuccessConditionFailed)?;

    let value = base_value(filled, fits(price)?);
    let (numerator, denominator) = state.taker_fee;
    let fee =
        (value * i128::from(numerator)).checked_div(denominator.into()).ok_or(Error::MathError)?;
    let (base, quote) = if order.is_long { (filled, -value - fee) } else { (-filled, value - fee) };
    position.base += base;
    position.quote = position.quote.checked_add(fits(quote)?).ok_or(Error::MathError)?;
    if filled == 0 && !order.is_immediate_or_cancel {
        position.open_orders += 1;
        user.open_orders += 1;
    }
    user.store(user_account)
}

/// The wallets of the users in the list, each with its statistics. 6236, 6233, 6229
/// and 6232.
fn makers(rest: &mut Rest) -> Result<Vec<Pubkey>> {
    let mut makers = Vec::new();
    while let Some(maker) = rest.next() {
        makers.push(User::load(maker)?.authority);
        require(maker.is_writable, Error::UserWrongMutability)?;
        let stats = rest.next().ok_or(Error::UserStatsNotFound)?;
        UserStats::load(stats).map_err(|_| Error::InvalidUserStatsAccount)?;
        require(stats.is_writable, Error::UserStatsWrongMutability)?;
    }
    Ok(makers)
}
