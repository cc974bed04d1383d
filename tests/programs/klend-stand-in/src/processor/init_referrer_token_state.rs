//! `init_referrer_token_state`: where a referrer's earnings in a reserve are kept.
//!
//! Accounts: 0 payer (signer, writable), 1 market, 2 reserve, 3 referrer, 4 the
//! state (writable), 5 rent sysvar, 6 system program.

use solana_program::account_info::AccountInfo;
use solana_system_interface::program as system_program;

use crate::{
    accounts::*,
    error::Result,
    state::{self, LendingMarket, ReferrerTokenState, Reserve},
};

/// Seed of a referrer's state, PDA `["referrer_acc", referrer, reserve]`.
pub(super) const REFERRER_SEED: &[u8] = b"referrer_acc";

pub fn process(accounts: &[AccountInfo]) -> Result<()> {
    let ([payer, market, reserve, referrer, token_state, rent, system_program], _) =
        split::<7>(accounts)?;
    require_signer(payer)?;
    state::check_layout::<LendingMarket>(market)?;
    state::check_layout::<Reserve>(reserve)?;
    require_rent_sysvar(rent)?;
    require_program(system_program, &system_program::ID)?;
    require_mut(payer)?;
    require_has_one(&state::load::<Reserve>(reserve)?.lending_market, market)?;
    let bump = super::init_obligation::create::<ReferrerTokenState>(
        token_state,
        payer,
        &[REFERRER_SEED, referrer.key.as_ref(), reserve.key.as_ref()],
    )?;
    let mint = state::load::<Reserve>(reserve)?.liquidity.mint;
    let mut token_state = state::load_mut::<ReferrerTokenState>(token_state)?;
    token_state.referrer = *referrer.key;
    token_state.mint = mint;
    token_state.bump = bump.into();
    Ok(())
}
