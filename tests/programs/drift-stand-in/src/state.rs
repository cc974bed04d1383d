//! Accounts of the exchanges' layouts, as far as they are used: read into a value,
//! changed, written back. Offsets count from the account's first byte, and stand in
//! pairs: Drift 2.161.0, Velocity.
//!
//! Prices and dollars are in millionths, sizes of perps in billionths.

use solana_program::{account_info::AccountInfo, pubkey::Pubkey};

use crate::Exchange;
use crate::error::{Error, Result, require};

mod market;
mod order;
mod user;

pub use market::{Average, PerpMarket, SpotMarket};
pub use order::{BookSide, ORDERS, Order};
pub use user::{
    BEING_LIQUIDATED, ISOLATED, POSITION_BEING_LIQUIDATED, PerpPosition, SpotPosition, User,
};

/// Discriminators, `sha256("account:<Name>")[..8]`.
pub mod discriminator {
    #![expect(missing_docs, reason = "the names say it")]
    pub const STATE: [u8; 8] = [216, 146, 107, 94, 104, 75, 182, 177];
    pub const USER: [u8; 8] = [159, 117, 95, 227, 239, 151, 58, 236];
    pub const USER_STATS: [u8; 8] = [176, 223, 136, 27, 122, 79, 32, 227];
    pub const SPOT_MARKET: [u8; 8] = [100, 177, 8, 107, 168, 65, 65, 39];
    pub const PERP_MARKET: [u8; 8] = [10, 223, 12, 44, 107, 245, 55, 247];
    pub const PYTH_LAZER_ORACLE: [u8; 8] = [159, 7, 161, 249, 34, 81, 121, 133];
    pub const PRELAUNCH_ORACLE: [u8; 8] = [92, 14, 139, 234, 72, 244, 68, 26];
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
    pub const PRELAUNCH_ORACLE: [usize; 2] = [120, 120];
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

numbers!(u8 i8 u16 u32 i32 u64 i64 u128 i128);

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

/// The oracle of a market before its token's launch: the exchange itself writes it,
/// whenever it changes the market.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Prelaunch {
    /// Price in millionths of a dollar.
    pub price: i64,
    /// It is never above this.
    pub max_price: i64,
    /// Slot it was written in.
    pub updated_slot: u64,
}

impl Layout for Prelaunch {
    const DISCRIMINATOR: [u8; 8] = discriminator::PRELAUNCH_ORACLE;
    const LEN: [usize; 2] = len::PRELAUNCH_ORACLE;

    fn read(data: &[u8], exchange: Exchange) -> Self {
        let fields = Fields(data, exchange);
        Self {
            price: fields.get(both(8)),
            max_price: fields.get(both(16)),
            updated_slot: fields.get(both(32)),
        }
    }

    fn write(&self, data: &mut [u8], exchange: Exchange) {
        let mut fields = FieldsMut(data, exchange);
        fields.set(both(8), &self.price);
        fields.set(both(16), &self.max_price);
        fields.set(both(32), &self.updated_slot);
    }
}
