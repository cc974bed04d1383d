//! Arrays of ticks, which hold liquidity and limit orders.

use ethnum::U256;

use super::{ClmmPool, PROGRAM_ID, TICKS_PER_ARRAY};
use crate::{
    account::{Accounts, Kind, Known},
    concentrated::{Range, after_fee, fee_on_top, fee_within},
    error::VenueError,
    ladder::{Step, Whole},
};

// `account:TickArrayState`.
pub(super) const ARRAY: Kind =
    Kind::marked("tick array", PROGRAM_ID, [192, 155, 85, 205, 49, 249, 129, 42], 10_240);
const TICKS: usize = 44;
const TICK_LEN: usize = 168;

/// A tick that has something in it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Tick {
    pub index: i32,
    /// Liquidity that is added where the price crosses it upwards; `None` where none
    /// begins or ends.
    pub net: Option<i128>,
    /// What limit orders sell here, raw units.
    pub orders: u64,
}

/// The ticks of array `number`, lowest first; `None` if nobody has read it.
pub(super) fn ticks(
    pool: &ClmmPool,
    number: i32,
    accounts: &dyn Accounts,
) -> Result<Option<Vec<Tick>>, VenueError> {
    let key = pool.tick_array(number);
    if matches!(accounts.known(&key), Known::Unread) {
        return Ok(None);
    }
    let data = ARRAY.of_pool(&pool.pool, &key, accounts)?;
    let actual = data.key(8);
    if actual != pool.pool {
        let what = ARRAY.what;
        return Err(VenueError::OtherPool { pool: pool.pool, account: key, what, actual });
    }
    let mut found = Vec::new();
    for n in 0..TICKS_PER_ARRAY as usize {
        let at = TICKS + n * TICK_LEN;
        let net = (data.u128(at + 20) != 0).then(|| data.i128(at + 4));
        let orders = data.u64(at + 124).checked_add(data.u64(at + 132));
        let orders =
            orders.ok_or(VenueError::Overflow { pool: pool.pool, what: "limit orders" })?;
        if net.is_some() || orders > 0 {
            found.push(Tick { index: data.i32(at), net, orders });
        }
    }
    Ok(Some(found))
}

/// What happens between two prices, or at one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum ClmmStep {
    Range(Range),
    Orders(Orders),
}

impl From<Range> for ClmmStep {
    fn from(range: Range) -> Self {
        Self::Range(range)
    }
}

impl Step for ClmmStep {
    fn part(&self, amount: u64) -> Option<u64> {
        match self {
            Self::Range(range) => range.part(amount),
            Self::Orders(orders) => orders.part(amount),
        }
    }
}

/// Limit orders at one tick.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Orders {
    /// What they sell, raw units.
    amount: u64,
    /// Second per first token, in units of 2⁻⁶⁴.
    price: u128,
    /// Whether they buy the first token.
    down: bool,
    fee: u32,
    fee_on_input: bool,
}

impl Orders {
    /// `None` where the price has more than 128 bits.
    pub fn new(
        amount: u64,
        sqrt_price: u128,
        down: bool,
        fee: u32,
        fee_on_input: bool,
    ) -> Option<Self> {
        let square = U256::from(sqrt_price) * U256::from(sqrt_price);
        let up = U256::from(if down { 0u64 } else { u64::MAX });
        let price = u128::try_from((square + up) >> 64).ok()?;
        Some(Self { amount, price, down, fee, fee_on_input })
    }

    /// What they sell for `net`.
    fn sold_for(&self, net: u64) -> Option<u128> {
        if self.down {
            u128::try_from((U256::from(net) * U256::from(self.price)) >> 64).ok()
        } else {
            (u128::from(net) << 64).checked_div(self.price)
        }
    }

    /// What they take for `sold`.
    fn price_of(&self, sold: u128) -> Option<u64> {
        let taken = if self.down {
            let (dividend, price) = (U256::from(sold) << 64, U256::from(self.price.max(1)));
            u128::try_from((dividend + price - U256::ONE) / price).ok()?
        } else {
            let whole = U256::from(sold) * U256::from(self.price) + U256::from(u64::MAX);
            u128::try_from(whole >> 64).ok()?
        };
        u64::try_from(taken).ok()
    }

    /// The input with which `net` is left after the fee.
    fn gross(&self, net: u64) -> Option<u64> {
        if self.fee_on_input {
            u64::try_from(u128::from(net) + fee_on_top(net, self.fee)).ok()
        } else {
            Some(net)
        }
    }

    fn after_fee_on_output(&self, sold: u64) -> u64 {
        if self.fee_on_input { sold } else { sold - fee_within(sold, self.fee) }
    }

    pub fn whole(&self) -> Whole {
        // They are used up only by what would buy more than they have.
        let needs = self.price_of(u128::from(self.amount) + 1).and_then(|net| self.gross(net));
        let takes = self.price_of(self.amount.into()).and_then(|net| self.gross(net));
        let pays = self.after_fee_on_output(self.amount);
        Whole { needs: takes.and(needs), takes: takes.unwrap_or(0), pays }
    }
}

impl Step for Orders {
    fn part(&self, amount: u64) -> Option<u64> {
        let net = if self.fee_on_input { after_fee(amount, self.fee) } else { amount };
        let sold = u64::try_from(self.sold_for(net)?).ok()?;
        Some(self.after_fee_on_output(sold))
    }
}
