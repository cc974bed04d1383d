//! Reads SPL Token and Token-2022 accounts in place.
//!
//! Both programs share the first 165 bytes of a token account, which hold all
//! that is read here. Deserialising the whole account would cost more than the
//! rest of the checks together.

use anchor_lang::{
    prelude::*,
    solana_program::{
        instruction::{AccountMeta, Instruction},
        program::invoke_signed_unchecked,
    },
};
use anchor_spl::{token::spl_token, token_2022::spl_token_2022};

use crate::{
    checks::{fail, require},
    errors::{FlashLiquidatorError, Result},
};

/// Length of a token account without extensions.
const ACCOUNT_LEN: usize = 165;
/// Length of a Token-2022 multisig, the one account of that program that is
/// longer than a token account and has no account-type byte.
const MULTISIG_LEN: usize = 355;
/// Account-type byte that follows the base account in Token-2022: 2 is a token account.
const ACCOUNT_TYPE_TOKEN_ACCOUNT: u8 = 2;
/// `AccountState::Initialized`; 0 is uninitialised, 2 frozen.
const STATE_INITIALIZED: u8 = 1;

const MINT: core::ops::Range<usize> = 0..32;
const OWNER: core::ops::Range<usize> = 32..64;
const AMOUNT: usize = 64;
const DELEGATE_TAG: core::ops::Range<usize> = 72..76;
const STATE: usize = 108;
const CLOSE_AUTHORITY_TAG: core::ops::Range<usize> = 129..133;
/// Instruction number of `transfer_checked` in both programs.
const TRANSFER_CHECKED: u8 = 12;
/// `Mint.decimals`.
const MINT_DECIMALS: usize = 44;

/// Whether `key` is one of the two token programs.
pub fn is_token_program(key: &Pubkey) -> bool {
    *key == spl_token::ID || *key == spl_token_2022::ID
}

/// What a token account must be.
#[derive(Clone, Copy)]
pub struct Expected<'a> {
    /// SPL Token or Token-2022.
    pub token_program: &'a Pubkey,
    /// Mint of the account.
    pub mint: &'a Pubkey,
    /// Owner recorded in the account.
    pub owner: &'a Pubkey,
}

impl Expected<'_> {
    /// Balance of `account` in raw units after checking that it is the expected
    /// token account, initialised and not frozen.
    ///
    /// # Errors
    /// `TokenProgramMismatch`, `TokenAccountInvalid`, `TokenAccountWrongMint`,
    /// `TokenAccountWrongOwner`.
    pub fn balance(&self, account: &AccountInfo) -> Result<u64> {
        let data = self.checked_data(account)?;
        amount(&data)
    }

    /// [`Self::balance`] of an account that a foreign program had in hand:
    /// nobody but its owner may be able to move or close it.
    ///
    /// # Errors
    /// Those of [`Self::balance`], and `TokenAccountExposed`.
    #[expect(clippy::indexing_slicing, reason = "`checked_data` is at least `ACCOUNT_LEN` long")]
    pub fn balance_if_isolated(&self, account: &AccountInfo) -> Result<u64> {
        let data = self.checked_data(account)?;
        require(
            data[DELEGATE_TAG] == [0; 4] && data[CLOSE_AUTHORITY_TAG] == [0; 4],
            FlashLiquidatorError::TokenAccountExposed,
        )?;
        amount(&data)
    }

    #[expect(
        clippy::indexing_slicing,
        reason = "a usable token account is at least `ACCOUNT_LEN` long"
    )]
    fn checked_data<'a>(&self, account: &'a AccountInfo) -> Result<core::cell::Ref<'a, [u8]>> {
        require(
            is_token_program(self.token_program) && account.owner == self.token_program,
            FlashLiquidatorError::TokenProgramMismatch,
        )?;
        let data = core::cell::Ref::map(account.try_borrow_data()?, |data| &**data);
        require(is_usable_token_account(&data), FlashLiquidatorError::TokenAccountInvalid)?;
        require(data[MINT] == *self.mint.as_ref(), FlashLiquidatorError::TokenAccountWrongMint)?;
        require(data[OWNER] == *self.owner.as_ref(), FlashLiquidatorError::TokenAccountWrongOwner)?;
        Ok(data)
    }
}

#[expect(clippy::indexing_slicing, reason = "evaluated only when the length is right")]
fn is_usable_token_account(data: &[u8]) -> bool {
    let is_token_account = match data.get(ACCOUNT_LEN) {
        None => data.len() == ACCOUNT_LEN,
        Some(account_type) => {
            data.len() != MULTISIG_LEN && *account_type == ACCOUNT_TYPE_TOKEN_ACCOUNT
        }
    };
    is_token_account && data[STATE] == STATE_INITIALIZED
}

fn amount(data: &[u8]) -> Result<u64> {
    data.get(AMOUNT..)
        .and_then(|tail| tail.first_chunk())
        .map(|bytes| u64::from_le_bytes(*bytes))
        .ok_or_else(|| fail(FlashLiquidatorError::TokenAccountInvalid))
}

/// Balance of an account whose identity somebody else has checked, in raw units.
///
/// # Errors
/// `TokenAccountInvalid` when the data is too short to hold a balance.
pub fn unchecked_balance(account: &AccountInfo) -> Result<u64> {
    amount(&account.try_borrow_data()?)
}

/// Mint recorded in `account`, before anything else about it is known.
///
/// # Errors
/// `TokenAccountInvalid` when the data is too short to hold a mint.
pub fn unchecked_mint(account: &AccountInfo) -> Result<Pubkey> {
    account
        .try_borrow_data()?
        .first_chunk()
        .map(|bytes| Pubkey::new_from_array(*bytes))
        .ok_or_else(|| fail(FlashLiquidatorError::TokenAccountInvalid))
}

/// A `transfer_checked` of either token program.
pub struct Transfer<'a, 'info> {
    /// Must have passed [`is_token_program`]: it is handed the authority's signature.
    pub token_program: &'a Pubkey,
    /// Mint of both accounts.
    pub mint: &'a AccountInfo<'info>,
    /// Token account that pays.
    pub from: &'a Pubkey,
    /// Token account that receives.
    pub to: &'a Pubkey,
    /// Owner of `from`, who signs.
    pub authority: &'a Pubkey,
}

impl Transfer<'_, '_> {
    /// Moves `amount` raw units; nothing when it is zero.
    ///
    /// The runtime finds the accounts of the call among `infos`, which may hold others:
    /// those are not part of it.
    pub fn invoke(
        &self,
        amount: u64,
        infos: &[AccountInfo],
        signer_seeds: &[&[&[u8]]],
    ) -> Result<()> {
        if amount == 0 {
            return Ok(());
        }
        let decimals = *self
            .mint
            .try_borrow_data()?
            .get(MINT_DECIMALS)
            .ok_or_else(|| fail(FlashLiquidatorError::TokenAccountInvalid))?;
        let mut data = Vec::with_capacity(10);
        data.push(TRANSFER_CHECKED);
        data.extend_from_slice(&amount.to_le_bytes());
        data.push(decimals);
        let accounts = vec![
            AccountMeta::new(*self.from, false),
            AccountMeta::new_readonly(*self.mint.key, false),
            AccountMeta::new(*self.to, false),
            AccountMeta::new_readonly(*self.authority, true),
        ];
        // Unchecked: no account data is borrowed here.
        invoke_signed_unchecked(
            &Instruction { program_id: *self.token_program, accounts, data },
            infos,
            signer_seeds,
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn token_account(len: usize, account_type: u8, state: u8) -> Vec<u8> {
        let mut data = vec![0; len];
        if len > STATE {
            data[STATE] = state;
        }
        if len > ACCOUNT_LEN {
            data[ACCOUNT_LEN] = account_type;
        }
        data
    }

    #[test]
    fn only_initialised_token_accounts_are_usable() {
        for (what, len, account_type, state, usable) in [
            ("plain", 165, 0, 1, true),
            ("with extensions", 182, 2, 1, true),
            ("empty", 0, 0, 0, false),
            ("mint", 82, 0, 1, false),
            ("one byte short", 164, 0, 1, false),
            ("uninitialised", 165, 0, 0, false),
            ("frozen", 165, 0, 2, false),
            ("mint with extensions", 234, 1, 1, false),
            ("multisig", 355, 2, 1, false),
        ] {
            let data = token_account(len, account_type, state);
            assert_eq!(is_usable_token_account(&data), usable, "{what}");
        }
    }
}
