//! `borrow_obligation_liquidity_v2(liquidity_amount: u64)`: liquidity out of a
//! reserve against the obligation's deposits.
//!
//! Accounts: 0 owner (signer), 1 obligation (writable), 2 market, 3 market
//! authority, 4 reserve (writable), 5 liquidity mint, 6 liquidity supply
//! (writable), 7 fee vault (writable), 8 user's liquidity (writable),
//! 9 referrer state, 10 token program, 11 instructions sysvar, 12 farm user
//! state, 13 farm, 14 farms program; then, for an obligation in an elevation
//! group, the reserves of its active deposits (writable, in slot order).

use solana_program::{account_info::AccountInfo, clock::Clock, sysvar::Sysvar};

use super::{flash_borrow_reserve_liquidity::market_authority, refresh_reserve::now};
use crate::{
    accounts::*,
    error::{KlendError, Result, require},
    farms::{FarmAccounts, FarmKind},
    fees,
    liquidation::seconds_past_term,
    math::Fraction,
    permissioner::require_signature,
    pool::Flow,
    position::{self, borrow_factor_pct},
    state::{
        self, LendingMarket, Obligation, PermissionedOp, PriceStatus, ReferrerTokenState, Reserve,
    },
    token,
    vault::VaultSnapshot,
};

pub fn process(accounts: &[AccountInfo], args: &[u8]) -> Result<()> {
    let amount = read_u64(args, 0)?;
    let (
        [
            owner,
            obligation,
            market,
            authority,
            reserve,
            mint,
            vault,
            fee_vault,
            user_liquidity,
            referrer_token_state,
            token_program,
            instructions,
            farm_user,
            farm,
            farms_program,
        ],
        mut rest,
    ) = split::<15>(accounts)?;
    require_signer(owner)?;
    state::check_layout::<Obligation>(obligation)?;
    state::check_layout::<LendingMarket>(market)?;
    state::check_layout::<Reserve>(reserve)?;
    require_mint(mint)?;
    require_token_account(vault)?;
    require_token_account(fee_vault)?;
    require_token_account(user_liquidity)?;
    check_optional::<ReferrerTokenState>(referrer_token_state)?;
    require_token_program(token_program)?;
    FarmAccounts::check_kinds(farm_user, farms_program)?;
    require_mut(obligation)?;
    {
        let obligation = state::load::<Obligation>(obligation)?;
        require_has_one(&obligation.lending_market, market)?;
        require(obligation.owner == *owner.key, KlendError::InvalidObligationOwner)?;
    }
    let bump = state::load::<LendingMarket>(market)?.bump_seed;
    require_market_authority(authority, market.key, bump)?;
    require_mut(reserve)?;
    {
        let reserve = state::load::<Reserve>(reserve)?;
        require_has_one(&reserve.lending_market, market)?;
        require_address(mint, &reserve.liquidity.mint)?;
        require_mint_program(mint, token_program)?;
        require_mut(vault)?;
        require_address(vault, &reserve.liquidity.supply_vault)?;
        require_mut(fee_vault)?;
        require_address(fee_vault, &reserve.liquidity.fee_vault)?;
    }
    require_mut(user_liquidity)?;
    require_token_owner(user_liquidity, owner.key)?;
    require_optional_mut(referrer_token_state)?;
    require_instructions_sysvar(instructions)?;
    FarmAccounts::check_writable(farm_user, farm)?;

    let clock = Clock::get()?;
    {
        let (market_account, reserve_account) = (market, reserve);
        let market = state::load::<LendingMarket>(market)?;
        market.require_no_emergency()?;
        let obligation = state::load::<Obligation>(obligation)?;
        let reserve = state::load::<Reserve>(reserve)?;
        require(user_liquidity.key != vault.key, KlendError::InvalidAccountInput)?;
        reserve.require_not_obsolete()?;
        reserve.require_current_version()?;
        reserve.require_no_emergency()?;
        token::require_supported_extensions(mint, user_liquidity)?;
        rest = require_signature(market_account, &[reserve_account], PermissionedOp::BORROW, rest)?;
        check(&market, &obligation, &reserve, &clock, amount)?;
    }
    let before = VaultSnapshot::take(reserve, vault)?;
    let fee = book(obligation, reserve, market, rest, amount, &clock)?;
    let signer = market_authority(authority, market)?;
    if fee > 0 {
        token::transfer(token_program, vault, mint, fee_vault, signer, fee)?;
    }
    token::transfer(token_program, vault, mint, user_liquidity, signer, amount)?;
    before.require_changed_by(-i128::from(amount + fee), reserve, vault)?;
    FarmAccounts::refresh(
        FarmAccounts::from_optional(farm_user, farm, farms_program),
        FarmKind::Debt,
        obligation,
        reserve,
        signer,
    )
}

/// Conditions that do not depend on the amount, except that it is neither
/// nothing nor "everything".
fn check(
    market: &LendingMarket,
    obligation: &Obligation,
    reserve: &Reserve,
    clock: &Clock,
    amount: u64,
) -> Result<()> {
    require(amount != 0 && amount != u64::MAX, KlendError::InvalidAmount)?;
    require(market.borrow_disabled == 0, KlendError::BorrowingDisabled)?;
    require(reserve.last_update.is_fresh(clock.slot, PriceStatus::ALL)?, KlendError::ReserveStale)?;
    let maturity = reserve.config.debt_maturity_timestamp;
    require(maturity == 0 || now(clock) < maturity, KlendError::ReserveDebtMaturityReached)?;
    require(
        obligation.last_update.is_fresh(clock.slot, PriceStatus::ALL)?,
        KlendError::ObligationStale,
    )?;
    require(obligation.active_deposits().next().is_some(), KlendError::ObligationDepositsEmpty)?;
    require(obligation.deposited_value_sf.get() != 0, KlendError::ObligationDepositsZero)
}

/// Books the debt and returns the origination fee that is lent on top.
///
/// # Errors
/// 6013 above what the deposits allow, 6089 above the reserve's limits, 6101
/// above the limit inside an elevation group, 6008 above what is free, 6064
/// above the outflow cap, 6104 for a reserve that the elevation group may not
/// borrow from, 6142 when an earlier loan is past its term.
fn book(
    obligation: &AccountInfo,
    reserve_account: &AccountInfo,
    market: &AccountInfo,
    rest: &[AccountInfo],
    amount: u64,
    clock: &Clock,
) -> Result<u64> {
    let market = state::load::<LendingMarket>(market)?;
    let mut obligation = state::load_mut::<Obligation>(obligation)?;
    let group = obligation.elevation_group;
    let (debt, fee) = {
        let mut reserve = state::load_mut::<Reserve>(reserve_account)?;
        let fee = fees::loan_fee(amount, reserve.config.origination_fee_sf)?;
        let debt = amount.checked_add(fee).ok_or(KlendError::MathOverflow)?;
        let allowed = obligation.allowed_borrow_value_sf.fraction();
        let used = obligation.borrow_factor_adjusted_debt_value_sf.fraction();
        let room = allowed.saturating_sub(used);
        require(room != Fraction::ZERO, KlendError::BorrowTooLarge)?;
        require_below_limit(&reserve, 0)?;
        require_value_allowed(&reserve, group, debt, room)?;
        require_below_limit(&reserve, debt)?;
        if let Some(group) = market.elevation_group(group) {
            require(
                group.debt_reserve == *reserve_account.key,
                KlendError::ElevationGroupHasAnotherDebtReserve,
            )?;
            require(group.allow_new_loans != 0, KlendError::ElevationGroupNewLoansDisabled)?;
        }
        require(debt <= reserve.freely_available_liquidity(), KlendError::InsufficientLiquidity)?;
        reserve.config.debt_withdrawal_cap.record(Flow::Out, debt, now(clock))?;
        reserve.liquidity.borrow(Fraction::from_int(debt), debt)?;
        reserve.update_limit_timestamps(now(clock));
        reserve.last_update.mark_stale();
        require_utilization_allowed(&reserve)?;
        let rate = reserve.liquidity.cumulative_borrow_rate();
        let borrow = obligation.borrow_slot_or_new(reserve_account.key, rate)?;
        require(
            seconds_past_term(&reserve, borrow, now(clock)).is_none(),
            KlendError::DebtReachedReserveDebtTerm,
        )?;
        let owed = borrow.borrowed_amount_sf.fraction() + Fraction::from_int(debt);
        borrow.borrowed_amount_sf.set_fraction(owed);
        borrow.last_borrowed_at_timestamp = now(clock);
        if group == 0 {
            borrow.borrowed_amount_outside_elevation_groups += debt;
            let total = reserve
                .borrowed_amount_outside_elevation_group
                .checked_add(debt)
                .ok_or(KlendError::MathOverflow)?;
            require(
                total <= reserve.config.borrow_limit_outside_elevation_group,
                KlendError::BorrowLimitExceeded,
            )?;
            reserve.borrowed_amount_outside_elevation_group = total;
        }
        (debt, fee)
    };
    if group != 0 {
        position::add_group_debt(&mut obligation, rest, debt)?;
    }
    obligation.has_debt = 1;
    obligation.last_update.mark_stale();
    Ok(fee)
}

/// 6089 when the reserve's debt would exceed its limit.
fn require_below_limit(reserve: &Reserve, debt: u64) -> Result<()> {
    let after = reserve.liquidity.borrowed_amount_sf.fraction() + Fraction::from_int(debt);
    let limit = Fraction::from_int(reserve.config.borrow_limit);
    require(after <= limit, KlendError::BorrowLimitExceeded)
}

/// 6013 when the debt's value exceeds the room that the deposits leave.
fn require_value_allowed(reserve: &Reserve, group: u8, debt: u64, room: Fraction) -> Result<()> {
    let value = reserve.liquidity.market_value(Fraction::from_int(debt));
    let factor = Fraction::from_percent(borrow_factor_pct(reserve, group));
    require(value * factor <= room, KlendError::BorrowTooLarge)
}

/// 6098 when, with the new debt, too much of the reserve is lent.
fn require_utilization_allowed(reserve: &Reserve) -> Result<()> {
    let percent = reserve.config.utilization_limit_block_borrowing_above_pct;
    require(
        percent == 0 || reserve.liquidity.utilization() <= Fraction::from_percent(percent.into()),
        KlendError::BorrowingAboveUtilizationRateDisabled,
    )
}
