//! Takes the accounts of an instruction in order, checking of each what its
//! declaration (`#[derive(Accounts)]`) announces: that it signs, that it is writable.
//! `tests/interface.rs` holds the two together.

use anchor_lang::prelude::*;

use crate::{
    checks::{fail_interface, require_signer, require_writable},
    errors::{InterfaceError, Result},
};

/// Accounts that were not taken yet. Every method takes the next one; they fail with
/// `AccountNotEnoughKeys` when there is none. Names are for the log.
pub struct AccountList<'info>(&'info [AccountInfo<'info>]);

impl<'info> AccountList<'info> {
    /// All accounts of an instruction.
    pub fn new(accounts: &'info [AccountInfo<'info>]) -> Self {
        Self(accounts)
    }

    /// Those that were not taken.
    pub fn remaining(self) -> &'info [AccountInfo<'info>] {
        self.0
    }

    #[inline(always)]
    fn next(&mut self, name: &str, signs: bool, writable: bool) -> Result<UncheckedAccount<'info>> {
        let (account, rest) = self
            .0
            .split_first()
            .ok_or_else(|| fail_interface(InterfaceError::AccountNotEnoughKeys, Some(name)))?;
        self.0 = rest;
        if signs {
            require_signer(account, name)?;
        }
        if writable {
            require_writable(account, name)?;
        }
        Ok(UncheckedAccount::try_from(account))
    }

    /// One that nothing is announced of.
    #[inline(always)]
    pub fn any(&mut self, name: &str) -> Result<UncheckedAccount<'info>> {
        self.next(name, false, false)
    }

    /// One that signs.
    #[inline(always)]
    pub fn signer(&mut self, name: &str) -> Result<UncheckedAccount<'info>> {
        self.next(name, true, false)
    }

    /// One that is writable.
    #[inline(always)]
    pub fn writable(&mut self, name: &str) -> Result<UncheckedAccount<'info>> {
        self.next(name, false, true)
    }

    /// One that signs and is writable.
    #[inline(always)]
    pub fn writable_signer(&mut self, name: &str) -> Result<UncheckedAccount<'info>> {
        self.next(name, true, true)
    }

    /// One that is writable, or this program's id in the place of none.
    #[inline(always)]
    pub fn optional_writable(&mut self, name: &str) -> Result<Option<UncheckedAccount<'info>>> {
        match self.0.split_first() {
            Some((account, rest)) if *account.key == crate::ID => {
                self.0 = rest;
                Ok(None)
            }
            _ => self.writable(name).map(Some),
        }
    }
}
