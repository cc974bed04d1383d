//! Operations that need the signature of a market's permissioner.

use solana_program::account_info::AccountInfo;

use crate::{
    error::{AnchorError, KlendError, Result, require},
    state::{self, LendingMarket, Reserve},
};

/// Demands the permissioner's signature if the market, or one of the reserves
/// that an operation touches, wants it for `operation` (a bit of
/// [`PermissionedOp`](crate::state::PermissionedOp)) and the market names one.
/// He is the last of the remaining accounts; the others are returned.
///
/// # Errors
/// 6183 when the last account is missing or somebody else's, 3010 when it does
/// not sign.
pub fn require_signature<'a, 'info>(
    market: &AccountInfo,
    reserves: &[&AccountInfo],
    operation: u64,
    rest: &'a [AccountInfo<'info>],
) -> Result<&'a [AccountInfo<'info>]> {
    let market = state::load::<LendingMarket>(market)?;
    let mut wanted_by = market.permissioned_ops;
    for reserve in reserves {
        wanted_by |= state::load::<Reserve>(reserve)?.config.permissioned_ops;
    }
    let authority = market.permissioning_authority;
    if wanted_by & operation == 0 || authority == Default::default() {
        return Ok(rest);
    }
    let (last, others) = rest.split_last().ok_or(KlendError::MissingPermissioner)?;
    require(*last.key == authority, KlendError::MissingPermissioner)?;
    require(last.is_signer, AnchorError::AccountNotSigner)?;
    Ok(others)
}
