//! Whether a liquidation with a route fits a transaction, before there is anything to
//! liquidate.

use anyhow::{Context as _, Result};
use flash_liquidator_client::{
    budget::{self, BudgetError},
    compute_budget::{ComputeBudget, MAX_COMPUTE_UNITS},
    flash_liquidation::KeeperAccounts,
    lookup_table,
    order::Order,
    receiver::Terms,
};
use solana_address::Address;
use solana_message::AddressLookupTableAccount;

use super::plan::addresses;
use crate::{
    book::{pools::Offered, view::View},
    route::{
        position::Position,
        venue::{Sale, Sold, Ways, by_offer},
    },
};

/// Lookup tables as they are known.
///
/// # Errors
/// One was not read, is not there, or is no table.
pub(super) fn tables<'k>(
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

/// Whether a liquidation of `position` by `keeper` fits that sells by `offer`, with the
/// keeper's tables; without any, with one that holds what it needs, as simulations have.
/// `None` where the obligation has no reserves of the offer's pair.
///
/// # Errors
/// There is no such liquidation.
pub fn fit(
    position: &Position<'_>,
    keeper: &Address,
    offer: &Offered,
    own_tables: &[Address],
) -> Result<Option<Fit>> {
    let Some((repay, withdraw)) = position.reserves_of(&offer.pair) else { return Ok(None) };
    let accounts = KeeperAccounts::associated(keeper, &repay, &withdraw);
    let sale = Sale {
        keeper,
        withdraw: &withdraw,
        repay: &repay,
        keeper_debt: &accounts.debt,
        amount: offer.route.stated.amount_in,
        ways: Ways::ALL,
        tolerance_bps: 0,
    };
    let Sold { route, tables: brought, .. } = by_offer(offer, &sale)?;
    let mut tables = tables(position.view, own_tables.iter().chain(&brought))?;
    let order = Order {
        repay_reserve: repay.reserve,
        withdraw_reserve: withdraw.reserve,
        flash_reserve: repay.reserve,
        flash_amount: u64::MAX,
        terms: Terms { deadline_slot: u64::MAX, ..Terms::default() },
    };
    let addresses = addresses(position, &repay.reserve)?;
    let mut liquidation = order.liquidation(&addresses, keeper, Some(route))?;
    liquidation.compute_budget =
        ComputeBudget { unit_limit: Some(MAX_COMPUTE_UNITS), unit_price: 1 };
    let instructions = liquidation.instructions()?;
    if own_tables.is_empty() {
        let addresses = lookup_table::candidates(&instructions, keeper);
        tables
            .push(AddressLookupTableAccount { key: Address::new_from_array([255; 32]), addresses });
    }
    match budget::check_v0(keeper, &instructions, &tables, None) {
        Ok(_) => Ok(Some(Fit::Fits)),
        Err(error @ (BudgetError::Bytes { .. } | BudgetError::Accounts { .. })) => {
            Ok(Some(Fit::TooLarge(error.to_string())))
        }
        Err(other) => Err(other).context("the transaction cannot be built"),
    }
}
