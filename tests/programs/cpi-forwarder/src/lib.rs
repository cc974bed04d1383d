//! Forwards its accounts and data to klend by CPI and does nothing else: a measuring
//! stick for what an on-chain receiver of a klend liquidation has to cost, never
//! deployed.
//!
//! Written on pinocchio, which reads accounts in place, and without its comparison of
//! every key: on solana-program the same program adds more than twice as much.
//!
//! Accounts: klend's, in klend's order, then klend itself. Data: klend's.

use pinocchio::{
    AccountView, Address, ProgramResult,
    cpi::{CpiAccount, invoke_unchecked},
    error::ProgramError,
    instruction::{InstructionAccount, InstructionView},
};

#[cfg(not(feature = "no-entrypoint"))]
pinocchio::entrypoint!(process_instruction);

/// Entry point.
pub fn process_instruction(
    _: &Address,
    accounts: &mut [AccountView],
    data: &[u8],
) -> ProgramResult {
    let (program, accounts) = accounts.split_last().ok_or(ProgramError::NotEnoughAccountKeys)?;
    let metas: Vec<_> = accounts.iter().map(InstructionAccount::from).collect();
    let instruction = InstructionView { program_id: program.address(), accounts: &metas, data };
    let infos: Vec<_> = accounts.iter().map(CpiAccount::from).collect();
    // SAFETY: no account's data is borrowed here.
    #[allow(unsafe_code)]
    unsafe {
        invoke_unchecked(&instruction, &infos);
    }
    Ok(())
}
