//! The program's reader of the instructions sysvar, against the standard one.

use anchor_lang::prelude::AccountInfo;
use flash_liquidator::introspection::{
    ExpectedLoan, current_index, instruction_at, verify_bracket, verify_flash_pair,
};
use solana_address::Address;
use solana_instruction::Instruction;
use solana_instructions_sysvar::{ID as SYSVAR_ID, load_instruction_at_checked};

/// The first four bytes are indexes, the others the sysvar's data.
pub fn run(bytes: &[u8]) {
    let Some((&[low, high, borrow, repay], data)) = bytes.split_first_chunk() else { return };
    let mut data = data.to_vec();
    assert_agreement(&mut data, u16::from_le_bytes([low, high]));
    assert_agreement(&mut data, u16::from(borrow));
    assert_eq!(current_index(&data).is_some(), data.len() >= 2);
    let key = Address::default();
    let expected =
        ExpectedLoan { keeper: &key, flash_reserve: &key, mint: &key, token_account: &key };
    // Whatever they say: they end by themselves.
    let _ = verify_flash_pair(&data, borrow, repay, &expected);
    let _ = verify_bracket(&data, borrow, repay, repay);
}

/// What the standard parser makes of the bytes.
fn standard(data: &mut [u8], index: u16) -> Option<Instruction> {
    let (mut lamports, owner) = (0, Address::default());
    let account = AccountInfo::new(&SYSVAR_ID, false, false, &mut lamports, data, &owner, false);
    load_instruction_at_checked(usize::from(index), &account).ok()
}

/// Fails unless both parsers find the same instruction, or none.
///
/// # Panics
/// When they do not.
pub fn assert_agreement(data: &mut [u8], index: u16) {
    let expected = standard(data, index);
    let actual = instruction_at(data, index);
    assert_eq!(actual.is_some(), expected.is_some(), "instruction {index} of {data:02x?}");
    let (Some(actual), Some(expected)) = (actual, expected) else { return };
    assert_eq!(*actual.program_id, expected.program_id.to_bytes());
    assert_eq!(actual.data, expected.data);
    assert_eq!(actual.account_count(), expected.accounts.len());
    for (position, meta) in expected.accounts.iter().enumerate() {
        assert_eq!(actual.account(position), Some(&meta.pubkey.to_bytes()));
    }
    assert_eq!(actual.account(expected.accounts.len()), None);
    assert_eq!(actual.account(usize::MAX), None);
}
