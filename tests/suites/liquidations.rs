//! What the receiver is for: liquidations that work, in every shape a keeper meets.
//!
//! Runs on the stand-in klend, and on the real one with `KLEND_ELF` and
//! `FARMS_ELF` set. Every successful transaction is held against the shared
//! invariants.

use std::path::Path;

use anchor_lang::{AnchorDeserialize, Discriminator};
use flash_liquidator_client::{
    flash_liquidation::Refresh,
    receiver::{self, Liquidated, Redemption},
};
use flash_liquidator_tests::{Plan, Scene, scene::DEEP};
use klend_fork::{ForkError, Outcome, Rehearsal, World};
use klend_model::constants::KLEND_PROGRAM_ID;

/// What a test expects of a scene's keeper.
trait Act {
    fn attempt(&mut self, rehearsal: &Rehearsal) -> Result<Vec<Liquidated>, ForkError>;
    fn liquidate(&mut self, rehearsal: &Rehearsal) -> Liquidated;
    fn expect_error(&mut self, rehearsal: &Rehearsal) -> u32;
}

impl Act for Scene {
    fn attempt(&mut self, rehearsal: &Rehearsal) -> Result<Vec<Liquidated>, ForkError> {
        let instructions = rehearsal.instructions(&self.world)?;
        self.send(&instructions).map(|outcome| events(&outcome))
    }

    /// Sends, and expects one event whose figures add up.
    fn liquidate(&mut self, rehearsal: &Rehearsal) -> Liquidated {
        let account = rehearsal.keeper_accounts.debt;
        let before = self.world.balance(&account).unwrap();
        let events = self.attempt(rehearsal).unwrap();
        let [event] = &events[..] else { panic!("{} events", events.len()) };
        let kept = i128::from(self.world.balance(&account).unwrap()) - i128::from(before);
        assert_eq!(kept, i128::from(event.profit), "the event's profit is what was kept");
        assert_eq!(event.flash_loan, rehearsal.flash_amount);
        assert!(event.debt_repaid > 0 && event.debt_repaid <= rehearsal.flash_amount);
        event.clone()
    }

    fn expect_error(&mut self, rehearsal: &Rehearsal) -> u32 {
        match self.attempt(rehearsal) {
            Err(ForkError::Failed(failure)) => failure.custom_code().expect("a program's error"),
            other => panic!("{other:?}"),
        }
    }
}

fn events(outcome: &Outcome) -> Vec<Liquidated> {
    outcome
        .data_of(&receiver::PROGRAM_ID)
        .filter_map(|data| data.strip_prefix(Liquidated::DISCRIMINATOR))
        .map(|data| Liquidated::try_from_slice(data).unwrap())
        .collect()
}

fn code(error: flash_liquidator::FlashLiquidatorError) -> u32 {
    error.into()
}

#[test]
fn every_pair_of_debt_and_collateral() {
    for (deposit, borrow, percent) in [
        (("SOL", 1_000), ("USDC", 110_000), 80),
        (("SOL", 1_000), ("PYUSD", 110_000), 80),
        (("JITOSOL", 1_000), ("USDC", 95_000), 75),
        (("JITOSOL", 1_000), ("PYUSD", 95_000), 75),
        (("USDC", 300_000), ("SOL", 900), 70),
        (("PYUSD", 300_000), ("SOL", 700), 55),
    ] {
        let mut scene = Scene::open(&[deposit], &[borrow], 0);
        scene.reprice(deposit.0, percent);
        let rehearsal = scene.rehearse_sale(borrow.0, deposit.0);
        let event = scene.liquidate(&rehearsal);
        assert!(event.profit > 0, "{} for {}: {}", deposit.0, borrow.0, event.profit);
        assert_eq!(event.collateral_sold, event.collateral_received);
        assert_eq!(event.ctokens_received, 0);
    }
}

#[test]
fn the_program_sells_what_arrived_even_when_the_pool_pays_the_swap_authority() {
    let mut scene = Scene::open(&[("SOL", 1_000)], &[("USDC", 110_000)], 0);
    scene.reprice("SOL", 80);
    let direct = scene.rehearse_sale("USDC", "SOL");
    let indirect = direct.clone().pay_swap_authority(&mut scene.world).unwrap();
    let mut copy = scene.clone();
    assert_eq!(scene.liquidate(&direct).profit, copy.liquidate(&indirect).profit);
}

#[test]
fn without_a_leg_the_collateral_stays_with_the_keeper() {
    let mut scene = Scene::open(&[("SOL", 1_000)], &[("USDC", 110_000)], 0);
    scene.reprice("SOL", 80);
    let mut rehearsal = scene.rehearse("USDC", "SOL");
    // The loan is repaid out of the keeper's own tokens, with its consent.
    let own = 200_000_000_000i64;
    scene.give_keeper("USDC", 200_000);
    assert_eq!(
        scene.expect_error(&rehearsal),
        code(flash_liquidator::FlashLiquidatorError::ProfitBelowMinimum)
    );
    rehearsal.terms.min_profit = -own;
    let event = scene.liquidate(&rehearsal);
    assert_eq!(
        i128::from(event.profit),
        -i128::from(event.debt_repaid) - i128::from(event.flash_fee)
    );
    let kept = scene.world.balance(&rehearsal.keeper_accounts.collateral).unwrap();
    assert_eq!(kept, event.collateral_received);
}

#[test]
fn two_collaterals_and_two_debts() {
    let mut scene =
        Scene::open(&[("SOL", 1_000), ("JITOSOL", 300)], &[("USDC", 80_000), ("PYUSD", 40_000)], 0);
    scene.reprice("SOL", 68);
    // klend wants the collateral with the lowest liquidation threshold first.
    let other = scene.rehearse_sale("USDC", "SOL");
    assert_eq!(scene.expect_error(&other), 6100);
    for debt in ["USDC", "PYUSD"] {
        let rehearsal = scene.rehearse_sale(debt, "JITOSOL");
        let mut copy = scene.clone();
        assert!(copy.liquidate(&rehearsal).profit > 0);
    }
}

#[test]
fn two_liquidations_share_one_loan() {
    let mut scene = Scene::open(&[("SOL", 1_000)], &[("USDC", 110_000)], 0);
    scene.reprice("SOL", 75);
    let mut rehearsal = scene.rehearse_sale("USDC", "SOL");
    rehearsal.terms.repay_amount = 3_000_000_000;
    rehearsal.flash_amount = 6_000_000_000;
    let plan = Plan::new(rehearsal.instructions(&scene.world).unwrap());
    let (borrow, liquidate) = (plan.borrow_index(), plan.liquidate_index());
    // Refresh and liquidate once more behind the first.
    let again: Vec<_> = plan.instructions[borrow + 1..=liquidate].to_vec();
    let mut plan = plan;
    for instruction in again.into_iter().rev() {
        plan = plan.after_liquidate(instruction);
    }
    let events = events(&scene.send(&plan.instructions).unwrap());
    let [first, second] = &events[..] else { panic!("{} events", events.len()) };
    assert_eq!((first.debt_repaid, second.debt_repaid), (3_000_000_000, 3_000_000_000));
    // Each covers the whole fee; the keeper keeps one of them.
    let kept = scene.world.balance(&rehearsal.keeper_accounts.debt).unwrap();
    assert_eq!(
        i128::from(kept),
        i128::from(first.profit) + i128::from(second.profit) + i128::from(first.flash_fee)
    );
}

#[test]
fn the_loan_may_come_from_another_market() {
    let mut scene = Scene::open(&[("SOL", 1_000)], &[("USDC", 110_000)], 0);
    scene.reprice("SOL", 80);
    let mut rehearsal = scene.rehearse_sale("USDC", "SOL");
    let main = scene.world.market().unwrap();
    let reserves = scene.world.reserves().unwrap();
    let usdc = scene.reserve("USDC");
    let mint = reserves[&usdc].liquidity.mint_pubkey;
    let (other, _) = reserves
        .iter()
        .find(|(_, reserve)| {
            reserve.liquidity.mint_pubkey == mint
                && *klend_model::keys::address(&reserve.lending_market) != main
        })
        .expect("a second market lends USDC");
    rehearsal.flash_reserve = *other;
    let event = scene.liquidate(&rehearsal);
    assert_eq!((event.flash_reserve, event.repay_reserve), (*other, usdc));
    assert!(event.profit > 0);
}

#[test]
fn a_partial_redemption_is_refused_unless_allowed() {
    let mut scene = Scene::open(&[("SOL", 1_000)], &[("USDC", 110_000)], 0);
    scene.reprice("SOL", 80);
    // The vault can pay out only a little.
    scene.drain_vault("SOL", 1_000_000_000);
    let mut rehearsal = scene.rehearse_sale("USDC", "SOL");
    assert_eq!(
        scene.expect_error(&rehearsal),
        code(flash_liquidator::FlashLiquidatorError::RedemptionIncomplete)
    );

    scene.give_keeper("USDC", 200_000);
    rehearsal.terms.redemption = Redemption::AllowPartial;
    rehearsal.terms.min_profit = i64::MIN;
    let event = scene.liquidate(&rehearsal);
    assert!(event.ctokens_received > 0, "cTokens are left over");
    assert!(event.collateral_received > 0 && event.collateral_received <= 1_000_000_000);
    let left = scene.world.balance(&rehearsal.keeper_accounts.ctoken).unwrap();
    assert_eq!(left, event.ctokens_received);
}

#[test]
fn debt_and_collateral_of_the_same_mint() {
    let mut scene = Scene::open(&[("SOL", 1_000)], &[("USDC", 110_000)], 0);
    // Worth some 119,800 USDC: an LTV just above the limit of 90 %.
    scene.move_deposit("USDC", 106_000_000_000);
    let rehearsal = scene.rehearse("USDC", "USDC");
    let event = scene.liquidate(&rehearsal);
    assert_eq!(event.debt_mint, event.collateral_mint);
    assert!(event.profit > 0, "{}", event.profit);
    assert_eq!(
        i128::from(event.profit),
        i128::from(event.collateral_received)
            - i128::from(event.debt_repaid)
            - i128::from(event.flash_fee)
    );
}

#[test]
fn bad_debt_costs_no_more_than_the_keeper_signed_for() {
    let mut scene = Scene::open(&[("SOL", 1_000)], &[("USDC", 110_000)], 0);
    scene.reprice("SOL", 60);
    scene.give_keeper("USDC", 200_000);
    // A poor price: the pool takes two per cent, more than the bad-debt bonus.
    let (sol, usdc) = (scene.reserve("SOL"), scene.reserve("USDC"));
    let pool = scene.world.create_pool_at_oracle_price(&sol, &usdc, DEEP, 200).unwrap();
    let mut rehearsal =
        scene.rehearse("USDC", "SOL").sell_through(&mut scene.world, &[pool]).unwrap();
    let refused = code(flash_liquidator::FlashLiquidatorError::ProfitBelowMinimum);
    assert_eq!(scene.expect_error(&rehearsal), refused);
    rehearsal.terms.min_profit = i64::MIN;
    let event = scene.clone().liquidate(&rehearsal);
    assert!(event.profit < 0, "{}", event.profit);
    rehearsal.terms.min_profit = event.profit + 1;
    assert_eq!(scene.expect_error(&rehearsal), refused);
    rehearsal.terms.min_profit = event.profit;
    assert_eq!(scene.liquidate(&rehearsal).profit, event.profit);
}

#[test]
fn a_small_debt_is_repaid_whole() {
    let mut scene = Scene::open(&[("SOL", 1)], &[("USDC", 100)], 0);
    scene.reprice("SOL", 70);
    let market = scene.world.market().unwrap();
    scene
        .world
        .edit_lending_market(&market, |market| market.min_full_liquidation_value_threshold = 500)
        .unwrap();
    let mut rehearsal = scene.rehearse_sale("USDC", "SOL");
    rehearsal.terms.repay_amount = 50_000_000;
    assert_eq!(scene.expect_error(&rehearsal), 6121);
    rehearsal.terms.repay_amount = u64::MAX;
    let event = scene.liquidate(&rehearsal);
    assert!(event.debt_repaid >= 100_000_000, "{}", event.debt_repaid);
    assert_eq!(scene.world.obligation(&scene.obligation).unwrap().has_debt, 0);
}

#[test]
fn a_route_through_an_intermediate_token() {
    let mut scene = Scene::open(&[("JITOSOL", 1_000)], &[("USDC", 95_000)], 0);
    scene.reprice("JITOSOL", 75);
    let pools = [scene.pool("JITOSOL", "SOL"), scene.pool("SOL", "USDC")];
    let rehearsal =
        scene.rehearse("USDC", "JITOSOL").sell_through(&mut scene.world, &pools).unwrap();
    let event = scene.liquidate(&rehearsal);
    assert!(event.profit > 0, "{}", event.profit);
    let [token] = &rehearsal.route.as_ref().unwrap().intermediates[..] else { panic!("one") };
    assert_eq!(scene.world.balance(&token.swap_account).unwrap(), 0);
}

#[test]
fn an_obligation_in_an_elevation_group() {
    // Group 4: SOL and JitoSOL against PYUSD.
    let mut scene = Scene::open(&[("SOL", 500), ("JITOSOL", 300)], &[("PYUSD", 110_000)], 4);
    scene.reprice_until_unhealthy("SOL");
    for collateral in ["SOL", "JITOSOL"] {
        let rehearsal = scene.rehearse_sale("PYUSD", collateral);
        let event = scene.clone().liquidate(&rehearsal);
        assert!(event.profit > 0, "{collateral}: {}", event.profit);
    }
}

#[test]
fn reserves_refreshed_one_by_one() {
    let mut scene = Scene::open(&[("SOL", 1_000)], &[("USDC", 110_000)], 0);
    scene.reprice("SOL", 80);
    scene.world.warp_slots(500);
    scene.world.restamp_prices().unwrap();
    let batch = scene.rehearse_sale("USDC", "SOL");
    let each = Rehearsal { refresh: Refresh::Each, ..batch.clone() };
    let mut copy = scene.clone();
    assert_eq!(scene.liquidate(&batch), copy.liquidate(&each));
}

/// klend appends to its accounts; everything is where it was.
#[test]
fn accounts_of_klend_may_be_longer_than_they_are_known() {
    let mut scene = Scene::open(&[("SOL", 1_000)], &[("USDC", 110_000)], 0);
    scene.reprice("SOL", 80);
    let rehearsal = scene.rehearse_sale("USDC", "SOL");
    let expected = scene.clone().liquidate(&rehearsal);
    for more in [1, 1_000] {
        let mut grown = scene.clone();
        for (key, mut account) in grown.world.svm().get_program_accounts(&KLEND_PROGRAM_ID) {
            account.data.resize(account.data.len() + more, 0xaa);
            account.lamports += 10_000_000;
            grown.world.set_account(&key, account).unwrap();
        }
        let rehearsal = grown.rehearse_sale("USDC", "SOL");
        assert_eq!(grown.liquidate(&rehearsal), expected, "{more} bytes more");
    }
}

#[test]
fn a_stake_in_the_farm_shrinks_with_the_collateral() {
    let mut scene = Scene::open(&[("SOL", 1_000)], &[("USDC", 110_000)], 0);
    let farm = scene.world.reserve_addresses(&scene.reserve("SOL")).unwrap().collateral_farm;
    assert!(farm.is_some(), "the built-in SOL reserve has a collateral farm");
    scene.reprice("SOL", 80);
    let rehearsal = scene.rehearse_sale("USDC", "SOL");
    let before = scene.world.obligation(&scene.obligation).unwrap().deposits[0].deposited_amount;
    scene.liquidate(&rehearsal);
    let after = scene.world.obligation(&scene.obligation).unwrap().deposits[0].deposited_amount;
    assert!(after < before);
}

/// The numbers that mainnet's klend returned on this snapshot; see its README.
#[test]
fn the_forked_main_market() {
    let folder =
        Path::new(env!("CARGO_MANIFEST_DIR")).join("../../shared/fork/main-market-2024-10-29");
    if !folder.is_dir() {
        eprintln!("no fork folder beside the checkout: the forked main market is not tested");
        return;
    }
    let world = World::from_folder(&folder).unwrap();
    let mut scene = Scene::open_in(world, &[("SOL", 1_000)], &[("USDC", 110_000)], 0);
    scene.reprice("SOL", 80);
    let usdc = scene.reserve("USDC");
    scene
        .world
        .edit_reserve(&usdc, |reserve| reserve.config.fees.flash_loan_fee_sf = 11_529_215_046_068)
        .unwrap();
    let mut rehearsal = scene.rehearse_sale("USDC", "SOL");
    rehearsal.flash_amount = 20_000_000_000;
    let event = scene.clone().liquidate(&rehearsal);
    assert_eq!(event.flash_fee, 200_000);
    assert_eq!(event.debt_repaid, 20_000_000_000);
    assert_eq!(event.collateral_received, 143_480_100_243);
    assert_eq!(event.protocol_fee, 3_499_514_641);

    rehearsal.terms.repay_amount = 5_000_000_000;
    let event = scene.liquidate(&rehearsal);
    assert_eq!(event.debt_repaid, 5_000_000_000);
    assert_eq!(event.collateral_received, 35_870_025_060);
}
