//! `refresh_obligation_farms_for_reserve(mode: u8)`: brings the obligation's
//! stake in a reserve's farm up to date.
//!
//! Accounts: 0 crank (signer), 1 obligation, 2 market authority, 3 reserve,
//! 4 farm (writable), 5 stake account (writable), 6 market, 7 farms program,
//! 8 rent sysvar, 9 system program.

use solana_program::account_info::AccountInfo;
use solana_system_interface::program as system_program;

use super::flash_borrow_reserve_liquidity::market_authority;
use crate::{
    accounts::*,
    error::{KlendError, Result, require},
    farms::{FarmAccounts, FarmKind},
    state::{self, FARMS_PROGRAM_ID, FarmUserState, LendingMarket, Reserve},
};

pub fn process(accounts: &[AccountInfo], args: &[u8]) -> Result<()> {
    let mode = read_u8(args, 0)?;
    let (
        [
            crank,
            obligation,
            authority,
            reserve,
            farm,
            user_state,
            market,
            farms_program,
            rent,
            system_program,
        ],
        rest,
    ) = split::<10>(accounts)?;
    require_signer(crank)?;
    state::check_layout::<Reserve>(reserve)?;
    state::check_layout::<FarmUserState>(user_state)?;
    state::check_layout::<LendingMarket>(market)?;
    require_program(farms_program, &FARMS_PROGRAM_ID)?;
    require_rent_sysvar(rent)?;
    require_program(system_program, &system_program::ID)?;
    let bump = state::load::<LendingMarket>(market)?.bump_seed;
    require_market_authority(authority, market.key, bump)?;
    require_has_one(&state::load::<Reserve>(reserve)?.lending_market, market)?;
    require_mut(farm)?;
    require_mut(user_state)?;
    state::load::<LendingMarket>(market)?.require_no_emergency()?;
    require(rest.is_empty(), KlendError::InvalidAccountInput)?;

    let kind = FarmKind::from_mode(mode).ok_or(KlendError::InvalidAccountInput)?;
    let has_farm = kind.farm(&*state::load::<Reserve>(reserve)?).is_some();
    require(has_farm, KlendError::NoFarmForReserve)?;
    let accounts = FarmAccounts { user_state, farm, program: farms_program };
    let authority = market_authority(authority, market)?;
    FarmAccounts::refresh(Some(accounts), kind, obligation, reserve, authority)
}
