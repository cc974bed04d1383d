//! Users' accounts: whom to liquidate, and the keeper's own.

use std::collections::BTreeSet;

use solana_address::Address;
use solana_instruction::Instruction;

use super::{
    PerpError, SubAccount,
    instruction::{initialize_user, initialize_user_stats},
    layout::{self, POSITIONS, discriminator, spot_position},
    read::{check, u16_at, u64_at},
};
use crate::swap::{field, key};

/// A deposit or borrow.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SpotPosition {
    /// Spot market.
    pub market: u16,
    /// Balance, to be multiplied by the market's cumulative interest.
    pub scaled_balance: u64,
    /// Whether it is a borrow.
    pub is_borrow: bool,
    /// Orders on the book.
    pub open_orders: u8,
}

/// A perp position.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PerpPosition {
    /// Perp market.
    pub market: u16,
    /// Size, in billionths of the base asset; negative when short.
    pub base: i64,
    /// What was received less what was paid for it, fees included, in millionths of
    /// a dollar; without a size, what is left to be settled.
    pub quote: i64,
    /// The market's cumulative funding rate when funding was last settled.
    pub funding_rate: i64,
    /// Size of the orders that buy, and (negative) of those that sell.
    pub open_bids: i64,
    /// See [`Self::open_bids`].
    pub open_asks: i64,
    /// Orders on the book.
    pub open_orders: u8,
    /// Collateral of this position alone, as a scaled deposit in the quote market;
    /// none where the whole account is its collateral.
    pub isolated_balance: Option<u64>,
    /// Whether this isolated position is being liquidated.
    pub is_being_liquidated: bool,
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
    /// Pool of markets that it is in; perps are in pool 0.
    pub pool_id: u8,
    /// Orders on the book, of all markets.
    pub open_orders: u8,
    /// Whether a liquidation has begun and not ended.
    pub is_being_liquidated: bool,
    /// Whether a liquidation left only debt.
    pub is_bankrupt: bool,
    /// Margin that the liquidation under way has freed, in millionths of a dollar.
    pub liquidation_margin_freed: u64,
    /// Slot of its last activity, or of the beginning of the liquidation.
    pub last_active_slot: u64,
    /// Whether its perps are held to the lower maintenance margins of Drift's high
    /// leverage.
    pub high_leverage: bool,
}

/// Bits of a user's status, on both exchanges.
const STATUS_BEING_LIQUIDATED: u8 = 1;
const STATUS_BANKRUPT: u8 = 2;
/// Bits of a perp position's flag, on both exchanges.
const FLAG_ISOLATED: u8 = 1;
const FLAG_BEING_LIQUIDATED: u8 = 2;

impl User {
    /// Reads a `User` account of either exchange.
    ///
    /// # Errors
    /// [`PerpError::NotA`].
    pub fn read(address: &Address, owner: &Address, data: &[u8]) -> Result<Self, PerpError> {
        let (exchange, layout) =
            check("user", address, owner, data, &discriminator::USER, |all| all.user, |at| at.len)?;
        let array = |start, len: usize| data[start..start + POSITIONS * len].chunks_exact(len);
        let status = data[layout.status];
        Ok(Self {
            account: SubAccount {
                exchange,
                authority: key(data, layout.authority),
                id: u16_at(data, layout.sub_account_id),
            },
            spot_positions: array(layout.spot_positions, spot_position::LEN)
                .filter_map(SpotPosition::read)
                .collect(),
            perp_positions: array(layout.perp_positions, layout.perp_position.len)
                .filter_map(|data| PerpPosition::read(&layout.perp_position, data))
                .collect(),
            pool_id: data[layout.pool_id],
            open_orders: data[layout.open_orders],
            is_being_liquidated: status & STATUS_BEING_LIQUIDATED != 0,
            is_bankrupt: status & STATUS_BANKRUPT != 0,
            liquidation_margin_freed: u64_at(data, layout.liquidation_margin_freed),
            last_active_slot: u64_at(data, layout.last_active_slot),
            high_leverage: layout.margin_mode.is_some_and(|at| data[at] != 0),
        })
    }

    /// Spot markets it has positions in. A perp position adds the market that it
    /// is settled in, which `PerpMarket::quote_spot_market` names.
    #[must_use]
    pub fn spot_markets(&self) -> BTreeSet<u16> {
        self.spot_positions.iter().map(|position| position.market).collect()
    }

    /// Perp markets it has positions in.
    #[must_use]
    pub fn perp_markets(&self) -> BTreeSet<u16> {
        self.perp_positions.iter().map(|position| position.market).collect()
    }

    /// The position in a perp market.
    ///
    /// # Errors
    /// [`PerpError::NoPosition`].
    pub fn perp(&self, market: u16) -> Result<&PerpPosition, PerpError> {
        let missing = PerpError::NoPosition { what: "position", kind: "perp", index: market };
        self.perp_positions.iter().find(|position| position.market == market).ok_or(missing)
    }

    /// The deposit or borrow in a spot market.
    ///
    /// # Errors
    /// [`PerpError::NoPosition`].
    pub fn spot(&self, market: u16, is_borrow: bool) -> Result<&SpotPosition, PerpError> {
        let what = if is_borrow { "borrow" } else { "deposit" };
        let missing = PerpError::NoPosition { what, kind: "spot", index: market };
        let is_it = |position: &&SpotPosition| {
            position.market == market
                && position.is_borrow == is_borrow
                && position.scaled_balance != 0
        };
        self.spot_positions.iter().find(is_it).ok_or(missing)
    }
}

impl SpotPosition {
    fn read(data: &[u8]) -> Option<Self> {
        let position = Self {
            market: u16_at(data, spot_position::MARKET_INDEX),
            scaled_balance: u64_at(data, spot_position::SCALED_BALANCE),
            is_borrow: data[spot_position::BALANCE_TYPE] == 1,
            open_orders: data[spot_position::OPEN_ORDERS],
        };
        Some(position).filter(|position| position.scaled_balance != 0 || position.open_orders != 0)
    }
}

impl PerpPosition {
    fn read(layout: &layout::PerpPositionLayout, data: &[u8]) -> Option<Self> {
        let number = |at| i64::from_le_bytes(field(data, at));
        let flag = data[layout.flag];
        let isolated_balance = u64_at(data, layout.isolated_balance);
        let position = Self {
            market: u16_at(data, layout.market_index),
            base: number(layout.base),
            quote: number(layout.quote),
            funding_rate: number(layout.last_cumulative_funding_rate),
            open_bids: number(layout.open_bids),
            open_asks: number(layout.open_asks),
            open_orders: data[layout.open_orders],
            isolated_balance: (flag & FLAG_ISOLATED != 0).then_some(isolated_balance),
            is_being_liquidated: flag & FLAG_BEING_LIQUIDATED != 0,
        };
        let numbers = [position.base, position.quote, position.open_bids, position.open_asks];
        let in_use = numbers != [0; 4]
            || isolated_balance != 0
            || position.open_orders != 0
            || position.is_being_liquidated;
        in_use.then_some(position)
    }
}

/// A sub-account that was read and had nothing in it: the only kind that a
/// liquidation is built for.
///
/// What lies on the exchange when a liquidation begins comes back with its
/// proceeds and looks like profit to the bracket, which sees token accounts only.
/// Therefore the account is to be empty before, and
/// [`super::instruction::require_empty`] holds it to that when the transaction
/// executes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EmptyAccount(SubAccount);

impl EmptyAccount {
    /// Reads the account that is to take over.
    ///
    /// # Errors
    /// [`PerpError::NotA`]; [`PerpError::NotEmpty`]; [`PerpError::Status`];
    /// [`PerpError::OtherPool`], since what proves it empty also puts it into
    /// pool 0.
    pub fn read(address: &Address, owner: &Address, data: &[u8]) -> Result<Self, PerpError> {
        let user = User::read(address, owner, data)?;
        let (address, orders) = (*address, user.open_orders);
        if user.is_being_liquidated || user.is_bankrupt {
            let what = if user.is_bankrupt { "bankrupt" } else { "being liquidated" };
            return Err(PerpError::Status { address, what });
        }
        let (deposits, positions) = (user.spot_positions.len(), user.perp_positions.len());
        if deposits + positions + usize::from(orders) != 0 {
            return Err(PerpError::NotEmpty { address, deposits, positions, orders });
        }
        if user.pool_id != 0 {
            return Err(PerpError::OtherPool { address, found: user.pool_id, expected: 0 });
        }
        Ok(Self(user.account))
    }

    /// An account that is not there yet, and the instructions that open it: they have
    /// to stand in front of the loan, in the same transaction. `has_stats` says whether
    /// the wallet has had an account on the exchange before.
    #[must_use]
    pub fn opened(account: SubAccount, has_stats: bool) -> (Self, Vec<Instruction>) {
        let stats = initialize_user_stats(account.exchange, &account.authority);
        let mut opening = if has_stats { vec![] } else { vec![stats] };
        opening.push(initialize_user(account, [b' '; 32]));
        (Self(account), opening)
    }

    /// The account.
    #[must_use]
    pub fn account(&self) -> SubAccount {
        self.0
    }
}
