//! The keeper's own property as profit: lamports of its wrapped SOL that nobody has
//! synchronised, and what others pay into its debt account while foreign code runs.

use flash_liquidator::FlashLiquidatorError::*;
use flash_liquidator_tests::{Plan, Stage, plan::account::*};
use klend_fork::{Pool, Position, Rehearsal, TOKEN_PROGRAM_ID};
use solana_address::Address;
use solana_signer::Signer;
use spl_token_interface::instruction as token;
use swap_stand_in::Variant;

use crate::{
    adversarial::with_forward_leg,
    attack::{Sent, Stop::*, attacks},
    bracket::around,
};

attacks! {
    unsynchronised_lamports_as_profit: Ours(ProfitBelowMinimum),
    unsynchronised_lamports_as_profit_of_a_bracket: Ours(ProfitBelowMinimum),
    debt_account_synchronised_behind_swap_debt: Ours(DebtAccountChanged),
    proceeds_past_swap_debt: Ours(DebtAccountChanged),
}

/// Principal of the loan: 50 SOL.
const LOAN: u64 = 50_000_000_000;
/// What the swap keeps to itself, and what the keeper has that is not synchronised.
const WITHHELD: u64 = 5_000_000_000;

/// An obligation with SOL debt and USDC collateral, and a pool that buys it.
fn sol_debt(stage: &mut Stage) -> (Rehearsal, Pool) {
    let (sol, usdc) = (stage.sol, stage.usdc);
    let world = &mut stage.world;
    let borrower = world.actor("borrower of SOL");
    let price = world.price(&sol).expect("a price");
    let (deposits, debts) = ([(usdc, 50_000_000_000)], [(sol, 200_000_000_000)]);
    let position = Position::new(&deposits, &debts);
    let obligation = world.open_position(&borrower, &position).expect("a position");
    for percent in (105..200).step_by(5) {
        world.set_price(&sol, price.scaled(percent, 100).expect("a price")).expect("Scope");
        world.refresh(&obligation).expect("a refresh");
        if world.obligation(&obligation).expect("an obligation").is_liquidatable() {
            break;
        }
    }
    let pool = world.create_pool_at_oracle_price(&sol, &usdc, 100_000_000, 30).expect("two prices");
    let keeper = stage.keeper.pubkey();
    let rehearsal = Rehearsal::new(world, &keeper, &obligation, &sol, &usdc, LOAN)
        .and_then(|rehearsal| rehearsal.sell_through(world, &[pool]))
        .expect("the pool trades collateral for debt");
    (rehearsal, pool)
}

/// The keeper's wrapped SOL, with lamports in it that its amount does not know of.
fn unsynchronised(stage: &mut Stage) -> Address {
    let debt = stage.token_account(&stage.keeper.pubkey(), &stage.sol);
    let mut account = stage.account(&debt);
    account.lamports += WITHHELD;
    stage.put(&debt, account);
    debt
}

/// The pool keeps [`WITHHELD`] of the proceeds to itself.
fn underpaid(plan: Plan) -> Plan {
    let data = swap_stand_in::swap_data(Variant::ReturnLess, 0, 0, WITHHELD);
    plan.args(|args| args.legs[0].data = data)
}

fn unsynchronised_lamports_as_profit(stage: &mut Stage) -> Sent {
    let (rehearsal, _) = sol_debt(stage);
    let plan = underpaid(stage.plan(&rehearsal));
    let debt = unsynchronised(stage);
    // Nobody signs this.
    let sync = token::sync_native(&TOKEN_PROGRAM_ID, &debt).expect("an instruction");
    let plan = with_forward_leg(plan, &sync, &[]);
    stage.send(&plan.instructions)
}

fn unsynchronised_lamports_as_profit_of_a_bracket(stage: &mut Stage) -> Sent {
    let (mut rehearsal, _) = sol_debt(stage);
    rehearsal.terms.min_profit = i64::MIN;
    let plan = around(underpaid(stage.plan(&rehearsal)), &[]);
    let debt = unsynchronised(stage);
    let sync = token::sync_native(&TOKEN_PROGRAM_ID, &debt).expect("an instruction");
    stage.send(&plan.after_liquidate(sync).instructions)
}

fn debt_account_synchronised_behind_swap_debt(stage: &mut Stage) -> Sent {
    let (rehearsal, _) = sol_debt(stage);
    let rehearsal = rehearsal.pay_swap_authority(&mut stage.world).expect("a mint");
    let plan = stage.plan(&rehearsal);
    let debt = unsynchronised(stage);
    let sync = token::sync_native(&TOKEN_PROGRAM_ID, &debt).expect("an instruction");
    let plan = with_forward_leg(plan, &sync, &[]);
    stage.send(&plan.instructions)
}

/// What arrives there beside the route could be anybody's payment to the keeper.
fn proceeds_past_swap_debt(stage: &mut Stage) -> Sent {
    let mut plan = stage.sold_through_authority();
    let debt = stage.token_account(&stage.keeper.pubkey(), &stage.usdc);
    let liquidate = plan.liquidate();
    let swap_debt = liquidate.accounts[SWAP_DEBT].pubkey;
    for account in &mut liquidate.accounts[REMAINING..] {
        if account.pubkey == swap_debt {
            account.pubkey = debt;
        }
    }
    stage.send(&plan.instructions)
}

// --- what must work all the same --------------------------------------------------

#[test]
fn honest_sales_into_wrapped_sol_get_through() {
    for through_authority in [false, true] {
        let mut stage = Stage::new();
        let (mut rehearsal, _) = sol_debt(&mut stage);
        if through_authority {
            rehearsal = rehearsal.pay_swap_authority(&mut stage.world).unwrap();
        }
        let plan = stage.plan(&rehearsal);
        let debt = unsynchronised(&mut stage);
        let before = stage.account(&debt).lamports;
        stage.send(&around(plan, &[]).instructions).unwrap();
        assert!(stage.account(&debt).lamports > before);
    }
}
