//! `redeem_reserve_collateral(collateral_amount: u64)`: the user's cTokens for
//! liquidity.
//!
//! Accounts: 0 owner (signer), 1 market, 2 reserve (writable), 3 market
//! authority, 4 liquidity mint, 5 cToken mint (writable), 6 liquidity supply
//! (writable), 7 user's cTokens (writable), 8 user's liquidity (writable),
//! 9 cToken program, 10 liquidity token program, 11 instructions sysvar.

use solana_program::{account_info::AccountInfo, clock::Clock, sysvar::Sysvar};

use super::{
    flash_borrow_reserve_liquidity::market_authority,
    refresh_reserve::{self, now},
};
use crate::{
    accounts::*,
    error::{KlendError, Result, require},
    pool::Flow,
    state::{self, LendingMarket, Reserve},
    token::{self, Authority},
    vault::VaultSnapshot,
};

pub fn process(accounts: &[AccountInfo], args: &[u8]) -> Result<()> {
    let amount = read_u64(args, 0)?;
    let (
        [
            owner,
            market,
            reserve,
            authority,
            mint,
            collateral_mint,
            vault,
            user_collateral,
            user_liquidity,
            collateral_program,
            token_program,
            instructions,
        ],
        _,
    ) = split::<12>(accounts)?;
    require_signer(owner)?;
    state::check_layout::<LendingMarket>(market)?;
    state::check_layout::<Reserve>(reserve)?;
    require_mint(mint)?;
    require_mint(collateral_mint)?;
    require_token_account(vault)?;
    require_token_account(user_collateral)?;
    require_token_account(user_liquidity)?;
    require_program(collateral_program, &TOKEN_PROGRAM_ID)?;
    require_token_program(token_program)?;
    require_mut(reserve)?;
    {
        let bump = state::load::<LendingMarket>(market)?.bump_seed;
        let reserve = state::load::<Reserve>(reserve)?;
        require_has_one(&reserve.lending_market, market)?;
        require_market_authority(authority, market.key, bump)?;
        require_address(mint, &reserve.liquidity.mint)?;
        require_mint_program(mint, token_program)?;
        require_mut(collateral_mint)?;
        require_address(collateral_mint, &reserve.collateral.mint)?;
        require_mut(vault)?;
        require_address(vault, &reserve.liquidity.supply_vault)?;
    }
    require_mut(user_collateral)?;
    require_token_mint(user_collateral, collateral_mint.key)?;
    require_mut(user_liquidity)?;
    require_token_owner(user_liquidity, owner.key)?;
    require_instructions_sysvar(instructions)?;
    state::load::<LendingMarket>(market)?.require_no_emergency()?;
    {
        let reserve = state::load::<Reserve>(reserve)?;
        let is_vault = *user_collateral.key == reserve.collateral.supply_vault
            || user_liquidity.key == vault.key;
        require(!is_vault, KlendError::InvalidAccountInput)?;
        reserve.require_no_emergency()?;
        reserve.require_current_version()?;
    }
    token::require_supported_extensions(mint, user_liquidity)?;
    refresh_reserve::refresh(reserve, market, None)?;
    require(amount != 0, KlendError::InvalidAmount)?;

    let before = VaultSnapshot::take(reserve, vault)?;
    let liquidity = book(reserve, amount)?;
    token::burn(
        collateral_program,
        collateral_mint,
        user_collateral,
        Authority::Signer(owner),
        amount,
    )?;
    token::transfer(
        token_program,
        vault,
        mint,
        user_liquidity,
        market_authority(authority, market)?,
        liquidity,
    )?;
    before.require_changed_by(-i128::from(liquidity), reserve, vault)
}

/// Books the redemption against what is free of the withdraw queue (6008) and
/// within the outflow cap (6064), and returns the liquidity that it pays.
fn book(reserve: &AccountInfo, amount: u64) -> Result<u64> {
    let mut reserve = state::load_mut::<Reserve>(reserve)?;
    let free = reserve.freely_available_liquidity();
    let liquidity = reserve.redeem(amount)?;
    require(liquidity <= free, KlendError::InsufficientLiquidity)?;
    let now = now(&Clock::get()?);
    reserve.update_limit_timestamps(now);
    reserve.config.deposit_withdrawal_cap.record(Flow::Out, liquidity, now)?;
    reserve.last_update.mark_stale();
    Ok(liquidity)
}
