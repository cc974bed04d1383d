//! Reads SPL Token and Token-2022 accounts in place.
//!
//! Both programs share the first 165 bytes of a token account; extensions of
//! Token-2022 follow. Deserialising the whole account would cost more than the rest
//! of the checks together.
//!
//! Which account is read how, when, and why so:
//!
//! | account | when | how | why |
//! |---|---|---|---|
//! | the keeper's of debt, cToken and collateral | before and after klend's liquidation; that of the debt once more at the end | [`Expected::units`] | the keeper's, of that mint; what moved is measured. A delegate that the keeper set itself is its own affair |
//! | the keeper's of an intermediate | before the legs | [`Expected::units`] | it is emptied into, hence must be the keeper's |
//! | the keeper's of the debt, where `swap_debt` receives the proceeds | before and after the legs | [`Snapshot`] | no leg has any business there |
//! | the swap authority's | before the legs, before each, when emptied | [`Expected::holding`], then [`Nature::units_now`] | a program that is not trusted signs for them: nobody else may have a hold on them, and they must be what they were |
//! | the keeper's of the debt and those guarded | `open`, then `settle` | [`Expected::holding`], then [`Nature::units_now`] | the same, for programs that had the keeper's signature |
//! | klend's fee vault | around klend's liquidation | [`unchecked_amount`] | for the event alone |
//! | the swap authority's | `sweep` | [`Expected::units`], [`unchecked_amount`], [`can_be_closed`] | all tokens leave; closed if the token program would |
//!
//! Units of wrapped SOL are the account's lamports less its rent reserve. The amount
//! it records follows its lamports only when somebody synchronises it, which anybody
//! may do at any time: what the keeper had would look like profit.

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
/// Tag and value of `is_native: COption<u64>`, the rent reserve of wrapped SOL.
const NATIVE: core::ops::Range<usize> = 109..121;
const NATIVE_LEN: usize = NATIVE.end - NATIVE.start;
const NATIVE_TAG: core::ops::Range<usize> = 109..113;
const NATIVE_RESERVE: usize = 113;
const CLOSE_AUTHORITY_TAG: core::ops::Range<usize> = 129..133;
const CLOSE_AUTHORITY: core::ops::Range<usize> = 133..165;
/// Tag of a `COption` that is `None`.
const NONE: [u8; 4] = [0; 4];

/// Where extensions begin: each is its type and its length, u16 both, then its value.
const EXTENSIONS: usize = ACCOUNT_LEN + 1;
/// Type of the extension `TransferFeeAmount`, whose value is the amount withheld, a u64.
const TRANSFER_FEE_AMOUNT: u16 = 2;

/// Instruction number of `close_account` in both programs.
const CLOSE_ACCOUNT: u8 = 9;
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
    /// Units in `account` after checking that it is the expected token account,
    /// initialised and not frozen.
    ///
    /// # Errors
    /// `TokenProgramMismatch`, `TokenAccountInvalid`, `TokenAccountWrongMint`,
    /// `TokenAccountWrongOwner`.
    pub fn units(&self, account: &AccountInfo) -> Result<u64> {
        units(account, &self.checked_data(account)?)
    }

    /// [`Self::units`] of an account that others get in hand, with all that they must
    /// leave as it is. Nobody but its owner may be able to move or close it.
    ///
    /// # Errors
    /// Those of [`Self::units`], and `TokenAccountExposed`.
    pub fn holding(&self, account: &AccountInfo) -> Result<Holding> {
        let data = self.exclusive_data(account)?;
        Ok(Holding { units: units(account, &data)?, nature: Nature::of(&data) })
    }

    #[expect(clippy::indexing_slicing, reason = "`checked_data` is at least `ACCOUNT_LEN` long")]
    fn exclusive_data<'a>(&self, account: &'a AccountInfo) -> Result<core::cell::Ref<'a, [u8]>> {
        let data = self.checked_data(account)?;
        require(
            data[DELEGATE_TAG] == NONE && data[CLOSE_AUTHORITY_TAG] == NONE,
            FlashLiquidatorError::TokenAccountExposed,
        )?;
        Ok(data)
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

/// A token account at one moment: what it held and what it was.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Holding {
    /// Raw units it held.
    pub units: u64,
    /// What it was.
    pub nature: Nature,
}

/// What a token account is beyond program, mint, owner, state and authorities: rent
/// reserve, length, and every extension, but for an amount that moves by itself.
#[derive(AnchorSerialize, AnchorDeserialize, Clone, Debug, Default, PartialEq, Eq)]
pub struct Nature {
    /// `is_native` as the account spells it.
    pub native: [u8; NATIVE_LEN],
    /// All behind the first 165 bytes, without the fee withheld in the account: a
    /// transfer to it adds to that, and anybody may collect it.
    pub extensions: Vec<u8>,
}

#[expect(clippy::indexing_slicing, reason = "only of usable token accounts")]
impl Nature {
    fn of(data: &[u8]) -> Self {
        let mut native = [0; NATIVE_LEN];
        native.copy_from_slice(&data[NATIVE]);
        Self { native, extensions: fixed_extensions(data).concat() }
    }

    fn is_that_of(&self, data: &[u8]) -> bool {
        let [front, back] = fixed_extensions(data);
        data[NATIVE] == self.native
            && self.extensions.strip_prefix(front).is_some_and(|rest| rest == back)
    }

    /// What an account of `expected` holds now, after checking that it is still of this
    /// nature, and exclusively its owner's.
    ///
    /// # Errors
    /// Those of [`Expected::holding`], and `TokenAccountChanged`.
    pub fn units_now(&self, expected: &Expected, account: &AccountInfo) -> Result<u64> {
        let data = expected.exclusive_data(account)?;
        require(self.is_that_of(&data), FlashLiquidatorError::TokenAccountChanged)?;
        units(account, &data)
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

fn u64_at(data: &[u8], offset: usize) -> Option<u64> {
    data.get(offset..)?.first_chunk().copied().map(u64::from_le_bytes)
}

/// Units in a usable token account with this data.
#[expect(clippy::indexing_slicing, reason = "evaluated only of a usable token account")]
fn units(account: &AccountInfo, data: &[u8]) -> Result<u64> {
    let units = if data[NATIVE_TAG] == NONE {
        u64_at(data, AMOUNT)
    } else {
        u64_at(data, NATIVE_RESERVE).map(|reserve| account.lamports().saturating_sub(reserve))
    };
    units.ok_or_else(|| fail(FlashLiquidatorError::TokenAccountInvalid))
}

/// What follows the first 165 bytes of a usable token account, in front of the fee that
/// is withheld in it and behind.
#[inline(always)]
#[expect(clippy::indexing_slicing, reason = "ranges within the data")]
fn fixed_extensions(data: &[u8]) -> [&[u8]; 2] {
    if data.len() == ACCOUNT_LEN {
        return [&[]; 2];
    }
    let withheld = withheld_fee(data).unwrap_or(data.len()..data.len());
    [&data[ACCOUNT_LEN..withheld.start], &data[withheld.end..]]
}

/// Where the fee withheld in a token account stands, if it has that extension.
#[expect(clippy::arithmetic_side_effects, reason = "16-bit numbers in a usize")]
fn withheld_fee(data: &[u8]) -> Option<core::ops::Range<usize>> {
    let mut at = EXTENSIONS;
    while let Some([type_0, type_1, len_0, len_1]) = data.get(at..)?.first_chunk() {
        let value = at + 4;
        let end = value + usize::from(u16::from_le_bytes([*len_0, *len_1]));
        if u16::from_le_bytes([*type_0, *type_1]) == TRANSFER_FEE_AMOUNT {
            return data.get(value..end).map(|_| value..end);
        }
        at = end;
    }
    None
}

/// Amount that an account records whose identity is checked elsewhere, in raw units.
///
/// # Errors
/// `TokenAccountInvalid` when the data is too short to hold one.
pub fn unchecked_amount(account: &AccountInfo) -> Result<u64> {
    u64_at(&account.try_borrow_data()?, AMOUNT)
        .ok_or_else(|| fail(FlashLiquidatorError::TokenAccountInvalid))
}

/// Whether its owner may close an empty `account`, which is a usable token account:
/// nobody else is to close it, and no fee is withheld in it.
#[expect(clippy::indexing_slicing, reason = "a usable token account is long enough")]
pub fn can_be_closed(account: &AccountInfo, owner: &Pubkey) -> Result<bool> {
    let data = account.try_borrow_data()?;
    let closes = data[CLOSE_AUTHORITY_TAG] == NONE || data[CLOSE_AUTHORITY] == *owner.as_ref();
    let withheld = withheld_fee(&data).and_then(|at| data.get(at));
    Ok(closes && withheld.is_none_or(|fee| fee.iter().all(|byte| *byte == 0)))
}

/// An account at one moment, to the last byte.
pub struct Snapshot {
    lamports: u64,
    data: Vec<u8>,
}

impl Snapshot {
    /// The account as it is.
    pub fn of(account: &AccountInfo) -> Result<Self> {
        Ok(Self { lamports: account.lamports(), data: account.try_borrow_data()?.to_vec() })
    }

    /// Whether the account still is as it was.
    pub fn is_still(&self, account: &AccountInfo) -> Result<bool> {
        let data = account.try_borrow_data()?;
        Ok(account.lamports() == self.lamports && **data == *self.data)
    }
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

/// Closes `account`, its lamports going to `destination`.
///
/// `token_program` must have passed [`is_token_program`]; see [`Transfer::invoke`] for
/// `infos`.
pub fn close(
    token_program: &Pubkey,
    account: &Pubkey,
    destination: &Pubkey,
    authority: &Pubkey,
    infos: &[AccountInfo],
    signer_seeds: &[&[&[u8]]],
) -> Result<()> {
    let accounts = vec![
        AccountMeta::new(*account, false),
        AccountMeta::new(*destination, false),
        AccountMeta::new_readonly(*authority, true),
    ];
    // Unchecked: no account data is borrowed here.
    invoke_signed_unchecked(
        &Instruction { program_id: *token_program, accounts, data: vec![CLOSE_ACCOUNT] },
        infos,
        signer_seeds,
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A usable account of `len` bytes whose extensions are those given.
    fn extended(extensions: &[(u16, &[u8])], padding: usize) -> Vec<u8> {
        let mut data = token_account(ACCOUNT_LEN + 1, ACCOUNT_TYPE_TOKEN_ACCOUNT, 1);
        for (kind, value) in extensions {
            data.extend(kind.to_le_bytes());
            data.extend(u16::try_from(value.len()).unwrap().to_le_bytes());
            data.extend(*value);
        }
        data.extend(vec![0; padding]);
        data
    }

    #[test]
    fn only_the_withheld_fee_may_change() {
        let plain = token_account(ACCOUNT_LEN, 0, 1);
        let with_fee = |fee: u64| extended(&[(7, &[]), (2, &fee.to_le_bytes()), (8, &[0])], 0);
        let mut native = plain.clone();
        native[NATIVE.start] = 1;
        let mut other_reserve = native.clone();
        other_reserve[NATIVE_RESERVE] = 1;
        let mut spent = plain.clone();
        spent[AMOUNT] = 9;
        for (what, before, after, same) in [
            ("nothing", plain.clone(), plain.clone(), true),
            ("the amount", plain.clone(), spent, true),
            ("the fee", with_fee(1), with_fee(u64::MAX), true),
            ("it became native", plain.clone(), native.clone(), false),
            ("the rent reserve", native, other_reserve, false),
            ("it grew", plain.clone(), extended(&[], 0), false),
            (
                "an extension more",
                extended(&[(7, &[])], 0),
                extended(&[(7, &[]), (8, &[1])], 0),
                false,
            ),
            (
                "an extension switched on",
                extended(&[(8, &[0])], 0),
                extended(&[(8, &[1])], 0),
                false,
            ),
            ("it grew by zeros", extended(&[(7, &[])], 0), extended(&[(7, &[])], 5), false),
            (
                "one behind the fee",
                with_fee(1),
                extended(&[(7, &[]), (2, &[1; 8]), (8, &[1])], 0),
                false,
            ),
            ("no fee any more", with_fee(0), extended(&[(7, &[]), (8, &[0])], 0), false),
            ("a fee cut short", extended(&[(2, &[])], 0), extended(&[(2, &[])], 1), false),
        ] {
            assert_eq!(Nature::of(&before).is_that_of(&after), same, "{what}");
            assert_eq!(Nature::of(&after).is_that_of(&before), same, "{what}, backwards");
            assert!(Nature::of(&after).is_that_of(&after), "{what}, after");
        }
    }

    /// Whatever bytes follow the account: nothing is read that is not there.
    #[test]
    fn no_extension_leads_out_of_the_account() {
        for tail in [&[2u8][..], &[2, 0], &[2, 0, 255], &[2, 0, 255, 255], &[9, 0, 255, 255, 1]] {
            let mut data = extended(&[], 0);
            data.extend(tail);
            assert_eq!(withheld_fee(&data), None, "{tail:?}");
        }
        assert_eq!(withheld_fee(&extended(&[(7, &[]), (2, &[0; 8])], 0)), Some(174..182));
    }

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
