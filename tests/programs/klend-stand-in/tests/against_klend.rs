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
    Outcome::{Custom, Done, Failed},
    *,
};
use solana_instruction::error::InstructionError;
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
    pub const PERMISSIONED: usize = 3424;
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
    pub const EMERGENCY: usize = 4856;
    pub const ORDER_FEE_PCT: usize = 4861;
    pub const LIQUIDATION_FEE_PCT: usize = 4863;
    pub const LTV_PCT: usize = 4864;
    pub const THRESHOLD_PCT: usize = 4865;
    pub const MIN_BONUS: usize = 4866;
    pub const MAX_BONUS: usize = 4868;
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
    pub const PERMISSIONED: usize = 5792;
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

    /// The same transaction on both sides, without an expectation; returns how
    /// klend's ended, if klend is there.
    fn agree(&mut self, what: &str, build: impl Fn(&Bed) -> Vec<Instruction>) -> Option<Outcome> {
        let ours = self.stand_in.send(&build(&self.stand_in));
        let real = self.real.as_mut()?;
        let theirs = real.send(&build(real));
        if ours == theirs {
            self.compare(what);
        } else {
            self.failures.push(format!("{what}: stand-in {ours:?}, klend {theirs:?}"));
        }
        self.align();
        Some(theirs)
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

    /// A position and an owner with 100 SOL and some cTokens of SOL.
    fn with_ctokens() -> Option<Self> {
        let mut twins = Self::with_position()?;
        twins.both(|bed| {
            let owner = bed.owner_key();
            let sol = bed.reserve(SOL);
            bed.fund(&owner, &sol.liquidity.mint_pubkey, 100 * LAMPORTS);
            bed.fund(&owner, &sol.collateral.mint_pubkey, 0);
        });
        twins.send("deposit liquidity", Done, |bed| {
            vec![bed.refresh_reserve(SOL), bed.deposit_reserve_liquidity(SOL, 50 * LAMPORTS)]
        });
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
            bed.scale_prices(&[0, 52], 85, 100);
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

/// Replaces the flash pair's reserve, amount and index, then everything else.
#[test]
fn flash_loans() {
    let Some(mut twins) = Twins::new() else {
        return;
    };
    const LOAN: u64 = 1_000 * USDC_UNITS;
    twins.both(|bed| {
        let liquidator = bed.liquidator_key();
        for key in [USDC, SOL] {
            let mint = bed.reserve(key).liquidity.mint_pubkey;
            bed.fund(&liquidator, &mint, 10 * USDC_UNITS);
        }
    });
    let pair = |amount: u64| {
        move |bed: &Bed| vec![bed.flash_borrow(USDC, amount), bed.flash_repay(USDC, amount, 0)]
    };
    for (amount, expected) in [
        (0, Done),
        (1, Custom(1, 6012)),
        (2, Done),
        (99_999, Done),
        (149_999, Done),
        (150_000, Done),
        (1_000_003, Done),
        (LOAN, Done),
        (10_143_494_878_569, Custom(1, 1)),
        (10_143_494_878_570, Custom(0, 6008)),
        (u64::MAX, Custom(0, 6008)),
    ] {
        twins.case(&format!("loan of {amount}"), expected, |bed| bed.warp(9), pair(amount));
    }
    for (fee, amount, expected) in [
        (0u64, 1, Done),
        (0, LOAN, Done),
        (1, LOAN, Done),
        (1 << 59, 3, Done),
        (1 << 60, 3, Custom(1, 6012)),
        (u64::MAX, LOAN, Custom(0, 6036)),
        (u64::MAX - 1, LOAN, Custom(1, 6012)),
    ] {
        twins.case(
            &format!("fee {fee} on {amount}"),
            expected,
            |bed| patch_u64(bed, USDC, reserve::FLASH_FEE_SF, fee),
            pair(amount),
        );
    }
    for (what, key, offset, value, expected) in [
        ("market stopped", &MARKET, market::EMERGENCY, 1u8, Custom(0, 6042)),
        ("borrowing off", &MARKET, market::BORROW_DISABLED, 1, Done),
        ("old version", USDC, reserve::VERSION, 0, Custom(0, 6073)),
        ("obsolete", USDC, reserve::STATUS, 1, Custom(0, 6082)),
        ("hidden", USDC, reserve::STATUS, 2, Done),
        ("price blocked", USDC, reserve::BLOCK_PRICE_USAGE, 1, Done),
    ] {
        twins.case(what, expected, |bed| bed.patch(key, offset, &[value]), pair(LOAN));
    }
    twins.case("price outdated", Done, |bed| bed.wait(1_000), pair(LOAN));
    twins.case(
        "vault short of the books",
        Done,
        |bed| patch_u64(bed, USDC, reserve::AVAILABLE, 9_000_000 * USDC_UNITS),
        pair(LOAN),
    );
    twins.case(
        "limit crossed during the loan",
        Done,
        |bed| {
            let borrowed = bed.reserve(USDC).liquidity.borrowed_amount_sf;
            let limit = (u128::from(borrowed) >> 60) as u64 + 1_000;
            patch_u64(bed, USDC, reserve::BORROW_LIMIT, limit);
        },
        |bed| {
            vec![
                bed.flash_borrow(USDC, LOAN),
                bed.refresh_reserve(USDC),
                bed.flash_repay(USDC, LOAN, 0),
            ]
        },
    );

    let build = |build: fn(&Bed) -> Vec<Instruction>| build;
    for (what, expected, build) in [
        ("no repayment", Custom(0, 6032), build(|bed| vec![bed.flash_borrow(USDC, LOAN)])),
        ("repayment alone", Custom(0, 6033), build(|bed| vec![bed.flash_repay(USDC, LOAN, 0)])),
        (
            "repayment first",
            Custom(0, 6033),
            build(|bed| vec![bed.flash_repay(USDC, LOAN, 1), bed.flash_borrow(USDC, LOAN)]),
        ),
        (
            "another amount repaid",
            Custom(0, 6033),
            build(|bed| vec![bed.flash_borrow(USDC, LOAN), bed.flash_repay(USDC, LOAN + 1, 0)]),
        ),
        (
            "another index",
            Custom(0, 6033),
            build(|bed| vec![bed.flash_borrow(USDC, LOAN), bed.flash_repay(USDC, LOAN, 1)]),
        ),
        (
            "an index behind the end",
            Custom(0, 6033),
            build(|bed| vec![bed.flash_repay(USDC, LOAN, 7)]),
        ),
        (
            "two borrows",
            Custom(0, 6035),
            build(|bed| {
                vec![
                    bed.flash_borrow(USDC, LOAN),
                    bed.flash_borrow(SOL, LOAN),
                    bed.flash_repay(USDC, LOAN, 0),
                    bed.flash_repay(SOL, LOAN, 1),
                ]
            }),
        ),
        (
            "two repayments",
            Custom(0, 6035),
            build(|bed| {
                vec![
                    bed.flash_borrow(USDC, LOAN),
                    bed.flash_repay(USDC, LOAN, 0),
                    bed.flash_repay(USDC, LOAN, 0),
                ]
            }),
        ),
        (
            "two pairs",
            Custom(0, 6035),
            build(|bed| {
                vec![
                    bed.flash_borrow(USDC, LOAN),
                    bed.flash_repay(USDC, LOAN, 0),
                    bed.flash_borrow(USDC, LOAN),
                    bed.flash_repay(USDC, LOAN, 2),
                ]
            }),
        ),
        (
            "another reserve repaid",
            Custom(0, 6033),
            build(|bed| vec![bed.flash_borrow(USDC, LOAN), bed.flash_repay(SOL, LOAN, 0)]),
        ),
        (
            "one account more at the repayment",
            Custom(0, 6033),
            build(|bed| {
                let mut repay = bed.flash_repay(USDC, LOAN, 0);
                repay.accounts.push(writable(*USDC));
                vec![bed.flash_borrow(USDC, LOAN), repay]
            }),
        ),
        (
            "one account more at both",
            Done,
            build(|bed| {
                let mut pair = vec![bed.flash_borrow(USDC, LOAN), bed.flash_repay(USDC, LOAN, 0)];
                for half in &mut pair {
                    half.accounts.push(writable(*USDC));
                }
                pair
            }),
        ),
        (
            "trailing data at the repayment",
            Failed(0, InstructionError::BorshIoError),
            build(|bed| {
                let mut repay = bed.flash_repay(USDC, LOAN, 0);
                repay.data.push(0);
                vec![bed.flash_borrow(USDC, LOAN), repay]
            }),
        ),
        (
            "trailing data at the borrow",
            Done,
            build(|bed| {
                let mut borrow = bed.flash_borrow(USDC, LOAN);
                borrow.data.push(0);
                vec![borrow, bed.flash_repay(USDC, LOAN, 0)]
            }),
        ),
        (
            "referrer's accounts of the wrong kind",
            Custom(0, 3007),
            build(|bed| {
                let mut pair = vec![bed.flash_borrow(USDC, LOAN), bed.flash_repay(USDC, LOAN, 0)];
                for half in &mut pair {
                    half.accounts[8].pubkey = bed.owner_key();
                    half.accounts[9].pubkey = bed.owner_key();
                }
                pair
            }),
        ),
        (
            "the vault as the borrower's account",
            Custom(0, 6006),
            build(|bed| {
                let mut pair = vec![bed.flash_borrow(USDC, LOAN), bed.flash_repay(USDC, LOAN, 0)];
                for half in &mut pair {
                    half.accounts[6].pubkey = half.accounts[5].pubkey;
                }
                pair
            }),
        ),
    ] {
        twins.case(what, expected, |_| (), build);
    }
    twins.finish();
}

/// Every account of an instruction in turn replaced by something else, made
/// read-only, not signing, or left out; and the data cut short. The outcome,
/// whatever it is, must be klend's, so this needs the real program.
fn mutate(twins: &mut Twins, what: &str, at: usize, build: impl Fn(&Bed) -> Vec<Instruction>) {
    if twins.real.is_none() {
        return;
    }
    let original = build(&twins.stand_in);
    let payer = twins.stand_in.payer_key();
    let replacements = [
        klend_interface::KLEND_PROGRAM_ID,
        klend_interface::TOKEN_PROGRAM_ID,
        klend_interface::SYSVAR_RENT_ID,
        Pubkey::new_from_array([77; 32]),
        payer,
        MARKET,
        *USDC,
        *SOL,
        twins.stand_in.obligation_key(),
        twins.stand_in.reserve(USDC).liquidity.mint_pubkey,
        twins.stand_in.reserve(USDC).liquidity.supply_vault,
        twins.stand_in.reserve(SOL).liquidity.fee_vault,
        twins.stand_in.reserve(SOL).collateral.mint_pubkey,
        SOL_FARM,
    ];
    let mut variants: Vec<(String, Vec<Instruction>)> = Vec::new();
    let mut push = |name: String, change: &dyn Fn(&mut Instruction)| {
        let mut all = original.clone();
        change(&mut all[at]);
        variants.push((format!("{what}: {name}"), all));
    };
    for index in 0..original[at].accounts.len() {
        for replacement in replacements {
            push(format!("account {index} is {replacement}"), &|ix| {
                ix.accounts[index].pubkey = replacement;
                ix.accounts[index].is_signer &= replacement == payer;
            });
        }
        push(format!("account {index} read-only"), &|ix| {
            ix.accounts[index].is_writable = false;
        });
        push(format!("account {index} not signing"), &|ix| {
            ix.accounts[index].is_signer = false;
        });
        push(format!("only {index} accounts"), &|ix| ix.accounts.truncate(index));
    }
    for length in 0..original[at].data.len() {
        push(format!("{length} bytes of data"), &|ix| ix.data.truncate(length));
    }
    for (name, all) in variants {
        let mut branch = twins.clone();
        branch.failures.clear();
        branch.agree(&name, |_| all.clone());
        twins.failures.append(&mut branch.failures);
    }
}

#[test]
fn mutated_flash_loans() {
    let Some(mut twins) = Twins::new() else {
        return;
    };
    twins.both(|bed| {
        let liquidator = bed.liquidator_key();
        let mint = bed.reserve(USDC).liquidity.mint_pubkey;
        bed.fund(&liquidator, &mint, 10 * USDC_UNITS);
    });
    let pair =
        |bed: &Bed| vec![bed.flash_borrow(USDC, USDC_UNITS), bed.flash_repay(USDC, USDC_UNITS, 0)];
    mutate(&mut twins, "flash borrow", 0, pair);
    mutate(&mut twins, "flash repay", 1, pair);
    twins.finish();
}

#[test]
fn mutated_refreshes() {
    let Some(mut twins) = Twins::with_position() else {
        return;
    };
    twins.both(|bed| {
        bed.warp(4);
        bed.restamp_prices();
    });
    mutate(&mut twins, "refresh reserve", 0, |bed| vec![bed.refresh_reserve(USDC)]);
    mutate(&mut twins, "refresh obligation", 2, |bed| bed.refresh_all(&[]));
    mutate(&mut twins, "refresh obligation again", 3, |bed| {
        let mut all = bed.refresh_all(&[]);
        all.push(bed.refresh_obligation());
        all
    });
    mutate(&mut twins, "refresh batch", 0, |bed| {
        let accounts = bed.refresh_reserve(USDC).accounts;
        vec![klend_interface::instructions::refresh::refresh_reserves_batch(false, accounts)]
    });
    mutate(&mut twins, "refresh farm", 0, |bed| vec![bed.refresh_farm(SOL, 0)]);
    twins.finish();
}

#[test]
fn mutated_liquidations() {
    let Some(mut twins) = Twins::underwater() else {
        return;
    };
    mutate(&mut twins, "liquidate", 3, |bed| liquidate(bed, 1_000_003));
    twins.finish();
}

#[test]
fn mutated_deposits_and_borrows() {
    let Some(mut twins) = Twins::with_position() else {
        return;
    };
    twins.both(|bed| {
        let owner = bed.owner_key();
        let mint = bed.reserve(SOL).liquidity.mint_pubkey;
        bed.fund(&owner, &mint, LAMPORTS);
    });
    mutate(&mut twins, "deposit", 3, |bed| deposit(bed, SOL, LAMPORTS));
    mutate(&mut twins, "borrow", 3, |bed| borrow(bed, USDC, USDC_UNITS));
    twins.finish();
}

#[test]
fn mutated_beginnings() {
    let Some(mut twins) = Twins::new() else {
        return;
    };
    mutate(&mut twins, "init user metadata", 0, |bed| bed.init_obligation()[..1].to_vec());
    mutate(&mut twins, "init obligation", 1, |bed| bed.init_obligation());
    twins.send("init obligation", Done, |bed| bed.init_obligation());
    mutate(&mut twins, "init farm", 0, |bed| vec![bed.init_farm(SOL, 0)]);
    twins.finish();
}

#[test]
fn mutated_ctoken_operations() {
    let Some(mut twins) = Twins::with_ctokens() else {
        return;
    };
    mutate(&mut twins, "deposit liquidity", 1, |bed| {
        vec![bed.refresh_reserve(SOL), bed.deposit_reserve_liquidity(SOL, LAMPORTS)]
    });
    mutate(&mut twins, "deposit collateral", 3, |bed| {
        let mut all = bed.refresh_all(&[*SOL]);
        all.push(bed.deposit_obligation_collateral(SOL, LAMPORTS));
        all
    });
    mutate(&mut twins, "redeem", 1, |bed| {
        vec![bed.refresh_reserve(SOL), bed.redeem(SOL, LAMPORTS)]
    });
    twins.finish();
}

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
    ] {
        twins.case(&format!("deposit, {what}"), expected, prepare, deposit_one);
    }
    twins.case(
        "deposit without refreshes",
        Custom(0, 6009),
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

#[test]
fn staleness_and_switches_stop_a_liquidation() {
    let Some(mut twins) = Twins::underwater() else {
        return;
    };
    let run = |bed: &Bed| liquidate(bed, 1_000 * USDC_UNITS);
    for (what, key, offset, value, expected) in [
        ("market stopped", &MARKET, market::EMERGENCY, 1u8, Custom(0, 6042)),
        ("borrowing off", &MARKET, market::BORROW_DISABLED, 1, Done),
        ("debt obsolete", USDC, reserve::STATUS, 1, Done),
        ("collateral obsolete, with a farm", SOL, reserve::STATUS, 1, Custom(3, 6082)),
        ("debt hidden", USDC, reserve::STATUS, 2, Done),
        ("debt of an old version", USDC, reserve::VERSION, 0, Custom(1, 6073)),
        ("debt's price blocked", USDC, reserve::BLOCK_PRICE_USAGE, 1, Custom(3, 6009)),
        ("collateral's price blocked", SOL, reserve::BLOCK_PRICE_USAGE, 1, Custom(3, 6009)),
        ("cTokens blocked", SOL, reserve::BLOCK_CTOKENS, 1, Done),
        ("threshold zero", SOL, reserve::THRESHOLD_PCT, 0, Custom(3, 6087)),
        ("LTV zero", SOL, reserve::LTV_PCT, 0, Done),
        ("no average admitted", SOL, reserve::MAX_TWAP_AGE, 0, Custom(0, 6053)),
    ] {
        twins.case(what, expected, |bed| bed.patch(key, offset, &[value]), run);
    }
    twins.case("outdated price", Custom(3, 6009), |bed| bed.wait(1_000), run);
    twins.case(
        "outdated price of the debt",
        Custom(3, 6009),
        |bed| {
            bed.wait(10);
            patch_u64(bed, USDC, reserve::MAX_AGE, 9);
        },
        run,
    );
    twins.case("divergent price", Done, |bed| bed.scale_prices(&[52], 2, 1), run);
    twins.case("nothing offered", Custom(3, 6003), |_| (), |bed| liquidate(bed, 0));
    twins.case(
        "no refreshes",
        Custom(0, 6009),
        |bed| bed.warp(1),
        |bed| vec![bed.liquidate(USDC, SOL, USDC_UNITS, 0)],
    );
    twins.case(
        "obligation not refreshed",
        Custom(2, 6017),
        |bed| bed.warp(1),
        |bed| {
            let all = bed.refresh_all(&[]);
            vec![all[0].clone(), all[1].clone(), bed.liquidate(USDC, SOL, USDC_UNITS, 0)]
        },
    );
    twins.case(
        "stale after a flash loan",
        Custom(4, 6009),
        |bed| bed.warp(1),
        |bed| {
            let mut all = bed.refresh_all(&[]);
            all.insert(3, bed.flash_borrow(USDC, USDC_UNITS));
            all.push(bed.liquidate(USDC, SOL, USDC_UNITS, 0));
            all.push(bed.flash_repay(USDC, USDC_UNITS, 3));
            all
        },
    );
    twins.case(
        "twice without a refresh",
        Custom(4, 6009),
        |_| (),
        |bed| {
            let mut all = liquidate(bed, USDC_UNITS);
            all.push(bed.liquidate(USDC, SOL, USDC_UNITS, 0));
            all
        },
    );
    twins.case(
        "twice with refreshes",
        Done,
        |_| (),
        |bed| {
            let mut all = liquidate(bed, USDC_UNITS);
            all.extend(liquidate(bed, USDC_UNITS));
            all
        },
    );
    twins.case(
        "debt that is not there",
        Custom(4, 6025),
        |bed| bed.equip_liquidator(JITOSOL, SOL, LAMPORTS),
        |bed| {
            let mut all = bed.refresh_all(&[*JITOSOL]);
            all.push(bed.liquidate(JITOSOL, SOL, USDC_UNITS, 0));
            all
        },
    );
    twins.case(
        "collateral that is not there",
        Custom(4, 6024),
        |bed| bed.equip_liquidator(USDC, JITOSOL, LAMPORTS),
        |bed| {
            let mut all = bed.refresh_all(&[*JITOSOL]);
            all.push(bed.liquidate(USDC, JITOSOL, USDC_UNITS, 0));
            all
        },
    );
    twins.case(
        "worthless collateral",
        Custom(3, 6022),
        |bed| bed.scale_prices(&[0, 52], 0, 1),
        run,
    );
    twins.case("worthless debt", Custom(3, 6023), |bed| bed.scale_prices(&[20, 62], 0, 1), run);
    twins.case(
        "liquidator too poor",
        Custom(3, 1),
        |bed| {
            let liquidator = bed.liquidator_key();
            let mint = bed.reserve(USDC).liquidity.mint_pubkey;
            bed.fund(&liquidator, &mint, 10);
        },
        run,
    );
    twins.case(
        "farm accounts missing",
        Custom(3, 6120),
        |_| (),
        |bed| {
            let mut all = run(bed);
            all[3].accounts[20].pubkey = klend_interface::KLEND_PROGRAM_ID;
            all[3].accounts[21].pubkey = klend_interface::KLEND_PROGRAM_ID;
            all
        },
    );
    twins.case(
        "stake account missing",
        Custom(3, 3007),
        |bed| {
            let user = bed.farm_user(&SOL_FARM).unwrap();
            bed.svm.set_account(address(&user), Default::default()).unwrap();
        },
        run,
    );
    twins.case(
        "debt farm without stake account",
        Custom(3, 3007),
        |bed| {
            bed.patch(USDC, 88, SOL_FARM.as_ref());
        },
        |bed| {
            let mut all = run(bed);
            all[3].accounts[22].pubkey = Pubkey::new_from_array([9; 32]);
            all
        },
    );
    for (account, vault) in [(13, 6), (13, 11), (14, 10), (15, 11), (15, 6)] {
        let expected = if (account, vault) == (15, 6) { Custom(3, 3) } else { Custom(3, 6006) };
        twins.case(
            &format!("account {account} is vault {vault}"),
            expected,
            |_| (),
            |bed| {
                let mut all = run(bed);
                all[3].accounts[account].pubkey = all[3].accounts[vault].pubkey;
                all
            },
        );
    }
    twins.case(
        "one account for both mints",
        Custom(3, 3),
        |_| (),
        |bed| {
            let mut all = run(bed);
            all[3].accounts[15].pubkey = all[3].accounts[13].pubkey;
            all
        },
    );
    twins.finish();
}

/// SOL and JitoSOL as collateral, USDC and a little JitoSOL as debt.
#[test]
fn several_collaterals_and_debts() {
    let Some(mut twins) = Twins::with_position() else {
        return;
    };
    twins.deposit(JITOSOL, 100 * LAMPORTS);
    twins.both(|bed| {
        let owner = bed.owner_key();
        let mint = bed.reserve(SOL).liquidity.mint_pubkey;
        bed.fund(&owner, &mint, 0);
        bed.patch(SOL, reserve::UTILIZATION_LIMIT, &[0]);
    });
    twins.send("second borrow", Done, |bed| borrow(bed, SOL, 20 * LAMPORTS));
    for (debt, collateral) in [(USDC, SOL), (USDC, JITOSOL), (SOL, SOL), (SOL, JITOSOL)] {
        for (what, thresholds, factor, skip) in [
            ("equal", (75u8, 75u8), 100u64, 0u64),
            ("SOL first", (70, 75), 100, 0),
            ("JitoSOL first", (75, 70), 100, 0),
            ("JitoSOL first, but small", (75, 70), 100, 1_000_000),
            ("USDC first", (75, 75), 110, 0),
            ("USDC first, but small", (75, 75), 110, 1_000_000),
        ] {
            let expected = match (what, *debt == SOL_RESERVE, *collateral == SOL_RESERVE) {
                ("USDC first", true, _) => Custom(4, 6099),
                ("SOL first", _, false) | ("JitoSOL first", _, true) => Custom(4, 6100),
                _ => Done,
            };
            let expected = match expected {
                // Two reserves are refreshed less where they are the same.
                Custom(_, number) => Custom(4, number),
                other => other,
            };
            twins.case(
                &format!("{debt} for {collateral}, {what}"),
                expected,
                |bed| {
                    bed.equip_liquidator(debt, collateral, 1_000_000 * LAMPORTS);
                    bed.scale_prices(&[0, 52], 68, 100);
                    bed.patch(SOL, reserve::THRESHOLD_PCT, &[thresholds.0]);
                    bed.patch(JITOSOL, reserve::THRESHOLD_PCT, &[thresholds.1]);
                    patch_u64(bed, SOL, reserve::BORROW_FACTOR_PCT, 100);
                    patch_u64(bed, USDC, reserve::BORROW_FACTOR_PCT, factor);
                    patch_u64(bed, &MARKET, market::SKIP_LTV_CHECKS, skip);
                    patch_u64(bed, &MARKET, market::SKIP_BF_CHECKS, skip);
                },
                |bed| liquidate_pair(bed, debt, collateral, u64::MAX),
            );
        }
    }
    // The same mint on both sides, one account for both.
    twins.case(
        "same mint, one account",
        Done,
        |bed| {
            bed.equip_liquidator(SOL, SOL, 1_000 * LAMPORTS);
            bed.scale_prices(&[0, 52], 68, 100);
            bed.patch(SOL, reserve::THRESHOLD_PCT, &[50]);
        },
        |bed| liquidate_pair(bed, SOL, SOL, 5 * LAMPORTS),
    );
    twins.finish();
}

#[test]
fn elevation_groups() {
    let Some(mut twins) = Twins::new() else {
        return;
    };
    const GROUP: u8 = 5;
    let configure = |bed: &mut Bed| {
        let group = market::GROUPS + market::GROUP_LEN * usize::from(GROUP - 1);
        // Bonus 200 bps, LTV 85, threshold 90, new loans, two collaterals.
        bed.patch(&MARKET, group, &[200, 0, GROUP, 85, 90, 1, 2, 0]);
        bed.patch(&MARKET, group + 8, USDC.as_ref());
        for reserve in [USDC, SOL, JITOSOL] {
            bed.patch(reserve, reserve::GROUPS + 10, &[GROUP]);
            let limit = reserve::LIMITS_IN_GROUPS + 8 * usize::from(GROUP - 1);
            patch_u64(bed, reserve, limit, u64::MAX);
        }
    };
    twins.both(configure);
    twins.open(SOL, 1_000 * LAMPORTS);
    let request = |group: u8| {
        move |bed: &Bed| {
            let mut all = bed.refresh_all(&[]);
            all.push(bed.request_group(group));
            all
        }
    };
    twins.case("group that does not exist", Custom(2, 6069), |_| (), request(31));
    twins.case("group zero while in none", Custom(2, 6083), |_| (), request(0));
    twins.case(
        "reserve outside the group",
        Custom(2, 6068),
        |bed| bed.patch(SOL, reserve::GROUPS, &[0; 20]),
        request(GROUP),
    );
    twins.send("enter the group", Done, request(GROUP));
    twins.case("already in it", Custom(2, 6083), |_| (), request(GROUP));
    twins.case("leave it again", Done, |_| (), request(0));
    // Collateral that comes after the debt.
    let mut late = twins.clone();
    late.borrow(USDC, 100_000 * USDC_UNITS);
    late.both(|bed| {
        bed.warp(77);
        bed.restamp_prices();
    });
    late.deposit(JITOSOL, 100 * LAMPORTS);
    late.send("interest after a late collateral", Done, |bed| bed.refresh_all(&[]));
    twins.failures.append(&mut late.failures);

    twins.deposit(JITOSOL, 100 * LAMPORTS);
    twins.both(|bed| {
        let owner = bed.owner_key();
        let mint = bed.reserve(SOL).liquidity.mint_pubkey;
        bed.fund(&owner, &mint, LAMPORTS);
    });
    twins.case(
        "another debt than the group's",
        Custom(3, 6104),
        |bed| bed.patch(SOL, reserve::UTILIZATION_LIMIT, &[0]),
        |bed| borrow(bed, SOL, LAMPORTS),
    );
    twins.case(
        "above the group's limit",
        Custom(4, 6101),
        |bed| {
            let owner = bed.owner_key();
            let mint = bed.reserve(USDC).liquidity.mint_pubkey;
            bed.fund(&owner, &mint, 0);
            let limit = reserve::LIMITS_IN_GROUPS + 8 * usize::from(GROUP - 1);
            patch_u64(bed, JITOSOL, limit, 1_000);
        },
        |bed| borrow(bed, USDC, 120_000 * USDC_UNITS),
    );
    twins.case(
        "no new loans",
        Custom(4, 6072),
        |bed| {
            let owner = bed.owner_key();
            let mint = bed.reserve(USDC).liquidity.mint_pubkey;
            bed.fund(&owner, &mint, 0);
            let group = market::GROUPS + market::GROUP_LEN * usize::from(GROUP - 1);
            bed.patch(&MARKET, group + 5, &[0]);
        },
        |bed| borrow(bed, USDC, 120_000 * USDC_UNITS),
    );
    twins.borrow(USDC, 150_000 * USDC_UNITS);
    twins.both(|bed| {
        bed.warp(1_000);
        bed.restamp_prices();
    });
    twins.send("interest in the group", Done, |bed| bed.refresh_all(&[]));
    twins.both(|bed| bed.warp(33));
    twins.send("more interest in the group", Done, |bed| bed.refresh_all(&[]));
    twins.case("more debt", Done, |_| (), |bed| borrow(bed, USDC, 1_000 * USDC_UNITS));
    twins.case("more of a collateral", Done, |_| (), |bed| deposit(bed, SOL, LAMPORTS));
    twins.both(|bed| {
        bed.restamp_prices();
        bed.scale_prices(&[0, 52], 82, 100);
    });
    for collateral in [SOL, JITOSOL] {
        twins.both(|bed| bed.equip_liquidator(USDC, collateral, 200_000 * USDC_UNITS));
        for cap in [7, 1_000_003, u64::MAX] {
            twins.case(
                &format!("{cap} for {collateral}"),
                Done,
                |_| (),
                |bed| liquidate_pair(bed, USDC, collateral, cap),
            );
        }
    }
    twins.case(
        "no reserves at the end",
        Custom(4, 6006),
        |_| (),
        |bed| {
            let mut all = liquidate_pair(bed, USDC, SOL, USDC_UNITS);
            all[4].accounts.truncate(25);
            all
        },
    );
    twins.case(
        "reserves at the end swapped",
        Custom(4, 2502),
        |_| (),
        |bed| {
            let mut all = liquidate_pair(bed, USDC, SOL, USDC_UNITS);
            all[4].accounts.swap(25, 26);
            all
        },
    );
    twins.case(
        "one reserve more at the end",
        Done,
        |_| (),
        |bed| {
            let mut all = liquidate_pair(bed, USDC, SOL, USDC_UNITS);
            all[4].accounts.push(writable(*USDC));
            all
        },
    );
    for (what, bonus) in [("bonus above the reserves'", 2_000u16), ("bonus zero", 0)] {
        twins.case(
            what,
            Done,
            |bed| {
                let group = market::GROUPS + market::GROUP_LEN * usize::from(GROUP - 1);
                bed.patch(&MARKET, group, &bonus.to_le_bytes());
            },
            |bed| liquidate_pair(bed, USDC, SOL, u64::MAX),
        );
    }
    twins.case(
        "debt reserve replaced",
        Custom(3, 6104),
        |bed| {
            let group = market::GROUPS + market::GROUP_LEN * usize::from(GROUP - 1);
            bed.patch(&MARKET, group + 8, &[8; 32]);
        },
        |bed| liquidate_pair(bed, USDC, SOL, u64::MAX),
    );
    twins.both(|bed| bed.equip_liquidator(USDC, SOL, 200_000 * USDC_UNITS));
    let mut ageing = twins.clone();
    for slots in [0, 5, 0, 3, 1_000] {
        ageing.both(|bed| {
            bed.warp(slots);
            bed.restamp_prices();
        });
        ageing.agree("liquidated again and again", |bed| {
            liquidate_pair(bed, USDC, SOL, 1_234_567_891)
        });
    }
    twins.failures.append(&mut ageing.failures);
    twins.case(
        "collateral emptied",
        Done,
        |bed| bed.scale_prices(&[0, 52], 40, 100),
        |bed| liquidate_pair(bed, USDC, JITOSOL, u64::MAX),
    );
    twins.finish();
}

#[test]
fn the_first_liquidation_instruction() {
    let Some(mut twins) = Twins::underwater() else {
        return;
    };
    fn complete(bed: &Bed) -> Vec<Instruction> {
        vec![
            bed.refresh_reserve(SOL),
            bed.refresh_reserve(USDC),
            bed.refresh_obligation(),
            bed.refresh_farm(SOL, 0),
            bed.liquidate_v1(USDC, SOL, USDC_UNITS),
            bed.refresh_farm(SOL, 0),
        ]
    }
    let build = |build: fn(&Bed) -> Vec<Instruction>| build;
    for (what, expected, build) in [
        ("complete", Done, build(complete)),
        (
            "reserves swapped",
            Custom(4, 2502),
            build(|bed| {
                let mut all = complete(bed);
                all.swap(0, 1);
                all
            }),
        ),
        (
            "no farm refresh after",
            Custom(4, 6051),
            build(|bed| {
                let mut all = complete(bed);
                all.pop();
                all
            }),
        ),
        (
            "no farm refresh before",
            Custom(3, 6051),
            build(|bed| {
                let mut all = complete(bed);
                all.remove(3);
                all
            }),
        ),
        (
            "no obligation refresh",
            Custom(3, 6051),
            build(|bed| {
                let mut all = complete(bed);
                all.remove(2);
                all
            }),
        ),
        (
            "alone",
            Failed(0, InstructionError::ProgramFailedToComplete),
            build(|bed| vec![bed.liquidate_v1(USDC, SOL, USDC_UNITS)]),
        ),
        (
            "another mode",
            Custom(5, 6050),
            build(|bed| {
                let mut all = complete(bed);
                all[5].data[8] = 1;
                all
            }),
        ),
        (
            "another program between",
            Custom(5, 2502),
            build(|bed| {
                let mut all = complete(bed);
                let mut foreign = bed.refresh_obligation();
                foreign.program_id = klend_interface::SYSTEM_PROGRAM_ID;
                foreign.accounts.clear();
                foreign.data = [&[2u8, 0, 0, 0][..], &[0; 8]].concat();
                foreign.accounts = vec![
                    solana_instruction_v2::AccountMeta::new(bed.payer_key(), true),
                    writable(bed.owner_key()),
                ];
                all.insert(4, foreign);
                all
            }),
        ),
    ] {
        twins.case(what, expected, |_| (), build);
    }
    twins.finish();
}

/// Only the instructions that klend closes to other programs refuse them.
#[test]
fn calls_from_another_program() {
    let Some(mut twins) = Twins::underwater() else {
        return;
    };
    let liquidation = |bed: &Bed| {
        let mut all = bed.refresh_all(&[]);
        all.push(through_another_program(bed.liquidate(USDC, SOL, 1_000 * USDC_UNITS, 0)));
        all
    };
    twins.case("liquidate v2", Done, |_| (), liquidation);
    let refreshes = |bed: &Bed| {
        let mut all: Vec<_> =
            bed.refresh_all(&[]).into_iter().map(through_another_program).collect();
        all.push(bed.liquidate(USDC, SOL, 1_000 * USDC_UNITS, 0));
        all
    };
    twins.case("refreshes", Done, |bed| bed.warp(1), refreshes);
    let first_version = |bed: &Bed| {
        vec![
            bed.refresh_reserve(SOL),
            bed.refresh_reserve(USDC),
            bed.refresh_obligation(),
            bed.refresh_farm(SOL, 0),
            through_another_program(bed.liquidate_v1(USDC, SOL, USDC_UNITS)),
            bed.refresh_farm(SOL, 0),
        ]
    };
    twins.case("liquidate v1", Custom(4, 6080), |_| (), first_version);
    for (what, borrow_by_cpi, repay_by_cpi, expected) in [
        ("flash borrow", true, false, Custom(0, 6031)),
        ("flash repay", false, true, Custom(0, 6032)),
        ("both halves", true, true, Custom(0, 6031)),
    ] {
        twins.case(
            what,
            expected,
            |_| (),
            |bed| {
                let wrap = |instruction, wrap| match wrap {
                    true => through_another_program(instruction),
                    false => instruction,
                };
                vec![
                    wrap(bed.flash_borrow(USDC, USDC_UNITS), borrow_by_cpi),
                    wrap(bed.flash_repay(USDC, USDC_UNITS, 0), repay_by_cpi),
                ]
            },
        );
    }
    twins.case(
        "flash repay alone",
        Custom(0, 6034),
        |_| (),
        |bed| vec![through_another_program(bed.flash_repay(USDC, USDC_UNITS, 0))],
    );
    twins.finish();
}

/// Token-2022 extensions of the mint and of the borrower's account.
#[test]
fn token_2022() {
    let Some(mut twins) = Twins::new() else {
        return;
    };
    const LOAN: u64 = 3 * LAMPORTS;
    let prepare = |bed: &mut Bed, mint: &[(u16, Vec<u8>)], account: &[(u16, Vec<u8>)]| {
        bed.make_token_2022(JITOSOL, mint);
        let liquidator = bed.liquidator_key();
        let mint = bed.reserve(JITOSOL).liquidity.mint_pubkey;
        let at = bed.fund(&liquidator, &mint, LAMPORTS);
        bed.add_extensions(&at, 2, account);
    };
    let pair = |bed: &Bed| vec![bed.flash_borrow(JITOSOL, LOAN), bed.flash_repay(JITOSOL, LOAN, 0)];
    let refused = || Custom(0, 6108);
    let fee_config = |older: u16, newer: u16| {
        let mut data = vec![0; 108];
        data[88..90].copy_from_slice(&older.to_le_bytes());
        data[106..108].copy_from_slice(&newer.to_le_bytes());
        data
    };
    let hook = |program: u8| [vec![0; 32], vec![program; 32]].concat();
    let auto_approve = |value: u8| [vec![0; 32], vec![value], vec![0; 32]].concat();
    let fee_amount = (2, vec![0; 8]);
    let hook_account = (15, vec![0]);
    let pausable_account = (27, vec![]);
    for (what, expected, mint, account) in [
        ("plain", Done, vec![], vec![]),
        ("no fee", Done, vec![(1, fee_config(0, 0))], vec![fee_amount.clone()]),
        ("older fee", refused(), vec![(1, fee_config(1, 0))], vec![fee_amount.clone()]),
        ("newer fee", refused(), vec![(1, fee_config(0, 1))], vec![fee_amount]),
        ("close authority", Done, vec![(3, vec![5; 32])], vec![]),
        ("confidential", Done, vec![(4, auto_approve(0))], vec![]),
        ("confidential, automatic", refused(), vec![(4, auto_approve(1))], vec![]),
        ("default state initialised", Done, vec![(6, vec![1])], vec![]),
        ("default state frozen", Done, vec![(6, vec![2])], vec![]),
        ("non-transferable", refused(), vec![(9, vec![])], vec![]),
        ("interest-bearing", refused(), vec![(10, vec![0; 52])], vec![]),
        ("permanent delegate", Done, vec![(12, vec![5; 32])], vec![]),
        ("hook unset", Done, vec![(14, hook(0))], vec![hook_account.clone()]),
        ("hook set", refused(), vec![(14, hook(5))], vec![hook_account]),
        ("metadata pointer", Done, vec![(18, vec![0; 64])], vec![]),
        ("group pointer", refused(), vec![(20, vec![0; 64])], vec![]),
        ("member pointer", refused(), vec![(22, vec![0; 64])], vec![]),
        ("scaled amount", Done, vec![(25, scaled_amount())], vec![]),
        ("pausable", Done, vec![(26, vec![0; 33])], vec![pausable_account.clone()]),
        ("paused", refused(), vec![(26, [vec![0; 32], vec![1]].concat())], vec![pausable_account]),
        (
            "unknown",
            Failed(0, InstructionError::InvalidAccountData),
            vec![(99, vec![0; 4])],
            vec![],
        ),
        ("account: immutable owner", Done, vec![], vec![(7, vec![])]),
        ("account: memo", refused(), vec![], vec![(8, vec![0])]),
        ("account: guard", refused(), vec![], vec![(11, vec![0])]),
    ] {
        twins.case(what, expected, |bed| prepare(bed, &mint, &account), pair);
    }
    twins.case(
        "another token program than the mint's",
        Custom(0, 2022),
        |bed| prepare(bed, &[], &[]),
        |bed| {
            let mut pair = pair(bed);
            for half in &mut pair {
                half.accounts[11].pubkey = klend_interface::TOKEN_PROGRAM_ID;
            }
            pair
        },
    );
    // A whole position with Token-2022 debt.
    twins.both(|bed| {
        bed.patch(JITOSOL, reserve::UTILIZATION_LIMIT, &[0]);
        patch_u64(bed, JITOSOL, reserve::BORROW_FACTOR_PCT, 100);
    });
    twins.both(|bed| bed.make_token_2022(JITOSOL, &[(12, vec![5; 32])]));
    twins.open(SOL, 1_000 * LAMPORTS);
    twins.borrow(JITOSOL, 350 * LAMPORTS);
    twins.both(|bed| {
        bed.patch(SOL, reserve::THRESHOLD_PCT, &[40]);
        bed.equip_liquidator(JITOSOL, SOL, 1_000 * LAMPORTS);
    });
    for cap in [1, 50 * LAMPORTS, u64::MAX] {
        twins.case(
            &format!("Token-2022 debt, cap {cap}"),
            Done,
            |_| (),
            |bed| liquidate_pair(bed, JITOSOL, SOL, cap),
        );
    }
    twins.case(
        "guarded source of the repayment",
        Custom(3, 6108),
        |bed| {
            let mint = bed.reserve(JITOSOL).liquidity.mint_pubkey;
            let at = bed.wallet_account(&bed.liquidator_key(), &mint);
            bed.add_extensions(&at, 2, &[(11, vec![0])]);
        },
        |bed| liquidate_pair(bed, JITOSOL, SOL, LAMPORTS),
    );
    twins.finish();
}

/// A multiplier of one.
fn scaled_amount() -> Vec<u8> {
    [vec![0; 32], 1f64.to_le_bytes().to_vec(), vec![0; 8], 1f64.to_le_bytes().to_vec()].concat()
}

/// Many positions with arbitrary terms, prices and ages: whatever happens must
/// be what klend does, to the last byte. Needs the real program.
#[test]
fn arbitrary_positions() {
    let Some(mut twins) = Twins::new() else {
        return;
    };
    if twins.real.is_none() {
        return;
    }
    twins.open(SOL, 1_000 * LAMPORTS);
    twins.deposit(JITOSOL, 70 * LAMPORTS);
    twins.both(|bed| {
        for reserve in [SOL, USDC, JITOSOL] {
            bed.patch(reserve, reserve::UTILIZATION_LIMIT, &[0]);
        }
        bed.equip_liquidator(SOL, SOL, 1_000_000 * LAMPORTS);
        bed.equip_liquidator(USDC, JITOSOL, 1_000_000 * LAMPORTS);
        let owner = bed.owner_key();
        for reserve in [SOL, USDC, JITOSOL] {
            let mint = bed.reserve(reserve).liquidity.mint_pubkey;
            bed.fund(&owner, &mint, 10 * LAMPORTS);
        }
    });
    let mut random = Random(0x9e37_79b9_7f4a_7c15);
    let mut done = 0;
    let rounds = std::env::var("ROUNDS").ok().and_then(|rounds| rounds.parse().ok()).unwrap_or(300);
    for round in 0..rounds {
        let mut branch = twins.clone();
        let usdc = random.below(130_000 * USDC_UNITS) + 1;
        let sol = random.below(150 * LAMPORTS) + 1;
        let seed = random.next();
        branch.failures.clear();
        branch.agree(&format!("round {round}, first borrow"), |bed| borrow(bed, USDC, usdc));
        branch.agree(&format!("round {round}, second borrow"), |bed| borrow(bed, SOL, sol));
        branch.both(|bed| scramble(bed, Random(seed)));
        for _ in 0..3 {
            let debt = [USDC, SOL][random.index(2)];
            let collateral = [SOL, JITOSOL][random.index(2)];
            let cap = match random.index(4) {
                0 => u64::MAX,
                1 => random.below(1_000),
                _ => random.below(100_000 * USDC_UNITS),
            };
            // Now and then in the same slot.
            let slots = random.below(10_000) * random.below(3).min(1);
            branch.both(|bed| {
                bed.warp(slots);
                bed.restamp_prices();
            });
            branch.agree(&format!("round {round}, refresh"), |bed| bed.refresh_all(&[]));
            let outcome = branch.agree(&format!("round {round}, liquidation"), |bed| {
                liquidate_pair(bed, debt, collateral, cap)
            });
            done += u32::from(outcome == Some(Done));
        }
        twins.failures.append(&mut branch.failures);
    }
    assert!(done > rounds / 3, "only {done} liquidations took place");
    twins.finish();
}

/// Other terms and prices, the same on both sides for the same seed.
fn scramble(bed: &mut Bed, mut random: Random) {
    let percent = 30 + random.below(75);
    bed.scale_prices(&[0, 52], percent, 100);
    let other = 90 + random.below(20);
    bed.scale_prices(&[20, 62], other, 100);
    for reserve in [SOL, USDC, JITOSOL] {
        let threshold = [50, 60, 70, 75, 80][random.index(5)];
        bed.patch(reserve, reserve::THRESHOLD_PCT, &[threshold]);
        bed.patch(reserve, reserve::LIQUIDATION_FEE_PCT, &[random.below(101) as u8]);
        let min = random.below(600) as u16;
        let max = min + random.below(600) as u16;
        bed.patch(reserve, reserve::MIN_BONUS, &min.to_le_bytes());
        bed.patch(reserve, reserve::MAX_BONUS, &max.to_le_bytes());
        bed.patch(reserve, reserve::BAD_DEBT_BONUS, &(random.below(100) as u16).to_le_bytes());
        let factor = [100, 100, 100, 125, 150][random.index(5)];
        patch_u64(bed, reserve, reserve::BORROW_FACTOR_PCT, factor);
        bed.patch(reserve, reserve::HOST_FIXED_BPS, &(random.below(300) as u16).to_le_bytes());
    }
    bed.patch(&MARKET, market::CLOSE_FACTOR_PCT, &[5 + random.below(96) as u8]);
    bed.patch(&MARKET, market::INSOLVENCY_PCT, &[80 + random.below(21) as u8]);
    let at_once = [1_000, 50_000, 2_500_000][random.index(3)];
    patch_u64(bed, &MARKET, market::MAX_AT_ONCE, at_once);
    let small = [0, 2, 5_000][random.index(3)];
    patch_u64(bed, &MARKET, market::MIN_FULL, small);
}

/// A small deterministic generator (xorshift).
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    fn below(&mut self, bound: u64) -> u64 {
        self.next() % bound
    }

    fn index(&mut self, length: usize) -> usize {
        self.below(length as u64) as usize
    }
}

/// Something that is wrong with an instruction or its accounts.
struct Fault {
    name: &'static str,
    prepare: fn(&mut Bed),
    change: fn(&Bed, &mut Vec<Instruction>),
}

fn state_fault(name: &'static str, prepare: fn(&mut Bed)) -> Fault {
    Fault { name, prepare, change: |_, _| () }
}

fn call_fault(name: &'static str, change: fn(&Bed, &mut Vec<Instruction>)) -> Fault {
    Fault { name, prepare: |_| (), change }
}

/// Every pair of faults at once: which one is reported must be klend's choice,
/// so this needs the real program.
fn two_faults(twins: &mut Twins, faults: &[Fault], build: fn(&Bed) -> Vec<Instruction>) {
    if twins.real.is_none() {
        return;
    }
    for (index, first) in faults.iter().enumerate() {
        for second in &faults[index..] {
            let mut branch = twins.clone();
            branch.failures.clear();
            branch.both(first.prepare);
            branch.both(second.prepare);
            branch.agree(&format!("{} and {}", first.name, second.name), |bed| {
                let mut all = build(bed);
                (first.change)(bed, &mut all);
                (second.change)(bed, &mut all);
                all
            });
            twins.failures.append(&mut branch.failures);
        }
    }
}

fn last(all: &mut [Instruction]) -> &mut Instruction {
    all.last_mut().expect("an instruction")
}

#[test]
fn two_faults_of_a_liquidation() {
    let Some(mut twins) = Twins::underwater() else {
        return;
    };
    let faults = [
        state_fault("market stopped", |bed| bed.patch(&MARKET, market::EMERGENCY, &[1])),
        state_fault("old version", |bed| bed.patch(USDC, reserve::VERSION, &[0])),
        state_fault("obsolete", |bed| bed.patch(SOL, reserve::STATUS, &[1])),
        state_fault("threshold zero", |bed| bed.patch(SOL, reserve::THRESHOLD_PCT, &[0])),
        state_fault("debt's price blocked", |bed| {
            bed.patch(USDC, reserve::BLOCK_PRICE_USAGE, &[1]);
        }),
        state_fault("healthy", |bed| bed.scale_prices(&[0, 52], 2, 1)),
        state_fault("worthless collateral", |bed| bed.scale_prices(&[0, 52], 0, 1)),
        state_fault("worthless debt", |bed| bed.scale_prices(&[20, 62], 0, 1)),
        state_fault("small debt", |bed| patch_u64(bed, &MARKET, market::MIN_FULL, 1_000_000)),
        state_fault("poor liquidator", |bed| {
            let liquidator = bed.liquidator_key();
            let mint = bed.reserve(USDC).liquidity.mint_pubkey;
            bed.fund(&liquidator, &mint, 0);
        }),
        state_fault("collateral behind another", |bed| {
            let obligation = bed.obligation_key();
            patch_u64(bed, &obligation, 1176, 10);
            patch_u64(bed, &MARKET, market::SKIP_LTV_CHECKS, u64::MAX >> 8);
        }),
        call_fault("nothing offered", |_, all| last(all).data[8..16].fill(0)),
        call_fault("too much demanded", |_, all| last(all).data[16..24].fill(255)),
        call_fault("obligation stale", |_, all| {
            if all.len() == 4 {
                all.remove(2);
            }
        }),
        call_fault("not refreshed", |_, all| {
            let keep = all.pop().expect("an instruction");
            all.clear();
            all.push(keep);
        }),
        call_fault("farm accounts missing", |_, all| {
            last(all).accounts[20].pubkey = klend_interface::KLEND_PROGRAM_ID;
        }),
        call_fault("vault as source", |_, all| {
            last(all).accounts[13].pubkey = last(all).accounts[6].pubkey;
        }),
        call_fault("collateral as debt", |_, all| {
            for (to, from) in [(4, 7), (5, 8), (6, 11)] {
                last(all).accounts[to].pubkey = last(all).accounts[from].pubkey;
            }
        }),
        call_fault("debt as collateral", |bed, all| {
            let usdc = bed.reserve(USDC);
            let keys = [
                *USDC,
                usdc.liquidity.mint_pubkey,
                usdc.collateral.mint_pubkey,
                usdc.collateral.supply_vault,
                usdc.liquidity.supply_vault,
                usdc.liquidity.fee_vault,
            ];
            for (index, key) in keys.into_iter().enumerate() {
                last(all).accounts[7 + index].pubkey = key;
            }
        }),
    ];
    twins.both(|bed| {
        let owner = bed.owner_key();
        let mint = bed.reserve(SOL).liquidity.mint_pubkey;
        bed.fund(&owner, &mint, LAMPORTS);
    });
    twins.both(|bed| {
        bed.warp(2);
        bed.restamp_prices();
    });
    two_faults(&mut twins, &faults, |bed| liquidate(bed, 1_000 * USDC_UNITS));
    twins.finish();
}

#[test]
fn two_faults_of_a_borrow_or_a_deposit() {
    let Some(mut twins) = Twins::with_position() else {
        return;
    };
    twins.both(|bed| {
        let owner = bed.owner_key();
        let mint = bed.reserve(SOL).liquidity.mint_pubkey;
        bed.fund(&owner, &mint, 10 * LAMPORTS);
    });
    let amount: fn(&Bed, &mut Vec<Instruction>) = |_, all| last(all).data[8..16].fill(0);
    let huge: fn(&Bed, &mut Vec<Instruction>) = |_, all| last(all).data[8..15].fill(255);
    let stale: fn(&Bed, &mut Vec<Instruction>) = |_, all| drop(all.remove(1));
    let unrefreshed: fn(&Bed, &mut Vec<Instruction>) = |_, all| drop(all.remove(2));
    let stranger: fn(&Bed, &mut Vec<Instruction>) = |bed, all| {
        last(all).accounts[0].pubkey = bed.payer_key();
    };
    let borrow_faults = [
        state_fault("borrowing off", |bed| bed.patch(&MARKET, market::BORROW_DISABLED, &[1])),
        state_fault("old version", |bed| bed.patch(USDC, reserve::VERSION, &[0])),
        state_fault("obsolete", |bed| bed.patch(USDC, reserve::STATUS, &[1])),
        state_fault("price blocked", |bed| bed.patch(USDC, reserve::BLOCK_PRICE_USAGE, &[1])),
        state_fault("collateral's price blocked", |bed| {
            bed.patch(SOL, reserve::BLOCK_PRICE_USAGE, &[1]);
        }),
        state_fault("limit", |bed| patch_u64(bed, USDC, reserve::BORROW_LIMIT, 1)),
        state_fault("limit outside groups", |bed| {
            patch_u64(bed, USDC, reserve::LIMIT_OUTSIDE_GROUPS, 1);
        }),
        state_fault("utilisation", |bed| bed.patch(USDC, reserve::UTILIZATION_LIMIT, &[1])),
        state_fault("matured", |bed| patch_u64(bed, USDC, reserve::MATURITY, 1)),
        state_fault("term over", |bed| {
            patch_u64(bed, USDC, reserve::TERM, 10);
            let obligation = bed.obligation_key();
            patch_u64(bed, &obligation, obligation::LAST_BORROWED, 100);
        }),
        state_fault("cap", |bed| {
            let cap = [1i64, 0, now(bed) as i64, 1_000].map(i64::to_le_bytes).concat();
            bed.patch(USDC, reserve::DEBT_CAP, &cap);
        }),
        state_fault("queue", |bed| {
            let all = bed.reserve(USDC).collateral.mint_total_supply;
            patch_u64(bed, USDC, reserve::QUEUED, all);
        }),
        state_fault("global limit", |bed| patch_u64(bed, &MARKET, market::GLOBAL_ALLOWED, 1)),
        state_fault("worthless collateral", |bed| bed.scale_prices(&[0, 52], 0, 1)),
        call_fault("nothing", amount),
        call_fault("too much", huge),
        call_fault("reserve stale", stale),
        call_fault("obligation stale", unrefreshed),
        call_fault("stranger", stranger),
    ];
    twins.both(|bed| {
        bed.warp(1);
        bed.restamp_prices();
    });
    two_faults(&mut twins, &borrow_faults, |bed| borrow(bed, USDC, USDC_UNITS));
    let deposit_faults = [
        state_fault("old version", |bed| bed.patch(SOL, reserve::VERSION, &[0])),
        state_fault("obsolete", |bed| bed.patch(SOL, reserve::STATUS, &[1])),
        state_fault("limit", |bed| patch_u64(bed, SOL, reserve::DEPOSIT_LIMIT, 1)),
        state_fault("cap", |bed| {
            let cap = [1i64, 0, now(bed) as i64 + 5, 1_000].map(i64::to_le_bytes).concat();
            bed.patch(SOL, reserve::DEPOSIT_CAP, &cap);
        }),
        state_fault("only in groups", |bed| {
            bed.patch(SOL, reserve::NO_COLLATERAL_OUTSIDE_GROUP, &[1]);
        }),
        call_fault("nothing", amount),
        call_fault("too much", huge),
        call_fault("reserve stale", |_, all| drop(all.remove(0))),
        call_fault("reserve stale, too", stale),
        call_fault("obligation stale", unrefreshed),
        call_fault("stranger", stranger),
        call_fault("no farm", |_, all| {
            last(all).accounts[14].pubkey = klend_interface::KLEND_PROGRAM_ID;
        }),
    ];
    two_faults(&mut twins, &deposit_faults, |bed| deposit(bed, SOL, LAMPORTS));
    twins.finish();
}

#[test]
fn two_faults_of_a_flash_loan() {
    let Some(mut twins) = Twins::new() else {
        return;
    };
    twins.both(|bed| {
        let liquidator = bed.liquidator_key();
        let mint = bed.reserve(USDC).liquidity.mint_pubkey;
        bed.fund(&liquidator, &mint, 10 * USDC_UNITS);
    });
    let faults = [
        state_fault("market stopped", |bed| bed.patch(&MARKET, market::EMERGENCY, &[1])),
        state_fault("old version", |bed| bed.patch(USDC, reserve::VERSION, &[0])),
        state_fault("obsolete", |bed| bed.patch(USDC, reserve::STATUS, &[1])),
        state_fault("disabled", |bed| patch_u64(bed, USDC, reserve::FLASH_FEE_SF, u64::MAX)),
        state_fault("guarded account", |bed| {
            bed.make_token_2022(USDC, &[(9, vec![])]);
            let liquidator = bed.liquidator_key();
            let mint = bed.reserve(USDC).liquidity.mint_pubkey;
            bed.fund(&liquidator, &mint, 10 * USDC_UNITS);
        }),
        state_fault("empty", |bed| patch_u64(bed, USDC, reserve::AVAILABLE, 0)),
        state_fault("poor borrower", |bed| {
            let liquidator = bed.liquidator_key();
            let mint = bed.reserve(USDC).liquidity.mint_pubkey;
            bed.fund(&liquidator, &mint, 0);
        }),
        call_fault("no repayment", |_, all| drop(all.pop())),
        call_fault("called by another program", |_, all| {
            all[0] = through_another_program(all[0].clone());
        }),
        call_fault("vault as destination", |_, all| {
            for half in all.iter_mut() {
                half.accounts[6].pubkey = half.accounts[5].pubkey;
            }
        }),
        call_fault("another amount", |_, all| last(all).data[8] ^= 1),
        call_fault("another index", |_, all| {
            if let Some(index) = last(all).data.get_mut(16) {
                *index += 1;
            }
        }),
        call_fault("no signature", |_, all| last(all).accounts[0].is_signer = false),
        call_fault("wrong authority", |bed, all| {
            for half in all.iter_mut() {
                half.accounts[1].pubkey = bed.payer_key();
            }
        }),
    ];
    two_faults(&mut twins, &faults, |bed| {
        vec![bed.flash_borrow(USDC, 2_000_000), bed.flash_repay(USDC, 2_000_000, 0)]
    });
    twins.finish();
}

/// Switches that only newer versions of klend have: what they stop is the
/// stand-in's assumption, so klend is not asked.
#[test]
fn newer_switches_fail_closed() {
    let Some(mut twins) = Twins::underwater() else {
        return;
    };
    twins.real = None;
    let liquidation = |bed: &Bed| liquidate(bed, 1_000 * USDC_UNITS);
    for (what, key, offset, value, expected) in [
        ("debt's reserve stopped", USDC, reserve::EMERGENCY, 1, Custom(1, 6175)),
        ("collateral's reserve stopped", SOL, reserve::EMERGENCY, 1, Custom(0, 6175)),
        ("market permissioned", &MARKET, market::PERMISSIONED, 4, Custom(3, 6183)),
        ("debt permissioned", USDC, reserve::PERMISSIONED, 4, Custom(3, 6183)),
        ("collateral permissioned", SOL, reserve::PERMISSIONED, 4, Custom(3, 6183)),
        ("deposits and borrows permissioned", &MARKET, market::PERMISSIONED, 3, Done),
    ] {
        twins.case(what, expected, |bed| bed.patch(key, offset, &[value]), liquidation);
    }
    twins.case(
        "flash loan of a stopped reserve",
        Custom(0, 6175),
        |bed| bed.patch(USDC, reserve::EMERGENCY, &[1]),
        |bed| vec![bed.flash_borrow(USDC, USDC_UNITS), bed.flash_repay(USDC, USDC_UNITS, 0)],
    );
    twins.finish();
}
