//! `refresh_reserve`, off chain: interest, rewards, price and limits at a given
//! moment.

use klend_interface::state::{LendingMarket, Reserve};
use solana_address::Address;

use crate::{
    accrual,
    constants::PROGRAM_VERSION,
    errors::Code,
    fraction::Overflow,
    keys, price,
    price::Oracles,
    refusal::{At, Refusal},
    reserve::ReserveState,
    time::{self, Clock},
    version::KlendVersion,
};

/// Brings a reserve to `clock`.
///
/// With `oracles`, prices are read as `refresh_reserve` reads them. Without,
/// the saved price is kept while it is young enough, as
/// `refresh_reserves_batch` does when told to skip prices.
///
/// # Errors
/// klend's errors 6007 (interest counts slots, and the clock is before the last
/// refresh), 6042, 6044, 6054–6056, 6073; [`Refusal::ForeignMarket`];
/// [`Refusal::Unknowable`]; [`Refusal::Abort`].
pub fn reserve<'a>(
    version: KlendVersion,
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
    if account.version != PROGRAM_VERSION {
        return Err(Refusal::integers(
            Code::ReserveDeprecated,
            key,
            account.version,
            PROGRAM_VERSION,
        ));
    }
    if market.emergency_mode != 0 {
        return Err(Refusal::klend(Code::GlobalEmergencyMode, market_key));
    }
    let mut state = ReserveState::stored(version, key, account)?;
    accrual::accrue(version, &mut state, market, clock)?;
    refresh_price(version, &mut state, market, clock, oracles)?;
    state.slot = clock.slot;
    state.timestamp = time::stamp(version, state.timestamp, clock).at(key)?;
    state.stale = false;
    refresh_limits(&mut state, clock.unix_timestamp).at(key)?;
    Ok(state)
}

fn refresh_price(
    version: KlendVersion,
    state: &mut ReserveState<'_>,
    market: &LendingMarket,
    clock: Clock,
    oracles: Option<&dyn Oracles>,
) -> Result<(), Refusal> {
    if state.emergency {
        // No oracle is asked, and what was known is forgotten.
        state.price_timestamp = 0;
        state.price_status = 0;
        return Ok(());
    }
    let info = &state.account.config.token_info;
    let now = clock.unix_timestamp;
    let trigger = market.price_refresh_trigger_to_max_age_pct;
    if let Some(oracles) = oracles
        && price::is_due(info, state.price_timestamp, trigger, now)
    {
        let feed = price::read(version, &state.key, info, oracles, clock)?;
        if let Some(feed) = feed
            && let Some(price) = feed.price.price
        {
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
