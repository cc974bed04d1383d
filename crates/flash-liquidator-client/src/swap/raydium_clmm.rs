//! Raydium's concentrated-liquidity pools (CLMM).
//!
//! A leg is one `swap_v2` (the program's IDL), for SPL Token and Token-2022
//! mints alike. Liquidity lies in arrays of 60 ticks, and a swap names those it
//! may reach, from the one at the current price on in the direction it pushes
//! the price. Only arrays with liquidity in them exist, and the program accepts
//! no others: bitmaps say which those are. The pool's account holds the bitmap
//! of the 1,024 arrays around tick zero, [`BitmapExtension`] that of the rest.

use solana_address::{Address, address};
use solana_instruction::AccountMeta;

use super::{PoolError, Trade};
use crate::{
    receiver::SwapLeg,
    token::{TOKEN_2022_PROGRAM_ID, TOKEN_PROGRAM_ID},
};

/// Raydium's CLMM program.
pub const PROGRAM_ID: Address = address!("CAMMCzo5YL8w4VFF8KVHrK22GGUsp5VTaW7grrKgrWqK");

/// `account:PoolState`, as the CPMM program's.
const POOL_DISCRIMINATOR: [u8; 8] = [247, 237, 227, 245, 215, 195, 222, 70];
/// `account:TickArrayBitmapExtension`.
const EXTENSION_DISCRIMINATOR: [u8; 8] = [60, 150, 36, 219, 97, 128, 139, 153];
/// `swap_v2(amount, other_amount_threshold, sqrt_price_limit_x64, is_base_input)`.
const SWAP_V2: [u8; 8] = [43, 4, 237, 11, 26, 201, 30, 98];
/// Where the data holds `amount`.
const AMOUNT_OFFSET: u16 = 8;

/// Ticks in one array.
const TICKS_PER_ARRAY: i32 = 60;
/// Arrays a swap names at most.
const TICK_ARRAYS: usize = 3;
/// Arrays in one row of a bitmap.
const ROW: i32 = 512;
/// Rows of the extension on either side of the pool's own bitmap.
const ROWS: i32 = 14;

/// Bytes of a pool's account.
const POOL_LEN: usize = 1544;
/// Where its bitmap begins: two rows, the arrays below zero first.
const POOL_BITMAP: usize = 904;
/// Bytes of a bitmap extension's account.
const EXTENSION_LEN: usize = 8 + 32 + 2 * ROWS as usize * ROW_BYTES;
const ROW_BYTES: usize = ROW as usize / 8;

/// Set in a pool's status while swaps are switched off.
const SWAP_DISABLED: u8 = 1 << 4;

/// A pool, as its account states it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClmmPool {
    /// The pool's account.
    pub pool: Address,
    /// Its fee configuration.
    pub config: Address,
    /// The two mints.
    pub mints: [Address; 2],
    /// The vaults, in the order of the mints.
    pub vaults: [Address; 2],
    /// Where the program records prices.
    pub observation: Address,
    /// Ticks between two that can hold liquidity.
    pub tick_spacing: u16,
    /// Tick of the current price.
    pub tick: i32,
    bitmap: Bitmap,
}

/// The bitmap of the arrays that the pool's own does not reach, as its account
/// states it. Every pool has one, at [`ClmmPool::bitmap_extension`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BitmapExtension {
    /// Row `r` has the arrays from `512 · (r + 1)` on.
    above: Bitmap,
    /// Row `r` has the arrays from `−512 · (r + 2)` on.
    below: Bitmap,
}

impl BitmapExtension {
    /// Reads a bitmap extension's account.
    ///
    /// # Errors
    /// [`PoolError::NotAPool`] when it is none, or of another pool.
    pub fn read(pool: &ClmmPool, owner: &Address, data: &[u8]) -> Result<Self, PoolError> {
        let is_extension = *owner == PROGRAM_ID
            && data.len() >= EXTENSION_LEN
            && data.starts_with(&EXTENSION_DISCRIMINATOR)
            && super::key(data, 8) == pool.pool;
        if !is_extension {
            let account = pool.bitmap_extension();
            return Err(PoolError::NotAPool { pool: account, program: PROGRAM_ID });
        }
        let side = ROWS as usize * ROW_BYTES;
        Ok(Self {
            above: Bitmap::read(data, 8 + 32, side),
            below: Bitmap::read(data, 8 + 32 + side, side),
        })
    }
}

/// Which arrays have liquidity, the least significant bit of the first byte
/// first.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Bitmap(Vec<u8>);

impl Bitmap {
    /// From an account whose length has been checked.
    fn read(data: &[u8], at: usize, len: usize) -> Self {
        Self(data.get(at..at + len).unwrap_or_default().to_vec())
    }

    fn has(&self, bit: i32) -> bool {
        usize::try_from(bit)
            .ok()
            .and_then(|bit| Some(self.0.get(bit / 8)? >> (bit % 8) & 1 == 1))
            .unwrap_or(false)
    }
}

impl ClmmPool {
    /// Reads a pool's account.
    ///
    /// # Errors
    /// [`PoolError::NotAPool`]; [`PoolError::Closed`] while the pool's owner has
    /// switched swaps off.
    pub fn read(pool: &Address, owner: &Address, data: &[u8]) -> Result<Self, PoolError> {
        if *owner != PROGRAM_ID || data.len() < POOL_LEN || !data.starts_with(&POOL_DISCRIMINATOR) {
            return Err(PoolError::NotAPool { pool: *pool, program: PROGRAM_ID });
        }
        let [status] = super::field(data, 389);
        if status & SWAP_DISABLED != 0 {
            return Err(PoolError::Closed { pool: *pool });
        }
        Ok(Self {
            pool: *pool,
            config: super::key(data, 9),
            mints: [super::key(data, 73), super::key(data, 105)],
            vaults: [super::key(data, 137), super::key(data, 169)],
            observation: super::key(data, 201),
            tick_spacing: u16::from_le_bytes(super::field(data, 235)),
            tick: i32::from_le_bytes(super::field(data, 269)),
            bitmap: Bitmap::read(data, POOL_BITMAP, 2 * ROW_BYTES),
        })
    }

    /// Where the pool's [`BitmapExtension`] is.
    #[must_use]
    pub fn bitmap_extension(&self) -> Address {
        let seeds: &[&[u8]] = &[b"pool_tick_array_bitmap_extension", self.pool.as_ref()];
        Address::find_program_address(seeds, &PROGRAM_ID).0
    }

    /// Up to three tick arrays that a swap passes through, nearest first: those
    /// with liquidity, from the current one on. Empty when there is none that
    /// way. Arrays beyond the pool's own bitmap are found with `extension` only.
    #[must_use]
    pub fn tick_arrays(
        &self,
        sells_first: bool,
        extension: Option<&BitmapExtension>,
    ) -> Vec<Address> {
        let width = i32::from(self.tick_spacing.max(1)) * TICKS_PER_ARRAY;
        let current = self.tick.div_euclid(width);
        let (lowest, highest) = (-ROW * (ROWS + 1), ROW * (ROWS + 1) - 1);
        // Selling the first token pushes its price, and the tick, down.
        let numbers: &mut dyn Iterator<Item = i32> = if sells_first {
            &mut (lowest..=current.min(highest)).rev()
        } else {
            &mut (current.max(lowest)..=highest)
        };
        numbers
            .filter(|number| self.has_liquidity(*number, extension))
            .take(TICK_ARRAYS)
            .map(|number| self.tick_array(number.saturating_mul(width)))
            .collect()
    }

    fn has_liquidity(&self, number: i32, extension: Option<&BitmapExtension>) -> bool {
        if (-ROW..ROW).contains(&number) {
            return self.bitmap.has(number + ROW);
        }
        let Some(extension) = extension else { return false };
        if number >= ROW {
            extension.above.has(number - ROW)
        } else {
            // Rows go downwards, the arrays in a row upwards.
            let row = (-number - 1) / ROW - 1;
            extension.below.has(row * ROW + number + ROW * (row + 2))
        }
    }

    /// The array that begins at `start`.
    fn tick_array(&self, start: i32) -> Address {
        let seeds: &[&[u8]] = &[b"tick_array", self.pool.as_ref(), &start.to_be_bytes()];
        Address::find_program_address(seeds, &PROGRAM_ID).0
    }

    /// Sells all of the input.
    ///
    /// # Errors
    /// [`PoolError::OtherTokens`]; [`PoolError::NoLiquidity`] when no tick array
    /// is found in the direction of the swap.
    pub fn leg(
        &self,
        trade: &Trade,
        extension: Option<&BitmapExtension>,
    ) -> Result<SwapLeg, PoolError> {
        let sells_first = super::sells_first(&self.pool, &self.mints, trade)?;
        let sold = usize::from(!sells_first);
        let bought = 1 - sold;
        let tick_arrays = self.tick_arrays(sells_first, extension);
        if tick_arrays.is_empty() {
            return Err(PoolError::NoLiquidity { pool: self.pool, sold: trade.input.mint });
        }
        let mut accounts = vec![
            AccountMeta::new_readonly(trade.authority, true),
            AccountMeta::new_readonly(self.config, false),
            AccountMeta::new(self.pool, false),
            AccountMeta::new(trade.input.account, false),
            AccountMeta::new(trade.output.account, false),
            AccountMeta::new(self.vaults[sold], false),
            AccountMeta::new(self.vaults[bought], false),
            AccountMeta::new(self.observation, false),
            AccountMeta::new_readonly(TOKEN_PROGRAM_ID, false),
            AccountMeta::new_readonly(TOKEN_2022_PROGRAM_ID, false),
            AccountMeta::new_readonly(super::MEMO_PROGRAM_ID, false),
            AccountMeta::new_readonly(self.mints[sold], false),
            AccountMeta::new_readonly(self.mints[bought], false),
            AccountMeta::new(self.bitmap_extension(), false),
        ];
        accounts.extend(tick_arrays.into_iter().map(|array| AccountMeta::new(array, false)));

        let mut data = SWAP_V2.to_vec();
        data.extend(0u64.to_le_bytes());
        data.extend(trade.min_out.to_le_bytes());
        // No price limit: the program takes zero for the end of the scale.
        data.extend(0u128.to_le_bytes());
        // The amount is the input.
        data.push(1);
        Ok(SwapLeg {
            program: PROGRAM_ID,
            accounts,
            input: trade.token,
            amount_in_offset: Some(AMOUNT_OFFSET),
            data,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::swap::{
        recorded,
        tests::{SOL, USDC, pool_bytes, trade},
    };

    /// Mainnet's largest SOL/USDC pool.
    const POOL: Address = address!("3ucNos4NbumPLZNWztqGHNFFgkHeRMBQAVemeeomsUxv");

    fn recorded_bytes() -> Vec<u8> {
        let mut data = recorded::account(recorded::CLMM_SOL_USDC, POOL_LEN);
        let bitmap = recorded::CLMM_SOL_USDC_BITMAP.map(u64::to_le_bytes).concat();
        data[POOL_BITMAP..POOL_BITMAP + bitmap.len()].copy_from_slice(&bitmap);
        data
    }

    fn pool() -> ClmmPool {
        ClmmPool::read(&POOL, &PROGRAM_ID, &recorded_bytes()).unwrap()
    }

    fn derived(seeds: &[&[u8]]) -> Address {
        Address::find_program_address(seeds, &PROGRAM_ID).0
    }

    /// The pool's own address, its vaults and its observation account follow
    /// from what was read, so the offsets are right.
    #[test]
    fn a_recorded_pool_is_read() {
        let pool = pool();
        assert_eq!((pool.tick_spacing, pool.tick), (1, -14_171));
        assert_eq!(pool.mints, [SOL, USDC]);
        let [sol, usdc] = &pool.mints;
        assert_eq!(derived(&[b"pool", pool.config.as_ref(), sol.as_ref(), usdc.as_ref()]), POOL);
        for (mint, vault) in pool.mints.iter().zip(pool.vaults) {
            assert_eq!(derived(&[b"pool_vault", POOL.as_ref(), mint.as_ref()]), vault);
        }
        assert_eq!(derived(&[b"observation", POOL.as_ref()]), pool.observation);
    }

    #[test]
    fn the_bitmap_is_where_the_published_layout_has_it() {
        // Seven keys; liquidity, price and tick; fees; swapped amounts; status;
        // three rewards of 169 bytes.
        let before = 8 + 1 + 7 * 32 + (2 + 2 + 16 + 16 + 4 + 4) + (2 * 16 + 2 * 8) + 4 * 16 + 8;
        assert_eq!(POOL_BITMAP, before + 3 * 169);
        assert_eq!(EXTENSION_LEN, 1832);
    }

    #[test]
    fn arrays_with_liquidity_go_the_way_the_price_goes() {
        // Arrays of this pool begin at multiples of 60; −14,171 is in the one
        // from −14,220 on. Around the price all have liquidity.
        let pool = pool();
        let at = |starts: [i32; 3]| starts.map(|start| pool.tick_array(start));
        assert_eq!(pool.tick_arrays(true, None), at([-14_220, -14_280, -14_340]));
        assert_eq!(pool.tick_arrays(false, None), at([-14_220, -14_160, -14_100]));
        // Further off there are gaps: bits of the recorded words 0 and 13 only.
        let far = ClmmPool { tick: 60 * 200, ..pool.clone() };
        assert_eq!(far.tick_arrays(false, None), [pool.tick_array(383 * 60)]);
        let low = ClmmPool { tick: -60 * 499, ..pool.clone() };
        assert_eq!(low.tick_arrays(true, None), [pool.tick_array(-500 * 60)]);
    }

    /// The two arrays and the extension that a swap on mainnet named, in pool
    /// `945czrk5A4uSUH46xE8PLz4SMjqLXPDKqAyaGvA76bUg`, whose liquidity is spread over
    /// the whole scale.
    #[test]
    fn a_recorded_swap_names_these_accounts() {
        let mint = address!("3hiYB9c4VYhWbwkDgSbEv22cpsNvdYZHuVWMnnNgpump");
        let pool = ClmmPool {
            pool: address!("945czrk5A4uSUH46xE8PLz4SMjqLXPDKqAyaGvA76bUg"),
            config: address!("9iFER3bpjf1PTTCQCfTRu17EJgvsxo9pVyA9QWwEuX4x"),
            mints: [SOL, mint],
            vaults: [
                address!("anQHGFzjoUf6F663ZVzC1irEgvXdgHdgp35knPg3wNj"),
                address!("GkYAvt7ecy7juVHyPBssmJsw6DQLZ5r1YTzf58DMLFxu"),
            ],
            observation: address!("2uiwPb51HMsNPfk6C2MF7mx9vcjN2coDGct1cYM96nCt"),
            tick_spacing: 1,
            tick: 80_000,
            bitmap: Bitmap(vec![0; 2 * ROW_BYTES]),
        };
        let extension = extension(&pool, &[7393, -7394]);
        let trade = trade(mint, SOL);
        let leg = pool.leg(&trade, Some(&extension)).unwrap();
        let recorded = [
            "9iFER3bpjf1PTTCQCfTRu17EJgvsxo9pVyA9QWwEuX4x",
            "945czrk5A4uSUH46xE8PLz4SMjqLXPDKqAyaGvA76bUg",
            &trade.input.account.to_string(),
            &trade.output.account.to_string(),
            "GkYAvt7ecy7juVHyPBssmJsw6DQLZ5r1YTzf58DMLFxu",
            "anQHGFzjoUf6F663ZVzC1irEgvXdgHdgp35knPg3wNj",
            "2uiwPb51HMsNPfk6C2MF7mx9vcjN2coDGct1cYM96nCt",
            "TokenkegQfeZyiNwAJbNbGKPFXCWuBvf9Ss623VQ5DA",
            "TokenzQdBNbLqP5VEhdkAS6EPFLC1PHnBqCXEpPxuEb",
            "MemoSq4gqABAXKb96qnH8TysNcWxMyWCqXgDLGmfcHr",
            "3hiYB9c4VYhWbwkDgSbEv22cpsNvdYZHuVWMnnNgpump",
            "So11111111111111111111111111111111111111112",
            "8yxZqXeguBG6fDSGLxTVTDMGEzUgatvhDzUC4CJv6KbQ",
            "3DGHSf9AYkon5ESJv6uJaVziuMVZ5Td7GBzuLU4w5cFt",
        ];
        assert_eq!(leg.accounts[0].pubkey, trade.authority);
        let named: Vec<_> = leg.accounts[1..].iter().map(|meta| meta.pubkey.to_string()).collect();
        assert_eq!(named, recorded);
        let writable: Vec<_> = (0..15).filter(|n| leg.accounts[*n].is_writable).collect();
        assert_eq!(writable, [2, 3, 4, 5, 6, 7, 13, 14]);
        // The other array is below: it is named where the price goes down.
        assert_eq!(
            pool.tick_arrays(true, Some(&extension)),
            [address!("HeV2hQbj6sxHZ8P3XW2Bho7iDzNpgC1MXiYmdTDvLpup")]
        );
        // What the recorded data says beside amount, minimum and limit.
        assert_eq!(
            leg.data.len(),
            "2b04ed0b1ac91e6244dcfe020100000000406352bfc601009a57694ea91a5c84b1c4feff0000000000"
                .len()
                / 2
        );
        assert_eq!(leg.data[..8], [0x2b, 0x04, 0xed, 0x0b, 0x1a, 0xc9, 0x1e, 0x62]);
        assert_eq!((leg.data[16..24].to_vec(), leg.data[40]), (77u64.to_le_bytes().to_vec(), 1));
        assert_eq!(leg.amount_in_offset, Some(8));
    }

    /// An extension with these arrays, written as the program writes it.
    fn extension(pool: &ClmmPool, numbers: &[i32]) -> BitmapExtension {
        let mut data = vec![0; EXTENSION_LEN];
        data[..8].copy_from_slice(&EXTENSION_DISCRIMINATOR);
        data[8..40].copy_from_slice(pool.pool.as_ref());
        for number in numbers {
            // The published rule: which row by the distance from zero, and in a
            // row below zero the bits count from its lowest array.
            let (side, row, bit) = if *number >= 0 {
                (0, number / 512 - 1, number % 512)
            } else {
                let distance = number.unsigned_abs() as i32;
                (14 * 64, (distance - 1) / 512 - 1, (512 - distance % 512) % 512)
            };
            data[40 + side + row as usize * 64 + bit as usize / 8] |= 1 << (bit % 8);
        }
        BitmapExtension::read(pool, &PROGRAM_ID, &data).unwrap()
    }

    #[test]
    fn arrays_beyond_the_pools_bitmap_are_in_the_extension() {
        let pool = ClmmPool { bitmap: Bitmap(vec![0; 2 * ROW_BYTES]), ..pool() };
        let edges = [512, 1023, 1024, 7679, -513, -1024, -1025, -7680];
        let extension = extension(&pool, &edges);
        for number in -7680..7680 {
            let found = pool.has_liquidity(number, Some(&extension));
            assert_eq!(found, edges.contains(&number), "array {number}");
            assert!(!pool.has_liquidity(number, None));
        }
        assert!(!pool.has_liquidity(7680, Some(&extension)));
        assert!(!pool.has_liquidity(-7681, Some(&extension)));
    }

    #[test]
    fn other_accounts_tokens_and_states_are_refused() {
        let other = Address::new_from_array([9; 32]);
        let data = recorded_bytes();
        assert!(ClmmPool::read(&POOL, &other, &data).is_err());
        assert!(ClmmPool::read(&POOL, &PROGRAM_ID, &data[..POOL_LEN - 1]).is_err());
        assert!(ClmmPool::read(&POOL, &PROGRAM_ID, &pool_bytes(POOL_LEN, &[])).is_err());
        let mut closed = data;
        closed[389] = SWAP_DISABLED;
        assert!(matches!(
            ClmmPool::read(&POOL, &PROGRAM_ID, &closed),
            Err(PoolError::Closed { pool: POOL })
        ));
        let pool = pool();
        let error = pool.leg(&trade(SOL, other), None).unwrap_err();
        assert!(matches!(error, PoolError::OtherTokens { bought, .. } if bought == other));
        let dry = ClmmPool { bitmap: Bitmap(vec![0; 2 * ROW_BYTES]), ..pool.clone() };
        let error = dry.leg(&trade(SOL, USDC), None).unwrap_err();
        assert!(matches!(error, PoolError::NoLiquidity { sold: SOL, .. }), "{error}");

        let mut of_another = vec![0; EXTENSION_LEN];
        of_another[..8].copy_from_slice(&EXTENSION_DISCRIMINATOR);
        assert!(BitmapExtension::read(&pool, &PROGRAM_ID, &of_another).is_err());
    }
}
