use anchor_lang::prelude::*;

use crate::{
    account_list::AccountList,
    checks::require,
    errors::{FlashLiquidatorError, Result},
    introspection::verify_top_level,
    swap::{SWAP_AUTHORITY_SEED, verify_authority},
    token,
};

/// Accounts of one token account to sweep among the remaining accounts: the swap
/// authority's token account (writable), the keeper's account of the same mint
/// (writable), the mint, the token program.
pub const ACCOUNTS_PER_SWEPT: usize = 4;

/// Accounts of `sweep`.
///
/// Remaining accounts: [`ACCOUNTS_PER_SWEPT`] for each token account to empty and close.
#[derive(Accounts)]
pub struct Sweep<'info> {
    /// CHECK: here.
    /// Owner of the swap authority; gets the rent.
    #[account(mut, signer)]
    pub keeper: UncheckedAccount<'info>,
    /// CHECK: here.
    /// PDA `["swap_authority", keeper]`.
    pub swap_authority: UncheckedAccount<'info>,
}

impl<'info> Sweep<'info> {
    /// Takes the accounts that are named from `accounts`.
    ///
    /// # Errors
    /// `AccountNotEnoughKeys`, `AccountNotSigner`, `ConstraintMut`.
    pub fn take(accounts: &mut AccountList<'info>) -> Result<Self> {
        Ok(Self {
            keeper: accounts.writable_signer("keeper")?,
            swap_authority: accounts.any("swap_authority")?,
        })
    }

    /// See [`crate::flash_liquidator::sweep`].
    pub fn process(&self, swap_authority_bump: u8, accounts: AccountList<'info>) -> Result<()> {
        // Called by a program inside a bracket, it would make profit of what was the
        // keeper's before.
        verify_top_level()?;
        let (authority, keeper) = (self.swap_authority.key, self.keeper.key);
        verify_authority(authority, keeper, swap_authority_bump)?;
        let (groups, rest) = accounts.remaining().as_chunks::<ACCOUNTS_PER_SWEPT>();
        require(
            !groups.is_empty() && rest.is_empty(),
            FlashLiquidatorError::RemainingAccountsMissing,
        )?;
        let signer_seeds: &[&[&[u8]]] =
            &[&[SWAP_AUTHORITY_SEED, keeper.as_ref(), &[swap_authority_bump]]];
        let infos = accounts.all();

        for [swap_account, keeper_account, mint, token_program] in groups {
            let expected =
                |owner| token::Expected { token_program: token_program.key, mint: mint.key, owner };
            expected(keeper).units(keeper_account)?;
            expected(authority).units(swap_account)?;
            token::Transfer {
                token_program: token_program.key,
                mint,
                from: swap_account.key,
                to: keeper_account.key,
                authority,
            }
            .invoke(token::unchecked_amount(swap_account)?, infos, signer_seeds)?;
            // What the token program would not let the owner close stays, emptied: the
            // tokens of the others, and its own, are worth more than its rent.
            if token::can_be_closed(swap_account, authority)? {
                token::close(
                    token_program.key,
                    swap_account.key,
                    keeper,
                    authority,
                    infos,
                    signer_seeds,
                )?;
            }
        }
        Ok(())
    }
}
