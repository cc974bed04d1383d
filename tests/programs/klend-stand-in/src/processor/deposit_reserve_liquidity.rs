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
    permissioner::require_signature,
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
        rest,
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
    deposit.require_possible(CtokensGoTo::User)?;
    require_signature(market, &[reserve], PermissionedOp::DEPOSIT, rest)?;
    deposit.run(amount).map(|_| ())
}

/// Who gets the cTokens of a deposit.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum CtokensGoTo {
    User,
    Obligation,
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

    /// Whether the reserve takes deposits at all. Where users keep their
    /// cTokens, the reserve must let them and they may not be its own supply.
    ///
    /// # Errors
    /// 6006, 6082, 6073, 6175, 6132, 6108, in this order.
    pub fn require_possible(&self, ctokens_go_to: CtokensGoTo) -> Result<()> {
        let reserve = state::load::<Reserve>(self.reserve)?;
        let to_user = ctokens_go_to == CtokensGoTo::User;
        let is_vault = self.user_liquidity.key == self.vault.key
            || (to_user && *self.collateral_destination.key == reserve.collateral.supply_vault);
        require(!is_vault, KlendError::InvalidAccountInput)?;
        reserve.require_not_obsolete()?;
        reserve.require_current_version()?;
        reserve.require_no_emergency()?;
        let blocked = to_user && reserve.config.block_ctoken_usage != 0;
        require(!blocked, KlendError::CTokenUsageBlocked)?;
        token::require_supported_extensions(self.mint, self.user_liquidity)
    }

    /// Takes the liquidity, creates the cTokens and returns their number.
    pub fn run(&self, amount: u64) -> Result<u64> {
        let clock = Clock::get()?;
        refresh_reserve::refresh(self.reserve, self.market, None)?;
        require(amount != 0, KlendError::InvalidAmount)?;
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
        reserve.update_limit_timestamps(now);
        reserve.last_update.mark_stale();
        Ok((cost, collateral))
    }
}
