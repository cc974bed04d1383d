//! Where accounts come from: an RPC node, a fork folder, or the built-in fork.
//! Every command works on any of them.

use std::{sync::Arc, time::Duration};

use anyhow::{Context, Result, bail};
use flash_liquidator_client::scope::TWAPS;
use klend_fork::{Programs, Snapshot, World};
use klend_interface::state::{DISCRIMINATOR_SIZE, Obligation, Reserve, SplDiscriminate};
use klend_model::{
    accounts::{OBLIGATION_LEN, RESERVE_LEN},
    constants::KLEND_PROGRAM_ID,
    time::Clock,
    version::KlendVersion,
};
use liquidation_venues::discovery::Listing;
use solana_account::Account;
use solana_address::Address;

mod builtin;
pub mod call;
mod folder;
pub mod nodes;
mod pace;
mod rpc;

pub use builtin::BuiltinFork;
pub use call::{Cure, Refused, redact};
pub use folder::Folder;
pub use pace::slot_seconds;
pub use rpc::{
    Rpc, Seen, Sent, Simulated, Status, TIMEOUT, WireAccount, program_data_address, wire_filters,
};

/// Offset of `lending_market` in a Reserve and in an Obligation, discriminator
/// included. Pinned by a test.
pub const LENDING_MARKET_OFFSET: usize = 32;

/// Offset of `has_debt` in an Obligation, discriminator included.
const HAS_DEBT_OFFSET: usize = DISCRIMINATOR_SIZE + std::mem::offset_of!(Obligation, has_debt);

/// Told how many of how many accounts have been read.
pub type Progress<'a> = &'a (dyn Fn(usize, usize) + Sync);

/// Takes one account at a time, and the slot it was read at.
pub type Visitor<'a> = &'a (dyn Fn(u64, &Address, &Account) + Sync);

/// Which accounts of a program are wanted. Their length is not asked for: klend's
/// accounts may grow.
#[derive(Clone, Copy, Debug)]
pub struct Filter {
    /// What their data begins with.
    pub discriminator: &'static [u8],
    /// Bytes of data there have to be at least. Nodes are not told.
    pub min_len: usize,
    /// Keys they hold at offsets.
    pub keys_at: [Option<(usize, Address)>; 2],
    /// A byte they hold at an offset.
    pub byte_at: Option<(usize, u8)>,
}

impl Filter {
    /// Reserves of a market.
    pub fn reserves(market: &Address) -> Self {
        Self::of_market::<Reserve>(RESERVE_LEN, market)
    }

    /// Obligations of a market.
    pub fn obligations(market: &Address) -> Self {
        Self::of_market::<Obligation>(OBLIGATION_LEN, market)
    }

    /// Obligations of a market that have debt.
    pub fn indebted(market: &Address) -> Self {
        Self { byte_at: Some((HAS_DEBT_OFFSET, 1)), ..Self::obligations(market) }
    }

    /// The averages that Scope keeps for a price table.
    pub fn averages(prices: &Address) -> Self {
        Self {
            discriminator: &TWAPS,
            keys_at: [Some((DISCRIMINATOR_SIZE, *prices)), None],
            ..Self::at_least(DISCRIMINATOR_SIZE)
        }
    }

    /// Lookup tables of an authority, retired ones among them.
    pub fn tables(authority: &Address) -> Self {
        // Type, slots of retirement and last extension, where that began; then whether there
        // is an authority, and which.
        const HAS_AUTHORITY: usize = 4 + 8 + 8 + 1;
        Self {
            keys_at: [Some((HAS_AUTHORITY + 1, *authority)), None],
            byte_at: Some((HAS_AUTHORITY, 1)),
            ..Self::at_least(HAS_AUTHORITY + 1 + 32)
        }
    }

    fn of_market<T: SplDiscriminate>(min_len: usize, market: &Address) -> Self {
        Self {
            discriminator: T::SPL_DISCRIMINATOR_SLICE,
            keys_at: [Some((LENDING_MARKET_OFFSET, *market)), None],
            ..Self::at_least(min_len)
        }
    }

    /// A venue's pools of two mints in this order.
    pub fn pools(listing: &'static Listing, mints: [Address; 2]) -> Self {
        let [first, second] = [0, 1].map(|n| Some((listing.mints[n], mints[n])));
        Self {
            discriminator: listing.discriminator.as_ref().map_or(&[], |first| &first[..]),
            keys_at: [first, second],
            ..Self::at_least(listing.len)
        }
    }

    /// Accounts of at least that length, whatever they hold.
    pub fn at_least(min_len: usize) -> Self {
        Self { discriminator: &[], min_len, keys_at: [None; 2], byte_at: None }
    }

    /// What nodes are asked to compare: offsets, and the bytes that have to be there.
    pub fn compared(&self) -> impl Iterator<Item = (usize, &[u8])> {
        let discriminator = (!self.discriminator.is_empty()).then_some((0, self.discriminator));
        let keys = self.keys_at.iter().flatten().map(|(offset, key)| (*offset, key.as_ref()));
        let byte =
            self.byte_at.as_ref().map(|(offset, byte)| (*offset, std::slice::from_ref(byte)));
        discriminator.into_iter().chain(keys).chain(byte)
    }

    /// Whether an account with this data passes.
    pub fn accepts(&self, data: &[u8]) -> bool {
        data.len() >= self.min_len
            && self.compared().all(|(offset, bytes)| {
                data.get(offset..).is_some_and(|tail| tail.starts_with(bytes))
            })
    }
}

/// A source of accounts.
pub trait Source: Send + Sync {
    /// What this is, for headings.
    fn name(&self) -> String;

    /// The moment the accounts are of.
    fn clock(&self) -> Result<Clock>;

    /// Says which klend works on them, where that can be said; the first word holds.
    fn take_for(&self, _klend: KlendVersion) {}

    /// The klend that works on them.
    fn klend(&self) -> Result<KlendVersion> {
        Ok(KlendVersion::default())
    }

    /// Accounts by key, in order, `None` where there is none; and the slot they
    /// were read at, the oldest if they were read at several.
    fn accounts_at(&self, keys: &[Address]) -> Result<(u64, Vec<Option<Account>>)>;

    /// The same for a second answer: of somebody else than who is asked first, if there
    /// is anybody.
    fn accounts_elsewhere(&self, keys: &[Address]) -> Result<(u64, Vec<Option<Account>>)> {
        self.accounts_at(keys)
    }

    /// Accounts by key, in order; `None` where there is none.
    fn accounts(&self, keys: &[Address]) -> Result<Vec<Option<Account>>> {
        Ok(self.accounts_at(keys)?.1)
    }

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

/// Opens what `--rpc` or `--fork` names; `klend` is what the operator says the klend
/// there is.
pub fn open(
    rpc: &[String],
    fork: Option<&str>,
    timeout: Duration,
    klend: Option<KlendVersion>,
) -> Result<Arc<dyn Source>> {
    let source: Arc<dyn Source> = match (rpc, fork) {
        ([_, ..], Some(_)) => bail!("--rpc and --fork exclude each other"),
        (urls @ [_, ..], None) => Arc::new(Rpc::all(urls, timeout)),
        ([], Some("builtin")) => Arc::new(BuiltinFork::new()?),
        ([], Some(folder)) => Arc::new(Folder::open(folder.as_ref())?),
        ([], None) => {
            bail!("no source: give --rpc URL, --fork DIR or --fork builtin")
        }
    };
    if let Some(klend) = klend {
        source.take_for(klend);
    }
    Ok(source)
}

/// Reads the clock sysvar's data.
pub fn read_clock(data: &[u8]) -> Result<Clock> {
    // slot, epoch_start_timestamp, epoch, leader_schedule_epoch, unix_timestamp
    let word = |at: usize| -> Result<[u8; 8]> {
        let tail = data.get(at..).and_then(|tail| tail.first_chunk()).copied();
        tail.with_context(|| format!("the clock sysvar has {} bytes, 40 are needed", data.len()))
    };
    Ok(Clock {
        slot: u64::from_le_bytes(word(0)?),
        unix_timestamp: u64::try_from(i64::from_le_bytes(word(32)?))?,
    })
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
    fn a_filter_reads_kind_and_key() {
        let market = Address::new_from_array([5; 32]);
        let mut data = vec![0; OBLIGATION_LEN];
        data[..DISCRIMINATOR_SIZE].copy_from_slice(Obligation::SPL_DISCRIMINATOR_SLICE);
        assert!(!Filter::obligations(&market).accepts(&data));
        data[LENDING_MARKET_OFFSET..LENDING_MARKET_OFFSET + 32].copy_from_slice(market.as_ref());
        assert!(Filter::obligations(&market).accepts(&data));
        assert!(!Filter::reserves(&market).accepts(&data));
        assert!(!Filter::obligations(&market).accepts(&data[..OBLIGATION_LEN - 1]));
        let grown = [&data[..], &[0; 1_000]].concat();
        assert!(Filter::obligations(&market).accepts(&grown));
        assert!(!Filter::reserves(&market).accepts(&[&grown[..], &[0; RESERVE_LEN]].concat()));
        assert!(!Filter::indebted(&market).accepts(&data));
        data[HAS_DEBT_OFFSET] = 1;
        assert!(Filter::indebted(&market).accepts(&data));
        // Longer than today.
        data.push(0);
        assert!(Filter::indebted(&market).accepts(&data));
        data[0] ^= 1;
        assert!(!Filter::indebted(&market).accepts(&data));
    }

    #[test]
    fn a_clock_has_slot_and_time() {
        let mut data = vec![0; 40];
        data[0] = 7;
        data[32] = 9;
        let clock = read_clock(&data).unwrap();
        assert_eq!((clock.slot, clock.unix_timestamp), (7, 9));
        assert!(read_clock(&data[..39]).unwrap_err().to_string().contains("39 bytes"));
    }

    #[test]
    fn a_source_is_one_thing() {
        assert!(open(&[], None, TIMEOUT, None).is_err());
        let node = ["http://localhost".to_owned()];
        assert!(open(&node, Some("builtin"), TIMEOUT, None).is_err());
    }
}
