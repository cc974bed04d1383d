//! Arithmetic of up to 64 bits.

use crate::transcript::{Random, Transcript};

const EDGES: [i64; 14] = [
    0,
    1,
    -1,
    2,
    -2,
    7,
    -10,
    i32::MAX as i64,
    i32::MIN as i64,
    u32::MAX as i64,
    1 << 32,
    i64::MAX,
    i64::MIN,
    i64::MIN + 1,
];

/// An edge value three times out of four, so that pairs of them meet.
fn interesting(random: &mut Random) -> i64 {
    match random.below(4) {
        0 => random.sized_u64() as i64,
        _ => EDGES[random.below(EDGES.len() as u64) as usize],
    }
}

/// sBPF v0 has no signed division: all of this is rewritten by the compiler.
pub fn signed_division(seed: u64, out: &mut Transcript) {
    let mut random = Random::new(seed);
    for _ in 0..120 {
        let (a, b) = (interesting(&mut random), interesting(&mut random));
        let (quotient, overflow) = if b == 0 { (0, false) } else { a.overflowing_div(b) };
        out.i64(quotient);
        out.bool(overflow);
        out.i64(a.checked_rem(b).unwrap_or(-77));
        out.i64(a.checked_div_euclid(b).unwrap_or(-78));
        out.i64(a.checked_rem_euclid(b).unwrap_or(-79));
        // By constants: shifts and multiplications instead of a division.
        out.i64((a / 8) ^ (a % 8));
        out.i64(a / -7);
        out.i64(a % 1_000_000_007);
        let (c, d) = (a as i32, b as i32);
        out.i64(i64::from(c.checked_div(d).unwrap_or(-80)));
        out.i64(i64::from(c.checked_rem(d).unwrap_or(-81)));
        let (e, f) = (a as i8, b as i8);
        out.i64(i64::from(e.checked_div(f).unwrap_or(-82)));
        out.i64(i64::from((a as i16).checked_rem(b as i16).unwrap_or(-83)));
        out.u64((a as u64).checked_div(b as u64).unwrap_or(84));
        out.u64((a as u64).checked_rem(b as u64).unwrap_or(85));
        out.u64(u64::from((a as u32).checked_div(b as u32).unwrap_or(86)));
    }
}

/// Results and overflow flags.
pub fn checked_arithmetic(seed: u64, out: &mut Transcript) {
    let mut random = Random::new(seed);
    for _ in 0..150 {
        let (a, b) = (interesting(&mut random), interesting(&mut random));
        let (ua, ub) = (a as u64, b as u64);
        for (value, overflow) in
            [a.overflowing_add(b), a.overflowing_sub(b), a.overflowing_mul(b), a.overflowing_neg()]
        {
            out.i64(value);
            out.bool(overflow);
        }
        for (value, overflow) in
            [ua.overflowing_add(ub), ua.overflowing_sub(ub), ua.overflowing_mul(ub)]
        {
            out.u64(value);
            out.bool(overflow);
        }
        out.i64(a.saturating_mul(b));
        out.i64(a.saturating_sub(b));
        out.u64(ua.saturating_mul(ub));
        out.u64(ua.saturating_sub(ub));
        out.u64(a.abs_diff(b));
        out.u64(ua.checked_add_signed(b).unwrap_or(3));
        out.u64(ua.checked_next_multiple_of(ub).unwrap_or(4));
        out.u64(ua.checked_pow(ub as u32 % 9).unwrap_or(5));
        out.i64(a.checked_pow(ub as u32 % 5).unwrap_or(6));
        out.i64(i64::from((a as i32).checked_mul(b as i32).unwrap_or(7)));
        out.u64(u64::from((a as u32).checked_mul(b as u32).unwrap_or(8)));
        out.u64(ua.midpoint(ub));
        out.i64(i64::try_from(ua).unwrap_or(9));
        out.u64(u64::from(u32::try_from(a).unwrap_or(10)));
    }
}

/// Shifts, rotations and counts.
pub fn bits(seed: u64, out: &mut Transcript) {
    let mut random = Random::new(seed);
    for shift in 0..64 {
        let a = interesting(&mut random) as u64;
        out.u64(a << shift);
        out.u64(a >> shift);
        out.i64((a as i64) >> shift);
        out.u64(a.rotate_left(shift) ^ a.rotate_right(shift / 2));
        out.u64(u64::from((a as u32).rotate_left(shift % 32)));
        out.i64(i64::from((a as i32) >> (shift % 32)));
        out.u64(u64::from(a.checked_shl(shift * 2).is_none()));
        out.u64(u64::from(a.leading_zeros() << 16 | a.trailing_zeros() << 8 | a.count_ones()));
        out.u64(u64::from((a as u32).leading_zeros() << 8 | (a as u16).trailing_zeros()));
        out.u64(a.swap_bytes() ^ a.reverse_bits());
        out.u64(u64::from((a as u32).swap_bytes()) ^ u64::from((a as u16).to_be()));
        out.u64(a.isqrt());
        out.u64(u64::from(a.checked_ilog2().unwrap_or(64)));
        out.u64(u64::from(a.checked_ilog10().unwrap_or(65)));
        out.u64(a.checked_next_power_of_two().unwrap_or(66));
    }
}

/// Truncation, sign extension and arithmetic below 64 bits.
pub fn narrow(seed: u64, out: &mut Transcript) {
    let mut random = Random::new(seed);
    for _ in 0..100 {
        let a = random.u64();
        let b = random.u64();
        out.i64(i64::from(a as i8) + i64::from(b as i16) + i64::from((a >> 8) as i32));
        out.u64(u64::from((a as u8).wrapping_mul(b as u8)));
        out.u64(u64::from((a as u16).wrapping_sub(b as u16)));
        out.u64(u64::from((a as u32).wrapping_mul(b as u32)));
        out.i64(i64::from((a as i8).wrapping_sub(b as i8) >> (b % 8)));
        out.i64(i64::from((a as i16).wrapping_mul(b as i16)));
        out.u64(u64::from((a as u8).checked_add(b as u8).unwrap_or(1)));
        out.i64(i64::from((a as i8).saturating_add(b as i8)));
        out.bool((a as i8) < (b as i8));
        out.bool((a as u16) < (b as u16));
        out.bool((a as i32) <= (b as i32));
        out.u64(u64::from((a as u8).cmp(&(b as u8)) as i8 as u8));
        out.u64(u64::from(char::from_u32(a as u32 & 0x1f_ffff).map_or(0, u32::from)));
    }
}
