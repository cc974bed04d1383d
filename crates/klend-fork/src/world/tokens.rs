//! Accounts, actors and tokens.

use flash_liquidator_client::token::associated_token_account;
use solana_account::Account;
use solana_address::Address;
use solana_address_lookup_table_interface::state::{AddressLookupTable, LookupTableMeta};
use solana_keypair::Keypair;
use solana_message::AddressLookupTableAccount;
use solana_sdk_ids::{address_lookup_table, system_program};
use solana_signer::Signer;

use super::World;
use crate::{
    error::ForkError,
    names::{named_address, named_keypair},
    tokens::{self, MintFigures},
};

/// Lamports of a new [`World::actor`]: 1,000 SOL.
const ACTOR_LAMPORTS: u64 = 1_000_000_000_000;

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
        let keypair = named_keypair(name);
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
