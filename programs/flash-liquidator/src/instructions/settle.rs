use anchor_lang::{prelude::*, solana_program::system_program};

use super::BracketAccounts;
use crate::{
    checks::{require, require_at_least, require_equal, require_key, require_profit},
    errors::{FlashLiquidatorError, Result},
    events::Settled,
    introspection::{ExpectedLoan, current_index, verify_flash_loan},
    klend, stages,
    state::Bracket,
    token,
};

impl<'info> BracketAccounts<'info> {
    /// See [`crate::flash_liquidator::settle`].
    pub fn settle(&self, guarded_accounts: &[AccountInfo<'info>]) -> Result<()> {
        stages::end_of("entry");
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
        stages::end_of("flash loan");
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

        stages::end_of("balances after");

        // Whoever had the keeper's signature could have made its wallet a multisig of
        // the token program, and with that its own.
        require_key(
            self.keeper.owner,
            &system_program::ID,
            FlashLiquidatorError::SignerReassigned,
        )?;

        Bracket::close(&self.bracket, &self.keeper)?;
        require_at_least(
            self.keeper.lamports(),
            bracket.min_lamports,
            FlashLiquidatorError::LamportsBelowFloor,
        )?;

        stages::end_of("bracket");

        Settled {
            keeper: *self.keeper.key,
            flash_reserve: *self.flash_reserve.key,
            debt_mint: *self.debt_mint.key,
            flash_loan: principal,
            flash_fee,
            debt_before: bracket.debt_balance,
            debt_after: debt_balance,
            profit,
            min_profit: bracket.min_profit,
        }
        .log();
        stages::end_of("event");
        Ok(())
    }
}
