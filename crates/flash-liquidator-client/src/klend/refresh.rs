use klend_interface::instructions as v2;
use klend_model::keys::to_v2;
use solana_address::Address;
use solana_instruction::Instruction;
use solana_instruction_v2::AccountMeta;

use super::{
    ReserveAddresses,
    convert::{instruction, option, writable},
};

/// `refresh_reserve`: accrues interest to this slot and reads the oracles.
/// Needs no signer.
#[must_use]
pub fn refresh_reserve(reserve: &ReserveAddresses) -> Instruction {
    instruction(v2::refresh_reserve(v2::RefreshReserveAccounts {
        reserve: to_v2(&reserve.reserve),
        lending_market: to_v2(&reserve.lending_market),
        pyth_oracle: option(reserve.oracles.pyth),
        switchboard_price_oracle: option(reserve.oracles.switchboard_price),
        switchboard_twap_oracle: option(reserve.oracles.switchboard_twap),
        scope_prices: option(reserve.oracles.scope),
    }))
}

/// `refresh_reserves_batch`: several reserves in one instruction.
///
/// With `skip_price_updates` klend keeps the price it has saved as long as that
/// is young enough, and the oracle accounts are left out.
#[must_use]
pub fn refresh_reserves_batch<'a>(
    reserves: impl IntoIterator<Item = &'a ReserveAddresses>,
    skip_price_updates: bool,
) -> Instruction {
    let readonly = |key| AccountMeta::new_readonly(key, false);
    let mut metas = Vec::new();
    for reserve in reserves {
        metas.push(writable(&reserve.reserve));
        metas.push(readonly(to_v2(&reserve.lending_market)));
        if !skip_price_updates {
            let oracles = reserve.oracles;
            for oracle in
                [oracles.pyth, oracles.switchboard_price, oracles.switchboard_twap, oracles.scope]
            {
                metas.push(readonly(option(oracle).unwrap_or(klend_interface::KLEND_PROGRAM_ID)));
            }
        }
    }
    instruction(v2::refresh_reserves_batch(skip_price_updates, metas))
}

/// `refresh_obligation`: recomputes values and limits. All its reserves have to
/// be fresh in this slot. Needs no signer.
///
/// `deposit_reserves` and `borrow_reserves` are the active ones in slot order,
/// `referrer_token_states` one per borrow when the obligation has a referrer
/// ([`ObligationAddresses::referrer_token_states`](super::ObligationAddresses::referrer_token_states)).
#[must_use]
pub fn refresh_obligation(
    lending_market: &Address,
    obligation: &Address,
    deposit_reserves: &[Address],
    borrow_reserves: &[Address],
    referrer_token_states: &[Address],
) -> Instruction {
    instruction(v2::refresh_obligation(
        v2::RefreshObligationAccounts {
            lending_market: to_v2(lending_market),
            obligation: to_v2(obligation),
        },
        deposit_reserves
            .iter()
            .chain(borrow_reserves)
            .chain(referrer_token_states)
            .map(writable)
            .collect(),
    ))
}
