use anchor_lang::prelude::*;

use super::BracketAccounts;
use crate::{
    account_list::AccountList,
    checks::{require, require_at_least, require_equal, require_plain_wallet, require_profit},
    errors::{FlashLiquidatorError, Result},
    events::Settled,
    introspection::{ExpectedLoan, current_index, verify_flash_loan},
    klend, stages,
    state::Bracket,
};

impl<'info> BracketAccounts<'info> {
    /// See [`crate::flash_liquidator::settle`].
    pub fn settle(&self, accounts: AccountList<'info>) -> Result<()> {
        let guarded_accounts = accounts.remaining();
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

        let debt_balance =
            bracket.debt_nature.units_now(&self.debt_expected(), &self.keeper_debt)?;
        let profit =
            require_profit(bracket.debt_balance, debt_balance, flash_fee, bracket.min_profit)?;

        require_equal(
            guarded_accounts.len() as u64,
            bracket.guards.len() as u64,
            FlashLiquidatorError::GuardCountMismatch,
        )?;
        for (account, guard) in guarded_accounts.iter().zip(&bracket.guards) {
            let expected = self.guarded_expected(account, &guard.mint);
            let balance = guard.nature.units_now(&expected, account)?;
            require_at_least(
                balance,
                guard.min_balance,
                FlashLiquidatorError::GuardedBalanceBelowFloor,
            )?;
        }

        stages::end_of("balances after");

        require_plain_wallet(&self.keeper)?;
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
