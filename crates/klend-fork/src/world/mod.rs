//! The virtual machine with a klend market in it, and how it is made.

mod klend;
mod time;
mod tokens;
mod transactions;

use std::{collections::BTreeMap, path::Path};

use klend_interface::state::Reserve;
use klend_model::{
    accounts,
    constants::{FARMS_PROGRAM_ID, KLEND_PROGRAM_ID, KLEND_STAGING_PROGRAM_ID, SCOPE_PROGRAM_ID},
};
use litesvm::LiteSVM;
use solana_account::ReadableAccount;
use solana_address::Address;
use solana_sdk_ids::{bpf_loader, bpf_loader_upgradeable, sysvar};

use crate::{
    error::ForkError,
    programs::Programs,
    rebuild::{self, Absent},
    snapshot::Snapshot,
    tokens::{TOKEN_2022_PROGRAM_ID, TOKEN_PROGRAM_ID},
};

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
        svm.set_sysvar(&time::clock(snapshot.slot, snapshot.unix_timestamp));
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

    /// Every program, and the accounts that hold the code of those that can be replaced.
    #[must_use]
    pub fn code(&self) -> BTreeMap<Address, solana_account::Account> {
        [bpf_loader::ID, bpf_loader_upgradeable::ID]
            .iter()
            .flat_map(|loader| self.svm.get_program_accounts(loader))
            .collect()
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
            TOKEN_PROGRAM_ID,
            TOKEN_2022_PROGRAM_ID,
        ];
        Snapshot {
            slot: self.slot(),
            unix_timestamp: self.unix_timestamp(),
            klend: None,
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

fn reserves_of(snapshot: &Snapshot) -> Result<Vec<(Address, Reserve)>, ForkError> {
    snapshot
        .accounts
        .iter()
        .filter(|(_, account)| {
            [KLEND_PROGRAM_ID, KLEND_STAGING_PROGRAM_ID].contains(&account.owner)
                && accounts::is::<Reserve>(&account.data)
        })
        .map(|(key, account)| Ok((*key, *accounts::reserve(key, &account.owner, &account.data)?)))
        .collect()
}
