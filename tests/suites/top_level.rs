//! Collateral sold at top level: `liquidate` without a leg inside a bracket, a
//! router's own instructions behind it, then `settle`, then the repay. For
//! routers that nest too deep, or are too large, for a CPI.
//!
//! Runs on the stand-in klend, and on the real one with `KLEND_ELF` and
//! `FARMS_ELF` set.

use anchor_lang::{AnchorDeserialize, Discriminator};
use flash_liquidator::FlashLiquidatorError;
use flash_liquidator_client::{
    bracket::{Guard, GuardedFlash, Guards, Settled},
    budget::Format,
    compute_budget::{ComputeBudget, MAX_COMPUTE_UNITS},
    klend::{FlashLoan, ReserveAddresses},
    receiver::{self, Liquidated},
};
use flash_liquidator_tests::{Plan, Stage, router::Swap, stage::LOAN};
use klend_fork::{ForkError, Outcome, Pool};
use solana_address::Address;
use solana_hash::Hash;
use solana_instruction::Instruction;
use solana_signer::Signer;
use swap_stand_in::Variant;

/// What the liquidation itself may cost before anything is sold: the debt it
/// repays, at most the loan, and the fee.
const CONSENT: i64 = -(LOAN as i64) * 2;

/// A stage, what a liquidation there brings, and the keeper's token accounts.
struct Scene {
    stage: Stage,
    reserve: ReserveAddresses,
    /// Refreshes and `liquidate`, as they stand between borrow and repay.
    liquidation: Vec<Instruction>,
    /// Collateral that arrives, units.
    arrives: u64,
    sol: Address,
    usdc: Address,
}

impl Scene {
    fn new() -> Self {
        let mut stage = Stage::new();
        let mut rehearsal = stage.rehearsal();
        rehearsal.terms.min_profit = CONSENT;
        let plan = stage.plan(&rehearsal);
        let liquidation =
            plan.instructions[plan.borrow_index() + 1..=plan.liquidate_index()].to_vec();
        let reserve = stage.world.reserve_addresses(&stage.usdc).unwrap();
        let keeper = stage.keeper.pubkey();
        let (sol, usdc) =
            (stage.token_account(&keeper, &stage.sol), stage.token_account(&keeper, &stage.usdc));
        let arrives = rehearse(stage.clone(), &plan, &sol);
        Self { stage, reserve, liquidation, arrives, sol, usdc }
    }

    /// The keeper sells all that arrives, through the stage's pool, for USDC.
    fn sale(&self) -> Swap {
        Swap {
            keeper: self.stage.keeper.pubkey(),
            sold: self.stage.mint(&self.stage.sol),
            from: self.sol,
            to: self.usdc,
            amount: self.arrives,
        }
    }

    /// Units of USDC that the honest pool pays.
    fn proceeds(&self) -> u64 {
        let Pool { vaults: [sol, usdc], .. } = self.stage.pool;
        let (sol, usdc) = (self.stage.balance(&sol), self.stage.balance(&usdc));
        swap_stand_in::amount_out(self.arrives, sol, usdc, 30).unwrap()
    }

    /// The whole transaction around these instructions of a router.
    fn instructions(&self, router: &[Instruction], min_profit: i64) -> Vec<Instruction> {
        let guards = [Guard { account: self.sol, max_loss: 0 }];
        self.flash(Guards::These(&guards), router, min_profit).instructions().unwrap()
    }

    fn flash<'a>(
        &'a self,
        guards: Guards<'a>,
        router: &[Instruction],
        min_profit: i64,
    ) -> GuardedFlash<'a> {
        GuardedFlash {
            loan: FlashLoan {
                reserve: &self.reserve,
                borrower: self.stage.keeper.pubkey(),
                token_account: self.usdc,
                referrer: None,
            },
            amount: LOAN,
            min_profit,
            deadline_slot: self.stage.world.slot(),
            max_lamports_spent: 0,
            guards,
            compute_budget: ComputeBudget { unit_limit: Some(MAX_COMPUTE_UNITS), unit_price: 0 },
            setup: vec![],
            body: [self.liquidation.as_slice(), router].concat(),
        }
    }

    /// Sends it; checks the invariants.
    fn send(&mut self, router: &[Instruction], min_profit: i64) -> Result<Outcome, u32> {
        let instructions = self.instructions(router, min_profit);
        match self.stage.send(&instructions) {
            Ok(outcome) => Ok(outcome),
            Err(ForkError::Failed(failure)) => {
                Err(failure.custom_code().unwrap_or_else(|| panic!("{failure}")))
            }
            Err(error) => panic!("{error}"),
        }
    }
}

/// What the plan's liquidation leaves in `account`, when the keeper has the
/// tokens to repay the loan with.
fn rehearse(mut stage: Stage, plan: &Plan, account: &Address) -> u64 {
    let (keeper, usdc) = (stage.keeper.pubkey(), stage.usdc);
    stage.give(&keeper, &usdc, 2 * LOAN);
    stage.send(&plan.instructions).unwrap();
    stage.balance(account)
}

fn event<T: AnchorDeserialize + Discriminator>(outcome: &Outcome) -> T {
    outcome
        .data_of(&receiver::PROGRAM_ID)
        .find_map(|data| data.strip_prefix(T::DISCRIMINATOR))
        .map(|data| T::try_from_slice(data).unwrap())
        .expect("the event")
}

fn code(error: FlashLiquidatorError) -> Result<Outcome, u32> {
    Err(error.into())
}

#[test]
fn a_router_behind_the_liquidation_sells_what_arrived() {
    let mut scene = Scene::new();
    let proceeds = scene.proceeds();
    let sale = scene.sale().through(&scene.stage.pool, Variant::Honest, 0);
    let outcome = scene.send(&[sale], 1).unwrap();
    let liquidated: Liquidated = event(&outcome);
    let settled: Settled = event(&outcome);

    // The liquidation alone cost the debt it repaid; the sale made up for it.
    assert_eq!(liquidated.collateral_received, scene.arrives);
    assert_eq!((liquidated.collateral_sold, liquidated.swap_proceeds), (0, 0));
    let repaid = i64::try_from(liquidated.debt_repaid + liquidated.flash_fee).unwrap();
    assert_eq!(liquidated.profit, -repaid);
    assert_eq!(settled.profit, i64::try_from(proceeds).unwrap() - repaid);
    assert!(settled.profit > 0, "{}", settled.profit);
    assert_eq!((settled.flash_loan, settled.flash_fee), (LOAN, liquidated.flash_fee));
    assert_eq!((settled.debt_before, settled.min_profit), (LOAN, 1));

    // All of it was sold, and the profit is what the keeper is left with.
    assert_eq!(scene.stage.balance(&scene.sol), 0);
    let kept = scene.stage.balance(&scene.usdc);
    assert_eq!(i64::try_from(kept), Ok(settled.profit));
}

#[test]
fn a_route_of_several_instructions() {
    let mut scene = Scene::new();
    let keeper = scene.stage.keeper.pubkey();
    let jitosol = scene.stage.world.reserve_named("JITOSOL").unwrap();
    let middle = scene.stage.give(&keeper, &jitosol, 0);
    let world = &mut scene.stage.world;
    let first =
        world.create_pool_at_oracle_price(&scene.stage.sol, &jitosol, 100_000_000, 5).unwrap();
    let second =
        world.create_pool_at_oracle_price(&jitosol, &scene.stage.usdc, 100_000_000, 5).unwrap();
    let [pool_in, pool_out] = first.vaults.map(|vault| scene.stage.balance(&vault));
    let between = swap_stand_in::amount_out(scene.arrives, pool_in, pool_out, 5).unwrap();
    let router = [
        Swap { to: middle, ..scene.sale() }.through(&first, Variant::Honest, 0),
        Swap { sold: scene.stage.mint(&jitosol), from: middle, amount: between, ..scene.sale() }
            .through(&second, Variant::Honest, 0),
    ];
    let outcome = scene.send(&router, 1).unwrap();
    assert!(event::<Settled>(&outcome).profit > 0);
    assert_eq!(scene.stage.balance(&middle), 0);
}

#[test]
fn a_router_that_pays_too_little_is_undone() {
    let mut scene = Scene::new();
    let pool = scene.stage.pool;
    let honest = scene.sale().through(&pool, Variant::Honest, 0);
    let profit = {
        let mut copy = Scene::new();
        event::<Settled>(&copy.send(std::slice::from_ref(&honest), 0).unwrap()).profit
    };
    let refused = || code(FlashLiquidatorError::ProfitBelowMinimum);

    // To the unit: the least that is refused, and the least that is not.
    let less = |units: i64| {
        scene.sale().through(&pool, Variant::ReturnLess, u64::try_from(units).unwrap())
    };
    let (enough, too_little) = (less(profit), less(profit + 1));
    assert_eq!(scene.send(&[too_little], 0), refused());
    assert_eq!(scene.send(std::slice::from_ref(&honest), profit + 1), refused());
    assert_eq!(event::<Settled>(&scene.send(&[enough], 0).unwrap()).profit, 0);
}

#[test]
fn a_router_that_pays_nothing_or_somebody_else_is_undone() {
    let mut scene = Scene::new();
    let pool = scene.stage.pool;
    let thief = scene.stage.token_account(&scene.stage.thief.pubkey(), &scene.stage.usdc);
    // The keeper has tokens of its own: the loan could be repaid out of them.
    let (keeper, usdc) = (scene.stage.keeper.pubkey(), scene.stage.usdc);
    scene.stage.give(&keeper, &usdc, 10 * LOAN);
    for router in [
        vec![],
        vec![scene.sale().through(&pool, Variant::DoNothing, 0)],
        vec![scene.sale().through(&pool, Variant::ReturnNothing, 0)],
        vec![Swap { to: thief, ..scene.sale() }.through(&pool, Variant::Honest, 0)],
    ] {
        assert_eq!(scene.send(&router, 0), code(FlashLiquidatorError::ProfitBelowMinimum));
    }
}

#[test]
fn a_router_that_takes_the_keepers_own_collateral_is_undone() {
    let mut scene = Scene::new();
    let (keeper, sol) = (scene.stage.keeper.pubkey(), scene.stage.sol);
    scene.stage.give(&keeper, &sol, 1_000);
    let pool = scene.stage.pool;
    let takes = |units| scene.sale().through(&pool, Variant::TakeMore, units);
    let (one_more, none_more) = (takes(1), takes(0));
    assert_eq!(scene.send(&[one_more], 0), code(FlashLiquidatorError::GuardedBalanceBelowFloor));
    scene.send(&[none_more], 0).unwrap();
    assert_eq!(scene.stage.balance(&scene.sol), 1_000);
}

/// The builder's own message is what goes out, in either format.
#[test]
fn both_formats_carry_it() {
    let mut scene = Scene::new();
    let sale = scene.sale().through(&scene.stage.pool, Variant::Honest, 0);
    let instructions = scene.instructions(std::slice::from_ref(&sale), 1);
    let keeper = scene.stage.keeper.pubkey();
    let table = scene.stage.world.table_for(&instructions, &keeper).unwrap();
    let guards = [Guard { account: scene.sol, max_loss: 0 }];
    let flash = scene.flash(Guards::These(&guards), &[sale], 1);

    let (message, budget) = flash.compile_v0(&[table], Hash::default()).unwrap();
    let outcome = scene.stage.clone().send(&instructions).unwrap();
    assert_eq!((budget.format, budget.bytes), (Format::V0, outcome.bytes));
    assert_eq!(message.instructions().len(), instructions.len());
    println!("liquidate and a swap at top level: {} bytes, {} CU", budget.bytes, outcome.units);

    let (message, budget) = flash.compile_v1(Hash::default()).unwrap();
    assert_eq!((budget.format, budget.units), (Format::V1, MAX_COMPUTE_UNITS));
    // No instruction for the compute budget.
    assert_eq!(message.instructions().len(), instructions.len() - 1);
    let indexes = flash.flash_indexes(Format::V1).unwrap();
    assert_eq!(usize::from(indexes.repay), message.instructions().len() - 1);
    assert_eq!(indexes.borrow, 0);
}
