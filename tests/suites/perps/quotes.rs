//! What the client says a liquidation hands over, against what it hands over.

use super::*;
use drift_stand_in::state::{BEING_LIQUIDATED, Oracle, POSITION_BEING_LIQUIDATED, PerpPosition};

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
    let scene = rich();
    let us = scene.account;
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
            market.imf_factor = random.one_of(&[0, 450, 1_000]);
            market.insurance_fee = random.one_of(&[0, 5_000, 10_000]);
        });
        probe.edit::<SpotMarket>(&sol_key, |market| {
            market.asset_weight = random.one_of(&[[8_000, 9_000], [7_500, 8_000]]);
            market.imf_factor = random.one_of(&[0, 500]);
        });
        let high_leverage = real && random.below(4) == 0;
        let funding = if real { random.between(-2_000_000_000, 2_000_000_000) } else { 0 };
        if real {
            // Terms that the stand-in does not know.
            let mut perp = probe.world.account(&perp_key).unwrap();
            perp.data[608..624].copy_from_slice(&i128::from(funding).to_le_bytes());
            perp.data[624..640].copy_from_slice(&i128::from(funding).to_le_bytes());
            if high_leverage {
                perp.data[1_174..1_176].copy_from_slice(&200u16.to_le_bytes());
                perp.data[1_176..1_178].copy_from_slice(&120u16.to_le_bytes());
            }
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
        let usdc = (collateral - sol / 1_000 * (price / 1_000) / 1_000).max(2);
        let perp = PerpPosition { base, quote, market: SOL_PERP, ..PerpPosition::default() };
        probe.open_victim([usdc, sol], perp);
        let isolated = !with_sol && random.below(4) == 0;
        if isolated {
            probe.isolate();
        }
        if real {
            let key = probe.victim.address();
            let mut user = probe.world.account(&key).unwrap();
            let at = 424 + 96 * VICTIMS_POSITION;
            let settled_at = funding + random.between(-3_000_000, 3_000_000) * 1_000;
            user.data[at..at + 8].copy_from_slice(&settled_at.to_le_bytes());
            user.data[4_355] = high_leverage.into();
            probe.world.set_account(&key, user).unwrap();
        }
        probe.set_price(price);
        complete_average(&mut probe, price);
        probe.world.warp_slots(random.below(200));
        let slot = probe.world.slot();
        for oracle in [SOL_ORACLE, USDC_ORACLE] {
            probe.edit::<Oracle>(&oracle, |oracle| oracle.posted_slot = slot);
        }
        if random.below(3) == 0 {
            let freed = random.below(size.unsigned_abs() / 20 + 1);
            // The discount grows after 1,500 slots.
            let waited = random.one_of(&[0, 10, 75, 199, 1_600, 9_000]);
            let victim = probe.victim.address();
            probe.edit::<User>(&victim, |user| {
                if isolated {
                    user.perp[VICTIMS_POSITION].flag |= POSITION_BEING_LIQUIDATED;
                } else {
                    user.status = BEING_LIQUIDATED;
                }
                user.margin_freed = freed;
                user.last_active_slot = slot.saturating_sub(waited);
            });
        }

        let max_base = random.one_of(&[u64::MAX, base.unsigned_abs() / 2, step]);
        if max_base < step {
            continue;
        }
        let user = probe.user();
        let markets = probe.markets();
        let quote =
            probe.quoted(|view, state, slot| view.quote_perp(state, SOL_PERP, max_base, slot));
        let liquidate =
            perps::liquidate_perp(us, &user, &markets, SOL_PERP, max_base, None).unwrap();
        let sent = probe.world.send(&[liquidate], &[&probe.keeper]);
        case += 1;
        match quote {
            Ok(None) => {
                let is_open =
                    user.is_being_liquidated || user.perp(SOL_PERP).unwrap().is_being_liquidated;
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
    scene.edit::<PerpMarket>(&key, |market| market.average.price = price);
}

/// How much of the victim's position is gone.
fn moved_base(scene: &Scene, before: i64) -> u64 {
    let user: User = scene.read(&scene.victim.address());
    let after = user.perp.iter().find(|position| position.market == SOL_PERP && position.base != 0);
    before.abs_diff(after.map_or(0, |position| position.base))
}

/// A scene whose liquidator can back anything.
fn rich() -> Scene {
    let mut scene = Scene::new(Exchange::Drift, 0, 0, 0, 1);
    let mint = scene.reserve.liquidity_mint;
    let rich = 100_000_000 * USD as u64;
    scene.world.give(&scene.keeper.pubkey(), &mint, rich).unwrap();
    let deposit =
        perps::deposit(scene.account, &scene.markets(), USDC_MARKET, &scene.usdc, rich).unwrap();
    scene.world.send(&[deposit], &[&scene.keeper]).unwrap();
    scene
}

/// Units of a deposit (negative for a borrow) that somebody has.
fn units(scene: &Scene, of: perps::SubAccount, index: u16) -> i128 {
    let user: User = scene.read(&of.address());
    let market: SpotMarket = scene.read(&scene.exchange.spot_market(index));
    user.spot_positions().find(|position| position.market == index).map_or(0, |position| {
        let tokens = market.tokens(position.scaled_balance.into(), position.is_borrow);
        tokens.unwrap()
    })
}

/// What one of the two liquidations that hand over a deposit did, and how it was quoted.
struct HandedOver {
    quote: Result<Option<perps::ExchangeQuote>, PerpError>,
    sent: Sent,
    /// Units of the liability and of the deposit that are gone.
    liability: i128,
    asset: i128,
}

/// A thousand users with borrows or losses against deposits: below and above their
/// margin, at the beginning of a liquidation and in the middle of one.
fn deposits_are_quoted(seed: u64, case: impl Fn(&mut Scene, &mut Random) -> HandedOver) {
    const CASES: usize = 1_000;
    let mut random = Random(seed);
    let scene = rich();
    let state_key = scene.exchange.state();
    let [mut exact, mut within, mut nothing, mut healthy] = [0; 4];
    for number in 0..CASES {
        let mut probe = scene.clone_world();
        probe.edit::<State>(&state_key, |state| {
            state.margin_buffer = random.one_of(&[200, 100, 500]);
            state.initial_share = random.one_of(&[10_000, 2_000, 500]);
            state.duration_slots = random.one_of(&[150, 60, 0]);
        });
        for index in [USDC_MARKET, SOL_MARKET] {
            let key = probe.exchange.spot_market(index);
            probe.edit::<SpotMarket>(&key, |market| {
                market.liquidator_fee = random.one_of(&[50_000, 25_000, 10_000]);
                market.insurance_fee = random.one_of(&[0, 5_000, 20_000]);
                market.imf_factor = random.one_of(&[0, 500]);
            });
        }
        let HandedOver { quote, sent, liability, asset } = case(&mut probe, &mut random);
        match quote.unwrap_or_else(|error| panic!("case {number}: {error}")) {
            None => {
                match sent {
                    // A liquidation that had begun is over.
                    Ok(_) => assert_eq!((liability, asset), (0, 0)),
                    sent => assert_eq!(refusal(sent), theirs(&probe, Error::SufficientCollateral)),
                }
                healthy += 1;
            }
            Some(quote) => {
                sent.unwrap_or_else(|error| panic!("case {number}: {quote:?}: {error}"));
                let off = (quote.liability as i128 - liability).abs();
                let asset_off = (quote.asset as i128 - asset).abs();
                assert!(
                    off <= 1 && asset_off <= 1,
                    "case {number}: {liability} and {asset}, quoted {quote:?}"
                );
                exact += usize::from(off == 0 && asset_off == 0);
                within += usize::from(off != 0 || asset_off != 0);
                nothing += usize::from(quote.liability == 0);
            }
        }
    }
    println!(
        "{exact} to the unit, {within} within one ({nothing} of them nothing); {healthy} not \
         liquidatable"
    );
    assert!(healthy >= CASES / 10 && exact + within >= CASES / 4, "all sorts");
}

/// Perhaps a liquidation of the victim has begun.
fn perhaps_begun(probe: &mut Scene, random: &mut Random, debt: i64) {
    if random.below(3) != 0 {
        return;
    }
    let victim = probe.victim.address();
    let slot = probe.world.slot();
    let freed = random.below(debt.unsigned_abs() / 20 + 1);
    let waited = random.one_of(&[0, 10, 75, 199]);
    probe.edit::<User>(&victim, |user| {
        user.status = BEING_LIQUIDATED;
        user.margin_freed = freed;
        user.last_active_slot = slot.saturating_sub(waited);
    });
}

/// A deposit that backs between too little and enough.
fn deposit_for(random: &mut Random, debt: i64, price: i64) -> i64 {
    let worth = i128::from(debt) * i128::from(random.between(1_000, 1_350)) / 1_000;
    i64::try_from(worth * i128::from(SOL) / i128::from(price)).unwrap()
}

#[test]
fn borrows_are_quoted_to_the_unit() {
    deposits_are_quoted(0x5eed_0002, |probe, random| {
        let price = random.between(90 * USD, 210 * USD);
        probe.set_price(price);
        complete_average(probe, price);
        let debt = random.between(1_000, 50_000 * USD);
        let deposit = deposit_for(random, debt, price).max(1_000);
        // Dollars owed against SOL, or SOL against dollars.
        let (asset, liability) =
            random.one_of(&[(SOL_MARKET, USDC_MARKET), (USDC_MARKET, SOL_MARKET)]);
        let (usdc, sol) = if liability == USDC_MARKET {
            (-debt, deposit)
        } else {
            let worth = i128::from(deposit) * i128::from(price) / i128::from(SOL);
            let sol = i128::from(debt) * i128::from(SOL) / i128::from(price);
            (i64::try_from(worth).unwrap().max(10), -i64::try_from(sol).unwrap().max(10))
        };
        probe.open_victim([usdc, sol], PerpPosition::default());
        perhaps_begun(probe, random, debt);
        let most = random.one_of(&[u128::MAX, debt.unsigned_abs().into(), 1_000]);
        let (us, user, markets) = (probe.account, probe.user(), probe.markets());
        let quote =
            probe.quoted(|view, state, slot| view.quote_spot(state, asset, liability, most, slot));
        let liquidate =
            perps::liquidate_spot(us, &user, &markets, asset, liability, most, None).unwrap();
        // What the liquidator takes over: the insurance fund's part stays with the victim.
        let before = [units(probe, us, liability), units(probe, probe.victim, asset)];
        let sent = probe.world.send(&[liquidate], &[&probe.keeper]);
        let after = [units(probe, us, liability), units(probe, probe.victim, asset)];
        HandedOver { quote, sent, liability: before[0] - after[0], asset: before[1] - after[1] }
    });
}

#[test]
fn losses_are_quoted_to_the_unit() {
    deposits_are_quoted(0x5eed_0003, |probe, random| {
        let price = random.between(90 * USD, 210 * USD);
        probe.set_price(price);
        complete_average(probe, price);
        let lost = random.between(1_000, 50_000 * USD);
        let deposit = deposit_for(random, lost, price).max(1_000);
        let perp = PerpPosition { quote: -lost, market: SOL_PERP, ..PerpPosition::default() };
        probe.open_victim([0, deposit], perp);
        perhaps_begun(probe, random, lost);
        let most = random.one_of(&[u128::MAX, lost.unsigned_abs().into(), 1_000]);
        let (us, user, markets) = (probe.account, probe.user(), probe.markets());
        let quote = probe.quoted(|view, state, slot| {
            view.quote_pnl_for_deposit(state, SOL_PERP, SOL_MARKET, most, slot)
        });
        let liquidate = perps::liquidate_perp_pnl_for_deposit(
            us, &user, &markets, SOL_PERP, SOL_MARKET, most, None,
        )
        .unwrap();
        let before = units(probe, probe.victim, SOL_MARKET);
        let sent = probe.world.send(&[liquidate], &[&probe.keeper]);
        let left: User = probe.read(&probe.victim.address());
        let loss = left.perp.iter().find(|position| position.quote != 0);
        let quote_left = loss.map_or(0, |position| i128::from(position.quote));
        HandedOver {
            quote,
            sent,
            liability: i128::from(lost) + quote_left,
            asset: before - units(probe, probe.victim, SOL_MARKET),
        }
    });
}
