use std::io::Read;

use anchor_lang::{prelude::*, solana_program::system_program};

use super::{deserialize_with, require_before_deadline};
use crate::{
    account_list::AccountList,
    checks::{require, require_equal, require_key, require_plain_wallet, require_program},
    errors::{FlashLiquidatorError, Result},
    introspection::{ExpectedLoan, verify_bracket, verify_flash_loan},
    reader::Reader,
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

impl OpenArgs {
    pub(crate) fn read(reader: &mut Reader) -> Option<Self> {
        Some(Self {
            flash_borrow_index: reader.u8()?,
            flash_repay_index: reader.u8()?,
            settle_index: reader.u8()?,
            bracket_bump: reader.u8()?,
            min_profit: reader.i64()?,
            deadline_slot: reader.u64()?,
            max_lamports_spent: reader.u64()?,
            max_losses: reader.list(Reader::u64)?,
        })
    }
}

impl AnchorDeserialize for OpenArgs {
    fn deserialize_reader<R: Read>(reader: &mut R) -> std::io::Result<Self> {
        deserialize_with(reader, Self::read)
    }
}

/// Accounts of `open` and of the `settle` that ends the bracket: both list the
/// same ones in the same order, remaining ones included.
///
/// Remaining accounts: the keeper's token accounts to guard besides the debt
/// account, at most [`MAX_GUARDS`].
#[derive(Accounts)]
pub struct BracketAccounts<'info> {
    /// CHECK: here.
    /// Borrower of the flash loan, owner of the guarded accounts; lends the
    /// bracket its rent.
    #[account(mut, signer)]
    pub keeper: UncheckedAccount<'info>,
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
    /// CHECK: the address.
    /// System program.
    #[account(address = system_program::ID)]
    pub system_program: UncheckedAccount<'info>,
}

impl<'info> BracketAccounts<'info> {
    /// Takes the accounts that are named from `accounts`.
    ///
    /// # Errors
    /// `AccountNotEnoughKeys`, `AccountNotSigner`, `ConstraintMut`,
    /// `InstructionsSysvarMalformed`, `InvalidProgramId`.
    pub fn take(accounts: &mut AccountList<'info>) -> Result<Self> {
        let taken = Self {
            keeper: accounts.writable_signer("keeper")?,
            bracket: accounts.writable("bracket")?,
            keeper_debt: accounts.any("keeper_debt")?,
            debt_mint: accounts.any("debt_mint")?,
            debt_token_program: accounts.any("debt_token_program")?,
            flash_reserve: accounts.any("flash_reserve")?,
            instructions_sysvar: accounts.any("instructions_sysvar")?,
            system_program: accounts.any("system_program")?,
        };
        require_key(
            taken.instructions_sysvar.key,
            &solana_sdk_ids::sysvar::instructions::ID,
            FlashLiquidatorError::InstructionsSysvarMalformed,
        )?;
        require_program(&taken.system_program, &system_program::ID, "system_program")?;
        Ok(taken)
    }

    /// See [`crate::flash_liquidator::open`].
    pub fn open(&self, args: OpenArgs, accounts: AccountList<'info>) -> Result<()> {
        let guarded_accounts = accounts.remaining();
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
            verify_bracket(
                &sysvar,
                args.flash_borrow_index,
                args.settle_index,
                args.flash_repay_index,
            )?;
        }
        stages::end_of("flash loan");
        require_plain_wallet(&self.keeper)?;
        require(guarded_accounts.len() <= MAX_GUARDS, FlashLiquidatorError::TooManyGuards)?;
        require_equal(
            guarded_accounts.len() as u64,
            args.max_losses.len() as u64,
            FlashLiquidatorError::GuardCountMismatch,
        )?;

        let debt = self.debt_expected().holding(&self.keeper_debt)?;
        let mut guards = Vec::with_capacity(guarded_accounts.len());
        for (account, max_loss) in guarded_accounts.iter().zip(args.max_losses) {
            let mint = token::unchecked_mint(account)?;
            let held = self.guarded_expected(account, &mint).holding(account)?;
            let min_balance = held.units.saturating_sub(max_loss);
            guards.push(Guard { mint, min_balance, nature: held.nature });
        }

        stages::end_of("balances before");

        let bracket = Bracket {
            keeper: *self.keeper.key,
            settle_index: args.settle_index,
            flash_borrow_index: args.flash_borrow_index,
            flash_repay_index: args.flash_repay_index,
            min_profit: args.min_profit,
            debt_balance: debt.units,
            debt_nature: debt.nature,
            // Before the rent leaves: `settle` returns it.
            min_lamports: self.keeper.lamports().saturating_sub(args.max_lamports_spent),
            guards,
        };
        bracket.create(&self.bracket, &self.keeper, args.bracket_bump)?;
        stages::end_of("bracket");
        Ok(())
    }

    /// What the debt account must be.
    pub(super) fn debt_expected(&self) -> token::Expected<'_> {
        token::Expected {
            token_program: self.debt_token_program.key,
            mint: self.debt_mint.key,
            owner: self.keeper.key,
        }
    }

    /// What a guarded account must be: the keeper's, of that mint, whichever of the two
    /// token programs it is of.
    pub(super) fn guarded_expected<'a>(
        &'a self,
        account: &'a AccountInfo<'info>,
        mint: &'a Pubkey,
    ) -> token::Expected<'a> {
        token::Expected { token_program: account.owner, mint, owner: self.keeper.key }
    }
}
