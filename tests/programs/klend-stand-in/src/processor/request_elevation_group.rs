//! `request_elevation_group(elevation_group: u8)`: moves an obligation without
//! debt into an elevation group or out of it.
//!
//! Accounts: 0 owner (signer), 1 obligation (writable), 2 market; then the
//! reserves of the active deposits and borrows, in slot order.

use solana_program::{account_info::AccountInfo, clock::Clock, sysvar::Sysvar};

use super::deposit_obligation_collateral::require_owner_and_market;
use crate::{
    accounts::*,
    error::{KlendError, Result, require},
    state::{self, LendingMarket, Obligation, PriceStatus, Reserve},
};

pub fn process(accounts: &[AccountInfo], args: &[u8]) -> Result<()> {
    let group_id = read_u8(args, 0)?;
    let ([owner, obligation, market], rest) = split::<3>(accounts)?;
    require_signer(owner)?;
    state::check_layout::<Obligation>(obligation)?;
    state::check_layout::<LendingMarket>(market)?;
    require_mut(obligation)?;
    require_owner_and_market(obligation, owner, market)?;
    let market = state::load::<LendingMarket>(market)?;
    market.require_no_emergency()?;

    let mut obligation = state::load_mut::<Obligation>(obligation)?;
    require(obligation.elevation_group != group_id, KlendError::ElevationGroupAlreadyActivated)?;
    require(obligation.active_borrows().next().is_none(), KlendError::UnhealthyElevationGroupLtv)?;
    let clock = Clock::get()?;
    require(
        obligation.last_update.is_fresh(clock.slot, PriceStatus::ALL)?,
        KlendError::ObligationStale,
    )?;
    if group_id != 0 {
        let group = market.elevation_group(group_id).ok_or(KlendError::InvalidElevationGroup)?;
        require(group.allow_new_loans != 0, KlendError::ElevationGroupNewLoansDisabled)?;
        require(
            obligation.active_deposits().count() <= usize::from(group.max_reserves_as_collateral),
            KlendError::ObligationCollateralExceedsElevationGroupLimit,
        )?;
        let mut reserves = rest.iter();
        for (_, deposit) in obligation.active_deposits() {
            let account = reserves.next().ok_or(KlendError::InvalidAccountInput)?;
            require(*account.key == deposit.deposit_reserve, KlendError::InvalidAccountInput)?;
            require(
                group.debt_reserve != *account.key,
                KlendError::ElevationGroupDebtReserveAsCollateral,
            )?;
            let reserve = state::load::<Reserve>(account)?;
            require(
                reserve.config.is_in_elevation_group(group_id),
                KlendError::InconsistentElevationGroup,
            )?;
        }
    }
    obligation.elevation_group = group_id;
    obligation.last_update.mark_stale();
    Ok(())
}
