//! What the demo does.

use anyhow::{Context, Result, anyhow, bail};
use flash_liquidator_client::{
    decode, klend,
    receiver::{self, Liquidated},
    transaction::MAX_TRANSACTION_BYTES,
};
use klend_fork::{ForkError, Outcome, Position, Programs, Rehearsal, World};
use klend_model::{
    fraction::Fraction,
    keys::address,
    liquidation::{self, Request},
    refusal::Refusal,
    time::Clock,
};
use solana_address::Address;
use solana_instruction::Instruction;
use solana_signer::Signer;

use crate::{
    Args,
    report::{Amount, InstructionRow, Obligation, Report, Step},
};

/// How much of what klend allows the position borrows, percent.
const BORROWED_PERCENT: f64 = 97.0;

/// One in klend's fixed-point numbers.
const FRACTION_ONE: f64 = (1u64 << Fraction::FRACTIONAL_BITS) as f64;

/// Runs the scenario.
///
/// # Errors
/// Whatever stands in the way: a missing fork or program, a position that is
/// still healthy, a liquidation that does not pay.
pub fn run(args: &Args) -> Result<Report> {
    let mut world = match &args.fork {
        Some(folder) => World::from_folder(folder)
            .with_context(|| format!("cannot use the fork folder {}", folder.display()))?,
        None => World::builtin().context("cannot make the built-in fork")?,
    };
    world.restamp_prices()?;
    let collateral = Token::find(&world, &args.collateral)?;
    let debt = Token::find(&world, &args.debt)?;

    let borrower = world.actor("borrower");
    let (deposited, borrowed) = position(&world, args, &collateral, &debt)?;
    let obligation = world
        .open_position(
            &borrower,
            &Position::new(&[(collateral.reserve, deposited)], &[(debt.reserve, borrowed)]),
        )
        .context("cannot open the position")?;
    let mut steps = vec![Step {
        what: format!(
            "opened with klend's own instructions: {} deposited, {} borrowed",
            collateral.amount(&world, deposited)?,
            debt.amount(&world, borrowed)?
        ),
        obligation: read_obligation(&world, &obligation)?,
    }];

    let price = world.price(&collateral.reserve)?;
    let lower = price
        .scaled(100 - u64::from(args.drop), 100)
        .ok_or_else(|| anyhow!("a price of {} cannot fall by {} %", price.to_f64(), args.drop))?;
    world.set_price(&collateral.reserve, lower)?;
    world.refresh(&obligation)?;
    steps.push(Step {
        what: format!(
            "price of {} fell by {} %: {:.4} to {:.4} USD",
            collateral.symbol,
            args.drop,
            price.to_f64(),
            lower.to_f64()
        ),
        obligation: read_obligation(&world, &obligation)?,
    });

    // What klend will do, from the model, decides the size of the loan.
    let quote = quote(&world, &obligation, &debt.reserve, &collateral.reserve)?
        .map_err(|refusal| anyhow!("klend would refuse: {refusal}"))?;
    let keeper = world.actor("keeper");
    let pool = world.create_pool_at_oracle_price(
        &collateral.reserve,
        &debt.reserve,
        args.pool_depth,
        args.pool_fee_bps,
    )?;
    let mut rehearsal = Rehearsal::new(
        &mut world,
        &keeper.pubkey(),
        &obligation,
        &debt.reserve,
        &collateral.reserve,
        quote.repay,
    )?;
    if collateral.mint != debt.mint {
        rehearsal = rehearsal.sell_through(&mut world, &[pool])?;
    }
    rehearsal.terms.min_collateral_received = quote.received;
    rehearsal.terms.min_profit = args.min_profit;

    let before = world.balance(&rehearsal.keeper_accounts.debt)?;
    let instructions = rehearsal.instructions(&world)?;
    let outcome = match rehearsal.send(&mut world, &keeper) {
        Ok(outcome) => outcome,
        Err(ForkError::Failed(failure)) => {
            let logs = failure.outcome.logs.iter().filter(|line| {
                ["AnchorError", "Left:", "Right:", "failed"].iter().any(|part| line.contains(part))
            });
            let logs: Vec<_> = logs.map(String::as_str).collect();
            bail!(
                "the transaction was refused and nothing moved: {}\n{}",
                failure.error,
                logs.join("\n")
            );
        }
        Err(error) => return Err(error.into()),
    };
    let event = event(&outcome)?;
    world.refresh(&obligation)?;
    steps.push(Step {
        what: "flash-liquidated in one transaction".to_owned(),
        obligation: read_obligation(&world, &obligation)?,
    });

    let kept = world.balance(&rehearsal.keeper_accounts.debt)? - before;
    if i64::try_from(kept) != Ok(event.profit) {
        bail!("the keeper's account grew by {kept}, the event says {}", event.profit);
    }
    let debt_amount = |units| debt.amount(&world, units);
    let collateral_amount = |units| collateral.amount(&world, units);
    Ok(Report {
        steps,
        keeper: keeper.pubkey().to_string(),
        obligation: obligation.to_string(),
        flash_loan: debt_amount(event.flash_loan)?,
        flash_fee: debt_amount(event.flash_fee)?,
        debt_repaid: debt_amount(event.debt_repaid)?,
        collateral_received: collateral_amount(event.collateral_received)?,
        protocol_fee: collateral_amount(event.protocol_fee)?,
        ctokens_received: event.ctokens_received,
        collateral_sold: collateral_amount(event.collateral_sold)?,
        swap_proceeds: debt_amount(event.swap_proceeds)?,
        profit: debt_amount(kept)?,
        instructions: rows(&instructions, &outcome),
        compute_units: outcome.units,
        transaction_bytes: outcome.bytes,
        transaction_limit: MAX_TRANSACTION_BYTES,
        rebuilt: world.rebuilt().iter().map(ToString::to_string).collect(),
    })
}

/// A reserve of the market and its token.
struct Token {
    reserve: Address,
    mint: Address,
    symbol: String,
    decimals: u8,
}

impl Token {
    fn find(world: &World, symbol: &str) -> Result<Self> {
        let reserve = world.reserve_named(symbol)?;
        let mint = world.reserve_addresses(&reserve)?.liquidity_mint;
        Ok(Self { reserve, mint, symbol: symbol.to_owned(), decimals: world.decimals(&mint)? })
    }

    fn price(&self, world: &World) -> Result<f64> {
        Ok(world.price(&self.reserve)?.to_f64())
    }

    fn scale(&self) -> f64 {
        10f64.powi(i32::from(self.decimals))
    }

    fn amount(&self, world: &World, units: u64) -> Result<Amount> {
        let tokens = units as f64 / self.scale();
        Ok(Amount {
            units,
            decimals: self.decimals,
            symbol: self.symbol.clone(),
            usd: tokens * self.price(world)?,
        })
    }
}

/// Units to deposit and to borrow: a position just inside what klend allows.
fn position(world: &World, args: &Args, collateral: &Token, debt: &Token) -> Result<(u64, u64)> {
    let deposited = args.size * collateral.scale();
    let loan_to_value = f64::from(world.reserve(&collateral.reserve)?.config.loan_to_value_pct);
    let borrow_factor = world.reserve(&debt.reserve)?.config.borrow_factor_pct.max(100) as f64;
    let value = args.size * collateral.price(world)? * loan_to_value / borrow_factor;
    let borrowed = value * BORROWED_PERCENT / 100.0 / debt.price(world)? * debt.scale();
    let amounts = 1.0..u64::MAX as f64;
    if !amounts.contains(&deposited) || !amounts.contains(&borrowed) {
        bail!(
            "--size {} makes {deposited} units of {} and {borrowed} of {}: \
             each must be at least 1 and fit a token amount",
            args.size,
            args.collateral,
            args.debt
        );
    }
    Ok((deposited as u64, borrowed as u64))
}

/// klend's answer to liquidating all it allows, from the accounts as they are.
fn quote(
    world: &World,
    obligation: &Address,
    repay_reserve: &Address,
    withdraw_reserve: &Address,
) -> Result<std::result::Result<liquidation::Quote, Refusal>> {
    let account = world.obligation(obligation)?;
    let market_key = *address(&account.lending_market);
    let market = world.lending_market(&market_key)?;
    let reserves = world.reserves()?;
    let reserves: Vec<_> = reserves.iter().map(|(key, reserve)| (*key, reserve)).collect();
    Ok(liquidation::quote_liquidation(
        Programs::klend_version()?,
        &liquidation::Position {
            market: (market_key, &market),
            reserves: &reserves,
            obligation: (*obligation, &account),
        },
        &Request {
            repay_reserve: *repay_reserve,
            withdraw_reserve: *withdraw_reserve,
            amount: u64::MAX,
            min_received: 0,
            flash_loan: None,
        },
        Clock { slot: world.slot(), unix_timestamp: u64::try_from(world.unix_timestamp())? },
        None,
    ))
}

fn read_obligation(world: &World, key: &Address) -> Result<Obligation> {
    let account = world.obligation(key)?;
    let value = |scaled: u128| scaled as f64 / FRACTION_ONE;
    let deposited = value(account.deposited_value_sf.into());
    let ratio = |part: u128| if deposited > 0.0 { value(part) / deposited } else { 0.0 };
    Ok(Obligation {
        deposited_usd: deposited,
        borrowed_usd: value(account.borrowed_assets_market_value_sf.into()),
        ltv: ratio(account.borrow_factor_adjusted_debt_value_sf.into()),
        liquidation_ltv: ratio(account.unhealthy_borrow_value_sf.into()),
        liquidatable: account.is_liquidatable(),
    })
}

fn event(outcome: &Outcome) -> Result<Liquidated> {
    outcome
        .data_of(&receiver::PROGRAM_ID)
        .find_map(|data| match decode::event(data) {
            Some(decode::Event::Liquidated(event)) => Some(*event),
            _ => None,
        })
        .context("the receiver emitted no event")
}

fn rows(instructions: &[Instruction], outcome: &Outcome) -> Vec<InstructionRow> {
    instructions
        .iter()
        .zip(&outcome.instructions)
        .map(|(instruction, cost)| InstructionRow {
            name: name(instruction),
            compute_units: cost.units,
        })
        .collect()
}

fn name(instruction: &Instruction) -> String {
    use klend_interface::discriminators as klend_ix;
    let discriminator = instruction.data.first_chunk::<8>().copied().unwrap_or_default();
    let known = [
        (klend_ix::FLASH_BORROW_RESERVE_LIQUIDITY, "klend flash_borrow"),
        (klend_ix::REFRESH_RESERVE, "klend refresh_reserve"),
        (klend_ix::REFRESH_RESERVES_BATCH, "klend refresh_reserves_batch"),
        (klend_ix::REFRESH_OBLIGATION, "klend refresh_obligation"),
        (klend_ix::FLASH_REPAY_RESERVE_LIQUIDITY, "klend flash_repay"),
    ];
    if instruction.program_id == receiver::PROGRAM_ID {
        "flash_liquidator liquidate".to_owned()
    } else if instruction.program_id == klend::PROGRAM_ID {
        known
            .iter()
            .find(|(known, _)| *known == discriminator)
            .map_or("klend", |(_, name)| *name)
            .to_owned()
    } else {
        "compute budget".to_owned()
    }
}
