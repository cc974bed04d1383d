//! Reads accounts beside the loop, so that it never waits for a node.

use std::{
    sync::{Arc, Mutex, mpsc},
    thread,
};

use anyhow::{Context as _, Result, anyhow};
use klend_interface::state::Obligation;
use klend_model::accounts;
use solana_account::Account;
use solana_address::Address;

use super::market::Market;
use crate::feeds::{source::Source, told};

/// What to read.
pub enum Order {
    /// Which accounts the market consists of.
    Keys,
    /// The market with everything in it.
    Scan,
    /// Accounts the market is known to consist of.
    Look(Vec<Address>),
}

/// A market at one moment.
pub struct Scan {
    pub market: Market,
    /// Slot of the market's accounts.
    pub slot: u64,
    /// Obligations with debt, each with the slot it was read at.
    pub obligations: Vec<(u64, Address, Box<Obligation>)>,
}

/// Accounts and the slot they were read at.
pub struct Look {
    pub slot: u64,
    pub accounts: Vec<(Address, Account)>,
}

/// What was read.
pub enum Found {
    Keys(Result<Vec<Address>>),
    Scan(Result<Box<Scan>>),
    Look(Result<Look>),
}

/// A thread that reads, one order after the other. It ends with the process.
pub struct Reader {
    orders: mpsc::Sender<Order>,
}

impl Reader {
    /// Reads from `source` and hands what it finds to `take`.
    pub fn start(
        source: Arc<dyn Source>,
        market: Address,
        take: impl Fn(Found) + Send + 'static,
    ) -> Self {
        let (orders, received) = mpsc::channel();
        thread::spawn(move || {
            for order in received {
                const WHO: &str = "the reading thread";
                let source = &*source;
                take(match order {
                    Order::Keys => Found::Keys(told(WHO, || {
                        Market::load(source, &market).and_then(|market| market.single_keys())
                    })),
                    Order::Scan => Found::Scan(told(WHO, || scan(source, &market).map(Box::new))),
                    Order::Look(keys) => Found::Look(told(WHO, || look(source, &keys))),
                });
            }
        });
        Self { orders }
    }

    pub fn order(&self, order: Order) -> Result<()> {
        self.orders.send(order).map_err(|_| anyhow!("the reading thread broke down"))
    }
}

fn scan(source: &dyn Source, key: &Address) -> Result<Scan> {
    let mut market = Market::load(source, key)?;
    // Once more, and this time the slot is known.
    let Look { slot, accounts } = look(source, &market.keys()?)?;
    for (key, account) in accounts {
        market.replace(&key, account)?;
    }
    let found = Mutex::new(Vec::new());
    let visit = |slot: u64, key: &Address, account: &Account| {
        if let (Ok(obligation), Ok(mut found)) =
            (accounts::obligation(key, &account.owner, &account.data), found.lock())
        {
            found.push((slot, *key, Box::new(*obligation)));
        }
    };
    source.visit_obligations(key, &|_, _| (), &visit)?;
    let obligations = found.into_inner().ok().context("a reading thread broke down")?;
    Ok(Scan { market, slot, obligations })
}

fn look(source: &dyn Source, keys: &[Address]) -> Result<Look> {
    let (slot, accounts) = source.accounts_at(keys)?;
    let accounts =
        keys.iter().zip(accounts).filter_map(|(key, account)| Some((*key, account?))).collect();
    Ok(Look { slot, accounts })
}
