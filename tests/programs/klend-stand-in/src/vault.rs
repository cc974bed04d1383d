//! After every movement klend compares its books with the vault.

use solana_program::account_info::AccountInfo;

use crate::{
    error::{KlendError, Result, require},
    state::{self, Reserve},
    token,
};

/// A reserve's vault balance and its booked liquidity at one moment.
#[derive(Clone, Copy, Debug)]
pub struct VaultSnapshot {
    balance: u64,
    available: u64,
}

impl VaultSnapshot {
    pub fn take(reserve: &AccountInfo, vault: &AccountInfo) -> Result<Self> {
        Ok(Self {
            balance: token::balance(vault)?,
            available: state::load::<Reserve>(reserve)?.liquidity.total_available_amount,
        })
    }

    /// Compares the present state with this one after a change of `change`
    /// units.
    ///
    /// # Errors
    /// 6095 when vault and books have drifted apart, 6096 when the vault,
    /// 6097 when the books did not change by `change`.
    pub fn require_changed_by(
        &self,
        change: i128,
        reserve: &AccountInfo,
        vault: &AccountInfo,
    ) -> Result<()> {
        let now = Self::take(reserve, vault)?;
        let drift = |at: &Self| i128::from(at.balance) - i128::from(at.available);
        require(drift(&now) == drift(self), KlendError::ReserveTokenBalanceMismatch)?;
        require(
            i128::from(now.balance) - i128::from(self.balance) == change,
            KlendError::ReserveVaultBalanceMismatch,
        )?;
        require(
            i128::from(now.available) - i128::from(self.available) == change,
            KlendError::ReserveAccountingMismatch,
        )
    }
}
