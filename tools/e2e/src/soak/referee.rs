//! Who reads the chain directly, and says what could be liquidated with profit.

use std::{
    collections::BTreeMap,
    fmt,
    sync::atomic::{AtomicBool, Ordering},
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context, Result};
use flash_liquidator_client::{
    klend::ReserveAddresses,
    swap::stand_in,
    token_2022::{self, Trait},
};
use klend_fork::{Pool, STAND_IN_VERSION};
use klend_model::{
    accounts,
    liquidation::{Request, quote},
    price::{OracleAccount, Oracles},
    table::ReserveTable,
    time::Clock,
};
use solana_account::Account;
use solana_address::Address;
use solana_sdk_ids::sysvar;

use crate::{chain::Chain, scene::Scene};

/// Profit from which on something has to be liquidated, US dollars. The keepers take
/// less.
const WORTHWHILE: f64 = 2.0;
/// Accounts that a call may ask for.
const BATCH: usize = 100;
/// Pause between two looks.
const PAUSE: Duration = Duration::from_millis(150);
/// Looks that may fail in a row.
const MOST_FAILURES: usize = 20;
/// Units of a debt that are worth a dollar.
const DOLLAR: f64 = 1e6;

/// An obligation at one moment.
#[derive(Clone, Debug)]
pub struct Position {
    /// Its position in the crowd.
    pub number: usize,
    /// Below one it can be liquidated.
    pub health: f64,
    /// Value of its collateral, US dollars.
    pub collateral: f64,
    /// Value that its owner could still borrow, US dollars.
    pub capacity: f64,
    /// Scaled debt, as klend keeps it.
    pub debt: u128,
    /// What liquidating it gains, US dollars, where klend allows it.
    pub profit: Option<f64>,
}

/// Everything at one moment.
#[derive(Clone, Debug)]
pub struct Sight {
    /// Slot of the oldest account.
    pub slot: u64,
    /// When it was read.
    pub at: Instant,
    /// The crowd's.
    pub positions: Vec<Position>,
    /// What each pool holds: SOL and the debt, units.
    pub pools: [[u64; 2]; 2],
    /// Whether the mint of each pool's debt is paused: nothing can be sold or repaid in it.
    pub paused: [bool; 2],
}

impl Sight {
    /// Those that somebody should liquidate.
    pub fn profitable(&self) -> impl Iterator<Item = &Position> {
        self.positions.iter().filter(|it| it.profit.is_some_and(|profit| profit >= WORTHWHILE))
    }
}

/// What has to be read, and how.
pub struct Referee {
    chain: Chain,
    market: Address,
    sol: ReserveAddresses,
    reserves: Vec<Address>,
    oracle: Address,
    /// Pools, and the reserve of the debt that each pays; its mint is the pool's second.
    pools: [(Pool, Address); 2],
    /// Obligations of the crowd, and the reserve each owes to.
    obligations: Vec<(Address, Address)>,
}

struct Table<'a>(&'a Address, &'a Account);

impl Oracles for Table<'_> {
    fn account(&self, key: &Address) -> Option<OracleAccount<'_>> {
        (key == self.0).then(|| OracleAccount { owner: self.1.owner, data: &self.1.data })
    }
}

impl Referee {
    /// Of a crowd's obligations, each with the reserve it owes to.
    pub fn new(scene: &Scene, url: &str, obligations: Vec<(Address, Address)>) -> Result<Self> {
        let market = scene.sol.lending_market;
        let mut reserves = Vec::new();
        for key in scene.world.reserves()?.into_keys() {
            if scene.world.reserve_addresses(&key)?.lending_market == market {
                reserves.push(key);
            }
        }
        Ok(Self {
            chain: Chain::new(url),
            market,
            sol: scene.sol,
            reserves,
            oracle: scene.sol.oracles.scope.context("SOL's reserve does not read Scope")?,
            pools: [(scene.pools[0], scene.usdc.reserve), (scene.pools[1], scene.pyusd.reserve)],
            obligations,
        })
    }

    /// Reads and judges everything.
    pub fn look(&self) -> Result<Sight> {
        let mut keys = vec![sysvar::clock::ID, self.market, self.oracle];
        keys.extend(&self.reserves);
        for (pool, _) in &self.pools {
            keys.extend([pool.pool, pool.vaults[0], pool.vaults[1], pool.mints[1]]);
        }
        let common = keys.len();
        keys.extend(self.obligations.iter().map(|(key, _)| *key));
        let (mut slot, mut read) = (u64::MAX, BTreeMap::new());
        for chunk in keys.chunks(BATCH) {
            let (at, accounts) = self.chain.accounts(chunk)?;
            slot = slot.min(at);
            for (key, account) in chunk.iter().zip(accounts) {
                read.insert(*key, account.with_context(|| format!("{key} is not there"))?);
            }
        }
        let at = Instant::now();
        let account = |key: &Address| read.get(key).context("an account is not there");
        let mut reserves = Vec::new();
        for key in &keys[3..3 + self.reserves.len()] {
            let account = account(key)?;
            reserves.push((*key, accounts::reserve(key, &account.owner, &account.data)?));
        }
        let market = account(&self.market)?;
        let market = accounts::lending_market(&self.market, &market.owner, &market.data)?;
        let oracle = Table(&self.oracle, account(&self.oracle)?);
        let clock = clock(account(&sysvar::clock::ID)?)?;
        let table = ReserveTable::refresh(
            STAND_IN_VERSION,
            &self.market,
            market,
            &reserves,
            clock,
            Some(&oracle),
        );
        let (mut pools, mut paused) = ([[0; 2]; 2], [false; 2]);
        for (at, (pool, _)) in self.pools.iter().enumerate() {
            pools[at] = [tokens(account(&pool.vaults[0])?)?, tokens(account(&pool.vaults[1])?)?];
            let mint = account(&pool.mints[1])?;
            paused[at] = token_2022::traits(&mint.owner, &mint.data).contains(&Trait::Paused);
        }
        let mut positions = Vec::new();
        for (number, key) in keys[common..].iter().enumerate() {
            let account = account(key)?;
            let obligation = accounts::obligation(key, &account.owner, &account.data)?;
            // Written a moment after the clock: it is judged at the next look.
            let Ok(state) = table.obligation(key, obligation) else { continue };
            let health = &state.health;
            positions.push(Position {
                number,
                health: health.health_factor().map_or(f64::MAX, |factor| factor.to_f64()),
                collateral: health.deposited_value.to_f64(),
                capacity: health.borrowing_capacity().to_f64(),
                debt: obligation.borrows.iter().map(|it| u128::from(it.borrowed_amount_sf)).sum(),
                profit: health
                    .is_unhealthy()
                    .then(|| {
                        let debt = &self.obligations[number].1;
                        let request = Request {
                            repay_reserve: *debt,
                            withdraw_reserve: self.sol.reserve,
                            amount: u64::MAX,
                            min_received: 0,
                            flash_loan: None,
                        };
                        let quote = quote(&table, &state, &request).ok()?;
                        let at = self.pools.iter().position(|(_, of)| of == debt)?;
                        if paused[at] {
                            return None;
                        }
                        let (pool, [sol, paid]) = (read.get(&self.pools[at].0.pool)?, pools[at]);
                        let fee = stand_in::fee_bps(&pool.data)?;
                        let proceeds = stand_in::amount_out(quote.received, sol, paid, fee)?;
                        // klend's flash fee is a thousandth of a per cent.
                        let costs = quote.repay + quote.repay / 100_000 + 1;
                        Some((proceeds as f64 - costs as f64) / DOLLAR)
                    })
                    .flatten(),
            });
        }
        Ok(Sight { slot, at, positions, pools, paused })
    }
}

/// Time of the clock sysvar.
fn clock(account: &Account) -> Result<Clock> {
    let word = |at: usize| account.data.get(at..)?.first_chunk().copied().map(u64::from_le_bytes);
    let both = word(0).zip(word(32)).context("the clock is too short")?;
    Ok(Clock { slot: both.0, unix_timestamp: both.1 })
}

/// Units in a token account.
fn tokens(account: &Account) -> Result<u64> {
    let amount = account.data.get(64..).and_then(|tail| tail.first_chunk()).copied();
    Ok(u64::from_le_bytes(amount.context("a vault is no token account")?))
}

/// Since when something could have been liquidated.
struct Streak {
    slot: u64,
    at: Instant,
    debt: u128,
    /// It has been too long already, and was noted.
    told: bool,
}

/// How long each obligation could be liquidated with profit, and was not.
pub struct Streaks {
    limit: Duration,
    slot: Duration,
    open: BTreeMap<usize, Streak>,
    /// Longest by the chain's time, and by the clock.
    longest: (u64, Duration),
    count: usize,
    /// Those that took too long: which, from which slot, how many slots.
    pub missed: Vec<(usize, u64, u64)>,
}

impl Streaks {
    /// `limit` in slots of length `slot`: a machine that is busy with other things
    /// stretches slots.
    pub fn new(limit: Duration, slot: Duration) -> Self {
        let (open, missed) = (BTreeMap::new(), Vec::new());
        Self { limit, slot, open, longest: (0, Duration::ZERO), count: 0, missed }
    }

    /// Takes what was seen.
    pub fn take(&mut self, sight: &Sight) {
        let most = (self.limit.as_millis() / self.slot.as_millis().max(1)) as u64;
        let profitable: BTreeMap<usize, u128> =
            sight.profitable().map(|position| (position.number, position.debt)).collect();
        // Liquidated, if only in part, or recovered; what could not be judged goes on.
        self.open.retain(|number, _| {
            profitable.contains_key(number)
                || !sight.positions.iter().any(|position| position.number == *number)
        });
        for (number, debt) in profitable {
            let anew = || Streak { slot: sight.slot, at: sight.at, debt, told: false };
            let count = &mut self.count;
            let streak = self.open.entry(number).or_insert_with(|| {
                *count += 1;
                anew()
            });
            if debt < streak.debt - streak.debt / 1_000 {
                self.count += 1;
                *streak = anew();
            }
            let slots = sight.slot.saturating_sub(streak.slot);
            let time = sight.at.duration_since(streak.at);
            self.longest = (self.longest.0.max(slots), self.longest.1.max(time));
            if slots > most && !streak.told {
                streak.told = true;
                self.missed.push((number, streak.slot, slots));
            }
        }
    }

    /// Looks again and again.
    pub fn follow(&mut self, referee: &Referee, stop: &AtomicBool) -> Result<String> {
        let (mut looks, mut failures) = (0, 0);
        while !stop.load(Ordering::Relaxed) {
            match referee.look() {
                Ok(sight) => {
                    (looks, failures) = (looks + 1, 0);
                    self.take(&sight);
                }
                // The validator is busy, too.
                Err(error) if failures < MOST_FAILURES => {
                    failures += 1;
                    eprintln!("e2e: soak: the referee did not see: {error:#}");
                }
                Err(error) => return Err(error.context("the referee")),
            }
            thread::sleep(PAUSE);
        }
        Ok(format!("{looks} looks"))
    }
}

impl fmt::Display for Streaks {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (slots, time) = self.longest;
        let as_time = self.slot * u32::try_from(slots).unwrap_or(u32::MAX);
        write!(
            f,
            "{} times something could be liquidated with a profit above {WORTHWHILE} dollars; it \
             stood {slots} slots ({:.1} s of {:.1} ms slots, {:.1} s by the clock) at the longest; \
             {} stood more than {} s",
            self.count,
            as_time.as_secs_f64(),
            self.slot.as_secs_f64() * 1e3,
            time.as_secs_f64(),
            self.missed.len(),
            self.limit.as_secs(),
        )
    }
}
