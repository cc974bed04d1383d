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
    instructions::{BracketAccounts, Liquidate, LiquidateArgs, OpenArgs, Sweep},
    reader::Reader,
};

/// First bytes of the data of `liquidate`.
pub const LIQUIDATE: [u8; 8] = [223, 179, 226, 125, 48, 46, 39, 74];
/// First bytes of the data of `open`.
pub const OPEN: [u8; 8] = [228, 220, 155, 71, 199, 189, 60, 45];
/// First bytes of the data of `settle`, and all there are.
pub const SETTLE: [u8; 8] = [175, 42, 185, 87, 144, 131, 102, 212];

/// First bytes of the data of `sweep`.
pub const SWEEP: [u8; 8] = [40, 23, 234, 175, 14, 61, 154, 177];

/// The symbol that the runtime calls. What Solana's `entrypoint!` defines, but for the
/// list of accounts: it is written in place and never dropped, which saves `liquidate`
/// a seventh of its compute units. `entrypoint_no_alloc!` saves them too, but fails
/// above 64 accounts, and those of a long route are more, counted as often as they occur.
#[cfg(all(target_os = "solana", not(feature = "no-entrypoint")))]
mod runtime {
    #![allow(unsafe_code)]

    use core::mem::MaybeUninit;

    use anchor_lang::{
        prelude::AccountInfo,
        solana_program::entrypoint::{
            SUCCESS, custom_heap_default, custom_panic_default, deserialize_into,
        },
    };

    /// # Safety
    /// `input` is what the runtime hands a program: the number of accounts, the accounts,
    /// the data, the program id.
    #[unsafe(no_mangle)]
    pub unsafe extern "C" fn entrypoint(input: *mut u8) -> u64 {
        // SAFETY: the input is aligned and begins with the number of accounts, at most 255.
        let count = unsafe { input.cast::<u64>().read() } as usize;
        let accounts: &mut [MaybeUninit<AccountInfo>] = Box::leak(Box::new_uninit_slice(count));
        // SAFETY: the input is the runtime's. It lives as long as the program runs, and so
        // do the accounts, which are leaked.
        let (program_id, _, data) = unsafe { deserialize_into(input, accounts) };
        // SAFETY: `deserialize_into` has written as many accounts as the input holds, which
        // is how many there is room for. `MaybeUninit` changes no layout.
        let accounts = unsafe { &*(core::ptr::from_ref(accounts) as *const [AccountInfo]) };
        match super::process_instruction(program_id, accounts, data) {
            Ok(()) => SUCCESS,
            Err(error) => error.into(),
        }
    }

    custom_heap_default!();
    custom_panic_default!();
}

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
            Liquidate::take(&mut list)?.process(args, list)
        }
        Some((&OPEN, args)) => {
            sol_log("Instruction: Open");
            let args = read(args, OpenArgs::read)?;
            let mut list = AccountList::new(accounts);
            BracketAccounts::take(&mut list)?.open(args, list)
        }
        Some((&SETTLE, args)) => {
            sol_log("Instruction: Settle");
            read(args, |_| Some(()))?;
            let mut list = AccountList::new(accounts);
            BracketAccounts::take(&mut list)?.settle(list)
        }
        Some((&SWEEP, args)) => {
            sol_log("Instruction: Sweep");
            let swap_authority_bump = read(args, |reader| reader.u8())?;
            let mut list = AccountList::new(accounts);
            Sweep::take(&mut list)?.process(swap_authority_bump, list)
        }
        _ => Err(fail_interface(InterfaceError::InstructionFallbackNotFound, None)),
    }
}

fn read<T>(args: &[u8], read: impl FnOnce(&mut Reader) -> Option<T>) -> Result<T> {
    Reader::read_all(args, read)
        .ok_or_else(|| fail_interface(InterfaceError::InstructionDidNotDeserialize, None))
}
