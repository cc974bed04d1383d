//! Fork folders: written and read back, damaged, and the real ones beside the
//! checkout.

use std::{fs, path::Path};

use flash_liquidator_client::{
    flash_liquidation::KeeperAccounts,
    klend::{self, FlashLoan, LiquidateAccounts, ObligationFarms},
    lookup_table,
};
use klend_fork::{ForkError, Part, Position, Programs, Snapshot, World};
use solana_address::Address;
use solana_signer::Signer;
use tempfile::TempDir;

fn read_error(folder: &Path) -> String {
    let error = Snapshot::read(folder).expect_err("a damaged folder");
    assert!(matches!(error, ForkError::File { .. }), "{error}");
    error.to_string()
}

/// A folder with one account, `extra` appended to the manifest.
fn small_folder(account: &str, manifest: &str) -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    fs::create_dir(folder.path().join("accounts")).unwrap();
    fs::write(folder.path().join("accounts/one.json"), account).unwrap();
    fs::write(folder.path().join("manifest.json"), manifest).unwrap();
    folder
}

const KEY: &str = "So11111111111111111111111111111111111111112";

fn account_json(data: &str, encoding: &str, owner: &str, space: usize) -> String {
    format!(
        r#"{{"pubkey": "{KEY}", "account": {{"lamports": 1, "data": ["{data}", "{encoding}"],
            "owner": "{owner}", "executable": false, "rentEpoch": 18446744073709551615,
            "space": {space}}}}}"#
    )
}

#[test]
fn what_is_written_is_read_back() {
    let world = World::builtin().unwrap_or_else(|error| panic!("{error}"));
    let mut snapshot = world.snapshot();
    let program = "SwapStandin11111111111111111111111111111111".parse().unwrap();
    snapshot.programs.insert(program, vec![1, 2, 3]);
    let parent = tempfile::tempdir().unwrap();
    let folder = parent.path().join("fork");
    snapshot.write(&folder).unwrap();
    let back = Snapshot::read(&folder).unwrap();
    assert_eq!((back.slot, back.unix_timestamp), (world.slot(), world.unix_timestamp()));
    assert_eq!(back.accounts, snapshot.accounts);
    assert_eq!(back.programs, snapshot.programs);
    assert_eq!(fs::read_dir(parent.path()).unwrap().count(), 1, "nothing partial is left");

    let error = snapshot.write(&folder).unwrap_err().to_string();
    assert!(error.contains("is there already"), "{error}");
}

#[test]
fn a_market_survives_the_way_through_a_folder() {
    let mut world = World::builtin().unwrap();
    let (sol, usdc) = (world.reserve_named("SOL").unwrap(), world.reserve_named("USDC").unwrap());
    let owner = world.actor("borrower");
    let obligation = world
        .open_position(&owner, &Position::new(&[(sol, 10_000_000_000)], &[(usdc, 500_000_000)]))
        .unwrap();
    let parent = tempfile::tempdir().unwrap();
    let folder = parent.path().join("fork");
    world.snapshot().write(&folder).unwrap();

    let mut other = World::from_folder(&folder).unwrap();
    assert!(other.rebuilt().is_empty());
    other.set_price_usd(&sol, 60.0).unwrap();
    other.refresh(&obligation).unwrap();
    assert!(other.obligation(&obligation).unwrap().is_liquidatable());
}

#[test]
fn every_damage_names_the_file_and_the_reason() {
    let manifest = r#"{"slot": 1, "unix_timestamp": 2}"#;
    let owner = "11111111111111111111111111111111";
    let good = account_json("AQID", "base64", owner, 3);
    assert_eq!(Snapshot::read(small_folder(&good, manifest).path()).unwrap().accounts.len(), 1);

    let listed =
        |entry: &str| format!(r#"{{"slot": 1, "unix_timestamp": 2, "accounts": [{entry}]}}"#);
    let programs =
        r#"{"slot": 1, "unix_timestamp": 2, "programs": [{"pubkey": "KEY", "elf": "gone.so"}]}"#;
    let cases = [
        (good.clone(), "not json".to_owned(), "manifest.json", "expected"),
        (good.clone(), r#"{"slot": 1}"#.to_owned(), "manifest.json", "unix_timestamp"),
        ("{".to_owned(), manifest.to_owned(), "one.json", "EOF"),
        (
            account_json("AQID", "base64", "nobody", 3),
            manifest.to_owned(),
            "one.json",
            "\"nobody\" is not an address",
        ),
        (account_json("AQID", "base58", owner, 3), manifest.to_owned(), "one.json", "base58"),
        (account_json("A?ID", "base64", owner, 3), manifest.to_owned(), "one.json", "not base64"),
        (
            account_json("AQID", "base64", owner, 4),
            manifest.to_owned(),
            "one.json",
            "space is 4 bytes, the data has 3",
        ),
        (
            good.clone(),
            listed(r#"{"pubkey": "TokenkegQfeZyiNwAJbNbGKPFXCWuBvf9Ss623VQ5DA"}"#),
            "manifest.json",
            "TokenkegQfeZyiNwAJbNbGKPFXCWuBvf9Ss623VQ5DA is listed",
        ),
        (
            good.clone(),
            listed(&format!(r#"{{"pubkey": "{KEY}", "space": 9}}"#)),
            "manifest.json",
            "listed with 9 bytes, its file has 3",
        ),
        (
            good.clone(),
            listed(&format!(r#"{{"pubkey": "{KEY}", "owner": "{KEY}"}}"#)),
            "manifest.json",
            "listed with owner",
        ),
        (good.clone(), programs.replace("KEY", KEY), "gone.so", "No such file"),
    ];
    for (account, manifest, file, reason) in cases {
        let error = read_error(small_folder(&account, &manifest).path());
        assert!(error.contains(file) && error.contains(reason), "{error}: {file}, {reason}");
    }

    let empty = tempfile::tempdir().unwrap();
    assert!(read_error(empty.path()).contains("manifest.json"));
    fs::write(empty.path().join("manifest.json"), manifest).unwrap();
    assert!(read_error(empty.path()).contains("accounts"));

    let twice = small_folder(&good, manifest);
    fs::write(twice.path().join("accounts/two.json"), &good).unwrap();
    assert!(read_error(twice.path()).contains("is there twice"));
}

#[test]
fn a_reserve_that_klend_would_not_take_is_refused() {
    let world = World::builtin().unwrap();
    let sol = world.reserve_named("SOL").unwrap();
    let programs = Programs::from_environment().unwrap();

    let mut snapshot = world.snapshot();
    snapshot.accounts.get_mut(&sol).unwrap().data[8] = 9;
    let Err(error) = World::from_snapshot(snapshot, &programs) else { panic!("version 9") };
    assert!(error.to_string().contains(&sol.to_string()), "{error}");

    let mut snapshot = world.snapshot();
    snapshot.accounts.get_mut(&sol).unwrap().data[0] ^= 1;
    let world = World::from_snapshot(snapshot, &programs).unwrap();
    assert!(!world.reserves().unwrap().contains_key(&sol), "it is another kind of account");
}

#[test]
fn vaults_and_mints_are_rebuilt_and_farms_are_missed() {
    let world = World::builtin().unwrap();
    let sol = world.reserve_named("SOL").unwrap();
    let addresses = world.reserve_addresses(&sol).unwrap();
    let state = world.reserve(&sol).unwrap();
    let farm = addresses.collateral_farm.unwrap();
    let mut snapshot = world.snapshot();
    for key in [
        addresses.liquidity_mint,
        addresses.liquidity_supply_vault,
        addresses.fee_vault,
        addresses.ctoken_mint,
        addresses.collateral_supply_vault,
        farm,
    ] {
        snapshot.accounts.remove(&key).unwrap();
    }
    let world = World::from_snapshot(snapshot, &Programs::from_environment().unwrap()).unwrap();
    let rebuilt: Vec<_> = world.rebuilt().iter().map(|absent| (absent.part, absent.key)).collect();
    assert_eq!(
        rebuilt,
        [
            (Part::LiquidityMint, addresses.liquidity_mint),
            (Part::LiquiditySupply, addresses.liquidity_supply_vault),
            (Part::FeeVault, addresses.fee_vault),
            (Part::CtokenMint, addresses.ctoken_mint),
            (Part::CollateralSupply, addresses.collateral_supply_vault),
        ]
    );
    let [missing] = world.missing() else { panic!("{:?}", world.missing()) };
    assert_eq!((missing.part, missing.key), (Part::CollateralFarm, farm));
    assert_eq!(missing.to_string(), format!("SOL collateral farm {farm}"));
    assert_eq!(
        world.balance(&addresses.liquidity_supply_vault).unwrap(),
        state.liquidity.total_available_amount
    );
    assert_eq!(world.balance(&addresses.fee_vault).unwrap(), 0);
    assert_eq!(
        world.balance(&addresses.collateral_supply_vault).unwrap(),
        state.collateral.mint_total_supply
    );
}

#[test]
fn programs_come_along_as_accounts_or_as_files() {
    let world = World::builtin().unwrap();
    let klend = klend_model::constants::KLEND_PROGRAM_ID;
    // The account of an upgradeable program: a tag of four bytes, then where its
    // code is; the code has 45 bytes in front of it.
    let program = world.account(&klend).unwrap();
    let code_key = Address::try_from(&program.data[4..36]).unwrap();
    let code = world.account(&code_key).unwrap();
    let elf = code.data[45..].to_vec();

    let mut with_accounts = world.snapshot();
    with_accounts.accounts.insert(klend, program);
    with_accounts.accounts.insert(code_key, code);
    let mut with_file = world.snapshot();
    with_file.programs.insert(klend, elf);
    for snapshot in [with_accounts, with_file] {
        let mut world = World::from_snapshot(snapshot, &Programs::default()).unwrap();
        let usdc = world.reserve_named("USDC").unwrap();
        world.refresh_reserve(&usdc).unwrap();
    }

    let mut without = World::from_snapshot(world.snapshot(), &Programs::default()).unwrap();
    let usdc = without.reserve_named("USDC").unwrap();
    assert!(without.refresh_reserve(&usdc).is_err(), "there is no klend");

    let mut broken = world.snapshot();
    broken.programs.insert(klend, vec![1, 2, 3]);
    assert!(matches!(
        World::from_snapshot(broken, &Programs::default()),
        Err(ForkError::Refused { key, .. }) if key == klend
    ));
}

#[test]
fn a_program_that_is_not_there_says_how_to_build_it() {
    let error = ForkError::ProgramNotBuilt {
        name: "klend_stand_in",
        path: "target/deploy/klend_stand_in.so".into(),
        variable: Some("KLEND_ELF"),
    }
    .to_string();
    for part in ["klend_stand_in.so", "cargo xtask build", "KLEND_ELF"] {
        assert!(error.contains(part), "{error}");
    }
}

/// A fork folder beside the checkout; says so when it is not there.
fn beside_the_checkout(name: &str) -> Option<World> {
    let checkout = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let folder = checkout.join("../shared/fork").join(name);
    if !folder.exists() {
        println!("skipped: there is no fork folder {}", folder.display());
        return None;
    }
    Some(World::from_folder(folder).unwrap_or_else(|error| panic!("{error}")))
}

#[test]
fn mainnet_of_october_2024_gives_what_klend_gave() {
    let Some(mut world) = beside_the_checkout("main-market-2024-10-29") else { return };
    assert!(
        world.missing().iter().any(|absent| absent.to_string().starts_with("USDC collateral farm"))
    );
    let (sol, usdc) = (world.reserve_named("SOL").unwrap(), world.reserve_named("USDC").unwrap());
    world.restamp_prices().unwrap();
    // The flash fee of that day was 0.
    world.edit_reserve(&usdc, |r| r.config.fees.flash_loan_fee_sf = 11_529_215_046_068).unwrap();
    let owner = world.actor("borrower");
    let obligation = world
        .open_position(
            &owner,
            &Position::new(&[(sol, 1_000_000_000_000)], &[(usdc, 110_000_000_000)]),
        )
        .unwrap();
    let lower = world.price(&sol).unwrap().scaled(80, 100).unwrap();
    world.set_price(&sol, lower).unwrap();

    let keeper = world.actor("keeper");
    let (repay, withdraw) =
        (world.reserve_addresses(&usdc).unwrap(), world.reserve_addresses(&sol).unwrap());
    let accounts = KeeperAccounts::associated(&keeper.pubkey(), &repay, &withdraw);
    for mint in [&withdraw.liquidity_mint, &withdraw.ctoken_mint] {
        world.open_token_account(&keeper.pubkey(), mint).unwrap();
    }
    let purse = 100_000_000_000;
    world.give(&keeper.pubkey(), &repay.liquidity_mint, purse).unwrap();
    let addresses = world.obligation_addresses(&obligation).unwrap();
    let loan = FlashLoan {
        reserve: &repay,
        borrower: keeper.pubkey(),
        token_account: accounts.debt,
        referrer: None,
    };
    let principal = 20_000_000_000;
    // Cap on the debt repaid; collateral net of klend's fee, and that fee.
    for (cap, net, protocol_fee) in [
        (20_000_000_000, 143_480_100_243, 3_499_514_641),
        (5_000_000_000, 35_870_025_060, 874_878_660),
    ] {
        let mut world = world.clone();
        let instructions = [
            klend::flash_borrow(&loan, principal),
            klend::refresh_reserves_batch([&withdraw, &repay], false),
            klend::refresh_obligation(
                &addresses.lending_market,
                &obligation,
                &addresses.deposit_reserves,
                &addresses.borrow_reserves,
                &[],
            ),
            klend::liquidate_v2(
                &LiquidateAccounts {
                    liquidator: keeper.pubkey(),
                    obligation,
                    repay_reserve: &repay,
                    withdraw_reserve: &withdraw,
                    user_debt: accounts.debt,
                    user_ctoken: accounts.ctoken,
                    user_collateral: accounts.collateral,
                    farms: ObligationFarms::read(&obligation, &repay, &withdraw),
                    deposit_reserves: &[],
                    permissioner: None,
                },
                cap,
                0,
            ),
            klend::flash_repay(&loan, principal, 0),
        ];
        let table = lookup_table::candidates(&instructions, &keeper.pubkey());
        let table = world.create_lookup_table(&table).unwrap();
        let fees_before = world.balance(&withdraw.fee_vault).unwrap();
        world
            .send_v0(&instructions, &[&keeper], &[table])
            .unwrap_or_else(|error| panic!("{error}"));
        assert_eq!(purse - world.balance(&accounts.debt).unwrap(), cap + 200_000);
        assert_eq!(world.balance(&accounts.collateral).unwrap(), net);
        assert_eq!(world.balance(&withdraw.fee_vault).unwrap() - fees_before, protocol_fee);
    }
}

#[test]
fn a_folder_with_one_reserve_and_no_market_is_readable() {
    let Some(world) = beside_the_checkout("usdc-reserve-2025-11-03") else { return };
    assert!(world.missing().iter().any(|absent| absent.part == Part::LendingMarket));
    let usdc = world.reserve_named("USDC").unwrap();
    let addresses = world.reserve_addresses(&usdc).unwrap();
    assert_eq!(
        world.balance(&addresses.liquidity_supply_vault).unwrap(),
        world.reserve(&usdc).unwrap().liquidity.total_available_amount
    );
    assert!(matches!(world.price(&usdc), Err(ForkError::Missing { .. })));
}
