//! Pools as mainnet had them, and the accounts that swaps there named: the layouts and
//! orders of accounts are held against those. The pools' bytes are public; they are cut off
//! behind what is read and padded with zeros.

use std::collections::BTreeMap;

use base64::{Engine, engine::general_purpose::STANDARD};
use liquidation_venues::{
    Account, Amount, Curve, Now, Pool, Side, SwapLeg, Trade, VenueError,
    mint::TOKEN_PROGRAM_ID,
    raydium_clmm::{self, ClmmPool},
    raydium_cpmm::{self, CpmmPool},
    read,
    whirlpool::{self, Whirlpool},
};
use solana_address::{Address, address};

type Known = BTreeMap<Address, Option<(Address, Vec<u8>)>>;

const SOL: Address = address!("So11111111111111111111111111111111111111112");
const USDC: Address = address!("EPjFWdd5AufqSSqeM2qN1xzybapC8G4wEGGkZwyTDt1v");
const NOW: Now = Now { unix_timestamp: 1_900_000_000, slot: 1 };

/// The account's bytes, `len` of them.
fn account(recorded: &str, len: usize) -> Vec<u8> {
    let mut data = STANDARD.decode(recorded).expect("base64");
    data.resize(len, 0);
    data
}

/// An account with these bytes at these offsets.
fn bytes(len: usize, fields: &[(usize, &[u8])]) -> Vec<u8> {
    let mut data = vec![0; len];
    for (at, field) in fields {
        data[*at..*at + field.len()].copy_from_slice(field);
    }
    data
}

fn key(byte: u8) -> Address {
    Address::new_from_array([byte; 32])
}

fn side(byte: u8, mint: Address) -> Side {
    Side { account: key(byte), mint, token_program: TOKEN_PROGRAM_ID }
}

/// Sells a thousand of `sold` for at least 77 units of `bought`.
fn trade(sold: Address, bought: Address) -> Trade {
    let (input, output) = (side(31, sold), side(32, bought));
    Trade { authority: key(30), input, output, amount: Amount::All(1_000), min_out: 77, token: 0 }
}

/// All that a pool names that nobody has put there, as absent; its mints as plain ones.
fn complete(pool: &dyn Pool, known: &mut Known) {
    for mint in pool.mints() {
        known.insert(mint, Some((TOKEN_PROGRAM_ID, vec![0; 82])));
    }
    for _ in 0..2 {
        for key in pool.accounts(known) {
            known.entry(key).or_insert(None);
        }
    }
}

fn curve(pool: &dyn Pool, sold: Address, known: &mut Known) -> Box<dyn Curve> {
    complete(pool, known);
    pool.curve(&sold, known, &NOW).unwrap_or_else(|error| panic!("{error}"))
}

fn leg(pool: &dyn Pool, sold: Address, known: &mut Known) -> SwapLeg {
    let curve = curve(pool, sold, known);
    curve.leg(&trade(sold, *curve.bought())).expect("a leg")
}

fn keys(leg: &SwapLeg) -> Vec<Address> {
    leg.accounts.iter().map(|meta| meta.pubkey).collect()
}

fn names(leg: &SwapLeg) -> Vec<String> {
    keys(leg).iter().map(Address::to_string).collect()
}

fn writable(leg: &SwapLeg) -> Vec<usize> {
    (0..leg.accounts.len()).filter(|n| leg.accounts[*n].is_writable).collect()
}

/// Mainnet's SOL/USDC Whirlpool with a tick spacing of 4, and its oracle account.
const WHIRLPOOL: Address = address!("Czfq3xZZDmsdGdUyrNLtRhGc47cXcZtLG4crryfu44zE");
const WHIRLPOOL_ORACLE: Address = address!("FoKYKtRpD25TKzBMndysKpgPqbj8AdLXjfpYHXn9PGTX");
const WHIRLPOOL_VAULTS: [Address; 2] = [
    address!("EUuUbDcafPrmVTD5M6qoJAoyyNbihBhugADAxRMn5he9"),
    address!("2WLWEuKDgkDUccTpbwYp1GToYktiSB1cXvreHUwiSUVP"),
];
const WHIRLPOOL_LEN: usize = 653;

fn whirlpool_of(key: &Address, data: &[u8]) -> Whirlpool {
    Whirlpool::read(key, Account { owner: &whirlpool::PROGRAM_ID, data }).expect("a Whirlpool")
}

/// The recorded pool at another tick.
fn whirlpool_at(tick: i32) -> Whirlpool {
    let mut data = account(WHIRLPOOL_SOL_USDC, WHIRLPOOL_LEN);
    data[81..85].copy_from_slice(&tick.to_le_bytes());
    whirlpool_of(&WHIRLPOOL, &data)
}

fn tick_array(pool: &Address, start: i32) -> Address {
    let start = start.to_string();
    let seeds: &[&[u8]] = &[b"tick_array", pool.as_ref(), start.as_bytes()];
    Address::find_program_address(seeds, &whirlpool::PROGRAM_ID).0
}

/// A pool's address follows from its configuration, which is not read here, from its
/// mints, and from the tick spacing it was made with.
fn whirlpool_address(data: &[u8], pool: &Whirlpool) -> Address {
    let [a, b] = &pool.mints;
    let seeds: &[&[u8]] = &[b"whirlpool", &data[8..40], a.as_ref(), b.as_ref(), &data[43..45]];
    Address::find_program_address(seeds, &whirlpool::PROGRAM_ID).0
}

#[test]
fn a_recorded_whirlpool_is_read_and_its_oracle_is_mainnets() {
    let data = account(WHIRLPOOL_SOL_USDC, WHIRLPOOL_LEN);
    let pool = whirlpool_of(&WHIRLPOOL, &data);
    assert_eq!((pool.tick_spacing, pool.fee_rate, pool.tick), (4, 400, -26_147));
    assert_eq!((pool.mints, pool.vaults), ([SOL, USDC], WHIRLPOOL_VAULTS));
    assert_eq!(pool.oracle(), WHIRLPOOL_ORACLE);
    assert_eq!(whirlpool_address(&data, &pool), WHIRLPOOL);
}

/// A swap on mainnet, published with its accounts and data: 0.367897999 SOL into pool
/// `AHTTzwf3GmVMJdxWM8v2MSxyjZj8rQR6hyAC3g9477Yj`.
#[test]
fn a_recorded_swap_in_a_whirlpool_names_these_accounts() {
    let pool = address!("AHTTzwf3GmVMJdxWM8v2MSxyjZj8rQR6hyAC3g9477Yj");
    let mint = address!("7GCihgDB8fe6KNjn2MYtkzZcRjQy3t9GHdC8uHYmW2hr");
    let vaults = [
        address!("ATUMydDvNcELzNk9GP1Ky7i2Mgx2t2ej5aNPMhA6F2VH"),
        address!("ChcWkmUbWDbBspDjPX6ZXi7Hb9kZ7VTbNUf6nMtWF1YH"),
    ];
    let data = bytes(
        WHIRLPOOL_LEN,
        &[
            (0, &account(WHIRLPOOL_SOL_USDC, 8)),
            // Its arrays begin at 55,616, 56,320 and 57,024.
            (41, &[8, 0, 8, 0]),
            (49, &(1u128 << 60).to_le_bytes()),
            (65, &((1.0001f64.powf(57_100.5 / 2.0) * (1u128 << 64) as f64) as u128).to_le_bytes()),
            (81, &57_100i32.to_le_bytes()),
            (101, SOL.as_ref()),
            (133, vaults[0].as_ref()),
            (181, mint.as_ref()),
            (213, vaults[1].as_ref()),
        ],
    );
    let leg = leg(&whirlpool_of(&pool, &data), SOL, &mut Known::new());
    let recorded = [
        "TokenkegQfeZyiNwAJbNbGKPFXCWuBvf9Ss623VQ5DA",
        "TokenkegQfeZyiNwAJbNbGKPFXCWuBvf9Ss623VQ5DA",
        "MemoSq4gqABAXKb96qnH8TysNcWxMyWCqXgDLGmfcHr",
        &key(30).to_string(),
        "AHTTzwf3GmVMJdxWM8v2MSxyjZj8rQR6hyAC3g9477Yj",
        "So11111111111111111111111111111111111111112",
        "7GCihgDB8fe6KNjn2MYtkzZcRjQy3t9GHdC8uHYmW2hr",
        &key(31).to_string(),
        "ATUMydDvNcELzNk9GP1Ky7i2Mgx2t2ej5aNPMhA6F2VH",
        &key(32).to_string(),
        "ChcWkmUbWDbBspDjPX6ZXi7Hb9kZ7VTbNUf6nMtWF1YH",
        // The program takes the arrays in any order; that swap had them upwards.
        "CNRe6eKbdbSvmgY5BicihPXWQaUqF33rc352bB17crgS",
        "9hcRuY6mg7EhCDzbgKoU8oz7xXTJNgY6dsgNF8fVxnqp",
        "AiEsfEZ1mNTRuT4kaovStK8aVabrV8gJ5dJojkgFynaX",
        "7T9uvDmpdKVzxsWkEQvpnZKnEsaK6LQ7tnDpd6pNJfZH",
    ];
    assert_eq!(names(&leg)[..15], recorded);
    // Here the array behind and the next one, as supplemental ones, come on top.
    assert_eq!(keys(&leg)[15..], [57_728, 54_912].map(|start| tick_array(&pool, start)));
    assert_eq!(writable(&leg), [4, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16]);
    // That swap's data: amount 367,897,999, minimum 1, a price limit, exact input, a to b,
    // no further accounts. Here: an amount that is filled in, minimum 77, no limit, exact
    // input, a to b, one slice of two supplemental arrays.
    let recorded = "2b04ed0b1ac91e62\
        8faded1500000000\
        0100000000000000\
        503b0100010000000000000000000000\
        010100";
    assert_eq!(hex(&leg.data[..8]), recorded[..16]);
    assert_eq!((leg.amount_in_offset, &leg.data[16..24]), (Some(8), &77u64.to_le_bytes()[..]));
    assert_eq!(leg.data[24..40], [0; 16]);
    assert_eq!(hex(&leg.data[40..42]), recorded[80..84]);
    assert_eq!(leg.data[42..], [1, 1, 0, 0, 0, 6, 2]);
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Two arrays are the whole scale of a pool without concentration.
#[test]
fn arrays_end_where_the_scale_ends() {
    let data = account(WHIRLPOOL_SPLASH, WHIRLPOOL_LEN);
    let key = address!("CGGNcohZdLdeDBdhmQRGmUH1Viv1p4d1ds2aPLoiVWaR");
    let pool = whirlpool_of(&key, &data);
    assert_eq!(whirlpool_address(&data, &pool), key);
    assert_eq!((pool.tick_spacing, pool.fee_rate, pool.tick), (32_896, 10_000, 223_338));
    let [above, below] = [0, -88 * 32_896].map(|start| tick_array(&key, start));
    let [a, b] = pool.mints;
    let arrays = |sold| keys(&leg(&pool, sold, &mut Known::new()))[11..14].to_vec();
    assert_eq!(arrays(a), [above, below, below]);
    assert_eq!(arrays(b), [above; 3]);
}

#[test]
fn arrays_go_the_way_the_price_goes() {
    // Arrays of this pool begin at multiples of 352.
    let at = |starts: [i32; 3]| starts.map(|start| tick_array(&WHIRLPOOL, start)).to_vec();
    let arrays =
        |tick, sold| keys(&leg(&whirlpool_at(tick), sold, &mut Known::new()))[11..14].to_vec();
    assert_eq!(arrays(-18_123, SOL), at([-18_304, -18_656, -19_008]));
    assert_eq!(arrays(-18_123, USDC), at([-18_304, -17_952, -17_600]));
    // On the last tick of an array the next one up is in the next array.
    assert_eq!(arrays(-17_954, SOL)[0], tick_array(&WHIRLPOOL, -18_304));
    assert_eq!(arrays(-17_954, USDC)[0], tick_array(&WHIRLPOOL, -17_952));
}

#[test]
fn both_directions_name_a_whirlpools_sides_in_its_order() {
    let pool = whirlpool_at(-18_123);
    let [down, up] = [SOL, USDC].map(|sold| leg(&pool, sold, &mut Known::new()));
    for leg in [&down, &up] {
        assert_eq!(leg.accounts[5].pubkey, SOL);
        assert_eq!([8, 10].map(|n| leg.accounts[n].pubkey), WHIRLPOOL_VAULTS);
        assert_eq!(leg.accounts[14].pubkey, WHIRLPOOL_ORACLE);
        let signers = leg.accounts.iter().filter(|meta| meta.is_signer).count();
        assert_eq!((signers, leg.accounts[3].is_signer), (1, true));
    }
    assert_eq!((down.accounts[7].pubkey, up.accounts[9].pubkey), (key(31), key(31)));
    assert_eq!((&down.data[40..42], &up.data[40..42]), (&[1, 1][..], &[1, 0][..]));
}

/// Mainnet's largest SOL/USDC pool of the CLMM.
const CLMM: Address = address!("3ucNos4NbumPLZNWztqGHNFFgkHeRMBQAVemeeomsUxv");
const CLMM_LEN: usize = 1544;
const CLMM_BITMAP: usize = 904;

fn clmm_derived(seeds: &[&[u8]]) -> Address {
    Address::find_program_address(seeds, &raydium_clmm::PROGRAM_ID).0
}

fn clmm_of(key: &Address, data: &[u8]) -> ClmmPool {
    ClmmPool::read(key, Account { owner: &raydium_clmm::PROGRAM_ID, data }).expect("a pool")
}

fn clmm_bytes() -> Vec<u8> {
    let mut data = account(CLMM_SOL_USDC, CLMM_LEN);
    let bitmap = CLMM_SOL_USDC_BITMAP.map(u64::to_le_bytes).concat();
    data[CLMM_BITMAP..CLMM_BITMAP + bitmap.len()].copy_from_slice(&bitmap);
    data
}

/// The pool's own address, its vaults and its observation account follow from what was
/// read, so the offsets are right.
#[test]
fn a_recorded_clmm_pool_is_read() {
    let pool = clmm_of(&CLMM, &clmm_bytes());
    assert_eq!((pool.tick_spacing, pool.tick), (1, -14_171));
    assert_eq!(pool.mints, [SOL, USDC]);
    let [sol, usdc] = &pool.mints;
    assert_eq!(clmm_derived(&[b"pool", pool.config.as_ref(), sol.as_ref(), usdc.as_ref()]), CLMM);
    for (mint, vault) in pool.mints.iter().zip(pool.vaults) {
        assert_eq!(clmm_derived(&[b"pool_vault", CLMM.as_ref(), mint.as_ref()]), vault);
    }
    assert_eq!(clmm_derived(&[b"observation", CLMM.as_ref()]), pool.observation);
    // Seven keys; liquidity, price and tick; fees; swapped amounts; status; three rewards
    // of 169 bytes.
    let before = 8 + 1 + 7 * 32 + (2 + 2 + 16 + 16 + 4 + 4) + (2 * 16 + 2 * 8) + 4 * 16 + 8;
    assert_eq!(CLMM_BITMAP, before + 3 * 169);
}

/// Around the price all arrays have liquidity; further off there are gaps: the recorded
/// words 0 and 13 only.
#[test]
fn a_clmm_pools_arrays_are_those_of_its_bitmap() {
    let array = |start: i32| clmm_derived(&[b"tick_array", CLMM.as_ref(), &start.to_be_bytes()]);
    let arrays = |tick: i32| {
        let mut data = clmm_bytes();
        data[269..273].copy_from_slice(&tick.to_le_bytes());
        clmm_of(&CLMM, &data).accounts(&Known::new())
    };
    // Arrays of this pool begin at multiples of 60.
    let near = arrays(-14_171);
    for n in -9..=9 {
        assert!(near.contains(&array(-14_220 + 60 * n)), "{n}");
    }
    assert!(arrays(60 * 200).contains(&array(383 * 60)));
    assert!(arrays(-60 * 499).contains(&array(-500 * 60)));
    assert!(!arrays(60 * 200).contains(&array(200 * 60)));
}

/// The array and the extension that a swap on mainnet named, in pool
/// `945czrk5A4uSUH46xE8PLz4SMjqLXPDKqAyaGvA76bUg`, whose liquidity is spread over the whole
/// scale.
#[test]
fn a_recorded_swap_in_a_clmm_pool_names_these_accounts() {
    let pool = address!("945czrk5A4uSUH46xE8PLz4SMjqLXPDKqAyaGvA76bUg");
    let config = address!("9iFER3bpjf1PTTCQCfTRu17EJgvsxo9pVyA9QWwEuX4x");
    let mint = address!("3hiYB9c4VYhWbwkDgSbEv22cpsNvdYZHuVWMnnNgpump");
    let sqrt_price = (1.0001f64.powf(80_000.5 / 2.0) * (1u128 << 64) as f64) as u128;
    let data = bytes(
        CLMM_LEN,
        &[
            (0, &account(CLMM_SOL_USDC, 8)),
            (9, config.as_ref()),
            (73, SOL.as_ref()),
            (105, mint.as_ref()),
            (137, address!("anQHGFzjoUf6F663ZVzC1irEgvXdgHdgp35knPg3wNj").as_ref()),
            (169, address!("GkYAvt7ecy7juVHyPBssmJsw6DQLZ5r1YTzf58DMLFxu").as_ref()),
            (201, address!("2uiwPb51HMsNPfk6C2MF7mx9vcjN2coDGct1cYM96nCt").as_ref()),
            (235, &1u16.to_le_bytes()),
            (237, &(1u128 << 60).to_le_bytes()),
            (253, &sqrt_price.to_le_bytes()),
            (269, &80_000i32.to_le_bytes()),
        ],
    );
    let extension = clmm_derived(&[b"pool_tick_array_bitmap_extension", pool.as_ref()]);
    let array =
        |number: i32| clmm_derived(&[b"tick_array", pool.as_ref(), &(number * 60).to_be_bytes()]);
    let mut known = Known::new();
    let owner = raydium_clmm::PROGRAM_ID;
    let fees = bytes(117, &[(0, &[218, 244, 33, 104, 203, 203, 43, 111])]);
    known.insert(config, Some((owner, fees)));
    // The published rule: which row by the distance from zero, and in a row below zero the
    // bits count from its lowest array.
    let mut bits = bytes(1832, &[(0, &[60, 150, 36, 219, 97, 128, 139, 153]), (8, pool.as_ref())]);
    for (number, side, row, bit) in
        [(7393, 0, 7393 / 512 - 1, 7393 % 512), (-7394, 14, 7393 / 512 - 1, 512 - 7394 % 512)]
    {
        bits[40 + (side + row) * 64 + bit / 8] |= 1 << (bit % 8);
        let first = &[192, 155, 85, 205, 49, 249, 129, 42];
        let mut ticks = bytes(10_240, &[(0, first), (8, pool.as_ref())]);
        ticks[44..48].copy_from_slice(&i32::to_le_bytes(number * 60));
        // Somebody's liquidity ends there.
        ticks[64..80].copy_from_slice(&1u128.to_le_bytes());
        known.insert(array(number), Some((owner, ticks)));
    }
    known.insert(extension, Some((owner, bits)));

    let leg = leg(&clmm_of(&pool, &data), mint, &mut known);
    let mut named = names(&leg);
    assert_eq!(named.remove(0), key(30).to_string());
    // The array below is named where the price might have gone there.
    assert_eq!(named.remove(13), "HeV2hQbj6sxHZ8P3XW2Bho7iDzNpgC1MXiYmdTDvLpup");
    let recorded = [
        "9iFER3bpjf1PTTCQCfTRu17EJgvsxo9pVyA9QWwEuX4x",
        "945czrk5A4uSUH46xE8PLz4SMjqLXPDKqAyaGvA76bUg",
        &key(31).to_string(),
        &key(32).to_string(),
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
    assert_eq!(named, recorded);
    assert_eq!(writable(&leg), [2, 3, 4, 5, 6, 7, 13, 14, 15]);
    // What the recorded data says beside amount, minimum and limit.
    let recorded =
        "2b04ed0b1ac91e6244dcfe020100000000406352bfc601009a57694ea91a5c84b1c4feff0000000000";
    assert_eq!((leg.data.len(), hex(&leg.data[..8])), (recorded.len() / 2, recorded[..16].into()));
    assert_eq!((&leg.data[16..24], leg.data[40]), (&77u64.to_le_bytes()[..], 1));
    assert_eq!(leg.amount_in_offset, Some(8));
}

/// A CPMM pool of SOL and CLNS.
const CPMM: Address = address!("FmNz8z2oN4CheHj4EUXVXC6doFN4RRmhGwxFQgrJVJFs");
const CLNS: Address = address!("CLnsvL118rFABjjpGkR5jY8JeUib3SjEf4Eyu7ZVhbKu");
const CPMM_LEN: usize = 637;

fn cpmm() -> CpmmPool {
    let data = account(CPMM_SOL_CLNS, CPMM_LEN);
    CpmmPool::read(&CPMM, Account { owner: &raydium_cpmm::PROGRAM_ID, data: &data })
        .expect("a pool")
}

/// A pool's address, vaults and observation account follow from what was read, so the
/// offsets are right.
#[test]
fn a_recorded_cpmm_pool_is_read() {
    let pool = cpmm();
    assert_eq!(pool.mints, [SOL, CLNS]);
    assert_eq!(pool.token_programs, [TOKEN_PROGRAM_ID; 2]);
    let derived =
        |seeds: &[&[u8]]| Address::find_program_address(seeds, &raydium_cpmm::PROGRAM_ID).0;
    assert_eq!(derived(&[b"pool", pool.config.as_ref(), SOL.as_ref(), CLNS.as_ref()]), CPMM);
    for (mint, vault) in pool.mints.iter().zip(pool.vaults) {
        assert_eq!(derived(&[b"pool_vault", CPMM.as_ref(), mint.as_ref()]), vault);
    }
    assert_eq!(derived(&[b"observation", CPMM.as_ref()]), pool.observation);
    assert_eq!(derived(&[b"vault_and_lp_mint_auth_seed"]), raydium_cpmm::AUTHORITY);
}

#[test]
fn a_cpmm_leg_names_what_is_sold_before_what_is_bought() {
    let pool = cpmm();
    let mut known = Known::new();
    let fees = bytes(236, &[(0, &[218, 244, 33, 104, 203, 203, 43, 111])]);
    known.insert(pool.config, Some((raydium_cpmm::PROGRAM_ID, fees)));
    for (mint, vault) in pool.mints.iter().zip(pool.vaults) {
        let amount = u64::MAX.to_le_bytes();
        let data = bytes(165, &[(0, mint.as_ref()), (64, &amount), (108, &[1])]);
        known.insert(vault, Some((TOKEN_PROGRAM_ID, data)));
    }
    let [down, up] = [SOL, CLNS].map(|sold| leg(&pool, sold, &mut known));
    let [first, second] = pool.vaults;
    let (config, observation) = (pool.config, pool.observation);
    let programs = [TOKEN_PROGRAM_ID; 2];
    let behind = |vaults: [Address; 2], mints: [Address; 2]| {
        [&vaults[..], &programs, &mints, &[observation]].concat()
    };
    assert_eq!(keys(&down)[6..], behind([first, second], [SOL, CLNS]));
    assert_eq!(keys(&up)[6..], behind([second, first], [CLNS, SOL]));
    assert_eq!(keys(&up)[..4], [key(30), raydium_cpmm::AUTHORITY, config, CPMM]);
    assert_eq!(keys(&up)[4..6], [key(31), key(32)]);
    assert_eq!(up.accounts.iter().filter(|meta| meta.is_signer).count(), 1);
    assert_eq!((up.data.len(), up.amount_in_offset), (24, Some(8)));
    assert_eq!(up.data[16..24], 77u64.to_le_bytes());
}

#[test]
fn other_accounts_tokens_and_states_are_refused() {
    let owners = [
        (whirlpool::PROGRAM_ID, WHIRLPOOL, account(WHIRLPOOL_SOL_USDC, WHIRLPOOL_LEN)),
        (raydium_clmm::PROGRAM_ID, CLMM, clmm_bytes()),
        (raydium_cpmm::PROGRAM_ID, CPMM, account(CPMM_SOL_CLNS, CPMM_LEN)),
    ];
    for (owner, pool, data) in &owners {
        let refused = |owner: &Address, data: &[u8]| read(pool, Account { owner, data }).err();
        assert_eq!(refused(owner, data), None);
        assert!(matches!(refused(&key(9), data), Some(VenueError::NoVenue { .. })));
        assert!(matches!(refused(owner, &data[1..]), Some(VenueError::Truncated { .. })));
        let zeros = vec![0; data.len()];
        assert!(matches!(refused(owner, &zeros), Some(VenueError::OtherKind { .. })));
    }
    let pool = whirlpool_at(0);
    let curve = curve(&pool, SOL, &mut Known::new());
    let error = curve.leg(&trade(SOL, key(9))).unwrap_err();
    assert!(matches!(error, VenueError::OtherTokens { bought, .. } if bought == key(9)));
    // Swaps switched off.
    let [(owner, pool, mut clmm), (_, cpmm_key, mut cpmm)] = [owners[1].clone(), owners[2].clone()];
    clmm[389] = 1 << 4;
    let error = clmm_of(&pool, &clmm).curve(&SOL, &Known::new(), &NOW).unwrap_err();
    assert_eq!(error, VenueError::Closed { pool });
    cpmm[329] = 1 << 2;
    let closed =
        CpmmPool::read(&cpmm_key, Account { owner: &raydium_cpmm::PROGRAM_ID, data: &cpmm });
    let error = closed.expect("a pool").curve(&SOL, &Known::new(), &NOW).unwrap_err();
    assert_eq!(error, VenueError::Closed { pool: cpmm_key });
    // Nothing in the bitmap, and no extension.
    let mut dry = clmm_bytes();
    dry[CLMM_BITMAP..CLMM_BITMAP + 128].fill(0);
    let dry = clmm_of(&pool, &dry);
    let mut known = Known::new();
    let fees = bytes(117, &[(0, &[218, 244, 33, 104, 203, 203, 43, 111])]);
    known.insert(dry.config, Some((owner, fees)));
    complete(&dry, &mut known);
    let error = dry.curve(&SOL, &known, &NOW).unwrap_err();
    assert_eq!(error, VenueError::NoLiquidity { pool, sold: SOL });
}

/// Whirlpool `Czfq3xZZDmsdGdUyrNLtRhGc47cXcZtLG4crryfu44zE`: SOL and USDC, a tick
/// spacing of 4, read on 2026-06-23.
const WHIRLPOOL_SOL_USDC: &str = "\
    P5XRDOGAYwkT5EH4ORPKaLBjT7Al/eqohzfoQRDRJV41ezN33e4czf8EAAQAkAEUBceq8S8UcwIAAAAAAAAAAABZ\
    ntukYcJDRQAAAAAAAAAA3Zn//1gmDgMAAAAA4RyjAQAAAAAGm4hX/quBhPtof2NGGMA12sQ53BrrO1WYoPAAAAAA\
    AchN8kM4mDvkqFswl7r0C8lXEQjSiawAs2jfF11Edc963YxkRuWoRbEAAAAAAAAAAMb6evO+2606PWXzaqvJdDGx\
    u+TC0vbg5HymAgNFL11hFl+VcsWpaqUC3VEQVKJqbSWO98HW1sGu4SkZFNxRAjI=";

/// A Whirlpool without concentration (a "splash pool"), whose tick spacing makes
/// two arrays of the whole scale, read in April 2025.
const WHIRLPOOL_SPLASH: &str = "\
    P5XRDOGAYwkT5EH4ORPKaLBjT7Al/eqohzfoQRDRJV41ezN33e4czfaAgICAECcUBSzrbQgAAAAAAAAAAAAAAACA\
    6h/4JC+ZrTYUAQAAAAAAamgDAAAAAAAAAAAAAAAAAAAAAAAGm4hX/quBhPtof2NGGMA12sQ53BrrO1WYoPAAAAAA\
    AVNeKhKbTZDK3dxPyfks9T+8D/p81+dYjVgXHrZVRgt8AAAAAAAAAAAAAAAAAAAAAMEXU1QTqhyLpieWMKfxiiNM\
    KVAR2XPOmvX3tnIDSXX9EBwrNgjLY0JJYm5kuZDtFolrsk5JtdsWlUL+do+l3s4=";

/// CPMM pool `FmNz8z2oN4CheHj4EUXVXC6doFN4RRmhGwxFQgrJVJFs`: SOL and CLNS, read on
/// 2026-06-23.
const CPMM_SOL_CLNS: &str = "\
    9+3j9dfD3kYYqU87qGd9BoiPIo/FUcw+QszFrbtpttXgwSH4xgBKOIeDzdk2DWWVf4SVivQiBn/uNQhK3rOWBaFP\
    mesTkI0VZGGbD4pIZFbJyfoeI3Ullysm0L/RgSx5SVqw81SpbQiDpbGIwDU2wZJ38meocZ6xHrSou1NcKx8k7nqa\
    pG4wW42VWX+JLdwGrrIv7pj8UoW2LA6LBQM8/kVTKUSMb/nhBpuIV/6rgYT7aH9jRhjANdrEOdwa6ztVmKDwAAAA\
    AAGogndEyk5zgZr3oVX9piz0to77Jg5F/XjN3kZ2B1+YkAbd9uHXZaGT2cvhRs7reawctIXtX1s3kTqM9YV+/wCp\
    Bt324ddloZPZy+FGzut5rBy0he1fWzeROoz1hX7/AKnFCMdJAbfrH/vOkia/cKFLSYTAGlOdRGL2ceESH9kJ0v0A";

/// CLMM pool `3ucNos4NbumPLZNWztqGHNFFgkHeRMBQAVemeeomsUxv`: SOL and USDC, a tick
/// spacing of 1, read on 2025-09-13: its first 273 bytes, up to the current tick.
const CLMM_SOL_USDC: &str = "\
    9+3j9dfD3kb/J/h1kZHXDyshRTJ1cBKA+75w9IwihSFNbCJrm2AsTU2n4L9mLmKyVEpBQSbsZYZslSyLgLfqrjxP\
    jwNPsqt58AabiFf+q4GE+2h/Y0YYwDXaxDncGus7VZig8AAAAAABxvp6877brTo9ZfNqq8l0MbG75MLS9uDkfKYC\
    A0UvXWE1xC8EegCgoA4uXlAv1Mq8Ujt5easRI0mT0Kd5/M0SaUYpXTwujyqOjii0GtMaFsBn/mlkafyZcZXVyvv1\
    WhbIJa4wmFjRjYV3XU2tkbL5lj49adulPU/iZbZpnkdbsRkJBgEA86Ld15kMAQAAAAAAAAAAAADcU/ZnWgx+AAAA\
    AAAAAAClyP//";

/// The same pool's bitmap at that moment.
const CLMM_SOL_USDC_BITMAP: [u64; 16] = [
    13_233_894_920_445_562_880,
    16_138_067_892_758_380_435,
    18_446_744_073_709_551_615,
    18_446_744_073_709_551_615,
    18_446_744_073_709_551_615,
    337_992_908_638_485_503,
    4_516_828_126_648_832,
    1_143_210_130,
    1_073_840_145,
    72_057_594_037_927_936,
    0,
    0,
    0,
    9_223_372_036_854_775_808,
    0,
    0,
];
