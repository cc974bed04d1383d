//! One case: accounts before and after, in memory and as a folder.

use std::{fs, path::Path, sync::Arc};

use anyhow::{Context as _, Result, bail};
use klend_fork::Snapshot;
use klend_interface::state::{LendingMarket, Obligation, Reserve};
use klend_model::{
    accounts::{self, AccountError},
    fields,
    liquidation::Request,
    time::Clock,
    verify::{self, Change, Compared, Liquidated, Silent},
    version::KlendVersion,
};
use serde_json::Value;
use solana_account::Account;
use solana_address::Address;

/// Accounts as they were.
const BEFORE: &str = "before";
/// Accounts as they are.
const AFTER: &str = "after";
/// The transaction, where it is known, as `getTransaction` answers.
const TRANSACTION: &str = "transaction.json";
/// What was found, for people.
const DIFFERENCE: &str = "difference.txt";

/// A reserve before and after.
pub type Pair = (Address, Arc<Account>, Arc<Account>);

/// What happened.
#[derive(Debug, Clone)]
pub enum What {
    /// The one reserve was refreshed.
    Refresh,
    /// The obligation was liquidated, or looks like it.
    Liquidation { before: Box<Obligation>, after: Box<Obligation> },
}

/// One refresh or one liquidation.
#[derive(Debug, Clone)]
pub struct Case {
    /// The reserve or the obligation.
    pub key: Address,
    /// The klend that is compared with.
    pub klend: KlendVersion,
    market: (Address, Arc<Account>),
    reserves: Vec<Pair>,
    pub what: What,
    transaction: Option<Value>,
}

/// Views of a reserve's two states.
fn change((key, before, after): &Pair) -> Result<Change<'_, Reserve>, AccountError> {
    Ok(Change {
        key: *key,
        before: accounts::reserve(key, &before.owner, &before.data)?,
        after: accounts::reserve(key, &after.owner, &after.data)?,
    })
}

impl Case {
    /// # Errors
    /// An account is not what it should be.
    pub fn new(
        klend: KlendVersion,
        key: Address,
        market: (Address, Arc<Account>),
        reserves: Vec<Pair>,
        what: What,
    ) -> Result<Self> {
        let case = Self { key, klend, market, reserves, what, transaction: None };
        case.lending_market()?;
        for pair in &case.reserves {
            change(pair)?;
        }
        Ok(case)
    }

    fn lending_market(&self) -> Result<&LendingMarket, AccountError> {
        let (key, account) = &self.market;
        accounts::lending_market(key, &account.owner, &account.data)
    }

    fn changes(&self) -> Vec<Change<'_, Reserve>> {
        // Looked at when it was made.
        self.reserves.iter().filter_map(|pair| change(pair).ok()).collect()
    }

    /// The reserves, each with the slots of its two states.
    pub fn spans(&self) -> Vec<(Address, u64, u64)> {
        let slots = |change: Change<'_, Reserve>| {
            (change.key, change.before.last_update.slot, change.after.last_update.slot)
        };
        self.changes().into_iter().map(slots).collect()
    }

    /// The transaction, where it came with the case.
    pub fn transaction(&self) -> Option<Value> {
        self.transaction.clone()
    }

    /// Whether it is about an obligation.
    pub fn is_liquidation(&self) -> bool {
        matches!(self.what, What::Liquidation { .. })
    }

    /// The moment at which klend acted, where the accounts say it.
    pub fn moment(&self) -> Option<Clock> {
        match &self.what {
            What::Refresh => self.changes().first().and_then(|change| verify::moment(change.after)),
            What::Liquidation { after, .. } => {
                let timestamp = fields::timestamp(&after.last_update);
                let slot = after.last_update.slot;
                let unix_timestamp = u64::from(timestamp);
                (timestamp != 0).then_some(Clock { slot, unix_timestamp })
            }
        }
    }

    /// Compares the reserve's refresh.
    pub fn compare_refresh(&self) -> Result<Vec<Compared>, Silent> {
        let clock = self.moment().ok_or(Silent::NoTime)?;
        let changes = self.changes();
        let (Some(change), Ok(market)) = (changes.first(), self.lending_market()) else {
            return Err(Silent::Unseen(self.key));
        };
        verify::reserve(self.klend, &self.market.0, market, change, clock)
    }

    /// Compares the liquidation with what `request` comes to.
    pub fn compare_liquidation(&self, request: &Request) -> Result<Vec<Compared>, Silent> {
        self.liquidated(|seen| seen.compare(self.klend, request))?
    }

    /// What may have been asked for.
    pub fn guesses(&self) -> Option<[Request; 2]> {
        self.liquidated(|seen| seen.guesses()).ok().flatten()
    }

    fn liquidated<T>(&self, look: impl FnOnce(Liquidated<'_>) -> T) -> Result<T, Silent> {
        let What::Liquidation { before, after } = &self.what else {
            return Err(Silent::NoRefresh);
        };
        let clock = self.moment().ok_or(Silent::NoTime)?;
        let market = self.lending_market().map_err(|_| Silent::Unseen(self.market.0))?;
        Ok(look(Liquidated {
            market: (self.market.0, market),
            reserves: &self.changes(),
            obligation: Change { key: self.key, before, after },
            clock,
        }))
    }

    /// Writes the case as a folder that [`read`](Self::read) reads: two fork folders,
    /// both of the moment at which klend acted, and what is known beside.
    ///
    /// # Errors
    /// The folder is there already, or cannot be written.
    pub fn write(
        &self,
        folder: &Path,
        difference: &str,
        transaction: Option<&Value>,
    ) -> Result<()> {
        let shown = || format!("{}", folder.display());
        fs::create_dir_all(folder.parent().unwrap_or(Path::new("."))).with_context(shown)?;
        fs::create_dir(folder).with_context(shown)?;
        let clock = self.moment().unwrap_or(Clock { slot: 0, unix_timestamp: 0 });
        let snapshot = |after: bool| -> Result<Snapshot> {
            let pick =
                |pair: &Pair| (pair.0, Account::clone(if after { &pair.2 } else { &pair.1 }));
            let mut accounts: std::collections::BTreeMap<_, _> =
                self.reserves.iter().map(pick).collect();
            accounts.insert(self.market.0, Account::clone(&self.market.1));
            if let What::Liquidation { before, after: left } = &self.what {
                let data = accounts::account_data(if after { &**left } else { &**before });
                let owner = self.market.1.owner;
                let lamports = self.market.1.lamports;
                accounts.insert(self.key, Account { lamports, data, owner, ..Account::default() });
            }
            Ok(Snapshot {
                slot: clock.slot,
                unix_timestamp: i64::try_from(clock.unix_timestamp)?,
                klend: Some(self.klend),
                accounts,
                ..Snapshot::default()
            })
        };
        snapshot(false)?.write(&folder.join(BEFORE))?;
        snapshot(true)?.write(&folder.join(AFTER))?;
        if let Some(transaction) = transaction.or(self.transaction.as_ref()) {
            fs::write(folder.join(TRANSACTION), serde_json::to_vec_pretty(transaction)?)
                .with_context(shown)?;
        }
        fs::write(folder.join(DIFFERENCE), difference).with_context(shown)
    }

    /// Reads the cases of a folder, or of all folders in it. `klend` overrules the version
    /// that they were recorded with.
    ///
    /// # Errors
    /// It holds no case, or something in one is not what it should be.
    pub fn read_all(folder: &Path, klend: Option<KlendVersion>) -> Result<Vec<Self>> {
        let is_case = |path: &Path| path.join(BEFORE).is_dir() && path.join(AFTER).is_dir();
        if is_case(folder) {
            return Self::read(folder, klend);
        }
        let shown = || format!("{}", folder.display());
        let entries = fs::read_dir(folder).with_context(shown)?;
        let mut paths = entries.map(|entry| Ok(entry?.path())).collect::<Result<Vec<_>>>()?;
        paths.retain(|path| is_case(path));
        paths.sort();
        if paths.is_empty() {
            bail!(
                "{}: neither a recorded case, which has the folders {BEFORE:?} and {AFTER:?}, \
                 nor a folder of such: one state of accounts says nothing about what klend does",
                folder.display()
            );
        }
        let mut cases = Vec::new();
        for path in paths {
            cases.extend(Self::read(&path, klend)?);
        }
        Ok(cases)
    }

    fn read(folder: &Path, klend: Option<KlendVersion>) -> Result<Vec<Self>> {
        let shown = || format!("{}", folder.display());
        let before = Snapshot::read(&folder.join(BEFORE))?;
        let mut after = Snapshot::read(&folder.join(AFTER))?;
        let klend = klend.or(before.klend).unwrap_or_default();
        let market = before
            .accounts
            .iter()
            .find(|(key, account)| {
                accounts::lending_market(key, &account.owner, &account.data).is_ok()
            })
            .map(|(key, account)| (*key, Arc::new(account.clone())))
            .with_context(|| format!("{}: no lending market in {BEFORE:?}", folder.display()))?;
        let transaction = match fs::read(folder.join(TRANSACTION)) {
            Ok(text) => Some(serde_json::from_slice(&text).with_context(shown)?),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => None,
            Err(error) => return Err(error).with_context(shown),
        };
        let (mut reserves, mut obligations) = (Vec::new(), Vec::new());
        for (key, account) in before.accounts {
            let Some(later) = after.accounts.remove(&key) else { continue };
            if accounts::reserve(&key, &account.owner, &account.data).is_ok() {
                reserves.push((key, Arc::new(account), Arc::new(later)));
            } else if accounts::obligation(&key, &account.owner, &account.data).is_ok() {
                obligations.push((key, account, later));
            }
        }
        let mut cases = Vec::new();
        for pair in &reserves {
            let pair = vec![pair.clone()];
            cases.push(Self::new(klend, pair[0].0, market.clone(), pair, What::Refresh)?);
        }
        for (key, before, after) in obligations {
            let before = Box::new(*accounts::obligation(&key, &before.owner, &before.data)?);
            let after = Box::new(*accounts::obligation(&key, &after.owner, &after.data)?);
            if verify::pair(&before, &after).is_some() {
                let what = What::Liquidation { before, after };
                let mut case = Self::new(klend, key, market.clone(), reserves.clone(), what)?;
                case.transaction.clone_from(&transaction);
                cases.push(case);
            }
        }
        Ok(cases)
    }
}
