//! Single accounts, the newest of each, and which are known not to exist.

use std::{collections::HashMap, sync::Arc};

use anyhow::Result;
use liquidation_venues::{Known, Pool};
use solana_account::Account;
use solana_address::Address;

use super::by_mint::ByMint;
use crate::feeds::{feed::Version, source::Source};

/// What is known at an address, and when it was true.
#[derive(Debug)]
struct Entry {
    version: Version,
    account: Option<Account>,
    /// The same as a pool, if it is one of a real venue.
    pool: Option<Arc<dyn Pool>>,
}

/// Accounts by address. An older answer never overrules a newer one.
#[derive(Debug, Default)]
pub struct Accounts {
    entries: HashMap<Address, Entry>,
    /// The pools among them.
    pools: ByMint,
    changes: u64,
}

impl Accounts {
    /// Takes what is at an address, `None` for nothing; `false` if something newer is
    /// known. An account without lamports is none.
    pub fn put(&mut self, key: &Address, version: Version, account: Option<Account>) -> bool {
        if self.entries.get(key).is_some_and(|entry| entry.version > version) {
            return false;
        }
        let account = account.filter(|account| account.lamports > 0);
        // Read again, as audits do with everything: what it is as a pool is known.
        if let Some(entry) = self.entries.get_mut(key).filter(|entry| entry.account == account) {
            entry.version = version;
            return true;
        }
        let pool: Option<Arc<dyn Pool>> = account.as_ref().and_then(|account| {
            liquidation_venues::read(key, of_venues(account)).ok().map(Arc::from)
        });
        let mints = pool.as_ref().map(|pool| pool.mints());
        let before = self.entries.insert(*key, Entry { version, account, pool });
        let is_new = before.is_none();
        let before = before.and_then(|entry| Some(entry.pool?.mints()));
        self.changes += u64::from(is_new || before.is_some() != mints.is_some());
        if before != mints {
            if let Some(mints) = before {
                self.pools.remove(key, mints);
            }
            if let Some(mints) = mints {
                self.pools.put(key, mints);
            }
        }
        true
    }

    /// Reads what is at these addresses now.
    ///
    /// # Errors
    /// The source cannot be asked.
    pub fn read(&mut self, source: &dyn Source, keys: &[Address]) -> Result<()> {
        let (slot, read) = source.accounts_at(keys)?;
        for (key, account) in keys.iter().zip(read) {
            self.put(key, Version::end_of(slot), account);
        }
        Ok(())
    }

    /// The account, if there is one.
    #[must_use]
    pub fn get(&self, key: &Address) -> Option<&Account> {
        self.entries.get(key)?.account.as_ref()
    }

    /// The account as pools are read from.
    #[must_use]
    pub fn of_venues(&self, key: &Address) -> Option<liquidation_venues::Account<'_>> {
        self.get(key).map(of_venues)
    }

    /// The account as a pool, if it is one of a real venue.
    #[must_use]
    pub fn pool(&self, key: &Address) -> Option<&Arc<dyn Pool>> {
        self.entries.get(key)?.pool.as_ref()
    }

    /// All that are pools of a real venue, by what they trade; former ones among them.
    #[must_use]
    pub fn pools(&self) -> &ByMint {
        &self.pools
    }

    /// How often an address became known, or a pool, or ceased to be one.
    #[must_use]
    pub fn changes(&self) -> u64 {
        self.changes
    }

    /// The programs among them.
    #[must_use]
    pub fn programs(&self) -> Vec<Address> {
        let is_program = |entry: &Entry| entry.account.as_ref().is_some_and(|of| of.executable);
        let programs = self.entries.iter().filter(|(_, entry)| is_program(entry));
        programs.map(|(key, _)| *key).collect()
    }

    /// Whether an account is there, and nothing newer than `version` is known of it.
    #[must_use]
    pub fn holds(&self, key: &Address, version: Version) -> bool {
        let holds = |entry: &Entry| entry.account.is_some() && entry.version <= version;
        self.entries.get(key).is_some_and(holds)
    }

    /// Whether it was read, be it that there is none.
    #[must_use]
    pub fn is_known(&self, key: &Address) -> bool {
        self.entries.contains_key(key)
    }

    /// The slot it was read or written at.
    #[must_use]
    pub fn slot(&self, key: &Address) -> Option<u64> {
        self.entries.get(key).map(|entry| entry.version.slot)
    }

    /// Those of `keys` that were never read, each once.
    pub fn unread(&self, keys: impl IntoIterator<Item = Address>) -> Vec<Address> {
        let mut unread: Vec<Address> = keys.into_iter().filter(|key| !self.is_known(key)).collect();
        unread.sort_unstable();
        unread.dedup();
        unread
    }

    /// How many addresses are known.
    #[must_use]
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Whether nothing is known.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// The addresses known.
    pub fn keys(&self) -> impl Iterator<Item = &Address> {
        self.entries.keys()
    }
}

/// An account as pools are read from.
#[must_use]
pub fn of_venues(account: &Account) -> liquidation_venues::Account<'_> {
    liquidation_venues::Account { owner: &account.owner, data: &account.data }
}

impl liquidation_venues::Accounts for Accounts {
    fn known(&self, key: &Address) -> Known<'_> {
        match self.of_venues(key) {
            Some(account) => Known::Present(account),
            None if self.is_known(key) => Known::Absent,
            None => Known::Unread,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_newest_answer_counts_whatever_order_they_come_in() {
        let key = Address::new_from_array([1; 32]);
        let account = |lamports| Account { lamports, ..Account::default() };
        let version = |slot, write| Version { slot, write };
        let mut accounts = Accounts::default();
        assert_eq!(accounts.unread([key, key]), [key]);

        assert!(accounts.put(&key, version(5, 1), Some(account(1))));
        assert!(!accounts.put(&key, version(4, 9), Some(account(2))), "an older slot");
        assert!(!accounts.put(&key, version(5, 0), None), "an earlier write of the same slot");
        assert_eq!(accounts.get(&key).map(|account| account.lamports), Some(1));

        // Closed: known, and known not to be there.
        assert!(accounts.put(&key, version(6, 0), Some(account(0))));
        assert!(!accounts.put(&key, Version::end_of(5), Some(account(3))), "the old one late");
        assert!(accounts.get(&key).is_none() && accounts.is_known(&key));
        assert!(accounts.unread([key]).is_empty());
        assert_eq!((accounts.slot(&key), accounts.len()), (Some(6), 1));
    }

    #[test]
    fn the_book_knows_what_is_there_what_is_not_and_what_it_has_not_read() {
        use liquidation_venues::Accounts as _;
        let key = |byte| Address::new_from_array([byte; 32]);
        let mut accounts = Accounts::default();
        let account = Account { lamports: 1, owner: key(9), data: vec![3], ..Account::default() };
        accounts.put(&key(1), Version::end_of(1), Some(account));
        accounts.put(&key(2), Version::end_of(1), None);
        let Known::Present(account) = accounts.known(&key(1)) else { panic!() };
        assert_eq!((*account.owner, account.data), (key(9), &[3][..]));
        assert!(matches!(accounts.known(&key(2)), Known::Absent));
        assert!(matches!(accounts.known(&key(3)), Known::Unread));
    }
}
