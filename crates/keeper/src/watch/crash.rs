//! A test of the loop: ten thousand obligations can be liquidated from one moment to the
//! next.

use std::{
    collections::{BTreeMap, HashMap},
    io,
    process::Command,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

use anyhow::Result;
use klend_fork::{Position, World};
use klend_interface::state::{DISCRIMINATOR_SIZE, Obligation};
use klend_model::time::Clock;
use serde_json::Value;
use solana_account::Account;
use solana_address::Address;

use super::{engine, rig};
use crate::feeds::source::{Filter, Progress, Source, Visitor};

/// How many there are.
const CROWD: u64 = 10_000;
/// How many have to be quoted and queued until it is believed: three times what is quoted
/// at once; every one of them where `LONG_TESTS` is set.
fn queued() -> u64 {
    if std::env::var_os("LONG_TESTS").is_some() { CROWD } else { 768 }
}

/// Longest that all of it may take.
const PATIENCE: Duration = Duration::from_secs(300);

/// A market after its collateral fell, with obligations in memory.
struct Fallen {
    world: Mutex<World>,
    clock: Clock,
    obligations: BTreeMap<Address, Account>,
}

impl Source for Fallen {
    fn name(&self) -> String {
        "memory".to_owned()
    }

    fn clock(&self) -> Result<Clock> {
        Ok(self.clock)
    }

    fn accounts_at(&self, keys: &[Address]) -> Result<(u64, Vec<Option<Account>>)> {
        let world = self.world.lock().unwrap();
        let find = |key| self.obligations.get(key).cloned().or_else(|| world.account(key));
        Ok((self.clock.slot, keys.iter().map(find).collect()))
    }

    fn program_accounts(
        &self,
        program: &Address,
        filter: Filter,
    ) -> Result<Vec<(Address, Account)>> {
        let mut accounts = self.world.lock().unwrap().svm().get_program_accounts(program);
        accounts.retain(|(_, account)| filter.accepts(&account.data));
        Ok(accounts)
    }

    fn visit_obligations(&self, market: &Address, _: Progress, visit: Visitor) -> Result<()> {
        if *market == self.world.lock().unwrap().market()? {
            for (key, account) in &self.obligations {
                visit(self.clock.slot, key, account);
            }
        }
        Ok(())
    }

    fn world(&self, _: &[Address]) -> Result<World> {
        Ok(self.world.lock().unwrap().clone())
    }
}

/// An obligation's address, by its number.
fn address(number: u64) -> Address {
    let mut key = [7; 32];
    key[..8].copy_from_slice(&number.to_be_bytes());
    Address::new_from_array(key)
}

/// Obligations of which each has a little more than the one before, all above their limit
/// by the same; and a lookup table.
fn fallen() -> (Fallen, Address) {
    let mut world = World::builtin().unwrap();
    let (sol, usdc) = (world.reserve_named("SOL").unwrap(), world.reserve_named("USDC").unwrap());
    let owner = world.actor("borrower");
    let price = world.price(&sol).unwrap();
    let debt = (1_000.0 * price.to_f64() * 0.62 * 1e6) as u64;
    let (deposits, borrows) = ([(sol, 1_000_000_000_000)], [(usdc, debt)]);
    let opened = world.open_position(&owner, &Position::new(&deposits, &borrows)).unwrap();
    world.set_price(&sol, price.scaled(80, 100).unwrap()).unwrap();
    world.create_pool_at_oracle_price(&sol, &usdc, 50_000_000, 5).unwrap();
    let template = world.account(&opened).unwrap();
    world.set_account(&opened, Account::default()).unwrap();
    let of_crowd = |number: u64| {
        let mut account = template.clone();
        let body = &mut account.data[DISCRIMINATOR_SIZE..];
        let obligation: &mut Obligation = bytemuck::from_bytes_mut(body);
        // From a thousandth of the template to a ninth.
        let share = |of: u128| of / 90_000 * u128::from(100 + number);
        let deposit = &mut obligation.deposits[0].deposited_amount;
        *deposit = share((*deposit).into()) as u64;
        let borrow = &mut obligation.borrows[0].borrowed_amount_sf;
        *borrow = share((*borrow).into()).into();
        (address(number), account)
    };
    let keys: Vec<Address> = world.snapshot().accounts.into_keys().take(250).collect();
    let table = world.create_lookup_table(&keys).unwrap().key;
    let unix_timestamp = u64::try_from(world.unix_timestamp()).unwrap();
    let clock = Clock { slot: world.slot(), unix_timestamp };
    let obligations = (0..CROWD).map(of_crowd).collect();
    (Fallen { clock, obligations, world: Mutex::new(world) }, table)
}

/// What the loop logs.
#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<Value>>>);

impl io::Write for Log {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        let whole: Value = serde_json::from_slice(line)?;
        self.0.lock().unwrap().push(whole["fields"].clone());
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Set for the process that has no other test in it.
const ALONE: &str = "KEEPER_TEST_CRASH_ALONE";
/// Most that it may grow by from the moment the crash is known, KiB: 10,000 that wait are
/// as many addresses and numbers.
const MOST_GROWTH: u64 = 8 << 10;

/// Memory of this process that is no file's, KiB.
fn memory() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("RssAnon:")).unwrap();
    line.trim().trim_end_matches(" kB").parse().unwrap()
}

/// In a process of its own, because its memory is looked at.
#[test]
fn ten_thousand_candidates_are_bounded_best_first_and_none_is_forgotten() {
    const NAME: &str =
        "watch::crash::ten_thousand_candidates_are_bounded_best_first_and_none_is_forgotten";
    if std::env::var_os(ALONE).is_some() {
        return crash();
    }
    let mut alone = Command::new(std::env::current_exe().unwrap());
    let output = alone.args([NAME, "--exact", "--nocapture"]).env(ALONE, "1").output().unwrap();
    let said = [&output.stdout[..], &output.stderr].map(String::from_utf8_lossy).concat();
    assert!(output.status.success() && said.contains("1 passed"), "{said}");
}

fn crash() {
    const WORKERS: u64 = 2;
    let (queued, (source, table)) = (queued(), fallen());
    let settings = format!(
        "feed = \"poll\"\npoll_ms = 600000\nrescan_seconds = 86400\ncooldown_seconds = 86400\n\
         workers = {WORKERS}\nsimulate = \"none\"\nmin_profit_usd = 0\nmin_debt_usd = 0\n\
         tables = [\"{table}\"]"
    );
    let parts = rig::parts(Arc::new(source), rig::config(&settings));
    let metrics = Arc::clone(&parts.records.metrics);
    let (log, stop) = (Log::default(), Arc::new(AtomicBool::new(false)));
    let (writer, begun) = (log.clone(), Instant::now());
    let subscriber = tracing_subscriber::fmt().json().with_writer(move || writer.clone()).finish();
    let (most, unhealthy, grown) = thread::scope(|scope| {
        let stopping = Arc::clone(&stop);
        let watching = scope.spawn(move || {
            let (mut most, mut first, mut last) = (0, None, 0);
            loop {
                most = most.max(metrics.in_flight.get());
                if metrics.candidates.get() > 0 {
                    last = last.max(memory());
                    first.get_or_insert(last);
                }
                // Each waits once, however often it is found.
                let waiting = metrics.queued.get() + metrics.in_flight.get();
                assert!(waiting <= CROWD, "{waiting} wait");
                let is_late = begun.elapsed() >= PATIENCE;
                if metrics.queued.get() + metrics.attempts.get() >= queued || is_late {
                    stopping.store(true, Ordering::Relaxed);
                    let grown = last - first.unwrap_or_default();
                    return (most, metrics.candidates.get(), grown);
                }
                thread::sleep(Duration::from_millis(1));
            }
        });
        tracing::subscriber::with_default(subscriber, || engine::run(parts, &stop, None)).unwrap();
        watching.join().unwrap()
    });
    assert!(begun.elapsed() < PATIENCE, "they were not queued");
    // All of them are known to be above their limit, whether they are queued yet or not.
    assert_eq!(unhealthy, CROWD);
    assert!(most <= WORKERS, "{most} at once");
    println!("{queued} of {CROWD} queued: {grown} KiB more than when they were found");
    assert!(grown <= MOST_GROWTH, "{grown} KiB more than when they were found");

    let lines = log.0.lock().unwrap();
    let said = |message: &'static str| lines.iter().filter(move |line| line["message"] == message);
    let numbers: HashMap<String, u64> =
        (0..CROWD).map(|number| (address(number).to_string(), number)).collect();
    let tried: Vec<u64> = said("ready to be sent: send = false")
        .map(|line| numbers[line["obligation"].as_str().unwrap()])
        .collect();
    assert_eq!(said("not liquidated").count() + said("too little profit").count(), 0);
    // The first are the largest of all, and what comes later is never larger.
    let falls = |tried: &[u64]| tried.windows(2).all(|two| two[0] > two[1].saturating_sub(4));
    assert!(tried.len() > 3 && tried[0] >= CROWD - 4 && falls(&tried), "{tried:?}");
}
