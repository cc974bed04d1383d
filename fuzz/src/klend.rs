//! The model's readers of klend's accounts, and what is computed from what they read.

use std::{collections::BTreeMap, sync::LazyLock};

use klend_fork::Snapshot;
use klend_interface::state::{LendingMarket, Obligation, Reserve};
use klend_model::{
    accounts::{self, account_data},
    constants::KLEND_PROGRAM_ID,
    keys::{address, to_v2},
    search::{Funding, Leftovers, best_liquidation},
    table::ReserveTable,
    time::Clock,
    version::KlendVersion,
};
use solana_address::Address;

const OBLIGATION: Address = Address::new_from_array([9; 32]);

/// The built-in market with an obligation in it.
struct Base {
    clock: Clock,
    market: (Address, Vec<u8>),
    reserves: Vec<(Address, Vec<u8>)>,
    obligation: Vec<u8>,
}

static BASE: LazyLock<Base> = LazyLock::new(|| {
    let snapshot = Snapshot::builtin().expect("the built-in market");
    let of_klend: BTreeMap<_, _> = snapshot
        .accounts
        .into_iter()
        .filter(|(_, account)| account.owner == KLEND_PROGRAM_ID)
        .map(|(key, account)| (key, account.data))
        .collect();
    let mut reserves: Vec<_> = of_klend
        .iter()
        .filter(|(key, data)| accounts::reserve(key, &KLEND_PROGRAM_ID, data).is_ok())
        .map(|(key, data)| (*key, data.clone()))
        .collect();
    let market_of = |data: &[u8]| {
        let reserve: &Reserve =
            accounts::reserve(&OBLIGATION, &KLEND_PROGRAM_ID, data).expect("a reserve");
        *address(&reserve.lending_market)
    };
    // The market with most reserves.
    let market = reserves
        .iter()
        .map(|(_, data)| market_of(data))
        .max_by_key(|market| reserves.iter().filter(|(_, data)| market_of(data) == *market).count())
        .expect("reserves");
    reserves.retain(|(_, data)| market_of(data) == market);
    let mut obligation: Obligation = bytemuck::Zeroable::zeroed();
    obligation.lending_market = to_v2(&market);
    obligation.has_debt = 1;
    for (slot, (key, _)) in reserves.iter().enumerate() {
        if slot % 2 == 0 {
            let deposit = &mut obligation.deposits[slot / 2];
            deposit.deposit_reserve = to_v2(key);
            deposit.deposited_amount = 1_000_000_000;
        } else {
            let borrow = &mut obligation.borrows[slot / 2];
            borrow.borrow_reserve = to_v2(key);
            borrow.borrowed_amount_sf = (900_000_000u128 << 60).into();
        }
    }
    let clock = Clock {
        slot: snapshot.slot,
        unix_timestamp: u64::try_from(snapshot.unix_timestamp).expect("after 1970"),
    };
    let market = (market, of_klend[&market].clone());
    Base { clock, market, reserves, obligation: account_data(&obligation) }
});

/// A byte that says which account is changed, and the changes; twice, divided by the
/// number in the second byte.
pub fn run(bytes: &[u8]) {
    let Some((&[which, split], rest)) = bytes.split_first_chunk() else { return };
    let base = &*BASE;
    let (mut market, mut obligation) = (base.market.1.clone(), base.obligation.clone());
    let mut reserves = base.reserves.clone();
    let (first, second) = rest.split_at(usize::from(split).min(rest.len()));
    for (which, patches) in [(which & 15, first), (which >> 4, second)] {
        let data = match which {
            0 => &mut market,
            1 => &mut obligation,
            other => {
                let count = reserves.len();
                &mut reserves[usize::from(other) % count].1
            }
        };
        crate::patches::apply(data, patches);
    }
    evaluate(base, &market, &reserves, &obligation);
}

fn evaluate(base: &Base, market: &[u8], reserves: &[(Address, Vec<u8>)], obligation: &[u8]) {
    let owner = &KLEND_PROGRAM_ID;
    let market_key = &base.market.0;
    let Ok(market): Result<&LendingMarket, _> = accounts::lending_market(market_key, owner, market)
    else {
        return;
    };
    let read: Vec<_> = reserves
        .iter()
        .filter_map(|(key, data)| Some((*key, accounts::reserve(key, owner, data).ok()?)))
        .collect();
    let later =
        Clock { slot: base.clock.slot + 1_000, unix_timestamp: base.clock.unix_timestamp + 400 };
    let moments = [base.clock, later].map(|clock| KlendVersion::ALL.map(|klend| (klend, clock)));
    for (klend, clock) in moments.into_iter().flatten() {
        let table = ReserveTable::refresh(klend, market_key, market, &read, clock, None);
        for reserve in table.reserves() {
            let _ = (reserve.borrow_rate(), reserve.utilization(), reserve.borrow_apy(None));
            let _ = (
                reserve.supply_apy(Some(0.4)),
                reserve.flash_fee(u64::MAX),
                reserve.deposit_limit(),
            );
        }
        let Ok(account) = accounts::obligation(&OBLIGATION, owner, obligation) else { return };
        let Ok(state) = table.obligation(&OBLIGATION, account) else { continue };
        let health = state.health;
        let _ = (health.ltv(), health.health_factor(), health.distance_to_liquidation());
        for leftovers in [Leftovers::Allow, Leftovers::Reject] {
            let funding = Funding::OwnTokens;
            let _ = best_liquidation(&table, &state, funding, leftovers, |_, _, amount| {
                Some(amount / 2)
            });
        }
    }
}
