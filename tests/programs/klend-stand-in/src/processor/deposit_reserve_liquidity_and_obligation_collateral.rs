//! `deposit_reserve_liquidity_and_obligation_collateral_v2(liquidity_amount:
//! u64)`: liquidity becomes collateral of an obligation in one step.
//!
//! Accounts: 0 owner (signer, writable), 1 obligation (writable), 2 market,
//! 3 market authority, 4 reserve (writable), 5 liquidity mint, 6 liquidity
//! supply (writable), 7 cToken mint (writable), 8 cToken supply (writable),
//! 9 user's liquidity (writable), 10 placeholder, 11 cToken program,
//! 12 liquidity token program, 13 instructions sysvar, 14 farm user state,
//! 15 farm, 16 farms program.

use solana_program::account_info::AccountInfo;

use super::{
    deposit_obligation_collateral::{self, require_owner_and_market},
    deposit_reserve_liquidity::{CtokensGoTo, Deposit},
    refresh_reserve,
};
use crate::{
    accounts::*,
    error::Result,
    farms::{FarmAccounts, FarmKind},
    permissioner::require_signature,
    state::{self, LendingMarket, Obligation, PermissionedOp, Reserve},
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
            collateral_mint,
            collateral_vault,
            user_liquidity,
            _placeholder,
            collateral_program,
            token_program,
            instructions,
            farm_user,
            farm,
            farms_program,
        ],
        rest,
    ) = split::<17>(accounts)?;
    require_signer(owner)?;
    state::check_layout::<Obligation>(obligation)?;
    let deposit = Deposit {
        owner,
        reserve,
        market,
        authority,
        mint,
        vault,
        collateral_mint,
        user_liquidity,
        collateral_destination: collateral_vault,
        collateral_program,
        token_program,
    };
    deposit.check_kinds()?;
    FarmAccounts::check_kinds(farm_user, farms_program)?;
    require_mut(owner)?;
    require_mut(obligation)?;
    require_owner_and_market(obligation, owner, market)?;
    deposit.check_constraints()?;
    require_token_owner(user_liquidity, owner.key)?;
    require_mut(collateral_vault)?;
    require_address(collateral_vault, &state::load::<Reserve>(reserve)?.collateral.supply_vault)?;
    require_instructions_sysvar(instructions)?;
    FarmAccounts::check_writable(farm_user, farm)?;
    state::load::<LendingMarket>(market)?.require_no_emergency()?;

    deposit.require_possible(CtokensGoTo::Obligation)?;
    require_signature(market, &[reserve], PermissionedOp::DEPOSIT, rest)?;
    let collateral = deposit.run(amount)?;
    refresh_reserve::refresh(reserve, market, None)?;
    deposit_obligation_collateral::book(obligation, reserve, market, collateral)?;
    FarmAccounts::refresh(
        FarmAccounts::from_optional(farm_user, farm, farms_program),
        FarmKind::Collateral,
        obligation,
        reserve,
        deposit.market_authority()?,
    )
}
