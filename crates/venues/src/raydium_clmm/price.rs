//! The price of a tick, as Raydium's CLMM program rounds it.

/// `2⁶⁴ / 1.0001^(2ⁿ / 2)`.
const DOWN: [u128; 19] = [
    0xfffcb933bd6fb800,
    0xfff97272373d4000,
    0xfff2e50f5f657000,
    0xffe5caca7e10f000,
    0xffcb9843d60f7000,
    0xff973b41fa98e800,
    0xff2ea16466c9b000,
    0xfe5dee046a9a3800,
    0xfcbe86c7900bb000,
    0xf987a7253ac65800,
    0xf3392b0822bb6000,
    0xe7159475a2caf000,
    0xd097f3bdfd2f2000,
    0xa9f746462d9f8000,
    0x70d869a156f31c00,
    0x31be135f97ed3200,
    0x9aa508b5b85a500,
    0x5d6af8dedc582c,
    0x2216e584f5fa,
];

/// The square root of a tick's price, in units of 2⁻⁶⁴.
pub(super) fn sqrt_price(tick: i32) -> u128 {
    let distance = tick.unsigned_abs();
    let price = (0..DOWN.len()).filter(|n| distance >> n & 1 == 1).fold(1u128 << 64, |price, n| {
        if price == 1 << 64 { DOWN[n] } else { (price * DOWN[n]) >> 64 }
    });
    if tick > 0 { u128::MAX / price.max(1) } else { price }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        concentrated::{MAX_TICK, MIN_SQRT_PRICE},
        raydium_clmm::MAX_SQRT_PRICE,
    };

    #[test]
    fn prices_are_the_published_ones() {
        assert_eq!(sqrt_price(-MAX_TICK), MIN_SQRT_PRICE);
        assert_eq!(sqrt_price(MAX_TICK), MAX_SQRT_PRICE);
        assert_eq!(sqrt_price(0), 1 << 64);
    }

    #[test]
    fn prices_grow_by_a_ten_thousandth() {
        for tick in (-MAX_TICK..MAX_TICK).step_by(97) {
            let ratio = sqrt_price(tick + 1) as f64 / sqrt_price(tick) as f64;
            assert!((ratio - 1.0001f64.sqrt()).abs() < 1e-8, "{tick}: {ratio}");
        }
    }
}
