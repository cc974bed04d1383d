//! Whether a liquidation with a route fits a transaction, before there is anything to
//! liquidate.

use anyhow::{Context as _, Result};
use flash_liquidator_client::{
    budget::{self, BudgetError},
    compute_budget::{ComputeBudget, MAX_COMPUTE_UNITS},
    lookup_table,
    order::Order,
    receiver::{Route, Terms},
};
use solana_address::Address;
use solana_message::AddressLookupTableAccount;

use super::plan::addresses;
use crate::{book::view::View, route::position::Position};

/// Lookup tables as they are known.
///
/// # Errors
/// One was not read, is not there, or is no table.
pub fn tables<'k>(
    view: &View<'_>,
    keys: impl Iterator<Item = &'k Address>,
) -> Result<Vec<AddressLookupTableAccount>> {
    let read = |key: &Address| {
        let account = view
            .accounts
            .get(key)
            .with_context(|| format!("lookup table {key}: there is no such account"))?;
        lookup_table::read(key, &account.owner, &account.data)
            .with_context(|| format!("account {key} is not a lookup table"))
    };
    keys.map(read).collect()
}

/// What a route is too large for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fit {
    /// It fits.
    Fits,
    /// Too many bytes, or accounts to lock.
    TooLarge(String),
}

/// Whether a liquidation of `position` by `keeper` fits with this route and these tables;
/// without the keeper's own tables, with one that holds what it needs, as simulations have.
///
/// # Errors
/// There is no such liquidation.
pub fn fit(
    position: &Position<'_>,
    keeper: &Address,
    (repay, withdraw): (&Address, &Address),
    route: Route,
    mut tables: Vec<AddressLookupTableAccount>,
    has_own: bool,
) -> Result<Fit> {
    let order = Order {
        repay_reserve: *repay,
        withdraw_reserve: *withdraw,
        flash_reserve: *repay,
        flash_amount: u64::MAX,
        terms: Terms { deadline_slot: u64::MAX, ..Terms::default() },
    };
    let addresses = addresses(position, repay)?;
    let mut liquidation = order.liquidation(&addresses, keeper, Some(route))?;
    liquidation.compute_budget =
        ComputeBudget { unit_limit: Some(MAX_COMPUTE_UNITS), unit_price: 1 };
    let instructions = liquidation.instructions()?;
    if !has_own {
        let addresses = lookup_table::candidates(&instructions, keeper);
        tables
            .push(AddressLookupTableAccount { key: Address::new_from_array([255; 32]), addresses });
    }
    match budget::check_v0(keeper, &instructions, &tables, None) {
        Ok(_) => Ok(Fit::Fits),
        Err(error @ (BudgetError::Bytes { .. } | BudgetError::Accounts { .. })) => {
            Ok(Fit::TooLarge(error.to_string()))
        }
        Err(other) => Err(other).context("the transaction cannot be built"),
    }
}
