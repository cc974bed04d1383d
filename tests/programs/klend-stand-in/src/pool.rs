//! A reserve's books: what the pool owns, what a cToken is worth, what
//! entering, leaving, borrowing and repaying change.

use solana_program::program_error::ProgramError;

use crate::{
    error::{KlendError, Result, require},
    math::{BigFraction, Fraction, U256, div_ceil, to_u128},
    state::{Reserve, ReserveLiquidity, WithdrawalCaps},
};

/// klend's table of powers of ten ends here; it panics beyond.
const MAX_MINT_DECIMALS: u64 = 19;

impl ReserveLiquidity {
    /// Everything that belongs to depositors: available and lent liquidity
    /// less the fees that wait to be collected.
    pub fn total_supply(&self) -> Fraction {
        Fraction::from_int(self.total_available_amount) + self.borrowed_amount_sf.fraction()
            - self.accumulated_protocol_fees_sf.fraction()
            - self.accumulated_referrer_fees_sf.fraction()
            - self.pending_referrer_fees_sf.fraction()
    }

    /// Lent part of the supply, at most one.
    pub fn utilization(&self) -> Fraction {
        let supply = self.total_supply();
        if supply == Fraction::ZERO {
            return Fraction::ZERO;
        }
        (self.borrowed_amount_sf.fraction() / supply).min(Fraction::ONE)
    }

    /// Value of `amount` units at the saved price, in the quote currency:
    /// `floor(amount * price / 10^decimals)` with one rounding. Panics above 19
    /// decimals.
    pub fn market_value(&self, amount: Fraction) -> Fraction {
        assert!(self.mint_decimals <= MAX_MINT_DECIMALS, "too many decimals");
        let one_token = U256::from(10u64).pow(U256::from(self.mint_decimals));
        amount.mul_ratio(
            U256::from(self.market_price_sf.get()),
            one_token << crate::math::FRACTION_BITS,
        )
    }

    pub fn cumulative_borrow_rate(&self) -> BigFraction {
        BigFraction::from_limbs(self.cumulative_borrow_rate_bsf.limbs)
    }

    /// Takes liquidity out for a borrower.
    ///
    /// # Errors
    /// 6008 when less is available.
    pub fn borrow(&mut self, debt: Fraction, paid_out: u64) -> Result<()> {
        self.total_available_amount = self
            .total_available_amount
            .checked_sub(paid_out)
            .ok_or(KlendError::InsufficientLiquidity)?;
        self.borrowed_amount_sf.set_fraction(self.borrowed_amount_sf.fraction() + debt);
        Ok(())
    }

    /// Puts `paid` units back against `settled` debt. The debt cannot fall
    /// below zero: the sum over obligations may be a few bits larger.
    ///
    /// # Errors
    /// 6007 when the pool would overflow.
    pub fn repay(&mut self, paid: u64, settled: Fraction) -> Result<()> {
        self.total_available_amount =
            self.total_available_amount.checked_add(paid).ok_or(KlendError::MathOverflow)?;
        self.borrowed_amount_sf
            .set_fraction(self.borrowed_amount_sf.fraction().saturating_sub(settled));
        Ok(())
    }
}

/// What cTokens are worth: `liquidity / supply` units each, one to one while
/// either is zero.
#[derive(Clone, Copy, Debug)]
pub struct CollateralRate {
    liquidity: Fraction,
    supply: u64,
}

impl CollateralRate {
    pub fn new(liquidity: Fraction, supply: u64) -> Self {
        if liquidity == Fraction::ZERO || supply == 0 {
            Self { liquidity: Fraction::ONE, supply: 1 }
        } else {
            Self { liquidity, supply }
        }
    }

    /// Liquidity units for `collateral` cTokens.
    pub fn to_liquidity(self, collateral: u64) -> Fraction {
        Fraction::from_int(collateral).mul_ratio(
            U256::from(self.liquidity.to_bits()),
            U256::from(self.supply) << crate::math::FRACTION_BITS,
        )
    }

    /// Liquidity units for `collateral` cTokens, in whole units, rounded up.
    pub fn to_liquidity_ceil(self, collateral: u64) -> u64 {
        let bits = div_ceil(
            U256::from(self.liquidity.to_bits()) * U256::from(collateral),
            U256::from(self.supply),
        );
        Fraction::from_bits(to_u128(bits)).ceil()
    }

    /// Whole cTokens for `liquidity` units, rounded down.
    pub fn to_collateral(self, liquidity: u64) -> u64 {
        let bits = ((U256::from(Fraction::from_int(liquidity).to_bits())
            * U256::from(self.supply))
            << crate::math::FRACTION_BITS)
            / U256::from(self.liquidity.to_bits());
        Fraction::from_bits(to_u128(bits)).floor()
    }

    /// Whole cTokens for `liquidity` units, rounded up.
    fn to_collateral_ceil(self, liquidity: u64) -> u64 {
        let bits = div_ceil(
            (U256::from(Fraction::from_int(liquidity).to_bits()) * U256::from(self.supply))
                << crate::math::FRACTION_BITS,
            U256::from(self.liquidity.to_bits()),
        );
        Fraction::from_bits(to_u128(bits)).ceil()
    }

    /// Most cTokens that `available` units can pay for.
    pub fn redeemable(self, available: u64) -> u64 {
        let rounded_up = self.to_collateral_ceil(available);
        if self.to_liquidity(rounded_up).floor() <= available {
            rounded_up
        } else {
            self.to_collateral(available)
        }
    }
}

impl Reserve {
    pub fn collateral_rate(&self) -> CollateralRate {
        CollateralRate::new(self.liquidity.total_supply(), self.collateral.mint_total_supply)
    }

    /// cTokens that the available liquidity can redeem, queued ones included.
    pub fn total_redeemable_collateral(&self) -> u64 {
        self.collateral_rate().redeemable(self.liquidity.total_available_amount)
    }

    /// cTokens that can be redeemed without touching what the withdraw queue
    /// has a claim on.
    pub fn freely_redeemable_collateral(&self) -> u64 {
        self.total_redeemable_collateral().saturating_sub(self.queued_collateral_amount)
    }

    /// Liquidity that is not spoken for by the withdraw queue.
    pub fn freely_available_liquidity(&self) -> u64 {
        let queued = self.collateral_rate().to_liquidity_ceil(self.queued_collateral_amount);
        self.liquidity.total_available_amount.saturating_sub(queued)
    }

    /// The cTokens that a deposit of at most `amount` buys, and how many units
    /// they really cost: a remainder that buys no cToken stays with the user.
    pub fn quote_deposit(&self, amount: u64) -> (u64, u64) {
        let rate = self.collateral_rate();
        let collateral = rate.to_collateral(amount);
        (collateral, rate.to_liquidity_ceil(collateral).min(amount))
    }

    /// Books a deposit. 6007 on overflow.
    pub fn deposit(&mut self, liquidity: u64, collateral: u64) -> Result<()> {
        let overflow = || ProgramError::from(KlendError::MathOverflow);
        self.liquidity.total_available_amount =
            self.liquidity.total_available_amount.checked_add(liquidity).ok_or_else(overflow)?;
        self.collateral.mint_total_supply =
            self.collateral.mint_total_supply.checked_add(collateral).ok_or_else(overflow)?;
        Ok(())
    }

    /// Books a redemption and returns the liquidity it pays, rounded down.
    ///
    /// # Errors
    /// 6008 when the pool cannot pay, 6007 when more cTokens are redeemed than
    /// exist.
    pub fn redeem(&mut self, collateral: u64) -> Result<u64> {
        let liquidity = self.collateral_rate().to_liquidity(collateral).floor();
        self.liquidity.total_available_amount = self
            .liquidity
            .total_available_amount
            .checked_sub(liquidity)
            .ok_or(KlendError::InsufficientLiquidity)?;
        self.collateral.mint_total_supply = self
            .collateral
            .mint_total_supply
            .checked_sub(collateral)
            .ok_or(KlendError::MathOverflow)?;
        Ok(liquidity)
    }

    /// Notes since when the deposits and the debt exceed their limits.
    pub fn update_limit_timestamps(&mut self, now: u64) {
        fn note(timestamp: &mut u64, exceeded: bool, now: u64) {
            if !exceeded {
                *timestamp = 0;
            } else if *timestamp == 0 {
                *timestamp = now;
            }
        }
        let liquidity = &mut self.liquidity;
        let over_deposit = liquidity.total_supply() > Fraction::from_int(self.config.deposit_limit);
        note(&mut liquidity.deposit_limit_crossed_timestamp, over_deposit, now);
        let debt = liquidity.borrowed_amount_sf.fraction();
        let over_borrow = debt > Fraction::from_int(self.config.borrow_limit);
        note(&mut liquidity.borrow_limit_crossed_timestamp, over_borrow, now);
    }
}

/// Direction of a flow that a [`WithdrawalCaps`] counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Flow {
    Out,
    In,
}

impl WithdrawalCaps {
    /// Counts a flow; inflows make room again and are never refused, and neither
    /// is an outflow of nothing. Without an interval flows are only counted.
    ///
    /// # Errors
    /// 6065 when the window starts in the future, 6064 when an outflow would
    /// exceed the capacity, 6049-like overflow as 6007.
    pub fn record(&mut self, flow: Flow, amount: u64, now: u64) -> Result<()> {
        let change = i64::try_from(amount).map_err(|_| KlendError::MathOverflow)?;
        let change = match flow {
            Flow::Out => change,
            Flow::In => -change,
        };
        if self.config_interval_length_seconds == 0 {
            self.current_total = self.current_total.saturating_add(change);
            return Ok(());
        }
        let elapsed = now
            .checked_sub(self.last_interval_start_timestamp)
            .ok_or(KlendError::LastTimestampGreaterThanCurrent)?;
        let in_window = elapsed < self.config_interval_length_seconds;
        let base = if in_window { self.current_total } else { 0 };
        let total = base.checked_add(change).ok_or(KlendError::MathOverflow)?;
        require(
            flow == Flow::In || amount == 0 || total <= self.config_capacity,
            KlendError::WithdrawalCapReached,
        )?;
        self.current_total = total;
        if !in_window {
            self.last_interval_start_timestamp = now;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        /// Redeeming everything redeemable never pays more than is there, and
        /// one cToken more would, or would pay the same whole units.
        #[test]
        fn redeemable_is_the_most_the_pool_can_pay(
            available in 1u64..1 << 50,
            lent in 0u64..1 << 50,
            supply in 1u64..1 << 50,
        ) {
            let total = Fraction::from_int(available + lent);
            let rate = CollateralRate::new(total, supply);
            let most = rate.redeemable(available);
            prop_assert!(rate.to_liquidity(most).floor() <= available);
            prop_assert!(rate.to_liquidity(most + 1).ceil() >= available);
        }

        #[test]
        fn a_deposit_never_buys_more_than_it_pays_for(
            liquidity in 1u64..1 << 50,
            supply in 1u64..1 << 50,
            amount in 0u64..1 << 40,
        ) {
            let rate = CollateralRate::new(Fraction::from_int(liquidity), supply);
            prop_assert!(rate.to_liquidity(rate.to_collateral(amount)).floor() <= amount);
        }
    }

    fn caps(capacity: i64, length: u64) -> WithdrawalCaps {
        WithdrawalCaps {
            config_capacity: capacity,
            current_total: 0,
            last_interval_start_timestamp: 100,
            config_interval_length_seconds: length,
        }
    }

    #[test]
    fn caps_limit_outflow_per_window_and_inflow_makes_room() {
        let mut caps = caps(10, 50);
        caps.record(Flow::Out, 10, 110).unwrap();
        assert_eq!(caps.record(Flow::Out, 1, 120), Err(KlendError::WithdrawalCapReached.into()));
        caps.record(Flow::In, 4, 130).unwrap();
        caps.record(Flow::Out, 4, 140).unwrap();
        caps.record(Flow::Out, 10, 150).unwrap();
        assert_eq!((caps.current_total, caps.last_interval_start_timestamp), (10, 150));
    }

    #[test]
    fn without_an_interval_flows_are_only_counted() {
        let mut caps = caps(0, 0);
        caps.record(Flow::Out, 7, 0).unwrap();
        caps.record(Flow::In, 9, 0).unwrap();
        assert_eq!((caps.current_total, caps.last_interval_start_timestamp), (-2, 100));
        caps.current_total = i64::MAX;
        caps.record(Flow::Out, 1, 0).unwrap();
        assert_eq!(caps.current_total, i64::MAX);
    }

    #[test]
    fn nothing_may_always_flow_out() {
        let mut caps = caps(-1, 50);
        caps.record(Flow::Out, 0, 110).unwrap();
        caps.current_total = 7;
        caps.record(Flow::Out, 0, 110).unwrap();
        assert_eq!(caps.record(Flow::Out, 1, 110), Err(KlendError::WithdrawalCapReached.into()));
    }

    #[test]
    fn a_window_in_the_future_is_refused() {
        assert_eq!(
            caps(10, 50).record(Flow::Out, 1, 99),
            Err(KlendError::LastTimestampGreaterThanCurrent.into())
        );
    }
}
