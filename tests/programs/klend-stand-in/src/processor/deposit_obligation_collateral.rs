//! `deposit_obligation_collateral_v2(collateral_amount: u64)`: the user's
//! cTokens become collateral of an obligation.
//!
//! Accounts: 0 owner (signer), 1 obligation (writable), 2 market, 3 reserve
//! (writable), 4 cToken supply (writable), 5 user's cTokens (writable),
//! 6 cToken program, 7 instructions sysvar, 8 market authority, 9 farm user
//! state, 10 farm, 11 farms program.

use solana_program::{account_info::AccountInfo, clock::Clock, pubkey::Pubkey, sysvar::Sysvar};

use super::flash_borrow_reserve_liquidity::market_authority;
use crate::{
    accounts::*,
    error::{KlendError, Result, require},
    farms::{FarmAccounts, FarmKind},
    permissioner::require_signature,
    state::{self, LastUpdate, LendingMarket, Obligation, PermissionedOp, PriceStatus, Reserve},
    token::{self, Authority},
};

pub fn process(accounts: &[AccountInfo], args: &[u8]) -> Result<()> {
    let amount = read_u64(args, 0)?;
    let (
        [
            owner,
            obligation,
            market,
            reserve,
            collateral_vault,
            user_collateral,
            collateral_program,
            instructions,
            authority,
            farm_user,
            farm,
            farms_program,
        ],
        rest,
    ) = split::<12>(accounts)?;
    require_signer(owner)?;
    state::check_layout::<Obligation>(obligation)?;
    state::check_layout::<LendingMarket>(market)?;
    state::check_layout::<Reserve>(reserve)?;
    require_token_account(collateral_vault)?;
    require_token_account(user_collateral)?;
    require_program(collateral_program, &TOKEN_PROGRAM_ID)?;
    FarmAccounts::check_kinds(farm_user, farms_program)?;
    require_mut(obligation)?;
    require_owner_and_market(obligation, owner, market)?;
    require_mut(reserve)?;
    {
        let reserve = state::load::<Reserve>(reserve)?;
        require_has_one(&reserve.lending_market, market)?;
        require_mut(collateral_vault)?;
        require_address(collateral_vault, &reserve.collateral.supply_vault)?;
    }
    require_mut(user_collateral)?;
    require_token_mint(user_collateral, &state::load::<Reserve>(reserve)?.collateral.mint)?;
    require_instructions_sysvar(instructions)?;
    let bump = state::load::<LendingMarket>(market)?.bump_seed;
    require_market_authority(authority, market.key, bump)?;
    FarmAccounts::check_writable(farm_user, farm)?;
    state::load::<LendingMarket>(market)?.require_no_emergency()?;

    {
        let reserve = state::load::<Reserve>(reserve)?;
        require(user_collateral.key != collateral_vault.key, KlendError::InvalidAccountInput)?;
        reserve.require_not_obsolete()?;
        reserve.require_current_version()?;
        reserve.require_no_emergency()?;
    }
    require_signature(market, &[reserve], PermissionedOp::DEPOSIT, rest)?;
    book(obligation, reserve, market, amount)?;
    token::transfer_collateral(
        collateral_program,
        user_collateral,
        collateral_vault,
        Authority::Signer(owner),
        amount,
    )?;
    FarmAccounts::refresh(
        FarmAccounts::from_optional(farm_user, farm, farms_program),
        FarmKind::Collateral,
        obligation,
        reserve,
        market_authority(authority, market)?,
    )
}

/// 2001 unless the obligation belongs to this owner and this market.
pub(super) fn require_owner_and_market(
    obligation: &AccountInfo,
    owner: &AccountInfo,
    market: &AccountInfo,
) -> Result<()> {
    let obligation = state::load::<Obligation>(obligation)?;
    require_has_one(&obligation.lending_market, market)?;
    require_has_one(&obligation.owner, owner)
}

/// Adds cTokens to the obligation's deposit in the reserve. Both must have been
/// refreshed in this slot and not changed since; what their prices passed does
/// not matter for a deposit.
///
/// # Errors
/// 6003 for no cTokens, 6009 for a reserve and 6017 for an obligation that is
/// not refreshed.
pub(super) fn book(
    obligation: &AccountInfo,
    reserve: &AccountInfo,
    market: &AccountInfo,
    amount: u64,
) -> Result<()> {
    let mut obligation = state::load_mut::<Obligation>(obligation)?;
    let mut reserve_data = state::load_mut::<Reserve>(reserve)?;
    require(amount != 0, KlendError::InvalidAmount)?;
    let slot = Clock::get()?.slot;
    let is_fresh = |last_update: &LastUpdate| last_update.is_fresh(slot, PriceStatus::NONE);
    require(is_fresh(&reserve_data.last_update)?, KlendError::ReserveStale)?;
    require(is_fresh(&obligation.last_update)?, KlendError::ObligationStale)?;
    let group = obligation.elevation_group;
    require_usable_as_collateral(
        &*state::load::<LendingMarket>(market)?,
        &obligation,
        reserve.key,
        &reserve_data,
    )?;
    reserve_data.last_update.mark_stale();
    let is_new = !obligation.deposits.iter().any(|slot| slot.deposit_reserve == *reserve.key);
    let group_debt = obligation.active_borrows().map(|(_, borrow)| borrow.borrowed_amount_sf);
    let group_debt = group_debt.map(|debt| debt.fraction().ceil()).sum::<u64>();
    let deposit = obligation.deposit_slot_or_new(reserve.key)?;
    deposit.deposited_amount =
        deposit.deposited_amount.checked_add(amount).ok_or(KlendError::MathOverflow)?;
    if group != 0 && is_new && group_debt != 0 {
        // New collateral of a group backs the debt that is already there.
        deposit.borrowed_amount_against_this_collateral_in_elevation_group = group_debt;
        let index = usize::from(group - 1);
        reserve_data.borrowed_amounts_against_this_reserve_in_elevation_groups[index] += group_debt;
    }
    obligation.last_update.mark_stale();
    Ok(())
}

/// Whether the obligation may hold collateral of this reserve.
///
/// # Errors
/// 6110 outside an elevation group where the reserve demands one; inside a
/// group 6068 for a reserve that is not in it, 6105 for the group's debt
/// reserve, 6106 for one collateral too many.
fn require_usable_as_collateral(
    market: &LendingMarket,
    obligation: &Obligation,
    key: &Pubkey,
    reserve: &Reserve,
) -> Result<()> {
    let Some(group) = market.elevation_group(obligation.elevation_group) else {
        return require(
            reserve.config.disable_usage_as_coll_outside_emode == 0,
            KlendError::DepositDisabledOutsideElevationGroup,
        );
    };
    require(
        reserve.config.is_in_elevation_group(obligation.elevation_group),
        KlendError::InconsistentElevationGroup,
    )?;
    require(group.debt_reserve != *key, KlendError::ElevationGroupDebtReserveAsCollateral)?;
    let others =
        obligation.active_deposits().filter(|(_, deposit)| deposit.deposit_reserve != *key).count();
    require(
        others < usize::from(group.max_reserves_as_collateral),
        KlendError::ObligationCollateralExceedsElevationGroupLimit,
    )
}
