use solana_address::Address;

use super::{
    record::{Costs, Numbers, Outcome},
    records::Records,
    report::{
        By, LeftAlone, Watching, declined_rows, earned, left_alone, left_lines, lines, moment,
        monday, rows, tried, watching,
    },
    store::open_to_read,
    *,
};
use crate::route::why::Reason;

const PATIENCE: Duration = Duration::from_secs(20);

fn begun(byte: u8) -> Begun {
    Begun {
        market: Address::new_from_array([1; 32]),
        obligation: Address::new_from_array([byte; 32]),
        slot: 7,
        quoted_usd: 2.5,
        sends: true,
    }
}

fn declined(byte: u8, slot: u64, why: Reason) -> Declined {
    Declined {
        market: Address::new_from_array([1; 32]),
        obligation: Address::new_from_array([byte; 32]),
        slot,
        why,
        reason: format!("at slot {slot}"),
        debt_usd: 10.0 * f64::from(byte),
        quoted_usd: (why == Reason::BelowFloor).then_some(0.5),
        short_usd: (why == Reason::BelowFloor).then_some(0.25),
        rests: Duration::from_secs(30),
    }
}

/// Executed with so much profit, raw units of 6 decimals at 2 dollars.
fn executed(outcome: Outcome, profit: i64) -> Box<Ended> {
    let numbers = Numbers {
        road: "node",
        venue: "whirlpool".to_owned(),
        debt_mint: Address::new_from_array([9; 32]),
        debt_decimals: 6,
        debt_price: 2.0,
        sol_price: Some(100.0),
        profit: Some(profit),
        loan: u64::MAX,
        costs: Costs { fee: 5_000, tip: 10_000_000, rent: 2_000_000 },
        landed_slot: Some(9),
        ..Numbers::default()
    };
    let (code, reason) = (String::new(), "a \"quoted\", text".to_owned());
    Box::new(Ended { outcome, code, reason, signature: Some("sig".to_owned()), numbers })
}

fn ledger(path: &Path) -> Ledger {
    Ledger::open(path, Arc::new(Metrics::new())).unwrap()
}

#[test]
fn what_was_earned_is_added_up_after_every_cost() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("keeper.db");
    let ledger = ledger(&path);
    for profit in [3_000_000, 1_000_000] {
        let ticket = ledger.begin(begun(1), now_ms()).unwrap();
        ledger.end(ticket, executed(Outcome::Liquidated, profit), now_ms());
    }
    let ticket = ledger.begin(begun(2), now_ms()).unwrap();
    let early = Ended::early(Outcome::TooLittle, "too_little_profit", String::new());
    ledger.end(ticket, Box::new(early), now_ms());
    let open = ledger.begin(begun(3), now_ms()).unwrap();
    assert!(ledger.is_durable(open, PATIENCE));

    // Read while it is being written.
    let reader = open_to_read(&path).unwrap();
    let of = |obligation: u8, from, to| {
        let key = Address::new_from_array([obligation; 32]);
        tried(&reader, &key, from, to).unwrap()
    };
    let first = of(1, 0, 7).unwrap();
    assert_eq!((first.landed_slot, first.signature.as_deref()), (Some(9), Some("sig")));
    assert_eq!(of(2, 7, 7).unwrap().outcome.as_deref(), Some("too_little"));
    assert_eq!((of(3, 7, 9).unwrap().outcome, of(1, 8, 9), of(9, 0, 9)), (None, None, None));
    // A Wednesday, and the Monday of its week itself.
    for seconds in [1_795_564_800, 1_795_564_800 - 2 * 86_400] {
        assert_eq!(monday(&reader, seconds).unwrap(), "2026-11-23");
    }
    let (groups, all) = lines(&reader, 0, By::Venue).unwrap();
    assert_eq!((all.attempts, all.liquidated, all.not_sent), (4, 2, 1));
    assert!((all.profit_usd - 8.0).abs() < 1e-9, "{all:?}");
    assert!((all.costs_usd - 2.0 * 1.2005).abs() < 1e-9, "{all:?}");
    assert!((all.net_usd - (8.0 - 2.401)).abs() < 1e-9, "{all:?}");
    let names: Vec<&str> = groups.iter().map(|line| line.group.as_str()).collect();
    assert_eq!(names, ["-", "whirlpool"]);
    for by in [By::Day, By::Market, By::Mint, By::Road] {
        let (groups, again) = lines(&reader, 0, by).unwrap();
        assert_eq!(groups.iter().map(|line| line.attempts).sum::<u64>(), 4, "{by}");
        assert_eq!(again, all, "{by}");
    }
    assert_eq!(lines(&reader, now_ms() + 1_000, By::Day).unwrap().1.attempts, 0);
    let sums: Vec<f64> = earned(&reader, 0).unwrap().iter().map(|point| point.1).collect();
    assert!((sums[1] - all.net_usd).abs() < 1e-9 && sums[0] < sums[1], "{sums:?}");

    // An amount beyond SQLite's integers, and a text that has to be quoted.
    let table = rows(&reader, 0, None).unwrap();
    let json = table.as_json();
    assert_eq!(json[0]["loan"], u64::MAX.to_string());
    assert_eq!(json[3]["outcome"], serde_json::Value::Null);
    let csv = table.as_csv();
    assert!(csv.contains(",\"a \"\"quoted\"\", text\","), "{csv}");
    assert_eq!(csv.matches("\r\n").count(), 5);
    assert_eq!(rows(&reader, 0, Some(1)).unwrap().as_json()[0]["id"], 4);
}

/// What the loop pays for ledger and metrics, per attempt: handing over, not writing.
#[test]
fn telling_takes_less_than_a_tenth_of_a_millisecond() {
    let folder = tempfile::tempdir().unwrap();
    let metrics = Arc::new(Metrics::new());
    let path = folder.path().join("keeper.db");
    let ledger = Ledger::open(&path, Arc::clone(&metrics)).unwrap();
    let records = Records::new(metrics, Some(Arc::new(ledger)));
    let ended = executed(Outcome::Liquidated, 1);
    // The best of many: other tests run beside it.
    let best = (0..200)
        .map(|_| {
            let ended = (*ended).clone();
            let started = Instant::now();
            let ticket = records.begin(begun(1), now_ms()).unwrap();
            records.end(ticket, ended, now_ms());
            started.elapsed()
        })
        .min();
    assert!(best < Some(Duration::from_micros(100)), "{best:?}");
    // The same of what is left alone, each of them news.
    let best = (0..200)
        .map(|byte| {
            let started = Instant::now();
            let one = declined(byte, 7, Reason::BelowFloor);
            records.decline(&one.obligation.clone(), one.why, 7, now_ms(), || one);
            started.elapsed()
        })
        .min();
    assert!(best < Some(Duration::from_micros(100)), "{best:?}");
}

#[test]
fn moments_are_spans_and_dates() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("keeper.db");
    drop(ledger(&path));
    let reader = open_to_read(&path).unwrap();
    let at = |text: &str| moment(&reader, text, 1_000_000_000_000).ok();
    assert_eq!(at("24h"), Some(1_000_000_000_000 - 86_400_000));
    assert_eq!(at("7d"), Some(1_000_000_000_000 - 7 * 86_400_000));
    assert_eq!(at("2w"), at("14d"));
    assert_eq!(at("1970-01-02"), Some(86_400_000));
    assert_eq!(at("1970-01-01 00:01"), Some(60_000));
    for text in ["", "yesterday", "-1d", "12", "99999999999999d", "now"] {
        assert_eq!(at(text), None, "{text}");
    }
}

#[test]
fn what_was_under_way_when_it_ended_is_unknown() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("keeper.db");
    let first = ledger(&path);
    let ticket = first.begin(begun(1), now_ms()).unwrap();
    first.signed(ticket, "the signature");
    let refused = Ledger::open(&path, Arc::new(Metrics::new())).map(|_| ()).unwrap_err();
    assert!(format!("{refused:#}").contains("another keeper writes it"), "{refused:#}");
    drop(first);
    let second = ledger(&path);
    let next = second.begin(begun(2), now_ms()).unwrap();
    assert!(second.is_durable(next, PATIENCE));
    let json = rows(&open_to_read(&path).unwrap(), 0, None).unwrap().as_json();
    assert_eq!(
        (&json[0]["outcome"], &json[0]["signature"]),
        (&"unknown".into(), &"the signature".into())
    );
    assert_eq!((&json[1]["id"], &json[1]["outcome"]), (&2.into(), &serde_json::Value::Null));
}

#[test]
fn what_is_no_ledger_is_left_alone() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("other.db");
    let other = rusqlite::Connection::open(&path).unwrap();
    other.execute_batch("CREATE TABLE theirs (x)").unwrap();
    drop(other);
    for said in [
        Ledger::open(&path, Arc::new(Metrics::new())).map(|_| ()).unwrap_err(),
        open_to_read(&path).map(|_| ()).unwrap_err(),
    ] {
        assert!(format!("{said:#}").contains("no keeper's ledger"), "{said:#}");
    }
    assert!(open_to_read(&folder.path().join("none.db")).is_err());
}

/// A full disk: nothing begins, nothing is lost, nothing is there twice.
#[test]
fn a_full_disk_loses_and_invents_no_row() {
    const ENDED: usize = 3;
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("keeper.db");
    let store = Store::open(&path).unwrap();
    store.limit_pages(20);
    let ledger = Ledger::start(&path, store, Arc::new(Metrics::new())).unwrap();
    let (mut tickets, mut refused) = (Vec::new(), None);
    for _ in 0..10_000 {
        match ledger.begin(begun(1), now_ms()) {
            Ok(ticket) => {
                tickets.push(ticket);
                // It is a beginning that does not fit any more: the first ones have ended, the
                // others end when the disk is full.
                if tickets.len() <= ENDED {
                    ledger.end(ticket, executed(Outcome::Liquidated, 1), now_ms());
                }
                if !ledger.is_durable(ticket, Duration::from_millis(500)) {
                    continue;
                }
            }
            Err(reason) => {
                refused = Some(reason.to_string());
                break;
            }
        }
    }
    let refused = refused.expect("the disk fills up");
    assert!(refused.contains("full"), "{refused}");
    for ticket in &tickets[ENDED..] {
        ledger.end(*ticket, executed(Outcome::Liquidated, 1), now_ms());
    }
    let durable: Vec<i64> = tickets
        .iter()
        .filter(|ticket| ledger.is_durable(**ticket, Duration::ZERO))
        .map(|ticket| ticket.id)
        .collect();
    let ids = |path: &Path| -> Vec<i64> {
        let json = rows(&open_to_read(path).unwrap(), 0, None).unwrap().as_json();
        json.as_array().unwrap().iter().map(|row| row["id"].as_i64().unwrap()).collect()
    };
    assert!(durable.len() > ENDED && durable.len() < tickets.len());
    assert_eq!(ids(&path), durable);
    // It ends while the disk is still full: what could not be written is in the log,
    // what was is there.
    drop(ledger);
    assert_eq!(ids(&path), durable);
}

/// Set for the process that is killed: where its ledger is.
const KILLED: &str = "KEEPER_TEST_LEDGER_TO_KILL";

/// Killed at any moment, every row that was told to be on the disk is there, whole.
#[test]
fn a_killed_process_loses_and_invents_no_row() {
    use std::{
        io::{BufRead as _, BufReader},
        process::{Command, Stdio},
    };
    const NAME: &str = "ledger::tests::a_killed_process_loses_and_invents_no_row";
    if let Some(path) = std::env::var_os(KILLED) {
        let ledger = ledger(path.as_ref());
        loop {
            let ticket = ledger.begin(begun(1), now_ms()).unwrap();
            ledger.end(ticket, executed(Outcome::Liquidated, ticket.id), now_ms());
            // Its end is before this one's beginning.
            let next = ledger.begin(begun(2), now_ms()).unwrap();
            assert!(ledger.is_durable(next, PATIENCE));
            eprintln!("durable {}", ticket.id);
        }
    }
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("keeper.db");
    let mut last = 0;
    for lines_wanted in [1, 3, 20] {
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args([NAME, "--exact", "--nocapture"])
            .env(KILLED, &path)
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let stderr = BufReader::new(child.stderr.take().unwrap());
        let mut durable = stderr.lines().filter_map(|line| {
            line.unwrap().strip_prefix("durable ").map(|id| id.parse::<i64>().unwrap())
        });
        for _ in 1..lines_wanted {
            durable.next().unwrap();
        }
        last = durable.next().unwrap();
        // SIGKILL.
        child.kill().unwrap();
        child.wait().unwrap();
        let json = rows(&open_to_read(&path).unwrap(), 0, None).unwrap().as_json();
        let json = json.as_array().unwrap();
        for (at, row) in json.iter().enumerate() {
            // No gap, none twice, and what is told to have ended is whole.
            assert_eq!(row["id"], at as i64 + 1);
            let profit = row["profit"].as_str().map(|profit| profit.parse().unwrap());
            let is_whole = row["outcome"] == "liquidated" && profit == row["id"].as_i64();
            assert!(is_whole || row["profit"].is_null(), "{row}");
        }
        assert!(json.len() as i64 > last, "{} rows, {last} told", json.len());
        assert_eq!(json[last as usize - 1]["outcome"], "liquidated");
    }
    assert!(last > 20);
}

const SLOT_MS: i64 = 400;

/// Tells the same of an obligation in each of these slots.
fn decline_in(records: &Records, byte: u8, why: Reason, slots: impl Iterator<Item = u64>) -> usize {
    slots
        .filter(|slot| {
            let one = declined(byte, *slot, why);
            let mut was_kept = false;
            records.decline(&one.obligation.clone(), why, *slot, *slot as i64 * SLOT_MS, || {
                was_kept = true;
                one
            });
            was_kept
        })
        .count()
}

fn left(reader: &rusqlite::Connection, byte: u8, slot: u64) -> Option<LeftAlone> {
    let key = Address::new_from_array([byte; 32]);
    left_alone(reader, &key, slot, 300, Some(slot as i64 * SLOT_MS)).unwrap()
}

#[test]
fn what_is_left_alone_has_one_row_as_long_as_its_reason_holds() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("keeper.db");
    let metrics = Arc::new(Metrics::new());
    let ledger = Arc::new(Ledger::open(&path, Arc::clone(&metrics)).unwrap());
    let records = Records::new(Arc::clone(&metrics), Some(Arc::clone(&ledger)));
    // Told in every slot, kept the more seldom the longer it is so.
    let kept = decline_in(&records, 1, Reason::BelowFloor, 1_000..11_000);
    assert!((33..120).contains(&kept), "{kept}");
    decline_in(&records, 1, Reason::Unread, [1_005].into_iter());
    // Another reason, and the first one again long after.
    decline_in(&records, 1, Reason::NothingSells, [11_010].into_iter());
    decline_in(&records, 1, Reason::BelowFloor, [20_000].into_iter());
    decline_in(&records, 2, Reason::Denied, [1_000, 30_000].into_iter());
    records.flush().unwrap();

    let reader = open_to_read(&path).unwrap();
    let table = declined_rows(&reader, 0).unwrap().as_json();
    let spans: Vec<(i64, i64, &str)> = table
        .as_array()
        .unwrap()
        .iter()
        .map(|row| {
            let slot = |name: &str| row[name].as_i64().unwrap();
            (slot("slot"), slot("last_slot"), row["code"].as_str().unwrap())
        })
        .collect();
    let (first, last, code) = spans[0];
    assert!((first, code) == (1_000, "too_little_profit") && last > 10_690, "{spans:?}");
    assert_eq!(
        spans[1..],
        [
            (1_005, 1_005, "not_read_yet"),
            (11_010, 11_010, "nothing_sells"),
            (20_000, 20_000, "too_little_profit"),
            (1_000, 1_000, "denied"),
            (30_000, 30_000, "denied"),
        ]
    );

    // As it was at a slot: never by what came after it.
    assert_eq!(left(&reader, 1, 999), None);
    assert_eq!(left(&reader, 1, 1_002).unwrap().code, "too_little_profit");
    let known = left(&reader, 1, 10_500).unwrap();
    assert_eq!((known.slots.0, known.code.as_str()), (1_000, "too_little_profit"));
    assert_eq!((known.quoted_usd, known.short_usd, known.debt_usd), (Some(0.5), Some(0.25), 10.0));
    assert_eq!(left(&reader, 1, 11_020).unwrap().code, "nothing_sells");
    // Long after, nobody knows; but it rested for half a minute.
    assert_eq!(left(&reader, 1, 11_311), None);
    let key = Address::new_from_array([1; 32]);
    let resting = left_alone(&reader, &key, 11_311, 300, Some(11_010 * SLOT_MS + 29_000)).unwrap();
    assert_eq!(resting.unwrap().code, "nothing_sells");
    assert_eq!(left_alone(&reader, &key, 11_311, 300, None).unwrap(), None);

    let lines = left_lines(&reader, 0).unwrap();
    let told = |at: usize| (lines[at].reason.as_str(), lines[at].obligations, lines[at].debt_usd);
    assert_eq!(told(0), ("denied", 1, 20.0));
    assert!((lines[3].quoted_usd - 0.5).abs() < 1e-9, "{lines:?}");
    assert_eq!(lines.len(), 4);
    // Counted as often as it is kept, under the same names.
    let shown = metrics.render();
    let counted = format!("reason=\"too_little_profit\",road=\"none\",venue=\"\"}} {}", kept + 1);
    assert!(shown.contains(&counted), "{shown}");
}

/// A crash: so much is left alone at once that not all of it can be kept. Attempts come
/// first, and do not wait.
#[test]
fn what_is_left_alone_never_stands_in_an_attempts_way() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("keeper.db");
    let ledger = ledger(&path);
    let one = |at: usize| {
        let mut one = declined(0, 7, Reason::Denied);
        one.obligation =
            Address::new_from_array(std::array::from_fn(|byte| (at >> (8 * byte.min(3))) as u8));
        one
    };
    let kept = (0..3 * DECLINED_CAPACITY).filter(|at| ledger.decline(one(*at), 1)).count();
    assert!((DECLINED_CAPACITY..2 * DECLINED_CAPACITY).contains(&kept), "{kept}");
    assert!(ledger.is_crowded());
    let ticket = ledger.begin(begun(1), now_ms()).unwrap();
    assert!(ledger.is_durable(ticket, PATIENCE));
    let known = declined_rows(&open_to_read(&path).unwrap(), 0).unwrap().rows.len();
    assert!(known < kept, "{known} rows went first");
    // Dropping it writes what waits.
    drop(ledger);
    let known = declined_rows(&open_to_read(&path).unwrap(), 0).unwrap().rows.len();
    assert_eq!(known, kept);
}

#[test]
fn what_was_left_alone_is_forgotten_after_a_month() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("keeper.db");
    let ledger = ledger(&path);
    let day = 24 * 60 * 60 * 1_000;
    for (byte, at) in [(1, 0), (2, 5), (3, 31)] {
        assert!(ledger.decline(declined(byte, 7, Reason::Denied), at * day));
        ledger.flush().unwrap();
    }
    let table = declined_rows(&open_to_read(&path).unwrap(), 0).unwrap();
    assert_eq!(table.as_json().as_array().unwrap().len(), 2, "{}", table.as_csv());
}

#[test]
fn it_is_known_when_somebody_watched_what() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("keeper.db");
    let (market, other) = (Address::new_from_array([1; 32]), Address::new_from_array([2; 32]));
    let began = now_ms();
    let first = ledger(&path);
    first.run(Run { markets: vec![market, other], min_debt_usd: 50.0, sends: true }, began);
    drop(first);
    let ended = now_ms();
    let reader = open_to_read(&path).unwrap();
    let at = |key: &Address, at_ms: i64| watching(&reader, key, at_ms).unwrap();
    assert_eq!(at(&market, began), Watching::From(50.0));
    assert_eq!(at(&other, ended), Watching::From(50.0));
    assert_eq!(at(&Address::new_from_array([3; 32]), ended), Watching::Not);
    assert_eq!(at(&market, began - 1), Watching::Not);
    // It may have lived a minute longer than it said.
    assert_eq!(at(&market, ended + 120_000), Watching::Not);
}

/// A ledger of the first version, which had attempts alone.
#[test]
fn an_earlier_ledger_is_read_and_written_on() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("keeper.db");
    let first = ledger(&path);
    let ticket = first.begin(begun(1), now_ms()).unwrap();
    first.end(ticket, executed(Outcome::Liquidated, 1), now_ms());
    drop(first);
    let earlier = rusqlite::Connection::open(&path).unwrap();
    earlier.execute_batch("DROP TABLE declined; DROP TABLE runs; PRAGMA user_version = 1").unwrap();
    drop(earlier);

    let reader = open_to_read(&path).unwrap();
    assert_eq!(lines(&reader, 0, By::Day).unwrap().1.liquidated, 1);
    let key = Address::new_from_array([1; 32]);
    assert_eq!(left_alone(&reader, &key, 7, 300, None).unwrap(), None);
    assert_eq!(watching(&reader, &key, 7).unwrap(), Watching::Unknown);
    assert!(left_lines(&reader, 0).unwrap().is_empty());
    assert!(declined_rows(&reader, 0).unwrap().rows.is_empty());
    drop(reader);

    let second = ledger(&path);
    assert!(second.decline(declined(1, 7, Reason::Denied), 1));
    drop(second);
    let reader = open_to_read(&path).unwrap();
    assert_eq!(left(&reader, 1, 8).unwrap().code, "denied");
    assert_eq!(rows(&reader, 0, None).unwrap().rows.len(), 1);
    drop(reader);
    let later = rusqlite::Connection::open(&path).unwrap();
    later.execute_batch("PRAGMA user_version = 3").unwrap();
    drop(later);
    let said = open_to_read(&path).map(|_| ()).unwrap_err();
    assert!(format!("{said:#}").contains("version 3"), "{said:#}");
}
