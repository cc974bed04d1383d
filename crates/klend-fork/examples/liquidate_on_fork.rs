//! A flash liquidation from the opened position to the event, in a local klend.
//!
//! Needs the programs (`cargo xtask build`) and nothing else:
//! `cargo run -p klend-fork --example liquidate_on_fork`.

use std::error::Error;

use flash_liquidator_client::decode::{Event, Executed, Outcome, decode};
use klend_fork::{ForkError, Position, Rehearsal, World};
use solana_signer::Signer;

fn main() -> Result<(), Box<dyn Error>> {
    let mut world = World::builtin()?;
    let (sol, usdc) = (world.reserve_named("SOL")?, world.reserve_named("USDC")?);

    // A borrower deposits 1,000 SOL and borrows 110,000 USDC, with klend's own
    // instructions; then SOL loses a fifth of its price.
    let borrower = world.actor("borrower");
    let obligation = world.open_position(
        &borrower,
        &Position::new(&[(sol, 1_000_000_000_000)], &[(usdc, 110_000_000_000)]),
    )?;

    // A keeper that owns no token at all, and a pool to sell the collateral in.
    let keeper = world.actor("keeper");
    let pool = world.create_pool_at_oracle_price(&sol, &usdc, 50_000_000, 30)?;
    let rehearsal =
        Rehearsal::new(&mut world, &keeper.pubkey(), &obligation, &usdc, &sol, 20_000_000_000)?
            .sell_through(&mut world, &[pool])?;

    // As long as the position is healthy, klend says no, and nothing moves.
    match rehearsal.send(&mut world, &keeper) {
        Err(ForkError::Failed(failure)) => {
            let executed = Executed {
                error: Some(&failure.error),
                logs: &failure.outcome.logs,
                programs: &[],
            };
            let decoded = decode(&executed, None);
            let Outcome::HealthyAgain(failure) = decoded.outcome else {
                return Err("refused for another reason".into());
            };
            println!("too early: {}", failure.cause.explain());
        }
        Err(error) => return Err(error.into()),
        Ok(_) => return Err("a healthy position was liquidated".into()),
    }

    let price = world.price(&sol)?;
    world.set_price(&sol, price.scaled(80, 100).ok_or("no such price")?)?;
    let outcome = rehearsal.send(&mut world, &keeper)?;
    let executed = Executed { error: None, logs: &outcome.logs, programs: &[] };
    let decoded = decode(&executed, None);
    let [Event::Liquidated(event)] = &decoded.events[..] else {
        return Err("no event".into());
    };
    println!(
        "repaid {} USDC units, received {} SOL units, kept {} USDC units, in {} bytes and {} compute units",
        event.debt_repaid, event.collateral_received, event.profit, outcome.bytes, outcome.units
    );
    Ok(())
}

#[cfg(test)]
#[test]
fn it_runs() {
    main().unwrap();
}
