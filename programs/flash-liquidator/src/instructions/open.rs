use std::io::Read;

use anchor_lang::prelude::*;

use super::{deserialize_exactly, require_before_deadline};
use crate::{
    checks::{require, require_equal},
    errors::FlashLiquidatorError,
    introspection::{ExpectedLoan, verify_flash_loan, verify_settle_follows},
    stages,
    state::{Bracket, Guard, MAX_GUARDS},
    token,
};

/// Arguments of `open`, encoded with borsh; trailing bytes are an error.
#[derive(AnchorSerialize, Clone, Debug, PartialEq, Eq)]
pub struct OpenArgs {
    /// Index of klend's flash borrow in this transaction.
    pub flash_borrow_index: u8,
    /// Index of klend's flash repay in this transaction.
    pub flash_repay_index: u8,
    /// Index of the `settle` that ends this bracket.
    pub settle_index: u8,
    /// Bump of the keeper's bracket address.
    pub bracket_bump: u8,
    /// Least profit after loan and fee, debt units. A negative value is the
    /// keeper's consent to lose up to that much.
    pub min_profit: i64,
    /// Last slot in which this may execute; 0 for none.
    pub deadline_slot: u64,
    /// Most lamports the keeper may be poorer by when the bracket is settled.
    pub max_lamports_spent: u64,
    /// For each guarded token account, the most raw units it may lose; 0 for
    /// nothing lost.
    pub max_losses: Vec<u64>,
}

impl AnchorDeserialize for OpenArgs {
    fn deserialize_reader<R: Read>(reader: &mut R) -> std::io::Result<Self> {
        deserialize_exactly(reader, |reader| {
            Ok(Self {
                flash_borrow_index: AnchorDeserialize::deserialize_reader(reader)?,
                flash_repay_index: AnchorDeserialize::deserialize_reader(reader)?,
                settle_index: AnchorDeserialize::deserialize_reader(reader)?,
                bracket_bump: AnchorDeserialize::deserialize_reader(reader)?,
                min_profit: AnchorDeserialize::deserialize_reader(reader)?,
                deadline_slot: AnchorDeserialize::deserialize_reader(reader)?,
                max_lamports_spent: AnchorDeserialize::deserialize_reader(reader)?,
                max_losses: AnchorDeserialize::deserialize_reader(reader)?,
            })
        })
    }
}

/// Accounts of `open` and of the `settle` that ends the bracket: both list the
/// same ones in the same order, remaining ones included.
///
/// Remaining accounts: the keeper's token accounts to guard besides the debt
/// account, at most [`MAX_GUARDS`].
#[derive(Accounts)]
pub struct BracketAccounts<'info> {
    /// Borrower of the flash loan, owner of the guarded accounts; lends the
    /// bracket its rent.
    #[account(mut)]
    pub keeper: Signer<'info>,
    /// CHECK: by the system program on creation, by owner and content on reading.
    /// PDA `["bracket", keeper]`; made by `open`, closed by `settle`.
    #[account(mut)]
    pub bracket: UncheckedAccount<'info>,
    /// CHECK: here.
    /// The keeper's account of the loan's mint.
    pub keeper_debt: UncheckedAccount<'info>,
    /// CHECK: here, through the loan.
    /// Mint of the loan.
    pub debt_mint: UncheckedAccount<'info>,
    /// CHECK: here, through the loan.
    /// SPL Token or Token-2022.
    pub debt_token_program: UncheckedAccount<'info>,
    /// CHECK: here, through the loan.
    /// Reserve that lends.
    pub flash_reserve: UncheckedAccount<'info>,
    /// CHECK: the address.
    /// Instructions sysvar.
    #[account(
        address = solana_sdk_ids::sysvar::instructions::ID
            @ FlashLiquidatorError::InstructionsSysvarMalformed
    )]
    pub instructions_sysvar: UncheckedAccount<'info>,
    /// System program.
    pub system_program: Program<'info, System>,
}

impl<'info> BracketAccounts<'info> {
    /// See [`crate::flash_liquidator::open`].
    pub fn open(&self, args: OpenArgs, guarded_accounts: &[AccountInfo<'info>]) -> Result<()> {
        stages::end_of("entry");
        require_before_deadline(args.deadline_slot)?;
        {
            let sysvar = self.instructions_sysvar.try_borrow_data()?;
            verify_flash_loan(
                &sysvar,
                args.flash_borrow_index,
                args.flash_repay_index,
                &ExpectedLoan {
                    keeper: self.keeper.key,
                    flash_reserve: self.flash_reserve.key,
                    mint: self.debt_mint.key,
                    token_account: self.keeper_debt.key,
                },
            )?;
            verify_settle_follows(&sysvar, args.settle_index, args.flash_repay_index)?;
        }
        stages::end_of("flash loan and settle");
        require(guarded_accounts.len() <= MAX_GUARDS, FlashLiquidatorError::TooManyGuards)?;
        require_equal(
            guarded_accounts.len() as u64,
            args.max_losses.len() as u64,
            FlashLiquidatorError::GuardCountMismatch,
        )?;

        let debt_balance = token::Expected {
            token_program: self.debt_token_program.key,
            mint: self.debt_mint.key,
            owner: self.keeper.key,
        }
        .balance_if_isolated(&self.keeper_debt)?;
        let mut guards = Vec::with_capacity(guarded_accounts.len());
        for (account, max_loss) in guarded_accounts.iter().zip(args.max_losses) {
            let mint = token::unchecked_mint(account)?;
            let balance = token::Expected {
                token_program: account.owner,
                mint: &mint,
                owner: self.keeper.key,
            }
            .balance_if_isolated(account)?;
            guards.push(Guard { mint, min_balance: balance.saturating_sub(max_loss) });
        }

        stages::end_of("balances");

        let bracket = Bracket {
            keeper: *self.keeper.key,
            settle_index: args.settle_index,
            flash_borrow_index: args.flash_borrow_index,
            flash_repay_index: args.flash_repay_index,
            min_profit: args.min_profit,
            debt_balance,
            // Before the rent leaves: `settle` returns it.
            min_lamports: self.keeper.lamports().saturating_sub(args.max_lamports_spent),
            guards,
        };
        bracket.create(&self.bracket, &self.keeper, args.bracket_bump)?;
        stages::end_of("bracket created");
        Ok(())
    }
}
