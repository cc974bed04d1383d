//! Text: what logs and messages are made of.

use crate::transcript::{Random, Transcript};

pub fn formatting(seed: u64, out: &mut Transcript) {
    let mut random = Random::new(seed);
    for i in 0..8u64 {
        let a = random.sized_u64();
        let wide = random.sized_u128();
        out.str(&format!("{a} {i:>12} {a:#x} {:?} {i:05}", "q\"\n\u{e9}\u{1F600}"));
        out.str(&format!("{wide} {:?} {:+}", Some((a as i64, wide as i128)), a as i32));
        out.str(&format!("{wide:x} {:#b} {:o} {a:e}", a as u16, a as u32));
        out.str(&format!("{:<8}|{:^9}|{:>7}|{:*^11}", i, a % 1000, -(i as i64), "mid"));
        out.str(&format!("{:?} {:?}", [a as u8, 1], ("x", 'y', true, i as i8, ())));
        out.str(&wide.to_string());
    }
    out.str(&format!("{} {} {}", u128::MAX, i128::MIN, i64::MIN));
}

pub fn floats(seed: u64, out: &mut Transcript) {
    let mut random = Random::new(seed);
    for _ in 0..6 {
        let value = (random.sized_u64() as i64) as f64 / 1000.0;
        out.str(&format!("{value} {value:?} {value:.2} {value:e} {value:>14.3}"));
        let small = random.u64() as f64 * 1e-25;
        out.str(&format!("{small:?} {small:.6}"));
        out.f64(format!("{value:?}").parse().unwrap_or(-1.0));
    }
    for special in [0.0, -0.0, f64::INFINITY, f64::NEG_INFINITY, f64::NAN, 0.1 + 0.2] {
        out.str(&format!("{special} {special:?} {special:.1}"));
    }
}

pub fn parsing(seed: u64, out: &mut Transcript) {
    let mut random = Random::new(seed);
    for text in "12,x,-3,,+7,99999999999999999999,-9223372036854775808,1_0, 4".split(',') {
        out.str(&format!("{:?}", text.parse::<i64>()));
        out.u64(text.parse::<u8>().map_or(300, u64::from));
        out.i128(text.parse().unwrap_or(5));
        out.bool(text.parse::<bool>().is_ok());
    }
    for text in ["1", "0.1", "1e22", "1e23", "-2.5e-3", "4.9e-324", "1e400", "nan", ".", "3.14x"] {
        out.f64(text.parse().unwrap_or(-7.0));
    }
    for _ in 0..8 {
        let wide = random.sized_u128();
        out.u128(wide.to_string().parse().unwrap_or(1));
        out.u128(u128::from_str_radix(&format!("{wide:x}"), 16).unwrap_or(2));
        out.u64(u64::from_str_radix(&format!("{:o}", wide as u64), 8).unwrap_or(3));
    }
}

pub fn strings(seed: u64, out: &mut Transcript) {
    let mut random = Random::new(seed);
    let mut text = String::new();
    for _ in 0..60 {
        let letter = ['a', 'Z', '\u{e9}', '\u{4e2d}', ' ', '\u{1F600}'][random.below(6) as usize];
        text.push(letter);
    }
    out.str(&text);
    out.str(&text.to_uppercase());
    out.str(&text.replace(' ', "--"));
    out.u64(text.chars().count() as u64);
    text.char_indices().for_each(|(at, letter)| out.u64((at as u64) << 32 | u64::from(letter)));
    text.split_whitespace().for_each(|word| out.str(word));
    out.u64(text.find('Z').map_or(1000, |at| at as u64));
    out.u64(text.rfind("\u{e9}").map_or(1000, |at| at as u64));
    out.str(&text.chars().rev().collect::<String>());
    out.bool(text.starts_with('a'));
    let mut bytes = text.into_bytes();
    bytes.truncate(31);
    out.str(&String::from_utf8_lossy(&bytes));
    out.u64(
        std::str::from_utf8(&bytes).map_or_else(|e| e.valid_up_to() as u64, |s| s.len() as u64),
    );
    out.str(bytes.escape_ascii().to_string().trim_end());
}
