//! `refresh_reserve`, off chain: interest, price and limits at a given moment.

use klend_interface::state::{LendingMarket, Reserve};
use solana_address::Address;

use crate::{
    constants::SLOTS_PER_YEAR,
    errors::Code,
    fraction::{Fraction, Overflow},
    keys, price,
    price::Oracles,
    refusal::{At, Caveats, Refusal},
    reserve::{Clock, ReserveState},
};

/// Brings a reserve to `clock`.
///
/// With `oracles`, prices are read as `refresh_reserve` reads them. Without,
/// the saved price is kept while it is young enough, as
/// `refresh_reserves_batch` does when told to skip prices.
///
/// # Errors
/// klend's errors 6007 (the clock is before the last refresh), 6042, 6044,
/// 6054–6056, 6073; [`Refusal::ForeignMarket`]; [`Refusal::Abort`].
pub fn reserve<'a>(
    market_key: &Address,
    market: &LendingMarket,
    key: &Address,
    account: &'a Reserve,
    clock: Clock,
    oracles: Option<&dyn Oracles>,
) -> Result<ReserveState<'a>, Refusal> {
    if keys::address(&account.lending_market) != market_key {
        return Err(Refusal::ForeignMarket {
            account: *key,
            expected: *market_key,
            actual: keys::to_address(&account.lending_market),
        });
    }
    if account.version != crate::constants::PROGRAM_VERSION {
        return Err(Refusal::integers(
            Code::ReserveDeprecated,
            key,
            account.version,
            crate::constants::PROGRAM_VERSION,
        ));
    }
    if market.emergency_mode != 0 {
        return Err(Refusal::klend(Code::GlobalEmergencyMode, market_key));
    }
    let mut state = ReserveState::stored(key, account)?;
    accrue(&mut state, market, clock.slot)?;
    refresh_price(&mut state, market, clock, oracles)?;
    state.slot = clock.slot;
    state.stale = false;
    refresh_limits(&mut state, clock.unix_timestamp).at(key)?;
    Ok(state)
}

fn refresh_price(
    state: &mut ReserveState<'_>,
    market: &LendingMarket,
    clock: Clock,
    oracles: Option<&dyn Oracles>,
) -> Result<(), Refusal> {
    let info = &state.account.config.token_info;
    let now = clock.unix_timestamp;
    let trigger = market.price_refresh_trigger_to_max_age_pct;
    if let Some(oracles) = oracles
        && price::is_due(info, state.price_timestamp, trigger, now)
    {
        let feed = price::read(&state.key, info, oracles, clock)?;
        if let Some(price) = feed.price.price {
            state.price_status = price::status(&state.key, info, price, &feed, now)?;
            state.market_price = price;
            state.price_timestamp = feed.price.timestamp;
            return Ok(());
        }
    }
    if now.saturating_sub(state.price_timestamp) >= info.max_age_price_seconds {
        state.price_status = 0;
    }
    Ok(())
}

/// Accrues interest up to `slot`.
fn accrue(state: &mut ReserveState<'_>, market: &LendingMarket, slot: u64) -> Result<(), Refusal> {
    let slots = slot
        .checked_sub(state.slot)
        .ok_or_else(|| Refusal::integers(Code::MathOverflow, &state.key, slot, state.slot))?;
    if slots == 0 {
        return Ok(());
    }
    let config = &state.account.config;
    if config.rewards_amount_per_slot != 0 && state.account.liquidity.rewards_amount_available != 0
    {
        state.caveats = state.caveats.and(Caveats::RESERVE_REWARDS);
    }
    let rate = state.borrow_rate()?;
    let key = state.key;
    compound(state, market, rate, slots).at(&key)
}

fn compound(
    state: &mut ReserveState<'_>,
    market: &LendingMarket,
    rate: Fraction,
    slots: u64,
) -> Result<(), Overflow> {
    let config = &state.account.config;
    let fixed_rate = state.host_fixed_rate();
    let growth = compound_interest(rate.try_add(fixed_rate)?, slots)?;
    let fixed_growth = compound_interest(fixed_rate, slots)?;

    let before = state.borrowed;
    let after = before.try_mul(growth)?;
    let fixed = before.try_mul(fixed_growth)?.try_sub(before)?;
    let variable = after.try_sub(before)?.try_sub(fixed)?;

    let take_rate = Fraction::from_percent(u64::from(config.protocol_take_rate_pct));
    let referral_rate = Fraction::from_bps(u64::from(market.referral_fee_bps));
    let absolute_referral_rate = take_rate.try_mul(referral_rate)?;
    let referral_share = variable.try_mul(absolute_referral_rate)?;
    let protocol_share = variable.try_mul(take_rate)?.try_sub(referral_share)?;

    state.cumulative_borrow_rate = state.cumulative_borrow_rate.try_mul(growth)?;
    state.absolute_referral_rate = absolute_referral_rate;
    state.borrowed = after;
    state.protocol_fees = state.protocol_fees.try_add(fixed)?.try_add(protocol_share)?;
    state.pending_referrer_fees = state.pending_referrer_fees.try_add(referral_share)?;
    Ok(())
}

/// Growth of a debt of one over `slots` at a yearly rate.
///
/// Exact powers up to four slots; beyond, the first four terms of the binomial
/// series, which is what klend computes. The higher terms lose most of their
/// precision: the square of a slot's rate is a handful of units of 2⁻⁶⁰.
pub fn compound_interest(rate: Fraction, slots: u64) -> Result<Fraction, Overflow> {
    let per_slot = rate.try_div_int(u128::from(SLOTS_PER_YEAR))?;
    let base = Fraction::ONE.try_add(per_slot)?;
    match slots {
        0 => return Ok(Fraction::ONE),
        1 => return Ok(base),
        2 => return base.try_mul(base),
        3 => return base.try_mul(base)?.try_mul(base),
        4 => {
            let squared = base.try_mul(base)?;
            return squared.try_mul(squared);
        }
        _ => {}
    }
    let n = u128::from(slots);
    let squared = per_slot.try_mul(per_slot)?;
    let cubed = squared.try_mul(per_slot)?;
    let first = per_slot.try_mul_int(n)?;
    let second = squared.try_mul_int(n)?.try_mul_int(n - 1)?.try_div_int(2)?;
    let third = cubed.try_mul_int(n)?.try_mul_int(n - 1)?.try_mul_int(n - 2)?.try_div_int(6)?;
    Fraction::ONE.try_add(first)?.try_add(second)?.try_add(third)
}

/// Notes when a limit was crossed, or that it no longer is.
fn refresh_limits(state: &mut ReserveState<'_>, now: u64) -> Result<(), Overflow> {
    let note = |crossed: bool, since: u64| match (crossed, since) {
        (false, _) => 0,
        (true, 0) => now,
        (true, since) => since,
    };
    state.deposit_limit_crossed_at =
        note(state.deposit_limit()?.crossed, state.deposit_limit_crossed_at);
    state.borrow_limit_crossed_at =
        note(state.borrow_limit().crossed, state.borrow_limit_crossed_at);
    Ok(())
}
