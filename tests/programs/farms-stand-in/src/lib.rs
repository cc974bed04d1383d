//! A from-scratch stand-in for the Kamino farms program, **for tests only and
//! never deployed**.
//!
//! klend mirrors deposits and debts as stakes in farms. This program has the
//! two instructions that klend calls, with the real program's discriminators
//! (`sha256("global:<name>")[..8]`), account orders and stake account layout,
//! and does nothing else: no rewards, no vaults, no withdrawals. The farm's
//! own account is only read for its authority.
//!
//! * `initialize_user`: creates the stake account, PDA
//!   `["user", farm, delegatee]`. Accounts: 0 authority (signer), 1 payer
//!   (signer, writable), 2 owner, 3 delegatee, 4 stake account (writable),
//!   5 farm (writable), 6 system program, 7 rent sysvar.
//! * `set_stake_delegated(new_amount: u64)`: sets the stake. Accounts:
//!   0 delegate authority (signer), 1 stake account (writable), 2 farm
//!   (writable).

use solana_program::{
    account_info::{AccountInfo, next_account_info},
    declare_id,
    entrypoint::ProgramResult,
    program::invoke_signed,
    program_error::ProgramError,
    pubkey::Pubkey,
    rent::Rent,
    sysvar::Sysvar,
};
use solana_system_interface::instruction::create_account;

declare_id!("FarmsPZpWu9i7Kky8tPN37rs2TpmMrAZrC7S7vJa91Hr");

/// Discriminator of `initialize_user`.
pub const INITIALIZE_USER: [u8; 8] = [111, 17, 185, 250, 60, 122, 38, 254];
/// Discriminator of `set_stake_delegated`.
pub const SET_STAKE_DELEGATED: [u8; 8] = [73, 171, 184, 75, 30, 56, 198, 223];

/// Stakes are kept in fixed point with 18 decimals.
pub const STAKE_SCALE: u128 = 1_000_000_000_000_000_000;

/// The stake account, offsets with its discriminator.
pub mod user_state {
    use core::ops::Range;

    pub const DISCRIMINATOR: [u8; 8] = [72, 177, 85, 249, 76, 167, 186, 126];
    pub const LEN: usize = 920;
    pub const FARM: Range<usize> = 16..48;
    pub const OWNER: Range<usize> = 48..80;
    pub const IS_DELEGATED: usize = 80;
    pub const ACTIVE_STAKE_SCALED: Range<usize> = 408..424;
    pub const BUMP: Range<usize> = 472..480;
    pub const DELEGATEE: Range<usize> = 480..512;
    /// Seed of the stake account's address.
    pub const SEED: &[u8] = b"user";
}

/// The farm account, offsets with its discriminator.
pub mod farm_state {
    use core::ops::Range;

    pub const DISCRIMINATOR: [u8; 8] = [198, 102, 216, 74, 63, 66, 163, 190];
    pub const LEN: usize = 8336;
    /// The only key that may set stakes; for a reserve's farm its market's
    /// authority.
    pub const DELEGATE_AUTHORITY: Range<usize> = 7328..7360;
}

#[cfg(not(feature = "no-entrypoint"))]
solana_program::entrypoint!(process);

/// Runs the instruction that the data's discriminator names.
///
/// # Errors
/// `InvalidInstructionData` for any other instruction, `InvalidAccountData`
/// for accounts that are not a farm or its stake account,
/// `MissingRequiredSignature` and `IncorrectAuthority` when the farm's
/// authority does not sign, `InvalidSeeds` for a stake account at another
/// address than its PDA.
pub fn process(program_id: &Pubkey, accounts: &[AccountInfo], data: &[u8]) -> ProgramResult {
    let (kind, args) = data.split_first_chunk::<8>().ok_or(ProgramError::InvalidInstructionData)?;
    match *kind {
        INITIALIZE_USER => initialize_user(program_id, accounts),
        SET_STAKE_DELEGATED => {
            let amount = args.first_chunk::<8>().ok_or(ProgramError::InvalidInstructionData)?;
            set_stake(program_id, accounts, u64::from_le_bytes(*amount))
        }
        _ => Err(ProgramError::InvalidInstructionData),
    }
}

fn initialize_user(program_id: &Pubkey, accounts: &[AccountInfo]) -> ProgramResult {
    let accounts = &mut accounts.iter();
    let authority = next_account_info(accounts)?;
    let payer = next_account_info(accounts)?;
    let owner = next_account_info(accounts)?;
    let delegatee = next_account_info(accounts)?;
    let user_state = next_account_info(accounts)?;
    let farm = next_account_info(accounts)?;
    require_farm_authority(program_id, farm, authority)?;

    let seeds = [user_state::SEED, farm.key.as_ref(), delegatee.key.as_ref()];
    let (expected, bump) = Pubkey::find_program_address(&seeds, program_id);
    if *user_state.key != expected {
        return Err(ProgramError::InvalidSeeds);
    }
    let create = create_account(
        payer.key,
        user_state.key,
        Rent::get()?.minimum_balance(user_state::LEN),
        user_state::LEN as u64,
        program_id,
    );
    let [seed, farm_seed, delegatee_seed] = seeds;
    invoke_signed(
        &create,
        &[payer.clone(), user_state.clone()],
        &[&[seed, farm_seed, delegatee_seed, &[bump]]],
    )?;
    let mut data = user_state.try_borrow_mut_data()?;
    data[..8].copy_from_slice(&user_state::DISCRIMINATOR);
    data[user_state::FARM].copy_from_slice(farm.key.as_ref());
    data[user_state::OWNER].copy_from_slice(owner.key.as_ref());
    data[user_state::IS_DELEGATED] = 1;
    data[user_state::BUMP].copy_from_slice(&u64::from(bump).to_le_bytes());
    data[user_state::DELEGATEE].copy_from_slice(delegatee.key.as_ref());
    Ok(())
}

fn set_stake(program_id: &Pubkey, accounts: &[AccountInfo], amount: u64) -> ProgramResult {
    let accounts = &mut accounts.iter();
    let authority = next_account_info(accounts)?;
    let user_state = next_account_info(accounts)?;
    let farm = next_account_info(accounts)?;
    require_farm_authority(program_id, farm, authority)?;

    let mut data = user_state.try_borrow_mut_data()?;
    let is_stake_in_farm = user_state.owner == program_id
        && data.len() == user_state::LEN
        && data[..8] == user_state::DISCRIMINATOR
        && data[user_state::FARM] == farm.key.to_bytes();
    if !is_stake_in_farm {
        return Err(ProgramError::InvalidAccountData);
    }
    let scaled = u128::from(amount) * STAKE_SCALE;
    data[user_state::ACTIVE_STAKE_SCALED].copy_from_slice(&scaled.to_le_bytes());
    Ok(())
}

fn require_farm_authority(
    program_id: &Pubkey,
    farm: &AccountInfo,
    authority: &AccountInfo,
) -> ProgramResult {
    if !authority.is_signer {
        return Err(ProgramError::MissingRequiredSignature);
    }
    let data = farm.try_borrow_data()?;
    let is_farm = farm.owner == program_id
        && data.len() == farm_state::LEN
        && data[..8] == farm_state::DISCRIMINATOR;
    if !is_farm {
        return Err(ProgramError::InvalidAccountData);
    }
    if data[farm_state::DELEGATE_AUTHORITY] != authority.key.to_bytes() {
        return Err(ProgramError::IncorrectAuthority);
    }
    Ok(())
}
