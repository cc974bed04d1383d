//! Every klend number the program spells, held against the crate that klend's
//! own developers publish.

use std::mem::offset_of;

use anchor_lang::prelude::Pubkey;
use flash_liquidator::klend;
use klend_interface::{
    discriminators, instructions as builders,
    state::{LendingMarket, PermissionedOp, Reserve, SplDiscriminate},
};
use solana_instruction_v2::Instruction;
use solana_pubkey_v2::Pubkey as PubkeyV2;

/// A different key for every number.
fn key(number: u8) -> PubkeyV2 {
    PubkeyV2::new_from_array([number; 32])
}

fn same(ours: Pubkey, theirs: PubkeyV2) {
    assert_eq!(ours.to_bytes(), theirs.to_bytes());
}

#[test]
fn program_ids() {
    let mainnet = klend_interface::KLEND_PROGRAM_ID;
    let staging = klend_interface::KLEND_STAGING_PROGRAM_ID;
    same(klend::PROGRAM_ID, if cfg!(feature = "staging") { staging } else { mainnet });
    same(klend::FARMS_PROGRAM_ID, klend_interface::FARMS_PROGRAM_ID);
}

#[test]
fn instruction_discriminators() {
    assert_eq!(klend::FLASH_BORROW_DISCRIMINATOR, discriminators::FLASH_BORROW_RESERVE_LIQUIDITY);
    assert_eq!(klend::FLASH_REPAY_DISCRIMINATOR, discriminators::FLASH_REPAY_RESERVE_LIQUIDITY);
    assert_eq!(
        klend::LIQUIDATE_V2_DISCRIMINATOR,
        discriminators::LIQUIDATE_OBLIGATION_AND_REDEEM_RESERVE_COLLATERAL_V2
    );
}

fn flash_borrow() -> Instruction {
    builders::flash_borrow_reserve_liquidity(
        builders::FlashBorrowReserveLiquidityAccounts {
            user_transfer_authority: key(1),
            lending_market_authority: key(2),
            lending_market: key(3),
            reserve: key(4),
            reserve_liquidity_mint: key(5),
            reserve_source_liquidity: key(6),
            user_destination_liquidity: key(7),
            reserve_liquidity_fee_receiver: key(8),
            referrer_token_state: None,
            referrer_account: None,
            token_program: key(9),
        },
        77,
    )
}

fn flash_repay() -> Instruction {
    builders::flash_repay_reserve_liquidity(
        builders::FlashRepayReserveLiquidityAccounts {
            user_transfer_authority: key(1),
            lending_market_authority: key(2),
            lending_market: key(3),
            reserve: key(4),
            reserve_liquidity_mint: key(5),
            reserve_destination_liquidity: key(6),
            user_source_liquidity: key(7),
            reserve_liquidity_fee_receiver: key(8),
            referrer_token_state: None,
            referrer_account: None,
            token_program: key(9),
        },
        77,
        2,
    )
}

#[test]
fn flash_pair() {
    use klend::flash_account::{
        COUNT, LIQUIDITY_MINT, RESERVE, USER_LIQUIDITY, USER_TRANSFER_AUTHORITY,
    };
    for instruction in [flash_borrow(), flash_repay()] {
        let account = |position: usize| instruction.accounts[position].pubkey;
        assert_eq!(instruction.accounts.len(), COUNT);
        assert_eq!(account(USER_TRANSFER_AUTHORITY), key(1));
        assert_eq!(account(RESERVE), key(4));
        assert_eq!(account(LIQUIDITY_MINT), key(5));
        assert_eq!(account(USER_LIQUIDITY), key(7));
    }
    assert_eq!(flash_borrow().data.len(), 16);
    assert_eq!(flash_repay().data.len(), 17);
    assert_eq!(flash_borrow().data[8..], 77u64.to_le_bytes());
    assert_eq!(flash_repay().data[8..16], 77u64.to_le_bytes());
    assert_eq!(flash_repay().data[16], 2);
}

#[test]
fn liquidate_v2_accounts() {
    let instruction = builders::liquidate_obligation_and_redeem_reserve_collateral_v2(
        builders::LiquidateObligationAndRedeemReserveCollateralV2Accounts {
            liquidator: key(0),
            obligation: key(1),
            lending_market: key(2),
            lending_market_authority: key(3),
            repay_reserve: key(4),
            repay_reserve_liquidity_mint: key(5),
            repay_reserve_liquidity_supply: key(6),
            withdraw_reserve: key(7),
            withdraw_reserve_liquidity_mint: key(8),
            withdraw_reserve_collateral_mint: key(9),
            withdraw_reserve_collateral_supply: key(10),
            withdraw_reserve_liquidity_supply: key(11),
            withdraw_reserve_liquidity_fee_receiver: key(12),
            user_source_liquidity: key(13),
            user_destination_collateral: key(14),
            user_destination_liquidity: key(15),
            repay_liquidity_token_program: key(17),
            withdraw_liquidity_token_program: key(18),
            collateral_obligation_farm_user_state: Some(key(20)),
            collateral_reserve_farm_state: Some(key(21)),
            debt_obligation_farm_user_state: Some(key(22)),
            debt_reserve_farm_state: Some(key(23)),
        },
        1,
        2,
        3,
        vec![],
    );
    assert_eq!(instruction.accounts.len(), klend::LIQUIDATE_V2_ACCOUNTS);
    assert_eq!(instruction.data.len(), 32);
    for (position, meta) in instruction.accounts.iter().enumerate() {
        assert_eq!(meta.is_signer, position == 0, "{position}");
        assert_eq!(meta.is_writable, klend::LIQUIDATE_V2_WRITABLE[position], "{position}");
    }

    // The receiver's own list starts with klend's, position by position.
    use anchor_lang::ToAccountMetas;
    let address = |number: usize| Pubkey::new_from_array([number as u8; 32]);
    let ours = flash_liquidator::accounts::Liquidate {
        keeper: address(0),
        obligation: address(1),
        lending_market: address(2),
        lending_market_authority: address(3),
        repay_reserve: address(4),
        debt_mint: address(5),
        repay_reserve_liquidity_supply: address(6),
        withdraw_reserve: address(7),
        collateral_mint: address(8),
        ctoken_mint: address(9),
        withdraw_reserve_collateral_supply: address(10),
        withdraw_reserve_liquidity_supply: address(11),
        withdraw_reserve_fee_vault: address(12),
        keeper_debt: address(13),
        keeper_ctoken: address(14),
        keeper_collateral: address(15),
        ctoken_token_program: address(16),
        debt_token_program: address(17),
        collateral_token_program: address(18),
        instructions_sysvar: address(19),
        collateral_farm_user_state: address(20),
        collateral_farm_state: address(21),
        debt_farm_user_state: address(22),
        debt_farm_state: address(23),
        farms_program: address(24),
        klend_program: address(25),
        flash_reserve: address(26),
        swap_authority: address(27),
        swap_collateral: None,
        swap_debt: None,
    }
    .to_account_metas(None);
    let klends = &instruction.accounts;
    for position in 0..klend::LIQUIDATE_V2_ACCOUNTS {
        let fixed = [16, 19, 24].contains(&position);
        let meta = &ours[position];
        assert!(fixed || meta.pubkey.to_bytes() == klends[position].pubkey.to_bytes());
        // Farm accounts may be absent, hence not marked in the list; a client marks them.
        if !(20..24).contains(&position) {
            assert_eq!(meta.is_writable, klends[position].is_writable, "{position}");
        }
        assert_eq!(meta.is_signer, klends[position].is_signer, "{position}");
    }
}

#[test]
fn account_layouts() {
    const DISCRIMINATOR: usize = 8;
    assert_eq!(klend::RESERVE_LEN, DISCRIMINATOR + size_of::<Reserve>());
    assert_eq!(klend::MARKET_LEN, DISCRIMINATOR + size_of::<LendingMarket>());
    assert_eq!(Reserve::SPL_DISCRIMINATOR.as_slice(), klend::RESERVE_ACCOUNT_DISCRIMINATOR);
    assert_eq!(LendingMarket::SPL_DISCRIMINATOR.as_slice(), klend::MARKET_ACCOUNT_DISCRIMINATOR);
    for (ours, theirs) in [
        (
            klend::offset::RESERVE_BORROWED_AMOUNT_SF,
            offset_of!(Reserve, liquidity.borrowed_amount_sf),
        ),
        (klend::offset::RESERVE_EMERGENCY_MODE, offset_of!(Reserve, config.emergency_mode)),
        (
            klend::offset::RESERVE_FLASH_LOAN_FEE_SF,
            offset_of!(Reserve, config.fees.flash_loan_fee_sf),
        ),
        (klend::offset::RESERVE_PERMISSIONED_OPS, offset_of!(Reserve, config.permissioned_ops)),
        (klend::offset::MARKET_PERMISSIONED_OPS, offset_of!(LendingMarket, permissioned_ops)),
        (
            klend::offset::MARKET_PERMISSIONING_AUTHORITY,
            offset_of!(LendingMarket, permissioning_authority),
        ),
    ] {
        assert_eq!(ours, DISCRIMINATOR + theirs);
    }
    assert_eq!(klend::PERMISSIONED_LIQUIDATE, PermissionedOp::LIQUIDATE.bits());
}
