//! `open` and `settle` around other instructions.

use anchor_lang::{AnchorDeserialize, InstructionData};
use flash_liquidator::{OpenArgs, instruction};
pub use flash_liquidator_client::bracket::bracket;
use flash_liquidator_client::receiver;
use solana_address::Address;
use solana_instruction::{AccountMeta, Instruction};
use solana_sdk_ids::{system_program, sysvar};

/// Positions among the accounts of `open` and `settle`.
pub mod account {
    /// Signer.
    pub const KEEPER: usize = 0;
    /// The bracket.
    pub const BRACKET: usize = 1;
    /// The keeper's debt account.
    pub const KEEPER_DEBT: usize = 2;
    /// Mint of the loan.
    pub const DEBT_MINT: usize = 3;
    /// Reserve that lends.
    pub const FLASH_RESERVE: usize = 5;
    /// First guarded account.
    pub const GUARDS: usize = 8;
}

/// Accounts of `open` and `settle`, from the flash borrow that they stand after.
#[must_use]
pub fn accounts(borrow: &Instruction, guards: &[Address]) -> Vec<AccountMeta> {
    let key = |position: usize| borrow.accounts[position].pubkey;
    let keeper = key(0);
    let mut metas = vec![
        AccountMeta::new(keeper, true),
        AccountMeta::new(bracket(&keeper).0, false),
        AccountMeta::new_readonly(key(6), false),
        AccountMeta::new_readonly(key(4), false),
        AccountMeta::new_readonly(key(11), false),
        AccountMeta::new_readonly(key(3), false),
        AccountMeta::new_readonly(sysvar::instructions::ID, false),
        AccountMeta::new_readonly(system_program::ID, false),
    ];
    metas.extend(guards.iter().map(|guard| AccountMeta::new_readonly(*guard, false)));
    metas
}

/// `open` that allows no loss at all; its indexes are for the caller to set.
#[must_use]
pub fn open(borrow: &Instruction, guards: &[Address]) -> Instruction {
    let args = OpenArgs {
        flash_borrow_index: 0,
        flash_repay_index: 0,
        settle_index: 0,
        bracket_bump: bracket(&borrow.accounts[0].pubkey).1,
        min_profit: 0,
        deadline_slot: 0,
        max_lamports_spent: 0,
        max_losses: vec![0; guards.len()],
    };
    Instruction {
        program_id: receiver::PROGRAM_ID,
        accounts: accounts(borrow, guards),
        data: instruction::Open { args }.data(),
    }
}

/// `settle`.
#[must_use]
pub fn settle(borrow: &Instruction, guards: &[Address]) -> Instruction {
    Instruction {
        program_id: receiver::PROGRAM_ID,
        accounts: accounts(borrow, guards),
        data: instruction::Settle {}.data(),
    }
}

/// Changes the arguments of an `open`.
pub fn edit(open: &mut Instruction, change: impl FnOnce(&mut OpenArgs)) {
    let mut args =
        OpenArgs::deserialize(&mut &open.data[8..]).expect("arguments that were just encoded");
    change(&mut args);
    open.data = instruction::Open { args }.data();
}
