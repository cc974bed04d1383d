//! The built-in fork: what is in it, and that klend works on it. Everything here
//! holds for the stand-ins and for the programs that `KLEND_ELF` and `FARMS_ELF`
//! name.

use flash_liquidator_client::{
    compute_budget::ComputeBudget,
    klend::{self, FarmMode, LiquidateAccounts, ObligationFarms, ObligationKind},
    lookup_table,
    receiver::Redemption,
};
use klend_fork::{ForkError, Position, Price, Rehearsal, TOKEN_2022_PROGRAM_ID, World};
use klend_model::{constants::price_status, keys::to_address};
use solana_address::Address;
use solana_keypair::Keypair;
use solana_signer::Signer;

/// One SOL or JitoSOL, raw units.
const SOL: u64 = 1_000_000_000;
/// One USDC or PYUSD, raw units.
const USD: u64 = 1_000_000;

fn world() -> World {
    World::builtin().unwrap_or_else(|error| panic!("{error}"))
}

fn reserve(world: &World, symbol: &str) -> Address {
    world.reserve_named(symbol).unwrap()
}

/// U68F60 as a number to compare roughly.
fn number(scaled: u128) -> f64 {
    scaled as f64 / 2f64.powi(60)
}

#[test]
fn nothing_is_missing_and_the_vaults_hold_what_the_reserves_say() {
    let world = world();
    assert!(world.rebuilt().is_empty(), "{:?}", world.rebuilt());
    assert!(world.missing().is_empty(), "{:?}", world.missing());
    let reserves = world.reserves().unwrap();
    assert_eq!(reserves.len(), 5);
    for (key, state) in reserves {
        let addresses = world.reserve_addresses(&key).unwrap();
        assert_eq!(
            world.balance(&addresses.liquidity_supply_vault).unwrap(),
            state.liquidity.total_available_amount
        );
        assert_eq!(
            world.balance(&addresses.collateral_supply_vault).unwrap(),
            state.collateral.mint_total_supply
        );
        let decimals = u64::from(world.decimals(&addresses.liquidity_mint).unwrap());
        assert_eq!(decimals, state.liquidity.mint_decimals);
    }
}

#[test]
fn main_market_vaults_are_where_mainnet_has_them() {
    let world = world();
    let usdc = world.reserve_addresses(&reserve(&world, "usdc")).unwrap();
    for (actual, expected) in [
        (usdc.lending_market_authority, "9DrvZvyWh1HuAoZxvYWMvkf2XCzryCpGgHqrMjyDWpmo"),
        (usdc.liquidity_supply_vault, "Bgq7trRgVMeq33yt235zM2onQ4bRDBsY5EWiTetF4qw6"),
        (usdc.fee_vault, "BbDUrk1bVtSixgQsPLBJFZEF7mwGstnD5joA1WzYvYFX"),
        (usdc.ctoken_mint, "B8V6WVjPxW1UGwVDfxH2d2r8SyT4cqn7dQRK6XneVa7D"),
        (usdc.collateral_supply_vault, "3DzjXRfxRm6iejfyyMynR4tScddaanrePJ1NJU2XnPPL"),
    ] {
        assert_eq!(actual.to_string(), expected);
    }
}

#[test]
fn an_unknown_reserve_is_answered_with_those_there_are() {
    let Err(error @ ForkError::UnknownReserve { .. }) = world().reserve_named("DOGE") else {
        panic!("DOGE was found");
    };
    for symbol in ["DOGE", "USDC", "SOL", "JITOSOL", "PYUSD"] {
        assert!(error.to_string().contains(symbol), "{error}");
    }
}

#[test]
fn positions_of_every_kind_can_be_opened() {
    let mut world = world();
    let [sol, usdc, jitosol, pyusd] =
        ["SOL", "USDC", "JITOSOL", "PYUSD"].map(|symbol| reserve(&world, symbol));
    // deposits, borrows, group, deposited value, debt value times borrow factor,
    // value above which it is unhealthy; all in USD
    type Amounts<'a> = &'a [(Address, u64)];
    let cases: [(Amounts, Amounts, u8, f64, f64, f64); 8] = [
        (&[(sol, 1_000 * SOL)], &[(usdc, 100_000 * USD)], 0, 180_000., 99_990., 135_000.),
        (&[(jitosol, 1_000 * SOL)], &[(usdc, 60_000 * USD)], 0, 225_000., 59_994., 123_750.),
        (&[(sol, 1_000 * SOL)], &[(pyusd, 60_000 * USD)], 0, 180_000., 59_988., 135_000.),
        (&[(pyusd, 100_000 * USD)], &[(sol, 100 * SOL)], 0, 99_980., 22_500., 84_983.),
        (&[(usdc, 100_000 * USD)], &[(usdc, 50_000 * USD)], 0, 99_990., 49_995., 89_991.),
        (
            &[(usdc, 100_000 * USD), (sol, 100 * SOL)],
            &[(jitosol, 50 * SOL), (pyusd, 100 * USD)],
            0,
            117_990.,
            14_162.48,
            103_491.,
        ),
        (&[(jitosol, 1_000 * SOL)], &[(sol, 800 * SOL)], 2, 225_000., 144_000., 202_500.),
        (
            &[(sol, 1_000 * SOL), (jitosol, 1_000 * SOL)],
            &[(pyusd, 200_000 * USD)],
            4,
            405_000.,
            199_960.,
            324_000.,
        ),
    ];
    for (number_of_case, (deposits, borrows, group, deposited, debt, unhealthy)) in
        cases.into_iter().enumerate()
    {
        let owner = world.actor(&format!("borrower {number_of_case}"));
        let position = Position::new(deposits, borrows).in_group(group);
        let obligation = world
            .open_position(&owner, &position)
            .unwrap_or_else(|error| panic!("case {number_of_case}: {error}"));
        let state = world.obligation(&obligation).unwrap();
        let close = |actual: u128, expected: f64| {
            let actual = number(actual);
            assert!(
                (actual - expected).abs() < expected * 1e-9,
                "case {number_of_case}: {actual}, expected {expected}"
            );
        };
        close(state.deposited_value(), deposited);
        close(state.borrow_factor_adjusted_debt_value(), debt);
        close(state.unhealthy_borrow_value(), unhealthy);
        assert_eq!(state.elevation_group, group);
        assert_eq!(to_address(&state.owner), owner.pubkey());
        for (reserve, amount) in borrows {
            let mint = world.reserve_addresses(reserve).unwrap().liquidity_mint;
            assert_eq!(world.balance_of(&owner.pubkey(), &mint).unwrap(), *amount);
        }
    }
    assert_eq!(world.obligations().unwrap().len(), cases.len());
}

#[test]
fn one_owner_has_several_obligations() {
    let mut world = world();
    let (sol, usdc) = (reserve(&world, "SOL"), reserve(&world, "USDC"));
    let [sol_mint, usdc_mint] =
        [sol, usdc].map(|key| world.reserve_addresses(&key).unwrap().liquidity_mint);
    let owner = world.actor("borrower");
    let kinds = [
        ObligationKind::Vanilla { id: 0 },
        ObligationKind::Vanilla { id: 7 },
        ObligationKind::Multiply { id: 0, collateral_mint: sol_mint, debt_mint: usdc_mint },
    ];
    for kind in kinds {
        let (deposits, borrows) = ([(sol, 10 * SOL)], [(usdc, 500 * USD)]);
        let position = Position::new(&deposits, &borrows).with_kind(kind);
        let obligation = world.open_position(&owner, &position).unwrap();
        assert_eq!(obligation, kind.address(&owner.pubkey(), &world.market().unwrap()));
    }
    assert_eq!(world.obligations().unwrap().len(), 3);
}

#[test]
fn a_deposit_is_staked_in_the_reserves_farm() {
    let mut world = world();
    let sol = reserve(&world, "SOL");
    let farm = world.reserve_addresses(&sol).unwrap().collateral_farm.expect("SOL has a farm");
    let owner = world.actor("borrower");
    let obligation = world.open_position(&owner, &Position::new(&[(sol, 10 * SOL)], &[])).unwrap();
    let stake = world.account(&klend::farm_user_state(&farm, &obligation)).expect("a stake");
    // Offsets of `delegatee` in the farms program's `UserState`.
    assert_eq!(stake.data[480..512], obligation.to_bytes());
    let before = stake.data;
    world.deposit(&owner, &obligation, &sol, SOL).unwrap();
    let after = world.account(&klend::farm_user_state(&farm, &obligation)).unwrap().data;
    assert_ne!(before, after, "the stake follows the deposit");
}

#[test]
fn farms_on_both_sides_follow_a_liquidation() {
    let mut world = world();
    let (sol, pyusd) = (reserve(&world, "SOL"), reserve(&world, "PYUSD"));
    let farms = [
        world.reserve_addresses(&sol).unwrap().collateral_farm.expect("SOL has a collateral farm"),
        world.reserve_addresses(&pyusd).unwrap().debt_farm.expect("PYUSD has a debt farm"),
    ];
    let owner = world.actor("borrower");
    let obligation = world
        .open_position(&owner, &Position::new(&[(sol, 1_000 * SOL)], &[(pyusd, 110_000 * USD)]))
        .unwrap();
    // Offset of `active_stake_scaled` in the farms program's `UserState`, in a
    // scale of its own.
    let stakes = |world: &World| {
        farms.map(|farm| {
            let stake = world.account(&klend::farm_user_state(&farm, &obligation)).unwrap();
            u128::from_le_bytes(stake.data[408..424].try_into().unwrap())
        })
    };
    let before = stakes(&world);
    liquidate(&mut world, &obligation, &pyusd, &sol, 20, 10_000 * USD);
    let after = stakes(&world);
    assert!(after[0] < before[0] && after[1] < before[1], "{before:?}, {after:?}");
    assert!(after[0] > 0 && after[1] > 0, "{after:?}");
}

#[test]
fn a_staked_tokens_price_is_its_rate_times_the_price_of_sol() {
    let mut world = world();
    let (sol, jitosol) = (reserve(&world, "SOL"), reserve(&world, "JITOSOL"));
    assert_eq!(world.price(&jitosol).unwrap().to_f64(), 225.0);

    world.set_price_usd(&jitosol, 198.0).unwrap();
    assert_eq!(world.price(&jitosol).unwrap().to_f64(), 198.0);
    assert_eq!(world.price(&sol).unwrap().to_f64(), 180.0, "SOL keeps its price");

    world.set_price(&sol, Price::new(90, 0)).unwrap();
    assert_eq!(world.price(&jitosol).unwrap().to_f64(), 99.0, "JitoSOL follows SOL");

    world.refresh_reserve(&jitosol).unwrap();
    let state = world.reserve(&jitosol).unwrap();
    assert_eq!(number(state.market_price()), 99.0, "klend reads the same");
    assert_eq!(state.last_update.price_status, price_status::ALL_CHECKS);
}

#[test]
fn prices_age_until_they_are_stamped_anew() {
    let mut world = world();
    let sol = reserve(&world, "SOL");
    let status = |world: &mut World| {
        world.refresh_reserve(&sol).unwrap();
        world.reserve(&sol).unwrap().last_update.price_status
    };
    assert_eq!(status(&mut world), price_status::ALL_CHECKS);
    let (slot, now) = (world.slot(), world.unix_timestamp());
    world.warp_seconds(200);
    assert_eq!((world.slot(), world.unix_timestamp()), (slot + 500, now + 200));
    assert_eq!(
        status(&mut world),
        price_status::ALL_CHECKS & !price_status::PRICE_AGE_CHECKED,
        "the price is older than 180 s, the average not yet than 240 s"
    );
    world.restamp_prices().unwrap();
    assert_eq!(status(&mut world), price_status::ALL_CHECKS);
    world.warp_slots(5);
    assert_eq!((world.slot(), world.unix_timestamp()), (slot + 505, now + 202));
}

#[test]
fn interest_accrues_while_time_passes() {
    let mut world = world();
    let usdc = reserve(&world, "USDC");
    world.refresh_reserve(&usdc).unwrap();
    let before = world.reserve(&usdc).unwrap().borrowed_amount();
    world.warp_seconds(86_400);
    world.refresh_reserve(&usdc).unwrap();
    let growth = number(world.reserve(&usdc).unwrap().borrowed_amount()) / number(before) - 1.0;
    // 75 % utilisation: 2.81 % and 1 % fixed a year, and 216,000 of klend's
    // 63,072,000 slots a year.
    let expected = 0.038_130 * 216_000.0 / 63_072_000.0;
    assert!((growth - expected).abs() < expected * 0.01, "{growth}, expected {expected}");
}

#[test]
fn a_clone_lives_its_own_life() {
    let mut world = world();
    let sol = reserve(&world, "SOL");
    let owner = world.actor("borrower");
    let mut other = world.clone();
    other.set_price_usd(&sol, 100.0).unwrap();
    other.open_position(&owner, &Position::new(&[(sol, SOL)], &[])).unwrap();
    assert_eq!(world.price(&sol).unwrap().to_f64(), 180.0);
    assert!(world.obligations().unwrap().is_empty());
    assert_eq!(other.obligations().unwrap().len(), 1);
}

#[test]
fn impossible_prices_are_refused() {
    let mut world = world();
    let sol = reserve(&world, "SOL");
    for price in [0.0, -3.0, f64::NAN, 1e40] {
        let error = world.set_price_usd(&sol, price).unwrap_err();
        assert!(matches!(error, ForkError::Price { reserve, .. } if reserve == sol), "{error}");
    }
    world
        .edit_reserve(&sol, |reserve| {
            reserve.config.token_info.scope_configuration.price_chain[0] = 600;
        })
        .unwrap();
    let error = world.price(&sol).unwrap_err().to_string();
    assert!(error.contains("entry 600"), "{error}");
}

#[test]
fn a_failure_says_which_instruction_and_why() {
    let mut world = world();
    let (sol, usdc) = (reserve(&world, "SOL"), reserve(&world, "USDC"));
    let owner = world.actor("borrower");
    let obligation = world
        .open_position(&owner, &Position::new(&[(sol, 100 * SOL)], &[(usdc, 5_000 * USD)]))
        .unwrap();
    let keeper = world.actor("keeper");
    let (repay, withdraw) =
        (world.reserve_addresses(&usdc).unwrap(), world.reserve_addresses(&sol).unwrap());
    let user_debt = world.give(&keeper.pubkey(), &repay.liquidity_mint, 5_000 * USD).unwrap();
    let user_ctoken = world.open_token_account(&keeper.pubkey(), &withdraw.ctoken_mint).unwrap();
    let user_collateral =
        world.open_token_account(&keeper.pubkey(), &withdraw.liquidity_mint).unwrap();
    let liquidate = klend::liquidate_v2(
        &LiquidateAccounts {
            liquidator: keeper.pubkey(),
            obligation,
            repay_reserve: &repay,
            withdraw_reserve: &withdraw,
            user_debt,
            user_ctoken,
            user_collateral,
            farms: ObligationFarms::read(&obligation, &repay, &withdraw),
            deposit_reserves: &[],
            permissioner: None,
        },
        u64::MAX,
        0,
    );
    let budget = ComputeBudget { unit_limit: Some(300_000), unit_price: 0 };
    let instructions = [budget.instructions(), vec![liquidate]].concat();
    let error = world.send(&instructions, &[&keeper]).unwrap_err();
    let failure = error.failure().expect("the transaction was sent");
    // klend's ObligationHealthy.
    assert_eq!((failure.instruction_index(), failure.custom_code()), (Some(1), Some(6016)));
    assert_eq!(failure.outcome.instructions.len(), 2);
    assert_eq!(failure.outcome.instructions[0].units, None, "a program of the runtime");
    assert_eq!(failure.outcome.instructions[1].units, Some(failure.outcome.units - 150));
    assert_eq!(world.balance(&user_debt).unwrap(), 5_000 * USD);
}

#[test]
fn unsigned_instructions_are_not_sent() {
    let mut world = world();
    let keeper = world.actor("keeper");
    let other = world.actor("other");
    let instruction = klend::init_user_metadata(&other.pubkey(), &keeper.pubkey(), None);
    let error = world.send(&[instruction], &[&keeper]).unwrap_err();
    assert!(error.to_string().contains(&other.pubkey().to_string()), "{error}");
    assert!(matches!(world.send::<Keypair>(&[], &[]), Err(ForkError::Sign(_))));
}

/// Sends a liquidation of an obligation whose collateral fell by `drop_pct`, and
/// checks what it did to the keeper's accounts.
fn liquidate(
    world: &mut World,
    obligation: &Address,
    debt: &Address,
    collateral: &Address,
    drop_pct: u64,
    loan: u64,
) -> klend_fork::Outcome {
    let price = world.price(collateral).unwrap();
    world.set_price(collateral, price.scaled(100 - drop_pct, 100).unwrap()).unwrap();
    let keeper = world.actor("keeper");
    let pool = world.create_pool_at_oracle_price(collateral, debt, 500_000_000, 10).unwrap();
    let rehearsal = Rehearsal::new(world, &keeper.pubkey(), obligation, debt, collateral, loan)
        .and_then(|rehearsal| rehearsal.sell_through(world, &[pool]))
        .unwrap();
    let outcome = rehearsal.send(world, &keeper).unwrap_or_else(|error| panic!("{error}"));
    assert!(world.balance(&rehearsal.keeper_accounts.debt).unwrap() > 0, "a profit");
    assert_eq!(world.balance(&rehearsal.keeper_accounts.collateral).unwrap(), 0);
    assert_eq!(world.balance(&rehearsal.keeper_accounts.ctoken).unwrap(), 0);
    outcome
}

#[test]
fn a_flash_liquidation_fits_a_v0_transaction() {
    let mut world = world();
    let (sol, usdc) = (reserve(&world, "SOL"), reserve(&world, "USDC"));
    let owner = world.actor("borrower");
    let obligation = world
        .open_position(&owner, &Position::new(&[(sol, 1_000 * SOL)], &[(usdc, 110_000 * USD)]))
        .unwrap();
    let outcome = liquidate(&mut world, &obligation, &usdc, &sol, 20, 10_000 * USD);
    assert!(outcome.bytes <= 1_232, "{} bytes", outcome.bytes);
    // Limit, borrow, refreshes, obligation, liquidate, repay.
    assert_eq!(outcome.instructions.len(), 6);
    let sum: u64 = outcome.instructions.iter().filter_map(|ix| ix.units).sum();
    assert_eq!(outcome.units, sum + 150, "and 150 for the compute-budget instruction");
    let receiver = flash_liquidator_client::receiver::PROGRAM_ID;
    assert_eq!(outcome.data_of(&receiver).count(), 1, "one event");
}

#[test]
fn a_token_2022_debt_can_be_liquidated() {
    let mut world = world();
    let (sol, pyusd) = (reserve(&world, "SOL"), reserve(&world, "PYUSD"));
    let mint = world.reserve_addresses(&pyusd).unwrap().liquidity_mint;
    assert_eq!(world.account(&mint).unwrap().owner, TOKEN_2022_PROGRAM_ID);
    let owner = world.actor("borrower");
    let obligation = world
        .open_position(&owner, &Position::new(&[(sol, 1_000 * SOL)], &[(pyusd, 110_000 * USD)]))
        .unwrap();
    liquidate(&mut world, &obligation, &pyusd, &sol, 20, 10_000 * USD);
}

#[test]
fn two_collaterals_in_an_elevation_group_can_be_liquidated() {
    let mut world = world();
    let [sol, jitosol, pyusd] = ["SOL", "JITOSOL", "PYUSD"].map(|symbol| reserve(&world, symbol));
    let owner = world.actor("borrower");
    let obligation = world
        .open_position(
            &owner,
            &Position::new(&[(sol, 1_000 * SOL), (jitosol, 100 * SOL)], &[(pyusd, 140_000 * USD)])
                .in_group(4),
        )
        .unwrap();
    liquidate(&mut world, &obligation, &pyusd, &sol, 20, 10_000 * USD);
}

#[test]
fn the_loan_may_come_from_another_market() {
    let mut world = world();
    let (sol, usdc) = (reserve(&world, "SOL"), reserve(&world, "USDC"));
    let other = world
        .reserves()
        .unwrap()
        .into_iter()
        .find(|(_, reserve)| to_address(&reserve.lending_market) != world.market().unwrap())
        .map(|(key, _)| key)
        .unwrap();
    assert_eq!(world.symbol(&other).unwrap(), "USDC");
    let owner = world.actor("borrower");
    let obligation = world
        .open_position(&owner, &Position::new(&[(sol, 1_000 * SOL)], &[(usdc, 110_000 * USD)]))
        .unwrap();
    world.set_price_usd(&sol, 144.0).unwrap();
    let keeper = world.actor("keeper");
    let mut rehearsal =
        Rehearsal::new(&mut world, &keeper.pubkey(), &obligation, &usdc, &sol, 10_000 * USD)
            .unwrap();
    rehearsal.flash_reserve = other;
    rehearsal.terms.min_profit = i64::MIN;
    rehearsal.terms.redemption = Redemption::AllowPartial;
    world
        .give(
            &keeper.pubkey(),
            &world.reserve_addresses(&usdc).unwrap().liquidity_mint,
            11_000 * USD,
        )
        .unwrap();
    let vault = world.reserve_addresses(&other).unwrap().liquidity_supply_vault;
    let before = world.balance(&vault).unwrap();
    let simulated = {
        let instructions = rehearsal.instructions(&world).unwrap();
        let table = world.table_for(&instructions, &keeper.pubkey()).unwrap();
        world.simulate_v0(&instructions, &[&keeper], &[table]).unwrap()
    };
    assert_eq!(world.balance(&rehearsal.keeper_accounts.collateral).unwrap(), 0, "only simulated");
    let outcome = rehearsal.send(&mut world, &keeper).unwrap();
    assert_eq!(outcome.units, simulated.units);
    assert_eq!(world.balance(&vault).unwrap(), before, "the loan came back");
    assert!(world.balance(&rehearsal.keeper_accounts.collateral).unwrap() > 0);
}

#[test]
fn lookup_tables_shorten_and_change_nothing_else() {
    let mut world = world();
    let sol = reserve(&world, "SOL");
    let owner = world.actor("borrower");
    let market = world.market().unwrap();
    let kind = ObligationKind::Vanilla { id: 0 };
    let instructions = [
        klend::init_user_metadata(&owner.pubkey(), &owner.pubkey(), None),
        klend::init_obligation(&owner.pubkey(), &owner.pubkey(), &market, kind),
        klend::refresh_reserve(&world.reserve_addresses(&sol).unwrap()),
    ];
    let table = world
        .create_lookup_table(&lookup_table::candidates(&instructions, &owner.pubkey()))
        .unwrap();
    let plain = world.simulate_v0(&instructions, &[&owner], &[]).unwrap();
    let short = world.send_v0(&instructions, &[&owner], &[table]).unwrap();
    assert_eq!(plain.units, short.units);
    assert!(short.bytes < plain.bytes, "{} and {}", short.bytes, plain.bytes);

    let too_many = vec![owner.pubkey(); 257];
    assert!(matches!(world.create_lookup_table(&too_many), Err(ForkError::Unexpected { .. })));
}

#[test]
fn what_a_position_lacks_is_said() {
    let mut world = world();
    let sol = reserve(&world, "SOL");
    let owner = world.actor("borrower");
    let error = world.open_position(&owner, &Position::new(&[], &[(sol, 1)])).unwrap_err();
    assert!(error.to_string().contains("nothing is deposited"), "{error}");
    // A debt of more than the collateral allows: klend's BorrowTooLarge.
    let usdc = reserve(&world, "USDC");
    let error = world
        .open_position(&owner, &Position::new(&[(sol, SOL)], &[(usdc, 1_000 * USD)]))
        .unwrap_err();
    assert_eq!(error.failure().and_then(klend_fork::Failure::custom_code), Some(6013), "{error}");
    // A stake is made once.
    let obligation = *world.obligations().unwrap().keys().next().unwrap();
    for _ in 0..2 {
        world.open_stake(&owner, &obligation, &sol, FarmMode::Collateral).unwrap();
    }
}
