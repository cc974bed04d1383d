//! Associated token accounts (ATAs).

use solana_address::Address;
use solana_instruction::Instruction;
use spl_associated_token_account_interface::{
    address::get_associated_token_address_with_program_id,
    instruction::create_associated_token_account_idempotent,
};

/// SPL Token, the program of every cToken.
pub const TOKEN_PROGRAM_ID: Address = spl_token_interface::ID;

/// Where `wallet` holds `mint` by convention.
#[must_use]
pub fn associated_token_account(
    wallet: &Address,
    mint: &Address,
    token_program: &Address,
) -> Address {
    get_associated_token_address_with_program_id(wallet, mint, token_program)
}

/// Creates that account at `payer`'s cost; succeeds when it is there already.
#[must_use]
pub fn create_associated_token_account(
    payer: &Address,
    wallet: &Address,
    mint: &Address,
    token_program: &Address,
) -> Instruction {
    create_associated_token_account_idempotent(payer, wallet, mint, token_program)
}
