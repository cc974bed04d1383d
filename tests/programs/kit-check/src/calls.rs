//! Calls that need more registers than sBPF has: five for arguments, one for the result.

use std::hint::black_box;

use crate::transcript::{Random, Transcript};

#[inline(never)]
#[allow(clippy::too_many_arguments)]
fn ten(
    a: u64,
    b: &str,
    c: u128,
    d: i32,
    e: &[u8],
    f: bool,
    g: (u64, u64),
    h: Option<u64>,
    i: i8,
    j: &mut u64,
) -> (u64, u128) {
    *j = j.wrapping_add(a ^ d as u64);
    let sum: u64 = e.iter().map(|byte| u64::from(*byte)).sum();
    let low = a ^ b.len() as u64 ^ d as u64 ^ sum ^ u64::from(f) ^ g.0 ^ h.unwrap_or(9);
    (low.wrapping_mul(i as u64 | 1), c.wrapping_add(u128::from(g.1)))
}

#[inline(never)]
fn six(a: u8, b: u16, c: u32, d: u64, e: i8, f: i64) -> i64 {
    i64::from(a) * 3 + i64::from(b) * 5 + i64::from(c) * 7 + (d >> 8) as i64 + i64::from(e) - f
}

#[inline(never)]
fn wide_in_the_middle(a: u64, b: u128, c: u64, d: u128, e: u64) -> u128 {
    b.wrapping_mul(u128::from(a)) ^ d.rotate_left((c % 128) as u32) ^ u128::from(e) << 32
}

pub fn many_arguments(seed: u64, out: &mut Transcript) {
    let mut random = Random::new(seed);
    let mut side_effect = 1;
    for i in 0..40u64 {
        let c = random.u128();
        let text = if i & 1 == 0 { "abc" } else { "z" };
        let bytes = [i as u8, 3, 200];
        let some = (i % 3 != 0).then_some(i);
        let pair = (i, random.u64());
        let (low, wide) = ten(
            random.u64(),
            text,
            c,
            -(i as i32),
            &bytes[..(i % 4) as usize],
            i > 4,
            pair,
            some,
            i as i8 - 20,
            &mut side_effect,
        );
        out.u64(low);
        out.u128(wide);
        out.u64(side_effect);
        let (x, y) = (random.u64(), random.u64());
        out.i64(six(x as u8, x as u16, x as u32, x, y as i8, (y >> 2) as i64));
        out.u128(wide_in_the_middle(x, c, y, c.wrapping_mul(3), i));
    }
}

#[derive(Clone, Copy)]
struct Triple {
    a: u64,
    b: u32,
    c: i128,
}

#[inline(never)]
fn returns_pair(a: u64, b: u64) -> (u64, u64) {
    (a.wrapping_mul(b), a ^ b)
}

#[inline(never)]
fn returns_option(a: u128) -> Option<u128> {
    a.checked_mul(3)
}

#[inline(never)]
fn returns_result(a: i64, b: i64) -> Result<i128, (u64, u8)> {
    if b == 0 { Err((a as u64, 7)) } else { Ok(i128::from(a) * i128::from(b)) }
}

#[inline(never)]
fn returns_triple(seed: u64) -> Triple {
    Triple { a: seed ^ 5, b: seed as u32, c: -i128::from(seed >> 1) }
}

#[inline(never)]
fn returns_array(seed: u64) -> [u64; 9] {
    std::array::from_fn(|i| seed.rotate_left(i as u32 * 7))
}

#[inline(never)]
fn returns_many(a: u64, b: u64, c: u64, d: u64, e: u64, f: u64) -> (u64, u128, Option<u64>) {
    (a ^ b, u128::from(c) * u128::from(d), e.checked_sub(f))
}

// Small enough to be returned by value, but as two values.

#[inline(never)]
fn returns_small_option(a: u64) -> Option<u32> {
    (!a.is_multiple_of(3)).then_some(a as u32)
}

#[inline(never)]
fn returns_small_pair(a: u64, b: u64) -> (u8, u16) {
    (a as u8 ^ 3, (b >> 5) as u16)
}

#[inline(never)]
fn returns_small_result(a: u64, b: u8, c: u16, d: u32, e: u64, f: u64) -> Result<u16, u8> {
    if a ^ e > f { Ok(c ^ d as u16) } else { Err(b) }
}

#[inline(never)]
fn returns_string(a: u64) -> String {
    "x".repeat((a % 9) as usize)
}

pub fn wide_returns(seed: u64, out: &mut Transcript) {
    let mut random = Random::new(seed);
    for _ in 0..40 {
        let (a, b, c) = (random.u64(), random.sized_u64(), random.sized_u128());
        let (x, y) = returns_pair(a, b);
        out.u64(x);
        out.u64(y);
        out.u128(returns_option(c).unwrap_or(5));
        match returns_result(a as i64, (b % 3) as i64) {
            Ok(value) => out.i128(value),
            Err((value, code)) => out.u64(value ^ u64::from(code)),
        }
        let triple = returns_triple(a);
        out.u64(triple.a ^ u64::from(triple.b));
        out.i128(triple.c);
        for element in returns_array(b) {
            out.u64(element);
        }
        let (low, wide, some) = returns_many(a, b, a ^ 1, b ^ 2, a >> 3, b);
        out.u64(low);
        out.u128(wide);
        out.u64(some.unwrap_or(6));
        out.u64(returns_small_option(a).map_or(1 << 40, u64::from));
        let (x, y) = returns_small_pair(a, b);
        out.u64(u64::from(x) << 16 | u64::from(y));
        out.u64(match returns_small_result(a, b as u8, a as u16, b as u32, b, c as u64) {
            Ok(value) => u64::from(value),
            Err(code) => u64::from(code) | 1 << 20,
        });
        out.str(&returns_string(a));
    }
}

trait Shape {
    #[allow(clippy::too_many_arguments)]
    fn apply(&self, a: u64, b: u64, c: u64, d: u64, e: u64, f: u128, g: &str)
    -> Option<(u64, u64)>;
}

struct Mixer(u64);
struct Folder(Vec<u64>);

impl Shape for Mixer {
    #[inline(never)]
    fn apply(
        &self,
        a: u64,
        b: u64,
        c: u64,
        d: u64,
        e: u64,
        f: u128,
        g: &str,
    ) -> Option<(u64, u64)> {
        let low = self.0 ^ a.rotate_left(3) ^ b ^ c.wrapping_mul(3);
        (!a.is_multiple_of(7))
            .then_some((low, d ^ e ^ f as u64 ^ (f >> 64) as u64 ^ g.len() as u64))
    }
}

impl Shape for Folder {
    #[inline(never)]
    fn apply(
        &self,
        a: u64,
        b: u64,
        c: u64,
        d: u64,
        e: u64,
        f: u128,
        g: &str,
    ) -> Option<(u64, u64)> {
        let folded = self.0.iter().fold(a, |x, y| x.wrapping_mul(31).wrapping_add(*y));
        Some((folded, b ^ c ^ d ^ e ^ (f % 1000) as u64 ^ u64::from(g.as_bytes()[0])))
    }
}

type Binary = fn(u64, u64) -> (u64, u64);
type Measure = dyn Fn(u64, u128, &[u64]) -> (u128, usize);

/// Function pointers, trait objects and closures: the same rewrite of the call as of the
/// function it cannot see.
pub fn indirect(seed: u64, out: &mut Transcript) {
    let mut random = Random::new(seed);
    let operations: [Binary; 3] =
        [returns_pair, |a, b| (a.wrapping_sub(b), b), |a, b| (a & b, a | b)];
    let wide: fn(u64, u128, u64, u128, u64) -> u128 = black_box(wide_in_the_middle);
    for i in 0..30u64 {
        let operation = operations[random.below(3) as usize];
        let (x, y) = operation(random.u64(), random.u64());
        out.u64(x);
        out.u64(y);
        out.u128(wide(x, random.u128(), y, random.u128(), i));
        let shape: Box<dyn Shape> = if random.below(2) == 0 {
            Box::new(Mixer(random.u64()))
        } else {
            Box::new(Folder(vec![1, i, 3]))
        };
        let applied = shape.apply(random.u64(), i, i + 1, x, 5, random.u128(), "hello");
        let (x, y) = applied.unwrap_or((11, 12));
        out.u64(x);
        out.u64(y);
        let closure = move |a: u64, b: u128, c: &[u64]| -> (u128, usize) {
            (b.wrapping_add(u128::from(a ^ x)), c.len() + i as usize)
        };
        let boxed: Box<Measure> = Box::new(closure);
        let (value, length) = boxed(y, random.u128(), &[x, y]);
        out.u128(value);
        out.u64(length as u64);
    }
}

#[inline(never)]
fn ackermann_like(depth: u32, a: u128, b: u64, c: u64, d: u64, e: u64) -> (u128, u64) {
    if depth == 0 {
        return (a ^ u128::from(b), c ^ d ^ e);
    }
    let (wide, low) =
        ackermann_like(depth - 1, a.wrapping_mul(3).wrapping_add(u128::from(e)), c, d, e, b);
    (wide.rotate_left(depth), low.wrapping_add(u64::from(depth)))
}

/// Arguments and results on the stack through many frames. The virtual machine has 64.
pub fn recursion(seed: u64, out: &mut Transcript) {
    let mut random = Random::new(seed);
    for depth in [0, 1, 2, 10, 40] {
        let (wide, low) = ackermann_like(
            depth,
            random.u128(),
            random.u64(),
            random.u64(),
            random.u64(),
            random.u64(),
        );
        out.u128(wide);
        out.u64(low);
    }
}
