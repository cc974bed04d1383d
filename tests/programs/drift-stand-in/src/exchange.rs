//! How much of a liability changes hands in `liquidate_spot` and
//! `liquidate_perp_pnl_for_deposit`, and how much of a deposit with it.

use crate::{
    error::{Error, Result, require},
    state::WEIGHT_PRECISION,
};

/// Fees and prices are in millionths.
const MILLION: u128 = 1_000_000;

/// One side.
#[derive(Clone, Copy, Debug)]
pub struct Side {
    /// Units that the user has or owes.
    pub units: u128,
    /// Price of a token.
    pub price: u128,
    /// Decimals of the token.
    pub decimals: u32,
    /// What it counts for before a liquidation, in ten-thousandths.
    pub weight: u128,
    /// Liquidator's discount, in millionths.
    pub fee: u32,
}

/// An exchange of a deposit for a liability.
#[derive(Clone, Copy, Debug)]
pub struct Exchange {
    /// The deposit.
    pub asset: Side,
    /// The liability; its weight has the buffer in it.
    pub liability: Side,
    /// What the insurance fund takes of the liability, in millionths.
    pub insurance: u128,
}

/// Ten to the decimals that the first has above the second, or one.
fn scale(more: u32, fewer: u32) -> u128 {
    10u128.pow(more.saturating_sub(fewer))
}

fn product<const N: usize>(factors: [u128; N]) -> Result<u128> {
    let product = factors.into_iter().try_fold(1u128, u128::checked_mul);
    product.ok_or_else(|| Error::MathError.into())
}

fn quotient(number: u128, by: u128) -> Result<u128> {
    number.checked_div(by).ok_or_else(|| Error::MathError.into())
}

impl Exchange {
    /// A unit of the asset counts this much when it is paid, in millionths.
    fn premium(&self) -> u128 {
        MILLION + u128::from(self.asset.fee)
    }

    /// A unit of the liability counts this much when it is taken over, in millionths.
    fn discount(&self) -> u128 {
        MILLION.saturating_sub(self.liability.fee.into())
    }

    /// What the insurance fund takes at most `most` of: what weights, discounts and the
    /// market's part of the shortage leave.
    pub fn insurance(&self, part_of_shortage: u128, most: u32) -> Result<u128> {
        let (asset, liability) = (&self.asset, &self.liability);
        if asset.weight >= liability.weight || liability.price == 0 || liability.units == 0 {
            return Ok(0);
        }
        let [asset_weight, weight] =
            [asset.weight, liability.weight].map(|weight| weight * (MILLION / WEIGHT_PRECISION));
        let paid = quotient(product([asset_weight, self.premium()])?, self.discount())?;
        let missing = product([part_of_shortage, MILLION, scale(liability.decimals, 0)])?;
        let missing = quotient(quotient(missing, liability.units)?, liability.price)?;
        let left = weight.saturating_sub(paid).saturating_sub(missing);
        Ok(quotient(product([left, MILLION])?, weight)?.min(most.into()))
    }

    /// Units of the liability whose exchange covers a shortage; all there are when it
    /// cannot be covered so.
    pub fn covering(&self, shortage: u128) -> Result<u128> {
        let (asset, liability) = (&self.asset, &self.liability);
        let weight = liability.weight * 10;
        let paid = quotient(product([asset.weight * 10, self.premium()])?, self.discount())?;
        if asset.weight >= liability.weight || paid >= weight {
            return Ok(u128::MAX);
        }
        let fee = product([liability.price, self.insurance])? / MILLION;
        let freed = product([liability.price, weight - paid])?
            .checked_sub(product([fee, weight])?)
            .ok_or(Error::MathError)?;
        let shortage = product([shortage, scale(liability.decimals, 6), MILLION * 100_000])?;
        Ok((quotient(shortage, freed)? / scale(6, liability.decimals)).max(1))
    }

    /// What is exchanged: units of the liability and of the asset. At most `asked`, and
    /// at most `allowed` unless it is `small`. 6220 when it comes to nothing, 6156 when
    /// the limit is not met.
    pub fn units(
        &self,
        asked: u128,
        allowed: u128,
        small: bool,
        limit_price: Option<u64>,
    ) -> Result<(u128, u128)> {
        let (asset, liability) = (&self.asset, &self.liability);
        let [up, down] =
            [scale(liability.decimals, asset.decimals), scale(asset.decimals, liability.decimals)];
        let all = product([asset.units, up, asset.price, self.discount()])?;
        let all = all.div_ceil(product([liability.price, self.premium()])?.max(1)).div_ceil(down);
        let allowed = if small { allowed.max(liability.units) } else { allowed };
        let taken = asked.min(liability.units).min(allowed).min(all);
        let paid = product([taken, down, liability.price, self.premium()])?;
        let paid = quotient(paid, product([asset.price, self.discount()])?)? / up;
        let mut paid = paid.max(1);
        // What is left of less than a dollar goes with it.
        let left = product([paid.abs_diff(asset.units), asset.price])? / MILLION;
        let left = product([left, scale(asset.decimals, 6)])? / scale(6, asset.decimals);
        if left < MILLION {
            paid = asset.units;
        }
        require(taken > 0 && paid > 0, Error::InvalidLiquidation)?;
        if let Some(limit_price) = limit_price {
            let price = product([paid, scale(liability.decimals, 0), MILLION])?;
            let price = price / product([taken, scale(asset.decimals, 0)])?;
            require(price >= limit_price.into(), Error::LiquidationDoesntSatisfyLimitPrice)?;
        }
        Ok((taken, paid))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// 10.5 SOL at 150 dollars against 1,500 USDC.
    const EXCHANGE: Exchange = Exchange {
        asset: Side {
            units: 10_500_000_000,
            price: 150_000_000,
            decimals: 9,
            weight: 9_000,
            fee: 50_000,
        },
        liability: Side {
            units: 1_500_000_000,
            price: 1_000_000,
            decimals: 6,
            weight: 10_200,
            fee: 0,
        },
        insurance: 0,
    };

    #[test]
    fn a_liability_is_exchanged_for_more_than_its_worth() {
        // 1,500 USDC are 10 SOL; 5 % on top.
        let all = u128::MAX;
        assert_eq!(EXCHANGE.units(all, all, false, None), Ok((1_500_000_000, 10_500_000_000)));
        assert_eq!(EXCHANGE.units(150_000_000, all, false, None), Ok((150_000_000, 1_050_000_000)));
        // A SOL for 142.857143 USDC: 0.007 of it for one.
        assert!(EXCHANGE.units(all, all, false, Some(7_000)).is_ok());
        let refused = Err(Error::LiquidationDoesntSatisfyLimitPrice.into());
        assert_eq!(EXCHANGE.units(all, all, false, Some(7_001)), refused);
    }

    #[test]
    fn a_shortage_is_covered_by_what_the_exchange_frees() {
        // 1.02 for the debt, 0.9 * 1.05 for the deposit: 0.075 a dollar.
        assert_eq!(EXCHANGE.covering(75_000_000), Ok(1_000_000_000));
    }
}
