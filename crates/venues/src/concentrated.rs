//! Liquidity over a range of prices, as Orca's Whirlpools and Raydium's CLMM compute it.
//!
//! Prices are square roots of second per first token, in units of 2⁻⁶⁴. Between two
//! ticks a pool with liquidity `L` holds `L / √p` of the first token and `L · √p` of
//! the second; both programs round what they take up and what they pay down, in the
//! same places. A fee is a part of the input (or, in some CLMM pools, of the output),
//! in millionths.
//!
//! Fees may follow volatility: the further the price has gone from where it was a
//! while ago, counted in groups of ticks, the more each further group costs. That
//! depends on the way, not on the amount, so it is a matter of more steps.

use ethnum::U256;

use crate::ladder::{Ladder, Step, Whole};

/// A fee's whole.
pub(crate) const MILLION: u32 = 1_000_000;
/// The end of the scale of ticks on either side, and of prices.
pub(crate) const MAX_TICK: i32 = 443_636;
pub(crate) const MIN_SQRT_PRICE: u128 = 4_295_048_016;

/// A part of the scale with one liquidity and one fee.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Range {
    /// Price at which it is entered.
    pub from: u128,
    /// Price at which it is left.
    pub to: u128,
    pub liquidity: u128,
    /// In millionths.
    pub fee: u32,
    pub fee_on_input: bool,
}

/// An amount that may be too large for its program.
enum Amount {
    Fits(u64),
    /// More than 64 bits.
    Large,
}

/// What is left of `amount` after a fee on it.
pub(crate) fn after_fee(amount: u64, fee: u32) -> u64 {
    (u128::from(amount) * u128::from(MILLION - fee) / u128::from(MILLION)) as u64
}

/// The fee on top of `net`, rounded up.
pub(crate) fn fee_on_top(net: u64, fee: u32) -> u128 {
    (u128::from(net) * u128::from(fee)).div_ceil(u128::from(MILLION - fee))
}

/// The fee within `gross`, rounded up.
pub(crate) fn fee_within(gross: u64, fee: u32) -> u64 {
    (u128::from(gross) * u128::from(fee)).div_ceil(u128::from(MILLION)) as u64
}

/// `a · b · 2⁶⁴ / divisor`, rounded up or down, if it has 128 bits.
fn mul_div(a: u128, b: u128, divisor: U256, up: bool) -> Option<u128> {
    let product = U256::from(a) * U256::from(b);
    let (whole, rest) = if product >> 192 == U256::ZERO {
        div_rem(product << 64, divisor)
    } else {
        // In two steps, as by hand.
        let (high, rest) = div_rem(product, divisor);
        if rest >> 192 != U256::ZERO || high >> 64 != U256::ZERO {
            return None;
        }
        let (low, rest) = div_rem(rest << 64, divisor);
        ((high << 64) + low, rest)
    };
    u128::try_from(whole).ok()?.checked_add(u128::from(up && rest != U256::ZERO))
}

fn div_rem(dividend: U256, divisor: U256) -> (U256, U256) {
    let whole = dividend / divisor;
    (whole, dividend - whole * divisor)
}

impl Range {
    const fn downwards(&self) -> bool {
        self.to < self.from
    }

    /// First tokens between two prices.
    fn first(&self, price: u128, up: bool) -> Amount {
        let (low, high) = (price.min(self.from), price.max(self.from));
        if low == high || self.liquidity == 0 {
            return Amount::Fits(0);
        }
        let divisor = U256::from(low) * U256::from(high);
        fits(mul_div(self.liquidity, high - low, divisor, up))
    }

    /// Second tokens between two prices.
    fn second(&self, price: u128, up: bool) -> Amount {
        let product = U256::from(self.liquidity) * U256::from(price.abs_diff(self.from));
        let whole = u128::try_from(product >> 64).ok();
        let more = up && product.as_u64() != 0;
        fits(whole.and_then(|whole| whole.checked_add(u128::from(more))))
    }

    fn taken(&self, to: u128) -> Amount {
        if self.downwards() { self.first(to, true) } else { self.second(to, true) }
    }

    fn paid(&self, to: u128) -> Amount {
        if self.downwards() { self.second(to, false) } else { self.first(to, false) }
    }

    /// The price after `amount`, without a fee, has been taken.
    fn price_after(&self, amount: u64) -> Option<u128> {
        if amount == 0 {
            return Some(self.from);
        }
        if self.downwards() {
            let divisor =
                (U256::from(self.liquidity) << 64) + U256::from(amount) * U256::from(self.from);
            mul_div(self.liquidity, self.from, divisor, true)
        } else {
            self.from.checked_add((u128::from(amount) << 64).checked_div(self.liquidity)?)
        }
    }

    /// The price after `amount`, of which a fee may be taken, which does not pass the range.
    pub fn price_within(&self, amount: u64) -> Option<u128> {
        self.price_after(if self.fee_on_input { after_fee(amount, self.fee) } else { amount })
    }

    /// What passing the range takes and pays.
    pub fn whole(&self) -> Whole {
        let impassable = Whole { needs: None, takes: 0, pays: 0 };
        let (Amount::Fits(taken), Amount::Fits(paid)) = (self.taken(self.to), self.paid(self.to))
        else {
            return impassable;
        };
        let (takes, pays) = if self.fee_on_input {
            (u128::from(taken) + fee_on_top(taken, self.fee), paid)
        } else {
            (u128::from(taken), paid - fee_within(paid, self.fee))
        };
        match u64::try_from(takes) {
            Ok(takes) => Whole { needs: Some(takes), takes, pays },
            Err(_) => impassable,
        }
    }
}

fn fits(amount: Option<u128>) -> Amount {
    amount.and_then(|amount| u64::try_from(amount).ok()).map_or(Amount::Large, Amount::Fits)
}

impl Step for Range {
    fn part(&self, amount: u64) -> Option<u64> {
        let Amount::Fits(paid) = self.paid(self.price_within(amount)?) else { return None };
        Some(if self.fee_on_input { paid } else { paid - fee_within(paid, self.fee) })
    }
}

/// A fee that follows volatility.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Volatility {
    /// Fee without any, in millionths.
    pub base: u32,
    /// How much volatility costs.
    pub control: u32,
    /// Ticks in a group.
    pub group: i32,
    /// Most volatility that counts, in ten-thousandths of a group.
    pub cap: u32,
    /// What was left of it when the swap began.
    pub reference: u32,
    /// Group that distance is counted from.
    pub origin: i32,
    /// The highest fee.
    pub most: u32,
    /// What the program does where the fee cannot grow any further.
    pub flat: Flat,
}

/// How a program takes the groups in which the fee stays the same.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Flat {
    /// From the first group with the highest volatility on, at one go to the next tick.
    AtCap,
    /// As [`Flat::AtCap`], but from the group behind that, and back into the range
    /// where fees differ it stops at its edge.
    BehindCap,
}

/// Where a step ends, ticks between aside.
enum Bound {
    /// At the next tick.
    None,
    /// At the edge of the group.
    Group(i32),
    /// At the edge of the range where fees differ.
    Range(i32),
}

/// What one group of distance adds to volatility.
pub(crate) const PER_GROUP: u32 = 10_000;

impl Volatility {
    fn at(&self, group: i32) -> u32 {
        let distance = u64::from(self.origin.abs_diff(group));
        let sum = u64::from(self.reference) + distance * u64::from(PER_GROUP);
        sum.min(u64::from(self.cap)) as u32
    }

    /// Where a step in this group ends, as a tick.
    fn bound(&self, group: i32, down: bool) -> Bound {
        let edge = |group: i32| group.saturating_mul(self.group).clamp(-MAX_TICK, MAX_TICK);
        let next = if down { group } else { group.saturating_add(1) };
        match self.flat {
            Flat::AtCap if self.at(group) == self.cap => Bound::None,
            Flat::BehindCap if self.control == 0 => Bound::None,
            Flat::BehindCap => {
                let reach = self.cap.saturating_sub(self.reference).div_ceil(PER_GROUP);
                let reach = i32::try_from(reach).unwrap_or(i32::MAX);
                let (lowest, highest) =
                    (self.origin.saturating_sub(reach), self.origin.saturating_add(reach));
                match (down, group > highest, group < lowest) {
                    (_, false, false) => Bound::Group(edge(next)),
                    (true, true, _) => Bound::Range(edge(highest.saturating_add(1))),
                    (false, _, true) => Bound::Range(edge(lowest)),
                    _ => Bound::None,
                }
            }
            Flat::AtCap => Bound::Group(edge(next)),
        }
    }

    /// The fee in a group, in millionths.
    fn fee(&self, volatility: u32) -> u32 {
        let ticks = u128::from(volatility) * u128::from(self.group.unsigned_abs());
        let whole = 100_000 * u128::from(PER_GROUP) * u128::from(PER_GROUP);
        // Ticks have 48 bits, the factor 32: the product fits.
        let added = (u128::from(self.control) * ticks * ticks).div_ceil(whole);
        u32::try_from(added).unwrap_or(u32::MAX).saturating_add(self.base).min(self.most)
    }
}

/// How a pool's fee comes about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fee {
    /// In millionths.
    Static(u32),
    /// By volatility, in the group where the price is.
    Volatile(Volatility, i32),
}

/// Builds a ladder along the ticks of a pool.
#[derive(Debug)]
pub(crate) struct Walk<S> {
    /// The steps so far.
    pub ladder: Ladder<S>,
    /// Whether the price goes down: the first token is sold.
    pub down: bool,
    pub price: u128,
    pub liquidity: u128,
    pub fee: Fee,
    pub fee_on_input: bool,
    /// The program's own price of a tick.
    pub sqrt_price: fn(i32) -> u128,
}

impl<S: Step + From<Range>> Walk<S> {
    /// Goes on to a tick, or to `limit` if that is nearer.
    ///
    /// Returns the fee at its end.
    pub fn advance(&mut self, tick: i32, limit: u128) -> u32 {
        let at_tick = (self.sqrt_price)(tick);
        let target = if self.down { at_tick.max(limit) } else { at_tick.min(limit) };
        loop {
            let (fee, bound) = match self.fee {
                Fee::Static(fee) => (fee, Bound::None),
                Fee::Volatile(volatility, group) => {
                    let even = self.liquidity == 0;
                    let bound = if even { Bound::None } else { volatility.bound(group, self.down) };
                    (volatility.fee(volatility.at(group)), bound)
                }
            };
            let to = match bound {
                Bound::Group(edge) | Bound::Range(edge) => {
                    let edge = (self.sqrt_price)(edge);
                    if self.down { edge.max(target) } else { edge.min(target) }
                }
                Bound::None => target,
            };
            if to != self.price {
                let (from, liquidity, fee_on_input) =
                    (self.price, self.liquidity, self.fee_on_input);
                let range = Range { from, to, liquidity, fee, fee_on_input };
                self.ladder.push(range.into(), range.whole());
                self.price = to;
            }
            if let Fee::Volatile(volatility, group) = &mut self.fee {
                let reached = match bound {
                    Bound::Group(_) => None,
                    Bound::Range(edge) if self.price != target => Some(edge),
                    _ => Some(tick),
                };
                if let Some(reached) = reached {
                    *group = reached.div_euclid(volatility.group);
                    if !self.down && reached.rem_euclid(volatility.group) == 0 {
                        *group -= 1;
                    }
                }
                *group += if self.down { -1 } else { 1 };
            }
            if self.price == target || self.ladder.is_full() {
                return fee;
            }
        }
    }

    /// Crosses the tick that was reached, with its net liquidity from below.
    /// Whether that leaves a liquidity that can be.
    #[must_use]
    pub fn cross(&mut self, net: i128) -> bool {
        self.ladder.cross();
        let net = if self.down { net.checked_neg() } else { Some(net) };
        let liquidity = net.and_then(|net| self.liquidity.checked_add_signed(net));
        self.liquidity = liquidity.unwrap_or(self.liquidity);
        liquidity.is_some()
    }
}
