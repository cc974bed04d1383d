//! Takes the accounts of an instruction in order, checking of each what its
//! declaration (`#[derive(Accounts)]`) announces: that it signs, that it is writable.
//! `tests/interface.rs` holds the two together. Those that are not named are cut off
//! the same list, once, in the order the arguments announce them in.

use anchor_lang::prelude::*;

use crate::{
    checks::{fail, fail_interface, require_signer, require_writable},
    errors::{FlashLiquidatorError, InterfaceError, Result},
};

/// The accounts of an instruction, some of them taken already. Names are for the log.
pub struct AccountList<'info> {
    all: &'info [AccountInfo<'info>],
    remaining: &'info [AccountInfo<'info>],
}

impl<'info> AccountList<'info> {
    /// All accounts of an instruction.
    pub fn new(accounts: &'info [AccountInfo<'info>]) -> Self {
        Self { all: accounts, remaining: accounts }
    }

    /// All of them, in order.
    pub fn all(&self) -> &'info [AccountInfo<'info>] {
        self.all
    }

    /// Those that were taken, in order.
    pub fn taken(&self) -> &'info [AccountInfo<'info>] {
        self.all.split_at(self.all.len().saturating_sub(self.remaining.len())).0
    }

    /// Those that were not taken.
    pub fn remaining(&self) -> &'info [AccountInfo<'info>] {
        self.remaining
    }

    /// The next `count` accounts.
    ///
    /// # Errors
    /// `RemainingAccountsMissing`.
    pub fn several(&mut self, count: usize) -> Result<&'info [AccountInfo<'info>]> {
        let (taken, rest) = self
            .remaining
            .split_at_checked(count)
            .ok_or_else(|| fail(FlashLiquidatorError::RemainingAccountsMissing))?;
        self.remaining = rest;
        Ok(taken)
    }

    /// The next `count` groups of `N` accounts.
    ///
    /// # Errors
    /// `RemainingAccountsMissing`.
    pub fn groups<const N: usize>(
        &mut self,
        count: usize,
    ) -> Result<&'info [[AccountInfo<'info>; N]]> {
        Ok(self.several(count.saturating_mul(N))?.as_chunks().0)
    }

    #[inline(always)]
    fn next(&mut self, name: &str, signs: bool, writable: bool) -> Result<UncheckedAccount<'info>> {
        let (account, rest) = self
            .remaining
            .split_first()
            .ok_or_else(|| fail_interface(InterfaceError::AccountNotEnoughKeys, Some(name)))?;
        self.remaining = rest;
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
        match self.remaining.split_first() {
            Some((account, rest)) if *account.key == crate::ID => {
                self.remaining = rest;
                Ok(None)
            }
            _ => self.writable(name).map(Some),
        }
    }
}
