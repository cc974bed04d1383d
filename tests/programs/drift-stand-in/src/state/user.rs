//! Users and their positions.

use solana_program::pubkey::Pubkey;

use super::{Fields, FieldsMut, Layout, POSITIONS, both, discriminator, in_element, len};
use crate::{
    Exchange,
    error::{Error, Result, require},
};

/// A deposit or borrow.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SpotPosition {
    /// Balance, to be multiplied by the market's cumulative interest.
    pub scaled_balance: u64,
    /// Spot market.
    pub market: u16,
    /// Whether it is a borrow.
    pub is_borrow: bool,
}

/// A perp position.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PerpPosition {
    /// Size; negative when short.
    pub base: i64,
    /// What was received less what was paid, fees included.
    pub quote: i64,
    /// Perp market.
    pub market: u16,
    /// Orders that rest.
    pub open_orders: u8,
    /// Collateral of this position alone, as a scaled deposit in the quote market.
    pub isolated_balance: u64,
    /// [`ISOLATED`], [`POSITION_BEING_LIQUIDATED`].
    pub flag: u8,
}

/// Bit of [`User::status`]: a liquidation has begun.
pub const BEING_LIQUIDATED: u8 = 1;
/// Bit of [`PerpPosition::flag`]: only [`PerpPosition::isolated_balance`] backs it.
pub const ISOLATED: u8 = 1;
/// Bit of [`PerpPosition::flag`]: its liquidation has begun.
pub const POSITION_BEING_LIQUIDATED: u8 = 2;

/// A user.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct User {
    /// Wallet.
    pub authority: Pubkey,
    /// Number among the wallet's accounts.
    pub sub_account_id: u16,
    /// Deposits and borrows.
    pub spot: [SpotPosition; POSITIONS],
    /// Perp positions.
    pub perp: [PerpPosition; POSITIONS],
    /// [`BEING_LIQUIDATED`] or nothing.
    pub status: u8,
    /// Orders that rest.
    pub open_orders: u8,
    /// Pool of markets.
    pub pool_id: u8,
    /// What the liquidation has freed.
    pub margin_freed: u64,
    /// When it began, or the user last did something.
    pub last_active_slot: u64,
}

const SPOT_POSITION_LEN: [usize; 2] = [40, 40];
const PERP_POSITION_LEN: [usize; 2] = [96, 80];

const fn in_spot(slot: usize, at: usize) -> [usize; 2] {
    in_element(104, SPOT_POSITION_LEN, slot, [at, at])
}

const fn in_perp(slot: usize, at: [usize; 2]) -> [usize; 2] {
    in_element(424, PERP_POSITION_LEN, slot, at)
}

impl Layout for User {
    const DISCRIMINATOR: [u8; 8] = discriminator::USER;
    const LEN: [usize; 2] = len::USER;

    fn read(data: &[u8], exchange: Exchange) -> Self {
        let fields = Fields(data, exchange);
        Self {
            authority: fields.get(both(8)),
            margin_freed: fields.get([4_320, 4_440]),
            last_active_slot: fields.get([4_328, 4_448]),
            sub_account_id: fields.get([4_346, 4_466]),
            status: fields.get([4_348, 4_468]),
            open_orders: fields.get([4_351, 4_471]),
            pool_id: fields.get([4_356, 4_475]),
            spot: core::array::from_fn(|slot| SpotPosition {
                scaled_balance: fields.get(in_spot(slot, 0)),
                market: fields.get(in_spot(slot, 32)),
                is_borrow: fields.get::<u8>(in_spot(slot, 34)) == 1,
            }),
            perp: core::array::from_fn(|slot| PerpPosition {
                base: fields.get(in_perp(slot, [8, 8])),
                quote: fields.get(in_perp(slot, [16, 16])),
                isolated_balance: fields.get(in_perp(slot, [72, 64])),
                market: fields.get(in_perp(slot, [92, 76])),
                open_orders: fields.get(in_perp(slot, [94, 78])),
                flag: fields.get(in_perp(slot, [95, 79])),
            }),
        }
    }

    fn write(&self, data: &mut [u8], exchange: Exchange) {
        let mut fields = FieldsMut(data, exchange);
        fields.set(both(8), &self.authority);
        fields.set([4_320, 4_440], &self.margin_freed);
        fields.set([4_328, 4_448], &self.last_active_slot);
        fields.set([4_346, 4_466], &self.sub_account_id);
        fields.set([4_348, 4_468], &self.status);
        fields.set([4_351, 4_471], &self.open_orders);
        fields.set([4_356, 4_475], &self.pool_id);
        for (slot, position) in self.spot.iter().enumerate() {
            fields.set(in_spot(slot, 0), &position.scaled_balance);
            fields.set(in_spot(slot, 32), &position.market);
            fields.set(in_spot(slot, 34), &u8::from(position.is_borrow));
        }
        for (slot, position) in self.perp.iter().enumerate() {
            fields.set(in_perp(slot, [8, 8]), &position.base);
            fields.set(in_perp(slot, [16, 16]), &position.quote);
            fields.set(in_perp(slot, [72, 64]), &position.isolated_balance);
            fields.set(in_perp(slot, [92, 76]), &position.market);
            fields.set(in_perp(slot, [94, 78]), &position.open_orders);
            fields.set(in_perp(slot, [95, 79]), &position.flag);
        }
    }
}

impl SpotPosition {
    fn is_free(&self) -> bool {
        self.scaled_balance == 0
    }
}

impl PerpPosition {
    fn is_free(&self) -> bool {
        self.base == 0
            && self.quote == 0
            && self.open_orders == 0
            && self.isolated_balance == 0
            && self.flag & POSITION_BEING_LIQUIDATED == 0
    }

    /// Whether only its own collateral backs it.
    pub fn is_isolated(&self) -> bool {
        self.flag & ISOLATED != 0
    }
}

impl User {
    /// Spot positions in use.
    pub fn spot_positions(&self) -> impl Iterator<Item = &SpotPosition> {
        self.spot.iter().filter(|position| !position.is_free())
    }

    /// Perp positions in use.
    pub fn perp_positions(&self) -> impl Iterator<Item = &PerpPosition> {
        self.perp.iter().filter(|position| !position.is_free())
    }

    /// The perp position in a market. 6010 when there is none.
    pub fn perp(&self, market: u16) -> Result<&PerpPosition> {
        let found = self.perp_positions().find(|position| position.market == market);
        found.ok_or_else(|| Error::UserHasNoPositionInMarket.into())
    }

    /// The deposit in a spot market. 6083 when there is nothing, 6119 for a borrow.
    pub fn deposit(&self, market: u16) -> Result<&SpotPosition> {
        self.spot_of(market, false)
    }

    /// The borrow in a spot market. 6083 when there is nothing, 6119 for a deposit.
    pub fn borrow(&self, market: u16) -> Result<&SpotPosition> {
        self.spot_of(market, true)
    }

    fn spot_of(&self, market: u16, is_borrow: bool) -> Result<&SpotPosition> {
        let position = self
            .spot_positions()
            .find(|position| position.market == market)
            .ok_or(Error::CouldNotFindSpotPosition)?;
        require(position.is_borrow == is_borrow, Error::WrongSpotBalanceType)?;
        Ok(position)
    }

    /// The spot position in a market; a free slot where there is none. 6084 when
    /// all are taken.
    pub fn spot_mut(&mut self, market: u16) -> Result<&mut SpotPosition> {
        let slot = self
            .spot
            .iter()
            .position(|position| !position.is_free() && position.market == market)
            .or_else(|| self.spot.iter().position(SpotPosition::is_free))
            .ok_or(Error::NoSpotPositionAvailable)?;
        let position = &mut self.spot[slot];
        if position.is_free() {
            *position = SpotPosition { market, ..SpotPosition::default() };
        }
        Ok(position)
    }

    /// The perp position in a market; a free slot where there is none. 6005 when
    /// all are taken.
    pub fn perp_mut(&mut self, market: u16) -> Result<&mut PerpPosition> {
        let slot = self
            .perp
            .iter()
            .position(|position| !position.is_free() && position.market == market)
            .or_else(|| self.perp.iter().position(PerpPosition::is_free))
            .ok_or(Error::MaxNumberOfPositions)?;
        let position = &mut self.perp[slot];
        if position.is_free() {
            *position = PerpPosition { market, ..PerpPosition::default() };
        }
        Ok(position)
    }
}
