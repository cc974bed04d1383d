//! A turn of the loop as it is recorded: when it was, and what it was told.

use std::collections::BTreeMap;

use anyhow::{Result, anyhow, bail};
use klend_fork::{Machine, Programs, Snapshot, World};
use klend_interface::state::{DISCRIMINATOR_SIZE, Obligation};
use klend_model::{accounts, time::Clock, version::KlendVersion};
use solana_account::Account;
use solana_address::Address;
use solana_hash::Hash;

use super::codec::{Eye, Pen};
use crate::{
    book::{
        chain::Inclusion,
        market::{Market, Whole},
        scan::Scan,
    },
    feeds::{
        blockhash::Blockhash,
        feed::{Update, Version},
    },
    reader::{Found, Look, News, Warm, Why},
    route::discovery::Want,
    watch::time::Moment,
};

/// One turn.
#[derive(Clone)]
pub struct Turn {
    /// When it began: orders that were due then were given.
    pub begun: Moment,
    /// When it took in what it was told.
    pub heard: Moment,
    pub told: Vec<Told>,
}

/// Which feed an update came by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum By {
    Markets,
    Pools,
    /// One that was replaced meanwhile.
    Former,
}

/// What the loop was told.
#[derive(Clone)]
pub enum Told {
    Fed(By, Update),
    Keys(Result<Vec<Address>, String>),
    Scan(Address, Result<Box<Scan>, String>),
    Look(Why, Result<Look, String>),
    Chain(Inclusion, Box<Chain>),
    Blockhash(Result<Blockhash, String>),
    Machine(Result<Code, String>),
    /// The pools of a pair that are kept for an amount, and whether the search is partial.
    Pools(Want, Result<(Vec<Address>, bool), String>),
    /// A worker is done with an obligation; how it ended is found out again.
    Done(Address),
    /// Nothing more begins.
    Stopping,
    Averages(Result<Vec<(Address, Option<Address>)>, String>),
}

/// What was read of the chain beside blockhash and what inclusion costs.
#[derive(Clone, Debug, Default)]
pub struct Chain {
    pub rent: Option<Account>,
    pub failures: Vec<String>,
}

/// The programs of a machine.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Code {
    slot: u64,
    unix_timestamp: i64,
    programs: Vec<Address>,
    refused: Vec<(Address, String)>,
    /// All programs, those that nobody asked for too, and where they keep their code.
    accounts: BTreeMap<Address, Account>,
}

impl Code {
    fn of(warm: &Warm) -> Self {
        let world = warm.machine.world();
        Self {
            slot: world.slot(),
            unix_timestamp: world.unix_timestamp(),
            programs: warm.programs.clone(),
            refused: warm.refused.clone(),
            accounts: world.code(),
        }
    }

    /// A machine with these programs.
    ///
    /// # Errors
    /// When it does not take one of them.
    pub fn machine(&self) -> Result<Machine> {
        let snapshot = Snapshot {
            slot: self.slot,
            unix_timestamp: self.unix_timestamp,
            accounts: self.accounts.clone(),
            ..Snapshot::default()
        };
        Ok(Machine::new(World::from_snapshot(snapshot, &Programs::default())?))
    }

    /// Whether a machine of the other serves.
    pub fn is_like(&self, other: &Self) -> bool {
        self.accounts == other.accounts
    }

    /// What the reader had found.
    pub fn warm(self, machine: Machine) -> Warm {
        Warm { machine, programs: self.programs, refused: self.refused }
    }
}

fn answer<T, U>(found: &Result<T>, of: impl FnOnce(&T) -> U) -> Result<U, String> {
    found.as_ref().map(of).map_err(|reason| format!("{reason:#}"))
}

impl Told {
    /// What a reader found.
    pub fn of(found: &Found) -> Self {
        match found {
            Found::Keys(keys) => Self::Keys(answer(keys, Clone::clone)),
            Found::Scan(market, scan) => Self::Scan(*market, answer(scan, Clone::clone)),
            Found::Look(why, look) => Self::Look(*why, answer(look, Clone::clone)),
            Found::Chain(news) => {
                let failures = news.failures.iter().map(|reason| format!("{reason:#}")).collect();
                let rent = news.rent.clone();
                Self::Chain(news.fees.clone(), Box::new(Chain { rent, failures }))
            }
            Found::Blockhash(found) => Self::Blockhash(answer(found, |it| *it)),
            Found::Machine(warm) => Self::Machine(answer(warm, |warm| Code::of(warm))),
            Found::Averages(found) => Self::Averages(answer(found, Clone::clone)),
            Found::Pools(want, found) => {
                let kept = answer(found, |found| (found.keys(), found.is_partial));
                Self::Pools(*want, kept)
            }
        }
    }

    pub(super) fn spell(&self, pen: &mut Pen) {
        match self {
            Self::Fed(by, update) => {
                let by = *by as u8;
                match update {
                    Update::Connected => pen.text.extend([0, by]),
                    Update::Account { key, version, account } => {
                        pen.text.extend([1, by]);
                        pen.number(version.slot);
                        // Mostly zero, or the largest number there is.
                        pen.number(version.write.wrapping_add(1));
                        pen.account(key, account);
                    }
                    Update::Lost { reason, pause } => {
                        pen.text.extend([2, by]);
                        pen.words(reason);
                        pen.number(u64::try_from(pause.as_millis()).unwrap_or(u64::MAX));
                    }
                }
            }
            Self::Keys(keys) => {
                pen.text.push(3);
                pen.answer(keys, |pen, keys| pen.keys(keys));
            }
            Self::Scan(market, scan) => {
                pen.text.push(4);
                pen.key(market);
                pen.answer(scan, |pen, scan| spell_scan(pen, scan));
            }
            Self::Look(why, look) => {
                pen.text.extend([5, *why as u8]);
                pen.answer(look, |pen, look| {
                    pen.number(look.slot);
                    pen.list(&look.accounts, |pen, (key, account)| match account {
                        Some(account) => {
                            pen.flag(true);
                            pen.account(key, account);
                        }
                        None => {
                            pen.flag(false);
                            pen.key(key);
                        }
                    });
                });
            }
            Self::Chain(fees, chain) => {
                pen.text.push(6);
                pen.option(fees.unit_price.as_ref(), |pen, price| pen.number(*price));
                pen.option(fees.tip.as_ref(), |pen, tip| pen.number(*tip));
                pen.keys(&fees.tip_accounts);
                pen.option(chain.rent.as_ref(), |pen, rent| {
                    pen.account(&solana_sdk_ids::sysvar::rent::ID, rent);
                });
                pen.list(&chain.failures, |pen, reason| pen.words(reason));
            }
            Self::Machine(code) => {
                pen.text.push(7);
                pen.answer(code, |pen, code| {
                    pen.number(code.slot);
                    pen.signed(code.unix_timestamp);
                    pen.keys(&code.programs);
                    pen.list(&code.refused, |pen, (key, reason)| {
                        pen.key(key);
                        pen.words(reason);
                    });
                    let accounts: Vec<_> = code.accounts.iter().collect();
                    pen.list(&accounts, |pen, (key, account)| pen.account(key, account));
                });
            }
            Self::Done(obligation) => {
                pen.text.push(8);
                pen.key(obligation);
            }
            Self::Stopping => pen.text.push(9),
            Self::Averages(found) => {
                pen.text.push(10);
                pen.answer(found, |pen, found| {
                    pen.list(found, |pen, (table, averages)| {
                        pen.key(table);
                        pen.option(averages.as_ref(), |pen, key| {
                            pen.key(key);
                        });
                    });
                });
            }
            Self::Blockhash(found) => {
                pen.text.push(12);
                pen.answer(found, |pen, Blockhash { hash, last_valid_height, slot }| {
                    pen.hash(&hash.to_bytes());
                    pen.number(*last_valid_height);
                    pen.number(*slot);
                });
            }
            Self::Pools(Want { pair: (sold, bought), amount }, found) => {
                pen.text.push(11);
                pen.key(sold);
                pen.key(bought);
                pen.number(*amount);
                pen.answer(found, |pen, (keys, refused)| {
                    pen.keys(keys);
                    pen.flag(*refused);
                });
            }
        }
    }

    pub(super) fn read(eye: &mut Eye<'_>) -> Result<Self> {
        Ok(match eye.byte()? {
            kind @ 0..=2 => {
                let by = match eye.byte()? {
                    0 => By::Markets,
                    1 => By::Pools,
                    2 => By::Former,
                    other => bail!("an update of feed {other}"),
                };
                Self::Fed(by, read_update(eye, kind)?)
            }
            3 => Self::Keys(eye.answer(Eye::keys)?),
            4 => Self::Scan(eye.key()?, eye.answer(|eye| read_scan(eye).map(Box::new))?),
            5 => {
                let why = match eye.byte()? {
                    0 => Why::Polling,
                    1 => Why::Needed,
                    2 => Why::Audit,
                    3 => Why::Confirm,
                    other => bail!("a look for reason {other}"),
                };
                let look = eye.answer(|eye| {
                    let slot = eye.number()?;
                    let accounts = eye.list(|eye| {
                        Ok(if eye.flag()? {
                            let (key, account) = eye.account()?;
                            (key, Some(account))
                        } else {
                            (eye.key()?, None)
                        })
                    })?;
                    Ok(Look { slot, accounts })
                })?;
                Self::Look(why, look)
            }
            6 => {
                let fees = Inclusion {
                    unit_price: eye.option(Eye::number)?,
                    tip: eye.option(Eye::number)?,
                    tip_accounts: eye.keys()?,
                };
                let rent = eye.option(|eye| Ok(eye.account()?.1))?;
                let failures = eye.list(Eye::words)?;
                Self::Chain(fees, Box::new(Chain { rent, failures }))
            }
            7 => Self::Machine(eye.answer(|eye| {
                Ok(Code {
                    slot: eye.number()?,
                    unix_timestamp: eye.signed()?,
                    programs: eye.keys()?,
                    refused: eye.list(|eye| Ok((eye.key()?, eye.words()?)))?,
                    accounts: eye.list(Eye::account)?.into_iter().collect(),
                })
            })?),
            8 => Self::Done(eye.key()?),
            9 => Self::Stopping,
            10 => Self::Averages(
                eye.answer(|eye| eye.list(|eye| Ok((eye.key()?, eye.option(Eye::key)?))))?,
            ),
            11 => {
                let want = Want { pair: (eye.key()?, eye.key()?), amount: eye.number()? };
                Self::Pools(want, eye.answer(|eye| Ok((eye.keys()?, eye.flag()?)))?)
            }
            12 => Self::Blockhash(eye.answer(|eye| {
                let hash = Hash::new_from_array(eye.hash()?);
                Ok(Blockhash { hash, last_valid_height: eye.number()?, slot: eye.number()? })
            })?),
            other => bail!("an entry of kind {other}"),
        })
    }
}

impl Chain {
    /// What the reader had found.
    pub fn news(self, fees: Inclusion) -> News {
        let Self { rent, failures } = self;
        let failures = failures.into_iter().map(|reason| anyhow!(reason)).collect();
        News { rent, fees, failures }
    }
}

fn read_update(eye: &mut Eye<'_>, kind: u8) -> Result<Update> {
    Ok(match kind {
        0 => Update::Connected,
        1 => {
            let (slot, write) = (eye.number()?, eye.number()?.wrapping_sub(1));
            let (key, account) = eye.account()?;
            Update::Account { key, version: Version { slot, write }, account }
        }
        _ => Update::Lost {
            reason: eye.words()?,
            pause: std::time::Duration::from_millis(eye.number()?),
        },
    })
}

fn spell_scan(pen: &mut Pen, scan: &Scan) {
    let Whole { key, clock, klend, account, reserves, oracles } = scan.market.whole();
    pen.number(clock.slot);
    pen.number(clock.unix_timestamp);
    pen.words(klend.name());
    pen.account(key, account);
    pen.list(reserves, |pen, (key, account)| pen.account(key, account));
    let oracles: Vec<_> = oracles.iter().collect();
    pen.list(&oracles, |pen, (key, account)| pen.account(key, account));
    pen.number(scan.slot);
    pen.list(&scan.obligations, |pen, (slot, key, obligation)| {
        pen.signed(slot.wrapping_sub(scan.slot) as i64);
        pen.bare(key, &accounts::account_data(&**obligation));
    });
    pen.keys(&scan.stand_ins);
}

fn read_scan(eye: &mut Eye<'_>) -> Result<Scan> {
    let clock = Clock { slot: eye.number()?, unix_timestamp: eye.number()? };
    let klend: KlendVersion = eye.words()?.parse()?;
    let (key, account) = eye.account()?;
    let reserves = eye.list(Eye::account)?;
    let oracles = eye.list(Eye::account)?.into_iter().collect();
    let market = Market::of(Whole {
        key: &key,
        clock,
        klend,
        account: &account,
        reserves: &reserves,
        oracles: &oracles,
    });
    let slot = eye.number()?;
    let obligations = eye.list(|eye| {
        let read_at = slot.wrapping_add(eye.signed()? as u64);
        let (key, data) = eye.bare()?;
        let body = data.get(DISCRIMINATOR_SIZE..).unwrap_or_default();
        let obligation = bytemuck::try_pod_read_unaligned::<Obligation>(body).map_err(|_| {
            let needed = size_of::<Obligation>();
            anyhow!("obligation {key} has {} bytes, {needed} are needed", body.len())
        })?;
        Ok((read_at, key, Box::new(obligation)))
    })?;
    Ok(Scan { market, slot, obligations, stand_ins: eye.keys()? })
}
