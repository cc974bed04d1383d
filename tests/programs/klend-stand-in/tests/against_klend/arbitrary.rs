//! Positions and settings drawn at random.

use super::*;

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
