//! Why klend lets an obligation be liquidated, at which bonus and how far.

use klend_interface::state::Reserve;

use super::{Reason, case::Case, order};
use crate::{
    constants::{BAD_DEBT_LTV_PCT, SECONDS_PER_DAY},
    errors::Code,
    fraction::{Fraction, Overflow},
    refusal::{At, Refusal},
};

impl Case<'_> {
    /// The first of klend's reasons that applies, with its bonus.
    pub(super) fn reason(
        &self,
        ltv: Fraction,
        no_bf_ltv: Fraction,
        limit: Fraction,
    ) -> Result<(Reason, Fraction), Refusal> {
        let key = &self.obligation.key;
        if ltv >= limit && self.table.market().price_triggered_liquidation_disabled == 0 {
            return Ok((Reason::LtvExceeded, self.ltv_bonus(ltv, no_bf_ltv, limit).at(key)?));
        }
        if let Some(bonus) = self.individual_deleveraging(ltv, no_bf_ltv).at(key)? {
            return Ok((Reason::IndividualDeleveraging, bonus));
        }
        if let Some(bonus) = self.market_wide_deleveraging(ltv, no_bf_ltv).at(key)? {
            return Ok((Reason::MarketWideDeleveraging, bonus));
        }
        if let Some(bonus) = self.maturity(no_bf_ltv).at(key)? {
            return Ok((Reason::ReserveDebtMaturityReached, bonus));
        }
        if let Some((seconds, bonus)) = self.debt_term(no_bf_ltv).at(key)? {
            return Ok((Reason::DebtTermReached { seconds }, bonus));
        }
        if let Some((index, bonus)) = order::applicable(self, ltv, no_bf_ltv, limit)? {
            return Ok((Reason::Order { index }, bonus));
        }
        Err(Refusal::fractions(Code::ObligationHealthy, key, ltv, limit))
    }

    fn now(&self) -> u64 {
        self.table.clock().unix_timestamp
    }

    /// Bonus for an LTV above the limit; the bad-debt bonus near insolvency.
    fn ltv_bonus(
        &self,
        ltv: Fraction,
        no_bf_ltv: Fraction,
        limit: Fraction,
    ) -> Result<Fraction, Overflow> {
        let collateral = &self.withdraw_reserve.account.config;
        let debt = &self.repay_reserve.account.config;
        let headroom = Fraction::ONE.saturating_sub(no_bf_ltv);
        if no_bf_ltv >= Fraction::from_percent(BAD_DEBT_LTV_PCT) {
            let bonus = Fraction::from_bps(u64::from(
                collateral.bad_debt_liquidation_bonus_bps.min(debt.bad_debt_liquidation_bonus_bps),
            ));
            return Ok(bonus.max(headroom));
        }
        let least = collateral.min_liquidation_bonus_bps.max(debt.min_liquidation_bonus_bps);
        let most = collateral
            .max_liquidation_bonus_bps
            .max(debt.max_liquidation_bonus_bps)
            .min(self.group_bonus_cap());
        Ok(Fraction::from_bps(u64::from(least))
            .max(ltv.try_sub(limit)?)
            .min(Fraction::from_bps(u64::from(most)))
            .min(headroom))
    }

    /// The elevation group's cap on bonuses, where it has one for this pair.
    fn group_bonus_cap(&self) -> u16 {
        let id = self.obligation.account.elevation_group;
        let pair = [&self.withdraw_reserve, &self.repay_reserve];
        let Some(group) = usize::from(id)
            .checked_sub(1)
            .and_then(|index| self.table.market().elevation_groups.get(index))
            .filter(|_| pair.iter().all(|reserve| reserve.in_elevation_group(id)))
        else {
            return u16::MAX;
        };
        let cap = group.max_liquidation_bonus_bps;
        let below_both =
            pair.iter().all(|reserve| cap <= reserve.account.config.max_liquidation_bonus_bps);
        if cap != 0 && below_both { cap } else { u16::MAX }
    }

    fn individual_deleveraging(
        &self,
        ltv: Fraction,
        no_bf_ltv: Fraction,
    ) -> Result<Option<Fraction>, Overflow> {
        let market = self.table.market();
        let account = self.obligation.account;
        let started = account.autodeleverage_margin_call_started_timestamp;
        let period = market.individual_autodeleverage_margin_call_period_secs;
        let target = Fraction::from_percent(u64::from(account.autodeleverage_target_ltv_pct));
        if started == 0 || market.autodeleverage_enabled == 0 || period == 0 || ltv <= target {
            return Ok(None);
        }
        let elapsed = self.now().saturating_sub(started);
        let Some(seconds) = elapsed.checked_sub(period) else { return Ok(None) };
        self.growing_bonus(self.stronger_config(), seconds, self.group_bonus_cap(), no_bf_ltv)
            .map(Some)
    }

    /// The reserve whose bonus rules pay more; the debt's where they are equal.
    fn stronger_config(&self) -> &Reserve {
        let rank = |reserve: &Reserve| {
            (
                reserve.config.max_liquidation_bonus_bps,
                reserve.config.deleveraging_bonus_increase_bps_per_day,
                reserve.config.min_deleveraging_bonus_bps,
            )
        };
        let (collateral, debt) = (self.withdraw_reserve.account, self.repay_reserve.account);
        if rank(collateral) > rank(debt) { collateral } else { debt }
    }

    fn market_wide_deleveraging(
        &self,
        ltv: Fraction,
        no_bf_ltv: Fraction,
    ) -> Result<Option<Fraction>, Overflow> {
        if self.table.market().autodeleverage_enabled == 0 {
            return Ok(None);
        }
        let collateral_limit = self.withdraw_reserve.deposit_limit()?;
        let debt_limit = self.repay_reserve.borrow_limit();
        for (reserve, limit) in [
            (self.withdraw_reserve.account, collateral_limit),
            (self.repay_reserve.account, debt_limit),
        ] {
            let config = &reserve.config;
            if config.autodeleverage_enabled == 0 || !limit.crossed || limit.crossed_at == 0 {
                continue;
            }
            let elapsed = self.now().saturating_sub(limit.crossed_at);
            let Some(seconds) = elapsed.checked_sub(config.deleveraging_margin_call_period_secs)
            else {
                continue;
            };
            let decrease = Fraction::from_bps(config.deleveraging_threshold_decrease_bps_per_day)
                .try_mul(days(seconds)?)?;
            if ltv < Fraction::ONE.saturating_sub(decrease) {
                return Ok(None);
            }
            return self.growing_bonus(reserve, seconds, u16::MAX, no_bf_ltv).map(Some);
        }
        Ok(None)
    }

    fn maturity(&self, no_bf_ltv: Fraction) -> Result<Option<Fraction>, Overflow> {
        let reserve = self.repay_reserve.account;
        let maturity = reserve.config.debt_maturity_timestamp;
        if maturity == 0
            || maturity > self.now()
            || self.table.market().mature_reserve_debt_liquidation_enabled == 0
        {
            return Ok(None);
        }
        self.growing_bonus(reserve, self.now() - maturity, u16::MAX, no_bf_ltv).map(Some)
    }

    fn debt_term(&self, no_bf_ltv: Fraction) -> Result<Option<(u64, Fraction)>, Overflow> {
        let Some(seconds) = self.debt.term_end.and_then(|end| self.now().checked_sub(end)) else {
            return Ok(None);
        };
        if self.table.market().obligation_borrow_debt_term_liquidation_enabled == 0 {
            return Ok(None);
        }
        let bonus =
            self.growing_bonus(self.stronger_config(), seconds, self.group_bonus_cap(), no_bf_ltv)?;
        Ok(Some((seconds, bonus)))
    }

    /// Bonus that grows with the days passed, capped.
    fn growing_bonus(
        &self,
        reserve: &Reserve,
        seconds: u64,
        group_cap: u16,
        no_bf_ltv: Fraction,
    ) -> Result<Fraction, Overflow> {
        let config = &reserve.config;
        let growth = Fraction::from_bps(config.deleveraging_bonus_increase_bps_per_day)
            .try_mul(days(seconds)?)?;
        let bonus =
            Fraction::from_bps(u64::from(config.min_deleveraging_bonus_bps)).try_add(growth)?;
        let cap = Fraction::from_bps(u64::from(config.max_liquidation_bonus_bps.min(group_cap)));
        Ok(bonus.min(cap).min(Fraction::ONE.saturating_sub(no_bf_ltv)))
    }

    /// klend's order of debts and collaterals, which deleveraging is free of.
    pub(super) fn check_priorities(&self, reason: Reason) -> Result<(), Refusal> {
        let health = &self.obligation.health;
        if reason == Reason::LtvExceeded {
            let factor = if self.obligation.account.elevation_group == 0 {
                self.repay_reserve.borrow_factor_pct()
            } else {
                100
            };
            if factor < health.highest_borrow_factor_pct {
                return Err(Refusal::integers(
                    Code::LiquidationBorrowFactorPriority,
                    &self.repay_reserve.key,
                    factor,
                    health.highest_borrow_factor_pct,
                ));
            }
        }
        let any_collateral =
            matches!(reason, Reason::IndividualDeleveraging | Reason::MarketWideDeleveraging);
        let threshold = self.deposit.liquidation_threshold_pct;
        if !any_collateral && threshold > health.lowest_liquidation_threshold_pct {
            return Err(Refusal::integers(
                Code::LiquidationLowestLiquidationLtvPriority,
                &self.withdraw_reserve.key,
                u64::from(threshold),
                u64::from(health.lowest_liquidation_threshold_pct),
            ));
        }
        Ok(())
    }

    /// The most debt that may be repaid now, raw units.
    pub(super) fn max_repay(&self, reason: Reason, ltv: Fraction) -> Result<Fraction, Refusal> {
        let key = &self.obligation.key;
        if let Reason::Order { index } = reason {
            return order::cap(self, index).at(key).map(|cap| cap.min(self.debt.borrowed));
        }
        self.max_repay_by_rules(reason, ltv).at(key)
    }

    fn max_repay_by_rules(&self, reason: Reason, ltv: Fraction) -> Result<Fraction, Overflow> {
        let market = self.table.market();
        let borrowed = self.debt.borrowed;
        match reason {
            Reason::LtvExceeded
            | Reason::IndividualDeleveraging
            | Reason::MarketWideDeleveraging => {
                let insolvent =
                    Fraction::from_percent(u64::from(market.insolvency_risk_unhealthy_ltv_pct));
                let close_factor = if ltv > insolvent {
                    Fraction::ONE
                } else {
                    Fraction::from_percent(u64::from(market.liquidation_max_debt_close_factor_pct))
                };
                let value = self
                    .obligation
                    .health
                    .borrowed_value
                    .try_mul(close_factor)?
                    .min(self.debt.market_value)
                    .min(Fraction::from_int(market.max_liquidatable_debt_market_value_at_once));
                borrowed.try_mul(value.try_div(self.debt.market_value)?)
            }
            Reason::ReserveDebtMaturityReached => Ok(borrowed),
            Reason::DebtTermReached { seconds } => {
                let duration = market.term_based_full_liquidation_duration_secs;
                if duration == 0 {
                    return Ok(borrowed);
                }
                let held_back = Fraction::from_int(self.debt.amount_at_expiration).mul_ratio(
                    u128::from(duration.saturating_sub(seconds)),
                    u128::from(duration),
                )?;
                Ok(borrowed.saturating_sub(held_back))
            }
            Reason::Order { .. } => Ok(borrowed),
        }
    }
}

/// Seconds as a fraction of days.
fn days(seconds: u64) -> Result<Fraction, Overflow> {
    Fraction::from_int(seconds).try_div_int(u128::from(SECONDS_PER_DAY))
}
