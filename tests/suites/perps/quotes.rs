//! What the client says a liquidation hands over, against what it hands over.

use super::*;
use drift_stand_in::state::{BEING_LIQUIDATED, Oracle, PerpPosition};

/// Pseudo-random numbers, the same in every run.
struct Random(u64);

impl Random {
    fn below(&mut self, limit: u64) -> u64 {
        // xorshift64*
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        let number = self.0.wrapping_mul(0x2545_f491_4f6c_dd1d);
        ((u128::from(number) * u128::from(limit)) >> 64) as u64
    }

    fn between(&mut self, low: i64, high: i64) -> i64 {
        low + self.below(high.abs_diff(low) + 1) as i64
    }

    fn one_of<T: Copy>(&mut self, choices: &[T]) -> T {
        choices[self.below(choices.len() as u64) as usize]
    }
}

/// A thousand users: long and short, with deposits and borrows, below and above
/// their margin, at the beginning of a liquidation and in the middle of one, in
/// markets of all sorts.
#[test]
fn a_thousand_perp_liquidations_are_quoted_to_the_step() {
    let real = is_real(Exchange::Drift);
    let mut random = Random(0x5eed_0001);
    let mut scene = Scene::new(Exchange::Drift, 0, 0, 0, 1);
    // A liquidator that can back anything.
    let mint = scene.reserve.liquidity_mint;
    let rich = 100_000_000 * USD as u64;
    scene.world.give(&scene.keeper.pubkey(), &mint, rich).unwrap();
    let (us, markets) = (scene.account, scene.markets());
    let deposit = perps::deposit(us, &markets, USDC_MARKET, &scene.usdc, rich).unwrap();
    scene.world.send(&[deposit], &[&scene.keeper]).unwrap();
    let (state_key, perp_key) = (scene.exchange.state(), scene.exchange.perp_market(SOL_PERP));
    let sol_key = scene.exchange.spot_market(SOL_MARKET);

    let [mut exact, mut within, mut nothing, mut healthy, mut whole] = [0; 5];
    let mut case = 0;
    while case < 1_000 {
        let mut probe = scene.clone_world();
        let step = random.one_of(&[1_000_000u64, 10_000_000, 100_000_000]);
        let price = random.between(90 * USD, 210 * USD);
        probe.edit::<State>(&state_key, |state| {
            state.margin_buffer = random.one_of(&[200, 100, 500]);
            state.initial_share = random.one_of(&[10_000, 2_000, 500]);
            state.duration_slots = random.one_of(&[150, 60, 0]);
        });
        probe.edit::<PerpMarket>(&perp_key, |market| {
            market.step_size = step;
            market.liquidator_fee = random.one_of(&[10_000, 5_000, 25_000]);
            let maintenance = random.one_of(&[500, 300, 1_000]);
            market.margin_ratio = [2 * maintenance, maintenance];
            market.pnl_weight = [0, random.one_of(&[10_000, 9_500])];
        });
        probe.edit::<SpotMarket>(&sol_key, |market| {
            market.asset_weight = random.one_of(&[[8_000, 9_000], [7_500, 8_000]]);
        });
        if real {
            // Terms that the stand-in does not know.
            let mut perp = probe.world.account(&perp_key).unwrap();
            let imf = random.one_of(&[0u32, 450, 1_000]);
            perp.data[1_120..1_124].copy_from_slice(&imf.to_le_bytes());
            let insurance = random.one_of(&[0u32, 5_000, 10_000]);
            perp.data[1_132..1_136].copy_from_slice(&insurance.to_le_bytes());
            probe.world.set_account(&perp_key, perp).unwrap();
        }

        // A position that is some steps large, opened at some price, and collateral of
        // about what it takes.
        let steps = random.between(1, 1_000_000_000_000 / step as i64);
        let base = steps * step as i64 * random.one_of(&[1, -1]);
        let worth = i128::from(base) * i128::from(price) / 1_000_000_000;
        let moved = worth * i128::from(random.between(-200, 200)) / 1_000;
        let quote = i64::try_from(-worth + moved).unwrap();
        let size = worth.unsigned_abs() as i64;
        let collateral = size * random.between(0, 160) / 1_000 - moved.min(i128::from(size)) as i64;
        let with_sol = random.below(3) == 0;
        let sol = if with_sol { random.between(-20 * SOL, 60 * SOL) } else { 0 };
        let usdc = (collateral - sol / 1_000 * (price / 1_000) / 1_000).max(1);
        let perp = PerpPosition { base, quote, market: SOL_PERP, open_orders: 0 };
        probe.open_victim([usdc, sol], perp);
        probe.set_price(price);
        complete_average(&mut probe, price);
        probe.world.warp_slots(random.below(200));
        let slot = probe.world.slot();
        probe.edit::<Oracle>(&SOL_ORACLE, |oracle| oracle.posted_slot = slot);
        if random.below(3) == 0 {
            let freed = random.below(size.unsigned_abs() / 20 + 1);
            // The discount grows after 1,500 slots; not with the stand-in.
            let longest = if real { 1_600 } else { 1_400 };
            let waited = random.one_of(&[0, 10, 75, 199, longest]);
            let victim = probe.victim.address();
            probe.edit::<User>(&victim, |user| {
                user.status = BEING_LIQUIDATED;
                user.margin_freed = freed;
                user.last_active_slot = slot.saturating_sub(waited);
            });
        }

        let max_base = random.one_of(&[u64::MAX, base.unsigned_abs() / 2, step]);
        if max_base < step {
            continue;
        }
        let user = probe.user();
        let (markets, prices) = (probe.markets(), probe.prices());
        let view = perps::View { user: &user, markets: &markets, prices: &prices };
        let quote = view.quote_perp(&probe.state(), SOL_PERP, max_base, slot);
        let liquidate =
            perps::liquidate_perp(us, &user, &markets, SOL_PERP, max_base, None).unwrap();
        let sent = probe.world.send(&[liquidate], &[&probe.keeper]);
        case += 1;
        match quote {
            Ok(None) => {
                let is_open = user.is_being_liquidated;
                match sent {
                    Ok(_) if is_open => assert_eq!(moved_base(&probe, base), 0),
                    sent => {
                        let refused = refusal(sent);
                        assert_eq!(
                            refused,
                            theirs(&probe, Error::SufficientCollateral),
                            "{user:?}"
                        );
                    }
                }
                healthy += 1;
            }
            Ok(Some(quote)) => {
                if let Err(error) = sent {
                    panic!("case {case}: {quote:?} of {user:?}: {error}");
                }
                let handed_over = moved_base(&probe, base);
                let off = handed_over.abs_diff(quote.base);
                assert!(off <= step, "case {case}: {handed_over} of {quote:?}, {user:?}");
                exact += usize::from(off == 0);
                within += usize::from(off != 0);
                nothing += usize::from(handed_over == 0);
                whole += usize::from(handed_over == base.unsigned_abs());
            }
            Err(error) => panic!("case {case}: {error}, of {user:?}"),
        }
    }
    println!(
        "{case} accounts: {exact} handed over exactly what was quoted, {within} within one step \
         of it; {nothing} of them nothing, {whole} the whole position; {healthy} not liquidatable"
    );
    assert!(exact + within >= 250 && healthy >= 100, "all sorts");
}

fn complete_average(scene: &mut Scene, price: i64) {
    let key = scene.exchange.perp_market(SOL_PERP);
    scene.edit::<PerpMarket>(&key, |market| market.twap_5min = price);
}

/// How much of the victim's position is gone.
fn moved_base(scene: &Scene, before: i64) -> u64 {
    let user: User = scene.read(&scene.victim.address());
    let after = user.perp.iter().find(|position| position.market == SOL_PERP && position.base != 0);
    before.abs_diff(after.map_or(0, |position| position.base))
}
