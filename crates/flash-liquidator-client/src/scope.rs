//! Writing prices before they are read: Scope's `refresh_price_list`, in front of a
//! liquidation.
//!
//! klend reads prices from a table that Scope's program writes. Anybody may have an
//! entry of it written anew, at top level and with nothing but compute-budget
//! instructions in front. An obligation that is unhealthy at the price about to be
//! written can so be liquidated in the same transaction
//! ([`FlashLiquidation::price_refresh`]). The instruction has to be first, and so does
//! a durable nonce's: one transaction cannot have both.
//!
//! Which accounts an entry is written from follows from its type, which Scope's
//! mappings account has ([`Mappings`]). Entries that are computed from other entries
//! need none; their sources are written first where that is possible. What only a
//! signed report from elsewhere can write is named and refused.
//!
//! Layouts and accounts are those of Scope 0.40 (August 2026).
//!
//! [`FlashLiquidation::price_refresh`]: crate::flash_liquidation::FlashLiquidation::price_refresh

use std::fmt;

use klend_model::constants::{KLEND_PROGRAM_ID, SCOPE_PRICES_DISCRIMINATOR, SCOPE_PROGRAM_ID};
use liquidation_venues::pda;
use solana_address::{Address, address};
use solana_instruction::{AccountMeta, Instruction};
use solana_sdk_ids::sysvar;

/// Entries of a price table.
pub const ENTRIES: u16 = 512;

const REFRESH_PRICE_LIST: [u8; 8] = [83, 186, 207, 131, 203, 254, 198, 130];
const MAPPINGS: [u8; 8] = [40, 244, 110, 80, 255, 214, 243, 188];
/// First bytes of the account that keeps averages; a price table's address follows.
pub const TWAPS: [u8; 8] = [192, 139, 27, 250, 53, 166, 101, 61];

// Offsets in the mappings account's data; each field has one value for every entry.
const ACCOUNTS: usize = 8;
const TYPES: usize = ACCOUNTS + ENTRIES as usize * 32;
const TWAP_SOURCES: usize = TYPES + ENTRIES as usize;
const GENERIC: usize = TWAP_SOURCES + ENTRIES as usize * (2 + 1 + 2);
const GENERIC_LEN: usize = 20;
const MAPPINGS_LEN: usize = GENERIC + ENTRIES as usize * GENERIC_LEN;

/// Bit of an entry's type that says that refreshes leave it as it is.
const FROZEN: u8 = 0x80;

/// Jupiter's perpetuals, whose pool a JLP price is read from.
const JUPITER_PERPETUALS: Address = address!("PERPHjGBqRHArX4DySjwM6UJHiR3sWAatqfdBS2qQJu");

/// Why an entry cannot be written.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ScopeError {
    /// Not the account it should be.
    #[error("{key} is not Scope's {what}: {reason}")]
    Account {
        /// The account.
        key: Address,
        /// What it should be.
        what: &'static str,
        /// What is wrong.
        reason: String,
    },
    /// No such entry.
    #[error("Scope entry {index}: a table has {ENTRIES} entries")]
    Index {
        /// Its number.
        index: u16,
    },
    /// Nothing is mapped there.
    #[error("Scope entry {index} is not in use")]
    Unmapped {
        /// Its number.
        index: u16,
    },
    /// Scope leaves the entry as it is.
    #[error("Scope entry {index} ({kind}) is frozen: no refresh changes it")]
    Frozen {
        /// Its number.
        index: u16,
        /// Its type.
        kind: Kind,
    },
    /// It is written from a report that its source signs.
    #[error("Scope entry {index} ({kind}) is written from a signed report of its source only")]
    Report {
        /// Its number.
        index: u16,
        /// Its type.
        kind: Kind,
    },
    /// A type whose accounts are not known here.
    #[error("Scope entry {index}: {kind} is not supported")]
    Unsupported {
        /// Its number.
        index: u16,
        /// Its type.
        kind: Kind,
    },
    /// An account that names further accounts was not given.
    #[error("Scope entry {index} ({kind}) is written from {account}, which was not read")]
    Unread {
        /// Its number.
        index: u16,
        /// Its type.
        kind: Kind,
        /// What to read.
        account: Address,
    },
    /// Entries that are computed from each other.
    #[error("Scope entry {index} is computed from itself")]
    Circle {
        /// Its number.
        index: u16,
    },
}

/// How an entry gets its price: the number that Scope keeps for it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Kind(pub u8);

/// What an entry is written from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Origin {
    /// Its own account alone; Scope's program id where it has none.
    Account,
    /// Other entries of the table.
    Entries,
    /// Its account, a pool, and the pool's two mints, at these offsets.
    Pool([usize; 2]),
    /// Jupiter's pool and the mint that comes from its address.
    Jlp,
    /// A token account and its mint.
    TokenAccount,
    /// A klend reserve, which klend refreshes in the course.
    Ctoken,
    /// A report that somebody signs.
    Report,
    /// Not known here.
    Other,
}

impl Kind {
    const fn describe(self) -> (&'static str, Origin) {
        /// Where a Whirlpool has its mints.
        const WHIRLPOOL: [usize; 2] = [101, 181];
        /// Where a DLMM pair has its mints.
        const DLMM: [usize; 2] = [88, 120];
        match self.0 {
            5 => ("SplStake", Origin::Account),
            6 => ("KToken", Origin::Other),
            8 => ("MsolStake", Origin::Account),
            9 => ("KTokenToTokenA", Origin::Other),
            10 => ("KTokenToTokenB", Origin::Other),
            11 => ("JupiterLpFetch", Origin::Jlp),
            12 => ("ScopeTwap1h", Origin::Entries),
            13 => ("OrcaWhirlpoolAtoB", Origin::Pool(WHIRLPOOL)),
            14 => ("OrcaWhirlpoolBtoA", Origin::Pool(WHIRLPOOL)),
            15 => ("RaydiumAmmV3AtoB", Origin::Account),
            16 => ("RaydiumAmmV3BtoA", Origin::Account),
            18 => ("MeteoraDlmmAtoB", Origin::Pool(DLMM)),
            19 => ("MeteoraDlmmBtoA", Origin::Pool(DLMM)),
            21 => ("PythPull", Origin::Account),
            22 => ("PythPullEMA", Origin::Account),
            23 => ("FixedPrice", Origin::Account),
            24 => ("SwitchboardOnDemand", Origin::Account),
            25 => ("JitoRestaking", Origin::Account),
            26 => ("Chainlink", Origin::Report),
            27 => ("DiscountToMaturity", Origin::Account),
            28 => ("MostRecentOf", Origin::Entries),
            29 => ("PythLazer", Origin::Report),
            30 => ("RedStone", Origin::Account),
            31 => ("AdrenaLp", Origin::Account),
            32 => ("Securitize", Origin::Other),
            33 => ("CappedFloored", Origin::Entries),
            34 => ("ChainlinkRWA", Origin::Report),
            35 => ("ChainlinkNAV", Origin::Report),
            36 => ("FlashtradeLp", Origin::Account),
            37 => ("ChainlinkX", Origin::Report),
            38 => ("ChainlinkExchangeRate", Origin::Report),
            39 => ("CappedMostRecentOf", Origin::Entries),
            40 => ("ScopeTwap8h", Origin::Entries),
            41 => ("ScopeTwap24h", Origin::Entries),
            42 => ("ScopeTwap7d", Origin::Entries),
            43 => ("MultiplicationChain", Origin::Entries),
            44 => ("SplBalance", Origin::TokenAccount),
            45 => ("StakedSolBalance", Origin::Account),
            46 => ("TotalMintSupply", Origin::Account),
            47 => ("Conditional", Origin::Entries),
            48 => ("PythLazerEMA", Origin::Entries),
            49 => ("KlendCTokenExchangeRate", Origin::Ctoken),
            _ => ("unknown type", Origin::Other),
        }
    }

    /// Its name in Scope.
    #[must_use]
    pub const fn name(self) -> &'static str {
        self.describe().0
    }

    /// Whether only a signed report from elsewhere writes it.
    #[must_use]
    pub const fn needs_report(self) -> bool {
        matches!(self.describe().1, Origin::Report)
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({})", self.name(), self.0)
    }
}

/// The three accounts of one price feed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Feed {
    /// The table that klend reads.
    pub prices: Address,
    /// What each entry is written from.
    pub mappings: Address,
    /// The averages.
    pub twaps: Address,
}

impl Feed {
    /// Where the mappings of a price table are.
    ///
    /// # Errors
    /// [`ScopeError::Account`]: it is no price table.
    pub fn mappings_of(key: &Address, owner: &Address, data: &[u8]) -> Result<Address, ScopeError> {
        named(key, owner, data, "price table", SCOPE_PRICES_DISCRIMINATOR)?;
        address_at(data, 8).ok_or_else(|| too_short(key, "price table", data.len(), 40))
    }

    /// What finds the averages of a price table among the accounts of
    /// [`SCOPE_PROGRAM_ID`]: bytes that stand at the beginning of its data.
    #[must_use]
    pub fn twaps_filter(prices: &Address) -> [u8; 40] {
        let mut bytes = [0; 40];
        bytes[..8].copy_from_slice(&TWAPS);
        bytes[8..].copy_from_slice(prices.as_ref());
        bytes
    }
}

/// One entry of the mappings.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// Its number.
    pub index: u16,
    /// The account it is written from; Scope's program id where there is none.
    pub account: Address,
    /// Its type.
    pub kind: Kind,
    /// Whether refreshes leave it as it is.
    pub frozen: bool,
    /// The entries it is computed from.
    pub sources: Vec<u16>,
}

/// Scope's mappings account.
#[derive(Clone, Copy, Debug)]
pub struct Mappings<'a> {
    data: &'a [u8],
}

impl<'a> Mappings<'a> {
    /// Reads the account.
    ///
    /// # Errors
    /// [`ScopeError::Account`]: it belongs to somebody else, is another account of
    /// Scope, or is too short.
    pub fn read(key: &Address, owner: &Address, data: &'a [u8]) -> Result<Self, ScopeError> {
        named(key, owner, data, "mappings", MAPPINGS)?;
        if data.len() < MAPPINGS_LEN {
            return Err(too_short(key, "mappings", data.len(), MAPPINGS_LEN));
        }
        Ok(Self { data })
    }

    /// An entry.
    ///
    /// # Errors
    /// [`ScopeError::Index`] or [`ScopeError::Unmapped`].
    pub fn entry(&self, index: u16) -> Result<Entry, ScopeError> {
        if index >= ENTRIES {
            return Err(ScopeError::Index { index });
        }
        let at = usize::from(index);
        let kind = self.data[TYPES + at];
        let account = address_at(self.data, ACCOUNTS + at * 32).unwrap_or_default();
        if account == Address::default() {
            return Err(ScopeError::Unmapped { index });
        }
        let generic = &self.data[GENERIC + at * GENERIC_LEN..][..GENERIC_LEN];
        let number = |offset: usize| u16::from_le_bytes([generic[offset], generic[offset + 1]]);
        let kind = Kind(kind & !FROZEN);
        let sources: Vec<u16> = match kind.0 {
            12 | 40..=42 => {
                let at = TWAP_SOURCES + at * 2;
                vec![u16::from_le_bytes([self.data[at], self.data[at + 1]])]
            }
            // Four sources and their tolerances; the second kind ends with its cap.
            28 => (0..4).map(|n| number(n * 2)).collect(),
            39 => (0..4).map(|n| number(n * 2)).chain([number(18)]).collect(),
            // A source, then a cap and a floor, each behind a byte that says whether.
            33 => {
                let mut sources = vec![number(0)];
                let mut at = 2;
                for _ in 0..2 {
                    if generic[at] == 1 {
                        sources.push(number(at + 1));
                        at += 2;
                    }
                    at += 1;
                }
                sources
            }
            43 => (0..6).map(|n| number(n * 2)).collect(),
            47 => (0..3).map(|n| number(3 + n * 2)).collect(),
            48 => vec![number(0)],
            _ => Vec::new(),
        };
        Ok(Entry {
            index,
            account,
            kind,
            frozen: self.data[TYPES + at] & FROZEN != 0,
            // Unused places hold numbers beyond the table.
            sources: sources.into_iter().filter(|source| *source < ENTRIES).collect(),
        })
    }

    /// What to write so that `wanted` entries are as new as they can be: those that
    /// they are computed from, as far as anybody may write them, then they themselves.
    /// Each once.
    ///
    /// # Errors
    /// [`ScopeError`]: a wanted entry cannot be written.
    pub fn with_sources(&self, wanted: &[u16]) -> Result<Vec<u16>, ScopeError> {
        let mut order = Vec::new();
        for index in wanted {
            self.writable(*index)?;
            self.append(*index, &mut order, &mut Vec::new())?;
        }
        Ok(order)
    }

    fn append(
        &self,
        index: u16,
        order: &mut Vec<u16>,
        above: &mut Vec<u16>,
    ) -> Result<(), ScopeError> {
        if above.contains(&index) {
            return Err(ScopeError::Circle { index });
        }
        if order.contains(&index) {
            return Ok(());
        }
        above.push(index);
        for source in self.entry(index)?.sources {
            // What nobody here can write is taken as it stands.
            if self.writable(source).is_ok() {
                self.append(source, order, above)?;
            }
        }
        above.pop();
        order.push(index);
        Ok(())
    }

    /// The entry, if anybody may write it.
    fn writable(&self, index: u16) -> Result<Entry, ScopeError> {
        let entry = self.entry(index)?;
        let kind = entry.kind;
        match kind.describe().1 {
            Origin::Report => Err(ScopeError::Report { index, kind }),
            Origin::Other => Err(ScopeError::Unsupported { index, kind }),
            _ if entry.frozen => Err(ScopeError::Frozen { index, kind }),
            _ => Ok(entry),
        }
    }

    /// The accounts whose contents say which further accounts an entry needs.
    ///
    /// # Errors
    /// As [`with_sources`](Self::with_sources).
    pub fn to_read(&self, indexes: &[u16]) -> Result<Vec<Address>, ScopeError> {
        let mut keys = Vec::new();
        for index in indexes {
            let entry = self.writable(*index)?;
            if matches!(
                entry.kind.describe().1,
                Origin::Pool(_) | Origin::TokenAccount | Origin::Ctoken
            ) {
                keys.push(entry.account);
            }
        }
        Ok(keys)
    }

    /// Accounts of one entry, its own first.
    fn accounts<'b>(
        &self,
        index: u16,
        read: &impl Fn(&Address) -> Option<&'b [u8]>,
    ) -> Result<Vec<AccountMeta>, ScopeError> {
        /// Where a klend reserve names its market.
        const LENDING_MARKET: usize = 32;
        let Entry { account, kind, .. } = self.writable(index)?;
        let own = AccountMeta::new_readonly(account, false);
        let named = |offsets: &[usize]| {
            let data = read(&account).ok_or(ScopeError::Unread { index, kind, account })?;
            offsets
                .iter()
                .map(|offset| {
                    let key = address_at(data, *offset)
                        .ok_or_else(|| too_short(&account, kind.name(), data.len(), offset + 32))?;
                    Ok(AccountMeta::new_readonly(key, false))
                })
                .collect::<Result<Vec<_>, ScopeError>>()
        };
        let mut accounts = vec![own];
        match kind.describe().1 {
            Origin::Pool(mints) => accounts.extend(named(&mints)?),
            Origin::TokenAccount => accounts.extend(named(&[0])?),
            Origin::Ctoken => {
                let market = named(&[LENDING_MARKET])?;
                accounts[0].is_writable = true;
                accounts.push(AccountMeta::new_readonly(KLEND_PROGRAM_ID, false));
                accounts.extend(market);
            }
            Origin::Jlp => {
                let seeds: &[&[u8]] = &[b"lp_token_mint", account.as_ref()];
                let (mint, _) = pda::find(seeds, &JUPITER_PERPETUALS);
                accounts.push(AccountMeta::new_readonly(mint, false));
            }
            Origin::Account | Origin::Entries | Origin::Report | Origin::Other => {}
        }
        Ok(accounts)
    }
}

/// Writes entries of a price table anew. With one entry Scope refuses a price that is
/// not valid; of several it skips such ones.
///
/// `read` gives the data of the accounts that [`Mappings::to_read`] names.
///
/// # Accounts
/// price table (writable), mappings, averages (writable), instructions sysvar; then for
/// each entry the account it is written from, and what its type needs besides.
///
/// # Errors
/// [`ScopeError`]: an entry cannot be written, or an account was not read.
pub fn refresh_price_list<'b>(
    feed: &Feed,
    mappings: &Mappings<'_>,
    entries: &[u16],
    read: impl Fn(&Address) -> Option<&'b [u8]>,
) -> Result<Instruction, ScopeError> {
    let mut accounts = vec![
        AccountMeta::new(feed.prices, false),
        AccountMeta::new_readonly(feed.mappings, false),
        AccountMeta::new(feed.twaps, false),
        AccountMeta::new_readonly(sysvar::instructions::ID, false),
    ];
    let mut data = REFRESH_PRICE_LIST.to_vec();
    data.extend(u32::try_from(entries.len()).unwrap_or(u32::MAX).to_le_bytes());
    for index in entries {
        accounts.extend(mappings.accounts(*index, &read)?);
        data.extend(index.to_le_bytes());
    }
    Ok(Instruction { program_id: SCOPE_PROGRAM_ID, accounts, data })
}

fn named(
    key: &Address,
    owner: &Address,
    data: &[u8],
    what: &'static str,
    discriminator: [u8; 8],
) -> Result<(), ScopeError> {
    if *owner != SCOPE_PROGRAM_ID {
        let reason = format!("it belongs to {owner}");
        return Err(ScopeError::Account { key: *key, what, reason });
    }
    if !data.starts_with(&discriminator) {
        let found =
            data.get(..8).map_or_else(|| data.len().to_string(), |found| format!("{found:?}"));
        let reason = format!("it begins with {found}, not with {discriminator:?}");
        return Err(ScopeError::Account { key: *key, what, reason });
    }
    Ok(())
}

fn too_short(key: &Address, what: &'static str, len: usize, wanted: usize) -> ScopeError {
    ScopeError::Account { key: *key, what, reason: format!("{len} bytes, {wanted} are needed") }
}

fn address_at(data: &[u8], offset: usize) -> Option<Address> {
    Some(Address::new_from_array(*data.get(offset..)?.first_chunk()?))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    const FEED: Feed = Feed {
        prices: address!("3t4JZcueEzTbVP6kLxXrL3VpWx45jDer4eqysweBchNH"),
        mappings: address!("4zh6bmb77qX2CL7t5AJYCqa6YqFafbz3QJNeFvZjLowg"),
        twaps: address!("6L6vUts9tYqxHVUCEFVc2mzZw6yxMn8C6a44cp5ga7e9"),
    };

    fn key(byte: u8) -> Address {
        Address::new_from_array([byte; 32])
    }

    /// A mappings account with these entries: number, account, type, twap source,
    /// generic data.
    fn mappings(entries: &[(u16, Address, u8, u16, &[u8])]) -> Vec<u8> {
        let mut data = vec![0; MAPPINGS_LEN];
        data[..8].copy_from_slice(&MAPPINGS);
        for (index, account, kind, twap, generic) in entries {
            let at = usize::from(*index);
            data[ACCOUNTS + at * 32..][..32].copy_from_slice(account.as_ref());
            data[TYPES + at] = *kind;
            data[TWAP_SOURCES + at * 2..][..2].copy_from_slice(&twap.to_le_bytes());
            data[GENERIC + at * GENERIC_LEN..][..generic.len()].copy_from_slice(generic);
        }
        data
    }

    fn numbers(list: &[u16]) -> Vec<u8> {
        list.iter().flat_map(|number| number.to_le_bytes()).collect()
    }

    fn read(data: &[u8]) -> Mappings<'_> {
        Mappings::read(&FEED.mappings, &SCOPE_PROGRAM_ID, data).unwrap()
    }

    /// The first instruction of the liquidation in slot 436,365,632, and that of a
    /// withdrawal in slot 448,488,640, byte for byte and account for account.
    #[test]
    fn it_is_what_mainnet_took() {
        let indexes = [0x0d, 0xc8, 0x140, 0x105, 0x15b, 0x119];
        let entries: Vec<_> =
            indexes.iter().map(|index| (*index, SCOPE_PROGRAM_ID, 28, 0, &[0xff; 8][..])).collect();
        let data = mappings(&entries);
        let one = refresh_price_list(&FEED, &read(&data), &[0x140], |_| None).unwrap();
        assert_eq!(one.data, [83, 186, 207, 131, 203, 254, 198, 130, 1, 0, 0, 0, 0x40, 1]);
        let expected = [
            AccountMeta::new(FEED.prices, false),
            AccountMeta::new_readonly(FEED.mappings, false),
            AccountMeta::new(FEED.twaps, false),
            AccountMeta::new_readonly(
                address!("Sysvar1nstructions1111111111111111111111111"),
                false,
            ),
            AccountMeta::new_readonly(
                address!("HFn8GnPADiny6XqUoWE8uRPPxb29ikn4yTuPa9MF2fWJ"),
                false,
            ),
        ];
        assert_eq!(one.accounts, expected);
        let six = refresh_price_list(&FEED, &read(&data), &indexes, |_| None).unwrap();
        assert_eq!(
            six.data[8..],
            [6, 0, 0, 0, 0x0d, 0, 0xc8, 0, 0x40, 1, 0x05, 1, 0x5b, 1, 0x19, 1]
        );
        assert_eq!(six.accounts.len(), 4 + 6);
    }

    #[test]
    fn types_bring_what_they_are_written_from() {
        let data = mappings(&[
            (1, key(1), 21, 0, &[]),
            (2, key(2), 13, 0, &[]),
            (3, key(3), 19, 0, &[]),
            (4, key(4), 44, 0, &[]),
            (5, key(5), 49, 0, &[]),
            (6, address!("5BUwFW4nRbftYTDMbgxykoFWqWHPzahFSNAaaaJtVKsq"), 11, 0, &[]),
        ]);
        let mappings = read(&data);
        let mut pools = BTreeMap::new();
        for (account, offsets) in
            [(2, vec![101, 181]), (3, vec![88, 120]), (4, vec![0]), (5, vec![32])]
        {
            let mut data = vec![0; 300];
            for (number, offset) in offsets.into_iter().enumerate() {
                data[offset..offset + 32].fill(account * 10 + number as u8);
            }
            pools.insert(key(account), data);
        }
        assert_eq!(mappings.to_read(&[1, 2, 3, 4, 5, 6]).unwrap(), [2, 3, 4, 5].map(key));
        let accounts = |index| {
            let built = refresh_price_list(&FEED, &mappings, &[index], |key| {
                pools.get(key).map(Vec::as_slice)
            });
            built.unwrap().accounts[4..].iter().map(|meta| meta.pubkey).collect::<Vec<_>>()
        };
        assert_eq!(accounts(1), [key(1)]);
        assert_eq!(accounts(2), [key(2), key(20), key(21)]);
        assert_eq!(accounts(3), [key(3), key(30), key(31)]);
        assert_eq!(accounts(4), [key(4), key(40)]);
        assert_eq!(accounts(5), [key(5), KLEND_PROGRAM_ID, key(50)]);
        // Jupiter's pool, and JLP.
        let jlp = address!("27G8MtK7VtTcCHkpASjSDdkWWYfoqT6ggEuKidVJidD4");
        assert_eq!(accounts(6)[1..], [jlp]);
        let unread = refresh_price_list(&FEED, &mappings, &[2], |_| None).unwrap_err();
        assert_eq!(unread, ScopeError::Unread { index: 2, kind: Kind(13), account: key(2) });
        let short = refresh_price_list(&FEED, &mappings, &[2], |_| Some(&[0; 100])).unwrap_err();
        assert!(short.to_string().contains("100 bytes, 133 are needed"), "{short}");
    }

    #[test]
    fn sources_are_written_first_and_reports_are_taken_as_they_stand() {
        let chain = numbers(&[7, 8, 9, u16::MAX, u16::MAX, u16::MAX]);
        let most_recent = numbers(&[1, 2, u16::MAX, u16::MAX]);
        let capped = [numbers(&[4]), vec![0, 1], numbers(&[1])].concat();
        let data = mappings(&[
            (1, key(1), 21, 0, &[]),
            (2, key(2), 26, 0, &[]),
            (3, SCOPE_PROGRAM_ID, 28, 0, &most_recent),
            (4, SCOPE_PROGRAM_ID, 12, 3, &[]),
            (5, SCOPE_PROGRAM_ID, 33, 0, &capped),
            (6, SCOPE_PROGRAM_ID, 43, 0, &chain),
            (7, SCOPE_PROGRAM_ID, 43, 0, &numbers(&[6])),
            (8, key(8), 21 | FROZEN, 0, &[]),
            (9, key(9), 6, 0, &[]),
        ]);
        let mappings = read(&data);
        assert_eq!(mappings.with_sources(&[5, 3]).unwrap(), [1, 3, 4, 5]);
        assert_eq!(mappings.entry(3).unwrap().sources, [1, 2]);
        let refused = |index| mappings.with_sources(&[index]).unwrap_err();
        assert_eq!(refused(2), ScopeError::Report { index: 2, kind: Kind(26) });
        assert_eq!(refused(6), ScopeError::Circle { index: 6 });
        assert_eq!(refused(8), ScopeError::Frozen { index: 8, kind: Kind(21) });
        assert_eq!(refused(9), ScopeError::Unsupported { index: 9, kind: Kind(6) });
        assert_eq!(refused(10), ScopeError::Unmapped { index: 10 });
        assert_eq!(refused(512), ScopeError::Index { index: 512 });
        assert_eq!(refused(9).to_string(), "Scope entry 9: KToken (6) is not supported");
    }

    #[test]
    fn other_accounts_are_refused_with_what_they_are() {
        let mut data = mappings(&[]);
        let foreign = Mappings::read(&key(1), &key(2), &data).unwrap_err();
        assert!(foreign.to_string().contains(&format!("it belongs to {}", key(2))), "{foreign}");
        let table = Feed::mappings_of(&key(1), &SCOPE_PROGRAM_ID, &data).unwrap_err();
        assert!(table.to_string().contains("is not Scope's price table"), "{table}");
        data.truncate(1_000);
        let short = Mappings::read(&key(1), &SCOPE_PROGRAM_ID, &data).unwrap_err();
        assert!(short.to_string().contains("1000 bytes, 29704 are needed"), "{short}");
        let prices = [&SCOPE_PRICES_DISCRIMINATOR[..], key(3).as_ref()].concat();
        assert_eq!(Feed::mappings_of(&key(1), &SCOPE_PROGRAM_ID, &prices), Ok(key(3)));
    }
}
