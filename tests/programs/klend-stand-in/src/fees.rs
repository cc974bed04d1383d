//! Fees on loans.

use crate::{
    error::{KlendError, Result, require},
    math::Fraction,
};

/// Fee on a loan of `principal` units, on top of it.
///
/// `rate_sf` is the rate in units of `2^-60`. A rate of zero costs nothing;
/// any other costs at least one unit, rounds half up, and must leave the fee
/// below the principal.
///
/// # Errors
/// 6012 when the fee reaches the principal.
pub fn loan_fee(principal: u64, rate_sf: u64) -> Result<u64> {
    if rate_sf == 0 {
        return Ok(0);
    }
    let principal = Fraction::from_int(principal);
    if principal == Fraction::ZERO {
        return Ok(0);
    }
    let fee = (principal * Fraction::from_bits(rate_sf.into())).max(Fraction::ONE);
    require(fee < principal, KlendError::BorrowTooSmall)?;
    Ok(fee.round())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// 0.001 %.
    const RATE: u64 = 11_529_215_046_068;

    #[test]
    fn fee_is_at_least_one_unit_and_rounds_half_up() {
        for (principal, fee) in [
            (2, 1),
            (100_000, 1),
            (150_000, 1),
            (1_000_000, 10),
            (1_000_000_000, 10_000),
            (20_000_000_000, 200_000),
            (1_000_000_000_000, 10_000_000),
        ] {
            assert_eq!(loan_fee(principal, RATE), Ok(fee), "{principal}");
        }
    }

    #[test]
    fn a_fee_that_reaches_the_principal_is_refused() {
        assert_eq!(loan_fee(1, RATE), Err(KlendError::BorrowTooSmall.into()));
    }

    #[test]
    fn a_free_loan_costs_nothing() {
        assert_eq!(loan_fee(1, 0), Ok(0));
        assert_eq!(loan_fee(0, RATE), Ok(0));
    }
}
