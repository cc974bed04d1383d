//! `init_user_metadata(user_lookup_table: Pubkey)`.
//!
//! Accounts: 0 owner (signer), 1 payer (signer, writable), 2 user metadata
//! (writable), 3 referrer's user metadata, 4 rent sysvar, 5 system program.

use solana_program::{account_info::AccountInfo, pubkey::Pubkey};
use solana_system_interface::program as system_program;

use crate::{
    accounts::*,
    error::{AnchorError, Result},
    state::{self, UserMetadata},
};

/// Seed of a wallet's metadata, PDA `["user_meta", owner]`.
pub(super) const USER_METADATA_SEED: &[u8] = b"user_meta";

pub fn process(accounts: &[AccountInfo], args: &[u8]) -> Result<()> {
    let lookup_table = args
        .first_chunk::<32>()
        .map(|bytes| Pubkey::new_from_array(*bytes))
        .ok_or(AnchorError::InstructionDidNotDeserialize)?;
    let ([owner, payer, metadata, referrer, rent, system_program], _) = split::<6>(accounts)?;
    require_signer(owner)?;
    require_signer(payer)?;
    let referrer = match optional(referrer) {
        Some(account) => state::load::<UserMetadata>(account)?.owner,
        None => Pubkey::default(),
    };
    require_rent_sysvar(rent)?;
    require_program(system_program, &system_program::ID)?;
    require_mut(payer)?;
    let bump = super::init_obligation::create::<UserMetadata>(
        metadata,
        payer,
        &[USER_METADATA_SEED, owner.key.as_ref()],
    )?;
    let mut metadata = state::load_mut::<UserMetadata>(metadata)?;
    metadata.referrer = referrer;
    metadata.bump = bump.into();
    metadata.user_lookup_table = lookup_table;
    metadata.owner = *owner.key;
    Ok(())
}
