//! What came after klend 1.16, as 1.25 has it, and what 1.26 changed.

use super::*;

/// A field of the stand-in's reserve.
fn field(bed: &Bed, key: &Pubkey, offset: usize) -> u64 {
    let data = bed.account(key).data;
    u64::from_le_bytes(data[BODY + offset..BODY + offset + 8].try_into().unwrap())
}

fn time(bed: &Bed, key: &Pubkey, offset: usize) -> u32 {
    let data = bed.account(key).data;
    u32::from_le_bytes(data[BODY + offset..BODY + offset + 4].try_into().unwrap())
}

fn liquidation(bed: &Bed) -> Vec<Instruction> {
    liquidate(bed, 1_000 * USDC_UNITS)
}

#[test]
fn interest_by_the_second() {
    let Some(mut twins) = Twins::new() else {
        return;
    };
    let by_seconds = |bed: &mut Bed| {
        bed.patch(SOL, reserve::BASIS, &[1]);
        bed.patch(SOL, reserve::HOST_FIXED_BPS, &137u16.to_le_bytes());
        let saved = u32::try_from(now(bed)).unwrap();
        bed.patch(SOL, reserve::TIMESTAMP, &saved.to_le_bytes());
    };
    for seconds in [0, 1, 2, 3, 4, 5, 6, 100, 10_000, 100_000_000] {
        twins.newer_case(
            &format!("{seconds} s"),
            Done,
            |bed| {
                by_seconds(bed);
                bed.wait(seconds);
            },
            |bed| vec![bed.refresh_reserve(SOL)],
        );
    }
    let refresh = |bed: &Bed| vec![bed.refresh_reserve(SOL)];
    twins.newer_case(
        "a time that is not known",
        Done,
        |bed| {
            by_seconds(bed);
            bed.patch(SOL, reserve::TIMESTAMP, &[0; 4]);
            bed.wait(1_000);
        },
        refresh,
    );
    let ahead = |bed: &mut Bed| {
        let ahead = u32::try_from(now(bed)).unwrap() + 50;
        bed.patch(SOL, reserve::TIMESTAMP, &ahead.to_le_bytes());
        let slot = bed.clock().slot + 5;
        patch_u64(bed, SOL, reserve::SLOT, slot);
    };
    twins.newer_case(
        "a clock that went back",
        Done,
        |bed| {
            by_seconds(bed);
            ahead(bed);
        },
        refresh,
    );
    twins.case("slots that went back", Custom(0, 6007), ahead, refresh);
    twins.newer_case(
        "no such basis",
        Failed(0, InstructionError::ProgramFailedToComplete),
        |bed| bed.patch(SOL, reserve::BASIS, &[2]),
        refresh,
    );
    twins.finish();
}

#[test]
fn every_update_writes_its_time() {
    let Some(mut twins) = Twins::with_position() else {
        return;
    };
    twins.leave_older_behind();
    twins.both(|bed| bed.warp(7));
    twins.send("refresh", Done, |bed| bed.refresh_all(&[]));
    let bed = &twins.stand_in;
    let expected = u32::try_from(now(bed)).unwrap();
    assert_eq!(time(bed, SOL, reserve::TIMESTAMP), expected);
    assert_eq!(time(bed, &bed.obligation_key(), obligation::TIMESTAMP), expected);
    twins.finish();
}

#[test]
fn rewards() {
    let Some(mut twins) = Twins::new() else {
        return;
    };
    for (what, basis, per_unit, apr_bps, pot) in [
        ("by their rate", 0, 3, 10_000, 1 << 40),
        ("by seconds", 1, 3, 10_000, 1 << 40),
        ("by the cap", 0, u64::MAX, 7, 1 << 60),
        ("by the pot", 0, 1_000, 10_000, 41),
        ("without a rate", 0, 0, 10_000, 41),
        ("without a cap", 0, 1_000, 0, 41),
        ("without a pot", 0, 1_000, 10_000, 0),
    ] {
        twins.newer_case(
            &format!("rewards {what}"),
            Done,
            |bed| {
                let saved = u32::try_from(now(bed)).unwrap();
                bed.patch(SOL, reserve::TIMESTAMP, &saved.to_le_bytes());
                bed.patch(SOL, reserve::BASIS, &[basis]);
                patch_u64(bed, SOL, reserve::REWARDS_PER_UNIT, per_unit);
                patch_u64(bed, SOL, reserve::REWARDS_AVAILABLE, pot);
                bed.patch(&MARKET, market::REWARDS_MAX_APR_BPS, &u16::to_le_bytes(apr_bps));
                bed.warp(100);
                bed.wait(40);
            },
            |bed| vec![bed.refresh_reserve(SOL)],
        );
    }
    // What is given comes out of the pot and goes to the depositors.
    let bed = &mut twins.stand_in;
    patch_u64(bed, SOL, reserve::REWARDS_PER_UNIT, 3);
    patch_u64(bed, SOL, reserve::REWARDS_AVAILABLE, 1_000);
    bed.patch(&MARKET, market::REWARDS_MAX_APR_BPS, &10_000u16.to_le_bytes());
    bed.run(&[bed.refresh_reserve(SOL)]);
    let before = field(bed, SOL, reserve::AVAILABLE);
    let pot = field(bed, SOL, reserve::REWARDS_AVAILABLE);
    bed.warp(100);
    bed.run(&[bed.refresh_reserve(SOL)]);
    assert_eq!(field(bed, SOL, reserve::AVAILABLE), before + 300);
    assert_eq!(field(bed, SOL, reserve::REWARDS_AVAILABLE), pot - 300);
    twins.finish();
}

#[test]
fn a_price_of_zero_is_no_price() {
    let Some(mut twins) = Twins::new() else {
        return;
    };
    for (age, status) in [(10, true), (1_000, false)] {
        for entry in [0, 52] {
            let bed = &mut twins.stand_in.clone();
            bed.restamp_prices();
            bed.run(&[bed.refresh_reserve(SOL)]);
            let price_time = field(bed, SOL, reserve::PRICE_TIME);
            bed.scale_prices(&[entry], 0, 1);
            bed.wait(age);
            bed.run(&[bed.refresh_reserve(SOL)]);
            let kept = bed.account(SOL).data[BODY + reserve::PRICE_STATUS] != 0;
            assert_eq!(kept, status, "{age} s, entry {entry}");
            assert_eq!(field(bed, SOL, reserve::PRICE_TIME), price_time);
        }
    }
    twins.newer_case(
        "price of zero",
        Done,
        |bed| bed.scale_prices(&[0], 0, 1),
        |bed| vec![bed.refresh_reserve(SOL)],
    );
    twins.finish();
}

#[test]
fn a_reserve_in_emergency() {
    let Some(mut twins) = Twins::underwater() else {
        return;
    };
    let stop = |key: &'static Pubkey| move |bed: &mut Bed| bed.patch(key, reserve::EMERGENCY, &[1]);
    twins.newer_case("refresh", Done, stop(SOL), |bed| vec![bed.refresh_reserve(SOL)]);
    twins.newer_case(
        "refresh without an oracle",
        Done,
        |bed| {
            stop(SOL)(bed);
            bed.patch(SOL, reserve::PRICE_FEED, &[0; 32]);
        },
        |bed| vec![bed.refresh_reserve(SOL)],
    );
    twins.newer_case("debt stopped", Custom(3, 6175), stop(USDC), liquidation);
    twins.newer_case("collateral stopped", Custom(3, 6175), stop(SOL), liquidation);
    twins.newer_case(
        "emergency before the version",
        Custom(0, 6175),
        |bed| {
            stop(USDC)(bed);
            bed.patch(USDC, reserve::VERSION, &[2]);
        },
        |bed| vec![bed.liquidate(USDC, SOL, USDC_UNITS, 0)],
    );
    twins.newer_case(
        "the debt's version before the collateral's emergency",
        Custom(0, 6073),
        |bed| {
            stop(SOL)(bed);
            bed.patch(USDC, reserve::VERSION, &[2]);
        },
        |bed| vec![bed.liquidate(USDC, SOL, USDC_UNITS, 0)],
    );
    let pair =
        |bed: &Bed| vec![bed.flash_borrow(USDC, USDC_UNITS), bed.flash_repay(USDC, USDC_UNITS, 0)];
    twins.newer_case("flash loan", Custom(0, 6175), stop(USDC), pair);
    twins.newer_case(
        "flash loan, emergency first",
        Custom(0, 6175),
        |bed| {
            stop(USDC)(bed);
            bed.patch(USDC, reserve::VERSION, &[2]);
        },
        pair,
    );
    twins.newer_case("borrow", Custom(3, 6175), stop(USDC), |bed| borrow(bed, USDC, 1));
    twins.newer_case(
        "borrow, status first",
        Custom(0, 6082),
        |bed| {
            stop(USDC)(bed);
            bed.patch(USDC, reserve::STATUS, &[1]);
        },
        |bed| vec![bed.borrow(USDC, 1)],
    );
    twins.newer_case("deposit", Custom(3, 6175), stop(SOL), |bed| deposit(bed, SOL, 1));
    // Another reserve of the obligation is stopped: its price is missing.
    let mut branch = twins.clone();
    branch.deposit(JITOSOL, LAMPORTS);
    branch.newer_case("a third reserve stopped", Custom(4, 6017), stop(JITOSOL), liquidation);
    branch.finish();
    twins.finish();
}

#[test]
fn permissioned_operations() {
    let Some(mut twins) = Twins::underwater() else {
        return;
    };
    let name = |bed: &mut Bed| {
        let owner = bed.owner_key().to_bytes();
        bed.patch(&MARKET, market::PERMISSIONING_AUTHORITY, &owner);
    };
    let with = |key: fn(&Bed) -> Pubkey, signs: bool| {
        move |bed: &Bed| {
            let mut all = liquidation(bed);
            let last = &mut all.last_mut().unwrap().accounts;
            let mut extra = last[0].clone();
            (extra.pubkey, extra.is_signer, extra.is_writable) = (key(bed), signs, false);
            last.push(extra);
            all
        }
    };
    for (what, key, offset) in [
        ("market", &MARKET, market::PERMISSIONED),
        ("debt", USDC, reserve::PERMISSIONED),
        ("collateral", SOL, reserve::PERMISSIONED),
    ] {
        let permission = |bed: &mut Bed| {
            name(bed);
            bed.patch(key, offset, &[4]);
        };
        let unnamed = |bed: &mut Bed| bed.patch(key, offset, &[4]);
        twins.newer_case(&format!("{what}, nobody named"), Done, unnamed, liquidation);
        twins.newer_case(&format!("{what}, missing"), Custom(3, 6183), permission, liquidation);
        let other = with(Bed::payer_key, true);
        twins.newer_case(&format!("{what}, another"), Custom(3, 6183), permission, other);
        let silent = with(Bed::owner_key, false);
        twins.newer_case(&format!("{what}, silent"), Custom(3, 3010), permission, silent);
        let signs = with(Bed::owner_key, true);
        twins.newer_case(&format!("{what}, signs"), Done, permission, signs);
        twins.newer_case(
            &format!("{what}, other operations"),
            Done,
            |bed| {
                name(bed);
                bed.patch(key, offset, &[3]);
            },
            liquidation,
        );
    }
    twins.newer_case(
        "missing before stale",
        Custom(0, 6183),
        |bed| {
            name(bed);
            bed.patch(&MARKET, market::PERMISSIONED, &[4]);
        },
        |bed| vec![bed.liquidate(USDC, SOL, 0, 0)],
    );
    for (what, bit, build) in [
        ("borrow", 2, (|bed| borrow(bed, USDC, 1)) as fn(&Bed) -> Vec<Instruction>),
        ("deposit", 1, |bed| deposit(bed, SOL, 1)),
    ] {
        twins.newer_case(
            what,
            Custom(3, 6183),
            |bed| {
                name(bed);
                bed.patch(&MARKET, market::PERMISSIONED, &[bit]);
            },
            build,
        );
    }
    twins.finish();
}

#[test]
fn an_ownership_transfer_stops_no_liquidation() {
    let Some(mut twins) = Twins::underwater() else {
        return;
    };
    for state in [1, 2] {
        twins.newer_case(
            &format!("transfer state {state}"),
            Done,
            |bed| {
                let key = bed.obligation_key();
                bed.patch(&key, obligation::OWNERSHIP_TRANSFER, &[state]);
            },
            liquidation,
        );
    }
    twins.finish();
}

#[test]
fn expired_borrow_orders_are_cleared_in_every_slot() {
    let Some(mut twins) = Twins::with_position() else {
        return;
    };
    twins.leave_older_behind();
    twins.both(|bed| {
        let key = bed.obligation_key();
        for slot in 0..2 {
            let order = obligation::MORE_BORROW_ORDERS + 160 * slot;
            let until = now(bed) - 1 + slot as u64;
            bed.patch(&key, order + 80, &until.to_le_bytes());
            bed.patch(&key, order + 116, &[1]);
        }
    });
    twins.send("refresh", Done, |bed| bed.refresh_all(&[]));
    let data = twins.stand_in.account(&twins.stand_in.obligation_key()).data;
    let active = |slot: usize| data[BODY + obligation::MORE_BORROW_ORDERS + 160 * slot + 116];
    assert_eq!([active(0), active(1)], [0, 1]);
    twins.finish();
}

#[test]
fn in_1_26_orders_do_not_liquidate() {
    let Some(mut twins) = Twins::with_position() else {
        return;
    };
    let order = |bed: &mut Bed| {
        bed.patch(&MARKET, market::ORDERS, &[1]);
        let key = bed.obligation_key();
        // Always, with the smallest possible threshold, all debt.
        bed.patch(&key, obligation::ORDERS + 36, &[5, 1]);
    };
    twins.case("1.25", Done, order, liquidation);
    // The switch is the stand-in's own.
    twins.real = None;
    let newest = |bed: &mut Bed| {
        order(bed);
        bed.patch(&MARKET, market::STAND_IN_VERSION, &[126]);
    };
    twins.case("1.26", Custom(3, 6016), newest, liquidation);
    twins.case(
        "1.26, unhealthy",
        Done,
        |bed| {
            newest(bed);
            bed.scale_prices(&[0, 52], 80, 100);
        },
        liquidation,
    );
    twins.case(
        "no such version",
        Failed(3, InstructionError::ProgramFailedToComplete),
        |bed| {
            newest(bed);
            bed.patch(&MARKET, market::STAND_IN_VERSION, &[127]);
        },
        liquidation,
    );
    twins.finish();
}
