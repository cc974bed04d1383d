//! `deposit_reserve_liquidity(liquidity_amount: u64)`: liquidity for cTokens,
//! without an obligation.
//!
//! Accounts: 0 owner (signer), 1 reserve (writable), 2 market, 3 market
//! authority, 4 liquidity mint, 5 liquidity supply (writable), 6 cToken mint
//! (writable), 7 user's liquidity (writable), 8 user's cTokens (writable),
//! 9 cToken program, 10 liquidity token program, 11 instructions sysvar.

use solana_program::{account_info::AccountInfo, clock::Clock, sysvar::Sysvar};

use super::{
    flash_borrow_reserve_liquidity::market_authority,
    refresh_reserve::{self, now},
};
use crate::{
    accounts::*,
    error::{KlendError, Result, require},
    math::Fraction,
    pool::Flow,
    state::{self, LendingMarket, PermissionedOp, Reserve},
    token::{self, Authority},
    vault::VaultSnapshot,
};

pub fn process(accounts: &[AccountInfo], args: &[u8]) -> Result<()> {
    let amount = read_u64(args, 0)?;
    let (
        [
            owner,
            reserve,
            market,
            authority,
            mint,
            vault,
            collateral_mint,
            user_liquidity,
            user_collateral,
            collateral_program,
            token_program,
            instructions,
        ],
        _,
    ) = split::<12>(accounts)?;
    require_signer(owner)?;
    let deposit = Deposit {
        owner,
        reserve,
        market,
        authority,
        mint,
        vault,
        collateral_mint,
        user_liquidity,
        collateral_destination: user_collateral,
        collateral_program,
        token_program,
    };
    deposit.check_kinds()?;
    deposit.check_constraints()?;
    require_token_mint(user_liquidity, mint.key)?;
    require_mut(user_collateral)?;
    require_token_mint(user_collateral, collateral_mint.key)?;
    require_instructions_sysvar(instructions)?;
    state::load::<LendingMarket>(market)?.require_no_emergency()?;
    require_ctoken_usage_allowed(reserve)?;
    deposit.run(amount).map(|_| ())
}

/// 6132 when the reserve keeps its cTokens out of users' hands.
fn require_ctoken_usage_allowed(reserve: &AccountInfo) -> Result<()> {
    let blocked = state::load::<Reserve>(reserve)?.config.block_ctoken_usage != 0;
    require(!blocked, KlendError::CTokenUsageBlocked)
}

/// A deposit of liquidity whose cTokens go to an account of the caller's
/// choice.
pub(super) struct Deposit<'a, 'info> {
    pub owner: &'a AccountInfo<'info>,
    pub reserve: &'a AccountInfo<'info>,
    pub market: &'a AccountInfo<'info>,
    pub authority: &'a AccountInfo<'info>,
    pub mint: &'a AccountInfo<'info>,
    pub vault: &'a AccountInfo<'info>,
    pub collateral_mint: &'a AccountInfo<'info>,
    pub user_liquidity: &'a AccountInfo<'info>,
    pub collateral_destination: &'a AccountInfo<'info>,
    pub collateral_program: &'a AccountInfo<'info>,
    pub token_program: &'a AccountInfo<'info>,
}

impl<'a, 'info> Deposit<'a, 'info> {
    pub fn check_kinds(&self) -> Result<()> {
        state::check_layout::<LendingMarket>(self.market)?;
        state::check_layout::<Reserve>(self.reserve)?;
        require_mint(self.mint)?;
        require_token_account(self.vault)?;
        require_mint(self.collateral_mint)?;
        require_token_account(self.collateral_destination)?;
        require_token_account(self.user_liquidity)?;
        require_program(self.collateral_program, &TOKEN_PROGRAM_ID)?;
        require_token_program(self.token_program)
    }

    pub fn check_constraints(&self) -> Result<()> {
        let bump = state::load::<LendingMarket>(self.market)?.bump_seed;
        require_market_authority(self.authority, self.market.key, bump)?;
        let reserve = state::load::<Reserve>(self.reserve)?;
        require_mut(self.reserve)?;
        require_has_one(&reserve.lending_market, self.market)?;
        require_address(self.mint, &reserve.liquidity.mint)?;
        require_mint_program(self.mint, self.token_program)?;
        require_mut(self.vault)?;
        require_address(self.vault, &reserve.liquidity.supply_vault)?;
        require_mut(self.collateral_mint)?;
        require_address(self.collateral_mint, &reserve.collateral.mint)?;
        require_mut(self.user_liquidity)
    }

    pub fn market_authority(&self) -> Result<Authority<'a, 'info>> {
        market_authority(self.authority, self.market)
    }

    /// Takes the liquidity, creates the cTokens and returns their number.
    pub fn run(&self, amount: u64) -> Result<u64> {
        let clock = Clock::get()?;
        {
            let market = state::load::<LendingMarket>(self.market)?;
            let reserve = state::load::<Reserve>(self.reserve)?;
            reserve.require_current_version()?;
            reserve.require_not_obsolete()?;
            require(amount != 0, KlendError::InvalidAmount)?;
            let permissioned = market.permissioned_ops | reserve.config.permissioned_ops;
            require(permissioned & PermissionedOp::DEPOSIT == 0, KlendError::MissingPermissioner)?;
            token::require_supported_extensions(self.mint, self.user_liquidity)?;
        }
        refresh_reserve::refresh(self.reserve, self.market, None)?;
        let before = VaultSnapshot::take(self.reserve, self.vault)?;
        let (cost, collateral) = self.book(amount, now(&clock))?;
        token::transfer(
            self.token_program,
            self.user_liquidity,
            self.mint,
            self.vault,
            Authority::Signer(self.owner),
            cost,
        )?;
        token::mint_to(
            self.collateral_program,
            self.collateral_mint,
            self.collateral_destination,
            self.market_authority()?,
            collateral,
        )?;
        before.require_changed_by(cost.into(), self.reserve, self.vault)?;
        Ok(collateral)
    }

    /// Returns the units taken and the cTokens created.
    fn book(&self, amount: u64, now: u64) -> Result<(u64, u64)> {
        let mut reserve = state::load_mut::<Reserve>(self.reserve)?;
        let (collateral, cost) = reserve.quote_deposit(amount);
        let limit = Fraction::from_int(reserve.config.deposit_limit);
        let after = reserve.liquidity.total_supply() + Fraction::from_int(cost);
        require(after <= limit, KlendError::DepositLimitExceeded)?;
        reserve.config.deposit_withdrawal_cap.record(Flow::In, cost, now)?;
        reserve.deposit(cost, collateral)?;
        reserve.last_update.mark_stale();
        Ok((cost, collateral))
    }
}
