//! Refreshing reserves, and their prices.

use super::*;

#[test]
fn refreshing_reserves_over_time() {
    let Some(mut twins) = Twins::new() else {
        return;
    };
    for slots in [0, 1, 2, 3, 4, 5, 100, 10_000, 1_000_000] {
        twins.both(|bed| {
            bed.warp(slots);
            bed.restamp_prices();
            bed.patch(SOL, reserve::HOST_FIXED_BPS, &137u16.to_le_bytes());
        });
        for reserve in [SOL, USDC, JITOSOL] {
            let what = format!("refresh after {slots}");
            twins.send(&what, Done, |bed| vec![bed.refresh_reserve(reserve)]);
        }
    }
    // Limits crossed and uncrossed again, a referral share, full utilisation.
    twins.both(|bed| {
        bed.warp(10);
        patch_u64(bed, SOL, reserve::DEPOSIT_LIMIT, 1);
        patch_u64(bed, SOL, reserve::BORROW_LIMIT, 1);
        bed.patch(&MARKET, market::REFERRAL_FEE_BPS, &1_000u16.to_le_bytes());
        patch_u64(bed, USDC, reserve::AVAILABLE, 0);
    });
    for reserve in [SOL, USDC] {
        twins.send("limits crossed", Done, |bed| vec![bed.refresh_reserve(reserve)]);
    }
    twins.both(|bed| {
        bed.warp(10);
        patch_u64(bed, SOL, reserve::DEPOSIT_LIMIT, u64::MAX);
        patch_u64(bed, SOL, reserve::BORROW_LIMIT, u64::MAX);
    });
    for reserve in [SOL, USDC] {
        twins.send("limits kept", Done, |bed| vec![bed.refresh_reserve(reserve)]);
    }
    twins.finish();
}

#[test]
fn prices_and_their_checks() {
    let Some(mut twins) = Twins::new() else {
        return;
    };
    let refresh_sol = |bed: &Bed| vec![bed.refresh_reserve(SOL)];
    let refresh_jitosol = |bed: &Bed| vec![bed.refresh_reserve(JITOSOL)];
    for age in [119, 120, 121, 240, 241, 500] {
        twins.case(&format!("price {age} s old"), Done, |bed| bed.wait(age), refresh_sol);
    }
    for (trigger, age) in [(100u8, 119), (100, 120), (50, 59), (50, 60), (99, 118)] {
        twins.case(
            &format!("trigger {trigger} age {age}"),
            Done,
            |bed| {
                bed.patch(&MARKET, market::PRICE_TRIGGER_PCT, &[trigger]);
                bed.wait(age);
                bed.restamp_prices();
            },
            refresh_sol,
        );
    }
    for percent in [89, 90, 91, 100, 109, 110, 111, 112] {
        twins.case(
            &format!("spot at {percent} % of the average"),
            Done,
            |bed| bed.scale_prices(&[0], percent, 100),
            refresh_sol,
        );
    }
    twins.case(
        "no divergence check",
        Done,
        |bed| {
            bed.scale_prices(&[0], 2, 1);
            patch_u64(bed, SOL, reserve::TWAP_DIVERGENCE, 0);
        },
        refresh_sol,
    );
    for (lower, upper, exp) in [
        (0u64, 178, 0u64),
        (0, 179, 0),
        (179, 0, 0),
        (178, 0, 0),
        (17_858_116_104, 17_858_116_104, 8),
        (17_858_116_105, 0, 8),
        (0, 17_858_116_103, 8),
    ] {
        twins.case(
            &format!("bounds {lower} {upper} {exp}"),
            Done,
            |bed| {
                let bounds = [lower, upper, exp].map(u64::to_le_bytes).concat();
                bed.patch(SOL, reserve::HEURISTIC, &bounds);
            },
            refresh_sol,
        );
    }
    twins.case(
        "usage blocked",
        Done,
        |bed| bed.patch(SOL, reserve::BLOCK_PRICE_USAGE, &[1]),
        refresh_sol,
    );
    let chain = |bed: &mut Bed, offset: usize, chain: [u16; 4]| {
        let bytes: Vec<u8> = chain.iter().flat_map(|entry| entry.to_le_bytes()).collect();
        bed.patch(JITOSOL, offset, &bytes);
    };
    const END: u16 = u16::MAX;
    for (index, entries) in [
        [51, 0, END, END],
        [51, 0, 14, END],
        [51, 0, 14, 15],
        [0, 0, END, END],
        [0, END, 1, END],
        [512, END, END, END],
        [END, END, END, END],
        [400, END, END, END],
        [1, 2, 0, 0],
    ]
    .into_iter()
    .enumerate()
    {
        let expected = match index {
            5 => Custom(0, 6044),
            6 => Custom(0, 6029),
            _ => Done,
        };
        twins.case(
            &format!("price chain {entries:?}"),
            expected,
            |bed| chain(bed, reserve::PRICE_CHAIN, entries),
            refresh_jitosol,
        );
        twins.case(
            &format!("average chain {entries:?}"),
            if index == 6 { Custom(0, 6053) } else { Done },
            |bed| chain(bed, reserve::TWAP_CHAIN, entries),
            refresh_jitosol,
        );
    }
    twins.case(
        "oldest entry of a chain counts",
        Done,
        |bed| {
            let mut feed = bed.account(&SCOPE_FEED);
            let at = 40 + 56 * 51 + 24;
            let old = bed.clock().unix_timestamp - 100;
            feed.data[at..at + 8].copy_from_slice(&old.to_le_bytes());
            bed.svm.set_account(address(&SCOPE_FEED), feed).unwrap();
        },
        refresh_jitosol,
    );
    twins.case(
        "price from the future",
        Done,
        |bed| {
            let mut feed = bed.account(&SCOPE_FEED);
            let at = 40 + 24;
            let late = bed.clock().unix_timestamp + 100;
            feed.data[at..at + 8].copy_from_slice(&late.to_le_bytes());
            bed.svm.set_account(address(&SCOPE_FEED), feed).unwrap();
        },
        refresh_sol,
    );
    twins.case("price of zero", Done, |bed| bed.scale_prices(&[0], 0, 1), refresh_sol);
    twins.case("average of zero", Done, |bed| bed.scale_prices(&[52], 0, 1), refresh_sol);
    twins.case(
        "no oracle",
        Custom(0, 6029),
        |bed| bed.patch(SOL, reserve::PRICE_FEED, &[0; 32]),
        refresh_sol,
    );
    twins.case(
        "no scope account",
        Custom(0, 6056),
        |_| (),
        |bed| {
            let mut refresh = bed.refresh_reserve(SOL);
            refresh.accounts[5].pubkey = klend_interface::KLEND_PROGRAM_ID;
            vec![refresh]
        },
    );
    twins.case(
        "batch",
        Done,
        |bed| bed.warp(10),
        |bed| {
            let accounts = [bed.refresh_reserve(SOL), bed.refresh_reserve(USDC)]
                .into_iter()
                .flat_map(|refresh| refresh.accounts)
                .collect();
            vec![klend_interface::instructions::refresh::refresh_reserves_batch(false, accounts)]
        },
    );
    for age in [0, 119, 120] {
        twins.case(
            &format!("batch without prices after {age} s"),
            Done,
            |bed| bed.wait(age),
            |bed| {
                let accounts = [bed.refresh_reserve(SOL), bed.refresh_reserve(USDC)]
                    .into_iter()
                    .flat_map(|refresh| refresh.accounts[..2].to_vec())
                    .collect();
                vec![klend_interface::instructions::refresh::refresh_reserves_batch(true, accounts)]
            },
        );
    }
    twins.finish();
}
