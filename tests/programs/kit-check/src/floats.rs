//! Floating point, which the virtual machine does in software.

use std::hint::black_box;

use crate::transcript::{Random, Transcript};

const EDGES: [f64; 22] = [
    0.0,
    -0.0,
    1.0,
    -1.0,
    0.5,
    1.5,
    2.5,
    -2.5,
    0.1,
    f64::EPSILON,
    f64::MIN_POSITIVE,
    5e-324,
    -1e-310,
    f64::MAX,
    f64::MIN,
    f64::INFINITY,
    f64::NEG_INFINITY,
    f64::NAN,
    9_007_199_254_740_993.0,
    1.844_674_407_370_955_2e19,
    -9.223_372_036_854_776e18,
    4_294_967_295.5,
];

/// Edges, small fractions as in prices, integers, and any bit pattern.
fn interesting(random: &mut Random) -> f64 {
    match random.below(4) {
        0 => EDGES[random.below(EDGES.len() as u64) as usize],
        1 => random.sized_u64() as f64 / 1_000_000.0,
        2 => random.sized_u64() as i64 as f64,
        _ => f64::from_bits(random.u64()),
    }
}

pub fn arithmetic64(seed: u64, out: &mut Transcript) {
    let mut random = Random::new(seed);
    for _ in 0..80 {
        let (a, b) = (interesting(&mut random), interesting(&mut random));
        out.f64(a + b);
        out.f64(a - b);
        out.f64(a * b);
        out.f64(a / b);
        out.f64(-a);
        out.f64(a.abs());
        out.f64(a.copysign(b));
        out.f64(a * 3.0 - b / 7.0 + 0.25);
    }
}

/// Each relation and its negation, which for NaN is not the opposite relation. They are
/// functions of their own, so that no comparison is derived from another one.
#[expect(
    clippy::neg_cmp_op_on_partial_ord,
    clippy::double_comparisons,
    reason = "these are the forms under test"
)]
const RELATIONS: [fn(f64, f64) -> bool; 14] = [
    |a, b| a == b,
    |a, b| a != b,
    |a, b| a < b,
    |a, b| a <= b,
    |a, b| a > b,
    |a, b| a >= b,
    |a, b| !(a < b),
    |a, b| !(a <= b),
    |a, b| !(a > b),
    |a, b| !(a >= b),
    |a, b| a < b || a > b,
    |a, b| !(a < b || a > b),
    |a, b| a.is_nan() || b.is_nan(),
    |a, b| !(a.is_nan() || b.is_nan()),
];

pub fn comparisons64(seed: u64, out: &mut Transcript) {
    let mut random = Random::new(seed);
    for round in 0..80 {
        let a = interesting(&mut random);
        let b = if round % 5 == 0 { a } else { interesting(&mut random) };
        for relation in RELATIONS {
            out.bool(black_box(relation)(a, b));
        }
        // Branches instead of values; the compiler inverts these.
        out.u64(if a < b { 1 } else { 2 });
        out.u64(if a <= b { 3 } else { 4 });
        out.u64(a.partial_cmp(&b).map_or(9, |order| order as i8 as u8 as u64));
        out.bool(a.is_infinite() | (b.is_sign_negative() && !b.is_nan()));
        if !a.is_nan() && !b.is_nan() {
            out.u64(a.total_cmp(&b) as i8 as u8 as u64);
        }
        // Which zero of two is the smaller is left open by the standard.
        if a != b {
            out.f64(a.min(b));
            out.f64(a.max(b));
        }
    }
}

/// Between floating point and integers of all widths; `as` saturates and maps NaN to 0.
pub fn conversions64(seed: u64, out: &mut Transcript) {
    let mut random = Random::new(seed);
    for _ in 0..60 {
        let a = interesting(&mut random);
        out.i64(a as i64);
        out.u64(a as u64);
        out.i64(i64::from(a as i32));
        out.u64(u64::from(a as u32));
        out.i64(i64::from(a as i16));
        out.u64(u64::from(a as u16));
        out.i64(i64::from(a as i8));
        out.u64(u64::from(a as u8));
        out.i128(a as i128);
        out.u128(a as u128);
        let n = random.sized_u128();
        out.f64(n as f64);
        out.f64(n as i128 as f64);
        out.f64(n as u64 as f64);
        out.f64(n as i64 as f64);
        out.f64(f64::from(n as u32));
        out.f64(f64::from(n as i32));
        out.f64(f64::from(n as i8));
        out.f64(f64::from(n as u16));
    }
}

pub fn rounding64(seed: u64, out: &mut Transcript) {
    let mut random = Random::new(seed);
    for _ in 0..30 {
        let a = interesting(&mut random);
        let b = interesting(&mut random);
        out.f64(a.floor());
        out.f64(a.ceil());
        out.f64(a.round());
        out.f64(a.trunc());
        out.f64(a.round_ties_even());
        out.f64(a.fract());
        out.f64(a.sqrt());
        out.f64(a.mul_add(b, 1.5));
        out.f64((a % 1000.0) % 7.5);
        out.f64(a.clamp(-100.0, 100.0));
    }
}

pub fn arithmetic32(seed: u64, out: &mut Transcript) {
    let mut random = Random::new(seed);
    for _ in 0..60 {
        let (wide, other) = (interesting(&mut random), interesting(&mut random));
        let (a, b) = (wide as f32, other as f32);
        out.f32(a);
        out.f64(f64::from(a));
        out.f32(a + b);
        out.f32(a - b);
        out.f32(a * b);
        out.f32(a / b);
        out.u64(u64::from(a < b) | u64::from(a >= b) << 1 | u64::from(a == b) << 2);
        out.i64(a as i64);
        out.u64(u64::from(a as u8));
        out.i128(a as i128);
        let n = random.sized_u128();
        out.f32(n as f32);
        out.f32(n as i64 as f32);
        out.f32(n as u32 as f32);
        out.f32(a.floor());
        out.f32(a.sqrt());
    }
}
