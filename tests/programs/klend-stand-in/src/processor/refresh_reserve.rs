//! `refresh_reserve`: interest up to this slot and, when it is due, a new
//! price.
//!
//! Accounts: 0 reserve (writable), 1 market, 2 Pyth, 3 Switchboard price,
//! 4 Switchboard average, 5 Scope; klend's id stands for an absent oracle.

use solana_program::{account_info::AccountInfo, clock::Clock, pubkey::Pubkey, sysvar::Sysvar};

use crate::{
    accounts::{optional, require_has_one, require_mut, split},
    error::{KlendError, Result, require},
    interest::{self, InterestTerms},
    price::{self, CheckedPrice},
    state::{self, LendingMarket, OraclePrices, PriceStatus, Reserve, TokenInfo},
};

pub fn process(accounts: &[AccountInfo]) -> Result<()> {
    let ([reserve, market, oracles @ ..], rest) = split::<6>(accounts)?;
    state::check_layout::<Reserve>(reserve)?;
    state::check_layout::<LendingMarket>(market)?;
    require_mut(reserve)?;
    require_has_one(&state::load::<Reserve>(reserve)?.lending_market, market)?;
    state::load::<LendingMarket>(market)?.require_no_emergency()?;
    require(rest.is_empty(), KlendError::InvalidAccountInput)?;
    refresh(reserve, market, Some(oracles))
}

/// Refreshes a reserve whose market has been checked; without oracle accounts
/// the saved price stays as long as it is young enough.
pub fn refresh(
    reserve: &AccountInfo,
    market: &AccountInfo,
    oracles: Option<&[AccountInfo]>,
) -> Result<()> {
    let clock = Clock::get()?;
    let market = state::load::<LendingMarket>(market)?;
    let mut reserve = state::load_mut::<Reserve>(reserve)?;
    reserve.require_current_version()?;
    reserve.require_no_emergency()?;
    let now = now(&clock);
    let price = match oracles {
        Some(oracles) if price_is_due(&reserve, &market, now) => {
            Some(read_price(&reserve.config.token_info, oracles, now)?)
        }
        _ => None,
    };
    update(&mut reserve, &market, &clock, price)
}

/// The clock's time; klend never runs before 1970.
pub fn now(clock: &Clock) -> u64 {
    clock.unix_timestamp.unsigned_abs()
}

fn price_is_due(reserve: &Reserve, market: &LendingMarket, now: u64) -> bool {
    price::refresh_is_due(
        &reserve.config.token_info,
        market.price_refresh_trigger_to_max_age_pct,
        reserve.liquidity.market_price_last_updated_ts,
        now,
    )
}

/// Reads the price after checking that exactly the configured oracles are
/// given.
fn read_price(info: &TokenInfo, oracles: &[AccountInfo], now: u64) -> Result<CheckedPrice> {
    let [pyth, switchboard_price, switchboard_twap, scope] = oracles else {
        return Err(KlendError::InvalidAccountInput.into());
    };
    price::require_usable_configuration(info)?;
    // Neither Pyth nor Switchboard is read here: both must be absent from the
    // configuration and from the accounts.
    let absent = |account: &AccountInfo, configured: &Pubkey| {
        optional(account).is_none() && !price::is_configured(configured)
    };
    require(absent(pyth, &info.pyth_price), KlendError::InvalidPythPriceAccount)?;
    require(
        absent(switchboard_price, &info.switchboard_price)
            && absent(switchboard_twap, &info.switchboard_twap),
        KlendError::InvalidSwitchboardAccount,
    )?;
    let scope = optional(scope)
        .filter(|account| *account.key == info.scope.price_feed)
        .ok_or(KlendError::InvalidScopePriceAccount)?;
    let prices = state::load::<OraclePrices>(scope).map_err(|_| KlendError::PriceNotValid)?;
    price::read(&prices, info, now)
}

/// Brings the books to this slot.
pub fn update(
    reserve: &mut Reserve,
    market: &LendingMarket,
    clock: &Clock,
    price: Option<CheckedPrice>,
) -> Result<()> {
    let now = now(clock);
    let slots = clock.slot.checked_sub(reserve.last_update.slot).ok_or(KlendError::MathOverflow)?;
    if slots != 0 {
        let Reserve { liquidity, config, .. } = reserve;
        let terms = InterestTerms {
            curve: &config.borrow_rate_curve,
            host_fixed_rate_bps: config.host_fixed_interest_rate_bps,
            take_rate_pct: config.protocol_take_rate_pct,
            referral_fee_bps: market.referral_fee_bps,
        };
        interest::accrue(liquidity, &terms, slots);
    }
    let saved_at = reserve.liquidity.market_price_last_updated_ts;
    let status = match price {
        Some(price) => {
            reserve.liquidity.market_price_sf.set_fraction(price.price);
            reserve.liquidity.market_price_last_updated_ts = price.timestamp;
            price.status
        }
        None if price::saved_price_is_young(&reserve.config.token_info, saved_at, now) => {
            PriceStatus(reserve.last_update.price_status)
        }
        None => PriceStatus::NONE,
    };
    reserve.last_update.update(clock.slot, status);
    reserve.update_limit_timestamps(now);
    Ok(())
}
