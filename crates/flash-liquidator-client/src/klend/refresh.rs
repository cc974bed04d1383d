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

#[cfg(test)]
mod tests {
    use bytemuck::Zeroable;
    use klend_interface::state::Reserve;

    use super::*;
    use crate::klend::{Oracles, PROGRAM_ID};

    fn key(byte: u8) -> Address {
        Address::new_from_array([byte; 32])
    }

    #[test]
    fn a_batch_is_the_single_refreshes_one_after_the_other() {
        let reserves = [1u8, 2].map(|byte| ReserveAddresses {
            oracles: Oracles { scope: Some(key(byte + 10)), ..Oracles::default() },
            ..ReserveAddresses::read(&key(byte), &Reserve::zeroed())
        });
        let batch = refresh_reserves_batch(&reserves, false);
        let each: Vec<_> = reserves.iter().flat_map(|one| refresh_reserve(one).accounts).collect();
        assert_eq!(batch.accounts, each);
        assert_eq!(batch.data.len(), 9);
        assert_eq!(each[2].pubkey, PROGRAM_ID, "an oracle that is not used");
        assert_eq!((each[5].pubkey, each[5].is_writable), (key(11), false));

        let without_prices = refresh_reserves_batch(&reserves, true);
        let kept: Vec<_> = each.chunks(6).flat_map(|one| one[..2].to_vec()).collect();
        assert_eq!(without_prices.accounts, kept);
    }

    #[test]
    fn an_obligation_is_refreshed_with_deposits_then_borrows_then_referrers() {
        let built = refresh_obligation(&key(1), &key(2), &[key(3)], &[key(4), key(5)], &[key(6)]);
        let keys: Vec<_> = built.accounts.iter().map(|meta| meta.pubkey).collect();
        assert_eq!(keys, [1, 2, 3, 4, 5, 6].map(key));
        let writable: Vec<_> = built.accounts.iter().map(|meta| meta.is_writable).collect();
        assert_eq!(writable, [false, true, true, true, true, true]);
    }
}
