//! What Drift's instructions need from the accounts of users and markets.
//!
//! Drift wants every instruction that looks at margin to list the oracles, spot
//! markets and perp markets of all positions of the users involved. [`User`]
//! says which markets those are, [`SpotMarket`] and [`PerpMarket`] which oracles,
//! and [`Markets`] makes the list.

use std::collections::{BTreeMap, BTreeSet};

use solana_address::Address;
use solana_instruction::AccountMeta;

use super::{PROGRAM_ID, QUOTE_SPOT_MARKET, SubAccount};
use crate::{
    swap::{field, key},
    token::{TOKEN_2022_PROGRAM_ID, TOKEN_PROGRAM_ID},
};

/// First bytes of each kind of account: `sha256("account:<Name>")[..8]`.
pub mod discriminator {
    /// `User`.
    pub const USER: [u8; 8] = [159, 117, 95, 227, 239, 151, 58, 236];
    /// `SpotMarket`.
    pub const SPOT_MARKET: [u8; 8] = [100, 177, 8, 107, 168, 65, 65, 39];
    /// `PerpMarket`.
    pub const PERP_MARKET: [u8; 8] = [10, 223, 12, 44, 107, 245, 55, 247];
}

/// Where the fields that are read lie, the discriminator counted. Market accounts
/// are longer in newer versions of the program; their length tells them apart.
pub mod layout {
    /// Bytes of a `User`.
    pub const USER_LEN: usize = 4_376;
    /// `User.authority`.
    pub const USER_AUTHORITY: usize = 8;
    /// `User.spot_positions`.
    pub const USER_SPOT_POSITIONS: usize = 104;
    /// `User.perp_positions`.
    pub const USER_PERP_POSITIONS: usize = 424;
    /// `User.sub_account_id`.
    pub const USER_SUB_ACCOUNT_ID: usize = 4_346;

    /// Positions of each kind in a `User`.
    pub const POSITIONS: usize = 8;

    /// Bytes of a `SpotPosition`.
    pub const SPOT_POSITION_LEN: usize = 40;
    /// `SpotPosition.scaled_balance`.
    pub const SPOT_POSITION_SCALED_BALANCE: usize = 0;
    /// `SpotPosition.market_index`.
    pub const SPOT_POSITION_MARKET_INDEX: usize = 32;
    /// `SpotPosition.balance_type`: 0 deposit, 1 borrow.
    pub const SPOT_POSITION_BALANCE_TYPE: usize = 34;
    /// `SpotPosition.open_orders`.
    pub const SPOT_POSITION_OPEN_ORDERS: usize = 35;

    /// Bytes of a `PerpPosition`.
    pub const PERP_POSITION_LEN: usize = 96;
    /// `PerpPosition.base_asset_amount`.
    pub const PERP_POSITION_BASE: usize = 8;
    /// `PerpPosition.quote_asset_amount`.
    pub const PERP_POSITION_QUOTE: usize = 16;
    /// `PerpPosition.open_bids`.
    pub const PERP_POSITION_OPEN_BIDS: usize = 40;
    /// `PerpPosition.open_asks`.
    pub const PERP_POSITION_OPEN_ASKS: usize = 48;
    /// `PerpPosition.isolated_position_scaled_balance`.
    pub const PERP_POSITION_ISOLATED_BALANCE: usize = 72;
    /// `PerpPosition.market_index`.
    pub const PERP_POSITION_MARKET_INDEX: usize = 92;
    /// `PerpPosition.open_orders`.
    pub const PERP_POSITION_OPEN_ORDERS: usize = 94;
    /// `PerpPosition.position_flag`.
    pub const PERP_POSITION_FLAG: usize = 95;

    /// `SpotMarket.oracle`, in every version.
    pub const SPOT_MARKET_ORACLE: usize = 40;
    /// `SpotMarket.mint`, in every version.
    pub const SPOT_MARKET_MINT: usize = 72;
    /// `SpotMarket.vault`, in every version.
    pub const SPOT_MARKET_VAULT: usize = 104;
    /// `PerpMarket.amm.oracle`, in every version.
    pub const PERP_MARKET_ORACLE: usize = 40;

    /// A `SpotMarket` of one version.
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    pub struct SpotMarketLayout {
        /// Bytes of the account.
        pub len: usize,
        /// `market_index`.
        pub index: usize,
        /// `token_program_flag`.
        pub token_program_flag: usize,
    }

    /// The known versions, the oldest first.
    pub const SPOT_MARKETS: [SpotMarketLayout; 2] = [
        SpotMarketLayout { len: 776, index: 684, token_program_flag: 734 },
        SpotMarketLayout { len: 808, index: 700, token_program_flag: 750 },
    ];

    /// A `PerpMarket` of one version.
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    pub struct PerpMarketLayout {
        /// Bytes of the account.
        pub len: usize,
        /// `market_index`.
        pub index: usize,
        /// `quote_spot_market_index`.
        pub quote_spot_market: usize,
        /// `amm.oracle_source`.
        pub oracle_source: usize,
    }

    /// The known versions, the oldest first.
    pub const PERP_MARKETS: [PerpMarketLayout; 2] = [
        PerpMarketLayout { len: 1_216, index: 1_160, quote_spot_market: 1_166, oracle_source: 926 },
        PerpMarketLayout { len: 1_240, index: 1_176, quote_spot_market: 1_182, oracle_source: 934 },
    ];

    /// `OracleSource::Prelaunch`, the only oracle that Drift writes to.
    pub const ORACLE_SOURCE_PRELAUNCH: u8 = 6;
    /// `TokenProgramFlag::Token2022`.
    pub const TOKEN_PROGRAM_TOKEN_2022: u8 = 1;
    /// `TokenProgramFlag::TransferHook`.
    pub const TOKEN_PROGRAM_TRANSFER_HOOK: u8 = 2;
}

/// Why an account cannot be read or an instruction not be built.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DriftError {
    /// Another program's account, another kind, or a version that is not known.
    #[error("{address} is no {what} of Drift, or of a version of Drift that is not known")]
    NotA {
        /// What it was taken for.
        what: &'static str,
        /// The account.
        address: Address,
    },
    /// A market that the instruction has to list.
    #[error("{kind} market {index} is needed and was not given")]
    MarketMissing {
        /// "spot" or "perp".
        kind: &'static str,
        /// Its index.
        index: u16,
    },
    /// Transfers would need the accounts of the mint's hook.
    #[error("the token of spot market {index} has a transfer hook, which is not supported")]
    TransferHook {
        /// The market's index.
        index: u16,
    },
}

/// A deposit or borrow.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SpotPosition {
    /// Spot market.
    pub market: u16,
    /// Balance, to be multiplied by the market's cumulative interest.
    pub scaled_balance: u64,
    /// Whether it is a borrow.
    pub is_borrow: bool,
}

/// A perp position.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PerpPosition {
    /// Perp market.
    pub market: u16,
    /// Size, in billionths of the base asset; negative when short.
    pub base: i64,
    /// What was paid or received for it, fees included, in millionths of a
    /// dollar; without a size, what is left to be settled.
    pub quote: i64,
}

/// A user's account, as far as a liquidation needs it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct User {
    /// Whose it is.
    pub account: SubAccount,
    /// Deposits and borrows in use.
    pub spot_positions: Vec<SpotPosition>,
    /// Perp positions in use.
    pub perp_positions: Vec<PerpPosition>,
}

impl User {
    /// Reads a `User` account.
    ///
    /// # Errors
    /// [`DriftError::NotA`].
    pub fn read(address: &Address, owner: &Address, data: &[u8]) -> Result<Self, DriftError> {
        use layout::*;
        check("user", address, owner, data, &discriminator::USER)?;
        if data.len() != USER_LEN {
            return Err(DriftError::NotA { what: "user", address: *address });
        }
        let array = |start, len: usize| data[start..start + POSITIONS * len].chunks_exact(len);
        let spot_positions = array(USER_SPOT_POSITIONS, SPOT_POSITION_LEN)
            .filter(|position| {
                field::<8>(position, SPOT_POSITION_SCALED_BALANCE) != [0; 8]
                    || position[SPOT_POSITION_OPEN_ORDERS] != 0
            })
            .map(|position| SpotPosition {
                market: u16_at(position, SPOT_POSITION_MARKET_INDEX),
                scaled_balance: u64::from_le_bytes(field(position, SPOT_POSITION_SCALED_BALANCE)),
                is_borrow: position[SPOT_POSITION_BALANCE_TYPE] == 1,
            })
            .collect();
        let perp_positions = array(USER_PERP_POSITIONS, PERP_POSITION_LEN)
            .filter(|position| {
                let numbers = [
                    PERP_POSITION_BASE,
                    PERP_POSITION_QUOTE,
                    PERP_POSITION_OPEN_BIDS,
                    PERP_POSITION_OPEN_ASKS,
                    PERP_POSITION_ISOLATED_BALANCE,
                ];
                numbers.into_iter().any(|at| field::<8>(position, at) != [0; 8])
                    || position[PERP_POSITION_OPEN_ORDERS] != 0
                    || position[PERP_POSITION_FLAG] != 0
            })
            .map(|position| PerpPosition {
                market: u16_at(position, PERP_POSITION_MARKET_INDEX),
                base: i64::from_le_bytes(field(position, PERP_POSITION_BASE)),
                quote: i64::from_le_bytes(field(position, PERP_POSITION_QUOTE)),
            })
            .collect();
        Ok(Self {
            account: SubAccount {
                authority: key(data, USER_AUTHORITY),
                id: u16_at(data, USER_SUB_ACCOUNT_ID),
            },
            spot_positions,
            perp_positions,
        })
    }

    /// Spot markets it has positions in. A perp position adds the market that it
    /// is settled in, which [`PerpMarket::quote_spot_market`] names.
    #[must_use]
    pub fn spot_markets(&self) -> BTreeSet<u16> {
        self.spot_positions.iter().map(|position| position.market).collect()
    }

    /// Perp markets it has positions in.
    #[must_use]
    pub fn perp_markets(&self) -> BTreeSet<u16> {
        self.perp_positions.iter().map(|position| position.market).collect()
    }
}

/// A spot market, as its account states it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SpotMarket {
    /// Its account.
    pub address: Address,
    /// Its number.
    pub index: u16,
    /// Its oracle; none where the price is one dollar by definition.
    pub oracle: Option<Address>,
    /// Mint of its token.
    pub mint: Address,
    /// Where its tokens are.
    pub vault: Address,
    /// Token program of the mint.
    pub token_program: Address,
    /// Whether transfers call a hook.
    pub has_transfer_hook: bool,
}

impl SpotMarket {
    /// Reads a `SpotMarket` account.
    ///
    /// # Errors
    /// [`DriftError::NotA`].
    pub fn read(address: &Address, owner: &Address, data: &[u8]) -> Result<Self, DriftError> {
        check("spot market", address, owner, data, &discriminator::SPOT_MARKET)?;
        let layout = layout::SPOT_MARKETS
            .iter()
            .find(|layout| layout.len == data.len())
            .ok_or(DriftError::NotA { what: "spot market", address: *address })?;
        let flag = data[layout.token_program_flag];
        let is_token_2022 = flag & layout::TOKEN_PROGRAM_TOKEN_2022 != 0;
        Ok(Self {
            address: *address,
            index: u16_at(data, layout.index),
            oracle: oracle(data, layout::SPOT_MARKET_ORACLE),
            mint: key(data, layout::SPOT_MARKET_MINT),
            vault: key(data, layout::SPOT_MARKET_VAULT),
            token_program: if is_token_2022 { TOKEN_2022_PROGRAM_ID } else { TOKEN_PROGRAM_ID },
            has_transfer_hook: flag & layout::TOKEN_PROGRAM_TRANSFER_HOOK != 0,
        })
    }
}

/// A perp market, as its account states it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PerpMarket {
    /// Its account.
    pub address: Address,
    /// Its number.
    pub index: u16,
    /// Its oracle; none where the price is one dollar by definition.
    pub oracle: Option<Address>,
    /// Whether Drift itself writes the oracle's price (markets before their
    /// token's launch).
    pub oracle_is_drifts: bool,
    /// Spot market that profits are settled in.
    pub quote_spot_market: u16,
}

impl PerpMarket {
    /// Reads a `PerpMarket` account.
    ///
    /// # Errors
    /// [`DriftError::NotA`].
    pub fn read(address: &Address, owner: &Address, data: &[u8]) -> Result<Self, DriftError> {
        check("perp market", address, owner, data, &discriminator::PERP_MARKET)?;
        let layout = layout::PERP_MARKETS
            .iter()
            .find(|layout| layout.len == data.len())
            .ok_or(DriftError::NotA { what: "perp market", address: *address })?;
        Ok(Self {
            address: *address,
            index: u16_at(data, layout.index),
            oracle: oracle(data, layout::PERP_MARKET_ORACLE),
            oracle_is_drifts: data[layout.oracle_source] == layout::ORACLE_SOURCE_PRELAUNCH,
            quote_spot_market: u16_at(data, layout.quote_spot_market),
        })
    }
}

/// The markets that the instructions of one transaction list: those of all
/// positions of the users involved, and those the instructions change. Listing
/// one more than needed costs an account and a few hundred compute units.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Markets {
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
    #[must_use]
    pub fn new(
        spot: impl IntoIterator<Item = SpotMarket>,
        perp: impl IntoIterator<Item = PerpMarket>,
    ) -> Self {
        Self {
            spot: spot.into_iter().map(|market| (market.index, market)).collect(),
            perp: perp.into_iter().map(|market| (market.index, market)).collect(),
        }
    }

    /// A spot market.
    ///
    /// # Errors
    /// [`DriftError::MarketMissing`].
    pub fn spot(&self, index: u16) -> Result<&SpotMarket, DriftError> {
        self.spot.get(&index).ok_or(DriftError::MarketMissing { kind: "spot", index })
    }

    /// A perp market.
    ///
    /// # Errors
    /// [`DriftError::MarketMissing`].
    pub fn perp(&self, index: u16) -> Result<&PerpMarket, DriftError> {
        self.perp.get(&index).ok_or(DriftError::MarketMissing { kind: "perp", index })
    }

    /// Whether every market that `user` has a position in is here.
    ///
    /// # Errors
    /// [`DriftError::MarketMissing`], naming the first that is not.
    pub fn cover(&self, user: &User) -> Result<(), DriftError> {
        user.spot_markets().into_iter().try_for_each(|index| self.spot(index).map(drop))?;
        user.perp_markets().into_iter().try_for_each(|index| self.perp(index).map(drop))
    }

    /// Oracles, then spot markets, then perp markets; those in `changed` writable.
    pub(super) fn metas(&self, changed: Changed) -> Result<Vec<AccountMeta>, DriftError> {
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
                let written = market.oracle_is_drifts && changed.perp.contains(&market.index);
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

fn check(
    what: &'static str,
    address: &Address,
    owner: &Address,
    data: &[u8],
    discriminator: &[u8; 8],
) -> Result<(), DriftError> {
    if *owner != PROGRAM_ID || !data.starts_with(discriminator) {
        return Err(DriftError::NotA { what, address: *address });
    }
    Ok(())
}

fn u16_at(data: &[u8], at: usize) -> u16 {
    u16::from_le_bytes(field(data, at))
}

/// Drift writes zeros where a price is one dollar by definition.
fn oracle(data: &[u8], at: usize) -> Option<Address> {
    Some(key(data, at)).filter(|oracle| *oracle != Address::default())
}
