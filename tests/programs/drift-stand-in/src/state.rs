//! Accounts of Drift's layout (program 2.162.0), as far as they are used: read
//! into a value, changed, written back. Offsets count from the account's first
//! byte.
//!
//! Prices and dollars are in millionths, sizes of perps in billionths.

use solana_program::{account_info::AccountInfo, pubkey::Pubkey};

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

/// Lengths of accounts in bytes.
pub mod len {
    #![expect(missing_docs, reason = "the names say it")]
    pub const STATE: usize = 992;
    pub const USER: usize = 4_376;
    pub const USER_STATS: usize = 240;
    pub const SPOT_MARKET: usize = 776;
    pub const PERP_MARKET: usize = 1_216;
    pub const PYTH_LAZER_ORACLE: usize = 48;
}

/// Positions of each kind that a user has room for.
pub const POSITIONS: usize = 8;

const SPOT_POSITION_LEN: usize = 40;
const PERP_POSITION_LEN: usize = 96;
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

numbers!(u8 u16 u32 i32 u64 i64 u128);

impl Number for Pubkey {
    fn read(data: &[u8], at: usize) -> Self {
        Self::new_from_array(*data[at..].first_chunk().expect("the length has been checked"))
    }

    fn write(&self, data: &mut [u8], at: usize) {
        data[at..at + 32].copy_from_slice(self.as_ref());
    }
}

/// Whether an account's data are of this kind.
pub fn is(data: &[u8], discriminator: &[u8; 8], len: usize) -> bool {
    data.len() >= len && data.starts_with(discriminator)
}

/// A kind of account.
pub trait Layout: Sized {
    /// First bytes.
    const DISCRIMINATOR: [u8; 8];
    /// Length in bytes.
    const LEN: usize;
    /// Reads data that have been checked.
    fn read(data: &[u8]) -> Self;
    /// Writes what may change, into data that have been checked.
    fn write(&self, data: &mut [u8]);

    /// Reads an account. 3007 or 3002 when it is another.
    fn load(account: &AccountInfo) -> Result<Self> {
        require(*account.owner == crate::ID, Error::AccountOwnedByWrongProgram)?;
        let data = account.try_borrow_data()?;
        let matches = is(&data, &Self::DISCRIMINATOR, Self::LEN);
        require(matches, Error::AccountDiscriminatorMismatch)?;
        Ok(Self::read(&data))
    }

    /// Writes to an account that was loaded. 2000 when it is read-only.
    fn store(&self, account: &AccountInfo) -> Result<()> {
        require(account.is_writable, Error::ConstraintMut)?;
        self.write(&mut account.try_borrow_mut_data()?);
        Ok(())
    }

    /// Bytes of a new account.
    fn to_bytes(&self) -> Vec<u8> {
        let mut data = vec![0; Self::LEN];
        data[..8].copy_from_slice(&Self::DISCRIMINATOR);
        self.write(&mut data);
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
}

impl Layout for State {
    const DISCRIMINATOR: [u8; 8] = discriminator::STATE;
    const LEN: usize = len::STATE;

    fn read(data: &[u8]) -> Self {
        Self {
            signer: Number::read(data, 104),
            taker_fee: (Number::read(data, 168), Number::read(data, 172)),
            signer_nonce: Number::read(data, 970),
        }
    }

    fn write(&self, data: &mut [u8]) {
        self.signer.write(data, 104);
        self.taker_fee.0.write(data, 168);
        self.taker_fee.1.write(data, 172);
        self.signer_nonce.write(data, 970);
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
}

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
}

impl Layout for User {
    const DISCRIMINATOR: [u8; 8] = discriminator::USER;
    const LEN: usize = len::USER;

    fn read(data: &[u8]) -> Self {
        Self {
            authority: Number::read(data, 8),
            sub_account_id: Number::read(data, 4_346),
            spot: core::array::from_fn(|slot| {
                let at = 104 + slot * SPOT_POSITION_LEN;
                SpotPosition {
                    scaled_balance: Number::read(data, at),
                    market: Number::read(data, at + 32),
                    is_borrow: data[at + 34] == 1,
                }
            }),
            perp: core::array::from_fn(|slot| {
                let at = 424 + slot * PERP_POSITION_LEN;
                PerpPosition {
                    base: Number::read(data, at + 8),
                    quote: Number::read(data, at + 16),
                    market: Number::read(data, at + 92),
                }
            }),
        }
    }

    fn write(&self, data: &mut [u8]) {
        self.authority.write(data, 8);
        self.sub_account_id.write(data, 4_346);
        for (slot, position) in self.spot.iter().enumerate() {
            let at = 104 + slot * SPOT_POSITION_LEN;
            position.scaled_balance.write(data, at);
            position.market.write(data, at + 32);
            u8::from(position.is_borrow).write(data, at + 34);
        }
        for (slot, position) in self.perp.iter().enumerate() {
            let at = 424 + slot * PERP_POSITION_LEN;
            position.base.write(data, at + 8);
            position.quote.write(data, at + 16);
            position.market.write(data, at + 92);
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
        self.base == 0 && self.quote == 0
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
    /// Accounts there are.
    pub sub_accounts: u16,
    /// Accounts ever made.
    pub sub_accounts_created: u16,
}

impl Layout for UserStats {
    const DISCRIMINATOR: [u8; 8] = discriminator::USER_STATS;
    const LEN: usize = len::USER_STATS;

    fn read(data: &[u8]) -> Self {
        Self {
            authority: Number::read(data, 8),
            sub_accounts: Number::read(data, 184),
            sub_accounts_created: Number::read(data, 186),
        }
    }

    fn write(&self, data: &mut [u8]) {
        self.authority.write(data, 8);
        self.sub_accounts.write(data, 184);
        self.sub_accounts_created.write(data, 186);
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
}

impl Layout for SpotMarket {
    const DISCRIMINATOR: [u8; 8] = discriminator::SPOT_MARKET;
    const LEN: usize = len::SPOT_MARKET;

    fn read(data: &[u8]) -> Self {
        Self {
            address: Number::read(data, 8),
            oracle: Number::read(data, 40),
            mint: Number::read(data, 72),
            vault: Number::read(data, 104),
            deposit_balance: Number::read(data, 432),
            borrow_balance: Number::read(data, 448),
            deposit_interest: Number::read(data, 464),
            borrow_interest: Number::read(data, 480),
            asset_weight: [Number::read(data, 640), Number::read(data, 644)],
            liability_weight: [Number::read(data, 648), Number::read(data, 652)],
            liquidator_fee: Number::read(data, 660),
            decimals: Number::read(data, 680),
            index: Number::read(data, 684),
            token_program_flag: Number::read(data, 734),
        }
    }

    fn write(&self, data: &mut [u8]) {
        self.address.write(data, 8);
        self.oracle.write(data, 40);
        self.mint.write(data, 72);
        self.vault.write(data, 104);
        self.deposit_balance.write(data, 432);
        self.borrow_balance.write(data, 448);
        self.deposit_interest.write(data, 464);
        self.borrow_interest.write(data, 480);
        for kind in [0, 1] {
            self.asset_weight[kind].write(data, 640 + 4 * kind);
            self.liability_weight[kind].write(data, 648 + 4 * kind);
        }
        self.liquidator_fee.write(data, 660);
        self.decimals.write(data, 680);
        self.index.write(data, 684);
        self.token_program_flag.write(data, 734);
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
}

impl Layout for PerpMarket {
    const DISCRIMINATOR: [u8; 8] = discriminator::PERP_MARKET;
    const LEN: usize = len::PERP_MARKET;

    fn read(data: &[u8]) -> Self {
        Self {
            address: Number::read(data, 8),
            oracle: Number::read(data, 40),
            step_size: Number::read(data, 808),
            spread: [Number::read(data, 908), Number::read(data, 904)],
            pnl_pool: Number::read(data, 976),
            liquidator_fee: Number::read(data, 1_128),
            margin_ratio: [Number::read(data, 1_136), Number::read(data, 1_140)],
            pnl_weight: [Number::read(data, 1_144), Number::read(data, 1_148)],
            index: Number::read(data, 1_160),
            quote_spot_market: Number::read(data, 1_166),
        }
    }

    fn write(&self, data: &mut [u8]) {
        self.address.write(data, 8);
        self.oracle.write(data, 40);
        self.step_size.write(data, 808);
        self.spread[0].write(data, 908);
        self.spread[1].write(data, 904);
        self.pnl_pool.write(data, 976);
        self.liquidator_fee.write(data, 1_128);
        for kind in [0, 1] {
            self.margin_ratio[kind].write(data, 1_136 + 4 * kind);
            self.pnl_weight[kind].write(data, 1_144 + 4 * kind);
        }
        self.index.write(data, 1_160);
        self.quote_spot_market.write(data, 1_166);
    }
}

/// An oracle of the kind that Drift owns.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Oracle {
    /// Price, times ten to the exponent.
    pub price: i64,
    /// Exponent, negative or zero.
    pub exponent: i32,
}

impl Layout for Oracle {
    const DISCRIMINATOR: [u8; 8] = discriminator::PYTH_LAZER_ORACLE;
    const LEN: usize = len::PYTH_LAZER_ORACLE;

    fn read(data: &[u8]) -> Self {
        Self { price: Number::read(data, 8), exponent: Number::read(data, 32) }
    }

    fn write(&self, data: &mut [u8]) {
        self.price.write(data, 8);
        self.exponent.write(data, 32);
    }
}
