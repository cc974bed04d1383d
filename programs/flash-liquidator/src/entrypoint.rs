//! Where execution begins on chain: which instruction it is, its arguments, its
//! accounts.
//!
//! Anchor's own dispatcher does the same and formats errors on top, which takes more
//! space than the rest of this program. It is made for the host alone, where clients
//! and the IDL come from it (see [`crate::flash_liquidator`]); `tests/interface.rs`
//! holds the two together.

use anchor_lang::{prelude::*, solana_program::log::sol_log};

use crate::{
    account_list::AccountList,
    checks::fail_interface,
    errors::{InterfaceError, Result},
    instructions::{BracketAccounts, Liquidate, LiquidateArgs, OpenArgs},
    reader::Reader,
};

/// First bytes of the data of `liquidate`.
pub const LIQUIDATE: [u8; 8] = [223, 179, 226, 125, 48, 46, 39, 74];
/// First bytes of the data of `open`.
pub const OPEN: [u8; 8] = [228, 220, 155, 71, 199, 189, 60, 45];
/// First bytes of the data of `settle`, and all there are.
pub const SETTLE: [u8; 8] = [175, 42, 185, 87, 144, 131, 102, 212];

#[cfg(all(target_os = "solana", not(feature = "no-entrypoint")))]
anchor_lang::solana_program::entrypoint!(process_instruction);

/// Runs the instruction that `data` holds.
///
/// # Errors
/// Those of the instruction, and of [`InterfaceError`].
pub fn process_instruction<'info>(
    program_id: &Pubkey,
    accounts: &'info [AccountInfo<'info>],
    data: &[u8],
) -> Result<()> {
    if *program_id != crate::ID {
        return Err(fail_interface(InterfaceError::DeclaredProgramIdMismatch, None));
    }
    match data.split_first_chunk() {
        Some((&LIQUIDATE, args)) => {
            sol_log("Instruction: Liquidate");
            let args = read(args, LiquidateArgs::read)?;
            let mut list = AccountList::new(accounts);
            Liquidate::take(&mut list)?.process(args, accounts, list.remaining())
        }
        Some((&OPEN, args)) => {
            sol_log("Instruction: Open");
            let args = read(args, OpenArgs::read)?;
            let mut list = AccountList::new(accounts);
            BracketAccounts::take(&mut list)?.open(args, list.remaining())
        }
        Some((&SETTLE, args)) => {
            sol_log("Instruction: Settle");
            read(args, |_| Some(()))?;
            let mut list = AccountList::new(accounts);
            BracketAccounts::take(&mut list)?.settle(list.remaining())
        }
        _ => Err(fail_interface(InterfaceError::InstructionFallbackNotFound, None)),
    }
}

fn read<T>(args: &[u8], read: impl FnOnce(&mut Reader) -> Option<T>) -> Result<T> {
    Reader::read_all(args, read)
        .ok_or_else(|| fail_interface(InterfaceError::InstructionDidNotDeserialize, None))
}
