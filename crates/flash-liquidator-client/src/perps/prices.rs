//! What the exchanges' oracles say.

use std::collections::BTreeMap;

use solana_address::Address;

use super::{
    Exchange, PerpError,
    arithmetic::{MILLION, Result, fits},
    layout::{discriminator, oracle_source},
    read::is,
};
use crate::swap::field;

/// Prices in millionths of a dollar, by oracle.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Prices(BTreeMap<Address, i64>);

impl Prices {
    /// These prices.
    #[must_use]
    pub fn new(prices: impl IntoIterator<Item = (Address, i64)>) -> Self {
        Self(prices.into_iter().collect())
    }

    /// Reads an oracle of one of the kinds that the exchanges own themselves (Pyth
    /// Lazer, markets before their launch). `kind` is the market's `oracle_source`.
    ///
    /// # Errors
    /// [`PerpError::OracleKind`] for any other kind: [`Self::set`] its price;
    /// [`PerpError::NotA`]; [`PerpError::Overflow`].
    pub fn read(&mut self, oracle: &Address, kind: u8, owner: &Address, data: &[u8]) -> Result<()> {
        let refused = PerpError::NotA { what: "oracle", address: *oracle };
        let price = |at| i64::from_le_bytes(field(data, at));
        let is = |discriminator: &[u8; 8], len| {
            Exchange::of(owner).is_some_and(|exchange| is(exchange, data, discriminator, len))
        };
        let price = match kind {
            oracle_source::PRELAUNCH if is(&discriminator::PRELAUNCH_ORACLE, 120) => price(8),
            oracle_source::PYTH_LAZER..=oracle_source::PYTH_LAZER_STABLE_COIN
                if is(&discriminator::PYTH_LAZER_ORACLE, 48) =>
            {
                let exponent = i32::from_le_bytes(field(data, 32));
                let confidence = u64::from_le_bytes(field(data, 40));
                lazer_price(kind, price(8), exponent, confidence)?
            }
            oracle_source::PRELAUNCH
            | oracle_source::PYTH_LAZER..=oracle_source::PYTH_LAZER_STABLE_COIN => {
                return Err(refused);
            }
            kind => return Err(PerpError::OracleKind { oracle: *oracle, kind }),
        };
        self.set(*oracle, price);
        Ok(())
    }

    /// Sets a price, in millionths of a dollar.
    pub fn set(&mut self, oracle: Address, price: i64) {
        self.0.insert(oracle, price);
    }

    /// One dollar where there is no oracle.
    pub(super) fn get(&self, oracle: Option<Address>) -> Result<i128> {
        let Some(oracle) = oracle else { return Ok(MILLION as i128) };
        let price = self.0.get(&oracle).ok_or(PerpError::PriceMissing { oracle })?;
        fits(u64::try_from(*price).map_err(|_| PerpError::Overflow)?)
    }
}

/// A price that is posted as a whole number and an exponent.
fn lazer_price(kind: u8, price: i64, exponent: i32, confidence: u64) -> Result<i64> {
    let multiple = match kind {
        oracle_source::PYTH_LAZER_1K => 1_000,
        oracle_source::PYTH_LAZER_1M => MILLION,
        _ => 1,
    };
    let precision =
        10u128.checked_pow(exponent.unsigned_abs()).ok_or(PerpError::Overflow)? / multiple;
    let scaled = |number: i128| {
        if precision > MILLION {
            Some(number / (precision / MILLION) as i128)
        } else {
            number.checked_mul(MILLION.checked_div(precision)? as i128)
        }
    };
    let price: i64 = fits(scaled(price.into()).ok_or(PerpError::Overflow)?)?;
    let confidence: i64 = fits(scaled(confidence.into()).ok_or(PerpError::Overflow)?)?;
    let is_stable = kind == oracle_source::PYTH_LAZER_STABLE_COIN
        && (i128::from(price) - MILLION as i128).abs() <= i128::from(confidence.min(500));
    Ok(if is_stable { MILLION as i64 } else { price })
}
