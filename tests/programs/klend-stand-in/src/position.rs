//! An obligation's books: revaluing it, and what borrowing, repaying,
//! depositing and withdrawing change in it.

use bytemuck::Zeroable;
use solana_program::{account_info::AccountInfo, pubkey::Pubkey};

use crate::{
    error::{AnchorError, KlendError, Result, require},
    math::{BigFraction, Fraction},
    state::{
        self, LendingMarket, Obligation, ObligationCollateral, ObligationLiquidity, Reserve,
        ReserveStatus,
    },
};

impl ObligationLiquidity {
    /// Adds the interest between the rate that is included and the reserve's
    /// present one.
    ///
    /// # Errors
    /// 6028 when the reserve's rate is the lower one.
    pub fn accrue_interest(&mut self, reserve: &Reserve) -> Result<()> {
        let included = BigFraction::from_limbs(self.cumulative_borrow_rate_bsf.limbs);
        let present = reserve.liquidity.cumulative_borrow_rate();
        require(present >= included, KlendError::NegativeInterestRate)?;
        if present > included {
            let grown =
                self.borrowed_amount_sf.fraction().mul_ratio(present.to_bits(), included.to_bits());
            self.borrowed_amount_sf.set_fraction(grown);
            self.cumulative_borrow_rate_bsf.limbs = present.to_limbs();
        }
        Ok(())
    }

    /// Takes `settled` off the debt and empties the slot when nothing is left.
    pub fn settle(&mut self, settled: Fraction) {
        let left = self.borrowed_amount_sf.fraction() - settled;
        if left == Fraction::ZERO {
            *self = Zeroable::zeroed();
        } else {
            self.borrowed_amount_sf.set_fraction(left);
        }
    }
}

impl ObligationCollateral {
    /// Takes cTokens out and empties the slot when none is left.
    pub fn withdraw(&mut self, amount: u64) {
        let left = self.deposited_amount - amount;
        if left == 0 {
            *self = Zeroable::zeroed();
        } else {
            self.deposited_amount = left;
        }
    }
}

/// Loan-to-value limits that apply to a deposit, in percent.
#[derive(Clone, Copy, Debug)]
pub struct DepositLimits {
    pub loan_to_value_pct: u8,
    pub liquidation_threshold_pct: u8,
}

impl DepositLimits {
    /// The group's limits inside an elevation group, the reserve's outside.
    ///
    /// # Errors
    /// 6069 for a group that the market does not have, 6068 for a reserve that
    /// is not in the obligation's group.
    pub fn of(market: &LendingMarket, reserve: &Reserve, group: u8) -> Result<Self> {
        if group == 0 {
            return Ok(Self {
                loan_to_value_pct: reserve.config.loan_to_value_pct,
                liquidation_threshold_pct: reserve.config.liquidation_threshold_pct,
            });
        }
        let terms = market.elevation_group(group).ok_or(KlendError::InvalidElevationGroup)?;
        require(
            reserve.config.is_in_elevation_group(group),
            KlendError::InconsistentElevationGroup,
        )?;
        Ok(Self {
            loan_to_value_pct: terms.ltv_pct,
            liquidation_threshold_pct: terms.liquidation_threshold_pct,
        })
    }
}

/// Percent by which debt from a reserve counts: 100 inside an elevation group.
pub fn borrow_factor_pct(reserve: &Reserve, group: u8) -> u64 {
    if group == 0 { reserve.config.borrow_factor_pct() } else { 100 }
}

/// Sums over the deposits while an obligation is revalued.
#[derive(Clone, Copy, Debug)]
pub struct DepositTotals {
    pub value: Fraction,
    pub allowed_borrow_value: Fraction,
    pub unhealthy_borrow_value: Fraction,
    pub lowest_liquidation_ltv_pct: u8,
    pub lowest_max_ltv_pct: u8,
    pub obsolete_reserves: u8,
}

impl Default for DepositTotals {
    fn default() -> Self {
        Self {
            value: Fraction::ZERO,
            allowed_borrow_value: Fraction::ZERO,
            unhealthy_borrow_value: Fraction::ZERO,
            lowest_liquidation_ltv_pct: u8::MAX,
            lowest_max_ltv_pct: u8::MAX,
            obsolete_reserves: 0,
        }
    }
}

impl DepositTotals {
    /// Revalues one deposit and adds it.
    pub fn add(
        &mut self,
        market: &LendingMarket,
        reserve: &Reserve,
        group: u8,
        deposit: &mut ObligationCollateral,
    ) -> Result<()> {
        let limits = DepositLimits::of(market, reserve, group)?;
        let liquidity = reserve.collateral_rate().to_liquidity(deposit.deposited_amount);
        let value = reserve.liquidity.market_value(liquidity);
        deposit.market_value_sf.set_fraction(value);

        let part = |percent: u8| value * Fraction::from_percent(percent.into());
        self.value = self.value + value;
        self.allowed_borrow_value = self.allowed_borrow_value + part(limits.loan_to_value_pct);
        self.unhealthy_borrow_value =
            self.unhealthy_borrow_value + part(limits.liquidation_threshold_pct);
        let counts = value >= Fraction::from_int(market.min_value_skip_liquidation_ltv_checks)
            && limits.liquidation_threshold_pct > 0;
        if counts {
            self.lowest_liquidation_ltv_pct =
                self.lowest_liquidation_ltv_pct.min(limits.liquidation_threshold_pct);
        }
        self.lowest_max_ltv_pct = self.lowest_max_ltv_pct.min(limits.loan_to_value_pct);
        self.obsolete_reserves += u8::from(reserve.config.status == ReserveStatus::OBSOLETE);
        Ok(())
    }
}

/// Sums over the borrows while an obligation is revalued.
#[derive(Clone, Copy, Debug)]
pub struct BorrowTotals {
    pub value: Fraction,
    pub factor_adjusted_value: Fraction,
    pub highest_borrow_factor_pct: u64,
    pub obsolete_reserves: u8,
}

impl Default for BorrowTotals {
    fn default() -> Self {
        Self {
            value: Fraction::ZERO,
            factor_adjusted_value: Fraction::ZERO,
            highest_borrow_factor_pct: 100,
            obsolete_reserves: 0,
        }
    }
}

impl BorrowTotals {
    /// Revalues one borrow, whose interest is up to date, and adds it.
    pub fn add(
        &mut self,
        market: &LendingMarket,
        reserve: &Reserve,
        group: u8,
        borrow: &mut ObligationLiquidity,
    ) {
        let factor_pct = borrow_factor_pct(reserve, group);
        let value = reserve.liquidity.market_value(borrow.borrowed_amount_sf.fraction());
        let adjusted = value * Fraction::from_percent(factor_pct);
        borrow.market_value_sf.set_fraction(value);
        borrow.borrow_factor_adjusted_market_value_sf.set_fraction(adjusted);
        self.value = self.value + value;
        self.factor_adjusted_value = self.factor_adjusted_value + adjusted;
        if value >= Fraction::from_int(market.min_value_skip_liquidation_bf_checks) {
            self.highest_borrow_factor_pct = self.highest_borrow_factor_pct.max(factor_pct);
        }
        self.obsolete_reserves += u8::from(reserve.config.status == ReserveStatus::OBSOLETE);
    }
}

impl Obligation {
    /// Slot of the deposit in `reserve`.
    ///
    /// # Errors
    /// 6020 without any deposit, 6024 without one in this reserve.
    pub fn deposit_slot(&self, reserve: &Pubkey) -> Result<usize> {
        require(self.active_deposits().next().is_some(), KlendError::ObligationDepositsEmpty)?;
        (self.deposits.iter())
            .position(|deposit| deposit.deposit_reserve == *reserve)
            .ok_or_else(|| KlendError::InvalidObligationCollateral.into())
    }

    /// Slot of the borrow from `reserve`.
    ///
    /// # Errors
    /// 6021 without any borrow, 6025 without one from this reserve.
    pub fn borrow_slot(&self, reserve: &Pubkey) -> Result<usize> {
        require(self.active_borrows().next().is_some(), KlendError::ObligationBorrowsEmpty)?;
        (self.borrows.iter())
            .position(|borrow| borrow.borrow_reserve == *reserve)
            .ok_or_else(|| KlendError::InvalidObligationLiquidity.into())
    }

    /// The deposit slot of `reserve`, taking a free one if there is none yet.
    /// 6018 when all slots are taken.
    pub fn deposit_slot_or_new(&mut self, reserve: &Pubkey) -> Result<&mut ObligationCollateral> {
        let taken = (self.deposits.iter()).position(|deposit| deposit.deposit_reserve == *reserve);
        let free = || self.deposits.iter().position(|deposit| !deposit.is_active());
        let slot = taken.or_else(free).ok_or(KlendError::ObligationReserveLimit)?;
        self.deposits[slot].deposit_reserve = *reserve;
        Ok(&mut self.deposits[slot])
    }

    /// The borrow slot of `reserve`, taking a free one if there is none yet.
    /// 6018 when all slots are taken.
    pub fn borrow_slot_or_new(
        &mut self,
        reserve: &Pubkey,
        cumulative_rate: BigFraction,
    ) -> Result<&mut ObligationLiquidity> {
        let taken = (self.borrows.iter()).position(|borrow| borrow.borrow_reserve == *reserve);
        if let Some(slot) = taken {
            return Ok(&mut self.borrows[slot]);
        }
        let free = (self.borrows.iter_mut())
            .find(|borrow| !borrow.is_active())
            .ok_or(KlendError::ObligationReserveLimit)?;
        free.borrow_reserve = *reserve;
        free.cumulative_borrow_rate_bsf.limbs = cumulative_rate.to_limbs();
        Ok(free)
    }
}

/// Takes a repayment inside an elevation group off the debt that each
/// deposit's reserve counts against itself. `reserves` are those of all active
/// deposits, in slot order.
///
/// # Errors
/// 6006 when reserves are missing, 2502 when one is another deposit's.
pub fn release_group_debt(
    obligation: &mut Obligation,
    reserves: &[AccountInfo],
    repaid: u64,
) -> Result<()> {
    let group = usize::from(obligation.elevation_group);
    let mut reserves = reserves.iter();
    for deposit in obligation.deposits.iter_mut().filter(|slot| slot.is_active()) {
        let account = reserves.next().ok_or(KlendError::InvalidAccountInput)?;
        require(*account.key == deposit.deposit_reserve, AnchorError::RequireKeysEqViolated)?;
        let mut reserve = state::load_mut::<Reserve>(account)?;
        let tracked =
            repaid.min(deposit.borrowed_amount_against_this_collateral_in_elevation_group);
        deposit.borrowed_amount_against_this_collateral_in_elevation_group -= tracked;
        let total =
            &mut reserve.borrowed_amounts_against_this_reserve_in_elevation_groups[group - 1];
        *total = total.saturating_sub(tracked);
    }
    Ok(())
}

/// Takes a deposit that is about to be emptied off the debt that its reserve
/// counts against itself in the obligation's elevation group.
pub fn release_deposit(obligation: &Obligation, slot: usize, reserve: &AccountInfo) -> Result<()> {
    let Some(group) = usize::from(obligation.elevation_group).checked_sub(1) else {
        return Ok(());
    };
    let tracked =
        obligation.deposits[slot].borrowed_amount_against_this_collateral_in_elevation_group;
    let mut reserve = state::load_mut::<Reserve>(reserve)?;
    let total = &mut reserve.borrowed_amounts_against_this_reserve_in_elevation_groups[group];
    *total = total.saturating_sub(tracked);
    Ok(())
}

/// Adds new debt inside an elevation group to what each deposit's reserve
/// counts against itself. `reserves` are those of all active deposits, in slot
/// order.
///
/// # Errors
/// 6006 when reserves are missing, 2502 when one is another deposit's, 6101
/// above a reserve's limit for the group.
pub fn add_group_debt(
    obligation: &mut Obligation,
    reserves: &[AccountInfo],
    debt: u64,
) -> Result<()> {
    let group = usize::from(obligation.elevation_group);
    let mut reserves = reserves.iter();
    for deposit in obligation.deposits.iter_mut().filter(|slot| slot.is_active()) {
        let account = reserves.next().ok_or(KlendError::InvalidAccountInput)?;
        require(*account.key == deposit.deposit_reserve, AnchorError::RequireKeysEqViolated)?;
        let mut reserve = state::load_mut::<Reserve>(account)?;
        let limit =
            reserve.config.borrow_limit_against_this_collateral_in_elevation_group[group - 1];
        let total =
            &mut reserve.borrowed_amounts_against_this_reserve_in_elevation_groups[group - 1];
        *total = total.checked_add(debt).ok_or(KlendError::MathOverflow)?;
        require(*total <= limit, KlendError::ElevationGroupBorrowLimitExceeded)?;
        deposit.borrowed_amount_against_this_collateral_in_elevation_group += debt;
    }
    Ok(())
}

/// Replaces what an obligation contributes to a reserve's total.
pub fn retrack(total: &mut u64, tracked: &mut u64, owed: u64) {
    *total = total.saturating_sub(*tracked).saturating_add(owed);
    *tracked = owed;
}

/// Brings the debt inside an elevation group that each deposit's reserve counts
/// against itself up to `owed`. `reserves` are those of all active deposits, in
/// slot order, and have been checked.
pub fn retrack_group_debt(
    obligation: &mut Obligation,
    reserves: &[AccountInfo],
    owed: u64,
) -> Result<()> {
    let group = usize::from(obligation.elevation_group);
    let deposits = obligation.deposits.iter_mut().filter(|slot| slot.is_active());
    for (deposit, account) in deposits.zip(reserves) {
        let mut reserve = state::load_mut::<Reserve>(account)?;
        retrack(
            &mut reserve.borrowed_amounts_against_this_reserve_in_elevation_groups[group - 1],
            &mut deposit.borrowed_amount_against_this_collateral_in_elevation_group,
            owed,
        );
    }
    Ok(())
}
