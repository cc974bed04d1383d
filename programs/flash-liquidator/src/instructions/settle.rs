use anchor_lang::prelude::*;

use crate::{
    checks::{require, require_at_least, require_equal, require_profit},
    errors::FlashLiquidatorError,
    events::Settled,
    introspection::{ExpectedLoan, current_index, verify_flash_loan},
    klend,
    state::Bracket,
    token,
};

/// Accounts of `settle`: those of the `open` it belongs to, in the same order.
#[derive(Accounts)]
pub struct Settle<'info> {
    /// Keeper that opened the bracket; gets its rent back.
    #[account(mut)]
    pub keeper: Signer<'info>,
    /// CHECK: here. Bracket that `open` created in this transaction; closed here.
    #[account(mut)]
    pub bracket: UncheckedAccount<'info>,
    /// CHECK: here. The keeper's account of the loan's mint.
    pub keeper_debt: UncheckedAccount<'info>,
    /// CHECK: here, through the loan. Mint of the loan.
    pub debt_mint: UncheckedAccount<'info>,
    /// CHECK: here, through the loan. SPL Token or Token-2022.
    pub debt_token_program: UncheckedAccount<'info>,
    /// CHECK: here, through the loan. Reserve that lends.
    pub flash_reserve: UncheckedAccount<'info>,
    /// CHECK: the address. Instructions sysvar.
    #[account(
        address = solana_sdk_ids::sysvar::instructions::ID
            @ FlashLiquidatorError::InstructionsSysvarMalformed
    )]
    pub instructions_sysvar: UncheckedAccount<'info>,
    /// System program; listed because `open` lists it.
    pub system_program: Program<'info, System>,
}

impl<'info> Settle<'info> {
    /// See [`crate::flash_liquidator::settle`].
    pub fn process(&self, guarded_accounts: &[AccountInfo<'info>]) -> Result<()> {
        let bracket = Bracket::read(&self.bracket, self.keeper.key)?;
        let principal = {
            let sysvar = self.instructions_sysvar.try_borrow_data()?;
            // `open` has seen this very instruction at that index, with these accounts.
            require(
                current_index(&sysvar) == Some(u16::from(bracket.settle_index)),
                FlashLiquidatorError::BracketMismatch,
            )?;
            verify_flash_loan(
                &sysvar,
                bracket.flash_borrow_index,
                bracket.flash_repay_index,
                &ExpectedLoan {
                    keeper: self.keeper.key,
                    flash_reserve: self.flash_reserve.key,
                    mint: self.debt_mint.key,
                    token_account: self.keeper_debt.key,
                },
            )?
        };
        let flash_fee = klend::flash_loan_fee_of(&self.flash_reserve, principal)?;

        let debt_balance = token::Expected {
            token_program: self.debt_token_program.key,
            mint: self.debt_mint.key,
            owner: self.keeper.key,
        }
        .balance_if_isolated(&self.keeper_debt)?;
        let profit =
            require_profit(bracket.debt_balance, debt_balance, flash_fee, bracket.min_profit)?;

        require_equal(
            guarded_accounts.len() as u64,
            bracket.guards.len() as u64,
            FlashLiquidatorError::GuardCountMismatch,
        )?;
        for (account, guard) in guarded_accounts.iter().zip(&bracket.guards) {
            let balance = token::Expected {
                token_program: account.owner,
                mint: &guard.mint,
                owner: self.keeper.key,
            }
            .balance_if_isolated(account)?;
            require_at_least(
                balance,
                guard.min_balance,
                FlashLiquidatorError::GuardedBalanceBelowFloor,
            )?;
        }

        Bracket::close(&self.bracket, &self.keeper)?;
        require_at_least(
            self.keeper.lamports(),
            bracket.min_lamports,
            FlashLiquidatorError::LamportsBelowFloor,
        )?;

        emit!(Settled {
            keeper: *self.keeper.key,
            flash_reserve: *self.flash_reserve.key,
            debt_mint: *self.debt_mint.key,
            flash_loan: principal,
            flash_fee,
            debt_before: bracket.debt_balance,
            debt_after: debt_balance,
            profit,
            min_profit: bracket.min_profit,
        });
        Ok(())
    }
}
