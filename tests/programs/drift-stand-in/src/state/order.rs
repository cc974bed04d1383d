//! Orders that rest in a user's account. Drift only: Velocity's rest on a book of their
//! own.

use super::Number;

/// Side of an order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BookSide {
    /// Buys.
    Bid = 0,
    /// Sells.
    Ask = 1,
}

/// A limit order of a perp market that only makes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Order {
    /// Slot that it was placed in.
    pub slot: u64,
    /// Millionths of a dollar.
    pub price: u64,
    /// Size.
    pub base: u64,
    /// How much of it is filled.
    pub filled: u64,
    /// Perp market.
    pub market: u16,
    /// Side.
    pub side: BookSide,
}

/// Orders that a user has room for.
pub const ORDERS: usize = 32;

const FIRST: usize = 1_192;
const LEN: usize = 96;
const OPEN: u8 = 1;
const LIMIT: u8 = 1;
const PERP: u8 = 1;

impl Order {
    /// The order in a slot of Drift's user account, if it rests there.
    pub fn read(user: &[u8], slot: usize) -> Option<Self> {
        let data = &user[FIRST + slot * LEN..][..LEN];
        let [status, order_type, market_type] = [data[82], data[83], data[84]];
        let only_makes = data[89] == 1;
        let rests = (status, order_type, market_type) == (OPEN, LIMIT, PERP) && only_makes;
        rests.then(|| Self {
            slot: u64::read(data, 0),
            price: u64::read(data, 8),
            base: u64::read(data, 16),
            filled: u64::read(data, 24),
            market: u16::read(data, 80),
            side: if data[87] == 0 { BookSide::Bid } else { BookSide::Ask },
        })
    }

    /// Writes it into a slot.
    pub fn write(&self, user: &mut [u8], slot: usize) {
        let data = &mut user[FIRST + slot * LEN..][..LEN];
        for (at, number) in [(0, self.slot), (8, self.price), (16, self.base), (24, self.filled)] {
            number.write(data, at);
        }
        self.market.write(data, 80);
        let is_filled = self.filled >= self.base;
        data[82..85].copy_from_slice(&[if is_filled { 2 } else { OPEN }, LIMIT, PERP]);
        data[87] = self.side as u8;
        data[89] = 1;
    }

    /// What of it is not filled.
    pub fn left(&self) -> u64 {
        self.base - self.filled.min(self.base)
    }
}
