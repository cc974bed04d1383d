//! The list of markets behind an instruction's own accounts.
//!
//! Both exchanges want every instruction that looks at margin to list the
//! oracles, spot markets and perp markets of all positions of the users involved.
//! [`User`] says which markets those are, [`SpotMarket`] and [`PerpMarket`] which
//! oracles, and [`Markets`] makes the list.

use std::collections::BTreeMap;

use solana_address::Address;
use solana_instruction::AccountMeta;

use super::{Exchange, PerpError, PerpMarket, QUOTE_SPOT_MARKET, SpotMarket, User};

/// The markets that the instructions of one transaction list: those of all
/// positions of the users involved, and those the instructions change. Listing
/// one more than needed costs an account and a few hundred compute units.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Markets {
    exchange: Exchange,
    spot: BTreeMap<u16, SpotMarket>,
    perp: BTreeMap<u16, PerpMarket>,
}

/// Markets that an instruction changes.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Changed<'a> {
    pub(super) spot: &'a [u16],
    pub(super) perp: &'a [u16],
}

impl Markets {
    /// These markets, in any order.
    ///
    /// # Errors
    /// [`PerpError::OtherExchange`] when one is not of `exchange`.
    pub fn new(
        exchange: Exchange,
        spot: impl IntoIterator<Item = SpotMarket>,
        perp: impl IntoIterator<Item = PerpMarket>,
    ) -> Result<Self, PerpError> {
        let mut markets = Self { exchange, spot: BTreeMap::new(), perp: BTreeMap::new() };
        for market in spot {
            same_exchange("a spot market", market.exchange, exchange)?;
            markets.spot.insert(market.index, market);
        }
        for market in perp {
            same_exchange("a perp market", market.exchange, exchange)?;
            markets.perp.insert(market.index, market);
        }
        Ok(markets)
    }

    /// Where they are.
    #[must_use]
    pub fn exchange(&self) -> Exchange {
        self.exchange
    }

    /// A spot market.
    ///
    /// # Errors
    /// [`PerpError::MarketMissing`].
    pub fn spot(&self, index: u16) -> Result<&SpotMarket, PerpError> {
        self.spot.get(&index).ok_or(PerpError::MarketMissing { kind: "spot", index })
    }

    /// A perp market.
    ///
    /// # Errors
    /// [`PerpError::MarketMissing`].
    pub fn perp(&self, index: u16) -> Result<&PerpMarket, PerpError> {
        self.perp.get(&index).ok_or(PerpError::MarketMissing { kind: "perp", index })
    }

    /// All markets' oracles, with the kind each is read by.
    pub fn oracles(&self) -> BTreeMap<Address, u8> {
        let spot = self.spot.values().map(|market| (market.oracle, market.oracle_source));
        let perp = self.perp.values().map(|market| (market.oracle, market.oracle_source));
        spot.chain(perp).filter_map(|(oracle, kind)| Some((oracle?, kind))).collect()
    }

    /// Whether every market that `user` has a position in is here. Of every account
    /// whose margin an instruction looks at: of the one that is liquidated, and of
    /// the keeper's own.
    ///
    /// # Errors
    /// [`PerpError::MarketMissing`], naming the first that is not;
    /// [`PerpError::OtherExchange`].
    pub fn cover(&self, user: &User) -> Result<(), PerpError> {
        same_exchange("the user", user.account.exchange, self.exchange)?;
        user.spot_markets().into_iter().try_for_each(|index| self.spot(index).map(drop))?;
        user.perp_markets().into_iter().try_for_each(|index| self.perp(index).map(drop))
    }

    /// Oracles, then spot markets, then perp markets; those in `changed` writable.
    /// `exchange` is that of the account that acts.
    pub(super) fn metas(
        &self,
        exchange: Exchange,
        changed: Changed,
    ) -> Result<Vec<AccountMeta>, PerpError> {
        same_exchange("the list of markets", self.exchange, exchange)?;
        changed.spot.iter().try_for_each(|index| self.spot(*index).map(drop))?;
        changed.perp.iter().try_for_each(|index| self.perp(*index).map(drop))?;
        // Margin is counted in the quote asset, whatever the positions are.
        self.spot(QUOTE_SPOT_MARKET)?;
        self.perp.values().try_for_each(|market| self.spot(market.quote_spot_market).map(drop))?;

        let mut oracles = BTreeMap::<Address, bool>::new();
        for oracle in self.spot.values().filter_map(|market| market.oracle) {
            oracles.entry(oracle).or_default();
        }
        for market in self.perp.values() {
            if let Some(oracle) = market.oracle {
                let written = market.oracle_is_written() && changed.perp.contains(&market.index);
                *oracles.entry(oracle).or_default() |= written;
            }
        }
        let meta = |pubkey, is_writable| AccountMeta { pubkey, is_signer: false, is_writable };
        let spot = self.spot.values();
        let perp = self.perp.values();
        Ok(oracles
            .into_iter()
            .chain(spot.map(|market| (market.address, changed.spot.contains(&market.index))))
            .chain(perp.map(|market| (market.address, changed.perp.contains(&market.index))))
            .map(|(key, is_writable)| meta(key, is_writable))
            .collect())
    }
}

pub(super) fn same_exchange(
    what: &'static str,
    found: Exchange,
    expected: Exchange,
) -> Result<(), PerpError> {
    if found == expected {
        return Ok(());
    }
    Err(PerpError::OtherExchange { what, found, expected })
}
