//! `init_obligation(tag: u8, id: u8)`: an empty obligation.
//!
//! Accounts: 0 owner (signer), 1 payer (signer, writable), 2 obligation
//! (writable), 3 market, 4 and 5 seed accounts, 6 owner's user metadata,
//! 7 rent sysvar, 8 system program.
//!
//! The obligation is the PDA `[[tag], [id], owner, market, seed 1, seed 2]`.

use solana_program::{
    account_info::AccountInfo, clock::Clock, program::invoke_signed, pubkey::Pubkey, rent::Rent,
    sysvar::Sysvar,
};
use solana_system_interface::{instruction as system_instruction, program as system_program};

use super::init_user_metadata::USER_METADATA_SEED;
use crate::{
    accounts::*,
    error::{AnchorError, KlendError, Result, require},
    state::{
        self, DISCRIMINATOR_LEN, Layout, LendingMarket, Obligation, PriceStatus, UserMetadata,
    },
};

pub fn process(accounts: &[AccountInfo], args: &[u8]) -> Result<()> {
    let tag = read_u8(args, 0)?;
    let id = read_u8(args, 1)?;
    let ([owner, payer, obligation, market, seed1, seed2, metadata, rent, system_program], _) =
        split::<9>(accounts)?;
    require_signer(owner)?;
    require_signer(payer)?;
    state::check_layout::<LendingMarket>(market)?;
    state::check_layout::<UserMetadata>(metadata)?;
    require_rent_sysvar(rent)?;
    require_program(system_program, &system_program::ID)?;
    require_mut(payer)?;
    create::<Obligation>(
        obligation,
        payer,
        &[
            &[tag],
            &[id],
            owner.key.as_ref(),
            market.key.as_ref(),
            seed1.key.as_ref(),
            seed2.key.as_ref(),
        ],
    )?;
    let referrer = {
        let metadata_account = metadata;
        let metadata = state::load::<UserMetadata>(metadata_account)?;
        let bump = [u8::try_from(metadata.bump).map_err(|_| AnchorError::ConstraintSeeds)?];
        let seeds = [USER_METADATA_SEED, owner.key.as_ref(), &bump];
        let expected = Pubkey::create_program_address(&seeds, &crate::ID)
            .map_err(|_| AnchorError::ConstraintSeeds)?;
        require(*metadata_account.key == expected, AnchorError::ConstraintSeeds)?;
        metadata.referrer
    };
    state::load::<LendingMarket>(market)?.require_no_emergency()?;
    require_seeds(tag, seed1, seed2)?;

    let clock = Clock::get()?;
    let mut obligation = state::load_mut::<Obligation>(obligation)?;
    obligation.tag = tag.into();
    obligation.lending_market = *market.key;
    obligation.owner = *owner.key;
    obligation.referrer = referrer;
    obligation.last_update.update(&clock, PriceStatus::NONE);
    obligation.last_update.mark_stale();
    Ok(())
}

/// Which seed accounts belong to which kind of obligation: none for kind 0,
/// two mints for 1 and 3, the same mint twice for 2 (6058).
fn require_seeds(tag: u8, seed1: &AccountInfo, seed2: &AccountInfo) -> Result<()> {
    let matches = match tag {
        0 => *seed1.key == Pubkey::default() && *seed2.key == Pubkey::default(),
        1 | 3 => require_mint(seed1).is_ok() && require_mint(seed2).is_ok(),
        2 => require_mint(seed1).is_ok() && seed1.key == seed2.key,
        _ => false,
    };
    require(matches, KlendError::InvalidObligationSeedsValue)
}

/// Creates the account at the PDA of the seeds, with its discriminator, and
/// returns the bump. 2006 when the account is not at that PDA.
pub(super) fn create<'info, T: Layout>(
    account: &AccountInfo<'info>,
    payer: &AccountInfo<'info>,
    seeds: &[&[u8]],
) -> Result<u8> {
    let (expected, bump) = Pubkey::find_program_address(seeds, &crate::ID);
    require(*account.key == expected, AnchorError::ConstraintSeeds)?;
    let space = T::ACCOUNT_LEN;
    let instruction = system_instruction::create_account(
        payer.key,
        account.key,
        Rent::get()?.minimum_balance(space),
        space as u64,
        &crate::ID,
    );
    let bump_seed = [bump];
    let mut signer = seeds.to_vec();
    signer.push(&bump_seed);
    invoke_signed(&instruction, &[payer.clone(), account.clone()], &[&signer])?;
    account.try_borrow_mut_data()?[..DISCRIMINATOR_LEN].copy_from_slice(&T::DISCRIMINATOR);
    Ok(bump)
}
