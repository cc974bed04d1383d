//! `update_reserve_config(mode: u8, value: Vec<u8>, skip_validation: bool)`, of which
//! only the mode that sets the fee of flash loans is here, and only with validation.
//!
//! Accounts: 0 global admin (signer), 1 global configuration, 2 market, 3 reserve
//! (writable), 4 instructions sysvar (since 1.25).

use solana_program::account_info::AccountInfo;

use super::refresh_reserve;
use crate::{
    accounts::*,
    error::{AnchorError, KlendError, Result, require},
    state::{self, GlobalConfig, LendingMarket, Reserve},
};

/// Position of `UpdateFeesFlashLoanFee` among the modes.
const FLASH_LOAN_FEE: u8 = 6;
/// One in the units of the fee.
const ONE: u64 = 1 << 60;

pub fn process(accounts: &[AccountInfo], args: &[u8]) -> Result<()> {
    let mode = read_u8(args, 0)?;
    let value = args
        .get(1..)
        .and_then(|tail| tail.split_first_chunk())
        .and_then(|(len, tail)| tail.get(..u32::from_le_bytes(*len) as usize))
        .ok_or(AnchorError::InstructionDidNotDeserialize)?;
    let skips_validation = read_bool(args, 5 + value.len())?;
    let ([admin, global_config, market, reserve, instructions], _) = split::<5>(accounts)?;
    require_signer(admin)?;
    state::check_layout::<GlobalConfig>(global_config)?;
    state::check_layout::<LendingMarket>(market)?;
    state::check_layout::<Reserve>(reserve)?;
    require(
        mode == FLASH_LOAN_FEE
            && *admin.key == state::load::<GlobalConfig>(global_config)?.global_admin,
        KlendError::InvalidSigner,
    )?;
    require_global_config(global_config)?;
    require_mut(reserve)?;
    require_has_one(&state::load::<Reserve>(reserve)?.lending_market, market)?;
    require_instructions_sysvar(instructions)?;

    refresh_reserve::refresh(reserve, market, None)?;
    let fee = read_u64(value, 0)?;
    require(value.len() == size_of::<u64>(), AnchorError::InstructionDidNotDeserialize)?;
    require(fee <= ONE || fee == u64::MAX, KlendError::InvalidConfig)?;
    require(!skips_validation, KlendError::InvalidConfig)?;
    state::load_mut::<Reserve>(reserve)?.config.flash_loan_fee_sf = fee;
    Ok(())
}
