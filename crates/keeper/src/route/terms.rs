//! What a liquidation costs beside its loan, and the least profit that is signed.
//!
//! The receiver holds the profit on chain against what was signed, in the debt's
//! token and after loan and flash fee. What is paid in SOL is not in it: the priority
//! fee, the tip, the signatures and rent that stays are counted here, so that a
//! transaction that lands has earned them.

use klend_model::{
    fraction::{Fraction, ten_pow},
    reserve::ReserveState,
};

use super::venue::at_oracle_price;

/// Basis points in one.
const FULL_BPS: u128 = 10_000;
/// Lamports that every signature costs.
pub const SIGNATURE_FEE: u64 = 5_000;
/// Lamports in a SOL.
const LAMPORTS: f64 = 1e9;

/// What a transaction costs that lands, lamports.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Costs {
    /// Its signatures.
    pub signatures: u64,
    /// The price of its compute units.
    pub priority_fee: u64,
    /// The tip.
    pub tip: u64,
    /// Rent of accounts that it makes and that stay.
    pub rent: u64,
}

impl Costs {
    /// All of it.
    #[must_use]
    pub fn total(&self) -> u64 {
        [self.signatures, self.priority_fee, self.tip, self.rent]
            .into_iter()
            .fold(0, u64::saturating_add)
    }
}

/// What SOL is worth in a debt's token.
#[derive(Clone, Copy, Debug)]
pub enum Exchange<'a> {
    /// The debt is SOL.
    Same,
    /// By the prices that klend has of both.
    Oracle {
        /// A reserve of SOL.
        sol: &'a ReserveState<'a>,
        /// The debt's reserve.
        debt: &'a ReserveState<'a>,
    },
    /// SOL's price in US dollars is the operator's.
    Stated {
        /// US dollars.
        sol_usd: f64,
        /// The debt's reserve.
        debt: &'a ReserveState<'a>,
    },
}

impl Exchange<'_> {
    /// Lamports in raw units of the debt, rounded up; `None` without a price.
    #[must_use]
    pub fn from_lamports(&self, lamports: u64) -> Option<u64> {
        if lamports == 0 {
            return Some(0);
        }
        match self {
            Self::Same => Some(lamports),
            Self::Oracle { sol, debt } => at_oracle_price(sol, debt, lamports, 0)?.checked_add(1),
            Self::Stated { sol_usd, debt } => {
                units_of_usd(debt, lamports as f64 / LAMPORTS * sol_usd)
            }
        }
    }

    /// Raw units of the debt in lamports, rounded down; `None` without a price.
    #[must_use]
    pub fn to_lamports(&self, units: u64) -> Option<u64> {
        match self {
            Self::Same => Some(units),
            Self::Oracle { sol, debt } => at_oracle_price(debt, sol, units, 0),
            Self::Stated { sol_usd, debt } => {
                let value = debt.market_value(Fraction::from_int(units)).ok()?.to_f64();
                let lamports = value / sol_usd * LAMPORTS;
                (0.0..u64::MAX as f64).contains(&lamports).then_some(lamports as u64)
            }
        }
    }
}

/// US dollars in raw units of a reserve's token, rounded up; `None` without a price.
#[must_use]
pub fn units_of_usd(reserve: &ReserveState<'_>, usd: f64) -> Option<u64> {
    if usd <= 0.0 {
        return Some(0);
    }
    let unit = ten_pow(reserve.account.liquidity.mint_decimals).ok()? as f64;
    // More than the rounding of these three operations.
    let units = (usd / reserve.market_price.to_f64() * unit * (1.0 + 1e-12)).ceil();
    (0.0..u64::MAX as f64).contains(&units).then_some(units as u64)
}

/// A quote that does not pay for itself, raw units of the debt's token.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a profit of {quoted} is quoted, costs of {cost} and the floor of {floor} are more")]
pub struct TooLittle {
    /// What is quoted after loan and flash fee.
    pub quoted: i128,
    /// What it costs beside.
    pub cost: u64,
    /// The least that has to be left.
    pub floor: u64,
}

/// The least profit to sign for a quote: what it costs and the floor, or, if that is
/// more, all of the quote but what is tolerated for the time until it lands.
///
/// # Errors
/// [`TooLittle`] when not even the quote is as much.
pub fn least_profit(
    quoted: i128,
    cost: u64,
    floor: u64,
    tolerance_bps: u16,
) -> Result<i64, TooLittle> {
    let refused = TooLittle { quoted, cost, floor };
    let needed = i128::from(cost) + i128::from(floor);
    if quoted < needed {
        return Err(refused);
    }
    i64::try_from(needed.max(tolerated_share(quoted, tolerance_bps))).map_err(|_| refused)
}

/// A quote less what is tolerated, rounded up. Of a loss nothing is left to tolerate.
fn tolerated_share(quoted: i128, tolerance_bps: u16) -> i128 {
    let Ok(quoted) = u128::try_from(quoted) else { return quoted };
    let kept = FULL_BPS.saturating_sub(u128::from(tolerance_bps));
    // A profit fits 64 bits, and so the product fits.
    i128::try_from(quoted.saturating_mul(kept).div_ceil(FULL_BPS)).unwrap_or(i128::MAX)
}

/// The least profit to sign where the operator says a raw amount: that, or what of
/// the quote is not tolerated to be lost. An operator who consents to a loss gets it
/// signed as it was said.
#[must_use]
pub fn least_profit_by_hand(quoted: i128, stated: i64, tolerance_bps: u16) -> i64 {
    if stated < 0 || quoted <= 0 {
        return stated;
    }
    stated.max(i64::try_from(tolerated_share(quoted, tolerance_bps)).unwrap_or(i64::MAX))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn never_below_cost_and_floor_nor_the_tolerated_share_nor_above_the_quote(
            quoted in any::<i64>(),
            cost in 0..u64::MAX / 4,
            floor in 0..u64::MAX / 4,
            tolerance in 0..=10_000u16,
        ) {
            let (wide, needed) = (i128::from(quoted), i128::from(cost) + i128::from(floor));
            match least_profit(wide, cost, floor, tolerance) {
                Ok(signed) => {
                    prop_assert!(i128::from(signed) >= needed);
                    // signed / quoted >= 1 - tolerance, in integers.
                    let kept = i128::from(10_000 - tolerance);
                    prop_assert!(i128::from(signed) * 10_000 >= wide * kept);
                    prop_assert!(signed <= quoted);
                }
                Err(TooLittle { .. }) => prop_assert!(wide < needed),
            }
        }

        #[test]
        fn small_costs_and_profits_too(
            quoted in -1_000..1_000i64,
            cost in 0..1_000u64,
            floor in 0..1_000u64,
            tolerance in 0..=10_000u16,
        ) {
            let needed = i128::from(cost + floor);
            let signed = least_profit(i128::from(quoted), cost, floor, tolerance);
            prop_assert_eq!(signed.is_ok(), i128::from(quoted) >= needed);
            if let Ok(signed) = signed {
                let share = (i64::from(10_000 - tolerance) * quoted).div_euclid(10_000);
                let is_whole = i64::from(10_000 - tolerance) * quoted % 10_000 == 0;
                let share = if is_whole { share } else { share + 1 };
                prop_assert_eq!(i128::from(signed), needed.max(i128::from(share)));
            }
        }
    }

    #[test]
    fn by_hand_a_loss_is_signed_as_it_was_said() {
        assert_eq!(least_profit_by_hand(100, 0, 2_500), 75);
        assert_eq!(least_profit_by_hand(100, 90, 2_500), 90);
        assert_eq!(least_profit_by_hand(100, -5, 2_500), -5);
        assert_eq!(least_profit_by_hand(-3, 0, 2_500), 0);
        assert_eq!(least_profit_by_hand(i128::MAX, 0, 0), i64::MAX);
    }

    #[test]
    fn costs_are_added_without_wrapping() {
        let costs = Costs { signatures: 1, priority_fee: 2, tip: 3, rent: 4 };
        assert_eq!(costs.total(), 10);
        assert_eq!(Costs { rent: u64::MAX, ..costs }.total(), u64::MAX);
    }
}
