//! Associated token accounts (ATAs).

use liquidation_venues::pda;
use solana_address::{Address, address};
use solana_instruction::{AccountMeta, Instruction};
use solana_program_pack::Pack;
use spl_associated_token_account_interface::instruction::create_associated_token_account_idempotent;
use spl_token_interface::state::Account as TokenAccount;

/// Mint of wrapped SOL.
pub const NATIVE_MINT: Address = spl_token_interface::native_mint::ID;

/// SPL Token, the program of every cToken.
pub const TOKEN_PROGRAM_ID: Address = spl_token_interface::ID;
/// The program that makes associated token accounts.
pub const ASSOCIATED_TOKEN_PROGRAM_ID: Address =
    spl_associated_token_account_interface::program::ID;
/// Token-2022.
pub const TOKEN_2022_PROGRAM_ID: Address = address!("TokenzQdBNbLqP5VEhdkAS6EPFLC1PHnBqCXEpPxuEb");

/// Where `wallet` holds `mint` by convention.
#[must_use]
pub fn associated_token_account(
    wallet: &Address,
    mint: &Address,
    token_program: &Address,
) -> Address {
    let seeds = [wallet, token_program, mint].map(Address::as_ref);
    pda::find(&seeds, &ASSOCIATED_TOKEN_PROGRAM_ID).0
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

/// Who owns an initialised token account with this program and data; `None` when it is
/// none.
#[must_use]
pub fn owner_of_token_account(program: &Address, data: &[u8]) -> Option<Address> {
    // Both programs begin their accounts alike; behind these bytes stands, in Token-2022,
    // what kind of account it is, 2 for a token account.
    let base = data.get(..TokenAccount::LEN)?;
    let kind = data.get(TokenAccount::LEN).copied().unwrap_or(2);
    let is_token_program = [TOKEN_PROGRAM_ID, TOKEN_2022_PROGRAM_ID].contains(program);
    let account = TokenAccount::unpack(base).ok()?;
    (is_token_program && kind == 2).then_some(account.owner)
}

/// Closes an empty token account; its lamports go to its owner, who signs.
#[must_use]
pub fn close_account(account: &Address, owner: &Address, token_program: &Address) -> Instruction {
    // Both token programs number the instruction alike.
    const CLOSE_ACCOUNT: u8 = 9;
    Instruction {
        program_id: *token_program,
        accounts: vec![
            AccountMeta::new(*account, false),
            AccountMeta::new(*owner, false),
            AccountMeta::new_readonly(*owner, true),
        ],
        data: vec![CLOSE_ACCOUNT],
    }
}

/// Lets an account of wrapped SOL count the lamports that were sent to it.
#[must_use]
pub fn sync_native(account: &Address) -> Instruction {
    const SYNC_NATIVE: u8 = 17;
    Instruction {
        program_id: TOKEN_PROGRAM_ID,
        accounts: vec![AccountMeta::new(*account, false)],
        data: vec![SYNC_NATIVE],
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn accounts_are_where_the_published_derivation_has_them() {
        use spl_associated_token_account_interface::address::get_associated_token_address_with_program_id;
        let [wallet, mint] = [1, 2].map(|byte| Address::new_from_array([byte; 32]));
        for program in [TOKEN_PROGRAM_ID, TOKEN_2022_PROGRAM_ID] {
            let expected = get_associated_token_address_with_program_id(&wallet, &mint, &program);
            assert_eq!(associated_token_account(&wallet, &mint, &program), expected);
        }
    }

    #[test]
    fn closing_and_counting_are_spl_tokens() {
        let key = |byte| Address::new_from_array([byte; 32]);
        let expected = spl_token_interface::instruction::close_account(
            &TOKEN_PROGRAM_ID,
            &key(1),
            &key(2),
            &key(2),
            &[],
        )
        .unwrap();
        assert_eq!(close_account(&key(1), &key(2), &TOKEN_PROGRAM_ID), expected);
        let expected = spl_token_interface::instruction::sync_native(&TOKEN_PROGRAM_ID, &key(1));
        assert_eq!(sync_native(&key(1)), expected.unwrap());
    }
}
