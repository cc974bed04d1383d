//! One obligation liquidated in every way, each in a fresh copy of one world.

use std::fs;

use anyhow::{Context, Result, anyhow};
use flash_liquidator_client::{
    bracket::GuardedFlash,
    compute_budget::{ComputeBudget, MAX_COMPUTE_UNITS},
    flash_liquidation::KeeperAccounts,
    klend::{self, FlashLoan, LiquidateAccounts, ObligationFarms},
    receiver,
};
use klend_fork::{Outcome, Pool, Position, Programs, Rehearsal, World, deploy_folder};
use solana_address::Address;
use solana_instruction::{AccountMeta, Instruction};
use solana_keypair::Keypair;
use solana_signer::Signer;

use crate::figures::{Figure, Figures, Unit};

/// Principal of the loan: 20,000 USDC.
const LOAN: u64 = 20_000_000_000;

struct Bench {
    world: World,
    keeper: Keypair,
    obligation: Address,
    sol: Address,
    usdc: Address,
    pools: [Pool; 3],
}

/// Measures everything.
pub fn measure() -> Result<Figures> {
    let bench = Bench::set_up().context("cannot set the benchmark up")?;
    let mut figures = Figures::new(if Programs::klend_is_stand_in() {
        "the stand-in klend"
    } else {
        "the klend named by KLEND_ELF"
    });
    bench.compute_units(&mut figures)?;
    bench.program_size(&mut figures)?;
    Ok(figures)
}

impl Bench {
    fn set_up() -> Result<Self> {
        let mut world = World::builtin()?;
        let forwarder = deploy_folder().join("cpi_forwarder.so");
        let elf = fs::read(&forwarder)
            .with_context(|| format!("{}: run `cargo xtask build`", forwarder.display()))?;
        world.deploy(&cpi_forwarder::ID, &elf)?;
        let [keeper, borrower] = ["keeper", "borrower"].map(|name| world.actor(name));
        let named = |world: &World, symbol| world.reserve_named(symbol);
        let (sol, usdc) = (named(&world, "SOL")?, named(&world, "USDC")?);
        let jitosol = named(&world, "JITOSOL")?;
        let obligation = world.open_position(
            &borrower,
            &Position::new(&[(sol, 1_000_000_000_000)], &[(usdc, 110_000_000_000)]),
        )?;
        let price = world.price(&sol)?.scaled(80, 100).ok_or_else(|| anyhow!("no price"))?;
        world.set_price(&sol, price)?;
        let pools = [
            world.create_pool_at_oracle_price(&sol, &usdc, 100_000_000, 5)?,
            world.create_pool_at_oracle_price(&sol, &jitosol, 100_000_000, 5)?,
            world.create_pool_at_oracle_price(&jitosol, &usdc, 100_000_000, 5)?,
        ];
        // Enough to repay the loan where the collateral is kept.
        let mint = world.reserve_addresses(&usdc)?.liquidity_mint;
        world.give(&keeper.pubkey(), &mint, 2 * LOAN)?;
        Ok(Self { world, keeper, obligation, sol, usdc, pools })
    }

    fn compute_units(&self, figures: &mut Figures) -> Result<()> {
        let direct = self.run(|world| self.without_receiver(world, false))?;
        let forwarded = self.run(|world| self.without_receiver(world, true))?;
        let no_leg =
            self.run(|world| self.rehearsal(world)?.instructions(world).map_err(Into::into))?;
        let one_leg = self.run(|world| self.sale(world, &self.pools[..1], false))?;
        let one_leg_via = self.run(|world| self.sale(world, &self.pools[..1], true))?;
        let two_legs = self.run(|world| self.sale(world, &self.pools[1..], false))?;
        let bracket = self.run(|world| self.empty_bracket(world))?;

        let (base, floor) = (liquidation(&direct)?, liquidation(&forwarded)?);
        let ours = liquidation(&no_leg)?;
        let leg = |outcome: &Outcome| -> Result<u64> {
            Ok(liquidation(outcome)? - ours - calls_of(&outcome.logs, &swap_stand_in::ID))
        };
        let mut units =
            |name: &str, value| figures.push(Figure::new(name, value, Unit::ComputeUnits));
        units("klend liquidate v2 at top level", base);
        units("the same behind a program that only forwards it", floor);
        units("liquidate without a leg", ours);
        units("overhead of the bare forwarder", floor - base);
        units("overhead of liquidate without a leg", ours - base);
        units("one leg that pays the keeper, without the swap program", leg(&one_leg)?);
        units("one leg that pays the swap authority, without the swap program", leg(&one_leg_via)?);
        units("two legs, without the swap program", leg(&two_legs)?);
        units("open", of_program(&bracket, 0)?);
        units("settle", of_program(&bracket, 1)?);
        units("open and settle", of_program(&bracket, 0)? + of_program(&bracket, 1)?);
        for (name, outcome) in [
            ("transaction: top-level liquidation", &direct),
            ("transaction: no leg", &no_leg),
            ("transaction: one leg", &one_leg),
            ("transaction: two legs", &two_legs),
        ] {
            units(name, outcome.units);
        }
        for (name, outcome) in [("no leg", &no_leg), ("one leg", &one_leg), ("two legs", &two_legs)]
        {
            let name = format!("v0 transaction with a lookup table, {name}");
            figures.push(Figure::new(&name, outcome.bytes as u64, Unit::Bytes));
        }
        Ok(())
    }

    fn program_size(&self, figures: &mut Figures) -> Result<()> {
        let elf = fs::metadata(deploy_folder().join("flash_liquidator.so"))?.len();
        figures.push(Figure::new("flash_liquidator.so", elf, Unit::Bytes));
        Ok(())
    }

    fn run(
        &self,
        instructions: impl FnOnce(&mut World) -> Result<Vec<Instruction>>,
    ) -> Result<Outcome> {
        let mut world = self.world.clone();
        let instructions = instructions(&mut world)?;
        let table = world.table_for(&instructions, &self.keeper.pubkey())?;
        Ok(world.send_v0(&instructions, &[&self.keeper], &[table])?)
    }

    fn rehearsal(&self, world: &mut World) -> Result<Rehearsal> {
        let keeper = self.keeper.pubkey();
        let mut rehearsal =
            Rehearsal::new(world, &keeper, &self.obligation, &self.usdc, &self.sol, LOAN)?;
        rehearsal.terms.min_profit = i64::MIN;
        Ok(rehearsal)
    }

    fn sale(&self, world: &mut World, pools: &[Pool], via: bool) -> Result<Vec<Instruction>> {
        let mut rehearsal = self.rehearsal(world)?.sell_through(world, pools)?;
        if via {
            rehearsal = rehearsal.pay_swap_authority(world)?;
        }
        Ok(rehearsal.instructions(world)?)
    }

    /// The same liquidation with klend's own instruction in our place, or behind
    /// the bare forwarder.
    fn without_receiver(&self, world: &mut World, forwarded: bool) -> Result<Vec<Instruction>> {
        let mut instructions = self.rehearsal(world)?.instructions(world)?;
        let (repay, withdraw) =
            (world.reserve_addresses(&self.usdc)?, world.reserve_addresses(&self.sol)?);
        let keeper = self.keeper.pubkey();
        let accounts = KeeperAccounts::associated(&keeper, &repay, &withdraw);
        let mut liquidate = klend::liquidate_v2(
            &LiquidateAccounts {
                liquidator: keeper,
                obligation: self.obligation,
                repay_reserve: &repay,
                withdraw_reserve: &withdraw,
                user_debt: accounts.debt,
                user_ctoken: accounts.ctoken,
                user_collateral: accounts.collateral,
                farms: ObligationFarms::read(&self.obligation, &repay, &withdraw),
                deposit_reserves: &[],
            },
            LOAN,
            0,
        );
        if forwarded {
            liquidate.accounts.push(AccountMeta::new_readonly(klend::PROGRAM_ID, false));
            liquidate.program_id = cpi_forwarder::ID;
        }
        let ours = instructions
            .iter_mut()
            .find(|instruction| instruction.program_id == receiver::PROGRAM_ID)
            .context("the rehearsal has a liquidation")?;
        *ours = liquidate;
        Ok(instructions)
    }

    fn empty_bracket(&self, world: &mut World) -> Result<Vec<Instruction>> {
        let reserve = world.reserve_addresses(&self.usdc)?;
        let keeper = self.keeper.pubkey();
        let token_account = world.token_account_address(&keeper, &reserve.liquidity_mint)?;
        let flash = GuardedFlash {
            loan: FlashLoan { reserve: &reserve, borrower: keeper, token_account, referrer: None },
            amount: LOAN,
            min_profit: i64::MIN,
            deadline_slot: 0,
            max_lamports_spent: 0,
            guards: &[],
            compute_budget: ComputeBudget { unit_limit: Some(MAX_COMPUTE_UNITS), unit_price: 0 },
            setup: vec![],
            body: vec![],
        };
        Ok(flash.instructions()?)
    }
}

/// Units of the last instruction but one, which is the liquidation.
fn liquidation(outcome: &Outcome) -> Result<u64> {
    let position = outcome.instructions.len().checked_sub(2).context("too few instructions")?;
    outcome.instructions[position].units.context("no units were logged")
}

/// Units of the receiver's `number`-th top-level instruction.
fn of_program(outcome: &Outcome, number: usize) -> Result<u64> {
    outcome
        .instructions
        .iter()
        .filter(|cost| cost.program == receiver::PROGRAM_ID)
        .nth(number)
        .and_then(|cost| cost.units)
        .context("no units were logged")
}

/// Units that all calls of `program` used.
fn calls_of(logs: &[String], program: &Address) -> u64 {
    let prefix = format!("Program {program} consumed ");
    logs.iter()
        .filter_map(|line| line.strip_prefix(&prefix)?.split(' ').next()?.parse::<u64>().ok())
        .sum()
}
