//! Copies and comparisons: the short ones are written out by the compiler, the long ones
//! end in syscalls.

use std::hint::black_box;

use crate::transcript::{Random, Transcript};

#[derive(Clone, PartialEq)]
struct Large {
    words: [u64; 60],
    bytes: [u8; 33],
    wide: u128,
    small: (u8, u32, u16),
}

#[inline(never)]
fn large(random: &mut Random) -> Large {
    let mut bytes = [7; 33];
    bytes[31] = random.u64() as u8;
    Large {
        words: std::array::from_fn(|_| random.u64()),
        bytes,
        wide: random.u128(),
        small: (random.u64() as u8, random.u64() as u32, random.u64() as u16),
    }
}

#[inline(never)]
fn by_value(mut large: Large, index: usize) -> Large {
    large.words[index] ^= 1;
    large.small.1 = large.small.1.wrapping_add(1);
    large
}

/// Structs by value in and out, cloned, compared, swapped and replaced.
pub fn structs(seed: u64, out: &mut Transcript) {
    let mut random = Random::new(seed);
    let mut a = large(&mut random);
    let mut b = Box::new(large(&mut random));
    for round in 0..3 {
        let copy = black_box(a.clone());
        out.bool(copy == a);
        a = by_value(copy, round * 7);
        std::mem::swap(&mut a, &mut b);
        let old = std::mem::replace(&mut a.words, std::array::from_fn(|i| i as u64));
        out.u64(old.iter().fold(0, |x, y| x.rotate_left(5) ^ y));
        out.bool(a == *b);
        for value in [&a, &*b] {
            value.words.iter().step_by(7).for_each(|word| out.u64(*word));
            out.bytes(&value.bytes);
            out.u128(value.wide);
            out.u64(
                u64::from(value.small.0)
                    ^ u64::from(value.small.1) << 8
                    ^ u64::from(value.small.2) << 40,
            );
        }
    }
}

/// Lengths and distances around the thresholds between inlined code, loops and syscalls,
/// overlapping in both directions.
pub fn moves(seed: u64, out: &mut Transcript) {
    let mut random = Random::new(seed);
    let mut buffer: Vec<u8> = (0..700).map(|_| random.u64() as u8).collect();
    for length in [0, 1, 7, 8, 15, 16, 31, 32, 39, 40, 41, 63, 64, 65, 79, 80, 81, 127, 200, 333] {
        for distance in [1, 8, 9, 100] {
            buffer.copy_within(0..length, distance);
            out.bytes(&buffer[..450]);
            buffer.copy_within(distance + 3..distance + 3 + length, 2);
        }
        let (source, target) = buffer.split_at_mut(350);
        target[5..5 + length].copy_from_slice(&source[3..3 + length]);
        buffer[600..600 + length.min(100)].fill(random.u64() as u8);
        out.bytes(&buffer);
    }
    // Sizes known to the compiler.
    let mut array: [u8; 96] = std::array::from_fn(|i| buffer[i]);
    let (head, tail) = array.split_at_mut(48);
    head.copy_from_slice(tail);
    out.bytes(&array);
    array.copy_within(0..72, 24);
    out.bytes(&array);
    array.swap(0, 95);
    array.rotate_left(13);
    array.reverse();
    out.bytes(&array);
    out.bytes(&[buffer[1]; 80]);
}

/// Integers read and written at any offset, in both byte orders.
pub fn unaligned(seed: u64, out: &mut Transcript) {
    let mut random = Random::new(seed);
    let mut bytes: [u8; 64] = std::array::from_fn(|_| random.u64() as u8);
    for at in 0..40 {
        let part = &bytes[at..];
        let (Some(two), Some(four), Some(eight), Some(sixteen)) = (
            part.first_chunk::<2>(),
            part.first_chunk::<4>(),
            part.first_chunk::<8>(),
            part.first_chunk::<16>(),
        ) else {
            return;
        };
        out.u64(u64::from(u16::from_le_bytes(*two)) ^ u64::from(u16::from_be_bytes(*two)) << 16);
        out.u64(u64::from(u32::from_le_bytes(*four)) ^ u64::from(u32::from_be_bytes(*four)) << 8);
        out.i64(i64::from_le_bytes(*eight));
        out.u64(u64::from_be_bytes(*eight));
        out.u128(u128::from_le_bytes(*sixteen));
        out.i128(i128::from_be_bytes(*sixteen));
        let value = random.u128();
        bytes[at..at + 16].copy_from_slice(&value.to_le_bytes());
        bytes[at + 8..at + 12].copy_from_slice(&(value as u32).to_be_bytes());
    }
    out.bytes(&bytes);
}

pub fn comparisons(seed: u64, out: &mut Transcript) {
    let mut random = Random::new(seed);
    let a: Vec<u8> = (0..200).map(|_| random.u64() as u8).collect();
    for length in [0, 1, 8, 31, 32, 33, 64, 100, 199] {
        let mut b = a.clone();
        out.bool(a[..length] == b[..length]);
        if length > 0 {
            let at = random.below(length as u64) as usize;
            b[at] = b[at].wrapping_add(1 + random.below(255) as u8);
        }
        out.bool(a[..length] == b[..length]);
        out.u64(a[..length].cmp(&b[..length]) as i8 as u8 as u64);
        out.u64(a[..length].cmp(&a[1..length + 1]) as i8 as u8 as u64);
        out.bool(a[..length] < b[..]);
    }
    let keys: [[u8; 32]; 4] =
        std::array::from_fn(|i| std::array::from_fn(|j| a[(i * 3 + j) % 40] & 0xfe));
    for x in &keys {
        for y in &keys {
            out.bool(x == y);
            out.u64(x.cmp(y) as i8 as u8 as u64);
        }
    }
}
