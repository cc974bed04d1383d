use klend_fork::*;

#[test]
fn scratch() {
    let mut world = World::builtin().unwrap_or_else(|e| panic!("{e}"));
    for a in world.rebuilt() {
        println!("rebuilt {a}");
    }
    for a in world.missing() {
        println!("missing {a}");
    }
    let r = |s: &str| world.reserve_named(s).unwrap();
    let (sol, usdc, jito, pyusd) = (r("SOL"), r("USDC"), r("JITOSOL"), r("PYUSD"));
    const B: u64 = 1_000_000_000;
    const M: u64 = 1_000_000;
    for (i, (dep, bor, group)) in [
        (vec![(sol, 1000 * B)], vec![(usdc, 100_000 * M)], 0),
        (vec![(jito, 1000 * B)], vec![(usdc, 60_000 * M)], 0),
        (vec![(sol, 1000 * B)], vec![(pyusd, 60_000 * M)], 0),
        (vec![(pyusd, 100_000 * M)], vec![(sol, 100 * B)], 0),
        (vec![(usdc, 100_000 * M)], vec![(usdc, 50_000 * M)], 0),
        (vec![(usdc, 100_000 * M), (sol, 100 * B)], vec![(jito, 50 * B), (pyusd, 100 * M)], 0),
        (vec![(jito, 1000 * B)], vec![(sol, 800 * B)], 2),
        (vec![(sol, 1000 * B), (jito, 1000 * B)], vec![(pyusd, 200_000 * M)], 4),
    ]
    .into_iter()
    .enumerate()
    {
        let borrower = world.actor(&format!("borrower {i}"));
        match world.open_position(&borrower, &Position::new(&dep, &bor).in_group(group)) {
            Ok(ob) => {
                let o = world.obligation(&ob).unwrap();
                println!(
                    "{i} dep {} debt {} unhealthy {} group {}",
                    o.deposited_value() as f64 / 2f64.powi(60),
                    o.borrow_factor_adjusted_debt_value() as f64 / 2f64.powi(60),
                    o.unhealthy_borrow_value() as f64 / 2f64.powi(60),
                    o.elevation_group
                );
            }
            Err(e) => println!("{i} ERROR {e}"),
        }
    }
}
