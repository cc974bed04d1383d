//! What the stand-in answers, case by case, against what klend answered.
//!
//! The expected outcomes were recorded from the real klend (1.16). When
//! `KLEND_ELF` (and, for farms, `FARMS_ELF`) name the real programs, every case
//! also runs on them: the outcome must be the same there, and both must leave
//! the same bytes in every account.
//!
//! Needs the fork folder beside the checkout and says so when it is absent.

mod common;

use std::collections::BTreeSet;

use common::{
    Outcome::{Custom, Done},
    *,
};
use solana_instruction_v2::Instruction;
use solana_pubkey_v2::Pubkey;

const SOL: &Pubkey = &SOL_RESERVE;
const USDC: &Pubkey = &USDC_RESERVE;
const JITOSOL: &Pubkey = &JITOSOL_RESERVE;

/// Lamports per SOL.
const LAMPORTS: u64 = 1_000_000_000;
/// Units per USDC.
const USDC_UNITS: u64 = 1_000_000;

/// Offsets in a market's body.
mod market {
    pub const REFERRAL_FEE_BPS: usize = 112;
    pub const EMERGENCY: usize = 114;
    pub const AUTODELEVERAGE: usize = 115;
    pub const BORROW_DISABLED: usize = 116;
    pub const PRICE_TRIGGER_PCT: usize = 117;
    pub const CLOSE_FACTOR_PCT: usize = 118;
    pub const INSOLVENCY_PCT: usize = 119;
    pub const MIN_FULL: usize = 120;
    pub const MAX_AT_ONCE: usize = 128;
    pub const GLOBAL_ALLOWED: usize = 144;
    pub const GROUPS: usize = 192;
    pub const GROUP_LEN: usize = 72;
    pub const MIN_NET_VALUE_SF: usize = 3216;
    pub const SKIP_LTV_CHECKS: usize = 3232;
    pub const SKIP_BF_CHECKS: usize = 3272;
    pub const INDIVIDUAL_PERIOD: usize = 3280;
    pub const ORDERS: usize = 3296;
    pub const PRICE_TRIGGERED_DISABLED: usize = 3299;
    pub const MATURITY: usize = 3300;
    pub const TERM: usize = 3301;
    pub const TERM_DURATION: usize = 3384;
}

/// Offsets in a reserve's body.
mod reserve {
    pub const VERSION: usize = 0;
    pub const AVAILABLE: usize = 216;
    pub const DEPOSIT_CROSSED: usize = 272;
    pub const BORROW_CROSSED: usize = 280;
    pub const STATUS: usize = 4848;
    pub const HOST_FIXED_BPS: usize = 4850;
    pub const MIN_DELEVERAGING_BONUS: usize = 4852;
    pub const BLOCK_CTOKENS: usize = 4854;
    pub const ORDER_FEE_PCT: usize = 4861;
    pub const LIQUIDATION_FEE_PCT: usize = 4863;
    pub const LTV_PCT: usize = 4864;
    pub const THRESHOLD_PCT: usize = 4865;
    pub const BAD_DEBT_BONUS: usize = 4870;
    pub const MARGIN_CALL_PERIOD: usize = 4872;
    pub const THRESHOLD_DECREASE: usize = 4880;
    pub const ORIGINATION_FEE_SF: usize = 4888;
    pub const FLASH_FEE_SF: usize = 4896;
    pub const BORROW_FACTOR_PCT: usize = 5000;
    pub const DEPOSIT_LIMIT: usize = 5008;
    pub const BORROW_LIMIT: usize = 5016;
    pub const HEURISTIC: usize = 5056;
    pub const TWAP_DIVERGENCE: usize = 5080;
    pub const MAX_AGE: usize = 5088;
    pub const MAX_TWAP_AGE: usize = 5096;
    pub const PRICE_FEED: usize = 5104;
    pub const PRICE_CHAIN: usize = 5136;
    pub const TWAP_CHAIN: usize = 5144;
    pub const BLOCK_PRICE_USAGE: usize = 5248;
    pub const DEPOSIT_CAP: usize = 5408;
    pub const DEBT_CAP: usize = 5440;
    pub const GROUPS: usize = 5472;
    pub const NO_COLLATERAL_OUTSIDE_GROUP: usize = 5492;
    pub const UTILIZATION_LIMIT: usize = 5493;
    pub const AUTODELEVERAGE: usize = 5494;
    pub const LIMIT_OUTSIDE_GROUPS: usize = 5496;
    pub const LIMITS_IN_GROUPS: usize = 5504;
    pub const BONUS_INCREASE: usize = 5760;
    pub const MATURITY: usize = 5768;
    pub const TERM: usize = 5776;
    pub const QUEUED: usize = 6960;
}

/// Offsets in an obligation's body.
mod obligation {
    pub const LAST_BORROWED: usize = 1200 + 80;
    pub const TARGET_LTV_PCT: usize = 2313;
    pub const MARGIN_CALL: usize = 2328;
    pub const ORDERS: usize = 2336;
}

/// The same market under the stand-in and, when it is there, under klend.
#[derive(Clone)]
struct Twins {
    stand_in: Bed,
    real: Option<Bed>,
    failures: Vec<String>,
}

impl Twins {
    fn new() -> Option<Self> {
        let real = real_programs();
        let mut ours = stand_ins();
        match &real {
            // One farms program for both: klend is what is compared.
            Some(programs) => ours.farms.clone_from(&programs.farms),
            None => eprintln!("KLEND_ELF is not set: compared with recorded outcomes only"),
        }
        Some(Self {
            stand_in: Bed::new(&ours)?,
            real: real.map(|programs| Bed::new(&programs).expect("the folder was there")),
            failures: Vec::new(),
        })
    }

    /// The same preparation on both sides.
    fn both(&mut self, prepare: impl Fn(&mut Bed)) {
        prepare(&mut self.stand_in);
        if let Some(real) = &mut self.real {
            prepare(real);
        }
    }

    /// The same transaction on both sides.
    fn send(&mut self, what: &str, expected: Outcome, build: impl Fn(&Bed) -> Vec<Instruction>) {
        let ours = self.stand_in.send(&build(&self.stand_in));
        if ours != expected {
            self.failures.push(format!("{what}: expected {expected:?}, stand-in {ours:?}"));
        }
        let Some(real) = &mut self.real else { return };
        let theirs = real.send(&build(real));
        if theirs != expected {
            self.failures.push(format!("{what}: expected {expected:?}, klend {theirs:?}"));
        }
        if ours == theirs {
            self.compare(what);
        }
        self.align();
    }

    fn compare(&mut self, what: &str) {
        let Some(real) = &self.real else { return };
        let ours = self.stand_in.state();
        let theirs = real.state();
        for (name, ours) in &ours {
            let theirs = &theirs[name];
            let words: BTreeSet<usize> = (0..ours.len().max(theirs.len()))
                .filter(|&index| ours.get(index) != theirs.get(index))
                .map(|index| index / 8 * 8)
                .collect();
            for word in words {
                let read = |data: &[u8]| {
                    (data.get(word..))
                        .and_then(|tail| tail.first_chunk::<8>())
                        .map(|bytes| u64::from_le_bytes(*bytes))
                };
                self.failures.push(format!(
                    "{what}: {name} body offset {}: stand-in {:?}, klend {:?}",
                    word as i64 - BODY as i64,
                    read(ours),
                    read(theirs)
                ));
            }
        }
    }

    /// Gives the stand-in klend's accounts, so that one difference is reported
    /// once.
    fn align(&mut self) {
        let Some(real) = &self.real else { return };
        for (_, key) in real.watched() {
            if let Some(account) = real.svm.get_account(&address(&key)) {
                self.stand_in
                    .svm
                    .set_account(address(&key), account)
                    .expect("a valid account stays one");
            }
        }
    }

    /// A case that starts from here and leaves no trace but its failures.
    fn case(
        &mut self,
        what: &str,
        expected: Outcome,
        prepare: impl Fn(&mut Bed),
        build: impl Fn(&Bed) -> Vec<Instruction>,
    ) {
        let mut branch = self.clone();
        branch.failures.clear();
        branch.both(prepare);
        branch.send(what, expected, build);
        self.failures.append(&mut branch.failures);
    }

    fn finish(self) {
        assert!(
            self.failures.is_empty(),
            "{} differences\n{}",
            self.failures.len(),
            self.failures.join("\n")
        );
    }

    fn open(&mut self, reserve: &'static Pubkey, amount: u64) {
        self.send("init obligation", Done, |bed| bed.init_obligation());
        self.deposit(reserve, amount);
    }

    fn deposit(&mut self, reserve: &'static Pubkey, amount: u64) {
        self.both(|bed| {
            let mint = bed.reserve(reserve).liquidity.mint_pubkey;
            let owner = bed.owner_key();
            bed.fund(&owner, &mint, amount);
        });
        if self.stand_in.reserve(reserve).farm_collateral != Pubkey::default() {
            self.send("init farm", Done, |bed| vec![bed.init_farm(reserve, 0)]);
        }
        self.send("deposit", Done, |bed| deposit(bed, reserve, amount));
    }

    fn borrow(&mut self, reserve: &'static Pubkey, amount: u64) {
        self.both(|bed| {
            let mint = bed.reserve(reserve).liquidity.mint_pubkey;
            let owner = bed.owner_key();
            bed.fund(&owner, &mint, 0);
        });
        self.send("borrow", Done, |bed| borrow(bed, reserve, amount));
    }

    /// 1000 SOL against 110,000 USDC, with an equipped liquidator.
    fn with_position() -> Option<Self> {
        let mut twins = Self::new()?;
        twins.open(SOL, 1_000 * LAMPORTS);
        twins.borrow(USDC, 110_000 * USDC_UNITS);
        twins.both(|bed| bed.equip_liquidator(USDC, SOL, 200_000 * USDC_UNITS));
        Some(twins)
    }

    /// The same after SOL has lost 20 %.
    fn underwater() -> Option<Self> {
        let mut twins = Self::with_position()?;
        twins.both(|bed| bed.scale_prices(&[0, 52], 80, 100));
        Some(twins)
    }
}

fn deposit(bed: &Bed, reserve: &Pubkey, amount: u64) -> Vec<Instruction> {
    let mut all = bed.refresh_all(&[*reserve]);
    all.push(bed.deposit(reserve, amount));
    all
}

fn borrow(bed: &Bed, reserve: &Pubkey, amount: u64) -> Vec<Instruction> {
    let mut all = bed.refresh_all(&[*reserve]);
    all.push(bed.borrow(reserve, amount));
    all
}

/// USDC debt for SOL collateral, after all refreshes.
fn liquidate(bed: &Bed, amount: u64) -> Vec<Instruction> {
    liquidate_pair(bed, USDC, SOL, amount)
}

fn liquidate_pair(bed: &Bed, debt: &Pubkey, collateral: &Pubkey, amount: u64) -> Vec<Instruction> {
    let mut all = bed.refresh_all(&[]);
    all.push(bed.liquidate(debt, collateral, amount, 0));
    all
}

fn patch_u64(bed: &mut Bed, key: &Pubkey, offset: usize, value: u64) {
    bed.patch(key, offset, &value.to_le_bytes());
}

fn now(bed: &Bed) -> u64 {
    bed.clock().unix_timestamp.unsigned_abs()
}

fn bits(value: f64) -> [u8; 16] {
    ((value * (1u64 << 60) as f64) as u128).to_le_bytes()
}

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

#[test]
fn the_main_job() {
    let Some(mut twins) = Twins::underwater() else {
        return;
    };
    twins.send("liquidate in a flash loan", Done, |bed| {
        let mut all = vec![bed.flash_borrow(USDC, 20_000 * USDC_UNITS)];
        all.extend(bed.refresh_all(&[]));
        all.push(bed.liquidate(USDC, SOL, 20_000 * USDC_UNITS, 0));
        all.push(bed.flash_repay(USDC, 20_000 * USDC_UNITS, 0));
        all
    });
    twins.both(|bed| {
        bed.warp(500);
        bed.restamp_prices();
        bed.scale_prices(&[0, 52], 97, 100);
    });
    for cap in [1, 5_000 * USDC_UNITS, u64::MAX] {
        twins.send("liquidate more", Done, |bed| liquidate(bed, cap));
    }
    for slots in [1, 3, 77] {
        twins.both(|bed| {
            bed.warp(slots);
            bed.restamp_prices();
        });
        twins.send("refresh", Done, |bed| bed.refresh_all(&[]));
        twins.send("liquidate a little", Done, |bed| liquidate(bed, 1_000_003));
    }
    twins.finish();
}

#[test]
fn liquidation_amounts_and_bonuses() {
    let Some(mut twins) = Twins::with_position() else {
        return;
    };
    // From healthy through every bonus range to bad debt.
    for percent in [100, 83, 82, 81, 80, 75, 70, 65, 64, 63, 62, 61, 60, 50, 30, 1] {
        for cap in [1, 7, 1_000_003, 20_000 * USDC_UNITS, u64::MAX] {
            let expected = if percent >= 83 { Custom(3, 6016) } else { Done };
            twins.case(
                &format!("SOL at {percent} %, cap {cap}"),
                expected,
                |bed| {
                    bed.warp(7);
                    bed.restamp_prices();
                    bed.scale_prices(&[0, 52], percent, 100);
                },
                |bed| liquidate(bed, cap),
            );
        }
    }
    // The market's limits.
    for (what, offset, bytes) in [
        ("close factor 10", market::CLOSE_FACTOR_PCT, vec![10]),
        ("close factor 100", market::CLOSE_FACTOR_PCT, vec![100]),
        ("insolvency at 70", market::INSOLVENCY_PCT, vec![70]),
        ("at most 1000 at once", market::MAX_AT_ONCE, 1_000u64.to_le_bytes().to_vec()),
        ("small below 200000", market::MIN_FULL, 200_000u64.to_le_bytes().to_vec()),
    ] {
        for percent in [80, 50] {
            twins.case(
                &format!("{what}, SOL at {percent} %"),
                Done,
                |bed| {
                    bed.scale_prices(&[0, 52], percent, 100);
                    bed.patch(&MARKET, offset, &bytes);
                },
                |bed| liquidate(bed, u64::MAX),
            );
        }
    }
    twins.case(
        "small debt, too little offered",
        Custom(3, 6121),
        |bed| {
            bed.scale_prices(&[0, 52], 80, 100);
            patch_u64(bed, &MARKET, market::MIN_FULL, 200_000);
        },
        |bed| liquidate(bed, 20_000 * USDC_UNITS),
    );
    for (what, key, offset, bytes) in [
        ("no protocol fee", SOL, reserve::LIQUIDATION_FEE_PCT, vec![0]),
        ("protocol fee 100", SOL, reserve::LIQUIDATION_FEE_PCT, vec![100]),
        ("bad debt bonus 99", SOL, reserve::BAD_DEBT_BONUS, vec![99, 0]),
    ] {
        for percent in [80, 62, 30] {
            twins.case(
                &format!("{what}, SOL at {percent} %"),
                Done,
                |bed| {
                    bed.scale_prices(&[0, 52], percent, 100);
                    bed.patch(key, offset, &bytes);
                },
                |bed| liquidate(bed, u64::MAX),
            );
        }
    }
    twins.finish();
}

#[test]
fn redemption_is_limited_by_liquidity() {
    let Some(mut twins) = Twins::underwater() else {
        return;
    };
    // The vault is lowered with the books; the rest counts as lent.
    let drain = |bed: &mut Bed, left: u64| {
        let sol = bed.reserve(SOL).liquidity;
        let taken = sol.total_available_amount - left;
        patch_u64(bed, SOL, reserve::AVAILABLE, left);
        let borrowed = sol.borrowed_amount_sf;
        let borrowed = u128::from(borrowed) + (u128::from(taken) << 60);
        bed.patch(SOL, 224, &borrowed.to_le_bytes());
        let mut vault = bed.account(&sol.supply_vault);
        let balance = bed.balance(&sol.supply_vault) - taken;
        vault.data[64..72].copy_from_slice(&balance.to_le_bytes());
        vault.lamports -= taken;
        bed.svm.set_account(address(&sol.supply_vault), vault).unwrap();
    };
    for left in [0, 1, 2, 1_000, LAMPORTS, 100 * LAMPORTS, 160 * LAMPORTS] {
        twins.case(
            &format!("{left} lamports left"),
            Done,
            |bed| drain(bed, left),
            |bed| liquidate(bed, u64::MAX),
        );
    }
    for minimum in [100 * LAMPORTS, 160 * LAMPORTS] {
        for left in [0, 120 * LAMPORTS, 1_000 * LAMPORTS] {
            let refused = left != 0 && minimum == 160 * LAMPORTS;
            twins.case(
                &format!("{left} left, {minimum} demanded"),
                if refused { Custom(3, 6066) } else { Done },
                |bed| drain(bed, left),
                |bed| {
                    let mut all = bed.refresh_all(&[]);
                    all.push(bed.liquidate(USDC, SOL, u64::MAX, minimum));
                    all
                },
            );
        }
    }
    twins.case(
        "queued cTokens do not matter",
        Done,
        |bed| {
            drain(bed, 120 * LAMPORTS);
            patch_u64(bed, SOL, reserve::QUEUED, 50 * LAMPORTS);
        },
        |bed| liquidate(bed, u64::MAX),
    );
    twins.finish();
}

#[test]
fn other_reasons_than_the_ltv() {
    let Some(mut twins) = Twins::with_position() else {
        return;
    };
    const DAY: u64 = 86_400;
    let run = |bed: &Bed| liquidate(bed, u64::MAX);
    let mark = |bed: &mut Bed, ago: u64| {
        bed.patch(&MARKET, market::AUTODELEVERAGE, &[1]);
        patch_u64(bed, &MARKET, market::INDIVIDUAL_PERIOD, 3 * DAY);
        let obligation = bed.obligation_key();
        bed.patch(&obligation, obligation::TARGET_LTV_PCT, &[50]);
        let started = now(bed) - ago;
        patch_u64(bed, &obligation, obligation::MARGIN_CALL, started);
        bed.patch(SOL, reserve::MIN_DELEVERAGING_BONUS, &50u16.to_le_bytes());
        patch_u64(bed, SOL, reserve::BONUS_INCREASE, 20);
        bed.patch(USDC, reserve::MIN_DELEVERAGING_BONUS, &70u16.to_le_bytes());
        patch_u64(bed, USDC, reserve::BONUS_INCREASE, 10);
    };
    for (ago, expected) in [
        (3 * DAY - 1, Custom(3, 6016)),
        (3 * DAY, Done),
        (4 * DAY + 5_000, Done),
        (100 * DAY, Done),
    ] {
        twins.case(&format!("marked {ago} s ago"), expected, |bed| mark(bed, ago), run);
    }
    twins.case(
        "marked, already at the target",
        Custom(3, 6016),
        |bed| {
            mark(bed, 4 * DAY);
            let obligation = bed.obligation_key();
            bed.patch(&obligation, obligation::TARGET_LTV_PCT, &[70]);
        },
        run,
    );
    let over_limit = |bed: &mut Bed, key: &Pubkey, ago: u64| {
        bed.patch(&MARKET, market::AUTODELEVERAGE, &[1]);
        bed.patch(key, reserve::AUTODELEVERAGE, &[1]);
        patch_u64(bed, key, reserve::MARGIN_CALL_PERIOD, DAY);
        patch_u64(bed, key, reserve::THRESHOLD_DECREASE, 1_000);
        patch_u64(bed, key, reserve::BONUS_INCREASE, 30);
        bed.patch(key, reserve::MIN_DELEVERAGING_BONUS, &40u16.to_le_bytes());
        let crossed = now(bed) - ago;
        if *key == SOL_RESERVE {
            patch_u64(bed, key, reserve::DEPOSIT_LIMIT, 1);
            patch_u64(bed, key, reserve::DEPOSIT_CROSSED, crossed);
        } else {
            patch_u64(bed, key, reserve::BORROW_LIMIT, 1);
            patch_u64(bed, key, reserve::BORROW_CROSSED, crossed);
        }
    };
    for key in [SOL, USDC] {
        for (ago, expected) in [
            (DAY - 1, Custom(3, 6016)),
            (DAY, Custom(3, 6016)),
            (3 * DAY, Custom(3, 6016)),
            (5 * DAY, Done),
            (20 * DAY, Done),
        ] {
            twins.case(
                &format!("{key} over its limit for {ago} s"),
                expected,
                |bed| over_limit(bed, key, ago),
                run,
            );
        }
    }
    for (collateral_ago, debt_ago) in
        [(2 * DAY, 10 * DAY), (10 * DAY, 12 * DAY), (DAY - 1, 10 * DAY)]
    {
        twins.case(
            &format!("both over their limits for {collateral_ago} and {debt_ago} s"),
            Done,
            |bed| {
                over_limit(bed, SOL, collateral_ago);
                over_limit(bed, USDC, debt_ago);
            },
            run,
        );
    }
    let bonuses = |bed: &mut Bed| {
        bed.patch(USDC, reserve::MIN_DELEVERAGING_BONUS, &70u16.to_le_bytes());
        patch_u64(bed, USDC, reserve::BONUS_INCREASE, 10);
        bed.patch(SOL, reserve::MIN_DELEVERAGING_BONUS, &50u16.to_le_bytes());
        patch_u64(bed, SOL, reserve::BONUS_INCREASE, 20);
    };
    for (ago, enabled, expected) in
        [(0, 1, Done), (2 * DAY + 77, 1, Done), (200 * DAY, 1, Done), (1, 0, Custom(3, 6016))]
    {
        twins.case(
            &format!("matured {ago} s ago, switch {enabled}"),
            expected.clone(),
            |bed| {
                bonuses(bed);
                bed.patch(&MARKET, market::MATURITY, &[enabled]);
                let at = now(bed) - ago;
                patch_u64(bed, USDC, reserve::MATURITY, at);
            },
            run,
        );
    }
    twins.case(
        "not yet matured",
        Custom(3, 6016),
        |bed| {
            bed.patch(&MARKET, market::MATURITY, &[1]);
            let at = now(bed) + 1;
            patch_u64(bed, USDC, reserve::MATURITY, at);
        },
        run,
    );
    for (ago, duration, expected) in [
        (0, 0, Done),
        (0, DAY, Custom(3, 6015)),
        (1, DAY, Done),
        (DAY / 3, DAY, Done),
        (2 * DAY, DAY, Done),
        (2 * DAY + 77, 0, Done),
    ] {
        twins.case(
            &format!("term over for {ago} s, released over {duration} s"),
            expected,
            |bed| {
                bonuses(bed);
                bed.patch(&MARKET, market::TERM, &[1]);
                patch_u64(bed, &MARKET, market::TERM_DURATION, duration);
                patch_u64(bed, USDC, reserve::TERM, 1_000);
                let obligation = bed.obligation_key();
                let at = now(bed) - 1_000 - ago;
                patch_u64(bed, &obligation, obligation::LAST_BORROWED, at);
            },
            run,
        );
    }
    // LTV of the position: 110,000 / 178,581 = 61.6 %; price ratio 1 / 178.58.
    for (condition, threshold, param, expected) in [
        (0u8, 0.5, 0.0, Custom(3, 6016)),
        (1, 0.60, 0.0, Done),
        (1, 0.62, 0.0, Custom(3, 6016)),
        (1, 0.80, 0.0, Custom(3, 6016)),
        (2, 0.62, 0.0, Done),
        (2, 0.60, 0.0, Custom(3, 6016)),
        (3, 0.005, 0.0, Done),
        (3, 0.006, 0.0, Custom(3, 6016)),
        (4, 0.006, 0.0, Done),
        (4, 0.005, 0.0, Custom(3, 6016)),
        (5, 0.0, 0.0, Done),
        (6, 0.20, 0.0, Done),
        (6, 0.10, 0.0, Custom(3, 6016)),
        (6, 0.90, 0.0, Done),
        (5, 0.0, 1_000_000.0, Done),
        (5, 0.0, 200_000_000_000.0, Done),
        (1, 0.60, 5_000_000_000.0, Done),
    ] {
        for second in [false, true] {
            let place = |bed: &mut Bed| {
                bed.patch(&MARKET, market::ORDERS, &[1]);
                bed.patch(SOL, reserve::ORDER_FEE_PCT, &[10]);
                let obligation = bed.obligation_key();
                let at = obligation::ORDERS + if second { 128 } else { 0 };
                bed.patch(&obligation, at, &bits(threshold));
                let opportunity = u8::from(param == 0.0);
                bed.patch(&obligation, at + 16, &((param as u128) << 60).to_le_bytes());
                let least: u16 = if condition == 5 { 900 } else { 100 };
                bed.patch(&obligation, at + 32, &least.to_le_bytes());
                bed.patch(&obligation, at + 34, &900u16.to_le_bytes());
                bed.patch(&obligation, at + 36, &[condition, opportunity]);
            };
            twins.case(
                &format!("order {condition} at {threshold} for {param}, second {second}"),
                expected.clone(),
                place,
                run,
            );
            twins.case(
                &format!("order {condition} at {threshold} for {param}, prices do not count"),
                if condition == 5 { Done } else { Custom(3, 6016) },
                |bed| {
                    place(bed);
                    bed.patch(&MARKET, market::PRICE_TRIGGERED_DISABLED, &[1]);
                },
                run,
            );
        }
    }
    twins.case(
        "order against a full queue",
        Done,
        |bed| {
            bed.patch(&MARKET, market::ORDERS, &[1]);
            let obligation = bed.obligation_key();
            bed.patch(&obligation, obligation::ORDERS + 36, &[5, 1]);
            let queued = bed.reserve(SOL).collateral.mint_total_supply;
            patch_u64(bed, SOL, reserve::QUEUED, queued);
        },
        run,
    );
    for capacity in [10 * LAMPORTS, 1_000_000 * LAMPORTS] {
        twins.case(
            &format!("order within an outflow cap of {capacity}"),
            if capacity == 10 * LAMPORTS { Custom(3, 6064) } else { Done },
            |bed| {
                bed.patch(&MARKET, market::ORDERS, &[1]);
                let obligation = bed.obligation_key();
                bed.patch(&obligation, obligation::ORDERS + 36, &[5, 1]);
                let cap = [capacity, 0, now(bed) - 10, DAY].map(u64::to_le_bytes).concat();
                bed.patch(SOL, reserve::DEPOSIT_CAP, &cap);
            },
            run,
        );
    }
    twins.case(
        "the LTV does not count",
        Custom(3, 6016),
        |bed| {
            bed.scale_prices(&[0, 52], 80, 100);
            bed.patch(&MARKET, market::PRICE_TRIGGERED_DISABLED, &[1]);
        },
        run,
    );
    twins.finish();
}
