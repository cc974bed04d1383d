//! Arrays of bins, which hold liquidity and limit orders.

use ethnum::U256;

use super::{BILLION, BINS_PER_ARRAY, DlmmPool, PROGRAM_ID};
use crate::{
    account::{Accounts, Kind, Known},
    error::VenueError,
    ladder::{Step, Whole},
};

// `account:BinArray`.
pub(super) const ARRAY: Kind =
    Kind::marked("bin array", PROGRAM_ID, [92, 142, 92, 220, 5, 148, 70, 181], 10_136);
const BINS: usize = 56;
const BIN_LEN: usize = 144;

/// What a bin sells.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Bin {
    pub id: i32,
    /// Second per first token, in units of 2⁻⁶⁴.
    pub price: u128,
    /// The pool's own liquidity, then limit orders that are partly filled, then the
    /// others; raw units.
    pub layers: [u64; 3],
}

/// The bins of array `number` in the order of a swap; `None` if nobody has read it.
pub(super) fn bins(
    pool: &DlmmPool,
    number: i32,
    down: bool,
    accounts: &dyn Accounts,
) -> Result<Option<Vec<Bin>>, VenueError> {
    let key = pool.bin_array(number);
    if matches!(accounts.known(&key), Known::Unread) {
        return Ok(None);
    }
    let data = ARRAY.of_pool(&pool.pool, &key, accounts)?;
    let actual = data.key(24);
    if actual != pool.pool {
        let what = ARRAY.what;
        return Err(VenueError::OtherPool { pool: pool.pool, account: key, what, actual });
    }
    let bin = |n: i32| {
        let at = BINS + n as usize * BIN_LEN;
        let id = number * BINS_PER_ARRAY + n;
        let own = data.u64(if down { at + 8 } else { at });
        // Orders that ask sell the first token, those that bid the second.
        let asks = data.u8(at + 140) != 0;
        let orders = if pool.limit_orders && asks != down {
            [data.u64(at + 128), data.u64(at + 112)]
        } else {
            [0; 2]
        };
        let layers = [own, orders[0], orders[1]];
        let stored = data.u128(at + 16);
        let price = if stored == 0 && layers != [0; 3] {
            price(id, pool.bin_step)
                .ok_or(VenueError::Overflow { pool: pool.pool, what: "the price of a bin" })?
        } else {
            stored
        };
        Ok(Bin { id, price, layers })
    };
    let mut found = (0..BINS_PER_ARRAY).map(bin).collect::<Result<Vec<_>, VenueError>>()?;
    if down {
        found.reverse();
    }
    Ok(Some(found))
}

/// A bin's price, `(1 + bin_step / 10,000) ^ id`, in units of 2⁻⁶⁴: by squares of the
/// factor or of its inverse, whichever is below one, each rounded down.
pub(super) fn price(id: i32, bin_step: u16) -> Option<u128> {
    const ONE: u128 = 1 << 64;
    if id == 0 {
        return Some(ONE);
    }
    let mut square = u128::MAX / (ONE + (u128::from(bin_step) << 64) / 10_000);
    let mut left = id.unsigned_abs();
    let mut power = ONE;
    while left > 0 {
        if left & 1 == 1 {
            power = power.checked_mul(square)? >> 64;
        }
        square = square.checked_mul(square)? >> 64;
        left >>= 1;
    }
    if id > 0 { u128::MAX.checked_div(power) } else { Some(power).filter(|price| *price > 0) }
}

/// A swap within one bin.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct BinStep {
    pub layers: [u64; 3],
    pub price: u128,
    /// Whether it buys the first token.
    pub down: bool,
    /// In billionths.
    pub fee: u64,
    pub fee_on_input: bool,
}

/// The fee within an amount, rounded up.
fn fee_within(amount: u64, fee: u64) -> u64 {
    (u128::from(amount) * u128::from(fee)).div_ceil(u128::from(BILLION)) as u64
}

impl BinStep {
    /// What `net` buys.
    fn bought(&self, net: u64) -> Option<u64> {
        let bought = if self.down {
            u128::try_from((U256::from(net) * U256::from(self.price)) >> 64).ok()?
        } else {
            (u128::from(net) << 64).checked_div(self.price)?
        };
        u64::try_from(bought).ok()
    }

    /// What `amount` costs, rounded up.
    fn cost(&self, amount: u64) -> Option<u64> {
        let cost = if self.down {
            let shifted = u128::from(amount) << 64;
            if self.price == 0 {
                return None;
            }
            shifted.div_ceil(self.price)
        } else {
            let whole = U256::from(amount) * U256::from(self.price) + U256::from(u64::MAX);
            u128::try_from(whole >> 64).ok()?
        };
        u64::try_from(cost).ok()
    }

    /// The least input of which `net` is left after the fee.
    fn gross(&self, net: u64) -> Option<u64> {
        if !self.fee_on_input {
            return Some(net);
        }
        let fee = u128::from(net) * u128::from(self.fee);
        let fee = fee.div_ceil(u128::from(BILLION - self.fee));
        u64::try_from(u128::from(net) + fee).ok()
    }

    fn after_fee_on_output(&self, bought: u64) -> u64 {
        if self.fee_on_input { bought } else { bought - fee_within(bought, self.fee) }
    }

    pub fn whole(&self) -> Whole {
        let sum = |amounts: [Option<u64>; 3]| {
            amounts.into_iter().try_fold(0u64, |sum, amount| sum.checked_add(amount?))
        };
        let takes = sum(self.layers.map(|layer| self.cost(layer)));
        let pays = sum(self.layers.map(Some));
        let (Some(net), Some(pays)) = (takes, pays) else {
            return Whole { needs: None, takes: 0, pays: 0 };
        };
        // It is passed by what leaves something for the next.
        let needs = net.checked_add(1).and_then(|net| self.gross(net));
        match (needs, self.gross(net)) {
            (Some(_), Some(takes)) => Whole { needs, takes, pays: self.after_fee_on_output(pays) },
            _ => Whole { needs: None, takes: 0, pays: 0 },
        }
    }
}

impl Step for BinStep {
    fn part(&self, amount: u64) -> Option<u64> {
        let mut left =
            if self.fee_on_input { amount - fee_within(amount, self.fee) } else { amount };
        let mut bought = 0u64;
        for layer in self.layers.into_iter().filter(|layer| *layer > 0) {
            let cost = self.cost(layer)?;
            if left < cost {
                bought = bought.checked_add(self.bought(left)?)?;
                break;
            }
            left -= cost;
            bought = bought.checked_add(layer)?;
        }
        Some(self.after_fee_on_output(bought))
    }
}
