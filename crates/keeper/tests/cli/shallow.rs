//! Pools that are too shallow for what klend would let be repaid: the size that is chosen,
//! held against every size there is.

use klend_flash_keeper::{
    feeds::source,
    route::{
        frozen::{Frozen, Selling},
        position::{Position, Search},
        venue::Ways,
    },
};
use klend_fork::Snapshot;
use klend_model::liquidation::{Request, quote};
use liquidation_venues::whirlpool;
use solana_address::Address;

use crate::{
    discovery::{Flaw, account, folder_with, key, market},
    json_of, obligations,
};

/// Sizes that are tried, in equal steps up to all that klend allows.
const SIZES: u64 = 4_000;

#[test]
fn on_shallow_pools_the_best_size_is_found() {
    let (at_risk, _) = obligations();
    let at_risk: Address = at_risk.parse().unwrap();
    // SOL a side, where some 77 would be seized: deep enough, ten times and a hundred times
    // too shallow, two that share.
    for pools in [&[20_000][..], &[2_000], &[770], &[200], &[77], &[20], &[300, 100]] {
        let numbered: Vec<(u8, u64, Flaw)> =
            pools.iter().zip([20, 30]).map(|(sol, number)| (number, *sol, Flaw::None)).collect();
        let (_parent, path) = folder_with(&numbered);
        let source = source::open(&[], path.to_str(), source::TIMEOUT, None).unwrap();
        let selling = Selling {
            pools: numbered.iter().map(|(number, ..)| key(*number)).collect(),
            ..Selling::default()
        };
        let search = Search { max_fee_bps: 10, ..Search::default() };
        let frozen = Frozen::read(&*source, &at_risk, &selling, &key(7)).unwrap();
        let view = frozen.view(None).unwrap();
        let position = Position::new(&view, &at_risk, &frozen.obligation, &search).unwrap();
        let best = position.best(&search).unwrap();

        let (_, table) = view.market(&position.market.key).unwrap();
        let state = table.obligation(&at_risk, &frozen.obligation).unwrap();
        let Request { repay_reserve, withdraw_reserve, .. } = best.request;
        let [debt, collateral] =
            [&repay_reserve, &withdraw_reserve].map(|key| table.reserve(key).unwrap());
        let whole = best.quote.max_repay.ceil_u64().unwrap();
        let profit = |amount: u64| -> Option<i128> {
            let (min_received, flash_loan) = (0, None);
            let request =
                Request { repay_reserve, withdraw_reserve, amount, min_received, flash_loan };
            let quote = quote(table, &state, &request).ok()?;
            let swapped = position.venue.quote(collateral, debt, quote.received, Ways::ALL)?;
            let fee = debt.flash_fee(quote.repay).ok()?;
            Some(i128::from(swapped) - i128::from(quote.repay) - i128::from(fee))
        };
        let sizes =
            (1..=SIZES).map(|n| (u128::from(whole) * u128::from(n) / u128::from(SIZES)) as u64);
        let (most, size) =
            sizes.filter_map(|amount| Some((profit(amount)?, amount))).max().unwrap();
        println!(
            "{pools:?} SOL a side: {} by {}, the best of {SIZES} sizes {most} by {size}",
            best.profit, best.quote.repay
        );
        assert!(most > 0, "{pools:?}");
        assert!(best.profit * 100 >= most * 95, "{pools:?}: {} of {most}", best.profit);
    }
}

/// Puts a Whirlpool with a tick spacing of 1 beside accounts, without its vaults. One leg
/// that sells SOL reaches through three arrays, which take so many whole SOL.
fn put_whirlpool(snapshot: &mut Snapshot, number: u8, sol: f64) -> Address {
    const ARRAY: i32 = 88;
    let ([native, other], price) = market();
    let mut mints = [native, other];
    mints.sort_unstable();
    let (sells_first, raw) = (mints[0] == native, price as f64 / 1_000.0);
    let raw = if sells_first { raw } else { 1.0 / raw };
    // In the middle of its array: two and a half of them lie ahead.
    let tick = (raw.ln() / 1.0001f64.ln()) as i32;
    let tick = tick.div_euclid(ARRAY) * ARRAY + ARRAY / 2;
    let root = 1.0001f64.powf((f64::from(tick) + 0.5) / 2.0);
    let reach = 1.0001f64.powf(f64::from(ARRAY) * 2.5 / 2.0) - 1.0;
    let of_one = if sells_first { 1.0 / root } else { root };
    let liquidity = (sol * 1e9 / (of_one * reach)) as u128;
    let pool = key(number);
    let mut data = vec![0; 653];
    data[..8].copy_from_slice(&[63, 149, 209, 12, 225, 128, 99, 9]);
    data[41..45].copy_from_slice(&[1, 0, 1, 0]);
    data[45..47].copy_from_slice(&100u16.to_le_bytes());
    data[49..65].copy_from_slice(&liquidity.to_le_bytes());
    data[65..81].copy_from_slice(&((root * 2f64.powi(64)) as u128).to_le_bytes());
    data[81..85].copy_from_slice(&tick.to_le_bytes());
    data[101..133].copy_from_slice(mints[0].as_ref());
    data[181..213].copy_from_slice(mints[1].as_ref());
    snapshot.accounts.insert(pool, account(whirlpool::PROGRAM_ID, data));
    for n in -8..=8 {
        let start = tick.div_euclid(ARRAY) * ARRAY + n * ARRAY;
        let mut data = vec![0; 9_988];
        data[..8].copy_from_slice(&[69, 97, 189, 190, 110, 7, 66, 187]);
        data[8..12].copy_from_slice(&start.to_le_bytes());
        data[9_956..].copy_from_slice(pool.as_ref());
        let seeds: &[&[u8]] = &[b"tick_array", pool.as_ref(), &start.to_string().into_bytes()];
        let (array, _) = Address::find_program_address(seeds, &whirlpool::PROGRAM_ID);
        snapshot.accounts.insert(array, account(whirlpool::PROGRAM_ID, data));
    }
    pool
}

/// Where one leg through a pool does not reach far enough, two go through it.
#[test]
fn a_pool_with_narrow_ticks_is_gone_into_twice() {
    let (at_risk, _) = obligations();
    let (_parent, path) = folder_with(&[]);
    let mut snapshot = Snapshot::read(&path).unwrap();
    let pool = put_whirlpool(&mut snapshot, 20, 50.0).to_string();
    let whole = path.with_file_name("whole");
    snapshot.write(&whole).unwrap();

    let source = source::open(&[], whole.to_str(), source::TIMEOUT, None).unwrap();
    let selling = Selling { pools: vec![key(20)], ..Selling::default() };
    let at_risk_key: Address = at_risk.parse().unwrap();
    let frozen = Frozen::read(&*source, &at_risk_key, &selling, &key(7)).unwrap();
    let view = frozen.view(None).unwrap();
    let search = Search { max_fee_bps: 10, ..Search::default() };
    let position = Position::new(&view, &at_risk_key, &frozen.obligation, &search).unwrap();
    let by = |ways| position.best_by(&search, ways).unwrap();
    let (one, two) = (by(Ways::ONE_POOL), by(Ways::ALL));
    assert!(two.quote.received > one.quote.received, "{two:?} {one:?}");
    assert!(two.profit > one.profit, "{} {}", two.profit, one.profit);

    let quoted = json_of(&["--fork", whole.to_str().unwrap(), "quote", &at_risk, "--pool", &pool]);
    let legs = quoted["route"]["legs"].as_array().unwrap();
    assert_eq!(legs.len(), 2, "{quoted}");
    for leg in legs {
        assert_eq!(leg["program"], whirlpool::PROGRAM_ID.to_string(), "{quoted}");
        assert!(leg["accounts"].to_string().contains(&pool), "{quoted}");
    }
    // The first sells a part, the second what is left.
    assert!(legs[0]["amountInOffset"].is_null() && legs[1]["amountInOffset"] == 8, "{quoted}");
}
