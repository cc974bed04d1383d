//! Where accounts come from: an RPC node, a fork folder, or the built-in fork.
//! Every command works on any of them.

use anyhow::{Context, Result, bail};
use klend_fork::{Programs, Snapshot, World};
use klend_model::{
    accounts::{OBLIGATION_LEN, RESERVE_LEN},
    constants::KLEND_PROGRAM_ID,
    reserve::Clock,
};
use solana_account::Account;
use solana_address::Address;

mod builtin;
mod folder;
mod rpc;

pub use builtin::BuiltinFork;
pub use folder::Folder;
pub use rpc::{Rpc, program_data_address};

/// Offset of `lending_market` in a Reserve and in an Obligation, discriminator
/// included. Pinned by a test.
pub const LENDING_MARKET_OFFSET: usize = 32;

/// Told how many of how many accounts have been read.
pub type Progress<'a> = &'a (dyn Fn(usize, usize) + Sync);

/// Takes one account at a time.
pub type Visitor<'a> = &'a (dyn Fn(&Address, &Account) + Sync);

/// Which accounts of a program are wanted.
#[derive(Clone, Copy, Debug)]
pub struct Filter {
    /// Length of their data.
    pub len: usize,
    /// A key they hold at an offset.
    pub key_at: Option<(usize, Address)>,
}

impl Filter {
    /// Reserves of a market.
    pub fn reserves(market: &Address) -> Self {
        Self { len: RESERVE_LEN, key_at: Some((LENDING_MARKET_OFFSET, *market)) }
    }

    /// Obligations of a market.
    pub fn obligations(market: &Address) -> Self {
        Self { len: OBLIGATION_LEN, key_at: Some((LENDING_MARKET_OFFSET, *market)) }
    }

    fn accepts(&self, data: &[u8]) -> bool {
        data.len() == self.len
            && self.key_at.is_none_or(|(offset, key)| {
                data.get(offset..).is_some_and(|tail| tail.starts_with(key.as_ref()))
            })
    }
}

/// A source of accounts.
pub trait Source {
    /// What this is, for headings.
    fn name(&self) -> String;

    /// The moment the accounts are of.
    fn clock(&self) -> Result<Clock>;

    /// Accounts by key, in order; `None` where there is none.
    fn accounts(&self, keys: &[Address]) -> Result<Vec<Option<Account>>>;

    /// All accounts of a program that pass the filter, sorted by key.
    fn program_accounts(
        &self,
        program: &Address,
        filter: Filter,
    ) -> Result<Vec<(Address, Account)>>;

    /// Visits a market's obligations that have debt, without keeping them.
    /// Accounts may come in any order and from several threads.
    fn visit_obligations(&self, market: &Address, progress: Progress, visit: Visitor)
    -> Result<()>;

    /// A virtual machine with these accounts, for simulating.
    fn world(&self, keys: &[Address]) -> Result<World>;

    /// The RPC node, if this is one.
    fn rpc(&self) -> Option<&Rpc> {
        None
    }

    /// One account, which has to be there.
    fn account(&self, what: &str, key: &Address) -> Result<Account> {
        let account = self.accounts(&[*key])?.pop().flatten();
        account
            .with_context(|| format!("{what} {key}: there is no such account in {}", self.name()))
    }
}

/// Opens what `--rpc` or `--fork` names.
pub fn open(rpc: Option<&str>, fork: Option<&str>) -> Result<Box<dyn Source>> {
    match (rpc, fork) {
        (Some(_), Some(_)) => bail!("--rpc and --fork exclude each other"),
        (Some(url), None) => Ok(Box::new(Rpc::new(url))),
        (None, Some("builtin")) => Ok(Box::new(BuiltinFork::new()?)),
        (None, Some(folder)) => Ok(Box::new(Folder::open(folder.as_ref())?)),
        (None, None) => {
            bail!("no source: give --rpc URL, --fork DIR or --fork builtin")
        }
    }
}

/// klend, the program whose accounts are read.
pub const KLEND: Address = KLEND_PROGRAM_ID;

/// A world of accounts that are at hand, with stand-ins and the receiver from
/// the build where the accounts bring no program of their own.
fn world_of(snapshot: Snapshot) -> Result<World> {
    Ok(World::from_snapshot(snapshot, &Programs::from_environment()?)?)
}

#[cfg(test)]
mod tests {
    use std::mem::offset_of;

    use klend_interface::state::{DISCRIMINATOR_SIZE, Obligation, Reserve};

    use super::*;

    #[test]
    fn both_accounts_hold_their_market_at_the_same_offset() {
        assert_eq!(DISCRIMINATOR_SIZE + offset_of!(Reserve, lending_market), LENDING_MARKET_OFFSET);
        assert_eq!(
            DISCRIMINATOR_SIZE + offset_of!(Obligation, lending_market),
            LENDING_MARKET_OFFSET
        );
    }

    #[test]
    fn a_filter_reads_length_and_key() {
        let market = Address::new_from_array([5; 32]);
        let mut data = vec![0; OBLIGATION_LEN];
        assert!(!Filter::obligations(&market).accepts(&data));
        data[LENDING_MARKET_OFFSET..LENDING_MARKET_OFFSET + 32].copy_from_slice(market.as_ref());
        assert!(Filter::obligations(&market).accepts(&data));
        assert!(!Filter::reserves(&market).accepts(&data));
        assert!(!Filter::obligations(&market).accepts(&data[..100]));
    }

    #[test]
    fn a_source_is_one_thing() {
        assert!(open(None, None).is_err());
        assert!(open(Some("http://localhost"), Some("builtin")).is_err());
    }
}
