//! `open` … `settle`: a guarded bracket for instructions that must stay at top
//! level inside a flash loan, such as a router too deep for a CPI or another
//! protocol's liquidation.

use anchor_lang::InstructionData;
pub use flash_liquidator::{
    OpenArgs, Settled,
    state::{BRACKET_SEED, MAX_GUARDS},
};
use solana_address::Address;
use solana_instruction::{AccountMeta, Instruction};
use solana_sdk_ids::{system_program, sysvar};

use crate::{
    compute_budget::ComputeBudget,
    klend::{self, FlashLoan},
    receiver::{BuildError, PROGRAM_ID, byte},
};

/// Address and bump of a keeper's bracket: PDA `["bracket", keeper]`.
#[must_use]
pub fn bracket(keeper: &Address) -> (Address, u8) {
    Address::find_program_address(&[BRACKET_SEED, keeper.as_ref()], &PROGRAM_ID)
}

/// A token account to watch over the bracket.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Guard {
    /// The keeper's token account.
    pub account: Address,
    /// Most raw units it may lose; 0 for none.
    pub max_loss: u64,
}

/// Any instructions between a klend flash borrow and its repay, with the
/// receiver's bracket around them.
#[derive(Clone, Debug)]
pub struct GuardedFlash<'a> {
    /// The loan; its borrower is the keeper.
    pub loan: FlashLoan<'a>,
    /// Principal, raw units.
    pub amount: u64,
    /// Least profit after loan and fee, raw units of the loan's mint.
    pub min_profit: i64,
    /// Last slot in which it may execute; 0 for none.
    pub deadline_slot: u64,
    /// Most lamports the keeper may be poorer by when the bracket is settled.
    pub max_lamports_spent: u64,
    /// Token accounts to watch besides the one the loan arrives in.
    pub guards: &'a [Guard],
    /// Compute-unit limit and price.
    pub compute_budget: ComputeBudget,
    /// Instructions before the loan.
    pub setup: Vec<Instruction>,
    /// Instructions inside the bracket. A `liquidate` of the receiver among them
    /// names the flash pair by index: see [`Self::borrow_index`] and
    /// [`Self::repay_index`].
    pub body: Vec<Instruction>,
}

impl GuardedFlash<'_> {
    /// Index of the flash borrow in [`Self::instructions`].
    #[must_use]
    pub fn borrow_index(&self) -> usize {
        self.compute_budget.instructions().len() + self.setup.len()
    }

    /// Index of the flash repay in [`Self::instructions`]: behind borrow, open,
    /// body and settle.
    #[must_use]
    pub fn repay_index(&self) -> usize {
        self.borrow_index() + 1 + 1 + self.body.len() + 1
    }

    /// The instructions, in order.
    ///
    /// # Errors
    /// [`BuildError::TooMany`] when an index or the guards do not fit.
    pub fn instructions(&self) -> Result<Vec<Instruction>, BuildError> {
        if self.guards.len() > MAX_GUARDS {
            return Err(BuildError::TooMany {
                what: "guarded token accounts",
                count: self.guards.len(),
                limit: MAX_GUARDS,
            });
        }
        let borrow_index = byte("instructions before the loan", self.borrow_index())?;
        let repay_index = byte("instructions up to the repay", self.repay_index())?;

        let mut instructions = self.compute_budget.instructions();
        instructions.extend(self.setup.iter().cloned());
        instructions.push(klend::flash_borrow(&self.loan, self.amount));
        instructions.push(self.open(borrow_index, repay_index));
        instructions.extend(self.body.iter().cloned());
        instructions.push(self.settle());
        instructions.push(klend::flash_repay(&self.loan, self.amount, borrow_index));
        Ok(instructions)
    }

    fn open(&self, flash_borrow_index: u8, flash_repay_index: u8) -> Instruction {
        let args = OpenArgs {
            flash_borrow_index,
            flash_repay_index,
            settle_index: flash_repay_index - 1,
            bracket_bump: bracket(&self.loan.borrower).1,
            min_profit: self.min_profit,
            deadline_slot: self.deadline_slot,
            max_lamports_spent: self.max_lamports_spent,
            max_losses: self.guards.iter().map(|guard| guard.max_loss).collect(),
        };
        self.instruction(flash_liquidator::instruction::Open { args }.data())
    }

    fn settle(&self) -> Instruction {
        self.instruction(flash_liquidator::instruction::Settle {}.data())
    }

    /// Both instructions list the same accounts; the receiver insists on it.
    fn instruction(&self, data: Vec<u8>) -> Instruction {
        let FlashLoan { reserve, borrower, token_account, .. } = self.loan;
        let mut accounts = vec![
            AccountMeta::new(borrower, true),
            AccountMeta::new(bracket(&borrower).0, false),
            AccountMeta::new_readonly(token_account, false),
            AccountMeta::new_readonly(reserve.liquidity_mint, false),
            AccountMeta::new_readonly(reserve.liquidity_token_program, false),
            AccountMeta::new_readonly(reserve.reserve, false),
            AccountMeta::new_readonly(sysvar::instructions::ID, false),
            AccountMeta::new_readonly(system_program::ID, false),
        ];
        let guards = self.guards.iter().map(|guard| guard.account);
        accounts.extend(guards.map(|key| AccountMeta::new_readonly(key, false)));
        Instruction { program_id: PROGRAM_ID, accounts, data }
    }
}
