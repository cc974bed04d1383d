//! `flash_repay_reserve_liquidity(liquidity_amount: u64,
//! borrow_instruction_index: u8)`: returns a flash loan with its fee.

use solana_program::account_info::AccountInfo;

use super::{flash_borrow_reserve_liquidity::FlashAccounts, refresh_reserve::now};
use crate::{
    accounts::{optional, read_u8, read_u64},
    error::{KlendError, Result, require},
    fees, introspection,
    math::Fraction,
    state::{self, LendingMarket, Reserve},
    token::{self, Authority},
    vault::VaultSnapshot,
};
use solana_program::{clock::Clock, sysvar::Sysvar};

pub fn process(accounts: &[AccountInfo], args: &[u8]) -> Result<()> {
    let amount = read_u64(args, 0)?;
    let borrow_index = read_u8(args, 8)?;
    let accounts = FlashAccounts::parse(accounts)?;
    state::load::<LendingMarket>(accounts.market)?.require_no_emergency()?;
    state::load::<Reserve>(accounts.reserve)?.require_no_emergency()?;
    require(accounts.user_liquidity.key != accounts.vault.key, KlendError::InvalidAccountInput)?;
    introspection::require_flash_borrow(
        accounts.instructions,
        borrow_index,
        accounts.reserve,
        amount,
    )?;
    // A referrer would get a part of the fee; the cost would be the same.
    require(
        optional(accounts.referrer_token_state).is_none() && optional(accounts.referrer).is_none(),
        KlendError::ReferrerAccountNotInitialized,
    )?;

    let before = VaultSnapshot::take(accounts.reserve, accounts.vault)?;
    let fee = {
        let mut reserve = state::load_mut::<Reserve>(accounts.reserve)?;
        let fee = fees::loan_fee(amount, reserve.config.flash_loan_fee_sf)?;
        reserve.liquidity.repay(amount, Fraction::from_int(amount))?;
        reserve.update_limit_timestamps(now(&Clock::get()?));
        reserve.last_update.mark_stale();
        fee
    };
    let pay = |to, amount| {
        let user = Authority::Signer(accounts.user);
        token::transfer(
            accounts.token_program,
            accounts.user_liquidity,
            accounts.mint,
            to,
            user,
            amount,
        )
    };
    pay(accounts.vault, amount)?;
    if fee > 0 {
        pay(accounts.fee_vault, fee)?;
    }
    before.require_changed_by(amount.into(), accounts.reserve, accounts.vault)
}
