//! What klend asks of a liquidation's accounts before it looks at the position,
//! in klend's order.

use klend_interface::state::{LendingMarket, Reserve};
use solana_address::Address;

use crate::{
    constants::{permissioned_ops, price_status, reserve_status},
    errors::Code,
    fraction::Fraction,
    keys,
    obligation::ObligationState,
    refusal::Refusal,
    reserve::ReserveState,
    table::ReserveTable,
};

/// All of them but the farms'.
pub(super) fn check(
    table: &ReserveTable<'_>,
    obligation: &ObligationState<'_>,
    repay: &ReserveState<'_>,
    withdraw: &ReserveState<'_>,
    amount: u64,
) -> Result<(), Refusal> {
    let market = table.market();
    if market.emergency_mode != 0 {
        return Err(Refusal::klend(Code::GlobalEmergencyMode, table.market_key()));
    }
    for reserve in [repay, withdraw] {
        if reserve.emergency {
            return Err(Refusal::klend(Code::ReserveEmergencyMode, &reserve.key));
        }
    }
    if table.version().has_reserve_switches() {
        check_permission(table.market_key(), market, [repay, withdraw])?;
    }
    check_liquidatable(market, obligation, withdraw)?;
    if amount == 0 {
        return Err(Refusal::klend(Code::InvalidAmount, &obligation.key));
    }
    for reserve in [repay, withdraw] {
        check_price(Code::ReserveStale, &reserve.key, reserve.price_status)?;
    }
    let (health, key) = (&obligation.health, &obligation.key);
    check_price(Code::ObligationStale, key, health.price_status)?;
    if health.deposited_value == Fraction::ZERO {
        return Err(Refusal::klend(Code::ObligationDepositsZero, key));
    }
    if health.adjusted_debt_value == Fraction::ZERO {
        return Err(Refusal::klend(Code::ObligationBorrowsZero, key));
    }
    Ok(())
}

/// Whether liquidations need the signature of the market's permissioning
/// authority. Nobody else's helps, and no transaction here carries it.
fn check_permission(
    market_key: &Address,
    market: &LendingMarket,
    reserves: [&ReserveState<'_>; 2],
) -> Result<(), Refusal> {
    if !keys::is_set(&market.permissioning_authority) {
        return Ok(());
    }
    let is_gated = |ops: u64| ops & permissioned_ops::LIQUIDATE != 0;
    let of_reserve = |account: &Reserve| is_gated(account.config.permissioned_ops);
    let gate = if is_gated(market.permissioned_ops) {
        Some(market_key)
    } else {
        reserves.iter().find(|reserve| of_reserve(reserve.account)).map(|reserve| &reserve.key)
    };
    gate.map_or(Ok(()), |key| Err(Refusal::klend(Code::MissingPermissioner, key)))
}

/// Whether collateral of a reserve can be seized from an obligation at all.
fn check_liquidatable(
    market: &LendingMarket,
    obligation: &ObligationState<'_>,
    withdraw: &ReserveState<'_>,
) -> Result<(), Refusal> {
    let group = usize::from(obligation.account.elevation_group).checked_sub(1);
    let threshold = group
        .and_then(|index| market.elevation_groups.get(index))
        .map_or(withdraw.account.config.liquidation_threshold_pct, |group| {
            group.liquidation_threshold_pct
        });
    if threshold == 0 {
        return Err(Refusal::klend(Code::CollateralNonLiquidatable, &withdraw.key));
    }
    Ok(())
}

fn check_price(error: Code, key: &Address, status: u8) -> Result<(), Refusal> {
    let wanted = price_status::LIQUIDATION_CHECKS;
    if status & wanted == wanted {
        Ok(())
    } else {
        Err(Refusal::integers(error, key, u64::from(status), u64::from(wanted)))
    }
}

/// klend refreshes the farms at the end, which an obsolete reserve refuses.
pub(super) fn check_farms(
    repay: &ReserveState<'_>,
    withdraw: &ReserveState<'_>,
) -> Result<(), Refusal> {
    for (reserve, farm) in
        [(withdraw, &withdraw.account.farm_collateral), (repay, &repay.account.farm_debt)]
    {
        if keys::is_set(farm) && reserve.account.config.status == reserve_status::OBSOLETE {
            return Err(Refusal::klend(Code::ReserveObsolete, &reserve.key));
        }
    }
    Ok(())
}
