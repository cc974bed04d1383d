//! `refresh_reserve`: interest and rewards up to this moment and, when it is
//! due, a new price.
//!
//! Accounts: 0 reserve (writable), 1 market, 2 Pyth, 3 Switchboard price,
//! 4 Switchboard average, 5 Scope; klend's id stands for an absent oracle.

use solana_program::{account_info::AccountInfo, clock::Clock, pubkey::Pubkey, sysvar::Sysvar};

use crate::{
    accounts::{optional, require_has_one, require_mut, split},
    error::{KlendError, Result, require},
    interest::{self, Duration, InterestTerms},
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

/// Refreshes a reserve whose market has been checked; without oracle accounts,
/// and with oracles that say nothing, the saved price stays as long as it is
/// young enough. A reserve in emergency mode loses its price instead, and
/// nobody looks at its oracles.
pub fn refresh(
    reserve: &AccountInfo,
    market: &AccountInfo,
    oracles: Option<&[AccountInfo]>,
) -> Result<()> {
    let clock = Clock::get()?;
    let market = state::load::<LendingMarket>(market)?;
    let mut reserve = state::load_mut::<Reserve>(reserve)?;
    reserve.require_current_version()?;
    let now = now(&clock);
    let price = match oracles {
        Some(oracles)
            if reserve.config.emergency_mode == 0 && price_is_due(&reserve, &market, now) =>
        {
            read_price(&reserve.config.token_info, oracles, now)?
        }
        _ => None,
    };
    update(&mut reserve, &market, &clock, price)
}

/// The clock's time. Panics before 1970.
pub fn now(clock: &Clock) -> u64 {
    u64::try_from(clock.unix_timestamp).expect("a time after 1970")
}

fn price_is_due(reserve: &Reserve, market: &LendingMarket, now: u64) -> bool {
    price::refresh_is_due(
        &reserve.config.token_info,
        market.price_refresh_trigger_to_max_age_pct,
        reserve.liquidity.market_price_last_updated_ts,
        now,
    )
}

/// Reads the price, if the oracle says one, after checking that exactly the
/// configured oracles are given.
fn read_price(info: &TokenInfo, oracles: &[AccountInfo], now: u64) -> Result<Option<CheckedPrice>> {
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

/// Brings the books to this moment.
pub fn update(
    reserve: &mut Reserve,
    market: &LendingMarket,
    clock: &Clock,
    price: Option<CheckedPrice>,
) -> Result<()> {
    let now = now(clock);
    let basis = reserve.config.interest_rate_basis;
    let time = Duration::since(basis, &reserve.last_update, clock.slot, now)?;
    if time.units != 0 {
        let Reserve { liquidity, collateral, config, .. } = reserve;
        let terms = InterestTerms {
            curve: &config.borrow_rate_curve,
            host_fixed_rate_bps: config.host_fixed_interest_rate_bps,
            take_rate_pct: config.protocol_take_rate_pct,
            referral_fee_bps: market.referral_fee_bps,
        };
        interest::accrue(liquidity, &terms, time);
        interest::reward(
            liquidity,
            collateral.mint_total_supply,
            config.rewards_amount_per_accrual_unit,
            market.reserve_rewards_max_apr_bps,
            time,
        );
    }
    let saved_at = reserve.liquidity.market_price_last_updated_ts;
    let status = match price {
        _ if reserve.config.emergency_mode != 0 => {
            reserve.liquidity.market_price_last_updated_ts = 0;
            PriceStatus::NONE
        }
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
    reserve.last_update.update(clock, status);
    reserve.config.reserved_10 = Default::default();
    reserve.update_limit_timestamps(now);
    Ok(())
}
