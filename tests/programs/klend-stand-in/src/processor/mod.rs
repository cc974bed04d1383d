//! Instructions, one file each.

mod borrow_obligation_liquidity;
mod deposit_obligation_collateral;
mod deposit_reserve_liquidity;
mod deposit_reserve_liquidity_and_obligation_collateral;
mod flash_borrow_reserve_liquidity;
mod flash_repay_reserve_liquidity;
mod init_obligation;
mod init_obligation_farms_for_reserve;
mod init_referrer_token_state;
mod init_user_metadata;
mod liquidate;
mod redeem_reserve_collateral;
mod refresh_obligation;
mod refresh_obligation_farms_for_reserve;
mod refresh_reserve;
mod refresh_reserves_batch;
mod request_elevation_group;
mod update_reserve_config;

use solana_program::{account_info::AccountInfo, pubkey::Pubkey};

use crate::{
    discriminator as ix,
    error::{AnchorError, Result},
};

/// Runs the instruction that the data's discriminator names. 100 without a
/// discriminator, 101 for one of no instruction.
pub fn process(_program_id: &Pubkey, accounts: &[AccountInfo], data: &[u8]) -> Result<()> {
    let (kind, args) =
        data.split_first_chunk::<{ ix::LEN }>().ok_or(AnchorError::InstructionMissing)?;
    match *kind {
        ix::INIT_USER_METADATA => init_user_metadata::process(accounts, args),
        ix::INIT_OBLIGATION => init_obligation::process(accounts, args),
        ix::INIT_OBLIGATION_FARMS_FOR_RESERVE => {
            init_obligation_farms_for_reserve::process(accounts, args)
        }
        ix::INIT_REFERRER_TOKEN_STATE => init_referrer_token_state::process(accounts),
        ix::REQUEST_ELEVATION_GROUP => request_elevation_group::process(accounts, args),
        ix::DEPOSIT_RESERVE_LIQUIDITY => deposit_reserve_liquidity::process(accounts, args),
        ix::DEPOSIT_OBLIGATION_COLLATERAL_V2 => {
            deposit_obligation_collateral::process(accounts, args)
        }
        ix::DEPOSIT_RESERVE_LIQUIDITY_AND_OBLIGATION_COLLATERAL_V2 => {
            deposit_reserve_liquidity_and_obligation_collateral::process(accounts, args)
        }
        ix::REDEEM_RESERVE_COLLATERAL => redeem_reserve_collateral::process(accounts, args),
        ix::BORROW_OBLIGATION_LIQUIDITY_V2 => borrow_obligation_liquidity::process(accounts, args),
        ix::REFRESH_RESERVE => refresh_reserve::process(accounts),
        ix::REFRESH_RESERVES_BATCH => refresh_reserves_batch::process(accounts, args),
        ix::REFRESH_OBLIGATION => refresh_obligation::process(accounts),
        ix::REFRESH_OBLIGATION_FARMS_FOR_RESERVE => {
            refresh_obligation_farms_for_reserve::process(accounts, args)
        }
        ix::FLASH_BORROW_RESERVE_LIQUIDITY => {
            flash_borrow_reserve_liquidity::process(accounts, args)
        }
        ix::FLASH_REPAY_RESERVE_LIQUIDITY => flash_repay_reserve_liquidity::process(accounts, args),
        ix::LIQUIDATE_OBLIGATION_AND_REDEEM_RESERVE_COLLATERAL => {
            liquidate::process_v1(accounts, args)
        }
        ix::LIQUIDATE_OBLIGATION_AND_REDEEM_RESERVE_COLLATERAL_V2 => {
            liquidate::process_v2(accounts, args)
        }
        ix::UPDATE_RESERVE_CONFIG => update_reserve_config::process(accounts, args),
        _ => Err(AnchorError::InstructionFallbackNotFound.into()),
    }
}
