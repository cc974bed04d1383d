//! Which obligations are near their limit, and what liquidating them takes: found out a few
//! at a time. In a crash a hundred thousand come near at once, and updates do not wait for
//! all of them.

use std::{collections::BTreeSet, time::Duration};

use anyhow::Result;
use flash_liquidator_client::klend::ObligationAddresses;
use klend_interface::state::Obligation;
use solana_address::Address;

use super::engine::Engine;
use crate::route::{
    discovery::{self, merged},
    needs,
    venue::Venue,
};

/// Pause between two looks for obligations that come near their limit.
const SCOUT_PAUSE: Duration = Duration::from_secs(1);
/// Obligations that one turn of the loop looks at to see whether they are near.
const LISTED: usize = 16_384;

impl Engine {
    /// Everything is to be looked at again, soon.
    pub(super) fn scout_again(&mut self) {
        self.scouting.again();
        self.next_scout = self.time.now();
    }

    /// The same, with everything listed again.
    pub(super) fn scout_anew(&mut self) {
        self.scouting.forget();
        self.next_scout = self.time.now();
    }

    /// The same, and nothing is kept as it changes that is not found again.
    pub(super) fn follow_anew(&mut self) {
        (self.scouting.anew, self.scouting.live) = (true, BTreeSet::new());
        self.scouting.markets.clear();
        self.scout_again();
    }

    /// Orders the next of what obligations near their limit need and was not read yet;
    /// whether there was anything to do.
    pub(super) fn scout(&mut self) -> Result<bool> {
        let now = self.time.now();
        if self.states.len() < self.markets().len() {
            return Ok(false);
        }
        if now >= self.next_scout {
            self.next_scout = now + SCOUT_PAUSE;
            self.begin_scouting()?;
        }
        if self.scouting.is_done() {
            return Ok(false);
        }
        self.list()?;
        self.find_needs()?;
        if self.scouting.is_through() {
            self.end_scouting()?;
        }
        Ok(true)
    }

    /// Orders what all of them need, and has what is near listed.
    fn begin_scouting(&mut self) -> Result<()> {
        let mut wanted: Vec<Address> = self.parts.config.wishes.tables.clone();
        wanted.extend(self.parts.config.wishes.dont_front);
        wanted.extend(self.tip_accounts());
        wanted.extend(self.scope_needs()?);
        let Self { scouting, states, .. } = self;
        if std::mem::take(&mut self.pools_moved) {
            let around = Venue::around_prices(&self.accounts, &self.pools);
            scouting.live.extend(around.iter().copied());
            wanted.extend(around);
        }
        for state in states.values() {
            let market = &state.market;
            if scouting.markets.insert(market.key) {
                wanted.extend(needs::of_market(market, &self.keeper)?);
                scouting.live.extend(needs::mutable_mints(market)?);
            }
            // One that is being listed goes on.
            scouting.unlisted.entry(market.key).or_insert(0);
        }
        scouting.is_open = true;
        self.ask(wanted);
        Ok(())
    }

    /// Lists some of the obligations that are near.
    fn list(&mut self) -> Result<()> {
        let near = self.parts.config.near;
        let mut left = LISTED;
        while left > 0
            && let Some(mut market) = self.scouting.unlisted.first_entry()
        {
            let from = *market.get();
            let Some(state) = self.states.get_mut(market.key()) else {
                market.remove();
                continue;
            };
            let found = state.near(near, from..from + left)?;
            let to = state.tracker.len().min(from + left);
            left -= to.saturating_sub(from);
            if to < state.tracker.len() {
                *market.get_mut() = to;
            } else {
                market.remove();
            }
            for key in found {
                if self.scouting.near.insert(key) {
                    self.scouting.fresh.insert(key);
                    // It may stand between those that are looked at again.
                    self.scouting.again += usize::from(self.scouting.again > 0);
                }
            }
        }
        Ok(())
    }

    /// Orders what the next of them need.
    fn find_needs(&mut self) -> Result<()> {
        let next = self.scouting.next();
        if next.is_empty() {
            return Ok(());
        }
        let via = self.parts.config.discover.as_ref().map(|(seeking, _)| &seeking.via);
        let Self { scouting, states, accounts, pools, .. } = self;
        let mut wanted = Vec::new();
        // What swaps take is the same for all that are in the same reserves.
        let mut pairs = BTreeSet::new();
        for state in states.values() {
            let known = |key| Some((key, state.tracker.get(key)?));
            let of_market: Vec<(&Address, &Obligation)> = next.iter().filter_map(known).collect();
            if of_market.is_empty() {
                continue;
            }
            let market = &state.market;
            let table = market.table()?;
            for (key, obligation) in of_market {
                if let Some(via) = via {
                    scouting.sought.extend(discovery::wanted(&table, key, obligation, via));
                }
                if self.parts.config.jupiter.is_some() {
                    scouting.sold.extend(discovery::wanted(&table, key, obligation, &[]));
                }
                let addresses = ObligationAddresses::read(key, obligation);
                // What is not in the market cannot be liquidated either.
                let Ok(own) = needs::of_obligation(market, &addresses) else { continue };
                wanted.extend(own);
                let reserves = (&addresses.deposit_reserves, &addresses.borrow_reserves);
                if !pairs.insert((reserves.0.clone(), reserves.1.clone())) {
                    continue;
                }
                let swaps = needs::of_swaps(market, &addresses, accounts, pools, &self.keeper)?;
                wanted.extend(swaps.named);
                scouting.live.extend(swaps.around);
            }
        }
        if !pairs.is_empty() && !std::mem::replace(&mut scouting.pools_asked, true) {
            wanted.extend(pools.real());
            scouting.live.extend(pools.real());
        }
        for wants in [&mut scouting.sought, &mut scouting.sold] {
            *wants = merged(std::mem::take(wants).into_iter());
        }
        self.ask(wanted);
        Ok(())
    }

    /// All that are near were looked at.
    fn end_scouting(&mut self) -> Result<()> {
        let scouting = &mut self.scouting;
        scouting.is_open = false;
        scouting.pools_asked = false;
        let live = std::mem::take(&mut scouting.live);
        if std::mem::take(&mut scouting.anew) {
            self.live = live;
        } else {
            self.live.extend(live);
        }
        let (sought, sold) =
            (std::mem::take(&mut scouting.sought), std::mem::take(&mut scouting.sold));
        self.subscribe_to_pools();
        self.may_sell(&sold);
        self.seek(sought)?;
        if self.asked.is_empty() && self.machines == 0 {
            self.order_machine()?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use klend_interface::state::DISCRIMINATOR_SIZE;
    use klend_model::keys::to_v2;

    use super::*;
    use crate::{
        feeds::source::Source as _,
        watch::{
            rig::Rig,
            scouting::{SCOUTED, following},
        },
    };

    fn key(number: usize, of: u8) -> Address {
        let mut key = [of; 32];
        key[..8].copy_from_slice(&number.to_be_bytes());
        Address::new_from_array(key)
    }

    /// Many come near at once, each with a referrer of its own, whose state has to be read.
    #[test]
    fn all_that_are_near_are_scouted_and_few_of_them_in_a_turn() {
        const MANY: usize = 5 * SCOUTED + 7;
        let mut rig = Rig::new("simulate = \"none\"\nnear_health = 10", |_| ());
        rig.settle();
        assert!(rig.engine.scouting.is_done() && rig.engine.ready);
        let (market, (known, template)) = rig
            .engine
            .states
            .values()
            .find_map(|state| Some((&state.market, state.tracker.keys().next()?)))
            .map(|(market, key)| (market, (*key, rig.source.account("obligation", key).unwrap())))
            .unwrap();
        let (mut told, mut states) = (Vec::new(), Vec::new());
        for number in 0..MANY {
            let mut account = template.clone();
            let obligation: &mut Obligation =
                bytemuck::from_bytes_mut(&mut account.data[DISCRIMINATOR_SIZE..]);
            obligation.referrer = to_v2(&key(number, 8));
            let addresses = ObligationAddresses::read(&key(number, 7), obligation);
            let borrowed = addresses.borrow_reserves.iter().map(|key| market.reserve(key).unwrap());
            let of = addresses.referrer_token_states(market.lending_market().unwrap(), borrowed);
            states.push(of[0].address);
            told.push((key(number, 7), account));
        }
        let slot = rig.slot() + 1;
        told.into_iter().for_each(|(key, account)| rig.tell(&key, slot, Some(account)));
        rig.engine.time.at.since += SCOUT_PAUSE;

        let scouted =
            |rig: &Rig| states.iter().filter(|key| rig.engine.asked.contains(*key)).count();
        let mut turns = 0;
        while !rig.engine.scouting.is_done() || turns == 0 {
            let before = scouted(&rig);
            rig.engine.begin().unwrap();
            assert!(scouted(&rig) - before <= SCOUTED);
            turns += 1;
            assert!(turns < 99, "it does not end");
        }
        assert_eq!((scouted(&rig), turns), (MANY, MANY.div_ceil(SCOUTED)));
        // What is known now may name more: all are looked at again, as slowly.
        rig.engine.asked.clear();
        rig.engine.scout_again();
        let all = rig.engine.scouting.near.len();
        assert!(all > MANY && rig.engine.scouting.near.contains(&known));
        // Others come near meanwhile, and nobody waits for ever.
        rig.engine.begin().unwrap();
        rig.tell(&key(MANY, 7), slot, Some(template));
        rig.engine.time.at.since += SCOUT_PAUSE;
        let mut turns = 1;
        while !rig.engine.scouting.is_done() {
            rig.engine.begin().unwrap();
            turns += 1;
            assert!(turns < 99, "it does not end");
        }
        assert_eq!((scouted(&rig), turns), (MANY, (all + 2).div_ceil(SCOUTED)));
        assert!(rig.engine.scouting.near.contains(&key(MANY, 7)));
    }

    #[test]
    fn keys_follow_each_other_and_begin_again() {
        let keys: BTreeSet<Address> = (1..4).map(|number| key(number, 0)).collect();
        let behind = |number| following(&keys, &key(number, 0)).copied().collect::<Vec<_>>();
        let expected = |numbers: [usize; 3]| numbers.map(|number| key(number, 0)).to_vec();
        assert_eq!(behind(0), expected([1, 2, 3]));
        assert_eq!(behind(2), expected([3, 1, 2]));
        assert_eq!(behind(3), expected([1, 2, 3]));
    }
}
