//! `flash_borrow_reserve_liquidity(liquidity_amount: u64)`: a loan that a
//! later instruction of the same transaction must return.

use solana_program::{account_info::AccountInfo, clock::Clock, sysvar::Sysvar};

use super::refresh_reserve::{self, now};
use crate::{
    accounts::read_u64,
    error::{KlendError, Result, require},
    introspection,
    math::Fraction,
    state::{self, LendingMarket, ReferrerTokenState, Reserve, Version},
    token::{self, Authority},
    vault::VaultSnapshot,
};

pub fn process(accounts: &[AccountInfo], args: &[u8]) -> Result<()> {
    let amount = read_u64(args, 0)?;
    let accounts = FlashAccounts::parse(accounts)?;
    let version = {
        let market = state::load::<LendingMarket>(accounts.market)?;
        market.require_no_emergency()?;
        market.version()
    };
    {
        let reserve = state::load::<Reserve>(accounts.reserve)?;
        reserve.require_no_emergency()?;
        require(
            accounts.user_liquidity.key != accounts.vault.key,
            KlendError::InvalidAccountInput,
        )?;
        // Of a reserve that is both, 1.26 names the other fault first.
        if version == Version::V1_26 {
            reserve.require_not_obsolete()?;
        }
        reserve.require_current_version()?;
        reserve.require_not_obsolete()?;
        require(reserve.config.flash_loans_enabled(), KlendError::FlashLoansDisabled)?;
        token::require_supported_extensions(accounts.mint, accounts.user_liquidity)?;
    }
    introspection::require_flash_repay(accounts.instructions, amount)?;
    refresh_reserve::refresh(accounts.reserve, accounts.market, None)?;

    let before = VaultSnapshot::take(accounts.reserve, accounts.vault)?;
    {
        let mut reserve = state::load_mut::<Reserve>(accounts.reserve)?;
        reserve.liquidity.borrow(Fraction::from_int(amount), amount)?;
        reserve.update_limit_timestamps(now(&Clock::get()?));
        reserve.last_update.mark_stale();
    }
    token::transfer(
        accounts.token_program,
        accounts.vault,
        accounts.mint,
        accounts.user_liquidity,
        accounts.market_authority()?,
        amount,
    )?;
    before.require_changed_by(-i128::from(amount), accounts.reserve, accounts.vault)
}

crate::accounts::account_list! {
    /// Accounts of both halves of a flash loan, in the same order for both.
    pub(super) struct FlashAccounts {
        pub user,
        authority,
        pub market,
        pub reserve,
        pub mint,
        pub vault,
        pub user_liquidity,
        pub fee_vault,
        pub referrer_token_state,
        pub referrer,
        pub instructions,
        pub token_program,
    }
}

impl<'a, 'info> FlashAccounts<'a, 'info> {
    pub fn parse(accounts: &'a [AccountInfo<'info>]) -> Result<Self> {
        use crate::accounts::*;

        let (it, _) = Self::take(accounts)?;
        require_signer(it.user)?;
        state::check_layout::<LendingMarket>(it.market)?;
        state::check_layout::<Reserve>(it.reserve)?;
        require_mint(it.mint)?;
        require_token_account(it.vault)?;
        require_token_account(it.user_liquidity)?;
        require_token_account(it.fee_vault)?;
        check_optional::<ReferrerTokenState>(it.referrer_token_state)?;
        require_token_program(it.token_program)?;

        let bump = state::load::<LendingMarket>(it.market)?.bump_seed;
        require_market_authority(it.authority, it.market.key, bump)?;
        require_mut(it.reserve)?;
        {
            let state = state::load::<Reserve>(it.reserve)?;
            require_has_one(&state.lending_market, it.market)?;
            require_address(it.mint, &state.liquidity.mint)?;
            require_mint_program(it.mint, it.token_program)?;
            require_mut(it.vault)?;
            require_address(it.vault, &state.liquidity.supply_vault)?;
            require_mut(it.user_liquidity)?;
            require_mut(it.fee_vault)?;
            require_address(it.fee_vault, &state.liquidity.fee_vault)?;
        }
        require_optional_mut(it.referrer_token_state)?;
        require_optional_mut(it.referrer)?;
        require_instructions_sysvar(it.instructions)?;
        Ok(it)
    }

    pub fn market_authority(&self) -> Result<Authority<'a, 'info>> {
        market_authority(self.authority, self.market)
    }
}

/// The market's authority as a signer; its address has been checked.
pub(super) fn market_authority<'a, 'info>(
    account: &'a AccountInfo<'info>,
    market: &'a AccountInfo<'info>,
) -> Result<Authority<'a, 'info>> {
    let bump = state::load::<LendingMarket>(market)?.bump_seed;
    Ok(Authority::Market {
        account,
        market: market.key,
        bump: u8::try_from(bump).map_err(|_| KlendError::MathOverflow)?,
    })
}
