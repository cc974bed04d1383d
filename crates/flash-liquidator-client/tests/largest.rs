//! The largest obligation there is still fits a transaction.

use bytemuck::Zeroable;
use flash_liquidator_client::{
    budget::{check_v0, compile_v1},
    compute_budget::ComputeBudget,
    flash_liquidation::{FlashLiquidation, KeeperAccounts, Refresh},
    klend::{ObligationAddresses, ReserveAddresses},
    lookup_table,
    receiver::{Route, Terms, swap_authority},
    swap::{Side, Trade, whirlpool::Whirlpool},
    token::TOKEN_PROGRAM_ID,
};
use klend_interface::state::Reserve;
use klend_model::keys::to_v2;
use solana_address::Address;
use solana_hash::Hash;
use solana_instruction::Instruction;
use solana_message::AddressLookupTableAccount;

/// A key of its own for each kind and number.
fn key(kind: u8, number: u8) -> Address {
    let mut bytes = [kind; 32];
    bytes[0] = number;
    Address::new_from_array(bytes)
}

/// A reserve with farms on both sides; all read the market's Scope account.
fn reserve(number: u8) -> ReserveAddresses {
    let mut state = Reserve::zeroed();
    let at = |kind| to_v2(&key(kind, number));
    state.lending_market = to_v2(&key(1, 0));
    state.liquidity.mint_pubkey = at(10);
    state.liquidity.supply_vault = at(11);
    state.liquidity.fee_vault = at(12);
    state.liquidity.token_program = to_v2(&TOKEN_PROGRAM_ID);
    state.collateral.mint_pubkey = at(13);
    state.collateral.supply_vault = at(14);
    state.farm_collateral = at(15);
    state.farm_debt = at(16);
    state.config.token_info.scope_configuration.price_feed = to_v2(&key(2, 0));
    ReserveAddresses::read(&key(17, number), &state)
}

/// Eight deposits, five debts, farms on both sides of the liquidation and one
/// Whirlpool leg; in an elevation group, so that klend wants all deposits again.
fn instructions(compute_budget: ComputeBudget) -> (Address, Vec<Instruction>) {
    let keeper = key(20, 0);
    let reserves: Vec<ReserveAddresses> = (0..13).map(reserve).collect();
    let (withdraw, repay) = (&reserves[0], &reserves[8]);
    let obligation = ObligationAddresses {
        obligation: key(3, 0),
        lending_market: key(1, 0),
        owner: key(4, 0),
        deposit_reserves: reserves[..8].iter().map(|reserve| reserve.reserve).collect(),
        borrow_reserves: reserves[8..].iter().map(|reserve| reserve.reserve).collect(),
        referrer: None,
        elevation_group: 1,
    };
    let keeper_accounts = KeeperAccounts::associated(&keeper, repay, withdraw);
    let mut route = Route::new(&keeper, withdraw, repay);
    route.swap_debt = None;
    let pool = Whirlpool {
        pool: key(30, 0),
        tick_spacing: 4,
        fee_rate: 400,
        tick: -18_000,
        mints: [withdraw.liquidity_mint, repay.liquidity_mint],
        vaults: [key(31, 0), key(31, 1)],
    };
    let side = |account, mint| Side { account, mint, token_program: TOKEN_PROGRAM_ID };
    let trade = Trade {
        authority: swap_authority(&keeper).0,
        input: side(route.swap_collateral, withdraw.liquidity_mint),
        output: side(keeper_accounts.debt, repay.liquidity_mint),
        min_out: 0,
        token: 0,
    };
    route.legs = vec![pool.leg(&trade).unwrap()];
    let liquidation = FlashLiquidation {
        keeper,
        keeper_accounts,
        obligation: &obligation,
        reserves: &reserves,
        referrer_token_states: &[],
        repay_reserve: repay.reserve,
        withdraw_reserve: withdraw.reserve,
        flash_reserve: repay,
        flash_amount: 1_000_000,
        terms: Terms::default(),
        route: Some(route),
        compute_budget,
        setup: Vec::new(),
        refresh: Refresh::Batch,
    };
    (keeper, liquidation.instructions().unwrap())
}

#[test]
fn it_fits_v0_with_a_lookup_table() {
    let (keeper, instructions) =
        instructions(ComputeBudget { unit_limit: Some(900_000), unit_price: 1_000 });
    let table = AddressLookupTableAccount {
        key: key(40, 0),
        addresses: lookup_table::candidates(&instructions, &keeper),
    };
    let budget = check_v0(&keeper, &instructions, &[table], Some(900_000)).unwrap();
    println!("v0: {} bytes, {} accounts", budget.bytes, budget.accounts);
    assert!(budget.bytes <= 1_232 && budget.accounts <= 64);
    // Without a table it does not, and the refusal says where the bytes go.
    let error = check_v0(&keeper, &instructions, &[], None).unwrap_err().to_string();
    assert!(error.contains("spelled out for it"), "{error}");
}

#[test]
fn it_fits_v1_without_one() {
    let (keeper, instructions) = instructions(ComputeBudget::default());
    let compute = ComputeBudget { unit_limit: Some(900_000), unit_price: 1_000 };
    let (_, budget) = compile_v1(&keeper, &instructions, &compute, Hash::default()).unwrap();
    println!("v1: {} bytes, {} accounts", budget.bytes, budget.accounts);
    assert!(budget.bytes <= 4_096 && budget.accounts <= 64);
}
