//! Addresses that klend and the farms program derive from seeds.
//!
//! Only those that no account names. A reserve's vaults are not among them.

use liquidation_venues::pda::find;
use solana_address::Address;

use super::{FARMS_PROGRAM_ID, PROGRAM_ID};

/// PDA `["lma", market]`: owner of every vault of the market.
#[must_use]
pub fn lending_market_authority(lending_market: &Address) -> Address {
    klend(&[b"lma", lending_market.as_ref()])
}

/// PDA `["user_meta", owner]`: made once per owner, before the first obligation.
#[must_use]
pub fn user_metadata(owner: &Address) -> Address {
    klend(&[b"user_meta", owner.as_ref()])
}

/// PDA `[[tag], [id], owner, market, seed1, seed2]`.
#[must_use]
pub fn obligation(
    tag: u8,
    id: u8,
    owner: &Address,
    lending_market: &Address,
    seeds: [&Address; 2],
) -> Address {
    klend(&[
        &[tag],
        &[id],
        owner.as_ref(),
        lending_market.as_ref(),
        seeds[0].as_ref(),
        seeds[1].as_ref(),
    ])
}

/// PDA `["referrer_acc", referrer, reserve]`: fees a referrer has earned in a reserve.
#[must_use]
pub fn referrer_token_state(referrer: &Address, reserve: &Address) -> Address {
    klend(&[b"referrer_acc", referrer.as_ref(), reserve.as_ref()])
}

/// PDA `["user", farm, obligation]` of the farms program: an obligation's stake
/// in a reserve's farm.
#[must_use]
pub fn farm_user_state(farm: &Address, obligation: &Address) -> Address {
    let seeds: &[&[u8]] = &[b"user", farm.as_ref(), obligation.as_ref()];
    find(seeds, &FARMS_PROGRAM_ID).0
}

fn klend(seeds: &[&[u8]]) -> Address {
    find(seeds, &PROGRAM_ID).0
}

#[cfg(test)]
mod tests {
    use solana_address::address;

    use super::*;

    #[test]
    fn the_main_market_authority_is_the_one_on_mainnet() {
        assert_eq!(
            lending_market_authority(&address!("7u3HeHxYDLhnCoErrtycNokbQYbWGzLs6JSDqGAv5PfF")),
            address!("9DrvZvyWh1HuAoZxvYWMvkf2XCzryCpGgHqrMjyDWpmo")
        );
    }

    /// The seeds agree with `klend-interface`'s.
    #[test]
    fn seeds_agree_with_the_published_ones() {
        use klend_interface::{KLEND_PROGRAM_ID, pda};
        use klend_model::keys::{to_address, to_v2};

        let [a, b, c, d] = core::array::from_fn(|i| Address::new_from_array([i as u8 + 1; 32]));
        let [a2, b2, c2, d2] = [a, b, c, d].map(|key| to_v2(&key));
        assert_eq!(user_metadata(&a), to_address(&pda::user_metadata(&KLEND_PROGRAM_ID, &a2).0));
        assert_eq!(
            obligation(1, 2, &a, &b, [&c, &d]),
            to_address(&pda::obligation(&KLEND_PROGRAM_ID, 1, 2, &a2, &b2, &c2, &d2).0)
        );
        assert_eq!(
            referrer_token_state(&a, &b),
            to_address(&pda::referrer_token_state(&KLEND_PROGRAM_ID, &a2, &b2).0)
        );
        assert_eq!(farm_user_state(&a, &b), to_address(&pda::farms_user_state(&a2, &b2).0));
    }
}
