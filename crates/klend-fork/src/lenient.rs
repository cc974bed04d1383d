//! Numbers as others write them.
//!
//! An account that is exempt from rent has the largest 64-bit number as the epoch of its
//! rent, and whoever passes JSON on by JavaScript rounds it: 18446744073709552000, or
//! 1.8446744073709552e19.

use std::fmt;

use serde::{
    Deserialize as _, Deserializer,
    de::{Error, Visitor},
};

/// The epoch in which an account that is exempt pays rent: none.
#[must_use]
pub fn exempt() -> u64 {
    u64::MAX
}

/// Reads an unsigned number: whole, as a float that is whole, or as text. What is beyond
/// 64 bits by rounding is the largest there is.
///
/// # Errors
/// It is none of these.
pub fn number<'de, D: Deserializer<'de>>(deserializer: D) -> Result<u64, D::Error> {
    deserializer.deserialize_any(Number)
}

/// The same of a number that need not be there: what cannot be read as one is not.
///
/// # Errors
/// It is no value at all.
pub fn perhaps<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<u64>, D::Error> {
    let value = serde_json::Value::deserialize(deserializer)?;
    Ok(number(value).ok())
}

struct Number;

impl Visitor<'_> for Number {
    type Value = u64;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a whole number that is not negative")
    }

    fn visit_u64<E: Error>(self, number: u64) -> Result<u64, E> {
        Ok(number)
    }

    fn visit_f64<E: Error>(self, number: f64) -> Result<u64, E> {
        let is_number = number >= 0.0 && number.fract() == 0.0 && number <= u64::MAX as f64;
        // The largest one is not a float: rounded up, it is brought back.
        if is_number { Ok(number as u64) } else { Err(E::custom(format!("{number} is none"))) }
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<u64, E> {
        text.parse().map_err(|_| E::custom(format!("{text:?} is none")))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_that_need_not_be_there_are_read_or_left_out() {
        for (text, meant) in
            [("7", Some(7)), ("\"7\"", Some(7)), ("7.0", Some(7)), ("null", None), ("{}", None)]
        {
            let read = perhaps(&mut serde_json::Deserializer::from_str(text));
            assert_eq!(read.unwrap(), meant, "{text}");
        }
    }

    #[test]
    fn numbers_are_read_as_they_were_meant() {
        let read = |text: &str| {
            number(&mut serde_json::Deserializer::from_str(text)).map_err(|error| error.to_string())
        };
        for (text, meant) in [
            ("7", 7),
            ("7.0", 7),
            ("\"7\"", 7),
            ("18446744073709551615", u64::MAX),
            ("18446744073709552000", u64::MAX),
            ("1.8446744073709552e19", u64::MAX),
            ("\"18446744073709551615\"", u64::MAX),
        ] {
            assert_eq!(read(text), Ok(meant), "{text}");
        }
        for text in ["-1", "1.5", "1e20", "null", "\"seven\"", "[]"] {
            assert!(read(text).is_err(), "{text}");
        }
    }
}
