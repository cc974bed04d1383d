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

/// Accounts of both halves of a flash loan, in the same order for both.
pub(super) struct FlashAccounts<'a, 'info> {
    pub user: &'a AccountInfo<'info>,
    authority: &'a AccountInfo<'info>,
    pub market: &'a AccountInfo<'info>,
    pub reserve: &'a AccountInfo<'info>,
    pub mint: &'a AccountInfo<'info>,
    pub vault: &'a AccountInfo<'info>,
    pub user_liquidity: &'a AccountInfo<'info>,
    pub fee_vault: &'a AccountInfo<'info>,
    pub referrer_token_state: &'a AccountInfo<'info>,
    pub referrer: &'a AccountInfo<'info>,
    pub instructions: &'a AccountInfo<'info>,
    pub token_program: &'a AccountInfo<'info>,
}

impl<'a, 'info> FlashAccounts<'a, 'info> {
    pub fn parse(accounts: &'a [AccountInfo<'info>]) -> Result<Self> {
        use crate::accounts::*;

        let (
            [
                user,
                authority,
                market,
                reserve,
                mint,
                vault,
                user_liquidity,
                fee_vault,
                referrer_token_state,
                referrer,
                instructions,
                token_program,
            ],
            _,
        ) = split::<12>(accounts)?;
        require_signer(user)?;
        state::check_layout::<LendingMarket>(market)?;
        state::check_layout::<Reserve>(reserve)?;
        require_mint(mint)?;
        require_token_account(vault)?;
        require_token_account(user_liquidity)?;
        require_token_account(fee_vault)?;
        check_optional::<ReferrerTokenState>(referrer_token_state)?;
        require_token_program(token_program)?;

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
            require_mut(user_liquidity)?;
            require_mut(fee_vault)?;
            require_address(fee_vault, &reserve.liquidity.fee_vault)?;
        }
        require_optional_mut(referrer_token_state)?;
        require_optional_mut(referrer)?;
        require_instructions_sysvar(instructions)?;
        Ok(Self {
            user,
            authority,
            market,
            reserve,
            mint,
            vault,
            user_liquidity,
            fee_vault,
            referrer_token_state,
            referrer,
            instructions,
            token_program,
        })
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
