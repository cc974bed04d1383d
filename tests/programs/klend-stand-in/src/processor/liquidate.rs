//! `liquidate_obligation_and_redeem_reserve_collateral` and its `_v2`
//! `(liquidity_amount: u64, min_acceptable_received_liquidity_amount: u64,
//! max_allowed_ltv_override_percent: u64)`.
//!
//! Both repay debt of an obligation and take collateral for it. The first
//! demands its refreshes as neighbours in the transaction and may not be
//! called by CPI; the second refreshes the farms itself and may be called by
//! anybody. The third argument matters only in klend's staging builds.

use solana_program::{account_info::AccountInfo, clock::Clock, sysvar::Sysvar};

use super::{
    flash_borrow_reserve_liquidity::market_authority,
    refresh_reserve::{self, now},
};
use crate::{
    accounts::read_u64,
    error::{KlendError, Result, require},
    farms::{FarmAccounts, FarmKind},
    introspection,
    liquidation::{self, Amounts, Case, Reason, Terms},
    permissioner::require_signature,
    pool::Flow,
    state::{self, LendingMarket, Obligation, PermissionedOp, PriceStatus, Reserve},
    token::{self, Authority},
    vault::VaultSnapshot,
};

pub fn process_v1(accounts: &[AccountInfo], args: &[u8]) -> Result<()> {
    let args = Args::parse(args)?;
    let (accounts, rest) = LiquidateAccounts::parse(accounts)?;
    state::load::<LendingMarket>(accounts.market)?.require_no_emergency()?;
    introspection::require_refreshes(
        accounts.instructions,
        &introspection::Refreshes {
            obligation: accounts.obligation,
            collateral_reserve: accounts.withdraw_reserve,
            debt_reserve: accounts.repay_reserve,
        },
    )?;
    liquidate(&accounts, rest, &args)
}

pub fn process_v2(accounts: &[AccountInfo], args: &[u8]) -> Result<()> {
    let args = Args::parse(args)?;
    let (liquidation, rest) = LiquidateAccounts::parse(accounts)?;
    let ([collateral_user, collateral_farm, debt_user, debt_farm, farms_program], rest) =
        crate::accounts::split::<5>(rest)?;
    FarmAccounts::check_kinds(collateral_user, farms_program)?;
    FarmAccounts::check_kinds(debt_user, farms_program)?;
    FarmAccounts::check_writable(collateral_user, collateral_farm)?;
    FarmAccounts::check_writable(debt_user, debt_farm)?;
    state::load::<LendingMarket>(liquidation.market)?.require_no_emergency()?;
    liquidate(&liquidation, rest, &args)?;

    let authority = liquidation.market_authority()?;
    FarmAccounts::refresh(
        FarmAccounts::from_optional(collateral_user, collateral_farm, farms_program),
        FarmKind::Collateral,
        liquidation.obligation,
        liquidation.withdraw_reserve,
        authority,
    )?;
    FarmAccounts::refresh(
        FarmAccounts::from_optional(debt_user, debt_farm, farms_program),
        FarmKind::Debt,
        liquidation.obligation,
        liquidation.repay_reserve,
        authority,
    )
}

struct Args {
    liquidity_amount: u64,
    min_received: u64,
}

impl Args {
    fn parse(data: &[u8]) -> Result<Self> {
        read_u64(data, 16)?;
        Ok(Self { liquidity_amount: read_u64(data, 0)?, min_received: read_u64(data, 8)? })
    }
}

crate::accounts::account_list! {
    /// Accounts of the first version; the second's farms follow.
    struct LiquidateAccounts {
        liquidator,
        obligation,
        market,
        authority,
        repay_reserve,
        repay_mint,
        repay_vault,
        withdraw_reserve,
        withdraw_mint,
        collateral_mint,
        collateral_vault,
        withdraw_vault,
        withdraw_fee_vault,
        user_source,
        user_collateral,
        user_destination,
        collateral_program,
        repay_program,
        withdraw_program,
        instructions,
    }
}

impl<'a, 'info> LiquidateAccounts<'a, 'info> {
    fn parse(accounts: &'a [AccountInfo<'info>]) -> Result<(Self, &'a [AccountInfo<'info>])> {
        use crate::accounts::*;

        let (it, rest) = Self::take(accounts)?;
        require_signer(it.liquidator)?;
        state::check_layout::<Obligation>(it.obligation)?;
        state::check_layout::<LendingMarket>(it.market)?;
        state::check_layout::<Reserve>(it.repay_reserve)?;
        require_mint(it.repay_mint)?;
        require_token_account(it.repay_vault)?;
        state::check_layout::<Reserve>(it.withdraw_reserve)?;
        require_mint(it.withdraw_mint)?;
        require_mint(it.collateral_mint)?;
        require_token_account(it.collateral_vault)?;
        require_token_account(it.withdraw_vault)?;
        require_token_account(it.withdraw_fee_vault)?;
        require_token_account(it.user_source)?;
        require_token_account(it.user_collateral)?;
        require_token_account(it.user_destination)?;
        require_program(it.collateral_program, &TOKEN_PROGRAM_ID)?;
        require_token_program(it.repay_program)?;
        require_token_program(it.withdraw_program)?;

        require_mut(it.obligation)?;
        require_has_one(&state::load::<Obligation>(it.obligation)?.lending_market, it.market)?;
        let bump = state::load::<LendingMarket>(it.market)?.bump_seed;
        require_market_authority(it.authority, it.market.key, bump)?;
        {
            let state = state::load::<Reserve>(it.repay_reserve)?;
            require_mut(it.repay_reserve)?;
            require_has_one(&state.lending_market, it.market)?;
            require_address(it.repay_mint, &state.liquidity.mint)?;
            require_mint_program(it.repay_mint, it.repay_program)?;
            require_mut(it.repay_vault)?;
            require_address(it.repay_vault, &state.liquidity.supply_vault)?;
        }
        {
            let state = state::load::<Reserve>(it.withdraw_reserve)?;
            require_mut(it.withdraw_reserve)?;
            require_has_one(&state.lending_market, it.market)?;
            require_address(it.withdraw_mint, &state.liquidity.mint)?;
            require_mint_program(it.withdraw_mint, it.withdraw_program)?;
            require_mut(it.collateral_mint)?;
            require_address(it.collateral_mint, &state.collateral.mint)?;
            require_mut(it.collateral_vault)?;
            require_address(it.collateral_vault, &state.collateral.supply_vault)?;
            require_mut(it.withdraw_vault)?;
            require_address(it.withdraw_vault, &state.liquidity.supply_vault)?;
            require_mut(it.withdraw_fee_vault)?;
            require_address(it.withdraw_fee_vault, &state.liquidity.fee_vault)?;
        }
        require_mut(it.user_source)?;
        require_mut(it.user_collateral)?;
        require_mut(it.user_destination)?;
        require_instructions_sysvar(it.instructions)?;
        Ok((it, rest))
    }

    fn market_authority(&self) -> Result<Authority<'a, 'info>> {
        market_authority(self.authority, self.market)
    }
}

/// What of the taken collateral is redeemed, and for what.
struct Redemption {
    collateral: u64,
    liquidity: u64,
    protocol_fee: u64,
}

fn liquidate(accounts: &LiquidateAccounts, rest: &[AccountInfo], args: &Args) -> Result<()> {
    let clock = Clock::get()?;
    require_usable_accounts(accounts)?;
    let rest = require_signature(
        accounts.market,
        &[accounts.repay_reserve, accounts.withdraw_reserve],
        PermissionedOp::LIQUIDATE,
        rest,
    )?;
    require_liquidatable_collateral(accounts)?;
    require(args.liquidity_amount != 0, KlendError::InvalidAmount)?;
    require_fresh(accounts, &clock)?;

    let repay_before = VaultSnapshot::take(accounts.repay_reserve, accounts.repay_vault)?;
    let withdraw_before = VaultSnapshot::take(accounts.withdraw_reserve, accounts.withdraw_vault)?;

    let (terms, amounts) = decide(accounts, &clock, args.liquidity_amount)?;
    require(amounts.repay <= args.liquidity_amount, KlendError::InsufficientRepayAmount)?;
    book(accounts, rest, &terms, &amounts, &clock)?;
    refresh_reserve::refresh(accounts.withdraw_reserve, accounts.market, None)?;
    let redemption = redeem(accounts, &clock, &terms, amounts.withdraw, args.min_received)?;
    move_tokens(accounts, &amounts, redemption.as_ref())?;

    let repaid = i128::from(amounts.repay);
    let paid_out = redemption.map_or(0, |redemption| i128::from(redemption.liquidity));
    if accounts.repay_reserve.key == accounts.withdraw_reserve.key {
        let vault = accounts.repay_vault;
        repay_before.require_changed_by(repaid - paid_out, accounts.repay_reserve, vault)
    } else {
        repay_before.require_changed_by(repaid, accounts.repay_reserve, accounts.repay_vault)?;
        withdraw_before.require_changed_by(
            -paid_out,
            accounts.withdraw_reserve,
            accounts.withdraw_vault,
        )
    }
}

/// The liquidator may not pay from, or be paid into, the reserves' own
/// accounts (6006), and both reserves must be in use (6175, 6073) and lend
/// tokens that klend can move (6108); the first reserve first.
fn require_usable_accounts(accounts: &LiquidateAccounts) -> Result<()> {
    for reserve in [accounts.repay_reserve, accounts.withdraw_reserve] {
        let reserve = state::load::<Reserve>(reserve)?;
        let is_vault = *accounts.user_source.key == reserve.liquidity.supply_vault
            || *accounts.user_collateral.key == reserve.collateral.supply_vault;
        require(!is_vault, KlendError::InvalidAccountInput)?;
        reserve.require_no_emergency()?;
        reserve.require_current_version()?;
    }
    token::require_supported_extensions(accounts.repay_mint, accounts.user_source)?;
    token::require_supported_extensions(accounts.withdraw_mint, accounts.user_destination)?;
    let is_vault = accounts.user_destination.key == accounts.withdraw_vault.key;
    require(!is_vault, KlendError::InvalidAccountInput)
}

/// 6087 for collateral that its reserve, or the obligation's elevation group,
/// never lets be liquidated.
fn require_liquidatable_collateral(accounts: &LiquidateAccounts) -> Result<()> {
    let market = state::load::<LendingMarket>(accounts.market)?;
    let obligation = state::load::<Obligation>(accounts.obligation)?;
    let reserve = state::load::<Reserve>(accounts.withdraw_reserve)?;
    let threshold = liquidation::liquidation_threshold_pct(&market, &obligation, &reserve)?;
    require(threshold != 0, KlendError::CollateralNonLiquidatable)
}

fn require_fresh(accounts: &LiquidateAccounts, clock: &Clock) -> Result<()> {
    for reserve in [accounts.repay_reserve, accounts.withdraw_reserve] {
        let reserve = state::load::<Reserve>(reserve)?;
        require(
            (reserve.last_update).is_fresh(clock.slot, PriceStatus::LIQUIDATION)?,
            KlendError::ReserveStale,
        )?;
    }
    let obligation = state::load::<Obligation>(accounts.obligation)?;
    require(
        (obligation.last_update).is_fresh(clock.slot, PriceStatus::LIQUIDATION)?,
        KlendError::ObligationStale,
    )
}

/// Terms and amounts, from the refreshed accounts as they are.
fn decide(
    accounts: &LiquidateAccounts,
    clock: &Clock,
    liquidity_amount: u64,
) -> Result<(Terms, Amounts)> {
    let market = state::load::<LendingMarket>(accounts.market)?;
    let obligation = state::load::<Obligation>(accounts.obligation)?;
    let debt_reserve = state::load::<Reserve>(accounts.repay_reserve)?;
    let collateral_reserve = state::load::<Reserve>(accounts.withdraw_reserve)?;
    require(obligation.deposited_value_sf.get() != 0, KlendError::ObligationDepositsZero)?;
    require(
        obligation.borrow_factor_adjusted_debt_value_sf.get() != 0,
        KlendError::ObligationBorrowsZero,
    )?;
    let borrow = &obligation.borrows[obligation.borrow_slot(accounts.repay_reserve.key)?];
    require(
        borrow.borrow_factor_adjusted_market_value_sf.get() != 0,
        KlendError::ObligationLiquidityEmpty,
    )?;
    let deposit = &obligation.deposits[obligation.deposit_slot(accounts.withdraw_reserve.key)?];
    require(deposit.market_value_sf.get() != 0, KlendError::ObligationCollateralEmpty)?;
    let case = Case {
        market: &market,
        obligation: &obligation,
        debt_reserve: &debt_reserve,
        collateral_reserve: &collateral_reserve,
        borrow,
        deposit,
        now: now(clock),
    };
    let terms = liquidation::terms(&case)?;
    let amounts = liquidation::amounts(&case, &terms, liquidity_amount)?;
    Ok((terms, amounts))
}

/// Writes the repayment and the withdrawal into the reserve and the
/// obligation.
fn book(
    accounts: &LiquidateAccounts,
    rest: &[AccountInfo],
    terms: &Terms,
    amounts: &Amounts,
    clock: &Clock,
) -> Result<()> {
    let mut obligation = state::load_mut::<Obligation>(accounts.obligation)?;
    {
        let mut reserve = state::load_mut::<Reserve>(accounts.repay_reserve)?;
        reserve.liquidity.repay(amounts.repay, amounts.settle)?;
        reserve.update_limit_timestamps(now(clock));
        reserve.last_update.mark_stale();
        if obligation.elevation_group == 0 {
            let slot = obligation.borrow_slot(accounts.repay_reserve.key)?;
            let borrow = &mut obligation.borrows[slot];
            let tracked = amounts.repay.min(borrow.borrowed_amount_outside_elevation_groups);
            borrow.borrowed_amount_outside_elevation_groups -= tracked;
            reserve.borrowed_amount_outside_elevation_group =
                reserve.borrowed_amount_outside_elevation_group.saturating_sub(tracked);
        }
    }
    if obligation.elevation_group != 0 {
        crate::position::release_group_debt(&mut obligation, rest, amounts.repay)?;
    }
    let slot = obligation.borrow_slot(accounts.repay_reserve.key)?;
    obligation.borrows[slot].settle(amounts.settle);
    let slot = obligation.deposit_slot(accounts.withdraw_reserve.key)?;
    if amounts.withdraw == obligation.deposits[slot].deposited_amount {
        crate::position::release_deposit(&obligation, slot, accounts.withdraw_reserve)?;
    }
    obligation.deposits[slot].withdraw(amounts.withdraw);
    if let Reason::ObligationOrder { index } = terms.reason {
        obligation.obligation_orders[index].record_execution(amounts.repay);
    }
    obligation.last_update.mark_stale();
    obligation.update_has_debt();
    Ok(())
}

/// Redeems what the reserve can pay for; `None` when it can pay for nothing
/// and the liquidator is left with the cTokens.
///
/// # Errors
/// 6066 when the liquidator would get less than he accepts.
fn redeem(
    accounts: &LiquidateAccounts,
    clock: &Clock,
    terms: &Terms,
    withdraw: u64,
    min_received: u64,
) -> Result<Option<Redemption>> {
    let mut reserve = state::load_mut::<Reserve>(accounts.withdraw_reserve)?;
    let is_order = matches!(terms.reason, Reason::ObligationOrder { .. });
    let redeemable = if is_order {
        reserve.freely_redeemable_collateral()
    } else {
        reserve.total_redeemable_collateral()
    };
    let collateral = withdraw.min(redeemable);
    if collateral == 0 {
        let worth = reserve.collateral_rate().to_liquidity(withdraw).floor();
        require(worth >= min_received, KlendError::LiquidationRewardTooSmall)?;
        return Ok(None);
    }
    let liquidity = reserve.redeem(collateral)?;
    reserve.update_limit_timestamps(now(clock));
    reserve.last_update.mark_stale();
    if is_order {
        reserve.config.deposit_withdrawal_cap.record(Flow::Out, liquidity, now(clock))?;
    }
    let fee_pct = if is_order {
        reserve.config.protocol_order_execution_fee_pct
    } else {
        reserve.config.protocol_liquidation_fee_pct
    };
    let protocol_fee = liquidation::protocol_fee(liquidity, terms.bonus, fee_pct);
    // Nothing redeemed for a burnt cToken cannot pay the fee: klend panics.
    let received = liquidity - protocol_fee;
    require(received >= min_received, KlendError::LiquidationRewardTooSmall)?;
    Ok(Some(Redemption { collateral, liquidity, protocol_fee }))
}

fn move_tokens(
    accounts: &LiquidateAccounts,
    amounts: &Amounts,
    redemption: Option<&Redemption>,
) -> Result<()> {
    let liquidator = Authority::Signer(accounts.liquidator);
    let market = accounts.market_authority()?;
    token::transfer(
        accounts.repay_program,
        accounts.user_source,
        accounts.repay_mint,
        accounts.repay_vault,
        liquidator,
        amounts.repay,
    )?;
    token::transfer_collateral(
        accounts.collateral_program,
        accounts.collateral_vault,
        accounts.user_collateral,
        market,
        amounts.withdraw,
    )?;
    let Some(redemption) = redemption else {
        return Ok(());
    };
    token::burn(
        accounts.collateral_program,
        accounts.collateral_mint,
        accounts.user_collateral,
        liquidator,
        redemption.collateral,
    )?;
    token::transfer(
        accounts.withdraw_program,
        accounts.withdraw_vault,
        accounts.withdraw_mint,
        accounts.user_destination,
        market,
        redemption.liquidity,
    )?;
    token::transfer(
        accounts.withdraw_program,
        accounts.user_destination,
        accounts.withdraw_mint,
        accounts.withdraw_fee_vault,
        liquidator,
        redemption.protocol_fee,
    )
}
