//! `place_and_take_perp_order(params: OrderParams, success_condition:
//! Option<u32>)`: here only orders that reduce a position, at once or never.
//!
//! Accounts: 0 state, 1 user (writable), 2 statistics (writable), 3 authority
//! (signer); markets; makers, each with its statistics (all writable).

use solana_program::account_info::AccountInfo;

use super::{Args, require_authority, split, state, user};
use crate::{
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
}

impl Order {
    fn read(args: &mut Args) -> Result<Self> {
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
        args.option(Args::u32)?; // offset from the oracle's price
        args.option(Args::u8)?; // auction: duration, start and end price
        args.option(Args::u64)?;
        args.option(Args::u64)?;
        require([MARKET, LIMIT].contains(&order_type), Error::InvalidOrder)?;
        let is_supported = market_type == PERP && direction < 2 && reduce_only && post_only == 0;
        require(is_supported, Error::InvalidOrder)?;
        require((price == 0) == (order_type == MARKET), Error::InvalidOrder)?;
        require(flags == IMMEDIATE_OR_CANCEL, Error::InvalidOrderIOC)?;
        Ok(Self { is_long: direction == 0, base, price, market })
    }
}

pub fn process(accounts: &[AccountInfo], args: &mut Args) -> Result<()> {
    let order = Order::read(args)?;
    // The second byte is for auctions.
    let condition = args.option(Args::u32)?.map_or(0, |condition| condition & 0xff);
    let ([state_account, user_account, stats, authority], mut rest) = split::<4>(accounts)?;
    let state = state(state_account)?;
    let mut user = user(user_account, stats)?;
    require_authority(&user, authority)?;
    let markets = Markets::load(&mut rest, &[], &[order.market])?;
    check_makers(&mut rest)?;

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
    let filled = if crosses { most } else { 0 };
    let is_met = match condition {
        0 => true,
        1 => filled > 0,
        2 => filled > 0 && filled.unsigned_abs() == order.base,
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
    user.store(user_account)
}

/// Users and their statistics, in turn. 6236, 6233, 6229 and 6232.
fn check_makers(rest: &mut Rest) -> Result<()> {
    while let Some(maker) = rest.next() {
        User::load(maker)?;
        require(maker.is_writable, Error::UserWrongMutability)?;
        let stats = rest.next().ok_or(Error::UserStatsNotFound)?;
        UserStats::load(stats).map_err(|_| Error::InvalidUserStatsAccount)?;
        require(stats.is_writable, Error::UserStatsWrongMutability)?;
    }
    Ok(())
}
