//! Reads the instructions sysvar in place and proves that this instruction runs
//! inside a klend flash loan.
//!
//! Layout of the sysvar's data, all integers little-endian:
//!
//! ```text
//! u16 n │ n × u16 offset │ instructions … │ u16 index of the running instruction
//! instruction at offset: u16 m │ m × (u8 flags, 32 key) │ 32 program │ u16 len │ len data
//! ```
//!
//! Nothing is allocated, nothing loops over instructions, and every read checks
//! its length first.

use anchor_lang::{
    prelude::*,
    solana_program::instruction::{TRANSACTION_LEVEL_STACK_HEIGHT, get_stack_height},
};

use crate::{
    checks::{fail, require, require_equal},
    entrypoint,
    errors::{FlashLiquidatorError, Result},
    klend::{self, flash_account},
};

const KEY_LEN: usize = 32;
/// One account in the sysvar: a byte of flags, then the key.
const META_LEN: usize = 1 + KEY_LEN;

/// One top-level instruction of the running transaction, borrowed from the sysvar.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct InstructionView<'a> {
    /// Program the instruction calls.
    pub program_id: &'a [u8; KEY_LEN],
    /// Instruction data, discriminator included.
    pub data: &'a [u8],
    /// Account metas, [`META_LEN`] bytes each.
    metas: &'a [u8],
}

impl<'a> InstructionView<'a> {
    /// How many accounts the instruction lists, duplicates counted.
    pub fn account_count(&self) -> usize {
        self.metas.len() / META_LEN
    }

    /// Key of the account at `position` in the instruction's list.
    pub fn account(&self, position: usize) -> Option<&'a [u8; KEY_LEN]> {
        let start = position.checked_mul(META_LEN)?.checked_add(1)?;
        self.metas.get(start..)?.first_chunk()
    }
}

fn u16_at(bytes: &[u8], offset: usize) -> Option<u16> {
    bytes.get(offset..)?.first_chunk().copied().map(u16::from_le_bytes)
}

/// Index of the top-level instruction that is running, from the sysvar's data.
pub fn current_index(sysvar: &[u8]) -> Option<u16> {
    sysvar.last_chunk().copied().map(u16::from_le_bytes)
}

/// The top-level instruction at `index`, or `None` when the sysvar has none
/// there or its bytes end too early.
#[expect(clippy::arithmetic_side_effects, reason = "16-bit numbers in a usize")]
pub fn instruction_at(sysvar: &[u8], index: u16) -> Option<InstructionView<'_>> {
    if index >= u16_at(sysvar, 0)? {
        return None;
    }
    let start = usize::from(u16_at(sysvar, 2 + 2 * usize::from(index))?);
    let metas_len = usize::from(u16_at(sysvar, start)?) * META_LEN;
    let rest = sysvar.get(start + 2..)?;
    let (metas, rest) = rest.split_at_checked(metas_len)?;
    let (program_id, rest) = rest.split_first_chunk()?;
    let (data_len, rest) = rest.split_first_chunk()?;
    let data = rest.get(..usize::from(u16::from_le_bytes(*data_len)))?;
    Some(InstructionView { program_id, data, metas })
}

/// What the flash loan around this instruction must be made of.
pub struct ExpectedLoan<'a> {
    /// Signer of both halves.
    pub keeper: &'a Pubkey,
    /// Reserve that lends.
    pub flash_reserve: &'a Pubkey,
    /// Mint of the loan.
    pub mint: &'a Pubkey,
    /// Token account the loan arrives in and is repaid from.
    pub token_account: &'a Pubkey,
}

/// Fails when another program called this one.
///
/// # Errors
/// `NotTopLevel`.
pub fn verify_top_level() -> Result<()> {
    require(get_stack_height() == TRANSACTION_LEVEL_STACK_HEIGHT, FlashLiquidatorError::NotTopLevel)
}

/// Proves that the running instruction is a top-level one between klend's
/// `flash_borrow` at `borrow_index` and the `flash_repay` at `repay_index`, and
/// that the loan is the expected one. Returns the principal in token units.
///
/// klend itself enforces that both halves are top level, that they match and
/// that principal and fee come back. That the two indices really name those
/// halves, and that this instruction stands between them, only this function
/// proves.
///
/// # Errors
/// `NotTopLevel`, `InstructionsSysvarMalformed`, `FlashBorrowNotBefore`,
/// `FlashRepayNotAfter`, `FlashBorrowInvalid`, `FlashRepayInvalid`,
/// `FlashLoanWrongKeeper`, `FlashLoanWrongReserve`, `FlashLoanWrongMint`,
/// `FlashLoanWrongTokenAccount`.
pub fn verify_flash_loan(
    sysvar: &[u8],
    borrow_index: u8,
    repay_index: u8,
    expected: &ExpectedLoan,
) -> Result<u64> {
    verify_top_level()?;
    verify_flash_pair(sysvar, borrow_index, repay_index, expected)
}

/// The part of [`verify_flash_loan`] that depends on the sysvar's bytes alone.
pub fn verify_flash_pair(
    sysvar: &[u8],
    borrow_index: u8,
    repay_index: u8,
    expected: &ExpectedLoan,
) -> Result<u64> {
    let (borrow_index, repay_index) = (u16::from(borrow_index), u16::from(repay_index));
    let current = current_index(sysvar)
        .ok_or_else(|| fail(FlashLiquidatorError::InstructionsSysvarMalformed))?;
    require(borrow_index < current, FlashLiquidatorError::FlashBorrowNotBefore)?;
    require(current < repay_index, FlashLiquidatorError::FlashRepayNotAfter)?;

    let borrow = instruction_at(sysvar, borrow_index)
        .ok_or_else(|| fail(FlashLiquidatorError::FlashBorrowInvalid))?;
    let repay = instruction_at(sysvar, repay_index)
        .ok_or_else(|| fail(FlashLiquidatorError::FlashRepayInvalid))?;

    let principal = flash_borrow_principal(&borrow)
        .ok_or_else(|| fail(FlashLiquidatorError::FlashBorrowInvalid))?;
    require(
        repays(&repay, &borrow, principal, borrow_index),
        FlashLiquidatorError::FlashRepayInvalid,
    )?;

    let is = |position, key: &Pubkey| borrow.account(position) == Some(key.as_array());
    require(
        is(flash_account::USER_TRANSFER_AUTHORITY, expected.keeper),
        FlashLiquidatorError::FlashLoanWrongKeeper,
    )?;
    require(
        is(flash_account::RESERVE, expected.flash_reserve),
        FlashLiquidatorError::FlashLoanWrongReserve,
    )?;
    require(
        is(flash_account::LIQUIDITY_MINT, expected.mint),
        FlashLiquidatorError::FlashLoanWrongMint,
    )?;
    require(
        is(flash_account::USER_LIQUIDITY, expected.token_account),
        FlashLiquidatorError::FlashLoanWrongTokenAccount,
    )?;
    Ok(principal)
}

/// Principal of a klend `flash_borrow_reserve_liquidity`, or `None` when the
/// instruction is anything else.
fn flash_borrow_principal(instruction: &InstructionView) -> Option<u64> {
    let (discriminator, amount) = instruction.data.split_first_chunk::<8>()?;
    let is_flash_borrow = instruction.program_id == klend::PROGRAM_ID.as_array()
        && *discriminator == klend::FLASH_BORROW_DISCRIMINATOR
        && instruction.account_count() >= flash_account::COUNT;
    let amount: [u8; 8] = amount.try_into().ok()?;
    is_flash_borrow.then_some(u64::from_le_bytes(amount))
}

/// Whether `instruction` is the klend flash repay of `borrow`: same principal,
/// same index, and the same accounts in the same order.
fn repays(
    instruction: &InstructionView,
    borrow: &InstructionView,
    principal: u64,
    borrow_index: u16,
) -> bool {
    let Some((discriminator, args)) = instruction.data.split_first_chunk::<8>() else {
        return false;
    };
    let Some((amount, index)) = args.split_first_chunk::<8>() else {
        return false;
    };
    instruction.program_id == klend::PROGRAM_ID.as_array()
        && *discriminator == klend::FLASH_REPAY_DISCRIMINATOR
        && u64::from_le_bytes(*amount) == principal
        && matches!(index, [index] if u16::from(*index) == borrow_index)
        // The flags are the transaction's, hence equal wherever the keys are.
        && instruction.metas == borrow.metas
}

/// Proves that the running `open` stands right behind the flash borrow, that it is
/// ended by this program's `settle` at `settle_index`, before the flash repay, with the
/// same accounts, and that of this program only `liquidate` stands between here and the
/// repay otherwise.
///
/// # Errors
/// `OpenNotAfterBorrow`, `SettleNotFound`, `BracketNested`, `InstructionsSysvarMalformed`.
#[expect(clippy::arithmetic_side_effects, reason = "indexes below a count of the same type")]
pub fn verify_bracket(
    sysvar: &[u8],
    borrow_index: u8,
    settle_index: u8,
    repay_index: u8,
) -> Result<()> {
    let malformed = || fail(FlashLiquidatorError::InstructionsSysvarMalformed);
    let current = current_index(sysvar).ok_or_else(malformed)?;
    require_equal(
        current.into(),
        u64::from(borrow_index) + 1,
        FlashLiquidatorError::OpenNotAfterBorrow,
    )?;
    let settle_index = u16::from(settle_index);
    let open = instruction_at(sysvar, current).ok_or_else(malformed)?;
    let mut found = false;
    for index in current + 1..u16::from(repay_index) {
        let instruction = instruction_at(sysvar, index).ok_or_else(malformed)?;
        if instruction.program_id != crate::ID.as_array() {
            continue;
        }
        let is_settle = instruction.data == entrypoint::SETTLE;
        if index == settle_index && is_settle {
            require(instruction.metas == open.metas, FlashLiquidatorError::SettleNotFound)?;
            found = true;
            continue;
        }
        require(
            instruction.data.starts_with(&entrypoint::LIQUIDATE),
            FlashLiquidatorError::BracketNested,
        )?;
    }
    require(found, FlashLiquidatorError::SettleNotFound)?;
    Ok(())
}
