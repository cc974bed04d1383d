//! Accounts of the exchanges' layouts, as far as they are used: read into a value,
//! changed, written back. Offsets count from the account's first byte, and stand in
//! pairs: Drift 2.161.0, Velocity.
//!
//! Prices and dollars are in millionths, sizes of perps in billionths.

use solana_program::{account_info::AccountInfo, pubkey::Pubkey};

use crate::Exchange;
use crate::error::{Error, Result, fits, require};

/// Discriminators, `sha256("account:<Name>")[..8]`.
pub mod discriminator {
    #![expect(missing_docs, reason = "the names say it")]
    pub const STATE: [u8; 8] = [216, 146, 107, 94, 104, 75, 182, 177];
    pub const USER: [u8; 8] = [159, 117, 95, 227, 239, 151, 58, 236];
    pub const USER_STATS: [u8; 8] = [176, 223, 136, 27, 122, 79, 32, 227];
    pub const SPOT_MARKET: [u8; 8] = [100, 177, 8, 107, 168, 65, 65, 39];
    pub const PERP_MARKET: [u8; 8] = [10, 223, 12, 44, 107, 245, 55, 247];
    pub const PYTH_LAZER_ORACLE: [u8; 8] = [159, 7, 161, 249, 34, 81, 121, 133];
}

/// Lengths of accounts in bytes: Drift's, Velocity's.
pub mod len {
    #![expect(missing_docs, reason = "the names say it")]
    /// Velocity's is longer than what is known of it.
    pub const STATE: [usize; 2] = [992, 1_536];
    pub const USER: [usize; 2] = [4_376, 4_496];
    pub const USER_STATS: [usize; 2] = [240, 240];
    pub const SPOT_MARKET: [usize; 2] = [776, 808];
    pub const PERP_MARKET: [usize; 2] = [1_216, 1_304];
    pub const PYTH_LAZER_ORACLE: [usize; 2] = [48, 48];
}

/// Positions of each kind that a user has room for.
pub const POSITIONS: usize = 8;

/// Weights and margin ratios are in ten-thousandths.
pub const WEIGHT_PRECISION: u128 = 10_000;
/// Cumulative interest of 1.
pub const INTEREST_PRECISION: u128 = 10_000_000_000;

/// A number in an account.
trait Number: Sized {
    fn read(data: &[u8], at: usize) -> Self;
    fn write(&self, data: &mut [u8], at: usize);
}

macro_rules! numbers {
    ($($type:ty)*) => {$(
        impl Number for $type {
            fn read(data: &[u8], at: usize) -> Self {
                let bytes = data[at..].first_chunk().expect("the length has been checked");
                Self::from_le_bytes(*bytes)
            }

            fn write(&self, data: &mut [u8], at: usize) {
                let bytes = self.to_le_bytes();
                data[at..at + bytes.len()].copy_from_slice(&bytes);
            }
        }
    )*};
}

numbers!(u8 i8 u16 u32 i32 u64 i64 u128);

impl Number for Pubkey {
    fn read(data: &[u8], at: usize) -> Self {
        Self::new_from_array(*data[at..].first_chunk().expect("the length has been checked"))
    }

    fn write(&self, data: &mut [u8], at: usize) {
        data[at..at + 32].copy_from_slice(self.as_ref());
    }
}

/// Bytes of an account of one exchange.
struct Fields<'a>(&'a [u8], Exchange);

/// Where a field of the other exchange has no place: it reads as zero.
const ABSENT: usize = usize::MAX;

impl Fields<'_> {
    fn get<N: Number + Default>(&self, at: [usize; 2]) -> N {
        match at[self.1 as usize] {
            ABSENT => N::default(),
            at => N::read(self.0, at),
        }
    }
}

/// The same, to be written to.
struct FieldsMut<'a>(&'a mut [u8], Exchange);

impl FieldsMut<'_> {
    fn set<N: Number>(&mut self, at: [usize; 2], value: &N) {
        match at[self.1 as usize] {
            ABSENT => {}
            at => value.write(self.0, at),
        }
    }
}

/// Both the same.
const fn both(at: usize) -> [usize; 2] {
    [at, at]
}

/// An offset in an element of an array.
const fn in_element(start: usize, len: [usize; 2], index: usize, at: [usize; 2]) -> [usize; 2] {
    [start + index * len[0] + at[0], start + index * len[1] + at[1]]
}

/// Whether an account's data are of this kind.
pub fn is(data: &[u8], discriminator: &[u8; 8], len: usize) -> bool {
    data.len() >= len && data.starts_with(discriminator)
}

/// A kind of account.
pub trait Layout: Sized {
    /// First bytes.
    const DISCRIMINATOR: [u8; 8];
    /// Lengths in bytes.
    const LEN: [usize; 2];
    /// Reads data that have been checked.
    fn read(data: &[u8], exchange: Exchange) -> Self;
    /// Writes what may change, into data that have been checked.
    fn write(&self, data: &mut [u8], exchange: Exchange);

    /// Reads an account. 3007 or 3002 when it is another.
    fn load(account: &AccountInfo) -> Result<Self> {
        let exchange = Exchange::of(account.owner).ok_or(Error::AccountOwnedByWrongProgram)?;
        let data = account.try_borrow_data()?;
        let matches = is(&data, &Self::DISCRIMINATOR, Self::LEN[exchange as usize]);
        require(matches, Error::AccountDiscriminatorMismatch)?;
        Ok(Self::read(&data, exchange))
    }

    /// Writes to an account that was loaded. 2000 when it is read-only.
    fn store(&self, account: &AccountInfo) -> Result<()> {
        require(account.is_writable, Error::ConstraintMut)?;
        let exchange = Exchange::of(account.owner).ok_or(Error::AccountOwnedByWrongProgram)?;
        self.write(&mut account.try_borrow_mut_data()?, exchange);
        Ok(())
    }

    /// Bytes of a new account.
    fn to_bytes(&self, exchange: Exchange) -> Vec<u8> {
        let mut data = vec![0; Self::LEN[exchange as usize]];
        data[..8].copy_from_slice(&Self::DISCRIMINATOR);
        self.write(&mut data, exchange);
        data
    }
}

/// The exchange.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct State {
    /// Owner of all vaults.
    pub signer: Pubkey,
    /// Taker fee: numerator and denominator.
    pub taker_fee: (u32, u32),
    /// Bump of the signer's address.
    pub signer_nonce: u8,
    /// What liabilities count for more once a liquidation has begun.
    pub margin_buffer: u32,
    /// What is paused: 1 deposits, 2 withdrawals, 4 the market itself, 8 fills,
    /// 16 liquidations, 64 settling.
    pub paused: u8,
    /// Slots after which a liquidation may free all that is missing.
    pub duration_slots: u8,
    /// Share of it that may be freed at once.
    pub initial_share: u16,
}

impl Layout for State {
    const DISCRIMINATOR: [u8; 8] = discriminator::STATE;
    const LEN: [usize; 2] = len::STATE;

    fn read(data: &[u8], exchange: Exchange) -> Self {
        let fields = Fields(data, exchange);
        Self {
            signer: fields.get([104, 488]),
            taker_fee: (fields.get([168, ABSENT]), fields.get([172, ABSENT])),
            margin_buffer: fields.get([960, ABSENT]),
            signer_nonce: fields.get([970, ABSENT]),
            paused: fields.get([974, ABSENT]),
            duration_slots: fields.get([975, ABSENT]),
            initial_share: fields.get([976, ABSENT]),
        }
    }

    fn write(&self, data: &mut [u8], exchange: Exchange) {
        let mut fields = FieldsMut(data, exchange);
        fields.set([104, 488], &self.signer);
        fields.set([168, ABSENT], &self.taker_fee.0);
        fields.set([172, ABSENT], &self.taker_fee.1);
        fields.set([960, ABSENT], &self.margin_buffer);
        fields.set([970, ABSENT], &self.signer_nonce);
        fields.set([974, ABSENT], &self.paused);
        fields.set([975, ABSENT], &self.duration_slots);
        fields.set([976, ABSENT], &self.initial_share);
    }
}

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
}

/// Bit of [`User::status`]: a liquidation has begun.
pub const BEING_LIQUIDATED: u8 = 1;

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
                market: fields.get(in_perp(slot, [92, 76])),
                open_orders: fields.get(in_perp(slot, [94, 78])),
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
            fields.set(in_perp(slot, [92, 76]), &position.market);
            fields.set(in_perp(slot, [94, 78]), &position.open_orders);
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
        self.base == 0 && self.quote == 0 && self.open_orders == 0
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

/// What a wallet's accounts share.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct UserStats {
    /// Wallet.
    pub authority: Pubkey,
    /// Who brought it here; zeros for nobody.
    pub referrer: Pubkey,
    /// Accounts there are.
    pub sub_accounts: u16,
    /// Accounts ever made.
    pub sub_accounts_created: u16,
}

impl Layout for UserStats {
    const DISCRIMINATOR: [u8; 8] = discriminator::USER_STATS;
    const LEN: [usize; 2] = len::USER_STATS;

    fn read(data: &[u8], exchange: Exchange) -> Self {
        let fields = Fields(data, exchange);
        Self {
            authority: fields.get(both(8)),
            referrer: fields.get(both(40)),
            sub_accounts: fields.get([184, 160]),
            sub_accounts_created: fields.get([186, 162]),
        }
    }

    fn write(&self, data: &mut [u8], exchange: Exchange) {
        let mut fields = FieldsMut(data, exchange);
        fields.set(both(8), &self.authority);
        fields.set(both(40), &self.referrer);
        fields.set([184, 160], &self.sub_accounts);
        fields.set([186, 162], &self.sub_accounts_created);
    }
}

/// A spot market.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SpotMarket {
    /// Its account's address.
    pub address: Pubkey,
    /// Oracle; zeros for a price of one dollar.
    pub oracle: Pubkey,
    /// Mint of the token.
    pub mint: Pubkey,
    /// Where the tokens are.
    pub vault: Pubkey,
    /// Sum of all scaled deposits.
    pub deposit_balance: u128,
    /// Sum of all scaled borrows.
    pub borrow_balance: u128,
    /// What a scaled deposit has grown to.
    pub deposit_interest: u128,
    /// What a scaled borrow has grown to.
    pub borrow_interest: u128,
    /// Share of a deposit that counts: for new risk, and before a liquidation.
    pub asset_weight: [u32; 2],
    /// What a borrow counts for: for new risk, and before a liquidation.
    pub liability_weight: [u32; 2],
    /// Liquidator's discount, in millionths.
    pub liquidator_fee: u32,
    /// Decimals of the token.
    pub decimals: u32,
    /// Its number.
    pub index: u16,
    /// 1 for a Token-2022 mint.
    pub token_program_flag: u8,
    /// Kind of the oracle.
    pub oracle_source: u8,
    /// 1 in ordinary operation.
    pub status: u8,
    /// Deposits below this may all be withdrawn, in units.
    pub withdraw_guard: u64,
    /// The most that may be deposited; 0 for no limit.
    pub max_deposits: u64,
    /// Average deposits of a day.
    pub deposit_twap: u64,
}

impl Layout for SpotMarket {
    const DISCRIMINATOR: [u8; 8] = discriminator::SPOT_MARKET;
    const LEN: [usize; 2] = len::SPOT_MARKET;

    fn read(data: &[u8], exchange: Exchange) -> Self {
        let fields = Fields(data, exchange);
        Self {
            address: fields.get(both(8)),
            oracle: fields.get(both(40)),
            mint: fields.get(both(72)),
            vault: fields.get(both(104)),
            deposit_balance: fields.get([432, 296]),
            borrow_balance: fields.get([448, 312]),
            deposit_interest: fields.get([464, 328]),
            borrow_interest: fields.get([480, 344]),
            withdraw_guard: fields.get([528, 544]),
            max_deposits: fields.get([536, 552]),
            deposit_twap: fields.get([544, 560]),
            asset_weight: [fields.get([640, 656]), fields.get([644, 660])],
            liability_weight: [fields.get([648, 664]), fields.get([652, 668])],
            liquidator_fee: fields.get([660, 676]),
            decimals: fields.get([680, 696]),
            index: fields.get([684, 700]),
            oracle_source: fields.get([687, 703]),
            status: fields.get([688, 704]),
            token_program_flag: fields.get([734, 745]),
        }
    }

    fn write(&self, data: &mut [u8], exchange: Exchange) {
        let mut fields = FieldsMut(data, exchange);
        fields.set(both(8), &self.address);
        fields.set(both(40), &self.oracle);
        fields.set(both(72), &self.mint);
        fields.set(both(104), &self.vault);
        fields.set([432, 296], &self.deposit_balance);
        fields.set([448, 312], &self.borrow_balance);
        fields.set([464, 328], &self.deposit_interest);
        fields.set([480, 344], &self.borrow_interest);
        fields.set([528, 544], &self.withdraw_guard);
        fields.set([536, 552], &self.max_deposits);
        fields.set([544, 560], &self.deposit_twap);
        for kind in [0, 1] {
            fields.set([640 + 4 * kind, 656 + 4 * kind], &self.asset_weight[kind]);
        }
        for kind in [0, 1] {
            fields.set([648 + 4 * kind, 664 + 4 * kind], &self.liability_weight[kind]);
        }
        fields.set([660, 676], &self.liquidator_fee);
        fields.set([680, 696], &self.decimals);
        fields.set([684, 700], &self.index);
        fields.set([687, 703], &self.oracle_source);
        fields.set([688, 704], &self.status);
        fields.set([734, 745], &self.token_program_flag);
    }
}

impl SpotMarket {
    /// Scaled balances have 9 decimals and interest 10, whatever the token has.
    fn precision(&self) -> Result<u128> {
        let decimals = 19u32.checked_sub(self.decimals).ok_or(Error::MathError)?;
        Ok(10u128.pow(decimals))
    }

    /// Units of a scaled balance, negative for a borrow: deposits are rounded
    /// down, borrows up.
    pub fn tokens(&self, scaled_balance: u128, is_borrow: bool) -> Result<i128> {
        let precision = self.precision()?;
        if is_borrow {
            let units = (scaled_balance * self.borrow_interest).div_ceil(precision);
            Ok(-fits::<i128, _>(units)?)
        } else {
            fits(scaled_balance * self.deposit_interest / precision)
        }
    }

    /// Adds `units` to a position, or takes them away: a deposit may become a
    /// borrow and the other way round.
    pub fn add(&mut self, position: &mut SpotPosition, units: i128) -> Result<()> {
        let held = self.tokens(position.scaled_balance.into(), position.is_borrow)?;
        let total = held.checked_add(units).ok_or(Error::MathError)?;
        self.book(position.scaled_balance.into(), position.is_borrow, false)?;
        position.is_borrow = total < 0;
        position.scaled_balance = fits(self.scaled(total)?)?;
        self.book(position.scaled_balance.into(), position.is_borrow, true)
    }

    /// The scaled balance of these units, rounded against the user.
    fn scaled(&self, units: i128) -> Result<u128> {
        let value = units.unsigned_abs().checked_mul(self.precision()?).ok_or(Error::MathError)?;
        Ok(if units < 0 {
            value.div_ceil(self.borrow_interest)
        } else {
            value / self.deposit_interest
        })
    }

    /// Adds a scaled balance to the market's sum, or takes it out.
    fn book(&mut self, scaled_balance: u128, is_borrow: bool, is_added: bool) -> Result<()> {
        let sum = if is_borrow { &mut self.borrow_balance } else { &mut self.deposit_balance };
        *sum = if is_added {
            sum.checked_add(scaled_balance)
        } else {
            sum.checked_sub(scaled_balance)
        }
        .ok_or(Error::MathError)?;
        Ok(())
    }

    /// Moves `units` into a pool of the market, or out of it.
    pub fn add_to_pool(&mut self, scaled_pool: &mut u128, units: i128) -> Result<()> {
        let held = self.tokens(*scaled_pool, false)?;
        let total = held.checked_add(units).filter(|total| *total >= 0).ok_or(Error::MathError)?;
        self.book(*scaled_pool, false, false)?;
        *scaled_pool = self.scaled(total)?;
        self.book(*scaled_pool, false, true)
    }
}

/// A perp market.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PerpMarket {
    /// Its account's address.
    pub address: Pubkey,
    /// Oracle.
    pub oracle: Pubkey,
    /// Sizes are multiples of this.
    pub step_size: u64,
    /// How far from the oracle the market buys and sells, in millionths.
    pub spread: [u32; 2],
    /// Where profits are paid from, as a scaled deposit in the quote market.
    pub pnl_pool: u128,
    /// Liquidator's discount, in millionths.
    pub liquidator_fee: u32,
    /// Margin that a position takes: for new risk, and before a liquidation.
    pub margin_ratio: [u32; 2],
    /// Share of a profit not settled that counts: for new risk, and before a
    /// liquidation.
    pub pnl_weight: [u32; 2],
    /// Its number.
    pub index: u16,
    /// Spot market that profits are settled in.
    pub quote_spot_market: u16,
    /// Kind of the oracle.
    pub oracle_source: u8,
    /// 1 in ordinary operation.
    pub status: u8,
    /// Average price of five minutes; 0 for none.
    pub twap_5min: i64,
    /// Slots that the oracle may be old for the market to fill at once; negative for
    /// none.
    pub oracle_delay: i8,
}

impl Layout for PerpMarket {
    const DISCRIMINATOR: [u8; 8] = discriminator::PERP_MARKET;
    const LEN: [usize; 2] = len::PERP_MARKET;

    fn read(data: &[u8], exchange: Exchange) -> Self {
        let fields = Fields(data, exchange);
        Self {
            address: fields.get(both(8)),
            oracle: fields.get([40, 312]),
            twap_5min: fields.get([104, ABSENT]),
            step_size: fields.get([808, 544]),
            spread: [fields.get([908, ABSENT]), fields.get([904, ABSENT])],
            oracle_source: fields.get([926, 673]),
            oracle_delay: fields.get([935, 674]),
            pnl_pool: fields.get([976, 344]),
            liquidator_fee: fields.get([1_128, 608]),
            margin_ratio: [fields.get([1136, 616]), fields.get([1140, 620])],
            pnl_weight: [fields.get([1144, 624]), fields.get([1148, 628])],
            index: fields.get([1_160, 640]),
            status: fields.get([1_162, 642]),
            quote_spot_market: fields.get([1_166, 646]),
        }
    }

    fn write(&self, data: &mut [u8], exchange: Exchange) {
        let mut fields = FieldsMut(data, exchange);
        fields.set(both(8), &self.address);
        fields.set([40, 312], &self.oracle);
        fields.set([104, ABSENT], &self.twap_5min);
        fields.set([808, 544], &self.step_size);
        fields.set([908, ABSENT], &self.spread[0]);
        fields.set([904, ABSENT], &self.spread[1]);
        fields.set([926, 673], &self.oracle_source);
        fields.set([935, 674], &self.oracle_delay);
        fields.set([976, 344], &self.pnl_pool);
        fields.set([1_128, 608], &self.liquidator_fee);
        for kind in [0, 1] {
            fields.set([1136 + 4 * kind, 616 + 4 * kind], &self.margin_ratio[kind]);
        }
        for kind in [0, 1] {
            fields.set([1144 + 4 * kind, 624 + 4 * kind], &self.pnl_weight[kind]);
        }
        fields.set([1_160, 640], &self.index);
        fields.set([1_162, 642], &self.status);
        fields.set([1_166, 646], &self.quote_spot_market);
    }
}

/// An oracle of the kind that Drift owns.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Oracle {
    /// Price, times ten to the exponent.
    pub price: i64,
    /// Exponent, negative or zero.
    pub exponent: i32,
    /// Slot it was posted in.
    pub posted_slot: u64,
}

impl Layout for Oracle {
    const DISCRIMINATOR: [u8; 8] = discriminator::PYTH_LAZER_ORACLE;
    const LEN: [usize; 2] = len::PYTH_LAZER_ORACLE;

    fn read(data: &[u8], exchange: Exchange) -> Self {
        let fields = Fields(data, exchange);
        Self {
            price: fields.get(both(8)),
            posted_slot: fields.get(both(24)),
            exponent: fields.get(both(32)),
        }
    }

    fn write(&self, data: &mut [u8], exchange: Exchange) {
        let mut fields = FieldsMut(data, exchange);
        fields.set(both(8), &self.price);
        fields.set(both(24), &self.posted_slot);
        fields.set(both(32), &self.exponent);
    }
}
