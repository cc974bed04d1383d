//! Reads accounts beside the loop, so that it never waits for a node.

use std::{
    collections::BTreeSet,
    sync::{Arc, mpsc},
    thread,
    time::Duration,
};

use anyhow::{Context as _, Result, anyhow};
use klend_fork::{ForkError, Machine};
use solana_account::Account;
use solana_address::Address;
use solana_sdk_ids::sysvar;

use crate::{
    book::{
        chain::Inclusion,
        market::Market,
        scan::{Scan, scan},
        scope,
    },
    feeds::{blockhash::Blockhash, inclusion::TipService, source::Source, told},
    route::discovery::{Found as Discovered, Want, discover},
};

/// What to read.
pub enum Order {
    /// Which accounts these markets consist of.
    Keys(Vec<Address>),
    /// A market with everything in it; its obligations only where they are wanted.
    Scan { market: Address, obligations: bool },
    /// Accounts that are known to exist, or not to.
    Look { keys: Vec<Address>, why: Why },
    /// The newest blockhash.
    Blockhash,
    /// What rent and inclusion are at. `writes` are accounts that liquidations write.
    Chain { writes: Vec<Address>, tips: Option<Arc<TipService>> },
    /// A virtual machine with these programs.
    Machine(Vec<Address>),
    /// Where the averages of these price tables are.
    Averages(Vec<Address>),
    /// Which pools trade a pair; `named` are the operator's.
    Pools { wanted: Want, named: Vec<Address>, per_pair: usize },
}

/// Why accounts are looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Why {
    /// There are no updates: what changes has to be asked for.
    Polling,
    /// The path will need them, or they may have changed unseen.
    Needed,
    /// To see whether updates tell of every change.
    Audit,
    /// By one answer, nothing is there any more: somebody else is asked.
    Confirm,
}

/// Accounts that are to be looked at for one reason: those that wait, and those that were
/// ordered. One order is under way at a time, and what fails is ordered again.
#[derive(Debug, Default)]
pub struct Looks {
    waiting: BTreeSet<Address>,
    ordered: BTreeSet<Address>,
}

impl Looks {
    /// Wants accounts looked at, from now on.
    pub fn want(&mut self, keys: impl IntoIterator<Item = Address>) {
        self.waiting.extend(keys);
    }

    /// What is to be ordered now.
    pub fn due(&mut self) -> Option<Vec<Address>> {
        if self.waiting.is_empty() || !self.ordered.is_empty() {
            return None;
        }
        self.ordered = std::mem::take(&mut self.waiting);
        Some(self.ordered.iter().copied().collect())
    }

    /// What was ordered came, or did not.
    pub fn answered(&mut self, came: bool) {
        let ordered = std::mem::take(&mut self.ordered);
        if !came {
            self.waiting.extend(ordered);
        }
    }
}

/// Accounts, `None` where there is none, and the slot they were read at.
#[derive(Clone, Debug)]
pub struct Look {
    pub slot: u64,
    pub accounts: Vec<(Address, Option<Account>)>,
}

/// What was read about the chain.
#[derive(Default)]
pub struct News {
    pub rent: Option<Account>,
    pub fees: Inclusion,
    /// What could not be read, and why. The rest holds.
    pub failures: Vec<anyhow::Error>,
}

/// A machine, and programs that it does not take, with the reason.
pub struct Warm {
    pub machine: Machine,
    /// Those that were asked for.
    pub programs: Vec<Address>,
    pub refused: Vec<(Address, String)>,
}

/// What was read.
pub enum Found {
    Keys(Result<Vec<Address>>),
    Scan(Address, Result<Box<Scan>>),
    Look(Why, Result<Look>),
    Blockhash(Result<Blockhash>),
    Chain(Box<News>),
    Machine(Result<Box<Warm>>),
    Averages(Result<Vec<(Address, Option<Address>)>>),
    Pools(Want, Result<Box<Discovered>>),
}

/// A thread that reads, one order after the other. It ends with the process.
pub struct Reader {
    orders: Option<mpsc::Sender<Order>>,
}

impl Reader {
    /// Reads from `source` and hands what it finds to `take`.
    pub fn start(source: Arc<dyn Source>, take: impl Fn(Found) + Send + 'static) -> Self {
        let (orders, received) = mpsc::channel();
        thread::spawn(move || {
            for order in received {
                take(read(&*source, order));
            }
        });
        Self { orders: Some(orders) }
    }

    /// Reads nothing, and hands on what it is ordered to.
    #[cfg(test)]
    pub fn to(orders: mpsc::Sender<Order>) -> Self {
        Self { orders: Some(orders) }
    }

    /// Reads nothing: what was found is known already.
    pub fn idle() -> Self {
        Self { orders: None }
    }

    pub fn order(&self, order: Order) -> Result<()> {
        let Some(orders) = &self.orders else { return Ok(()) };
        orders.send(order).map_err(|_| anyhow!("the reading thread broke down"))
    }
}

/// Reads what is ordered.
pub fn read(source: &dyn Source, order: Order) -> Found {
    const WHO: &str = "the reading thread";
    match order {
        Order::Keys(markets) => Found::Keys(told(WHO, || keys(source, &markets))),
        Order::Scan { market, obligations } => {
            let scan = || scan(source, &market, obligations).map(Box::new);
            Found::Scan(market, told(WHO, scan))
        }
        Order::Look { keys, why } => Found::Look(why, told(WHO, || look(source, keys, why))),
        Order::Blockhash => Found::Blockhash(told(WHO, || {
            source.rpc().context("there is no node")?.latest_blockhash()
        })),
        Order::Chain { writes, tips } => Found::Chain(Box::new(
            told(WHO, || Ok(news(source, &writes, tips.as_deref())))
                .unwrap_or_else(|failure| News { failures: vec![failure], ..News::default() }),
        )),
        Order::Pools { wanted, named, per_pair } => {
            let discover = || discover(source, &wanted, &named, per_pair).map(Box::new);
            Found::Pools(wanted, told(WHO, discover))
        }
        Order::Machine(programs) => {
            Found::Machine(told(WHO, || machine(source, programs).map(Box::new)))
        }
        Order::Averages(tables) => Found::Averages(told(WHO, || scope::averages(source, &tables))),
    }
}

fn keys(source: &dyn Source, markets: &[Address]) -> Result<Vec<Address>> {
    let mut keys = Vec::new();
    for market in markets {
        keys.extend(Market::load(source, market)?.single_keys()?);
    }
    keys.sort_unstable();
    keys.dedup();
    Ok(keys)
}

fn look(source: &dyn Source, keys: Vec<Address>, why: Why) -> Result<Look> {
    let (slot, accounts) = match why {
        Why::Confirm => source.accounts_elsewhere(&keys)?,
        Why::Polling | Why::Needed | Why::Audit => source.accounts_at(&keys)?,
    };
    Ok(Look { slot, accounts: keys.into_iter().zip(accounts).collect() })
}

fn news(source: &dyn Source, writes: &[Address], tips: Option<&TipService>) -> News {
    let mut news = News::default();
    let mut failures = Vec::new();
    let mut note = |failure: anyhow::Error| failures.push(failure);
    match source.accounts(&[sysvar::rent::ID]) {
        Ok(mut accounts) => news.rent = accounts.pop().flatten(),
        Err(failure) => note(failure),
    }
    if let Some(rpc) = source.rpc().filter(|_| !writes.is_empty()) {
        match rpc.recent_unit_price(writes) {
            Ok(price) => news.fees.unit_price = price,
            Err(failure) => note(failure),
        }
    }
    if let Some(tips) = tips {
        tips.ask(&mut news.fees.tip, &mut news.fees.tip_accounts, &mut note);
    }
    news.failures = failures;
    news
}

/// A machine with these programs; one that it does not take is left out, and said.
fn machine(source: &dyn Source, mut programs: Vec<Address>) -> Result<Warm> {
    let asked = programs.clone();
    let mut refused = Vec::new();
    loop {
        match source.world(&programs) {
            Ok(world) => {
                let machine = Machine::new(world);
                return Ok(Warm { machine, programs: asked, refused });
            }
            Err(error) => match error.downcast_ref::<ForkError>() {
                Some(ForkError::Refused { key, reason }) if programs.contains(key) => {
                    programs.retain(|program| program != key);
                    refused.push((*key, reason.clone()));
                }
                _ => return Err(error),
            },
        }
    }
}

/// Pause between two looks at the chain: a fraction of a blockhash's life.
pub const CHAIN_PAUSE: Duration = Duration::from_secs(4);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_look_is_under_way_and_what_failed_is_looked_at_again() {
        let [one, two, three] = [1, 2, 3].map(|byte| Address::new_from_array([byte; 32]));
        let mut looks = Looks::default();
        assert_eq!(looks.due(), None);
        looks.want([two, one, two]);
        assert_eq!(looks.due(), Some(vec![one, two]));
        // What changed meanwhile is looked at once more, but not beside it.
        (0..1_000).for_each(|_| looks.want([two, three]));
        assert_eq!(looks.due(), None);
        looks.answered(false);
        assert_eq!(looks.due(), Some(vec![one, two, three]));
        looks.answered(true);
        assert_eq!(looks.due(), None);
    }
}
