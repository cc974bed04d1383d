//! The lists behind an instruction's own accounts: oracles, spot markets, perp
//! markets, in this order, each as long as accounts of its kind follow.

use core::slice::Iter;
use std::collections::BTreeMap;

use solana_program::{account_info::AccountInfo, clock::Clock, pubkey::Pubkey, sysvar::Sysvar};

use crate::{
    Exchange,
    error::{Error, Result, fits, require},
    state::{Layout, Oracle, PerpMarket, Prelaunch, SpotMarket, is},
};

/// A market's `oracle_source` before its token's launch.
const PRELAUNCH: u8 = 6;

/// A price of one dollar.
const ONE_DOLLAR: i64 = 1_000_000;

/// Accounts behind an instruction's own.
pub type Rest<'a, 'info> = Iter<'a, AccountInfo<'info>>;

/// What is listed, by index, with the account it came from.
pub struct Markets<'a, 'info> {
    oracles: BTreeMap<Pubkey, Oracle>,
    spot: BTreeMap<u16, (SpotMarket, &'a AccountInfo<'info>)>,
    perp: BTreeMap<u16, (PerpMarket, &'a AccountInfo<'info>)>,
}

impl<'a, 'info> Markets<'a, 'info> {
    /// Reads the lists off the front of `rest`. 6090 and 6081 when a market in
    /// `changed_spot` or `changed_perp` is listed and not writable.
    pub fn load(
        rest: &mut Rest<'a, 'info>,
        changed_spot: &[u16],
        changed_perp: &[u16],
    ) -> Result<Self> {
        let slot = Clock::get()?.slot;
        let mut oracles = BTreeMap::new();
        let mut written = Vec::new();
        loop {
            if let Some((oracle, account)) = next::<Oracle>(rest)? {
                oracles.insert(*account.key, oracle);
            } else if let Some((oracle, account)) = next::<Prelaunch>(rest)? {
                let price = oracle.price.min(oracle.max_price);
                let read = Oracle { price, exponent: -6, posted_slot: slot };
                oracles.insert(*account.key, read);
                written.push((oracle, account));
            } else {
                break;
            }
        }
        let mut spot = BTreeMap::new();
        while let Some((market, account)) = next::<SpotMarket>(rest)? {
            let is_changed = changed_spot.contains(&market.index);
            require(!is_changed || account.is_writable, Error::SpotMarketWrongMutability)?;
            spot.insert(market.index, (market, account));
        }
        let mut perp = BTreeMap::new();
        while let Some((market, account)) = next::<PerpMarket>(rest)? {
            let is_changed = changed_perp.contains(&market.index);
            require(!is_changed || account.is_writable, Error::MarketWrongMutability)?;
            if is_changed && market.oracle_source == PRELAUNCH {
                let oracle = written.iter_mut().find(|(_, account)| *account.key == market.oracle);
                let (oracle, account) = oracle.ok_or(Error::OracleNotFound)?;
                oracle.updated_slot = slot;
                let exchange = Exchange::of(account.owner);
                let exchange = exchange.ok_or(Error::AccountOwnedByWrongProgram)?;
                oracle.write(&mut account.try_borrow_mut_data()?, exchange);
            }
            perp.insert(market.index, (market, account));
        }
        Ok(Self { oracles, spot, perp })
    }

    /// A spot market. 6087 when it is not listed.
    pub fn spot(&self, index: u16) -> Result<&SpotMarket> {
        Ok(&self.spot.get(&index).ok_or(Error::SpotMarketNotFound)?.0)
    }

    /// A spot market, to be changed.
    pub fn spot_mut(&mut self, index: u16) -> Result<&mut SpotMarket> {
        Ok(&mut self.spot.get_mut(&index).ok_or(Error::SpotMarketNotFound)?.0)
    }

    /// A perp market. 6078 when it is not listed.
    pub fn perp(&self, index: u16) -> Result<&PerpMarket> {
        Ok(&self.perp.get(&index).ok_or(Error::PerpMarketNotFound)?.0)
    }

    /// A perp market, to be changed.
    pub fn perp_mut(&mut self, index: u16) -> Result<&mut PerpMarket> {
        Ok(&mut self.perp.get_mut(&index).ok_or(Error::PerpMarketNotFound)?.0)
    }

    /// An oracle's price in millionths of a dollar. 6036 when it is not listed.
    pub fn price(&self, oracle: &Pubkey) -> Result<i64> {
        if *oracle == Pubkey::default() {
            return Ok(ONE_DOLLAR);
        }
        price(self.oracles.get(oracle).ok_or(Error::OracleNotFound)?)
    }

    /// Lets a spot market's average follow its oracle's price.
    pub fn follow_spot(&mut self, index: u16) -> Result<()> {
        let price = self.price(&self.spot(index)?.oracle)?;
        self.spot_mut(index)?.average.follow(price, Clock::get()?.unix_timestamp);
        Ok(())
    }

    /// Lets a perp market's average follow its oracle's price.
    pub fn follow_perp(&mut self, index: u16) -> Result<()> {
        let price = self.price(&self.perp(index)?.oracle)?;
        self.perp_mut(index)?.average.follow(price, Clock::get()?.unix_timestamp);
        Ok(())
    }

    /// Slot that an oracle's price was posted in. 6036 when it is not listed.
    pub fn posted_slot(&self, oracle: &Pubkey) -> Result<u64> {
        Ok(self.oracles.get(oracle).ok_or(Error::OracleNotFound)?.posted_slot)
    }

    /// Writes the spot markets of these indexes back.
    pub fn store_spot(&self, indexes: &[u16]) -> Result<()> {
        indexes.iter().filter_map(|index| self.spot.get(index)).try_for_each(store)
    }

    /// Writes a perp market back.
    pub fn store_perp(&self, index: u16) -> Result<()> {
        self.perp.get(&index).map_or(Ok(()), store)
    }
}

fn store<T: Layout>((market, account): &(T, &AccountInfo)) -> Result<()> {
    market.store(account)
}

/// The next account, if it is of this kind.
fn next<'a, 'info, T: Layout>(
    rest: &mut Rest<'a, 'info>,
) -> Result<Option<(T, &'a AccountInfo<'info>)>> {
    let Some(account) = rest.as_slice().first() else { return Ok(None) };
    let data = account.try_borrow_data()?;
    let Some(exchange) = Exchange::of(account.owner) else { return Ok(None) };
    if !is(&data, &T::DISCRIMINATOR, T::LEN[exchange as usize]) {
        return Ok(None);
    }
    rest.next();
    Ok(Some((T::read(&data, exchange), account)))
}

fn price(oracle: &Oracle) -> Result<i64> {
    let scale = oracle.exponent.checked_add(6).ok_or(Error::MathError)?;
    let factor = 10i128.checked_pow(scale.unsigned_abs()).ok_or(Error::MathError)?;
    let price = i128::from(oracle.price);
    let price = if scale >= 0 { price.checked_mul(factor) } else { price.checked_div(factor) };
    fits(price.filter(|price| *price > 0).ok_or(Error::MathError)?)
}
