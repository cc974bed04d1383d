//! klend's rules written down straightforwardly, on `klend-interface`'s types and
//! its fraction: what a keeper would write first. To compare with, in time and in
//! results.
//!
//! It knows open-term debts outside elevation groups that are over their limit,
//! no other reason to liquidate, and it multiplies and divides fractions, so its
//! results can differ from klend's in the last digits.

use std::collections::HashMap;

use klend_interface::{
    Fraction,
    state::{
        BigFractionBytes, LendingMarket, Obligation, ObligationCollateral, ObligationLiquidity,
        PodU128, Reserve,
    },
};
use solana_pubkey_v2::Pubkey;

/// Amounts tried for each pair when the best liquidation is looked for.
const STEPS: u64 = 100;

/// A market and its reserves, as their accounts say.
pub struct Market {
    /// The market.
    pub market: Box<LendingMarket>,
    /// Its reserves, refreshed.
    pub reserves: HashMap<Pubkey, Reserve>,
}

/// What an obligation has and owes, in the market's currency.
pub struct Health {
    deposited: Fraction,
    borrowed: Fraction,
    adjusted_debt: Fraction,
    /// Debt from which it can be liquidated.
    limit: Fraction,
    lowest_threshold_pct: u8,
    highest_borrow_factor_pct: u64,
}

impl Health {
    /// Whether it can be liquidated.
    pub fn is_unhealthy(&self) -> bool {
        self.adjusted_debt > 0 && self.adjusted_debt >= self.limit
    }
}

/// One liquidation, raw units.
#[derive(Clone, Copy)]
pub struct Quote {
    /// Debt the liquidator pays.
    pub repay: u64,
    /// Collateral it receives.
    pub received: u64,
}

/// The best liquidation found.
pub struct Best {
    /// Profit in the market's currency.
    pub profit_value: f64,
}

impl Market {
    /// Values an obligation; `None` when it uses a reserve that is not there.
    pub fn health(&self, obligation: &Obligation) -> Option<Health> {
        let mut health = Health {
            deposited: Fraction::ZERO,
            borrowed: Fraction::ZERO,
            adjusted_debt: Fraction::ZERO,
            limit: Fraction::ZERO,
            lowest_threshold_pct: u8::MAX,
            highest_borrow_factor_pct: 100,
        };
        for deposit in obligation.deposits.iter().filter(|deposit| deposit.is_active()) {
            let reserve = self.reserves.get(&deposit.deposit_reserve)?;
            let value = deposit_value(reserve, deposit);
            health.deposited += value;
            health.limit += value * percent(reserve.config.liquidation_threshold_pct.into());
            health.lowest_threshold_pct =
                health.lowest_threshold_pct.min(reserve.config.liquidation_threshold_pct);
        }
        for borrow in obligation.borrows.iter().filter(|borrow| borrow.is_active()) {
            let reserve = self.reserves.get(&borrow.borrow_reserve)?;
            let value = value(reserve, owed(reserve, borrow));
            let factor = reserve.config.borrow_factor_pct.max(100);
            health.borrowed += value;
            health.adjusted_debt += value * percent(factor);
            health.highest_borrow_factor_pct = health.highest_borrow_factor_pct.max(factor);
        }
        Some(health)
    }

    /// A liquidation of at most `amount` of an obligation with that health; `None`
    /// where klend refuses it or the vault cannot pay it out in full.
    pub fn quote(
        &self,
        obligation: &Obligation,
        health: &Health,
        (repay_reserve, withdraw_reserve): (&Pubkey, &Pubkey),
        amount: u64,
    ) -> Option<Quote> {
        if !health.is_unhealthy() {
            return None;
        }
        let repay_from = self.reserves.get(repay_reserve)?;
        let withdraw_from = self.reserves.get(withdraw_reserve)?;
        let borrow = obligation.borrows.iter().find(|b| b.borrow_reserve == *repay_reserve)?;
        let deposit =
            obligation.deposits.iter().find(|d| d.deposit_reserve == *withdraw_reserve)?;
        if repay_from.config.borrow_factor_pct.max(100) < health.highest_borrow_factor_pct
            || withdraw_from.config.liquidation_threshold_pct > health.lowest_threshold_pct
        {
            return None;
        }

        // How much may be repaid.
        let debt = owed(repay_from, borrow);
        let debt_value = value(repay_from, debt);
        let ltv = health.adjusted_debt / health.deposited;
        let asked = debt.min(Fraction::from_num(amount));
        let small = debt_value < self.market.min_full_liquidation_value_threshold;
        let settled = if small {
            if asked < debt {
                return None;
            }
            debt
        } else {
            let insolvent = percent(self.market.insolvency_risk_unhealthy_ltv_pct.into());
            let close_factor = if ltv > insolvent {
                Fraction::ONE
            } else {
                percent(self.market.liquidation_max_debt_close_factor_pct.into())
            };
            let most = Fraction::from_num(self.market.max_liquidatable_debt_market_value_at_once);
            let most = (health.borrowed * close_factor).min(debt_value).min(most);
            asked.min(debt * (most / debt_value))
        };

        // What is seized for it.
        let bonus = bonus(health, ltv, repay_from, withdraw_from);
        let wanted = debt_value * (settled / debt) * (Fraction::ONE + bonus);
        let there = deposit_value(withdraw_from, deposit);
        let (settled, ctokens) = if wanted < there {
            let ctokens = Fraction::from_num(deposit.deposited_amount) * (wanted / there);
            (settled, ctokens.to_num::<u64>())
        } else {
            let settled = if small { settled } else { settled * (there / wanted) };
            (settled, deposit.deposited_amount)
        };
        let repay = settled.ceil().to_num::<u64>();

        // What of it arrives.
        let liquidity = (Fraction::from_num(ctokens) * rate(withdraw_from)).to_num::<u64>();
        if repay == 0 || ctokens == 0 || liquidity > withdraw_from.liquidity.total_available_amount
        {
            return None;
        }
        let gross = Fraction::from_num(liquidity);
        let of_bonus = gross - gross / (Fraction::ONE + bonus);
        let fee = of_bonus * percent(withdraw_from.config.protocol_liquidation_fee_pct.into());
        let fee = fee.ceil().to_num::<u64>().max(1);
        Some(Quote { repay, received: liquidity - fee })
    }

    /// Tries [`STEPS`] amounts of every pair. `swap(from, to, amount)` is what
    /// `amount` buys.
    pub fn best(
        &self,
        obligation: &Obligation,
        swap: impl Fn(&Reserve, &Reserve, u64) -> u64,
    ) -> Option<Best> {
        let health = self.health(obligation)?;
        let mut best: Option<Best> = None;
        for borrow in obligation.borrows.iter().filter(|borrow| borrow.is_active()) {
            let repay_from = self.reserves.get(&borrow.borrow_reserve)?;
            let price = sf(repay_from.liquidity.market_price_sf).to_num::<f64>();
            let unit = 10f64.powi(repay_from.liquidity.mint_decimals as i32);
            let fee_rate = repay_from.config.fees.flash_loan_fee_sf as f64 / 2f64.powi(60);
            for deposit in obligation.deposits.iter().filter(|deposit| deposit.is_active()) {
                let withdraw_from = self.reserves.get(&deposit.deposit_reserve)?;
                let pair = (&borrow.borrow_reserve, &deposit.deposit_reserve);
                let quote = |amount| self.quote(obligation, &health, pair, amount);
                let Some(whole) = quote(u64::MAX) else { continue };
                for step in 1..=STEPS {
                    let Some(part) = quote(whole.repay * step / STEPS) else { continue };
                    let fee = (part.repay as f64 * fee_rate).round().max(1.0);
                    let swapped = swap(withdraw_from, repay_from, part.received);
                    let profit = swapped as f64 - part.repay as f64 - fee;
                    let profit_value = profit * price / unit;
                    if best.as_ref().is_none_or(|best| profit_value > best.profit_value) {
                        best = Some(Best { profit_value });
                    }
                }
            }
        }
        best
    }
}

fn bonus(health: &Health, ltv: Fraction, debt: &Reserve, collateral: &Reserve) -> Fraction {
    let plain_ltv = health.borrowed / health.deposited;
    let room = Fraction::ONE.saturating_sub(plain_ltv);
    let (debt, collateral) = (&debt.config, &collateral.config);
    if plain_ltv >= percent(99) {
        let least =
            debt.bad_debt_liquidation_bonus_bps.min(collateral.bad_debt_liquidation_bonus_bps);
        return bps(least).max(room);
    }
    let least = debt.min_liquidation_bonus_bps.max(collateral.min_liquidation_bonus_bps);
    let most = debt.max_liquidation_bonus_bps.max(collateral.max_liquidation_bonus_bps);
    let over = ltv - health.limit / health.deposited;
    over.max(bps(least)).min(bps(most)).min(room)
}

/// Liquidity for one cToken.
fn rate(reserve: &Reserve) -> Fraction {
    let liquidity = &reserve.liquidity;
    let supply = Fraction::from_num(liquidity.total_available_amount)
        + sf(liquidity.borrowed_amount_sf)
        - sf(liquidity.accumulated_protocol_fees_sf)
        - sf(liquidity.accumulated_referrer_fees_sf)
        - sf(liquidity.pending_referrer_fees_sf);
    let ctokens = reserve.collateral.mint_total_supply;
    if ctokens == 0 || supply == 0 {
        return Fraction::ONE;
    }
    supply / u128::from(ctokens)
}

fn deposit_value(reserve: &Reserve, deposit: &ObligationCollateral) -> Fraction {
    value(reserve, Fraction::from_num(deposit.deposited_amount) * rate(reserve))
}

/// Debt with the interest since it was last written down.
fn owed(reserve: &Reserve, borrow: &ObligationLiquidity) -> Fraction {
    let then = cumulative(&borrow.cumulative_borrow_rate_bsf);
    let now = cumulative(&reserve.liquidity.cumulative_borrow_rate_bsf);
    sf(borrow.borrowed_amount_sf) * (now / then)
}

fn value(reserve: &Reserve, units: Fraction) -> Fraction {
    let unit = 10u128.pow(reserve.liquidity.mint_decimals as u32);
    units * sf(reserve.liquidity.market_price_sf) / unit
}

fn sf(bits: PodU128) -> Fraction {
    Fraction::from_bits(bits.into())
}

fn cumulative(rate: &BigFractionBytes) -> Fraction {
    Fraction::from_bits(u128::from(rate.value[0]) | u128::from(rate.value[1]) << 64)
}

fn percent(value: u64) -> Fraction {
    Fraction::from_num(value) / 100u128
}

fn bps(value: u16) -> Fraction {
    Fraction::from_num(value) / 10_000u128
}
