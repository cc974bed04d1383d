//! Deposits, borrows and redemptions.

use super::*;

#[test]
fn deposits_borrows_and_redemptions() {
    let Some(mut twins) = Twins::with_ctokens() else {
        return;
    };
    for (amount, expected) in [
        (0, Custom(3, 6003)),
        (1, Custom(3, 6003)),
        (2, Done),
        (3, Done),
        (12_345_678_901, Done),
        (50 * LAMPORTS, Done),
        (101 * LAMPORTS, Custom(3, 1)),
        (u64::MAX, Custom(3, 6090)),
    ] {
        let what = format!("deposit of {amount}");
        twins.case(&what, expected.clone(), |bed| bed.warp(3), |bed| deposit(bed, SOL, amount));
        let expected = match expected {
            // It buys no cToken, which only a deposit into an obligation minds.
            Custom(_, 6003) if amount == 1 => Done,
            Custom(_, number) => Custom(1, number),
            other => other,
        };
        twins.case(
            &format!("{what} for cTokens"),
            expected,
            |bed| bed.warp(3),
            |bed| vec![bed.refresh_reserve(SOL), bed.deposit_reserve_liquidity(SOL, amount)],
        );
    }
    let deposit_one = |bed: &Bed| deposit(bed, SOL, LAMPORTS);
    let exactly_full = |bed: &mut Bed, room: u64| {
        let liquidity = bed.reserve(SOL).liquidity;
        let total = u128::from(liquidity.total_available_amount) << 60;
        let fees = u128::from(liquidity.accumulated_protocol_fees_sf)
            + u128::from(liquidity.accumulated_referrer_fees_sf)
            + u128::from(liquidity.pending_referrer_fees_sf);
        let supply = total + u128::from(liquidity.borrowed_amount_sf) - fees;
        patch_u64(bed, SOL, reserve::DEPOSIT_LIMIT, (supply >> 60) as u64 + room);
    };
    type Prepare = Box<dyn Fn(&mut Bed)>;
    let byte = |key: &'static Pubkey, offset: usize, value: u8| -> Prepare {
        Box::new(move |bed| bed.patch(key, offset, &[value]))
    };
    let word = |key: &'static Pubkey, offset: usize, value: u64| -> Prepare {
        Box::new(move |bed| patch_u64(bed, key, offset, value))
    };
    let cap =
        |key: &'static Pubkey, offset: usize, capacity: i64, total: i64, ago: u64| -> Prepare {
            Box::new(move |bed| {
                let start = (now(bed) - ago) as i64;
                let cap = [capacity, total, start, 1_000].map(i64::to_le_bytes).concat();
                bed.patch(key, offset, &cap);
            })
        };
    for (what, expected, prepare) in [
        (
            "room for all",
            Done,
            Box::new(move |bed: &mut Bed| exactly_full(bed, LAMPORTS + 1)) as Prepare,
        ),
        (
            "room for less",
            Custom(3, 6090),
            Box::new(move |bed: &mut Bed| exactly_full(bed, LAMPORTS - 1)),
        ),
        ("market stopped", Custom(0, 6042), byte(&MARKET, market::EMERGENCY, 1)),
        ("obsolete", Custom(3, 6082), byte(SOL, reserve::STATUS, 1)),
        ("hidden", Done, byte(SOL, reserve::STATUS, 2)),
        ("cTokens blocked", Done, byte(SOL, reserve::BLOCK_CTOKENS, 1)),
        ("price blocked", Done, byte(SOL, reserve::BLOCK_PRICE_USAGE, 1)),
        ("only in groups", Custom(3, 6110), byte(SOL, reserve::NO_COLLATERAL_OUTSIDE_GROUP, 1)),
        ("zero LTV", Done, byte(SOL, reserve::LTV_PCT, 0)),
        ("inflow within the window", Done, cap(SOL, reserve::DEPOSIT_CAP, 1, -5, 10)),
        ("inflow after the window", Done, cap(SOL, reserve::DEPOSIT_CAP, 1, 7, 2_000)),
        ("inflow at the window's end", Done, cap(SOL, reserve::DEPOSIT_CAP, 1, 7, 1_000)),
        (
            "inflow without a cap",
            Done,
            Box::new(|bed: &mut Bed| {
                let cap = [1i64, 7, 0, 0].map(i64::to_le_bytes).concat();
                bed.patch(SOL, reserve::DEPOSIT_CAP, &cap);
            }),
        ),
    ] {
        twins.case(&format!("deposit, {what}"), expected, prepare, deposit_one);
    }
    twins.newer_case(
        "deposit without refreshes",
        Custom(0, 6017),
        |_| (),
        |bed| vec![bed.deposit(SOL, LAMPORTS)],
    );
    twins.case(
        "deposit for cTokens without refreshes",
        Done,
        |_| (),
        |bed| vec![bed.deposit_reserve_liquidity(SOL, LAMPORTS)],
    );
    twins.case(
        "deposit, obligation not refreshed",
        Custom(2, 6017),
        |bed| bed.warp(1),
        |bed| vec![bed.refresh_reserve(USDC), bed.refresh_reserve(SOL), bed.deposit(SOL, LAMPORTS)],
    );
    for (what, expected, prepare) in [
        ("plain", Done, Box::new(|_: &mut Bed| ()) as Prepare),
        ("cTokens blocked", Custom(1, 6132), byte(SOL, reserve::BLOCK_CTOKENS, 1)),
        ("obsolete", Custom(1, 6082), byte(SOL, reserve::STATUS, 1)),
    ] {
        twins.case(&format!("deposit for cTokens, {what}"), expected.clone(), &prepare, |bed| {
            vec![bed.refresh_reserve(SOL), bed.deposit_reserve_liquidity(SOL, LAMPORTS)]
        });
        let expected = match expected {
            Custom(_, 6132) => Done,
            Custom(_, number) => Custom(3, number),
            other => other,
        };
        twins.case(&format!("cTokens as collateral, {what}"), expected, &prepare, |bed| {
            let mut all = bed.refresh_all(&[]);
            all.push(bed.deposit_obligation_collateral(SOL, LAMPORTS));
            all
        });
    }
    twins.case(
        "no cTokens as collateral",
        Custom(3, 6003),
        |_| (),
        |bed| {
            let mut all = bed.refresh_all(&[]);
            all.push(bed.deposit_obligation_collateral(SOL, 0));
            all
        },
    );

    for (what, amount, expected, prepare) in [
        ("one", 1, Done, Box::new(|_: &mut Bed| ()) as Prepare),
        ("none", 0, Custom(1, 6003), Box::new(|_: &mut Bed| ())),
        ("some", 7_777_777_777, Done, Box::new(|_: &mut Bed| ())),
        (
            "too many",
            u64::MAX,
            Failed(1, InstructionError::ProgramFailedToComplete),
            Box::new(|_: &mut Bed| ()),
        ),
        ("blocked", LAMPORTS, Done, byte(SOL, reserve::BLOCK_CTOKENS, 1)),
        ("obsolete", LAMPORTS, Done, byte(SOL, reserve::STATUS, 1)),
        (
            "all queued",
            LAMPORTS,
            Custom(1, 6008),
            Box::new(|bed: &mut Bed| {
                let all = bed.reserve(SOL).collateral.mint_total_supply;
                patch_u64(bed, SOL, reserve::QUEUED, all);
            }),
        ),
        ("within the cap", LAMPORTS, Done, cap(SOL, reserve::DEPOSIT_CAP, 2_000_000_000, 0, 10)),
        (
            "above the cap",
            LAMPORTS,
            Custom(1, 6064),
            cap(SOL, reserve::DEPOSIT_CAP, 1_000_000_000, 0, 10),
        ),
    ] {
        twins.case(&format!("redeem {what}"), expected, prepare, |bed| {
            vec![bed.refresh_reserve(SOL), bed.redeem(SOL, amount)]
        });
    }
    twins.case(
        "redeem without a refresh",
        Done,
        |bed| bed.warp(100),
        |bed| vec![bed.redeem(SOL, LAMPORTS)],
    );

    twins.both(|bed| {
        bed.warp(5);
        bed.restamp_prices();
    });
    for (amount, expected) in [
        (0, Custom(3, 6003)),
        (1, Done),
        (1_234_567_890, Done),
        (50_000 * USDC_UNITS, Custom(3, 6013)),
        (11_000_000 * USDC_UNITS, Custom(3, 6013)),
    ] {
        twins.case(
            &format!("borrow of {amount}"),
            expected,
            |_| (),
            |bed| borrow(bed, USDC, amount),
        );
    }
    for (what, expected, prepare) in [
        ("origination fee", Done, word(USDC, reserve::ORIGINATION_FEE_SF, 1 << 53)),
        ("tiny origination fee", Done, word(USDC, reserve::ORIGINATION_FEE_SF, 1)),
        ("borrow factor", Done, word(USDC, reserve::BORROW_FACTOR_PCT, 101)),
        ("high borrow factor", Custom(3, 6013), word(USDC, reserve::BORROW_FACTOR_PCT, 200)),
        ("borrowing off", Custom(3, 6088), byte(&MARKET, market::BORROW_DISABLED, 1)),
        ("market stopped", Custom(0, 6042), byte(&MARKET, market::EMERGENCY, 1)),
        ("obsolete", Custom(3, 6082), byte(USDC, reserve::STATUS, 1)),
        ("limit reached", Custom(3, 6089), word(USDC, reserve::BORROW_LIMIT, 1_000)),
        ("limit outside groups", Custom(3, 6089), word(USDC, reserve::LIMIT_OUTSIDE_GROUPS, 0)),
        ("utilisation limit", Custom(3, 6098), byte(USDC, reserve::UTILIZATION_LIMIT, 10)),
        ("price blocked", Custom(3, 6009), byte(USDC, reserve::BLOCK_PRICE_USAGE, 1)),
        ("collateral's price blocked", Custom(3, 6017), byte(SOL, reserve::BLOCK_PRICE_USAGE, 1)),
        ("zero LTV", Custom(3, 6013), byte(SOL, reserve::LTV_PCT, 0)),
        ("global limit", Custom(3, 6013), word(&MARKET, market::GLOBAL_ALLOWED, 110_500)),
        (
            "net value",
            Done,
            Box::new(|bed: &mut Bed| {
                bed.patch(&MARKET, market::MIN_NET_VALUE_SF, &bits(70_000.0));
            }) as Prepare,
        ),
        ("within the cap", Done, cap(USDC, reserve::DEBT_CAP, 2_000_000_000, 0, 10)),
        ("above the cap", Custom(3, 6064), cap(USDC, reserve::DEBT_CAP, 900_000_000, 0, 10)),
        (
            "cap's window over",
            Done,
            cap(USDC, reserve::DEBT_CAP, 1_000_000_000, 900_000_000, 1_000),
        ),
        (
            "cap's window ahead",
            Custom(3, 6065),
            Box::new(|bed: &mut Bed| {
                let cap = [5i64, 5, 5_000_000_000, 1_000].map(i64::to_le_bytes).concat();
                bed.patch(USDC, reserve::DEBT_CAP, &cap);
            }),
        ),
        (
            "all queued",
            Custom(3, 6008),
            Box::new(|bed: &mut Bed| {
                let all = bed.reserve(USDC).collateral.mint_total_supply;
                patch_u64(bed, USDC, reserve::QUEUED, all);
            }),
        ),
        ("matured", Custom(3, 6139), word(USDC, reserve::MATURITY, 1)),
        ("fixed term", Done, word(USDC, reserve::TERM, 100_000)),
        (
            "ticking term over",
            Custom(3, 6142),
            Box::new(|bed: &mut Bed| {
                patch_u64(bed, USDC, reserve::TERM, 10);
                let obligation = bed.obligation_key();
                let at = now(bed) - 100;
                patch_u64(bed, &obligation, obligation::LAST_BORROWED, at);
            }),
        ),
        (
            "limit crossed by this borrow",
            Done,
            Box::new(|bed: &mut Bed| {
                let borrowed = u128::from(bed.reserve(USDC).liquidity.borrowed_amount_sf) >> 60;
                patch_u64(bed, USDC, reserve::BORROW_LIMIT, borrowed as u64 + 2_000_000_000);
            }),
        ),
    ] {
        twins.case(&format!("borrow, {what}"), expected, prepare, |bed| {
            borrow(bed, USDC, 1_000 * USDC_UNITS)
        });
    }
    for (room, expected) in [(50, Custom(3, 6098)), (5_000, Done)] {
        twins.case(
            &format!("borrow, {room} below the utilisation limit"),
            expected,
            |bed| {
                let liquidity = bed.reserve(USDC).liquidity;
                let borrowed = (u128::from(liquidity.borrowed_amount_sf) >> 60) as u64;
                let fees = (u128::from(liquidity.accumulated_protocol_fees_sf) >> 60) as u64;
                let supply = borrowed / 86 * 100 + room * USDC_UNITS;
                let available = supply + fees - borrowed;
                patch_u64(bed, USDC, reserve::AVAILABLE, available);
                let authority = market_authority();
                bed.give_tokens(
                    liquidity.supply_vault,
                    liquidity.mint_pubkey,
                    authority,
                    available,
                );
                bed.patch(USDC, reserve::UTILIZATION_LIMIT, &[86]);
            },
            |bed| borrow(bed, USDC, 1_000 * USDC_UNITS),
        );
    }
    twins.case(
        "borrow from the collateral's reserve",
        Done,
        |bed| bed.patch(SOL, reserve::UTILIZATION_LIMIT, &[0]),
        |bed| borrow(bed, SOL, LAMPORTS),
    );
    twins.case(
        "another borrow",
        Done,
        |bed| {
            let owner = bed.owner_key();
            let mint = bed.reserve(JITOSOL).liquidity.mint_pubkey;
            bed.fund(&owner, &mint, 0);
        },
        |bed| borrow(bed, JITOSOL, LAMPORTS),
    );
    twins.case(
        "borrow without refreshes",
        Custom(0, 6009),
        |bed| bed.warp(1),
        |bed| vec![bed.borrow(USDC, LAMPORTS)],
    );
    twins.finish();
}
