//! Of all pools that are known, those that lead from a collateral to a debt.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use flash_liquidator_client::klend::ReserveAddresses;
use liquidation_venues::{Pool, stand_in::StandInPool};
use solana_address::Address;

use crate::book::{
    accounts::Accounts,
    pools::{Pair, Pools},
};

/// A pool, and the directions, as mints sold and bought, in which it may be of use.
pub(super) type Traded = (Arc<dyn Pool>, Vec<Pair>);

/// Each pool that is known and sells a collateral for a debt, or is one of two that do.
///
/// There may be a thousand, of which few lead anywhere: only those of mints that matter are
/// looked at.
pub(super) fn traded(
    accounts: &Accounts,
    sold: &[ReserveAddresses],
    bought: &[ReserveAddresses],
    pools: &Pools,
) -> Vec<Traded> {
    let mut traded = stand_ins(accounts, sold, bought, pools);
    let stand_ins: Vec<Pair> = traded.iter().flat_map(|(_, pairs)| pairs).copied().collect();
    let (sold, bought) = (mints(sold), mints(bought));
    // Pools that left the ranking are still kept, and do not count.
    let by_mint = accounts.pools();
    let of = |one: &Address, other: &Address| {
        by_mint.of(one, other).iter().filter(|key| pools.is_real(key))
    };
    let to_debt = |mint: &Address| {
        bought.iter().any(|to| of(mint, to).next().is_some())
            || stand_ins.iter().any(|(from, _)| from == mint)
    };
    let mut between: BTreeSet<Address> =
        stand_ins.iter().map(|(_, to)| *to).filter(to_debt).collect();
    let beside_debts: usize = bought.iter().map(|to| by_mint.count(to)).sum();
    for from in &sold {
        let leads = |mint: &&Address| of(from, mint).next().is_some() && to_debt(mint);
        // What leads stands beside the collateral and beside a debt: one side is enough.
        if by_mint.count(from) <= beside_debts {
            between.extend(by_mint.others(from).filter(leads));
        } else {
            let beside = bought.iter().flat_map(|to| by_mint.others(to));
            between.extend(beside.chain(stand_ins.iter().map(|(from, _)| from)).filter(leads));
        }
    }
    let from_sold = sold.iter().flat_map(|from| bought.union(&between).map(move |to| (from, to)));
    let to_bought = between.iter().flat_map(|from| bought.iter().map(move |to| (from, to)));
    // By address: one that is of use for two pairs is one pool.
    let mut of_use = BTreeMap::new();
    for key in from_sold.chain(to_bought).flat_map(|(from, to)| of(from, to)) {
        let Some(pool) = accounts.pool(key) else { continue };
        let pairs = directions(&**pool);
        let pairs = pairs.into_iter().filter(|pair| is_of_use(pair, &sold, &bought, &between));
        of_use.insert(key, (Arc::clone(pool), pairs.collect()));
    }
    traded.extend(of_use.into_values());
    traded
}

/// Pools of the stand-in program, which trade whatever they hold.
fn stand_ins(
    accounts: &Accounts,
    sold: &[ReserveAddresses],
    bought: &[ReserveAddresses],
    pools: &Pools,
) -> Vec<Traded> {
    let mut traded = Vec::new();
    for key in &pools.stand_ins {
        for from in sold {
            for to in bought.iter().filter(|to| to.liquidity_mint != from.liquidity_mint) {
                let sides = [from, to]
                    .map(|reserve| (reserve.liquidity_mint, reserve.liquidity_token_program));
                let pool = accounts
                    .of_venues(key)
                    .and_then(|account| StandInPool::read(key, account, sides).ok());
                let pair = (from.liquidity_mint, to.liquidity_mint);
                traded.extend(pool.map(|pool| (Arc::new(pool) as Arc<dyn Pool>, vec![pair])));
            }
        }
    }
    traded
}

fn mints(reserves: &[ReserveAddresses]) -> BTreeSet<Address> {
    reserves.iter().map(|reserve| reserve.liquidity_mint).collect()
}

fn directions(pool: &dyn Pool) -> [Pair; 2] {
    let [first, second] = pool.mints();
    [(first, second), (second, first)]
}

/// Whether a direction leads from a collateral to a debt, or to or from what stands between.
fn is_of_use(
    (from, to): &Pair,
    sold: &BTreeSet<Address>,
    bought: &BTreeSet<Address>,
    between: &BTreeSet<Address>,
) -> bool {
    sold.contains(from) && (bought.contains(to) || between.contains(to))
        || bought.contains(to) && between.contains(from)
}

#[cfg(test)]
mod tests {
    use liquidation_venues::stand_in;
    use proptest::{collection::vec, prelude::*};

    use super::{
        super::venue::tests::{BOUGHT, SOLD, key, put, reserve},
        *,
    };
    use crate::feeds::feed::Version;

    /// What is of use, by a pass over all pools.
    fn by_a_pass(
        accounts: &Accounts,
        sold: &[ReserveAddresses],
        bought: &[ReserveAddresses],
        pools: &Pools,
    ) -> Vec<Traded> {
        let mut traded = stand_ins(accounts, sold, bought, pools);
        let (sold, bought) = (mints(sold), mints(bought));
        let real: Vec<&Arc<dyn Pool>> = pools.real().filter_map(|key| accounts.pool(key)).collect();
        let stand_ins = traded.iter().flat_map(|(_, pairs)| pairs).copied();
        let all: Vec<Pair> =
            real.iter().flat_map(|pool| directions(&***pool)).chain(stand_ins).collect();
        let to_debt: BTreeSet<Address> =
            all.iter().filter(|(_, to)| bought.contains(to)).map(|(from, _)| *from).collect();
        let between: BTreeSet<Address> = all
            .iter()
            .filter(|(from, to)| sold.contains(from) && to_debt.contains(to))
            .map(|(_, to)| *to)
            .collect();
        for pool in real {
            let pairs = directions(&**pool).into_iter();
            let pairs: Vec<Pair> =
                pairs.filter(|pair| is_of_use(pair, &sold, &bought, &between)).collect();
            if !pairs.is_empty() {
                traded.push((Arc::clone(pool), pairs));
            }
        }
        traded
    }

    fn shown(traded: &[Traded]) -> Vec<(Address, Vec<Pair>)> {
        traded.iter().map(|(pool, pairs)| (*pool.address(), pairs.clone())).collect()
    }

    /// A pool of two mints is written.
    fn put_pool(accounts: &mut Accounts, at: u8, mints: [u8; 2], slot: u64) {
        let pool = klend_fork::scope::whirlpool([&key(mints[0]), &key(mints[1])], 1.0);
        accounts.put(&key(at), Version::end_of(slot), Some(pool));
    }

    /// Mints that anything is sold or bought of, and pools, by number.
    const MINTS: u8 = 6;
    const POOLS: u8 = 8;

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]

        /// Pools come, go, change what they trade and are told of late; they are named, found,
        /// and leave the ranking: what is of use, was not read or is no pool is what a pass
        /// over all of them says.
        #[test]
        fn what_is_of_use_is_what_a_pass_over_all_pools_says(
            named in 0..=u8::MAX,
            steps in vec((0..7u8, 0..POOLS, 0..MINTS, 0..MINTS, 0..=u8::MAX), 1..40),
            sold in 1..1u8 << MINTS,
            bought in 1..1u8 << MINTS,
        ) {
            let chosen = |bits: u8, first: u8| {
                (0..8).filter(|at| bits >> at & 1 == 1).map(|at| first + at).collect::<Vec<u8>>()
            };
            let keys = |bits| chosen(bits, 40).into_iter().map(key).collect::<Vec<_>>();
            let reserves = |bits| chosen(bits, 60).into_iter().map(reserve).collect::<Vec<_>>();
            let (sold, bought) = (reserves(sold), reserves(bought));
            let (mut accounts, mut pools) = (Accounts::default(), Pools::of(keys(named)));
            let (_, bump) = stand_in::pool_authority_and_bump(&key(20));
            let data = stand_in::pool_data(0, bump).to_vec();
            put(&mut accounts, &key(20), stand_in::PROGRAM_ID, data);
            for (slot, (what, at, first, second, bits)) in (1..).zip(steps) {
                let pool = key(40 + at);
                match what {
                    0 | 1 => put_pool(&mut accounts, 40 + at, [60 + first, 60 + second], slot),
                    2 => {
                        accounts.put(&pool, Version::end_of(slot), None);
                    }
                    3 => put_pool(&mut accounts, 40 + at, [60 + second, 60 + first], slot / 2),
                    4 => {
                        pools.take_found((key(first), key(second)), keys(bits));
                    }
                    5 => pools.look(&accounts),
                    _ => pools.stand_ins = keys(bits & 1).iter().map(|_| key(20)).collect(),
                }
                let found = traded(&accounts, &sold, &bought, &pools);
                let expected = by_a_pass(&accounts, &sold, &bought, &pools);
                prop_assert_eq!(shown(&found), shown(&expected));
                // Whenever they were looked through.
                let unread = accounts.unread(pools.real().copied());
                prop_assert_eq!(&*pools.unread(&accounts), unread);
                let named = pools.named().iter();
                let unfit: Vec<Address> =
                    named.filter(|key| accounts.pool(key).is_none()).copied().collect();
                prop_assert_eq!(&*pools.unfit(&accounts), unfit);
            }
        }
    }

    #[test]
    fn pools_that_lead_nowhere_are_not_looked_at() {
        const BETWEEN: u8 = 30;
        let mut accounts = Accounts::default();
        for (at, mints) in
            [(40, [SOLD, BETWEEN]), (41, [BETWEEN, BOUGHT]), (42, [SOLD, 31]), (43, [31, 32])]
        {
            put_pool(&mut accounts, at, mints, 1);
        }
        let of_use = |named: &[u8]| {
            let pools = Pools::of(named.iter().copied().map(key).collect());
            shown(&traded(&accounts, &[reserve(SOLD)], &[reserve(BOUGHT)], &pools))
        };
        let pair = |from, to| vec![(key(from), key(to))];
        let both = [(key(40), pair(SOLD, BETWEEN)), (key(41), pair(BETWEEN, BOUGHT))];
        assert_eq!(of_use(&[40, 41, 42, 43]), both);
        // One that is found for two pairs is one pool.
        assert_eq!(of_use(&[41, 40, 41]), both);
        assert_eq!(of_use(&[40, 42, 43]), []);
    }
}
