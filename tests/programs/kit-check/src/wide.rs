//! Arithmetic of 128 bits and more, where the compiler has to call a library.

use crate::transcript::{Random, Transcript};

const EDGES: [u128; 16] = [
    0,
    1,
    2,
    3,
    10,
    1 << 60,
    (1 << 63) - 1,
    1 << 63,
    (1 << 64) - 1,
    1 << 64,
    (1 << 64) + 1,
    (1 << 127) - 1,
    1 << 127,
    (1 << 127) + 1,
    u128::MAX - 1,
    u128::MAX,
];

/// An edge value half of the time, else one of any magnitude.
fn interesting(random: &mut Random) -> u128 {
    match random.below(2) {
        0 => random.sized_u128(),
        _ => EDGES[random.below(EDGES.len() as u64) as usize],
    }
}

pub fn products(seed: u64, out: &mut Transcript) {
    let mut random = Random::new(seed);
    for _ in 0..100 {
        let (a, b) = (interesting(&mut random), interesting(&mut random));
        out.u128(a.wrapping_mul(b));
        out.i128((a as i128).wrapping_mul(b as i128));
        out.u128(u128::from(a as u64) * u128::from(b as u64));
        out.i128(i128::from(a as i64) * i128::from(b as i64));
        out.u128(a.wrapping_mul(1_000_000_007));
        out.u128(a.wrapping_mul(1 << 60));
        out.u64(((u128::from(a as u64) * u128::from(b as u64)) >> 64) as u64);
    }
}

pub fn quotients(seed: u64, out: &mut Transcript) {
    let mut random = Random::new(seed);
    for _ in 0..60 {
        let (a, b) = (interesting(&mut random), interesting(&mut random));
        out.u128(a.checked_div(b).unwrap_or(7));
        out.u128(a.checked_rem(b).unwrap_or(8));
        out.u128(a.checked_div(u128::from(b as u64)).unwrap_or(9));
        out.u128(a / 10_000);
        out.u128(a % 1_000_000_007);
        out.u128(a / (1 << 60));
        out.u128(if b == 0 { 3 } else { a.div_ceil(b) });
    }
}

pub fn signed_quotients(seed: u64, out: &mut Transcript) {
    let mut random = Random::new(seed);
    for _ in 0..60 {
        let (a, b) = (interesting(&mut random) as i128, interesting(&mut random) as i128);
        out.i128(a.checked_div(b).unwrap_or(7));
        out.i128(a.checked_rem(b).unwrap_or(8));
        out.i128(a.checked_div_euclid(b).unwrap_or(9));
        out.i128(a.checked_rem_euclid(b).unwrap_or(10));
        out.i128(a / -11);
        out.i128(a / 4 + a % 16);
        out.bool(b != 0 && a.overflowing_div(b).1);
    }
}

/// By every amount, of numbers with bits at both ends.
pub fn shifts(seed: u64, out: &mut Transcript) {
    let mut random = Random::new(seed);
    for amount in 0..128 {
        let a = random.u128() | 1 << 127 | 1;
        let b = interesting(&mut random);
        out.u128(a << amount);
        out.u128(a >> amount);
        out.i128((a as i128) >> amount);
        out.i128((b as i128) >> amount);
        out.u128(a.rotate_left(amount));
        out.u128(b.rotate_right(amount));
        out.bool(a.checked_shl(amount * 2).is_none());
    }
    // By constants around the border of the halves.
    let a = random.u128();
    for value in [a << 1, a << 63, a << 64, a << 65, a << 127, a >> 1, a >> 63, a >> 64, a >> 65] {
        out.u128(value);
    }
    for value in [a as i128 >> 63, a as i128 >> 64, a as i128 >> 65, a as i128 >> 127] {
        out.i128(value);
    }
}

pub fn checked_arithmetic(seed: u64, out: &mut Transcript) {
    let mut random = Random::new(seed);
    for _ in 0..60 {
        let (a, b) = (interesting(&mut random), interesting(&mut random));
        let (ia, ib) = (a as i128, b as i128);
        for (value, overflow) in [a.overflowing_add(b), a.overflowing_sub(b), a.overflowing_mul(b)]
        {
            out.u128(value);
            out.bool(overflow);
        }
        for (value, overflow) in
            [ia.overflowing_add(ib), ia.overflowing_sub(ib), ia.overflowing_mul(ib)]
        {
            out.i128(value);
            out.bool(overflow);
        }
        // Products that just fit or just do not.
        out.u128((a >> 64).checked_mul(b >> 63).unwrap_or(1));
        out.i128((ia >> 64).checked_mul(ib >> 64).unwrap_or(2));
        out.u128(a.saturating_mul(b >> 90));
        out.i128(ia.saturating_mul(ib));
        out.i128(ia.saturating_sub(ib));
        out.u128(a.abs_diff(b));
        out.u128(ia.unsigned_abs());
        out.u64(u64::try_from(a).unwrap_or(3));
        out.i64(i64::try_from(ia).unwrap_or(4));
        out.bool(a < b);
        out.bool(ia <= ib);
        out.u64(a.cmp(&b) as i8 as u64);
        out.u64(u64::from(a.leading_zeros() << 16 | a.trailing_zeros() << 8 | a.count_ones()));
        out.u128(a.swap_bytes());
        out.u128(a.reverse_bits());
    }
}

pub fn roots(seed: u64, out: &mut Transcript) {
    let mut random = Random::new(seed);
    for _ in 0..8 {
        let a = interesting(&mut random);
        out.u128(a.isqrt());
        out.u64(u64::from(a.checked_ilog2().unwrap_or(200)));
        out.u64(u64::from(a.checked_ilog10().unwrap_or(201)));
        out.u128((a % 1000).checked_pow((a % 14) as u32).unwrap_or(11));
    }
}

/// Unsigned 256-bit numbers, least significant limb first, as fixed-point libraries have
/// them. LLVM merges some of these chains into genuine 256-bit operations.
#[derive(Clone, Copy, PartialEq, Eq)]
struct U256([u64; 4]);

impl U256 {
    fn product(a: u128, b: u128) -> Self {
        let (a0, a1) = (u128::from(a as u64), a >> 64);
        let (b0, b1) = (u128::from(b as u64), b >> 64);
        let low = a0 * b0;
        let (middle, carry) = (a0 * b1).overflowing_add(a1 * b0);
        let (low, carry_low) = low.overflowing_add(middle << 64);
        let high = (a1 * b1)
            .wrapping_add(middle >> 64)
            .wrapping_add(u128::from(carry) << 64)
            .wrapping_add(u128::from(carry_low));
        Self([low as u64, (low >> 64) as u64, high as u64, (high >> 64) as u64])
    }

    #[inline(never)]
    fn wrapping_mul(self, other: Self) -> Self {
        let mut result = [0u64; 4];
        for (i, a) in self.0.iter().enumerate() {
            let mut carry = 0;
            for (j, b) in other.0.iter().enumerate().take(4 - i) {
                let sum =
                    u128::from(*a) * u128::from(*b) + u128::from(result[i + j]) + u128::from(carry);
                result[i + j] = sum as u64;
                carry = (sum >> 64) as u64;
            }
        }
        Self(result)
    }

    #[inline(never)]
    fn overflowing_add(self, other: Self) -> (Self, bool) {
        let mut result = [0u64; 4];
        let mut carry = false;
        for (limb, (a, b)) in result.iter_mut().zip(self.0.iter().zip(other.0)) {
            let (sum, over) = a.overflowing_add(b);
            let (sum, over_by_carry) = sum.overflowing_add(u64::from(carry));
            (*limb, carry) = (sum, over || over_by_carry);
        }
        (Self(result), carry)
    }

    /// Bit by bit; `divisor` is not zero and below 2^127.
    #[inline(never)]
    fn div_rem(self, divisor: u128) -> (Self, u128) {
        let mut quotient = [0u64; 4];
        let mut remainder = 0u128;
        for bit in (0..256).rev() {
            remainder = remainder << 1 | u128::from(self.0[bit / 64] >> (bit % 64) & 1);
            if remainder >= divisor {
                remainder -= divisor;
                quotient[bit / 64] |= 1 << (bit % 64);
            }
        }
        (Self(quotient), remainder)
    }

    fn record(self, out: &mut Transcript) {
        self.0.iter().for_each(|limb| out.u64(*limb));
    }
}

pub fn u256(seed: u64, out: &mut Transcript) {
    let mut random = Random::new(seed);
    for _ in 0..6 {
        let (a, b) = (interesting(&mut random), interesting(&mut random));
        let product = U256::product(a, b);
        product.record(out);
        product.wrapping_mul(U256::product(b, b)).record(out);
        let (sum, carry) = product.overflowing_add(U256([u64::MAX, a as u64, 0, u64::MAX]));
        sum.record(out);
        out.bool(carry);
        let (quotient, remainder) = product.div_rem((b >> 1).max(1));
        quotient.record(out);
        out.u128(remainder);
        out.bool(sum == product);
    }
}

/// Lending arithmetic with 60 fractional bits: products shifted back, quotients shifted
/// up, compound interest, and amounts rounded both ways.
pub fn fixed_point(seed: u64, out: &mut Transcript) {
    const FRACTION_BITS: u32 = 60;
    const ONE: u128 = 1 << FRACTION_BITS;
    let mul = |a: u128, b: u128| {
        let product = U256::product(a, b);
        let low = u128::from(product.0[1]) << 64 | u128::from(product.0[0]);
        let high = u128::from(product.0[3]) << 64 | u128::from(product.0[2]);
        low >> FRACTION_BITS | high << (128 - FRACTION_BITS)
    };
    let mut random = Random::new(seed);
    for _ in 0..20 {
        let amount = random.sized_u64();
        let price = u128::from(random.sized_u64());
        let value = mul(u128::from(amount) << FRACTION_BITS, price);
        out.u128(value);
        out.u64((value >> FRACTION_BITS) as u64);
        out.u128(value.saturating_add(ONE - 1) >> FRACTION_BITS);
        let rate = ONE + u128::from(random.u64() >> 20);
        let (mut power, mut base, mut exponent) = (ONE, rate, random.below(1 << 12));
        while exponent > 0 {
            if exponent & 1 == 1 {
                power = mul(power, base);
            }
            base = mul(base, base);
            exponent >>= 1;
        }
        out.u128(power);
        let debt = u128::from(random.sized_u64()).max(1) << FRACTION_BITS;
        out.u128((value >> 64).wrapping_mul(ONE) / (debt >> 8).max(1));
        out.bool(value > debt);
    }
}
