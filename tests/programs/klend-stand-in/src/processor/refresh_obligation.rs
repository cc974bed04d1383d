//! `refresh_obligation`: interest and present value of every deposit and
//! borrow.
//!
//! Accounts: 0 market, 1 obligation (writable); then the reserves of the
//! active deposits and of the active borrows in slot order and, for an
//! obligation with a referrer, one referrer account per borrow.

use core::cell::Ref;

use solana_program::{account_info::AccountInfo, clock::Clock, pubkey::Pubkey, sysvar::Sysvar};

use super::{init_referrer_token_state::REFERRER_SEED, refresh_reserve::now};
use crate::{
    accounts::{require_has_one, require_mut, split},
    error::{KlendError, Result, require},
    interest::{Duration, compound},
    liquidation::seconds_past_term,
    math::Fraction,
    position::{self, BorrowTotals, DepositTotals},
    state::{self, LendingMarket, Obligation, PriceStatus, ReferrerTokenState, Reserve},
};

pub fn process(accounts: &[AccountInfo]) -> Result<()> {
    let ([market, obligation], rest) = split::<2>(accounts)?;
    state::check_layout::<LendingMarket>(market)?;
    state::check_layout::<Obligation>(obligation)?;
    require_mut(obligation)?;
    require_has_one(&state::load::<Obligation>(obligation)?.lending_market, market)?;
    let market = state::load::<LendingMarket>(market)?;
    market.require_no_emergency()?;
    let mut obligation = state::load_mut::<Obligation>(obligation)?;
    refresh(&market, &mut obligation, rest)
}

fn refresh(
    market: &LendingMarket,
    obligation: &mut Obligation,
    rest: &[AccountInfo],
) -> Result<()> {
    let clock = Clock::get()?;
    let group = obligation.elevation_group;
    let deposit_count = obligation.active_deposits().count();
    let borrow_count = obligation.active_borrows().count();
    let referrer_count = if obligation.has_referrer() { borrow_count } else { 0 };
    require(
        rest.len() == deposit_count + borrow_count + referrer_count,
        KlendError::InvalidAccountInput,
    )?;
    let (deposit_reserves, rest) = rest.split_at(deposit_count);
    let (borrow_reserves, referrer_states) = rest.split_at(borrow_count);
    let mut referrer_states = referrer_states.iter();
    let is_paid = referrer_count != 0 && market.referral_fee_bps != 0;
    let referrer = obligation.referrer;
    let mut status = PriceStatus::ALL;

    let mut debts = BorrowTotals::default();
    let mut group_debt = None;
    let last_update = obligation.last_update;
    let borrows = obligation.borrows.iter_mut().filter(|slot| slot.is_active());
    for (borrow, account) in borrows.zip(borrow_reserves) {
        let reserve = load_reserve(account);
        require(*account.key == borrow.borrow_reserve, KlendError::InvalidAccountInput)?;
        require_fresh(&reserve, &clock)?;
        require_group_debt(market, &reserve, account, group)?;
        let owed_before = borrow.borrowed_amount_sf.fraction();
        borrow.accrue_interest(&reserve)?;
        let basis = reserve.config.interest_rate_basis;
        let time = Duration::since(basis, &last_update, clock.slot, now(&clock))?;
        let mut earned = None;
        if reserve.liquidity.absolute_referral_rate_sf.get() != 0 {
            let interest = borrow.borrowed_amount_sf.fraction() - owed_before;
            let share = referral(&reserve, owed_before, interest, time)?;
            if is_paid {
                let state = referrer_states.next().ok_or(KlendError::InvalidAccountInput)?;
                pay(state, &referrer, account.key, &reserve.liquidity.mint, share)?;
            }
            earned = Some(share);
        }
        let owed = borrow.borrowed_amount_sf.fraction().ceil();
        let past_term = seconds_past_term(&reserve, borrow, now(&clock)).is_some();
        if past_term && borrow.borrowed_amount_at_expiration == 0 {
            borrow.borrowed_amount_at_expiration = owed;
        }
        debts.add(market, &reserve, group, borrow);
        status = status.and(PriceStatus(reserve.last_update.price_status));
        drop(reserve);
        if let Some(share) = earned {
            let mut reserve = state::load_mut::<Reserve>(account)?;
            settle(&mut reserve, share, is_paid);
        }
        if group == 0 {
            let tracked = &mut borrow.borrowed_amount_outside_elevation_groups;
            let mut reserve = state::load_mut::<Reserve>(account)?;
            position::retrack(&mut reserve.borrowed_amount_outside_elevation_group, tracked, owed);
        } else {
            group_debt = Some(owed);
        }
    }
    let mut totals = DepositTotals::default();
    let deposits = obligation.deposits.iter_mut().filter(|slot| slot.is_active());
    for (deposit, account) in deposits.zip(deposit_reserves) {
        let reserve = load_reserve(account);
        require(*account.key == deposit.deposit_reserve, KlendError::InvalidAccountInput)?;
        require_fresh(&reserve, &clock)?;
        if group != 0 {
            let debt_reserve = market.elevation_group(group).map(|group| group.debt_reserve);
            require(
                debt_reserve != Some(*account.key),
                KlendError::ElevationGroupDebtReserveAsCollateral,
            )?;
        }
        totals.add(market, &reserve, group, deposit)?;
        status = status.and(PriceStatus(reserve.last_update.price_status));
    }

    if let Some(owed) = group_debt {
        position::retrack_group_debt(obligation, deposit_reserves, owed)?;
    }

    let global_limit = Fraction::from_int(market.global_allowed_borrow_value);
    obligation.deposited_value_sf.set_fraction(totals.value);
    obligation.allowed_borrow_value_sf.set_fraction(totals.allowed_borrow_value.min(global_limit));
    obligation.unhealthy_borrow_value_sf.set_fraction(totals.unhealthy_borrow_value);
    obligation.lowest_reserve_deposit_liquidation_ltv = totals.lowest_liquidation_ltv_pct.into();
    obligation.lowest_reserve_deposit_max_ltv_pct = totals.lowest_max_ltv_pct;
    obligation.num_of_obsolete_deposit_reserves = totals.obsolete_reserves;
    obligation.borrowed_assets_market_value_sf.set_fraction(debts.value);
    obligation.borrow_factor_adjusted_debt_value_sf.set_fraction(debts.factor_adjusted_value);
    obligation.highest_borrow_factor_pct = debts.highest_borrow_factor_pct;
    obligation.num_of_obsolete_borrow_reserves = debts.obsolete_reserves;
    obligation.has_debt = u8::from(borrow_count != 0);
    let orders = [&mut obligation.borrow_order].into_iter();
    for order in orders.chain(&mut obligation.more_borrow_orders) {
        if order.active != 0 && order.fillable_until_timestamp < now(&clock) {
            *order = bytemuck::Zeroable::zeroed();
        }
    }
    obligation.last_update.update(&clock, status);
    Ok(())
}

/// What is due to referrers of the interest since the obligation's last refresh: their
/// rate of it, less the host's fixed part, and no more than the reserve has set aside.
/// 6111 when the interest is less than the fixed part.
fn referral(
    reserve: &Reserve,
    owed: Fraction,
    interest: Fraction,
    time: Duration,
) -> Result<Fraction> {
    let fixed_rate = Fraction::from_bps(reserve.config.host_fixed_interest_rate_bps.into());
    let fixed = owed * compound(fixed_rate, time) - owed;
    require(interest >= fixed, KlendError::CannotCalculateReferralAmountDueToSlotsMismatch)?;
    let liquidity = &reserve.liquidity;
    let share = (interest - fixed) * liquidity.absolute_referral_rate_sf.fraction();
    Ok(share.min(liquidity.pending_referrer_fees_sf.fraction()))
}

/// Notes a referrer's share in his state. klend panics when the account is none; 6074 to
/// 6077 when it is another's.
fn pay(
    account: &AccountInfo,
    referrer: &Pubkey,
    reserve: &Pubkey,
    mint: &Pubkey,
    share: Fraction,
) -> Result<()> {
    state::check_layout::<ReferrerTokenState>(account).expect("a referrer's state");
    require(account.is_writable, KlendError::InvalidAccountInput)?;
    let mut state = state::load_mut::<ReferrerTokenState>(account)?;
    let is_made = state.mint != Pubkey::default() && state.referrer != Pubkey::default();
    require(is_made, KlendError::ReferrerAccountNotInitialized)?;
    require(state.mint == *mint, KlendError::ReferrerAccountMintMissmatch)?;
    let bump = [u8::try_from(state.bump).expect("a bump")];
    let seeds = [REFERRER_SEED, state.referrer.as_ref(), reserve.as_ref(), &bump];
    let expected = Pubkey::create_program_address(&seeds, &crate::ID).expect("an address");
    require(*account.key == expected, KlendError::ReferrerAccountWrongAddress)?;
    require(state.referrer == *referrer, KlendError::ReferrerAccountReferrerMissmatch)?;
    let ReferrerTokenState { amount_unclaimed_sf, amount_cumulative_sf, .. } = &mut *state;
    for amount in [amount_unclaimed_sf, amount_cumulative_sf] {
        amount.set_fraction(amount.fraction() + share);
    }
    Ok(())
}

/// A share leaves what is set aside, for the referrer or for the protocol.
fn settle(reserve: &mut Reserve, share: Fraction, is_paid: bool) {
    let liquidity = &mut reserve.liquidity;
    let pending = liquidity.pending_referrer_fees_sf.fraction() - share;
    liquidity.pending_referrer_fees_sf.set_fraction(pending);
    let earned = if is_paid {
        &mut liquidity.accumulated_referrer_fees_sf
    } else {
        &mut liquidity.accumulated_protocol_fees_sf
    };
    earned.set_fraction(earned.fraction() + share);
}

/// The reserve. klend panics when the account is none.
fn load_reserve<'a>(account: &'a AccountInfo) -> Ref<'a, Reserve> {
    state::load::<Reserve>(account).expect("a reserve")
}

/// 6009 and 6073 unless the reserve is current; its price flags do not matter
/// here, they are passed on.
fn require_fresh(reserve: &Reserve, clock: &Clock) -> Result<()> {
    let fresh = reserve.last_update.is_fresh(clock.slot, PriceStatus::NONE)?;
    require(fresh, KlendError::ReserveStale)?;
    reserve.require_current_version()
}

/// Inside an elevation group only the group's debt reserve may be borrowed
/// from (6104), and it must be in the group (6068).
fn require_group_debt(
    market: &LendingMarket,
    reserve: &Reserve,
    account: &AccountInfo,
    group: u8,
) -> Result<()> {
    if group == 0 {
        return Ok(());
    }
    let debt_reserve =
        market.elevation_group(group).ok_or(KlendError::InvalidElevationGroup)?.debt_reserve;
    require(reserve.config.is_in_elevation_group(group), KlendError::InconsistentElevationGroup)?;
    require(debt_reserve == *account.key, KlendError::ElevationGroupHasAnotherDebtReserve)
}
