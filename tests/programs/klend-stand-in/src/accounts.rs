//! Checks on accounts, with the error numbers that klend's framework gives.
//!
//! klend's framework first looks at the kind of every account, in the order of
//! the list, and only then at the constraints between them, again in order.
//! The processors keep that order.

use solana_program::{
    account_info::AccountInfo, program_error::ProgramError, pubkey::Pubkey, sysvar,
};
use solana_system_interface::program as system_program;
use spl_token_2022_interface::{
    extension::StateWithExtensions,
    state::{Account as TokenAccount, Mint},
};

use crate::{
    error::{AnchorError, Result, require},
    state::{self, Layout},
    token,
};

/// SPL Token.
pub const TOKEN_PROGRAM_ID: Pubkey =
    solana_program::pubkey!("TokenkegQfeZyiNwAJbNbGKPFXCWuBvf9Ss623VQ5DA");
/// SPL Token-2022.
pub const TOKEN_2022_PROGRAM_ID: Pubkey = spl_token_2022_interface::ID;

/// Seed of the market authority, PDA `["lma", market]`.
pub const MARKET_AUTHORITY_SEED: &[u8] = b"lma";
/// Seed of the global configuration, PDA `["global_config"]`.
pub const GLOBAL_CONFIG_SEED: &[u8] = b"global_config";

/// The first `N` accounts and the rest. 3005 when there are fewer.
pub fn split<'a, 'info, const N: usize>(
    accounts: &'a [AccountInfo<'info>],
) -> Result<(&'a [AccountInfo<'info>; N], &'a [AccountInfo<'info>])> {
    accounts.split_first_chunk::<N>().ok_or_else(|| AnchorError::AccountNotEnoughKeys.into())
}

/// A struct of an instruction's accounts, named in the order of its list; `take` gives
/// them and the rest, 3005 when there are fewer.
macro_rules! account_list {
    ($(#[$meta:meta])* $scope:vis struct $name:ident { $($see:vis $field:ident,)* }) => {
        $(#[$meta])*
        $scope struct $name<'a, 'info> {
            $($see $field: &'a AccountInfo<'info>,)*
        }

        impl<'a, 'info> $name<'a, 'info> {
            fn take(accounts: &'a [AccountInfo<'info>]) -> Result<(Self, &'a [AccountInfo<'info>])> {
                let ([$($field),*], rest) = crate::accounts::split(accounts)?;
                Ok((Self { $($field),* }, rest))
            }
        }
    };
}
pub(crate) use account_list;

/// An optional account: klend's own id stands for "none".
pub fn optional<'a, 'info>(account: &'a AccountInfo<'info>) -> Option<&'a AccountInfo<'info>> {
    (*account.key != crate::ID).then_some(account)
}

/// 3010 unless the account signs.
pub fn require_signer(account: &AccountInfo) -> Result<()> {
    require(account.is_signer, AnchorError::AccountNotSigner)
}

/// 2000 unless the account is writable.
pub fn require_mut(account: &AccountInfo) -> Result<()> {
    require(account.is_writable, AnchorError::ConstraintMut)
}

/// 2012 unless the account has this address.
pub fn require_address(account: &AccountInfo, expected: &Pubkey) -> Result<()> {
    require(account.key == expected, AnchorError::ConstraintAddress)
}

/// 2001 unless a stored key names this account.
pub fn require_has_one(stored: &Pubkey, account: &AccountInfo) -> Result<()> {
    require(stored == account.key, AnchorError::ConstraintHasOne)
}

/// 2012 unless this is the instructions sysvar.
pub fn require_instructions_sysvar(account: &AccountInfo) -> Result<()> {
    require_address(account, &sysvar::instructions::ID)
}

/// 3015 unless this is the rent sysvar.
pub fn require_rent_sysvar(account: &AccountInfo) -> Result<()> {
    require(sysvar::rent::check_id(account.key), AnchorError::AccountSysvarMismatch)
}

/// An optional account of klend's or the farms program: 3007, 3001 or 3002
/// when it is given and something else.
pub fn check_optional<T: Layout>(account: &AccountInfo) -> Result<()> {
    optional(account).map_or(Ok(()), state::check_layout::<T>)
}

/// 2000 when an optional account is given and not writable.
pub fn require_optional_mut(account: &AccountInfo) -> Result<()> {
    optional(account).map_or(Ok(()), require_mut)
}

/// 2014 unless a token account holds this mint.
pub fn require_token_mint(account: &AccountInfo, mint: &Pubkey) -> Result<()> {
    require(token::mint(account)? == *mint, AnchorError::ConstraintTokenMint)
}

/// 2015 unless a token account belongs to this owner.
pub fn require_token_owner(account: &AccountInfo, owner: &Pubkey) -> Result<()> {
    require(token::owner(account)? == *owner, AnchorError::ConstraintTokenOwner)
}

/// 3008 or 3009 unless this is the given program.
pub fn require_program(account: &AccountInfo, id: &Pubkey) -> Result<()> {
    require(account.key == id, AnchorError::InvalidProgramId)?;
    require(account.executable, AnchorError::InvalidProgramExecutable)
}

/// 3008 or 3009 unless this is SPL Token or Token-2022.
pub fn require_token_program(account: &AccountInfo) -> Result<()> {
    let known = *account.key == TOKEN_PROGRAM_ID || *account.key == TOKEN_2022_PROGRAM_ID;
    require(known, AnchorError::InvalidProgramId)?;
    require(account.executable, AnchorError::InvalidProgramExecutable)
}

/// 2006 unless the account is the market's authority.
pub fn require_market_authority(account: &AccountInfo, market: &Pubkey, bump: u64) -> Result<()> {
    let bump = u8::try_from(bump).map_err(|_| AnchorError::ConstraintSeeds)?;
    let expected = Pubkey::create_program_address(
        &[MARKET_AUTHORITY_SEED, market.as_ref(), &[bump]],
        &crate::ID,
    )
    .map_err(|_| AnchorError::ConstraintSeeds)?;
    require(*account.key == expected, AnchorError::ConstraintSeeds)
}

/// 2006 unless the account is the global configuration.
pub fn require_global_config(account: &AccountInfo) -> Result<()> {
    let (expected, _) = Pubkey::find_program_address(&[GLOBAL_CONFIG_SEED], &crate::ID);
    require(*account.key == expected, AnchorError::ConstraintSeeds)
}

/// 3012 or 3007 unless the account belongs to a token program.
fn require_token_owned(account: &AccountInfo) -> Result<()> {
    let uninitialised = system_program::check_id(account.owner) && account.lamports() == 0;
    require(!uninitialised, AnchorError::AccountNotInitialized)?;
    require(
        *account.owner == TOKEN_PROGRAM_ID || *account.owner == TOKEN_2022_PROGRAM_ID,
        AnchorError::AccountOwnedByWrongProgram,
    )
}

/// 3012, 3007 or the token program's own error unless this is a mint.
pub fn require_mint(account: &AccountInfo) -> Result<()> {
    require_token_owned(account)?;
    StateWithExtensions::<Mint>::unpack(&account.try_borrow_data()?).map(|_| ())
}

/// 3012, 3007 or the token program's own error unless this is a token account.
pub fn require_token_account(account: &AccountInfo) -> Result<()> {
    require_token_owned(account)?;
    StateWithExtensions::<TokenAccount>::unpack(&account.try_borrow_data()?).map(|_| ())
}

/// 2022 unless the mint belongs to the given token program.
pub fn require_mint_program(mint: &AccountInfo, program: &AccountInfo) -> Result<()> {
    require(mint.owner == program.key, AnchorError::ConstraintMintTokenProgram)
}

/// Reads a little-endian `u64` argument. 102 when the data is too short.
pub fn read_u64(data: &[u8], offset: usize) -> Result<u64> {
    let bytes = data
        .get(offset..)
        .and_then(|tail| tail.first_chunk::<8>())
        .ok_or_else(|| ProgramError::from(AnchorError::InstructionDidNotDeserialize))?;
    Ok(u64::from_le_bytes(*bytes))
}

/// Reads a one-byte argument. 102 when the data is too short.
pub fn read_u8(data: &[u8], offset: usize) -> Result<u8> {
    data.get(offset).copied().ok_or_else(|| AnchorError::InstructionDidNotDeserialize.into())
}

/// Reads a boolean argument. 102 when it is missing or neither 0 nor 1.
pub fn read_bool(data: &[u8], offset: usize) -> Result<bool> {
    match read_u8(data, offset)? {
        0 => Ok(false),
        1 => Ok(true),
        _ => Err(AnchorError::InstructionDidNotDeserialize.into()),
    }
}
