//! `init_obligation_farms_for_reserve(mode: u8)`: the obligation's stake
//! account in a reserve's farm (mode 0 for the deposit's, 1 for the debt's).
//!
//! Accounts: 0 payer (signer, writable), 1 owner, 2 obligation (writable),
//! 3 market authority, 4 reserve (writable), 5 farm (writable), 6 stake
//! account (writable), 7 market, 8 farms program, 9 rent sysvar, 10 system
//! program.

use solana_program::account_info::AccountInfo;
use solana_system_interface::program as system_program;

use super::flash_borrow_reserve_liquidity::market_authority;
use crate::{
    accounts::*,
    error::{KlendError, Result, require},
    farms::{FarmAccounts, FarmKind},
    state::{self, FARMS_PROGRAM_ID, LendingMarket, Obligation, Reserve},
};

pub fn process(accounts: &[AccountInfo], args: &[u8]) -> Result<()> {
    let mode = read_u8(args, 0)?;
    let (
        [
            payer,
            owner,
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
        _,
    ) = split::<11>(accounts)?;
    require_signer(payer)?;
    state::check_layout::<Obligation>(obligation)?;
    state::check_layout::<Reserve>(reserve)?;
    state::check_layout::<LendingMarket>(market)?;
    require_program(farms_program, &FARMS_PROGRAM_ID)?;
    require_rent_sysvar(rent)?;
    require_program(system_program, &system_program::ID)?;
    require_mut(payer)?;
    require_mut(obligation)?;
    {
        let obligation = state::load::<Obligation>(obligation)?;
        require_has_one(&obligation.lending_market, market)?;
        require_has_one(&obligation.owner, owner)?;
    }
    let bump = state::load::<LendingMarket>(market)?.bump_seed;
    require_market_authority(authority, market.key, bump)?;
    require_mut(reserve)?;
    require_has_one(&state::load::<Reserve>(reserve)?.lending_market, market)?;
    require_mut(farm)?;
    require_mut(user_state)?;
    state::load::<LendingMarket>(market)?.require_no_emergency()?;

    let kind = FarmKind::from_mode(mode).ok_or(KlendError::InvalidAccountInput)?;
    let reserve = state::load::<Reserve>(reserve)?;
    reserve.require_current_version()?;
    reserve.require_not_obsolete()?;
    let reserve_farm = kind.farm(&reserve).ok_or(KlendError::NoFarmForReserve)?;
    require(*farm.key == reserve_farm, KlendError::InvalidAccountInput)?;
    // Held over the call, as klend holds it.
    let _market = state::load::<LendingMarket>(market)?;
    let accounts = FarmAccounts { user_state, farm, program: farms_program };
    accounts.initialize_user(
        payer,
        owner,
        obligation,
        rent,
        system_program,
        market_authority(authority, market)?,
    )
}
