//! Takes settings out of a table and notes what is wrong with them.

use std::collections::BTreeSet;

use solana_address::Address;
use toml::{Table, Value};

/// A URL with one of these schemes.
pub(super) fn url_of(value: &Value, schemes: &[&str]) -> Option<String> {
    let (scheme, rest) = value.as_str()?.split_once("://")?;
    (schemes.contains(&scheme) && !rest.is_empty()).then(|| value.as_str().map(str::to_owned))?
}

/// Takes keys out of a table and notes what is wrong with them.
pub(super) struct Reader {
    table: Table,
    pub(super) mistakes: Vec<String>,
    /// Settings that there are: those that were asked for.
    pub(super) known: BTreeSet<String>,
}

/// Letters that a name and the one it was meant to be have in common at least.
const ALIKE: usize = 3;

impl Reader {
    pub(super) const fn new(table: Table) -> Self {
        Self { table, mistakes: Vec::new(), known: BTreeSet::new() }
    }

    /// Takes what a table within has; its mistakes and settings have its name in front.
    pub(super) fn within<T>(&mut self, name: &str, read: impl FnOnce(&mut Self) -> T) -> Option<T> {
        let given = self.take(name, "a table", |value| value.as_table().cloned());
        let is_given = given.is_some();
        let mut inner = Self::new(given.unwrap_or_default());
        let value = read(&mut inner);
        let all = |of: &str| format!("{name}.{of}");
        self.known.extend(inner.known.iter().map(|key| all(key)));
        // Of what is not there, nothing is missing.
        let mistakes = if is_given { inner.finish() } else { Vec::new() };
        self.mistakes.extend(mistakes.iter().map(|what| all(what)));
        is_given.then_some(value)
    }

    pub(super) fn has(&self, key: &str) -> bool {
        self.table.contains_key(key)
    }

    /// A setting as it is given.
    pub(super) fn remove(&mut self, key: &str) -> Option<Value> {
        self.known.insert(key.to_owned());
        self.table.remove(key)
    }

    pub(super) fn mistake(&mut self, key: &str, what: String) {
        self.mistakes.push(format!("{key}: {what}"));
    }

    pub(super) fn take<T>(
        &mut self,
        key: &str,
        expected: &str,
        read: impl FnOnce(&Value) -> Option<T>,
    ) -> Option<T> {
        let value = self.remove(key)?;
        let read = read(&value);
        if read.is_none() {
            self.mistake(key, format!("expected {expected}, got {value}"));
        }
        read
    }

    pub(super) fn boolean(&mut self, key: &str) -> Option<bool> {
        self.take(key, "true or false", Value::as_bool)
    }

    pub(super) fn string(&mut self, key: &str) -> Option<String> {
        self.take(key, "a string", |value| value.as_str().map(str::to_owned))
    }

    pub(super) fn parsed<T: std::str::FromStr>(&mut self, key: &str, expected: &str) -> Option<T> {
        self.take(key, expected, |value| value.as_str()?.parse().ok())
    }

    pub(super) fn url(&mut self, key: &str, schemes: &[&str]) -> Option<String> {
        let expected = format!("a URL that begins with {}://", schemes.join(":// or "));
        // Not quoted back: it may hold a provider's API key.
        let value = self.remove(key)?;
        let url = url_of(&value, schemes);
        if url.is_none() {
            self.mistake(key, format!("expected {expected}"));
        }
        url
    }

    /// Like [`Self::url`], and as silent about what is wrong with them.
    pub(super) fn urls(&mut self, key: &str) -> Vec<String> {
        let Some(value) = self.remove(key) else { return Vec::new() };
        let urls = value.as_array().and_then(|items| {
            let url = |item: &Value| url_of(item, &["http", "https"]);
            items.iter().map(url).collect::<Option<Vec<String>>>()
        });
        if urls.is_none() {
            self.mistake(
                key,
                "expected a list of URLs that begin with http:// or https://".to_owned(),
            );
        }
        urls.unwrap_or_default()
    }

    pub(super) fn address(&mut self, key: &str) -> Option<Address> {
        self.parsed(key, "an address")
    }

    pub(super) fn addresses(&mut self, key: &str) -> Vec<Address> {
        self.take(key, "a list of addresses", |value| {
            value.as_array()?.iter().map(|item| item.as_str()?.parse().ok()).collect()
        })
        .unwrap_or_default()
    }

    pub(super) fn integer(&mut self, key: &str, from: i64, to: i64) -> Option<u64> {
        self.take(key, &format!("an integer from {from} to {to}"), |value| {
            let integer = value.as_integer().filter(|integer| (from..=to).contains(integer))?;
            u64::try_from(integer).ok()
        })
    }

    pub(super) fn bps(&mut self, key: &str, default: u16) -> u16 {
        self.integer(key, 0, 10_000).and_then(|bps| u16::try_from(bps).ok()).unwrap_or(default)
    }

    pub(super) fn amount(&mut self, key: &str) -> Option<f64> {
        self.take(key, "an amount in US dollars, not negative", |value| {
            let amount = value.as_float().or_else(|| value.as_integer().map(|int| int as f64))?;
            (amount.is_finite() && amount >= 0.0).then_some(amount)
        })
    }

    pub(super) fn lamports(&mut self, key: &str) -> Option<u64> {
        const MOST: f64 = 1e6;
        self.take(key, "an amount in SOL, not negative and at most 1,000,000", |value| {
            let sol = value.as_float().or_else(|| value.as_integer().map(|int| int as f64))?;
            (0.0..=MOST).contains(&sol).then_some((sol * 1e9).round() as u64)
        })
    }

    pub(super) fn finish(mut self) -> Vec<String> {
        let unknown: Vec<String> = self.table.keys().cloned().collect();
        for key in unknown {
            let alike = |known: &&String| {
                known.bytes().zip(key.bytes()).take_while(|(a, b)| a == b).count()
            };
            let nearest = self.known.iter().max_by_key(alike).filter(|it| alike(it) >= ALIKE);
            let hint = nearest.map_or_else(String::new, |it| format!("; there is {it}"));
            self.mistake(&key, format!("there is no such setting{hint}"));
        }
        self.mistakes
    }
}
