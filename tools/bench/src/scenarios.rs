//! Compute units and bytes of whole flash liquidations, against klend's own
//! instruction at top level and behind a program that only forwards it.

use std::fs;

use anchor_lang::AnchorDeserialize;
use anyhow::{Context, Result};
use flash_liquidator::{LiquidateArgs, klend as klend_numbers};
use flash_liquidator_client::{
    bracket::{Guard, GuardedFlash, Guards},
    compute_budget::{ComputeBudget, MAX_COMPUTE_UNITS},
    flash_liquidation::Refresh,
    klend::{self, FlashLoan},
    receiver::{self, Redemption},
};
use flash_liquidator_tests::{Plan, Scene, bank::CPI_FORWARDER, plan::account};
use indicatif::ProgressBar;
use klend_fork::{Outcome, Programs, Rehearsal, World, deploy_folder};
use serde::{Deserialize, Serialize};
use solana_address::Address;
use solana_instruction::{AccountMeta, Instruction};
use solana_signer::Signer;

use crate::stages::{self, Profile};

/// Instruction data of klend begins behind eight bytes that name the instruction, as ours.
const DISCRIMINATOR_LEN: usize = 8;

/// One flash liquidation, compute units unless told otherwise.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Scenario {
    /// What is liquidated, and how.
    pub name: String,
    /// klend's liquidate v2 at top level.
    pub direct: u64,
    /// The same behind a program that only forwards it.
    pub forwarded: u64,
    /// The receiver's `liquidate`, everything it calls included.
    pub liquidate: u64,
    /// What the swap programs called by it used themselves.
    pub swaps: u64,
    /// The whole transaction.
    pub transaction: u64,
    /// Bytes of the transaction: v0 with a lookup table.
    pub bytes: u64,
}

impl Scenario {
    /// What forwarding adds to klend's instruction, when nothing is done besides.
    pub fn floor(&self) -> u64 {
        self.forwarded.saturating_sub(self.direct)
    }

    /// What the receiver adds to klend's instruction, swap programs apart.
    pub fn overhead(&self) -> u64 {
        self.liquidate.saturating_sub(self.direct + self.swaps)
    }
}

/// `open` and `settle` around nothing.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Bracket {
    /// Token accounts guarded besides the debt account.
    pub guards: u64,
    /// Compute units of `open`.
    pub open: u64,
    /// Compute units of `settle`.
    pub settle: u64,
}

/// All that was measured with one klend.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Measured {
    /// Liquidations.
    pub scenarios: Vec<Scenario>,
    /// Brackets.
    pub brackets: Vec<Bracket>,
}

struct Case {
    name: &'static str,
    scene: Scene,
    rehearsal: Rehearsal,
}

/// Every way to liquidate that the test suite knows.
fn cases(programs: &Programs) -> Result<Vec<Case>> {
    let mut world = World::builtin_with(programs)?;
    let forwarder = deploy_folder().join("cpi_forwarder.so");
    let elf = fs::read(&forwarder)
        .with_context(|| format!("{}: run `cargo xtask build`", forwarder.display()))?;
    world.deploy(&CPI_FORWARDER, &elf)?;
    let open = |deposits: &[(&str, u64)], borrows: &[(&str, u64)], group| {
        Scene::open_in(world.clone(), deposits, borrows, group)
    };

    let mut cases = Vec::new();
    let mut add = |name, scene: &Scene, rehearsal| {
        cases.push(Case { name, scene: scene.clone(), rehearsal });
    };

    // One obligation, sold in every way.
    let mut scene = open(&[("SOL", 1_000)], &[("USDC", 110_000)], 0);
    scene.reprice("SOL", 80);
    let kept = scene.rehearse("USDC", "SOL");
    let one_leg = scene.rehearse_sale("USDC", "SOL");
    let via_authority = one_leg.clone().pay_swap_authority(&mut scene.world)?;
    let pools = [scene.pool("SOL", "JITOSOL"), scene.pool("JITOSOL", "USDC")];
    let two_legs = kept.clone().sell_through(&mut scene.world, &pools)?;
    let each = Rehearsal { refresh: Refresh::Each, ..one_leg.clone() };
    let main = scene.world.market()?;
    let usdc = scene.mint("USDC");
    let (other_market, _) = scene
        .world
        .reserves()?
        .into_iter()
        .find(|(_, reserve)| {
            *klend_model::keys::address(&reserve.liquidity.mint_pubkey) == usdc
                && *klend_model::keys::address(&reserve.lending_market) != main
        })
        .context("the built-in fork has a second USDC reserve")?;
    let other_loan = Rehearsal { flash_reserve: other_market, ..one_leg.clone() };
    add("SOL for USDC, kept", &scene, kept);
    add("SOL for USDC, one leg", &scene, one_leg);
    add("SOL for USDC, one leg that pays the swap authority", &scene, via_authority);
    add("SOL for USDC, two legs", &scene, two_legs);
    add("SOL for USDC, one leg, reserves refreshed one by one", &scene, each);
    add("SOL for USDC, one leg, loan from another market", &scene, other_loan);

    let mut short = open(&[("SOL", 1_000)], &[("USDC", 110_000)], 0);
    short.reprice("SOL", 80);
    short.drain_vault("SOL", 1_000_000_000);
    let mut partial = short.rehearse_sale("USDC", "SOL");
    partial.terms.redemption = Redemption::AllowPartial;
    add("SOL for USDC, one leg, redeemed in part", &short, partial);

    let mut bad = open(&[("SOL", 1_000)], &[("USDC", 110_000)], 0);
    bad.reprice("SOL", 60);
    let sale = bad.rehearse_sale("USDC", "SOL");
    add("SOL for USDC, one leg, bad debt", &bad, sale);

    let mut small = open(&[("SOL", 1)], &[("USDC", 100)], 0);
    small.reprice("SOL", 70);
    let market = small.world.market()?;
    small.world.edit_lending_market(&market, |market| {
        market.min_full_liquidation_value_threshold = 500;
    })?;
    let sale = small.rehearse_sale("USDC", "SOL");
    add("SOL for USDC, one leg, small debt repaid whole", &small, sale);

    // Other tokens, other obligations.
    for (name, deposit, debt, percent) in [
        ("SOL for PYUSD (Token-2022, debt farm), one leg", ("SOL", 1_000), ("PYUSD", 110_000), 80),
        ("PYUSD (Token-2022) for SOL, one leg", ("PYUSD", 300_000), ("SOL", 700), 55),
        ("JitoSOL for USDC (no farms), one leg", ("JITOSOL", 1_000), ("USDC", 95_000), 75),
    ] {
        let mut scene = open(&[deposit], &[debt], 0);
        scene.reprice(deposit.0, percent);
        let sale = scene.rehearse_sale(debt.0, deposit.0);
        add(name, &scene, sale);
    }
    let mut several =
        open(&[("SOL", 1_000), ("JITOSOL", 300)], &[("USDC", 80_000), ("PYUSD", 40_000)], 0);
    several.reprice("SOL", 68);
    let sale = several.rehearse_sale("USDC", "JITOSOL");
    add("JitoSOL for USDC, one leg, two collaterals and two debts", &several, sale);
    let mut group = open(&[("SOL", 500), ("JITOSOL", 300)], &[("PYUSD", 110_000)], 4);
    group.reprice_until_unhealthy("SOL");
    let sale = group.rehearse_sale("PYUSD", "SOL");
    add("SOL for PYUSD, one leg, elevation group with two collaterals", &group, sale);
    let mut same = open(&[("SOL", 1_000)], &[("USDC", 110_000)], 0);
    same.move_deposit("USDC", 106_000_000_000);
    let sale = same.rehearse("USDC", "USDC");
    add("USDC for USDC (same mint, nothing to sell)", &same, sale);
    Ok(cases)
}

/// Measures every case on these programs.
///
/// # Errors
/// When a program is not built, or a transaction fails.
pub fn measure(programs: &Programs, progress: &ProgressBar) -> Result<Measured> {
    let cases = cases(programs)?;
    progress.set_length(cases.len() as u64 + 1);
    let mut measured = Measured::default();
    for case in &cases {
        progress.set_message(case.name);
        measured.scenarios.push(case.measure().with_context(|| case.name.to_owned())?);
        progress.inc(1);
    }
    progress.set_message("open and settle");
    for guards in [0, 2] {
        measured.brackets.push(bracket(&cases[0].scene, guards)?.0);
    }
    progress.inc(1);
    Ok(measured)
}

/// Stages of the instructions, by a copy of the receiver that logs them.
///
/// # Errors
/// As [`measure`]; when the logging changes too much to be subtracted.
pub fn profile(programs: &Programs, logging_receiver: &[u8]) -> Result<Vec<Profile>> {
    let cases = cases(programs)?;
    let mut profiles = Vec::new();
    let names = ["no leg", "one leg", "one leg, via authority", "two legs"];
    for (name, case) in names.into_iter().zip(&cases) {
        let plan = case.plan()?;
        let logging = case.scene.with_receiver(logging_receiver)?;
        let plain = case.scene.run(&plan)?;
        let logged = logging.run(&plan)?;
        profiles.push(stages::profile(name, 0, &plain, &logged)?);
    }
    let (_, plain) = bracket(&cases[0].scene, 0)?;
    let (_, logged) = bracket(&cases[0].scene.with_receiver(logging_receiver)?, 0)?;
    for (number, name) in ["open", "settle"].into_iter().enumerate() {
        profiles.push(stages::profile(name, number, &plain, &logged)?);
    }
    Ok(profiles)
}

/// What another build of the receiver adds to klend's instruction, without a leg and
/// with one.
///
/// # Errors
/// As [`measure`].
pub fn overheads(programs: &Programs, receiver: &[u8]) -> Result<[u64; 2]> {
    let mut cases = cases(programs)?;
    let mut overhead = |position: usize| -> Result<u64> {
        let case = &mut cases[position];
        case.scene = case.scene.with_receiver(receiver)?;
        Ok(case.measure()?.overhead())
    };
    Ok([overhead(0)?, overhead(1)?])
}

impl Case {
    fn plan(&self) -> Result<Plan> {
        let mut rehearsal = self.rehearsal.clone();
        // The keeper brings what keeping the collateral costs.
        rehearsal.terms.min_profit = i64::MIN;
        Ok(Plan::new(rehearsal.instructions(&self.scene.world)?))
    }

    fn measure(&self) -> Result<Scenario> {
        let ours = self.plan()?;
        let position = ours.liquidate_index();
        let klends = klends_own(&ours.instructions[position], self.rehearsal.flash_amount)?;
        let mut forwarded = klends.clone();
        forwarded.accounts.push(AccountMeta::new_readonly(klend::PROGRAM_ID, false));
        forwarded.program_id = CPI_FORWARDER;
        let instead = |instruction| {
            let mut plan = ours.clone();
            plan.instructions[position] = instruction;
            plan
        };
        let units = |outcome: &Outcome| {
            outcome.instructions[position].units.context("no units were logged")
        };
        let direct = self.scene.run(&instead(klends))?;
        let forwarded = self.scene.run(&instead(forwarded))?;
        let outcome = self.scene.run(&ours)?;
        Ok(Scenario {
            name: self.name.to_owned(),
            direct: units(&direct)?,
            forwarded: units(&forwarded)?,
            liquidate: units(&outcome)?,
            swaps: units_of_calls(&outcome.logs, &swap_stand_in::ID),
            transaction: outcome.units,
            bytes: outcome.bytes as u64,
        })
    }
}

/// What the benchmark does with a scene.
trait Run {
    fn run(&self, plan: &Plan) -> Result<Outcome>;
    fn with_receiver(&self, elf: &[u8]) -> Result<Scene>;
}

impl Run for Scene {
    /// Sends the plan in a copy of the scene whose keeper has tokens of its own.
    fn run(&self, plan: &Plan) -> Result<Outcome> {
        let mut scene = self.clone();
        for symbol in ["USDC", "PYUSD", "SOL"] {
            scene.give_keeper(symbol, 1_000_000);
        }
        let table = scene.world.table_for(&plan.instructions, &scene.keeper.pubkey())?;
        Ok(scene.world.send_v0(&plan.instructions, &[&scene.keeper], &[table])?)
    }

    /// The scene with another build of the receiver.
    fn with_receiver(&self, elf: &[u8]) -> Result<Scene> {
        let mut scene = self.clone();
        scene.world.deploy(&receiver::PROGRAM_ID, elf)?;
        Ok(scene)
    }
}

/// klend's liquidate v2 as the receiver would call it: the beginning of the
/// receiver's accounts, and the deposit reserves.
fn klends_own(liquidate: &Instruction, principal: u64) -> Result<Instruction> {
    let args = LiquidateArgs::try_from_slice(&liquidate.data[DISCRIMINATOR_LEN..])
        .context("arguments of the liquidation")?;
    let deposits = account::REMAINING..account::REMAINING + usize::from(args.deposit_reserve_count);
    let mut accounts = liquidate.accounts[..klend_numbers::LIQUIDATE_V2_ACCOUNTS].to_vec();
    accounts.extend_from_slice(&liquidate.accounts[deposits]);
    let mut data = klend_numbers::LIQUIDATE_V2_DISCRIMINATOR.to_vec();
    for argument in [args.repay_amount.min(principal), 0, 0] {
        data.extend(argument.to_le_bytes());
    }
    Ok(Instruction { program_id: klend::PROGRAM_ID, accounts, data })
}

/// `open` and `settle` with nothing in between.
fn bracket(scene: &Scene, guards: usize) -> Result<(Bracket, Outcome)> {
    let reserve = scene.world.reserve_addresses(&scene.reserve("USDC"))?;
    let keeper = scene.keeper.pubkey();
    let account = |symbol| scene.world.token_account_address(&keeper, &scene.mint(symbol));
    let guarded =
        [account("SOL")?, account("PYUSD")?].map(|account| Guard { account, max_loss: 0 });
    let flash = GuardedFlash {
        loan: FlashLoan {
            reserve: &reserve,
            borrower: keeper,
            token_account: account("USDC")?,
            referrer: None,
        },
        amount: 20_000_000_000,
        min_profit: i64::MIN,
        deadline_slot: 0,
        max_lamports_spent: 0,
        guards: match &guarded[..guards] {
            [] => Guards::DebtAccountOnly,
            guarded => Guards::These(guarded),
        },
        compute_budget: ComputeBudget { unit_limit: Some(MAX_COMPUTE_UNITS), unit_price: 0 },
        setup: vec![],
        body: vec![],
    };
    let outcome = scene.run(&Plan::new(flash.instructions()?))?;
    let mut ours = outcome
        .instructions
        .iter()
        .filter(|cost| cost.program == receiver::PROGRAM_ID)
        .map(|cost| cost.units.context("no units were logged"));
    let mut next = || ours.next().context("open or settle is missing")?;
    let bracket = Bracket { guards: guards as u64, open: next()?, settle: next()? };
    Ok((bracket, outcome))
}

/// Units that all calls of `program` used.
fn units_of_calls(logs: &[String], program: &Address) -> u64 {
    let prefix = format!("Program {program} consumed ");
    logs.iter()
        .filter_map(|line| line.strip_prefix(&prefix)?.split(' ').next()?.parse::<u64>().ok())
        .sum()
}
