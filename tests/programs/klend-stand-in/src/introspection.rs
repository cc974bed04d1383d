//! What an instruction may demand of its neighbours in the transaction.

use solana_program::{
    account_info::AccountInfo,
    instruction::{Instruction, TRANSACTION_LEVEL_STACK_HEIGHT, get_stack_height},
    program_error::ProgramError,
    pubkey::Pubkey,
    sysvar::instructions::{load_current_index_checked, load_instruction_at_checked},
};

use crate::{
    accounts::read_u64,
    discriminator,
    error::{AnchorError, KlendError, Result, require},
    farms::FarmKind,
    state::{self, Reserve},
};

/// Data of a flash repayment: discriminator, amount, index of the borrow.
const FLASH_REPAY_DATA_LEN: usize = 17;

/// Whether this call is a CPI: the transaction's instruction is another
/// program's, or the call is below the top level.
pub fn is_cpi(instructions: &AccountInfo) -> Result<bool> {
    let current = usize::from(load_current_index_checked(instructions)?);
    let top_level = load_instruction_at_checked(current, instructions)?;
    Ok(top_level.program_id != crate::ID || get_stack_height() > TRANSACTION_LEVEL_STACK_HEIGHT)
}

/// Requires that exactly one repayment follows that matches this borrow in
/// amount, index and every account.
///
/// # Errors
/// 6031 in a CPI, 6035 for a second borrow or repayment after this one, 6033
/// when the repayment does not match, 6032 when there is none, a borsh error
/// when its data is not exactly as long as its arguments.
pub fn require_flash_repay(instructions: &AccountInfo, amount: u64) -> Result<()> {
    require(!is_cpi(instructions)?, KlendError::FlashBorrowCpi)?;
    let current = usize::from(load_current_index_checked(instructions)?);
    let borrow = load_instruction_at_checked(current, instructions)?;
    let mut repay_found = false;
    for index in current + 1.. {
        let Ok(instruction) = load_instruction_at_checked(index, instructions) else {
            break;
        };
        if instruction.program_id != crate::ID {
            continue;
        }
        let kind = &instruction.data[..discriminator::LEN];
        if kind == discriminator::FLASH_BORROW_RESERVE_LIQUIDITY {
            return Err(KlendError::MultipleFlashBorrows.into());
        }
        if kind == discriminator::FLASH_REPAY_RESERVE_LIQUIDITY {
            require(!repay_found, KlendError::MultipleFlashBorrows)?;
            require(instruction.data.len() == FLASH_REPAY_DATA_LEN, ProgramError::BorshIoError)?;
            require(repays(&instruction, &borrow, current, amount), KlendError::InvalidFlashRepay)?;
            repay_found = true;
        }
    }
    require(repay_found, KlendError::NoFlashRepayFound)
}

/// Whether `repay`, whose data is complete, returns the loan of `amount` that
/// `borrow` at `index` took.
/// Account flags do not matter, trailing accounts do.
fn repays(repay: &Instruction, borrow: &Instruction, index: usize, amount: u64) -> bool {
    let same_accounts = repay.accounts.len() == borrow.accounts.len()
        && (repay.accounts.iter().zip(&borrow.accounts)).all(|(a, b)| a.pubkey == b.pubkey);
    repay.data[8..16] == amount.to_le_bytes()
        && usize::from(repay.data[16]) == index
        && same_accounts
}

/// Requires that the instruction at `borrow_index` lent `amount` out of this
/// reserve.
///
/// # Errors
/// 6034 in a CPI, 6033 when that instruction is anything else.
pub fn require_flash_borrow(
    instructions: &AccountInfo,
    borrow_index: u8,
    reserve: &AccountInfo,
    amount: u64,
) -> Result<()> {
    require(!is_cpi(instructions)?, KlendError::FlashRepayCpi)?;
    let current = usize::from(load_current_index_checked(instructions)?);
    let borrow_index = usize::from(borrow_index);
    require(borrow_index <= current, KlendError::InvalidFlashRepay)?;
    let borrow = load_instruction_at_checked(borrow_index, instructions)?;
    let matches = borrow.program_id == crate::ID
        && borrow.data.get(..discriminator::LEN)
            == Some(&discriminator::FLASH_BORROW_RESERVE_LIQUIDITY[..])
        && borrow.accounts.get(3).is_some_and(|meta| meta.pubkey == *reserve.key)
        && read_u64(&borrow.data, discriminator::LEN).is_ok_and(|borrowed| borrowed == amount);
    require(matches, KlendError::InvalidFlashRepay)
}

/// What the first liquidation instruction demands around itself.
pub struct Refreshes<'a, 'info> {
    pub obligation: &'a AccountInfo<'info>,
    pub collateral_reserve: &'a AccountInfo<'info>,
    pub debt_reserve: &'a AccountInfo<'info>,
}

/// One demanded neighbour: its discriminator, the keys that it must have at
/// some positions. klend does not look at the other arguments.
struct Neighbour {
    kind: [u8; discriminator::LEN],
    keys: Vec<(usize, Pubkey)>,
}

/// Requires the refreshes directly before and after this instruction.
///
/// # Errors
/// 6080 in a CPI, 6051 when a neighbour is missing or another instruction,
/// 2502 when it is another program's or concerns other accounts.
pub fn require_refreshes(instructions: &AccountInfo, refreshes: &Refreshes) -> Result<()> {
    require(!is_cpi(instructions)?, KlendError::CpiDisabled)?;
    let current = usize::from(load_current_index_checked(instructions)?);
    let after = farm_refreshes(refreshes)?;
    let mut before = vec![refresh_of(refreshes.collateral_reserve)];
    if refreshes.collateral_reserve.key != refreshes.debt_reserve.key {
        before.push(refresh_of(refreshes.debt_reserve));
    }
    before.push(Neighbour {
        kind: discriminator::REFRESH_OBLIGATION,
        keys: vec![(1, *refreshes.obligation.key)],
    });
    before.extend(farm_refreshes(refreshes)?);
    // klend panics where there are fewer instructions in front.
    let first = current.checked_sub(before.len()).expect("instructions in front");
    for (index, neighbour) in (first..).zip(&before) {
        neighbour.require_at(index, instructions)?;
    }
    for (index, neighbour) in (current + 1..).zip(&after) {
        neighbour.require_at(index, instructions)?;
    }
    Ok(())
}

fn refresh_of(reserve: &AccountInfo) -> Neighbour {
    Neighbour { kind: discriminator::REFRESH_RESERVE, keys: vec![(0, *reserve.key)] }
}

/// Refreshes of the farms that the two reserves have.
fn farm_refreshes(refreshes: &Refreshes) -> Result<Vec<Neighbour>> {
    let mut neighbours = Vec::new();
    for (kind, reserve) in [
        (FarmKind::Collateral, refreshes.collateral_reserve),
        (FarmKind::Debt, refreshes.debt_reserve),
    ] {
        if kind.farm(&*state::load::<Reserve>(reserve)?).is_some() {
            neighbours.push(Neighbour {
                kind: discriminator::REFRESH_OBLIGATION_FARMS_FOR_RESERVE,
                keys: vec![(1, *refreshes.obligation.key), (3, *reserve.key)],
            });
        }
    }
    Ok(neighbours)
}

impl Neighbour {
    fn require_at(&self, index: usize, instructions: &AccountInfo) -> Result<()> {
        let instruction = load_instruction_at_checked(index, instructions)
            .map_err(|_| KlendError::IncorrectInstructionInPosition)?;
        let is_kind = instruction.data.get(..discriminator::LEN) == Some(&self.kind[..]);
        require(is_kind, KlendError::IncorrectInstructionInPosition)?;
        require(instruction.program_id == crate::ID, AnchorError::RequireKeysEqViolated)?;
        for (position, key) in &self.keys {
            let matches =
                (instruction.accounts.get(*position)).is_some_and(|account| account.pubkey == *key);
            require(matches, AnchorError::RequireKeysEqViolated)?;
        }
        Ok(())
    }
}
