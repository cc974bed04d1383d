//! Tagged unions and branches with many arms.

use crate::transcript::{Random, Transcript};

#[derive(Clone, Debug)]
enum Variant {
    Empty,
    Byte(u8),
    Nested { x: u64, inner: Box<Variant> },
    Text(String),
    Array([u16; 5]),
    Wide(i128),
    Optional(Option<Option<bool>>),
    Pair(Result<u32, i64>),
}

impl Variant {
    fn new(random: &mut Random, i: u64) -> Self {
        match random.below(8) {
            0 => Self::Empty,
            1 => Self::Byte(i as u8),
            2 => Self::Nested {
                x: i,
                inner: Box::new(Self::Wide(-i128::from(i) * 77_777_777_777_777_777_777)),
            },
            3 => Self::Text("x".repeat(i as usize)),
            4 => Self::Array([i as u16; 5]),
            5 => Self::Wide(random.u128() as i128),
            6 => Self::Optional(
                [None, Some(None), Some(Some(i.is_multiple_of(2)))][(i % 3) as usize],
            ),
            _ => Self::Pair(if i.is_multiple_of(2) { Ok(i as u32) } else { Err(-(i as i64)) }),
        }
    }

    fn value(&self, depth: u64) -> u64 {
        match self {
            Self::Empty => 1,
            Self::Byte(x) => u64::from(*x) + depth,
            Self::Nested { x, inner } => x ^ inner.value(depth + 1),
            Self::Text(text) => text.len() as u64,
            Self::Array(array) => array.iter().map(|x| u64::from(*x)).sum(),
            Self::Wide(value) => (*value % 1009) as u64,
            Self::Optional(None) => 2,
            Self::Optional(Some(None)) => 3,
            Self::Optional(Some(Some(flag))) => 4 + u64::from(*flag),
            Self::Pair(Ok(x)) => u64::from(*x) << 4,
            Self::Pair(Err(x)) => *x as u64,
        }
    }
}

pub fn variants(seed: u64, out: &mut Transcript) {
    let mut random = Random::new(seed);
    let mut all = Vec::new();
    for i in 0..40u64 {
        let variant = Variant::new(&mut random, i);
        out.u64(variant.value(1));
        all.push(variant.clone());
    }
    all.rotate_left(7);
    out.u64(all.iter().fold(0, |x, variant| x.rotate_left(3) ^ variant.value(2)));
    out.str(&format!("{:?}", all[5]));
    out.u64(size_of_val(&random) as u64);
}

/// Dense, sparse and range patterns, and texts.
pub fn matches(seed: u64, out: &mut Transcript) {
    let mut random = Random::new(seed);
    for _ in 0..120 {
        let n = random.sized_u64();
        out.u64(match n % 20 {
            0 => 17,
            1 => 4,
            2 | 5 => 99,
            3 => n >> 3,
            4 => 6,
            6..=9 => n ^ 6,
            10 => 1,
            11 => u64::MAX,
            12 => 3,
            13 => 1 << 40,
            14 if n > 1000 => 8,
            15 => 21,
            16 => 22,
            _ => 0,
        });
        out.str(match n {
            0 => "zero",
            1..=9 => "digit",
            10 | 100 | 1_000 | 10_000 => "power",
            0xffff_ffff.. => "large",
            _ => "other",
        });
        out.u64(match ((n % 3) as u8, n & 8 == 0, (n >> 5) as i8) {
            (0, true, i8::MIN..0) => 1,
            (0, false, _) => 2,
            (1, _, 0..=50) => 3,
            (_, true, value) => value as u64,
            _ => 5,
        });
        let word = ["liquidate", "refresh", "borrow", "repay", ""][(n % 5) as usize];
        out.u64(match word {
            "borrow" => 1,
            "liquidate" => 2,
            "repay" | "redeem" => 3,
            "" => 4,
            _ => 5,
        });
    }
}
