//! From account bytes to a transaction that is ready to be signed: refresh a
//! market in the model, find the most profitable liquidation, order it, route it,
//! compile it, and see what it takes.
//!
//! Needs the programs (`cargo xtask build`) and nothing else:
//! `cargo run -p klend-fork --example quote_and_build`.

use std::error::Error;

use flash_liquidator_client::{
    compute_budget::ComputeBudget,
    klend::PositionAddresses,
    order::{Limits, Order},
    receiver::Route,
    swap::stand_in,
    tip::Tip,
    units,
};
use klend_fork::{Position, Programs, World};
use klend_model::{
    flash::Lenders,
    keys::address,
    search::{Funding, Leftovers, best_liquidation},
    table::ReserveTable,
    time::Clock,
};
use solana_address::Address;
use solana_signer::Signer;

fn main() -> Result<(), Box<dyn Error>> {
    // A market with an obligation that the price of SOL has made unhealthy.
    let mut world = World::builtin()?;
    let (sol, usdc) = (world.reserve_named("SOL")?, world.reserve_named("USDC")?);
    let borrower = world.actor("borrower");
    let obligation_key = world.open_position(
        &borrower,
        &Position::new(&[(sol, 1_000_000_000_000)], &[(usdc, 110_000_000_000)]),
    )?;
    let price = world.price(&sol)?;
    world.set_price(&sol, price.scaled(80, 100).ok_or("no such price")?)?;
    world.refresh(&obligation_key)?;
    let pool = world.create_pool_at_oracle_price(&sol, &usdc, 50_000_000, 30)?;

    // What an RPC node would give: the obligation, its market, the reserves.
    let obligation = world.obligation(&obligation_key)?;
    let market_key = *address(&obligation.lending_market);
    let market = world.lending_market(&market_key)?;
    let accounts = world.reserves()?;
    let reserves: Vec<_> = accounts.iter().map(|(key, reserve)| (*key, reserve)).collect();

    // Once per slot, all reserves; then the obligation; then the search.
    let clock =
        Clock { slot: world.slot(), unix_timestamp: u64::try_from(world.unix_timestamp())? };
    let table = ReserveTable::refresh(
        Programs::klend_version()?,
        &market_key,
        &market,
        &reserves,
        clock,
        None,
    );
    let state = table.obligation(&obligation_key, &obligation)?;
    let lenders = Lenders::new([&table]);
    let funding = Funding::Flash { lenders: &lenders, margin_bps: 10, max_fee_bps: 10 };
    let sold_first = pool.mints[0] == world.reserve_addresses(&sol)?.liquidity_mint;
    let (vault_in, vault_out) = if sold_first {
        (pool.vaults[0], pool.vaults[1])
    } else {
        (pool.vaults[1], pool.vaults[0])
    };
    let depth = (world.balance(&vault_in)?, world.balance(&vault_out)?);
    let best = best_liquidation(&table, &state, funding, Leftovers::Reject, |_, _, amount| {
        stand_in::amount_out(amount, depth.0, depth.1, 30)
    })?
    .ok_or("nothing that could be funded and sold")?;
    println!(
        "klend lets {} USDC units be repaid for {} SOL units ({:?}); a profit of {} is expected",
        best.quote.repay, best.quote.received, best.quote.reason, best.profit
    );

    // What the keeper signs for.
    let limits = Limits { min_profit: 1_000_000, ..Limits::default() };
    let order = Order::of(&best, &limits).ok_or("no flash loan")?;
    let position = PositionAddresses::read((&obligation_key, &obligation), &market, &reserves)?;
    let keeper = world.actor("keeper").pubkey();
    let mut liquidation = order.liquidation(&position, &keeper, None)?;

    // One leg: the swap authority sells, the proceeds go to the keeper.
    let withdraw = position.reserve(&order.withdraw_reserve).ok_or("no reserve")?;
    let repay = position.reserve(&order.repay_reserve).ok_or("no reserve")?;
    let mut route = Route::new(&keeper, withdraw, repay);
    let debt = liquidation.keeper_accounts.debt;
    let sold = (&withdraw.liquidity_mint, &route.swap_collateral);
    route.legs = vec![pool.leg(&keeper, 0, sold.0, sold.1, &debt, 0)?];
    route.swap_debt = None;
    liquidation.route = Some(route);

    // Accounts that do not exist yet, a limit, a price, a tip, a lookup table.
    liquidation.create_missing(|key| world.account(key).is_some())?;
    let estimate = units::estimate_all(&liquidation.instructions()?);
    liquidation.compute_budget =
        ComputeBudget { unit_limit: Some(estimate.limit()), unit_price: 50_000 };
    liquidation.tip = Some(Tip { account: Address::new_from_array([7; 32]), lamports: 100_000 });
    let lookup_table = world.create_lookup_table(&liquidation.lookup_candidates()?)?;
    let blockhash = world.svm().latest_blockhash();
    let compiled = liquidation.compile(&[lookup_table], blockhash, None)?;
    let budget = &compiled.budget;
    println!(
        "{:?}: {} of {} bytes, {} of 64 accounts, {estimate}",
        budget.format,
        budget.bytes,
        budget.format.max_bytes(),
        budget.accounts
    );
    for contribution in &budget.contributions {
        println!("  {contribution}");
    }
    Ok(())
}

#[cfg(test)]
#[test]
fn it_runs() {
    main().unwrap();
}
