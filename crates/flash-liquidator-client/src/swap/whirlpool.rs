//! Orca Whirlpools: concentrated liquidity.
//!
//! A leg is one `swap_v2` (the Whirlpool program's IDL), for SPL Token and
//! Token-2022 mints alike. Liquidity lies in arrays of 88 ticks; a swap names
//! three of them, from the one at the current price on in the direction it
//! pushes the price.

use solana_address::{Address, address};
use solana_instruction::AccountMeta;

use super::{PoolError, Trade};
use crate::receiver::SwapLeg;

/// The Whirlpool program.
pub const PROGRAM_ID: Address = address!("whirLbMiicVdio4qvUfM5KAg6Ct8VwpYzGff3uctyCc");

/// `account:Whirlpool`.
const POOL_DISCRIMINATOR: [u8; 8] = [63, 149, 209, 12, 225, 128, 99, 9];
/// `swap_v2(amount, other_amount_threshold, sqrt_price_limit, amount_specified_is_input, a_to_b, remaining_accounts_info)`.
const SWAP_V2: [u8; 8] = [43, 4, 237, 11, 26, 201, 30, 98];
/// Where the data holds `amount`.
const AMOUNT_OFFSET: u16 = 8;

/// Ticks in one array.
const TICKS_PER_ARRAY: i32 = 88;
/// Arrays a swap names.
const TICK_ARRAYS: usize = 3;
/// The highest tick; the lowest is its negative.
const MAX_TICK: i32 = 443_636;

/// Bytes of a pool's account that are read.
const POOL_LEN: usize = 245;

/// A pool, as its account states it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Whirlpool {
    /// The pool's account.
    pub pool: Address,
    /// Ticks between two that can hold liquidity.
    pub tick_spacing: u16,
    /// Fee on the input, in hundredths of a basis point.
    pub fee_rate: u16,
    /// Tick of the current price.
    pub tick: i32,
    /// The two mints.
    pub mints: [Address; 2],
    /// The vaults, in the order of the mints.
    pub vaults: [Address; 2],
}

impl Whirlpool {
    /// Reads a pool's account.
    ///
    /// # Errors
    /// [`PoolError::NotAPool`].
    pub fn read(pool: &Address, owner: &Address, data: &[u8]) -> Result<Self, PoolError> {
        if *owner != PROGRAM_ID || data.len() < POOL_LEN || !data.starts_with(&POOL_DISCRIMINATOR) {
            return Err(PoolError::NotAPool { pool: *pool, program: PROGRAM_ID });
        }
        Ok(Self {
            pool: *pool,
            tick_spacing: u16::from_le_bytes(super::field(data, 41)),
            fee_rate: u16::from_le_bytes(super::field(data, 45)),
            tick: i32::from_le_bytes(super::field(data, 81)),
            mints: [super::key(data, 101), super::key(data, 181)],
            vaults: [super::key(data, 133), super::key(data, 213)],
        })
    }

    /// The tick arrays a swap passes through, nearest first. Where the scale ends
    /// earlier, the last one is named again.
    #[must_use]
    pub fn tick_arrays(&self, a_to_b: bool) -> [Address; TICK_ARRAYS] {
        let spacing = i32::from(self.tick_spacing.max(1));
        let width = spacing * TICKS_PER_ARRAY;
        // Upwards the current tick is crossed already: the program looks for
        // the next one above it.
        let tick = if a_to_b { self.tick } else { self.tick.saturating_add(spacing) };
        let mut start = tick.div_euclid(width) * width;
        let step = if a_to_b { -width } else { width };
        std::array::from_fn(|n| {
            let next = start.saturating_add(step);
            if n > 0 && next <= MAX_TICK && next.saturating_add(width) > -MAX_TICK {
                start = next;
            }
            self.tick_array(start)
        })
    }

    /// The array that begins at `start`.
    fn tick_array(&self, start: i32) -> Address {
        let start = start.to_string();
        let seeds: &[&[u8]] = &[b"tick_array", self.pool.as_ref(), start.as_bytes()];
        Address::find_program_address(seeds, &PROGRAM_ID).0
    }

    /// The pool's oracle, which adaptive-fee pools keep their state in.
    #[must_use]
    pub fn oracle(&self) -> Address {
        Address::find_program_address(&[b"oracle", self.pool.as_ref()], &PROGRAM_ID).0
    }

    /// Sells all of the input.
    ///
    /// # Errors
    /// [`PoolError::OtherTokens`].
    pub fn leg(&self, trade: &Trade) -> Result<SwapLeg, PoolError> {
        let a_to_b = super::sells_first(&self.pool, &self.mints, trade)?;
        let (a, b) =
            if a_to_b { (&trade.input, &trade.output) } else { (&trade.output, &trade.input) };
        let mut accounts = vec![
            AccountMeta::new_readonly(a.token_program, false),
            AccountMeta::new_readonly(b.token_program, false),
            AccountMeta::new_readonly(super::MEMO_PROGRAM_ID, false),
            AccountMeta::new_readonly(trade.authority, true),
            AccountMeta::new(self.pool, false),
            AccountMeta::new_readonly(a.mint, false),
            AccountMeta::new_readonly(b.mint, false),
            AccountMeta::new(a.account, false),
            AccountMeta::new(self.vaults[0], false),
            AccountMeta::new(b.account, false),
            AccountMeta::new(self.vaults[1], false),
        ];
        accounts.extend(self.tick_arrays(a_to_b).map(|array| AccountMeta::new(array, false)));
        accounts.push(AccountMeta::new(self.oracle(), false));

        let mut data = SWAP_V2.to_vec();
        data.extend(0u64.to_le_bytes());
        data.extend(trade.min_out.to_le_bytes());
        // No price limit: the program takes zero for the end of the scale.
        data.extend(0u128.to_le_bytes());
        // The amount is the input; the direction; no further accounts.
        data.extend([1, u8::from(a_to_b), 0]);
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
        tests::{SOL, USDC, trade},
    };

    /// Bytes of a pool's account.
    const ACCOUNT_LEN: usize = 653;

    /// Mainnet's SOL/USDC pool with a tick spacing of 4.
    const POOL: Address = address!("Czfq3xZZDmsdGdUyrNLtRhGc47cXcZtLG4crryfu44zE");
    /// Its oracle account on mainnet.
    const ORACLE: Address = address!("FoKYKtRpD25TKzBMndysKpgPqbj8AdLXjfpYHXn9PGTX");
    const VAULT_SOL: Address = address!("EUuUbDcafPrmVTD5M6qoJAoyyNbihBhugADAxRMn5he9");
    const VAULT_USDC: Address = address!("2WLWEuKDgkDUccTpbwYp1GToYktiSB1cXvreHUwiSUVP");

    fn recorded_pool() -> Whirlpool {
        let data = recorded::account(recorded::WHIRLPOOL_SOL_USDC, ACCOUNT_LEN);
        Whirlpool::read(&POOL, &PROGRAM_ID, &data).unwrap()
    }

    fn pool(tick: i32) -> Whirlpool {
        Whirlpool { tick, ..recorded_pool() }
    }

    /// A pool's address follows from its configuration, which is not read here,
    /// from its mints, and from the tick spacing it was made with.
    fn derived(data: &[u8], pool: &Whirlpool) -> Address {
        let [a, b] = &pool.mints;
        let seeds: &[&[u8]] = &[b"whirlpool", &data[8..40], a.as_ref(), b.as_ref(), &data[43..45]];
        Address::find_program_address(seeds, &PROGRAM_ID).0
    }

    #[test]
    fn a_recorded_pool_is_read_and_its_oracle_is_mainnets() {
        let pool = recorded_pool();
        assert_eq!((pool.tick_spacing, pool.fee_rate, pool.tick), (4, 400, -26_147));
        assert_eq!(pool.mints, [SOL, USDC]);
        assert_eq!(pool.vaults, [VAULT_SOL, VAULT_USDC]);
        assert_eq!(pool.oracle(), ORACLE);
        let data = recorded::account(recorded::WHIRLPOOL_SOL_USDC, ACCOUNT_LEN);
        assert_eq!(derived(&data, &pool), POOL);
    }

    /// A swap on mainnet, published with its accounts and data: 0.367897999 SOL into pool `AHTTzwf3GmVMJdxWM8v2MSxyjZj8rQR6hyAC3g9477Yj`.
    #[test]
    fn a_recorded_swap_names_these_accounts() {
        let mint = address!("7GCihgDB8fe6KNjn2MYtkzZcRjQy3t9GHdC8uHYmW2hr");
        let pool = Whirlpool {
            pool: address!("AHTTzwf3GmVMJdxWM8v2MSxyjZj8rQR6hyAC3g9477Yj"),
            // Its arrays begin at 55,616, 56,320 and 57,024.
            tick_spacing: 8,
            fee_rate: 0,
            tick: 57_100,
            mints: [SOL, mint],
            vaults: [
                address!("ATUMydDvNcELzNk9GP1Ky7i2Mgx2t2ej5aNPMhA6F2VH"),
                address!("ChcWkmUbWDbBspDjPX6ZXi7Hb9kZ7VTbNUf6nMtWF1YH"),
            ],
        };
        let trade = trade(SOL, mint);
        let leg = pool.leg(&trade).unwrap();
        let named: Vec<_> = leg.accounts.iter().map(|meta| meta.pubkey.to_string()).collect();
        let recorded = [
            "TokenkegQfeZyiNwAJbNbGKPFXCWuBvf9Ss623VQ5DA",
            "TokenkegQfeZyiNwAJbNbGKPFXCWuBvf9Ss623VQ5DA",
            "MemoSq4gqABAXKb96qnH8TysNcWxMyWCqXgDLGmfcHr",
            &trade.authority.to_string(),
            "AHTTzwf3GmVMJdxWM8v2MSxyjZj8rQR6hyAC3g9477Yj",
            "So11111111111111111111111111111111111111112",
            "7GCihgDB8fe6KNjn2MYtkzZcRjQy3t9GHdC8uHYmW2hr",
            &trade.input.account.to_string(),
            "ATUMydDvNcELzNk9GP1Ky7i2Mgx2t2ej5aNPMhA6F2VH",
            &trade.output.account.to_string(),
            "ChcWkmUbWDbBspDjPX6ZXi7Hb9kZ7VTbNUf6nMtWF1YH",
            // The program takes the arrays in any order; that swap had them upwards.
            "CNRe6eKbdbSvmgY5BicihPXWQaUqF33rc352bB17crgS",
            "9hcRuY6mg7EhCDzbgKoU8oz7xXTJNgY6dsgNF8fVxnqp",
            "AiEsfEZ1mNTRuT4kaovStK8aVabrV8gJ5dJojkgFynaX",
            "7T9uvDmpdKVzxsWkEQvpnZKnEsaK6LQ7tnDpd6pNJfZH",
        ];
        assert_eq!(named, recorded);
        let writable: Vec<_> = (0..15).filter(|n| leg.accounts[*n].is_writable).collect();
        assert_eq!(writable, [4, 7, 8, 9, 10, 11, 12, 13, 14]);
        // Amount 367,897,999, minimum 1, a price limit, exact input, a to b, no
        // further accounts.
        let mut data = vec![0x2b, 0x04, 0xed, 0x0b, 0x1a, 0xc9, 0x1e, 0x62];
        data.extend(367_897_999u64.to_le_bytes());
        data.extend(1u64.to_le_bytes());
        data.extend(4_295_048_016u128.to_le_bytes());
        data.extend([1, 1, 0]);
        assert_eq!(
            hex(&data),
            "2b04ed0b1ac91e628faded15000000000100000000000000503b0100010000000000000000000000010100"
        );
        assert_eq!(
            (leg.data.len(), &leg.data[..8], &leg.data[40..]),
            (43, &data[..8], &data[40..])
        );
    }

    fn hex(bytes: &[u8]) -> String {
        bytes.iter().map(|byte| format!("{byte:02x}")).collect()
    }

    /// Two arrays are the whole scale of a pool without concentration.
    #[test]
    fn arrays_end_where_the_scale_ends() {
        let data = recorded::account(recorded::WHIRLPOOL_SPLASH, ACCOUNT_LEN);
        let key = address!("CGGNcohZdLdeDBdhmQRGmUH1Viv1p4d1ds2aPLoiVWaR");
        let pool = Whirlpool::read(&key, &PROGRAM_ID, &data).unwrap();
        assert_eq!(derived(&data, &pool), key);
        assert_eq!((pool.tick_spacing, pool.fee_rate, pool.tick), (32_896, 10_000, 223_338));
        let [above, below] = [0, -88 * 32_896].map(|start| pool.tick_array(start));
        assert_eq!(pool.tick_arrays(true), [above, below, below]);
        assert_eq!(pool.tick_arrays(false), [above; 3]);
    }

    #[test]
    fn arrays_go_the_way_the_price_goes() {
        // Arrays of this pool begin at multiples of 352.
        let pool = pool(-18_123);
        let at = |starts: [i32; 3]| starts.map(|start| pool.tick_array(start));
        assert_eq!(pool.tick_arrays(true), at([-18_304, -18_656, -19_008]));
        assert_eq!(pool.tick_arrays(false), at([-18_304, -17_952, -17_600]));
        // On the last tick of an array the next one up is in the next array.
        let edge = self::pool(-17_954);
        assert_eq!(edge.tick_arrays(true)[0], edge.tick_array(-18_304));
        assert_eq!(edge.tick_arrays(false)[0], edge.tick_array(-17_952));
    }

    #[test]
    fn both_directions_name_the_pools_sides_in_the_pools_order() {
        let pool = pool(-18_123);
        let down = pool.leg(&trade(SOL, USDC)).unwrap();
        let up = pool.leg(&trade(USDC, SOL)).unwrap();
        assert_eq!((down.accounts.len(), down.data.len()), (15, 8 + 8 + 8 + 16 + 3));
        for leg in [&down, &up] {
            assert_eq!(leg.accounts[5].pubkey, SOL);
            assert_eq!(leg.accounts[8].pubkey, VAULT_SOL);
            assert_eq!(leg.accounts[10].pubkey, VAULT_USDC);
            assert_eq!(leg.accounts[14].pubkey, ORACLE);
            let signers = leg.accounts.iter().filter(|meta| meta.is_signer).count();
            assert_eq!((signers, leg.accounts[3].is_signer), (1, true));
            assert_eq!(leg.amount_in_offset, Some(8));
            assert_eq!(leg.data[16..24], 77u64.to_le_bytes());
        }
        assert_eq!(down.accounts[7].pubkey, trade(SOL, USDC).input.account);
        assert_eq!(up.accounts[9].pubkey, trade(USDC, SOL).input.account);
        assert_eq!((&down.data[40..], &up.data[40..]), (&[1, 1, 0][..], &[1, 0, 0][..]));
    }

    #[test]
    fn other_accounts_and_other_tokens_are_refused() {
        let other = Address::new_from_array([9; 32]);
        assert!(Whirlpool::read(&POOL, &other, &[0; 653]).is_err());
        assert!(Whirlpool::read(&POOL, &PROGRAM_ID, &[0; 653]).is_err());
        assert!(Whirlpool::read(&POOL, &PROGRAM_ID, &POOL_DISCRIMINATOR).is_err());
        let error = pool(0).leg(&trade(SOL, other)).unwrap_err();
        assert!(matches!(error, PoolError::OtherTokens { bought, .. } if bought == other));
    }
}
