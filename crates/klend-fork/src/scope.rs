//! Prices of the Scope oracle.
//!
//! A Scope price account is a table of 512 dated prices. A reserve names a chain
//! of up to four entries whose product is its price in US dollars, and another
//! chain for the average it is compared with: JitoSOL/SOL times SOL/USD.

use bytemuck::{Pod, Zeroable};
use flash_liquidator_client::scope::Feed;
use klend_interface::state::{Reserve, ScopeConfiguration};
use klend_model::constants::{SCOPE_PRICES_DISCRIMINATOR, SCOPE_PROGRAM_ID};
use solana_account::Account;
use solana_address::{Address, address};

use crate::tokens;

/// Discriminator, then the address of the oracle mappings.
const HEADER: usize = 8 + 32;
/// Prices in one account.
const ENTRIES: usize = 512;
/// Fills the unused tail of a chain.
const CHAIN_END: u16 = u16::MAX;

/// A price: `value / 10^exp`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Price {
    /// Mantissa.
    pub value: u64,
    /// Number of decimals.
    pub exp: u32,
}

impl Price {
    /// `value / 10^exp`.
    #[must_use]
    pub const fn new(value: u64, exp: u32) -> Self {
        Self { value, exp }
    }

    /// The nearest price with eight decimals, as Scope keeps dollar prices, or
    /// with more for prices below a cent. `None` unless it is positive and fits.
    #[must_use]
    pub fn from_f64(price: f64) -> Option<Self> {
        let exp = if price < 0.01 { 15 } else { 8 };
        let value = (price * 10f64.powi(exp)).round();
        // 2^63: well inside u64 and exactly representable.
        (1.0..9_223_372_036_854_775_808.0)
            .contains(&value)
            .then_some(Self { value: value as u64, exp: exp as u32 })
    }

    /// This price times `numerator / denominator`, rounded down, with the same
    /// number of decimals. `None` when the result does not fit or is zero.
    #[must_use]
    pub fn scaled(self, numerator: u64, denominator: u64) -> Option<Self> {
        let value = (u128::from(self.value) * u128::from(numerator))
            .checked_div(u128::from(denominator))?;
        let value = u64::try_from(value).ok().filter(|value| *value > 0)?;
        Some(Self { value, ..self })
    }

    /// The nearest floating-point number, for display.
    #[must_use]
    pub fn to_f64(self) -> f64 {
        self.value as f64 / 10f64.powi(self.exp as i32)
    }
}

/// One entry of the table.
#[derive(Clone, Copy, Debug, Pod, Zeroable)]
#[repr(C)]
struct Entry {
    value: u64,
    exp: u64,
    slot: u64,
    unix_timestamp: u64,
    generic_data: [u8; 24],
}

const ENTRY: usize = size_of::<Entry>();

/// Whether the account is a Scope price table.
pub(crate) fn is_price_table(account: &Account) -> bool {
    account.owner == SCOPE_PROGRAM_ID
        && account.data.starts_with(&SCOPE_PRICES_DISCRIMINATOR)
        && account.data.len() >= HEADER + ENTRIES * ENTRY
}

/// An empty price table.
pub(crate) fn empty_table(mappings: Address) -> Account {
    let mut data = vec![0; HEADER + ENTRIES * ENTRY];
    data[..8].copy_from_slice(&SCOPE_PRICES_DISCRIMINATOR);
    data[8..HEADER].copy_from_slice(mappings.as_ref());
    tokens::account(SCOPE_PROGRAM_ID, data)
}

/// A reserve's entries in a table.
pub(crate) struct Chains {
    /// Entries of the price.
    pub price: Vec<usize>,
    /// Entries of the average; empty when the reserve does not use one.
    pub twap: Vec<usize>,
}

impl Chains {
    /// The entries the reserve names.
    pub(crate) fn of(reserve: &Reserve) -> Result<Self, String> {
        let token_info = &reserve.config.token_info;
        let ScopeConfiguration { price_chain, twap_chain, .. } = token_info.scope_configuration;
        let price = chain(price_chain)?;
        if price.is_empty() {
            return Err("its price chain is empty".to_owned());
        }
        let twap =
            if token_info.max_twap_divergence_bps == 0 { Vec::new() } else { chain(twap_chain)? };
        Ok(Self { price, twap })
    }

    fn all(&self) -> impl Iterator<Item = usize> + '_ {
        self.price.iter().chain(&self.twap).copied()
    }
}

fn chain(indexes: [u16; 4]) -> Result<Vec<usize>, String> {
    let chain: Vec<_> =
        indexes.into_iter().take_while(|index| *index != CHAIN_END).map(usize::from).collect();
    match chain.iter().find(|index| **index >= ENTRIES) {
        Some(index) => Err(format!("entry {index} of a table of {ENTRIES}")),
        None => Ok(chain),
    }
}

/// A price table being read or written. The account must be one
/// ([`is_price_table`]).
pub(crate) struct Table<'a>(pub &'a mut Account);

impl Table<'_> {
    fn entry(&self, index: usize) -> Entry {
        let start = HEADER + index * ENTRY;
        bytemuck::pod_read_unaligned(&self.0.data[start..start + ENTRY])
    }

    fn set_entry(&mut self, index: usize, entry: &Entry) {
        let start = HEADER + index * ENTRY;
        self.0.data[start..start + ENTRY].copy_from_slice(bytemuck::bytes_of(entry));
    }

    /// Writes one entry.
    pub(crate) fn set(&mut self, index: usize, price: Price, slot: u64, unix_timestamp: u64) {
        let entry = Entry {
            value: price.value,
            exp: price.exp.into(),
            slot,
            unix_timestamp,
            ..self.entry(index)
        };
        self.set_entry(index, &entry);
    }

    /// Dates an entry, its price unchanged.
    fn stamp(&mut self, index: usize, slot: u64, unix_timestamp: u64) {
        let entry = Entry { slot, unix_timestamp, ..self.entry(index) };
        self.set_entry(index, &entry);
    }

    /// Dates every entry that has a price.
    pub(crate) fn stamp_all(&mut self, slot: u64, unix_timestamp: u64) {
        for index in 0..ENTRIES {
            if self.entry(index).value != 0 {
                self.stamp(index, slot, unix_timestamp);
            }
        }
    }

    /// Product of a chain: mantissa and number of decimals.
    fn product(&self, chain: &[usize]) -> Result<(u128, u32), String> {
        let mut product = (1u128, 0u32);
        for &index in chain {
            let entry = self.entry(index);
            let too_large = || format!("the product of entries {chain:?} is too large");
            product.0 = product.0.checked_mul(entry.value.into()).ok_or_else(too_large)?;
            product.1 = u32::try_from(entry.exp)
                .ok()
                .and_then(|exp| product.1.checked_add(exp))
                .ok_or_else(too_large)?;
        }
        Ok(product)
    }

    /// The price of a chain, with as many of its decimals as fit.
    pub(crate) fn price(&self, chain: &[usize]) -> Result<Price, String> {
        let (mut value, mut exp) = self.product(chain)?;
        while value > u128::from(u64::MAX) && exp > 0 {
            value /= 10;
            exp -= 1;
        }
        let value =
            u64::try_from(value).map_err(|_| format!("the product of {chain:?} is too large"))?;
        Ok(Price { value, exp })
    }

    /// Makes both chains amount to `price`, and dates all their entries.
    ///
    /// Only the first entry of a chain changes its price: it is the reserve's
    /// own, later ones (SOL/USD) are shared with other reserves. When both chains
    /// begin with the same entry the price chain decides.
    pub(crate) fn set_price(
        &mut self,
        chains: &Chains,
        price: Price,
        slot: u64,
        unix_timestamp: u64,
    ) -> Result<(), String> {
        for chain in [&chains.twap, &chains.price] {
            if let Some((first, rest)) = chain.split_first() {
                let own = self.solve(*first, rest, price)?;
                self.set(*first, own, slot, unix_timestamp);
            }
        }
        for index in chains.all() {
            self.stamp(index, slot, unix_timestamp);
        }
        Ok(())
    }

    /// What the first entry of a chain has to be for the chain to amount to `price`.
    fn solve(&self, first: usize, rest: &[usize], price: Price) -> Result<Price, String> {
        if rest.is_empty() {
            return Ok(price);
        }
        let (rest_value, rest_exp) = self.product(rest)?;
        let impossible =
            || format!("entry {first} cannot make {} out of entries {rest:?}", price.to_f64());
        // value / 10^exp = price.value / 10^price.exp * 10^rest_exp / rest_value,
        // with as many decimals as the entry has, but enough for a good ratio.
        let exp = u32::try_from(self.entry(first).exp).map_err(|_| impossible())?.max(12);
        let power = exp + rest_exp;
        let scale = |power: u32| 10u128.checked_pow(power).ok_or_else(impossible);
        let numerator = if power >= price.exp {
            u128::from(price.value).checked_mul(scale(power - price.exp)?).ok_or_else(impossible)?
        } else {
            u128::from(price.value) / scale(price.exp - power)?
        };
        let value = numerator
            .checked_add(rest_value / 2)
            .and_then(|sum| sum.checked_div(rest_value))
            .and_then(|value| u64::try_from(value).ok())
            .filter(|value| *value > 0)
            .ok_or_else(impossible)?;
        Ok(Price { value, exp })
    }
}

/// How many of Scope's entries a reserve's price is the product of; 0 where it does not
/// read Scope.
#[must_use]
pub fn chain_len(reserve: &Reserve) -> usize {
    Chains::of(reserve).map_or(0, |chains| chains.price.len())
}

/// A reserve's price in a price table that is in no world.
///
/// # Errors
/// It is no price table, or the reserve names no chain in it.
pub fn price_in(account: &Account, reserve: &Reserve) -> Result<Price, String> {
    let chains = Chains::of(reserve)?;
    let mut account = account.clone();
    table(&mut account)?.price(&chains.price)
}

/// [`World::set_price`](crate::World::set_price) for a price table that is in no world.
///
/// # Errors
/// As there.
pub fn reprice(
    account: &mut Account,
    reserve: &Reserve,
    price: Price,
    slot: u64,
    unix_timestamp: u64,
) -> Result<(), String> {
    let chains = Chains::of(reserve)?;
    table(account)?.set_price(&chains, price, slot, unix_timestamp)
}

/// What an entry of a price table is written from, as Scope's mappings have it.
#[derive(Clone, Copy, Debug)]
pub struct Mapped<'a> {
    /// The entry's number.
    pub index: u16,
    /// The account; Scope's program where there is none.
    pub account: Address,
    /// Scope's number for the type.
    pub kind: u8,
    /// Figures of the type, at the beginning of its twenty bytes.
    pub figures: &'a [u16],
}

/// A mappings account with these entries and no other.
#[must_use]
pub fn mappings(entries: &[Mapped<'_>]) -> Account {
    const ACCOUNTS: usize = 8;
    const TYPES: usize = ACCOUNTS + ENTRIES * 32;
    const REFERENCES: usize = TYPES + ENTRIES * 4;
    const FIGURES: usize = TYPES + ENTRIES * 6;
    const FIGURES_LEN: usize = 20;
    let mut data = vec![0; FIGURES + ENTRIES * FIGURES_LEN];
    data[..8].copy_from_slice(&[40, 244, 110, 80, 255, 214, 243, 188]);
    // No reference prices.
    data[REFERENCES..FIGURES].fill(0xff);
    for mapped in entries {
        let at = usize::from(mapped.index);
        data[ACCOUNTS + at * 32..][..32].copy_from_slice(mapped.account.as_ref());
        data[TYPES + at] = mapped.kind;
        for (number, figure) in mapped.figures.iter().enumerate() {
            let place = FIGURES + at * FIGURES_LEN + number * 2;
            data[place..place + 2].copy_from_slice(&figure.to_le_bytes());
        }
    }
    tokens::account(SCOPE_PROGRAM_ID, data)
}

/// The averages of a price table, all of them empty.
#[must_use]
pub fn averages(prices: &Address, mappings: &Address) -> Account {
    const AVERAGES_LEN: usize = 344_128;
    let mut data = vec![0; 8 + AVERAGES_LEN];
    data[..40].copy_from_slice(&Feed::twaps_filter(prices));
    data[40..72].copy_from_slice(mappings.as_ref());
    tokens::account(SCOPE_PROGRAM_ID, data)
}

/// A Whirlpool as far as Scope reads one: its two mints, and what a unit of the first is
/// worth in units of the second.
#[must_use]
pub fn whirlpool(mints: [&Address; 2], units: f64) -> Account {
    const OWNER: Address = address!("whirLbMiicVdio4qvUfM5KAg6Ct8VwpYzGff3uctyCc");
    let mut data = vec![0; 653];
    data[..8].copy_from_slice(&[63, 149, 209, 12, 225, 128, 99, 9]);
    // A tick spacing, and the fee tier of that name.
    data[41..45].copy_from_slice(&[64, 0, 64, 0]);
    // The root of the price, with 64 bits behind the point.
    let root = (units.sqrt() * 2f64.powi(64)) as u128;
    data[65..81].copy_from_slice(&root.to_le_bytes());
    data[101..133].copy_from_slice(mints[0].as_ref());
    data[181..213].copy_from_slice(mints[1].as_ref());
    tokens::account(OWNER, data)
}

/// Dates all prices of a price table; `false` if it is none.
pub fn restamp(account: &mut Account, slot: u64, unix_timestamp: u64) -> bool {
    let dated = table(account).map(|mut table| table.stamp_all(slot, unix_timestamp));
    dated.is_ok()
}

fn table(account: &mut Account) -> Result<Table<'_>, String> {
    if is_price_table(account) {
        Ok(Table(account))
    } else {
        Err("its oracle is no price table of Scope".to_owned())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn table() -> Account {
        let mut account = empty_table(Address::new_from_array([1; 32]));
        let mut table = Table(&mut account);
        table.set(0, Price::new(20_000_000_000, 8), 5, 50);
        table.set(52, Price::new(19_900_000_000, 8), 5, 50);
        table.set(51, Price::new(1_150_000_000_000, 12), 4, 40);
        account
    }

    #[test]
    fn a_single_entry_takes_the_price_as_it_is() {
        let mut account = table();
        let mut table = Table(&mut account);
        let chains = Chains { price: vec![0], twap: vec![52] };
        table.set_price(&chains, Price::new(123_456, 3), 9, 90).unwrap();
        for index in [0, 52] {
            let Entry { value, exp, slot, unix_timestamp, .. } = table.entry(index);
            assert_eq!((value, exp, slot, unix_timestamp), (123_456, 3, 9, 90));
        }
    }

    #[test]
    fn of_a_chain_only_the_first_entry_changes_its_price() {
        let mut account = table();
        let mut table = Table(&mut account);
        let chains = Chains { price: vec![51, 0], twap: vec![51, 52] };
        table.set_price(&chains, Price::from_f64(210.0).unwrap(), 9, 90).unwrap();
        assert_eq!(table.entry(51).value, 1_050_000_000_000);
        assert_eq!(table.entry(0).value, 20_000_000_000);
        assert_eq!(table.entry(0).unix_timestamp, 90, "dated all the same");
        assert_eq!(table.price(&chains.price).unwrap().to_f64(), 210.0);
    }

    #[test]
    fn prices_that_cannot_be_are_refused() {
        for price in [0.0, -1.0, f64::NAN, f64::INFINITY, 1e30] {
            assert_eq!(Price::from_f64(price), None, "{price}");
        }
        assert_eq!(Price::from_f64(0.000_02), Some(Price::new(20_000_000_000, 15)));
        assert_eq!(
            Price::new(17_858_116_104, 8).scaled(80, 100),
            Some(Price::new(14_286_492_883, 8))
        );
        assert_eq!(Price::new(1, 8).scaled(1, 2), None);
        assert_eq!(Price::new(1, 8).scaled(1, 0), None);
    }

    #[test]
    fn a_table_without_a_world_is_moved_and_dated() {
        let mut reserve = Reserve::zeroed();
        let scope = &mut reserve.config.token_info.scope_configuration;
        scope.price_chain = [51, 0, CHAIN_END, CHAIN_END];
        let mut account = table();
        assert_eq!(
            (chain_len(&reserve), price_in(&account, &reserve).unwrap().to_f64()),
            (2, 230.0)
        );
        reprice(&mut account, &reserve, Price::from_f64(210.0).unwrap(), 9, 90).unwrap();
        assert_eq!(price_in(&account, &reserve).unwrap().to_f64(), 210.0);
        assert!(restamp(&mut account, 10, 100));
        assert_eq!(Table(&mut account).entry(52).unix_timestamp, 100);
        account.owner = Address::default();
        assert!(!restamp(&mut account, 10, 100) && price_in(&account, &reserve).is_err());
    }

    #[test]
    fn chains_end_where_they_say_and_stay_inside_the_table() {
        assert_eq!(chain([51, 0, CHAIN_END, CHAIN_END]), Ok(vec![51, 0]));
        assert_eq!(
            chain([512, CHAIN_END, CHAIN_END, CHAIN_END]),
            Err("entry 512 of a table of 512".to_owned())
        );
    }
}
