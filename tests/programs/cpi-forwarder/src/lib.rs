//! Forwards its accounts and data to klend by CPI and does nothing else: the
//! least that any on-chain receiver of a klend liquidation can cost. A
//! measuring stick for tests, never deployed.
//!
//! Accounts: klend's, in klend's order, then klend itself. Data: klend's.

use solana_program::{
    account_info::AccountInfo,
    entrypoint::ProgramResult,
    instruction::{AccountMeta, Instruction},
    program::invoke_unchecked,
    program_error::ProgramError,
    pubkey::Pubkey,
};

solana_program::declare_id!("CpiForwarder1111111111111111111111111111111");

#[cfg(not(feature = "no-entrypoint"))]
solana_program::entrypoint!(process_instruction);

/// Entry point.
pub fn process_instruction(_: &Pubkey, accounts: &[AccountInfo], data: &[u8]) -> ProgramResult {
    let (program, klend_accounts) =
        accounts.split_last().ok_or(ProgramError::NotEnoughAccountKeys)?;
    let metas = klend_accounts
        .iter()
        .map(|account| AccountMeta {
            pubkey: *account.key,
            is_signer: account.is_signer,
            is_writable: account.is_writable,
        })
        .collect();
    invoke_unchecked(
        &Instruction { program_id: *program.key, accounts: metas, data: data.to_vec() },
        accounts,
    )
}
