//! The largest obligation there is still fits a transaction.

mod support;

use flash_liquidator_client::{
    budget::{check_v0, compile_v1},
    compute_budget::ComputeBudget,
    flash_liquidation::Refresh,
    lookup_table,
};
use solana_hash::Hash;
use solana_message::AddressLookupTableAccount;
use support::{Shape, Venue, keeper, key};

/// Eight deposits, five debts, farms on both sides of the liquidation and one
/// Whirlpool leg; in an elevation group, so that klend wants all deposits again.
const LARGEST: Shape =
    Shape { deposits: 8, debts: 5, farms: true, in_group: true, venue: Venue::Whirlpool };

#[test]
fn it_fits_v0_with_a_lookup_table() {
    let budget = ComputeBudget { unit_limit: Some(900_000), unit_price: 1_000 };
    let instructions = LARGEST.instructions(budget, Refresh::Batch);
    let table = AddressLookupTableAccount {
        key: key(40, 0),
        addresses: lookup_table::candidates(&instructions, &keeper()),
    };
    let budget = check_v0(&keeper(), &instructions, &[table], Some(900_000)).unwrap();
    println!("v0: {} bytes, {} accounts", budget.bytes, budget.accounts);
    assert!(budget.bytes <= 1_232 && budget.accounts <= 64);
    // Without a table it does not, and the refusal says where the bytes go.
    let error = check_v0(&keeper(), &instructions, &[], None).unwrap_err().to_string();
    assert!(error.contains("spelled out for it"), "{error}");
}

#[test]
fn it_fits_v1_without_one() {
    let instructions = LARGEST.instructions(ComputeBudget::default(), Refresh::Batch);
    let compute = ComputeBudget { unit_limit: Some(900_000), unit_price: 1_000 };
    let (_, budget) = compile_v1(&keeper(), &instructions, &compute, Hash::default()).unwrap();
    println!("v1: {} bytes, {} accounts", budget.bytes, budget.accounts);
    assert!(budget.bytes <= 4_096 && budget.accounts <= 64);
}
