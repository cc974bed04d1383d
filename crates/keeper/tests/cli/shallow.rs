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
use klend_model::liquidation::{Request, quote};
use solana_address::Address;

use crate::{
    discovery::{Flaw, folder_with, key},
    obligations,
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
