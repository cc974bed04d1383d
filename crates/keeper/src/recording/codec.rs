//! How a recording spells numbers, keys and accounts: as few bytes as an update needs.
//!
//! Both ends remember every key and the last data of every account, so a key is written
//! once and an account as the bytes that changed.

use std::collections::HashMap;

use anyhow::{Context as _, Result, bail};
use solana_account::Account;
use solana_address::Address;

/// Longest data of an account, and longest text: what the runtime allows an account.
const LONGEST: usize = 10 * 1024 * 1024;
/// Equal bytes between two changed ones that are written rather than begin a new run.
const JOINED: usize = 4;

/// What of an account is not its data.
#[derive(Clone, Copy, Debug, PartialEq)]
struct About {
    lamports: u64,
    owner: Address,
    executable: bool,
    rent_epoch: u64,
}

/// An address that was spelled, and what was last told of it.
#[derive(Debug)]
struct Known {
    key: Address,
    about: Option<About>,
    data: Vec<u8>,
}

/// What an end remembers.
#[derive(Debug, Default)]
struct Memory {
    places: HashMap<Address, usize>,
    known: Vec<Known>,
}

impl Memory {
    fn learn(&mut self, key: &Address) -> usize {
        let place = self.known.len();
        self.places.insert(*key, place);
        self.known.push(Known { key: *key, about: None, data: Vec::new() });
        place
    }
}

/// Spells.
#[derive(Debug, Default)]
pub struct Pen {
    /// What was spelled and not taken yet.
    pub text: Vec<u8>,
    memory: Memory,
}

impl Pen {
    /// A number, seven bits a byte, the low ones first.
    pub fn number(&mut self, mut value: u64) {
        while value >= 0x80 {
            self.text.push(value as u8 | 0x80);
            value >>= 7;
        }
        self.text.push(value as u8);
    }

    /// A number that may be negative.
    pub fn signed(&mut self, value: i64) {
        self.number((value.wrapping_shl(1) ^ (value >> 63)) as u64);
    }

    pub fn flag(&mut self, value: bool) {
        self.text.push(value.into());
    }

    pub fn words(&mut self, value: &str) {
        self.number(value.len() as u64);
        self.text.extend(value.as_bytes());
    }

    pub fn hash(&mut self, value: &[u8; 32]) {
        self.text.extend(value);
    }

    pub fn list<T>(&mut self, values: &[T], mut spell: impl FnMut(&mut Self, &T)) {
        self.number(values.len() as u64);
        for value in values {
            spell(self, value);
        }
    }

    pub fn option<T>(&mut self, value: Option<&T>, spell: impl FnOnce(&mut Self, &T)) {
        self.flag(value.is_some());
        if let Some(value) = value {
            spell(self, value);
        }
    }

    /// What was found, or why nothing was.
    pub fn answer<T>(&mut self, value: &Result<T, String>, spell: impl FnOnce(&mut Self, &T)) {
        self.flag(value.is_ok());
        match value {
            Ok(value) => spell(self, value),
            Err(reason) => self.words(reason),
        }
    }

    /// A key; returns its place.
    pub fn key(&mut self, key: &Address) -> usize {
        if let Some(place) = self.memory.places.get(key).copied() {
            self.number(place as u64 + 1);
            return place;
        }
        self.number(0);
        self.text.extend(key.as_ref());
        self.memory.learn(key)
    }

    pub fn keys(&mut self, keys: &[Address]) {
        self.list(keys, |pen, key| {
            pen.key(key);
        });
    }

    /// An account and its address.
    pub fn account(&mut self, key: &Address, account: &Account) {
        let place = self.key(key);
        let Account { lamports, owner, executable, rent_epoch, ref data } = *account;
        let about = About { lamports, owner, executable, rent_epoch };
        let is_new = self.memory.known[place].about != Some(about);
        self.flag(is_new);
        if is_new {
            self.number(lamports);
            self.key(&owner);
            self.flag(executable);
            self.number(rent_epoch);
            self.memory.known[place].about = Some(about);
        }
        self.data(place, data);
    }

    /// The data of an account that nothing else is told of, and its address.
    pub fn bare(&mut self, key: &Address, data: &[u8]) {
        let place = self.key(key);
        self.data(place, data);
    }

    /// Length, then runs of changed bytes: how many equal ones before, how many, and
    /// these. Where nothing was known there were zeros.
    fn data(&mut self, place: usize, data: &[u8]) {
        let mut known = std::mem::take(&mut self.memory.known[place].data);
        self.number(data.len() as u64);
        if known != data {
            known.resize(data.len(), 0);
            let runs = runs(&known, data);
            self.number(runs.len() as u64);
            let mut at = 0;
            for (start, end) in runs {
                self.number((start - at) as u64);
                self.number((end - start) as u64);
                self.text.extend(&data[start..end]);
                at = end;
            }
            known.copy_from_slice(data);
        } else {
            self.number(0);
        }
        self.memory.known[place].data = known;
    }
}

/// Where two texts of one length differ.
fn runs(a: &[u8], b: &[u8]) -> Vec<(usize, usize)> {
    const BLOCK: usize = 64;
    let mut runs: Vec<(usize, usize)> = Vec::new();
    for (block, (a, b)) in a.chunks(BLOCK).zip(b.chunks(BLOCK)).enumerate() {
        if a == b {
            continue;
        }
        for at in (0..a.len()).filter(|at| a[*at] != b[*at]) {
            let at = block * BLOCK + at;
            match runs.last_mut() {
                Some((_, end)) if at - *end <= JOINED => *end = at + 1,
                _ => runs.push((at, at + 1)),
            }
        }
    }
    runs
}

/// What the reading end remembers.
#[derive(Debug, Default)]
pub struct Lookup(Memory);

/// Reads what a [`Pen`] spelled.
pub struct Eye<'a> {
    text: &'a [u8],
    lookup: &'a mut Lookup,
}

impl<'a> Eye<'a> {
    pub fn new(text: &'a [u8], lookup: &'a mut Lookup) -> Self {
        Self { text, lookup }
    }

    pub fn is_at_end(&self) -> bool {
        self.text.is_empty()
    }

    /// Bytes that were not read yet.
    pub fn left(&self) -> u64 {
        self.text.len() as u64
    }

    fn take(&mut self, len: usize) -> Result<&'a [u8]> {
        let short = || format!("{} bytes are left, {len} are needed", self.text.len());
        let (taken, rest) = self.text.split_at_checked(len).with_context(short)?;
        self.text = rest;
        Ok(taken)
    }

    pub fn byte(&mut self) -> Result<u8> {
        Ok(self.take(1)?[0])
    }

    pub fn number(&mut self) -> Result<u64> {
        let mut value = 0;
        for shift in (0..64).step_by(7) {
            let byte = self.byte()?;
            let bits = u64::from(byte & 0x7f);
            if bits << shift >> shift != bits {
                break;
            }
            value |= bits << shift;
            if byte < 0x80 {
                return Ok(value);
            }
        }
        bail!("a number of more than 64 bits")
    }

    pub fn signed(&mut self) -> Result<i64> {
        let value = self.number()?;
        Ok((value >> 1) as i64 ^ -((value & 1) as i64))
    }

    pub fn flag(&mut self) -> Result<bool> {
        match self.byte()? {
            0 => Ok(false),
            1 => Ok(true),
            other => bail!("{other} where 0 or 1 was expected"),
        }
    }

    fn len(&mut self) -> Result<usize> {
        let len = usize::try_from(self.number()?)?;
        if len > LONGEST {
            bail!("{len} bytes where at most {LONGEST} can be");
        }
        Ok(len)
    }

    pub fn words(&mut self) -> Result<String> {
        let len = self.len()?;
        Ok(std::str::from_utf8(self.take(len)?)?.to_owned())
    }

    pub fn hash(&mut self) -> Result<[u8; 32]> {
        Ok(self.take(32)?.try_into()?)
    }

    pub fn list<T>(&mut self, mut read: impl FnMut(&mut Self) -> Result<T>) -> Result<Vec<T>> {
        // As long as it is said to be: no room is made for what may not be there.
        (0..self.number()?).map(|_| read(self)).collect()
    }

    pub fn option<T>(&mut self, read: impl FnOnce(&mut Self) -> Result<T>) -> Result<Option<T>> {
        Ok(if self.flag()? { Some(read(self)?) } else { None })
    }

    pub fn answer<T>(
        &mut self,
        read: impl FnOnce(&mut Self) -> Result<T>,
    ) -> Result<Result<T, String>> {
        Ok(if self.flag()? { Ok(read(self)?) } else { Err(self.words()?) })
    }

    fn place(&mut self) -> Result<usize> {
        let number = usize::try_from(self.number()?)?;
        let Some(place) = number.checked_sub(1) else {
            let key = Address::new_from_array(self.hash()?);
            return Ok(self.lookup.0.learn(&key));
        };
        let known = self.lookup.0.known.len();
        if place >= known {
            bail!("key {place} is named, and {known} are known");
        }
        Ok(place)
    }

    pub fn key(&mut self) -> Result<Address> {
        let place = self.place()?;
        Ok(self.lookup.0.known[place].key)
    }

    pub fn keys(&mut self) -> Result<Vec<Address>> {
        self.list(Self::key)
    }

    pub fn account(&mut self) -> Result<(Address, Account)> {
        let place = self.place()?;
        if self.flag()? {
            let lamports = self.number()?;
            let owner = self.key()?;
            let (executable, rent_epoch) = (self.flag()?, self.number()?);
            let about = About { lamports, owner, executable, rent_epoch };
            self.lookup.0.known[place].about = Some(about);
        }
        self.data(place)?;
        let Known { key, about, data } = &self.lookup.0.known[place];
        let About { lamports, owner, executable, rent_epoch } =
            about.with_context(|| format!("of account {key} only the data was told"))?;
        Ok((*key, Account { lamports, data: data.clone(), owner, executable, rent_epoch }))
    }

    pub fn bare(&mut self) -> Result<(Address, &[u8])> {
        let place = self.place()?;
        self.data(place)?;
        let known = &self.lookup.0.known[place];
        Ok((known.key, &known.data))
    }

    fn data(&mut self, place: usize) -> Result<()> {
        let len = self.len()?;
        let mut data = std::mem::take(&mut self.lookup.0.known[place].data);
        data.resize(len, 0);
        let mut at = 0_usize;
        for _ in 0..self.number()? {
            let start = at.saturating_add(self.len()?);
            let end = start.saturating_add(self.len()?);
            let run = self.take(end - start)?;
            let place = data
                .get_mut(start..end)
                .with_context(|| format!("bytes up to {end} of an account of {len}"))?;
            place.copy_from_slice(run);
            at = end;
        }
        self.lookup.0.known[place].data = data;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn account(data: Vec<u8>, lamports: u64) -> Account {
        let owner = Address::new_from_array([3; 32]);
        Account { lamports, data, owner, executable: lamports == 7, rent_epoch: u64::MAX }
    }

    proptest! {
        /// Whatever is told of a few accounts, in whatever order and length.
        #[test]
        fn what_is_spelled_is_read(
            states in prop::collection::vec((0_u8..3, 0_usize..300, any::<[u8; 3]>(), 0_u64..9), 1..30),
            signed in any::<i64>(),
            number in any::<u64>(),
        ) {
            let mut told = Vec::new();
            let mut last = vec![0; 300];
            for (key, len, [at, value, gap], lamports) in states {
                last[usize::from(at)] = value;
                last[usize::from(at) + usize::from(gap % 9)] = value;
                told.push((Address::new_from_array([key; 32]), account(last[..len].to_vec(), lamports)));
            }
            let mut pen = Pen::default();
            pen.signed(signed);
            pen.number(number);
            for (key, account) in &told {
                pen.account(key, account);
                pen.bare(key, &account.data);
            }
            let mut lookup = Lookup::default();
            let mut eye = Eye::new(&pen.text, &mut lookup);
            prop_assert_eq!((eye.signed().unwrap(), eye.number().unwrap()), (signed, number));
            for (key, account) in &told {
                prop_assert_eq!(&eye.account().unwrap(), &(*key, account.clone()));
                prop_assert_eq!(eye.bare().unwrap(), (*key, &account.data[..]));
            }
            prop_assert!(eye.is_at_end());
        }

        /// Anything may be in a file.
        #[test]
        fn nothing_read_is_a_panic(text in prop::collection::vec(any::<u8>(), 0..200)) {
            let mut lookup = Lookup::default();
            let mut eye = Eye::new(&text, &mut lookup);
            while !eye.is_at_end() && eye.account().is_ok() {}
            let _ = Eye::new(&text, &mut lookup).keys();
            let _ = Eye::new(&text, &mut lookup).words();
        }
    }

    #[test]
    fn a_change_costs_what_changed() {
        let key = Address::new_from_array([1; 32]);
        let mut pen = Pen::default();
        let mut data = vec![0; 8_000];
        data[100] = 1;
        pen.account(&key, &account(data.clone(), 5));
        // Two keys, the zeros not.
        assert!(pen.text.len() < 100, "{}", pen.text.len());
        let before = pen.text.len();
        data[7_000..7_008].fill(9);
        pen.account(&key, &account(data, 5));
        assert!(pen.text.len() - before < 20, "{}", pen.text.len() - before);
    }
}
