//! How a reserve grows with time: interest, fees and rewards.

use klend_interface::state::LendingMarket;

use crate::{
    constants::FULL_BPS,
    errors::Code,
    fraction::{Fraction, Overflow},
    refusal::{At, Refusal},
    reserve::ReserveState,
    time::{Clock, Elapsed},
    version::KlendVersion,
};

/// Adds the interest and the rewards of the time since the reserve's last update.
pub(crate) fn accrue(
    version: KlendVersion,
    state: &mut ReserveState<'_>,
    market: &LendingMarket,
    now: Clock,
) -> Result<(), Refusal> {
    let key = state.key;
    let elapsed = state
        .basis
        .since(&state.account.last_update, now)
        .map_err(|(now, last)| Refusal::integers(Code::MathOverflow, &key, now, last))?;
    if elapsed.units == 0 {
        return Ok(());
    }
    let rate = state.borrow_rate()?;
    compound(version, state, market, rate, elapsed).at(&key)?;
    if version.has_reserve_switches() {
        distribute_rewards(state, market, elapsed)?;
    }
    Ok(())
}

fn compound(
    version: KlendVersion,
    state: &mut ReserveState<'_>,
    market: &LendingMarket,
    rate: Fraction,
    elapsed: Elapsed,
) -> Result<(), Overflow> {
    let config = &state.account.config;
    let fixed_rate = state.host_fixed_rate();
    let growth = compound_interest(version, rate.try_add(fixed_rate)?, elapsed)?;
    let fixed_growth = compound_interest(version, fixed_rate, elapsed)?;

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

/// Growth of a debt of one over some time at a yearly rate.
///
/// Exact powers up to four units; beyond, the first four terms of the binomial
/// series, which is what klend computes. The higher terms lose much of their
/// precision: the square of a slot's rate is a handful of units of 2⁻⁶⁰.
pub fn compound_interest(
    version: KlendVersion,
    rate: Fraction,
    elapsed: Elapsed,
) -> Result<Fraction, Overflow> {
    let per_unit = rate.try_div_int(u128::from(elapsed.units_per_year))?;
    let base = Fraction::ONE.try_add(per_unit)?;
    match elapsed.units {
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
    let n = u128::from(elapsed.units);
    let first = per_unit.try_mul_int(n)?;
    let (second, third) = if version.compounds_term_by_term() {
        let second = first.try_mul(per_unit)?.try_mul_int(n - 1)?.try_div_int(2)?;
        let third = second.try_mul(per_unit)?.try_mul_int(n - 2)?.try_div_int(3)?;
        (second, third)
    } else {
        let squared = per_unit.try_mul(per_unit)?;
        let second = squared.try_mul_int(n)?.try_mul_int(n - 1)?.try_div_int(2)?;
        let cubed = squared.try_mul(per_unit)?;
        let third = cubed.try_mul_int(n)?.try_mul_int(n - 1)?.try_mul_int(n - 2)?.try_div_int(6)?;
        (second, third)
    };
    Fraction::ONE.try_add(first)?.try_add(second)?.try_add(third)
}

/// Moves rewards out of the reserve's pot to its depositors: what the
/// configured rate gives, at most the market's share of the supply per year, at
/// most what is in the pot.
fn distribute_rewards(
    state: &mut ReserveState<'_>,
    market: &LendingMarket,
    elapsed: Elapsed,
) -> Result<(), Refusal> {
    let rate = state.account.config.rewards_amount_per_slot;
    let most_bps = market.reserve_rewards_max_apr_bps;
    if rate == 0 || most_bps == 0 || state.rewards_pot == 0 || state.ctoken_supply == 0 {
        return Ok(());
    }
    let key = state.key;
    let units = u128::from(elapsed.units);
    let by_rate = u128::from(rate).saturating_mul(units);
    let by_share = state
        .total_supply()
        .at(&key)?
        .floor()
        .saturating_mul(u128::from(most_bps))
        .saturating_mul(units)
        / (u128::from(FULL_BPS) * u128::from(elapsed.units_per_year));
    // The smallest of the three is at most the pot, which fits.
    let given = by_rate.min(by_share).min(u128::from(state.rewards_pot)) as u64;
    state.available = state
        .available
        .checked_add(given)
        .ok_or_else(|| Refusal::integers(Code::MathOverflow, &key, state.available, given))?;
    state.rewards_pot -= given;
    Ok(())
}
