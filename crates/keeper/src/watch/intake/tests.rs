//! What is believed of whom.

use std::mem::offset_of;

use flash_liquidator_client::swap::stand_in;
use klend_fork::Machine;
use klend_interface::state::{DISCRIMINATOR_SIZE, Obligation, Reserve};

use super::*;
use crate::{
    book::scan::scan,
    feeds::{blockhash::Blockhash, source::Source as _},
    reader::{self, Found, Warm},
    route::discovery::{Found as Discovered, Want},
    watch::rig::Rig,
};

#[test]
fn pools_that_left_the_ranking_are_not_followed() {
    let mut rig = Rig::new("discover = true\nsimulate = \"none\"", |_| ());
    let scan = scan(&*rig.source, &rig.market, true).map(Box::new);
    let engine = &mut rig.engine;
    engine.found(Found::Scan(rig.market, scan)).unwrap();
    let key = |byte| Address::new_from_array([byte; 32]);
    let wanted = Want { pair: (key(1), key(2)), amount: 1 };
    let mut follows = |found: Vec<Address>| {
        let found = Discovered::of(wanted, found, false);
        engine.found(Found::Pools(wanted, Ok(Box::new(found)))).unwrap();
        engine.scout().unwrap();
        [key(3), key(4)].map(|pool| engine.live.contains(&pool))
    };
    assert_eq!(follows(vec![key(3), key(4)]), [true, true]);
    assert_eq!(follows(vec![key(4)]), [false, true]);
    assert_eq!(follows(Vec::new()), [false, false]);
}

/// Bytecode that is newer than the machine, say: it is told of once, and what calls it is
/// decided on without a simulation.
#[test]
fn what_the_machine_does_not_load_is_not_waited_for() {
    let mut rig = Rig::new("", |_| ());
    let swaps = stand_in::PROGRAM_ID;
    for _ in 0..9 {
        rig.engine.begin().unwrap();
        while let Ok(order) = rig.orders.try_recv() {
            let found = if let Order::Machine(programs) = order {
                let mut world = rig.source.world(&programs).unwrap();
                world.set_account(&swaps, Account { lamports: 1, ..Account::default() }).unwrap();
                let refused = vec![(swaps, "an instruction that is not known".to_owned())];
                let machine = Machine::new(world);
                Found::Machine(Ok(Box::new(Warm { machine, programs, refused })))
            } else {
                reader::read(&*rig.source, order)
            };
            rig.engine.found(found).unwrap();
        }
        rig.engine.end().unwrap();
    }
    let Engine { loaded, refused, .. } = &rig.engine;
    assert!(refused.iter().eq([&swaps]) && loaded.len() > 3, "{refused:?} {loaded:?}");
    let job = rig.jobs.try_recv().unwrap();
    assert!(job.stage.is_none() && job.plan.route.is_some());
    job.plan.check_unsimulated().unwrap();
}

/// A search that failed, or of which a list failed, is none: it is made again soon, and
/// what nothing sells meanwhile is not given up for a day.
#[test]
fn a_search_that_failed_is_made_again_and_answers_nothing() {
    let mut rig = Rig::new("discover = true\nsimulate = \"none\"", |_| ());
    rig.settle();
    let pair = *rig.engine.sought.keys().next().unwrap();
    let wanted = rig.engine.sought[&pair].wanted;
    assert!(rig.engine.is_sought(&pair));
    let key = Address::new_from_array([3; 32]);
    let whole = Discovered::of(wanted, vec![key], false);
    rig.engine.found(Found::Pools(wanted, Ok(Box::new(whole)))).unwrap();
    let short = || Box::new(Discovered::of(wanted, Vec::new(), true));
    let fails = [Err(anyhow::anyhow!("sick")), Ok(short()), Ok(short())];
    let mut pauses = Vec::new();
    for found in fails {
        rig.engine.found(Found::Pools(wanted, found)).unwrap();
        assert!(!rig.engine.is_sought(&pair));
        assert_eq!(rig.engine.pools.found(&pair), [key], "what is known stays");
        pauses.push(rig.engine.sought[&pair].pause(Duration::from_secs(3_600)).as_secs());
        let searches = |rig: &mut Rig| {
            rig.engine.seek(Vec::new()).unwrap();
            let of = |order| match order {
                Order::Pools { wanted: it, named, .. } => it.pair == pair && named == [key],
                _ => false,
            };
            rig.orders.try_iter().filter_map(|order| of(order).then_some(())).count()
        };
        assert_eq!(searches(&mut rig), 0);
        rig.engine.time.at.since += Duration::from_secs(4);
        // By the address that is known, too.
        assert_eq!(searches(&mut rig), usize::from(pauses.len() < 3));
    }
    assert_eq!(pauses, [2, 4, 8]);
    // Who never lists is believed in the end.
    for _ in 0..16 {
        rig.engine.found(Found::Pools(wanted, Ok(short()))).unwrap();
    }
    assert!(rig.engine.is_sought(&pair));
}

/// Time is what the newest of many say, so one that is wrong about it would be right for
/// good.
#[test]
fn an_account_of_a_time_that_has_not_come_does_not_become_the_time() {
    let mut rig = Rig::new("simulate = \"none\"\nnear_health = 10", |_| ());
    rig.settle();
    let slot = rig.slot();
    let now = |rig: &Rig| rig.engine.states[&rig.market].market.clock.slot;
    let reserve = *rig.engine.states[&rig.market].market.reserve_keys().next().unwrap();
    let obligation = *rig.engine.states[&rig.market].tracker.keys().next().unwrap();
    let clock = sysvar::clock::ID;
    let offset = |key: &Address| match *key {
        key if key == clock => 0,
        key if key == reserve => DISCRIMINATOR_SIZE + offset_of!(Reserve, last_update),
        _ => DISCRIMINATOR_SIZE + offset_of!(Obligation, last_update),
    };
    for key in [clock, reserve, obligation] {
        let account = rig.source.account("account", &key).unwrap();
        let of_slot = |slot: u64| {
            let mut account = account.clone();
            account.data[offset(&key)..][..8].copy_from_slice(&slot.to_le_bytes());
            Some(account)
        };
        let before = now(&rig);
        for lie in [1 << 63, u64::MAX, before + AHEAD + 2] {
            rig.tell(&key, slot + 1, of_slot(lie));
            assert!(now(&rig) <= before.max(slot + 1), "{key}: {lie}");
        }
        // What is true is taken afterwards.
        rig.tell(&key, slot + 2, of_slot(slot + 2));
        assert_eq!(now(&rig), before.max(slot + 2), "{key}");
    }
}

/// However it is told that nothing is there any more: a node answers with nothing, a
/// websocket tells of null, gRPC of an account without lamports.
#[test]
fn what_is_gone_by_one_word_is_looked_at_elsewhere_before_it_is_forgotten() {
    let mut rig = Rig::new("simulate = \"none\"\nnear_health = 10", |_| ());
    rig.settle();
    let slot = rig.slot();
    let mut known: Vec<Address> = rig.engine.pools.stand_ins.clone();
    known.extend(rig.engine.states.values().flat_map(|state| state.tracker.keys()).copied());
    assert!(known.len() > 2, "{known:?}");
    let is_there = |rig: &Rig, key: &Address| {
        let is_known = |state: &State| state.known(key).is_some();
        rig.engine.accounts.get(key).is_some() || rig.engine.states.values().any(is_known)
    };
    for key in known {
        let account = rig.source.account("account", &key).unwrap();
        for word in [Some(Account::default()), None, Some(Account::default())] {
            rig.tell(&key, slot + 1, word);
            assert!(is_there(&rig, &key), "{key}");
        }
        // One question, until there is an answer.
        assert_eq!(rig.looks(Why::Confirm), [key]);
        assert!(rig.looks(Why::Confirm).is_empty());
        rig.looked(Why::Polling, &key, slot + 2, None);
        rig.engine.found(Found::Look(Why::Confirm, Err(anyhow::anyhow!("sick")))).unwrap();
        assert_eq!(rig.looks(Why::Confirm), [key]);
        assert!(is_there(&rig, &key), "{key}");
        // It is there.
        rig.looked(Why::Confirm, &key, slot + 3, Some(account));
        rig.tell(&key, slot + 4, None);
        assert!(is_there(&rig, &key), "{key}");
        assert_eq!(rig.looks(Why::Confirm), [key]);
        // Of a node that has not come so far.
        rig.looked(Why::Confirm, &key, slot + 3, None);
        assert!(is_there(&rig, &key), "{key}");
        assert_eq!(rig.looks(Why::Confirm), [key]);
        rig.looked(Why::Confirm, &key, slot + 4, None);
        assert!(!is_there(&rig, &key), "{key}");
    }
}

/// A node that shows nothing of what is looked at for the first time is one answer, too.
#[test]
fn a_first_answer_of_nothing_is_asked_for_again() {
    let mut rig = Rig::new("simulate = \"none\"\nnear_health = 10", |_| ());
    let (mut hidden, mut absent) = (Vec::new(), Vec::new());
    for _ in 0..20 {
        rig.engine.begin().unwrap();
        while let Ok(order) = rig.orders.try_recv() {
            let mut found = reader::read(&*rig.source, order);
            let mut shown = Vec::new();
            if let Found::Look(Why::Needed, Ok(look)) = &mut found {
                for (key, account) in &mut look.accounts {
                    if rig.engine.is_first_look(key) {
                        shown.push(*key);
                        let all = if account.is_some() { &mut hidden } else { &mut absent };
                        all.push(*key);
                        *account = None;
                    }
                }
            }
            rig.engine.found(found).unwrap();
            for key in shown {
                assert!(!rig.engine.accounts.is_known(&key), "{key}");
                assert!(rig.engine.asked.contains(&key), "{key} is waited for");
            }
        }
        rig.engine.end().unwrap();
    }
    assert!(hidden.len() > 5 && !absent.is_empty(), "{hidden:?} {absent:?}");
    let engine = &rig.engine;
    assert!(hidden.iter().all(|key| engine.accounts.get(key).is_some()));
    // What two answers lack is known not to be there.
    let is_none =
        |key: &Address| engine.accounts.is_known(key) && engine.accounts.get(key).is_none();
    assert!(absent.iter().all(is_none) && engine.asked.is_empty() && engine.ready);
}

/// Updates tell of every change, or else they are not what they seem.
#[test]
fn a_scan_that_finds_what_nobody_told_of_raises_a_doubt() {
    let mut rig = Rig::new("simulate = \"none\"", |_| ());
    rig.settle();
    let (market, slot) = (rig.market, rig.slot());
    let scanned = |rig: &mut Rig, later: u64, is_fed: bool| {
        let mut scan = scan(&*rig.source, &market, true).unwrap();
        scan.slot += later;
        let (read, key, obligation) = &mut scan.obligations[0];
        *read += later;
        obligation.deposits[0].deposited_amount += later;
        let (key, obligation) = (*key, obligation.clone());
        if is_fed {
            rig.engine.scanned_fed.insert(market);
        }
        rig.engine.found(Found::Scan(market, Ok(Box::new(scan)))).unwrap();
        while rig.engine.merge_some(usize::MAX).unwrap() {}
        (key, obligation, rig.engine.doubts.contains_key(&key))
    };
    let is_doubted = |found: (Address, Box<klend_interface::state::Obligation>, bool)| found.2;
    assert!(!is_doubted(scanned(&mut rig, 0, true)), "as it was");
    assert!(!is_doubted(scanned(&mut rig, 1, false)), "from before updates flow");
    let (key, obligation, is_doubted_now) = scanned(&mut rig, 2, true);
    assert!(is_doubted_now);
    // It was on its way.
    let mut account = rig.source.account("obligation", &key).unwrap();
    account.data[DISCRIMINATOR_SIZE..].copy_from_slice(bytemuck::bytes_of(&*obligation));
    let version = Version::end_of(slot + 2);
    rig.engine.fed(0, Update::Account { key, version, account }).unwrap();
    assert!(rig.engine.doubts.is_empty() && !rig.engine.doubt());
    assert!(is_doubted(scanned(&mut rig, 3, true)));
    assert!(!rig.engine.doubt());
    rig.engine.time.at.since += TELLING;
    assert!(rig.engine.doubt(), "subscribed anew");
}

/// An oracle that a feed tells nothing of stays as it was.
#[test]
fn a_price_is_not_overwritten_with_nothing() {
    let mut rig = Rig::new("simulate = \"none\"", |_| ());
    rig.settle();
    let state = rig.engine.states.values().next().unwrap();
    let keys = state.market.single_keys().unwrap();
    let before: Vec<Account> =
        keys.iter().filter_map(|key| state.market.account(key).cloned()).collect();
    assert!(before.len() > 1);
    let slot = rig.slot();
    keys.iter().for_each(|key| rig.tell(key, slot + 1, Some(Account::default())));
    // Somebody else is asked what they are.
    let mut asked = rig.looks(Why::Confirm);
    asked.retain(|key| keys.contains(key));
    assert!(asked.len() >= before.len(), "{asked:?}");
    let state = rig.engine.states.values().next().unwrap();
    let after = keys.iter().filter_map(|key| state.market.account(key).cloned());
    assert_eq!(after.collect::<Vec<_>>(), before);
}

#[test]
fn nothing_is_signed_with_a_blockhash_that_is_too_old() {
    let mut rig = Rig::new("simulate = \"none\"", |config| config.send = true);
    let now = rig.slot();
    let read = |rig: &mut Rig, slot, last_valid_height| {
        let hash = Blockhash { slot, last_valid_height, ..Blockhash::default() };
        rig.engine.found(Found::Blockhash(Ok(hash))).unwrap();
        rig.engine.chain.blockhash.map(|it| it.slot)
    };
    assert_eq!(read(&mut rig, now - 125, u64::MAX), Some(now - 125));
    // The newest is of the latest slot, whatever it says of its life.
    assert_eq!(read(&mut rig, now - 121, 9), Some(now - 121));
    assert_eq!(read(&mut rig, now - 122, u64::MAX), Some(now - 121));
    rig.settle();
    assert!(rig.jobs.try_recv().is_err());
    assert_eq!((rig.engine.queue.len(), rig.engine.flights.len()), (1, 0));
    read(&mut rig, now - 100, 9);
    rig.settle();
    let job = rig.jobs.try_recv().unwrap();
    assert_eq!(job.blockhash.map(|it| it.slot), Some(now - 100));
}
