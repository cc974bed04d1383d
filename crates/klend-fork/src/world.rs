use std::{collections::BTreeMap, path::Path};

use flash_liquidator_client::{
    klend::{ObligationAddresses, ReserveAddresses},
    token::associated_token_account,
    transaction::{compile_v0, transaction_bytes},
};
use klend_interface::state::{LendingMarket, Obligation, Reserve};
use klend_model::{
    accounts,
    constants::{FARMS_PROGRAM_ID, KLEND_PROGRAM_ID, KLEND_STAGING_PROGRAM_ID, SCOPE_PROGRAM_ID},
    keys::to_address,
};
use litesvm::LiteSVM;
use sha2::{Digest, Sha256};
use solana_account::{Account, ReadableAccount};
use solana_address::Address;
use solana_address_lookup_table_interface::state::{AddressLookupTable, LookupTableMeta};
use solana_clock::Clock;
use solana_instruction::Instruction;
use solana_keypair::Keypair;
use solana_message::{AddressLookupTableAccount, VersionedMessage};
use solana_sdk_ids::{address_lookup_table, bpf_loader_upgradeable, system_program, sysvar};
use solana_signer::Signer;
use solana_transaction::versioned::VersionedTransaction;

use crate::{
    error::ForkError,
    programs::Programs,
    rebuild::{self, Absent},
    scope::{self, Chains, Price, Table},
    send::{Failure, Outcome},
    snapshot::Snapshot,
    tokens::{self, MintFigures},
};

/// Lamports of a new [`World::actor`]: 1,000 SOL.
const ACTOR_LAMPORTS: u64 = 1_000_000_000_000;

/// Mainnet's usual time between slots.
const SLOT_MILLIS: u64 = 400;

const SLOTS_PER_EPOCH: u64 = 432_000;

/// Begins the data of an upgradeable program's code account.
const PROGRAM_DATA_TAG: [u8; 4] = [3, 0, 0, 0];

/// A klend market in a virtual machine. See the crate's documentation.
#[derive(Clone)]
pub struct World {
    svm: LiteSVM,
    rebuilt: Vec<Absent>,
    missing: Vec<Absent>,
    tables: u64,
}

/// Making a world.
impl World {
    /// A world of built-in main-market figures.
    ///
    /// The market, mints and reserves have their mainnet addresses; the figures
    /// are those of 2024 to 2026, rounded. There are USDC, SOL (with a collateral
    /// farm), JitoSOL and PYUSD (a Token-2022 stablecoin, with a debt farm), two
    /// elevation groups
    /// (2: JitoSOL against SOL; 4: SOL and JitoSOL against PYUSD), and a second
    /// market with another USDC reserve.
    ///
    /// # Errors
    /// [`ForkError::ProgramNotBuilt`] when the programs have not been built.
    pub fn builtin() -> Result<Self, ForkError> {
        Self::builtin_with(&Programs::from_environment()?)
    }

    /// [`builtin`](Self::builtin) with other programs.
    ///
    /// # Errors
    /// [`ForkError`] when the virtual machine refuses a program.
    pub fn builtin_with(programs: &Programs) -> Result<Self, ForkError> {
        Self::from_snapshot(Snapshot::builtin()?, programs)
    }

    /// A world from a fork folder ([`Snapshot::read`]).
    ///
    /// # Errors
    /// [`ForkError`], naming the file.
    pub fn from_folder(folder: impl AsRef<Path>) -> Result<Self, ForkError> {
        Self::from_snapshot(Snapshot::read(folder.as_ref())?, &Programs::from_environment()?)
    }

    /// A world from accounts that somebody read, with `programs` deployed where
    /// the accounts do not bring a program of their own.
    ///
    /// Vaults and mints that are missing are made from what the reserves say:
    /// [`rebuilt`](Self::rebuilt) lists them. Farms and oracles that are missing
    /// cannot be: [`missing`](Self::missing) lists those.
    ///
    /// # Errors
    /// [`ForkError`]: a reserve or a mint is not what it should be, or the virtual
    /// machine refuses an account.
    pub fn from_snapshot(mut snapshot: Snapshot, programs: &Programs) -> Result<Self, ForkError> {
        let (mut rebuilt, mut missing) = (Vec::new(), Vec::new());
        for (key, reserve) in reserves_of(&snapshot)? {
            let (added, absent) = rebuild::complete(&mut snapshot, &key, &reserve)?;
            rebuilt.extend(added);
            missing.extend(absent);
        }

        // The clock comes first: programs are visible from the slot they are
        // loaded in.
        let mut svm = LiteSVM::default()
            .with_mainnet_features()
            .with_builtins()
            .with_lamports(u64::MAX / 2)
            .with_sysvars();
        svm.set_sysvar(&clock(snapshot.slot, snapshot.unix_timestamp));
        let svm = svm
            .with_feature_accounts()
            .with_default_programs()
            .with_sigverify(true)
            .with_blockhash_check(true)
            .with_transaction_history(0)
            .with_log_bytes_limit(None);
        let mut world = Self { svm, rebuilt, missing, tables: 0 };
        world.load(snapshot, programs)?;
        Ok(world)
    }

    fn load(&mut self, snapshot: Snapshot, programs: &Programs) -> Result<(), ForkError> {
        let replaced = |key: &Address| programs.0.iter().any(|p| p.replaces && p.id == *key);
        let (code, others): (BTreeMap<_, _>, BTreeMap<_, _>) =
            snapshot.accounts.into_iter().partition(|(_, account)| {
                account.owner == bpf_loader_upgradeable::ID
                    && account.data.starts_with(&PROGRAM_DATA_TAG)
            });
        let (executables, others): (BTreeMap<_, _>, BTreeMap<_, _>) =
            others.into_iter().partition(|(_, account)| account.executable);

        let mut brought = Vec::new();
        for (key, account) in code.into_iter().chain(others).chain(executables) {
            if account.owner == sysvar::ID || (account.executable && replaced(&key)) {
                continue;
            }
            if account.executable {
                brought.push(key);
            }
            self.set_account(&key, account)?;
        }
        for (key, elf) in &snapshot.programs {
            if !replaced(key) {
                brought.push(*key);
                self.deploy(key, elf)?;
            }
        }
        for program in &programs.0 {
            if program.replaces || !brought.contains(&program.id) {
                self.deploy(&program.id, &program.elf)?;
            }
        }
        Ok(())
    }

    /// Deploys a program.
    ///
    /// # Errors
    /// [`ForkError::Refused`] when it is not an ELF that the virtual machine takes.
    pub fn deploy(&mut self, id: &Address, elf: &[u8]) -> Result<(), ForkError> {
        self.svm
            .add_program(*id, elf)
            .map_err(|error| ForkError::Refused { key: *id, reason: error.to_string() })
    }

    /// Accounts that were missing and have been made from what a reserve says.
    #[must_use]
    pub fn rebuilt(&self) -> &[Absent] {
        &self.rebuilt
    }

    /// Accounts that a reserve names and that are not there. A reserve with a
    /// missing farm cannot be deposited into; one with a missing oracle cannot be
    /// refreshed for long.
    #[must_use]
    pub fn missing(&self) -> &[Absent] {
        &self.missing
    }

    /// Every account of klend, farms, Scope and the token programs as it is now,
    /// without programs: what [`from_snapshot`](Self::from_snapshot) makes the
    /// same market from.
    #[must_use]
    pub fn snapshot(&self) -> Snapshot {
        let owners = [
            KLEND_PROGRAM_ID,
            KLEND_STAGING_PROGRAM_ID,
            FARMS_PROGRAM_ID,
            SCOPE_PROGRAM_ID,
            tokens::TOKEN_PROGRAM_ID,
            tokens::TOKEN_2022_PROGRAM_ID,
        ];
        Snapshot {
            slot: self.slot(),
            unix_timestamp: self.unix_timestamp(),
            accounts: owners
                .iter()
                .flat_map(|owner| self.svm.get_program_accounts(owner))
                .collect(),
            programs: BTreeMap::new(),
        }
    }

    /// Whether an executable account is at this address.
    pub(crate) fn is_program(&self, key: &Address) -> bool {
        self.svm.accounts_db().get_account_ref(key).is_some_and(ReadableAccount::executable)
    }

    /// The same world, taking transactions that nobody has signed.
    pub(crate) fn without_signatures(self) -> Self {
        Self { svm: self.svm.with_sigverify(false), ..self }
    }

    /// The virtual machine, for what this type does not offer.
    pub fn svm(&mut self) -> &mut LiteSVM {
        &mut self.svm
    }
}

/// Reading klend.
impl World {
    /// The market with most reserves; the one at the lowest address among equals.
    ///
    /// # Errors
    /// [`ForkError::Missing`] when there is no reserve at all.
    pub fn market(&self) -> Result<Address, ForkError> {
        let mut counts = BTreeMap::<Address, usize>::new();
        for (_, reserve) in self.reserves()? {
            *counts.entry(to_address(&reserve.lending_market)).or_default() += 1;
        }
        counts
            .into_iter()
            .rev()
            .max_by_key(|(_, count)| *count)
            .map(|(market, _)| market)
            .ok_or(ForkError::Missing { what: "lending market", key: Address::default() })
    }

    /// All reserves, by address.
    ///
    /// # Errors
    /// [`ForkError::Klend`] when an account is no reserve klend would accept.
    pub fn reserves(&self) -> Result<BTreeMap<Address, Reserve>, ForkError> {
        let mut reserves = BTreeMap::new();
        for program in [KLEND_PROGRAM_ID, KLEND_STAGING_PROGRAM_ID] {
            for (key, account) in self.svm.get_program_accounts(&program) {
                if account.data.len() == accounts::RESERVE_LEN {
                    reserves.insert(key, *accounts::reserve(&key, &account.owner, &account.data)?);
                }
            }
        }
        Ok(reserves)
    }

    /// All obligations, by address.
    ///
    /// # Errors
    /// [`ForkError::Klend`] when an account is no obligation klend would accept.
    pub fn obligations(&self) -> Result<BTreeMap<Address, Obligation>, ForkError> {
        let mut obligations = BTreeMap::new();
        for program in [KLEND_PROGRAM_ID, KLEND_STAGING_PROGRAM_ID] {
            for (key, account) in self.svm.get_program_accounts(&program) {
                if account.data.len() == accounts::OBLIGATION_LEN {
                    let obligation = accounts::obligation(&key, &account.owner, &account.data)?;
                    obligations.insert(key, *obligation);
                }
            }
        }
        Ok(obligations)
    }

    /// The reserve of that name (`"SOL"`, in any case) in [`market`](Self::market).
    ///
    /// # Errors
    /// [`ForkError::UnknownReserve`], with the names there are.
    pub fn reserve_named(&self, symbol: &str) -> Result<Address, ForkError> {
        self.reserve_in(&self.market()?, symbol)
    }

    /// The reserve of that name in `market`; the one at the lowest address among
    /// several.
    ///
    /// # Errors
    /// [`ForkError::UnknownReserve`], with the names there are.
    pub fn reserve_in(&self, market: &Address, symbol: &str) -> Result<Address, ForkError> {
        let named: Vec<_> = self
            .reserves()?
            .into_iter()
            .filter(|(_, reserve)| to_address(&reserve.lending_market) == *market)
            .map(|(key, reserve)| (rebuild::symbol(&reserve), key))
            .collect();
        named
            .iter()
            .find(|(name, _)| name.eq_ignore_ascii_case(symbol))
            .map(|(_, key)| *key)
            .ok_or_else(|| ForkError::UnknownReserve {
                symbol: symbol.to_owned(),
                known: named.iter().map(|(name, _)| name.as_str()).collect::<Vec<_>>().join(", "),
            })
    }

    /// The name of a reserve.
    ///
    /// # Errors
    /// As [`reserve`](Self::reserve).
    pub fn symbol(&self, reserve: &Address) -> Result<String, ForkError> {
        Ok(rebuild::symbol(&self.reserve(reserve)?))
    }

    /// A reserve.
    ///
    /// # Errors
    /// [`ForkError::Missing`] or [`ForkError::Klend`].
    pub fn reserve(&self, key: &Address) -> Result<Reserve, ForkError> {
        let account = self.wanted("reserve", key)?;
        Ok(*accounts::reserve(key, &account.owner, &account.data)?)
    }

    /// The addresses that go with a reserve.
    ///
    /// # Errors
    /// As [`reserve`](Self::reserve).
    pub fn reserve_addresses(&self, key: &Address) -> Result<ReserveAddresses, ForkError> {
        Ok(ReserveAddresses::read(key, &self.reserve(key)?))
    }

    /// An obligation.
    ///
    /// # Errors
    /// [`ForkError::Missing`] or [`ForkError::Klend`].
    pub fn obligation(&self, key: &Address) -> Result<Obligation, ForkError> {
        let account = self.wanted("obligation", key)?;
        Ok(*accounts::obligation(key, &account.owner, &account.data)?)
    }

    /// The addresses that go with an obligation.
    ///
    /// # Errors
    /// As [`obligation`](Self::obligation).
    pub fn obligation_addresses(&self, key: &Address) -> Result<ObligationAddresses, ForkError> {
        Ok(ObligationAddresses::read(key, &self.obligation(key)?))
    }

    /// A lending market.
    ///
    /// # Errors
    /// [`ForkError::Missing`] or [`ForkError::Klend`].
    pub fn lending_market(&self, key: &Address) -> Result<LendingMarket, ForkError> {
        let account = self.wanted("lending market", key)?;
        Ok(*accounts::lending_market(key, &account.owner, &account.data)?)
    }

    /// Changes a reserve, as klend's owner could.
    ///
    /// # Errors
    /// As [`reserve`](Self::reserve).
    pub fn edit_reserve(
        &mut self,
        key: &Address,
        edit: impl FnOnce(&mut Reserve),
    ) -> Result<(), ForkError> {
        let mut account = self.wanted("reserve", key)?;
        edit(accounts::reserve_mut(key, &account.owner, &mut account.data)?);
        self.set_account(key, account)
    }

    /// Changes an obligation.
    ///
    /// # Errors
    /// As [`obligation`](Self::obligation).
    pub fn edit_obligation(
        &mut self,
        key: &Address,
        edit: impl FnOnce(&mut Obligation),
    ) -> Result<(), ForkError> {
        let mut account = self.wanted("obligation", key)?;
        edit(accounts::obligation_mut(key, &account.owner, &mut account.data)?);
        self.set_account(key, account)
    }

    /// Changes a lending market, as its owner could.
    ///
    /// # Errors
    /// As [`lending_market`](Self::lending_market).
    pub fn edit_lending_market(
        &mut self,
        key: &Address,
        edit: impl FnOnce(&mut LendingMarket),
    ) -> Result<(), ForkError> {
        let mut account = self.wanted("lending market", key)?;
        edit(accounts::lending_market_mut(key, &account.owner, &mut account.data)?);
        self.set_account(key, account)
    }
}

/// Accounts, actors and tokens.
impl World {
    /// An account, if it is there.
    #[must_use]
    pub fn account(&self, key: &Address) -> Option<Account> {
        self.svm.get_account(key)
    }

    /// Writes an account; one without lamports is removed.
    ///
    /// # Errors
    /// [`ForkError::Refused`] when the virtual machine does not take it.
    pub fn set_account(&mut self, key: &Address, account: Account) -> Result<(), ForkError> {
        self.svm
            .set_account(*key, account)
            .map_err(|error| ForkError::Refused { key: *key, reason: error.to_string() })
    }

    /// A funded keypair (1,000 SOL), always the same for the same `name`: keys
    /// that do not change keep compute units from changing.
    pub fn actor(&mut self, name: &str) -> Keypair {
        let seed: [u8; 32] = Sha256::digest(["klend-fork actor ", name].concat()).into();
        let keypair = Keypair::new_from_array(seed);
        if self.svm.get_account(&keypair.pubkey()).is_none() {
            let wallet = Account {
                lamports: ACTOR_LAMPORTS,
                owner: system_program::ID,
                ..Account::default()
            };
            self.svm
                .set_account(keypair.pubkey(), wallet)
                .expect("only programs and sysvars can be refused");
        }
        keypair
    }

    /// The associated token account of `owner` for `mint`; it need not exist.
    ///
    /// # Errors
    /// [`ForkError::Missing`] when there is no such mint.
    pub fn token_account_address(
        &self,
        owner: &Address,
        mint: &Address,
    ) -> Result<Address, ForkError> {
        let token_program = self.wanted("mint", mint)?.owner;
        Ok(associated_token_account(owner, mint, &token_program))
    }

    /// Makes the associated token account of `owner` for `mint` unless it is
    /// there, without a transaction.
    ///
    /// # Errors
    /// [`ForkError`]: there is no such mint, or it is no mint.
    pub fn open_token_account(
        &mut self,
        owner: &Address,
        mint: &Address,
    ) -> Result<Address, ForkError> {
        let key = self.token_account_address(owner, mint)?;
        if self.account(&key).is_none() {
            let account = tokens::token_account(mint, &self.wanted("mint", mint)?, owner, 0)?;
            self.set_account(&key, account)?;
        }
        Ok(key)
    }

    /// Gives `owner` `amount` units of `mint` out of nowhere, in the associated
    /// token account, whose address is returned. The supply grows as if the
    /// mint's authority had done it.
    ///
    /// # Errors
    /// [`ForkError`]: there is no such mint, or a balance would not fit a u64.
    pub fn give(
        &mut self,
        owner: &Address,
        mint: &Address,
        amount: u64,
    ) -> Result<Address, ForkError> {
        let key = self.open_token_account(owner, mint)?;
        let overflow = || ForkError::Unexpected {
            what: "token account",
            key,
            reason: format!("{amount} more units do not fit a u64"),
        };
        let mut account = self.wanted("token account", &key)?;
        let balance = tokens::read_token_account(&key, &account)?.amount;
        tokens::set_amount(&key, &mut account, balance.checked_add(amount).ok_or_else(overflow)?)?;
        self.set_account(&key, account)?;

        // Wrapped SOL has no supply.
        if *mint != tokens::NATIVE_MINT {
            let mut account = self.wanted("mint", mint)?;
            let supply = tokens::read_mint(mint, &account)?.supply;
            // Rebuilt mints know only part of their supply; it is a record, not a limit.
            tokens::set_supply(mint, &mut account, supply.saturating_add(amount))?;
            self.set_account(mint, account)?;
        }
        Ok(key)
    }

    /// Units in a token account.
    ///
    /// # Errors
    /// [`ForkError`]: there is none, or it is no token account.
    pub fn balance(&self, token_account: &Address) -> Result<u64, ForkError> {
        let account = self.wanted("token account", token_account)?;
        Ok(tokens::read_token_account(token_account, &account)?.amount)
    }

    /// Units of `mint` in the associated token account of `owner`; 0 without one.
    ///
    /// # Errors
    /// [`ForkError`]: there is no such mint, or the account is no token account.
    pub fn balance_of(&self, owner: &Address, mint: &Address) -> Result<u64, ForkError> {
        let key = self.token_account_address(owner, mint)?;
        if self.account(&key).is_none() { Ok(0) } else { self.balance(&key) }
    }

    /// Decimals of a mint.
    ///
    /// # Errors
    /// [`ForkError`]: there is none, or it is no mint.
    pub fn decimals(&self, mint: &Address) -> Result<u8, ForkError> {
        Ok(tokens::read_mint(mint, &self.wanted("mint", mint)?)?.decimals)
    }

    /// Makes a mint without extensions at an address that depends on `name`.
    ///
    /// # Errors
    /// [`ForkError`] when it cannot be written.
    pub fn create_mint(
        &mut self,
        name: &str,
        decimals: u8,
        token_program: &Address,
    ) -> Result<Address, ForkError> {
        let key = named_address(&["mint ", name].concat());
        let figures = MintFigures { supply: 0, decimals, authority: None };
        let account = tokens::mint(*token_program, figures)
            .map_err(|reason| ForkError::Unexpected { what: "mint", key, reason })?;
        self.set_account(&key, account)?;
        Ok(key)
    }

    /// Makes a lookup table with these addresses, usable at once.
    ///
    /// # Errors
    /// [`ForkError`] when there are more than 256 addresses.
    pub fn create_lookup_table(
        &mut self,
        addresses: &[Address],
    ) -> Result<AddressLookupTableAccount, ForkError> {
        self.tables += 1;
        let key = named_address(&format!("lookup table {}", self.tables));
        if addresses.len() > flash_liquidator_client::lookup_table::MAX_ADDRESSES {
            return Err(ForkError::Unexpected {
                what: "lookup table",
                key,
                reason: format!("{} addresses, 256 fit", addresses.len()),
            });
        }
        let meta = LookupTableMeta {
            // Addresses are usable from the slot after the last extension on.
            last_extended_slot: self.slot().saturating_sub(1),
            ..LookupTableMeta::default()
        };
        let data = AddressLookupTable { meta, addresses: addresses.into() }
            .serialize_for_tests()
            .map_err(|error| ForkError::Refused { key, reason: error.to_string() })?;
        self.set_account(&key, tokens::account(address_lookup_table::ID, data))?;
        Ok(AddressLookupTableAccount { key, addresses: addresses.to_vec() })
    }

    pub(crate) fn wanted(&self, what: &'static str, key: &Address) -> Result<Account, ForkError> {
        self.account(key).ok_or(ForkError::Missing { what, key: *key })
    }
}

/// Time and prices.
impl World {
    /// The slot transactions are executed in.
    #[must_use]
    pub fn slot(&self) -> u64 {
        self.svm.get_sysvar::<Clock>().slot
    }

    /// The time transactions are executed at, seconds since 1970.
    #[must_use]
    pub fn unix_timestamp(&self) -> i64 {
        self.svm.get_sysvar::<Clock>().unix_timestamp
    }

    /// Sets slot and time.
    pub fn set_clock(&mut self, slot: u64, unix_timestamp: i64) {
        self.svm.set_sysvar(&clock(slot, unix_timestamp));
    }

    /// Lets `slots` pass, at 400 ms each. Prices age; see
    /// [`restamp_prices`](Self::restamp_prices).
    pub fn warp_slots(&mut self, slots: u64) {
        let seconds = slots.saturating_mul(SLOT_MILLIS) / 1_000;
        self.warp(slots, seconds);
    }

    /// Lets `seconds` pass, with a slot every 400 ms.
    pub fn warp_seconds(&mut self, seconds: u64) {
        self.warp(seconds.saturating_mul(1_000) / SLOT_MILLIS, seconds);
    }

    /// Lets `slots` and `seconds` pass.
    pub fn warp(&mut self, slots: u64, seconds: u64) {
        let seconds = i64::try_from(seconds).unwrap_or(i64::MAX);
        self.set_clock(
            self.slot().saturating_add(slots),
            self.unix_timestamp().saturating_add(seconds),
        );
    }

    /// Price of a reserve's token in US dollars, as its Scope chain has it.
    ///
    /// # Errors
    /// [`ForkError::Price`] when the reserve has no Scope chain.
    pub fn price(&self, reserve: &Address) -> Result<Price, ForkError> {
        let (_, mut account, chains) = self.oracle(reserve)?;
        Table(&mut account)
            .price(&chains.price)
            .map_err(|reason| ForkError::Price { reserve: *reserve, reason })
    }

    /// Sets the price of a reserve's token in US dollars, and the average that
    /// klend compares it with, both dated now.
    ///
    /// Only the entries that belong to this reserve change: the price of JitoSOL,
    /// which is JitoSOL/SOL × SOL/USD, changes its first factor. A later change of
    /// SOL's price moves it along.
    ///
    /// # Errors
    /// [`ForkError::Price`] when the reserve has no Scope chain or the chain
    /// cannot amount to that price.
    pub fn set_price(&mut self, reserve: &Address, price: Price) -> Result<(), ForkError> {
        let (key, mut account, chains) = self.oracle(reserve)?;
        let (slot, now) = self.stamp();
        Table(&mut account)
            .set_price(&chains, price, slot, now)
            .map_err(|reason| ForkError::Price { reserve: *reserve, reason })?;
        self.set_account(&key, account)
    }

    /// [`set_price`](Self::set_price) with a floating-point number.
    ///
    /// # Errors
    /// As there, and for a number that is no price.
    pub fn set_price_usd(&mut self, reserve: &Address, price: f64) -> Result<(), ForkError> {
        let price = Price::from_f64(price).ok_or_else(|| ForkError::Price {
            reserve: *reserve,
            reason: format!("{price} is no price"),
        })?;
        self.set_price(reserve, price)
    }

    /// Dates all prices of all Scope tables now, without changing them.
    ///
    /// # Errors
    /// [`ForkError::Refused`] when a table cannot be written back.
    pub fn restamp_prices(&mut self) -> Result<(), ForkError> {
        let (slot, now) = self.stamp();
        for (key, mut account) in self.svm.get_program_accounts(&SCOPE_PROGRAM_ID) {
            if scope::is_price_table(&account) {
                Table(&mut account).stamp_all(slot, now);
                self.set_account(&key, account)?;
            }
        }
        Ok(())
    }

    fn stamp(&self) -> (u64, u64) {
        (self.slot(), u64::try_from(self.unix_timestamp()).unwrap_or_default())
    }

    fn oracle(&self, reserve: &Address) -> Result<(Address, Account, Chains), ForkError> {
        let explain = |reason: String| ForkError::Price { reserve: *reserve, reason };
        let state = self.reserve(reserve)?;
        let key = ReserveAddresses::read(reserve, &state)
            .oracles
            .scope
            .ok_or_else(|| explain("it does not read Scope".to_owned()))?;
        let account = self.wanted("Scope price account", &key)?;
        if !scope::is_price_table(&account) {
            return Err(explain(format!("account {key} is not a Scope price table")));
        }
        let chains = Chains::of(&state).map_err(explain)?;
        Ok((key, account, chains))
    }
}

/// Transactions.
impl World {
    /// Sends instructions in one v0 transaction without lookup tables. The first
    /// signer pays; signers that are not needed are ignored.
    ///
    /// # Errors
    /// [`ForkError::Failed`] with the whole outcome when the transaction fails,
    /// [`ForkError::Assemble`] or [`ForkError::Sign`] when it cannot be made.
    pub fn send<S: Signer + ?Sized>(
        &mut self,
        instructions: &[Instruction],
        signers: &[&S],
    ) -> Result<Outcome, ForkError> {
        self.send_v0(instructions, signers, &[])
    }

    /// Sends instructions in one v0 transaction that looks up what it can in
    /// `tables`.
    ///
    /// # Errors
    /// As [`send`](Self::send).
    pub fn send_v0<S: Signer + ?Sized>(
        &mut self,
        instructions: &[Instruction],
        signers: &[&S],
        tables: &[AddressLookupTableAccount],
    ) -> Result<Outcome, ForkError> {
        let transaction = self.sign_v0(instructions, signers, tables)?;
        self.send_transaction(transaction)
    }

    /// What [`send_v0`](Self::send_v0) would do, without doing it.
    ///
    /// # Errors
    /// As [`send`](Self::send).
    pub fn simulate_v0<S: Signer + ?Sized>(
        &self,
        instructions: &[Instruction],
        signers: &[&S],
        tables: &[AddressLookupTableAccount],
    ) -> Result<Outcome, ForkError> {
        self.clone().send_v0(instructions, signers, tables)
    }

    /// A signed v0 transaction of these instructions.
    ///
    /// # Errors
    /// [`ForkError::Assemble`] or [`ForkError::Sign`].
    pub fn sign_v0<S: Signer + ?Sized>(
        &self,
        instructions: &[Instruction],
        signers: &[&S],
        tables: &[AddressLookupTableAccount],
    ) -> Result<VersionedTransaction, ForkError> {
        let payer = signers.first().ok_or_else(|| ForkError::Sign("nobody signs".to_owned()))?;
        let message =
            compile_v0(&payer.pubkey(), instructions, tables, self.svm.latest_blockhash())?;
        sign(message, signers)
    }

    /// Sends a signed transaction. A new blockhash follows, so that the same
    /// instructions can be sent again.
    ///
    /// # Errors
    /// [`ForkError::Failed`] with the whole outcome.
    pub fn send_transaction(
        &mut self,
        transaction: VersionedTransaction,
    ) -> Result<Outcome, ForkError> {
        let bytes = transaction_bytes(&transaction.message);
        let result = self.svm.send_transaction(transaction);
        self.svm.expire_blockhash();
        match result {
            Ok(meta) => Ok(Outcome::new(meta, bytes)),
            Err(failed) => Err(Box::new(Failure {
                error: failed.err,
                outcome: Outcome::new(failed.meta, bytes),
            })
            .into()),
        }
    }
}

fn sign<S: Signer + ?Sized>(
    message: VersionedMessage,
    signers: &[&S],
) -> Result<VersionedTransaction, ForkError> {
    let needed = usize::from(message.header().num_required_signatures);
    let keys: Vec<_> = message.static_account_keys().iter().take(needed).copied().collect();
    let mut needed_signers: Vec<&S> = Vec::with_capacity(needed);
    for key in &keys {
        let signer = signers.iter().find(|signer| signer.pubkey() == *key);
        needed_signers.push(signer.ok_or_else(|| ForkError::Sign(format!("{key} does not sign")))?);
    }
    VersionedTransaction::try_new(message, &needed_signers)
        .map_err(|error| ForkError::Sign(error.to_string()))
}

/// An address that nobody has the key of, the same for the same name.
pub(crate) fn named_address(name: &str) -> Address {
    Address::new_from_array(Sha256::digest(["klend-fork ", name].concat()).into())
}

fn clock(slot: u64, unix_timestamp: i64) -> Clock {
    let epoch = slot / SLOTS_PER_EPOCH;
    let into_epoch = (slot % SLOTS_PER_EPOCH * SLOT_MILLIS / 1_000).cast_signed();
    Clock {
        slot,
        epoch_start_timestamp: unix_timestamp.saturating_sub(into_epoch),
        epoch,
        leader_schedule_epoch: epoch + 1,
        unix_timestamp,
    }
}

fn reserves_of(snapshot: &Snapshot) -> Result<Vec<(Address, Reserve)>, ForkError> {
    snapshot
        .accounts
        .iter()
        .filter(|(_, account)| {
            [KLEND_PROGRAM_ID, KLEND_STAGING_PROGRAM_ID].contains(&account.owner)
                && account.data.len() == accounts::RESERVE_LEN
        })
        .map(|(key, account)| Ok((*key, *accounts::reserve(key, &account.owner, &account.data)?)))
        .collect()
}
